//! One venue in a market: its price book, its quote stream and the touch that follows from both.

use crate::book::{PriceBook, Quote, Walk};
use crate::event::{Event, Flags, Kind};
use crate::instrument::Instrument;
use crate::units::{Nanos, Price, Side, Size};

/// Which stream a touch comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Source {
    /// The stream of best bids and asks.
    Quote = 0,
    /// The depth stream.
    Depth = 1,
    /// Neither: the book was lost and no quote has come since.
    Lost = 2,
}

/// A venue's best bid and ask, from the newest update id among its quotes and its book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Best bid and ask.
    pub quote: Quote,
    /// The update id that it comes from.
    pub sequence: u64,
    /// The stream that it comes from.
    pub source: Source,
}

/// A quote with an older id than the last one taken is old news. So many in a row mean that the last one's id was wrong:
/// one flipped digit must not silence a stream.
const OLDER: u8 = 3;

/// What a whole message did to a venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A quote; `newest` if it is the touch now.
    Quote {
        /// The quote as sent.
        quote: Quote,
        /// Whether it is the touch now.
        newest: bool,
        /// Whether the touch is the book's now and was the quote's before: ids of quotes begin anew below the depth's.
        uncovers: bool,
    },
    /// Depth; `newest` if the book's best levels are the touch now.
    Depth {
        /// Whether the book's best levels are the touch now.
        newest: bool,
    },
    /// Messages were lost: no touch until the next quote or snapshot.
    Lost,
    /// The venue began or stopped trading; the touch is as it was.
    Status {
        /// Whether it trades.
        trading: bool,
    },
}

/// Whether a venue's touch can be traded on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Status {
    /// It has a touch, heard of within the limit.
    Live = 0,
    /// Nothing was heard of its quotes or depth for longer than the limit, on the receive clock.
    Stale = 1,
    /// Messages were lost, and no quote or snapshot has come since.
    Unsynchronised = 2,
    /// It said that it does not trade.
    Halted = 3,
    /// Nothing is known yet, or a side of its book is empty.
    Empty = 4,
    /// The rate of its quote currency is not known: the rate's own book is not live, or there is none. A property of a
    /// venue in a market; [`VenueBook::status`] never says so.
    NoRate = 5,
}

impl Status {
    /// Every status, in the order of its code.
    pub const ALL: [Self; 6] = [Self::Live, Self::Stale, Self::Unsynchronised, Self::Halted, Self::Empty, Self::NoRate];

    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Stale => "stale",
            Self::Unsynchronised => "unsynchronised",
            Self::Halted => "halted",
            Self::Empty => "empty",
            Self::NoRate => "no_rate",
        }
    }
}

impl Change {
    /// Whether the venue's touch may differ from before.
    #[must_use]
    pub const fn moves_touch(self) -> bool {
        match self {
            Self::Quote { newest, uncovers, .. } => newest || uncovers,
            Self::Depth { newest } => newest,
            Self::Lost => true,
            Self::Status { .. } => false,
        }
    }
}

/// One venue's state.
#[derive(Clone, Debug)]
pub struct VenueBook {
    instrument: Instrument,
    book: PriceBook,
    half: Quote,
    /// The newest of the quote stream and the last of the depth stream; between the two the update id decides. A quote
    /// that comes late is passed over; depth is taken in order, as a book cannot go back.
    quote: Option<(u64, Quote)>,
    depth: Option<(u64, Quote)>,
    /// How many quotes in a row were older than the last one taken.
    older: u8,
    /// Receive times of the last whole message of either stream, and of the depth stream.
    heard: i64,
    depth_heard: i64,
    halted: bool,
}

impl VenueBook {
    /// A venue of which nothing is known yet.
    #[must_use]
    pub fn new(instrument: Instrument) -> Self {
        Self {
            instrument,
            book: PriceBook::new(),
            half: Quote::default(),
            quote: None,
            depth: None,
            older: 0,
            heard: i64::MIN,
            depth_heard: i64::MIN,
            halted: false,
        }
    }

    /// What is traded here.
    #[must_use]
    pub const fn instrument(&self) -> &Instrument {
        &self.instrument
    }

    /// The book as its depth stream has it. It may lag behind [`Self::touch`].
    #[must_use]
    pub const fn book(&self) -> &PriceBook {
        &self.book
    }

    /// Best bid and ask now; `None` before the first message, after a loss, and while a side is empty.
    #[inline]
    #[must_use]
    pub fn touch(&self) -> Option<Touch> {
        let touch = match (self.quote, self.depth) {
            (Some((sequence, quote)), depth) if depth.is_none_or(|(id, _)| sequence >= id) => {
                Touch { quote, sequence, source: Source::Quote }
            }
            (_, Some((sequence, quote))) => Touch { quote, sequence, source: Source::Depth },
            _ => return None,
        };
        touch.quote.is_two_sided().then_some(touch)
    }

    /// When the last whole message about its quotes or depth was received; `None` before the first.
    #[inline]
    #[must_use]
    pub const fn heard(&self) -> Option<Nanos> {
        if self.heard == i64::MIN { None } else { Some(Nanos(self.heard)) }
    }

    /// Whether the venue said that it does not trade, and not since that it does.
    #[inline]
    #[must_use]
    pub const fn is_halted(&self) -> bool {
        self.halted
    }

    /// Whether its touch can be traded on at `now`, on the receive clock. It is stale if the last message about quotes or
    /// depth is older than `limit` ns; [`i64::MAX`] never is. Of several reasons against it the first counts of: halted,
    /// unsynchronised, empty, stale.
    #[must_use]
    pub fn status(&self, now: Nanos, limit: i64) -> Status {
        if self.halted {
            Status::Halted
        } else if self.touch().is_none() {
            if self.book.is_stale() { Status::Unsynchronised } else { Status::Empty }
        } else if is_older(self.heard, now, limit) {
            Status::Stale
        } else {
            Status::Live
        }
    }

    /// Whether the depth behind the touch can be counted on at `now`: it is synchronised and its own stream, apart from
    /// the quotes, was heard of within `limit` ns.
    #[must_use]
    pub fn has_depth(&self, now: Nanos, limit: i64) -> bool {
        self.depth.is_some() && !self.book.is_stale() && !is_older(self.depth_heard, now, limit)
    }

    /// Takes an event of this venue. `Some` at the end of a message that concerns quotes or depth.
    #[inline]
    pub fn apply(&mut self, event: &Event) -> Option<Change> {
        match event.kind {
            Kind::Level | Kind::Clear => {
                let quote = self.book.apply(event);
                if !event.flags.contains(Flags::LAST) {
                    return None;
                }
                (self.heard, self.depth_heard) = (event.ts_recv.0, event.ts_recv.0);
                if self.depth.is_some_and(|(sequence, _)| event.sequence < sequence) {
                    // The venue counts anew, and the quote is of the old count.
                    self.quote = None;
                }
                let newest = !self.book.is_stale() && self.quote.is_none_or(|(sequence, _)| event.sequence > sequence);
                self.depth = (!self.book.is_stale()).then_some((event.sequence, quote));
                Some(Change::Depth { newest })
            }
            Kind::Quote => {
                match event.side? {
                    Side::Bid => (self.half.bid, self.half.bid_size) = (event.price, event.size),
                    Side::Ask => (self.half.ask, self.half.ask_size) = (event.price, event.size),
                }
                if !event.flags.contains(Flags::LAST) {
                    return None;
                }
                let quote = std::mem::take(&mut self.half);
                if self.is_old_news(event.sequence) {
                    return Some(Change::Quote { quote, newest: false, uncovers: false });
                }
                self.heard = event.ts_recv.0;
                let at = self.depth.map_or(0, |(sequence, _)| sequence);
                let newest = event.sequence >= at;
                let uncovers = !newest && self.quote.is_some_and(|(sequence, _)| sequence >= at);
                self.quote = Some((event.sequence, quote));
                Some(Change::Quote { quote, newest, uncovers })
            }
            Kind::Gap if !event.flags.contains(Flags::TRADES) => {
                self.book.apply(event);
                (self.quote, self.depth) = (None, None);
                Some(Change::Lost)
            }
            Kind::Status => {
                self.halted = event.price.0 == 0;
                Some(Change::Status { trading: !self.halted })
            }
            _ => None,
        }
    }

    /// Whether a quote is older than the newest of its stream. Ids begin anew at 1 when a venue's service restarts and
    /// after a loss; a quote without an id (0) is no word against one with an id.
    #[inline]
    fn is_old_news(&mut self, sequence: u64) -> bool {
        if self.quote.is_some_and(|(newest, _)| sequence < newest) && sequence != 1 {
            if sequence == 0 {
                return true;
            }
            self.older += 1;
            if self.older < OLDER {
                return true;
            }
        }
        self.older = 0;
        false
    }

    /// Takes `size` from one side beginning at the touch. Levels of the book that the touch contradicts are passed over,
    /// and at the touch itself its own size counts.
    #[must_use]
    pub fn walk(&self, side: Side, size: Size) -> Walk {
        let Some(touch) = self.touch() else {
            return Walk { filled: Size(0), notional: 0, worst: None, levels: 0, known: false };
        };
        let (price, available, next) = match side {
            Side::Bid => (touch.quote.bid, touch.quote.bid_size, touch.quote.bid.0.saturating_sub(1)),
            Side::Ask => (touch.quote.ask, touch.quote.ask_size, touch.quote.ask.0.saturating_add(1)),
        };
        let taken = size.0.min(available.0).max(0);
        let mut walk = Walk {
            filled: Size(taken),
            notional: i128::from(price.0) * i128::from(taken),
            worst: (taken > 0).then_some(price),
            levels: usize::from(taken > 0),
            known: true,
        };
        if size.0 > taken {
            let rest = self.book.walk_from(side, Price(next), Size(size.0 - taken));
            walk.filled.0 += rest.filled.0;
            walk.notional += rest.notional;
            walk.worst = rest.worst.or(walk.worst);
            walk.levels += rest.levels;
            walk.known = rest.known && !self.book.is_stale();
        }
        walk
    }
}

/// Whether something heard at `then` is older than `limit` ns at `now`.
#[inline]
pub(super) const fn is_older(then: i64, now: Nanos, limit: i64) -> bool {
    now.0.saturating_sub(then) > limit
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::instrument::Venue;
    use crate::units::Nanos;

    fn event(kind: Kind, side: Side, price: i64, size: i64, sequence: u64, flags: Flags) -> Event {
        Event {
            ts_event: Nanos::UNKNOWN,
            ts_recv: Nanos(1),
            sequence,
            order_id: 0,
            price: Price(price),
            size: Size(size),
            instrument: 0,
            kind,
            side: Some(side),
            flags,
        }
    }

    fn venue() -> VenueBook {
        let mut venue = VenueBook::new(Instrument::builtin(Venue::BinanceSpot, "BTCUSDT").expect("built in"));
        for (side, price, size, flags) in [
            (Side::Bid, 99, 5, Flags::SNAPSHOT),
            (Side::Bid, 98, 7, Flags::SNAPSHOT),
            (Side::Ask, 101, 5, Flags::SNAPSHOT),
            (Side::Ask, 102, 7, Flags::SNAPSHOT.union(Flags::LAST)),
        ] {
            venue.apply(&event(Kind::Level, side, price, size, 10, flags));
        }
        venue
    }

    fn quote(venue: &mut VenueBook, bid: i64, ask: i64, sequence: u64) -> Option<Change> {
        venue.apply(&event(Kind::Quote, Side::Bid, bid, 1, sequence, Flags::NONE));
        venue.apply(&event(Kind::Quote, Side::Ask, ask, 2, sequence, Flags::LAST))
    }

    #[test]
    fn a_newer_quote_hides_the_levels_that_contradict_it() {
        let mut venue = venue();
        quote(&mut venue, 98, 102, 11);
        assert_eq!(venue.touch().map(|touch| (touch.quote.ask, touch.source)), Some((Price(102), Source::Quote)));
        let walk = venue.walk(Side::Ask, Size(3));
        assert_eq!((walk.filled, walk.worst), (Size(2), Some(Price(102))), "5 at 101 are gone, 2 are left at 102");
        assert_eq!(venue.book().size_at(Side::Ask, Price(101)), Size(5), "hidden, not deleted");
    }

    #[test]
    fn an_older_quote_does_not_move_the_touch() {
        let mut venue = venue();
        assert!(matches!(quote(&mut venue, 98, 102, 9), Some(Change::Quote { newest: false, .. })));
        assert_eq!(venue.touch().map(|touch| touch.quote.bid), Some(Price(99)));
    }

    #[test]
    fn quotes_that_lag_behind_the_depth_never_move_the_touch_back() {
        let mut venue = venue();
        for _ in 0..100 {
            assert!(matches!(quote(&mut venue, 97, 103, 9), Some(Change::Quote { newest: false, .. })));
        }
        assert_eq!(venue.touch().map(|touch| touch.source), Some(Source::Depth));
    }

    /// The touch's bid, update id and source.
    fn bid(venue: &VenueBook) -> (Price, u64, Source) {
        venue.touch().map(|touch| (touch.quote.bid, touch.sequence, touch.source)).expect("a touch")
    }

    #[test]
    fn an_older_quote_of_its_own_stream_is_old_news() {
        let mut venue = venue();
        quote(&mut venue, 98, 102, 14);
        for older in [13, 9, 0] {
            let found = quote(&mut venue, 90, 110, older).expect("the end of a message");
            assert!(matches!(found, Change::Quote { newest: false, .. }), "{older}: {found:?}");
            assert!(!found.moves_touch());
            assert_eq!(bid(&venue), (Price(98), 14, Source::Quote), "{older}");
            quote(&mut venue, 98, 102, 14);
        }
    }

    #[test]
    fn a_quote_of_the_same_update_id_takes_the_place_of_the_one_before() {
        let mut venue = venue();
        quote(&mut venue, 98, 102, 14);
        assert!(matches!(quote(&mut venue, 97, 102, 14), Some(Change::Quote { newest: true, .. })));
        assert_eq!(bid(&venue), (Price(97), 14, Source::Quote));
    }

    #[test]
    fn old_news_is_no_sign_of_life() {
        let mut venue = venue();
        quote(&mut venue, 98, 102, 14);
        for (side, flags) in [(Side::Bid, Flags::NONE), (Side::Ask, Flags::LAST)] {
            venue.apply(&Event { ts_recv: Nanos(50), ..event(Kind::Quote, side, 98, 1, 13, flags) });
        }
        assert_eq!(venue.heard(), Some(Nanos(1)));
    }

    #[test]
    fn one_absurd_update_id_costs_two_quotes() {
        let mut venue = venue();
        quote(&mut venue, 98, 102, u64::MAX);
        let touches =
            [12, 13, 14, 15].map(|id| (quote(&mut venue, 97, 103, id).map(Change::moves_touch), bid(&venue).1));
        let old = (Some(false), u64::MAX);
        assert_eq!(touches, [old, old, (Some(true), 14), (Some(true), 15)]);
    }

    #[test]
    fn ids_of_quotes_that_begin_anew_below_the_depths_give_the_touch_back_to_the_book() {
        let mut venue = venue();
        quote(&mut venue, 98, 102, 14);
        let change = quote(&mut venue, 97, 103, 1).expect("the end of a message");
        assert!(matches!(change, Change::Quote { newest: false, .. }) && change.moves_touch(), "{change:?}");
        assert_eq!(bid(&venue), (Price(99), 10, Source::Depth));
        let change = quote(&mut venue, 97, 103, 2).expect("the end of a message");
        assert!(!change.moves_touch(), "it was the book's before");
    }

    #[test]
    fn after_a_gap_any_update_id_is_the_first() {
        let mut venue = venue();
        quote(&mut venue, 98, 102, 14);
        venue.apply(&event(Kind::Gap, Side::Bid, 0, 0, 15, Flags::LAST));
        assert!(matches!(quote(&mut venue, 97, 103, 5), Some(Change::Quote { newest: true, .. })));
        assert_eq!(bid(&venue), (Price(97), 5, Source::Quote));
    }

    #[test]
    fn depth_whose_ids_run_back_is_counted_anew_and_the_quote_is_of_the_old_count() {
        let mut venue = venue();
        quote(&mut venue, 98, 102, 14);
        // An id between the book's and the quote's leaves the quote the newest.
        let level = |price, id| event(Kind::Level, Side::Bid, price, 3, id, Flags::LAST);
        assert_eq!(venue.apply(&level(97, 12)), Some(Change::Depth { newest: false }));
        assert_eq!(bid(&venue), (Price(98), 14, Source::Quote));
        assert_eq!(venue.apply(&level(96, 5)), Some(Change::Depth { newest: true }));
        assert_eq!(bid(&venue), (Price(99), 5, Source::Depth));
        assert!(matches!(quote(&mut venue, 98, 102, 6), Some(Change::Quote { newest: true, .. })));
    }

    #[test]
    fn after_a_gap_there_is_no_touch_until_the_next_quote() {
        let mut venue = venue();
        assert_eq!(venue.apply(&event(Kind::Gap, Side::Bid, 0, 0, 11, Flags::LAST)), Some(Change::Lost));
        assert_eq!(venue.touch(), None);
        assert_eq!(venue.walk(Side::Ask, Size(1)).filled, Size(0));
        quote(&mut venue, 98, 102, 20);
        assert!(venue.touch().is_some());
        assert!(!venue.walk(Side::Ask, Size(9)).known, "the book behind the quote is stale");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
        /// Messages with ids in any order, losses and snapshots: what is said of each is what became of the touch.
        #[test]
        fn a_touch_that_moves_is_always_said_to_move(
            messages in prop::collection::vec((0_u8..12, 0_u64..24, 90_i64..99), 1..120),
        ) {
            let mut venue = venue();
            for (what, id, price) in messages {
                let before = venue.touch();
                let change = match what {
                    0..6 => quote(&mut venue, price, 102, id),
                    6..10 => venue.apply(&event(Kind::Level, Side::Bid, price, 3, id, Flags::LAST)),
                    10 => {
                        venue.apply(&event(Kind::Clear, Side::Bid, 0, 0, id, Flags::SNAPSHOT));
                        venue.apply(&event(Kind::Level, Side::Ask, 101, 3, id, Flags::SNAPSHOT));
                        venue.apply(&event(Kind::Level, Side::Bid, price, 3, id, Flags::SNAPSHOT.union(Flags::LAST)))
                    }
                    _ => venue.apply(&event(Kind::Gap, Side::Bid, 0, 0, id, Flags::LAST)),
                };
                let change = change.expect("the end of a message");
                let after = venue.touch();
                prop_assert!(change.moves_touch() || before == after, "{:?}: {:?} to {:?}", change, before, after);
                match change {
                    Change::Quote { quote, newest: true, .. } => {
                        prop_assert_eq!(after, Some(Touch { quote, sequence: id, source: Source::Quote }));
                    }
                    Change::Depth { newest: true } => {
                        let quote = venue.book().quote();
                        let touch = Touch { quote, sequence: id, source: Source::Depth };
                        prop_assert_eq!(after, quote.is_two_sided().then_some(touch));
                    }
                    _ => {}
                }
            }
        }
    }
}
