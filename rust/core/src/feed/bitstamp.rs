//! Bitstamp, websocket v2: spot, and perpetuals where it has them.
//!
//! `diff_order_book` has neither sequence nor checksum, only a time in µs that does not run back. Changes join a REST
//! snapshot by that time, and nothing proves that none is missing. The REST server lags, and keeps levels that the
//! stream never takes back: a crossed book is the sign of it, and a reason for a new snapshot.
//!
//! `live_orders` tells every order by its id, and every message names the one before it by a token. Tokens have no
//! order, but begin with the time of their message in µs, by which they join a REST snapshot that lists single orders.
//! Rules: the venue's documentation; the chain and the times in the tokens as seen in real captures of 2022 and 2026.

use serde::Deserialize;

use super::json::{Decimal, Fault, FaultKind, Json, Read, Text};
use super::message::{Body, Change, Frame, Level, Link, Order, Symbol};
use super::protocol::{Channel, Dialect, Protocol, RestLimit, SnapshotFrom};
use crate::instrument::{Contract, Instrument, Venue};
use crate::units::{Nanos, Side, Unit};

const DIFF: Protocol = Protocol {
    name: "bitstamp-diff",
    venue: Venue::Bitstamp,
    valid: ("", ""),
    url: "wss://ws.bitstamp.net",
    mark: "ws.bitstamp.net",
    rest: "https://www.bitstamp.net",
    snapshot_path: "/api/v2/order_book/{symbol}/?group=1",
    instruments_paths: &["/api/v2/markets/"],
    snapshot: SnapshotFrom::Rest,
    counts_frames: false,
    counts_trades: false,
    links: false,
    checksum: None,
    depth: 0,
    cuts: false,
    cross_resyncs: true,
    keep_alive: Some(super::KeepAlive { text: "{\"event\":\"bts:heartbeat\"}", every: 20 }),
    silence: 60,
    per_connection: 50,
    sends_per_second: 20,
    limit: RestLimit { weight: 1, per_minute: 400 },
    source: "venue documentation, real captures of 2022 and 2026; the REST limit from memory",
    dialect: || Box::new(Bitstamp { orders: false, diffs: false }),
    list,
    describe,
};

/// The protocols of this file. The first is the one that is spoken unless the other is asked for.
pub(super) const PROTOCOLS: &[Protocol] = &[
    DIFF,
    Protocol {
        name: "bitstamp-orders",
        snapshot_path: "/api/v2/order_book/{symbol}/?group=2",
        links: true,
        cross_resyncs: false,
        dialect: || Box::new(Bitstamp { orders: true, diffs: false }),
        ..DIFF
    },
];

/// What a channel carries, by the beginning of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Changes of levels.
    Diff,
    /// The hundred best levels.
    Whole,
    /// The hundred best orders of each side.
    Detail,
    Orders,
    Trades,
}

const KINDS: [(&[u8], Kind); 5] = [
    (b"diff_order_book_", Kind::Diff),
    (b"detail_order_book_", Kind::Detail),
    (b"order_book_", Kind::Whole),
    (b"live_orders_", Kind::Orders),
    (b"live_trades_", Kind::Trades),
];

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// Levels.
    Data,
    Trade,
    Created,
    Changed,
    Deleted,
    Subscribed,
    Heartbeat,
    Reconnect,
    Error,
    Other,
}

/// One connection.
#[derive(Debug)]
struct Bitstamp {
    /// The book is kept by order.
    orders: bool,
    /// Changes of levels come on this connection: books of a hundred levels would only cut theirs short.
    diffs: bool,
}

/// What one frame has brought so far.
#[derive(Default)]
struct Fields {
    event: Option<Event>,
    channel: Option<()>,
    kind: Option<(Kind, Text)>,
    data: Option<()>,
    time: Option<Nanos>,
    bids: Option<()>,
    asks: Option<()>,
    id: Option<u64>,
    side: Option<Side>,
    /// As JSON numbers, and as the text that the venue prefers.
    price: Option<Decimal>,
    size: Option<Decimal>,
    price_text: Option<Decimal>,
    size_text: Option<Decimal>,
    token: Option<(u64, u64)>,
    previous: Option<(u64, u64)>,
    off_book: bool,
    said: Option<Text>,
}

impl Dialect for Bitstamp {
    fn read(&mut self, frame: &[u8], out: &mut Frame) -> Read<()> {
        let mut json = Json::new(frame);
        let mut fields = Fields::default();
        json.object(|json, key| match key {
            b"event" => json.field(&mut fields.event, "event", |json| json.text().map(event)),
            b"channel" => {
                let name = json.text()?;
                json.once(&mut fields.channel, (), "channel")?;
                fields.kind = channel(json, name);
                if let Some((kind, symbol)) = fields.kind {
                    let trades = kind == Kind::Trades;
                    out.channel = Some(if trades { Channel::Trades } else { Channel::Book });
                    out.symbol = Some(Symbol::At(symbol));
                }
                Ok(())
            }
            b"data" => {
                json.once(&mut fields.data, (), "data")?;
                if json.peek() == b'{' { json.object(|json, key| fields.take(json, key, out)) } else { json.skip() }
            }
            b"event_id" => json.field(&mut fields.token, "event_id", token),
            b"pre_event_id" => json.field(&mut fields.previous, "pre_event_id", token),
            // Orders that wait for a price are not in the book.
            b"order_source" => {
                fields.off_book = json.text()? != b"orderbook";
                Ok(())
            }
            _ => json.skip(),
        })?;
        json.end()?;
        self.message(&json, &fields, out)
    }

    fn read_snapshot(&mut self, body: &[u8], out: &mut Frame) -> Read<()> {
        let mut json = Json::new(body);
        let mut fields = Fields::default();
        json.object(|json, key| match key {
            b"microtimestamp" | b"bids" | b"asks" => fields.take(json, key, out),
            _ => json.skip(),
        })?;
        json.end()?;
        self.whole(&json, &fields, Symbol::Asked, self.orders, out)
    }

    fn subscribe(&mut self, on: bool, symbols: &[&str], channels: &[Channel], _depth: u16, out: &mut Vec<String>) {
        let event = if on { "bts:subscribe" } else { "bts:unsubscribe" };
        for symbol in symbols {
            for channel in channels {
                let name = match channel {
                    Channel::Book if self.orders => "live_orders",
                    Channel::Book => "diff_order_book",
                    Channel::Trades => "live_trades",
                    // The venue has no channel for the best bid and ask, nor for marks.
                    Channel::Quotes | Channel::Marks => continue,
                };
                out.push(format!("{{\"event\":\"{event}\",\"data\":{{\"channel\":\"{name}_{symbol}\"}}}}"));
            }
        }
    }

    fn reset(&mut self) {
        self.diffs = false;
    }
}

impl Fields {
    #[inline]
    fn take(&mut self, json: &mut Json<'_>, key: &[u8], out: &mut Frame) -> Read<()> {
        match key {
            b"microtimestamp" => json.field(&mut self.time, "microtimestamp", Json::micros),
            b"bids" => {
                json.once(&mut self.bids, (), "bids")?;
                levels(json, Side::Bid, out)
            }
            b"asks" => {
                json.once(&mut self.asks, (), "asks")?;
                levels(json, Side::Ask, out)
            }
            b"id" => json.field(&mut self.id, "id", Json::unsigned),
            b"type" | b"order_type" => {
                let side = match json.unsigned()? {
                    0 => Side::Bid,
                    1 => Side::Ask,
                    _ => return Err(json.fault("0 (buy) or 1 (sell)")),
                };
                json.once(&mut self.side, side, "type")
            }
            b"price_str" => json.field(&mut self.price_text, "price_str", Json::decimal),
            b"amount_str" => json.field(&mut self.size_text, "amount_str", Json::decimal),
            b"price" => json.field(&mut self.price, "price", Json::decimal),
            b"amount" => json.field(&mut self.size, "amount", Json::decimal),
            b"message" if json.peek() == b'"' => json.field(&mut self.said, "message", Json::name),
            _ => json.skip(),
        }
    }
}

impl Bitstamp {
    #[inline]
    fn message(&mut self, json: &Json<'_>, fields: &Fields, out: &mut Frame) -> Read<()> {
        let symbol = fields.kind.map_or(Symbol::None, |(_, symbol)| Symbol::At(symbol));
        let body = match (json.need(fields.event, "event")?, fields.kind.map(|(kind, _)| kind)) {
            (Event::Data, Some(Kind::Diff)) => {
                self.diffs = true;
                let time = json.need(fields.time, "microtimestamp")?;
                json.need(fields.bids, "bids")?;
                json.need(fields.asks, "asks")?;
                if self.orders {
                    return Ok(());
                }
                let (link, levels) = (Link::At(micros(time)), 0..out.levels.len());
                out.push(symbol, time, Body::Levels { snapshot: false, link, checksum: None, levels });
                return Ok(());
            }
            (Event::Data, Some(Kind::Whole)) => {
                let wanted = !self.orders && !self.diffs;
                return if wanted { self.whole(json, fields, symbol, false, out) } else { Ok(()) };
            }
            (Event::Data, Some(Kind::Detail)) => return Ok(()),
            (Event::Trade, Some(Kind::Trades)) => {
                let (price, size) = fields.price_and_size(json)?;
                let id = json.need(fields.id, "id")?;
                let side = Some(json.need(fields.side, "type")?);
                Body::Trade { id, price, size, side, silent: false }
            }
            (event @ (Event::Created | Event::Changed | Event::Deleted), Some(Kind::Orders)) => {
                let change = match event {
                    Event::Created => Change::Add,
                    Event::Changed => Change::Modify,
                    _ => Change::Cancel,
                };
                let id = json.need(fields.id, "id")?;
                let side = Some(json.need(fields.side, "order_type")?);
                let (price, size) = fields.price_and_size(json)?;
                let time = json.need(fields.time, "microtimestamp")?;
                if !self.orders {
                    return Ok(());
                }
                let link = match (fields.previous, fields.token) {
                    (Some(previous), Some(last)) => {
                        let since = previous.0;
                        Link::Timed { previous: folded(previous), last: folded(last), since, time: last.0 }
                    }
                    // So it was until some day of 2022: only the time tells.
                    (None, None) => Link::At(micros(time)),
                    (None, _) => return Err(missing(json, "pre_event_id")),
                    (_, None) => return Err(missing(json, "event_id")),
                };
                if !fields.off_book {
                    // What a deleted order has left does not matter, and what is left of a filled one is 0.
                    let size = (change != Change::Cancel).then_some(size);
                    out.orders.push(Order { change, id, side, price: Some(price), size });
                }
                Body::Orders { snapshot: false, link, orders: 0..out.orders.len() }
            }
            (Event::Subscribed, _) => Body::Subscribed,
            (Event::Heartbeat, _) => Body::Heartbeat,
            (Event::Reconnect, _) => {
                out.push(Symbol::None, Nanos::UNKNOWN, Body::Reconnect);
                return Ok(());
            }
            (Event::Error, kind) => {
                // Without its trades an instrument still has its book.
                let symbol = if kind == Some(Kind::Trades) { Symbol::None } else { symbol };
                out.push(symbol, Nanos::UNKNOWN, Body::Refused(json.need(fields.said, "message")?));
                return Ok(());
            }
            (Event::Other, _) | (_, None) => return Ok(()),
            _ => return Err(json.fault("an event of this channel")),
        };
        out.push(symbol, fields.time.unwrap_or(Nanos::UNKNOWN), body);
        Ok(())
    }

    fn whole(&self, json: &Json<'_>, fields: &Fields, symbol: Symbol, orders: bool, out: &mut Frame) -> Read<()> {
        let time = json.need(fields.time, "microtimestamp")?;
        json.need(fields.bids, "bids")?;
        json.need(fields.asks, "asks")?;
        let link = Link::At(micros(time));
        let body = if orders {
            // A level without an id is no order.
            if out.orders.len() < out.levels.len() {
                return Err(missing(json, "order id"));
            }
            Body::Orders { snapshot: true, link, orders: 0..out.orders.len() }
        } else {
            Body::Levels { snapshot: true, link, checksum: None, levels: 0..out.levels.len() }
        };
        out.push(symbol, time, body);
        Ok(())
    }
}

impl Fields {
    #[inline]
    fn price_and_size(&self, json: &Json<'_>) -> Read<(Decimal, Decimal)> {
        let price = json.need(self.price_text.or(self.price), "price")?;
        Ok((price, json.need(self.size_text.or(self.size), "amount")?))
    }
}

const fn missing(json: &Json<'_>, field: &'static str) -> Fault {
    Fault { at: json.at(), kind: FaultKind::Missing(field) }
}

fn event(name: &[u8]) -> Event {
    match name {
        b"data" => Event::Data,
        b"trade" => Event::Trade,
        b"order_created" => Event::Created,
        b"order_changed" => Event::Changed,
        b"order_deleted" => Event::Deleted,
        b"bts:subscription_succeeded" => Event::Subscribed,
        b"bts:heartbeat" => Event::Heartbeat,
        b"bts:request_reconnect" => Event::Reconnect,
        b"bts:error" => Event::Error,
        _ => Event::Other,
    }
}

#[inline]
fn channel(json: &Json<'_>, name: &[u8]) -> Option<(Kind, Text)> {
    KINDS.iter().find_map(|(prefix, kind)| Some((*kind, json.place(name.strip_prefix(*prefix)?))))
}

/// `[price, amount]`, or `[price, amount, order id]`: then it is an order too.
#[inline]
fn levels(json: &mut Json<'_>, side: Side, out: &mut Frame) -> Read<()> {
    json.array(|json| {
        json.open()?;
        let price = json.decimal()?;
        json.comma()?;
        let size = json.decimal()?;
        out.levels.push(Level { price, size, side });
        if json.peek() == b',' {
            json.comma()?;
            let id = json.unsigned()?;
            out.orders.push(Order { change: Change::Add, id, side: Some(side), price: Some(price), size: Some(size) });
        }
        json.close()
    })
}

/// A token such as `000659d4-cba2-b200-0000-000101000020` as two numbers; the first is a time in µs.
fn token(json: &mut Json<'_>) -> Read<(u64, u64)> {
    let at = json.at();
    let (mut high, mut low) = (0_u64, 0_u64);
    let mut digits = 0;
    for &byte in json.text()? {
        if byte == b'-' {
            continue;
        }
        let digit = char::from(byte).to_digit(16);
        let (Some(digit), true) = (digit, digits < 32) else {
            return Err(Fault { at, kind: FaultKind::Expected("a token of 32 hexadecimal digits") });
        };
        let half = if digits < 16 { &mut high } else { &mut low };
        *half = *half << 4 | u64::from(digit);
        digits += 1;
    }
    if digits == 32 {
        Ok((high, low))
    } else {
        Err(Fault { at, kind: FaultKind::Expected("a token of 32 hexadecimal digits") })
    }
}

/// A token in 64 bits: times of one half cannot meet counts of the other.
const fn folded(token: (u64, u64)) -> u64 {
    token.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ token.1
}

fn micros(time: Nanos) -> u64 {
    u64::try_from(time.0 / 1_000).unwrap_or(0)
}

const QUOTES: [&str; 8] = ["usdt", "usdc", "eurc", "usd", "eur", "gbp", "btc", "eth"];

/// `btcusd`, `btcusd-perp`.
fn describe(symbol: &str) -> Option<Instrument> {
    let (pair, perpetual) = match symbol.strip_suffix("-perp") {
        Some(pair) => (pair, true),
        None => (symbol, false),
    };
    if !pair.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
        return None;
    }
    let (base, quote) = QUOTES
        .iter()
        .find_map(|quote| pair.strip_suffix(quote).filter(|base| base.len() > 1).map(|base| (base, *quote)))?;
    let contract = if perpetual { Contract::Linear } else { Contract::Spot };
    let (base, quote) = (base.to_ascii_uppercase(), quote.to_ascii_uppercase());
    Some(Instrument::named(Venue::Bitstamp, symbol, contract, &base, &quote))
}

#[derive(Deserialize)]
struct Listed {
    /// `BTC/USD`
    name: String,
    #[serde(alias = "url_symbol")]
    market_symbol: String,
    counter_decimals: u8,
    #[serde(default)]
    base_decimals: u8,
    #[serde(default)]
    market_type: Option<String>,
    #[serde(default)]
    tick_size: Option<String>,
}

fn list(body: &[u8]) -> Result<Vec<Instrument>, String> {
    let listing: Vec<serde_json::Value> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    Ok(listing.into_iter().filter_map(|value| serde_json::from_value(value).ok()).filter_map(listed).collect())
}

fn listed(listed: Listed) -> Option<Instrument> {
    let pair = listed.name.split('-').next().unwrap_or_default();
    let (base, quote) = pair.split_once('/')?;
    if listed.counter_decimals > 12 || listed.base_decimals > 12 {
        return None;
    }
    let perpetual = listed.market_type.is_some_and(|kind| kind == "PERPETUAL");
    let contract = if perpetual { Contract::Linear } else { Contract::Spot };
    let mut found = Instrument::named(Venue::Bitstamp, &listed.market_symbol, contract, base, quote);
    found.tick =
        listed.tick_size.as_deref().and_then(super::step_of).or_else(|| Some(Unit::decimals(listed.counter_decimals)));
    // The venue has made ticks coarser; older orders and its own text stay finer.
    found.price_unit = Unit::decimals(listed.counter_decimals.max(2));
    found.size_unit = Unit::decimals(listed.base_decimals.max(8));
    Some(found)
}

#[cfg(test)]
mod tests;
