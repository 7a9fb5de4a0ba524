//! How the search goes on where the dual's price leaves something undecided.

use super::super::RouteError;
use super::pool::Marginal;
use super::price::Bracket;
use super::venue::{Bounds, Mode};
use super::{Depth, DualRouter, NO_PRICE};

impl DualRouter {
    /// Orders whose gain or loss at the dual's price is more than the gap are decided: a split that decides otherwise costs
    /// more than the one that there is.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn decide(
        &mut self,
        price: f64,
        bound: f64,
        target: i64,
        depth: &mut impl Depth,
    ) -> Result<(), RouteError> {
        let Some(best) = self.incumbent.filter(|best| best.filled == target) else { return Ok(()) };
        if price == NO_PRICE {
            return Ok(());
        }
        let here = self.bound(price, target as f64, depth, false)?;
        let gap = best.cost as f64 - here;
        let at = Marginal::new(price, self.buy);
        for (index, venue) in self.venues[..self.count].iter_mut().enumerate() {
            if venue.bounds.mode == Mode::Open {
                let profit = venue.supply(index, &at, depth, false)?.profit;
                if profit.abs() > gap {
                    venue.bounds.mode = if profit > 0.0 { Mode::Used } else { Mode::Unused };
                }
            }
        }
        debug_assert!(bound >= here, "the best bound is the best");
        Ok(())
    }

    /// Where lots differ and do not fill the size, a venue of coarser lots trades fewer, or at least as many.
    pub(super) fn refill(&self) -> Option<(usize, [Bounds; 2])> {
        let venues = self.venues[..self.count].iter().zip(&self.trial).enumerate();
        let coarse = venues.filter(|(_, (venue, lots))| {
            venue.lot > self.divisor
                && venue.bounds.mode != Mode::Unused
                && venue.least() < venue.bounds.high.min(**lots + 1)
        });
        let (index, (venue, lots)) = coarse.max_by_key(|(_, (venue, _))| venue.lot)?;
        let (bounds, least) = (venue.bounds, venue.least());
        let below = if *lots > least { lots - 1 } else { least };
        Some((index, [Bounds { high: below, ..bounds }, Bounds { low: below + 1, ..bounds }]))
    }

    /// The order that is least decided at the dual's price; else a venue of coarser lots that would trade a part of one.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)] // floors of what was counted in lots
    pub(super) fn branch(
        &mut self,
        bracket: &Bracket,
        depth: &mut impl Depth,
    ) -> Result<Option<(usize, [Bounds; 2])>, RouteError> {
        let at = Marginal::new(bracket.high, self.buy);
        let mut open: Option<(f64, usize)> = None;
        let mut coarse: Option<(f64, usize, i64)> = None;
        for (index, venue) in self.venues[..self.count].iter_mut().enumerate() {
            let lot = venue.lot as f64;
            if venue.bounds.mode == Mode::Open {
                let profit = venue.supply(index, &at, depth, false)?.profit.abs();
                if open.is_none_or(|(least, _)| profit < least) {
                    open = Some((profit, index));
                }
            } else if venue.lot > self.divisor && venue.bounds.mode != Mode::Unused {
                let low = venue.supply(index, &Marginal::new(bracket.low, self.buy), depth, true)?.size / lot;
                let high = venue.supply(index, &at, depth, true)?.size / lot;
                // Of a book's level that is taken in part, what is left of the size tells the part.
                let taken = self.trial.get(index).copied().unwrap_or(0);
                let part = if venue.pool.is_some() { low } else { (taken as f64).clamp(low.floor(), high) };
                let floor = part.floor() as i64;
                let is_whole = venue.pool.is_some() && part == part.floor() || venue.pool.is_none() && low == high;
                let splits = floor >= venue.least() && floor < venue.bounds.high && !is_whole;
                if splits && coarse.is_none_or(|(most, _, _)| lot > most) {
                    coarse = Some((lot, index, floor));
                }
            }
        }
        if let Some((_, index)) = open {
            let venue = &self.venues[index];
            let bounds = venue.bounds;
            let with = Bounds { mode: Mode::Used, low: venue.min.max(bounds.low), high: bounds.high };
            let without = Bounds { mode: Mode::Unused, low: 0, high: 0 };
            let used = self.taken.get(index).is_some_and(|lots| *lots > 0);
            return Ok(Some((index, if used { [with, without] } else { [without, with] })));
        }
        Ok(coarse.map(|(_, index, floor)| {
            let bounds = self.venues[index].bounds;
            (index, [Bounds { high: floor, ..bounds }, Bounds { low: floor + 1, ..bounds }])
        }))
    }
}
