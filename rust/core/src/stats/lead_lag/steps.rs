//! The contrast as what it is, a step function of the lag: every step of it, and its exact maximum, without a grid.

use super::{HayashiYoshida, MAX_SPAN, MAX_VALUES, StatsError};

/// Pairs that are sorted at once: 32 MB. More would only cost memory.
const BATCH: u64 = 1 << 20;

/// How near the maximum counts as the maximum: mirrored lags of one series against itself differ by rounding.
const TOLERANCE: f64 = 1e-9;

/// A step function of whole nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Steps {
    /// Where each step starts, ns, ascending. The first is the first lag asked for.
    pub lags: Vec<i64>,
    /// The contrast from that lag until just before the next; of the last until the last lag asked for.
    pub values: Vec<f64>,
}

/// Where the contrast is largest in size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// The first lag at which it is, ns.
    pub first: i64,
    /// The last lag at which it is, ns. Between the two it may be smaller.
    pub last: i64,
    /// The contrast there, with its sign.
    pub value: f64,
}

impl HayashiYoshida {
    /// The contrast at every whole nanosecond of `first..=last`, as a step function.
    ///
    /// # Errors
    /// [`StatsError::Grid`] unless `first <= last` within ±[`MAX_SPAN`], or if there are more than [`MAX_VALUES`] pairs
    /// of increments, each of which may be a step; ask for the maximum then, or for a grid.
    pub fn steps(&self, first: i64, last: i64) -> Result<Steps, StatsError> {
        check(first, last)?;
        if self.pairs(first, last) > MAX_VALUES as u64 {
            return Err(StatsError::Grid {
                expected: "at most 2^27 pairs of increments between the first and last lag",
            });
        }
        let mut steps = Steps { lags: Vec::new(), values: Vec::new() };
        self.each_step(first, last, &mut |from, _, value| {
            if steps.values.last() != Some(&value) {
                steps.lags.push(from);
                steps.values.push(value);
            }
        });
        Ok(steps)
    }

    /// The lags of `first..=last` at which the contrast is largest in size, exact to the nanosecond. In constant memory:
    /// `O(pairs · log pairs)`.
    ///
    /// Values within 1e-9 of the largest count as it.
    ///
    /// # Errors
    /// [`StatsError::Grid`] unless `first <= last` within ±[`MAX_SPAN`].
    pub fn peak(&self, first: i64, last: i64) -> Result<Peak, StatsError> {
        check(first, last)?;
        let mut top: Vec<(i64, i64, f64)> = Vec::new();
        let mut best = 0.0_f64;
        let mut room = 1 << 10;
        let near = |best: f64| move |step: &(i64, i64, f64)| step.2.abs() >= best * (1.0 - TOLERANCE);
        self.each_step(first, last, &mut |from, to, value| {
            if value.abs() >= best * (1.0 - TOLERANCE) {
                best = best.max(value.abs());
                top.push((from, to, value));
                if top.len() >= room {
                    top.retain(near(best));
                    room = (2 * top.len()).max(1 << 10);
                }
            }
        });
        top.retain(near(best));
        let value = top.iter().map(|step| step.2).find(|value| value.abs() >= best).unwrap_or(0.0);
        let (from, to) = (top.first().map_or(first, |step| step.0), top.last().map_or(last, |step| step.1));
        Ok(Peak { first: from, last: to, value })
    }

    /// Gives `found` the first and last lag of every step within `first..=last`, in order, and its value.
    fn each_step(&self, first: i64, last: i64, found: &mut impl FnMut(i64, i64, f64)) {
        let mut changes = Vec::new();
        // Halves of the range, the earlier on top, until one is small enough to be sorted at once.
        let mut todo = vec![(first, last)];
        while let Some((first, last)) = todo.pop() {
            if self.pairs(first, last) > BATCH && first < last {
                let middle = first + (last - first) / 2;
                todo.push((middle + 1, last));
                todo.push((first, middle));
                continue;
            }
            changes.clear();
            let (mut from, mut to) = (0, 0);
            self.x.each_instant(0..self.x.ends.len(), |s, before, after| {
                self.y_instants.window(s + first, s + last, &mut from, &mut to);
                let found = self.y_instants.times[from..to].iter().zip(&self.y_instants.before[from..to]);
                for ((&t, &closed), &opened) in found.zip(&self.y_instants.after[from..to]) {
                    // What closes at `first` itself has done so in the merge below.
                    if t - s > first && after * closed != 0.0 {
                        changes.push((t - s, -after * closed));
                    }
                    if t - s < last && before * opened != 0.0 {
                        changes.push((t - s + 1, before * opened));
                    }
                }
            });
            changes.sort_unstable_by_key(|change| change.0);
            // Each part starts from a merge of its own, so that rounding does not add up over millions of steps.
            let (mut at, mut value) = (first, self.contrast_at(first));
            for same in changes.chunk_by(|a, b| a.0 == b.0) {
                found(at, same[0].0 - 1, value);
                at = same[0].0;
                value += same.iter().map(|change| change.1).sum::<f64>();
            }
            found(at, last, value);
        }
    }
}

fn check(first: i64, last: i64) -> Result<(), StatsError> {
    if -MAX_SPAN <= first && first <= last && last <= MAX_SPAN {
        Ok(())
    } else {
        Err(StatsError::Grid { expected: "a first lag at or below the last, and both within 2^60 ns" })
    }
}
