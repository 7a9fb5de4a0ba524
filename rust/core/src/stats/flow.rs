//! Order-flow imbalance at the best levels of a book, in one pass over its events.
//!
//! Between two states of the book the flow of a side at rank `m` is what appeared there less what was gone: with price
//! `P` and size `q` at that rank, before and after, a bid gives `[P' ≥ P] q' - [P' ≤ P] q`, an ask the same with prices
//! the other way round, and the imbalance is the bid's less the ask's. Cont, Kukanov & Stoikov (2014), "The price impact
//! of order book events", Journal of Financial Econometrics 12(1), equation 2; for ranks below the first Xu, Gould &
//! Howison (2018), "Multi-level order-flow imbalance in a limit order book", Market Microstructure and Liquidity 4(3-4).
//!
//! [`OrderFlow`] keeps a copy of the best levels beside the book, so that a change costs a search among sixteen and not a
//! walk through the book. [`FlowScan`] runs a book and its flow over tapes.

use super::StatsError;
use crate::book::{Every, PriceBook};
use crate::event::{Event, Flags, Kind};
use crate::tape::TapeView;
use crate::units::{Price, Side, Size};

/// The most levels whose flow is followed.
pub const MOST_LEVELS: usize = 10;

/// Levels that are copied: some more than are followed, so that levels may leave before the book must be asked.
const ROOM: usize = 16;

/// No level: worse than any.
const NONE: i64 = i64::MAX;

/// The best levels of one side, best first. Keys grow with worse prices: an ask's price, or the complement of a bid's.
#[derive(Clone, Debug)]
struct Top {
    keys: [i64; ROOM],
    sizes: [i64; ROOM],
    /// How many there are.
    held: usize,
    /// Whether the book has no others.
    complete: bool,
    /// As they were when flow was last taken; `NONE` and 0 where there was none.
    keys_before: [i64; MOST_LEVELS],
    sizes_before: [i64; MOST_LEVELS],
    /// The ranks that may have changed since: `from..to`.
    from: usize,
    to: usize,
}

#[inline]
const fn key(side: Side, price: i64) -> i64 {
    match side {
        Side::Bid => !price,
        Side::Ask => price,
    }
}

impl Top {
    const fn new() -> Self {
        Self {
            keys: [NONE; ROOM],
            sizes: [0; ROOM],
            held: 0,
            complete: true,
            keys_before: [NONE; MOST_LEVELS],
            sizes_before: [0; MOST_LEVELS],
            from: MOST_LEVELS,
            to: 0,
        }
    }

    /// Reads the best levels anew.
    #[cold]
    #[inline(never)]
    fn refill(&mut self, book: &PriceBook, side: Side) {
        self.held = 0;
        for (price, size) in book.levels(side).take(ROOM) {
            self.keys[self.held] = key(side, price.0);
            self.sizes[self.held] = size.0;
            self.held += 1;
        }
        self.keys[self.held..].fill(NONE);
        self.sizes[self.held..].fill(0);
        self.complete = self.held < ROOM;
    }

    /// Notes that ranks from `place` on, `count` of them, may have changed.
    #[inline]
    fn touch(&mut self, place: usize, to: usize) {
        self.from = self.from.min(place);
        self.to = self.to.max(to);
    }

    #[inline]
    fn set(&mut self, book: &PriceBook, side: Side, levels: usize, price: i64, size: i64) {
        let key = key(side, price);
        let held = self.held;
        if held > 0 && key > self.keys[held - 1] || held == 0 {
            // Behind all that are copied.
            if size > 0 && self.complete {
                if held == ROOM {
                    self.complete = false;
                    return;
                }
                self.keys[held] = key;
                self.sizes[held] = size;
                self.held += 1;
                self.touch(held, held + 1);
            }
            return;
        }
        // Most changes are at the best few prices.
        let mut place = 0;
        while self.keys[place] < key {
            place += 1;
        }
        let found = self.keys[place] == key;
        if found && size > 0 {
            self.sizes[place] = size;
            self.touch(place, place + 1);
        } else if found {
            self.keys.copy_within(place + 1.., place);
            self.sizes.copy_within(place + 1.., place);
            self.keys[ROOM - 1] = NONE;
            self.sizes[ROOM - 1] = 0;
            self.held -= 1;
            self.touch(place, MOST_LEVELS);
            if self.held < levels && !self.complete {
                self.refill(book, side);
            }
        } else if size > 0 {
            if held == ROOM {
                self.complete = false;
            } else {
                self.held += 1;
            }
            self.keys.copy_within(place..ROOM - 1, place + 1);
            self.sizes.copy_within(place..ROOM - 1, place + 1);
            self.keys[place] = key;
            self.sizes[place] = size;
            self.touch(place, MOST_LEVELS);
        }
    }

    /// Makes what is there now what was before.
    fn settle(&mut self) {
        self.keys_before.copy_from_slice(&self.keys[..MOST_LEVELS]);
        self.sizes_before.copy_from_slice(&self.sizes[..MOST_LEVELS]);
        (self.from, self.to) = (MOST_LEVELS, 0);
    }
}

/// The flow at the best levels of one book.
///
/// ```
/// use crossbook::book::PriceBook;
/// use crossbook::stats::OrderFlow;
/// use crossbook::units::{Price, Side, Size};
///
/// let (mut book, mut flow) = (PriceBook::new(), OrderFlow::new(2)?);
/// for (side, price, size) in [(Side::Bid, 99, 5), (Side::Bid, 98, 7), (Side::Ask, 101, 4)] {
///     book.update(side, Price(price), Size(size));
/// }
/// flow.restart(&book);
/// // A bid of 3 at a better price: 3 new at the first rank, and 5 new at the second, where the price improved too.
/// book.update(Side::Bid, Price(100), Size(3));
/// flow.update(&book, Side::Bid, Price(100), Size(3));
/// let mut sum = [0; 2];
/// assert!(flow.take(&mut sum));
/// assert_eq!(sum, [3, 5]);
/// # Ok::<(), crossbook::stats::StatsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct OrderFlow {
    levels: usize,
    sides: [Top; 2],
}

impl OrderFlow {
    /// Of an empty book, at 1 to 10 levels.
    ///
    /// # Errors
    /// [`StatsError::Grid`] for any other count.
    pub fn new(levels: usize) -> Result<Self, StatsError> {
        if (1..=MOST_LEVELS).contains(&levels) {
            Ok(Self { levels, sides: [Top::new(), Top::new()] })
        } else {
            Err(StatsError::Grid { expected: "1 to 10 levels" })
        }
    }

    /// Forgets what was and begins with the book as it is: how it came to be so is no flow.
    pub fn restart(&mut self, book: &PriceBook) {
        for (top, side) in self.sides.iter_mut().zip([Side::Bid, Side::Ask]) {
            top.refill(book, side);
            top.settle();
        }
    }

    /// Notes a level that was just set in the book: call it after [`PriceBook::update`], with the same values.
    #[inline]
    pub fn update(&mut self, book: &PriceBook, side: Side, price: Price, size: Size) {
        // One copy a side: no branch on the side within.
        let [bids, asks] = &mut self.sides;
        match side {
            Side::Bid => bids.set(book, Side::Bid, self.levels, price.0, size.0),
            Side::Ask => asks.set(book, Side::Ask, self.levels, price.0, size.0),
        }
    }

    /// Adds the flow since it was last taken to `sum`, rank by rank, best first: sizes in units, above 0 where buyers
    /// came or sellers left. Says whether a level that is followed changed. Sums stop at the ends of `i64`.
    #[inline]
    pub fn take(&mut self, sum: &mut [i64]) -> bool {
        let levels = self.levels.min(sum.len());
        let mut changed = false;
        for (top, sign) in self.sides.iter_mut().zip([1, -1]) {
            if top.from >= top.to {
                continue;
            }
            let (from, to) = (top.from, top.to.min(levels));
            (top.from, top.to) = (MOST_LEVELS, 0);
            if from >= to {
                continue;
            }
            let now = top.keys[from..to].iter().zip(&top.sizes[from..to]);
            let before = top.keys_before[from..to].iter_mut().zip(&mut top.sizes_before[from..to]);
            for (((&key, &size), (key_before, size_before)), sum) in now.zip(before).zip(&mut sum[from..to]) {
                let came = if key <= *key_before { size } else { 0 };
                let left = if key >= *key_before { *size_before } else { 0 };
                changed |= key != *key_before || size != *size_before;
                *sum = sum.saturating_add(sign * (came - left));
                *key_before = key;
                *size_before = size;
            }
        }
        changed
    }

    /// Sum of the sizes of the followed levels of both sides; stops at the end of `i64`.
    #[must_use]
    pub fn depth(&self) -> i64 {
        let sizes = self.sides.iter().flat_map(|top| &top.sizes[..self.levels]);
        sizes.fold(0, |sum, size| sum.saturating_add(*size))
    }

    /// At how many ranks, from the best, both sides are known: within the book's horizon, or all without one.
    #[must_use]
    pub fn known(&self, book: &PriceBook) -> usize {
        let known = |(top, side): (&Top, Side)| {
            book.horizon(side).map_or(self.levels, |horizon| {
                let worst = key(side, horizon.0);
                top.keys[..self.levels].iter().take_while(|key| **key <= worst && **key != NONE).count()
            })
        };
        self.sides.iter().zip([Side::Bid, Side::Ask]).map(known).min().unwrap_or(0)
    }
}

/// Flow in columns, a row a change of the followed levels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowRows {
    /// The exchange's clock, ns, 0 where unknown.
    pub ts_event: Vec<i64>,
    /// Our clock, ns.
    pub ts_recv: Vec<i64>,
    /// Best bid in units; with a size of 0 there is none, or it is not known.
    pub bid: Vec<i64>,
    /// Its size in units.
    pub bid_size: Vec<i64>,
    /// Best ask in units.
    pub ask: Vec<i64>,
    /// Its size in units.
    pub ask_size: Vec<i64>,
    /// Sum of the sizes of the followed levels of both sides.
    pub depth: Vec<i64>,
    /// At how many ranks both states are known.
    pub known: Vec<u8>,
    /// 1 where the book was cleared, caught up or lost: how it came from the row before is no flow.
    pub start: Vec<u8>,
    /// Flow since the row before, a column a rank.
    pub flow: Vec<Vec<i64>>,
    /// Sizes of bids and of asks, a column a rank, 0 where there is none; no columns unless asked for.
    pub sizes: [Vec<Vec<i64>>; 2],
}

impl FlowRows {
    fn new(levels: usize, sizes: bool) -> Self {
        let columns = |count: usize| vec![Vec::new(); count];
        let shown = if sizes { levels } else { 0 };
        Self { flow: columns(levels), sizes: [columns(shown), columns(shown)], ..Self::default() }
    }
}

/// A book and its flow over the events of one instrument.
///
/// Flow is counted between message ends (or rows, if so asked). What a snapshot brings, and what a feed held back until
/// the snapshot came, is no flow; nor is what happens between a gap and the next clear.
#[derive(Clone, Debug)]
pub struct FlowScan {
    instrument: u32,
    every: Every,
    book: PriceBook,
    flow: OrderFlow,
    rows: FlowRows,
    /// A message in which the book was made anew is under way, or nothing was seen yet.
    fresh: bool,
    /// The book has been lost, and that was said.
    lost: bool,
    known: usize,
}

impl FlowScan {
    /// Of the instrument with this index in its tapes.
    ///
    /// # Errors
    /// As [`OrderFlow::new`].
    pub fn new(instrument: u32, levels: usize, every: Every) -> Result<Self, StatsError> {
        Ok(Self {
            instrument,
            every,
            book: PriceBook::new(),
            flow: OrderFlow::new(levels)?,
            rows: FlowRows::new(levels, false),
            fresh: true,
            lost: false,
            known: 0,
        })
    }

    /// Shows the size of every rank too, from the next row on.
    #[must_use]
    pub fn with_sizes(mut self) -> Self {
        self.rows = FlowRows::new(self.rows.flow.len(), true);
        self
    }

    /// Takes the events of a tape, in order. A message may run from one tape into the next.
    pub fn apply(&mut self, tape: &TapeView<'_>) {
        for event in tape.iter() {
            if event.instrument == self.instrument {
                self.event(&event);
            }
        }
    }

    #[inline]
    fn event(&mut self, event: &Event) {
        match event.kind {
            Kind::Level => {}
            Kind::Clear => self.fresh = true,
            Kind::Gap if !event.flags.contains(Flags::TRADES) => {}
            _ => return,
        }
        self.book.apply(event);
        if self.book.is_stale() {
            self.fresh = true;
            if !self.lost {
                self.lost = true;
                self.push(event, true);
            }
            return;
        }
        self.lost = false;
        let made = event.flags.contains(Flags::SNAPSHOT) || event.flags.contains(Flags::REPLAYED);
        self.fresh |= made;
        if !self.fresh
            && let Some(side) = event.side
        {
            self.flow.update(&self.book, side, event.price, event.size);
        }
        if self.every == Every::Row || event.flags.contains(Flags::LAST) {
            self.push(event, false);
        }
    }

    #[inline]
    fn push(&mut self, event: &Event, lost: bool) {
        let mut sum = [0; MOST_LEVELS];
        let start = self.fresh;
        if start {
            self.flow.restart(&self.book);
            self.known = 0;
        } else if !self.flow.take(&mut sum) {
            return;
        }
        let known = if lost { 0 } else { self.flow.known(&self.book) };
        // A first message that holds no snapshot begins a book as well; an empty one says nothing yet.
        self.fresh = lost;
        let quote = if lost { Default::default() } else { self.book.quote() };
        let rows = &mut self.rows;
        rows.ts_event.push(event.ts_event.0);
        rows.ts_recv.push(event.ts_recv.0);
        rows.bid.push(quote.bid.0);
        rows.bid_size.push(quote.bid_size.0);
        rows.ask.push(quote.ask.0);
        rows.ask_size.push(quote.ask_size.0);
        rows.depth.push(if lost { 0 } else { self.flow.depth() });
        // `levels` is at most 10.
        #[allow(clippy::cast_possible_truncation)]
        rows.known.push(if start { known } else { known.min(self.known) } as u8);
        rows.start.push(u8::from(start));
        for (column, flow) in rows.flow.iter_mut().zip(sum) {
            column.push(flow);
        }
        for (columns, top) in rows.sizes.iter_mut().zip(&self.flow.sides) {
            for (column, size) in columns.iter_mut().zip(top.sizes) {
                column.push(if lost { 0 } else { size });
            }
        }
        self.known = known;
    }

    /// The book as it stands.
    #[must_use]
    pub const fn book(&self) -> &PriceBook {
        &self.book
    }

    /// The rows since they were last taken.
    pub fn take(&mut self) -> FlowRows {
        let empty = FlowRows::new(self.rows.flow.len(), !self.rows.sizes[0].is_empty());
        std::mem::replace(&mut self.rows, empty)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::tape::Tape;
    use crate::units::Nanos;

    type Sides = [BTreeMap<i64, i64>; 2];

    /// Best first: `(price, size)`, or none.
    fn top(sides: &Sides, levels: usize) -> [Vec<Option<(i64, i64)>>; 2] {
        let bids = sides[0].iter().rev().map(|(p, s)| Some((*p, *s)));
        let asks = sides[1].iter().map(|(p, s)| Some((*p, *s)));
        let pad = std::iter::repeat(None);
        [bids.chain(pad.clone()).take(levels).collect(), asks.chain(pad).take(levels).collect()]
    }

    /// Equation 2 of the paper, with its indicators, for one rank.
    fn paper(before: &[Vec<Option<(i64, i64)>>; 2], after: &[Vec<Option<(i64, i64)>>; 2], rank: usize) -> i64 {
        let worst = [i64::MIN, i64::MAX];
        let at = |state: &[Vec<Option<(i64, i64)>>; 2], side: usize| state[side][rank].unwrap_or((worst[side], 0));
        let ((pb0, qb0), (pb1, qb1)) = (at(before, 0), at(after, 0));
        let ((pa0, qa0), (pa1, qa1)) = (at(before, 1), at(after, 1));
        i64::from(pb1 >= pb0) * qb1 - i64::from(pb1 <= pb0) * qb0 - i64::from(pa1 <= pa0) * qa1
            + i64::from(pa1 >= pa0) * qa0
    }

    fn level(ts: i64, side: usize, price: i64, size: i64, flags: Flags) -> Event {
        Event {
            ts_event: Nanos(ts),
            ts_recv: Nanos(ts),
            sequence: 0,
            order_id: 0,
            price: Price(price),
            size: Size(size),
            instrument: 3,
            kind: Kind::Level,
            side: Some([Side::Bid, Side::Ask][side]),
            flags,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn flow_is_that_of_the_paper_at_every_rank_whatever_the_changes(
            changes in prop::collection::vec((0..2_usize, 0..40_i64, 0..4_i64, prop::bool::weighted(0.4)), 1..400),
            levels in 1..=10_usize, spread in 1..3_i64,
        ) {
            let mut book = PriceBook::new();
            let mut flow = OrderFlow::new(levels).expect("a flow");
            let mut sides = Sides::default();
            let mut before = top(&sides, levels);
            for (side, offset, size, end) in changes {
                let price = if side == 0 { 1_000 - offset * spread } else { 1_001 + offset * spread };
                if size == 0 { sides[side].remove(&price); } else { sides[side].insert(price, size); }
                let at = [Side::Bid, Side::Ask][side];
                book.update(at, Price(price), Size(size));
                flow.update(&book, at, Price(price), Size(size));
                if !end {
                    continue;
                }
                let after = top(&sides, levels);
                let mut sum = vec![0; levels];
                let changed = flow.take(&mut sum);
                let wanted: Vec<i64> = (0..levels).map(|rank| paper(&before, &after, rank)).collect();
                prop_assert_eq!(&sum, &wanted);
                prop_assert_eq!(changed, before != after);
                let depth: i64 = after.iter().flatten().map(|level| level.map_or(0, |level| level.1)).sum();
                prop_assert_eq!(flow.depth(), depth);
                before = after;
            }
        }

        #[test]
        fn a_tape_gives_the_same_flow_in_one_piece_and_in_many(
            changes in prop::collection::vec((0..2_usize, 0..30_i64, 0..4_i64, prop::bool::weighted(0.4)), 1..200),
            cut in 1..50_i64,
        ) {
            let mut tape = Tape::default();
            let mut pieces = vec![Tape::default()];
            for (k, (side, offset, size, end)) in (0..).zip(changes) {
                let price = if side == 0 { 1_000 - offset } else { 1_001 + offset };
                let event = level(k + 1, side, price, size, if end { Flags::LAST } else { Flags::NONE });
                tape.push(&event);
                if k % cut == cut - 1 {
                    pieces.push(Tape::default());
                }
                pieces.last_mut().expect("one").push(&event);
            }
            let mut whole = FlowScan::new(3, 5, Every::Message).expect("a scan");
            whole.apply(&tape.view());
            let mut parts = FlowScan::new(3, 5, Every::Message).expect("a scan");
            pieces.iter().for_each(|piece| parts.apply(&piece.view()));
            let rows = whole.take();
            prop_assert_eq!(&rows, &parts.take());
            prop_assert!(rows.start.iter().skip(1).all(|start| *start == 0));
            prop_assert_eq!(whole.take(), FlowRows::new(5, false));
        }
    }

    #[test]
    fn snapshots_gaps_and_what_was_held_back_are_no_flow() {
        let both = Flags::SNAPSHOT.union(Flags::LAST);
        let mut tape = Tape::default();
        let clear = |ts| Event { kind: Kind::Clear, side: None, ..level(ts, 0, 0, 0, Flags::SNAPSHOT) };
        let gap = |ts| Event { kind: Kind::Gap, side: None, ..level(ts, 0, 0, 0, Flags::LAST) };
        tape.push(&clear(1));
        for (side, price, size) in [(0, 100, 5), (0, 98, 6), (1, 101, 7)] {
            tape.push(&level(1, side, price, size, Flags::SNAPSHOT));
        }
        tape.push(&level(1, 1, 102, 8, both));
        tape.push(&level(2, 0, 100, 9, Flags::REPLAYED.union(Flags::LAST)));
        tape.push(&level(3, 0, 100, 4, Flags::LAST));
        tape.push(&level(4, 0, 50, 4, Flags::LAST)); // behind what is followed
        tape.push(&gap(5));
        tape.push(&level(6, 0, 100, 1, Flags::LAST));
        tape.push(&clear(7));
        tape.push(&level(7, 0, 99, 3, Flags::SNAPSHOT));
        tape.push(&level(7, 1, 100, 2, both));
        tape.push(&level(8, 1, 100, 1, Flags::LAST));
        let mut other = level(9, 1, 100, 77, Flags::LAST);
        other.instrument = 4;
        tape.push(&other);
        let mut scan = FlowScan::new(3, 2, Every::Message).expect("a scan").with_sizes();
        scan.apply(&tape.view());
        let rows = scan.take();
        assert_eq!(rows.ts_recv, [1, 2, 3, 5, 7, 8]);
        assert_eq!(rows.start, [1, 1, 0, 1, 1, 0]);
        assert_eq!(rows.flow[0], [0, 0, -5, 0, 0, 1]);
        assert_eq!(rows.bid_size, [5, 9, 4, 0, 3, 3]);
        assert_eq!(rows.depth, [26, 30, 25, 0, 5, 4]);
        // The second rank of the last snapshot is beyond what it covered.
        assert_eq!(rows.known, [2, 2, 2, 0, 1, 1]);
        assert_eq!(rows.sizes[0], [[5, 9, 4, 0, 3, 3], [6, 6, 6, 0, 0, 0]]);
        assert_eq!(rows.sizes[1], [[7, 7, 7, 0, 2, 1], [8, 8, 8, 0, 0, 0]]);
        let again = scan.take();
        assert!(again.sizes.iter().all(|columns| columns.len() == 2 && columns.iter().all(Vec::is_empty)));
        assert_eq!(scan.book().quote().ask_size, Size(1));
    }

    #[test]
    fn only_1_to_10_levels_are_followed_and_sums_stop_at_the_ends() {
        for levels in [0, 11] {
            assert!(matches!(OrderFlow::new(levels), Err(StatsError::Grid { .. })));
            assert!(FlowScan::new(0, levels, Every::Row).is_err());
        }
        let mut book = PriceBook::new();
        let mut flow = OrderFlow::new(1).expect("a flow");
        book.update(Side::Bid, Price(1), Size(i64::MAX));
        flow.update(&book, Side::Bid, Price(1), Size(i64::MAX));
        let mut sum = [5];
        assert!(flow.take(&mut sum));
        assert_eq!(sum, [i64::MAX]);
        assert!(!flow.take(&mut sum));
    }
}
