//! Bridge of `crossbook::stats`: lagged moments, of which every lag order of a VECM is made.

use crossbook::stats;
use numpy::{IntoPyArray, PyArray2, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::errors;

/// Sums of products of lagged columns.
#[pyfunction]
#[pyo3(signature = (series, extras, /, *, lags))]
#[allow(clippy::needless_pass_by_value)] // PyO3 hands over owned lists
fn lagged_moments<'py>(
    py: Python<'py>,
    series: Vec<PyReadonlyArray1<'py, f64>>,
    extras: Vec<PyReadonlyArray1<'py, f64>>,
    lags: usize,
) -> PyResult<(Bound<'py, PyArray2<f64>>, usize)> {
    let series = series.iter().map(|column| column.as_slice()).collect::<Result<Vec<_>, _>>()?;
    let extras = extras.iter().map(|column| column.as_slice()).collect::<Result<Vec<_>, _>>()?;
    let found = py.detach(|| stats::lagged_moments(&series, &extras, lags));
    let found = found.map_err(errors::data)?;
    Ok((found.matrix.into_pyarray(py).reshape([found.size, found.size])?, found.rows))
}

/// Adds these functions to the extension module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(lagged_moments, m)?)
}
