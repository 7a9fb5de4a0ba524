//! One trade: what its orders filled, and what it comes to.

use crate::market::cross::walk::{LegCost, Terms, cost, proceeds, weighed_down, weighed_up};
use crate::units::Price;

/// One order, or the closing of an excess.
#[derive(Clone, Debug, Default)]
pub(super) struct Leg {
    pub(super) filled: i64,
    pub(super) notional: i128,
    /// Common price and size of each part.
    pub(super) fills: Vec<(i64, i64)>,
}

/// Two orders under way, and what came of them.
#[derive(Clone, Debug)]
pub(super) struct Trade {
    pub(super) buy: usize,
    pub(super) sell: usize,
    pub(super) size: i64,
    pub(super) limits: [Price; 2],
    pub(super) terms: Terms,
    pub(super) legs: [Leg; 2],
    /// What was closed of the excess.
    pub(super) closing: Leg,
    /// Waits for the book to change to close what is left.
    pub(super) waits: bool,
}

/// What a trade comes to.
pub(super) struct Account {
    pub(super) gross: i128,
    pub(super) fees: i128,
    pub(super) fixed: i128,
    pub(super) unhedged: i128,
    pub(super) profit: i128,
}

impl Trade {
    /// What was bought more than sold.
    pub(super) const fn excess(&self) -> i64 {
        self.legs[0].filled - self.legs[1].filled
    }

    /// The venue that has the excess.
    pub(super) const fn closes_at(&self) -> usize {
        if self.excess() > 0 { self.buy } else { self.sell }
    }

    /// The sum of price × size of the first `size` of a leg.
    fn first(leg: &Leg, size: i64) -> Option<i128> {
        let mut left = size;
        leg.fills.iter().try_fold(0_i128, |sum, (price, filled)| {
            let part = left.min(*filled);
            left -= part;
            sum.checked_add(i128::from(*price) * i128::from(part))
        })
    }

    pub(super) fn account(&self, costs: &[LegCost], open: i64, touches: &[(i64, i64)]) -> Option<Account> {
        let terms = &self.terms;
        let [bought, sold] = &self.legs;
        let mut profit = 0_i128;
        if bought.filled > 0 {
            profit -= weighed_up(cost(bought.notional, terms.buy)?, terms.buy_weight)?;
        }
        if sold.filled > 0 {
            profit += weighed_down(proceeds(sold.notional, terms.sell)?, terms.sell_weight)?;
        }
        if self.excess() != 0 {
            let long = self.excess() > 0;
            let venue = self.closes_at();
            let (bid, ask) = *touches.get(venue)?;
            let last = i128::from(if long { bid } else { ask });
            let notional = self.closing.notional.checked_add(last.checked_mul(i128::from(open))?)?;
            let leg = *costs.get(venue)?;
            profit += if long {
                weighed_down(proceeds(notional, leg)?, terms.buy_weight)?
            } else {
                -weighed_up(cost(notional, leg)?, terms.sell_weight)?
            };
        }
        let matched = bought.filled.min(sold.filled);
        let (mut gross, mut fees, mut fixed) = (0, 0, 0);
        if matched > 0 {
            let (bought, sold) = (Self::first(bought, matched)?, Self::first(sold, matched)?);
            let fee = |notional: i128, leg: LegCost| notional.checked_mul(i128::from(leg.rate));
            fees = weighed_up(fee(bought, terms.buy)?, terms.buy_weight)?
                .checked_add(weighed_up(fee(sold, terms.sell)?, terms.sell_weight)?)?;
            fixed = weighed_up(terms.buy.fixed, terms.buy_weight)?
                .checked_add(weighed_up(terms.sell.fixed, terms.sell_weight)?)?;
            gross = terms.profit(bought, sold)?.checked_add(fees)?.checked_add(fixed)?;
        }
        let unhedged = gross - fees - fixed - profit;
        Some(Account { gross, fees, fixed, unhedged, profit })
    }
}
