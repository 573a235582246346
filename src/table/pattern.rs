//! Field names as lines write them, compared in place.

use super::NONE;
use crate::line::{PADDING, Padded, Vector, equal_prefix, equal_short};

/// `name=` as it was last written.
#[derive(Debug)]
pub struct Pattern {
    /// The whole, if it is shorter than this; zero behind it.
    short: [u8; 64],
    len: u32,
    /// The whole, if it is longer, and its padding.
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
    const SLOTS: usize = 2048;

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

    pub fn set(&mut self, hash: u32, slot: u32) {
        if self.slots.is_empty() {
            self.slots = vec![NONE; Self::SLOTS].into();
        }
        let [first, second] = Self::places(hash);
        let is_free = |place: usize| self.slots[place] == NONE || self.slots[place] == slot;
        let place = if !is_free(first) && is_free(second) { second } else { first };
        self.slots[place] = slot;
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

impl Pattern {
    pub fn new(raw: &[u8]) -> Self {
        let mut pattern = Self { short: [0; 64], len: 0, long: Vec::new() };
        pattern.expect(raw);
        pattern
    }

    /// Expects the name to be written like this from now on.
    pub fn expect(&mut self, raw: &[u8]) {
        let len = raw.len() + 1;
        self.len = len as u32;
        if len < self.short.len() {
            self.long = Vec::new();
            self.short = [0; 64];
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

    #[inline(always)]
    pub fn stands_at<V: Vector>(&self, body: &Padded<'_>, at: usize) -> bool {
        let len = self.len();
        if len <= V::BYTES.min(32) {
            return equal_short::<V>(body, at, &self.short, len);
        }
        self.long_stands_at::<V>(body, at)
    }

    #[inline(always)]
    fn long_stands_at<V: Vector>(&self, body: &Padded<'_>, at: usize) -> bool {
        let len = self.len();
        if len < self.short.len() {
            equal_short::<V>(body, at, &self.short, len)
        } else {
            equal_prefix::<V>(body, at, &self.long, len)
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
        let (one, other) = (0x0002_0001, 0x0003_0001);
        recent.set(one, 7);
        recent.set(other, 8);
        assert_eq!(both(&recent, one)[0], Some(7));
        assert_eq!(both(&recent, other), [Some(7), Some(8)]);
        // Both places are taken: the newest stands at the first.
        recent.set(other, 9);
        assert_eq!(both(&recent, other), [Some(9), Some(8)]);
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
