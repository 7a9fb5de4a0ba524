//! A venue that can be run: commands in, executions out.
//!
//! One instrument, one thread, no clock, no socket, no randomness: [`Exchange::apply`] takes a [`Command`] and calls
//! back with every [`Execution`]. The rules are in `docs/exchange.md`, sentence by sentence; this module and its files
//! do what stands there: `checks` (what may come in), `plain` and `matching` (who trades with whom), `live` (how orders
//! rest and end), `waiting` (stops, pegs, what is due), `auction`.
//!
//! A plain limit order in continuous trading, the bulk of every stream, takes a short way through [`Exchange::apply`];
//! everything else takes the general one, which also gives the plain order's answer (a test compares them).
//!
//! ```
//! use crossbook::exchange::{Command, Exchange, ExecutionKind, Rules};
//! use crossbook::units::{Price, Side, Size};
//!
//! let mut exchange = Exchange::new(Rules::default())?;
//! let mut kinds = Vec::new();
//! exchange.apply(&Command::limit(1, Side::Ask, Price(101), Size(5)), |_| {});
//! exchange.apply(&Command::limit(2, Side::Bid, Price(101), Size(2)), |execution| kinds.push(execution.kind));
//! assert_eq!(kinds, [ExecutionKind::Accepted, ExecutionKind::Trade]);
//! # Ok::<(), crossbook::exchange::RulesError>(())
//! ```

use std::collections::{BTreeMap, VecDeque};

use rustc_hash::FxHashMap;
use thiserror::Error;

use crate::book::orders::NONE;
use crate::book::{OrderBook, Quote};
use crate::units::{Nanos, Price, Side, Size};

mod auction;
mod checks;
mod codec;
mod command;
mod execution;
mod journal;
mod live;
mod matching;
mod plain;
mod rules;
mod snapshot;
#[cfg(test)]
mod tests;
mod waiting;

pub use auction::Indicative;
pub use codec::CodecError;
pub use command::{Action, Command, OrderType, PostOnly, SelfTrade, State, TimeInForce};
pub use execution::{Execution, ExecutionKind, Reason};
pub use journal::{
    Fsync, JOURNAL_FORMAT, Journal, JournalError, JournalReader, JournaledExchange, Recovered, snapshot_path,
};
pub use rules::{Account, Priority, Rules, Tier};
pub use snapshot::{SNAPSHOT_FORMAT, SnapshotError};

/// Where executions go. Everything but the short way is compiled once, behind this.
type Out<'a> = &'a mut dyn FnMut(&Execution);

/// Why rules cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RulesError {
    /// A number is out of its range.
    #[error("rule {field}: expected {expected}, got {got}")]
    Range {
        /// Which.
        field: &'static str,
        /// What was expected.
        expected: &'static str,
        /// What it is.
        got: i128,
    },
    /// An account is listed twice.
    #[error("account {0}: expected every account once")]
    DuplicateAccount(u32),
}

/// What the exchange keeps with every order in the book.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terms {
    account: u32,
    /// Where the rest of it stands: an index into `extras`, or [`NONE`].
    extra: u32,
    order_type: OrderType,
    time_in_force: TimeInForce,
    self_trade: SelfTrade,
    post_only: PostOnly,
}

/// Where an order with extras stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Where {
    /// In the book.
    Book,
    /// Among the stops.
    Stop,
    /// Triggered, not yet active.
    Pending,
    /// Until closing begins.
    Close,
    /// A market order in a call phase.
    Market,
    /// A pegged order without a price.
    Parked,
}

/// What only some orders have.
#[derive(Clone, Copy, Debug)]
struct Extra {
    at: u32,
    side: Side,
    place: Where,
    /// Numbers orders as they come.
    entered: u64,
    /// Its place among those that wait outside the book; as `entered`, until a modification makes it the newest.
    rank: u64,
    /// What `entries` was when its trigger was given: prints before that are none of its business.
    since: u64,
    /// Not displayed at present.
    reserve: i64,
    /// The displayed slice; UNSET: all, 0: hidden.
    display: i64,
    /// Its limit, while it is outside the book or pegged.
    price: i64,
    trigger: i64,
    /// Best trade since a trailing stop came.
    peak: i64,
    expires: i64,
    /// The order of which it is the alternative, or [`NONE`].
    link: u32,
}

/// An order that is about to trade.
#[derive(Clone, Copy, Debug)]
struct Incoming {
    id: u64,
    side: Side,
    /// UNSET: none.
    limit: i64,
    open: i64,
    terms: Terms,
    /// Its node if it has one already.
    at: u32,
    /// Its alternative until its first trade.
    link: u32,
    /// Only at this price.
    only: i64,
    /// Why it stops before it is done.
    stop: Stop,
    traded: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    No,
    SelfTrade,
    /// Its alternative, with which it traded, ended it.
    Linked,
    Band,
}

#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    /// Whether the rules list it.
    listed: bool,
    tier: u32,
    killed: bool,
    window: i64,
    count: u32,
}

/// An exchange for one instrument. Sizes and prices are in units of the instrument.
#[derive(Clone)]
pub struct Exchange {
    rules: Rules,
    book: OrderBook<Terms>,
    state: State,
    sequence: u64,
    clock: i64,
    last: Option<i64>,
    reference: Option<i64>,
    halted_until: Option<i64>,
    /// The next number for `entered` and `rank`.
    entries: u64,
    extras: Vec<Extra>,
    free_extras: Vec<u32>,
    /// Pairs of alternatives.
    links: usize,
    /// By price (of sells the complement) and rank.
    stops: [BTreeMap<(i64, u64), u32>; 2],
    /// By rank.
    trailing: [BTreeMap<u64, u32>; 2],
    pegs: BTreeMap<u64, u32>,
    closers: BTreeMap<u64, u32>,
    markets: [BTreeMap<u64, u32>; 2],
    expiries: BTreeMap<(i64, u64), u32>,
    pending: VecDeque<u32>,
    /// Prices of trades that stops have not seen, each with the newest rank that was there.
    prints: VecDeque<(i64, u64)>,
    /// Displayed best bid and ask at which pegs were last priced.
    peg_quote: Option<(Option<i64>, Option<i64>)>,
    accounts: FxHashMap<u32, Standing>,
    all_killed: bool,
    /// Whether plain orders may take the short way.
    plain: bool,
    shares: Vec<(u32, i64)>,
}

impl Exchange {
    /// An exchange without orders.
    ///
    /// # Errors
    /// If a rule is out of its range.
    pub fn new(rules: Rules) -> Result<Self, RulesError> {
        Self::with_capacity(rules, 0)
    }

    /// The same with room for so many resting orders before it allocates.
    ///
    /// # Errors
    /// If a rule is out of its range.
    pub fn with_capacity(rules: Rules, orders: usize) -> Result<Self, RulesError> {
        rules.check()?;
        let accounts = rules
            .accounts
            .iter()
            .map(|account| (account.id, Standing { listed: true, tier: account.tier, ..Standing::default() }))
            .collect();
        let mut exchange = Self {
            book: OrderBook::with_capacity(orders),
            state: rules.state,
            sequence: 0,
            clock: 0,
            last: None,
            reference: rules.reference,
            halted_until: None,
            entries: 0,
            extras: Vec::new(),
            free_extras: Vec::new(),
            links: 0,
            stops: [BTreeMap::new(), BTreeMap::new()],
            trailing: [BTreeMap::new(), BTreeMap::new()],
            pegs: BTreeMap::new(),
            closers: BTreeMap::new(),
            markets: [BTreeMap::new(), BTreeMap::new()],
            expiries: BTreeMap::new(),
            pending: VecDeque::new(),
            prints: VecDeque::new(),
            peg_quote: None,
            accounts,
            all_killed: false,
            plain: false,
            shares: Vec::new(),
            rules,
        };
        exchange.choose_way();
        Ok(exchange)
    }

    /// Does what a command says and calls back with every execution, in order.
    #[inline]
    pub fn apply(&mut self, command: &Command, mut out: impl FnMut(&Execution)) {
        if self.plain {
            match command.action {
                Action::New if command.is_plain() => {
                    self.sequence += 1;
                    return self.plain_order(command, &mut out);
                }
                Action::Cancel if command.ts == Nanos::UNKNOWN => {
                    self.sequence += 1;
                    return self.plain_cancel(command, &mut out);
                }
                Action::Modify | Action::Replace if command.is_plain() => {
                    self.sequence += 1;
                    return self.plain_change(command, &mut out);
                }
                _ => {}
            }
        }
        self.apply_any(command, &mut out);
    }

    /// Does what commands say, in order, as [`Self::apply`] does. In a large book faster than one by one, because it
    /// reads ahead what the coming commands will need.
    pub fn apply_all(&mut self, commands: &[Command], mut out: impl FnMut(&Execution)) {
        for some in commands.chunks(OrderBook::<Terms>::AHEAD) {
            self.book.read_ahead(some.iter().map(|command| {
                let joins = if command.action == Action::New { Some((command.side, command.price)) } else { None };
                (command.order_id, joins)
            }));
            for command in some {
                self.apply(command, &mut out);
            }
        }
    }

    /// The number of the last command.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The latest time that a command bore; [`Nanos::UNKNOWN`] before the first.
    #[must_use]
    pub const fn clock(&self) -> Nanos {
        Nanos(self.clock)
    }

    /// What it does at present.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// The price of the last trade.
    #[must_use]
    pub fn last(&self) -> Option<Price> {
        self.last.map(Price)
    }

    /// The reference price of auctions and bands.
    #[must_use]
    pub fn reference(&self) -> Option<Price> {
        self.reference.map(Price)
    }

    /// The rules.
    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Best displayed bid and ask; zeros where there is none.
    #[must_use]
    pub fn quote(&self) -> Quote {
        self.book.quote()
    }

    /// Live orders, in the book and outside.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.book.len()
    }

    /// Whether no order is live.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.book.is_empty()
    }

    /// Every live order: bids in the order in which they trade, asks likewise, then what waits outside by entry.
    #[must_use]
    pub fn orders(&self) -> Vec<LiveOrder> {
        self.mass(None).into_iter().map(|at| self.live(at)).collect()
    }

    /// The same, each with its [`Self::place`], in one walk.
    #[must_use]
    pub fn queues(&self) -> Vec<(LiveOrder, Option<crate::book::Place>)> {
        let mut price = None;
        let mut ahead = (0, 0);
        let queue = self.mass(None).into_iter().map(|at| {
            if !self.book.rests(at) {
                return (self.live(at), None);
            }
            let level = self.book.level_of(at);
            if price.replace((level.side, level.price)) != Some((level.side, level.price)) {
                ahead = (0, 0);
            }
            let (orders_ahead, size_ahead) = ahead;
            ahead = (orders_ahead + 1, size_ahead + self.book.node(at).size);
            let place = crate::book::Place { orders_ahead, size_ahead: Size(size_ahead), level_size: Size(level.size) };
            (self.live(at), Some(place))
        });
        queue.collect()
    }

    /// A live order.
    #[must_use]
    pub fn order(&self, id: u64) -> Option<LiveOrder> {
        self.book.find(id).map(|at| self.live(at))
    }

    /// Where an order stands in the queue of its price; `None` outside the book.
    #[must_use]
    pub fn place(&self, id: u64) -> Option<crate::book::Place> {
        self.book.place(id)
    }

    /// Displayed levels of a side, from best to worst.
    pub fn levels(&self, side: Side) -> impl Iterator<Item = crate::book::OrderLevel> + '_ {
        self.book.levels(side)
    }

    /// Bytes on the heap, without the rules and what waits outside the book.
    #[must_use]
    pub fn heap(&self) -> usize {
        self.book.heap() + self.extras.capacity() * size_of::<Extra>()
    }

    fn live(&self, at: u32) -> LiveOrder {
        let node = self.book.node(at);
        let extra = self.extra(at);
        let (side, price, hidden) = if self.book.rests(at) {
            let level = self.book.level_of(at);
            (level.side, level.price, self.book.is_hidden(at))
        } else {
            let peg = matches!(node.tag.order_type, OrderType::PegPrimary | OrderType::PegMid);
            let price = extra.filter(|_| !peg).map_or(Command::UNSET, |extra| extra.price);
            (extra.map_or(Side::Bid, |extra| extra.side), price, true)
        };
        LiveOrder {
            id: node.id,
            account: node.tag.account,
            side,
            order_type: node.tag.order_type,
            time_in_force: node.tag.time_in_force,
            price: Price(price),
            shown: Size(if hidden { 0 } else { node.size }),
            open: Size(node.size + extra.map_or(0, |extra| extra.reserve)),
            trigger: Price(extra.map_or(Command::UNSET, |extra| extra.stop_price(node.tag.order_type))),
            link: extra.filter(|extra| extra.link != NONE).map_or(0, |extra| self.book.node(extra.link).id),
            rests: self.book.rests(at),
        }
    }

    #[inline]
    fn extra(&self, at: u32) -> Option<&Extra> {
        self.extras.get(self.book.node(at).tag.extra as usize)
    }

    #[inline]
    fn extra_mut(&mut self, at: u32) -> Option<&mut Extra> {
        self.extras.get_mut(self.book.node(at).tag.extra as usize)
    }

    /// The open size: displayed and reserve.
    fn open(&self, at: u32) -> i64 {
        self.book.node(at).size + self.extra(at).map_or(0, |extra| extra.reserve)
    }

    fn choose_way(&mut self) {
        self.plain = self.state == State::Continuous
            && self.rules.is_plain()
            && self.expiries.is_empty()
            && self.pegs.is_empty()
            && self.stops.iter().all(BTreeMap::is_empty)
            && self.pending.is_empty()
            && !self.all_killed
            && self.halted_until.is_none()
            && self.accounts.is_empty();
    }
}

impl Extra {
    /// The stop price, or the distance of a peg.
    fn stop_price(&self, order_type: OrderType) -> i64 {
        match (order_type, self.side) {
            (OrderType::TrailingStop, Side::Bid) => self.peak.saturating_add(self.trigger),
            (OrderType::TrailingStop, Side::Ask) => self.peak.saturating_sub(self.trigger),
            _ => self.trigger,
        }
    }

    /// The key among the stops of its side: what triggers first is smallest.
    fn stop_key(&self, order_type: OrderType) -> (i64, u64) {
        let price = self.stop_price(order_type);
        (if self.side == Side::Bid { price } else { !price }, self.rank)
    }
}

/// A live order as seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveOrder {
    /// Its id.
    pub id: u64,
    /// Whose.
    pub account: u32,
    /// Its side.
    pub side: Side,
    /// How it is priced.
    pub order_type: OrderType,
    /// How long it lives.
    pub time_in_force: TimeInForce,
    /// Where it rests; outside the book its limit, [`Command::UNSET`] for none and for parked pegs.
    pub price: Price,
    /// What it shows.
    pub shown: Size,
    /// What it would trade.
    pub open: Size,
    /// Stop price or peg offset, [`Command::UNSET`] for none.
    pub trigger: Price,
    /// Its alternative, 0 for none.
    pub link: u64,
    /// Whether it stands in the book.
    pub rests: bool,
}
