//! `Rules`, `Tier`, `ProRata`.

use std::collections::BTreeMap;

use crossbook::exchange::{Account, Exchange, Priority, Rules as Core, State, Tier as CoreTier};
use crossbook::instrument::Instrument;
use crossbook::units::Unit;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::fields;
use crate::errors;

/// Fees in parts per billion of price × size.
#[pyclass(frozen, eq, hash, module = "crossbook._core")]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tier {
    #[pyo3(get)]
    maker: i64,
    #[pyo3(get)]
    taker: i64,
    #[pyo3(get)]
    auction: i64,
}

#[pymethods]
impl Tier {
    #[new]
    #[pyo3(signature = (maker=0, taker=0, auction=0))]
    fn new(
        #[pyo3(from_py_with = fields::maker)] maker: i64,
        #[pyo3(from_py_with = fields::taker)] taker: i64,
        #[pyo3(from_py_with = fields::auction)] auction: i64,
    ) -> Self {
        Self { maker, taker, auction }
    }

    fn __repr__(&self) -> String {
        format!("Tier(maker={}, taker={}, auction={})", self.maker, self.taker, self.auction)
    }
}

/// At one price orders trade in proportion to their displayed sizes.
#[pyclass(frozen, eq, hash, module = "crossbook._core")]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProRata {
    #[pyo3(get)]
    top_order: bool,
    #[pyo3(get)]
    top_max: i64,
    #[pyo3(get)]
    min_allocation: i64,
}

#[pymethods]
impl ProRata {
    #[new]
    #[pyo3(signature = (*, top_order=false, top_max=0, min_allocation=0))]
    fn new(
        top_order: bool,
        #[pyo3(from_py_with = fields::top_max)] top_max: i64,
        #[pyo3(from_py_with = fields::min_allocation)] min_allocation: i64,
    ) -> Self {
        Self { top_order, top_max, min_allocation }
    }

    fn __repr__(&self) -> String {
        let top_order = if self.top_order { "True" } else { "False" };
        format!("ProRata(top_order={top_order}, top_max={}, min_allocation={})", self.top_max, self.min_allocation)
    }
}

fn priority(value: &Bound<'_, PyAny>) -> PyResult<Priority> {
    if let Ok(found) = value.cast::<ProRata>() {
        let ProRata { top_order, top_max, min_allocation } = *found.get();
        return Ok(Priority::ProRata { top_order, top_max, min_allocation });
    }
    let message = || format!("priority {}: expected \"price_time\" or ProRata(...)", fields::shown(value));
    match value.cast::<PyString>() {
        Ok(name) if name.to_str()? == "price_time" => Ok(Priority::PriceTime),
        Ok(_) => Err(errors::data(message())),
        Err(_) => Err(PyTypeError::new_err(message())),
    }
}

fn accounts(value: &Bound<'_, PyAny>) -> PyResult<Vec<Account>> {
    if value.is_none() {
        return Ok(Vec::new());
    }
    let listed = value.cast::<PyDict>().map_err(|_| {
        PyTypeError::new_err(format!("accounts {}: expected a dict of account to tier", fields::shown(value)))
    })?;
    let account = |(id, tier): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
        Ok(Account { id: fields::account(&id)?, tier: fields::tier(&tier)? })
    };
    let mut accounts = listed.iter().map(account).collect::<PyResult<Vec<_>>>()?;
    accounts.sort_unstable_by_key(|account| account.id);
    Ok(accounts)
}

fn tiers(value: &Bound<'_, PyAny>) -> PyResult<Vec<CoreTier>> {
    let wrong = |found: &Bound<'_, PyAny>| {
        PyTypeError::new_err(format!("tiers {}: expected a list of Tier", fields::shown(found)))
    };
    let listed = value.try_iter().map_err(|_| wrong(value))?.map(|one| {
        let one = one?;
        let Tier { maker, taker, auction } = *one.cast::<Tier>().map_err(|_| wrong(&one))?.get();
        Ok(CoreTier { maker, taker, auction })
    });
    listed.collect()
}

/// The rules of an exchange, in units of its instrument.
#[pyclass(frozen, eq, module = "crossbook._core")]
#[derive(Clone, PartialEq)]
pub struct Rules {
    pub inner: Core,
}

impl Rules {
    /// The same with the steps of an instrument.
    pub fn on(&self, instrument: &Instrument) -> PyResult<Core> {
        let mut rules = self.inner.clone();
        let steps = [
            ("tick", instrument.tick, instrument.price_unit, &mut rules.tick),
            ("lot", instrument.lot, instrument.size_unit, &mut rules.lot),
        ];
        for (name, step, unit, rule) in steps {
            let Some(step) = step else { continue };
            let wrong =
                |expected: String| errors::data(format!("{name} of {}: expected {expected}", instrument.name()));
            let count =
                count(step, unit).ok_or_else(|| wrong(format!("a whole number of the unit {unit}, found {step}")))?;
            if *rule != 1 && *rule != count {
                return Err(wrong(format!("{count}, as the instrument has it, found {rule} in the rules")));
            }
            *rule = count;
        }
        Ok(rules)
    }
}

/// A step as a count of units.
fn count(step: Unit, unit: Unit) -> Option<i64> {
    unit.count(false, step.mantissa().unsigned_abs(), i32::from(step.exponent())).ok().filter(|count| *count > 0)
}

#[pymethods]
impl Rules {
    #[new]
    #[pyo3(
        signature = (
            *, tick=1, lot=1, min_size=1, max_size=Core::MAX_SIZE, max_notional=None, collar=None, band=None,
            halt_for=0, reference=None, priority=Priority::PriceTime, state=State::Continuous, accounts=Vec::new(),
            tiers=Vec::new(), rate=0, rate_window=1_000_000_000
        ),
        text_signature = "(*, tick=1, lot=1, min_size=1, max_size=9007199254740992, max_notional=None, collar=None, \
            band=None, halt_for=0, reference=None, priority='price_time', state='continuous', accounts=None, tiers=(), \
            rate=0, rate_window=1000000000)"
    )]
    #[allow(clippy::too_many_arguments)] // keywords
    fn new(
        #[pyo3(from_py_with = fields::tick)] tick: i64,
        #[pyo3(from_py_with = fields::lot)] lot: i64,
        #[pyo3(from_py_with = fields::min_size)] min_size: i64,
        #[pyo3(from_py_with = fields::max_size)] max_size: i64,
        #[pyo3(from_py_with = fields::optional::max_notional)] max_notional: Option<i128>,
        #[pyo3(from_py_with = fields::optional::collar)] collar: Option<i64>,
        #[pyo3(from_py_with = fields::optional::band)] band: Option<i64>,
        #[pyo3(from_py_with = fields::halt_for)] halt_for: i64,
        #[pyo3(from_py_with = fields::optional::reference)] reference: Option<i64>,
        #[pyo3(from_py_with = self::priority)] priority: Priority,
        #[pyo3(from_py_with = fields::state)] state: State,
        #[pyo3(from_py_with = self::accounts)] accounts: Vec<Account>,
        #[pyo3(from_py_with = self::tiers)] tiers: Vec<CoreTier>,
        #[pyo3(from_py_with = fields::rate)] rate: u32,
        #[pyo3(from_py_with = fields::rate_window)] rate_window: i64,
    ) -> PyResult<Self> {
        let inner = Core {
            tick,
            lot,
            min_size,
            max_size,
            max_notional,
            collar,
            band,
            halt_for,
            reference,
            priority,
            state,
            accounts,
            tiers,
            rate,
            rate_window,
        };
        // An exchange checks its rules; none is kept.
        Exchange::new(inner.clone()).map_err(errors::data)?;
        Ok(Self { inner })
    }

    #[getter]
    fn tick(&self) -> i64 {
        self.inner.tick
    }

    #[getter]
    fn lot(&self) -> i64 {
        self.inner.lot
    }

    #[getter]
    fn min_size(&self) -> i64 {
        self.inner.min_size
    }

    #[getter]
    fn max_size(&self) -> i64 {
        self.inner.max_size
    }

    #[getter]
    fn max_notional(&self) -> Option<i128> {
        self.inner.max_notional
    }

    #[getter]
    fn collar(&self) -> Option<i64> {
        self.inner.collar
    }

    #[getter]
    fn band(&self) -> Option<i64> {
        self.inner.band
    }

    #[getter]
    fn halt_for(&self) -> i64 {
        self.inner.halt_for
    }

    #[getter]
    fn reference(&self) -> Option<i64> {
        self.inner.reference
    }

    #[getter]
    fn priority(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.inner.priority {
            Priority::ProRata { top_order, top_max, min_allocation } => {
                Ok(Py::new(py, ProRata { top_order, top_max, min_allocation })?.into_any())
            }
            _ => Ok(PyString::new(py, "price_time").unbind().into_any()),
        }
    }

    #[getter]
    fn state(&self) -> &'static str {
        self.inner.state.name()
    }

    #[getter]
    fn accounts(&self) -> BTreeMap<u32, u32> {
        self.inner.accounts.iter().map(|account| (account.id, account.tier)).collect()
    }

    #[getter]
    fn tiers(&self) -> Vec<Tier> {
        let tier = |tier: &CoreTier| Tier { maker: tier.maker, taker: tier.taker, auction: tier.auction };
        self.inner.tiers.iter().map(tier).collect()
    }

    #[getter]
    fn rate(&self) -> u32 {
        self.inner.rate
    }

    #[getter]
    fn rate_window(&self) -> i64 {
        self.inner.rate_window
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let (given, usual) = (slf.as_any(), Bound::new(slf.py(), Self { inner: Core::default() })?);
        let mut parts = Vec::new();
        for name in NAMES {
            let value = given.getattr(name)?;
            if !value.eq(usual.getattr(name)?)? {
                parts.push(format!("{name}={}", value.repr()?));
            }
        }
        Ok(format!("Rules({})", parts.join(", ")))
    }
}

const NAMES: [&str; 15] = [
    "tick",
    "lot",
    "min_size",
    "max_size",
    "max_notional",
    "collar",
    "band",
    "halt_for",
    "reference",
    "priority",
    "state",
    "accounts",
    "tiers",
    "rate",
    "rate_window",
];
