//! A hedge ratio that moves: the Kalman filter of a regression whose coefficients are random walks.
//!
//! `y_k = α_k + β_k x_k + e_k`, `e ~ N(0, R)`; `α` and `β` change by independent normal steps of variances `Q_α`, `Q_β`.
//! Kalman (1960), "A new approach to linear filtering and prediction problems", Journal of Basic Engineering 82(1); as a
//! hedge ratio in Elliott, van der Hoek & Malcolm (2005), "Pairs trading", Quantitative Finance 5(3).

use super::StatsError;

/// What the filter starts from and assumes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HedgeModel {
    /// First guess of `(β, α)`.
    pub first: [f64; 2],
    /// Variances of that guess, `(β, α)`.
    pub doubt: [f64; 2],
    /// Variances of a step, `(β, α)`; 0 for a coefficient that stays.
    pub step: [f64; 2],
    /// Variance of the noise of an observation, above 0.
    pub noise: f64,
}

/// What [`HedgeModel::filter`] finds, `[observations]` each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hedge {
    /// Hedge ratio after the observation.
    pub beta: Vec<f64>,
    /// Intercept after the observation.
    pub alpha: Vec<f64>,
    /// `y` less what was expected of it before it was seen.
    pub innovation: Vec<f64>,
    /// Variance of the innovation as the filter had it.
    pub variance: Vec<f64>,
    /// Variance of the hedge ratio after the observation.
    pub beta_variance: Vec<f64>,
    /// Log-likelihood of all observations: the sum over innovations.
    pub log_likelihood: f64,
}

impl HedgeModel {
    /// Runs the filter over `x` and `y`. Into `hedge`, whose memory is used again; after an error its
    /// content means nothing.
    ///
    /// # Errors
    /// [`StatsError`] if lengths differ, there is nothing, a value is not finite, a variance is negative, or numbers
    /// become so large that a result is not finite.
    pub fn filter(&self, x: &[f64], y: &[f64], hedge: &mut Hedge) -> Result<(), StatsError> {
        if x.len() != y.len() {
            return Err(StatsError::Lengths { series: "y", times: x.len(), values: y.len() });
        }
        if x.is_empty() {
            return Err(StatsError::Empty { series: "y" });
        }
        let variances = [self.doubt[0], self.doubt[1], self.step[0], self.step[1]];
        if variances.iter().any(|value| !(*value >= 0.0 && value.is_finite()))
            || !(self.noise > 0.0 && self.noise.is_finite())
            || self.first.iter().any(|value| !value.is_finite())
        {
            return Err(StatsError::Grid { expected: "finite first values, variances of 0 or more, noise above 0" });
        }
        let columns =
            [&mut hedge.beta, &mut hedge.alpha, &mut hedge.innovation, &mut hedge.variance, &mut hedge.beta_variance];
        for column in columns {
            column.resize(x.len(), 0.0);
        }
        let lowest;
        (hedge.log_likelihood, lowest) = self.run(x, y, hedge);
        // What is not finite stays in the state to the end, so the last values vouch for all.
        if lowest > 0.0 && hedge.log_likelihood.is_finite() && hedge.beta[x.len() - 1].is_finite() {
            return Ok(());
        }
        for (series, values) in [("x", x), ("y", y)] {
            if let Some(index) = values.iter().position(|value| !value.is_finite()) {
                return Err(StatsError::NotFinite { series, index });
            }
        }
        let broken = |(variance, beta): (&f64, &f64)| !(*variance > 0.0 && (variance + beta).is_finite());
        let index = hedge.variance.iter().zip(&hedge.beta).position(broken).unwrap_or(x.len() - 1);
        Err(StatsError::NotFinite { series: "filter", index })
    }

    /// The chain from one covariance to the next is what a step costs: two products and two sums to the variance of
    /// the innovation, a division, a product and a difference. All else hangs off it and runs beside the next step.
    /// Gives the log-likelihood and the lowest variance of an innovation.
    fn run(&self, x: &[f64], y: &[f64], hedge: &mut Hedge) -> (f64, f64) {
        let n = x.len();
        let (x, y) = (&x[..n], &y[..n]);
        let (betas, alphas) = (&mut hedge.beta[..n], &mut hedge.alpha[..n]);
        let (innovations, variances) = (&mut hedge.innovation[..n], &mut hedge.variance[..n]);
        let beta_variances = &mut hedge.beta_variance[..n];
        let [mut beta, mut alpha] = self.first;
        let [mut bb, mut aa] = [self.doubt[0] + self.step[0], self.doubt[1] + self.step[1]];
        let mut ab = 0.0;
        let (mut logs, mut product, mut square, mut lowest) = (0.0, 1.0_f64, 0.0, f64::INFINITY);
        for k in 0..n {
            let x = x[k];
            let (gain_b, gain_a) = (bb * x + ab, ab * x + aa);
            let variance = gain_b * x + (gain_a + self.noise);
            let inverse = 1.0 / variance;
            let innovation = y[k] - (beta * x + alpha);
            let scaled = innovation * inverse;
            beta += gain_b * scaled;
            alpha += gain_a * scaled;
            let after = bb - gain_b * gain_b * inverse;
            bb = (bb + self.step[0]) - gain_b * gain_b * inverse;
            ab -= gain_b * gain_a * inverse;
            aa = (aa + self.step[1]) - gain_a * gain_a * inverse;
            // A logarithm for some hundred observations: their product while it is far from the ends of the range.
            product *= variance;
            if !(1e-100..1e100).contains(&product) {
                logs += product.ln();
                product = 1.0;
            }
            square += innovation * scaled;
            lowest = if variance < lowest { variance } else { lowest };
            betas[k] = beta;
            alphas[k] = alpha;
            innovations[k] = innovation;
            variances[k] = variance;
            beta_variances[k] = after;
        }
        logs += product.ln();
        (-0.5 * (n as f64 * std::f64::consts::TAU.ln() + logs + square), lowest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Matrix = [[f64; 2]; 2];

    /// The textbook's filter in matrices, Joseph's form, one step at a time.
    fn slow(model: &HedgeModel, x: &[f64], y: &[f64]) -> (Vec<[f64; 5]>, f64) {
        let mut state = model.first;
        let mut p: Matrix = [[model.doubt[0], 0.0], [0.0, model.doubt[1]]];
        let (mut rows, mut sum) = (Vec::new(), 0.0);
        for (&x, &y) in x.iter().zip(y) {
            p[0][0] += model.step[0];
            p[1][1] += model.step[1];
            let h = [x, 1.0];
            let ph = [p[0][0] * h[0] + p[0][1] * h[1], p[1][0] * h[0] + p[1][1] * h[1]];
            let variance = h[0] * ph[0] + h[1] * ph[1] + model.noise;
            let innovation = y - state[0] * h[0] - state[1] * h[1];
            let gain = [ph[0] / variance, ph[1] / variance];
            state = [state[0] + gain[0] * innovation, state[1] + gain[1] * innovation];
            let keep = [[1.0 - gain[0] * h[0], -gain[0] * h[1]], [-gain[1] * h[0], 1.0 - gain[1] * h[1]]];
            let mut next = [[0.0; 2]; 2];
            for a in 0..2 {
                for b in 0..2 {
                    for c in 0..2 {
                        for d in 0..2 {
                            next[a][b] += keep[a][c] * p[c][d] * keep[b][d];
                        }
                    }
                    next[a][b] += gain[a] * gain[b] * model.noise;
                }
            }
            p = next;
            sum -= 0.5 * ((std::f64::consts::TAU * variance).ln() + innovation * innovation / variance);
            rows.push([state[0], state[1], innovation, variance, p[0][0]]);
        }
        (rows, sum)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_filter_agrees_with_the_textbook(
            pairs in prop::collection::vec((-5.0..5.0_f64, -9.0..9.0_f64), 1..400),
            steps in prop::array::uniform2(0.0..0.1_f64), doubt in prop::array::uniform2(0.0..10.0_f64),
            noise in 0.01..5.0_f64,
        ) {
            let (x, y): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let model = HedgeModel { first: [0.5, -1.0], doubt, step: steps, noise };
            let mut found = Hedge::default();
            model.filter(&x, &y, &mut found).expect("a hedge");
            let (rows, sum) = slow(&model, &x, &y);
            for (k, row) in rows.iter().enumerate() {
                let ours = [found.beta[k], found.alpha[k], found.innovation[k], found.variance[k], found.beta_variance[k]];
                for (a, b) in ours.iter().zip(row) {
                    prop_assert!((a - b).abs() < 1e-7 * (1.0 + b.abs()), "{k}: {ours:?} {row:?}");
                }
            }
            prop_assert!((found.log_likelihood - sum).abs() < 1e-6 * (1.0 + sum.abs()));
        }
    }

    #[test]
    fn without_steps_and_with_a_vague_guess_it_is_the_regression() {
        let x: Vec<f64> = (0..500).map(|k| f64::from((k * 37) % 101) / 10.0).collect();
        let y: Vec<f64> = x.iter().enumerate().map(|(k, x)| 2.0 + 1.5 * x + ((k * 13) % 7) as f64 - 3.0).collect();
        let n = x.len() as f64;
        let (mx, my) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
        let slope = x.iter().zip(&y).map(|(x, y)| (x - mx) * (y - my)).sum::<f64>()
            / x.iter().map(|x| (x - mx) * (x - mx)).sum::<f64>();
        let mut found = Hedge::default();
        let model = HedgeModel { first: [0.0; 2], doubt: [1e8; 2], step: [0.0; 2], noise: 4.0 };
        model.filter(&x, &y, &mut found).expect("a hedge");
        assert!((found.beta[499] - slope).abs() < 1e-5, "{} {slope}", found.beta[499]);
        assert!((found.alpha[499] - (my - slope * mx)).abs() < 1e-5);
    }

    #[test]
    fn unusable_input_is_a_typed_error() {
        let model = HedgeModel { first: [0.0; 2], doubt: [1.0; 2], step: [0.0; 2], noise: 1.0 };
        let run = |model: HedgeModel, x: &[f64], y: &[f64]| model.filter(x, y, &mut Hedge::default()).err();
        assert_eq!(run(model, &[1.0], &[]), Some(StatsError::Lengths { series: "y", times: 1, values: 0 }));
        assert_eq!(run(model, &[], &[]), Some(StatsError::Empty { series: "y" }));
        assert_eq!(run(model, &[f64::NAN], &[1.0]), Some(StatsError::NotFinite { series: "x", index: 0 }));
        assert_eq!(run(model, &[1e200], &[1.0]), Some(StatsError::NotFinite { series: "filter", index: 0 }));
        for bad in [
            HedgeModel { noise: 0.0, ..model },
            HedgeModel { step: [-1.0, 0.0], ..model },
            HedgeModel { first: [f64::NAN, 0.0], ..model },
        ] {
            assert!(matches!(run(bad, &[1.0], &[1.0]), Some(StatsError::Grid { .. })));
        }
    }
}
