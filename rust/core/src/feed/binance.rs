//! Binance spot, USD-M and COIN-M: depth changes, REST depth snapshots, `bookTicker`, trades and mark prices.
//!
//! Depth, quotes and trades are read by a byte scanner in one pass; whatever it is not sure of goes to `serde_json`,
//! which also decides what is an error. `ts_event` is the engine's time `T` where a message has it, else the event time
//! `E`; the spot `bookTicker` has neither. A message is applied as a whole or not at all.

mod read;
mod scan;

use memchr::memmem;

pub use self::read::Decimals;
use self::read::Failure;
use super::scan::Scale;
use super::sync::{Held, Joint, Level, Span, State};
use super::{Command, FeedError, FeedErrorKind, Outcome};
use crate::event::{Event, Flags, Kind};
use crate::instrument::{Instrument, Venue};
use crate::tape::Tape;
use crate::units::{Nanos, Price, Side, Size};

/// What one frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    Depth(Span),
    Snapshot { last: u64, ts_event: Nanos },
    Quote { ts_event: Nanos, sequence: u64, bid: (i64, i64), ask: (i64, i64) },
    Trade { ts_event: Nanos, id: u64, price: i64, size: i64, side: Side, market: bool },
    Mark { ts_event: Nanos, mark: i64, index: Option<i64>, funding: Option<(i64, i64)> },
    Other,
}

/// One symbol of the connection.
#[derive(Debug)]
struct Stream {
    symbol: String,
    instrument: u32,
    price: Scale,
    size: Scale,
    state: State,
    held: Held,
    last_trade: Option<u64>,
    last_quote: u64,
    /// How many trades and quotes in a row were older than the last that was taken.
    older: [u8; 2],
    /// The depth messages applied last: a repetition is one of them.
    recent: [Span; RECENT],
    next_recent: usize,
}

/// A quote or trade with an older id than the last is a repetition. So many in a row mean that the last one's id was
/// wrong: one flipped digit must not silence a stream.
const OLDER: u8 = 3;
const TRADE: usize = 0;
const QUOTE: usize = 1;
const RECENT: usize = 8;

/// One connection to Binance: frames in, events and commands out.
#[derive(Debug)]
pub struct Binance {
    venue: Venue,
    streams: Vec<Stream>,
    levels: Vec<Level>,
    commands: Vec<Command>,
}

impl Binance {
    /// A feed of these instruments, each with the index that its events carry. Instruments of other venues are left out.
    #[must_use]
    pub fn new<'a>(venue: Venue, instruments: impl IntoIterator<Item = (u32, &'a Instrument)>) -> Self {
        let streams = instruments
            .into_iter()
            .filter(|(_, instrument)| instrument.venue == venue)
            .map(|(index, instrument)| Stream {
                symbol: instrument.symbol.clone(),
                instrument: index,
                price: Scale::new(instrument.price_unit),
                size: Scale::new(instrument.size_unit),
                state: State::Waiting,
                held: Held::default(),
                last_trade: None,
                last_quote: 0,
                older: [0; 2],
                recent: [Span::default(); RECENT],
                next_recent: 0,
            })
            .collect();
        Self { venue, streams, levels: Vec::new(), commands: Vec::new() }
    }

    /// What the feed asks for since the last call.
    pub fn commands(&mut self) -> impl Iterator<Item = Command> + '_ {
        self.commands.drain(..)
    }

    /// Whether the book of an instrument can be built from the events so far.
    #[must_use]
    pub fn is_synced(&self, instrument: u32) -> bool {
        self.streams.iter().any(|s| s.instrument == instrument && matches!(s.state, State::Synced { .. }))
    }

    /// Reads one frame, or the body of a REST depth snapshot, and appends its events to `out`.
    ///
    /// # Errors
    /// [`FeedError`] if the frame cannot be used. Nothing of it is applied then; if it was a depth message, a `Gap`
    /// flagged [`Flags::OURS`] is appended and the book waits for the next snapshot.
    pub fn on_frame(&mut self, ts_recv: Nanos, frame: &[u8], out: &mut Tape) -> Result<Outcome, FeedError> {
        let mut levels = std::mem::take(&mut self.levels);
        let decoded = match self.scan(frame, &mut levels) {
            Some(found) => Ok(found),
            None => self.read(frame, &mut levels),
        };
        let outcome = match decoded {
            Ok((at, message)) => Ok(self.accept(at, message, ts_recv, &levels, out)),
            Err(failure) => {
                self.lose(&failure, ts_recv, frame, out);
                Err(failure.error)
            }
        };
        self.levels = levels;
        outcome
    }

    /// Says that whatever came after the last frame is lost to us: a `Gap` flagged [`Flags::OURS`] for every instrument, in
    /// its book and its quotes. Books wait for the next snapshot.
    pub fn on_loss(&mut self, ts_recv: Nanos, out: &mut Tape) {
        for stream in &mut self.streams {
            let first = if let State::Synced { last, .. } = stream.state { last.saturating_add(1) } else { 0 };
            stream.gap((first, 0), Nanos::UNKNOWN, ts_recv, Flags::OURS, out);
            self.commands.push(Command::FetchSnapshot { instrument: stream.instrument });
        }
    }

    fn accept(&mut self, at: usize, message: Message, ts_recv: Nanos, levels: &[Level], out: &mut Tape) -> Outcome {
        let Some(stream) = self.streams.get_mut(at) else { return Outcome::Other };
        match message {
            Message::Depth(span) => stream.on_depth(span, ts_recv, levels, out, &mut self.commands),
            Message::Snapshot { last, ts_event } => {
                stream.on_snapshot(last, ts_event, ts_recv, levels, out, &mut self.commands)
            }
            Message::Quote { ts_event, sequence, bid, ask } => {
                if sequence < stream.last_quote && stream.repeats(QUOTE) {
                    return Outcome::Repeated;
                }
                stream.last_quote = sequence;
                stream.older[QUOTE] = 0;
                let mut event = stream.event(Kind::Quote, ts_event, ts_recv, sequence);
                (event.side, event.price, event.size) = (Some(Side::Bid), Price(bid.0), Size(bid.1));
                out.push(&event);
                (event.side, event.price, event.size) = (Some(Side::Ask), Price(ask.0), Size(ask.1));
                event.flags = Flags::LAST;
                out.push(&event);
                Outcome::Quote
            }
            Message::Trade { ts_event, id, price, size, side, market } => {
                let last_trade = stream.last_trade;
                match last_trade {
                    Some(last) if id == last || (id < last && stream.repeats(TRADE)) => return Outcome::Repeated,
                    Some(last) if id.wrapping_sub(last) != 1 => {
                        // Where ids run back, we took trades for repetitions that were none.
                        let (first, end, ours) =
                            if id > last { (last + 1, id - 1, Flags::NONE) } else { (0, 0, Flags::OURS) };
                        let mut gap = stream.event(Kind::Gap, ts_event, ts_recv, first);
                        (gap.order_id, gap.flags) = (end, Flags::LAST.union(Flags::TRADES).union(ours));
                        out.push(&gap);
                    }
                    _ => {}
                }
                stream.last_trade = Some(id);
                stream.older[TRADE] = 0;
                // Liquidations paid by the insurance fund and the like are no trades in the book.
                if !market {
                    return Outcome::Other;
                }
                let mut event = stream.event(Kind::Trade, ts_event, ts_recv, id);
                (event.side, event.price, event.size) = (Some(side), Price(price), Size(size));
                event.flags = Flags::LAST;
                out.push(&event);
                Outcome::Trade
            }
            Message::Mark { ts_event, mark, index, funding } => {
                let values = [
                    Some((Kind::Mark, mark, 0)),
                    index.map(|value| (Kind::Index, value, 0)),
                    funding.map(|(rate, due)| (Kind::Funding, rate, due)),
                ];
                let last = values.iter().flatten().count() - 1;
                for (i, (kind, value, due)) in values.into_iter().flatten().enumerate() {
                    let mut event = stream.event(kind, ts_event, ts_recv, 0);
                    (event.price, event.size) = (Price(value), Size(due));
                    event.flags = if i == last { Flags::LAST } else { Flags::NONE };
                    out.push(&event);
                }
                Outcome::Mark
            }
            Message::Other => Outcome::Other,
        }
    }

    /// A frame is lost to us. If it may have been a depth message, say so at once: the book is wrong from here on.
    fn lose(&mut self, failure: &Failure, ts_recv: Nanos, frame: &[u8], out: &mut Tape) {
        let depth = failure.depth || memmem::find(frame, b"depthUpdate").is_some();
        // Another symbol's message takes nothing from ours; if the name was damaged, the ids will tell.
        let other = failure.error.kind == FeedErrorKind::UnknownSymbol && !failure.error.symbol.is_empty();
        if !depth || other {
            return;
        }
        for (at, stream) in self.streams.iter_mut().enumerate() {
            if let (true, State::Synced { last, .. }) = (failure.stream.is_none_or(|known| known == at), &stream.state)
            {
                stream.gap((last.saturating_add(1), 0), Nanos::UNKNOWN, ts_recv, Flags::OURS, out);
                self.commands.push(Command::FetchSnapshot { instrument: stream.instrument });
            }
        }
    }

    fn find(&self, symbol: &[u8]) -> Option<usize> {
        self.streams.iter().position(|stream| stream.symbol.as_bytes() == symbol)
    }
}

/// The aggressor's side from Binance's `m`, "the buyer is the maker".
const fn aggressor(buyer_is_maker: bool) -> Side {
    if buyer_is_maker { Side::Ask } else { Side::Bid }
}

/// Binance's times are in ms, or in µs where the connection asked for them; ms stay below 10^14 until the year 5138.
fn nanos(time: u64) -> Option<Nanos> {
    let per = if time < 100_000_000_000_000 { 1_000_000 } else { 1_000 };
    i64::try_from(time).ok()?.checked_mul(per).map(Nanos)
}

impl Stream {
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

    fn remember(&mut self, span: Span) {
        self.recent[self.next_recent % RECENT] = span;
        self.next_recent = (self.next_recent + 1) % RECENT;
    }

    fn gap(&mut self, (first, last): (u64, u64), ts_event: Nanos, ts_recv: Nanos, flags: Flags, out: &mut Tape) {
        let mut event = self.event(Kind::Gap, ts_event, ts_recv, first);
        event.order_id = last;
        event.flags = flags.union(Flags::LAST);
        out.push(&event);
        self.state = State::Waiting;
        self.held.clear();
    }

    fn on_depth(
        &mut self,
        span: Span,
        ts_recv: Nanos,
        levels: &[Level],
        out: &mut Tape,
        commands: &mut Vec<Command>,
    ) -> Outcome {
        if let State::Synced { last, fresh } = self.state {
            match span.joint(last, fresh) {
                Joint::Repeated if fresh || self.recent.contains(&span) => return Outcome::Repeated,
                // Older, yet never seen: an id that we took for good was wrong.
                Joint::Repeated => self.gap((span.first, 0), span.ts_event, ts_recv, Flags::OURS, out),
                Joint::Joins => {
                    self.state = State::Synced { last: span.last, fresh: false };
                    self.remember(span);
                    self.emit(span, ts_recv, Flags::NONE, levels, out);
                    return Outcome::Depth;
                }
                Joint::Gap(first, last) => self.gap((first, last), span.ts_event, ts_recv, Flags::NONE, out),
            }
        }
        if self.held.front().is_none() {
            commands.push(Command::FetchSnapshot { instrument: self.instrument });
        }
        self.held.push(span, levels);
        Outcome::Held
    }

    fn on_snapshot(
        &mut self,
        id: u64,
        ts_event: Nanos,
        ts_recv: Nanos,
        levels: &[Level],
        out: &mut Tape,
        commands: &mut Vec<Command>,
    ) -> Outcome {
        match self.state {
            State::Synced { last, .. } if id <= last => return Outcome::Repeated,
            _ => {}
        }
        if let Some(Joint::Gap(..)) = self.held.trim(id) {
            // Older than everything held: the changes between are missing, so another one is needed.
            commands.push(Command::FetchSnapshot { instrument: self.instrument });
            return Outcome::Held;
        }
        let mut clear = self.event(Kind::Clear, ts_event, ts_recv, id);
        clear.flags = if levels.is_empty() { Flags::SNAPSHOT.union(Flags::LAST) } else { Flags::SNAPSHOT };
        out.push(&clear);
        let span = Span { first: id, last: id, previous: None, ts_event };
        self.emit(span, ts_recv, Flags::SNAPSHOT, levels, out);
        self.state = State::Synced { last: id, fresh: true };

        let mut replayed = Vec::new();
        while let (Some(span), State::Synced { last, fresh }) = (self.held.front(), &self.state) {
            match span.joint(*last, *fresh) {
                Joint::Gap(first, last) => {
                    // The stream itself was broken while it waited. What follows the break may still join a later one.
                    let held = std::mem::take(&mut self.held);
                    self.gap((first, last), span.ts_event, ts_recv, Flags::NONE, out);
                    self.held = held;
                    commands.push(Command::FetchSnapshot { instrument: self.instrument });
                }
                joint => {
                    self.held.pop(&mut replayed);
                    if joint == Joint::Joins {
                        self.state = State::Synced { last: span.last, fresh: false };
                        self.remember(span);
                        self.emit(span, ts_recv, Flags::REPLAYED, &replayed, out);
                    }
                }
            }
        }
        Outcome::Snapshot
    }

    /// Appends the levels of one message, column by column.
    fn emit(&self, span: Span, ts_recv: Nanos, flags: Flags, levels: &[Level], out: &mut Tape) {
        let rows = out.len() + levels.len();
        out.ts_event.resize(rows, span.ts_event.0);
        out.ts_recv.resize(rows, ts_recv.0);
        out.sequence.resize(rows, span.last);
        out.order_id.resize(rows, 0);
        out.price.extend(levels.iter().map(|level| level.price));
        out.size.extend(levels.iter().map(|level| level.size));
        out.instrument.resize(rows, self.instrument);
        out.kind.resize(rows, Kind::Level as u8);
        out.side.extend(levels.iter().map(|level| level.side as u8));
        out.flags.resize(rows, flags.0);
        if let (false, Some(last)) = (levels.is_empty(), out.flags.last_mut()) {
            *last |= Flags::LAST.0;
        }
    }
}

#[cfg(test)]
mod tests;
