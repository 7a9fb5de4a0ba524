//! The general reader of Binance's messages: `serde_json`. It decides what is an error, and says where.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::{Binance, Message, Stream, aggressor, nanos};
use crate::feed::sync::{Level, Span};
use crate::feed::{FeedError, FeedErrorKind};
use crate::instrument::Venue;
use crate::units::{Nanos, Side, Unit, decimal_parts};

/// A frame that could not be read.
pub(super) struct Failure {
    pub error: FeedError,
    /// The stream that it belongs to, where the frame said so.
    pub stream: Option<usize>,
    /// Whether it was a depth message.
    pub depth: bool,
}

/// A string, borrowed from the frame unless it had to be unescaped.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    stream: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// Enough of a message to know what it is.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, rename = "e")]
    kind: Option<Text<'a>>,
    #[serde(borrow, alias = "symbol", rename = "s")]
    symbol: Option<Text<'a>>,
    #[serde(rename = "lastUpdateId")]
    snapshot: Option<IgnoredAny>,
    #[serde(rename = "u")]
    update: Option<IgnoredAny>,
    #[serde(rename = "B")]
    bid_size: Option<IgnoredAny>,
}

type Levels<'a> = Vec<(Text<'a>, Text<'a>)>;

#[derive(Deserialize)]
struct Depth<'a> {
    #[serde(rename = "E")]
    event_time: Option<u64>,
    #[serde(rename = "T")]
    engine_time: Option<u64>,
    #[serde(rename = "U")]
    first: u64,
    #[serde(rename = "u")]
    last: u64,
    #[serde(rename = "pu")]
    previous: Option<u64>,
    #[serde(borrow, rename = "b")]
    bids: Levels<'a>,
    #[serde(borrow, rename = "a")]
    asks: Levels<'a>,
}

#[derive(Deserialize)]
struct Snapshot<'a> {
    #[serde(rename = "lastUpdateId")]
    last: u64,
    #[serde(rename = "E")]
    event_time: Option<u64>,
    #[serde(rename = "T")]
    engine_time: Option<u64>,
    #[serde(borrow)]
    bids: Levels<'a>,
    #[serde(borrow)]
    asks: Levels<'a>,
}

#[derive(Deserialize)]
struct Quote<'a> {
    #[serde(rename = "E")]
    event_time: Option<u64>,
    #[serde(rename = "T")]
    engine_time: Option<u64>,
    #[serde(rename = "u")]
    last: u64,
    #[serde(borrow, rename = "b")]
    bid: Text<'a>,
    #[serde(borrow, rename = "B")]
    bid_size: Text<'a>,
    #[serde(borrow, rename = "a")]
    ask: Text<'a>,
    #[serde(borrow, rename = "A")]
    ask_size: Text<'a>,
}

#[derive(Deserialize)]
struct Trade<'a> {
    #[serde(rename = "E")]
    event_time: Option<u64>,
    #[serde(rename = "T")]
    engine_time: Option<u64>,
    #[serde(rename = "t")]
    id: u64,
    #[serde(borrow, rename = "p")]
    price: Text<'a>,
    #[serde(borrow, rename = "q")]
    size: Text<'a>,
    #[serde(rename = "m")]
    buyer_is_maker: bool,
    #[serde(borrow, rename = "X")]
    kind: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Mark<'a> {
    #[serde(rename = "E")]
    event_time: Option<u64>,
    #[serde(rename = "T")]
    due: Option<u64>,
    #[serde(borrow, rename = "p")]
    mark: Text<'a>,
    #[serde(borrow, rename = "i")]
    index: Option<Text<'a>>,
    #[serde(borrow, rename = "r")]
    funding: Option<Text<'a>>,
}

/// One message while it is read: what errors need to say where they are.
struct Reading<'a> {
    feed: &'a Binance,
    frame: &'a [u8],
    body: &'a str,
    stream: Option<usize>,
    symbol: String,
    depth: bool,
}

impl Binance {
    /// Reads any message.
    pub(super) fn read(&self, frame: &[u8], levels: &mut Vec<Level>) -> Result<(usize, Message), Box<Failure>> {
        levels.clear();
        let mut reading = Reading { feed: self, frame, body: "", stream: None, symbol: String::new(), depth: false };
        let text = std::str::from_utf8(frame)
            .map_err(|error| reading.malformed(error.valid_up_to(), "expected UTF-8".to_owned()))?;
        reading.body = text;
        let envelope: Envelope<'_> = reading.parse()?;
        if let (Some(_), Some(data)) = (&envelope.stream, envelope.data) {
            reading.body = data.get();
        }
        let head: Head<'_> = reading.parse()?;
        let kind = match (head.kind.as_deref(), head.snapshot, head.update, head.bid_size) {
            (Some(kind), ..) => kind,
            (None, Some(_), ..) => "snapshot",
            (None, None, Some(_), Some(_)) => "bookTicker",
            _ => return Ok((usize::MAX, Message::Other)),
        };
        reading.depth = kind == "depthUpdate";
        if !matches!(kind, "depthUpdate" | "snapshot" | "bookTicker" | "trade" | "markPriceUpdate") {
            return Ok((usize::MAX, Message::Other));
        }
        let sole = (kind == "snapshot" && self.streams.len() == 1).then_some(0);
        reading.symbol = cut(head.symbol.as_deref().unwrap_or_default(), 48);
        reading.stream = match &head.symbol {
            Some(symbol) => self.find(symbol.as_bytes()),
            None => sole,
        };
        let Some((at, stream)) = reading.stream.and_then(|at| Some((at, self.streams.get(at)?))) else {
            return Err(reading.fail(0, 0, FeedErrorKind::UnknownSymbol));
        };
        let message = match kind {
            "depthUpdate" => {
                let m: Depth<'_> = reading.parse()?;
                reading.levels(stream, m.last, [&m.bids, &m.asks], levels)?;
                let ts_event = reading.time(m.engine_time.or(m.event_time), m.last)?;
                Message::Depth(Span { first: m.first, last: m.last, previous: m.previous, ts_event })
            }
            "snapshot" => {
                let m: Snapshot<'_> = reading.parse()?;
                reading.levels(stream, m.last, [&m.bids, &m.asks], levels)?;
                Message::Snapshot { last: m.last, ts_event: reading.time(m.engine_time.or(m.event_time), m.last)? }
            }
            "bookTicker" => {
                let m: Quote<'_> = reading.parse()?;
                let (price, size) = (stream.price.unit(), stream.size.unit());
                Message::Quote {
                    ts_event: reading.time(m.engine_time.or(m.event_time), m.last)?,
                    sequence: m.last,
                    bid: (reading.price("b", &m.bid, price, m.last)?, reading.size("B", &m.bid_size, size, m.last)?),
                    ask: (reading.price("a", &m.ask, price, m.last)?, reading.size("A", &m.ask_size, size, m.last)?),
                }
            }
            "trade" => {
                let m: Trade<'_> = reading.parse()?;
                Message::Trade {
                    ts_event: reading.time(m.engine_time.or(m.event_time), m.id)?,
                    id: m.id,
                    price: reading.price("p", &m.price, stream.price.unit(), m.id)?,
                    size: reading.size("q", &m.size, stream.size.unit(), m.id)?,
                    side: aggressor(m.buyer_is_maker),
                    market: m.kind.is_none_or(|kind| &*kind == "MARKET"),
                }
            }
            _ => {
                let m: Mark<'_> = reading.parse()?;
                let unit = Unit::decimals(10);
                let value = |field, text: &Option<Text<'_>>| match text.as_deref() {
                    None | Some("") => Ok(None),
                    Some(text) => reading.price(field, text, unit, 0).map(Some),
                };
                let funding = value("r", &m.funding)?;
                let due = reading.time(m.due, 0)?;
                Message::Mark {
                    ts_event: reading.time(m.event_time, 0)?,
                    mark: reading.price("p", &m.mark, unit, 0)?,
                    index: value("i", &m.index)?,
                    funding: funding.map(|rate| (rate, due.0)),
                }
            }
        };
        Ok((at, message))
    }
}

impl<'a> Reading<'a> {
    fn parse<T: Deserialize<'a>>(&self) -> Result<T, Box<Failure>> {
        serde_json::from_str(self.body).map_err(|error| {
            // A frame is one line, so the column counts its bytes.
            let offset = self.offset(self.body) + error.column().saturating_sub(1);
            self.malformed(offset, error.to_string())
        })
    }

    fn malformed(&self, offset: usize, message: String) -> Box<Failure> {
        self.fail(offset, 0, FeedErrorKind::Malformed { venue: self.feed.venue, message: cut(&message, 160) })
    }

    fn fail(&self, offset: usize, sequence: u64, kind: FeedErrorKind) -> Box<Failure> {
        let error = FeedError { venue: self.feed.venue, symbol: self.symbol.clone(), sequence, offset, kind };
        Box::new(Failure { error, stream: self.stream, depth: self.depth })
    }

    /// Where a part of the frame stands in it. Text that had to be unescaped lies elsewhere: then 0.
    fn offset(&self, part: &str) -> usize {
        let at = (part.as_ptr() as usize).wrapping_sub(self.frame.as_ptr() as usize);
        if at <= self.frame.len() { at } else { 0 }
    }

    fn time(&self, time: Option<u64>, sequence: u64) -> Result<Nanos, Box<Failure>> {
        let Some(time) = time else { return Ok(Nanos::UNKNOWN) };
        nanos(time).ok_or_else(|| {
            let shown = i64::try_from(time).unwrap_or(i64::MAX);
            self.fail(self.offset(self.body), sequence, FeedErrorKind::Time(shown))
        })
    }

    fn price(&self, field: &'static str, text: &str, unit: Unit, sequence: u64) -> Result<i64, Box<Failure>> {
        unit.parse_count(text.as_bytes()).map_err(|error| {
            let kind = FeedErrorKind::Decimal { field, text: cut(text, 48), error };
            self.fail(self.offset(text), sequence, kind)
        })
    }

    fn size(&self, field: &'static str, text: &str, unit: Unit, sequence: u64) -> Result<i64, Box<Failure>> {
        let size = self.price(field, text, unit, sequence)?;
        if size < 0 {
            let kind = FeedErrorKind::NegativeSize { field, text: cut(text, 48) };
            return Err(self.fail(self.offset(text), sequence, kind));
        }
        Ok(size)
    }

    fn levels(
        &self,
        stream: &Stream,
        sequence: u64,
        sides: [&Levels<'_>; 2],
        out: &mut Vec<Level>,
    ) -> Result<(), Box<Failure>> {
        for (side, field, levels) in [(Side::Bid, "b", sides[0]), (Side::Ask, "a", sides[1])] {
            for (price, size) in levels {
                let price = self.price(field, price, stream.price.unit(), sequence)?;
                let size = self.size(field, size, stream.size.unit(), sequence)?;
                out.push(Level { side, price, size });
            }
        }
        Ok(())
    }
}

/// Hostile text is shown, but not at any length.
fn cut(text: &str, length: usize) -> String {
    text.chars().take(length).collect()
}

/// The finest decimals that prices and sizes of a capture show, zeros stripped.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decimals {
    price: Finest,
    size: Finest,
}

/// The finest decimals of one field, and its most digits before the point: together they must fit 18.
#[derive(Clone, Copy, Debug, Default)]
struct Finest {
    decimals: u8,
    whole: u8,
}

impl Finest {
    fn see(&mut self, text: &str) {
        // Finer or larger than anything that trades: the reader will refuse it, so it must not choose the unit.
        let Ok((_, digits @ 1..=999_999_999_999_999_999, exponent @ -12..=12)) = decimal_parts(text.as_bytes()) else {
            return;
        };
        let whole = i32::try_from(digits.ilog10()).unwrap_or(0) + 1 + exponent;
        if whole <= 12 {
            self.decimals = self.decimals.max(u8::try_from(-exponent).unwrap_or(0));
            self.whole = self.whole.max(u8::try_from(whole).unwrap_or(0));
        }
    }

    const fn unit(self) -> Unit {
        let room = 18 - self.whole;
        Unit::decimals(if self.decimals < room { self.decimals } else { room })
    }
}

impl Decimals {
    /// Looks at one frame. What is no depth, quote or trade says nothing.
    pub fn observe(&mut self, frame: &[u8]) {
        let Some(body) = body(frame) else { return };
        if let Ok(m) = serde_json::from_str::<Depth<'_>>(body) {
            m.bids.iter().chain(&m.asks).for_each(|(price, size)| self.see(price, size));
        } else if let Ok(m) = serde_json::from_str::<Quote<'_>>(body) {
            self.see(&m.bid, &m.bid_size);
            self.see(&m.ask, &m.ask_size);
        } else if let Ok(m) = serde_json::from_str::<Trade<'_>>(body) {
            self.see(&m.price, &m.size);
        } else if let Ok(m) = serde_json::from_str::<Snapshot<'_>>(body) {
            m.bids.iter().chain(&m.asks).for_each(|(price, size)| self.see(price, size));
        }
    }

    fn see(&mut self, price: &str, size: &str) {
        self.price.see(price);
        self.size.see(size);
    }

    /// The units of price and size.
    #[must_use]
    pub const fn units(&self) -> (Unit, Unit) {
        (self.price.unit(), self.size.unit())
    }
}

fn body(frame: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(frame).ok()?;
    let envelope: Envelope<'_> = serde_json::from_str(text).ok()?;
    Some(envelope.data.filter(|_| envelope.stream.is_some()).map_or(text, RawValue::get))
}

impl Binance {
    /// Which venue and symbol a frame belongs to, where it says so.
    #[must_use]
    pub fn recognise(frame: &[u8]) -> Option<(Venue, String)> {
        let value: serde_json::Value = serde_json::from_str(body(frame)?).ok()?;
        let symbol = value.get("s")?.as_str()?.to_ascii_uppercase();
        // Coin-margined symbols carry their delivery, futures carry an engine time on depth and quotes.
        let venue = match value.get("e").and_then(serde_json::Value::as_str) {
            Some("depthUpdate" | "bookTicker") if value.get("T").is_some() => {
                let pair = symbol.split('_').next().unwrap_or_default();
                if symbol.contains('_') && pair.ends_with("USD") { Venue::BinanceCoinm } else { Venue::BinanceUsdm }
            }
            Some("depthUpdate") | None => Venue::BinanceSpot,
            _ => return None,
        };
        Some((venue, symbol))
    }
}
