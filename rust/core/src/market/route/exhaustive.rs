//! Every split there is: what the searches of routes are held to. Slow and obvious.

use super::{Order, Terms};

/// Numbers from a seed (Numerical Recipes' constants, upper bits).
pub(super) struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((u128::from(self.0 >> 11) * u128::from(bound.unsigned_abs())) >> 53).unwrap_or(0)
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(i64::try_from(of.len()).expect("short"))).expect("below")]
    }
}

/// What a size costs on a book, added up level by level; `None` beyond its end.
pub(super) fn book_cost(levels: &[(i64, i64)], size: i64, factor: i64, buy: bool) -> Option<i128> {
    let factor = i128::from(factor) * if buy { 1 } else { -1 };
    let (mut left, mut cost) = (size, 0);
    for &(price, available) in levels {
        let taken = left.min(available);
        left -= taken;
        cost += i128::from(price) * factor * i128::from(taken);
    }
    (left == 0).then_some(cost)
}

/// Every number of lots that a venue can trade by its terms: size and cost. `cost` is asked for each of them.
pub(super) fn choices(order: &Order, terms: &Terms, cost: impl Fn(i64) -> Option<i128>) -> Vec<(i64, i128)> {
    let mut choices = if terms.required { vec![] } else { vec![(0, 0)] };
    let mut size = terms.lot;
    while size <= terms.max.min(order.size) {
        let Some(cost) = cost(size).map(|cost| cost + terms.fixed) else { break };
        if size >= terms.min && terms.budget.is_none_or(|budget| cost <= budget) {
            choices.push((size, cost));
        }
        size += terms.lot;
    }
    choices
}

/// By dynamic programming over venues, number of orders and size: the most that can be traded, and its least cost.
pub(super) fn optimum(order: &Order, choices: &[Vec<(i64, i128)>]) -> Option<(i64, i128)> {
    let size = usize::try_from(order.size).expect("small");
    let orders = order.max_venues.min(choices.len());
    let mut best = vec![vec![None::<i128>; size + 1]; orders + 1];
    best[0][0] = Some(0);
    for of_venue in choices {
        let mut next = vec![vec![None::<i128>; size + 1]; orders + 1];
        for &(taken, cost) in of_venue {
            let more = usize::from(taken > 0);
            let taken = usize::try_from(taken).expect("small");
            for used in 0..(orders + 1).saturating_sub(more) {
                for at in 0..=size - taken {
                    if let Some(before) = best[used][at] {
                        let cell = &mut next[used + more][at + taken];
                        *cell = Some(cell.map_or(before + cost, |cell| cell.min(before + cost)));
                    }
                }
            }
        }
        best = next;
    }
    (0..=size).rev().find_map(|at| {
        let least = best.iter().filter_map(|row| row[at]).min()?;
        Some((i64::try_from(at).expect("small"), least))
    })
}
