//! The cache from series keys as written to series.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;

use super::NONE;
use super::index::{INDEX_ENTRY_BYTES_MAX, Index};
use super::keys::{Keys, Place};

/// From series keys as written to series. Each entry remembers which one followed it last time, because lines come in cycles.
#[derive(Debug)]
pub struct KeyCache {
    entries: Vec<CachedKey>,
    keys: Keys,
    /// Of the first `indexed` entries.
    index: Index,
    indexed: usize,
    /// The entry of the last line, and the one that should follow.
    last: u32,
    next: u32,
    /// How often a key was found by its hash, and for how many lookups none was.
    found: usize,
    in_vain: usize,
    /// How the last key fared that is not known.
    lookup: Lookup,
    /// Keys by the hashes of their first tags, and the entry that should have the tags of the next new key.
    twins: Vec<(u32, u32)>,
    next_twin: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lookup {
    /// A key with this hash was not found.
    Missed(u32),
    /// It was not looked for.
    Skipped,
    /// Nor was it, as it is known to be new.
    New,
}

#[derive(Clone, Copy, Debug)]
struct CachedKey {
    place: Place,
    /// Without the space.
    len: u32,
    /// Where its tags start: at their comma.
    tags_at: u32,
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
/// Places of [`KeyCache::twins`].
const TWINS: usize = 4096;
/// The first entry that is noted there.
const NOTED_MIN: u32 = 8;

impl Default for KeyCache {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            keys: Keys::default(),
            index: Index::default(),
            indexed: 0,
            last: NONE,
            next: 0,
            found: 0,
            in_vain: 0,
            lookup: Lookup::Skipped,
            twins: Vec::new(),
            next_twin: NONE,
        }
    }
}

/// An entry whose tags are written as the first of a new key's tags are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Twin {
    number: u32,
    pub at: SeriesAt,
    /// Where the new key's tags start, and where those end that it shares.
    pub tags_at: usize,
    pub shared_to: usize,
}

/// A quick hash of the first bytes of a key's tags: whoever chooses tags can choose them to collide, and that costs them the short cut.
fn tags_hash(tags: &[u8]) -> u32 {
    let Some(first) = tags.first_chunk::<32>() else {
        return tags_hash(&std::array::from_fn::<u8, 32, _>(|at| tags.get(at).copied().unwrap_or(0)));
    };
    let word = |at: usize| first[at..].first_chunk().map_or(0, |eight| u64::from_le_bytes(*eight));
    let mixed = word(0) ^ word(8).rotate_left(17) ^ word(16).rotate_left(34) ^ word(24).rotate_left(51);
    (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32
}

/// Whether `tags` begin with all of `first`.
fn begin_with_tags(tags: &[u8], first: &[u8]) -> bool {
    !first.is_empty() && tags.starts_with(first) && tags.get(first.len()).is_none_or(|behind| *behind == b',')
}

impl KeyCache {
    /// The key (with its space) that should come next: padded bytes, length and the entry's number.
    #[inline(always)]
    pub fn expected(&self) -> Option<(&[u8], usize, u32)> {
        let entry = self.entries.get(self.next as usize)?;
        Some((self.keys.padded(entry.place), entry.len as usize + 1, self.next))
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
        let looks = self.in_vain < VAIN_MAX || self.in_vain.is_multiple_of(LOOK_EVERY);
        self.in_vain += 1;
        if !looks {
            self.lookup = Lookup::Skipped;
            return None;
        }
        self.index_all(hasher);
        let Self { entries, keys, index, .. } = self;
        let hash = hasher.hash_one(key) as u32;
        self.lookup = Lookup::Missed(hash);
        let number = index.find(hash, |number| entries[number as usize].key(keys) == key)?;
        self.found += 1;
        self.in_vain = 0;
        self.link(number);
        Some(self.follow(number))
    }

    /// Keys of twins are known to be new, and wait for their place in the index until a lookup could be about them.
    #[inline(always)]
    fn index_all(&mut self, hasher: &RandomState) {
        while let Some(entry) = self.entries.get(self.indexed) {
            self.index.insert(hasher.hash_one(entry.key(&self.keys)) as u32, self.indexed as u32);
            self.indexed += 1;
        }
    }

    /// Whether the last key was new and the next one should have a twin: then that is worth a look before the key is looked up.
    #[inline(always)]
    pub fn foresees_twin(&self) -> bool {
        self.next_twin != NONE && self.last as usize + 1 == self.entries.len()
    }

    /// A series whose tags are the first ones of `key`, whose tags start at `tags_at`, if one is at hand: measurements of one host share its tags, and come
    /// one after the other, or all hosts for one measurement and then all for the next, in the same order.
    pub fn find_twin(&self, key: &[u8], tags_at: usize) -> Option<Twin> {
        let tags = &key[tags_at..];
        let twin_of = |number: u32| {
            let entry = self.entries.get(number as usize)?;
            let shared = entry.tags(&self.keys);
            let shared_to = tags_at + shared.len();
            begin_with_tags(tags, shared).then_some(Twin { number, at: entry.target, tags_at, shared_to })
        };
        twin_of(self.next_twin).or_else(|| twin_of(self.last)).or_else(|| twin_of(self.noted_twin(tags_hash(tags))))
    }

    /// The hash of a key that [`Self::find`] has just not found, or was not asked for.
    #[inline(always)]
    pub fn hash_of_new(&self, key: &[u8], hasher: &RandomState) -> u32 {
        match self.lookup {
            Lookup::Missed(hash) => hash,
            Lookup::Skipped | Lookup::New => hasher.hash_one(key) as u32,
        }
    }

    /// Whether a key that was not found may have a twin: where series come once each, none is looked for.
    pub fn may_have_twin(&self) -> bool {
        self.lookup != Lookup::Skipped && self.in_vain < ENTRIES_FREE
    }

    /// The key that the last find was not made for is known to be new.
    pub fn know_new(&mut self) {
        self.lookup = Lookup::New;
    }

    /// Remembers the key that [`Self::find`] has just not found, or that is known to be new; `false` if it would rather not. Its tags start at `tags_at`.
    ///
    /// A large cache that finds little takes only keys whose series is not new: series that come once would cost it more than they are worth.
    pub fn insert(&mut self, key: &[u8], tags_at: usize, twin: Option<Twin>, target: SeriesAt, is_new: bool) -> bool {
        if !is_new {
            // Keys come again: looking is worth while.
            self.in_vain = 0;
        }
        let is_large = self.entries.len() > ENTRIES_FREE.max(self.found);
        if self.lookup == Lookup::Skipped || is_new && is_large {
            (self.last, self.next) = (NONE, 0);
            return false;
        }
        if self.keys.len() + key.len() > CACHE_BYTES_MAX {
            *self = Self { lookup: self.lookup, ..Self::default() };
        }
        let number = self.entries.len() as u32;
        // After it the cycle is expected to start again, until something else is seen.
        let (place, len, tags_at) = (self.keys.push(key), key.len() as u32, tags_at as u32);
        self.entries.push(CachedKey { place, len, tags_at, target, next: 0 });
        if let Lookup::Missed(hash) = self.lookup {
            self.index.insert(hash, number);
            self.indexed += 1;
        }
        self.foresee_twin(number, twin);
        self.link(number);
        self.follow(number);
        true
    }

    /// After entry `number`, which is new: whose tags the next new key should have.
    fn foresee_twin(&mut self, number: u32, twin: Option<Twin>) {
        if let Some(twin) = twin {
            self.next_twin = twin.number + 1;
            return;
        }
        let tags = self.entries[number as usize].tags(&self.keys);
        let hash = tags_hash(tags);
        let noted = self.noted_twin(hash);
        let is_twin = |entry: &CachedKey| begin_with_tags(tags, entry.tags(&self.keys));
        if self.entries.get(noted as usize).is_some_and(is_twin) {
            self.next_twin = noted + 1;
        } else {
            self.next_twin = NONE;
            // Where keys are few, those that are not next to each other find no twins.
            if number >= NOTED_MIN {
                self.twins.resize(TWINS, (0, NONE));
                self.twins[hash as usize % TWINS] = (hash, number);
            }
        }
    }

    /// The entry that is noted for keys whose first tags have this hash.
    fn noted_twin(&self, hash: u32) -> u32 {
        self.twins.get(hash as usize % TWINS).filter(|noted| noted.0 == hash).map_or(NONE, |noted| noted.1)
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
        if self.indexed > last {
            self.index.remove(hasher.hash_one(entry.key(&self.keys)) as u32, last as u32);
            self.indexed = last;
        }
        self.entries.truncate(last);
        self.keys.truncate(entry.place);
        if self.last as usize == last {
            (self.last, self.next) = (NONE, 0);
        }
    }

    /// Bytes that the keys need, in the least room.
    pub fn bytes_needed(&self) -> usize {
        self.keys.len() + self.entries.len() * (size_of::<CachedKey>() + 8)
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        let twins = self.twins.capacity() * size_of::<(u32, u32)>();
        let waiting = (self.entries.len() - self.indexed) * INDEX_ENTRY_BYTES_MAX;
        let entries = self.entries.capacity() * size_of::<CachedKey>();
        self.keys.bytes() + entries + self.index.bytes() + waiting + twins
    }
}

impl CachedKey {
    #[inline(always)]
    fn key<'k>(&self, keys: &'k Keys) -> &'k [u8] {
        keys.get(self.place, self.len)
    }

    #[inline(always)]
    fn tags<'k>(&self, keys: &'k Keys) -> &'k [u8] {
        &self.key(keys)[self.tags_at as usize..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::PADDING;

    #[test]
    fn a_cache_of_series_that_come_once_looks_seldom_and_still_finds_them() {
        let hasher = RandomState::default();
        let mut cache = KeyCache::default();
        let key = |number: u32| format!("m,t={number:06}").into_bytes();
        let at = |series| SeriesAt { table: 0, series };
        for number in 0..(VAIN_MAX + 100) as u32 {
            assert_eq!(cache.find(&key(number), &hasher), None);
            cache.insert(&key(number), 0, None, at(number), true);
        }
        assert!(cache.entries.len() <= ENTRIES_FREE + 1);
        // What it has is found in the end, and from then on at once.
        let found = (0..LOOK_EVERY).find_map(|_| cache.find(&key(7), &hasher));
        assert_eq!(found, Some(at(7)));
        assert_eq!(cache.find(&key(9), &hasher), Some(at(9)));
        // So is one of which only its series is known.
        (0..VAIN_MAX + 1).for_each(|_| assert_eq!(cache.find(b"other", &hasher), None));
        cache.insert(b"other", 0, None, at(0), false);
        assert_eq!(cache.find(b"another", &hasher), None);
        assert!(cache.insert(b"another", 0, None, at(1), false));
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
            assert!(cache.insert(&key(number), 0, None, at(number), true));
            assert!(cache.keys.bytes() <= CACHE_BYTES_MAX + (1 << 20));
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
            assert!(cache.insert(key, 0, None, at(series), true));
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
