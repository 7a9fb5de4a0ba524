//! Exact prices, and what a pool's raw amounts are in a book's units.

use ruint::aliases::{U256, U512};

use super::wide::{full_product, to_f64};
use super::{PoolError, Token};
use crate::units::{Price, Side, Size, Unit};

/// A price of token 0 in token 1, raw over raw, as an exact fraction in lowest terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    numerator: U256,
    denominator: U256,
}

/// So that a price times two reserves, a fee and 2^192 stay below 2^512.
const MOST_BITS: usize = 224;

impl Ratio {
    /// `numerator / denominator`: so much of token 1 for so much of token 0.
    ///
    /// # Errors
    /// [`PoolError::Price`] if either is 0, or needs more than 224 bits in lowest terms.
    pub fn new(numerator: U256, denominator: U256) -> Result<Self, PoolError> {
        if numerator.is_zero() || denominator.is_zero() {
            return Err(PoolError::Price);
        }
        let divisor = numerator.gcd(denominator);
        let (numerator, denominator) = (numerator / divisor, denominator / divisor);
        if numerator.bit_len() > MOST_BITS || denominator.bit_len() > MOST_BITS {
            return Err(PoolError::Price);
        }
        Ok(Self { numerator, denominator })
    }

    /// The price that a float stands for, exactly.
    ///
    /// # Errors
    /// [`PoolError::Price`] unless it is above 0, finite and from 2^-171 to 2^224.
    pub fn from_f64(price: f64) -> Result<Self, PoolError> {
        if !price.is_normal() || price < 0.0 {
            return Err(PoolError::Price);
        }
        let bits = price.to_bits();
        let mantissa = U256::from(bits & ((1 << 52) - 1) | 1 << 52);
        let exponent = i32::try_from(bits >> 52).unwrap_or(0) - 1_075;
        let shift = exponent.unsigned_abs() as usize;
        let zeros = mantissa.trailing_zeros();
        if exponent >= 0 {
            if shift + 53 > MOST_BITS {
                return Err(PoolError::Price);
            }
            Self::new(mantissa << shift, U256::ONE)
        } else if shift.saturating_sub(zeros) >= MOST_BITS {
            Err(PoolError::Price)
        } else {
            let common = shift.min(zeros);
            Self::new(mantissa >> common, U256::ONE << (shift - common))
        }
    }

    /// So much of token 1 …
    #[must_use]
    pub const fn numerator(&self) -> U256 {
        self.numerator
    }

    /// … for so much of token 0.
    #[must_use]
    pub const fn denominator(&self) -> U256 {
        self.denominator
    }

    /// The price of token 1 in token 0.
    #[must_use]
    pub const fn inverse(&self) -> Self {
        Self { numerator: self.denominator, denominator: self.numerator }
    }

    /// The least that one unit of `token_in` must bring of the other token for this limit to hold.
    #[inline]
    pub(crate) const fn of_output(&self, token_in: Token) -> Self {
        match token_in {
            Token::Zero => *self,
            Token::One => self.inverse(),
        }
    }

    /// As a float.
    #[must_use]
    pub fn to_f64(&self) -> f64 {
        to_f64(&self.numerator) / to_f64(&self.denominator)
    }
}

/// How raw amounts of a pool read as prices and sizes of a book: which token is the base, how many decimals both have,
/// and the book's units.
///
/// ```
/// use crossbook::pool::{Scale, Token};
/// use crossbook::units::Unit;
///
/// // Token 0 is USDC (6 decimals), token 1 ether (18), the base; prices in cents, sizes in 0.0001.
/// let scale = Scale::new(Token::One, [6, 18], Unit::decimals(2), Unit::decimals(4)).unwrap();
/// assert_eq!(scale.base(), Token::One);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    base: Token,
    price_unit: Unit,
    size_unit: Unit,
    /// Raw quote per raw base of one price unit, as a fraction.
    price: (U256, U256),
    /// Raw base of one size unit, as a fraction.
    size: (U256, U256),
}

/// `10^exponent`, which fits 256 bits up to 77.
fn power(exponent: u32) -> U256 {
    U256::from(10).pow(U256::from(exponent))
}

/// `mantissa × 10^exponent` as a fraction.
fn fraction(mantissa: i64, exponent: i32) -> (U256, U256) {
    let mantissa = U256::from(mantissa.unsigned_abs());
    let scale = power(exponent.unsigned_abs());
    if exponent >= 0 { (mantissa * scale, U256::ONE) } else { (mantissa, scale) }
}

impl Scale {
    /// A scale for the base token, the decimals of tokens 0 and 1, and the units of prices and sizes.
    ///
    /// # Errors
    /// [`PoolError::Decimals`] above 36 of them; [`PoolError::Price`] if a price unit in raw amounts is out of reach.
    pub fn new(base: Token, decimals: [u8; 2], price_unit: Unit, size_unit: Unit) -> Result<Self, PoolError> {
        if let Some(&found) = decimals.iter().find(|&&found| found > 36) {
            return Err(PoolError::Decimals(found));
        }
        let [base_decimals, quote_decimals] = [decimals[base as usize], decimals[base.other() as usize]].map(i32::from);
        let price = fraction(price_unit.mantissa(), i32::from(price_unit.exponent()) + quote_decimals - base_decimals);
        let size = fraction(size_unit.mantissa(), i32::from(size_unit.exponent()) + base_decimals);
        if price.0.bit_len() > 160 || price.1.bit_len() > 160 {
            return Err(PoolError::Price); // a price of 63 bits must stay within a ratio's 224
        }
        Ok(Self { base, price_unit, size_unit, price, size })
    }

    /// The token whose sizes are counted.
    #[must_use]
    pub const fn base(&self) -> Token {
        self.base
    }

    /// What one integer of a price means.
    #[must_use]
    pub const fn price_unit(&self) -> Unit {
        self.price_unit
    }

    /// What one integer of a size means.
    #[must_use]
    pub const fn size_unit(&self) -> Unit {
        self.size_unit
    }

    /// Raw quote of one price unit times one size unit, as a fraction.
    ///
    /// # Errors
    /// [`PoolError::Price`] if a part of it needs more than 192 bits.
    pub fn notional(&self) -> Result<(U256, U256), PoolError> {
        let across = |a: U256, b: U256| {
            let divisor = a.gcd(b);
            (a / divisor, b / divisor)
        };
        let ((p0, s1), (s0, p1)) = (across(self.price.0, self.size.1), across(self.size.0, self.price.1));
        let fits = |product: Option<U256>| product.filter(|product| product.bit_len() <= 192).ok_or(PoolError::Price);
        Ok((fits(p0.checked_mul(s0))?, fits(p1.checked_mul(s1))?))
    }

    /// Raw quote over raw base in price units, as a float.
    pub(crate) fn price_f64(&self, quote: &U256, base: &U256) -> f64 {
        to_f64(quote) / to_f64(base) * (to_f64(&self.price.1) / to_f64(&self.price.0))
    }

    /// Raw base of one size unit, as a float.
    pub(crate) fn raw_per_size(&self) -> f64 {
        to_f64(&self.size.0) / to_f64(&self.size.1)
    }

    /// A price of the book as one of the pool.
    ///
    /// # Errors
    /// [`PoolError::Price`] unless it is above 0.
    pub fn ratio(&self, price: Price) -> Result<Ratio, PoolError> {
        let price = u64::try_from(price.0).map_err(|_| PoolError::Price)?;
        let quote_per_base = Ratio::new(self.price.0 * U256::from(price), self.price.1)?;
        Ok(match self.base {
            Token::Zero => quote_per_base,
            Token::One => quote_per_base.inverse(),
        })
    }

    /// The token that a taker of this side of the book pays in: who lifts asks pays the quote token.
    #[inline]
    #[must_use]
    pub const fn token_in(&self, side: Side) -> Token {
        match side {
            Side::Ask => self.base.other(),
            Side::Bid => self.base,
        }
    }

    /// A size as a raw amount of the base token, rounded down; none if it needs more than 256 bits.
    #[must_use]
    pub fn raw_size(&self, size: Size) -> Option<U256> {
        let size = U256::from(u64::try_from(size.0).ok()?);
        Some(size.checked_mul(self.size.0)? / self.size.1)
    }

    /// A size as a raw amount of the base token, rounded up.
    #[must_use]
    pub fn raw_size_up(&self, size: Size) -> Option<U256> {
        let size = U256::from(u64::try_from(size.0).ok()?);
        Some(size.checked_mul(self.size.0)?.div_ceil(self.size.1))
    }

    /// A raw amount of the base token as a size, rounded down, at most the largest there is.
    #[must_use]
    pub fn size(&self, raw: &U256) -> Size {
        let size = full_product(raw, &self.size.1) / U512::from(self.size.0);
        Size(if size > U512::from(i64::MAX) { i64::MAX } else { i64::try_from(size.as_limbs()[0]).unwrap_or(i64::MAX) })
    }

    /// Raw quote over raw base as a price, rounded against who takes this side: up for asks, down for bids.
    ///
    /// # Errors
    /// [`PoolError::Price`] if it needs more than 63 bits, or nothing is given for it.
    pub fn price(&self, side: Side, quote: &U256, base: &U256) -> Result<Price, PoolError> {
        // quote / base / (p0 / p1); neither product may lose a bit.
        let numerator = full_product(quote, &self.price.1);
        let denominator = full_product(base, &self.price.0);
        if denominator.is_zero() {
            return Err(PoolError::Price);
        }
        let (price, rest) = numerator.div_rem(denominator);
        let up = side == Side::Ask && !rest.is_zero();
        if price > U512::from(i64::MAX - 1) {
            return Err(PoolError::Price);
        }
        Ok(Price(i64::try_from(price.as_limbs()[0]).map_err(|_| PoolError::Price)? + i64::from(up)))
    }
}
