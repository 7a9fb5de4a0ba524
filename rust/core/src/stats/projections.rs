//! Local projections: how a series answers to regressors at every horizon, with errors that count what overlaps.
//!
//! At horizon `h` the least squares of `y(t + h) − y(t + base)` on a constant and `x_1(t), …, x_k(t)` (Jordà 2005,
//! "Estimation and inference of impulse responses by local projections", American Economic Review 95(1)). All horizons
//! have the regressors in common, and their sums of products but for the rows that a longer horizon drops at the end:
//! these are added up once, from the longest horizon to the shortest. The products with the outcomes are summed in one
//! pass, chunk by chunk, while the regressors' rows are in the first cache.
//!
//! Errors are those of Newey & West (1987), "A simple, positive semi-definite, heteroskedasticity and autocorrelation
//! consistent covariance matrix", Econometrica 55(3): see [`Overlap`].

mod hac;
mod lanes;
mod solve;

#[cfg(test)]
mod tests;

use std::ops::Range;

use super::{MAX_SPAN, MAX_VALUES, StatsError, check, origin};
use lanes::{About, CHUNK, Layout, ONES, Step, ZERO};
use pulp::{Arch, Simd, WithSimd};
use solve::Factor;

/// A regressor whose part that the others (and the constant) do not explain is below this share of its variance is
/// taken for a combination of them: fewer than six digits of its coefficient would be left.
const LEAST_OWN: f64 = 1e-10;

/// Which rows' errors may depend on each other. The weights are Bartlett's: they fall in a straight line from 1 to 0, so
/// the covariance is a sum of outer products of sums over windows, and costs the same however wide these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap<'a> {
    /// Rows `l` apart with weight `1 − l/(L + 1)`. `L = 0`: each row alone, the errors of White (1980).
    Rows(usize),
    /// Rows at ascending times `t` with weight `max(0, 1 − |t_i − t_j| / width)`, in ns: for rows that are not evenly
    /// spaced. Rows of one instant have weight 1.
    Time(&'a [i64], i64),
}

/// What is known of one horizon.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    /// `[k + 1]`: the constant first, then a coefficient each regressor, in units of the outcome over those of it.
    pub coefficients: Vec<f64>,
    /// `[(k + 1)²]`, row by row: the covariance of the coefficients, without a small-sample factor; of the first `m`
    /// regressors alone, `[m²]`, where only these were asked for.
    pub covariance: Vec<f64>,
    /// Rows that were used.
    pub rows: usize,
    /// Sum of squared residuals.
    pub residual: f64,
    /// Sum of squares of the outcome about its mean.
    pub total: f64,
}

/// The outcome of one horizon: `later[t] − earlier[t]` for the first `later.len()` rows.
struct Outcome<'a> {
    later: &'a [f64],
    earlier: Option<&'a [f64]>,
}

impl Outcome<'_> {
    /// The steps from `start`, 0 beyond the rows.
    #[inline(always)]
    fn lay<S: Simd>(&self, simd: S, standard: &Standard, start: usize, out: &mut [Step]) {
        standard.layout.lay(self.later, start, out);
        if let Some(earlier) = self.earlier {
            let mut buffer = [ZERO; CHUNK];
            let buffer = &mut buffer[..out.len()];
            standard.layout.lay(&earlier[..self.later.len()], start, buffer);
            lanes::add_weighted(simd, out, 0.0, [-1.0], [&*buffer]);
        }
    }
}

/// Local projections on evenly spaced rows: of `y(t + h) − y(t + base)`, or of `y(t + h)` without a base, on the
/// regressors at `t`, for every horizon `h` with its number of overlapping rows `overlaps`.
///
/// The rows are those `t` for which `t + h`, and `t + base` if there is one, lie within the data. `k` regressors and
/// `n` rows cost `O(n k²)` once and as much a horizon; `O(n k m)` a horizon if covariances are `wanted` of the first `m`
/// regressors alone, as of a shock among controls.
///
/// # Errors
/// [`StatsError`] if there is no horizon or no regressor, a column differs in length or is not finite, there are no more
/// rows than coefficients, or a regressor is constant or a combination of the others.
pub fn projections(
    y: &[f64],
    regressors: &[&[f64]],
    base: Option<i64>,
    horizons: &[usize],
    overlaps: &[usize],
    wanted: Option<usize>,
) -> Result<Vec<Projection>, StatsError> {
    let n = y.len();
    check_columns(y, regressors)?;
    if horizons.len() != overlaps.len() {
        return Err(StatsError::Lengths { series: "overlaps", times: horizons.len(), values: overlaps.len() });
    }
    let Some(&longest) = horizons.iter().max() else { return Err(StatsError::Empty { series: "horizons" }) };
    let offset = |base: i64| usize::try_from(base.unsigned_abs()).unwrap_or(usize::MAX);
    let first = base.map_or(0, |b| if b < 0 { offset(b) } else { 0 });
    let after = base.map_or(0, |b| if b > 0 { offset(b) } else { 0 });
    let reach = longest.max(after).checked_add(first);
    if reach.and_then(|reach| n.checked_sub(reach)).is_none_or(|rows| rows <= regressors.len() + 1) {
        return Err(StatsError::Grid { expected: "more rows after the longest horizon than coefficients" });
    }
    let regressors: Vec<&[f64]> = regressors.iter().map(|x| &x[first..]).collect();
    let outcomes: Vec<Outcome> = horizons
        .iter()
        .map(|&h| {
            let rows = n - first - h.max(after);
            let earlier = base.map(|b| if b < 0 { &y[..rows] } else { &y[offset(b)..][..rows] });
            Outcome { later: &y[first + h..][..rows], earlier }
        })
        .collect();
    let overlaps: Vec<Overlap> = overlaps.iter().map(|&rows| Overlap::Rows(rows)).collect();
    fit(&regressors, &outcomes, &overlaps, wanted)
}

/// What [`event_projections`] finds.
#[derive(Clone, Debug, PartialEq)]
pub struct EventProjections {
    /// A projection for each offset.
    pub projections: Vec<Projection>,
    /// Events left out because nothing was observed before them.
    pub dropped: usize,
}

/// Local projections at irregular times: of `value(e + τ) − value(e⁻)` on the events' regressors, for every offset `τ`.
///
/// `value(t)` is the last observation at or before `t`, `value(e⁻)` the last strictly before the event, as in
/// [`response`](super::response()). The events of an offset are those whose window `[e, e + τ]` the series covers. Errors
/// overlap within `widths` (ns, one for each offset, 1 or more) as in [`Overlap::Time`]. Times ascend, ties allowed;
/// offsets are not negative.
///
/// # Errors
/// As [`projections`], and if times or offsets descend, or times span more than [`MAX_SPAN`].
pub fn event_projections(
    event_times: &[i64],
    regressors: &[&[f64]],
    times: &[i64],
    values: &[f64],
    offsets: &[i64],
    widths: &[i64],
) -> Result<EventProjections, StatsError> {
    check("series", times, values)?;
    if event_times.is_empty() {
        return Err(StatsError::Empty { series: "events" });
    }
    if regressors.is_empty() {
        return Err(StatsError::Empty { series: "regressors" });
    }
    for x in regressors {
        check("events", event_times, x)?;
    }
    if offsets.len() != widths.len() {
        return Err(StatsError::Lengths { series: "widths", times: offsets.len(), values: widths.len() });
    }
    let (Some(&lowest), Some(&highest)) = (offsets.first(), offsets.last()) else {
        return Err(StatsError::Empty { series: "offsets" });
    };
    if lowest < 0 || highest > MAX_SPAN || !offsets.is_sorted() {
        return Err(StatsError::Grid { expected: "ascending offsets of 0 to 2^60 ns" });
    }
    if !widths.iter().all(|width| (1..=MAX_SPAN).contains(width)) {
        return Err(StatsError::Grid { expected: "widths of 1 to 2^60 ns" });
    }
    if offsets.len().checked_mul(event_times.len()).is_none_or(|size| size > MAX_VALUES) {
        return Err(StatsError::Grid { expected: "at most 2^27 values of events times offsets" });
    }
    let origin = origin(event_times, times)?;
    let first = event_times.partition_point(|&event| event <= times[0]);
    let known = &event_times[first..];
    let mut next = 0;
    let before: Vec<f64> = known
        .iter()
        .map(|&event| {
            next += times[next..].partition_point(|&time| time < event);
            values[next - 1] // an observation lies strictly before each of them
        })
        .collect();
    let last = times[times.len() - 1] - origin;
    let outcomes: Vec<Vec<f64>> = offsets
        .iter()
        .map(|&offset| {
            let mut next = 0;
            let covered = known.iter().zip(&before).take_while(|&(&event, _)| event - origin + offset <= last);
            covered
                .map(|(&event, before)| {
                    let at = event - origin + offset;
                    while next < times.len() && times[next] - origin <= at {
                        next += 1;
                    }
                    values[next - 1] - before
                })
                .collect()
        })
        .collect();
    if outcomes.iter().map(Vec::len).min().unwrap_or(0) <= regressors.len() + 1 {
        return Err(StatsError::Grid { expected: "more events that the series covers than coefficients" });
    }
    let regressors: Vec<&[f64]> = regressors.iter().map(|x| &x[first..]).collect();
    let relative: Vec<i64> = known.iter().map(|event| event - origin).collect();
    let outcomes: Vec<Outcome> = outcomes.iter().map(|later| Outcome { later, earlier: None }).collect();
    let overlaps: Vec<Overlap> = widths.iter().map(|&width| Overlap::Time(&relative, width)).collect();
    Ok(EventProjections { projections: fit(&regressors, &outcomes, &overlaps, None)?, dropped: first })
}

fn check_columns(y: &[f64], regressors: &[&[f64]]) -> Result<(), StatsError> {
    if y.is_empty() {
        return Err(StatsError::Empty { series: "outcome" });
    }
    if regressors.is_empty() {
        return Err(StatsError::Empty { series: "regressors" });
    }
    for x in regressors {
        if x.len() != y.len() {
            return Err(StatsError::Lengths { series: "regressors", times: y.len(), values: x.len() });
        }
    }
    for (series, x) in std::iter::once(("outcome", y)).chain(regressors.iter().map(|&x| ("regressors", x))) {
        // Looked for only where there is one: the first loop is that of vectors.
        if x.iter().fold(false, |found, value| found | !value.is_finite()) {
            let index = x.iter().position(|value| !value.is_finite()).unwrap_or(0);
            return Err(StatsError::NotFinite { series, index });
        }
    }
    Ok(())
}

/// Regressors about their means in units of their deviation, so that their products are correlations: a price of 60,000
/// that moves by 1 loses no digits beside a constant.
struct Standard {
    columns: Vec<Vec<Step>>,
    means: Vec<f64>,
    scales: Vec<f64>,
    layout: Layout,
    /// The processor's vectors.
    arch: Arch,
}

impl Standard {
    /// Means and deviations are those of the first `rows`.
    #[allow(clippy::cast_precision_loss)] // rows
    fn new(regressors: &[&[f64]], rows: usize) -> Result<Self, StatsError> {
        let (layout, arch) = (Layout::of(regressors.first().map_or(0, |x| x.len())), Arch::new());
        let mut found = Self { columns: Vec::new(), means: Vec::new(), scales: Vec::new(), layout, arch };
        for (index, x) in regressors.iter().enumerate() {
            // Twice, so that the mean of what is left is 0 however large the first was.
            let known = &x[..rows];
            let [sum, _] = arch.dispatch(About(known, 0.0));
            let rough = sum / rows as f64;
            let [away, squares] = arch.dispatch(About(known, rough));
            let rest = away / rows as f64;
            let scale = (squares / rows as f64 - rest * rest).sqrt();
            // Of a constant only rounding is left.
            if !(scale.is_finite() && scale > 1e-13 * rough.abs() && scale > 0.0) {
                return Err(StatsError::Singular { column: index });
            }
            let (mut column, unit) = (vec![ZERO; layout.run], 1.0 / scale);
            layout.lay(x, 0, &mut column);
            column.iter_mut().flat_map(|step| &mut step.0).for_each(|x| *x = (*x - rough - rest) * unit);
            found.columns.push(column);
            found.means.push(rough + rest);
            found.scales.push(scale);
        }
        Ok(found)
    }

    /// The constant, or a regressor, in the steps from `start`.
    fn column(&self, a: usize, start: usize, steps: usize) -> &[Step] {
        a.checked_sub(1).map_or(&ONES[..steps], |a| &self.columns[a][start..start + steps])
    }

    /// Adds `sign · (weights_0 + Σ weights_k z_k)` to the steps from `start`.
    #[inline(always)]
    fn combine<S: Simd>(&self, simd: S, out: &mut [Step], weights: &[f64], sign: f64, start: usize) {
        let mut constant = sign * weights[0];
        let steps = start..start + out.len();
        let (fours, rest) = self.columns.as_chunks::<4>();
        let (weights, rest_weights) = weights[1..].as_chunks::<4>();
        for (columns, weights) in fours.iter().zip(weights) {
            let columns = columns.each_ref().map(|column| &column[steps.clone()]);
            lanes::add_weighted(simd, out, constant, weights.map(|weight| sign * weight), columns);
            constant = 0.0;
        }
        for (column, &weight) in rest.iter().zip(rest_weights) {
            lanes::add_weighted(simd, out, constant, [sign * weight], [&column[steps.clone()]]);
            constant = 0.0;
        }
    }

    /// The constant and the regressors of a row.
    fn row(&self, row: usize) -> impl Iterator<Item = f64> {
        let (lane, step) = (row / self.layout.run, row % self.layout.run);
        std::iter::once(1.0).chain(self.columns.iter().map(move |column| column[step].0[lane]))
    }

    /// Adds the products of more rows.
    fn add_products(&self, products: &mut [f64], rows: Range<usize>) {
        let mut values = Vec::new();
        for row in rows {
            values.clear();
            values.extend(self.row(row));
            hac::add_product(products, &values, 1.0);
        }
    }
}

/// Products of the constant and the regressors over the first `rows`, the upper half by row.
struct Products<'a>(&'a Standard, usize);

impl WithSimd for Products<'_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f64> {
        let Self(standard, rows) = self;
        let size = standard.columns.len() + 1;
        let mut products = vec![ZERO; size * size];
        let mut buffer = vec![[ZERO; CHUNK]; size];
        for start in (0..standard.layout.run).step_by(CHUNK) {
            let steps = CHUNK.min(standard.layout.run - start);
            for (a, buffer) in buffer.iter_mut().enumerate() {
                buffer[..steps].copy_from_slice(standard.column(a, start, steps));
                standard.layout.clear_beyond(&mut buffer[..steps], start, rows);
            }
            hac::add_outer(simd, &mut products, &buffer, steps);
        }
        products.into_iter().map(Step::sum).collect()
    }
}

/// Adds of an outcome's steps in a block the products with the constant and the regressors, and at last with itself.
struct RightSide<'a> {
    standard: &'a Standard,
    outcome: &'a Outcome<'a>,
    sums: &'a mut [Step],
    block: Range<usize>,
}

impl WithSimd for RightSide<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut y = [ZERO; CHUNK];
        for start in self.block.clone().step_by(CHUNK) {
            let y = &mut y[..CHUNK.min(self.block.end - start)];
            self.outcome.lay(simd, self.standard, start, y);
            let columns = (0..=self.standard.columns.len()).map(|a| self.standard.column(a, start, y.len()));
            lanes::add_products(simd, self.sums, y, columns.chain([&*y]));
        }
    }
}

#[allow(clippy::cast_precision_loss)] // rows
fn fit(
    regressors: &[&[f64]],
    outcomes: &[Outcome],
    overlaps: &[Overlap],
    wanted: Option<usize>,
) -> Result<Vec<Projection>, StatsError> {
    let size = regressors.len() + 1;
    if wanted.is_some_and(|wanted| !(1..size).contains(&wanted)) {
        return Err(StatsError::Grid {
            expected: "covariances of one regressor or more, and of no more than there are",
        });
    }
    if size.checked_mul(size).and_then(|cells| cells.checked_mul(outcomes.len())).is_none_or(|all| all > MAX_VALUES) {
        return Err(StatsError::Grid { expected: "at most 2^27 covariances of coefficients and horizons" });
    }
    let longest = outcomes.iter().map(|outcome| outcome.later.len()).max().unwrap_or(0);
    let common = outcomes.iter().map(|outcome| outcome.later.len()).min().unwrap_or(0);
    let regressors: Vec<&[f64]> = regressors.iter().map(|x| &x[..longest]).collect();
    let standard = Standard::new(&regressors, common)?;

    // From the longest horizon, which has the fewest rows, to the shortest: rows are only added.
    let mut order: Vec<usize> = (0..outcomes.len()).collect();
    order.sort_by_key(|&h| outcomes[h].later.len());
    let mut products = standard.arch.dispatch(Products(&standard, common));
    let mut summed = common;
    let mut factors: Vec<Option<Factor>> = outcomes.iter().map(|_| None).collect();
    for &h in &order {
        let rows = outcomes[h].later.len();
        standard.add_products(&mut products, summed..rows);
        summed = rows;
        factors[h] = Some(Factor::new(&products, size, rows as f64 * LEAST_OWN)?);
    }

    // Horizon after horizon works on a block of rows while it is in the cache.
    let run = standard.layout.run;
    let mut right = vec![vec![ZERO; size + 1]; outcomes.len()];
    for block in blocks(run) {
        for (sums, outcome) in right.iter_mut().zip(outcomes) {
            standard.arch.dispatch(RightSide { standard: &standard, outcome, sums, block: block.clone() });
        }
    }
    let right: Vec<Vec<f64>> = right.iter().map(|sums| sums.iter().map(|sum| sum.sum()).collect()).collect();
    let horizons: Vec<Horizon> = outcomes
        .iter()
        .zip(factors.into_iter().flatten())
        .zip(&right)
        .map(|((outcome, factor), right)| {
            let directions = wanted.map(|wanted| (1..=wanted).map(|a| factor.column(a)).collect());
            Horizon { outcome, coefficients: factor.solve(&right[..size]), factor, directions }
        })
        .collect();
    let mut work = hac::Work::new(wanted.unwrap_or(size));
    let mut found = Vec::with_capacity(outcomes.len());
    let mut sums: Vec<hac::Sums> = Vec::new();
    for (at, (horizon, &overlap)) in horizons.iter().zip(overlaps).enumerate() {
        sums.push(hac::Sums::new(&mut work, horizon.rows(&standard), overlap));
        // A few at a time, which bounds their memory; those that hold every row's scores one at a time.
        let full = sums.len() == TOGETHER || sums.iter().any(hac::Sums::holds_all) || at + 1 == horizons.len();
        if !full {
            continue;
        }
        for block in blocks(run) {
            for sums in &mut sums {
                standard.arch.dispatch(hac::Take { sums, work: &mut work, block: block.clone() });
            }
        }
        for sums in sums.drain(..) {
            let at = found.len();
            found.push(horizons[at].projection(&standard, sums.finish(), &right[at]));
        }
    }
    Ok(found)
}

/// Horizons that are worked on together.
const TOGETHER: usize = 16;

/// Steps whose columns stay in the second cache.
const BLOCK: usize = 16 * CHUNK;

fn blocks(run: usize) -> impl Iterator<Item = Range<usize>> {
    (0..run).step_by(BLOCK).map(move |start| start..(start + BLOCK).min(run))
}

/// A horizon whose coefficients are known.
struct Horizon<'a> {
    outcome: &'a Outcome<'a>,
    factor: Factor,
    coefficients: Vec<f64>,
    directions: Option<Vec<Vec<f64>>>,
}

impl Horizon<'_> {
    fn rows<'a>(&'a self, standard: &'a Standard) -> hac::Rows<'a> {
        let directions = self.directions.as_deref();
        hac::Rows { standard, outcome: self.outcome, coefficients: &self.coefficients, directions }
    }

    #[allow(clippy::cast_precision_loss)] // rows
    fn projection(&self, standard: &Standard, scores: hac::Scores, right: &[f64]) -> Projection {
        let (rows, size) = (self.outcome.later.len(), self.coefficients.len());
        let mut coefficients = self.coefficients.clone();
        // One step of refinement: what the residuals still have in common with the regressors.
        let covariance = if let Some(directions) = &self.directions {
            let wanted = directions.len();
            coefficients[1..].iter_mut().zip(&scores.sums).for_each(|(one, rest)| *one += rest);
            let mut covariance = scores.matrix;
            for (at, cell) in covariance.iter_mut().enumerate() {
                *cell /= standard.scales[at / wanted] * standard.scales[at % wanted];
            }
            standard.coefficients_back(&mut coefficients);
            covariance
        } else {
            let rest = self.factor.solve(&scores.sums);
            coefficients.iter_mut().zip(&rest).for_each(|(one, rest)| *one += rest);
            let mut covariance = self.factor.sandwich(&scores.matrix);
            standard.coefficients_back(&mut coefficients);
            standard.covariance_back(&mut covariance, size);
            covariance
        };
        let mean = right[0] / rows as f64;
        let total = (right[size] - rows as f64 * mean * mean).max(0.0);
        Projection { coefficients, covariance, rows, residual: scores.residual, total }
    }
}

impl Standard {
    /// From units of deviations about means to those of the columns.
    fn coefficients_back(&self, coefficients: &mut [f64]) {
        for ((a, scale), mean) in (1..coefficients.len()).zip(&self.scales).zip(&self.means) {
            coefficients[a] /= scale;
            coefficients[0] -= mean * coefficients[a];
        }
    }

    /// The same of their covariance.
    fn covariance_back(&self, covariance: &mut [f64], size: usize) {
        for (a, scale) in (1..size).zip(&self.scales) {
            for b in 0..size {
                covariance[a * size + b] /= scale;
                covariance[b * size + a] /= scale;
            }
        }
        // constant = constant about the means − Σ mean · coefficient
        for (a, mean) in (1..size).zip(&self.means) {
            for b in 0..size {
                covariance[b] -= mean * covariance[a * size + b];
            }
        }
        let row: Vec<f64> = covariance[..size].to_vec();
        let mut own = row[0];
        for (a, mean) in (1..size).zip(&self.means) {
            own -= mean * row[a];
            covariance[a * size] = row[a];
        }
        covariance[0] = own;
    }
}
