//! A batch of events in columns.

use crate::event::{Event, Flags, Kind};
use crate::units::{Nanos, Price, Side, Size};

/// Events in columns: what moves between the feeds, the books and the tables. Columns are plain vectors, so that a
/// bridge can hand them to Arrow without copying.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tape {
    /// [`Event::ts_event`] in ns.
    pub ts_event: Vec<i64>,
    /// [`Event::ts_recv`] in ns.
    pub ts_recv: Vec<i64>,
    /// [`Event::sequence`].
    pub sequence: Vec<u64>,
    /// [`Event::order_id`].
    pub order_id: Vec<u64>,
    /// [`Event::price`] in units.
    pub price: Vec<i64>,
    /// [`Event::size`] in units.
    pub size: Vec<i64>,
    /// [`Event::instrument`].
    pub instrument: Vec<u32>,
    /// [`Kind`] as its code.
    pub kind: Vec<u8>,
    /// [`Event::side_code`].
    pub side: Vec<u8>,
    /// [`Flags`].
    pub flags: Vec<u8>,
}

impl Tape {
    /// An empty tape with room for `rows` events.
    #[must_use]
    pub fn with_capacity(rows: usize) -> Self {
        Self {
            ts_event: Vec::with_capacity(rows),
            ts_recv: Vec::with_capacity(rows),
            sequence: Vec::with_capacity(rows),
            order_id: Vec::with_capacity(rows),
            price: Vec::with_capacity(rows),
            size: Vec::with_capacity(rows),
            instrument: Vec::with_capacity(rows),
            kind: Vec::with_capacity(rows),
            side: Vec::with_capacity(rows),
            flags: Vec::with_capacity(rows),
        }
    }

    /// How many events it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kind.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kind.is_empty()
    }

    /// Appends one event.
    #[inline]
    pub fn push(&mut self, event: &Event) {
        self.ts_event.push(event.ts_event.0);
        self.ts_recv.push(event.ts_recv.0);
        self.sequence.push(event.sequence);
        self.order_id.push(event.order_id);
        self.price.push(event.price.0);
        self.size.push(event.size.0);
        self.instrument.push(event.instrument);
        self.kind.push(event.kind as u8);
        self.side.push(event.side_code());
        self.flags.push(event.flags.0);
    }

    /// Forgets all events, keeps the memory.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Forgets the events from `rows` on.
    pub fn truncate(&mut self, rows: usize) {
        self.ts_event.truncate(rows);
        self.ts_recv.truncate(rows);
        self.sequence.truncate(rows);
        self.order_id.truncate(rows);
        self.price.truncate(rows);
        self.size.truncate(rows);
        self.instrument.truncate(rows);
        self.kind.truncate(rows);
        self.side.truncate(rows);
        self.flags.truncate(rows);
    }

    /// The whole tape as borrowed columns.
    #[must_use]
    pub fn view(&self) -> TapeView<'_> {
        TapeView {
            ts_event: &self.ts_event,
            ts_recv: &self.ts_recv,
            sequence: &self.sequence,
            order_id: &self.order_id,
            price: &self.price,
            size: &self.size,
            instrument: &self.instrument,
            kind: &self.kind,
            side: &self.side,
            flags: &self.flags,
        }
    }
}

/// Borrowed columns of a tape: what every reader of tapes takes, whoever owns the memory.
#[derive(Clone, Copy, Debug)]
pub struct TapeView<'a> {
    /// See [`Tape::ts_event`].
    pub ts_event: &'a [i64],
    /// See [`Tape::ts_recv`].
    pub ts_recv: &'a [i64],
    /// See [`Tape::sequence`].
    pub sequence: &'a [u64],
    /// See [`Tape::order_id`].
    pub order_id: &'a [u64],
    /// See [`Tape::price`].
    pub price: &'a [i64],
    /// See [`Tape::size`].
    pub size: &'a [i64],
    /// See [`Tape::instrument`].
    pub instrument: &'a [u32],
    /// See [`Tape::kind`].
    pub kind: &'a [u8],
    /// See [`Tape::side`].
    pub side: &'a [u8],
    /// See [`Tape::flags`].
    pub flags: &'a [u8],
}

impl TapeView<'_> {
    /// How many events it shows: the length of the shortest column.
    #[must_use]
    pub fn len(&self) -> usize {
        [self.ts_event.len(), self.ts_recv.len(), self.price.len(), self.size.len()]
            .into_iter()
            .chain([self.sequence.len(), self.order_id.len(), self.instrument.len()])
            .chain([self.kind.len(), self.side.len(), self.flags.len()])
            .min()
            .unwrap_or(0)
    }

    /// Whether it shows none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The event in a row; `None` past the end or where the kind is no known code.
    #[must_use]
    #[inline]
    pub fn get(&self, row: usize) -> Option<Event> {
        Some(Event {
            ts_event: Nanos(*self.ts_event.get(row)?),
            ts_recv: Nanos(*self.ts_recv.get(row)?),
            sequence: *self.sequence.get(row)?,
            order_id: *self.order_id.get(row)?,
            price: Price(*self.price.get(row)?),
            size: Size(*self.size.get(row)?),
            instrument: *self.instrument.get(row)?,
            kind: Kind::from_code(*self.kind.get(row)?)?,
            side: match *self.side.get(row)? {
                0 => Some(Side::Bid),
                1 => Some(Side::Ask),
                _ => None,
            },
            flags: Flags(*self.flags.get(row)?),
        })
    }

    /// The events in order. Rows whose kind is no known code are passed over.
    pub fn iter(&self) -> impl Iterator<Item = Event> + '_ {
        (0..self.len()).filter_map(|row| self.get(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_survive_their_columns() {
        let event = Event {
            ts_event: Nanos(1),
            ts_recv: Nanos(2),
            sequence: 3,
            order_id: 4,
            price: Price(5),
            size: Size(6),
            instrument: 7,
            kind: Kind::Trade,
            side: None,
            flags: Flags::LAST,
        };
        let mut tape = Tape::with_capacity(1);
        tape.push(&event);
        assert_eq!(tape.view().iter().collect::<Vec<_>>(), [event]);
        tape.clear();
        assert!(tape.is_empty());
    }
}
