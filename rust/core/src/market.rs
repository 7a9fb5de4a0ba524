//! Several venues' books of one economic instrument, seen as one: the touch of each venue and the crosses between them.

mod cross;
mod observe;
mod touch;

use thiserror::Error;

pub use self::cross::{Cross, CrossRules, Crosses, FairBasis, FundingState};
pub use self::observe::{DepthRows, Observer, QuoteRows};
pub use self::touch::{Change, Source, Touch, VenueBook};
use crate::event::{Event, Kind};
use crate::instrument::Instrument;

/// Why instruments do not make a market.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MarketError {
    /// No instrument at all.
    #[error("expected at least one instrument")]
    Empty,
    /// They are claims on different things.
    #[error("expected instruments of one base currency, found {0} and {1}")]
    Base(String, String),
    /// Their price units have no common one within 64 bits.
    #[error("expected price units within 10^18 of each other, found {0} and {1}")]
    Units(String, String),
    /// A list does not fit the instruments.
    #[error("expected {expected} {what}, one an instrument, found {found}")]
    Length {
        /// What there should be one of for each instrument.
        what: &'static str,
        /// How many instruments there are.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// A fee out of range.
    #[error("expected fees from -100 % to below 100 %, found {0} parts per billion")]
    Fee(i64),
}

/// Venues that trade one economic instrument.
#[derive(Clone, Debug)]
pub struct Market {
    venues: Vec<VenueBook>,
    factors: Vec<i64>,
    crosses: Option<Crosses>,
}

impl Market {
    /// A market of these instruments; an event's `instrument` is the index in this list.
    ///
    /// # Errors
    /// [`MarketError`] if the list is empty, the bases differ or the price units have no common one.
    pub fn new(instruments: Vec<Instrument>) -> Result<Self, MarketError> {
        let factors = common_units(&instruments)?;
        Ok(Self { venues: instruments.into_iter().map(VenueBook::new).collect(), factors, crosses: None })
    }

    /// Looks for crosses from here on.
    ///
    /// # Errors
    /// [`MarketError`] if the fees do not fit the instruments.
    pub fn watch_crosses(&mut self, rules: CrossRules) -> Result<(), MarketError> {
        self.crosses = Some(Crosses::new(self.factors.clone(), rules)?);
        Ok(())
    }

    /// Takes one event. At the end of a message it says what changed; events of instruments that this market does not
    /// have are passed over.
    #[inline]
    pub fn apply(&mut self, event: &Event) -> Option<Change> {
        let index = event.instrument as usize;
        let venue = self.venues.get_mut(index)?;
        let change = venue.apply(event);
        if let Some(crosses) = &mut self.crosses {
            if event.kind == Kind::Funding {
                crosses.on_funding(event.ts_recv.0, index, FundingState { rate: event.price.0, due: event.size.0 });
            }
            if change.is_some_and(Change::moves_touch) {
                let quote = venue.touch().map(|touch| (touch.quote.bid.0, touch.quote.ask.0));
                crosses.on_touch(event.ts_recv.0, index, quote);
            }
        }
        change
    }

    /// The venues in the order of their instruments.
    #[must_use]
    pub fn venues(&self) -> &[VenueBook] {
        &self.venues
    }

    /// The crosses found so far, if they are looked for.
    pub fn crosses(&mut self) -> Option<&mut Crosses> {
        self.crosses.as_mut()
    }
}

/// How many of the finest common price unit each instrument's price unit is, so that prices compare as integers.
///
/// # Errors
/// [`MarketError`] if there is no instrument, bases differ or the units lie too far apart.
pub fn common_units(instruments: &[Instrument]) -> Result<Vec<i64>, MarketError> {
    let first = instruments.first().ok_or(MarketError::Empty)?;
    let finest = instruments.iter().map(|i| i.price_unit.exponent()).min().unwrap_or_default();
    instruments
        .iter()
        .map(|instrument| {
            if instrument.base != first.base {
                return Err(MarketError::Base(first.base.clone(), instrument.base.clone()));
            }
            let unit = instrument.price_unit;
            let power = u32::from(unit.exponent().abs_diff(finest));
            10_i64
                .checked_pow(power)
                .and_then(|scale| scale.checked_mul(unit.mantissa()))
                .ok_or_else(|| MarketError::Units(first.price_unit.to_string(), unit.to_string()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Flags;
    use crate::instrument::Venue;
    use crate::units::{Nanos, Price, Side, Size};

    fn quote(market: &mut Market, ts: i64, instrument: u32, bid: i64, ask: i64) {
        for (side, price, flags) in [(Side::Bid, bid, Flags::NONE), (Side::Ask, ask, Flags::LAST)] {
            market.apply(&Event {
                ts_event: Nanos::UNKNOWN,
                ts_recv: Nanos(ts),
                sequence: ts.unsigned_abs(),
                order_id: 0,
                price: Price(price),
                size: Size(1),
                instrument,
                kind: Kind::Quote,
                side: Some(side),
                flags,
            });
        }
    }

    #[test]
    fn a_market_finds_crosses_between_venues_whose_units_differ() {
        let known = |venue, symbol| Instrument::builtin(venue, symbol).expect("built in");
        // Prices in 0.1 and in 0.01.
        let instruments = vec![known(Venue::BinanceUsdm, "BTCUSDT"), known(Venue::BinanceSpot, "BTCUSDT")];
        let mut market = Market::new(instruments).expect("a market");
        let rules = CrossRules {
            fees: vec![0, 0],
            ladder: vec![],
            pairs: vec![(0, 1, FairBasis::None)],
            perpetual: vec![true, false],
        };
        market.watch_crosses(rules).expect("rules");
        quote(&mut market, 10, 0, 618_000, 618_001);
        quote(&mut market, 20, 1, 6_180_050, 6_180_060);
        quote(&mut market, 30, 1, 6_180_000, 6_180_010);
        let found = market.crosses().expect("watched").take();
        assert_eq!(found.iter().map(|c| (c.buy, c.sell, c.start, c.end)).collect::<Vec<_>>(), [(0, 1, 20, 30)]);
    }

    #[test]
    fn claims_on_different_things_make_no_market() {
        let btc = Instrument::builtin(Venue::BinanceSpot, "BTCUSDT").expect("built in");
        let mut eth = btc.clone();
        eth.base = "ETH".to_owned();
        assert!(matches!(Market::new(vec![btc, eth]), Err(MarketError::Base(..))));
        assert!(matches!(Market::new(vec![]), Err(MarketError::Empty)));
    }
}
