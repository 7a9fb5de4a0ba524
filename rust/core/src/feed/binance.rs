//! Binance: spot, USD-M, COIN-M, and Binance.US, which speaks as spot does.
//!
//! Depth changes are linked by ids and joined to a REST snapshot. Spot numbers every update of the symbol: `U..=u`. Futures
//! number the updates of all symbols together and chain a symbol's messages by `pu`. `ts_event` is the engine's time `T`
//! where a message has it, else the event time `E`; the spot `bookTicker` has neither. Rules: the venue's documentation
//! ("How to manage a local order book correctly"), checked on real captures.

use serde::Deserialize;

use super::json::{Decimal, Fault, FaultKind, Json, Read, Text};
use super::message::{Body, Frame, Link, Symbol};
use super::protocol::{Channel, Dialect, Protocol, RestLimit, SnapshotFrom};
use super::{step_of, tick_decimals};
use crate::instrument::{Contract, Instrument, Venue};
use crate::units::{Nanos, Side, Unit};

pub(super) const SPOT: Protocol = Protocol {
    name: "binance-spot",
    venue: Venue::BinanceSpot,
    valid: ("", ""),
    url: "wss://stream.binance.com:9443/stream",
    mark: "stream.binance.com",
    rest: "https://api.binance.com",
    snapshot_path: "/api/v3/depth?symbol={symbol}&limit=5000",
    instruments_paths: &["/api/v3/exchangeInfo"],
    snapshot: SnapshotFrom::Rest,
    counts_frames: false,
    counts_trades: true,
    links: true,
    checksum: None,
    depth: 0,
    cuts: false,
    cross_resyncs: false,
    keep_alive: None,
    silence: 60,
    per_connection: 200,
    sends_per_second: 4,
    limit: RestLimit { weight: 250, per_minute: 6_000 },
    source: "venue documentation, real captures of 2021, 2024 and 2026; weights from memory",
    dialect: || Box::new(Binance::new(false)),
    list: list_spot,
    describe: |symbol| describe(Venue::BinanceSpot, symbol),
};

/// The protocols of this file.
pub(super) const PROTOCOLS: &[Protocol] = &[
    SPOT,
    Protocol {
        name: "binance-us",
        venue: Venue::BinanceUs,
        url: "wss://stream.binance.us:9443/stream",
        mark: "stream.binance.us",
        rest: "https://api.binance.us",
        list: |body| {
            list_spot(body)
                .map(|found| found.into_iter().map(|i| Instrument { venue: Venue::BinanceUs, ..i }).collect())
        },
        describe: |symbol| describe(Venue::BinanceUs, symbol),
        ..SPOT
    },
    Protocol {
        name: "binance-usdm",
        venue: Venue::BinanceUsdm,
        valid: ("2026-04-23", ""),
        url: "wss://fstream.binance.com/public/stream",
        mark: "fstream.binance.com",
        rest: "https://fapi.binance.com",
        snapshot_path: "/fapi/v1/depth?symbol={symbol}&limit=1000",
        instruments_paths: &["/fapi/v1/exchangeInfo"],
        limit: RestLimit { weight: 20, per_minute: 2_400 },
        dialect: || Box::new(Binance::new(true)),
        list: |body| list_futures(Venue::BinanceUsdm, body),
        describe: |symbol| describe(Venue::BinanceUsdm, symbol),
        ..SPOT
    },
    Protocol {
        name: "binance-coinm",
        venue: Venue::BinanceCoinm,
        url: "wss://dstream.binance.com/stream",
        mark: "dstream.binance.com",
        rest: "https://dapi.binance.com",
        snapshot_path: "/dapi/v1/depth?symbol={symbol}&limit=1000",
        instruments_paths: &["/dapi/v1/exchangeInfo"],
        limit: RestLimit { weight: 20, per_minute: 2_400 },
        dialect: || Box::new(Binance::new(true)),
        list: |body| list_futures(Venue::BinanceCoinm, body),
        describe: |symbol| describe(Venue::BinanceCoinm, symbol),
        ..SPOT
    },
];

/// Which messages mean something to us.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Depth,
    Quote,
    Trade,
    AggregateTrade,
    Mark,
    Shutdown,
    Other,
}

/// What one message has brought so far.
#[derive(Default)]
struct Fields {
    /// Where its levels begin.
    start: usize,
    kind: Option<Kind>,
    symbol: Option<Text>,
    event_time: Option<Nanos>,
    engine_time: Option<Nanos>,
    first: Option<u64>,
    last: Option<u64>,
    previous: Option<u64>,
    snapshot: Option<u64>,
    bid: Option<Decimal>,
    bid_size: Option<Decimal>,
    ask: Option<Decimal>,
    ask_size: Option<Decimal>,
    bids: Option<()>,
    asks: Option<()>,
    id: Option<u64>,
    aggregate: Option<u64>,
    price: Option<Decimal>,
    size: Option<Decimal>,
    buyer_is_maker: Option<bool>,
    off_market: bool,
    index: Option<Decimal>,
    rate: Option<Decimal>,
    refused: Option<Text>,
}

/// One connection.
#[derive(Debug)]
struct Binance {
    /// Futures have an engine time and chained ids; spot has neither.
    futures: bool,
    /// Single trades come on this connection: then the aggregated ones say nothing new.
    single_trades: bool,
    requests: u64,
}

impl Dialect for Binance {
    fn read(&mut self, frame: &[u8], out: &mut Frame) -> Read<()> {
        let mut json = Json::new(frame);
        let mut fields = Fields::default();
        let mut stream: Option<&[u8]> = None;
        let mut data = false;
        json.object(|json, key| match key {
            b"stream" => {
                stream = Some(json.text()?);
                Ok(())
            }
            // Futures send partial books as if they were changes; only the name of the stream gives them away.
            b"data" if stream.is_some_and(is_partial) => json.skip(),
            b"data" if stream.is_some() => {
                data = true;
                if json.peek() != b'[' {
                    return json.object(|json, key| fields.take(json, key, out));
                }
                // All symbols at once.
                json.array(|json| {
                    let mut one = Fields { start: out.levels.len(), ..Fields::default() };
                    json.object(|json, key| one.take(json, key, out))?;
                    self.message(json, one, true, out)
                })
            }
            _ => fields.take(json, key, out),
        })?;
        json.end()?;
        self.message(&json, fields, data, out)
    }

    fn read_snapshot(&mut self, body: &[u8], out: &mut Frame) -> Read<()> {
        self.read(body, out)?;
        match out.messages.last() {
            Some(message) if matches!(message.body, Body::Levels { snapshot: true, .. }) => Ok(()),
            _ => Err(Fault { at: 0, kind: FaultKind::Missing("lastUpdateId") }),
        }
    }

    fn subscribe(&mut self, on: bool, symbols: &[&str], channels: &[Channel], _depth: u16, out: &mut Vec<String>) {
        let method = if on { "SUBSCRIBE" } else { "UNSUBSCRIBE" };
        // Five messages a second are allowed, and one message may be long: a hundred streams at once.
        let streams: Vec<String> = symbols
            .iter()
            .flat_map(|symbol| {
                let symbol = symbol.to_lowercase();
                channels.iter().map(move |channel| match channel {
                    Channel::Book => format!("\"{symbol}@depth@100ms\""),
                    Channel::Trades => format!("\"{symbol}@trade\""),
                    Channel::Quotes => format!("\"{symbol}@bookTicker\""),
                    Channel::Marks => format!("\"{symbol}@markPrice@1s\""),
                })
            })
            .collect();
        for streams in streams.chunks(100) {
            self.requests += 1;
            out.push(format!(
                "{{\"method\":\"{method}\",\"params\":[{}],\"id\":{}}}",
                streams.join(","),
                self.requests
            ));
        }
    }

    fn reset(&mut self) {
        self.single_trades = false;
    }
}

impl Fields {
    #[inline]
    fn take(&mut self, json: &mut Json<'_>, key: &[u8], out: &mut Frame) -> Read<()> {
        if self.kind == Some(Kind::Other) && key != b"s" {
            return json.skip();
        }
        match key {
            b"e" => {
                let kind = match json.text()? {
                    b"depthUpdate" => Kind::Depth,
                    b"bookTicker" => Kind::Quote,
                    b"trade" => Kind::Trade,
                    b"aggTrade" => Kind::AggregateTrade,
                    b"markPriceUpdate" => Kind::Mark,
                    b"serverShutdown" => Kind::Shutdown,
                    _ => Kind::Other,
                };
                out.channel = match kind {
                    Kind::Depth => Some(Channel::Book),
                    Kind::Quote => Some(Channel::Quotes),
                    Kind::Trade | Kind::AggregateTrade => Some(Channel::Trades),
                    _ => Some(Channel::Marks),
                };
                json.once(&mut self.kind, kind, "e")
            }
            b"s" | b"symbol" => {
                let symbol = json.name()?;
                out.symbol = Some(Symbol::At(symbol));
                json.once(&mut self.symbol, symbol, "s")
            }
            b"E" => json.field(&mut self.event_time, "E", time),
            b"T" => json.field(&mut self.engine_time, "T", time),
            b"U" => json.field(&mut self.first, "U", Json::unsigned),
            b"u" => json.field(&mut self.last, "u", Json::unsigned),
            b"pu" => json.field(&mut self.previous, "pu", Json::unsigned),
            b"lastUpdateId" => json.field(&mut self.snapshot, "lastUpdateId", Json::unsigned),
            b"b" | b"bids" => {
                if json.peek() == b'[' {
                    json.once(&mut self.bids, (), "b")?;
                    out.take_levels(json, Side::Bid)
                } else if self.is_trade() {
                    json.skip()
                } else {
                    // Spot quotes do not name their kind.
                    if self.kind.is_none() {
                        out.channel = Some(Channel::Quotes);
                    }
                    let price = json.decimal()?;
                    json.once(&mut self.bid, price, "b")
                }
            }
            b"a" | b"asks" => {
                if json.peek() == b'[' {
                    json.once(&mut self.asks, (), "a")?;
                    out.take_levels(json, Side::Ask)
                } else if self.kind == Some(Kind::AggregateTrade) {
                    let id = json.unsigned()?;
                    json.once(&mut self.aggregate, id, "a")
                } else if self.is_trade() {
                    json.skip()
                } else {
                    let price = json.decimal()?;
                    json.once(&mut self.ask, price, "a")
                }
            }
            b"B" => json.field(&mut self.bid_size, "B", Json::decimal),
            b"A" => json.field(&mut self.ask_size, "A", Json::decimal),
            b"t" => json.field(&mut self.id, "t", Json::unsigned),
            b"p" => json.field(&mut self.price, "p", Json::decimal),
            b"q" => json.field(&mut self.size, "q", Json::decimal),
            b"m" => json.field(&mut self.buyer_is_maker, "m", Json::boolean),
            b"X" => {
                self.off_market = json.text()? != b"MARKET";
                Ok(())
            }
            b"i" if self.kind == Some(Kind::Mark) => {
                self.index = json.optional_decimal()?;
                Ok(())
            }
            b"r" if self.kind == Some(Kind::Mark) => {
                self.rate = json.optional_decimal()?;
                Ok(())
            }
            b"msg" => {
                self.refused = Some(json.name()?);
                Ok(())
            }
            b"error" => json.object(|json, key| self.take(json, key, out)),
            _ => json.skip(),
        }
    }

    const fn is_trade(&self) -> bool {
        matches!(self.kind, Some(Kind::Trade | Kind::AggregateTrade))
    }
}

impl Binance {
    const fn new(futures: bool) -> Self {
        Self { futures, single_trades: false, requests: 0 }
    }

    fn message(&mut self, json: &Json<'_>, fields: Fields, data: bool, out: &mut Frame) -> Read<()> {
        let kind = match fields.kind {
            Some(kind) => kind,
            None if fields.snapshot.is_some() => {
                // Partial books look like snapshots, in an envelope.
                if !data {
                    let symbol = fields.symbol.map_or(Symbol::Asked, Symbol::At);
                    json.need(fields.bids, "bids")?;
                    json.need(fields.asks, "asks")?;
                    let link = Link::At(fields.snapshot.unwrap_or_default());
                    let ts_event = fields.engine_time.or(fields.event_time).unwrap_or(Nanos::UNKNOWN);
                    let levels = fields.start..out.levels.len();
                    out.push(symbol, ts_event, Body::Levels { snapshot: true, link, checksum: None, levels });
                }
                return Ok(());
            }
            None if fields.bid.is_some() || fields.ask.is_some() || fields.bid_size.is_some() => Kind::Quote,
            None => {
                if let Some(what) = fields.refused {
                    out.push(Symbol::None, Nanos::UNKNOWN, Body::Refused(what));
                }
                return Ok(());
            }
        };
        let ts_event = fields.engine_time.or(fields.event_time).unwrap_or(Nanos::UNKNOWN);
        if kind == Kind::Shutdown {
            out.push(Symbol::None, ts_event, Body::Reconnect);
            return Ok(());
        }
        if kind == Kind::Other {
            return Ok(());
        }
        let symbol = Symbol::At(json.need(fields.symbol, "s")?);
        let body = match kind {
            Kind::Depth => {
                let (first, last) = (json.need(fields.first, "U")?, json.need(fields.last, "u")?);
                json.need(fields.bids, "b")?;
                json.need(fields.asks, "a")?;
                let link = if self.futures {
                    Link::Span { first, last, previous: json.need(fields.previous, "pu")? }
                } else if fields.previous.is_some() {
                    return Err(json.fault("a message of spot, which has no `pu`"));
                } else {
                    Link::Range { first, last }
                };
                Body::Levels { snapshot: false, link, checksum: None, levels: fields.start..out.levels.len() }
            }
            Kind::Quote => Body::Quote {
                sequence: json.need(fields.last, "u")?,
                bid: Some((json.need(fields.bid, "b")?, json.need(fields.bid_size, "B")?)),
                ask: Some((json.need(fields.ask, "a")?, json.need(fields.ask_size, "A")?)),
            },
            Kind::Trade | Kind::AggregateTrade => {
                let single = kind == Kind::Trade;
                self.single_trades |= single;
                let id = if single { json.need(fields.id, "t")? } else { json.need(fields.aggregate, "a")? };
                let (price, size) = (json.need(fields.price, "p")?, json.need(fields.size, "q")?);
                let maker = json.need(fields.buyer_is_maker, "m")?;
                if self.single_trades && !single {
                    return Ok(());
                }
                let side = Some(if maker { Side::Ask } else { Side::Bid });
                // Liquidations paid by the insurance fund and the like are no trades in the book, but they have ids.
                Body::Trade { id, price, size, side, silent: fields.off_market }
            }
            Kind::Mark => {
                let due = fields.engine_time.unwrap_or(Nanos::UNKNOWN);
                let mark = Some(json.need(fields.price, "p")?);
                let funding = fields.rate.map(|rate| (rate, due));
                let ts_event = fields.event_time.unwrap_or(Nanos::UNKNOWN);
                out.push(symbol, ts_event, Body::Mark { mark, index: fields.index, iv: None, funding });
                return Ok(());
            }
            Kind::Shutdown | Kind::Other => Body::Other,
        };
        out.push(symbol, ts_event, body);
        Ok(())
    }
}

/// Whether a stream's name is that of partial books: `btcusdt@depth20@100ms`, not `btcusdt@depth@100ms`.
fn is_partial(stream: &[u8]) -> bool {
    const MARK: &[u8] = b"@depth";
    let mark = memchr::memmem::find(stream, MARK).and_then(|at| stream.get(at + MARK.len()));
    mark.is_some_and(u8::is_ascii_digit)
}

/// Binance's times are in ms, or in µs where the connection asked for them; ms stay below 10^14 until the year 5138.
#[inline]
fn time(json: &mut Json<'_>) -> Read<Nanos> {
    let at = json.at();
    let time = json.unsigned()?;
    let per = if time < 100_000_000_000_000 { 1_000_000 } else { 1_000 };
    i64::try_from(time)
        .ok()
        .and_then(|time| time.checked_mul(per))
        .map(Nanos)
        .ok_or(Fault { at, kind: FaultKind::Time })
}

const QUOTES: [&str; 14] =
    ["USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USDP", "USD", "EUR", "GBP", "TRY", "BRL", "BTC", "ETH", "BNB"];

fn describe(venue: Venue, symbol: &str) -> Option<Instrument> {
    let symbol = symbol.to_ascii_uppercase();
    let mut parts = symbol.split('_');
    let pair = parts.next().unwrap_or_default();
    if (venue == Venue::BinanceCoinm) != (symbol.contains('_') && pair.ends_with("USD")) {
        return None;
    }
    let (base, quote) = QUOTES
        .iter()
        .find_map(|quote| pair.strip_suffix(quote).filter(|base| !base.is_empty()).map(|base| (base, *quote)))?;
    let contract = match venue {
        Venue::BinanceUsdm => Contract::Linear,
        Venue::BinanceCoinm => Contract::Inverse,
        _ => Contract::Spot,
    };
    let mut found = Instrument::named(venue, &symbol, contract, base, quote);
    if contract == Contract::Inverse {
        // Binance lists COIN-M contracts of 100 USD for BTC and of 10 USD for everything else.
        found.multiplier = Unit::new(1, if base == "BTC" { 2 } else { 1 })?;
    }
    let dated = |suffix: &&str| suffix.len() == 6 && suffix.bytes().all(|byte| byte.is_ascii_digit());
    found.delivery = parts.next().filter(dated).map(str::to_owned);
    Some(found)
}

#[derive(Deserialize)]
struct Listing {
    symbols: Vec<Listed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    symbol: String,
    base_asset: String,
    quote_asset: String,
    #[serde(default)]
    margin_asset: String,
    #[serde(default)]
    contract_size: Option<u32>,
    #[serde(default)]
    filters: Vec<Filter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    filter_type: String,
    #[serde(default)]
    tick_size: Option<String>,
    #[serde(default)]
    step_size: Option<String>,
}

impl Listed {
    fn steps(&self) -> (Option<Unit>, Option<Unit>) {
        let find = |kind: &str| self.filters.iter().find(|filter| filter.filter_type == kind);
        let tick = find("PRICE_FILTER").and_then(|filter| filter.tick_size.as_deref()).and_then(step_of);
        let lot = find("LOT_SIZE").and_then(|filter| filter.step_size.as_deref()).and_then(step_of);
        (tick, lot)
    }
}

fn list_spot(body: &[u8]) -> Result<Vec<Instrument>, String> {
    let listing: Listing = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    Ok(listing
        .symbols
        .iter()
        .map(|listed| {
            let (base, quote) = (&listed.base_asset, &listed.quote_asset);
            let mut found = Instrument::named(Venue::BinanceSpot, &listed.symbol, Contract::Spot, base, quote);
            (found.tick, found.lot) = listed.steps();
            found.price_unit = tick_decimals(found.tick, 8);
            // Resting sizes lie off the lot: the text has eight decimals.
            found.size_unit = Unit::decimals(8);
            found
        })
        .collect())
}

fn list_futures(venue: Venue, body: &[u8]) -> Result<Vec<Instrument>, String> {
    let listing: Listing = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    Ok(listing
        .symbols
        .iter()
        .map(|listed| {
            let contract = if venue == Venue::BinanceCoinm { Contract::Inverse } else { Contract::Linear };
            let (base, quote) = (&listed.base_asset, &listed.quote_asset);
            let mut found = Instrument::named(venue, &listed.symbol, contract, base, quote);
            if !listed.margin_asset.is_empty() {
                found.settle.clone_from(&listed.margin_asset);
            }
            if let Some(size) = listed.contract_size.and_then(|size| Unit::new(i64::from(size), 0)) {
                found.multiplier = size;
            }
            let dated = |suffix: &&str| suffix.len() == 6 && suffix.bytes().all(|byte| byte.is_ascii_digit());
            found.delivery = listed.symbol.split('_').nth(1).filter(dated).map(str::to_owned);
            (found.tick, found.lot) = listed.steps();
            found.price_unit = tick_decimals(found.tick, 8);
            found.size_unit = tick_decimals(found.lot, 8);
            found
        })
        .collect())
}

#[cfg(test)]
mod tests;
