//! Automated market makers as venues.
//!
//! A pool holds two tokens, 0 and 1, and trades one for the other by a formula instead of a book: [`ConstantProduct`] is
//! Uniswap v2, [`Concentrated`] Uniswap v3, both in exact integers with the rounding of their contracts, which is always
//! against the trader. Amounts are *raw*: whole counts of a token's smallest unit (10^-18 of an ether, 10^-6 of a USDC).
//! A direction is named by the token that is paid in; prices are those of token 0 in token 1, raw over raw, unless a
//! [`Scale`] turns them into a book's units.
//!
//! | question | answer |
//! |---|---|
//! | what does so much give, or cost? | `quote_in`, `quote_out`: nothing changes; `swap_in`, `swap_out` trade |
//! | how much trades until a price? | [`Pool::to_price`], exact; [`Curve::to_price`], in floats for duals |
//! | what would a book show? | [`Pool::quote`], [`Pool::levels`] |
//! | what is an outside price worth? | [`Pool::arbitrage`]; [`arbitrage`] for two pools |
//! | what is a whole network of pools worth? | [`network`] |

pub mod arbitrage;
mod concentrated;
mod constant_product;
mod curve;
mod fee;
mod fill;
mod ladder;
pub mod network;
mod ratio;
pub mod sqrt_price;
mod step;
pub mod tick;
pub mod wide;

use thiserror::Error;

pub use ruint::aliases::U256;

pub use self::concentrated::{Concentrated, Swap, Tick};
pub use self::constant_product::{ConstantProduct, MAX_RESERVE};
pub use self::curve::{Curve, Flow};
pub use self::fee::Fee;
pub use self::fill::Fill;
pub use self::ladder::{Levels, Rung};
pub use self::ratio::{Ratio, Scale};
pub use self::step::{Exact, Step, step};

/// One of the two tokens of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Token {
    /// Token 0.
    Zero = 0,
    /// Token 1.
    One = 1,
}

impl Token {
    /// The other one.
    #[inline]
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Zero => Self::One,
            Self::One => Self::Zero,
        }
    }
}

/// What a trade with a pool moves: in from the trader, fee included, and out to him. Raw amounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// The token paid in.
    pub token_in: Token,
    /// How much of it.
    pub amount_in: U256,
    /// How much of the other token comes out.
    pub amount_out: U256,
}

impl Trade {
    /// No trade.
    #[must_use]
    pub const fn none(token_in: Token) -> Self {
        Self { token_in, amount_in: U256::ZERO, amount_out: U256::ZERO }
    }

    /// Whether nothing moves.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.amount_in.is_zero() && self.amount_out.is_zero()
    }
}

/// Why a pool refuses. Nothing changed if it did.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PoolError {
    /// A tick out of range.
    #[error("tick {0}: expected one from {min} to {max}", min = tick::MIN_TICK, max = tick::MAX_TICK)]
    Tick(i32),
    /// A square-root price out of range.
    #[error(
        "square-root price {0}: expected one from {min} to below {max}",
        min = tick::MIN_SQRT_PRICE,
        max = tick::MAX_SQRT_PRICE
    )]
    SqrtPrice(U256),
    /// A tick that is not that of the pool's price.
    #[error("tick {tick}: expected {expected}, the tick of square-root price {sqrt_price}")]
    TickOfPrice {
        /// As given.
        tick: i32,
        /// As the price says.
        expected: i32,
        /// The price.
        sqrt_price: U256,
    },
    /// A tick spacing out of range.
    #[error("tick spacing {0}: expected one from 1 to 16383")]
    Spacing(i32),
    /// A tick between two that can be used.
    #[error("tick {tick}: expected a multiple of the spacing {spacing}")]
    OffSpacing {
        /// The tick.
        tick: i32,
        /// The spacing.
        spacing: i32,
    },
    /// An empty range of ticks.
    #[error("range from tick {lower} to {upper}: expected the lower below the upper")]
    Range {
        /// Its lower end.
        lower: i32,
        /// Its upper end.
        upper: i32,
    },
    /// Initialised ticks that no set of positions makes.
    #[error("tick {tick}: expected {expected}")]
    Ticks {
        /// Where it goes wrong.
        tick: i32,
        /// What holds for ticks that positions made.
        expected: &'static str,
    },
    /// More liquidity taken from a range than lies in all of it.
    #[error("range from tick {lower} to {upper}: expected to take at most {held} of liquidity, asked for {asked}")]
    Burn {
        /// Its lower end.
        lower: i32,
        /// Its upper end.
        upper: i32,
        /// The most that can be taken.
        held: u128,
        /// What was asked for.
        asked: u128,
    },
    /// A fee of all or more.
    #[error("fee of {parts} parts in {whole}: expected less than the whole")]
    Fee {
        /// The parts of the fee.
        parts: u32,
        /// The whole.
        whole: u32,
    },
    /// A reserve out of range.
    #[error("reserve of token {token}: expected 1 to 2^112 - 1, found {found}", token = *.token as u8)]
    Reserve {
        /// Which.
        token: Token,
        /// As given.
        found: U256,
    },
    /// An amount of zero.
    #[error("{0}: expected more than 0")]
    Zero(&'static str),
    /// A number that needs more bits than the contract gives it.
    #[error("{0}: expected less, it does not fit the contract's integers")]
    Overflow(&'static str),
    /// A limit that the price is beyond already.
    #[error("limit at square-root price {limit}: expected one {} the pool's {current}", if *.token_in as u8 == 0 { "below" } else { "above" })]
    Limit {
        /// The limit.
        limit: U256,
        /// The pool's price.
        current: U256,
        /// The token paid in.
        token_in: Token,
    },
    /// The pool holds less than was asked for.
    #[error("pool exhausted: expected at most {available} of {what}, asked for {asked}")]
    Exhausted {
        /// Amount in or amount out.
        what: &'static str,
        /// What the pool can take or give.
        available: U256,
        /// What was asked for.
        asked: U256,
    },
    /// A price of zero, or one that needs too many bits.
    #[error("price: expected one above 0 whose parts fit 224 bits")]
    Price,
    /// Token decimals that units do not reach.
    #[error("token decimals {0}: expected at most 36")]
    Decimals(u8),
    /// A step between levels out of range.
    #[error("step between levels: expected at least 1, found {0}")]
    StepSize(i64),
}

/// A pool of either kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Pool {
    /// Uniswap v2.
    ConstantProduct(ConstantProduct),
    /// Uniswap v3.
    Concentrated(Concentrated),
}

impl From<ConstantProduct> for Pool {
    fn from(pool: ConstantProduct) -> Self {
        Self::ConstantProduct(pool)
    }
}

impl From<Concentrated> for Pool {
    fn from(pool: Concentrated) -> Self {
        Self::Concentrated(pool)
    }
}

impl Pool {
    /// What paying in this amount gives. The pool does not change.
    ///
    /// # Errors
    /// [`PoolError`] if the amount is 0, too large, or more than the pool's liquidity can take.
    pub fn quote_in(&self, token_in: Token, amount: &U256) -> Result<Trade, PoolError> {
        match self {
            Self::ConstantProduct(pool) => pool.quote_in(token_in, amount),
            Self::Concentrated(pool) => pool.quote_in(token_in, amount),
        }
    }

    /// What getting this amount out costs. The pool does not change.
    ///
    /// # Errors
    /// [`PoolError`] if the amount is 0 or more than the pool has.
    pub fn quote_out(&self, token_in: Token, amount: &U256) -> Result<Trade, PoolError> {
        match self {
            Self::ConstantProduct(pool) => pool.quote_out(token_in, amount),
            Self::Concentrated(pool) => pool.quote_out(token_in, amount),
        }
    }

    /// Pays in this amount.
    ///
    /// # Errors
    /// As [`Self::quote_in`].
    pub fn swap_in(&mut self, token_in: Token, amount: &U256) -> Result<Trade, PoolError> {
        match self {
            Self::ConstantProduct(pool) => pool.swap_in(token_in, amount),
            Self::Concentrated(pool) => pool.swap_in(token_in, amount),
        }
    }

    /// Takes this amount out.
    ///
    /// # Errors
    /// As [`Self::quote_out`].
    pub fn swap_out(&mut self, token_in: Token, amount: &U256) -> Result<Trade, PoolError> {
        match self {
            Self::ConstantProduct(pool) => pool.swap_out(token_in, amount),
            Self::Concentrated(pool) => pool.swap_out(token_in, amount),
        }
    }

    /// The largest trade of which every part is at `limit` or better after the fee: a price of token 0 in token 1 below
    /// which it is not sold (`token_in` 0), above which it is not bought (`token_in` 1). Nothing if the pool's price is
    /// worse already. The pool does not change.
    ///
    /// # Errors
    /// [`PoolError`] if amounts do not fit.
    pub fn to_price(&self, token_in: Token, limit: &Ratio) -> Result<Trade, PoolError> {
        match self {
            Self::ConstantProduct(pool) => pool.to_price(token_in, limit),
            Self::Concentrated(pool) => pool.to_price(token_in, limit),
        }
    }

    /// The fee.
    #[must_use]
    pub fn fee(&self) -> Fee {
        match self {
            Self::ConstantProduct(pool) => pool.fee(),
            Self::Concentrated(pool) => pool.fee(),
        }
    }

    /// The price of token 0 in token 1 between the two quotes, before fees, as a float.
    #[must_use]
    pub fn mid(&self) -> f64 {
        match self {
            Self::ConstantProduct(pool) => pool.mid(),
            Self::Concentrated(pool) => pool.mid(),
        }
    }

    /// The price of token 0 in token 1 of the next small trade, after the fee, as a float: what selling it brings
    /// (`token_in` 0), what buying it costs (`token_in` 1).
    #[must_use]
    pub fn marginal_price(&self, token_in: Token) -> f64 {
        match token_in {
            Token::Zero => self.mid() * self.fee().factor(),
            Token::One => self.mid() / self.fee().factor(),
        }
    }
}
