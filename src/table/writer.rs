//! One request's way into the open tables.

use std::time::Duration;

use foldhash::quality::RandomState;

use super::NONE;
use super::open::{FieldSlot, OpenBucket, OpenTable, Tables};
use super::reject::{Expired, Rejects, SchemaReject};
use super::seal::{Run, TagPair, Values};
use super::series::SeriesAt;
use crate::budget::Reservation;
use crate::catalog::{Births, Catalog, FieldBirth, FieldType, TableBirth, Unborn};
use crate::line::grammar::STRING_BYTES_MAX;
use crate::line::{
    Key, MEASUREMENT_ESCAPES, Padded, STRING_ESCAPES, Sink, TAG_ESCAPES, Vector, equal_prefix, unescape,
};

/// What a bucket takes.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Points before this time are dropped.
    pub time_ns_min: Option<i64>,
    /// Retention of the bucket, should the request bring it into the world.
    pub retention: Option<Duration>,
}

/// What a commit has written.
#[derive(Debug, PartialEq, Eq)]
pub struct Committed {
    pub points: u64,
    pub rejects: Rejects,
}

/// Something to take back, in reverse order of doing.
#[derive(Clone, Copy, Debug)]
enum Undo {
    Table,
    Tag { table: u32 },
    Field { table: u32 },
    TagValue { table: u32, tag: u32 },
    Series { table: u32 },
    Key,
}

/// What the value to come is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Field(u32),
    /// A field that no one has met; its name is in `Writer::new_field`.
    NewField,
    /// The field `time`, which no point may have.
    Time,
}

/// Heap that a birth takes, roughly: struct, maps, names.
const TABLE_BIRTH_BYTES: usize = 1024;
const COLUMN_BIRTH_BYTES: usize = 512;
/// A series: its place in the indexes and in the cache of keys; and each of its tags: number, value, index of values.
const SERIES_BIRTH_BYTES: usize = 96;
const TAG_BYTES: usize = 32;
/// A request asks the budget for this much at once when its births outgrow what it has.
const GROW_BYTES: usize = 1 << 20;

/// Takes the points of one request for one bucket. Dropped without [`Writer::commit`], it takes everything back.
pub struct Writer<'a> {
    bucket: &'a mut OpenBucket,
    name: &'a str,
    catalog: &'a Catalog,
    hasher: &'a RandomState,
    memory: &'a mut Reservation,
    rules: Rules,

    /// What to take back if the request fails; behind `row_undo`, if the point does.
    undo: Vec<Undo>,
    row_undo: usize,
    /// Tables that the request has met.
    touched: Vec<u32>,

    table: u32,
    series: u32,
    row: u32,
    target: Target,
    new_field: Vec<u8>,
    /// The field before, for predictions.
    before: u32,
    /// The field written last in this row, head of the list through `FieldSlot::previous`.
    written: u32,
    reject: Option<SchemaReject>,
    time_field: bool,

    points: u64,
    rejects: Rejects,
    /// Bytes that the request has taken from the budget, and those of them that births may still use.
    granted: usize,
    allowance: usize,
    /// The budget has refused a birth.
    starved: bool,
    /// What the bucket's tables have grown by, once committed.
    gained: usize,
    scratch: Vec<TagPair>,
    unescaped: Vec<u8>,
}

impl Tables {
    /// A writer for a body of `body_bytes` (decompressed), or `None` if the budget has no room for what it may become.
    pub fn writer<'a>(
        &'a mut self,
        bucket: &'a str,
        catalog: &'a Catalog,
        rules: Rules,
        body_bytes: usize,
    ) -> Option<Writer<'a>> {
        // Usual lines become smaller than they were; the shortest ones (`m f=1`) grow a few times. The commit sets what it really is.
        let allowance = body_bytes.saturating_mul(2).saturating_add(GROW_BYTES);
        if !self.memory.try_grow(allowance) {
            return None;
        }
        if !self.buckets.contains_key(bucket) {
            self.buckets.insert(bucket.into(), OpenBucket::default());
        }
        Some(Writer {
            bucket: self.buckets.get_mut(bucket)?,
            name: bucket,
            catalog,
            hasher: &self.hasher,
            memory: &mut self.memory,
            rules,
            undo: Vec::new(),
            row_undo: 0,
            touched: Vec::new(),
            table: NONE,
            series: NONE,
            row: 0,
            target: Target::Time,
            new_field: Vec::new(),
            before: NONE,
            written: NONE,
            reject: None,
            time_field: false,
            points: 0,
            rejects: Rejects::default(),
            granted: allowance,
            allowance,
            starved: false,
            gained: 0,
            scratch: Vec::new(),
            unescaped: Vec::new(),
        })
    }
}

impl Writer<'_> {
    /// Makes the points visible, births first. `request` is the request's number: the later of two wins where they write one point.
    ///
    /// # Errors
    /// Another shard has given a field of this request another type meanwhile. Everything was taken back; read the body again.
    pub fn commit(mut self, request: u64) -> Result<Committed, Unborn> {
        if let Err(unborn) = self.bear() {
            self.roll_back_and_learn();
            return Err(unborn);
        }
        for table in std::mem::take(&mut self.touched) {
            let table = &mut self.bucket.tables[table as usize];
            let first_row = std::mem::replace(&mut table.mark, NONE);
            if first_row as usize == table.time.len() {
                continue;
            }
            table.runs.push(Run { first_row, request });
            let bytes = table.count_bytes();
            self.gained += bytes.saturating_sub(table.bytes);
            table.bytes = bytes;
        }
        let cache_before = std::mem::replace(&mut self.bucket.cache_bytes, self.bucket.cache.bytes());
        self.gained += self.bucket.cache_bytes.saturating_sub(cache_before);
        self.undo.clear();
        Ok(Committed { points: self.points, rejects: std::mem::take(&mut self.rejects) })
    }

    /// Brings provisional tables and columns into the catalog and takes over its numbers.
    fn bear(&mut self) -> Result<(), Unborn> {
        let provisional = |table: &&u32| self.bucket.tables[**table as usize].is_provisional();
        let tables: Vec<u32> = self.touched.iter().filter(provisional).copied().collect();
        if tables.is_empty() {
            return Ok(());
        }
        let births = Births {
            bucket: self.name,
            retention: self.rules.retention,
            tables: tables.iter().map(|table| births_of(&self.bucket.tables[*table as usize])).collect(),
        };
        let born = self.catalog.bear(&births)?;
        for (number, born) in tables.iter().zip(born) {
            let table = &mut self.bucket.tables[*number as usize];
            let (tags_born, fields_born) = (table.tags_born, table.fields_born);
            table.tags[tags_born..].iter_mut().zip(born.tags).for_each(|(tag, ordinal)| tag.ordinal = ordinal);
            table.fields[fields_born..]
                .iter_mut()
                .zip(born.fields)
                .for_each(|(field, ordinal)| field.ordinal = ordinal);
            table.adopt(born.table);
        }
        Ok(())
    }

    /// Takes everything back and reads the catalog's newest state of the tables whose births failed.
    fn roll_back_and_learn(&mut self) {
        let tables = self.touched.clone();
        self.roll_back();
        for number in tables {
            let Some(table) = self.bucket.tables.get_mut(number as usize) else { continue };
            if let Some(born) = &table.born {
                let newest = self.catalog.table(born.id);
                table.adopt(newest);
            }
        }
    }

    fn roll_back(&mut self) {
        for number in std::mem::take(&mut self.touched) {
            let table = &mut self.bucket.tables[number as usize];
            let mark = std::mem::replace(&mut table.mark, NONE);
            table.truncate(mark);
        }
        self.take_back(0);
    }

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
        if known.is_none() && table.is_full() {
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
                self.starved = true;
                return;
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
            Target::NewField if self.bucket.tables[self.table as usize].is_full() => {
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

    /// Drops the point in progress with everything that it bore.
    #[cold]
    fn drop_point(&mut self, time_ns: i64, expired: bool) {
        let table = &mut self.bucket.tables[self.table as usize];
        // The list may lead through a field twice (a name written twice in a point); what was undone is not there any more.
        while let Some(field) = table.fields.get_mut(self.written as usize) {
            if !field.column.has(self.row) {
                break;
            }
            field.column.truncate(self.row);
            self.written = field.previous;
        }
        self.rejects.dropped += 1;
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

    /// Takes back what was done since the undo list had `len` entries.
    fn take_back(&mut self, len: usize) {
        while self.undo.len() > len {
            match self.undo.pop() {
                Some(Undo::Table) => {
                    self.bucket.pop_table();
                    let tables = self.bucket.tables.len() as u32;
                    self.touched.retain(|table| *table < tables);
                }
                Some(Undo::Tag { table }) => self.bucket.tables[table as usize].pop_tag(),
                Some(Undo::Field { table }) => self.bucket.tables[table as usize].pop_field(),
                Some(Undo::TagValue { table, tag }) => {
                    self.bucket.tables[table as usize].tags[tag as usize].values.pop(self.hasher);
                }
                Some(Undo::Series { table }) => self.bucket.tables[table as usize].series.pop(self.hasher),
                Some(Undo::Key) => self.bucket.cache.pop(self.hasher),
                None => return,
            }
        }
    }
}

fn births_of(table: &OpenTable) -> TableBirth<'_> {
    let fields = &table.fields[table.fields_born..];
    TableBirth {
        measurement: &table.name,
        tags: table.tags[table.tags_born..].iter().map(|tag| &*tag.name).collect(),
        fields: fields.iter().map(|field| FieldBirth { name: &field.name, kind: field.kind }).collect(),
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
        if string.len() > STRING_BYTES_MAX && self.target != Target::Time {
            self.too_long(string.len());
        } else if let Some(Values::String(values)) = self.values(FieldType::String) {
            values.push(string);
        }
        self.unescaped = buffer;
    }

    #[inline(always)]
    fn point(&mut self, time_ns: i64) -> bool {
        let expired = self.rules.time_ns_min.is_some_and(|min| time_ns < min);
        if expired || self.reject.is_some() || self.written == NONE {
            self.drop_point(time_ns, expired);
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
    #[cold]
    fn no_room(&mut self) {
        let measurement = self.bucket.tables[self.table as usize].name.clone();
        let column = String::from_utf8_lossy(&self.new_field).into();
        self.reject.get_or_insert(SchemaReject::TooManyColumns { measurement, column });
    }

    /// Bytes that the request has taken from the budget so far.
    pub fn granted(&self) -> usize {
        self.granted
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

impl Drop for Writer<'_> {
    /// Takes back what was not committed, and gives back the memory that the request did not use.
    fn drop(&mut self) {
        self.roll_back();
        self.memory.set(self.memory.bytes() - self.granted + self.gained);
    }
}
