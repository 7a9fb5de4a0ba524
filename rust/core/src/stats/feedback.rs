//! Two venues that mark to each other's prices, neither of which leads: the null that a lead has to beat.

use super::{StatsError, check};

/// How the two venues of [`feedback`] hear of news and of each other. The same for both, so that neither leads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Feedback {
    /// Standard deviation of each venue's own log price over one nanosecond.
    pub volatility: f64,
    /// How fast a venue closes the gap to the other's price that it sees, per nanosecond.
    pub rate: f64,
    /// How old the other's price is that a venue sees, ns. At least 1: nobody sees the present instant.
    pub delay: i64,
    /// The share of the variance of news that both hear at once; the rest is each venue's own.
    pub common: f64,
}

/// Log prices of X at `x_times` and Y at `y_times`: at each of its instants a venue hears the news since its last one, and
/// moves towards the other's price as it saw it, `delay` ago:
///
/// `x(t) = x(s) + σ (√c ΔC + √(1 − c) ΔW) + (1 − e^{−κ(t − s)}) (y(t − δ) − x(s))`
///
/// with `s` its instant before, `C` a Brownian motion heard by both and `W` its own; the same for `y`. Both start at 0.
/// Noise is standard normal: `own` of each instant, `shared` of each instant of either venue in order of time (of one
/// instant X first).
///
/// # Errors
/// [`StatsError`] if times descend, lengths differ, noise is not finite, or a parameter is out of range.
pub fn feedback(
    x_times: &[i64],
    x_own: &[f64],
    y_times: &[i64],
    y_own: &[f64],
    shared: &[f64],
    model: Feedback,
) -> Result<[Vec<f64>; 2], StatsError> {
    check("x", x_times, x_own)?;
    check("y", y_times, y_own)?;
    let count = x_times.len() + y_times.len();
    if shared.len() != count {
        return Err(StatsError::Lengths { series: "shared", times: count, values: shared.len() });
    }
    if let Some(index) = shared.iter().position(|value| !value.is_finite()) {
        return Err(StatsError::NotFinite { series: "shared", index });
    }
    super::origin(x_times, y_times)?;
    let Feedback { volatility, rate, delay, common } = model;
    let finite = volatility.is_finite() && rate.is_finite();
    if !(finite && volatility >= 0.0 && rate >= 0.0 && delay >= 1 && (0.0..=1.0).contains(&common)) {
        return Err(StatsError::Grid {
            expected: "a volatility and rate of at least 0, a delay of at least 1 ns and a common share of 0 to 1",
        });
    }
    let (own_scale, shared_scale) = (volatility * (1.0 - common).sqrt(), volatility * common.sqrt());
    let times = [x_times, y_times];
    let own = [x_own, y_own];
    let mut prices = [Vec::with_capacity(x_times.len()), Vec::with_capacity(y_times.len())];
    // Of the other's prices, how many each venue has seen; the common motion, and what each has heard of it.
    let (mut seen, mut motion, mut heard) = ([0, 0], 0.0, [0.0, 0.0]);
    let mut before = x_times[0].min(y_times[0]);
    for &noise in shared {
        let next = [0, 1].map(|venue| times[venue].get(prices[venue].len()).copied());
        let venue = usize::from(match next {
            [Some(x), Some(y)] => y < x,
            [x, _] => x.is_none(),
        });
        let (place, other) = (prices[venue].len(), 1 - venue);
        let now = times[venue][place];
        #[allow(clippy::cast_precision_loss)] // a span in ns
        let root = |since: i64| ((now - since) as f64).sqrt();
        motion += shared_scale * root(before) * noise;
        before = now;
        let price = if place == 0 {
            0.0
        } else {
            let (last, was) = (times[venue][place - 1], prices[venue][place - 1]);
            while seen[venue] < prices[other].len() && times[other][seen[venue]] <= now.saturating_sub(delay) {
                seen[venue] += 1;
            }
            let elapsed = root(last);
            let gap = if seen[venue] == 0 { 0.0 } else { prices[other][seen[venue] - 1] - was };
            let news = own_scale * elapsed * own[venue][place] + motion - heard[venue];
            was + news - (-rate * elapsed * elapsed).exp_m1() * gap
        };
        heard[venue] = motion;
        prices[venue].push(price);
    }
    Ok(prices)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: Feedback = Feedback { volatility: 1.0, rate: std::f64::consts::LN_2, delay: 1, common: 0.0 };

    #[test]
    fn each_venue_moves_half_way_to_what_it_saw_of_the_other_a_nanosecond_ago() {
        let [x, y] =
            feedback(&[0, 1, 3], &[9.0, 8.0, 0.0], &[0, 2], &[9.0, 0.0], &[0.0; 5], MODEL).expect("two venues");
        // At 1 x hears 8 and closes half of the gap to y = 0, from 0. At 2 y closes three quarters of the gap to 8.
        // At 3 x closes three quarters of the gap between its 8 and y's 6.
        assert_eq!((x[1], y[1]), (8.0, 6.0));
        assert!((x[2] - 6.5).abs() < 1e-12, "{x:?}");
    }

    #[test]
    fn common_news_reaches_both_at_their_next_instant() {
        let model = Feedback { common: 1.0, rate: 0.0, ..MODEL };
        let [x, y] =
            feedback(&[0, 4, 8], &[0.0; 3], &[0, 8], &[0.0; 2], &[0.0, 0.0, 1.0, 2.0, 5.0], model).expect("two");
        assert_eq!((x, y), (vec![0.0, 2.0, 6.0], vec![0.0, 6.0]));
    }

    #[test]
    fn what_makes_no_pair_is_refused() {
        let with = |model| feedback(&[0], &[0.0], &[0], &[0.0], &[0.0; 2], model).err();
        for model in [
            Feedback { volatility: f64::NAN, ..MODEL },
            Feedback { rate: -1.0, ..MODEL },
            Feedback { delay: 0, ..MODEL },
            Feedback { common: 1.5, ..MODEL },
        ] {
            assert!(matches!(with(model), Some(StatsError::Grid { .. })), "{model:?}");
        }
        let short = feedback(&[0], &[0.0], &[0], &[0.0], &[0.0], MODEL).err();
        assert_eq!(short, Some(StatsError::Lengths { series: "shared", times: 2, values: 1 }));
        let back = feedback(&[1, 0], &[0.0; 2], &[0], &[0.0], &[0.0; 3], MODEL).err();
        assert_eq!(back, Some(StatsError::NotAscending { series: "x", index: 1 }));
    }
}
