//! `Exchange`: one call a command, or columns of commands in and columns of executions out.
//!
//! `fields` reads arguments, `commands` columns; `execution` is one answer, `columns` are many; `rules` the rules.

use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow_array::RecordBatch;
use crossbook::exchange::{Action, Command, Exchange as Core, OrderType, PostOnly, SelfTrade, State, TimeInForce};
use crossbook::units::{Nanos, Price, Side, Size};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors;
use crate::instrument::Instrument;
use crate::table::Table;

mod columns;
mod commands;
mod execution;
mod fields;
mod rules;

use columns::{Decimals, Executions};
use commands::Commands;
use execution::{Execution, LiveOrder};
use fields::QuoteSide;
use rules::{ProRata, Rules, Tier};

/// Commands between two looks at Ctrl-C.
const CHUNK: usize = 65_536;

/// A venue for one instrument. Integers of units; see `crossbook.Instrument`.
#[pyclass(frozen, module = "crossbook._core")]
pub struct Exchange {
    exchange: Mutex<Core>,
    instrument: Option<Py<Instrument>>,
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Exchange>()?;
    m.add_class::<Execution>()?;
    m.add_class::<LiveOrder>()?;
    m.add_class::<ProRata>()?;
    m.add_class::<Rules>()?;
    m.add_class::<Tier>()
}

/// A table as a Polars DataFrame that shares its memory.
fn frame(py: Python<'_>, batch: RecordBatch) -> PyResult<Bound<'_, PyAny>> {
    py.import("polars")?.call_method1("DataFrame", (Table::new(batch),))
}

fn price(value: Option<i64>) -> Price {
    Price(value.unwrap_or(Command::UNSET))
}

fn size(value: Option<i64>) -> Size {
    Size(value.unwrap_or(Command::UNSET))
}

fn time(value: Option<i64>) -> Nanos {
    value.map_or(Nanos::UNKNOWN, Nanos)
}

impl Exchange {
    #[inline]
    fn lock(&self) -> MutexGuard<'_, Core> {
        self.exchange.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn send(&self, command: &Command) -> Vec<Execution> {
        let mut executions = Vec::new();
        self.lock().apply(command, |execution| executions.push(Execution { inner: *execution }));
        executions
    }

    /// Units, if decimals are asked for.
    fn decimals(&self, wanted: bool) -> PyResult<Decimals> {
        if !wanted {
            return Ok(None);
        }
        let instrument = self.instrument.as_ref().map(|instrument| &instrument.get().inner);
        let instrument = instrument.ok_or_else(|| {
            errors::data("decimals True: expected an exchange with an instrument, which knows its units")
        })?;
        Ok(Some((instrument.price_unit, instrument.size_unit)))
    }
}

#[pymethods]
impl Exchange {
    #[new]
    #[pyo3(signature = (instrument=None, rules=None, **keywords))]
    fn new(
        py: Python<'_>,
        instrument: Option<Py<Instrument>>,
        rules: Option<Py<Rules>>,
        keywords: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let rules = match (rules, keywords) {
            (Some(_), Some(_)) => return Err(PyTypeError::new_err("rules: expected Rules or keywords, found both")),
            (Some(rules), None) => rules.get().clone(),
            (None, keywords) => py.get_type::<Rules>().call((), keywords)?.cast_into::<Rules>()?.get().clone(),
        };
        let rules = match &instrument {
            Some(instrument) => rules.on(&instrument.get().inner)?,
            None => rules.inner,
        };
        let exchange = Core::new(rules).map_err(errors::data)?;
        Ok(Self { exchange: Mutex::new(exchange), instrument })
    }

    #[pyo3(
        signature = (
            order_id, side, size, price=None, *, order_type=OrderType::Limit, time_in_force=TimeInForce::Day,
            account=0, trigger=None, display=None, expires=None, link=0, self_trade=SelfTrade::None,
            post_only=PostOnly::No, ts=None
        ),
        text_signature = "($self, order_id, side, size, price=None, *, order_type='limit', time_in_force='day', \
            account=0, trigger=None, display=None, expires=None, link=0, self_trade='none', post_only='no', ts=None)"
    )]
    #[allow(clippy::too_many_arguments)] // keywords
    fn submit(
        &self,
        #[pyo3(from_py_with = fields::order_id)] order_id: u64,
        #[pyo3(from_py_with = fields::side)] side: Side,
        #[pyo3(from_py_with = fields::size)] size: i64,
        #[pyo3(from_py_with = fields::optional::price)] price: Option<i64>,
        #[pyo3(from_py_with = fields::order_type)] order_type: OrderType,
        #[pyo3(from_py_with = fields::time_in_force)] time_in_force: TimeInForce,
        #[pyo3(from_py_with = fields::account)] account: u32,
        #[pyo3(from_py_with = fields::optional::trigger)] trigger: Option<i64>,
        #[pyo3(from_py_with = fields::optional::display)] display: Option<i64>,
        #[pyo3(from_py_with = fields::optional::expires)] expires: Option<i64>,
        #[pyo3(from_py_with = fields::link)] link: u64,
        #[pyo3(from_py_with = fields::self_trade)] self_trade: SelfTrade,
        #[pyo3(from_py_with = fields::post_only)] post_only: PostOnly,
        #[pyo3(from_py_with = fields::optional::ts)] ts: Option<i64>,
    ) -> Vec<Execution> {
        self.send(&Command {
            order_type,
            time_in_force,
            account,
            trigger: self::price(trigger),
            display: self::size(display),
            expires: time(expires),
            link,
            self_trade,
            post_only,
            ts: time(ts),
            ..Command::limit(order_id, side, self::price(price), Size(size))
        })
    }

    #[pyo3(signature = (order_id, *, account=0, ts=None))]
    fn cancel(
        &self,
        #[pyo3(from_py_with = fields::order_id)] order_id: u64,
        #[pyo3(from_py_with = fields::account)] account: u32,
        #[pyo3(from_py_with = fields::optional::ts)] ts: Option<i64>,
    ) -> Vec<Execution> {
        self.send(&Command::cancel(order_id).by(account).at(time(ts)))
    }

    #[pyo3(signature = (order_id, price=None, size=None, *, trigger=None, display=None, account=0, ts=None))]
    #[allow(clippy::too_many_arguments)] // keywords
    fn modify(
        &self,
        #[pyo3(from_py_with = fields::order_id)] order_id: u64,
        #[pyo3(from_py_with = fields::optional::price)] price: Option<i64>,
        #[pyo3(from_py_with = fields::optional::size)] size: Option<i64>,
        #[pyo3(from_py_with = fields::optional::trigger)] trigger: Option<i64>,
        #[pyo3(from_py_with = fields::optional::display)] display: Option<i64>,
        #[pyo3(from_py_with = fields::account)] account: u32,
        #[pyo3(from_py_with = fields::optional::ts)] ts: Option<i64>,
    ) -> Vec<Execution> {
        let command = Command::modify(order_id, self::price(price), self::size(size)).by(account).at(time(ts));
        self.send(&Command { trigger: self::price(trigger), display: self::size(display), ..command })
    }

    #[pyo3(signature = (order_id, price=None, size=None, *, trigger=None, display=None, account=0, ts=None))]
    #[allow(clippy::too_many_arguments)] // keywords
    fn replace(
        &self,
        #[pyo3(from_py_with = fields::order_id)] order_id: u64,
        #[pyo3(from_py_with = fields::optional::price)] price: Option<i64>,
        #[pyo3(from_py_with = fields::optional::size)] size: Option<i64>,
        #[pyo3(from_py_with = fields::optional::trigger)] trigger: Option<i64>,
        #[pyo3(from_py_with = fields::optional::display)] display: Option<i64>,
        #[pyo3(from_py_with = fields::account)] account: u32,
        #[pyo3(from_py_with = fields::optional::ts)] ts: Option<i64>,
    ) -> Vec<Execution> {
        let command = Command::replace(order_id, self::price(price), self::size(size)).by(account).at(time(ts));
        self.send(&Command { trigger: self::price(trigger), display: self::size(display), ..command })
    }

    #[pyo3(
        signature = (
            account, bid, ask, *, time_in_force=TimeInForce::Gtc, expires=None, self_trade=SelfTrade::None,
            post_only=PostOnly::No, ts=None
        ),
        text_signature = "($self, account, bid, ask, *, time_in_force='gtc', expires=None, self_trade='none', \
            post_only='no', ts=None)"
    )]
    #[allow(clippy::too_many_arguments)] // keywords
    fn set_quote(
        &self,
        #[pyo3(from_py_with = fields::account)] account: u32,
        #[pyo3(from_py_with = fields::bid)] bid: QuoteSide,
        #[pyo3(from_py_with = fields::ask)] ask: QuoteSide,
        #[pyo3(from_py_with = fields::time_in_force)] time_in_force: TimeInForce,
        #[pyo3(from_py_with = fields::optional::expires)] expires: Option<i64>,
        #[pyo3(from_py_with = fields::self_trade)] self_trade: SelfTrade,
        #[pyo3(from_py_with = fields::post_only)] post_only: PostOnly,
        #[pyo3(from_py_with = fields::optional::ts)] ts: Option<i64>,
    ) -> Vec<Execution> {
        self.mass_quote(account, vec![(bid, ask)], time_in_force, expires, self_trade, post_only, ts)
    }

    #[pyo3(
        signature = (
            account, quotes, *, time_in_force=TimeInForce::Gtc, expires=None, self_trade=SelfTrade::None,
            post_only=PostOnly::No, ts=None
        ),
        text_signature = "($self, account, quotes, *, time_in_force='gtc', expires=None, self_trade='none', \
            post_only='no', ts=None)"
    )]
    #[allow(clippy::too_many_arguments)] // keywords
    fn mass_quote(
        &self,
        #[pyo3(from_py_with = fields::account)] account: u32,
        #[pyo3(from_py_with = fields::quotes)] quotes: Vec<(QuoteSide, QuoteSide)>,
        #[pyo3(from_py_with = fields::time_in_force)] time_in_force: TimeInForce,
        #[pyo3(from_py_with = fields::optional::expires)] expires: Option<i64>,
        #[pyo3(from_py_with = fields::self_trade)] self_trade: SelfTrade,
        #[pyo3(from_py_with = fields::post_only)] post_only: PostOnly,
        #[pyo3(from_py_with = fields::optional::ts)] ts: Option<i64>,
    ) -> Vec<Execution> {
        let quote = |(bid, ask)| Command {
            time_in_force,
            expires: time(expires),
            self_trade,
            post_only,
            ..Command::quote(account, bid, ask).at(time(ts))
        };
        let mut exchange = self.lock();
        let mut executions = Vec::new();
        for quote in quotes.into_iter().map(quote) {
            exchange.apply(&quote, |execution| executions.push(Execution { inner: *execution }));
        }
        executions
    }

    #[pyo3(signature = (account=0, side=None, *, ts=None))]
    fn mass_cancel(
        &self,
        #[pyo3(from_py_with = fields::account)] account: u32,
        #[pyo3(from_py_with = fields::optional_side)] side: Option<Side>,
        #[pyo3(from_py_with = fields::optional::ts)] ts: Option<i64>,
    ) -> Vec<Execution> {
        let command = Command::new(Action::MassCancel).by(account).at(time(ts));
        self.send(&Command { one_side: side.is_some(), side: side.unwrap_or(Side::Bid), ..command })
    }

    #[pyo3(signature = (state, *, ts=None))]
    fn set_state(
        &self,
        #[pyo3(from_py_with = fields::state)] state: State,
        #[pyo3(from_py_with = fields::optional::ts)] ts: Option<i64>,
    ) -> Vec<Execution> {
        self.send(&Command::state(state).at(time(ts)))
    }

    #[pyo3(signature = (account=0, *, ts=None))]
    fn kill(
        &self,
        #[pyo3(from_py_with = fields::account)] account: u32,
        #[pyo3(from_py_with = fields::optional::ts)] ts: Option<i64>,
    ) -> Vec<Execution> {
        self.send(&Command::new(Action::Kill).by(account).at(time(ts)))
    }

    #[pyo3(signature = (account=0, *, ts=None))]
    fn revive(
        &self,
        #[pyo3(from_py_with = fields::account)] account: u32,
        #[pyo3(from_py_with = fields::optional::ts)] ts: Option<i64>,
    ) -> Vec<Execution> {
        self.send(&Command::new(Action::Revive).by(account).at(time(ts)))
    }

    fn set_clock(&self, #[pyo3(from_py_with = fields::ts)] ts: i64) -> Vec<Execution> {
        self.send(&Command::clock(Nanos(ts)))
    }

    #[pyo3(signature = (commands, /, *, progress=None, decimals=false, first_row=0))]
    fn run<'py>(
        &self,
        py: Python<'py>,
        commands: &Bound<'py, PyAny>,
        progress: Option<Bound<'py, PyAny>>,
        decimals: bool,
        first_row: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let decimals = self.decimals(decimals)?;
        let mut commands = Commands::read(commands, first_row)?;
        let mut executions = Executions::of(commands.rows);
        while commands.done < commands.rows {
            let until = commands.done + CHUNK;
            py.detach(|| {
                let mut exchange = self.lock();
                while commands.done < until {
                    let block = commands.next();
                    if block.is_empty() {
                        break;
                    }
                    for command in block {
                        exchange.apply(command, |execution| executions.buffer.push(*execution));
                    }
                    executions.flush();
                }
            });
            py.check_signals()?;
            if let Some(progress) = &progress {
                progress.call1((commands.done, commands.rows))?;
            }
        }
        frame(py, py.detach(|| executions.finish(decimals))?)
    }

    #[pyo3(signature = (*, decimals=false))]
    fn book<'py>(&self, py: Python<'py>, decimals: bool) -> PyResult<Bound<'py, PyAny>> {
        let decimals = self.decimals(decimals)?;
        let batch = py.detach(|| {
            let exchange = self.lock();
            let side = |side| exchange.levels(side).map(move |level| (side, level));
            let levels: Vec<_> = side(Side::Bid).chain(side(Side::Ask)).collect();
            drop(exchange);
            columns::levels(&levels, decimals)
        });
        frame(py, batch?)
    }

    #[pyo3(signature = (*, decimals=false))]
    fn orders<'py>(&self, py: Python<'py>, decimals: bool) -> PyResult<Bound<'py, PyAny>> {
        let decimals = self.decimals(decimals)?;
        let batch = py.detach(|| {
            let queues = self.lock().queues();
            columns::orders(&queues, decimals)
        });
        frame(py, batch?)
    }

    #[pyo3(signature = (order_id, /))]
    fn order(&self, #[pyo3(from_py_with = fields::order_id)] order_id: u64) -> Option<LiveOrder> {
        self.lock().order(order_id).map(|inner| LiveOrder { inner })
    }

    #[pyo3(signature = (order_id, /))]
    fn place(&self, #[pyo3(from_py_with = fields::order_id)] order_id: u64) -> Option<(u64, i64, i64)> {
        self.lock().place(order_id).map(|place| (place.orders_ahead, place.size_ahead.0, place.level_size.0))
    }

    fn indicative(&self) -> Option<(i64, i64, i64)> {
        self.lock().indicative().map(|found| (found.price.0, found.size.0, found.imbalance.0))
    }

    #[getter]
    fn quote(&self) -> (i64, i64, i64, i64) {
        let quote = self.lock().quote();
        (quote.bid.0, quote.bid_size.0, quote.ask.0, quote.ask_size.0)
    }

    #[getter]
    fn state(&self) -> &'static str {
        self.lock().state().name()
    }

    #[getter]
    fn sequence(&self) -> u64 {
        self.lock().sequence()
    }

    #[getter]
    fn clock(&self) -> Option<i64> {
        Some(self.lock().clock()).filter(|clock| *clock != Nanos::UNKNOWN).map(|clock| clock.0)
    }

    #[getter]
    fn last(&self) -> Option<i64> {
        self.lock().last().map(|price| price.0)
    }

    #[getter]
    fn reference(&self) -> Option<i64> {
        self.lock().reference().map(|price| price.0)
    }

    #[getter]
    fn rules(&self) -> Rules {
        Rules { inner: self.lock().rules().clone() }
    }

    #[getter]
    fn instrument(&self, py: Python<'_>) -> Option<Py<Instrument>> {
        self.instrument.as_ref().map(|instrument| instrument.clone_ref(py))
    }

    fn __len__(&self) -> usize {
        self.lock().len()
    }

    /// An exchange is there, also without orders.
    fn __bool__(&self) -> bool {
        true
    }

    fn __repr__(&self) -> String {
        let exchange = self.lock();
        let quote = exchange.quote();
        let name = self.instrument.as_ref().map_or(String::new(), |one| format!("{}, ", one.get().inner.name()));
        format!(
            "Exchange({name}{}, {} @ {} / {} @ {}, {} orders, sequence {})",
            exchange.state().name(),
            quote.bid_size.0,
            quote.bid.0,
            quote.ask_size.0,
            quote.ask.0,
            exchange.len(),
            exchange.sequence(),
        )
    }
}
