//! The points of a request, as the parser brings them: series, tables and tags. Fields are in `row`.

use super::row::TableRow;
use super::{COLUMN_BIRTH_BYTES, SERIES_BIRTH_BYTES, Shape, TABLE_BIRTH_BYTES, TAG_BYTES, Undo, Writer};
use crate::line::{Key, MEASUREMENT_ESCAPES, NO_NAME, Rest, Sink, TAG_ESCAPES, Tag, Vector, begins_with, unescape};
use crate::table::NONE;
use crate::table::reject::SchemaReject;
use crate::table::seal::TagPair;
use crate::table::series::{RECENT_BYTES, SeriesAt};

impl<'a> Sink for Writer<'a> {
    type Series = SeriesAt;
    type Row<'r>
        = TableRow<'r, 'a>
    where
        Self: 'r;

    fn begin(&mut self) {
        self.names.clear();
        self.shape = None;
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
        let shape = match self.shape.take() {
            Some(shape) if key.like_last => shape,
            shape => self.learn_shape(key, shape.unwrap_or_default()),
        };
        let mut pairs = std::mem::take(&mut self.scratch);
        pairs.clear();
        // As many tags as the key has, or none: then one has no room, the point is refused, and what stands for its series with it.
        pairs.resize(shape.tags.len(), TagPair { tag: 0, value: 0 });
        let mut has_new = false;
        let tags = &mut self.bucket.tables[shape.table as usize].tags;
        for ((written, tag), place) in key.tags.iter().zip(&shape.tags).zip(&shape.places) {
            let values = &mut tags[*tag as usize].values;
            let (value, is_new) = if key.plain {
                values.intern_by_ends(written.value, written.ends, self.hasher)
            } else {
                values.intern(&unescape(written.value, TAG_ESCAPES), self.hasher)
            };
            if is_new {
                self.request.undo.push(Undo::TagValue { table: shape.table, tag: *tag });
                has_new = true;
                if values.keeps_recent() {
                    self.request.pay(RECENT_BYTES);
                }
            }
            pairs[*place as usize] = TagPair { tag: *tag, value };
        }
        let table = shape.table;
        let (series, is_new) = self.bucket.tables[table as usize].series.intern(&pairs, has_new, self.hasher);
        if is_new {
            self.request.undo.push(Undo::Series { table });
        }
        self.scratch = pairs;
        self.shape = (shape.tags.len() == key.tags.len()).then_some(shape);
        (SeriesAt { table, series }, is_new)
    }

    /// Finds or makes the table and the tags of a key. Without tags, if one has no room.
    fn learn_shape(&mut self, key: &Key<'_, '_>, mut shape: Shape) -> Shape {
        shape.table = self.name(key.number).unwrap_or_else(|| self.open_table(key));
        shape.tags.clear();
        for written in key.tags {
            let Some(tag) = self.name(written.number).or_else(|| self.tag(shape.table, written)) else {
                shape.tags.clear();
                break;
            };
            shape.tags.push(tag);
        }
        let tags = &shape.tags;
        shape.places.clear();
        if tags.is_sorted() {
            shape.places.extend(0..tags.len() as u32);
        } else {
            let mut order: Vec<u32> = (0..tags.len() as u32).collect();
            order.sort_unstable_by_key(|index| tags[*index as usize]);
            shape.places.resize(tags.len(), 0);
            order.iter().zip(0..).for_each(|(index, place)| shape.places[*index as usize] = place);
        }
        shape
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
