//! Captures on disk: raw frames with their receive times, merged across connections into tapes in constant memory.
//!
//! A *source* is one connection: one file of lines (`lines.rs` knows their forms), or the hourly files of our own format
//! ([`store`]) one after another. Every source plays into a [`Session`] of its own; REST responses that lie in files of
//! their own go to the sessions that can use them.

mod lines;
pub mod manifest;
pub mod store;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{io, mem};

use thiserror::Error;

use self::lines::{Form, Lines, MAX_LINE};
use self::store::{RecordKind, StoreError};
use crate::feed::{Counts, FeedError, GapRecord, Outcome, Protocol, Session, Survey};
use crate::instrument::{Instrument, Venue};
use crate::tape::Tape;
use crate::units::Nanos;

/// So many faults are kept in full; the rest are counted.
const MAX_FAULTS: usize = 10_000;
/// So many frames are looked at to recognise a capture that does not say what it is.
const LOOK: usize = 2_000;
/// So many bytes of them at most, and of one line: a small file may unpack to a large one.
const MAX_LOOK: usize = 16 << 20;

/// What is wrong with a capture.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The name promises gzip, the content is something else.
    #[error("{path}: expected a gzip file (magic 1f 8b), found {found}", path = path.display())]
    NotGzip {
        /// The file.
        path: PathBuf,
        /// The first bytes, in hex.
        found: String,
    },
    /// There is no frame in it.
    #[error("{path}: expected at least one frame, found an empty file", path = path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The compressed data ends early or is damaged. What came before it was used.
    #[error("{path} line {line}: {source}; everything before it was used", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Frames read before.
        line: u64,
        /// The decoder's reason.
        source: io::Error,
    },
    /// A file of our own format is damaged, cut, or none.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of our own format ends with a whole block, but the recorder did not get to finish it.
    #[error("{path}: expected an end mark; the recorder was stopped, everything before it was used", path = path.display())]
    Unfinished {
        /// The file.
        path: PathBuf,
    },
    /// A line that is not a receive time and a frame.
    #[error("{path} line {line}: expected {expected}", path = path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What a line of this file looks like.
        expected: &'static str,
    },
    /// A frame that the venue's feed refused.
    #[error("{path} line {line}: {source}", path = path.display())]
    Frame {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with the frame.
        source: Box<FeedError>,
    },
    /// Neither its name nor its first frames say which venue's messages a file holds.
    #[error("{path}: expected a capture of a known venue: a file named <venue>-<symbol> (such as usdm-btcusdt.gz), one that names its websocket, or frames that give it away", path = path.display())]
    Unrecognised {
        /// The file.
        path: PathBuf,
    },
}

/// What a record of a capture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A frame received.
    Received,
    /// A frame sent.
    Sent,
    /// The connection was opened.
    Opened,
    /// The connection was closed.
    Closed,
    /// A REST response.
    Rest,
    /// Frames were lost by the recorder.
    Lost,
    /// Nothing that is played.
    Note,
}

/// What a capture file holds.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Content {
    /// One connection.
    Connection {
        /// Its protocol.
        protocol: &'static Protocol,
        /// The one symbol that the file's name promises; `None`: all that are in it.
        symbol: Option<String>,
        /// The instruments that the file describes itself.
        instruments: Option<Vec<Instrument>>,
        /// Whether nothing but the frames told the protocol: venues that speak alike cannot be told apart so.
        guessed: bool,
    },
    /// REST responses, for the connections beside it.
    Rest,
}

/// What a capture file holds: by its name `<venue>-<symbol>.…`, by the address of its websocket, or by its first frames.
///
/// # Errors
/// [`CaptureError`] if the file cannot be read, is empty, is not what its name says, or is of no known venue.
pub fn identify(path: &Path) -> Result<Content, CaptureError> {
    if is_store(path) {
        let reader = store::Reader::open(path)?;
        let meta = &reader.header().meta;
        let protocol =
            Protocol::named(&meta.protocol).ok_or_else(|| CaptureError::Unrecognised { path: path.to_owned() })?;
        // A header that describes nothing leaves it to the frames.
        let instruments: Vec<Instrument> = serde_json::from_str(meta.instruments.get()).unwrap_or_default();
        let instruments = (!instruments.is_empty()).then_some(instruments);
        return Ok(Content::Connection { protocol, symbol: None, instruments, guessed: false });
    }
    let mut lines = Lines::open(path, Arc::default(), MAX_LOOK)?;
    let mut line = Vec::new();
    let mut any = lines.next_into(&mut line)?;
    if !any {
        return Err(CaptureError::Empty { path: path.to_owned() });
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    if lines.form == Form::Timed {
        for venue in Venue::ALL {
            for prefix in [venue.name(), venue.alias()] {
                let symbol = stem.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-'));
                let Some(protocol) = Protocol::current(venue) else { continue };
                if let Some(known) = symbol.and_then(|symbol| (protocol.describe)(symbol)) {
                    let (symbol, instruments) = (Some(known.symbol), None);
                    return Ok(Content::Connection { protocol, symbol, instruments, guessed: false });
                }
            }
        }
    }
    let mut frames = Vec::new();
    let (mut rest, mut looked) = (false, 0);
    while any && frames.len() < LOOK && looked < MAX_LOOK {
        looked += line.len();
        if let Ok(parts) = lines.parts(&line) {
            match parts.kind {
                Kind::Opened => {
                    let url = String::from_utf8_lossy(line.get(parts.url).unwrap_or_default()).into_owned();
                    if let Some(protocol) = Protocol::at(&url, &day(parts.ts_recv)) {
                        return Ok(Content::Connection { protocol, symbol: None, instruments: None, guessed: false });
                    }
                }
                Kind::Rest => rest = true,
                Kind::Received => frames.push(line.get(parts.payload).unwrap_or_default().to_vec()),
                _ => {}
            }
        }
        any = match lines.next_into(&mut line) {
            Ok(any) => any,
            // What is left of a damaged file is reported by its replay.
            Err(_) if !frames.is_empty() => false,
            Err(error) => return Err(error),
        };
    }
    if let Some(protocol) = Protocol::recognise(stem, frames.iter().map(Vec::as_slice)) {
        return Ok(Content::Connection { protocol, symbol: None, instruments: None, guessed: true });
    }
    if rest { Ok(Content::Rest) } else { Err(CaptureError::Unrecognised { path: path.to_owned() }) }
}

/// Whether a file is of our own format.
fn is_store(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == store::EXTENSION)
}

/// The day of a time, `YYYY-MM-DD`, UTC.
fn day(time: Nanos) -> String {
    let days = time.0.div_euclid(86_400_000_000_000) + 719_468;
    // The proleptic Gregorian calendar, with the year beginning in March.
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 { (month + 3, year) } else { (month - 9, year + 1) };
    format!("{:04}-{month:02}-{date:02}", year + era * 400)
}

/// The instruments of a connection's files whose units nobody declared: one pass over the whole files, and over the REST
/// responses beside them, takes the finest decimals after stripping zeros, because the first frames say nothing of those
/// to come. Constant memory. A damaged end was read as far as it goes; the replay reports it.
///
/// # Errors
/// [`CaptureError`] if a file cannot be opened.
pub fn survey(paths: &[PathBuf], protocol: &'static Protocol) -> Result<Vec<Instrument>, CaptureError> {
    let mut survey = Survey::new(protocol);
    let response = |survey: &mut Survey, url: &[u8], body: &[u8]| {
        if let Some(symbol) = protocol.symbol_at(&String::from_utf8_lossy(url)) {
            survey.observe_snapshot(&symbol, body);
        }
    };
    for path in paths {
        if is_store(path) {
            let mut reader = store::Reader::open(path)?;
            while let Ok(Some(record)) = reader.next() {
                match (record.kind, record.response()) {
                    (RecordKind::Received, _) => survey.observe(record.payload),
                    (RecordKind::Response, Some((url, body))) => response(&mut survey, url, body),
                    _ => {}
                }
            }
            continue;
        }
        let mut lines = Lines::open(path, Arc::default(), MAX_LINE)?;
        let mut line = Vec::new();
        while let Ok(true) = lines.next_into(&mut line) {
            let Ok(parts) = lines.parts(&line) else { continue };
            let payload = line.get(parts.payload).unwrap_or_default();
            match parts.kind {
                Kind::Received => survey.observe(payload),
                Kind::Rest => response(&mut survey, line.get(parts.url).unwrap_or_default(), payload),
                _ => {}
            }
        }
    }
    Ok(survey.instruments())
}

/// The instruments that the REST responses of a file list, of any venue.
///
/// # Errors
/// [`CaptureError`] if the file cannot be read.
pub fn listed(path: &Path) -> Result<Vec<Instrument>, CaptureError> {
    let mut lines = Lines::open(path, Arc::default(), MAX_LINE)?;
    let (mut line, mut found) = (Vec::new(), Vec::new());
    while let Ok(true) = lines.next_into(&mut line) {
        let Ok(parts) = lines.parts(&line) else { continue };
        if parts.kind == Kind::Rest {
            let url = String::from_utf8_lossy(line.get(parts.url).unwrap_or_default()).into_owned();
            found.extend(Protocol::listed(&url, line.get(parts.payload).unwrap_or_default()));
        }
    }
    Ok(found)
}

/// One connection, or a file of REST responses, to be played.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its files, in the order in which they are played.
    pub paths: Vec<PathBuf>,
    /// Its protocol; `None`: REST responses.
    pub protocol: Option<&'static Protocol>,
    /// Its instruments, each with its index in the tape.
    pub instruments: Vec<(u32, Instrument)>,
    /// Whether there are others on it, to be passed over.
    pub partial: bool,
}

/// What a source has given so far, beside the counts of its instruments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceCounts {
    /// Frames received.
    pub frames: u64,
    /// Frames without market data.
    pub other: u64,
    /// Lines and frames that could not be used.
    pub errors: u64,
    /// Frames whose receive time lies before the one before.
    pub backwards: u64,
    /// First receive time.
    pub first: Nanos,
    /// Last receive time.
    pub last: Nanos,
}

/// Where a source's records come from.
enum Reader {
    Lines(Box<Lines>),
    Store(Box<store::Reader>),
}

/// Where a file's reading led.
enum Step {
    /// The next record lies ready.
    Ready,
    /// The next one says nothing.
    Nothing,
    /// The file is at its end; whether it was empty.
    End(bool),
    /// A line is none; the next may be one.
    Broken(CaptureError),
    /// The rest of the file cannot be read.
    Lost(CaptureError),
}

struct Playing {
    /// `None`: REST responses.
    session: Option<Session>,
    reader: Option<Reader>,
    /// Files to come.
    paths: std::vec::IntoIter<PathBuf>,
    path: PathBuf,
    /// The record whose turn comes.
    kind: Kind,
    record: Vec<u8>,
    url: String,
    payload: std::ops::Range<usize>,
    line: u64,
    ts_recv: Nanos,
    counts: SourceCounts,
}

impl Playing {
    /// Reads one record; `None` at the end of the source.
    fn step(&mut self, read: &AtomicU64) -> Option<Step> {
        let ts_recv = match self.reader.as_mut()? {
            Reader::Lines(lines) => match lines.next_into(&mut self.record) {
                Ok(true) => match lines.parts(&self.record) {
                    Ok(parts) if parts.kind == Kind::Note => return Some(Step::Nothing),
                    Ok(parts) => {
                        self.line = lines.line;
                        (self.kind, self.payload) = (parts.kind, parts.payload);
                        if parts.kind == Kind::Rest {
                            let url = self.record.get(parts.url).unwrap_or_default();
                            self.url = String::from_utf8_lossy(url).into_owned();
                        }
                        parts.ts_recv
                    }
                    Err(error) => return Some(Step::Broken(error)),
                },
                Ok(false) => return Some(Step::End(lines.line == 0)),
                Err(error) => return Some(Step::Lost(error)),
            },
            Reader::Store(reader) => {
                let before = reader.bytes();
                let step = match reader.next() {
                    Ok(Some(record)) => {
                        self.line += 1;
                        self.kind = match record.kind {
                            RecordKind::Received => Kind::Received,
                            RecordKind::Sent => Kind::Sent,
                            RecordKind::Opened => Kind::Opened,
                            RecordKind::Closed => Kind::Closed,
                            RecordKind::Response => Kind::Rest,
                            RecordKind::Lost => Kind::Lost,
                            RecordKind::Note => Kind::Note,
                        };
                        let payload = match record.response() {
                            Some((url, body)) => {
                                self.url = String::from_utf8_lossy(url).into_owned();
                                body
                            }
                            None => record.payload,
                        };
                        self.record.clear();
                        self.record.extend_from_slice(payload);
                        self.payload = 0..payload.len();
                        Ok(record.ts_recv)
                    }
                    // A file without its end mark was cut between two blocks: the recorder did not finish it.
                    Ok(None) => Err(None),
                    Err(error) => Err(Some(error)),
                };
                let finished = reader.is_finished();
                read.fetch_add(reader.bytes() - before, Ordering::Relaxed);
                match step {
                    Ok(ts_recv) => ts_recv,
                    Err(None) if finished => return Some(Step::End(false)),
                    Err(None) => return Some(Step::Lost(CaptureError::Unfinished { path: self.path.clone() })),
                    Err(Some(error)) => return Some(Step::Lost(error.into())),
                }
            }
        };
        self.counts.backwards += u64::from(self.kind == Kind::Received && ts_recv < self.ts_recv);
        self.ts_recv = ts_recv;
        Some(Step::Ready)
    }
}

/// A capture played back: frames of all sources in order of receive time, decoded into tapes.
pub struct Replay {
    sources: Vec<Playing>,
    faults: Vec<CaptureError>,
    fault_count: u64,
    read: Arc<AtomicU64>,
    total: u64,
}

impl Replay {
    /// Opens sources. A file that cannot be opened becomes a fault, the others are played.
    #[must_use]
    pub fn open(sources: &[Source]) -> Self {
        let read = Arc::new(AtomicU64::new(0));
        let mut replay = Self { sources: Vec::new(), faults: Vec::new(), fault_count: 0, read, total: 0 };
        for (at, source) in sources.iter().enumerate() {
            for path in &source.paths {
                replay.total += std::fs::metadata(path).map_or(0, |data| data.len());
            }
            let instruments = source.instruments.iter().map(|(index, instrument)| (*index, instrument));
            replay.sources.push(Playing {
                session: source.protocol.map(|protocol| {
                    let session = Session::new(protocol, instruments);
                    if source.partial { session.without_others() } else { session }
                }),
                reader: None,
                paths: source.paths.clone().into_iter(),
                path: PathBuf::new(),
                kind: Kind::Note,
                record: Vec::new(),
                url: String::new(),
                payload: 0..0,
                line: 0,
                ts_recv: Nanos(i64::MIN),
                counts: SourceCounts::default(),
            });
            replay.next_file(at, &mut Tape::default());
            replay.advance(at, &mut Tape::default());
        }
        replay
    }

    fn fault(&mut self, at: usize, error: CaptureError) {
        self.fault_count += 1;
        if let Some(source) = self.sources.get_mut(at) {
            source.counts.errors += 1;
        }
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(error);
        }
    }

    /// Opens the next file of a source that can be opened; none left: the source is at its end.
    fn next_file(&mut self, at: usize, out: &mut Tape) {
        loop {
            let Some(source) = self.sources.get_mut(at) else { return };
            source.reader = None;
            let Some(path) = source.paths.next() else { return };
            let reader = if is_store(&path) {
                let reader = store::Reader::open(&path);
                // A file that does not continue the one before: what lies between is not here.
                if let (Ok(reader), Some(session)) = (&reader, source.session.as_mut())
                    && source.path.file_name().and_then(|name| name.to_str()) != reader.header().continues.as_deref()
                {
                    session.on_close(source.ts_recv, out);
                }
                reader.map(|reader| Reader::Store(Box::new(reader))).map_err(CaptureError::from)
            } else {
                Lines::open(&path, Arc::clone(&self.read), MAX_LINE).map(|lines| Reader::Lines(Box::new(lines)))
            };
            match reader {
                Ok(reader) => {
                    (source.reader, source.path, source.line) = (Some(reader), path, 0);
                    return;
                }
                Err(error) => self.fault(at, error),
            }
        }
    }

    /// Reads ahead to the next record of one source; lines that are none become faults.
    fn advance(&mut self, at: usize, out: &mut Tape) {
        loop {
            let Some(source) = self.sources.get_mut(at) else { return };
            let fault = match source.step(&self.read) {
                None | Some(Step::Ready) => return,
                Some(Step::Nothing) => continue,
                Some(Step::Broken(error)) => {
                    // It may have been a frame. Where ids or checksums prove what follows, they tell.
                    let proved = |known: &Protocol| known.links || known.counts_frames || known.checksum.is_some();
                    if let Some(session) = source.session.as_mut().filter(|session| !proved(session.protocol())) {
                        session.on_overflow(source.ts_recv, out);
                        session.commands().for_each(drop);
                    }
                    error
                }
                Some(Step::End(empty)) => {
                    let path = source.path.clone();
                    self.next_file(at, out);
                    if !empty {
                        continue;
                    }
                    CaptureError::Empty { path }
                }
                Some(Step::Lost(error)) => {
                    // Whatever else the file held is lost: nobody may take the last touch for the present one.
                    if let Some(session) = source.session.as_mut() {
                        session.on_close(source.ts_recv, out);
                    }
                    self.next_file(at, out);
                    error
                }
            };
            self.fault(at, fault);
        }
    }

    /// Plays the record whose turn it is.
    fn play(&mut self, at: usize, out: &mut Tape) {
        let Some(source) = self.sources.get_mut(at) else { return };
        let ts_recv = source.ts_recv;
        let payload = source.record.get(source.payload.clone()).unwrap_or_default();
        let result = match (source.session.as_mut(), source.kind) {
            (Some(session), Kind::Received) => {
                let counts = &mut source.counts;
                if counts.frames == 0 {
                    counts.first = ts_recv;
                }
                counts.last = ts_recv;
                counts.frames += 1;
                session.on_frame(ts_recv, payload, out).map(|outcome| {
                    counts.other += u64::from(outcome == Outcome::Other);
                })
            }
            (Some(session), Kind::Opened) => {
                // Whatever came before, with or without its own beginning and end.
                session.on_close(ts_recv, out);
                session.on_open(ts_recv);
                Ok(())
            }
            (Some(session), Kind::Closed) => {
                session.on_close(ts_recv, out);
                Ok(())
            }
            (Some(session), Kind::Lost) => {
                session.on_overflow(ts_recv, out);
                Ok(())
            }
            (Some(session), Kind::Rest) => match session.instrument_at(&source.url) {
                Some(instrument) => session.on_snapshot(ts_recv, instrument, payload, out).map(|_| ()),
                None => Ok(()),
            },
            (None, Kind::Rest) => {
                let (record, url) = (mem::take(&mut source.record), mem::take(&mut source.url));
                let payload = record.get(source.payload.clone()).unwrap_or_default();
                let mut result = Ok(());
                for session in self.sources.iter_mut().filter_map(|source| source.session.as_mut()) {
                    if let Some(instrument) = session.instrument_at(&url) {
                        result = session.on_snapshot(ts_recv, instrument, payload, out).map(|_| ());
                        session.commands().for_each(drop);
                    }
                }
                if let Some(source) = self.sources.get_mut(at) {
                    (source.record, source.url) = (record, url);
                }
                result
            }
            _ => Ok(()),
        };
        let Some(source) = self.sources.get_mut(at) else { return };
        if let Some(session) = source.session.as_mut() {
            session.commands().for_each(drop);
        }
        if let Err(error) = result {
            let fault = CaptureError::Frame { path: source.path.clone(), line: source.line, source: Box::new(error) };
            self.fault(at, fault);
        }
    }

    /// Appends at least `rows` events to `out`, fewer only at the end. False when nothing was left.
    pub fn next_batch(&mut self, rows: usize, out: &mut Tape) -> bool {
        let enough = out.len().saturating_add(rows);
        let mut any = false;
        while out.len() < enough {
            let open = self.sources.iter().enumerate().filter(|(_, source)| source.reader.is_some());
            // Equal times keep the order of the files.
            let Some((at, _)) = open.min_by_key(|(_, source)| source.ts_recv) else { break };
            any = true;
            self.play(at, out);
            self.advance(at, out);
        }
        any
    }

    /// What each source has given so far, in the order in which they were opened.
    pub fn counts(&self) -> impl Iterator<Item = SourceCounts> + '_ {
        self.sources.iter().map(|source| source.counts)
    }

    /// What became of the messages of one instrument in one source.
    #[must_use]
    pub fn stream_counts(&self, source: usize, instrument: u32) -> Counts {
        let session = self.sources.get(source).and_then(|source| source.session.as_ref());
        session.map(|session| session.counts(instrument)).unwrap_or_default()
    }

    /// What was missing so far, source by source.
    pub fn gaps(&self) -> impl Iterator<Item = (usize, &GapRecord)> + '_ {
        let sessions = self.sources.iter().enumerate().filter_map(|(at, source)| Some((at, source.session.as_ref()?)));
        sessions.flat_map(|(at, session)| session.gaps().iter().map(move |gap| (at, gap)))
    }

    /// The faults met so far, the first ten thousand in full.
    #[must_use]
    pub fn faults(&self) -> &[CaptureError] {
        &self.faults
    }

    /// How many faults there were.
    #[must_use]
    pub const fn fault_count(&self) -> u64 {
        self.fault_count
    }

    /// Bytes on disk read so far and in all.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        (self.read.load(Ordering::Relaxed), self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("crossbook-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).expect("a folder");
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn gaps(paths: Vec<PathBuf>) -> usize {
        let protocol = Protocol::named("bitstamp-diff").expect("a protocol");
        let cent = crate::units::Unit::decimals(2);
        let instruments = vec![(0, Instrument::infer(Venue::Bitstamp, "btcusd", cent, cent).expect("a name"))];
        let mut replay = Replay::open(&[Source { paths, protocol: Some(protocol), instruments, partial: false }]);
        let mut tape = Tape::default();
        while replay.next_batch(1 << 10, &mut tape) {}
        replay.gaps().count()
    }

    fn change(time: u64) -> String {
        format!(
            r#"{{"data":{{"microtimestamp":"{time}","bids":[["1","1"]],"asks":[]}},"channel":"diff_order_book_btcusd","event":"data"}}"#
        )
    }

    #[test]
    fn a_line_that_is_none_and_a_connection_without_an_end_are_gaps() {
        let folder = Folder::new("broken");
        let whole = change(1).replace("diff_order", "order");
        let (timed, raw) = (folder.0.join("bitstamp-btcusd.jsonl"), folder.0.join("raw.log"));
        std::fs::write(&timed, format!("1 {whole}\n2 {}\n\n4 {}\n", change(2), change(4))).expect("a file");
        assert_eq!(gaps(vec![timed.clone()]), 0, "an empty line is nothing");
        std::fs::write(&timed, format!("1 {whole}\n2 {}\nx3 {}\n4 {}\n", change(2), change(3), change(4)))
            .expect("a file");
        assert_eq!(gaps(vec![timed]), 1);
        let again = "wss://ws.bitstamp.net <-> 3.0";
        std::fs::write(&raw, format!("1.0: {whole}\n2.0: {}\n{again}\n4.0: {}\n", change(2), change(4)))
            .expect("a file");
        assert_eq!(gaps(vec![raw]), 1);
    }

    #[test]
    fn an_hour_that_is_missing_is_a_gap() {
        let folder = Folder::new("hours");
        let meta = store::Meta {
            venue: "bitstamp".to_owned(),
            protocol: "bitstamp-diff".to_owned(),
            connection: "a".to_owned(),
            url: "wss://ws.bitstamp.net".to_owned(),
            instruments: serde_json::value::to_raw_value(&[0; 0]).expect("JSON"),
            channels: Vec::new(),
            depth: None,
        };
        let hour = |count: i64| Nanos(count * 3_600_000_000_000);
        let mut writer = store::Writer::new(&folder.0, meta, store::Options::default(), hour(0)).expect("a writer");
        let mut paths = Vec::new();
        for count in 0..3_u8 {
            paths.push(writer.path().to_owned());
            let text = change(u64::from(count) + 1);
            let text = if count == 0 { text.replace("diff_order", "order") } else { text };
            let (kind, ts_recv) = (RecordKind::Received, hour(i64::from(count)));
            writer.append(store::Record { kind, ts_recv, payload: text.as_bytes() }).expect("written");
            let nothing = || serde_json::value::to_raw_value(&0).expect("JSON");
            writer.tick(hour(i64::from(count) + 1), nothing).expect("written");
        }
        writer.finish(serde_json::value::to_raw_value(&0).expect("JSON")).expect("written");
        assert_eq!(gaps(paths.clone()), 0);
        paths.remove(1);
        assert_eq!(gaps(paths), 1);
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(day(Nanos(0)), "1970-01-01");
        assert_eq!(day(Nanos(1_709_164_800_000_000_000)), "2024-02-29");
        assert_eq!(day(Nanos(1_787_616_000_000_000_000)), "2026-08-25");
        assert_eq!(day(Nanos(-1)), "1969-12-31");
    }
}
