//! What an order at one venue comes to, and the money that routes count in.

use super::super::{Market, VenueBook};
use super::{Request, RouteLeg};
use crate::cost::{Affine, Amount, Rate};
use crate::instrument::{Contract, Instrument};
use crate::units::{Side, Size, Unit};

/// The base currency of one lot of contracts at the touch, rounded up: less would trade nothing.
pub(super) fn touch_contract(market: &Market, index: usize, side: Side) -> i64 {
    let (Some(conversion), Some(touch)) =
        (market.conversion(index), market.venues().get(index).and_then(VenueBook::touch))
    else {
        return 0;
    };
    let price = if side == Side::Bid { touch.quote.ask } else { touch.quote.bid };
    conversion.base_size(price, Size(conversion.lot())).saturating_add(1)
}

/// How many whole lots of contracts so much base currency is, from the best level on.
pub(super) fn contracts(market: &Market, request: &Request<'_>, venue: usize, wanted: i64) -> Option<i64> {
    let conversion = market.conversion(venue)?;
    let (mut left, mut count) = (wanted, 0_i64);
    for level in market.ladder(venue, request.side.opposite())? {
        if level.size > left {
            count = count.checked_add(conversion.lots(level.native_price, left).0)?;
            break;
        }
        left -= level.size;
        count = count.checked_add(level.native_size.0)?;
    }
    Some(count - count % conversion.lot())
}

/// Whether an instrument's prices and sizes are whole numbers of common units: its currency is the market's, its contracts
/// do not depend on the price, and no common size is coarser than its own.
pub(super) fn is_exact(market: &Market, one: &Instrument) -> bool {
    let units = market.units();
    let step = match one.contract {
        Contract::Spot => one.size_unit.exponent(),
        Contract::Inverse => return false,
        _ => one.size_unit.exponent().saturating_add(one.multiplier.exponent()),
    };
    one.quote == units.quote && step >= units.size.exponent() && one.price_unit.exponent() >= units.price.exponent()
}

/// A leg of which the search knows what it comes to before costs, and the worst common price.
pub(super) fn known_leg(
    market: &Market,
    request: &Request<'_>,
    venue: usize,
    native: i64,
    price: i64,
    notional: Amount,
) -> Option<RouteLeg> {
    let native_price = market.conversion(venue)?.native(request.side.opposite(), price)?;
    let cost = costs(market, request, venue).cost(notional)?;
    Some(RouteLeg { venue, size: 0, native_size: Size(native), native_price, price, notional, cost, marginal: 0.0 })
}

/// What trading a size of a venue comes to, in its own size units. The size is there.
pub(super) fn leg(market: &Market, request: &Request<'_>, venue: usize, native: i64) -> Option<RouteLeg> {
    let conversion = market.conversion(venue)?;
    let side = request.side.opposite();
    let (mut left, mut size, mut notional) = (native, 0_i64, Amount::ZERO);
    for level in market.ladder(venue, side)? {
        let taken = level.native_size.0.min(left);
        left -= taken;
        size = size.checked_add(conversion.base_size(level.native_price, Size(taken)))?;
        let amount = conversion.amount(side, level.native_price, Size(taken))?;
        notional = notional.checked_add(Amount(amount))?;
        if left == 0 {
            let cost = costs(market, request, venue).cost(notional)?;
            let (native_price, price) = (level.native_price, level.price);
            let native_size = Size(native);
            return Some(RouteLeg { venue, size, native_size, native_price, price, notional, cost, marginal: 0.0 });
        }
    }
    None
}

/// What trading at a venue costs: what the request says, else the market's taker fee.
pub(super) fn costs(market: &Market, request: &Request<'_>, venue: usize) -> Affine {
    let fee = || Affine { rate: Rate(market.fees().get(venue).copied().unwrap_or(0)), ..Affine::ZERO };
    request.costs.get(venue).copied().unwrap_or_else(fee)
}

/// Powers of ten that fit 128 bits.
const POWERS: [i128; 39] = {
    let mut powers = [1; 39];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// Between amounts and the integers of the search: 10^-9 of price unit times size unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Money {
    /// Amounts in one such integer, or such integers in one amount if they are finer.
    power: i128,
    is_finer: bool,
    price_unit: Unit,
    pub(super) size_unit: Unit,
}

impl Money {
    pub(super) fn of(market: &Market) -> Self {
        let units = market.units();
        let exponent = i32::from(units.price.exponent()) + i32::from(units.size.exponent()) + 9;
        // Common units have mantissa 1, so a power of ten is all.
        let power = POWERS.get(exponent.unsigned_abs() as usize).copied().unwrap_or(i128::MAX);
        Self { power, is_finer: exponent < 0, price_unit: units.price, size_unit: units.size }
    }

    pub(super) fn up(self, amount: Amount) -> i128 {
        if self.is_finer {
            amount.0.saturating_mul(self.power)
        } else if amount == Amount::ZERO {
            0
        } else {
            -(-amount.0).div_euclid(self.power)
        }
    }

    pub(super) fn down(self, amount: Amount) -> i128 {
        if self.is_finer { amount.0.saturating_mul(self.power) } else { amount.0.div_euclid(self.power) }
    }

    /// Rounded up.
    pub(super) fn amount(self, count: i128) -> Amount {
        Amount(if self.is_finer { -(-count).div_euclid(self.power) } else { count.saturating_mul(self.power) })
    }

    /// Price times size in common units as an amount.
    pub(super) fn gross(self, count: i128) -> Amount {
        // A billion of the search's integers are one of these, and nine decimals are where a fraction could be.
        Amount(self.amount(count.saturating_mul(1_000_000_000)).0)
    }

    /// A leg as a cost in the search's integers.
    pub(super) fn count(self, leg: &RouteLeg, side: Side) -> i128 {
        let notional = if side == Side::Bid { leg.notional.0 } else { -leg.notional.0 };
        self.up(Amount(notional.saturating_add(leg.cost.0)))
    }

    /// A price in common units as a float of quote per base currency.
    #[allow(clippy::cast_precision_loss)] // analytics begin here
    pub(super) fn price(self, common: f64) -> f64 {
        let power = 10_f64.powi(i32::from(self.price_unit.exponent().unsigned_abs().cast_signed()));
        if self.price_unit.exponent() < 0 { common / power } else { common * power }
    }
}
