use proptest::prelude::*;

use super::*;

const SECOND: f64 = 1e9;

#[allow(clippy::cast_possible_truncation)]
fn ns(seconds: f64) -> i64 {
    (seconds * SECOND).round() as i64
}

/// Two columns of one stream, from seconds by type.
fn merged(by_type: &[&[f64]]) -> (Vec<i64>, Vec<u32>) {
    let mut rows: Vec<(i64, u32)> =
        (0..).zip(by_type).flat_map(|(kind, times)| times.iter().map(move |&t| (ns(t), kind))).collect();
    rows.sort_unstable();
    rows.into_iter().unzip()
}

/// The two short series of the tests of `tick` (C++ `HawkesModelTest`).
fn published() -> (Vec<i64>, Vec<u32>) {
    merged(&[&[0.31, 0.93, 1.29, 2.32, 4.25], &[0.12, 1.19, 2.12, 2.41, 3.35, 4.21]])
}

fn published_parameters() -> Parameters {
    Parameters::new(&[1.0, 3.0], &[2.0, 3.0, 4.0, 1.0], &[2.0]).expect("in range")
}

/// The log-likelihood by its definition, a sum over all pairs.
fn slow(times: &[i64], types: &[u32], end: i64, ties: Ties, p: &Parameters) -> f64 {
    let (d, c) = (p.types, p.components);
    let weight = |i: u32, j: u32, u: usize| p.adjacency[(i as usize * d + j as usize) * c + u];
    let mut sum = 0.0;
    for k in 0..times.len() {
        let mut intensity = p.baseline[types[k] as usize];
        for m in 0..k {
            if times[m] < times[k] || ties == Ties::Ordered {
                for u in 0..c {
                    let age = (times[k] - times[m]) as f64 / SECOND;
                    intensity += weight(types[k], types[m], u) * p.decays[u] * (-p.decays[u] * age).exp();
                }
            }
        }
        sum += intensity.ln();
    }
    for i in 0..u32::try_from(d).expect("few") {
        sum -= p.baseline[i as usize] * end as f64 / SECOND;
        for (&time, &kind) in times.iter().zip(types) {
            for u in 0..c {
                sum -= weight(i, kind, u) * (1.0 - (-p.decays[u] * (end - time) as f64 / SECOND).exp());
            }
        }
    }
    sum
}

fn flat(p: &Parameters) -> Vec<f64> {
    [&p.baseline[..], &p.adjacency, &p.decays].concat()
}

fn from_flat(values: &[f64], d: usize) -> Parameters {
    let c = values.len().div_ceil(d * d + 1).max(1);
    let c = (1..=c).find(|c| d + d * d * c + c == values.len()).expect("a whole number of components");
    Parameters::new(&values[..d], &values[d..d + d * d * c], &values[d + d * d * c..]).expect("in range")
}

#[test]
fn the_log_likelihood_is_the_published_one() {
    let (times, types) = published();
    let at = |end| Events::new(&times, &types, 0, ns(end), Ties::Strict).expect("events");
    // Reference value for the interval up to 5.65, α_ij the effect of j on i, kernel α β exp(-β t).
    let found = at(5.65).log_likelihood(&published_parameters()).expect("a value").log_likelihood;
    assert!((found + 56.502_405_691_115_2).abs() < 1e-11, "{found}");
    // tick's C++ test `compute_loss_loglikelihood`: minus the log-likelihood per event, up to 4.25.
    let found = at(4.25).log_likelihood(&published_parameters()).expect("a value").log_likelihood;
    assert!((found / -11.0 - 3.716_178_245_851_901_3).abs() < 1e-12, "{found}");
}

/// Streams on a coarse clock, so that times are often equal.
fn streams() -> impl Strategy<Value = (Vec<i64>, Vec<u32>)> {
    prop::collection::vec((1_i64..40, 0_u32..3), 0..30).prop_map(|mut rows| {
        rows.sort_by_key(|row| row.0);
        rows.into_iter().map(|(time, kind)| (time * 100_000_000, kind)).unzip()
    })
}

fn processes() -> impl Strategy<Value = Parameters> {
    (1_usize..=3).prop_flat_map(|c| {
        let many = |range: std::ops::Range<f64>, count| prop::collection::vec(range, count);
        (many(0.1..3.0, 3), many(0.0..1.5, 9 * c), many(0.3..8.0, c))
            .prop_map(|(mu, alpha, beta)| Parameters::new(&mu, &alpha, &beta).expect("in range"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_recursion_agrees_with_the_sum_over_pairs(
        (times, types) in streams(), p in processes(), ordered in any::<bool>()
    ) {
        let (ties, end) = (if ordered { Ties::Ordered } else { Ties::Strict }, ns(4.5));
        let events = Events::new(&times, &types, 0, end, ties).expect("events");
        let expected = slow(&times, &types, end, ties, &p);
        let found = events.log_likelihood(&p).expect("a value").log_likelihood;
        prop_assert!((found - expected).abs() < 1e-9 * (1.0 + expected.abs()), "{found} {expected}");
        let information = events.information(&p).expect("a value");
        prop_assert_eq!(information.log_likelihood, found);
    }

    #[test]
    fn first_and_second_derivatives_are_the_limits_of_differences((times, types) in streams(), p in processes()) {
        let events = Events::new(&times, &types, 0, ns(4.5), Ties::Strict).expect("events");
        let (found, at) = (events.information(&p).expect("a value"), flat(&p));
        let step = 1e-5;
        for k in 0..at.len() {
            let moved = |by: f64| {
                let mut at = at.clone();
                at[k] += by + step; // an adjacency of 0 may not become negative: differences about a point a step above
                events.log_likelihood(&from_flat(&at, 3)).expect("a value")
            };
            let centre = { let mut at = at.clone(); at[k] += step; events.information(&from_flat(&at, 3)).expect("a value") };
            let (high, low) = (moved(step), moved(-step));
            let slope = (high.log_likelihood - low.log_likelihood) / (2.0 * step);
            prop_assert!((slope - centre.gradient[k]).abs() < 1e-4 * (1.0 + slope.abs()), "{k}: {slope}");
            for m in 0..at.len() {
                let bend = (high.gradient[m] - low.gradient[m]) / (2.0 * step);
                let ours = centre.hessian[k * at.len() + m];
                prop_assert!((bend - ours).abs() < 2e-3 * (1.0 + bend.abs()), "{k} {m}: {bend} {ours}");
            }
        }
        prop_assert!(found.fisher.iter().all(|value| value.is_finite()));
    }

    #[test]
    fn residuals_and_intensities_follow_from_the_sum_over_pairs((times, types) in streams(), p in processes()) {
        let end = ns(4.5);
        let events = Events::new(&times, &types, 0, end, Ties::Strict).expect("events");
        let found = events.residuals(&p).expect("residuals");
        let intensities = events.intensities(&p).expect("intensities");
        let (d, c) = (p.types, p.components);
        let integral = |i: usize, to: i64| {
            let past = times.iter().zip(&types).filter(|&(&time, _)| time < to);
            p.baseline[i] * to as f64 / SECOND + past.map(|(&time, &j)| (0..c).map(|u| {
                p.adjacency[(i * d + j as usize) * c + u] * (1.0 - (-p.decays[u] * (to - time) as f64 / SECOND).exp())
            }).sum::<f64>()).sum::<f64>()
        };
        let mut last = vec![0; d];
        for (k, (&time, &kind)) in times.iter().zip(&types).enumerate() {
            let i = kind as usize;
            let expected = integral(i, time) - integral(i, last[i]);
            prop_assert!((found.residuals[k] - expected).abs() < 1e-9, "{} {expected}", found.residuals[k]);
            last[i] = time;
            let rate = p.baseline[i] + times.iter().zip(&types).filter(|&(&t, _)| t < time).map(|(&t, &j)| (0..c).map(|u| {
                let decay = p.decays[u];
                p.adjacency[(i * d + j as usize) * c + u] * decay * (-decay * (time - t) as f64 / SECOND).exp()
            }).sum::<f64>()).sum::<f64>();
            prop_assert!((intensities[k * d + i] - rate).abs() < 1e-9 * rate);
        }
        for (i, (&rest, &last)) in found.rest.iter().zip(&last).enumerate() {
            prop_assert!((rest - (integral(i, end) - integral(i, last))).abs() < 1e-9);
        }
    }
}

#[test]
fn the_state_at_the_end_is_the_sum_of_what_is_left_of_every_event() {
    let (times, types) = published();
    let events = Events::new(&times, &types, 0, ns(5.65), Ties::Strict).expect("events");
    let found = events.state(&published_parameters()).expect("a state");
    for (kind, sum) in (0..).zip(found) {
        let left = times.iter().zip(&types).filter(|row| *row.1 == kind);
        let expected: f64 = left.map(|row| (-2.0 * (5.65 - *row.0 as f64 / SECOND)).exp()).sum();
        assert!((sum - expected).abs() < 1e-12, "{sum} {expected}");
    }
}

/// Largest distance of the sample from the exponential distribution, times the root of its size.
fn kolmogorov(mut sample: Vec<f64>) -> f64 {
    sample.sort_by(f64::total_cmp);
    let n = sample.len() as f64;
    let distance = (1_u32..).zip(&sample).map(|(k, x)| {
        let (upper, lower, law) = (f64::from(k) / n, f64::from(k - 1) / n, 1.0 - (-x).exp());
        (upper - law).abs().max((law - lower).abs())
    });
    distance.fold(0.0, f64::max) * n.sqrt()
}

#[test]
fn simulated_events_have_exponential_residuals_and_the_stationary_rates_both_ways() {
    let one = Parameters::new(&[0.3, 0.2], &[0.3, 0.1, 0.35, 0.25], &[2.0]).expect("in range");
    let two = Parameters::new(&[2.0, 1.0, 0.5], &[0.1; 18], &[50.0, 0.5]).expect("in range");
    // (I - A)^-1 μ, by hand for the first; for the second every row sums to 0.6: x = μ + 0.2 Σx, Σx = 3.5 / 0.4.
    let rates = [vec![0.245 / 0.49, 0.245 / 0.49], vec![3.75, 2.75, 2.25]];
    for (p, rates) in [one, two].iter().zip(rates) {
        for simulate in [Parameters::simulate, Parameters::simulate_thinning] {
            let path = simulate(p, Until::Count(200_000), 3).expect("a path");
            let end = *path.times.last().expect("events");
            let events = Events::new(&path.times, &path.types, 0, end, Ties::Strict).expect("events");
            let residuals = events.residuals(p).expect("residuals").residuals;
            for (kind, &rate) in (0_u32..).zip(&rates) {
                let own: Vec<f64> =
                    residuals.iter().zip(&path.types).filter(|row| *row.1 == kind).map(|row| *row.0).collect();
                let found = own.len() as f64 / (end as f64 / SECOND);
                assert!((found / rate - 1.0).abs() < 0.05, "type {kind}: {found} per s, expected {rate}");
                // 1.95 is exceeded with probability 0.001.
                assert!(kolmogorov(own) < 1.95, "type {kind}");
            }
        }
    }
}

#[test]
fn a_simulation_ends_at_its_time_or_its_count_and_an_explosion_is_an_error() {
    let p = Parameters::new(&[5.0], &[0.5], &[10.0]).expect("in range");
    let whole = p.simulate(Until::Count(1_000), 1).expect("a path");
    assert_eq!((whole.times.len(), p.simulate(Until::Count(1_000), 1)), (1_000, Ok(whole.clone())));
    assert_ne!(p.simulate(Until::Count(1_000), 2), Ok(whole.clone()));
    let cut = p.simulate(Until::Time { ns: whole.times[499], limit: 1_000 }, 1).expect("a path");
    assert_eq!(cut.times, whole.times[..500]);
    let limit = 499;
    assert_eq!(p.simulate(Until::Time { ns: whole.times[499], limit }, 1), Err(HawkesError::Limit { limit }));
    let wild = Parameters::new(&[1.0], &[1.5], &[10.0]).expect("in range");
    for simulate in [Parameters::simulate, Parameters::simulate_thinning] {
        let until = Until::Time { ns: ns(1_000.0), limit: 10_000 };
        assert_eq!(simulate(&wild, until, 1), Err(HawkesError::Limit { limit: 10_000 }));
        assert_eq!(simulate(&p, Until::Time { ns: -1, limit: 1 }, 1), Err(HawkesError::Span));
    }
    let slow = Parameters::new(&[1e-12], &[0.0], &[1.0]).expect("in range");
    assert_eq!(slow.simulate(Until::Count(10), 1), Err(HawkesError::Span));
    assert_eq!(p.simulate(Until::Count(0), 1), Ok(Path::default()));
}

#[test]
fn every_size_of_process_gives_the_sum_over_pairs() {
    for (d, c) in [(1, 1), (4, 2), (5, 3), (9, 4), (16, 1)] {
        let (mu, alpha) = (vec![0.5; d], vec![0.4 / (d * c) as f64; d * d * c]);
        let beta: Vec<f64> = (0..c).map(|u| 3.0_f64.powi(i32::try_from(u).expect("few"))).collect();
        let p = Parameters::new(&mu, &alpha, &beta).expect("in range");
        let path = p.simulate(Until::Count(200), 9).expect("a path");
        let end = path.times[199] + 1;
        let events = Events::new(&path.times, &path.types, 0, end, Ties::Strict).expect("events");
        let (found, expected) =
            (events.log_likelihood(&p).expect("a value"), slow(&path.times, &path.types, end, Ties::Strict, &p));
        assert!((found.log_likelihood - expected).abs() < 1e-8 * expected.abs());
        assert_eq!(found.gradient.len(), p.count());
    }
}

#[test]
fn what_makes_no_process_is_an_error_that_says_where() {
    let new = Parameters::new;
    assert_eq!(new(&[], &[], &[1.0]), Err(HawkesError::Dimensions { types: 0, components: 1 }));
    assert_eq!(new(&[1.0; 17], &[0.0; 289], &[1.0]), Err(HawkesError::Dimensions { types: 17, components: 1 }));
    assert_eq!(new(&[1.0], &[0.0], &[]), Err(HawkesError::Dimensions { types: 1, components: 0 }));
    assert_eq!(new(&[1.0], &[0.0; 2], &[1.0]), Err(HawkesError::Count { name: "adjacency", expected: 1, found: 2 }));
    for (mu, alpha, beta, name) in [
        (0.0, 0.0, 1.0, "baseline"),
        (1.0, -0.1, 1.0, "adjacency"),
        (1.0, f64::NAN, 1.0, "adjacency"),
        (1.0, 0.0, f64::INFINITY, "decays"),
    ] {
        let found = new(&[mu], &[alpha], &[beta]).expect_err("out of range").to_string();
        assert!(found.starts_with(name), "{found}");
    }
    let events = |times: &[i64], types: &[u32], end| Events::new(times, types, 10, end, Ties::Strict).err();
    assert_eq!(events(&[11, 12], &[0], 20), Some(StatsError::Lengths { series: "types", times: 2, values: 1 }.into()));
    assert_eq!(events(&[12, 11], &[0, 0], 20), Some(StatsError::NotAscending { series: "times", index: 1 }.into()));
    assert_eq!(events(&[10], &[0], 20), Some(HawkesError::Outside { index: 0 }));
    assert_eq!(events(&[21], &[0], 20), Some(HawkesError::Outside { index: 0 }));
    assert_eq!(events(&[11], &[16], 20), Some(HawkesError::Type { types: 16, found: 16, index: 0 }));
    assert_eq!(events(&[], &[], 10), Some(HawkesError::Span));
    assert_eq!(events(&[], &[], i64::MAX), Some(HawkesError::Span));
    let one = Parameters::new(&[1.0], &[0.0], &[1.0]).expect("in range");
    let two_types = Events::new(&[11, 12], &[0, 1], 10, 20, Ties::Strict).expect("events");
    let error = HawkesError::Type { types: 1, found: 1, index: 1 };
    assert_eq!(two_types.log_likelihood(&one), Err(error));
    assert_eq!(two_types.residuals(&one), Err(error));
}
