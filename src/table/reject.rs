//! What a request's answer says of points that were not written.

use std::ops::Range;

use crate::catalog::COLUMNS_MAX;
use crate::line::grammar::{ERRORS_MAX, STRING_BYTES_MAX};

/// Most points that are listed, unless somebody wants more of them: as many as bad lines.
pub const LISTED_MAX: usize = ERRORS_MAX;

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
    /// The first ones, and points whose field `time` was left out, in the order of the body.
    pub listed: Vec<Listed>,
    /// How many there are of each kind, listed or not.
    counts: [u64; RejectKind::ALL.len()],
}

/// A point that was not taken, or not whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Which point of the body.
    pub ordinal: u64,
    pub time_ns: i64,
    /// `None`: it is older than the retention.
    pub reason: Option<SchemaReject>,
}

/// Reasons in a word, as metrics, log and files count them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectKind {
    Retention,
    TypeConflict,
    TimeField,
    TooManyColumns,
    TooManyNames,
    TooLong,
}

impl RejectKind {
    pub const ALL: [Self; 6] =
        [Self::Retention, Self::TypeConflict, Self::TimeField, Self::TooManyColumns, Self::TooManyNames, Self::TooLong];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Retention => "retention",
            Self::TypeConflict => "type_conflict",
            Self::TimeField => "time_field",
            Self::TooManyColumns => "too_many_columns",
            Self::TooManyNames => "too_many_names",
            Self::TooLong => "string_too_long",
        }
    }
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

/// The points that retention refused, the oldest and the newest by their number in the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    pub points: u64,
    pub oldest: u64,
    pub oldest_ns: i64,
    pub newest: u64,
    pub newest_ns: i64,
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

impl Listed {
    pub fn kind(&self) -> RejectKind {
        match &self.reason {
            None => RejectKind::Retention,
            Some(reason) => reason.kind(),
        }
    }
}

impl SchemaReject {
    pub fn kind(&self) -> RejectKind {
        match self {
            Self::Conflict { .. } => RejectKind::TypeConflict,
            Self::TimeField { .. } => RejectKind::TimeField,
            Self::TooManyColumns { .. } => RejectKind::TooManyColumns,
            Self::TooManyNames { .. } => RejectKind::TooManyNames,
            Self::TooLong { .. } => RejectKind::TooLong,
        }
    }
}

impl Rejects {
    pub fn is_empty(&self) -> bool {
        self.dropped == 0 && self.time_field.is_none()
    }

    /// How many points were refused for each reason, or lost a field.
    pub fn counts(&self) -> impl Iterator<Item = (RejectKind, u64)> {
        RejectKind::ALL.into_iter().zip(self.counts).filter(|(_, count)| *count > 0)
    }

    /// How many points were refused, or lost a field: as many as a whole list has.
    pub fn lines(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Remembers why a point was dropped.
    pub(super) fn drop_point(&mut self, listed: Listed, listed_max: usize) {
        let Listed { ordinal, time_ns, .. } = listed;
        match &listed.reason {
            None => self.drop_expired(ordinal, time_ns),
            Some(reason) if self.schema.is_none() => self.schema = Some(reason.clone()),
            Some(_) => {}
        }
        self.list(listed, listed_max);
    }

    /// Remembers that a field `time` was left out of a point that was written.
    pub(super) fn leave_out(&mut self, listed: Listed, listed_max: usize) {
        if self.time_field.is_none() {
            self.time_field.clone_from(&listed.reason);
        }
        self.list(listed, listed_max);
    }

    fn list(&mut self, listed: Listed, listed_max: usize) {
        self.counts[listed.kind() as usize] += 1;
        if self.listed.len() < listed_max {
            self.listed.push(listed);
        }
    }

    fn drop_expired(&mut self, ordinal: u64, time_ns: i64) {
        let first = || Expired { points: 0, oldest: ordinal, oldest_ns: time_ns, newest: ordinal, newest_ns: time_ns };
        let expired = self.expired.get_or_insert_with(first);
        expired.points += 1;
        if time_ns < expired.oldest_ns {
            (expired.oldest, expired.oldest_ns) = (ordinal, time_ns);
        }
        if time_ns > expired.newest_ns {
            (expired.newest, expired.newest_ns) = (ordinal, time_ns);
        }
    }
}
