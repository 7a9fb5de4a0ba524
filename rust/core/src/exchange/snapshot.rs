//! An exchange as bytes, and back.
//!
//! A snapshot holds what matters for what the exchange will do, and nothing else: no slab, no free lists, no hash order.
//! So two exchanges in the same state have the same snapshot, byte for byte, however they came there, and
//! [`Exchange::restore`] gives one that goes on exactly as the first would have.
//!
//! Nothing in a snapshot is believed: `restore` builds the book order by order and checks every value that the engine
//! relies on, so that damaged or forged bytes are refused with the place and the reason and never make it panic later.
//! Memory is reserved for what is there, not for what a count says.
//!
//! # The format, version 1
//! Little-endian; CRC means CRC-32 (IEEE 802.3, that of gzip).
//!
//! | bytes | header |
//! |---|---|
//! | 8 | magic `89 58 42 53 0d 0a 1a 0a` (`\x89XBS\r\n\x1a\n`) |
//! | u32 | format version, 1 |
//! | u64 | length of what follows the header |
//! | u32 | CRC of what follows the header |
//! | u32 | CRC of the 24 bytes before |
//!
//! Then sections in this order, each with a name of four letters and the `u64` length of what follows:
//!
//! | name | holds |
//! |---|---|
//! | `RULE` | the [`Rules`], see [`Rules::to_bytes`] |
//! | `STAT` | sequence and entries `u64`, state `u8`, all killed `u8`; clock, last, reference, halted until, peg bid, peg ask: each a byte 0 or 1, then `i64` if 1; before the last two a byte that says whether there are any |
//! | `ACCT` | `u32` count; account `u32`, killed `u8`, window `i64`, count `u32`; by account, without those that did nothing yet |
//! | `BIDS`, `ASKS` | `u32` count; orders in the book, in the order in which they trade |
//! | `WAIT` | `u32` count; orders outside the book, by rank |
//! | `PEND` | `u32` count; ids `u64` of triggered stops in the order in which they will be activated |
//! | `PRNT` | `u32` count; of trades that stops have not seen: price `i64`, the number of the newest stop that was there `u64` |
//!
//! **Order**: id `u64`; price `i64` (of the level; outside the book the limit); size `i64` (displayed; of a hidden order
//! and outside the book all); account `u32`; order type, time in force, self-trade prevention, post-only, flags `u8`.
//! Flags: 1 hidden, 2 has terms, 4 set this price (with `top_order` only). Outside the book side and place `u8` follow (1 stop, 2
//! triggered, 3 at the close, 4 market order in a call phase, 5 parked). With terms: entered, rank, since `u64`; reserve,
//! display, limit of a peg (else 0), trigger, peak of a trailing stop (else 0), expires `i64`; id of the linked order
//! `u64`, 0 for none.

use thiserror::Error;

use super::codec::{CodecError, Input, put_count, put_optional};
use super::{
    Command, Exchange, Extra, OrderType, PostOnly, Priority, Rules, RulesError, SelfTrade, Standing, State, Terms,
    TimeInForce, Where,
};
use crate::book::orders::NONE;
use crate::units::Side;

/// The version of the format written here.
pub const SNAPSHOT_FORMAT: u32 = 1;

const MAGIC: [u8; 8] = *b"\x89XBS\r\n\x1a\n";
const HEADER: usize = 28;
/// An order without terms.
const ORDER: usize = 33;
/// So far counters may have come, so that they never overflow.
const MOST: u64 = 1 << 62;

const HIDDEN: u8 = 1;
const TERMS: u8 = 2;
const TOP: u8 = 4;

/// Why bytes are no snapshot that an exchange can go on from. Offsets count from the snapshot's first byte.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// They do not begin as a snapshot does.
    #[error("expected a snapshot (89 58 42 53 0d 0a 1a 0a), found {found}")]
    NotASnapshot {
        /// The first bytes, in hex.
        found: String,
    },
    /// A later version of the format.
    #[error("expected snapshot version {SNAPSHOT_FORMAT}, found {found}")]
    Version {
        /// Its version.
        found: u32,
    },
    /// Cut off, or with something behind it.
    #[error("expected a snapshot of {expected} bytes, found {found}")]
    Length {
        /// What its header says.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// The bytes are not those that were written.
    #[error("byte {offset}: expected bytes with the crc {expected:08x}, found {found:08x}")]
    Crc {
        /// Where the bytes begin.
        offset: u64,
        /// The CRC that stands there.
        expected: u32,
        /// The CRC of the bytes.
        found: u32,
    },
    /// A value cannot be read.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The rules are none that an exchange can have.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// Another section should begin here.
    #[error("byte {offset}: expected section {expected}, found {found}")]
    Section {
        /// Where.
        offset: u64,
        /// Its name.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A value outside the orders that the exchange cannot have.
    #[error("byte {offset}: {field}: expected {expected}, got {got}")]
    Value {
        /// Where what it belongs to begins.
        offset: u64,
        /// Which.
        field: &'static str,
        /// What was expected.
        expected: &'static str,
        /// What it is.
        got: i128,
    },
    /// A value of an order that it cannot have.
    #[error("byte {offset}: order {order_id}: {field}: expected {expected}, got {got}")]
    Order {
        /// Where the order begins.
        offset: u64,
        /// Its id.
        order_id: u64,
        /// Which value.
        field: &'static str,
        /// What was expected.
        expected: &'static str,
        /// What it is.
        got: i128,
    },
}

/// Writes a section: its name, its length, what `fill` writes.
fn section(out: &mut Vec<u8>, name: &str, fill: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(name.as_bytes());
    let at = out.len();
    out.extend_from_slice(&[0; 8]);
    fill(out);
    let length = (out.len() - at - 8) as u64;
    out[at..at + 8].copy_from_slice(&length.to_le_bytes());
}

impl Exchange {
    /// Everything that matters for what it will do, as bytes: see [`restore`](Self::restore). The same state gives the
    /// same bytes.
    ///
    /// ```
    /// use crossbook::exchange::{Command, Exchange, Rules};
    /// use crossbook::units::{Price, Side, Size};
    ///
    /// let mut exchange = Exchange::new(Rules::default())?;
    /// exchange.apply(&Command::limit(1, Side::Ask, Price(101), Size(5)), |_| {});
    /// let snapshot = exchange.snapshot();
    /// let mut again = Exchange::restore(&snapshot)?;
    /// assert_eq!(again.snapshot(), snapshot);
    /// assert_eq!(again.orders(), exchange.orders());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        let outside: Vec<u32> = self.mass(None).into_iter().filter(|&at| !self.book.rests(at)).collect();
        let mut out = Vec::with_capacity(512 + ORDER * self.len() + 80 * (self.extras.len() - self.free_extras.len()));
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&SNAPSHOT_FORMAT.to_le_bytes());
        out.resize(HEADER, 0);
        section(&mut out, "RULE", |out| out.extend_from_slice(&self.rules.to_bytes()));
        section(&mut out, "STAT", |out| self.put_state(out));
        section(&mut out, "ACCT", |out| self.put_accounts(out));
        for (name, side) in [("BIDS", Side::Bid), ("ASKS", Side::Ask)] {
            section(&mut out, name, |out| {
                put_count(out, self.book.handles(side).count());
                for at in self.book.handles(side) {
                    self.put_order(out, at);
                }
            });
        }
        section(&mut out, "WAIT", |out| {
            put_count(out, outside.len());
            for &at in &outside {
                self.put_order(out, at);
            }
        });
        section(&mut out, "PEND", |out| {
            put_count(out, self.pending.len());
            for &at in &self.pending {
                out.extend_from_slice(&self.book.node(at).id.to_le_bytes());
            }
        });
        section(&mut out, "PRNT", |out| {
            put_count(out, self.prints.len());
            for (price, newest) in &self.prints {
                out.extend_from_slice(&price.to_le_bytes());
                out.extend_from_slice(&newest.to_le_bytes());
            }
        });
        let length = (out.len() - HEADER) as u64;
        let crc = crc32fast::hash(&out[HEADER..]);
        out[12..20].copy_from_slice(&length.to_le_bytes());
        out[20..24].copy_from_slice(&crc.to_le_bytes());
        let crc = crc32fast::hash(&out[..24]);
        out[24..HEADER].copy_from_slice(&crc.to_le_bytes());
        out
    }

    fn put_state(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.entries.to_le_bytes());
        out.extend_from_slice(&[self.state as u8, u8::from(self.all_killed)]);
        put_optional(out, (self.clock != 0).then_some(self.clock));
        put_optional(out, self.last);
        put_optional(out, self.reference);
        put_optional(out, self.halted_until);
        out.push(u8::from(self.peg_quote.is_some()));
        if let Some((bid, ask)) = self.peg_quote {
            put_optional(out, bid);
            put_optional(out, ask);
        }
    }

    fn put_accounts(&self, out: &mut Vec<u8>) {
        let mut all: Vec<(u32, Standing)> = self
            .accounts
            .iter()
            .filter(|(_, standing)| standing.killed || standing.window != 0 || standing.count != 0)
            .map(|(&account, &standing)| (account, standing))
            .collect();
        all.sort_unstable_by_key(|&(account, _)| account);
        put_count(out, all.len());
        for (account, standing) in all {
            out.extend_from_slice(&account.to_le_bytes());
            out.push(u8::from(standing.killed));
            out.extend_from_slice(&standing.window.to_le_bytes());
            out.extend_from_slice(&standing.count.to_le_bytes());
        }
    }

    /// Whether it matters who set a price.
    fn has_top(&self) -> bool {
        matches!(self.rules.priority, Priority::ProRata { top_order: true, .. })
    }

    fn put_order(&self, out: &mut Vec<u8>, at: u32) {
        let node = self.book.node(at);
        let terms = node.tag;
        let rests = self.book.rests(at);
        let extra = self.extra(at);
        let mut flags = if extra.is_some() { TERMS } else { 0 };
        let mut price = extra.map_or(Command::UNSET, |extra| extra.price);
        if rests {
            let level = self.book.level_of(at);
            price = level.price;
            if self.book.is_hidden(at) {
                flags |= HIDDEN;
            } else if self.has_top() && level.top == at && level.first_shown() == at {
                flags |= TOP;
            }
        }
        out.extend_from_slice(&node.id.to_le_bytes());
        out.extend_from_slice(&price.to_le_bytes());
        out.extend_from_slice(&node.size.to_le_bytes());
        out.extend_from_slice(&terms.account.to_le_bytes());
        out.extend_from_slice(&[
            terms.order_type as u8,
            terms.time_in_force as u8,
            terms.self_trade as u8,
            terms.post_only as u8,
            flags,
        ]);
        let Some(extra) = extra else { return };
        if !rests {
            out.extend_from_slice(&[extra.side as u8, extra.place as u8]);
        }
        let limit = if rests && is_peg(terms.order_type) { extra.price } else { 0 };
        let peak = if terms.order_type == OrderType::TrailingStop { extra.peak } else { 0 };
        let link = if extra.link == NONE { 0 } else { self.book.node(extra.link).id };
        out.extend_from_slice(&extra.entered.to_le_bytes());
        out.extend_from_slice(&extra.rank.to_le_bytes());
        out.extend_from_slice(&extra.since.to_le_bytes());
        for number in [extra.reserve, extra.display, limit, extra.trigger, peak, extra.expires] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&link.to_le_bytes());
    }

    /// The exchange of which this is the [`snapshot`](Self::snapshot).
    ///
    /// # Errors
    /// [`SnapshotError`] says what is wrong and where. Every value is checked; nothing is guessed or repaired.
    pub fn restore(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let mut input = header(bytes)?;
        let end = begin(&mut input, "RULE")?;
        let mut exchange = Self::new(Rules::read(&mut input)?)?;
        finish(&input, end)?;
        let mut restoring = Restoring { listed: listed(&exchange.rules), exchange: &mut exchange, links: Vec::new() };
        restoring.state(&mut input)?;
        restoring.accounts(&mut input)?;
        for (name, side) in [("BIDS", Side::Bid), ("ASKS", Side::Ask)] {
            restoring.book(&mut input, name, side)?;
        }
        restoring.uncrossed(&input)?;
        restoring.outside(&mut input)?;
        restoring.pending(&mut input)?;
        restoring.prints(&mut input)?;
        input.end()?;
        restoring.links()?;
        restoring.numbers(&input)?;
        exchange.choose_way();
        Ok(exchange)
    }
}

const fn is_peg(order_type: OrderType) -> bool {
    matches!(order_type, OrderType::PegPrimary | OrderType::PegMid)
}

const fn is_stop(order_type: OrderType) -> bool {
    matches!(order_type, OrderType::Stop | OrderType::StopLimit | OrderType::TrailingStop)
}

/// Checks the header and both checksums.
fn header(bytes: &[u8]) -> Result<Input<'_>, SnapshotError> {
    let mut input = Input::new(bytes);
    if !bytes.starts_with(&MAGIC) {
        let found = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
        return Err(SnapshotError::NotASnapshot { found: if found.is_empty() { "nothing".to_owned() } else { found } });
    }
    input.array::<8>("magic")?;
    let version = input.u32("version")?;
    if version != SNAPSHOT_FORMAT {
        return Err(SnapshotError::Version { found: version });
    }
    let (length, crc, own) = (input.u64("length")?, input.u32("crc")?, input.u32("crc of the header")?);
    let checked = |offset: usize, part: &[u8], expected: u32| {
        let found = crc32fast::hash(part);
        if found == expected { Ok(()) } else { Err(SnapshotError::Crc { offset: offset as u64, expected, found }) }
    };
    checked(0, &bytes[..24], own)?;
    if length != input.left() as u64 {
        let expected = length.saturating_add(HEADER as u64);
        return Err(SnapshotError::Length { expected, found: bytes.len() as u64 });
    }
    checked(HEADER, &bytes[HEADER..], crc)?;
    Ok(input)
}

/// Reads a section's name and returns where it ends.
fn begin(input: &mut Input<'_>, name: &'static str) -> Result<u64, SnapshotError> {
    let offset = input.offset();
    let found = input.array::<4>(name)?;
    if found != *name.as_bytes() {
        return Err(SnapshotError::Section { offset, expected: name, found: found.escape_ascii().to_string() });
    }
    Ok(input.u64(name)?.saturating_add(input.offset()))
}

fn finish(input: &Input<'_>, end: u64) -> Result<(), SnapshotError> {
    if input.offset() == end {
        return Ok(());
    }
    Err(SnapshotError::Value {
        offset: input.offset(),
        field: "section",
        expected: "its end here",
        got: i128::from(end),
    })
}

/// An order as it stands in the snapshot.
struct Written {
    offset: u64,
    id: u64,
    price: i64,
    size: i64,
    terms: Terms,
    flags: u8,
    side: Side,
    place: Where,
    extra: Option<Extra>,
    link: u64,
}

impl Written {
    /// `side`: of an order in the book.
    fn read(input: &mut Input<'_>, side: Option<Side>) -> Result<Self, SnapshotError> {
        let offset = input.offset();
        let (id, price, size) = (input.u64("order_id")?, input.i64("price")?, input.i64("size")?);
        let terms = Terms {
            account: input.u32("account")?,
            extra: NONE,
            order_type: input.code("order_type", OrderType::ALL.len(), OrderType::from_code)?,
            time_in_force: input.code("time_in_force", TimeInForce::ALL.len(), TimeInForce::from_code)?,
            self_trade: input.code("self_trade", SelfTrade::ALL.len(), SelfTrade::from_code)?,
            post_only: input.code("post_only", PostOnly::ALL.len(), PostOnly::from_code)?,
        };
        let flags = input.code("flags", 8, |flags| (flags < 8).then_some(flags))?;
        let (side, place) = match side {
            Some(side) => (side, Where::Book),
            None => (input.side("side")?, input.code("place", 6, outside)?),
        };
        let mut order = Self { offset, id, price, size, terms, flags, side, place, extra: None, link: 0 };
        if flags & TERMS != 0 {
            let (entered, rank, since) = (input.u64("entered")?, input.u64("rank")?, input.u64("since")?);
            let (reserve, display) = (input.i64("reserve")?, input.i64("display")?);
            let (limit, trigger) = (input.i64("limit")?, input.i64("trigger")?);
            let (peak, expires) = (input.i64("peak")?, input.i64("expires")?);
            order.link = input.u64("link")?;
            let pegged = place == Where::Book && is_peg(terms.order_type);
            let fits = |field, is: bool, got: i64| {
                if is { Ok(()) } else { Err(order.wrong(field, "0 for an order of this kind", got)) }
            };
            fits("limit", pegged || limit == 0, limit)?;
            fits("peak", terms.order_type == OrderType::TrailingStop || peak == 0, peak)?;
            order.extra = Some(Extra {
                at: NONE,
                side,
                place,
                entered,
                rank,
                since,
                reserve,
                display,
                price: if pegged { limit } else { price },
                trigger,
                peak,
                expires,
                link: NONE,
            });
        }
        Ok(order)
    }

    fn wrong(&self, field: &'static str, expected: &'static str, got: impl Into<i128>) -> SnapshotError {
        SnapshotError::Order { offset: self.offset, order_id: self.id, field, expected, got: got.into() }
    }

    /// What is true of every order, wherever it stands.
    fn check(&self, exchange: &Exchange, listed: &[u32]) -> Result<(), SnapshotError> {
        use OrderType as T;
        use TimeInForce as F;
        let (rules, terms) = (&exchange.rules, self.terms);
        let need = |is: bool, field, expected, got: i128| {
            if is { Ok(()) } else { Err(self.wrong(field, expected, got)) }
        };
        let on_tick = |price: i64| price != Command::UNSET && price % rules.tick == 0;
        let off_or_unset = |price: i64| price == Command::UNSET || price % rules.tick == 0;
        need(self.id != 0, "order_id", "1 or more", self.id.into())?;
        need(exchange.book.find(self.id).is_none(), "order_id", "every id once", self.id.into())?;
        need(self.size > 0, "size", "1 or more", self.size.into())?;
        let reserve = self.extra.map_or(0, |extra| extra.reserve);
        need(reserve >= 0, "reserve", "0 or more", reserve.into())?;
        let open = i128::from(self.size) + i128::from(reserve);
        need(open <= rules.max_size.into(), "size", "with its reserve at most max_size", open)?;
        let listed = listed.is_empty() || listed.binary_search(&terms.account).is_ok();
        need(listed, "account", "a listed account", terms.account.into())?;

        let (time, state) = (terms.time_in_force, exchange.state);
        let of_type = match terms.order_type {
            T::Limit => true,
            T::Market => matches!(time, F::AtOpen | F::AtClose),
            _ => matches!(time, F::Day | F::Gtc | F::Gtd),
        };
        let lives = match time {
            F::Day => state != State::Closed,
            F::Gtc | F::Gtd => true,
            F::Ioc | F::Fok => false,
            F::AtOpen => state == State::PreOpen,
            F::AtClose if self.place == Where::Close => !matches!(state, State::Closing | State::Closed),
            F::AtClose => state == State::Closing,
        };
        need(of_type && lives, "time_in_force", "one that such an order can have here", i128::from(time as u8))?;
        let placed = match self.place {
            Where::Book => terms.order_type == T::Limit || is_peg(terms.order_type),
            Where::Stop | Where::Pending => is_stop(terms.order_type),
            Where::Close => time == F::AtClose,
            Where::Market => terms.order_type == T::Market,
            Where::Parked => is_peg(terms.order_type),
        };
        need(placed, "order_type", "one that can stand here", i128::from(terms.order_type as u8))?;
        let post =
            terms.post_only == PostOnly::No || terms.order_type == T::Limit && matches!(time, F::Day | F::Gtc | F::Gtd);
        need(post, "post_only", "none for an order of this kind", i128::from(terms.post_only as u8))?;

        let priced = match (self.place, terms.order_type) {
            (Where::Book, _) | (_, T::Limit | T::StopLimit) => on_tick(self.price),
            (_, T::PegPrimary | T::PegMid) => off_or_unset(self.price),
            _ => self.price == Command::UNSET,
        };
        need(priced, "price", "a price on the tick, or none where none belongs", self.price.into())?;
        let hidden = self.flags & HIDDEN != 0;
        let Some(extra) = self.extra else {
            need(self.place == Where::Book, "flags", "the terms of an order outside the book", self.flags.into())?;
            need(time != F::Gtd && !is_peg(terms.order_type), "flags", "the order's terms", self.flags.into())?;
            return need(!hidden, "flags", "the terms of a hidden order", self.flags.into());
        };
        let triggered = match terms.order_type {
            T::Stop | T::StopLimit => on_tick(extra.trigger),
            T::TrailingStop => extra.trigger > 0 && on_tick(extra.trigger),
            T::PegPrimary | T::PegMid => extra.trigger >= 0 && on_tick(extra.trigger),
            _ => extra.trigger == Command::UNSET,
        };
        need(triggered, "trigger", "one on the tick, or none where none belongs", extra.trigger.into())?;
        need(off_or_unset(extra.price), "limit", "a price on the tick, or none", extra.price.into())?;
        let displays = matches!(terms.order_type, T::Limit | T::StopLimit) && matches!(time, F::Day | F::Gtc | F::Gtd);
        let display = extra.display == Command::UNSET || displays && extra.display >= 0;
        need(display, "display", "a slice that such an order can show", extra.display.into())?;
        let hides = self.place == Where::Book && (is_peg(terms.order_type) || extra.display == 0);
        need(hidden == hides, "flags", "hidden as the order's terms say", self.flags.into())?;
        if self.place == Where::Book && extra.display > 0 {
            need(self.size <= extra.display, "size", "at most the displayed slice", self.size.into())?;
        } else {
            need(reserve == 0, "reserve", "0 unless a slice is displayed", reserve.into())?;
        }
        let numbered = extra.entered >= 1 && extra.entered <= extra.rank && extra.rank <= exchange.entries;
        let dated = extra.entered <= extra.since && extra.since <= extra.rank;
        need(numbered, "rank", "entered to entries, from 1", extra.rank.into())?;
        need(dated, "since", "entered to rank", extra.since.into())?;
        let expires =
            if time == F::Gtd { extra.expires != 0 && extra.expires > exchange.clock } else { extra.expires == 0 };
        need(expires, "expires", "a time after the clock for good-till-date, else 0", extra.expires.into())
    }
}

fn listed(rules: &Rules) -> Vec<u32> {
    let mut listed: Vec<u32> = rules.accounts.iter().map(|account| account.id).collect();
    listed.sort_unstable();
    listed
}

/// A place outside the book.
const fn outside(code: u8) -> Option<Where> {
    Some(match code {
        1 => Where::Stop,
        2 => Where::Pending,
        3 => Where::Close,
        4 => Where::Market,
        5 => Where::Parked,
        _ => return None,
    })
}

struct Restoring<'a> {
    exchange: &'a mut Exchange,
    /// Accounts that may trade, in order; empty: all.
    listed: Vec<u32>,
    /// Orders that say that they have an alternative: offset, place, its id.
    links: Vec<(u64, u32, u64)>,
}

impl Restoring<'_> {
    fn state(&mut self, input: &mut Input<'_>) -> Result<(), SnapshotError> {
        let end = begin(input, "STAT")?;
        let exchange = &mut *self.exchange;
        let offset = input.offset();
        let need = |is: bool, field, expected, got: i128| {
            if is { Ok(()) } else { Err(SnapshotError::Value { offset, field, expected, got }) }
        };
        exchange.sequence = input.u64("sequence")?;
        exchange.entries = input.u64("entries")?;
        need(exchange.sequence <= MOST, "sequence", "at most 2^62", exchange.sequence.into())?;
        need(exchange.entries <= MOST, "entries", "at most 2^62", exchange.entries.into())?;
        exchange.state = input.code("state", State::ALL.len(), State::from_code)?;
        exchange.all_killed = input.flag("all_killed")?;
        let clock = input.optional("clock", Input::i64)?;
        need(clock.is_none_or(|clock| clock > 0), "clock", "none, or more than 0", clock.unwrap_or(0).into())?;
        exchange.clock = clock.unwrap_or(0);
        exchange.last = input.optional("last", Input::i64)?;
        exchange.reference = input.optional("reference", Input::i64)?;
        exchange.halted_until = input.optional("halted_until", Input::i64)?;
        if let Some(until) = exchange.halted_until {
            let halted = exchange.state == State::Halted && until >= exchange.clock;
            need(halted, "halted_until", "none, or a time from the clock on while halted", until.into())?;
        }
        if input.flag("peg_quote")? {
            exchange.peg_quote = Some((input.optional("peg bid", Input::i64)?, input.optional("peg ask", Input::i64)?));
        }
        finish(input, end)
    }

    fn accounts(&mut self, input: &mut Input<'_>) -> Result<(), SnapshotError> {
        let end = begin(input, "ACCT")?;
        let mut before = None;
        for _ in 0..input.count("accounts", 17)? {
            let offset = input.offset();
            let account = input.u32("account")?;
            let need = |is: bool, expected| {
                let (field, got) = ("account", i128::from(account));
                if is { Ok(()) } else { Err(SnapshotError::Value { offset, field, expected, got }) }
            };
            need(before.is_none_or(|before| before < account), "a greater number than before")?;
            before = Some(account);
            let standing = self.exchange.accounts.entry(account).or_default();
            standing.killed = input.flag("killed")?;
            standing.window = input.i64("window")?;
            standing.count = input.u32("count")?;
            need(standing.killed || standing.window != 0 || standing.count != 0, "one that did something")?;
        }
        finish(input, end)
    }

    fn book(&mut self, input: &mut Input<'_>, name: &'static str, side: Side) -> Result<(), SnapshotError> {
        let end = begin(input, name)?;
        let mut before: Option<(i64, bool)> = None;
        for _ in 0..input.count("orders", ORDER)? {
            let order = Written::read(input, Some(side))?;
            order.check(self.exchange, &self.listed)?;
            let hidden = order.flags & HIDDEN != 0;
            let new = before.is_none_or(|(price, _)| price != order.price);
            if let Some((price, unseen)) = before {
                let better = if side == Side::Bid { order.price > price } else { order.price < price };
                if better || !new && unseen && !hidden {
                    return Err(order.wrong("price", "the order of the queue", order.price));
                }
            }
            before = Some((order.price, hidden));
            let top = order.flags & TOP != 0;
            if top && (!new || hidden || !self.exchange.has_top()) {
                return Err(order.wrong("flags", "a mark of the head of a queue alone", order.flags));
            }
            let at = self.place(&order)?;
            if !self.exchange.book.join(at, side, order.price, hidden) {
                return Err(order.wrong("size", "sizes at one price below 2^63", order.size));
            }
            if new {
                self.exchange.book.set_top(at, top);
            }
        }
        finish(input, end)
    }

    /// Gives an order that was checked its node and its terms.
    fn place(&mut self, order: &Written) -> Result<u32, SnapshotError> {
        let at = self.exchange.book.park(order.id, order.size, order.terms);
        let at = at.ok_or_else(|| order.wrong("order_id", "fewer than 2^31 orders", order.id))?;
        if let Some(extra) = order.extra {
            self.exchange.attach(at, Extra { at, ..extra });
        }
        if order.link != 0 {
            self.links.push((order.offset, at, order.link));
        }
        Ok(at)
    }

    fn uncrossed(&self, input: &Input<'_>) -> Result<(), SnapshotError> {
        let book = &self.exchange.book;
        match (self.exchange.state, book.best(Side::Bid), book.best(Side::Ask)) {
            (State::Continuous, Some(bid), Some(ask)) if bid >= ask => Err(SnapshotError::Value {
                offset: input.offset(),
                field: "best bid",
                expected: "one below the best ask in continuous trading",
                got: bid.into(),
            }),
            _ => Ok(()),
        }
    }

    fn outside(&mut self, input: &mut Input<'_>) -> Result<(), SnapshotError> {
        let end = begin(input, "WAIT")?;
        let mut before = 0;
        for _ in 0..input.count("orders outside", ORDER)? {
            let order = Written::read(input, None)?;
            order.check(self.exchange, &self.listed)?;
            let rank = order.extra.map_or(0, |extra| extra.rank);
            if rank <= before {
                return Err(order.wrong("rank", "a greater one than before", rank));
            }
            before = rank;
            if order.flags != TERMS {
                return Err(order.wrong("flags", "2 outside the book", order.flags));
            }
            let at = self.place(&order)?;
            let Some(extra) = order.extra else { continue };
            let (exchange, side) = (&mut *self.exchange, order.side as usize);
            match order.place {
                Where::Stop => {
                    exchange.stops[side].insert(extra.stop_key(order.terms.order_type), at);
                    if order.terms.order_type == OrderType::TrailingStop {
                        exchange.trailing[side].insert(rank, at);
                    }
                }
                Where::Close => {
                    exchange.closers.insert(rank, at);
                }
                Where::Market => {
                    exchange.markets[side].insert(rank, at);
                }
                Where::Pending | Where::Parked | Where::Book => {}
            }
        }
        finish(input, end)
    }

    fn pending(&mut self, input: &mut Input<'_>) -> Result<(), SnapshotError> {
        let end = begin(input, "PEND")?;
        let exchange = &mut *self.exchange;
        let mut waiting = exchange.extras.iter().filter(|extra| extra.place == Where::Pending).count();
        for _ in 0..input.count("pending", 8)? {
            let offset = input.offset();
            let id = input.u64("order_id")?;
            let wrong = |expected| SnapshotError::Order {
                offset,
                order_id: id,
                field: "pending",
                expected,
                got: i128::from(id),
            };
            let at = exchange.book.find(id).ok_or_else(|| wrong("a live order"))?;
            if exchange.extra(at).is_none_or(|extra| extra.place != Where::Pending) {
                return Err(wrong("a triggered order"));
            }
            // Once counted, an order is not looked for again; the number of all shows whether one came twice.
            waiting = waiting.checked_sub(1).ok_or_else(|| wrong("every triggered order once"))?;
            exchange.pending.push_back(at);
        }
        let mut once: Vec<u32> = exchange.pending.iter().copied().collect();
        once.sort_unstable();
        once.dedup();
        let (offset, field) = (input.offset(), "pending");
        if waiting != 0 || once.len() != exchange.pending.len() {
            let (expected, got) = ("every triggered order once", exchange.pending.len() as i128);
            return Err(SnapshotError::Value { offset, field, expected, got });
        }
        if exchange.state == State::Continuous && !once.is_empty() {
            let (expected, got) = ("none in continuous trading", once.len() as i128);
            return Err(SnapshotError::Value { offset, field, expected, got });
        }
        finish(input, end)
    }

    fn prints(&mut self, input: &mut Input<'_>) -> Result<(), SnapshotError> {
        let end = begin(input, "PRNT")?;
        let offset = input.offset();
        for _ in 0..input.count("prints", 16)? {
            let print = (input.i64("print")?, input.u64("newest")?);
            if print.1 > self.exchange.entries {
                let (expected, got) = ("at most entries", i128::from(print.1));
                return Err(SnapshotError::Value { offset, field: "newest", expected, got });
            }
            self.exchange.prints.push_back(print);
        }
        let got = self.exchange.prints.len() as i128;
        if self.exchange.state == State::Continuous && got != 0 {
            let expected = "none in continuous trading";
            return Err(SnapshotError::Value { offset, field: "prints", expected, got });
        }
        finish(input, end)
    }

    /// Links name live orders of the same account, which name them.
    fn links(&mut self) -> Result<(), SnapshotError> {
        let exchange = &mut *self.exchange;
        for &(offset, at, other) in &self.links {
            let (order_id, account) = (exchange.book.node(at).id, exchange.book.node(at).tag.account);
            let wrong =
                |expected| SnapshotError::Order { offset, order_id, field: "link", expected, got: other.into() };
            let partner = exchange.book.find(other).ok_or_else(|| wrong("a live order"))?;
            if partner == at || exchange.book.node(partner).tag.account != account {
                return Err(wrong("another order of the same account"));
            }
            if let Some(extra) = exchange.extra_mut(at) {
                extra.link = partner;
            }
        }
        exchange.links = self.links.len() / 2;
        for &(offset, at, other) in &self.links {
            let partner = exchange.extra(at).map_or(NONE, |extra| extra.link);
            if exchange.extra(partner).is_none_or(|extra| extra.link != at) {
                let (order_id, expected) = (exchange.book.node(at).id, "an order that is linked to this one");
                return Err(SnapshotError::Order { offset, order_id, field: "link", expected, got: other.into() });
            }
        }
        Ok(())
    }

    /// No two orders came at once, and pegged orders are known by when they came.
    fn numbers(&mut self, input: &Input<'_>) -> Result<(), SnapshotError> {
        let exchange = &mut *self.exchange;
        for (field, number) in
            [("entered", (|extra| extra.entered) as fn(&Extra) -> u64), ("rank", |extra: &Extra| extra.rank)]
        {
            let mut all: Vec<u64> = exchange.extras.iter().map(number).collect();
            all.sort_unstable();
            if let Some(pair) = all.windows(2).find(|pair| pair[0] == pair[1]) {
                let (offset, expected, got) = (input.offset(), "every number once", i128::from(pair[0]));
                return Err(SnapshotError::Value { offset, field, expected, got });
            }
        }
        for extra in &exchange.extras {
            if is_peg(exchange.book.node(extra.at).tag.order_type) {
                exchange.pegs.insert(extra.rank, extra.at);
            }
        }
        Ok(())
    }
}
