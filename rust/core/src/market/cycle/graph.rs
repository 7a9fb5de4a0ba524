//! Currencies, edges and the cycles through each edge.

use std::cmp::Ordering;

use super::detect::Detector;
use super::exact::Ratio;
use super::{BILLION, CycleError, CycleRules, MOST_CYCLES};
use crate::instrument::{Contract, Instrument};
use crate::units::Unit;

/// Within this of 1 a product of floats is not trusted. Each rate carries three roundings and a product one more a leg:
/// below 64 · 2^-53 for 16 legs.
const DOUBT: f64 = 1e-9;

/// One trade of a cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Leg {
    /// Index of the instrument.
    pub instrument: usize,
    /// Whether the base is bought with the quote currency; else it is sold for it.
    pub buy: bool,
}

impl Leg {
    const fn of(edge: u32) -> Self {
        Self { instrument: (edge / 2) as usize, buy: edge.is_multiple_of(2) }
    }
}

/// What an instant changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Turn {
    Opened { cycle: usize, edge_bp: f64 },
    Better { cycle: usize, edge_bp: f64 },
    Closed { cycle: usize, lost: bool },
}

/// What an instrument's prices are counts of, and its fee.
#[derive(Clone, Copy, Debug)]
struct Terms {
    unit: Unit,
    fee: i64,
    /// Quote currency for 1 of base that one unit of the ask costs, and that one unit of the bid brings.
    scales: [f64; 2],
}

/// Edge `2 i` buys instrument `i`, edge `2 i + 1` sells it.
#[derive(Clone, Debug)]
pub(super) struct Graph {
    terms: Vec<Terms>,
    /// From and to currency of each edge.
    ends: Vec<(usize, usize)>,
    touches: Vec<Option<(i64, i64)>>,
    /// Net rate of each edge, 0 where there is none.
    rates: Vec<f64>,
    legs: Vec<Leg>,
    /// The edges of cycle `c` are `edges[starts[c]..starts[c + 1]]`.
    edges: Vec<u32>,
    starts: Vec<u32>,
    listed: usize,
    /// The cycles through edge `e` are `cycles[through[e]..through[e + 1]]`.
    cycles: Vec<u32>,
    through: Vec<u32>,
    /// For each of `cycles` its other edges, filled up to `longest - 1` with an edge whose rate is always 1: so the hot loop
    /// reads one line after another.
    others: Vec<u32>,
    /// Listed cycles that pay.
    open: Vec<u32>,
    /// Best product so far of each cycle that pays, 0 where it does not.
    best: Vec<f64>,
    /// Longer cycles that pay, by index.
    longer: Vec<usize>,
    changed: Vec<u32>,
    detector: Detector,
    longest: usize,
}

impl Graph {
    pub(super) fn new(instruments: &[Instrument], rules: &CycleRules) -> Result<Self, CycleError> {
        if instruments.is_empty() {
            return Err(CycleError::Empty);
        }
        let (expected, found) = (instruments.len(), rules.fees.len());
        if expected != found {
            return Err(CycleError::Fees { expected, found });
        }
        if let Some(fee) = rules.fees.iter().find(|fee| fee.saturating_abs() >= BILLION) {
            return Err(CycleError::Fee(*fee));
        }
        if rules.shortest < 2 || rules.shortest > rules.longest || rules.longest > 16 {
            return Err(CycleError::Lengths(rules.shortest, rules.longest));
        }
        if rules.stale_after < 0 {
            return Err(CycleError::Limit(rules.stale_after));
        }
        if let Some(odd) = instruments.iter().find(|i| i.base == i.quote) {
            return Err(CycleError::OneCurrency { name: odd.name(), currency: odd.base.clone() });
        }
        let currencies = currencies(instruments, &rules.home)?;
        let node = |name: &String| currencies.iter().position(|one| one == name).unwrap_or_default();
        let ends: Vec<_> = instruments
            .iter()
            .flat_map(|i| {
                let (base, quote) = (node(&i.base), node(&i.quote));
                [(quote, base), (base, quote)]
            })
            .collect();
        let terms: Vec<_> =
            instruments.iter().zip(&rules.fees).map(|(i, fee)| Terms::new(i.price_unit, *fee)).collect();
        let spot = |edge: usize| instruments.get(edge / 2).is_some_and(|i| i.contract == Contract::Spot);
        let usable: Vec<u32> =
            (0..ends.len()).filter(|edge| spot(*edge)).filter_map(|edge| u32::try_from(edge).ok()).collect();
        let (edges, starts) = enumerate(&currencies, &ends, &usable, rules)?;
        let listed = starts.len() - 1;
        let (cycles, through, others) = invert(&edges, &starts, ends.len(), rules.longest - 1);
        let detector = Detector::new(currencies.len(), &ends, &usable);
        Ok(Self {
            legs: edges.iter().map(|edge| Leg::of(*edge)).collect(),
            touches: vec![None; terms.len()],
            rates: vec![0.0; ends.len()].into_iter().chain([1.0]).collect(),
            best: vec![0.0; listed],
            terms,
            ends,
            edges,
            starts,
            listed,
            cycles,
            through,
            others,
            open: Vec::new(),
            longer: Vec::new(),
            changed: Vec::new(),
            detector,
            longest: rules.longest,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    fn range(&self, cycle: usize) -> Option<std::ops::Range<usize>> {
        Some(*self.starts.get(cycle)? as usize..*self.starts.get(cycle + 1)? as usize)
    }

    pub(super) fn legs(&self, cycle: usize) -> Option<&[Leg]> {
        self.legs.get(self.range(cycle)?)
    }

    /// The touch of an instrument in its own units; `None`: not known. Looked at by the next [`Self::settle`].
    #[inline]
    pub(super) fn set(&mut self, instrument: usize, touch: Option<(i64, i64)>) {
        // A price of zero or less has no rate.
        let touch = touch.filter(|(bid, ask)| *bid > 0 && *ask > 0);
        let Some(place) = self.touches.get_mut(instrument) else { return };
        if *place == touch {
            return;
        }
        let before = std::mem::replace(place, touch);
        #[allow(clippy::cast_possible_truncation)] // two edges an instrument, and their list was made with 32 bits
        let edge = 2 * instrument as u32;
        if before.map(|(_, ask)| ask) != touch.map(|(_, ask)| ask) {
            self.changed.push(edge);
        }
        if before.map(|(bid, _)| bid) != touch.map(|(bid, _)| bid) {
            self.changed.push(edge + 1);
        }
    }

    /// Whether the touch of an instrument is known.
    #[inline]
    pub(super) fn has(&self, instrument: usize) -> bool {
        self.touches.get(instrument).is_some_and(Option::is_some)
    }

    #[inline]
    pub(super) const fn is_settled(&self) -> bool {
        self.changed.is_empty()
    }

    /// Looks at the cycles through the edges that changed since the last time.
    #[inline]
    pub(super) fn settle(&mut self, turns: &mut Vec<Turn>) {
        let changed = std::mem::take(&mut self.changed);
        for edge in &changed {
            self.rate(*edge);
        }
        if !self.open.is_empty() {
            self.look_at_open(turns);
        }
        for edge in &changed {
            match self.longest {
                2 => self.look_through::<1>(*edge, turns),
                3 => self.look_through::<2>(*edge, turns),
                4 => self.look_through::<3>(*edge, turns),
                5 => self.look_through::<4>(*edge, turns),
                _ => self.look_through_all(*edge, turns),
            }
        }
        self.detector.update(&changed, &self.rates);
        if !self.longer.is_empty() || self.detector.any() {
            self.look_longer(turns);
        }
        self.changed = changed;
        self.changed.clear();
    }

    #[inline]
    #[allow(clippy::cast_precision_loss)] // a rate; what is close to 1 is decided in integers
    fn rate(&mut self, edge: u32) {
        let at = edge as usize;
        let (Some(terms), Some(touch)) = (self.terms.get(at / 2), self.touches.get(at / 2)) else { return };
        let rate = match (touch, at % 2) {
            (None, _) => 0.0,
            (Some((_, ask)), 0) => 1.0 / (*ask as f64 * terms.scales[0]),
            (Some((bid, _)), _) => *bid as f64 * terms.scales[1],
        };
        if let Some(place) = self.rates.get_mut(at) {
            *place = rate;
        }
    }

    /// The cycles through an edge that may pay: nearly always none.
    #[inline]
    fn look_through<const OTHERS: usize>(&mut self, edge: u32, turns: &mut Vec<Turn>) {
        let at = edge as usize;
        let (Some(from), Some(to)) = (self.through.get(at), self.through.get(at + 1)) else { return };
        let (from, to) = (*from as usize, *to as usize);
        let rate = self.rates.get(at).copied().unwrap_or_default();
        // Two roundings of products that are taken in another order are far below the doubt.
        let enough = (1.0 - 2.0 * DOUBT) / rate;
        let (others, _) = self.others.get(from * OTHERS..to * OTHERS).unwrap_or_default().as_chunks::<OTHERS>();
        let rates = self.rates.as_slice();
        let first = others.iter().position(|others| product(rates, others) >= enough);
        if let Some(first) = first {
            for index in from + first..to {
                self.look(index, OTHERS, enough, turns);
            }
        }
    }

    fn look_through_all(&mut self, edge: u32, turns: &mut Vec<Turn>) {
        let at = edge as usize;
        let (Some(from), Some(to)) = (self.through.get(at), self.through.get(at + 1)) else { return };
        let enough = (1.0 - 2.0 * DOUBT) / self.rates.get(at).copied().unwrap_or_default();
        for index in *from as usize..*to as usize {
            self.look(index, self.longest - 1, enough, turns);
        }
    }

    /// One of the cycles through an edge.
    #[inline]
    fn look(&mut self, index: usize, others: usize, enough: f64, turns: &mut Vec<Turn>) {
        let edges = self.others.get(index * others..(index + 1) * others).unwrap_or_default();
        if product(&self.rates, edges) < enough {
            return;
        }
        let Some(cycle) = self.cycles.get(index).map(|cycle| *cycle as usize) else { return };
        let best = self.best.get(cycle).copied().unwrap_or_default();
        if best == 0.0 {
            self.turn(cycle, self.product(cycle), best, turns);
            if self.best.get(cycle).is_some_and(|best| *best != 0.0) {
                self.open.extend(u32::try_from(cycle));
            }
        }
    }

    /// The listed cycles that paid up to now.
    #[cold]
    #[inline(never)]
    fn look_at_open(&mut self, turns: &mut Vec<Turn>) {
        let mut open = std::mem::take(&mut self.open);
        open.retain(|cycle| {
            let cycle = *cycle as usize;
            let best = self.best.get(cycle).copied().unwrap_or_default();
            self.turn(cycle, self.product(cycle), best, turns);
            self.best.get(cycle).is_some_and(|best| *best != 0.0)
        });
        self.open = open;
    }

    #[inline]
    fn product(&self, cycle: usize) -> f64 {
        let range = self.range(cycle).unwrap_or_default();
        product(&self.rates, self.edges.get(range).unwrap_or_default())
    }

    #[cold]
    #[inline(never)]
    fn turn(&mut self, cycle: usize, product: f64, best: f64, turns: &mut Vec<Turn>) {
        let pays = self.pays(cycle, product);
        let edge_bp = (product - 1.0) * 1e4;
        let Some(place) = self.best.get_mut(cycle) else { return };
        if pays && best == 0.0 {
            *place = product;
            turns.push(Turn::Opened { cycle, edge_bp });
        } else if pays && product > best {
            *place = product;
            turns.push(Turn::Better { cycle, edge_bp });
        } else if !pays && best != 0.0 {
            *place = 0.0;
            turns.push(Turn::Closed { cycle, lost: product == 0.0 });
        }
    }

    fn pays(&self, cycle: usize, product: f64) -> bool {
        if (product - 1.0).abs() > DOUBT {
            return product > 1.0;
        }
        let Some(legs) = self.legs(cycle) else { return false };
        let mut ratio = Ratio::new();
        for leg in legs {
            let (Some(terms), Some(Some((bid, ask)))) =
                (self.terms.get(leg.instrument), self.touches.get(leg.instrument))
            else {
                return false;
            };
            let price = if leg.buy { *ask } else { *bid };
            terms.multiply(&mut ratio, leg.buy, price);
        }
        ratio.compare_to_one() == Ordering::Greater
    }

    /// Cycles longer than those that are listed: what the detector saw last, and those that paid before.
    #[cold]
    #[inline(never)]
    fn look_longer(&mut self, turns: &mut Vec<Turn>) {
        for cycle in std::mem::take(&mut self.longer) {
            let (product, best) = (self.product(cycle), self.best.get(cycle).copied().unwrap_or_default());
            self.turn(cycle, product, best, turns);
            if self.best.get(cycle).is_some_and(|best| *best != 0.0) {
                self.longer.push(cycle);
            }
        }
        for witness in 0..self.detector.witnesses().len() {
            let Some(witness) = self.detector.witnesses().get(witness) else { return };
            if witness.len() <= self.longest || self.len() >= MOST_CYCLES {
                continue;
            }
            let witness = self.turned(witness);
            let cycle = match self.position(&witness) {
                Some(cycle) => cycle,
                None => self.add(&witness),
            };
            if !self.longer.contains(&cycle) {
                let product = self.product(cycle);
                self.turn(cycle, product, 0.0, turns);
                if self.best.get(cycle).is_some_and(|best| *best != 0.0) {
                    self.longer.push(cycle);
                }
            }
        }
    }

    /// A cycle that begins at the most wanted of its currencies.
    fn turned(&self, witness: &[u32]) -> Vec<u32> {
        let mut edges = witness.to_vec();
        let from = |edge: &u32| self.ends.get(*edge as usize).map_or(usize::MAX, |(from, _)| *from);
        let first = (0..edges.len()).min_by_key(|at| edges.get(*at).map_or(usize::MAX, from)).unwrap_or_default();
        edges.rotate_left(first);
        edges
    }

    fn position(&self, edges: &[u32]) -> Option<usize> {
        (self.listed..self.len())
            .find(|cycle| self.range(*cycle).and_then(|range| self.edges.get(range)) == Some(edges))
    }

    fn add(&mut self, edges: &[u32]) -> usize {
        let cycle = self.len();
        self.edges.extend_from_slice(edges);
        self.legs.extend(edges.iter().map(|edge| Leg::of(*edge)));
        self.starts.push(u32::try_from(self.edges.len()).unwrap_or(u32::MAX));
        self.best.push(0.0);
        cycle
    }

    pub(super) fn paying(&self) -> Vec<(usize, f64)> {
        let paying = self.best.iter().enumerate().filter(|(_, best)| **best != 0.0);
        paying.map(|(cycle, _)| (cycle, (self.product(cycle) - 1.0) * 1e4)).collect()
    }

    pub(super) fn any(&self) -> bool {
        self.detector.any() || self.best.iter().any(|best| *best != 0.0)
    }

    pub(super) fn forget_open(&mut self) {
        self.best.fill(0.0);
        self.open.clear();
        self.longer.clear();
    }
}

impl Terms {
    #[allow(clippy::cast_precision_loss)] // below 2^53
    fn new(unit: Unit, fee: i64) -> Self {
        let one = BILLION as f64;
        let scale = |fee: i64| unit.as_f64() * ((BILLION + fee) as f64 / one);
        Self { unit, fee, scales: [scale(fee), scale(-fee)] }
    }

    /// Takes the net rate of one leg into a product.
    fn multiply(&self, ratio: &mut Ratio, buy: bool, price: i64) {
        let fee = if buy { self.fee } else { -self.fee };
        for factor in [price, self.unit.mantissa(), BILLION + fee] {
            if buy { ratio.divide(factor.unsigned_abs()) } else { ratio.multiply(factor.unsigned_abs()) }
        }
        let power = i32::from(self.unit.exponent()) - 9;
        ratio.shift(if buy { -power } else { power });
    }
}

/// Home currencies first, then quotes, then bases, each in the order of the instruments.
fn currencies(instruments: &[Instrument], home: &[String]) -> Result<Vec<String>, CycleError> {
    let mut known: Vec<String> = Vec::new();
    let all = instruments.iter().map(|i| &i.quote).chain(instruments.iter().map(|i| &i.base));
    for name in all {
        if !known.contains(name) {
            known.push(name.clone());
        }
    }
    if let Some(odd) = home.iter().find(|name| !known.contains(name)) {
        return Err(CycleError::Home(odd.clone(), known.join(", ")));
    }
    let place = |name: &String| home.iter().position(|one| one == name).unwrap_or(home.len());
    known.sort_by_key(place);
    Ok(known)
}

/// All simple cycles of the lengths asked for, as edges, each begun at the first of its currencies.
fn enumerate(
    currencies: &[String],
    ends: &[(usize, usize)],
    usable: &[u32],
    rules: &CycleRules,
) -> Result<(Vec<u32>, Vec<u32>), CycleError> {
    let mut out: Vec<Vec<(u32, usize)>> = vec![Vec::new(); currencies.len()];
    for edge in usable {
        if let Some((from, to)) = ends.get(*edge as usize)
            && let Some(list) = out.get_mut(*from)
        {
            list.push((*edge, *to));
        }
    }
    let (mut edges, mut starts) = (Vec::new(), vec![0_u32]);
    for first in 0..currencies.len() {
        // Depth first; `path` holds the edges so far and, in `places`, where each currency's list was left.
        let (mut path, mut visited, mut places) = (Vec::<u32>::new(), vec![first], vec![0_usize]);
        while let (Some(at), Some(place)) = (visited.last().copied(), places.last_mut()) {
            let Some((edge, to)) = out.get(at).and_then(|list| list.get(*place)).copied() else {
                places.pop();
                visited.pop();
                path.pop();
                continue;
            };
            *place += 1;
            if to == first && path.len() + 1 >= rules.shortest && path.first().is_some_and(|one| one / 2 != edge / 2) {
                edges.extend_from_slice(&path);
                edges.push(edge);
                if starts.len() > MOST_CYCLES {
                    return Err(CycleError::TooMany(rules.longest));
                }
                starts.push(u32::try_from(edges.len()).map_err(|_| CycleError::TooMany(rules.longest))?);
            } else if to > first && path.len() + 1 < rules.longest && !visited.contains(&to) {
                path.push(edge);
                visited.push(to);
                places.push(0);
            }
        }
    }
    Ok((edges, starts))
}

/// The product of the rates of edges.
#[inline]
fn product(rates: &[f64], edges: &[u32]) -> f64 {
    edges.iter().map(|edge| rates.get(*edge as usize).copied().unwrap_or_default()).product()
}

/// For each edge the cycles through it, and for each of those its other edges, filled up with edge `count`.
fn invert(edges: &[u32], starts: &[u32], count: usize, others: usize) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
    let mut lists: Vec<Vec<u32>> = vec![Vec::new(); count];
    for (cycle, bounds) in (0_u32..).zip(starts.windows(2)) {
        for edge in edges.get(bounds[0] as usize..bounds[1] as usize).unwrap_or_default() {
            if let Some(list) = lists.get_mut(*edge as usize) {
                list.push(cycle);
            }
        }
    }
    let (mut through, mut cycles, mut rest) = (vec![0_u32], Vec::new(), Vec::new());
    let filler = u32::try_from(count).unwrap_or(u32::MAX);
    for (edge, list) in (0_u32..).zip(lists) {
        for cycle in &list {
            let bounds = starts.get(*cycle as usize..).unwrap_or_default();
            let (Some(from), Some(to)) = (bounds.first(), bounds.get(1)) else { continue };
            let mine = edges.get(*from as usize..*to as usize).unwrap_or_default();
            let before = rest.len();
            rest.extend(mine.iter().filter(|one| **one != edge));
            rest.resize(before + others, filler);
        }
        cycles.extend(list);
        through.push(u32::try_from(cycles.len()).unwrap_or(u32::MAX));
    }
    (cycles, through, rest)
}
