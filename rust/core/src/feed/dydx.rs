//! dYdX: the indexer of v4, and v3 as it was until October 2024.
//!
//! Frames are numbered per connection, from 0, step one: `message_id`. Numbers are given out when a frame is ordered,
//! not when it is sent, so the answers to subscriptions come late, out of their order (in a real capture 10 is
//! followed by 21, and 11 to 20 arrive in between the frames up to 38). A hole is therefore not a loss as long as
//! subscriptions may still be under way: for [`PATIENCE`] frames after the last answer or request. If it is not filled
//! by then, it is one, and is said then; later on every hole is a loss at once. What the session counts is the highest
//! number less the holes.
//!
//! A book begins with the levels in `subscribed`. In v3 every change carries an `offset`, and changes arrive out of
//! their order: one that is older than what is known of its level is dropped (34 of 5,600 in the capture). That needs
//! the offset of every level, removed ones included: they are kept up to a bound, beyond which the oldest are
//! forgotten. In v4 there is none, and nothing to do.
//!
//! Book messages have no exchange time. The book of v4 may be crossed, as every node has its own: the view is kept
//! raw, and uncrossing it is left to who uses it. Prices for margin come from an oracle: they are told as mark prices.
//! Rules: the venue's documentation and the indexer's published source, from memory; real capture of v3.

use rustc_hash::{FxHashMap, FxHashSet};
use serde::Deserialize;

use super::json::{Json, Read, Text};
use super::message::{Body, Frame, Level, Link, MAX_NAME, Symbol};
use super::protocol::{Channel, Dialect, Protocol, RestLimit, SnapshotFrom};
use super::{step_of, tick_decimals};
use crate::instrument::{Contract, Instrument, Venue};
use crate::units::{Nanos, Side, Unit};

const V4: Protocol = Protocol {
    name: "dydx-v4",
    venue: Venue::Dydx,
    valid: ("2023-10-27", ""),
    url: "wss://indexer.dydx.trade/v4/ws",
    mark: "dydx.trade/v4",
    rest: "https://indexer.dydx.trade",
    snapshot_path: "",
    instruments_paths: &["/v4/perpetualMarkets"],
    snapshot: SnapshotFrom::Stream,
    counts_frames: true,
    counts_trades: false,
    links: false,
    checksum: None,
    depth: 0,
    cuts: false,
    cross_resyncs: false,
    keep_alive: None,
    silence: 60,
    per_connection: 30,
    sends_per_second: 20,
    limit: RestLimit { weight: 1, per_minute: 600 },
    source: "venue documentation, the indexer's source; limits from memory",
    dialect: || Box::new(Dydx::new(false)),
    list,
    describe,
};

/// The protocols of this file.
pub(super) const PROTOCOLS: &[Protocol] = &[
    Protocol {
        name: "dydx-v3",
        valid: ("", "2024-10-28"),
        url: "wss://api.dydx.exchange/v3/ws",
        mark: "dydx.exchange/v3",
        rest: "https://api.dydx.exchange",
        instruments_paths: &["/v3/markets"],
        source: "real capture of 2021",
        dialect: || Box::new(Dydx::new(true)),
        ..V4
    },
    V4,
];

/// Frames after which a number that did not come is lost.
const PATIENCE: u32 = 1024;
/// More numbers than these are not awaited: then they are lost.
const MAX_LATE: u64 = 4096;
/// Offsets that are remembered of one book.
const MAX_OFFSETS: usize = 1 << 17;
/// Books whose offsets are remembered.
const MAX_BOOKS: usize = 4096;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Subscribed,
    Data,
    Alive,
    Error,
    Other,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Book,
    Trades,
    Markets,
    Other,
}

impl Kind {
    fn of(channel: &[u8]) -> Self {
        match channel.get(3..).unwrap_or_default() {
            b"orderbook" => Self::Book,
            b"trades" => Self::Trades,
            b"markets" => Self::Markets,
            _ => Self::Other,
        }
    }

    const fn channel(self) -> Channel {
        match self {
            Self::Book => Channel::Book,
            Self::Trades => Channel::Trades,
            // Candles and blocks too: nothing that a book would miss.
            Self::Markets | Self::Other => Channel::Marks,
        }
    }
}

/// A side and a price without zeros at its end.
type Place = (bool, u64, i8);

fn place(level: &Level) -> Place {
    let (mut digits, mut exponent) = (level.price.digits, level.price.exponent);
    while digits != 0 && digits.is_multiple_of(10) && exponent < i8::MAX {
        digits /= 10;
        exponent += 1;
    }
    (level.side == Side::Bid, digits, exponent)
}

/// One connection.
#[derive(Debug)]
struct Dydx {
    v3: bool,
    /// The highest number so far.
    highest: Option<u64>,
    /// Numbers below it that have not come.
    late: FxHashSet<u64>,
    /// Frames for which holes are tolerated.
    patience: u32,
    /// The offset at which each level was last told, by symbol.
    offsets: FxHashMap<Box<[u8]>, FxHashMap<Place, u64>>,
    /// The markets that were asked for; empty where nobody said.
    wanted: FxHashSet<Box<[u8]>>,
}

/// What a frame is about.
#[derive(Clone, Copy)]
struct About {
    kind: Kind,
    /// An answer to a subscription: all there is.
    first: bool,
    /// Of the markets' channel there is none.
    symbol: Option<Text>,
}

impl Dialect for Dydx {
    fn read(&mut self, frame: &[u8], out: &mut Frame) -> Read<()> {
        let mut json = Json::new(frame);
        let (mut what, mut number, mut kind, mut symbol, mut contents) = (None, None, None, None, None);
        let (mut why, mut read) = (None, false);
        let result = json.object(|json, key| match key {
            b"type" => {
                let found = match json.text()? {
                    b"subscribed" => Type::Subscribed,
                    b"channel_data" | b"channel_batch_data" => Type::Data,
                    b"connected" | b"pong" => Type::Alive,
                    b"error" => Type::Error,
                    _ => Type::Other,
                };
                json.once(&mut what, found, "type")
            }
            b"message_id" => json.field(&mut number, "message_id", Json::unsigned),
            b"channel" => {
                let found = Kind::of(json.text()?);
                out.channel = Some(found.channel());
                json.once(&mut kind, found, "channel")
            }
            b"id" if json.peek() == b'"' => {
                let found = json.name()?;
                out.symbol = Some(Symbol::At(found));
                json.once(&mut symbol, found, "id")
            }
            b"message" if json.peek() == b'"' => {
                why = Some(json.name()?);
                Ok(())
            }
            b"contents" => {
                json.once(&mut contents, json.clone(), "contents")?;
                match (what, kind, symbol) {
                    (Some(what @ (Type::Subscribed | Type::Data)), Some(kind), Some(_)) => {
                        read = true;
                        self.contents(json, frame, About { kind, first: what == Type::Subscribed, symbol }, out)
                    }
                    _ => json.skip(),
                }
            }
            _ => json.skip(),
        });
        // The frame has its number even if the rest of it cannot be read.
        if let Some(number) = number {
            out.counter = Some(self.count(number, what));
        }
        result?;
        json.end()?;
        let what = json.need(what, "type")?;
        match what {
            Type::Subscribed | Type::Data => {
                json.need(number, "message_id")?;
                let kind = json.need(kind, "channel")?;
                let mut contents = json.need(contents, "contents")?;
                if !read {
                    if matches!(kind, Kind::Book | Kind::Trades) {
                        json.need(symbol, "id")?;
                    }
                    self.contents(&mut contents, frame, About { kind, first: what == Type::Subscribed, symbol }, out)?;
                }
                if what == Type::Subscribed {
                    let symbol = symbol.map_or(Symbol::None, Symbol::At);
                    out.push(symbol, Nanos::UNKNOWN, Body::Subscribed);
                }
            }
            Type::Alive => out.push(Symbol::None, Nanos::UNKNOWN, Body::Heartbeat),
            Type::Error => {
                let symbol = symbol.map_or(Symbol::None, Symbol::At);
                out.push(symbol, Nanos::UNKNOWN, Body::Refused(why.unwrap_or_default()));
            }
            Type::Other => out.push(Symbol::None, Nanos::UNKNOWN, Body::Other),
        }
        Ok(())
    }

    fn subscribe(&mut self, on: bool, symbols: &[&str], channels: &[Channel], _depth: u16, out: &mut Vec<String>) {
        let (what, version) = (if on { "subscribe" } else { "unsubscribe" }, if self.v3 { "v3" } else { "v4" });
        self.patience = PATIENCE;
        if on {
            self.wanted.extend(symbols.iter().map(|symbol| Box::from(symbol.as_bytes())));
        }
        for channel in channels {
            let (channel, more) = match channel {
                Channel::Book if self.v3 => ("orderbook", r#","includeOffsets":true"#),
                Channel::Book => ("orderbook", r#","batched":false"#),
                Channel::Trades if self.v3 => ("trades", ""),
                Channel::Trades => ("trades", r#","batched":false"#),
                Channel::Marks => {
                    // One channel of all markets: it goes on for those that are left.
                    if on {
                        out.push(format!(r#"{{"type":"{what}","channel":"{version}_markets"}}"#));
                    }
                    continue;
                }
                Channel::Quotes => continue,
            };
            let more = if on { more } else { "" };
            for symbol in symbols {
                out.push(format!(r#"{{"type":"{what}","channel":"{version}_{channel}","id":"{symbol}"{more}}}"#));
            }
        }
    }

    fn reset(&mut self) {
        *self = Self::new(self.v3);
    }
}

impl Dydx {
    fn new(v3: bool) -> Self {
        Self {
            v3,
            highest: None,
            late: FxHashSet::default(),
            patience: PATIENCE,
            offsets: FxHashMap::default(),
            wanted: FxHashSet::default(),
        }
    }

    /// The frame's number less the holes that may still be filled.
    fn count(&mut self, number: u64, what: Option<Type>) -> u64 {
        if what == Some(Type::Subscribed) {
            self.patience = PATIENCE;
        } else {
            self.patience = self.patience.saturating_sub(1);
        }
        if self.patience == 0 {
            self.late.clear();
        }
        let next = self.highest.map_or(number, |highest| highest.saturating_add(1));
        if number >= next {
            let holes = number - next;
            if self.patience > 0 && holes + (self.late.len() as u64) <= MAX_LATE {
                self.late.extend(next..number);
            }
            self.highest = Some(number);
        } else {
            self.late.remove(&number);
        }
        self.highest.unwrap_or(number).saturating_sub(self.late.len() as u64)
    }

    #[inline]
    fn contents(&mut self, json: &mut Json<'_>, frame: &[u8], about: About, out: &mut Frame) -> Read<()> {
        match (about.kind, about.symbol) {
            (Kind::Book, Some(symbol)) => self.book(json, frame, symbol, about.first, out),
            (Kind::Trades, Some(symbol)) => batch(json, |json| trades(json, symbol, about.first, out)),
            (Kind::Markets, _) => batch(json, |json| self.markets(json, frame, out)),
            _ => json.skip(),
        }
    }

    #[inline]
    fn book(&mut self, json: &mut Json<'_>, frame: &[u8], symbol: Text, first: bool, out: &mut Frame) -> Read<()> {
        let mut offsets = if self.v3 { Some(self.known(symbol.of(frame))) } else { None };
        if let (true, Some(offsets)) = (first, offsets.as_deref_mut()) {
            offsets.clear();
        }
        batch(json, |json| {
            let (mut offset, mut bids, mut asks) = (None, None, None);
            let from = out.levels.len();
            json.object(|json, key| match key {
                b"offset" => json.field(&mut offset, "offset", Json::unsigned),
                b"bids" => {
                    json.once(&mut bids, (), "bids")?;
                    levels(json, Side::Bid, offsets.as_deref_mut(), out)
                }
                b"asks" => {
                    json.once(&mut asks, (), "asks")?;
                    levels(json, Side::Ask, offsets.as_deref_mut(), out)
                }
                _ => json.skip(),
            })?;
            if offsets.is_some() || first {
                json.need(bids, "bids")?;
                json.need(asks, "asks")?;
            }
            if let (Some(offsets), Some(offset), false) = (offsets.as_deref_mut(), offset, first) {
                drop_older(offsets, offset, from, &mut out.levels);
            }
            Ok(())
        })?;
        let levels = 0..out.levels.len();
        let body = Body::Levels { snapshot: first, link: Link::None, checksum: None, levels };
        out.push(Symbol::At(symbol), Nanos::UNKNOWN, body);
        Ok(())
    }

    /// The offsets of a book.
    fn known(&mut self, symbol: &[u8]) -> &mut FxHashMap<Place, u64> {
        let symbol = symbol.get(..MAX_NAME).unwrap_or(symbol);
        if !self.offsets.contains_key(symbol) {
            if self.offsets.len() >= MAX_BOOKS {
                self.offsets.clear();
            }
            self.offsets.insert(symbol.into(), FxHashMap::default());
        }
        self.offsets.entry(symbol.into()).or_default()
    }

    /// Mark prices. v4 tells all markets at first, then those that changed in `trading` or `oraclePrices`; v3 names
    /// changed markets without such a group.
    fn markets(&self, json: &mut Json<'_>, frame: &[u8], out: &mut Frame) -> Read<()> {
        json.object(|json, key| {
            if json.peek() != b'{' {
                return json.skip();
            }
            if matches!(key, b"markets" | b"trading" | b"oraclePrices") {
                json.object(|json, key| {
                    let symbol = json.place(key);
                    self.market(json, frame, symbol, out)
                })
            } else {
                let symbol = json.place(key);
                self.market(json, frame, symbol, out)
            }
        })
    }

    fn market(&self, json: &mut Json<'_>, frame: &[u8], symbol: Text, out: &mut Frame) -> Read<()> {
        let (mut mark, mut index, mut rate, mut due, mut time) = (None, None, None, None, None);
        json.object(|json, key| match key {
            b"oraclePrice" => json.field(&mut mark, "oraclePrice", Json::optional_decimal),
            b"indexPrice" => json.field(&mut index, "indexPrice", Json::optional_decimal),
            b"nextFundingRate" => json.field(&mut rate, "nextFundingRate", Json::optional_decimal),
            b"nextFundingAt" if json.peek() == b'"' => json.field(&mut due, "nextFundingAt", Json::iso),
            b"effectiveAt" if json.peek() == b'"' => json.field(&mut time, "effectiveAt", Json::iso),
            _ => json.skip(),
        })?;
        // The channel tells of every market there is.
        if !self.wanted.is_empty() && !self.wanted.contains(symbol.of(frame)) {
            return Ok(());
        }
        let funding = rate.flatten().map(|rate| (rate, due.unwrap_or(Nanos::UNKNOWN)));
        let (mark, index) = (mark.flatten(), index.flatten());
        if mark.is_some() || index.is_some() || funding.is_some() {
            let ts_event = time.unwrap_or(Nanos::UNKNOWN);
            out.push(Symbol::At(symbol), ts_event, Body::Mark { mark, index, iv: None, funding });
        }
        Ok(())
    }
}

/// What a frame says, once; of a batch, each of its parts.
#[inline]
fn batch(json: &mut Json<'_>, mut each: impl FnMut(&mut Json<'_>) -> Read<()>) -> Read<()> {
    if json.peek() == b'[' { json.array(each) } else { each(json) }
}

/// Levels: `["price","size"]` of a change, `{"price":…,"size":…}` of a snapshot, in v3 with the offset of each.
#[inline]
fn levels(
    json: &mut Json<'_>,
    side: Side,
    mut offsets: Option<&mut FxHashMap<Place, u64>>,
    out: &mut Frame,
) -> Read<()> {
    json.array(|json| {
        if json.peek() == b'[' {
            let (price, size) = json.pair()?;
            out.levels.push(Level { price, size, side });
            return Ok(());
        }
        let (mut price, mut size, mut offset) = (None, None, None);
        json.object(|json, key| match key {
            b"price" => json.field(&mut price, "price", Json::decimal),
            b"size" => json.field(&mut size, "size", Json::decimal),
            b"offset" => json.field(&mut offset, "offset", Json::unsigned),
            _ => json.skip(),
        })?;
        let level = Level { price: json.need(price, "price")?, size: json.need(size, "size")?, side };
        if let (Some(offsets), Some(offset)) = (offsets.as_deref_mut(), offset)
            && offsets.len() < MAX_OFFSETS
        {
            offsets.insert(place(&level), offset);
        }
        // A level that was emptied is told with its offset too.
        if !level.size.is_zero() {
            out.levels.push(level);
        }
        Ok(())
    })
}

/// Drops, of the levels from `from` on, those of which something newer is known.
fn drop_older(offsets: &mut FxHashMap<Place, u64>, offset: u64, from: usize, levels: &mut Vec<Level>) {
    let mut kept = from;
    for at in from..levels.len() {
        let Some(&level) = levels.get(at) else { continue };
        let known = offsets.entry(place(&level)).or_default();
        if *known <= offset {
            *known = offset;
            if let Some(slot) = levels.get_mut(kept) {
                *slot = level;
                kept += 1;
            }
        }
    }
    levels.truncate(kept);
    if offsets.len() > MAX_OFFSETS {
        // What is told late is late by thousands of offsets, not by millions.
        offsets.retain(|_, known| known.saturating_add(1_000_000) > offset);
        if offsets.len() > MAX_OFFSETS {
            offsets.clear();
        }
    }
}

fn trades(json: &mut Json<'_>, symbol: Text, history: bool, out: &mut Frame) -> Read<()> {
    let mut seen = None;
    json.object(|json, key| match key {
        b"trades" => {
            json.once(&mut seen, (), "trades")?;
            json.array(|json| trade(json, symbol, history, out))
        }
        _ => json.skip(),
    })?;
    json.need(seen, "trades")
}

fn trade(json: &mut Json<'_>, symbol: Text, history: bool, out: &mut Frame) -> Read<()> {
    let (mut side, mut price, mut size, mut time) = (None, None, None, None);
    let mut forced = false;
    json.object(|json, key| match key {
        b"side" => json.field(&mut side, "side", |json| json.side(b"BUY", b"SELL", "BUY or SELL")),
        b"price" => json.field(&mut price, "price", Json::decimal),
        b"size" => json.field(&mut size, "size", Json::decimal),
        b"createdAt" => json.field(&mut time, "createdAt", Json::iso),
        b"type" if json.peek() == b'"' => {
            forced = json.text()? == b"DELEVERAGED";
            Ok(())
        }
        _ => json.skip(),
    })?;
    let body = Body::Trade {
        // v3 gives none, v4 one of 96 bits.
        id: 0,
        price: json.need(price, "price")?,
        size: json.need(size, "size")?,
        side: Some(json.need(side, "side")?),
        // A deleveraging takes place outside the book.
        silent: history || forced,
    };
    out.push(Symbol::At(symbol), json.need(time, "createdAt")?, body);
    Ok(())
}

fn describe(symbol: &str) -> Option<Instrument> {
    let symbol = symbol.to_ascii_uppercase();
    let (base, quote) = symbol.rsplit_once('-')?;
    if base.is_empty() || quote.is_empty() {
        return None;
    }
    // Markets of v4 that anyone may open: `DINO,RAYDIUM,3TZVTMZRBTSJGJ…-USD`.
    let base = base.split(',').next()?;
    let mut found = Instrument::named(Venue::Dydx, &symbol, Contract::Linear, base, quote);
    found.settle = "USDC".to_owned();
    Some(found)
}

#[derive(Deserialize)]
struct Listing {
    markets: std::collections::BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    tick_size: String,
    step_size: String,
    /// v4: the finest size is 10 to this power.
    #[serde(default)]
    atomic_resolution: Option<i8>,
    /// v3: so many of the finest size are one.
    #[serde(default)]
    asset_resolution: Option<String>,
}

fn list(body: &[u8]) -> Result<Vec<Instrument>, String> {
    let listing: Listing = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    Ok(listing
        .markets
        .into_iter()
        .filter_map(|(symbol, listed)| {
            let listed: Listed = serde_json::from_value(listed).ok()?;
            let mut found = describe(&symbol)?;
            found.symbol = symbol;
            (found.tick, found.lot) = (step_of(&listed.tick_size), step_of(&listed.step_size));
            found.price_unit = tick_decimals(found.tick, 8);
            let finest = match (listed.atomic_resolution, listed.asset_resolution) {
                (Some(power), _) => Unit::new(1, power.min(0)),
                (None, Some(count)) => step_of(&count).and_then(|count| Unit::new(1, -count.exponent())),
                (None, None) => None,
            };
            found.size_unit = finest.unwrap_or_else(|| tick_decimals(found.lot, 10));
            Some(found)
        })
        .collect())
}

#[cfg(test)]
mod tests;
