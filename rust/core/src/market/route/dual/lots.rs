//! From the dual's price to whole lots: what is below the price is taken, what is left of the size goes lot by lot to
//! where it costs least, and lots change places while that helps.
//!
//! Net costs are convex, so with equal lots the split is the cheapest there is once no lot taken costs more than one that
//! is not. Lots that differ may leave something over that no lot fits; then the search branches.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::super::RouteError;
use super::pool::Marginal;
use super::price::Bracket;
use super::{Depth, DualRouter};

/// A price at which a venue would trade its next lots.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Next {
    price: f64,
    venue: usize,
    lots: i64,
}

impl Eq for Next {}

impl Ord for Next {
    fn cmp(&self, other: &Self) -> Ordering {
        self.price.total_cmp(&other.price).then(self.venue.cmp(&other.venue))
    }
}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl DualRouter {
    /// Writes the lots of every venue into `trial`: as much of the size as they fit, at about the least cost. Says how much
    /// that is, and the greatest net price of a lot.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)] // floors of what was counted in lots
    pub(super) fn whole(
        &mut self,
        bracket: &Bracket,
        target: i64,
        depth: &mut impl Depth,
    ) -> Result<(i64, f64), RouteError> {
        let at = Marginal::new(bracket.low, self.buy);
        self.trial.clear();
        let least = self.venues[..self.count].iter().map(|venue| venue.least().saturating_mul(venue.lot));
        let mut left = target.saturating_sub(least.fold(0, i64::saturating_add));
        if left < 0 {
            self.trial.resize(self.count, 0);
            return Ok((0, f64::NEG_INFINITY)); // the orders that must be are more than the size
        }
        for (index, venue) in self.venues[..self.count].iter_mut().enumerate() {
            let least = venue.least();
            let found = venue.supply(index, &at, depth, true)?;
            let lots = (found.size / venue.lot as f64 * (1.0 + f64::EPSILON)).floor() as i64;
            let more = (lots.min(venue.bounds.high) - least).clamp(0, left / venue.lot);
            self.trial.push(least + more);
            left -= more * venue.lot;
        }
        let left = self.fill(left, depth)?;
        let worst = self.exchange(depth)?;
        Ok((target - left, worst))
    }

    /// Gives what is left to the cheapest lots that fit; says what no lot fits.
    fn fill(&mut self, mut left: i64, depth: &mut impl Depth) -> Result<i64, RouteError> {
        let mut heap = BinaryHeap::from(std::mem::take(&mut self.heap));
        heap.clear();
        for index in 0..self.count {
            if left > 0 {
                heap.extend(self.next(index, left, depth)?.map(Reverse));
            }
        }
        while left > 0 {
            let Some(Reverse(Next { venue, lots, .. })) = heap.pop() else { break };
            let lot = self.venues[venue].lot;
            let taken = lots.min(left / lot);
            if taken == 0 {
                continue;
            }
            self.trial[venue] += taken;
            left -= taken * lot;
            heap.extend(self.next(venue, left, depth)?.map(Reverse));
        }
        self.heap = heap.into_vec();
        Ok(left)
    }

    /// The next lots of a venue; of a pool so many that some hundred steps do, however much is left.
    fn next(&mut self, index: usize, left: i64, depth: &mut impl Depth) -> Result<Option<Next>, RouteError> {
        let venue = &mut self.venues[index];
        let most = left / venue.lot / 16;
        let found = venue.next(index, self.trial[index], most, depth)?;
        Ok(found.map(|(price, lots)| Next { price, venue: index, lots }))
    }

    /// Moves lots from where they cost most to where they cost least while that helps, between venues of the finest lot.
    /// Returns the price of the dearest lot that stays.
    fn exchange(&mut self, depth: &mut impl Depth) -> Result<f64, RouteError> {
        let finest = self.venues[..self.count].iter().map(|venue| venue.lot).min().unwrap_or(1);
        let mut buy = BinaryHeap::from(std::mem::take(&mut self.heap));
        let mut sell = BinaryHeap::from(std::mem::take(&mut self.dear));
        buy.clear();
        sell.clear();
        let mut worst = f64::NEG_INFINITY;
        for index in 0..self.count {
            let venue = &self.venues[index];
            let lots = self.trial[index];
            if lots > venue.least() || lots > 0 && venue.lot != finest {
                let price = venue.last(index, lots, depth);
                if venue.lot == finest && lots > venue.least() {
                    sell.push(Next { price, venue: index, lots: 1 });
                } else {
                    worst = worst.max(price);
                }
            }
            if venue.lot == finest {
                buy.extend(self.next(index, 0, depth)?.map(Reverse));
            }
        }
        // Each exchange lowers the cost, so there is an end; floats that say otherwise get one too.
        for _ in 0..4 * self.count {
            let (Some(from), Some(Reverse(to))) = (sell.peek().copied(), buy.peek().copied()) else { break };
            if to.price >= from.price - from.price.abs() * 1e-15 || from.venue == to.venue {
                break;
            }
            sell.pop();
            buy.pop();
            for (venue, change) in [(from.venue, -1), (to.venue, 1)] {
                self.trial[venue] += change;
            }
            for venue in [from.venue, to.venue] {
                // What was known of these two is of the past.
                sell.retain(|next| next.venue != venue);
                buy.retain(|Reverse(next)| next.venue != venue);
                let lots = self.trial[venue];
                if lots > self.venues[venue].least() {
                    sell.push(Next { price: self.venues[venue].last(venue, lots, depth), venue, lots: 1 });
                }
                buy.extend(self.next(venue, 0, depth)?.map(Reverse));
            }
        }
        worst = worst.max(sell.peek().map_or(f64::NEG_INFINITY, |next| next.price));
        self.heap = buy.into_vec();
        self.dear = sell.into_vec();
        Ok(worst)
    }
}
