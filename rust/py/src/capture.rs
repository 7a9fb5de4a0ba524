//! Captures: files in, tapes out.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbook::capture::{self, CaptureError};
use crossbook::tape as core;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors;
use crate::instrument::{Instrument, venue};
use crate::tape::Tape;

/// Which venue and symbol a capture file holds.
#[pyfunction]
#[pyo3(signature = (path, /))]
pub fn identify(py: Python<'_>, path: PathBuf) -> PyResult<(&'static str, String)> {
    let found = py.detach(|| capture::identify(&path)).map_err(|error| errors::capture(&error))?;
    Ok((found.0.name(), found.1))
}

/// The instrument of a capture file, its units from the finest decimals in the whole file.
#[pyfunction]
#[pyo3(signature = (path, venue_name, symbol, /))]
pub fn infer_instrument(py: Python<'_>, path: PathBuf, venue_name: &str, symbol: &str) -> PyResult<Instrument> {
    let venue = venue(venue_name)?;
    let found = py.detach(|| capture::infer_instrument(&path, venue, symbol));
    found.map(|inner| Instrument { inner }).map_err(|error| errors::capture(&error))
}

/// A capture played back in batches.
#[pyclass(frozen, module = "crossbook._core")]
pub struct Replay {
    replay: Mutex<capture::Replay>,
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
        _ => "other",
    }
}

#[pymethods]
impl Replay {
    #[new]
    #[pyo3(signature = (files, /))]
    fn new(py: Python<'_>, files: Vec<(PathBuf, Py<Instrument>)>) -> Self {
        let sources: Vec<_> = files.iter().map(|(path, i)| (path.clone(), i.get().inner.clone())).collect();
        let replay = py.detach(|| capture::Replay::open(&sources));
        let instruments = files.into_iter().map(|(_, instrument)| instrument).collect();
        Self { replay: Mutex::new(replay), instruments: Arc::new(instruments) }
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

    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let replay = self.lock();
        replay
            .counts()
            .map(|c| {
                let row = PyDict::new(py);
                for (name, value) in [
                    ("frames", c.frames),
                    ("depth", c.depth),
                    ("held", c.held),
                    ("snapshots", c.snapshots),
                    ("quotes", c.quotes),
                    ("trades", c.trades),
                    ("marks", c.marks),
                    ("repeated", c.repeated),
                    ("other", c.other),
                    ("errors", c.errors),
                    ("gaps", c.gaps),
                    ("trade_gaps", c.trade_gaps),
                    ("backwards", c.backwards),
                ] {
                    row.set_item(name, value)?;
                }
                row.set_item("first", c.first.0)?;
                row.set_item("last", c.last.0)?;
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
                    | CaptureError::Unrecognised { path } => file.clone_from(path),
                    CaptureError::Damaged { path, line: at, .. }
                    | CaptureError::Line { path, line: at }
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
