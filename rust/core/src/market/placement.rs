//! Placing orders that wait: how much to trade at once and how much to post where.
//!
//! The model is that of Cont and Kukanov, "Optimal order placement in limit order markets" (Quantitative Finance 17(1),
//! 2017; arXiv:1210.1625): a size is to be bought (or sold) within a horizon. A market order pays half the spread and a
//! fee. A limit order behind a queue earns half the spread and a rebate on what is filled: of an outflow ξ (trades and
//! cancellations at the front) it is what goes beyond the queue ahead, up to its size. What is filled short of the size is
//! bought later at a penalty, what is filled beyond it is sold again at another, and every unit sent or bought later moves
//! the price:
//!
//! ```text
//! v = (h + f)·M − Σ (h + r_k)·X_k + θ·(M + Σ L_k + (S − A)⁺) + λu·(S − A)⁺ + λo·(A − S)⁺
//! X_k = min(L_k, (ξ_k − Q_k)⁺),  A = M + Σ X_k
//! ```
//!
//! The expectation of `v` over the outflows is minimised over whole units. With one venue the answer is explicit
//! ([`single`], Proposition 2 there). With several whose outflows are independent, [`place`] computes the expectation
//! exactly, by convolution, and descends by steps that halve from the whole size to one unit, over every way to step up or
//! down up to three orders (all of them, if they are few), from several beginnings, until none is better. Tests hold that
//! to every placement there is; the cost is not convex where being filled too much is cheap, so that for many queues it is
//! not proven.

use thiserror::Error;

/// Why an order cannot be placed.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum PlacementError {
    /// A number that cannot be.
    #[error("{what}: expected {expected}, found {found}")]
    Range {
        /// Which.
        what: &'static str,
        /// What was expected.
        expected: &'static str,
        /// What was found.
        found: f64,
    },
    /// Being filled beyond the size would pay, so that there is no end to posting.
    #[error(
        "over: expected a penalty above half spread and rebate of venue {venue}, {gain}, as more would pay else, found {over}"
    )]
    Unbounded {
        /// Index of the venue.
        venue: usize,
        /// Half spread and rebate there.
        gain: f64,
        /// The penalty.
        over: f64,
    },
    /// No samples.
    #[error("outflow of venue {0}: expected at least one sample")]
    NoSample(usize),
}

/// What flows out of a queue within the horizon, in the units of the size.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Outflow {
    /// Poisson with this mean.
    Poisson(f64),
    /// One of these, each as likely.
    Empirical(Vec<i64>),
}

/// A queue that an order may join.
#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    /// Size ahead, in the units of the size.
    pub ahead: i64,
    /// What a filled unit earns besides half the spread; negative for a maker fee.
    pub rebate: f64,
    /// What flows out at its front.
    pub outflow: Outflow,
}

/// What is to be traded, and at what price. Prices are in currency per unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// How many units, at least 1.
    pub size: i64,
    /// Half the spread.
    pub half_spread: f64,
    /// Taker fee of the market order, of the venue where it is cheapest.
    pub fee: f64,
    /// What each unit that is sent, or bought later, moves the price.
    pub impact: f64,
    /// Penalty of each unit that is not filled.
    pub under: f64,
    /// Penalty of each unit that is filled beyond the size.
    pub over: f64,
    /// Where orders may wait.
    pub queues: Vec<Queue>,
}

/// How much to trade at once and to post.
#[derive(Clone, Debug, PartialEq)]
pub struct Placement {
    /// Units of the market order.
    pub market: i64,
    /// Units of the limit order in each queue.
    pub limits: Vec<i64>,
    /// Expected cost against the middle of the spread, in currency.
    pub cost: f64,
    /// Units that each limit order is expected to be filled.
    pub filled: Vec<f64>,
    /// Units that are expected to be left.
    pub unfilled: f64,
}

const MAX_SIZE: i64 = 1 << 20;
/// Points of the grid that the descent begins from, and how many of them it does.
const GRID: i64 = 4_096;
const BEGINNINGS: usize = 12;

impl Task {
    fn check(&self) -> Result<(), PlacementError> {
        let range = |what, expected, found, good: bool| {
            if good { Ok(()) } else { Err(PlacementError::Range { what, expected, found }) }
        };
        #[allow(clippy::cast_precision_loss)] // for a message
        let size = self.size as f64;
        range("size", "1 to 2^20 units (take a larger unit)", size, (1..=MAX_SIZE).contains(&self.size))?;
        for (what, value) in [("half spread", self.half_spread), ("impact", self.impact), ("under", self.under)] {
            range(what, "a finite number of at least 0", value, value.is_finite() && value >= 0.0)?;
        }
        for (what, value) in [("fee", self.fee), ("over", self.over)] {
            range(what, "a finite number", value, value.is_finite())?;
        }
        for (venue, queue) in self.queues.iter().enumerate() {
            #[allow(clippy::cast_precision_loss)] // for a message
            let ahead = queue.ahead as f64;
            range("queue ahead", "at least 0 units", ahead, queue.ahead >= 0)?;
            range("rebate", "a finite number", queue.rebate, queue.rebate.is_finite())?;
            match &queue.outflow {
                Outflow::Poisson(mean) => {
                    range("mean outflow", "0 to 10^9 units", *mean, (0.0..=1e9).contains(mean))?;
                }
                Outflow::Empirical(samples) if samples.is_empty() => return Err(PlacementError::NoSample(venue)),
                Outflow::Empirical(_) => {}
            }
            let gain = self.half_spread + queue.rebate;
            if self.over + self.impact <= gain {
                return Err(PlacementError::Unbounded { venue, gain, over: self.over });
            }
        }
        Ok(())
    }
}

/// `survival[l]` is the probability that an order of more than `l` units would be filled beyond `l`: that the outflow
/// exceeds the queue ahead by more than `l`, for `l` below `size`.
fn survival(queue: &Queue, size: i64) -> Vec<f64> {
    let size = usize::try_from(size).unwrap_or(0);
    let mut tail = vec![0.0; size];
    match &queue.outflow {
        Outflow::Empirical(samples) => {
            // Counts of what an order without end would be filled, then sums from above.
            for outflow in samples {
                let beyond = outflow.saturating_sub(queue.ahead).clamp(0, i64::try_from(size).unwrap_or(i64::MAX));
                if let Some(cell) = usize::try_from(beyond).ok().and_then(|beyond| tail.get_mut(beyond.checked_sub(1)?))
                {
                    *cell += 1.0;
                }
            }
            let mut sum = 0.0;
            #[allow(clippy::cast_precision_loss)] // a number of samples
            let count = samples.len() as f64;
            for cell in tail.iter_mut().rev() {
                sum += *cell;
                *cell = sum / count;
            }
        }
        Outflow::Poisson(mean) => poisson_tail(*mean, queue.ahead, &mut tail),
    }
    tail
}

/// Tail probabilities `P(ξ > ahead + l)`. Probabilities relative to that of the mode, summed from the small ends, divided
/// by their sum: no factorial, no cancellation.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // counts below 2^53
fn poisson_tail(mean: f64, ahead: i64, tail: &mut [f64]) {
    const NOTHING: f64 = 1e-30;
    let mode = mean.floor();
    let (mut above, mut below) = (Vec::new(), Vec::new());
    let (mut weight, mut count) = (1.0, mode);
    while weight > NOTHING {
        count += 1.0;
        weight *= mean / count;
        above.push(weight);
    }
    (weight, count) = (1.0, mode);
    while weight > NOTHING && count > 0.0 {
        weight *= count / mean;
        count -= 1.0;
        below.push(weight);
    }
    let total: f64 = 1.0 + above.iter().rev().sum::<f64>() + below.iter().rev().sum::<f64>();
    let first = mode as i64 - i64::try_from(below.len()).unwrap_or(0);
    let weights: Vec<f64> = below.iter().rev().copied().chain(std::iter::once(1.0)).chain(above).collect();
    // `more[i]` is the weight of all outflows above `first + i`.
    let mut more = vec![0.0; weights.len()];
    let mut sum = 0.0;
    for (cell, weight) in more.iter_mut().zip(&weights).rev() {
        *cell = sum;
        sum += weight;
    }
    for (extra, cell) in (0_i64..).zip(tail) {
        let at = ahead.saturating_add(extra).saturating_sub(first);
        *cell = match usize::try_from(at) {
            Ok(at) => more.get(at).copied().unwrap_or(0.0) / total,
            Err(_) => 1.0,
        };
    }
}

/// The explicit answer with one queue: post as much as is filled with the probability `1 − (2h + f + r)/(h + r + θ + λu)`
/// at its last unit, and trade the rest at once. Where a market order costs more than being short, nothing is traded at
/// once, and posted as much as is filled with the probability `θ/(h + r + θ + λu)` at its last unit.
///
/// # Errors
/// [`PlacementError`] if a number cannot be, or there is not one queue.
pub fn single(task: &Task) -> Result<Placement, PlacementError> {
    task.check()?;
    let [queue] = task.queues.as_slice() else {
        #[allow(clippy::cast_precision_loss)] // for a message
        let found = task.queues.len() as f64;
        return Err(PlacementError::Range { what: "queues", expected: "one", found });
    };
    let tail = survival(queue, task.size);
    let gain = 2.0 * task.half_spread + task.fee + queue.rebate;
    let loss = task.half_spread + queue.rebate + task.impact + task.under;
    let mut expectation = Expectation::new(task);
    let units = |count: usize| i64::try_from(count).unwrap_or(task.size);
    // What is short costs its penalty and is bought later; a market order dearer than that is not sent.
    let (market, limit) = if task.half_spread + task.fee > task.under {
        (0, units(tail.partition_point(|tail| tail * loss > task.impact)))
    } else {
        // One unit more is posted instead of traded while that lowers the cost: −gain + (1 − tail)·loss < 0.
        let limit = units(tail.partition_point(|tail| (1.0 - tail) * loss < gain));
        (task.size - limit, limit)
    };
    Ok(expectation.placement(market, &[limit]))
}

/// The cheapest placement over any number of queues with independent outflows, from the exact expectation.
///
/// # Errors
/// [`PlacementError`] if a number cannot be.
pub fn place(task: &Task) -> Result<Placement, PlacementError> {
    task.check()?;
    let mut expectation = Expectation::new(task);
    let count = task.queues.len();
    let mut best: Option<(f64, Vec<i64>)> = None;
    // Orders: the market order first. Where the penalty of being filled too much bends the cost the other way, one
    // beginning may end above another: the descent begins at the best points of a coarse grid.
    let mut starts = grid(task.size, count + 1, |orders| expectation.cost(orders[0], &orders[1..]));
    starts.sort_by(|a, b| a.0.total_cmp(&b.0));
    starts.truncate(BEGINNINGS);
    let moves = moves(count + 1);
    let mut next = vec![0; count + 1];
    for (mut cost, mut orders) in starts {
        let mut step = task.size;
        while step > 0 {
            let mut improved = false;
            for change in &moves {
                next.copy_from_slice(&orders);
                for &(order, sign) in change {
                    next[order] = (next[order] + sign * step).clamp(0, task.size);
                }
                let found = expectation.cost(next[0], &next[1..]);
                if found < cost - 1e-12 * cost.abs() {
                    orders.copy_from_slice(&next);
                    (cost, improved) = (found, true);
                }
            }
            if !improved {
                step /= 2;
            }
        }
        if best.as_ref().is_none_or(|(least, _)| cost < *least) {
            best = Some((cost, orders));
        }
    }
    let (_, orders) = best.unwrap_or_default();
    Ok(match orders.split_first() {
        Some((market, limits)) => expectation.placement(*market, limits),
        None => expectation.placement(task.size, &[]),
    })
}

/// Costs on a grid of up to [`GRID`] points, from nothing to the size of every order.
fn grid(size: i64, orders: usize, mut cost: impl FnMut(&[i64]) -> f64) -> Vec<(f64, Vec<i64>)> {
    let power = u32::try_from(orders).unwrap_or(u32::MAX);
    let mut levels = 2_i64;
    while levels <= size && (levels + 1).checked_pow(power).is_some_and(|points| points <= GRID) {
        levels += 1;
    }
    let points = levels.checked_pow(power).unwrap_or(i64::MAX).min(GRID);
    (0..points)
        .map(|point| {
            let mut code = point;
            let place = |_| {
                let level = code % levels;
                code /= levels;
                // Without overflow: sizes and levels are below 2^21.
                size * level / (levels - 1)
            };
            let place: Vec<i64> = (0..orders).map(place).collect();
            (cost(&place), place)
        })
        .collect()
}

/// Every way to step up or down one, two or three of so many orders; of few orders, all of them.
fn moves(orders: usize) -> Vec<Vec<(usize, i64)>> {
    let most = if orders <= 5 { orders } else { 3 };
    let mut found: Vec<Vec<(usize, i64)>> = vec![vec![]];
    let mut from = 0;
    for _ in 0..most {
        let to = found.len();
        for at in from..to {
            let first = found[at].last().map_or(0, |(order, _)| order + 1);
            for order in first..orders {
                for sign in [1, -1] {
                    let more = [found[at].as_slice(), &[(order, sign)]].concat();
                    found.push(more);
                }
            }
        }
        from = to;
    }
    found.split_off(1)
}

/// Expected costs of a task, exact but for the rounding of floats.
#[derive(Debug)]
pub struct Expectation<'a> {
    task: &'a Task,
    tails: Vec<Vec<f64>>,
    /// Probability of each number of units filled below those still wanted, and room for the next.
    short: Vec<f64>,
    next: Vec<f64>,
}

impl<'a> Expectation<'a> {
    fn new(task: &'a Task) -> Self {
        let tails = task.queues.iter().map(|queue| survival(queue, task.size)).collect();
        Self { task, tails, short: Vec::new(), next: Vec::new() }
    }

    /// The expected cost of a market order and of limit orders of up to the size each.
    #[must_use]
    pub fn of(task: &'a Task, market: i64, limits: &[i64]) -> f64 {
        Self::new(task).cost(market, limits)
    }

    /// Units that a limit order is expected to be filled: the sum of the probabilities of each of its units.
    fn filled(&self, queue: usize, limit: i64) -> f64 {
        let limit = usize::try_from(limit).unwrap_or(0);
        self.tails.get(queue).map_or(0.0, |tail| tail.iter().take(limit).sum())
    }

    /// Units that are expected to be left unfilled: those left, by the probability of each number filled below them.
    #[allow(clippy::cast_precision_loss)] // counts of units
    fn unfilled(&mut self, market: i64, limits: &[i64]) -> f64 {
        let wanted = usize::try_from(self.task.size - market).unwrap_or(0);
        self.short.clear();
        self.short.resize(wanted, 0.0);
        let Some(first) = self.short.first_mut() else { return 0.0 };
        *first = 1.0;
        let mut most = 1;
        for (tail, &limit) in self.tails.iter().zip(limits) {
            let limit = usize::try_from(limit).unwrap_or(0);
            if limit == 0 {
                continue;
            }
            self.next.clear();
            self.next.resize(wanted, 0.0);
            // P(X = x) is the drop of the tail at x, and at the limit all that is left of it.
            let mut before = 1.0;
            for filled in 0..=limit.min(wanted - 1) {
                let after = if filled < limit { tail.get(filled).copied().unwrap_or(0.0) } else { 0.0 };
                let probability: f64 = before - after;
                before = after;
                if probability <= 0.0 {
                    continue;
                }
                for (to, from) in self.next[filled..].iter_mut().zip(&self.short[..most]) {
                    *to += probability * from;
                }
            }
            most = (most + limit).min(wanted);
            std::mem::swap(&mut self.short, &mut self.next);
        }
        self.short.iter().enumerate().map(|(filled, probability)| (wanted - filled) as f64 * probability).sum()
    }

    #[allow(clippy::cast_precision_loss)] // counts of units
    fn cost(&mut self, market: i64, limits: &[i64]) -> f64 {
        let task = self.task;
        let unfilled = self.unfilled(market, limits);
        let (mut cost, mut total) = (0.0, market as f64);
        let mut sent = market;
        for (at, (queue, &limit)) in task.queues.iter().zip(limits).enumerate() {
            let filled = self.filled(at, limit);
            cost -= (task.half_spread + queue.rebate) * filled;
            total += filled;
            sent += limit;
        }
        // (A − S)⁺ = A − S + (S − A)⁺.
        let over = total - task.size as f64 + unfilled;
        cost + (task.half_spread + task.fee) * market as f64
            + task.impact * (sent as f64 + unfilled)
            + task.under * unfilled
            + task.over * over
    }

    fn placement(&mut self, market: i64, limits: &[i64]) -> Placement {
        let cost = self.cost(market, limits);
        let unfilled = self.unfilled(market, limits);
        let filled = limits.iter().enumerate().map(|(at, limit)| self.filled(at, *limit)).collect();
        Placement { market, limits: limits.to_vec(), cost, filled, unfilled }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The worked example of the paper's model: Q = 2000, S = 1000, Poisson(2200).
    fn published() -> Task {
        Task {
            size: 1_000,
            half_spread: 0.02,
            fee: 0.003,
            impact: 0.0005,
            under: 0.026,
            over: 0.024,
            queues: vec![Queue { ahead: 2_000, rebate: 0.002, outflow: Outflow::Poisson(2_200.0) }],
        }
    }

    #[test]
    fn one_queue_is_split_as_published() {
        let placement = single(&published()).expect("a placement");
        assert_eq!((placement.market, placement.limits.as_slice()), (731, [269].as_slice()));
        assert!((placement.cost - 14.814_277_112).abs() < 1e-9, "{}", placement.cost);
        assert_eq!(place(&published()).expect("a placement"), placement, "the descent finds the explicit answer");
    }

    #[test]
    fn what_cannot_be_is_an_error_that_says_what() {
        let mut task = published();
        task.over = 0.02;
        assert!(matches!(place(&task), Err(PlacementError::Unbounded { venue: 0, .. })));
        task.over = f64::NAN;
        assert!(matches!(place(&task), Err(PlacementError::Range { what: "over", .. })));
        task = published();
        task.queues[0].outflow = Outflow::Empirical(vec![]);
        assert_eq!(single(&task), Err(PlacementError::NoSample(0)));
        task = published();
        task.size = 0;
        assert!(matches!(place(&task), Err(PlacementError::Range { what: "size", .. })));
    }

    #[test]
    fn without_a_queue_all_is_traded_at_once_or_left_whichever_is_cheaper() {
        let mut task = published();
        task.queues.clear();
        assert_eq!(place(&task).expect("a placement").market, 1_000);
        task.under = 0.001;
        assert_eq!(place(&task).expect("a placement").market, 0);
    }

    /// Every scenario of independent samples, and every placement.
    fn exhaustive(task: &Task) -> f64 {
        let scenarios = task.queues.iter().fold(vec![vec![]], |all: Vec<Vec<i64>>, queue| {
            let Outflow::Empirical(samples) = &queue.outflow else { panic!("samples") };
            all.iter().flat_map(|one| samples.iter().map(|x| [one.as_slice(), &[*x]].concat())).collect()
        });
        let orders = task.queues.len() + 1;
        let base = task.size + 1;
        let mut least = f64::INFINITY;
        for code in 0..base.pow(u32::try_from(orders).expect("few")) {
            let split: Vec<i64> =
                (0..orders).map(|at| code / base.pow(u32::try_from(at).expect("few")) % base).collect();
            least = least.min(direct(task, split[0], &split[1..], &scenarios));
        }
        least
    }

    fn direct(task: &Task, market: i64, limits: &[i64], scenarios: &[Vec<i64>]) -> f64 {
        let total: f64 = scenarios
            .iter()
            .map(|outflows| {
                let mut got = market;
                let mut cost = (task.half_spread + task.fee) * market as f64;
                for ((queue, limit), outflow) in task.queues.iter().zip(limits).zip(outflows) {
                    let filled = (outflow - queue.ahead).clamp(0, *limit);
                    cost -= (task.half_spread + queue.rebate) * filled as f64;
                    got += filled;
                }
                let (under, over) = ((task.size - got).max(0) as f64, (got - task.size).max(0) as f64);
                let sent = (market + limits.iter().sum::<i64>()) as f64;
                cost + task.impact * (sent + under) + task.under * under + task.over * over
            })
            .sum();
        total / scenarios.len() as f64
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn several_queues_cost_what_the_best_of_all_placements_costs(
            size in 1_i64..41, half_spread in 0.0..0.05, fee in -0.003..0.005, impact in 0.0..0.002, under in 0.0..0.2,
            more in 0.001..0.2,
            queues in prop::collection::vec((0_i64..20, -0.002..0.003, prop::collection::vec(0_i64..60, 1..5)), 1..3),
        ) {
            let queues: Vec<_> = queues.into_iter()
                .map(|(ahead, rebate, samples)| Queue { ahead, rebate, outflow: Outflow::Empirical(samples) })
                .collect();
            let over = half_spread + 0.003 + more;
            let task = Task { size, half_spread, fee, impact, under, over, queues };
            let placement = place(&task).expect("a placement");
            let least = exhaustive(&task);
            prop_assert!((placement.cost - least).abs() < 1e-9, "{placement:?} costs {}, least {least}", placement.cost);
            if task.queues.len() == 1 {
                let alone = single(&task).expect("a placement");
                prop_assert!((alone.cost - least).abs() < 1e-9, "{alone:?} costs {}, least {least}", alone.cost);
            }
        }
    }
}
