//! The log-likelihood, its gradient and its second derivatives, decays included, each in one pass.
//!
//! `ln L = Σ_k ln λ_{i_k}(t_k) - Σ_i ∫ λ_i`, the integral in closed form (Ozaki 1979, "Maximum likelihood estimation of
//! Hawkes' self-exciting point processes", Annals of the Institute of Statistical Mathematics 31). With
//! `R = Σ exp(-β τ)`, `S = Σ τ exp(-β τ)`, `Q = Σ τ² exp(-β τ)` over the ages `τ` of past events of a type, all three
//! recursive, `dR/dβ = -S` and `dS/dβ = -Q`. Decays are shared, so the sums belong to the exciting type alone.

#![allow(clippy::needless_range_loop)] // sums over `i`, `j`, `u` read as the formulas do

use super::{Events, HawkesError, Padded, Parameters, Ties, dispatch};

/// A log-likelihood and its gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradient {
    /// Natural logarithm of the likelihood, times in seconds.
    pub log_likelihood: f64,
    /// `[count]`: by baseline, adjacency `[i][j][u]`, decays.
    pub gradient: Vec<f64>,
}

/// A log-likelihood with its first and second derivatives.
#[derive(Clone, Debug, PartialEq)]
pub struct Information {
    /// As in [`Gradient`].
    pub log_likelihood: f64,
    /// As in [`Gradient`].
    pub gradient: Vec<f64>,
    /// `[count × count]`: second derivatives; minus this is the observed information.
    pub hessian: Vec<f64>,
    /// `[count × count]`: `Σ_k ∇λ ∇λᵀ / λ²` at the events, the estimate of Fisher's information.
    pub fisher: Vec<f64>,
}

/// Sums over past events of each type, moved from event to event.
struct State<const D: usize, const U: usize> {
    r: [[f64; U]; D],
    s: [[f64; U]; D],
    /// Events of the instant reached, not yet in the sums.
    pending: [f64; D],
}

impl<const D: usize, const U: usize> State<D, U> {
    fn new() -> Self {
        Self { r: [[0.0; U]; D], s: [[0.0; U]; D], pending: [0.0; D] }
    }

    #[inline(always)]
    fn advance(&mut self, gap: f64, decays: &[f64; U]) {
        let factors: [f64; U] = std::array::from_fn(|u| (-decays[u] * gap).exp());
        for j in 0..D {
            for u in 0..U {
                let r = self.r[j][u] + self.pending[j];
                self.s[j][u] = (self.s[j][u] + gap * r) * factors[u];
                self.r[j][u] = r * factors[u];
            }
            self.pending[j] = 0.0;
        }
    }
}

impl Events {
    /// The log-likelihood and its gradient by every parameter, decays included.
    ///
    /// # Errors
    /// [`HawkesError::Type`] if an event's type is none of the process.
    pub fn log_likelihood(&self, parameters: &Parameters) -> Result<Gradient, HawkesError> {
        self.check(parameters)?;
        Ok(match self.ties {
            Ties::Strict => dispatch!(parameters, self.gradient_strict(parameters)),
            Ties::Ordered => dispatch!(parameters, self.gradient_ordered(parameters)),
        })
    }

    fn gradient_strict<const D: usize, const U: usize>(&self, parameters: &Parameters) -> Gradient {
        self.gradient::<D, U, true>(parameters)
    }

    fn gradient_ordered<const D: usize, const U: usize>(&self, parameters: &Parameters) -> Gradient {
        self.gradient::<D, U, false>(parameters)
    }

    fn gradient<const D: usize, const U: usize, const STRICT: bool>(&self, parameters: &Parameters) -> Gradient {
        let p: Padded<D, U> = parameters.padded();
        let weights = p.adjacency.map(|row| row.map(|cell| std::array::from_fn::<_, U, _>(|u| cell[u] * p.decays[u])));
        let mut state = State::<D, U>::new();
        let mut by_baseline = [0.0; D];
        let mut by_adjacency = [[[0.0; U]; D]; D];
        let mut by_decay = [0.0; U];
        let (mut sum, mut product) = (0.0, 1.0_f64);
        for (&gap, &kind) in self.gaps.iter().zip(&self.types) {
            if !STRICT || gap > 0.0 {
                state.advance(gap, &p.decays);
            }
            let i = kind as usize;
            let mut intensity = p.baseline[i];
            for j in 0..D {
                for u in 0..U {
                    intensity += weights[i][j][u] * state.r[j][u];
                }
            }
            // A logarithm for some hundred events: their product while it is far from the ends of the range.
            product *= intensity;
            if !(1e-100..1e100).contains(&product) {
                sum += product.ln();
                product = 1.0;
            }
            let inverse = 1.0 / intensity;
            by_baseline[i] += inverse;
            for u in 0..U {
                let mut slope = 0.0;
                for j in 0..D {
                    let (r, s) = (state.r[j][u], state.s[j][u]);
                    by_adjacency[i][j][u] += r * inverse;
                    slope += p.adjacency[i][j][u] * (r - p.decays[u] * s);
                }
                by_decay[u] += slope * inverse;
            }
            state.pending[i] += 1.0;
        }
        sum += product.ln();
        state.advance(self.rest, &p.decays);
        for i in 0..D {
            sum -= p.baseline[i] * self.length;
            by_baseline[i] -= self.length;
            for j in 0..D {
                for u in 0..U {
                    let caused = self.counts[j] as f64 - state.r[j][u];
                    sum -= p.adjacency[i][j][u] * caused;
                    by_adjacency[i][j][u] = by_adjacency[i][j][u] * p.decays[u] - caused;
                    by_decay[u] -= p.adjacency[i][j][u] * state.s[j][u];
                }
            }
        }
        let (types, components) = (parameters.types, parameters.components);
        let mut gradient = Vec::with_capacity(parameters.count());
        gradient.extend_from_slice(&by_baseline[..types]);
        for row in &by_adjacency[..types] {
            row[..types].iter().for_each(|cell| gradient.extend_from_slice(&cell[..components]));
        }
        gradient.extend_from_slice(&by_decay[..components]);
        Gradient { log_likelihood: sum, gradient }
    }

    /// The log-likelihood with first and second derivatives. Costs some ten times [`Events::log_likelihood`].
    ///
    /// # Errors
    /// [`HawkesError::Type`] if an event's type is none of the process.
    pub fn information(&self, parameters: &Parameters) -> Result<Information, HawkesError> {
        self.check(parameters)?;
        let Gradient { log_likelihood, gradient } = self.log_likelihood(parameters)?;
        let (d, c, count) = (parameters.types, parameters.components, parameters.count());
        let (wide, decays) = (d * c, &parameters.decays);
        let (mut r, mut s, mut q) = (vec![0.0; wide], vec![0.0; wide], vec![0.0; wide]);
        let mut pending = vec![0.0; d];
        // Of type i: its baseline, its row of the adjacency, all decays.
        let size = 1 + wide + c;
        let mut slope = vec![0.0; size];
        let (mut curvature, mut fisher) = (vec![0.0; d * size * size], vec![0.0; d * size * size]);
        let advance = |gap: f64, r: &mut [f64], s: &mut [f64], q: &mut [f64], pending: &mut [f64]| {
            for (u, &decay) in decays.iter().enumerate() {
                let factor = (-decay * gap).exp();
                for (j, &fresh) in pending.iter().enumerate() {
                    let at = j * c + u;
                    let before = r[at] + fresh;
                    q[at] = (q[at] + gap * (2.0 * s[at] + gap * before)) * factor;
                    s[at] = (s[at] + gap * before) * factor;
                    r[at] = before * factor;
                }
            }
            pending.fill(0.0);
        };
        for (&gap, &kind) in self.gaps.iter().zip(&self.types) {
            if gap > 0.0 || self.ties == Ties::Ordered {
                advance(gap, &mut r, &mut s, &mut q, &mut pending);
            }
            let i = kind as usize;
            let weights = &parameters.adjacency[i * wide..][..wide];
            let mut intensity = parameters.baseline[i];
            slope[0] = 1.0;
            slope[1 + wide..].fill(0.0);
            for (at, (&weight, u)) in weights.iter().zip((0..c).cycle()).enumerate() {
                intensity += weight * decays[u] * r[at];
                slope[1 + at] = decays[u] * r[at];
                slope[1 + wide + u] += weight * (r[at] - decays[u] * s[at]);
            }
            let inverse = 1.0 / intensity;
            let (rows, outer) = (&mut curvature[i * size * size..], &mut fisher[i * size * size..]);
            for a in 0..size {
                let scaled = slope[a] * inverse * inverse;
                for b in 0..size {
                    outer[a * size + b] += scaled * slope[b];
                }
            }
            for (at, (&weight, u)) in weights.iter().zip((0..c).cycle()).enumerate() {
                let (row, column) = (1 + at, 1 + wide + u);
                let mixed = (r[at] - decays[u] * s[at]) * inverse;
                rows[row * size + column] += mixed;
                rows[column * size + row] += mixed;
                rows[column * size + column] += weight * (decays[u] * q[at] - 2.0 * s[at]) * inverse;
            }
            pending[i] += 1.0;
        }
        advance(self.rest, &mut r, &mut s, &mut q, &mut pending);
        let place = |i: usize, at: usize| match at {
            0 => i,
            at if at <= wide => d + i * wide + at - 1,
            at => d + d * wide + at - 1 - wide,
        };
        let (mut hessian, mut total) = (vec![0.0; count * count], vec![0.0; count * count]);
        for i in 0..d {
            let (rows, outer) = (&mut curvature[i * size * size..][..size * size], &fisher[i * size * size..]);
            for (at, u) in (0..wide).zip((0..c).cycle()) {
                let (row, column) = (1 + at, 1 + wide + u);
                rows[row * size + column] -= s[at];
                rows[column * size + row] -= s[at];
                rows[column * size + column] += parameters.adjacency[i * wide + at] * q[at];
            }
            for a in 0..size {
                for b in 0..size {
                    let to = place(i, a) * count + place(i, b);
                    total[to] += outer[a * size + b];
                    hessian[to] += rows[a * size + b] - outer[a * size + b];
                }
            }
        }
        Ok(Information { log_likelihood, gradient, hessian, fisher: total })
    }
}
