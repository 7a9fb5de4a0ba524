//! The rules of an exchange for its instrument.

use super::command::State;

/// Who trades first at one price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Priority {
    /// By time.
    #[default]
    PriceTime,
    /// In proportion to the displayed sizes.
    ProRata {
        /// The order that set the price goes first.
        top_order: bool,
        /// At most so much of it, 0 for all.
        top_max: i64,
        /// Shares below this become 0.
        min_allocation: i64,
    },
}

/// Fees in parts per billion of price × size. Negative rates are rebates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tier {
    /// Of the resting order.
    pub maker: i64,
    /// Of the aggressor.
    pub taker: i64,
    /// Of both sides of an auction.
    pub auction: i64,
}

/// What an account may do and what it pays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Its number, at least 1.
    pub id: u32,
    /// Its fees: an index into [`Rules::tiers`].
    pub tier: u32,
}

/// The rules of an exchange, in units of its instrument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Prices are multiples of this.
    pub tick: i64,
    /// Sizes are multiples of this.
    pub lot: i64,
    /// The least size of an order.
    pub min_size: i64,
    /// The greatest size of an order.
    pub max_size: i64,
    /// The greatest price × size of an order.
    pub max_notional: Option<i128>,
    /// How far a limit may lie beyond the last trade, or the reference price, and how far a market order may go.
    pub collar: Option<i64>,
    /// How far from the reference price a trade may lie before the exchange halts.
    pub band: Option<i64>,
    /// How long such a halt lasts, in ns; 0: until told.
    pub halt_for: i64,
    /// Where auctions, bands and collars begin.
    pub reference: Option<i64>,
    /// Who trades first at one price.
    pub priority: Priority,
    /// The state at the beginning.
    pub state: State,
    /// Accounts that may trade. Empty: every account may, at the first tier.
    pub accounts: Vec<Account>,
    /// Fees. Empty: none.
    pub tiers: Vec<Tier>,
    /// Commands of one account in one window. 0: any number.
    pub rate: u32,
    /// The window's length in ns.
    pub rate_window: i64,
}

impl Rules {
    /// The greatest size that an order may have at all.
    pub const MAX_SIZE: i64 = 1 << 53;
    /// An iceberg has fewer slices than this: each is a trade and an execution of its own, and one command may meet all.
    pub const MAX_SLICES: i64 = 10_000;
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            tick: 1,
            lot: 1,
            min_size: 1,
            max_size: Self::MAX_SIZE,
            max_notional: None,
            collar: None,
            band: None,
            halt_for: 0,
            reference: None,
            priority: Priority::PriceTime,
            state: State::Continuous,
            accounts: Vec::new(),
            tiers: Vec::new(),
            rate: 0,
            rate_window: 1_000_000_000,
        }
    }
}
