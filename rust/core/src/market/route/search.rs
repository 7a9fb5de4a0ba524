//! The search for the cheapest split.
//!
//! *Relaxation.* If lots could be split and fixed costs and least sizes were spread over the size that pays for them, each
//! venue would be a ladder of ascending slopes, and the cheapest split would take all of them below one net marginal
//! price, the dual variable of the size. [`Router::walk`] finds that price by taking and giving back whole runs. What is
//! left of the size is less than one more unit of one venue, the one at the margin; its share at the marginal price makes
//! the bound.
//!
//! *Branching.* If something is left, the venue at the margin trades at most what it does now, or at least a lot more; if
//! its unit is a whole order (fixed cost, least size), it trades or it does not. Nodes whose bound does not beat the best
//! split so far are passed over. The search is depth first; each node starts from where the last one ended.

mod linear;
mod walk;

use self::linear::{Line, Part};
use self::walk::Entry;
use super::RouteError;
use super::runs::{End, Lots, Slope, Source, Terms};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Any number of lots.
    Free,
    /// None, or an order with its fixed cost and least size: not decided.
    Open,
    /// An order, so that its fixed cost is paid.
    Used,
    /// No order.
    Unused,
}

/// What a branch may decide about one venue.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    mode: Mode,
    low: i64,
    high: i64,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    venue: usize,
    before: Bounds,
    other: Option<Bounds>,
}

/// One venue within the walk.
#[derive(Clone, Copy, Debug)]
struct Place {
    bounds: Bounds,
    lots: i64,
    /// The run of the next lot.
    run: usize,
    /// Least average cost of an order that is not decided: its lots and what they cost with the fixed cost.
    hull: i64,
    hull_slope: Slope,
    /// What comes next, and its size; what was taken last.
    up: Slope,
    up_size: i64,
    down: Option<Slope>,
}

/// What is asked of the search.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Whether the venues are bought from; else sold to.
    pub buy: bool,
    /// How much, in common size units.
    pub size: i64,
    /// With at most so many venues.
    pub max_venues: usize,
    /// Give up the proof after so many nodes.
    pub max_nodes: u64,
}

/// The split that was found; its legs are read with [`Router::lots`] and the like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Split {
    /// Size that it trades, in common size units.
    pub filled: i64,
    /// What it costs in all, in 10^-9 of price unit times size unit; negative for what selling brings.
    pub cost: i128,
    /// No split of this size costs less than this; equal to `cost` if the split is proven optimal.
    pub bound: i128,
    /// What the size costs in the relaxation, where lots can be split; the least of 128 bits if that is not known.
    pub relaxed: i128,
    /// Whether no split trades more, and none of this size costs less.
    pub is_optimal: bool,
    /// The dual price: what the last of the size costs in the relaxation, net, in 10^-9 price units.
    pub marginal: f64,
    /// Nodes looked at; 1 if the relaxation was a split already.
    pub nodes: u64,
    /// Whether some venue had to stop at its greatest size or budget.
    pub is_constrained: bool,
}

/// Splits orders over venues at least cost. Keep it: once warm it does not allocate.
#[derive(Debug, Default)]
pub struct Router {
    lines: Vec<Line>,
    order: Vec<(i64, usize, usize)>,
    /// What each venue's part comes to, if the last split was found without a search.
    parts: Vec<Part>,
    venues: Vec<Lots>,
    places: Vec<Place>,
    best: Vec<i64>,
    stack: Vec<Frame>,
    heap: Vec<Entry>,
    by_lot: Vec<usize>,
    /// All lots equal, or each a multiple of the next smaller one; else their greatest common divisor.
    chain: bool,
    equal: bool,
    divisor: i64,
    size: i64,
    max_venues: usize,
    limited: bool,
    /// Target of the walk less what is taken; cost of what is taken.
    left: i64,
    cost: i128,
    incumbent: Option<(i64, i128)>,
    scratch: Vec<i128>,
    saved: Vec<(i64, usize)>,
}

impl Router {
    /// A router.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Finds the cheapest split of an order over venues with these terms: as much of the size as can be traded, at the
    /// least cost.
    ///
    /// # Errors
    /// [`RouteError`] if the size, the terms or the levels cannot be, or the numbers are too large for exact sums.
    pub fn split(&mut self, order: &Order, terms: &[Terms], source: &mut impl Source) -> Result<Split, RouteError> {
        self.prepare(order, terms)?;
        if let Some(split) = self.linear(order.buy, source)? {
            return Ok(split);
        }
        for venue in 0..terms.len() {
            self.open(venue, source)?;
        }
        self.first_walk(source)?;
        let root = self.relaxed(source)?;
        let marginal = self.marginal().to_f64();
        let mut nodes = 1;
        let mut complete = true;
        let mut branch = self.settle(root, source)?;
        loop {
            if let Some((venue, [first, other])) = branch {
                if nodes >= order.max_nodes {
                    complete = false;
                    break;
                }
                let before = self.places[venue].bounds;
                self.stack.push(Frame { venue, before, other: Some(other) });
                self.decide(venue, first, source)?;
            } else {
                let Some(frame) = self.stack.last_mut() else { break };
                let venue = frame.venue;
                if let Some(other) = frame.other.take() {
                    self.decide(venue, other, source)?;
                } else {
                    let before = frame.before;
                    self.stack.pop();
                    self.decide(venue, before, source)?;
                    continue;
                }
            }
            nodes += 1;
            let bound = self.relaxed(source)?;
            branch = self.settle(bound, source)?;
        }
        self.stack.clear();
        let (filled, cost) = self.incumbent.unwrap_or((0, 0));
        let relaxed = root.filter(|(target, _)| *target == filled).map_or(i128::MIN, |(_, bound)| bound);
        let bound = if complete { cost } else { relaxed };
        let is_constrained = self.venues[..self.places.len()].iter().any(|lots| lots.is_constrained) || self.limited;
        Ok(Split { filled, cost, bound, relaxed, is_optimal: bound == cost, marginal, nodes, is_constrained })
    }

    /// Lots of each venue in the last split.
    #[must_use]
    pub fn lots(&self) -> &[i64] {
        &self.best
    }

    /// What a venue's part of the last split costs with its fixed cost, in units of [`Split::cost`].
    #[must_use]
    pub fn cost_of(&self, venue: usize) -> i128 {
        if let Some(part) = self.parts.get(venue) {
            return part.cost;
        }
        let (Some(lots), Some(&count)) = (self.venues.get(venue), self.best.get(venue)) else { return 0 };
        if count == 0 { 0 } else { lots.fixed + lots.cost_of(count, run_of(lots, count - 1)) }
    }

    /// The worst price that a venue's part of the last split trades at, and what its last lot costs net, in 10^-9 price
    /// units; `None` if it has no part.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // analytics begin here
    pub fn last_of(&self, venue: usize) -> Option<(i64, f64)> {
        if let Some(part) = self.parts.get(venue) {
            return (part.size > 0).then_some((part.price, part.net as f64));
        }
        let (lots, &count) = (self.venues.get(venue)?, self.best.get(venue)?);
        let run = lots.runs.get(run_of(lots, count.checked_sub(1).filter(|last| *last >= 0)?))?;
        Some((run.price, run.slope.to_f64()))
    }

    /// What a venue's part of the last split comes to before costs, in price units times size units, where that is known
    /// without a division.
    pub(super) fn gross_of(&self, venue: usize) -> Option<i128> {
        self.parts.get(venue).map(|part| part.gross)
    }

    /// Forgets the last split's lots.
    pub(super) fn clear(&mut self) {
        self.parts.clear();
        self.best.fill(0);
    }

    /// Whether no venue has more to trade, be it for its levels or its terms.
    pub(super) fn all_ended(&self) -> bool {
        let ended = |lots: &Lots| lots.end == End::Levels || lots.is_constrained;
        self.venues.iter().take(self.places.len()).all(ended)
    }

    fn prepare(&mut self, order: &Order, terms: &[Terms]) -> Result<(), RouteError> {
        if order.size <= 0 {
            return Err(RouteError::Size(order.size));
        }
        while self.venues.len() < terms.len() {
            self.venues.push(Lots::new());
        }
        self.size = order.size;
        self.max_venues = order.max_venues;
        self.limited = order.max_venues < terms.len();
        self.incumbent = None;
        self.stack.clear();
        self.parts.clear();
        self.places.clear();
        self.by_lot.clear();
        self.best.clear();
        self.best.resize(terms.len(), 0);
        let sign = if order.buy { 1 } else { -1 };
        let (mut equal, mut divisor) = (true, 0);
        for (venue, (lots, terms)) in self.venues.iter_mut().zip(terms).enumerate() {
            lots.reset(venue, terms, order.size, sign)?;
            let mode = match lots.end {
                _ if terms.required => Mode::Used,
                End::Terms => Mode::Unused,
                _ if lots.is_lumpy() || self.limited => Mode::Open,
                _ => Mode::Free,
            };
            let low = if terms.required { lots.min } else { 0 };
            let place = Place {
                bounds: Bounds { mode, low, high: order.size / lots.lot },
                lots: 0,
                run: 0,
                hull: 0,
                hull_slope: Slope::MAX,
                up: Slope::MAX,
                up_size: i64::MAX,
                down: None,
            };
            self.places.push(place);
            self.by_lot.push(venue);
            equal &= divisor == 0 || divisor == lots.lot;
            divisor = if equal { lots.lot } else { gcd(divisor, lots.lot) };
        }
        self.divisor = divisor.max(1);
        self.chain = true;
        if !equal {
            let venues = &self.venues;
            self.by_lot.sort_unstable_by_key(|venue| -venues[*venue].lot);
            self.chain = self.by_lot.windows(2).all(|pair| venues[pair[0]].lot % venues[pair[1]].lot == 0);
        }
        if !terms.is_empty() && order.size % self.divisor != 0 {
            return Err(RouteError::OffLot { size: order.size, lot: self.divisor });
        }
        self.equal = equal;
        self.left = order.size;
        self.cost = 0;
        Ok(())
    }

    fn decide(&mut self, venue: usize, bounds: Bounds, source: &mut impl Source) -> Result<(), RouteError> {
        let orders = |mode| mode == Mode::Used;
        let changes = orders(self.places[venue].bounds.mode) != orders(bounds.mode);
        self.places[venue].bounds = bounds;
        self.open(venue, source)?;
        if self.limited && changes {
            for other in 0..self.places.len() {
                if other != venue && self.places[other].bounds.mode == Mode::Open {
                    self.open(other, source)?;
                }
            }
        }
        Ok(())
    }

    /// How much at most can be traded within the bounds, and by lots alone; `None` if nothing is within them.
    fn fillable(&mut self) -> Option<i64> {
        let most = if self.limited { self.largest_orders() } else { self.size };
        let room = |venue: usize| {
            let (place, lots) = (&self.places[venue], &self.venues[venue]);
            let high = match place.bounds.mode {
                Mode::Unused => 0,
                _ if lots.end == End::Open => place.bounds.high,
                _ => place.bounds.high.min(lots.lots),
            };
            (place.bounds.low, high)
        };
        let mut left = self.size;
        let mut total = 0_i64;
        for venue in 0..self.places.len() {
            let (low, high) = room(venue);
            if high < low {
                return None;
            }
            let lot = self.venues[venue].lot;
            left = left.checked_sub(low.checked_mul(lot)?).filter(|left| *left >= 0)?;
            total = total.saturating_add((high - low).saturating_mul(lot));
        }
        if !self.chain {
            let rest = left.min(total);
            return Some((self.size - left + rest - rest % self.divisor).min(most));
        }
        // Each lot divides those before it, so as many as fit of each, the coarsest first, leave the least.
        let mut rest = left;
        for &venue in &self.by_lot {
            let (low, high) = room(venue);
            let lot = self.venues[venue].lot;
            rest -= (high - low).min(rest / lot) * lot;
            if rest == 0 {
                break;
            }
        }
        Some((self.size - rest).min(most))
    }

    /// How much as many venues as are allowed can trade, those with an order and the largest of the others.
    fn largest_orders(&mut self) -> i64 {
        let (mut total, mut orders) = (0_i128, 0);
        self.scratch.clear();
        for (place, lots) in self.places.iter().zip(&self.venues) {
            let high = if lots.end == End::Open { place.bounds.high } else { place.bounds.high.min(lots.lots) };
            let size = i128::from(high) * i128::from(lots.lot);
            match place.bounds.mode {
                Mode::Used => (total, orders) = (total + size, orders + 1),
                Mode::Unused => {}
                Mode::Free | Mode::Open => self.scratch.push(-size),
            }
        }
        self.scratch.sort_unstable();
        let others = self.max_venues.saturating_sub(orders);
        total -= self.scratch.iter().take(others).sum::<i128>();
        i64::try_from(total).unwrap_or(i64::MAX).min(self.size)
    }

    /// What leaving out the orders that are too many must cost at least: at the dual price each of them gains something
    /// over not trading, and the least of these gains are lost.
    fn lost_gains(&mut self) -> i128 {
        let price = self.marginal();
        if price == Slope::MAX {
            return 0;
        }
        self.scratch.clear();
        let mut orders = 0;
        for (place, lots) in self.places.iter().zip(&self.venues) {
            if place.lots == 0 {
                continue;
            }
            orders += 1;
            if place.bounds.mode == Mode::Used {
                continue;
            }
            let cost = lots.fixed + lots.cost_of(place.lots, run_of(lots, place.lots - 1));
            let gain = price.floor().saturating_mul(i128::from(place.lots) * i128::from(lots.lot)).saturating_sub(cost);
            self.scratch.push(gain.max(0));
        }
        self.scratch.sort_unstable();
        let too_many = usize::saturating_sub(orders, self.max_venues);
        self.scratch.iter().take(too_many).fold(0, |sum, gain| i128::saturating_add(sum, *gain))
    }

    /// The relaxation within the bounds: what it trades and its cost; `None` if nothing is within them.
    fn relaxed(&mut self, source: &mut impl Source) -> Result<Option<(i64, i128)>, RouteError> {
        let traded = self.traded();
        let Some(mut target) = self.fillable() else { return Ok(None) };
        if self.incumbent.is_some_and(|(filled, _)| target < filled) {
            return Ok(None);
        }
        self.left = target - traded;
        self.walk(source)?;
        if self.left > 0 && self.places.iter().all(|place| place.up == Slope::MAX) {
            // Every venue has ended, which was not known before.
            let Some(less) = self.fillable() else { return Ok(None) };
            if less < target {
                self.left -= target - less;
                target = less;
                self.walk(source)?;
            }
        }
        let share = if self.left > 0 {
            let place = self.places.get(self.margin()).filter(|place| place.up != Slope::MAX);
            // Undecided orders that were left out, as there are too many venues: nothing more can be traded here.
            let Some(place) = place else { return Ok(Some((target - self.left, self.cost))) };
            place.up.cost(self.left)
        } else {
            0
        };
        let lost = if self.limited { self.lost_gains() } else { 0 };
        Ok(Some((target, (self.cost + share).saturating_add(lost))))
    }

    fn traded(&self) -> i64 {
        self.places.iter().zip(&self.venues).map(|(place, lots)| place.lots * lots.lot).sum()
    }

    /// Keeps what the relaxation is worth as a split, and says how to go on if it is none.
    #[allow(clippy::type_complexity)] // a venue and its two branches
    fn settle(
        &mut self,
        bound: Option<(i64, i128)>,
        source: &mut impl Source,
    ) -> Result<Option<(usize, [Bounds; 2])>, RouteError> {
        let Some((target, bound)) = bound else { return Ok(None) };
        let beaten = |incumbent: Option<(i64, i128)>| {
            incumbent.is_some_and(|(filled, cost)| target < filled || (target == filled && bound >= cost))
        };
        if beaten(self.incumbent) {
            return Ok(None);
        }
        let orders = self.places.iter().filter(|place| place.lots > 0).count();
        if orders > self.max_venues {
            let size = |venue: usize| self.places[venue].lots * self.venues[venue].lot;
            let undecided = (0..self.places.len())
                .filter(|venue| self.places[*venue].lots > 0 && self.places[*venue].bounds.mode == Mode::Open);
            let Some(venue) = undecided.min_by_key(|venue| size(*venue)) else { return Ok(None) };
            return Ok(Some((venue, self.order_or_not(venue, true))));
        }
        if self.left == 0 {
            self.keep();
            return Ok(None);
        }
        let venue = self.margin();
        let place = self.places[venue];
        self.complete(source)?;
        if place.up == Slope::MAX || beaten(self.incumbent) {
            return Ok(None);
        }
        let Bounds { mode, low, high } = place.bounds;
        Ok(Some(if mode == Mode::Open && place.lots == 0 {
            (venue, self.order_or_not(venue, false))
        } else {
            let more = if mode == Mode::Open { Mode::Used } else { mode };
            let branches = [Bounds { mode, low, high: place.lots }, Bounds { mode: more, low: place.lots + 1, high }];
            (venue, branches)
        }))
    }

    fn order_or_not(&self, venue: usize, without_first: bool) -> [Bounds; 2] {
        let Bounds { high, .. } = self.places[venue].bounds;
        let without = Bounds { mode: Mode::Unused, low: 0, high: 0 };
        let with = Bounds { mode: Mode::Used, low: self.venues[venue].min, high };
        if without_first { [without, with] } else { [with, without] }
    }

    /// Fills what is left with whole units, the cheapest that fits first, and keeps the split if it is better.
    fn complete(&mut self, source: &mut impl Source) -> Result<(), RouteError> {
        let mut orders = self.places.iter().filter(|place| place.lots > 0).count();
        while self.left > 0 {
            let mut best: Option<(Slope, usize, i64)> = None;
            for (venue, place) in self.places.iter().enumerate() {
                if place.up == Slope::MAX || (place.lots == 0 && orders >= self.max_venues) {
                    continue;
                }
                let lots = &self.venues[venue];
                let fits = self.left / lots.lot;
                let whole = place.bounds.mode == Mode::Open && place.lots == 0;
                let (slope, count) = if !whole {
                    (place.up, 1)
                } else if fits >= place.hull {
                    (place.up, place.hull)
                } else if fits >= lots.min {
                    let cost = lots.fixed + lots.cost_of(fits, run_of(lots, fits - 1));
                    (Slope::new(cost, fits * lots.lot), fits)
                } else {
                    continue;
                };
                if fits >= count && best.is_none_or(|(least, _, _)| slope.is_below(least)) {
                    best = Some((slope, venue, count));
                }
            }
            let Some((_, venue, count)) = best else { break };
            let place = &self.places[venue];
            let whole = place.bounds.mode == Mode::Open && place.lots == 0;
            orders += usize::from(place.lots == 0);
            if whole { self.set(venue, count, source)? } else { self.take(venue, source)? }
        }
        if orders <= self.max_venues {
            self.keep();
        }
        for venue in 0..self.places.len() {
            let place = &self.places[venue];
            if place.bounds.mode == Mode::Open && place.lots > 0 && place.lots < place.hull {
                self.set(venue, 0, source)?;
            }
        }
        Ok(())
    }

    /// What is taken now is a split: keeps it if it is the best.
    fn keep(&mut self) {
        let filled = self.traded();
        let better = self.incumbent.is_none_or(|(most, cost)| filled > most || (filled == most && self.cost < cost));
        if better {
            self.incumbent = Some((filled, self.cost));
            self.best.clear();
            self.best.extend(self.places.iter().map(|place| place.lots));
        }
    }
}

/// The run of the lot with this number.
#[inline]
fn run_of(lots: &Lots, lot: i64) -> usize {
    lots.runs.partition_point(|run| run.lots_before + run.lots <= lot)
}

pub(super) const fn gcd(mut a: i64, mut b: i64) -> i64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
