//! Websocket v1 of Kraken, for older captures, and the REST book, which is written as its levels are.

use super::super::json::{Fault, FaultKind, Json, Read};
use super::super::message::{Body, Frame, Level, Link, Symbol};
use super::super::protocol::{Channel, Dialect, quoted};
use super::{SYMBOLS_PER_REQUEST, crc, depth_of};
use crate::units::{Nanos, Side};

/// One connection that speaks v1.
#[derive(Debug)]
pub(super) struct V1;

impl Dialect for V1 {
    fn read(&mut self, frame: &[u8], out: &mut Frame) -> Read<()> {
        let mut json = Json::new(frame);
        if json.peek() == b'{' {
            event(&mut json, out)?
        } else {
            data(&mut json, frame, out)?
        }
        json.end()
    }

    fn read_snapshot(&mut self, body: &[u8], out: &mut Frame) -> Read<()> {
        rest_book(body, out)
    }

    fn subscribe(&mut self, on: bool, symbols: &[&str], channels: &[Channel], depth: u16, out: &mut Vec<String>) {
        let event = if on { "subscribe" } else { "unsubscribe" };
        for channel in channels {
            let what = match channel {
                Channel::Book => format!("\"name\":\"book\",\"depth\":{}", depth_of(depth.into())),
                Channel::Trades => "\"name\":\"trade\"".to_owned(),
                Channel::Quotes => "\"name\":\"spread\"".to_owned(),
                Channel::Marks => continue,
            };
            for symbols in symbols.chunks(SYMBOLS_PER_REQUEST) {
                let pairs = quoted(symbols);
                out.push(format!("{{\"event\":\"{event}\",\"pair\":[{pairs}],\"subscription\":{{{what}}}}}"));
            }
        }
    }
}

/// A message that is an object: no data.
fn event(json: &mut Json<'_>, out: &mut Frame) -> Read<()> {
    let (mut event, mut status, mut pair, mut error) = (None, None, None, None);
    json.object(|json, key| match key {
        b"event" => json.field(&mut event, "event", Json::text),
        b"status" => json.field(&mut status, "status", Json::text),
        b"pair" if json.peek() == b'"' => json.field(&mut pair, "pair", Json::name),
        b"errorMessage" => json.field(&mut error, "errorMessage", Json::name),
        _ => json.skip(),
    })?;
    let symbol = pair.map_or(Symbol::None, Symbol::At);
    let body = match (json.need(event, "event")?, status, error) {
        (b"heartbeat" | b"pong", ..) => Body::Heartbeat,
        (b"subscriptionStatus", Some(b"subscribed"), _) => Body::Subscribed,
        (b"subscriptionStatus" | b"error", _, Some(error)) => Body::Refused(error),
        _ => Body::Other,
    };
    out.push(symbol, Nanos::UNKNOWN, body);
    Ok(())
}

/// The last two strings of a frame that ends as v1's data do, `…,"book-1000","XBT/USD"]`: they come after what they
/// name.
fn tail(frame: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = frame.trim_ascii_end().strip_suffix(b"]")?;
    let text = |rest: &'_ [u8]| -> Option<(usize, usize)> {
        let end = rest.trim_ascii_end().strip_suffix(b"\"")?.len();
        let start = rest.get(..end)?.iter().rposition(|&byte| byte == b'"')?;
        Some((start, end))
    };
    let (pair_start, pair_end) = text(rest)?;
    let before = rest.get(..pair_start)?.trim_ascii_end().strip_suffix(b",")?;
    let (start, end) = text(before)?;
    Some((before.get(start + 1..end)?, rest.get(pair_start + 1..pair_end)?))
}

/// A message that is an array: `[channel id, payload, …, channel name, pair]`.
#[inline]
fn data(json: &mut Json<'_>, frame: &[u8], out: &mut Frame) -> Read<()> {
    let unnamed = Fault { at: 0, kind: FaultKind::Expected("an array that ends in a channel and a pair") };
    let (channel, pair) = tail(frame).ok_or(unnamed)?;
    if channel.contains(&b'\\') {
        return Err(Fault { at: 0, kind: FaultKind::Escape });
    }
    let symbol = Symbol::At(json.place(pair));
    out.symbol = Some(symbol);
    json.open()?;
    json.unsigned()?;
    json.comma()?;
    let depth = channel.strip_prefix(b"book-");
    if depth.is_some() || channel == b"book" {
        out.channel = Some(Channel::Book);
        out.depth = depth.and_then(|depth| std::str::from_utf8(depth).ok()).and_then(|depth| depth.parse().ok());
        book(json, symbol, out)?;
    } else {
        match channel {
            b"trade" => {
                out.channel = Some(Channel::Trades);
                json.array(|json| trade(json, symbol, out))?;
            }
            b"ticker" => {
                out.channel = Some(Channel::Quotes);
                ticker(json, symbol, out)?;
            }
            b"spread" => {
                out.channel = Some(Channel::Quotes);
                spread(json, symbol, out)?;
            }
            _ => {
                out.channel = Some(Channel::Marks);
                json.skip()?;
                out.push(symbol, Nanos::UNKNOWN, Body::Other);
            }
        }
    }
    json.comma()?;
    if json.text()? != channel {
        return Err(json.fault("the channel's name"));
    }
    json.comma()?;
    if json.text()? != pair {
        return Err(json.fault("the pair"));
    }
    json.close()
}

/// One payload or, where both sides changed, two.
#[inline]
fn book(json: &mut Json<'_>, symbol: Symbol, out: &mut Frame) -> Read<()> {
    let (mut all_asks, mut all_bids, mut asks, mut bids, mut checksum) = (None, None, None, None, None);
    let mut latest = Nanos::UNKNOWN;
    loop {
        json.object(|json, key| {
            let (slot, side, field) = match key {
                b"as" => (&mut all_asks, Side::Ask, "as"),
                b"bs" => (&mut all_bids, Side::Bid, "bs"),
                b"a" => (&mut asks, Side::Ask, "a"),
                b"b" => (&mut bids, Side::Bid, "b"),
                b"c" => {
                    let sum = crc(json)?;
                    return json.once(&mut checksum, sum, "c");
                }
                _ => return json.skip(),
            };
            json.once(slot, (), field)?;
            levels(json, side, &mut latest, out)
        })?;
        let mut next = json.clone();
        if next.comma().is_err() || next.peek() != b'{' {
            break;
        }
        *json = next;
    }
    let snapshot = all_asks.is_some() || all_bids.is_some();
    if snapshot {
        json.need(all_asks, "as")?;
        json.need(all_bids, "bs")?;
        if asks.is_some() || bids.is_some() {
            return Err(json.fault("a snapshot or changes, not both"));
        }
    } else {
        json.need(asks.or(bids), "a or b")?;
        json.need(checksum, "c")?;
    }
    let levels = 0..out.levels.len();
    out.push(symbol, latest, Body::Levels { snapshot, link: Link::None, checksum, levels });
    Ok(())
}

/// Levels as `["price","volume","time"]`; those that come into view again have an `"r"` behind.
#[inline]
fn levels(json: &mut Json<'_>, side: Side, latest: &mut Nanos, out: &mut Frame) -> Read<()> {
    json.array(|json| {
        json.open()?;
        let price = json.decimal()?;
        json.comma()?;
        let size = json.decimal()?;
        json.comma()?;
        *latest = (*latest).max(json.decimal()?.seconds()?);
        out.levels.push(Level { price, size, side });
        json.close()
    })
}

/// `["price","volume","time","b or s","order type","misc"]`: no id.
fn trade(json: &mut Json<'_>, symbol: Symbol, out: &mut Frame) -> Read<()> {
    json.open()?;
    let price = json.decimal()?;
    json.comma()?;
    let size = json.decimal()?;
    json.comma()?;
    let time = json.decimal()?.seconds()?;
    json.comma()?;
    let side = json.side(b"b", b"s", "b or s")?;
    out.push(symbol, time, Body::Trade { id: 0, price, size, side: Some(side), silent: false });
    json.close()
}

/// `["bid","ask","time","bid volume","ask volume"]`.
fn spread(json: &mut Json<'_>, symbol: Symbol, out: &mut Frame) -> Read<()> {
    json.open()?;
    let bid = json.decimal()?;
    json.comma()?;
    let ask = json.decimal()?;
    json.comma()?;
    let time = json.decimal()?.seconds()?;
    json.comma()?;
    let bid_size = json.decimal()?;
    json.comma()?;
    let ask_size = json.decimal()?;
    out.push(symbol, time, Body::Quote { sequence: 0, bid: Some((bid, bid_size)), ask: Some((ask, ask_size)) });
    json.close()
}

/// `{"a":["price",whole lots,"volume"],"b":[…],…}`: no time.
fn ticker(json: &mut Json<'_>, symbol: Symbol, out: &mut Frame) -> Read<()> {
    let (mut bid, mut ask) = (None, None);
    json.object(|json, key| {
        let (slot, field) = match key {
            b"a" => (&mut ask, "a"),
            b"b" => (&mut bid, "b"),
            _ => return json.skip(),
        };
        json.open()?;
        let price = json.decimal()?;
        json.comma()?;
        json.skip()?;
        json.comma()?;
        let size = json.decimal()?;
        json.once(slot, (price, size), field)?;
        json.close()
    })?;
    let (bid, ask) = (Some(json.need(bid, "b")?), Some(json.need(ask, "a")?));
    out.push(symbol, Nanos::UNKNOWN, Body::Quote { sequence: 0, bid, ask });
    Ok(())
}

/// The answer to `/0/public/Depth`, one pair: `{"error":[],"result":{"XXBTZUSD":{"asks":[["p","v",time]],"bids":[]}}}`.
pub(super) fn rest_book(body: &[u8], out: &mut Frame) -> Read<()> {
    out.channel = Some(Channel::Book);
    let mut json = Json::new(body);
    let (mut bids, mut asks, mut result) = (None, None, None);
    let mut latest = Nanos::UNKNOWN;
    json.object(|json, key| match key {
        b"result" => {
            json.once(&mut result, (), "result")?;
            json.object(|json, _| {
                json.object(|json, key| match key {
                    b"asks" => {
                        json.once(&mut asks, (), "asks")?;
                        levels(json, Side::Ask, &mut latest, out)
                    }
                    b"bids" => {
                        json.once(&mut bids, (), "bids")?;
                        levels(json, Side::Bid, &mut latest, out)
                    }
                    _ => json.skip(),
                })
            })
        }
        _ => json.skip(),
    })?;
    json.end()?;
    json.need(asks, "asks")?;
    json.need(bids, "bids")?;
    let levels = 0..out.levels.len();
    out.push(Symbol::Asked, latest, Body::Levels { snapshot: true, link: Link::None, checksum: None, levels });
    Ok(())
}
