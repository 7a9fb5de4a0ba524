//! `Exchange`: one call a command, or columns of commands in and columns of executions out.
//!
//! `fields` reads arguments, `commands` columns; `execution` is one answer, `columns` are many; `rules` the rules;
//! `engine` is the exchange with or without its journal, `journal` what else belongs to one.

use std::path::{Path, PathBuf};
use std::slice;
use std::sync::{LockResult, Mutex, MutexGuard, PoisonError};

use arrow_array::RecordBatch;
use crossbook::exchange::{
    Action, Command, Exchange as Core, Fsync as CoreFsync, JournalReader, JournaledExchange, OrderType, PostOnly,
    Rules as CoreRules, SelfTrade, State, TimeInForce,
};
use crossbook::units::{Nanos, Price, Side, Size};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBytes, PyDict, PyType};

use crate::errors;
use crate::instrument::Instrument;
use crate::table::Table;

mod columns;
mod commands;
mod engine;
mod execution;
mod fields;
mod journal;
mod rules;

use columns::{Decimals, Executions};
use commands::Commands;
use engine::Engine;
use execution::{Execution, LiveOrder};
use fields::QuoteSide;
use journal::{Fsync, JournalReplay, Recovered};
use rules::{ProRata, Rules, Tier};

/// Commands between two looks at Ctrl-C.
const CHUNK: usize = 65_536;

/// A venue for one instrument. Integers of units; see `crossbook.Instrument`.
#[pyclass(frozen, module = "crossbook._core")]
pub struct Exchange {
    engine: Mutex<Engine>,
    instrument: Option<Py<Instrument>>,
    recovered: Option<Recovered>,
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Exchange>()?;
    m.add_class::<Execution>()?;
    m.add_class::<Fsync>()?;
    m.add_class::<JournalReplay>()?;
    m.add_class::<LiveOrder>()?;
    m.add_class::<ProRata>()?;
    m.add_class::<Recovered>()?;
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

/// What `pickle` asks for: a function and its arguments, the snapshot and the instrument as JSON.
type Reduced<'py> = (Bound<'py, PyAny>, (Bound<'py, PyBytes>, Option<String>));

/// What a lock guards stays whole when a thread panics: the engine's state is what the next call finds.
fn locked<T>(guard: LockResult<MutexGuard<'_, T>>) -> MutexGuard<'_, T> {
    guard.unwrap_or_else(PoisonError::into_inner)
}

/// Rules from an instrument and `Rules` or keywords.
fn rules_of(
    py: Python<'_>,
    instrument: Option<&Py<Instrument>>,
    rules: Option<Py<Rules>>,
    keywords: Option<&Bound<'_, PyDict>>,
) -> PyResult<CoreRules> {
    let rules = match (rules, keywords) {
        (Some(_), Some(_)) => return Err(PyTypeError::new_err("rules: expected Rules or keywords, found both")),
        (Some(rules), None) => rules.get().clone(),
        (None, keywords) => py.get_type::<Rules>().call((), keywords)?.cast_into::<Rules>()?.get().clone(),
    };
    match instrument {
        Some(instrument) => rules.on(&instrument.get().inner),
        None => Ok(rules.inner),
    }
}

/// Refuses stored rules whose steps are not those of the instrument.
fn fits(rules: &CoreRules, instrument: Option<&Py<Instrument>>) -> PyResult<()> {
    let Some(instrument) = instrument else { return Ok(()) };
    let instrument = &instrument.get().inner;
    let expected = Rules { inner: rules.clone() }.on(instrument)?;
    if expected == *rules {
        return Ok(());
    }
    let (name, CoreRules { tick, lot, .. }) = (instrument.name(), expected);
    let message =
        format!("{name}: expected its tick {tick} and lot {lot}, found tick {} and lot {}", rules.tick, rules.lot);
    Err(errors::data(message))
}

impl Exchange {
    fn of(engine: Engine, instrument: Option<Py<Instrument>>) -> Self {
        Self { engine: Mutex::new(engine), instrument, recovered: None }
    }

    /// An exchange in memory, without orders, by rules that were stored.
    fn of_rules(rules: CoreRules, instrument: Option<Py<Instrument>>) -> PyResult<Self> {
        fits(&rules, instrument.as_ref())?;
        Ok(Self::of(Engine::Memory(Box::new(Core::new(rules).map_err(errors::data)?)), instrument))
    }

    /// The lock, without holding Python up while another thread waits for the disk.
    #[inline]
    fn lock(&self, py: Python<'_>) -> MutexGuard<'_, Engine> {
        locked(self.engine.lock_py_attached(py))
    }

    #[inline]
    fn send(&self, py: Python<'_>, command: &Command) -> PyResult<Vec<Execution>> {
        self.send_all(py, slice::from_ref(command))
    }

    #[inline]
    fn send_all(&self, py: Python<'_>, commands: &[Command]) -> PyResult<Vec<Execution>> {
        let mut engine = self.lock(py);
        if engine.is_memory() {
            let mut executions = Vec::new();
            engine.apply_all(commands, |execution| executions.push(Execution { inner: *execution }))?;
            return Ok(executions);
        }
        drop(engine);
        py.detach(|| {
            let mut executions = Vec::new();
            let mut engine = locked(self.engine.lock());
            engine.apply_all(commands, |execution| executions.push(Execution { inner: *execution }))?;
            Ok(executions)
        })
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
    #[pyo3(
        signature = (instrument=None, rules=None, *, journal=None, fsync=None, **keywords),
        text_signature = "(instrument=None, rules=None, *, journal=None, fsync='always', **keywords)"
    )]
    fn new(
        py: Python<'_>,
        instrument: Option<Py<Instrument>>,
        rules: Option<Py<Rules>>,
        journal: Option<PathBuf>,
        fsync: Option<&Bound<'_, PyAny>>,
        keywords: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let rules = rules_of(py, instrument.as_ref(), rules, keywords)?;
        let fsync = fsync.map(journal::fsync).transpose()?.unwrap_or_default();
        let engine = match journal {
            None => Engine::Memory(Box::new(Core::new(rules).map_err(errors::data)?)),
            Some(path) => {
                let created = py.detach(|| JournaledExchange::create(&path, rules, fsync));
                Engine::Journaled(Box::new(created.map_err(|error| errors::journal(&error))?), fsync)
            }
        };
        Ok(Self::of(engine, instrument))
    }

    #[classmethod]
    #[pyo3(
        signature = (path, *, fsync=CoreFsync::Always, instrument=None),
        text_signature = "($cls, path, *, fsync='always', instrument=None)"
    )]
    fn open(
        _cls: &Bound<'_, PyType>,
        py: Python<'_>,
        path: PathBuf,
        #[pyo3(from_py_with = journal::fsync)] fsync: CoreFsync,
        instrument: Option<Py<Instrument>>,
    ) -> PyResult<Self> {
        if instrument.is_some() {
            // Before a torn tail is truncated.
            let reader = JournalReader::open(&path).map_err(|error| errors::journal(&error))?;
            fits(reader.rules(), instrument.as_ref())?;
        }
        let opened = py.detach(|| JournaledExchange::open(&path, fsync));
        let (exchange, recovered) = opened.map_err(|error| errors::journal(&error))?;
        let recovered = Some(Recovered::told(py, recovered, &path)?);
        let engine = Mutex::new(Engine::Journaled(Box::new(exchange), fsync));
        Ok(Self { engine, instrument, recovered })
    }

    #[classmethod]
    #[pyo3(signature = (snapshot, /, *, instrument=None))]
    fn restore(
        _cls: &Bound<'_, PyType>,
        py: Python<'_>,
        snapshot: &Bound<'_, PyBytes>,
        instrument: Option<Py<Instrument>>,
    ) -> PyResult<Self> {
        let bytes = snapshot.as_bytes();
        let exchange = py.detach(|| Core::restore(bytes)).map_err(|error| errors::snapshot(&error))?;
        fits(exchange.rules(), instrument.as_ref())?;
        Ok(Self::of(Engine::Memory(Box::new(exchange)), instrument))
    }

    fn snapshot<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let bytes = py.detach(|| locked(self.engine.lock()).snapshot());
        PyBytes::new(py, &bytes)
    }

    /// A copy in memory, without the journal.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        let restore = py.import("crossbook.exchange")?.getattr("_restore")?;
        let instrument = self.instrument.as_ref();
        let instrument = instrument.map(|one| one.bind(py).call_method0("to_json")?.extract()).transpose()?;
        Ok((restore, (self.snapshot(py), instrument)))
    }

    fn checkpoint(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| {
            let mut engine = locked(self.engine.lock());
            engine.journaled("checkpoint")?.checkpoint().map_err(|error| errors::journal(&error))
        })
    }

    fn sync(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| {
            let mut engine = locked(self.engine.lock());
            engine.journaled("sync")?.sync().map_err(|error| errors::journal(&error))
        })
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| locked(self.engine.lock()).close())
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        _error: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.close(py)
    }

    #[getter]
    fn journal(&self, py: Python<'_>) -> Option<PathBuf> {
        self.lock(py).path().map(Path::to_owned)
    }

    #[getter]
    fn recovered(&self) -> Option<Recovered> {
        self.recovered.clone()
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
        py: Python<'_>,
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
    ) -> PyResult<Vec<Execution>> {
        self.send(
            py,
            &Command {
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
            },
        )
    }

    #[pyo3(signature = (order_id, *, account=0, ts=None))]
    fn cancel(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = fields::order_id)] order_id: u64,
        #[pyo3(from_py_with = fields::account)] account: u32,
        #[pyo3(from_py_with = fields::optional::ts)] ts: Option<i64>,
    ) -> PyResult<Vec<Execution>> {
        self.send(py, &Command::cancel(order_id).by(account).at(time(ts)))
    }

    #[pyo3(signature = (order_id, price=None, size=None, *, trigger=None, display=None, account=0, ts=None))]
    #[allow(clippy::too_many_arguments)] // keywords
    fn modify(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = fields::order_id)] order_id: u64,
        #[pyo3(from_py_with = fields::optional::price)] price: Option<i64>,
        #[pyo3(from_py_with = fields::optional::size)] size: Option<i64>,
        #[pyo3(from_py_with = fields::optional::trigger)] trigger: Option<i64>,
        #[pyo3(from_py_with = fields::optional::display)] display: Option<i64>,
        #[pyo3(from_py_with = fields::account)] account: u32,
        #[pyo3(from_py_with = fields::optional::ts)] ts: Option<i64>,
    ) -> PyResult<Vec<Execution>> {
        let command = Command::modify(order_id, self::price(price), self::size(size)).by(account).at(time(ts));
        self.send(py, &Command { trigger: self::price(trigger), display: self::size(display), ..command })
    }

    #[pyo3(signature = (order_id, price=None, size=None, *, trigger=None, display=None, account=0, ts=None))]
    #[allow(clippy::too_many_arguments)] // keywords
    fn replace(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = fields::order_id)] order_id: u64,
        #[pyo3(from_py_with = fields::optional::price)] price: Option<i64>,
        #[pyo3(from_py_with = fields::optional::size)] size: Option<i64>,
        #[pyo3(from_py_with = fields::optional::trigger)] trigger: Option<i64>,
        #[pyo3(from_py_with = fields::optional::display)] display: Option<i64>,
        #[pyo3(from_py_with = fields::account)] account: u32,
        #[pyo3(from_py_with = fields::optional::ts)] ts: Option<i64>,
    ) -> PyResult<Vec<Execution>> {
        let command = Command::replace(order_id, self::price(price), self::size(size)).by(account).at(time(ts));
        self.send(py, &Command { trigger: self::price(trigger), display: self::size(display), ..command })
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
        py: Python<'_>,
        #[pyo3(from_py_with = fields::account)] account: u32,
        #[pyo3(from_py_with = fields::bid)] bid: QuoteSide,
        #[pyo3(from_py_with = fields::ask)] ask: QuoteSide,
        #[pyo3(from_py_with = fields::time_in_force)] time_in_force: TimeInForce,
        #[pyo3(from_py_with = fields::optional::expires)] expires: Option<i64>,
        #[pyo3(from_py_with = fields::self_trade)] self_trade: SelfTrade,
        #[pyo3(from_py_with = fields::post_only)] post_only: PostOnly,
        #[pyo3(from_py_with = fields::optional::ts)] ts: Option<i64>,
    ) -> PyResult<Vec<Execution>> {
        self.mass_quote(py, account, vec![(bid, ask)], time_in_force, expires, self_trade, post_only, ts)
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
        py: Python<'_>,
        #[pyo3(from_py_with = fields::account)] account: u32,
        #[pyo3(from_py_with = fields::quotes)] quotes: Vec<(QuoteSide, QuoteSide)>,
        #[pyo3(from_py_with = fields::time_in_force)] time_in_force: TimeInForce,
        #[pyo3(from_py_with = fields::optional::expires)] expires: Option<i64>,
        #[pyo3(from_py_with = fields::self_trade)] self_trade: SelfTrade,
        #[pyo3(from_py_with = fields::post_only)] post_only: PostOnly,
        #[pyo3(from_py_with = fields::optional::ts)] ts: Option<i64>,
    ) -> PyResult<Vec<Execution>> {
        let quote = |(bid, ask)| Command {
            time_in_force,
            expires: time(expires),
            self_trade,
            post_only,
            ..Command::quote(account, bid, ask).at(time(ts))
        };
        let quotes: Vec<Command> = quotes.into_iter().map(quote).collect();
        self.send_all(py, &quotes)
    }

    #[pyo3(signature = (account=0, side=None, *, ts=None))]
    fn mass_cancel(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = fields::account)] account: u32,
        #[pyo3(from_py_with = fields::optional_side)] side: Option<Side>,
        #[pyo3(from_py_with = fields::optional::ts)] ts: Option<i64>,
    ) -> PyResult<Vec<Execution>> {
        let command = Command::new(Action::MassCancel).by(account).at(time(ts));
        self.send(py, &Command { one_side: side.is_some(), side: side.unwrap_or(Side::Bid), ..command })
    }

    #[pyo3(signature = (state, *, ts=None))]
    fn set_state(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = fields::state)] state: State,
        #[pyo3(from_py_with = fields::optional::ts)] ts: Option<i64>,
    ) -> PyResult<Vec<Execution>> {
        self.send(py, &Command::state(state).at(time(ts)))
    }

    #[pyo3(signature = (account=0, *, ts=None))]
    fn kill(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = fields::account)] account: u32,
        #[pyo3(from_py_with = fields::optional::ts)] ts: Option<i64>,
    ) -> PyResult<Vec<Execution>> {
        self.send(py, &Command::new(Action::Kill).by(account).at(time(ts)))
    }

    #[pyo3(signature = (account=0, *, ts=None))]
    fn revive(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = fields::account)] account: u32,
        #[pyo3(from_py_with = fields::optional::ts)] ts: Option<i64>,
    ) -> PyResult<Vec<Execution>> {
        self.send(py, &Command::new(Action::Revive).by(account).at(time(ts)))
    }

    fn set_clock(&self, py: Python<'_>, #[pyo3(from_py_with = fields::ts)] ts: i64) -> PyResult<Vec<Execution>> {
        self.send(py, &Command::clock(Nanos(ts)))
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
        let in_memory = self.lock(py).is_memory();
        let mut ahead = Vec::new();
        while commands.done < commands.rows {
            let until = commands.done + CHUNK;
            py.detach(|| {
                let mut engine = locked(self.engine.lock());
                if in_memory {
                    while commands.done < until {
                        let block = commands.next();
                        if block.is_empty() {
                            break;
                        }
                        engine.apply_all(block, |execution| executions.buffer.push(*execution))?;
                        executions.flush();
                    }
                    return Ok(());
                }
                // The whole chunk is written ahead, so that it waits for the disk once.
                ahead.clear();
                while commands.done < until {
                    let block = commands.next();
                    if block.is_empty() {
                        break;
                    }
                    ahead.extend_from_slice(block);
                }
                engine.apply_all(&ahead, |execution| executions.push(*execution))
            })?;
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
            let exchange = locked(self.engine.lock());
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
            let queues = locked(self.engine.lock()).queues();
            columns::orders(&queues, decimals)
        });
        frame(py, batch?)
    }

    #[pyo3(signature = (order_id, /))]
    fn order(&self, py: Python<'_>, #[pyo3(from_py_with = fields::order_id)] order_id: u64) -> Option<LiveOrder> {
        self.lock(py).order(order_id).map(|inner| LiveOrder { inner })
    }

    #[pyo3(signature = (order_id, /))]
    fn place(&self, py: Python<'_>, #[pyo3(from_py_with = fields::order_id)] order_id: u64) -> Option<(u64, i64, i64)> {
        self.lock(py).place(order_id).map(|place| (place.orders_ahead, place.size_ahead.0, place.level_size.0))
    }

    fn indicative(&self, py: Python<'_>) -> Option<(i64, i64, i64)> {
        self.lock(py).indicative().map(|found| (found.price.0, found.size.0, found.imbalance.0))
    }

    #[getter]
    fn quote(&self, py: Python<'_>) -> (i64, i64, i64, i64) {
        let quote = self.lock(py).quote();
        (quote.bid.0, quote.bid_size.0, quote.ask.0, quote.ask_size.0)
    }

    #[getter]
    fn state(&self, py: Python<'_>) -> &'static str {
        self.lock(py).state().name()
    }

    #[getter]
    fn sequence(&self, py: Python<'_>) -> u64 {
        self.lock(py).sequence()
    }

    #[getter]
    fn clock(&self, py: Python<'_>) -> Option<i64> {
        Some(self.lock(py).clock()).filter(|clock| *clock != Nanos::UNKNOWN).map(|clock| clock.0)
    }

    #[getter]
    fn last(&self, py: Python<'_>) -> Option<i64> {
        self.lock(py).last().map(|price| price.0)
    }

    #[getter]
    fn reference(&self, py: Python<'_>) -> Option<i64> {
        self.lock(py).reference().map(|price| price.0)
    }

    #[getter]
    fn rules(&self, py: Python<'_>) -> Rules {
        Rules { inner: self.lock(py).rules().clone() }
    }

    #[getter]
    fn instrument(&self, py: Python<'_>) -> Option<Py<Instrument>> {
        self.instrument.as_ref().map(|instrument| instrument.clone_ref(py))
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.lock(py).len()
    }

    /// An exchange is there, also without orders.
    fn __bool__(&self) -> bool {
        true
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let exchange = self.lock(py);
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
