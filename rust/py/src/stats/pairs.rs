//! Bridge of `crossbook::stats::{ou, kalman}`: what pairs of prices are studied with.

use crossbook::stats::kalman::{Hedge, HedgeModel};
use crossbook::stats::ou::{self, Transitions};
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::errors;

type Vector<'py> = Bound<'py, PyArray1<f64>>;

/// Observations of an Ornstein-Uhlenbeck process, as transitions.
#[pyclass(frozen, module = "crossbook._core")]
pub struct OuTransitions {
    inner: Transitions,
}

#[pymethods]
impl OuTransitions {
    /// Of the transitions only those from values in `[above, below)`, if these are given.
    #[new]
    #[pyo3(signature = (times, values, /, *, above = f64::NEG_INFINITY, below = f64::INFINITY))]
    fn new(
        py: Python<'_>,
        times: PyReadonlyArray1<'_, i64>,
        values: PyReadonlyArray1<'_, f64>,
        above: f64,
        below: f64,
    ) -> PyResult<Self> {
        let (times, values) = (times.as_slice()?, values.as_slice()?);
        let inner = py.detach(|| Transitions::filtered(times, values, |from| from >= above && from < below));
        Ok(Self { inner: inner.map_err(errors::data)? })
    }

    fn __len__(&self) -> usize {
        self.inner.len()
    }

    #[getter]
    fn seconds(&self) -> f64 {
        self.inner.seconds()
    }

    /// Log-likelihood, mean and variance per second at a speed per second.
    #[pyo3(signature = (speed, /, mean = None))]
    fn profile(&self, py: Python<'_>, speed: f64, mean: Option<f64>) -> PyResult<(f64, f64, f64)> {
        let found = py.detach(|| self.inner.profile(speed, mean)).map_err(errors::data)?;
        Ok((found.log_likelihood, found.mean, found.variance))
    }

    /// Fisher's information about speed, mean and variance, by row.
    #[pyo3(signature = (speed, mean, variance, /))]
    fn information(&self, py: Python<'_>, speed: f64, mean: f64, variance: f64) -> PyResult<Vec<f64>> {
        let found = py.detach(|| self.inner.information(speed, mean, variance)).map_err(errors::data)?;
        Ok(found.to_vec())
    }
}

/// An Ornstein-Uhlenbeck path at given times.
#[pyfunction]
#[pyo3(signature = (times, first, /, *, speed, mean, variance, seed))]
fn ou_simulate<'py>(
    py: Python<'py>,
    times: PyReadonlyArray1<'py, i64>,
    first: f64,
    speed: f64,
    mean: f64,
    variance: f64,
    seed: u64,
) -> PyResult<Vector<'py>> {
    let times = times.as_slice()?;
    let found = py.detach(|| ou::simulate(times, first, (speed, mean, variance), seed)).map_err(errors::data)?;
    Ok(found.into_pyarray(py))
}

/// Beta, alpha, innovation, its variance, the variance of beta, and the log-likelihood.
#[pyfunction]
#[pyo3(signature = (x, y, /, *, first, doubt, step, noise))]
#[allow(clippy::type_complexity)] // the tuple that Python unpacks
fn kalman_hedge<'py>(
    py: Python<'py>,
    x: PyReadonlyArray1<'py, f64>,
    y: PyReadonlyArray1<'py, f64>,
    first: [f64; 2],
    doubt: [f64; 2],
    step: [f64; 2],
    noise: f64,
) -> PyResult<(Vector<'py>, Vector<'py>, Vector<'py>, Vector<'py>, Vector<'py>, f64)> {
    let (x, y) = (x.as_slice()?, y.as_slice()?);
    let mut found = Hedge::default();
    py.detach(|| HedgeModel { first, doubt, step, noise }.filter(x, y, &mut found)).map_err(errors::data)?;
    Ok((
        found.beta.into_pyarray(py),
        found.alpha.into_pyarray(py),
        found.innovation.into_pyarray(py),
        found.variance.into_pyarray(py),
        found.beta_variance.into_pyarray(py),
        found.log_likelihood,
    ))
}

/// Adds these to the extension module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<OuTransitions>()?;
    m.add_function(wrap_pyfunction!(ou_simulate, m)?)?;
    m.add_function(wrap_pyfunction!(kalman_hedge, m)?)
}
