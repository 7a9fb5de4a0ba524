//! What belongs to a journal: `Fsync`, `Recovered`, `JournalReplay`.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crossbook::exchange::{Fsync as Core, JournalError, JournalReader, Recovered as CoreRecovered};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::PyString;

use super::columns::Executions;
use super::{Exchange, fields, frame, locked};
use crate::errors;
use crate::instrument::Instrument;

/// Wait for the disk after so many commands or so long, whichever comes first.
#[pyclass(frozen, eq, hash, module = "crossbook._core")]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fsync {
    #[pyo3(get)]
    commands: u64,
    #[pyo3(get)]
    ms: u64,
}

#[pymethods]
impl Fsync {
    #[new]
    #[pyo3(signature = (*, commands, ms))]
    fn new(commands: u64, ms: u64) -> PyResult<Self> {
        if commands == 0 {
            return Err(errors::data("commands 0: expected 1 or more"));
        }
        Ok(Self { commands, ms })
    }

    fn __repr__(&self) -> String {
        format!("Fsync(commands={}, ms={})", self.commands, self.ms)
    }
}

/// `"always"`, `"never"` or `Fsync(...)`.
pub fn fsync(value: &Bound<'_, PyAny>) -> PyResult<Core> {
    if let Ok(found) = value.cast::<Fsync>() {
        let Fsync { commands, ms } = *found.get();
        return Ok(Core::Every { commands, time: Duration::from_millis(ms) });
    }
    let message =
        || format!("fsync {}: expected \"always\", \"never\" or Fsync(commands=..., ms=...)", fields::shown(value));
    match value.cast::<PyString>() {
        Ok(name) => match name.to_str()? {
            "always" => Ok(Core::Always),
            "never" => Ok(Core::Never),
            _ => Err(errors::data(message())),
        },
        Err(_) => Err(PyTypeError::new_err(message())),
    }
}

/// What opening a journal found.
#[pyclass(frozen, eq, module = "crossbook._core")]
#[derive(Clone, PartialEq)]
pub struct Recovered {
    inner: CoreRecovered,
}

impl Recovered {
    /// What is worth telling goes to Python's log.
    pub fn told(py: Python<'_>, inner: CoreRecovered, path: &Path) -> PyResult<Self> {
        if let Some(message) = &inner.message {
            let log = py.import("logging")?.call_method1("getLogger", ("crossbook.exchange",))?;
            log.call_method1("warning", ("%s: %s", path, message))?;
        }
        Ok(Self { inner })
    }
}

#[pymethods]
impl Recovered {
    #[getter]
    fn commands(&self) -> u64 {
        self.inner.commands
    }

    #[getter]
    fn replayed(&self) -> u64 {
        self.inner.replayed
    }

    #[getter]
    fn snapshot(&self) -> Option<u64> {
        self.inner.snapshot
    }

    #[getter]
    fn dropped_bytes(&self) -> u64 {
        self.inner.dropped_bytes
    }

    #[getter]
    fn message(&self) -> Option<&str> {
        self.inner.message.as_deref()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let CoreRecovered { commands, replayed, dropped_bytes, .. } = &self.inner;
        let snapshot = self.inner.snapshot.map_or("None".to_owned(), |covered| covered.to_string());
        let message = self.inner.message.as_ref().into_pyobject(py)?.repr()?;
        Ok(format!(
            "Recovered(commands={commands}, replayed={replayed}, snapshot={snapshot}, dropped_bytes={dropped_bytes}, \
             message={message})"
        ))
    }
}

/// A journal read from its first command. It changes nothing on disk.
#[pyclass(frozen, module = "crossbook._core")]
pub struct JournalReplay {
    reader: Mutex<(JournalReader, bool)>,
    path: PathBuf,
    exchange: Py<Exchange>,
    decimals: bool,
}

impl JournalReplay {
    fn lock(&self, py: Python<'_>) -> MutexGuard<'_, (JournalReader, bool)> {
        locked(self.reader.lock_py_attached(py))
    }
}

#[pymethods]
impl JournalReplay {
    #[new]
    #[pyo3(signature = (path, *, instrument=None, decimals=false))]
    fn new(py: Python<'_>, path: PathBuf, instrument: Option<Py<Instrument>>, decimals: bool) -> PyResult<Self> {
        let reader = py.detach(|| JournalReader::open(&path)).map_err(|error| errors::journal(&error))?;
        let exchange = Exchange::of_rules(reader.rules().clone(), instrument)?;
        exchange.decimals(decimals)?;
        Ok(Self { reader: Mutex::new((reader, false)), path, exchange: Py::new(py, exchange)?, decimals })
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.next_batch(py, 65_536)
    }

    #[pyo3(signature = (rows=65_536, /))]
    fn next_batch<'py>(&self, py: Python<'py>, rows: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
        let exchange = self.exchange.get();
        let decimals = exchange.decimals(self.decimals)?;
        let rows = rows.max(1);
        let (executions, read) = py.detach(|| {
            let mut reader = locked(self.reader.lock());
            let mut engine = locked(exchange.engine.lock());
            let mut executions = Executions::of(0);
            for read in 0..rows {
                match reader.0.next() {
                    Ok(Some(command)) => {
                        let done = engine.apply_all(&[command], |execution| executions.buffer.push(*execution));
                        done.map_err(Failed::Exchange)?;
                        executions.flush();
                    }
                    // What was read before is told first: the error comes again.
                    Err(error) if read == 0 => return Err(Failed::Journal(error)),
                    Ok(None) | Err(_) => return Ok((executions, read)),
                }
            }
            Ok((executions, rows))
        })?;
        if read == 0 {
            let mut reader = self.lock(py);
            if !std::mem::replace(&mut reader.1, true) {
                let recovered = reader.0.recovered();
                drop(reader);
                Recovered::told(py, recovered, &self.path)?;
            }
            return Ok(None);
        }
        frame(py, py.detach(|| executions.finish(decimals))?).map(Some)
    }

    #[getter]
    fn exchange(&self, py: Python<'_>) -> Py<Exchange> {
        self.exchange.clone_ref(py)
    }

    #[getter]
    fn recovered(&self, py: Python<'_>) -> Recovered {
        let mut inner = self.lock(py).0.recovered();
        inner.replayed = inner.commands;
        Recovered { inner }
    }
}

enum Failed {
    Journal(JournalError),
    Exchange(PyErr),
}

impl From<Failed> for PyErr {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Journal(error) => errors::journal(&error),
            Failed::Exchange(error) => error,
        }
    }
}
