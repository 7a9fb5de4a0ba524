//! Cycles over currencies.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbook::market::{CycleRules, Cycles as Core, FoundCycle, Plan, cycles_now};
use crossbook::units::Nanos;
use pyo3::prelude::*;

use crate::errors;
use crate::instrument::Instrument;
use crate::market::Market;
use crate::tape::{Tape, apply, places};

/// Instrument, whether it is bought, size, worst price, paid, brought, fee, left over.
type PlanLeg = (usize, bool, i64, i64, i128, i128, i128, i128);

/// Spent, received, trades.
type PlanRow = (i128, i128, Vec<PlanLeg>);

/// Cycle, start, end, censored, best edge in bp, when, what it was worth at the start and at its best.
type FoundRow = (usize, i64, i64, bool, f64, i64, Option<PlanRow>, Option<PlanRow>);

/// Instruments and whether each is bought.
type Legs = Vec<(usize, bool)>;

fn plan_row(plan: Plan) -> PlanRow {
    let legs = plan
        .legs
        .iter()
        .map(|one| (one.leg.instrument, one.leg.buy, one.size, one.worst, one.paid, one.brought, one.fee, one.left));
    (plan.spent, plan.received, legs.collect())
}

fn found_row(found: FoundCycle) -> FoundRow {
    let FoundCycle { cycle, start, end, censored, best_edge_bp, best_at, at_start, at_best } = found;
    (cycle, start, end, censored, best_edge_bp, best_at, at_start.map(plan_row), at_best.map(plan_row))
}

/// Chains of trades over currencies that end with more than they began with, kept up to date event by event.
#[pyclass(frozen, module = "crossbook._core")]
pub struct Cycles {
    inner: Mutex<Core>,
    instruments: Vec<Py<Instrument>>,
}

impl Cycles {
    fn lock(&self) -> MutexGuard<'_, Core> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Cycles {
    #[new]
    #[pyo3(signature = (instruments, /, *, fees, shortest, longest, home, stale_after))]
    fn new(
        instruments: Vec<Py<Instrument>>,
        fees: Vec<i64>,
        shortest: usize,
        longest: usize,
        home: Vec<String>,
        stale_after: i64,
    ) -> PyResult<Self> {
        let inner = instruments.iter().map(|one| one.get().inner.clone()).collect();
        let rules = CycleRules { fees, shortest, longest, home, stale_after };
        let inner = Core::new(inner, rules).map_err(|error| errors::cycle(&error))?;
        Ok(Self { inner: Mutex::new(inner), instruments })
    }

    #[getter]
    fn instruments(&self, py: Python<'_>) -> Vec<Py<Instrument>> {
        self.instruments.iter().map(|instrument| instrument.clone_ref(py)).collect()
    }

    #[pyo3(signature = (tape, /))]
    fn apply(&self, py: Python<'_>, tape: Py<Tape>) -> PyResult<()> {
        let places = places(&self.instruments, &tape.get().instruments)?;
        apply(py, tape.get(), places.as_deref(), |events| {
            let mut cycles = self.lock();
            events.for_each(|event| cycles.apply(&event));
        })
    }

    #[pyo3(signature = (ts, /))]
    fn finish(&self, ts: i64) {
        self.lock().finish(ts);
    }

    fn take(&self) -> Vec<FoundRow> {
        self.lock().take().into_iter().map(found_row).collect()
    }

    fn paying(&self) -> Vec<(usize, f64, Option<PlanRow>)> {
        let mut cycles = self.lock();
        let paying = cycles.paying();
        paying.into_iter().map(|(cycle, edge)| (cycle, edge, cycles.plan(cycle).map(plan_row))).collect()
    }

    fn any(&self) -> bool {
        self.lock().any()
    }

    #[pyo3(signature = (cycle, /))]
    fn legs(&self, cycle: usize) -> PyResult<Legs> {
        let cycles = self.lock();
        let legs = cycles
            .legs(cycle)
            .ok_or_else(|| errors::data(format!("cycle {cycle}: expected one below {}", cycles.len())))?;
        Ok(legs.iter().map(|leg| (leg.instrument, leg.buy)).collect())
    }

    #[getter]
    fn now(&self) -> Option<i64> {
        Some(self.lock().now()).filter(|now| *now != i64::MIN)
    }

    fn __len__(&self) -> usize {
        self.lock().len()
    }

    fn __repr__(&self) -> String {
        format!("Cycles({} instruments, {} cycles)", self.instruments.len(), self.__len__())
    }
}

/// The cycles that pay at a market's books as they stand: legs, edge in bp and what each is worth.
#[pyfunction]
#[pyo3(signature = (market, /, *, fees, shortest, longest, home, stale_after))]
pub fn market_cycles(
    market: &Market,
    fees: Vec<i64>,
    shortest: usize,
    longest: usize,
    home: Vec<String>,
    stale_after: i64,
) -> PyResult<Vec<(Legs, f64, Option<PlanRow>)>> {
    let rules = CycleRules { fees, shortest, longest, home, stale_after };
    let observer = market.lock();
    let market = observer.market();
    let now = market.now().unwrap_or(Nanos(i64::MIN));
    let found = cycles_now(market.venues(), &rules, now).map_err(|error| errors::cycle(&error))?;
    let legs = |legs: &[crossbook::market::Leg]| legs.iter().map(|leg| (leg.instrument, leg.buy)).collect();
    Ok(found.into_iter().map(|one| (legs(&one.legs), one.edge_bp, one.plan.map(plan_row))).collect())
}
