//! What an exchange says: one flat struct for every execution.

use super::command::{Command, State, codes};
use crate::units::{Price, Side, Size};

codes! {
    /// What an execution says.
    ExecutionKind {
        /// The order is in.
        #[default]
        Accepted = "accepted",
        /// The command changed nothing; `reason` says why.
        Rejected = "rejected",
        /// Two orders traded, at the resting order's price.
        Trade = "trade",
        /// The order has a new price or size.
        Modified = "modified",
        /// The order is out; `size` is what was taken out.
        Cancelled = "cancelled",
        /// Two orders of one account were reduced instead of trading.
        Decremented = "decremented",
        /// A stop was reached by the print `price`.
        Triggered = "triggered",
        /// An iceberg shows its next slice.
        Replenished = "replenished",
        /// A pegged order has another price.
        Repriced = "repriced",
        /// The exchange is in another state.
        State = "state",
        /// An auction's price and volume; `remaining` is demand less supply.
        Auction = "auction",
    }
}

codes! {
    /// Why a command was rejected or an order cancelled.
    Reason {
        /// None.
        #[default]
        None = "none",
        /// Asked for.
        Requested = "requested",
        /// By a mass cancel.
        MassCancelled = "mass_cancelled",
        /// What is left of an immediate-or-cancel order.
        Ioc = "ioc",
        /// A fill-or-kill order that cannot be filled.
        Fok = "fok",
        /// Nothing to trade with.
        NoLiquidity = "no_liquidity",
        /// It met an order of its account.
        SelfTrade = "self_trade",
        /// Its alternative was executed, triggered, cancelled or expired.
        Linked = "linked",
        /// Its time is over, or was over on arrival.
        Expired = "expired",
        /// The account, or the exchange, is killed.
        Killed = "killed",
        /// The exchange is closed.
        Closed = "closed",
        /// What is left after the auction it was for.
        Auction = "auction",
        /// It ran into the price band.
        Halted = "halted",
        /// Dated before the exchange's clock.
        TimeReversed = "time_reversed",
        /// The account is not listed.
        UnknownAccount = "unknown_account",
        /// Too many commands of the account in this window.
        RateLimited = "rate_limited",
        /// A field is missing, out of range, or none of this kind of order.
        InvalidField = "invalid_field",
        /// A live order has this id.
        DuplicateId = "duplicate_id",
        /// No live order has this id.
        UnknownOrder = "unknown_order",
        /// The order is another account's.
        NotOwner = "not_owner",
        /// A price is no multiple of the tick.
        OffTick = "off_tick",
        /// A size is no multiple of the lot.
        OffLot = "off_lot",
        /// Below the least size.
        TooSmall = "too_small",
        /// Above the greatest size.
        TooLarge = "too_large",
        /// Above the greatest price × size.
        Notional = "notional",
        /// Too far beyond the last trade.
        Collar = "collar",
        /// Not in this state of the exchange.
        WrongState = "wrong_state",
        /// The alternative is not live, another account's, or linked already.
        BadLink = "bad_link",
        /// Neither a trade nor a reference price to begin from.
        NoReference = "no_reference",
        /// It may not take and would.
        WouldTrade = "would_trade",
    }
}

/// What happened. See `docs/exchange.md` for the meaning of the fields in each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execution {
    /// The number of the command that caused it, from 1.
    pub sequence: u64,
    /// The order that it is about; of a trade the aggressor's, in an auction the buyer's.
    pub order_id: u64,
    /// The resting order of a trade, in an auction the seller's; else 0.
    pub counter_id: u64,
    /// [`Command::UNSET`] where there is none.
    pub price: Price,
    /// Traded, entered, taken out: see the kind. [`Command::UNSET`] where there is none.
    pub size: Size,
    /// What the order has left open. [`Command::UNSET`] where there is none.
    pub remaining: Size,
    /// The order's fee, in `price_unit × size_unit`; negative is a rebate.
    pub fee: i64,
    /// The resting order's fee.
    pub counter_fee: i64,
    /// The order's account.
    pub account: u32,
    /// The resting order's account.
    pub counter_account: u32,
    /// What it says.
    pub kind: ExecutionKind,
    /// The order's side; `None` where there is none.
    pub side: Option<Side>,
    /// Why.
    pub reason: Reason,
    /// For [`ExecutionKind::State`]: the new state.
    pub state: State,
}

impl Default for Execution {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Execution {
    /// Nothing set.
    pub(super) const EMPTY: Self = Self {
        sequence: 0,
        order_id: 0,
        counter_id: 0,
        price: Price(Command::UNSET),
        size: Size(Command::UNSET),
        remaining: Size(Command::UNSET),
        fee: 0,
        counter_fee: 0,
        account: 0,
        counter_account: 0,
        kind: ExecutionKind::Accepted,
        side: None,
        reason: Reason::None,
        state: State::Continuous,
    };
}
