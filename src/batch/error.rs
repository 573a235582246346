//! What is told of bodies: what was taken of them, what was not, and why.

use std::fmt;
use std::io;

use arrow::error::ArrowError;

use crate::line::grammar::{ERRORS_MAX, ErrorKind};
use crate::table::SchemaReject;

/// Most lines that a report or an error lists.
pub const REJECTED_MAX: usize = ERRORS_MAX;

/// What became of a body, or of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows that it has added.
    pub points: u64,
    /// Lines that are not line protocol and were skipped.
    pub bad_lines: u64,
    /// Points that were dropped because they do not fit their measurement.
    pub dropped_points: u64,
    /// These lines and points in the order of the input, the first [`REJECTED_MAX`] of them.
    pub rejected: Vec<Rejected>,
    /// A field named `time` was left out of a point whose other fields were taken.
    pub time_field: Option<SchemaReject>,
}

/// A line of which nothing was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Where the line begins: its number from 1, as an editor counts (lines within strings too), and its offset in bytes.
    pub line: u64,
    pub byte: u64,
    /// The line, cut if it is long; bytes that are not UTF-8 are replaced.
    pub text: String,
    pub reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The line is not line protocol.
    Syntax(ErrorKind),
    /// The point does not fit its measurement.
    Schema(SchemaReject),
}

/// Why a body was not taken, or a stream not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Lines that are not line protocol; nothing of the body was taken. `more`: the list is full, and there may be others.
    #[error("{}", describe(.rejected, *.more))]
    BadLines { rejected: Vec<Rejected>, more: bool },
    /// The rows that wait leave no room for the body: take them, then push it again.
    #[error(
        "no room for a body of {body_bytes} bytes: rows that wait hold {held_bytes} of the {bytes_max} bytes that they may; take them first"
    )]
    Full { body_bytes: usize, held_bytes: usize, bytes_max: usize },
    /// The body will not be taken, however often the rows are.
    #[error(
        "a body of {body_bytes} bytes, with the columns that it brings, may take more memory than the limit of {bytes_max} bytes; cut it at line ends"
    )]
    TooLarge { body_bytes: usize, bytes_max: usize },
    #[error(
        "line {line}, byte {byte}: the line does not end within {bytes} bytes (a string that is not closed has no end)"
    )]
    LineTooLong { line: u64, byte: u64, bytes: usize },
    #[error("cannot read the input beyond byte {byte}: {source}")]
    Read { byte: u64, source: io::Error },
    #[error("the rows of measurement {measurement:?} are not fit for a record batch: {source}")]
    Batch { measurement: String, source: ArrowError },
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, byte, text, reason } = self;
        match reason {
            Reason::Syntax(kind) => write!(f, "line {line}, byte {byte}: unable to parse '{text}': {kind}"),
            Reason::Schema(reject) => write!(f, "line {line}, byte {byte}: dropped '{text}': {reject}"),
        }
    }
}

/// The first bad line, and how many there are.
fn describe(rejected: &[Rejected], more: bool) -> String {
    let first = rejected.first().map(Rejected::to_string).unwrap_or_default();
    match (rejected.len().saturating_sub(1), more) {
        (0, _) => first,
        (others, false) => format!("{first}; and {others} more"),
        (others, true) => format!("{first}; and {others} or more"),
    }
}

impl Report {
    /// Adds what became of the next part of a stream, which lies behind so many lines and bytes.
    pub(super) fn append(&mut self, mut part: Report, lines: u64, bytes: u64) {
        self.points += part.points;
        self.bad_lines += part.bad_lines;
        self.dropped_points += part.dropped_points;
        shift(&mut part.rejected, lines, bytes);
        self.rejected.append(&mut part.rejected);
        self.rejected.truncate(REJECTED_MAX);
        self.time_field = self.time_field.take().or(part.time_field);
    }
}

impl Error {
    /// The error of a part of a stream, which lies behind so many lines and bytes.
    pub(super) fn behind(mut self, lines: u64, bytes: u64) -> Self {
        if let Self::BadLines { rejected, .. } = &mut self {
            shift(rejected, lines, bytes);
        }
        self
    }
}

fn shift(rejected: &mut [Rejected], lines: u64, bytes: u64) {
    for rejected in rejected {
        rejected.line += lines;
        rejected.byte += bytes;
    }
}
