//! Independent Reserve: spot, market by order.
//!
//! One channel per coin, `orderbook-eth`, whose events are numbered without holes (`Nonce`; a lower one means that the
//! channel began anew). Orders are shared by the books of all four currencies, each with its own price: a new order
//! goes to all the books in whose currency it is priced, a change of volume or a cancellation, which names no price,
//! to all four. Books are named `eth-aud`, `eth-usd`, `eth-nzd`, `eth-sgd`. An order that is changed to volume 0 was
//! filled.
//!
//! The book begins with a REST snapshot, which has a time and no nonce: events whose time is later join it (checked on
//! a real capture of 2022: of 700 orders placed after a snapshot's time none was in it). The server may lag by some 50
//! ms, so an order that was cancelled just before may stand in it for ever; nothing tells.
//!
//! Orders have GUIDs of 128 bits, folded here to 64. Trades come by `ticker-eth`, a trade in the price of every
//! currency that took part; until 2022 by `ticker-eth-aud`. `Side` is the taker's. Rules: the venue's documentation,
//! real capture of 2022.

use rustc_hash::{FxHashMap, FxHashSet};

use super::json::{Decimal, Json, Read, Text};
use super::message::{Body, Change, Frame, Link, MAX_NAME, Order, Symbol};
use super::protocol::{Channel, Dialect, Protocol, RestLimit, SnapshotFrom};
use crate::instrument::{Contract, Instrument, Venue};
use crate::units::{Nanos, Side, Unit};

/// The protocols of this file.
pub(super) const PROTOCOLS: &[Protocol] = &[Protocol {
    name: "independent-reserve",
    venue: Venue::IndependentReserve,
    valid: ("", ""),
    url: "wss://websockets.independentreserve.com",
    mark: "websockets.independentreserve.com",
    rest: "https://api.independentreserve.com",
    snapshot_path: "/Public/GetAllOrders?primaryCurrencyCode={base}&secondaryCurrencyCode={quote}",
    instruments_paths: &["/Public/GetValidPrimaryCurrencyCodes"],
    snapshot: SnapshotFrom::Rest,
    counts_frames: false,
    counts_trades: false,
    links: true,
    checksum: None,
    depth: 0,
    cuts: false,
    cross_resyncs: false,
    keep_alive: None,
    silence: 150,
    per_connection: 50,
    sends_per_second: 5,
    limit: RestLimit { weight: 1, per_minute: 30 },
    source: "venue documentation, real capture of 2022; limits from memory",
    dialect: || Box::new(IndependentReserve::default()),
    list,
    describe,
}];

/// The currencies in which every coin is priced.
const CURRENCIES: [&str; 4] = ["aud", "usd", "nzd", "sgd"];
/// More coins than these are none of this venue.
const MAX_COINS: usize = 4096;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Event {
    New,
    Changed,
    Cancelled,
    Trade,
    Subscriptions,
    Heartbeat,
    Error,
    Other,
}

/// One connection.
#[derive(Debug, Default)]
struct IndependentReserve {
    /// The books of every coin that was seen, four each, in the order of `CURRENCIES`.
    names: Vec<String>,
    coins: FxHashMap<Box<[u8]>, usize>,
    /// The books that were asked for; empty where nobody said.
    wanted: FxHashSet<String>,
}

/// What `Data` has brought.
#[derive(Default)]
struct Data {
    guid: Option<u64>,
    side: Option<Side>,
    volume: Option<Decimal>,
    /// One price, of the currency that the channel names.
    price: Option<Decimal>,
    /// One of each currency.
    prices: Option<[Option<Decimal>; 4]>,
    taker: Option<Side>,
    time: Option<Nanos>,
    why: Option<Text>,
}

impl Dialect for IndependentReserve {
    fn read(&mut self, frame: &[u8], out: &mut Frame) -> Read<()> {
        let mut json = Json::new(frame);
        let (mut event, mut channel, mut nonce, mut time) = (None, None, None, None);
        let mut data = None;
        json.object(|json, key| match key {
            b"Event" => {
                let found = match json.text()? {
                    b"NewOrder" => Event::New,
                    b"OrderChanged" => Event::Changed,
                    b"OrderCanceled" => Event::Cancelled,
                    b"Trade" => Event::Trade,
                    b"Subscriptions" => Event::Subscriptions,
                    b"Heartbeat" => Event::Heartbeat,
                    b"Error" => Event::Error,
                    _ => Event::Other,
                };
                json.once(&mut event, found, "Event")
            }
            b"Channel" => {
                let text = json.text()?;
                let kind = match text {
                    _ if text.starts_with(b"orderbook-") => Some(Channel::Book),
                    _ if text.starts_with(b"ticker-") => Some(Channel::Trades),
                    _ => None,
                };
                out.channel = kind;
                let dash = text.iter().position(|&byte| byte == b'-').map_or(text.len(), |dash| dash + 1);
                let name = text.get(dash..).unwrap_or_default();
                let sole = name.contains(&b'-');
                if sole {
                    out.symbol = Some(Symbol::At(json.place(name)));
                }
                json.once(&mut channel, (name, sole), "Channel")
            }
            b"Nonce" => json.field(&mut nonce, "Nonce", Json::unsigned),
            b"Time" => json.field(&mut time, "Time", Json::unsigned),
            b"Data" => {
                let mut found = Data::default();
                match json.peek() {
                    b'{' => json.object(|json, key| found.take(json, key))?,
                    b'"' => found.why = Some(json.name()?),
                    _ => json.skip()?,
                }
                json.once(&mut data, found, "Data")
            }
            _ => json.skip(),
        })?;
        json.end()?;
        let event = json.need(event, "Event")?;
        let sent = time.and_then(millis).unwrap_or(Nanos::UNKNOWN);
        let change = match event {
            Event::New => Change::Add,
            Event::Changed => Change::Modify,
            Event::Cancelled => Change::Cancel,
            Event::Trade => {
                let data = json.need(data, "Data")?;
                let (name, sole) = json.need(channel, "Channel")?;
                return self.trade(&json, &data, (name, sole), sent, out);
            }
            event => {
                let body = match event {
                    Event::Subscriptions => Body::Subscribed,
                    Event::Heartbeat => Body::Heartbeat,
                    Event::Error => Body::Refused(data.and_then(|data| data.why).unwrap_or_default()),
                    _ => Body::Other,
                };
                out.push(Symbol::None, sent, body);
                return Ok(());
            }
        };
        let data = json.need(data, "Data")?;
        let (name, sole) = json.need(channel, "Channel")?;
        let last = json.need(nonce, "Nonce")?;
        let link = Link::Timed { previous: last.saturating_sub(1), last, since: 0, time: json.need(time, "Time")? };
        let id = json.need(data.guid, "OrderGuid")?;
        if change == Change::Add {
            json.need(data.side, "OrderType")?;
        }
        if change != Change::Cancel {
            json.need(data.volume, "Volume")?;
        }
        let filled = change == Change::Modify && data.volume.is_some_and(|volume| volume.is_zero());
        let change = if filled { Change::Cancel } else { change };
        let order = Order { change, id, side: data.side, price: data.price, size: data.volume };
        if sole {
            if change == Change::Add {
                json.need(order.price, "Price")?;
            }
            out.orders.push(order);
            out.push(Symbol::At(json.place(name)), sent, Body::Orders { snapshot: false, link, orders: 0..1 });
            return Ok(());
        }
        if change == Change::Add {
            json.need(data.prices, "Price")?;
        }
        let first = self.coin(&json, name)?;
        let prices = data.prices.unwrap_or_default();
        for (at, price) in prices.into_iter().enumerate() {
            let known = first + at;
            if !self.wants(known) {
                continue;
            }
            let from = out.orders.len();
            // A new order without a price in this currency is not in its book; the nonce moves on all the same.
            if change != Change::Add || price.is_some() {
                out.orders.push(Order { price, ..order });
            }
            let orders = from..out.orders.len();
            out.push(symbol(known), sent, Body::Orders { snapshot: false, link, orders });
        }
        Ok(())
    }

    fn read_snapshot(&mut self, body: &[u8], out: &mut Frame) -> Read<()> {
        let mut json = Json::new(body);
        out.channel = Some(Channel::Book);
        let (mut buys, mut sells, mut time) = (None, None, None);
        json.object(|json, key| match key {
            b"BuyOrders" => {
                json.once(&mut buys, (), "BuyOrders")?;
                json.array(|json| resting(json, Side::Bid, out))
            }
            b"SellOrders" => {
                json.once(&mut sells, (), "SellOrders")?;
                json.array(|json| resting(json, Side::Ask, out))
            }
            b"CreatedTimestampUtc" => json.field(&mut time, "CreatedTimestampUtc", Json::iso),
            _ => json.skip(),
        })?;
        json.end()?;
        json.need(buys, "BuyOrders")?;
        json.need(sells, "SellOrders")?;
        let time = json.need(time, "CreatedTimestampUtc")?;
        let link = Link::At(u64::try_from(time.0 / 1_000_000).unwrap_or(0));
        let orders = 0..out.orders.len();
        out.push(Symbol::Asked, time, Body::Orders { snapshot: true, link, orders });
        Ok(())
    }

    fn name(&self, known: u32) -> &str {
        usize::try_from(known).ok().and_then(|known| self.names.get(known)).map_or("", String::as_str)
    }

    fn subscribe(&mut self, on: bool, symbols: &[&str], channels: &[Channel], _depth: u16, out: &mut Vec<String>) {
        let event = if on { "Subscribe" } else { "Unsubscribe" };
        if on {
            self.wanted.extend(symbols.iter().map(|&symbol| symbol.to_owned()));
        }
        let mut names: Vec<String> = Vec::new();
        for channel in channels {
            let channel = match channel {
                Channel::Book => "orderbook",
                Channel::Trades => "ticker",
                Channel::Quotes | Channel::Marks => continue,
            };
            for symbol in symbols {
                let coin = symbol.split('-').next().unwrap_or_default();
                let name = format!(r#""{channel}-{coin}""#);
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        for names in names.chunks(50) {
            out.push(format!(r#"{{"Event":"{event}","Data":[{}]}}"#, names.join(",")));
        }
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

fn symbol(known: usize) -> Symbol {
    u32::try_from(known).map_or(Symbol::None, Symbol::Known)
}

fn millis(time: u64) -> Option<Nanos> {
    i64::try_from(time).ok()?.checked_mul(1_000_000).map(Nanos)
}

impl IndependentReserve {
    /// Where the four books of a coin begin.
    fn coin(&mut self, json: &Json<'_>, coin: &[u8]) -> Read<usize> {
        if let Some(&first) = self.coins.get(coin) {
            return Ok(first);
        }
        let fault = json.fault("at most 4,096 coins on one connection");
        let text = std::str::from_utf8(coin).map_err(|_| fault)?;
        if self.coins.len() >= MAX_COINS || coin.len() > MAX_NAME {
            return Err(fault);
        }
        let first = self.names.len();
        self.coins.insert(coin.into(), first);
        self.names.extend(CURRENCIES.iter().map(|currency| format!("{text}-{currency}")));
        Ok(first)
    }

    fn wants(&self, known: usize) -> bool {
        self.wanted.is_empty() || self.names.get(known).is_some_and(|name| self.wanted.contains(name))
    }

    fn trade(
        &mut self,
        json: &Json<'_>,
        data: &Data,
        channel: (&[u8], bool),
        sent: Nanos,
        out: &mut Frame,
    ) -> Read<()> {
        let ts_event = data.time.unwrap_or(sent);
        let size = json.need(data.volume, "Volume")?;
        // A GUID is no number that counts.
        let body = |price| Body::Trade { id: 0, price, size, side: data.taker, silent: false };
        let (name, sole) = channel;
        if sole {
            let body = body(json.need(data.price, "Price")?);
            out.push(Symbol::At(json.place(name)), ts_event, body);
            return Ok(());
        }
        let prices = json.need(data.prices, "Price")?;
        let first = self.coin(json, name)?;
        for (at, price) in prices.into_iter().enumerate() {
            if let (Some(price), true) = (price, self.wants(first + at)) {
                out.push(symbol(first + at), ts_event, body(price));
            }
        }
        Ok(())
    }
}

impl Data {
    fn take(&mut self, json: &mut Json<'_>, key: &[u8]) -> Read<()> {
        match key {
            b"OrderGuid" => json.field(&mut self.guid, "OrderGuid", guid),
            b"OrderType" => {
                let text = json.text()?;
                let found = match text {
                    _ if text.ends_with(b"Bid") => Side::Bid,
                    _ if text.ends_with(b"Offer") => Side::Ask,
                    _ => return Err(json.fault("LimitBid or LimitOffer")),
                };
                json.once(&mut self.side, found, "OrderType")
            }
            b"Volume" => json.field(&mut self.volume, "Volume", Json::decimal),
            b"Price" if json.peek() == b'{' => {
                let mut prices = [None; 4];
                json.object(|json, key| {
                    let at = CURRENCIES.iter().position(|currency| key.eq_ignore_ascii_case(currency.as_bytes()));
                    match at.and_then(|at| prices.get_mut(at)) {
                        Some(slot) => {
                            let found = json.decimal()?;
                            json.once(slot, found, "Price")
                        }
                        None => json.skip(),
                    }
                })?;
                json.once(&mut self.prices, prices, "Price")
            }
            b"Price" => json.field(&mut self.price, "Price", Json::decimal),
            b"Side" => json.field(&mut self.taker, "Side", |json| json.side(b"Buy", b"Sell", "Buy or Sell")),
            b"TradeDate" => json.field(&mut self.time, "TradeDate", trade_date),
            b"Message" if json.peek() == b'"' => {
                self.why = Some(json.name()?);
                Ok(())
            }
            _ => json.skip(),
        }
    }
}

/// `2024-01-03T18:15:05.9321664Z`, or with the offset `+00:00`, or with that of Sydney.
fn trade_date(json: &mut Json<'_>) -> Read<Nanos> {
    let mut copy = json.clone();
    if let Ok(found) = json.iso() {
        return Ok(found);
    }
    let fault = copy.fault("a time such as 2024-01-03T18:15:05.9321664Z");
    let text = copy.text()?;
    *json = copy;
    let split = text.len().checked_sub(6).ok_or(fault)?;
    let (local, offset) = text.split_at_checked(split).ok_or(fault)?;
    let &[sign, h1, h2, b':', m1, m2] = offset else { return Err(fault) };
    if !matches!(sign, b'+' | b'-') || ![h1, h2, m1, m2].iter().all(u8::is_ascii_digit) || local.len() > 30 {
        return Err(fault);
    }
    let digit = |byte: u8| i64::from(byte - b'0');
    let minutes = (digit(h1) * 10 + digit(h2)) * 60 + digit(m1) * 10 + digit(m2);
    let mut zulu = [0; 31];
    let slot = zulu.get_mut(..=local.len()).ok_or(fault)?;
    let (body, end) = slot.split_at_mut(local.len());
    body.copy_from_slice(local);
    end.copy_from_slice(b"Z");
    let local = super::json::iso_nanos(slot).ok_or(fault)?;
    let shift = minutes * 60_000_000_000;
    let utc = if sign == b'+' { local.0.checked_sub(shift) } else { local.0.checked_add(shift) };
    utc.map(Nanos).ok_or(fault)
}

/// A GUID, folded to 64 bits so that both halves reach every bit.
fn guid(json: &mut Json<'_>) -> Read<u64> {
    let fault = json.fault("a GUID");
    let text = json.text()?;
    let (mut value, mut count) = (0_u128, 0);
    for &byte in text {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b'-' => continue,
            _ => return Err(fault),
        };
        value = (value << 4) | u128::from(digit);
        count += 1;
    }
    if count != 32 {
        return Err(fault);
    }
    #[allow(clippy::cast_possible_truncation)] // the two halves
    let (high, low) = ((value >> 64) as u64, value as u64);
    Ok(mix(mix(high).wrapping_add(low)))
}

/// The finisher of splitmix64: one to one, and every bit of the input moves half the bits of the output.
const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn resting(json: &mut Json<'_>, side: Side, out: &mut Frame) -> Read<()> {
    let (mut id, mut price, mut size) = (None, None, None);
    json.object(|json, key| match key {
        b"Guid" => json.field(&mut id, "Guid", guid),
        b"Price" => json.field(&mut price, "Price", Json::decimal),
        b"Volume" => json.field(&mut size, "Volume", Json::decimal),
        _ => json.skip(),
    })?;
    let (price, size) = (Some(json.need(price, "Price")?), Some(json.need(size, "Volume")?));
    out.orders.push(Order { change: Change::Add, id: json.need(id, "Guid")?, side: Some(side), price, size });
    Ok(())
}

/// A currency by its ordinary code.
fn currency(code: &str) -> String {
    let code = code.to_ascii_uppercase();
    if code == "XBT" { "BTC".to_owned() } else { code }
}

fn describe(symbol: &str) -> Option<Instrument> {
    let symbol = symbol.to_ascii_lowercase();
    let (base, quote) = symbol.split_once('-')?;
    if base.is_empty() || !CURRENCIES.contains(&quote) {
        return None;
    }
    let (base, quote) = (currency(base), currency(quote));
    Some(Instrument::named(Venue::IndependentReserve, &symbol, Contract::Spot, &base, &quote))
}

/// The coins, each priced in every currency. Steps are not listed: prices show at most six decimals, sizes eight.
fn list(body: &[u8]) -> Result<Vec<Instrument>, String> {
    let codes: Vec<String> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let pairs = codes.iter().flat_map(|coin| CURRENCIES.iter().map(move |currency| (coin, currency)));
    Ok(pairs
        .filter_map(|(coin, currency)| {
            let mut found = describe(&format!("{coin}-{currency}"))?;
            (found.price_unit, found.size_unit) = (Unit::decimals(8), Unit::decimals(8));
            Some(found)
        })
        .collect())
}

#[cfg(test)]
mod tests;
