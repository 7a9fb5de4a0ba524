//! Crypto.com Exchange, API v1: spot, perpetuals and futures on one address, one symbol space.
//!
//! The channel `book` begins with a snapshot (channel `book` of the frame); every change (`book.update`) names the id
//! that it follows (`pu`) and its own (`u`). Ids jump, so only the chain counts: `pu` must be the `u` of the message
//! before, else the book is subscribed anew. A quiet book sends a change without levels every five seconds, whose ids
//! are part of the chain and may stand still. Fifty levels of each side are kept, and what falls out of them is
//! retracted. Every message also carries a number `cs` that looks like a checksum; nobody says how it is made, so it
//! is not believed. Sizes are in base currency, or in contracts of the size that the listing says, which is one.
//!
//! `ts_event` of a book is the engine's time of the last change (`tt`), not that of the message (`t`). A frame that
//! answers a request carries the request's id, all others -1: trades of the former are history. An index is named as
//! a pair is (`BTCUSD-INDEX`) and is told as the index of that pair's perpetual. Heartbeats must be answered.

use serde::Deserialize;

use super::json::{Json, Read, Text};
use super::message::{Body, Frame, Link, MAX_NAME, Symbol};
use super::protocol::{Channel, Dialect, Protocol, RestLimit, SnapshotFrom};
use super::{step_of, tick_decimals};
use crate::instrument::{Contract, Instrument, Venue};
use crate::units::{Nanos, Side, Unit};

/// The protocols of this file.
pub(super) const PROTOCOLS: &[Protocol] = &[Protocol {
    name: "crypto-com",
    venue: Venue::CryptoCom,
    // Since when books come as changes is not known.
    valid: ("", ""),
    url: "wss://stream.crypto.com/exchange/v1/market",
    mark: "stream.crypto.com",
    rest: "https://api.crypto.com",
    snapshot_path: "",
    instruments_paths: &["/exchange/v1/public/get-instruments"],
    snapshot: SnapshotFrom::Stream,
    counts_frames: false,
    // Ids are times with something behind them.
    counts_trades: false,
    links: true,
    checksum: None,
    depth: 50,
    // Others saw no more than 50 levels in any book that was kept by the venue's word alone.
    cuts: false,
    cross_resyncs: false,
    // The venue asks, we answer.
    keep_alive: None,
    // Its heartbeat comes every 30 s.
    silence: 45,
    // A connection may have 400 channels; a perpetual has at most six.
    per_connection: 60,
    // A hundred a second are allowed, less in the second in which the connection was opened.
    sends_per_second: 4,
    limit: RestLimit { weight: 1, per_minute: 600 },
    source: "venue documentation, others' live frames of 2026 (answers, idle changes, 400 channels); that past trades \
             carry the request's id from an example alone; REST limit from memory",
    dialect: || Box::new(CryptoCom::default()),
    list,
    describe,
}];

/// More indices than these are none of this venue.
const MAX_INDICES: usize = 1 << 12;
/// Channels of one request.
const CHANNELS: usize = 100;
const HOUR: i64 = 3_600_000_000_000;

/// What a channel brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Snapshot,
    Update,
    Trades,
    Ticker,
    Mark,
    Index,
    Funding,
    /// Nothing that concerns us, nor will its loss.
    Quiet,
    Other,
}

impl Kind {
    fn of(channel: &[u8]) -> Self {
        match channel {
            b"book" => Self::Snapshot,
            b"book.update" => Self::Update,
            b"trade" => Self::Trades,
            b"ticker" => Self::Ticker,
            b"mark" => Self::Mark,
            b"index" => Self::Index,
            b"funding" => Self::Funding,
            b"candlestick" | b"estimatedfunding" | b"settlement" => Self::Quiet,
            _ => Self::Other,
        }
    }

    const fn channel(self) -> Option<Channel> {
        match self {
            Self::Snapshot | Self::Update => Some(Channel::Book),
            Self::Trades => Some(Channel::Trades),
            Self::Ticker => Some(Channel::Quotes),
            Self::Mark | Self::Index | Self::Funding | Self::Quiet => Some(Channel::Marks),
            Self::Other => None,
        }
    }
}

/// What stands around the data, but for the data.
#[derive(Default)]
struct Envelope<'a> {
    id: Option<i64>,
    method: Option<&'a [u8]>,
    code: Option<i64>,
    channel: Option<&'a [u8]>,
    message: Option<&'a [u8]>,
    result: Option<()>,
}

/// Whose data it is, and what kind of data.
#[derive(Clone, Copy)]
struct Whose<'a> {
    name: &'a [u8],
    place: Text,
    kind: Kind,
    /// The frame answers a request.
    answer: bool,
}

/// One connection.
#[derive(Debug, Default)]
struct CryptoCom {
    /// The perpetuals whose indices were named, by number.
    perpetuals: Vec<String>,
}

impl Dialect for CryptoCom {
    fn read(&mut self, frame: &[u8], out: &mut Frame) -> Read<()> {
        let mut json = Json::new(frame);
        let mut top = Envelope::default();
        let mut late = None;
        json.object(|json, key| match key {
            b"id" => json.field(&mut top.id, "id", Json::signed),
            b"method" => json.field(&mut top.method, "method", Json::text),
            b"code" => json.field(&mut top.code, "code", Json::signed),
            b"channel" => json.field(&mut top.channel, "channel", Json::text),
            b"message" => json.field(&mut top.message, "message", Json::text),
            b"result" => {
                json.once(&mut top.result, (), "result")?;
                if let Some(id) = top.id {
                    return self.result(json, id >= 0, out);
                }
                late = Some(json.clone());
                json.skip()
            }
            _ => json.skip(),
        })?;
        json.end()?;
        if top.result.is_none() {
            return answer(&json, &top, out);
        }
        let id = json.need(top.id, "id")?;
        match late {
            Some(mut json) => self.result(&mut json, id >= 0, out),
            None => Ok(()),
        }
    }

    fn name(&self, known: u32) -> &str {
        usize::try_from(known).ok().and_then(|known| self.perpetuals.get(known)).map_or("", String::as_str)
    }

    fn subscribe(&mut self, on: bool, symbols: &[&str], channels: &[Channel], depth: u16, out: &mut Vec<String>) {
        // Two depths are offered.
        let depth = if (1..=10).contains(&depth) { 10 } else { 50 };
        let (mut books, mut others) = (Vec::new(), Vec::new());
        for symbol in symbols {
            for channel in channels {
                match channel {
                    Channel::Book => books.push(format!("\"book.{symbol}.{depth}\"")),
                    Channel::Trades => others.push(format!("\"trade.{symbol}\"")),
                    Channel::Quotes => others.push(format!("\"ticker.{symbol}\"")),
                    // Spot has none.
                    Channel::Marks if !symbol.contains('-') => {}
                    Channel::Marks => {
                        others.push(format!("\"mark.{symbol}\""));
                        if let Some(pair) = symbol.strip_suffix("-PERP") {
                            others.push(format!("\"index.{pair}-INDEX\""));
                            others.push(format!("\"funding.{symbol}\""));
                        }
                    }
                }
            }
        }
        let (id, method) = if on { (1, "subscribe") } else { (2, "unsubscribe") };
        let how = r#","book_subscription_type":"SNAPSHOT_AND_UPDATE","book_update_frequency":10"#;
        for (channels, how) in [(books, if on { how } else { "" }), (others, "")] {
            out.extend(channels.chunks(CHANNELS).map(|channels| {
                let channels = channels.join(",");
                format!(r#"{{"id":{id},"method":"{method}","params":{{"channels":[{channels}]{how}}}}}"#)
            }));
        }
    }

    fn reset(&mut self) {
        self.perpetuals.clear();
    }
}

impl CryptoCom {
    fn result<'a>(&mut self, json: &mut Json<'a>, answer: bool, out: &mut Frame) -> Read<()> {
        let (mut name, mut kind, mut depth, mut data, mut late) = (None, None, None, None, None);
        json.object(|json, key| match key {
            b"instrument_name" => {
                let found = json.text()?;
                out.symbol = Some(Symbol::At(json.place(found)));
                json.once(&mut name, found, "instrument_name")
            }
            b"channel" => {
                let found = Kind::of(json.text()?);
                out.channel = found.channel();
                json.once(&mut kind, found, "channel")
            }
            b"depth" => {
                let found = json.unsigned()?;
                out.depth = u16::try_from(found).ok();
                json.once(&mut depth, (), "depth")
            }
            b"data" => {
                json.once(&mut data, (), "data")?;
                if let (Some(name), Some(kind)) = (name, kind) {
                    let place = json.place(name);
                    return self.entries(json, Whose { name, place, kind, answer }, out);
                }
                late = Some(json.clone());
                json.skip()
            }
            _ => json.skip(),
        })?;
        let (name, kind) = (json.need(name, "instrument_name")?, json.need(kind, "channel")?);
        json.need(data, "data")?;
        match late {
            Some(mut json) => {
                let place = json.place(name);
                self.entries(&mut json, Whose { name, place, kind, answer }, out)
            }
            None => Ok(()),
        }
    }

    fn entries(&mut self, json: &mut Json<'_>, whose: Whose<'_>, out: &mut Frame) -> Read<()> {
        let mut symbol = Symbol::At(whose.place);
        if whose.kind == Kind::Index {
            let Some(known) = self.perpetual(whose.name) else { return json.skip() };
            symbol = Symbol::Known(known);
        }
        json.array(|json| match whose.kind {
            Kind::Snapshot | Kind::Update => book(json, symbol, whose.kind == Kind::Snapshot, out),
            Kind::Trades => trade(json, symbol, whose.answer, out),
            Kind::Ticker => ticker(json, symbol, out),
            Kind::Mark | Kind::Index | Kind::Funding => value(json, symbol, whose.kind, out),
            Kind::Quiet | Kind::Other => json.skip(),
        })
    }

    /// The number of the perpetual of an index such as `BTCUSD-INDEX`.
    fn perpetual(&mut self, index: &[u8]) -> Option<u32> {
        let pair = std::str::from_utf8(index).ok()?.strip_suffix("-INDEX")?;
        let found = self.perpetuals.iter().position(|name| name.strip_suffix("-PERP") == Some(pair));
        let at = found.unwrap_or(self.perpetuals.len());
        if found.is_none() {
            if at >= MAX_INDICES || pair.len() > MAX_NAME {
                return None;
            }
            self.perpetuals.push(format!("{pair}-PERP"));
        }
        u32::try_from(at).ok()
    }
}

/// What the venue says of a request, or asks.
fn answer(json: &Json<'_>, top: &Envelope<'_>, out: &mut Frame) -> Read<()> {
    let method = json.need(top.method, "method")?;
    if method == b"public/heartbeat" {
        let id = json.need(top.id, "id")?;
        out.answers.push(format!(r#"{{"id":{id},"method":"public/respond-heartbeat"}}"#));
        out.push(Symbol::None, Nanos::UNKNOWN, Body::Heartbeat);
        return Ok(());
    }
    let code = json.need(top.code, "code")?;
    // Only who is refused the book has nothing left to wait for.
    let book = top.channel.and_then(booked).map_or(Symbol::None, |name| Symbol::At(json.place(name)));
    let (symbol, body) = match (method, code) {
        (b"subscribe", 0) => (book, Body::Subscribed),
        (_, 0) => (Symbol::None, Body::Other),
        (b"subscribe", _) => (book, Body::Refused(json.place(top.message.unwrap_or(method)))),
        _ => (Symbol::None, Body::Refused(json.place(top.message.unwrap_or(method)))),
    };
    out.push(symbol, Nanos::UNKNOWN, body);
    Ok(())
}

/// `BTCUSD-PERP` of `book.BTCUSD-PERP.50`.
fn booked(channel: &[u8]) -> Option<&[u8]> {
    let rest = channel.strip_prefix(b"book.")?;
    let dot = rest.iter().rposition(|byte| *byte == b'.')?;
    rest.get(..dot).filter(|name| !name.is_empty())
}

#[inline]
fn book(json: &mut Json<'_>, symbol: Symbol, snapshot: bool, out: &mut Frame) -> Read<()> {
    let start = out.levels.len();
    let (mut bids, mut asks, mut update, mut time, mut last, mut previous) = (None, None, None, None, None, None);
    json.object(|json, key| match key {
        b"asks" if snapshot => {
            json.once(&mut asks, (), "asks")?;
            out.take_levels(json, Side::Ask)
        }
        b"bids" if snapshot => {
            json.once(&mut bids, (), "bids")?;
            out.take_levels(json, Side::Bid)
        }
        b"update" if !snapshot => {
            json.once(&mut update, (), "update")?;
            json.object(|json, key| match key {
                b"asks" => {
                    json.once(&mut asks, (), "asks")?;
                    out.take_levels(json, Side::Ask)
                }
                b"bids" => {
                    json.once(&mut bids, (), "bids")?;
                    out.take_levels(json, Side::Bid)
                }
                _ => json.skip(),
            })
        }
        b"tt" => json.field(&mut time, "tt", Json::millis),
        b"u" => json.field(&mut last, "u", Json::unsigned),
        b"pu" => json.field(&mut previous, "pu", Json::unsigned),
        _ => json.skip(),
    })?;
    if !snapshot {
        json.need(update, "update")?;
    }
    json.need(asks, "asks")?;
    json.need(bids, "bids")?;
    let (ts_event, last) = (json.need(time, "tt")?, json.need(last, "u")?);
    let link = if snapshot { Link::At(last) } else { Link::Chain { previous: json.need(previous, "pu")?, last } };
    let levels = start..out.levels.len();
    out.push(symbol, ts_event, Body::Levels { snapshot, link, checksum: None, levels });
    Ok(())
}

fn trade(json: &mut Json<'_>, symbol: Symbol, silent: bool, out: &mut Frame) -> Read<()> {
    let (mut id, mut price, mut size, mut side, mut time) = (None, None, None, None, None);
    json.object(|json, key| match key {
        b"d" => json.field(&mut id, "d", Json::unsigned),
        b"p" => json.field(&mut price, "p", Json::decimal),
        b"q" => json.field(&mut size, "q", Json::decimal),
        b"s" => json.field(&mut side, "s", |json| json.side(b"BUY", b"SELL", "BUY or SELL")),
        b"t" => json.field(&mut time, "t", Json::millis),
        _ => json.skip(),
    })?;
    let (id, price, size) = (json.need(id, "d")?, json.need(price, "p")?, json.need(size, "q")?);
    let (side, ts_event) = (Some(json.need(side, "s")?), json.need(time, "t")?);
    out.push(symbol, ts_event, Body::Trade { id, price, size, side, silent });
    Ok(())
}

fn ticker(json: &mut Json<'_>, symbol: Symbol, out: &mut Frame) -> Read<()> {
    let (mut bid, mut bid_size, mut ask, mut ask_size, mut time) = (None, None, None, None, None);
    json.object(|json, key| {
        let (slot, field) = match key {
            b"b" => (&mut bid, "b"),
            b"bs" => (&mut bid_size, "bs"),
            b"k" => (&mut ask, "k"),
            b"ks" => (&mut ask_size, "ks"),
            b"t" => {
                let ts = json.millis()?;
                return json.once(&mut time, ts, "t");
            }
            _ => return json.skip(),
        };
        let value = json.optional_decimal()?;
        json.once(slot, value, field)
    })?;
    // Null is an empty side.
    let (bid, bid_size) = (json.need(bid, "b")?, json.need(bid_size, "bs")?);
    let (ask, ask_size) = (json.need(ask, "k")?, json.need(ask_size, "ks")?);
    let (bid, ask) = (Some(bid.zip(bid_size).unwrap_or_default()), Some(ask.zip(ask_size).unwrap_or_default()));
    out.push(symbol, json.need(time, "t")?, Body::Quote { sequence: 0, bid, ask });
    Ok(())
}

/// A mark price, an index or the funding rate of the current hour, due at its end.
fn value(json: &mut Json<'_>, symbol: Symbol, kind: Kind, out: &mut Frame) -> Read<()> {
    let (mut value, mut time) = (None, None);
    json.object(|json, key| match key {
        b"v" => json.field(&mut value, "v", Json::decimal),
        b"t" => json.field(&mut time, "t", Json::millis),
        _ => json.skip(),
    })?;
    let (value, ts_event) = (json.need(value, "v")?, json.need(time, "t")?);
    let (mut mark, mut index, mut funding) = (None, None, None);
    match kind {
        Kind::Mark => mark = Some(value),
        Kind::Index => index = Some(value),
        _ => {
            let due = ts_event.0.checked_add(HOUR - ts_event.0 % HOUR).map_or(Nanos::UNKNOWN, Nanos);
            funding = Some((value, due));
        }
    }
    out.push(symbol, ts_event, Body::Mark { mark, index, iv: None, funding });
    Ok(())
}

/// `BTC_USDT`, `BTCUSD-PERP`, `BTCUSD-261225`.
fn describe(symbol: &str) -> Option<Instrument> {
    let named = |contract, base: &str, quote: &str| {
        let whole = !base.is_empty() && !quote.is_empty();
        whole.then(|| Instrument::named(Venue::CryptoCom, symbol, contract, base, quote))
    };
    let Some((pair, tail)) = symbol.split_once('-') else {
        let (base, quote) = symbol.split_once('_')?;
        return if quote.contains('_') { None } else { named(Contract::Spot, base, quote) };
    };
    let dated = tail.len() == 6 && tail.bytes().all(|byte| byte.is_ascii_digit());
    if tail != "PERP" && !dated {
        return None;
    }
    let (base, quote) = ["USDT", "USDC", "USD"].iter().find_map(|quote| Some((pair.strip_suffix(quote)?, *quote)))?;
    let mut found = named(Contract::Linear, base, quote)?;
    found.delivery = dated.then(|| tail.to_owned());
    Some(found)
}

#[derive(Deserialize)]
struct Listing {
    result: Page,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Listed {
    symbol: String,
    inst_type: String,
    base_ccy: String,
    quote_ccy: String,
    price_tick_size: String,
    qty_tick_size: String,
    #[serde(default)]
    contract_size: String,
    /// Whole numbers, in quotes or bare.
    #[serde(default)]
    quote_decimals: serde_json::Value,
    #[serde(default)]
    quantity_decimals: serde_json::Value,
}

fn list(body: &[u8]) -> Result<Vec<Instrument>, String> {
    let listing: Listing = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let entries = listing.result.data.into_iter();
    Ok(entries.filter_map(|entry| listed(&serde_json::from_value(entry).ok()?)).collect())
}

fn listed(listed: &Listed) -> Option<Instrument> {
    let mut found = describe(&listed.symbol)?;
    found.contract = match listed.inst_type.as_str() {
        "CCY_PAIR" => Contract::Spot,
        "PERPETUAL_SWAP" | "FUTURE" => Contract::Linear,
        _ => return None,
    };
    if !listed.base_ccy.is_empty() && !listed.quote_ccy.is_empty() {
        found.base.clone_from(&listed.base_ccy);
        found.quote.clone_from(&listed.quote_ccy);
        found.settle.clone_from(&listed.quote_ccy);
    }
    found.multiplier = step_of(&listed.contract_size).unwrap_or(Unit::ONE);
    (found.tick, found.lot) = (step_of(&listed.price_tick_size), step_of(&listed.qty_tick_size));
    found.price_unit = unit(found.tick, &listed.quote_decimals);
    found.size_unit = unit(found.lot, &listed.quantity_decimals);
    Some(found)
}

/// The finer of a step's decimals and the decimals that are listed.
fn unit(step: Option<Unit>, decimals: &serde_json::Value) -> Unit {
    let text = decimals.as_str().and_then(|text| text.parse().ok());
    let decimals = text.or_else(|| decimals.as_u64()).and_then(|count| u8::try_from(count).ok());
    let decimals = Unit::decimals(decimals.filter(|count| *count <= 12).unwrap_or(0));
    let step = tick_decimals(step, 8);
    if decimals.exponent() < step.exponent() { decimals } else { step }
}

#[cfg(test)]
mod tests;
