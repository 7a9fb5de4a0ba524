//! Constant product: Uniswap v2 and its many copies.
//!
//! The product of the reserves never falls. What comes out of a swap is `getAmountOut` of the v2 library, what must go in
//! `getAmountIn`, integer for integer, with any fee that is a fraction. Reserves are at most 2^112 - 1, as in the pair's
//! storage, so every product here fits 256 bits.

use ruint::aliases::{U256, U512};

use super::wide::{full_product, mul_div, narrow, sqrt, wide};
use super::{Fee, PoolError, Ratio, Token, Trade};

/// The largest reserve that a pair can store.
pub const MAX_RESERVE: u128 = (1 << 112) - 1;

/// A constant-product pool.
///
/// ```
/// use crossbook::pool::{ConstantProduct, Fee, Token, U256};
///
/// let mut pool = ConstantProduct::new(5 * 10_u128.pow(18), 10 * 10_u128.pow(18), Fee::UNISWAP_V2).unwrap();
/// let trade = pool.swap_in(Token::Zero, &U256::from(10_u128.pow(18))).unwrap();
/// assert_eq!(trade.amount_out, U256::from(1_662_497_915_624_478_906_u128));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConstantProduct {
    reserves: [u128; 2],
    fee: Fee,
}

fn reserve(token: Token, found: u128) -> Result<u128, PoolError> {
    if (1..=MAX_RESERVE).contains(&found) {
        Ok(found)
    } else {
        Err(PoolError::Reserve { token, found: U256::from(found) })
    }
}

impl ConstantProduct {
    /// A pool with these reserves and fee.
    ///
    /// # Errors
    /// [`PoolError::Reserve`] unless both are from 1 to 2^112 - 1.
    pub fn new(reserve_0: u128, reserve_1: u128, fee: Fee) -> Result<Self, PoolError> {
        Ok(Self { reserves: [reserve(Token::Zero, reserve_0)?, reserve(Token::One, reserve_1)?], fee })
    }

    /// The reserves of token 0 and token 1.
    #[must_use]
    pub const fn reserves(&self) -> [u128; 2] {
        self.reserves
    }

    /// The fee.
    #[must_use]
    pub const fn fee(&self) -> Fee {
        self.fee
    }

    /// The price of token 0 in token 1 between the quotes, as a float.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // analytics begin here
    pub fn mid(&self) -> f64 {
        self.reserves[1] as f64 / self.reserves[0] as f64
    }

    const fn sides(&self, token_in: Token) -> (u128, u128) {
        (self.reserves[token_in as usize], self.reserves[token_in.other() as usize])
    }

    /// `getAmountOut`: what paying in this amount gives.
    ///
    /// # Errors
    /// [`PoolError::Zero`] for an amount of 0; [`PoolError::Overflow`] if the reserve would exceed 2^112 - 1.
    #[inline]
    pub fn amount_out(&self, token_in: Token, amount_in: u128) -> Result<u128, PoolError> {
        let (reserve_in, reserve_out) = self.sides(token_in);
        if amount_in == 0 {
            return Err(PoolError::Zero("amount in"));
        }
        if amount_in > MAX_RESERVE - reserve_in {
            return Err(PoolError::Overflow("amount in"));
        }
        // Below 2^144; the quotient is below the reserve, so it fits.
        let paid = wide(amount_in) * U256::from(self.fee.kept());
        let whole = wide(reserve_in) * U256::from(self.fee.whole()) + paid;
        let out = mul_div(&paid, &wide(reserve_out), &whole).as_ref().and_then(narrow);
        out.ok_or(PoolError::Overflow("amount out"))
    }

    /// `getAmountIn`: what getting this amount out costs. The contract adds one to the quotient always, so this is the
    /// least that does, or one more where the division leaves nothing.
    ///
    /// # Errors
    /// [`PoolError::Zero`] for an amount of 0; [`PoolError::Exhausted`] unless it is below the reserve;
    /// [`PoolError::Overflow`] if the other reserve would exceed 2^112 - 1.
    #[inline]
    pub fn amount_in(&self, token_in: Token, amount_out: u128) -> Result<u128, PoolError> {
        let (reserve_in, reserve_out) = self.sides(token_in);
        if amount_out == 0 {
            return Err(PoolError::Zero("amount out"));
        }
        if amount_out >= reserve_out {
            let (available, asked) = (U256::from(reserve_out - 1), U256::from(amount_out));
            return Err(PoolError::Exhausted { what: "amount out", available, asked });
        }
        let whole = wide(reserve_in) * U256::from(self.fee.whole());
        let rest = wide(reserve_out - amount_out) * U256::from(self.fee.kept());
        let least = mul_div(&whole, &wide(amount_out), &rest).as_ref().and_then(narrow);
        match least {
            Some(least) if least < MAX_RESERVE - reserve_in => Ok(least + 1),
            _ => Err(PoolError::Overflow("amount in")),
        }
    }

    /// What paying in this amount gives. The pool does not change.
    ///
    /// # Errors
    /// As [`Self::amount_out`].
    pub fn quote_in(&self, token_in: Token, amount: &U256) -> Result<Trade, PoolError> {
        let amount_in = narrow(amount).ok_or(PoolError::Overflow("amount in"))?;
        let amount_out = self.amount_out(token_in, amount_in)?;
        Ok(Trade { token_in, amount_in: *amount, amount_out: wide(amount_out) })
    }

    /// What getting this amount out costs. The pool does not change.
    ///
    /// # Errors
    /// As [`Self::amount_in`].
    pub fn quote_out(&self, token_in: Token, amount: &U256) -> Result<Trade, PoolError> {
        let amount_out = narrow(amount).ok_or_else(|| PoolError::Exhausted {
            what: "amount out",
            available: U256::from(self.sides(token_in).1 - 1),
            asked: *amount,
        })?;
        let amount_in = self.amount_in(token_in, amount_out)?;
        Ok(Trade { token_in, amount_in: wide(amount_in), amount_out: *amount })
    }

    /// Pays in this amount.
    ///
    /// # Errors
    /// As [`Self::amount_out`].
    pub fn swap_in(&mut self, token_in: Token, amount: &U256) -> Result<Trade, PoolError> {
        let trade = self.quote_in(token_in, amount)?;
        self.settle(&trade);
        Ok(trade)
    }

    /// Takes this amount out.
    ///
    /// # Errors
    /// As [`Self::amount_in`].
    pub fn swap_out(&mut self, token_in: Token, amount: &U256) -> Result<Trade, PoolError> {
        let trade = self.quote_out(token_in, amount)?;
        self.settle(&trade);
        Ok(trade)
    }

    /// The reserves after a trade that was quoted on these.
    fn settle(&mut self, trade: &Trade) {
        // Both were checked against the reserves when they were quoted.
        self.reserves[trade.token_in as usize] += narrow(&trade.amount_in).unwrap_or(0);
        self.reserves[trade.token_in.other() as usize] -= narrow(&trade.amount_out).unwrap_or(0);
    }

    /// The largest trade of which every part is at `limit` or better after the fee; see [`super::Pool::to_price`].
    ///
    /// With reserves `x` of what is paid and `y` of what comes out, a share `γ` left after the fee and at least `r` of
    /// output for one of input, the marginal output `γ x y / (x + γ d)²` falls to `r` at `x + γ d = sqrt(γ x y / r)`
    /// (Angeris et al., *An Analysis of Uniswap Markets*, 2019). Rounded down.
    ///
    /// # Errors
    /// [`PoolError::Overflow`] if the reserve would exceed 2^112 - 1.
    pub fn to_price(&self, token_in: Token, limit: &Ratio) -> Result<Trade, PoolError> {
        let (reserve_in, reserve_out) = self.sides(token_in);
        let least = limit.of_output(token_in);
        let kept = U256::from(self.fee.kept());
        let whole = U256::from(self.fee.whole());
        let numerator = full_product(&(wide(reserve_in) * wide(reserve_out)), &least.denominator());
        // 224 + 224 + 32 bits.
        let numerator = numerator * U512::from(kept);
        let target = sqrt(numerator / full_product(&least.numerator(), &whole));
        let Some(paid) = target.checked_sub(wide(reserve_in)).filter(|paid| !paid.is_zero()) else {
            return Ok(Trade::none(token_in));
        };
        let amount = mul_div(&paid, &whole, &kept).ok_or(PoolError::Overflow("amount in"))?;
        let trade = self.quote_in(token_in, &amount)?;
        // What is worth less than one raw unit of output is not worth trading.
        Ok(if trade.amount_out.is_zero() { Trade::none(token_in) } else { trade })
    }
}
