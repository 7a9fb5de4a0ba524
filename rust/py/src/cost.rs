//! `CostSchedule`: what trades cost, in exact decimals as text.

use crossbook::cost::{
    Amount, Borrow, Component, Cost, CostError, Currency, Fixed, Funding, FundingTerms, Gas, Liquidity, Proportional,
    Rate, Rollup, Schedule, State, Tier, Tiers, Trade,
};
use crossbook::units::Nanos;
use pyo3::prelude::*;
use std::sync::Arc;

use crate::{book, errors, instrument};

/// Volume, base ask, native ask, base fee in wei, funding as (rate in 1e-10, due, interval), now, holding.
type StateFields = (String, Option<String>, Option<String>, Option<u64>, Option<(i64, i64, i64)>, i64, i64);

/// A sum of costs.
#[pyclass(frozen, module = "crossbook._core")]
#[derive(Clone, Default)]
pub struct CostSchedule {
    pub inner: Schedule,
}

fn amount(text: &str) -> PyResult<Amount> {
    text.parse().map_err(|error| errors::cost(&error))
}

pub fn state(fields: StateFields) -> PyResult<State> {
    let (volume, base_ask, native_ask, base_fee, funding, now, holding) = fields;
    Ok(State {
        volume: amount(&volume)?,
        base_ask: base_ask.as_deref().map(amount).transpose()?,
        native_ask: native_ask.as_deref().map(amount).transpose()?,
        base_fee,
        funding: funding.map(|(rate, due, interval)| FundingTerms { rate, due: Nanos(due), interval }),
        now: Nanos(now),
        holding,
    })
}

pub fn liquidity(text: &str) -> PyResult<Liquidity> {
    match text {
        "maker" => Ok(Liquidity::Maker),
        "taker" => Ok(Liquidity::Taker),
        _ => Err(errors::data(format!("liquidity {text:?}: expected \"maker\" or \"taker\""))),
    }
}

fn one(part: Result<impl Into<Component>, CostError>) -> PyResult<CostSchedule> {
    let part = part.map_err(|error| errors::cost(&error))?;
    Ok(CostSchedule { inner: Schedule::new().with(part) })
}

#[pymethods]
impl CostSchedule {
    #[staticmethod]
    fn base_of(venue: &str) -> PyResult<Self> {
        Ok(Self { inner: Schedule::base_of(instrument::venue(venue)?) })
    }

    #[staticmethod]
    fn tiers(tiers: Vec<(String, i64, i64)>) -> PyResult<Self> {
        let tier = |(from, maker, taker): (String, i64, i64)| {
            Ok(Tier { from: amount(&from)?, maker: Rate(maker), taker: Rate(taker) })
        };
        one(Tiers::new(tiers.into_iter().map(tier).collect::<PyResult<_>>()?))
    }

    #[staticmethod]
    fn proportional(rate: i64) -> PyResult<Self> {
        one(Proportional::new(Rate(rate)))
    }

    #[staticmethod]
    fn fixed(fee: &str) -> PyResult<Self> {
        one(Fixed::new(amount(fee)?))
    }

    #[staticmethod]
    fn transfer(currency: &str, fixed: &str, rate: i64, time: i64) -> PyResult<Self> {
        let currency = match currency {
            "base" => Currency::Base,
            "quote" => Currency::Quote,
            "native" => Currency::Native,
            _ => {
                let message = format!("currency {currency:?}: expected \"base\", \"quote\" or \"native\"");
                return Err(errors::data(message));
            }
        };
        one(crossbook::cost::Transfer::new(currency, amount(fixed)?, Rate(rate), time))
    }

    #[staticmethod]
    fn funding() -> PyResult<Self> {
        one(Ok(Funding))
    }

    #[staticmethod]
    fn borrow(rate: i64, period: i64) -> PyResult<Self> {
        one(Borrow::new(Rate(rate), period))
    }

    #[staticmethod]
    #[pyo3(signature = (used, priority_fee, fee_cap))]
    fn gas(used: u64, priority_fee: u64, fee_cap: Option<u64>) -> PyResult<Self> {
        one(Ok(Gas { used, priority_fee, fee_cap }))
    }

    #[staticmethod]
    fn rollup(size: u64, fee: &str) -> PyResult<Self> {
        one(Ok(Rollup { size, fee: Arc::new(amount(fee)?) }))
    }

    #[staticmethod]
    fn sum(parts: Vec<PyRef<'_, Self>>) -> Self {
        let parts = parts.iter().flat_map(|part| part.inner.parts().iter().cloned());
        Self { inner: parts.fold(Schedule::new(), Schedule::with) }
    }

    #[getter]
    fn time(&self) -> i64 {
        self.inner.time()
    }

    fn cost(&self, side: u8, maker_or_taker: &str, notional: &str, state: StateFields) -> PyResult<String> {
        let trade = trade(side, maker_or_taker, notional)?;
        let cost = self.inner.cost(&trade, &self::state(state)?).map_err(|error| errors::cost(&error))?;
        Ok(cost.to_string())
    }

    fn breakdown(
        &self,
        side: u8,
        maker_or_taker: &str,
        notional: &str,
        state: StateFields,
    ) -> PyResult<Vec<(&'static str, String)>> {
        let (trade, state) = (trade(side, maker_or_taker, notional)?, self::state(state)?);
        let parts = self.inner.breakdown(&trade, &state);
        parts.map(|part| part.map(|(name, cost)| (name, cost.to_string())).map_err(|e| errors::cost(&e))).collect()
    }

    fn affine(&self, side: u8, maker_or_taker: &str, state: StateFields) -> PyResult<(i64, String)> {
        let (side, liquidity) = (book::side(side)?, liquidity(maker_or_taker)?);
        let affine = self.inner.affine(side, liquidity, &self::state(state)?).map_err(|error| errors::cost(&error))?;
        Ok((affine.rate.0, affine.fixed.to_string()))
    }

    fn __repr__(&self) -> String {
        let names: Vec<_> = self.inner.parts().iter().map(Component::name).collect();
        format!("CostSchedule({})", names.join(" + "))
    }
}

fn trade(side: u8, maker_or_taker: &str, notional: &str) -> PyResult<Trade> {
    let trade = Trade::new(book::side(side)?, liquidity(maker_or_taker)?, amount(notional)?);
    trade.map_err(|error| errors::cost(&error))
}

#[pyfunction]
#[pyo3(signature = (base_fee, gas_used, gas_limit, /))]
pub fn next_base_fee(base_fee: u64, gas_used: u64, gas_limit: u64) -> PyResult<u64> {
    crossbook::cost::next_base_fee(base_fee, gas_used, gas_limit).map_err(|error| errors::cost(&error))
}

#[pyfunction]
#[pyo3(signature = (base_fee, blocks, /))]
pub fn highest_base_fee(base_fee: u64, blocks: u32) -> PyResult<u64> {
    crossbook::cost::highest_base_fee(base_fee, blocks).map_err(|error| errors::cost(&error))
}
