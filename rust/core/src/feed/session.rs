//! One connection to one venue: frames in, events and commands out.

use std::borrow::Cow;

use memchr::memmem;
use rustc_hash::FxHashMap;

use super::json::{Fault, FaultKind, plain};
use super::message::{Body, Frame, Message, Symbol};
use super::protocol::{Channel, Dialect, Protocol, SnapshotFrom};
use super::stream::{BookMessage, Cause, Counts, GapRecord, GapUnit, Moved, Refusal, Set, Sink, Stream};
use super::{FeedError, FeedErrorKind, Outcome};
use crate::book::PriceBook;
use crate::event::Kind;
use crate::instrument::Instrument;
use crate::tape::Tape;
use crate::units::Nanos;

/// What a session asks of whoever owns the sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Send this text.
    Send(String),
    /// Fetch the REST snapshot of this instrument: [`Session::snapshot_path`], then [`Session::on_snapshot`], or
    /// [`Session::on_snapshot_failed`].
    FetchSnapshot {
        /// Index of the instrument.
        instrument: u32,
    },
    /// Open a new connection: the venue closes this one, or it is silent.
    Reconnect {
        /// Why.
        reason: &'static str,
    },
}

/// One connection to one venue.
#[derive(Debug)]
pub struct Session {
    protocol: &'static Protocol,
    dialect: Box<dyn Dialect>,
    channels: Vec<Channel>,
    depth: u16,
    streams: Vec<Stream>,
    /// Whether data of other instruments is passed over.
    passes_others: bool,
    by_symbol: FxHashMap<Box<[u8]>, usize>,
    by_instrument: FxHashMap<u32, usize>,
    frame: Frame,
    sets: Vec<Set>,
    moved: Vec<Moved>,
    commands: Vec<Command>,
    gaps: Vec<GapRecord>,
    /// The number of the last frame on the connection.
    counter: Option<u64>,
    /// How many frames in a row had a number that was there before.
    older: u64,
    /// Whether a stream wants a snapshot.
    wanted: bool,
    /// Whether a socket is there: then what is needed is asked for.
    open: bool,
    /// When the first of the snapshots that were asked for in the stream is overdue.
    due: i64,
    last_recv: Nanos,
    last_sent: Nanos,
    frames: u64,
    errors: u64,
    other: u64,
}

impl Session {
    /// A frame whose number lies this far behind, or so many in a row that lie behind, are no repetitions: the numbers
    /// begin anew, or the last one was wrong.
    const BEHIND: u64 = 8;
    /// A larger frame is refused: no venue sends one.
    pub const MAX_FRAME: usize = 64 << 20;
    /// A snapshot that was asked for in the stream and did not come is asked for again after this time.
    const PATIENCE: i64 = 10_000_000_000;
    /// The same for one by REST, which may lag half a minute.
    const REST_PATIENCE: i64 = 60_000_000_000;
    /// A REST snapshot that did not serve is followed by another one after this time.
    const REST_PAUSE: i64 = 500_000_000;

    /// A session of these instruments, each with the index that its events carry. Instruments of other venues are left
    /// out.
    #[must_use]
    pub fn new<'a>(protocol: &'static Protocol, instruments: impl IntoIterator<Item = (u32, &'a Instrument)>) -> Self {
        Self::with(protocol, instruments, &[Channel::Book, Channel::Trades, Channel::Quotes], 0)
    }

    /// As [`Self::new`], with the channels to subscribe and the depth of the book (0: the protocol's own).
    #[must_use]
    pub fn with<'a>(
        protocol: &'static Protocol,
        instruments: impl IntoIterator<Item = (u32, &'a Instrument)>,
        channels: &[Channel],
        depth: u16,
    ) -> Self {
        let mut session = Self {
            protocol,
            dialect: (protocol.dialect)(),
            channels: channels.to_vec(),
            depth,
            streams: Vec::new(),
            passes_others: false,
            by_symbol: FxHashMap::default(),
            by_instrument: FxHashMap::default(),
            frame: Frame::default(),
            sets: Vec::new(),
            moved: Vec::new(),
            commands: Vec::new(),
            gaps: Vec::new(),
            counter: None,
            older: 0,
            wanted: false,
            open: false,
            due: i64::MAX,
            last_recv: Nanos::UNKNOWN,
            last_sent: Nanos::UNKNOWN,
            frames: 0,
            errors: 0,
            other: 0,
        };
        for (index, instrument) in instruments {
            if instrument.venue == protocol.venue {
                let at = session.streams.len();
                session.by_symbol.insert(instrument.symbol.as_bytes().into(), at);
                session.by_instrument.insert(index, at);
                session.streams.push(Stream::new(protocol, index, instrument, depth));
            }
        }
        session
    }

    /// Passes over the data of instruments that this session was not given, instead of refusing it.
    #[must_use]
    pub const fn without_others(mut self) -> Self {
        self.passes_others = true;
        self
    }

    /// The protocol.
    #[must_use]
    pub const fn protocol(&self) -> &'static Protocol {
        self.protocol
    }

    /// What the session asks for since the last call.
    pub fn commands(&mut self) -> impl Iterator<Item = Command> + '_ {
        self.commands.drain(..)
    }

    /// Whether the book of an instrument can be built from the events so far.
    #[must_use]
    pub fn is_synced(&self, instrument: u32) -> bool {
        self.stream(instrument).is_some_and(Stream::is_synced)
    }

    /// The book of an instrument, where the protocol's rules need one here (checksums, cut depth); `None` elsewhere.
    #[must_use]
    pub fn book(&self, instrument: u32) -> Option<&PriceBook> {
        self.stream(instrument).and_then(Stream::book)
    }

    /// What became of an instrument's messages so far.
    #[must_use]
    pub fn counts(&self, instrument: u32) -> Counts {
        self.stream(instrument).map(|stream| stream.counts).unwrap_or_default()
    }

    /// Our clock at an instrument's last message; [`Nanos::UNKNOWN`] before the first.
    #[must_use]
    pub fn last_message(&self, instrument: u32) -> Nanos {
        self.stream(instrument).map_or(Nanos::UNKNOWN, |stream| stream.last_recv)
    }

    /// Frames read, frames that could not be used, frames without market data.
    #[must_use]
    pub const fn frames(&self) -> (u64, u64, u64) {
        (self.frames, self.errors, self.other)
    }

    /// What was missing so far.
    #[must_use]
    pub fn gaps(&self) -> &[GapRecord] {
        &self.gaps
    }

    /// The indices of the instruments.
    pub fn instruments(&self) -> impl Iterator<Item = u32> + '_ {
        self.streams.iter().map(|stream| stream.instrument)
    }

    /// The address of an instrument's REST snapshot below a REST server's; `None` where the protocol has none.
    #[must_use]
    pub fn snapshot_path(&self, instrument: u32) -> Option<String> {
        let stream = self.stream(instrument)?;
        let depth = if self.depth == 0 { self.protocol.depth } else { self.depth };
        self.protocol.snapshot_path_of(&stream.symbol, depth)
    }

    /// The instrument whose REST snapshot an address stands for.
    #[must_use]
    pub fn instrument_at(&self, url: &str) -> Option<u32> {
        let symbol = self.protocol.symbol_at(url)?;
        self.by_symbol.get(symbol.as_bytes()).and_then(|&at| self.streams.get(at)).map(|stream| stream.instrument)
    }

    fn stream(&self, instrument: u32) -> Option<&Stream> {
        self.by_instrument.get(&instrument).and_then(|&at| self.streams.get(at))
    }

    /// A connection was opened: everything is subscribed.
    pub fn on_open(&mut self, ts_recv: Nanos) {
        self.dialect.reset();
        self.counter = None;
        self.open = true;
        (self.last_recv, self.last_sent) = (ts_recv, ts_recv);
        for stream in &mut self.streams {
            stream.reopen();
            stream.refused = false;
            let rest = self.protocol.snapshot == SnapshotFrom::Rest;
            // A stream's snapshot comes with the subscription; one by REST is asked for once there are changes to join.
            (stream.wanted, stream.asked) = (!rest, (!rest).then_some(ts_recv));
        }
        self.due = i64::MAX;
        if self.protocol.snapshot == SnapshotFrom::Stream {
            self.due = ts_recv.0.saturating_add(Self::PATIENCE);
        }
        let every: Vec<usize> = (0..self.streams.len()).collect();
        self.subscribe(true, &every, None);
    }

    fn subscribe(&mut self, on: bool, streams: &[usize], only: Option<Channel>) {
        let symbols: Vec<&str> =
            streams.iter().filter_map(|&at| self.streams.get(at)).map(|stream| stream.symbol.as_str()).collect();
        let channels = only.map_or_else(|| self.channels.clone(), |channel| vec![channel]);
        let depth = if self.depth == 0 { self.protocol.depth } else { self.depth };
        let mut texts = Vec::new();
        self.dialect.subscribe(on, &symbols, &channels, depth, &mut texts);
        self.commands.extend(texts.into_iter().map(Command::Send));
    }

    /// The connection is lost: a `Gap` flagged [`crate::event::Flags::OURS`] for every instrument that had data, and books
    /// wait for the next snapshot.
    pub fn on_close(&mut self, ts_recv: Nanos, out: &mut Tape) {
        self.open = false;
        self.lose_all(Cause::Disconnect, ts_recv, out);
    }

    /// Frames of this connection were lost by us, between the last one given here and the next.
    pub fn on_overflow(&mut self, ts_recv: Nanos, out: &mut Tape) {
        self.counter = None;
        self.lose_all(Cause::Overflow, ts_recv, out);
        if self.open {
            self.ask(ts_recv);
        }
    }

    fn lose_all(&mut self, cause: Cause, ts_recv: Nanos, out: &mut Tape) {
        let mut sink =
            Sink { out, gaps: &mut self.gaps, wanted: &mut self.wanted, ts_recv, counted: self.counter.is_some() };
        for stream in &mut self.streams {
            // What was asked for by REST still comes: at most one is under way.
            if cause == Cause::Disconnect || self.protocol.snapshot != SnapshotFrom::Rest {
                stream.asked = None;
            }
            stream.gap(cause, stream.missing(), Nanos::UNKNOWN, true, &mut sink);
        }
    }

    /// Reads one frame and appends its events to `out`.
    ///
    /// # Errors
    /// [`FeedError`] if the frame, or a message in it, cannot be used. Nothing of that message is applied then; if it was
    /// about a book, or may have been, a `Gap` flagged [`crate::event::Flags::OURS`] is appended and the book waits for
    /// the next snapshot.
    #[inline]
    pub fn on_frame(&mut self, ts_recv: Nanos, frame: &[u8], out: &mut Tape) -> Result<Outcome, FeedError> {
        self.frames += 1;
        self.last_recv = ts_recv;
        self.frame.clear();
        let read = if frame.len() > Self::MAX_FRAME {
            Err(Fault { at: Self::MAX_FRAME, kind: FaultKind::Expected("a frame of at most 64 MiB") })
        } else {
            self.dialect.read(frame, &mut self.frame)
        };
        let outcome = match read {
            Ok(()) => self.accept(frame, None, ts_recv, out),
            Err(fault) if fault.kind == FaultKind::Escape => self.read_plain(fault, frame, ts_recv, out),
            Err(fault) => Err(self.lose(fault, frame, ts_recv, out)),
        };
        if self.open {
            if ts_recv.0 > self.due {
                self.remind(ts_recv);
            }
            self.ask(ts_recv);
        }
        outcome
    }

    /// A frame with escapes: read once more without them.
    #[cold]
    fn read_plain(&mut self, fault: Fault, frame: &[u8], ts_recv: Nanos, out: &mut Tape) -> Result<Outcome, FeedError> {
        let Some(frame) = plain(frame) else {
            return Err(self.lose(fault, frame, ts_recv, out));
        };
        self.frame.clear();
        match self.dialect.read(&frame, &mut self.frame) {
            Ok(()) => self.accept(&frame, None, ts_recv, out),
            Err(fault) => Err(self.lose(fault, &frame, ts_recv, out)),
        }
    }

    /// Reads the body of a REST snapshot of an instrument.
    ///
    /// # Errors
    /// [`FeedError`] if it cannot be used. Nothing is lost then: another one is asked for.
    pub fn on_snapshot(
        &mut self,
        ts_recv: Nanos,
        instrument: u32,
        body: &[u8],
        out: &mut Tape,
    ) -> Result<Outcome, FeedError> {
        self.frame.clear();
        let Some(&at) = self.by_instrument.get(&instrument) else {
            return Ok(Outcome::Other);
        };
        let mut read = self.dialect.read_snapshot(body, &mut self.frame);
        let mut body = Cow::Borrowed(body);
        if let Err(Fault { kind: FaultKind::Escape, .. }) = read
            && let Some(text) = plain(&body)
        {
            self.frame.clear();
            read = self.dialect.read_snapshot(&text, &mut self.frame);
            body = Cow::Owned(text);
        }
        let outcome = match read {
            Ok(()) => self.accept(&body, Some(at), ts_recv, out),
            Err(fault) => {
                self.errors += 1;
                let symbol = self.streams.get(at).map(|stream| stream.symbol.clone()).unwrap_or_default();
                Err(self.error(&fault, symbol, 0))
            }
        };
        if let Some(stream) = self.streams.get_mut(at) {
            // Another one is asked for, if need be, when time has gone by: a server that is behind is not asked at once.
            stream.asked = stream.wanted.then_some(Nanos(ts_recv.0 - Self::REST_PATIENCE + Self::REST_PAUSE));
        }
        outcome
    }

    /// A REST snapshot did not come. It is asked for again at the next [`Self::on_time`].
    pub fn on_snapshot_failed(&mut self, instrument: u32) {
        if let Some(stream) = self.by_instrument.get(&instrument).and_then(|&at| self.streams.get_mut(at)) {
            stream.asked = None;
        }
    }

    /// Snapshots that did not come in the stream are asked for again. By the times of the frames, not by [`Self::on_time`]:
    /// asking changes what a dialect remembers, so that a replay has to ask when the live session did.
    #[cold]
    fn remind(&mut self, now: Nanos) {
        self.due = i64::MAX;
        for stream in self.streams.iter_mut().filter(|stream| stream.wanted) {
            match stream.asked {
                Some(asked) if now.0.saturating_sub(asked.0) > Self::PATIENCE => {
                    stream.asked = None;
                    self.wanted = true;
                }
                Some(asked) => self.due = self.due.min(asked.0.saturating_add(Self::PATIENCE)),
                None => {}
            }
        }
    }

    /// Time goes by: messages that keep the connection open, and REST snapshots that did not come are asked for again.
    /// Call it about once a second. No event depends on it.
    pub fn on_time(&mut self, now: Nanos) {
        if !self.open {
            return;
        }
        let seconds = |count: u16| i64::from(count) * 1_000_000_000;
        if let Some(keep) = self.protocol.keep_alive
            && now.0 - self.last_sent.0 >= seconds(keep.every)
        {
            self.last_sent = now;
            self.commands.push(Command::Send(keep.text.to_owned()));
        }
        if now.0 - self.last_recv.0 > seconds(self.protocol.silence) {
            self.open = false;
            self.commands.push(Command::Reconnect { reason: "silent" });
            return;
        }
        if self.protocol.snapshot != SnapshotFrom::Rest {
            return;
        }
        for stream in &mut self.streams {
            if stream.asked.is_some_and(|asked| now.0 - asked.0 > Self::REST_PATIENCE) {
                stream.asked = None;
            }
        }
        self.ask_now(now);
    }

    /// Asks for the snapshots that are wanted and not asked for yet: at most one at a time an instrument.
    #[inline]
    fn ask(&mut self, now: Nanos) {
        if std::mem::take(&mut self.wanted) {
            self.ask_now(now);
        }
    }

    #[cold]
    fn ask_now(&mut self, now: Nanos) {
        if !self.channels.contains(&Channel::Book) {
            return;
        }
        let mut again = Vec::new();
        for (at, stream) in self.streams.iter_mut().enumerate() {
            if !stream.wanted || stream.asked.is_some() || stream.refused {
                continue;
            }
            stream.asked = Some(now);
            stream.counts.resyncs += 1;
            match self.protocol.snapshot {
                SnapshotFrom::Rest => self.commands.push(Command::FetchSnapshot { instrument: stream.instrument }),
                SnapshotFrom::Stream => {
                    self.due = self.due.min(now.0.saturating_add(Self::PATIENCE));
                    again.push(at);
                }
                // The next message is one.
                SnapshotFrom::EveryMessage => {}
            }
        }
        if !again.is_empty() {
            self.subscribe(false, &again, Some(Channel::Book));
            self.subscribe(true, &again, Some(Channel::Book));
        }
    }

    /// Applies what a frame says. `asked`: the stream whose snapshot it is.
    #[inline]
    fn accept(
        &mut self,
        text: &[u8],
        asked: Option<usize>,
        ts_recv: Nanos,
        out: &mut Tape,
    ) -> Result<Outcome, FeedError> {
        if let Some(counter) = self.frame.counter
            && self.protocol.counts_frames
            && !self.count(counter, ts_recv, out)
        {
            return Ok(Outcome::Repeated);
        }
        if !self.frame.answers.is_empty() {
            self.commands.extend(self.frame.answers.drain(..).map(Command::Send));
        }
        let frame = std::mem::take(&mut self.frame);
        let mut result = Ok(Outcome::Other);
        for message in &frame.messages {
            match self.apply(message, &frame, text, asked, ts_recv, out) {
                // The last that says something; an error stays.
                Ok(Outcome::Other) => {}
                Ok(outcome) => {
                    if result.is_ok() {
                        result = Ok(outcome);
                    }
                }
                Err(error) => result = Err(error),
            }
        }
        self.frame = frame;
        match result {
            Ok(Outcome::Other) => self.other += 1,
            Ok(_) => {}
            Err(_) => self.errors += 1,
        }
        result
    }

    /// Counts a numbered frame. False if it was there before.
    #[inline]
    fn count(&mut self, counter: u64, ts_recv: Nanos, out: &mut Tape) -> bool {
        let gap = match self.counter {
            Some(last) if counter <= last => {
                self.older += 1;
                if last - counter < Self::BEHIND && self.older < Self::BEHIND {
                    return false;
                }
                Some(((0, 0, GapUnit::Unknown), true))
            }
            Some(last) if counter > last + 1 => Some(((last + 1, counter - 1, GapUnit::Frames), false)),
            _ => None,
        };
        if let Some((ids, ours)) = gap {
            let mut sink =
                Sink { out, gaps: &mut self.gaps, wanted: &mut self.wanted, ts_recv, counted: self.counter.is_some() };
            for stream in &mut self.streams {
                stream.gap(Cause::Sequence, ids, Nanos::UNKNOWN, ours, &mut sink);
            }
        }
        (self.counter, self.older) = (Some(counter), 0);
        true
    }

    #[inline]
    fn find(&self, symbol: Symbol, text: &[u8], asked: Option<usize>) -> Option<usize> {
        let name = match symbol {
            Symbol::At(place) => place.of(text),
            Symbol::Known(known) => self.dialect.name(known).as_bytes(),
            Symbol::Asked => return asked.or_else(|| (self.streams.len() == 1).then_some(0)),
            Symbol::None => return None,
        };
        // One instrument is the common case of a fast connection.
        match self.streams.as_slice() {
            [sole] => (sole.symbol.as_bytes() == name).then_some(0),
            _ => self.by_symbol.get(name).copied(),
        }
    }

    #[inline]
    fn apply(
        &mut self,
        message: &Message,
        frame: &Frame,
        text: &[u8],
        asked: Option<usize>,
        ts_recv: Nanos,
        out: &mut Tape,
    ) -> Result<Outcome, FeedError> {
        if message.symbol == Symbol::None {
            if message.body == Body::Reconnect && self.open {
                self.open = false;
                self.commands.push(Command::Reconnect { reason: "asked for by the venue" });
            }
            return Ok(Outcome::Other);
        }
        let Some(at) = self.find(message.symbol, text, asked) else {
            return self.stranger(message, text);
        };
        let Some(stream) = self.streams.get_mut(at) else { return Ok(Outcome::Other) };
        stream.last_recv = ts_recv;
        let ts_event = message.ts_event;
        let mut sink =
            Sink { out, gaps: &mut self.gaps, wanted: &mut self.wanted, ts_recv, counted: self.counter.is_some() };
        let outcome = match &message.body {
            Body::Levels { snapshot, link, checksum, levels } => {
                let levels = frame.levels.get(levels.clone()).unwrap_or_default();
                stream.see_text(levels);
                if let Some(depth) = frame.depth {
                    stream.learn_depth(depth);
                }
                stream.sets(levels, &mut self.sets).map(|()| {
                    let message = BookMessage { snapshot: *snapshot, link: *link, checksum: *checksum, ts_event };
                    stream.on_levels(message, &mut self.sets, &mut sink)
                })
            }
            Body::Orders { snapshot, link, orders } => {
                let orders = frame.orders.get(orders.clone()).unwrap_or_default();
                stream.moved(orders, &mut self.moved).map(|()| {
                    let message = BookMessage { snapshot: *snapshot, link: *link, checksum: None, ts_event };
                    stream.on_orders(message, &mut self.moved, &mut sink)
                })
            }
            Body::Checksum(expected) => Ok(stream.on_checksum(ts_event, *expected, &mut sink)),
            Body::Quote { sequence, bid, ask } => {
                let side = |quote: &Option<_>| match quote {
                    Some((price, size)) => Ok(Some((stream.price(*price)?, stream.size(*size)?))),
                    None => Ok(None),
                };
                match (side(bid), side(ask)) {
                    (Ok(bid), Ok(ask)) => Ok(stream.on_quote(ts_event, *sequence, [bid, ask], &mut sink)),
                    (Err(refusal), _) | (_, Err(refusal)) => Err(refusal),
                }
            }
            Body::Trade { id, price, size, side, silent } => match (stream.price(*price), stream.size(*size)) {
                (Ok(price), Ok(size)) => Ok(stream.on_trade(ts_event, *id, (price, size, *side), *silent, &mut sink)),
                (Err(refusal), _) | (_, Err(refusal)) => Err(refusal),
            },
            Body::Mark { mark, index, iv, funding } => {
                let (rate, due) = funding.map_or((None, 0), |(rate, due)| (Some(rate), due.0));
                let values = [
                    (Kind::Mark, *mark, 0),
                    (Kind::Index, *index, 0),
                    (Kind::MarkIv, *iv, 0),
                    (Kind::Funding, rate, due),
                ];
                Ok(stream.on_mark(ts_event, values, &mut sink))
            }
            Body::Status { trading } => {
                stream.on_status(ts_event, *trading, &mut sink);
                Ok(Outcome::Other)
            }
            Body::Refused(_) => {
                stream.refused = true;
                stream.gap(Cause::Refused, stream.missing(), ts_event, false, &mut sink);
                Ok(Outcome::Other)
            }
            Body::Subscribed | Body::Heartbeat | Body::Reconnect | Body::Other => Ok(Outcome::Other),
        };
        outcome.map_err(|refusal| self.refuse(at, message, &refusal, text, ts_recv, out))
    }

    /// Data of an instrument that this session was not given.
    #[cold]
    fn stranger(&self, message: &Message, text: &[u8]) -> Result<Outcome, FeedError> {
        if self.passes_others {
            return Ok(Outcome::Other);
        }
        let symbol = match message.symbol {
            Symbol::At(place) => place.of(text),
            Symbol::Known(known) => self.dialect.name(known).as_bytes(),
            _ => b"",
        };
        match message.body {
            Body::Levels { .. } | Body::Orders { .. } | Body::Quote { .. } | Body::Trade { .. } | Body::Mark { .. } => {
                Err(FeedError {
                    venue: self.protocol.venue,
                    symbol: cut(symbol, 48),
                    sequence: sequence(&message.body),
                    offset: 0,
                    kind: FeedErrorKind::UnknownSymbol,
                })
            }
            _ => Ok(Outcome::Other),
        }
    }

    /// A number of a message cannot be used: what it was about is lost.
    #[cold]
    fn refuse(
        &mut self,
        at: usize,
        message: &Message,
        refusal: &Refusal,
        text: &[u8],
        ts_recv: Nanos,
        out: &mut Tape,
    ) -> FeedError {
        let mut sink =
            Sink { out, gaps: &mut self.gaps, wanted: &mut self.wanted, ts_recv, counted: self.counter.is_some() };
        let mut symbol = String::new();
        if let Some(stream) = self.streams.get_mut(at) {
            symbol.clone_from(&stream.symbol);
            match message.body {
                Body::Levels { .. } | Body::Orders { .. } => {
                    stream.gap(Cause::Malformed, stream.missing(), message.ts_event, true, &mut sink);
                }
                Body::Trade { id, silent: false, .. } if !stream.counts_trades() => {
                    stream.trade_gap((id, id), message.ts_event, Cause::Malformed, true, &mut sink);
                }
                _ => {}
            }
        }
        let rest = text.get(refusal.at..).unwrap_or_default();
        let end = rest.iter().position(|byte| matches!(byte, b'"' | b',' | b']' | b'}')).unwrap_or(rest.len());
        let kind = refusal.kind(cut(rest.get(..end).unwrap_or_default(), 48));
        FeedError { venue: self.protocol.venue, symbol, sequence: sequence(&message.body), offset: refusal.at, kind }
    }

    /// A frame cannot be read. If it was about a book, or may have been, say so at once: the book is wrong from here on.
    #[cold]
    fn lose(&mut self, fault: Fault, text: &[u8], ts_recv: Nanos, out: &mut Tape) -> FeedError {
        self.errors += 1;
        // The frame had a number, even if nobody could read it.
        match (self.frame.counter, self.counter) {
            // What was lost before it was lost to all.
            (Some(counter), Some(last)) if counter > last => {
                self.count(counter, ts_recv, out);
            }
            (None, Some(last)) => self.counter = Some(last.saturating_add(1)),
            _ => {}
        }
        let named = self.frame.symbol.and_then(|symbol| self.find(symbol, text, None));
        let symbol = match self.frame.symbol {
            Some(Symbol::At(place)) => cut(place.of(text), 48),
            Some(Symbol::Known(known)) => self.dialect.name(known).to_owned(),
            _ => String::new(),
        };
        // Another symbol's message takes nothing from ours; if the name was damaged, the ids will tell.
        let stranger = named.is_none() && !symbol.is_empty();
        let mut suspects: Vec<usize> = Vec::new();
        if !stranger {
            suspects.extend(named);
            if suspects.is_empty() {
                let mentioned = |stream: &Stream| mentions(text, stream.symbol.as_bytes());
                suspects.extend((0..self.streams.len()).filter(|&at| self.streams.get(at).is_some_and(mentioned)));
            }
            if suspects.is_empty() {
                suspects.extend(0..self.streams.len());
            }
        }
        let mut sink =
            Sink { out, gaps: &mut self.gaps, wanted: &mut self.wanted, ts_recv, counted: self.counter.is_some() };
        for at in suspects {
            let Some(stream) = self.streams.get_mut(at) else { continue };
            match self.frame.channel {
                None | Some(Channel::Book) => {
                    stream.gap(Cause::Malformed, stream.missing(), Nanos::UNKNOWN, true, &mut sink);
                }
                // Where trades are counted, the next one tells which is missing.
                Some(Channel::Trades) if stream.counts_trades() => {}
                Some(Channel::Trades) => {
                    stream.trade_gap((0, 0), Nanos::UNKNOWN, Cause::Malformed, true, &mut sink);
                }
                // The next one says all that this one said.
                Some(Channel::Quotes | Channel::Marks) => {}
            }
        }
        self.error(&fault, symbol, 0)
    }

    fn error(&self, fault: &Fault, symbol: String, sequence: u64) -> FeedError {
        let venue = self.protocol.venue;
        let message = match fault.kind {
            FaultKind::Expected(what) => format!("expected {what}"),
            FaultKind::Missing(field) => format!("missing field `{field}`"),
            FaultKind::Twice(field) => format!("duplicate field `{field}`"),
            FaultKind::Escape => "expected a string with whole escapes".to_owned(),
            FaultKind::Time => "expected a time that fits ns since the epoch".to_owned(),
        };
        let kind = FeedErrorKind::Malformed { venue, message };
        FeedError { venue, symbol, sequence, offset: fault.at, kind }
    }
}

/// The id that an error names.
fn sequence(body: &Body) -> u64 {
    match body {
        Body::Levels { link, .. } | Body::Orders { link, .. } => link.last(),
        Body::Trade { id, .. } => *id,
        Body::Quote { sequence, .. } => *sequence,
        _ => 0,
    }
}

/// Whether a symbol stands in a text, not as a part of a longer name.
fn mentions(text: &[u8], symbol: &[u8]) -> bool {
    let name = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    !symbol.is_empty()
        && memmem::find_iter(text, symbol).any(|at| {
            let before = at.checked_sub(1).and_then(|at| text.get(at));
            !name(before) && !name(text.get(at + symbol.len()))
        })
}

/// Hostile text is shown, but not at any length.
fn cut(text: &[u8], length: usize) -> String {
    String::from_utf8_lossy(text).chars().take(length).collect()
}
