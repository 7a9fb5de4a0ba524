//! Bitfinex, websocket v2.
//!
//! With the sequence flag set, every frame of a channel ends in a number that counts the frames of the connection,
//! step one, heartbeats included: a hole is a loss, of nobody knows which channel. A book begins with all its levels in
//! one array; a level of count 0 is gone, and the sign of the amount tells its side. With the checksum flag the venue
//! sends now and then the CRC-32 of the 25 best levels as they stand after all that came before. Rules: the venue's
//! documentation, a real capture of 2021, checksums of the venue's own tests.
//!
//! The sizes of a `ticker` are sums over the 25 best levels and carry the noise of their summing (seen in the capture),
//! so a ticker is no quote. A book of one level is, and is what quotes are taken from.

use super::json::{Decimal, Fault, FaultKind, Json, Read};
use super::message::{Body, Change, Frame, Level, Link, MAX_NAME, Order, Symbol};
use super::protocol::{Channel, ChecksumRule, ChecksumText, Dialect, Protocol, RestLimit, SnapshotFrom};
use crate::instrument::{Contract, Instrument, Venue};
use crate::units::{Nanos, Side, Unit};

/// The protocols of this file.
pub(super) const PROTOCOLS: &[Protocol] = &[Protocol {
    name: "bitfinex-v2",
    venue: Venue::Bitfinex,
    valid: ("", ""),
    url: "wss://api-pub.bitfinex.com/ws/2",
    mark: "bitfinex.com/ws/2",
    rest: "https://api-pub.bitfinex.com",
    snapshot_path: "",
    instruments_paths: &["/v2/conf/pub:list:pair:exchange", "/v2/conf/pub:list:pair:futures"],
    snapshot: SnapshotFrom::Stream,
    counts_frames: true,
    counts_trades: false,
    links: false,
    checksum: Some(ChecksumRule { text: ChecksumText::JavaScript, levels: 25 }),
    depth: 250,
    cuts: false,
    cross_resyncs: false,
    keep_alive: None,
    silence: 30,
    // Some 25 channels a connection, and an instrument may need four.
    per_connection: 6,
    sends_per_second: 10,
    limit: RestLimit { weight: 1, per_minute: 30 },
    source: "venue documentation, real capture of 2021, the venue's own test vectors; limits from memory",
    dialect: || Box::new(Bitfinex::default()),
    list,
    describe,
}];

/// Timestamps, sequence numbers, book checksums.
const FLAGS: u32 = 32_768 + 65_536 + 131_072;
/// A trailing number as large as this is a time in ms: no connection sees so many frames.
const TIME: u64 = 1_000_000_000_000;
/// The code of an error that says: subscribed already.
const DUPLICATE: i64 = 10_301;
/// The depths that the venue offers.
const DEPTHS: [u16; 4] = [1, 25, 100, 250];

/// What a channel carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    /// Levels by price.
    Book,
    /// The best level of each side.
    Best,
    /// Orders.
    Raw,
    Trades,
    Ticker,
    /// Status of a derivative.
    Status,
    #[default]
    Other,
}

impl Kind {
    const fn channel(self) -> Option<Channel> {
        match self {
            Self::Book | Self::Raw => Some(Channel::Book),
            Self::Best | Self::Ticker => Some(Channel::Quotes),
            Self::Trades => Some(Channel::Trades),
            Self::Status => Some(Channel::Marks),
            Self::Other => None,
        }
    }
}

/// A numbered channel of this connection.
#[derive(Clone, Copy, Debug)]
struct Open {
    id: u64,
    kind: Kind,
    /// Its place among the names.
    name: u32,
    /// It was given up: what still comes is not wanted.
    leaving: bool,
}

/// One connection.
#[derive(Debug, Default)]
struct Bitfinex {
    /// By number.
    open: Vec<Open>,
    names: Vec<String>,
    configured: bool,
}

/// What the piece between number and sequence came to; what has no time of its own waits for the frame's.
enum Found {
    Nothing,
    Heartbeat,
    Levels { snapshot: bool },
    Orders { snapshot: bool },
    Quote { bid: Option<(Decimal, Decimal)>, ask: Option<(Decimal, Decimal)> },
    Checksum(u32),
}

impl Dialect for Bitfinex {
    fn read(&mut self, frame: &[u8], out: &mut Frame) -> Read<()> {
        let mut json = Json::new(frame);
        if json.peek() == b'{' {
            return self.event(&mut json, out);
        }
        json.open()?;
        let known = if json.peek() == b'{' { Some(described(&mut json)?) } else { self.known(json.unsigned()?) };
        if let Some((kind, symbol)) = known {
            (out.channel, out.symbol) = (kind.channel(), Some(symbol));
        }
        json.comma()?;
        let found = data(&mut json, known, out)?;
        let mut ts_event = Nanos::UNKNOWN;
        while json.peek() == b',' {
            json.comma()?;
            if !json.peek().is_ascii_digit() {
                json.skip()?;
                continue;
            }
            let at = json.at();
            let number = json.unsigned()?;
            if number < TIME {
                json.once(&mut out.counter, number, "sequence")?;
            } else {
                ts_event = i64::try_from(number)
                    .ok()
                    .and_then(|ms| ms.checked_mul(1_000_000))
                    .map(Nanos)
                    .ok_or(Fault { at, kind: FaultKind::Time })?;
            }
        }
        json.close()?;
        json.end()?;
        let symbol = known.map_or(Symbol::None, |(_, symbol)| symbol);
        let body = match found {
            Found::Nothing => return Ok(()),
            Found::Heartbeat => Body::Heartbeat,
            Found::Checksum(checksum) => Body::Checksum(checksum),
            Found::Quote { bid, ask } => Body::Quote { sequence: 0, bid, ask },
            Found::Levels { snapshot } => {
                Body::Levels { snapshot, link: Link::None, checksum: None, levels: 0..out.levels.len() }
            }
            Found::Orders { snapshot } => Body::Orders { snapshot, link: Link::None, orders: 0..out.orders.len() },
        };
        out.push(symbol, ts_event, body);
        Ok(())
    }

    fn read_snapshot(&mut self, body: &[u8], out: &mut Frame) -> Read<()> {
        let mut json = Json::new(body);
        json.array(|json| level(json, out))?;
        json.end()?;
        let levels = 0..out.levels.len();
        let body = Body::Levels { snapshot: true, link: Link::None, checksum: None, levels };
        out.push(Symbol::Asked, Nanos::UNKNOWN, body);
        Ok(())
    }

    fn name(&self, known: u32) -> &str {
        usize::try_from(known).ok().and_then(|known| self.names.get(known)).map_or("", String::as_str)
    }

    fn subscribe(&mut self, on: bool, symbols: &[&str], channels: &[Channel], depth: u16, out: &mut Vec<String>) {
        if !on {
            let names = &self.names;
            for open in &mut self.open {
                let name = usize::try_from(open.name).ok().and_then(|name| names.get(name));
                let wanted = open.kind.channel().is_some_and(|channel| channels.contains(&channel));
                if wanted && !open.leaving && name.is_some_and(|name| symbols.contains(&name.as_str())) {
                    open.leaving = true;
                    out.push(format!("{{\"event\":\"unsubscribe\",\"chanId\":{}}}", open.id));
                }
            }
            return;
        }
        if !std::mem::replace(&mut self.configured, true) {
            out.push(format!("{{\"event\":\"conf\",\"flags\":{FLAGS}}}"));
        }
        let depth = if depth == 0 { 250 } else { depth };
        let depth = DEPTHS.into_iter().find(|offered| *offered >= depth).unwrap_or(250);
        // A book of one level is a quote here; a book is more.
        let depth = depth.max(25);
        let book = |symbol: &str, depth: u16| {
            format!(
                "{{\"event\":\"subscribe\",\"channel\":\"book\",\"symbol\":\"{symbol}\",\"prec\":\"P0\",\
                 \"freq\":\"F0\",\"len\":\"{depth}\"}}"
            )
        };
        for symbol in symbols {
            for channel in channels {
                match channel {
                    Channel::Book => out.push(book(symbol, depth)),
                    Channel::Quotes => out.push(book(symbol, 1)),
                    Channel::Trades => {
                        out.push(format!("{{\"event\":\"subscribe\",\"channel\":\"trades\",\"symbol\":\"{symbol}\"}}"))
                    }
                    // Only derivatives have marks.
                    Channel::Marks if symbol.contains("F0:") => out
                        .push(format!("{{\"event\":\"subscribe\",\"channel\":\"status\",\"key\":\"deriv:{symbol}\"}}")),
                    Channel::Marks => {}
                }
            }
        }
    }

    fn reset(&mut self) {
        // Names keep their places: whoever remembers a number must not find another name behind it.
        self.open.clear();
        self.configured = false;
    }
}

/// The venue allows some thirty a connection; resubscriptions add to them.
const MAX_CHANNELS: usize = 1 << 12;

impl Bitfinex {
    #[inline]
    fn known(&self, id: u64) -> Option<(Kind, Symbol)> {
        let at = self.open.binary_search_by_key(&id, |open| open.id).ok()?;
        let open = self.open.get(at)?;
        Some((if open.leaving { Kind::Other } else { open.kind }, Symbol::Known(open.name)))
    }

    fn subscribed(&mut self, id: u64, kind: Kind, symbol: &[u8]) -> u32 {
        // No venue has so many channels, or such names; a hostile one may not fill the memory with them.
        if self.names.len() > MAX_CHANNELS || self.open.len() > MAX_CHANNELS {
            self.names.clear();
            self.open.clear();
        }
        let symbol = String::from_utf8_lossy(symbol.get(..MAX_NAME).unwrap_or(symbol));
        let at = self.names.iter().position(|name| *name == symbol).unwrap_or_else(|| {
            self.names.push(symbol.into_owned());
            self.names.len() - 1
        });
        let name = u32::try_from(at).unwrap_or(u32::MAX);
        let open = Open { id, kind, name, leaving: false };
        match self.open.binary_search_by_key(&id, |open| open.id) {
            Ok(at) => {
                if let Some(place) = self.open.get_mut(at) {
                    *place = open;
                }
            }
            Err(at) => self.open.insert(at, open),
        }
        name
    }

    fn event(&mut self, json: &mut Json<'_>, out: &mut Frame) -> Read<()> {
        let mut event = None;
        let (mut id, mut code, mut said, mut status) = (None, None, None, None);
        let mut about = Description::default();
        json.object(|json, key| match key {
            b"event" => json.field(&mut event, "event", Json::text),
            b"chanId" => json.field(&mut id, "chanId", Json::unsigned),
            b"code" => json.field(&mut code, "code", Json::signed),
            b"msg" if json.peek() == b'"' => json.field(&mut said, "msg", Json::name),
            b"status" if json.peek() == b'"' => json.field(&mut status, "status", Json::name),
            _ => about.take(json, key),
        })?;
        json.end()?;
        let kind = about.kind();
        match json.need(event, "event")? {
            b"subscribed" => {
                let (id, symbol) = (json.need(id, "chanId")?, json.need(about.symbol, "symbol")?);
                let known = Symbol::Known(self.subscribed(id, kind, symbol));
                (out.channel, out.symbol) = (kind.channel(), Some(known));
                out.push(known, Nanos::UNKNOWN, Body::Subscribed);
            }
            b"unsubscribed" => {
                let id = json.need(id, "chanId")?;
                self.open.retain(|open| open.id != id);
            }
            // What was subscribed before still stands.
            b"error" if code == Some(DUPLICATE) => {}
            b"error" => {
                (out.channel, out.symbol) = (kind.channel(), about.symbol.map(|symbol| Symbol::At(json.place(symbol))));
                let what = json.need(said.or(event.map(|event| json.place(event))), "msg")?;
                // Without its trades an instrument still has its book.
                let symbol = out.symbol.filter(|_| kind == Kind::Book).unwrap_or(Symbol::None);
                out.push(symbol, Nanos::UNKNOWN, Body::Refused(what));
            }
            b"conf" => {
                if let Some(status) = status.filter(|_| about.failed) {
                    out.push(Symbol::None, Nanos::UNKNOWN, Body::Refused(status));
                }
            }
            // 20051: the server restarts. 20061: a pause for maintenance (20060) is over, and all channels must be
            // subscribed anew.
            b"info" if matches!(code, Some(20_051 | 20_061)) => {
                out.push(Symbol::None, Nanos::UNKNOWN, Body::Reconnect);
            }
            b"pong" => out.push(Symbol::None, Nanos::UNKNOWN, Body::Heartbeat),
            _ => {}
        }
        Ok(())
    }
}

/// What names a channel, in acknowledgements and in tapes that write it in place of the number.
#[derive(Default)]
struct Description<'a> {
    channel: Option<&'a [u8]>,
    symbol: Option<&'a [u8]>,
    precision: Option<&'a [u8]>,
    depth: Option<u16>,
    failed: bool,
}

impl<'a> Description<'a> {
    fn take(&mut self, json: &mut Json<'a>, key: &[u8]) -> Read<()> {
        match key {
            b"channel" => json.field(&mut self.channel, "channel", Json::text),
            b"symbol" if json.peek() == b'"' => json.field(&mut self.symbol, "symbol", Json::text),
            // `deriv:tBTCF0:USTF0`, `trade:1m:tBTCUSD`: of the first kind all after the colon is the symbol.
            b"key" if json.peek() == b'"' => {
                let key = json.text()?;
                let name = key.strip_prefix(b"deriv:").unwrap_or(key);
                json.once(&mut self.symbol, name, "key")
            }
            b"prec" if json.peek() == b'"' => json.field(&mut self.precision, "prec", Json::text),
            b"len" => {
                let depth = json.unsigned()?;
                json.once(&mut self.depth, u16::try_from(depth).unwrap_or(u16::MAX), "len")
            }
            b"flags" => {
                self.failed = !json.peek().is_ascii_digit();
                json.skip()
            }
            _ => json.skip(),
        }
    }

    fn kind(&self) -> Kind {
        match (self.channel, self.symbol) {
            // What is lent for interest has other arrays, and is nothing that we know.
            (_, Some([b'f', ..])) => Kind::Other,
            (Some(b"book"), _) if self.precision == Some(b"R0") => Kind::Raw,
            (Some(b"book"), _) if self.depth == Some(1) => Kind::Best,
            (Some(b"book"), _) => Kind::Book,
            (Some(b"trades"), _) => Kind::Trades,
            (Some(b"ticker"), _) => Kind::Ticker,
            (Some(b"status"), Some([b't', ..])) => Kind::Status,
            _ => Kind::Other,
        }
    }
}

fn described(json: &mut Json<'_>) -> Read<(Kind, Symbol)> {
    let mut about = Description::default();
    json.object(|json, key| about.take(json, key))?;
    let symbol = json.need(about.symbol, "symbol")?;
    Ok((about.kind(), Symbol::At(json.place(symbol))))
}

#[inline]
fn data(json: &mut Json<'_>, known: Option<(Kind, Symbol)>, out: &mut Frame) -> Read<Found> {
    if json.peek() == b'"' {
        match json.text()? {
            // Heartbeats may come before the acknowledgement of their channel.
            b"hb" => return Ok(Found::Heartbeat),
            b"cs" => {
                json.comma()?;
                let at = json.at();
                let checksum = json.signed()?;
                // The venue prints it as a signed number of 32 bits.
                let bits = i32::try_from(checksum)
                    .map(|signed| u32::from_ne_bytes(signed.to_ne_bytes()))
                    .or_else(|_| u32::try_from(checksum))
                    .map_err(|_| Fault { at, kind: FaultKind::Expected("a checksum of 32 bits") })?;
                let wanted = matches!(known, Some((Kind::Book, _)));
                return Ok(if wanted { Found::Checksum(bits) } else { Found::Nothing });
            }
            b"te" => {
                json.comma()?;
                match known {
                    Some((Kind::Trades, symbol)) => trade(json, symbol, false, out)?,
                    Some(_) => json.skip()?,
                    None => return Err(json.fault("a channel that was subscribed")),
                }
            }
            // `tu` is the same trade again, with what is private of it.
            _ => {}
        }
        return Ok(Found::Nothing);
    }
    let Some((kind, symbol)) = known else { return Err(json.fault("a channel that was subscribed")) };
    match kind {
        Kind::Book => {
            let snapshot = each(json, |json| level(json, out))?;
            Ok(Found::Levels { snapshot })
        }
        Kind::Best => {
            each(json, |json| level(json, out))?;
            // The level that leaves is followed by the one that is best now.
            let best = |side| {
                let found = out.levels.iter().find(|level| level.side == side && !level.size.is_zero());
                found.map(|level| (level.price, level.size))
            };
            let (bid, ask) = (best(Side::Bid), best(Side::Ask));
            out.levels.clear();
            Ok(if bid.is_none() && ask.is_none() { Found::Nothing } else { Found::Quote { bid, ask } })
        }
        Kind::Raw => {
            let snapshot = each(json, |json| order(json, out))?;
            Ok(Found::Orders { snapshot })
        }
        Kind::Trades => {
            // The array that comes first is history.
            json.array(|json| trade(json, symbol, true, out))?;
            Ok(Found::Nothing)
        }
        Kind::Status => {
            status(json, symbol, out)?;
            Ok(Found::Nothing)
        }
        Kind::Ticker | Kind::Other => {
            json.skip()?;
            Ok(Found::Nothing)
        }
    }
}

/// One entry, or an array of them: then it is all there is.
#[inline]
fn each<'a>(json: &mut Json<'a>, mut entry: impl FnMut(&mut Json<'a>) -> Read<()>) -> Read<bool> {
    let mut ahead = json.clone();
    ahead.open()?;
    let snapshot = matches!(ahead.peek(), b'[' | b']');
    if snapshot {
        json.array(entry)?;
    } else {
        entry(json)?;
    }
    Ok(snapshot)
}

/// `[price, count, amount]`
#[inline]
fn level(json: &mut Json<'_>, out: &mut Frame) -> Read<()> {
    json.open()?;
    let price = json.decimal()?;
    json.comma()?;
    let count = json.unsigned()?;
    json.comma()?;
    let (side, mut size) = signed(json.decimal()?);
    json.close()?;
    if count == 0 {
        size.digits = 0;
    }
    out.levels.push(Level { price, size, side });
    Ok(())
}

/// `[id, price, amount]`
fn order(json: &mut Json<'_>, out: &mut Frame) -> Read<()> {
    json.open()?;
    let id = json.unsigned()?;
    json.comma()?;
    let price = json.decimal()?;
    json.comma()?;
    let (side, size) = signed(json.decimal()?);
    json.close()?;
    out.orders.push(if price.is_zero() {
        Order { change: Change::Cancel, id, side: Some(side), price: None, size: None }
    } else {
        // An order that changes comes as a new one does.
        Order { change: Change::Add, id, side: Some(side), price: Some(price), size: Some(size) }
    });
    Ok(())
}

/// `[id, time, amount, price]`
fn trade(json: &mut Json<'_>, symbol: Symbol, silent: bool, out: &mut Frame) -> Read<()> {
    json.open()?;
    let id = json.unsigned()?;
    json.comma()?;
    let ts_event = json.millis()?;
    json.comma()?;
    let (side, size) = signed(json.decimal()?);
    json.comma()?;
    let price = json.decimal()?;
    json.close()?;
    out.push(symbol, ts_event, Body::Trade { id, price, size, side: Some(side), silent });
    Ok(())
}

/// Time, -, price, spot price, -, insurance fund, -, time of the next funding, accrued, step, -, current funding, -, -,
/// mark price, …
fn status(json: &mut Json<'_>, symbol: Symbol, out: &mut Frame) -> Read<()> {
    let (mut time, mut index, mut due, mut rate, mut mark) = (None, None, None, None, None);
    let mut place = 0;
    json.array(|json| {
        let at = place;
        place += 1;
        match at {
            0 => time = Some(json.millis()?),
            7 if !json.null() => due = Some(json.millis()?),
            3 => index = json.optional_decimal()?,
            11 => rate = json.optional_decimal()?,
            14 => mark = json.optional_decimal()?,
            7 => {}
            _ => json.skip()?,
        }
        Ok(())
    })?;
    let ts_event = json.need(time, "time")?;
    let funding = rate.map(|rate| (rate, due.unwrap_or(Nanos::UNKNOWN)));
    if mark.is_some() || index.is_some() || funding.is_some() {
        out.push(symbol, ts_event, Body::Mark { mark, index, iv: None, funding });
    }
    Ok(())
}

/// The sign of an amount as a side: bids and buyers are positive.
#[inline]
const fn signed(amount: Decimal) -> (Side, Decimal) {
    let side = if amount.negative { Side::Ask } else { Side::Bid };
    (side, Decimal { negative: false, ..amount })
}

/// What Bitfinex calls currencies that are called otherwise elsewhere.
const NAMES: [(&str, &str); 22] = [
    ("ALG", "ALGO"),
    ("AMP", "AMPL"),
    ("ATO", "ATOM"),
    ("BCHN", "BCH"),
    ("DAT", "DATA"),
    ("DSH", "DASH"),
    ("EUS", "EURS"),
    ("EUT", "EURT"),
    ("IOT", "IOTA"),
    ("LBT", "LBTC"),
    ("MNA", "MANA"),
    ("OMN", "OMNI"),
    ("PAS", "PASS"),
    ("QSH", "QASH"),
    ("QTM", "QTUM"),
    ("SNG", "SNGLS"),
    ("STJ", "STORJ"),
    ("TSD", "TUSD"),
    ("UDC", "USDC"),
    ("UST", "USDT"),
    ("VSY", "VSYS"),
    ("WBT", "WBTC"),
];

fn currency(name: &str) -> &str {
    NAMES.iter().find(|(theirs, _)| *theirs == name).map_or(name, |(_, ours)| ours)
}

/// `tBTCUSD`, `tAVAX:USD`, `tBTCF0:USTF0`.
fn describe(symbol: &str) -> Option<Instrument> {
    let pair = symbol.strip_prefix('t')?;
    let (base, quote) = match pair.split_once(':') {
        Some(parts) => parts,
        None if pair.len() == 6 => pair.split_at_checked(3)?,
        None => return None,
    };
    let plain =
        |name: &str| name.len() >= 2 && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if !plain(base) || !plain(quote) {
        return None;
    }
    let found = match (base.strip_suffix("F0"), quote.strip_suffix("F0")) {
        (Some(base), Some(quote)) => {
            Instrument::named(Venue::Bitfinex, symbol, Contract::Linear, currency(base), currency(quote))
        }
        _ => Instrument::named(Venue::Bitfinex, symbol, Contract::Spot, currency(base), currency(quote)),
    };
    Some(found)
}

fn list(body: &[u8]) -> Result<Vec<Instrument>, String> {
    let pairs: Vec<Vec<String>> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    Ok(pairs
        .iter()
        .flatten()
        .filter_map(|pair| describe(&format!("t{pair}")))
        .map(|mut found| {
            // The venue has no ticks: a price has five significant digits, be it ever so small.
            found.price_unit = Unit::decimals(10);
            found.size_unit = Unit::decimals(8);
            found
        })
        .collect())
}

#[cfg(test)]
mod tests;
