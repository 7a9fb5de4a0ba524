//! Kraken spot: websocket v2, and v1 for older captures.
//!
//! Neither numbers its messages. What proves a book is the checksum that every message carries (in v1 every change),
//! over the best ten levels of each side: a lost change of those shows at once, one further down only when it comes up.
//! Levels that fall out of the subscribed depth leave without a word, so the book is cut to it; v1 names the depth in
//! every message, v2 only when it confirms the subscription. Prices and sizes of v2 are bare numbers whose zeros count,
//! because the checksum hashes them. `ts_event` of a v1 book is the latest time among its levels, the only one there
//! is. Rules: the venue's documentation, checked on real captures of both.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::json::{Decimal, Fault, FaultKind, Json, Read, Text};
use super::message::{Body, Frame, Level, Link, MAX_NAME, Symbol, Whose};
use super::protocol::{
    Channel, ChecksumRule, ChecksumText, Dialect, KeepAlive, Protocol, RestLimit, SnapshotFrom, quoted,
};
use super::{step_of, tick_decimals};
use crate::instrument::{Contract, Instrument, Venue};
use crate::units::{Nanos, Side, Unit};

mod v1;

use self::v1::{V1, rest_book};

const V2: Protocol = Protocol {
    name: "kraken-v2",
    venue: Venue::Kraken,
    valid: ("", ""),
    url: "wss://ws.kraken.com/v2",
    mark: "ws.kraken.com/v2",
    rest: "https://api.kraken.com",
    snapshot_path: "",
    instruments_paths: &["/0/public/AssetPairs"],
    snapshot: SnapshotFrom::Stream,
    counts_frames: false,
    counts_trades: true,
    links: false,
    checksum: Some(ChecksumRule { text: ChecksumText::Kraken, levels: 10 }),
    // Deeper levels are nowhere proved.
    depth: 10,
    cuts: true,
    cross_resyncs: false,
    keep_alive: Some(KeepAlive { text: "{\"method\":\"ping\"}", every: 30 }),
    silence: 15,
    per_connection: 100,
    sends_per_second: 10,
    limit: RestLimit { weight: 1, per_minute: 60 },
    source: "venue documentation, real captures of 2026; trade ids and limits from the documentation",
    dialect: || Box::new(V2Dialect::default()),
    list: |body| list(body, today),
    describe,
};

/// The protocols of this file.
pub(super) const PROTOCOLS: &[Protocol] = &[
    V2,
    Protocol {
        name: "kraken-v1",
        // Still served, but frozen; recorders have left it since.
        valid: ("", "2026-07-09"),
        url: "wss://ws.kraken.com",
        mark: "ws.kraken.com",
        counts_trades: false,
        keep_alive: Some(KeepAlive { text: "{\"event\":\"ping\"}", every: 30 }),
        source: "venue documentation, a real capture of 2021",
        dialect: || Box::new(V1),
        list: |body| list(body, |currency| currency),
        ..V2
    },
];

/// The depths of so many books are remembered.
const MAX_DEPTHS: usize = 1 << 16;
/// The depths that can be subscribed.
const DEPTHS: [u16; 5] = [10, 25, 100, 500, 1000];

/// The smallest depth that can be subscribed and holds `levels`.
fn depth_of(levels: usize) -> u16 {
    DEPTHS.into_iter().find(|&depth| usize::from(depth) >= levels).unwrap_or(1000)
}

/// The symbols that one request names: no limit is documented, this keeps it short.
const SYMBOLS_PER_REQUEST: usize = 50;

/// What a v2 channel means to us.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Book,
    Trades,
    Ticker,
    Instruments,
    Heartbeat,
    Other,
}

impl Kind {
    fn of(name: &[u8]) -> Self {
        match name {
            b"book" => Self::Book,
            b"trade" => Self::Trades,
            b"ticker" => Self::Ticker,
            b"instrument" => Self::Instruments,
            b"heartbeat" => Self::Heartbeat,
            _ => Self::Other,
        }
    }

    const fn channel(self) -> Channel {
        match self {
            Self::Book => Channel::Book,
            Self::Trades => Channel::Trades,
            Self::Ticker => Channel::Quotes,
            // Whatever is lost of these, nothing has to be fetched again.
            Self::Instruments | Self::Heartbeat | Self::Other => Channel::Marks,
        }
    }
}

/// What one v2 message has brought so far.
#[derive(Default)]
struct Head {
    kind: Option<Kind>,
    snapshot: Option<bool>,
    data: Option<()>,
    method: Option<Method>,
    success: Option<bool>,
    error: Option<Text>,
    symbol: Option<Text>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Subscribe,
    Pong,
    Other,
}

/// One connection that speaks v2.
#[derive(Debug, Default)]
struct V2Dialect {
    /// The depth of each book, as the venue last confirmed it or a snapshot showed it.
    depths: BTreeMap<Box<[u8]>, u16>,
}

impl Dialect for V2Dialect {
    fn read(&mut self, frame: &[u8], out: &mut Frame) -> Read<()> {
        let mut json = Json::new(frame);
        let mut head = Head::default();
        let mut late = None;
        json.object(|json, key| match key {
            b"channel" => {
                let kind = Kind::of(json.text()?);
                out.channel = Some(kind.channel());
                json.once(&mut head.kind, kind, "channel")
            }
            b"type" => {
                let snapshot = match json.text()? {
                    b"snapshot" => true,
                    b"update" => false,
                    _ => return Err(json.fault("snapshot or update")),
                };
                json.once(&mut head.snapshot, snapshot, "type")
            }
            b"data" => {
                json.once(&mut head.data, (), "data")?;
                if let (Some(kind), Some(snapshot)) = (head.kind, head.snapshot) {
                    self.data(json, kind, snapshot, out)
                } else {
                    late = Some(json.clone());
                    json.skip()
                }
            }
            b"method" => {
                let method = match json.text()? {
                    b"subscribe" => Method::Subscribe,
                    b"pong" => Method::Pong,
                    _ => Method::Other,
                };
                json.once(&mut head.method, method, "method")
            }
            b"success" => json.field(&mut head.success, "success", Json::boolean),
            b"error" if json.peek() == b'"' => json.field(&mut head.error, "error", Json::name),
            b"symbol" if json.peek() == b'"' => json.field(&mut head.symbol, "symbol", Json::name),
            b"result" if json.peek() == b'{' => self.result(json, &mut head, out),
            _ => json.skip(),
        })?;
        json.end()?;
        if let Some(method) = head.method {
            let symbol = head.symbol.map_or(Symbol::None, Symbol::At);
            match (method, head.success, head.error) {
                (Method::Pong, ..) => out.push(Symbol::None, Nanos::UNKNOWN, Body::Heartbeat),
                (Method::Subscribe, Some(true), _) => out.push(symbol, Nanos::UNKNOWN, Body::Subscribed),
                (Method::Subscribe, _, Some(error)) => out.push(symbol, Nanos::UNKNOWN, Body::Refused(error)),
                _ => out.push(Symbol::None, Nanos::UNKNOWN, Body::Other),
            }
            return Ok(());
        }
        let Some(kind) = head.kind else {
            // An error that answers no request of ours.
            let body = head.error.map_or(Body::Other, Body::Refused);
            out.push(Symbol::None, Nanos::UNKNOWN, body);
            return Ok(());
        };
        match kind {
            Kind::Heartbeat => out.push(Symbol::None, Nanos::UNKNOWN, Body::Heartbeat),
            Kind::Other => out.push(Symbol::None, Nanos::UNKNOWN, Body::Other),
            _ => {
                json.need(head.data, "data")?;
                if let Some(mut late) = late {
                    self.data(&mut late, kind, json.need(head.snapshot, "type")?, out)?;
                }
            }
        }
        Ok(())
    }

    fn read_snapshot(&mut self, body: &[u8], out: &mut Frame) -> Read<()> {
        rest_book(body, out)
    }

    fn subscribe(&mut self, on: bool, symbols: &[&str], channels: &[Channel], depth: u16, out: &mut Vec<String>) {
        let method = if on { "subscribe" } else { "unsubscribe" };
        for channel in channels {
            let rest = match (channel, on) {
                (Channel::Book, true) => {
                    format!("\"channel\":\"book\",\"depth\":{},\"snapshot\":true", depth_of(depth.into()))
                }
                (Channel::Book, false) => format!("\"channel\":\"book\",\"depth\":{}", depth_of(depth.into())),
                // Without the trades before the subscription: then a hole in the ids shows what a lost connection
                // missed.
                (Channel::Trades, true) => "\"channel\":\"trade\",\"snapshot\":false".to_owned(),
                (Channel::Trades, false) => "\"channel\":\"trade\"".to_owned(),
                (Channel::Quotes, _) => "\"channel\":\"ticker\",\"event_trigger\":\"bbo\"".to_owned(),
                (Channel::Marks, _) => continue,
            };
            for symbols in symbols.chunks(SYMBOLS_PER_REQUEST) {
                let symbols = quoted(symbols);
                out.push(format!("{{\"method\":\"{method}\",\"params\":{{{rest},\"symbol\":[{symbols}]}}}}"));
            }
        }
    }

    fn reset(&mut self) {
        self.depths.clear();
    }
}

impl V2Dialect {
    /// What a subscription turned out to be.
    fn result(&mut self, json: &mut Json<'_>, head: &mut Head, out: &mut Frame) -> Read<()> {
        let (mut kind, mut depth, mut name) = (None, None, None);
        json.object(|json, key| match key {
            b"channel" => json.field(&mut kind, "channel", |json| json.text().map(Kind::of)),
            b"symbol" if json.peek() == b'"' => {
                let symbol = json.text()?;
                name = Some(symbol);
                json.once(&mut head.symbol, json.place(symbol), "symbol")
            }
            b"depth" => json.field(&mut depth, "depth", Json::unsigned),
            _ => json.skip(),
        })?;
        out.channel = kind.map(Kind::channel);
        if kind == Some(Kind::Book)
            && let (Some(depth), Some(name)) = (depth, name)
        {
            self.learn(name, u16::try_from(depth).map_err(|_| json.fault("a depth of at most 1000"))?);
        }
        Ok(())
    }

    fn learn(&mut self, name: &[u8], depth: u16) {
        if name.len() > MAX_NAME {
            return;
        }
        if self.depths.contains_key(name) || self.depths.len() < MAX_DEPTHS {
            self.depths.insert(name.into(), depth);
        }
    }

    #[inline]
    fn data(&mut self, json: &mut Json<'_>, kind: Kind, snapshot: bool, out: &mut Frame) -> Read<()> {
        let mut whose = Whose::default();
        match kind {
            Kind::Book => {
                json.array(|json| {
                    out.symbol = None;
                    book(json, snapshot, &mut whose, out)
                })?;
                // Of several books in one frame, none says how deep the others are.
                if let (Some(name), false) = (whose.name, whose.several) {
                    if snapshot
                        && !self.depths.contains_key(name)
                        && let Some(levels) = deepest(out)
                    {
                        self.learn(name, depth_of(levels));
                    }
                    out.depth = self.depths.get(name).copied();
                }
                Ok(())
            }
            Kind::Trades => json.array(|json| {
                out.symbol = None;
                trade(json, snapshot, &mut whose, out)
            }),
            Kind::Ticker => json.array(|json| {
                out.symbol = None;
                ticker(json, &mut whose, out)
            }),
            Kind::Instruments => json.object(|json, key| match key {
                b"pairs" => json.array(|json| status(json, out)),
                _ => json.skip(),
            }),
            Kind::Heartbeat | Kind::Other => json.skip(),
        }
    }
}

/// The most levels that one side of one of the books has.
fn deepest(out: &Frame) -> Option<usize> {
    let books = out.messages.iter().filter_map(|message| match &message.body {
        Body::Levels { levels, .. } => out.levels.get(levels.clone()),
        _ => None,
    });
    let side = |book: &[Level], side| book.iter().filter(|level| level.side == side).count();
    books.map(|book| side(book, Side::Bid).max(side(book, Side::Ask))).max()
}

#[inline]
fn book<'a>(json: &mut Json<'a>, snapshot: bool, whose: &mut Whose<'a>, out: &mut Frame) -> Read<()> {
    let start = out.levels.len();
    let (mut symbol, mut bids, mut asks, mut checksum, mut time) = (None, None, None, None, None);
    json.object(|json, key| match key {
        b"symbol" => {
            let name = whose.read(json, out)?;
            json.once(&mut symbol, name, "symbol")
        }
        b"bids" => {
            json.once(&mut bids, (), "bids")?;
            levels(json, Side::Bid, out)
        }
        b"asks" => {
            json.once(&mut asks, (), "asks")?;
            levels(json, Side::Ask, out)
        }
        b"checksum" => json.field(&mut checksum, "checksum", crc),
        b"timestamp" => json.field(&mut time, "timestamp", Json::iso),
        _ => json.skip(),
    })?;
    let symbol = Symbol::At(json.need(symbol, "symbol")?);
    json.need(bids, "bids")?;
    json.need(asks, "asks")?;
    let checksum = Some(json.need(checksum, "checksum")?);
    // Snapshots had no time until 2025.
    let ts_event = if snapshot { time.unwrap_or(Nanos::UNKNOWN) } else { json.need(time, "timestamp")? };
    let levels = start..out.levels.len();
    out.push(symbol, ts_event, Body::Levels { snapshot, link: Link::None, checksum, levels });
    Ok(())
}

/// Levels as `{"price":…,"qty":…}`, as Kraken's v2 and its futures write them.
#[inline]
pub(super) fn levels(json: &mut Json<'_>, side: Side, out: &mut Frame) -> Read<()> {
    json.array(|json| {
        let (mut price, mut size) = (None, None);
        json.object(|json, key| match key {
            b"price" => json.field(&mut price, "price", Json::decimal),
            b"qty" => json.field(&mut size, "qty", Json::decimal),
            _ => json.skip(),
        })?;
        out.levels.push(Level { price: json.need(price, "price")?, size: json.need(size, "qty")?, side });
        Ok(())
    })
}

fn trade<'a>(json: &mut Json<'a>, silent: bool, whose: &mut Whose<'a>, out: &mut Frame) -> Read<()> {
    let (mut symbol, mut side, mut price, mut size, mut id, mut time) = (None, None, None, None, None, None);
    json.object(|json, key| match key {
        b"symbol" => {
            let name = whose.read(json, out)?;
            json.once(&mut symbol, name, "symbol")
        }
        b"side" => json.field(&mut side, "side", aggressor),
        b"price" => json.field(&mut price, "price", Json::decimal),
        b"qty" => json.field(&mut size, "qty", Json::decimal),
        b"trade_id" => json.field(&mut id, "trade_id", Json::unsigned),
        b"timestamp" => json.field(&mut time, "timestamp", Json::iso),
        _ => json.skip(),
    })?;
    let symbol = Symbol::At(json.need(symbol, "symbol")?);
    let body = Body::Trade {
        id: json.need(id, "trade_id")?,
        price: json.need(price, "price")?,
        size: json.need(size, "qty")?,
        side: Some(json.need(side, "side")?),
        silent,
    };
    out.push(symbol, json.need(time, "timestamp")?, body);
    Ok(())
}

/// The side of whoever took: `buy` or `sell`.
#[inline]
pub(super) fn aggressor(json: &mut Json<'_>) -> Read<Side> {
    json.side(b"buy", b"sell", "buy or sell")
}

fn ticker<'a>(json: &mut Json<'a>, whose: &mut Whose<'a>, out: &mut Frame) -> Read<()> {
    let (mut symbol, mut time) = (None, None);
    let (mut bid, mut bid_size, mut ask, mut ask_size) = (None, None, None, None);
    // An empty side is null.
    let value = |json: &mut Json<'_>| Ok(json.optional_decimal()?.unwrap_or(Decimal::ZERO));
    json.object(|json, key| match key {
        b"symbol" => {
            let name = whose.read(json, out)?;
            json.once(&mut symbol, name, "symbol")
        }
        b"bid" => json.field(&mut bid, "bid", value),
        b"bid_qty" => json.field(&mut bid_size, "bid_qty", value),
        b"ask" => json.field(&mut ask, "ask", value),
        b"ask_qty" => json.field(&mut ask_size, "ask_qty", value),
        b"timestamp" => json.field(&mut time, "timestamp", Json::iso),
        _ => json.skip(),
    })?;
    let symbol = Symbol::At(json.need(symbol, "symbol")?);
    let bid = Some((json.need(bid, "bid")?, json.need(bid_size, "bid_qty")?));
    let ask = Some((json.need(ask, "ask")?, json.need(ask_size, "ask_qty")?));
    // Tickers had no time until 2025.
    out.push(symbol, time.unwrap_or(Nanos::UNKNOWN), Body::Quote { sequence: 0, bid, ask });
    Ok(())
}

/// One pair of the `instrument` channel.
fn status(json: &mut Json<'_>, out: &mut Frame) -> Read<()> {
    let (mut symbol, mut trading) = (None, None);
    json.object(|json, key| match key {
        b"symbol" => json.field(&mut symbol, "symbol", Json::name),
        b"status" => {
            let open = matches!(json.text()?, b"online" | b"limit_only" | b"reduce_only");
            json.once(&mut trading, open, "status")
        }
        _ => json.skip(),
    })?;
    let symbol = Symbol::At(json.need(symbol, "symbol")?);
    out.push(symbol, Nanos::UNKNOWN, Body::Status { trading: json.need(trading, "status")? });
    Ok(())
}

fn crc(json: &mut Json<'_>) -> Read<u32> {
    let at = json.at();
    u32::try_from(json.unsigned()?).map_err(|_| Fault { at, kind: FaultKind::Expected("a checksum of 32 bits") })
}

/// The ordinary code of a currency that Kraken names in its own way.
pub(super) fn today(currency: &str) -> &str {
    match currency {
        "XBT" => "BTC",
        "XDG" => "DOGE",
        other => other,
    }
}

fn describe(symbol: &str) -> Option<Instrument> {
    let (base, quote) = symbol.split_once('/').filter(|(base, quote)| !base.is_empty() && !quote.is_empty())?;
    Some(Instrument::named(Venue::Kraken, symbol, Contract::Spot, today(base), today(quote)))
}

#[derive(Deserialize)]
struct Listing {
    result: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Listed {
    wsname: String,
    pair_decimals: u8,
    lot_decimals: u8,
    #[serde(default)]
    tick_size: Option<String>,
}

/// `name`: how the messages of the protocol write a currency.
fn list(body: &[u8], name: fn(&str) -> &str) -> Result<Vec<Instrument>, String> {
    let listing: Listing = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    // Pairs without a websocket name, such as those of the dark pool, have no feed.
    let listed = listing.result.into_values().filter_map(|listed| serde_json::from_value::<Listed>(listed).ok());
    Ok(listed
        .filter_map(|listed| {
            let mut found = describe(&listed.wsname)?;
            let (base, quote) = listed.wsname.split_once('/')?;
            found.symbol = format!("{}/{}", name(base), name(quote));
            let (price, size) = (listed.pair_decimals, listed.lot_decimals);
            if price > 18 || size > 18 {
                return None;
            }
            found.tick = listed.tick_size.as_deref().and_then(step_of).or_else(|| Some(Unit::decimals(price)));
            // Texts may show more decimals than the pair has; those are zeros.
            found.price_unit = tick_decimals(found.tick, price);
            if found.price_unit.exponent() > Unit::decimals(price).exponent() {
                found.price_unit = Unit::decimals(price);
            }
            found.lot = Some(Unit::decimals(size));
            found.size_unit = Unit::decimals(size);
            Some(found)
        })
        .collect())
}

#[cfg(test)]
mod tests;
