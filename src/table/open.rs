//! The open tables of a shard.

use std::collections::HashMap;
use std::mem::size_of;
use std::sync::Arc;

use foldhash::quality::RandomState;

use super::NONE;
use super::column::Column;
use super::reject::COLUMNS_MAX;
use super::seal::{FieldColumn, Rows, Run, SealedTable, SeriesSet, TagPair};
use super::series::{Interner, KeyCache, SeriesIndex};
use crate::budget::{Budget, Consumer, Reservation};
use crate::catalog::{Catalog, FieldType, Table};
use crate::line::PADDING;

/// All open tables of one shard, by bucket.
#[derive(Debug)]
pub struct Tables {
    pub(super) buckets: HashMap<Box<str>, OpenBucket>,
    pub(super) hasher: RandomState,
    pub(super) memory: Reservation,
    budget: Arc<Budget>,
}

/// The open tables of one bucket, and the cache of series keys that lead to them.
#[derive(Debug, Default)]
pub struct OpenBucket {
    pub tables: Vec<OpenTable>,
    pub by_name: HashMap<Box<str>, u32>,
    pub cache: KeyCache,
    /// Bytes of the cache at the last commit.
    pub cache_bytes: usize,
}

#[derive(Debug)]
pub struct OpenTable {
    pub name: Box<str>,
    /// The catalog's table; `None` until its birth is committed.
    pub born: Option<Arc<Table>>,
    pub tags: Vec<TagSlot>,
    pub tag_by_name: HashMap<Box<str>, u32>,
    pub fields: Vec<FieldSlot>,
    pub field_by_name: HashMap<Box<str>, u32>,
    /// The first `tags_born` tags and `fields_born` fields are in the catalog; those behind are provisional.
    pub tags_born: usize,
    pub fields_born: usize,
    /// The field expected first in a line.
    pub first_field: u32,
    pub series: SeriesIndex,
    pub time: Vec<i64>,
    pub row_series: Vec<u32>,
    pub runs: Vec<Run>,
    /// Rows before the request in progress, or `NONE` if it has not met the table.
    pub mark: u32,
    /// Bytes at the last commit.
    pub bytes: usize,
}

#[derive(Debug)]
pub struct TagSlot {
    pub name: Box<str>,
    /// The catalog's number, once born.
    pub ordinal: u32,
    pub values: Interner,
}

#[derive(Debug)]
pub struct FieldSlot {
    pub name: Box<str>,
    /// The catalog's number, once born.
    pub ordinal: u32,
    pub kind: FieldType,
    /// The name as last written, `=`, and padding: what is compared in place.
    pub pattern: Vec<u8>,
    /// The field expected after this one.
    pub next: u32,
    /// The field that got a value before this one in the same row.
    pub previous: u32,
    pub column: Column,
}

impl FieldSlot {
    pub fn new(name: &str, ordinal: u32, kind: FieldType) -> Self {
        let mut slot = Self {
            name: name.into(),
            ordinal,
            kind,
            pattern: Vec::new(),
            next: NONE,
            previous: NONE,
            column: Column::new(kind),
        };
        slot.expect(name.as_bytes());
        slot
    }

    /// Expects the name to be written like this from now on.
    pub fn expect(&mut self, raw: &[u8]) {
        self.pattern.clear();
        self.pattern.extend_from_slice(raw);
        self.pattern.push(b'=');
        self.pattern.resize(raw.len() + 1 + PADDING, 0);
    }

    /// Length of the name as expected, with its `=`.
    #[inline(always)]
    pub fn pattern_len(&self) -> usize {
        self.pattern.len() - PADDING
    }
}

impl OpenTable {
    pub fn new(name: &str, born: Option<Arc<Table>>) -> Self {
        let mut table = Self {
            name: name.into(),
            born: None,
            tags: Vec::new(),
            tag_by_name: HashMap::new(),
            fields: Vec::new(),
            field_by_name: HashMap::new(),
            tags_born: 0,
            fields_born: 0,
            first_field: NONE,
            series: SeriesIndex::default(),
            time: Vec::new(),
            row_series: Vec::new(),
            runs: Vec::new(),
            mark: NONE,
            bytes: 0,
        };
        if let Some(born) = born {
            table.adopt(born);
        }
        table
    }

    /// Takes over the catalog's newest state of the table; nothing provisional may be left.
    pub fn adopt(&mut self, born: Arc<Table>) {
        for (ordinal, tag) in born.tags.iter().enumerate() {
            if !self.tag_by_name.contains_key(&tag.name) {
                self.add_tag(&tag.name, ordinal as u32);
            }
        }
        for (ordinal, field) in born.fields.iter().enumerate() {
            if !self.field_by_name.contains_key(&field.name) {
                self.add_field(FieldSlot::new(&field.name, ordinal as u32, field.kind));
            }
        }
        self.tags_born = self.tags.len();
        self.fields_born = self.fields.len();
        self.born = Some(born);
    }

    pub fn add_tag(&mut self, name: &str, ordinal: u32) -> u32 {
        let slot = self.tags.len() as u32;
        self.tags.push(TagSlot { name: name.into(), ordinal, values: Interner::default() });
        self.tag_by_name.insert(name.into(), slot);
        slot
    }

    pub fn add_field(&mut self, field: FieldSlot) -> u32 {
        let slot = self.fields.len() as u32;
        self.field_by_name.insert(field.name.clone(), slot);
        self.fields.push(field);
        slot
    }

    pub fn pop_tag(&mut self) {
        if let Some(tag) = self.tags.pop() {
            self.tag_by_name.remove(&tag.name);
        }
    }

    pub fn pop_field(&mut self) {
        if let Some(field) = self.fields.pop() {
            self.field_by_name.remove(&field.name);
        }
    }

    /// Whether no column can be added.
    pub fn is_full(&self) -> bool {
        self.tags.len() + self.fields.len() >= COLUMNS_MAX
    }

    pub fn is_provisional(&self) -> bool {
        self.born.is_none() || self.tags_born < self.tags.len() || self.fields_born < self.fields.len()
    }

    /// Takes back all rows from `row` on.
    pub fn truncate(&mut self, row: u32) {
        self.time.truncate(row as usize);
        self.row_series.truncate(row as usize);
        self.fields.iter_mut().for_each(|field| field.column.truncate(row));
    }

    /// Bytes on the heap, of what grows with data.
    pub fn count_bytes(&self) -> usize {
        let rows = self.time.capacity() * 8 + self.row_series.capacity() * 4 + self.runs.capacity() * size_of::<Run>();
        let fields: usize = self
            .fields
            .iter()
            .map(|field| {
                field.column.bytes() + field.pattern.capacity() + 2 * field.name.len() + size_of::<FieldSlot>()
            })
            .sum();
        let tags: usize = self.tags.iter().map(|tag| tag.values.bytes() + size_of::<TagSlot>()).sum();
        size_of::<Self>() + rows + fields + tags + self.series.bytes()
    }

    /// The table as the lake takes it; `None` without rows.
    fn seal(self, budget: &Arc<Budget>) -> Option<SealedTable> {
        let table = self.born?;
        if self.time.is_empty() {
            return None;
        }
        let mut memory = Reservation::new(budget, Consumer::SealedParts);
        memory.set(self.bytes);
        let mut fields: Vec<FieldColumn> = table.fields.iter().map(|field| empty_column(field.kind)).collect();
        for field in self.fields {
            fields[field.ordinal as usize] = field.column.seal();
        }
        let ordinals: Vec<u32> = self.tags.iter().map(|tag| tag.ordinal).collect();
        let mut values = Vec::new();
        values.resize_with(table.tags.len(), Default::default);
        for tag in self.tags {
            values[tag.ordinal as usize] = tag.values.into_strings();
        }
        let mut keys = SeriesSet { pairs: self.series.pairs, ends: self.series.ends, values };
        if ordinals.iter().enumerate().any(|(slot, ordinal)| slot as u32 != *ordinal) {
            renumber(&mut keys, &ordinals);
        }
        let rows = Rows { time: self.time, series: self.row_series, runs: self.runs, fields, keys };
        Some(SealedTable { table, rows, memory })
    }
}

fn empty_column(kind: FieldType) -> FieldColumn {
    Column::new(kind).seal()
}

/// From the shard's numbers of tags to the catalog's.
fn renumber(keys: &mut SeriesSet, ordinals: &[u32]) {
    let mut start = 0;
    for end in &keys.ends {
        let tags: &mut [TagPair] = &mut keys.pairs[start..*end as usize];
        tags.iter_mut().for_each(|pair| pair.tag = ordinals[pair.tag as usize]);
        tags.sort_unstable_by_key(|pair| pair.tag);
        start = *end as usize;
    }
}

impl OpenBucket {
    /// The open table of `measurement`, opened if the catalog knows it or not; `true` if it was opened now.
    pub fn open(&mut self, catalog: &Catalog, bucket: &str, measurement: &str) -> (u32, bool) {
        if let Some(table) = self.by_name.get(measurement) {
            return (*table, false);
        }
        let number = self.tables.len() as u32;
        self.tables.push(OpenTable::new(measurement, catalog.find(bucket, measurement)));
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
        }
    }

    /// Bytes reserved for the open tables.
    pub fn bytes(&self) -> usize {
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

    /// Moves all rows out; series caches start anew.
    pub fn seal(&mut self) -> Vec<SealedTable> {
        let buckets = std::mem::take(&mut self.buckets);
        let sealed = buckets
            .into_values()
            .flat_map(|bucket| bucket.tables)
            .filter_map(|table| table.seal(&self.budget))
            .collect();
        self.memory.set(0);
        sealed
    }
}
