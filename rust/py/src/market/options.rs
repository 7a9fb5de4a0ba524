//! What a market is made of besides its instruments, as Python says it.

use std::collections::HashMap;

use crossbook::instrument::Instrument as Described;
use crossbook::market::convert::Rate;
use crossbook::units::Unit;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyMapping, PyString};

use crate::errors;
use crate::instrument::Instrument;

/// Rates by currency: an index, an instrument of the market, or exact decimal text.
pub fn fx(given: Option<&Bound<'_, PyAny>>, instruments: &[Described]) -> PyResult<Vec<(String, Rate)>> {
    let Some(given) = given else { return Ok(Vec::new()) };
    let given = given.cast::<PyMapping>().map_err(|_| errors::data("fx: expected a mapping of currencies to rates"))?;
    let mut rates = Vec::new();
    for item in given.items()?.iter() {
        let (currency, rate): (String, Bound<'_, PyAny>) = item.extract()?;
        rates.push((currency.clone(), one_rate(&currency, &rate, instruments)?));
    }
    Ok(rates)
}

fn one_rate(currency: &str, rate: &Bound<'_, PyAny>, instruments: &[Described]) -> PyResult<Rate> {
    let expected = "expected an instrument of the market, its index, or a fixed rate as decimal text such as \"1\"";
    if let Ok(instrument) = rate.cast::<Instrument>() {
        let wanted = &instrument.get().inner;
        let found = instruments.iter().position(|one| one == wanted);
        return found.map(Rate::Book).ok_or_else(|| {
            errors::data(format!("fx {currency:?}: expected an instrument of the market, found {}", wanted.name()))
        });
    }
    if rate.is_instance_of::<PyBool>() || rate.is_instance_of::<PyFloat>() {
        return Err(errors::data(format!("fx {currency:?}: {expected}")));
    }
    if let Ok(index) = rate.extract::<usize>() {
        return Ok(Rate::Book(index));
    }
    // Decimal text, or a Decimal.
    let text = rate.str()?.to_string();
    let unit = Unit::parse(&text).map_err(|_| errors::data(format!("fx {currency:?}: {expected}, found {text:?}")))?;
    Ok(Rate::Fixed(unit))
}

/// One value for all instruments, or a sequence of one each, or a mapping by name.
fn by_instrument<T: Clone>(
    what: &str,
    given: &Bound<'_, PyAny>,
    names: &[Described],
    default: impl Fn(&Described) -> T,
    one: impl Fn(&Bound<'_, PyAny>) -> PyResult<T>,
) -> PyResult<Vec<T>> {
    if let Ok(given) = given.cast::<PyMapping>() {
        let mut found: HashMap<usize, T> = HashMap::new();
        for item in given.items()?.iter() {
            let (name, value): (String, Bound<'_, PyAny>) = item.extract()?;
            let mut any = false;
            for (index, _) in names.iter().enumerate().filter(|(_, known)| is_named(known, &name)) {
                found.insert(index, one(&value)?);
                any = true;
            }
            if !any {
                let known = names.iter().map(Described::name).collect::<Vec<_>>().join(", ");
                return Err(errors::data(format!("{what}: {name:?} is none of the instruments {known}")));
            }
        }
        return Ok(names
            .iter()
            .enumerate()
            .map(|(at, known)| found.remove(&at).unwrap_or_else(|| default(known)))
            .collect());
    }
    let is_text = given.is_instance_of::<PyString>() || given.is_instance_of::<PyDict>();
    match given.try_iter() {
        Ok(values) if !is_text => {
            let values = values.map(|value| one(&value?)).collect::<PyResult<Vec<_>>>()?;
            if values.len() == names.len() {
                return Ok(values);
            }
            let (expected, found) = (names.len(), values.len());
            Err(errors::data(format!("{what}: expected {expected}, one an instrument, found {found}")))
        }
        _ => Ok(vec![one(given)?; names.len()]),
    }
}

/// Whether a name means an instrument: `usdm`, `binance-usdm`, a symbol, `venue:symbol`, a unified name.
pub fn is_named(one: &Described, name: &str) -> bool {
    let wanted = name.to_ascii_lowercase();
    [one.venue.alias().to_owned(), one.venue.name().to_owned(), one.symbol.clone(), one.name(), one.unified()]
        .iter()
        .any(|known| known.to_ascii_lowercase() == wanted)
}

/// Taker fees in parts per billion: the venues' base tiers, fees in bp, or costs.
pub fn fees(given: Option<&Bound<'_, PyAny>>, instruments: &[Described]) -> PyResult<Vec<i64>> {
    let base = |one: &Described| one.venue.base_taker_fee();
    let Some(given) = given else { return Ok(instruments.iter().map(base).collect()) };
    by_instrument("costs", given, instruments, base, fee)
}

/// A fee in bp, or the proportional part of a cost; a fee finer than 10^-5 bp is rounded up.
fn fee(given: &Bound<'_, PyAny>) -> PyResult<i64> {
    // `crossbook.costs`: rate in bp and fixed amount. What is fixed is no part of a price per unit.
    let bp = if given.hasattr("affine")? { given.call_method0("affine")?.get_item(0)? } else { given.clone() };
    let wrong =
        || errors::data("costs: expected taker fees in bp between -10,000 and 10,000, or costs of crossbook.costs");
    if bp.is_instance_of::<PyBool>() {
        return Err(wrong());
    }
    let bp: f64 = bp.extract().map_err(|_| wrong())?;
    let ppb = bp * 1e5;
    if !ppb.is_finite() || ppb.abs() >= 1e9 {
        return Err(wrong());
    }
    // 0.1 bp is no binary fraction: what is within a thousandth of a part per billion of a whole number is that.
    let whole = if (ppb - ppb.round()).abs() < 1e-3 { ppb.round() } else { ppb.ceil() };
    #[allow(clippy::cast_possible_truncation)] // below 1e9
    Ok(whole as i64)
}

/// Limits of staleness in ns, from seconds; infinite: never stale.
pub fn stale_after(given: Option<&Bound<'_, PyAny>>, instruments: &[Described]) -> PyResult<Vec<i64>> {
    let base = |_: &Described| crossbook::market::STALE_AFTER;
    let Some(given) = given else { return Ok(instruments.iter().map(base).collect()) };
    by_instrument("stale_after", given, instruments, base, |one| {
        let wrong = || errors::data("stale_after: expected seconds from 0 to a century, or infinity for never");
        let seconds: f64 = one.extract().map_err(|_| wrong())?;
        if seconds == f64::INFINITY {
            return Ok(i64::MAX);
        }
        if !(0.0..=3.2e9).contains(&seconds) {
            return Err(wrong());
        }
        #[allow(clippy::cast_possible_truncation)] // at most 3.2e18
        Ok((seconds * 1e9).round() as i64)
    })
}
