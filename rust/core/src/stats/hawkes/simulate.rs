//! Simulation, exact and by thinning, from an empty past.

use super::{HawkesError, Padded, Parameters, dispatch};
use crate::stats::random::{Exponential, Random};
use crate::stats::{MAX_SPAN, MAX_VALUES};

/// Where a simulation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// After so many events.
    Count(usize),
    /// At so many ns after the start; it fails past `limit` events.
    Time {
        /// Ns after the start.
        ns: i64,
        /// The most events.
        limit: usize,
    },
}

/// Simulated events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path {
    /// Ns, ascending, after the start. The exact times rounded up, so none is at the start itself; two events of one
    /// nanosecond are possible.
    pub times: Vec<i64>,
    /// Their types.
    pub types: Vec<u32>,
}

/// Time in ns and what of a ns is left over, so that 36 years keep their picoseconds.
#[derive(Default)]
struct Clock {
    ns: i64,
    part: f64,
}

impl Clock {
    /// Moves on by so many seconds.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // saturates, far past every limit of time
    fn advance(&mut self, seconds: f64) -> i64 {
        self.part += seconds * 1e9;
        let whole = self.part as i64;
        self.part -= whole as f64;
        self.ns = self.ns.saturating_add(whole);
        self.ns.saturating_add(1)
    }
}

/// The intensities' excess over the baseline, by component and excited type.
struct Excess<const D: usize, const U: usize> {
    by_type: [[f64; D]; U],
    jumps: [[[f64; D]; U]; D],
}

impl<const D: usize, const U: usize> Excess<D, U> {
    fn new(p: &Padded<D, U>) -> Self {
        let jumps = std::array::from_fn(|j| {
            std::array::from_fn(|u| std::array::from_fn(|i| p.adjacency[i][j][u] * p.decays[u]))
        });
        Self { by_type: [[0.0; D]; U], jumps }
    }

    #[inline(always)]
    fn decay(&mut self, factors: &[f64; U]) {
        for (row, factor) in self.by_type.iter_mut().zip(factors) {
            row.iter_mut().for_each(|excess| *excess *= factor);
        }
    }

    /// An event of type `j`.
    #[inline(always)]
    fn excite(&mut self, j: usize) {
        for (row, jumps) in self.by_type.iter_mut().zip(&self.jumps[j]) {
            row.iter_mut().zip(jumps).for_each(|(excess, jump)| *excess += jump);
        }
    }

    /// The type whose share of the total intensity holds the point `at`, `0 <= at < total`.
    #[inline(always)]
    fn choose(&self, p: &Padded<D, U>, at: f64) -> usize {
        let (mut below, mut kind) = (0.0, 0);
        for i in 0..D - 1 {
            below += p.baseline[i];
            for row in &self.by_type {
                below += row[i];
            }
            // The last that is passed, without a jump. What only pads has no share and comes last, so where rounding
            // leaves `at` past everything the real types are still told apart by `last`.
            kind = if at >= below { i + 1 } else { kind };
        }
        kind
    }
}

impl Parameters {
    /// Simulates exactly: no time step, no rejection.
    ///
    /// The time to the next event is the least of independent ones, one for the baseline and one for each component's
    /// excess `E`, whose distribution `1 - exp(-E (1 - e^(-βs)) / β)` is inverted in closed form (Dassios & Zhao 2013,
    /// "Exact simulation of Hawkes process with exponentially decaying intensity", Electronic Communications in
    /// Probability 18). The type is then drawn by share of the intensity.
    ///
    /// # Errors
    /// [`HawkesError::Limit`] if the time is not over after so many events, [`HawkesError::Span`] if it is negative or
    /// past [`MAX_SPAN`], or so many events take longer than that.
    pub fn simulate(&self, until: Until, seed: u64) -> Result<Path, HawkesError> {
        dispatch!(self, self.exact(until, seed))
    }

    /// Simulates by thinning: candidates at the intensity just after the event before, which bounds what follows,
    /// accepted by share (Ogata 1981). The same law as [`Parameters::simulate`], by another way.
    ///
    /// # Errors
    /// As [`Parameters::simulate`].
    pub fn simulate_thinning(&self, until: Until, seed: u64) -> Result<Path, HawkesError> {
        dispatch!(self, self.thinned(until, seed))
    }

    fn exact<const D: usize, const U: usize>(&self, until: Until, seed: u64) -> Result<Path, HawkesError> {
        let (mut path, end, limit) = begin(until)?;
        let p: Padded<D, U> = self.padded();
        let (mut random, law) = (Random::new(seed), Exponential::new());
        let (mut clock, mut excess) = (Clock::default(), Excess::new(&p));
        let base: f64 = p.baseline.iter().sum();
        let scale = 1.0 / base;
        let last = self.types - 1;
        while path.times.len() < limit {
            let mut wait = law.draw(&mut random) * scale;
            let mut factors: [f64; U] = std::array::from_fn(|u| (-p.decays[u] * wait).exp());
            for u in 0..U {
                let total: f64 = excess.by_type[u].iter().sum();
                // The excess may never fire: then the factor below is not positive.
                let factor = 1.0 - p.decays[u] * law.draw(&mut random) / total;
                if factor > factors[u] {
                    wait = -factor.ln() / p.decays[u];
                    factors = std::array::from_fn(|v| if v == u { factor } else { (-p.decays[v] * wait).exp() });
                }
            }
            let time = clock.advance(wait);
            if time > end {
                return over(path, until);
            }
            excess.decay(&factors);
            let total: f64 = base + excess.by_type.iter().flatten().sum::<f64>();
            let kind = excess.choose(&p, random.uniform() * total).min(last);
            excess.excite(kind);
            path.times.push(time);
            #[allow(clippy::cast_possible_truncation)] // below 16
            path.types.push(kind as u32);
        }
        finish(path, until)
    }

    fn thinned<const D: usize, const U: usize>(&self, until: Until, seed: u64) -> Result<Path, HawkesError> {
        let (mut path, end, limit) = begin(until)?;
        let p: Padded<D, U> = self.padded();
        let (mut random, law) = (Random::new(seed), Exponential::new());
        let (mut clock, mut excess) = (Clock::default(), Excess::new(&p));
        let base: f64 = p.baseline.iter().sum();
        let last = self.types - 1;
        let total = |excess: &Excess<D, U>| base + excess.by_type.iter().flatten().sum::<f64>();
        let mut bound = total(&excess);
        while path.times.len() < limit {
            let wait = law.draw(&mut random) / bound;
            let time = clock.advance(wait);
            if time > end {
                return over(path, until);
            }
            excess.decay(&std::array::from_fn(|u| (-p.decays[u] * wait).exp()));
            let (now, at) = (total(&excess), random.uniform() * bound);
            bound = now;
            if at < now {
                let kind = excess.choose(&p, at).min(last);
                excess.excite(kind);
                bound = total(&excess);
                path.times.push(time);
                #[allow(clippy::cast_possible_truncation)] // below 16
                path.types.push(kind as u32);
            }
        }
        finish(path, until)
    }
}

/// Room for the events, the end in ns and the most events to make.
fn begin(until: Until) -> Result<(Path, i64, usize), HawkesError> {
    let (room, end, limit) = match until {
        Until::Count(count) => (count, MAX_SPAN, count),
        Until::Time { ns, limit } if (0..=MAX_SPAN).contains(&ns) => (limit.min(1 << 16), ns, limit.saturating_add(1)),
        Until::Time { .. } => return Err(HawkesError::Span),
    };
    if room > MAX_VALUES {
        return Err(HawkesError::Limit { limit: MAX_VALUES });
    }
    Ok((Path { times: Vec::with_capacity(room), types: Vec::with_capacity(room) }, end, limit))
}

/// The time is over before the count is full: right only where time was what should end it.
fn over(path: Path, until: Until) -> Result<Path, HawkesError> {
    match until {
        Until::Count(_) => Err(HawkesError::Span),
        Until::Time { .. } => Ok(path),
    }
}

/// The count is full.
fn finish(path: Path, until: Until) -> Result<Path, HawkesError> {
    match until {
        Until::Count(_) => Ok(path),
        Until::Time { limit, .. } => Err(HawkesError::Limit { limit }),
    }
}
