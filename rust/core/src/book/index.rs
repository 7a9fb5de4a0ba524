//! From order ids to places in a slab.
//!
//! Open addressing over buckets of one cache line: seven 32-bit hashes, seven places, and how many ids went past because
//! the bucket was full. A search compares a whole line without a branch that depends on where in it the id lies, and
//! ends there but for one id in ten; branches that a random id makes unpredictable would keep the processor from
//! working on the next order while the line comes from memory. The counts of those that went past are what
//! tombstones are for elsewhere. A bucket's home follows from its hash alone, so growing never reads the orders. A
//! table of a million orders is 16 MB.
//!
//! The hash is keyed with a number drawn anew for every table: ids come from a network, and with a fixed hash anyone
//! could choose them so that they collide. Nothing is ever read in the table's order, so results do not depend on it.

use std::hash::{BuildHasher, RandomState};

/// Ids in a bucket.
const WAYS: usize = 7;

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Bucket {
    /// Hashes, 0 where there is none. The last is no hash: how many ids went past.
    hashes: [u32; WAYS + 1],
    places: [u32; WAYS + 1],
}

const EMPTY: Bucket = Bucket { hashes: [0; WAYS + 1], places: [0; WAYS + 1] };

impl Bucket {
    /// Bit `i` is set where hash `i` is this one.
    #[inline]
    fn matches(&self, hash: u32) -> u32 {
        let mut found = 0;
        for (at, &one) in self.hashes.iter().enumerate() {
            found |= u32::from(one == hash) << at;
        }
        found & ((1 << WAYS) - 1)
    }

    /// The first place with this hash that `is` accepts.
    #[inline]
    fn place(&self, hash: u32, is: impl Fn(u32) -> bool) -> Option<u32> {
        let mut found = self.matches(hash);
        while found != 0 {
            let place = self.places[found.trailing_zeros() as usize % (WAYS + 1)];
            if is(place) {
                return Some(place);
            }
            found &= found - 1;
        }
        None
    }

    /// Takes out what has this hash and place; whether it was here.
    #[inline]
    fn take(&mut self, hash: u32, place: u32) -> bool {
        let mut found = self.matches(hash);
        while found != 0 {
            let way = found.trailing_zeros() as usize % (WAYS + 1);
            if self.places[way] == place {
                self.hashes[way] = 0;
                return true;
            }
            found &= found - 1;
        }
        false
    }

    #[inline]
    const fn passed(&mut self) -> &mut u32 {
        &mut self.hashes[WAYS]
    }
}

fn empty(buckets: usize) -> Box<[Bucket]> {
    let mut empty = crossbook_pages::vec_with_capacity(buckets);
    empty.resize(buckets, EMPTY);
    empty.into_boxed_slice()
}

#[derive(Clone, Debug)]
pub(super) struct Index {
    buckets: Box<[Bucket]>,
    /// Turns a hash into a home: 32 less the logarithm of the number of buckets.
    shift: u32,
    used: usize,
    key: u64,
}

impl Index {
    const LEAST: usize = 2;

    /// Room for so many ids without growing.
    pub(super) fn with_capacity(ids: usize) -> Self {
        let buckets = (ids.saturating_mul(4) / (3 * WAYS) + 1).next_power_of_two().clamp(Self::LEAST, 1 << 29);
        Self {
            buckets: empty(buckets),
            shift: 32 - buckets.trailing_zeros(),
            used: 0,
            key: RandomState::new().hash_one(0) | 1,
        }
    }

    /// Never 0.
    #[inline]
    const fn hash(&self, id: u64) -> u32 {
        let product = (id ^ self.key) as u128 * 0x9e37_79b9_7f4a_7c15;
        #[allow(clippy::cast_possible_truncation)] // both halves, folded
        let folded = (product >> 64) as u64 ^ product as u64;
        (folded >> 32) as u32 | 1
    }

    #[inline]
    const fn home(&self, hash: u32) -> usize {
        (hash as usize) >> self.shift
    }

    /// Reads from the bucket where a search for this id begins.
    #[inline]
    pub(super) fn touch(&self, id: u64) -> u32 {
        self.buckets[self.home(self.hash(id)) & (self.buckets.len() - 1)].hashes[0]
    }

    /// Where an id probably is: whoever has its hash, in the bucket where a search begins.
    #[inline]
    pub(super) fn guess(&self, id: u64) -> Option<u32> {
        let hash = self.hash(id);
        let bucket = &self.buckets[self.home(hash) & (self.buckets.len() - 1)];
        let found = bucket.matches(hash);
        (found != 0).then(|| bucket.places[found.trailing_zeros() as usize % (WAYS + 1)])
    }

    /// The place of an id; `is` tells whether the order at a place has it.
    #[inline]
    pub(super) fn find(&self, id: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let hash = self.hash(id);
        let home = self.home(hash);
        let bucket = &self.buckets[home & (self.buckets.len() - 1)];
        let found = bucket.place(hash, &is);
        // One id in ten is not at home.
        if found.is_some() || bucket.hashes[WAYS] == 0 { found } else { self.find_on(home, hash, is) }
    }

    #[cold]
    fn find_on(&self, home: usize, hash: u32, is: impl Fn(u32) -> bool) -> Option<u32> {
        // In a small table ids may have gone past every bucket: a search ends where it began at the latest.
        for at in home + 1..home + self.buckets.len() {
            let bucket = &self.buckets[at & (self.buckets.len() - 1)];
            let found = bucket.place(hash, &is);
            if found.is_some() || bucket.hashes[WAYS] == 0 {
                return found;
            }
        }
        None
    }

    /// Adds an id that is not there yet.
    #[inline]
    pub(super) fn insert(&mut self, id: u64, place: u32) {
        if self.used * 4 >= self.buckets.len() * WAYS * 3 {
            self.grow();
        }
        self.used += 1;
        self.put(self.hash(id), place);
    }

    #[inline]
    fn put(&mut self, hash: u32, place: u32) {
        let mask = self.buckets.len() - 1;
        let mut at = self.home(hash);
        loop {
            let bucket = &mut self.buckets[at & mask];
            let free = bucket.matches(0);
            if free != 0 {
                let way = free.trailing_zeros() as usize % (WAYS + 1);
                bucket.hashes[way] = hash;
                bucket.places[way] = place;
                return;
            }
            *bucket.passed() += 1;
            at += 1;
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let buckets = self.buckets.len() * 2;
        let old = std::mem::replace(&mut self.buckets, empty(buckets));
        self.shift = 32 - buckets.trailing_zeros();
        for bucket in old {
            for (&hash, &place) in bucket.hashes.iter().zip(&bucket.places).take(WAYS) {
                if hash != 0 {
                    self.put(hash, place);
                }
            }
        }
    }

    /// Takes out an id that is there.
    #[inline]
    pub(super) fn remove(&mut self, id: u64, place: u32) {
        let hash = self.hash(id);
        let home = self.home(hash);
        let mask = self.buckets.len() - 1;
        if self.buckets[home & mask].take(hash, place) {
            self.used -= 1;
        } else {
            self.remove_on(home, hash, place);
        }
    }

    #[cold]
    fn remove_on(&mut self, home: usize, hash: u32, place: u32) {
        let mask = self.buckets.len() - 1;
        for at in home + 1..=home + mask {
            if *self.buckets[(at - 1) & mask].passed() == 0 {
                return;
            }
            if self.buckets[at & mask].take(hash, place) {
                self.used -= 1;
                for passed in home..at {
                    *self.buckets[passed & mask].passed() -= 1;
                }
                return;
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.buckets.fill(EMPTY);
        self.used = 0;
    }

    pub(super) fn heap(&self) -> usize {
        size_of_val(&*self.buckets)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // in a test a failure may panic
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn an_index_is_a_map(operations in prop::collection::vec((0_u64..300, any::<bool>()), 0..2_000)) {
            let mut index = Index::with_capacity(0);
            let mut model: HashMap<u64, u32> = HashMap::new();
            let mut ids = Vec::new();
            for (id, add) in operations {
                let found = index.find(id, |place| ids[place as usize] == id);
                prop_assert_eq!(found, model.get(&id).copied());
                match (add, found) {
                    (true, None) => {
                        let place = u32::try_from(ids.len()).expect("few ids");
                        ids.push(id);
                        index.insert(id, place);
                        model.insert(id, place);
                    }
                    (false, Some(place)) => {
                        index.remove(id, place);
                        model.remove(&id);
                    }
                    _ => {}
                }
                prop_assert_eq!(index.used, model.len());
            }
            for (id, place) in model {
                index.remove(id, place);
            }
            prop_assert!(index.buckets.iter().all(|bucket| bucket.hashes == [0; WAYS + 1]), "an empty table is as new");
        }
    }

    #[test]
    fn a_search_in_a_small_table_where_ids_went_past_every_bucket_ends() {
        let mut index = Index::with_capacity(0);
        let of = |index: &Index, home: usize| -> Vec<u64> {
            (1..).filter(|&id| index.home(index.hash(id)) == home).take(8).collect()
        };
        let (first, second) = (of(&index, 0), of(&index, 1));
        // Eight that belong to the first bucket, of which it holds seven; these leave, and seven come to the second.
        for (&id, place) in first.iter().zip(0..) {
            index.insert(id, place);
        }
        for (&id, place) in first.iter().zip(0..7) {
            index.remove(id, place);
        }
        for (&id, place) in second.iter().zip(10..17) {
            index.insert(id, place);
        }
        assert_eq!(index.buckets.len(), Index::LEAST);
        assert!(index.buckets.iter().all(|bucket| bucket.hashes[WAYS] > 0));
        assert_eq!(index.find(second[7], |_| true), None);
        assert_eq!(index.find(first[7], |place| place == 7), Some(7));
        index.remove(second[7], 99);
        assert_eq!(index.used, 8);
    }

    #[test]
    fn ids_of_one_hash_are_told_apart_through_several_buckets() {
        let mut index = Index::with_capacity(100);
        // All pretend to have one hash: only the orders can tell.
        let hash = index.hash(7);
        for place in 0..20 {
            index.used += 1;
            index.put(hash, place);
        }
        assert_eq!(index.find(7, |place| place == 19), Some(19));
        assert_eq!(index.find(7, |_| false), None);
        index.remove(7, 5);
        assert_eq!(index.find(7, |place| place == 5), None);
        for place in (0..20).filter(|&place| place != 5) {
            assert_eq!(index.find(7, |other| other == place), Some(place));
            index.remove(7, place);
        }
        index.remove(7, 3);
        assert!(index.buckets.iter().all(|bucket| bucket.hashes == [0; WAYS + 1]));
    }
}
