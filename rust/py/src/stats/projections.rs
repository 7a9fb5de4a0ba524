//! Bridge of `crossbook::stats`: local projections and mean responses. NumPy columns in, arrays a horizon out.

use crossbook::stats::{self, Projection};
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::errors;

/// Coefficients `[h, k + 1]`, covariances `[h, k + 1, k + 1]`, rows, sums of squared residuals and of outcomes `[h]`.
type Found<'py> = (
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray3<f64>>,
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<f64>>,
);

fn arrays<'py>(py: Python<'py>, found: &[Projection], size: usize, wanted: usize) -> PyResult<Found<'py>> {
    let flat = |part: fn(&Projection) -> &[f64]| found.iter().flat_map(part).copied().collect::<Vec<_>>();
    let rows: Vec<i64> = found.iter().map(|one| (one.rows as u64).cast_signed()).collect();
    let residual: Vec<f64> = found.iter().map(|one| one.residual).collect();
    let total: Vec<f64> = found.iter().map(|one| one.total).collect();
    Ok((
        flat(|one| &one.coefficients).into_pyarray(py).reshape([found.len(), size])?,
        flat(|one| &one.covariance).into_pyarray(py).reshape([found.len(), wanted, wanted])?,
        rows.into_pyarray(py),
        residual.into_pyarray(py),
        total.into_pyarray(py),
    ))
}

/// Local projections on evenly spaced rows.
#[pyfunction]
#[pyo3(signature = (outcome, regressors, horizons, overlaps, /, *, base = None, wanted = None))]
#[allow(clippy::needless_pass_by_value, clippy::too_many_arguments)] // PyO3 hands over owned lists
fn projections<'py>(
    py: Python<'py>,
    outcome: PyReadonlyArray1<'py, f64>,
    regressors: Vec<PyReadonlyArray1<'py, f64>>,
    horizons: Vec<usize>,
    overlaps: Vec<usize>,
    base: Option<i64>,
    wanted: Option<usize>,
) -> PyResult<Found<'py>> {
    let outcome = outcome.as_slice()?;
    let columns = regressors.iter().map(|column| column.as_slice()).collect::<Result<Vec<_>, _>>()?;
    let found = py.detach(|| stats::projections(outcome, &columns, base, &horizons, &overlaps, wanted));
    let size = columns.len() + 1;
    arrays(py, &found.map_err(errors::data)?, size, wanted.unwrap_or(size))
}

/// Local projections at irregular times; at last the number of events dropped.
#[pyfunction]
#[pyo3(signature = (event_times, regressors, times, values, offsets, widths, /))]
#[allow(clippy::needless_pass_by_value)] // PyO3 hands over owned lists
fn event_projections<'py>(
    py: Python<'py>,
    event_times: PyReadonlyArray1<'py, i64>,
    regressors: Vec<PyReadonlyArray1<'py, f64>>,
    times: PyReadonlyArray1<'py, i64>,
    values: PyReadonlyArray1<'py, f64>,
    offsets: Vec<i64>,
    widths: Vec<i64>,
) -> PyResult<(Found<'py>, usize)> {
    let (event_times, times, values) = (event_times.as_slice()?, times.as_slice()?, values.as_slice()?);
    let columns = regressors.iter().map(|column| column.as_slice()).collect::<Result<Vec<_>, _>>()?;
    let found = py.detach(|| stats::event_projections(event_times, &columns, times, values, &offsets, &widths));
    let found = found.map_err(errors::data)?;
    Ok((arrays(py, &found.projections, columns.len() + 1, columns.len() + 1)?, found.dropped))
}

/// Signed paths of a series around events, summed by block.
#[pyfunction]
#[pyo3(signature = (event_times, signs, times, values, offsets, /, *, block))]
#[allow(clippy::type_complexity)] // the tuple that Python unpacks
fn response<'py>(
    py: Python<'py>,
    event_times: PyReadonlyArray1<'py, i64>,
    signs: PyReadonlyArray1<'py, f64>,
    times: PyReadonlyArray1<'py, i64>,
    values: PyReadonlyArray1<'py, f64>,
    offsets: PyReadonlyArray1<'py, i64>,
    block: i64,
) -> PyResult<(Bound<'py, PyArray2<f64>>, Bound<'py, PyArray1<i64>>, usize)> {
    let (event_times, signs) = (event_times.as_slice()?, signs.as_slice()?);
    let (times, values, offsets) = (times.as_slice()?, values.as_slice()?, offsets.as_slice()?);
    let found =
        py.detach(|| stats::response(event_times, signs, times, values, offsets, block)).map_err(errors::data)?;
    let shape = [found.counts.len(), offsets.len()];
    Ok((found.sums.into_pyarray(py).reshape(shape)?, found.counts.into_pyarray(py), found.dropped))
}

/// Adds these functions to the extension module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(projections, m)?)?;
    m.add_function(wrap_pyfunction!(event_projections, m)?)?;
    m.add_function(wrap_pyfunction!(response, m)?)
}
