//! The feed of Coinbase Exchange, once Pro, once GDAX.

use serde::Deserialize;

use super::super::json::{Decimal, Json, Read, Text};
use super::super::message::{Body, Frame, Level, Link, Symbol};
use super::super::protocol::{Channel, Dialect, quoted};
use super::super::{step_of, tick_decimals};
use super::{Best, PRODUCTS_PER_REQUEST, finest_size};
use crate::instrument::{Contract, Instrument, Venue};
use crate::units::{Nanos, Side};

/// Which messages of Coinbase Exchange mean something to us. Those of its `full` channel, by order, do not: it needs a
/// key, and its orders have names, not numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Snapshot,
    Change,
    Match,
    LastMatch,
    Ticker,
    Heartbeat,
    Subscriptions,
    Error,
    Other,
}

impl Type {
    const fn channel(self) -> Channel {
        match self {
            Self::Snapshot | Self::Change => Channel::Book,
            Self::Match | Self::LastMatch => Channel::Trades,
            Self::Ticker => Channel::Quotes,
            Self::Heartbeat | Self::Subscriptions | Self::Error | Self::Other => Channel::Marks,
        }
    }
}

/// What one message of Coinbase Exchange has brought so far.
#[derive(Default)]
struct Fields {
    kind: Option<Type>,
    product: Option<Text>,
    time: Option<Nanos>,
    bids: Option<()>,
    asks: Option<()>,
    changes: Option<()>,
    id: Option<u64>,
    price: Option<Option<Decimal>>,
    size: Option<Option<Decimal>>,
    maker: Option<Side>,
    sequence: Option<u64>,
    bid: Best,
    ask: Best,
    message: Option<Text>,
}

/// One connection to Coinbase Exchange.
#[derive(Debug)]
pub(super) struct Exchange;

impl Dialect for Exchange {
    fn read(&mut self, frame: &[u8], out: &mut Frame) -> Read<()> {
        let mut json = Json::new(frame);
        let mut fields = Fields::default();
        json.object(|json, key| fields.take(json, key, out))?;
        json.end()?;
        fields.message(&json, out)
    }

    fn read_snapshot(&mut self, body: &[u8], out: &mut Frame) -> Read<()> {
        out.channel = Some(Channel::Book);
        let mut json = Json::new(body);
        let mut fields = Fields::default();
        json.object(|json, key| fields.take(json, key, out))?;
        json.end()?;
        json.need(fields.bids, "bids")?;
        json.need(fields.asks, "asks")?;
        let link = Link::At(json.need(fields.sequence, "sequence")?);
        let ts_event = fields.time.unwrap_or(Nanos::UNKNOWN);
        let levels = 0..out.levels.len();
        out.push(Symbol::Asked, ts_event, Body::Levels { snapshot: true, link, checksum: None, levels });
        Ok(())
    }

    fn subscribe(&mut self, on: bool, symbols: &[&str], channels: &[Channel], _depth: u16, out: &mut Vec<String>) {
        let kind = if on { "subscribe" } else { "unsubscribe" };
        let mut names: Vec<&str> = Vec::new();
        for channel in channels {
            match channel {
                // The one without a key: changes of 50 ms together.
                Channel::Book => names.push("level2_batch"),
                Channel::Trades => names.push("matches"),
                Channel::Quotes => names.push("ticker"),
                Channel::Marks => {}
            }
        }
        if names.is_empty() {
            return;
        }
        if on {
            names.push("heartbeat");
        }
        for symbols in symbols.chunks(PRODUCTS_PER_REQUEST) {
            let (products, names) = (quoted(symbols), quoted(&names));
            out.push(format!("{{\"type\":\"{kind}\",\"product_ids\":[{products}],\"channels\":[{names}]}}"));
        }
    }
}

impl Fields {
    #[inline]
    fn take(&mut self, json: &mut Json<'_>, key: &[u8], out: &mut Frame) -> Read<()> {
        match key {
            b"type" => {
                let kind = match json.text()? {
                    b"snapshot" => Type::Snapshot,
                    b"l2update" => Type::Change,
                    b"match" => Type::Match,
                    b"last_match" => Type::LastMatch,
                    b"ticker" => Type::Ticker,
                    b"heartbeat" => Type::Heartbeat,
                    b"subscriptions" => Type::Subscriptions,
                    b"error" => Type::Error,
                    _ => Type::Other,
                };
                out.channel = Some(kind.channel());
                json.once(&mut self.kind, kind, "type")
            }
            b"product_id" => {
                let product = json.name()?;
                out.symbol = Some(Symbol::At(product));
                json.once(&mut self.product, product, "product_id")
            }
            _ if self.kind == Some(Type::Other) => json.skip(),
            b"time" => json.field(&mut self.time, "time", Json::iso),
            b"bids" => {
                json.once(&mut self.bids, (), "bids")?;
                out.take_levels(json, Side::Bid)
            }
            b"asks" => {
                json.once(&mut self.asks, (), "asks")?;
                out.take_levels(json, Side::Ask)
            }
            b"changes" => {
                json.once(&mut self.changes, (), "changes")?;
                json.array(|json| {
                    json.open()?;
                    let side = json.side(b"buy", b"sell", "buy or sell")?;
                    json.comma()?;
                    let price = json.decimal()?;
                    json.comma()?;
                    let size = json.decimal()?;
                    out.levels.push(Level { price, size, side });
                    json.close()
                })
            }
            b"trade_id" => json.field(&mut self.id, "trade_id", Json::unsigned),
            b"price" => json.field(&mut self.price, "price", Json::optional_decimal),
            b"size" => json.field(&mut self.size, "size", Json::optional_decimal),
            b"side" => json.field(&mut self.maker, "side", |json| json.side(b"buy", b"sell", "buy or sell")),
            b"sequence" => json.field(&mut self.sequence, "sequence", Json::unsigned),
            b"best_bid" => json.field(&mut self.bid.price, "best_bid", Json::optional_decimal),
            b"best_bid_size" => json.field(&mut self.bid.size, "best_bid_size", Json::optional_decimal),
            b"best_ask" => json.field(&mut self.ask.price, "best_ask", Json::optional_decimal),
            b"best_ask_size" => json.field(&mut self.ask.size, "best_ask_size", Json::optional_decimal),
            b"message" if json.peek() == b'"' => json.field(&mut self.message, "message", Json::name),
            b"channels" => json.array(|json| match json.peek() {
                b'{' => json.object(|json, key| match key {
                    b"product_ids" => json.array(|json| {
                        let product = json.name()?;
                        out.push(Symbol::At(product), Nanos::UNKNOWN, Body::Subscribed);
                        Ok(())
                    }),
                    _ => json.skip(),
                }),
                _ => json.skip(),
            }),
            _ => json.skip(),
        }
    }

    #[inline]
    fn message(self, json: &Json<'_>, out: &mut Frame) -> Read<()> {
        let kind = json.need(self.kind, "type")?;
        let symbol = self.product.map(Symbol::At);
        let ts_event = self.time.unwrap_or(Nanos::UNKNOWN);
        let (symbol, body) = match kind {
            Type::Snapshot | Type::Change => {
                let snapshot = kind == Type::Snapshot;
                if snapshot {
                    json.need(self.bids, "bids")?;
                    json.need(self.asks, "asks")?;
                } else {
                    json.need(self.changes, "changes")?;
                    json.need(self.time, "time")?;
                }
                let levels = 0..out.levels.len();
                let body = Body::Levels { snapshot, link: Link::None, checksum: None, levels };
                (json.need(symbol, "product_id")?, body)
            }
            Type::Match | Type::LastMatch => {
                json.need(self.time, "time")?;
                let body = Body::Trade {
                    id: json.need(self.id, "trade_id")?,
                    price: json.need(self.price.flatten(), "price")?,
                    size: json.need(self.size.flatten(), "size")?,
                    side: Some(json.need(self.maker, "side")?.opposite()),
                    silent: kind == Type::LastMatch,
                };
                (json.need(symbol, "product_id")?, body)
            }
            Type::Ticker => {
                let symbol = json.need(symbol, "product_id")?;
                let (bid, ask) = (self.bid.side(), self.ask.side());
                // Sizes came in 2022: without them it is no quote. Its `sequence` counts all messages of the product.
                if bid.is_none() && ask.is_none() {
                    (symbol, Body::Other)
                } else {
                    (symbol, Body::Quote { sequence: json.need(self.sequence, "sequence")?, bid, ask })
                }
            }
            Type::Heartbeat => (symbol.unwrap_or(Symbol::None), Body::Heartbeat),
            Type::Error => (Symbol::None, self.message.map_or(Body::Other, Body::Refused)),
            Type::Subscriptions => return Ok(()),
            Type::Other => (symbol.unwrap_or(Symbol::None), Body::Other),
        };
        out.push(symbol, ts_event, body);
        Ok(())
    }
}

#[derive(Deserialize)]
struct ExchangeListed {
    id: String,
    base_currency: String,
    quote_currency: String,
    #[serde(default)]
    quote_increment: Option<String>,
    #[serde(default)]
    base_increment: Option<String>,
}

pub(super) fn list_exchange(body: &[u8]) -> Result<Vec<Instrument>, String> {
    let listing: Vec<serde_json::Value> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let listed = listing.into_iter().filter_map(|listed| serde_json::from_value::<ExchangeListed>(listed).ok());
    Ok(listed
        .map(|listed| {
            let (base, quote) = (&listed.base_currency, &listed.quote_currency);
            let mut found = Instrument::named(Venue::Coinbase, &listed.id, Contract::Spot, base, quote);
            found.tick = listed.quote_increment.as_deref().and_then(step_of);
            found.lot = listed.base_increment.as_deref().and_then(step_of);
            found.price_unit = tick_decimals(found.tick, 8);
            found.size_unit = finest_size(found.lot);
            found
        })
        .collect())
}
