//! Hyperliquid, perpetuals.
//!
//! Every `l2Book` message is a whole book with the time of its block: there is nothing to link, and nothing to lose but
//! time. Since mid-2026 the plain one comes every 5 s with 20 levels, the `fast` one every 0.5 s with 5. Quotes (`bbo`)
//! and trades come as they happen. The first trades of a coin on a connection are those before it. A connection that
//! says nothing for 60 s is closed by the venue. Rules: the venue's documentation and what users found, a real capture
//! of 2025.

use rustc_hash::FxHashSet;
use serde::Deserialize;

use super::json::{Decimal, Json, Read, Text};
use super::message::{Body, Frame, Level, Link, MAX_NAME, Symbol};
use super::protocol::{Channel, Dialect, KeepAlive, Protocol, RestLimit, SnapshotFrom};
use crate::instrument::{Contract, Instrument, Venue};
use crate::units::{Nanos, Side, Unit};

/// The first trades of so many coins are told from later ones.
const MAX_COINS: usize = 1 << 14;

/// The protocols of this file.
pub(super) const PROTOCOLS: &[Protocol] = &[Protocol {
    name: "hyperliquid",
    venue: Venue::Hyperliquid,
    valid: ("", ""),
    url: "wss://api.hyperliquid.xyz/ws",
    mark: "api.hyperliquid.xyz",
    rest: "https://api.hyperliquid.xyz",
    snapshot_path: "",
    // The venue answers requests by POST only: method, path and body.
    instruments_paths: &["POST /info {\"type\":\"meta\"}"],
    snapshot: SnapshotFrom::EveryMessage,
    counts_frames: false,
    counts_trades: false,
    links: false,
    checksum: None,
    depth: FAST,
    cuts: false,
    cross_resyncs: false,
    keep_alive: Some(KeepAlive { text: "{\"method\":\"ping\"}", every: 30 }),
    silence: 60,
    per_connection: 100,
    sends_per_second: 25,
    limit: RestLimit { weight: 20, per_minute: 1_200 },
    source: "venue documentation, real capture of 2025; intervals of 2026 as users found them",
    dialect: || Box::new(Hyperliquid::default()),
    list,
    describe,
}];

/// The depth of a fast book.
const FAST: u16 = 5;
/// A price has no more decimals than this, less those of the size.
const DECIMALS: u8 = 6;

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Book,
    Quote,
    Trades,
    Marks,
    Subscribed,
    Pong,
    Error,
    Other,
}

/// One connection.
#[derive(Debug, Default)]
struct Hyperliquid {
    /// The coins whose history has come: what follows is new.
    begun: FxHashSet<Box<[u8]>>,
}

impl Dialect for Hyperliquid {
    fn read(&mut self, frame: &[u8], out: &mut Frame) -> Read<()> {
        let mut json = Json::new(frame);
        let mut kind = None;
        let mut early = None;
        let mut seen = None;
        json.object(|json, key| match key {
            b"channel" => {
                let (name, about) = channel(json.text()?);
                out.channel = about;
                json.once(&mut kind, name, "channel")
            }
            b"data" => {
                json.once(&mut seen, (), "data")?;
                match kind {
                    Some(kind) => self.data(json, kind, out),
                    None => {
                        early = Some(json.clone());
                        json.skip()
                    }
                }
            }
            _ => json.skip(),
        })?;
        json.end()?;
        let kind = json.need(kind, "channel")?;
        if let Some(mut early) = early {
            self.data(&mut early, kind, out)?;
        } else if kind == Kind::Pong {
            out.push(Symbol::None, Nanos::UNKNOWN, Body::Heartbeat);
        } else if kind != Kind::Other {
            json.need(seen, "data")?;
        }
        self.begin(frame, out);
        Ok(())
    }

    fn subscribe(&mut self, on: bool, symbols: &[&str], channels: &[Channel], depth: u16, out: &mut Vec<String>) {
        let method = if on { "subscribe" } else { "unsubscribe" };
        for symbol in symbols {
            for channel in channels {
                let (kind, more) = match channel {
                    Channel::Book if depth <= FAST => ("l2Book", ",\"fast\":true"),
                    Channel::Book => ("l2Book", ""),
                    Channel::Trades => ("trades", ""),
                    Channel::Quotes => ("bbo", ""),
                    Channel::Marks => ("activeAssetCtx", ""),
                };
                if *channel == Channel::Trades {
                    // A new subscription begins with history again.
                    self.begun.remove(symbol.as_bytes());
                }
                out.push(format!(
                    "{{\"method\":\"{method}\",\"subscription\":{{\"type\":\"{kind}\",\"coin\":\"{symbol}\"{more}}}}}"
                ));
            }
        }
    }

    fn reset(&mut self) {
        self.begun.clear();
    }
}

fn channel(name: &[u8]) -> (Kind, Option<Channel>) {
    match name {
        b"l2Book" => (Kind::Book, Some(Channel::Book)),
        b"bbo" => (Kind::Quote, Some(Channel::Quotes)),
        b"trades" => (Kind::Trades, Some(Channel::Trades)),
        b"activeAssetCtx" | b"activeSpotAssetCtx" => (Kind::Marks, Some(Channel::Marks)),
        b"subscriptionResponse" => (Kind::Subscribed, None),
        b"pong" => (Kind::Pong, None),
        b"error" => (Kind::Error, None),
        _ => (Kind::Other, None),
    }
}

impl Hyperliquid {
    #[inline]
    fn data(&mut self, json: &mut Json<'_>, kind: Kind, out: &mut Frame) -> Read<()> {
        match kind {
            Kind::Book => book(json, out),
            Kind::Quote => quote(json, out),
            Kind::Trades => self.trades(json, out),
            Kind::Marks => marks(json, out),
            Kind::Subscribed => subscribed(json, out),
            Kind::Error => {
                if json.peek() != b'"' {
                    return json.skip();
                }
                let what = json.name()?;
                out.push(Symbol::None, Nanos::UNKNOWN, Body::Refused(what));
                Ok(())
            }
            Kind::Pong => {
                out.push(Symbol::None, Nanos::UNKNOWN, Body::Heartbeat);
                json.skip()
            }
            Kind::Other => json.skip(),
        }
    }

    /// Remembers whose history has come, once the frame is read to its end: one that is read again, or not at all, must
    /// find things as they were.
    fn begin(&mut self, frame: &[u8], out: &Frame) {
        for message in &out.messages {
            let (Symbol::At(place), Body::Trade { silent: true, .. }) = (message.symbol, &message.body) else {
                continue;
            };
            let name = place.of(frame);
            if name.len() <= MAX_NAME && self.begun.len() < MAX_COINS && !self.begun.contains(name) {
                self.begun.insert(name.into());
            }
        }
    }

    fn trades(&mut self, json: &mut Json<'_>, out: &mut Frame) -> Read<()> {
        let mut coin: &[u8] = b"";
        let mut history = false;
        json.array(|json| {
            let (mut symbol, mut side, mut price, mut size) = (None, None, None, None);
            let (mut time, mut id) = (None, None);
            let mut name: &[u8] = b"";
            json.object(|json, key| match key {
                b"coin" => {
                    name = json.text()?;
                    let place = json.place(name);
                    out.symbol = Some(Symbol::At(place));
                    json.once(&mut symbol, place, "coin")
                }
                b"side" => json.field(&mut side, "side", |json| json.side(b"B", b"A", "B or A")),
                b"px" => json.field(&mut price, "px", Json::decimal),
                b"sz" => json.field(&mut size, "sz", Json::decimal),
                b"time" => json.field(&mut time, "time", Json::millis),
                b"tid" => json.field(&mut id, "tid", Json::unsigned),
                _ => json.skip(),
            })?;
            let symbol = json.need(symbol, "coin")?;
            if name != coin {
                coin = name;
                history = !self.begun.contains(name);
            }
            let (price, size) = (json.need(price, "px")?, json.need(size, "sz")?);
            let (id, side) = (json.need(id, "tid")?, Some(json.need(side, "side")?));
            let ts_event = json.need(time, "time")?;
            out.push(Symbol::At(symbol), ts_event, Body::Trade { id, price, size, side, silent: history });
            Ok(())
        })
    }
}

/// `{"px":"98450.5","sz":"2.5","n":3}`
#[inline]
fn level(json: &mut Json<'_>) -> Read<(Decimal, Decimal)> {
    let (mut price, mut size) = (None, None);
    json.object(|json, key| match key {
        b"px" => json.field(&mut price, "px", Json::decimal),
        b"sz" => json.field(&mut size, "sz", Json::decimal),
        _ => json.skip(),
    })?;
    Ok((json.need(price, "px")?, json.need(size, "sz")?))
}

fn book(json: &mut Json<'_>, out: &mut Frame) -> Read<()> {
    let (mut symbol, mut time, mut levels) = (None, None, None);
    json.object(|json, key| match key {
        b"coin" => {
            let name = json.name()?;
            out.symbol = Some(Symbol::At(name));
            json.once(&mut symbol, name, "coin")
        }
        b"time" => json.field(&mut time, "time", Json::millis),
        b"levels" => {
            json.once(&mut levels, (), "levels")?;
            json.open()?;
            for side in [Side::Bid, Side::Ask] {
                json.array(|json| {
                    let (price, size) = level(json)?;
                    out.levels.push(Level { price, size, side });
                    Ok(())
                })?;
                if side == Side::Bid {
                    json.comma()?;
                }
            }
            json.close()
        }
        _ => json.skip(),
    })?;
    json.need(levels, "levels")?;
    let (symbol, ts_event) = (json.need(symbol, "coin")?, json.need(time, "time")?);
    let link = Link::At(u64::try_from(ts_event.0 / 1_000_000).unwrap_or(0));
    let levels = 0..out.levels.len();
    out.push(Symbol::At(symbol), ts_event, Body::Levels { snapshot: true, link, checksum: None, levels });
    Ok(())
}

fn quote(json: &mut Json<'_>, out: &mut Frame) -> Read<()> {
    let (mut symbol, mut time, mut sides) = (None, None, None);
    json.object(|json, key| match key {
        b"coin" => {
            let name = json.name()?;
            out.symbol = Some(Symbol::At(name));
            json.once(&mut symbol, name, "coin")
        }
        b"time" => json.field(&mut time, "time", Json::millis),
        b"bbo" => {
            // A side without orders is null.
            let side = |json: &mut Json<'_>| if json.null() { Ok((Decimal::ZERO, Decimal::ZERO)) } else { level(json) };
            json.open()?;
            let bid = side(json)?;
            json.comma()?;
            let ask = side(json)?;
            json.once(&mut sides, (bid, ask), "bbo")?;
            json.close()
        }
        _ => json.skip(),
    })?;
    let (symbol, ts_event) = (json.need(symbol, "coin")?, json.need(time, "time")?);
    let (bid, ask) = json.need(sides, "bbo")?;
    out.push(Symbol::At(symbol), ts_event, Body::Quote { sequence: 0, bid: Some(bid), ask: Some(ask) });
    Ok(())
}

/// Without a time, which the venue leaves out. Funding is paid every hour, at this rate if it stays.
fn marks(json: &mut Json<'_>, out: &mut Frame) -> Read<()> {
    let (mut symbol, mut context) = (None, None);
    let (mut mark, mut index, mut rate) = (None, None, None);
    json.object(|json, key| match key {
        b"coin" => {
            let name = json.name()?;
            out.symbol = Some(Symbol::At(name));
            json.once(&mut symbol, name, "coin")
        }
        b"ctx" => {
            json.once(&mut context, (), "ctx")?;
            json.object(|json, key| {
                let (slot, field) = match key {
                    b"markPx" => (&mut mark, "markPx"),
                    b"oraclePx" => (&mut index, "oraclePx"),
                    b"funding" => (&mut rate, "funding"),
                    _ => return json.skip(),
                };
                let value = json.optional_decimal()?;
                json.once(slot, value, field)
            })
        }
        _ => json.skip(),
    })?;
    let symbol = json.need(symbol, "coin")?;
    json.need(context, "ctx")?;
    let mark = json.need(mark, "markPx")?;
    let funding = rate.flatten().map(|rate| (rate, Nanos::UNKNOWN));
    out.push(Symbol::At(symbol), Nanos::UNKNOWN, Body::Mark { mark, index: index.flatten(), iv: None, funding });
    Ok(())
}

fn subscribed(json: &mut Json<'_>, out: &mut Frame) -> Read<()> {
    let (mut on, mut coin): (bool, Option<Text>) = (false, None);
    json.object(|json, key| match key {
        b"method" => {
            on = json.text()? == b"subscribe";
            Ok(())
        }
        b"subscription" => json.object(|json, key| match key {
            b"type" => {
                (_, out.channel) = channel(json.text()?);
                Ok(())
            }
            b"coin" if json.peek() == b'"' => {
                let name = json.name()?;
                out.symbol = Some(Symbol::At(name));
                json.once(&mut coin, name, "coin")
            }
            _ => json.skip(),
        }),
        _ => json.skip(),
    })?;
    if let (true, Some(coin)) = (on, coin) {
        out.push(Symbol::At(coin), Nanos::UNKNOWN, Body::Subscribed);
    }
    Ok(())
}

/// `BTC`, `kPEPE` (a thousand of them), `xyz:GOLD` (of a builder's market); `PURR/USDC` is spot, `@107` says nothing.
fn describe(symbol: &str) -> Option<Instrument> {
    let plain = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if let Some((base, quote)) = symbol.split_once('/') {
        let known = plain(base) && plain(quote);
        return known.then(|| Instrument::named(Venue::Hyperliquid, symbol, Contract::Spot, base, quote));
    }
    let base = symbol.rsplit(':').next()?;
    plain(base).then(|| Instrument::named(Venue::Hyperliquid, symbol, Contract::Linear, base, "USDC"))
}

#[derive(Deserialize)]
struct Listing {
    universe: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    name: String,
    sz_decimals: u8,
    #[serde(default)]
    is_delisted: bool,
}

fn list(body: &[u8]) -> Result<Vec<Instrument>, String> {
    let listing: Listing = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    Ok(listing.universe.into_iter().filter_map(|value| serde_json::from_value(value).ok()).filter_map(listed).collect())
}

fn listed(listed: Listed) -> Option<Instrument> {
    if listed.is_delisted || listed.sz_decimals > DECIMALS {
        return None;
    }
    let mut found = describe(&listed.name)?;
    // The step of a price depends on the price: five significant digits, and whole numbers always.
    found.price_unit = Unit::decimals((DECIMALS - listed.sz_decimals).max(1));
    found.size_unit = Unit::decimals(listed.sz_decimals);
    found.lot = Some(found.size_unit);
    Some(found)
}

#[cfg(test)]
mod tests;
