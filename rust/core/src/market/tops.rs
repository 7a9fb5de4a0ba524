//! The best bid and ask over venues, gross and net of fees, kept up to date touch by touch.
//!
//! Four arrays hold one number a venue. A touch that improves a best one or leaves it alone costs a comparison; only when
//! the venue that made it steps back is its array searched, which is linear and contiguous: tens of ns at 64 venues.

use super::convert::{NO_ASK, NO_BID};

/// One, in parts per billion.
const BILLION: i64 = 1_000_000_000;

/// Numbers by venue and the least of them; of equal ones that of the first venue.
#[derive(Clone, Debug)]
struct Least<T> {
    keys: Vec<T>,
    best: T,
    at: usize,
}

impl<T: Copy + Ord> Least<T> {
    fn new(count: usize, none: T) -> Self {
        Self { keys: vec![none; count], best: none, at: 0 }
    }

    /// Whether anything changed.
    #[inline]
    fn set(&mut self, index: usize, key: T) -> bool {
        let Some(place) = self.keys.get_mut(index) else { return false };
        if *place == key {
            return false;
        }
        *place = key;
        if key < self.best || (key == self.best && index < self.at) {
            (self.best, self.at) = (key, index);
        } else if index == self.at {
            self.search();
        }
        true
    }

    fn search(&mut self) {
        let Some(&best) = self.keys.iter().min() else { return };
        self.best = best;
        self.at = self.keys.iter().position(|key| *key == best).unwrap_or(0);
    }

    /// The least without one venue's, and whose it is.
    fn without(&self, index: usize) -> Option<(T, usize)> {
        self.keys.iter().enumerate().filter(|(at, _)| *at != index).map(|(at, key)| (*key, at)).min()
    }

    /// The venues that make the best, as bits.
    #[inline]
    fn makers(&self) -> u64 {
        let bits = self.keys.iter().enumerate().map(|(index, key)| u64::from(*key == self.best) << (index % 64));
        bits.fold(0, |all, bit| all | bit)
    }
}

/// Buying at one venue's ask and selling at another's bid pays after both venues' fees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetCross {
    /// The venue with the lowest ask after fees.
    pub buy: usize,
    /// The venue with the highest bid after fees.
    pub sell: usize,
    /// What is left per unit of base currency, in 10^-9 common price units. Exact for the common prices.
    pub edge: i128,
}

/// Touches of all venues in common prices. Bids are stored as complements, so that the best of either side is the least.
#[derive(Clone, Debug)]
pub(super) struct Tops {
    bids: Least<i64>,
    asks: Least<i64>,
    net_bids: Least<i128>,
    net_asks: Least<i128>,
    fees: Vec<i64>,
}

impl Tops {
    pub(super) fn new(fees: Vec<i64>) -> Self {
        let count = fees.len();
        Self {
            bids: Least::new(count, !NO_BID),
            asks: Least::new(count, NO_ASK),
            net_bids: Least::new(count, i128::MAX),
            net_asks: Least::new(count, i128::MAX),
            fees,
        }
    }

    /// A venue's touch is now this; [`NO_BID`] and [`NO_ASK`] where it has none that counts.
    #[inline]
    pub(super) fn set(&mut self, index: usize, bid: i64, ask: i64) {
        let fee = self.fees.get(index).copied().unwrap_or(0);
        if self.bids.set(index, !bid) {
            let net = if bid == NO_BID { i128::MIN } else { proceeds(bid, fee) };
            self.net_bids.set(index, !net);
        }
        if self.asks.set(index, ask) {
            let net = if ask == NO_ASK { i128::MAX } else { outlay(ask, fee) };
            self.net_asks.set(index, net);
        }
    }

    /// The fee of a venue has changed.
    pub(super) fn set_fee(&mut self, index: usize, fee: i64) {
        if let Some(place) = self.fees.get_mut(index) {
            *place = fee;
            let (bid, ask) = self.touch(index);
            self.set(index, NO_BID, NO_ASK);
            self.set(index, bid, ask);
        }
    }

    pub(super) fn fees(&self) -> &[i64] {
        &self.fees
    }

    #[inline]
    pub(super) fn touch(&self, index: usize) -> (i64, i64) {
        (self.bids.keys.get(index).map_or(NO_BID, |key| !key), self.asks.keys.get(index).copied().unwrap_or(NO_ASK))
    }

    #[inline]
    pub(super) const fn best(&self) -> (i64, i64) {
        (!self.bids.best, self.asks.best)
    }

    /// The venues at the best bid and at the best ask, as bits.
    #[inline]
    pub(super) fn makers(&self) -> (u64, u64) {
        (self.bids.makers(), self.asks.makers())
    }

    /// The best trade between two venues, if it pays after fees.
    #[inline]
    pub(super) fn cross(&self) -> Option<NetCross> {
        // The outlay is below the proceeds iff its key is below the complement of the other's.
        if self.net_asks.best >= !self.net_bids.best || self.net_bids.best == i128::MAX {
            return None;
        }
        let (buy, sell) = (self.net_asks.at, self.net_bids.at);
        if buy == sell {
            return self.cross_of_two();
        }
        Some(NetCross { buy, sell, edge: !self.net_bids.best - self.net_asks.best })
    }

    /// One venue's own book is crossed by more than its fees: the best trade of it with another one.
    #[cold]
    #[inline(never)]
    fn cross_of_two(&self) -> Option<NetCross> {
        let at = self.net_asks.at;
        let pair = |(net_ask, buy): (i128, usize), (net_bid, sell): (i128, usize)| {
            let known = net_ask != i128::MAX && net_bid != i128::MAX && net_ask < !net_bid;
            known.then(|| NetCross { buy, sell, edge: !net_bid - net_ask })
        };
        let selling = self.net_bids.without(at).and_then(|other| pair((self.net_asks.best, at), other));
        let buying = self.net_asks.without(at).and_then(|other| pair(other, (self.net_bids.best, at)));
        match (selling, buying) {
            (Some(one), Some(two)) => Some(if two.edge > one.edge { two } else { one }),
            (one, two) => one.or(two),
        }
    }
}

/// What selling a unit at a bid brings after a fee in parts per billion of its absolute value, in 10^-9 price units.
#[inline]
fn proceeds(bid: i64, fee: i64) -> i128 {
    i128::from(bid) * i128::from(BILLION) - i128::from(bid).abs() * i128::from(fee)
}

/// What buying a unit at an ask costs with a fee, in 10^-9 price units.
#[inline]
fn outlay(ask: i64, fee: i64) -> i128 {
    i128::from(ask) * i128::from(BILLION) + i128::from(ask).abs() * i128::from(fee)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn equal_prices_are_the_first_venues_and_all_are_makers() {
        let mut tops = Tops::new(vec![0; 4]);
        assert_eq!((tops.best(), tops.cross()), ((NO_BID, NO_ASK), None));
        for index in [2, 1, 3] {
            tops.set(index, 100, 101);
        }
        assert_eq!((tops.best(), tops.makers()), ((100, 101), (0b1110, 0b1110)));
        tops.set(0, 102, 103);
        let cross = tops.cross();
        assert_eq!(cross, Some(NetCross { buy: 1, sell: 0, edge: 1_000_000_000 }));
    }

    #[test]
    fn a_venue_whose_own_book_is_crossed_trades_with_the_others_only() {
        let mut tops = Tops::new(vec![0; 3]);
        tops.set(1, 110, 90);
        assert_eq!(tops.cross(), None);
        tops.set(2, 95, 96);
        assert_eq!(tops.cross(), Some(NetCross { buy: 2, sell: 1, edge: 14_000_000_000 }));
    }

    #[test]
    fn fees_are_taken_from_both_legs_and_a_rebate_adds() {
        let mut tops = Tops::new(vec![1_000_000, 1_000_000]); // 10 bp each
        tops.set(0, 9_990, 10_000);
        tops.set(1, 10_019, 10_020);
        assert_eq!(tops.cross(), None, "19 of price against 10 and 10.019 of fees");
        tops.set_fee(0, -1_000_000);
        let edge = 10_019 * 999_000_000_i128 - 10_000 * 999_000_000_i128;
        assert_eq!(tops.cross(), Some(NetCross { buy: 0, sell: 1, edge }));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn the_best_are_those_of_a_search(
            fees in prop::collection::vec(-3_000_000_i64..3_000_000, 1..9),
            steps in prop::collection::vec((0_usize..9, -20_i64..200, -20_i64..200, 0_u8..12), 1..80),
        ) {
            let mut tops = Tops::new(fees.clone());
            let mut touches = vec![(NO_BID, NO_ASK); fees.len()];
            let mut fees = fees;
            for (venue, bid, ask, what) in steps {
                let index = venue % fees.len();
                match what {
                    0 => (touches[index], _) = ((NO_BID, NO_ASK), tops.set(index, NO_BID, NO_ASK)),
                    1 => (fees[index], _) = (bid, tops.set_fee(index, bid)),
                    _ => (touches[index], _) = ((bid, ask), tops.set(index, bid, ask)),
                }
                let best = (touches.iter().map(|t| t.0).max().unwrap_or(NO_BID), touches.iter().map(|t| t.1).min().unwrap_or(NO_ASK));
                prop_assert_eq!(tops.best(), best);
                let mut edge = 0;
                for (sell, (bid, _)) in touches.iter().enumerate().filter(|(_, touch)| touch.0 != NO_BID) {
                    for (buy, (_, ask)) in touches.iter().enumerate().filter(|(at, touch)| *at != sell && touch.1 != NO_ASK) {
                        edge = edge.max(proceeds(*bid, fees[sell]) - outlay(*ask, fees[buy]));
                    }
                }
                match tops.cross() {
                    None => prop_assert_eq!(edge, 0),
                    Some(found) => {
                        prop_assert_eq!(found.edge, edge);
                        prop_assert!(found.buy != found.sell && edge > 0);
                        let own = proceeds(touches[found.sell].0, fees[found.sell]) - outlay(touches[found.buy].1, fees[found.buy]);
                        prop_assert_eq!(own, edge);
                    }
                }
            }
        }
    }
}
