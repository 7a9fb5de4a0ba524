//! What an exchange is told: one flat struct for every command, so that a column of each field is a stream of them.

use crate::units::{Nanos, Price, Side, Size};

/// Declares an enum of codes: its variants with their names in tables.
macro_rules! codes {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])+ $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])+ $variant,)*
        }

        impl $name {
            /// Every one, in the order of its code.
            pub const ALL: [Self; [$($text),*].len()] = [$(Self::$variant),*];

            /// Its name in tables.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// The one with this code.
            #[must_use]
            pub fn from_code(code: u8) -> Option<Self> {
                Self::ALL.get(usize::from(code)).copied()
            }

            /// The one with this name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|one| one.name() == name)
            }
        }
    };
}
pub(super) use codes;

codes! {
    /// What a command does.
    Action {
        /// A new order.
        #[default]
        New = "new",
        /// Takes an order out.
        Cancel = "cancel",
        /// Changes a live order; a decrease of its size alone keeps its place.
        Modify = "modify",
        /// Changes a live order, which always loses its place.
        Replace = "replace",
        /// A two-sided quote: the bid under `order_id`, the ask under `link` at `trigger` for `display`.
        Quote = "quote",
        /// Cancels all orders of an account (0: of everybody), of one side if `one_side`.
        MassCancel = "mass_cancel",
        /// Moves the exchange to another state.
        State = "state",
        /// Cancels all orders of an account (0: of everybody) and lets no new ones in.
        Kill = "kill",
        /// Ends a kill.
        Revive = "revive",
        /// Nothing but its time.
        Clock = "clock",
    }
}

codes! {
    /// How an order is priced and when it trades.
    OrderType {
        /// Trades up to its limit; the rest stays.
        #[default]
        Limit = "limit",
        /// Trades at any price; the rest is cancelled.
        Market = "market",
        /// Trades at the best opposite price; the rest stays there.
        MarketToLimit = "market_to_limit",
        /// Becomes a market order when a trade prints at or through `trigger`.
        Stop = "stop",
        /// Becomes a limit order when a trade prints at or through `trigger`.
        StopLimit = "stop_limit",
        /// A stop whose price follows the best trade at the distance `trigger`.
        TrailingStop = "trailing_stop",
        /// Hidden; `trigger` behind the best displayed price of its side.
        PegPrimary = "peg_primary",
        /// Hidden; `trigger` behind the middle of the best displayed prices.
        PegMid = "peg_mid",
    }
}

codes! {
    /// How long an order lives.
    TimeInForce {
        /// Until the exchange closes.
        #[default]
        Day = "day",
        /// Until cancelled.
        Gtc = "gtc",
        /// Until `expires`.
        Gtd = "gtd",
        /// Trades at once; the rest is cancelled.
        Ioc = "ioc",
        /// Trades whole at once, or not at all.
        Fok = "fok",
        /// In the opening auction only.
        AtOpen = "at_open",
        /// In the closing auction only.
        AtClose = "at_close",
    }
}

codes! {
    /// What an incoming order does when it meets one of its own account.
    SelfTrade {
        /// It trades.
        #[default]
        None = "none",
        /// What is left of the incoming order is cancelled.
        CancelNewest = "cancel_newest",
        /// The resting order is cancelled.
        CancelOldest = "cancel_oldest",
        /// Both are.
        CancelBoth = "cancel_both",
        /// Both are reduced by the smaller size, without a trade.
        Decrement = "decrement",
    }
}

codes! {
    /// What an order does that must not take.
    PostOnly {
        /// It may take.
        #[default]
        No = "no",
        /// It is rejected if it would trade.
        Reject = "reject",
        /// It is priced one tick behind the best opposite order.
        Slide = "slide",
    }
}

codes! {
    /// What the exchange does at present.
    State {
        /// Trades.
        #[default]
        Continuous = "continuous",
        /// Gathers orders for the opening auction.
        PreOpen = "pre_open",
        /// Gathers orders until trading goes on.
        Halted = "halted",
        /// Gathers orders for the closing auction.
        Closing = "closing",
        /// Accepts cancels alone.
        Closed = "closed",
    }
}

/// A command. Fields that its action does not name are ignored; prices and sizes are in units of the instrument.
///
/// ```
/// use crossbook::exchange::{Command, TimeInForce};
/// use crossbook::units::{Price, Side, Size};
///
/// let order = Command { time_in_force: TimeInForce::Ioc, ..Command::limit(1, Side::Bid, Price(100), Size(5)) };
/// let cancel = Command::cancel(1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// When it happens; [`Nanos::UNKNOWN`]: at the exchange's clock.
    pub ts: Nanos,
    /// The order that it is about.
    pub order_id: u64,
    /// Limit; [`Command::UNSET`] for none, and in modifications for the present one.
    pub price: Price,
    /// Open size; [`Command::UNSET`] in modifications for the present one.
    pub size: Size,
    /// Stop price, trailing distance or peg offset; a quote's ask.
    pub trigger: Price,
    /// Displayed slice; [`Command::UNSET`]: all of it, 0: hidden. A quote's ask size.
    pub display: Size,
    /// When a good-till-date order ends.
    pub expires: Nanos,
    /// The live order of which this one is the alternative, 0 for none; a quote's ask id.
    pub link: u64,
    /// Whose order it is; 0 is nobody in particular.
    pub account: u32,
    /// What to do.
    pub action: Action,
    /// Bid to buy, ask to sell.
    pub side: Side,
    /// How it is priced.
    pub order_type: OrderType,
    /// How long it lives.
    pub time_in_force: TimeInForce,
    /// What it does when it meets its own account.
    pub self_trade: SelfTrade,
    /// Whether it may take.
    pub post_only: PostOnly,
    /// For [`Action::State`].
    pub state: State,
    /// For [`Action::MassCancel`]: only the orders of `side`.
    pub one_side: bool,
}

impl Command {
    /// The value of a price or size that is not given.
    pub const UNSET: i64 = i64::MIN;

    const EMPTY: Self = Self {
        ts: Nanos::UNKNOWN,
        order_id: 0,
        price: Price(Self::UNSET),
        size: Size(Self::UNSET),
        trigger: Price(Self::UNSET),
        display: Size(Self::UNSET),
        expires: Nanos::UNKNOWN,
        link: 0,
        account: 0,
        action: Action::New,
        side: Side::Bid,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::Day,
        self_trade: SelfTrade::None,
        post_only: PostOnly::No,
        state: State::Continuous,
        one_side: false,
    };

    /// A command of this kind, nothing else set.
    #[must_use]
    pub const fn new(action: Action) -> Self {
        Self { action, ..Self::EMPTY }
    }

    /// A limit order, good for the day.
    #[inline]
    #[must_use]
    pub const fn limit(order_id: u64, side: Side, price: Price, size: Size) -> Self {
        Self { order_id, side, price, size, ..Self::EMPTY }
    }

    /// A market order.
    #[must_use]
    pub const fn market(order_id: u64, side: Side, size: Size) -> Self {
        Self { order_id, side, size, order_type: OrderType::Market, ..Self::EMPTY }
    }

    /// Takes an order out, whoever's it is.
    #[inline]
    #[must_use]
    pub const fn cancel(order_id: u64) -> Self {
        Self { action: Action::Cancel, order_id, ..Self::EMPTY }
    }

    /// Another price and open size, keeping the place if it can.
    #[inline]
    #[must_use]
    pub const fn modify(order_id: u64, price: Price, size: Size) -> Self {
        Self { action: Action::Modify, order_id, price, size, ..Self::EMPTY }
    }

    /// Another price and open size, at the tail.
    #[inline]
    #[must_use]
    pub const fn replace(order_id: u64, price: Price, size: Size) -> Self {
        Self { action: Action::Replace, order_id, price, size, ..Self::EMPTY }
    }

    /// A two-sided quote of an account; a size of 0 pulls that side.
    #[must_use]
    pub const fn quote(account: u32, bid: (u64, Price, Size), ask: (u64, Price, Size)) -> Self {
        Self {
            action: Action::Quote,
            account,
            order_id: bid.0,
            price: bid.1,
            size: bid.2,
            link: ask.0,
            trigger: ask.1,
            display: ask.2,
            time_in_force: TimeInForce::Gtc,
            ..Self::EMPTY
        }
    }

    /// Moves the exchange to another state.
    #[must_use]
    pub const fn state(state: State) -> Self {
        Self { action: Action::State, state, ..Self::EMPTY }
    }

    /// Lets the clock run.
    #[must_use]
    pub const fn clock(ts: Nanos) -> Self {
        Self { action: Action::Clock, ts, ..Self::EMPTY }
    }

    /// The same at this time.
    #[must_use]
    pub const fn at(self, ts: Nanos) -> Self {
        Self { ts, ..self }
    }

    /// The same of this account.
    #[must_use]
    pub const fn by(self, account: u32) -> Self {
        Self { account, ..self }
    }
}
