//! Captures: files in, tapes out.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbook::capture::store::{Meta, Options, Record, RecordKind, StoreError, Writer};
use crossbook::capture::{self, CaptureError, Content};
use crossbook::tape as core;
use crossbook::units::Nanos;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyDict;
use serde_json::value::RawValue;

use crate::errors;
use crate::feed::{counts_into, gap_into, protocol};
use crate::instrument::Instrument;
use crate::tape::Tape;

/// What a capture file holds: the name of its protocol, `None` where it holds REST responses; the one symbol that its
/// name promises; the instruments that it describes itself; whether its frames alone told the protocol.
type Identified = (Option<&'static str>, Option<String>, Option<Vec<Instrument>>, bool);

/// What a capture file holds.
#[pyfunction]
#[pyo3(signature = (path, /))]
pub fn identify(py: Python<'_>, path: PathBuf) -> PyResult<Identified> {
    let found = py.detach(|| capture::identify(&path)).map_err(|error| errors::capture(&error))?;
    Ok(match found {
        Content::Connection { protocol, symbol, instruments, guessed } => {
            let instruments = instruments.map(|list| list.into_iter().map(|inner| Instrument { inner }).collect());
            (Some(protocol.name), symbol, instruments, guessed)
        }
        _ => (None, None, None, false),
    })
}

/// The instruments of a connection's files, their units from the finest decimals in them.
#[pyfunction]
#[pyo3(signature = (paths, protocol_name, /))]
pub fn survey(py: Python<'_>, paths: Vec<PathBuf>, protocol_name: &str) -> PyResult<Vec<Instrument>> {
    let protocol = protocol(protocol_name)?;
    let found = py.detach(|| capture::survey(&paths, protocol)).map_err(|error| errors::capture(&error))?;
    Ok(found.into_iter().map(|inner| Instrument { inner }).collect())
}

/// The instruments that the REST responses of a capture file list.
#[pyfunction]
#[pyo3(signature = (path, /))]
pub fn listed(py: Python<'_>, path: PathBuf) -> PyResult<Vec<Instrument>> {
    let found = py.detach(|| capture::listed(&path)).map_err(|error| errors::capture(&error))?;
    Ok(found.into_iter().map(|inner| Instrument { inner }).collect())
}

/// Files, protocol or `None` for REST responses, indices of instruments, whether there are others.
type Source = (Vec<PathBuf>, Option<String>, Vec<u32>, bool);

/// A capture played back in batches.
#[pyclass(frozen, module = "crossbook._core")]
pub struct Replay {
    replay: Mutex<capture::Replay>,
    sources: Vec<capture::Source>,
    instruments: Arc<Vec<Py<Instrument>>>,
}

impl Replay {
    fn lock(&self) -> MutexGuard<'_, capture::Replay> {
        self.replay.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn kind(error: &CaptureError) -> &'static str {
    match error {
        CaptureError::Io { .. } => "io",
        CaptureError::NotGzip { .. } => "not_gzip",
        CaptureError::Empty { .. } => "empty",
        CaptureError::Damaged { .. } => "damaged",
        CaptureError::Line { .. } => "line",
        CaptureError::Frame { .. } => "frame",
        CaptureError::Unrecognised { .. } => "unrecognised",
        CaptureError::Store(_) => "damaged",
        CaptureError::Unfinished { .. } => "unfinished",
        _ => "other",
    }
}

#[pymethods]
impl Replay {
    #[new]
    #[pyo3(signature = (sources, instruments, /))]
    fn new(py: Python<'_>, sources: Vec<Source>, instruments: Vec<Py<Instrument>>) -> PyResult<Self> {
        let sources = sources
            .into_iter()
            .map(|(paths, name, indices, partial)| {
                let protocol = name.as_deref().map(protocol).transpose()?;
                let known = |index: u32| {
                    let known = instruments.get(index as usize).map(|known| (index, known.get().inner.clone()));
                    known.ok_or_else(|| errors::data(format!("instrument {index}: expected an index into the list")))
                };
                let instruments = indices.into_iter().map(known).collect::<PyResult<_>>()?;
                Ok(capture::Source { paths, protocol, instruments, partial })
            })
            .collect::<PyResult<Vec<_>>>()?;
        let replay = py.detach(|| capture::Replay::open(&sources));
        Ok(Self { replay: Mutex::new(replay), sources, instruments: Arc::new(instruments) })
    }

    #[pyo3(signature = (rows=65_536, /))]
    fn next_batch(&self, py: Python<'_>, rows: usize) -> PyResult<Option<Tape>> {
        let rows = rows.max(1);
        let tape = py.detach(|| {
            // A batch runs over by the rest of its last frame. Whoever asks for everything at once gets room as it comes.
            let room = rows.min(1 << 20);
            let mut tape = core::Tape::with_capacity(room + room / 8);
            let mut replay = self.lock();
            // Frames without events, such as the ones held for a snapshot, are no end.
            while tape.is_empty() && replay.next_batch(rows, &mut tape) {}
            tape
        });
        if tape.is_empty() { Ok(None) } else { Tape::from_core(tape, Arc::clone(&self.instruments)).map(Some) }
    }

    /// Per source and instrument: the index of the source, of the instrument, the source's and the instrument's counts.
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let replay = self.lock();
        let mut rows = Vec::new();
        for (at, (source, c)) in self.sources.iter().zip(replay.counts()).enumerate() {
            for &(instrument, _) in &source.instruments {
                let row = PyDict::new(py);
                row.set_item("source", at)?;
                row.set_item("instrument", instrument)?;
                for (name, value) in
                    [("frames", c.frames), ("other", c.other), ("errors", c.errors), ("backwards", c.backwards)]
                {
                    row.set_item(name, value)?;
                }
                counts_into(&row, replay.stream_counts(at, instrument))?;
                row.set_item("first", c.first.0)?;
                row.set_item("last", c.last.0)?;
                rows.push(row);
            }
        }
        Ok(rows)
    }

    /// What was missing so far, with the index of the source.
    fn gaps<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let replay = self.lock();
        replay
            .gaps()
            .map(|(source, gap)| {
                let row = PyDict::new(py);
                row.set_item("source", source)?;
                gap_into(&row, gap)?;
                Ok(row)
            })
            .collect()
    }

    fn faults<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let replay = self.lock();
        replay
            .faults()
            .iter()
            .map(|fault| {
                let row = PyDict::new(py);
                let (mut file, mut line) = (PathBuf::new(), 0);
                match fault {
                    CaptureError::Io { path, .. }
                    | CaptureError::NotGzip { path, .. }
                    | CaptureError::Empty { path }
                    | CaptureError::Unfinished { path }
                    | CaptureError::Unrecognised { path } => file.clone_from(path),
                    CaptureError::Store(error) => file.clone_from(&error.path().to_owned()),
                    CaptureError::Damaged { path, line: at, .. }
                    | CaptureError::Line { path, line: at, .. }
                    | CaptureError::Frame { path, line: at, .. } => (file, line) = (path.clone(), *at),
                    _ => {}
                }
                row.set_item("kind", kind(fault))?;
                row.set_item("file", file)?;
                row.set_item("line", line)?;
                let (mut sequence, mut offset) = (0, None);
                if let CaptureError::Frame { source, .. } = fault {
                    (sequence, offset) = (source.sequence, Some(source.offset));
                }
                row.set_item("sequence", sequence)?;
                row.set_item("offset", offset)?;
                row.set_item("message", fault.to_string())?;
                Ok(row)
            })
            .collect()
    }

    #[getter]
    fn fault_count(&self) -> u64 {
        self.lock().fault_count()
    }

    #[getter]
    fn progress(&self) -> (u64, u64) {
        self.lock().progress()
    }
}

/// Writes one connection's raw frames; see `crossbook::capture::store` for the format.
#[pyclass(frozen, module = "crossbook._core")]
pub struct CaptureWriter {
    state: Mutex<Writing>,
}

struct Writing {
    /// `None` once finished.
    writer: Option<Writer>,
    path: PathBuf,
    frames: u64,
    bytes: u64,
}

impl Writing {
    fn writer(&mut self) -> PyResult<&mut Writer> {
        self.writer.as_mut().ok_or_else(|| errors::data("expected a writer that is not finished"))
    }
}

fn store(error: StoreError) -> PyErr {
    errors::capture(&CaptureError::from(error))
}

fn json(text: &str) -> PyResult<Box<RawValue>> {
    RawValue::from_string(text.to_owned()).map_err(|error| errors::data(format!("expected JSON: {error}")))
}

impl CaptureWriter {
    fn lock(&self) -> MutexGuard<'_, Writing> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, py: Python<'_>, kind: RecordKind, ts: i64, payload: &[u8]) -> PyResult<()> {
        py.detach(|| {
            let state = &mut *self.lock();
            state.writer()?.append(Record { kind, ts_recv: Nanos(ts), payload }).map_err(store)
        })
    }
}

#[pymethods]
impl CaptureWriter {
    #[new]
    #[pyo3(signature = (directory, venue, protocol, connection, url, instruments, channels, depth, now, *, level=1, flush_ms=1000, max_bytes=0))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        directory: PathBuf,
        venue: String,
        protocol: String,
        connection: String,
        url: String,
        instruments: Vec<Py<Instrument>>,
        channels: Vec<String>,
        depth: u32,
        now: i64,
        level: i32,
        flush_ms: u64,
        max_bytes: u64,
    ) -> PyResult<Self> {
        let described: Vec<_> = instruments.iter().map(|one| one.get().inner.clone()).collect();
        let instruments = serde_json::value::to_raw_value(&described).map_err(errors::data)?;
        let depth = (depth > 0).then_some(depth);
        let meta = Meta { venue, protocol, connection, url, instruments, channels, depth };
        let options = Options {
            level,
            flush_interval: Duration::from_millis(flush_ms),
            max_bytes: (max_bytes > 0).then_some(max_bytes),
            ..Options::default()
        };
        let writer = Writer::new(&directory, meta, options, Nanos(now)).map_err(store)?;
        let path = writer.path().to_owned();
        let state = Writing { writer: Some(writer), path, frames: 0, bytes: 0 };
        Ok(Self { state: Mutex::new(state) })
    }

    /// Appends frames that were received at one time.
    #[pyo3(signature = (ts_recv, frames, /))]
    fn frames(&self, py: Python<'_>, ts_recv: i64, frames: Vec<PyBackedBytes>) -> PyResult<()> {
        py.detach(|| {
            let state = &mut *self.lock();
            for frame in &frames {
                let record = Record { kind: RecordKind::Received, ts_recv: Nanos(ts_recv), payload: frame };
                state.writer()?.append(record).map_err(store)?;
                state.frames += 1;
                state.bytes += frame.len() as u64;
            }
            Ok(())
        })
    }

    #[pyo3(signature = (ts, text, /))]
    fn sent(&self, py: Python<'_>, ts: i64, text: &str) -> PyResult<()> {
        self.append(py, RecordKind::Sent, ts, text.as_bytes())
    }

    #[pyo3(signature = (ts, url, /))]
    fn opened(&self, py: Python<'_>, ts: i64, url: &str) -> PyResult<()> {
        self.append(py, RecordKind::Opened, ts, url.as_bytes())
    }

    #[pyo3(signature = (ts, reason, /))]
    fn closed(&self, py: Python<'_>, ts: i64, reason: &str) -> PyResult<()> {
        self.append(py, RecordKind::Closed, ts, reason.as_bytes())
    }

    #[pyo3(signature = (ts, url, body, /))]
    fn rest(&self, py: Python<'_>, ts: i64, url: &str, body: PyBackedBytes) -> PyResult<()> {
        py.detach(|| self.lock().writer()?.append_response(Nanos(ts), url, &body).map_err(store))
    }

    #[pyo3(signature = (ts, count, reason, /))]
    fn lost(&self, py: Python<'_>, ts: i64, count: u64, reason: &str) -> PyResult<()> {
        py.detach(|| self.lock().writer()?.append_lost(Nanos(ts), count, reason).map_err(store))
    }

    /// Time goes by: whole blocks are written and, at the hour, a new file begun; the path of one that was finished.
    #[pyo3(signature = (now, feed_json="{}", /))]
    fn tick(&self, py: Python<'_>, now: i64, feed_json: &str) -> PyResult<Option<PathBuf>> {
        let feed = json(feed_json)?;
        py.detach(|| {
            let state = &mut *self.lock();
            let finished = state.writer()?.tick(Nanos(now), || feed).map_err(store)?;
            let next = state.writer()?.path().to_owned();
            let path = std::mem::replace(&mut state.path, next);
            Ok(finished.map(|_| path))
        })
    }

    /// Writes everything with its manifest; the path of the last file.
    #[pyo3(signature = (feed_json="{}", /))]
    fn finish(&self, py: Python<'_>, feed_json: &str) -> PyResult<PathBuf> {
        let feed = json(feed_json)?;
        py.detach(|| {
            let state = &mut *self.lock();
            if let Some(writer) = state.writer.take() {
                writer.finish(feed).map_err(store)?;
            }
            Ok(state.path.clone())
        })
    }

    #[getter]
    fn path(&self) -> PathBuf {
        self.lock().path.clone()
    }

    #[getter]
    fn frames_written(&self) -> u64 {
        self.lock().frames
    }

    #[getter]
    fn bytes_raw(&self) -> u64 {
        self.lock().bytes
    }

    #[getter]
    fn bytes_written(&self) -> u64 {
        self.lock().writer.as_ref().map_or(0, Writer::bytes)
    }
}
