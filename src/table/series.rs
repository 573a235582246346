//! Series: tag sets interned per table, and the cache from keys as written to series.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;

use super::NONE;
use super::chunks::Strings;
use super::index::Index;
use super::seal::TagPair;
use crate::line::PADDING;

/// Distinct strings, numbered in order of appearance.
#[derive(Debug, Default)]
pub struct Interner {
    strings: Strings,
    index: Index,
    /// Strings that were interned of late, each at the place that its ends choose: most tags have few values.
    recent: Vec<Recent>,
}

/// A string, whole if it has at most 16 bytes.
#[derive(Clone, Copy, Debug)]
struct Recent {
    ends: [u64; 2],
    len: u32,
    number: u32,
}

const NO_STRING: Recent = Recent { ends: [0; 2], len: 0, number: NONE };
/// Where there are more strings, most are not recent, and the places would fill the first-level cache.
const RECENT_STRINGS_MAX: usize = 128;
/// What a string takes beside its text: its end, and its entry of the index.
const STRING_BYTES: usize = 16;
/// What a new string takes in places, at most: they are less than four times as many as strings.
pub const RECENT_BYTES: usize = 4 * size_of::<Recent>();

impl Interner {
    /// The number of `string`, and whether it is new. `ends` are its first and its last 8 bytes, or it and zeros.
    #[inline(always)]
    pub fn intern_by_ends(&mut self, string: &[u8], ends: [u64; 2], hasher: &RandomState) -> (u32, bool) {
        let len = string.len() as u32;
        let place = self.place_of(ends, len);
        if let Some(recent) = self.recent.get(place)
            && recent.ends == ends
            && recent.len == len
            && (len <= 16 || self.strings.get(recent.number as usize) == string)
        {
            return (recent.number, false);
        }
        let (number, is_new) = self.intern(string, hasher);
        if !is_new && let Some(recent) = self.recent.get_mut(place) {
            *recent = Recent { ends, len, number };
        } else if is_new {
            self.fit_recent();
        }
        (number, is_new)
    }

    /// Makes the places for recent strings enough for all strings, or none if these are many.
    #[inline(always)]
    fn fit_recent(&mut self) {
        let strings = self.strings.len();
        if strings > RECENT_STRINGS_MAX {
            self.recent = Vec::new();
        } else if self.recent.len() < 2 * strings {
            self.recent = vec![NO_STRING; (2 * strings).next_power_of_two()];
        }
    }

    /// Whoever chooses strings can choose them to meet at one place; that costs them the short cut.
    #[inline(always)]
    fn place_of(&self, ends: [u64; 2], len: u32) -> usize {
        let mixed = (ends[0] ^ ends[1].rotate_left(29) ^ u64::from(len)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> 32) as usize & self.recent.len().wrapping_sub(1)
    }

    /// The number of `string`, and whether it is new.
    #[inline(always)]
    pub fn intern(&mut self, string: &[u8], hasher: &RandomState) -> (u32, bool) {
        let Self { strings, index, .. } = self;
        let number = strings.len() as u32;
        let known = index
            .find_or_insert(hasher.hash_one(string) as u32, number, |number| strings.get(number as usize) == string);
        if let Some(known) = known {
            return (known, false);
        }
        strings.push(string);
        (number, true)
    }

    /// Whether it has places for recent strings.
    pub fn keeps_recent(&self) -> bool {
        !self.recent.is_empty()
    }

    /// Forgets the last string.
    pub fn pop(&mut self, hasher: &RandomState) {
        let Some(last) = self.strings.len().checked_sub(1) else { return };
        let string = self.strings.get(last);
        self.index.remove(hasher.hash_one(string) as u32, last as u32);
        let place = self.place_of(ends_of(string), string.len() as u32);
        if let Some(recent) = self.recent.get_mut(place)
            && recent.number as usize == last
        {
            *recent = NO_STRING;
        }
        self.strings.truncate(last);
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        self.strings.bytes() + self.index.bytes() + self.recent.capacity() * size_of::<Recent>()
    }

    /// Bytes that the strings need, in the least room.
    pub fn bytes_needed(&self) -> usize {
        self.strings.text_bytes() + self.strings.len() * STRING_BYTES
    }

    /// The strings, of which the interner keeps a copy if it is to be of use afterwards.
    pub fn strings(&mut self, keeps: bool) -> Strings {
        if keeps { self.strings.clone() } else { std::mem::take(&mut self.strings) }
    }
}

/// The first and the last 8 bytes of a string, or it and zeros.
fn ends_of(string: &[u8]) -> [u64; 2] {
    let word = |bytes: &[u8]| bytes.iter().take(8).rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    [word(string), word(&string[string.len().saturating_sub(8)..])]
}

/// What an entry of an index takes at most: of a table that has just grown, beside the one that it grew from.
const INDEX_ENTRY_BYTES_MAX: usize = 40;

/// The series of a table: sets of (tag, value) numbers.
#[derive(Debug, Default)]
pub struct SeriesIndex {
    pub pairs: Vec<TagPair>,
    pub ends: Vec<u32>,
    /// Of the first `indexed` series.
    index: Index,
    indexed: usize,
}

fn tags_of<'a>(pairs: &'a [TagPair], ends: &[u32], series: u32) -> &'a [TagPair] {
    let series = series as usize;
    let start = if series == 0 { 0 } else { ends[series - 1] as usize };
    &pairs[start..ends[series] as usize]
}

fn hash_tags(tags: &[TagPair], hasher: &RandomState) -> u32 {
    hasher.hash_one(PairsAsWords(tags)) as u32
}

/// Hashes pairs one u64 each.
struct PairsAsWords<'a>(&'a [TagPair]);

impl std::hash::Hash for PairsAsWords<'_> {
    #[inline(always)]
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.iter().for_each(|pair| state.write_u64(u64::from(pair.tag) << 32 | u64::from(pair.value)));
    }
}

impl SeriesIndex {
    /// The number of the series with `tags` (ascending by tag), and whether it is new. `has_new`: one of the tags' values is.
    #[inline(always)]
    pub fn intern(&mut self, tags: &[TagPair], has_new: bool, hasher: &RandomState) -> (u32, bool) {
        let number = self.ends.len() as u32;
        if !has_new {
            self.index_all(hasher);
            let Self { pairs, ends, index, indexed } = self;
            let is_it = |series| tags_of(pairs, ends, series) == tags;
            if let Some(known) = index.find_or_insert(hash_tags(tags, hasher), number, is_it) {
                return (known, false);
            }
            *indexed += 1;
        }
        self.pairs.extend_from_slice(tags);
        self.ends.push(self.pairs.len() as u32);
        (number, true)
    }

    /// Series with new values are known to be new, and wait for their place in the index until a lookup could be about them.
    #[inline(always)]
    fn index_all(&mut self, hasher: &RandomState) {
        let Self { pairs, ends, index, indexed } = self;
        while *indexed < ends.len() {
            let series = *indexed as u32;
            index.insert(hash_tags(tags_of(pairs, ends, series), hasher), series);
            *indexed += 1;
        }
    }

    /// Forgets the last series.
    pub fn pop(&mut self, hasher: &RandomState) {
        let Some(last) = self.ends.len().checked_sub(1) else { return };
        if self.indexed > last {
            self.index.remove(hash_tags(tags_of(&self.pairs, &self.ends, last as u32), hasher), last as u32);
            self.indexed = last;
        }
        self.ends.truncate(last);
        self.pairs.truncate(self.ends.last().map_or(0, |end| *end as usize));
    }

    /// Bytes that the series need, in the least room.
    pub fn bytes_needed(&self) -> usize {
        self.pairs.len() * 8 + self.ends.len() * (4 + 8)
    }

    /// Bytes on the heap, with what the index will take of series that wait for their place in it.
    pub fn bytes(&self) -> usize {
        let waiting = (self.ends.len() - self.indexed) * INDEX_ENTRY_BYTES_MAX;
        self.pairs.capacity() * 8 + self.ends.capacity() * 4 + self.index.bytes() + waiting
    }
}

/// From series keys as written to series. Each entry remembers which one followed it last time, because lines come in cycles.
#[derive(Debug)]
pub struct KeyCache {
    entries: Vec<CachedKey>,
    /// The keys, each with the space that ended it; then padding.
    bytes: Vec<u8>,
    index: Index,
    /// The entry of the last line, and the one that should follow.
    last: u32,
    next: u32,
    /// Hash of the key that [`Self::find`] looked for last.
    hash: u32,
    /// How often a key was found by its hash, and for how many lookups none was.
    found: usize,
    in_vain: usize,
    /// The last lookup took place.
    looked: bool,
}

#[derive(Clone, Copy, Debug)]
struct CachedKey {
    start: u32,
    /// Without the space.
    len: u32,
    target: SeriesAt,
    /// The entry that came next last time.
    next: u32,
}

/// A series of an open table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesAt {
    pub table: u32,
    pub series: u32,
}

/// Bytes of keys at which the cache starts anew. Nothing is lost by that: series live in their tables.
const CACHE_BYTES_MAX: usize = 256 << 20;
/// Keys that the cache takes without having found any.
const ENTRIES_FREE: usize = 1 << 16;
/// After so many lookups in vain only every so many'th takes place.
const VAIN_MAX: usize = 2 * ENTRIES_FREE;
const LOOK_EVERY: usize = 16;

impl Default for KeyCache {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            bytes: vec![0; PADDING],
            index: Index::default(),
            last: NONE,
            next: 0,
            hash: 0,
            found: 0,
            in_vain: 0,
            looked: false,
        }
    }
}

impl KeyCache {
    /// The key (with its space) that should come next: padded bytes, length and the entry's number.
    #[inline(always)]
    pub fn expected(&self) -> Option<(&[u8], usize, u32)> {
        let entry = self.entries.get(self.next as usize)?;
        Some((&self.bytes[entry.start as usize..], entry.len as usize + 1, self.next))
    }

    /// The line is of entry `number`.
    #[inline(always)]
    pub fn follow(&mut self, number: u32) -> SeriesAt {
        let entry = &self.entries[number as usize];
        self.last = number;
        self.next = entry.next;
        entry.target
    }

    /// Looks `key` up and remembers that it followed the last line's.
    ///
    /// A cache that has found nothing for long looks only now and then.
    pub fn find(&mut self, key: &[u8], hasher: &RandomState) -> Option<SeriesAt> {
        self.looked = self.in_vain < VAIN_MAX || self.in_vain.is_multiple_of(LOOK_EVERY);
        self.in_vain += 1;
        if !self.looked {
            return None;
        }
        let Self { entries, bytes, index, .. } = self;
        self.hash = hasher.hash_one(key) as u32;
        let number = index.find(self.hash, |number| entries[number as usize].key(bytes) == key)?;
        self.found += 1;
        self.in_vain = 0;
        self.link(number);
        Some(self.follow(number))
    }

    /// Remembers the key that [`Self::find`] has just not found; `false` if it would rather not.
    ///
    /// A large cache that finds little takes only keys whose series is not new: series that come once would cost it more than they are worth.
    pub fn insert(&mut self, key: &[u8], target: SeriesAt, is_new: bool) -> bool {
        if !is_new {
            // Keys come again: looking is worth while.
            self.in_vain = 0;
        }
        if !self.looked || is_new && self.entries.len() > ENTRIES_FREE.max(self.found) {
            (self.last, self.next) = (NONE, 0);
            return false;
        }
        if self.bytes.len() + key.len() > CACHE_BYTES_MAX {
            *self = Self { hash: self.hash, ..Self::default() };
        }
        let start = self.bytes.len() - PADDING;
        self.bytes.truncate(start);
        self.bytes.extend_from_slice(key);
        self.bytes.push(b' ');
        self.bytes.resize(start + key.len() + 1 + PADDING, 0);
        let number = self.entries.len() as u32;
        // A key is at most 65 535 bytes. After it the cycle is expected to start again, until something else is seen.
        self.entries.push(CachedKey { start: start as u32, len: key.len() as u32, target, next: 0 });
        self.index.insert(self.hash, number);
        self.link(number);
        self.follow(number);
        true
    }

    fn link(&mut self, number: u32) {
        if let Some(last) = self.entries.get_mut(self.last as usize) {
            last.next = number;
        }
    }

    /// Forgets the last key inserted.
    pub fn pop(&mut self, hasher: &RandomState) {
        let Some(entry) = self.entries.last().copied() else { return };
        let last = self.entries.len() - 1;
        self.index.remove(hasher.hash_one(entry.key(&self.bytes)) as u32, last as u32);
        self.entries.truncate(last);
        self.bytes.truncate(entry.start as usize);
        self.bytes.resize(entry.start as usize + PADDING, 0);
        if self.last as usize == last {
            (self.last, self.next) = (NONE, 0);
        }
    }

    /// Bytes that the keys need, in the least room.
    pub fn bytes_needed(&self) -> usize {
        self.bytes.len() + self.entries.len() * (size_of::<CachedKey>() + 8)
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<CachedKey>() + self.index.bytes()
    }
}

impl CachedKey {
    fn key<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.start as usize..(self.start + self.len) as usize]
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
        let string = |number: u32| format!("begins__{:04}and_ends", number % 1_000).into_bytes();
        let mut intern = |number| interner.intern_by_ends(&string(number), ends_of(&string(number)), &hasher);
        // Few strings are kept as recent ones, many are not any more.
        for count in [2, 20, 200, 1_000] {
            (0..2 * count).for_each(|number| assert_eq!(intern(number % count).0, number % count));
        }
        // A string and the same one with zeros behind it.
        let mut interner = Interner::default();
        for (number, string) in [&b"a"[..], b"a\0", b"a\0\0\0\0\0\0\0", b"a\0\0\0\0\0\0\0\0"].into_iter().enumerate() {
            for _ in 0..3 {
                assert_eq!(interner.intern_by_ends(string, ends_of(string), &hasher).0, number as u32);
            }
        }
    }

    #[test]
    fn a_recent_string_that_is_popped_is_forgotten() {
        let hasher = RandomState::default();
        let mut interner = Interner::default();
        let intern = |interner: &mut Interner, string: &[u8]| interner.intern_by_ends(string, ends_of(string), &hasher);
        for string in [&b"a"[..], b"b", b"b", b"b"] {
            intern(&mut interner, string);
        }
        interner.pop(&hasher);
        assert_eq!(intern(&mut interner, b"c"), (1, true));
        assert_eq!(intern(&mut interner, b"b"), (2, true));
    }

    #[test]
    fn series_with_new_values_are_found_once_nothing_is_new() {
        let hasher = RandomState::default();
        let mut index = SeriesIndex::default();
        let tags = |value| [TagPair { tag: 0, value }, TagPair { tag: 1, value: value / 2 }];
        for value in 0..10 {
            assert_eq!(index.intern(&tags(value), true, &hasher), (value, true));
        }
        index.pop(&hasher);
        for value in 0..10 {
            assert_eq!(index.intern(&tags(value), false, &hasher), (value, value == 9));
        }
        index.pop(&hasher);
        assert_eq!(index.intern(&tags(8), false, &hasher), (8, false));
        assert_eq!(index.intern(&tags(9), false, &hasher), (9, true));
    }

    #[test]
    fn a_cache_of_series_that_come_once_looks_seldom_and_still_finds_them() {
        let hasher = RandomState::default();
        let mut cache = KeyCache::default();
        let key = |number: u32| format!("m,t={number:06}").into_bytes();
        let at = |series| SeriesAt { table: 0, series };
        for number in 0..(VAIN_MAX + 100) as u32 {
            assert_eq!(cache.find(&key(number), &hasher), None);
            cache.insert(&key(number), at(number), true);
        }
        assert!(cache.entries.len() <= ENTRIES_FREE + 1);
        // What it has is found in the end, and from then on at once.
        let found = (0..LOOK_EVERY).find_map(|_| cache.find(&key(7), &hasher));
        assert_eq!(found, Some(at(7)));
        assert_eq!(cache.find(&key(9), &hasher), Some(at(9)));
        // So is one of which only its series is known.
        (0..VAIN_MAX + 1).for_each(|_| assert_eq!(cache.find(b"other", &hasher), None));
        cache.insert(b"other", at(0), false);
        assert_eq!(cache.find(b"another", &hasher), None);
        assert!(cache.insert(b"another", at(1), false));
        assert_eq!(cache.find(b"another", &hasher), Some(at(1)));
    }

    #[test]
    fn a_full_cache_starts_anew() {
        let hasher = RandomState::default();
        let mut cache = KeyCache::default();
        let key = |number: u32| format!("m,t={number:06}{}", "k".repeat(60_000)).into_bytes();
        let at = |series| SeriesAt { table: 0, series };
        let fit = (CACHE_BYTES_MAX / 60_000) as u32;
        for number in 0..fit + 10 {
            assert_eq!(cache.find(&key(number), &hasher), None);
            assert!(cache.insert(&key(number), at(number), true));
            assert!(cache.bytes.len() <= CACHE_BYTES_MAX + 61_000);
        }
        assert_eq!(cache.find(&key(0), &hasher), None);
        assert_eq!(cache.find(&key(fit + 9), &hasher), Some(at(fit + 9)));
    }

    #[test]
    fn the_cache_expects_what_came_next_before() {
        let hasher = RandomState::default();
        let mut cache = KeyCache::default();
        let at = |series| SeriesAt { table: 0, series };
        for (key, series) in [(&b"a"[..], 0), (b"b", 1), (b"c", 2)] {
            assert_eq!(cache.find(key, &hasher), None);
            assert!(cache.insert(key, at(series), true));
        }
        for (key, series) in [(&b"a "[..], 0), (b"b ", 1), (b"c ", 2), (b"a ", 0)] {
            let (pattern, len, number) = cache.expected().map(|(p, l, n)| (p.to_vec(), l, n)).unwrap_or_default();
            assert_eq!(&pattern[..len], key);
            assert!(pattern.len() >= len + PADDING);
            assert_eq!(cache.follow(number), at(series));
        }
        cache.pop(&hasher);
        assert_eq!(cache.find(b"c", &hasher), None);
        assert_eq!(cache.find(b"b", &hasher), Some(at(1)));
    }
}
