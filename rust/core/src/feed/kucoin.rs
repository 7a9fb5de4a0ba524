//! KuCoin, spot.
//!
//! A book's message holds the changes `sequenceStart..=sequenceEnd` of its symbol, counted without holes, and joins a
//! REST snapshot where that range covers the snapshot's `sequence + 1`. A change whose price is 0 is none: an order
//! came and went without touching a level, only the ids move on. The keyless snapshot has a hundred levels of each
//! side; what lies deeper is known once it changes. There is no checksum. A match names the taker's side.
//!
//! The websocket's address and token come from `POST /api/v1/bullet-public`; the address here is what it usually
//! answers. Times: of matches in ns; of tickers and of the newer book messages in ms; older book messages have none.
//! Rules: the venue's documentation and a real capture of 2021, in which `data` comes before the topic that says what
//! it is.

use serde::Deserialize;

use super::json::{Decimal, Json, Read, Text};
use super::message::{Body, Frame, Level, Link, Symbol};
use super::protocol::{Channel, Dialect, KeepAlive, Protocol, RestLimit, SnapshotFrom};
use super::{step_of, tick_decimals};
use crate::instrument::{Contract, Instrument, Venue};
use crate::units::{Nanos, Side, Unit};

const KUCOIN: Protocol = Protocol {
    name: "kucoin",
    venue: Venue::Kucoin,
    valid: ("2022-01-01", ""),
    url: "wss://ws-api-spot.kucoin.com/",
    mark: "kucoin.com",
    rest: "https://api.kucoin.com",
    snapshot_path: "/api/v1/market/orderbook/level2_100?symbol={symbol}",
    instruments_paths: &["/api/v2/symbols"],
    snapshot: SnapshotFrom::Rest,
    counts_frames: false,
    counts_trades: false,
    links: true,
    checksum: None,
    depth: 0,
    cuts: false,
    cross_resyncs: false,
    keep_alive: Some(KeepAlive { text: r#"{"id":"1","type":"ping"}"#, every: 15 }),
    silence: 60,
    per_connection: 100,
    sends_per_second: 10,
    limit: RestLimit { weight: 4, per_minute: 4_000 },
    source: "venue documentation, real capture of 2021; limits from memory",
    dialect: || Box::new(Kucoin::default()),
    list,
    describe,
};

/// The protocols of this file.
pub(super) const PROTOCOLS: &[Protocol] = &[
    Protocol {
        name: "kucoin-2021",
        valid: ("", "2021-12-31"),
        // All levels, as long as nobody asked for a key.
        snapshot_path: "/api/v3/market/orderbook/level2?symbol={symbol}",
        source: "real capture of 2021; when the key became necessary, from memory",
        ..KUCOIN
    },
    KUCOIN,
];

/// What a topic brings.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Book,
    Match,
    Ticker,
    /// Candles, statistics, market by order, shallow copies of the book, and everything of the futures.
    Other,
}

impl Kind {
    /// The kind and the symbol of a topic such as `/market/level2:BTC-USDT`.
    fn of(topic: &[u8]) -> (Self, &[u8]) {
        let colon = topic.iter().position(|&byte| byte == b':').unwrap_or(topic.len());
        let symbol = topic.get(colon + 1..).unwrap_or_default();
        let kind = match topic.get(..colon).unwrap_or_default() {
            b"/market/level2" => Self::Book,
            b"/market/match" => Self::Match,
            b"/market/ticker" => Self::Ticker,
            _ => Self::Other,
        };
        (kind, symbol)
    }

    const fn channel(self) -> Option<Channel> {
        match self {
            Self::Book => Some(Channel::Book),
            Self::Match => Some(Channel::Trades),
            Self::Ticker => Some(Channel::Quotes),
            // Anything but a book: what is wrong in it takes nothing from one.
            Self::Other => Some(Channel::Marks),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Message,
    Ack,
    Alive,
    Error,
    Other,
}

/// One connection.
#[derive(Debug, Default)]
struct Kucoin {
    requests: u64,
}

impl Dialect for Kucoin {
    fn read(&mut self, frame: &[u8], out: &mut Frame) -> Read<()> {
        let mut json = Json::new(frame);
        let (mut what, mut topic, mut data, mut subject) = (None, None, None, None);
        let mut read = false;
        json.object(|json, key| match key {
            b"type" => {
                let found = match json.text()? {
                    b"message" => Type::Message,
                    b"ack" => Type::Ack,
                    b"welcome" | b"pong" => Type::Alive,
                    b"error" => Type::Error,
                    _ => Type::Other,
                };
                json.once(&mut what, found, "type")
            }
            b"topic" => {
                let text = json.text()?;
                let (kind, symbol) = Kind::of(text);
                out.channel = kind.channel();
                let named = !symbol.is_empty() && symbol != b"all" && !symbol.contains(&b',');
                if named && kind != Kind::Other {
                    out.symbol = Some(Symbol::At(json.place(symbol)));
                }
                json.once(&mut topic, (kind, named.then(|| json.place(symbol))), "topic")
            }
            b"subject" => json.field(&mut subject, "subject", Json::name),
            b"data" => {
                json.once(&mut data, json.clone(), "data")?;
                match topic {
                    // The ticker of all symbols names them in its subject.
                    Some((kind, Some(symbol))) => {
                        read = true;
                        message(json, kind, symbol, out)
                    }
                    _ => json.skip(),
                }
            }
            _ => json.skip(),
        })?;
        json.end()?;
        match json.need(what, "type")? {
            Type::Message if read => Ok(()),
            Type::Message => {
                let (kind, symbol) = json.need(topic, "topic")?;
                let symbol = match symbol {
                    Some(symbol) => symbol,
                    None => json.need(subject, "subject")?,
                };
                message(&mut json.need(data, "data")?, kind, symbol, out)
            }
            kind => {
                let body = match kind {
                    Type::Ack => Body::Subscribed,
                    Type::Alive => Body::Heartbeat,
                    Type::Error => {
                        let mut data = json.need(data, "data")?;
                        Body::Refused(if data.peek() == b'"' { data.name()? } else { Text::default() })
                    }
                    Type::Message | Type::Other => Body::Other,
                };
                out.push(Symbol::None, Nanos::UNKNOWN, body);
                Ok(())
            }
        }
    }

    fn read_snapshot(&mut self, body: &[u8], out: &mut Frame) -> Read<()> {
        let mut json = Json::new(body);
        let (mut sequence, mut time, mut bids, mut asks) = (None, None, None, None);
        out.channel = Some(Channel::Book);
        json.object(|json, key| match key {
            b"data" if json.peek() == b'{' => json.object(|json, key| match key {
                b"sequence" => json.field(&mut sequence, "sequence", Json::unsigned),
                b"time" => json.field(&mut time, "time", Json::millis),
                b"bids" => {
                    json.once(&mut bids, (), "bids")?;
                    levels(json, Side::Bid, out)
                }
                b"asks" => {
                    json.once(&mut asks, (), "asks")?;
                    levels(json, Side::Ask, out)
                }
                _ => json.skip(),
            }),
            _ => json.skip(),
        })?;
        json.end()?;
        let link = Link::At(json.need(sequence, "sequence")?);
        json.need(bids, "bids")?;
        json.need(asks, "asks")?;
        let levels = 0..out.levels.len();
        let ts_event = time.unwrap_or(Nanos::UNKNOWN);
        out.push(Symbol::Asked, ts_event, Body::Levels { snapshot: true, link, checksum: None, levels });
        Ok(())
    }

    fn subscribe(&mut self, on: bool, symbols: &[&str], channels: &[Channel], _depth: u16, out: &mut Vec<String>) {
        let what = if on { "subscribe" } else { "unsubscribe" };
        for channel in channels {
            let topic = match channel {
                Channel::Book => "/market/level2",
                Channel::Trades => "/market/match",
                Channel::Quotes => "/market/ticker",
                Channel::Marks => continue,
            };
            // A topic may name a hundred symbols.
            for symbols in symbols.chunks(100) {
                self.requests += 1;
                let (id, symbols) = (self.requests, symbols.join(","));
                out.push(format!(r#"{{"id":"{id}","type":"{what}","topic":"{topic}:{symbols}","response":true}}"#));
            }
        }
    }
}

fn message(json: &mut Json<'_>, kind: Kind, symbol: Text, out: &mut Frame) -> Read<()> {
    let symbol = Symbol::At(symbol);
    if kind != Kind::Other {
        out.symbol = Some(symbol);
    }
    match kind {
        Kind::Book => book(json, symbol, out),
        Kind::Match => matched(json, symbol, out),
        Kind::Ticker => ticker(json, symbol, out),
        Kind::Other => json.skip(),
    }
}

#[inline]
fn book(json: &mut Json<'_>, symbol: Symbol, out: &mut Frame) -> Read<()> {
    let (mut first, mut last, mut time, mut changes) = (None, None, None, None);
    let (mut bids, mut asks) = (None, None);
    json.object(|json, key| match key {
        b"sequenceStart" => json.field(&mut first, "sequenceStart", Json::unsigned),
        b"sequenceEnd" => json.field(&mut last, "sequenceEnd", Json::unsigned),
        b"time" => json.field(&mut time, "time", Json::millis),
        b"changes" => {
            json.once(&mut changes, (), "changes")?;
            json.object(|json, key| match key {
                b"bids" => {
                    json.once(&mut bids, (), "bids")?;
                    levels(json, Side::Bid, out)
                }
                b"asks" => {
                    json.once(&mut asks, (), "asks")?;
                    levels(json, Side::Ask, out)
                }
                _ => json.skip(),
            })
        }
        _ => json.skip(),
    })?;
    let (first, last) = (json.need(first, "sequenceStart")?, json.need(last, "sequenceEnd")?);
    json.need(bids, "bids")?;
    json.need(asks, "asks")?;
    let (link, levels) = (Link::Range { first, last }, 0..out.levels.len());
    let ts_event = time.unwrap_or(Nanos::UNKNOWN);
    out.push(symbol, ts_event, Body::Levels { snapshot: false, link, checksum: None, levels });
    Ok(())
}

/// Levels: `["price","size"]` of a snapshot, `["price","size","sequence"]` of a change.
#[inline]
fn levels(json: &mut Json<'_>, side: Side, out: &mut Frame) -> Read<()> {
    json.array(|json| {
        let (price, size) = json.pair()?;
        // A change at price 0 only moves the ids on.
        if !price.is_zero() {
            out.levels.push(Level { price, size, side });
        }
        Ok(())
    })
}

fn matched(json: &mut Json<'_>, symbol: Symbol, out: &mut Frame) -> Read<()> {
    let (mut side, mut price, mut size, mut time, mut id) = (None, None, None, None, None);
    json.object(|json, key| match key {
        b"side" => json.field(&mut side, "side", |json| json.side(b"buy", b"sell", "buy or sell")),
        b"price" => json.field(&mut price, "price", Json::decimal),
        b"size" => json.field(&mut size, "size", Json::decimal),
        b"time" => json.field(&mut time, "time", Json::nanos),
        b"tradeId" => json.field(&mut id, "tradeId", |json| json.text().map(number)),
        _ => json.skip(),
    })?;
    let body = Body::Trade {
        id: json.need(id, "tradeId")?,
        price: json.need(price, "price")?,
        size: json.need(size, "size")?,
        side: Some(json.need(side, "side")?),
        silent: false,
    };
    out.push(symbol, json.need(time, "time")?, body);
    Ok(())
}

/// A trade's id: a number today, 24 hexadecimal digits until 2022.
fn number(text: &[u8]) -> u64 {
    let short = text.len() < 20 && text.iter().all(u8::is_ascii_digit);
    if short { text.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')) } else { 0 }
}

fn ticker(json: &mut Json<'_>, symbol: Symbol, out: &mut Frame) -> Read<()> {
    let (mut sequence, mut time) = (None, None);
    let (mut bid, mut bid_size, mut ask, mut ask_size) = (None, None, None, None);
    json.object(|json, key| match key {
        b"sequence" => json.field(&mut sequence, "sequence", Json::unsigned),
        b"time" => json.field(&mut time, "time", Json::millis),
        b"bestBid" => json.field(&mut bid, "bestBid", Json::optional_decimal),
        b"bestBidSize" => json.field(&mut bid_size, "bestBidSize", Json::optional_decimal),
        b"bestAsk" => json.field(&mut ask, "bestAsk", Json::optional_decimal),
        b"bestAskSize" => json.field(&mut ask_size, "bestAskSize", Json::optional_decimal),
        _ => json.skip(),
    })?;
    // A side without orders has no price.
    let side = |price: Option<Decimal>, size: Option<Decimal>| match (price, size) {
        (Some(price), Some(size)) => Some((price, size)),
        _ => Some((Decimal::ZERO, Decimal::ZERO)),
    };
    let body = Body::Quote {
        sequence: json.need(sequence, "sequence")?,
        bid: side(json.need(bid, "bestBid")?, json.need(bid_size, "bestBidSize")?),
        ask: side(json.need(ask, "bestAsk")?, json.need(ask_size, "bestAskSize")?),
    };
    out.push(symbol, time.unwrap_or(Nanos::UNKNOWN), body);
    Ok(())
}

fn describe(symbol: &str) -> Option<Instrument> {
    let symbol = symbol.to_ascii_uppercase();
    let (base, quote) = symbol.split_once('-')?;
    let named = !base.is_empty() && !quote.is_empty() && !quote.contains('-');
    named.then(|| Instrument::named(Venue::Kucoin, &symbol, Contract::Spot, base, quote))
}

#[derive(Deserialize)]
struct Listing {
    data: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    symbol: String,
    base_currency: String,
    quote_currency: String,
    base_increment: String,
    price_increment: String,
}

fn list(body: &[u8]) -> Result<Vec<Instrument>, String> {
    let listing: Listing = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    Ok(listing
        .data
        .into_iter()
        .filter_map(|listed| {
            let listed: Listed = serde_json::from_value(listed).ok()?;
            let (base, quote) = (&listed.base_currency, &listed.quote_currency);
            let mut found = Instrument::named(Venue::Kucoin, &listed.symbol, Contract::Spot, base, quote);
            found.tick = step_of(&listed.price_increment);
            found.lot = step_of(&listed.base_increment);
            // Orders from before a step was made coarser still rest, and remainders lie off the lot: three decimals
            // finer have been seen. Coins with a coarse lot trade in billions: there is no room for more.
            found.price_unit = finer(tick_decimals(found.tick, 8), 0, 8);
            found.size_unit = finer(tick_decimals(found.lot, 8), 4, 8);
            Some(found)
        })
        .collect())
}

/// The unit, so many decimals finer, but `10^-least` at the coarsest, and not so fine that whole coins have no room.
fn finer(unit: Unit, more: u8, least: u8) -> Unit {
    let decimals = unit.exponent().min(0).unsigned_abs();
    Unit::decimals(decimals.saturating_add(more).min(12).max(decimals).max(least))
}

#[cfg(test)]
mod tests;
