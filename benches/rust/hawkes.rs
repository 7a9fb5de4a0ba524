//! Hawkes processes and the Kalman hedge ratio.
//!
//!     cargo bench -p crossbook --bench hawkes
//!
//! The pair of the tests, 700,000 events: two types, one component (and two): the log-likelihood with its gradient by all
//! parameters, decays included, of events that were checked once, and with the check; second derivatives; simulation,
//! exact and by thinning, into fresh memory, page faults included. Goals: 20 ns an event for the gradient, 20 million
//! events a second simulated, 12 ns a step of the filter. Before the clock starts the recursion is held to a sum over all
//! pairs of the first 2,000 events.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use crossbook::stats::hawkes::{Events, Parameters, Ties, Until};
use crossbook::stats::kalman::{Hedge, HedgeModel};

const EVENTS: usize = 700_000;
const STEPS: usize = 100_000;

fn slow(times: &[i64], types: &[u32], end: i64) -> f64 {
    let (mu, alpha, beta) = ([0.3, 0.2], [[0.3, 0.1], [0.35, 0.25]], 2.0);
    let mut sum = -0.5 * end as f64 * 1e-9;
    for (k, (&t, &i)) in times.iter().zip(types).enumerate() {
        let past = times[..k].iter().zip(types).filter(|&(&s, _)| s < t);
        let excited: f64 =
            past.map(|(&s, &j)| alpha[i as usize][j as usize] * beta * (-beta * (t - s) as f64 * 1e-9).exp()).sum();
        sum += (mu[i as usize] + excited).ln();
        let caused = 1.0 - (-beta * (end - t) as f64 * 1e-9).exp();
        sum -= (alpha[0][i as usize] + alpha[1][i as usize]) * caused;
    }
    sum
}

fn hawkes(criterion: &mut Criterion) {
    let one = Parameters::new(&[0.3, 0.2], &[0.3, 0.1, 0.35, 0.25], &[2.0]).expect("in range");
    let two = Parameters::new(&[0.3, 0.2], &[0.15, 0.15, 0.05, 0.05, 0.2, 0.15, 0.15, 0.1], &[2.0, 20.0]);
    let two = two.expect("in range");
    let path = one.simulate(Until::Count(EVENTS), 1).expect("a path");
    let end = path.times[EVENTS - 1];
    let (times, types) = (&path.times[..], &path.types[..]);
    let part = Events::new(&times[..2_000], &types[..2_000], 0, times[1_999], Ties::Strict).expect("events");
    let (found, expected) = (
        part.log_likelihood(&one).expect("a value").log_likelihood,
        slow(&times[..2_000], &types[..2_000], times[1_999]),
    );
    assert!((found - expected).abs() < 1e-8 * expected.abs(), "{found} {expected}");

    let mut group = criterion.benchmark_group("hawkes");
    group.throughput(Throughput::Elements(EVENTS as u64)).sample_size(20);
    let events = Events::new(times, types, 0, end, Ties::Strict).expect("events");
    group.bench_function("gradient/1 component", |b| b.iter(|| black_box(events.log_likelihood(&one))));
    group.bench_function("gradient/2 components", |b| b.iter(|| black_box(events.log_likelihood(&two))));
    group.bench_function("gradient/1 component, checked", |b| {
        b.iter(|| black_box(Events::new(times, types, 0, end, Ties::Strict).expect("events").log_likelihood(&one)));
    });
    group.bench_function("second derivatives/1 component", |b| b.iter(|| black_box(events.information(&one))));
    group.bench_function("simulate/exact", |b| b.iter(|| black_box(one.simulate(Until::Count(EVENTS), 1))));
    group.bench_function("simulate/thinning", |b| b.iter(|| black_box(one.simulate_thinning(Until::Count(EVENTS), 1))));
    group.finish();
}

fn kalman(criterion: &mut Criterion) {
    let x: Vec<f64> = (0..STEPS).map(|k| 100.0 + ((k * 7_919) % 1_000) as f64 * 1e-3).collect();
    let y: Vec<f64> = x.iter().enumerate().map(|(k, x)| 3.0 + 1.1 * x + ((k * 31) % 17) as f64 * 1e-3).collect();
    let model = HedgeModel { first: [1.0, 0.0], doubt: [1.0; 2], step: [1e-6; 2], noise: 0.01 };
    let mut hedge = Hedge::default();
    let mut group = criterion.benchmark_group("kalman");
    group.throughput(Throughput::Elements(STEPS as u64));
    group.bench_function("hedge ratio", |b| b.iter(|| model.filter(black_box(&x), black_box(&y), &mut hedge)));
    group.finish();
}

criterion_group!(benches, hawkes, kalman);
criterion_main!(benches);
