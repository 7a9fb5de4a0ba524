//! One price unit, one size unit and one quote currency for all venues of a market.
//!
//! Ticks differ between venues, contracts have multipliers, an inverse contract is worth more of the base currency the
//! lower its price is, and a venue may quote in another currency, whose rate is a book itself. A [`Conversion`] brings an
//! instrument's prices and sizes into the [`Units`] of its market in exact integers. What cannot be exact is rounded
//! against the user:
//!
//! | what | becomes | rounded |
//! |---|---|---|
//! | an ask, what one pays | common price units | up |
//! | a bid, what one gets | common price units | down |
//! | a size on offer | common size units of the base currency | down |
//! | an amount paid / received | 10^-18 of the market's quote currency | up / down |
//! | a size wanted | the venue's lots | down |
//!
//! Without another currency prices are exact, because the common unit divides each of theirs; so are sizes but those of
//! inverse contracts and those in steps below 10^-10. What does not fit 64 bits becomes [`NO_ASK`] or [`NO_BID`] where
//! the nearest count would favour the user, and the nearest count elsewhere.
//!
//! Another currency's rate is the price of what the trade needs: what is paid is bought at the ask of the rate's book,
//! what is received is sold at its bid. The touch of that book counts, whatever the size.

use super::MarketError;
use crate::instrument::{Contract, Instrument};
use crate::units::{Price, Side, Size, Unit};

/// In place of an ask: there is none, or it is too high for 64 bits. No bid is above it.
pub const NO_ASK: i64 = i64::MAX;
/// In place of a bid: there is none, or it is too low for 64 bits. No ask is below it.
pub const NO_BID: i64 = i64::MIN;
/// How many amounts make one of a currency: 10^18, as in [`Conversion::amount`].
const ATTO: i32 = 18;
/// Rates make prices finer than the venues' own; beyond so many decimals more they are rounded.
const RATE_DECIMALS: i8 = 6;
/// The finest common size unit, 10^-10: nine hundred million of the base currency then fit 63 bits.
const FINEST_SIZE: i8 = -10;
/// Where there is an inverse contract sizes are no multiples of anything: 10^-8 of the base currency at most.
const INVERSE_SIZE: i8 = -8;

/// How amounts of a currency become amounts of a market's quote currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rate {
    /// One of the currency is always so many of the market's quote currency: 1 for currencies held to be equal.
    Fixed(Unit),
    /// The book of the instrument with this index, which trades the one for the other, either way round.
    Book(usize),
}

/// What the integers of a market mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Units {
    /// One integer of a common price, in quote currency per base currency.
    pub price: Unit,
    /// One integer of a common size, in base currency.
    pub size: Unit,
    /// Base currency.
    pub base: String,
    /// Quote currency.
    pub quote: String,
}

impl Units {
    /// The common units of instruments: `quote` is the market's quote currency and each currency of `fx` has a rate.
    /// Instruments whose books are rates are not venues of the market, so their units do not count.
    ///
    /// # Errors
    /// [`MarketError`] if there is no instrument but rates, the bases differ, the units lie too far apart, or a rate's
    /// instrument does not trade its currency for the quote currency.
    pub fn common(instruments: &[Instrument], quote: &str, fx: &[(String, Rate)]) -> Result<Self, MarketError> {
        for (currency, rate) in fx {
            checked(currency, *rate, instruments, quote)?;
        }
        let mut members = instruments.iter().enumerate().filter(|(index, _)| !is_rate(*index, fx)).map(|(_, one)| one);
        let first = members.next().ok_or(MarketError::Empty)?;
        let (mut own, mut price, mut size) = (i8::MAX, i8::MAX, i8::MAX);
        for one in std::iter::once(first).chain(members) {
            if one.base != first.base {
                return Err(MarketError::Base(first.base.clone(), one.base.clone()));
            }
            let exponent = one.price_unit.exponent();
            own = own.min(exponent);
            price = price.min(match rate_of(one, instruments, quote, fx)? {
                None | Some((Way::Same, _)) => exponent,
                Some((Way::Times, unit)) => exponent.saturating_add(unit.exponent()),
                Some((Way::Divided, _)) => exponent.saturating_sub(RATE_DECIMALS),
            });
            size = size.min(match one.contract {
                Contract::Spot => one.size_unit.exponent(),
                Contract::Inverse => INVERSE_SIZE,
                _ => one.size_unit.exponent().saturating_add(one.multiplier.exponent()),
            });
        }
        let price = price.max(own.saturating_sub(RATE_DECIMALS)).max(-18);
        let size = size.clamp(FINEST_SIZE, 18);
        let unit = |exponent| Unit::new(1, exponent).unwrap_or(Unit::ONE);
        let (price, size) = (unit(price), unit(size));
        Ok(Self { price, size, base: first.base.clone(), quote: quote.to_owned() })
    }
}

/// How a rate's book is written: nothing to do, the quote currency per unit of the other, or the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Same,
    Times,
    Divided,
}

/// Whether an instrument's book is there for a rate.
pub(super) fn is_rate(index: usize, fx: &[(String, Rate)]) -> bool {
    fx.iter().any(|(_, rate)| *rate == Rate::Book(index))
}

/// How an instrument's quote currency becomes the market's, and what one integer of that rate means.
fn rate_of(
    one: &Instrument,
    instruments: &[Instrument],
    quote: &str,
    fx: &[(String, Rate)],
) -> Result<Option<(Way, Unit)>, MarketError> {
    if one.quote == quote {
        return Ok(Some((Way::Same, Unit::ONE)));
    }
    let found = fx.iter().find(|(currency, _)| *currency == one.quote);
    found.map(|(currency, rate)| checked(currency, *rate, instruments, quote)).transpose()
}

/// How a currency becomes the market's, and what one integer of that rate means.
fn checked(currency: &str, rate: Rate, instruments: &[Instrument], quote: &str) -> Result<(Way, Unit), MarketError> {
    if currency == quote {
        return Err(MarketError::OwnRate(currency.to_owned()));
    }
    let index = match rate {
        Rate::Fixed(unit) => return Ok((Way::Times, unit)),
        Rate::Book(index) => index,
    };
    let wrong = |found: String| MarketError::Rate { currency: currency.to_owned(), quote: quote.to_owned(), found };
    let book = instruments.get(index).ok_or_else(|| wrong(format!("no instrument {index}")))?;
    let way = match (book.base.as_str(), book.quote.as_str()) {
        (base, other) if base == currency && other == quote => Way::Times,
        (base, other) if base == quote && other == currency => Way::Divided,
        _ => return Err(wrong(book.name())),
    };
    // What it costs to take the rate is its price; a contract on it is not the currency itself.
    if book.contract == Contract::Spot { Ok((way, book.price_unit)) } else { Err(wrong(book.name())) }
}

/// A positive fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ratio {
    num: i64,
    den: i64,
}

impl Ratio {
    /// `num · 10^exponent / den`; `None` unless it is positive and both of its parts fit 63 bits.
    fn new(num: i128, den: i128, exponent: i32) -> Option<Self> {
        let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
        let (mut num, mut den) =
            if exponent >= 0 { (num.checked_mul(power)?, den) } else { (num, den.checked_mul(power)?) };
        if num <= 0 || den <= 0 {
            return None;
        }
        if num > i128::from(i64::MAX) || den > i128::from(i64::MAX) || (den != 1 && num % den == 0) {
            let divisor = gcd(num, den);
            (num, den) = (num / divisor, den / divisor);
        }
        Some(Self { num: i64::try_from(num).ok()?, den: i64::try_from(den).ok()? })
    }

    #[inline]
    fn floor(self, count: i64) -> i128 {
        let wide = i128::from(count) * i128::from(self.num);
        if self.den == 1 {
            return wide;
        }
        // Most products fit 64 bits, where a division costs a fifth.
        match i64::try_from(wide) {
            Ok(narrow) => i128::from(narrow.div_euclid(self.den)),
            Err(_) => wide.div_euclid(i128::from(self.den)),
        }
    }

    #[inline]
    fn ceil(self, count: i64) -> i128 {
        // A product of two counts is never the least of 128 bits, so its sign can be turned.
        let wide = i128::from(count) * i128::from(self.num);
        if self.den == 1 {
            return wide;
        }
        match i64::try_from(-wide) {
            Ok(narrow) => -i128::from(narrow.div_euclid(self.den)),
            Err(_) => -(-wide).div_euclid(i128::from(self.den)),
        }
    }

    const fn inverse(self) -> Self {
        Self { num: self.den, den: self.num }
    }
}

const fn gcd(mut a: i128, mut b: i128) -> i128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The nearest count of 64 bits.
#[inline]
fn saturated(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

/// What the currency that an instrument is quoted in is worth now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Worth {
    /// Quote currency of the market per unit of it: to buy it, and when it is sold.
    buy: Ratio,
    sell: Ratio,
    /// The same times the instrument's price unit, in common price units.
    price_buy: Ratio,
    price_sell: Ratio,
}

/// Exact conversion of one instrument's prices and sizes into the [`Units`] of its market, and back. The rounding is in
/// the table of the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversion {
    worth: Option<Worth>,
    way: Option<Way>,
    /// The instrument's price unit and that of its rate, in common price units: mantissa and power of ten.
    price_mantissa: i128,
    price_exponent: i32,
    rate_unit: Unit,
    inverse: bool,
    /// Common size units per size unit, of an inverse contract divided by the price still.
    size: Ratio,
    /// 10^-18 of the instrument's quote currency per price unit times size unit, of an inverse contract per size unit.
    amount_mantissa: i128,
    amount_exponent: i32,
    lot: i64,
}

impl Conversion {
    /// The conversion of the instrument with this index. If its currency's rate is a book there is no price until
    /// [`Self::set_rate`] tells it.
    ///
    /// # Errors
    /// [`MarketError`] if the units lie too far apart, a lot is no multiple of its size unit, or a rate does not fit.
    pub fn new(
        index: usize,
        instruments: &[Instrument],
        units: &Units,
        fx: &[(String, Rate)],
    ) -> Result<Self, MarketError> {
        let one = instruments.get(index).ok_or(MarketError::Empty)?;
        let found = rate_of(one, instruments, &units.quote, fx)?;
        let apart = |common: Unit, own: Unit| MarketError::Units(common.to_string(), own.to_string());
        let e = |unit: Unit| i32::from(unit.exponent());
        let m = |unit: Unit| i128::from(unit.mantissa());
        let (price, size, multiplier) = (one.price_unit, one.size_unit, one.multiplier);
        let inverse = one.contract == Contract::Inverse;
        let contracts = if one.contract == Contract::Spot { Unit::ONE } else { multiplier };
        let size_exponent = e(size) + e(contracts) - e(units.size) - if inverse { e(price) } else { 0 };
        let size_ratio = Ratio::new(m(size) * m(contracts), if inverse { m(price) } else { 1 }, size_exponent)
            .ok_or_else(|| apart(units.size, size))?;
        let count = |of: Unit, unit: Unit| unit.count(false, of.mantissa().unsigned_abs(), e(of)).ok();
        let lot =
            match one.lot {
                None => 1,
                // Where one size unit is several lots already, every size is whole lots.
                Some(lot) => count(lot, size).or_else(|| count(size, lot).map(|_| 1)).ok_or_else(|| {
                    MarketError::Lot { name: one.name(), lot: lot.to_string(), unit: size.to_string() }
                })?,
            };
        let traded =
            m(size).checked_mul(m(contracts)).and_then(|part| part.checked_mul(if inverse { 1 } else { m(price) }));
        let mut made = Self {
            worth: None,
            way: found.map(|(way, _)| way),
            price_mantissa: m(price),
            price_exponent: e(price) - e(units.price),
            rate_unit: found.map_or(Unit::ONE, |(_, unit)| unit),
            inverse,
            size: size_ratio,
            amount_mantissa: traded.ok_or_else(|| apart(units.size, size))?,
            amount_exponent: e(size) + e(contracts) + if inverse { 0 } else { e(price) } + ATTO,
            lot: lot.max(1),
        };
        let fixed = fx.iter().any(|(currency, rate)| *currency == one.quote && matches!(rate, Rate::Fixed(_)));
        if made.way == Some(Way::Same) || fixed {
            made.worth = Some(made.worth_at(1, 1).ok_or_else(|| apart(units.price, price))?);
        }
        Ok(made)
    }

    /// The rate's book shows this touch; `None`: the rate is not known, so there is no price. A rate that is not positive
    /// or does not fit is not known either.
    pub fn set_rate(&mut self, touch: Option<(Price, Price)>) {
        self.worth = touch.and_then(|(bid, ask)| self.worth_at(bid.0, ask.0));
    }

    fn worth_at(&self, bid: i64, ask: i64) -> Option<Worth> {
        let (unit, exponent) = (i128::from(self.rate_unit.mantissa()), i32::from(self.rate_unit.exponent()));
        let of = |rate: i64| {
            let rate = i128::from(rate).checked_mul(unit).filter(|rate| *rate > 0)?;
            let price = match self.way? {
                Way::Divided => Ratio::new(self.price_mantissa, rate, self.price_exponent - exponent),
                _ => Ratio::new(self.price_mantissa.checked_mul(rate)?, 1, self.price_exponent + exponent),
            };
            let ratio = Ratio::new(rate, 1, exponent)?;
            Some((if self.way == Some(Way::Divided) { ratio.inverse() } else { ratio }, price?))
        };
        let ((at_bid, price_at_bid), (at_ask, price_at_ask)) = (of(bid)?, of(ask)?);
        Some(if self.way == Some(Way::Divided) {
            // Buying the currency is selling the quote currency into the bid of their book.
            Worth { buy: at_bid, sell: at_ask, price_buy: price_at_bid, price_sell: price_at_ask }
        } else {
            Worth { buy: at_ask, sell: at_bid, price_buy: price_at_ask, price_sell: price_at_bid }
        })
    }

    /// Whether prices can be converted now: always, but for a currency whose rate is a book that is not live.
    #[inline]
    #[must_use]
    pub const fn has_rate(&self) -> bool {
        self.worth.is_some()
    }

    /// The market's quote currency per unit of the instrument's, as a fraction: what it costs to buy it (asks), what it
    /// brings when it is sold (bids). `None` if the rate is not known.
    #[must_use]
    pub fn rate(&self, side: Side) -> Option<(i64, i64)> {
        let worth = self.worth.as_ref()?;
        let rate = if side == Side::Ask { worth.buy } else { worth.sell };
        Some((rate.num, rate.den))
    }

    /// Common price units per price unit and common size units per size unit, where prices and sizes are whole multiples.
    #[inline]
    pub(super) fn plain(&self) -> Option<(i64, i64)> {
        let worth = self.worth.as_ref()?;
        let is_whole = worth.price_buy == worth.price_sell && worth.price_buy.den == 1 && self.size.den == 1;
        (is_whole && !self.inverse).then_some((worth.price_buy.num, self.size.num))
    }

    /// What one pays per unit of base currency at this ask, in common price units, rounded up; [`NO_ASK`] if the rate is
    /// not known.
    #[inline]
    #[must_use]
    pub fn ask(&self, price: Price) -> i64 {
        let Some(worth) = &self.worth else { return NO_ASK };
        // Below zero the buyer is paid, in a currency that he sells.
        let ratio = if price.0 >= 0 { worth.price_buy } else { worth.price_sell };
        saturated(ratio.ceil(price.0))
    }

    /// What one gets per unit of base currency at this bid, in common price units, rounded down; [`NO_BID`] if the rate
    /// is not known.
    #[inline]
    #[must_use]
    pub fn bid(&self, price: Price) -> i64 {
        let Some(worth) = &self.worth else { return NO_BID };
        let ratio = if price.0 >= 0 { worth.price_sell } else { worth.price_buy };
        saturated(ratio.floor(price.0))
    }

    /// A level's common price by its side: [`Self::bid`] or [`Self::ask`].
    #[inline]
    #[must_use]
    pub fn price(&self, side: Side, price: Price) -> i64 {
        match side {
            Side::Bid => self.bid(price),
            Side::Ask => self.ask(price),
        }
    }

    /// The worst of the venue's prices that is no worse than a common price: of asks the highest, of bids the lowest.
    /// `None` if the rate is not known or there is no such price within 64 bits.
    #[must_use]
    pub fn native(&self, side: Side, common: i64) -> Option<Price> {
        let worth = self.worth.as_ref()?;
        let pays = (side == Side::Ask) == (common >= 0);
        let ratio = if pays { worth.price_buy } else { worth.price_sell }.inverse();
        let price = if side == Side::Ask { ratio.floor(common) } else { ratio.ceil(common) };
        i64::try_from(price).ok().map(Price)
    }

    /// A size at a price in common size units of the base currency, rounded down. An inverse contract at a price of zero
    /// or less is worth nothing.
    #[inline]
    #[must_use]
    pub fn base_size(&self, price: Price, size: Size) -> i64 {
        if self.inverse {
            return self.inverse_size(price, size);
        }
        saturated(self.size.floor(size.0))
    }

    fn inverse_size(&self, price: Price, size: Size) -> i64 {
        if price.0 <= 0 {
            return 0;
        }
        let wide = i128::from(size.0) * i128::from(self.size.num);
        let per = i128::from(price.0) * i128::from(self.size.den);
        match (i64::try_from(wide), i64::try_from(per)) {
            (Ok(wide), Ok(per)) => wide.div_euclid(per),
            _ => saturated(wide.div_euclid(per)),
        }
    }

    /// The largest size at a price, in size units and whole lots, that is no more base currency than `size` in common
    /// units.
    #[must_use]
    pub fn lots(&self, price: Price, size: i64) -> Size {
        let count = if self.inverse {
            if price.0 <= 0 {
                return Size(0);
            }
            // size · price · den / num, with every factor but the last product within 63 bits.
            match (i128::from(size) * i128::from(price.0)).checked_mul(i128::from(self.size.den)) {
                Some(product) => product.div_euclid(i128::from(self.size.num)),
                None => {
                    (i128::from(size) * i128::from(price.0)).div_euclid(i128::from(self.size.num))
                        * i128::from(self.size.den)
                }
            }
        } else {
            self.size.inverse().floor(size)
        };
        let count = saturated(count).max(0);
        Size(count - count % self.lot)
    }

    /// The venue's lot in size units; 1 where none is declared.
    #[must_use]
    pub const fn lot(&self) -> i64 {
        self.lot
    }

    /// What taking a size from one side of the book at a price pays (asks: rounded up) or brings (bids: rounded down), in
    /// 10^-18 of the market's quote currency. Of an inverse contract that is its face value, whatever the price.
    ///
    /// `None` if the rate is not known or it does not fit 127 bits.
    #[must_use]
    pub fn amount(&self, side: Side, price: Price, size: Size) -> Option<i128> {
        let worth = self.worth.as_ref()?;
        let count = i128::from(size.0) * if self.inverse { 1 } else { i128::from(price.0) };
        let pays = (side == Side::Ask) == (count >= 0);
        let rate = if pays { worth.buy } else { worth.sell };
        let mut num = count.checked_mul(self.amount_mantissa)?;
        let mut den = i128::from(rate.den);
        let power = 10_i128.checked_pow(self.amount_exponent.unsigned_abs())?;
        if self.amount_exponent < 0 {
            den = den.checked_mul(power)?;
        } else if den % power == 0 {
            den /= power;
        } else {
            num = num.checked_mul(power)?;
        }
        let num = num.checked_mul(i128::from(rate.num))?;
        match side {
            Side::Bid => Some(num.div_euclid(den)),
            Side::Ask => num.checked_neg().map(|less| -less.div_euclid(den)),
        }
    }
}

#[cfg(test)]
mod tests;
