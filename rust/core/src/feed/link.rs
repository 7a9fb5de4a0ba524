//! How one message of a book joins what is known: by ids, for every venue that has any.
//!
//! After a REST snapshot, spot Binance joins iff `U <= id + 1 <= u`, its futures iff `pu <= id <= u`. (The documentation
//! asks `U <= id` of the first. Between `pu` and `U` no update belongs to this symbol, so an id in that hole joins just as
//! well; asking for `U` would refuse a snapshot that is exact.)

use std::collections::VecDeque;

use super::message::Link;
use crate::units::Nanos;

/// Where a message stands to a book that is good up to an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joint {
    Repeated,
    Joins,
    /// The first and last missing id; the last is 0 where unknown.
    Gap(u64, u64),
}

impl Link {
    /// Against a book whose last update is `id`; `fresh` if that id is a snapshot's.
    #[inline]
    pub(super) fn joint(self, id: u64, fresh: bool) -> Joint {
        let next = id.saturating_add(1);
        match self {
            Self::None => Joint::Joins,
            Self::At(at) if at < id || (fresh && at == id) => Joint::Repeated,
            Self::At(_) => Joint::Joins,
            Self::Range { last, .. } if last <= id => Joint::Repeated,
            Self::Range { first, .. } if first <= next => Joint::Joins,
            Self::Range { first, .. } => Joint::Gap(next, first - 1),
            Self::Chain { previous, .. } if previous == id => Joint::Joins,
            Self::Chain { last, .. } if last == id => Joint::Repeated,
            Self::Chain { .. } => Joint::Gap(0, 0),
            Self::Timed { time, .. } if fresh && time <= id => Joint::Repeated,
            Self::Timed { since, .. } if fresh && since <= id => Joint::Joins,
            // What it follows is newer than the snapshot, and was never seen.
            Self::Timed { .. } if fresh => Joint::Gap(0, 0),
            Self::Timed { previous, .. } if previous == id => Joint::Joins,
            Self::Timed { last, .. } if last == id => Joint::Repeated,
            Self::Timed { .. } => Joint::Gap(0, 0),
            // A snapshot's id may be the very `u` of a message: that message repeats it, harmlessly.
            Self::Span { last, .. } if fresh && last < id => Joint::Repeated,
            Self::Span { previous, .. } if fresh && previous <= id => Joint::Joins,
            Self::Span { previous, .. } if !fresh && previous == id => Joint::Joins,
            Self::Span { last, .. } if last <= id => Joint::Repeated,
            Self::Span { previous, .. } => Joint::Gap(next, if previous < next { 0 } else { previous }),
        }
    }
}

/// The link and the time of a message that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub link: Link,
    pub ts_event: Nanos,
}

/// Changes that wait for a snapshot, bounded.
#[derive(Debug)]
pub(super) struct Held<T> {
    messages: VecDeque<(Waiting, usize)>,
    items: VecDeque<T>,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self { messages: VecDeque::new(), items: VecDeque::new() }
    }
}

impl<T: Copy> Held<T> {
    /// More items than this are not kept while a snapshot is awaited: the oldest messages go.
    const MAX_ITEMS: usize = 1 << 20;

    /// Keeps one message. Where older ones have to go, the ids show it when the snapshot comes.
    pub(super) fn push(&mut self, message: Waiting, items: &[T]) {
        self.messages.push_back((message, items.len()));
        self.items.extend(items);
        while self.items.len() > Self::MAX_ITEMS || self.messages.len() > Self::MAX_ITEMS {
            self.pop_oldest();
        }
    }

    /// Drops what a snapshot at `id` already holds and says how the first message left stands to it.
    pub(super) fn trim(&mut self, id: u64) -> Option<Joint> {
        // A message with a time only cannot say what it follows: a snapshot that is older than all that were held may
        // lack what came between.
        if let Some((Waiting { link: Link::At(at), .. }, _)) = self.messages.front()
            && *at > id
        {
            return Some(Joint::Gap(0, 0));
        }
        while let Some((message, _)) = self.messages.front() {
            match message.link.joint(id, true) {
                Joint::Repeated => self.pop_oldest(),
                joint => return Some(joint),
            }
        }
        None
    }

    fn pop_oldest(&mut self) {
        if let Some((_, count)) = self.messages.pop_front() {
            self.items.drain(..count);
        }
    }

    /// The oldest message.
    pub(super) fn front(&self) -> Option<Waiting> {
        self.messages.front().map(|(message, _)| *message)
    }

    /// Takes the oldest message, its items into `out`.
    pub(super) fn pop(&mut self, out: &mut Vec<T>) -> Option<Waiting> {
        let (message, count) = self.messages.pop_front()?;
        out.clear();
        out.extend(self.items.drain(..count));
        Some(message)
    }

    pub(super) fn clear(&mut self) {
        self.messages.clear();
        self.items.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_joins_where_it_covers_the_next_id() {
        let range = |first, last| Link::Range { first, last };
        assert_eq!(range(90, 100).joint(100, true), Joint::Repeated);
        assert_eq!(range(90, 101).joint(100, true), Joint::Joins);
        assert_eq!(range(101, 105).joint(100, false), Joint::Joins);
        assert_eq!(range(102, 105).joint(100, false), Joint::Gap(101, 101));
    }

    #[test]
    fn a_span_joins_where_the_chain_holds() {
        let span = |first, last, previous| Link::Span { first, last, previous };
        assert_eq!(span(95, 99, 90).joint(100, true), Joint::Repeated);
        assert_eq!(span(95, 100, 90).joint(100, true), Joint::Joins);
        assert_eq!(span(105, 110, 98).joint(100, true), Joint::Joins, "the snapshot's id lies between messages");
        assert_eq!(span(105, 110, 101).joint(100, true), Joint::Gap(101, 101));
        assert_eq!(span(95, 100, 90).joint(100, false), Joint::Repeated);
        assert_eq!(span(105, 110, 100).joint(100, false), Joint::Joins);
        assert_eq!(span(105, 110, 99).joint(100, false), Joint::Gap(101, 0));
    }

    #[test]
    fn a_chain_asks_for_the_very_id_even_where_ids_run_back() {
        let chain = |previous, last| Link::Chain { previous, last };
        assert_eq!(chain(15, 15).joint(15, false), Joint::Joins, "an idle OKX message repeats its id");
        assert_eq!(chain(15, 3).joint(15, false), Joint::Joins, "OKX's ids begin anew after maintenance");
        assert_eq!(chain(3, 5).joint(3, false), Joint::Joins);
        assert_eq!(chain(3, 5).joint(5, false), Joint::Repeated);
        assert_eq!(chain(4, 6).joint(3, false), Joint::Gap(0, 0));
    }

    #[test]
    fn tokens_join_a_snapshot_by_time_and_one_another_by_chain() {
        let timed = |previous, last, time| Link::Timed { previous, last, since: time - 1, time };
        assert_eq!(timed(7, 8, 1_000).joint(1_000, true), Joint::Repeated);
        assert_eq!(timed(7, 8, 1_001).joint(1_000, true), Joint::Joins);
        assert_eq!(timed(7, 8, 1_002).joint(1_000, true), Joint::Gap(0, 0), "what it follows is newer");
        assert_eq!(timed(8, 9, 1_002).joint(8, false), Joint::Joins);
        assert_eq!(timed(9, 3, 1_003).joint(8, false), Joint::Gap(0, 0));
    }

    #[test]
    fn a_message_with_only_a_time_must_not_run_back() {
        assert_eq!(Link::At(5).joint(5, true), Joint::Repeated);
        assert_eq!(Link::At(5).joint(5, false), Joint::Joins);
        assert_eq!(Link::At(4).joint(5, false), Joint::Repeated);
    }
}
