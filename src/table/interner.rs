//! Tag values, numbered.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::quality::RandomState;

use super::chunks::Strings;
use super::index::{INDEX_ENTRY_BYTES_MAX, Index};
use super::prefetch::prefetch;
use super::shared::Shared;

/// Distinct strings, numbered in order of appearance.
#[derive(Debug, Default)]
pub struct Interner {
    strings: Shared<Strings>,
    /// Of the first `indexed` strings.
    index: Index,
    indexed: usize,
    /// All strings once more, while they are few: most tags have few values.
    few: Vec<Brief>,
}

/// A string, whole if it has at most 16 bytes.
#[derive(Clone, Copy, Debug)]
struct Brief {
    ends: [u64; 2],
    len: u32,
}

/// More strings fill the caches: then they are looked up by several loads at one time, and not one after the other.
const FEW_MAX: usize = 1024;
/// What a string takes beside its text: its end, and its entry of the index.
const STRING_BYTES: usize = 16;
/// What a new string takes among the few, at most: the first room, or room that has just doubled, beside the one that it doubled from.
pub const FEW_BYTES: usize = FEW_MIN * size_of::<Brief>();
const FEW_MIN: usize = 4;

impl Interner {
    /// Strings that were pushed wait for their place in the index until a lookup could be about them: to be called before any.
    #[inline(always)]
    pub fn index_all(&mut self, hasher: &RandomState) {
        while self.indexed < self.strings.len() {
            self.index_next(hasher);
        }
    }

    #[inline(never)]
    fn index_next(&mut self, hasher: &RandomState) {
        let string = self.strings.get(self.indexed);
        self.index.insert(hash_of(string, ends_of(string), hasher), self.indexed as u32);
        self.indexed += 1;
    }

    /// The number of `string`, if it is one of few. `ends` are its first and its last 8 bytes, or it and zeros; `hash` is [`hash_of`] them.
    #[inline(always)]
    pub fn find_among_few(&self, string: &[u8], ends: [u64; 2], hash: u32) -> Option<u32> {
        if self.few.is_empty() {
            return None;
        }
        let len = string.len() as u32;
        self.index.find(hash, |number| {
            self.few.get(number as usize).is_some_and(|few| few.ends == ends && few.len == len)
                && (len <= 16 || self.strings.get(number as usize) == string)
        })
    }

    /// String `number`, which must exist.
    pub fn get(&self, number: u32) -> &[u8] {
        self.strings.get(number as usize)
    }

    /// Whether `number` stands for the same string in both.
    pub fn agrees(&self, other: &Self, number: u32) -> bool {
        let number = number as usize;
        number < self.strings.len().min(other.strings.len()) && self.strings.get(number) == other.strings.get(number)
    }

    /// Asks for what [`Self::intern_hashed`] will read first.
    #[inline(always)]
    pub fn prefetch(&self, hash: u32) {
        self.index.prefetch(hash);
    }

    /// Asks for what it will read last.
    #[inline(always)]
    pub fn prefetch_string(&self, hash: u32) {
        if let Some(first) = self.index.first_guess(hash).and_then(|number| self.strings.get(number as usize).first()) {
            prefetch(first);
        }
    }

    /// The number of `string`, and whether it is new.
    #[inline(always)]
    pub fn intern_hashed(&mut self, string: &[u8], ends: [u64; 2], hash: u32) -> (u32, bool) {
        let Self { strings, index, .. } = self;
        let number = strings.len() as u32;
        let known = index.find_or_insert(hash, number, |number| strings.get(number as usize) == string);
        if let Some(number) = known {
            return (number, false);
        }
        self.indexed += 1;
        self.push(string, ends);
        (number, true)
    }

    /// The number of `string`, which is known to be new.
    pub fn push_new(&mut self, string: &[u8]) -> u32 {
        let number = self.strings.len() as u32;
        self.push(string, ends_of(string));
        number
    }

    #[inline(always)]
    fn push(&mut self, string: &[u8], ends: [u64; 2]) {
        if self.has_few() && self.few.len() < FEW_MAX {
            self.few.push(Brief { ends, len: string.len() as u32 });
        } else {
            self.few = Vec::new();
        }
        self.strings.own().push(string);
    }

    /// The number of `string`, and whether it is new.
    pub fn intern(&mut self, string: &[u8], hasher: &RandomState) -> (u32, bool) {
        self.index_all(hasher);
        let ends = ends_of(string);
        let hash = hash_of(string, ends, hasher);
        match self.find_among_few(string, ends, hash) {
            Some(number) => (number, false),
            None => self.intern_hashed(string, ends, hash),
        }
    }

    pub fn len(&self) -> usize {
        self.strings.len()
    }

    /// Whether it has few strings.
    #[inline(always)]
    pub fn has_few(&self) -> bool {
        self.few.len() == self.strings.len()
    }

    /// Forgets the last string.
    pub fn pop(&mut self, hasher: &RandomState) {
        let Some(last) = self.strings.len().checked_sub(1) else { return };
        let string = self.strings.get(last);
        if self.indexed > last {
            self.index.remove(hash_of(string, ends_of(string), hasher), last as u32);
            self.indexed = last;
        }
        self.few.truncate(last);
        self.strings.own().truncate(last);
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        let waiting = (self.strings.len() - self.indexed) * INDEX_ENTRY_BYTES_MAX;
        self.strings.bytes() + self.index.bytes() + waiting + self.few.capacity() * size_of::<Brief>()
    }

    /// Bytes that the strings need, in the least room.
    pub fn bytes_needed(&self) -> usize {
        let few = if self.few.is_empty() { 0 } else { self.few.len().max(FEW_MIN) * size_of::<Brief>() };
        self.strings.items() + self.strings.len() * STRING_BYTES + few
    }

    /// The strings as they are now.
    pub fn strings(&mut self) -> Arc<Strings> {
        self.strings.share()
    }
}

/// The hash of a string with these ends.
#[inline(always)]
pub fn hash_of(string: &[u8], ends: [u64; 2], hasher: &RandomState) -> u32 {
    // Ends and length say what a short string is, and lengths differ from tag to tag: nothing is to depend on them.
    match string.len() {
        len @ 0..=16 => hasher.hash_one((u128::from(ends[1]) << 64 | u128::from(ends[0]), len as u64)) as u32,
        _ => hasher.hash_one(string) as u32,
    }
}

/// The first and the last 8 bytes of a string, or it and zeros.
fn ends_of(string: &[u8]) -> [u64; 2] {
    match (string.first_chunk(), string.last_chunk()) {
        (Some(first), Some(last)) => [u64::from_le_bytes(*first), u64::from_le_bytes(*last)],
        _ => [string.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)); 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_popped_can_be_interned_anew() {
        let hasher = RandomState::default();
        let mut interner = Interner::default();
        assert_eq!(interner.intern(b"a", &hasher), (0, true));
        assert_eq!(interner.intern(b"b", &hasher), (1, true));
        interner.pop(&hasher);
        assert_eq!(interner.intern(b"c", &hasher), (1, true));
        assert_eq!(interner.intern(b"b", &hasher), (2, true));
        assert_eq!(interner.intern(b"a", &hasher), (0, false));
    }

    #[test]
    fn strings_with_the_same_ends_are_told_apart() {
        let hasher = RandomState::default();
        let mut interner = Interner::default();
        let string = |number: u32| format!("begins__{number:04}and_ends").into_bytes();
        let mut intern = |number| interner.intern(&string(number), &hasher);
        for count in [2, 20, 3 * FEW_MAX as u32] {
            (0..2 * count).for_each(|number| assert_eq!(intern(number % count).0, number % count));
        }
        // A string and the same one with zeros behind it.
        let mut interner = Interner::default();
        for (number, string) in [&b"a"[..], b"a\0", b"a\0\0\0\0\0\0\0", b"a\0\0\0\0\0\0\0\0"].into_iter().enumerate() {
            for _ in 0..3 {
                assert_eq!(interner.intern(string, &hasher).0, number as u32);
            }
        }
    }

    #[test]
    fn strings_that_are_pushed_are_found_and_popped_as_others() {
        let hasher = RandomState::default();
        let mut interner = Interner::default();
        let string = |number: u32| format!("{number}").into_bytes();
        for number in 0..3 * FEW_MAX as u32 {
            match number % 100 {
                // Some were never looked for when they are popped.
                50 => {
                    (0..10).for_each(|_| interner.pop(&hasher));
                    (number - 10..number).for_each(|number| assert_eq!(interner.push_new(&string(number)), number));
                }
                99 => assert_eq!(interner.intern(&string(number / 2), &hasher), (number / 2, false)),
                _ => {}
            }
            assert_eq!(interner.push_new(&string(number)), number);
        }
        (0..3 * FEW_MAX as u32)
            .for_each(|number| assert_eq!(interner.intern(&string(number), &hasher), (number, false)));
    }

    #[test]
    fn strings_that_are_popped_are_forgotten_be_they_few_or_many() {
        let hasher = RandomState::default();
        let mut interner = Interner::default();
        let fill = |interner: &mut Interner, numbers: std::ops::Range<usize>, salt| {
            numbers.for_each(|number| {
                assert_eq!(interner.intern(format!("{salt}{number}").as_bytes(), &hasher), (number as u32, true));
            });
        };
        fill(&mut interner, 0..FEW_MAX + 10, 'a');
        (5..FEW_MAX + 10).for_each(|_| interner.pop(&hasher));
        fill(&mut interner, 5..FEW_MAX, 'b');
        for (salt, number) in [('a', 4), ('b', 5), ('b', FEW_MAX - 1)] {
            assert_eq!(interner.intern(format!("{salt}{number}").as_bytes(), &hasher), (number as u32, false));
        }
        assert_eq!(interner.intern(b"a5", &hasher), (FEW_MAX as u32, true));
    }
}
