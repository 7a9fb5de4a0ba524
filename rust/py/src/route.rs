//! `Route`: how an order is split over the venues of a market.

use crossbook::cost::{Affine, Amount, Cost, Liquidity};
use crossbook::market::Market as Core;
use crossbook::market::route::{self as core, LeftOut, MarketRouter, Quantity, Request, RouteLeg as Leg, VenueBounds};
use crossbook::units::{Side, Unit};
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyList, PyMapping, PyString};

use crate::cost::CostSchedule;
use crate::errors;
use crate::instrument::Instrument;
use crate::market::is_named;

/// What a market keeps for routing: scratch memory, and what trading costs by side and instrument.
#[derive(Debug, Default)]
pub struct Routing {
    router: MarketRouter,
    costs: [Vec<Affine>; 2],
}

/// Allowed, required, least and greatest size, base currency to sell, quote currency to pay with.
type Bounds = (bool, bool, Option<String>, Option<String>, Option<String>, Option<String>);

/// How a route is asked for, read from Python before any lock is taken: reading may run Python code.
#[derive(Debug, Default)]
pub struct Asked {
    side: Option<Side>,
    size: Option<String>,
    notional: Option<String>,
    limit: Option<String>,
    bounds: Vec<Bounds>,
    max_venues: Option<usize>,
    pub max_nodes: u64,
}

impl Asked {
    pub fn read(
        instruments: &[Py<Instrument>],
        side: &Bound<'_, PyAny>,
        [size, notional, limit]: [Option<&Bound<'_, PyAny>>; 3],
        constraints: Option<&Bound<'_, PyAny>>,
        max_nodes: u64,
    ) -> PyResult<Self> {
        let text = |value: Option<&Bound<'_, PyAny>>| value.map(decimal).transpose();
        let mut asked = Self {
            side: Some(self::side(side)?),
            size: text(size)?,
            notional: text(notional)?,
            limit: text(limit)?,
            max_nodes,
            ..Self::default()
        };
        if let Some(constraints) = constraints {
            asked.bounds = constraints.call_method1("_bounds", (list(instruments, constraints.py())?,))?.extract()?;
            asked.max_venues = constraints.getattr("max_venues")?.extract()?;
        }
        Ok(asked)
    }
}

/// What trading costs at some instruments: index, when buying, when selling.
pub fn read_costs(
    instruments: &[Py<Instrument>],
    costs: &Bound<'_, PyMapping>,
    state: &Bound<'_, PyAny>,
) -> PyResult<Vec<(usize, [Affine; 2])>> {
    let fields = crate::cost::state(state.call_method0("_fields")?.extract()?)?;
    let mut found = Vec::new();
    for item in costs.items()?.iter() {
        let (name, cost): (String, Bound<'_, PyAny>) = item.extract()?;
        let named = |index: &usize| is_named(&instruments[*index].get().inner, &name);
        let indices: Vec<usize> = (0..instruments.len()).filter(named).collect();
        if indices.is_empty() {
            let known: Vec<_> = instruments.iter().map(|one| one.get().inner.name()).collect();
            return Err(errors::data(format!("costs of {name:?}: expected one of {}", known.join(", "))));
        }
        let schedule: PyRef<'_, CostSchedule> = cost.call_method1("_core", (state,))?.extract()?;
        let affine = |side| {
            let affine = schedule.inner.affine(side, Liquidity::Taker, &fields);
            affine.map_err(|error| errors::cost(&error))
        };
        let both = [affine(Side::Bid)?, affine(Side::Ask)?];
        found.extend(indices.into_iter().map(|index| (index, both)));
    }
    Ok(found)
}

fn list<'py>(instruments: &[Py<Instrument>], py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
    PyList::new(py, instruments.iter().map(|instrument| instrument.bind(py)))
}

/// "buy" and "bid" are 0, "sell" and "ask" are 1.
pub fn side(value: &Bound<'_, PyAny>) -> PyResult<Side> {
    let text = value.cast::<PyString>().ok().and_then(|text| text.to_str().ok());
    match text {
        Some("buy" | "bid") => Ok(Side::Bid),
        Some("sell" | "ask") => Ok(Side::Ask),
        _ => match value.extract::<u8>() {
            Ok(0) => Ok(Side::Bid),
            Ok(1) => Ok(Side::Ask),
            _ => Err(errors::data(format!("side {value}: expected \"buy\" or \"sell\""))),
        },
    }
}

/// A number as its decimal text; a float stands for the shortest decimal that reads as it.
pub fn decimal(value: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(float) = value.cast_exact::<PyFloat>() {
        return Ok(float.value().to_string());
    }
    Ok(value.str()?.to_str()?.to_owned())
}

pub fn count(what: &str, text: &str, unit: Unit) -> PyResult<i64> {
    unit.parse_count(text.as_bytes()).map_err(|error| errors::route(format!("{what} {text:?}: {error}"), None))
}

fn amount(what: &str, text: &str) -> PyResult<Amount> {
    text.parse().map_err(|error| errors::route(format!("{what} {text:?}: {error}"), None))
}

/// A price in counts of the unit, rounded so that it allows no more than was said.
pub fn limit(text: &str, unit: Unit, side: Side) -> PyResult<i64> {
    let one = Amount::of(1, unit).ok_or_else(|| errors::route(format!("limit {text:?}: too large"), None))?;
    let price = amount("limit", text)?.0;
    let count = if side == Side::Bid { price.div_euclid(one.0) } else { -(-price).div_euclid(one.0) };
    i64::try_from(count).map_err(|_| errors::route(format!("limit {text:?}: expected a price within 63 bits"), None))
}

fn bounds(rows: &[Bounds], unit: Unit) -> PyResult<Vec<VenueBounds>> {
    let size = |what: &str, text: &Option<String>| text.as_ref().map(|text| count(what, text, unit)).transpose();
    rows.iter()
        .map(|(allowed, required, min, max, base, quote)| {
            Ok(VenueBounds {
                allowed: *allowed,
                required: *required,
                min: size("min_size", min)?.unwrap_or(0),
                max: size("max_size", max)?.unwrap_or(i64::MAX),
                base: size("base", base)?,
                quote: quote.as_ref().map(|text| amount("quote", text)).transpose()?,
            })
        })
        .collect()
}

impl Routing {
    /// What trading costs from here on.
    pub fn set_costs(&mut self, market: &Core, costs: Vec<(usize, [Affine; 2])>) {
        for side in &mut self.costs {
            for index in side.len()..market.venues().len() {
                let rate = crossbook::cost::Rate(market.fees().get(index).copied().unwrap_or(0));
                side.push(Affine { rate, fixed: Amount::ZERO });
            }
        }
        let [buy, sell] = &mut self.costs;
        for (index, [buying, selling]) in costs {
            if let (Some(buy), Some(sell)) = (buy.get_mut(index), sell.get_mut(index)) {
                (*buy, *sell) = (buying, selling);
            }
        }
    }

    /// Routes an order.
    pub fn route(&mut self, market: &Core, asked: &Asked) -> PyResult<Found> {
        let units = market.units();
        let side = asked.side.unwrap_or(Side::Bid);
        let quantity = match (&asked.size, &asked.notional) {
            (Some(size), None) => Quantity::Size(count("size", size, units.size)?),
            (None, Some(notional)) => Quantity::Notional(amount("notional", notional)?),
            _ => return Err(errors::data("expected either a size or a notional")),
        };
        let bounds = bounds(&asked.bounds, units.size)?;
        let request = Request {
            side,
            quantity,
            limit: asked.limit.as_ref().map(|price| limit(price, units.price, side)).transpose()?,
            costs: &self.costs[side as usize],
            bounds: &bounds,
            max_venues: asked.max_venues.unwrap_or(usize::MAX),
            max_nodes: asked.max_nodes,
        };
        let name = |venue: usize| market.venues().get(venue).map_or_else(String::new, |one| one.instrument().name());
        let route = market.route(&mut self.router, &request).map_err(|error| {
            let text = |size: i64| units.size.format_count(size);
            let message = match error {
                core::RouteError::Terms { venue, what } => format!("{}: expected {what}", name(venue)),
                core::RouteError::Required { venue } => {
                    format!("{}: expected enough for an order there, as it is required", name(venue))
                }
                core::RouteError::Size(size) => format!("size {}: expected more than 0", text(size)),
                core::RouteError::OffLot { size, lot } => {
                    format!("size {}: expected a multiple of {}", text(size), text(lot))
                }
                error => error.to_string(),
            };
            errors::route(message, None)
        })?;
        Ok(Found { route: route.clone(), side, size_unit: units.size, price_unit: units.price })
    }
}

/// A route and what its integers mean.
pub struct Found {
    route: core::Route,
    side: Side,
    size_unit: Unit,
    price_unit: Unit,
}

impl Found {
    /// A route that trades less than was wanted is an error with that route, unless it may be partial.
    pub fn into_python(self, py: Python<'_>, instruments: &[Py<Instrument>], partial: bool) -> PyResult<Route> {
        let Self { route, side, size_unit, price_unit } = self;
        // Less than a contract is left of any size that such contracts are traded for.
        let shortfall = route.shortfall.filter(|reason| !partial && *reason != core::Shortfall::Contracts);
        let message = shortfall.map(|reason| {
            let (filled, wanted) = (size_unit.format_count(route.filled), size_unit.format_count(route.wanted));
            format!("expected to trade {wanted}, found {filled}: {}", reason.name())
        });
        let instruments = instruments.iter().map(|instrument| instrument.clone_ref(py)).collect();
        let route = Route { inner: route, side, size_unit, price_unit, instruments };
        match message {
            None => Ok(route),
            Some(message) => Err(errors::route(message, Some(Py::new(py, route)?.into_any()))),
        }
    }
}

/// How an order is split over venues.
#[pyclass(frozen, module = "crossbook._core")]
pub struct Route {
    inner: core::Route,
    side: Side,
    size_unit: Unit,
    price_unit: Unit,
    instruments: Vec<Py<Instrument>>,
}

/// One venue's part of a route.
#[pyclass(frozen, module = "crossbook._core", get_all)]
pub struct RouteLeg {
    /// Name of the instrument.
    instrument: String,
    /// Base currency.
    size: f64,
    /// Exact decimal texts of the order to send.
    order_size: String,
    order_price: String,
    /// Quote currency.
    notional: f64,
    cost: f64,
    /// Quote currency per base currency: average and worst before costs, the last lot net of them.
    average: f64,
    worst: f64,
    marginal: f64,
    /// Of a pool.
    swap: Option<RouteSwap>,
}

/// The swap that a part at a pool is.
#[pyclass(frozen, from_py_object, module = "crossbook._core")]
#[derive(Clone)]
pub struct RouteSwap {
    inner: core::RouteSwap,
    /// Exact decimal text.
    #[pyo3(get)]
    price_after: String,
}

#[pymethods]
impl RouteSwap {
    #[getter]
    fn token_in(&self) -> u8 {
        self.inner.trade.token_in as u8
    }

    #[getter]
    fn amount_in<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        crate::pool::whole(py, &self.inner.trade.amount_in)
    }

    #[getter]
    fn amount_out<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        crate::pool::whole(py, &self.inner.trade.amount_out)
    }

    #[getter]
    fn fee<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        crate::pool::whole(py, &self.inner.fee)
    }

    fn __repr__(&self) -> String {
        let trade = &self.inner.trade;
        let (token, paid, got) = (trade.token_in as u8, trade.amount_in, trade.amount_out);
        format!("RouteSwap({paid} of token {token} for {got}, price after {})", self.price_after)
    }
}

impl Route {
    fn name(&self, index: usize) -> String {
        self.instruments.get(index).map_or_else(String::new, |one| one.get().inner.name())
    }

    fn leg(&self, leg: &Leg) -> RouteLeg {
        let size = self.size_unit.to_f64(leg.size);
        let order = self.instruments.get(leg.venue).map(|one| &one.get().inner);
        RouteLeg {
            instrument: self.name(leg.venue),
            size,
            order_size: order.map_or_else(String::new, |one| one.size_unit.format_count(leg.native_size.0)),
            order_price: order.map_or_else(String::new, |one| one.price_unit.format_count(leg.native_price.0)),
            notional: leg.notional.to_f64(),
            cost: leg.cost.to_f64(),
            average: leg.notional.to_f64() / size,
            worst: self.price_unit.to_f64(leg.price),
            marginal: leg.marginal,
            swap: self.inner.swaps.iter().find(|swap| swap.venue == leg.venue).map(|swap| RouteSwap {
                inner: *swap,
                price_after: order.map_or_else(String::new, |one| one.price_unit.format_count(swap.price_after.0)),
            }),
        }
    }
}

#[pymethods]
impl Route {
    #[getter]
    fn side(&self) -> &'static str {
        if self.side == Side::Bid { "buy" } else { "sell" }
    }

    #[getter]
    fn legs(&self) -> Vec<RouteLeg> {
        self.inner.legs.iter().map(|leg| self.leg(leg)).collect()
    }

    #[getter]
    fn left_out(&self) -> Vec<(String, &'static str)> {
        self.inner
            .left_out
            .iter()
            .map(|(index, reason): &(usize, LeftOut)| (self.name(*index), reason.name()))
            .collect()
    }

    #[getter]
    fn wanted(&self) -> f64 {
        self.size_unit.to_f64(self.inner.wanted)
    }

    #[getter]
    fn filled(&self) -> f64 {
        self.size_unit.to_f64(self.inner.filled)
    }

    #[getter]
    fn shortfall(&self) -> Option<&'static str> {
        self.inner.shortfall.map(core::Shortfall::name)
    }

    #[getter]
    fn notional(&self) -> f64 {
        self.inner.notional.to_f64()
    }

    #[getter]
    fn cost(&self) -> f64 {
        self.inner.cost.to_f64()
    }

    #[getter]
    fn total(&self) -> f64 {
        self.inner.total(self.side).to_f64()
    }

    #[getter]
    fn exact(&self) -> (String, String, String, String) {
        let filled = self.size_unit.format_count(self.inner.filled);
        let total = self.inner.total(self.side);
        (filled, self.inner.notional.to_string(), self.inner.cost.to_string(), total.to_string())
    }

    #[getter]
    fn average(&self) -> f64 {
        self.inner.average
    }

    #[getter]
    fn marginal(&self) -> f64 {
        self.inner.marginal
    }

    #[getter]
    fn slippage_mid_bp(&self) -> f64 {
        self.inner.slippage_mid_bp
    }

    #[getter]
    fn slippage_touch_bp(&self) -> f64 {
        self.inner.slippage_touch_bp
    }

    #[getter]
    fn is_optimal(&self) -> bool {
        self.inner.is_optimal
    }

    #[getter]
    fn gap(&self) -> Option<f64> {
        self.inner.gap.map(Amount::to_f64)
    }

    #[getter]
    fn nodes(&self) -> u64 {
        self.inner.nodes
    }

    fn to_polars<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.import("crossbook.routing")?.call_method1("_frame", (self.legs(),))
    }

    fn __len__(&self) -> usize {
        self.inner.legs.len()
    }

    fn __repr__(&self) -> String {
        let legs: Vec<_> = self.legs().iter().map(|leg| format!("{} at {}", leg.order_size, leg.instrument)).collect();
        let proof = match (self.inner.is_optimal, self.inner.gap) {
            (true, _) => "optimal".to_owned(),
            (false, Some(gap)) => format!("at most {gap} from optimal"),
            (false, None) => "not proven".to_owned(),
        };
        let filled = self.size_unit.format_count(self.inner.filled);
        format!("Route({} {filled}: {}; {proof})", self.side(), legs.join(", "))
    }
}
