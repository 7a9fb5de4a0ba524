//! Reading capture files.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use memchr::memchr_iter;
use zstd::bulk::Decompressor;

use super::{
    FORMAT, HEAD, Head, Header, MAGIC, MAX_HEADER, MAX_RAW, Record, RecordKind, StoreError, take_varint, unzigzag,
};
use crate::units::Nanos;

/// Reads a capture file, block by block, in constant memory. Records borrow the block that is being read.
///
/// A block is checked whole before its first record is given. At the first that is torn or damaged the reader stops
/// with an error, which it returns from then on; [`recover`](Self::recover) goes on behind the damage.
pub struct Reader<R = BufReader<File>> {
    input: R,
    path: PathBuf,
    header: Header,
    /// Where the next head begins.
    at: u64,
    /// The number which it should have.
    number: u32,
    finished: bool,
    /// What stopped the reader, and from where on to look for a way round it.
    failed: Option<(StoreError, u64)>,
    decompressor: Decompressor<'static>,
    /// Head and zstd frame of the block being loaded.
    compressed: Vec<u8>,
    block: Vec<u8>,
    cursor: Cursor,
    /// Earliest and latest receive time so far.
    span: Option<(i64, i64)>,
    /// Blocks so far, their bytes before and after compression.
    totals: (u64, u64, u64),
}

/// Where in the block the next record's parts begin.
#[derive(Clone, Copy, Default)]
struct Cursor {
    left: u32,
    payload: usize,
    kind: usize,
    time: usize,
    length: usize,
    last: i64,
}

impl Reader {
    /// Opens a capture file and reads its header.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read or does not begin with a whole header of a version known here.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(|source| StoreError::io(path, 0, source))?;
        Self::new(BufReader::with_capacity(1 << 16, file), path)
    }
}

impl<R: Read> Reader<R> {
    /// Reads a capture from anything; `path` is what errors call it.
    ///
    /// # Errors
    /// As of [`open`](Reader::open).
    pub fn new(mut input: R, path: &Path) -> Result<Self, StoreError> {
        let torn = |expected: u64, found: u64| StoreError::Torn { path: path.to_owned(), at: 0, expected, found };
        let fail = |source| StoreError::io(path, 0, source);
        let damaged = |expected: String| StoreError::Damaged { path: path.to_owned(), at: 0, expected };

        let mut bytes = Vec::new();
        read_more(&mut input, &mut bytes, 16).map_err(fail)?;
        if !bytes.starts_with(&MAGIC[..bytes.len().min(8)]) || bytes.is_empty() {
            let found = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
            let found = if found.is_empty() { "an empty file".to_owned() } else { found };
            return Err(StoreError::NotACapture { path: path.to_owned(), found });
        }
        let word = |bytes: &[u8], at: usize| bytes.get(at..)?.first_chunk().map(|word| u32::from_le_bytes(*word));
        let (Some(version), Some(length)) = (word(&bytes, 8), word(&bytes, 12)) else {
            return Err(torn(16, bytes.len() as u64));
        };
        if version != FORMAT {
            return Err(StoreError::Version { path: path.to_owned(), found: version });
        }
        let length = length as usize;
        if length > MAX_HEADER {
            return Err(damaged(format!("a header of at most {MAX_HEADER} bytes, found {length}")));
        }
        read_more(&mut input, &mut bytes, length + 4).map_err(fail)?;
        let (Some(json), Some(crc)) = (bytes.get(16..16 + length), word(&bytes, 16 + length)) else {
            return Err(torn((length + 20) as u64, bytes.len() as u64));
        };
        if crc != crc32fast::hash(&bytes[..16 + length]) {
            return Err(damaged("a header with the CRC that stands behind it".to_owned()));
        }
        let header = serde_json::from_slice(json).map_err(|error| damaged(format!("a header: {error}")))?;
        Ok(Self {
            input,
            path: path.to_owned(),
            header,
            at: bytes.len() as u64,
            number: 0,
            finished: false,
            failed: None,
            decompressor: Decompressor::new().map_err(fail)?,
            compressed: Vec::new(),
            block: Vec::new(),
            cursor: Cursor::default(),
            span: None,
            totals: (0, 0, 0),
        })
    }

    /// What the file says about itself.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the end mark was reached. A file that is read to its end without one was cut off between two blocks, or
    /// is still being written.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Bytes read so far, in whole blocks.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.at
    }

    /// Blocks read so far, and their bytes before and after compression.
    pub(in crate::capture) fn totals(&self) -> (u64, u64, u64) {
        self.totals
    }

    /// The next record; none at the end.
    ///
    /// # Errors
    /// [`StoreError::Torn`] if the file ends inside a block, [`StoreError::Damaged`] if a block is not the one that was
    /// written, [`StoreError::Io`] if the file cannot be read. The records of all blocks before were given.
    #[expect(clippy::should_implement_trait, reason = "an `Iterator` cannot lend")]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, StoreError> {
        while self.cursor.left == 0 {
            if let Some((error, _)) = &self.failed {
                return Err(error.clone());
            }
            if self.finished || !self.next_block()? {
                return Ok(None);
            }
        }
        // The block was walked when it was loaded: there is a record, and it lies within the block.
        let Cursor { payload: start, .. } = self.cursor;
        match self.cursor.step(&self.block) {
            Some((kind, time)) => {
                let payload = self.block.get(start..self.cursor.payload).unwrap_or_default();
                Ok(Some(Record { kind, ts_recv: Nanos(time), payload }))
            }
            None => {
                self.cursor.left = 0;
                Err(self.damaged("a block that has not changed since it was checked"))
            }
        }
    }

    fn fail(&mut self, error: StoreError, go_on: u64) -> StoreError {
        self.failed = Some((error.clone(), go_on));
        error
    }

    fn damaged(&mut self, expected: impl Into<String>) -> StoreError {
        let error = StoreError::Damaged { path: self.path.clone(), at: self.at, expected: expected.into() };
        self.fail(error, self.at + 1)
    }

    /// Reads up to `count` bytes behind those in `compressed`; an error if there are fewer.
    fn fill(&mut self, count: usize) -> Result<(), StoreError> {
        let expected = self.compressed.len() + count;
        if let Err(source) = read_more(&mut self.input, &mut self.compressed, count) {
            let error = StoreError::io(&self.path, self.at, source);
            return Err(self.fail(error, self.at + 1));
        }
        if self.compressed.len() < expected {
            let (expected, found) = (expected as u64, self.compressed.len() as u64);
            let error = StoreError::Torn { path: self.path.clone(), at: self.at, expected, found };
            return Err(self.fail(error, self.at + 1));
        }
        Ok(())
    }

    /// Loads and checks the next block. False at the end.
    fn next_block(&mut self) -> Result<bool, StoreError> {
        self.compressed.clear();
        if let Err(error) = self.fill(HEAD) {
            if self.compressed.is_empty() && matches!(error, StoreError::Torn { .. }) {
                self.failed = None;
                return Ok(false);
            }
            return Err(error);
        }
        let Some(head) = self.compressed.first_chunk().and_then(Head::from_bytes) else {
            return Err(self.damaged("the head of a block, or an end mark, with the CRC that stands in it"));
        };
        if head.number != self.number {
            let expected = format!("block {}, found block {}", self.number, head.number);
            let error = StoreError::Damaged { path: self.path.clone(), at: self.at, expected };
            return Err(self.fail(error, self.at));
        }
        if head.end {
            return self.end(head);
        }
        let (compressed, raw, payload) = (head.compressed as usize, head.raw as usize, head.payload as usize);
        let rest = raw.checked_sub(payload);
        if raw > MAX_RAW
            || compressed > zstd::zstd_safe::compress_bound(raw)
            || head.records == 0
            || rest.is_none_or(|rest| rest / 3 < head.records as usize)
        {
            return Err(self.damaged(format!("a block of possible lengths, at most {MAX_RAW} bytes")));
        }
        self.fill(compressed)?;
        if crc32fast::hash(&self.compressed[HEAD..]) != head.crc {
            return Err(self.damaged("a block with the CRC that stands in its head"));
        }
        self.block.clear();
        self.block.reserve(raw);
        let decompressed = self.decompressor.decompress_to_buffer(&self.compressed[HEAD..], &mut self.block);
        if !decompressed.is_ok_and(|count| count == raw && self.block.len() == raw) {
            return Err(self.damaged(format!("a zstd frame of {raw} bytes")));
        }
        let Some(cursor) = Cursor::check(&self.block, &head) else {
            return Err(self.damaged("records as the head of their block counts them"));
        };
        self.cursor = cursor;
        self.at += (HEAD + compressed) as u64;
        self.number = self.number.wrapping_add(1);
        let (earliest, latest) = self.span.unwrap_or((head.earliest, head.latest));
        self.span = Some((earliest.min(head.earliest), latest.max(head.latest)));
        self.totals =
            (self.totals.0 + 1, self.totals.1 + u64::from(head.raw), self.totals.2 + u64::from(head.compressed));
        Ok(true)
    }

    fn end(&mut self, head: Head) -> Result<bool, StoreError> {
        let (earliest, latest) = self.span.unwrap_or_default();
        let whole = self.totals.0 == u64::from(head.number);
        let expected = Head {
            end: true,
            number: head.number,
            compressed: 0,
            raw: 0,
            payload: 0,
            records: 0,
            crc: 0,
            earliest,
            latest,
        };
        // After damage the times of the lost blocks are not known.
        if whole && head != expected {
            return Err(self.damaged("an end mark with the times of the blocks before it"));
        }
        self.at += HEAD as u64;
        self.compressed.clear();
        match self.fill(1) {
            Err(StoreError::Torn { .. }) => {
                self.failed = None;
                self.finished = true;
                Ok(false)
            }
            Err(error) => Err(error),
            Ok(()) => Err(self.damaged("the end of the file behind the end mark")),
        }
    }
}

impl<R: Read + Seek> Reader<R> {
    /// Goes on behind what stopped the reader, at the next block or end mark whose head is whole, and says how many
    /// blocks were lost between. None if there is no such head, or if nothing stopped the reader.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the file cannot be read.
    pub fn recover(&mut self) -> Result<Option<u32>, StoreError> {
        let Some((_, mut base)) = self.failed else { return Ok(None) };
        if let Err(source) = self.input.seek(SeekFrom::Start(base)) {
            return Err(StoreError::io(&self.path, base, source));
        }
        let mut window = Vec::new();
        loop {
            let known = window.len();
            let read = read_more(&mut self.input, &mut window, 1 << 16);
            read.map_err(|source| StoreError::io(&self.path, base + known as u64, source))?;
            let heads = memchr_iter(b'X', &window);
            let mut heads =
                heads.filter_map(|at| Some((at, window.get(at..)?.first_chunk().and_then(Head::from_bytes)?)));
            if let Some((at, head)) = heads.find(|(_, head)| head.number >= self.number) {
                let at = base + at as u64;
                self.input.seek(SeekFrom::Start(at)).map_err(|source| StoreError::io(&self.path, at, source))?;
                let lost = head.number - self.number;
                (self.at, self.number, self.failed) = (at, head.number, None);
                return Ok(Some(lost));
            }
            if window.len() == known {
                return Ok(None);
            }
            // A head may lie across two windows.
            let done = window.len().saturating_sub(HEAD - 1);
            window.drain(..done);
            base += done as u64;
        }
    }
}

impl Cursor {
    /// Walks through a whole block: none if it does not hold what its head says.
    fn check(block: &[u8], head: &Head) -> Option<Self> {
        let records = head.records as usize;
        let kind = head.payload as usize;
        let time = kind.checked_add(records)?;
        let mut length = time;
        for _ in 0..records {
            take_varint(block, &mut length)?;
        }
        let start = Self { left: head.records, payload: 0, kind, time, length, last: head.earliest };
        let (mut walk, mut earliest, mut latest) = (start, i64::MAX, i64::MIN);
        while walk.left > 0 {
            let (_, time) = walk.step(block)?;
            (earliest, latest) = (earliest.min(time), latest.max(time));
        }
        let whole = walk.payload == kind && walk.time == length && walk.length == block.len();
        (whole && earliest == head.earliest && latest == head.latest).then_some(start)
    }

    /// Moves behind the next record; its kind and time.
    fn step(&mut self, block: &[u8]) -> Option<(RecordKind, i64)> {
        let kind = RecordKind::from_code(*block.get(self.kind)?)?;
        let delta = unzigzag(take_varint(block, &mut self.time)?);
        let length = usize::try_from(take_varint(block, &mut self.length)?).ok()?;
        self.payload = self.payload.checked_add(length)?;
        self.kind += 1;
        self.last = self.last.wrapping_add(delta);
        self.left -= 1;
        Some((kind, self.last))
    }
}

/// Appends up to `count` bytes, fewer only at the end. Memory grows with what comes, not with what is promised.
fn read_more(input: &mut impl Read, bytes: &mut Vec<u8>, count: usize) -> io::Result<()> {
    input.take(count as u64).read_to_end(bytes).map(|_| ())
}
