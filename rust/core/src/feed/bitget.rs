//! Bitget futures, API v2, and the v1 dialect of 2022 ("mix").
//!
//! `books` begins with a snapshot, then changes. In v1 nothing numbers the messages; each carries a CRC-32 of the
//! best 25 levels in the venue's own texts, zeros at the end and all, which proves the book after every message. v2
//! numbers them: `seq`, and `pseq` of the message before, which by 2026 has taken the place of the checksum. The
//! venue's documentation, checked on a real capture of v1 of 2022 (every checksum agrees); of v2 what others report.

use serde::Deserialize;

use super::json::{Decimal, Json, Read, Text};
use super::message::{Body, Frame, Link, Symbol};
use super::protocol::{Channel, ChecksumRule, ChecksumText, Dialect, KeepAlive, Protocol, RestLimit, SnapshotFrom};
use super::step_of;
use crate::instrument::{Contract, Instrument, Venue};
use crate::units::{Nanos, Side, Unit};

const CHECKSUM: Option<ChecksumRule> = Some(ChecksumRule { text: ChecksumText::Padded, levels: 25 });

const V2: Protocol = Protocol {
    name: "bitget-v2-futures",
    venue: Venue::BitgetFutures,
    valid: ("2026-06-06", ""),
    url: "wss://ws.bitget.com/v2/ws/public",
    mark: "bitget.com/v2/ws/public",
    rest: "https://api.bitget.com",
    snapshot_path: "",
    instruments_paths: &[
        "/api/v2/mix/market/contracts?productType=usdt-futures",
        "/api/v2/mix/market/contracts?productType=usdc-futures",
        "/api/v2/mix/market/contracts?productType=coin-futures",
    ],
    snapshot: SnapshotFrom::Stream,
    counts_frames: false,
    counts_trades: false,
    links: true,
    checksum: None,
    depth: 0,
    cuts: false,
    cross_resyncs: false,
    keep_alive: Some(KeepAlive { text: "ping", every: 25 }),
    silence: 60,
    per_connection: 50,
    sends_per_second: 10,
    limit: RestLimit { weight: 1, per_minute: 1_200 },
    source: "from memory; that the checksum is gone and pseq has come: others' live frames of 2026-06-06",
    dialect: || Box::new(Bitget { mix: false }),
    list,
    describe,
};

/// The protocols of this file.
pub(super) const PROTOCOLS: &[Protocol] = &[
    V2,
    Protocol {
        name: "bitget-v2-futures-2023",
        valid: ("", "2026-06-05"),
        checksum: CHECKSUM,
        source: "from memory of the venue's documentation",
        ..V2
    },
    Protocol {
        name: "bitget-v1-mix",
        valid: ("", "2025-11-30"),
        url: "wss://ws.bitget.com/mix/v1/stream",
        mark: "bitget.com/mix/v1/stream",
        instruments_paths: &[
            "/api/mix/v1/market/contracts?productType=umcbl",
            "/api/mix/v1/market/contracts?productType=cmcbl",
            "/api/mix/v1/market/contracts?productType=dmcbl",
        ],
        links: false,
        checksum: CHECKSUM,
        source: "real capture of 2022-04-07: every checksum agrees; the last day from memory",
        dialect: || Box::new(Bitget { mix: true }),
        ..V2
    },
];

/// What a channel brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Book,
    /// The best levels alone, all of them in every message.
    Best,
    Trades,
    Ticker,
    /// Nothing that concerns us, nor will its loss.
    Candles,
    Other,
}

impl Kind {
    fn of(channel: &[u8]) -> Self {
        match channel {
            b"books" => Self::Book,
            b"books1" | b"books5" | b"books15" => Self::Best,
            b"trade" => Self::Trades,
            b"ticker" => Self::Ticker,
            _ if channel.starts_with(b"candle") => Self::Candles,
            _ => Self::Other,
        }
    }

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

/// What stands around the data.
#[derive(Default)]
struct Envelope<'a> {
    arg: Option<()>,
    data: Option<()>,
    kind: Option<Kind>,
    symbol: Option<Text>,
    snapshot: Option<bool>,
    event: Option<&'a [u8]>,
    message: Option<&'a [u8]>,
    /// A message of the API before v1, or the body of a REST answer.
    foreign: bool,
}

impl Envelope<'_> {
    /// Whether the data can be read already.
    fn complete(&self) -> bool {
        match self.kind {
            Some(Kind::Book | Kind::Trades) => self.snapshot.is_some(),
            Some(_) => true,
            None => false,
        }
    }
}

/// One connection.
#[derive(Debug)]
struct Bitget {
    mix: bool,
}

impl Dialect for Bitget {
    fn read(&mut self, frame: &[u8], out: &mut Frame) -> Read<()> {
        if frame == b"pong" {
            out.push(Symbol::None, Nanos::UNKNOWN, Body::Heartbeat);
            return Ok(());
        }
        if frame == b"ping" {
            out.answers.push("pong".to_owned());
            out.push(Symbol::None, Nanos::UNKNOWN, Body::Heartbeat);
            return Ok(());
        }
        let mut json = Json::new(frame);
        let mut top = Envelope::default();
        let mut late = None;
        json.object(|json, key| match key {
            b"arg" => {
                json.once(&mut top.arg, (), "arg")?;
                json.object(|json, key| match key {
                    b"channel" => {
                        let kind = Kind::of(json.text()?);
                        out.channel = kind.channel();
                        json.once(&mut top.kind, kind, "channel")
                    }
                    b"instId" => {
                        let symbol = json.name()?;
                        out.symbol = Some(Symbol::At(symbol));
                        json.once(&mut top.symbol, symbol, "instId")
                    }
                    _ => json.skip(),
                })
            }
            b"action" => {
                let snapshot = match json.text()? {
                    b"snapshot" | b"partial" => true,
                    b"update" => false,
                    _ => return Err(json.fault("a snapshot or an update")),
                };
                json.once(&mut top.snapshot, snapshot, "action")
            }
            b"data" => {
                json.once(&mut top.data, (), "data")?;
                if top.complete() {
                    return entries(json, &top, out);
                }
                late = Some(json.clone());
                json.skip()
            }
            b"event" => json.field(&mut top.event, "event", Json::text),
            b"msg" => json.field(&mut top.message, "msg", Json::text),
            b"table" | b"requestTime" => {
                top.foreign = true;
                json.skip()
            }
            _ => json.skip(),
        })?;
        json.end()?;
        if let Some(event) = top.event {
            answer(&json, event, &top, out);
            return Ok(());
        }
        if top.foreign {
            return Ok(());
        }
        json.need(top.arg, "arg")?;
        let kind = json.need(top.kind, "channel")?;
        json.need(top.data, "data")?;
        match late {
            Some(mut data) => {
                if matches!(kind, Kind::Book | Kind::Trades) {
                    json.need(top.snapshot, "action")?;
                }
                entries(&mut data, &top, out)
            }
            None => Ok(()),
        }
    }

    fn subscribe(&mut self, on: bool, symbols: &[&str], channels: &[Channel], _depth: u16, out: &mut Vec<String>) {
        let op = if on { "subscribe" } else { "unsubscribe" };
        let mut args: Vec<String> = Vec::new();
        for symbol in symbols {
            let kind = if self.mix { "mc" } else { product(symbol) };
            for channel in channels {
                let channel = match channel {
                    Channel::Book => "books",
                    Channel::Trades => "trade",
                    // v1 has no channel of best levels alone faster than its five levels.
                    Channel::Quotes if self.mix => "books5",
                    Channel::Quotes => "books1",
                    Channel::Marks => "ticker",
                };
                args.push(format!("{{\"instType\":\"{kind}\",\"channel\":\"{channel}\",\"instId\":\"{symbol}\"}}"));
            }
        }
        // A request may have 4,096 bytes.
        out.extend(args.chunks(40).map(|args| format!("{{\"op\":\"{op}\",\"args\":[{}]}}", args.join(","))));
    }
}

/// The kind of futures that v2 wants to hear with a symbol.
fn product(symbol: &str) -> &'static str {
    if symbol.ends_with("PERP") {
        "USDC-FUTURES"
    } else if symbol.contains("USDT") {
        "USDT-FUTURES"
    } else {
        "COIN-FUTURES"
    }
}

/// What the venue says of a request.
fn answer(json: &Json<'_>, event: &[u8], top: &Envelope<'_>, out: &mut Frame) {
    let symbol = top.symbol.map_or(Symbol::None, Symbol::At);
    let text = top.message.unwrap_or(event);
    let (symbol, body) = match event {
        b"subscribe" => (symbol, Body::Subscribed),
        b"error" => {
            // Only who is refused the book has nothing left to wait for.
            let symbol = match (top.kind, refused(text)) {
                (Some(Kind::Book), _) => symbol,
                (None, Some(named)) => Symbol::At(json.place(named)),
                _ => Symbol::None,
            };
            (symbol, Body::Refused(json.place(text)))
        }
        _ => (symbol, Body::Other),
    };
    out.push(symbol, Nanos::UNKNOWN, body);
}

/// The instrument in a text such as `instType:mc,channel:books,instId:ABCUSDT doesn't exist`, of a book.
fn refused(text: &[u8]) -> Option<&[u8]> {
    const MARK: &[u8] = b"channel:books,instId:";
    let at = text.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let rest = text.get(at..)?;
    let end = rest.iter().position(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_'));
    let name = rest.get(..end.unwrap_or(rest.len()))?;
    (!name.is_empty()).then_some(name)
}

fn entries(json: &mut Json<'_>, top: &Envelope<'_>, out: &mut Frame) -> Read<()> {
    let kind = top.kind.unwrap_or(Kind::Other);
    if matches!(kind, Kind::Candles | Kind::Other) {
        return json.skip();
    }
    json.array(|json| match kind {
        Kind::Book => book(json, top, out),
        Kind::Best => best(json, top, out),
        Kind::Trades if json.peek() == b'[' => listed_trade(json, top, out),
        Kind::Trades => trade(json, top, out),
        _ => ticker(json, top, out),
    })
}

#[inline]
fn book(json: &mut Json<'_>, top: &Envelope<'_>, out: &mut Frame) -> Read<()> {
    let start = out.levels.len();
    let (mut bids, mut asks, mut time, mut checksum) = (None, None, None, None);
    let (mut last, mut previous) = (None, None);
    json.object(|json, key| match key {
        b"asks" => {
            json.once(&mut asks, (), "asks")?;
            out.take_levels(json, Side::Ask)
        }
        b"bids" => {
            json.once(&mut bids, (), "bids")?;
            out.take_levels(json, Side::Bid)
        }
        b"ts" => json.field(&mut time, "ts", Json::millis),
        b"checksum" => json.field(&mut checksum, "checksum", Json::signed),
        b"seq" => json.field(&mut last, "seq", Json::unsigned),
        b"pseq" => json.field(&mut previous, "pseq", Json::unsigned),
        _ => json.skip(),
    })?;
    json.need(asks, "asks")?;
    json.need(bids, "bids")?;
    let ts_event = json.need(time, "ts")?;
    let symbol = Symbol::At(json.need(top.symbol, "instId")?);
    let snapshot = json.need(top.snapshot, "action")?;
    let link = match (last, previous) {
        (None, _) => Link::None,
        // The message before the first is 0.
        (Some(last), Some(previous)) if !snapshot && previous != 0 => Link::Chain { previous, last },
        (Some(last), _) => Link::At(last),
    };
    // It is printed as a signed number; 0 where it is no longer made.
    let checksum = checksum.and_then(|sum| u32::try_from(sum & 0xffff_ffff).ok()).filter(|sum| *sum != 0);
    let levels = start..out.levels.len();
    out.push(symbol, ts_event, Body::Levels { snapshot, link, checksum, levels });
    Ok(())
}

fn best(json: &mut Json<'_>, top: &Envelope<'_>, out: &mut Frame) -> Read<()> {
    let (mut bid, mut ask, mut time, mut last) = (None, None, None, None);
    json.object(|json, key| match key {
        b"asks" => json.field(&mut ask, "asks", Json::first_pair),
        b"bids" => json.field(&mut bid, "bids", Json::first_pair),
        b"ts" => json.field(&mut time, "ts", Json::millis),
        b"seq" => json.field(&mut last, "seq", Json::unsigned),
        _ => json.skip(),
    })?;
    let (bid, ask) = (Some(json.need(bid, "bids")?), Some(json.need(ask, "asks")?));
    let ts_event = json.need(time, "ts")?;
    let symbol = Symbol::At(json.need(top.symbol, "instId")?);
    out.push(symbol, ts_event, Body::Quote { sequence: last.unwrap_or(0), bid, ask });
    Ok(())
}

/// A trade of v1: `[time, price, size, side]`, without an id.
fn listed_trade(json: &mut Json<'_>, top: &Envelope<'_>, out: &mut Frame) -> Read<()> {
    json.open()?;
    let ts_event = json.millis()?;
    json.comma()?;
    let price = json.decimal()?;
    json.comma()?;
    let size = json.decimal()?;
    json.comma()?;
    let side = Some(json.side(b"buy", b"sell", "buy or sell")?);
    json.close()?;
    let symbol = Symbol::At(json.need(top.symbol, "instId")?);
    // A subscription begins with the trades before it.
    let silent = json.need(top.snapshot, "action")?;
    out.push(symbol, ts_event, Body::Trade { id: 0, price, size, side, silent });
    Ok(())
}

/// A trade of v2.
fn trade(json: &mut Json<'_>, top: &Envelope<'_>, out: &mut Frame) -> Read<()> {
    let (mut price, mut size, mut aggressor, mut time) = (None, None, None, None);
    let mut id = 0;
    json.object(|json, key| match key {
        b"ts" => json.field(&mut time, "ts", Json::millis),
        b"price" => json.field(&mut price, "price", Json::decimal),
        b"size" => json.field(&mut size, "size", Json::decimal),
        b"side" => json.field(&mut aggressor, "side", |json| json.side(b"buy", b"sell", "buy or sell")),
        b"tradeId" => {
            id = std::str::from_utf8(json.text()?).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
            Ok(())
        }
        _ => json.skip(),
    })?;
    let symbol = Symbol::At(json.need(top.symbol, "instId")?);
    let (price, size) = (json.need(price, "price")?, json.need(size, "size")?);
    let (side, ts_event) = (Some(json.need(aggressor, "side")?), json.need(time, "ts")?);
    let silent = json.need(top.snapshot, "action")?;
    out.push(symbol, ts_event, Body::Trade { id, price, size, side, silent });
    Ok(())
}

/// A ticker: mark, index and funding in every one; best prices, in some versions without sizes.
fn ticker(json: &mut Json<'_>, top: &Envelope<'_>, out: &mut Frame) -> Read<()> {
    let (mut time, mut due) = (None, None);
    let (mut mark, mut index, mut rate) = (None, None, None);
    let (mut bid, mut bid_size, mut ask, mut ask_size) = (None, None, None, None);
    json.object(|json, key| {
        let (slot, field) = match key {
            b"systemTime" | b"ts" => {
                let ts = json.millis()?;
                return json.once(&mut time, ts, "ts");
            }
            b"nextSettleTime" | b"nextFundingTime" => {
                // Dated contracts have none.
                if let Some(ts) = json.optional_decimal()? {
                    json.once(&mut due, ts.millis()?, "nextFundingTime")?;
                }
                return Ok(());
            }
            b"markPrice" => (&mut mark, "markPrice"),
            b"indexPrice" => (&mut index, "indexPrice"),
            b"capitalRate" | b"fundingRate" => (&mut rate, "fundingRate"),
            b"bestBid" | b"bidPr" => (&mut bid, "bidPr"),
            b"bidSz" => (&mut bid_size, "bidSz"),
            b"bestAsk" | b"askPr" => (&mut ask, "askPr"),
            b"askSz" => (&mut ask_size, "askSz"),
            _ => return json.skip(),
        };
        let value = json.optional_decimal()?;
        json.once(slot, value, field)
    })?;
    let ts_event = json.need(time, "ts")?;
    let symbol = Symbol::At(json.need(top.symbol, "instId")?);
    let level = |price: Option<Option<Decimal>>, size: Option<Option<Decimal>>| price.flatten().zip(size.flatten());
    let (bid, ask) = (level(bid, bid_size), level(ask, ask_size));
    if bid.is_some() || ask.is_some() {
        out.push(symbol, ts_event, Body::Quote { sequence: 0, bid, ask });
    }
    let (mark, index) = (mark.flatten(), index.flatten());
    let funding = rate.flatten().map(|rate| (rate, due.unwrap_or(Nanos::UNKNOWN)));
    if mark.is_some() || index.is_some() || funding.is_some() {
        out.push(symbol, ts_event, Body::Mark { mark, index, iv: None, funding });
    }
    Ok(())
}

/// `BTCUSDT`, `BTCPERP` (settled in USDC), `BTCUSD` (settled in BTC). Sizes of all of them are in the base currency, so
/// that a contract settled in coin, too, is one of `multiplier` base: its profit is worth size times change of price.
fn describe(symbol: &str) -> Option<Instrument> {
    let (base, quote) = [("USDT", "USDT"), ("USDC", "USDC"), ("PERP", "USDC"), ("USD", "USD")]
        .into_iter()
        .find_map(|(end, quote)| symbol.strip_suffix(end).filter(|base| !base.is_empty()).map(|base| (base, quote)))?;
    let mut found = Instrument::named(Venue::BitgetFutures, symbol, Contract::Linear, base, quote);
    if quote == "USD" {
        base.clone_into(&mut found.settle);
    }
    Some(found)
}

#[derive(Deserialize)]
struct Listing {
    data: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    symbol: String,
    base_coin: String,
    quote_coin: String,
    price_place: String,
    price_end_step: String,
    volume_place: String,
    #[serde(default)]
    size_multiplier: String,
    #[serde(default)]
    delivery_time: String,
}

fn list(body: &[u8]) -> Result<Vec<Instrument>, String> {
    let listing: Listing = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    Ok(listing.data.into_iter().filter_map(|entry| listed(&serde_json::from_value(entry).ok()?)).collect())
}

fn listed(listed: &Listed) -> Option<Instrument> {
    // v1 lists `BTCUSDT_UMCBL` and speaks of `BTCUSDT`. Of dated contracts it is not known how their data is named.
    let mut parts = listed.symbol.split('_');
    let symbol = parts.next()?;
    if parts.nth(1).is_some() || listed.delivery_time.parse::<i64>().is_ok_and(|time| time > 0) {
        return None;
    }
    let mut found =
        Instrument::named(Venue::BitgetFutures, symbol, Contract::Linear, &listed.base_coin, &listed.quote_coin);
    if listed.quote_coin == "USD" {
        found.settle.clone_from(&listed.base_coin);
    }
    let places = |text: &str| text.parse::<u8>().ok().filter(|places| *places <= 18);
    let (price, size) = (places(&listed.price_place)?, places(&listed.volume_place)?);
    let step: i64 = listed.price_end_step.parse().ok()?;
    found.tick = Unit::new(step, -i8::try_from(price).ok()?);
    found.lot = step_of(&listed.size_multiplier).or(Some(Unit::decimals(size)));
    (found.price_unit, found.size_unit) = (Unit::decimals(price), Unit::decimals(size));
    Some(found)
}

#[cfg(test)]
mod tests;
