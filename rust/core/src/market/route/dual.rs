//! Books and pools in one route: the dual of a single asset.
//!
//! A pool has no levels: its price moves with every unit traded, and any table of levels is coarser than it. So the router
//! of levels ([`super::Router`]) is not asked here. Every venue says how much it supplies at a net marginal price, a book
//! by its levels and a pool by its curve, and one price is found at which all together supply the size (`price`): the dual
//! variable of the size, which also bounds what any split must cost. Then lots are whole (`lots`), and what a pool's part
//! costs is the exact quote of the pool itself, integer for integer.
//!
//! Fixed costs and least sizes make orders that are there or not. At the dual's price each of them gains or loses; where
//! the loss or the gain is more than what is left of the gap, it is decided for good. The rest is branch and bound: a
//! bound from the dual, a split from the orders that gain. The bound is in floats, less what they may be off; what a
//! route costs is in integers, and the gap between them is stated.

mod branch;
mod lots;
mod pool;
mod price;
#[cfg(test)]
mod tests;
mod venue;

use self::lots::Next;
pub use self::pool::PoolOffer;
use self::pool::{Marginal, Supply};
use self::price::Bracket;
use self::venue::{Bounds, Mode, Venue};
use super::RouteError;
use super::runs::{Source, Terms};
use super::search::{Order, Split, gcd};

/// Where levels and pools come from. A venue that is a pool has no levels.
pub trait Depth: Source {
    /// The pool that a venue is; `None` for a book.
    fn pool(&self, venue: usize) -> Option<PoolOffer<'_>>;
}

/// Books by their levels and pools, by venue: for tests, and for whoever keeps them.
#[derive(Debug)]
pub struct Offers<'a, S> {
    /// Levels of the venues that are books.
    pub books: S,
    /// By venue; `None`: a book.
    pub pools: &'a [Option<PoolOffer<'a>>],
}

impl<S: Source> Source for Offers<'_, S> {
    #[inline]
    fn next(&mut self, venue: usize) -> Option<(i64, i64)> {
        self.books.next(venue)
    }
}

impl<S: Source> Depth for Offers<'_, S> {
    #[inline]
    fn pool(&self, venue: usize) -> Option<PoolOffer<'_>> {
        *self.pools.get(venue)?
    }
}

/// In place of a price: above any that a venue asks, so that all of each is taken.
const NO_PRICE: f64 = 1e150;
const EVERYTHING: Bracket = Bracket { low: NO_PRICE, high: NO_PRICE };

/// So many sizes below one that lots do not make are tried, one after the other.
const MOST_SIZES: i64 = 64;

/// What the first node of a search found: a bound of the cost, and the dual's price.
#[derive(Clone, Copy, Debug)]
struct Root {
    bound: f64,
    price: f64,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    venue: usize,
    before: Bounds,
    other: Option<Bounds>,
}

/// A split that trades so much, at this cost.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Found {
    filled: i64,
    cost: i128,
}

/// Splits orders over books and pools, of which there may be thousands. Keep it: once warm it does not allocate.
///
/// A cost is exact; the proof is in floats. [`Split::is_optimal`] says that no other split trades more, and that none costs
/// less by more than two raw units of each pool's quote token and 10^-12 of the cost, which is what whole amounts of tokens
/// and floats leave open.
#[derive(Debug, Default)]
pub struct DualRouter {
    venues: Vec<Venue>,
    count: usize,
    buy: bool,
    limited: bool,
    max_venues: usize,
    divisor: i64,
    taken: Vec<i64>,
    costs: Vec<i128>,
    incumbent: Option<Found>,
    /// The least bound of what was left unexplored.
    open_bound: f64,
    /// What whole amounts of the pools' tokens may cost.
    raw: f64,
    stack: Vec<Frame>,
    trial: Vec<i64>,
    modes: Vec<Mode>,
    ranked: Vec<(Supply, usize)>,
    heap: Vec<std::cmp::Reverse<Next>>,
    dear: Vec<Next>,
}

impl DualRouter {
    /// A router.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Finds the cheapest split of an order over venues with these terms: as much of the size as can be traded, at the
    /// least cost. The proportional cost of [`Terms::factor`] is on top of a pool's own fee.
    ///
    /// # Errors
    /// [`RouteError`] if the size, the terms or the levels cannot be, or the numbers are too large for exact sums.
    pub fn split(&mut self, order: &Order, terms: &[Terms], depth: &mut impl Depth) -> Result<Split, RouteError> {
        self.prepare(order, terms, depth)?;
        let mut target = self.reachable(order.size, depth)?;
        let mut first: Vec<Bounds> = Vec::new();
        first.extend(self.venues[..self.count].iter().map(|venue| venue.bounds));
        let (mut nodes, mut proven) = (0, true);
        let mut root = Root { bound: f64::NEG_INFINITY, price: 0.0 };
        while target > 0 {
            self.open_bound = f64::INFINITY;
            root = self.search(target, order.max_nodes, &mut nodes, depth)?;
            let filled = self.incumbent.map_or(0, |best| best.filled);
            if filled >= target {
                break;
            }
            // Lots that differ do not make this size: the next smaller one, or what there is after too many.
            proven &= nodes < order.max_nodes && (target - filled) / self.divisor <= MOST_SIZES;
            target = if proven { target - self.divisor } else { filled };
            for (venue, bounds) in self.venues.iter_mut().zip(&first) {
                venue.bounds = *bounds;
            }
        }
        let mut split = self.answer(target, nodes, &root);
        split.is_optimal &= proven;
        Ok(split)
    }

    /// The search for one size.
    fn search(
        &mut self,
        target: i64,
        max_nodes: u64,
        nodes: &mut u64,
        depth: &mut impl Depth,
    ) -> Result<Root, RouteError> {
        *nodes += 1;
        let Some((bound, price, mut branch)) = self.node(target, true, depth)? else {
            return Ok(Root { bound: f64::NEG_INFINITY, price: 0.0 });
        };
        loop {
            if let Some((venue, _, [first, other])) = branch.take() {
                if *nodes >= max_nodes {
                    // What is open was bounded by its parents, the first of them least.
                    self.open_bound = self.open_bound.min(bound);
                    break;
                }
                let before = self.venues[venue].bounds;
                self.stack.push(Frame { venue, before, other: Some(other) });
                self.venues[venue].bounds = first;
            } else {
                let Some(frame) = self.stack.last_mut() else { break };
                let venue = frame.venue;
                let Some(other) = frame.other.take() else {
                    self.venues[venue].bounds = frame.before;
                    self.stack.pop();
                    continue;
                };
                self.venues[venue].bounds = other;
            }
            *nodes += 1;
            branch = self.node(target, false, depth)?.and_then(|(_, _, next)| next);
        }
        self.stack.clear();
        Ok(Root { bound, price })
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)] // a bound is rounded down
    fn answer(&self, target: i64, nodes: u64, root: &Root) -> Split {
        let Found { filled, cost } = self.incumbent.unwrap_or(Found { filled: 0, cost: 0 });
        let count = |bound: f64| if filled == target && bound.is_finite() { bound.floor() as i128 } else { i128::MIN };
        let bound = if filled == 0 { 0 } else { count(self.open_bound.min(cost as f64)).min(cost) };
        let tolerance = self.tolerance(cost);
        let is_optimal = filled == target && bound != i128::MIN && (cost - bound) as f64 <= tolerance;
        let is_constrained =
            self.venues[..self.count].iter().any(Venue::is_constrained) || self.max_venues < self.count;
        let (relaxed, marginal) = (count(root.bound), root.price);
        Split { filled, cost, bound, relaxed, is_optimal, marginal, nodes, is_constrained }
    }

    /// What whole amounts and floats leave open of a cost.
    #[allow(clippy::cast_precision_loss)]
    fn tolerance(&self, cost: i128) -> f64 {
        2.0 * self.raw + 1e-12 * (cost as f64).abs()
    }

    /// Lots of each venue in the last split.
    #[must_use]
    pub fn lots(&self) -> &[i64] {
        &self.taken
    }

    /// What a venue's part of the last split costs with its fixed cost, in units of [`Split::cost`].
    #[must_use]
    pub fn cost_of(&self, venue: usize) -> i128 {
        if self.taken.get(venue).is_some_and(|lots| *lots > 0) {
            self.costs.get(venue).copied().unwrap_or(0)
        } else {
            0
        }
    }

    /// Of a book, the worst price that its part of the last split trades at, and what its last lot costs net, in 10^-9
    /// price units; `None` if it has no part, and for pools.
    #[must_use]
    pub fn last_of(&self, venue: usize) -> Option<(i64, f64)> {
        self.venues.get(venue)?.worst(*self.taken.get(venue)?)
    }

    /// Forgets the last split's lots.
    pub(super) fn clear(&mut self) {
        self.taken.fill(0);
    }

    /// Whether no venue has more to trade.
    pub(super) fn all_ended(&self) -> bool {
        self.venues[..self.count].iter().all(Venue::has_ended)
    }

    /// Whether a pool stopped at the limit price.
    pub(super) fn any_limited(&self) -> bool {
        self.venues[..self.count].iter().any(Venue::is_limited)
    }

    #[allow(clippy::cast_precision_loss)]
    fn divisor_f64(&self) -> f64 {
        self.divisor as f64
    }

    fn prepare(&mut self, order: &Order, terms: &[Terms], depth: &impl Depth) -> Result<(), RouteError> {
        if order.size <= 0 {
            return Err(RouteError::Size(order.size));
        }
        self.venues.resize_with(self.venues.len().max(terms.len()), Venue::new);
        self.count = terms.len();
        self.buy = order.buy;
        self.limited = order.max_venues < terms.len();
        self.max_venues = order.max_venues;
        self.incumbent = None;
        self.open_bound = f64::INFINITY;
        self.raw = 0.0;
        self.taken.clear();
        self.taken.resize(terms.len(), 0);
        let mut divisor = 0;
        for (index, (venue, terms)) in self.venues.iter_mut().zip(terms).enumerate() {
            venue.reset(index, order, terms, depth.pool(index).as_ref())?;
            if self.limited && venue.bounds.mode == Mode::Free {
                venue.bounds.mode = Mode::Open;
            }
            divisor = gcd(divisor, terms.lot);
            self.raw += venue.pool.map_or(0.0, |side| side.per_quote);
        }
        self.divisor = divisor.max(1);
        if !terms.is_empty() && order.size % self.divisor != 0 {
            return Err(RouteError::OffLot { size: order.size, lot: self.divisor });
        }
        Ok(())
    }

    /// The size if venues have it, else all that they have: all levels are read only where there may be too few.
    fn reachable(&mut self, size: i64, depth: &mut impl Depth) -> Result<i64, RouteError> {
        let mut sizes = std::mem::take(&mut self.trial);
        sizes.clear();
        let (mut total, mut used) = (0_i128, 0);
        for (index, venue) in self.venues[..self.count].iter_mut().enumerate() {
            // A pool tells its end without a walk, so pools come first.
            let most =
                if venue.pool.is_some() || venue.bounds.mode == Mode::Used { venue.most(index, depth)? } else { 0 };
            if most < venue.least() {
                return Err(RouteError::Required { venue: index });
            }
            sizes.push(most);
            total += i128::from(most) * i128::from(venue.lot);
        }
        if !self.limited && total >= i128::from(size) {
            self.trial = sizes;
            return Ok(size);
        }
        let mut others: Vec<i128> = Vec::new();
        total = 0;
        for (index, venue) in self.venues[..self.count].iter_mut().enumerate() {
            let mut most = venue.most(index, depth)?;
            if most < venue.min && venue.bounds.mode == Mode::Open {
                (most, venue.bounds.mode) = (0, Mode::Unused);
            }
            let all = i128::from(most) * i128::from(venue.lot);
            if venue.bounds.mode == Mode::Used {
                (total, used) = (total + all, used + 1);
            } else {
                others.push(-all);
            }
        }
        self.trial = sizes;
        others.sort_unstable();
        total -= others.iter().take(self.max_venues.saturating_sub(used)).sum::<i128>();
        let most = i64::try_from(total).unwrap_or(i64::MAX).min(size);
        Ok(self.in_lots(most - most % self.divisor))
    }

    /// What lots can make of a size, where each lot divides the coarser ones: as many as fit of each, the coarsest first,
    /// leave the least. Else all of it, which may be too much.
    fn in_lots(&mut self, size: i64) -> i64 {
        let venues = &self.venues[..self.count];
        let mut sizes: Vec<(i64, i64)> = venues
            .iter()
            .filter(|venue| venue.bounds.mode != Mode::Unused)
            .map(|venue| (venue.lot, venue.known_most()))
            .collect();
        sizes.sort_unstable_by_key(|(lot, _)| -lot);
        if !sizes.windows(2).all(|pair| pair[0].0 % pair[1].0 == 0) {
            return size;
        }
        let rest = sizes.iter().fold(size, |rest, (lot, most)| rest - (*most).min(rest / lot) * lot);
        size - rest
    }

    /// One node of the search: its bound, the dual's price, and how to go on if it may hold a better split.
    #[allow(clippy::type_complexity)] // a venue, the bound and the two branches
    fn node(
        &mut self,
        target: i64,
        is_root: bool,
        depth: &mut impl Depth,
    ) -> Result<Option<(f64, f64, Option<(usize, f64, [Bounds; 2])>)>, RouteError> {
        #[allow(clippy::cast_precision_loss)]
        let wanted = target as f64;
        let used = self.venues[..self.count].iter().filter(|venue| venue.bounds.mode == Mode::Used).count();
        if used > self.max_venues {
            return Ok(None);
        }
        for (index, venue) in self.venues[..self.count].iter_mut().enumerate() {
            if venue.least() > 0 && !venue.has(venue.least(), index, depth)? {
                return Ok(None);
            }
        }
        let bracket = match self.solve(wanted, depth)? {
            Some(bracket) => bracket,
            // Venues have less than the size here: all of it at any price, so nothing bounds what it costs.
            None if is_root => EVERYTHING,
            None => return Ok(None),
        };
        // All that there is has no price of its own: the dearest lot tells it.
        let mut price = if bracket.high == NO_PRICE { f64::NEG_INFINITY } else { bracket.high };
        let mut bound = f64::NEG_INFINITY;
        for price in [bracket.low, bracket.high] {
            bound = bound.max(self.bound(price, wanted, depth, false)?).max(self.bound(price, wanted, depth, true)?);
        }
        if self.is_beaten(target, bound) {
            self.open_bound = self.open_bound.min(bound);
            return Ok(Some((bound, price, None)));
        }
        let is_open = self.venues[..self.count].iter().any(|venue| venue.bounds.mode == Mode::Open);
        if is_open {
            for at in [bracket.high, bracket.low] {
                let worst = self.candidate(at, target, depth)?;
                price = price.max(worst);
                bound = bound.max(self.bound(worst, wanted, depth, true)?);
                if bracket.low == bracket.high {
                    break;
                }
            }
        } else {
            let (filled, worst) = self.whole(&bracket, target, depth)?;
            self.keep(filled, depth);
            price = price.max(worst);
            bound = bound.max(self.bound(worst, wanted, depth, true)?);
        }
        if bracket.high != NO_PRICE {
            price = bracket.high;
        }
        if self.is_beaten(target, bound) {
            self.open_bound = self.open_bound.min(bound);
            return Ok(Some((bound, price, None)));
        }
        if is_root && is_open && !self.limited {
            self.decide(bracket.high, bound, target, depth)?;
        }
        let mut branch = self.branch(&bracket, depth)?;
        if branch.is_none() && !is_open && self.incumbent.is_none_or(|best| best.filled < target) {
            branch = self.refill();
        }
        let branch = branch.map(|(venue, branches)| (venue, bound, branches));
        if branch.is_none() {
            self.open_bound = self.open_bound.min(bound);
        }
        Ok(Some((bound, price, branch)))
    }

    /// Whether a bound leaves nothing to be found below it.
    #[allow(clippy::cast_precision_loss)]
    fn is_beaten(&self, target: i64, bound: f64) -> bool {
        let Some(best) = self.incumbent else { return false };
        best.filled == target && bound >= best.cost as f64 - self.tolerance(best.cost)
    }

    /// The split among the orders that gain at a price, the others left out; then again without those that turn out to lose.
    /// Returns the price of its dearest lot.
    fn candidate(&mut self, price: f64, target: i64, depth: &mut impl Depth) -> Result<f64, RouteError> {
        let mut modes = std::mem::take(&mut self.modes);
        modes.clear();
        modes.extend(self.venues[..self.count].iter().map(|venue| venue.bounds.mode));
        // With few orders allowed those count that gain most.
        self.total(price, depth, false)?;
        let at = Marginal::new(price, self.buy);
        for (index, _) in modes.iter().enumerate().filter(|(_, mode)| **mode == Mode::Open) {
            let gains = if self.limited {
                self.ranked.iter().any(|(_, ranked)| *ranked == index)
            } else {
                self.venues[index].supply(index, &at, depth, true)?.size > 0.0
            };
            self.venues[index].bounds.mode = if gains { Mode::Used } else { Mode::Unused };
        }
        let limited = std::mem::replace(&mut self.limited, false);
        let mut dearest = f64::NEG_INFINITY;
        #[allow(clippy::cast_precision_loss)]
        for _ in 0..3 {
            let bracket = self.solve(target as f64, depth)?.unwrap_or(EVERYTHING);
            let (filled, worst) = self.whole(&bracket, target, depth)?;
            self.keep(filled, depth);
            dearest = worst;
            // Who loses at the price that came of it is left out, the one that loses most.
            let at = Marginal::new(bracket.low, self.buy);
            let mut loser: Option<(f64, usize)> = None;
            for (index, _) in modes.iter().enumerate().filter(|(_, mode)| **mode == Mode::Open) {
                if self.venues[index].bounds.mode == Mode::Used {
                    let profit = self.venues[index].supply(index, &at, depth, false)?.profit;
                    if profit < 0.0 && loser.is_none_or(|(least, _)| profit < least) {
                        loser = Some((profit, index));
                    }
                }
            }
            let Some((_, index)) = loser else { break };
            self.venues[index].bounds.mode = Mode::Unused;
        }
        self.limited = limited;
        for (venue, mode) in self.venues.iter_mut().zip(&modes) {
            venue.bounds.mode = *mode;
        }
        self.modes = modes;
        Ok(dearest)
    }

    /// Keeps the lots that were found if they are the best split so far.
    fn keep(&mut self, filled: i64, depth: &impl Depth) {
        if filled <= 0 || self.incumbent.is_some_and(|best| filled < best.filled) {
            return;
        }
        if self.trial.iter().filter(|lots| **lots > 0).count() > self.max_venues {
            return;
        }
        let mut cost = 0_i128;
        for (index, (venue, lots)) in self.venues.iter_mut().zip(&self.trial).enumerate() {
            if *lots > 0 && *lots < venue.min {
                return;
            }
            match venue.exact(index, *lots, depth).and_then(|part| cost.checked_add(part)) {
                Some(sum) => cost = sum,
                None => return,
            }
        }
        if self.incumbent.is_none_or(|best| filled > best.filled || cost < best.cost) {
            self.incumbent = Some(Found { filled, cost });
            self.taken.clone_from(&self.trial);
            self.costs.clear();
            for (index, (venue, lots)) in self.venues.iter_mut().zip(&self.trial).enumerate() {
                self.costs.push(venue.exact(index, *lots, depth).unwrap_or(0));
            }
        }
    }
}
