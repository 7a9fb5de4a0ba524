//! The price book: aggregated size per price (market by price).
//!
//! Each side is a window of 262,144 price units under a three-storey bitmap with an ordered overflow, because real depth
//! streams set and remove levels near the touch nearly always and far from it sometimes, at any price at all. The best
//! level of each side is kept at hand, so reading the quote costs nothing. Where each level lies in units off all others
//! and nothing is ever read but the best, a `BTreeMap` is smaller; for queue positions one needs a book by order.
//!
//! A book knows its *horizon*: the worst price that a snapshot covered. Beyond it depth is unknown, not zero, and the
//! measures of depth say so.

use std::fmt;
use std::iter::FusedIterator;

use super::ladder::{Iter, Ladder};
use crate::event::{Event, Flags, Kind};
use crate::units::{Price, Side, Size};

/// Best bid and ask with their sizes. A side of size 0 is empty, and its price is then 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Quote {
    /// The highest bid.
    pub bid: Price,
    /// Its size.
    pub bid_size: Size,
    /// The lowest ask.
    pub ask: Price,
    /// Its size.
    pub ask_size: Size,
}

impl Quote {
    /// Whether both sides are present. A size below zero, which no book holds but a venue may send, is none.
    #[inline]
    #[must_use]
    pub const fn is_two_sided(&self) -> bool {
        self.bid_size.0 > 0 && self.ask_size.0 > 0
    }

    /// Whether both sides are present and the bid is at the ask or above it.
    #[inline]
    #[must_use]
    pub const fn is_crossed(&self) -> bool {
        self.is_two_sided() && self.bid.0 >= self.ask.0
    }

    /// Price and size of one side, if it is present.
    #[inline]
    #[must_use]
    pub const fn side(&self, side: Side) -> Option<(Price, Size)> {
        let (price, size) = match side {
            Side::Bid => (self.bid, self.bid_size),
            Side::Ask => (self.ask, self.ask_size),
        };
        if size.0 <= 0 { None } else { Some((price, size)) }
    }
}

/// What taking a size from one side of a book would bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// How much of the size the levels hold.
    pub filled: Size,
    /// The sum of price × size, in price units × size units.
    pub notional: i128,
    /// The worst price touched.
    pub worst: Option<Price>,
    /// How many levels were touched.
    pub levels: usize,
    /// Whether all of it lies inside the horizon. If not, a level that nobody told us of may lie in between.
    pub known: bool,
}

/// A market-by-price book.
///
/// ```
/// use crossbook::book::PriceBook;
/// use crossbook::units::{Price, Side, Size};
///
/// let mut book = PriceBook::new();
/// book.update(Side::Bid, Price(6_183_763), Size(5));
/// let quote = book.update(Side::Ask, Price(6_183_764), Size(2));
/// assert_eq!((quote.bid, quote.ask_size), (Price(6_183_763), Size(2)));
/// assert_eq!(book.walk(Side::Ask, Size(3)).filled, Size(2));
/// ```
#[derive(Clone)]
pub struct PriceBook {
    sides: [Ladder; 2],
    /// As keys: the worst price that a snapshot covered, by side.
    horizons: [Option<i64>; 2],
    stale: bool,
}

impl Default for PriceBook {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for PriceBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PriceBook")
            .field("quote", &self.quote())
            .field("bids", &self.len(Side::Bid))
            .field("asks", &self.len(Side::Ask))
            .field("stale", &self.stale)
            .finish_non_exhaustive()
    }
}

impl PriceBook {
    /// An empty book without a horizon.
    #[must_use]
    pub fn new() -> Self {
        Self { sides: [Ladder::new(Side::Bid), Ladder::new(Side::Ask)], horizons: [None; 2], stale: false }
    }

    /// Sets the size at a price and returns the quote after it.
    ///
    /// Size 0 removes the level; removing a level that is not there is normal in real streams and does nothing. Sizes
    /// should not be negative; one that is removes the level too, so it can do no other harm. [`Self::apply`] is the
    /// place that notices.
    #[inline]
    pub fn update(&mut self, side: Side, price: Price, size: Size) -> Quote {
        self.sides[side as usize].set(price.0, size.0);
        self.quote()
    }

    /// Applies an event and returns the quote after it.
    ///
    /// `Clear` empties the book and ends its staleness; `Level` sets a level, and with [`Flags::SNAPSHOT`] extends the
    /// horizon to it; `Gap`, unless in the trades, makes the book stale, and so does a `Level` without a side or with a
    /// negative size, since what the venue meant is lost. Other kinds do nothing.
    #[inline]
    pub fn apply(&mut self, event: &Event) -> Quote {
        match event.kind {
            Kind::Level => match event.side {
                Some(side) if event.size.0 >= 0 => {
                    if event.flags.contains(Flags::SNAPSHOT) {
                        let key = self.ladder(side).key(event.price.0);
                        let horizon = &mut self.horizons[side as usize];
                        *horizon = Some(horizon.map_or(key, |worst| worst.max(key)));
                    }
                    return self.update(side, event.price, event.size);
                }
                Some(side) => {
                    self.stale = true;
                    return self.update(side, event.price, Size(0));
                }
                None => self.stale = true,
            },
            Kind::Clear => self.clear(),
            Kind::Gap if !event.flags.contains(Flags::TRADES) => self.stale = true,
            _ => {}
        }
        self.quote()
    }

    /// Whether changes are missing since the last clear, so that the book may be wrong.
    #[inline]
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        self.stale
    }

    /// Makes the book as new, but keeps its memory for reuse.
    pub fn clear(&mut self) {
        self.sides.iter_mut().for_each(Ladder::clear);
        self.horizons = [None; 2];
        self.stale = false;
    }

    /// Best bid and ask.
    #[inline]
    #[must_use]
    pub const fn quote(&self) -> Quote {
        let (bid, bid_size) = self.sides[0].best();
        let (ask, ask_size) = self.sides[1].best();
        Quote { bid: Price(bid), bid_size: Size(bid_size), ask: Price(ask), ask_size: Size(ask_size) }
    }

    /// The size at a price, 0 where there is no level.
    #[inline]
    #[must_use]
    pub fn size_at(&self, side: Side, price: Price) -> Size {
        Size(self.ladder(side).get(price.0))
    }

    /// The levels of one side from best to worst.
    #[inline]
    #[must_use]
    pub fn levels(&self, side: Side) -> Levels<'_> {
        let ladder = self.ladder(side);
        Levels { inner: ladder.iter(), ladder }
    }

    /// The levels of one side from best to worst, without those better than `start`.
    #[inline]
    #[must_use]
    pub fn levels_from(&self, side: Side, start: Price) -> Levels<'_> {
        let ladder = self.ladder(side);
        Levels { inner: ladder.iter_from(ladder.key(start.0)), ladder }
    }

    /// Fills `out` with the best levels of one side and returns how many there were; the rest of `out` stays as it is.
    #[inline]
    pub fn top(&self, side: Side, out: &mut [(Price, Size)]) -> usize {
        let mut filled = 0;
        for (place, level) in out.iter_mut().zip(self.levels(side)) {
            *place = level;
            filled += 1;
        }
        filled
    }

    /// Takes `size` from one side, beginning at its best level. The book does not change.
    #[must_use]
    pub fn walk(&self, side: Side, size: Size) -> Walk {
        self.walk_levels(side, self.levels(side), size)
    }

    /// As [`Self::walk`], without levels better than `start`: those that a newer quote contradicts.
    #[must_use]
    pub fn walk_from(&self, side: Side, start: Price, size: Size) -> Walk {
        self.walk_levels(side, self.levels_from(side, start), size)
    }

    fn walk_levels(&self, side: Side, levels: Levels<'_>, size: Size) -> Walk {
        let mut walk = Walk { filled: Size(0), notional: 0, worst: None, levels: 0, known: false };
        let mut left = size.0;
        for (price, available) in levels {
            if left <= 0 {
                break;
            }
            let taken = left.min(available.0);
            left -= taken;
            walk.filled.0 += taken;
            walk.notional += i128::from(price.0) * i128::from(taken);
            walk.worst = Some(price);
            walk.levels += 1;
        }
        // Whoever runs out of levels has looked as far as prices go.
        let reached = if left > 0 { Some(i64::MAX) } else { walk.worst.map(|price| self.ladder(side).key(price.0)) };
        walk.known = self.horizons[side as usize].is_some_and(|horizon| reached.is_none_or(|key| key <= horizon));
        walk
    }

    /// The worst price that a snapshot covered; beyond it depth is unknown. `None`: no snapshot was seen, the book knows
    /// nothing but what it was fed.
    #[must_use]
    pub fn horizon(&self, side: Side) -> Option<Price> {
        self.horizons[side as usize].map(|key| Price(self.ladder(side).price(key)))
    }

    /// The number of levels of one side; counted, so not for the hot path.
    #[must_use]
    pub fn len(&self, side: Side) -> usize {
        self.ladder(side).len()
    }

    /// Whether both sides are empty.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.sides[0].is_empty() && self.sides[1].is_empty()
    }

    /// Bytes of memory that the book holds on to.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.sides.iter().map(Ladder::heap).sum::<usize>()
    }

    /// How often a window with levels in it was moved, over both sides and the book's life: a figure for watching, since
    /// each such move costs microseconds.
    #[must_use]
    pub const fn recentrings(&self) -> u64 {
        self.sides[0].recentrings() + self.sides[1].recentrings()
    }

    #[inline]
    const fn ladder(&self, side: Side) -> &Ladder {
        &self.sides[side as usize]
    }
}

/// The levels of one side from best to worst.
#[derive(Clone)]
pub struct Levels<'a> {
    ladder: &'a Ladder,
    inner: Iter<'a>,
}

impl fmt::Debug for Levels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl Levels<'_> {
    /// Hands on levels, faster than the iterator, until one is taken as the last. False if none was; the iterator goes on
    /// with what is left then.
    #[inline]
    pub(crate) fn until(&mut self, mut is_last: impl FnMut(Price, Size) -> bool) -> bool {
        let turn = self.ladder.price(0);
        self.inner.until(|key, size| is_last(Price(key ^ turn), Size(size)))
    }
}

impl Iterator for Levels<'_> {
    type Item = (Price, Size);

    #[inline]
    fn next(&mut self) -> Option<(Price, Size)> {
        self.inner.next().map(|(key, size)| (Price(self.ladder.price(key)), Size(size)))
    }
}

impl FusedIterator for Levels<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Nanos;

    fn event(kind: Kind, side: Option<Side>, price: i64, size: i64, flags: Flags) -> Event {
        Event {
            ts_event: Nanos::UNKNOWN,
            ts_recv: Nanos::UNKNOWN,
            sequence: 0,
            order_id: 0,
            price: Price(price),
            size: Size(size),
            instrument: 0,
            kind,
            side,
            flags,
        }
    }

    fn three_asks() -> PriceBook {
        let mut book = PriceBook::new();
        for (price, size) in [(100, 1), (101, 2), (103, 4)] {
            book.apply(&event(Kind::Level, Some(Side::Ask), price, size, Flags::SNAPSHOT));
        }
        book
    }

    #[test]
    fn an_empty_side_shows_price_and_size_zero() {
        let mut book = PriceBook::new();
        assert_eq!(book.quote(), Quote::default());
        let quote = book.update(Side::Bid, Price(-7), Size(3));
        assert_eq!(quote, Quote { bid: Price(-7), bid_size: Size(3), ..Quote::default() });
        assert!(!quote.is_two_sided() && !quote.is_crossed());
        assert_eq!(book.update(Side::Bid, Price(-7), Size(0)), Quote::default());
        assert!(book.is_empty());
    }

    #[test]
    fn a_bid_at_the_ask_is_crossed() {
        let mut book = PriceBook::new();
        book.update(Side::Bid, Price(10), Size(1));
        assert!(book.update(Side::Ask, Price(10), Size(1)).is_crossed());
        book.update(Side::Ask, Price(10), Size(0));
        assert!(!book.update(Side::Ask, Price(11), Size(1)).is_crossed());
    }

    #[test]
    fn a_negative_size_removes_the_level_and_makes_the_book_stale() {
        let mut book = three_asks();
        let quote = book.apply(&event(Kind::Level, Some(Side::Ask), 100, -5, Flags::NONE));
        assert_eq!((quote.ask, quote.ask_size), (Price(101), Size(2)));
        assert!(book.is_stale());
        let mut book = three_asks();
        assert_eq!(book.update(Side::Ask, Price(100), Size(i64::MIN)).ask, Price(101));
    }

    #[test]
    fn a_gap_makes_the_book_stale_until_it_is_cleared_and_a_gap_in_the_trades_does_not() {
        let mut book = three_asks();
        book.apply(&event(Kind::Gap, None, 0, 0, Flags::TRADES));
        assert!(!book.is_stale());
        book.apply(&event(Kind::Gap, None, 0, 0, Flags::OURS));
        assert!(book.is_stale());
        assert_eq!(book.len(Side::Ask), 3);
        book.apply(&event(Kind::Clear, None, 0, 0, Flags::NONE));
        assert!(!book.is_stale() && book.is_empty() && book.horizon(Side::Ask).is_none());
    }

    #[test]
    fn kinds_that_are_not_depth_leave_the_book_alone() {
        for kind in Kind::ALL {
            let mut book = three_asks();
            book.apply(&event(kind, Some(Side::Ask), 99, 9, Flags::NONE));
            let touched = matches!(kind, Kind::Level | Kind::Clear);
            assert_eq!(book.quote() != three_asks().quote(), touched, "{kind:?}");
        }
    }

    #[test]
    fn a_walk_takes_level_after_level_at_its_price() {
        let walk = three_asks().walk(Side::Ask, Size(5));
        let expected = Walk {
            filled: Size(5),
            notional: 100 + 2 * 101 + 2 * 103,
            worst: Some(Price(103)),
            levels: 3,
            known: true,
        };
        assert_eq!(walk, expected);
    }

    #[test]
    fn a_walk_from_a_newer_quote_skips_the_levels_it_contradicts() {
        let walk = three_asks().walk_from(Side::Ask, Price(101), Size(3));
        assert_eq!((walk.filled, walk.notional, walk.levels), (Size(3), 2 * 101 + 103, 2));
    }

    #[test]
    fn a_walk_of_nothing_touches_nothing() {
        for size in [0, -1, i64::MIN] {
            let walk = three_asks().walk(Side::Ask, Size(size));
            assert_eq!((walk.filled, walk.worst, walk.levels), (Size(0), None, 0));
        }
    }

    #[test]
    fn top_fills_what_there_is_and_says_how_much() {
        let mut out = [(Price(0), Size(0)); 5];
        assert_eq!(three_asks().top(Side::Ask, &mut out), 3);
        assert_eq!(out[..3], [(Price(100), Size(1)), (Price(101), Size(2)), (Price(103), Size(4))]);
        assert_eq!(three_asks().top(Side::Ask, &mut out[..2]), 2);
        assert_eq!(three_asks().top(Side::Bid, &mut out), 0);
    }
}
