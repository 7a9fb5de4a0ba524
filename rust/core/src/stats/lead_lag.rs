//! Who leads: the Hayashi–Yoshida cross-covariance as a function of lag, all lags in one pass.
//!
//! Hayashi & Yoshida (2005), "On covariance estimation of non-synchronously observed diffusion processes", Bernoulli
//! 11(2); shifted by a lag in Hoffmann, Rosenbaum & Yoshida (2013), "Estimation of the lead-lag parameter from
//! non-synchronous data", Bernoulli 19(2).
//!
//! An increment `dx` over `(a, b]` and one `dy` over `(c, d]` overlap at exactly the lags of the open interval
//! `(c − b, d − a)`. So each pair adds `dx·dy` at one cell of a difference array and takes it away at another, and one
//! prefix sum yields every lag: `O(pairs within the grid + lags)`, whatever the number of lags.
//!
//! The end of one increment is mostly the start of the next. Of two such instants, `s` of X and `t` of Y, the pair
//! (increment before `s`, increment after `t`) opens just above the lag `t − s`, and (after `s`, before `t`) closes at
//! it: one cell takes both, unless that lag lies on the grid. That halves the work.

mod steps;

pub use steps::{Peak, Steps};

use std::ops::Range;

use super::{MAX_SPAN, MAX_VALUES, StatsError, check, check_block, column_sums, index, origin};

/// Lags `first, first + step, …`, `count` of them, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LagGrid {
    first: i64,
    step: i64,
    count: usize,
}

impl LagGrid {
    /// A grid of lags.
    ///
    /// # Errors
    /// [`StatsError::Grid`] unless `step` and `count` are positive and every lag lies within ±[`MAX_SPAN`].
    pub fn new(first: i64, step: i64, count: usize) -> Result<Self, StatsError> {
        let last = i64::try_from(count)
            .ok()
            .filter(|&count| count > 0 && step > 0)
            .and_then(|count| (count - 1).checked_mul(step))
            .and_then(|length| length.checked_add(first));
        match last {
            Some(last) if first >= -MAX_SPAN && last <= MAX_SPAN && step <= MAX_SPAN => Ok(Self { first, step, count }),
            _ => Err(StatsError::Grid { expected: "a positive step and count, and lags within 2^60 ns" }),
        }
    }

    fn last(self) -> i64 {
        self.first + self.step * ((self.count - 1) as u64).cast_signed()
    }

    /// The lags, ns.
    pub fn lags(self) -> impl Iterator<Item = i64> {
        (0..).take(self.count).map(move |k: i64| self.first + k * self.step)
    }
}

/// What [`HayashiYoshida::contrast`] finds, by block of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Contrast {
    /// `[blocks × lags]`, row by row: the part of the contrast whose `X` increment ends in the block. The sum over
    /// blocks is the contrast. Units of x times units of y.
    pub matrix: Vec<f64>,
    /// `[blocks]`: realised variance of `X`, `Σ dx²` over increments that end in the block.
    pub x_variance: Vec<f64>,
    /// `[blocks]`: realised variance of `Y`.
    pub y_variance: Vec<f64>,
    /// `[blocks]`: where each block starts, ns, on the clock of the input. Blocks are adjacent and start at the first
    /// observation of either series.
    pub block_starts: Vec<i64>,
    lags: usize,
}

impl Contrast {
    /// The contrast at every lag, `[lags]`.
    #[must_use]
    pub fn total(&self) -> Vec<f64> {
        column_sums(&self.matrix, self.lags)
    }
}

/// The changes of a series: `deltas[i]` over `(starts[i], ends[i]]`, times relative to a common origin.
struct Increments {
    starts: Vec<i64>,
    ends: Vec<i64>,
    deltas: Vec<f64>,
}

impl Increments {
    /// Zero changes are left out, as they add nothing, but an increment still starts at the observation before it,
    /// not at the change before it: a quote repeated is a price known, and shortens what follows.
    fn new(times: &[i64], values: &[f64], origin: i64) -> Self {
        let mut this = Self { starts: Vec::new(), ends: Vec::new(), deltas: Vec::new() };
        let mut previous: Option<(i64, f64)> = None;
        for (i, (&time, &value)) in times.iter().zip(values).enumerate() {
            if times.get(i + 1) == Some(&time) {
                continue; // the last observation of an instant is the one that holds
            }
            if let Some((start, before)) = previous.replace((time - origin, value))
                && value != before
            {
                this.starts.push(start);
                this.ends.push(time - origin);
                this.deltas.push(value - before);
            }
        }
        this
    }

    /// Gives `found` every instant at which one of these increments ends or starts, in order, and the change before it
    /// and after it.
    #[inline]
    fn each_instant(&self, increments: Range<usize>, mut found: impl FnMut(i64, f64, f64)) {
        let mut open: Option<(i64, f64)> = None;
        for i in increments {
            let start = self.starts[i];
            match open {
                Some((end, before)) if end == start => found(start, before, self.deltas[i]),
                Some((end, before)) => {
                    found(end, before, 0.0);
                    found(start, 0.0, self.deltas[i]);
                }
                None => found(start, 0.0, self.deltas[i]),
            }
            open = Some((self.ends[i], self.deltas[i]));
        }
        if let Some((end, before)) = open {
            found(end, before, 0.0);
        }
    }

    fn variance(&self, block: i64, blocks: usize) -> Vec<f64> {
        let mut variance = vec![0.0; blocks];
        for (&end, delta) in self.ends.iter().zip(&self.deltas) {
            variance[index(end, block)] += delta * delta;
        }
        variance
    }
}

/// The instants at which increments end or start: `before[i]` ends at `times[i]`, `after[i]` starts there.
struct Instants {
    times: Vec<i64>,
    before: Vec<f64>,
    after: Vec<f64>,
}

impl Instants {
    fn new(increments: &Increments) -> Self {
        let mut this = Self { times: Vec::new(), before: Vec::new(), after: Vec::new() };
        increments.each_instant(0..increments.ends.len(), |time, before, after| {
            this.times.push(time);
            this.before.push(before);
            this.after.push(after);
        });
        this
    }

    /// Moves `from..to` forward to the instants of `first..=last`.
    #[inline]
    fn window(&self, first: i64, last: i64, from: &mut usize, to: &mut usize) {
        while *from < self.times.len() && self.times[*from] < first {
            *from += 1;
        }
        *to = (*to).max(*from);
        while *to < self.times.len() && self.times[*to] <= last {
            *to += 1;
        }
    }
}

/// Two series ready to be compared at any lag. A positive lag means that `X` leads: `Y` does at `t + θ` what `X` did
/// at `t`.
pub struct HayashiYoshida {
    x: Increments,
    y: Increments,
    y_instants: Instants,
    /// `y_sums[j]` = sum of the first `j` increments of `Y`.
    y_sums: Vec<f64>,
    origin: i64,
    span: i64,
}

impl HayashiYoshida {
    /// Takes observations of `X` and `Y`: times in ns, ascending; of several at one time the last holds. Values are
    /// usually log prices, whose contrast is dimensionless.
    ///
    /// # Errors
    /// [`StatsError`] if lengths differ, a series is empty or descends, a value is not finite, or the times span more
    /// than [`MAX_SPAN`].
    pub fn new(x_times: &[i64], x_values: &[f64], y_times: &[i64], y_values: &[f64]) -> Result<Self, StatsError> {
        check("x", x_times, x_values)?;
        check("y", y_times, y_values)?;
        let origin = origin(x_times, y_times)?;
        let span = x_times[x_times.len() - 1].max(y_times[y_times.len() - 1]) - origin;
        let y = Increments::new(y_times, y_values, origin);
        let mut y_sums = vec![0.0];
        y_sums.extend(y.deltas.iter().scan(0.0, |sum, delta| {
            *sum += delta;
            Some(*sum)
        }));
        let y_instants = Instants::new(&y);
        Ok(Self { x: Increments::new(x_times, x_values, origin), y, y_instants, y_sums, origin, span })
    }

    /// `Σ dx_i dy_j 1{(a_i, b_i] ∩ (c_j − θ, d_j − θ] ≠ ∅}` at every lag θ of the grid, split into blocks of `block`
    /// ns by the end of the `X` increment, so that resampling rows is a block bootstrap.
    ///
    /// # Errors
    /// [`StatsError::Grid`] if `block` is not positive or the matrix would exceed [`MAX_VALUES`].
    pub fn contrast(&self, grid: LagGrid, block: i64) -> Result<Contrast, StatsError> {
        check_block(block)?;
        let blocks = index(self.span, block) + 1;
        let size = blocks.checked_mul(grid.count).filter(|&size| size <= MAX_VALUES);
        let size = size.ok_or(StatsError::Grid { expected: "at most 2^27 values of blocks times lags" })?;
        let mut matrix = vec![0.0; size];
        if self.pairs(grid.first, grid.last()) > self.merge_cost(grid.count) {
            self.merge(grid, block, &mut matrix);
        } else {
            self.open_and_close(grid, block, &mut matrix);
        }
        Ok(Contrast {
            matrix,
            x_variance: self.x.variance(block, blocks),
            y_variance: self.y.variance(block, blocks),
            block_starts: (0..).take(blocks).map(|k: i64| self.origin + k * block).collect(),
            lags: grid.count,
        })
    }

    /// How many pairs of instants of X and Y lie at most `first` to `last` apart: what the difference array costs.
    fn pairs(&self, first: i64, last: i64) -> u64 {
        let (mut from, mut to, mut sum) = (0, 0, 0);
        self.x.each_instant(0..self.x.ends.len(), |s, _, _| {
            self.y_instants.window(s + first, s + last, &mut from, &mut to);
            sum += (to - from) as u64;
        });
        sum
    }

    /// What a merge at each of `count` lags costs, in pairs: about two a change (measured).
    fn merge_cost(&self, count: usize) -> u64 {
        2 * (count as u64).saturating_mul((self.x.ends.len() + self.y.ends.len()) as u64)
    }

    /// Few lags and many pairs: one merge a lag.
    fn merge(&self, grid: LagGrid, block: i64, matrix: &mut [f64]) {
        for (k, lag) in grid.lags().enumerate() {
            self.meet(0..self.x.ends.len(), lag, |end, part| matrix[index(end, block) * grid.count + k] += part);
        }
    }

    fn open_and_close(&self, grid: LagGrid, block: i64, matrix: &mut [f64]) {
        let step = grid.step.cast_unsigned();
        // x/step = high word of x·⌈2^64/step⌉ for every x·step < 2^64, and x is a multiple of step if the low word is
        // below ⌈2^64/step⌉ (Granlund & Montgomery 1994): a division costs ten times the rest of the loop. Here x stays
        // below (count + 1)·step.
        let largest = u128::from(step) * (grid.count as u128 + 1);
        if step > 1 && largest * u128::from(step) < 1 << 64 {
            let magic = u64::MAX / step + 1;
            #[allow(clippy::cast_possible_truncation)] // the two words of 128 bits
            self.scatter(grid, block, matrix, |x| {
                let product = u128::from(x) * u128::from(magic);
                ((product >> 64) as usize, (product as u64) < magic)
            });
        } else {
            #[allow(clippy::cast_possible_truncation)] // at most `count`
            self.scatter(grid, block, matrix, |x| ((x / step) as usize, x % step == 0));
        }
    }

    /// Row by row: the contrast at the first lag by a merge, its changes at the others in a difference array, their
    /// prefix sum. `divide` gives the quotient by the step and whether it is exact.
    #[inline]
    fn scatter(&self, grid: LagGrid, block: i64, matrix: &mut [f64], divide: impl Fn(u64) -> (usize, bool)) {
        let (x, instants) = (&self.x, &self.y_instants);
        let LagGrid { first, count, .. } = grid;
        let last = grid.last();
        // `changes[k]` is added at lag k. The first holds what happens at the first lag, which the merge has already;
        // the last what happens past the grid.
        let mut changes = vec![0.0; count + 1];
        let (mut from, mut to) = (0, 0);
        let mut done = 0;
        for (row, cells) in matrix.chunks_exact_mut(count).enumerate() {
            let rows = done..done + x.ends[done..].partition_point(|&end| index(end, block) <= row);
            done = rows.end;
            if rows.is_empty() {
                continue;
            }
            changes.fill(0.0);
            x.each_instant(rows.clone(), |s, before, after| {
                instants.window(s + first, s + last, &mut from, &mut to);
                let zero = s + first;
                let found = instants.times[from..to].iter().zip(&instants.before[from..to]);
                for ((&t, &closed), &opened) in found.zip(&instants.after[from..to]) {
                    let (cell, exact) = divide((t - zero).cast_unsigned());
                    let (opening, closing) = (before * opened, after * closed);
                    if exact {
                        changes[cell] -= closing;
                        changes[cell + 1] += opening;
                    } else {
                        changes[cell + 1] += opening - closing;
                    }
                }
            });
            let mut sum = 0.0;
            self.meet(rows, first, |_, part| sum += part);
            cells[0] = sum;
            for (cell, change) in cells[1..].iter_mut().zip(&changes[1..]) {
                sum += change;
                *cell = sum;
            }
        }
    }

    /// The contrast at one lag (ns), however large, by a merge in `O(n + m)`.
    ///
    /// Increments of `Y` telescope, so an increment of `X` meets a difference of two partial sums.
    #[must_use]
    pub fn contrast_at(&self, lag: i64) -> f64 {
        // Past these bounds nothing overlaps, and clamping keeps the sums below within range.
        let lag = lag.clamp(-MAX_SPAN - 1, MAX_SPAN + 1);
        let mut sum = 0.0;
        self.meet(0..self.x.ends.len(), lag, |_, part| sum += part);
        sum
    }

    /// Gives `found` the end of each of these increments of X and what it adds to the contrast at one lag.
    #[inline]
    fn meet(&self, increments: Range<usize>, lag: i64, mut found: impl FnMut(i64, f64)) {
        let (x, y) = (&self.x, &self.y);
        let Some(&start) = x.starts.get(increments.start) else { return };
        let mut from = y.ends.partition_point(|&end| end <= start + lag);
        let mut to = from;
        let ends = &x.ends[increments.clone()];
        for ((&a, &b), &dx) in x.starts[increments.clone()].iter().zip(ends).zip(&x.deltas[increments]) {
            while from < y.ends.len() && y.ends[from] <= a + lag {
                from += 1;
            }
            to = to.max(from);
            while to < y.starts.len() && y.starts[to] < b + lag {
                to += 1;
            }
            found(b, dx * (self.y_sums[to] - self.y_sums[from]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_increments_meet_at_the_open_interval_of_lags() {
        // dx = 2 over (0, 10], dy = 3 over (14, 20]: lags 14 − 10 < θ < 20 − 0.
        let pair = HayashiYoshida::new(&[0, 10], &[0.0, 2.0], &[14, 20], &[0.0, 3.0]).expect("two series");
        let found = pair.contrast(LagGrid::new(0, 1, 25).expect("a grid"), 100).expect("a contrast").total();
        let expected: Vec<f64> = (0..25).map(|lag| if (5..20).contains(&lag) { 6.0 } else { 0.0 }).collect();
        assert_eq!(found, expected);
        assert_eq!((pair.contrast_at(4), pair.contrast_at(5), pair.contrast_at(20)), (0.0, 6.0, 0.0));
    }

    #[test]
    fn a_repeated_value_shortens_the_next_increment() {
        let long = HayashiYoshida::new(&[0, 10], &[0.0, 1.0], &[0, 5, 10], &[0.0, 1.0, 1.0]).expect("two series");
        let short =
            HayashiYoshida::new(&[0, 7, 10], &[0.0, 0.0, 1.0], &[0, 5, 10], &[0.0, 1.0, 1.0]).expect("two series");
        assert_eq!((long.contrast_at(0), short.contrast_at(0)), (1.0, 0.0));
    }

    #[test]
    fn what_makes_no_grid_is_refused() {
        for (first, step, count) in
            [(0, 0, 1), (0, -1, 1), (0, 1, 0), (i64::MIN, 1, 1), (i64::MAX, 1, 2), (0, i64::MAX, 3)]
        {
            assert!(matches!(LagGrid::new(first, step, count), Err(StatsError::Grid { .. })));
        }
        let pair = HayashiYoshida::new(&[0, MAX_SPAN], &[0.0, 1.0], &[0], &[0.0]).expect("two series");
        let grid = LagGrid::new(0, 1, 1).expect("a grid");
        for block in [0, -1, 1, i64::MAX] {
            assert!(matches!(pair.contrast(grid, block), Err(StatsError::Grid { .. })), "{block}");
        }
    }

    #[test]
    fn bad_series_say_what_is_wrong_and_where() {
        let refused = |times: &[i64], values: &[f64]| HayashiYoshida::new(&[0], &[0.0], times, values).err();
        assert_eq!(refused(&[], &[]), Some(StatsError::Empty { series: "y" }));
        assert_eq!(refused(&[1], &[]), Some(StatsError::Lengths { series: "y", times: 1, values: 0 }));
        assert_eq!(refused(&[2, 1], &[0.0; 2]), Some(StatsError::NotAscending { series: "y", index: 1 }));
        assert_eq!(refused(&[1, 2], &[0.0, f64::NAN]), Some(StatsError::NotFinite { series: "y", index: 1 }));
        assert_eq!(refused(&[i64::MAX], &[0.0]), Some(StatsError::Span));
    }
}
