//! Rows of what a market showed, message by message: the material of studies.

use super::touch::{Source, Touch};
use super::{Change, Market, MarketError, PoolRules, PoolTime, VenueBook};
use crate::book::Quote;
use crate::event::Event;
use crate::pool::Pool;
use crate::units::Side;

/// One row per quote message, and per depth message or loss that moved the touch; where a quote gives the touch back to
/// the book ([`Change::Quote`]), a row of the book's after it. Prices and sizes in units; sizes 0 where a side or the touch
/// is not known.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)] // the fields are those of an event and of a quote
pub struct QuoteRows {
    pub ts_event: Vec<i64>,
    pub ts_recv: Vec<i64>,
    pub sequence: Vec<u64>,
    pub instrument: Vec<u32>,
    /// [`Source`] as its code.
    pub source: Vec<u8>,
    /// 1 where the row is the venue's touch from then on, 0 where a newer update id was already known.
    pub newest: Vec<u8>,
    pub bid: Vec<i64>,
    pub bid_size: Vec<i64>,
    pub ask: Vec<i64>,
    pub ask_size: Vec<i64>,
}

/// One row per depth message: the book's own best levels and the known depth around its mid.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)] // the fields are those of an event and of a quote
pub struct DepthRows {
    pub ts_event: Vec<i64>,
    pub ts_recv: Vec<i64>,
    pub sequence: Vec<u64>,
    pub instrument: Vec<u32>,
    pub flags: Vec<u8>,
    pub bid: Vec<i64>,
    pub bid_size: Vec<i64>,
    pub ask: Vec<i64>,
    pub ask_size: Vec<i64>,
    /// Depth in base currency within each band, `[side][band]`; NaN where the band reaches beyond the horizon.
    pub within: [Vec<Vec<f64>>; 2],
}

/// Runs events through a market and writes down what it shows.
#[derive(Clone, Debug)]
pub struct Observer {
    market: Market,
    bands: Vec<u32>,
    /// Rows of quotes so far.
    pub quotes: QuoteRows,
    /// Rows of depth so far.
    pub depth: DepthRows,
}

impl Observer {
    /// An observer of a market. Depth is measured within `bands`, in bp of the mid.
    #[must_use]
    pub fn new(market: Market, bands: Vec<u32>) -> Self {
        let mut observer = Self { market, bands, quotes: QuoteRows::default(), depth: DepthRows::default() };
        observer.take_depth();
        observer
    }

    /// The market.
    #[must_use]
    pub const fn market(&self) -> &Market {
        &self.market
    }

    /// The market, to be asked for its crosses.
    pub const fn market_mut(&mut self) -> &mut Market {
        &mut self.market
    }

    /// Takes the rows of quotes so far.
    pub fn take_quotes(&mut self) -> QuoteRows {
        std::mem::take(&mut self.quotes)
    }

    /// Takes the rows of depth so far.
    pub fn take_depth(&mut self) -> DepthRows {
        let bands = vec![Vec::new(); self.bands.len()];
        let fresh = DepthRows { within: [bands.clone(), bands], ..DepthRows::default() };
        std::mem::replace(&mut self.depth, fresh)
    }

    /// A pool's state from here on, with rows as for any venue.
    ///
    /// # Errors
    /// As [`Market::set_pool`]; nothing changed then.
    pub fn set_pool(&mut self, index: usize, pool: Pool, rules: &PoolRules, at: &PoolTime) -> Result<(), MarketError> {
        let (venue, events) = self.market.read_pool(index, pool, rules, at)?;
        events.iter().for_each(|event| self.apply(event));
        self.market.keep_pool(index, venue);
        Ok(())
    }

    /// Takes one event.
    pub fn apply(&mut self, event: &Event) {
        let Some(change) = self.market.apply(event) else { return };
        let Some(venue) = self.market.venues().get(event.instrument as usize) else { return };
        let rows = &mut self.quotes;
        let of = |quote, source| Touch { quote, sequence: event.sequence, source };
        match change {
            Change::Quote { quote, newest, uncovers } => {
                rows.push(event, of(quote, Source::Quote), newest);
                if uncovers {
                    // The touch now, or that there is none: a side of the book is empty.
                    let touch = venue.touch().unwrap_or_else(|| of(venue.book().quote(), Source::Depth));
                    rows.push(event, touch, true);
                }
            }
            Change::Depth { newest } => {
                self.depth.push(event, venue, &self.bands);
                if newest {
                    rows.push(event, of(venue.book().quote(), Source::Depth), true);
                }
            }
            Change::Lost => rows.push(event, of(Quote::default(), Source::Lost), true),
            Change::Status { .. } => {}
        }
    }
}

impl QuoteRows {
    fn push(&mut self, event: &Event, Touch { quote, sequence, source }: Touch, newest: bool) {
        self.ts_event.push(event.ts_event.0);
        self.ts_recv.push(event.ts_recv.0);
        self.sequence.push(sequence);
        self.instrument.push(event.instrument);
        self.source.push(source as u8);
        self.newest.push(u8::from(newest));
        self.bid.push(quote.bid.0);
        self.bid_size.push(quote.bid_size.0);
        self.ask.push(quote.ask.0);
        self.ask_size.push(quote.ask_size.0);
    }
}

impl DepthRows {
    fn push(&mut self, event: &Event, venue: &VenueBook, bands: &[u32]) {
        let (book, instrument) = (venue.book(), venue.instrument());
        let quote = book.quote();
        self.ts_event.push(event.ts_event.0);
        self.ts_recv.push(event.ts_recv.0);
        self.sequence.push(event.sequence);
        self.instrument.push(event.instrument);
        self.flags.push(event.flags.0);
        self.bid.push(quote.bid.0);
        self.bid_size.push(quote.bid_size.0);
        self.ask.push(quote.ask.0);
        self.ask_size.push(quote.ask_size.0);
        for (side, columns) in [Side::Bid, Side::Ask].into_iter().zip(&mut self.within) {
            let mut levels = book.levels(side).peekable();
            let mut total = 0.0;
            for (band, column) in bands.iter().zip(columns) {
                let limit = limit(quote.bid.0, quote.ask.0, *band, side);
                let inside = |price: i64| if side == Side::Bid { price >= limit } else { price <= limit };
                while let Some((price, size)) = levels.next_if(|(price, _)| inside(price.0)) {
                    total += instrument.base_size(price.0, size.0);
                }
                let known = quote.is_two_sided()
                    && !book.is_stale()
                    && book.horizon(side).is_some_and(|horizon| inside_horizon(limit, horizon.0, side));
                column.push(if known { total } else { f64::NAN });
            }
        }
    }
}

/// The worst whole price within `band` bp of the mid.
fn limit(bid: i64, ask: i64, band: u32, side: Side) -> i64 {
    let twice = i128::from(bid) + i128::from(ask);
    let limit = match side {
        Side::Bid => -((-(twice * (10_000 - i128::from(band)))).div_euclid(20_000)),
        Side::Ask => (twice * (10_000 + i128::from(band))).div_euclid(20_000),
    };
    i64::try_from(limit).unwrap_or(if side == Side::Bid { i64::MIN } else { i64::MAX })
}

const fn inside_horizon(limit: i64, horizon: i64, side: Side) -> bool {
    match side {
        Side::Bid => limit >= horizon,
        Side::Ask => limit <= horizon,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_ends_at_the_last_whole_price_inside_it() {
        // Mid 10,000.5: 10 bp are 10.0005 on either side.
        assert_eq!(limit(10_000, 10_001, 10, Side::Bid), 9_991);
        assert_eq!(limit(10_000, 10_001, 10, Side::Ask), 10_010);
    }
}
