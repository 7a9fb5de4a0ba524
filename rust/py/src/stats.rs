//! Bridge of `crossbook::stats`: NumPy columns in, NumPy arrays out, the interpreter released while the kernels work.

mod anticipation;
mod discovery;
mod flow;
mod hawkes;
mod lead_lag;
mod pairs;
mod projections;

use pyo3::prelude::*;

/// Adds these functions to the extension module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    lead_lag::register(m)?;
    discovery::register(m)?;
    projections::register(m)?;
    flow::register(m)?;
    hawkes::register(m)?;
    pairs::register(m)?;
    anticipation::register(m)
}
