//! One session under test, and what must hold after everything that happens to it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::time::{Duration, Instant};

use serde::de::IgnoredAny;

use crossbook::book::PriceBook;
use crossbook::event::{Flags, Kind};
use crossbook::feed::{
    Channel, Command, FeedError, FeedErrorKind, GapRecord, Outcome, Protocol, Session, SnapshotFrom,
};
use crossbook::instrument::Instrument;
use crossbook::tape::Tape;
use crossbook::units::Nanos;

use crate::memory;

/// No frame below 1 MiB may take longer.
const LONGEST: Duration = Duration::from_secs(1);
/// What a call may take of memory, beside what its frame explains: sessions keep their buffers, books grow by pages.
const ROOM: i64 = 8 << 20;
/// Per byte of a frame. The smallest level, `[1,1],`, is six bytes, and becomes 40 in the frame's list and 24 in units;
/// vectors double, and hold the old and the new while they do: 32 a byte. An event of 55 bytes twice over: 18. A book
/// that is kept for proof has a page of 64 sizes for a price far from all others: 86, doubled: 172. With room to spare:
const PER_BYTE: i64 = 512;

/// What can happen to a session.
#[derive(Clone, Debug)]
pub enum Action {
    Frame(Vec<u8>),
    Snapshot(u32, Vec<u8>),
    SnapshotFailed(u32),
    Time(i64),
    Open,
    Close,
    Overflow,
}

/// How a session is made.
#[derive(Clone, Debug)]
pub struct Setting {
    pub protocol: &'static Protocol,
    pub instruments: Vec<Instrument>,
    pub passes_others: bool,
    pub channels: Vec<Channel>,
    pub depth: u16,
}

/// What came of one action, as far as two sessions that were told the same must agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub outcome: Option<Result<Outcome, String>>,
    /// The same, with what a novelty is told by.
    pub class: u64,
}

pub struct World {
    setting: Setting,
    session: Session,
    pub tape: Tape,
    now: i64,
    books: Vec<PriceBook>,
    /// Whether the book of an instrument is lost: then no level of it may come.
    lost: Vec<bool>,
    /// Whether a book is told by orders: of those the session keeps none.
    by_order: Vec<bool>,
    /// Bytes given since data that was held back may be replayed: so much may come at once.
    held: usize,
    pub wanted: BTreeSet<u32>,
    /// Processor time at the last look, so that a slow machine is not taken for a slow decoder.
    looked: Duration,
    acts: u32,
}

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    static CAUGHT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs something that must not panic; where and why it did.
pub fn calmly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if CATCHING.get() {
                let place = info.location().map(ToString::to_string).unwrap_or_default();
                let payload = info.payload();
                let text = payload.downcast_ref::<String>().map(String::as_str);
                let message = text.or(payload.downcast_ref::<&str>().copied()).unwrap_or_default();
                CAUGHT.with_borrow_mut(|caught| *caught = format!("panic at {place}: {message}"));
            } else {
                default(info);
            }
        }));
    });
    CATCHING.set(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    CATCHING.set(false);
    result.map_err(|_| CAUGHT.with_borrow(Clone::clone))
}

/// Processor time of this thread; none where the system does not tell.
fn processor() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?))
}

fn is_json(frame: &[u8]) -> bool {
    // `IgnoredAny` reads numbers of any size, as we do, but does not look at the bytes of strings.
    std::str::from_utf8(frame).is_ok() && serde_json::from_slice::<IgnoredAny>(frame).is_ok()
}

fn hash(parts: &[u64], text: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let bytes = parts.iter().flat_map(|part| part.to_le_bytes()).chain(text.bytes());
    bytes.for_each(|byte| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    hash
}

impl World {
    pub fn new(setting: &Setting) -> Self {
        let indexed = (0_u32..).zip(&setting.instruments);
        let mut session = Session::with(setting.protocol, indexed, &setting.channels, setting.depth);
        if setting.passes_others {
            session = session.without_others();
        }
        let count = setting.instruments.len();
        let books = (0..count).map(|_| PriceBook::new()).collect();
        let (lost, now) = (vec![true; count], 1_700_000_000_000_000_000);
        let (wanted, looked) = (BTreeSet::new(), processor().unwrap_or_default());
        let (setting, tape, by_order) = (setting.clone(), Tape::default(), vec![false; count]);
        Self { setting, session, tape, now, books, lost, by_order, held: 0, wanted, looked, acts: 0 }
    }

    pub fn setting(&self) -> &Setting {
        &self.setting
    }

    /// Bytes of what may grow as long as a session lives: the list of its gaps, which has a bound of its own, and the
    /// books that its events make here. A venue that names ever new prices fills every book that follows it.
    pub fn memory(&self) -> i64 {
        let gaps = self.session.gaps().len().next_power_of_two() * size_of::<GapRecord>();
        let books = self.books.iter().map(PriceBook::memory).sum::<usize>();
        i64::try_from(gaps + books).unwrap_or(i64::MAX)
    }

    /// Does one thing, and checks all that must hold; what does not.
    pub fn act(&mut self, action: &Action) -> Result<Said, String> {
        self.acts += 1;
        if self.acts.is_multiple_of(64) {
            self.looked = processor().unwrap_or_default();
        }
        self.now += 1_000_000;
        self.tape.clear();
        let length = match action {
            Action::Frame(bytes) | Action::Snapshot(_, bytes) => bytes.len(),
            _ => 0,
        };
        let before = memory::live();
        memory::start();
        let start = Instant::now();
        let result = calmly(|| self.call(action))?;
        let (took, peak) = (start.elapsed(), memory::peak() - before);
        if took > LONGEST && processor().is_none_or(|now| now.saturating_sub(self.looked) > LONGEST) {
            return Err(format!("slow: a frame of {length} bytes took {took:?}"));
        }
        // The list of gaps, which has a bound, doubles now and then.
        let gaps = 3 * size_of::<GapRecord>() * self.session.gaps().len();
        let room =
            ROOM + PER_BYTE * i64::try_from(length).unwrap_or(i64::MAX) + i64::try_from(gaps).unwrap_or(i64::MAX);
        if peak > room {
            return Err(format!("memory: a frame of {length} bytes took {peak} bytes, expected at most {room}"));
        }
        match (action, &result) {
            (Action::Frame(frame), Some(result)) => Self::check_accepted(frame, result)?,
            (Action::Snapshot(at, body), Some(result)) if (*at as usize) < self.lost.len() => {
                Self::check_accepted(body, result)?;
            }
            _ => {}
        }
        let (kinds, cleared) = self.check_events(length)?;
        self.check_state()?;
        self.check_commands()?;
        self.held = match action {
            Action::Close | Action::Overflow => 0,
            // The book is this message's now, and where it is cut later its levels come back.
            _ if cleared => length,
            _ => self.held + length,
        };
        Ok(self.said(length, result, kinds))
    }

    fn call(&mut self, action: &Action) -> Option<Result<Outcome, FeedError>> {
        let now = Nanos(self.now);
        match action {
            Action::Frame(frame) => return Some(self.session.on_frame(now, frame, &mut self.tape)),
            Action::Snapshot(at, body) => return Some(self.session.on_snapshot(now, *at, body, &mut self.tape)),
            Action::SnapshotFailed(at) => self.session.on_snapshot_failed(*at),
            Action::Time(by) => {
                self.now += by;
                self.session.on_time(Nanos(self.now));
            }
            Action::Open => self.session.on_open(now),
            Action::Close => self.session.on_close(now, &mut self.tape),
            Action::Overflow => self.session.on_overflow(now, &mut self.tape),
        }
        None
    }

    /// What was read is JSON to others too, all of it.
    fn check_accepted(frame: &[u8], result: &Result<Outcome, FeedError>) -> Result<(), String> {
        let malformed = matches!(result, Err(FeedError { kind: FeedErrorKind::Malformed { .. }, .. }));
        if malformed || frame == b"ping" || frame == b"pong" || is_json(frame) {
            return Ok(());
        }
        Err(format!("lenient: read what is no JSON as {result:?}"))
    }

    /// Events are well formed, and no more than the bytes explain. Their kinds, and whether a book began.
    fn check_events(&mut self, length: usize) -> Result<(u64, bool), String> {
        let count = self.setting.instruments.len();
        let (mut kinds, mut cleared, mut last) = (0_u64, false, None::<(usize, bool)>);
        for (row, event) in self.tape.view().iter().enumerate() {
            let at = event.instrument as usize;
            if at >= count {
                return Err(format!("events: unknown instrument {at}"));
            }
            if !matches!(self.tape.side[row], 0..=2) {
                return Err(format!("events: side {}", self.tape.side[row]));
            }
            kinds |= 1 << (event.kind as u8);
            let resting = matches!(event.kind, Kind::Level | Kind::Quote | Kind::Add | Kind::Modify | Kind::Cancel);
            if (resting || event.kind == Kind::Trade) && event.size.0 < 0 {
                return Err(format!("events: size below zero: {event:?}"));
            }
            if resting && event.side.is_none() {
                return Err(format!("events: no side: {event:?}"));
            }
            self.by_order[at] |= matches!(event.kind, Kind::Add | Kind::Modify | Kind::Cancel);
            let lost = &mut self.lost[at];
            match event.kind {
                Kind::Clear if event.flags.contains(Flags::SNAPSHOT) => (*lost, cleared) = (false, true),
                Kind::Clear => return Err("events: a clear that is no snapshot's".to_owned()),
                Kind::Gap if !event.flags.contains(Flags::TRADES) => *lost = true,
                Kind::Level | Kind::Add | Kind::Modify | Kind::Cancel if *lost => {
                    return Err(format!("events: {event:?} of a book that is lost"));
                }
                _ => {}
            }
            if let Some((before, ended)) = last
                && !ended
                && before != at
            {
                return Err(format!("events: a message of instrument {before} has no last event"));
            }
            last = Some((at, event.flags.contains(Flags::LAST)));
            if matches!(event.kind, Kind::Clear | Kind::Level) {
                self.books[at].apply(&event);
            } else if event.kind == Kind::Gap && !event.flags.contains(Flags::TRADES) {
                self.books[at].clear();
            }
        }
        if last.is_some_and(|(_, ended)| !ended) {
            return Err("events: the last one is not marked so".to_owned());
        }
        // No level, order, trade or quote has less than three bytes of text. A gap, and what a loss of a connection or
        // a hole in its numbers takes, is one event an instrument; changes held for a snapshot come with it, and a book
        // that is cut, or whose depth is told anew, gives back what it has.
        let replays = self.setting.protocol.snapshot == SnapshotFrom::Rest || self.setting.protocol.cuts;
        let bound = length / 3 + 2 * count + 8 + if replays { self.held / 3 } else { 0 };
        if self.tape.len() > bound {
            return Err(format!("amplified: {} events of {length} bytes, expected at most {bound}", self.tape.len()));
        }
        Ok((kinds, cleared))
    }

    /// What the session says of its books is what its events say.
    fn check_state(&self) -> Result<(), String> {
        if self.tape.is_empty() {
            return Ok(());
        }
        for (at, (&lost, ours)) in (0_u32..).zip(self.lost.iter().zip(&self.books)) {
            if lost && self.session.is_synced(at) {
                return Err(format!("state: instrument {at} is synchronised after a gap"));
            }
            let by_levels = self.session.is_synced(at) && !self.by_order[at as usize];
            let theirs = self.session.book(at).filter(|_| by_levels);
            if let Some(theirs) = theirs
                && theirs.quote() != ours.quote()
            {
                return Err(format!(
                    "state: instrument {at} shows {:?}, its events {:?}",
                    theirs.quote(),
                    ours.quote()
                ));
            }
        }
        let gaps = self.session.gaps();
        if gaps.len() > 1 << 20 || gaps.last().is_some_and(|gap| gap.instrument as usize >= self.lost.len()) {
            return Err("state: gaps without bound, or of nobody".to_owned());
        }
        Ok(())
    }

    fn check_commands(&mut self) -> Result<(), String> {
        let count = self.setting.instruments.len();
        let mut asked = 0;
        for command in self.session.commands() {
            asked += 1;
            match command {
                Command::Send(text) if text == "ping" || text == "pong" || is_json(text.as_bytes()) => {}
                Command::Send(text) => return Err(format!("commands: sends what is no JSON: {text:.200}")),
                Command::FetchSnapshot { instrument } if (instrument as usize) < count => {
                    self.wanted.insert(instrument);
                }
                Command::FetchSnapshot { instrument } => {
                    return Err(format!("commands: asks for unknown instrument {instrument}"));
                }
                _ => {}
            }
        }
        // A subscription takes a text a channel and symbol at most, and the book's is taken back before it is renewed.
        let bound = 16 + 10 * count;
        if asked > bound {
            return Err(format!("commands: {asked} at once, expected at most {bound}"));
        }
        Ok(())
    }

    fn said(&self, length: usize, result: Option<Result<Outcome, FeedError>>, kinds: u64) -> Said {
        let events = u64::from(self.tape.len().checked_ilog2().unwrap_or(0));
        let (mut offset, mut text) = (0, String::new());
        let outcome = result.map(|result| {
            result.map_err(|error| {
                offset = 1 + (error.offset * 8 / (length + 1)) as u64;
                text = match &error.kind {
                    FeedErrorKind::Malformed { message, .. } => message.clone(),
                    FeedErrorKind::Decimal { field, error, .. } => {
                        format!("{field} {:?}", std::mem::discriminant(error))
                    }
                    kind => format!("{:?}", std::mem::discriminant(kind)),
                };
                format!("{text} {}", error.sequence)
            })
        });
        if let Some(Ok(outcome)) = &outcome {
            text = format!("{outcome:?}");
        }
        Said { outcome, class: hash(&[kinds, events, offset], &text) }
    }
}
