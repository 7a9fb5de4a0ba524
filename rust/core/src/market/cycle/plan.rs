//! What a cycle is worth: its trades, walking the books along it.
//!
//! The size is found first: along the cycle the levels of each leg are used up together, from the best on, for as long as
//! the product of their net rates is above 1; the leg that runs out first gives the step. That is the best size there is
//! where amounts can be split without end, because every further step would lose. Then the trades are carried out one after
//! the other in whole numbers with every rounding against the user: an order is a whole number of lots, rounded down; fees
//! and costs are rounded up, proceeds down, to 1e-18 of their currency. What a rounded order leaves over stays with the
//! user and is reported per currency, not counted as profit.

use std::cmp::Ordering;

use super::exact::Ratio;
use super::graph::Leg;
use crate::instrument::Instrument;
use crate::market::touch::VenueBook;
use crate::units::{Nanos, Price, Side, Unit};

/// Amounts are counts of 10^-18 of their currency.
const DECIMALS: i32 = 18;

/// At most so many steps of all legs together are walked; no real cycle comes near.
const MOST_STEPS: usize = 100_000;

/// The trades that take a cycle. Amounts are counts of 10^-18 of their currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The trades in order.
    pub legs: Vec<PlanLeg>,
    /// What the first leg takes of the currency in which the cycle begins.
    pub spent: i128,
    /// What the last leg brings of it.
    pub received: i128,
}

impl Plan {
    /// What is won of the currency in which the cycle begins. Below zero only where rounding to lots eats the edge.
    #[must_use]
    pub const fn profit(&self) -> i128 {
        self.received - self.spent
    }
}

/// One trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanLeg {
    /// What is traded and how.
    pub leg: Leg,
    /// Size of the order in the instrument's units.
    pub size: i64,
    /// The worst price, in the instrument's units: the order's limit.
    pub worst: i64,
    /// What it takes of the currency paid, fee included.
    pub paid: i128,
    /// What it brings of the currency bought, net of the fee.
    pub brought: i128,
    /// The fee, of the quote currency.
    pub fee: i128,
    /// What the leg before brought and this one does not use, of the currency paid: 0 in the first.
    pub left: i128,
}

/// Levels of one leg with what has been used of them.
struct Walk<'a> {
    levels: Levels<'a>,
    level: (i64, i64),
    rate: f64,
    /// Of the currency paid, what is left of this level.
    left: f64,
    terms: Terms,
    buy: bool,
    /// Whole levels used, and of this one whether any.
    used: usize,
    touched: bool,
}

/// Scales of an instrument: what one unit of size, and one unit of price × size, are in 10^-18 of base and of quote.
#[derive(Clone, Copy, Debug)]
struct Terms {
    price_unit: Unit,
    size_unit: Unit,
    fee: i64,
    lot: i64,
}

type Levels<'a> = Box<dyn Iterator<Item = (i64, i64)> + 'a>;

/// What a cycle is worth; `None` if it does not pay at the touch, a book is not known, not a lot fits, or an amount does
/// not fit 128 bits. `fees` are parts per billion, one an instrument; depth not heard of for longer than `limit` ns at
/// `now` does not count.
#[must_use]
pub fn plan(legs: &[Leg], venues: &[VenueBook], fees: &[i64], now: Nanos, limit: i64) -> Option<Plan> {
    let mut walks = legs.iter().map(|leg| Walk::new(*leg, venues, fees, (now, limit))).collect::<Option<Vec<_>>>()?;
    let amount = size(&mut walks)?;
    // A breath more, so that the last level is taken to its end: the caps hold what is too much.
    let budget = amount * (1.0 + 1e-12) * 10_f64.powi(DECIMALS);
    #[allow(clippy::cast_possible_truncation)] // saturates, and the caps hold it
    let mut available = budget as i128;
    let mut done = Vec::with_capacity(legs.len());
    for (place, (leg, walk)) in legs.iter().zip(&walks).enumerate() {
        let venue = venues.get(leg.instrument)?;
        let levels: Vec<_> =
            levels(venue, leg.buy, (now, limit))?.take(walk.used + usize::from(walk.touched)).collect();
        let (size, worst, paid, brought, fee) = walk.terms.trade(leg.buy, &levels, available)?;
        let left = if place == 0 { 0 } else { available - paid };
        done.push(PlanLeg { leg: *leg, size, worst, paid, brought, fee, left });
        available = brought;
    }
    Some(Plan { spent: done.first()?.paid, received: available, legs: done })
}

/// How much of the first currency goes round while every step still pays.
fn size(walks: &mut [Walk<'_>]) -> Option<f64> {
    let mut total = 0.0;
    for _ in 0..MOST_STEPS {
        if !pays(walks) {
            break;
        }
        // The step that each leg allows, in the first currency.
        let (mut step, mut narrowest, mut product) = (f64::INFINITY, 0, 1.0);
        for (place, walk) in walks.iter().enumerate() {
            let allowed = walk.left / product;
            if allowed < step {
                (step, narrowest) = (allowed, place);
            }
            product *= walk.rate;
        }
        total += step;
        let mut flow = step;
        for walk in walks.iter_mut() {
            walk.left -= flow;
            walk.touched |= flow > 0.0;
            flow *= walk.rate;
        }
        if !walks.get_mut(narrowest)?.advance() {
            break;
        }
    }
    (total > 0.0).then_some(total)
}

fn pays(walks: &[Walk<'_>]) -> bool {
    let product: f64 = walks.iter().map(|walk| walk.rate).product();
    if (product - 1.0).abs() > 1e-9 {
        return product > 1.0;
    }
    let mut ratio = Ratio::new();
    for walk in walks {
        walk.terms.multiply(&mut ratio, walk.buy, walk.level.0);
    }
    ratio.compare_to_one() == Ordering::Greater
}

impl<'a> Walk<'a> {
    fn new(leg: Leg, venues: &'a [VenueBook], fees: &[i64], at: (Nanos, i64)) -> Option<Self> {
        let venue = venues.get(leg.instrument)?;
        let terms = Terms::new(venue.instrument(), *fees.get(leg.instrument)?);
        let mut levels = levels(venue, leg.buy, at)?;
        let level = levels.next()?;
        let mut walk = Self { levels, level, rate: 0.0, left: 0.0, terms, buy: leg.buy, used: 0, touched: false };
        walk.enter(level);
        (walk.rate > 0.0).then_some(walk)
    }

    #[allow(clippy::cast_precision_loss)] // the amount is found in floats, the trades are whole numbers
    fn enter(&mut self, level: (i64, i64)) {
        let (price, size) = (self.terms.price_unit.to_f64(level.0), self.terms.size_unit.to_f64(level.1));
        let fee = self.terms.fee as f64 / super::BILLION as f64;
        (self.rate, self.left) = if self.buy {
            let cost = price * (1.0 + fee);
            (1.0 / cost, size * cost)
        } else {
            (price * (1.0 - fee), size)
        };
        self.level = level;
        self.touched = false;
    }

    /// Goes on to the next level; `false` if there is none.
    fn advance(&mut self) -> bool {
        self.used += 1;
        self.touched = false;
        // A price of zero or less has no rate.
        let Some(level) = self.levels.next().filter(|(price, _)| *price > 0) else { return false };
        self.enter(level);
        true
    }
}

/// Price and size of each level that the touch does not contradict, the touch first.
fn levels(venue: &VenueBook, buy: bool, (now, limit): (Nanos, i64)) -> Option<Levels<'_>> {
    let side = if buy { Side::Ask } else { Side::Bid };
    let (price, size) = venue.touch()?.quote.side(side)?;
    let next = if buy { price.0.checked_add(1) } else { price.0.checked_sub(1) };
    let book = venue.book();
    let behind = next.filter(|_| venue.has_depth(now, limit)).map(|next| book.levels_from(side, Price(next)));
    let levels = std::iter::once((price.0, size.0)).chain(behind.into_iter().flatten().map(|(p, s)| (p.0, s.0)));
    (price.0 > 0 && size.0 > 0).then(|| Box::new(levels) as Levels<'_>)
}

impl Terms {
    fn new(instrument: &Instrument, fee: i64) -> Self {
        Self {
            price_unit: instrument.price_unit,
            size_unit: instrument.size_unit,
            fee,
            lot: instrument.lot.map_or(Some(1), |lot| steps(lot, instrument.size_unit)).unwrap_or(1),
        }
    }

    fn multiply(&self, ratio: &mut Ratio, buy: bool, price: i64) {
        let fee = if buy { self.fee } else { -self.fee };
        for factor in [price, self.price_unit.mantissa(), super::BILLION + fee] {
            if buy { ratio.divide(factor.unsigned_abs()) } else { ratio.multiply(factor.unsigned_abs()) }
        }
        let power = i32::from(self.price_unit.exponent()) - 9;
        ratio.shift(if buy { -power } else { power });
    }

    /// The largest order of whole lots that `available` of the currency paid allows at these levels: size, worst price,
    /// paid, brought and fee.
    fn trade(&self, buy: bool, levels: &[(i64, i64)], available: i128) -> Option<(i64, i64, i128, i128, i128)> {
        let depth: i128 = levels.iter().map(|(_, size)| i128::from(*size)).sum();
        let most = if buy { depth } else { depth.min(available / self.base(1)?) };
        let lots = i64::try_from(most / i128::from(self.lot)).ok()?;
        let fits = |lots: i64| {
            let (notional, worst) = notional(levels, lots.checked_mul(self.lot)?)?;
            let quote = self.quote(notional, buy)?;
            let fee = rounded_up(quote.checked_mul(i128::from(self.fee))?, i128::from(super::BILLION));
            Some((quote, fee, worst))
        };
        let lots = if buy {
            // The cost grows with the lots, so the most that the budget allows is found by halving.
            let (mut low, mut high) = (0, lots);
            while low < high {
                let middle = high - (high - low) / 2;
                let (quote, fee, _) = fits(middle)?;
                if quote + fee <= available { low = middle } else { high = middle - 1 }
            }
            low
        } else {
            lots
        };
        if lots == 0 {
            return None;
        }
        let (quote, fee, worst) = fits(lots)?;
        let (size, base) = (lots * self.lot, self.base(i128::from(lots * self.lot))?);
        Some(if buy { (size, worst, quote + fee, base, fee) } else { (size, worst, base, quote - fee, fee) })
    }

    /// A size in 10^-18 of base: exact, as no unit is finer.
    fn base(&self, size: i128) -> Option<i128> {
        scaled(size.checked_mul(i128::from(self.size_unit.mantissa()))?, i32::from(self.size_unit.exponent()), false)
    }

    /// A notional of price × size in 10^-18 of quote, rounded up where it is paid and down where it is received.
    fn quote(&self, notional: i128, up: bool) -> Option<i128> {
        let mantissas = i128::from(self.price_unit.mantissa()).checked_mul(i128::from(self.size_unit.mantissa()))?;
        let exponent = i32::from(self.price_unit.exponent()) + i32::from(self.size_unit.exponent());
        scaled(notional.checked_mul(mantissas)?, exponent, up)
    }
}

/// The sum of price × size over `size` from the best level on, and the worst price.
fn notional(levels: &[(i64, i64)], size: i64) -> Option<(i128, i64)> {
    let (mut left, mut sum, mut worst) = (size, 0_i128, 0);
    for (price, available) in levels {
        if left <= 0 {
            break;
        }
        let taken = left.min(*available);
        sum = sum.checked_add(i128::from(*price).checked_mul(i128::from(taken))?)?;
        left -= taken;
        worst = *price;
    }
    (left <= 0).then_some((sum, worst))
}

/// `value × 10^exponent` in counts of 10^-18.
fn scaled(value: i128, exponent: i32, up: bool) -> Option<i128> {
    let power = exponent + DECIMALS;
    let scale = 10_i128.checked_pow(power.unsigned_abs())?;
    if power >= 0 {
        return value.checked_mul(scale);
    }
    Some(if up { rounded_up(value, scale) } else { value.div_euclid(scale) })
}

/// A quotient towards +∞, which for a cost, and for a rebate as a negative cost, is against the user.
const fn rounded_up(value: i128, by: i128) -> i128 {
    -(-value).div_euclid(by)
}

/// The smallest order that is a whole number both of lots and of size units, in size units.
fn steps(lot: Unit, unit: Unit) -> Option<i64> {
    let power = i32::from(lot.exponent()) - i32::from(unit.exponent());
    let scale = 10_i128.checked_pow(power.unsigned_abs())?;
    let (above, below) = if power >= 0 { (scale, 1) } else { (1, scale) };
    let (above, below) =
        (above.checked_mul(i128::from(lot.mantissa()))?, below.checked_mul(i128::from(unit.mantissa()))?);
    let (mut a, mut b) = (above, below);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    i64::try_from(above / a.max(1)).ok()
}
