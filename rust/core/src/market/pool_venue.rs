//! Pools as venues of a market.
//!
//! A pool has no feed of levels; it has a state, and a state is known as of a block. [`Market::set_pool`] takes the whole
//! state whenever it changes and makes of it what a venue with a book would have sent: a snapshot of levels, of a stated
//! step and number, at the prices that they cost or bring with the pool's own fee, rounded against the taker. So quotes,
//! the consolidated book, depth, crosses, cycles and staleness see a pool as any venue. A part of a level costs less than
//! the mean that it shows; routes do not rely on that but on the pool itself, which the market keeps beside the snapshot
//! for as long as nothing newer is heard of the venue.

use super::touch::Touch;
use super::{Change, Market, MarketError};
use crate::event::{Event, Flags, Kind};
use crate::instrument::Contract;
use crate::pool::{Curve, Pool, PoolError, Scale, Token, U256};
use crate::units::{Nanos, Price, Side, Size};

/// The most levels of a side that a pool shows.
pub const MOST_LEVELS: usize = 10_000;

/// How a pool is read as a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolRules {
    /// Which token is the instrument's base currency; the other one is its quote currency.
    pub base: Token,
    /// Decimals of token 0 and token 1.
    pub decimals: [u8; 2],
    /// Price units between the ends of two levels; none: a basis point of the price, at least one price unit.
    pub step: Option<i64>,
    /// Levels a side, 1 to [`MOST_LEVELS`].
    pub levels: usize,
}

/// As of when a state of a pool is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolTime {
    /// The chain's clock: the time of the block.
    pub ts_event: Nanos,
    /// Our clock: when it was received.
    pub ts_recv: Nanos,
    /// The number of the block, or of the change.
    pub sequence: u64,
}

/// The pool behind a venue.
#[derive(Clone, Debug)]
pub struct PoolVenue {
    /// Its state.
    pub pool: Pool,
    /// Its curve in floats.
    pub curve: Curve,
    /// Prices in the instrument's unit, sizes in the market's.
    pub scale: Scale,
    /// Which token is the quote currency, and how many decimals it has.
    pub decimals: u8,
    /// Raw quote of one common price unit times one common size unit, in the instrument's currency.
    pub(super) notional: (U256, U256),
    /// What the venue showed when it was set.
    touch: Option<Touch>,
    heard: Option<Nanos>,
}

/// The snapshot of a pool as events of an instrument: what was known is forgotten, then come the levels of both sides.
/// Levels whose mean prices are one after rounding are one level.
///
/// # Errors
/// [`PoolError`] if the pool's price does not fit, or the step is below one.
pub fn snapshot(
    pool: &Pool,
    scale: &Scale,
    rules: &PoolRules,
    instrument: u32,
    at: &PoolTime,
) -> Result<Vec<Event>, PoolError> {
    let step = match rules.step {
        Some(step) => step,
        None => {
            let quote = pool.quote(scale, 1)?;
            (quote.bid.0.max(quote.ask.0) / 10_000).max(1)
        }
    };
    let event = |kind, side, price, size| Event {
        ts_event: at.ts_event,
        ts_recv: at.ts_recv,
        sequence: at.sequence,
        order_id: 0,
        price,
        size,
        instrument,
        kind,
        side,
        flags: Flags::SNAPSHOT,
    };
    let mut events = vec![event(Kind::Clear, None, Price(0), Size(0))];
    for side in [Side::Bid, Side::Ask] {
        for rung in pool.levels(side, scale, step)?.take(rules.levels) {
            match events.last_mut() {
                Some(last) if last.side == Some(side) && last.price == rung.price => {
                    last.size.0 = last.size.0.saturating_add(rung.size.0);
                }
                _ => events.push(event(Kind::Level, Some(side), rung.price, rung.size)),
            }
        }
    }
    if let Some(last) = events.last_mut() {
        last.flags = last.flags.union(Flags::LAST);
    }
    Ok(events)
}

impl Market {
    /// What a pool's state is to an instrument: its venue, and the snapshot that brings the market up to date. The market
    /// does not change.
    ///
    /// # Errors
    /// [`MarketError::NoInstrument`]; [`MarketError::PoolInstrument`] unless it is a spot instrument;
    /// [`MarketError::PoolLevels`]; [`MarketError::Pool`] if the pool cannot be read in the instrument's units.
    pub fn read_pool(
        &self,
        index: usize,
        pool: Pool,
        rules: &PoolRules,
        at: &PoolTime,
    ) -> Result<(PoolVenue, Vec<Event>), MarketError> {
        let count = self.venues().len();
        let found = self.venues().get(index).ok_or(MarketError::NoInstrument { index, count })?.instrument();
        if found.contract != Contract::Spot {
            return Err(MarketError::PoolInstrument { name: found.name(), found: found.contract.name() });
        }
        if !(1..=MOST_LEVELS).contains(&rules.levels) {
            return Err(MarketError::PoolLevels { name: found.name(), found: rules.levels });
        }
        let wrong = |error| MarketError::Pool { name: found.name(), error: Box::new(error) };
        let (price_unit, size_unit, units) = (found.price_unit, found.size_unit, self.units());
        let scale = |price, size| Scale::new(rules.base, rules.decimals, price, size).map_err(wrong);
        let instrument = u32::try_from(index).map_err(|_| MarketError::NoInstrument { index, count })?;
        let events = snapshot(&pool, &scale(price_unit, size_unit)?, rules, instrument, at).map_err(wrong)?;
        let notional = scale(units.price, units.size)?.notional().map_err(wrong)?;
        let venue = PoolVenue {
            curve: Curve::from(&pool),
            pool,
            scale: scale(price_unit, units.size)?,
            decimals: rules.decimals[rules.base.other() as usize],
            notional,
            touch: None,
            heard: None,
        };
        Ok((venue, events))
    }

    /// The pool's venue is as its snapshot, which has been applied, says: routes ask the pool itself from here on.
    pub fn keep_pool(&mut self, index: usize, mut pool: PoolVenue) {
        let Some(venue) = self.venues.get(index) else { return };
        (pool.touch, pool.heard) = (venue.touch(), venue.heard());
        if self.pools.len() <= index {
            self.pools.resize_with(index + 1, || None);
        }
        if let Some(place) = self.pools.get_mut(index) {
            *place = Some(Box::new(pool));
        }
    }

    /// A pool's state from here on: the venue's book is a snapshot of its levels.
    ///
    /// # Errors
    /// As [`Self::read_pool`]; nothing changed then.
    pub fn set_pool(
        &mut self,
        index: usize,
        pool: Pool,
        rules: &PoolRules,
        at: &PoolTime,
    ) -> Result<Option<Change>, MarketError> {
        let (venue, events) = self.read_pool(index, pool, rules, at)?;
        let change = events.iter().fold(None, |change, event| self.apply(event).or(change));
        self.keep_pool(index, venue);
        Ok(change)
    }

    /// The pool that a venue is, if nothing newer was heard of it than what [`Self::set_pool`] said.
    #[must_use]
    pub fn pool(&self, index: usize) -> Option<&PoolVenue> {
        let pool = self.pools.get(index)?.as_deref()?;
        let venue = self.venues.get(index)?;
        (venue.touch() == pool.touch && venue.heard() == pool.heard).then_some(pool)
    }
}
