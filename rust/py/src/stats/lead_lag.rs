//! Bridge of `crossbook::stats`: the lead–lag contrast, and the feedback twin that it is held to.

use crossbook::stats::{self, Feedback, HayashiYoshida, LagGrid, StatsError};
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

/// The Hayashi-Yoshida contrast as a step function of the lag: where each step starts, and its value.
#[pyfunction]
#[pyo3(signature = (x_times, x_values, y_times, y_values, /, *, first, last))]
#[allow(clippy::type_complexity)] // the tuple that Python unpacks
fn hy_steps<'py>(
    py: Python<'py>,
    x_times: PyReadonlyArray1<'py, i64>,
    x_values: PyReadonlyArray1<'py, f64>,
    y_times: PyReadonlyArray1<'py, i64>,
    y_values: PyReadonlyArray1<'py, f64>,
    first: i64,
    last: i64,
) -> PyResult<(Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<f64>>)> {
    let (x_times, x_values) = (x_times.as_slice()?, x_values.as_slice()?);
    let (y_times, y_values) = (y_times.as_slice()?, y_values.as_slice()?);
    let found = py.detach(|| HayashiYoshida::new(x_times, x_values, y_times, y_values)?.steps(first, last));
    let found = found.map_err(errors::data)?;
    Ok((found.lags.into_pyarray(py), found.values.into_pyarray(py)))
}

/// The lags at which the contrast is largest in size: the first, the last, and the value there.
#[pyfunction]
#[pyo3(signature = (x_times, x_values, y_times, y_values, /, *, first, last))]
fn hy_peak<'py>(
    py: Python<'py>,
    x_times: PyReadonlyArray1<'py, i64>,
    x_values: PyReadonlyArray1<'py, f64>,
    y_times: PyReadonlyArray1<'py, i64>,
    y_values: PyReadonlyArray1<'py, f64>,
    first: i64,
    last: i64,
) -> PyResult<(i64, i64, f64)> {
    let (x_times, x_values) = (x_times.as_slice()?, x_values.as_slice()?);
    let (y_times, y_values) = (y_times.as_slice()?, y_values.as_slice()?);
    let found = py.detach(|| HayashiYoshida::new(x_times, x_values, y_times, y_values)?.peak(first, last));
    let found = found.map_err(errors::data)?;
    Ok((found.first, found.last, found.value))
}

/// Two venues that mark to each other, from noise that the caller draws.
#[pyfunction]
#[pyo3(signature = (x_times, x_own, y_times, y_own, shared, /, *, volatility, rate, delay, common))]
#[allow(clippy::too_many_arguments, clippy::type_complexity)] // the kernel's own arguments, the tuple of Python
fn feedback<'py>(
    py: Python<'py>,
    x_times: PyReadonlyArray1<'py, i64>,
    x_own: PyReadonlyArray1<'py, f64>,
    y_times: PyReadonlyArray1<'py, i64>,
    y_own: PyReadonlyArray1<'py, f64>,
    shared: PyReadonlyArray1<'py, f64>,
    volatility: f64,
    rate: f64,
    delay: i64,
    common: f64,
) -> PyResult<(Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>)> {
    let (x_times, x_own, shared) = (x_times.as_slice()?, x_own.as_slice()?, shared.as_slice()?);
    let (y_times, y_own) = (y_times.as_slice()?, y_own.as_slice()?);
    let model = Feedback { volatility, rate, delay, common };
    let found = py.detach(|| stats::feedback(x_times, x_own, y_times, y_own, shared, model));
    let [x, y] = found.map_err(errors::data)?;
    Ok((x.into_pyarray(py), y.into_pyarray(py)))
}

/// Adds these functions to the extension module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(hy_contrast, m)?)?;
    m.add_function(wrap_pyfunction!(hy_at, m)?)?;
    m.add_function(wrap_pyfunction!(hy_steps, m)?)?;
    m.add_function(wrap_pyfunction!(hy_peak, m)?)?;
    m.add_function(wrap_pyfunction!(feedback, m)?)
}
