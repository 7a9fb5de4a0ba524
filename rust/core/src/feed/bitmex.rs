//! BitMEX: perpetuals and futures.
//!
//! `orderBookL2` names the levels of a book by ids: `partial` is the whole book, `insert` adds levels, `update`
//! changes sizes, `delete` removes. Until 2023 updates and deletions did not repeat the price, so the price of every
//! id is remembered here. There are no sequence numbers and no checksum; the one thing that shows a loss is a change
//! of an id that nobody named: that is a fault, and what comes then is passed over until the next `partial`, as is
//! what comes before the first. Sizes are contracts. Times: of the engine (`transactTime`) or of the table's row;
//! books had none until 2022. Trades that are no match in the book (settlement) count as silent, as does the history
//! that a subscription begins with.
//!
//! Quanto contracts (settled in bitcoin, quoted in dollars) are described as linear ones with another settlement
//! currency: what one contract is in base currency depends on the price and is not said. Spot, where sizes are in
//! 1e-8, is left out. Rules: the venue's documentation, real captures of 2021 to 2023.

use rustc_hash::FxHashMap;
use serde::Deserialize;

use super::json::{Decimal, Json, Read, Text};
use super::message::{Body, Frame, Level, Link, MAX_NAME, Symbol};
use super::protocol::{Channel, Dialect, KeepAlive, Protocol, RestLimit, SnapshotFrom};
use super::step_of;
use crate::instrument::{Contract, Instrument, Venue};
use crate::units::{Nanos, Side, Unit};

/// The protocols of this file.
pub(super) const PROTOCOLS: &[Protocol] = &[Protocol {
    name: "bitmex",
    venue: Venue::Bitmex,
    valid: ("", ""),
    url: "wss://ws.bitmex.com/realtime",
    mark: "bitmex.com/realtime",
    rest: "https://www.bitmex.com",
    snapshot_path: "",
    instruments_paths: &["/api/v1/instrument/active"],
    snapshot: SnapshotFrom::Stream,
    counts_frames: false,
    counts_trades: false,
    links: false,
    checksum: None,
    depth: 0,
    cuts: false,
    cross_resyncs: false,
    keep_alive: Some(KeepAlive { text: "ping", every: 5 }),
    silence: 20,
    per_connection: 50,
    sends_per_second: 10,
    limit: RestLimit { weight: 1, per_minute: 30 },
    source: "venue documentation, real capture of 2021, single real frames of 2021 to 2023; limits from memory",
    dialect: || Box::new(Bitmex::default()),
    list,
    describe,
}];

/// More levels of one book, or more books, than these are none of BitMEX.
const MAX_LEVELS: usize = 1 << 20;
const MAX_BOOKS: usize = 1 << 14;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Table {
    Book,
    Trade,
    Quote,
    Instrument,
    Funding,
    /// Candles, ten-level copies of the book, announcements.
    Other,
}

impl Table {
    fn of(name: &[u8]) -> Self {
        match name {
            b"orderBookL2" | b"orderBookL2_25" => Self::Book,
            b"trade" => Self::Trade,
            b"quote" => Self::Quote,
            b"instrument" => Self::Instrument,
            b"funding" => Self::Funding,
            _ => Self::Other,
        }
    }

    /// What is lost where a row of it cannot be read; of other tables nothing that a book would miss.
    const fn channel(self) -> Channel {
        match self {
            Self::Book => Channel::Book,
            Self::Trade => Channel::Trades,
            Self::Quote => Channel::Quotes,
            Self::Instrument | Self::Funding | Self::Other => Channel::Marks,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Partial,
    Insert,
    Update,
    Delete,
}

/// The prices of one book's ids.
#[derive(Debug, Default)]
struct Ids {
    /// Whether the whole book was seen: before, ids that nobody named are no fault.
    whole: bool,
    prices: FxHashMap<u64, (u64, i8)>,
}

/// One connection.
#[derive(Debug, Default)]
struct Bitmex {
    books: Vec<Ids>,
    by_symbol: FxHashMap<Box<[u8]>, usize>,
}

/// What one row of a book says.
struct Row {
    symbol: Text,
    side: Side,
    id: u64,
    price: Option<Decimal>,
    size: Option<Decimal>,
    time: Nanos,
}

impl Dialect for Bitmex {
    fn read(&mut self, frame: &[u8], out: &mut Frame) -> Read<()> {
        if frame == b"pong" {
            out.push(Symbol::None, Nanos::UNKNOWN, Body::Heartbeat);
            return Ok(());
        }
        let mut json = Json::new(frame);
        let (mut table, mut action, mut data, mut filter) = (None, None, None, None);
        let (mut read, mut subscribed, mut refused, mut status, mut request) = (false, None, None, None, None);
        json.object(|json, key| match key {
            b"table" => {
                let found = Table::of(json.text()?);
                out.channel = Some(found.channel());
                json.once(&mut table, found, "table")
            }
            b"action" => {
                let found = match json.text()? {
                    b"partial" => Action::Partial,
                    b"insert" => Action::Insert,
                    b"update" => Action::Update,
                    b"delete" => Action::Delete,
                    _ => return Err(json.fault("partial, insert, update or delete")),
                };
                json.once(&mut action, found, "action")
            }
            b"filter" if json.peek() == b'{' => json.object(|json, key| match key {
                b"symbol" if json.peek() == b'"' => {
                    filter = Some(json.name()?);
                    Ok(())
                }
                _ => json.skip(),
            }),
            b"data" => {
                json.once(&mut data, json.clone(), "data")?;
                match (table, action) {
                    (Some(table), Some(action)) => {
                        read = true;
                        self.rows(json, frame, table, action, out)
                    }
                    _ => json.skip(),
                }
            }
            b"subscribe" => {
                subscribed = Some(json.text()?);
                Ok(())
            }
            b"error" if json.peek() == b'"' => {
                refused = Some(json.name()?);
                Ok(())
            }
            b"status" => {
                status = Some(json.unsigned()?);
                Ok(())
            }
            b"request" => {
                request = Some(json.clone());
                json.skip()
            }
            _ => json.skip(),
        })?;
        json.end()?;
        if let Some(table) = table {
            let action = json.need(action, "action")?;
            let mut data = json.need(data, "data")?;
            if !read {
                self.rows(&mut data, frame, table, action, out)?;
            }
            if let (Table::Book, Action::Partial, true, Some(symbol)) = (table, action, out.messages.is_empty(), filter)
            {
                // A book without a level has no row that would name it.
                self.begin(&json, symbol.of(frame))?;
                let body = Body::Levels { snapshot: true, link: Link::None, checksum: None, levels: 0..0 };
                out.push(Symbol::At(symbol), Nanos::UNKNOWN, body);
            }
        } else if let Some(what) = refused {
            // A request of many topics is refused for one of them, and nobody says which; one of too many requests says
            // nothing of its topics.
            let one = if status == Some(400) { sole_topic(request)? } else { None };
            let again = what.of(frame).starts_with(b"You are already subscribed");
            let body = if again { Body::Subscribed } else { Body::Refused(what) };
            out.push(one.map_or(Symbol::None, Symbol::At), Nanos::UNKNOWN, body);
        } else if let Some(topic) = subscribed {
            let (table, symbol) = split(topic);
            out.channel = Some(Table::of(table).channel());
            let symbol = if symbol.is_empty() { Symbol::None } else { Symbol::At(json.place(symbol)) };
            out.push(symbol, Nanos::UNKNOWN, Body::Subscribed);
        } else {
            out.push(Symbol::None, Nanos::UNKNOWN, Body::Other);
        }
        Ok(())
    }

    /// The array of levels that the REST server answers.
    fn read_snapshot(&mut self, body: &[u8], out: &mut Frame) -> Read<()> {
        let mut json = Json::new(body);
        out.channel = Some(Channel::Book);
        self.book(&mut json, body, Action::Partial, out)?;
        json.end()
    }

    fn subscribe(&mut self, on: bool, symbols: &[&str], channels: &[Channel], depth: u16, out: &mut Vec<String>) {
        let op = if on { "subscribe" } else { "unsubscribe" };
        let topics: Vec<String> = channels
            .iter()
            .flat_map(|channel| {
                let table = match channel {
                    Channel::Book if (1..=25).contains(&depth) => "orderBookL2_25",
                    Channel::Book => "orderBookL2",
                    Channel::Trades => "trade",
                    Channel::Quotes => "quote",
                    Channel::Marks => "instrument",
                };
                symbols.iter().map(move |symbol| format!(r#""{table}:{symbol}""#))
            })
            .collect();
        // Few topics a message: one that is refused takes the others of its message with it.
        for topics in topics.chunks(10) {
            out.push(format!(r#"{{"op":"{op}","args":[{}]}}"#, topics.join(",")));
        }
    }

    fn reset(&mut self) {
        self.books.clear();
        self.by_symbol.clear();
    }
}

/// `orderBookL2:XBTUSD` in its two parts.
fn split(topic: &[u8]) -> (&[u8], &[u8]) {
    let colon = topic.iter().position(|&byte| byte == b':').unwrap_or(topic.len());
    (topic.get(..colon).unwrap_or_default(), topic.get(colon + 1..).unwrap_or_default())
}

/// The symbol of a request for a single topic.
fn sole_topic(request: Option<Json<'_>>) -> Read<Option<Text>> {
    let Some(mut json) = request else { return Ok(None) };
    if json.peek() != b'{' {
        return Ok(None);
    }
    let (mut count, mut found) = (0, None);
    let mut topic = |json: &mut Json<'_>| -> Read<()> {
        if json.peek() != b'"' {
            return json.skip();
        }
        let (_, symbol) = split(json.text()?);
        count += 1;
        found = (!symbol.is_empty()).then(|| json.place(symbol));
        Ok(())
    };
    json.object(|json, key| match key {
        b"args" if json.peek() == b'[' => json.array(&mut topic),
        b"args" => topic(json),
        _ => json.skip(),
    })?;
    Ok(if count == 1 { found } else { None })
}

impl Bitmex {
    fn rows(&mut self, json: &mut Json<'_>, frame: &[u8], table: Table, action: Action, out: &mut Frame) -> Read<()> {
        match table {
            Table::Book => self.book(json, frame, action, out),
            Table::Trade => json.array(|json| trade(json, action == Action::Partial, out)),
            Table::Quote => json.array(|json| quote(json, out)),
            Table::Instrument | Table::Funding => json.array(|json| mark(json, table == Table::Funding, out)),
            Table::Other => json.skip(),
        }
    }

    /// The place of a symbol's ids.
    fn ids(&mut self, json: &Json<'_>, symbol: &[u8]) -> Read<usize> {
        if let Some(&at) = self.by_symbol.get(symbol) {
            return Ok(at);
        }
        if symbol.len() > MAX_NAME {
            return Err(json.fault("a symbol of at most 96 bytes"));
        }
        if self.books.len() >= MAX_BOOKS {
            return Err(json.fault("at most 16,384 symbols on one connection"));
        }
        self.by_symbol.insert(symbol.into(), self.books.len());
        self.books.push(Ids::default());
        Ok(self.books.len() - 1)
    }

    /// A book is told anew.
    fn begin(&mut self, json: &Json<'_>, symbol: &[u8]) -> Read<usize> {
        let at = self.ids(json, symbol)?;
        if let Some(ids) = self.books.get_mut(at) {
            ids.whole = true;
            ids.prices.clear();
        }
        Ok(at)
    }

    /// Rows of a book; those of one symbol stand together and become one message.
    #[inline]
    fn book(&mut self, json: &mut Json<'_>, frame: &[u8], action: Action, out: &mut Frame) -> Read<()> {
        // The symbol of the rows before, where its ids and its levels begin, and the latest time.
        let mut run: Option<(Text, usize, usize, Nanos)> = None;
        let snapshot = action == Action::Partial;
        let mut several = false;
        json.array(|json| {
            let row = match (row(json, out), &run) {
                (Ok(row), _) => row,
                (Err(fault), last) => {
                    // A frame of several books loses the changes of all of them.
                    let named = matches!((out.symbol, last), (Some(Symbol::At(name)), Some((last, ..)))
                        if name.of(frame) != last.of(frame));
                    if named || several {
                        out.symbol = None;
                    }
                    return Err(fault);
                }
            };
            let symbol = row.symbol.of(frame);
            let at = match &mut run {
                Some((last, at, _, time)) if last.of(frame) == symbol => {
                    *time = Nanos(time.0.max(row.time.0));
                    *at
                }
                _ => {
                    if let Some(done) = run.take() {
                        several = true;
                        finish(done, snapshot, out);
                    }
                    let at = if snapshot { self.begin(json, symbol)? } else { self.ids(json, symbol)? };
                    run = Some((row.symbol, at, out.levels.len(), row.time));
                    at
                }
            };
            let Some(ids) = self.books.get_mut(at) else { return Ok(()) };
            if let Some(level) = ids.level(json, &row, action)? {
                out.levels.push(level);
            }
            Ok(())
        })?;
        if let Some(done) = run {
            finish(done, snapshot, out);
        }
        Ok(())
    }
}

fn finish(run: (Text, usize, usize, Nanos), snapshot: bool, out: &mut Frame) {
    let (symbol, _, from, time) = run;
    let levels = from..out.levels.len();
    // Nothing is left of changes whose prices nobody named yet.
    if snapshot || !levels.is_empty() {
        out.push(Symbol::At(symbol), time, Body::Levels { snapshot, link: Link::None, checksum: None, levels });
    }
}

impl Ids {
    /// The level that a row is about; none where the book was not told yet and the row does not say.
    #[inline]
    fn level(&mut self, json: &Json<'_>, row: &Row, action: Action) -> Read<Option<Level>> {
        let size = match action {
            Action::Delete => Decimal::ZERO,
            _ => json.need(row.size, "size")?,
        };
        let known = match (action, row.price) {
            (Action::Partial | Action::Insert, price) => {
                let price = json.need(price, "price")?;
                if self.prices.len() >= MAX_LEVELS {
                    (self.whole, self.prices) = (false, FxHashMap::default());
                    return Err(json.fault("at most 1,048,576 levels of one book"));
                }
                self.prices.insert(row.id, (price.digits, price.exponent));
                Some(price)
            }
            (Action::Update, price @ Some(_)) => price,
            (Action::Update, None) => self.prices.get(&row.id).copied().map(|found| price(found, size.at)),
            (Action::Delete, said) => {
                let found = self.prices.remove(&row.id);
                said.or_else(|| found.map(|found| price(found, size.at)))
            }
        };
        if known.is_none() && self.whole {
            // Everything that this book says from here on may be wrong: until it is told anew, nothing is read.
            (self.whole, self.prices) = (false, FxHashMap::default());
            return Err(json.fault("the id of a level that an earlier message named"));
        }
        Ok(known.map(|price| Level { price, size, side: row.side }))
    }
}

const fn price((digits, exponent): (u64, i8), at: u32) -> Decimal {
    Decimal { digits, at, exponent, negative: false }
}

#[inline]
fn row(json: &mut Json<'_>, out: &mut Frame) -> Read<Row> {
    let (mut symbol, mut id, mut side, mut size, mut price) = (None, None, None, None, None);
    let (mut time, mut engine) = (None, None);
    json.object(|json, key| match key {
        b"symbol" => {
            let found = json.name()?;
            out.symbol = Some(Symbol::At(found));
            json.once(&mut symbol, found, "symbol")
        }
        b"id" => json.field(&mut id, "id", Json::unsigned),
        b"side" => json.field(&mut side, "side", side_of),
        b"size" => json.field(&mut size, "size", Json::decimal),
        b"price" => json.field(&mut price, "price", Json::decimal),
        b"timestamp" => json.field(&mut time, "timestamp", Json::iso),
        b"transactTime" => json.field(&mut engine, "transactTime", Json::iso),
        _ => json.skip(),
    })?;
    Ok(Row {
        symbol: json.need(symbol, "symbol")?,
        side: json.need(side, "side")?,
        id: json.need(id, "id")?,
        price,
        size,
        time: engine.or(time).unwrap_or(Nanos::UNKNOWN),
    })
}

fn side_of(json: &mut Json<'_>) -> Read<Side> {
    json.side(b"Buy", b"Sell", "Buy or Sell")
}

fn trade(json: &mut Json<'_>, history: bool, out: &mut Frame) -> Read<()> {
    let (mut symbol, mut time, mut side, mut size, mut price) = (None, None, None, None, None);
    let mut regular = true;
    json.object(|json, key| match key {
        b"symbol" => {
            let found = Symbol::At(json.name()?);
            out.symbol = Some(found);
            json.once(&mut symbol, found, "symbol")
        }
        b"timestamp" => json.field(&mut time, "timestamp", Json::iso),
        b"side" if json.peek() == b'"' => {
            // A settlement has no side; it is left out, or empty.
            let found = match json.text()? {
                b"Buy" => Some(Side::Bid),
                b"Sell" => Some(Side::Ask),
                b"" => None,
                _ => return Err(json.fault("Buy or Sell")),
            };
            json.once(&mut side, found, "side")
        }
        b"size" => json.field(&mut size, "size", Json::decimal),
        b"price" => json.field(&mut price, "price", Json::decimal),
        b"trdType" if json.peek() == b'"' => {
            regular = json.text()? == b"Regular";
            Ok(())
        }
        _ => json.skip(),
    })?;
    let side = side.flatten();
    let body = Body::Trade {
        // Matches have a GUID.
        id: 0,
        price: json.need(price, "price")?,
        size: json.need(size, "size")?,
        side,
        silent: history || !regular,
    };
    out.push(json.need(symbol, "symbol")?, json.need(time, "timestamp")?, body);
    Ok(())
}

fn quote(json: &mut Json<'_>, out: &mut Frame) -> Read<()> {
    let (mut symbol, mut time) = (None, None);
    let (mut bid, mut bid_size, mut ask, mut ask_size) = (None, None, None, None);
    json.object(|json, key| match key {
        b"symbol" => {
            let found = Symbol::At(json.name()?);
            out.symbol = Some(found);
            json.once(&mut symbol, found, "symbol")
        }
        b"timestamp" => json.field(&mut time, "timestamp", Json::iso),
        b"bidPrice" => json.field(&mut bid, "bidPrice", Json::optional_decimal),
        b"bidSize" => json.field(&mut bid_size, "bidSize", Json::optional_decimal),
        b"askPrice" => json.field(&mut ask, "askPrice", Json::optional_decimal),
        b"askSize" => json.field(&mut ask_size, "askSize", Json::optional_decimal),
        _ => json.skip(),
    })?;
    // A side without orders is null, or left out.
    let side = |price: Option<Option<Decimal>>, size: Option<Option<Decimal>>| match (price.flatten(), size.flatten()) {
        (Some(price), Some(size)) => Some((price, size)),
        _ => Some((Decimal::ZERO, Decimal::ZERO)),
    };
    let body = Body::Quote { sequence: 0, bid: side(bid, bid_size), ask: side(ask, ask_size) };
    out.push(json.need(symbol, "symbol")?, json.need(time, "timestamp")?, body);
    Ok(())
}

/// A row of `instrument`, of which only what changed is told, or of `funding`, which was paid at its time.
fn mark(json: &mut Json<'_>, paid: bool, out: &mut Frame) -> Read<()> {
    let (mut symbol, mut time, mut due, mut state) = (None, None, None, None);
    let (mut mark, mut index, mut rate) = (None, None, None);
    json.object(|json, key| match key {
        b"symbol" => {
            let found = Symbol::At(json.name()?);
            out.symbol = Some(found);
            json.once(&mut symbol, found, "symbol")
        }
        b"timestamp" => json.field(&mut time, "timestamp", Json::iso),
        b"markPrice" => json.field(&mut mark, "markPrice", Json::optional_decimal),
        b"indicativeSettlePrice" => json.field(&mut index, "indicativeSettlePrice", Json::optional_decimal),
        b"fundingRate" => json.field(&mut rate, "fundingRate", Json::optional_decimal),
        b"fundingTimestamp" if json.peek() == b'"' => json.field(&mut due, "fundingTimestamp", Json::iso),
        b"state" if json.peek() == b'"' => {
            let found = json.text()? == b"Open";
            json.once(&mut state, found, "state")
        }
        _ => json.skip(),
    })?;
    let symbol = json.need(symbol, "symbol")?;
    let ts_event = time.unwrap_or(Nanos::UNKNOWN);
    if let Some(trading) = state {
        out.push(symbol, ts_event, Body::Status { trading });
    }
    let due = if paid { ts_event } else { due.unwrap_or(Nanos::UNKNOWN) };
    let (mark, index, funding) = (mark.flatten(), index.flatten(), rate.flatten().map(|rate| (rate, due)));
    if mark.is_some() || index.is_some() || funding.is_some() {
        out.push(symbol, ts_event, Body::Mark { mark, index, iv: None, funding });
    }
    Ok(())
}

/// A currency by its ordinary code: `XBT` and `XBt` are BTC, `USDt` is USDT.
fn currency(code: &str) -> String {
    match code {
        "XBT" | "XBt" => "BTC".to_owned(),
        "Gwei" => "ETH".to_owned(),
        _ => code.to_ascii_uppercase(),
    }
}

const QUOTES: [&str; 6] = ["USDT", "USDC", "USD", "EUR", "KRW", "XBT"];
const MONTHS: &str = "FGHJKMNQUVXZ";

fn describe(symbol: &str) -> Option<Instrument> {
    let symbol = symbol.to_ascii_uppercase();
    let (pair, settle) = match symbol.split_once('_') {
        Some((pair, settle)) => (pair, Some(settle)),
        None => (symbol.as_str(), None),
    };
    let (pair, delivery) = match dated(pair) {
        Some((pair, delivery)) => (pair, Some(delivery)),
        None => (pair, None),
    };
    let found = QUOTES
        .iter()
        .find_map(|quote| pair.strip_suffix(quote).filter(|base| !base.is_empty()).map(|base| (base, *quote)));
    let (base, quote) = match (found, &delivery) {
        (Some(found), _) => found,
        // Dated contracts without a quote currency: dollars for bitcoin, bitcoin for the others.
        (None, Some(_)) if pair == "XBT" => (pair, "USD"),
        (None, Some(_)) if !pair.is_empty() => (pair, "XBT"),
        _ => return None,
    };
    if !base.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    // `XBT_USDT` is spot, `ETHUSD_ETH` a contract settled in ETH.
    let dollars = matches!(quote, "USD" | "EUR");
    let contract = match settle {
        None if base == "XBT" && dollars => Contract::Inverse,
        Some(settle) if settle == base => Contract::Inverse,
        None => Contract::Linear,
        Some(_) => return None,
    };
    let mut found = Instrument::named(Venue::Bitmex, &symbol, contract, &currency(base), &currency(quote));
    if contract == Contract::Linear && dollars {
        found.settle = "BTC".to_owned();
    }
    found.delivery = delivery;
    Some(found)
}

/// The pair and the delivery of a symbol that ends in a month and a year such as `U21`: the last Friday of that month.
fn dated(symbol: &str) -> Option<(&str, String)> {
    let (pair, code) = symbol.split_at_checked(symbol.len().checked_sub(3)?)?;
    let month = MONTHS.find(code.get(..1)?)? + 1;
    let digits = code.get(1..)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let year = 2000 + digits.parse::<usize>().ok()?;
    // Days before this month since 1 January 2000, a Saturday.
    let leap = year.is_multiple_of(4);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let years = year - 2000;
    let before: usize = 365 * years + years.div_ceil(4) + lengths.iter().take(month - 1).sum::<usize>();
    let length = lengths.get(month - 1)?;
    let last = before + length - 1;
    let day = length - (last + 1) % 7;
    Some((pair, format!("{digits}{month:02}{day:02}")))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    symbol: String,
    typ: String,
    underlying: String,
    quote_currency: String,
    settl_currency: String,
    #[serde(default)]
    expiry: Option<String>,
    #[serde(default)]
    lot_size: Option<serde_json::Number>,
    #[serde(default)]
    tick_size: Option<serde_json::Number>,
    #[serde(default)]
    is_inverse: bool,
    #[serde(default)]
    underlying_to_position_multiplier: Option<i64>,
}

fn list(body: &[u8]) -> Result<Vec<Instrument>, String> {
    let listing: Vec<serde_json::Value> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    Ok(listing
        .into_iter()
        .filter_map(|listed| {
            let listed: Listed = serde_json::from_value(listed).ok()?;
            // Perpetuals and futures; not spot, indices and options.
            if !listed.typ.starts_with("FF") {
                return None;
            }
            let contract = if listed.is_inverse { Contract::Inverse } else { Contract::Linear };
            let (base, quote) = (currency(&listed.underlying), currency(&listed.quote_currency));
            let mut found = Instrument::named(Venue::Bitmex, &listed.symbol, contract, &base, &quote);
            found.settle = currency(&listed.settl_currency);
            let step = |number: Option<serde_json::Number>| number.and_then(|number| step_of(&number.to_string()));
            (found.tick, found.lot) = (step(listed.tick_size), step(listed.lot_size));
            // Settlements lie off the tick.
            let finer = found.tick.map_or(0, |tick| tick.exponent().min(0).unsigned_abs()) + 2;
            found.price_unit = Unit::decimals(finer.min(14));
            if let (Contract::Linear, Some(count)) = (contract, listed.underlying_to_position_multiplier) {
                // So many contracts are one of the base currency.
                let count = Unit::new(count, 0)?;
                found.multiplier = (count.mantissa() == 1).then(|| Unit::new(1, -count.exponent())).flatten()?;
            }
            if let Some(date) = listed.expiry {
                let (year, month, day) = (date.get(2..4)?, date.get(5..7)?, date.get(8..10)?);
                found.delivery = Some(format!("{year}{month}{day}"));
            }
            Some(found)
        })
        .collect())
}

#[cfg(test)]
mod tests;
