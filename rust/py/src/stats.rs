//! Bridge of `crossbook::stats`: NumPy columns in, NumPy arrays out, the interpreter released while the kernels work.

use crossbook::stats::{self, HayashiYoshida, LagGrid, StatsError};
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::errors;

/// A matrix `[rows, columns]`, two vectors by row, and where the rows start.
type HyContrast<'py> =
    (Bound<'py, PyArray2<f64>>, Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<i64>>);

/// The Hayashi-Yoshida contrast by block and lag.
#[pyfunction]
#[pyo3(signature = (x_times, x_values, y_times, y_values, /, *, first, step, count, block))]
#[allow(clippy::too_many_arguments)] // four columns and a grid: the kernel's own arguments
fn hy_contrast<'py>(
    py: Python<'py>,
    x_times: PyReadonlyArray1<'py, i64>,
    x_values: PyReadonlyArray1<'py, f64>,
    y_times: PyReadonlyArray1<'py, i64>,
    y_values: PyReadonlyArray1<'py, f64>,
    first: i64,
    step: i64,
    count: usize,
    block: i64,
) -> PyResult<HyContrast<'py>> {
    let (x_times, x_values) = (x_times.as_slice()?, x_values.as_slice()?);
    let (y_times, y_values) = (y_times.as_slice()?, y_values.as_slice()?);
    let found = py.detach(|| {
        let grid = LagGrid::new(first, step, count)?;
        HayashiYoshida::new(x_times, x_values, y_times, y_values)?.contrast(grid, block)
    });
    let found = found.map_err(errors::data)?;
    Ok((
        found.matrix.into_pyarray(py).reshape([found.block_starts.len(), count])?,
        found.x_variance.into_pyarray(py),
        found.y_variance.into_pyarray(py),
        found.block_starts.into_pyarray(py),
    ))
}

/// The Hayashi-Yoshida contrast at any lags, one merge each.
#[pyfunction]
#[pyo3(signature = (x_times, x_values, y_times, y_values, lags, /))]
fn hy_at<'py>(
    py: Python<'py>,
    x_times: PyReadonlyArray1<'py, i64>,
    x_values: PyReadonlyArray1<'py, f64>,
    y_times: PyReadonlyArray1<'py, i64>,
    y_values: PyReadonlyArray1<'py, f64>,
    lags: PyReadonlyArray1<'py, i64>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let (x_times, x_values) = (x_times.as_slice()?, x_values.as_slice()?);
    let (y_times, y_values) = (y_times.as_slice()?, y_values.as_slice()?);
    let lags = lags.as_slice()?;
    let found = py.detach(|| {
        let pair = HayashiYoshida::new(x_times, x_values, y_times, y_values)?;
        Ok::<_, StatsError>(lags.iter().map(|&lag| pair.contrast_at(lag)).collect::<Vec<_>>())
    });
    Ok(found.map_err(errors::data)?.into_pyarray(py))
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
    m.add_function(wrap_pyfunction!(hy_contrast, m)?)?;
    m.add_function(wrap_pyfunction!(hy_at, m)?)?;
    m.add_function(wrap_pyfunction!(response, m)?)
}
