//! When a stream of depth changes and a snapshot make a book: Binance's rules, one state machine an instrument.
//!
//! Spot numbers every update of the symbol: a change joins iff `U <= id + 1 <= u`. Futures number the updates of all
//! symbols together and chain a symbol's messages by `pu`: after the snapshot a message joins iff `pu <= id <= u`, then
//! iff `pu` is the `u` before. (The documentation asks `U <= id` of the first. Between `pu` and `U` no update belongs to
//! this symbol, so an id in that hole joins just as well; asking for `U` would refuse a snapshot that is exact.)

use crate::units::{Nanos, Side};

/// A level of a message: absolute size at a price, in units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    pub side: Side,
    pub price: i64,
    pub size: i64,
}

/// The ids and the time of a depth message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub first: u64,
    pub last: u64,
    /// `pu`: futures only.
    pub previous: Option<u64>,
    pub ts_event: Nanos,
}

/// Where a message stands to a book that is good up to an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joint {
    Repeated,
    Joins,
    /// The first and last missing id; the last is 0 where unknown.
    Gap(u64, u64),
}

impl Span {
    /// Against a book whose last update is `id`; `fresh` if that id is a snapshot's.
    pub(super) fn joint(&self, id: u64, fresh: bool) -> Joint {
        let joins = match self.previous {
            // A snapshot's id may be the very `u` of a message: that message repeats it, harmlessly.
            Some(previous) if fresh => previous <= id,
            Some(previous) => previous == id,
            None => self.first <= id.saturating_add(1),
        };
        let repeated = match self.previous {
            Some(_) if fresh => self.last < id,
            _ => self.last <= id,
        };
        if repeated {
            Joint::Repeated
        } else if joins {
            Joint::Joins
        } else {
            let (first, last) = (id.saturating_add(1), self.previous.unwrap_or(self.first.saturating_sub(1)));
            Joint::Gap(first, if last < first { 0 } else { last })
        }
    }
}

/// Changes that wait for a snapshot, bounded.
#[derive(Debug, Default)]
pub(super) struct Held {
    spans: std::collections::VecDeque<(Span, usize)>,
    levels: std::collections::VecDeque<Level>,
}

impl Held {
    /// More levels than this are not kept while a snapshot is awaited: the oldest messages go.
    pub(super) const MAX_LEVELS: usize = 1 << 20;

    /// Keeps one message. Where older ones have to go, the ids show it when the snapshot comes.
    pub(super) fn push(&mut self, span: Span, levels: &[Level]) {
        self.spans.push_back((span, levels.len()));
        self.levels.extend(levels);
        while self.levels.len() > Self::MAX_LEVELS || self.spans.len() > Self::MAX_LEVELS {
            self.pop_oldest();
        }
    }

    /// Drops what a snapshot at `id` already holds and says how the first message left stands to it.
    pub(super) fn trim(&mut self, id: u64) -> Option<Joint> {
        while let Some((span, _)) = self.spans.front() {
            match span.joint(id, true) {
                Joint::Repeated => self.pop_oldest(),
                joint => return Some(joint),
            }
        }
        None
    }

    fn pop_oldest(&mut self) {
        if let Some((_, count)) = self.spans.pop_front() {
            self.levels.drain(..count);
        }
    }

    /// The oldest message.
    pub(super) fn front(&self) -> Option<Span> {
        self.spans.front().map(|(span, _)| *span)
    }

    /// Takes the oldest message, its levels into `out`.
    pub(super) fn pop(&mut self, out: &mut Vec<Level>) -> Option<Span> {
        let (span, count) = self.spans.pop_front()?;
        out.clear();
        out.extend(self.levels.drain(..count));
        Some(span)
    }

    pub(super) fn clear(&mut self) {
        self.spans.clear();
        self.levels.clear();
    }
}

/// How far a book can be trusted.
#[derive(Debug)]
pub(super) enum State {
    /// Changes are held until a snapshot comes.
    Waiting,
    /// The book is good up to an update id.
    Synced {
        last: u64,
        /// No change has joined since the snapshot.
        fresh: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: u64, last: u64, previous: Option<u64>) -> Span {
        Span { first, last, previous, ts_event: Nanos::UNKNOWN }
    }

    #[test]
    fn a_spot_change_joins_where_its_range_covers_the_next_id() {
        assert_eq!(span(90, 100, None).joint(100, true), Joint::Repeated);
        assert_eq!(span(90, 101, None).joint(100, true), Joint::Joins);
        assert_eq!(span(101, 105, None).joint(100, false), Joint::Joins);
        assert_eq!(span(102, 105, None).joint(100, false), Joint::Gap(101, 101));
    }

    #[test]
    fn a_futures_change_joins_where_the_chain_holds() {
        assert_eq!(span(95, 99, Some(90)).joint(100, true), Joint::Repeated);
        assert_eq!(span(95, 100, Some(90)).joint(100, true), Joint::Joins);
        assert_eq!(span(105, 110, Some(98)).joint(100, true), Joint::Joins, "the snapshot's id lies between messages");
        assert_eq!(span(105, 110, Some(101)).joint(100, true), Joint::Gap(101, 101));
        assert_eq!(span(95, 100, Some(90)).joint(100, false), Joint::Repeated);
        assert_eq!(span(105, 110, Some(100)).joint(100, false), Joint::Joins);
        assert_eq!(span(105, 110, Some(99)).joint(100, false), Joint::Gap(101, 0));
    }
}
