//! Hawkes processes: events of several types, each of which raises the rate of every type for a while.
//!
//! `λ_i(t) = μ_i + Σ_j Σ_u Σ_{t_k^j < t} α_iju β_u exp(-β_u (t - t_k^j))`: type `j` excites type `i`. `α_iju` is the
//! expected number of events of type `i` that one of type `j` causes directly through component `u`, so the matrix of
//! `Σ_u α_iju` is the branching matrix; decays `β_u` are shared by all pairs, weights are not. Rates are per second.
//! Hawkes (1971), "Spectra of some self-exciting and mutually exciting point processes", Biometrika 58(1); the
//! recursion that makes everything here `O(n)` is Ogata's (1981), "On Lewis' simulation method for point processes",
//! IEEE Transactions on Information Theory 27(1).

use thiserror::Error;

pub mod likelihood;
pub mod path;
pub mod simulate;

pub use likelihood::{Gradient, Information};
pub use path::Residuals;
pub use simulate::{Path, Until};

use super::{MAX_SPAN, StatsError};

/// The most types of events.
pub const MAX_TYPES: usize = 16;
/// The most components of a kernel.
pub const MAX_COMPONENTS: usize = 4;

/// Why events or parameters make no Hawkes process.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum HawkesError {
    /// The events themselves.
    #[error(transparent)]
    Events(#[from] StatsError),
    /// More types or components than the kernels are built for, or none.
    #[error("expected 1 to 16 types and 1 to 4 components, found {types} and {components}")]
    Dimensions {
        /// Types of events.
        types: usize,
        /// Components of the kernel.
        components: usize,
    },
    /// A vector of parameters is too short or too long.
    #[error("{name}: expected {expected} values, found {found}")]
    Count {
        /// Which.
        name: &'static str,
        /// How many there should be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A parameter lies outside of its range.
    #[error("{name}: expected {range}, found {value} at index {index}")]
    Range {
        /// Which.
        name: &'static str,
        /// Where in it.
        index: usize,
        /// The value.
        value: f64,
        /// What is allowed.
        range: &'static str,
    },
    /// An event's type is none of the process.
    #[error("types: expected types below {types}, found {found} at index {index}")]
    Type {
        /// How many types there are.
        types: usize,
        /// The type.
        found: u32,
        /// Index of the event.
        index: usize,
    },
    /// An event lies outside of the time observed.
    #[error("times: expected events in (start, end], found one that is not at index {index}")]
    Outside {
        /// Index of the event.
        index: usize,
    },
    /// The time observed has no length.
    #[error("expected an end after the start, at most 2^60 ns (36 years) later")]
    Span,
    /// A simulation has no end, or grew past its limit of events before its time was over.
    #[error("expected at most {limit} events, found more: raise the limit, or the process explodes (spectral radius)")]
    Limit {
        /// The most events that were allowed.
        limit: usize,
    },
}

/// The parameters of a process of `types` types and `components` components.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    types: usize,
    components: usize,
    baseline: Vec<f64>,
    /// `[i][j][u]`, row by row: the effect of `j` on `i`.
    adjacency: Vec<f64>,
    decays: Vec<f64>,
}

impl Parameters {
    /// Checks parameters: `baseline` `[types]` in events per second, above 0; `adjacency` `[types × types × components]`,
    /// dimensionless, not negative, `[i][j][u]` the effect of `j` on `i`; `decays` `[components]` per second, above 0.
    ///
    /// # Errors
    /// [`HawkesError`] if a length or a value is not as said.
    pub fn new(baseline: &[f64], adjacency: &[f64], decays: &[f64]) -> Result<Self, HawkesError> {
        let (types, components) = (baseline.len(), decays.len());
        if !(1..=MAX_TYPES).contains(&types) || !(1..=MAX_COMPONENTS).contains(&components) {
            return Err(HawkesError::Dimensions { types, components });
        }
        let expected = types * types * components;
        if adjacency.len() != expected {
            return Err(HawkesError::Count { name: "adjacency", expected, found: adjacency.len() });
        }
        let range = |name, values: &[f64], range, allowed: fn(f64) -> bool| match values
            .iter()
            .position(|&value| !(allowed(value) && value <= 1e12))
        {
            Some(index) => Err(HawkesError::Range { name, index, value: values[index], range }),
            None => Ok(()),
        };
        range("baseline", baseline, "1e-12 to 1e12 per second", |value| value >= 1e-12)?;
        range("adjacency", adjacency, "0 to 1e12", |value| value >= 0.0)?;
        range("decays", decays, "1e-12 to 1e12 per second", |value| value >= 1e-12)?;
        Ok(Self {
            types,
            components,
            baseline: baseline.to_vec(),
            adjacency: adjacency.to_vec(),
            decays: decays.to_vec(),
        })
    }

    /// How many types of events.
    #[must_use]
    pub fn types(&self) -> usize {
        self.types
    }

    /// How many exponentials a kernel is the sum of.
    #[must_use]
    pub fn components(&self) -> usize {
        self.components
    }

    /// How many numbers there are in all: baseline, adjacency, decays.
    #[must_use]
    pub fn count(&self) -> usize {
        self.baseline.len() + self.adjacency.len() + self.decays.len()
    }

    /// The same in arrays of fixed size, so that the loops unroll. What is added never occurs and excites nothing.
    fn padded<const D: usize, const U: usize>(&self) -> Padded<D, U> {
        let mut padded = Padded { baseline: [0.0; D], adjacency: [[[0.0; U]; D]; D], decays: [1.0; U] };
        padded.baseline[..self.types].copy_from_slice(&self.baseline);
        padded.decays[..self.components].copy_from_slice(&self.decays);
        for (row, block) in padded.adjacency.iter_mut().zip(self.adjacency.chunks(self.types * self.components)) {
            for (cell, weights) in row.iter_mut().zip(block.chunks(self.components)) {
                cell[..self.components].copy_from_slice(weights);
            }
        }
        padded
    }
}

/// [`Parameters`] in arrays.
#[derive(Clone, Copy)]
struct Padded<const D: usize, const U: usize> {
    baseline: [f64; D],
    adjacency: [[[f64; U]; D]; D],
    decays: [f64; U],
}

/// Calls a method of two const parameters with the smallest arrays that hold the process.
macro_rules! dispatch {
    ($parameters:expr, $this:ident . $method:ident ( $($argument:expr),* )) => {
        dispatch!(@ $parameters, $this, $method, ($($argument),*), 1 2 4 8 16)
    };
    (@ $parameters:expr, $this:ident, $method:ident, $arguments:tt, $($d:literal)*) => {
        match ($parameters.types(), $parameters.components()) {
            $(
                (0..=$d, 1) => dispatch!(@@ $this, $method, $arguments, $d, 1),
                (0..=$d, 2) => dispatch!(@@ $this, $method, $arguments, $d, 2),
                (0..=$d, _) => dispatch!(@@ $this, $method, $arguments, $d, 4),
            )*
            _ => unreachable!("`Parameters` holds at most 16 types"),
        }
    };
    (@@ $this:ident, $method:ident, ($($argument:expr),*), $d:literal, $u:literal) => {
        $this.$method::<$d, $u>($($argument),*)
    };
}
use dispatch;

/// What events of one instant do to each other. Exchanges stamp with some resolution, so equal times are common, and
/// the likelihood is not defined without a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ties {
    /// Nothing: an event excites what comes strictly later, as the definition of the intensity has it.
    #[default]
    Strict,
    /// They stand in the order in which they are given, an infinitesimal time apart: each excites those after it.
    Ordered,
}

/// Events of several types, checked, over an interval `(start, end]` in which all were observed. Nothing is known before
/// the start, and nothing excites from there.
#[derive(Clone, Debug)]
pub struct Events {
    /// Seconds since the event before (of the first: since the start).
    gaps: Vec<f64>,
    types: Vec<u32>,
    counts: [u64; MAX_TYPES],
    /// Seconds from the last event to the end.
    rest: f64,
    /// Seconds from start to end.
    length: f64,
    ties: Ties,
}

impl Events {
    /// Takes events: `times` in ns, ascending (ties allowed), `types` from 0; `start` and `end` in ns.
    ///
    /// # Errors
    /// [`HawkesError`] if lengths differ, times descend or lie outside of `(start, end]`, a type is not below
    /// [`MAX_TYPES`], or the interval has no length.
    pub fn new(times: &[i64], types: &[u32], start: i64, end: i64, ties: Ties) -> Result<Self, HawkesError> {
        if times.len() != types.len() {
            let series = "types";
            return Err(StatsError::Lengths { series, times: times.len(), values: types.len() }.into());
        }
        let length =
            end.checked_sub(start).filter(|length| (1..=MAX_SPAN).contains(length)).ok_or(HawkesError::Span)?;
        let mut gaps = Vec::with_capacity(times.len());
        let mut counts = [0; MAX_TYPES];
        let mut last = start;
        for (index, (&time, &kind)) in times.iter().zip(types).enumerate() {
            if time <= start || time > end {
                return Err(HawkesError::Outside { index });
            }
            if time < last {
                return Err(StatsError::NotAscending { series: "times", index }.into());
            }
            let Some(count) = counts.get_mut(kind as usize) else {
                return Err(HawkesError::Type { types: MAX_TYPES, found: kind, index });
            };
            *count += 1;
            gaps.push((time - last) as f64 * 1e-9);
            last = time;
        }
        let (rest, length) = ((end - last) as f64 * 1e-9, length as f64 * 1e-9);
        Ok(Self { gaps, types: types.to_vec(), counts, rest, length, ties })
    }

    /// How many events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.gaps.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.gaps.is_empty()
    }

    /// Seconds observed.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.length
    }

    /// How many events of each type.
    #[must_use]
    pub fn counts(&self) -> &[u64; MAX_TYPES] {
        &self.counts
    }

    /// Every type that occurs is one of the process.
    fn check(&self, parameters: &Parameters) -> Result<(), HawkesError> {
        let types = parameters.types;
        if self.counts[types..].iter().all(|&count| count == 0) {
            return Ok(());
        }
        let index = self.types.iter().position(|&kind| kind as usize >= types).unwrap_or(0);
        Err(HawkesError::Type { types, found: self.types[index], index })
    }
}

#[cfg(test)]
mod tests;
