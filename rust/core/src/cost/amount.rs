//! Exact amounts of money, rates, and the affine cost that hot paths use.

use std::fmt;
use std::iter::Sum;
use std::str::FromStr;

use super::CostError;
use crate::units::Unit;

/// 10^18: the counts of an [`Amount`] in one of its currency.
const SCALE: i128 = 1_000_000_000_000_000_000;
/// One, in parts per billion.
const BILLION: i128 = 1_000_000_000;

/// An exact amount of one currency, in counts of 10^-18 of it (so a count of ether is a wei). Up to 1.7e20 of it fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Amount(pub i128);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// One of the currency.
    pub const ONE: Self = Self(SCALE);

    /// A whole number of the currency.
    #[must_use]
    pub const fn whole(count: i64) -> Self {
        Self(count as i128 * SCALE)
    }

    /// A count of a unit; `None` if the unit is finer than 10^-18 or the amount does not fit.
    #[must_use]
    pub fn of(count: i128, unit: Unit) -> Option<Self> {
        let power = u32::try_from(i32::from(unit.exponent()) + 18).ok()?;
        count.checked_mul(i128::from(unit.mantissa()))?.checked_mul(10_i128.checked_pow(power)?).map(Self)
    }

    /// The sum, if it fits.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// So many times the amount, if it fits.
    #[must_use]
    pub const fn times(self, count: i128) -> Option<Self> {
        match self.0.checked_mul(count) {
            Some(product) => Some(Self(product)),
            None => None,
        }
    }

    /// The part of it that a rate says, rounded up (towards the greater cost, the smaller rebate).
    #[must_use]
    pub fn share(self, rate: Rate) -> Option<Self> {
        // Split, so that the product needs no more bits than the result.
        let (whole, rest) = (self.0.div_euclid(BILLION), self.0.rem_euclid(BILLION));
        let part = rest * i128::from(rate.0);
        let up = -(-part).div_euclid(BILLION);
        whole.checked_mul(i128::from(rate.0))?.checked_add(up).map(Self)
    }

    /// What it costs in another currency in which one of it has this price, rounded up.
    #[must_use]
    pub fn at(self, price: Self) -> Option<Self> {
        // (a + a')(b + b') with a, b multiples of SCALE: no intermediate exceeds the result but for a'b' < 10^36.
        let (a, b) = (self.0.div_euclid(SCALE), price.0.div_euclid(SCALE));
        let (c, d) = (self.0.rem_euclid(SCALE), price.0.rem_euclid(SCALE));
        let low = -(-(c * d)).div_euclid(SCALE);
        let high = a.checked_mul(b)?.checked_mul(SCALE)?;
        high.checked_add(a.checked_mul(d)?)?.checked_add(b.checked_mul(c)?)?.checked_add(low).map(Self)
    }

    /// As a float of the currency, for analytics.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // analytics begin here
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / SCALE as f64
    }
}

impl Sum for Amount {
    /// Saturates; sums of which an overflow must be seen are added with [`Amount::checked_add`].
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, |sum, amount| Self(sum.0.saturating_add(amount.0)))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) =
            (self.0.unsigned_abs() / SCALE.unsigned_abs(), self.0.unsigned_abs() % SCALE.unsigned_abs());
        let sign = if self.0 < 0 { "-" } else { "" };
        if rest == 0 {
            return write!(f, "{sign}{whole}");
        }
        let fraction = format!("{rest:018}");
        write!(f, "{sign}{whole}.{}", fraction.trim_end_matches('0'))
    }
}

impl FromStr for Amount {
    type Err = CostError;

    /// Reads an exact decimal such as `-0.25` or `1e-8`.
    fn from_str(text: &str) -> Result<Self, CostError> {
        let wrong = || CostError::Amount(text.to_owned());
        let (digits, exponent) = match text.split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, exponent.parse::<i32>().map_err(|_| wrong())?),
            None => (text, 0),
        };
        let (sign, digits) = digits.strip_prefix('-').map_or((1, digits), |rest| (-1, rest));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let fraction = fraction.trim_end_matches('0');
        if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let overflow = CostError::Overflow("amount");
        let mut value = 0_i128;
        for byte in whole.bytes().chain(fraction.bytes()) {
            let digit = i128::from(byte - b'0');
            value = value.checked_mul(10).and_then(|value| value.checked_add(digit)).ok_or_else(|| overflow.clone())?;
        }
        let places = i32::try_from(fraction.len()).map_err(|_| wrong())?;
        let power = exponent.checked_sub(places).and_then(|power| power.checked_add(18)).ok_or_else(wrong)?;
        let scale = 10_i128.checked_pow(power.unsigned_abs());
        let value = match (value, scale) {
            (0, _) => 0,
            (_, Some(scale)) if power >= 0 => value.checked_mul(scale).ok_or(overflow)?,
            (_, Some(scale)) if value % scale == 0 => value / scale,
            (_, None) if power >= 0 => return Err(overflow),
            _ => return Err(wrong()),
        };
        Ok(Self(sign * value))
    }
}

/// A rate in parts per billion; negative for a rebate. One basis point is 100,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Rate(pub i64);

impl Rate {
    /// No rate.
    pub const ZERO: Self = Self(0);

    /// Whole basis points.
    #[must_use]
    pub const fn bp(points: i32) -> Self {
        Self(points as i64 * 100_000)
    }

    /// The rate if a fee can have it: above -100 % and below 100 %.
    pub(super) const fn checked(self, what: &'static str) -> Result<Self, CostError> {
        if self.0 <= -1_000_000_000 || self.0 >= 1_000_000_000 {
            return Err(CostError::RateRange { what, found: self.0 });
        }
        Ok(self)
    }
}

/// A cost of `rate · notional + fixed` for every notional above 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Affine {
    /// What each of the notional costs.
    pub rate: Rate,
    /// What the trade costs whatever its size, in the quote currency.
    pub fixed: Amount,
}

impl Affine {
    /// No cost.
    pub const ZERO: Self = Self { rate: Rate::ZERO, fixed: Amount::ZERO };

    /// The cost of a notional, rounded up; 0 of none. `None` if it does not fit.
    #[must_use]
    pub fn cost(self, notional: Amount) -> Option<Amount> {
        if notional.0 == 0 { Some(Amount::ZERO) } else { notional.share(self.rate)?.checked_add(self.fixed) }
    }

    /// Both costs together, if they fit.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match (self.rate.0.checked_add(other.rate.0), self.fixed.checked_add(other.fixed)) {
            (Some(rate), Some(fixed)) => Some(Self { rate: Rate(rate), fixed }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_amount_reads_and_prints_exact_decimals() {
        for text in ["0", "1", "-0.25", "0.000000000000000001", "61837.123456789012345678", "-170000000000"] {
            assert_eq!(text.parse::<Amount>().map(|amount| amount.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("1e-8".parse(), Ok(Amount(10_000_000_000)));
        assert_eq!("0e99".parse(), Ok(Amount::ZERO));
        assert_eq!("1200e-20".parse(), Ok(Amount(12)));
        assert_eq!("0.10e1".parse(), Ok(Amount::ONE));
        assert!(matches!("1e-19".parse::<Amount>(), Err(CostError::Amount(_))));
        assert!(matches!("1e30".parse::<Amount>(), Err(CostError::Overflow(_))));
        for text in ["ten", "", "-", ".5", "1.2.3", "1e", "+1", " 1", "1e99999999999", "--1"] {
            assert!(matches!(text.parse::<Amount>(), Err(CostError::Amount(_))), "{text:?}");
        }
    }

    #[test]
    fn a_share_rounds_against_the_user_whether_paid_or_received() {
        assert_eq!(Amount(1).share(Rate(1)), Some(Amount(1)), "a fee of any fraction is one count");
        assert_eq!(Amount(1).share(Rate(-1)), Some(Amount(0)), "a rebate of a fraction is none");
        assert_eq!(Amount(-1).share(Rate(1)), Some(Amount(0)));
        assert_eq!(Amount(3_000_000_000).share(Rate(-2)), Some(Amount(-6)));
    }

    #[test]
    fn counts_of_units_become_amounts_exactly() {
        assert_eq!(Amount::of(6_183_763, Unit::decimals(2)), "61837.63".parse().ok());
        assert_eq!(Amount::of(1, Unit::decimals(18)), Some(Amount(1)));
        assert_eq!(Amount::of(i128::MAX, Unit::ONE), None);
    }

    proptest! {
        #[test]
        fn a_price_converts_as_long_division_does(a in -1_000_000_000_000_i128..1_000_000_000_000, b in 0..1_000_000_000_000_000_000_000_i128) {
            // Both products fit 128 bits here, so plain division tells.
            let plain = -(-(a * b)).div_euclid(SCALE);
            prop_assert_eq!(Amount(a).at(Amount(b)), Some(Amount(plain)));
            prop_assert_eq!(Amount(b).at(Amount(a)), Some(Amount(plain)));
        }

        #[test]
        fn shares_of_great_amounts_are_exact(whole in 0..150_000_000_000_000_000_000_i128, rest in 0..SCALE, rate in -999_999_999_i64..999_999_999) {
            let amount = Amount(whole * SCALE + rest);
            let share = amount.share(Rate(rate)).expect("fits");
            // share·10^9 lies in [amount·rate, amount·rate + 10^9), checked modulo 2^128, where differences are exact.
            let over = share.0.wrapping_mul(BILLION).wrapping_sub(amount.0.wrapping_mul(i128::from(rate)));
            prop_assert!((0..BILLION).contains(&over), "{over}");
        }
    }
}
