//! A market run over events, with its best quote and cross written down.

use super::{BestQuote, Market, NetCross};
use crate::event::Event;

/// When a row is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// When the best quote or the cross differs from the row before.
    Change,
    /// After every event.
    Every,
}

/// The best quote of a market over time, in common units. Where a side is missing its price and size are 0 and no venue
/// makes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BestRows {
    /// The event after which it is so, counted from the first.
    pub row: Vec<u64>,
    /// Receive time of that event, ns.
    pub ts_recv: Vec<i64>,
    /// [`BestQuote::bid`].
    pub bid: Vec<i64>,
    /// [`BestQuote::bid_size`], saturated at 64 bits.
    pub bid_size: Vec<i64>,
    /// [`BestQuote::bid_venues`].
    pub bid_venues: Vec<u64>,
    /// [`BestQuote::ask`].
    pub ask: Vec<i64>,
    /// [`BestQuote::ask_size`], saturated at 64 bits.
    pub ask_size: Vec<i64>,
    /// [`BestQuote::ask_venues`].
    pub ask_venues: Vec<u64>,
    /// [`super::QuoteState`] as its code.
    pub state: Vec<u8>,
    /// [`NetCross::buy`], `u32::MAX` where nothing pays.
    pub buy: Vec<u32>,
    /// [`NetCross::sell`], `u32::MAX` where nothing pays.
    pub sell: Vec<u32>,
    /// [`NetCross::edge`], 0 where nothing pays.
    pub edge: Vec<i128>,
    taken: u64,
    last: Option<(BestQuote, Option<NetCross>)>,
}

impl BestRows {
    /// Applies an event to a market and writes its best quote and cross. Every event counts as a row.
    pub fn take(&mut self, market: &mut Market, event: &Event, rows: Rows) {
        market.apply(event);
        let now = (market.quote(), market.cross());
        if rows == Rows::Every || self.last != Some(now) {
            self.push(self.taken, event.ts_recv.0, &now.0, now.1);
            self.last = Some(now);
        }
        self.taken += 1;
    }

    fn push(&mut self, row: u64, ts: i64, quote: &BestQuote, cross: Option<NetCross>) {
        let known = |venues: u64, value: i64| if venues == 0 { 0 } else { value };
        let size = |size: i128| i64::try_from(size).unwrap_or(i64::MAX);
        let index = |index: Option<usize>| index.and_then(|index| u32::try_from(index).ok()).unwrap_or(u32::MAX);
        self.row.push(row);
        self.ts_recv.push(ts);
        self.bid.push(known(quote.bid_venues, quote.bid));
        self.bid_size.push(size(quote.bid_size));
        self.bid_venues.push(quote.bid_venues);
        self.ask.push(known(quote.ask_venues, quote.ask));
        self.ask_size.push(size(quote.ask_size));
        self.ask_venues.push(quote.ask_venues);
        self.state.push(quote.state as u8);
        self.buy.push(index(cross.map(|cross| cross.buy)));
        self.sell.push(index(cross.map(|cross| cross.sell)));
        self.edge.push(cross.map_or(0, |cross| cross.edge));
    }
}
