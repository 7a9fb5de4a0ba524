//! Captures that are lines of text, gzipped or plain, in the three forms that exist:
//!
//! * `<receive ns> <frame>`: one connection;
//! * `<frame>` alone, without a receive time: then it is unknown;
//! * cryptofeed's raw files: `<url> <-> <s>` a connection opened, `<url> <- <s>: <text>` sent, `<s>: <frame>` received,
//!   `<url> -> <s>: <body>` a REST response, `configuration: …`; seconds with a fraction.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;
use memchr::{memchr, memmem};

use super::{CaptureError, Kind};
use crate::units::{Nanos, POW10};

/// A line longer than this is no frame of any venue.
pub(super) const MAX_LINE: usize = 64 << 20;

/// Which form the lines of a file have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Timed,
    Bare,
    Cryptofeed,
}

/// One record, its parts as places in the line.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub kind: Kind,
    pub ts_recv: Nanos,
    pub url: Range<usize>,
    pub payload: Range<usize>,
}

/// Lines of one file.
pub(super) struct Lines {
    pub path: PathBuf,
    reader: BufReader<Box<dyn Read + Send>>,
    pub form: Form,
    pub line: u64,
    longest: usize,
    /// The first line, which told the form, until it is read.
    first: Option<Vec<u8>>,
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
    /// Opens a file whose lines are at most `longest` bytes long.
    pub(super) fn open(path: &Path, read: Arc<AtomicU64>, longest: usize) -> Result<Self, CaptureError> {
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
        let path = path.to_owned();
        let mut lines = Self { path, reader, form: Form::Timed, line: 0, longest, first: None };
        let mut first = Vec::new();
        // A file that is damaged from its first line on is reported when it is read.
        if matches!(lines.read_line(&mut first), Ok(true)) {
            let text = first.trim_ascii_start();
            lines.form = match text.first() {
                Some(b'{' | b'[') => Form::Bare,
                _ if text.starts_with(b"http") || text.starts_with(b"ws") || text.starts_with(b"configuration") => {
                    Form::Cryptofeed
                }
                _ if seconds(text).is_some_and(|(_, rest)| rest.starts_with(b": ")) => Form::Cryptofeed,
                _ => Form::Timed,
            };
            lines.first = Some(first);
            lines.line = 0;
        }
        Ok(lines)
    }

    fn damaged(&self, source: io::Error) -> CaptureError {
        CaptureError::Damaged { path: self.path.clone(), line: self.line, source }
    }

    /// Puts the next line into `line`, without its end. False at the end of the file.
    pub(super) fn next_into(&mut self, line: &mut Vec<u8>) -> Result<bool, CaptureError> {
        if let Some(first) = self.first.take() {
            *line = first;
            self.line = 1;
            return Ok(true);
        }
        self.read_line(line)
    }

    fn read_line(&mut self, line: &mut Vec<u8>) -> Result<bool, CaptureError> {
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
            if line.len() > self.longest {
                let expected = format!("expected lines of at most {} MiB", self.longest >> 20);
                return Err(self.damaged(io::Error::new(io::ErrorKind::InvalidData, expected)));
            }
            if end.is_some() {
                self.line += 1;
                return Ok(true);
            }
        }
    }

    /// What a line says; `None` if it is not of this file's form. Lines without a word for us are `Kind::Note`.
    pub(super) fn parts(&self, line: &[u8]) -> Result<Parts, CaptureError> {
        let found = match self.form {
            Form::Timed if line.trim_ascii().is_empty() => {
                Some(Parts { kind: Kind::Note, ts_recv: Nanos::UNKNOWN, url: 0..0, payload: 0..line.len() })
            }
            Form::Timed => timed(line),
            Form::Bare => {
                let (ts_recv, url) = (Nanos::UNKNOWN, 0..0);
                let kind = if line.trim_ascii().is_empty() { Kind::Note } else { Kind::Received };
                Some(Parts { kind, ts_recv, url, payload: 0..line.len() })
            }
            Form::Cryptofeed => cryptofeed(line),
        };
        let expected = match self.form {
            Form::Timed => "`<receive ns> <JSON>`",
            Form::Bare => "JSON",
            Form::Cryptofeed => "`<seconds>: <JSON>` or `<url> <mark> <seconds>: <text>`",
        };
        found.ok_or_else(|| CaptureError::Line { path: self.path.clone(), line: self.line, expected })
    }
}

/// Splits a line into receive time and frame.
#[inline]
fn timed(line: &[u8]) -> Option<Parts> {
    let space = memchr(b' ', line)?;
    let time: i64 = std::str::from_utf8(line.get(..space)?).ok()?.parse().ok()?;
    Some(Parts { kind: Kind::Received, ts_recv: Nanos(time), url: 0..0, payload: space + 1..line.len() })
}

/// Seconds with a fraction at the beginning of a text, exactly, and the rest.
fn seconds(text: &[u8]) -> Option<(Nanos, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.').unwrap_or(text.len());
    let (number, rest) = text.split_at_checked(end)?;
    let point = memchr(b'.', number).unwrap_or(number.len());
    let digits = |text: &[u8]| -> Option<i64> {
        text.iter().try_fold(0_i64, |value, byte| {
            byte.is_ascii_digit().then(|| value.checked_mul(10)?.checked_add(i64::from(byte - b'0')))?
        })
    };
    let whole = digits(number.get(..point).filter(|whole| !whole.is_empty())?)?;
    let fraction = number.get(point + 1..).unwrap_or_default();
    let fraction = fraction.get(..fraction.len().min(9))?;
    let nanos = digits(fraction)?.checked_mul(*POW10.get(9 - fraction.len())?)?;
    Some((Nanos(whole.checked_mul(1_000_000_000)?.checked_add(nanos)?), rest))
}

fn cryptofeed(line: &[u8]) -> Option<Parts> {
    if line.trim_ascii().is_empty() || line.starts_with(b"configuration:") {
        return Some(Parts { kind: Kind::Note, ts_recv: Nanos::UNKNOWN, url: 0..0, payload: 0..line.len() });
    }
    if let Some((ts_recv, rest)) = seconds(line) {
        let rest = rest.strip_prefix(b": ")?;
        return Some(Parts { kind: Kind::Received, ts_recv, url: 0..0, payload: line.len() - rest.len()..line.len() });
    }
    // `<url> <mark> <seconds>[: <text>]`; an address has no space.
    let space = memchr(b' ', line)?;
    let rest = line.get(space + 1..)?;
    let (kind, rest) = if let Some(rest) = rest.strip_prefix(b"<-> ") {
        (Kind::Opened, rest)
    } else if let Some(rest) = rest.strip_prefix(b"<- ") {
        (Kind::Sent, rest)
    } else {
        (Kind::Rest, rest.strip_prefix(b"-> ")?)
    };
    let (ts_recv, rest) = seconds(rest)?;
    let start = memmem::find(rest, b": ").map_or(line.len(), |at| line.len() - rest.len() + at + 2);
    Some(Parts { kind, ts_recv, url: 0..space, payload: start..line.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_keep_every_digit() {
        assert_eq!(seconds(b"1618677543.9514391: x"), Some((Nanos(1_618_677_543_951_439_100), &b": x"[..])));
        assert_eq!(seconds(b"12"), Some((Nanos(12_000_000_000), &b""[..])));
        assert_eq!(seconds(b"1.12345678912"), Some((Nanos(1_123_456_789), &b""[..])));
        assert_eq!(seconds(b".5"), None);
        assert_eq!(seconds(b"99999999999999999999"), None);
    }

    #[test]
    fn cryptofeed_lines_tell_sent_from_received() {
        let line = b"wss://x/ws <- 1.5: {\"op\":1}";
        let parts = cryptofeed(line).expect("a line");
        assert_eq!((parts.kind, parts.ts_recv), (Kind::Sent, Nanos(1_500_000_000)));
        assert_eq!(&line[parts.payload], b"{\"op\":1}");
        assert_eq!(&line[parts.url], b"wss://x/ws");
        assert_eq!(cryptofeed(b"wss://x/ws <-> 1.5").map(|parts| parts.kind), Some(Kind::Opened));
        assert_eq!(cryptofeed(b"https://x/y?z=1 -> 1.5: []").map(|parts| parts.kind), Some(Kind::Rest));
        assert!(cryptofeed(b"nonsense").is_none());
    }
}
