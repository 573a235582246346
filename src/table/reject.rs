//! What a request's answer says of points that were not written.

use std::ops::Range;

use crate::catalog::COLUMNS_MAX;
use crate::line::grammar::STRING_BYTES_MAX;

/// Points that were well-formed and not written, with what the answer needs to say of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejects {
    /// Points dropped for any reason.
    pub dropped: u64,
    /// Points older than the bucket's retention.
    pub expired: Option<Expired>,
    /// The first point (or field) that does not fit the schema.
    pub schema: Option<SchemaReject>,
    /// A field `time` was left out of a point whose other fields were stored.
    pub time_field: Option<SchemaReject>,
}

/// Which points of a body: 0 is the first. Ascending, kept as runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ordinals {
    runs: Vec<Range<u64>>,
}

impl Ordinals {
    /// Adds a point behind all others.
    pub fn push(&mut self, ordinal: u64) {
        self.push_run(ordinal..ordinal + 1);
    }

    /// Adds a run of points behind all others.
    pub fn push_run(&mut self, run: Range<u64>) {
        match self.runs.last_mut() {
            Some(last) if last.end == run.start => last.end = run.end,
            _ => self.runs.push(run),
        }
    }

    pub fn runs(&self) -> &[Range<u64>] {
        &self.runs
    }

    /// How many points.
    pub fn count(&self) -> u64 {
        self.runs.iter().map(|run| run.end - run.start).sum()
    }
}

/// The points that retention refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    pub points: u64,
    pub oldest_ns: i64,
    pub newest_ns: i64,
    /// Measurement of the oldest point.
    pub measurement: Box<str>,
}

/// Why a point does not fit its table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaReject {
    #[error(
        "field type conflict: input field \"{field}\" on measurement \"{measurement}\" is type {given}, already exists as type {known}"
    )]
    Conflict { measurement: Box<str>, field: Box<str>, given: &'static str, known: &'static str },
    #[error("invalid field name: input field \"time\" on measurement \"{measurement}\" is invalid")]
    TimeField { measurement: Box<str> },
    #[error(
        "measurement \"{measurement}\" has {COLUMNS_MAX} columns, the most that a table may have: column \"{column}\" cannot be added"
    )]
    TooManyColumns { measurement: Box<str>, column: Box<str> },
    #[error(
        "measurement \"{measurement}\" would bring a new name (\"{name}\"), and the names that the node knows fill their share of memory-limit: \
         raise it"
    )]
    TooManyNames { measurement: Box<str>, name: Box<str> },
    #[error("input field \"{field}\" on measurement \"{measurement}\" is too long, {bytes} > {STRING_BYTES_MAX}")]
    TooLong { measurement: Box<str>, field: Box<str>, bytes: usize },
}

impl Rejects {
    pub fn is_empty(&self) -> bool {
        self.dropped == 0 && self.time_field.is_none()
    }
}
