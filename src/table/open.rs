//! The open tables of a shard.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::mem::size_of;
use std::sync::Arc;

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use super::NONE;
use super::cache::KeyCache;
use super::chunks::{Integers, Lists};
use super::column::Column;
use super::interner::Interner;
use super::keep::Keeping;
use super::pattern::{Pattern, Recent, Surprises};
use super::seal::{FieldColumn, Rows, Run, SealedTable, SeriesSet, TagPair};
use super::series::SeriesIndex;
use super::stage::Stage;
use crate::budget::{Budget, Consumer, Reservation};
use crate::catalog::{COLUMNS_MAX, Catalog, FieldType, Table};

/// All open tables of one shard, by bucket.
#[derive(Debug)]
pub struct Tables {
    pub(super) buckets: HashMap<Box<str>, OpenBucket>,
    pub(super) hasher: RandomState,
    pub(super) memory: Reservation,
    pub(super) budget: Arc<Budget>,
    /// What the last seal has left.
    pub(super) kept: Reservation,
}

/// From names to places; keyed at random, as names come from outside.
type NameMap = hashbrown::HashMap<Box<str>, u32, RandomState>;

/// The open tables of one bucket, and the cache of series keys that lead to them.
#[derive(Debug, Default)]
pub struct OpenBucket {
    pub tables: Vec<OpenTable>,
    pub by_name: NameMap,
    pub cache: KeyCache,
    /// Bytes of the cache at the last commit.
    pub cache_bytes: usize,
    /// How well keeping series over seals has worked.
    pub keeping: Keeping,
    /// How often a table, a tag or a value of one was taken back: then their numbers may have changed their meaning.
    pub taken_back: u64,
    /// The table of the last series that was found by a twin.
    pub twin_table: u32,
}

#[derive(Debug)]
pub struct OpenTable {
    pub name: Box<str>,
    /// The catalog's table; `None` until its birth is committed.
    pub born: Option<Arc<Table>>,
    pub tags: Vec<TagSlot>,
    pub tag_by_name: NameMap,
    pub fields: Vec<FieldSlot>,
    pub field_by_name: HashTable<u32>,
    /// The first `tags_born` tags and `fields_born` fields are in the catalog; those behind are provisional.
    pub tags_born: usize,
    pub fields_born: usize,
    pub recent: Recent,
    pub surprises: Surprises,
    pub stage: Stage,
    /// The field expected first in a line.
    pub first_field: u32,
    pub series: SeriesIndex,
    /// So many of the series have outlived the last seal.
    pub series_kept: u32,
    pub twins: Twins,
    pub time: Integers,
    pub row_series: Integers,
    pub runs: Vec<Run>,
    /// Rows before the request in progress, or `NONE` if it has not met the table.
    pub mark: u32,
    /// Fields that the request in progress has given a value, some of them more than once: what its end has to look at.
    pub touched: Vec<u32>,
    /// Bytes of tags and fields without their values, and of the values at the last commit.
    slot_bytes: usize,
    value_bytes: usize,
    /// Bytes of the whole at the last commit.
    pub bytes: usize,
}

/// Which tags of a table are the same as those of another one, whose series have had the same tags as new ones here of late.
#[derive(Debug)]
pub struct Twins {
    /// The other table, and [`OpenBucket::taken_back`] when this was begun.
    pub table: u32,
    pub taken_back: u64,
    /// By the other's number, at most [`TWIN_TAGS_MAX`], as far as they have been looked up.
    pub tags: Vec<Option<TwinTag>>,
    /// Tags that came behind the other's of late: `,name=` as written, and our number.
    pub more: Vec<(Box<[u8]>, u32)>,
}

/// Tables of more tags have no twins, nor have keys: what is kept for twins stays small, and so does what is done again when it is lost.
pub const TWIN_TAGS_MAX: usize = 64;

#[derive(Clone, Copy, Debug)]
pub struct TwinTag {
    /// Our number of it.
    pub tag: u32,
    /// Its first so many values, at least, have the same numbers in both.
    pub alike: u32,
}

/// So many more values are compared when one is beyond those that are known to be alike: where they are, this comes to the end of them.
const ALIKE_STEPS: usize = 4;

impl TwinTag {
    /// Whether the other's value `number` has the same number here.
    #[inline(always)]
    pub fn is_alike(&mut self, theirs: &Interner, ours: &Interner, number: u32) -> bool {
        if number < self.alike {
            return true;
        }
        for _ in 0..ALIKE_STEPS {
            self.alike += u32::from(theirs.agrees(ours, self.alike));
        }
        number < self.alike || theirs.agrees(ours, number)
    }
}

/// More and longer tags behind the other's are not remembered.
const MORE_TAGS_MAX: usize = 8;
const MORE_NAME_MAX: usize = 64;

impl Twins {
    /// Nothing is known yet of this table.
    pub fn of(table: u32, tags: usize, taken_back: u64) -> Self {
        Self { table, taken_back, tags: vec![None; tags], more: Vec::new() }
    }

    /// Bytes on the heap.
    fn bytes(&self) -> usize {
        let more = MORE_TAGS_MAX * (size_of::<(Box<[u8]>, u32)>() + MORE_NAME_MAX);
        self.tags.capacity() * size_of::<Option<TwinTag>>() + if self.more.is_empty() { 0 } else { more }
    }

    /// The tag that came behind the other's and `place` more was written as `name`.
    pub fn remember(&mut self, place: usize, name: &[u8], tag: u32) {
        if place < MORE_TAGS_MAX && name.len() <= MORE_NAME_MAX {
            self.more.truncate(place);
            self.more.push((name.into(), tag));
        }
    }
}

impl Default for Twins {
    fn default() -> Self {
        Self { table: NONE, taken_back: 0, tags: Vec::new(), more: Vec::new() }
    }
}

/// What a name takes in the maps, and its allocation beside it.
const NAME_BYTES: usize = 64;

#[derive(Debug)]
pub struct TagSlot {
    pub name: Box<str>,
    /// The catalog's number, once born.
    pub ordinal: u32,
    pub values: Interner,
    /// Bytes of the values at the last commit.
    counted: usize,
}

impl TagSlot {
    fn bytes(&self) -> usize {
        size_of::<Self>() + 2 * self.name.len() + NAME_BYTES
    }
}

/// Aligned so that a number becomes an address by a shift.
#[derive(Debug)]
#[repr(align(64))]
pub struct FieldSlot {
    pub name: Box<str>,
    /// The catalog's number, once born.
    pub ordinal: u32,
    pub kind: FieldType,
    pub pattern: Pattern,
    /// Of the name by which it was looked up last. See `Recent`.
    pub hash: u32,
    /// The field expected after this one.
    pub next: u32,
    /// The field that got a value before this one in the same row.
    pub previous: u32,
    pub column: Column,
    /// Bytes of the column at the last commit.
    counted: usize,
}

impl FieldSlot {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.name.len() + NAME_BYTES
    }

    pub fn new(name: &str, ordinal: u32, kind: FieldType) -> Self {
        Self {
            name: name.into(),
            ordinal,
            kind,
            pattern: Pattern::default(),
            hash: 0,
            next: NONE,
            previous: NONE,
            column: Column::new(kind),
            counted: 0,
        }
    }
}

impl OpenTable {
    pub fn new(name: &str, born: Option<Arc<Table>>, hasher: &RandomState) -> Self {
        let mut table = Self {
            name: name.into(),
            born: None,
            tags: Vec::new(),
            tag_by_name: NameMap::default(),
            fields: Vec::new(),
            field_by_name: HashTable::new(),
            tags_born: 0,
            fields_born: 0,
            recent: Recent::default(),
            surprises: Surprises::default(),
            stage: Stage::default(),
            first_field: NONE,
            series: SeriesIndex::default(),
            series_kept: 0,
            twins: Twins::default(),
            time: Integers::default(),
            row_series: Integers::default(),
            runs: Vec::new(),
            mark: NONE,
            touched: Vec::new(),
            slot_bytes: 0,
            value_bytes: 0,
            bytes: 0,
        };
        if let Some(born) = born {
            table.adopt(born, hasher);
        }
        table
    }

    /// Takes over the catalog's newest state of the table; nothing provisional may be left.
    pub fn adopt(&mut self, born: Arc<Table>, hasher: &RandomState) {
        // What this table knew of the catalog before needs no look: it may have thousands of columns.
        let (tags, fields) = self.born.as_ref().map_or((0, 0), |known| (known.tags.len(), known.fields.len()));
        for (ordinal, tag) in (tags..).zip(born.tags.from(tags)) {
            if !self.tag_by_name.contains_key(&tag.name) {
                self.add_tag(&tag.name, ordinal as u32);
            }
        }
        for (ordinal, field) in (fields..).zip(born.fields.from(fields)) {
            if self.find_field(field.name.as_bytes(), hasher).is_none() {
                self.add_field(FieldSlot::new(&field.name, ordinal as u32, field.kind), hasher);
            }
        }
        self.tags_born = self.tags.len();
        self.fields_born = self.fields.len();
        self.born = Some(born);
    }

    pub fn add_tag(&mut self, name: &str, ordinal: u32) -> u32 {
        let slot = self.tags.len() as u32;
        self.tags.push(TagSlot { name: name.into(), ordinal, values: Interner::default(), counted: 0 });
        self.slot_bytes += self.tags[slot as usize].bytes();
        self.tag_by_name.insert(name.into(), slot);
        slot
    }

    /// The field of this name.
    #[inline(always)]
    pub fn find_field(&self, name: &[u8], hasher: &RandomState) -> Option<u32> {
        let found = |slot: &u32| self.fields[*slot as usize].name.as_bytes() == name;
        self.field_by_name.find(hasher.hash_one(name), found).copied()
    }

    pub fn add_field(&mut self, field: FieldSlot, hasher: &RandomState) -> u32 {
        let slot = self.fields.len() as u32;
        self.slot_bytes += field.bytes();
        self.fields.push(field);
        let hash = |slot: &u32| hasher.hash_one(self.fields[*slot as usize].name.as_bytes());
        self.field_by_name.insert_unique(hash(&slot), slot, hash);
        slot
    }

    pub fn pop_tag(&mut self) {
        if let Some(tag) = self.tags.pop() {
            self.slot_bytes -= tag.bytes();
            self.tag_by_name.remove(&tag.name);
        }
    }

    pub fn pop_field(&mut self, hasher: &RandomState) {
        let Some(field) = self.fields.pop() else { return };
        self.slot_bytes -= field.bytes();
        self.value_bytes -= field.counted;
        let slot = self.fields.len() as u32;
        self.stage.forget(slot);
        if let Ok(entry) = self.field_by_name.find_entry(hasher.hash_one(field.name.as_bytes()), |found| *found == slot)
        {
            entry.remove();
        }
    }

    /// Whether no column can be added.
    pub fn is_full(&self) -> bool {
        self.tags.len() + self.fields.len() >= COLUMNS_MAX
    }

    pub fn is_provisional(&self) -> bool {
        self.born.is_none() || self.tags_born < self.tags.len() || self.fields_born < self.fields.len()
    }

    /// Gives the rows that lie on the stage to their columns.
    pub fn deal(&mut self) {
        let first_row = self.time.len() - self.stage.rows();
        self.stage.deal(first_row as u32, &mut self.fields, self.mark, &mut self.touched);
    }

    /// Takes back all rows from `row` on, which the request in progress has written.
    pub fn truncate(&mut self, row: u32) {
        let dealt = self.time.len() - self.stage.rows();
        self.stage.truncate((row as usize).saturating_sub(dealt));
        self.time.truncate(row as usize);
        self.row_series.truncate(row as usize);
        for slot in &self.touched {
            if let Some(field) = self.fields.get_mut(*slot as usize) {
                field.column.truncate(row);
            }
        }
        // Rows of earlier requests may have been dealt meanwhile.
        self.recount_touched();
    }

    /// Counts the bytes of the fields anew that the request in progress has touched.
    fn recount_touched(&mut self) {
        for slot in self.touched.drain(..) {
            let Some(field) = self.fields.get_mut(slot as usize) else { continue };
            let bytes = field.column.bytes() + field.pattern.bytes();
            self.value_bytes = self.value_bytes - std::mem::replace(&mut field.counted, bytes) + bytes;
        }
    }

    /// Counts the bytes of a tag's values anew.
    pub fn recount_tag(&mut self, tag: u32) {
        let Some(tag) = self.tags.get_mut(tag as usize) else { return };
        let bytes = tag.values.bytes();
        self.value_bytes = self.value_bytes - std::mem::replace(&mut tag.counted, bytes) + bytes;
    }

    /// Bytes on the heap, of what grows with data. Looks at the fields that the request has touched, for a table may have many.
    pub fn count_bytes(&mut self) -> usize {
        self.recount_touched();
        let rows = self.time.bytes() + self.row_series.bytes() + self.runs.capacity() * size_of::<Run>();
        let keys = self.series.bytes() + self.recent.bytes() + self.stage.bytes() + self.twins.bytes();
        self.opened_bytes() + rows + self.value_bytes + keys
    }

    /// Bytes on the heap when it has no rows yet. Places for tables double when they do not suffice.
    pub fn opened_bytes(&self) -> usize {
        2 * size_of::<Self>() + 2 * self.name.len() + NAME_BYTES + self.slot_bytes
    }

    /// The rows as the lake takes them; `None` without rows. Afterwards the table has none; its series are shared with the sealed part.
    pub(super) fn seal(&mut self, budget: &Arc<Budget>) -> Option<SealedTable> {
        self.deal();
        let table = self.born.clone()?;
        if self.time.is_empty() {
            return None;
        }
        let mut memory = Reservation::new(budget, Consumer::SealedParts);
        memory.set(self.bytes);
        let mut fields: Vec<FieldColumn> = table.fields.iter().map(|field| empty_column(field.kind)).collect();
        for field in &mut self.fields {
            fields[field.ordinal as usize] = std::mem::replace(&mut field.column, Column::new(field.kind)).seal();
        }
        let (time, series) = (std::mem::take(&mut self.time), std::mem::take(&mut self.row_series));
        let rows = Rows { time, series, runs: std::mem::take(&mut self.runs), fields, keys: self.keys(&table) };
        Some(SealedTable { table, rows, memory })
    }

    /// The series, by the catalog's numbers.
    fn keys(&mut self, table: &Table) -> SeriesSet {
        let ordinals: Vec<u32> = self.tags.iter().map(|tag| tag.ordinal).collect();
        let mut values = Vec::new();
        values.resize_with(table.tags.len(), Default::default);
        for tag in &mut self.tags {
            values[tag.ordinal as usize] = tag.values.strings();
        }
        let mut tags = self.series.tags.share();
        if ordinals.iter().enumerate().any(|(slot, ordinal)| slot as u32 != *ordinal) {
            tags = Arc::new(renumbered(&tags, &ordinals));
        }
        SeriesSet { tags, values }
    }
}

fn empty_column(kind: FieldType) -> FieldColumn {
    Column::new(kind).seal()
}

/// From the shard's numbers of tags to the catalog's.
fn renumbered(tags: &Lists<TagPair>, ordinals: &[u32]) -> Lists<TagPair> {
    let mut renumbered = Lists::default();
    let mut series = Vec::new();
    for tags in tags.iter() {
        series.clear();
        series.extend(tags.iter().map(|pair| TagPair { tag: ordinals[pair.tag as usize], ..*pair }));
        series.sort_unstable_by_key(|pair| pair.tag);
        renumbered.push(&series);
    }
    renumbered
}

impl OpenBucket {
    /// The open table of `measurement`, opened if the catalog knows it or not; `true` if it was opened now.
    pub fn open(&mut self, catalog: &Catalog, bucket: &str, measurement: &str, hasher: &RandomState) -> (u32, bool) {
        if let Some(table) = self.by_name.get(measurement) {
            return (*table, false);
        }
        let number = self.tables.len() as u32;
        self.tables.push(OpenTable::new(measurement, catalog.find(bucket, measurement), hasher));
        self.by_name.insert(measurement.into(), number);
        (number, true)
    }

    pub fn pop_table(&mut self) {
        if let Some(table) = self.tables.pop() {
            self.by_name.remove(&table.name);
        }
    }
}

impl Tables {
    pub fn new(budget: &Arc<Budget>) -> Self {
        Self {
            buckets: HashMap::new(),
            hasher: RandomState::default(),
            memory: Reservation::new(budget, Consumer::OpenTables),
            budget: Arc::clone(budget),
            kept: Reservation::new(budget, Consumer::KeptSeries),
        }
    }

    /// Bytes reserved for the open tables, and for what they have kept over the last seal.
    pub fn bytes(&self) -> usize {
        self.memory.bytes() + self.kept.bytes()
    }

    /// Bytes by which the open tables have grown since the last seal.
    pub fn grown_bytes(&self) -> usize {
        self.memory.bytes()
    }

    pub fn is_empty(&self) -> bool {
        self.buckets.values().all(|bucket| bucket.tables.iter().all(|table| table.time.is_empty()))
    }

    /// Forgets a bucket that a refused request left without tables: names that are only tried must not pile up.
    pub fn forget_if_empty(&mut self, bucket: &str) {
        if self.buckets.get(bucket).is_some_and(|open| open.tables.is_empty()) {
            self.buckets.remove(bucket);
        }
    }
}
