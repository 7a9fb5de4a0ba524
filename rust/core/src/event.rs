//! One normalised market-data event.

use crate::units::{Nanos, Price, Side, Size};

/// What an event says.
///
/// Market by order has one convention, whatever the venue or file says in its own words. Every event names its order by
/// `order_id` and brings its `side` and `price`:
///
/// | kind | `size` | what it does to a book |
/// |---|---|---|
/// | `Add` | the order's | a new order at the tail of its price; the id is not live |
/// | `Modify` | the order's from then on, above 0 | at the same price and no larger it keeps its place, else it goes to the tail |
/// | `Cancel` | what was open, for readers; no book needs it | the whole order leaves: a part of it cancelled is a `Modify` |
/// | `Execute` | what was filled | so much less is open; at 0 the order leaves, without a `Cancel` |
/// | `Trade` | what was traded | nothing: a fill of an order at rest is its `Execute` |
///
/// `Clear` empties the book, and a snapshot follows as `Add`s in queue order with [`Flags::SNAPSHOT`]. After a `Gap` the
/// book may be wrong until the next `Clear`; orders in it stay.
///
/// Feeds that do not tell a fill from a change (Bitstamp's and Independent Reserve's live orders) give `Modify` for a
/// part and `Cancel` for the whole of a fill, and the `Trade` apart from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Kind {
    /// Forget the book: a snapshot follows.
    Clear = 0,
    /// The size at a price is now `size`; 0 removes the level.
    Level = 1,
    /// The best price and size of one side.
    Quote = 2,
    /// A trade; `side` is the aggressor's.
    Trade = 3,
    /// An order joins the book (market by order).
    Add = 4,
    /// An order changes (market by order).
    Modify = 5,
    /// An order leaves the book (market by order).
    Cancel = 6,
    /// An order is filled (market by order).
    Execute = 7,
    /// Mark price, in 1e-10 of the quote currency.
    Mark = 8,
    /// Index price, in 1e-10 of the quote currency.
    Index = 9,
    /// Implied volatility of the mark price, in 1e-10 of 1.
    MarkIv = 10,
    /// Funding rate in 1e-10 of 1; `size` holds the time it is due.
    Funding = 11,
    /// The instrument's trading status.
    Status = 12,
    /// Messages are missing: `sequence` is the first missing, `order_id` the last missing, 0 where unknown.
    Gap = 13,
}

impl Kind {
    /// Every kind, in the order of its code.
    pub const ALL: [Self; 14] = [
        Self::Clear,
        Self::Level,
        Self::Quote,
        Self::Trade,
        Self::Add,
        Self::Modify,
        Self::Cancel,
        Self::Execute,
        Self::Mark,
        Self::Index,
        Self::MarkIv,
        Self::Funding,
        Self::Status,
        Self::Gap,
    ];

    /// The kind with this code.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// Its name in tables: lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Level => "level",
            Self::Quote => "quote",
            Self::Trade => "trade",
            Self::Add => "add",
            Self::Modify => "modify",
            Self::Cancel => "cancel",
            Self::Execute => "execute",
            Self::Mark => "mark",
            Self::Index => "index",
            Self::MarkIv => "mark_iv",
            Self::Funding => "funding",
            Self::Status => "status",
            Self::Gap => "gap",
        }
    }
}

/// A set of marks on an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Flags(pub u8);

impl Flags {
    /// No mark.
    pub const NONE: Self = Self(0);
    /// The end of one exchange message.
    pub const LAST: Self = Self(1);
    /// Part of a snapshot of the book.
    pub const SNAPSHOT: Self = Self(2);
    /// A gap that is our doing, not the venue's.
    pub const OURS: Self = Self(4);
    /// A gap in the trades, which leaves the book as it is.
    pub const TRADES: Self = Self(8);
    /// A depth change that was held back until the snapshot came. Its `ts_recv` is the snapshot's, the first instant
    /// at which anyone could have known the book.
    pub const REPLAYED: Self = Self(16);

    /// Whether every mark of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One normalised market-data event. See [`Kind`] for the meaning of the fields in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Event {
    /// The exchange's clock; [`Nanos::UNKNOWN`] where the message carries no time.
    pub ts_event: Nanos,
    /// Our clock at the receipt of the frame.
    pub ts_recv: Nanos,
    /// The venue's update id, or trade id for trades.
    pub sequence: u64,
    /// Order id (market by order); last missing sequence of a gap; else 0.
    pub order_id: u64,
    /// In units of the instrument.
    pub price: Price,
    /// In units of the instrument.
    pub size: Size,
    /// Index of the instrument in its tape's or capture's list.
    pub instrument: u32,
    /// What the event says.
    pub kind: Kind,
    /// Side of the book, or the aggressor of a trade; `None` where there is none.
    pub side: Option<Side>,
    /// Marks.
    pub flags: Flags,
}

impl Event {
    /// The code of a missing side in columns.
    pub const NO_SIDE: u8 = 2;

    /// The order that it is about and, of one that joins a book, where: what [`OrderBook::read_ahead`] asks for.
    ///
    /// [`OrderBook::read_ahead`]: crate::book::OrderBook::read_ahead
    #[inline]
    #[must_use]
    pub fn coming(&self) -> (u64, Option<(Side, Price)>) {
        let joins = if self.kind == Kind::Add { self.side.map(|side| (side, self.price)) } else { None };
        (self.order_id, joins)
    }

    /// The side as a code: 0 bid, 1 ask, 2 none.
    #[must_use]
    pub const fn side_code(&self) -> u8 {
        match self.side {
            Some(side) => side as u8,
            None => Self::NO_SIDE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_fits_one_cache_line() {
        assert_eq!(size_of::<Event>(), 56);
    }

    #[test]
    fn kinds_survive_their_codes() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_code(kind as u8), Some(kind));
        }
        assert_eq!(Kind::from_code(14), None);
    }
}
