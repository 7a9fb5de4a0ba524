//! The best bid and offer over venues, as Python reads it.

use crossbook::market::convert::Units;
use crossbook::market::{BestQuote, Market, NetCross, venues_of};
use crossbook::units::Nanos;
use pyo3::prelude::*;

/// The best bid and offer over the venues that count. Prices in quote currency, sizes in base currency.
#[pyclass(frozen, module = "crossbook._core")]
pub struct MarketQuote {
    quote: BestQuote,
    cross: Option<NetCross>,
    units: Units,
    now: Option<Nanos>,
}

impl MarketQuote {
    pub fn of(market: &Market) -> Self {
        Self { quote: market.quote(), cross: market.cross(), units: market.units().clone(), now: market.now() }
    }

    fn price(&self, venues: u64, count: i64) -> Option<f64> {
        (venues != 0).then(|| self.units.price.to_f64(count))
    }

    /// A price that is no whole count.
    fn between(&self, count: f64) -> f64 {
        let unit = self.units.price.as_f64();
        if unit < 1.0 { count / (1.0 / unit).round() } else { count * unit }
    }
}

/// A size of many venues as 64 bits; what is beyond is no size that trades.
pub fn saturated(size: i128) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

#[pymethods]
impl MarketQuote {
    #[getter]
    fn ts(&self) -> Option<i64> {
        self.now.map(|now| now.0)
    }

    #[getter]
    fn bid(&self) -> Option<f64> {
        self.price(self.quote.bid_venues, self.quote.bid)
    }

    #[getter]
    fn bid_size(&self) -> f64 {
        self.units.size.to_f64(saturated(self.quote.bid_size))
    }

    #[getter]
    fn bid_venues(&self) -> Vec<usize> {
        venues_of(self.quote.bid_venues).collect()
    }

    #[getter]
    fn ask(&self) -> Option<f64> {
        self.price(self.quote.ask_venues, self.quote.ask)
    }

    #[getter]
    fn ask_size(&self) -> f64 {
        self.units.size.to_f64(saturated(self.quote.ask_size))
    }

    #[getter]
    fn ask_venues(&self) -> Vec<usize> {
        venues_of(self.quote.ask_venues).collect()
    }

    #[getter]
    fn state(&self) -> &'static str {
        self.quote.state.name()
    }

    #[getter]
    fn mid(&self) -> Option<f64> {
        self.quote.mid().map(|mid| self.between(mid))
    }

    #[getter]
    fn microprice(&self) -> Option<f64> {
        self.quote.microprice().map(|price| self.between(price))
    }

    #[getter]
    fn cross(&self) -> Option<(usize, usize, f64)> {
        #[allow(clippy::cast_precision_loss)] // analytics begin here
        self.cross.map(|cross| (cross.buy, cross.sell, self.between(cross.edge as f64 / 1e9)))
    }

    #[getter]
    fn counts(&self) -> (Option<i64>, i128, Option<i64>, i128) {
        let quote = &self.quote;
        let known = |venues: u64, price: i64| (venues != 0).then_some(price);
        (known(quote.bid_venues, quote.bid), quote.bid_size, known(quote.ask_venues, quote.ask), quote.ask_size)
    }

    fn __repr__(&self) -> String {
        let side = |price: Option<f64>, size: f64| {
            price.map_or_else(|| "none".to_owned(), |price| format!("{size} @ {price}"))
        };
        let (bid, ask) = (side(self.bid(), self.bid_size()), side(self.ask(), self.ask_size()));
        format!("MarketQuote({bid} / {ask}, {})", self.state())
    }
}
