//! The market as tables: every venue's quote, the consolidated book, depth.

use std::sync::Arc;

use arrow_array::types::{Float64Type, Int64Type, UInt8Type, UInt32Type, UInt64Type};
use arrow_array::{ArrayRef, Decimal128Array, Float64Array, StringArray};
use crossbook::market::convert::{NO_ASK, NO_BID, Units};
use crossbook::market::{BestRows, ConsolidatedLevel, Market, MarketDepth, Source, Status};
use crossbook::units::Side;
use pyo3::prelude::*;

use super::quote::saturated;
use crate::errors;
use crate::table::{self, Table, booleans, column};

const SIDES: [(Side, &str); 2] = [(Side::Bid, "bid"), (Side::Ask, "ask")];

fn texts(values: Vec<Option<String>>) -> ArrayRef {
    Arc::new(StringArray::from(values))
}

fn floats(values: Vec<Option<f64>>) -> ArrayRef {
    Arc::new(Float64Array::from(values))
}

/// A venue's name; of several of one name the index too.
pub fn names(market: &Market) -> Vec<String> {
    let all: Vec<_> = market.venues().iter().map(|venue| venue.instrument().name()).collect();
    let twice = |name: &String| all.iter().filter(|other| *other == name).count() > 1;
    all.iter().enumerate().map(|(at, name)| if twice(name) { format!("{name}#{at}") } else { name.clone() }).collect()
}

pub fn quotes(market: &Market) -> PyResult<Table> {
    let units = market.units();
    let best = market.quote();
    let (mut status, mut source, mut age) = (Vec::new(), Vec::new(), Vec::new());
    let (mut prices, mut sizes): ([Vec<_>; 2], [Vec<_>; 2]) = Default::default();
    let mut natives: [Vec<_>; 2] = Default::default();
    let mut at_best: [Vec<_>; 2] = Default::default();
    for (index, venue) in market.venues().iter().enumerate() {
        let touch = venue.touch();
        status.push(Some(market.status(index).name().to_owned()));
        source.push(touch.map(|touch| if touch.source == Source::Quote { "quote" } else { "depth" }.to_owned()));
        let heard = venue.heard().zip(market.now());
        #[allow(clippy::cast_precision_loss)] // analytics begin here
        age.push(heard.map(|(heard, now)| now.0.saturating_sub(heard.0) as f64 / 1e6));
        for (side, _) in SIDES {
            let at = side as usize;
            let own = touch.and_then(|touch| touch.quote.side(side));
            let (bid, ask) = market.touch(index);
            let (common, none) = if side == Side::Bid { (bid, NO_BID) } else { (ask, NO_ASK) };
            let known = (common != none).then_some(common);
            prices[at].push(known.map(|price| units.price.to_f64(price)));
            let size = own.zip(market.conversion(index)).map(|((price, size), to)| to.base_size(price, size));
            sizes[at].push(size.filter(|_| known.is_some()).map(|size| units.size.to_f64(size)));
            natives[at].push(own.map(|(price, _)| venue.instrument().price(price.0)));
            let makers = if side == Side::Bid { best.bid_venues } else { best.ask_venues };
            at_best[at].push(makers >> index & 1 == 1);
        }
    }
    let count = market.venues().len();
    let role = |index: usize| Some(if market.is_rate(index) { "rate" } else { "venue" }.to_owned());
    let [bid, ask] = prices;
    let [bid_size, ask_size] = sizes;
    let [own_bid, own_ask] = natives;
    let [at_bid, at_ask] = at_best;
    #[allow(clippy::cast_precision_loss)] // below 10^9
    let fees = market.fees().iter().map(|fee| Some(*fee as f64 / 1e5)).collect();
    let batch = table::batch([
        ("instrument", texts(names(market).into_iter().map(Some).collect())),
        ("role", texts((0..count).map(role).collect())),
        ("status", texts(status)),
        ("source", texts(source)),
        ("age_ms", floats(age)),
        ("bid", floats(bid)),
        ("bid_size", floats(bid_size)),
        ("ask", floats(ask)),
        ("ask_size", floats(ask_size)),
        ("own_bid", floats(own_bid)),
        ("own_ask", floats(own_ask)),
        ("fee_bp", floats(fees)),
        ("at_best_bid", booleans(at_bid)),
        ("at_best_ask", booleans(at_ask)),
    ])?;
    Ok(Table::new(batch))
}

pub fn book(market: &Market, count: usize) -> PyResult<Table> {
    let units = market.units();
    let names = names(market);
    let (mut sides, mut numbers, mut known) = (Vec::new(), Vec::new(), Vec::new());
    let (mut prices, mut sizes, mut base, mut quote) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut split: Vec<Vec<f64>> = vec![Vec::new(); names.len()];
    for (side, name) in SIDES {
        let (mut sum, mut value) = (0_i128, 0_i128);
        for (number, level) in market.levels(side).take(count).enumerate() {
            sum += level.size;
            value = value.saturating_add(i128::from(level.price).saturating_mul(level.size));
            sides.push(Some(name.to_owned()));
            numbers.push(u32::try_from(number).unwrap_or(u32::MAX));
            prices.push(units.price.to_f64(level.price));
            sizes.push(units.size.to_f64(saturated(level.size)));
            base.push(units.size.to_f64(saturated(sum)));
            quote.push(in_quote(units, value));
            known.push(level.known);
            for (index, column) in split.iter_mut().enumerate() {
                let part = level.split.iter().find(|(venue, _)| *venue == index).map_or(0, |(_, part)| *part);
                column.push(units.size.to_f64(saturated(part)));
            }
        }
    }
    let fixed = [
        ("side", texts(sides)),
        ("level", column::<UInt32Type>(numbers)),
        ("price", column::<Float64Type>(prices)),
        ("size", column::<Float64Type>(sizes)),
        ("base", column::<Float64Type>(base)),
        ("quote", column::<Float64Type>(quote)),
        ("known", booleans(known)),
    ];
    let venues = names.iter().zip(split).enumerate().filter(|(index, _)| !market.is_rate(*index));
    let venues = venues.map(|(_, (name, sizes))| (name.as_str(), column::<Float64Type>(sizes)));
    Ok(Table::new(table::batch(fixed.into_iter().chain(venues))?))
}

/// An amount in common price units times common size units, in quote currency.
#[allow(clippy::cast_precision_loss)] // analytics begin here
fn in_quote(units: &Units, value: i128) -> f64 {
    let power = i32::from(units.price.exponent()) + i32::from(units.size.exponent());
    let ten = 10_f64.powi(power.abs());
    if power < 0 { value as f64 / ten } else { value as f64 * ten }
}

/// What each side holds in so many levels, or within so many bp of the mid.
pub fn depth(market: &Market, levels: Option<Vec<usize>>, bands: Vec<f64>) -> PyResult<Table> {
    let units = market.units();
    let mut found: Vec<(&str, f64, Option<MarketDepth>)> = Vec::new();
    let by_levels = levels.is_some();
    for (side, name) in SIDES {
        #[allow(clippy::cast_precision_loss)] // a number of levels
        for count in levels.iter().flatten() {
            found.push((name, *count as f64, Some(market.depth_of_levels(side, *count))));
        }
        for band in if by_levels { &[] } else { bands.as_slice() } {
            let hundredths = (band * 100.0).round();
            if !(1.0..1e6).contains(&hundredths) || (band * 100.0 - hundredths).abs() > 1e-6 {
                return Err(errors::data(format!(
                    "bands_bp {band}: expected multiples of 0.01 bp from 0.01 to below 10,000"
                )));
            }
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // within the range above
            let limit = market.band(side, hundredths as u32);
            found.push((name, *band, limit.map(|limit| market.depth_to(side, limit))));
        }
    }
    let of = |value: &dyn Fn(&MarketDepth) -> f64| {
        floats(found.iter().map(|(_, _, depth)| depth.as_ref().map(value)).collect())
    };
    let counts =
        found.iter().map(|(_, _, depth)| depth.map_or(0, |depth| u32::try_from(depth.levels).unwrap_or(u32::MAX)));
    let worst =
        found.iter().map(|(_, _, depth)| depth.and_then(|depth| depth.worst).map(|price| units.price.to_f64(price)));
    let batch = table::batch([
        ("side", texts(found.iter().map(|(side, ..)| Some((*side).to_owned())).collect())),
        (
            if by_levels { "wanted" } else { "band_bp" },
            column::<Float64Type>(found.iter().map(|(_, at, _)| *at).collect()),
        ),
        ("base", of(&|depth| units.size.to_f64(saturated(depth.base)))),
        ("quote", of(&|depth| in_quote(units, depth.quote))),
        ("levels", column::<UInt32Type>(counts.collect())),
        ("worst", floats(worst.collect())),
        ("known", booleans(found.iter().map(|(_, _, depth)| depth.is_some_and(|depth| depth.known)).collect())),
    ])?;
    Ok(Table::new(batch))
}

/// Price, size, sizes by instrument, whether it is known.
pub type Level = (i64, i128, Vec<(usize, i128)>, bool);

pub fn level(level: ConsolidatedLevel) -> Level {
    (level.price, level.size, level.split, level.known)
}

pub fn path(rows: BestRows) -> PyResult<Table> {
    let edge = Decimal128Array::from(rows.edge).with_precision_and_scale(38, 9).map_err(errors::data)?;
    let index =
        |venues: Vec<u32>| venues.into_iter().map(|index| if index == u32::MAX { -1 } else { i64::from(index) });
    let batch = table::batch([
        ("row", column::<UInt64Type>(rows.row)),
        ("ts_recv", column::<Int64Type>(rows.ts_recv)),
        ("bid", column::<Int64Type>(rows.bid)),
        ("bid_size", column::<Int64Type>(rows.bid_size)),
        ("bid_venues", column::<UInt64Type>(rows.bid_venues)),
        ("ask", column::<Int64Type>(rows.ask)),
        ("ask_size", column::<Int64Type>(rows.ask_size)),
        ("ask_venues", column::<UInt64Type>(rows.ask_venues)),
        ("state", column::<UInt8Type>(rows.state)),
        ("buy", column::<Int64Type>(index(rows.buy).collect())),
        ("sell", column::<Int64Type>(index(rows.sell).collect())),
        ("edge", Arc::new(edge)),
    ])?;
    Ok(Table::new(batch))
}

pub fn statuses(market: &Market) -> Vec<&'static str> {
    (0..market.venues().len()).map(|index| market.status(index)).map(Status::name).collect()
}
