//! One request's way into the open tables: its beginning, and its end by commit or roll-back. What happens point by point is in `sink`.

mod row;
mod sink;
mod twin;

use std::ops::Range;
use std::time::Duration;

use foldhash::quality::RandomState;

use super::NONE;
use super::interner::{FEW_BYTES, Interner};
use super::open::{OpenBucket, OpenTable, Tables};
use super::reject::{LISTED_MAX, Ordinals, Rejects, SchemaReject};
use super::seal::{Run, TagPair};
use crate::budget::{Budget, Consumer, Reservation};
use crate::catalog::{Births, Catalog, FieldBirth, TableBirth, Unborn};
use crate::line::echo;

/// What a bucket takes.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Points before this time are dropped.
    pub time_ns_min: Option<i64>,
    /// Retention of the bucket, should the request bring it into the world.
    pub retention: Option<Duration>,
}

/// Where a commit leaves its traces, in this order.
pub trait Journal {
    /// New columns: a record for the log, and the number of all births so far. Nobody else sees them yet.
    fn births(&mut self, record: &[u8], births: u64);

    /// The request itself. Returns its number: the later of two requests wins where they write one point.
    fn request(&mut self) -> u64;
}

/// A request without a log, by its number.
#[derive(Clone, Copy, Debug)]
pub struct Unlogged(pub u64);

impl Journal for Unlogged {
    fn births(&mut self, _: &[u8], _: u64) {}

    fn request(&mut self) -> u64 {
        self.0
    }
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

/// Heap that a birth takes here and in the catalog, roughly: structs, maps, records; and how often its name is kept, while it is being born too.
const TABLE_BIRTH_BYTES: usize = 3072;
const COLUMN_BIRTH_BYTES: usize = 1024;
const BIRTH_NAMES: usize = 10;
/// About that part of it is the catalog's, for ever.
const CATALOG_PART: usize = 4;
/// A series: its place in the indexes and in the cache of keys; and each of its tags: number, value, index of values.
const SERIES_BIRTH_BYTES: usize = 96;
const TAG_BYTES: usize = 32;
/// A run of points that never comes.
const NEVER: Range<u64> = u64::MAX..u64::MAX;
/// A request asks the budget for this much at once when its births outgrow what it has.
const GROW_BYTES: usize = 1 << 20;

/// Takes the points of one request for one bucket. Dropped without [`Writer::commit`], it takes everything back.
pub struct Writer<'a> {
    bucket: &'a mut OpenBucket,
    name: &'a str,
    catalog: &'a Catalog,
    hasher: &'a RandomState,
    /// Tables that the request has met.
    touched: Vec<u32>,
    /// What the bucket's tables have grown by, once committed.
    gained: usize,
    /// Tables and tags by the numbers of the body's names.
    names: Vec<u32>,
    /// What the shapes of the body's keys stand for.
    shapes: Vec<Shape>,
    /// The tags of the key in progress, and the hashes of its values that are to be looked up, with their places in it.
    pairs: Vec<TagPair>,
    lookups: Vec<(usize, u32)>,
    /// Where the values stand that a key has beside those of its twin.
    values: Vec<Range<usize>>,
    /// Hashes of keys of new series, for the bucket's sample of them.
    sampled: Vec<u32>,
    request: Request<'a>,
}

/// What a request's points have in common, beside the tables that they go to.
struct Request<'a> {
    rules: Rules,
    memory: &'a mut Reservation,
    /// What to take back if the request fails; behind `row_undo`, if the point does.
    undo: Vec<Undo>,
    row_undo: usize,
    /// The name of a field that no one has met, and as it was written.
    new_field: Vec<u8>,
    new_field_written: Vec<u8>,
    /// Why the point in progress cannot be written.
    reject: Option<SchemaReject>,
    points: u64,
    rejects: Rejects,
    /// Most of them that are listed.
    listed_max: usize,
    dropped: Ordinals,
    /// A verdict that was given before: these points are passed over, and no other is judged by it.
    verdict: Ordinals,
    /// The run of it that comes next, and its number.
    passed_over: Range<u64>,
    next_verdict: usize,
    /// Limits (columns of a table, bytes of a string) are applied.
    judges: bool,
    /// Memory is taken over the limit.
    by_force: bool,
    /// Bytes that the request has taken from the budget, those of them that births may still use, and those that births of the point in progress
    /// have used.
    granted: usize,
    allowance: usize,
    paid_by_row: Paid,
    /// Bytes of names that the catalog may still take.
    names_room: usize,
    /// The budget has refused a birth.
    starved: bool,
    unescaped: Vec<u8>,
}

/// A table, and its tags in the order in which a key wrote them.
#[derive(Default)]
struct Shape {
    table: u32,
    /// Each with its place in ascending order.
    tags: Vec<(u32, u32)>,
    is_learnt: bool,
}

/// What births have used: of the request's memory, and of the room for names.
#[derive(Clone, Copy, Default)]
struct Paid {
    bytes: usize,
    names: usize,
}

impl Request<'_> {
    /// Takes memory for something new with a name. If the catalog has no room for that name, the point in progress is refused.
    fn pay_name(&mut self, bytes: usize, measurement: &str, name: &str) {
        self.pay(bytes + BIRTH_NAMES * name.len());
        let named = bytes / CATALOG_PART + BIRTH_NAMES / 2 * name.len();
        self.paid_by_row.names += named;
        match self.names_room.checked_sub(named) {
            Some(room) => self.names_room = room,
            None => {
                self.paid_by_row.names -= named;
                let (measurement, name) = (measurement.into(), echo(name.as_bytes()).into());
                self.reject.get_or_insert(SchemaReject::TooManyNames { measurement, name });
            }
        }
    }

    /// Takes memory for a series that may be new.
    #[inline(always)]
    fn pay_series(&mut self, key_bytes: usize, tags: usize) {
        self.pay(SERIES_BIRTH_BYTES + 2 * key_bytes + tags * TAG_BYTES);
    }

    /// Gives a pair of table `number` its value; returns whether that is new.
    fn intern_value(
        &mut self,
        table: &mut OpenTable,
        number: u32,
        pair: &mut TagPair,
        value: &[u8],
        hasher: &RandomState,
    ) -> bool {
        let values = &mut table.tags[pair.tag as usize].values;
        let is_new;
        (pair.value, is_new) = values.intern(value, hasher);
        if is_new {
            self.bear_value(number, pair.tag, values);
        }
        is_new
    }

    /// A value of a tag has come into the world.
    #[inline(always)]
    fn bear_value(&mut self, table: u32, tag: u32, values: &Interner) {
        self.undo.push(Undo::TagValue { table, tag });
        if values.has_few() {
            self.pay(FEW_BYTES);
        }
    }

    /// Gives back what the births of the point in progress have used, but for `kept` bytes.
    fn refund(&mut self, kept: usize) {
        let Paid { bytes, names } = std::mem::take(&mut self.paid_by_row);
        self.allowance += bytes.saturating_sub(kept);
        self.names_room += names;
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
        self.paid_by_row.bytes += bytes;
    }
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
        let allowance = allowance(body_bytes);
        if self.memory.try_grow(allowance) { self.open(bucket, catalog, rules, allowance) } else { None }
    }

    /// As [`Self::writer`], for when nobody is left who could give memory back: takes it over the limit.
    pub fn writer_by_force<'a>(
        &'a mut self,
        bucket: &'a str,
        catalog: &'a Catalog,
        rules: Rules,
        body_bytes: usize,
    ) -> Option<Writer<'a>> {
        let allowance = allowance(body_bytes);
        self.memory.set(self.memory.bytes() + allowance);
        let mut writer = self.open(bucket, catalog, rules, allowance)?;
        writer.request.by_force = true;
        Some(writer)
    }

    /// A writer for a request that has got its verdict before: the points `dropped` are passed over, and no rule or limit is applied.
    /// `retention`: of a bucket that nothing but a damaged log has left unborn. `by_force`: takes memory over the limit, for when nobody is left
    /// who could give some back.
    pub fn replayer<'a>(
        &'a mut self,
        bucket: &'a str,
        catalog: &'a Catalog,
        dropped: Ordinals,
        retention: Option<Duration>,
        body_bytes: usize,
        by_force: bool,
    ) -> Option<Writer<'a>> {
        let allowance = allowance(body_bytes);
        if !self.memory.try_grow(allowance) {
            if !by_force {
                return None;
            }
            self.memory.set(self.memory.bytes() + allowance);
        }
        let mut writer = self.open(bucket, catalog, Rules { time_ns_min: None, retention }, allowance)?;
        let request = &mut writer.request;
        request.judges = false;
        request.names_room = usize::MAX;
        request.by_force = by_force;
        request.passed_over = dropped.runs().first().cloned().unwrap_or(NEVER);
        request.verdict = dropped;
        Some(writer)
    }

    /// A writer that has been granted `allowance`.
    fn open<'a>(
        &'a mut self,
        bucket: &'a str,
        catalog: &'a Catalog,
        rules: Rules,
        allowance: usize,
    ) -> Option<Writer<'a>> {
        if !self.buckets.contains_key(bucket) {
            self.buckets.insert(bucket.into(), OpenBucket::default());
        }
        let request = Request {
            rules,
            memory: &mut self.memory,
            undo: Vec::new(),
            row_undo: 0,
            new_field: Vec::new(),
            new_field_written: Vec::new(),
            reject: None,
            points: 0,
            rejects: Rejects::default(),
            listed_max: LISTED_MAX,
            dropped: Ordinals::default(),
            verdict: Ordinals::default(),
            passed_over: NEVER,
            next_verdict: 0,
            judges: true,
            by_force: false,
            granted: allowance,
            allowance,
            paid_by_row: Paid::default(),
            names_room: names_bytes_max(&self.budget).saturating_sub(self.budget.held_by(Consumer::Catalog)),
            starved: false,
            unescaped: Vec::new(),
        };
        Some(Writer {
            bucket: self.buckets.get_mut(bucket)?,
            name: bucket,
            catalog,
            hasher: &self.hasher,
            touched: Vec::new(),
            gained: 0,
            names: Vec::new(),
            shapes: Vec::new(),
            pairs: Vec::new(),
            lookups: Vec::new(),
            values: Vec::new(),
            sampled: Vec::new(),
            request,
        })
    }
}

/// Most bytes that names may take in the catalog: rows, of known names too, need the rest.
pub fn names_bytes_max(budget: &Budget) -> usize {
    budget.bytes_max() / 4
}

/// Memory that a body is granted. Usual lines become smaller than they were; the shortest ones (`m f=1`) grow a few times. The commit sets
/// what it really is.
fn allowance(body_bytes: usize) -> usize {
    body_bytes.saturating_mul(2).saturating_add(GROW_BYTES)
}

impl Writer<'_> {
    /// Makes the points visible: births first, then the request.
    ///
    /// # Errors
    /// Another shard has given a field of this request another type meanwhile. Everything was taken back; read the body again.
    pub fn commit(mut self, journal: &mut impl Journal) -> Result<Committed, Unborn> {
        if let Err(unborn) = self.bear(journal) {
            self.roll_back_and_learn();
            return Err(unborn);
        }
        let request = journal.request();
        for undo in &self.request.undo {
            if let Undo::TagValue { table, tag } = undo {
                self.bucket.tables[*table as usize].recount_tag(*tag);
            }
        }
        for table in std::mem::take(&mut self.touched) {
            let table = &mut self.bucket.tables[table as usize];
            let first_row = std::mem::replace(&mut table.mark, NONE);
            if (first_row as usize) < table.time.len() {
                table.runs.push(Run { first_row, request });
            }
            let bytes = table.count_bytes();
            self.gained += bytes.saturating_sub(table.bytes);
            table.bytes = bytes;
        }
        let cache_before = std::mem::replace(&mut self.bucket.cache_bytes, self.bucket.cache.bytes());
        self.gained += self.bucket.cache_bytes.saturating_sub(cache_before);
        // A body that finds no room in the log is read again: only now its series are there.
        self.sampled.drain(..).for_each(|hash| self.bucket.keeping.sample.born(hash));
        self.request.undo.clear();
        Ok(Committed { points: self.request.points, rejects: std::mem::take(&mut self.request.rejects) })
    }

    /// Most bytes of the record of births that a commit would queue; 0 if it brings none.
    pub fn births_bytes_max(&self) -> usize {
        let tables = self.provisional();
        if tables.is_empty() { 0 } else { self.births(&tables).record_bytes_max() }
    }

    /// Tables of the request that are not born, or have columns that are not.
    fn provisional(&self) -> Vec<u32> {
        let provisional = |table: &&u32| self.bucket.tables[**table as usize].is_provisional();
        self.touched.iter().filter(provisional).copied().collect()
    }

    fn births(&self, tables: &[u32]) -> Births<'_> {
        Births {
            bucket: self.name,
            retention: self.request.rules.retention,
            tables: tables.iter().map(|table| births_of(&self.bucket.tables[*table as usize])).collect(),
        }
    }

    /// Brings provisional tables and columns into the catalog and takes over its numbers.
    fn bear(&mut self, journal: &mut impl Journal) -> Result<(), Unborn> {
        let tables = self.provisional();
        if tables.is_empty() {
            return Ok(());
        }
        let born = self.catalog.bear(&self.births(&tables), |record, births| journal.births(record, births))?;
        for (number, born) in tables.iter().zip(born) {
            let table = &mut self.bucket.tables[*number as usize];
            let (tags_born, fields_born) = (table.tags_born, table.fields_born);
            table.tags[tags_born..].iter_mut().zip(born.tags).for_each(|(tag, ordinal)| tag.ordinal = ordinal);
            table.fields[fields_born..]
                .iter_mut()
                .zip(born.fields)
                .for_each(|(field, ordinal)| field.ordinal = ordinal);
            table.adopt(born.table, self.hasher);
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
                table.adopt(newest, self.hasher);
            }
        }
    }

    fn roll_back(&mut self) {
        for number in std::mem::take(&mut self.touched) {
            let table = &mut self.bucket.tables[number as usize];
            let mark = std::mem::replace(&mut table.mark, NONE);
            table.truncate(mark);
        }
        self.take_back_to(0);
    }

    /// Lists up to `points` refused points, in place of [`LISTED_MAX`].
    pub fn list(&mut self, points: usize) {
        self.request.listed_max = points;
    }

    /// The points that were dropped so far.
    pub fn dropped(&self) -> &Ordinals {
        &self.request.dropped
    }

    /// What is to be said of them.
    pub fn rejects(&self) -> &Rejects {
        &self.request.rejects
    }

    /// Points so far, dropped ones too.
    pub fn points(&self) -> u64 {
        self.request.points + self.request.rejects.dropped
    }

    /// Bytes that the request has taken from the budget so far.
    pub fn granted(&self) -> usize {
        self.request.granted
    }

    /// Takes back what was done since the undo list had `len` entries.
    fn take_back_to(&mut self, len: usize) {
        while self.request.undo.len() > len {
            let undo = self.request.undo.pop();
            let renumbers = matches!(undo, Some(Undo::Table | Undo::Tag { .. } | Undo::TagValue { .. }));
            self.bucket.taken_back += u64::from(renumbers);
            match undo {
                Some(Undo::Table) => {
                    self.bucket.pop_table();
                    // The newest table was touched last, if at all.
                    let popped = self.bucket.tables.len() as u32;
                    self.touched.pop_if(|table| *table == popped);
                    self.names.clear();
                    self.shapes.clear();
                }
                Some(Undo::Tag { table }) => {
                    self.bucket.tables[table as usize].pop_tag();
                    self.names.clear();
                    self.shapes.clear();
                }
                Some(Undo::Field { table }) => self.bucket.tables[table as usize].pop_field(self.hasher),
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

impl Drop for Writer<'_> {
    /// Takes back what was not committed, and gives back the memory that the request did not use.
    fn drop(&mut self) {
        self.roll_back();
        let memory = &mut *self.request.memory;
        memory.set(memory.bytes() - self.request.granted + self.gained);
    }
}
