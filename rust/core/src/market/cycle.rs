//! Cycles: chains of trades through several currencies that end with more than they began with.
//!
//! Currencies are nodes and each spot book is two edges, at its touch net of the taker fee: buying turns `ask · (1 + fee)`
//! of the quote currency into 1 of the base, selling turns 1 of the base into `bid · (1 − fee)` of the quote currency. A
//! cycle pays iff the product of its rates is above 1.
//!
//! All simple cycles of bounded length are listed once, and an event looks again only at those through the two edges that
//! it changed: products of floats decide what is clear, and what lies within 1e-9 of 1 is decided exactly, in integers.
//! Longer ones are found by potentials that are repaired from the changed edge on (Bellman–Ford with a queue), so whether
//! *any* cycle pays is always known.
//!
//! What a cycle is worth follows from walking the books along it: see [`Plan`].

mod detect;
mod exact;
mod graph;
mod plan;
#[cfg(test)]
mod tests;

use thiserror::Error;

pub use self::graph::Leg;
use self::graph::{Graph, Turn};
pub use self::plan::{Plan, PlanLeg, plan};
use super::touch::{Change, Status, VenueBook};
use crate::event::Event;
use crate::instrument::{Contract, Instrument};
use crate::units::Nanos;

/// One, in parts per billion.
const BILLION: i64 = 1_000_000_000;

/// More cycles than this are not listed.
pub const MOST_CYCLES: usize = 1 << 20;

/// Why cycles cannot be looked for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CycleError {
    /// No instrument at all.
    #[error("expected at least one instrument")]
    Empty,
    /// A contract that does not exchange one currency for another.
    #[error("{name}: expected spot, which exchanges one currency for another, found {contract}")]
    Contract {
        /// The instrument.
        name: String,
        /// What it is.
        contract: &'static str,
    },
    /// A book of a currency against itself.
    #[error("{name}: expected two currencies, found {currency} against itself")]
    OneCurrency {
        /// The instrument.
        name: String,
        /// The currency.
        currency: String,
    },
    /// A list does not fit the instruments.
    #[error("expected {expected} fees, one an instrument, found {found}")]
    Fees {
        /// How many instruments there are.
        expected: usize,
        /// How many fees were given.
        found: usize,
    },
    /// A fee out of range.
    #[error("expected fees from -100 % to below 100 %, found {0} parts per billion")]
    Fee(i64),
    /// Lengths that no cycle has.
    #[error("expected lengths 2 <= shortest <= longest <= 16, found {0} and {1}")]
    Lengths(usize, usize),
    /// A home currency that no instrument has.
    #[error("home currency {0:?}: expected one of {1}")]
    Home(String, String),
    /// A limit of staleness below zero.
    #[error("expected a limit of staleness of zero or more ns, found {0}")]
    Limit(i64),
    /// Too many cycles to list.
    #[error("expected at most {MOST_CYCLES} cycles, found more: lower the longest length from {0}")]
    TooMany(usize),
}

/// What to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CycleRules {
    /// Taker fee of each instrument, parts per billion of the quote currency.
    pub fees: Vec<i64>,
    /// Fewest legs. With 2, two books of one pair make a cycle, which is a cross.
    pub shortest: usize,
    /// Most legs of the cycles that are listed and each looked at.
    pub longest: usize,
    /// Currencies in which to begin and to count profit, the most wanted first. A cycle begins in the first of them that
    /// it passes; then come quote currencies and bases in the order of the instruments.
    pub home: Vec<String>,
    /// A book counts only if it is synchronised, not halted, and was heard of within so many ns; [`i64::MAX`]: however long
    /// ago.
    pub stale_after: i64,
}

/// One interval in which a cycle paid at the touch.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundCycle {
    /// Which one: an index for [`Cycles::legs`].
    pub cycle: usize,
    /// First instant, ns.
    pub start: i64,
    /// First instant at which it is over, ns.
    pub end: i64,
    /// Whether a touch was lost or the data ended before it was over.
    pub censored: bool,
    /// The best product of net rates, less 1, in bp.
    pub best_edge_bp: f64,
    /// When that was first there, ns.
    pub best_at: i64,
    /// What it was worth at its first instant; `None` if not a lot fits.
    pub at_start: Option<Plan>,
    /// What it was worth at the best product.
    pub at_best: Option<Plan>,
}

/// Looks for cycles, event by event, with books of its own.
#[derive(Clone, Debug)]
pub struct Cycles {
    venues: Vec<VenueBook>,
    fees: Vec<i64>,
    limit: i64,
    /// No book is stale before this.
    next_expiry: i64,
    graph: Graph,
    open: Vec<(usize, FoundCycle)>,
    found: Vec<FoundCycle>,
    turns: Vec<Turn>,
    now: i64,
}

impl Cycles {
    /// Cycles over the books of these instruments; an event's `instrument` is the index in this list.
    ///
    /// # Errors
    /// [`CycleError`] if a contract is not spot, a fee, length or currency is out of range, or there are too many.
    pub fn new(instruments: Vec<Instrument>, rules: CycleRules) -> Result<Self, CycleError> {
        let graph = graph(&instruments, &rules)?;
        Ok(Self {
            venues: instruments.into_iter().map(VenueBook::new).collect(),
            fees: rules.fees,
            limit: rules.stale_after,
            next_expiry: i64::MAX,
            graph,
            open: Vec::new(),
            found: Vec::new(),
            turns: Vec::new(),
            now: i64::MIN,
        })
    }

    /// Takes one event. Events of instruments that are not in the list are passed over.
    #[inline]
    pub fn apply(&mut self, event: &Event) {
        let index = event.instrument as usize;
        self.step_to(event.ts_recv.0);
        let Some(venue) = self.venues.get_mut(index) else { return };
        let Some(change) = venue.apply(event) else { return };
        let until = self.now.saturating_add(self.limit).saturating_add(1);
        // A book that was left out may count again after any message.
        let revived = !self.graph.has(index) || self.next_expiry == i64::MAX;
        self.next_expiry = self.next_expiry.min(until);
        if change.moves_touch() || revived || matches!(change, Change::Status { .. }) {
            self.graph.set(index, counts(venue, self.now, self.limit));
        }
    }

    /// Time goes by: what the last instant left behind is looked at, then books that have become stale since.
    #[inline]
    fn step_to(&mut self, ts: i64) {
        if ts <= self.now {
            return;
        }
        self.settle();
        while self.next_expiry < ts {
            self.now = self.next_expiry;
            self.expire();
            self.settle();
        }
        self.now = ts;
    }

    #[cold]
    #[inline(never)]
    fn expire(&mut self) {
        self.next_expiry = i64::MAX;
        for (index, venue) in self.venues.iter().enumerate() {
            self.graph.set(index, counts(venue, self.now, self.limit));
            let heard = venue.heard().map_or(i64::MAX, |heard| heard.0);
            let due = heard.saturating_add(self.limit).saturating_add(1);
            if due > self.now {
                self.next_expiry = self.next_expiry.min(due);
            }
        }
    }

    /// Looks at the touches as they stand. Of several touches of one instant only what they leave behind counts.
    #[inline]
    pub fn settle(&mut self) {
        if self.graph.is_settled() {
            return;
        }
        let Self { graph, turns, .. } = self;
        graph.settle(turns);
        if !self.turns.is_empty() {
            self.turn();
        }
    }

    #[cold]
    #[inline(never)]
    fn turn(&mut self) {
        let turns = std::mem::take(&mut self.turns);
        let now = self.now;
        for turn in &turns {
            match *turn {
                Turn::Opened { cycle, edge_bp } => {
                    let plan = self.plan(cycle);
                    let opened = FoundCycle {
                        cycle,
                        start: now,
                        end: now,
                        censored: false,
                        best_edge_bp: edge_bp,
                        best_at: now,
                        at_start: plan.clone(),
                        at_best: plan,
                    };
                    self.open.push((cycle, opened));
                }
                Turn::Better { cycle, edge_bp } => {
                    let plan = self.plan(cycle);
                    if let Some((_, open)) = self.open.iter_mut().find(|(id, _)| *id == cycle) {
                        (open.best_edge_bp, open.best_at, open.at_best) = (edge_bp, now, plan);
                    }
                }
                Turn::Closed { cycle, lost } => self.close(cycle, now, lost),
            }
        }
        self.turns = turns;
        self.turns.clear();
    }

    fn close(&mut self, cycle: usize, end: i64, censored: bool) {
        if let Some(at) = self.open.iter().position(|(id, _)| *id == cycle) {
            let (_, open) = self.open.remove(at);
            if open.start < end {
                self.found.push(FoundCycle { end, censored, ..open });
            }
        }
    }

    /// Ends the data at `ts`: open intervals are reported as censored.
    pub fn finish(&mut self, ts: i64) {
        self.step_to(ts);
        self.settle();
        for cycle in self.open.iter().map(|(cycle, _)| *cycle).collect::<Vec<_>>() {
            self.close(cycle, self.now, true);
        }
        self.graph.forget_open();
    }

    /// Takes the intervals found so far, in order of their ends.
    pub fn take(&mut self) -> Vec<FoundCycle> {
        self.settle();
        std::mem::take(&mut self.found)
    }

    /// The cycles that pay now, with their products of net rates, less 1, in bp: those that are listed in their order,
    /// then longer ones.
    pub fn paying(&mut self) -> Vec<(usize, f64)> {
        self.settle();
        self.graph.paying()
    }

    /// Whether any cycle at all pays by more than 1e-12 a leg, whatever its length above one leg.
    pub fn any(&mut self) -> bool {
        self.settle();
        self.graph.any()
    }

    /// What a cycle is worth now, walking the books along it; `None` if it does not pay or not a lot fits.
    #[must_use]
    pub fn plan(&self, cycle: usize) -> Option<Plan> {
        plan(self.graph.legs(cycle)?, &self.venues, &self.fees, Nanos(self.now), self.limit)
    }

    /// How many cycles are known: those listed and, behind them, longer ones that were found.
    #[must_use]
    pub fn len(&self) -> usize {
        self.graph.len()
    }

    /// Whether the instruments make no cycle.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The legs of a cycle.
    #[must_use]
    pub fn legs(&self, cycle: usize) -> Option<&[Leg]> {
        self.graph.legs(cycle)
    }

    /// The books.
    #[must_use]
    pub fn venues(&self) -> &[VenueBook] {
        &self.venues
    }

    /// The time of the newest event.
    #[must_use]
    pub const fn now(&self) -> i64 {
        self.now
    }
}

/// A cycle that pays.
#[derive(Clone, Debug, PartialEq)]
pub struct PayingCycle {
    /// Its trades in order.
    pub legs: Vec<Leg>,
    /// The product of its net rates, less 1, in bp.
    pub edge_bp: f64,
    /// What it is worth; `None` if not a lot fits.
    pub plan: Option<Plan>,
}

/// The touch of a book, if it counts.
#[inline]
fn counts(venue: &VenueBook, now: i64, limit: i64) -> Option<(i64, i64)> {
    if venue.status(Nanos(now), limit) != Status::Live {
        return None;
    }
    venue.touch().map(|touch| (touch.quote.bid.0, touch.quote.ask.0))
}

/// The cycles that pay at the books as they stand, with their edge in bp and what they are worth. Books of contracts that
/// exchange no currencies make no edges.
///
/// # Errors
/// As [`Cycles::new`], but for the contracts.
pub fn cycles_now(venues: &[VenueBook], rules: &CycleRules, now: Nanos) -> Result<Vec<PayingCycle>, CycleError> {
    let instruments: Vec<_> = venues.iter().map(|venue| venue.instrument().clone()).collect();
    let mut graph = Graph::new(&instruments, rules)?;
    for (index, venue) in venues.iter().enumerate() {
        graph.set(index, counts(venue, now.0, rules.stale_after));
    }
    graph.settle(&mut Vec::new());
    let paying = graph.paying().into_iter().filter_map(|(cycle, edge_bp)| {
        let legs = graph.legs(cycle)?;
        let plan = plan(legs, venues, &rules.fees, now, rules.stale_after);
        Some(PayingCycle { legs: legs.to_vec(), edge_bp, plan })
    });
    Ok(paying.collect())
}

fn graph(instruments: &[Instrument], rules: &CycleRules) -> Result<Graph, CycleError> {
    if let Some(other) = instruments.iter().find(|instrument| instrument.contract != Contract::Spot) {
        return Err(CycleError::Contract { name: other.name(), contract: other.contract.name() });
    }
    Graph::new(instruments, rules)
}
