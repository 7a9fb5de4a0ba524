//! What a trade costs beyond its price: fees, rebates, transfers, funding, borrowing, gas, in exact arithmetic.
//!
//! A cost is an object that answers one question, [`Cost::cost`]: what does this [`Trade`] cost in this [`State`], in the
//! trade's quote currency? A [`Schedule`] is a sum of such objects. Everything rounds against the user: what is paid is
//! rounded up, what is received is rounded down, each to 10^-18 of the currency.
//!
//! Hot paths do not ask objects. [`Schedule::affine`] folds a schedule and a state into `rate · notional + fixed`, once per
//! change of the state; that is all a router or a search for crosses needs to know.
//!
//! ```
//! use crossbook::cost::{Amount, Cost, Fixed, Liquidity, Rate, Schedule, State, Tier, Tiers, Trade};
//! use crossbook::units::Side;
//!
//! let tiers = Tiers::new(vec![
//!     Tier { from: Amount::ZERO, maker: Rate::bp(2), taker: Rate::bp(5) },
//!     Tier { from: Amount::whole(1_000_000), maker: Rate::bp(-1), taker: Rate::bp(3) },
//! ])?;
//! let schedule = Schedule::new().with(tiers).with(Fixed::new(Amount::whole(1))?);
//! let state = State { volume: Amount::whole(2_000_000), ..State::default() };
//! let trade = Trade::new(Side::Bid, Liquidity::Taker, Amount::whole(10_000))?;
//! assert_eq!(schedule.cost(&trade, &state)?, Amount::whole(4)); // 3 bp of 10,000 and 1
//! # Ok::<(), crossbook::cost::CostError>(())
//! ```

mod amount;
mod carry;
mod fees;
mod gas;
mod schedule;
mod transfer;

use thiserror::Error;

pub use self::amount::{Affine, Amount, Rate};
pub use self::carry::{Borrow, Funding, FundingTerms};
pub use self::fees::{Fixed, Proportional, Tier, Tiers};
pub use self::gas::{Gas, Rollup, RollupFee, highest_base_fee, next_base_fee};
pub use self::schedule::{Component, Schedule};
pub use self::transfer::{Currency, Transfer};
use crate::units::{Nanos, Side};

/// Why a cost cannot be stated.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CostError {
    /// A result does not fit an [`Amount`] or a [`Rate`].
    #[error("{0}: expected a result below 2^127 of 10^-18, or rates below 2^63 parts per billion")]
    Overflow(&'static str),
    /// A size, notional, amount or time that cannot be negative is.
    #[error("{what}: expected at least 0, found {found}")]
    Negative {
        /// What was given.
        what: &'static str,
        /// The value given.
        found: i128,
    },
    /// A time or period that must be above 0 is not.
    #[error("{what}: expected more than 0 ns, found {found}")]
    NotPositive {
        /// What was given.
        what: &'static str,
        /// The value given.
        found: i64,
    },
    /// A block that cannot be.
    #[error("expected a block that uses at most its gas limit, and a limit of at least 2, found {used} of {limit} gas")]
    Block {
        /// Gas used.
        used: u64,
        /// The block's limit.
        limit: u64,
    },
    /// No tier at all.
    #[error("tiers: expected at least one, from a volume of 0")]
    NoTier,
    /// The cost accrues in a currency whose price in the quote currency the state does not have.
    #[error("{0}: expected its ask price in the quote currency in the state, found none")]
    MissingPrice(&'static str),
    /// The state lacks something else that the cost depends on.
    #[error("{0}: expected it in the state, found none")]
    MissingState(&'static str),
    /// Tiers must begin at a volume of 0.
    #[error("tiers: expected the first from a volume of 0, found {0}")]
    FirstTier(Amount),
    /// Tiers must ascend by volume.
    #[error("tiers: expected ascending volumes, tier {index} begins at {found} after {before}")]
    TierOrder {
        /// Index of the tier that is out of order.
        index: usize,
        /// Where the tier before begins.
        before: Amount,
        /// Where this one begins.
        found: Amount,
    },
    /// A fee rate out of range.
    #[error("{what}: expected a rate above -100 % and below 100 %, found {found} parts per billion")]
    RateRange {
        /// Which fee.
        what: &'static str,
        /// The rate given.
        found: i64,
    },
    /// A transaction whose cap lies below the base fee is not included in a block.
    #[error("gas: expected a fee cap of at least the base fee of {base_fee} wei, found {cap}")]
    FeeCap {
        /// The cap on base fee and priority fee, wei per gas.
        cap: u64,
        /// The base fee, wei per gas.
        base_fee: u64,
    },
    /// Text is no exact amount.
    #[error("amount {0:?}: expected a decimal number of at most 18 decimals")]
    Amount(String),
    /// The cost is no affine function of the notional.
    #[error("{0}: expected a cost that is affine in the notional")]
    NotAffine(&'static str),
}

/// Whether an order takes liquidity or provides it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Liquidity {
    /// It waits in the book and is hit.
    Maker,
    /// It trades on arrival.
    #[default]
    Taker,
}

/// A trade of which the cost is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    side: Side,
    liquidity: Liquidity,
    notional: Amount,
}

impl Trade {
    /// A trade of so much notional, in the quote currency; [`Side::Bid`] is a purchase.
    ///
    /// # Errors
    /// [`CostError::Negative`] if the notional is.
    pub const fn new(side: Side, liquidity: Liquidity, notional: Amount) -> Result<Self, CostError> {
        if notional.0 < 0 {
            return Err(CostError::Negative { what: "notional", found: notional.0 });
        }
        Ok(Self { side, liquidity, notional })
    }

    /// [`Side::Bid`] if it is a purchase.
    #[must_use]
    pub const fn side(&self) -> Side {
        self.side
    }

    /// Whether it takes or provides.
    #[must_use]
    pub const fn liquidity(&self) -> Liquidity {
        self.liquidity
    }

    /// Price × size in the quote currency, at least 0.
    #[must_use]
    pub const fn notional(&self) -> Amount {
        self.notional
    }
}

/// What costs depend on besides the trade. Costs that do not depend on a part do not look at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The account's traded volume of the past 30 days, in the currency of the schedule's tiers.
    pub volume: Amount,
    /// What one of the base currency costs in the quote currency: its ask, because fees in kind must be bought.
    pub base_ask: Option<Amount>,
    /// What one of the chain's own currency costs in the quote currency: its ask, because gas must be bought.
    pub native_ask: Option<Amount>,
    /// The base fee of the block that the transaction is expected in, wei per gas.
    pub base_fee: Option<u64>,
    /// The perpetual's next funding.
    pub funding: Option<FundingTerms>,
    /// Now, ns since the epoch, on the clock of the funding times.
    pub now: Nanos,
    /// For how long the position is held, ns.
    pub holding: i64,
}

/// Something that a trade costs.
pub trait Cost {
    /// What the trade costs, in its quote currency and rounded up; negative if one is paid for it.
    ///
    /// A trade of no notional costs nothing, fixed costs included: it does not take place.
    ///
    /// # Errors
    /// [`CostError`] if the state lacks what the cost depends on, or the result does not fit.
    fn cost(&self, trade: &Trade, state: &State) -> Result<Amount, CostError>;

    /// The same as `rate · notional + fixed`, for every notional above 0. A sum of costs rounds each of them, this rounds
    /// once: the two differ by less than 10^-18 of the currency for each part.
    ///
    /// # Errors
    /// As [`Self::cost`], and [`CostError::NotAffine`] if it is no such function.
    fn affine(&self, side: Side, liquidity: Liquidity, state: &State) -> Result<Affine, CostError>;

    /// How long it takes, ns: a transfer delays what follows it.
    fn time(&self) -> i64 {
        0
    }
}
