//! Executions, levels and orders as columns that Polars takes as they are: names as Enum, what is unset as null.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::types::{Int64Type, UInt8Type, UInt32Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, DictionaryArray, Float64Array, PrimitiveArray, RecordBatch,
    StringArray, UInt8Array,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow_schema::{Field, Schema};
use crossbook::book::{OrderLevel, Place};
use crossbook::exchange::{Command, Execution, ExecutionKind, LiveOrder, OrderType, Reason, State, TimeInForce};
use crossbook::units::{Side, Unit};
use crossbook_pages::vec_with_capacity;
use pyo3::prelude::*;

use super::fields::{Named, Sides};
use crate::errors;

/// Of prices, sizes and fees; none: they stay integers.
pub type Decimals = Option<(Unit, Unit)>;

/// A table under construction.
#[derive(Default)]
struct Frame {
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
}

impl Frame {
    fn push(&mut self, field: Field, array: ArrayRef) {
        self.fields.push(field);
        self.arrays.push(array);
    }

    fn ints<T: ArrowPrimitiveType>(&mut self, name: &str, values: Vec<T::Native>, nulls: Option<NullBuffer>) {
        let field = Field::new(name, T::DATA_TYPE, true);
        self.push(field, Arc::new(PrimitiveArray::<T>::new(values.into(), nulls)));
    }

    /// Counts, or where units are given decimals of them.
    fn counts(
        &mut self,
        name: &str,
        values: Vec<i64>,
        nulls: Option<NullBuffer>,
        decimal: Option<impl Fn(i64) -> f64>,
    ) {
        let Some(decimal) = decimal else { return self.ints::<Int64Type>(name, values, nulls) };
        let values: Vec<f64> = values.into_iter().map(decimal).collect();
        let array = Float64Array::new(values.into(), nulls);
        self.push(Field::new(name, array.data_type().clone(), true), Arc::new(array));
    }

    /// Codes with their names. The metadata makes of it, in Polars, an Enum that shares the memory of the codes.
    fn codes<T: Named>(&mut self, name: &str, codes: Vec<u8>, nulls: Option<NullBuffer>) -> PyResult<()> {
        let names = T::names();
        let listed = names.iter().map(|name| format!("{};{name}", name.len())).collect();
        let metadata = HashMap::from([("_PL_ENUM_VALUES2".to_owned(), listed)]);
        let keys = UInt8Array::new(codes.into(), nulls);
        let array = DictionaryArray::<UInt8Type>::try_new(keys, Arc::new(StringArray::from(names)));
        let array = array.map_err(errors::data)?;
        self.push(Field::new(name, array.data_type().clone(), true).with_metadata(metadata), Arc::new(array));
        Ok(())
    }

    fn finish(self) -> PyResult<RecordBatch> {
        RecordBatch::try_new(Arc::new(Schema::new(self.fields)), self.arrays).map_err(errors::data)
    }
}

/// How a count of prices, sizes, fees becomes a decimal.
fn prices(decimals: Decimals) -> Option<impl Fn(i64) -> f64> {
    decimals.map(|(price, _)| move |count| price.to_f64(count))
}

fn sizes(decimals: Decimals) -> Option<impl Fn(i64) -> f64> {
    decimals.map(|(_, size)| move |count| size.to_f64(count))
}

fn fees(decimals: Decimals) -> Option<impl Fn(i64) -> f64> {
    decimals.map(|(price, size)| {
        let exponent = price.exponent().saturating_add(size.exponent());
        let both = price.mantissa().checked_mul(size.mantissa()).and_then(|mantissa| Unit::new(mantissa, exponent));
        move |count| both.map_or_else(|| price.to_f64(count) * size.as_f64(), |unit| unit.to_f64(count))
    })
}

/// Validity of a column, 64 rows a word.
#[derive(Default)]
struct Bits(Vec<u64>);

impl Bits {
    #[inline]
    fn extend(&mut self, rows: &[Execution], is: impl Fn(&Execution) -> bool) {
        self.0.extend(
            rows.chunks(ROWS).map(|rows| rows.iter().rev().fold(0, |word, row| word << 1 | u64::from(is(row)))),
        );
    }

    fn finish(self, rows: usize) -> Option<NullBuffer> {
        let nulls = NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(self.0), 0, rows));
        (nulls.null_count() > 0).then_some(nulls)
    }
}

/// A column that is mostly nothing but zeros, as fees are where there are none. Until the first other value it is not
/// written at all: fresh memory of zeros costs nothing until it is read, while every page written costs more than the
/// commands whose executions fill it.
#[derive(Default)]
struct Rare<T> {
    values: Vec<T>,
    zeros: usize,
}

impl<T: Copy + Default + PartialEq> Rare<T> {
    #[inline]
    fn extend(&mut self, rows: &[Execution], value: impl Fn(&Execution) -> T) {
        if self.values.is_empty() && rows.iter().all(|row| value(row) == T::default()) {
            self.zeros += rows.len();
            return;
        }
        if self.values.is_empty() {
            self.values = vec![T::default(); self.zeros];
        }
        self.values.extend(rows.iter().map(value));
    }

    fn finish(self, rows: usize) -> Vec<T> {
        if self.values.is_empty() { vec![T::default(); rows] } else { self.values }
    }
}

/// Rows that make a word of validity.
const ROWS: usize = 64;

/// Rows for which room is made at most before there are that many; what is not written to costs nothing.
const ROOM: usize = 1 << 26;

/// Executions in columns. They come through a small buffer, which is turned into columns while it is in the cache.
#[derive(Default)]
pub struct Executions {
    pub buffer: Vec<Execution>,
    sequence: Vec<u64>,
    kind: Vec<u8>,
    reason: Vec<u8>,
    order_id: Vec<u64>,
    counter_id: Vec<u64>,
    account: Rare<u32>,
    counter_account: Rare<u32>,
    side: Vec<u8>,
    price: Vec<i64>,
    size: Vec<i64>,
    remaining: Vec<i64>,
    fee: Rare<i64>,
    counter_fee: Rare<i64>,
    state: Rare<u8>,
    has_reason: Bits,
    has_order: Bits,
    has_counter: Bits,
    has_side: Bits,
    has_price: Bits,
    has_size: Bits,
    has_remaining: Bits,
    has_fee: Bits,
    has_state: Bits,
}

impl Executions {
    /// With room for what so many commands usually cause.
    pub fn of(commands: usize) -> Self {
        let rows = commands.saturating_add(commands / 2).min(ROOM);
        Self {
            sequence: vec_with_capacity(rows),
            kind: vec_with_capacity(rows),
            reason: vec_with_capacity(rows),
            order_id: vec_with_capacity(rows),
            counter_id: vec_with_capacity(rows),
            side: vec_with_capacity(rows),
            price: vec_with_capacity(rows),
            size: vec_with_capacity(rows),
            remaining: vec_with_capacity(rows),
            ..Self::default()
        }
    }

    /// Takes one more, where nobody calls `flush`.
    pub fn push(&mut self, execution: Execution) {
        self.buffer.push(execution);
        if self.buffer.len() >= 4 * ROWS {
            self.flush();
        }
    }

    /// Moves what fills whole words from the buffer to the columns.
    #[inline]
    pub fn flush(&mut self) {
        let whole = self.buffer.len() / ROWS * ROWS;
        if whole > 0 {
            self.write(whole);
        }
    }

    fn write(&mut self, count: usize) {
        let rows = &self.buffer[..count];
        self.sequence.extend(rows.iter().map(|row| row.sequence));
        self.kind.extend(rows.iter().map(|row| row.kind as u8));
        self.reason.extend(rows.iter().map(|row| row.reason as u8));
        self.order_id.extend(rows.iter().map(|row| row.order_id));
        self.counter_id.extend(rows.iter().map(|row| row.counter_id));
        self.account.extend(rows, |row| row.account);
        self.counter_account.extend(rows, |row| row.counter_account);
        self.side.extend(rows.iter().map(|row| row.side.map_or(0, |side| side as u8)));
        self.price.extend(rows.iter().map(|row| row.price.0));
        self.size.extend(rows.iter().map(|row| row.size.0));
        self.remaining.extend(rows.iter().map(|row| row.remaining.0));
        self.fee.extend(rows, |row| row.fee);
        self.counter_fee.extend(rows, |row| row.counter_fee);
        self.state.extend(rows, |row| row.state as u8);
        self.has_reason.extend(rows, |row| row.reason != Reason::None);
        self.has_order.extend(rows, |row| row.order_id != 0);
        self.has_counter.extend(rows, |row| row.counter_id != 0);
        self.has_side.extend(rows, |row| row.side.is_some());
        self.has_price.extend(rows, |row| row.price.0 != Command::UNSET);
        self.has_size.extend(rows, |row| row.size.0 != Command::UNSET);
        self.has_remaining.extend(rows, |row| row.remaining.0 != Command::UNSET);
        self.has_fee.extend(rows, |row| row.kind == ExecutionKind::Trade);
        self.has_state.extend(rows, |row| row.kind == ExecutionKind::State);
        self.buffer.drain(..count);
    }

    pub fn finish(mut self, decimals: Decimals) -> PyResult<RecordBatch> {
        self.write(self.buffer.len());
        let rows = self.sequence.len();
        let (counter, fee) = (self.has_counter.finish(rows), self.has_fee.finish(rows));
        let mut frame = Frame::default();
        frame.ints::<UInt64Type>("sequence", self.sequence, None);
        frame.codes::<ExecutionKind>("kind", self.kind, None)?;
        frame.codes::<Reason>("reason", self.reason, self.has_reason.finish(rows))?;
        frame.ints::<UInt64Type>("order_id", self.order_id, self.has_order.finish(rows));
        frame.ints::<UInt64Type>("counter_id", self.counter_id, counter.clone());
        frame.ints::<UInt32Type>("account", self.account.finish(rows), None);
        frame.ints::<UInt32Type>("counter_account", self.counter_account.finish(rows), counter);
        frame.codes::<Sides>("side", self.side, self.has_side.finish(rows))?;
        frame.counts("price", self.price, self.has_price.finish(rows), prices(decimals));
        frame.counts("size", self.size, self.has_size.finish(rows), sizes(decimals));
        frame.counts("remaining", self.remaining, self.has_remaining.finish(rows), sizes(decimals));
        frame.counts("fee", self.fee.finish(rows), fee.clone(), fees(decimals));
        frame.counts("counter_fee", self.counter_fee.finish(rows), fee, fees(decimals));
        frame.codes::<State>("state", self.state.finish(rows), self.has_state.finish(rows))?;
        frame.finish()
    }
}

fn nulls(valid: impl Iterator<Item = bool>) -> Option<NullBuffer> {
    let nulls = NullBuffer::from_iter(valid);
    (nulls.null_count() > 0).then_some(nulls)
}

/// Displayed price levels, bids from the best, then asks from the best.
pub fn levels(levels: &[(Side, OrderLevel)], decimals: Decimals) -> PyResult<RecordBatch> {
    let mut frame = Frame::default();
    frame.codes::<Sides>("side", levels.iter().map(|(side, _)| *side as u8).collect(), None)?;
    frame.counts("price", levels.iter().map(|(_, level)| level.price.0).collect(), None, prices(decimals));
    frame.counts("size", levels.iter().map(|(_, level)| level.size.0).collect(), None, sizes(decimals));
    frame.ints::<UInt32Type>("orders", levels.iter().map(|(_, level)| level.orders).collect(), None);
    frame.finish()
}

/// Live orders with their places.
pub fn orders(orders: &[(LiveOrder, Option<Place>)], decimals: Decimals) -> PyResult<RecordBatch> {
    let column = |value: fn(&LiveOrder) -> i64| orders.iter().map(|(order, _)| value(order)).collect::<Vec<_>>();
    let codes = |value: fn(&LiveOrder) -> u8| orders.iter().map(|(order, _)| value(order)).collect::<Vec<_>>();
    let some = |is: fn(&LiveOrder) -> bool| nulls(orders.iter().map(|(order, _)| is(order)));
    let placed = nulls(orders.iter().map(|(_, place)| place.is_some()));
    let rests: BooleanArray = orders.iter().map(|(order, _)| Some(order.rests)).collect();
    let mut frame = Frame::default();
    frame.ints::<UInt64Type>("order_id", orders.iter().map(|(order, _)| order.id).collect(), None);
    frame.ints::<UInt32Type>("account", orders.iter().map(|(order, _)| order.account).collect(), None);
    frame.codes::<Sides>("side", codes(|order| order.side as u8), None)?;
    let priced = some(|order| order.price.0 != Command::UNSET);
    frame.counts("price", column(|order| order.price.0), priced, prices(decimals));
    frame.counts("shown", column(|order| order.shown.0), None, sizes(decimals));
    frame.counts("open", column(|order| order.open.0), None, sizes(decimals));
    frame.codes::<OrderType>("order_type", codes(|order| order.order_type as u8), None)?;
    frame.codes::<TimeInForce>("time_in_force", codes(|order| order.time_in_force as u8), None)?;
    let triggered = some(|order| order.trigger.0 != Command::UNSET);
    frame.counts("trigger", column(|order| order.trigger.0), triggered, prices(decimals));
    let links = orders.iter().map(|(order, _)| order.link).collect();
    frame.ints::<UInt64Type>("link", links, some(|order| order.link != 0));
    frame.push(Field::new("rests", rests.data_type().clone(), true), Arc::new(rests));
    let ahead = orders.iter().map(|(_, place)| place.map_or(0, |place| place.orders_ahead)).collect();
    frame.ints::<UInt64Type>("orders_ahead", ahead, placed.clone());
    let ahead = orders.iter().map(|(_, place)| place.map_or(0, |place| place.size_ahead.0)).collect();
    frame.counts("size_ahead", ahead, placed, sizes(decimals));
    frame.finish()
}
