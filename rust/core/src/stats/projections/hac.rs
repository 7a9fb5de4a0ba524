//! The long-run covariance of scores, from sums over windows.
//!
//! With Bartlett's weights `1 − l/(L + 1)` the sum over all pairs `Σ_ij w(i − j) s_i s_jᵀ` is
//! `1/(L + 1) Σ_j W_j W_jᵀ` with `W_j = s_j + … + s_(j+L)` over every window that holds a row, also those that hang over
//! an end: each pair `l` apart lies in `L + 1 − l` of them. So one running sum a column does, whatever `L`. At irregular
//! times the sum over windows becomes an integral over where a window starts, and its integrand changes only where a
//! row enters or leaves.

use super::{CHUNK, Outcome, Overlap, dot, sum};

/// Sums of scores `s(t) = (1, z(t)) u(t)` with residuals `u`.
pub(super) struct Scores {
    /// `[size²]`: the weighted sum of products of pairs, symmetric.
    pub(super) matrix: Vec<f64>,
    /// `[size]`: of the scores themselves; rounding, and nothing else, if the coefficients are those of least squares.
    pub(super) sums: Vec<f64>,
    /// Of squared residuals.
    pub(super) residual: f64,
}

/// Memory that is used again.
pub(super) struct Work {
    residuals: [f64; CHUNK],
    /// The last `L + 1` scores and then those of a chunk, by column.
    scores: Vec<Vec<f64>>,
    /// Sums over windows that end in the chunk, by column.
    windows: Vec<[f64; CHUNK]>,
}

impl Work {
    pub(super) fn new(size: usize) -> Self {
        Self { residuals: [0.0; CHUNK], scores: vec![Vec::new(); size], windows: vec![[0.0; CHUNK]; size] }
    }
}

pub(super) fn covariance(
    work: &mut Work,
    z: &[Vec<f64>],
    outcome: &Outcome,
    coefficients: &[f64],
    overlap: Overlap,
) -> Scores {
    let size = coefficients.len();
    let mut found = Scores { matrix: vec![0.0; size * size], sums: vec![0.0; size], residual: 0.0 };
    match overlap {
        Overlap::Rows(0) => white(work, z, outcome, coefficients, &mut found),
        Overlap::Rows(rows) => by_rows(work, z, outcome, coefficients, rows, &mut found),
        Overlap::Time(times, width) => by_time(work, z, outcome, coefficients, (times, width), &mut found),
    }
    for a in 0..size {
        for b in 0..a {
            found.matrix[a * size + b] = found.matrix[b * size + a];
        }
    }
    found
}

/// Residuals of the rows from `start`.
fn residuals(u: &mut [f64], z: &[Vec<f64>], outcome: &Outcome, coefficients: &[f64], start: usize) {
    outcome.fill(start, u);
    let constant = coefficients[0];
    u.iter_mut().for_each(|u| *u -= constant);
    for (x, coefficient) in z.iter().zip(&coefficients[1..]) {
        u.iter_mut().zip(&x[start..]).for_each(|(u, x)| *u -= coefficient * x);
    }
}

fn times(out: &mut [f64], u: &[f64], x: &[f64]) {
    out.iter_mut().zip(u.iter().zip(x)).for_each(|(out, (u, x))| *out = u * x);
}

fn add_outer(matrix: &mut [f64], columns: &[[f64; CHUNK]], rows: usize) {
    let size = columns.len();
    for (a, x) in columns.iter().enumerate() {
        for (b, y) in columns.iter().enumerate().skip(a) {
            matrix[a * size + b] += dot(&x[..rows], &y[..rows]);
        }
    }
}

fn white(work: &mut Work, z: &[Vec<f64>], outcome: &Outcome, coefficients: &[f64], found: &mut Scores) {
    let all = outcome.later.len();
    for start in (0..all).step_by(CHUNK) {
        let rows = CHUNK.min(all - start);
        let u = &mut work.residuals[..rows];
        residuals(u, z, outcome, coefficients, start);
        found.residual += dot(u, u);
        work.windows[0][..rows].copy_from_slice(u);
        for (column, x) in work.windows[1..].iter_mut().zip(z) {
            times(&mut column[..rows], u, &x[start..]);
        }
        for (cell, column) in found.sums.iter_mut().zip(&work.windows) {
            *cell += sum(&column[..rows]);
        }
        add_outer(&mut found.matrix, &work.windows, rows);
    }
}

fn by_rows(
    work: &mut Work,
    z: &[Vec<f64>],
    outcome: &Outcome,
    coefficients: &[f64],
    overlap: usize,
    found: &mut Scores,
) {
    let all = outcome.later.len();
    // Beyond all rows a wider window holds nothing more, but there are more of it.
    let held = overlap.min(all) + 1;
    // Before the first row and after the last there is nothing: scores of 0. The front is a whole number of chunks or a
    // piece of one window, so that what moves to the front is no more than what was worked on.
    let room = held + CHUNK.max(held).next_multiple_of(CHUNK);
    for column in &mut work.scores {
        column.clear();
        column.resize(room, 0.0);
    }
    let windows = all + held - 1;
    let mut filled = held;
    for start in (0..windows).step_by(CHUNK) {
        let rows = CHUNK.min(windows - start);
        if filled + rows > room {
            for column in &mut work.scores {
                column.copy_within(filled - held..filled, 0);
            }
            filled = held;
        }
        let real = rows.min(all.saturating_sub(start));
        let u = &mut work.residuals[..real];
        residuals(u, z, outcome, coefficients, start.min(all));
        found.residual += dot(u, u);
        for (a, column) in work.scores.iter_mut().enumerate() {
            let fresh = &mut column[filled..filled + rows];
            match a.checked_sub(1) {
                None => fresh[..real].copy_from_slice(u),
                Some(a) => times(&mut fresh[..real], u, &z[a][start.min(all)..]),
            }
            fresh[real..].fill(0.0);
            found.sums[a] += sum(&fresh[..real]);
            // The window before the first of these, summed anew so that rounding does not pile up.
            let begin = sum(&column[filled - held..filled]);
            roll(&mut work.windows[a][..rows], &column[filled - held..filled + rows], held, begin);
        }
        add_outer(&mut found.matrix, &work.windows, rows);
        filled += rows;
    }
    // Windows that lie wholly over the data, where they are wider than it: each is the sum of all scores.
    #[allow(clippy::cast_precision_loss)] // rows
    let (extra, weight) = ((overlap - overlap.min(all)) as f64, 1.0 / (overlap as f64 + 1.0));
    let size = found.sums.len();
    for a in 0..size {
        for b in a..size {
            let cell = &mut found.matrix[a * size + b];
            *cell = (*cell + extra * found.sums[a] * found.sums[b]) * weight;
        }
    }
}

/// Running sums: `out[i] = begin + Σ_(j ≤ i) (scores[held + j] − scores[j])`, in four runs side by side, as each sum
/// waits for the one before it.
fn roll(out: &mut [f64], scores: &[f64], held: usize, begin: f64) {
    for ((out, new), old) in out.iter_mut().zip(&scores[held..]).zip(scores) {
        *out = new - old;
    }
    let quarter = out.len() / 4;
    let (first, others) = out.split_at_mut(quarter);
    let (second, others) = others.split_at_mut(quarter);
    let (third, others) = others.split_at_mut(quarter);
    let (fourth, rest) = others.split_at_mut(quarter);
    let mut sums = [begin, 0.0, 0.0, 0.0];
    for (((a, b), c), d) in first.iter_mut().zip(second.iter_mut()).zip(third.iter_mut()).zip(fourth.iter_mut()) {
        for (sum, cell) in sums.iter_mut().zip([a, b, c, d]) {
            *sum += *cell;
            *cell = *sum;
        }
    }
    let mut before = sums[0];
    for (part, own) in [second, third, fourth].into_iter().zip(&sums[1..]) {
        part.iter_mut().for_each(|cell| *cell += before);
        before += own;
    }
    for cell in rest {
        before += *cell;
        *cell = before;
    }
}

#[allow(clippy::cast_precision_loss)] // spans in ns
fn by_time(
    work: &mut Work,
    z: &[Vec<f64>],
    outcome: &Outcome,
    coefficients: &[f64],
    (at, width): (&[i64], i64),
    found: &mut Scores,
) {
    let (all, size) = (outcome.later.len(), coefficients.len());
    for column in &mut work.scores {
        column.clear();
        column.reserve(all);
    }
    for start in (0..all).step_by(CHUNK) {
        let rows = CHUNK.min(all - start);
        let u = &mut work.residuals[..rows];
        residuals(u, z, outcome, coefficients, start);
        found.residual += dot(u, u);
        work.scores[0].extend_from_slice(u);
        for (column, x) in work.scores[1..].iter_mut().zip(z) {
            column.extend(u.iter().zip(&x[start..]).map(|(u, x)| u * x));
        }
    }
    for (cell, column) in found.sums.iter_mut().zip(&work.scores) {
        *cell = sum(column);
    }
    // The window `(s − width, s]` as `s` moves on: a row enters at its time and leaves `width` later. Divided by the
    // width at once, so that the weights are those of the pairs.
    let at = &at[..all];
    let (mut enters, mut leaves, mut now) = (0, 0, at[0]);
    let mut held = vec![0.0; size];
    while leaves < all {
        let out = at[leaves] + width;
        let entering = enters < all && at[enters] <= out;
        let next = if entering { at[enters] } else { out };
        if next > now {
            let weight = (next - now) as f64 / width as f64;
            for a in 0..size {
                let x = weight * held[a];
                for b in a..size {
                    found.matrix[a * size + b] += x * held[b];
                }
            }
            now = next;
        }
        if entering {
            held.iter_mut().zip(&work.scores).for_each(|(held, column)| *held += column[enters]);
            enters += 1;
        } else {
            held.iter_mut().zip(&work.scores).for_each(|(held, column)| *held -= column[leaves]);
            leaves += 1;
            if leaves == enters {
                held.fill(0.0); // nothing is in the window: no rounding either
            }
        }
    }
}
