//! One instrument of a connection: its units, its book's continuity, its events.

use std::mem;

use rustc_hash::FxHashMap;

use super::checksum::Checksum;
use super::json::Decimal;
use super::link::{Held, Joint, Waiting};
use super::message::{self, Change, Link};
use super::protocol::{Protocol, SnapshotFrom};
use super::{FeedErrorKind, Outcome};
use crate::book::PriceBook;
use crate::event::{Event, Flags, Kind};
use crate::instrument::Instrument;
use crate::tape::Tape;
use crate::units::{Nanos, POW10, Price, Side, Size, Unit, UnitError};

/// A quote or trade with an older id than the last is a repetition. So many in a row mean that the last one's id was
/// wrong: one flipped digit must not silence a stream.
const OLDER: u8 = 3;
const TRADE: usize = 0;
const QUOTE: usize = 1;
const BOOK: usize = 2;
/// So many links of the messages applied last are remembered: a repetition is one of them.
const RECENT: usize = 8;
/// More resting orders of one instrument than this are no order book.
const MAX_ORDERS: usize = 1 << 22;
/// `⌊2^64 / 10^n⌋ + 1`: the high word of its product with a multiple of `10^n` is the quotient.
const INVERSE: [u64; 19] = {
    let mut table = [0_u64; 19];
    let mut i = 1;
    while i < 19 {
        table[i] = u64::MAX / POW10[i].unsigned_abs() + 1;
        i += 1;
    }
    table
};

/// Why data is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The venue's ids have a hole.
    Sequence,
    /// The book's checksum is not the venue's.
    Checksum,
    /// A frame could not be read.
    Malformed,
    /// The connection was lost.
    Disconnect,
    /// We could not keep up, or could not write.
    Overflow,
    /// The book is crossed by levels that the venue failed to retract.
    Crossed,
    /// The venue refused the subscription.
    Refused,
}

impl Cause {
    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sequence => "sequence",
            Self::Checksum => "checksum",
            Self::Malformed => "malformed",
            Self::Disconnect => "disconnect",
            Self::Overflow => "overflow",
            Self::Crossed => "crossed",
            Self::Refused => "refused",
        }
    }
}

/// What the ids of a gap count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapUnit {
    /// Updates of the book.
    Updates,
    /// Frames of the connection.
    Frames,
    /// Trades.
    Trades,
    /// Nothing: how much is missing is not known.
    Unknown,
}

impl GapUnit {
    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Updates => "updates",
            Self::Frames => "frames",
            Self::Trades => "trades",
            Self::Unknown => "unknown",
        }
    }
}

/// Data that is missing, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GapRecord {
    /// Index of the instrument.
    pub instrument: u32,
    /// Why.
    pub cause: Cause,
    /// Whether we lost it, not the venue.
    pub ours: bool,
    /// What `first` and `last` count.
    pub unit: GapUnit,
    /// First missing id, 0 where unknown.
    pub first: u64,
    /// Last missing id, 0 where unknown.
    pub last: u64,
    /// Our clock when it was noticed.
    pub from: Nanos,
    /// Our clock when the book was good again; `None` as long as it is not.
    pub until: Option<Nanos>,
}

/// What became of an instrument's messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Depth messages applied, without those held for a snapshot.
    pub depth: u64,
    /// Depth messages that came while a snapshot was awaited.
    pub held: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Snapshots of a book that was known: the venue began anew.
    pub resets: u64,
    /// Best bid and ask messages.
    pub quotes: u64,
    /// Trades.
    pub trades: u64,
    /// Mark, index, volatility and funding messages.
    pub marks: u64,
    /// Messages already known.
    pub repeated: u64,
    /// Depth messages and snapshots that ids or a checksum prove to be the next.
    pub verified: u64,
    /// Depth messages and snapshots that nothing proves.
    pub unverifiable: u64,
    /// Checksums that agree.
    pub checksums: u64,
    /// Checksums that do not.
    pub checksum_failures: u64,
    /// `Gap` events that make the book unknown.
    pub gaps: u64,
    /// `Gap` events in the trades alone.
    pub trade_gaps: u64,
    /// Snapshots and subscriptions asked for because the book was lost.
    pub resyncs: u64,
    /// The first and the last id of the book.
    pub first_id: u64,
    /// See `first_id`.
    pub last_id: u64,
}

/// How a decimal of a text becomes a count of one unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    unit: Unit,
    /// Decimals of a unit of the form `10^-decimals`; `None` for every other unit.
    decimals: Option<i32>,
}

impl Scale {
    pub(super) fn new(unit: Unit) -> Self {
        let plain = unit.mantissa() == 1 && unit.exponent() <= 0;
        Self { unit, decimals: plain.then(|| -i32::from(unit.exponent())) }
    }

    #[inline]
    pub(super) fn count(&self, decimal: Decimal) -> Result<i64, UnitError> {
        if let Some(decimals) = self.decimals {
            let shift = decimals + i32::from(decimal.exponent);
            let step = usize::try_from(shift.unsigned_abs()).unwrap_or(usize::MAX);
            let exact = if shift >= 0 {
                POW10.get(step).and_then(|power| decimal.digits.checked_mul(power.unsigned_abs()))
            } else {
                POW10.get(step).zip(INVERSE.get(step)).and_then(|(power, inverse)| {
                    #[allow(clippy::cast_possible_truncation)] // the high word
                    let count = ((u128::from(decimal.digits) * u128::from(*inverse)) >> 64) as u64;
                    (count.wrapping_mul(power.unsigned_abs()) == decimal.digits).then_some(count)
                })
            };
            if let Some(Ok(count)) = exact.map(i64::try_from) {
                return Ok(if decimal.negative { -count } else { count });
            }
        }
        self.slow(decimal)
    }

    #[cold]
    fn slow(&self, decimal: Decimal) -> Result<i64, UnitError> {
        let (mut digits, mut exponent) = (decimal.digits, i32::from(decimal.exponent));
        // The unit's own reader strips the zeros of a fraction; here they are still in the digits.
        while exponent < 0 && digits != 0 && digits.is_multiple_of(10) {
            digits /= 10;
            exponent += 1;
        }
        self.unit.count(decimal.negative, digits, exponent)
    }
}

/// A value of a mark price and the like in 1e-10, rounded half away from zero: venues print some with 17 digits.
fn in_1e10(decimal: Decimal) -> Option<i64> {
    let shift = 10 + i32::from(decimal.exponent);
    let power = usize::try_from(shift.unsigned_abs()).ok().and_then(|shift| POW10.get(shift));
    let value = match power {
        Some(power) if shift >= 0 => decimal.digits.checked_mul(power.unsigned_abs())?,
        Some(power) => {
            let power = power.unsigned_abs();
            decimal.digits / power + u64::from(decimal.digits % power >= power / 2)
        }
        None if shift < 0 || decimal.digits == 0 => 0,
        None => return None,
    };
    let value = i64::try_from(value).ok()?;
    Some(if decimal.negative { -value } else { value })
}

/// A level in units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Set {
    pub side: Side,
    pub price: i64,
    pub size: i64,
}

/// A change of an order in units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub change: Change,
    pub id: u64,
    pub side: Option<Side>,
    pub price: Option<i64>,
    pub size: Option<i64>,
}

/// Why a number of a message was refused, and where it stands.
pub(super) struct Refusal {
    pub at: usize,
    pub field: &'static str,
    /// `None`: below zero.
    pub error: Option<UnitError>,
}

impl Refusal {
    pub(super) fn kind(&self, text: String) -> FeedErrorKind {
        match self.error {
            Some(error) => FeedErrorKind::Decimal { field: self.field, text, error },
            None => FeedErrorKind::NegativeSize { field: self.field, text },
        }
    }
}

/// How far a book can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Changes wait for a snapshot, or are passed over until it comes in the stream.
    Waiting,
    /// The book is good up to an id; `fresh`: no change has joined since the snapshot.
    Synced { last: u64, fresh: bool },
}

/// The book itself, where a rule needs it: to verify a checksum, to cut what falls out of its depth, to see it cross.
#[derive(Debug)]
struct Proof {
    book: PriceBook,
    checksum: Option<Checksum>,
    /// Levels of each side that the venue keeps; 0: all.
    depth: usize,
    cuts: bool,
    count: [usize; 2],
    cut: Vec<Set>,
}

impl Proof {
    fn clear(&mut self) {
        self.book.clear();
        self.count = [0; 2];
        if let Some(checksum) = &mut self.checksum {
            checksum.forget();
        }
    }

    #[inline]
    fn set(&mut self, set: Set) {
        if self.cuts {
            let before = self.book.size_at(set.side, Price(set.price)).0 != 0;
            let count = &mut self.count[set.side as usize];
            match (before, set.size != 0) {
                (false, true) => *count += 1,
                (true, false) => *count -= 1,
                _ => {}
            }
        }
        self.book.update(set.side, Price(set.price), Size(set.size));
        if let Some(checksum) = &mut self.checksum {
            checksum.set(set.side, set.price, set.size);
        }
    }

    /// Removes what fell out of the depth, into `cut`.
    #[inline]
    fn trim(&mut self) {
        self.cut.clear();
        if !self.cuts || self.depth == 0 {
            return;
        }
        for side in [Side::Bid, Side::Ask] {
            if self.count[side as usize] > self.depth {
                let out = self.book.levels(side).skip(self.depth);
                self.cut.extend(out.map(|(price, _)| Set { side, price: price.0, size: 0 }));
            }
        }
        for at in 0..self.cut.len() {
            if let Some(&set) = self.cut.get(at) {
                self.set(set);
            }
        }
    }
}

/// So many gaps are listed; later ones are counted only.
const MAX_GAPS: usize = 1 << 20;

/// Where a stream's results go.
pub(super) struct Sink<'a> {
    pub out: &'a mut Tape,
    pub gaps: &'a mut Vec<GapRecord>,
    /// Set where a snapshot is wanted.
    pub wanted: &'a mut bool,
    pub ts_recv: Nanos,
    /// Whether the frames of this connection have numbers.
    pub counted: bool,
}

impl Sink<'_> {
    fn list(&mut self, gap: GapRecord) {
        if self.gaps.len() < MAX_GAPS {
            self.gaps.push(gap);
        }
    }
}

/// What a message says of a book, beside its levels or orders.
#[derive(Clone, Copy, Debug)]
pub(super) struct BookMessage {
    pub snapshot: bool,
    pub link: Link,
    pub checksum: Option<u32>,
    pub ts_event: Nanos,
}

/// One instrument of a connection.
#[derive(Debug)]
pub(super) struct Stream {
    pub symbol: String,
    pub instrument: u32,
    pub counts: Counts,
    /// Our clock at its last message of any kind.
    pub last_recv: Nanos,
    /// Whether the venue refused it: then nobody asks again.
    pub refused: bool,
    /// A snapshot is needed.
    pub wanted: bool,
    /// When it was last asked for, if it has not come yet.
    pub asked: Option<Nanos>,
    protocol: &'static Protocol,
    price: Scale,
    size: Scale,
    state: State,
    /// Whether there are events since the last gap, so that another loss must be marked.
    live: bool,
    /// The place of this stream's last open gap in the session's list.
    open_gap: Option<usize>,
    levels: Held<Set>,
    orders: Held<Moved>,
    resting: FxHashMap<u64, Set>,
    proof: Option<Box<Proof>>,
    last_trade: Option<u64>,
    last_quote: u64,
    /// How many trades and quotes in a row were older than the last that was taken.
    older: [u8; 3],
    recent: [Link; RECENT],
    next_recent: usize,
}

impl Stream {
    pub(super) fn new(protocol: &'static Protocol, instrument: u32, known: &Instrument, depth: u16) -> Self {
        let depth = if depth == 0 { protocol.depth } else { depth };
        let needs_book = protocol.checksum.is_some() || protocol.cuts || protocol.cross_resyncs;
        let proof = needs_book.then(|| {
            Box::new(Proof {
                book: PriceBook::new(),
                checksum: protocol.checksum.map(|rule| Checksum::new(rule, known.price_unit, known.size_unit)),
                depth: usize::from(depth),
                cuts: protocol.cuts,
                count: [0; 2],
                cut: Vec::new(),
            })
        });
        Self {
            symbol: known.symbol.clone(),
            instrument,
            counts: Counts::default(),
            last_recv: Nanos::UNKNOWN,
            refused: false,
            wanted: false,
            asked: None,
            protocol,
            price: Scale::new(known.price_unit),
            size: Scale::new(known.size_unit),
            state: State::Waiting,
            live: false,
            open_gap: None,
            levels: Held::default(),
            orders: Held::default(),
            resting: FxHashMap::default(),
            proof,
            last_trade: None,
            last_quote: 0,
            older: [0; 3],
            recent: [Link::None; RECENT],
            next_recent: 0,
        }
    }

    /// Whether the next trade shows by its id that one is missing.
    pub(super) const fn counts_trades(&self) -> bool {
        self.protocol.counts_trades && self.last_trade.is_some()
    }

    pub(super) const fn is_synced(&self) -> bool {
        matches!(self.state, State::Synced { .. })
    }

    /// The book where the session keeps one.
    pub(super) fn book(&self) -> Option<&PriceBook> {
        self.proof.as_ref().map(|proof| &proof.book)
    }

    /// Learns how deep the venue's book is.
    pub(super) fn learn_depth(&mut self, depth: u16) {
        if let Some(proof) = &mut self.proof {
            proof.depth = usize::from(depth);
        }
    }

    /// Levels of a message in units; all of them or none.
    #[inline]
    pub(super) fn sets(&self, levels: &[message::Level], out: &mut Vec<Set>) -> Result<(), Refusal> {
        out.clear();
        for level in levels {
            let price = self.price(level.price)?;
            let size = self.size(level.size)?;
            out.push(Set { side: level.side, price, size });
        }
        Ok(())
    }

    /// Orders of a message in units; all of them or none.
    pub(super) fn moved(&self, orders: &[message::Order], out: &mut Vec<Moved>) -> Result<(), Refusal> {
        out.clear();
        for order in orders {
            let price = order.price.map(|price| self.price(price)).transpose()?;
            let size = order.size.map(|size| self.size(size)).transpose()?;
            out.push(Moved { change: order.change, id: order.id, side: order.side, price, size });
        }
        Ok(())
    }

    #[inline]
    pub(super) fn price(&self, price: Decimal) -> Result<i64, Refusal> {
        self.price.count(price).map_err(|error| Refusal { at: price.at as usize, field: "price", error: Some(error) })
    }

    #[inline]
    pub(super) fn size(&self, size: Decimal) -> Result<i64, Refusal> {
        match self.size.count(size) {
            Ok(count) if count >= 0 => Ok(count),
            Ok(_) => Err(Refusal { at: size.at as usize, field: "size", error: None }),
            Err(error) => Err(Refusal { at: size.at as usize, field: "size", error: Some(error) }),
        }
    }

    /// Sees how the venue writes this message's first level.
    #[inline]
    pub(super) fn see_text(&mut self, levels: &[message::Level]) {
        if let (Some(level), Some(proof)) = (levels.first(), &mut self.proof)
            && let Some(checksum) = &mut proof.checksum
        {
            checksum.see(&level.price, &level.size);
        }
    }

    fn event(&self, kind: Kind, ts_event: Nanos, ts_recv: Nanos, sequence: u64) -> Event {
        Event {
            ts_event,
            ts_recv,
            sequence,
            order_id: 0,
            price: Price(0),
            size: Size(0),
            instrument: self.instrument,
            kind,
            side: None,
            flags: Flags::NONE,
        }
    }

    /// Whether a trade or quote with an older id repeats one that was taken; see [`OLDER`].
    fn repeats(&mut self, kind: usize) -> bool {
        let Some(older) = self.older.get_mut(kind) else { return true };
        *older += 1;
        *older < OLDER
    }

    #[inline]
    fn remember(&mut self, link: Link) {
        self.recent[self.next_recent % RECENT] = link;
        self.next_recent = (self.next_recent + 1) % RECENT;
        self.counts.last_id = link.last();
    }

    /// Says that data is missing, unless that is said already, and waits for a snapshot.
    pub(super) fn gap(
        &mut self,
        cause: Cause,
        ids: (u64, u64, GapUnit),
        ts_event: Nanos,
        ours: bool,
        sink: &mut Sink<'_>,
    ) {
        let (first, last, unit) = ids;
        if mem::take(&mut self.live) {
            let mut event = self.event(Kind::Gap, ts_event, sink.ts_recv, first);
            event.order_id = last;
            event.flags = if ours { Flags::LAST.union(Flags::OURS) } else { Flags::LAST };
            sink.out.push(&event);
            self.counts.gaps += 1;
            let (instrument, from, until) = (self.instrument, sink.ts_recv, None);
            self.open_gap = self.open_gap.or(Some(sink.gaps.len()));
            sink.list(GapRecord { instrument, cause, ours, unit, first, last, from, until });
        }
        self.state = State::Waiting;
        self.want(sink);
        self.levels.clear();
        self.orders.clear();
        self.resting.clear();
    }

    fn want(&mut self, sink: &mut Sink<'_>) {
        self.wanted = true;
        *sink.wanted = true;
    }

    /// The ids after what is known: what a loss of unknown size takes.
    pub(super) const fn missing(&self) -> (u64, u64, GapUnit) {
        match self.state {
            State::Synced { last, .. } => (last.saturating_add(1), 0, GapUnit::Unknown),
            State::Waiting => (0, 0, GapUnit::Unknown),
        }
    }

    /// A loss in the trades alone.
    pub(super) fn trade_gap(
        &mut self,
        ids: (u64, u64),
        ts_event: Nanos,
        cause: Cause,
        ours: bool,
        sink: &mut Sink<'_>,
    ) {
        let mut gap = self.event(Kind::Gap, ts_event, sink.ts_recv, ids.0);
        let marks = Flags::LAST.union(Flags::TRADES);
        (gap.order_id, gap.flags) = (ids.1, if ours { marks.union(Flags::OURS) } else { marks });
        sink.out.push(&gap);
        self.counts.trade_gaps += 1;
        let (instrument, from) = (self.instrument, sink.ts_recv);
        let (unit, until) = (GapUnit::Trades, Some(from));
        sink.list(GapRecord { instrument, cause, ours, unit, first: ids.0, last: ids.1, from, until });
    }

    /// Forgets ids that count anew on a new connection.
    pub(super) fn reopen(&mut self) {
        self.last_quote = 0;
        self.older = [0; 3];
        if !self.protocol.counts_trades {
            self.last_trade = None;
        }
    }

    pub(super) fn on_quote(
        &mut self,
        ts_event: Nanos,
        sequence: u64,
        sides: [Option<(i64, i64)>; 2],
        sink: &mut Sink<'_>,
    ) -> Outcome {
        if sequence != 0 {
            // Ids begin anew at 1 when a venue's service restarts.
            if sequence < self.last_quote && sequence != 1 && self.repeats(QUOTE) {
                self.counts.repeated += 1;
                return Outcome::Repeated;
            }
            self.last_quote = sequence;
            self.older[QUOTE] = 0;
        }
        let mut event = self.event(Kind::Quote, ts_event, sink.ts_recv, sequence);
        for (side, quote) in [Side::Bid, Side::Ask].into_iter().zip(sides) {
            let Some((price, size)) = quote else { continue };
            (event.side, event.price, event.size) = (Some(side), Price(price), Size(size));
            event.flags = if side == Side::Ask || sides[1].is_none() { Flags::LAST } else { Flags::NONE };
            sink.out.push(&event);
        }
        self.live = true;
        self.counts.quotes += 1;
        Outcome::Quote
    }

    pub(super) fn on_trade(
        &mut self,
        ts_event: Nanos,
        id: u64,
        trade: (i64, i64, Option<Side>),
        silent: bool,
        sink: &mut Sink<'_>,
    ) -> Outcome {
        let last_trade = self.last_trade;
        match last_trade {
            _ if id == 0 => {}
            Some(last) if id == last => {
                self.counts.repeated += 1;
                return Outcome::Repeated;
            }
            Some(last) if self.protocol.counts_trades => {
                if id < last && (silent || self.repeats(TRADE)) {
                    self.counts.repeated += 1;
                    return Outcome::Repeated;
                }
                if id.wrapping_sub(last) != 1 {
                    // Where ids run back, we took trades for repetitions that were none.
                    let forward = id > last;
                    let ids = if forward { (last + 1, id - 1) } else { (0, 0) };
                    self.trade_gap(ids, ts_event, Cause::Sequence, !forward, sink);
                }
            }
            _ => {}
        }
        if id != 0 {
            self.last_trade = Some(id);
            self.older[TRADE] = 0;
        }
        if silent {
            return Outcome::Other;
        }
        let mut event = self.event(Kind::Trade, ts_event, sink.ts_recv, id);
        (event.price, event.size, event.side) = (Price(trade.0), Size(trade.1), trade.2);
        event.flags = Flags::LAST;
        sink.out.push(&event);
        self.live = true;
        self.counts.trades += 1;
        Outcome::Trade
    }

    /// Values that are no prices of the book, in 1e-10; one that does not fit is left out.
    pub(super) fn on_mark(
        &mut self,
        ts_event: Nanos,
        values: [(Kind, Option<Decimal>, i64); 4],
        sink: &mut Sink<'_>,
    ) -> Outcome {
        let values = values.into_iter().filter_map(|(kind, value, due)| Some((kind, in_1e10(value?)?, due)));
        let before = sink.out.len();
        for (kind, value, due) in values {
            let mut event = self.event(kind, ts_event, sink.ts_recv, 0);
            (event.price, event.size) = (Price(value), Size(due));
            sink.out.push(&event);
        }
        if let (true, Some(flags)) = (sink.out.len() > before, sink.out.flags.last_mut()) {
            *flags |= Flags::LAST.0;
            self.live = true;
        }
        self.counts.marks += 1;
        Outcome::Mark
    }

    /// Trading began (price 1) or stopped (price 0).
    pub(super) fn on_status(&mut self, ts_event: Nanos, trading: bool, sink: &mut Sink<'_>) {
        let mut event = self.event(Kind::Status, ts_event, sink.ts_recv, 0);
        event.price = Price(i64::from(trading));
        event.flags = Flags::LAST;
        sink.out.push(&event);
    }

    /// The checksum of the book as it now stands came by itself.
    pub(super) fn on_checksum(&mut self, ts_event: Nanos, expected: u32, sink: &mut Sink<'_>) -> Outcome {
        if !self.is_synced() {
            return Outcome::Other;
        }
        if self.agrees(Some(expected)) {
            return Outcome::Other;
        }
        self.gap(Cause::Checksum, self.missing(), ts_event, false, sink);
        Outcome::Gap
    }

    fn agrees(&mut self, expected: Option<u32>) -> bool {
        let (Some(expected), Some(proof)) = (expected, &mut self.proof) else { return true };
        let Some(checksum) = &mut proof.checksum else { return true };
        let agrees = checksum.of(&proof.book) == expected;
        *if agrees { &mut self.counts.checksums } else { &mut self.counts.checksum_failures } += 1;
        agrees
    }

    fn count_check(&mut self, link: Link, checksum: Option<u32>, sink: &Sink<'_>) {
        let checked = self.protocol.checksum.is_some() && checksum.is_some();
        let linked = self.protocol.links && !matches!(link, Link::None | Link::At(_));
        let verified = checked || linked || (self.protocol.counts_frames && sink.counted);
        *if verified { &mut self.counts.verified } else { &mut self.counts.unverifiable } += 1;
    }

    /// Levels of a message, already in units.
    #[inline]
    pub(super) fn on_levels(&mut self, message: BookMessage, sets: &mut Vec<Set>, sink: &mut Sink<'_>) -> Outcome {
        if message.snapshot {
            return match self.protocol.snapshot {
                SnapshotFrom::Rest => self.join_levels(message, sets, sink),
                SnapshotFrom::Stream | SnapshotFrom::EveryMessage => self.replace_levels(message, sets, sink),
            };
        }
        match self.judge(message, sink) {
            Verdict::Apply => {
                let sequence = message.link.last();
                if self.prove(message, sets, sink) {
                    self.emit(message.ts_event, sequence, Flags::NONE, sets, sink)
                } else {
                    return Outcome::Gap;
                }
                self.counts.depth += 1;
                self.count_check(message.link, message.checksum, sink);
                Outcome::Depth
            }
            Verdict::Hold => {
                if self.protocol.snapshot == SnapshotFrom::Rest {
                    self.levels.push(Waiting { link: message.link, ts_event: message.ts_event }, sets);
                }
                self.want(sink);
                self.counts.held += 1;
                Outcome::Held
            }
            Verdict::Lost => {
                if self.protocol.snapshot == SnapshotFrom::Rest {
                    self.levels.push(Waiting { link: message.link, ts_event: message.ts_event }, sets);
                }
                Outcome::Gap
            }
            Verdict::Repeated => Outcome::Repeated,
        }
    }

    /// Where a change stands to what is known; moves on if it joins, says a gap if it does not.
    #[inline]
    fn judge(&mut self, message: BookMessage, sink: &mut Sink<'_>) -> Verdict {
        let State::Synced { last, fresh } = self.state else { return Verdict::Hold };
        let link = message.link;
        match link.joint(last, fresh) {
            Joint::Joins => {
                let last = if link == Link::None { last } else { link.last() };
                self.state = State::Synced { last, fresh: false };
                self.remember(link);
                Verdict::Apply
            }
            Joint::Repeated if fresh => self.repeat(),
            Joint::Repeated | Joint::Gap(..) if self.recent.contains(&link) => self.repeat(),
            // Older, yet never seen: an id that we took for good was wrong.
            Joint::Repeated => {
                let ids = (link.last(), 0, GapUnit::Unknown);
                self.gap(Cause::Sequence, ids, message.ts_event, true, sink);
                Verdict::Lost
            }
            Joint::Gap(first, last) => {
                let unit = if last == 0 { GapUnit::Unknown } else { GapUnit::Updates };
                self.gap(Cause::Sequence, (first, last, unit), message.ts_event, false, sink);
                Verdict::Lost
            }
        }
    }

    fn repeat(&mut self) -> Verdict {
        self.counts.repeated += 1;
        Verdict::Repeated
    }

    /// Applies a change to the book that proves it, if there is one. What falls out of the depth is appended to `sets`.
    /// False if the book is wrong: a gap is said then.
    #[inline]
    fn prove(&mut self, message: BookMessage, sets: &mut Vec<Set>, sink: &mut Sink<'_>) -> bool {
        let Some(proof) = &mut self.proof else { return true };
        for &set in sets.iter() {
            proof.set(set);
        }
        proof.trim();
        sets.extend_from_slice(&proof.cut);
        let crossed = self.protocol.cross_resyncs && proof.book.quote().is_crossed();
        if crossed || !self.agrees(message.checksum) {
            let cause = if crossed { Cause::Crossed } else { Cause::Checksum };
            self.gap(cause, self.missing(), message.ts_event, false, sink);
            return false;
        }
        true
    }

    /// A snapshot in the stream: all that is known is replaced.
    fn replace_levels(&mut self, message: BookMessage, sets: &mut Vec<Set>, sink: &mut Sink<'_>) -> Outcome {
        let every = self.protocol.snapshot == SnapshotFrom::EveryMessage;
        if let (State::Synced { last, .. }, Link::At(at)) = (self.state, message.link)
            && every
            && at < last
        {
            if self.repeats(BOOK) {
                self.counts.repeated += 1;
                return Outcome::Repeated;
            }
            // The last one's time was wrong, and what came since was passed over.
            self.gap(Cause::Sequence, (0, 0, GapUnit::Unknown), message.ts_event, true, sink);
        }
        self.older[BOOK] = 0;
        if let Some(proof) = &mut self.proof {
            proof.clear();
        }
        // A book that cannot be proved is not shown. Whatever was known before it is void too.
        if !self.prove(message, sets, sink) {
            return Outcome::Gap;
        }
        let reset = self.is_synced() && !every;
        self.counts.resets += u64::from(reset);
        self.begin(message, sink);
        self.emit_snapshot(message, sets, sink);
        self.count_check(message.link, message.checksum, sink);
        if every {
            self.counts.depth += 1;
            return Outcome::Depth;
        }
        self.counts.snapshots += 1;
        Outcome::Snapshot
    }

    /// The book is good again from this snapshot on.
    fn begin(&mut self, message: BookMessage, sink: &mut Sink<'_>) {
        let last = message.link.last();
        if self.counts.first_id == 0 {
            self.counts.first_id = last;
        }
        // Ids that begin anew: what was seen of the old ones repeats nothing.
        if last < self.counts.last_id {
            self.recent = [Link::None; RECENT];
        }
        self.counts.last_id = last;
        self.state = State::Synced { last, fresh: true };
        // Whatever was refused, the book is there.
        (self.wanted, self.asked, self.refused) = (false, None, false);
        if let Some(open) = self.open_gap.take() {
            let this = self.instrument;
            let mine = sink.gaps.iter_mut().skip(open).filter(|gap| gap.instrument == this && gap.until.is_none());
            mine.for_each(|gap| gap.until = Some(sink.ts_recv));
        }
    }

    fn emit_snapshot(&mut self, message: BookMessage, sets: &[Set], sink: &mut Sink<'_>) {
        let sequence = message.link.last();
        self.emit_clear(message.ts_event, sequence, sets.is_empty(), sink);
        self.emit(message.ts_event, sequence, Flags::SNAPSHOT, sets, sink);
    }

    fn emit_clear(&mut self, ts_event: Nanos, sequence: u64, alone: bool, sink: &mut Sink<'_>) {
        let mut clear = self.event(Kind::Clear, ts_event, sink.ts_recv, sequence);
        clear.flags = if alone { Flags::SNAPSHOT.union(Flags::LAST) } else { Flags::SNAPSHOT };
        sink.out.push(&clear);
        self.live = true;
    }

    /// A REST snapshot: joins the changes that were held.
    fn join_levels(&mut self, message: BookMessage, sets: &mut Vec<Set>, sink: &mut Sink<'_>) -> Outcome {
        let id = message.link.last();
        // A book that its changes prove needs no other; what looks like one may be a partial book.
        if let State::Synced { last, fresh } = self.state
            && (id <= last || (self.protocol.links && !fresh))
        {
            self.counts.repeated += 1;
            return Outcome::Repeated;
        }
        if let Some(Joint::Gap(..)) = self.levels.trim(id) {
            // Older than everything held: the changes between are missing, so another one is needed.
            self.asked = None;
            self.want(sink);
            self.counts.held += 1;
            return Outcome::Held;
        }
        if let Some(proof) = &mut self.proof {
            proof.clear();
        }
        if !self.prove(message, sets, sink) {
            return Outcome::Gap;
        }
        self.counts.resets += u64::from(self.is_synced());
        self.begin(message, sink);
        self.emit_snapshot(message, sets, sink);
        self.count_check(message.link, message.checksum, sink);
        self.counts.snapshots += 1;
        while let (Some(waiting), State::Synced { last, fresh }) = (self.levels.front(), self.state) {
            let (link, ts_event) = (waiting.link, waiting.ts_event);
            match link.joint(last, fresh) {
                Joint::Gap(first, last) => {
                    // The stream itself was broken while it waited. What follows the break may still join a later one.
                    let held = mem::take(&mut self.levels);
                    let unit = if last == 0 { GapUnit::Unknown } else { GapUnit::Updates };
                    self.gap(Cause::Sequence, (first, last, unit), ts_event, false, sink);
                    self.levels = held;
                }
                joint => {
                    self.levels.pop(sets);
                    if joint == Joint::Joins {
                        self.state = State::Synced { last: link.last(), fresh: false };
                        self.remember(link);
                        let message = BookMessage { snapshot: false, link, checksum: None, ts_event };
                        let held = mem::take(&mut self.levels);
                        let good = self.prove(message, sets, sink);
                        self.levels = held;
                        if good {
                            self.emit(ts_event, link.last(), Flags::REPLAYED, sets, sink);
                            self.count_check(link, None, sink);
                        }
                    }
                }
            }
        }
        Outcome::Snapshot
    }

    /// Appends the levels of one message, column by column.
    #[inline]
    fn emit(&mut self, ts_event: Nanos, sequence: u64, flags: Flags, sets: &[Set], sink: &mut Sink<'_>) {
        let out = &mut *sink.out;
        let rows = out.len() + sets.len();
        out.ts_event.resize(rows, ts_event.0);
        out.ts_recv.resize(rows, sink.ts_recv.0);
        out.sequence.resize(rows, sequence);
        out.order_id.resize(rows, 0);
        out.price.extend(sets.iter().map(|set| set.price));
        out.size.extend(sets.iter().map(|set| set.size));
        out.instrument.resize(rows, self.instrument);
        out.kind.resize(rows, Kind::Level as u8);
        out.side.extend(sets.iter().map(|set| set.side as u8));
        out.flags.resize(rows, flags.0);
        if let (false, Some(last)) = (sets.is_empty(), out.flags.last_mut()) {
            *last |= Flags::LAST.0;
        }
        self.live = true;
    }

    /// Orders of a message, already in units.
    pub(super) fn on_orders(&mut self, message: BookMessage, orders: &mut Vec<Moved>, sink: &mut Sink<'_>) -> Outcome {
        if message.snapshot {
            return self.join_orders(message, orders, sink);
        }
        let rest = self.protocol.snapshot == SnapshotFrom::Rest;
        match self.judge(message, sink) {
            Verdict::Apply => {
                self.emit_orders(message.ts_event, message.link.last(), Flags::NONE, orders, sink);
                self.counts.depth += 1;
                self.count_check(message.link, None, sink);
                Outcome::Depth
            }
            verdict @ (Verdict::Hold | Verdict::Lost) => {
                if rest {
                    self.orders.push(Waiting { link: message.link, ts_event: message.ts_event }, orders);
                }
                self.want(sink);
                if verdict == Verdict::Lost {
                    return Outcome::Gap;
                }
                self.counts.held += 1;
                Outcome::Held
            }
            Verdict::Repeated => Outcome::Repeated,
        }
    }

    fn join_orders(&mut self, message: BookMessage, orders: &mut Vec<Moved>, sink: &mut Sink<'_>) -> Outcome {
        let rest = self.protocol.snapshot == SnapshotFrom::Rest;
        if rest && self.is_synced() {
            self.counts.repeated += 1;
            return Outcome::Repeated;
        }
        let id = message.link.last();
        if let (true, Some(Joint::Gap(..))) = (rest, self.orders.trim(id)) {
            self.asked = None;
            self.want(sink);
            self.counts.held += 1;
            return Outcome::Held;
        }
        self.counts.resets += u64::from(self.is_synced());
        self.resting.clear();
        if let Some(proof) = &mut self.proof {
            proof.clear();
        }
        self.begin(message, sink);
        self.emit_clear(message.ts_event, id, orders.is_empty(), sink);
        self.emit_orders(message.ts_event, id, Flags::SNAPSHOT, orders, sink);
        self.count_check(message.link, None, sink);
        self.counts.snapshots += 1;
        while let (Some(waiting), State::Synced { last, fresh }) = (self.orders.front(), self.state) {
            let (link, ts_event) = (waiting.link, waiting.ts_event);
            match link.joint(last, fresh) {
                Joint::Gap(first, last) => {
                    let held = mem::take(&mut self.orders);
                    self.gap(Cause::Sequence, (first, last, GapUnit::Unknown), ts_event, false, sink);
                    self.orders = held;
                }
                joint => {
                    self.orders.pop(orders);
                    if joint == Joint::Joins {
                        self.state = State::Synced { last: link.last(), fresh: false };
                        self.remember(link);
                        self.emit_orders(ts_event, link.last(), Flags::REPLAYED, orders, sink);
                        self.count_check(link, None, sink);
                    }
                }
            }
        }
        Outcome::Snapshot
    }

    /// Appends the changes of one message. An order that nobody named before and that is not fully described cannot be in
    /// the book: it was placed and left before the snapshot, or never rested.
    fn emit_orders(&mut self, ts_event: Nanos, sequence: u64, flags: Flags, orders: &[Moved], sink: &mut Sink<'_>) {
        let before = sink.out.len();
        for moved in orders {
            let known = self.resting.get(&moved.id).copied();
            let side = moved.side.or(known.map(|order| order.side));
            let price = moved.price.or(known.map(|order| order.price));
            let size = moved.size.or(known.map(|order| order.size));
            let (Some(side), Some(price), Some(size)) = (side, price, size) else { continue };
            let kind = match (moved.change, known) {
                (Change::Cancel, None) => continue,
                (Change::Cancel, Some(_)) => Kind::Cancel,
                (_, Some(_)) if size == 0 => Kind::Cancel,
                (_, None) if size == 0 => continue,
                (_, Some(_)) => Kind::Modify,
                (_, None) => Kind::Add,
            };
            if kind == Kind::Cancel {
                self.resting.remove(&moved.id);
            } else if self.resting.len() < MAX_ORDERS || known.is_some() {
                self.resting.insert(moved.id, Set { side, price, size });
            } else {
                self.gap(Cause::Overflow, self.missing(), ts_event, true, sink);
                return;
            }
            let mut event = self.event(kind, ts_event, sink.ts_recv, sequence);
            (event.order_id, event.side) = (moved.id, Some(side));
            (event.price, event.size, event.flags) = (Price(price), Size(size), flags);
            sink.out.push(&event);
        }
        if let (true, Some(last)) = (sink.out.len() > before, sink.out.flags.last_mut()) {
            *last |= Flags::LAST.0;
        }
        self.live = true;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Apply,
    Hold,
    Lost,
    Repeated,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(digits: u64, exponent: i8) -> Decimal {
        Decimal { digits, exponent, at: 0, negative: false }
    }

    #[test]
    fn a_decimal_becomes_a_count_exactly_or_is_refused() {
        let cents = Scale::new(Unit::decimals(2));
        assert_eq!(cents.count(decimal(6_183_763_000_000, -8)), Ok(6_183_763));
        assert_eq!(cents.count(decimal(6_183_763_000_001, -8)), Err(UnitError::OffUnit(Unit::decimals(2))));
        assert_eq!(cents.count(decimal(61_837, 0)), Ok(6_183_700));
        assert_eq!(cents.count(decimal(u64::MAX, 0)), Err(UnitError::Overflow(Unit::decimals(2))));
        assert_eq!(cents.count(decimal(0, -30)), Ok(0));
        let halves = Scale::new(Unit::new(5, -1).expect("a unit"));
        assert_eq!(halves.count(decimal(618_005, -1)), Ok(123_601));
        assert_eq!(halves.count(decimal(6_180_050, -2)), Ok(123_601));
    }

    #[test]
    fn the_quotient_by_a_power_of_ten_needs_no_division() {
        for step in 1..19 {
            let power = POW10[step].unsigned_abs();
            for count in [1, 9, 10, u64::MAX / power, u64::MAX / power - 1] {
                for digits in [count * power, count * power - 1] {
                    #[allow(clippy::cast_possible_truncation)] // the high word
                    let quotient = ((u128::from(digits) * u128::from(INVERSE[step])) >> 64) as u64;
                    assert_eq!(quotient * power == digits, digits % power == 0, "{digits} / {power}");
                }
            }
        }
    }

    #[test]
    fn a_mark_price_is_rounded_to_a_tenth_of_a_billionth() {
        assert_eq!(in_1e10(decimal(12, -1)), Some(12_000_000_000));
        assert_eq!(in_1e10(decimal(15, -11)), Some(2));
        assert_eq!(in_1e10(decimal(14, -11)), Some(1));
        assert_eq!(in_1e10(decimal(u64::MAX, 0)), None);
    }
}
