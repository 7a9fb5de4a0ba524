//! The Ornstein–Uhlenbeck process observed at irregular times: its exact likelihood.
//!
//! `dX = θ (m - X) dt + σ dW`. From one observation to the next, `Δ` seconds later, `X` is normal with mean
//! `m + (x - m) a` and variance `σ² (1 - a²) / 2θ`, `a = exp(-θΔ)`: no step of time is assumed. Given `θ` (and `m`, where
//! it is known) the best `m` and `σ²` are in closed form, so a fit is a search along one line. Uhlenbeck & Ornstein
//! (1930), Physical Review 36; the likelihood as in Tang & Chen (2009), "Parameter estimation and bias correction for
//! diffusion processes", Journal of Econometrics 149(1).

use super::{MAX_SPAN, StatsError};

/// Transitions: from a value, to a value, so many seconds later.
#[derive(Clone, Debug, PartialEq)]
pub struct Transitions {
    /// `(seconds, from, to)`.
    rows: Vec<(f64, f64, f64)>,
}

/// The likelihood of one speed, the other parameters at their best.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// Natural logarithm of the likelihood, given the first observation.
    pub log_likelihood: f64,
    /// The mean to which it reverts: the best, or the one that was given.
    pub mean: f64,
    /// The best `σ²`, squared units of the value per second.
    pub variance: f64,
}

impl Transitions {
    /// From consecutive observations: `times` in ns, strictly ascending, values finite.
    ///
    /// # Errors
    /// [`StatsError`] if lengths differ, times do not ascend strictly or span more than [`MAX_SPAN`], a value is not
    /// finite, or there are fewer than two observations.
    pub fn new(times: &[i64], values: &[f64]) -> Result<Self, StatsError> {
        if times.len() < 2 {
            return Err(StatsError::Empty { series: "transitions" });
        }
        let to = times.get(1..).unwrap_or_default();
        Self::checked(times, values)?;
        let rows = times.iter().zip(to).zip(values.windows(2));
        Ok(Self { rows: rows.map(|((from, to), pair)| ((to - from) as f64 * 1e-9, pair[0], pair[1])).collect() })
    }

    /// Of consecutive observations only the transitions whose first value `keep` wants.
    ///
    /// # Errors
    /// As [`Transitions::new`]; [`StatsError::Empty`] also if none is kept.
    pub fn filtered(times: &[i64], values: &[f64], keep: impl Fn(f64) -> bool) -> Result<Self, StatsError> {
        let mut all = Self::new(times, values)?;
        all.rows.retain(|row| keep(row.1));
        if all.rows.is_empty() { Err(StatsError::Empty { series: "transitions" }) } else { Ok(all) }
    }

    fn checked(times: &[i64], values: &[f64]) -> Result<(), StatsError> {
        super::check("values", times, values)?;
        super::origin(times, times)?;
        debug_assert!(times[times.len() - 1] - times[0] <= MAX_SPAN, "checked by `origin`");
        match times.windows(2).position(|pair| pair[1] <= pair[0]) {
            Some(index) => Err(StatsError::NotAscending { series: "values", index: index + 1 }),
            None => Ok(()),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Seconds from the first value to the last, without what lies between transitions left out.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.rows.iter().map(|row| row.0).sum()
    }

    /// The likelihood at a speed `θ > 0` per second, with the best `σ²` and the best mean, or that given.
    ///
    /// # Errors
    /// [`StatsError::Grid`] unless the speed is positive and finite and the mean finite, or if the values do not move.
    pub fn profile(&self, speed: f64, mean: Option<f64>) -> Result<Profile, StatsError> {
        if !(speed > 0.0 && speed.is_finite()) || mean.is_some_and(|mean| !mean.is_finite()) {
            return Err(StatsError::Grid { expected: "a positive finite speed and a finite mean" });
        }
        // About the first value, so that a level of 60,000 does not cost the digits of a move of 0.01.
        let level = self.rows[0].1;
        let (mut weight, mut cross, mut square, mut logs) = (0.0, 0.0, 0.0, 0.0);
        for &(seconds, from, to) in &self.rows {
            // 1 - a and (1 - a²) / 2θ, exact where θΔ is small.
            let loss = -(-speed * seconds).exp_m1();
            let spread = loss * (2.0 - loss) / (2.0 * speed);
            let rest = (to - level) - (1.0 - loss) * (from - level);
            weight += loss * loss / spread;
            cross += loss * rest / spread;
            square += rest * rest / spread;
            logs += spread.ln();
        }
        let centre = mean.map_or(cross / weight, |mean| mean - level);
        let sum = match mean {
            None => square - cross * cross / weight,
            Some(_) => square - 2.0 * centre * cross + centre * centre * weight,
        };
        let count = self.rows.len() as f64;
        let variance = sum / count;
        if !(variance > 0.0 && variance.is_finite() && centre.is_finite()) {
            return Err(StatsError::Grid { expected: "values that move, neither all equal nor without noise" });
        }
        let log_likelihood = -0.5 * (count * (std::f64::consts::TAU * variance).ln() + logs + count);
        Ok(Profile { log_likelihood, mean: level + centre, variance })
    }

    /// Fisher's information about `(θ, m, σ²)`, `[3 × 3]`, given what each transition starts from.
    ///
    /// # Errors
    /// [`StatsError::Grid`] unless speed and variance are positive and all are finite.
    pub fn information(&self, speed: f64, mean: f64, variance: f64) -> Result<[f64; 9], StatsError> {
        if !(speed > 0.0 && variance > 0.0 && (speed + variance + mean).is_finite()) {
            return Err(StatsError::Grid { expected: "a positive finite speed and variance and a finite mean" });
        }
        let mut total = [0.0; 9];
        for &(seconds, from, _) in &self.rows {
            let loss = -(-speed * seconds).exp_m1();
            let stay = 1.0 - loss;
            let by_variance = loss * (2.0 - loss) / (2.0 * speed);
            let spread = variance * by_variance;
            let of_mean = [-seconds * stay * (from - mean), loss, 0.0];
            let of_spread = [variance * (seconds * stay * stay - by_variance) / speed, 0.0, by_variance];
            for a in 0..3 {
                for b in 0..3 {
                    total[a * 3 + b] +=
                        of_mean[a] * of_mean[b] / spread + 0.5 * of_spread[a] * of_spread[b] / (spread * spread);
                }
            }
        }
        Ok(total)
    }
}

/// Simulates exactly at given times (ns, strictly ascending) from `first`; `σ² = variance` per second.
///
/// # Errors
/// [`StatsError`] if times do not ascend strictly or a parameter is out of range.
pub fn simulate(
    times: &[i64],
    first: f64,
    (speed, mean, variance): (f64, f64, f64),
    seed: u64,
) -> Result<Vec<f64>, StatsError> {
    if !(speed > 0.0 && variance > 0.0 && (speed + variance + mean + first).is_finite()) {
        return Err(StatsError::Grid {
            expected: "a positive finite speed and variance, a finite mean and first value",
        });
    }
    Transitions::checked(times, &vec![0.0; times.len()])?;
    let mut random = super::random::Random::new(seed);
    let mut at = first;
    let mut found = Vec::with_capacity(times.len());
    found.push(at);
    for pair in times.windows(2) {
        let loss = -(-speed * ((pair[1] - pair[0]) as f64 * 1e-9)).exp_m1();
        let spread = (variance * loss * (2.0 - loss) / (2.0 * speed)).sqrt();
        at += loss * (mean - at) + spread * random.normal();
        found.push(at);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUE: (f64, f64, f64) = (0.7, 60_000.0, 4.0);

    fn path(count: i64, seed: u64) -> (Vec<i64>, Vec<f64>) {
        // Gaps of 1 ms to 2 s, far from even.
        let times: Vec<i64> = (0..count).map(|k| k * 1_000_000_000 + (k * k * 7_919) % 999_000_000).collect();
        let values = simulate(&times, 60_000.0, TRUE, seed).expect("a path");
        (times, values)
    }

    /// The normal density of each transition, by the textbook.
    fn slow(times: &[i64], values: &[f64], (speed, mean, variance): (f64, f64, f64)) -> f64 {
        (1..times.len())
            .map(|k| {
                let a = (-speed * (times[k] - times[k - 1]) as f64 * 1e-9).exp();
                let v = variance * (1.0 - a * a) / (2.0 * speed);
                let e = values[k] - mean - (values[k - 1] - mean) * a;
                -0.5 * ((std::f64::consts::TAU * v).ln() + e * e / v)
            })
            .sum()
    }

    #[test]
    fn the_profile_is_the_highest_likelihood_over_mean_and_variance() {
        let (times, values) = path(200, 1);
        let found = Transitions::new(&times, &values).expect("transitions").profile(0.5, None).expect("a profile");
        let best = slow(&times, &values, (0.5, found.mean, found.variance));
        assert!((best - found.log_likelihood).abs() < 1e-6);
        for (dm, dv) in [(1e-2, 0.0), (-1e-2, 0.0), (0.0, 1e-2), (0.0, -1e-2)] {
            assert!(slow(&times, &values, (0.5, found.mean + dm, found.variance + dv)) < best);
        }
        let given = Transitions::new(&times, &values).expect("transitions").profile(0.5, Some(59_999.0)).expect("one");
        assert!((slow(&times, &values, (0.5, 59_999.0, given.variance)) - given.log_likelihood).abs() < 1e-6);
    }

    #[test]
    fn the_likelihood_is_highest_near_the_truth_within_what_the_information_allows() {
        let (times, values) = path(20_000, 2);
        let rows = Transitions::new(&times, &values).expect("transitions");
        let speeds: Vec<f64> = (0..200).map(|k| 0.5 + 0.002 * f64::from(k)).collect();
        let heights = speeds.iter().map(|&speed| rows.profile(speed, None).expect("a profile").log_likelihood);
        let best = heights.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).expect("some").0;
        let information = rows.information(TRUE.0, TRUE.1, TRUE.2).expect("an information");
        assert!((speeds[best] - TRUE.0).abs() < 4.0 / information[0].sqrt(), "{}", speeds[best]);
        let found = rows.profile(speeds[best], None).expect("a profile");
        assert!((found.mean - TRUE.1).abs() < 4.0 / information[4].sqrt());
        assert!((found.variance - TRUE.2).abs() < 6.0 / information[8].sqrt());
    }

    #[test]
    fn the_information_is_the_mean_curvature_of_the_likelihood() {
        let (times, values) = path(100_000, 3);
        let rows = Transitions::new(&times, &values).expect("transitions");
        let information = rows.information(TRUE.0, TRUE.1, TRUE.2).expect("an information");
        let at = |k: usize, by: f64, m: usize, and: f64| {
            let mut p = [TRUE.0, TRUE.1, TRUE.2];
            p[k] += by;
            p[m] += and;
            slow(&times, &values, (p[0], p[1], p[2]))
        };
        let steps = [1e-3, 1e-2, 1e-2];
        for k in 0..3 {
            for m in 0..3 {
                let (h, g) = (steps[k], steps[m]);
                let bend = (at(k, h, m, g) - at(k, h, m, -g) - at(k, -h, m, g) + at(k, -h, m, -g)) / (4.0 * h * g);
                let scale = (information[k * 4] * information[m * 4]).sqrt();
                assert!((information[k * 3 + m] + bend).abs() < 0.03 * scale, "{k} {m}: {bend}");
            }
        }
    }

    #[test]
    fn transitions_can_be_limited_to_those_from_a_region() {
        let times = [0, 10, 20, 30];
        let rows = Transitions::filtered(&times, &[1.0, 5.0, 2.0, 7.0], |from| from > 1.5).expect("transitions");
        assert_eq!(rows.rows.iter().map(|row| (row.1, row.2)).collect::<Vec<_>>(), [(5.0, 2.0), (2.0, 7.0)]);
        assert!((rows.seconds() - 2e-8).abs() < 1e-20);
        let none = Transitions::filtered(&times, &[1.0; 4], |from| from > 1.5);
        assert_eq!(none, Err(StatsError::Empty { series: "transitions" }));
    }

    #[test]
    fn unusable_input_is_a_typed_error() {
        let new = |times: &[i64], values: &[f64]| Transitions::new(times, values).err();
        assert_eq!(new(&[], &[]), Some(StatsError::Empty { series: "transitions" }));
        assert_eq!(new(&[1], &[1.0]), Some(StatsError::Empty { series: "transitions" }));
        assert_eq!(new(&[1, 2], &[1.0]), Some(StatsError::Lengths { series: "values", times: 2, values: 1 }));
        assert_eq!(new(&[1, 1], &[1.0; 2]), Some(StatsError::NotAscending { series: "values", index: 1 }));
        assert_eq!(new(&[1, 2], &[1.0, f64::NAN]), Some(StatsError::NotFinite { series: "values", index: 1 }));
        assert_eq!(new(&[i64::MIN, 2], &[1.0, 2.0]), Some(StatsError::Span));
        let constant = Transitions::new(&[1, 2, 3], &[5.0; 3]).expect("transitions");
        assert!(matches!(constant.profile(1.0, None), Err(StatsError::Grid { .. })));
        let rows = Transitions::new(&[1, 2, 3], &[5.0, 6.0, 5.5]).expect("transitions");
        for (speed, mean) in [(0.0, None), (f64::NAN, None), (1.0, Some(f64::NAN))] {
            assert!(matches!(rows.profile(speed, mean), Err(StatsError::Grid { .. })));
        }
        assert!(rows.information(1.0, 0.0, 0.0).is_err());
        assert!(simulate(&[1, 2], 0.0, (-1.0, 0.0, 1.0), 1).is_err());
        assert!(simulate(&[], 0.0, TRUE, 1).is_err());
    }
}
