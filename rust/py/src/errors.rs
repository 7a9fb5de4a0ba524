//! The one place where the engine's errors become Python's.

use std::fmt::Display;
use std::path::Path;

use crossbook::capture::CaptureError;
use crossbook::cost::CostError;
use crossbook::exchange::{JournalError, SnapshotError};
use crossbook::instrument::InstrumentError;
use crossbook::market::{CycleError, MarketError};
use pyo3::prelude::*;

/// The exceptions are classes of `crossbook.errors`, so that they can derive from `crossbook.Error` and from a builtin.
#[allow(missing_docs)]
mod python {
    pyo3::import_exception!(crossbook.errors, CaptureError);
    pyo3::import_exception!(crossbook.errors, CostError);
    pyo3::import_exception!(crossbook.errors, DataError);
    pyo3::import_exception!(crossbook.errors, InstrumentError);
    pyo3::import_exception!(crossbook.errors, JournalError);
    pyo3::import_exception!(crossbook.errors, MarketError);
    pyo3::import_exception!(crossbook.errors, OrderBookError);
    pyo3::import_exception!(crossbook.errors, PoolError);
    pyo3::import_exception!(crossbook.errors, RouteError);
    pyo3::import_exception!(crossbook.errors, SnapshotError);
}

/// Wrong columns, lengths or values.
pub fn data(message: impl ToString) -> PyErr {
    python::DataError::new_err(message.to_string())
}

pub fn capture(error: &CaptureError) -> PyErr {
    python::CaptureError::new_err(error.to_string())
}

pub fn cost(error: &CostError) -> PyErr {
    python::CostError::new_err(error.to_string())
}

pub fn instrument(error: &InstrumentError) -> PyErr {
    python::InstrumentError::new_err(error.to_string())
}

/// Of a single change or of a tape's row.
pub fn order_book(error: &impl Display) -> PyErr {
    python::OrderBookError::new_err(error.to_string())
}

/// Instruments and rules that make no cycles.
pub fn cycle(error: &CycleError) -> PyErr {
    python::MarketError::new_err(error.to_string())
}

pub fn market(error: &MarketError) -> PyErr {
    match error {
        MarketError::Pool { .. } => pool(error),
        error => python::MarketError::new_err(error.to_string()),
    }
}

/// Of a pool or a network of them.
pub fn pool(error: &impl Display) -> PyErr {
    python::PoolError::new_err(error.to_string())
}

/// With the system's number where it was the system that refused.
pub fn journal(error: &JournalError) -> PyErr {
    let code = if let JournalError::Io { source, .. } = error { source.raw_os_error() } else { None };
    python::JournalError::new_err((error.to_string(), code))
}

/// A command for an exchange whose journal was closed.
pub fn closed(path: &Path) -> PyErr {
    python::JournalError::new_err((format!("{}: expected an open journal, this one was closed", path.display()),))
}

pub fn snapshot(error: &SnapshotError) -> PyErr {
    python::SnapshotError::new_err(error.to_string())
}

/// With what could be routed, if anything could.
pub fn route(message: String, partial: Option<Py<PyAny>>) -> PyErr {
    python::RouteError::new_err((message, partial))
}
