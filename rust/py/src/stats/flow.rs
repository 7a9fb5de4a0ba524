//! Bridge of `crossbook::stats::flow`: order-flow imbalance from tapes.

use std::sync::{Mutex, PoisonError};

use arrow_array::types::{Int64Type, UInt8Type};
use crossbook::stats::FlowScan as Core;
use pyo3::prelude::*;

use crate::book::every;
use crate::errors;
use crate::table::{self, Table, column};
use crate::tape::{Tape, view};

/// A book and the flow at its best levels, over tapes. Integers of units.
#[pyclass(frozen, module = "crossbook._core")]
pub struct FlowScan {
    inner: Mutex<Core>,
}

#[pymethods]
impl FlowScan {
    #[new]
    #[pyo3(signature = (*, instrument=0, levels=10, every="message", sizes=false))]
    fn new(instrument: u32, levels: usize, every: &str, sizes: bool) -> PyResult<Self> {
        let inner = Core::new(instrument, levels, self::every(every)?).map_err(errors::data)?;
        let inner = if sizes { inner.with_sizes() } else { inner };
        Ok(Self { inner: Mutex::new(inner) })
    }

    /// Takes the events of a tape, which follows on the one before.
    #[pyo3(signature = (tape, /))]
    fn apply(&self, py: Python<'_>, tape: Py<Tape>) -> PyResult<()> {
        let views = tape.get().batches.iter().map(view).collect::<PyResult<Vec<_>>>()?;
        py.detach(|| {
            let mut scan = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            views.iter().for_each(|view| scan.apply(view));
        });
        Ok(())
    }

    /// The rows since they were last taken.
    fn take(&self) -> PyResult<Table> {
        let rows = self.inner.lock().unwrap_or_else(PoisonError::into_inner).take();
        let names: Vec<String> = (1..=rows.flow.len()).map(|level| format!("ofi_{level}")).collect();
        let fixed = [
            ("ts_event", column::<Int64Type>(rows.ts_event)),
            ("ts_recv", column::<Int64Type>(rows.ts_recv)),
            ("bid", column::<Int64Type>(rows.bid)),
            ("bid_size", column::<Int64Type>(rows.bid_size)),
            ("ask", column::<Int64Type>(rows.ask)),
            ("ask_size", column::<Int64Type>(rows.ask_size)),
            ("depth", column::<Int64Type>(rows.depth)),
            ("known", column::<UInt8Type>(rows.known)),
            ("start", column::<UInt8Type>(rows.start)),
        ];
        let flow = names.iter().map(String::as_str).zip(rows.flow.into_iter().map(column::<Int64Type>));
        let [bids, asks] = rows.sizes;
        let ranks = |side: &str, count: usize| (1..=count).map(|k| format!("{side}_size_{k}")).collect::<Vec<_>>();
        let names = [ranks("bid", bids.len()), ranks("ask", asks.len())].concat();
        let sizes = names.iter().map(String::as_str).zip(bids.into_iter().chain(asks).map(column::<Int64Type>));
        Ok(Table::new(table::batch(fixed.into_iter().chain(flow).chain(sizes))?))
    }
}

/// Adds it to the extension module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<FlowScan>()
}
