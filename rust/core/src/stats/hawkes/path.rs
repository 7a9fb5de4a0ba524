//! What a process says along its own events: intensities, and residuals of the time change.

use super::{Events, HawkesError, Parameters, StatsError, Ties};
use crate::stats::MAX_VALUES;

/// The integrated intensity of each type between consecutive events of that type. If the parameters are true these are
/// independent draws of the exponential distribution of mean 1 (the time-change theorem; Ogata 1988, "Statistical
/// models for earthquake occurrences and residual analysis for point processes", JASA 83).
#[derive(Clone, Debug, PartialEq)]
pub struct Residuals {
    /// `[events]`: of the event's own type, since the event of that type before it (of the first: since the start).
    pub residuals: Vec<f64>,
    /// `[types]`: the integral since the last event of each type to the end, the draws that the end cut off.
    pub rest: Vec<f64>,
}

/// The sums `R` by exciting type and component, with the events of the instant reached apart.
struct Walk<'a> {
    parameters: &'a Parameters,
    r: Vec<f64>,
    pending: Vec<f64>,
}

impl<'a> Walk<'a> {
    fn new(parameters: &'a Parameters) -> Self {
        let (d, c) = (parameters.types, parameters.components);
        Self { parameters, r: vec![0.0; d * c], pending: vec![0.0; d] }
    }

    /// Moves on by `gap` seconds; calls `lost` with what every sum lost to decay, which is what was integrated.
    fn advance(&mut self, gap: f64, mut lost: impl FnMut(usize, f64)) {
        let c = self.parameters.components;
        for (u, &decay) in self.parameters.decays.iter().enumerate() {
            // 1 - e^-x without cancellation where x is small.
            let part = -(-decay * gap).exp_m1();
            for (j, &fresh) in self.pending.iter().enumerate() {
                let before = self.r[j * c + u] + fresh;
                lost(j * c + u, before * part);
                self.r[j * c + u] = before - before * part;
            }
        }
        self.pending.fill(0.0);
    }

    fn intensity(&self, i: usize) -> f64 {
        let c = self.parameters.components;
        let weights = &self.parameters.adjacency[i * self.r.len()..][..self.r.len()];
        let excited: f64 =
            weights.iter().zip(&self.r).enumerate().map(|(at, (w, r))| w * self.parameters.decays[at % c] * r).sum();
        self.parameters.baseline[i] + excited
    }
}

impl Events {
    /// The residuals of the time change.
    ///
    /// # Errors
    /// [`HawkesError::Type`] if an event's type is none of the process.
    pub fn residuals(&self, parameters: &Parameters) -> Result<Residuals, HawkesError> {
        self.check(parameters)?;
        let (d, wide) = (parameters.types, parameters.types * parameters.components);
        let mut walk = Walk::new(parameters);
        let mut since = vec![0.0; d];
        let mut residuals = Vec::with_capacity(self.len());
        let integrate = |walk: &mut Walk<'_>, gap: f64, since: &mut [f64]| {
            for (i, sum) in since.iter_mut().enumerate() {
                *sum += parameters.baseline[i] * gap;
            }
            walk.advance(gap, |at, lost| {
                for (i, sum) in since.iter_mut().enumerate() {
                    *sum += parameters.adjacency[i * wide + at] * lost;
                }
            });
        };
        for (&gap, &kind) in self.gaps.iter().zip(&self.types) {
            if gap > 0.0 || self.ties == Ties::Ordered {
                integrate(&mut walk, gap, &mut since);
            }
            residuals.push(std::mem::take(&mut since[kind as usize]));
            walk.pending[kind as usize] += 1.0;
        }
        integrate(&mut walk, self.rest, &mut since);
        Ok(Residuals { residuals, rest: since })
    }

    /// The intensity of every type just before each event, `[events × types]`, per second.
    ///
    /// # Errors
    /// [`HawkesError::Type`] if an event's type is none of the process; [`StatsError::Grid`] if the matrix would exceed
    /// [`MAX_VALUES`].
    pub fn intensities(&self, parameters: &Parameters) -> Result<Vec<f64>, HawkesError> {
        self.check(parameters)?;
        let size = self.len().checked_mul(parameters.types).filter(|&size| size <= MAX_VALUES);
        let size = size.ok_or(StatsError::Grid { expected: "at most 2^27 values of events times types" })?;
        let mut walk = Walk::new(parameters);
        let mut found = Vec::with_capacity(size);
        for (&gap, &kind) in self.gaps.iter().zip(&self.types) {
            if gap > 0.0 || self.ties == Ties::Ordered {
                walk.advance(gap, |_, _| {});
            }
            found.extend((0..parameters.types).map(|i| walk.intensity(i)));
            walk.pending[kind as usize] += 1.0;
        }
        Ok(found)
    }

    /// The sums `Σ exp(-β_u (end - t))` over all events of each type, `[types × components]`, at the end: with the
    /// parameters they are all that the future depends on.
    ///
    /// # Errors
    /// [`HawkesError::Type`] if an event's type is none of the process.
    pub fn state(&self, parameters: &Parameters) -> Result<Vec<f64>, HawkesError> {
        self.check(parameters)?;
        let mut walk = Walk::new(parameters);
        for (&gap, &kind) in self.gaps.iter().zip(&self.types) {
            walk.advance(gap, |_, _| {});
            walk.pending[kind as usize] += 1.0;
        }
        walk.advance(self.rest, |_, _| {});
        Ok(walk.r)
    }
}
