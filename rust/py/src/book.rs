//! `PriceBook`: one call a level, or columns in and the top of the book out.

use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow_array::types::{Int64Type, UInt64Type};
use arrow_array::{Array, ArrowPrimitiveType, PrimitiveArray, RecordBatch};
use arrow_schema::DataType;
use crossbook::book::{Every, PriceBook as Core, TopRows, Walk};
use crossbook::units::{Price, Side, Size};
use numpy::PyReadonlyArray1;
use pyo3::prelude::*;

use crate::errors;
use crate::table::{self, Table, column};
use crate::tape::{Tape, view};

/// Bid, bid size, ask, ask size.
type Quote = (i64, i64, i64, i64);

/// An order book by price. Integers of units; see `crossbook.Instrument`.
#[pyclass(frozen, module = "crossbook._core")]
pub struct PriceBook {
    book: Mutex<Core>,
}

/// Filled, sum of price × size, worst price, levels, known.
pub type Walked = (i64, i128, Option<i64>, usize, bool);

pub fn walked(walk: Walk) -> Walked {
    (walk.filled.0, walk.notional, walk.worst.map(|price| price.0), walk.levels, walk.known)
}

#[inline]
pub fn side(code: u8) -> PyResult<Side> {
    match code {
        0 => Ok(Side::Bid),
        1 => Ok(Side::Ask),
        _ => Err(errors::data(format!("side {code}: expected 0 (bid) or 1 (ask)"))),
    }
}

#[inline]
const fn plain(quote: crossbook::book::Quote) -> Quote {
    (quote.bid.0, quote.bid_size.0, quote.ask.0, quote.ask_size.0)
}

pub fn every(name: &str) -> PyResult<Every> {
    match name {
        "message" => Ok(Every::Message),
        "row" => Ok(Every::Row),
        _ => Err(errors::data(format!("every {name:?}: expected \"message\" or \"row\""))),
    }
}

fn checked_levels(levels: usize) -> PyResult<usize> {
    if (1..=1_000).contains(&levels) { Ok(levels) } else { Err(errors::data("levels: expected 1 to 1000")) }
}

/// The vector behind a column, if nobody else reads it.
fn reclaim<T: ArrowPrimitiveType>(batch: &mut RecordBatch, index: usize) -> Vec<T::Native> {
    if batch.num_columns() <= index {
        return Vec::new();
    }
    let array = batch.remove_column(index);
    let data = match array.as_any().downcast_ref::<PrimitiveArray<T>>() {
        Some(typed) => typed.values().inner().clone(),
        None => return Vec::new(),
    };
    drop(array);
    data.into_vec().unwrap_or_default()
}

/// Names of the columns of the top of a book.
fn names(levels: usize) -> Vec<String> {
    let level = |level: usize| {
        ["bid", "bid_size", "ask", "ask_size"].map(|name| match levels {
            1 => name.to_owned(),
            _ => format!("{name}_{level}"),
        })
    };
    std::iter::once("row".to_owned()).chain((0..levels).flat_map(level)).collect()
}

/// The memory of a table that is given to be written to again.
fn reuse(out: Option<&Py<Table>>, levels: usize) -> PyResult<TopRows> {
    let Some(out) = out.map(Py::get) else { return Ok(TopRows::default()) };
    let int = |(at, kind): (usize, &DataType)| *kind == if at == 0 { DataType::UInt64 } else { DataType::Int64 };
    if out.columns() != names(levels) || !out.types().enumerate().all(int) {
        return Err(errors::data(format!("out: expected a table from an earlier call with {levels} levels")));
    }
    let Some(mut batch) = out.take().pop() else { return Ok(TopRows::default()) };
    let row = reclaim::<UInt64Type>(&mut batch, 0);
    let columns = batch.num_columns();
    Ok(TopRows { row, levels: (0..columns).map(|_| reclaim::<Int64Type>(&mut batch, 0)).collect() })
}

fn finish(py: Python<'_>, rows: TopRows, out: Option<Py<Table>>) -> PyResult<Py<Table>> {
    let names = names(rows.levels.len() / 4);
    let columns =
        std::iter::once(column::<UInt64Type>(rows.row)).chain(rows.levels.into_iter().map(column::<Int64Type>));
    let batch = table::batch(names.iter().map(String::as_str).zip(columns))?;
    match out {
        Some(out) => {
            out.get().put(batch);
            Ok(out)
        }
        None => Py::new(py, Table::new(batch)),
    }
}

impl PriceBook {
    #[inline]
    fn lock(&self) -> MutexGuard<'_, Core> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl PriceBook {
    #[new]
    fn new() -> Self {
        Self { book: Mutex::new(Core::new()) }
    }

    #[pyo3(signature = (side_code, price, size, /))]
    fn update(&self, side_code: u8, price: i64, size: i64) -> PyResult<Quote> {
        if size < 0 {
            return Err(errors::data(format!("size {size}: expected zero or more")));
        }
        Ok(plain(self.lock().update(side(side_code)?, Price(price), Size(size))))
    }

    #[getter]
    fn quote(&self) -> Quote {
        plain(self.lock().quote())
    }

    #[getter]
    fn is_stale(&self) -> bool {
        self.lock().is_stale()
    }

    #[pyo3(signature = (side_code, price, /))]
    fn size_at(&self, side_code: u8, price: i64) -> PyResult<i64> {
        Ok(self.lock().size_at(side(side_code)?, Price(price)).0)
    }

    #[pyo3(signature = (side_code, count, /))]
    fn depth(&self, side_code: u8, count: usize) -> PyResult<Vec<(i64, i64)>> {
        let side = side(side_code)?;
        Ok(self.lock().levels(side).take(count).map(|(price, size)| (price.0, size.0)).collect())
    }

    #[pyo3(signature = (side_code, size, /))]
    fn walk(&self, side_code: u8, size: i64) -> PyResult<Walked> {
        Ok(walked(self.lock().walk(side(side_code)?, Size(size))))
    }

    #[pyo3(signature = (side_code, /))]
    fn horizon(&self, side_code: u8) -> PyResult<Option<i64>> {
        Ok(self.lock().horizon(side(side_code)?).map(|price| price.0))
    }

    fn clear(&self) {
        self.lock().clear();
    }

    #[pyo3(signature = (sides, prices, sizes, /, *, levels=1, out=None))]
    fn update_rows(
        &self,
        py: Python<'_>,
        sides: PyReadonlyArray1<'_, u8>,
        prices: PyReadonlyArray1<'_, i64>,
        sizes: PyReadonlyArray1<'_, i64>,
        levels: usize,
        out: Option<Py<Table>>,
    ) -> PyResult<Py<Table>> {
        let levels = checked_levels(levels)?;
        let (sides, prices, sizes) = (sides.as_slice()?, prices.as_slice()?, sizes.as_slice()?);
        if sides.len() != prices.len() || sides.len() != sizes.len() {
            let lengths = (sides.len(), prices.len(), sizes.len());
            return Err(errors::data(format!("expected columns of one length, found {lengths:?}")));
        }
        if let Some(row) = sides.iter().position(|side| *side > 1) {
            return Err(errors::data(format!("side {} in row {row}: expected 0 (bid) or 1 (ask)", sides[row])));
        }
        if let Some(row) = sizes.iter().position(|size| *size < 0) {
            return Err(errors::data(format!("size {} in row {row}: expected zero or more", sizes[row])));
        }
        let mut rows = reuse(out.as_ref(), levels)?;
        py.detach(|| self.lock().update_rows(sides, prices, sizes, levels, &mut rows));
        finish(py, rows, out)
    }

    #[pyo3(signature = (tape, /, *, instrument=0, every="message", levels=1, out=None))]
    fn apply(
        &self,
        py: Python<'_>,
        tape: Py<Tape>,
        instrument: u32,
        every: &str,
        levels: usize,
        out: Option<Py<Table>>,
    ) -> PyResult<Py<Table>> {
        let (every, levels) = (self::every(every)?, checked_levels(levels)?);
        let tape = tape.get();
        let views = tape.batches.iter().map(view).collect::<PyResult<Vec<_>>>()?;
        let mut rows = reuse(out.as_ref(), levels)?;
        py.detach(|| self.lock().apply_tapes(&views, instrument, every, levels, &mut rows));
        finish(py, rows, out)
    }

    fn __repr__(&self) -> String {
        let (bid, bid_size, ask, ask_size) = plain(self.lock().quote());
        format!("PriceBook({bid_size} @ {bid} / {ask_size} @ {ask})")
    }
}
