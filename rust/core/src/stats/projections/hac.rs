//! The long-run covariance of scores, from sums over windows.
//!
//! With Bartlett's weights `1 − l/(L + 1)` the sum over all pairs `Σ_ij w(i − j) s_i s_jᵀ` is
//! `1/(L + 1) Σ_j W_j W_jᵀ` with `W_j = s_j + … + s_(j+L)` over every window that holds a row, also those that hang over
//! an end: each pair `l` apart lies in `L + 1 − l` of them. So one running sum a column does, whatever `L`. At irregular
//! times the sum over windows becomes an integral over where a window starts, and its integrand changes only where a
//! row enters or leaves.

use std::borrow::Cow;
use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::lanes::{self, CHUNK, LANES, Step, ZERO};
use super::{Outcome, Overlap, Standard};

/// Sums of scores `s(t) = (1, z(t)) u(t)` with residuals `u`.
pub(super) struct Scores {
    /// `[size²]`: the weighted sum of products of pairs, symmetric.
    pub(super) matrix: Vec<f64>,
    /// `[size]`: of the scores themselves; rounding, and nothing else, if the coefficients are those of least squares.
    pub(super) sums: Vec<f64>,
    /// Of squared residuals.
    pub(super) residual: f64,
}

/// What scores are made of.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) standard: &'a Standard,
    pub(super) outcome: &'a Outcome<'a>,
    pub(super) coefficients: &'a [f64],
    /// Combinations of the constant and the regressors that take their place: then a score is what a row adds to a
    /// coefficient, and few scores do where few coefficients' errors are asked for.
    pub(super) directions: Option<&'a [Vec<f64>]>,
}

impl Rows<'_> {
    fn run(&self) -> usize {
        self.standard.layout.run
    }

    /// Residuals of the steps from `start`, 0 beyond the rows.
    #[inline(always)]
    fn residuals<S: Simd>(&self, simd: S, u: &mut [Step], start: usize) {
        self.outcome.lay(simd, self.standard, start, u);
        self.standard.combine(simd, u, self.coefficients, -1.0, start);
        self.standard.layout.clear_beyond(u, start, self.outcome.later.len());
    }

    /// Score `a` of the steps from `start`, whose sum is added to `sums`.
    #[inline(always)]
    fn score<S: Simd>(&self, simd: S, a: usize, (out, sums): (&mut [Step], &mut Step), u: &[Step], start: usize) {
        if let Some(directions) = self.directions {
            let mut buffer = [ZERO; CHUNK];
            let x = &mut buffer[..u.len()];
            self.standard.combine(simd, x, &directions[a], 1.0, start);
            lanes::multiply(simd, out, sums, x, u);
        } else {
            lanes::multiply(simd, out, sums, self.standard.column(a, start, u.len()), u);
        }
    }
}

/// How windows move on.
enum Windows<'a> {
    /// Each row is one.
    White,
    /// Of `held` rows, of which a lane has more.
    Rows { held: usize, filled: usize, since: usize },
    /// Of time.
    Time(Cow<'a, [i64]>, i64),
}

/// The sums of one horizon, chunk by chunk.
pub(super) struct Sums<'a> {
    rows: Rows<'a>,
    windows: Windows<'a>,
    /// By column: the scores that a window still holds and then those of a chunk.
    scores: Vec<Vec<Step>>,
    /// By column: the window before the next.
    last: Vec<Step>,
    /// By column, in the order of rows, for windows of time.
    plain: Vec<Vec<f64>>,
    /// What [`Scores`] holds, by lane.
    matrix: Vec<Step>,
    sums: Vec<Step>,
    residual: [Step; 1],
}

/// Memory that is used again.
pub(super) struct Work {
    residuals: [Step; CHUNK],
    /// By column: sums over windows that end in the chunk.
    windows: Vec<[Step; CHUNK]>,
}

impl Work {
    pub(super) fn new(size: usize) -> Self {
        Self { residuals: [ZERO; CHUNK], windows: vec![[ZERO; CHUNK]; size] }
    }
}

impl<'a> Sums<'a> {
    pub(super) fn new(work: &mut Work, rows: Rows<'a>, overlap: Overlap<'a>) -> Self {
        let (size, run) = (work.windows.len(), rows.run());
        let windows = match overlap {
            Overlap::Rows(0) => Windows::White,
            // A window longer than a lane is one of times that are whole numbers: slower, but in the order of rows.
            Overlap::Rows(wide) if wide >= run => {
                let width = i64::try_from(wide).unwrap_or(i64::MAX).min(super::MAX_SPAN) + 1;
                Windows::Time((0_i64..).take(rows.outcome.later.len()).collect(), width)
            }
            Overlap::Rows(wide) => Windows::Rows { held: wide + 1, filled: wide + 1, since: usize::MAX },
            Overlap::Time(times, width) => Windows::Time(Cow::Borrowed(&times[..rows.outcome.later.len()]), width),
        };
        let (mut scores, mut plain) = (Vec::new(), Vec::new());
        match windows {
            Windows::White => {}
            Windows::Rows { held, .. } => scores = before(work, rows, held),
            Windows::Time(..) => plain = vec![vec![0.0; run * LANES]; size],
        }
        let (matrix, none) = (vec![ZERO; size * size], vec![ZERO; size]);
        Self { rows, windows, scores, last: none.clone(), plain, matrix, sums: none, residual: [ZERO] }
    }

    /// Takes the steps from `start` on, a chunk of them or the last.
    #[inline(always)]
    fn add<S: Simd>(&mut self, simd: S, work: &mut Work, start: usize) {
        let rows = self.rows;
        let steps = CHUNK.min(rows.run() - start);
        let u = &mut work.residuals[..steps];
        rows.residuals(simd, u, start);
        lanes::add_products(simd, &mut self.residual, u, std::iter::once(&*u));
        if let Windows::Rows { held, filled, since } = &mut self.windows {
            let held = *held;
            if *filled + steps > self.scores[0].len() {
                for column in &mut self.scores {
                    column.copy_within(*filled - held..*filled, 0);
                }
                *filled = held;
            }
            // Sums are made anew now and then, so that rounding does not pile up: whenever that is a quarter of the work.
            let anew = *since >= 4 * held;
            *since = if anew { steps } else { *since + steps };
            for (a, column) in self.scores.iter_mut().enumerate() {
                let column = &mut column[*filled - held..*filled + steps];
                let (before, fresh) = column.split_at_mut(held);
                rows.score(simd, a, (fresh, &mut self.sums[a]), u, start);
                if anew {
                    self.last[a] = ZERO;
                    lanes::add(simd, &mut self.last[a], before);
                }
                lanes::roll(simd, &mut work.windows[a][..steps], column, held, &mut self.last[a]);
            }
            *filled += steps;
        } else {
            for (a, column) in work.windows.iter_mut().enumerate() {
                rows.score(simd, a, (&mut column[..steps], &mut self.sums[a]), u, start);
            }
        }
        if let Windows::Time(..) = self.windows {
            for (column, scores) in self.plain.iter_mut().zip(&work.windows) {
                for (lane, column) in column.chunks_exact_mut(rows.run()).enumerate() {
                    let cells = &mut column[start..start + steps];
                    cells.iter_mut().zip(scores).for_each(|(cell, score)| *cell = score.0[lane]);
                }
            }
        } else {
            add_outer(simd, &mut self.matrix, &work.windows, steps);
        }
    }

    /// Whether it holds the scores of every row.
    pub(super) fn holds_all(&self) -> bool {
        matches!(self.windows, Windows::Time(..))
    }

    /// When all steps have been taken.
    pub(super) fn finish(self) -> Scores {
        let size = self.sums.len();
        let mut matrix: Vec<f64> = self.matrix.iter().map(|cell| cell.sum()).collect();
        match &self.windows {
            Windows::White => {}
            Windows::Rows { held, filled, .. } => self.hanging(&mut matrix, *held, *filled),
            Windows::Time(times, width) => by_time(&mut matrix, &self.plain, times, *width),
        }
        for a in 0..size {
            for b in 0..a {
                matrix[a * size + b] = matrix[b * size + a];
            }
        }
        Scores { matrix, sums: self.sums.iter().map(|sum| sum.sum()).collect(), residual: self.residual[0].sum() }
    }

    /// Adds windows that hang over the end of the last lane, from which rows only leave.
    #[allow(clippy::cast_precision_loss)] // rows
    fn hanging(&self, matrix: &mut [f64], held: usize, filled: usize) {
        let beyond = (self.rows.outcome.later.len() + held - 1).saturating_sub(LANES * self.rows.run());
        let mut window: Vec<f64> = self.last.iter().map(|last| last.0[LANES - 1]).collect();
        for at in filled - held..filled - held + beyond {
            window.iter_mut().zip(&self.scores).for_each(|(sum, column)| *sum -= column[at].0[LANES - 1]);
            add_product(matrix, &window, 1.0);
        }
        matrix.iter_mut().for_each(|cell| *cell /= held as f64);
    }
}

/// A horizon takes the steps of a block.
pub(super) struct Take<'a, 'b> {
    pub(super) sums: &'a mut Sums<'b>,
    pub(super) work: &'a mut Work,
    pub(super) block: Range<usize>,
}

impl WithSimd for Take<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for start in self.block.step_by(CHUNK) {
            self.sums.add(simd, self.work, start);
        }
    }
}

/// The scores before each lane's first: the last of the lane before it, and nothing before the very first. The columns
/// have room for chunks after them: no fewer rows than a window has, so that what moves to the front later is no more than
/// what was worked on.
fn before(work: &mut Work, rows: Rows, held: usize) -> Vec<Vec<Step>> {
    let room = held + (4 * CHUNK).max(held);
    let mut scores = vec![vec![ZERO; room]; work.windows.len()];
    rows.standard.arch.dispatch(Before { work, rows, held, scores: &mut scores });
    scores
}

struct Before<'a, 'b> {
    work: &'a mut Work,
    rows: Rows<'b>,
    held: usize,
    scores: &'a mut [Vec<Step>],
}

impl WithSimd for Before<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (run, first) = (self.rows.run(), self.rows.run() - self.held);
        let mut unused = ZERO;
        for start in (first..run).step_by(CHUNK) {
            let u = &mut self.work.residuals[..CHUNK.min(run - start)];
            self.rows.residuals(simd, u, start);
            for (a, column) in self.scores.iter_mut().enumerate() {
                let cells = &mut column[start - first..][..u.len()];
                self.rows.score(simd, a, (cells, &mut unused), u, start);
                for cell in cells {
                    cell.0.copy_within(..LANES - 1, 1);
                    cell.0[0] = 0.0;
                }
            }
        }
    }
}

/// Adds the products of all columns, the upper half by row.
#[inline(always)]
pub(super) fn add_outer<S: Simd>(simd: S, matrix: &mut [Step], columns: &[[Step; CHUNK]], steps: usize) {
    let size = columns.len();
    for (a, x) in columns.iter().enumerate() {
        let cells = &mut matrix[a * size + a..(a + 1) * size];
        lanes::add_products(simd, cells, &x[..steps], columns[a..].iter().map(|column| &column[..steps]));
    }
}

/// Adds `weight · x xᵀ`, the upper half by row.
pub(super) fn add_product(matrix: &mut [f64], x: &[f64], weight: f64) {
    let size = x.len();
    for a in 0..size {
        let weighted = weight * x[a];
        let cells = &mut matrix[a * size + a..(a + 1) * size];
        cells.iter_mut().zip(&x[a..]).for_each(|(cell, y)| *cell += weighted * y);
    }
}

/// The window `(s − width, s]` as `s` moves on: a row enters at its time and leaves `width` later. Divided by the width at
/// once, so that the weights are those of the pairs.
#[allow(clippy::cast_precision_loss)] // spans in ns
fn by_time(matrix: &mut [f64], scores: &[Vec<f64>], at: &[i64], width: i64) {
    let (mut enters, mut leaves, mut now) = (0, 0, at[0]);
    let mut held = vec![0.0; scores.len()];
    while leaves < at.len() {
        let out = at[leaves] + width;
        let entering = enters < at.len() && at[enters] <= out;
        let next = if entering { at[enters] } else { out };
        if next > now {
            add_product(matrix, &held, (next - now) as f64 / width as f64);
            now = next;
        }
        if entering {
            held.iter_mut().zip(scores).for_each(|(held, column)| *held += column[enters]);
            enters += 1;
        } else {
            held.iter_mut().zip(scores).for_each(|(held, column)| *held -= column[leaves]);
            leaves += 1;
            if leaves == enters {
                held.fill(0.0); // nothing is in the window: no rounding either
            }
        }
    }
}
