//! New series with the tags of a known one, and maybe more: measurements of one host share its tags. What those are need not be read from the key again.

use std::str::from_utf8;

use super::{Undo, Writer};
use crate::line::grammar::KEY_BYTES_MAX;
use crate::table::NONE;
use crate::table::cache::{SeriesAt, Twin};
use crate::table::open::{TWIN_TAGS_MAX, TwinTag, Twins};
use crate::table::seal::TagPair;

impl Writer<'_> {
    /// The series of a key that begins with the tags of a foreseen series of another table, if its own table and all other tags are known. Either the
    /// cache has not found the key (`looked`), or a value of it has to be new to its table.
    #[inline(never)]
    pub(super) fn twin_series(&mut self, raw: &[u8], looked: bool) -> Option<SeriesAt> {
        // It will be refused.
        if raw.len() > KEY_BYTES_MAX {
            return None;
        }
        let tags_at = memchr::memchr2(b',', b'\\', raw).filter(|at| raw[*at] == b',')?;
        let twin = self.bucket.cache.find_twin(raw, tags_at)?;
        let table = self.table_of_twin(&raw[..tags_at])?;
        let is_sorted = self.meet_twin(table, &twin)?;
        let shared = self.pairs.len();
        let is_sorted = self.meet_more(table, raw, twin.shared_to, is_sorted)?;
        let has_new = self.intern_values_of_twin(table, &twin, shared, raw);
        if !looked && !has_new {
            return None;
        }
        self.request.pay_series(raw.len(), self.pairs.len());
        if !is_sorted {
            self.pairs.sort_unstable_by_key(|pair| pair.tag);
        }
        let (at, is_new) = self.intern_pairs(table, has_new);
        if !looked {
            self.bucket.cache.know_new();
        }
        if self.bucket.cache.insert(raw, tags_at, Some(twin), at, is_new) {
            self.request.undo.push(Undo::Key);
        }
        Some(at)
    }

    /// Whether a key is of a measurement that has no open table, for sure.
    #[cold]
    pub(super) fn is_of_new_table(&self, raw: &[u8]) -> bool {
        let end = memchr::memchr2(b',', b'\\', raw).unwrap_or(raw.len());
        let is_plain = raw.get(end).is_none_or(|byte| *byte == b',');
        is_plain && from_utf8(&raw[..end]).is_ok_and(|name| !self.bucket.by_name.contains_key(name))
    }

    /// The open table of a measurement without escapes.
    fn table_of_twin(&mut self, measurement: &[u8]) -> Option<u32> {
        let bucket = &mut *self.bucket;
        let is_last =
            bucket.tables.get(bucket.twin_table as usize).is_some_and(|last| last.name.as_bytes() == measurement);
        if !is_last {
            bucket.twin_table = *bucket.by_name.get(from_utf8(measurement).ok()?)?;
        }
        Some(bucket.twin_table)
    }

    /// The pairs of the twin's tags in table `number`. Its values' numbers are theirs, if tables that learn their series in one order have numbered them
    /// alike; those of the others are to be found (`self.lookups`). Returns whether they are sorted; `None` if a tag is not known.
    fn meet_twin(&mut self, number: u32, twin: &Twin) -> Option<bool> {
        let taken_back = self.bucket.taken_back;
        // One and the same table has no place here.
        let [other, table] = self.bucket.tables.get_disjoint_mut([twin.at.table as usize, number as usize]).ok()?;
        if other.tags.len() > TWIN_TAGS_MAX {
            return None;
        }
        let known = &table.twins;
        if (known.table, known.taken_back, known.tags.len()) != (twin.at.table, taken_back, other.tags.len()) {
            table.twins = Twins::of(twin.at.table, other.tags.len(), taken_back);
        }
        self.pairs.clear();
        self.lookups.clear();
        let (mut is_sorted, mut last) = (true, None);
        for theirs in other.series.tags_of(twin.at.series) {
            let slot = &other.tags[theirs.tag as usize];
            let known = &mut table.twins.tags[theirs.tag as usize];
            let ours = match known {
                Some(ours) => ours,
                None => known.insert(TwinTag { tag: *table.tag_by_name.get(&slot.name)?, alike: 0 }),
            };
            if !ours.is_alike(&slot.values, &table.tags[ours.tag as usize].values, theirs.value) {
                self.lookups.push((self.pairs.len(), theirs.tag));
            }
            self.pairs.push(TagPair { tag: ours.tag, value: theirs.value });
            is_sorted &= last < Some(ours.tag);
            last = Some(ours.tag);
        }
        Some(is_sorted)
    }

    /// Adds pairs for the tags that the twin has not, from `at` on, still without values: where these stand is in `self.values`. Returns whether the pairs
    /// are sorted, as they were or not; `None` if these tags are not plain ASCII, one is not known, or one comes twice.
    fn meet_more(&mut self, number: u32, raw: &[u8], mut at: usize, mut is_sorted: bool) -> Option<bool> {
        let table = &mut self.bucket.tables[number as usize];
        self.values.clear();
        while at < raw.len() {
            let foreseen = table.twins.more.get(self.values.len()).filter(|(name, _)| raw[at..].starts_with(name));
            let (value, tag) = match foreseen {
                Some((name, tag)) => (at + name.len(), *tag),
                None => {
                    let equals = at + 1 + plain_bytes(&raw[at + 1..]);
                    let name = raw.get(at..=equals).filter(|name| name.ends_with(b"="))?;
                    let tag = *table.tag_by_name.get(from_utf8(&raw[at + 1..equals]).ok()?)?;
                    table.twins.remember(self.values.len(), name, tag);
                    (equals + 1, tag)
                }
            };
            at = value + plain_bytes(&raw[value..]);
            if at == value || raw.get(at).is_some_and(|byte| *byte != b',') {
                return None;
            }
            is_sorted &= self.pairs.last().is_none_or(|last| last.tag < tag);
            if self.pairs.len() == TWIN_TAGS_MAX || !is_sorted && self.pairs.iter().any(|pair| pair.tag == tag) {
                return None;
            }
            self.pairs.push(TagPair { tag, value: NONE });
            self.values.push(value..at);
        }
        Some(is_sorted)
    }

    /// Gives the pairs that were met their values: of the twin where they are not numbered alike, and behind the first `shared` those of the other tags.
    /// Returns whether one is new.
    fn intern_values_of_twin(&mut self, number: u32, twin: &Twin, shared: usize, raw: &[u8]) -> bool {
        let places = [twin.at.table as usize, number as usize];
        let Ok([other, table]) = self.bucket.tables.get_disjoint_mut(places) else { unreachable!("they were met") };
        let mut has_new = false;
        for (place, tag) in &self.lookups {
            let pair = &mut self.pairs[*place];
            let value = other.tags[*tag as usize].values.get(pair.value);
            let values = &mut table.tags[pair.tag as usize].values;
            if let Some(ours) = &mut table.twins.tags[*tag as usize]
                && ours.alike as usize == values.len()
            {
                // All of ours are the first of theirs, and this one is behind those.
                ours.alike += u32::from(ours.alike == pair.value);
                pair.value = values.push_new(value);
                self.request.bear_value(number, pair.tag, values);
                has_new = true;
            } else {
                has_new |= self.request.intern_value(table, number, pair, value, self.hasher);
            }
        }
        for (value, pair) in self.values.iter().zip(&mut self.pairs[shared..]) {
            has_new |= self.request.intern_value(table, number, pair, &raw[value.clone()], self.hasher);
        }
        has_new
    }
}

/// How many bytes stand before the first that delimits tags, escapes something, or is not ASCII.
#[inline(always)]
fn plain_bytes(text: &[u8]) -> usize {
    text.iter().position(|byte| matches!(byte, b',' | b'=' | b'\\' | 0x80..)).unwrap_or(text.len())
}
