//! Series: tag sets interned per table.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;

use super::chunks::Lists;
use super::index::{INDEX_ENTRY_BYTES_MAX, Index};
use super::seal::TagPair;
use super::shared::Shared;

/// The series of a table: sets of (tag, value) numbers.
#[derive(Debug, Default)]
pub struct SeriesIndex {
    pub tags: Shared<Lists<TagPair>>,
    /// Of the first `indexed` series.
    index: Index,
    indexed: usize,
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
    /// The tags of a series that exists, ascending.
    pub fn tags_of(&self, series: u32) -> &[TagPair] {
        self.tags.get(series as usize)
    }

    /// The number of the series with `tags` (ascending by tag), and whether it is new. `has_new`: one of the tags' values is.
    #[inline(always)]
    pub fn intern(&mut self, tags: &[TagPair], has_new: bool, hasher: &RandomState) -> (u32, bool) {
        let number = self.tags.len() as u32;
        if !has_new {
            self.index_all(hasher);
            let Self { tags: known, index, indexed } = self;
            let is_it = |series| known.get(series as usize) == tags;
            if let Some(known) = index.find_or_insert(hash_tags(tags, hasher), number, is_it) {
                return (known, false);
            }
            *indexed += 1;
        }
        self.tags.own().push(tags);
        (number, true)
    }

    /// Series with new values are known to be new, and wait for their place in the index until a lookup could be about them.
    #[inline(always)]
    fn index_all(&mut self, hasher: &RandomState) {
        let Self { tags, index, indexed } = self;
        while *indexed < tags.len() {
            index.insert(hash_tags(tags.get(*indexed), hasher), *indexed as u32);
            *indexed += 1;
        }
    }

    /// Forgets the last series.
    pub fn pop(&mut self, hasher: &RandomState) {
        let Some(last) = self.tags.len().checked_sub(1) else { return };
        if self.indexed > last {
            self.index.remove(hash_tags(self.tags.get(last), hasher), last as u32);
            self.indexed = last;
        }
        self.tags.own().truncate(last);
    }

    /// Bytes that the series need, in the least room.
    pub fn bytes_needed(&self) -> usize {
        self.tags.items() * size_of::<TagPair>() + self.tags.len() * (4 + 8)
    }

    /// Bytes on the heap, with what the index will take of series that wait for their place in it.
    pub fn bytes(&self) -> usize {
        let waiting = (self.tags.len() - self.indexed) * INDEX_ENTRY_BYTES_MAX;
        self.tags.bytes() + self.index.bytes() + waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
