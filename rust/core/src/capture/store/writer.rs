//! Writing capture files.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use zstd::bulk::Compressor;

use super::{
    CLOCK, EXTENSION, FORMAT, HEAD, Head, Header, MAGIC, MAX_HEADER, MAX_OVERHEAD, MAX_PAYLOAD, MAX_RAW, Meta, Options,
    Record, RecordKind, StoreError, SyncPolicy, put_varint, zigzag,
};
use crate::capture::manifest::{Content, Manifest};
use crate::units::Nanos;

const HOUR: i64 = 3_600_000_000_000;
/// So many files of one connection begin in one hour before something must be wrong.
const MAX_FILES: u32 = 100_000;

/// Writes what happens on one connection. It reads no clock: times come in.
///
/// Call [`tick`](Self::tick) with the receive time before appending what came at that time, and some ten times a second
/// while nothing comes: then each file holds its hour exactly, and a crash loses at most [`Options::flush_interval`].
/// Writing a block of 256 KiB takes about half a millisecond, finishing a file as long as the disk needs: a thread that
/// also stamps receive times should stamp them first, or leave the writer to another thread.
///
/// After an error of the disk the writer has failed: it returns that error from then on. What was written before stays
/// readable, and a new writer takes a new name. A writer that is dropped without [`finish`](Self::finish) writes its
/// last block if it can, and neither end mark nor manifest.
pub struct Writer {
    folder: PathBuf,
    meta: Meta,
    options: Options,
    interval: u64,
    compressor: Compressor<'static>,
    failed: Option<StoreError>,
    output: Output,
    block: Block,
}

/// The file being written.
struct Output {
    file: File,
    path: PathBuf,
    name: String,
    hour: i64,
    continues: Option<String>,
    /// Bytes written whole.
    bytes: u64,
    hash: Sha256,
    content: Content,
}

/// The block in the making.
#[derive(Default)]
struct Block {
    /// Payloads; for compression the other columns are added behind them.
    payloads: Vec<u8>,
    kinds: Vec<u8>,
    times: Vec<u8>,
    lengths: Vec<u8>,
    records: u32,
    /// Receive times of the first and the last record.
    first: i64,
    last: i64,
    earliest: i64,
    latest: i64,
    /// Head and zstd frame, written in one call. It keeps its length.
    out: Vec<u8>,
}

impl Block {
    fn raw_len(&self) -> usize {
        self.payloads.len() + self.kinds.len() + self.times.len() + self.lengths.len()
    }

    fn push(&mut self, record: &Record<'_>) {
        let Nanos(time) = record.ts_recv;
        if self.records == 0 {
            // The difference of the first from the earliest is known at the end only; it is put in front then.
            (self.first, self.earliest, self.latest) = (time, time, time);
        } else {
            put_varint(&mut self.times, zigzag(time.wrapping_sub(self.last)));
            (self.earliest, self.latest) = (self.earliest.min(time), self.latest.max(time));
        }
        self.last = time;
        self.kinds.push(record.kind as u8);
        put_varint(&mut self.lengths, record.payload.len() as u64);
        self.payloads.extend_from_slice(record.payload);
        self.records += 1;
    }

    fn clear(&mut self) {
        self.payloads.clear();
        self.kinds.clear();
        self.times.clear();
        self.lengths.clear();
        self.records = 0;
    }
}

impl Writer {
    /// Begins a file in `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if venue, protocol or connection cannot be part of a file's name;
    /// [`StoreError::Io`] and [`StoreError::Full`] from the disk.
    pub fn new(folder: &Path, meta: Meta, options: Options, now: Nanos) -> Result<Self, StoreError> {
        for part in [&meta.venue, &meta.protocol, &meta.connection] {
            let fits = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
            if !fits || part.is_empty() || part.len() > 64 {
                let expected = format!("a venue, protocol or connection of 1 to 64 of [A-Za-z0-9_-], found `{part}`");
                return Err(StoreError::refused(folder, expected));
            }
        }
        fs::create_dir_all(folder).map_err(|source| StoreError::io(folder, 0, source))?;
        let compressor = Compressor::new(options.level).map_err(|source| StoreError::io(folder, 0, source))?;
        let output = Output::begin(folder, &meta, options.sync, now, None)?;
        Ok(Self {
            folder: folder.to_owned(),
            meta,
            options: Options { block_bytes: options.block_bytes.clamp(4 << 10, 16 << 20), ..options },
            interval: u64::try_from(options.flush_interval.as_nanos()).unwrap_or(u64::MAX),
            compressor,
            failed: None,
            output,
            block: Block::default(),
        })
    }

    /// The file being written.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.output.path
    }

    /// Bytes written to it so far; what is still to be compressed is not counted.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.output.bytes
    }

    /// What stopped the writer, if something did.
    #[must_use]
    pub fn failed(&self) -> Option<&StoreError> {
        self.failed.as_ref()
    }

    /// Appends a record.
    ///
    /// # Errors
    /// [`StoreError::TooLong`] and [`StoreError::Refused`] (a [`RecordKind::Lost`] without its count, a
    /// [`RecordKind::Response`] without its newline) leave the writer as it was; any other error is the end of it.
    pub fn append(&mut self, record: Record<'_>) -> Result<(), StoreError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        match record.kind {
            RecordKind::Lost if record.lost().is_none() => {
                Err(StoreError::refused(&self.output.path, "a count of eight bytes before the reason"))
            }
            RecordKind::Response if record.response().is_none() => {
                Err(StoreError::refused(&self.output.path, "an address and a newline before the body"))
            }
            _ => self.push(&record),
        }
    }

    /// Appends many received frames that came in one read: `payload` holds them end to end, `ends` where each ends.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if `ends` falls or its last is not the end of `payload`, and [`StoreError::TooLong`]:
    /// then no frame was taken. Any other error is the end of the writer.
    pub fn append_batch(&mut self, ts_recv: Nanos, payload: &[u8], ends: &[u32]) -> Result<(), StoreError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let mut start = 0;
        for end in ends {
            let end = *end as usize;
            let Some(length) = end.checked_sub(start) else {
                return Err(StoreError::refused(&self.output.path, format!("rising ends, found {end} after {start}")));
            };
            if length > MAX_PAYLOAD {
                return Err(StoreError::TooLong { path: self.output.path.clone(), length });
            }
            start = end;
        }
        if start != payload.len() {
            let expected = format!("a last end of {}, found {start}", payload.len());
            return Err(StoreError::refused(&self.output.path, expected));
        }
        start = 0;
        for end in ends {
            let end = *end as usize;
            self.push(&Record { kind: RecordKind::Received, ts_recv, payload: &payload[start..end] })?;
            start = end;
        }
        Ok(())
    }

    /// Appends a [`RecordKind::Response`].
    ///
    /// # Errors
    /// As of [`append`](Self::append); an address with a newline in it is refused.
    pub fn append_response(&mut self, ts_recv: Nanos, url: &str, body: &[u8]) -> Result<(), StoreError> {
        if url.contains('\n') {
            return Err(StoreError::refused(&self.output.path, "an address without a newline"));
        }
        let payload = [url.as_bytes(), b"\n", body].concat();
        self.append(Record { kind: RecordKind::Response, ts_recv, payload: &payload })
    }

    /// Appends a [`RecordKind::Lost`]: so many frames came and could not be kept.
    ///
    /// # Errors
    /// As of [`append`](Self::append).
    pub fn append_lost(&mut self, ts_recv: Nanos, count: u64, reason: &str) -> Result<(), StoreError> {
        let payload = [&count.to_le_bytes(), reason.as_bytes()].concat();
        self.append(Record { kind: RecordKind::Lost, ts_recv, payload: &payload })
    }

    /// Lets time pass: writes the block if it is due; at a new hour, or when the file is long enough, finishes the file
    /// and begins the next. The manifest of a finished file is returned; `feed` gives its `feed`, as JSON, and is
    /// called only then.
    ///
    /// A clock that steps back within the last hour stays in its file.
    ///
    /// # Errors
    /// Those of the disk; they are the end of the writer.
    pub fn tick(&mut self, now: Nanos, feed: impl FnOnce() -> Box<RawValue>) -> Result<Option<Manifest>, StoreError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let hour = now.0.div_euclid(HOUR);
        let long =
            self.options.max_bytes.is_some_and(|most| self.output.bytes >= most && self.output.content.blocks > 0);
        if long || (hour != self.output.hour && hour != self.output.hour - 1) {
            let closed = self.close(feed());
            let manifest = self.keep(closed)?;
            let previous = Some(self.output.name.clone());
            let begun = Output::begin(&self.folder, &self.meta, self.options.sync, now, previous);
            self.output = self.keep(begun)?;
            return Ok(Some(manifest));
        }
        if self.due(now.0) {
            self.flush()?;
        }
        Ok(None)
    }

    /// Writes the block in the making, however small.
    ///
    /// # Errors
    /// Those of the disk; they are the end of the writer.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let written = self.write_block();
        self.keep(written)
    }

    /// Writes everything: the last block, the end mark, the manifest with `feed` in it.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn finish(mut self, feed: Box<RawValue>) -> Result<Manifest, StoreError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let closed = self.close(feed);
        self.keep(closed)
    }

    /// An error of the disk is kept: the writer has failed.
    fn keep<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result {
            self.failed = Some(error.clone());
        }
        result
    }

    /// Whether the block in the making has waited long enough. A clock that jumped says so too, whichever way.
    fn due(&self, now: i64) -> bool {
        self.block.records > 0 && now.abs_diff(self.block.first) >= self.interval
    }

    fn push(&mut self, record: &Record<'_>) -> Result<(), StoreError> {
        let length = record.payload.len();
        if length > MAX_PAYLOAD {
            return Err(StoreError::TooLong { path: self.output.path.clone(), length });
        }
        // The first time's difference is not in yet.
        let room = MAX_RAW - MAX_OVERHEAD - self.block.raw_len().min(MAX_RAW - MAX_OVERHEAD);
        if self.due(record.ts_recv.0) || (self.block.records > 0 && length + MAX_OVERHEAD > room) {
            self.flush()?;
        }
        self.block.push(record);
        self.output.content.add(record);
        if self.block.raw_len() >= self.options.block_bytes {
            self.flush()?;
        }
        Ok(())
    }

    fn write_block(&mut self) -> Result<(), StoreError> {
        let block = &mut self.block;
        if block.records == 0 {
            return Ok(());
        }
        let output = &mut self.output;
        let fits = |length: usize| {
            u32::try_from(length).map_err(|_| StoreError::refused(&output.path, "a block of less than 4 GiB"))
        };
        let payload = fits(block.payloads.len())?;
        block.payloads.append(&mut block.kinds);
        put_varint(&mut block.payloads, zigzag(block.first.wrapping_sub(block.earliest)));
        block.payloads.append(&mut block.times);
        block.payloads.append(&mut block.lengths);
        let raw = fits(block.payloads.len())?;
        let bound = HEAD + zstd::zstd_safe::compress_bound(block.payloads.len());
        if block.out.len() < bound {
            block.out.resize(bound, 0);
        }
        let count = self
            .compressor
            .compress_to_buffer(&block.payloads, &mut block.out[HEAD..])
            .map_err(|source| StoreError::io(&output.path, output.bytes, source))?;
        let compressed = fits(count)?;
        let head = Head {
            end: false,
            number: u32::try_from(output.content.blocks).unwrap_or(u32::MAX),
            compressed,
            raw,
            payload,
            records: block.records,
            earliest: block.earliest,
            latest: block.latest,
            crc: crc32fast::hash(&block.out[HEAD..HEAD + count]),
        };
        block.out[..HEAD].copy_from_slice(&head.to_bytes());
        output.write(&block.out[..HEAD + count])?;
        if self.options.sync == SyncPolicy::Block {
            output.file.sync_data().map_err(|source| StoreError::io(&output.path, output.bytes, source))?;
        }
        output.content.blocks += 1;
        output.content.raw += u64::from(raw);
        output.content.compressed += u64::from(compressed);
        block.clear();
        Ok(())
    }

    fn close(&mut self, feed: Box<RawValue>) -> Result<Manifest, StoreError> {
        self.write_block()?;
        let output = &mut self.output;
        let (earliest, latest) = output.content.span.unwrap_or_default();
        let head = Head {
            end: true,
            number: u32::try_from(output.content.blocks).unwrap_or(u32::MAX),
            compressed: 0,
            raw: 0,
            payload: 0,
            records: 0,
            earliest,
            latest,
            crc: 0,
        };
        output.write(&head.to_bytes())?;
        let sync = self.options.sync != SyncPolicy::Never;
        if sync {
            output.file.sync_all().map_err(|source| StoreError::io(&output.path, output.bytes, source))?;
        }
        let (continues, hash) = (output.continues.clone(), output.hash.clone());
        let manifest = output.content.manifest(&output.path, true, continues, output.bytes, hash, feed);
        manifest.write(&output.path, sync)?;
        Ok(manifest)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.failed.is_none() {
            // Nobody is left to hear of an error.
            let _ = self.write_block();
        }
    }
}

impl Output {
    fn begin(
        folder: &Path,
        meta: &Meta,
        sync: SyncPolicy,
        now: Nanos,
        continues: Option<String>,
    ) -> Result<Self, StoreError> {
        let header = Header {
            meta: meta.clone(),
            started: now,
            clock: CLOCK.to_owned(),
            crossbook: env!("CARGO_PKG_VERSION").to_owned(),
            continues,
        };
        let json = serde_json::to_vec(&header)
            .map_err(|error| StoreError::refused(folder, format!("metadata that JSON can hold: {error}")))?;
        let length = u32::try_from(json.len()).ok().filter(|_| json.len() <= MAX_HEADER).ok_or_else(|| {
            StoreError::refused(folder, format!("a header of at most {MAX_HEADER} bytes, found {}", json.len()))
        })?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&json);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());

        let hour = now.0.div_euclid(HOUR);
        let stem = format!("{}-{}-{}-{}", meta.venue, meta.protocol, meta.connection, hour_name(hour));
        for n in 0..MAX_FILES {
            let name = if n == 0 { format!("{stem}.{EXTENSION}") } else { format!("{stem}.{n}.{EXTENSION}") };
            let path = folder.join(&name);
            // A manifest whose file was moved away still keeps its name.
            if Manifest::path_of(&path).exists() {
                continue;
            }
            let file = match OpenOptions::new().append(true).create_new(true).open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(StoreError::io(&path, 0, error)),
            };
            let (hash, content, continues) = (Sha256::new(), Content::default(), header.continues);
            let mut output = Self { file, path, name, hour, continues, bytes: 0, hash, content };
            if let Err(error) = output.write(&bytes) {
                // It holds nothing yet; trying again on a full disk must not leave a trail of empty files.
                let _ = fs::remove_file(&output.path);
                return Err(error);
            }
            if sync == SyncPolicy::Block {
                let synced = output
                    .file
                    .sync_all()
                    .and_then(|()| if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) });
                synced.map_err(|source| StoreError::io(&output.path, output.bytes, source))?;
            }
            return Ok(output);
        }
        Err(StoreError::refused(folder, format!("fewer than {MAX_FILES} files named {stem}")))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(|source| StoreError::io(&self.path, self.bytes, source))?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// `YYYYMMDDTHH` of an hour since the epoch, UTC.
fn hour_name(hour: i64) -> String {
    // Days to a date, as in H. Hinnant, "chrono-compatible low-level date algorithms": years begin in March.
    let (day, hour) = (hour.div_euclid(24) + 719_468, hour.rem_euclid(24));
    let (era, day) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (date, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year + i64::from(month <= 2);
    format!("{year:04}{month:02}{date:02}T{hour:02}")
}

#[cfg(test)]
impl Writer {
    /// Lets later blocks go to another file, as if the disk had changed under the writer.
    pub(super) fn redirect(&mut self, file: File) {
        self.output.file = file;
    }
}

#[cfg(test)]
pub(super) fn hour_name_of(now: Nanos) -> String {
    hour_name(now.0.div_euclid(HOUR))
}
