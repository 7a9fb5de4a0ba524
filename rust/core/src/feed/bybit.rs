//! Bybit: spot, linear, inverse and options, API v5, and the v2 dialects of its derivatives.
//!
//! v5 numbers the messages of each topic, `u`, step one; type `snapshot` replaces the book, and so does `u` = 1, with
//! which the venue begins anew after a restart of its service: neither is a gap. `seq` is shared by all topics and
//! says nothing of losses. `ts_event` is the matching engine's time `cts` where a message has it, else the time of
//! sending. v2 has no counter at all: changes come as deletes, updates and inserts by the id of a level, and
//! `cross_seq` grows by any step, so nothing proves that none is missing. The venue's documentation, checked on real
//! captures of 2021 (v2) and 2026 (v5 spot).

use super::json::{Decimal, Json, Read, Text};
use super::message::{Body, Frame, Level, Link, Symbol};
use super::protocol::{Channel, Dialect, KeepAlive, Protocol, RestLimit, SnapshotFrom};
use crate::instrument::Venue;
use crate::units::{Nanos, Side};

mod symbols;
mod v2;

use self::symbols::{describe, list};
use self::v2::V2;

const PING: Option<KeepAlive> = Some(KeepAlive { text: "{\"op\":\"ping\"}", every: 20 });

const LINEAR: Protocol = Protocol {
    name: "bybit-v5-linear",
    venue: Venue::BybitLinear,
    valid: ("", ""),
    url: "wss://stream.bybit.com/v5/public/linear",
    mark: "/v5/public/linear",
    rest: "https://api.bybit.com",
    snapshot_path: "",
    instruments_paths: &["/v5/market/instruments-info?category=linear&limit=1000"],
    snapshot: SnapshotFrom::Stream,
    counts_frames: false,
    counts_trades: false,
    links: true,
    checksum: None,
    depth: 50,
    // A level that falls out of the depth is deleted by a message.
    cuts: false,
    cross_resyncs: false,
    keep_alive: PING,
    silence: 60,
    per_connection: 50,
    sends_per_second: 10,
    limit: RestLimit { weight: 1, per_minute: 600 },
    source: "venue documentation; books checked on a real capture of spot, 2026-08-24; trades and tickers from memory",
    dialect: || Box::new(V5::default()),
    list: |body| list(Venue::BybitLinear, body),
    describe: |symbol| describe(Venue::BybitLinear, symbol),
};

const OLD_LINEAR: Protocol = Protocol {
    name: "bybit-v2-linear",
    valid: ("", "2023-12-31"),
    url: "wss://stream.bybit.com/realtime_public",
    mark: "stream.bybit.com/realtime_public",
    instruments_paths: &["/v2/public/symbols"],
    links: false,
    depth: 25,
    source: "real capture of 2021-04-17; the last day from memory",
    dialect: || Box::new(V2::default()),
    list: |body| v2::list(Venue::BybitLinear, body),
    ..LINEAR
};

/// The protocols of this file.
pub(super) const PROTOCOLS: &[Protocol] = &[
    LINEAR,
    Protocol {
        name: "bybit-v5-inverse",
        venue: Venue::BybitInverse,
        url: "wss://stream.bybit.com/v5/public/inverse",
        mark: "/v5/public/inverse",
        instruments_paths: &["/v5/market/instruments-info?category=inverse&limit=1000"],
        list: |body| list(Venue::BybitInverse, body),
        describe: |symbol| describe(Venue::BybitInverse, symbol),
        ..LINEAR
    },
    Protocol {
        name: "bybit-v5-spot",
        venue: Venue::BybitSpot,
        url: "wss://stream.bybit.com/v5/public/spot",
        mark: "/v5/public/spot",
        instruments_paths: &["/v5/market/instruments-info?category=spot"],
        list: |body| list(Venue::BybitSpot, body),
        describe: |symbol| describe(Venue::BybitSpot, symbol),
        ..LINEAR
    },
    Protocol {
        name: "bybit-v5-option",
        venue: Venue::BybitOption,
        url: "wss://stream.bybit.com/v5/public/option",
        mark: "/v5/public/option",
        instruments_paths: &[
            "/v5/market/instruments-info?category=option&baseCoin=BTC&limit=1000",
            "/v5/market/instruments-info?category=option&baseCoin=ETH&limit=1000",
        ],
        depth: 25,
        dialect: || Box::new(V5 { options: true, ..V5::default() }),
        list: |body| list(Venue::BybitOption, body),
        describe: |symbol| describe(Venue::BybitOption, symbol),
        ..LINEAR
    },
    // v3 of the derivatives speaks as v5 does, at its own addresses.
    Protocol {
        name: "bybit-v3-linear",
        valid: ("", "2023-12-31"),
        url: "wss://stream.bybit.com/contract/usdt/public/v3",
        mark: "/contract/usdt/public/v3",
        source: "from memory",
        ..LINEAR
    },
    Protocol {
        name: "bybit-v3-inverse",
        venue: Venue::BybitInverse,
        valid: ("", "2023-12-31"),
        url: "wss://stream.bybit.com/contract/inverse/public/v3",
        mark: "/contract/inverse/public/v3",
        instruments_paths: &["/v5/market/instruments-info?category=inverse&limit=1000"],
        source: "from memory",
        list: |body| list(Venue::BybitInverse, body),
        describe: |symbol| describe(Venue::BybitInverse, symbol),
        ..LINEAR
    },
    OLD_LINEAR,
    Protocol {
        name: "bybit-v2-inverse",
        venue: Venue::BybitInverse,
        url: "wss://stream.bybit.com/realtime",
        mark: "stream.bybit.com/realtime",
        list: |body| v2::list(Venue::BybitInverse, body),
        describe: |symbol| describe(Venue::BybitInverse, symbol),
        ..OLD_LINEAR
    },
];

/// What a topic brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Book,
    /// The best level of each side alone.
    Best,
    Trades,
    Ticker,
    /// Nothing that concerns us, nor will its loss.
    Candles,
    Other,
}

impl Kind {
    const fn channel(self) -> Option<Channel> {
        match self {
            Self::Book => Some(Channel::Book),
            Self::Best => Some(Channel::Quotes),
            Self::Trades => Some(Channel::Trades),
            Self::Ticker | Self::Candles => Some(Channel::Marks),
            Self::Other => None,
        }
    }
}

/// The kind, the symbol and the depth of a topic: `orderbook.50.BTCUSDT`, `publicTrade.BTCUSDT`.
fn topic(topic: &[u8]) -> (Kind, &[u8], Option<u16>) {
    fn cut(text: &[u8]) -> Option<(&[u8], &[u8])> {
        let dot = text.iter().position(|byte| *byte == b'.')?;
        Some((text.get(..dot)?, text.get(dot + 1..)?))
    }
    let other = (Kind::Other, &[][..], None);
    let Some((name, rest)) = cut(topic) else { return other };
    match name {
        b"orderbook" => {
            let Some((depth, symbol)) = cut(rest) else { return other };
            match std::str::from_utf8(depth).ok().and_then(|depth| depth.parse().ok()) {
                Some(1) => (Kind::Best, symbol, Some(1)),
                Some(depth) => (Kind::Book, symbol, Some(depth)),
                // `full` has no snapshot in the stream, `rpi` counts other orders in.
                None => other,
            }
        }
        b"publicTrade" | b"trade" => (Kind::Trades, rest, None),
        b"tickers" => (Kind::Ticker, rest, None),
        b"orderBookL2_25" => (Kind::Book, rest, Some(25)),
        b"orderBook_200" => cut(rest).map_or(other, |(_, symbol)| (Kind::Book, symbol, Some(200))),
        b"kline" | b"klineV2" | b"candle" => (Kind::Candles, &[], None),
        b"instrument_info" => cut(rest).map_or(other, |(_, symbol)| (Kind::Ticker, symbol, None)),
        _ => other,
    }
}

/// What stands around the data, and the answers to requests.
#[derive(Default)]
struct Envelope<'a> {
    topic: Option<(Kind, Text)>,
    snapshot: Option<bool>,
    data: Option<()>,
    sent: Option<Nanos>,
    engine: Option<Nanos>,
    sequence: Option<u64>,
    success: Option<bool>,
    message: Option<&'a [u8]>,
    op: Option<&'a [u8]>,
    /// The topics of an acknowledged request, as an array.
    topics: Option<Json<'a>>,
    /// An answer to a REST request.
    rest: bool,
}

impl<'a> Envelope<'a> {
    #[inline]
    fn take(&mut self, json: &mut Json<'a>, key: &[u8], out: &mut Frame) -> Read<()> {
        match key {
            b"topic" => {
                let (kind, symbol, depth) = topic(json.text()?);
                let symbol = json.place(symbol);
                out.channel = kind.channel();
                out.depth = if kind == Kind::Book { depth } else { None };
                if symbol.len != 0 {
                    out.symbol = Some(Symbol::At(symbol));
                }
                json.once(&mut self.topic, (kind, symbol), "topic")
            }
            b"type" => {
                let snapshot = json.text()? == b"snapshot";
                json.once(&mut self.snapshot, snapshot, "type")
            }
            b"ts" => json.field(&mut self.sent, "ts", Json::millis),
            b"timestamp_e6" => json.field(&mut self.sent, "timestamp_e6", Json::micros),
            b"cts" => json.field(&mut self.engine, "cts", Json::millis),
            b"cross_seq" => json.field(&mut self.sequence, "cross_seq", Json::unsigned),
            b"success" => json.field(&mut self.success, "success", Json::boolean),
            b"ret_msg" => json.field(&mut self.message, "ret_msg", Json::text),
            b"op" => json.field(&mut self.op, "op", Json::text),
            b"request" => json.object(|json, key| match key {
                b"op" => json.field(&mut self.op, "op", Json::text),
                b"args" => {
                    self.topics = (json.peek() == b'[').then(|| json.clone());
                    json.skip()
                }
                _ => json.skip(),
            }),
            b"retCode" | b"ret_code" => {
                self.rest = true;
                json.skip()
            }
            _ => json.skip(),
        }
    }

    /// What the venue says of a request. False if this is none.
    fn answer(&mut self, json: &Json<'a>, late: Option<&mut Json<'a>>, out: &mut Frame) -> Read<bool> {
        let nobody = (Symbol::None, Nanos::UNKNOWN);
        if matches!(self.op, Some(b"ping" | b"pong")) || self.message == Some(b"pong") {
            out.push(nobody.0, nobody.1, Body::Heartbeat);
            return Ok(true);
        }
        let Some(success) = self.success else { return Ok(self.rest) };
        if !success {
            let text = self.message.unwrap_or_default();
            let named = refused(text).map_or(Symbol::None, |symbol| Symbol::At(json.place(symbol)));
            // What was asked for twice is there.
            let there = text.windows(18).any(|window| window == b"already subscribed");
            out.push(named, nobody.1, if there { Body::Other } else { Body::Refused(json.place(text)) });
            return Ok(true);
        }
        if let Some(data) = late {
            // Options name the topics, those that stand and those that do not.
            data.object(|data, key| match key {
                b"successTopics" => topics(data, out, |_| Body::Subscribed),
                b"failTopics" => topics(data, out, Body::Refused),
                _ => data.skip(),
            })?;
            return Ok(true);
        }
        match (self.op, &mut self.topics) {
            (Some(b"subscribe"), Some(args)) => topics(args, out, |_| Body::Subscribed)?,
            (Some(b"subscribe"), None) => out.push(nobody.0, nobody.1, Body::Subscribed),
            _ => out.push(nobody.0, nobody.1, Body::Other),
        }
        Ok(true)
    }
}

/// One message for each topic of an array.
fn topics(json: &mut Json<'_>, out: &mut Frame, body: impl Fn(Text) -> Body) -> Read<()> {
    if json.null() {
        return Ok(());
    }
    json.array(|json| {
        let text = json.text()?;
        let (kind, symbol, _) = topic(text);
        let body = body(json.place(text));
        // Only who is refused the book has nothing left to wait for.
        let nobody = symbol.is_empty() || (kind != Kind::Book && matches!(body, Body::Refused(_)));
        let symbol = if nobody { Symbol::None } else { Symbol::At(json.place(symbol)) };
        out.push(symbol, Nanos::UNKNOWN, body);
        Ok(())
    })
}

/// The symbol in a text such as `error:handler not found,topic:orderbook.500.BTCUSDT`, of a book.
fn refused(text: &[u8]) -> Option<&[u8]> {
    const MARK: &[u8] = b"topic:";
    let at = text.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let named = text.get(at..)?.split(|byte| matches!(byte, b',' | b' ')).next()?;
    let (kind, symbol, _) = topic(named);
    (kind == Kind::Book).then_some(symbol)
}

/// An id as a number; 0 where it is none, such as a UUID.
#[inline]
fn number(text: &[u8]) -> u64 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// One connection of v5.
#[derive(Debug, Default)]
struct V5 {
    options: bool,
    /// Best levels come as books of depth one: the slower ones of the tickers say nothing new.
    best: bool,
}

/// What the data of one message has brought.
#[derive(Default)]
struct Data {
    bids: Option<()>,
    asks: Option<()>,
    update: Option<u64>,
    values: Values,
}

/// What a ticker says.
#[derive(Default)]
struct Values {
    mark: Option<Option<Decimal>>,
    index: Option<Option<Decimal>>,
    iv: Option<Option<Decimal>>,
    rate: Option<Option<Decimal>>,
    due: Option<Nanos>,
    bid: Option<Option<Decimal>>,
    bid_size: Option<Option<Decimal>>,
    ask: Option<Option<Decimal>>,
    ask_size: Option<Option<Decimal>>,
}

impl Values {
    /// Mark price and the like, if the message has any of them.
    fn marks(&self, symbol: Symbol, ts_event: Nanos, out: &mut Frame) {
        let (mark, index, iv) = (self.mark.flatten(), self.index.flatten(), self.iv.flatten());
        let funding = self.rate.flatten().map(|rate| (rate, self.due.unwrap_or(Nanos::UNKNOWN)));
        if mark.is_some() || index.is_some() || iv.is_some() || funding.is_some() {
            out.push(symbol, ts_event, Body::Mark { mark, index, iv, funding });
        }
    }
}

impl Dialect for V5 {
    fn read(&mut self, frame: &[u8], out: &mut Frame) -> Read<()> {
        let mut json = Json::new(frame);
        let (mut top, mut data, mut late) = (Envelope::default(), Data::default(), None);
        json.object(|json, key| {
            if key != b"data" {
                return top.take(json, key, out);
            }
            json.once(&mut top.data, (), "data")?;
            match top.topic {
                Some((kind, _)) => data.take(json, kind, out),
                None => {
                    late = Some(json.clone());
                    json.skip()
                }
            }
        })?;
        json.end()?;
        let Some((kind, name)) = top.topic else {
            if top.answer(&json, late.as_mut(), out)? {
                return Ok(());
            }
            return json.need(None, "topic");
        };
        json.need(top.data, "data")?;
        if let Some(mut late) = late {
            data.take(&mut late, kind, out)?;
        }
        let symbol = Symbol::At(name);
        match kind {
            Kind::Book => {
                let ts_event = top.engine.or(top.sent);
                let (snapshot, update) = data.book(&json, &top)?;
                let link = if snapshot { Link::At(update) } else { Link::Range { first: update, last: update } };
                let levels = 0..out.levels.len();
                let body = Body::Levels { snapshot, link, checksum: None, levels };
                out.push(symbol, json.need(ts_event, "ts")?, body);
            }
            Kind::Best => {
                let ts_event = json.need(top.engine.or(top.sent), "ts")?;
                let (snapshot, sequence) = data.book(&json, &top)?;
                // Of a change, the level that took the place of the one that left, or nothing if that side stayed.
                let best = |side| {
                    let mut last = None;
                    for level in out.levels.iter().filter(|level| level.side == side) {
                        let empty: &Level = last.get_or_insert(level);
                        if empty.size.is_zero() {
                            last = Some(level);
                        }
                    }
                    let nothing = snapshot.then_some((Decimal::ZERO, Decimal::ZERO));
                    last.map(|level| (level.price, level.size)).or(nothing)
                };
                let (bid, ask) = (best(Side::Bid), best(Side::Ask));
                self.best = true;
                if bid.is_some() || ask.is_some() {
                    out.push(symbol, ts_event, Body::Quote { sequence, bid, ask });
                }
            }
            Kind::Ticker => {
                let ts_event = json.need(top.sent, "ts")?;
                let values = &data.values;
                values.marks(symbol, ts_event, out);
                let level =
                    |price: Option<Option<Decimal>>, size: Option<Option<Decimal>>| price.flatten().zip(size.flatten());
                let (bid, ask) = (level(values.bid, values.bid_size), level(values.ask, values.ask_size));
                if !self.best && (bid.is_some() || ask.is_some()) {
                    out.push(symbol, ts_event, Body::Quote { sequence: 0, bid, ask });
                }
            }
            Kind::Trades | Kind::Candles | Kind::Other => {}
        }
        Ok(())
    }

    fn subscribe(&mut self, on: bool, symbols: &[&str], channels: &[Channel], depth: u16, out: &mut Vec<String>) {
        let op = if on { "subscribe" } else { "unsubscribe" };
        let depths: &[u16] = if self.options { &[25, 100] } else { &[50, 200, 1000] };
        let depth = depths.iter().find(|known| **known >= depth).or(depths.last()).copied().unwrap_or(50);
        let mut topics: Vec<String> = Vec::new();
        let mut add = |topic: String| {
            if !topics.contains(&topic) {
                topics.push(topic);
            }
        };
        for symbol in symbols {
            for channel in channels {
                match channel {
                    Channel::Book => add(format!("orderbook.{depth}.{symbol}")),
                    Channel::Quotes if !self.options => add(format!("orderbook.1.{symbol}")),
                    Channel::Quotes | Channel::Marks => add(format!("tickers.{symbol}")),
                    // Trades of options come for all options on one currency: others still need them.
                    Channel::Trades if self.options && !on => {}
                    Channel::Trades if self.options => {
                        add(format!("publicTrade.{}", symbol.split('-').next().unwrap_or(symbol)));
                    }
                    Channel::Trades => add(format!("publicTrade.{symbol}")),
                }
            }
        }
        request(op, &topics, out);
    }

    fn reset(&mut self) {
        self.best = false;
    }
}

/// Spot allows ten topics in one request.
fn request(op: &str, topics: &[String], out: &mut Vec<String>) {
    out.extend(topics.chunks(10).map(|topics| {
        let topics: Vec<String> = topics.iter().map(|topic| format!("\"{topic}\"")).collect();
        format!("{{\"op\":\"{op}\",\"args\":[{}]}}", topics.join(","))
    }));
}

impl Data {
    #[inline]
    fn take(&mut self, json: &mut Json<'_>, kind: Kind, out: &mut Frame) -> Read<()> {
        match kind {
            Kind::Book | Kind::Best => json.object(|json, key| match key {
                b"b" => {
                    json.once(&mut self.bids, (), "b")?;
                    out.take_levels(json, Side::Bid)
                }
                b"a" => {
                    json.once(&mut self.asks, (), "a")?;
                    out.take_levels(json, Side::Ask)
                }
                b"u" => json.field(&mut self.update, "u", Json::unsigned),
                _ => json.skip(),
            }),
            Kind::Trades => json.array(|json| trade(json, out)),
            Kind::Ticker => json.object(|json, key| self.values.take(json, key)),
            Kind::Candles | Kind::Other => json.skip(),
        }
    }

    /// Whether the message replaces the book, and its number.
    #[inline]
    fn book(&self, json: &Json<'_>, top: &Envelope<'_>) -> Read<(bool, u64)> {
        json.need(self.bids, "b")?;
        json.need(self.asks, "a")?;
        let update = json.need(self.update, "u")?;
        Ok((json.need(top.snapshot, "type")? || update == 1, update))
    }
}

impl Values {
    fn take(&mut self, json: &mut Json<'_>, key: &[u8]) -> Read<()> {
        let (slot, field) = match key {
            b"markPrice" => (&mut self.mark, "markPrice"),
            b"indexPrice" => (&mut self.index, "indexPrice"),
            b"markPriceIv" => (&mut self.iv, "markPriceIv"),
            b"fundingRate" => (&mut self.rate, "fundingRate"),
            b"bid1Price" | b"bidPrice" => (&mut self.bid, "bid1Price"),
            b"bid1Size" | b"bidSize" => (&mut self.bid_size, "bid1Size"),
            b"ask1Price" | b"askPrice" => (&mut self.ask, "ask1Price"),
            b"ask1Size" | b"askSize" => (&mut self.ask_size, "ask1Size"),
            b"nextFundingTime" => {
                // Empty for dated futures.
                if let Some(due) = json.optional_decimal()? {
                    json.once(&mut self.due, due.millis()?, "nextFundingTime")?;
                }
                return Ok(());
            }
            _ => return json.skip(),
        };
        let value = json.optional_decimal()?;
        json.once(slot, value, field)
    }
}

/// A trade of v5.
#[inline]
fn trade(json: &mut Json<'_>, out: &mut Frame) -> Read<()> {
    let (mut symbol, mut id, mut price, mut size, mut aggressor, mut time) = (None, None, None, None, None, None);
    let mut block = false;
    json.object(|json, key| match key {
        b"T" => json.field(&mut time, "T", Json::millis),
        b"s" => json.field(&mut symbol, "s", Json::name),
        b"S" => json.field(&mut aggressor, "S", |json| json.side(b"Buy", b"Sell", "Buy or Sell")),
        b"v" => json.field(&mut size, "v", Json::decimal),
        b"p" => json.field(&mut price, "p", Json::decimal),
        b"i" => json.field(&mut id, "i", |json| json.text().map(number)),
        b"BT" => {
            block = json.boolean()?;
            Ok(())
        }
        _ => json.skip(),
    })?;
    let symbol = Symbol::At(json.need(symbol, "s")?);
    let (id, price, size) = (json.need(id, "i")?, json.need(price, "p")?, json.need(size, "v")?);
    let (side, ts_event) = (Some(json.need(aggressor, "S")?), json.need(time, "T")?);
    // A block trade is agreed elsewhere, not made in this book.
    out.push(symbol, ts_event, Body::Trade { id, price, size, side, silent: block });
    Ok(())
}

#[cfg(test)]
mod tests;
