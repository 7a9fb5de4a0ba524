//! The websockets and listings before v5, for older captures.

use serde::Deserialize;

use super::super::json::{Decimal, Json, Read, iso_nanos};
use super::super::message::{Body, Frame, Level, Link, Symbol};
use super::super::protocol::{Channel, Dialect};
use super::super::{step_of, tick_decimals};
use super::{Envelope, Kind, Values, describe, number, request};
use crate::instrument::{Contract, Instrument, Venue};
use crate::units::{Nanos, Unit};

/// One connection of v2.
#[derive(Debug, Default)]
pub(super) struct V2 {
    /// This is the beginning of a connection, not the middle of one.
    opened: bool,
    /// Trade topics that had a message or an acknowledgement.
    seen: Vec<Vec<u8>>,
}

impl V2 {
    /// So many topics are remembered.
    const MAX_SEEN: usize = 4_096;

    /// Whether this is the first that is seen of a topic.
    fn first(&mut self, symbol: &[u8]) -> bool {
        let new = self.seen.len() < Self::MAX_SEEN && !self.seen.iter().any(|seen| seen == symbol);
        if new {
            self.seen.push(symbol.to_vec());
        }
        new
    }
}

impl Dialect for V2 {
    fn read(&mut self, frame: &[u8], out: &mut Frame) -> Read<()> {
        let mut json = Json::new(frame);
        let (mut top, mut values, mut late) = (Envelope::default(), Values::default(), None);
        let mut parts = Parts::default();
        json.object(|json, key| {
            if key != b"data" {
                return top.take(json, key, out);
            }
            json.once(&mut top.data, (), "data")?;
            match top.topic {
                Some((kind, _)) => data(json, kind, &mut parts, &mut values, out),
                None => {
                    late = Some(json.clone());
                    json.skip()
                }
            }
        })?;
        json.end()?;
        let Some((kind, name)) = top.topic else {
            if top.answer(&json, None, out)? {
                return Ok(());
            }
            return json.need(None, "topic");
        };
        json.need(top.data, "data")?;
        if let Some(mut late) = late {
            data(&mut late, kind, &mut parts, &mut values, out)?;
        }
        let symbol = Symbol::At(name);
        let ts_event = top.sent.unwrap_or(Nanos::UNKNOWN);
        match kind {
            Kind::Book => {
                let snapshot = json.need(top.snapshot, "type")?;
                if snapshot {
                    json.need(parts.all, "order_book")?;
                } else {
                    json.need(parts.delete, "delete")?;
                    json.need(parts.update, "update")?;
                    json.need(parts.insert, "insert")?;
                }
                let link = top.sequence.map_or(Link::None, Link::At);
                let levels = 0..out.levels.len();
                out.push(symbol, ts_event, Body::Levels { snapshot, link, checksum: None, levels });
            }
            // To a subscription the venue answers with the last trade there was, ahead of the acknowledgement.
            Kind::Trades if self.opened && self.first(name.of(frame)) && out.messages.len() == 1 => {
                if let Some(Body::Trade { silent, .. }) = out.messages.first_mut().map(|message| &mut message.body) {
                    *silent = true;
                }
            }
            Kind::Ticker => values.marks(symbol, ts_event, out),
            Kind::Trades | Kind::Best | Kind::Candles | Kind::Other => {}
        }
        Ok(())
    }

    fn subscribe(&mut self, on: bool, symbols: &[&str], channels: &[Channel], depth: u16, out: &mut Vec<String>) {
        let op = if on { "subscribe" } else { "unsubscribe" };
        let book = if depth > 25 { "orderBook_200.100ms" } else { "orderBookL2_25" };
        let topics: Vec<String> = symbols
            .iter()
            .flat_map(|symbol| {
                channels.iter().filter_map(move |channel| match channel {
                    Channel::Book => Some(format!("{book}.{symbol}")),
                    Channel::Trades => Some(format!("trade.{symbol}")),
                    Channel::Marks => Some(format!("instrument_info.100ms.{symbol}")),
                    // Its tickers have best prices without sizes.
                    Channel::Quotes => None,
                })
            })
            .collect();
        request(op, &topics, out);
    }

    fn reset(&mut self) {
        self.opened = true;
        self.seen.clear();
    }
}

/// Which parts of a book message there were.
#[derive(Default)]
struct Parts {
    all: Option<()>,
    delete: Option<()>,
    update: Option<()>,
    insert: Option<()>,
}

fn data(json: &mut Json<'_>, kind: Kind, parts: &mut Parts, values: &mut Values, out: &mut Frame) -> Read<()> {
    match kind {
        // The inverse contracts send the levels of a snapshot bare.
        Kind::Book if json.peek() == b'[' => {
            json.once(&mut parts.all, (), "data")?;
            json.array(|json| level(json, true, out))
        }
        Kind::Book => json.object(|json, key| {
            let (slot, field, sized) = match key {
                b"order_book" => (&mut parts.all, "order_book", true),
                b"delete" => (&mut parts.delete, "delete", false),
                b"update" => (&mut parts.update, "update", true),
                b"insert" => (&mut parts.insert, "insert", true),
                _ => return json.skip(),
            };
            json.once(slot, (), field)?;
            json.array(|json| level(json, sized, out))
        }),
        Kind::Trades => json.array(|json| trade(json, out)),
        Kind::Ticker => json.object(|json, key| match key {
            b"update" => json.array(|json| json.object(|json, key| values.take_old(json, key))),
            _ => values.take_old(json, key),
        }),
        Kind::Best | Kind::Candles | Kind::Other => json.skip(),
    }
}

#[inline]
fn level(json: &mut Json<'_>, sized: bool, out: &mut Frame) -> Read<()> {
    let (mut price, mut size, mut of) = (None, None, None);
    json.object(|json, key| match key {
        b"price" => json.field(&mut price, "price", Json::decimal),
        b"size" => json.field(&mut size, "size", Json::decimal),
        b"side" => json.field(&mut of, "side", |json| json.side(b"Buy", b"Sell", "Buy or Sell")),
        _ => json.skip(),
    })?;
    // A deleted level has no size, or 0.
    let size = if sized { json.need(size, "size")? } else { Decimal::ZERO };
    out.levels.push(Level { price: json.need(price, "price")?, size, side: json.need(of, "side")? });
    Ok(())
}

fn trade(json: &mut Json<'_>, out: &mut Frame) -> Read<()> {
    let (mut symbol, mut price, mut size, mut aggressor, mut time) = (None, None, None, None, None);
    let mut id = 0;
    json.object(|json, key| match key {
        b"symbol" => json.field(&mut symbol, "symbol", Json::name),
        b"price" => json.field(&mut price, "price", Json::decimal),
        b"size" => json.field(&mut size, "size", Json::decimal),
        b"side" => json.field(&mut aggressor, "side", |json| json.side(b"Buy", b"Sell", "Buy or Sell")),
        b"trade_time_ms" => json.field(&mut time, "trade_time_ms", Json::millis),
        b"trade_id" => {
            id = number(json.text()?);
            Ok(())
        }
        _ => json.skip(),
    })?;
    let symbol = Symbol::At(json.need(symbol, "symbol")?);
    let (price, size) = (json.need(price, "price")?, json.need(size, "size")?);
    let (side, ts_event) = (Some(json.need(aggressor, "side")?), json.need(time, "trade_time_ms")?);
    out.push(symbol, ts_event, Body::Trade { id, price, size, side, silent: false });
    Ok(())
}

impl Values {
    fn take_old(&mut self, json: &mut Json<'_>, key: &[u8]) -> Read<()> {
        match key {
            b"mark_price" => json.field(&mut self.mark, "mark_price", Json::optional_decimal),
            b"index_price" => json.field(&mut self.index, "index_price", Json::optional_decimal),
            b"funding_rate_e6" => {
                let rate = json.optional_decimal()?;
                let rate = rate.map(|rate| Decimal { exponent: rate.exponent.saturating_sub(6), ..rate });
                json.once(&mut self.rate, rate, "funding_rate_e6")
            }
            b"next_funding_time" if json.peek() == b'"' => {
                self.due = iso_nanos(json.text()?);
                Ok(())
            }
            _ => json.skip(),
        }
    }
}

#[derive(Deserialize)]
struct OldListing {
    result: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct OldListed {
    name: String,
    base_currency: String,
    quote_currency: String,
    price_filter: OldPrice,
    lot_size_filter: OldLot,
}

#[derive(Deserialize)]
struct OldPrice {
    tick_size: String,
}

#[derive(Deserialize)]
struct OldLot {
    qty_step: serde_json::Number,
}

/// One listing holds the contracts of both kinds.
pub(super) fn list(venue: Venue, body: &[u8]) -> Result<Vec<Instrument>, String> {
    let listing: OldListing = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let entries = listing.result.into_iter().filter_map(|entry| serde_json::from_value::<OldListed>(entry).ok());
    Ok(entries
        .filter(|listed| (listed.quote_currency == "USD") == (venue == Venue::BybitInverse))
        .map(|listed| {
            let contract = if venue == Venue::BybitInverse { Contract::Inverse } else { Contract::Linear };
            let (base, quote) = (&listed.base_currency, &listed.quote_currency);
            let mut found = Instrument::named(venue, &listed.name, contract, base, quote);
            found.delivery = describe(venue, &listed.name).and_then(|known| known.delivery);
            found.tick = step_of(&listed.price_filter.tick_size);
            found.lot = step_of(&listed.lot_size_filter.qty_step.to_string());
            found.price_unit = tick_decimals(found.tick, 8);
            // Sizes of linear contracts are printed from 32-bit floats: 8.3550005 for 8.355.
            found.size_unit = if contract == Contract::Inverse { Unit::ONE } else { Unit::decimals(10) };
            found
        })
        .collect())
}
