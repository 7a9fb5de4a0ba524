//! What two overlapping books are worth: walking the asks of one and the bids of the other together.
//!
//! Prices and sizes are a market's common ones, so every conversion has been rounded against the user before. Money is
//! counted in 10^-9 of a common price times a common size, in which a fee of parts per billion is a whole number: nothing
//! is rounded but the weighing by a fair ratio that is not 1, down for what comes in and up for what goes out.

use super::BILLION;
use crate::market::ladder::LadderLevel;

/// What one leg costs beyond its price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LegCost {
    /// Of the notional, parts per billion.
    pub rate: i64,
    /// For each order that is filled, in money of [`Overlap`].
    pub fixed: i128,
}

/// The terms on which an overlap is valued: costs of both legs and the weights of a fair ratio, parts per billion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Costs of buying.
    pub buy: LegCost,
    /// Costs of selling.
    pub sell: LegCost,
    /// What a price of the buying venue is multiplied by before it is compared.
    pub buy_weight: i64,
    /// The same of the selling venue.
    pub sell_weight: i64,
}

/// What limits a trade beyond the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most base currency, in common size units.
    pub size: i64,
    /// Most money to be paid, costs included.
    pub cash: i128,
    /// Sizes are multiples of this.
    pub step: i64,
}

impl Limits {
    /// No limit but whole lots.
    #[must_use]
    pub const fn none(step: i64) -> Self {
        Self { size: i64::MAX, cash: i128::MAX, step }
    }
}

/// A trade in both books.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overlap {
    /// Base currency bought and sold, in common size units.
    pub size: i64,
    /// Sum of common price × common size bought.
    pub bought: i128,
    /// Sum of common price × common size sold.
    pub sold: i128,
    /// The worst price bought at, as its venue knows it.
    pub worst_ask: i64,
    /// The worst price sold at.
    pub worst_bid: i64,
    /// What it brings net of all costs, at the fair ratio.
    pub profit: i128,
}

impl Terms {
    /// Whether one more of base currency pays, fixed costs apart. Exact.
    #[inline]
    #[must_use]
    pub fn pays(&self, ask: i64, bid: i64) -> bool {
        // 63 + 31 + 31 bits.
        let paid = i128::from(ask) * i128::from(BILLION + self.buy.rate);
        let got = i128::from(bid) * i128::from(BILLION - self.sell.rate);
        match (got.checked_mul(i128::from(self.sell_weight)), paid.checked_mul(i128::from(self.buy_weight))) {
            (Some(got), Some(paid)) => got > paid,
            _ => {
                got / i128::from(BILLION) * i128::from(self.sell_weight)
                    > paid / i128::from(BILLION) * i128::from(self.buy_weight)
            }
        }
    }

    /// What so much bought and sold brings. `None` if it does not fit 127 bits.
    #[must_use]
    pub fn profit(&self, bought: i128, sold: i128) -> Option<i128> {
        let cost = cost(bought, self.buy)?;
        let proceeds = proceeds(sold, self.sell)?;
        weighed_down(proceeds, self.sell_weight)?.checked_sub(weighed_up(cost, self.buy_weight)?)
    }
}

/// Money that a notional bought takes.
#[must_use]
pub fn cost(bought: i128, leg: LegCost) -> Option<i128> {
    bought.checked_mul(i128::from(BILLION + leg.rate))?.checked_add(leg.fixed)
}

/// Money that a notional sold brings.
#[must_use]
pub fn proceeds(sold: i128, leg: LegCost) -> Option<i128> {
    sold.checked_mul(i128::from(BILLION - leg.rate))?.checked_sub(leg.fixed)
}

/// `money · weight / 10^9`, down.
#[must_use]
pub fn weighed_down(money: i128, weight: i64) -> Option<i128> {
    let (whole, rest) = (money.div_euclid(i128::from(BILLION)), money.rem_euclid(i128::from(BILLION)));
    let part = (rest * i128::from(weight)).div_euclid(i128::from(BILLION));
    whole.checked_mul(i128::from(weight))?.checked_add(part)
}

/// `money · weight / 10^9`, up.
#[must_use]
pub fn weighed_up(money: i128, weight: i64) -> Option<i128> {
    weighed_down(money.checked_neg()?, weight)?.checked_neg()
}

/// Takes both books for as long as one more pays and nothing limits it, then rounds the size down to whole steps. `None`
/// if a sum does not fit 127 bits.
#[must_use]
pub fn overlap(
    asks: impl Iterator<Item = LadderLevel> + Clone,
    bids: impl Iterator<Item = LadderLevel> + Clone,
    terms: &Terms,
    limits: Limits,
) -> Option<Overlap> {
    let mut found = take(asks.clone(), bids.clone(), terms, limits)?;
    let over = found.size % limits.step.max(1);
    if over != 0 {
        found = take(asks, bids, terms, Limits { size: found.size - over, ..limits })?;
    }
    if found.size > 0 {
        found.profit = terms.profit(found.bought, found.sold)?;
    }
    Some(found)
}

fn take(
    mut asks: impl Iterator<Item = LadderLevel>,
    mut bids: impl Iterator<Item = LadderLevel>,
    terms: &Terms,
    limits: Limits,
) -> Option<Overlap> {
    let mut found = Overlap::default();
    let per_price = i128::from(BILLION + terms.buy.rate);
    let mut cash = limits.cash.saturating_sub(terms.buy.fixed);
    let (mut ask, mut bid) = (asks.next(), bids.next());
    while let (Some(buy), Some(sell)) = (&mut ask, &mut bid) {
        if found.size >= limits.size || !terms.pays(buy.price, sell.price) {
            break;
        }
        let mut size = buy.size.min(sell.size).min(limits.size - found.size);
        if limits.cash != i128::MAX {
            let each = i128::from(buy.price) * per_price;
            // At a price of zero or less nothing is spent.
            if each > 0 {
                let most = cash.max(0) / each;
                if most < i128::from(size) {
                    size = i64::try_from(most).unwrap_or(size);
                }
                cash -= each * i128::from(size);
                if size == 0 && buy.size > 0 && sell.size > 0 {
                    break;
                }
            }
        }
        if size > 0 {
            found.size += size;
            found.bought = found.bought.checked_add(i128::from(buy.price) * i128::from(size))?;
            found.sold = found.sold.checked_add(i128::from(sell.price) * i128::from(size))?;
            found.worst_ask = buy.native_price.0;
            found.worst_bid = sell.native_price.0;
        }
        buy.size -= size;
        sell.size -= size;
        let (buy_done, sell_done) = (buy.size <= 0, sell.size <= 0);
        if !buy_done && !sell_done {
            break;
        }
        if buy_done {
            ask = asks.next();
        }
        if sell_done {
            bid = bids.next();
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::units::{Price, Size};

    const FREE: Terms = Terms {
        buy: LegCost { rate: 0, fixed: 0 },
        sell: LegCost { rate: 0, fixed: 0 },
        buy_weight: BILLION,
        sell_weight: BILLION,
    };

    fn levels(of: &[(i64, i64)]) -> impl Iterator<Item = LadderLevel> + Clone {
        of.iter().map(|(price, size)| LadderLevel {
            price: *price,
            size: *size,
            native_price: Price(*price),
            native_size: Size(*size),
        })
    }

    #[test]
    fn both_books_are_taken_while_one_more_pays() {
        let asks = [(100, 5), (101, 5), (103, 9)];
        let bids = [(104, 3), (102, 4), (101, 9)];
        let found = overlap(levels(&asks), levels(&bids), &FREE, Limits::none(1)).expect("fits");
        assert_eq!((found.size, found.worst_ask, found.worst_bid), (7, 101, 102));
        assert_eq!(found.profit, i128::from((3 * 4 + 2 * 2 + 2) * BILLION));
    }

    #[test]
    fn a_size_is_rounded_down_to_whole_steps_and_the_worst_units_are_left() {
        let found = overlap(levels(&[(100, 5), (101, 5)]), levels(&[(102, 99)]), &FREE, Limits::none(4)).expect("fits");
        assert_eq!((found.size, found.bought), (8, 5 * 100 + 3 * 101));
    }

    #[test]
    fn cash_and_inventory_limit_the_size() {
        let cash = Limits { size: 99, cash: i128::from(250 * BILLION), step: 1 };
        assert_eq!(overlap(levels(&[(100, 9)]), levels(&[(102, 9)]), &FREE, cash).map(|found| found.size), Some(2));
        let base = Limits { size: 3, cash: i128::MAX, step: 1 };
        assert_eq!(overlap(levels(&[(100, 9)]), levels(&[(102, 9)]), &FREE, base).map(|found| found.size), Some(3));
        let none = Limits { size: 3, cash: 0, step: 1 };
        assert_eq!(overlap(levels(&[(100, 9)]), levels(&[(102, 9)]), &FREE, none), Some(Overlap::default()));
    }

    #[test]
    fn fixed_costs_are_paid_once_and_may_eat_the_edge() {
        let fixed = LegCost { rate: 0, fixed: i128::from(BILLION) };
        let terms = Terms { buy: fixed, sell: fixed, ..FREE };
        let found = overlap(levels(&[(100, 2)]), levels(&[(101, 2)]), &terms, Limits::none(1)).expect("fits");
        assert_eq!(found.profit, 0);
    }

    #[test]
    fn weighing_rounds_against_the_user() {
        assert_eq!((weighed_down(10, BILLION / 3), weighed_up(10, BILLION / 3)), (Some(3), Some(4)));
        assert_eq!((weighed_down(-10, BILLION / 3), weighed_up(-10, BILLION / 3)), (Some(-4), Some(-3)));
        assert_eq!(weighed_down(i128::MAX, BILLION), Some(i128::MAX));
    }

    type Side = Vec<(i64, i64)>;

    fn books() -> impl Strategy<Value = (Side, Side)> {
        let side = || proptest::collection::vec((1_i64..30, 1_i64..9), 0..6);
        (side(), side()).prop_map(|(mut asks, mut bids)| {
            asks.sort_unstable();
            bids.sort_unstable_by(|a, b| b.cmp(a));
            asks.dedup_by_key(|level| level.0);
            bids.dedup_by_key(|level| level.0);
            (asks, bids)
        })
    }

    proptest! {
        #[test]
        fn unit_by_unit_gives_the_same(
            (asks, bids) in books(),
            fees in (0_i64..200_000_000, 0_i64..200_000_000),
            weights in (900_000_000_i64..1_100_000_000, 900_000_000_i64..1_100_000_000),
            limits in (0_i64..60, 0_i64..2_000, 1_i64..5),
        ) {
            let leg = |rate| LegCost { rate, fixed: 0 };
            let terms = Terms { buy: leg(fees.0), sell: leg(fees.1), buy_weight: weights.0, sell_weight: weights.1 };
            let cash = i128::from(limits.1) * i128::from(BILLION);
            let found = overlap(levels(&asks), levels(&bids), &terms, Limits { size: limits.0, cash, step: limits.2 }).expect("known");
            let units = |of: &[(i64, i64)]| of.iter().flat_map(|(p, q)| vec![*p; usize::try_from(*q).expect("known")]).collect::<Vec<_>>();
            let (mut spent, mut size, mut bought, mut sold) = (0, 0, vec![], vec![]);
            for (ask, bid) in units(&asks).into_iter().zip(units(&bids)) {
                let each = i128::from(ask) * i128::from(BILLION + fees.0);
                let pays = i128::from(bid) * i128::from(BILLION - fees.1) * i128::from(weights.1) > each * i128::from(weights.0);
                if !pays || size >= limits.0 || spent + each > cash {
                    break;
                }
                spent += each;
                size += 1;
                bought.push(i128::from(ask));
                sold.push(i128::from(bid));
            }
            size -= size % limits.2;
            let whole = usize::try_from(size).expect("known");
            let (bought, sold): (i128, i128) = (bought[..whole].iter().sum(), sold[..whole].iter().sum());
            prop_assert_eq!((found.size, found.bought, found.sold), (size, bought, sold));
            if size > 0 {
                prop_assert!(found.profit >= -2);
                prop_assert_eq!(Some(found.profit), terms.profit(bought, sold));
            }
        }

        #[test]
        fn more_cash_or_inventory_never_wins_less(
            (asks, bids) in books(), size in 0_i64..40, more in 0_i64..40, cash in 0_i64..900, richer in 0_i64..900,
        ) {
            let at = |size: i64, cash: i64| {
                let limits = Limits { size, cash: i128::from(cash) * i128::from(BILLION), step: 1 };
                overlap(levels(&asks), levels(&bids), &FREE, limits).expect("known").profit
            };
            prop_assert!(at(size + more, cash + richer) >= at(size, cash));
        }
    }
}
