//! From order ids to places in a slab.
//!
//! Open addressing with linear probing over eight-byte slots: 32 bits of the id's hash, from which alone a slot's home
//! follows, and 32 bits of place. So growing and removing (which shifts later slots back instead of leaving
//! tombstones) never read the orders themselves, and a table of a million orders is 16 MB at most. A general hash map
//! with 16-byte entries and tombstones took twice as long on real matching streams, where as many orders leave as come.
//!
//! The hash is keyed with a number drawn anew for every table: ids come from a network, and with a fixed hash anyone
//! could choose them so that they collide. Nothing is ever read in the table's order, so results do not depend on it.

use std::hash::{BuildHasher, RandomState};

#[derive(Clone, Debug)]
pub(super) struct Index {
    /// Hash in the upper half, place + 1 in the lower; 0 is empty.
    slots: Box<[u64]>,
    /// Turns a hash of 32 bits into a home: 32 less the logarithm of the number of slots.
    shift: u32,
    used: usize,
    key: u64,
}

impl Index {
    const LEAST: usize = 16;

    /// Room for so many ids without growing.
    pub(super) fn with_capacity(ids: usize) -> Self {
        let slots = (ids.saturating_mul(3) / 2 + 1).next_power_of_two().clamp(Self::LEAST, 1 << 32);
        Self {
            slots: vec![0; slots].into_boxed_slice(),
            shift: 32 - slots.trailing_zeros(),
            used: 0,
            key: RandomState::new().hash_one(0) | 1,
        }
    }

    #[inline]
    const fn hash(&self, id: u64) -> u32 {
        let product = (id ^ self.key) as u128 * 0x9e37_79b9_7f4a_7c15;
        #[allow(clippy::cast_possible_truncation)] // both halves, folded
        let folded = (product >> 64) as u64 ^ product as u64;
        (folded >> 32) as u32
    }

    #[inline]
    const fn home(&self, hash: u32) -> usize {
        (hash as usize) >> self.shift
    }

    #[inline]
    fn mask(&self) -> usize {
        self.slots.len() - 1
    }

    /// The place of an id; `is` tells whether the order at a place has it.
    #[inline]
    pub(super) fn find(&self, id: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let hash = self.hash(id);
        let mask = self.mask();
        let mut at = self.home(hash);
        loop {
            let slot = self.slots[at & mask];
            if slot == 0 {
                return None;
            }
            if hash_of(slot) == hash && is(place(slot)) {
                return Some(place(slot));
            }
            at = (at & mask) + 1;
        }
    }

    /// Adds an id that is not there yet.
    #[inline]
    pub(super) fn insert(&mut self, id: u64, place: u32) {
        if self.used * 4 >= self.slots.len() * 3 {
            self.grow();
        }
        self.used += 1;
        let hash = self.hash(id);
        self.put(hash, u64::from(hash) << 32 | u64::from(place + 1));
    }

    #[inline]
    fn put(&mut self, hash: u32, slot: u64) {
        let mask = self.mask();
        let mut at = self.home(hash) & mask;
        while self.slots[at & mask] != 0 {
            at += 1;
        }
        self.slots[at & mask] = slot;
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let slots = self.slots.len() * 2;
        let old = std::mem::replace(&mut self.slots, vec![0; slots].into_boxed_slice());
        self.shift = 32 - slots.trailing_zeros();
        for slot in old {
            if slot != 0 {
                self.put(hash_of(slot), slot);
            }
        }
    }

    /// Takes out an id that is there.
    #[inline]
    pub(super) fn remove(&mut self, id: u64, at_place: u32) {
        let hash = self.hash(id);
        let wanted = u64::from(hash) << 32 | u64::from(at_place + 1);
        let mask = self.mask();
        let mut hole = self.home(hash) & mask;
        loop {
            let slot = self.slots[hole & mask];
            if slot == wanted {
                break;
            }
            if slot == 0 {
                return;
            }
            hole = (hole + 1) & mask;
        }
        self.used -= 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let slot = self.slots[at & mask];
            if slot == 0 {
                break;
            }
            let home = self.home(hash_of(slot));
            // A slot may move to the hole unless its home lies between the two.
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                self.slots[hole & mask] = slot;
                hole = at;
            }
        }
        self.slots[hole & mask] = 0;
    }

    pub(super) fn clear(&mut self) {
        self.slots.fill(0);
        self.used = 0;
    }

    pub(super) fn heap(&self) -> usize {
        size_of_val(&*self.slots)
    }
}

/// The hash in a slot.
#[inline]
#[allow(clippy::cast_possible_truncation)] // the upper half
const fn hash_of(slot: u64) -> u32 {
    (slot >> 32) as u32
}

/// The place in a slot that is not empty.
#[inline]
#[allow(clippy::cast_possible_truncation)] // the lower half
const fn place(slot: u64) -> u32 {
    (slot as u32).wrapping_sub(1)
}

#[cfg(test)]
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
        }
    }

    #[test]
    fn ids_of_one_hash_are_told_apart() {
        let mut index = Index::with_capacity(0);
        // All slots pretend to have one hash: only the orders can tell.
        for place in 0..8 {
            index.used += 1;
            let hash = index.hash(7);
            index.put(hash, u64::from(hash) << 32 | u64::from(place + 1_u32));
        }
        assert_eq!(index.find(7, |place| place == 5), Some(5));
        assert_eq!(index.find(7, |_| false), None);
        index.remove(7, 5);
        assert_eq!(index.find(7, |place| place == 5), None);
        assert_eq!(index.find(7, |place| place == 7), Some(7));
    }
}
