//! Routes over books and pools without a market, and pools as venues of one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crossbook::cost::{Affine, Amount, Rate};
use crossbook::market::route::{DepthLeg, DepthOrder, DepthTerms, Depths, RouteError};
use crossbook::market::{Market as Core, PoolRules, PoolTime};
use crossbook::tape;
use crossbook::units::{Nanos, Side, Unit};
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyInt};

use crate::errors;
use crate::instrument::Instrument;
use crate::market::is_named;
use crate::pool::{AnyPool, token, whole};
use crate::route::{count, decimal, limit, side};
use crate::tape::Tape;

/// How a pool is read: base token, decimals, step, levels.
pub fn rules(base: u8, decimals: (u8, u8), step: Option<i64>, levels: usize) -> PyResult<PoolRules> {
    Ok(PoolRules { base: token(base)?, decimals: [decimals.0, decimals.1], step, levels })
}

/// The one instrument that an index or a name means.
pub fn index_of(instruments: &[Py<Instrument>], given: &Bound<'_, PyAny>) -> PyResult<usize> {
    let known = || instruments.iter().map(|one| one.get().inner.name()).collect::<Vec<_>>().join(", ");
    if given.is_instance_of::<PyInt>() {
        let found: Option<usize> = given.extract().ok();
        return found
            .filter(|index| *index < instruments.len())
            .ok_or_else(|| errors::data(format!("instrument {given}: expected an index below {}", instruments.len())));
    }
    let name: String = given.extract().map_err(|_| errors::data("instrument: expected its index or its name"))?;
    let mut found = (0..instruments.len()).filter(|index| is_named(&instruments[*index].get().inner, &name));
    match (found.next(), found.next()) {
        (Some(index), None) => Ok(index),
        (None, _) => Err(errors::data(format!("instrument {name:?}: expected one of {}", known()))),
        _ => Err(errors::data(format!("instrument {name:?}: expected a name of one only, of {}", known()))),
    }
}

/// Snapshots of pools as a tape of one instrument.
#[pyfunction]
#[pyo3(signature = (instrument, states, /, *, base, decimals, step=None, levels=100))]
pub fn pool_tape(
    instrument: Py<Instrument>,
    states: Vec<(AnyPool<'_>, i64, i64, u64)>,
    base: u8,
    decimals: (u8, u8),
    step: Option<i64>,
    levels: usize,
) -> PyResult<Tape> {
    let rules = rules(base, decimals, step, levels)?;
    let described = instrument.get().inner.clone();
    let market = Core::new(vec![described]).map_err(|error| errors::market(&error))?;
    let mut made = tape::Tape::default();
    for (pool, ts_recv, ts_event, sequence) in states {
        let at = PoolTime { ts_event: Nanos(ts_event), ts_recv: Nanos(ts_recv), sequence };
        let (_, events) = market.read_pool(0, pool.pool(), &rules, &at).map_err(|error| errors::market(&error))?;
        events.iter().for_each(|event| made.push(event));
    }
    Tape::from_core(made, Arc::new(vec![instrument]))
}

/// A venue's part of a `DepthRoute`.
#[pyclass(frozen, module = "crossbook._core")]
pub struct DepthRouteLeg {
    name: String,
    leg: DepthLeg,
    units: (Unit, Unit),
}

#[pymethods]
impl DepthRouteLeg {
    #[getter]
    fn venue(&self) -> &str {
        &self.name
    }

    #[getter]
    fn size(&self) -> String {
        self.units.1.format_count(self.leg.size)
    }

    #[getter]
    fn total(&self) -> String {
        self.leg.total.to_string()
    }

    #[getter]
    fn worst(&self) -> String {
        self.units.0.format_count(self.leg.worst.0)
    }

    #[getter]
    fn swap<'py>(&self, py: Python<'py>) -> PyResult<Option<Swapped<'py>>> {
        let Some(swap) = &self.leg.swap else { return Ok(None) };
        let trade = swap.trade;
        Ok(Some((
            trade.token_in as u8,
            whole(py, &trade.amount_in)?,
            whole(py, &trade.amount_out)?,
            whole(py, &swap.fee)?,
        )))
    }

    fn __repr__(&self) -> String {
        format!("DepthRouteLeg({} at {} for {})", self.size(), self.name, self.leg.total)
    }
}

/// Token paid in, amount in, amount out, fee.
pub type Swapped<'py> = (u8, Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>);

/// How an order is split over books and pools.
#[pyclass(frozen, get_all, module = "crossbook._core")]
pub struct DepthRoute {
    side: &'static str,
    legs: Vec<Py<DepthRouteLeg>>,
    filled: String,
    total: String,
    gap: Option<f64>,
    is_optimal: bool,
    marginal: f64,
    nodes: u64,
}

#[pymethods]
impl DepthRoute {
    fn __len__(&self) -> usize {
        self.legs.len()
    }

    fn __repr__(&self) -> String {
        let gap = self.gap.map_or_else(|| "not proven".to_owned(), |gap| format!("gap {gap:e}"));
        format!("DepthRoute({} {} for {}, {} legs; {gap})", self.side, self.filled, self.total, self.legs.len())
    }
}

struct Inner {
    depths: Depths,
    names: Vec<Option<String>>,
    places: HashMap<String, usize>,
}

impl Inner {
    fn place(&self, name: &str) -> usize {
        let free = || self.names.iter().position(Option::is_none).unwrap_or(self.names.len());
        self.places.get(name).copied().unwrap_or_else(free)
    }

    fn keep(&mut self, name: &str, index: usize) {
        if self.names.len() <= index {
            self.names.resize(index + 1, None);
        }
        self.names[index] = Some(name.to_owned());
        self.places.insert(name.to_owned(), index);
    }

    fn name(&self, index: usize) -> String {
        self.names.get(index).cloned().flatten().unwrap_or_default()
    }

    /// An error that names the venue instead of its number.
    fn error(&self, error: RouteError, size_unit: Unit) -> PyErr {
        let message = match error {
            RouteError::Terms { venue, what } => format!("{}: expected {what}", self.name(venue)),
            RouteError::Overflow { venue } => {
                format!("{}: expected prices, sizes and costs within exact sums", self.name(venue))
            }
            RouteError::Size(size) => format!("size {}: expected more than 0", size_unit.format_count(size)),
            RouteError::OffLot { size, lot } => {
                let text = |size| size_unit.format_count(size);
                format!("size {}: expected a multiple of {}", text(size), text(lot))
            }
            error => error.to_string(),
        };
        errors::route(message, None)
    }
}

/// Books and pools, any number of them, and the cheapest split of an order over them.
#[pyclass(frozen, module = "crossbook._core")]
pub struct DepthRouter {
    inner: Mutex<Inner>,
    price_unit: Unit,
    size_unit: Unit,
}

impl DepthRouter {
    fn with<T>(&self, ask: impl FnOnce(&mut Inner) -> T) -> T {
        ask(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn terms(
        &self,
        fee_ppb: i64,
        fixed: Option<&Bound<'_, PyAny>>,
        [lot, min, max]: [Option<&Bound<'_, PyAny>>; 3],
    ) -> PyResult<DepthTerms> {
        if fee_ppb.abs() >= 1_000_000_000 {
            return Err(errors::data("fee_ppb: expected parts per billion between -10^9 and 10^9"));
        }
        let fixed = match fixed {
            None => Amount::ZERO,
            Some(text) => {
                let text = decimal(text)?;
                text.parse().map_err(|error| errors::route(format!("fixed {text:?}: {error}"), None))?
            }
        };
        let size = |what: &str, given: Option<&Bound<'_, PyAny>>, default| {
            given.map_or(Ok(default), |given| count(what, &decimal(given)?, self.size_unit))
        };
        let costs = [Affine { rate: Rate(fee_ppb), fixed }; 2];
        let (lot, min) = (size("lot", lot, 1)?, size("min_size", min, 0)?);
        Ok(DepthTerms { costs, lot, min, max: size("max_size", max, i64::MAX)? })
    }
}

#[pymethods]
impl DepthRouter {
    #[new]
    #[pyo3(signature = (*, price_unit, size_unit))]
    fn new(price_unit: &str, size_unit: &str) -> PyResult<Self> {
        let unit = |text: &str| Unit::parse(text).map_err(|error| errors::data(format!("unit {text:?}: {error}")));
        let (price_unit, size_unit) = (unit(price_unit)?, unit(size_unit)?);
        let depths = Depths::new(price_unit, size_unit).map_err(|error| errors::route(error.to_string(), None))?;
        let inner = Inner { depths, names: Vec::new(), places: HashMap::new() };
        Ok(Self { inner: Mutex::new(inner), price_unit, size_unit })
    }

    #[pyo3(signature = (name, /, bids, asks, *, fee_ppb=0, fixed=None, lot=None, min_size=None, max_size=None))]
    #[allow(clippy::too_many_arguments)] // the terms of a venue
    fn set_book(
        &self,
        name: &str,
        bids: Vec<(i64, i64)>,
        asks: Vec<(i64, i64)>,
        fee_ppb: i64,
        fixed: Option<&Bound<'_, PyAny>>,
        lot: Option<&Bound<'_, PyAny>>,
        min_size: Option<&Bound<'_, PyAny>>,
        max_size: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let terms = self.terms(fee_ppb, fixed, [lot, min_size, max_size])?;
        self.with(|inner| {
            let index = inner.place(name);
            let set = inner.depths.set_book(index, bids, asks, terms);
            set.map_err(|error| errors::route(format!("{name}: {error}"), None))?;
            inner.keep(name, index);
            Ok(())
        })
    }

    #[pyo3(signature = (name, pool, /, *, base, decimals, fee_ppb=0, fixed=None, lot=None, min_size=None, max_size=None))]
    #[allow(clippy::too_many_arguments)] // the terms of a venue
    fn set_pool(
        &self,
        name: &str,
        pool: AnyPool<'_>,
        base: u8,
        decimals: (u8, u8),
        fee_ppb: i64,
        fixed: Option<&Bound<'_, PyAny>>,
        lot: Option<&Bound<'_, PyAny>>,
        min_size: Option<&Bound<'_, PyAny>>,
        max_size: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let terms = self.terms(fee_ppb, fixed, [lot, min_size, max_size])?;
        let (base, pool) = (token(base)?, pool.pool());
        self.with(|inner| {
            let index = inner.place(name);
            let set = inner.depths.set_pool(index, pool, base, [decimals.0, decimals.1], terms);
            set.map_err(|error| errors::pool(&format!("{name}: {error}")))?;
            inner.keep(name, index);
            Ok(())
        })
    }

    #[pyo3(signature = (name, /))]
    fn remove(&self, name: &str) -> PyResult<()> {
        self.with(|inner| {
            let Some(index) = inner.places.remove(name) else {
                return Err(errors::data(format!("venue {name:?}: expected one that was set")));
            };
            inner.names[index] = None;
            let set = inner.depths.set_book(index, Vec::new(), Vec::new(), DepthTerms::default());
            set.map_err(|error| errors::route(error.to_string(), None))
        })
    }

    fn __len__(&self) -> usize {
        self.with(|inner| inner.places.len())
    }

    #[pyo3(signature = (side, size, /, *, limit=None, max_venues=None, max_nodes=10_000))]
    fn route(
        &self,
        py: Python<'_>,
        side: &Bound<'_, PyAny>,
        size: &Bound<'_, PyAny>,
        limit: Option<&Bound<'_, PyAny>>,
        max_venues: Option<usize>,
        max_nodes: u64,
    ) -> PyResult<DepthRoute> {
        let side = self::side(side)?;
        let size = count("size", &decimal(size)?, self.size_unit)?;
        let limit = limit.map(|price| self::limit(&decimal(price)?, self.price_unit, side)).transpose()?;
        let max_venues = max_venues.unwrap_or(usize::MAX);
        let order = DepthOrder { side, size, limit, max_venues, max_nodes };
        let (route, names) = py.detach(|| {
            self.with(|inner| {
                let found = inner.depths.route(&order).map_err(|error| inner.error(error, self.size_unit))?;
                let names: Vec<_> = found.legs.iter().map(|leg| inner.name(leg.venue)).collect();
                Ok::<_, PyErr>((found, names))
            })
        })?;
        let units = (self.price_unit, self.size_unit);
        let legs =
            route.legs.iter().zip(names).map(|(leg, name)| Py::new(py, DepthRouteLeg { name, leg: *leg, units }));
        Ok(DepthRoute {
            side: if side == Side::Bid { "buy" } else { "sell" },
            legs: legs.collect::<PyResult<_>>()?,
            filled: self.size_unit.format_count(route.filled),
            total: route.total.to_string(),
            gap: route.gap.map(Amount::to_f64),
            is_optimal: route.is_optimal,
            marginal: self.price_unit.to_f64(1) * route.marginal,
            nodes: route.nodes,
        })
    }
}

/// Adds these classes and functions to the extension module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<DepthRouter>()?;
    m.add_class::<DepthRoute>()?;
    m.add_class::<DepthRouteLeg>()?;
    m.add_function(wrap_pyfunction!(pool_tape, m)?)
}
