//! Series: tag sets interned per table, and the cache from keys as written to series.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use super::NONE;
use super::seal::{Strings, TagPair};
use crate::line::PADDING;

/// Distinct strings, numbered in order of appearance.
#[derive(Debug, Default)]
pub struct Interner {
    strings: Strings,
    index: HashTable<u32>,
}

impl Interner {
    /// The number of `string`, and whether it is new.
    pub fn intern(&mut self, string: &[u8], hasher: &RandomState) -> (u32, bool) {
        let strings = &self.strings;
        let hash = hasher.hash_one(string);
        if let Some(number) = self.index.find(hash, |number| strings.get(*number as usize) == string) {
            return (*number, false);
        }
        let number = strings.len() as u32;
        self.strings.push(string);
        let strings = &self.strings;
        self.index.insert_unique(hash, number, |number| hasher.hash_one(strings.get(*number as usize)));
        (number, true)
    }

    /// Forgets the last string.
    pub fn pop(&mut self, hasher: &RandomState) {
        let Some(last) = self.strings.len().checked_sub(1) else { return };
        let hash = hasher.hash_one(self.strings.get(last));
        if let Ok(entry) = self.index.find_entry(hash, |number| *number as usize == last) {
            entry.remove();
        }
        self.strings.truncate(last);
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        self.strings.bytes.capacity() + self.strings.ends.capacity() * 4 + self.index.capacity() * 5
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
    index: HashTable<u32>,
}

fn tags_of<'a>(pairs: &'a [TagPair], ends: &[u32], series: u32) -> &'a [TagPair] {
    let series = series as usize;
    let start = if series == 0 { 0 } else { ends[series - 1] as usize };
    &pairs[start..ends[series] as usize]
}

fn hash_tags(tags: &[TagPair], hasher: &RandomState) -> u64 {
    hasher.hash_one(PairsAsWords(tags))
}

/// Hashes pairs one u64 each.
struct PairsAsWords<'a>(&'a [TagPair]);

impl std::hash::Hash for PairsAsWords<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.iter().for_each(|pair| state.write_u64(u64::from(pair.tag) << 32 | u64::from(pair.value)));
    }
}

impl SeriesIndex {
    /// The number of the series with `tags` (ascending by tag), and whether it is new.
    pub fn intern(&mut self, tags: &[TagPair], hasher: &RandomState) -> (u32, bool) {
        let Self { pairs, ends, index } = self;
        let hash = hash_tags(tags, hasher);
        if let Some(series) = index.find(hash, |series| tags_of(pairs, ends, *series) == tags) {
            return (*series, false);
        }
        let number = ends.len() as u32;
        pairs.extend_from_slice(tags);
        ends.push(pairs.len() as u32);
        index.insert_unique(hash, number, |series| hash_tags(tags_of(pairs, ends, *series), hasher));
        (number, true)
    }

    /// Forgets the last series.
    pub fn pop(&mut self, hasher: &RandomState) {
        let Some(last) = self.ends.len().checked_sub(1) else { return };
        let hash = hash_tags(tags_of(&self.pairs, &self.ends, last as u32), hasher);
        if let Ok(entry) = self.index.find_entry(hash, |series| *series as usize == last) {
            entry.remove();
        }
        self.ends.truncate(last);
        self.pairs.truncate(self.ends.last().map_or(0, |end| *end as usize));
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        self.pairs.capacity() * 8 + self.ends.capacity() * 4 + self.index.capacity() * 5
    }
}

/// From series keys as written to series. Each entry remembers which one followed it last time, because lines come in cycles.
#[derive(Debug)]
pub struct KeyCache {
    entries: Vec<CachedKey>,
    /// The keys, each with the space that ended it; then padding.
    bytes: Vec<u8>,
    index: HashTable<u32>,
    /// The entry of the last line.
    last: u32,
}

#[derive(Clone, Copy, Debug)]
struct CachedKey {
    start: usize,
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

impl Default for KeyCache {
    fn default() -> Self {
        Self { entries: Vec::new(), bytes: vec![0; PADDING], index: HashTable::new(), last: NONE }
    }
}

impl KeyCache {
    /// The key (with its space) that should come next: padded bytes, length and the entry's number.
    #[inline(always)]
    pub fn expected(&self) -> Option<(&[u8], usize, u32)> {
        let next = self.entries.get(self.last as usize).map_or(0, |last| last.next);
        let entry = self.entries.get(next as usize)?;
        Some((&self.bytes[entry.start..], entry.len as usize + 1, next))
    }

    /// The line is of entry `number`.
    #[inline(always)]
    pub fn follow(&mut self, number: u32) -> SeriesAt {
        self.last = number;
        self.entries[number as usize].target
    }

    /// Looks `key` up and remembers that it followed the last line's.
    pub fn find(&mut self, key: &[u8], hasher: &RandomState) -> Option<SeriesAt> {
        let Self { entries, bytes, index, .. } = self;
        let hash = hasher.hash_one(key);
        let number = *index.find(hash, |number| entries[*number as usize].key(bytes) == key)?;
        self.link(number);
        Some(self.follow(number))
    }

    /// Remembers a key that [`Self::find`] did not know.
    pub fn insert(&mut self, key: &[u8], target: SeriesAt, hasher: &RandomState) {
        if self.bytes.len() + key.len() > CACHE_BYTES_MAX {
            *self = Self::default();
        }
        let start = self.bytes.len() - PADDING;
        self.bytes.truncate(start);
        self.bytes.extend_from_slice(key);
        self.bytes.push(b' ');
        self.bytes.resize(start + key.len() + 1 + PADDING, 0);
        let number = self.entries.len() as u32;
        // A key is at most 65 535 bytes. After it the cycle is expected to start again, until something else is seen.
        self.entries.push(CachedKey { start, len: key.len() as u32, target, next: 0 });
        let Self { entries, bytes, index, .. } = self;
        index.insert_unique(hasher.hash_one(key), number, |number| {
            hasher.hash_one(entries[*number as usize].key(bytes))
        });
        self.link(number);
        self.last = number;
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
        let hash = hasher.hash_one(entry.key(&self.bytes));
        if let Ok(found) = self.index.find_entry(hash, |number| *number as usize == last) {
            found.remove();
        }
        self.entries.truncate(last);
        self.bytes.truncate(entry.start);
        self.bytes.resize(entry.start + PADDING, 0);
        if self.last as usize == last {
            self.last = NONE;
        }
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<CachedKey>() + self.index.capacity() * 5
    }
}

impl CachedKey {
    fn key<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.start..self.start + self.len as usize]
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
            cache.insert(key, at(series), &hasher);
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
