//! What traders took from levels that still stand.
//!
//! A price from which anyone took is watched until it shows no size; what each trader took there is kept by the trader.

use crate::market::Market;
use crate::market::touch::VenueBook;
use crate::units::{Price, Side};

/// Which books a level was taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::market::cross) enum Book {
    /// As they are.
    True = 0,
    /// As they are seen.
    Seen = 1,
}

/// A price at which a trader took something.
#[derive(Clone, Copy, Debug)]
struct Watched {
    id: u64,
    venue: usize,
    side: Side,
    price: Price,
}

/// The prices that are watched, by [`Book`], with ascending ids.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    prices: [Vec<Watched>; 2],
    /// Grows whenever prices are not watched any more.
    generation: [u64; 2],
    next_id: u64,
}

/// What one trader took, by [`Book`].
#[derive(Clone, Debug, Default)]
pub(super) struct Taken {
    rows: [Vec<Row>; 2],
    /// Up to which generation it was looked through.
    purged: [u64; 2],
}

#[derive(Clone, Copy, Debug)]
struct Row {
    id: u64,
    venue: usize,
    side: Side,
    price: Price,
    size: i64,
}

impl Watch {
    /// Books of these venues, as bits, changed: prices that show no size any more are watched no longer.
    #[inline]
    pub(super) fn refresh(&mut self, book: Book, market: &Market, changed: u64) {
        let prices = &mut self.prices[book as usize];
        if prices.iter().any(|one| changed >> one.venue & 1 == 1) {
            let before = prices.len();
            prices.retain(|one| {
                changed >> one.venue & 1 == 0
                    || market.venues().get(one.venue).is_none_or(|venue| shown(venue, one.side, one.price) != Some(0))
            });
            self.generation[book as usize] += u64::from(prices.len() < before);
        }
    }
}

impl Taken {
    #[inline]
    pub(super) fn is_empty(&self, book: Book) -> bool {
        self.rows[book as usize].is_empty()
    }

    /// How much was taken at a price that has shown size since.
    #[inline]
    pub(super) fn at(&self, book: Book, venue: usize, side: Side, price: Price) -> i64 {
        let same = |one: &&Row| one.price == price && one.venue == venue && one.side == side;
        self.rows[book as usize].iter().find(same).map_or(0, |one| one.size)
    }

    /// Forgets what was taken at prices that are not watched any more.
    pub(super) fn purge(&mut self, watch: &Watch) {
        for book in 0..2 {
            if self.purged[book] != watch.generation[book] {
                self.purged[book] = watch.generation[book];
                let watched = &watch.prices[book];
                // Ids ascend.
                self.rows[book].retain(|row| watched.binary_search_by_key(&row.id, |one| one.id).is_ok());
            }
        }
    }

    /// So much more was taken.
    pub(super) fn add(&mut self, watch: &mut Watch, book: Book, venue: usize, side: Side, price: Price, size: i64) {
        let watched = &mut watch.prices[book as usize];
        let found = watched.iter().find(|one| (one.venue, one.side, one.price) == (venue, side, price));
        let id = found.map_or(watch.next_id, |one| one.id);
        if found.is_none() {
            watched.push(Watched { id, venue, side, price });
            watch.next_id += 1;
        }
        let rows = &mut self.rows[book as usize];
        match rows.iter_mut().find(|one| one.id == id) {
            Some(one) => one.size = one.size.saturating_add(size),
            None => rows.push(Row { id, venue, side, price, size }),
        }
    }
}

/// The size that a price shows: none if the touch is worse. `None` if nothing is known.
fn shown(venue: &VenueBook, side: Side, price: Price) -> Option<i64> {
    let (touch, size) = venue.touch()?.quote.side(side)?;
    let better = if side == Side::Ask { price < touch } else { price > touch };
    Some(if better {
        0
    } else if price == touch {
        size.0
    } else if venue.book().is_stale() {
        // What lies behind the touch is not known.
        return None;
    } else {
        venue.book().size_at(side, price).0
    })
}
