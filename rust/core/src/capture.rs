//! Captures on disk: raw frames with their receive times, merged across files into tapes in constant memory.
//!
//! A capture file holds one connection to one venue: lines of `<receive ns> <raw JSON>`, gzipped or plain.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;
use memchr::memchr;
use thiserror::Error;

use crate::event::{Flags, Kind};
use crate::feed::binance::{Binance, Decimals};
use crate::feed::{FeedError, Outcome};
use crate::instrument::{Instrument, Venue};
use crate::tape::Tape;
use crate::units::Nanos;

/// A line longer than this is no frame of any venue.
const MAX_LINE: usize = 64 << 20;
/// So many faults are kept in full; the rest are counted.
const MAX_FAULTS: usize = 10_000;

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
    /// A line that is not a receive time and a frame.
    #[error("{path} line {line}: expected `<receive ns> <JSON>`", path = path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
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
    /// Neither its name nor its first frames say which venue and symbol a file holds.
    #[error("{path}: expected a file named <venue>-<symbol> (such as usdm-btcusdt.gz) or frames that name both", path = path.display())]
    Unrecognised {
        /// The file.
        path: PathBuf,
    },
}

/// Lines of one file.
struct Lines {
    path: PathBuf,
    reader: BufReader<Box<dyn Read + Send>>,
    line: u64,
}

struct CountedFile {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for CountedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl Lines {
    fn open(path: &Path, read: Arc<AtomicU64>) -> Result<Self, CaptureError> {
        let io = |source| CaptureError::Io { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(io)?;
        let mut magic = Vec::with_capacity(4);
        (&mut file).take(4).read_to_end(&mut magic).map_err(io)?;
        if magic.is_empty() {
            return Err(CaptureError::Empty { path: path.to_owned() });
        }
        file.rewind().map_err(io)?;
        let file = CountedFile { file, read };
        let reader: Box<dyn Read + Send> = if magic.starts_with(&[0x1f, 0x8b]) {
            Box::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 16, file)))
        } else if path.extension().is_some_and(|extension| extension == "gz") {
            let found = magic.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
            return Err(CaptureError::NotGzip { path: path.to_owned(), found });
        } else {
            Box::new(file)
        };
        let reader = BufReader::with_capacity(1 << 18, reader);
        Ok(Self { path: path.to_owned(), reader, line: 0 })
    }

    fn damaged(&self, source: io::Error) -> CaptureError {
        CaptureError::Damaged { path: self.path.clone(), line: self.line, source }
    }

    /// Puts the next line into `line`, without its end. False at the end of the file.
    fn next_into(&mut self, line: &mut Vec<u8>) -> Result<bool, CaptureError> {
        line.clear();
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // The frame in the making is lost with the rest; the error says so.
                Err(error) => return Err(self.damaged(error)),
            };
            if buffer.is_empty() {
                if line.is_empty() {
                    return Ok(false);
                }
                self.line += 1;
                return Ok(true);
            }
            let end = memchr(b'\n', buffer);
            let count = end.unwrap_or(buffer.len());
            line.extend_from_slice(&buffer[..count]);
            self.reader.consume(end.map_or(count, |end| end + 1));
            if line.len() > MAX_LINE {
                let error = io::Error::new(io::ErrorKind::InvalidData, "expected lines of at most 64 MiB");
                return Err(self.damaged(error));
            }
            if end.is_some() {
                self.line += 1;
                return Ok(true);
            }
        }
    }
}

/// Splits a line into receive time and frame.
fn split(line: &[u8]) -> Option<(Nanos, &[u8])> {
    let space = memchr(b' ', line)?;
    let time: i64 = std::str::from_utf8(line.get(..space)?).ok()?.parse().ok()?;
    Some((Nanos(time), line.get(space + 1..)?))
}

/// Which venue and symbol a capture file holds: by its name, `<venue>-<symbol>.…`, else by its first frames.
///
/// # Errors
/// [`CaptureError`] if the file cannot be read, is empty, is not what its name says, or names neither.
pub fn identify(path: &Path) -> Result<(Venue, String), CaptureError> {
    let mut lines = Lines::open(path, Arc::default())?;
    let mut line = Vec::new();
    let mut any = lines.next_into(&mut line)?;
    if !any {
        return Err(CaptureError::Empty { path: path.to_owned() });
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    for venue in Venue::ALL {
        for prefix in [venue.name(), venue.alias()] {
            let symbol = stem.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-'));
            if let Some(symbol) = symbol.filter(|symbol| !symbol.is_empty()) {
                return Ok((venue, symbol.to_ascii_uppercase()));
            }
        }
    }
    let mut frames = 0;
    while any && frames < 10_000 {
        if let Some(found) = split(&line).and_then(|(_, frame)| Binance::recognise(frame)) {
            return Ok(found);
        }
        frames += 1;
        any = lines.next_into(&mut line)?;
    }
    Err(CaptureError::Unrecognised { path: path.to_owned() })
}

/// The instrument of a capture file whose units nobody declared: one pass over the whole file in constant memory takes
/// the finest decimals after stripping zeros, because the first frames say nothing of those to come.
///
/// # Errors
/// [`CaptureError`] if the file cannot be read or its currencies are unknown.
pub fn infer_instrument(path: &Path, venue: Venue, symbol: &str) -> Result<Instrument, CaptureError> {
    let mut lines = Lines::open(path, Arc::default())?;
    let mut decimals = Decimals::default();
    let mut line = Vec::new();
    // A damaged end was read as far as it goes; the replay reports it.
    while let Ok(true) = lines.next_into(&mut line) {
        if let Some((_, frame)) = split(&line) {
            decimals.observe(frame);
        }
    }
    let (price, size) = decimals.units();
    Instrument::infer(venue, symbol, price, size).map_err(|_| CaptureError::Unrecognised { path: path.to_owned() })
}

/// What a source has given so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames read.
    pub frames: u64,
    /// Depth messages applied, without those held for a snapshot.
    pub depth: u64,
    /// Depth messages that came while a snapshot was awaited.
    pub held: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Best bid and ask messages.
    pub quotes: u64,
    /// Trades.
    pub trades: u64,
    /// Mark price messages.
    pub marks: u64,
    /// Messages already known.
    pub repeated: u64,
    /// Messages without market data.
    pub other: u64,
    /// Lines and frames that could not be used.
    pub errors: u64,
    /// `Gap` events that make a book unknown.
    pub gaps: u64,
    /// `Gap` events in the trades alone.
    pub trade_gaps: u64,
    /// Frames whose receive time lies before the one before.
    pub backwards: u64,
    /// First receive time.
    pub first: Nanos,
    /// Last receive time.
    pub last: Nanos,
}

struct Source {
    feed: Binance,
    lines: Option<Lines>,
    /// The frame whose turn comes, as its line.
    line: Vec<u8>,
    ts_recv: Nanos,
    frame_at: usize,
    counts: Counts,
}

/// A capture played back: frames of all files in order of receive time, decoded into tapes.
pub struct Replay {
    sources: Vec<Source>,
    faults: Vec<CaptureError>,
    fault_count: u64,
    read: Arc<AtomicU64>,
    total: u64,
}

impl Replay {
    /// Opens capture files, each with the instrument that it holds; the index in this list is the instrument's in the
    /// tape. A file that cannot be opened becomes a fault, the others are played.
    #[must_use]
    pub fn open(files: &[(PathBuf, Instrument)]) -> Self {
        let read = Arc::new(AtomicU64::new(0));
        let mut replay = Self { sources: Vec::new(), faults: Vec::new(), fault_count: 0, read, total: 0 };
        for (index, (path, instrument)) in files.iter().enumerate() {
            replay.total += std::fs::metadata(path).map_or(0, |data| data.len());
            let lines = match Lines::open(path, Arc::clone(&replay.read)) {
                Ok(lines) => Some(lines),
                Err(error) => {
                    replay.fault(error);
                    None
                }
            };
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            replay.sources.push(Source {
                feed: Binance::new(instrument.venue, [(index, instrument)]),
                lines,
                line: Vec::new(),
                ts_recv: Nanos(i64::MIN),
                frame_at: 0,
                counts: Counts::default(),
            });
            replay.advance(index as usize, &mut Tape::default());
        }
        replay
    }

    fn fault(&mut self, error: CaptureError) {
        self.fault_count += 1;
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(error);
        }
    }

    /// Reads ahead to the next frame of one source; lines that are none become faults.
    fn advance(&mut self, at: usize, out: &mut Tape) {
        loop {
            let Some(source) = self.sources.get_mut(at) else { return };
            let Some(lines) = source.lines.as_mut() else { return };
            let error = match lines.next_into(&mut source.line) {
                Ok(true) => match split(&source.line) {
                    Some((ts_recv, frame)) => {
                        source.frame_at = source.line.len() - frame.len();
                        source.counts.backwards += u64::from(ts_recv < source.ts_recv);
                        source.ts_recv = ts_recv;
                        return;
                    }
                    None => Some(CaptureError::Line { path: lines.path.clone(), line: lines.line }),
                },
                Ok(false) => {
                    let empty = lines.line == 0;
                    let path = lines.path.clone();
                    source.lines = None;
                    empty.then_some(CaptureError::Empty { path })
                }
                Err(error) => {
                    source.lines = None;
                    // Whatever else the file held is lost: nobody may take the last touch for the present one.
                    if source.counts.frames > 0 {
                        source.counts.gaps += 1;
                        source.feed.on_loss(source.ts_recv, out);
                    }
                    Some(error)
                }
            };
            if let Some(error) = error {
                source.counts.errors += 1;
                self.fault(error);
            }
        }
    }

    /// Appends at least `rows` events to `out`, fewer only at the end. False when nothing was left.
    pub fn next_batch(&mut self, rows: usize, out: &mut Tape) -> bool {
        let enough = out.len().saturating_add(rows);
        let mut any = false;
        while out.len() < enough {
            let open = self.sources.iter().enumerate().filter(|(_, source)| source.lines.is_some());
            // Equal times keep the order of the files.
            let Some((at, _)) = open.min_by_key(|(_, source)| source.ts_recv) else { break };
            any = true;
            let Some(source) = self.sources.get_mut(at) else { break };
            let before = out.len();
            let outcome = source.feed.on_frame(source.ts_recv, &source.line[source.frame_at..], out);
            source.feed.commands().for_each(drop);
            let counts = &mut source.counts;
            if counts.frames == 0 {
                counts.first = source.ts_recv;
            }
            counts.last = source.ts_recv;
            counts.frames += 1;
            for (kind, flags) in out.kind[before..].iter().zip(&out.flags[before..]) {
                if *kind == Kind::Gap as u8 {
                    let trades = Flags(*flags).contains(Flags::TRADES);
                    *if trades { &mut counts.trade_gaps } else { &mut counts.gaps } += 1;
                }
            }
            let fault = match outcome {
                Ok(outcome) => {
                    *match outcome {
                        Outcome::Depth => &mut counts.depth,
                        Outcome::Held => &mut counts.held,
                        Outcome::Snapshot => &mut counts.snapshots,
                        Outcome::Quote => &mut counts.quotes,
                        Outcome::Trade => &mut counts.trades,
                        Outcome::Mark => &mut counts.marks,
                        Outcome::Repeated => &mut counts.repeated,
                        Outcome::Other => &mut counts.other,
                    } += 1;
                    None
                }
                Err(error) => {
                    counts.errors += 1;
                    let (path, line) = source
                        .lines
                        .as_ref()
                        .map_or_else(|| (PathBuf::new(), 0), |lines| (lines.path.clone(), lines.line));
                    Some(CaptureError::Frame { path, line, source: Box::new(error) })
                }
            };
            if let Some(fault) = fault {
                self.fault(fault);
            }
            self.advance(at, out);
        }
        any
    }

    /// What each source has given so far, in the order in which they were opened.
    pub fn counts(&self) -> impl Iterator<Item = Counts> + '_ {
        self.sources.iter().map(|source| source.counts)
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
