//! Kernels over irregular time series: lead–lag, event response, rolling order statistics.
//!
//! Plain slices in, plain vectors out, all times in integer nanoseconds. Nothing is put on a grid of time first:
//! sampling biases exactly what these kernels measure.

use thiserror::Error;

pub mod decay;
pub mod feedback;
pub mod flow;
pub mod hawkes;
pub mod kalman;
pub mod lead_lag;
pub mod moments;
pub mod ou;
pub mod posting;
pub mod projections;
pub mod random;
pub mod response;
pub mod rolling;

pub use feedback::{Feedback, feedback};
pub use flow::{FlowRows, FlowScan, OrderFlow};
pub use lead_lag::{Contrast, HayashiYoshida, LagGrid, Peak, Steps};
pub use moments::{Moments, lagged_moments};
pub use projections::{EventProjections, Overlap, Projection, event_projections, projections};
pub use response::{Response, response};
pub use rolling::RollingMedian;

/// The longest distance between two times, and the largest lag or offset: 2^60 ns, 36 years. Sums of four such
/// quantities fit an `i64`, so the loops need no checks.
pub const MAX_SPAN: i64 = 1 << 60;

/// The most values one result matrix may hold (1 GiB), so that a tiny block is an error and not an exhausted machine.
pub const MAX_VALUES: usize = 1 << 27;

/// Why a kernel refuses its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StatsError {
    /// Two columns of one table differ in length.
    #[error("{series}: expected as many values as times, found {values} values and {times} times")]
    Lengths {
        /// Which input.
        series: &'static str,
        /// Length of the time column.
        times: usize,
        /// Length of the value column.
        values: usize,
    },
    /// A time lies before its predecessor.
    #[error("{series}: expected ascending times, found one before its predecessor at index {index}")]
    NotAscending {
        /// Which input.
        series: &'static str,
        /// Index of the offending time.
        index: usize,
    },
    /// A value is NaN or infinite.
    #[error("{series}: expected finite values, found one that is not at index {index}")]
    NotFinite {
        /// Which input.
        series: &'static str,
        /// Index of the offending value.
        index: usize,
    },
    /// No observations.
    #[error("{series}: expected at least one observation, found none")]
    Empty {
        /// Which input.
        series: &'static str,
    },
    /// A regressor adds nothing: it is constant, or a combination of a constant and those before it.
    #[error("expected regressors that are no combinations of each other and a constant, found that of index {column}")]
    Singular {
        /// Index of the regressor.
        column: usize,
    },
    /// The lags, offsets or blocks make no grid.
    #[error("expected {expected}")]
    Grid {
        /// What would have been right.
        expected: &'static str,
    },
    /// The times span too much.
    #[error("expected times within 2^60 ns (36 years) of each other")]
    Span,
}

/// Checks one series: not empty, equal lengths, times ascending (ties allowed), values finite.
fn check(series: &'static str, times: &[i64], values: &[f64]) -> Result<(), StatsError> {
    if times.len() != values.len() {
        return Err(StatsError::Lengths { series, times: times.len(), values: values.len() });
    }
    if times.is_empty() {
        return Err(StatsError::Empty { series });
    }
    if let Some(index) = times.windows(2).position(|pair| pair[1] < pair[0]) {
        return Err(StatsError::NotAscending { series, index: index + 1 });
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(StatsError::NotFinite { series, index }),
        None => Ok(()),
    }
}

/// The first of all times, once it is known that every distance fits. Both slices ascend and are not empty.
fn origin(a: &[i64], b: &[i64]) -> Result<i64, StatsError> {
    let first = a[0].min(b[0]);
    let last = a[a.len() - 1].max(b[b.len() - 1]);
    match last.checked_sub(first) {
        Some(span) if span <= MAX_SPAN => Ok(first),
        _ => Err(StatsError::Span),
    }
}

/// A block length that makes blocks.
fn check_block(block: i64) -> Result<(), StatsError> {
    if (1..=MAX_SPAN).contains(&block) {
        Ok(())
    } else {
        Err(StatsError::Grid { expected: "a block of 1 ns to 2^60 ns" })
    }
}

/// A quotient of numbers that are known to be non-negative and to index memory.
#[allow(clippy::cast_possible_truncation)] // 64-bit machines; on smaller ones `MAX_VALUES` bounds what is indexed
fn index(numerator: i64, divisor: i64) -> usize {
    (numerator / divisor).cast_unsigned() as usize
}

/// The sum of the rows of a matrix that lies row by row, `[width]`.
fn column_sums(matrix: &[f64], width: usize) -> Vec<f64> {
    let mut total = vec![0.0; width];
    for row in matrix.chunks_exact(width) {
        total.iter_mut().zip(row).for_each(|(sum, part)| *sum += part);
    }
    total
}
