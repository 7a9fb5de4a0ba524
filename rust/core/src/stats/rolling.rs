//! The median of a moving window of time, online.

use std::collections::{BTreeSet, VecDeque};

/// The median of the values of the last `window` nanoseconds.
///
/// Two ordered sets, the lower half and the upper, kept equal in size (the lower may hold one more), so a push and each
/// value that it expires cost `O(log n)`, and the median is the top of the lower half. Integers throughout: the same
/// pushes give the same medians, bit for bit, however long it runs.
#[derive(Clone, Debug)]
pub struct RollingMedian {
    window: i64,
    /// `(time, value, serial)` in order of arrival.
    entries: VecDeque<(i64, i64, u64)>,
    /// Serials tell equal values apart.
    lower: BTreeSet<(i64, u64)>,
    upper: BTreeSet<(i64, u64)>,
    serial: u64,
}

impl RollingMedian {
    /// A window of `window_ns` nanoseconds; a negative one is taken as 0, which holds a single instant.
    #[must_use]
    pub fn new(window_ns: i64) -> Self {
        Self {
            window: window_ns.max(0),
            entries: VecDeque::new(),
            lower: BTreeSet::new(),
            upper: BTreeSet::new(),
            serial: 0,
        }
    }

    /// Adds a value and drops those older than the window: what remains lies in `[time − window, time]`. Time does not
    /// run backwards: one before the newest is taken as the newest.
    pub fn push(&mut self, time: i64, value: i64) {
        let time = self.entries.back().map_or(time, |&(newest, ..)| time.max(newest));
        let oldest = time.saturating_sub(self.window);
        while let Some(&(_, value, serial)) = self.entries.front().filter(|entry| entry.0 < oldest) {
            self.entries.pop_front();
            if !self.lower.remove(&(value, serial)) {
                self.upper.remove(&(value, serial));
            }
            self.balance();
        }
        let entry = (value, self.serial);
        self.entries.push_back((time, value, self.serial));
        self.serial += 1;
        if self.lower.last().is_some_and(|&middle| entry < middle) {
            self.lower.insert(entry);
        } else {
            self.upper.insert(entry);
        }
        self.balance();
    }

    /// The lower median, the `⌈n/2⌉`-th smallest of `n` values: for an even count the lower of the middle two, so that
    /// it is always a value that was pushed. `None` before the first push.
    #[must_use]
    pub fn median(&self) -> Option<i64> {
        self.lower.last().map(|&(value, _)| value)
    }

    /// How many values the window holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing has been pushed yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn balance(&mut self) {
        if self.lower.len() > self.upper.len() + 1 {
            self.upper.extend(self.lower.pop_last());
        } else if self.lower.len() < self.upper.len() {
            self.lower.extend(self.upper.pop_first());
        }
    }
}
