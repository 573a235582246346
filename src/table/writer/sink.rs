//! The points of a request, as the parser brings them: series, tables and tags. Fields are in `row`.

use super::row::TableRow;
use super::{COLUMN_BIRTH_BYTES, SERIES_BIRTH_BYTES, Shape, TABLE_BIRTH_BYTES, TAG_BYTES, Undo, Writer};
use crate::line::{Key, MEASUREMENT_ESCAPES, Padded, Sink, TAG_ESCAPES, Vector, equal_prefix, unescape};
use crate::table::NONE;
use crate::table::reject::SchemaReject;
use crate::table::seal::TagPair;
use crate::table::series::SeriesAt;

impl<'a> Sink for Writer<'a> {
    type Series = SeriesAt;
    type Row<'r>
        = TableRow<'r, 'a>
    where
        Self: 'r;

    #[inline(always)]
    fn expected_series<V: Vector>(&mut self, body: &Padded<'_>, at: usize) -> Option<(SeriesAt, usize)> {
        let (pattern, len, number) = self.bucket.cache.expected()?;
        if !equal_prefix::<V>(body, at, pattern, len) {
            return None;
        }
        Some((self.bucket.cache.follow(number), len - 1))
    }

    fn known_series(&mut self, key: &[u8]) -> Option<SeriesAt> {
        self.bucket.cache.find(key, self.hasher)
    }

    fn new_series(&mut self, raw: &[u8], key: &Key<'_, '_>) -> SeriesAt {
        self.request.pay(SERIES_BIRTH_BYTES + 2 * raw.len() + key.tags.len() * TAG_BYTES);
        let (at, is_new) = self.intern(key);
        if self.bucket.cache.insert(raw, at, is_new) {
            self.request.undo.push(Undo::Key);
        }
        at
    }

    #[inline(always)]
    fn row(&mut self, at: SeriesAt) -> TableRow<'_, 'a> {
        let table = &mut self.bucket.tables[at.table as usize];
        let row = table.time.len() as u32;
        if table.mark == NONE {
            table.mark = row;
            self.touched.push(at.table);
        }
        TableRow::new(table, &mut self.request, self.hasher, at, row)
    }

    #[cold]
    fn take_back(&mut self) {
        self.take_back_to(self.request.row_undo);
    }
}

impl Writer<'_> {
    /// The series of a key that was taken apart, and whether no one has met it.
    fn intern(&mut self, key: &Key<'_, '_>) -> (SeriesAt, bool) {
        let mut pairs = std::mem::take(&mut self.scratch);
        pairs.clear();
        let table = match &self.shape {
            Some(shape) if key.like_last => shape.table,
            _ => self.learn_shape(key),
        };
        match self.shape.take() {
            Some(shape) => {
                for (tag, written) in shape.tags.iter().zip(key.tags) {
                    pairs.push(self.tag_pair(table, *tag, written.value, key.plain));
                }
                self.shape = Some(shape);
            }
            // A tag has no room: the point is refused, and what stands for its series with it.
            None => pairs.push(TagPair { tag: 0, value: 0 }),
        }
        if !pairs.is_sorted_by_key(|pair| pair.tag) {
            pairs.sort_unstable_by_key(|pair| pair.tag);
        }
        let (series, is_new) = self.bucket.tables[table as usize].series.intern(&pairs, self.hasher);
        if is_new {
            self.request.undo.push(Undo::Series { table });
        }
        self.scratch = pairs;
        (SeriesAt { table, series }, is_new)
    }

    /// Finds or makes the table and the tags of a key and keeps them in `shape`; or leaves that empty, if one has no room.
    fn learn_shape(&mut self, key: &Key<'_, '_>) -> u32 {
        let last = self.shape.take();
        let is_last = |shape: &&Shape| *self.bucket.tables[shape.table as usize].name.as_bytes() == *key.measurement;
        let table = match last.as_ref().filter(is_last) {
            Some(shape) if key.plain => shape.table,
            _ => self.open_table(key),
        };
        let mut tags = last.map(|shape| shape.tags).unwrap_or_default();
        tags.clear();
        let mut before = NONE;
        for tag in key.tags {
            match self.expected_tag(table, before, tag.key, key.plain).or_else(|| self.tag(table, before, tag.key)) {
                Some(tag) => tags.push(tag),
                None => return table,
            }
            before = tags.last().copied().unwrap_or(NONE);
        }
        self.shape = Some(Shape { table, tags });
        table
    }

    #[cold]
    #[inline(never)]
    fn open_table(&mut self, key: &Key<'_, '_>) -> u32 {
        let measurement = unescape(key.measurement, MEASUREMENT_ESCAPES);
        // The parser has checked the line: names are UTF-8, and unescaping keeps them so.
        let measurement = String::from_utf8_lossy(&measurement);
        let (table, opened) = self.bucket.open(self.catalog, self.name, &measurement, self.hasher);
        if opened {
            self.request.undo.push(Undo::Table);
            self.request.pay(TABLE_BIRTH_BYTES + self.bucket.tables[table as usize].fields.len() * COLUMN_BIRTH_BYTES);
        }
        table
    }

    /// The tag that should follow `before`, if it is named `raw`.
    #[inline(always)]
    fn expected_tag(&self, table: u32, before: u32, raw: &[u8], plain: bool) -> Option<u32> {
        let table = &self.bucket.tables[table as usize];
        let expected = table.tags.get(before as usize).map_or(table.first_tag, |before| before.next);
        let is_it = plain && table.tags.get(expected as usize).is_some_and(|tag| *tag.name.as_bytes() == *raw);
        is_it.then_some(expected)
    }

    /// The tag of this name, unless the table has no room for it. It follows `before` from now on.
    #[cold]
    #[inline(never)]
    fn tag(&mut self, number: u32, before: u32, raw: &[u8]) -> Option<u32> {
        let key = unescape(raw, TAG_ESCAPES);
        let key = String::from_utf8_lossy(&key);
        let table = &mut self.bucket.tables[number as usize];
        let known = table.tag_by_name.get(&*key).copied();
        if known.is_none() && self.request.judges && table.is_full() {
            let (measurement, column) = (table.name.clone(), Box::from(&*key));
            self.request.reject.get_or_insert(SchemaReject::TooManyColumns { measurement, column });
            return None;
        }
        let tag = known.unwrap_or_else(|| {
            self.request.undo.push(Undo::Tag { table: number });
            self.request.pay(COLUMN_BIRTH_BYTES);
            table.add_tag(&key, NONE)
        });
        match table.tags.get_mut(before as usize) {
            Some(before) => before.next = tag,
            None => table.first_tag = tag,
        }
        Some(tag)
    }

    #[inline(always)]
    fn tag_pair(&mut self, table: u32, tag: u32, value: &[u8], plain: bool) -> TagPair {
        let values = &mut self.bucket.tables[table as usize].tags[tag as usize].values;
        let (value, new) = if plain {
            values.intern(value, self.hasher)
        } else {
            values.intern(&unescape(value, TAG_ESCAPES), self.hasher)
        };
        if new {
            self.request.undo.push(Undo::TagValue { table, tag });
        }
        TagPair { tag, value }
    }
}
