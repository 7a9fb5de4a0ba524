//! One step of a swap within constant liquidity: `SwapMath.computeSwapStep` of Uniswap v3-core.

use ruint::aliases::U256;

use super::sqrt_price::{after_input, after_output, amount_0, amount_1};
use super::wide::{is_mul_div_twice_up, narrow, to_f64};
use super::{Fee, PoolError, Token};

/// Which end of a trade is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exact {
    /// This much is paid in, fee included.
    In(U256),
    /// This much comes out.
    Out(U256),
}

impl Exact {
    /// The amount.
    #[must_use]
    pub const fn amount(&self) -> U256 {
        match self {
            Self::In(amount) | Self::Out(amount) => *amount,
        }
    }
}

/// What one step moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The square-root price after it, at most the target.
    pub sqrt_price: U256,
    /// What was paid in, without the fee.
    pub amount_in: U256,
    /// What came out.
    pub amount_out: U256,
    /// The fee, in the token paid in.
    pub fee: U256,
}

/// 2^96.
const ONE: f64 = 79_228_162_514_264_337_593_543_950_336.0;

/// Moves the price from `current` towards `target` as far as the amount goes. The direction is that of the target: a
/// lower or equal price means that token 0 is paid in.
///
/// # Errors
/// [`PoolError`] if there is no liquidity for an amount that does not reach the target, or a number does not fit.
#[inline]
pub fn step(current: &U256, target: &U256, liquidity: u128, remaining: &Exact, fee: Fee) -> Result<Step, PoolError> {
    let token_in = if current >= target { Token::Zero } else { Token::One };
    // What is paid in between `current` and another price, and what comes out.
    let paid = |to: &U256| match token_in {
        Token::Zero => amount_0(to, current, liquidity, true),
        Token::One => amount_1(current, to, liquidity, true),
    };
    let given = |to: &U256| match token_in {
        Token::Zero => amount_1(to, current, liquidity, false),
        Token::One => amount_0(current, to, liquidity, false),
    };
    const AMOUNT: PoolError = PoolError::Overflow("amount with its fee");
    // Whether an amount of this token is surely less than what lies between here and the target: floats err by less than
    // 10^-14 of it, so what is closer than 10^-9 is left to the exact comparison, and only that costs a division.
    let is_inside = |amount: &U256, of: Token| {
        let (a, b) = (to_f64(current), to_f64(target));
        let width = to_f64(&current.abs_diff(*target));
        #[allow(clippy::cast_precision_loss)]
        let liquidity = liquidity as f64;
        let whole = match of {
            Token::Zero => liquidity / a * (width / b) * ONE,
            Token::One => liquidity * (width / ONE),
        };
        to_f64(amount) + 2.0 < whole * (1.0 - 1e-9)
    };
    match remaining {
        Exact::In(remaining) => {
            let net = fee.after(remaining).ok_or(AMOUNT)?;
            if is_inside(&net, token_in) {
                let next = after_input(current, liquidity, &net, token_in)?;
                if next != *target {
                    // Mostly all of it: the price was rounded by less than a unit of the token is worth.
                    let is_all = token_in == Token::Zero
                        && narrow(&net)
                            .is_some_and(|net| is_mul_div_twice_up(net, liquidity, &(current - next), &next, current));
                    let amount_in = if is_all { net } else { paid(&next)? };
                    let amount_out = given(&next)?;
                    let fee = remaining.checked_sub(amount_in).ok_or(AMOUNT)?;
                    return Ok(Step { sqrt_price: next, amount_in, amount_out, fee });
                }
            }
            let whole = paid(target)?;
            if net >= whole {
                let fee = fee.on_top(&whole).ok_or(AMOUNT)?;
                return Ok(Step { sqrt_price: *target, amount_in: whole, amount_out: given(target)?, fee });
            }
            let next = after_input(current, liquidity, &net, token_in)?;
            let (amount_in, amount_out) = (paid(&next)?, given(&next)?);
            // Rounding may bring the price to the target although the whole of it was not paid.
            let fee = if next == *target {
                fee.on_top(&whole).ok_or(AMOUNT)?
            } else {
                remaining.checked_sub(amount_in).ok_or(AMOUNT)?
            };
            let amount_in = if next == *target { whole } else { amount_in };
            Ok(Step { sqrt_price: next, amount_in, amount_out, fee })
        }
        Exact::Out(remaining) => {
            if is_inside(remaining, token_in.other()) {
                let next = after_output(current, liquidity, remaining, token_in)?;
                if next != *target {
                    // The price is rounded so that no less lies in between, and no more is given than was asked for.
                    let (amount_in, amount_out) = (paid(&next)?, *remaining);
                    let fee = fee.on_top(&amount_in).ok_or(AMOUNT)?;
                    return Ok(Step { sqrt_price: next, amount_in, amount_out, fee });
                }
            }
            let whole = given(target)?;
            let (next, amount_out) = if *remaining >= whole {
                (*target, whole)
            } else {
                let next = after_output(current, liquidity, remaining, token_in)?;
                (next, if next == *target { whole } else { given(&next)?.min(*remaining) })
            };
            let amount_out = amount_out.min(*remaining);
            let amount_in = paid(&next)?;
            let fee = fee.on_top(&amount_in).ok_or(AMOUNT)?;
            Ok(Step { sqrt_price: next, amount_in, amount_out, fee })
        }
    }
}
