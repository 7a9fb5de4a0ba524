//! How a series moves around events: the sum of its signed paths, by block of time.
//!
//! An event study on irregular data, as the response function of Bouchaud, Gefen, Potters & Wyart (2004), "Fluctuations
//! and response in financial markets", Quantitative Finance 4(2), across two venues.

use super::{MAX_SPAN, MAX_VALUES, StatsError, check, check_block, column_sums, index, origin};

/// What [`response`] finds. Only blocks that hold an event appear, in order of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// `[blocks × offsets]`, row by row: `Σ sign·(value(e + τ) − value(e⁻))` over the events of the block, in the
    /// units of the series. Their sum over the number of events is the mean path; their spread is its clustered error.
    pub sums: Vec<f64>,
    /// `[blocks]`: events.
    pub counts: Vec<i64>,
    /// Events left out, because the series does not cover their window.
    pub dropped: usize,
    offsets: usize,
}

impl Response {
    /// The sum over all events at every offset, `[offsets]`.
    #[must_use]
    pub fn total(&self) -> Vec<f64> {
        column_sums(&self.sums, self.offsets)
    }
}

/// Sums `sign·(value(e + τ) − value(e⁻))` over the events `e` of each block of `block` ns (blocks start at the first
/// event), for every offset `τ`.
///
/// `value(t)` is the last observation at or before `t` (at equal times, the last row), `value(e⁻)` the last strictly
/// before the event. Times and offsets are ns and ascend, ties allowed. Events whose window begins before the first
/// observation, ends after the last or has no observation before it are dropped and counted; an event of sign 0 counts.
/// One pass over events and series per offset.
///
/// # Errors
/// [`StatsError`] if lengths differ, times or offsets descend, a value or sign is not finite, the series or the offsets
/// are empty, the block is not positive, times span more than [`MAX_SPAN`], or the result would exceed [`MAX_VALUES`].
/// No events at all is an empty result.
pub fn response(
    event_times: &[i64],
    signs: &[f64],
    times: &[i64],
    values: &[f64],
    offsets: &[i64],
    block: i64,
) -> Result<Response, StatsError> {
    check("series", times, values)?;
    check_block(block)?;
    let (Some(&lowest), Some(&highest)) = (offsets.first(), offsets.last()) else {
        return Err(StatsError::Empty { series: "offsets" });
    };
    if lowest < -MAX_SPAN || highest > MAX_SPAN || !offsets.is_sorted() {
        return Err(StatsError::Grid { expected: "ascending offsets within 2^60 ns" });
    }
    let mut found = Response { sums: Vec::new(), counts: Vec::new(), dropped: 0, offsets: offsets.len() };
    if event_times.is_empty() && signs.is_empty() {
        return Ok(found);
    }
    check("events", event_times, signs)?;
    let origin = origin(event_times, times)?;

    // Relative to the origin no sum overflows. Only changes matter to value(t); the ends matter to what is covered.
    let (first, last) = (times[0] - origin, times[times.len() - 1] - origin);
    let (mut changes, mut levels): (Vec<i64>, Vec<f64>) = (Vec::new(), Vec::new());
    for (&time, &value) in times.iter().zip(values) {
        if levels.last() != Some(&value) {
            changes.push(time - origin);
            levels.push(value);
        }
    }
    let covered = |&&event: &&i64| {
        let event = event - origin;
        event > first && event + lowest >= first && event + highest <= last
    };
    let kept = event_times.iter().filter(covered).count();
    found.dropped = event_times.len() - kept;
    let skipped = event_times.iter().take_while(|event| !covered(event)).count();
    if kept == 0 {
        return Ok(found);
    }
    // What is covered is one run of events, as both bounds are.
    let signs = &signs[skipped..skipped + kept];
    let events: Vec<i64> = event_times[skipped..skipped + kept].iter().map(|event| event - origin).collect();

    let mut base = Vec::with_capacity(kept);
    let mut next = 0;
    for &event in &events {
        while next < changes.len() && changes[next] < event {
            next += 1;
        }
        base.push(levels[next - 1]); // an observation lies strictly before every covered event
    }
    let mut bounds = vec![0];
    let block_of = |event: i64| index(event - (event_times[0] - origin), block);
    bounds.extend((1..kept).filter(|&i| block_of(events[i]) != block_of(events[i - 1])));
    bounds.push(kept);
    let blocks = bounds.len() - 1;
    if blocks.checked_mul(offsets.len()).is_none_or(|size| size > MAX_VALUES) {
        return Err(StatsError::Grid { expected: "at most 2^27 values of blocks times offsets" });
    }
    found.counts = bounds.windows(2).map(|pair| ((pair[1] - pair[0]) as u64).cast_signed()).collect();
    found.sums = vec![0.0; blocks * offsets.len()];
    for (k, &offset) in offsets.iter().enumerate() {
        let mut next = 0;
        for (row, range) in bounds.windows(2).enumerate() {
            let range = range[0]..range[1];
            let mut sum = 0.0;
            for ((&event, sign), base) in events[range.clone()].iter().zip(&signs[range.clone()]).zip(&base[range]) {
                while next < changes.len() && changes[next] <= event + offset {
                    next += 1;
                }
                sum += sign * (levels[next - 1] - base);
            }
            found.sums[row * offsets.len() + k] = sum;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_starts_from_the_last_value_strictly_before_the_event() {
        let (times, values) = ([0, 10, 20, 30], [1.0, 2.0, 4.0, 8.0]);
        let found = response(&[10, 20], &[1.0, -1.0], &times, &values, &[-1, 0, 10], 100).expect("a response");
        // At 10: 1−1, 2−1, 4−1. At 20, sign −1: 2−2, 4−2, 8−2.
        assert_eq!(found.total(), [0.0, 1.0 - 2.0, 3.0 - 6.0]);
        assert_eq!((found.counts, found.dropped), (vec![2], 0));
    }

    #[test]
    fn events_that_the_series_does_not_cover_are_dropped_and_counted() {
        let found = response(&[0, 4, 5, 15, 16], &[1.0; 5], &[0, 20], &[0.0, 1.0], &[-5, 5], 100).expect("a response");
        assert_eq!((found.counts, found.dropped), (vec![2], 3));
        let none = response(&[], &[], &[0], &[0.0], &[0], 1).expect("a response");
        assert_eq!((none.total(), none.dropped), (vec![0.0], 0));
        // At the first observation itself nothing is known before.
        assert_eq!(response(&[0], &[1.0], &[0, 9], &[0.0; 2], &[0], 1).expect("a response").dropped, 1);
    }

    #[test]
    fn bad_input_is_refused_by_name() {
        let run = |events: &[i64], signs: &[f64], offsets: &[i64], block| {
            response(events, signs, &[0, 9], &[0.0, 1.0], offsets, block).err()
        };
        assert_eq!(run(&[2, 1], &[1.0; 2], &[0], 1), Some(StatsError::NotAscending { series: "events", index: 1 }));
        assert_eq!(run(&[1], &[], &[0], 1), Some(StatsError::Lengths { series: "events", times: 1, values: 0 }));
        assert_eq!(run(&[1], &[f64::INFINITY], &[0], 1), Some(StatsError::NotFinite { series: "events", index: 0 }));
        assert_eq!(run(&[1], &[1.0], &[], 1), Some(StatsError::Empty { series: "offsets" }));
        assert_eq!(run(&[i64::MAX], &[1.0], &[0], 1), Some(StatsError::Span));
        for (offsets, block) in [(&[1, 0][..], 1), (&[i64::MIN], 1), (&[0], 0)] {
            assert!(matches!(run(&[1], &[1.0], offsets, block), Some(StatsError::Grid { .. })));
        }
    }
}
