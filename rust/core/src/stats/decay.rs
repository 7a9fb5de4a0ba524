//! Sums over the past that forget: what a kernel of fixed decay has seen by any time.
//!
//! The recursion is that of the intensity of a Hawkes process with exponential kernels (Ogata 1981, "On Lewis' simulation
//! method for point processes", IEEE Transactions on Information Theory 27(1)): one multiplication an event and decay.

use super::{MAX_VALUES, StatsError, check, origin};

/// `S_k(t) = Σ_{i: times_i ≤ t} values_i · e^{−(t − times_i) / decays_k}` at every `t` of `at`: `[at × decays]`, row by
/// row, in the unit of the values. Nothing after `t` enters `S(t)`.
///
/// Times, `at` and decays are ns; times and `at` ascend, ties allowed. One pass, `O((times + at) · decays)`.
///
/// # Errors
/// [`StatsError`] if lengths differ, times or `at` descend, a value is not finite, there is no decay or one below 1 ns,
/// times span more than [`super::MAX_SPAN`], or the result would exceed [`MAX_VALUES`]. No events at all gives zeros.
pub fn decayed_sums(times: &[i64], values: &[f64], at: &[i64], decays: &[i64]) -> Result<Vec<f64>, StatsError> {
    if decays.is_empty() {
        return Err(StatsError::Empty { series: "decays" });
    }
    if decays.iter().any(|&decay| decay < 1) {
        return Err(StatsError::Grid { expected: "decays of at least 1 ns" });
    }
    if let Some(index) = at.windows(2).position(|pair| pair[1] < pair[0]) {
        return Err(StatsError::NotAscending { series: "at", index: index + 1 });
    }
    let size = at.len().checked_mul(decays.len()).filter(|&size| size <= MAX_VALUES);
    let size = size.ok_or(StatsError::Grid { expected: "at most 2^27 values of times asked for times decays" })?;
    if !(times.is_empty() && values.is_empty()) {
        check("events", times, values)?;
    }
    if times.is_empty() || at.is_empty() {
        return Ok(vec![0.0; size]);
    }
    origin(times, at)?;
    #[allow(clippy::cast_precision_loss)] // spans in ns: 2^60 to 53 bits is an error of 1e-16
    let rates: Vec<f64> = decays.iter().map(|&decay| -1.0 / decay as f64).collect();
    let mut sums = vec![0.0; decays.len()];
    let mut found = Vec::with_capacity(size);
    let (mut since, mut next) = (times[0], 0);
    for &now in at {
        while next < times.len() && times[next] <= now {
            fade(&mut sums, &rates, times[next] - since);
            since = times[next];
            sums.iter_mut().for_each(|sum| *sum += values[next]);
            next += 1;
        }
        // Before the first event every sum is 0, whatever `since` is.
        fade(&mut sums, &rates, if next == 0 { 0 } else { now - since });
        since = if next == 0 { since } else { now };
        found.extend_from_slice(&sums);
    }
    Ok(found)
}

/// Lets the sums forget over a span of ns.
fn fade(sums: &mut [f64], rates: &[f64], span: i64) {
    if span == 0 {
        return;
    }
    #[allow(clippy::cast_precision_loss)] // as above
    let span = span as f64;
    sums.iter_mut().zip(rates).for_each(|(sum, rate)| *sum *= (rate * span).exp());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HALF: i64 = 1_000_000;

    #[test]
    fn an_event_counts_from_its_own_instant_and_halves_after_each_half_life() {
        // e^{-t ln 2}: a decay of 1 / ln 2 million ns is a half-life of a million.
        let decay = 1_442_695; // 1e6 / ln 2
        let found = decayed_sums(&[HALF], &[8.0], &[HALF - 1, HALF, 2 * HALF, 4 * HALF], &[decay]).expect("sums");
        assert_eq!(found[..2], [0.0, 8.0]);
        assert!((found[2] - 4.0).abs() < 1e-5 && (found[3] - 1.0).abs() < 1e-5, "{found:?}");
    }

    #[test]
    fn no_events_are_zeros_and_no_times_are_nothing() {
        assert_eq!(decayed_sums(&[], &[], &[1, 2], &[5, 6]).expect("sums"), [0.0; 4]);
        assert_eq!(decayed_sums(&[1], &[1.0], &[], &[5]).expect("sums"), [0.0; 0]);
    }

    #[test]
    fn bad_input_is_refused_by_name() {
        let run = |times: &[i64], values: &[f64], at: &[i64], decays: &[i64]| decayed_sums(times, values, at, decays);
        assert_eq!(run(&[1], &[], &[1], &[1]), Err(StatsError::Lengths { series: "events", times: 1, values: 0 }));
        assert_eq!(run(&[2, 1], &[0.0; 2], &[1], &[1]), Err(StatsError::NotAscending { series: "events", index: 1 }));
        assert_eq!(run(&[1], &[0.0], &[2, 1], &[1]), Err(StatsError::NotAscending { series: "at", index: 1 }));
        assert_eq!(run(&[1], &[f64::NAN], &[1], &[1]), Err(StatsError::NotFinite { series: "events", index: 0 }));
        assert_eq!(run(&[1], &[0.0], &[1], &[]), Err(StatsError::Empty { series: "decays" }));
        assert!(matches!(run(&[1], &[0.0], &[1], &[0]), Err(StatsError::Grid { .. })));
        assert_eq!(run(&[0], &[0.0], &[i64::MAX], &[1]), Err(StatsError::Span));
    }

    proptest! {
        #[test]
        fn the_recursion_gives_the_sum_of_the_definition(
            mut events in prop::collection::vec((0_i64..2_000, -5.0..5.0_f64), 0..40),
            mut at in prop::collection::vec(0_i64..2_500, 0..20),
            decays in prop::collection::vec(1_i64..500, 1..4),
        ) {
            events.sort_by_key(|event| event.0);
            at.sort_unstable();
            let (times, values): (Vec<i64>, Vec<f64>) = events.into_iter().unzip();
            let found = decayed_sums(&times, &values, &at, &decays).expect("sums");
            for (row, &now) in at.iter().enumerate() {
                for (column, &decay) in decays.iter().enumerate() {
                    #[allow(clippy::cast_precision_loss)]
                    let slow: f64 = (0..times.len())
                        .filter(|&i| times[i] <= now)
                        .map(|i| values[i] * (-((now - times[i]) as f64) / decay as f64).exp())
                        .sum();
                    prop_assert!((found[row * decays.len() + column] - slow).abs() < 1e-9);
                }
            }
        }
    }
}
