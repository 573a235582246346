//! Buckets, tables and columns: what has been born, with its type, for ever.
//!
//! One catalog per node, shared by all shards; read-mostly. A [`Table`] is an immutable snapshot: a birth makes a new one, and
//! whoever holds the old one sees the columns that it knew.

mod births;
mod columns;
mod names;
mod persist;
mod store;

use std::sync::Arc;
use std::time::Duration;

pub use columns::Columns;
pub use names::{encode_path_segment, parquet_name};
pub use store::{BirthDamage, Births, Catalog, CatalogError, FieldBirth, Saved, TableBirth, Unborn};

/// Most tags and fields of a table. Parquet repeats a table's whole schema in every file, and no reader is served by more; without
/// a bound one body of made-up names would make every later file of its table huge.
pub const COLUMNS_MAX: usize = 1 << 16;

/// The type of a field; fixed by the first value that is accepted, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FieldType {
    Float = 1,
    Integer = 2,
    Unsigned = 3,
    String = 4,
    Boolean = 5,
}

impl FieldType {
    /// The type with this number on disk.
    fn of_byte(byte: u8) -> Option<Self> {
        [Self::Float, Self::Integer, Self::Unsigned, Self::String, Self::Boolean]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }

    /// InfluxDB's word for the type, as error messages use it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Integer => "integer",
            Self::Unsigned => "unsigned",
            Self::String => "string",
            Self::Boolean => "boolean",
        }
    }
}

/// A bucket: the name clients write to, and the policy that says which points it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    pub id: u32,
    pub name: Box<str>,
    /// Points older than receive time minus this are refused; `None` takes every point.
    pub retention: Option<Duration>,
}

/// A measurement of a bucket with all columns born so far.
#[derive(Clone, Debug)]
pub struct Table {
    pub id: u32,
    pub bucket: Arc<Bucket>,
    /// The measurement's name as written by the client, unescaped.
    pub name: Box<str>,
    /// By ordinal, in order of birth.
    pub tags: Columns<()>,
    /// By ordinal, in order of birth.
    pub fields: Columns<FieldType>,
}

impl Table {
    /// The table as it was when it had so many columns.
    pub fn when_it_had(&self, tags: usize, fields: usize) -> Self {
        Self { tags: self.tags.first(tags), fields: self.fields.first(fields), ..self.clone() }
    }

    /// The columns that could not keep their name: column and name.
    pub fn renamed(&self) -> impl Iterator<Item = (&str, &str)> {
        let tags = self.tags.iter().map(|tag| (&*tag.parquet, &*tag.name));
        let fields = self.fields.iter().map(|field| (&*field.parquet, &*field.name));
        tags.chain(fields).filter(|(column, name)| column != name)
    }
}

/// A tag (`T` = `()`) or field (`T` = its type).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column<T> {
    /// As written by the client, unescaped.
    pub name: Box<str>,
    /// The column's name in Parquet: `name`, or another where that one was taken.
    pub parquet: Box<str>,
    pub kind: T,
}
