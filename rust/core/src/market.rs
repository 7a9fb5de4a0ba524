//! Several venues' books of one economic instrument, seen as one: the touch of each venue in common units, the best over
//! all of them, the consolidated book and the crosses between venues.

mod consolidated;
pub mod convert;
mod cross;
mod cycle;
mod ladder;
mod observe;
mod path;
pub mod placement;
mod pool_venue;
pub mod route;
mod tops;
mod touch;

use thiserror::Error;

pub use self::consolidated::{BestQuote, Consolidated, ConsolidatedLevel, MarketDepth, Merged, QuoteState, venues_of};
use self::convert::{Conversion, NO_ASK, NO_BID, Rate, Units};
pub use self::cross::{
    Capital, CellResult, Cross, CrossRules, Crosses, Delay, DepthCross, FairBasis, FundingState, GridRules, Holding,
    Scan, ScanRules, Shot, run_delayed, walk,
};
pub use self::cycle::{
    CycleError, CycleRules, Cycles, FoundCycle, Leg, MOST_CYCLES, PayingCycle, Plan, PlanLeg, cycles_now, plan,
};
pub use self::ladder::{LadderLevel, VenueLadder};
pub use self::observe::{DepthRows, Observer, QuoteRows};
pub use self::path::{BestRows, Rows};
pub use self::pool_venue::{MOST_LEVELS, PoolRules, PoolTime, PoolVenue, snapshot};
pub use self::tops::NetCross;
use self::tops::Tops;
pub use self::touch::{Change, Source, Status, Touch, VenueBook};
use crate::event::{Event, Kind};
use crate::instrument::Instrument;
use crate::pool::PoolError;
use crate::units::{Nanos, Price, Side};

/// The most instruments of a market: one bit each in a set of venues.
pub const MAX_VENUES: usize = 64;
/// A venue is stale if nothing was heard of its quotes or depth for so many ns, unless its market says otherwise.
pub const STALE_AFTER: i64 = 5_000_000_000;

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
    /// More instruments than a set of venues has bits.
    #[error("expected at most {MAX_VENUES} instruments, found {0}")]
    TooMany(usize),
    /// A currency's rate cannot be had from what was given for it.
    #[error("rate of {currency}: expected a spot instrument of {currency} and {quote}, found {found}")]
    Rate {
        /// The currency.
        currency: String,
        /// The market's quote currency.
        quote: String,
        /// What was given.
        found: String,
    },
    /// A rate for the currency that needs none.
    #[error("rate of {0}: it is the market's quote currency; name another with `quote`, or give the other's rate")]
    OwnRate(String),
    /// Sizes of an instrument are no whole lots.
    #[error("{name}: expected a lot that is a multiple of the size unit {unit} or divides it, found {lot}")]
    Lot {
        /// The instrument.
        name: String,
        /// Its lot.
        lot: String,
        /// Its size unit.
        unit: String,
    },
    /// A size or an amount of money does not fit 127 bits.
    #[error("expected sizes, prices and amounts whose products fit 127 bits")]
    Overflow,
    /// A delay below zero or above 2^60 ns, 36 years.
    #[error("expected delays from 0 to 2^60 ns, found {0}")]
    Delay(i64),
    /// A capital or holding below zero.
    #[error("expected capitals and holdings of zero or more")]
    Capital,
    /// No such instrument.
    #[error("instrument {index}: expected one of {count}")]
    NoInstrument {
        /// The index given.
        index: usize,
        /// How many instruments there are.
        count: usize,
    },
    /// A pool exchanges one currency for another.
    #[error("{name}: expected a spot instrument for a pool, found {found}")]
    PoolInstrument {
        /// The instrument.
        name: String,
        /// What contract it is.
        found: &'static str,
    },
    /// A number of levels out of range.
    #[error("{name}: expected 1 to {MOST_LEVELS} levels a side of a pool, found {found}")]
    PoolLevels {
        /// The instrument.
        name: String,
        /// As given.
        found: usize,
    },
    /// A pool cannot be read in the units of its instrument.
    #[error("{name}: {error}")]
    Pool {
        /// The instrument.
        name: String,
        /// What the pool said.
        error: Box<PoolError>,
    },
    /// A limit of staleness below zero.
    #[error("expected a limit of staleness of zero or more ns, found {0}")]
    Limit(i64),
}

/// What makes a market of instruments, beyond the instruments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarketRules {
    /// The currency of common prices; the first venue's quote currency if not given.
    pub quote: Option<String>,
    /// How other currencies become that one. Venues that quote in a currency without a rate are left out. The instruments
    /// whose books are rates are no venues.
    pub fx: Vec<(String, Rate)>,
    /// Taker fee of each instrument, parts per billion; the venues' base tiers if empty.
    pub fees: Vec<i64>,
    /// A venue is stale if nothing was heard of its quotes or depth for so many ns, by instrument; [`STALE_AFTER`] if
    /// empty, [`i64::MAX`]: never.
    pub stale_after: Vec<i64>,
}

/// Venues that trade one economic instrument.
#[derive(Clone, Debug)]
pub struct Market {
    venues: Vec<VenueBook>,
    conversions: Vec<Conversion>,
    limits: Vec<i64>,
    units: Units,
    fx: Vec<(String, Rate)>,
    tops: Tops,
    /// By instrument: the venues whose currency's rate is its book, as bits.
    needing: Vec<u64>,
    /// Venues whose touch counts, and instruments that are rates, as bits.
    live: u64,
    rates: u64,
    now: i64,
    /// No live venue is stale before this.
    next_expiry: i64,
    factors: Vec<i64>,
    crosses: Option<Crosses>,
    /// By instrument, as far as any is one: the pool behind it.
    pools: Vec<Option<Box<PoolVenue>>>,
}

impl Market {
    /// A market of these instruments by the default rules; an event's `instrument` is the index in this list.
    ///
    /// # Errors
    /// [`MarketError`] if the list is empty, the bases differ or the price units have no common one.
    pub fn new(instruments: Vec<Instrument>) -> Result<Self, MarketError> {
        Self::with_rules(instruments, MarketRules::default())
    }

    /// A market of these instruments; an event's `instrument` is the index in this list.
    ///
    /// # Errors
    /// [`MarketError`] if the instruments do not fit each other or the rules.
    pub fn with_rules(instruments: Vec<Instrument>, rules: MarketRules) -> Result<Self, MarketError> {
        let MarketRules { quote, fx, mut fees, stale_after: mut limits } = rules;
        let expected = instruments.len();
        if expected > MAX_VENUES {
            return Err(MarketError::TooMany(expected));
        }
        let is_venue = |index: &usize| !convert::is_rate(*index, &fx);
        let first = (0..expected).find(is_venue).and_then(|index| instruments.get(index)).ok_or(MarketError::Empty)?;
        let units = Units::common(&instruments, quote.as_deref().unwrap_or(&first.quote), &fx)?;
        let conversions =
            (0..expected).map(|index| Conversion::new(index, &instruments, &units, &fx)).collect::<Result<_, _>>()?;
        if fees.is_empty() {
            fees = instruments.iter().map(|one| one.venue.base_taker_fee()).collect();
        }
        if limits.is_empty() {
            limits = vec![STALE_AFTER; expected];
        }
        for (what, found) in [("fees", fees.len()), ("limits of staleness", limits.len())] {
            if found != expected {
                return Err(MarketError::Length { what, expected, found });
            }
        }
        if let Some(fee) = fees.iter().find(|fee| !is_fee(**fee)) {
            return Err(MarketError::Fee(*fee));
        }
        if let Some(limit) = limits.iter().find(|limit| **limit < 0) {
            return Err(MarketError::Limit(*limit));
        }
        let members: Vec<_> = (0..expected).filter(is_venue).collect();
        let kept: Vec<_> = members.iter().filter_map(|index| instruments.get(*index).cloned()).collect();
        let mut factors = vec![1; expected];
        for (index, factor) in members.into_iter().zip(common_units(&kept)?) {
            if let Some(place) = factors.get_mut(index) {
                *place = factor;
            }
        }
        let rates = (0..expected).filter(|index| !is_venue(index)).fold(0, |rates, index| rates | 1 << index);
        let mut needing = vec![0; expected];
        for (index, one) in
            instruments.iter().enumerate().filter(|(index, one)| is_venue(index) && one.quote != units.quote)
        {
            let rate = fx.iter().find(|(currency, _)| *currency == one.quote);
            if let Some((_, Rate::Book(rate))) = rate {
                needing.get_mut(*rate).into_iter().for_each(|mask: &mut u64| *mask |= 1 << index);
            }
        }
        Ok(Self {
            venues: instruments.into_iter().map(VenueBook::new).collect(),
            conversions,
            limits,
            units,
            fx,
            needing,
            tops: Tops::new(fees),
            live: 0,
            rates,
            now: i64::MIN,
            next_expiry: i64::MAX,
            factors,
            crosses: None,
            pools: Vec::new(),
        })
    }

    /// A market of the same instruments by the same rules, of which nothing is known yet.
    ///
    /// # Errors
    /// None that this market did not give.
    pub fn fresh(&self) -> Result<Self, MarketError> {
        let rules = MarketRules {
            quote: Some(self.units.quote.clone()),
            fx: self.fx.clone(),
            fees: self.fees().to_vec(),
            stale_after: self.limits.clone(),
        };
        Self::with_rules(self.venues.iter().map(|venue| venue.instrument().clone()).collect(), rules)
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
        self.now = event.ts_recv.0;
        if self.now > self.next_expiry {
            self.expire();
        }
        let venue = self.venues.get_mut(index)?;
        let change = venue.apply(event);
        if let (Kind::Funding, Some(crosses)) = (event.kind, &mut self.crosses) {
            crosses.on_funding(event.ts_recv.0, index, FundingState { rate: event.price.0, due: event.size.0 });
        }
        // Any message may move the touch or make a venue count that did not.
        if change.is_some() {
            self.refresh(index);
        }
        change
    }

    /// Time goes by without an event: venues not heard of for longer than their limit are left out from here on. `now` is
    /// on the receive clock; the next event may set it back.
    pub fn advance(&mut self, now: Nanos) {
        self.now = now.0;
        if self.now > self.next_expiry {
            self.expire();
        }
    }

    /// The touch of an instrument, or whether it counts, may differ from before.
    #[inline]
    fn refresh(&mut self, index: usize) {
        let (Some(venue), Some(limit)) = (self.venues.get(index), self.limits.get(index).copied()) else { return };
        let now = Nanos(self.now);
        let touch = if venue.status(now, limit) == Status::Live { venue.touch() } else { None };
        let bit = 1 << index;
        if touch.is_some() && self.live & bit == 0 {
            self.live |= bit;
            self.next_expiry =
                self.next_expiry.min(venue.heard().map_or(i64::MAX, |heard| heard.0.saturating_add(limit)));
        } else if touch.is_none() {
            self.live &= !bit;
        }
        let quote = touch.map(|touch| (touch.quote.bid, touch.quote.ask));
        if let Some(crosses) = &mut self.crosses {
            crosses.on_touch(self.now, index, quote.map(|(bid, ask)| (bid.0, ask.0)));
        }
        if self.rates & bit != 0 {
            self.set_rate(index, quote);
        } else {
            self.set_top(index, quote);
        }
    }

    #[inline]
    fn set_top(&mut self, index: usize, touch: Option<(Price, Price)>) {
        let (bid, ask) = match (touch, self.conversions.get(index)) {
            (Some((bid, ask)), Some(conversion)) => (conversion.bid(bid), conversion.ask(ask)),
            _ => (NO_BID, NO_ASK),
        };
        self.tops.set(index, bid, ask);
    }

    /// A rate has changed, and with it the touches of all venues that need it.
    #[inline(never)]
    fn set_rate(&mut self, rate: usize, touch: Option<(Price, Price)>) {
        let mut needing = self.needing.get(rate).copied().unwrap_or(0);
        while needing != 0 {
            let index = needing.trailing_zeros() as usize;
            needing &= needing - 1;
            if let Some(conversion) = self.conversions.get_mut(index) {
                conversion.set_rate(touch);
            }
            let counts = self.live >> index & 1 == 1;
            let quote = self.venues.get(index).and_then(VenueBook::touch).filter(|_| counts);
            self.set_top(index, quote.map(|touch| (touch.quote.bid, touch.quote.ask)));
        }
    }

    /// Leaves out the venues that have become stale. Crosses end at the instant at which their venue did.
    #[cold]
    #[inline(never)]
    fn expire(&mut self) {
        let now = self.now;
        let due = |market: &Self, index: usize| {
            let heard = market.venues.get(index).and_then(VenueBook::heard)?;
            let limit = market.limits.get(index)?;
            (market.live >> index & 1 == 1).then(|| heard.0.saturating_add(*limit))
        };
        let mut stale: Vec<_> = (0..self.venues.len())
            .filter_map(|index| Some((due(self, index).filter(|at| *at < now)?, index)))
            .collect();
        stale.sort_unstable();
        for (at, index) in stale {
            self.now = at.saturating_add(1);
            self.refresh(index);
        }
        self.now = now;
        self.next_expiry = (0..self.venues.len()).filter_map(|index| due(self, index)).min().unwrap_or(i64::MAX);
    }

    /// The venues in the order of their instruments.
    #[must_use]
    pub fn venues(&self) -> &[VenueBook] {
        &self.venues
    }

    /// What the integers of common prices and sizes mean.
    #[must_use]
    pub const fn units(&self) -> &Units {
        &self.units
    }

    /// How an instrument's prices and sizes become common ones, at the rates of now.
    #[must_use]
    pub fn conversion(&self, index: usize) -> Option<&Conversion> {
        self.conversions.get(index)
    }

    /// Taker fees by instrument, parts per billion.
    #[must_use]
    pub fn fees(&self) -> &[i64] {
        self.tops.fees()
    }

    /// Limits of staleness by instrument, ns.
    #[must_use]
    pub fn limits(&self) -> &[i64] {
        &self.limits
    }

    /// The taker fee of an instrument is now this, in parts per billion.
    ///
    /// # Errors
    /// [`MarketError::Fee`] out of range, [`MarketError::Length`] if there is no such instrument.
    pub fn set_fee(&mut self, index: usize, fee: i64) -> Result<(), MarketError> {
        let expected = self.venues.len();
        if index >= expected {
            return Err(MarketError::Length { what: "fees", expected, found: index + 1 });
        }
        if !is_fee(fee) {
            return Err(MarketError::Fee(fee));
        }
        self.tops.set_fee(index, fee);
        Ok(())
    }

    /// The receive time of the last event, or what [`Self::advance`] said since; `None` before the first.
    #[must_use]
    pub const fn now(&self) -> Option<Nanos> {
        if self.now == i64::MIN { None } else { Some(Nanos(self.now)) }
    }

    /// Whether an instrument's book is there for a rate, so that it is no venue.
    #[must_use]
    pub const fn is_rate(&self, index: usize) -> bool {
        index < MAX_VENUES && self.rates >> index & 1 == 1
    }

    /// Whether a venue counts now, and if not, why.
    #[must_use]
    pub fn status(&self, index: usize) -> Status {
        let (Some(venue), Some(limit)) = (self.venues.get(index), self.limits.get(index)) else { return Status::Empty };
        match venue.status(Nanos(self.now), *limit) {
            // Where a receive time ran ahead and back, what was left out stays so until its next message.
            Status::Live if self.live >> index & 1 == 0 => Status::Stale,
            Status::Live if !self.is_rate(index) && !self.has_rate(index) => Status::NoRate,
            status => status,
        }
    }

    fn has_rate(&self, index: usize) -> bool {
        self.conversions.get(index).is_some_and(Conversion::has_rate)
    }

    /// A venue's touch in common prices, with [`NO_BID`] and [`NO_ASK`] where it does not count.
    #[inline]
    #[must_use]
    pub fn touch(&self, index: usize) -> (i64, i64) {
        self.tops.touch(index)
    }

    /// The highest bid and the lowest ask over the venues that count, with [`NO_BID`] and [`NO_ASK`] where there is none.
    #[inline]
    #[must_use]
    pub const fn best(&self) -> (i64, i64) {
        self.tops.best()
    }

    /// The best trade between two venues' touches, if it pays after their taker fees: the highest bid less its fee
    /// against the lowest ask and its fee.
    #[inline]
    #[must_use]
    pub fn cross(&self) -> Option<NetCross> {
        self.tops.cross()
    }

    /// The levels of one side of a venue from its touch on, best first. Empty unless the venue counts now; only the touch
    /// if the depth behind it does not (lost, or silent beyond the limit).
    #[must_use]
    pub fn ladder(&self, index: usize, side: Side) -> Option<VenueLadder<'_>> {
        let (venue, conversion) = (self.venues.get(index)?, self.conversions.get(index)?);
        let limit = *self.limits.get(index)?;
        let now = Nanos(self.now);
        let counts = self.live >> index & 1 == 1 && !self.is_rate(index);
        let touch = if counts { venue.touch().and_then(|touch| touch.quote.side(side)) } else { None };
        let behind = touch.filter(|_| venue.has_depth(now, limit)).and_then(|(price, _)| {
            let next = match side {
                Side::Bid => price.0.checked_sub(1),
                Side::Ask => price.0.checked_add(1),
            };
            next.map(|next| venue.book().levels_from(side, Price(next)))
        });
        Some(VenueLadder::new(side, conversion, touch, behind))
    }

    /// The worst common price up to which a venue's levels are all known: where the snapshot of its book ended, or its
    /// touch if nothing is known behind it. `None` if the venue does not count.
    #[must_use]
    pub fn horizon(&self, index: usize, side: Side) -> Option<i64> {
        let (venue, conversion) = (self.venues.get(index)?, self.conversions.get(index)?);
        if self.live >> index & 1 == 0 || self.is_rate(index) || !conversion.has_rate() {
            return None;
        }
        let (touch, _) = venue.touch()?.quote.side(side)?;
        let deep = venue.has_depth(Nanos(self.now), *self.limits.get(index)?);
        let horizon = venue.book().horizon(side).filter(|_| deep).map_or(touch, |horizon| match side {
            Side::Bid => horizon.min(touch),
            Side::Ask => horizon.max(touch),
        });
        Some(conversion.price(side, horizon))
    }

    /// The crosses found so far, if they are looked for.
    pub fn crosses(&mut self) -> Option<&mut Crosses> {
        self.crosses.as_mut()
    }
}

/// Whether a fee in parts per billion leaves something of a trade.
const fn is_fee(fee: i64) -> bool {
    fee > -1_000_000_000 && fee < 1_000_000_000
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
mod testing;
#[cfg(test)]
mod tests;
