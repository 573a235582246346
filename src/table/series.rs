//! Series: tag sets interned per table.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;

use super::index::{INDEX_ENTRY_BYTES_MAX, Index};
use super::seal::TagPair;
use super::shared::Shared;

/// The series of a table: sets of (tag, value) numbers.
#[derive(Debug, Default)]
pub struct SeriesIndex {
    pub pairs: Shared<Vec<TagPair>>,
    pub ends: Shared<Vec<u32>>,
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
    /// The tags of a series that exists, ascending.
    pub fn tags_of(&self, series: u32) -> &[TagPair] {
        tags_of(&self.pairs, &self.ends, series)
    }

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
        let pairs = self.pairs.own();
        pairs.extend_from_slice(tags);
        self.ends.own().push(pairs.len() as u32);
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
        let ends = self.ends.own();
        ends.truncate(last);
        self.pairs.own().truncate(ends.last().map_or(0, |end| *end as usize));
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
