//! Coinbase: Advanced Trade, and the older feed of Coinbase Exchange (once Pro, once GDAX).
//!
//! Advanced Trade counts every frame of a connection from 0, acknowledgements and heartbeats too, so a hole says that
//! something was lost but not of which product: all of the connection's are suspect, and a connection should carry few.
//! Coinbase Exchange numbers its level-2 messages not at all: its books cannot be proved. Both begin a book with a
//! snapshot in the stream, and both give a trade the side of the MAKER, which is turned round here. Deletions of levels
//! that nobody has are normal. `ts_event` of a change is the latest `event_time` of its levels; of one without levels,
//! the envelope's time. Rules: the venue's documentation, checked on real captures.

use serde::Deserialize;

use super::json::{Decimal, Fault, FaultKind, Json, Read, iso_nanos};
use super::kraken_futures::oldest_first;
use super::message::{Body, Frame, Level, Link, Symbol, Whose};
use super::protocol::{Channel, Dialect, Protocol, RestLimit, SnapshotFrom, quoted};
use super::{step_of, tick_decimals};
use crate::instrument::{Contract, Instrument, Venue};
use crate::units::{Nanos, Side, Unit};

mod exchange;

use self::exchange::{Exchange, list_exchange};

const ADVANCED: Protocol = Protocol {
    name: "coinbase-advanced",
    venue: Venue::Coinbase,
    valid: ("", ""),
    url: "wss://advanced-trade-ws.coinbase.com",
    mark: "advanced-trade-ws.coinbase.com",
    rest: "https://api.coinbase.com",
    snapshot_path: "",
    instruments_paths: &["/api/v3/brokerage/market/products"],
    snapshot: SnapshotFrom::Stream,
    counts_frames: true,
    counts_trades: true,
    links: false,
    checksum: None,
    depth: 0,
    cuts: false,
    cross_resyncs: false,
    // The `heartbeats` channel keeps it open; it is part of every subscription.
    keep_alive: None,
    silence: 10,
    // One hole taints them all.
    per_connection: 8,
    sends_per_second: 8,
    limit: RestLimit { weight: 1, per_minute: 600 },
    source: "venue documentation, real frames of 2026; trades and tickers from the documentation",
    dialect: || Box::new(Advanced),
    list: list_advanced,
    describe,
};

/// The protocols of this file.
pub(super) const PROTOCOLS: &[Protocol] = &[
    ADVANCED,
    Protocol {
        name: "coinbase-exchange",
        // Its level-2 channel asks for a key since; the day is from memory. Captures name either of two hosts.
        valid: ("", "2023-08-13"),
        url: "wss://ws-feed.exchange.coinbase.com",
        mark: "//ws-feed.",
        rest: "https://api.exchange.coinbase.com",
        instruments_paths: &["/products"],
        counts_frames: false,
        silence: 60,
        per_connection: 50,
        sends_per_second: 8,
        source: "venue documentation, a real capture of 2021; when level 2 began to ask for a key from memory",
        dialect: || Box::new(Exchange),
        list: list_exchange,
        ..ADVANCED
    },
];

/// What a channel of Advanced Trade means to us.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Book,
    Trades,
    Ticker,
    Subscriptions,
    Heartbeat,
    Other,
}

impl Kind {
    const fn channel(self) -> Channel {
        match self {
            Self::Book => Channel::Book,
            Self::Trades => Channel::Trades,
            Self::Ticker => Channel::Quotes,
            Self::Subscriptions | Self::Heartbeat | Self::Other => Channel::Marks,
        }
    }
}

/// One connection to Advanced Trade.
#[derive(Debug)]
struct Advanced;

impl Dialect for Advanced {
    fn read(&mut self, frame: &[u8], out: &mut Frame) -> Read<()> {
        let mut json = Json::new(frame);
        let (mut kind, mut time, mut counter, mut events, mut late) = (None, None, None, None, None);
        let (mut message, mut error) = (None, None);
        json.object(|json, key| match key {
            b"channel" => {
                let found = match json.text()? {
                    b"l2_data" => Kind::Book,
                    b"market_trades" => Kind::Trades,
                    b"ticker" | b"ticker_batch" => Kind::Ticker,
                    b"subscriptions" => Kind::Subscriptions,
                    b"heartbeats" => Kind::Heartbeat,
                    _ => Kind::Other,
                };
                out.channel = Some(found.channel());
                json.once(&mut kind, found, "channel")
            }
            b"timestamp" => json.field(&mut time, "timestamp", Json::iso),
            b"sequence_num" => {
                let number = json.unsigned()?;
                out.counter = Some(number);
                json.once(&mut counter, number, "sequence_num")
            }
            b"events" => {
                json.once(&mut events, (), "events")?;
                if let Some(kind) = kind {
                    advanced_events(json, kind, out)
                } else {
                    late = Some(json.clone());
                    json.skip()
                }
            }
            b"type" => {
                error = Some(json.text()? == b"error");
                Ok(())
            }
            b"message" if json.peek() == b'"' => json.field(&mut message, "message", Json::name),
            _ => json.skip(),
        })?;
        json.end()?;
        let Some(kind) = kind else {
            let Some(true) = error else { return Err(json.fault("a message with a channel")) };
            out.push(Symbol::None, Nanos::UNKNOWN, message.map_or(Body::Other, Body::Refused));
            return Ok(());
        };
        // An acknowledgement without a number would pass for none.
        json.need(counter, "sequence_num")?;
        json.need(events, "events")?;
        if let Some(mut late) = late {
            advanced_events(&mut late, kind, out)?;
        }
        match kind {
            Kind::Heartbeat => out.push(Symbol::None, time.unwrap_or(Nanos::UNKNOWN), Body::Heartbeat),
            Kind::Other => out.push(Symbol::None, time.unwrap_or(Nanos::UNKNOWN), Body::Other),
            Kind::Book | Kind::Trades | Kind::Ticker => {
                let time = json.need(time, "timestamp")?;
                for message in out.messages.iter_mut().filter(|message| message.ts_event == Nanos::UNKNOWN) {
                    message.ts_event = time;
                }
            }
            Kind::Subscriptions => {}
        }
        Ok(())
    }

    fn subscribe(&mut self, on: bool, symbols: &[&str], channels: &[Channel], _depth: u16, out: &mut Vec<String>) {
        let kind = if on { "subscribe" } else { "unsubscribe" };
        for channel in channels {
            let channel = match channel {
                Channel::Book => "level2",
                Channel::Trades => "market_trades",
                Channel::Quotes => "ticker",
                Channel::Marks => continue,
            };
            for symbols in symbols.chunks(PRODUCTS_PER_REQUEST) {
                let products = quoted(symbols);
                out.push(format!("{{\"type\":\"{kind}\",\"product_ids\":[{products}],\"channel\":\"{channel}\"}}"));
            }
        }
        // Channels on which nothing happens are closed after a minute or so, unless this one runs. Twice does no harm.
        if on {
            out.push("{\"type\":\"subscribe\",\"channel\":\"heartbeats\"}".to_owned());
        }
    }
}

const PRODUCTS_PER_REQUEST: usize = 50;

#[inline]
fn advanced_events(json: &mut Json<'_>, kind: Kind, out: &mut Frame) -> Read<()> {
    let mut whose = Whose::default();
    match kind {
        Kind::Book => json.array(|json| {
            out.symbol = None;
            book_event(json, &mut whose, out)
        }),
        Kind::Trades => json.array(|json| trades_event(json, &mut whose, out)),
        Kind::Ticker => json.array(|json| {
            json.object(|json, key| match key {
                b"tickers" => json.array(|json| {
                    out.symbol = None;
                    ticker(json, &mut whose, out)
                }),
                _ => json.skip(),
            })
        }),
        Kind::Subscriptions => json.array(|json| {
            json.object(|json, key| match key {
                b"subscriptions" if json.peek() == b'{' => json.object(|json, key| {
                    if key == b"heartbeats" || json.peek() != b'[' {
                        return json.skip();
                    }
                    json.array(|json| {
                        let product = json.name()?;
                        out.push(Symbol::At(product), Nanos::UNKNOWN, Body::Subscribed);
                        Ok(())
                    })
                }),
                _ => json.skip(),
            })
        }),
        Kind::Heartbeat | Kind::Other => json.skip(),
    }
}

/// The times of a message's levels: mostly one and the same text, which is then read once.
struct Clock<'a> {
    text: &'a [u8],
    latest: Nanos,
}

impl<'a> Clock<'a> {
    #[inline]
    fn read(&mut self, json: &mut Json<'a>) -> Read<()> {
        let at = json.at();
        let text = json.text()?;
        if text != self.text {
            let time = iso_nanos(text).ok_or(Fault { at, kind: FaultKind::Expected("a time of a level") })?;
            self.latest = self.latest.max(time);
            self.text = text;
        }
        Ok(())
    }
}

#[inline]
fn book_event<'a>(json: &mut Json<'a>, whose: &mut Whose<'a>, out: &mut Frame) -> Read<()> {
    let start = out.levels.len();
    let (mut snapshot, mut product, mut updates) = (None, None, None);
    let mut clock = Clock { text: b"", latest: Nanos::UNKNOWN };
    json.object(|json, key| match key {
        b"type" => json.field(&mut snapshot, "type", is_snapshot),
        b"product_id" => {
            let name = whose.read(json, out)?;
            json.once(&mut product, name, "product_id")
        }
        b"updates" => {
            json.once(&mut updates, (), "updates")?;
            json.array(|json| update(json, &mut clock, out))
        }
        _ => json.skip(),
    })?;
    let symbol = Symbol::At(json.need(product, "product_id")?);
    let snapshot = json.need(snapshot, "type")?;
    json.need(updates, "updates")?;
    let levels = start..out.levels.len();
    out.push(symbol, clock.latest, Body::Levels { snapshot, link: Link::None, checksum: None, levels });
    Ok(())
}

fn is_snapshot(json: &mut Json<'_>) -> Read<bool> {
    match json.text()? {
        b"snapshot" => Ok(true),
        b"update" => Ok(false),
        _ => Err(json.fault("snapshot or update")),
    }
}

#[inline]
fn update<'a>(json: &mut Json<'a>, clock: &mut Clock<'a>, out: &mut Frame) -> Read<()> {
    let (mut side, mut time, mut price, mut size) = (None, None, None, None);
    json.object(|json, key| match key {
        b"side" => json.field(&mut side, "side", |json| json.side(b"bid", b"offer", "bid or offer")),
        b"event_time" => {
            clock.read(json)?;
            json.once(&mut time, (), "event_time")
        }
        b"price_level" => json.field(&mut price, "price_level", Json::decimal),
        b"new_quantity" => json.field(&mut size, "new_quantity", Json::decimal),
        _ => json.skip(),
    })?;
    let (price, size) = (json.need(price, "price_level")?, json.need(size, "new_quantity")?);
    out.levels.push(Level { price, size, side: json.need(side, "side")? });
    Ok(())
}

fn trades_event<'a>(json: &mut Json<'a>, whose: &mut Whose<'a>, out: &mut Frame) -> Read<()> {
    let start = out.messages.len();
    let (mut past, mut trades) = (None, None);
    json.object(|json, key| match key {
        b"type" => json.field(&mut past, "type", is_snapshot),
        b"trades" => {
            json.once(&mut trades, (), "trades")?;
            json.array(|json| {
                out.symbol = None;
                market_trade(json, whose, out)
            })
        }
        _ => json.skip(),
    })?;
    let past = json.need(past, "type")?;
    json.need(trades, "trades")?;
    oldest_first(out, start);
    for message in out.messages.iter_mut().skip(start) {
        if let Body::Trade { silent, .. } = &mut message.body {
            *silent = past;
        }
    }
    Ok(())
}

fn market_trade<'a>(json: &mut Json<'a>, whose: &mut Whose<'a>, out: &mut Frame) -> Read<()> {
    let (mut product, mut side, mut price, mut size, mut id, mut time) = (None, None, None, None, None, None);
    json.object(|json, key| match key {
        b"product_id" => {
            let name = whose.read(json, out)?;
            json.once(&mut product, name, "product_id")
        }
        b"side" => {
            // The maker's.
            let found = match json.text()? {
                b"BUY" => Some(Side::Ask),
                b"SELL" => Some(Side::Bid),
                b"UNKNOWN_ORDER_SIDE" => None,
                _ => return Err(json.fault("BUY or SELL")),
            };
            json.once(&mut side, found, "side")
        }
        b"price" => json.field(&mut price, "price", Json::decimal),
        b"size" => json.field(&mut size, "size", Json::decimal),
        b"trade_id" => json.field(&mut id, "trade_id", Json::unsigned),
        b"time" => json.field(&mut time, "time", Json::iso),
        _ => json.skip(),
    })?;
    let symbol = Symbol::At(json.need(product, "product_id")?);
    let body = Body::Trade {
        id: json.need(id, "trade_id")?,
        price: json.need(price, "price")?,
        size: json.need(size, "size")?,
        side: json.need(side, "side")?,
        silent: false,
    };
    out.push(symbol, json.need(time, "time")?, body);
    Ok(())
}

/// A side of a best bid and ask; `None` where it is not said. Without orders it is empty or 0.
#[derive(Default)]
struct Best {
    price: Option<Option<Decimal>>,
    size: Option<Option<Decimal>>,
}

impl Best {
    fn side(&self) -> Option<(Decimal, Decimal)> {
        let (price, size) = (self.price?, self.size?);
        Some(price.zip(size).unwrap_or((Decimal::ZERO, Decimal::ZERO)))
    }
}

fn ticker<'a>(json: &mut Json<'a>, whose: &mut Whose<'a>, out: &mut Frame) -> Read<()> {
    let mut product = None;
    let (mut bid, mut ask) = (Best::default(), Best::default());
    json.object(|json, key| {
        let (slot, field) = match key {
            b"product_id" => {
                let name = whose.read(json, out)?;
                return json.once(&mut product, name, "product_id");
            }
            b"best_bid" => (&mut bid.price, "best_bid"),
            b"best_bid_quantity" => (&mut bid.size, "best_bid_quantity"),
            b"best_ask" => (&mut ask.price, "best_ask"),
            b"best_ask_quantity" => (&mut ask.size, "best_ask_quantity"),
            _ => return json.skip(),
        };
        let value = json.optional_decimal()?;
        json.once(slot, value, field)
    })?;
    let symbol = Symbol::At(json.need(product, "product_id")?);
    let (bid, ask) = (bid.side(), ask.side());
    // `ticker_batch` tells prices of trades only.
    let body = if bid.is_none() && ask.is_none() { Body::Other } else { Body::Quote { sequence: 0, bid, ask } };
    out.push(symbol, Nanos::UNKNOWN, body);
    Ok(())
}

/// `BTC-USD`; `BTC-PERP-INTX`. The dated futures do not tell their currencies.
fn describe(symbol: &str) -> Option<Instrument> {
    let mut parts = symbol.split('-');
    let (base, quote) = (parts.next()?, parts.next()?);
    if base.is_empty() || quote.is_empty() {
        return None;
    }
    match (quote, parts.next(), parts.next()) {
        (_, None, _) => Some(Instrument::named(Venue::Coinbase, symbol, Contract::Spot, base, quote)),
        ("PERP", Some("INTX"), None) => {
            Some(Instrument::named(Venue::Coinbase, symbol, Contract::Linear, base, "USDC"))
        }
        _ => None,
    }
}

/// The finest size of resting orders that a lot allows: lots were finer once, and old orders still rest. Coins that
/// trade by the whole number rest in amounts of which eight decimals would not fit.
pub(super) fn finest_size(lot: Option<Unit>) -> Unit {
    match lot {
        Some(lot) if lot.exponent() >= 0 => Unit::decimals(4),
        Some(lot) => Unit::decimals(lot.exponent().unsigned_abs().max(8)),
        None => Unit::decimals(8),
    }
}

#[derive(Deserialize)]
struct Products {
    products: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Product {
    product_id: String,
    #[serde(default)]
    base_currency_id: String,
    #[serde(default)]
    quote_currency_id: String,
    #[serde(default)]
    product_type: String,
    #[serde(default)]
    price_increment: Option<String>,
    #[serde(default)]
    quote_increment: Option<String>,
    #[serde(default)]
    base_increment: Option<String>,
    #[serde(default)]
    future_product_details: Option<Future>,
}

#[derive(Deserialize)]
struct Future {
    #[serde(default)]
    contract_root_unit: String,
    #[serde(default)]
    contract_size: Option<String>,
    #[serde(default)]
    contract_expiry: String,
    #[serde(default)]
    contract_expiry_type: String,
}

impl Product {
    fn instrument(&self) -> Option<Instrument> {
        let mut found = match (&self.future_product_details, self.product_type.as_str()) {
            (Some(future), "FUTURE") => {
                let quote = if self.quote_currency_id.is_empty() { "USD" } else { &self.quote_currency_id };
                let base = &future.contract_root_unit;
                let mut found = Instrument::named(Venue::Coinbase, &self.product_id, Contract::Linear, base, quote);
                found.multiplier = future.contract_size.as_deref().and_then(step_of)?;
                if future.contract_expiry_type != "PERPETUAL" {
                    // `2026-09-25T15:00:00Z` as 260925.
                    let date = future.contract_expiry.get(2..10)?.replace('-', "");
                    found.delivery = Some(date);
                }
                found
            }
            _ => {
                let (base, quote) = (&self.base_currency_id, &self.quote_currency_id);
                Instrument::named(Venue::Coinbase, &self.product_id, Contract::Spot, base, quote)
            }
        };
        if found.base.is_empty() || found.quote.is_empty() {
            return None;
        }
        let tick = self.price_increment.as_deref().or(self.quote_increment.as_deref());
        found.tick = tick.and_then(step_of);
        found.lot = self.base_increment.as_deref().and_then(step_of);
        found.price_unit = tick_decimals(found.tick, 8);
        found.size_unit = finest_size(found.lot);
        Some(found)
    }
}

fn list_advanced(body: &[u8]) -> Result<Vec<Instrument>, String> {
    let listing: Products = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let listed = listing.products.into_iter().filter_map(|listed| serde_json::from_value::<Product>(listed).ok());
    Ok(listed.filter_map(|listed| listed.instrument()).collect())
}

#[cfg(test)]
mod tests;
