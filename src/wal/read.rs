//! What an earlier life has left.

use std::path::{Path, PathBuf};

use super::WalError;

/// The log as a start finds it; nothing was changed to find out. Every byte was read and checked.
#[derive(Debug, Default)]
pub struct Found {
    /// Bytes of all records, payloads only.
    pub bytes: u64,
    pub records: u64,
    pub groups: u64,
    /// The largest epoch of any record; 0 without records.
    pub epoch_max: u64,
    /// The owner in the segments' headers, if there is any segment with one.
    pub owner: Option<[u8; 8]>,
    /// The end of the last segment that was not written whole.
    pub torn: Option<Torn>,
    /// What was passed over; empty unless damage is to be skipped.
    pub lost: Vec<Lost>,
}

/// A group that was being written when the process ended: nothing in it was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    pub path: PathBuf,
    pub offset: u64,
    pub bytes: u64,
}

/// A damaged part of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub path: PathBuf,
    pub offset: u64,
    pub bytes: u64,
    /// Groups that are missing, by their sequence numbers.
    pub groups: u64,
}

/// Reads and checks all segments in `dir`; a missing folder is an empty log. `skip_damaged`: goes on behind damage and lists it.
///
/// # Errors
/// A file cannot be read, is damaged (unless skipped), or is of a later version.
pub fn inspect(dir: &Path, skip_damaged: bool) -> Result<Found, WalError> {
    let _ = (dir, skip_damaged);
    unimplemented!()
}

impl Found {
    /// The records in the order of the log.
    pub fn reader(&self) -> Reader<'_> {
        Reader { found: self }
    }
}

/// Reads the records of a [`Found`] log once more, one after the other; holds one record in memory.
pub struct Reader<'a> {
    found: &'a Found,
}

/// A record's kind (as its byte) and epoch; the payload is in the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub kind: u8,
    pub epoch: u64,
}

impl Reader<'_> {
    /// The next record, its payload in `payload` (cleared first); `None` at the end.
    ///
    /// # Errors
    /// A file cannot be read, or is not what it was when it was checked.
    pub fn next(&mut self, payload: &mut Vec<u8>) -> Result<Option<Head>, WalError> {
        let _ = (self.found, payload);
        unimplemented!()
    }

    /// Where the last record lies, for messages.
    pub fn place(&self) -> (PathBuf, u64) {
        unimplemented!()
    }
}

/// Removes every segment in `dir`, durably: a later start finds an empty log.
///
/// # Errors
/// A file cannot be removed, or the folder cannot be synced.
pub fn remove(dir: &Path) -> Result<(), WalError> {
    let _ = dir;
    unimplemented!()
}
