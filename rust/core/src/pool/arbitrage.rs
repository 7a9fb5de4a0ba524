//! What a difference of prices is worth: a pool against an outside price, and a cycle of constant-product pools.
//!
//! Against an outside price `p` a pool is traded until its marginal price after the fee is `p` (Angeris et al., *An
//! Analysis of Uniswap Markets*, 2019): a closed form for constant product, a walk through the ticks for concentrated
//! liquidity. Around a cycle of constant-product pools the output is a Möbius function `a x / (b + c x)` of the input,
//! whatever the number of pools, and its best input `(sqrt(a b) - b) / c`.

use ruint::aliases::U256;

use super::wide::{full_product, to_f64};
use super::{ConstantProduct, Pool, PoolError, Ratio, Token, Trade};

/// A trade with a pool that an outside price makes worth doing, in exact amounts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arbitrage {
    /// The trade.
    pub trade: Trade,
    /// What it brings in token 1 at the outside price; above 0, exactly, before it became a float.
    pub profit: f64,
}

impl Pool {
    /// The most profitable trade against an outside price of token 0 in token 1, at which any amount can be traded. None
    /// where the fee eats the difference, or rounding does.
    ///
    /// # Errors
    /// [`PoolError`] if amounts do not fit.
    pub fn arbitrage(&self, outside: &Ratio) -> Result<Option<Arbitrage>, PoolError> {
        for token_in in [Token::Zero, Token::One] {
            let trade = self.to_price(token_in, outside)?;
            if !trade.is_none() {
                return Ok(profit(&trade, outside).map(|profit| Arbitrage { trade, profit }));
            }
        }
        Ok(None)
    }
}

/// What a trade brings in token 1 at a price, if that is above 0.
fn profit(trade: &Trade, price: &Ratio) -> Option<f64> {
    let (zero, one) = match trade.token_in {
        Token::Zero => (trade.amount_in, trade.amount_out),
        Token::One => (trade.amount_out, trade.amount_in),
    };
    let (value, cash) = (full_product(&zero, &price.numerator()), full_product(&one, &price.denominator()));
    let (gained, spent) = if trade.token_in == Token::Zero { (cash, value) } else { (value, cash) };
    let profit = gained.checked_sub(spent).filter(|profit| !profit.is_zero())?;
    Some(f64::from(profit) / to_f64(&price.denominator()))
}

/// A round through pools back to the token it began with.
#[derive(Clone, Debug, PartialEq)]
pub struct Cycle {
    /// The best input as a real number.
    pub input: f64,
    /// What comes back less the input, for that real number.
    pub profit: f64,
    /// The trades of that input in whole amounts, one a pool; none where their rounding eats the profit.
    pub trades: Vec<Trade>,
    /// What comes back less what was paid in, in whole amounts.
    pub exact_profit: U256,
}

/// The best trade around a cycle of constant-product pools: each pays its output into the next, the last gives back what
/// the first was paid. `legs` are the pools, each with the token that is paid in. None if no input has a profit.
///
/// That the tokens fit is the caller's part: a pool knows only 0 and 1.
///
/// # Errors
/// [`PoolError`] if the best whole amounts do not fit a pool.
pub fn cycle(legs: &[(&ConstantProduct, Token)]) -> Result<Option<Cycle>, PoolError> {
    // a x / (1 + c x)
    let (mut a, mut c) = (1.0, 0.0);
    for (pool, token_in) in legs {
        #[allow(clippy::cast_precision_loss)] // analytics begin here
        let reserves = pool.reserves().map(|reserve| reserve as f64);
        let (reserve_in, reserve_out) = (reserves[*token_in as usize], reserves[token_in.other() as usize]);
        let slope = pool.fee().factor() * a / reserve_in;
        (a, c) = (slope * reserve_out, c + slope);
    }
    if c <= 0.0 || a <= 1.0 {
        return Ok(None);
    }
    let input = (a.sqrt() - 1.0) / c;
    let profit = a * input / c.mul_add(input, 1.0) - input;
    let mut best: Option<(U256, Vec<Trade>)> = None;
    // The optimum is flat, and a float of it is off by more units than the rounding of a few.
    for whole in [input.floor(), input.ceil()] {
        let Ok(paid) = U256::try_from(whole) else { return Err(PoolError::Overflow("amount in")) };
        let Some((gained, trades)) = around(legs, paid)? else { continue };
        if best.as_ref().is_none_or(|(most, _)| gained > *most) {
            best = Some((gained, trades));
        }
    }
    let (exact_profit, trades) = best.unwrap_or_default();
    Ok(Some(Cycle { input, profit, trades, exact_profit }))
}

/// The trades of a whole input and their profit, if there is one.
fn around(legs: &[(&ConstantProduct, Token)], paid: U256) -> Result<Option<(U256, Vec<Trade>)>, PoolError> {
    let mut amount = paid;
    let mut trades = Vec::with_capacity(legs.len());
    for (pool, token_in) in legs {
        if amount.is_zero() {
            return Ok(None);
        }
        let trade = pool.quote_in(*token_in, &amount)?;
        amount = trade.amount_out;
        trades.push(trade);
    }
    Ok((amount > paid).then(|| (amount - paid, trades)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // in a test a failure may panic
mod tests {
    use super::*;
    use crate::pool::{Curve, Fee};

    fn near(found: f64, expected: f64) {
        assert!((found / expected - 1.0).abs() < 1e-12, "{found} is not {expected}");
    }

    #[test]
    fn two_pools_with_a_published_difference_give_the_published_profit() {
        // Pools (1e6, 500) and (520, 1.1e6), 0.3 %: input 12984.766031, profit 329.2464531878. Token 0 of the first is
        // token 1 of the second.
        let first = ConstantProduct::new(1_000_000, 500, Fee::UNISWAP_V2).unwrap();
        let second = ConstantProduct::new(520, 1_100_000, Fee::UNISWAP_V2).unwrap();
        let found = cycle(&[(&first, Token::Zero), (&second, Token::Zero)]).unwrap().unwrap();
        assert!((found.input - 12_984.766_031).abs() < 5e-7, "{}", found.input);
        assert!((found.profit - 329.246_453_187_8).abs() < 5e-11, "{}", found.profit);
        // Whole amounts of such small reserves lose the profit to rounding: 6 of token 1 for 12,985, not 6.39.
        assert_eq!((found.trades, found.exact_profit), (Vec::new(), U256::ZERO));
        assert_eq!(cycle(&[(&second, Token::One), (&first, Token::One)]).unwrap(), None);
        // With 12 decimals they do not.
        let scaled = |pool: &ConstantProduct| {
            let [zero, one] = pool.reserves().map(|reserve| reserve * 10_u128.pow(12));
            ConstantProduct::new(zero, one, pool.fee()).unwrap()
        };
        let found = cycle(&[(&scaled(&first), Token::Zero), (&scaled(&second), Token::Zero)]).unwrap().unwrap();
        // A unit of token 1 is worth 2,000 of token 0.
        assert!((to_f64(&found.exact_profit) - 329.246_453_187_8e12).abs() < 3e3, "{}", found.exact_profit);
        assert_eq!(found.trades.len(), 2);
        assert_eq!(found.trades[0].amount_out, found.trades[1].amount_in);
    }

    #[test]
    fn a_pool_against_an_outside_price_gives_the_published_profit() {
        // Reserves 1,000 and 2e6, 30 bp: outside 2100 gives 1075.7092610521, 1900 gives 1138.1457695114, 2003 nothing.
        let pool = ConstantProduct::new(1_000, 2_000_000, Fee::UNISWAP_V2).unwrap();
        let curve = Curve::from(&pool);
        near(curve.arbitrage(2_100.0).unwrap().profit(2_100.0), 1_075.709_261_052_1);
        near(curve.arbitrage(1_900.0).unwrap().profit(1_900.0), 1_138.145_769_511_4);
        assert_eq!(curve.arbitrage(2_003.0), None);
        // The same with 18 decimals, in exact amounts.
        let unit = 10_u128.pow(18);
        let pool = Pool::from(ConstantProduct::new(1_000 * unit, 2_000_000 * unit, Fee::UNISWAP_V2).unwrap());
        let price = |price: u64| Ratio::new(U256::from(price), U256::ONE).unwrap();
        near(pool.arbitrage(&price(2_100)).unwrap().unwrap().profit, 1_075.709_261_052_1e18);
        near(pool.arbitrage(&price(1_900)).unwrap().unwrap().profit, 1_138.145_769_511_4e18);
        assert_eq!(pool.arbitrage(&price(2_003)).unwrap(), None);
    }
}
