//! One pass over events: crosses with their depth, and what a trader of given capital and latency makes of them.
//!
//! Time goes from instant to instant. What several events of one instant leave behind is what counts; then orders that are
//! due at that instant arrive, then crosses are looked at, then traders decide.

#[cfg(test)]
mod tests;

use super::depth::{DepthCross, Shot, shoot};
use super::fair::{Both, Fair};
use super::grid::{Book, CellResult, Grid, GridRules, World};
use super::walk::{LegCost, Terms};
use super::{BILLION, FairBasis, FundingState, edge_bp};
use crate::event::{Event, Kind};
use crate::instrument::Contract;
use crate::market::convert::{NO_ASK, NO_BID};
use crate::market::touch::Change;
use crate::market::{Market, MarketError};
use crate::units::{Nanos, Price, Size};

/// What a scan looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRules {
    /// The fair ratio of prices of each pair `(a, b)`; pairs not listed are not looked at.
    pub pairs: Vec<(usize, usize, FairBasis)>,
    /// Whether each instrument pays funding (a perpetual); used by [`FairBasis::Funding`].
    pub perpetual: Vec<bool>,
    /// What each order that is filled costs beside the market's taker fee, in 10^-18 of the market's quote currency, by
    /// instrument; none if empty.
    pub fixed: Vec<i128>,
    /// Nothing is looked at before this time, ns: events before it only make the books.
    pub begin: i64,
    /// Whether both books are walked; without it crosses have no size and no profit, and depth behind the touch is passed
    /// over.
    pub depth: bool,
}

/// A pair and its open crosses: buy `a` and sell `b`, or the other way round.
#[derive(Clone, Debug)]
struct Pair {
    a: usize,
    b: usize,
    fair: Fair,
    step: i64,
    open: [Option<DepthCross>; 2],
    observed: i64,
    since: Option<i64>,
    /// Funding came at the present instant.
    renewed: bool,
    /// The touches overlap, whether or not fixed costs leave anything of it: what lies behind them matters.
    near: bool,
}

/// A cross that is open, as traders see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chance {
    pub(super) buy: usize,
    pub(super) sell: usize,
    pub(super) step: i64,
    pub(super) shot: Shot,
    /// Whether it may differ from the instant before.
    pub(super) fresh: bool,
}

/// Looks for crosses over a market, and lets traders take them.
#[derive(Clone, Debug)]
pub struct Scan {
    /// What the venues' books are.
    market: Market,
    /// What we see of them, if that is later.
    seen: Option<Market>,
    rules: ScanRules,
    costs: Vec<LegCost>,
    funding: Vec<Option<FundingState>>,
    touches: Vec<(i64, i64)>,
    pairs: Vec<Pair>,
    chances: Vec<Chance>,
    /// Venues that changed at the present instant, as bits: as they are, and as they are seen.
    changed: [u64; 2],
    now: i64,
    next_expiry: i64,
    found: Vec<DepthCross>,
    grid: Option<Grid>,
    /// A sum did not fit.
    overflow: bool,
}

impl Scan {
    /// A scan over a market of which nothing is known yet.
    ///
    /// # Errors
    /// [`MarketError`] if a list does not fit the instruments.
    pub fn new(market: Market, rules: ScanRules) -> Result<Self, MarketError> {
        let expected = market.venues().len();
        let lists = [("perpetual flags", rules.perpetual.len()), ("fixed costs", rules.fixed.len())];
        for (what, found) in lists {
            if found != expected && !(what == "fixed costs" && found == 0) {
                return Err(MarketError::Length { what, expected, found });
            }
        }
        if let Some(&(a, b, _)) = rules.pairs.iter().find(|(a, b, _)| a.max(b) >= &expected) {
            return Err(MarketError::Length { what: "instruments in a pair", expected, found: a.max(b) + 1 });
        }
        let money = |amount: i128| money_up(&market, amount).ok_or(MarketError::Overflow);
        let fixed = (0..expected).map(|at| rules.fixed.get(at).map_or(Ok(0), |amount| money(*amount)));
        let fixed = fixed.collect::<Result<Vec<_>, _>>()?;
        let costs = market.fees().iter().zip(fixed).map(|(rate, fixed)| LegCost { rate: *rate, fixed }).collect();
        let pairs = rules.pairs.iter().map(|&(a, b, basis)| {
            let (a, b) = (a.min(b), a.max(b));
            let (one, other) = (lot_step(&market, a), lot_step(&market, b));
            let step = (one / gcd(one, other)).checked_mul(other).ok_or(MarketError::Overflow)?;
            let fair = Fair::new(basis);
            Ok(Pair { a, b, fair, step, open: [None, None], observed: 0, since: None, renewed: false, near: false })
        });
        Ok(Self {
            pairs: pairs.collect::<Result<_, MarketError>>()?,
            costs,
            funding: vec![None; expected],
            touches: vec![(NO_BID, NO_ASK); expected],
            chances: Vec::new(),
            changed: [0, 0],
            now: i64::MIN,
            next_expiry: i64::MAX,
            found: Vec::new(),
            grid: None,
            overflow: false,
            seen: None,
            market,
            rules,
        })
    }

    /// Lets traders of several capitals and latencies take the crosses.
    ///
    /// # Errors
    /// [`MarketError`] if a list does not fit the instruments.
    pub fn with_traders(mut self, rules: GridRules) -> Result<Self, MarketError> {
        self.rules.depth = true;
        self.grid = Some(Grid::new(&self.market, self.costs.clone(), rules)?);
        Ok(self)
    }

    /// Takes an event that is seen when it happens, at its receive time.
    #[inline]
    pub fn apply(&mut self, event: &Event) {
        self.step_to(event.ts_recv.0);
        let change = self.market.apply(event);
        self.note(event, change, 0);
    }

    /// Takes an event as it happens at `ts`; [`Self::see`] must bring it again when it is seen. All calls of both are in
    /// the order of time, and what happens at an instant comes before what is seen at it.
    pub fn happen(&mut self, event: &Event, ts: i64) {
        if self.seen.is_none() {
            self.seen = Some(self.market.clone());
        }
        self.step_to(ts);
        let change = self.market.apply(&Event { ts_recv: Nanos(ts), ..*event });
        self.note(event, change, 0);
    }

    /// Takes an event as it is seen at `ts`.
    pub fn see(&mut self, event: &Event, ts: i64) {
        self.step_to(ts);
        let Some(seen) = &mut self.seen else { return };
        let change = seen.apply(&Event { ts_recv: Nanos(ts), ..*event });
        self.note(event, change, 1);
    }

    #[inline]
    fn note(&mut self, event: &Event, change: Option<Change>, book: usize) {
        let index = event.instrument as usize;
        if change.is_some() {
            self.changed[book] |= 1_u64.checked_shl(event.instrument).unwrap_or(0);
            let limit = self.market.limits().get(index).copied().unwrap_or(i64::MAX);
            self.next_expiry = self.next_expiry.min(self.now.saturating_add(limit).saturating_add(1));
        } else if event.kind == Kind::Funding && (book == 1 || self.seen.is_none()) {
            if let Some(place) = self.funding.get_mut(index) {
                *place = Some(FundingState { rate: event.price.0, due: event.size.0 });
            }
            self.pairs
                .iter_mut()
                .filter(|pair| pair.a == index || pair.b == index)
                .for_each(|pair| pair.renewed = true);
        }
    }

    /// Lets time go by up to, but not including, `ts`; at `ts` itself more may happen.
    #[inline]
    fn step_to(&mut self, ts: i64) {
        if ts <= self.now {
            return;
        }
        self.settle();
        let due = self.grid.as_ref().map_or(i64::MAX, Grid::due).min(self.next_expiry);
        if due < ts {
            self.step_through(ts);
        }
        self.now = ts;
    }

    #[cold]
    #[inline(never)]
    fn step_through(&mut self, ts: i64) {
        loop {
            let due = self.grid.as_ref().map_or(i64::MAX, Grid::due).min(self.next_expiry);
            if due >= ts {
                return;
            }
            self.now = self.now.max(due);
            if self.next_expiry <= self.now {
                self.expire();
            } else {
                // Depth that is stale by now is so for orders too that arrive between two events.
                self.market.advance(Nanos(self.now));
                if let Some(seen) = &mut self.seen {
                    seen.advance(Nanos(self.now));
                }
            }
            self.settle();
        }
    }

    /// Venues may have become stale.
    fn expire(&mut self) {
        let now = self.now;
        self.next_expiry = i64::MAX;
        for (book, market) in [Some(&mut self.market), self.seen.as_mut()].into_iter().enumerate() {
            let Some(market) = market else { continue };
            let before: Vec<_> = (0..self.touches.len()).map(|at| market.touch(at)).collect();
            market.advance(Nanos(now));
            for (at, touch) in before.iter().enumerate() {
                if market.touch(at) != *touch {
                    self.changed[book] |= 1 << at;
                }
            }
            for (venue, limit) in market.venues().iter().zip(market.limits()) {
                let Some(heard) = venue.heard() else { continue };
                let due = heard.0.saturating_add(*limit).saturating_add(1);
                if due > now {
                    self.next_expiry = self.next_expiry.min(due);
                }
            }
        }
    }

    /// Looks at what the present instant leaves behind.
    #[inline]
    fn settle(&mut self) {
        if self.now < self.rules.begin {
            return;
        }
        let due = self.grid.as_ref().is_some_and(|grid| grid.due() <= self.now);
        if self.changed != [0, 0] || due || self.pairs.iter().any(|pair| pair.renewed) {
            self.look();
        }
    }

    fn look(&mut self) {
        let [happened, shown] = std::mem::take(&mut self.changed);
        let shown = if self.seen.is_some() { shown } else { happened };
        if let Some(grid) = &mut self.grid {
            grid.refresh(Book::True, &self.market, happened);
            if let Some(seen) = &self.seen {
                grid.refresh(Book::Seen, seen, shown);
            }
            grid.arrive(self.now, &World { market: &self.market, seen: self.seen.as_ref(), happened });
        }
        if shown != 0 || self.pairs.iter().any(|pair| pair.renewed) {
            self.look_at_pairs(shown);
        }
        if let Some(grid) = &mut self.grid {
            let world = World { market: &self.market, seen: self.seen.as_ref(), happened };
            grid.decide(self.now, &self.chances, &world);
            self.chances.iter_mut().for_each(|chance| chance.fresh = false);
        }
    }

    fn look_at_pairs(&mut self, shown: u64) {
        let Self { market, seen, touches, pairs, now, .. } = self;
        let market = seen.as_ref().unwrap_or(market);
        // A rate moves the prices of other venues.
        let mut moved = 0_u64;
        let rates = (0..touches.len()).any(|at| shown >> at & 1 == 1 && market.is_rate(at));
        let changed = if rates { u64::MAX } else { shown };
        for (at, touch) in touches.iter().enumerate() {
            if changed >> at & 1 == 1 && market.touch(at) != *touch {
                moved |= 1 << at;
            }
        }
        if moved != 0 {
            for pair in pairs.iter_mut().filter(|pair| moved >> pair.a & 1 == 1 || moved >> pair.b & 1 == 1) {
                // What held until now is what the past is made of, so it is sampled before the touch changes.
                let both = both(touches, pair);
                pair.fair.sample(*now, both);
            }
            for (at, touch) in touches.iter_mut().enumerate().filter(|(at, _)| moved >> at & 1 == 1) {
                *touch = market.touch(at);
            }
        }
        self.chances.clear();
        for index in 0..self.pairs.len() {
            let Some(pair) = self.pairs.get(index) else { return };
            let of = 1_u64 << pair.a | 1 << pair.b;
            let deeper = self.rules.depth && changed & of != 0 && pair.near;
            if moved & of != 0 || deeper || pair.renewed {
                self.look_at(index);
            } else {
                self.offer(index, false);
            }
        }
    }

    /// Crosses of a pair that are open are chances.
    fn offer(&mut self, index: usize, fresh: bool) {
        if self.grid.is_none() {
            return;
        }
        let Some(pair) = self.pairs.get(index) else { return };
        for cross in pair.open.iter().flatten() {
            self.chances.push(Chance { buy: cross.buy, sell: cross.sell, step: pair.step, shot: cross.at_end, fresh });
        }
    }

    fn look_at(&mut self, index: usize) {
        let Self { market, seen, rules, costs, funding, touches, pairs, now, found, .. } = self;
        let market = seen.as_ref().unwrap_or(market);
        let Some(pair) = pairs.get_mut(index) else { return };
        (pair.renewed, pair.near) = (false, false);
        let ends = [pair.a, pair.b];
        let both = both(touches, pair);
        pair.fair.known(*now, both.is_some());
        let perpetual = ends.map(|i| rules.perpetual.get(i).copied().unwrap_or(true));
        let fair = pair.fair.ratio(*now, perpetual, ends.map(|i| funding.get(i).copied().flatten()));
        let Some(([(bid_a, ask_a), (bid_b, ask_b)], fair)) = both.zip(fair) else {
            pair.close_all(*now, true, found);
            return;
        };
        pair.since.get_or_insert(*now);
        let cost = |i: usize| costs.get(i).copied().unwrap_or_default();
        let (a, b) = (cost(pair.a), cost(pair.b));
        for direction in 0..2 {
            let (from, to, ask, bid, terms) = if direction == 0 {
                (pair.a, pair.b, ask_a, bid_b, Terms { buy: a, sell: b, buy_weight: fair, sell_weight: BILLION })
            } else {
                (pair.b, pair.a, ask_b, bid_a, Terms { buy: b, sell: a, buy_weight: BILLION, sell_weight: fair })
            };
            let edge = edge_bp(bid, ask, terms.sell.rate, terms.buy.rate, terms.sell_weight, terms.buy_weight);
            let mut shot = None;
            if edge.is_some() {
                pair.near = true;
                shot = if rules.depth {
                    shoot(market, *now, (from, to), terms, pair.step)
                } else {
                    Some(Shot { ts: *now, trade: Default::default(), terms, unrounded: 0, conversion: 0 })
                };
                self.overflow |= shot.is_none();
            }
            let fixed = terms.buy.fixed != 0 || terms.sell.fixed != 0;
            if fixed && shot.is_some_and(|shot| shot.trade.profit <= 0) {
                shot = None;
            }
            let Some(place) = pair.open.get_mut(direction) else { continue };
            match (edge.zip(shot), place.as_mut()) {
                (Some((edge, shot)), None) => *place = Some(DepthCross::open(from, to, edge, shot)),
                (Some((edge, shot)), Some(open)) => open.go_on(edge, shot),
                (None, Some(_)) => close(place, *now, false, found),
                (None, None) => {}
            }
        }
        self.offer(index, true);
    }

    /// Ends the data at `ts`: open crosses are reported as censored, orders under way as not filled.
    ///
    /// # Errors
    /// [`MarketError::Overflow`] if a sum did not fit 127 bits, so that a size or profit is missing.
    pub fn finish(&mut self, ts: i64) -> Result<(), MarketError> {
        self.step_to(ts.max(self.now));
        self.settle();
        for pair in &mut self.pairs {
            pair.close_all(self.now, true, &mut self.found);
        }
        let mut fits = !self.overflow;
        if let Some(grid) = &mut self.grid {
            fits &= grid.finish();
        }
        if fits { Ok(()) } else { Err(MarketError::Overflow) }
    }

    /// Takes the crosses found so far, in order of their ends.
    pub fn take(&mut self) -> Vec<DepthCross> {
        std::mem::take(&mut self.found)
    }

    /// What each trader made, by capital and then by latency; empty without traders.
    #[must_use]
    pub fn results(&self) -> &[CellResult] {
        self.grid.as_ref().map(Grid::results).unwrap_or_default()
    }

    /// For each pair `(a, b)` the ns in which both touches and the fair basis were known.
    pub fn observed(&self) -> impl Iterator<Item = (usize, usize, i64)> + '_ {
        self.pairs.iter().map(|pair| {
            let open = pair.since.map_or(0, |since| self.now.saturating_sub(since));
            (pair.a, pair.b, pair.observed + open)
        })
    }

    /// The market as it is.
    #[must_use]
    pub const fn market(&self) -> &Market {
        &self.market
    }
}

impl Pair {
    fn close_all(&mut self, ts: i64, censored: bool, found: &mut Vec<DepthCross>) {
        if let Some(since) = self.since.take() {
            self.observed += ts - since;
        }
        for place in &mut self.open {
            close(place, ts, censored, found);
        }
    }
}

fn close(place: &mut Option<DepthCross>, ts: i64, censored: bool, found: &mut Vec<DepthCross>) {
    if let Some(cross) = place.take() {
        // Several touches of one instant: what lived for no time was never there.
        if cross.start < ts {
            found.push(DepthCross { end: ts, censored, ..cross });
        }
    }
}

/// Both touches; `None` where a venue does not count or a price is zero or less, which has no ratio to anything.
fn both(touches: &[(i64, i64)], pair: &Pair) -> Option<Both> {
    let side = |i: usize| {
        let (bid, ask) = *touches.get(i)?;
        (bid > 0 && ask > 0 && ask != NO_ASK).then_some((i128::from(bid), i128::from(ask)))
    };
    Some([side(pair.a)?, side(pair.b)?])
}

/// One lot in common size units; 1 where it is finer, and of inverse contracts, whose lots are no fixed base size.
fn lot_step(market: &Market, index: usize) -> i64 {
    let inverse = market.venues().get(index).is_some_and(|venue| venue.instrument().contract == Contract::Inverse);
    let step = market.conversion(index).filter(|_| !inverse).map_or(1, |one| one.base_size(Price(1), Size(one.lot())));
    step.max(1)
}

const fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// An amount in 10^-18 of the quote currency as money of [`super::walk::Overlap`], up. Both are powers of ten.
pub(super) fn money_up(market: &Market, amount: i128) -> Option<i128> {
    money(market, amount.checked_neg()?)?.checked_neg()
}

/// The same, down.
pub(super) fn money(market: &Market, amount: i128) -> Option<i128> {
    let units = market.units();
    let power = i32::from(units.price.exponent()) + i32::from(units.size.exponent()) - 9 + 18;
    let scale = 10_i128.checked_pow(power.unsigned_abs())?;
    if power > 0 { Some(amount.div_euclid(scale)) } else { amount.checked_mul(scale) }
}
