//! What a conversion tells of itself.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::error::Place;
use crate::catalog::FieldType;

/// What became of the inputs.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Lines with a point; blank lines, comments and statements do not count.
    pub lines: u64,
    /// Points that were taken. Of those with the same series and time, the lake keeps one.
    pub points: u64,
    /// Bytes of the inputs as they are on disk.
    pub bytes_read: u64,
    /// Lines that were not taken, or not whole.
    pub refused: u64,
    /// The first of them, at most [`SHOWN_MAX`].
    pub first_refused: Vec<RefusedLine>,
    /// Fields that came with another type than they have; at most [`CONFLICTS_MAX`], the others are in `refused` only.
    pub conflicts: Vec<Conflict>,
    /// The file that holds all refused lines, if they were collected and there are any.
    pub collected: Option<PathBuf>,
    /// Every measurement that got points, by bucket and name.
    pub tables: Vec<TableReport>,
    /// Parquet files that were written, with their rows and bytes; 0 without an output.
    pub files: u64,
    pub rows: u64,
    pub file_bytes: u64,
    pub took: Duration,
}

/// Most refused lines that a report shows.
pub const SHOWN_MAX: usize = 10;

/// Most conflicts that a report lists.
pub const CONFLICTS_MAX: usize = 1_000;

/// A line that was not taken, or not whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedLine {
    pub place: Place,
    /// As a sentence.
    pub reason: Box<str>,
    /// The line; cut where it is long.
    pub text: String,
}

impl fmt::Display for RefusedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place, self.reason, self.text)
    }
}

/// Points that were refused because a field has another type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub bucket: Box<str>,
    pub measurement: Box<str>,
    pub field: Box<str>,
    /// The type of the field, and that of the points that were refused.
    pub known: &'static str,
    pub given: &'static str,
    pub points: u64,
    /// The first such line.
    pub first: Place,
}

/// A measurement that got points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableReport {
    pub bucket: Box<str>,
    pub measurement: Box<str>,
    pub tags: Vec<Box<str>>,
    /// Those that the output had before, too.
    pub fields: Vec<(Box<str>, FieldType)>,
    pub points: u64,
    /// Nanoseconds since 1970.
    pub first_ns: i64,
    pub last_ns: i64,
}

/// How far a conversion is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Bytes of the inputs, as they are on disk, that were read; and how many there are, where that is known.
    pub bytes_read: u64,
    pub bytes: Option<u64>,
    pub lines: u64,
}
