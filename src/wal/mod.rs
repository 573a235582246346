//! The write-ahead log: what makes an acknowledged request survive a crash.
//!
//! Records are opaque here. Shards append them ([`Wal::reserve`], [`Space::append`]); the log thread writes what has gathered as one group,
//! synced, while the next gathers; whoever waits is told how far the log is durable. Segments are files of whole groups, written anew
//! within one life of the process and never by a later one: a start reads what it finds ([`inspect`]), publishes it, and removes it.
//! The bytes are in docs/FORMATS.md, "Log".

mod disk;
mod format;
mod gather;
mod log;
mod note;
mod pace;
mod read;
mod segments;
mod shared;
mod spares;
#[cfg(test)]
mod tests;
mod writer;

use std::path::PathBuf;

#[cfg(all(test, feature = "lake"))]
pub(crate) use disk::faulty::{Fault, Faults, Subject};
pub use format::Kind;
pub use log::{NoRoom, Options, Record, Space, Wal};
pub use note::Note;
pub use read::{Found, Head, Lost, Reader, Segment, Tally, Torn, has_segments, inspect, remove};

/// Why the log cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    #[error("cannot {action} {path}: {source}")]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error(
        "the log is damaged: {path} at byte {offset} {what}. Nothing was changed. Restore the file from a copy, or start with \
         --wal-skip-damaged, which goes on without the damaged part and lists what is lost"
    )]
    Damaged { path: PathBuf, offset: u64, what: String },
    #[error(
        "a part of the log is missing: {path} {what}; {note} says what must be there. Nothing was changed. Bring the files back, or start \
         with --wal-skip-damaged, which goes on without them and lists what is lost"
    )]
    Missing { path: PathBuf, note: PathBuf, what: String },
    #[error(
        "{path} is damaged: neither of its two copies is whole, so it is not known which part of the log must be there. Nothing was changed. \
         Restore the file together with wal/, or start with --wal-skip-damaged, which takes the log as it is"
    )]
    Note { path: PathBuf },
    #[error("{path} was written by a later version of ringest ({what}): start that version")]
    Version { path: PathBuf, what: String },
    #[error(
        "{path} belongs to another node: it was written with the state of another data directory. Move it away, or bring its state/ back"
    )]
    Foreign { path: PathBuf },
    #[error(
        "{path} and {other} were written by different nodes. Nothing was changed. Move away the files of the node that does not belong here"
    )]
    Owners { path: PathBuf, other: PathBuf },
    #[error(
        "{path} and {other} are of two lives of this node, but a start removes the old log before it writes a new one: one of them was brought \
         back from a copy. Nothing was changed. Move away the files whose names begin as that one's does, or start with \
         --wal-skip-damaged, which reads both, the one with the lower epochs first"
    )]
    Lives { path: PathBuf, other: PathBuf },
    #[error(
        "{path} ends like a segment of the log, but no segment is called so: give it its name back, or move it away"
    )]
    Stray { path: PathBuf },
    #[error(
        "{path} is no longer what it was when it was checked (at byte {offset}): another process writes to the log, or the disk gives other \
         bytes than before. Stop that process, check the disk, and try again"
    )]
    Changed { path: PathBuf, offset: u64 },
}
