//! One side of a price book.
//!
//! Levels within 64³ units of each other sit in a *window*: a bitmap of three storeys (one word, 64 words, 4096 words)
//! finds the best level and its neighbours by counting zeros, and the sizes lie in pages of 64 units that are allocated
//! when a level first needs them. Setting a level is then a handful of loads and stores without a search, and a quiet
//! book stays small. Everything outside the window waits in an ordered map, so no level is ever lost.
//!
//! Another structure wins elsewhere: a sorted vector while a side has a dozen levels, a `BTreeMap` where levels lie
//! thousands of units apart (then every level costs a page of its own).
//!
//! Prices are stored as *keys* that grow from best to worst: the price itself for asks, its bitwise complement for bids.
//! The complement reverses the order of all of `i64` without overflow, so one code path serves both sides.

use std::collections::{BTreeMap, btree_map};
use std::ops::Bound;

use crate::units::Side;

/// Units in one page, and words in each storey under one word of the storey above.
const FAN: usize = 64;
/// Pages in the window.
const PAGES: usize = FAN * FAN;
/// Units in the window.
const SPAN: i64 = 1 << 18;
/// How far before the best level the window begins: room to improve, and three times that for depth.
const HEADROOM: i64 = SPAN / 4;
/// The last base at which the window does not run over the end of `i64`. An empty side waits here, so that its first
/// level, unless it really lies there, places the window.
const LAST_BASE: i64 = i64::MAX - SPAN + 1;
/// The page without a level, shared by all pages that were never needed: its bits stay 0, its sizes are never read.
const NO_PAGE: u16 = 0;
/// The least number of updates outside the window before it may move.
const PATIENCE: u64 = 256;
/// The last keys outside the window, kept as a sample of where the traffic is.
const SAMPLES: usize = 16;

/// A mutable map from key to positive size, with the best level at hand.
#[derive(Clone)]
pub(super) struct Ladder {
    /// The key at the window's beginning.
    base: i64,
    /// Turns prices into keys and back: 0 for asks, -1 for bids.
    flip: i64,
    best: i64,
    best_size: i64,
    best_price: i64,
    hits: u64,
    /// Bit `i`: `middle[i]` has a bit.
    top: u64,
    slots: Box<[u16; PAGES]>,
    /// By slot: bit `i` is set where the page has a level at its unit `i`.
    bits: Vec<u64>,
    /// By slot: sizes, meaningful only under a set bit.
    sizes: Vec<[i64; FAN]>,
    /// Bit `i` of word `j`: page `64 j + i` has a level.
    middle: [u64; FAN],
    overflow: BTreeMap<i64, i64>,
    misses: u64,
    patience: u64,
    samples: [i64; SAMPLES],
    recentrings: u64,
}

impl Ladder {
    pub(super) fn new(side: Side) -> Self {
        Self {
            base: LAST_BASE,
            flip: match side {
                Side::Bid => -1,
                Side::Ask => 0,
            },
            best: i64::MAX,
            best_size: 0,
            best_price: 0,
            hits: 0,
            top: 0,
            slots: Box::new([NO_PAGE; PAGES]),
            bits: vec![0],
            sizes: vec![[0; FAN]],
            middle: [0; FAN],
            overflow: BTreeMap::new(),
            misses: 0,
            patience: PATIENCE,
            samples: [0; SAMPLES],
            recentrings: 0,
        }
    }

    /// Better prices have smaller keys.
    #[inline]
    pub(super) const fn key(&self, price: i64) -> i64 {
        price ^ self.flip
    }

    /// The inverse of [`Self::key`].
    #[inline]
    pub(super) const fn price(&self, key: i64) -> i64 {
        key ^ self.flip
    }

    /// Price and size of the best level; zeros if there is none.
    #[inline]
    pub(super) const fn best(&self) -> (i64, i64) {
        (self.best_price, self.best_size)
    }

    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.best_size == 0
    }

    pub(super) const fn recentrings(&self) -> u64 {
        self.recentrings
    }

    /// The distance from the window's beginning: below `SPAN` exactly for keys inside, because the window never runs
    /// over the end of `i64`.
    #[inline]
    const fn offset(&self, key: i64) -> u64 {
        key.wrapping_sub(self.base).cast_unsigned()
    }

    #[inline]
    const fn holds(&self, key: i64) -> bool {
        covers(self.base, key)
    }

    /// Sets the size at a price; anything but a positive size removes the level.
    #[inline]
    pub(super) fn set(&mut self, price: i64, size: i64) {
        let key = self.key(price);
        let offset = self.offset(key);
        if offset >= SPAN.cast_unsigned() {
            self.set_outside(key, size);
            return;
        }
        self.hits += 1;
        self.write(offset, size);
        if key <= self.best {
            if size > 0 {
                self.set_best(key, size);
            } else if key == self.best {
                self.find_best();
            }
        }
    }

    /// Writes a level of the window. Whether a size is set or removed is a coin toss in real streams, so neither way
    /// is a branch: a removal too writes a size, which nobody reads without the bit.
    #[inline]
    fn write(&mut self, offset: u64, size: i64) {
        let (page, unit) = split(offset);
        let present = u64::from(size > 0);
        let mut slot = self.slots[page];
        if slot == NO_PAGE && size > 0 {
            slot = self.add_page(page);
        }
        let slot = usize::from(slot);
        self.sizes[slot][unit] = size;
        let bits = self.bits[slot] & !(1 << unit) | present << unit;
        self.bits[slot] = bits;
        let (word, bit) = (page / FAN, page % FAN);
        let middle = self.middle[word] & !(1 << bit) | u64::from(bits != 0) << bit;
        self.middle[word] = middle;
        self.top = self.top & !(1 << word) | u64::from(middle != 0) << word;
    }

    #[cold]
    #[inline(never)]
    fn add_page(&mut self, page: usize) -> u16 {
        if self.bits.len() == self.bits.capacity() {
            // Doubling would take twice the memory that a full window needs.
            let more = (self.bits.len() / 2).clamp(8, (PAGES + 1).saturating_sub(self.bits.len()).max(8));
            self.bits.reserve_exact(more);
            self.sizes.reserve_exact(more);
        }
        // At most PAGES + 1 pages exist, so the slot fits.
        let slot = u16::try_from(self.bits.len()).unwrap_or(NO_PAGE);
        self.bits.push(0);
        self.sizes.push([0; FAN]);
        self.slots[page] = slot;
        slot
    }

    #[inline]
    fn set_best(&mut self, key: i64, size: i64) {
        self.best = key;
        self.best_size = size;
        self.best_price = self.price(key);
    }

    /// The best level was removed from the window, so nothing lies before the window.
    #[inline]
    fn find_best(&mut self) {
        if self.top == 0 {
            self.find_best_outside();
            return;
        }
        let word = zeros(self.top);
        let page = word * FAN + zeros(self.middle[word]);
        let slot = usize::from(self.slots[page]);
        let unit = zeros(self.bits[slot]);
        self.set_best(self.key_at(page, unit), self.sizes[slot][unit % FAN]);
    }

    #[cold]
    #[inline(never)]
    fn find_best_outside(&mut self) {
        match self.overflow.first_key_value() {
            Some((&key, &size)) if key < self.base || self.top == 0 => self.set_best(key, size),
            _ if self.top != 0 => self.find_best(),
            _ => {
                self.best = i64::MAX;
                self.best_size = 0;
                self.best_price = 0;
            }
        }
    }

    #[inline]
    fn key_at(&self, page: usize, unit: usize) -> i64 {
        #[allow(clippy::cast_possible_wrap)] // below SPAN
        let offset = (page * FAN + unit) as i64;
        self.base + offset
    }

    /// The first page with a level, from `page` on.
    #[inline]
    fn next_page(&self, page: usize) -> Option<usize> {
        if page >= PAGES {
            return None;
        }
        let word = page / FAN;
        let rest = self.middle[word] & (u64::MAX << (page % FAN));
        if rest != 0 {
            return Some(word * FAN + zeros(rest));
        }
        // Shifted twice, because a shift by 64 is none.
        let rest = self.top & (u64::MAX << word << 1);
        if rest == 0 {
            return None;
        }
        let word = zeros(rest);
        Some(word * FAN + zeros(self.middle[word % FAN]))
    }

    #[cold]
    #[inline(never)]
    fn set_outside(&mut self, key: i64, size: i64) {
        if self.is_empty() {
            if size > 0 {
                // Nothing has to move: the window's old sizes have no bits.
                self.base = base_at(key, HEADROOM);
                self.write(self.offset(key), size);
                self.set_best(key, size);
            }
            return;
        }
        if size > 0 {
            self.overflow.insert(key, size);
            if key <= self.best {
                self.set_best(key, size);
            }
        } else if self.overflow.remove(&key).is_some() && key == self.best {
            self.find_best_outside();
        }
        #[allow(clippy::cast_possible_truncation)] // the remainder is the same
        let turn = self.misses as usize % SAMPLES;
        self.samples[turn] = key;
        self.misses += 1;
        if self.misses >= self.patience {
            self.reconsider();
        }
    }

    /// Moves the window to where the missed traffic is, if that is clearly more than what the window serves now: a quote
    /// far away, even as the best of its side and at every other update, does not take the window from the rest.
    ///
    /// It is asked only after as many misses as there are levels to move, so that moving at most doubles the price of a
    /// miss, whoever provokes it.
    fn reconsider(&mut self) {
        let mut base = self.base;
        let mut votes = 0;
        for &sample in &self.samples {
            let candidate = self.base_for(sample);
            let count = self.samples.iter().filter(|&&key| covers(candidate, key)).count();
            if count > votes {
                (base, votes) = (candidate, count);
            }
        }
        // No overflow: misses stay below the number of levels plus PATIENCE.
        let gain = self.misses * votes as u64 / SAMPLES as u64;
        if base != self.base && gain > self.hits.saturating_add(self.hits / 2) {
            self.move_to(base);
        }
        self.hits = 0;
        self.misses = 0;
        self.patience = PATIENCE + self.len() as u64;
    }

    /// Where the window would begin to cover this key: around the best level if that reaches, else around the key.
    fn base_for(&self, key: i64) -> i64 {
        let base = base_at(self.best, HEADROOM);
        if covers(base, key) { base } else { base_at(key, SPAN / 2) }
    }

    fn move_to(&mut self, base: i64) {
        let inside: Vec<(i64, i64)> = self.window(self.base).collect();
        self.clear_window();
        // Pages are dealt out anew, so that those of the old place do not stay behind.
        self.slots.fill(NO_PAGE);
        self.bits.truncate(1);
        self.sizes.truncate(1);
        self.base = base;
        let coming: Vec<(i64, i64)> =
            self.overflow.range(base..=base + (SPAN - 1)).map(|(&key, &size)| (key, size)).collect();
        for (key, size) in coming {
            self.overflow.remove(&key);
            self.write(self.offset(key), size);
        }
        for (key, size) in inside {
            if self.holds(key) {
                self.write(self.offset(key), size);
            } else {
                self.overflow.insert(key, size);
            }
        }
        self.recentrings += 1;
    }

    /// Takes the bits out of the window, storey by storey, touching only words that have some.
    fn clear_window(&mut self) {
        while self.top != 0 {
            let word = zeros(self.top);
            while self.middle[word] != 0 {
                let page = word * FAN + zeros(self.middle[word]);
                self.bits[usize::from(self.slots[page])] = 0;
                self.middle[word] &= self.middle[word] - 1;
            }
            self.top &= self.top - 1;
        }
    }

    /// Forgets every level and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.clear_window();
        self.overflow.clear();
        self.base = LAST_BASE;
        self.best = i64::MAX;
        self.best_size = 0;
        self.best_price = 0;
        self.hits = 0;
        self.misses = 0;
        self.patience = PATIENCE;
    }

    /// The size at a price, 0 if there is no level.
    pub(super) fn get(&self, price: i64) -> i64 {
        let key = self.key(price);
        if !self.holds(key) {
            return self.overflow.get(&key).copied().unwrap_or(0);
        }
        let (page, unit) = split(self.offset(key));
        let slot = usize::from(self.slots[page]);
        if self.bits[slot] >> unit & 1 == 1 { self.sizes[slot][unit] } else { 0 }
    }

    pub(super) fn len(&self) -> usize {
        let mut levels = self.overflow.len();
        let mut page = 0;
        while let Some(next) = self.next_page(page) {
            levels += self.bits[usize::from(self.slots[next])].count_ones() as usize;
            page = next + 1;
        }
        levels
    }

    /// Bytes on the heap; those of the ordered map are an estimate (its nodes are two thirds full on average).
    pub(super) fn heap(&self) -> usize {
        size_of_val(&*self.slots)
            + self.bits.capacity() * size_of::<u64>()
            + self.sizes.capacity() * size_of::<[i64; FAN]>()
            + self.overflow.len() * size_of::<(i64, i64)>() * 3 / 2
    }

    fn window(&self, from: i64) -> Window<'_> {
        if !self.holds(from) {
            let page = if from < self.base { 0 } else { PAGES };
            return self.pages(page);
        }
        let (page, unit) = split(self.offset(from));
        let bits = self.bits[usize::from(self.slots[page])] & (u64::MAX << unit);
        Window { ladder: self, slot: usize::from(self.slots[page]), page, bits, next: page + 1 }
    }

    const fn pages(&self, next: usize) -> Window<'_> {
        Window { ladder: self, slot: 0, page: 0, bits: 0, next }
    }

    /// Keys and sizes from best to worst, without those better than `from`.
    #[inline]
    pub(super) fn iter_from(&self, from: i64) -> Iter<'_> {
        // Only a best level outside has company before the window; the map is not searched otherwise.
        let before =
            if self.best < self.base && from < self.base { Some(self.overflow.range(from..self.base)) } else { None };
        Iter { before, window: self.window(from), after: None, from }
    }

    /// Keys and sizes from best to worst.
    #[inline]
    pub(super) fn iter(&self) -> Iter<'_> {
        self.iter_from(i64::MIN)
    }
}

/// Page and unit of an offset below `SPAN`.
#[inline]
#[allow(clippy::cast_possible_truncation)] // masked to 18 bits, which also spares the bounds checks
const fn split(offset: u64) -> (usize, usize) {
    let offset = offset as usize;
    (offset / FAN % PAGES, offset % FAN)
}

#[inline]
const fn zeros(word: u64) -> usize {
    word.trailing_zeros() as usize
}

/// Whether a window that begins at `base` holds the key.
#[inline]
const fn covers(base: i64, key: i64) -> bool {
    key.wrapping_sub(base).cast_unsigned() < SPAN.cast_unsigned()
}

/// A window's beginning that leaves `room` before the key, as far as the range of `i64` allows.
const fn base_at(key: i64, room: i64) -> i64 {
    let base = key.saturating_sub(room);
    if base > LAST_BASE { LAST_BASE } else { base }
}

#[derive(Clone)]
struct Window<'a> {
    ladder: &'a Ladder,
    page: usize,
    slot: usize,
    /// What is left of this page.
    bits: u64,
    next: usize,
}

impl Iterator for Window<'_> {
    type Item = (i64, i64);

    #[inline]
    fn next(&mut self) -> Option<(i64, i64)> {
        if self.bits == 0 {
            let Some(page) = self.ladder.next_page(self.next) else {
                self.next = PAGES;
                return None;
            };
            self.page = page;
            self.next = page + 1;
            self.slot = usize::from(self.ladder.slots[page]);
            self.bits = self.ladder.bits[self.slot];
        }
        let unit = zeros(self.bits);
        self.bits &= self.bits.wrapping_sub(1);
        Some((self.ladder.key_at(self.page, unit), self.ladder.sizes[self.slot][unit % FAN]))
    }
}

/// The levels of one side in order: what lies before the window, the window, what lies after it.
#[derive(Clone)]
pub(super) struct Iter<'a> {
    before: Option<btree_map::Range<'a, i64, i64>>,
    window: Window<'a>,
    /// Searched for only when the window has run out.
    after: Option<btree_map::Range<'a, i64, i64>>,
    from: i64,
}

impl Iter<'_> {
    /// Hands on the levels of the window, key and size, until one is taken as the last. False if none was: what is left,
    /// if anything, is outside the window, and the iterator has it. Several times as fast as that, as nothing is looked
    /// up again between the levels of a page.
    #[inline]
    pub(super) fn until(&mut self, mut is_last: impl FnMut(i64, i64) -> bool) -> bool {
        if self.before.is_some() {
            return false;
        }
        let ladder = self.window.ladder;
        let Window { mut page, mut slot, mut bits, mut next, .. } = self.window;
        loop {
            if let Some(sizes) = ladder.sizes.get(slot) {
                let first = ladder.key_at(page, 0);
                while bits != 0 {
                    let unit = zeros(bits);
                    bits &= bits.wrapping_sub(1);
                    #[allow(clippy::cast_possible_wrap)] // below 64
                    if is_last(first + unit as i64, sizes[unit % FAN]) {
                        self.window = Window { ladder, page, slot, bits, next };
                        return true;
                    }
                }
            }
            let Some(found) = ladder.next_page(next) else { break };
            (page, next) = (found, found + 1);
            slot = usize::from(ladder.slots[page]);
            bits = ladder.bits[slot];
        }
        self.window = ladder.pages(PAGES);
        false
    }
}

impl Iterator for Iter<'_> {
    type Item = (i64, i64);

    #[inline]
    fn next(&mut self) -> Option<(i64, i64)> {
        if let Some(before) = &mut self.before {
            if let Some((&key, &size)) = before.next() {
                return Some((key, size));
            }
            self.before = None;
        }
        if let Some(level) = self.window.next() {
            return Some(level);
        }
        let ladder = self.window.ladder;
        let from = self.from;
        let after = self.after.get_or_insert_with(|| {
            let last = ladder.base + (SPAN - 1);
            let bound = if from > last { Bound::Included(from) } else { Bound::Excluded(last) };
            ladder.overflow.range((bound, Bound::Unbounded))
        });
        after.next().map(|(&key, &size)| (key, size))
    }
}
