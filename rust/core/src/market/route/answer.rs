//! How an order is split, and why it is not split otherwise.

use super::super::Status;
use super::legs::Money;
use crate::cost::Amount;
use crate::pool::{Trade, U256};
use crate::units::{Price, Side, Size};

/// Why a venue has no part in a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeftOut {
    /// It does not count now.
    Status(Status),
    /// The request does not allow it.
    Denied,
    /// One lot of it is finer than the market's common size unit, so sizes would not be exact.
    Lot,
}

impl LeftOut {
    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Status(status) => status.name(),
            Self::Denied => "denied",
            Self::Lot => "lot",
        }
    }
}

/// Why less is traded than was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shortfall {
    /// The known levels end.
    Liquidity,
    /// Further levels are beyond the limit price.
    Limit,
    /// Greatest sizes, balances or the number of venues.
    Constraints,
    /// What is left is less than a lot or a least size.
    Lots,
    /// What is left is less than one contract whose size depends on the price, or a lot beside it: sizes are no multiples
    /// of such contracts, so this is as it must be.
    Contracts,
}

impl Shortfall {
    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Liquidity => "liquidity",
            Self::Limit => "limit",
            Self::Constraints => "constraints",
            Self::Lots => "lots",
            Self::Contracts => "contracts",
        }
    }
}

/// A venue's part of a route.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RouteLeg {
    /// Index of the instrument.
    pub venue: usize,
    /// Size in common size units of the base currency; of inverse contracts rounded down.
    pub size: i64,
    /// Size of the order to send, in the instrument's size units.
    pub native_size: Size,
    /// The worst of the venue's prices that it reaches: the limit of the order to send.
    pub native_price: Price,
    /// That price in common price units.
    pub price: i64,
    /// What is paid (rounded up) or received (rounded down) before costs, in the market's quote currency.
    pub notional: Amount,
    /// Proportional and fixed costs, rounded up.
    pub cost: Amount,
    /// What the last lot costs or brings net of proportional costs, in quote currency per base currency.
    pub marginal: f64,
}

/// The swap that a route's part at a pool is, as the pool quotes it. Raw amounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteSwap {
    /// Index of the instrument.
    pub venue: usize,
    /// What is paid in, fee included, and what comes out.
    pub trade: Trade,
    /// The pool's fee, part of what is paid in.
    pub fee: U256,
    /// The marginal price for the next swap, with the fee, in price units of the instrument, rounded away from the trade.
    pub price_after: Price,
}

/// How an order is split.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Route {
    /// The parts, in the order of the instruments.
    pub legs: Vec<RouteLeg>,
    /// The swaps of the parts at pools, in the same order.
    pub swaps: Vec<RouteSwap>,
    /// Venues without a part because they were left out, and why. Rates are no venues and not named.
    pub left_out: Vec<(usize, LeftOut)>,
    /// The size wanted, in common size units; of a notional, what it comes to.
    pub wanted: i64,
    /// The size traded.
    pub filled: i64,
    /// Why that is less.
    pub shortfall: Option<Shortfall>,
    /// Sum of the legs before costs.
    pub notional: Amount,
    /// Sum of the legs' costs.
    pub cost: Amount,
    /// Whether no other split trades more, or as much for less.
    pub is_optimal: bool,
    /// By how much a better split of the same size could be cheaper at most; `None` if that is not known.
    pub gap: Option<Amount>,
    /// Net price of the last of the size in the relaxation (the dual variable), in quote currency per base currency.
    pub marginal: f64,
    /// Nodes of the search.
    pub nodes: u64,
    /// The best bid and ask over the venues, in common price units, if both are there.
    pub best: Option<(i64, i64)>,
    /// Average price before costs, in quote currency per base currency.
    pub average: f64,
    /// By how much the average is worse than the middle of the best bid and ask, bp of it; negative if better.
    pub slippage_mid_bp: f64,
    /// By how much it is worse than the best price of the side, bp of it.
    pub slippage_touch_bp: f64,
}

impl Route {
    #[allow(clippy::cast_precision_loss)] // analytics begin here
    pub(super) fn finish(&mut self, side: Side, money: Money) {
        self.notional = self.legs.iter().map(|leg| leg.notional).sum();
        self.cost = self.legs.iter().map(|leg| leg.cost).sum();
        self.average = self.notional.to_f64() / money.size_unit.to_f64(self.filled);
        let sign = if side == Side::Bid { 1.0 } else { -1.0 };
        let worse = |than: f64| sign * (self.average / than - 1.0) * 10_000.0;
        let (mid, touch) = self.best.map_or((f64::NAN, f64::NAN), |(bid, ask)| {
            (f64::midpoint(bid as f64, ask as f64), if side == Side::Bid { ask as f64 } else { bid as f64 })
        });
        (self.slippage_mid_bp, self.slippage_touch_bp) = (worse(money.price(mid)), worse(money.price(touch)));
    }

    /// What is paid in all for a purchase, or received net for a sale.
    #[must_use]
    pub fn total(&self, side: Side) -> Amount {
        let cost = if side == Side::Bid { self.cost.0 } else { -self.cost.0 };
        Amount(self.notional.0.saturating_add(cost))
    }
}
