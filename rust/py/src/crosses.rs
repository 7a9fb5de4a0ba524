//! Crosses with depth, and traders who take them, as tables.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::types::{Decimal128Type, Float64Type, Int64Type, UInt32Type, UInt64Type};
use arrow_array::{ArrayRef, PrimitiveArray};
use crossbook::market::{Capital, Delay, DepthCross, FairBasis, GridRules, Holding, Scan, ScanRules, Shot};
use numpy::PyReadonlyArray1;
use pyo3::prelude::*;

use crate::errors;
use crate::instrument::Instrument;
use crate::market::Market;
use crate::table::{self, Table, booleans, column};
use crate::tape::{Tape, apply, places};

/// A pair of instruments and how their fair ratio is found: a name and, for the rolling median, window, sample and
/// warm-up in ns.
type Pair = (usize, usize, String, (i64, i64, i64));

/// What a trader has: one amount in 10^-18, or cash and base currency by instrument.
#[derive(FromPyObject)]
enum Means {
    Even(i128),
    Given(Vec<(i128, i64)>),
}

/// Capitals, latencies (ns), order delays (ns to draw from, seed), view delays (ns), venues among which capital is divided.
type Traders = (Vec<Means>, Vec<i64>, Vec<(Vec<i64>, u64)>, Vec<i64>, Vec<usize>);

type ShotOf = fn(&DepthCross) -> &Shot;

/// Looks for crosses over a market's instruments, and lets traders of several capitals and latencies take them.
#[pyclass(frozen, module = "crossbook._core")]
pub struct CrossScan {
    inner: Mutex<Scan>,
    instruments: Vec<Py<Instrument>>,
    /// Decimals of money, and of a common price times a common size.
    scales: (i8, i8),
}

impl CrossScan {
    fn lock(&self) -> MutexGuard<'_, Scan> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Money as decimals of the quote currency.
    fn money(&self, values: impl Iterator<Item = i128>) -> PyResult<ArrayRef> {
        decimals(values, self.scales.0)
    }
}

/// `values` in 10^-scale as an exact column.
fn decimals(values: impl Iterator<Item = i128>, scale: i8) -> PyResult<ArrayRef> {
    let by = if scale < 0 { 10_i128.checked_pow(u32::from(scale.unsigned_abs())) } else { Some(1) };
    let scaled: Option<Vec<_>> = values.map(|value| value.checked_mul(by?)).collect();
    let scaled = scaled.ok_or_else(|| errors::data("expected amounts below 10^38"))?;
    let array = PrimitiveArray::<Decimal128Type>::new(scaled.into(), None);
    Ok(Arc::new(array.with_precision_and_scale(38, scale.clamp(0, 38)).map_err(errors::data)?))
}

fn basis(name: &str, (window, sample, warm_up): (i64, i64, i64)) -> PyResult<FairBasis> {
    match name {
        "none" => Ok(FairBasis::None),
        "rolling_median" => Ok(FairBasis::RollingMedian { window, sample, warm_up }),
        "funding" => Ok(FairBasis::Funding),
        _ => Err(errors::data(format!("fair_basis {name:?}: expected \"none\", \"rolling_median\" or \"funding\""))),
    }
}

#[pymethods]
impl CrossScan {
    #[new]
    #[pyo3(signature = (market, /, *, pairs, perpetual, fees, fixed, begin, depth, traders))]
    #[allow(clippy::too_many_arguments)] // the rules of a scan
    fn new(
        py: Python<'_>,
        market: &Market,
        pairs: Vec<Pair>,
        perpetual: Vec<bool>,
        fees: Option<Vec<i64>>,
        fixed: Vec<i128>,
        begin: i64,
        depth: bool,
        traders: Option<Traders>,
    ) -> PyResult<Self> {
        let wrong = |error| errors::market(&error);
        let mut fresh = market.lock().market().fresh().map_err(wrong)?;
        for (at, fee) in fees.into_iter().flatten().enumerate() {
            fresh.set_fee(at, fee).map_err(wrong)?;
        }
        let pairs = pairs.into_iter().map(|(a, b, name, times)| Ok((a, b, basis(&name, times)?)));
        let pairs = pairs.collect::<PyResult<_>>()?;
        let units = fresh.units();
        let decimals = -(units.price.exponent() + units.size.exponent());
        let mut scan = Scan::new(fresh, ScanRules { pairs, perpetual, fixed, begin, depth }).map_err(wrong)?;
        if let Some((capitals, latencies, order_delay, view_delay, venues)) = traders {
            let holding = |(cash, base)| Holding { cash, base };
            let means = |means| match means {
                Means::Even(amount) => Capital::Even(amount),
                Means::Given(holdings) => Capital::Given(holdings.into_iter().map(holding).collect()),
            };
            let delay = |(samples, seed): (Vec<i64>, u64)| match samples.as_slice() {
                [one] => Delay::Constant(*one),
                _ => Delay::Samples(samples.into(), seed),
            };
            let rules = GridRules {
                capitals: capitals.into_iter().map(means).collect(),
                latencies,
                order_delay: order_delay.into_iter().map(delay).collect(),
                view_delay,
                venues,
            };
            scan = scan.with_traders(rules).map_err(wrong)?;
        }
        let instruments = market.instruments(py);
        Ok(Self { inner: Mutex::new(scan), instruments, scales: (decimals + 9, decimals) })
    }

    /// What one integer of a size means, in base currency.
    #[getter]
    fn size_unit(&self) -> String {
        self.lock().market().units().size.to_string()
    }

    #[pyo3(signature = (tape, /))]
    fn apply(&self, py: Python<'_>, tape: Py<Tape>) -> PyResult<()> {
        let places = places(&self.instruments, &tape.get().instruments)?;
        apply(py, tape.get(), places.as_deref(), |events| {
            let mut scan = self.lock();
            events.for_each(|event| scan.apply(&event));
        })
    }

    /// Tapes whose rows happen and are seen at times of their own.
    #[pyo3(signature = (tapes, happened, seen, /))]
    fn run(
        &self,
        py: Python<'_>,
        tapes: Vec<Py<Tape>>,
        happened: PyReadonlyArray1<'_, i64>,
        seen: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<()> {
        let (happened, seen) = (happened.as_slice()?, seen.as_slice()?);
        let mut events = Vec::with_capacity(happened.len());
        for tape in &tapes {
            let places = places(&self.instruments, &tape.get().instruments)?;
            apply(py, tape.get(), places.as_deref(), |found| events.extend(found))?;
        }
        if happened.len() != events.len() || seen.len() != events.len() {
            return Err(errors::data(format!(
                "expected {} times, one an event, found {} and {}",
                events.len(),
                happened.len(),
                seen.len()
            )));
        }
        py.detach(|| crossbook::market::run_delayed(&mut self.lock(), &events, happened, seen));
        Ok(())
    }

    #[pyo3(signature = (ts, /))]
    fn finish(&self, ts: i64) -> PyResult<()> {
        self.lock().finish(ts).map_err(|error| errors::market(&error))
    }

    fn take(&self) -> PyResult<Table> {
        let found = self.lock().take();
        let index = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        let times = |of: fn(&DepthCross) -> i64| column::<Int64Type>(found.iter().map(of).collect());
        let mut columns = vec![
            ("buy", column::<UInt32Type>(found.iter().map(|one| index(one.buy)).collect())),
            ("sell", column::<UInt32Type>(found.iter().map(|one| index(one.sell)).collect())),
            ("start", times(|one| one.start)),
            ("end", times(|one| one.end)),
            ("best_edge_bp", column::<Float64Type>(found.iter().map(|one| one.best_edge_bp).collect())),
            ("censored", booleans(found.iter().map(|one| one.censored).collect())),
            ("halved", times(|one| one.halved.unwrap_or(i64::MIN))),
        ];
        let shots: [([&str; 3], ShotOf); 4] = [
            (["start_ts", "start_size", "start_profit"], |one| &one.at_start),
            (["best_ts", "best_size", "best_profit"], |one| &one.at_best),
            (["max_ts", "max_size", "max_profit"], |one| &one.at_most),
            (["end_ts", "end_size", "end_profit"], |one| &one.at_end),
        ];
        for ([ts, size, profit], of) in shots {
            columns.push((ts, column::<Int64Type>(found.iter().map(|one| of(one).ts).collect())));
            columns.push((size, column::<Int64Type>(found.iter().map(|one| of(one).trade.size).collect())));
            columns.push((profit, self.money(found.iter().map(|one| of(one).trade.profit))?));
        }
        let most = || found.iter().map(|one| &one.at_most);
        let terms = |of: fn(&Shot) -> i64| column::<Int64Type>(most().map(of).collect());
        columns.extend([
            ("bought", decimals(most().map(|shot| shot.trade.bought), self.scales.1)?),
            ("sold", decimals(most().map(|shot| shot.trade.sold), self.scales.1)?),
            ("buy_rate", terms(|shot| shot.terms.buy.rate)),
            ("sell_rate", terms(|shot| shot.terms.sell.rate)),
            ("buy_weight", terms(|shot| shot.terms.buy_weight)),
            ("sell_weight", terms(|shot| shot.terms.sell_weight)),
            ("buy_fixed", self.money(most().map(|shot| shot.terms.buy.fixed))?),
            ("sell_fixed", self.money(most().map(|shot| shot.terms.sell.fixed))?),
            ("unrounded", self.money(most().map(|shot| shot.unrounded))?),
            ("conversion", self.money(most().map(|shot| shot.conversion))?),
        ]);
        Ok(Table::new(table::batch(columns)?))
    }

    /// A row a trader.
    fn results(&self) -> PyResult<Table> {
        let scan = self.lock();
        let cells = scan.results();
        let index = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        let money = |of: fn(&crossbook::market::CellResult) -> i128| self.money(cells.iter().map(of));
        let count =
            |of: fn(&crossbook::market::CellResult) -> u64| column::<UInt64Type>(cells.iter().map(of).collect());
        let batch = table::batch([
            ("capital", column::<UInt32Type>(cells.iter().map(|one| index(one.capital)).collect())),
            ("latency", column::<UInt32Type>(cells.iter().map(|one| index(one.latency)).collect())),
            ("tried", count(|one| one.tried)),
            ("full", count(|one| one.full)),
            ("partial", count(|one| one.partial)),
            ("missed", count(|one| one.missed)),
            (
                "volume",
                column::<Int64Type>(cells.iter().map(|one| i64::try_from(one.volume).unwrap_or(i64::MAX)).collect()),
            ),
            ("planned", money(|one| one.planned)?),
            ("gross", money(|one| one.gross)?),
            ("fees", money(|one| one.fees)?),
            ("fixed", money(|one| one.fixed)?),
            ("unhedged", money(|one| one.unhedged)?),
            ("profit", money(|one| one.profit)?),
            ("unclosed", column::<Int64Type>(cells.iter().map(|one| one.unclosed).collect())),
        ])?;
        Ok(Table::new(batch))
    }

    /// A row a trader and instrument.
    fn holdings(&self) -> PyResult<Table> {
        let scan = self.lock();
        let cells = scan.results();
        let rows = || cells.iter().flat_map(|cell| (0..cell.cash.len()).map(move |at| (cell, at)));
        let index = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        let batch = table::batch([
            ("capital", column::<UInt32Type>(rows().map(|(cell, _)| index(cell.capital)).collect())),
            ("latency", column::<UInt32Type>(rows().map(|(cell, _)| index(cell.latency)).collect())),
            ("instrument", column::<UInt32Type>(rows().map(|(_, at)| index(at)).collect())),
            ("cash_before", self.money(rows().map(|(cell, at)| cell.cash[at][1]))?),
            ("cash_after", self.money(rows().map(|(cell, at)| cell.cash[at][0]))?),
            ("base_before", column::<Int64Type>(rows().map(|(cell, at)| cell.base[at][1]).collect())),
            ("base_after", column::<Int64Type>(rows().map(|(cell, at)| cell.base[at][0]).collect())),
        ])?;
        Ok(Table::new(batch))
    }

    /// For each pair the ns in which both touches and the fair basis were known.
    fn observed(&self) -> Vec<(usize, usize, i64)> {
        self.lock().observed().collect()
    }
}
