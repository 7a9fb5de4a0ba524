//! Crosses: intervals in which two venues' touches overlap after costs.
//!
//! Buying at `ask` of one venue and selling at `bid` of another pays iff
//! `bid · (1 − fee_sell) > ask · (1 + fee_buy) · fair`, where `fair` is the ratio of sell to buy price that holds no
//! profit: 1 where both sides are the same claim. The comparison is exact, in 128-bit integers.

mod delayed;
mod depth;
mod fair;
mod grid;
mod scan;
pub mod walk;

pub use self::delayed::run_delayed;
pub use self::depth::{DepthCross, Shot};
use self::fair::{Both, Fair};
pub use self::grid::{Capital, CellResult, Delay, GridRules, Holding};
pub use self::scan::{Scan, ScanRules};
use super::MarketError;

/// One, in parts per billion.
const BILLION: i64 = 1_000_000_000;

/// What the ratio of two venues' prices should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FairBasis {
    /// Equal prices: both sides are the same claim.
    None,
    /// The median of the ratio of mids over the past window, sampled every `sample` ns of time in which both touches are
    /// known. Known after `warm_up` ns of samples; a hole longer than the window starts it anew.
    RollingMedian {
        /// Length of the window in ns.
        window: i64,
        /// Time between samples in ns.
        sample: i64,
        /// No cross before so many ns of samples.
        warm_up: i64,
    },
    /// The premium that funding implies: `rate × time to funding / 8 h` (Binance's "Price 1" of its mark price). Spot has
    /// none; a perpetual whose funding is not known yet has no fair basis, so no cross.
    Funding,
}

/// A perpetual's next funding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FundingState {
    /// Rate in 1e-10 of 1.
    pub rate: i64,
    /// When it is due, ns since the epoch.
    pub due: i64,
}

/// What counts as a cross.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrossRules {
    /// Taker fee of each instrument, parts per billion.
    pub fees: Vec<i64>,
    /// Total fees of both legs, parts per billion, half on each leg: crosses are also reported at each of these.
    pub ladder: Vec<i64>,
    /// The fair ratio of prices of each pair `(a, b)`, `a < b`; pairs not listed are not looked at.
    pub pairs: Vec<(usize, usize, FairBasis)>,
    /// Whether each instrument pays funding (a perpetual); used by [`FairBasis::Funding`].
    pub perpetual: Vec<bool>,
}

/// One interval in which two venues overlap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cross {
    /// `None` net of the instruments' own fees, else the rung of the ladder.
    pub rung: Option<usize>,
    /// Instrument to buy.
    pub buy: usize,
    /// Instrument to sell.
    pub sell: usize,
    /// First instant, ns.
    pub start: i64,
    /// First instant at which it is over, ns.
    pub end: i64,
    /// Whether the data ended before it did.
    pub censored: bool,
    /// The best net edge in bp of the buy price.
    pub best_edge_bp: f64,
    /// When the best edge was first there, ns.
    pub best_at: i64,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    start: i64,
    best_edge_bp: f64,
    best_at: i64,
}

#[derive(Clone, Debug)]
struct Pair {
    a: usize,
    b: usize,
    fair: Fair,
    /// A touch has changed at the present instant, and nobody has looked since.
    changed: bool,
    /// Open intervals: `[rung][direction]`, rung 0 being the instruments' own fees.
    open: Vec<[Option<Open>; 2]>,
    /// ns in which both touches and the fair basis were known.
    observed: i64,
    since: Option<i64>,
}

/// Looks for crosses, touch by touch.
#[derive(Clone, Debug)]
pub struct Crosses {
    factors: Vec<i64>,
    rules: CrossRules,
    touches: Vec<Option<(i64, i64)>>,
    funding: Vec<Option<FundingState>>,
    pairs: Vec<Pair>,
    found: Vec<Cross>,
    now: i64,
}

impl Crosses {
    /// `factors` brings each instrument's prices to a common unit (see [`super::common_units`]).
    ///
    /// # Errors
    /// [`MarketError`] if a list does not fit the instruments or a fee is out of range.
    pub fn new(factors: Vec<i64>, rules: CrossRules) -> Result<Self, MarketError> {
        let expected = factors.len();
        let lists = [("fees", rules.fees.len()), ("perpetual flags", rules.perpetual.len())];
        for (what, found) in lists {
            if found != expected {
                return Err(MarketError::Length { what, expected, found });
            }
        }
        if let Some(fee) = rules.fees.iter().chain(&rules.ladder).find(|fee| fee.saturating_abs() >= BILLION) {
            return Err(MarketError::Fee(*fee));
        }
        if let Some(&(a, b, _)) = rules.pairs.iter().find(|(a, b, _)| a.max(b) >= &expected) {
            return Err(MarketError::Length { what: "instruments in a pair", expected, found: a.max(b) + 1 });
        }
        let pairs = rules
            .pairs
            .iter()
            .map(|&(a, b, basis)| Pair {
                a: a.min(b),
                b: a.max(b),
                fair: Fair::new(basis),
                changed: false,
                open: vec![[None; 2]; rules.ladder.len() + 1],
                observed: 0,
                since: None,
            })
            .collect();
        let (touches, funding) = (vec![None; expected], vec![None; expected]);
        Ok(Self { factors, rules, touches, funding, pairs, found: Vec::new(), now: i64::MIN })
    }

    /// A perpetual's next funding is known.
    pub fn on_funding(&mut self, ts: i64, instrument: usize, state: FundingState) {
        self.advance(ts);
        if let Some(funding) = self.funding.get_mut(instrument) {
            *funding = Some(state);
        }
        self.pairs_of(instrument).for_each(|pair| pair.changed = true);
    }

    fn advance(&mut self, ts: i64) {
        if ts > self.now {
            self.settle();
            self.now = ts;
        }
    }

    fn pairs_of(&mut self, instrument: usize) -> impl Iterator<Item = &mut Pair> {
        self.pairs.iter_mut().filter(move |pair| pair.a == instrument || pair.b == instrument)
    }

    /// The touch of an instrument is now bid and ask, in its own units; `None`: not known. Of several touches of one
    /// instant only what they leave behind counts.
    pub fn on_touch(&mut self, ts: i64, instrument: usize, touch: Option<(i64, i64)>) {
        self.advance(ts);
        let Self { factors, touches, pairs, now, .. } = self;
        for pair in pairs.iter_mut().filter(|pair| pair.a == instrument || pair.b == instrument) {
            // What held until now is what the past is made of, so it is sampled before the touch changes.
            pair.sample(*now, touches, factors);
            pair.changed = true;
        }
        if let Some(place) = touches.get_mut(instrument) {
            *place = touch;
        }
    }

    /// Looks at the touches as they stand at the present instant.
    fn settle(&mut self) {
        let Self { factors, rules, touches, funding, pairs, found, now } = self;
        for pair in pairs.iter_mut().filter(|pair| pair.changed) {
            pair.changed = false;
            pair.look(*now, touches, factors, rules, funding, found);
        }
    }

    /// Ends the data at `ts`: open intervals are reported as censored, their time and the observed time counted up to it.
    pub fn finish(&mut self, ts: i64) {
        let ts = ts.max(self.now);
        self.settle();
        for pair in &mut self.pairs {
            pair.close_all(ts, true, &mut self.found);
        }
    }

    /// Runs over a path of touches `(ts, instrument, bid, ask)` in time order (a price of 0: not known), with funding
    /// `(ts, instrument, state)` in time order, and ends the data at `end`.
    pub fn run(
        &mut self,
        path: impl IntoIterator<Item = (i64, usize, i64, i64)>,
        funding: impl IntoIterator<Item = (i64, usize, FundingState)>,
        end: i64,
    ) {
        let mut funding = funding.into_iter().peekable();
        for (ts, instrument, bid, ask) in path {
            while let Some((since, at, state)) = funding.next_if(|(since, ..)| *since <= ts) {
                self.on_funding(since, at, state);
            }
            self.on_touch(ts, instrument, (bid > 0 && ask > 0).then_some((bid, ask)));
        }
        self.finish(end);
    }

    /// Takes the crosses found so far, in order of their ends.
    pub fn take(&mut self) -> Vec<Cross> {
        self.settle();
        std::mem::take(&mut self.found)
    }

    /// For each pair `(a, b)` the ns in which both touches and the fair basis were known: what a time share is a share
    /// of.
    pub fn observed(&self) -> impl Iterator<Item = (usize, usize, i64)> + '_ {
        self.pairs.iter().map(|pair| {
            let open = pair.since.map_or(0, |since| self.now - since);
            (pair.a, pair.b, pair.observed + open)
        })
    }
}

type Touches = [Option<(i64, i64)>];

impl Pair {
    /// Both touches in the common unit; `None` where a side is unknown.
    fn touches(&self, touches: &Touches, factors: &[i64]) -> Option<Both> {
        let side = |i: usize| {
            let ((bid, ask), factor) = (touches.get(i).copied().flatten()?, i128::from(*factors.get(i)?));
            // A price of zero or less has no ratio to anything.
            (bid > 0 && ask > 0).then_some((i128::from(bid) * factor, i128::from(ask) * factor))
        };
        Some([side(self.a)?, side(self.b)?])
    }

    /// Samples what held from the last sample up to, but not at, `ts`.
    fn sample(&mut self, ts: i64, touches: &Touches, factors: &[i64]) {
        let both = self.touches(touches, factors);
        self.fair.sample(ts, both);
    }

    /// The fair ratio of `b` to `a` in parts per billion.
    fn fair(&self, ts: i64, rules: &CrossRules, funding: &[Option<FundingState>]) -> Option<i64> {
        let ends = [self.a, self.b];
        // An instrument that the rules do not have has no fair price.
        let perpetual = ends.map(|i| rules.perpetual.get(i).copied().unwrap_or(true));
        self.fair.ratio(ts, perpetual, ends.map(|i| funding.get(i).copied().flatten()))
    }

    fn look(
        &mut self,
        ts: i64,
        touches: &Touches,
        factors: &[i64],
        rules: &CrossRules,
        funding: &[Option<FundingState>],
        found: &mut Vec<Cross>,
    ) {
        let both = self.touches(touches, factors);
        self.fair.known(ts, both.is_some());
        let known = both.zip(self.fair(ts, rules, funding));
        let Some(([(bid_a, ask_a), (bid_b, ask_b)], fair)) = known else {
            self.close_all(ts, true, found);
            return;
        };
        self.since.get_or_insert(ts);
        let (a, b) = (self.a, self.b);
        let own = |i: usize| rules.fees.get(i).copied().unwrap_or(0);
        for (rung, open) in self.open.iter_mut().enumerate() {
            let (fee_a, fee_b) = match rung.checked_sub(1).and_then(|rung| rules.ladder.get(rung)) {
                None => (own(a), own(b)),
                Some(total) => (total / 2, total - total / 2),
            };
            // Buy a and sell b at the fair ratio b/a, or buy b and sell a at its inverse.
            let edges = [
                edge_bp(bid_b, ask_a, fee_b, fee_a, BILLION, fair),
                edge_bp(bid_a, ask_b, fee_a, fee_b, fair, BILLION),
            ];
            for (direction, edge) in edges.into_iter().enumerate() {
                let Some(place) = open.get_mut(direction) else { continue };
                match (edge, place.as_mut()) {
                    (Some(edge), None) => *place = Some(Open { start: ts, best_edge_bp: edge, best_at: ts }),
                    (Some(edge), Some(open)) if edge > open.best_edge_bp => {
                        (open.best_edge_bp, open.best_at) = (edge, ts);
                    }
                    (None, Some(_)) => close(place, rung, direction, (a, b), ts, false, found),
                    _ => {}
                }
            }
        }
    }

    fn close_all(&mut self, ts: i64, censored: bool, found: &mut Vec<Cross>) {
        if let Some(since) = self.since.take() {
            self.observed += ts - since;
        }
        for (rung, open) in self.open.iter_mut().enumerate() {
            for (direction, place) in open.iter_mut().enumerate() {
                close(place, rung, direction, (self.a, self.b), ts, censored, found);
            }
        }
    }
}

fn close(
    place: &mut Option<Open>,
    rung: usize,
    direction: usize,
    (a, b): (usize, usize),
    ts: i64,
    censored: bool,
    found: &mut Vec<Cross>,
) {
    let Some(open) = place.take() else { return };
    // Several touches of one instant: what lived for no time was never there.
    if open.start == ts {
        return;
    }
    let (buy, sell) = if direction == 0 { (a, b) } else { (b, a) };
    let Open { start, best_edge_bp, best_at } = open;
    found.push(Cross { rung: rung.checked_sub(1), buy, sell, start, end: ts, censored, best_edge_bp, best_at });
}

/// The net edge in bp of the buy price if it is above zero, decided exactly.
#[allow(clippy::cast_precision_loss)] // the sign is exact, the size of an edge is analytics
fn edge_bp(bid: i128, ask: i128, fee_sell: i64, fee_buy: i64, sell_weight: i64, buy_weight: i64) -> Option<f64> {
    let weigh = |price: i128, fee: i64, weight: i64| {
        price.checked_mul(i128::from(BILLION + fee)).and_then(|value| value.checked_mul(i128::from(weight)))
    };
    // Prices beyond 2^60 common units do not fit and are compared in floats.
    match (weigh(bid, -fee_sell, sell_weight), weigh(ask, fee_buy, buy_weight)) {
        (Some(income), Some(cost)) => (income > cost).then(|| (income - cost) as f64 / cost as f64 * 1e4),
        _ => {
            let float = |price: i128, fee: i64, weight: i64| price as f64 * (BILLION + fee) as f64 * weight as f64;
            let (income, cost) = (float(bid, -fee_sell, sell_weight), float(ask, fee_buy, buy_weight));
            (income > cost).then(|| (income / cost - 1.0) * 1e4)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(basis: FairBasis, fees: [i64; 2], ladder: Vec<i64>) -> CrossRules {
        CrossRules { fees: fees.to_vec(), ladder, pairs: vec![(0, 1, basis)], perpetual: vec![true, false] }
    }

    fn own(crosses: &mut Crosses) -> Vec<Cross> {
        crosses.take().into_iter().filter(|cross| cross.rung.is_none()).collect()
    }

    #[test]
    fn an_overlap_becomes_one_interval_with_its_best_edge() {
        let mut crosses = Crosses::new(vec![1, 10], rules(FairBasis::None, [0, 0], vec![])).expect("rules");
        crosses.on_touch(10, 0, Some((1_000, 1_001)));
        crosses.on_touch(20, 1, Some((101, 102)));
        crosses.on_touch(30, 0, Some((1_004, 1_005)));
        crosses.on_touch(40, 0, Some((1_009, 1_011)));
        let found = own(&mut crosses);
        assert_eq!(found.len(), 1);
        let cross = found[0];
        assert_eq!((cross.buy, cross.sell, cross.start, cross.end, cross.best_at), (0, 1, 20, 40, 20));
        assert!((cross.best_edge_bp - 9.0 / 1_001.0 * 1e4).abs() < 1e-9);
        assert_eq!(crosses.observed().next(), Some((0, 1, 20)));
    }

    #[test]
    fn equality_after_fees_is_no_cross() {
        // Sell at 1001 less 0.1 % against buying at 999.999 free of fee: 999.999 on both sides.
        let fees = rules(FairBasis::None, [0, 1_000_000], vec![]);
        let mut crosses = Crosses::new(vec![1, 1], fees).expect("rules");
        crosses.on_touch(1, 0, Some((999_998, 999_999)));
        crosses.on_touch(2, 1, Some((1_001_000, 1_002_000)));
        crosses.finish(9);
        assert!(own(&mut crosses).is_empty());
        crosses.on_touch(10, 1, Some((1_001_001, 1_002_000)));
        crosses.finish(20);
        assert_eq!(own(&mut crosses).len(), 1);
    }

    #[test]
    fn a_cross_ends_when_a_touch_is_lost() {
        let mut crosses = Crosses::new(vec![1, 1], rules(FairBasis::None, [0, 0], vec![])).expect("rules");
        crosses.on_touch(1, 0, Some((10, 11)));
        crosses.on_touch(2, 1, Some((15, 16)));
        crosses.on_touch(5, 1, None);
        crosses.on_touch(9, 1, Some((10, 11)));
        let found = own(&mut crosses);
        assert_eq!(found.iter().map(|c| (c.start, c.end, c.censored)).collect::<Vec<_>>(), [(2, 5, true)]);
    }

    #[test]
    fn a_constant_premium_is_no_cross_against_its_own_median() {
        let basis = FairBasis::RollingMedian { window: 1_000, sample: 1, warm_up: 50 };
        let mut crosses = Crosses::new(vec![1, 1], rules(basis, [0, 0], vec![0])).expect("rules");
        for step in 0..100 {
            crosses.on_touch(step, 0, Some((1_000, 1_001)));
            crosses.on_touch(step, 1, Some((1_100, 1_101)));
        }
        crosses.on_touch(100, 1, Some((1_110, 1_111)));
        crosses.finish(110);
        let found = crosses.take();
        assert_eq!(
            found.iter().map(|c| (c.rung, c.start, c.buy)).collect::<Vec<_>>(),
            [(None, 100, 0), (Some(0), 100, 0)]
        );
    }

    #[test]
    fn after_a_hole_longer_than_its_window_the_median_warms_up_anew() {
        let basis = FairBasis::RollingMedian { window: 100, sample: 1, warm_up: 50 };
        let mut crosses = Crosses::new(vec![1, 1], rules(basis, [0, 0], vec![])).expect("rules");
        crosses.on_touch(0, 0, Some((1_000, 1_001)));
        crosses.on_touch(0, 1, Some((1_000, 1_001)));
        crosses.on_touch(90, 1, None);
        crosses.on_touch(10_000, 1, Some((1_010, 1_011)));
        crosses.on_touch(10_020, 1, Some((1_020, 1_021)));
        crosses.finish(10_040);
        assert!(own(&mut crosses).is_empty(), "20 ns of samples are no fair ratio");
    }

    #[test]
    fn of_several_touches_of_one_instant_only_the_last_counts() {
        let mut crosses = Crosses::new(vec![1, 1], rules(FairBasis::None, [0, 0], vec![])).expect("rules");
        crosses.on_touch(1, 0, Some((10, 11)));
        crosses.on_touch(1, 1, Some((15, 16)));
        crosses.on_touch(5, 0, Some((15, 16)));
        crosses.on_touch(5, 0, Some((12, 13)));
        crosses.finish(9);
        let found = own(&mut crosses);
        assert_eq!(found.iter().map(|c| (c.start, c.end)).collect::<Vec<_>>(), [(1, 9)], "not split at 5");
    }

    #[test]
    fn funding_gives_a_perpetual_its_fair_premium() {
        let mut crosses = Crosses::new(vec![1, 1], rules(FairBasis::Funding, [0, 0], vec![])).expect("rules");
        let hour = 3_600_000_000_000;
        crosses.on_touch(1, 0, Some((100_020, 100_021)));
        crosses.on_touch(2, 1, Some((100_000, 100_001)));
        crosses.finish(3);
        assert!(own(&mut crosses).is_empty(), "without funding nothing is known");
        // 0.1 % in 4 of 8 hours is worth 0.05 %: a perpetual at +0.02 % is cheap against spot.
        crosses.on_funding(3, 0, FundingState { rate: 10_000_000, due: 4 * hour });
        crosses.on_touch(4, 1, Some((100_000, 100_001)));
        crosses.finish(5);
        assert_eq!(own(&mut crosses).first().map(|cross| cross.buy), Some(0));
    }

    #[test]
    fn wrong_lists_and_fees_are_refused() {
        assert!(Crosses::new(vec![1], rules(FairBasis::None, [0, 0], vec![])).is_err());
        assert_eq!(
            Crosses::new(vec![1, 1], rules(FairBasis::None, [0, BILLION], vec![])).err(),
            Some(MarketError::Fee(BILLION))
        );
    }
}
