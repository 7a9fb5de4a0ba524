//! A swap in full: what moves, what of it is the fee, and the price that it leaves.

use super::wide::mul_div;
use super::{Exact, Pool, PoolError, Scale, Token, Trade, U256};
use crate::units::{Price, Side};

/// A swap as the pool quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// What moves.
    pub trade: Trade,
    /// The fee, part of what is paid in, rounded up.
    pub fee: U256,
    /// Raw token 1 and raw token 0 of the price after, before the fee.
    after: (U256, U256),
    /// The same of the last part of the swap. Uniswap v2 keeps the fee in the reserves, so the next swap begins at a worse
    /// price than the last one ended at.
    last: (U256, U256),
}

impl Pool {
    /// A swap of an exact amount in or out. The pool does not change.
    ///
    /// # Errors
    /// As [`Self::quote_in`] and [`Self::quote_out`].
    pub fn fill(&self, token_in: Token, exact: Exact) -> Result<Fill, PoolError> {
        let trade = match &exact {
            Exact::In(amount) => self.quote_in(token_in, amount)?,
            Exact::Out(amount) => self.quote_out(token_in, amount)?,
        };
        match self {
            Self::ConstantProduct(pool) => {
                let reserves = pool.reserves().map(U256::from);
                let (mut zero, mut one) = (reserves[0], reserves[1]);
                let (paid, got) = if token_in == Token::Zero { (&mut zero, &mut one) } else { (&mut one, &mut zero) };
                *paid = paid.saturating_add(trade.amount_in);
                *got = got.saturating_sub(trade.amount_out);
                let (kept, whole) = (U256::from(self.fee().kept()), U256::from(self.fee().whole()));
                let left = mul_div(&trade.amount_in, &kept, &whole).unwrap_or(trade.amount_in);
                // What is paid moves the price without the fee on it.
                let before = reserves[token_in as usize] * whole;
                let moved = before + trade.amount_in * kept;
                let last = if token_in == Token::Zero { (one * whole, moved) } else { (moved, zero * whole) };
                Ok(Fill { trade, fee: trade.amount_in - left, after: (one, zero), last })
            }
            Self::Concentrated(pool) => {
                let swap = pool.quote(token_in, exact, None)?;
                let after = super::ladder::of_root(&swap.sqrt_price);
                Ok(Fill { trade, fee: swap.fee, after, last: after })
            }
        }
    }

    /// The marginal price after a fill and the fee, rounded away from the trade: up for who takes asks, down for who takes
    /// bids.
    ///
    /// # Errors
    /// [`PoolError::Price`] if it does not fit.
    pub fn price_after(&self, fill: &Fill, scale: &Scale, side: Side) -> Result<Price, PoolError> {
        let (quote, base) = self.net(scale.token_in(side), scale.base(), fill.after);
        scale.price(side, &quote, &base)
    }

    /// The marginal price of the last part of a fill, with the fee, rounded as [`Self::price_after`], and as a float of price
    /// units.
    ///
    /// # Errors
    /// [`PoolError::Price`] if it does not fit.
    pub fn last_price(&self, fill: &Fill, scale: &Scale, side: Side) -> Result<(Price, f64), PoolError> {
        let (quote, base) = self.net(scale.token_in(side), scale.base(), fill.last);
        Ok((scale.price(side, &quote, &base)?, scale.price_f64(&quote, &base)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // in a test a failure may panic
mod tests {
    use super::super::{Concentrated, ConstantProduct, Fee};
    use super::*;
    use crate::units::Unit;

    fn check(mut pool: Pool) {
        let scale = Scale::new(Token::Zero, [18, 18], Unit::decimals(8), Unit::decimals(4)).unwrap();
        let amount = U256::from(10_u128.pow(17));
        for (side, exact) in [(Side::Ask, Exact::Out(amount)), (Side::Bid, Exact::In(amount))] {
            let token_in = scale.token_in(side);
            let fill = pool.fill(token_in, exact).unwrap();
            // Until the marginal price of its last part the pool trades just that.
            let (last, float) = pool.last_price(&fill, &scale, side).unwrap();
            let size = scale.size(&amount).0;
            for (away, least, most) in [(0, size, size + 1), (2, size - 1, size)] {
                let limit = if side == Side::Ask { last.0 - away } else { last.0 + away };
                let found = pool.size_at_marginal(side, Price(limit), &scale).unwrap().0.0;
                assert!((least..=most).contains(&found), "{away} {found} {size}");
            }
            assert!((float - last.0 as f64).abs() <= 1.0 + 1e-6, "{float} {last:?}");
            let price = pool.price_after(&fill, &scale, side).unwrap();
            let trade = match exact {
                Exact::In(amount) => pool.swap_in(token_in, &amount).unwrap(),
                Exact::Out(amount) => pool.swap_out(token_in, &amount).unwrap(),
            };
            assert_eq!(fill.trade, trade, "what the pool does is what it said");
            let marginal = pool.marginal_price(token_in) * 1e8;
            let (low, high) = if side == Side::Ask { (0.0, 1.0) } else { (-1.0, 0.0) };
            let off = price.0 as f64 - marginal;
            assert!(off >= low - 1e-6 && off <= high + 1e-6, "{price:?} {marginal}");
            assert_eq!(fill.fee, (trade.amount_in * U256::from(3)).div_ceil(U256::from(1_000)), "30 bp, up");
        }
    }

    #[test]
    fn a_fill_tells_the_fee_and_the_price_that_the_swap_leaves() {
        let unit = 10_u128.pow(18);
        check(ConstantProduct::new(5 * unit, 10 * unit, Fee::UNISWAP_V2).unwrap().into());
        let mut pool = Concentrated::new(U256::from(1) << 96, 60, Fee::pips(3_000).unwrap()).unwrap();
        pool.mint(-887_220, 887_220, 20 * unit).unwrap();
        check(pool.into());
    }
}
