//! Bybit: spot, linear, inverse and options, API v5, and the v2 dialects of its derivatives.
//!
//! v5 numbers the messages of each topic, `u`, step one; type `snapshot` replaces the book, and so does `u` = 1, with
//! which the venue begins anew after a restart of its service: neither is a gap. `seq` is shared by all topics and
//! says nothing of losses. `ts_event` is the matching engine's time `cts` where a message has it, else the time of
//! sending. v2 has no counter at all: changes come as deletes, updates and inserts by the id of a level, and
//! `cross_seq` grows by any step, so nothing proves that none is missing. The venue's documentation, checked on real
//! captures of 2021 (v2) and 2026 (v5 spot).

use serde::Deserialize;

use super::json::{Decimal, Json, Read, Text, iso_nanos};
use super::message::{Body, Frame, Level, Link, Symbol};
use super::protocol::{Channel, Dialect, KeepAlive, Protocol, RestLimit, SnapshotFrom};
use super::{step_of, tick_decimals};
use crate::instrument::{Contract, Instrument, OptionTerms, Venue};
use crate::units::{Nanos, Side, Unit};

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
    list: |body| list_v2(Venue::BybitLinear, body),
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
        list: |body| list_v2(Venue::BybitInverse, body),
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

#[inline]
/// An id as a number; 0 where it is none, such as a UUID.
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

/// One connection of v2.
#[derive(Debug, Default)]
struct V2 {
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
                Some((kind, _)) => old_data(json, kind, &mut parts, &mut values, out),
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
            old_data(&mut late, kind, &mut parts, &mut values, out)?;
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

fn old_data(json: &mut Json<'_>, kind: Kind, parts: &mut Parts, values: &mut Values, out: &mut Frame) -> Read<()> {
    match kind {
        // The inverse contracts send the levels of a snapshot bare.
        Kind::Book if json.peek() == b'[' => {
            json.once(&mut parts.all, (), "data")?;
            json.array(|json| old_level(json, true, out))
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
            json.array(|json| old_level(json, sized, out))
        }),
        Kind::Trades => json.array(|json| old_trade(json, out)),
        Kind::Ticker => json.object(|json, key| match key {
            b"update" => json.array(|json| json.object(|json, key| values.take_old(json, key))),
            _ => values.take_old(json, key),
        }),
        Kind::Best | Kind::Candles | Kind::Other => json.skip(),
    }
}

#[inline]
fn old_level(json: &mut Json<'_>, sized: bool, out: &mut Frame) -> Read<()> {
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

fn old_trade(json: &mut Json<'_>, out: &mut Frame) -> Read<()> {
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

const QUOTES: [&str; 14] =
    ["USDT", "USDC", "USDE", "USDQ", "USD1", "USDR", "DAI", "EUR", "BRL", "TRY", "PLN", "BTC", "ETH", "MNT"];

fn describe(venue: Venue, symbol: &str) -> Option<Instrument> {
    let mut parts = symbol.split('-');
    let pair = parts.next().filter(|pair| !pair.is_empty() && pair.bytes().all(|byte| byte.is_ascii_alphanumeric()))?;
    let split = |quotes: &[&'static str]| {
        quotes
            .iter()
            .find_map(|quote| pair.strip_suffix(quote).filter(|base| !base.is_empty()).map(|base| (base, *quote)))
    };
    let named = |contract, base: &str, quote: &str| Instrument::named(venue, symbol, contract, base, quote);
    match venue {
        Venue::BybitOption => {
            let (day, strike, right) = (parts.next()?, parts.next()?, parts.next()?);
            let mut found = named(Contract::Option, pair, parts.next().unwrap_or("USDC"));
            found.delivery = Some(delivery(day)?);
            let call = match right {
                "C" => true,
                "P" => false,
                _ => return None,
            };
            found.option = Some(OptionTerms { strike: Unit::parse(strike).ok()?, call });
            Some(found)
        }
        Venue::BybitInverse => {
            let quarter = pair.len().checked_sub(3).and_then(|at| pair.get(at..)).and_then(quarter_day);
            let pair = if quarter.is_some() { pair.get(..pair.len() - 3)? } else { pair };
            let base = pair.strip_suffix("USD").filter(|base| !base.is_empty())?;
            let mut found = named(Contract::Inverse, base, "USD");
            found.delivery = quarter;
            Some(found)
        }
        Venue::BybitLinear => {
            let day = match parts.next() {
                Some(day) => Some(delivery(day)?),
                None => None,
            };
            // Contracts in USDC have no quote in their name: BTCPERP, BTC-26DEC25.
            let perpetual = pair.strip_suffix("PERP").filter(|base| !base.is_empty() && day.is_none());
            let (base, quote) = match (split(&["USDT", "USDC", "USDE"]), perpetual) {
                (Some(found), _) => found,
                (None, Some(base)) => (base, "USDC"),
                (None, None) if day.is_some() => (pair, "USDC"),
                (None, None) => return None,
            };
            let mut found = named(Contract::Linear, base, quote);
            found.delivery = day;
            Some(found)
        }
        _ => {
            let (base, quote) = split(&QUOTES)?;
            Some(named(Contract::Spot, base, quote))
        }
    }
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

/// `251226` of `26DEC25`.
fn delivery(day: &str) -> Option<String> {
    let letters = day.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (number, rest) = (day.get(..letters)?, day.get(letters..)?);
    let (month, year) = (rest.get(..3)?, rest.get(3..)?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let day: u8 = number.parse().ok().filter(|day| (1..=31).contains(day))?;
    let year: u8 = year.parse().ok().filter(|_| year.len() == 2)?;
    Some(format!("{year:02}{month:02}{day:02}"))
}

/// The last Friday of the month that `Z25` names: the letters are those of all futures exchanges.
fn quarter_day(code: &str) -> Option<String> {
    let month = i64::try_from("FGHJKMNQUVXZ".find(code.get(..1)?)?).ok()? + 1;
    let year: i64 = code.get(1..).filter(|year| year.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()?;
    // The 24th is the earliest and the 31st the latest day that can be a month's last Friday.
    let first_of_next = if month == 12 { days(2001 + year, 1, 1) } else { days(2000 + year, month + 1, 1) };
    // 1970-01-01 was a Thursday: Fridays are the days 1, 8, 15...
    let last = first_of_next - 1;
    Some(date(last - (last - 1).rem_euclid(7)))
}

/// Days since the epoch of a day of the proleptic Gregorian calendar.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * month + 2) / 5 + day
        - 1
        - 719_468
}

/// A day since the epoch as `YYMMDD`.
fn date(day: i64) -> String {
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (month, day) = (if shifted < 10 { shifted + 3 } else { shifted - 9 }, of_year - (153 * shifted + 2) / 5 + 1);
    let year = era * 400 + year + i64::from(month <= 2);
    format!("{:02}{month:02}{day:02}", year.rem_euclid(100))
}

#[derive(Deserialize)]
struct Listing {
    result: Page,
}

#[derive(Deserialize)]
struct Page {
    list: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    symbol: String,
    #[serde(default)]
    base_coin: String,
    #[serde(default)]
    quote_coin: String,
    #[serde(default)]
    settle_coin: String,
    #[serde(default)]
    delivery_time: String,
    #[serde(default)]
    price_filter: PriceFilter,
    #[serde(default)]
    lot_size_filter: LotFilter,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PriceFilter {
    #[serde(default)]
    tick_size: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LotFilter {
    #[serde(default)]
    qty_step: String,
    #[serde(default)]
    base_precision: String,
}

fn list(venue: Venue, body: &[u8]) -> Result<Vec<Instrument>, String> {
    let listing: Listing = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let list = listing.result.list.into_iter();
    Ok(list.filter_map(|entry| listed(venue, &serde_json::from_value(entry).ok()?)).collect())
}

fn listed(venue: Venue, listed: &Listed) -> Option<Instrument> {
    let contract = match venue {
        Venue::BybitLinear => Contract::Linear,
        Venue::BybitInverse => Contract::Inverse,
        Venue::BybitOption => Contract::Option,
        _ => Contract::Spot,
    };
    if listed.symbol.is_empty() || listed.base_coin.is_empty() || listed.quote_coin.is_empty() {
        return None;
    }
    let known = describe(venue, &listed.symbol);
    let mut found = Instrument::named(venue, &listed.symbol, contract, &listed.base_coin, &listed.quote_coin);
    if !listed.settle_coin.is_empty() {
        found.settle.clone_from(&listed.settle_coin);
    }
    if contract == Contract::Option {
        found.option = Some(known?.option?);
    }
    let day = listed.delivery_time.parse::<i64>().ok().filter(|time| *time > 0).map(|time| date(time / 86_400_000));
    found.delivery = if contract == Contract::Spot { None } else { day };
    let filter = &listed.lot_size_filter;
    found.tick = step_of(&listed.price_filter.tick_size);
    found.lot = step_of(&filter.qty_step).or_else(|| step_of(&filter.base_precision));
    found.price_unit = tick_decimals(found.tick, 8);
    found.size_unit = tick_decimals(found.lot, 8);
    Some(found)
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
fn list_v2(venue: Venue, body: &[u8]) -> Result<Vec<Instrument>, String> {
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

#[cfg(test)]
mod tests;
