//! Columns of numbers in lanes, and the loops over them.
//!
//! Rows are cut into [`LANES`] runs of equal length that lie side by side: a [`Step`] holds one row of each. So what
//! goes on from row to row, as a running sum does, goes on in all runs at once, and nothing waits for its neighbour. What
//! is summed is always added in the same order, whatever the processor: wider vectors change how fast, not what.

use std::array::from_fn;

use pulp::{Simd, WithSimd};

pub(super) const LANES: usize = 16;

/// A row of each lane, in cache lines of its own: a vector that lies in two lines is read twice.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Step(pub(super) [f64; LANES]);

pub(super) const ZERO: Step = Step([0.0; LANES]);

/// The constant's column.
pub(super) static ONES: [Step; CHUNK] = [Step([1.0; LANES]); CHUNK];

/// Steps that are worked on at a time: their columns stay in the first cache, and partial sums keep rounding small.
pub(super) const CHUNK: usize = 32;

/// How many rows a lane holds: lane `l` has rows `l · run` to `(l + 1) · run`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) run: usize,
}

impl Layout {
    pub(super) fn of(rows: usize) -> Self {
        Self { run: rows.div_ceil(LANES) }
    }

    /// The steps from `start` on of a column, and 0 beyond its rows.
    #[inline(always)]
    pub(super) fn lay(self, x: &[f64], start: usize, out: &mut [Step]) {
        let steps = out.len();
        if start + steps <= self.whole(x.len()) {
            let lanes: [&[f64]; LANES] = from_fn(|lane| &x[lane * self.run + start..][..steps]);
            for (at, out) in out.iter_mut().enumerate() {
                *out = Step(from_fn(|lane| lanes[lane][at]));
            }
        } else {
            for (at, out) in out.iter_mut().enumerate() {
                *out = Step(from_fn(|lane| x.get(lane * self.run + start + at).copied().unwrap_or(0.0)));
            }
        }
    }

    /// The steps before any that holds something beyond the first `rows` rows.
    #[inline(always)]
    fn whole(self, rows: usize) -> usize {
        rows.saturating_sub((LANES - 1) * self.run).min(self.run)
    }

    /// Sets to 0 what lies beyond the first `rows` rows in the steps from `start` on.
    #[inline(always)]
    pub(super) fn clear_beyond(self, steps: &mut [Step], start: usize, rows: usize) {
        for at in self.whole(rows).max(start)..start + steps.len() {
            for (lane, cell) in steps[at - start].0.iter_mut().enumerate() {
                if lane * self.run + at >= rows {
                    *cell = 0.0;
                }
            }
        }
    }
}

impl Step {
    /// The lanes together, halves upon halves.
    pub(super) fn sum(self) -> f64 {
        let Self(mut lanes) = self;
        let mut width = LANES / 2;
        while width > 0 {
            for lane in 0..width {
                lanes[lane] += lanes[lane + width];
            }
            width /= 2;
        }
        lanes[0]
    }
}

/// The vectors of a step, the largest of which hold eight numbers.
#[inline(always)]
fn vectors<S: Simd>(x: &Step) -> &[S::f64s] {
    S::as_simd_f64s(&x.0).0
}

#[inline(always)]
fn vectors_mut<S: Simd>(x: &mut Step) -> &mut [S::f64s] {
    S::as_mut_simd_f64s(&mut x.0).0
}

/// A step in registers, in the first of these.
type Held<V> = [V; LANES];

#[inline(always)]
fn held<S: Simd>(simd: S, x: &Step) -> Held<S::f64s> {
    let mut held = [simd.splat_f64s(0.0); LANES];
    for (held, &x) in held.iter_mut().zip(vectors::<S>(x)) {
        *held = x;
    }
    held
}

#[inline(always)]
fn step<S: Simd>(held: &Held<S::f64s>) -> Step {
    let mut step = ZERO;
    for (out, &x) in vectors_mut::<S>(&mut step).iter_mut().zip(held) {
        *out = x;
    }
    step
}

/// Adds the steps to `sums`.
#[inline(always)]
pub(super) fn add<S: Simd>(simd: S, sums: &mut Step, x: &[Step]) {
    let mut found = held(simd, sums);
    for x in x {
        for (sum, &x) in found.iter_mut().zip(vectors::<S>(x)) {
            *sum = simd.add_f64s(*sum, x);
        }
    }
    *sums = step::<S>(&found);
}

/// Adds the products of `x` with each of the others to the sums, a few at a time: a sum alone would wait for itself.
#[inline(always)]
pub(super) fn add_products<'a, S: Simd>(
    simd: S,
    sums: &mut [Step],
    x: &[Step],
    mut others: impl Iterator<Item = &'a [Step]>,
) {
    let (fours, rest) = sums.as_chunks_mut::<4>();
    for sums in fours {
        add_few_products(simd, sums, x, &mut others);
    }
    let (twos, rest) = rest.as_chunks_mut::<2>();
    for sums in twos {
        add_few_products(simd, sums, x, &mut others);
    }
    let (ones, _) = rest.as_chunks_mut::<1>();
    for sums in ones {
        add_few_products(simd, sums, x, &mut others);
    }
}

#[inline(always)]
fn add_few_products<'a, S: Simd, const N: usize>(
    simd: S,
    sums: &mut [Step; N],
    x: &[Step],
    others: &mut impl Iterator<Item = &'a [Step]>,
) {
    let others: [&[Step]; N] = from_fn(|_| &others.next().unwrap_or_default()[..x.len()]);
    let mut found = [held(simd, &ZERO); N];
    for (found, sum) in found.iter_mut().zip(&*sums) {
        *found = held(simd, sum);
    }
    for (at, x) in x.iter().enumerate() {
        for (found, other) in found.iter_mut().zip(others) {
            let (x, y) = (vectors::<S>(x), vectors::<S>(&other[at]));
            for ((sum, &x), &y) in found.iter_mut().zip(x).zip(y) {
                *sum = simd.add_f64s(*sum, simd.mul_f64s(x, y));
            }
        }
    }
    for (sum, found) in sums.iter_mut().zip(&found) {
        *sum = step::<S>(found);
    }
}

/// `out += constant + Σ weight · x` over the columns.
#[inline(always)]
pub(super) fn add_weighted<S: Simd, const N: usize>(
    simd: S,
    out: &mut [Step],
    constant: f64,
    weights: [f64; N],
    columns: [&[Step]; N],
) {
    let constant = simd.splat_f64s(constant);
    let mut wide = [constant; N];
    for (wide, weight) in wide.iter_mut().zip(weights) {
        *wide = simd.splat_f64s(weight);
    }
    for (at, out) in out.iter_mut().enumerate() {
        for (part, out) in vectors_mut::<S>(out).iter_mut().enumerate() {
            let mut sum = simd.add_f64s(*out, constant);
            for (weight, column) in wide.iter().zip(columns) {
                sum = simd.add_f64s(sum, simd.mul_f64s(*weight, vectors::<S>(&column[at])[part]));
            }
            *out = sum;
        }
    }
}

/// `out = x · u`, whose sum is added to `sums`.
#[inline(always)]
pub(super) fn multiply<S: Simd>(simd: S, out: &mut [Step], sums: &mut Step, x: &[Step], u: &[Step]) {
    let mut found = held(simd, sums);
    for ((out, x), u) in out.iter_mut().zip(x).zip(u) {
        let (x, u) = (vectors::<S>(x), vectors::<S>(u));
        for (((out, sum), &x), &u) in vectors_mut::<S>(out).iter_mut().zip(&mut found).zip(x).zip(u) {
            *out = simd.mul_f64s(x, u);
            *sum = simd.add_f64s(*sum, *out);
        }
    }
    *sums = step::<S>(&found);
}

/// Running sums over windows of `held` steps: `out[i] = last + Σ_(j ≤ i) (scores[held + j] − scores[j])`; `last` is moved
/// to the last of them.
#[inline(always)]
pub(super) fn roll<S: Simd>(simd: S, out: &mut [Step], scores: &[Step], window: usize, last: &mut Step) {
    let mut sums = held(simd, last);
    for ((out, new), old) in out.iter_mut().zip(&scores[window..]).zip(scores) {
        let (new, old) = (vectors::<S>(new), vectors::<S>(old));
        for (((out, sum), &new), &old) in vectors_mut::<S>(out).iter_mut().zip(&mut sums).zip(new).zip(old) {
            *sum = simd.add_f64s(*sum, simd.sub_f64s(new, old));
            *out = *sum;
        }
    }
    *last = step::<S>(&sums);
}

/// `Σ (x − centre)` and `Σ (x − centre)²` of rows that are not laid out.
pub(super) struct About<'a>(pub(super) &'a [f64], pub(super) f64);

impl WithSimd for About<'_> {
    type Output = [f64; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> [f64; 2] {
        let (mut sums, mut squares) = (held(simd, &ZERO), held(simd, &ZERO));
        let centre = simd.splat_f64s(self.1);
        let (steps, rest) = self.0.as_chunks::<LANES>();
        for x in steps {
            for ((sum, square), &x) in sums.iter_mut().zip(&mut squares).zip(S::as_simd_f64s(x).0) {
                let away = simd.sub_f64s(x, centre);
                *sum = simd.add_f64s(*sum, away);
                *square = simd.add_f64s(*square, simd.mul_f64s(away, away));
            }
        }
        let (mut sum, mut square) = (step::<S>(&sums).sum(), step::<S>(&squares).sum());
        for x in rest {
            sum += x - self.1;
            square += (x - self.1) * (x - self.1);
        }
        [sum, square]
    }
}
