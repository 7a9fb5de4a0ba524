//! Bridge of `crossbook::stats`: the exact steps of the lead–lag contrast, the feedback twin and lagged moments.

use crossbook::stats::{self, Feedback, HayashiYoshida};
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::errors;

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
    m.add_function(wrap_pyfunction!(hy_steps, m)?)?;
    m.add_function(wrap_pyfunction!(hy_peak, m)?)?;
    m.add_function(wrap_pyfunction!(feedback, m)?)?;
    m.add_function(wrap_pyfunction!(lagged_moments, m)?)
}
