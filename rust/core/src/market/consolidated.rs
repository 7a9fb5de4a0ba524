//! The books of all venues as one, merged level by level as far as somebody reads.
//!
//! No second copy of depth: the merge walks the venues' own books. Each step takes the best of the venues' next levels, a
//! search of up to 64 numbers side by side; a heap would move more memory than it saves.

use super::convert::{NO_ASK, NO_BID};
use super::{LadderLevel, Market, VenueLadder};
use crate::units::Side;

/// How the best bid and ask over all venues stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum QuoteState {
    /// The bid is below the ask.
    Normal = 0,
    /// Bid and ask are equal.
    Locked = 1,
    /// The bid is above the ask.
    Crossed = 2,
    /// One side has no venue.
    OneSided = 3,
    /// No venue counts.
    Empty = 4,
}

impl QuoteState {
    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Locked => "locked",
            Self::Crossed => "crossed",
            Self::OneSided => "one_sided",
            Self::Empty => "empty",
        }
    }
}

/// The best bid and offer over the venues that count, in the manner of a national best bid and offer: prices without
/// fees, sizes added over the venues at the price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BestQuote {
    /// The highest bid, in common price units; [`NO_BID`] if there is none.
    pub bid: i64,
    /// Size at it, in common size units.
    pub bid_size: i128,
    /// The venues that make it, as bits by index.
    pub bid_venues: u64,
    /// The lowest ask, in common price units; [`NO_ASK`] if there is none.
    pub ask: i64,
    /// Size at it, in common size units.
    pub ask_size: i128,
    /// The venues that make it, as bits by index.
    pub ask_venues: u64,
    /// Whether it is locked or crossed.
    pub state: QuoteState,
}

impl BestQuote {
    /// The middle of bid and ask, in common price units.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // analytics begin here
    pub fn mid(&self) -> Option<f64> {
        (self.bid != NO_BID && self.ask != NO_ASK).then(|| (i128::from(self.bid) + i128::from(self.ask)) as f64 / 2.0)
    }

    /// The microprice, in common price units: bid and ask weighted by the size of the other side,
    /// `(bid · ask_size + ask · bid_size) / (bid_size + ask_size)` (the size-weighted mid of Gatheral and Oomen 2010,
    /// "Zero-intelligence realized variance estimation"). None without both sides or without size.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // analytics begin here
    pub fn microprice(&self) -> Option<f64> {
        self.mid()?;
        let (bid_size, ask_size) = (self.bid_size as f64, self.ask_size as f64);
        let both = bid_size + ask_size;
        // Weighted from the bid, so that large prices of small spreads lose nothing.
        let spread = (i128::from(self.ask) - i128::from(self.bid)) as f64;
        (both > 0.0).then(|| self.bid as f64 + spread * bid_size / both)
    }
}

/// The venues of a set of bits.
pub fn venues_of(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let index = bits.trailing_zeros() as usize;
        (bits != 0).then(|| {
            bits &= bits - 1;
            index
        })
    })
}

/// The levels of one side of all venues that count, best first; of equal prices those of the first venue first.
#[derive(Clone, Debug)]
pub struct Merged<'a> {
    /// The next price of each ladder, smaller is better, and what belongs to it.
    keys: Vec<i64>,
    heads: Vec<(usize, LadderLevel, VenueLadder<'a>)>,
    side: Side,
}

const fn key(side: Side, price: i64) -> i64 {
    match side {
        Side::Bid => !price,
        Side::Ask => price,
    }
}

impl Iterator for Merged<'_> {
    type Item = (usize, LadderLevel);

    #[inline]
    fn next(&mut self) -> Option<(usize, LadderLevel)> {
        let least = *self.keys.iter().min()?;
        let at = self.keys.iter().position(|key| *key == least)?;
        let (venue, level, ladder) = self.heads.get_mut(at)?;
        let found = (*venue, *level);
        if let Some(next) = ladder.next() {
            *level = next;
            if let Some(place) = self.keys.get_mut(at) {
                *place = key(self.side, next.price);
            }
        } else {
            self.keys.remove(at);
            self.heads.remove(at);
        }
        Some(found)
    }
}

/// One price of the consolidated book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsolidatedLevel {
    /// In common price units.
    pub price: i64,
    /// Size of all venues, in common size units.
    pub size: i128,
    /// Size of each venue that has any, by index.
    pub split: Vec<(usize, i128)>,
    /// Whether it lies within what is known of every venue that counts. If not, more may lie there or before.
    pub known: bool,
}

/// What a side holds up to a price or a number of levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarketDepth {
    /// Base currency, in common size units.
    pub base: i128,
    /// Quote currency, in common price units times common size units: the sum over levels of common price times common
    /// size, so of inverse contracts their rounded size. Saturated at 128 bits.
    pub quote: i128,
    /// Different prices.
    pub levels: usize,
    /// The worst price.
    pub worst: Option<i64>,
    /// Whether all of it lies within what is known of every venue that counts. If not, it is at least so much.
    pub known: bool,
}

/// Consolidated levels, one price after another. See [`Market::levels`].
#[derive(Clone, Debug)]
pub struct Consolidated<'a> {
    merged: std::iter::Peekable<Merged<'a>>,
    horizon: Option<i64>,
    side: Side,
}

impl Iterator for Consolidated<'_> {
    type Item = ConsolidatedLevel;

    fn next(&mut self) -> Option<ConsolidatedLevel> {
        let (venue, first) = self.merged.next()?;
        let price = first.price;
        let mut split = vec![(venue, i128::from(first.size))];
        let mut size = i128::from(first.size);
        while let Some((venue, level)) = self.merged.next_if(|(_, level)| level.price == price) {
            size += i128::from(level.size);
            match split.last_mut() {
                // A rate may bring two prices of a venue to one common price.
                Some((last, part)) if *last == venue => *part += i128::from(level.size),
                _ => split.push((venue, i128::from(level.size))),
            }
        }
        let known = is_within(self.side, price, self.horizon);
        Some(ConsolidatedLevel { price, size, split, known })
    }
}

fn is_within(side: Side, price: i64, horizon: Option<i64>) -> bool {
    horizon.is_some_and(|horizon| key(side, price) <= key(side, horizon))
}

impl Market {
    /// The best bid and offer over the venues that count.
    #[must_use]
    pub fn quote(&self) -> BestQuote {
        let (bid, ask) = self.best();
        let (mut bid_venues, mut ask_venues) = self.tops.makers();
        if bid == NO_BID {
            bid_venues = 0;
        }
        if ask == NO_ASK {
            ask_venues = 0;
        }
        let size = |side: Side, venues: u64| {
            let of = |index: usize| {
                let (price, size) = self.venues.get(index)?.touch()?.quote.side(side)?;
                Some(i128::from(self.conversions.get(index)?.base_size(price, size)))
            };
            venues_of(venues).filter_map(of).sum()
        };
        let state = match (bid != NO_BID, ask != NO_ASK) {
            (false, false) => QuoteState::Empty,
            (true, true) if bid > ask => QuoteState::Crossed,
            (true, true) if bid == ask => QuoteState::Locked,
            (true, true) => QuoteState::Normal,
            _ => QuoteState::OneSided,
        };
        BestQuote {
            bid,
            bid_size: size(Side::Bid, bid_venues),
            bid_venues,
            ask,
            ask_size: size(Side::Ask, ask_venues),
            ask_venues,
            state,
        }
    }

    /// The levels of one side of all venues that count, each by itself, best first.
    #[must_use]
    pub fn merged(&self, side: Side) -> Merged<'_> {
        let count = self.venues().len();
        let (mut keys, mut heads) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for index in 0..count {
            let Some(mut ladder) = self.ladder(index, side) else { continue };
            if let Some(level) = ladder.next() {
                keys.push(key(side, level.price));
                heads.push((index, level, ladder));
            }
        }
        Merged { keys, heads, side }
    }

    /// The consolidated levels of one side, best first, each with the size of every venue.
    #[must_use]
    pub fn levels(&self, side: Side) -> Consolidated<'_> {
        Consolidated { merged: self.merged(side).peekable(), horizon: self.consolidated_horizon(side), side }
    }

    /// The worst common price up to which the levels of every venue that counts are known; `None` if none counts.
    #[must_use]
    pub fn consolidated_horizon(&self, side: Side) -> Option<i64> {
        let horizons = (0..self.venues().len()).filter_map(|index| self.horizon(index, side));
        horizons.min_by_key(|price| key(side, *price))
    }

    /// What a side holds in its first `count` prices.
    #[must_use]
    pub fn depth_of_levels(&self, side: Side, count: usize) -> MarketDepth {
        let mut depth = self.depth_while(side, |levels, _| levels <= count);
        // Whoever wants more levels than there are has looked as far as prices go.
        depth.known &= depth.levels == count;
        depth
    }

    /// What a side holds up to a common price, that price included.
    #[must_use]
    pub fn depth_to(&self, side: Side, limit: i64) -> MarketDepth {
        let mut depth = self.depth_while(side, |_, price| key(side, price) <= key(side, limit));
        depth.known = is_within(side, limit, self.consolidated_horizon(side));
        depth
    }

    fn depth_while(&self, side: Side, wanted: impl Fn(usize, i64) -> bool) -> MarketDepth {
        let mut depth = MarketDepth { base: 0, quote: 0, levels: 0, worst: None, known: false };
        for (_, level) in self.merged(side) {
            let new = depth.worst != Some(level.price);
            if !wanted(depth.levels + usize::from(new), level.price) {
                break;
            }
            depth.levels += usize::from(new);
            depth.worst = Some(level.price);
            depth.base += i128::from(level.size);
            // Prices and sizes near 2^63 add up to more than 128 bits at the third level.
            depth.quote = depth.quote.saturating_add(i128::from(level.price) * i128::from(level.size));
        }
        depth.known = depth.worst.is_some_and(|worst| is_within(side, worst, self.consolidated_horizon(side)));
        depth
    }

    /// The worst common price within `band` hundredths of a bp of the middle of the best bid and ask; `None` without both.
    #[must_use]
    pub fn band(&self, side: Side, band: u32) -> Option<i64> {
        let (bid, ask) = self.best();
        if bid == NO_BID || ask == NO_ASK {
            return None;
        }
        let twice = i128::from(bid) + i128::from(ask);
        let part = twice.abs() * i128::from(band);
        const WHOLE: i128 = 2_000_000;
        let limit = match side {
            Side::Bid => -((part - twice * 1_000_000).div_euclid(WHOLE)),
            Side::Ask => (twice * 1_000_000 + part).div_euclid(WHOLE),
        };
        i64::try_from(limit).ok()
    }
}
