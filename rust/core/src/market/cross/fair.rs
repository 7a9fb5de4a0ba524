//! The fair ratio of two venues' prices, as it is known at each instant.

use super::{BILLION, FairBasis, FundingState};
use crate::stats::RollingMedian;

/// Follows the fair ratio of `b` to `a`. Its rolling median is of what held up to, but not at, the present instant.
#[derive(Clone, Debug)]
pub(super) struct Fair {
    basis: FairBasis,
    median: RollingMedian,
    first_sample: Option<i64>,
    last_sample: i64,
    next_sample: Option<i64>,
}

/// Bid and ask of both venues in a common unit.
pub(super) type Both = [(i128, i128); 2];

impl Fair {
    pub(super) fn new(basis: FairBasis) -> Self {
        let window = if let FairBasis::RollingMedian { window, .. } = basis { window } else { 0 };
        Self { basis, median: RollingMedian::new(window), first_sample: None, last_sample: i64::MIN, next_sample: None }
    }

    /// Both touches are known from `ts` on, or one is not.
    pub(super) fn known(&mut self, ts: i64, known: bool) {
        self.next_sample = if known { self.next_sample.or(Some(ts)) } else { None };
    }

    /// Samples what held from the last sample up to, but not at, `ts`.
    pub(super) fn sample(&mut self, ts: i64, touches: Option<Both>) {
        let (FairBasis::RollingMedian { window, sample, .. }, Some(next)) = (self.basis, self.next_sample) else {
            return;
        };
        let Some([(bid_a, ask_a), (bid_b, ask_b)]) = touches else { return };
        let ratio = (bid_b + ask_b).checked_mul(i128::from(BILLION)).map(|b| b / (bid_a + ask_a));
        let Some(Ok(ratio)) = ratio.map(i64::try_from) else { return };
        // Samples older than the window would only be dropped again.
        let mut next = next.max(ts.saturating_sub(window));
        while next < ts {
            if next.saturating_sub(self.last_sample) > window {
                self.first_sample = None;
            }
            self.median.push(next, ratio);
            self.first_sample.get_or_insert(next);
            self.last_sample = next;
            next = next.saturating_add(sample.max(1));
        }
        self.next_sample = Some(next);
    }

    /// The fair ratio of `b` to `a` in parts per billion. `perpetual` and `funding` are those of `a` and of `b`.
    pub(super) fn ratio(&self, ts: i64, perpetual: [bool; 2], funding: [Option<FundingState>; 2]) -> Option<i64> {
        match self.basis {
            FairBasis::None => Some(BILLION),
            FairBasis::RollingMedian { window, warm_up, .. } => {
                self.first_sample.filter(|first| ts.saturating_sub(*first) >= warm_up)?;
                if ts.saturating_sub(self.last_sample) > window { None } else { self.median.median() }
            }
            FairBasis::Funding => {
                let premium = |perpetual: bool, funding: Option<FundingState>| {
                    if !perpetual {
                        return Some(BILLION);
                    }
                    const PERIOD: i128 = 8 * 3_600 * 1_000_000_000;
                    let state = funding?;
                    let left = (i128::from(state.due) - i128::from(ts)).clamp(0, PERIOD);
                    i64::try_from(i128::from(BILLION) + i128::from(state.rate) * left / PERIOD / 10).ok()
                };
                let (a, b) = (premium(perpetual[0], funding[0])?, premium(perpetual[1], funding[1])?);
                i64::try_from(i128::from(b) * i128::from(BILLION) / i128::from(a.max(1))).ok()
            }
        }
        .filter(|fair| *fair > 0)
    }
}
