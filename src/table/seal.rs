//! What a shard hands to the lake: one table's rows of one epoch, plain columns, no Arrow yet.

use std::sync::Arc;

use crate::budget::Reservation;
use crate::catalog::{FieldType, Table};

use super::chunks::{Booleans, Floats, Integers, Lists, Strings};

/// One table's rows that one shard took in one epoch, in order of arrival.
#[derive(Debug)]
pub struct SealedTable {
    /// The schema that the shard knew. Another shard may know more columns; ordinals agree (the catalog gave them).
    pub table: Arc<Table>,
    pub rows: Rows,
    /// Share of the memory budget; given back when the table is dropped.
    pub memory: Reservation,
}

/// The rows: `time`, `series` and the dense columns run in parallel.
#[derive(Debug, Default)]
pub struct Rows {
    /// Nanoseconds since the epoch, one per row.
    pub time: Integers,
    /// Index into `keys`, one per row.
    pub series: Integers,
    /// Which request wrote which rows; ascending in both members. The later (epoch, request) wins, and in one request the later row.
    pub runs: Vec<Run>,
    /// By ordinal of the field in the table; may be shorter than the table's list (the rest is null).
    pub fields: Vec<FieldColumn>,
    pub keys: SeriesSet,
}

/// `first_row ..` up to the next run's `first_row` (or the end) came with request number `request`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub first_row: u32,
    pub request: u64,
}

/// A field's values. Memory is linear in the values, not in the rows.
#[derive(Debug)]
pub struct FieldColumn {
    pub values: Values,
    pub presence: Presence,
}

/// Which rows have a value.
#[derive(Debug)]
pub enum Presence {
    /// Value i belongs to row i; rows past the last value are null.
    Dense,
    /// Value i belongs to row `rows[i]`; strictly ascending.
    Sparse(Vec<u32>),
}

#[derive(Debug)]
pub enum Values {
    Float(Floats),
    Integer(Integers),
    /// By their bits.
    Unsigned(Integers),
    Boolean(Booleans),
    String(Strings),
}

impl Values {
    pub fn len(&self) -> usize {
        match self {
            Self::Float(values) => values.len(),
            Self::Integer(values) | Self::Unsigned(values) => values.len(),
            Self::Boolean(values) => values.len(),
            Self::String(values) => values.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps the first `len` values.
    pub fn truncate(&mut self, len: usize) {
        match self {
            Self::Float(values) => values.truncate(len),
            Self::Integer(values) | Self::Unsigned(values) => values.truncate(len),
            Self::Boolean(values) => values.truncate(len),
            Self::String(values) => values.truncate(len),
        }
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Float(values) => values.bytes(),
            Self::Integer(values) | Self::Unsigned(values) => values.bytes(),
            Self::Boolean(values) => values.bytes(),
            Self::String(values) => values.bytes(),
        }
    }
}

impl From<FieldType> for Values {
    /// No values.
    fn from(kind: FieldType) -> Self {
        match kind {
            FieldType::Float => Self::Float(Floats::default()),
            FieldType::Integer => Self::Integer(Integers::default()),
            FieldType::Unsigned => Self::Unsigned(Integers::default()),
            FieldType::Boolean => Self::Boolean(Booleans::default()),
            FieldType::String => Self::String(Strings::default()),
        }
    }
}

/// The series of a sealed table.
#[derive(Debug, Default)]
pub struct SeriesSet {
    /// By series, ascending by tag ordinal; a tag that is not listed is absent (null).
    pub tags: Arc<Lists<TagPair>>,
    /// By tag ordinal of the table: the distinct values of that tag. May be shorter than the table's list.
    pub values: Vec<Arc<Strings>>,
}

/// Tag with ordinal `tag` has the value `values[tag].get(value)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagPair {
    pub tag: u32,
    pub value: u32,
}

impl SeriesSet {
    pub fn len(&self) -> usize {
        self.tags.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    pub fn tags_of(&self, series: usize) -> &[TagPair] {
        self.tags.get(series)
    }
}
