//! Traders of several capitals and latencies who take the same crosses, each with inventories of its own.
//!
//! A trader holds cash and base currency at each venue and moves nothing between venues: he buys only with the cash of the
//! one and sells only the base currency of the other. Of a contract that is collateral for as much, so a position is
//! covered in full. He finishes one trade before he begins the next:
//!
//! 1. At an instant at which a cross changed he picks, of the crosses that are open, the one whose trade brings most within
//!    his inventories, and sends two orders at once that fill or are cancelled, each with the worst price of that trade as
//!    its limit.
//! 2. Each order arrives after its venue's order delay and takes what is there then, up to its limit and size.
//! 3. When he has seen both results and one leg filled more, he sends the excess back to its own venue without a limit. It
//!    takes what the book holds on arrival, and what is left over is taken at the next instants at which that book changes.
//!    What the excess costs beyond what the matched part won is reported apart.
//!
//! What he took from a level is not there again until that price has shown no size at the end of an instant; size that is
//! added before is new.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

mod delay;
mod taken;
mod trade;

pub use self::delay::Delay;
pub(super) use self::taken::Book;
use self::taken::{Taken, Watch};
use self::trade::{Leg, Trade};
use super::scan::{Chance, money};
use super::walk::{LegCost, Limits, Overlap, cost, overlap, proceeds};
use crate::market::convert::{NO_ASK, NO_BID};
use crate::market::ladder::LadderLevel;
use crate::market::{Market, MarketError};
use crate::units::{Price, Side};

/// What a trader has at a venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Cash, in 10^-18 of the market's quote currency.
    pub cash: i128,
    /// Base currency, in common size units.
    pub base: i64,
}

/// A trader's means.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Capital {
    /// So much in 10^-18 of the market's quote currency: in equal parts for the venues of the pairs, half of each part as
    /// cash and half as base currency, bought at the venue's ask when it is first seen.
    Even(i128),
    /// By instrument.
    Given(Vec<Holding>),
}

/// The traders: every capital with every latency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GridRules {
    /// Means of each.
    pub capitals: Vec<Capital>,
    /// Added to every venue's order delay, ns.
    pub latencies: Vec<i64>,
    /// From sending an order to its arrival at the venue, by instrument.
    pub order_delay: Vec<Delay>,
    /// From what happens to an order until it is known, by instrument, ns.
    pub view_delay: Vec<i64>,
    /// Instruments among which an even capital is divided.
    pub venues: Vec<usize>,
}

/// What a trader made. Money is in 10^-9 of a common price times a common size; a profit is at the fair ratio of the
/// instant at which each trade was decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CellResult {
    /// Index of the capital.
    pub capital: usize,
    /// Index of the latency.
    pub latency: usize,
    /// Trades begun.
    pub tried: u64,
    /// Trades of which both orders were filled to the full.
    pub full: u64,
    /// Trades of which something was filled, but not all.
    pub partial: u64,
    /// Trades of which both orders found nothing.
    pub missed: u64,
    /// Base currency bought and sold, the smaller of both legs, in common size units.
    pub volume: i128,
    /// What the trades would have brought if they had been filled at once.
    pub planned: i128,
    /// Before fees, of what was matched.
    pub gross: i128,
    /// Fees of what was matched.
    pub fees: i128,
    /// Fixed costs of what was matched.
    pub fixed: i128,
    /// What legs without a match cost, until they were closed.
    pub unhedged: i128,
    /// Excess, in common size units, that was never closed: valued at the last touch.
    pub unclosed: i64,
    /// The sum: gross less fees, fixed costs and unhedged legs.
    pub profit: i128,
    /// Cash at each venue in the end, and in the beginning.
    pub cash: Vec<[i128; 2]>,
    /// Base currency at each venue in the end, and in the beginning.
    pub base: Vec<[i64; 2]>,
}

/// The books that orders meet, and those that traders see.
pub(super) struct World<'a> {
    pub(super) market: &'a Market,
    pub(super) seen: Option<&'a Market>,
    /// Venues whose books changed at the present instant, as bits.
    pub(super) happened: u64,
}

#[derive(Clone, Debug)]
struct Cell {
    latency: i64,
    capital: Capital,
    cash: Vec<i128>,
    base: Vec<i64>,
    trade: Option<Trade>,
    taken: Taken,
    /// It has become free since it decided last, so what did not change may be new to it.
    free: bool,
}

/// What comes next for a trade, in the order in which it is done at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    BuyArrives,
    SellArrives,
    Known,
    CloseArrives,
    Closed,
}

#[derive(Clone, Debug)]
pub(super) struct Grid {
    costs: Vec<LegCost>,
    order_delay: Vec<Delay>,
    view_delay: Vec<i64>,
    venues: Vec<usize>,
    /// Venues whose part of an even capital is not bought yet, as bits.
    unfunded: u64,
    cells: Vec<Cell>,
    results: Vec<CellResult>,
    queue: BinaryHeap<Reverse<(i64, usize, Stage)>>,
    watch: Watch,
    /// The last touch known of each venue, in common prices.
    touches: Vec<(i64, i64)>,
    waiting: usize,
    overflow: bool,
}

impl Grid {
    pub(super) fn new(market: &Market, costs: Vec<LegCost>, rules: GridRules) -> Result<Self, MarketError> {
        let expected = costs.len();
        let GridRules { capitals, latencies, order_delay, view_delay, venues } = rules;
        for (what, found) in [("order delays", order_delay.len()), ("view delays", view_delay.len())] {
            if found != expected {
                return Err(MarketError::Length { what, expected, found });
            }
        }
        if let Some(venue) = venues.iter().find(|venue| **venue >= expected) {
            return Err(MarketError::Length { what: "venues", expected, found: venue + 1 });
        }
        let drawn = order_delay.iter().flat_map(|delay| match delay {
            Delay::Constant(ns) => std::slice::from_ref(ns),
            Delay::Samples(samples, _) => samples,
        });
        if let Some(odd) = drawn.chain(&view_delay).chain(&latencies).find(|ns| **ns < 0 || **ns > 1 << 60) {
            return Err(MarketError::Delay(*odd));
        }
        if order_delay.iter().any(|delay| matches!(delay, Delay::Samples(samples, _) if samples.is_empty())) {
            return Err(MarketError::Length { what: "samples of a delay", expected: 1, found: 0 });
        }
        let (mut cells, mut results) = (Vec::new(), Vec::new());
        for (which, capital) in capitals.iter().enumerate() {
            let (mut cash, mut base) = (vec![0; expected], vec![0; expected]);
            match capital {
                Capital::Given(holdings) if holdings.len() != expected => {
                    return Err(MarketError::Length { what: "holdings", expected, found: holdings.len() });
                }
                Capital::Given(holdings) => {
                    for (at, holding) in holdings.iter().enumerate() {
                        if holding.cash < 0 || holding.base < 0 {
                            return Err(MarketError::Capital);
                        }
                        cash[at] = money(market, holding.cash).ok_or(MarketError::Overflow)?;
                        base[at] = holding.base;
                    }
                }
                Capital::Even(amount) if *amount < 0 => return Err(MarketError::Capital),
                Capital::Even(amount) => {
                    money(market, *amount).ok_or(MarketError::Overflow)?;
                }
            }
            for (which_latency, latency) in latencies.iter().enumerate() {
                results.push(CellResult {
                    capital: which,
                    latency: which_latency,
                    cash: cash.iter().map(|cash| [*cash; 2]).collect(),
                    base: base.iter().map(|base| [*base; 2]).collect(),
                    ..CellResult::default()
                });
                cells.push(Cell {
                    latency: *latency,
                    capital: capital.clone(),
                    cash: cash.clone(),
                    base: base.clone(),
                    trade: None,
                    taken: Taken::default(),
                    free: true,
                });
            }
        }
        Ok(Self {
            unfunded: venues.iter().fold(0, |bits, venue| bits | 1 << venue),
            costs,
            order_delay,
            view_delay,
            venues,
            cells,
            results,
            queue: BinaryHeap::new(),
            watch: Watch::default(),
            touches: vec![(NO_BID, NO_ASK); expected],
            waiting: 0,
            overflow: false,
        })
    }

    /// The first instant at which something is due.
    #[inline]
    pub(super) fn due(&self) -> i64 {
        self.queue.peek().map_or(i64::MAX, |Reverse((due, ..))| *due)
    }

    pub(super) fn results(&self) -> &[CellResult] {
        &self.results
    }

    /// Books changed: levels that show no size any more are whole when they come again, and venues that are seen for the
    /// first time divide the capital.
    #[inline]
    pub(super) fn refresh(&mut self, book: Book, market: &Market, changed: u64) {
        self.watch.refresh(book, market, changed);
        if book == Book::Seen {
            return;
        }
        for at in (0..self.touches.len()).filter(|at| changed >> at & 1 == 1) {
            let touch = market.touch(at);
            if touch.0 != NO_BID && touch.1 != NO_ASK {
                self.touches[at] = touch;
            }
        }
    }

    /// Venues that are seen for the first time get their part of the capital.
    fn fund(&mut self, market: &Market) {
        let parts = i128::try_from(self.venues.len().max(1)).unwrap_or(1) * 2;
        for at in 0..self.venues.len() {
            let venue = self.venues[at];
            let (_, ask) = market.touch(venue);
            if self.unfunded >> venue & 1 == 0 || ask == NO_ASK || ask <= 0 {
                continue;
            }
            self.unfunded &= !(1 << venue);
            for (cell, result) in self.cells.iter_mut().zip(&mut self.results) {
                let Capital::Even(amount) = cell.capital else { continue };
                let part = money(market, amount).unwrap_or(0) / parts;
                let base = part / (i128::from(ask) * i128::from(super::BILLION));
                let base = i64::try_from(base).unwrap_or(i64::MAX);
                (cell.cash[venue], cell.base[venue]) = (part, base);
                (result.cash[venue], result.base[venue]) = ([part; 2], [base; 2]);
                cell.free = true;
            }
        }
    }

    /// Orders that are due by now meet the books, and legs that wait for one that changed are closed.
    pub(super) fn arrive(&mut self, now: i64, world: &World<'_>) {
        self.stages(now, world);
        if self.waiting == 0 {
            return;
        }
        for cell in 0..self.cells.len() {
            let waits = self.cells[cell].trade.as_ref().filter(|trade| trade.waits).map(Trade::closes_at);
            if waits.is_some_and(|venue| world.happened >> venue & 1 == 1) {
                self.close(now, cell, world);
            }
        }
        // Those that are closed are over now, unless that takes time to be seen.
        self.stages(now, world);
    }

    fn stages(&mut self, now: i64, world: &World<'_>) {
        while let Some(Reverse((due, cell, stage))) = self.queue.peek().copied() {
            if due > now {
                break;
            }
            self.queue.pop();
            self.stage(now, cell, stage, world);
        }
    }

    fn stage(&mut self, now: i64, cell: usize, stage: Stage, world: &World<'_>) {
        match stage {
            Stage::BuyArrives | Stage::SellArrives => self.fill(cell, stage == Stage::BuyArrives, world),
            Stage::Known => {
                let Some(trade) = &self.cells[cell].trade else { return };
                if trade.excess() == 0 {
                    self.done(cell);
                } else {
                    let at = trade.closes_at();
                    let delay = self.order_delay[at].draw(now, at).saturating_add(self.cells[cell].latency);
                    self.queue.push(Reverse((now.saturating_add(delay), cell, Stage::CloseArrives)));
                }
            }
            Stage::CloseArrives => self.close(now, cell, world),
            Stage::Closed => self.done(cell),
        }
    }

    /// One order of a trade meets its book.
    fn fill(&mut self, cell: usize, buy: bool, world: &World<'_>) {
        let Some(mut trade) = self.cells[cell].trade.take() else { return };
        let (venue, side) = if buy { (trade.buy, Side::Ask) } else { (trade.sell, Side::Bid) };
        let limit = trade.limits[usize::from(!buy)];
        let most = if buy {
            let own = self.cells[cell].cash[venue];
            Limits { size: trade.size, cash: own, step: 1 }
        } else {
            Limits { size: trade.size, cash: i128::MAX, step: 1 }
        };
        let leg = self.take(cell, world, venue, side, Some(limit), most, trade.terms.buy);
        trade.legs[usize::from(!buy)] = leg;
        let leg = &trade.legs[usize::from(!buy)];
        self.book(cell, venue, buy, leg.filled, leg.notional);
        self.cells[cell].trade = Some(trade);
    }

    /// Takes what a book holds up to a limit, less what was taken before.
    #[allow(clippy::too_many_arguments)] // one order
    fn take(
        &mut self,
        cell: usize,
        world: &World<'_>,
        venue: usize,
        side: Side,
        limit: Option<Price>,
        most: Limits,
        terms: LegCost,
    ) -> Leg {
        let mut leg = Leg::default();
        self.cells[cell].taken.purge(&self.watch);
        let Some(ladder) = world.market.ladder(venue, side) else { return leg };
        let mut cash = most.cash.saturating_sub(terms.fixed);
        for level in ladder {
            let worse = limit.is_some_and(|limit| match side {
                Side::Ask => level.native_price > limit,
                Side::Bid => level.native_price < limit,
            });
            if worse || leg.filled >= most.size {
                break;
            }
            let gone = self.cells[cell].taken.at(Book::True, venue, side, level.native_price);
            let mut size = (level.size - gone).min(most.size - leg.filled);
            if most.cash != i128::MAX && level.price > 0 {
                let each = i128::from(level.price) * i128::from(super::BILLION + terms.rate);
                size = size.min(i64::try_from(cash.max(0) / each).unwrap_or(i64::MAX));
                cash -= each * i128::from(size.max(0));
            }
            if size <= 0 {
                continue;
            }
            leg.filled += size;
            match leg.notional.checked_add(i128::from(level.price) * i128::from(size)) {
                Some(notional) => leg.notional = notional,
                None => self.overflow = true,
            }
            leg.fills.push((level.price, size));
            self.cells[cell].taken.add(&mut self.watch, Book::True, venue, side, level.native_price, size);
            if world.seen.is_some() {
                self.cells[cell].taken.add(&mut self.watch, Book::Seen, venue, side, level.native_price, size);
            }
        }
        leg
    }

    /// Books a fill at a venue.
    fn book(&mut self, cell: usize, venue: usize, buy: bool, size: i64, notional: i128) {
        if size == 0 {
            return;
        }
        let leg = self.costs[venue];
        let cell = &mut self.cells[cell];
        let money = if buy { cost(notional, leg).and_then(i128::checked_neg) } else { proceeds(notional, leg) };
        match money.and_then(|money| cell.cash[venue].checked_add(money)) {
            Some(cash) => cell.cash[venue] = cash,
            None => self.overflow = true,
        }
        cell.base[venue] = cell.base[venue].saturating_add(if buy { size } else { -size });
    }

    /// Closes what one leg filled more than the other.
    fn close(&mut self, now: i64, cell: usize, world: &World<'_>) {
        let Some(mut trade) = self.cells[cell].trade.take() else { return };
        let (venue, left) = (trade.closes_at(), trade.excess().abs() - trade.closing.filled);
        let side = if trade.excess() > 0 { Side::Bid } else { Side::Ask };
        let most = Limits { size: left, cash: i128::MAX, step: 1 };
        let leg = self.take(cell, world, venue, side, None, most, LegCost::default());
        if leg.filled > 0 {
            let first = trade.closing.filled == 0;
            self.book(cell, venue, side == Side::Ask, leg.filled, leg.notional);
            if !first {
                // It is one order: its fixed cost was paid by the first part.
                self.cells[cell].cash[venue] += self.costs[venue].fixed;
            }
            trade.closing.filled += leg.filled;
            trade.closing.notional += leg.notional;
        }
        let done = leg.filled == left;
        self.waiting = self.waiting + usize::from(!done && !trade.waits) - usize::from(done && trade.waits);
        trade.waits = !done;
        self.cells[cell].trade = Some(trade);
        if done {
            self.queue.push(Reverse((now.saturating_add(self.view_delay[venue]), cell, Stage::Closed)));
        }
    }

    /// A trade is over.
    fn done(&mut self, cell: usize) {
        let Some(trade) = self.cells[cell].trade.take() else { return };
        self.cells[cell].free = true;
        if trade.waits {
            self.waiting -= 1;
        }
        let open = trade.excess().abs() - trade.closing.filled;
        let Some(account) = trade.account(&self.costs, open, &self.touches) else {
            self.overflow = true;
            return;
        };
        let result = &mut self.results[cell];
        let [bought, sold] = [trade.legs[0].filled, trade.legs[1].filled];
        if bought == trade.size && sold == trade.size {
            result.full += 1;
        } else if bought == 0 && sold == 0 {
            result.missed += 1;
        } else {
            result.partial += 1;
        }
        result.unclosed = result.unclosed.saturating_add(open);
        result.volume += i128::from(bought.min(sold));
        for (sum, part) in [
            (&mut result.gross, account.gross),
            (&mut result.fees, account.fees),
            (&mut result.fixed, account.fixed),
            (&mut result.unhedged, account.unhedged),
            (&mut result.profit, account.profit),
        ] {
            *sum += part;
        }
        self.settle(cell);
    }

    /// Writes down what a trader holds.
    fn settle(&mut self, cell: usize) {
        let (cell, result) = (&self.cells[cell], &mut self.results[cell]);
        for (row, cash) in result.cash.iter_mut().zip(&cell.cash) {
            row[0] = *cash;
        }
        for (row, base) in result.base.iter_mut().zip(&cell.base) {
            row[0] = *base;
        }
    }

    /// Those who are free decide, until nobody is or nothing is left.
    pub(super) fn decide(&mut self, now: i64, chances: &[Chance], world: &World<'_>) {
        let eyes = world.seen.unwrap_or(world.market);
        if self.unfunded != 0 {
            self.fund(eyes);
        }
        if chances.is_empty() {
            return;
        }
        let any_fresh = chances.iter().any(|chance| chance.fresh);
        for cell in 0..self.cells.len() {
            if self.cells[cell].trade.is_some() || !(any_fresh || self.cells[cell].free) {
                continue;
            }
            // Without any delay a trade is over at once, and what is left may be worth another.
            while self.cells[cell].trade.is_none() && self.begin(now, cell, chances, world) {
                self.stages(now, world);
            }
        }
    }

    /// Picks the best trade, if there is one, and sends its orders.
    fn begin(&mut self, now: i64, cell: usize, chances: &[Chance], world: &World<'_>) -> bool {
        let free = std::mem::replace(&mut self.cells[cell].free, false);
        self.cells[cell].taken.purge(&self.watch);
        let mut best: Option<(Overlap, &Chance)> = None;
        for chance in chances.iter().filter(|chance| free || chance.fresh) {
            let own = &self.cells[cell];
            let limits = Limits { size: own.base[chance.sell], cash: own.cash[chance.buy], step: chance.step };
            if limits.size < chance.step || limits.cash <= 0 {
                continue;
            }
            let Some(found) = self.plan(now, cell, chance, limits, world) else {
                self.overflow = true;
                continue;
            };
            if found.size > 0 && found.profit > best.map_or(0, |(best, _)| best.profit) {
                best = Some((found, chance));
            }
        }
        let Some((found, chance)) = best else { return false };
        let result = &mut self.results[cell];
        result.tried += 1;
        result.planned += found.profit;
        self.cells[cell].trade = Some(Trade {
            buy: chance.buy,
            sell: chance.sell,
            size: found.size,
            limits: [Price(found.worst_ask), Price(found.worst_bid)],
            terms: chance.shot.terms,
            legs: [Leg::default(), Leg::default()],
            closing: Leg::default(),
            waits: false,
        });
        let latency = self.cells[cell].latency;
        let mut known = now;
        for (venue, stage) in [(chance.buy, Stage::BuyArrives), (chance.sell, Stage::SellArrives)] {
            let arrives = now.saturating_add(self.order_delay[venue].draw(now, venue)).saturating_add(latency);
            known = known.max(arrives.saturating_add(self.view_delay[venue]));
            self.queue.push(Reverse((arrives, cell, stage)));
        }
        self.queue.push(Reverse((known, cell, Stage::Known)));
        true
    }

    /// The trade that a trader would make of a cross.
    fn plan(&self, now: i64, cell: usize, chance: &Chance, limits: Limits, world: &World<'_>) -> Option<Overlap> {
        let whole = &chance.shot.trade;
        let (book, eyes) = world.seen.map_or((Book::True, world.market), |seen| (Book::Seen, seen));
        let own = &self.cells[cell];
        let untouched = own.taken.is_empty(book);
        // What was seen at another instant may have become stale.
        if untouched && chance.shot.ts == now && whole.size <= limits.size {
            // The whole of it, if it can be paid.
            if cost(whole.bought, chance.shot.terms.buy)? <= limits.cash {
                return Some(*whole);
            }
        }
        let less = |level: LadderLevel, venue: usize, side: Side| {
            let gone = if untouched { 0 } else { own.taken.at(book, venue, side, level.native_price) };
            LadderLevel { size: (level.size - gone).max(0), ..level }
        };
        let (Some(asks), Some(bids)) = (eyes.ladder(chance.buy, Side::Ask), eyes.ladder(chance.sell, Side::Bid)) else {
            return Some(Overlap::default());
        };
        overlap(
            asks.map(|level| less(level, chance.buy, Side::Ask)),
            bids.map(|level| less(level, chance.sell, Side::Bid)),
            &chance.shot.terms,
            limits,
        )
    }

    /// Ends the data: orders under way are not filled, what is open is valued at the last touch. Whether all sums fit.
    pub(super) fn finish(&mut self) -> bool {
        self.queue.clear();
        for cell in 0..self.cells.len() {
            self.done(cell);
            self.settle(cell);
        }
        !self.overflow
    }
}
