//! Bridge of `crossbook::latency`.

use crossbook::latency::{self as core, Frame};
use crossbook::units::Nanos;
use numpy::IntoPyArray;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors;
use crate::instrument::Instrument;

/// Samples of each path in ns. Frames are `(instrument, ts_recv, json)`; a sample of `book_run` is `LATENCY_RUN` updates.
#[pyfunction]
#[pyo3(signature = (instruments, frames, samples, /))]
pub fn latencies<'py>(
    py: Python<'py>,
    instruments: Vec<Py<Instrument>>,
    frames: Vec<(u32, i64, Vec<u8>)>,
    samples: usize,
) -> PyResult<Bound<'py, PyDict>> {
    let instruments: Vec<_> = instruments.iter().map(|instrument| instrument.get().inner.clone()).collect();
    let frame = |(instrument, ts_recv, json)| Frame { instrument, ts_recv: Nanos(ts_recv), json };
    let frames: Vec<_> = frames.into_iter().map(frame).collect();
    let found = py.detach(|| core::measure(&instruments, &frames, samples)).map_err(|error| errors::market(&error))?;
    let paths = [
        ("clock", found.clock),
        ("book_update", found.book_update),
        ("book_run", found.book_run),
        ("decode", found.decode),
        ("market", found.market),
    ];
    let out = PyDict::new(py);
    for (path, samples) in paths {
        out.set_item(path, samples.into_pyarray(py))?;
    }
    Ok(out)
}
