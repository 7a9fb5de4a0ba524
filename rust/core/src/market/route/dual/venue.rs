//! One venue within the search: what it supplies at a net price, and what whole lots of it cost.

use super::super::RouteError;
use super::super::runs::{End, Lots, Terms};
use super::pool::{Marginal, PoolOffer, PoolSide, Supply};
use super::{Depth, Order};

/// What is decided about a venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Any number of lots: it has no cost or size that comes with the first of them.
    Free,
    /// None, or an order with its fixed cost and least size: not decided.
    Open,
    /// An order.
    Used,
    /// None.
    Unused,
}

/// What a branch decides about one venue; in lots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) mode: Mode,
    pub(super) low: i64,
    pub(super) high: i64,
}

/// A venue.
#[derive(Clone, Debug)]
pub(super) struct Venue {
    /// Of a book.
    book: Lots,
    /// Of a pool.
    pub(super) pool: Option<PoolSide>,
    pub(super) lot: i64,
    pub(super) fixed: i128,
    /// Least lots of an order.
    pub(super) min: i64,
    pub(super) bounds: Bounds,
    /// Of a pool: whether its terms, its limit price or its liquidity end it before the size does.
    ends: Option<PoolEnd>,
    /// The last size that was priced exactly, and its cost.
    priced: (i64, Option<i128>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PoolEnd {
    Liquidity,
    Limit,
    Terms,
}

impl Venue {
    pub(super) const fn new() -> Self {
        Self {
            book: Lots::new(),
            pool: None,
            lot: 1,
            fixed: 0,
            min: 1,
            bounds: Bounds { mode: Mode::Free, low: 0, high: 0 },
            ends: None,
            priced: (0, None),
        }
    }

    /// Begins with new terms.
    pub(super) fn reset(
        &mut self,
        index: usize,
        order: &Order,
        terms: &Terms,
        offer: Option<&PoolOffer<'_>>,
    ) -> Result<(), RouteError> {
        // The terms are checked, and rounded to lots, as those of any book.
        self.book.reset(index, terms, order.size, if order.buy { 1 } else { -1 })?;
        (self.lot, self.fixed, self.min) = (terms.lot, terms.fixed, self.book.min);
        (self.ends, self.priced) = (None, (0, None));
        self.pool = offer.map(|offer| PoolSide::new(index, offer, terms.factor, order.buy)).transpose()?;
        let mut high = terms.max.min(order.size) / terms.lot;
        if let (Some(side), Some(offer)) = (self.pool, offer) {
            self.ends = (terms.max < order.size).then_some(PoolEnd::Terms);
            high = self.capped(&side, offer, terms, high);
        }
        let mode = match () {
            () if terms.required => Mode::Used,
            () if high < self.min => Mode::Unused,
            () if self.is_lumpy() => Mode::Open,
            () => Mode::Free,
        };
        self.bounds = Bounds { mode, low: 0, high };
        Ok(())
    }

    /// The greatest number of lots that a pool can and may trade.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)] // what is too much for a count is no limit
    fn capped(&mut self, side: &PoolSide, offer: &PoolOffer<'_>, terms: &Terms, high: i64) -> i64 {
        let mut high = high;
        let most = side.most(offer.curve) / self.lot as f64;
        if most <= high as f64 {
            (self.ends, high) = (Some(PoolEnd::Liquidity), most as i64);
        }
        if let Some(limit) = offer.limit {
            let most = side.until(limit, offer) / self.lot;
            if most < high {
                (self.ends, high) = (Some(PoolEnd::Limit), most);
            }
        }
        let budget = terms.budget;
        let within = |lots: i64| {
            let cost = side.exact(lots.saturating_mul(terms.lot), offer);
            cost.is_some_and(|cost| budget.is_none_or(|budget| cost.saturating_add(terms.fixed) <= budget))
        };
        // Near the end of a curve amounts stop to fit the contract's integers.
        if high > 0 && (budget.is_some() || self.ends == Some(PoolEnd::Liquidity)) && !within(high) {
            let (mut low, mut above) = (0, high);
            while above - low > 1 {
                let middle = low + (above - low) / 2;
                if within(middle) { low = middle } else { above = middle }
            }
            high = low;
            self.ends = Some(if budget.is_some() { PoolEnd::Terms } else { PoolEnd::Liquidity });
        }
        high
    }

    /// Whether an order has costs that do not grow with it, or a least size of more than a lot.
    pub(super) const fn is_lumpy(&self) -> bool {
        self.fixed > 0 || self.min > 1
    }

    /// Whether its terms end it before the size does.
    pub(super) fn is_constrained(&self) -> bool {
        if self.pool.is_some() { self.ends == Some(PoolEnd::Terms) } else { self.book.is_constrained }
    }

    /// Whether its limit price does.
    pub(super) fn is_limited(&self) -> bool {
        self.pool.is_some() && self.ends == Some(PoolEnd::Limit)
    }

    /// Whether it has no more to trade.
    pub(super) fn has_ended(&self) -> bool {
        if self.pool.is_some() { self.ends.is_some() } else { self.book.end == End::Levels || self.book.is_constrained }
    }

    /// The fewest lots that it must trade.
    pub(super) fn least(&self) -> i64 {
        let Bounds { mode, low, .. } = self.bounds;
        match mode {
            Mode::Used => low.max(self.min),
            Mode::Unused => 0,
            _ => low,
        }
    }

    /// The most lots that it can trade; a book is read to its end.
    pub(super) fn most(&mut self, index: usize, depth: &mut impl Depth) -> Result<i64, RouteError> {
        if self.bounds.mode == Mode::Unused {
            return Ok(0);
        }
        if self.pool.is_none() {
            while self.book.lots < self.bounds.high && self.book.pull(index, depth)? {}
            return Ok(self.bounds.high.min(self.book.lots));
        }
        Ok(self.bounds.high)
    }

    /// The most lots that it can trade as far as it has been read.
    pub(super) fn known_most(&self) -> i64 {
        if self.pool.is_some() { self.bounds.high } else { self.bounds.high.min(self.book.lots) }
    }

    /// Whether it has so many lots.
    pub(super) fn has(&mut self, lots: i64, index: usize, depth: &mut impl Depth) -> Result<bool, RouteError> {
        if lots > self.bounds.high {
            return Ok(false);
        }
        if self.pool.is_none() {
            while self.book.lots < lots && self.book.pull(index, depth)? {}
            return Ok(self.book.lots >= lots);
        }
        Ok(true)
    }

    /// The net price of the first of it; the greatest float if there is nothing.
    pub(super) fn entry(&mut self, index: usize, depth: &mut impl Depth) -> Result<f64, RouteError> {
        if let Some(side) = &self.pool {
            return Ok(side.entry());
        }
        if self.book.runs.is_empty() {
            self.book.pull(index, depth)?;
        }
        Ok(self.book.runs.first().map_or(f64::MAX, |run| run.slope.to_f64()))
    }

    /// What it supplies at a net price: the size that is most worth trading at it. Of an order that is not decided there is
    /// nothing unless it is worth its fixed cost; `is_open` leaves that out.
    #[inline]
    #[allow(clippy::cast_precision_loss)] // the dual is in floats
    pub(super) fn supply(
        &mut self,
        index: usize,
        at: &Marginal,
        depth: &mut impl Depth,
        is_open: bool,
    ) -> Result<Supply, RouteError> {
        let Bounds { mode, high, .. } = self.bounds;
        if mode == Mode::Unused {
            return Ok(Supply::default());
        }
        let lot = self.lot as f64;
        let mut found = match &self.pool {
            Some(side) => side.supply(at, || depth.pool(index).map(|offer| offer.curve)),
            None => self.book_supply(index, at.price, depth)?,
        };
        let most = high as f64 * lot;
        if found.size > most {
            found = self.supply_of(index, most, at, depth);
        }
        let least = if mode == Mode::Open { self.min.max(self.bounds.low) } else { self.least() };
        if found.size < least as f64 * lot && least > 0 && !(mode == Mode::Free && self.bounds.low == 0) {
            found = self.supply_of(index, least as f64 * lot, at, depth);
        }
        if mode != Mode::Free {
            found.profit -= self.fixed as f64;
            found.rough += self.fixed as f64;
            if mode == Mode::Open && is_open && found.profit <= 0.0 {
                return Ok(Supply::default());
            }
        }
        Ok(found)
    }

    #[allow(clippy::cast_precision_loss)]
    fn book_supply(&mut self, index: usize, price: f64, depth: &mut impl Depth) -> Result<Supply, RouteError> {
        let book = &mut self.book;
        while book.lots < self.bounds.high
            && book.runs.last().is_none_or(|run| run.slope.to_f64() <= price)
            && book.pull(index, depth)?
        {}
        let place = book.runs.partition_point(|run| run.slope.to_f64() <= price);
        let Some(run) = place.checked_sub(1).and_then(|place| book.runs.get(place)) else {
            return Ok(Supply::default());
        };
        let lots = (run.lots_before + run.lots).min(self.bounds.high);
        let size = lots as f64 * self.lot as f64;
        let profit = price.mul_add(size, -(self.book_cost(lots) as f64));
        Ok(Supply { size, profit, slope: 0.0, rough: (price * size).abs() })
    }

    /// Of a book, without the fixed cost; the lots have been read.
    fn book_cost(&self, lots: i64) -> i128 {
        if lots <= 0 {
            return 0;
        }
        self.book.cost_of(lots, self.book.runs.partition_point(|run| run.lots_before + run.lots < lots))
    }

    /// The supply if it is this size. A book that has less supplies what it has.
    #[inline(never)]
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn supply_of(&mut self, index: usize, size: f64, at: &Marginal, depth: &mut impl Depth) -> Supply {
        let cost = self.cost_of(index, size, depth);
        Supply { size, profit: at.price.mul_add(size, -cost), slope: 0.0, rough: (size * at.price).abs() + cost.abs() }
    }

    /// What a size costs in floats, without the fixed cost; infinite if there is less.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn cost_of(&mut self, index: usize, size: f64, depth: &mut impl Depth) -> f64 {
        match &self.pool {
            Some(side) => depth.pool(index).map_or(f64::INFINITY, |offer| side.cost(size, offer.curve).0),
            None => {
                let lots = (size / self.lot as f64).round() as i64;
                while self.book.lots < lots && matches!(self.book.pull(index, depth), Ok(true)) {}
                if self.book.lots < lots { f64::INFINITY } else { self.book_cost(lots) as f64 }
            }
        }
    }

    /// The profit at a net price if only whole lots can be traded, at most that of any size.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    pub(super) fn whole_supply(
        &mut self,
        index: usize,
        at: &Marginal,
        depth: &mut impl Depth,
    ) -> Result<Supply, RouteError> {
        let found = self.supply(index, at, depth, true)?;
        let Some(side) = self.pool.filter(|_| found.size > 0.0) else { return Ok(found) };
        let Some(offer) = depth.pool(index) else { return Ok(found) };
        let lot = self.lot as f64;
        let fixed = if self.bounds.mode == Mode::Free { 0.0 } else { self.fixed as f64 };
        // The best whole number is beside the best of all.
        let lots = (found.size / lot).floor();
        let best = [lots - 1.0, lots, lots + 1.0, lots + 2.0]
            .into_iter()
            .filter(|lots| *lots >= self.least() as f64 && *lots <= self.bounds.high as f64)
            .map(|lots| at.price.mul_add(lots * lot, -side.cost(lots * lot, offer.curve).0) - fixed)
            .fold(f64::NEG_INFINITY, f64::max);
        let floor = if self.bounds.mode == Mode::Used { f64::NEG_INFINITY } else { 0.0 };
        Ok(Supply { profit: best.max(floor).min(found.profit), ..found })
    }

    /// The mean net price of the next lots after so many, and how many there are of it; `None` at the end.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn next(
        &mut self,
        index: usize,
        lots: i64,
        most: i64,
        depth: &mut impl Depth,
    ) -> Result<Option<(f64, i64)>, RouteError> {
        let room = self.bounds.high - lots;
        if room <= 0 || self.bounds.mode == Mode::Unused {
            return Ok(None);
        }
        if let Some(side) = &self.pool {
            let Some(offer) = depth.pool(index) else { return Ok(None) };
            let (lot, count) = (self.lot as f64, most.clamp(1, room));
            let price = side.mean(lots as f64 * lot, count as f64 * lot, offer.curve);
            return Ok(price.is_finite().then_some((price, count)));
        }
        while self.book.lots <= lots && self.book.pull(index, depth)? {}
        let place = self.book.runs.partition_point(|run| run.lots_before + run.lots <= lots);
        let run = self.book.runs.get(place);
        Ok(run.map(|run| (run.slope.to_f64(), (run.lots_before + run.lots - lots).min(room))))
    }

    /// The mean net price of the last lot of so many.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn last(&self, index: usize, lots: i64, depth: &impl Depth) -> f64 {
        match &self.pool {
            Some(side) => depth.pool(index).map_or(f64::NEG_INFINITY, |offer| {
                side.mean((lots - 1) as f64 * self.lot as f64, self.lot as f64, offer.curve)
            }),
            None => {
                let place = self.book.runs.partition_point(|run| run.lots_before + run.lots < lots);
                self.book.runs.get(place).map_or(f64::NEG_INFINITY, |run| run.slope.to_f64())
            }
        }
    }

    /// What so many lots cost exactly, fixed cost included; `None` if a pool refuses.
    pub(super) fn exact(&mut self, index: usize, lots: i64, depth: &impl Depth) -> Option<i128> {
        if lots == 0 {
            return Some(0);
        }
        let Some(side) = &self.pool else { return Some(self.book_cost(lots) + self.fixed) };
        if self.priced.0 != lots {
            let cost = side.exact(lots.checked_mul(self.lot)?, &depth.pool(index)?);
            self.priced = (lots, cost.and_then(|cost| cost.checked_add(self.fixed)));
        }
        self.priced.1
    }

    /// Of a book, the worst price that so many lots trade at, and what the last of them costs net.
    pub(super) fn worst(&self, lots: i64) -> Option<(i64, f64)> {
        let place = self.book.runs.partition_point(|run| run.lots_before + run.lots < lots);
        self.book.runs.get(place).filter(|_| lots > 0).map(|run| (run.price, run.slope.to_f64()))
    }
}
