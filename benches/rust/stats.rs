//! The kernels of lead–lag and price discovery.
//!
//!     cargo bench -p crossbook --bench stats
//!
//! Lead–lag: 400,000 × 400,000 ticks in an hour at uniformly random nanoseconds (and the same in whole milliseconds, where
//! every difference lies on the grid), 8,001 lags: of 0.1 ms (±400 ms, some 36 million pairs of instants) and of 1 ms
//! (±4 s, some 356 million); in one block and in 360; one lag by a merge; the exact peak over ±40 ms, and over ±400 ms.
//! Before the clock starts the contrast at 41 lags is held to one merge each. Moments: 20,000 × 2, all lags to 120, with a
//! constant and a gap, held to direct sums at a few places. The twin: the same 800,000 instants.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

use crossbook::stats::{Feedback, HayashiYoshida, LagGrid, feedback, lagged_moments};

const TICKS: usize = 400_000;
const HOUR: i64 = 3_600_000_000_000;
const MS: i64 = 1_000_000;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: i64) -> i64 {
        i64::try_from((u128::from(self.next()) * bound.unsigned_abs() as u128) >> 64).expect("below an i64")
    }

    /// Near enough to normal for a bench: the sum of four uniforms.
    fn noise(&mut self) -> f64 {
        #[allow(clippy::cast_precision_loss)] // 53 bits
        let uniform = |bits: u64| (bits >> 11) as f64 / (1_u64 << 53) as f64 - 0.5;
        (0..4).map(|_| uniform(self.next())).sum()
    }
}

struct Ticks {
    times: Vec<i64>,
    values: Vec<f64>,
}

fn ticks(random: &mut Random, unit: i64) -> Ticks {
    let mut times: Vec<i64> = (0..TICKS).map(|_| random.below(HOUR) / unit * unit).collect();
    times.sort_unstable();
    let values = times.iter().scan(0.0, |price, _| {
        *price += random.noise() * 1e-5;
        Some(*price)
    });
    Ticks { values: values.collect(), times }
}

fn lead_lag(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lead_lag");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    for (clock, unit) in [("ns", 1), ("ms", MS)] {
        let mut random = Random(7);
        let (x, y) = (ticks(&mut random, unit), ticks(&mut random, unit));
        let pair = HayashiYoshida::new(&x.times, &x.values, &y.times, &y.values).expect("two series");
        for (name, step) in [("0.1 ms", MS / 10), ("1 ms", MS)] {
            let grid = LagGrid::new(-4_000 * step, step, 8_001).expect("a grid");
            for (blocks, block) in [("1 block", HOUR), ("360 blocks", HOUR / 360)] {
                let found = pair.contrast(grid, block).expect("a contrast").total();
                for (lag, value) in grid.lags().zip(&found).step_by(200) {
                    let merged = pair.contrast_at(lag);
                    assert!((value - merged).abs() < 1e-12, "{lag}: {value}, {merged}");
                }
                group.bench_function(format!("8001 lags of {name}, {clock}, {blocks}"), |b| {
                    b.iter(|| black_box(pair.contrast(grid, block).expect("a contrast")));
                });
            }
        }
        group.bench_function(format!("one lag, {clock}"), |b| b.iter(|| black_box(pair.contrast_at(black_box(MS)))));
        group.bench_function(format!("exact peak within 40 ms, {clock}"), |b| {
            b.iter(|| black_box(pair.peak(-40 * MS, 40 * MS).expect("a peak")));
        });
        group.bench_function(format!("exact peak within 400 ms, {clock}"), |b| {
            b.iter(|| black_box(pair.peak(-400 * MS, 400 * MS).expect("a peak")));
        });
    }
    group.finish();
}

fn moments(criterion: &mut Criterion) {
    const ROWS: usize = 20_000;
    let mut random = Random(11);
    let mut column = || (0..ROWS).map(|_| random.noise()).collect::<Vec<_>>();
    let (x, y, gap, ones) = (column(), column(), column(), vec![1.0; ROWS]);
    let (series, extras): ([&[f64]; 2], [&[f64]; 2]) = ([&x, &y], [&ones, &gap]);
    let found = lagged_moments(&series, &extras, 120).expect("moments");
    for (row, column, product) in [
        (2, 2, (120..ROWS).map(|t| x[t] * x[t]).sum::<f64>()),
        (1, 243, (120..ROWS).map(|t| gap[t] * y[t - 120]).sum()),
        (122, 243, (120..ROWS).map(|t| x[t - 60] * y[t - 120]).sum()),
    ] {
        let entry = found.matrix[row * found.size + column];
        assert!((entry - product).abs() < 1e-8, "{row}, {column}: {entry}, {product}");
    }
    criterion.bench_function("moments/20,000 x 2, all lags to 120", |b| {
        b.iter(|| black_box(lagged_moments(&series, &extras, 120).expect("moments")));
    });
}

fn twin(criterion: &mut Criterion) {
    let mut random = Random(13);
    let (x, y) = (ticks(&mut random, 1), ticks(&mut random, 1));
    let mut noise = |count: usize| (0..count).map(|_| random.noise()).collect::<Vec<_>>();
    let (own_x, own_y, shared) = (noise(TICKS), noise(TICKS), noise(2 * TICKS));
    let model = Feedback { volatility: 1e-9, rate: 1e-8, delay: 1, common: 0.0 };
    criterion.bench_function("feedback/400,000 x 400,000", |b| {
        b.iter(|| black_box(feedback(&x.times, &own_x, &y.times, &own_y, &shared, model).expect("a pair")));
    });
}

criterion_group!(benches, lead_lag, moments, twin);
criterion_main!(benches);
