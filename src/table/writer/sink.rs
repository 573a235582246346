//! The points of a request, as the parser brings them: series, tables and tags. Fields are in `row`.

use super::row::TableRow;
use super::{COLUMN_BIRTH_BYTES, Shape, TABLE_BIRTH_BYTES, Undo, Writer};
use crate::line::{
    Key, MEASUREMENT_ESCAPES, NO_NAME, NO_SHAPE, Rest, Sink, TAG_ESCAPES, Tag, Vector, begins_with, unescape,
};
use crate::table::NONE;
use crate::table::cache::SeriesAt;
use crate::table::interner::hash_of;
use crate::table::keep::Sample;
use crate::table::reject::SchemaReject;
use crate::table::seal::TagPair;

impl<'a> Sink for Writer<'a> {
    type Series = SeriesAt;
    type Row<'r>
        = TableRow<'r, 'a>
    where
        Self: 'r;

    fn begin(&mut self) {
        self.names.clear();
        self.shapes.clear();
    }

    #[inline(always)]
    fn expected_series<V: Vector>(&mut self, rest: Rest<'_>) -> Option<(SeriesAt, usize)> {
        let (pattern, len, number) = self.bucket.cache.expected()?;
        if !begins_with::<V>(rest, pattern, len) {
            return None;
        }
        Some((self.bucket.cache.follow(number), len - 1))
    }

    fn known_series(&mut self, key: &[u8]) -> Option<SeriesAt> {
        if self.bucket.cache.foresees_twin() {
            let twin = self.twin_series(key, false);
            if twin.is_some() {
                return twin;
            }
            if self.is_of_new_table(key) {
                self.bucket.cache.know_new();
                return None;
            }
        }
        let known = self.bucket.cache.find(key, self.hasher);
        if known.is_none() && self.bucket.cache.may_have_twin() { self.twin_series(key, true) } else { known }
    }

    fn new_series(&mut self, raw: &[u8], key: &Key<'_, '_>) -> SeriesAt {
        self.request.pay_series(raw.len(), key.tags.len());
        let (at, is_new) = self.intern(key);
        if is_new {
            let hash = self.bucket.cache.hash_of_new(raw, self.hasher);
            if Sample::wants(hash) {
                self.sampled.push(hash);
            }
        }
        if self.bucket.cache.insert(raw, key.measurement.len(), None, at, is_new) {
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
        // A table that the catalog knows stays open for the points to come: it may have thousands of columns.
        let mut kept = 0;
        if let Some(Undo::Table) = self.request.undo.get(self.request.row_undo)
            && let Some(opened) = self.bucket.tables.last().filter(|table| table.born.is_some())
        {
            kept = opened.opened_bytes();
            self.request.row_undo += 1;
        }
        self.take_back_to(self.request.row_undo);
        self.request.refund(kept);
    }
}

impl Writer<'_> {
    /// The series of a key that was taken apart, and whether no one has met it.
    #[inline(always)]
    fn intern(&mut self, key: &Key<'_, '_>) -> (SeriesAt, bool) {
        let shape = match self.shapes.get_mut(key.shape as usize) {
            Some(shape) if shape.is_learnt => std::mem::take(shape),
            _ => self.learn_shape(key),
        };
        let table = shape.table;
        // As many tags as the key has, or none: then one has no room, the point is refused, and what stands for its series with it.
        self.pairs.clear();
        self.pairs.resize(shape.tags.len(), TagPair { tag: 0, value: 0 });
        let has_new = if key.plain { self.intern_values(key, &shape) } else { self.intern_escaped(key, &shape) };
        let series = self.intern_pairs(table, has_new);
        if let Some(known) = self.shapes.get_mut(key.shape as usize) {
            *known = shape;
        }
        series
    }

    /// The series with the tags of `self.pairs`, and whether it is new. `has_new`: one of their values is.
    #[inline(always)]
    pub(super) fn intern_pairs(&mut self, table: u32, has_new: bool) -> (SeriesAt, bool) {
        let (series, is_new) = self.bucket.tables[table as usize].series.intern(&self.pairs, has_new, self.hasher);
        if is_new {
            self.request.undo.push(Undo::Series { table });
        }
        (SeriesAt { table, series }, is_new)
    }

    /// Fills the pairs of a plain key; returns whether a value is new. Out of line, so that all it works with stays in registers.
    #[inline(never)]
    fn intern_values(&mut self, key: &Key<'_, '_>, shape: &Shape) -> bool {
        let tags = &mut self.bucket.tables[shape.table as usize].tags;
        self.lookups.clear();
        for (index, (written, (tag, place))) in key.tags.iter().zip(&shape.tags).enumerate() {
            let values = &mut tags[*tag as usize].values;
            values.index_all(self.hasher);
            let hash = hash_of(written.value, written.ends, self.hasher);
            match values.find_among_few(written.value, written.ends, hash) {
                Some(value) => self.pairs[*place as usize] = TagPair { tag: *tag, value },
                None => {
                    values.prefetch(hash);
                    self.lookups.push((index, hash));
                }
            }
        }
        // Where there are many series, each of these misses the cache: so they do at one time, and not one after the other.
        for (index, hash) in &self.lookups {
            tags[shape.tags[*index].0 as usize].values.prefetch_string(*hash);
        }
        let mut has_new = false;
        for (index, hash) in self.lookups.drain(..) {
            let (written, (tag, place)) = (&key.tags[index], shape.tags[index]);
            let values = &mut tags[tag as usize].values;
            let (value, is_new) = values.intern_hashed(written.value, written.ends, hash);
            if is_new {
                has_new = true;
                self.request.bear_value(shape.table, tag, values);
            }
            self.pairs[place as usize] = TagPair { tag, value };
        }
        has_new
    }

    /// The same for a key with escapes.
    #[inline(never)]
    fn intern_escaped(&mut self, key: &Key<'_, '_>, shape: &Shape) -> bool {
        let table = &mut self.bucket.tables[shape.table as usize];
        let mut has_new = false;
        for (written, (tag, place)) in key.tags.iter().zip(&shape.tags) {
            let value = unescape(written.value, TAG_ESCAPES);
            let pair = &mut self.pairs[*place as usize];
            pair.tag = *tag;
            has_new |= self.request.intern_value(table, shape.table, pair, &value, self.hasher);
        }
        has_new
    }

    /// Finds or makes the table and the tags of a key. Without tags, if one has no room.
    #[inline(never)]
    fn learn_shape(&mut self, key: &Key<'_, '_>) -> Shape {
        let table = self.name(key.number).unwrap_or_else(|| self.open_table(key));
        let mut tags = Vec::with_capacity(key.tags.len());
        for written in key.tags {
            let Some(tag) = self.name(written.number).or_else(|| self.tag(table, written)) else {
                return Shape { table, ..Shape::default() };
            };
            tags.push((tag, tags.len() as u32));
        }
        if !tags.is_sorted() {
            let mut order = tags.clone();
            order.sort_unstable();
            order.iter().zip(0..).for_each(|((_, index), place)| tags[*index as usize].1 = place);
        }
        let shape = key.shape as usize;
        if key.shape != NO_SHAPE && self.shapes.len() <= shape {
            self.shapes.resize_with(shape + 1, Shape::default);
        }
        Shape { table, tags, is_learnt: true }
    }

    /// The table or tag that the body's name of this number stands for, if it is known.
    #[inline(always)]
    fn name(&self, number: u32) -> Option<u32> {
        self.names.get(number as usize).copied().filter(|slot| *slot != NONE)
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
            let opened = &self.bucket.tables[table as usize];
            match opened.born {
                Some(_) => self.request.pay(opened.opened_bytes()),
                None => self.request.pay_name(TABLE_BIRTH_BYTES, &measurement, &measurement),
            }
        }
        self.remember_name(key.number, table);
        table
    }

    /// The tag of this name, unless the table has no room for it.
    #[cold]
    #[inline(never)]
    fn tag(&mut self, number: u32, written: &Tag<'_>) -> Option<u32> {
        let key = unescape(written.key, TAG_ESCAPES);
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
            self.request.pay_name(COLUMN_BIRTH_BYTES, &table.name, &key);
            table.add_tag(&key, NONE)
        });
        self.remember_name(written.number, tag);
        Some(tag)
    }

    /// The body's name of this number is table or tag `slot`.
    fn remember_name(&mut self, number: u32, slot: u32) {
        if number == NO_NAME {
            return;
        }
        let number = number as usize;
        if self.names.len() <= number {
            self.names.resize(number + 1, NONE);
        }
        self.names[number] = slot;
    }
}
