//! What is traded where, and what one integer of it means.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::units::Unit;

/// One line a venue: its name in code, in tables and files, its short name, taker fee in parts per million, what it is.
macro_rules! venues {
    ($($venue:ident $name:literal $alias:literal $fee:literal $doc:literal;)*) => {
        /// A matching engine with its own feed rules, or a kind of pool.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[non_exhaustive]
        pub enum Venue {
            $(#[doc = $doc] $venue,)*
        }

        impl Venue {
            /// Every venue.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$venue),*];

            /// Name, short name as in the file names of captures, taker fee of the base tier in parts per million.
            const fn facts(self) -> (&'static str, &'static str, i64) {
                match self {
                    $(Self::$venue => ($name, $alias, $fee),)*
                }
            }
        }
    };
}

venues! {
    BinanceSpot "binance-spot" "spot" 1000 "Binance spot.";
    BinanceUsdm "binance-usdm" "usdm" 500 "Binance USD-margined futures.";
    BinanceCoinm "binance-coinm" "coinm" 500 "Binance coin-margined futures.";
    BinanceUs "binance-us" "binance-us" 600 "Binance.US.";
    Coinbase "coinbase" "coinbase" 6000 "Coinbase, spot.";
    Kraken "kraken" "kraken" 4000 "Kraken, spot.";
    KrakenFutures "kraken-futures" "kraken-futures" 500 "Kraken Futures.";
    Okx "okx" "okx" 1000 "OKX: spot, swaps, futures and options.";
    BybitSpot "bybit-spot" "bybit-spot" 1000 "Bybit spot.";
    BybitLinear "bybit-linear" "bybit-linear" 550 "Bybit futures and perpetuals margined in the quote currency.";
    BybitInverse "bybit-inverse" "bybit-inverse" 550 "Bybit futures and perpetuals margined in the base currency.";
    BybitOption "bybit-option" "bybit-option" 300 "Bybit options.";
    Deribit "deribit" "deribit" 500 "Deribit: perpetuals, futures, options and spot.";
    Hyperliquid "hyperliquid" "hyperliquid" 450 "Hyperliquid perpetuals.";
    Gate "gate" "gate" 1000 "Gate, spot.";
    GateFutures "gate-futures" "gate-futures" 500 "Gate, perpetuals settled in USDT.";
    Bitfinex "bitfinex" "bitfinex" 2000 "Bitfinex.";
    Bitstamp "bitstamp" "bitstamp" 4000 "Bitstamp, spot.";
    BitgetFutures "bitget-futures" "bitget-futures" 600 "Bitget perpetuals and futures.";
    Kucoin "kucoin" "kucoin" 1000 "KuCoin, spot.";
    Bitmex "bitmex" "bitmex" 500 "BitMEX.";
    Gemini "gemini" "gemini" 4000 "Gemini, spot.";
    Dydx "dydx" "dydx" 500 "dYdX perpetuals.";
    IndependentReserve "independent-reserve" "independent-reserve" 5000 "Independent Reserve, spot.";
    CryptoCom "crypto-com" "crypto-com" 5000 "Crypto.com Exchange: spot, perpetuals and futures.";
    UniswapV2 "uniswap-v2" "uniswap-v2" 0 "Constant-product pools; their fee is in their prices.";
    UniswapV3 "uniswap-v3" "uniswap-v3" 0 "Pools of concentrated liquidity; their fee is in their prices.";
}

impl Venue {
    /// Its full name, as in tables and files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.facts().0
    }

    /// Its short name, as in the file names of captures.
    #[must_use]
    pub const fn alias(self) -> &'static str {
        self.facts().1
    }

    /// Whether it is a kind of pool: its instruments have states, which [`crate::market::Market::set_pool`] takes, no feed.
    #[must_use]
    pub const fn is_pool(self) -> bool {
        matches!(self, Self::UniswapV2 | Self::UniswapV3)
    }

    /// Taker fee of the venue's base tier in parts per billion, from its public schedule as known, not read from it. Of
    /// venues with several kinds of contract, the fee of the dearest.
    #[must_use]
    pub const fn base_taker_fee(self) -> i64 {
        self.facts().2 * 1_000
    }
}

impl fmt::Display for Venue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Venue {
    type Err = InstrumentError;

    fn from_str(text: &str) -> Result<Self, InstrumentError> {
        Self::ALL
            .into_iter()
            .find(|venue| venue.name() == text || venue.alias() == text)
            .ok_or_else(|| InstrumentError::UnknownVenue(text.to_owned()))
    }
}

/// What kind of claim a contract is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Contract {
    /// The asset itself.
    Spot,
    /// A perpetual or future whose profit is in the quote currency; one contract is `multiplier` of the base.
    Linear,
    /// A perpetual or future whose profit is in the base currency; one contract is `multiplier` of the quote.
    Inverse,
    /// An option; one contract is `multiplier` of the base.
    Option,
}

impl Contract {
    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spot => "spot",
            Self::Linear => "linear",
            Self::Inverse => "inverse",
            Self::Option => "option",
        }
    }
}

/// Why an instrument cannot be described.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InstrumentError {
    /// No such venue.
    #[error("unknown venue {0:?}: expected one of {names}", names = Venue::ALL.map(Venue::name).join(", "))]
    UnknownVenue(String),
    /// The currencies cannot be read from the symbol.
    #[error(
        "{venue} {symbol:?}: expected a symbol that ends in a known quote currency; describe it in an instruments file"
    )]
    UnknownCurrencies {
        /// The venue.
        venue: Venue,
        /// The symbol as given.
        symbol: String,
    },
}

/// One instrument at one venue. Prices and sizes of its events are counts of `price_unit` and `size_unit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instrument {
    /// Where it trades.
    pub venue: Venue,
    /// The venue's own name for it, as its data messages write it.
    pub symbol: String,
    /// What kind of claim it is.
    pub contract: Contract,
    /// What one integer of price means, in quote currency per base currency.
    pub price_unit: Unit,
    /// What one integer of size means, in base currency (spot) or contracts.
    pub size_unit: Unit,
    /// Price step of a new order. Real levels may lie off it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tick: Option<Unit>,
    /// Size step of a new order. Real levels may lie off it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lot: Option<Unit>,
    /// Base currency (linear) or quote currency (inverse) of one contract.
    #[serde(default = "one")]
    pub multiplier: Unit,
    /// Base currency.
    pub base: String,
    /// Quote currency.
    pub quote: String,
    /// Settlement currency.
    pub settle: String,
    /// The date on which it is delivered or expires, `YYMMDD`; none for spot and perpetuals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<String>,
    /// Strike in quote currency and right of an option.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub option: Option<OptionTerms>,
}

/// What makes a contract an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptionTerms {
    /// Strike, in quote currency.
    pub strike: Unit,
    /// Whether it is a call; else a put.
    pub call: bool,
}

const fn one() -> Unit {
    Unit::ONE
}

impl Instrument {
    /// An instrument of which only the name and the claim are known: units, multiplier and steps are to be filled in.
    pub(crate) fn named(venue: Venue, symbol: &str, contract: Contract, base: &str, quote: &str) -> Self {
        let settle = if contract == Contract::Inverse { base } else { quote };
        Self {
            venue,
            symbol: symbol.to_owned(),
            contract,
            price_unit: Unit::ONE,
            size_unit: Unit::ONE,
            tick: None,
            lot: None,
            multiplier: Unit::ONE,
            base: base.to_owned(),
            quote: quote.to_owned(),
            settle: settle.to_owned(),
            delivery: None,
            option: None,
        }
    }

    /// Its name in the one naming for all venues: `BTC-USDT` (spot), `BTC-USDT-PERP`, `BTC-USD-241227`,
    /// `BTC-USD-241227-60000-C`.
    #[must_use]
    pub fn unified(&self) -> String {
        let mut name = format!("{}-{}", self.base, self.quote);
        match (&self.delivery, self.contract) {
            (_, Contract::Spot) => {}
            (None, _) => name.push_str("-PERP"),
            (Some(delivery), _) => {
                name.push('-');
                name.push_str(delivery);
            }
        }
        if let Some(option) = self.option {
            let right = if option.call { "C" } else { "P" };
            name = format!("{name}-{}-{right}", option.strike);
        }
        name
    }

    /// An instrument with the currencies and the contract that its venue and symbol imply, and the units given.
    ///
    /// # Errors
    /// [`InstrumentError::UnknownCurrencies`] if the symbol does not end in a known quote currency.
    pub fn infer(venue: Venue, symbol: &str, price_unit: Unit, size_unit: Unit) -> Result<Self, InstrumentError> {
        let unknown = || InstrumentError::UnknownCurrencies { venue, symbol: symbol.to_owned() };
        let mut found = crate::feed::describe(venue, symbol).ok_or_else(unknown)?;
        (found.price_unit, found.size_unit) = (price_unit, size_unit);
        Ok(found)
    }

    /// The instruments whose units are known without looking at the data.
    #[must_use]
    pub fn builtin(venue: Venue, symbol: &str) -> Option<Self> {
        let (price, size, tick, lot) = match (venue, symbol.to_ascii_uppercase().as_str()) {
            // Spot text has eight decimals, and real levels lie off the lot of 0.00001.
            (Venue::BinanceSpot, "BTCUSDT") => (2, 8, 2, 5),
            (Venue::BinanceUsdm, "BTCUSDT") => (1, 3, 1, 3),
            (Venue::BinanceCoinm, "BTCUSD_PERP") => (1, 0, 1, 0),
            _ => return None,
        };
        let mut instrument = Self::infer(venue, symbol, Unit::decimals(price), Unit::decimals(size)).ok()?;
        instrument.tick = Some(Unit::decimals(tick));
        instrument.lot = Some(Unit::decimals(lot));
        Some(instrument)
    }

    /// `venue:symbol`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}:{}", self.venue, self.symbol)
    }

    /// A price as a float in quote currency.
    #[must_use]
    pub fn price(&self, count: i64) -> f64 {
        self.price_unit.to_f64(count)
    }

    /// A size at a price as a float in base currency, so that contracts of every kind compare.
    #[must_use]
    pub fn base_size(&self, price: i64, size: i64) -> f64 {
        let contracts = self.size_unit.to_f64(size);
        match self.contract {
            Contract::Spot => contracts,
            Contract::Linear | Contract::Option => contracts * self.multiplier.as_f64(),
            Contract::Inverse if size == 0 => 0.0,
            Contract::Inverse => contracts * self.multiplier.as_f64() / self.price(price),
        }
    }
}

impl Serialize for Unit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Unit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| serde::de::Error::custom(format!("unit {text:?}: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inverse_contract_compares_in_base_currency() {
        let coinm = Instrument::builtin(Venue::BinanceCoinm, "btcusd_perp").expect("built in");
        assert_eq!(coinm.base_size(600_000, 6), 0.01, "6 contracts of 100 USD at 60,000 are 0.01 BTC");
        assert_eq!((coinm.base.as_str(), coinm.quote.as_str(), coinm.settle.as_str()), ("BTC", "USD", "BTC"));
    }

    #[test]
    fn other_coin_margined_contracts_are_ten_dollars() {
        let unit = Unit::decimals(2);
        let eth = Instrument::infer(Venue::BinanceCoinm, "ETHUSD_PERP", unit, Unit::ONE).expect("currencies");
        assert_eq!(eth.multiplier, Unit::parse("10").expect("a unit"));
    }

    #[test]
    fn a_dated_future_knows_its_delivery_and_a_perpetual_has_none() {
        let of = |venue, symbol| Instrument::infer(venue, symbol, Unit::ONE, Unit::ONE).expect("currencies").delivery;
        assert_eq!(of(Venue::BinanceUsdm, "BTCUSDT_241227").as_deref(), Some("241227"));
        assert_eq!(of(Venue::BinanceCoinm, "BTCUSD_PERP"), None);
    }

    #[test]
    fn an_instrument_survives_json() {
        let spot = Instrument::builtin(Venue::BinanceSpot, "BTCUSDT").expect("built in");
        let text = serde_json::to_string(&spot).expect("writes");
        assert_eq!(serde_json::from_str::<Instrument>(&text).expect("reads"), spot);
    }
}
