//! OKX, API v5: spot, swaps, futures and options on one address.
//!
//! The channel `books` begins with a snapshot of 400 levels; every update names the id that it follows (`prevSeqId`)
//! and its own (`seqId`), which may jump, stand still (an idle message without levels) or run back (after
//! maintenance): only the chain counts. Until the middle of 2026 every message also carried a CRC-32 of the best 25
//! levels; since then it is 0 and means nothing. Captures of 2022 have the checksum and no ids at all. One reader
//! serves both, since each message shows what it carries; the table says by date whether the checksum is to be
//! believed. Sizes of contracts count contracts. The venue's documentation, checked on real captures of 2022 and
//! 2026.

use serde::Deserialize;

use super::json::{Decimal, Json, Read, Text};
use super::message::{Body, Frame, Link, Symbol};
use super::protocol::{Channel, ChecksumRule, ChecksumText, Dialect, KeepAlive, Protocol, RestLimit, SnapshotFrom};
use super::{step_of, tick_decimals};
use crate::instrument::{Contract, Instrument, OptionTerms, Venue};
use crate::units::{Nanos, Side, Unit};

const CURRENT: Protocol = Protocol {
    name: "okx-v5",
    venue: Venue::Okx,
    valid: ("2026-07-07", ""),
    url: "wss://ws.okx.com:8443/ws/v5/public",
    mark: "okx.com",
    rest: "https://www.okx.com",
    snapshot_path: "",
    instruments_paths: &[
        "/api/v5/public/instruments?instType=SPOT",
        "/api/v5/public/instruments?instType=SWAP",
        "/api/v5/public/instruments?instType=FUTURES",
        "/api/v5/public/instruments?instType=OPTION&instFamily=BTC-USD",
        "/api/v5/public/instruments?instType=OPTION&instFamily=ETH-USD",
    ],
    snapshot: SnapshotFrom::Stream,
    counts_frames: false,
    // One message may stand for several trades at one price and then has the id of the last.
    counts_trades: false,
    links: true,
    checksum: None,
    depth: 400,
    cuts: false,
    cross_resyncs: false,
    keep_alive: Some(KeepAlive { text: "ping", every: 20 }),
    silence: 60,
    per_connection: 30,
    sends_per_second: 3,
    limit: RestLimit { weight: 1, per_minute: 600 },
    source: "venue documentation of 2026-07-07, real capture of 2026-08-24; limits and option channels from memory",
    dialect: || Box::new(Okx),
    list,
    describe,
};

/// The protocols of this file.
pub(super) const PROTOCOLS: &[Protocol] = &[
    CURRENT,
    Protocol {
        name: "okx-2021",
        valid: ("", "2026-07-06"),
        checksum: Some(ChecksumRule { text: ChecksumText::Interleaved, levels: 25 }),
        instruments_paths: &[
            "/api/v5/public/instruments?instType=SPOT",
            "/api/v5/public/instruments?instType=SWAP",
            "/api/v5/public/instruments?instType=FUTURES",
            "/api/v5/public/instruments?instType=OPTION&uly=BTC-USD",
            "/api/v5/public/instruments?instType=OPTION&uly=ETH-USD",
        ],
        source: "venue documentation of 2022, real capture of 2022-05-13: every checksum agrees",
        ..CURRENT
    },
];

/// What a channel brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Book,
    /// The best levels alone, all of them in every message.
    Best,
    Ticker,
    Trades,
    MarkPrice,
    Index,
    Funding,
    OptionSummary,
    /// Nothing that concerns us, nor will its loss.
    Candles,
    Other,
}

impl Kind {
    fn of(channel: &[u8]) -> Self {
        match channel {
            b"books" | b"books-l2-tbt" | b"books50-l2-tbt" => Self::Book,
            b"bbo-tbt" | b"books5" => Self::Best,
            b"tickers" => Self::Ticker,
            b"trades" | b"trades-all" => Self::Trades,
            b"mark-price" => Self::MarkPrice,
            b"index-tickers" => Self::Index,
            b"funding-rate" => Self::Funding,
            b"opt-summary" => Self::OptionSummary,
            _ if channel.starts_with(b"candle") => Self::Candles,
            _ => Self::Other,
        }
    }

    const fn channel(self) -> Option<Channel> {
        match self {
            Self::Book => Some(Channel::Book),
            Self::Best | Self::Ticker => Some(Channel::Quotes),
            Self::Trades => Some(Channel::Trades),
            Self::MarkPrice | Self::Index | Self::Funding | Self::OptionSummary | Self::Candles => Some(Channel::Marks),
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
    code: Option<&'a [u8]>,
    message: Option<&'a [u8]>,
    /// A message of the API before v5, or the body of a REST answer.
    foreign: bool,
}

impl Envelope<'_> {
    /// Whether the data can be read already.
    fn complete(&self) -> bool {
        match self.kind {
            Some(Kind::Book) => self.snapshot.is_some(),
            Some(_) => true,
            None => false,
        }
    }
}

/// One connection.
#[derive(Debug)]
struct Okx;

impl Dialect for Okx {
    fn read(&mut self, frame: &[u8], out: &mut Frame) -> Read<()> {
        if frame == b"pong" {
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
                    b"snapshot" => true,
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
            b"code" => json.field(&mut top.code, "code", Json::text),
            b"msg" => json.field(&mut top.message, "msg", Json::text),
            b"table" => {
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
        if top.foreign || (top.arg.is_none() && top.code.is_some()) {
            return Ok(());
        }
        json.need(top.arg, "arg")?;
        json.need(top.kind, "channel")?;
        json.need(top.data, "data")?;
        match late {
            Some(mut data) => {
                if top.kind == Some(Kind::Book) {
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
            let mut add = |channel: &str| args.push(format!("{{\"channel\":\"{channel}\",\"instId\":\"{symbol}\"}}"));
            for channel in channels {
                match channel {
                    Channel::Book => add("books"),
                    Channel::Trades => add("trades"),
                    Channel::Quotes => add("bbo-tbt"),
                    Channel::Marks => match symbol.split('-').count() {
                        // The index is named as the spot pair is.
                        2 => add("index-tickers"),
                        3 if symbol.ends_with("-SWAP") => {
                            add("mark-price");
                            add("funding-rate");
                        }
                        _ => add("mark-price"),
                    },
                }
            }
        }
        if channels.contains(&Channel::Marks) {
            // Implied volatilities come for a whole family of options.
            let mut families: Vec<&str> = symbols.iter().filter_map(|symbol| family(symbol)).collect();
            families.sort_unstable();
            families.dedup();
            args.extend(
                families.iter().map(|family| format!("{{\"channel\":\"opt-summary\",\"instFamily\":\"{family}\"}}")),
            );
        }
        // A request may have 64 KiB; a hundred of these take 6.
        out.extend(args.chunks(100).map(|args| format!("{{\"op\":\"{op}\",\"args\":[{}]}}", args.join(","))));
    }
}

/// `BTC-USD` of `BTC-USD-241227-60000-C`.
fn family(symbol: &str) -> Option<&str> {
    let mut dashes = symbol.match_indices('-').map(|(at, _)| at);
    let second = dashes.nth(1)?;
    dashes.nth(1)?;
    symbol.get(..second)
}

/// What the venue says of a request, or of the connection.
fn answer(json: &Json<'_>, event: &[u8], top: &Envelope<'_>, out: &mut Frame) {
    let symbol = top.symbol.map_or(Symbol::None, Symbol::At);
    let text = top.message.unwrap_or(event);
    let (symbol, body) = match event {
        b"subscribe" => (symbol, Body::Subscribed),
        b"error" | b"channel-conn-count-error" => {
            // Only who is refused the book has nothing left to wait for.
            let symbol = match (top.kind, refused(text)) {
                (Some(Kind::Book), _) => symbol,
                (None, Some(named)) => Symbol::At(json.place(named)),
                _ => Symbol::None,
            };
            (symbol, Body::Refused(json.place(text)))
        }
        // The only notice there is: this server is about to be replaced.
        b"notice" if top.code.is_none_or(|code| code == b"64008") => (Symbol::None, Body::Reconnect),
        _ => (symbol, Body::Other),
    };
    out.push(symbol, Nanos::UNKNOWN, body);
}

/// The instrument in a text such as `Wrong URL or channel:books,instId:ABC-USDT doesn't exist.`, of a book.
fn refused(text: &[u8]) -> Option<&[u8]> {
    const MARK: &[u8] = b"channel:books,instId:";
    let at = text.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let rest = text.get(at..)?;
    let end = rest.iter().position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')));
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
        Kind::Trades => trade(json, top, out),
        _ => values(json, kind, top, out),
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
        b"seqId" => json.field(&mut last, "seqId", Json::unsigned),
        b"prevSeqId" => json.field(&mut previous, "prevSeqId", Json::signed),
        _ => json.skip(),
    })?;
    json.need(asks, "asks")?;
    json.need(bids, "bids")?;
    let ts_event = json.need(time, "ts")?;
    let symbol = Symbol::At(json.need(top.symbol, "instId")?);
    let snapshot = json.need(top.snapshot, "action")?;
    let link = match (last, previous) {
        (None, None) => Link::None,
        (Some(last), _) if snapshot => Link::At(last),
        _ => {
            let (last, previous) = (json.need(last, "seqId")?, json.need(previous, "prevSeqId")?);
            let previous = u64::try_from(previous).map_err(|_| json.fault("an update that follows another"))?;
            Link::Chain { previous, last }
        }
    };
    // The field is dead where it is 0. It was printed as a signed number.
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
        b"seqId" => json.field(&mut last, "seqId", Json::unsigned),
        _ => json.skip(),
    })?;
    let (bid, ask) = (Some(json.need(bid, "bids")?), Some(json.need(ask, "asks")?));
    let ts_event = json.need(time, "ts")?;
    let symbol = Symbol::At(json.need(top.symbol, "instId")?);
    out.push(symbol, ts_event, Body::Quote { sequence: last.unwrap_or(0), bid, ask });
    Ok(())
}

fn trade(json: &mut Json<'_>, top: &Envelope<'_>, out: &mut Frame) -> Read<()> {
    let (mut symbol, mut id, mut price, mut size, mut side, mut time) = (None, None, None, None, None, None);
    json.object(|json, key| match key {
        b"instId" => json.field(&mut symbol, "instId", Json::name),
        b"tradeId" => json.field(&mut id, "tradeId", Json::unsigned),
        b"px" => json.field(&mut price, "px", Json::decimal),
        b"sz" => json.field(&mut size, "sz", Json::decimal),
        b"side" => json.field(&mut side, "side", |json| json.side(b"buy", b"sell", "buy or sell")),
        b"ts" => json.field(&mut time, "ts", Json::millis),
        _ => json.skip(),
    })?;
    let symbol = Symbol::At(json.need(symbol.or(top.symbol), "instId")?);
    let (id, price, size) = (json.need(id, "tradeId")?, json.need(price, "px")?, json.need(size, "sz")?);
    let (side, ts_event) = (Some(json.need(side, "side")?), json.need(time, "ts")?);
    out.push(symbol, ts_event, Body::Trade { id, price, size, side, silent: false });
    Ok(())
}

/// Tickers, marks, indices, funding and volatilities: flat objects.
fn values(json: &mut Json<'_>, kind: Kind, top: &Envelope<'_>, out: &mut Frame) -> Read<()> {
    let (mut symbol, mut time, mut due) = (None, None, None);
    let (mut mark, mut index, mut iv, mut rate) = (None, None, None, None);
    let (mut bid, mut bid_size, mut ask, mut ask_size) = (None, None, None, None);
    json.object(|json, key| {
        let (slot, field) = match (kind, key) {
            (_, b"instId") => {
                let name = json.name()?;
                return json.once(&mut symbol, name, "instId");
            }
            (_, b"ts") => {
                let ts = json.millis()?;
                return json.once(&mut time, ts, "ts");
            }
            (Kind::Funding, b"fundingTime") => {
                let ts = json.millis()?;
                return json.once(&mut due, ts, "fundingTime");
            }
            (Kind::Funding, b"fundingRate") => (&mut rate, "fundingRate"),
            (Kind::MarkPrice, b"markPx") => (&mut mark, "markPx"),
            (Kind::Index, b"idxPx") => (&mut index, "idxPx"),
            (Kind::OptionSummary, b"markVol") => (&mut iv, "markVol"),
            (Kind::Ticker, b"bidPx") => (&mut bid, "bidPx"),
            (Kind::Ticker, b"bidSz") => (&mut bid_size, "bidSz"),
            (Kind::Ticker, b"askPx") => (&mut ask, "askPx"),
            (Kind::Ticker, b"askSz") => (&mut ask_size, "askSz"),
            _ => return json.skip(),
        };
        let value = json.optional_decimal()?;
        json.once(slot, value, field)
    })?;
    let symbol = Symbol::At(json.need(symbol.or(top.symbol), "instId")?);
    if kind == Kind::Ticker {
        // An empty text is an empty side.
        let level = |price: Option<Option<Decimal>>, size: Option<Option<Decimal>>, name| -> Read<_> {
            let (price, size) = (json.need(price, name)?, json.need(size, name)?);
            Ok(Some(price.zip(size).unwrap_or((Decimal::ZERO, Decimal::ZERO))))
        };
        let (bid, ask) = (level(bid, bid_size, "bidPx")?, level(ask, ask_size, "askPx")?);
        out.push(symbol, json.need(time, "ts")?, Body::Quote { sequence: 0, bid, ask });
        return Ok(());
    }
    let funding = match kind {
        Kind::Funding => json.need(rate, "fundingRate")?.zip(due),
        Kind::MarkPrice => json.need(mark, "markPx").map(|_| None)?,
        Kind::Index => json.need(index, "idxPx").map(|_| None)?,
        _ => json.need(iv, "markVol").map(|_| None)?,
    };
    let (mark, index, iv) = (mark.flatten(), index.flatten(), iv.flatten());
    if mark.is_some() || index.is_some() || iv.is_some() || funding.is_some() {
        // Funding messages of 2022 have no time.
        out.push(symbol, time.unwrap_or(Nanos::UNKNOWN), Body::Mark { mark, index, iv, funding });
    }
    Ok(())
}

/// `BTC-USDT`, `BTC-USDT-SWAP`, `BTC-USD-241227`, `BTC-USD-241227-60000-C`; `BTC-USD_UM-SWAP` is settled in dollars.
fn describe(symbol: &str) -> Option<Instrument> {
    let mut parts = symbol.split('-');
    let (base, family) = (parts.next().filter(|base| !base.is_empty())?, parts.next()?);
    let quote = family.split('_').next().filter(|quote| !quote.is_empty())?;
    let (third, strike, right) = (parts.next(), parts.next(), parts.next());
    if parts.next().is_some() {
        return None;
    }
    let delivery = match third {
        None | Some("SWAP") => None,
        Some(day) if day.len() == 6 && day.bytes().all(|byte| byte.is_ascii_digit()) => Some(day.to_owned()),
        Some(_) => return None,
    };
    let contract = match (third, strike) {
        (None, _) => Contract::Spot,
        (_, Some(_)) => Contract::Option,
        _ if family == "USD" => Contract::Inverse,
        _ => Contract::Linear,
    };
    let mut found = Instrument::named(Venue::Okx, symbol, contract, base, quote);
    found.delivery = delivery;
    if contract == Contract::Option {
        let (strike, call) = (Unit::parse(strike?).ok()?, right? == "C");
        found.option = Some(OptionTerms { strike, call });
        if family == "USD" {
            base.clone_into(&mut found.settle);
        }
    }
    // What the venue's listings have said for years; a listing, where there is one, is asked first.
    let multiplier = match (contract, base) {
        (Contract::Inverse, "BTC") => Unit::new(1, 2),
        (Contract::Inverse, _) => Unit::new(1, 1),
        (Contract::Linear | Contract::Option, "BTC") => Unit::new(1, -2),
        (Contract::Linear | Contract::Option, "ETH") => Unit::new(1, -1),
        _ => None,
    };
    found.multiplier = multiplier.unwrap_or(Unit::ONE);
    Some(found)
}

#[derive(Deserialize)]
struct Listing {
    data: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    inst_id: String,
    #[serde(default)]
    inst_type: String,
    #[serde(default)]
    base_ccy: String,
    #[serde(default)]
    quote_ccy: String,
    #[serde(default)]
    settle_ccy: String,
    #[serde(default)]
    ct_type: String,
    #[serde(default)]
    ct_val: String,
    #[serde(default)]
    ct_mult: String,
    #[serde(default)]
    tick_sz: String,
    #[serde(default)]
    lot_sz: String,
}

fn list(body: &[u8]) -> Result<Vec<Instrument>, String> {
    let listing: Listing = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    Ok(listing.data.into_iter().filter_map(|entry| listed(&serde_json::from_value(entry).ok()?)).collect())
}

fn listed(listed: &Listed) -> Option<Instrument> {
    let mut found = describe(&listed.inst_id)?;
    match (listed.inst_type.as_str(), listed.ct_type.as_str()) {
        ("OPTION", _) => found.contract = Contract::Option,
        (_, "linear") => found.contract = Contract::Linear,
        (_, "inverse") => found.contract = Contract::Inverse,
        _ => {}
    }
    if !listed.base_ccy.is_empty() && !listed.quote_ccy.is_empty() {
        found.base.clone_from(&listed.base_ccy);
        found.quote.clone_from(&listed.quote_ccy);
    }
    found.settle.clone_from(if listed.settle_ccy.is_empty() { &found.quote } else { &listed.settle_ccy });
    if found.contract != Contract::Spot {
        let (value, times) = (step_of(&listed.ct_val)?, step_of(&listed.ct_mult).unwrap_or(Unit::ONE));
        let mantissa = value.mantissa().checked_mul(times.mantissa())?;
        found.multiplier = Unit::new(mantissa, value.exponent().checked_add(times.exponent())?)?;
    }
    (found.tick, found.lot) = (step_of(&listed.tick_sz), step_of(&listed.lot_sz));
    found.price_unit = tick_decimals(found.tick, 8);
    found.size_unit = tick_decimals(found.lot, 8);
    Some(found)
}

#[cfg(test)]
mod tests;
