//! Amounts between two square-root prices, and the price after an amount: `SqrtPriceMath` of Uniswap v3-core, with its
//! rounding: what is paid in up, what comes out down, the price so that neither can gain.
//!
//! With liquidity `L` and square-root prices `a < b` (Adams et al., *Uniswap v3 Core*, 2021, 6.2): token 0 moves by
//! `L (1/a - 1/b)`, token 1 by `L (b - a)`.

use ruint::aliases::U256;

use super::wide::{checked_product, div, div_up, low, mul_div, mul_div_twice, mul_div_up, wide};
use super::{PoolError, Token};

/// 2^96, one as a square-root price.
pub const Q96: U256 = U256::from_limbs([0, 1 << 32, 0, 0]);

const PRICE: PoolError = PoolError::Overflow("square-root price after the trade");
const AMOUNT: PoolError = PoolError::Overflow("amount between two square-root prices");

#[inline]
fn ordered<'a>(a: &'a U256, b: &'a U256) -> (&'a U256, &'a U256) {
    if a <= b { (a, b) } else { (b, a) }
}

/// Whether a number fits 160 bits.
#[inline]
const fn fits(x: &U256) -> bool {
    x.as_limbs()[3] == 0 && x.as_limbs()[2] >> 32 == 0
}

#[inline]
fn after(found: Option<U256>) -> Result<U256, PoolError> {
    found.filter(fits).ok_or(PRICE)
}

/// How much of token 0 lies between two square-root prices, rounded up or down.
///
/// # Errors
/// [`PoolError::SqrtPrice`] if the lower one is 0 or the upper one needs more than 160 bits.
#[inline]
pub fn amount_0(a: &U256, b: &U256, liquidity: u128, up: bool) -> Result<U256, PoolError> {
    let (a, b) = ordered(a, b);
    if a.is_zero() {
        return Err(PoolError::SqrtPrice(*a));
    }
    if !fits(b) {
        return Err(PoolError::SqrtPrice(*b));
    }
    let amount = mul_div_twice(liquidity, &(b - a), a, b, up);
    amount.ok_or(AMOUNT)
}

/// How much of token 1 lies between two square-root prices, rounded up or down.
///
/// # Errors
/// [`PoolError::Overflow`].
#[inline]
pub fn amount_1(a: &U256, b: &U256, liquidity: u128, up: bool) -> Result<U256, PoolError> {
    let (a, b) = ordered(a, b);
    let limbs = b - a;
    let limbs = limbs.as_limbs();
    if limbs[3] != 0 || limbs[2] >> 32 != 0 {
        return Err(AMOUNT); // then neither is a square-root price
    }
    // 160 bits by 128, shifted down by 96.
    let (l0, l1) = (low(liquidity), low(liquidity >> 64));
    let mut out = [0_u64; 5];
    for (i, &limb) in limbs[..3].iter().enumerate() {
        let first = u128::from(limb) * u128::from(l0) + u128::from(out[i]);
        let second = u128::from(limb) * u128::from(l1) + u128::from(out[i + 1]) + (first >> 64);
        out[i] = low(first);
        out[i + 1] = low(second);
        out[i + 2] = low(second >> 64);
    }
    let amount = U256::from_limbs([
        out[1] >> 32 | out[2] << 32,
        out[2] >> 32 | out[3] << 32,
        out[3] >> 32 | out[4] << 32,
        out[4] >> 32,
    ]);
    let inexact = out[0] != 0 || out[1] << 32 != 0;
    Ok(if up && inexact { amount + U256::ONE } else { amount }) // below 2^192
}

/// A number of at most 160 bits in Q96.
#[inline]
const fn in_q96(x: &U256) -> U256 {
    let [a, b, c, _] = *x.as_limbs();
    U256::from_limbs([0, a << 32, a >> 32 | b << 32, b >> 32 | c << 32])
}

/// Liquidity in Q96.
#[inline]
const fn scaled(liquidity: u128) -> U256 {
    let (l0, l1) = (low(liquidity), low(liquidity >> 64));
    U256::from_limbs([0, l0 << 32, l0 >> 32 | l1 << 32, l1 >> 32])
}

/// The square-root price after paying in an amount, rounded so that the pool gives no more than it should.
///
/// # Errors
/// [`PoolError::Zero`] without liquidity; [`PoolError::Overflow`] if the price leaves 160 bits.
#[inline]
pub fn after_input(price: &U256, liquidity: u128, amount: &U256, token_in: Token) -> Result<U256, PoolError> {
    if liquidity == 0 {
        return Err(PoolError::Zero("liquidity"));
    }
    if token_in == Token::One {
        let quotient =
            if fits(amount) { div(&in_q96(amount), &wide(liquidity)) } else { mul_div(amount, &Q96, &wide(liquidity)) };
        return after(quotient.and_then(|quotient| price.checked_add(quotient)));
    }
    if amount.is_zero() {
        return Ok(*price);
    }
    let scaled = scaled(liquidity);
    let denominator = checked_product(amount, price).and_then(|product| product.checked_add(scaled));
    match denominator {
        Some(denominator) => mul_div_up(&scaled, price, &denominator),
        // The contract's fall-back where `L + amount × price` overflows.
        None => div(&scaled, price).and_then(|l| l.checked_add(*amount)).and_then(|d| div_up(&scaled, &d)),
    }
    .ok_or(PRICE)
}

/// The square-root price after an amount came out, rounded so that the pool gets no less than it should.
///
/// # Errors
/// [`PoolError::Zero`] without liquidity; [`PoolError::Overflow`] if the liquidity does not hold that much.
#[inline]
pub fn after_output(price: &U256, liquidity: u128, amount: &U256, token_in: Token) -> Result<U256, PoolError> {
    if liquidity == 0 {
        return Err(PoolError::Zero("liquidity"));
    }
    if token_in == Token::Zero {
        let quotient = if fits(amount) {
            div_up(&in_q96(amount), &wide(liquidity))
        } else {
            mul_div_up(amount, &Q96, &wide(liquidity))
        };
        return quotient.filter(|quotient| quotient < price).map(|quotient| price - quotient).ok_or(PRICE);
    }
    if amount.is_zero() {
        return Ok(*price);
    }
    let scaled = scaled(liquidity);
    let product = checked_product(amount, price).filter(|product| *product < scaled).ok_or(PRICE)?;
    after(mul_div_up(&scaled, price, &(scaled - product)))
}
