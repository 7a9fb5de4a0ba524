//! Whether any cycle pays, whatever its length, kept up to date edge by edge.
//!
//! Each currency has a value such that no edge leads above the value at its end: `value[to] >= value[from] · rate`. Such
//! values exist iff no cycle pays. An edge that breaks this sets off a repair from its end on; a repair that comes back
//! to where the edge begins has found a cycle that pays, and the edge is set aside, out of the graph, until something
//! changes. So values always hold for the edges that are left, and a cycle pays iff an edge is set aside. It is the
//! detection of negative cycles by potentials (Cherkassky and Goldberg, *Negative-cycle detection algorithms*, 1999) in
//! products instead of logarithms, which a float has no need of.

/// A repair must raise a value by more than this share of it, so that rounding cannot drive one round and round.
const EPSILON: f64 = 1e-12;

/// Values above this are scaled down, all of them.
const LARGE: f64 = 1e200;

#[derive(Clone, Debug)]
pub(super) struct Detector {
    /// Edges that leave each currency, as (edge, to).
    out: Vec<Vec<(u32, usize)>>,
    ends: Vec<(usize, usize)>,
    values: Vec<f64>,
    /// Edges that are out of the graph, ascending, and for each the cycle that it would close.
    aside: Vec<u32>,
    witnesses: Vec<Vec<u32>>,
    trial: Vec<f64>,
    parents: Vec<Option<u32>>,
    queue: Vec<usize>,
    next: Vec<usize>,
    queued: Vec<bool>,
}

impl Detector {
    pub(super) fn new(count: usize, ends: &[(usize, usize)], usable: &[u32]) -> Self {
        let mut out = vec![Vec::new(); count];
        for edge in usable {
            if let Some((from, to)) = ends.get(*edge as usize) {
                let list: &mut Vec<(u32, usize)> = &mut out[*from];
                list.push((*edge, *to));
            }
        }
        Self {
            out,
            ends: ends.to_vec(),
            values: vec![1.0; count],
            aside: Vec::new(),
            witnesses: Vec::new(),
            trial: vec![1.0; count],
            parents: vec![None; count],
            queue: Vec::with_capacity(count),
            next: Vec::with_capacity(count),
            queued: vec![false; count],
        }
    }

    #[inline]
    pub(super) const fn any(&self) -> bool {
        !self.aside.is_empty()
    }

    /// A cycle that pays for each edge that is set aside.
    pub(super) fn witnesses(&self) -> &[Vec<u32>] {
        &self.witnesses
    }

    /// Takes new rates of some edges.
    #[inline]
    pub(super) fn update(&mut self, changed: &[u32], rates: &[f64]) {
        for edge in changed {
            if self.breaks(*edge, rates)
                && let Err(place) = self.aside.binary_search(edge)
            {
                self.aside.insert(place, *edge);
            }
        }
        if !self.aside.is_empty() {
            self.reconsider(rates);
        }
    }

    #[inline]
    fn breaks(&self, edge: u32, rates: &[f64]) -> bool {
        let (Some((from, to)), Some(rate)) = (self.ends.get(edge as usize), rates.get(edge as usize)) else {
            return false;
        };
        let (Some(from), Some(to)) = (self.values.get(*from), self.values.get(*to)) else { return false };
        from * rate > to * (1.0 + EPSILON)
    }

    /// Tries to take each edge that is aside into the graph.
    fn reconsider(&mut self, rates: &[f64]) {
        self.witnesses.clear();
        let mut at = 0;
        while let Some(edge) = self.aside.get(at).copied() {
            if !self.breaks(edge, rates) || self.repair(edge, rates) {
                self.aside.remove(at);
            } else {
                at += 1;
            }
        }
        if self.values.iter().any(|value| *value > LARGE) {
            self.values.iter_mut().for_each(|value| *value /= LARGE);
        }
    }

    /// Raises values from the end of an edge on. `false` if that comes back to its beginning: then nothing is changed, and
    /// the cycle is written down.
    fn repair(&mut self, edge: u32, rates: &[f64]) -> bool {
        let Some(&(first, second)) = self.ends.get(edge as usize) else { return true };
        let rate_of = |edge: u32| rates.get(edge as usize).copied().unwrap_or_default();
        self.trial.copy_from_slice(&self.values);
        self.parents.fill(None);
        self.trial[second] = self.trial[first] * rate_of(edge);
        self.parents[second] = Some(edge);
        self.queue.clear();
        self.queue.push(second);
        // Without a cycle that pays, the best path has fewer edges than there are currencies.
        for _ in 0..self.values.len() {
            self.next.clear();
            self.queued.fill(false);
            for place in 0..self.queue.len() {
                let at = self.queue[place];
                for &(leaving, to) in &self.out[at] {
                    let reached = self.trial[at] * rate_of(leaving);
                    if reached <= self.trial[to] * (1.0 + EPSILON) || self.aside.binary_search(&leaving).is_ok() {
                        continue;
                    }
                    if to == first {
                        let witness = self.path(at, leaving);
                        self.witnesses.push(witness);
                        return false;
                    }
                    self.trial[to] = reached;
                    self.parents[to] = Some(leaving);
                    if !std::mem::replace(&mut self.queued[to], true) {
                        self.next.push(to);
                    }
                }
            }
            std::mem::swap(&mut self.queue, &mut self.next);
            if self.queue.is_empty() {
                break;
            }
        }
        self.values.copy_from_slice(&self.trial);
        true
    }

    /// The edges from the one under repair to `at`, and the one that closes the cycle.
    fn path(&self, at: usize, closing: u32) -> Vec<u32> {
        let mut edges = vec![closing];
        let mut at = at;
        while let Some(edge) = self.parents[at] {
            edges.push(edge);
            at = self.ends[edge as usize].0;
            if edges.len() > self.values.len() {
                break;
            }
        }
        edges.reverse();
        edges
    }
}
