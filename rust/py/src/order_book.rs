//! `OrderBook`: every order in its queue, and the place of one over time.

use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow_array::types::{Float64Type, Int64Type, UInt8Type, UInt32Type, UInt64Type};
use arrow_array::{ArrayRef, RecordBatch};
use crossbook::book::{self, OrderBook as Core, Unknown};
use crossbook::instrument::Instrument as Described;
use crossbook::units::{Price, Side, Size};
use pyo3::prelude::*;

use crate::book::side;
use crate::errors;
use crate::instrument::Instrument;
use crate::table::{self, Table, booleans, column};
use crate::tape::{Tape, view};

/// An order book by order. Integers of units; see `crossbook.Instrument`.
#[pyclass(frozen, module = "crossbook._core")]
pub struct OrderBook {
    book: Mutex<Core>,
    instrument: Option<Py<Instrument>>,
}

const SIDES: [Side; 2] = [Side::Bid, Side::Ask];

const fn unknown(strict: bool) -> Unknown {
    if strict { Unknown::Refuse } else { Unknown::Skip }
}

/// Prices in quote currency, or as they are.
fn prices(prices: Vec<i64>, instrument: Option<&Described>) -> ArrayRef {
    match instrument {
        Some(one) => column::<Float64Type>(prices.into_iter().map(|price| one.price(price)).collect()),
        None => column::<Int64Type>(prices),
    }
}

/// Sizes at their prices in base currency, or as they are.
fn sizes(sizes: Vec<i64>, at: &[i64], instrument: Option<&Described>) -> ArrayRef {
    match instrument {
        Some(one) => {
            let sizes = sizes.into_iter().zip(at);
            column::<Float64Type>(sizes.map(|(size, price)| one.base_size(*price, size)).collect())
        }
        None => column::<Int64Type>(sizes),
    }
}

fn polars<'py>(py: Python<'py>, batch: RecordBatch) -> PyResult<Bound<'py, PyAny>> {
    py.import("polars")?.call_method1("DataFrame", (Table::new(batch),))
}

fn one_of(tape: &Tape, instrument: u32) -> PyResult<&Py<Instrument>> {
    let count = tape.instruments.len();
    let found = usize::try_from(instrument).ok().and_then(|index| tape.instruments.get(index));
    found.ok_or_else(|| errors::data(format!("instrument {instrument}: expected an index below {count}")))
}

impl OrderBook {
    #[inline]
    fn lock(&self) -> MutexGuard<'_, Core> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn described(&self) -> Option<&Described> {
        self.instrument.as_ref().map(|instrument| &instrument.get().inner)
    }
}

#[pymethods]
impl OrderBook {
    #[new]
    #[pyo3(signature = (instrument=None, /))]
    fn new(instrument: Option<Py<Instrument>>) -> Self {
        Self { book: Mutex::new(Core::new()), instrument }
    }

    #[getter]
    fn instrument(&self, py: Python<'_>) -> Option<Py<Instrument>> {
        self.instrument.as_ref().map(|instrument| instrument.clone_ref(py))
    }

    #[pyo3(signature = (order_id, side_code, price, size, /))]
    fn add(&self, order_id: u64, side_code: u8, price: i64, size: i64) -> PyResult<()> {
        let side = side(side_code)?;
        self.lock().add(order_id, side, Price(price), Size(size)).map_err(|error| errors::order_book(&error))
    }

    #[pyo3(signature = (order_id, price, size, /))]
    fn modify(&self, order_id: u64, price: i64, size: i64) -> PyResult<()> {
        self.lock().modify(order_id, Price(price), Size(size)).map_err(|error| errors::order_book(&error))
    }

    #[pyo3(signature = (order_id, /))]
    fn cancel(&self, order_id: u64) -> PyResult<(u8, i64, i64)> {
        let order = self.lock().cancel(order_id).map_err(|error| errors::order_book(&error))?;
        Ok((order.side as u8, order.price.0, order.size.0))
    }

    #[pyo3(signature = (order_id, size, /))]
    fn execute(&self, order_id: u64, size: i64) -> PyResult<()> {
        self.lock().execute(order_id, Size(size)).map_err(|error| errors::order_book(&error))
    }

    #[pyo3(signature = (tape, /, *, instrument=0, strict=true))]
    fn apply(&self, py: Python<'_>, tape: Py<Tape>, instrument: u32, strict: bool) -> PyResult<u64> {
        let tape = tape.get();
        let theirs = &one_of(tape, instrument)?.get().inner;
        if let Some(ours) = self.described().filter(|ours| *ours != theirs) {
            let (ours, theirs) = (ours.name(), theirs.name());
            return Err(errors::data(format!("instrument {instrument}: expected {ours} as described, found {theirs}")));
        }
        let views = tape.batches.iter().map(view).collect::<PyResult<Vec<_>>>()?;
        let applied = py.detach(|| book::apply_tapes(&mut self.lock(), &views, instrument, unknown(strict)));
        applied.map_err(|error| errors::order_book(&error))
    }

    #[getter]
    fn quote(&self) -> (i64, i64, i64, i64) {
        let quote = self.lock().quote();
        (quote.bid.0, quote.bid_size.0, quote.ask.0, quote.ask_size.0)
    }

    #[getter]
    fn is_stale(&self) -> bool {
        self.lock().is_stale()
    }

    #[pyo3(signature = (order_id, /))]
    fn get(&self, order_id: u64) -> Option<(u8, i64, i64)> {
        self.lock().get(order_id).map(|order| (order.side as u8, order.price.0, order.size.0))
    }

    #[pyo3(signature = (order_id, /))]
    fn place(&self, order_id: u64) -> Option<(u64, i64, i64)> {
        let place = self.lock().place(order_id)?;
        Some((place.orders_ahead, place.size_ahead.0, place.level_size.0))
    }

    #[pyo3(signature = (n=None))]
    fn levels<'py>(&self, py: Python<'py>, n: Option<usize>) -> PyResult<Bound<'py, PyAny>> {
        let (mut side, mut price, mut size, mut orders) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        py.detach(|| {
            let book = self.lock();
            for of in SIDES {
                for level in book.levels(of).take(n.unwrap_or(usize::MAX)) {
                    side.push(of as u8);
                    price.push(level.price.0);
                    size.push(level.size.0);
                    orders.push(level.orders);
                }
            }
        });
        let described = self.described();
        let size = sizes(size, &price, described);
        polars(
            py,
            table::batch([
                ("side", column::<UInt8Type>(side)),
                ("price", prices(price, described)),
                ("size", size),
                ("orders", column::<UInt32Type>(orders)),
            ])?,
        )
    }

    #[pyo3(signature = (side_code=None))]
    fn orders<'py>(&self, py: Python<'py>, side_code: Option<u8>) -> PyResult<Bound<'py, PyAny>> {
        let wanted = side_code.map(side).transpose()?;
        let (mut side, mut id, mut price, mut size) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut orders_ahead, mut size_ahead) = (Vec::new(), Vec::new());
        py.detach(|| {
            let book = self.lock();
            for of in SIDES.into_iter().filter(|of| wanted.is_none_or(|wanted| wanted == *of)) {
                for (order, place) in book.places(of) {
                    side.push(of as u8);
                    id.push(order.id);
                    price.push(order.price.0);
                    size.push(order.size.0);
                    orders_ahead.push(place.orders_ahead);
                    size_ahead.push(place.size_ahead.0);
                }
            }
        });
        let described = self.described();
        let (size, size_ahead) = (sizes(size, &price, described), sizes(size_ahead, &price, described));
        polars(
            py,
            table::batch([
                ("side", column::<UInt8Type>(side)),
                ("order_id", column::<UInt64Type>(id)),
                ("price", prices(price, described)),
                ("size", size),
                ("orders_ahead", column::<UInt64Type>(orders_ahead)),
                ("size_ahead", size_ahead),
            ])?,
        )
    }

    fn clear(&self) {
        self.lock().clear();
    }

    fn __len__(&self) -> usize {
        self.lock().len()
    }

    fn __contains__(&self, order_id: u64) -> bool {
        self.lock().get(order_id).is_some()
    }

    fn __repr__(&self) -> String {
        let (book, (bid, bid_size, ask, ask_size)) = (self.__len__(), self.quote());
        format!("OrderBook({book} orders: {bid_size} @ {bid} / {ask_size} @ {ask})")
    }
}

/// One order's place over time, in decimals, and how many events were passed over.
#[pyfunction]
#[pyo3(signature = (tape, order_id, /, *, instrument, strict))]
pub fn follow(py: Python<'_>, tape: Py<Tape>, order_id: u64, instrument: u32, strict: bool) -> PyResult<(Table, u64)> {
    let tape = tape.get();
    let described = Some(&one_of(tape, instrument)?.get().inner);
    let views = tape.batches.iter().map(view).collect::<PyResult<Vec<_>>>()?;
    let rows = py
        .detach(|| book::follow(&views, instrument, order_id, unknown(strict)))
        .map_err(|error| errors::order_book(&error))?;
    let size = sizes(rows.size, &rows.price, described);
    let size_ahead = sizes(rows.size_ahead, &rows.price, described);
    let level_size = sizes(rows.level_size, &rows.price, described);
    let batch = table::batch([
        ("row", column::<UInt64Type>(rows.row)),
        ("ts_event", column::<Int64Type>(rows.ts_event)),
        ("ts_recv", column::<Int64Type>(rows.ts_recv)),
        ("kind", column::<UInt8Type>(rows.kind)),
        ("side", column::<UInt8Type>(rows.side)),
        ("price", prices(rows.price, described)),
        ("size", size),
        ("orders_ahead", column::<UInt64Type>(rows.orders_ahead)),
        ("size_ahead", size_ahead),
        ("level_size", level_size),
        ("stale", booleans(rows.stale)),
    ])?;
    Ok((Table::new(batch), rows.skipped))
}
