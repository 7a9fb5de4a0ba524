//! What a capture file holds, in a small JSON file beside it: written when the file is finished, so that a day of
//! captures can be surveyed and checked without reading it.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::store::{FORMAT, Reader, Record, RecordKind, StoreError};
use crate::units::Nanos;

/// Numbers of records by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RecordCounts {
    /// Frames received.
    pub received: u64,
    /// Frames sent.
    pub sent: u64,
    /// Connections opened.
    pub opened: u64,
    /// Connections closed.
    pub closed: u64,
    /// Answers over HTTP.
    pub responses: u64,
    /// Records that say that frames were lost.
    pub losses: u64,
    /// Frames lost, as those records say.
    pub frames_lost: u64,
    /// Remarks.
    pub notes: u64,
}

impl RecordCounts {
    pub(super) fn count(&mut self, record: &Record<'_>) {
        let count = match record.kind {
            RecordKind::Received => &mut self.received,
            RecordKind::Sent => &mut self.sent,
            RecordKind::Opened => &mut self.opened,
            RecordKind::Closed => &mut self.closed,
            RecordKind::Response => &mut self.responses,
            RecordKind::Lost => {
                let lost = record.lost().map_or(0, |(count, _)| count);
                self.frames_lost = self.frames_lost.saturating_add(lost);
                &mut self.losses
            }
            RecordKind::Note => &mut self.notes,
        };
        *count += 1;
    }

    /// All records.
    #[must_use]
    pub const fn records(&self) -> u64 {
        let frames = self.received + self.sent;
        frames + self.opened + self.closed + self.responses + self.losses + self.notes
    }
}

/// What a capture file holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Manifest {
    /// Name of the file.
    pub file: String,
    /// Its format's version.
    pub format: u32,
    /// It ends with an end mark: nothing is missing at its end.
    pub finished: bool,
    /// The file that it continues, by its header.
    pub continues: Option<String>,
    /// Length of the file.
    pub bytes: u64,
    /// SHA-256 of the file, in hex, as `sha256sum` prints it.
    pub sha256: String,
    /// Blocks.
    pub blocks: u64,
    /// Bytes in the blocks before compression.
    pub raw_bytes: u64,
    /// Bytes in the blocks after compression, without their heads.
    pub compressed_bytes: u64,
    /// Bytes of all payloads.
    pub payload_bytes: u64,
    /// Records by kind.
    pub counts: RecordCounts,
    /// Earliest receive time, if there is a record.
    #[serde(with = "maybe_nanos")]
    pub earliest: Option<Nanos>,
    /// Latest receive time.
    #[serde(with = "maybe_nanos")]
    pub latest: Option<Nanos>,
    /// What the decoder of the frames had to say: counts per stream, ranges of sequence numbers, gaps.
    pub feed: Box<RawValue>,
}

impl Manifest {
    /// Where the manifest of a capture file lies.
    #[must_use]
    pub fn path_of(capture: &Path) -> PathBuf {
        // The stem may hold a dot, `.1`; only the extension goes.
        capture.with_extension("json")
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read or is no manifest.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        let text = fs::read(path).map_err(|source| StoreError::io(path, 0, source))?;
        serde_json::from_slice(&text).map_err(|error| StoreError::refused(path, format!("a manifest: {error}")))
    }

    /// Makes the manifest of a capture file from the file itself: for one that was cut off, or to compare with the one
    /// beside it. The second is what stopped the reader, if something did; the manifest counts what came before, its
    /// length and hash are those of the whole file. `feed` is null.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read or its header is none.
    pub fn survey(path: &Path) -> Result<(Self, Option<StoreError>), StoreError> {
        let mut reader = Reader::open(path)?;
        let mut content = Content::default();
        let stopped = loop {
            match reader.next() {
                Ok(Some(record)) => content.add(&record),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        (content.blocks, content.raw, content.compressed) = reader.totals();
        let mut file = File::open(path).map_err(|source| StoreError::io(path, 0, source))?;
        let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    hash.update(&buffer[..count]);
                    bytes += count as u64;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(StoreError::io(path, bytes, error)),
            }
        }
        let continues = reader.header().continues.clone();
        let feed = RawValue::NULL.to_owned();
        let manifest = content.manifest(path, reader.is_finished(), continues, bytes, hash, feed);
        Ok((manifest, stopped))
    }

    /// Writes it beside its capture file: whole or not at all, as it gets its name last.
    pub(super) fn write(&self, capture: &Path, sync: bool) -> Result<(), StoreError> {
        let path = Self::path_of(capture);
        let folder = path.parent().unwrap_or(Path::new("."));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let draft = folder.join(format!(".{name}.tmp"));
        let written = (|| {
            let mut text = serde_json::to_vec_pretty(self)?;
            text.push(b'\n');
            let mut file = File::create(&draft)?;
            file.write_all(&text)?;
            if sync {
                file.sync_all()?;
            }
            fs::rename(&draft, &path)?;
            if sync && cfg!(unix) {
                File::open(folder)?.sync_all()?;
            }
            Ok(())
        })();
        written.map_err(|source| {
            // Best effort: a draft left behind is in nobody's way.
            let _ = fs::remove_file(&draft);
            StoreError::io(&path, 0, source)
        })
    }
}

/// What a manifest is made of, while the file is being written or read.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pub counts: RecordCounts,
    pub payload: u64,
    pub blocks: u64,
    pub raw: u64,
    pub compressed: u64,
    /// Earliest and latest receive time.
    pub span: Option<(i64, i64)>,
}

impl Content {
    pub fn add(&mut self, record: &Record<'_>) {
        self.counts.count(record);
        self.payload += record.payload.len() as u64;
        let Nanos(time) = record.ts_recv;
        self.span = Some(self.span.map_or((time, time), |(earliest, latest)| (earliest.min(time), latest.max(time))));
    }

    pub fn manifest(
        &self,
        path: &Path,
        finished: bool,
        continues: Option<String>,
        bytes: u64,
        hash: Sha256,
        feed: Box<RawValue>,
    ) -> Manifest {
        let sha256 = hash.finalize().iter().fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        Manifest {
            file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            format: FORMAT,
            finished,
            continues,
            bytes,
            sha256,
            blocks: self.blocks,
            raw_bytes: self.raw,
            compressed_bytes: self.compressed,
            payload_bytes: self.payload,
            counts: self.counts,
            earliest: self.span.map(|(earliest, _)| Nanos(earliest)),
            latest: self.span.map(|(_, latest)| Nanos(latest)),
            feed,
        }
    }
}

/// A time in JSON: its nanoseconds.
pub(super) mod nanos {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::units::Nanos;

    pub fn serialize<S: Serializer>(time: &Nanos, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(time.0)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Nanos, D::Error> {
        i64::deserialize(deserializer).map(Nanos)
    }
}

/// A time in JSON, or null.
mod maybe_nanos {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::units::Nanos;

    pub fn serialize<S: Serializer>(time: &Option<Nanos>, serializer: S) -> Result<S::Ok, S::Error> {
        time.map(|Nanos(time)| time).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Nanos>, D::Error> {
        Option::deserialize(deserializer).map(|time| time.map(Nanos))
    }
}
