//! Bridge of `crossbook::stats::hawkes`: events are checked once and kept, so that a fit does not check them again.

use crossbook::stats::hawkes::{self, Parameters, Ties, Until};
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::errors;

type Vector<'py> = Bound<'py, PyArray1<f64>>;
type Matrix<'py> = Bound<'py, PyArray2<f64>>;

fn parameters(
    baseline: &PyReadonlyArray1<'_, f64>,
    adjacency: &PyReadonlyArray1<'_, f64>,
    decays: &PyReadonlyArray1<'_, f64>,
) -> PyResult<Parameters> {
    Parameters::new(baseline.as_slice()?, adjacency.as_slice()?, decays.as_slice()?).map_err(errors::data)
}

/// Events of several types over an interval in which all were observed.
#[pyclass(frozen, module = "crossbook._core")]
pub struct HawkesEvents {
    inner: hawkes::Events,
}

#[pymethods]
impl HawkesEvents {
    #[new]
    #[pyo3(signature = (times, types, /, *, start, end, ordered = false))]
    fn new(
        py: Python<'_>,
        times: PyReadonlyArray1<'_, i64>,
        types: PyReadonlyArray1<'_, u32>,
        start: i64,
        end: i64,
        ordered: bool,
    ) -> PyResult<Self> {
        let (times, types) = (times.as_slice()?, types.as_slice()?);
        let ties = if ordered { Ties::Ordered } else { Ties::Strict };
        let inner = py.detach(|| hawkes::Events::new(times, types, start, end, ties)).map_err(errors::data)?;
        Ok(Self { inner })
    }

    fn __len__(&self) -> usize {
        self.inner.len()
    }

    #[getter]
    fn seconds(&self) -> f64 {
        self.inner.seconds()
    }

    #[getter]
    fn counts(&self) -> Vec<u64> {
        self.inner.counts().to_vec()
    }

    #[pyo3(signature = (baseline, adjacency, decays, /))]
    fn log_likelihood<'py>(
        &self,
        py: Python<'py>,
        baseline: PyReadonlyArray1<'py, f64>,
        adjacency: PyReadonlyArray1<'py, f64>,
        decays: PyReadonlyArray1<'py, f64>,
    ) -> PyResult<(f64, Vector<'py>)> {
        let p = parameters(&baseline, &adjacency, &decays)?;
        let found = py.detach(|| self.inner.log_likelihood(&p)).map_err(errors::data)?;
        Ok((found.log_likelihood, found.gradient.into_pyarray(py)))
    }

    #[pyo3(signature = (baseline, adjacency, decays, /))]
    #[allow(clippy::type_complexity)] // the tuple that Python unpacks
    fn information<'py>(
        &self,
        py: Python<'py>,
        baseline: PyReadonlyArray1<'py, f64>,
        adjacency: PyReadonlyArray1<'py, f64>,
        decays: PyReadonlyArray1<'py, f64>,
    ) -> PyResult<(f64, Vector<'py>, Matrix<'py>, Matrix<'py>)> {
        let p = parameters(&baseline, &adjacency, &decays)?;
        let found = py.detach(|| self.inner.information(&p)).map_err(errors::data)?;
        let shape = [p.count(), p.count()];
        Ok((
            found.log_likelihood,
            found.gradient.into_pyarray(py),
            found.hessian.into_pyarray(py).reshape(shape)?,
            found.fisher.into_pyarray(py).reshape(shape)?,
        ))
    }

    #[pyo3(signature = (baseline, adjacency, decays, /))]
    fn residuals<'py>(
        &self,
        py: Python<'py>,
        baseline: PyReadonlyArray1<'py, f64>,
        adjacency: PyReadonlyArray1<'py, f64>,
        decays: PyReadonlyArray1<'py, f64>,
    ) -> PyResult<(Vector<'py>, Vector<'py>)> {
        let p = parameters(&baseline, &adjacency, &decays)?;
        let found = py.detach(|| self.inner.residuals(&p)).map_err(errors::data)?;
        Ok((found.residuals.into_pyarray(py), found.rest.into_pyarray(py)))
    }

    #[pyo3(signature = (baseline, adjacency, decays, /))]
    fn intensities<'py>(
        &self,
        py: Python<'py>,
        baseline: PyReadonlyArray1<'py, f64>,
        adjacency: PyReadonlyArray1<'py, f64>,
        decays: PyReadonlyArray1<'py, f64>,
    ) -> PyResult<Matrix<'py>> {
        let p = parameters(&baseline, &adjacency, &decays)?;
        let found = py.detach(|| self.inner.intensities(&p)).map_err(errors::data)?;
        found.into_pyarray(py).reshape([self.inner.len(), p.types()])
    }

    #[pyo3(signature = (baseline, adjacency, decays, /))]
    fn state<'py>(
        &self,
        py: Python<'py>,
        baseline: PyReadonlyArray1<'py, f64>,
        adjacency: PyReadonlyArray1<'py, f64>,
        decays: PyReadonlyArray1<'py, f64>,
    ) -> PyResult<Matrix<'py>> {
        let p = parameters(&baseline, &adjacency, &decays)?;
        let found = py.detach(|| self.inner.state(&p)).map_err(errors::data)?;
        found.into_pyarray(py).reshape([p.types(), p.components()])
    }
}

/// Events of a process: their times in ns after the start, and their types.
#[pyfunction]
#[pyo3(signature = (baseline, adjacency, decays, /, *, seed, count = None, end = None, limit, thinning = false))]
#[allow(clippy::too_many_arguments, clippy::type_complexity)] // three parameters and where to end
fn hawkes_simulate<'py>(
    py: Python<'py>,
    baseline: PyReadonlyArray1<'py, f64>,
    adjacency: PyReadonlyArray1<'py, f64>,
    decays: PyReadonlyArray1<'py, f64>,
    seed: u64,
    count: Option<usize>,
    end: Option<i64>,
    limit: usize,
    thinning: bool,
) -> PyResult<(Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<u32>>)> {
    let p = parameters(&baseline, &adjacency, &decays)?;
    let until = match (count, end) {
        (Some(count), None) => Until::Count(count),
        (None, Some(ns)) => Until::Time { ns, limit },
        _ => return Err(errors::data("expected either a count or an end")),
    };
    let path = py.detach(|| if thinning { p.simulate_thinning(until, seed) } else { p.simulate(until, seed) });
    let path = path.map_err(errors::data)?;
    Ok((path.times.into_pyarray(py), path.types.into_pyarray(py)))
}

/// Adds these to the extension module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<HawkesEvents>()?;
    m.add_function(wrap_pyfunction!(hawkes_simulate, m)?)
}
