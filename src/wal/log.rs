//! The running log.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Kind, WalError};
use crate::budget::Budget;
use crate::metrics::Metrics;

/// How the log is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder of the segments; made if missing.
    pub dir: PathBuf,
    /// Written into every segment: the node that the log belongs to.
    pub owner: [u8; 8],
    /// Most bytes of all segments together.
    pub bytes_max: u64,
    /// Size of a full-grown segment; no record is larger than [`Options::record_bytes_max`].
    pub segment_bytes: u64,
    /// Bytes of the file system that the log leaves free, for what frees its segments.
    pub disk_reserve: u64,
    /// Whether a group counts as durable only when the disk has it (otherwise when the kernel has it).
    pub sync: bool,
}

/// What is appended.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub kind: Kind,
    /// Its segment is kept until this epoch is committed.
    pub epoch: u64,
    /// For births: all births so far, these included; the segment is kept until as many are durable in the catalog. 0 for requests.
    pub births: u64,
    /// The payload, in pieces.
    pub parts: &'a [&'a [u8]],
}

/// Why nothing can be appended now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// The memory budget has none for the queue.
    Memory,
    /// The segments have none, or the disk.
    Disk,
    /// The record is larger than a segment may be.
    TooLarge,
    /// A write or sync has failed; the sentence says which.
    Poisoned(Arc<str>),
}

/// The running log; shared by all threads.
pub struct Wal {}

impl Wal {
    /// Makes the first segment and starts the threads. `moved` is called (by the log thread) whenever [`Wal::durable`] has moved or the log was poisoned.
    ///
    /// # Errors
    /// The folder or the first segment cannot be made, or the disk is full.
    pub fn start(
        options: Options,
        budget: &Arc<Budget>,
        metrics: &Arc<Metrics>,
        moved: Box<dyn Fn() + Send>,
    ) -> Result<Self, WalError> {
        let _ = (options, budget, metrics, moved);
        unimplemented!()
    }

    /// Room for `records` records with payloads of `bytes` in all.
    ///
    /// # Errors
    /// There is none now.
    pub fn reserve(&self, bytes: usize, records: usize) -> Result<Space<'_>, NoRoom> {
        let _ = (bytes, records);
        unimplemented!()
    }

    /// Everything up to this position is durable.
    pub fn durable(&self) -> u64 {
        unimplemented!()
    }

    /// Why the log is poisoned; `None` while it is not.
    pub fn failure(&self) -> Option<Arc<str>> {
        unimplemented!()
    }

    /// Gives back, in order, the segments that hold nothing beyond the committed epoch and the births that are durable in the catalog.
    pub fn free(&self, committed: u64, births: u64) {
        let _ = (committed, births);
        unimplemented!()
    }

    /// Whether so much of the limit is taken that a flush should free some.
    pub fn is_tight(&self) -> bool {
        unimplemented!()
    }

    /// Writes what is queued, ends the threads, and removes the segments that [`Wal::free`] may (the current one too).
    pub fn finish(self) {
        unimplemented!()
    }
}

/// Room for records; what is not used is given back when it is dropped.
pub struct Space<'a> {
    wal: &'a Wal,
}

impl Space<'_> {
    /// Queues a record and returns its position: larger than that of every record appended before. Never waits for the disk.
    pub fn append(&mut self, record: Record<'_>) -> u64 {
        let _ = (self.wal, record);
        unimplemented!()
    }
}
