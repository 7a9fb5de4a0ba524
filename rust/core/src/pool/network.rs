//! Networks of pools: the best trades with all of them at once.
//!
//! Many pools over many tokens are one convex problem (Angeris, Chitra, Evans, Boyd, *Optimal Routing for Constant
//! Function Market Makers*, 2022): maximise `c · Ψ` over the net flows `Ψ` that the pools allow, with `Ψ + h >= 0`, where
//! `c` says what a raw unit of each token is worth at the end and `h` what one holds at the start. An arbitrage holds
//! nothing and values tokens at outside prices; a sale holds a basket and values one token.
//!
//! It is solved through its dual (Diamandis, Resnick, Chitra, Angeris, *An Efficient Algorithm for Optimal Routing Through
//! Constant Function Market Makers*, 2023): given a price for every token, each pool's part is a closed form, and the
//! prices that make all parts fit minimise a convex function of as many variables as there are tokens. Its Hessian is the
//! Laplacian of a graph whose edges are the pools that trade, so `dual` takes Newton steps with it. Whatever the prices,
//! the dual's value is a bound that no trade can beat: a route carries it, and the gap.
//!
//! Prices and the optimum are floats; the trades of a route are whole amounts that the exact pools were asked for, cut
//! until no token is overdrawn, so a route can be carried out as it stands.

mod dual;
mod round;
mod system;

use thiserror::Error;

use super::wide::to_f64;
use super::{Curve, Pool, PoolError, Trade, U256};

/// Why there is no route.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// A token that the network does not have.
    #[error("pool {pool}: expected two different tokens below {tokens}, found {found:?}")]
    Token {
        /// Index of the pool.
        pool: usize,
        /// How many tokens there are.
        tokens: usize,
        /// What it was given.
        found: [usize; 2],
    },
    /// A list that is not one entry a token.
    #[error("expected {expected} {what}, one a token, found {found}")]
    Length {
        /// Of what.
        what: &'static str,
        /// How many there are tokens.
        expected: usize,
        /// How many there were.
        found: usize,
    },
    /// A value that is no value.
    #[error("value of token {0}: expected a finite number of at least 0, of one token at least above 0")]
    Value(usize),
    /// The prices did not settle.
    #[error("expected prices to settle, found a gap of {gap_ppb} parts per billion of the volume after {steps} steps")]
    Unsettled {
        /// How far the value of the flows is from the bound, against the volume.
        gap_ppb: u64,
        /// Steps taken.
        steps: u32,
    },
    /// A pool refused its part.
    #[error("pool {pool}: {error}")]
    Pool {
        /// Index of the pool.
        pool: usize,
        /// What it said.
        error: PoolError,
    },
}

/// What to maximise: the value `Σ c Ψ` of what is gained, holding `h` to start with. Raw amounts.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    /// What a raw unit of each token is worth at the end.
    pub values: Vec<f64>,
    /// What there is of each token to pay with.
    pub holdings: Vec<U256>,
}

impl Objective {
    /// Gain at outside prices, with nothing to start with.
    #[must_use]
    pub fn arbitrage(values: Vec<f64>) -> Self {
        let holdings = vec![U256::ZERO; values.len()];
        Self { values, holdings }
    }

    /// As much of one token as can be got for a basket.
    #[must_use]
    pub fn sale(holdings: Vec<U256>, into: usize) -> Self {
        let mut values = vec![0.0; holdings.len()];
        if let Some(value) = values.get_mut(into) {
            *value = 1.0;
        }
        Self { values, holdings }
    }
}

/// One pool of a network.
#[derive(Clone, Debug)]
struct Link {
    pool: Pool,
    curve: Curve,
    tokens: [usize; 2],
}

/// Pools over tokens numbered from 0.
#[derive(Clone, Debug)]
pub struct Network {
    tokens: usize,
    links: Vec<Link>,
}

/// What to do with the pools, and how good that is.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Pools that trade, with their trade.
    pub trades: Vec<(usize, Trade)>,
    /// What comes out less what is paid in, by token: gained and spent, one of them 0.
    pub net: Vec<(U256, U256)>,
    /// What the trades are worth, `Σ c Ψ`.
    pub value: f64,
    /// What no trades can be worth more than.
    pub bound: f64,
    /// The prices of the tokens at the optimum; 0 for those that cannot be turned into anything of value.
    pub prices: Vec<f64>,
    /// Newton steps taken.
    pub steps: u32,
}

impl Route {
    /// The duality gap: how much more the best trades could be worth at most. Below 0 only by the rounding of floats.
    #[must_use]
    pub fn gap(&self) -> f64 {
        self.bound - self.value
    }
}

impl Network {
    /// A network of `tokens` tokens and these pools, each with the numbers of its tokens 0 and 1.
    ///
    /// # Errors
    /// [`NetworkError::Token`].
    pub fn new(tokens: usize, pools: Vec<(Pool, [usize; 2])>) -> Result<Self, NetworkError> {
        let mut links = Vec::with_capacity(pools.len());
        for (index, (pool, found)) in pools.into_iter().enumerate() {
            if found[0] == found[1] || found.iter().any(|&token| token >= tokens) {
                return Err(NetworkError::Token { pool: index, tokens, found });
            }
            links.push(Link { curve: Curve::from(&pool), pool, tokens: found });
        }
        Ok(Self { tokens, links })
    }

    /// The pools, each with the numbers of its tokens.
    pub fn pools(&self) -> impl ExactSizeIterator<Item = (&Pool, [usize; 2])> {
        self.links.iter().map(|link| (&link.pool, link.tokens))
    }

    /// The best trades.
    ///
    /// # Errors
    /// [`NetworkError`].
    pub fn route(&self, objective: &Objective) -> Result<Route, NetworkError> {
        self.check(objective)?;
        let solved = dual::solve(self, objective)?;
        let trades = round::trades(self, objective, &solved.flows)?;
        let net = round::net(self, &trades);
        let value = net.iter().zip(&objective.values).map(|((gained, spent), value)| {
            if gained.is_zero() { -to_f64(spent) * value } else { to_f64(gained) * value }
        });
        Ok(Route { value: value.sum(), net, trades, bound: solved.bound, prices: solved.prices, steps: solved.steps })
    }

    fn check(&self, objective: &Objective) -> Result<(), NetworkError> {
        let lengths = [("values", objective.values.len()), ("holdings", objective.holdings.len())];
        for (what, found) in lengths {
            if found != self.tokens {
                return Err(NetworkError::Length { what, expected: self.tokens, found });
            }
        }
        let bad = objective.values.iter().position(|value| !value.is_finite() || *value < 0.0);
        let none = objective.values.iter().all(|value| *value == 0.0);
        match bad.or(none.then_some(0)) {
            Some(token) => Err(NetworkError::Value(token)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // in a test a failure may panic
mod tests;
