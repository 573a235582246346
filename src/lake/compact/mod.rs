//! Compaction: files of one table and day become fewer and larger, sorted and unique as a whole.
//!
//! `merge` reads committed files and writes what takes their place aside, in bounded memory, with the encoder that a flush has. `plan` says
//! which files, `worker` when; `run` is one compaction from end to end. Making the exchange durable is the publisher's.

mod input;
mod merge;
mod plan;
mod run;
mod slice;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::partition::FileName;

#[cfg(test)]
pub(super) use input::Partition;
#[cfg(test)]
pub(super) use merge::{Limits, MergeError, Merged, Source, Task, merge};
pub(super) use run::Exchange;
pub(super) use worker::{Handle, Order, Surroundings, Touched, Worker};

/// The time of day, which decides when a day is over: milliseconds since 1970, as epochs have them.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Clock {
    pub fn new(now_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now_ms))
    }

    fn now_ms(&self) -> u64 {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// How much to compact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What has gathered by now, as without being asked.
    Due,
    /// Every partition, into as few files as possible.
    All,
}

/// What one merge did.
struct Step {
    files_before: u64,
    files_after: u64,
    bytes_before: u64,
    bytes_after: u64,
    rows_before: u64,
    rows_after: u64,
    seconds: f64,
    /// The first of the files that memory did not suffice for.
    rest_from: Option<FileName>,
}

/// What a compaction did, all merges together: what a second one merged again counts twice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Compacted {
    /// Tables' days with at least one merge.
    pub partitions: u64,
    pub merges: u64,
    pub files_before: u64,
    pub files_after: u64,
    pub bytes_before: u64,
    pub bytes_after: u64,
    /// Rows in the files after.
    pub rows: u64,
    /// Rows that have become part of another one: their point was written more than once.
    pub rows_joined: u64,
    pub seconds: f64,
}

impl Compacted {
    fn add(&mut self, step: &Step) {
        self.merges += 1;
        self.files_before += step.files_before;
        self.files_after += step.files_after;
        self.bytes_before += step.bytes_before;
        self.bytes_after += step.bytes_after;
        self.rows += step.rows_after;
        self.rows_joined += step.rows_before - step.rows_after;
        self.seconds += step.seconds;
    }

    /// One line of JSON.
    pub fn to_json(&self) -> String {
        // Numbers under fixed names can be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl fmt::Display for Compacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.merges == 0 {
            return f.write_str("nothing to merge: the files are as few as they can be");
        }
        let Self {
            partitions, files_before, files_after, bytes_before, bytes_after, rows, rows_joined, seconds, ..
        } = self;
        write!(
            f,
            "{partitions} days of tables: {files_before} files ({bytes_before} bytes) became {files_after} ({bytes_after} bytes) with {rows} rows; \
             {rows_joined} rows were of points written more than once; {seconds:.1} s"
        )
    }
}
