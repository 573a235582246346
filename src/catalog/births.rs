//! Births as the log carries them: by names, so that they can be read into any catalog that knows what was born before. The bytes are in
//! docs/FORMATS.md, "Log".
//!
//! A record is a list of entries. One of a bucket or a table says where the entries behind it belong, and brings it into the world where it
//! is not there yet; one of a column brings that column.

use std::time::Duration;

use super::FieldType;
use super::persist::{put_text, take, take_text, take_u32};
use super::store::Births;

/// Bytes of an entry beside its names; a column's Parquet name is its name and at most 32 bytes.
const ENTRY_BYTES_MAX: usize = 48;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Bucket { name: Box<str>, retention: Option<Duration> },
    Table { name: Box<str> },
    Tag { ordinal: u32, name: Box<str>, parquet: Box<str> },
    Field { ordinal: u32, kind: FieldType, name: Box<str>, parquet: Box<str> },
}

impl Births<'_> {
    /// Most bytes of the record.
    pub fn record_bytes_max(&self) -> usize {
        let column = |name: &str| ENTRY_BYTES_MAX + 2 * name.len();
        let table = |birth: &super::store::TableBirth<'_>| {
            let tags: usize = birth.tags.iter().map(|name| column(name)).sum();
            let fields: usize = birth.fields.iter().map(|field| column(field.name)).sum();
            ENTRY_BYTES_MAX + birth.measurement.len() + tags + fields
        };
        ENTRY_BYTES_MAX + self.bucket.len() + self.tables.iter().map(table).sum::<usize>()
    }
}

impl Entry {
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Bucket { name, retention } => {
                out.push(1);
                let ns = retention.map_or(0, |retention| u64::try_from(retention.as_nanos()).unwrap_or(u64::MAX));
                out.extend_from_slice(&ns.to_le_bytes());
                put_text(out, name);
            }
            Self::Table { name } => {
                out.push(2);
                put_text(out, name);
            }
            Self::Tag { ordinal, name, parquet } => {
                out.push(3);
                out.extend_from_slice(&ordinal.to_le_bytes());
                put_text(out, name);
                put_text(out, parquet);
            }
            Self::Field { ordinal, kind, name, parquet } => {
                out.push(4);
                out.extend_from_slice(&ordinal.to_le_bytes());
                out.push(*kind as u8);
                put_text(out, name);
                put_text(out, parquet);
            }
        }
    }

    /// Takes the first entry off `bytes`; `None` if there is none.
    pub fn decode(bytes: &mut &[u8]) -> Option<Self> {
        Some(match take(bytes, 1)?[0] {
            1 => {
                let ns = u64::from_le_bytes(take(bytes, 8)?.try_into().ok()?);
                let retention = (ns != 0).then_some(Duration::from_nanos(ns));
                Self::Bucket { name: take_text(bytes)?, retention }
            }
            2 => Self::Table { name: take_text(bytes)? },
            3 => Self::Tag { ordinal: take_u32(bytes)?, name: take_text(bytes)?, parquet: take_text(bytes)? },
            4 => Self::Field {
                ordinal: take_u32(bytes)?,
                kind: FieldType::of_byte(take(bytes, 1)?[0])?,
                name: take_text(bytes)?,
                parquet: take_text(bytes)?,
            },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Mutex;
    use std::time::Duration;

    use super::super::{BirthDamage, Catalog, FieldBirth, TableBirth};
    use super::*;

    fn catalog() -> (tempfile::TempDir, Catalog) {
        let dir = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(dir.path(), 0).unwrap();
        (dir, catalog)
    }

    /// Bears a table with one tag and these fields; returns the record for the log, if there is one.
    fn bear(catalog: &Catalog, measurement: &str, fields: &[(&str, FieldType)]) -> Option<Vec<u8>> {
        let fields = fields.iter().map(|(name, kind)| FieldBirth { name, kind: *kind }).collect();
        let tables = vec![TableBirth { measurement, tags: vec!["host"], fields }];
        let births = Births { bucket: "größe", retention: Some(Duration::from_secs(72)), tables };
        let mut queued = None;
        catalog.bear(&births, |record, _| queued = Some(record.to_vec())).unwrap();
        assert!(queued.as_ref().is_none_or(|record| record.len() <= births.record_bytes_max()));
        queued
    }

    /// Everything that a table is, but its number.
    fn table(catalog: &Catalog, measurement: &str) -> String {
        let table = catalog.find("größe", measurement).unwrap();
        format!("{:?} {:?} {:?}", table.bucket, table.tags, table.fields)
    }

    #[test]
    fn what_is_born_is_queued_before_anybody_sees_it() {
        let (_dir, catalog) = catalog();
        let seen = Mutex::new(None);
        std::thread::scope(|scope| {
            let tables = vec![TableBirth { measurement: "m", tags: vec![], fields: Vec::new() }];
            let births = Births { bucket: "b", retention: None, tables };
            let queue = |_: &[u8], _| {
                // Whoever looks now has to wait until the record is queued.
                scope.spawn(|| *seen.lock().unwrap() = Some(catalog.find("b", "m").is_some()));
                std::thread::sleep(Duration::from_millis(50));
                assert_eq!(
                    *seen.lock().unwrap(),
                    None,
                    "the birth was visible, or its absence, before its record was queued"
                );
            };
            catalog.bear(&births, queue).unwrap();
        });
        assert_eq!(seen.into_inner().unwrap(), Some(true));
    }

    #[test]
    fn births_read_back_in_their_order_make_the_same_catalog() {
        let (_first, live) = catalog();
        let records: Vec<Vec<u8>> = [
            bear(&live, "m", &[("f", FieldType::Float), ("host", FieldType::String)]),
            bear(&live, "n", &[("F", FieldType::Integer), ("f", FieldType::Boolean), ("day", FieldType::Unsigned)]),
            bear(&live, "m", &[("f", FieldType::Float), ("g", FieldType::Integer)]),
        ]
        .into_iter()
        .map(Option::unwrap)
        .collect();
        assert_eq!(bear(&live, "m", &[("g", FieldType::Integer)]), None, "nothing is new");
        // From any of them on the catalog may be durable already; all may be read more than once.
        for known in 0..=records.len() {
            let (_dir, replayed) = catalog();
            records[..known].iter().for_each(|record| replayed.replay(record, true).unwrap());
            replayed.save().unwrap();
            records.iter().chain(&records).for_each(|record| replayed.replay(record, true).unwrap());
            for measurement in ["m", "n"] {
                assert_eq!(table(&replayed, measurement), table(&live, measurement), "{known} known");
            }
            assert_eq!(replayed.births(), live.births());
        }
    }

    #[test]
    fn births_that_do_not_fit_are_damage() {
        let (_first, live) = catalog();
        let first = bear(&live, "m", &[("f", FieldType::Float)]).unwrap();
        let second = bear(&live, "m", &[("g", FieldType::Float)]).unwrap();
        let (_second, other) = catalog();
        bear(&other, "m", &[("f", FieldType::Integer)]);
        assert!(matches!(other.replay(&first, true), Err(BirthDamage::Differs { .. })));
        let (_third, empty) = catalog();
        assert!(matches!(empty.replay(&second, true), Err(BirthDamage::Gap { .. })));
        assert_eq!(empty.replay(&second, false), Ok(()), "a log whose damage is skipped");
        for cut in 1..first.len() {
            let (_dir, replayed) = catalog();
            // A record may end after any of its entries; the log's checksums say whether it does.
            if let Err(damage) = replayed.replay(&first[..cut], true) {
                assert_eq!(damage, BirthDamage::Unreadable, "cut at {cut}");
            }
        }
    }
}
