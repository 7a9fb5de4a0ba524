//! Bridge of `crossbook::pool`: Python's whole numbers in, whole numbers out.

use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow_array::types::{Float64Type, UInt8Type};
use crossbook::pool::network::{Network, Objective};
use crossbook::pool::{self as core, Exact, Fee, Pool, PoolError, Ratio, Token, Trade, U256};
use crossbook::units::{Price, Side, Unit};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyTuple};

use crate::book::side;
use crate::errors;
use crate::table::{self, Table, column};

fn pool_error(error: PoolError) -> PyErr {
    errors::pool(&error)
}

pub fn token(code: u8) -> PyResult<Token> {
    match code {
        0 => Ok(Token::Zero),
        1 => Ok(Token::One),
        _ => Err(errors::pool(&format!("token {code}: expected 0 or 1"))),
    }
}

/// A whole number of Python, of at most 256 bits.
struct Whole(U256);

impl<'py> FromPyObject<'_, 'py> for Whole {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(small) = value.extract::<u64>() {
            return Ok(Self(U256::from(small)));
        }
        let wrong = || errors::pool(&format!("amount {}: expected a whole number from 0 to 2^256 - 1", value.as_any()));
        let number = value.call_method0("__index__").map_err(|_| wrong())?;
        let bytes = number.call_method1("to_bytes", (32, "little")).map_err(|_| wrong())?;
        let bytes = bytes.cast::<PyBytes>()?.as_bytes();
        U256::try_from_le_slice(bytes).map(Self).ok_or_else(wrong)
    }
}

pub fn whole<'py>(py: Python<'py>, value: &U256) -> PyResult<Bound<'py, PyAny>> {
    if let Ok(small) = u64::try_from(*value) {
        return Ok(small.into_pyobject(py)?.into_any());
    }
    let bytes = PyBytes::new(py, &value.to_le_bytes::<32>());
    py.get_type::<PyInt>().call_method1("from_bytes", (bytes, "little"))
}

fn pair<'py>(py: Python<'py>, first: &U256, second: &U256) -> PyResult<Bound<'py, PyTuple>> {
    PyTuple::new(py, [whole(py, first)?, whole(py, second)?])
}

/// Any number that can say which fraction it is: int, float, Fraction, Decimal.
struct Fraction(Ratio);

impl<'py> FromPyObject<'_, 'py> for Fraction {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let wrong = || errors::pool(&format!("price {}: expected a number above 0", value.as_any()));
        let fraction = value.call_method0("as_integer_ratio").map_err(|_| wrong())?;
        let (numerator, denominator): (Whole, Whole) = fraction.extract().map_err(|_| wrong())?;
        Ratio::new(numerator.0, denominator.0).map(Self).map_err(pool_error)
    }
}

/// How raw amounts read as a book's prices and sizes.
#[pyclass(frozen, eq, module = "crossbook._core")]
#[derive(PartialEq)]
pub struct Scale {
    inner: core::Scale,
}

#[pymethods]
impl Scale {
    #[new]
    #[pyo3(signature = (*, base, decimals, price_unit, size_unit))]
    fn new(base: u8, decimals: (u8, u8), price_unit: &str, size_unit: &str) -> PyResult<Self> {
        let unit = |text: &str| Unit::parse(text).map_err(|error| errors::pool(&format!("unit {text:?}: {error}")));
        let (price_unit, size_unit) = (unit(price_unit)?, unit(size_unit)?);
        let scale = core::Scale::new(token(base)?, [decimals.0, decimals.1], price_unit, size_unit);
        scale.map(|inner| Self { inner }).map_err(pool_error)
    }

    fn __repr__(&self) -> String {
        let scale = &self.inner;
        format!(
            "Scale(base={}, price unit {}, size unit {})",
            scale.base() as u8,
            scale.price_unit(),
            scale.size_unit()
        )
    }
}

/// What a swap of concentrated liquidity moves and where it leaves the pool.
#[pyclass(frozen, module = "crossbook._core")]
pub struct Swap {
    inner: core::Swap,
}

#[pymethods]
impl Swap {
    #[getter]
    fn amount_in<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        whole(py, &self.inner.amount_in)
    }

    #[getter]
    fn amount_out<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        whole(py, &self.inner.amount_out)
    }

    #[getter]
    fn fee<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        whole(py, &self.inner.fee)
    }

    #[getter]
    fn sqrt_price<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        whole(py, &self.inner.sqrt_price)
    }

    #[getter]
    fn tick(&self) -> i32 {
        self.inner.tick
    }

    #[getter]
    fn liquidity(&self) -> u128 {
        self.inner.liquidity
    }

    #[getter]
    fn steps(&self) -> u32 {
        self.inner.steps
    }

    #[getter]
    fn crossed(&self) -> u32 {
        self.inner.crossed
    }

    #[getter]
    fn is_filled(&self) -> bool {
        self.inner.is_filled
    }

    fn __repr__(&self) -> String {
        let swap = &self.inner;
        let (paid, got, tick) = (swap.amount_in, swap.amount_out, swap.tick);
        format!("Swap({paid} of token {} for {got}, tick after {tick})", swap.token_in as u8)
    }
}

/// A pool of either kind, behind the classes that Python sees.
struct Shared(Mutex<Pool>);

impl Shared {
    fn new(pool: impl Into<Pool>) -> Self {
        Self(Mutex::new(pool.into()))
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arbitrage<'py>(&self, py: Python<'py>, outside: &Ratio) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let found = self.lock().arbitrage(outside).map_err(pool_error)?;
        found
            .map(|found| {
                let Trade { token_in, amount_in, amount_out } = found.trade;
                let (paid, got) = (whole(py, &amount_in)?, whole(py, &amount_out)?);
                (token_in as u8, paid, got, found.profit).into_pyobject(py)
            })
            .transpose()
    }

    fn quote(&self, scale: &Scale, step: i64) -> PyResult<(i64, i64, i64, i64)> {
        let quote = self.lock().quote(&scale.inner, step).map_err(pool_error)?;
        Ok((quote.bid.0, quote.bid_size.0, quote.ask.0, quote.ask_size.0))
    }

    fn levels<'py>(&self, py: Python<'py>, scale: &Scale, n: usize, step: i64) -> PyResult<Bound<'py, PyAny>> {
        let (mut sides, mut prices, mut sizes, mut ends) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let scale = &scale.inner;
        py.detach(|| {
            let pool = self.lock();
            for side in [Side::Bid, Side::Ask] {
                for rung in pool.levels(side, scale, step)?.take(n) {
                    sides.push(side as u8);
                    prices.push(scale.price_unit().to_f64(rung.price.0));
                    sizes.push(scale.size_unit().to_f64(rung.size.0));
                    ends.push(scale.price_unit().to_f64(rung.end.0));
                }
            }
            Ok(())
        })
        .map_err(pool_error)?;
        let batch = table::batch([
            ("side", column::<UInt8Type>(sides)),
            ("price", column::<Float64Type>(prices)),
            ("size", column::<Float64Type>(sizes)),
            ("end", column::<Float64Type>(ends)),
        ])?;
        py.import("polars")?.call_method1("DataFrame", (Table::new(batch),))
    }

    fn size_at_marginal(&self, side_code: u8, limit: i64, scale: &Scale) -> PyResult<i64> {
        let found = self.lock().size_at_marginal(side(side_code)?, Price(limit), &scale.inner);
        found.map(|(size, _)| size.0).map_err(pool_error)
    }
}

/// What both classes offer, word for word: pyo3 has no methods that classes share.
macro_rules! pool_class {
    ($name:ident { $($own:item)* }) => {
        #[pymethods]
        impl $name {
            $($own)*

            #[pyo3(signature = (token_in, amount, /))]
            fn quote_in<'py>(&self, py: Python<'py>, token_in: u8, amount: Whole) -> PyResult<Bound<'py, PyAny>> {
                let trade = self.shared.lock().quote_in(token(token_in)?, &amount.0).map_err(pool_error)?;
                whole(py, &trade.amount_out)
            }

            #[pyo3(signature = (token_in, amount, /))]
            fn quote_out<'py>(&self, py: Python<'py>, token_in: u8, amount: Whole) -> PyResult<Bound<'py, PyAny>> {
                let trade = self.shared.lock().quote_out(token(token_in)?, &amount.0).map_err(pool_error)?;
                whole(py, &trade.amount_in)
            }

            #[pyo3(signature = (token_in, amount, /))]
            fn swap_in<'py>(&self, py: Python<'py>, token_in: u8, amount: Whole) -> PyResult<Bound<'py, PyAny>> {
                let trade = self.shared.lock().swap_in(token(token_in)?, &amount.0).map_err(pool_error)?;
                whole(py, &trade.amount_out)
            }

            #[pyo3(signature = (token_in, amount, /))]
            fn swap_out<'py>(&self, py: Python<'py>, token_in: u8, amount: Whole) -> PyResult<Bound<'py, PyAny>> {
                let trade = self.shared.lock().swap_out(token(token_in)?, &amount.0).map_err(pool_error)?;
                whole(py, &trade.amount_in)
            }

            #[pyo3(signature = (token_in, limit, /))]
            fn to_price<'py>(&self, py: Python<'py>, token_in: u8, limit: Fraction) -> PyResult<Bound<'py, PyTuple>> {
                let trade = self.shared.lock().to_price(token(token_in)?, &limit.0).map_err(pool_error)?;
                pair(py, &trade.amount_in, &trade.amount_out)
            }

            #[pyo3(signature = (outside, /))]
            fn arbitrage<'py>(&self, py: Python<'py>, outside: Fraction) -> PyResult<Option<Bound<'py, PyTuple>>> {
                self.shared.arbitrage(py, &outside.0)
            }

            #[getter]
            fn mid(&self) -> f64 {
                self.shared.lock().mid()
            }

            #[pyo3(signature = (token_in, /))]
            fn marginal_price(&self, token_in: u8) -> PyResult<f64> {
                Ok(self.shared.lock().marginal_price(token(token_in)?))
            }

            #[pyo3(signature = (scale, /, *, step=1))]
            fn quote(&self, scale: &Scale, step: i64) -> PyResult<(i64, i64, i64, i64)> {
                self.shared.quote(scale, step)
            }

            #[pyo3(signature = (scale, /, *, n=10, step=1))]
            fn levels<'py>(&self, py: Python<'py>, scale: &Scale, n: usize, step: i64) -> PyResult<Bound<'py, PyAny>> {
                self.shared.levels(py, scale, n, step)
            }

            #[pyo3(signature = (side_code, limit, scale, /))]
            fn size_at_marginal(&self, side_code: u8, limit: i64, scale: &Scale) -> PyResult<i64> {
                self.shared.size_at_marginal(side_code, limit, scale)
            }

            fn copy(&self) -> Self {
                let pool = self.shared.lock().clone();
                Self { shared: Shared::new(pool) }
            }

            fn __copy__(&self) -> Self {
                self.copy()
            }

            fn __deepcopy__(&self, _memo: &Bound<'_, PyAny>) -> Self {
                self.copy()
            }

            fn __eq__(&self, other: &Self) -> bool {
                let ours = self.shared.lock().clone();
                ours == *other.shared.lock()
            }
        }
    };
}

/// A constant-product pool.
#[pyclass(frozen, module = "crossbook._core")]
pub struct ConstantProduct {
    shared: Shared,
}

impl ConstantProduct {
    fn inner(&self) -> core::ConstantProduct {
        match &*self.shared.lock() {
            Pool::ConstantProduct(pool) => *pool,
            Pool::Concentrated(_) => unreachable!("made by its constructor"),
        }
    }
}

pool_class!(ConstantProduct {
    #[new]
    #[pyo3(signature = (reserve_0, reserve_1, /, *, fee=(3, 1_000)))]
    fn new(reserve_0: Whole, reserve_1: Whole, fee: (u32, u32)) -> PyResult<Self> {
        let reserve = |token, found: Whole| {
            u128::try_from(found.0).map_err(|_| pool_error(PoolError::Reserve { token, found: found.0 }))
        };
        let fee = Fee::new(fee.0, fee.1).map_err(pool_error)?;
        let (zero, one) = (reserve(Token::Zero, reserve_0)?, reserve(Token::One, reserve_1)?);
        let pool = core::ConstantProduct::new(zero, one, fee).map_err(pool_error)?;
        Ok(Self { shared: Shared::new(pool) })
    }

    #[getter]
    fn reserves(&self) -> (u128, u128) {
        let [zero, one] = self.inner().reserves();
        (zero, one)
    }

    #[getter]
    fn fee(&self) -> (u32, u32) {
        let fee = self.inner().fee();
        (fee.parts(), fee.whole())
    }

    fn __repr__(&self) -> String {
        let pool = self.inner();
        let ([zero, one], fee) = (pool.reserves(), pool.fee());
        format!("ConstantProduct({zero}, {one}, fee=({}, {}))", fee.parts(), fee.whole())
    }
});

/// A pool of concentrated liquidity.
#[pyclass(frozen, module = "crossbook._core")]
pub struct Concentrated {
    shared: Shared,
}

impl Concentrated {
    fn with<T>(&self, ask: impl FnOnce(&mut core::Concentrated) -> T) -> T {
        match &mut *self.shared.lock() {
            Pool::Concentrated(pool) => ask(pool),
            Pool::ConstantProduct(_) => unreachable!("made by its constructor"),
        }
    }
}

/// Which end of a swap is given.
fn exact(amount_in: Option<Whole>, amount_out: Option<Whole>) -> PyResult<Exact> {
    match (amount_in, amount_out) {
        (Some(amount), None) => Ok(Exact::In(amount.0)),
        (None, Some(amount)) => Ok(Exact::Out(amount.0)),
        _ => Err(errors::pool(&"expected amount_in or amount_out, one of them")),
    }
}

pool_class!(Concentrated {
    #[new]
    #[pyo3(signature = (sqrt_price, /, *, spacing=60, fee=3_000, tick=None, ticks=Vec::new()))]
    fn new(sqrt_price: Whole, spacing: i32, fee: u32, tick: Option<i32>, ticks: Vec<(i32, i128, u128)>) -> PyResult<Self> {
        let fee = Fee::pips(fee).map_err(pool_error)?;
        let pool = core::Concentrated::new(sqrt_price.0, spacing, fee).map_err(pool_error)?;
        let ticks = ticks.into_iter().map(|(index, net, gross)| core::Tick::new(index, net, gross));
        let ticks = ticks.collect::<Result<_, _>>().map_err(pool_error)?;
        let tick = tick.unwrap_or_else(|| pool.tick());
        let pool = core::Concentrated::from_ticks(sqrt_price.0, tick, spacing, fee, ticks).map_err(pool_error)?;
        Ok(Self { shared: Shared::new(pool) })
    }

    #[getter]
    fn sqrt_price<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        whole(py, &self.with(|pool| pool.sqrt_price()))
    }

    #[getter]
    fn tick(&self) -> i32 {
        self.with(|pool| pool.tick())
    }

    #[getter]
    fn liquidity(&self) -> u128 {
        self.with(|pool| pool.liquidity())
    }

    #[getter]
    fn spacing(&self) -> i32 {
        self.with(|pool| pool.spacing())
    }

    #[getter]
    fn fee(&self) -> u32 {
        self.with(|pool| pool.fee().parts())
    }

    #[getter]
    fn ticks(&self) -> Vec<(i32, i128, u128)> {
        self.with(|pool| pool.ticks().iter().map(|tick| (tick.index, tick.net, tick.gross)).collect())
    }

    #[pyo3(signature = (lower, upper, liquidity, /))]
    fn mint<'py>(&self, py: Python<'py>, lower: i32, upper: i32, liquidity: u128) -> PyResult<Bound<'py, PyTuple>> {
        let (zero, one) = self.with(|pool| pool.mint(lower, upper, liquidity)).map_err(pool_error)?;
        pair(py, &zero, &one)
    }

    #[pyo3(signature = (lower, upper, liquidity, /))]
    fn burn<'py>(&self, py: Python<'py>, lower: i32, upper: i32, liquidity: u128) -> PyResult<Bound<'py, PyTuple>> {
        let (zero, one) = self.with(|pool| pool.burn(lower, upper, liquidity)).map_err(pool_error)?;
        pair(py, &zero, &one)
    }

    #[pyo3(signature = (token_in, /, *, amount_in=None, amount_out=None, limit=None))]
    fn swap(
        &self,
        token_in: u8,
        amount_in: Option<Whole>,
        amount_out: Option<Whole>,
        limit: Option<Whole>,
    ) -> PyResult<Swap> {
        let (token_in, exact, limit) = (token(token_in)?, exact(amount_in, amount_out)?, limit.map(|limit| limit.0));
        let swap = self.with(|pool| pool.swap(token_in, exact, limit));
        swap.map(|inner| Swap { inner }).map_err(pool_error)
    }

    #[pyo3(signature = (token_in, /, *, amount_in=None, amount_out=None, limit=None))]
    fn quote_swap(
        &self,
        token_in: u8,
        amount_in: Option<Whole>,
        amount_out: Option<Whole>,
        limit: Option<Whole>,
    ) -> PyResult<Swap> {
        let (token_in, exact, limit) = (token(token_in)?, exact(amount_in, amount_out)?, limit.map(|limit| limit.0));
        let swap = self.with(|pool| pool.quote(token_in, exact, limit));
        swap.map(|inner| Swap { inner }).map_err(pool_error)
    }

    fn __repr__(&self) -> String {
        self.with(|pool| {
            let (tick, liquidity, ticks) = (pool.tick(), pool.liquidity(), pool.ticks().len());
            let (spacing, fee) = (pool.spacing(), pool.fee().parts());
            format!("Concentrated(tick {tick}, liquidity {liquidity}, {ticks} ticks, spacing={spacing}, fee={fee})")
        })
    }
});

/// Either class.
#[derive(FromPyObject)]
pub enum AnyPool<'py> {
    ConstantProduct(Bound<'py, ConstantProduct>),
    Concentrated(Bound<'py, Concentrated>),
}

impl AnyPool<'_> {
    pub fn pool(&self) -> Pool {
        match self {
            Self::ConstantProduct(pool) => pool.get().shared.lock().clone(),
            Self::Concentrated(pool) => pool.get().shared.lock().clone(),
        }
    }
}

/// The square-root price of a tick.
#[pyfunction]
#[pyo3(signature = (tick, /))]
fn sqrt_price_at(py: Python<'_>, tick: i32) -> PyResult<Bound<'_, PyAny>> {
    whole(py, &core::tick::sqrt_price_at(tick).map_err(pool_error)?)
}

/// The tick of a square-root price.
#[pyfunction]
#[pyo3(signature = (sqrt_price, /))]
fn tick_at(sqrt_price: Whole) -> PyResult<i32> {
    core::tick::tick_at(&sqrt_price.0).map_err(pool_error)
}

type CycleFound<'py> = (f64, f64, Vec<Bound<'py, PyTuple>>, Bound<'py, PyAny>);

/// Best trade around a cycle: input, profit, whole amounts in and out by pool, whole profit.
#[pyfunction]
#[pyo3(signature = (legs, /))]
fn pool_cycle<'py>(py: Python<'py>, legs: Vec<(Bound<'py, ConstantProduct>, u8)>) -> PyResult<Option<CycleFound<'py>>> {
    let legs = legs.iter().map(|(pool, token_in)| Ok((pool.get().inner(), token(*token_in)?)));
    let legs = legs.collect::<PyResult<Vec<_>>>()?;
    let legs: Vec<_> = legs.iter().map(|(pool, token_in)| (pool, *token_in)).collect();
    let found = core::arbitrage::cycle(&legs).map_err(pool_error)?;
    found
        .map(|found| {
            let trades = found.trades.iter().map(|trade| pair(py, &trade.amount_in, &trade.amount_out));
            let trades = trades.collect::<PyResult<Vec<_>>>()?;
            Ok((found.input, found.profit, trades, whole(py, &found.exact_profit)?))
        })
        .transpose()
}

type RouteFound<'py> = (Vec<Bound<'py, PyTuple>>, Vec<Bound<'py, PyTuple>>, f64, f64, Vec<f64>, u32);

/// The best trades with a network: trades, net by token as gained and spent, value, bound, prices, steps.
#[pyfunction]
#[pyo3(signature = (tokens, pools, values, holdings, /))]
fn route_pools<'py>(
    py: Python<'py>,
    tokens: usize,
    pools: Vec<(AnyPool<'py>, usize, usize)>,
    values: Vec<f64>,
    holdings: Vec<Whole>,
) -> PyResult<RouteFound<'py>> {
    let pools: Vec<_> = pools.iter().map(|(pool, zero, one)| (pool.pool(), [*zero, *one])).collect();
    let holdings = holdings.into_iter().map(|held| held.0).collect();
    let route = py
        .detach(|| Network::new(tokens, pools)?.route(&Objective { values, holdings }))
        .map_err(|error| errors::pool(&error))?;
    let trades = route.trades.iter().map(|(index, trade)| {
        let (paid, got) = (whole(py, &trade.amount_in)?, whole(py, &trade.amount_out)?);
        (*index, trade.token_in as u8, paid, got).into_pyobject(py)
    });
    let trades = trades.collect::<PyResult<Vec<_>>>()?;
    let net = route.net.iter().map(|(gained, spent)| pair(py, gained, spent)).collect::<PyResult<Vec<_>>>()?;
    Ok((trades, net, route.value, route.bound, route.prices, route.steps))
}

/// Adds these classes and functions to the extension module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Scale>()?;
    m.add_class::<Swap>()?;
    m.add_class::<ConstantProduct>()?;
    m.add_class::<Concentrated>()?;
    m.add_function(wrap_pyfunction!(sqrt_price_at, m)?)?;
    m.add_function(wrap_pyfunction!(tick_at, m)?)?;
    m.add_function(wrap_pyfunction!(pool_cycle, m)?)?;
    m.add_function(wrap_pyfunction!(route_pools, m)?)
}
