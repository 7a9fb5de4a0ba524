//! The kernels of `stats` against slow, obvious models.

#![allow(clippy::unwrap_used)] // in a test a failure may panic

use crossbook::stats::{HayashiYoshida, LagGrid, RollingMedian, lagged_moments, response};
use proptest::prelude::*;

/// Observations on a coarse clock, so that ties, repeated values and lags on interval ends are common. Whole numbers:
/// sums are exact and the comparison is equality.
fn series(longest: usize) -> impl Strategy<Value = (Vec<i64>, Vec<f64>)> {
    prop::collection::vec((0_i64..40, -3_i32..4), 1..longest).prop_map(|mut rows| {
        rows.sort_by_key(|row| row.0);
        rows.into_iter().map(|(time, value)| (time, f64::from(value))).unzip()
    })
}

/// `(start, end, change)` between consecutive instants, zero changes and all.
fn increments((times, values): &(Vec<i64>, Vec<f64>)) -> Vec<(i64, i64, f64)> {
    let last: std::collections::BTreeMap<i64, f64> = times.iter().copied().zip(values.iter().copied()).collect();
    let points: Vec<_> = last.into_iter().collect();
    points.windows(2).map(|w| (w[0].0, w[1].0, w[1].1 - w[0].1)).collect()
}

/// Whether two half-open sets of whole nanoseconds share one: by looking at each.
fn overlap((a, b): (i64, i64), (c, d): (i64, i64)) -> bool {
    (a + 1..=b).any(|t| (c + 1..=d).contains(&t))
}

fn slices(columns: &[Vec<f64>]) -> Vec<&[f64]> {
    columns.iter().map(Vec::as_slice).collect()
}

/// How many times the usual number of cases to try: `make slow` asks for more.
fn slow() -> u32 {
    std::env::var("CROSSBOOK_SLOW").map_or(1, |factor| factor.parse().expect("CROSSBOOK_SLOW: a whole number"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000 * slow(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_contrast_is_the_sum_over_overlapping_pairs_at_every_lag_and_block(
        x in series(20), y in series(20), first in -60_i64..60, step in 1_i64..9, count in 1_usize..40,
        block in 1_i64..50, shift in prop::sample::select(vec![0, -20, 1_700_000_000_000_000_000]),
    ) {
        let shifted = |times: &[i64]| times.iter().map(|t| t + shift).collect::<Vec<_>>();
        let pair = HayashiYoshida::new(&shifted(&x.0), &x.1, &shifted(&y.0), &y.1).unwrap();
        let found = pair.contrast(LagGrid::new(first, step, count).unwrap(), block).unwrap();
        let origin = x.0[0].min(y.0[0]);
        let mut rows = vec![vec![0.0; count]; found.block_starts.len()];
        let mut variance = vec![[0.0, 0.0]; rows.len()];
        for &(a, b, dx) in &increments(&x) {
            let row = usize::try_from((b - origin) / block).unwrap();
            variance[row][0] += dx * dx;
            for &(c, d, dy) in &increments(&y) {
                for (cell, lag) in rows[row].iter_mut().zip((0..).map(|k| first + k * step)) {
                    *cell += if overlap((a, b), (c - lag, d - lag)) { dx * dy } else { 0.0 };
                }
            }
        }
        for &(_, end, dy) in &increments(&y) {
            variance[usize::try_from((end - origin) / block).unwrap()][1] += dy * dy;
        }
        prop_assert_eq!(&found.matrix, &rows.concat());
        let expected: Vec<_> = found.x_variance.iter().zip(&found.y_variance).map(|(&x, &y)| [x, y]).collect();
        prop_assert_eq!(expected, variance);
        prop_assert_eq!(found.block_starts[0], origin + shift);
        let at: Vec<_> = (0..).take(count).map(|k: i64| pair.contrast_at(first + k * step)).collect();
        prop_assert_eq!(found.total(), at);
    }

    #[test]
    fn a_step_too_large_for_the_fast_division_gives_the_same_contrast(
        x in series(20), y in series(20), first in -40_i64..40,
    ) {
        // The same problem in units of 2^34 ns: step² exceeds 64 bits.
        let scale = |times: &[i64]| times.iter().map(|t| t << 34).collect::<Vec<_>>();
        let small = HayashiYoshida::new(&x.0, &x.1, &y.0, &y.1).unwrap();
        let large = HayashiYoshida::new(&scale(&x.0), &x.1, &scale(&y.0), &y.1).unwrap();
        let few = small.contrast(LagGrid::new(first, 3, 20).unwrap(), 40).unwrap();
        let many = large.contrast(LagGrid::new(first << 34, 3 << 34, 20).unwrap(), 40 << 34).unwrap();
        prop_assert_eq!(few.matrix, many.matrix);
    }

    #[test]
    fn the_exact_steps_are_the_contrast_at_every_whole_lag_and_the_peak_is_the_largest(
        x in series(20), y in series(20), first in -60_i64..60, length in 0_i64..80,
    ) {
        let pair = HayashiYoshida::new(&x.0, &x.1, &y.0, &y.1).unwrap();
        let last = first + length;
        let steps = pair.steps(first, last).unwrap();
        prop_assert_eq!(steps.lags[0], first);
        prop_assert!(steps.lags.windows(2).all(|w| w[0] < w[1]));
        prop_assert!(steps.values.windows(2).all(|w| w[0] != w[1]));
        let slow: Vec<f64> = (first..=last).map(|lag| pair.contrast_at(lag)).collect();
        for (lag, value) in (first..=last).zip(&slow) {
            let step = steps.lags.partition_point(|&from| from <= lag) - 1;
            prop_assert_eq!(&steps.values[step], value, "at {}", lag);
        }
        let peak = pair.peak(first, last).unwrap();
        let largest = slow.iter().map(|value| value.abs()).fold(0.0, f64::max);
        let at: Vec<i64> = (first..=last).zip(&slow).filter(|(_, v)| v.abs() == largest).map(|(lag, _)| lag).collect();
        prop_assert_eq!((peak.first, peak.last, peak.value.abs()), (at[0], at[at.len() - 1], largest));
    }

    #[test]
    fn many_pairs_in_few_lags_are_merged_with_the_same_contrast(
        x in series(40), y in series(40), first in -20_i64..1, block in 5_i64..50,
    ) {
        // One lag spans all, so pairs exceed what merges cost; the fine grid does not.
        let pair = HayashiYoshida::new(&x.0, &x.1, &y.0, &y.1).unwrap();
        let coarse = pair.contrast(LagGrid::new(first, 40, 2).unwrap(), block).unwrap();
        let fine = pair.contrast(LagGrid::new(first, 1, 41).unwrap(), block).unwrap();
        for (few, many) in coarse.matrix.chunks(2).zip(fine.matrix.chunks(41)) {
            prop_assert_eq!(few, [many[0], many[40]]);
        }
    }

    #[test]
    fn lagged_moments_are_the_products_summed_row_by_row(
        columns in (1_usize..30).prop_flat_map(|rows| {
            let column = prop::collection::vec((-9_i32..10).prop_map(f64::from), rows);
            (prop::collection::vec(column.clone(), 1..4), prop::collection::vec(column, 0..3), 0..rows)
        }),
    ) {
        let (series, extras, lags) = columns;
        let (x, e) = (slices(&series), slices(&extras));
        let found = lagged_moments(&x, &e, lags).unwrap();
        let rows: Vec<Vec<f64>> = (lags..x[0].len())
            .map(|t| {
                let now = e.iter().map(|column| column[t]);
                now.chain((0..=lags).flat_map(|lag| x.iter().map(move |column| column[t - lag]))).collect()
            })
            .collect();
        prop_assert_eq!((found.size, found.rows), (rows[0].len(), rows.len()));
        for i in 0..found.size {
            for j in 0..found.size {
                let sum: f64 = rows.iter().map(|row| row[i] * row[j]).sum();
                prop_assert_eq!(found.matrix[i * found.size + j], sum, "{}, {}", i, j);
            }
        }
    }

    #[test]
    fn a_series_against_itself_mirrors_at_lag_zero(x in series(30)) {
        let pair = HayashiYoshida::new(&x.0, &x.1, &x.0, &x.1).unwrap();
        let found = pair.contrast(LagGrid::new(-30, 1, 61).unwrap(), 1_000).unwrap();
        let total = found.total();
        prop_assert_eq!(total.iter().rev().copied().collect::<Vec<_>>(), total.clone());
        prop_assert_eq!(total[30], found.x_variance[0]);
    }

    #[test]
    fn the_response_is_the_sum_of_signed_paths_from_a_look_up_each(
        series in series(30), events in prop::collection::vec((-5_i64..50, -1_i32..2), 0..30),
        offsets in prop::collection::btree_set(-12_i64..12, 1..8), block in 1_i64..20,
    ) {
        let mut events = events;
        events.sort_by_key(|event| event.0);
        let (times, values) = series;
        let (event_times, signs): (Vec<i64>, Vec<f64>) = events.iter().map(|&(t, s)| (t, f64::from(s))).unzip();
        let offsets: Vec<i64> = offsets.into_iter().collect();
        let found = response(&event_times, &signs, &times, &values, &offsets, block).unwrap();

        let at = |t: i64| times.iter().rposition(|&time| time <= t).map(|i| values[i]);
        let mut blocks = std::collections::BTreeMap::<i64, (Vec<f64>, i64)>::new();
        let mut dropped = 0;
        for (&event, sign) in event_times.iter().zip(&signs) {
            let path: Option<Vec<f64>> = offsets.iter().map(|&o| at(event + o)).collect();
            match (at(event - 1), path, event + offsets[offsets.len() - 1] <= times[times.len() - 1]) {
                (Some(base), Some(path), true) => {
                    let row = blocks.entry((event - event_times[0]) / block);
                    let row = row.or_insert_with(|| (vec![0.0; offsets.len()], 0));
                    row.0.iter_mut().zip(path).for_each(|(sum, value)| *sum += sign * (value - base));
                    row.1 += 1;
                }
                _ => dropped += 1,
            }
        }
        let (sums, counts): (Vec<_>, Vec<_>) = blocks.into_values().unzip();
        prop_assert_eq!(&found.sums, &sums.concat());
        prop_assert_eq!(&found.counts, &counts);
        prop_assert_eq!(found.dropped, dropped);
    }

    #[test]
    fn the_rolling_median_is_the_middle_of_the_sorted_window(
        window in -1_i64..30, rows in prop::collection::vec((-2_i64..6, -5_i64..6), 1..200),
    ) {
        let mut rolling = RollingMedian::new(window);
        prop_assert!(rolling.is_empty() && rolling.median().is_none());
        let (mut clock, mut seen) = (0, Vec::new());
        for (wait, value) in rows {
            rolling.push(clock + wait, value); // now and then a time before the newest
            clock += if seen.is_empty() { wait } else { wait.max(0) };
            seen.push((clock, value));
            let mut live: Vec<i64> =
                seen.iter().filter(|entry| entry.0 >= clock - window.max(0)).map(|entry| entry.1).collect();
            live.sort_unstable();
            prop_assert_eq!(rolling.median(), Some(live[(live.len() - 1) / 2]));
            prop_assert_eq!(rolling.len(), live.len());
        }
    }
}

#[test]
fn the_rolling_median_survives_the_ends_of_the_integers() {
    let mut rolling = RollingMedian::new(i64::MAX);
    rolling.push(i64::MIN, i64::MAX);
    rolling.push(i64::MAX, i64::MIN);
    assert_eq!((rolling.len(), rolling.median()), (1, Some(i64::MIN)));
}

#[test]
fn the_exact_peak_of_a_shifted_copy_is_its_shift_to_the_nanosecond() {
    let (mut state, mut time, mut value) = (7_u64, 0_i64, 0.0);
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(state >> 44).unwrap()
    };
    let mut times = Vec::new();
    let mut values = Vec::new();
    for _ in 0..20_000 {
        time += 1 + draw();
        value += if draw() % 2 == 0 { 1.0 } else { -1.0 };
        times.push(time);
        values.push(value);
    }
    let later: Vec<i64> = times.iter().map(|t| t + 7_000_000).collect();
    let pair = HayashiYoshida::new(&times, &values, &later, &values).unwrap();
    // ±100 ms hold some 8 million pairs, eight times what is sorted at once.
    let peak = pair.peak(-100_000_000, 100_000_000).unwrap();
    assert_eq!((peak.first + peak.last) / 2, 7_000_000);
    assert_eq!(peak.value, pair.contrast_at(peak.first));
    let opposite = HayashiYoshida::new(&later, &values, &times, &values).unwrap().peak(-20_000_000, 0).unwrap();
    assert_eq!((opposite.first + opposite.last) / 2, -7_000_000);
    for (first, last) in [(1, 0), (i64::MIN, 0), (0, i64::MAX)] {
        assert!(pair.peak(first, last).is_err() && pair.steps(first, last).is_err());
    }
}
