//! Gemini, websocket v2.
//!
//! Changes of a book have neither number, time nor checksum: nothing proves that none was lost. The first message of a
//! symbol holds the whole book; it is known by the trades and auctions that come with it. `ts_event` of a book is
//! unknown. Rules: the venue's documentation, checked on a real capture.

use serde::Deserialize;

use super::json::{Decimal, Json, Read, Text};
use super::kraken_futures::oldest_first;
use super::message::{Body, Frame, Level, Link, Symbol};
use super::protocol::{Channel, Dialect, Protocol, RestLimit, SnapshotFrom};
use super::tick_decimals;
use crate::instrument::{Contract, Instrument, Venue};
use crate::units::{Nanos, Side, Unit};

/// The protocols of this file.
pub(super) const PROTOCOLS: &[Protocol] = &[Protocol {
    name: "gemini-v2",
    venue: Venue::Gemini,
    valid: ("", ""),
    url: "wss://api.gemini.com/v2/marketdata",
    mark: "api.gemini.com/v2/marketdata",
    rest: "https://api.gemini.com",
    snapshot_path: "",
    instruments_paths: &["/v1/symbols"],
    snapshot: SnapshotFrom::Stream,
    counts_frames: false,
    // Ids of trades are those of all events.
    counts_trades: false,
    links: false,
    checksum: None,
    depth: 0,
    cuts: false,
    cross_resyncs: false,
    keep_alive: None,
    // Heartbeats come every five seconds.
    silence: 20,
    per_connection: 100,
    sends_per_second: 10,
    limit: RestLimit { weight: 1, per_minute: 120 },
    source: "venue documentation, a real capture of 2021; refusals from other clients",
    dialect: || Box::new(Gemini),
    list,
    describe,
}];

/// Which messages mean something to us.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Book,
    Trade,
    Heartbeat,
    Other,
}

/// What one message has brought so far.
#[derive(Default)]
struct Fields {
    kind: Option<Kind>,
    symbol: Option<Text>,
    changes: Option<()>,
    /// Trades or auctions came with the book: it is all there is.
    whole: bool,
    id: Option<u64>,
    time: Option<Nanos>,
    price: Option<Decimal>,
    size: Option<Decimal>,
    side: Option<Side>,
    failed: bool,
    reason: Option<Text>,
}

/// One connection.
#[derive(Debug)]
struct Gemini;

impl Dialect for Gemini {
    fn read(&mut self, frame: &[u8], out: &mut Frame) -> Read<()> {
        let mut json = Json::new(frame);
        let mut fields = Fields::default();
        json.object(|json, key| fields.take(json, key, out))?;
        json.end()?;
        fields.message(&json, out)
    }

    fn subscribe(&mut self, on: bool, symbols: &[&str], channels: &[Channel], _depth: u16, out: &mut Vec<String>) {
        // One feed holds the book and the trades; there is none of quotes.
        if !channels.iter().any(|channel| matches!(channel, Channel::Book | Channel::Trades)) {
            return;
        }
        let kind = if on { "subscribe" } else { "unsubscribe" };
        for symbols in symbols.chunks(50) {
            let names: Vec<String> = symbols.iter().map(|symbol| format!("\"{symbol}\"")).collect();
            let names = names.join(",");
            out.push(format!("{{\"type\":\"{kind}\",\"subscriptions\":[{{\"name\":\"l2\",\"symbols\":[{names}]}}]}}"));
        }
    }
}

impl Fields {
    #[inline]
    fn take(&mut self, json: &mut Json<'_>, key: &[u8], out: &mut Frame) -> Read<()> {
        match key {
            b"type" => {
                let (kind, channel) = match json.text()? {
                    b"l2_updates" => (Kind::Book, Channel::Book),
                    b"trade" => (Kind::Trade, Channel::Trades),
                    b"heartbeat" => (Kind::Heartbeat, Channel::Marks),
                    _ => (Kind::Other, Channel::Marks),
                };
                out.channel = Some(channel);
                json.once(&mut self.kind, kind, "type")
            }
            b"symbol" => {
                let symbol = json.name()?;
                out.symbol = Some(Symbol::At(symbol));
                json.once(&mut self.symbol, symbol, "symbol")
            }
            b"reason" | b"message" if json.peek() == b'"' => {
                self.reason = Some(json.name()?);
                Ok(())
            }
            b"result" if json.peek() == b'"' => {
                self.failed = json.text()? == b"error";
                Ok(())
            }
            _ if self.kind == Some(Kind::Other) => json.skip(),
            b"changes" => {
                json.once(&mut self.changes, (), "changes")?;
                if self.kind.is_none() {
                    // Candles have changes too.
                    return self.changes_of_any(json, out);
                }
                json.array(|json| level(json, out))
            }
            b"trades" if json.peek() == b'[' => {
                self.whole = true;
                let start = out.messages.len();
                json.array(|json| {
                    let mut past = Self::default();
                    let (channel, symbol) = (out.channel, out.symbol);
                    json.object(|json, key| past.take(json, key, out))?;
                    (out.channel, out.symbol) = (channel, symbol);
                    past.trade(json, true, out)
                })?;
                oldest_first(out, start);
                Ok(())
            }
            b"auction_events" => {
                self.whole = true;
                json.skip()
            }
            b"event_id" => json.field(&mut self.id, "event_id", Json::unsigned),
            b"timestamp" => json.field(&mut self.time, "timestamp", Json::millis),
            b"price" => json.field(&mut self.price, "price", Json::decimal),
            b"quantity" => json.field(&mut self.size, "quantity", Json::decimal),
            b"side" => json.field(&mut self.side, "side", |json| json.side(b"buy", b"sell", "buy or sell")),
            _ => json.skip(),
        }
    }

    /// Changes that stand before the type of their message: levels if they look like it.
    #[cold]
    fn changes_of_any(&self, json: &mut Json<'_>, out: &mut Frame) -> Read<()> {
        let mut ahead = json.clone();
        if ahead.array(|json| level(json, out)).is_ok() {
            *json = ahead;
            return Ok(());
        }
        out.levels.clear();
        json.skip()
    }

    #[inline]
    fn message(self, json: &Json<'_>, out: &mut Frame) -> Read<()> {
        let Some(kind) = self.kind else {
            if !self.failed {
                return json.need(None, "type");
            }
            let symbol = self.symbol.map_or(Symbol::None, Symbol::At);
            out.push(symbol, Nanos::UNKNOWN, self.reason.map_or(Body::Other, Body::Refused));
            return Ok(());
        };
        match kind {
            Kind::Book => {
                let symbol = Symbol::At(json.need(self.symbol, "symbol")?);
                json.need(self.changes, "changes")?;
                let levels = 0..out.levels.len();
                let body = Body::Levels { snapshot: self.whole, link: Link::None, checksum: None, levels };
                out.push(symbol, Nanos::UNKNOWN, body);
                Ok(())
            }
            Kind::Trade => self.trade(json, false, out),
            Kind::Heartbeat => {
                out.push(Symbol::None, self.time.unwrap_or(Nanos::UNKNOWN), Body::Heartbeat);
                Ok(())
            }
            Kind::Other => {
                out.levels.clear();
                let symbol = self.symbol.map_or(Symbol::None, Symbol::At);
                out.push(symbol, Nanos::UNKNOWN, Body::Other);
                Ok(())
            }
        }
    }

    fn trade(&self, json: &Json<'_>, silent: bool, out: &mut Frame) -> Read<()> {
        let symbol = Symbol::At(json.need(self.symbol, "symbol")?);
        let body = Body::Trade {
            id: json.need(self.id, "event_id")?,
            price: json.need(self.price, "price")?,
            size: json.need(self.size, "quantity")?,
            // The taker's: in captures, buys are at the ask.
            side: Some(json.need(self.side, "side")?),
            silent,
        };
        out.push(symbol, json.need(self.time, "timestamp")?, body);
        Ok(())
    }
}

/// `["buy","302.75","0.00001"]`.
#[inline]
fn level(json: &mut Json<'_>, out: &mut Frame) -> Read<()> {
    json.open()?;
    let side = json.side(b"buy", b"sell", "buy or sell")?;
    json.comma()?;
    let price = json.decimal()?;
    json.comma()?;
    let size = json.decimal()?;
    out.levels.push(Level { price, size, side });
    json.close()
}

const QUOTES: [&str; 14] =
    ["USDT", "USDC", "GUSD", "RLUSD", "USD", "EUR", "GBP", "SGD", "DAI", "BTC", "ETH", "BCH", "LTC", "FIL"];

/// `BTCUSD`, `PAXGUSD`, `BTCGUSDPERP`.
fn describe(symbol: &str) -> Option<Instrument> {
    let upper = symbol.to_ascii_uppercase();
    let (pair, contract) = match upper.strip_suffix("PERP") {
        Some(pair) => (pair, Contract::Linear),
        None => (upper.as_str(), Contract::Spot),
    };
    let (base, quote) = QUOTES.iter().find_map(|quote| {
        let base = pair.strip_suffix(quote).filter(|base| !base.is_empty())?;
        // Gold is `PAXG`: PAXGUSD is no pair in Gemini's own dollar.
        (base != "PAX" || *quote != "GUSD").then_some((base, *quote))
    })?;
    Some(Instrument::named(Venue::Gemini, &upper, contract, base, quote))
}

#[derive(Deserialize)]
struct Listed {
    symbol: String,
    base_currency: String,
    quote_currency: String,
    /// The step of sizes, whatever its name says.
    tick_size: serde_json::Value,
    /// The step of prices.
    quote_increment: serde_json::Value,
    #[serde(default)]
    product_type: String,
}

/// A step that is listed as a number or as a text.
fn step(value: &serde_json::Value) -> Option<Unit> {
    match value {
        serde_json::Value::String(text) => Unit::parse(text).ok(),
        value => Unit::parse(&value.to_string()).ok(),
    }
}

/// What `/v1/symbols` or `/v1/symbols/details/{symbol}` says of one symbol.
fn listed(value: serde_json::Value) -> Option<Instrument> {
    if let serde_json::Value::String(symbol) = value {
        // Names only: units as fine as any that Gemini lists, which still leave room for the dearest and the largest.
        let mut found = describe(&symbol)?;
        let fine = matches!(found.base.as_str(), "BTC" | "PAXG");
        (found.price_unit, found.size_unit) = (Unit::decimals(10), Unit::decimals(if fine { 10 } else { 8 }));
        return Some(found);
    }
    let listed = serde_json::from_value::<Listed>(value).ok()?;
    let symbol = listed.symbol.to_ascii_uppercase();
    let perpetual = listed.product_type == "swap" || symbol.ends_with("PERP");
    let contract = if perpetual { Contract::Linear } else { Contract::Spot };
    let mut found = Instrument::named(Venue::Gemini, &symbol, contract, &listed.base_currency, &listed.quote_currency);
    (found.tick, found.lot) = (step(&listed.quote_increment), step(&listed.tick_size));
    found.price_unit = tick_decimals(found.tick, 10);
    // Sizes of trades show two decimals more than orders may have.
    let decimals = found.lot.map_or(6, |lot| lot.exponent().min(0).unsigned_abs().min(16));
    found.size_unit = Unit::decimals(decimals + 2);
    Some(found)
}

fn list(body: &[u8]) -> Result<Vec<Instrument>, String> {
    let listing: serde_json::Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    match listing {
        serde_json::Value::Array(listing) => Ok(listing.into_iter().filter_map(listed).collect()),
        one @ serde_json::Value::Object(_) => Ok(listed(one).into_iter().collect()),
        _ => Err("expected an array of symbols or the details of one".to_owned()),
    }
}

#[cfg(test)]
mod tests;
