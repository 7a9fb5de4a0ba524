//! Several venues as one: touches, depth and crosses as tables.

use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow_array::types::{Float64Type, Int64Type, UInt8Type, UInt32Type, UInt64Type};
use crossbook::market::{self as core, CrossRules, Crosses, FairBasis};
use crossbook::units::Size;
use numpy::PyReadonlyArray1;
use pyo3::prelude::*;

use crate::book::{self, Walked};
use crate::errors;
use crate::instrument::Instrument;
use crate::table::{self, Table, booleans, column};
use crate::tape::{Tape, view};

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
}

impl Market {
    fn lock(&self) -> MutexGuard<'_, core::Observer> {
        self.observer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Market {
    #[new]
    #[pyo3(signature = (instruments, /, *, bands=vec![1, 5, 10]))]
    fn new(instruments: Vec<Py<Instrument>>, bands: Vec<u32>) -> PyResult<Self> {
        if !bands.is_sorted() || bands.iter().any(|band| *band == 0 || *band >= 10_000) {
            return Err(errors::data("bands: expected ascending bp between 1 and 9999"));
        }
        let inner = instruments.iter().map(|instrument| instrument.get().inner.clone()).collect();
        let market = core::Market::new(inner).map_err(|error| errors::market(&error))?;
        let observer = Mutex::new(core::Observer::new(market, bands.clone()));
        Ok(Self { observer, bands, instruments })
    }

    #[getter]
    fn instruments(&self, py: Python<'_>) -> Vec<Py<Instrument>> {
        self.instruments.iter().map(|instrument| instrument.clone_ref(py)).collect()
    }

    #[pyo3(signature = (tape, /))]
    fn apply(&self, py: Python<'_>, tape: Py<Tape>) -> PyResult<()> {
        let views = tape.get().batches.iter().map(view).collect::<PyResult<Vec<_>>>()?;
        py.detach(|| {
            let mut observer = self.lock();
            views.iter().flat_map(crossbook::tape::TapeView::iter).for_each(|event| observer.apply(&event));
        });
        Ok(())
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
