//! `Execution` and `LiveOrder`: what the exchange says, one at a time.

use std::hash::{DefaultHasher, Hash, Hasher};

use crossbook::exchange::{Command, Execution as Core, ExecutionKind, LiveOrder as CoreOrder, Reason};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::fields::side_name;

/// `None` where the engine says that there is none.
fn given(value: i64) -> Option<i64> {
    (value != Command::UNSET).then_some(value)
}

fn id(value: u64) -> Option<u64> {
    (value != 0).then_some(value)
}

/// The attributes of an object by name, in order.
fn as_dict<'py>(object: &Bound<'py, PyAny>, names: &[&str]) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(object.py());
    for name in names {
        dict.set_item(name, object.getattr(*name)?)?;
    }
    Ok(dict)
}

/// Those that are set, as a call would have them.
fn repr(object: &Bound<'_, PyAny>, names: &[&str]) -> PyResult<String> {
    let mut parts = Vec::new();
    for name in names {
        let value = object.getattr(*name)?;
        if !value.is_none() {
            parts.push(format!("{name}={}", value.repr()?));
        }
    }
    Ok(format!("{}({})", object.get_type().name()?, parts.join(", ")))
}

/// What happened. See `docs/exchange.md` for the meaning of the fields in each kind.
#[pyclass(frozen, eq, module = "crossbook._core")]
#[derive(Clone, PartialEq)]
pub struct Execution {
    pub inner: Core,
}

impl Execution {
    pub const NAMES: [&'static str; 14] = [
        "sequence",
        "kind",
        "reason",
        "order_id",
        "counter_id",
        "account",
        "counter_account",
        "side",
        "price",
        "size",
        "remaining",
        "fee",
        "counter_fee",
        "state",
    ];

    fn is_trade(&self) -> bool {
        self.inner.kind == ExecutionKind::Trade
    }
}

#[pymethods]
impl Execution {
    #[getter]
    fn sequence(&self) -> u64 {
        self.inner.sequence
    }

    #[getter]
    fn kind(&self) -> &'static str {
        self.inner.kind.name()
    }

    #[getter]
    fn reason(&self) -> Option<&'static str> {
        (self.inner.reason != Reason::None).then(|| self.inner.reason.name())
    }

    #[getter]
    fn order_id(&self) -> Option<u64> {
        id(self.inner.order_id)
    }

    #[getter]
    fn counter_id(&self) -> Option<u64> {
        id(self.inner.counter_id)
    }

    #[getter]
    fn account(&self) -> u32 {
        self.inner.account
    }

    #[getter]
    fn counter_account(&self) -> Option<u32> {
        id(self.inner.counter_id).map(|_| self.inner.counter_account)
    }

    #[getter]
    fn side(&self) -> Option<&'static str> {
        self.inner.side.map(side_name)
    }

    #[getter]
    fn price(&self) -> Option<i64> {
        given(self.inner.price.0)
    }

    #[getter]
    fn size(&self) -> Option<i64> {
        given(self.inner.size.0)
    }

    #[getter]
    fn remaining(&self) -> Option<i64> {
        given(self.inner.remaining.0)
    }

    #[getter]
    fn fee(&self) -> Option<i64> {
        self.is_trade().then_some(self.inner.fee)
    }

    #[getter]
    fn counter_fee(&self) -> Option<i64> {
        self.is_trade().then_some(self.inner.counter_fee)
    }

    #[getter]
    fn state(&self) -> Option<&'static str> {
        (self.inner.kind == ExecutionKind::State).then(|| self.inner.state.name())
    }

    fn as_dict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        as_dict(slf.as_any(), &Self::NAMES)
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let Core { sequence, order_id, counter_id, kind, .. } = self.inner;
        (sequence, order_id, counter_id, kind).hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        repr(slf.as_any(), &Self::NAMES)
    }
}

/// A live order as it is at present.
#[pyclass(frozen, eq, module = "crossbook._core")]
#[derive(Clone, PartialEq)]
pub struct LiveOrder {
    pub inner: CoreOrder,
}

impl LiveOrder {
    const NAMES: [&'static str; 11] = [
        "order_id",
        "account",
        "side",
        "price",
        "shown",
        "open",
        "order_type",
        "time_in_force",
        "trigger",
        "link",
        "rests",
    ];
}

#[pymethods]
impl LiveOrder {
    #[getter]
    fn order_id(&self) -> u64 {
        self.inner.id
    }

    #[getter]
    fn account(&self) -> u32 {
        self.inner.account
    }

    #[getter]
    fn side(&self) -> &'static str {
        side_name(self.inner.side)
    }

    #[getter]
    fn price(&self) -> Option<i64> {
        given(self.inner.price.0)
    }

    #[getter]
    fn shown(&self) -> i64 {
        self.inner.shown.0
    }

    #[getter]
    fn open(&self) -> i64 {
        self.inner.open.0
    }

    #[getter]
    fn order_type(&self) -> &'static str {
        self.inner.order_type.name()
    }

    #[getter]
    fn time_in_force(&self) -> &'static str {
        self.inner.time_in_force.name()
    }

    #[getter]
    fn trigger(&self) -> Option<i64> {
        given(self.inner.trigger.0)
    }

    #[getter]
    fn link(&self) -> Option<u64> {
        id(self.inner.link)
    }

    #[getter]
    fn rests(&self) -> bool {
        self.inner.rests
    }

    fn as_dict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        as_dict(slf.as_any(), &Self::NAMES)
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.inner.id.hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        repr(slf.as_any(), &Self::NAMES)
    }
}
