//! Kraken Futures, websocket v1.
//!
//! Every message of a product's book has a number `seq` that is one more than the last; a snapshot comes with the
//! subscription and carries the number it is good up to. Trades of a product count by themselves in the same way.
//! Prices and sizes are bare numbers, sizes in contracts. Rules: the venue's documentation, checked on a real capture.

use serde::Deserialize;

use super::json::{Decimal, Json, Read, Text};
use super::kraken::{aggressor, levels, today};
use super::message::{Body, Frame, Level, Link, Symbol};
use super::protocol::{Channel, Dialect, KeepAlive, Protocol, RestLimit, SnapshotFrom};
use super::tick_decimals;
use crate::instrument::{Contract, Instrument, Venue};
use crate::units::{Nanos, Side, Unit};

/// The protocols of this file.
pub(super) const PROTOCOLS: &[Protocol] = &[Protocol {
    name: "kraken-futures",
    venue: Venue::KrakenFutures,
    valid: ("", ""),
    url: "wss://futures.kraken.com/ws/v1",
    mark: "futures.kraken.com/ws",
    rest: "https://futures.kraken.com",
    snapshot_path: "",
    instruments_paths: &["/derivatives/api/v3/instruments"],
    snapshot: SnapshotFrom::Stream,
    counts_frames: false,
    counts_trades: true,
    links: true,
    checksum: None,
    depth: 0,
    cuts: false,
    cross_resyncs: false,
    // The venue closes a connection on which it hears nothing for 60 s, whatever it sends itself. Its text for a ping
    // is not documented; asking again for heartbeats is a message like any other.
    keep_alive: Some(KeepAlive { text: "{\"event\":\"subscribe\",\"feed\":\"heartbeat\"}", every: 30 }),
    silence: 60,
    per_connection: 100,
    sends_per_second: 10,
    limit: RestLimit { weight: 1, per_minute: 60 },
    source: "venue documentation, a real capture of 2021",
    dialect: || Box::new(KrakenFutures),
    list,
    describe,
}];

/// Which messages mean something to us.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Snapshot,
    Change,
    Trade,
    PastTrades,
    Ticker,
    Heartbeat,
    Other,
}

impl Kind {
    const fn channel(self) -> Channel {
        match self {
            Self::Snapshot | Self::Change => Channel::Book,
            Self::Trade | Self::PastTrades => Channel::Trades,
            Self::Ticker => Channel::Quotes,
            Self::Heartbeat | Self::Other => Channel::Marks,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Event {
    Subscribed,
    Refused,
    Pong,
    Other,
}

/// What one message has brought so far.
#[derive(Default)]
struct Fields {
    kind: Option<Kind>,
    event: Option<Event>,
    product: Option<Text>,
    side: Option<Side>,
    sequence: Option<u64>,
    price: Option<Decimal>,
    size: Option<Decimal>,
    timestamp: Option<Nanos>,
    time: Option<Nanos>,
    off_market: bool,
    bids: Option<()>,
    asks: Option<()>,
    trades: Option<()>,
    bid: Option<Decimal>,
    bid_size: Option<Decimal>,
    ask: Option<Decimal>,
    ask_size: Option<Decimal>,
    mark: Option<Decimal>,
    index: Option<Decimal>,
    rate: Option<Decimal>,
    due: Option<Nanos>,
    text: Option<Text>,
}

/// One connection.
#[derive(Debug)]
struct KrakenFutures;

impl Dialect for KrakenFutures {
    fn read(&mut self, frame: &[u8], out: &mut Frame) -> Read<()> {
        let mut json = Json::new(frame);
        let mut fields = Fields::default();
        json.object(|json, key| fields.take(json, key, out))?;
        json.end()?;
        fields.message(&json, out)
    }

    fn read_snapshot(&mut self, body: &[u8], out: &mut Frame) -> Read<()> {
        rest_book(body, out)
    }

    fn subscribe(&mut self, on: bool, symbols: &[&str], channels: &[Channel], _depth: u16, out: &mut Vec<String>) {
        let event = if on { "subscribe" } else { "unsubscribe" };
        let has = |channel| channels.contains(&channel);
        // One feed holds quotes and marks.
        let feeds = [
            (has(Channel::Book), "book"),
            (has(Channel::Trades), "trade"),
            (has(Channel::Quotes) || has(Channel::Marks), "ticker"),
        ];
        for (_, feed) in feeds.into_iter().filter(|(wanted, _)| *wanted) {
            for symbols in symbols.chunks(50) {
                let products: Vec<String> = symbols.iter().map(|symbol| format!("\"{symbol}\"")).collect();
                let products = products.join(",");
                out.push(format!("{{\"event\":\"{event}\",\"feed\":\"{feed}\",\"product_ids\":[{products}]}}"));
            }
        }
    }
}

impl Fields {
    #[inline]
    fn take(&mut self, json: &mut Json<'_>, key: &[u8], out: &mut Frame) -> Read<()> {
        match key {
            b"feed" => {
                let kind = match json.text()? {
                    b"book" => Kind::Change,
                    b"book_snapshot" => Kind::Snapshot,
                    b"trade" => Kind::Trade,
                    b"trade_snapshot" => Kind::PastTrades,
                    b"ticker" => Kind::Ticker,
                    b"heartbeat" => Kind::Heartbeat,
                    // `ticker_lite` has prices without sizes.
                    _ => Kind::Other,
                };
                out.channel = Some(kind.channel());
                json.once(&mut self.kind, kind, "feed")
            }
            b"event" => {
                let event = match json.text()? {
                    b"subscribed" => Event::Subscribed,
                    b"error" | b"alert" | b"subscribed_failed" => Event::Refused,
                    b"pong" => Event::Pong,
                    _ => Event::Other,
                };
                json.once(&mut self.event, event, "event")
            }
            b"product_id" => {
                let product = json.name()?;
                out.symbol = Some(Symbol::At(product));
                json.once(&mut self.product, product, "product_id")
            }
            // What an acknowledgement names.
            b"product_ids" if json.peek() == b'[' => json.array(|json| {
                let product = json.name()?;
                out.push(Symbol::At(product), Nanos::UNKNOWN, Body::Subscribed);
                Ok(())
            }),
            b"message" if json.peek() == b'"' => json.field(&mut self.text, "message", Json::name),
            _ if self.kind == Some(Kind::Other) => json.skip(),
            b"side" => json.field(&mut self.side, "side", aggressor),
            b"seq" => json.field(&mut self.sequence, "seq", Json::unsigned),
            b"price" => json.field(&mut self.price, "price", Json::decimal),
            b"qty" => json.field(&mut self.size, "qty", Json::decimal),
            b"timestamp" => json.field(&mut self.timestamp, "timestamp", Json::millis),
            b"time" => json.field(&mut self.time, "time", Json::millis),
            b"type" => {
                // Blocks, assignments and terminations are agreed outside the book.
                self.off_market = !matches!(json.text()?, b"fill" | b"liquidation");
                Ok(())
            }
            b"bids" => {
                json.once(&mut self.bids, (), "bids")?;
                levels(json, Side::Bid, out)
            }
            b"asks" => {
                json.once(&mut self.asks, (), "asks")?;
                levels(json, Side::Ask, out)
            }
            b"trades" => {
                json.once(&mut self.trades, (), "trades")?;
                let start = out.messages.len();
                json.array(|json| {
                    let mut past = Self::default();
                    json.object(|json, key| past.take(json, key, out))?;
                    past.trade(json, true, out)
                })?;
                oldest_first(out, start);
                Ok(())
            }
            b"bid" => {
                self.bid = json.optional_decimal()?;
                Ok(())
            }
            b"bid_size" => {
                self.bid_size = json.optional_decimal()?;
                Ok(())
            }
            b"ask" => {
                self.ask = json.optional_decimal()?;
                Ok(())
            }
            b"ask_size" => {
                self.ask_size = json.optional_decimal()?;
                Ok(())
            }
            b"markPrice" => {
                self.mark = json.optional_decimal()?;
                Ok(())
            }
            b"index" => {
                self.index = json.optional_decimal()?;
                Ok(())
            }
            // The other rate, `funding_rate`, is not relative to the price.
            b"relative_funding_rate" => {
                self.rate = json.optional_decimal()?;
                Ok(())
            }
            b"next_funding_rate_time" if !json.null() => {
                json.field(&mut self.due, "next_funding_rate_time", Json::millis)
            }
            b"next_funding_rate_time" => Ok(()),
            _ => json.skip(),
        }
    }

    #[inline]
    fn message(self, json: &Json<'_>, out: &mut Frame) -> Read<()> {
        if let Some(event) = self.event {
            if event != Event::Subscribed {
                out.messages.clear();
                let body = match (event, self.text) {
                    (Event::Refused, Some(text)) => Body::Refused(text),
                    (Event::Pong, _) => Body::Heartbeat,
                    _ => Body::Other,
                };
                out.push(Symbol::None, Nanos::UNKNOWN, body);
            }
            return Ok(());
        }
        let kind = json.need(self.kind, "feed")?;
        match kind {
            Kind::Change => {
                let sequence = json.need(self.sequence, "seq")?;
                let (price, size) = (json.need(self.price, "price")?, json.need(self.size, "qty")?);
                out.levels.push(Level { price, size, side: json.need(self.side, "side")? });
                self.book(json, false, Link::Range { first: sequence, last: sequence }, out)
            }
            Kind::Snapshot => {
                json.need(self.bids, "bids")?;
                json.need(self.asks, "asks")?;
                let sequence = json.need(self.sequence, "seq")?;
                self.book(json, true, Link::At(sequence), out)
            }
            Kind::Trade => self.trade(json, false, out),
            Kind::PastTrades => json.need(self.trades, "trades"),
            Kind::Ticker => self.ticker(json, out),
            Kind::Heartbeat => {
                out.push(Symbol::None, Nanos::UNKNOWN, Body::Heartbeat);
                Ok(())
            }
            Kind::Other => {
                let symbol = self.product.map_or(Symbol::None, Symbol::At);
                out.push(symbol, Nanos::UNKNOWN, Body::Other);
                Ok(())
            }
        }
    }

    fn book(&self, json: &Json<'_>, snapshot: bool, link: Link, out: &mut Frame) -> Read<()> {
        let symbol = Symbol::At(json.need(self.product, "product_id")?);
        let ts_event = json.need(self.timestamp, "timestamp")?;
        let levels = 0..out.levels.len();
        out.push(symbol, ts_event, Body::Levels { snapshot, link, checksum: None, levels });
        Ok(())
    }

    fn trade(&self, json: &Json<'_>, past: bool, out: &mut Frame) -> Read<()> {
        let symbol = Symbol::At(json.need(self.product, "product_id")?);
        let body = Body::Trade {
            id: json.need(self.sequence, "seq")?,
            price: json.need(self.price, "price")?,
            size: json.need(self.size, "qty")?,
            side: Some(json.need(self.side, "side")?),
            silent: past || self.off_market,
        };
        out.push(symbol, json.need(self.time, "time")?, body);
        Ok(())
    }

    fn ticker(&self, json: &Json<'_>, out: &mut Frame) -> Read<()> {
        let symbol = Symbol::At(json.need(self.product, "product_id")?);
        let ts_event = json.need(self.time, "time")?;
        // A side without orders is left out.
        let side = |price: Option<Decimal>, size: Option<Decimal>| match price.zip(size) {
            None => (Decimal::ZERO, Decimal::ZERO),
            Some(side) => side,
        };
        if self.bid.is_some() || self.ask.is_some() {
            let (bid, ask) = (side(self.bid, self.bid_size), side(self.ask, self.ask_size));
            out.push(symbol, ts_event, Body::Quote { sequence: 0, bid: Some(bid), ask: Some(ask) });
        }
        if self.mark.is_some() || self.index.is_some() || self.rate.is_some() {
            let funding = self.rate.map(|rate| (rate, self.due.unwrap_or(Nanos::UNKNOWN)));
            out.push(symbol, ts_event, Body::Mark { mark: self.mark, index: self.index, iv: None, funding });
        }
        Ok(())
    }
}

/// Puts trades that came newest first into the order in which they happened.
pub(super) fn oldest_first(out: &mut Frame, start: usize) {
    let Some(trades) = out.messages.get_mut(start..) else { return };
    let number = |message: &super::message::Message| match message.body {
        Body::Trade { id, .. } => (message.ts_event, id),
        _ => (message.ts_event, 0),
    };
    if let (Some(first), Some(last)) = (trades.first(), trades.last())
        && number(first) > number(last)
    {
        trades.reverse();
    }
}

/// The answer to `/derivatives/api/v3/orderbook`: `{"orderBook":{"bids":[[p,q]],"asks":[]},"serverTime":"…"}`.
fn rest_book(body: &[u8], out: &mut Frame) -> Read<()> {
    out.channel = Some(Channel::Book);
    let mut json = Json::new(body);
    let (mut bids, mut asks, mut time) = (None, None, None);
    json.object(|json, key| match key {
        b"serverTime" => json.field(&mut time, "serverTime", Json::iso),
        b"orderBook" => json.object(|json, key| {
            let (slot, side, field) = match key {
                b"bids" => (&mut bids, Side::Bid, "bids"),
                b"asks" => (&mut asks, Side::Ask, "asks"),
                _ => return json.skip(),
            };
            json.once(slot, (), field)?;
            json.array(|json| {
                json.open()?;
                let price = json.decimal()?;
                json.comma()?;
                let size = json.decimal()?;
                out.levels.push(Level { price, size, side });
                json.close()
            })
        }),
        _ => json.skip(),
    })?;
    json.end()?;
    json.need(bids, "bids")?;
    json.need(asks, "asks")?;
    let levels = 0..out.levels.len();
    let ts_event = time.unwrap_or(Nanos::UNKNOWN);
    out.push(Symbol::Asked, ts_event, Body::Levels { snapshot: true, link: Link::None, checksum: None, levels });
    Ok(())
}

const QUOTES: [&str; 6] = ["USDT", "USDC", "USD", "EUR", "XBT", "ETH"];

/// `PI_XBTUSD`, `FI_XBTUSD_210924` (inverse), `PF_XBTUSD`, `FF_XBTUSD_260925` (linear), `PV_XRPXBT` (vanilla).
fn describe(symbol: &str) -> Option<Instrument> {
    let upper = symbol.to_ascii_uppercase();
    let mut parts = upper.split('_');
    let contract = match parts.next()? {
        "PI" | "FI" => Contract::Inverse,
        "PF" | "FF" | "PV" | "FV" => Contract::Linear,
        _ => return None,
    };
    let pair = parts.next()?;
    let (base, quote) = QUOTES
        .iter()
        .find_map(|quote| pair.strip_suffix(quote).filter(|base| !base.is_empty()).map(|base| (base, *quote)))?;
    let mut found = Instrument::named(Venue::KrakenFutures, &upper, contract, today(base), today(quote));
    let dated = |suffix: &&str| suffix.len() == 6 && suffix.bytes().all(|byte| byte.is_ascii_digit());
    found.delivery = parts.next().filter(dated).map(str::to_owned);
    Some(found)
}

#[derive(Deserialize)]
struct Listing {
    instruments: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    symbol: String,
    tick_size: serde_json::Number,
    #[serde(default)]
    contract_size: Option<serde_json::Number>,
    /// Decimals of a size; below 0 where it is a multiple of ten.
    #[serde(default)]
    contract_value_trade_precision: Option<i8>,
}

/// A listed number, exactly as a decimal: `0.5`, `1e-6`.
fn unit(number: &serde_json::Number) -> Option<Unit> {
    Unit::parse(&number.to_string()).ok()
}

fn list(body: &[u8]) -> Result<Vec<Instrument>, String> {
    let listing: Listing = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    // Indices are listed too, without a tick.
    let listed = listing.instruments.into_iter().filter_map(|listed| serde_json::from_value::<Listed>(listed).ok());
    Ok(listed
        .filter_map(|listed| {
            let mut found = describe(&listed.symbol)?;
            found.tick = unit(&listed.tick_size);
            found.price_unit = tick_decimals(found.tick, 8);
            found.multiplier = listed.contract_size.as_ref().and_then(unit).unwrap_or(Unit::ONE);
            found.lot = match (found.contract, listed.contract_value_trade_precision) {
                (_, Some(decimals)) => Unit::new(1, decimals.checked_neg()?),
                // Inverse contracts are whole.
                (Contract::Inverse, None) => Some(Unit::ONE),
                _ => None,
            };
            found.size_unit = tick_decimals(found.lot, 8);
            Some(found)
        })
        .collect())
}

#[cfg(test)]
mod tests;
