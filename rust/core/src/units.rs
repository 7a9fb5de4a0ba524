//! Exact integers for prices, sizes and times.
//!
//! Everything on the hot path is an integer count of a *unit*: an exact decimal that says what one integer means. Text
//! becomes such a count exactly or is refused; nothing is rounded here.

use std::fmt;

use thiserror::Error;

/// A price in units of its instrument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Price(pub i64);

/// A size in units of its instrument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Size(pub i64);

/// Nanoseconds since the Unix epoch, UTC. Which clock wrote it is said by the name of the field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Nanos(pub i64);

impl Nanos {
    /// No time known. Zero, so that a column of times stays a plain column of integers.
    pub const UNKNOWN: Self = Self(0);
}

/// A side of a book; for a trade, the side of the aggressor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Side {
    /// Buyers; a trade with this side lifted the ask.
    Bid = 0,
    /// Sellers; a trade with this side hit the bid.
    Ask = 1,
}

impl Side {
    /// The other side.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Bid => Self::Ask,
            Self::Ask => Self::Bid,
        }
    }
}

/// Why a decimal text is not a count of units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UnitError {
    /// The text is not a decimal number.
    #[error("expected a decimal number")]
    NotADecimal,
    /// The value lies between two multiples of the unit.
    #[error("expected a multiple of the unit {0}")]
    OffUnit(Unit),
    /// The value does not fit 63 bits of units.
    #[error("expected a value below 2^63 units of {0}")]
    Overflow(Unit),
}

/// Powers of ten that fit 63 bits.
pub(crate) const POW10: [i64; 19] = {
    let mut table = [1_i64; 19];
    let mut i = 1;
    while i < 19 {
        table[i] = table[i - 1] * 10;
        i += 1;
    }
    table
};

/// An exact positive decimal, `mantissa × 10^exponent`: what one integer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Unit {
    mantissa: i64,
    exponent: i8,
}

impl Unit {
    /// One.
    pub const ONE: Self = Self { mantissa: 1, exponent: 0 };

    /// A unit from its parts, normalised so that the mantissa has no trailing zero. `None` unless `mantissa > 0` and
    /// `-18 <= exponent <= 18` after normalising.
    #[must_use]
    pub const fn new(mantissa: i64, exponent: i8) -> Option<Self> {
        if mantissa <= 0 {
            return None;
        }
        let (mut mantissa, mut exponent) = (mantissa, exponent);
        while mantissa % 10 == 0 && exponent < i8::MAX {
            mantissa /= 10;
            exponent += 1;
        }
        if exponent < -18 || exponent > 18 {
            return None;
        }
        Some(Self { mantissa, exponent })
    }

    /// `10^-decimals`, for example 0.01 for 2.
    ///
    /// # Panics
    /// At compile time or run time, if `decimals > 18`.
    #[must_use]
    pub const fn decimals(decimals: u8) -> Self {
        assert!(decimals <= 18, "at most 18 decimals");
        #[allow(clippy::cast_possible_wrap)] // at most 18
        Self { mantissa: 1, exponent: -(decimals as i8) }
    }

    /// Reads an exact decimal such as `0.01`, `100` or `2.5e-3`.
    ///
    /// # Errors
    /// [`UnitError::NotADecimal`] if it is none or not positive; [`UnitError::Overflow`] if it needs more than 63 bits.
    pub fn parse(text: &str) -> Result<Self, UnitError> {
        let (negative, digits, exponent) = decimal_parts(text.as_bytes())?;
        let digits = i64::try_from(digits).map_err(|_| UnitError::Overflow(Self::ONE))?;
        let exponent = i8::try_from(exponent).map_err(|_| UnitError::Overflow(Self::ONE))?;
        if negative {
            return Err(UnitError::NotADecimal);
        }
        Self::new(digits, exponent).ok_or(UnitError::NotADecimal)
    }

    /// The mantissa, without trailing zeros.
    #[must_use]
    pub const fn mantissa(self) -> i64 {
        self.mantissa
    }

    /// The power of ten.
    #[must_use]
    pub const fn exponent(self) -> i8 {
        self.exponent
    }

    /// The unit as a float, for analytics; see [`Self::to_f64`].
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.to_f64(1)
    }

    /// A count of units as a float, correctly rounded wherever count and power of ten are below 2^53.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // analytics begin here
    pub fn to_f64(self, count: i64) -> f64 {
        let scaled = count as f64 * self.mantissa as f64;
        let power = POW10[usize::from(self.exponent.unsigned_abs())] as f64;
        if self.exponent < 0 { scaled / power } else { scaled * power }
    }

    /// Reads a decimal text exactly as a count of this unit.
    ///
    /// Accepts an optional `-`, digits with at most one point, and an exponent (`7e-7`).
    ///
    /// # Errors
    /// [`UnitError`] says whether the text is no number, lies off the unit or is too large.
    #[inline]
    pub fn parse_count(self, text: &[u8]) -> Result<i64, UnitError> {
        let (negative, digits, exponent) = decimal_parts(text).map_err(|error| match error {
            UnitError::Overflow(_) => UnitError::Overflow(self),
            error => error,
        })?;
        self.count(negative, digits, exponent)
    }

    /// The value `±digits × 10^exponent` as a count of this unit.
    ///
    /// # Errors
    /// [`UnitError::OffUnit`] or [`UnitError::Overflow`].
    #[inline]
    pub fn count(self, negative: bool, digits: u64, exponent: i32) -> Result<i64, UnitError> {
        let shift = exponent.saturating_sub(i32::from(self.exponent));
        let mut value = i64::try_from(digits).map_err(|_| UnitError::Overflow(self))?;
        if value != 0 {
            if shift > 0 {
                let power = usize::try_from(shift).ok().and_then(|s| POW10.get(s)).ok_or(UnitError::Overflow(self))?;
                value = value.checked_mul(*power).ok_or(UnitError::Overflow(self))?;
            } else if shift < 0 {
                let power = usize::try_from(shift.unsigned_abs())
                    .ok()
                    .and_then(|s| POW10.get(s))
                    .ok_or(UnitError::OffUnit(self))?;
                if value % power != 0 {
                    return Err(UnitError::OffUnit(self));
                }
                value /= power;
            }
            if self.mantissa != 1 {
                if value % self.mantissa != 0 {
                    return Err(UnitError::OffUnit(self));
                }
                value /= self.mantissa;
            }
        }
        Ok(if negative { -value } else { value })
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format_count(1))
    }
}

impl Unit {
    /// A count of this unit as exact decimal text, for messages and files: `format_count(6183763)` of 0.01 is
    /// `61837.63`.
    #[must_use]
    pub fn format_count(self, count: i64) -> String {
        let value = i128::from(count) * i128::from(self.mantissa);
        let sign = if value < 0 { "-" } else { "" };
        let digits = value.unsigned_abs().to_string();
        if self.exponent >= 0 {
            let zeros = if value == 0 { 0 } else { usize::from(self.exponent.unsigned_abs()) };
            return format!("{sign}{digits}{}", "0".repeat(zeros));
        }
        let places = usize::from(self.exponent.unsigned_abs());
        let padded = format!("{digits:0>width$}", width = places + 1);
        let (whole, fraction) = padded.split_at(padded.len() - places);
        format!("{sign}{whole}.{fraction}")
    }
}

/// Splits a decimal text into sign, digits and power of ten, with trailing zeros of the fraction stripped.
///
/// # Errors
/// [`UnitError::NotADecimal`], or [`UnitError::Overflow`] if the digits do not fit 64 bits.
#[inline]
pub fn decimal_parts(text: &[u8]) -> Result<(bool, u64, i32), UnitError> {
    let (negative, rest) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    let mut digits: u64 = 0;
    let mut exponent: i32 = 0;
    // Zeros that a fraction has carried so far: they count only once a digit follows them, so that
    // 40 trailing zeros are no overflow and "0.50" needs no finer unit than "0.5".
    let mut zeros: u32 = 0;
    let mut seen = false;
    let mut point = false;
    let mut bytes = rest.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'0' if point => {
                zeros += 1;
                seen = true;
            }
            b'0'..=b'9' => {
                seen = true;
                if point {
                    let places = zeros + 1;
                    let power = usize::try_from(places).ok().and_then(|p| POW10.get(p));
                    digits = match (digits, power) {
                        (0, _) => 0,
                        (_, Some(&power)) => {
                            digits.checked_mul(power.unsigned_abs()).ok_or(UnitError::Overflow(Unit::ONE))?
                        }
                        (_, None) => return Err(UnitError::Overflow(Unit::ONE)),
                    };
                    exponent = exponent.saturating_sub_unsigned(places);
                    zeros = 0;
                } else {
                    digits = digits.checked_mul(10).ok_or(UnitError::Overflow(Unit::ONE))?;
                }
                digits = digits.checked_add(u64::from(byte - b'0')).ok_or(UnitError::Overflow(Unit::ONE))?;
            }
            b'.' if !point && seen => point = true,
            b'e' | b'E' if seen => {
                let text = std::str::from_utf8(bytes.as_slice()).map_err(|_| UnitError::NotADecimal)?;
                let power: i32 = text.parse().map_err(|_| UnitError::NotADecimal)?;
                exponent = exponent.checked_add(power).ok_or(UnitError::NotADecimal)?;
                return Ok((negative, digits, exponent));
            }
            _ => return Err(UnitError::NotADecimal),
        }
    }
    if seen { Ok((negative, digits, exponent)) } else { Err(UnitError::NotADecimal) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CENT: Unit = Unit::decimals(2);

    #[test]
    fn decimal_text_becomes_an_exact_count() {
        assert_eq!(CENT.parse_count(b"61837.63000000"), Ok(6_183_763));
        assert_eq!(CENT.parse_count(b"-0.5"), Ok(-50));
        assert_eq!(CENT.parse_count(b"7e-1"), Ok(70));
        assert_eq!(CENT.parse_count(b"1.5E3"), Ok(150_000));
        assert_eq!(Unit::decimals(8).parse_count(b"0.0000000000e5"), Ok(0));
        assert_eq!(Unit::new(5, -1).map(|half| half.parse_count(b"61800.5")), Some(Ok(123_601)));
    }

    #[test]
    fn a_value_between_two_units_is_refused() {
        assert_eq!(CENT.parse_count(b"1.001"), Err(UnitError::OffUnit(CENT)));
        assert_eq!(CENT.parse_count(b"1e-30"), Err(UnitError::OffUnit(CENT)));
        let half = Unit::new(5, -1).expect("a unit");
        assert_eq!(half.parse_count(b"0.7"), Err(UnitError::OffUnit(half)));
    }

    #[test]
    fn forty_digits_overflow_and_forty_trailing_zeros_do_not() {
        assert!(matches!(CENT.parse_count("9".repeat(40).as_bytes()), Err(UnitError::Overflow(_))));
        assert_eq!(CENT.parse_count(format!("1.{}", "0".repeat(40)).as_bytes()), Ok(100));
        assert!(matches!(CENT.parse_count(b"92233720368547758.08"), Err(UnitError::Overflow(_))));
        assert_eq!(CENT.parse_count(b"92233720368547758.07"), Ok(i64::MAX));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "-", ".5", "1.2.3", "1e", "0x10", "NaN", " 1", "1 ", "+1", "1e99999999999"] {
            assert!(CENT.parse_count(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn units_print_as_they_are_written() {
        for text in ["0.01", "100", "0.00000001", "2.5", "1"] {
            assert_eq!(Unit::parse(text).map(|u| u.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(CENT.format_count(-5), "-0.05");
        assert_eq!(CENT.as_f64(), 0.01);
        assert_eq!(CENT.to_f64(6_183_763), 61_837.63);
    }
}
