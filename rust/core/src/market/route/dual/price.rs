//! The net marginal price at which venues together supply the size: the maximum of the dual.
//!
//! At a price `λ` the venues supply `Σ x(λ)`, which never falls as the price rises, and no split of the size `X` costs less
//! than `λ X - Σ π(λ)`, where `π` is a venue's profit against the price, 0 if it had better not trade. With at most `K` orders
//! only the `K` largest profits count, for the same reason. The price at which the supply meets the size makes that bound
//! the greatest; it is bracketed, by Newton's steps in the inverse root of the price, in which pools are linear, and by
//! halving where a book's level or an order with a fixed cost makes the supply jump.

use super::super::RouteError;
use super::pool::Marginal;
use super::venue::{Mode, Venue};
use super::{Depth, DualRouter};

/// What all venues supply at a price.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Total {
    pub(super) size: f64,
    profit: f64,
    slope: f64,
    rough: f64,
}

/// Prices between which the supply meets the size: at the lower one it is at most that, at the upper at least.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bracket {
    pub(super) low: f64,
    pub(super) high: f64,
}

/// Evaluations until the bracket is taken as it is.
const MOST_STEPS: u32 = 200;
/// So many roundings of a float each sum may be off.
const ROUNDINGS: f64 = 16.0 * f64::EPSILON;

impl DualRouter {
    /// What venues supply at a price, whole lots only or not.
    pub(super) fn total(&mut self, price: f64, depth: &mut impl Depth, whole: bool) -> Result<Total, RouteError> {
        let at = Marginal::new(price, self.buy);
        let mut sum = Total::default();
        let mut add = |found: &super::pool::Supply| {
            sum.size += found.size;
            sum.profit += found.profit;
            sum.slope += found.slope;
            sum.rough += found.rough;
        };
        if self.limited {
            self.ranked.clear();
            let mut used = 0;
            for (index, venue) in self.venues[..self.count].iter_mut().enumerate() {
                let found = supply(venue, index, &at, depth, whole)?;
                if venue.bounds.mode == Mode::Used {
                    used += 1;
                    add(&found);
                } else if found.size > 0.0 {
                    self.ranked.push((found, index));
                }
            }
            self.ranked.sort_unstable_by(|a, b| b.0.profit.total_cmp(&a.0.profit).then(a.1.cmp(&b.1)));
            self.ranked.truncate(self.max_venues.saturating_sub(used));
            self.ranked.iter().for_each(|(found, _)| add(found));
        } else {
            for (index, venue) in self.venues[..self.count].iter_mut().enumerate() {
                add(&supply(venue, index, &at, depth, whole)?);
            }
        }
        Ok(sum)
    }

    /// What no split of the size costs less than, by the dual at a price, less what floats may be off.
    pub(super) fn bound(
        &mut self,
        price: f64,
        target: f64,
        depth: &mut impl Depth,
        whole: bool,
    ) -> Result<f64, RouteError> {
        if !price.is_finite() {
            return Ok(f64::NEG_INFINITY);
        }
        let total = self.total(price, depth, whole)?;
        let rough = (total.rough + (price * target).abs()) * ROUNDINGS;
        let bound = price.mul_add(target, -total.profit) - rough;
        Ok(if bound.is_nan() { f64::NEG_INFINITY } else { bound })
    }

    /// The bracket of the price for a size; `None` if the supply never meets it.
    pub(super) fn solve(&mut self, target: f64, depth: &mut impl Depth) -> Result<Option<Bracket>, RouteError> {
        let mut first = f64::MAX;
        for (index, venue) in self.venues[..self.count].iter_mut().enumerate() {
            if venue.bounds.mode != Mode::Unused {
                first = first.min(venue.entry(index, depth)?);
            }
        }
        if first == f64::MAX {
            return Ok(None);
        }
        // Within a part of a lot nothing is gained by knowing the price better.
        let near_enough = 0.25 * self.divisor_f64();
        let start = first - first.abs() * f64::EPSILON;
        let (mut low, mut high) = (start, f64::INFINITY);
        let mut step = (first.abs() * 1e-5).max(f64::MIN_POSITIVE * 1e20);
        let limit = first.abs().max(1.0) * 1e30;
        let mut last = (low, self.total(low, depth, false)?);
        if last.1.size >= target {
            // Orders that must be make all of it.
            return Ok(Some(Bracket { low, high: low }));
        }
        let mut slow = 0;
        for _ in 0..MOST_STEPS {
            let guess = self.newton(last, target).filter(|guess| *guess > low && *guess < high && slow < 2);
            let price = match guess {
                Some(guess) => guess,
                None if high.is_finite() => f64::midpoint(low, high),
                None => {
                    let price = low + step;
                    step *= 8.0;
                    price
                }
            };
            let is_closed = high.is_finite() && high - low <= 2.0 * f64::EPSILON * high.abs();
            if is_closed || !(price > low && price < high) {
                break;
            }
            if price.abs() > limit {
                return Ok(None);
            }
            let width = high - low;
            let total = self.total(price, depth, false)?;
            last = (price, total);
            if (total.size - target).abs() <= near_enough {
                return Ok(Some(Bracket { low: price, high: price }));
            }
            if total.size < target {
                low = price
            } else {
                high = price
            }
            // Newton's steps must halve the bracket, two of three of them.
            slow = if high.is_finite() && high - low > 0.5 * width { slow + 1 } else { 0 };
        }
        Ok(high.is_finite().then_some(Bracket { low, high }))
    }

    /// Where the supply would meet the size if pools went on as they do and books and orders stayed as they are.
    fn newton(&self, (price, total): (f64, Total), target: f64) -> Option<f64> {
        if total.slope <= 0.0 {
            return None;
        }
        let at = Marginal::new(price, self.buy);
        let more = (target - total.size) / total.slope;
        let inverse = if self.buy { at.inverse - more } else { at.inverse + more };
        let root = 1.0 / inverse;
        (inverse > 0.0 && root.is_finite()).then(|| if self.buy { root * root } else { -root * root })
    }
}

#[inline]
fn supply(
    venue: &mut Venue,
    index: usize,
    at: &Marginal,
    depth: &mut impl Depth,
    whole: bool,
) -> Result<super::pool::Supply, RouteError> {
    if whole { venue.whole_supply(index, at, depth) } else { venue.supply(index, at, depth, true) }
}
