//! The catalog in memory, and how columns are born.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::births::Entry as Birth;
use super::names::parquet_name;
pub use super::persist::CatalogError;
use super::persist::{self, Log, Record};
use super::{Bucket, COLUMNS_MAX, Column, Columns, FieldType, Table};
use crate::budget::{Budget, Consumer, Reservation};

/// What a request wants to bring into the world, all of it or nothing.
#[derive(Debug)]
pub struct Births<'a> {
    pub bucket: &'a str,
    /// Retention of the bucket, if it is born now.
    pub retention: Option<Duration>,
    pub tables: Vec<TableBirth<'a>>,
}

/// A table, new or known, and its columns that are to be born. Names are unescaped and distinct within each list.
#[derive(Debug)]
pub struct TableBirth<'a> {
    pub measurement: &'a str,
    pub tags: Vec<&'a str>,
    pub fields: Vec<FieldBirth<'a>>,
}

#[derive(Clone, Copy, Debug)]
pub struct FieldBirth<'a> {
    pub name: &'a str,
    pub kind: FieldType,
}

/// A table after the births, with the ordinals of the columns asked for (in the order of asking).
#[derive(Debug)]
pub struct Born {
    pub table: Arc<Table>,
    pub tags: Vec<u32>,
    pub fields: Vec<u32>,
}

/// Nothing was born: a field has meanwhile got another type, or a table as many columns as it may have. The request is to be read again against the catalog as it is now.
#[derive(Debug, PartialEq, Eq)]
pub struct Unborn;

/// Births of the log that do not fit the catalog.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BirthDamage {
    #[error("is no list of births")]
    Unreadable,
    #[error("brings the column {column:?} of {measurement:?}, of which the catalog knows something else")]
    Differs { measurement: String, column: String },
    #[error("brings the column {column:?} of {measurement:?}, but columns that were born before it are missing")]
    Gap { measurement: String, column: String },
}

/// What of the catalog is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Of the file; 0 if there is none.
    pub bytes: u64,
    /// So many births, counted since the catalog began.
    pub births: u64,
}

/// All buckets, tables and columns of the node.
#[derive(Debug)]
pub struct Catalog {
    known: Mutex<Known>,
    /// `None` if the catalog is kept in memory only.
    log: Option<Mutex<Log>>,
}

#[derive(Debug, Default)]
struct Known {
    buckets: Vec<Arc<Bucket>>,
    bucket_ids: HashMap<Box<str>, u32>,
    tables: Vec<Entry>,
    table_ids: HashMap<u32, HashMap<Box<str>, u32>>,
    /// Born since the catalog began.
    births: u64,
    /// Born and not yet durable.
    unsaved: Vec<Record>,
    /// Heap that all of it takes, roughly, without the records; that of the records; and the share of the budget that is kept as large, if one is.
    bytes: usize,
    unsaved_bytes: usize,
    memory: Option<Reservation>,
}

/// A table with the indexes that births need.
#[derive(Debug)]
struct Entry {
    table: Arc<Table>,
    tags: HashMap<Box<str>, u32>,
    fields: HashMap<Box<str>, u32>,
    /// Lower-case Parquet names in use.
    parquet_names: HashSet<String>,
}

/// Heap of a table or bucket (structs, maps with room for the first columns, places in the maps of names), of a column (itself, places in the maps
/// of names and of Parquet's names), and of a record until it is saved: each beside its name, which is kept so many times.
const TABLE_BYTES: usize = 560;
const COLUMN_BYTES: usize = 200;
const RECORD_BYTES: usize = 64;
const NAMES: usize = 4;
const RECORD_NAMES: usize = 2;

impl Catalog {
    /// Reads `dir/catalog`, or creates it. `bytes_min`: how much of it was durable when something last came to rely on it
    /// (`save`); 0 if nothing does.
    ///
    /// # Errors
    /// The file cannot be read or created, is damaged or shorter than `bytes_min`, or is of another version.
    pub fn open(dir: &Path, bytes_min: u64) -> Result<Self, CatalogError> {
        let (log, records) = Log::open(dir, bytes_min)?;
        let mut known = Known::default();
        for record in records {
            known.apply(record).ok_or_else(|| CatalogError::Damaged { path: dir.join("catalog"), offset: 0 })?;
        }
        Ok(Self { known: Mutex::new(known), log: Some(Mutex::new(log)) })
    }

    /// What `dir/catalog` holds, without changing the file, if there is one: what is born from here on stays in memory.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or is of another version.
    pub fn read(dir: &Path) -> Result<Self, CatalogError> {
        let mut known = Known::default();
        for record in persist::read(dir)? {
            known.apply(record).ok_or_else(|| CatalogError::Damaged { path: dir.join("catalog"), offset: 0 })?;
        }
        Ok(Self { known: Mutex::new(known), log: None })
    }

    /// A catalog without a file: it lives as long as its process needs it.
    pub fn in_memory() -> Self {
        Self { known: Mutex::default(), log: None }
    }

    /// Counts what the catalog holds, now and later, in `budget`: over its limit too, as births have taken place.
    pub fn count_in(&self, budget: &Arc<Budget>) {
        let mut known = self.known();
        known.memory = Some(Reservation::new(budget, Consumer::Catalog));
        known.recount();
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // A panic aborts the process; a poisoned lock is never seen.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn bucket(&self, name: &str) -> Option<Arc<Bucket>> {
        let known = self.known();
        known.bucket_ids.get(name).map(|id| Arc::clone(&known.buckets[*id as usize]))
    }

    /// All buckets, in the order of their birth.
    pub fn buckets(&self) -> Vec<Arc<Bucket>> {
        self.known().buckets.clone()
    }

    /// Heap that a bucket of this name takes, roughly.
    pub fn bucket_bytes(name: &str) -> usize {
        TABLE_BYTES + NAMES * name.len()
    }

    /// The table of a measurement, with all columns born so far.
    pub fn find(&self, bucket: &str, measurement: &str) -> Option<Arc<Table>> {
        let known = self.known();
        let bucket = known.bucket_ids.get(bucket)?;
        let table = known.table_ids.get(bucket)?.get(measurement)?;
        Some(Arc::clone(&known.tables[*table as usize].table))
    }

    /// The table with this id, with all columns born so far. Ids come from tables, so the table exists.
    pub fn table(&self, id: u32) -> Arc<Table> {
        Arc::clone(&self.known().tables[id as usize].table)
    }

    /// Brings `births` into the world. What exists already is adopted. What is new goes to `queue` as a record for the log, with the number
    /// of all births so far, before anybody else can see it: whoever comes to rely on it stands behind it in the log.
    ///
    /// # Errors
    /// A field exists with another type, or a table would have more than [`COLUMNS_MAX`] columns; nothing is born then.
    pub fn bear(&self, births: &Births<'_>, queue: impl FnOnce(&[u8], u64)) -> Result<Vec<Born>, Unborn> {
        let mut known = self.known();
        if births.tables.iter().any(|birth| known.conflicts(births.bucket, birth)) {
            return Err(Unborn);
        }
        let before = known.unsaved.len();
        let bucket = known.bear_bucket(births.bucket, births.retention);
        let born = births.tables.iter().map(|birth| known.bear_table(bucket, birth)).collect();
        if known.unsaved.len() > before {
            let mut record = Vec::new();
            known.describe(bucket, before).iter().for_each(|birth| birth.encode(&mut record));
            queue(&record, known.births);
        }
        if self.log.is_none() {
            known.forget_unsaved();
        }
        known.recount();
        Ok(born)
    }

    /// Brings these buckets into the world, each with its retention unless it exists, all of them or none. Their record goes to `queue` also
    /// where they exist, under the lock as in [`Self::bear`]: whoever says that a bucket exists, too, stands behind a birth of it in the log. A
    /// replay adopts what it knows.
    pub fn declare_buckets(&self, buckets: &[(&str, Option<Duration>)], queue: impl FnOnce(&[u8], u64)) {
        let mut known = self.known();
        let mut record = Vec::new();
        for (name, retention) in buckets {
            let id = known.bear_bucket(name, *retention);
            let bucket = &known.buckets[id as usize];
            Birth::Bucket { name: bucket.name.clone(), retention: bucket.retention }.encode(&mut record);
        }
        queue(&record, known.births);
        if self.log.is_none() {
            known.forget_unsaved();
        }
        known.recount();
    }

    /// Brings the births of a record of the log into the world, those that are not there yet. `strict`: refuses a column whose predecessors are missing,
    /// which only a damaged log can bring.
    ///
    /// # Errors
    /// The record does not fit what is known; births before the one that does not fit have taken place.
    pub fn replay(&self, mut record: &[u8], strict: bool) -> Result<(), BirthDamage> {
        let mut known = self.known();
        let (mut bucket, mut table) = (None, None);
        while !record.is_empty() {
            match Birth::decode(&mut record).ok_or(BirthDamage::Unreadable)? {
                Birth::Bucket { name, retention } => bucket = Some(known.bear_bucket(&name, retention)),
                Birth::Table { name } => {
                    let birth = TableBirth { measurement: &name, tags: Vec::new(), fields: Vec::new() };
                    table = Some(known.bear_table(bucket.ok_or(BirthDamage::Unreadable)?, &birth).table.id);
                }
                column => known.replay_column(table.ok_or(BirthDamage::Unreadable)?, column, strict)?,
            }
        }
        known.recount();
        Ok(())
    }

    /// All births so far, durable or not, since the catalog began.
    pub fn births(&self) -> u64 {
        self.known().births
    }

    /// Makes all births so far durable; without a file there is nothing to do.
    ///
    /// # Errors
    /// The write or the sync failed; after a failed sync every later call fails too.
    pub fn save(&self) -> io::Result<Saved> {
        let Some(log) = &self.log else { return Ok(Saved { bytes: 0, births: self.births() }) };
        // Held over the write: a second caller must not return before the records that it relies on are durable.
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        let (unsaved, births) = {
            let mut known = self.known();
            (std::mem::take(&mut known.unsaved), known.births)
        };
        if unsaved.is_empty() {
            return Ok(Saved { bytes: log.len(), births });
        }
        if let Err(error) = log.append(&unsaved) {
            let mut known = self.known();
            let later = std::mem::replace(&mut known.unsaved, unsaved);
            known.unsaved.extend(later);
            return Err(error);
        }
        let mut known = self.known();
        known.unsaved_bytes = known.unsaved.iter().map(record_bytes).sum();
        known.recount();
        Ok(Saved { bytes: log.len(), births })
    }
}

fn record_bytes(record: &Record) -> usize {
    let (Record::Bucket { name, .. }
    | Record::Table { name, .. }
    | Record::Tag { name, .. }
    | Record::Field { name, .. }) = record;
    RECORD_BYTES + RECORD_NAMES * name.len()
}

impl Known {
    fn forget_unsaved(&mut self) {
        self.unsaved.clear();
        self.unsaved_bytes = 0;
    }

    /// Whether a field has another type, or the table would have more columns than it may.
    fn conflicts(&self, bucket: &str, birth: &TableBirth<'_>) -> bool {
        let table = self
            .bucket_ids
            .get(bucket)
            .and_then(|bucket| self.table_ids.get(bucket))
            .and_then(|tables| tables.get(birth.measurement));
        let Some(table) = table else { return false };
        let entry = &self.tables[*table as usize];
        let has_other_type = birth.fields.iter().any(|field| {
            let known = entry.fields.get(field.name).map(|ordinal| entry.table.fields[*ordinal as usize].kind);
            known.is_some_and(|kind| kind != field.kind)
        });
        has_other_type || entry.would_be_too_wide(birth)
    }

    fn bear_bucket(&mut self, name: &str, retention: Option<Duration>) -> u32 {
        if let Some(id) = self.bucket_ids.get(name) {
            return *id;
        }
        let retention_ns = retention.map(|duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
        self.record(Record::Bucket { name: name.into(), retention_ns });
        self.buckets.len() as u32 - 1
    }

    fn bear_table(&mut self, bucket: u32, birth: &TableBirth<'_>) -> Born {
        let known = self.table_ids.get(&bucket).and_then(|tables| tables.get(birth.measurement)).copied();
        let id = known.unwrap_or_else(|| {
            self.record(Record::Table { bucket, name: birth.measurement.into() });
            self.tables.len() as u32 - 1
        });
        let tags = birth.tags.iter().map(|name| self.bear_tag(id, name)).collect();
        let fields = birth.fields.iter().map(|field| self.bear_field(id, *field)).collect();
        Born { table: Arc::clone(&self.tables[id as usize].table), tags, fields }
    }

    fn bear_tag(&mut self, table: u32, name: &str) -> u32 {
        let entry = &self.tables[table as usize];
        if let Some(ordinal) = entry.tags.get(name) {
            return *ordinal;
        }
        let clash = entry.fields.contains_key(name).then_some("tag");
        let parquet = entry.free_name(name, clash);
        let ordinal = entry.table.tags.len() as u32;
        self.record(Record::Tag { table, name: name.into(), parquet });
        ordinal
    }

    fn bear_field(&mut self, table: u32, field: FieldBirth<'_>) -> u32 {
        let entry = &self.tables[table as usize];
        if let Some(ordinal) = entry.fields.get(field.name) {
            return *ordinal;
        }
        let clash = entry.tags.contains_key(field.name).then_some("field");
        let parquet = entry.free_name(field.name, clash);
        let ordinal = entry.table.fields.len() as u32;
        self.record(Record::Field { table, kind: field.kind, name: field.name.into(), parquet });
        ordinal
    }

    /// The births from the `from`th unsaved one on, all of them of one bucket, as the log carries them.
    fn describe(&self, bucket: u32, from: usize) -> Vec<Birth> {
        let Bucket { name, retention, .. } = &*self.buckets[bucket as usize];
        let mut births = vec![Birth::Bucket { name: name.clone(), retention: *retention }];
        let mut described = None;
        // Ordinals of columns that are described; the next one of a table is the first that is not.
        for record in &self.unsaved[from..] {
            let table = match record {
                Record::Tag { table, .. } | Record::Field { table, .. } => *table,
                // A table without a column is said by the entry of its first one, which follows: no request brings an empty table.
                Record::Bucket { .. } | Record::Table { .. } => continue,
            };
            let entry = &self.tables[table as usize];
            if described != Some(table) {
                described = Some(table);
                births.push(Birth::Table { name: entry.table.name.clone() });
            }
            births.push(match record.clone() {
                Record::Field { kind, name, parquet, .. } => {
                    Birth::Field { ordinal: entry.fields[&name], kind, name, parquet }
                }
                Record::Tag { name, parquet, .. } => Birth::Tag { ordinal: entry.tags[&name], name, parquet },
                Record::Bucket { .. } | Record::Table { .. } => continue,
            });
        }
        births
    }

    fn replay_column(&mut self, table: u32, birth: Birth, strict: bool) -> Result<(), BirthDamage> {
        let entry = &self.tables[table as usize];
        let (found, next, name, is_same) = match &birth {
            Birth::Tag { name, parquet, .. } => {
                let found = entry.tags.get(name).copied();
                let known = found.map(|ordinal| &entry.table.tags[ordinal as usize]);
                (found, entry.table.tags.len(), name, known.is_some_and(|known| known.parquet == *parquet))
            }
            Birth::Field { name, parquet, kind, .. } => {
                let found = entry.fields.get(name).copied();
                let known = found.map(|ordinal| &entry.table.fields[ordinal as usize]);
                let is_same = known.is_some_and(|known| known.parquet == *parquet && known.kind == *kind);
                (found, entry.table.fields.len(), name, is_same)
            }
            Birth::Bucket { .. } | Birth::Table { .. } => return Ok(()),
        };
        let (Birth::Tag { ordinal, .. } | Birth::Field { ordinal, .. }) = &birth else { return Ok(()) };
        let damage = || (entry.table.name.to_string(), name.to_string());
        match found {
            Some(_) if is_same => return Ok(()),
            None if *ordinal as usize == next || !strict => {}
            None => {
                let (measurement, column) = damage();
                return Err(BirthDamage::Gap { measurement, column });
            }
            Some(_) => {
                let (measurement, column) = damage();
                return Err(BirthDamage::Differs { measurement, column });
            }
        }
        self.record(match birth {
            Birth::Tag { name, parquet, .. } => Record::Tag { table, name, parquet },
            Birth::Field { kind, name, parquet, .. } => Record::Field { table, kind, name, parquet },
            Birth::Bucket { .. } | Birth::Table { .. } => return Ok(()),
        });
        Ok(())
    }

    /// Applies a birth and remembers that it is to be saved.
    fn record(&mut self, record: Record) {
        self.unsaved_bytes += record_bytes(&record);
        self.unsaved.push(record.clone());
        let applied = self.apply(record);
        debug_assert!(applied.is_some(), "births refer to what exists");
    }

    fn recount(&mut self) {
        if let Some(memory) = &mut self.memory {
            memory.set(self.bytes + self.unsaved_bytes);
        }
    }

    /// `None` if the record refers to something that does not exist.
    fn apply(&mut self, record: Record) -> Option<()> {
        self.bytes += match &record {
            Record::Bucket { name, .. } | Record::Table { name, .. } => TABLE_BYTES + NAMES * name.len(),
            Record::Tag { name, .. } | Record::Field { name, .. } => COLUMN_BYTES + NAMES * name.len(),
        };
        match record {
            Record::Bucket { name, retention_ns } => {
                let id = self.buckets.len() as u32;
                let retention = retention_ns.map(Duration::from_nanos);
                self.bucket_ids.insert(name.clone(), id);
                self.buckets.push(Arc::new(Bucket { id, name, retention }));
            }
            Record::Table { bucket, name } => {
                let id = self.tables.len() as u32;
                let owner = Arc::clone(self.buckets.get(bucket as usize)?);
                self.table_ids.entry(bucket).or_default().insert(name.clone(), id);
                let table = Table { id, bucket: owner, name, tags: Columns::default(), fields: Columns::default() };
                self.tables.push(Entry {
                    table: Arc::new(table),
                    tags: HashMap::new(),
                    fields: HashMap::new(),
                    parquet_names: HashSet::new(),
                });
            }
            Record::Tag { table, name, parquet } => {
                let entry = self.tables.get_mut(table as usize)?;
                entry.parquet_names.insert(parquet.to_lowercase());
                entry.tags.insert(name.clone(), entry.table.tags.len() as u32);
                Arc::make_mut(&mut entry.table).tags.push(Column { name, parquet, kind: () });
            }
            Record::Field { table, kind, name, parquet } => {
                let entry = self.tables.get_mut(table as usize)?;
                entry.parquet_names.insert(parquet.to_lowercase());
                entry.fields.insert(name.clone(), entry.table.fields.len() as u32);
                Arc::make_mut(&mut entry.table).fields.push(Column { name, parquet, kind });
            }
        }
        self.births += 1;
        Some(())
    }
}

impl Entry {
    /// Whether a birth would bring more columns than a table may have.
    fn would_be_too_wide(&self, birth: &TableBirth<'_>) -> bool {
        let columns = self.tags.len() + self.fields.len();
        // Mostly there is room for all of them, known ones or not.
        if columns + birth.tags.len() + birth.fields.len() <= COLUMNS_MAX {
            return false;
        }
        let new_tags = birth.tags.iter().filter(|tag| !self.tags.contains_key(**tag)).count();
        let new_fields = birth.fields.iter().filter(|field| !self.fields.contains_key(field.name)).count();
        new_tags + new_fields > 0 && columns + new_tags + new_fields > COLUMNS_MAX
    }

    fn free_name(&self, name: &str, clash: Option<&str>) -> Box<str> {
        let parquet = parquet_name(name, clash, |candidate| self.parquet_names.contains(candidate));
        if parquet != name {
            tracing::info!(
                bucket = &*self.table.bucket.name,
                measurement = &*self.table.name,
                column = name,
                parquet,
                "the column's name is taken in Parquet; it is stored under another"
            );
        }
        parquet.into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn saved_births_are_counted_from_the_catalogs_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(dir.path(), 0).unwrap();
        let bear = |catalog: &Catalog, tag| {
            let tables = vec![TableBirth { measurement: "m", tags: vec![tag], fields: vec![] }];
            catalog.bear(&Births { bucket: "b", retention: None, tables }, |_, _| ()).unwrap();
        };
        bear(&catalog, "first");
        assert_eq!(catalog.births(), 3, "a bucket, a table, a tag");
        let saved = catalog.save().unwrap();
        assert_eq!((saved.births, catalog.save().unwrap()), (3, saved));
        bear(&catalog, "first");
        bear(&catalog, "second");
        assert_eq!(catalog.births(), 4);

        // What was not saved is gone, and does not count.
        let catalog = Catalog::open(dir.path(), saved.bytes).unwrap();
        assert_eq!((catalog.births(), catalog.save().unwrap()), (3, saved));
        bear(&catalog, "third");
        let again = catalog.save().unwrap();
        assert_eq!(again.births, 4);
        assert!(again.bytes > saved.bytes);
    }

    #[test]
    fn a_catalog_in_memory_bears_like_one_with_a_file_and_holds_no_records() {
        let dir = tempfile::tempdir().unwrap();
        let catalogs = [Catalog::open(dir.path(), 0).unwrap(), Catalog::in_memory()];
        let bear = |catalog: &Catalog, fields: &[(&'static str, FieldType)]| {
            let fields = fields.iter().map(|(name, kind)| FieldBirth { name, kind: *kind }).collect();
            let tables = vec![TableBirth { measurement: "m", tags: vec!["host"], fields }];
            let mut queued = Vec::new();
            let born = catalog.bear(&Births { bucket: "b", retention: None, tables }, |record, births| {
                queued.push((record.to_vec(), births));
            });
            (born.map(|born| born[0].fields.clone()), queued)
        };
        for fields in [
            &[("host", FieldType::Float), ("Host", FieldType::Integer)][..],
            &[("v", FieldType::Boolean), ("Host", FieldType::Integer)],
            &[("w", FieldType::Boolean), ("v", FieldType::String)],
        ] {
            assert_eq!(bear(&catalogs[0], fields), bear(&catalogs[1], fields));
        }
        let tables = catalogs.each_ref().map(|catalog| catalog.find("b", "m").unwrap());
        assert_eq!((&tables[0].tags, &tables[0].fields), (&tables[1].tags, &tables[1].fields));
        assert_eq!(tables[1].fields[0].parquet, "host_field".into());
        assert!(catalogs[1].known().unsaved.is_empty());
        assert_eq!(catalogs[1].save().unwrap(), Saved { bytes: 0, births: catalogs[0].births() });
    }
}
