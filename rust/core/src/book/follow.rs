//! Order books run over columns: all events of an instrument, or one order's place in its queue over time.

use thiserror::Error;

use super::{OrderBook, OrderBookError};
use crate::event::{Event, Kind};
use crate::tape::TapeView;
use crate::units::{Price, Side, Size};

/// Events read ahead of.
const AHEAD: usize = OrderBook::<()>::AHEAD;

/// What to do with events about orders that are not in the book, as feeds have them that begin in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// They are an error.
    Refuse,
    /// They are counted and passed over.
    Skip,
}

/// Why an event of a tape could not be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("row {row} ({}, sequence {sequence}): {error}", .kind.name())]
pub struct ApplyError {
    /// Its row, counted through all tapes.
    pub row: usize,
    /// What the event says.
    pub kind: Kind,
    /// The venue's id of it.
    pub sequence: u64,
    /// What is wrong with it.
    pub error: OrderBookError,
}

/// Applies an event unless it may be passed over; whether it was.
fn apply<T: Copy + Default>(
    book: &mut OrderBook<T>,
    row: usize,
    event: &Event,
    unknown: Unknown,
) -> Result<bool, ApplyError> {
    match book.apply(event) {
        Ok(()) => Ok(true),
        Err(OrderBookError::Unknown(_)) if unknown == Unknown::Skip => Ok(false),
        Err(error) => Err(ApplyError { row, kind: event.kind, sequence: event.sequence, error }),
    }
}

fn events<'a>(tapes: &'a [TapeView<'a>], instrument: u32) -> impl Iterator<Item = (usize, Event)> + 'a {
    let rows = tapes.iter().flat_map(|tape| (0..tape.len()).map(|row| tape.get(row)));
    rows.enumerate().filter_map(move |(row, event)| Some((row, event.filter(|event| event.instrument == instrument)?)))
}

/// Applies the events of one instrument; returns how many were passed over.
///
/// # Errors
/// At the first event that the book refuses. The events before it have been applied.
pub fn apply_tapes(
    book: &mut OrderBook,
    tapes: &[TapeView<'_>],
    instrument: u32,
    unknown: Unknown,
) -> Result<u64, ApplyError> {
    let mut skipped = 0;
    let mut coming = events(tapes, instrument);
    let mut some = Vec::with_capacity(AHEAD);
    loop {
        some.clear();
        some.extend(coming.by_ref().take(AHEAD));
        if some.is_empty() {
            return Ok(skipped);
        }
        book.read_ahead(some.iter().map(|(_, event): &(usize, Event)| event.coming()));
        for (row, event) in &some {
            skipped += u64::from(!apply(book, *row, event, unknown)?);
        }
    }
}

/// An order's place over time, in columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions {
    /// Row of the event, counted through all tapes.
    pub row: Vec<u64>,
    /// [`Event::ts_event`] in ns.
    pub ts_event: Vec<i64>,
    /// [`Event::ts_recv`] in ns.
    pub ts_recv: Vec<i64>,
    /// What the event was.
    pub kind: Vec<u8>,
    /// Side of the order.
    pub side: Vec<u8>,
    /// Price of the order.
    pub price: Vec<i64>,
    /// What the order has open; 0 once it has left.
    pub size: Vec<i64>,
    /// Orders before it.
    pub orders_ahead: Vec<u64>,
    /// Their sizes.
    pub size_ahead: Vec<i64>,
    /// Size of its price, itself included.
    pub level_size: Vec<i64>,
    /// Whether a gap came since the last clear, so that the place may be wrong.
    pub stale: Vec<bool>,
    /// Events about orders that are not in the book.
    pub skipped: u64,
}

/// The order that is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Followed {
    side: Side,
    price: Price,
    size: i64,
    orders_ahead: u64,
    size_ahead: i64,
    level_size: i64,
    /// When it joined its queue.
    entry: u64,
    stale: bool,
}

/// An order as it was before an event.
#[derive(Clone, Copy)]
struct Before {
    side: Side,
    price: Price,
    size: i64,
    entry: u64,
}

/// A book whose orders know when they joined their queue, and the one that is followed.
struct Follower {
    book: OrderBook<u64>,
    entries: u64,
    id: u64,
    order: Option<Followed>,
}

impl Follower {
    fn before(&self, id: u64) -> Option<Before> {
        let order = self.book.get(id)?;
        let entry = self.book.node(self.book.find(id)?).tag;
        Some(Before { side: order.side, price: order.price, size: order.size.0, entry })
    }

    /// An order has gone to the tail of its queue.
    fn enter(&mut self, id: u64) {
        self.entries += 1;
        if let Some(at) = self.book.find(id) {
            *self.book.tag_mut(at) = self.entries;
        }
    }

    fn level_size(&self, side: Side, price: Price) -> i64 {
        self.book.level_at(side, price.0).map_or(0, |level| level.size)
    }

    /// Takes a new reading of the followed order, which stands at the tail.
    fn joined(&mut self) {
        let Some(found) = self.book.find(self.id).map(|at| (*self.book.node(at), *self.book.level_of(at))) else {
            return;
        };
        let (node, level) = found;
        self.order = Some(Followed {
            side: level.side,
            price: Price(level.price),
            size: node.size,
            orders_ahead: u64::from(level.orders()) - 1,
            size_ahead: level.size - node.size,
            level_size: level.size,
            entry: node.tag,
            stale: self.book.is_stale(),
        });
    }

    /// Brings the followed order up to date with an event that was applied.
    fn update(&mut self, event: &Event, before: Option<Before>) {
        let id = event.order_id;
        let moved = match event.kind {
            Kind::Add => true,
            Kind::Modify => before.is_some_and(|old| event.price != old.price || event.size.0 > old.size),
            _ => false,
        };
        if moved {
            self.enter(id);
            if id == self.id {
                self.joined();
                return;
            }
        }
        let Some(mut order) = self.order else { return };
        order.stale = self.book.is_stale();
        match (event.kind, before) {
            (Kind::Clear, _) => (order.size, order.level_size) = (0, 0),
            (Kind::Modify | Kind::Cancel | Kind::Execute, Some(old)) => {
                let now = self.book.get(id).map_or(0, |order| order.size.0);
                if id == self.id {
                    order.size = now;
                } else if old.side == order.side && old.price == order.price && old.entry < order.entry {
                    let gone = moved || now == 0;
                    order.orders_ahead -= u64::from(gone);
                    order.size_ahead -= if gone { old.size } else { old.size - now };
                }
            }
            _ => {}
        }
        order.level_size = self.level_size(order.side, order.price);
        self.order = Some(order);
    }
}

/// Follows one order of an instrument from when it joins until it leaves: a row after each event that changes its price,
/// its open size, what is before it or the size of its price, and a last one of size 0 with what was before it then.
///
/// One pass, and the same work for every event however long the queue is: what lies before an order changes only by
/// events about orders that entered its queue earlier. Rows of a [`Kind::Gap`] are there because what follows may be
/// wrong. An id that comes again after it left is not followed further.
///
/// # Errors
/// At the first event that the book refuses.
pub fn follow(
    tapes: &[TapeView<'_>],
    instrument: u32,
    order_id: u64,
    unknown: Unknown,
) -> Result<Positions, ApplyError> {
    let mut out = Positions::default();
    let mut follower = Follower { book: OrderBook::new(), entries: 0, id: order_id, order: None };
    for (row, event) in events(tapes, instrument) {
        let before = match event.kind {
            Kind::Modify | Kind::Cancel | Kind::Execute => follower.before(event.order_id),
            _ => None,
        };
        if !apply(&mut follower.book, row, &event, unknown)? {
            out.skipped += 1;
            continue;
        }
        let last = follower.order;
        follower.update(&event, before);
        if let (Some(order), true) = (follower.order, follower.order != last) {
            out.push(row, &event, &order);
            if order.size == 0 {
                break;
            }
        }
    }
    Ok(out)
}

impl Positions {
    fn push(&mut self, row: usize, event: &Event, order: &Followed) {
        self.row.push(row as u64);
        self.ts_event.push(event.ts_event.0);
        self.ts_recv.push(event.ts_recv.0);
        self.kind.push(event.kind as u8);
        self.side.push(order.side as u8);
        self.price.push(order.price.0);
        self.size.push(order.size);
        self.orders_ahead.push(order.orders_ahead);
        self.size_ahead.push(order.size_ahead);
        self.level_size.push(order.level_size);
        self.stale.push(order.stale);
    }

    /// The last reading.
    #[must_use]
    pub fn last(&self) -> Option<(Price, Size, u64, Size)> {
        let last = self.row.len().checked_sub(1)?;
        Some((Price(self.price[last]), Size(self.size[last]), self.orders_ahead[last], Size(self.size_ahead[last])))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // in a test a failure may panic
mod tests {
    use super::*;
    use crate::event::Flags;
    use crate::tape::Tape;
    use crate::units::Nanos;
    use proptest::prelude::*;

    fn event(kind: Kind, id: u64, side: Side, price: i64, size: i64) -> Event {
        Event {
            ts_event: Nanos(1),
            ts_recv: Nanos(2),
            sequence: 7,
            order_id: id,
            price: Price(price),
            size: Size(size),
            instrument: 0,
            kind,
            side: Some(side),
            flags: Flags::LAST,
        }
    }

    fn tape(events: &[Event]) -> Tape {
        let mut tape = Tape::default();
        events.iter().for_each(|event| tape.push(event));
        tape
    }

    #[test]
    fn an_event_that_is_refused_is_named_by_its_row() {
        let other = Event { instrument: 1, ..event(Kind::Cancel, 9, Side::Bid, 1, 1) };
        let made = tape(&[other, event(Kind::Add, 1, Side::Bid, 1, 1), event(Kind::Cancel, 2, Side::Bid, 1, 1)]);
        let mut book = OrderBook::new();
        let error = apply_tapes(&mut book, &[made.view()], 0, Unknown::Refuse).expect_err("an unknown order");
        assert_eq!(error.to_string(), "row 2 (cancel, sequence 7): order 2: expected the id of a live order");
        assert_eq!(book.len(), 1);
        book.clear();
        assert_eq!(apply_tapes(&mut book, &[made.view()], 0, Unknown::Skip), Ok(1));
        assert_eq!(apply_tapes(&mut book, &[made.view()], 0, Unknown::Skip).map_err(|e| e.row), Err(1));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
        #[test]
        fn a_followed_order_stands_where_the_book_says(
            steps in prop::collection::vec((0_u8..12, 0_u64..8, any::<bool>(), 0_i64..3, 1_i64..6), 0..120),
            id in 0_u64..8,
        ) {
            let mut book: OrderBook = OrderBook::new();
            let (mut events, mut expected, mut begun, mut ended) = (Vec::new(), Vec::new(), false, false);
            let (mut last, mut own_side) = (None, Side::Bid);
            for (what, order, ask, price, size) in steps {
                let side = if ask { Side::Ask } else { Side::Bid };
                let kind = match what {
                    0..=4 => Kind::Add,
                    5 | 6 => Kind::Modify,
                    7 | 8 => Kind::Cancel,
                    9 | 10 => Kind::Execute,
                    _ if size == 1 => Kind::Clear,
                    _ => Kind::Trade,
                };
                let made = event(kind, order, side, price, size);
                if book.apply(&made).is_err() {
                    continue;
                }
                events.push(made);
                if ended {
                    continue;
                }
                match (book.get(id), book.place(id)) {
                    (Some(own), Some(place)) => {
                        (begun, own_side) = (true, own.side);
                        let reading = (own.price, own.size, place.orders_ahead, place.size_ahead, place.level_size);
                        if last != Some(reading) {
                            expected.push((events.len() - 1, reading));
                        }
                        last = Some(reading);
                    }
                    _ if begun => {
                        ended = true;
                        let (price, _, orders, ahead, _) = last.unwrap();
                        let size = book.levels(own_side).find(|level| level.price == price).map_or(Size(0), |level| level.size);
                        expected.push((events.len() - 1, (price, Size(0), orders, ahead, size)));
                    }
                    _ => {}
                }
            }
            let found = follow(&[tape(&events).view()], 0, id, Unknown::Refuse).unwrap();
            let rows: Vec<_> = (0..found.row.len()).map(|k| {
                let row = usize::try_from(found.row[k]).unwrap();
                (row, (Price(found.price[k]), Size(found.size[k]), found.orders_ahead[k],
                    Size(found.size_ahead[k]), Size(found.level_size[k])))
            }).collect();
            prop_assert_eq!(rows, expected);
        }
    }
}
