//! `Instrument`.

use crossbook::instrument::{Instrument as Core, Venue};
use crossbook::units::Unit;
use pyo3::prelude::*;

use crate::errors;

/// One instrument at one venue, and what one integer of its prices and sizes means.
#[pyclass(frozen, eq, module = "crossbook._core")]
#[derive(Clone, PartialEq)]
pub struct Instrument {
    pub inner: Core,
}

pub fn venue(text: &str) -> PyResult<Venue> {
    text.parse().map_err(|error| errors::instrument(&error))
}

#[pymethods]
impl Instrument {
    #[staticmethod]
    fn builtin(venue_name: &str, symbol: &str) -> PyResult<Option<Self>> {
        Ok(Core::builtin(venue(venue_name)?, symbol).map(|inner| Self { inner }))
    }

    #[staticmethod]
    fn infer(venue_name: &str, symbol: &str) -> PyResult<Self> {
        let found = Core::infer(venue(venue_name)?, symbol, Unit::ONE, Unit::ONE);
        found.map(|inner| Self { inner }).map_err(|error| errors::instrument(&error))
    }

    #[staticmethod]
    fn from_json(text: &str) -> PyResult<Self> {
        serde_json::from_str(text)
            .map(|inner| Self { inner })
            .map_err(|error| errors::data(format!("instrument: {error}")))
    }

    fn to_json(&self) -> PyResult<String> {
        serde_json::to_string(&self.inner).map_err(errors::data)
    }

    #[getter]
    fn venue(&self) -> &'static str {
        self.inner.venue.name()
    }

    #[getter]
    fn alias(&self) -> &'static str {
        self.inner.venue.alias()
    }

    #[getter]
    fn symbol(&self) -> &str {
        &self.inner.symbol
    }

    #[getter]
    fn name(&self) -> String {
        self.inner.name()
    }

    #[getter]
    fn unified(&self) -> String {
        self.inner.unified()
    }

    #[getter]
    fn strike(&self) -> Option<String> {
        self.inner.option.map(|option| option.strike.to_string())
    }

    #[getter]
    fn right(&self) -> Option<&'static str> {
        self.inner.option.map(|option| if option.call { "call" } else { "put" })
    }

    #[getter]
    fn contract(&self) -> &'static str {
        self.inner.contract.name()
    }

    #[getter]
    fn base(&self) -> &str {
        &self.inner.base
    }

    #[getter]
    fn quote(&self) -> &str {
        &self.inner.quote
    }

    #[getter]
    fn settle(&self) -> &str {
        &self.inner.settle
    }

    #[getter]
    fn delivery(&self) -> Option<&str> {
        self.inner.delivery.as_deref()
    }

    #[getter]
    fn price_unit(&self) -> String {
        self.inner.price_unit.to_string()
    }

    #[getter]
    fn size_unit(&self) -> String {
        self.inner.size_unit.to_string()
    }

    #[getter]
    fn tick(&self) -> Option<String> {
        self.inner.tick.map(|unit| unit.to_string())
    }

    #[getter]
    fn lot(&self) -> Option<String> {
        self.inner.lot.map(|unit| unit.to_string())
    }

    #[getter]
    fn multiplier(&self) -> String {
        self.inner.multiplier.to_string()
    }

    #[getter]
    fn taker_fee_bp(&self) -> f64 {
        self.inner.venue.base_taker_fee() as f64 / 1e5
    }

    #[pyo3(signature = (count, /))]
    fn price(&self, count: i64) -> f64 {
        self.inner.price(count)
    }

    #[pyo3(signature = (price, size, /))]
    fn base_size(&self, price: i64, size: i64) -> f64 {
        self.inner.base_size(price, size)
    }

    fn __hash__(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        self.inner.name().hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self) -> String {
        let i = &self.inner;
        format!(
            "Instrument({}, {}, price unit {}, size unit {})",
            i.name(),
            i.contract.name(),
            i.price_unit,
            i.size_unit
        )
    }
}
