//! Deribit, JSON-RPC 2.0 over a websocket: perpetuals, futures, options and spot.
//!
//! A book begins with a message of type `snapshot` in the stream; every later one names the change that it follows,
//! so the chain `prev_change_id` → `change_id` must hold for each instrument by itself and ids may jump. Levels come
//! as action, price and amount; a deletion's amount is 0. Grouped books are whole books, as pairs, without a type.
//! There is no checksum. Once heartbeats are set, a `test_request` must be answered or the venue hangs up. Rules: the
//! venue's documentation, checked on a real capture of 2021 and on single messages up to 2022.

use serde::Deserialize;

use super::json::{Decimal, Fault, FaultKind, Json, Read, Text};
use super::message::{Body, Frame, Level, Link, Symbol};
use super::protocol::{Channel, Dialect, Protocol, RestLimit, SnapshotFrom};
use super::tick_decimals;
use crate::instrument::{Contract, Instrument, OptionTerms, Venue};
use crate::units::{Nanos, Side, Unit};

/// The protocols of this file.
pub(super) const PROTOCOLS: &[Protocol] = &[Protocol {
    name: "deribit-v2",
    venue: Venue::Deribit,
    valid: ("", ""),
    url: "wss://www.deribit.com/ws/api/v2",
    mark: "deribit.com/ws/api/v2",
    rest: "https://www.deribit.com",
    snapshot_path: "",
    instruments_paths: &["/api/v2/public/get_instruments?currency=any&expired=false"],
    snapshot: SnapshotFrom::Stream,
    counts_frames: false,
    counts_trades: true,
    links: true,
    checksum: None,
    depth: 0,
    cuts: false,
    cross_resyncs: false,
    keep_alive: None,
    silence: 75,
    per_connection: 100,
    sends_per_second: 10,
    limit: RestLimit { weight: 1, per_minute: 300 },
    source: "venue documentation, real capture of 2021; that trade_seq has no holes and the REST limit from memory",
    dialect: || Box::new(Deribit::default()),
    list,
    describe,
}];

/// So many channels are named in one subscription; the venue takes 500 of them.
const CHANNELS: usize = 200;
/// A heartbeat is asked for this often, in seconds.
const HEARTBEAT: u8 = 30;

/// What a channel carries, by the first part of its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    Book,
    Trades,
    Ticker,
    Quote,
    #[default]
    Other,
}

/// One connection.
#[derive(Debug, Default)]
struct Deribit {
    /// Quotes have a channel of their own on this connection: those of the ticker come later and say nothing new.
    quotes: bool,
    /// Heartbeats were asked for.
    heartbeats: bool,
    requests: u64,
}

/// What one frame has brought so far, beside the data.
#[derive(Default)]
struct Envelope<'a> {
    method: Option<&'a [u8]>,
    channel: Option<&'a [u8]>,
    kind: Kind,
    /// The data, where they stand before the name of their channel.
    data: Option<Json<'a>>,
    seen: bool,
    test: bool,
    refused: Option<Text>,
}

impl Dialect for Deribit {
    fn read(&mut self, frame: &[u8], out: &mut Frame) -> Read<()> {
        let mut json = Json::new(frame);
        let mut envelope = Envelope::default();
        let mut result = None;
        json.object(|json, key| match key {
            b"method" => json.field(&mut envelope.method, "method", Json::text),
            b"params" => json.object(|json, key| self.param(json, key, &mut envelope, out)),
            b"result" => {
                let place = json.at();
                json.once(&mut result, place, "result")?;
                if json.peek() == b'[' { acknowledged(json, out) } else { json.skip() }
            }
            b"error" if json.peek() == b'{' => json.object(|json, key| match key {
                b"message" => json.field(&mut envelope.refused, "message", Json::name),
                _ => json.skip(),
            }),
            _ => json.skip(),
        })?;
        json.end()?;
        if let Some(what) = envelope.refused {
            out.push(Symbol::None, Nanos::UNKNOWN, Body::Refused(what));
            return Ok(());
        }
        match envelope.method {
            Some(b"subscription") => {
                json.need(envelope.channel, "channel")?;
                if let Some(mut data) = envelope.data {
                    self.data(&mut data, envelope.kind, out)?;
                } else if !envelope.seen {
                    return Err(json.fault("data"));
                }
            }
            Some(b"heartbeat") => {
                if envelope.test {
                    self.requests += 1;
                    out.answers.push(format!(
                        "{{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"public/test\",\"params\":{{}}}}",
                        self.requests
                    ));
                }
                out.push(Symbol::None, Nanos::UNKNOWN, Body::Heartbeat);
            }
            Some(_) => {}
            None => {
                json.need(result, "result")?;
            }
        }
        Ok(())
    }

    fn subscribe(&mut self, on: bool, symbols: &[&str], channels: &[Channel], _depth: u16, out: &mut Vec<String>) {
        if on && !self.heartbeats {
            self.heartbeats = true;
            self.requests += 1;
            out.push(format!(
                "{{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"public/set_heartbeat\",\
                 \"params\":{{\"interval\":{HEARTBEAT}}}}}",
                self.requests
            ));
        }
        let method = if on { "subscribe" } else { "unsubscribe" };
        // Without an account the finest interval is 100 ms; quotes come as they change.
        let names: Vec<String> = symbols
            .iter()
            .flat_map(|symbol| {
                channels.iter().map(move |channel| match channel {
                    Channel::Book => format!("\"book.{symbol}.100ms\""),
                    Channel::Trades => format!("\"trades.{symbol}.100ms\""),
                    Channel::Quotes => format!("\"quote.{symbol}\""),
                    Channel::Marks => format!("\"ticker.{symbol}.100ms\""),
                })
            })
            .collect();
        for names in names.chunks(CHANNELS) {
            self.requests += 1;
            out.push(format!(
                "{{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"public/{method}\",\"params\":{{\"channels\":[{}]}}}}",
                self.requests,
                names.join(",")
            ));
        }
    }

    fn reset(&mut self) {
        (self.quotes, self.heartbeats) = (false, false);
    }
}

impl Deribit {
    #[inline]
    fn param<'a>(&mut self, json: &mut Json<'a>, key: &[u8], envelope: &mut Envelope<'a>, out: &mut Frame) -> Read<()> {
        match key {
            b"channel" => {
                let name = json.text()?;
                json.once(&mut envelope.channel, name, "channel")?;
                let (kind, symbol) = channel(name);
                envelope.kind = kind;
                out.channel = subscribed(kind);
                if kind != Kind::Other {
                    out.symbol = Some(Symbol::At(json.place(symbol)));
                }
                Ok(())
            }
            b"data" => {
                if envelope.seen || envelope.data.is_some() {
                    return Err(Fault { at: json.at(), kind: FaultKind::Twice("data") });
                }
                if envelope.channel.is_some() {
                    envelope.seen = true;
                    return self.data(json, envelope.kind, out);
                }
                envelope.data = Some(json.clone());
                json.skip()
            }
            b"type" => {
                envelope.test |= json.text()? == b"test_request";
                Ok(())
            }
            _ => json.skip(),
        }
    }

    #[inline]
    fn data(&mut self, json: &mut Json<'_>, kind: Kind, out: &mut Frame) -> Read<()> {
        match kind {
            Kind::Book => book(json, out),
            Kind::Trades => json.array(|json| trade(json, out)),
            Kind::Quote => {
                self.quotes = true;
                ticker(json, true, false, out)
            }
            Kind::Ticker => ticker(json, !self.quotes, true, out),
            Kind::Other => json.skip(),
        }
    }
}

/// What the name of a channel says: `book.BTC-PERPETUAL.100ms`.
#[inline]
fn channel(name: &[u8]) -> (Kind, &[u8]) {
    let mut parts = name.split(|&byte| byte == b'.');
    let kind = match parts.next() {
        Some(b"book") => Kind::Book,
        Some(b"trades") => Kind::Trades,
        Some(b"ticker" | b"incremental_ticker") => Kind::Ticker,
        Some(b"quote") => Kind::Quote,
        _ => Kind::Other,
    };
    (kind, parts.next().unwrap_or_default())
}

const fn subscribed(kind: Kind) -> Option<Channel> {
    match kind {
        Kind::Book => Some(Channel::Book),
        Kind::Trades => Some(Channel::Trades),
        Kind::Quote => Some(Channel::Quotes),
        Kind::Ticker => Some(Channel::Marks),
        Kind::Other => None,
    }
}

/// The answer to a subscription lists the channels that stand. The venue leaves out what it does not know, without a
/// word; if nothing is left, everything was refused.
fn acknowledged(json: &mut Json<'_>, out: &mut Frame) -> Read<()> {
    let at = json.at();
    let mut empty = true;
    json.array(|json| {
        empty = false;
        if json.peek() != b'"' {
            return json.skip();
        }
        let (kind, symbol) = channel(json.text()?);
        if kind != Kind::Other {
            out.push(Symbol::At(json.place(symbol)), Nanos::UNKNOWN, Body::Subscribed);
        }
        Ok(())
    })?;
    if empty && let (Ok(at), Ok(len)) = (u32::try_from(at), u32::try_from(json.at() - at)) {
        out.push(Symbol::None, Nanos::UNKNOWN, Body::Refused(Text { at, len }));
    }
    Ok(())
}

fn book(json: &mut Json<'_>, out: &mut Frame) -> Read<()> {
    let (mut symbol, mut time, mut id, mut previous) = (None, None, None, None);
    let (mut change, mut bids, mut asks) = (None, None, None);
    json.object(|json, key| match key {
        b"type" => {
            let kind = match json.text()? {
                b"snapshot" => false,
                b"change" => true,
                _ => return Err(json.fault("snapshot or change")),
            };
            json.once(&mut change, kind, "type")
        }
        b"timestamp" => json.field(&mut time, "timestamp", Json::millis),
        b"instrument_name" => {
            let name = json.name()?;
            out.symbol = Some(Symbol::At(name));
            json.once(&mut symbol, name, "instrument_name")
        }
        b"change_id" => json.field(&mut id, "change_id", Json::unsigned),
        b"prev_change_id" => json.field(&mut previous, "prev_change_id", Json::unsigned),
        b"bids" => {
            json.once(&mut bids, (), "bids")?;
            levels(json, Side::Bid, out)
        }
        b"asks" => {
            json.once(&mut asks, (), "asks")?;
            levels(json, Side::Ask, out)
        }
        _ => json.skip(),
    })?;
    json.need(bids, "bids")?;
    json.need(asks, "asks")?;
    let (symbol, last) = (json.need(symbol, "instrument_name")?, json.need(id, "change_id")?);
    let ts_event = json.need(time, "timestamp")?;
    // Grouped books are always whole and have no type.
    let snapshot = !change.unwrap_or(false);
    let link =
        if snapshot { Link::At(last) } else { Link::Chain { previous: json.need(previous, "prev_change_id")?, last } };
    let levels = 0..out.levels.len();
    out.push(Symbol::At(symbol), ts_event, Body::Levels { snapshot, link, checksum: None, levels });
    Ok(())
}

#[inline]
fn levels(json: &mut Json<'_>, side: Side, out: &mut Frame) -> Read<()> {
    json.array(|json| {
        json.open()?;
        let mut gone = false;
        if json.peek() == b'"' {
            gone = match json.text()? {
                b"new" | b"change" => false,
                b"delete" => true,
                _ => return Err(json.fault("new, change or delete")),
            };
            json.comma()?;
        }
        let price = json.decimal()?;
        json.comma()?;
        let mut size = json.decimal()?;
        if gone {
            // The action counts, whatever amount stands beside it.
            size.digits = 0;
        }
        out.levels.push(Level { price, size, side });
        json.close()
    })
}

fn trade(json: &mut Json<'_>, out: &mut Frame) -> Read<()> {
    let (mut symbol, mut time, mut id) = (None, None, None);
    let (mut side, mut price, mut size) = (None, None, None);
    json.object(|json, key| match key {
        b"instrument_name" => json.field(&mut symbol, "instrument_name", Json::name),
        b"timestamp" => json.field(&mut time, "timestamp", Json::millis),
        // The venue's `trade_id` is no number for most currencies (`ETH-123`); this one counts an instrument's trades.
        b"trade_seq" => json.field(&mut id, "trade_seq", Json::unsigned),
        b"direction" => json.field(&mut side, "direction", |json| json.side(b"buy", b"sell", "buy or sell")),
        b"price" => json.field(&mut price, "price", Json::decimal),
        b"amount" => json.field(&mut size, "amount", Json::decimal),
        _ => json.skip(),
    })?;
    let symbol = Symbol::At(json.need(symbol, "instrument_name")?);
    let ts_event = json.need(time, "timestamp")?;
    let (price, size) = (json.need(price, "price")?, json.need(size, "amount")?);
    let side = Some(json.need(side, "direction")?);
    let id = json.need(id, "trade_seq")?;
    out.push(symbol, ts_event, Body::Trade { id, price, size, side, silent: false });
    Ok(())
}

/// A ticker or a quote: the one has all that the other has.
fn ticker(json: &mut Json<'_>, quote: bool, marks: bool, out: &mut Frame) -> Read<()> {
    let (mut symbol, mut time) = (None, None);
    let (mut bid, mut bid_size, mut ask, mut ask_size) = (None, None, None, None);
    let (mut mark, mut index, mut iv, mut rate, mut rate_8h) = (None, None, None, None, None);
    json.object(|json, key| {
        let (slot, field) = match key {
            b"timestamp" => {
                let at = json.millis()?;
                return json.once(&mut time, at, "timestamp");
            }
            b"instrument_name" => {
                let name = json.name()?;
                out.symbol = Some(Symbol::At(name));
                return json.once(&mut symbol, name, "instrument_name");
            }
            b"best_bid_price" => (&mut bid, "best_bid_price"),
            b"best_bid_amount" => (&mut bid_size, "best_bid_amount"),
            b"best_ask_price" => (&mut ask, "best_ask_price"),
            b"best_ask_amount" => (&mut ask_size, "best_ask_amount"),
            b"mark_price" => (&mut mark, "mark_price"),
            b"index_price" => (&mut index, "index_price"),
            b"mark_iv" => (&mut iv, "mark_iv"),
            b"current_funding" => (&mut rate, "current_funding"),
            b"funding_8h" => (&mut rate_8h, "funding_8h"),
            _ => return json.skip(),
        };
        let value = json.optional_decimal()?;
        json.once(slot, value, field)
    })?;
    let symbol = Symbol::At(json.need(symbol, "instrument_name")?);
    let ts_event = json.need(time, "timestamp")?;
    if quote {
        // Incremental tickers leave out what has not changed: then neither side is said.
        let side = |price: Option<Option<Decimal>>, size: Option<Option<Decimal>>| match (price, size) {
            (Some(price), Some(size)) => Some(price.zip(size).unwrap_or((Decimal::ZERO, Decimal::ZERO))),
            _ => None,
        };
        let (bid, ask) = (side(bid, bid_size), side(ask, ask_size));
        if !marks && (bid.is_none() || ask.is_none()) {
            return Err(Fault { at: json.at(), kind: FaultKind::Missing("best_bid_price") });
        }
        if bid.is_some() || ask.is_some() {
            out.push(symbol, ts_event, Body::Quote { sequence: 0, bid, ask });
        }
    }
    if marks {
        // The venue prints volatility in percent; one is 100 % here.
        let iv = iv.flatten().map(|iv| Decimal { exponent: iv.exponent.saturating_sub(2), ..iv });
        // Funding accrues all the time, so nothing is due at any one time.
        let funding = rate.flatten().or(rate_8h.flatten()).map(|rate| (rate, Nanos::UNKNOWN));
        let (mark, index) = (mark.flatten(), index.flatten());
        if mark.is_some() || index.is_some() || iv.is_some() || funding.is_some() {
            out.push(symbol, ts_event, Body::Mark { mark, index, iv, funding });
        }
    }
    Ok(())
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

/// `24SEP21`, `2JAN26` as `YYMMDD`.
fn date(text: &str) -> Option<String> {
    let (rest, year) = text.split_at_checked(text.len().checked_sub(2)?)?;
    let (day, month) = rest.split_at_checked(rest.len().checked_sub(3)?)?;
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let (day, year): (u8, u8) = (day.parse().ok()?, year.parse().ok()?);
    (1..=31).contains(&day).then(|| format!("{year:02}{month:02}{day:02}"))
}

/// `BTC_USDC`, `BTC-PERPETUAL`, `BTC_USDC-PERPETUAL`, `BTC-24SEP21`, `BTC-24SEP21-8000-P`, `XRP_USDC-30JUN23-0d625-C`.
/// Amounts are in quote currency for contracts settled in their base currency, and in base currency for all others, so
/// a contract is always one of them. The price of an option that is settled in its base currency is in that currency
/// too, its strike is not.
fn describe(symbol: &str) -> Option<Instrument> {
    let mut parts = symbol.split('-');
    let pair = parts.next()?;
    let (base, quote) = match pair.split_once('_') {
        Some((base, quote)) => (base, Some(quote)),
        None => (pair, None),
    };
    let named = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !named(base) || !quote.is_none_or(named) {
        return None;
    }
    let date = match parts.next() {
        None => return quote.map(|quote| Instrument::named(Venue::Deribit, symbol, Contract::Spot, base, quote)),
        Some("PERPETUAL") => None,
        Some(text) => Some(date(text)?),
    };
    let terms = match (parts.next(), parts.next(), parts.next()) {
        (None, None, None) => None,
        (Some(strike), Some(right @ ("C" | "P")), None) if date.is_some() => {
            let strike = Unit::parse(&strike.replace('d', ".")).ok()?;
            Some(OptionTerms { strike, call: right == "C" })
        }
        _ => return None,
    };
    let contract = match (terms, quote) {
        (Some(_), _) => Contract::Option,
        (None, Some(_)) => Contract::Linear,
        (None, None) => Contract::Inverse,
    };
    let mut found = Instrument::named(Venue::Deribit, symbol, contract, base, quote.unwrap_or("USD"));
    if quote.is_none() {
        base.clone_into(&mut found.settle);
    }
    (found.delivery, found.option) = (date, terms);
    Some(found)
}

#[derive(Deserialize)]
struct Listing {
    result: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Listed {
    instrument_name: String,
    #[serde(default)]
    kind: String,
    tick_size: serde_json::Number,
    #[serde(default)]
    tick_size_steps: Vec<Step>,
    min_trade_amount: serde_json::Number,
    #[serde(default)]
    settlement_currency: Option<String>,
}

#[derive(Deserialize)]
struct Step {
    tick_size: serde_json::Number,
}

fn unit(number: &serde_json::Number) -> Option<Unit> {
    Unit::parse(&number.to_string()).ok()
}

fn list(body: &[u8]) -> Result<Vec<Instrument>, String> {
    let listing: Listing = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    Ok(listing.result.into_iter().filter_map(|value| serde_json::from_value(value).ok()).filter_map(listed).collect())
}

fn listed(listed: Listed) -> Option<Instrument> {
    if listed.kind.ends_with("combo") {
        return None;
    }
    // The name says more reliably than the fields what is quoted in what: of options the listing calls quote currency
    // what they are paid in.
    let mut found = describe(&listed.instrument_name)?;
    if let Some(settle) = listed.settlement_currency.filter(|_| found.contract != Contract::Spot) {
        found.settle = settle;
    }
    (found.tick, found.lot) = (unit(&listed.tick_size), unit(&listed.min_trade_amount));
    let finest = listed
        .tick_size_steps
        .iter()
        .filter_map(|step| unit(&step.tick_size))
        .chain(found.tick)
        .min_by_key(|tick| tick.exponent());
    // Legs of combinations trade between the ticks, and parts of an order may be smaller than the smallest order.
    found.price_unit = finer(finest, 1);
    found.size_unit = finer(found.lot, 2);
    Some(found)
}

/// The unit of a step, with some decimals more.
fn finer(step: Option<Unit>, decimals: u8) -> Unit {
    let unit = tick_decimals(step, 8 - decimals);
    Unit::decimals(unit.exponent().unsigned_abs().saturating_add(decimals).min(12))
}

#[cfg(test)]
mod tests;
