//! Numbers by the hash of what they stand for.

use super::prefetch::prefetch;

/// An open-addressed table with linear probing: a lookup reads one cache line, mostly. An entry holds the hash beside the number, so that a table
/// that grows, or a lookup that passes an entry, does not read what it is about. Hashes must be keyed at random, if what they are of comes from
/// outside.
#[derive(Debug, Default)]
pub struct Index {
    /// Hash and number + 1, or 0. None, or a power of two of them; at most five of eight are taken.
    entries: Vec<u64>,
    len: usize,
}

/// What an entry of an index takes at most: of a table that has just grown, beside the one that it grew from.
pub const INDEX_ENTRY_BYTES_MAX: usize = 40;

/// Entries of the smallest table.
const ENTRIES_MIN: usize = 8;

fn entry_of(hash: u32, number: u32) -> u64 {
    (u64::from(hash) << 32) | (u64::from(number) + 1)
}

/// The number of an entry that has this hash.
#[inline(always)]
fn number_of(entry: u64, hash: u32) -> Option<u32> {
    (entry != 0 && (entry >> 32) as u32 == hash).then(|| (entry as u32).wrapping_sub(1))
}

impl Index {
    /// The place behind `at`, in a ring.
    #[inline(always)]
    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.entries.len() - 1)
    }

    /// The number with this hash that `is_it`, or the free place where one would be inserted. There must be one.
    #[inline(always)]
    fn probe(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Result<u32, usize> {
        let mut at = hash as usize & (self.entries.len() - 1);
        loop {
            let entry = self.entries[at];
            if entry == 0 {
                return Err(at);
            }
            if let Some(number) = number_of(entry, hash)
                && is_it(number)
            {
                return Ok(number);
            }
            at = self.after(at);
        }
    }

    /// Asks for what a lookup of this hash will read first.
    #[inline(always)]
    pub fn prefetch(&self, hash: u32) {
        if let Some(entry) = self.entries.get(hash as usize & self.entries.len().wrapping_sub(1)) {
            prefetch(entry);
        }
    }

    /// The number that a lookup of this hash will look at first.
    #[inline(always)]
    pub fn first_guess(&self, hash: u32) -> Option<u32> {
        let entry = self.entries.get(hash as usize & self.entries.len().wrapping_sub(1))?;
        number_of(*entry, hash)
    }

    /// The number with this hash that `is_it`.
    #[inline(always)]
    pub fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        if self.entries.is_empty() { None } else { self.probe(hash, is_it).ok() }
    }

    /// The number with this hash that `is_it`; if there is none, inserts `number`.
    #[inline(always)]
    pub fn find_or_insert(&mut self, hash: u32, number: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        self.make_room();
        match self.probe(hash, is_it) {
            Ok(known) => Some(known),
            Err(free) => {
                self.entries[free] = entry_of(hash, number);
                self.len += 1;
                None
            }
        }
    }

    /// Inserts a number that is not there.
    #[inline(always)]
    pub fn insert(&mut self, hash: u32, number: u32) {
        self.find_or_insert(hash, number, |_| false);
    }

    #[inline(always)]
    fn make_room(&mut self) {
        if 8 * (self.len + 1) > 5 * self.entries.len() {
            self.grow();
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let len = (2 * self.entries.len()).max(ENTRIES_MIN);
        for entry in std::mem::replace(&mut self.entries, vec![0; len]) {
            if entry != 0
                && let Err(free) = self.probe((entry >> 32) as u32, |_| false)
            {
                self.entries[free] = entry;
            }
        }
    }

    /// Removes a number that is there.
    pub fn remove(&mut self, hash: u32, number: u32) {
        if self.entries.is_empty() {
            return;
        }
        let mut free = hash as usize & (self.entries.len() - 1);
        while self.entries[free] != entry_of(hash, number) {
            if self.entries[free] == 0 {
                return;
            }
            free = self.after(free);
        }
        self.len -= 1;
        // Entries behind it may have been kept from their own place by it: they move up.
        let mut at = free;
        loop {
            at = self.after(at);
            let entry = self.entries[at];
            if entry == 0 {
                break;
            }
            let home = (entry >> 32) as usize & (self.entries.len() - 1);
            let mask = self.entries.len() - 1;
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(free) & mask) {
                self.entries[free] = entry;
                free = at;
            }
        }
        self.entries[free] = 0;
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        self.entries.capacity() * 8
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Few hashes, so that most places are contended.
        #[test]
        fn numbers_are_found_until_they_are_removed(steps in prop::collection::vec((0u32..12, 0u32..40), 0..200)) {
            let mut index = Index::default();
            let mut want = BTreeSet::new();
            for (hash, number) in steps {
                // The last bits collide around the end of the ring.
                let hash = (hash % 4) << 16 | hash | 0xF8;
                if want.insert((hash, number)) {
                    prop_assert_eq!(index.find_or_insert(hash, number, |found| found == number), None);
                } else {
                    prop_assert_eq!(index.find_or_insert(hash, number, |found| found == number), Some(number));
                    index.remove(hash, number);
                    want.remove(&(hash, number));
                    prop_assert_eq!(index.find(hash, |found| found == number), None);
                }
                prop_assert_eq!(index.len, want.len());
                for (hash, number) in &want {
                    prop_assert_eq!(index.find(*hash, |found| found == *number), Some(*number));
                }
            }
        }
    }
}
