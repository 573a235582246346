//! The points of a request, as the parser brings them.

use super::{
    COLUMN_BIRTH_BYTES, GROW_BYTES, NEVER, SERIES_BIRTH_BYTES, TABLE_BIRTH_BYTES, TAG_BYTES, Target, Undo, Writer,
};
use crate::catalog::FieldType;
use crate::line::grammar::STRING_BYTES_MAX;
use crate::line::{
    Key, MEASUREMENT_ESCAPES, Padded, STRING_ESCAPES, Sink, TAG_ESCAPES, Vector, equal_prefix, unescape,
};
use crate::table::NONE;
use crate::table::open::FieldSlot;
use crate::table::reject::{Expired, SchemaReject};
use crate::table::seal::{TagPair, Values};
use crate::table::series::SeriesAt;

impl Sink for Writer<'_> {
    #[inline(always)]
    fn expected_series<V: Vector>(&mut self, body: &Padded<'_>, at: usize) -> Option<usize> {
        let (pattern, len, number) = self.bucket.cache.expected()?;
        if !equal_prefix::<V>(body, at, pattern, len) {
            return None;
        }
        let at = self.bucket.cache.follow(number);
        self.select(at);
        Some(len - 1)
    }

    fn known_series(&mut self, key: &[u8]) -> bool {
        let found = self.bucket.cache.find(key, self.hasher);
        found.map(|at| self.select(at)).is_some()
    }

    fn new_series(&mut self, raw: &[u8], key: &Key<'_>) {
        self.pay(SERIES_BIRTH_BYTES + 2 * raw.len() + key.tags.len() * TAG_BYTES);
        let at = self.intern(key);
        self.bucket.cache.insert(raw, at, self.hasher);
        self.undo.push(Undo::Key);
        self.select(at);
    }

    #[inline(always)]
    fn expected_field<V: Vector>(&mut self, body: &Padded<'_>, at: usize) -> Option<usize> {
        let table = &self.bucket.tables[self.table as usize];
        let mut slot = table.fields.get(self.before as usize).map_or(table.first_field, |before| before.next);
        // Fields that are missing from a line are passed over, a few of them.
        for _ in 0..4 {
            let field = table.fields.get(slot as usize)?;
            if equal_prefix::<V>(body, at, &field.pattern, field.pattern_len()) {
                self.before = slot;
                self.target = Target::Field(slot);
                return Some(field.pattern_len() - 1);
            }
            slot = field.next;
        }
        None
    }

    fn field(&mut self, raw: &[u8], name: &[u8]) {
        if name == b"time" {
            self.time_field = true;
            self.target = Target::Time;
            return;
        }
        let table = &mut self.bucket.tables[self.table as usize];
        let known = std::str::from_utf8(name).ok().and_then(|name| table.field_by_name.get(name).copied());
        match known {
            Some(slot) => {
                table.fields[slot as usize].expect(raw);
                self.follow(slot);
            }
            None => {
                self.new_field.clear();
                self.new_field.extend_from_slice(name);
                self.target = Target::NewField;
            }
        }
    }

    #[inline(always)]
    fn float(&mut self, value: f64) {
        if let Some(Values::Float(values)) = self.values(FieldType::Float) {
            values.push(value);
        }
    }

    #[inline(always)]
    fn integer(&mut self, value: i64) {
        if let Some(Values::Integer(values)) = self.values(FieldType::Integer) {
            values.push(value);
        }
    }

    #[inline(always)]
    fn unsigned(&mut self, value: u64) {
        if let Some(Values::Unsigned(values)) = self.values(FieldType::Unsigned) {
            values.push(value);
        }
    }

    #[inline(always)]
    fn boolean(&mut self, value: bool) {
        if let Some(Values::Boolean(values)) = self.values(FieldType::Boolean) {
            values.push(value);
        }
    }

    fn string(&mut self, raw: &[u8], escaped: bool) {
        let mut buffer = std::mem::take(&mut self.unescaped);
        let string = if escaped { unescape_into(raw, &mut buffer) } else { raw };
        if string.len() > STRING_BYTES_MAX && self.target != Target::Time && self.judges {
            self.too_long(string.len());
        } else if let Some(Values::String(values)) = self.values(FieldType::String) {
            values.push(string);
        }
        self.unescaped = buffer;
    }

    #[inline(always)]
    fn point(&mut self, time_ns: i64) -> bool {
        let expired = self.rules.time_ns_min.is_some_and(|min| time_ns < min);
        let ordinal = self.points + self.rejects.dropped;
        if ordinal >= self.passed_over.start {
            self.pass_over(ordinal);
        } else if expired || self.reject.is_some() || self.written == NONE {
            self.drop_point(ordinal, time_ns, expired);
        } else {
            let table = &mut self.bucket.tables[self.table as usize];
            table.time.push(time_ns);
            table.row_series.push(self.series);
            self.points += 1;
            self.row_undo = self.undo.len();
            if self.time_field {
                let measurement = table.name.clone();
                self.rejects.time_field.get_or_insert(SchemaReject::TimeField { measurement });
            }
        }
        self.time_field = false;
        !self.starved
    }
}

impl Writer<'_> {
    #[inline(always)]
    fn select(&mut self, at: SeriesAt) {
        let table = &mut self.bucket.tables[at.table as usize];
        self.row = table.time.len() as u32;
        if table.mark == NONE {
            table.mark = self.row;
            self.touched.push(at.table);
        }
        self.table = at.table;
        self.series = at.series;
        self.before = NONE;
        self.written = NONE;
    }

    /// The series of a key that was taken apart.
    fn intern(&mut self, key: &Key<'_>) -> SeriesAt {
        let measurement = unescape(key.measurement, MEASUREMENT_ESCAPES);
        // The parser has checked the line: names are UTF-8, and unescaping keeps them so.
        let measurement = String::from_utf8_lossy(&measurement);
        let (number, opened) = self.bucket.open(self.catalog, self.name, &measurement);
        if opened {
            self.undo.push(Undo::Table);
            self.pay(TABLE_BIRTH_BYTES + self.bucket.tables[number as usize].fields.len() * COLUMN_BIRTH_BYTES);
        }
        let mut tags = std::mem::take(&mut self.scratch);
        tags.clear();
        for tag in &key.tags {
            let pair = self.tag(number, &unescape(tag.key, TAG_ESCAPES), &unescape(tag.value, TAG_ESCAPES));
            tags.push(pair);
        }
        tags.sort_unstable_by_key(|pair| pair.tag);
        let (series, new) = self.bucket.tables[number as usize].series.intern(&tags, self.hasher);
        if new {
            self.undo.push(Undo::Series { table: number });
        }
        self.scratch = tags;
        SeriesAt { table: number, series }
    }

    fn tag(&mut self, number: u32, key: &[u8], value: &[u8]) -> TagPair {
        let key = String::from_utf8_lossy(key);
        let table = &mut self.bucket.tables[number as usize];
        let known = table.tag_by_name.get(&*key).copied();
        if known.is_none() && self.judges && table.is_full() {
            let (measurement, column) = (table.name.clone(), Box::from(&*key));
            self.reject.get_or_insert(SchemaReject::TooManyColumns { measurement, column });
            // Any pair will do: the point is dropped, and what stands for its series with it.
            return TagPair { tag: 0, value: 0 };
        }
        let tag = known.unwrap_or_else(|| {
            self.undo.push(Undo::Tag { table: number });
            table.add_tag(&key, NONE)
        });
        let (value, new) = table.tags[tag as usize].values.intern(value, self.hasher);
        if new {
            self.undo.push(Undo::TagValue { table: number, tag });
        }
        if known.is_none() {
            self.pay(COLUMN_BIRTH_BYTES);
        }
        TagPair { tag, value }
    }

    /// Takes memory for something that a body's size does not bound.
    fn pay(&mut self, bytes: usize) {
        if self.allowance < bytes {
            let more = bytes.max(GROW_BYTES);
            if !self.memory.try_grow(more) {
                if !self.by_force {
                    self.starved = true;
                    return;
                }
                self.memory.set(self.memory.bytes() + more);
            }
            self.granted += more;
            self.allowance += more;
        }
        self.allowance -= bytes;
    }

    /// The values that a value of `kind` goes to, unless it is refused.
    #[inline(always)]
    fn values(&mut self, kind: FieldType) -> Option<&mut Values> {
        let slot = match self.target {
            Target::Field(slot) => slot,
            Target::NewField if self.starved => return None,
            Target::NewField if self.judges && self.bucket.tables[self.table as usize].is_full() => {
                self.no_room();
                return None;
            }
            Target::NewField => self.bear_field(kind),
            Target::Time => return None,
        };
        let row = self.row;
        let known = self.bucket.tables[self.table as usize].fields[slot as usize].kind;
        if known != kind {
            self.conflict(slot, kind, known);
            return None;
        }
        let field = &mut self.bucket.tables[self.table as usize].fields[slot as usize];
        if field.column.has(row) {
            pop_last(field.column.values_mut());
            return Some(field.column.values_mut());
        }
        field.previous = self.written;
        self.written = slot;
        Some(field.column.extend_to(row))
    }

    #[cold]
    fn bear_field(&mut self, kind: FieldType) -> u32 {
        let name = String::from_utf8_lossy(&self.new_field).into_owned();
        self.undo.push(Undo::Field { table: self.table });
        let table = &mut self.bucket.tables[self.table as usize];
        let slot = table.add_field(FieldSlot::new(&name, NONE, kind));
        self.pay(COLUMN_BIRTH_BYTES);
        self.follow(slot);
        slot
    }

    #[cold]
    fn conflict(&mut self, slot: u32, given: FieldType, known: FieldType) {
        let table = &self.bucket.tables[self.table as usize];
        let field = table.fields[slot as usize].name.clone();
        let measurement = table.name.clone();
        self.reject.get_or_insert(SchemaReject::Conflict {
            measurement,
            field,
            given: given.name(),
            known: known.name(),
        });
    }

    /// Remembers that field `slot` came after the field before.
    fn follow(&mut self, slot: u32) {
        let table = &mut self.bucket.tables[self.table as usize];
        match table.fields.get_mut(self.before as usize) {
            Some(before) => before.next = slot,
            None => table.first_field = slot,
        }
        self.before = slot;
        self.target = Target::Field(slot);
    }

    /// Drops a point that an earlier verdict has dropped.
    #[cold]
    fn pass_over(&mut self, ordinal: u64) {
        self.undo_point();
        self.reject = None;
        if ordinal + 1 == self.passed_over.end {
            self.next_verdict += 1;
            self.passed_over = self.verdict.runs().get(self.next_verdict).cloned().unwrap_or(NEVER);
        }
        self.take_back(self.row_undo);
    }

    /// Drops the point in progress and remembers why.
    #[cold]
    fn drop_point(&mut self, ordinal: u64, time_ns: i64, expired: bool) {
        self.undo_point();
        self.dropped.push(ordinal);
        let table = &self.bucket.tables[self.table as usize];
        let reject = self.reject.take();
        if expired {
            let measurement = || table.name.clone();
            let expired = self.rejects.expired.get_or_insert_with(|| Expired {
                points: 0,
                oldest_ns: time_ns,
                newest_ns: time_ns,
                measurement: measurement(),
            });
            expired.points += 1;
            expired.newest_ns = expired.newest_ns.max(time_ns);
            if time_ns < expired.oldest_ns {
                expired.oldest_ns = time_ns;
                expired.measurement = measurement();
            }
        } else {
            let time_field = || SchemaReject::TimeField { measurement: table.name.clone() };
            self.rejects.schema.get_or_insert_with(|| reject.unwrap_or_else(time_field));
        }
        self.take_back(self.row_undo);
    }

    #[cold]
    fn no_room(&mut self) {
        let measurement = self.bucket.tables[self.table as usize].name.clone();
        let column = String::from_utf8_lossy(&self.new_field).into();
        self.reject.get_or_insert(SchemaReject::TooManyColumns { measurement, column });
    }

    #[cold]
    fn too_long(&mut self, bytes: usize) {
        let table = &self.bucket.tables[self.table as usize];
        let field = match self.target {
            Target::Field(slot) => table.fields[slot as usize].name.clone(),
            _ => String::from_utf8_lossy(&self.new_field).into(),
        };
        let measurement = table.name.clone();
        self.reject.get_or_insert(SchemaReject::TooLong { measurement, field, bytes });
    }
}

/// A field written twice in a point: the later value takes the place of the earlier.
#[cold]
fn pop_last(values: &mut Values) {
    match values {
        Values::Float(values) => drop(values.pop()),
        Values::Integer(values) => drop(values.pop()),
        Values::Unsigned(values) => drop(values.pop()),
        Values::Boolean(values) => drop(values.pop()),
        Values::String(values) => values.truncate(values.len() - 1),
    }
}

/// Unescapes a string into `buffer`, which is used again.
fn unescape_into<'a>(raw: &[u8], buffer: &'a mut Vec<u8>) -> &'a [u8] {
    buffer.clear();
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let next = rest.get(at + 1).copied();
        let escape = next.is_some_and(|next| STRING_ESCAPES.contains(&next));
        buffer.extend_from_slice(&rest[..at]);
        buffer.push(if escape { rest[at + 1] } else { b'\\' });
        rest = &rest[at + 1 + usize::from(escape)..];
    }
    buffer.extend_from_slice(rest);
    buffer
}
