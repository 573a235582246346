//! Series: tag sets interned per table, and the cache from keys as written to series.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use super::NONE;
use super::chunks::Strings;
use super::seal::TagPair;
use crate::line::PADDING;

/// Where something stands, and part of its hash: an index that grows, or looks past an entry, does not read what it is about.
#[derive(Clone, Copy, Debug)]
struct Place {
    hash: u32,
    number: u32,
}

impl Place {
    /// What the tables are given for a hash: both of its ends matter to them.
    #[inline(always)]
    fn spread(hash: u32) -> u64 {
        u64::from(hash) << 32 | u64::from(hash)
    }
}

/// Numbers by the hash of what they stand for.
#[derive(Debug, Default)]
struct Index {
    places: HashTable<Place>,
}

impl Index {
    #[inline(always)]
    fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        self.places
            .find(Place::spread(hash), |place| place.hash == hash && is_it(place.number))
            .map(|place| place.number)
    }

    #[inline(always)]
    fn insert(&mut self, hash: u32, number: u32) {
        self.places.insert_unique(Place::spread(hash), Place { hash, number }, |place| Place::spread(place.hash));
    }

    fn remove(&mut self, hash: u32, number: u32) {
        if let Ok(entry) = self.places.find_entry(Place::spread(hash), |place| place.number == number) {
            entry.remove();
        }
    }

    /// Bytes on the heap.
    fn bytes(&self) -> usize {
        self.places.allocation_size()
    }
}

/// Distinct strings, numbered in order of appearance.
#[derive(Debug, Default)]
pub struct Interner {
    strings: Strings,
    index: Index,
}

impl Interner {
    /// The number of `string`, and whether it is new.
    #[inline(always)]
    pub fn intern(&mut self, string: &[u8], hasher: &RandomState) -> (u32, bool) {
        let hash = hasher.hash_one(string) as u32;
        if let Some(number) = self.index.find(hash, |number| self.strings.get(number as usize) == string) {
            return (number, false);
        }
        let number = self.strings.len() as u32;
        self.strings.push(string);
        self.index.insert(hash, number);
        (number, true)
    }

    /// Forgets the last string.
    pub fn pop(&mut self, hasher: &RandomState) {
        let Some(last) = self.strings.len().checked_sub(1) else { return };
        self.index.remove(hasher.hash_one(self.strings.get(last)) as u32, last as u32);
        self.strings.truncate(last);
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        self.strings.bytes() + self.index.bytes()
    }

    pub fn into_strings(self) -> Strings {
        self.strings
    }
}

/// The series of a table: sets of (tag, value) numbers.
#[derive(Debug, Default)]
pub struct SeriesIndex {
    pub pairs: Vec<TagPair>,
    pub ends: Vec<u32>,
    index: Index,
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
    /// The number of the series with `tags` (ascending by tag), and whether it is new.
    #[inline(always)]
    pub fn intern(&mut self, tags: &[TagPair], hasher: &RandomState) -> (u32, bool) {
        let Self { pairs, ends, index } = self;
        let hash = hash_tags(tags, hasher);
        if let Some(series) = index.find(hash, |series| tags_of(pairs, ends, series) == tags) {
            return (series, false);
        }
        let number = ends.len() as u32;
        pairs.extend_from_slice(tags);
        ends.push(pairs.len() as u32);
        index.insert(hash, number);
        (number, true)
    }

    /// Forgets the last series.
    pub fn pop(&mut self, hasher: &RandomState) {
        let Some(last) = self.ends.len().checked_sub(1) else { return };
        self.index.remove(hash_tags(tags_of(&self.pairs, &self.ends, last as u32), hasher), last as u32);
        self.ends.truncate(last);
        self.pairs.truncate(self.ends.last().map_or(0, |end| *end as usize));
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        self.pairs.capacity() * 8 + self.ends.capacity() * 4 + self.index.bytes()
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
    /// How often a key was found by its hash.
    found: usize,
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
    pub fn find(&mut self, key: &[u8], hasher: &RandomState) -> Option<SeriesAt> {
        let Self { entries, bytes, index, .. } = self;
        self.hash = hasher.hash_one(key) as u32;
        let number = index.find(self.hash, |number| entries[number as usize].key(bytes) == key)?;
        self.found += 1;
        self.link(number);
        Some(self.follow(number))
    }

    /// Remembers the key that [`Self::find`] has just not found; `false` if it would rather not.
    ///
    /// A large cache that finds little takes only keys whose series is not new: series that come once would cost it more than they are worth.
    pub fn insert(&mut self, key: &[u8], target: SeriesAt, is_new: bool) -> bool {
        if is_new && self.entries.len() > ENTRIES_FREE.max(self.found) {
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
