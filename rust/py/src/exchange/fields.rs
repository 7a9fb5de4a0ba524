//! Arguments of calls: each knows its name, so that an error can say which one is wrong and what was expected.

use crossbook::exchange::{
    Action, ExecutionKind, OrderType, PostOnly, Reason, SelfTrade, State as ExchangeState, TimeInForce,
};
use crossbook::units::{Price, Side, Size};
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::errors;

/// A value as Python shows it.
pub fn shown(value: &Bound<'_, PyAny>) -> String {
    value.repr().map_or_else(|_| "an object".to_owned(), |text| text.to_string())
}

fn whole<T>(value: &Bound<'_, PyAny>, field: &str, expected: &str) -> PyResult<T>
where
    T: for<'a, 'py> FromPyObject<'a, 'py, Error = PyErr>,
{
    value.extract::<T>().map_err(|error| {
        if error.is_instance_of::<PyOverflowError>(value.py()) {
            errors::data(format!("{field} {}: expected {expected}", shown(value)))
        } else if error.is_instance_of::<PyTypeError>(value.py()) {
            PyTypeError::new_err(format!("{field} {}: expected {expected}", shown(value)))
        } else {
            error
        }
    })
}

macro_rules! numbers {
    ($($name:ident: $type:ty = $expected:literal;)*) => {
        $(pub fn $name(value: &Bound<'_, PyAny>) -> PyResult<$type> {
            whole(value, stringify!($name), $expected)
        })*

        /// The same where None is an answer.
        pub mod optional {
            use super::*;
            $(#[allow(dead_code)] // most are
            pub fn $name(value: &Bound<'_, PyAny>) -> PyResult<Option<$type>> {
                if value.is_none() { Ok(None) } else { super::$name(value).map(Some) }
            })*
        }
    };
}

numbers! {
    order_id: u64 = "a whole number below 2^64";
    link: u64 = "a whole number below 2^64";
    account: u32 = "a whole number below 2^32";
    price: i64 = "a whole number of units, 64 bits";
    size: i64 = "a whole number of units, 64 bits";
    trigger: i64 = "a whole number of units, 64 bits";
    display: i64 = "a whole number of units, 64 bits";
    ts: i64 = "nanoseconds as a whole number, 64 bits";
    expires: i64 = "nanoseconds as a whole number, 64 bits";
    tick: i64 = "a whole number of units, 1 or more";
    lot: i64 = "a whole number of units, 1 or more";
    min_size: i64 = "a whole number of units, 1 or more";
    max_size: i64 = "a whole number of units, at most 2^53";
    max_notional: i128 = "a whole number, 0 or more, 127 bits";
    collar: i64 = "a whole number of units, 0 or more";
    band: i64 = "a whole number of units, 0 or more";
    halt_for: i64 = "nanoseconds as a whole number, 0 or more";
    reference: i64 = "a whole number of units, 64 bits";
    rate: u32 = "a whole number below 2^32";
    rate_window: i64 = "nanoseconds as a whole number, 1 or more";
    maker: i64 = "parts per billion as a whole number";
    taker: i64 = "parts per billion as a whole number";
    auction: i64 = "parts per billion as a whole number";
    top_max: i64 = "a whole number of units, 0 or more";
    min_allocation: i64 = "a whole number of units, 0 or more";
    tier: u32 = "an index of tiers";
}

/// An enum of the engine whose values have codes and names.
pub trait Named: Copy + Default + 'static {
    fn all() -> &'static [Self];
    fn label(self) -> &'static str;

    fn names() -> Vec<&'static str> {
        Self::all().iter().map(|one| one.label()).collect()
    }

    /// The code of a name.
    fn code(name: &str) -> Option<u8> {
        Self::all().iter().position(|one| one.label() == name).and_then(|code| u8::try_from(code).ok())
    }

    /// The one with a code that was checked.
    #[inline]
    fn at(code: u8) -> Self {
        Self::all().get(usize::from(code)).copied().unwrap_or_default()
    }

    /// What an error expects.
    fn expected() -> String {
        format!("one of {}", Self::names().join(", "))
    }
}

macro_rules! named {
    ($($type:ty)*) => {
        $(impl Named for $type {
            #[inline]
            fn all() -> &'static [Self] {
                &Self::ALL
            }

            fn label(self) -> &'static str {
                self.name()
            }
        })*
    };
}

named!(Action ExecutionKind OrderType PostOnly Reason SelfTrade ExchangeState TimeInForce);

/// A side as the engine has it, with a default for absent columns.
#[derive(Clone, Copy, Default)]
pub enum Sides {
    #[default]
    Bid,
    Ask,
}

impl Sides {
    #[inline]
    pub const fn side(self) -> Side {
        match self {
            Self::Bid => Side::Bid,
            Self::Ask => Side::Ask,
        }
    }
}

impl Named for Sides {
    #[inline]
    fn all() -> &'static [Self] {
        &[Self::Bid, Self::Ask]
    }

    fn label(self) -> &'static str {
        side_name(self.side())
    }

    fn code(name: &str) -> Option<u8> {
        match name {
            "bid" | "buy" => Some(0),
            "ask" | "sell" => Some(1),
            _ => None,
        }
    }

    fn expected() -> String {
        "bid or buy, ask or sell".to_owned()
    }
}

pub const fn side_name(side: Side) -> &'static str {
    match side {
        Side::Bid => "bid",
        Side::Ask => "ask",
    }
}

fn code<T: Named>(value: &Bound<'_, PyAny>, field: &str) -> PyResult<T> {
    let expected = || format!("{field} {}: expected {}", shown(value), T::expected());
    let text = value.cast::<PyString>().map_err(|_| PyTypeError::new_err(expected()))?;
    T::code(text.to_str()?).map(T::at).ok_or_else(|| errors::data(expected()))
}

macro_rules! names {
    ($($name:ident: $type:ty;)*) => {
        $(pub fn $name(value: &Bound<'_, PyAny>) -> PyResult<$type> {
            code(value, stringify!($name))
        })*
    };
}

names! {
    order_type: OrderType;
    time_in_force: TimeInForce;
    self_trade: SelfTrade;
    post_only: PostOnly;
    state: ExchangeState;
}

/// A side by name, or by the code that the other books take.
pub fn side(value: &Bound<'_, PyAny>) -> PyResult<Side> {
    if value.is_instance_of::<PyString>() {
        return code::<Sides>(value, "side").map(Sides::side);
    }
    match value.extract::<u8>() {
        Ok(0) => Ok(Side::Bid),
        Ok(1) => Ok(Side::Ask),
        found => {
            let message = format!("side {}: expected {}, or 0 (bid) or 1 (ask)", shown(value), Sides::expected());
            let number = found.is_ok() || value.extract::<i128>().is_ok();
            Err(if number { errors::data(message) } else { PyTypeError::new_err(message) })
        }
    }
}

pub fn optional_side(value: &Bound<'_, PyAny>) -> PyResult<Option<Side>> {
    if value.is_none() { Ok(None) } else { side(value).map(Some) }
}

/// One side of a quote: id, price, size.
pub type QuoteSide = (u64, Price, Size);

fn quote_side(value: &Bound<'_, PyAny>, field: &str) -> PyResult<QuoteSide> {
    let (id, at, amount) = value
        .extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>, Bound<'_, PyAny>)>()
        .map_err(|_| PyTypeError::new_err(format!("{field} {}: expected (id, price, size)", shown(value))))?;
    Ok((
        whole(&id, &format!("{field} id"), "a whole number below 2^64")?,
        Price(whole(&at, &format!("{field} price"), "a whole number of units, 64 bits")?),
        Size(whole(&amount, &format!("{field} size"), "a whole number of units, 64 bits")?),
    ))
}

pub fn bid(value: &Bound<'_, PyAny>) -> PyResult<QuoteSide> {
    quote_side(value, "bid")
}

pub fn ask(value: &Bound<'_, PyAny>) -> PyResult<QuoteSide> {
    quote_side(value, "ask")
}

/// Bids and asks of several quotes.
pub fn quotes(value: &Bound<'_, PyAny>) -> PyResult<Vec<(QuoteSide, QuoteSide)>> {
    let pair = |one: PyResult<Bound<'_, PyAny>>| {
        let one = one?;
        let (buy, sell) = one.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>().map_err(|_| {
            PyTypeError::new_err(format!("quotes: expected (bid, ask), each (id, price, size), found {}", shown(&one)))
        })?;
        Ok((bid(&buy)?, ask(&sell)?))
    };
    value.try_iter()?.map(pair).collect()
}
