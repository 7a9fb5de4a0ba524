//! Several venues as one: touches, depth and crosses as tables.

mod frames;
mod options;
mod quote;

use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow_array::types::{Float64Type, Int64Type, UInt8Type, UInt32Type, UInt64Type};
use crossbook::event::{Event, Flags, Kind};
use crossbook::market::{self as core, BestRows, CrossRules, Crosses, FairBasis, MarketRules, PoolTime, Rows};
use crossbook::units::{Nanos, Price, Size};
use numpy::PyReadonlyArray1;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping};

pub use self::options::is_named;
pub use self::quote::MarketQuote;
use crate::book::{self, Walked};
use crate::depths;
use crate::errors;
use crate::instrument::Instrument;
use crate::pool::AnyPool;
use crate::route::{self, Asked, Route, Routing};
use crate::table::{self, Table, booleans, column};
use crate::tape::{Tape, places, view};

/// Bid, bid size, ask, ask size, update id.
type Touch = (i64, i64, i64, i64, u64);

/// A pair of instruments and how their fair ratio is found: a name and, for the rolling median, window, sample and
/// warm-up in ns.
type Pair = (usize, usize, String, (i64, i64, i64));

/// A pair of instruments and the ns in which both were known.
type Observed = (usize, usize, i64);

/// Venues that trade one economic instrument.
#[pyclass(frozen, module = "crossbook._core")]
pub struct Market {
    observer: Mutex<core::Observer>,
    bands: Vec<u32>,
    instruments: Vec<Py<Instrument>>,
    /// Whether rows of quotes and depth are kept for `take_quotes` and `take_depth`.
    record: bool,
    routing: Mutex<Routing>,
}

impl Market {
    pub fn lock(&self) -> MutexGuard<'_, core::Observer> {
        self.observer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The events of tapes in order, numbered as this market's instruments are, into `take`.
    fn play(
        &self,
        py: Python<'_>,
        tapes: &[Py<Tape>],
        mut take: impl FnMut(&mut core::Observer, &Event) + Send,
    ) -> PyResult<()> {
        for tape in tapes {
            let tape = tape.get();
            let places = places(&self.instruments, &tape.instruments)?;
            let views = tape.batches.iter().map(view).collect::<PyResult<Vec<_>>>()?;
            py.detach(|| {
                let mut observer = self.lock();
                for mut event in views.iter().flat_map(crossbook::tape::TapeView::iter) {
                    if let Some(places) = &places {
                        event.instrument = places.get(event.instrument as usize).copied().unwrap_or(u32::MAX);
                    }
                    take(&mut observer, &event);
                }
            });
        }
        Ok(())
    }
}

/// One tape, or several in order.
fn tapes(given: &Bound<'_, PyAny>) -> PyResult<Vec<Py<Tape>>> {
    if let Ok(one) = given.cast::<Tape>() {
        return Ok(vec![one.clone().unbind()]);
    }
    let wrong = |_| errors::data("expected a tape or tapes");
    given
        .try_iter()
        .map_err(wrong)?
        .map(|one| Ok(one?.cast_into::<Tape>().map_err(|_| errors::data("expected tapes"))?.unbind()))
        .collect()
}

fn event_kind(name: &str) -> PyResult<Kind> {
    Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
        let known = Kind::ALL.map(Kind::name).join(", ");
        errors::data(format!("kind {name:?}: expected one of {known}"))
    })
}

#[pymethods]
impl Market {
    #[new]
    #[pyo3(signature = (instruments, /, *, bands=vec![1, 5, 10], quote=None, fx=None, costs=None, stale_after=None, record=true))]
    fn new(
        instruments: Vec<Py<Instrument>>,
        bands: Vec<u32>,
        quote: Option<String>,
        fx: Option<Bound<'_, PyAny>>,
        costs: Option<Bound<'_, PyAny>>,
        stale_after: Option<Bound<'_, PyAny>>,
        record: bool,
    ) -> PyResult<Self> {
        if !bands.is_sorted() || bands.iter().any(|band| *band == 0 || *band >= 10_000) {
            return Err(errors::data("bands: expected ascending bp between 1 and 9999"));
        }
        let described: Vec<_> = instruments.iter().map(|instrument| instrument.get().inner.clone()).collect();
        let rules = MarketRules {
            quote,
            fx: options::fx(fx.as_ref(), &described)?,
            fees: options::fees(costs.as_ref(), &described)?,
            stale_after: options::stale_after(stale_after.as_ref(), &described)?,
        };
        let market = core::Market::with_rules(described, rules).map_err(|error| errors::market(&error))?;
        // A tape names instruments by venue and symbol: of two alike one would never hear of anything.
        let mut names = std::collections::HashSet::new();
        if let Some(twice) =
            instruments.iter().map(|one| &one.get().inner).find(|one| !names.insert((one.venue, one.symbol.as_str())))
        {
            let name = twice.name();
            return Err(errors::data(format!("instruments: expected each once, found {name} twice")));
        }
        let observer = Mutex::new(core::Observer::new(market, bands.clone()));
        let routing = Mutex::default();
        Ok(Self { observer, bands, instruments, record, routing })
    }

    #[getter]
    pub fn instruments(&self, py: Python<'_>) -> Vec<Py<Instrument>> {
        self.instruments.iter().map(|instrument| instrument.clone_ref(py)).collect()
    }

    #[getter]
    fn base_currency(&self) -> String {
        self.lock().market().units().base.clone()
    }

    #[getter]
    fn quote_currency(&self) -> String {
        self.lock().market().units().quote.clone()
    }

    #[getter]
    fn price_unit(&self) -> String {
        self.lock().market().units().price.to_string()
    }

    #[getter]
    fn size_unit(&self) -> String {
        self.lock().market().units().size.to_string()
    }

    #[getter]
    fn fees_bp(&self) -> Vec<f64> {
        self.lock().market().fees().iter().map(|fee| *fee as f64 / 1e5).collect()
    }

    #[getter]
    fn now(&self) -> Option<i64> {
        self.lock().market().now().map(|now| now.0)
    }

    #[pyo3(signature = (tapes, /))]
    fn apply(&self, py: Python<'_>, tapes: &Bound<'_, PyAny>) -> PyResult<()> {
        let tapes = self::tapes(tapes)?;
        if self.record {
            self.play(py, &tapes, core::Observer::apply)
        } else {
            self.play(py, &tapes, |observer, event| {
                observer.market_mut().apply(event);
            })
        }
    }

    #[pyo3(signature = (instrument, kind, side=None, price=0, size=0, /, *, ts_recv=0, ts_event=0, sequence=0, order_id=0, last=true, snapshot=false))]
    #[allow(clippy::too_many_arguments)] // the fields of an event
    fn apply_event(
        &self,
        instrument: u32,
        kind: &str,
        side: Option<u8>,
        price: i64,
        size: i64,
        ts_recv: i64,
        ts_event: i64,
        sequence: u64,
        order_id: u64,
        last: bool,
        snapshot: bool,
    ) -> PyResult<()> {
        if instrument as usize >= self.instruments.len() {
            let last = self.instruments.len() - 1;
            return Err(errors::data(format!("instrument {instrument}: expected 0 to {last}")));
        }
        let kind = event_kind(kind)?;
        let side = side.map(book::side).transpose()?;
        let (in_book, sized) = match kind {
            Kind::Level | Kind::Quote | Kind::Add => (true, true),
            Kind::Trade | Kind::Modify | Kind::Cancel | Kind::Execute => (false, true),
            _ => (false, false),
        };
        if in_book && side.is_none() {
            return Err(errors::data(format!("side of a {}: expected 0 (bid) or 1 (ask), found none", kind.name())));
        }
        if sized && size < 0 {
            return Err(errors::data(format!("size {size}: expected zero or more")));
        }
        let mut flags = if last { Flags::LAST } else { Flags::NONE };
        if snapshot {
            flags = flags.union(Flags::SNAPSHOT);
        }
        let event = Event {
            ts_event: Nanos(ts_event),
            ts_recv: Nanos(ts_recv),
            sequence,
            order_id,
            price: Price(price),
            size: Size(size),
            instrument,
            kind,
            side,
            flags,
        };
        let mut observer = self.lock();
        if self.record {
            observer.apply(&event);
        } else {
            observer.market_mut().apply(&event);
        }
        Ok(())
    }

    #[pyo3(signature = (instrument, pool, /, *, base, decimals, ts_recv, ts_event=0, sequence=0, step=None, levels=100))]
    #[allow(clippy::too_many_arguments)] // what a state of a pool is known by
    fn set_pool(
        &self,
        instrument: &Bound<'_, PyAny>,
        pool: AnyPool<'_>,
        base: u8,
        decimals: (u8, u8),
        ts_recv: i64,
        ts_event: i64,
        sequence: u64,
        step: Option<i64>,
        levels: usize,
    ) -> PyResult<()> {
        let index = depths::index_of(&self.instruments, instrument)?;
        let rules = depths::rules(base, decimals, step, levels)?;
        let at = PoolTime { ts_event: Nanos(ts_event), ts_recv: Nanos(ts_recv), sequence };
        let (pool, mut observer) = (pool.pool(), self.lock());
        let set = if self.record {
            observer.set_pool(index, pool, &rules, &at)
        } else {
            observer.market_mut().set_pool(index, pool, &rules, &at).map(|_| ())
        };
        set.map_err(|error| errors::market(&error))
    }

    #[pyo3(signature = (ts_recv, /))]
    fn advance(&self, ts_recv: i64) {
        self.lock().market_mut().advance(Nanos(ts_recv));
    }

    #[pyo3(signature = (tapes, /, *, every="change"))]
    fn path(&self, py: Python<'_>, tapes: &Bound<'_, PyAny>, every: &str) -> PyResult<Table> {
        let rows = match every {
            "change" => Rows::Change,
            "row" => Rows::Every,
            _ => return Err(errors::data(format!("every {every:?}: expected \"change\" or \"row\""))),
        };
        let tapes = self::tapes(tapes)?;
        let mut path = BestRows::default();
        self.play(py, &tapes, |observer, event| path.take(observer.market_mut(), event, rows))?;
        frames::path(path)
    }

    fn quote(&self) -> MarketQuote {
        MarketQuote::of(self.lock().market())
    }

    #[getter]
    fn statuses(&self) -> Vec<&'static str> {
        frames::statuses(self.lock().market())
    }

    fn quotes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let table = frames::quotes(self.lock().market())?;
        Table::polars(py, table)
    }

    #[pyo3(signature = (levels=10, /))]
    fn book<'py>(&self, py: Python<'py>, levels: usize) -> PyResult<Bound<'py, PyAny>> {
        let table = frames::book(self.lock().market(), levels)?;
        Table::polars(py, table)
    }

    #[pyo3(signature = (levels=None, /, *, bands_bp=vec![1.0, 5.0, 10.0]))]
    fn depth<'py>(
        &self,
        py: Python<'py>,
        levels: Option<Bound<'py, PyAny>>,
        bands_bp: Vec<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let levels = match levels {
            None => None,
            Some(one) => Some(one.extract::<usize>().map(|one| vec![one]).or_else(|_| one.extract::<Vec<usize>>())?),
        };
        let table = frames::depth(self.lock().market(), levels, bands_bp)?;
        Table::polars(py, table)
    }

    #[pyo3(signature = (side, count=10, /))]
    fn levels(&self, side: u8, count: usize) -> PyResult<Vec<frames::Level>> {
        let side = book::side(side)?;
        Ok(self.lock().market().levels(side).take(count).map(frames::level).collect())
    }

    #[pyo3(signature = (instrument, /))]
    fn touch(&self, instrument: usize) -> PyResult<Option<Touch>> {
        let observer = self.lock();
        let venue = observer.market().venues().get(instrument).ok_or_else(|| errors::data("no such instrument"))?;
        Ok(venue.touch().map(|touch| {
            let quote = touch.quote;
            (quote.bid.0, quote.bid_size.0, quote.ask.0, quote.ask_size.0, touch.sequence)
        }))
    }

    #[pyo3(signature = (instrument, side, size, /))]
    fn walk(&self, instrument: usize, side: u8, size: i64) -> PyResult<Walked> {
        let side = book::side(side)?;
        let observer = self.lock();
        let venue = observer.market().venues().get(instrument).ok_or_else(|| errors::data("no such instrument"))?;
        Ok(book::walked(venue.walk(side, Size(size))))
    }

    #[pyo3(signature = (tapes, /, **options))]
    fn crosses<'py>(
        slf: Bound<'py, Self>,
        tapes: Bound<'py, PyAny>,
        options: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("crossbook.crosses")?.getattr("crosses")?.call((slf, tapes), options.as_ref())
    }

    #[pyo3(signature = (tapes, /, **options))]
    fn arbitrage<'py>(
        slf: Bound<'py, Self>,
        tapes: Bound<'py, PyAny>,
        options: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("crossbook.crosses")?.getattr("arbitrage")?.call((slf, tapes), options.as_ref())
    }

    #[pyo3(signature = (**options))]
    fn cycles<'py>(slf: Bound<'py, Self>, options: Option<Bound<'py, PyDict>>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("crossbook.cycles")?.getattr("market_cycles")?.call((slf,), options.as_ref())
    }

    #[pyo3(signature = (costs, /, state))]
    fn set_costs(&self, costs: &Bound<'_, PyMapping>, state: &Bound<'_, PyAny>) -> PyResult<()> {
        let costs = route::read_costs(&self.instruments, costs, state)?;
        let observer = self.lock();
        self.routing.lock().unwrap_or_else(PoisonError::into_inner).set_costs(observer.market(), costs);
        Ok(())
    }

    #[pyo3(signature = (side, size=None, /, *, notional=None, limit=None, constraints=None, partial=false, max_nodes=10_000))]
    #[allow(clippy::too_many_arguments)] // the keywords of one order
    fn route(
        &self,
        py: Python<'_>,
        side: &Bound<'_, PyAny>,
        size: Option<&Bound<'_, PyAny>>,
        notional: Option<&Bound<'_, PyAny>>,
        limit: Option<&Bound<'_, PyAny>>,
        constraints: Option<&Bound<'_, PyAny>>,
        partial: bool,
        max_nodes: u64,
    ) -> PyResult<Route> {
        let asked = Asked::read(&self.instruments, side, [size, notional, limit], constraints, max_nodes)?;
        let found = {
            let observer = self.lock();
            let mut routing = self.routing.lock().unwrap_or_else(PoisonError::into_inner);
            routing.route(observer.market(), &asked)?
        };
        found.into_python(py, &self.instruments, partial)
    }

    fn take_quotes(&self) -> PyResult<Table> {
        let rows = self.lock().take_quotes();
        let batch = table::batch([
            ("ts_event", column::<Int64Type>(rows.ts_event)),
            ("ts_recv", column::<Int64Type>(rows.ts_recv)),
            ("sequence", column::<UInt64Type>(rows.sequence)),
            ("instrument", column::<UInt32Type>(rows.instrument)),
            ("source", column::<UInt8Type>(rows.source)),
            ("newest", column::<UInt8Type>(rows.newest)),
            ("bid", column::<Int64Type>(rows.bid)),
            ("bid_size", column::<Int64Type>(rows.bid_size)),
            ("ask", column::<Int64Type>(rows.ask)),
            ("ask_size", column::<Int64Type>(rows.ask_size)),
        ])?;
        Ok(Table::new(batch))
    }

    fn take_depth(&self) -> PyResult<Table> {
        let rows = self.lock().take_depth();
        let [bids, asks] = rows.within;
        let names = |side: &str| self.bands.iter().map(|band| format!("{side}_{band}bp")).collect::<Vec<_>>();
        let (bid_names, ask_names) = (names("bid"), names("ask"));
        let within = bid_names.iter().zip(bids).chain(ask_names.iter().zip(asks));
        let within = within.map(|(name, values)| (name.as_str(), column::<Float64Type>(values)));
        let quote = [
            ("ts_event", column::<Int64Type>(rows.ts_event)),
            ("ts_recv", column::<Int64Type>(rows.ts_recv)),
            ("sequence", column::<UInt64Type>(rows.sequence)),
            ("instrument", column::<UInt32Type>(rows.instrument)),
            ("flags", column::<UInt8Type>(rows.flags)),
            ("bid", column::<Int64Type>(rows.bid)),
            ("bid_size", column::<Int64Type>(rows.bid_size)),
            ("ask", column::<Int64Type>(rows.ask)),
            ("ask_size", column::<Int64Type>(rows.ask_size)),
        ];
        Ok(Table::new(table::batch(quote.into_iter().chain(within))?))
    }
}

/// Crosses over a path of touches in time order. A size column is not needed: a touch with a price of 0 is unknown.
#[pyfunction]
#[pyo3(signature = (ts, instrument, bid, ask, /, *, instruments, fees, ladder, pairs, perpetual, funding, end))]
#[allow(clippy::too_many_arguments)] // the columns of one table and the rules
pub fn crosses(
    py: Python<'_>,
    ts: PyReadonlyArray1<'_, i64>,
    instrument: PyReadonlyArray1<'_, u32>,
    bid: PyReadonlyArray1<'_, i64>,
    ask: PyReadonlyArray1<'_, i64>,
    instruments: Vec<Py<Instrument>>,
    fees: Vec<i64>,
    ladder: Vec<i64>,
    pairs: Vec<Pair>,
    perpetual: Vec<bool>,
    funding: Vec<(i64, usize, i64, i64)>,
    end: i64,
) -> PyResult<(Table, Vec<Observed>)> {
    let (ts, instrument, bid, ask) = (ts.as_slice()?, instrument.as_slice()?, bid.as_slice()?, ask.as_slice()?);
    if [instrument.len(), bid.len(), ask.len()].iter().any(|length| *length != ts.len()) {
        return Err(errors::data("expected columns of one length"));
    }
    if let Some(row) = ts.windows(2).position(|pair| pair[0] > pair[1]) {
        return Err(errors::data(format!("ts: expected ascending times, row {} runs back", row + 1)));
    }
    // Differences of such times cannot overflow.
    let sound = |ts: &i64| ts.unsigned_abs() < 1 << 62;
    if !ts.first().into_iter().chain(ts.last()).chain(Some(&end)).all(sound) {
        return Err(errors::data("ts and end: expected times within 2^62 ns of the epoch"));
    }
    let pairs = pairs
        .into_iter()
        .map(|(a, b, name, (window, sample, warm_up))| match name.as_str() {
            "none" => Ok((a, b, FairBasis::None)),
            "rolling_median" => Ok((a, b, FairBasis::RollingMedian { window, sample, warm_up })),
            "funding" => Ok((a, b, FairBasis::Funding)),
            _ => {
                Err(errors::data(format!("fair_basis {name:?}: expected \"none\", \"rolling_median\" or \"funding\"")))
            }
        })
        .collect::<PyResult<_>>()?;
    let inner: Vec<_> = instruments.iter().map(|instrument| instrument.get().inner.clone()).collect();
    let rules = CrossRules { fees, ladder, pairs, perpetual };
    let market = |error| errors::market(&error);
    let mut looking = Crosses::new(core::common_units(&inner).map_err(market)?, rules).map_err(market)?;
    let found = py.detach(|| {
        let path = ts.iter().zip(instrument).zip(bid.iter().zip(ask));
        let path = path.map(|((ts, instrument), (bid, ask))| (*ts, *instrument as usize, *bid, *ask));
        let funding = funding.into_iter().map(|(ts, at, rate, due)| (ts, at, core::FundingState { rate, due }));
        looking.run(path, funding, end);
        looking.take()
    });
    let rung = |rung: Option<usize>| rung.map_or(-1, |rung| i64::try_from(rung).unwrap_or(i64::MAX));
    let index = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
    let batch = table::batch([
        ("rung", column::<Int64Type>(found.iter().map(|cross| rung(cross.rung)).collect())),
        ("buy", column::<UInt32Type>(found.iter().map(|cross| index(cross.buy)).collect())),
        ("sell", column::<UInt32Type>(found.iter().map(|cross| index(cross.sell)).collect())),
        ("start", column::<Int64Type>(found.iter().map(|cross| cross.start).collect())),
        ("end", column::<Int64Type>(found.iter().map(|cross| cross.end).collect())),
        ("best_at", column::<Int64Type>(found.iter().map(|cross| cross.best_at).collect())),
        ("best_edge_bp", column::<Float64Type>(found.iter().map(|cross| cross.best_edge_bp).collect())),
        ("censored", booleans(found.iter().map(|cross| cross.censored).collect())),
    ])?;
    Ok((Table::new(batch), looking.observed().collect()))
}
