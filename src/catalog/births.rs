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
