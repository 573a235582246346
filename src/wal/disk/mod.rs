//! Where groups go: one write at a time, submitted and completed apart, on whatever the file system and the kernel allow.

mod chunk;
#[cfg(test)]
pub(super) mod faulty;
mod pwrite;
mod uring;

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::OFlags;

pub(super) use chunk::{CHUNK_BYTES, Chunk};

use super::format::BLOCK_BYTES;
use pwrite::{Durability, Pwrite};
use uring::Uring;

/// Most pieces of one write (UIO_MAXIOV of the kernel); a longer one is several.
const PIECES_MAX: usize = 1024;

/// A write that is to be durable when it is complete.
pub(super) struct Write {
    pub file: Arc<File>,
    pub offset: u64,
    /// A multiple of [`BLOCK_BYTES`], as the offset is.
    pub bytes: usize,
    /// Hold the bytes, from their beginning.
    pub chunks: Vec<Chunk>,
    /// Whether it is to be durable when it is complete; otherwise that needs a [`Disk::sync`].
    pub synced: bool,
}

impl Write {
    /// What is left to write when `done` bytes are written, in pieces.
    fn pieces(&self, done: usize) -> Vec<IoSlice<'_>> {
        let mut skip = done;
        let mut left = self.bytes - done;
        let mut pieces = Vec::with_capacity(self.chunks.len().min(PIECES_MAX));
        for chunk in &self.chunks {
            let start = skip.min(CHUNK_BYTES);
            skip -= start;
            let piece = &chunk[start..(start + left).min(CHUNK_BYTES)];
            left -= piece.len();
            if !piece.is_empty() && pieces.len() < PIECES_MAX {
                pieces.push(IoSlice::new(piece));
            }
        }
        pieces
    }

    /// `done`, when `written` bytes more were written: only whole blocks count, because only those can be written directly.
    fn advanced(done: usize, written: usize) -> io::Result<usize> {
        let advanced = (done + written) / BLOCK_BYTES * BLOCK_BYTES;
        if advanced > done { Ok(advanced) } else { Err(io::ErrorKind::WriteZero.into()) }
    }
}

/// One thread's way to the disk; one write is under way at a time.
pub(super) trait Disk: Send {
    /// Starts a write; the one before is complete.
    fn submit(&mut self, write: Write);

    /// Waits for the write that was submitted, and gives its chunks back.
    fn complete(&mut self) -> (Vec<Chunk>, io::Result<()>);

    /// Makes the file durable as far as it is written.
    fn sync(&mut self, file: &File) -> io::Result<()>;
}

/// How segments are opened and written.
#[derive(Clone)]
pub(super) enum Backend {
    /// Past the page cache, by io_uring.
    Uring,
    /// Past the page cache, by pwritev2.
    Direct,
    /// Through the page cache, each write followed by fdatasync.
    Synced,
    /// Into the page cache; nothing is synced.
    Cached,
    #[cfg(test)]
    Faulty(Arc<faulty::Faults>),
}

impl Backend {
    /// What to try, the best first.
    pub fn candidates(sync: bool) -> &'static [Backend] {
        if sync { &[Self::Uring, Self::Direct, Self::Synced] } else { &[Self::Cached] }
    }

    /// For messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Uring => "io_uring past the page cache",
            Self::Direct => "pwritev2 past the page cache",
            Self::Synced => "pwritev and fdatasync",
            Self::Cached => "page cache, not synced",
            #[cfg(test)]
            Self::Faulty(_) => "faulty",
        }
    }

    /// Makes a segment's file.
    pub fn create(&self, path: &Path) -> io::Result<File> {
        let flags = match self {
            Self::Uring | Self::Direct => OFlags::DIRECT,
            Self::Synced | Self::Cached => OFlags::empty(),
            #[cfg(test)]
            Self::Faulty(_) => OFlags::empty(),
        };
        OpenOptions::new().read(true).write(true).create_new(true).custom_flags(flags.bits() as i32).open(path)
    }

    /// For one thread.
    pub fn disk(&self) -> io::Result<Box<dyn Disk>> {
        Ok(match self {
            Self::Uring => Box::new(Uring::new()?),
            Self::Direct => Box::new(Pwrite::new(Durability::Dsync)),
            Self::Synced => Box::new(Pwrite::new(Durability::Fdatasync)),
            Self::Cached => Box::new(Pwrite::new(Durability::None)),
            #[cfg(test)]
            Self::Faulty(faults) => Box::new(faulty::Faulty::new(faults)),
        })
    }
}
