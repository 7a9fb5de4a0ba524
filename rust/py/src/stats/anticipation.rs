//! Bridge of `crossbook::stats::{decay, posting}`: what forecasts are made of, and what a posted order would have got.

use crossbook::stats::decay;
use crossbook::stats::posting::{self, Posted, Touches, Trades};
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::errors;

/// Exponentially decayed sums of the past at given times.
#[pyfunction]
#[pyo3(signature = (times, values, at, decays, /))]
fn decayed_sums<'py>(
    py: Python<'py>,
    times: PyReadonlyArray1<'py, i64>,
    values: PyReadonlyArray1<'py, f64>,
    at: PyReadonlyArray1<'py, i64>,
    decays: PyReadonlyArray1<'py, i64>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let (times, values, at, decays) = (times.as_slice()?, values.as_slice()?, at.as_slice()?, decays.as_slice()?);
    let found = py.detach(|| decay::decayed_sums(times, values, at, decays)).map_err(errors::data)?;
    found.into_pyarray(py).reshape([at.len(), decays.len()])
}

/// Orders in columns: from, until, side, price, ahead.
type Orders<'py> = (
    PyReadonlyArray1<'py, i64>,
    PyReadonlyArray1<'py, i64>,
    PyReadonlyArray1<'py, i8>,
    PyReadonlyArray1<'py, f64>,
    PyReadonlyArray1<'py, f64>,
);

/// Trades in columns: times, prices, sizes, sides.
type TradeColumns<'py> =
    (PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, f64>, PyReadonlyArray1<'py, f64>, PyReadonlyArray1<'py, i8>);

/// Touches in columns: times, bids, asks.
type TouchColumns<'py> = (PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, f64>, PyReadonlyArray1<'py, f64>);

/// When each order would have been filled; -1: it would not.
#[pyfunction]
#[pyo3(signature = (orders, trades, touches, /))]
fn first_fills<'py>(
    py: Python<'py>,
    orders: Orders<'py>,
    trades: TradeColumns<'py>,
    touches: TouchColumns<'py>,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let (from, until, side) = (orders.0.as_slice()?, orders.1.as_slice()?, orders.2.as_slice()?);
    let (price, ahead) = (orders.3.as_slice()?, orders.4.as_slice()?);
    let count = from.len();
    if [until.len(), side.len(), price.len(), ahead.len()].iter().any(|&length| length != count) {
        return Err(errors::data("orders: expected columns of one length"));
    }
    let trades = Trades {
        times: trades.0.as_slice()?,
        prices: trades.1.as_slice()?,
        sizes: trades.2.as_slice()?,
        sides: trades.3.as_slice()?,
    };
    let touches = Touches { times: touches.0.as_slice()?, bids: touches.1.as_slice()?, asks: touches.2.as_slice()? };
    let found = py.detach(|| {
        let orders: Vec<Posted> = (0..count)
            .map(|k| Posted { from: from[k], until: until[k], side: side[k], price: price[k], ahead: ahead[k] })
            .collect();
        posting::first_fills(&orders, trades, touches)
    });
    let found: Vec<i64> = found.map_err(errors::data)?.into_iter().map(|time| time.unwrap_or(-1)).collect();
    Ok(found.into_pyarray(py))
}

/// Adds these to the extension module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(decayed_sums, m)?)?;
    m.add_function(wrap_pyfunction!(first_fills, m)?)
}
