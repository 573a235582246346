//! Field names as lines write them, compared in place.

use super::NONE;
use crate::line::{ExpectedField, PADDING, Rest, Vector, Word, begins_with, begins_with_short};

/// `name=` as it was last written.
#[derive(Debug)]
pub struct Pattern {
    /// The whole, if it fits; zero behind it.
    short: [u8; 32],
    len: u32,
    /// The whole, if it does not fit there, and its padding.
    long: Vec<u8>,
}

/// Fields that were looked up of late, by the quick hash of their names; each at one of two places. Finds two that may be it: names that
/// collide only make lookups slower.
#[derive(Debug, Default)]
pub struct Recent {
    /// Empty until the first lookup.
    slots: Box<[u32]>,
}

impl Recent {
    const SLOTS: usize = 4096;
    const MOVES_MAX: usize = 16;

    /// The two places of a hash.
    #[inline(always)]
    fn places(hash: u32) -> [usize; 2] {
        [hash as usize % Self::SLOTS, (hash >> 16) as usize % Self::SLOTS]
    }

    /// What stands at the first or the second place; the first is much more often right.
    #[inline(always)]
    pub fn get<const PLACE: usize>(&self, hash: u32) -> Option<u32> {
        self.slots.get(Self::places(hash)[PLACE]).copied()
    }

    /// Puts `slot` at one of the places of its hash. Who stands there has to go to its other place (`hash_of` tells the hash of a slot that
    /// is still one), and so on for a few steps.
    pub fn set(&mut self, hash: u32, slot: u32, hash_of: impl Fn(u32) -> Option<u32>) {
        if self.slots.is_empty() {
            self.slots = vec![NONE; Self::SLOTS].into();
        }
        let (mut moving, mut place) = (slot, Self::places(hash)[0]);
        for _ in 0..Self::MOVES_MAX {
            moving = std::mem::replace(&mut self.slots[place], moving);
            if moving == slot {
                return;
            }
            let Some(hash) = hash_of(moving) else { return };
            let [first, second] = Self::places(hash);
            place = if place == first { second } else { first };
        }
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        self.slots.len() * 4
    }
}

/// How often fields came out of order of late. Where that is usual, expecting any costs more than looking all of them up.
#[derive(Debug, Default)]
pub struct Surprises {
    count: u32,
    /// All bits, while no field is expected.
    none: u32,
}

impl Surprises {
    /// From so many on nothing is expected, until there are half as many.
    const USUAL: u32 = 64;

    /// Whether the order of a row's fields is of interest: while nothing is expected, now and then, to see whether an order has come up.
    #[inline(always)]
    pub fn watches(&self, row: u32) -> bool {
        self.none == 0 || row.is_multiple_of(16)
    }

    /// The field to be expected where the last line had `field`.
    #[inline(always)]
    pub fn expect(&self, field: u32) -> u32 {
        field | self.none
    }

    /// A field was looked up; it was the one that the last line had, or not.
    #[inline(always)]
    pub fn count(&mut self, surprise: bool) {
        self.count = if surprise { (self.count + 1).min(Self::USUAL) } else { self.count.saturating_sub(1) };
        if self.count == Self::USUAL {
            self.none = NONE;
        } else if self.count < Self::USUAL / 2 {
            self.none = 0;
        }
    }
}

impl Default for Pattern {
    /// How the name is written is not known: it stands nowhere.
    fn default() -> Self {
        Self { short: [0; 32], len: u32::MAX, long: Vec::new() }
    }
}

impl Pattern {
    /// Expects the name to be written like this from now on.
    pub fn expect(&mut self, raw: &[u8]) {
        let len = raw.len() + 1;
        self.len = len as u32;
        if len <= self.short.len() {
            self.long = Vec::new();
            self.short = [0; 32];
            self.short[..len - 1].copy_from_slice(raw);
            self.short[len - 1] = b'=';
        } else {
            self.long.clear();
            self.long.extend_from_slice(raw);
            self.long.push(b'=');
            self.long.resize(len + PADDING, 0);
        }
    }

    /// Length with the `=`.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// For the parser to compare; `None` if it is too long for that.
    pub fn expected(&self, word: Word) -> Option<ExpectedField> {
        ExpectedField::new(self.short.get(..self.len() - 1)?, word)
    }

    #[inline(always)]
    pub fn stands_at<V: Vector>(&self, rest: Rest<'_>) -> bool {
        let len = self.len();
        if len <= self.short.len() {
            begins_with_short::<V>(rest, &self.short, len)
        } else {
            begins_with::<V>(rest, &self.long, len)
        }
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        self.long.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_collide_at_one_place_are_both_recent() {
        let mut recent = Recent::default();
        let both = |recent: &Recent, hash| [recent.get::<0>(hash), recent.get::<1>(hash)];
        let hashes = [0x0002_0001, 0x0003_0001, 0x0003_0001];
        let hash_of = |slot: u32| hashes.get(slot as usize).copied();
        recent.set(hashes[0], 0, hash_of);
        recent.set(hashes[1], 1, hash_of);
        assert_eq!(both(&recent, hashes[0]), [Some(1), Some(0)]);
        assert_eq!(both(&recent, hashes[1])[0], Some(1));
        // The first one has moved once, and the second one moves now.
        recent.set(hashes[2], 2, hash_of);
        assert_eq!(both(&recent, hashes[0]), [Some(2), Some(0)]);
        assert_eq!(both(&recent, hashes[1]), [Some(2), Some(1)]);
    }

    #[test]
    fn nothing_is_expected_while_surprises_are_usual() {
        let mut surprises = Surprises::default();
        (1..Surprises::USUAL).for_each(|_| surprises.count(true));
        assert_eq!(surprises.expect(3), 3);
        (0..10).for_each(|_| surprises.count(true));
        assert_eq!(surprises.expect(3), NONE);
        (0..Surprises::USUAL / 2).for_each(|_| surprises.count(false));
        assert_eq!(surprises.expect(3), NONE);
        surprises.count(false);
        assert_eq!(surprises.expect(3), 3);
    }
}
