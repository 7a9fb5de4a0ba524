//! Sums of products of lagged series, for every lag at once: what vector autoregressions and error corrections of every
//! order are computed from.
//!
//! With `k` series and lags `0..=P` the moment matrix has `(k(P + 1))²` entries, but that of lags `(i, j)` is that of
//! `(i − 1, j − 1)` but for one row that enters at the front and one that leaves at the back:
//!
//! `M(i, j) = M(i − 1, j − 1) + x(P − i) x(P − j)ᵀ − x(N − i) x(N − j)ᵀ`
//!
//! (the covariance method of linear prediction: Morf, Dickinson, Kailath & Vieira 1977, "Efficient solution of covariance
//! equations for linear prediction", IEEE ASSP 25). So only lag 0 against the others is summed over the data, in one
//! pass: `O(N k² P + k² P²)` instead of `O(N k² P²)`.

use super::{MAX_VALUES, StatsError};

/// Rows that are summed at a time: their columns stay in the first cache, and partial sums keep rounding small.
const CHUNK: usize = 1024;

/// What [`lagged_moments`] finds.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// `[size × size]`, row by row, symmetric, with `size = extras + series · (lags + 1)`: sums over rows
    /// `t = lags .. N` of products of the regressors `extra_0(t), …, x_0(t), …, x_k(t), x_0(t − 1), …, x_k(t − lags)`.
    pub matrix: Vec<f64>,
    /// Rows and columns of the matrix.
    pub size: usize,
    /// Rows of the data in each sum: `N − lags`.
    pub rows: usize,
}

/// The moments of `series` at lags 0 to `lags` and of `extras`, which are not lagged (a constant, an error-correction
/// term), over the rows for which every lag is known.
///
/// # Errors
/// [`StatsError`] if there is no series, a column is empty, differs in length or is not finite, or there are no more
/// rows than lags, or the matrix would exceed [`MAX_VALUES`].
pub fn lagged_moments(series: &[&[f64]], extras: &[&[f64]], lags: usize) -> Result<Moments, StatsError> {
    let n = series.first().map_or(0, |x| x.len());
    for (name, columns) in [("series", series), ("extras", extras)] {
        for x in columns {
            if x.len() != n {
                return Err(StatsError::Lengths { series: name, times: n, values: x.len() });
            }
            if let Some(index) = x.iter().position(|value| !value.is_finite()) {
                return Err(StatsError::NotFinite { series: name, index });
            }
        }
    }
    if n == 0 {
        return Err(StatsError::Empty { series: "series" });
    }
    if n <= lags {
        return Err(StatsError::Grid { expected: "more rows than lags" });
    }
    let (k, q) = (series.len(), extras.len());
    let too_large = StatsError::Grid { expected: "at most 2^27 products of series, lags and extras" };
    let size = lags.checked_add(1).and_then(|lags| lags.checked_mul(k)).and_then(|size| size.checked_add(q));
    let size = size.filter(|&size| size.checked_mul(size).is_some_and(|cells| cells <= MAX_VALUES)).ok_or(too_large)?;

    let mut matrix = vec![0.0; size * size];
    for start in (lags..n).step_by(CHUNK) {
        let rows = start..(start + CHUNK).min(n);
        for a in 0..q + k {
            let unlagged = if a < q { &extras[a][rows.clone()] } else { &series[a - q][rows.clone()] };
            let line = &mut matrix[a * size..][..size];
            for (cell, extra) in line[..q].iter_mut().zip(extras) {
                *cell += dot(unlagged, &extra[rows.clone()]);
            }
            for (lag, cells) in line[q..].chunks_exact_mut(k).enumerate() {
                for (cell, x) in cells.iter_mut().zip(series) {
                    *cell += dot(unlagged, &x[rows.start - lag..rows.end - lag]);
                }
            }
        }
    }
    // Down the diagonals.
    for i in 1..=lags {
        for (a, x) in series.iter().enumerate() {
            let row = q + i * k + a;
            for j in i..=lags {
                for (b, y) in series.iter().enumerate() {
                    let column = q + j * k + b;
                    matrix[row * size + column] =
                        matrix[(row - k) * size + column - k] + (x[lags - i] * y[lags - j] - x[n - i] * y[n - j]);
                }
            }
        }
    }
    for row in 0..size {
        for column in row + 1..size {
            matrix[column * size + row] = matrix[row * size + column];
        }
    }
    Ok(Moments { matrix, size, rows: n - lags })
}

/// The inner product, in eight sums at a time so that the processor can add them side by side.
fn dot(x: &[f64], y: &[f64]) -> f64 {
    let (x_eights, x_rest) = x.as_chunks::<8>();
    let (y_eights, y_rest) = y.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (x, y) in x_eights.iter().zip(y_eights) {
        for (sum, (x, y)) in sums.iter_mut().zip(x.iter().zip(y)) {
            *sum += x * y;
        }
    }
    let rest: f64 = x_rest.iter().zip(y_rest).map(|(x, y)| x * y).sum();
    ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7])) + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moments_of_a_short_series_are_those_counted_by_hand() {
        // Rows t = 1, 2 of x = 1, 2, 4: regressors (1, x(t), x(t − 1)) = (1, 2, 1), (1, 4, 2).
        let found = lagged_moments(&[&[1.0, 2.0, 4.0]], &[&[1.0; 3]], 1).expect("three rows");
        assert_eq!(found.matrix, [2.0, 6.0, 3.0, 6.0, 20.0, 10.0, 3.0, 10.0, 5.0]);
        assert_eq!((found.size, found.rows), (3, 2));
    }

    #[test]
    fn bad_columns_say_what_is_wrong_and_where() {
        let refused = |series: &[&[f64]], extras: &[&[f64]], lags| lagged_moments(series, extras, lags).err();
        assert_eq!(refused(&[], &[], 0), Some(StatsError::Empty { series: "series" }));
        assert_eq!(refused(&[&[]], &[], 0), Some(StatsError::Empty { series: "series" }));
        let lengths = StatsError::Lengths { series: "extras", times: 2, values: 1 };
        assert_eq!(refused(&[&[1.0; 2]], &[&[1.0]], 0), Some(lengths));
        let infinite = StatsError::NotFinite { series: "series", index: 1 };
        assert_eq!(refused(&[&[1.0, f64::INFINITY]], &[], 0), Some(infinite));
        for lags in [2, usize::MAX] {
            assert!(matches!(refused(&[&[1.0; 2]], &[], lags), Some(StatsError::Grid { .. })));
        }
        let long = vec![1.0; 20_000];
        assert!(matches!(refused(&[&long], &[], 15_000), Some(StatsError::Grid { .. })));
    }
}
