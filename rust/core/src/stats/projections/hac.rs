//! The long-run covariance of scores, from sums over windows.
//!
//! With Bartlett's weights `1 − l/(L + 1)` the sum over all pairs `Σ_ij w(i − j) s_i s_jᵀ` is
//! `1/(L + 1) Σ_j W_j W_jᵀ` with `W_j = s_j + … + s_(j+L)` over every window that holds a row, also those that hang over
//! an end: each pair `l` apart lies in `L + 1 − l` of them. So one running sum a column does, whatever `L`. At irregular
//! times the sum over windows becomes an integral over where a window starts, and its integrand changes only where a
//! row enters or leaves.

use super::lanes::{dot, dots, sum};
use super::{CHUNK, Outcome, Overlap};

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
    fitted: [f64; CHUNK],
    /// The last `L + 1` scores and then those of a chunk, by column.
    scores: Vec<Vec<f64>>,
    /// Sums over windows that end in the chunk, by column.
    windows: Vec<[f64; CHUNK]>,
}

impl Work {
    pub(super) fn new(size: usize) -> Self {
        Self {
            residuals: [0.0; CHUNK],
            fitted: [0.0; CHUNK],
            scores: vec![Vec::new(); size],
            windows: vec![[0.0; CHUNK]; size],
        }
    }
}

/// What scores are made of.
pub(super) struct Rows<'a> {
    pub(super) z: &'a [Vec<f64>],
    pub(super) outcome: &'a Outcome<'a>,
    pub(super) coefficients: &'a [f64],
    /// Combinations of the constant and `z` that take their place: then a score is what a row adds to a coefficient, and
    /// few scores do where few coefficients' errors are asked for.
    pub(super) directions: Option<&'a [Vec<f64>]>,
}

impl Rows<'_> {
    fn size(&self) -> usize {
        self.directions.map_or(self.coefficients.len(), <[_]>::len)
    }

    /// Residuals of the rows from `start`.
    fn residuals(&self, u: &mut [f64], buffer: &mut [f64; CHUNK], start: usize) {
        let fitted = &mut buffer[..u.len()];
        combine(fitted, self.coefficients, self.z, start);
        self.outcome.fill(start, u);
        u.iter_mut().zip(fitted).for_each(|(u, fitted)| *u -= *fitted);
    }

    /// Score `a` of the rows from `start`.
    fn score(&self, a: usize, out: &mut [f64], u: &[f64], start: usize) {
        if let Some(directions) = self.directions {
            combine(out, &directions[a], self.z, start);
            out.iter_mut().zip(u).for_each(|(out, u)| *out *= u);
        } else if let Some(a) = a.checked_sub(1) {
            out.iter_mut().zip(u.iter().zip(&self.z[a][start..])).for_each(|(out, (u, x))| *out = u * x);
        } else {
            out.copy_from_slice(u);
        }
    }
}

/// `weights_0 + Σ weights_k z_k`, four columns at a time.
fn combine(out: &mut [f64], weights: &[f64], z: &[Vec<f64>], start: usize) {
    out.fill(weights[0]);
    let rows = out.len();
    let mut columns = z.iter().map(|x| &x[start..][..rows]).zip(&weights[1..]);
    while let Some((a, wa)) = columns.next() {
        let (Some((b, wb)), Some((c, wc)), Some((d, wd))) = (columns.next(), columns.next(), columns.next()) else {
            break;
        };
        for ((((out, a), b), c), d) in out.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            *out += (wa * a + wb * b) + (wc * c + wd * d);
        }
    }
    let rest = z.len() / 4 * 4;
    for (x, weight) in z[rest..].iter().zip(&weights[1 + rest..]) {
        out.iter_mut().zip(&x[start..]).for_each(|(out, x)| *out += weight * x);
    }
}

pub(super) fn covariance(work: &mut Work, rows: &Rows, overlap: Overlap) -> Scores {
    let size = rows.size();
    let mut found = Scores { matrix: vec![0.0; size * size], sums: vec![0.0; size], residual: 0.0 };
    match overlap {
        Overlap::Rows(0) => white(work, rows, &mut found),
        Overlap::Rows(wide) => by_rows(work, rows, wide, &mut found),
        Overlap::Time(times, width) => by_time(work, rows, (times, width), &mut found),
    }
    for a in 0..size {
        for b in 0..a {
            found.matrix[a * size + b] = found.matrix[b * size + a];
        }
    }
    found
}

fn add_outer(matrix: &mut [f64], columns: &[[f64; CHUNK]], rows: usize) {
    let size = columns.len();
    for (a, x) in columns.iter().enumerate() {
        let line = &mut matrix[a * size..][..size];
        let mut b = a;
        while b + 1 < size {
            let [one, two] = dots(&x[..rows], &columns[b][..rows], &columns[b + 1][..rows]);
            line[b] += one;
            line[b + 1] += two;
            b += 2;
        }
        if b < size {
            line[b] += dot(&x[..rows], &columns[b][..rows]);
        }
    }
}

fn white(work: &mut Work, given: &Rows, found: &mut Scores) {
    let all = given.outcome.later.len();
    for start in (0..all).step_by(CHUNK) {
        let rows = CHUNK.min(all - start);
        let u = &mut work.residuals[..rows];
        given.residuals(u, &mut work.fitted, start);
        found.residual += dot(u, u);
        for (a, column) in work.windows.iter_mut().enumerate() {
            given.score(a, &mut column[..rows], u, start);
            found.sums[a] += sum(&column[..rows]);
        }
        add_outer(&mut found.matrix, &work.windows, rows);
    }
}

fn by_rows(work: &mut Work, given: &Rows, overlap: usize, found: &mut Scores) {
    let all = given.outcome.later.len();
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
        given.residuals(u, &mut work.fitted, start.min(all));
        found.residual += dot(u, u);
        for (a, column) in work.scores.iter_mut().enumerate() {
            let fresh = &mut column[filled..filled + rows];
            given.score(a, &mut fresh[..real], u, start.min(all));
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
fn by_time(work: &mut Work, given: &Rows, (at, width): (&[i64], i64), found: &mut Scores) {
    let (all, size) = (given.outcome.later.len(), given.size());
    for column in &mut work.scores {
        column.clear();
        column.resize(all, 0.0);
    }
    for start in (0..all).step_by(CHUNK) {
        let rows = CHUNK.min(all - start);
        let u = &mut work.residuals[..rows];
        given.residuals(u, &mut work.fitted, start);
        found.residual += dot(u, u);
        for (a, column) in work.scores.iter_mut().enumerate() {
            given.score(a, &mut column[start..start + rows], u, start);
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
                let cells = &mut found.matrix[a * size + a..(a + 1) * size];
                cells.iter_mut().zip(&held[a..]).for_each(|(cell, y)| *cell += x * y);
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
