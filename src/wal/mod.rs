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
mod pace;
mod read;
mod segments;
mod shared;
mod spares;
#[cfg(test)]
mod tests;
mod writer;

use std::path::PathBuf;

pub use format::Kind;
pub use log::{NoRoom, Options, Record, Space, Wal};
pub use read::{Found, Lost, Reader, Torn, inspect, remove};

/// Why the log cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    #[error("cannot {action} {path}: {source}")]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error(
        "the log is damaged: {path} at byte {offset} {what}; groups written later are whole, so this is no write that was cut off. Nothing was changed. \
         Restore the file from a copy, or start with --wal-skip-damaged, which goes on without the damaged part and lists what is lost"
    )]
    Damaged { path: PathBuf, offset: u64, what: String },
    #[error("{path} was written by a later version of ringest ({what}): start that version")]
    Version { path: PathBuf, what: String },
    #[error(
        "{path} belongs to another node: it was written with the state of another data directory. Move it away, or bring its state/ back"
    )]
    Foreign { path: PathBuf },
}
