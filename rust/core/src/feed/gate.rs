//! Gate: spot, and perpetuals settled in USDT.
//!
//! The book of today is `spot.obu` and `futures.obu`: the stream begins with a full book at id `u` (`full: true`,
//! which may come again at any time and then replaces everything), and every change after it must begin at the next
//! id, `U = id + 1`. A change may have no levels at all: then only the ids move on. Where the ids break, the stream is
//! subscribed anew. Until mid 2025 it was `order_book_update`: the same ids, joined to a REST snapshot at `U <= id + 1
//! <= u`. Both are read whichever is spoken, since old and new share their address; the protocols differ in what they
//! subscribe and where a book begins. There is no checksum. Futures write sizes in contracts, and levels as objects in
//! the older messages.
//!
//! `ts_event` is `t`, the time of the book; of trades the time of the match; of tickers, which have none, that of the
//! message. Rules: the venue's documentation, real capture of 2021, others' live frames of 2025 and 2026.

use serde::Deserialize;

use super::json::{Decimal, Json, Read};
use super::message::{Body, Frame, Level, Link, Symbol};
use super::protocol::{Channel, Dialect, KeepAlive, Protocol, RestLimit, SnapshotFrom};
use super::{step_of, tick_decimals};
use crate::instrument::{Contract, Instrument, Venue};
use crate::units::{Nanos, Side, Unit};

/// Spot sizes rest with more decimals than `amount_precision` allows a new order.
const SPOT_SIZE_DECIMALS: u8 = 10;

const SPOT: Protocol = Protocol {
    name: "gate-v2",
    venue: Venue::Gate,
    valid: ("2025-08-01", ""),
    url: "wss://api.gateio.ws/ws/v4/",
    mark: "api.gateio.ws",
    rest: "https://api.gateio.ws",
    snapshot_path: "",
    instruments_paths: &["/api/v4/spot/currency_pairs"],
    snapshot: SnapshotFrom::Stream,
    counts_frames: false,
    counts_trades: false,
    links: true,
    checksum: None,
    depth: 50,
    cuts: false,
    cross_resyncs: false,
    keep_alive: Some(KeepAlive { text: r#"{"time":1,"channel":"spot.ping"}"#, every: 15 }),
    silence: 60,
    per_connection: 100,
    sends_per_second: 20,
    limit: RestLimit { weight: 1, per_minute: 1_200 },
    source: "venue documentation, others' live frames of 2025 and 2026; limits from memory",
    dialect: || Box::new(Gate { futures: false, v2: true }),
    list: list_spot,
    describe: |symbol| describe(Venue::Gate, symbol),
};

const FUTURES: Protocol = Protocol {
    name: "gate-futures-v2",
    venue: Venue::GateFutures,
    url: "wss://fx-ws.gateio.ws/v4/ws/usdt",
    mark: "fx-ws.gateio.ws",
    instruments_paths: &["/api/v4/futures/usdt/contracts"],
    keep_alive: Some(KeepAlive { text: r#"{"time":1,"channel":"futures.ping"}"#, every: 15 }),
    dialect: || Box::new(Gate { futures: true, v2: true }),
    list: list_futures,
    describe: |symbol| describe(Venue::GateFutures, symbol),
    ..SPOT
};

/// The protocols of this file.
pub(super) const PROTOCOLS: &[Protocol] = &[
    SPOT,
    Protocol {
        name: "gate-v1",
        valid: ("", "2025-07-31"),
        snapshot_path: "/api/v4/spot/order_book?currency_pair={symbol}&limit=100&with_id=true",
        snapshot: SnapshotFrom::Rest,
        depth: 100,
        source: "venue documentation, real capture of 2021; limits from memory",
        dialect: || Box::new(Gate { futures: false, v2: false }),
        ..SPOT
    },
    FUTURES,
    Protocol {
        name: "gate-futures-v1",
        valid: ("", "2025-07-31"),
        snapshot_path: "/api/v4/futures/usdt/order_book?contract={symbol}&limit=100&with_id=true",
        snapshot: SnapshotFrom::Rest,
        depth: 100,
        source: "venue documentation, single real frames of 2021 and 2022; limits from memory",
        dialect: || Box::new(Gate { futures: true, v2: false }),
        ..FUTURES
    },
];

/// What a channel brings; spot and futures name theirs alike.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `obu`, whose symbol is `ob.<symbol>.<depth>`.
    Book,
    /// `order_book_update`.
    OldBook,
    Trades,
    Quotes,
    Tickers,
    Pong,
    Other,
}

impl Kind {
    fn of(channel: &[u8]) -> Self {
        let dot = channel.iter().position(|&byte| byte == b'.').map_or(0, |dot| dot + 1);
        match channel.get(dot..).unwrap_or_default() {
            b"obu" => Self::Book,
            b"order_book_update" => Self::OldBook,
            b"trades" | b"trades_v2" => Self::Trades,
            b"book_ticker" => Self::Quotes,
            b"tickers" => Self::Tickers,
            b"pong" => Self::Pong,
            _ => Self::Other,
        }
    }

    const fn channel(self) -> Option<Channel> {
        match self {
            Self::Book | Self::OldBook => Some(Channel::Book),
            Self::Trades => Some(Channel::Trades),
            Self::Quotes => Some(Channel::Quotes),
            Self::Tickers => Some(Channel::Marks),
            Self::Pong | Self::Other => None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Update,
    Subscribe,
    Other,
}

/// One connection.
#[derive(Debug)]
struct Gate {
    futures: bool,
    v2: bool,
}

impl Dialect for Gate {
    fn read(&mut self, frame: &[u8], out: &mut Frame) -> Read<()> {
        let mut json = Json::new(frame);
        let (mut kind, mut action, mut time, mut millis) = (None, None, None, None);
        let (mut result, mut read, mut payload, mut refused) = (None, false, None, None);
        json.object(|json, key| match key {
            b"channel" => {
                let found = Kind::of(json.text()?);
                out.channel = found.channel();
                json.once(&mut kind, found, "channel")
            }
            b"event" => {
                let found = match json.text()? {
                    b"update" => Action::Update,
                    b"subscribe" => Action::Subscribe,
                    _ => Action::Other,
                };
                json.once(&mut action, found, "event")
            }
            b"time" => json.field(&mut time, "time", |json| json.decimal()?.seconds()),
            b"time_ms" => json.field(&mut millis, "time_ms", Json::millis),
            b"result" => {
                json.once(&mut result, json.clone(), "result")?;
                match (kind, action) {
                    (Some(kind), Some(Action::Update)) => {
                        read = true;
                        data(json, kind, out)
                    }
                    _ => json.skip(),
                }
            }
            b"payload" => {
                payload = Some(json.clone());
                json.skip()
            }
            b"error" if json.peek() == b'{' => json.object(|json, key| match key {
                b"message" => {
                    refused = Some(json.name()?);
                    Ok(())
                }
                _ => json.skip(),
            }),
            _ => json.skip(),
        })?;
        json.end()?;
        let kind = json.need(kind, "channel")?;
        let sent = millis.or(time).unwrap_or(Nanos::UNKNOWN);
        if let Some(what) = refused {
            return answer(kind, payload, sent, &Body::Refused(what), what.of(frame), out);
        }
        match action {
            _ if kind == Kind::Pong => out.push(Symbol::None, sent, Body::Heartbeat),
            Some(Action::Update) => {
                let mut result = json.need(result, "result")?;
                if !read {
                    data(&mut result, kind, out)?;
                }
                for message in &mut out.messages {
                    if message.ts_event == Nanos::UNKNOWN {
                        message.ts_event = sent;
                    }
                }
            }
            Some(Action::Subscribe) => answer(kind, payload, sent, &Body::Subscribed, b"", out)?,
            _ => {}
        }
        Ok(())
    }

    fn read_snapshot(&mut self, body: &[u8], out: &mut Frame) -> Read<()> {
        let mut json = Json::new(body);
        let (mut id, mut time, mut bids, mut asks) = (None, None, None, None);
        out.channel = Some(Channel::Book);
        json.object(|json, key| match key {
            b"id" => json.field(&mut id, "id", Json::unsigned),
            b"update" => json.field(&mut time, "update", Json::decimal),
            b"bids" => {
                json.once(&mut bids, (), "bids")?;
                levels(json, Side::Bid, out)
            }
            b"asks" => {
                json.once(&mut asks, (), "asks")?;
                levels(json, Side::Ask, out)
            }
            _ => json.skip(),
        })?;
        json.end()?;
        json.need(bids, "bids")?;
        json.need(asks, "asks")?;
        let link = Link::At(json.need(id, "id")?);
        // Spot writes milliseconds, futures seconds with a fraction.
        let ts_event = match time {
            Some(time) if time.exponent == 0 && time.digits >= 100_000_000_000 => time.millis()?,
            Some(time) => time.seconds()?,
            None => Nanos::UNKNOWN,
        };
        let levels = 0..out.levels.len();
        out.push(Symbol::Asked, ts_event, Body::Levels { snapshot: true, link, checksum: None, levels });
        Ok(())
    }

    fn subscribe(&mut self, on: bool, symbols: &[&str], channels: &[Channel], depth: u16, out: &mut Vec<String>) {
        let event = if on { "subscribe" } else { "unsubscribe" };
        let market = if self.futures { "futures" } else { "spot" };
        let mut send = |channel: &str, payload: &str| {
            out.push(format!(r#"{{"time":1,"channel":"{market}.{channel}","event":"{event}","payload":[{payload}]}}"#));
        };
        for channel in channels {
            let channel = match channel {
                Channel::Book if !self.v2 => {
                    // One symbol a message; futures also want the depth.
                    let depth = if self.futures { r#","100""# } else { "" };
                    for symbol in symbols {
                        send("order_book_update", &format!(r#""{symbol}","100ms"{depth}"#));
                    }
                    continue;
                }
                Channel::Book => {
                    // Two depths are offered: 50 levels every 20 ms, 400 every 100 ms.
                    let depth = if depth > 50 { 400 } else { 50 };
                    for symbols in symbols.chunks(50) {
                        let streams: Vec<_> =
                            symbols.iter().map(|symbol| format!(r#""ob.{symbol}.{depth}""#)).collect();
                        send("obu", &streams.join(","));
                    }
                    continue;
                }
                Channel::Trades => "trades",
                Channel::Quotes => "book_ticker",
                Channel::Marks if self.futures => "tickers",
                Channel::Marks => continue,
            };
            for symbols in symbols.chunks(100) {
                let symbols: Vec<_> = symbols.iter().map(|symbol| format!(r#""{symbol}""#)).collect();
                send(channel, &symbols.join(","));
            }
        }
    }
}

/// The symbol in `ob.<symbol>.<depth>`, and the depth.
fn stream_symbol(stream: &[u8]) -> Option<(&[u8], u16)> {
    let rest = stream.strip_prefix(b"ob.")?;
    let dot = rest.iter().rposition(|&byte| byte == b'.')?;
    let depth = std::str::from_utf8(rest.get(dot + 1..)?).ok()?.parse().ok()?;
    Some((rest.get(..dot)?, depth))
}

/// An acknowledgement or a refusal, for each symbol of the request that it repeats; older messages do not repeat it.
fn answer(kind: Kind, payload: Option<Json<'_>>, sent: Nanos, body: &Body, why: &[u8], out: &mut Frame) -> Read<()> {
    // "Alert sub": this stream is subscribed already, on this connection. That is no refusal.
    let body = if why.starts_with(b"Alert sub") { &Body::Subscribed } else { body };
    let before = out.messages.len();
    if let (Some(mut payload), Some(_)) = (payload, kind.channel())
        && payload.peek() == b'['
    {
        payload.array(|json| {
            if json.peek() != b'"' {
                return json.skip();
            }
            let text = json.text()?;
            let symbol = match kind {
                Kind::Book => stream_symbol(text).map(|(symbol, _)| symbol),
                // The others are the interval and the depth.
                Kind::OldBook if out.messages.len() > before => None,
                _ => Some(text),
            };
            if let Some(symbol) = symbol {
                // Without its trades an instrument still has its book.
                let spared = matches!(body, Body::Refused(_)) && kind.channel() != Some(Channel::Book);
                let symbol = if spared { Symbol::None } else { Symbol::At(json.place(symbol)) };
                out.push(symbol, sent, body.clone());
            }
            Ok(())
        })?;
    }
    if out.messages.len() == before {
        out.push(Symbol::None, sent, body.clone());
    }
    Ok(())
}

fn data(json: &mut Json<'_>, kind: Kind, out: &mut Frame) -> Read<()> {
    match kind {
        Kind::Book | Kind::OldBook => book(json, kind == Kind::Book, out),
        Kind::Quotes => quote(json, out),
        Kind::Trades if json.peek() == b'[' => json.array(|json| trade(json, out)),
        Kind::Trades => trade(json, out),
        Kind::Tickers if json.peek() == b'[' => json.array(|json| ticker(json, out)),
        Kind::Tickers => ticker(json, out),
        Kind::Pong | Kind::Other => json.skip(),
    }
}

#[inline]
fn book(json: &mut Json<'_>, v2: bool, out: &mut Frame) -> Read<()> {
    let (mut symbol, mut time, mut first, mut last) = (None, None, None, None);
    let (mut full, mut bids, mut asks) = (None, None, None);
    json.object(|json, key| match key {
        b"s" => {
            let text = json.text()?;
            let (name, depth) = if v2 {
                let fault = json.fault("a stream such as ob.BTC_USDT.50");
                let (name, depth) = stream_symbol(text).ok_or(fault)?;
                (name, Some(depth))
            } else {
                (text, None)
            };
            let place = Symbol::At(json.place(name));
            (out.symbol, out.depth) = (Some(place), depth);
            json.once(&mut symbol, place, "s")
        }
        b"t" => json.field(&mut time, "t", Json::millis),
        b"U" => json.field(&mut first, "U", Json::unsigned),
        b"u" => json.field(&mut last, "u", Json::unsigned),
        b"full" => json.field(&mut full, "full", Json::boolean),
        b"b" => {
            json.once(&mut bids, (), "b")?;
            levels(json, Side::Bid, out)
        }
        b"a" => {
            json.once(&mut asks, (), "a")?;
            levels(json, Side::Ask, out)
        }
        _ => json.skip(),
    })?;
    let symbol = json.need(symbol, "s")?;
    let ts_event = json.need(time, "t")?;
    let last = json.need(last, "u")?;
    let snapshot = full.unwrap_or(false);
    // The newer channel leaves out a side without changes, the older one does not.
    if !v2 {
        json.need(bids, "b")?;
        json.need(asks, "a")?;
    }
    let link = if snapshot { Link::At(last) } else { Link::Range { first: json.need(first, "U")?, last } };
    out.push(symbol, ts_event, Body::Levels { snapshot, link, checksum: None, levels: 0..out.levels.len() });
    Ok(())
}

/// Levels: `["price","size"]`, or `{"p":"price","s":size}`.
#[inline]
fn levels(json: &mut Json<'_>, side: Side, out: &mut Frame) -> Read<()> {
    if json.null() {
        return Ok(());
    }
    json.array(|json| {
        let (price, size) = if json.peek() == b'[' {
            json.pair()?
        } else {
            let (mut price, mut size) = (None, None);
            json.object(|json, key| match key {
                b"p" => json.field(&mut price, "p", Json::decimal),
                b"s" => json.field(&mut size, "s", Json::decimal),
                _ => json.skip(),
            })?;
            (json.need(price, "p")?, json.need(size, "s")?)
        };
        out.levels.push(Level { price, size, side });
        Ok(())
    })
}

fn quote(json: &mut Json<'_>, out: &mut Frame) -> Read<()> {
    let (mut symbol, mut time, mut sequence) = (None, None, None);
    let (mut bid, mut bid_size, mut ask, mut ask_size) = (None, None, None, None);
    json.object(|json, key| match key {
        b"s" => {
            let place = Symbol::At(json.name()?);
            out.symbol = Some(place);
            json.once(&mut symbol, place, "s")
        }
        b"t" => json.field(&mut time, "t", Json::millis),
        b"u" => json.field(&mut sequence, "u", Json::unsigned),
        b"b" => json.field(&mut bid, "b", Json::optional_decimal),
        b"B" => json.field(&mut bid_size, "B", Json::optional_decimal),
        b"a" => json.field(&mut ask, "a", Json::optional_decimal),
        b"A" => json.field(&mut ask_size, "A", Json::optional_decimal),
        _ => json.skip(),
    })?;
    // A side without orders has no price.
    let side = |price: Option<Decimal>, size: Option<Decimal>| match (price, size) {
        (Some(price), Some(size)) => Some((price, size)),
        _ => Some((Decimal::ZERO, Decimal::ZERO)),
    };
    let body = Body::Quote {
        sequence: json.need(sequence, "u")?,
        bid: side(json.need(bid, "b")?, json.need(bid_size, "B")?),
        ask: side(json.need(ask, "a")?, json.need(ask_size, "A")?),
    };
    out.push(json.need(symbol, "s")?, json.need(time, "t")?, body);
    Ok(())
}

/// A trade. Spot names the taker's side; of futures, a negative size was sold.
fn trade(json: &mut Json<'_>, out: &mut Frame) -> Read<()> {
    let (mut symbol, mut seconds, mut millis, mut id) = (None, None, None, None);
    let (mut side, mut price, mut size, mut internal) = (None, None, None, None);
    json.object(|json, key| match key {
        b"currency_pair" | b"contract" => {
            let place = Symbol::At(json.name()?);
            out.symbol = Some(place);
            json.once(&mut symbol, place, "contract")
        }
        b"create_time" => json.field(&mut seconds, "create_time", |json| json.decimal()?.seconds()),
        b"create_time_ms" => json.field(&mut millis, "create_time_ms", |json| json.decimal()?.millis()),
        b"id" => json.field(&mut id, "id", Json::unsigned),
        b"side" => json.field(&mut side, "side", |json| json.side(b"buy", b"sell", "buy or sell")),
        b"price" => json.field(&mut price, "price", Json::decimal),
        b"amount" | b"size" => json.field(&mut size, "size", Json::decimal),
        b"is_internal" => json.field(&mut internal, "is_internal", Json::boolean),
        _ => json.skip(),
    })?;
    let size = json.need(size, "size")?;
    let by_sign = if size.negative { Side::Ask } else { Side::Bid };
    let body = Body::Trade {
        id: json.need(id, "id")?,
        price: json.need(price, "price")?,
        size: Decimal { negative: false, ..size },
        side: Some(side.unwrap_or(by_sign)),
        // The insurance fund taking over a position, or a deleveraging: no order of the book was hit.
        silent: internal.unwrap_or(false),
    };
    let ts_event = json.need(millis.or(seconds), "create_time")?;
    out.push(json.need(symbol, "contract")?, ts_event, body);
    Ok(())
}

/// Mark, index and funding of futures. Spot's tickers hold best prices without sizes: nothing that the book does not
/// say.
fn ticker(json: &mut Json<'_>, out: &mut Frame) -> Read<()> {
    let (mut symbol, mut mark, mut index, mut rate) = (None, None, None, None);
    json.object(|json, key| match key {
        b"contract" => {
            let place = Symbol::At(json.name()?);
            out.symbol = Some(place);
            json.once(&mut symbol, place, "contract")
        }
        b"mark_price" => json.field(&mut mark, "mark_price", Json::optional_decimal),
        b"index_price" => json.field(&mut index, "index_price", Json::optional_decimal),
        b"funding_rate" => json.field(&mut rate, "funding_rate", Json::optional_decimal),
        _ => json.skip(),
    })?;
    if let Some(symbol) = symbol {
        let funding = rate.flatten().map(|rate| (rate, Nanos::UNKNOWN));
        let (mark, index) = (mark.flatten(), index.flatten());
        out.push(symbol, Nanos::UNKNOWN, Body::Mark { mark, index, iv: None, funding });
    }
    Ok(())
}

fn describe(venue: Venue, symbol: &str) -> Option<Instrument> {
    let symbol = symbol.to_ascii_uppercase();
    let mut parts = symbol.split('_');
    let (base, quote) = (parts.next()?, parts.next()?);
    if base.is_empty() || quote.is_empty() {
        return None;
    }
    let contract = match venue {
        Venue::Gate => Contract::Spot,
        _ if quote == "USD" => Contract::Inverse,
        _ => Contract::Linear,
    };
    let mut found = Instrument::named(venue, &symbol, contract, base, quote);
    // Dated contracts end in YYYYMMDD.
    let dated = |text: &&str| text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    found.delivery = parts.next().filter(dated).and_then(|date| date.get(2..)).map(str::to_owned);
    Some(found)
}

#[derive(Deserialize)]
struct Pair {
    id: String,
    base: String,
    quote: String,
    precision: u8,
    amount_precision: u8,
}

fn list_spot(body: &[u8]) -> Result<Vec<Instrument>, String> {
    let listing: Vec<serde_json::Value> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    Ok(listing
        .into_iter()
        .filter_map(|listed| {
            let pair: Pair = serde_json::from_value(listed).ok()?;
            if pair.precision > 18 || pair.amount_precision > 18 {
                return None;
            }
            let mut found = Instrument::named(Venue::Gate, &pair.id, Contract::Spot, &pair.base, &pair.quote);
            found.tick = Some(Unit::decimals(pair.precision));
            // Orders from before a pair's precision was cut still rest, two decimals finer than new ones may be.
            found.price_unit = Unit::decimals(pair.precision.max(8));
            found.lot = Some(Unit::decimals(pair.amount_precision));
            // A cheap coin trades in billions: with ten decimals its sizes would not fit 63 bits.
            let most = if pair.amount_precision <= 1 { 8 } else { SPOT_SIZE_DECIMALS };
            found.size_unit = Unit::decimals(pair.amount_precision.max(most));
            Some(found)
        })
        .collect())
}

#[derive(Deserialize)]
struct Listed {
    name: String,
    quanto_multiplier: String,
    #[serde(default)]
    order_price_round: String,
    #[serde(default)]
    enable_decimal: bool,
}

fn list_futures(body: &[u8]) -> Result<Vec<Instrument>, String> {
    let listing: Vec<serde_json::Value> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    Ok(listing
        .into_iter()
        .filter_map(|listed| {
            let listed: Listed = serde_json::from_value(listed).ok()?;
            let mut found = describe(Venue::GateFutures, &listed.name)?;
            found.symbol.clone_from(&listed.name);
            // An inverse contract has the multiplier 0 and is 1 of the quote currency.
            found.multiplier = step_of(&listed.quanto_multiplier).unwrap_or(Unit::ONE);
            found.tick = step_of(&listed.order_price_round);
            found.price_unit = tick_decimals(found.tick, 8);
            // Contracts are whole, except those that are newly traded in parts.
            found.size_unit = if listed.enable_decimal { Unit::decimals(6) } else { Unit::ONE };
            found.lot = Some(Unit::ONE);
            Some(found)
        })
        .collect())
}

#[cfg(test)]
mod tests;
