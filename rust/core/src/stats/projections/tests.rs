//! Against sums over all pairs of rows, written down as the definitions say.

use proptest::prelude::*;

use super::super::random::Random;
use super::*;

/// Gauss and Jordan, for tests.
fn inverse(matrix: &[f64], size: usize) -> Vec<f64> {
    let mut m: Vec<Vec<f64>> = (0..size)
        .map(|a| {
            let unit = (0..size).map(|b| f64::from(u8::from(a == b)));
            matrix[a * size..][..size].iter().copied().chain(unit).collect()
        })
        .collect();
    for column in 0..size {
        let best =
            (column..size).max_by(|&a, &b| m[a][column].abs().total_cmp(&m[b][column].abs())).expect("there is one");
        m.swap(column, best);
        let pivot = m[column][column];
        m[column].iter_mut().for_each(|x| *x /= pivot);
        for row in (0..size).filter(|&row| row != column) {
            let (factor, line) = (m[row][column], m[column].clone());
            m[row].iter_mut().zip(&line).for_each(|(x, y)| *x -= factor * y);
        }
    }
    m.iter().flat_map(|row| row[size..].to_vec()).collect()
}

/// Coefficients and covariance of `y` on a constant and `x`, with any weights of pairs.
fn slow(y: &[f64], x: &[&[f64]], weight: impl Fn(usize, usize) -> f64) -> (Vec<f64>, Vec<f64>) {
    let (n, size) = (y.len(), x.len() + 1);
    let cell = |t: usize, a: usize| if a == 0 { 1.0 } else { x[a - 1][t] };
    let mut products = vec![0.0; size * size];
    let mut right = vec![0.0; size];
    for (t, value) in y.iter().enumerate() {
        for a in 0..size {
            right[a] += cell(t, a) * value;
            (0..size).for_each(|b| products[a * size + b] += cell(t, a) * cell(t, b));
        }
    }
    let bread = inverse(&products, size);
    let times = |row: &[f64], m: &[f64]| -> Vec<f64> {
        (0..size).map(|b| (0..size).map(|a| row[a] * m[a * size + b]).sum()).collect()
    };
    let coefficients = times(&right, &bread);
    let u: Vec<f64> = (0..n).map(|t| y[t] - (0..size).map(|a| coefficients[a] * cell(t, a)).sum::<f64>()).collect();
    let mut meat = vec![0.0; size * size];
    for i in 0..n {
        for j in 0..n {
            let w = weight(i, j) * u[i] * u[j];
            if w != 0.0 {
                (0..size).for_each(|a| (0..size).for_each(|b| meat[a * size + b] += w * cell(i, a) * cell(j, b)));
            }
        }
    }
    let half: Vec<f64> = bread.chunks(size).flat_map(|row| times(row, &meat)).collect();
    (coefficients, half.chunks(size).flat_map(|row| times(row, &bread)).collect())
}

fn near(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() <= tolerance * scale, "{found:?} against {expected:?}");
    }
}

fn noise(random: &mut Random, n: usize, mean: f64) -> Vec<f64> {
    (0..n).map(|_| mean + random.normal()).collect()
}

fn bartlett(rows: usize) -> impl Fn(usize, usize) -> f64 {
    move |i, j| (1.0 - i.abs_diff(j) as f64 / (rows as f64 + 1.0)).max(0.0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_horizon_is_the_least_squares_of_its_own_rows_with_bartletts_weights(
        seed in any::<u64>(),
        n in 30_usize..90,
        count in 1_usize..4,
        base in prop::option::of(-3_i64..4),
        horizons in prop::collection::vec(0_usize..10, 1..4),
        overlap in 0_usize..200,
    ) {
        let mut random = Random::new(seed);
        let x: Vec<Vec<f64>> = (0..count).map(|_| noise(&mut random, n, 2.0)).collect();
        let x: Vec<&[f64]> = x.iter().map(Vec::as_slice).collect();
        let y: Vec<f64> = noise(&mut random, n, 5.0).iter().scan(0.0, |sum, e| { *sum += e; Some(*sum) }).collect();
        let overlaps: Vec<usize> = horizons.iter().map(|h| overlap + h).collect();
        let found = projections(&y, &x, base, &horizons, &overlaps, None).expect("there is one");
        for ((one, &h), &overlap) in found.iter().zip(&horizons).zip(&overlaps) {
            let at = |t: usize, offset: i64| {
                let moved = t.checked_add_signed(isize::try_from(offset).expect("a small base"));
                moved.and_then(|t| y.get(t)).copied()
            };
            let rows: Vec<(usize, f64)> = (0..n)
                .filter_map(|t| {
                    let later = *y.get(t + h)?;
                    Some((t, later - base.map_or(Some(0.0), |base| at(t, base))?))
                })
                .collect();
            let outcome: Vec<f64> = rows.iter().map(|row| row.1).collect();
            if outcome.iter().all(|y| *y == 0.0) {
                near(&one.coefficients, &vec![0.0; count + 1], 0.0);
                continue;
            }
            let (first, x_all) = (rows[0].0, x.clone());
            let x: Vec<&[f64]> = x.iter().map(|x| &x[first..][..rows.len()]).collect();
            let (coefficients, covariance) = slow(&outcome, &x, bartlett(overlap));
            near(&one.coefficients, &coefficients, 1e-9);
            near(&one.covariance, &covariance, 1e-8);
            prop_assert_eq!(one.rows, rows.len());
            for wanted in 1..=count {
                let few = projections(&y, &x_all, base, &[h], &[overlap], Some(wanted)).expect("there is one");
                near(&few[0].coefficients, &coefficients, 1e-9);
                let size = count + 1;
                let part: Vec<f64> =
                    (0..wanted * wanted).map(|at| covariance[(at / wanted + 1) * size + at % wanted + 1]).collect();
                near(&few[0].covariance, &part, 1e-8);
            }
        }
    }

    #[test]
    fn errors_of_events_overlap_by_how_near_they_are_in_time(
        seed in any::<u64>(),
        gaps in prop::collection::vec(0_i64..40, 20..70),
        width in 1_i64..300,
        offset in 0_i64..60,
    ) {
        let mut random = Random::new(seed);
        let events: Vec<i64> = gaps.iter().scan(1_000, |t, gap| { *t += gap; Some(*t) }).collect();
        let end = events.last().expect("there is one") + 40;
        let times: Vec<i64> = (900..=end).step_by(7).collect();
        let values = noise(&mut random, times.len(), 3.0);
        let x = noise(&mut random, events.len(), 1.0);
        let found = event_projections(&events, &[&x], &times, &values, &[offset], &[width]).expect("there is one");
        let last = *times.last().expect("there is one");
        let kept: Vec<usize> = (0..events.len()).filter(|&i| events[i] + offset <= last).collect();
        let held = |at: i64| values[times.iter().rposition(|&t| t <= at).expect("there is one")];
        let outcome: Vec<f64> = kept.iter().map(|&i| held(events[i] + offset) - held(events[i] - 1)).collect();
        let weight = |i: usize, j: usize| (1.0 - (events[i] - events[j]).abs() as f64 / width as f64).max(0.0);
        let (coefficients, covariance) = slow(&outcome, &[&x[..kept.len()]], weight);
        near(&found.projections[0].coefficients, &coefficients, 1e-9);
        near(&found.projections[0].covariance, &covariance, 1e-8);
        prop_assert_eq!((found.projections[0].rows, found.dropped), (kept.len(), 0));
    }
}

#[test]
fn long_series_in_many_chunks_are_the_same_as_all_pairs() {
    let mut random = Random::new(3);
    let n = 5_000;
    let (x, y) = (noise(&mut random, n, 0.0), noise(&mut random, n, 0.0));
    // A lane holds 313 rows: windows of fewer, of as many, of more, and of more than there are.
    for overlap in [0, 1, 5, 33, 150, 312, 313, 6_000] {
        let found = projections(&y, &[&x], None, &[0, 7], &[overlap, overlap], None).expect("there is one");
        for (one, rows) in found.iter().zip([n, n - 7]) {
            let (coefficients, covariance) = slow(&y[n - rows..], &[&x[..rows]], bartlett(overlap));
            near(&one.coefficients, &coefficients, 1e-10);
            near(&one.covariance, &covariance, 1e-9);
        }
    }
}

#[test]
fn sums_are_the_same_to_the_last_bit_whatever_the_processors_vectors() {
    let mut random = Random::new(9);
    let x: Vec<Vec<f64>> = (0..5).map(|_| noise(&mut random, 1_234, 1.0)).collect();
    let x: Vec<&[f64]> = x.iter().map(Vec::as_slice).collect();
    let y = noise(&mut random, 1_234, 2.0);
    let standard = Standard::new(&x, 1_200).expect("there is one");
    let scalar = pulp::Scalar::new();
    assert_eq!(standard.arch.dispatch(Products(&standard, 1_200)), Products(&standard, 1_200).with_simd(scalar));
    assert_eq!(standard.arch.dispatch(About(&y, 0.5)), About(&y, 0.5).with_simd(scalar));
    let outcome = Outcome { later: &y[34..], earlier: None };
    let coefficients = [0.1, -0.2, 0.3, 0.4, 0.5, -0.6];
    let rows = hac::Rows { standard: &standard, outcome: &outcome, coefficients: &coefficients, directions: None };
    for overlap in [0, 7] {
        let [one, other] = [true, false].map(|fast| {
            let mut work = hac::Work::new(coefficients.len());
            let mut sums = hac::Sums::new(&mut work, rows, Overlap::Rows(overlap));
            let take = hac::Take { sums: &mut sums, work: &mut work, block: 0..standard.layout.run };
            if fast {
                standard.arch.dispatch(take)
            } else {
                take.with_simd(scalar)
            }
            let found = sums.finish();
            (found.matrix, found.sums, found.residual)
        });
        assert_eq!(one, other, "{overlap} rows");
    }
}

#[test]
fn a_large_mean_beside_small_moves_loses_no_digits() {
    // y = 3 + 2 x exactly, x a price of 60,000 that moves by some 1e-3: its condition with a constant is 6e7.
    let mut random = Random::new(5);
    let x: Vec<f64> = noise(&mut random, 500, 0.0).iter().map(|e| 60_000.0 + 1e-3 * e).collect();
    let y: Vec<f64> = x.iter().map(|x| 2.0 * (x - 60_000.0)).collect();
    let found = projections(&y, &[&x], None, &[0], &[3], None).expect("there is one");
    assert!((found[0].coefficients[1] - 2.0).abs() < 1e-9, "{:?}", found[0]);
    assert!((found[0].coefficients[0] + 120_000.0).abs() < 1e-4, "{:?}", found[0]);
    assert!(found[0].residual < 1e-20 * 500.0);
}

#[test]
fn what_cannot_be_projected_is_refused_by_name() {
    let y = [1.0, 2.0, 4.0, 3.0, 5.0, 9.0];
    let x = [0.0, 1.0, 0.0, 2.0, 1.0, 5.0];
    let run = |y: &[f64], x: &[&[f64]], base, horizons: &[usize]| {
        projections(y, x, base, horizons, &vec![0; horizons.len()], None).err()
    };
    assert_eq!(run(&y, &[&x], None, &[1]), None);
    assert_eq!(run(&[], &[&[]], None, &[0]), Some(StatsError::Empty { series: "outcome" }));
    assert_eq!(run(&y, &[], None, &[0]), Some(StatsError::Empty { series: "regressors" }));
    assert_eq!(run(&y, &[&x], None, &[]), Some(StatsError::Empty { series: "horizons" }));
    let short = StatsError::Lengths { series: "regressors", times: 6, values: 2 };
    assert_eq!(run(&y, &[&x[..2]], None, &[0]), Some(short));
    assert_eq!(run(&y, &[&x, &[2.0; 6]], None, &[0]), Some(StatsError::Singular { column: 1 }));
    let twice: Vec<f64> = x.iter().map(|x| 1.0 - 2.0 * x).collect();
    assert_eq!(run(&y, &[&x, &twice], None, &[0]), Some(StatsError::Singular { column: 1 }));
    let mut broken = x;
    broken[4] = f64::NAN;
    assert_eq!(run(&y, &[&broken], None, &[0]), Some(StatsError::NotFinite { series: "regressors", index: 4 }));
    assert_eq!(run(&broken, &[&x], None, &[0]), Some(StatsError::NotFinite { series: "outcome", index: 4 }));
    for (base, horizon) in [(None, 4), (None, usize::MAX), (Some(-2), 2), (Some(i64::MIN), 0), (Some(i64::MAX), 0)] {
        assert!(matches!(run(&y, &[&x], base, &[horizon]), Some(StatsError::Grid { .. })), "{base:?} {horizon}");
    }
    for wanted in [0, 2] {
        let refused = projections(&y, &[&x], None, &[0], &[0], Some(wanted)).err();
        assert!(matches!(refused, Some(StatsError::Grid { .. })), "{wanted}");
    }
    let overlaps = projections(&y, &[&x], None, &[0, 1], &[0], None).err();
    assert_eq!(overlaps, Some(StatsError::Lengths { series: "overlaps", times: 2, values: 1 }));
}

#[test]
fn events_that_cannot_be_projected_are_refused_by_name() {
    let (events, x) = ([1, 5, 5, 9], [1.0, 2.0, 0.0, 4.0]);
    let (times, values) = ([0, 4, 20], [1.0, 2.0, 3.0]);
    let run = |events: &[i64], x: &[&[f64]], offsets: &[i64], widths: &[i64]| {
        event_projections(events, x, &times, &values, offsets, widths).map(|found| found.dropped).map_err(Some)
    };
    assert_eq!(run(&events, &[&x], &[0, 2], &[1, 5]), Ok(0));
    assert_eq!(run(&[0, 1, 5, 9], &[&x], &[0], &[1]), Ok(1)); // at the first observation nothing is known before
    assert_eq!(run(&[], &[&[]], &[0], &[1]), Err(Some(StatsError::Empty { series: "events" })));
    assert_eq!(run(&events, &[], &[0], &[1]), Err(Some(StatsError::Empty { series: "regressors" })));
    assert_eq!(run(&events, &[&x], &[], &[]), Err(Some(StatsError::Empty { series: "offsets" })));
    let order = StatsError::NotAscending { series: "events", index: 1 };
    assert_eq!(run(&[5, 1, 5, 9], &[&x], &[0], &[1]), Err(Some(order)));
    for (offsets, widths) in [(&[-1][..], &[1][..]), (&[1, 0], &[1, 1]), (&[0], &[0]), (&[16], &[1])] {
        assert!(matches!(run(&events, &[&x], offsets, widths), Err(Some(StatsError::Grid { .. }))), "{offsets:?}");
    }
    let widths = StatsError::Lengths { series: "widths", times: 1, values: 2 };
    assert_eq!(run(&events, &[&x], &[0], &[1, 1]), Err(Some(widths)));
}
