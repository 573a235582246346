//! Where groups go: one write at a time, on whatever the file system allows.
//!
//! By a blocking call, not by io_uring. Where the disk has no write that is durable by itself (FUA), the kernel follows a synced write by a
//! flush, and for io_uring does that on a worker that is bound to the processor which took the disk's interrupt: behind whatever
//! thread computes there, for milliseconds. The thread that waits in a system call does it itself, wherever there is room.

mod chunk;
#[cfg(test)]
pub(super) mod faulty;
mod pwrite;

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::OFlags;

pub(super) use chunk::{CHUNK_BYTES, Chunk};

use super::format::BLOCK_BYTES;
use pwrite::{Durability, Pwrite};

/// Most pieces of one write (UIO_MAXIOV of the kernel); a longer one is several. Few in tests, so that there are longer ones.
const PIECES_MAX: usize = if cfg!(test) { 10 } else { 1024 };

/// One write.
pub(super) struct Write {
    pub file: Arc<File>,
    pub offset: u64,
    /// A multiple of [`BLOCK_BYTES`], as the offset is.
    pub bytes: usize,
    /// Hold the bytes, from their beginning.
    pub chunks: Vec<Chunk>,
    /// Whether it is to be durable when it is done; otherwise that needs a [`Disk::sync`].
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

/// One thread's way to the disk.
pub(super) trait Disk: Send {
    /// Writes all of it, and returns when it is as durable as it asks to be.
    fn write(&mut self, write: &Write) -> io::Result<()>;

    /// Makes the file durable as far as it is written.
    fn sync(&mut self, file: &File) -> io::Result<()>;
}

/// How segments are opened and written.
#[derive(Clone)]
pub(super) enum Backend {
    /// Past the page cache.
    Direct,
    /// Through the page cache, each write followed by fdatasync.
    Synced,
    /// Into the page cache, where groups stay until the kernel writes them.
    Cached,
    #[cfg(test)]
    Faulty(Arc<faulty::Faults>),
}

impl Backend {
    /// What to try, the best first.
    pub fn candidates(sync: bool) -> &'static [Backend] {
        if sync { &[Self::Direct, Self::Synced] } else { &[Self::Cached] }
    }

    /// Whether groups are not synced.
    pub fn is_cached(&self) -> bool {
        matches!(self, Self::Cached)
    }

    /// For messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Direct => "past the page cache",
            Self::Synced => "pwritev and fdatasync",
            Self::Cached => "page cache, not synced",
            #[cfg(test)]
            Self::Faulty(_) => "faulty",
        }
    }

    /// Makes a segment's file.
    pub fn create(&self, path: &Path) -> io::Result<File> {
        let flags = match self {
            Self::Direct => OFlags::DIRECT,
            Self::Synced | Self::Cached => OFlags::empty(),
            #[cfg(test)]
            Self::Faulty(_) => OFlags::empty(),
        };
        OpenOptions::new().read(true).write(true).create_new(true).custom_flags(flags.bits() as i32).open(path)
    }

    /// For one thread.
    pub fn disk(&self) -> Box<dyn Disk> {
        match self {
            Self::Direct | Self::Cached => Box::new(Pwrite(Durability::Dsync)),
            Self::Synced => Box::new(Pwrite(Durability::Fdatasync)),
            #[cfg(test)]
            Self::Faulty(faults) => Box::new(faulty::Faulty::new(faults)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn write(chunks: usize, bytes: usize) -> Write {
        let file = Arc::new(tempfile::tempfile().unwrap());
        Write { file, offset: 0, bytes, chunks: (0..chunks).map(|_| Chunk::new()).collect(), synced: false }
    }

    #[test]
    fn pieces_are_what_is_left() {
        let write = write(3, 2 * CHUNK_BYTES + BLOCK_BYTES);
        let lengths = |done| write.pieces(done).iter().map(|piece| piece.len()).collect::<Vec<_>>();
        assert_eq!(lengths(0), [CHUNK_BYTES, CHUNK_BYTES, BLOCK_BYTES]);
        assert_eq!(lengths(BLOCK_BYTES), [CHUNK_BYTES - BLOCK_BYTES, CHUNK_BYTES, BLOCK_BYTES]);
        assert_eq!(lengths(CHUNK_BYTES), [CHUNK_BYTES, BLOCK_BYTES]);
        assert_eq!(lengths(2 * CHUNK_BYTES), [BLOCK_BYTES]);
        assert_eq!(write.pieces(BLOCK_BYTES)[0].as_ptr(), write.chunks[0][BLOCK_BYTES..].as_ptr());
    }

    /// The kernel may write less than it was asked for; the rest must begin at a whole block.
    #[test]
    fn a_short_write_goes_on_at_its_last_block() {
        assert_eq!(Write::advanced(0, 3 * BLOCK_BYTES).unwrap(), 3 * BLOCK_BYTES);
        assert_eq!(Write::advanced(BLOCK_BYTES, 2 * BLOCK_BYTES + 512).unwrap(), 3 * BLOCK_BYTES);
        assert_eq!(Write::advanced(BLOCK_BYTES, 512).unwrap_err().kind(), io::ErrorKind::WriteZero);
        assert_eq!(Write::advanced(BLOCK_BYTES, 0).unwrap_err().kind(), io::ErrorKind::WriteZero);
    }

    /// More pieces than the kernel takes at once: several writes, all of the bytes.
    #[test]
    fn every_disk_writes_all_of_a_long_write() {
        const LONG: usize = 2 * PIECES_MAX + 3;
        let dir = tempfile::tempdir().unwrap();
        for (number, backend) in Backend::candidates(true).iter().chain(Backend::candidates(false)).enumerate() {
            let path = dir.path().join(number.to_string());
            let file = Arc::new(backend.create(&path).unwrap());
            let mut disk = backend.disk();
            // One byte in each chunk, and the last block cut.
            let mut chunks: Vec<Chunk> = (0..LONG).map(|_| Chunk::new()).collect();
            chunks.iter_mut().enumerate().for_each(|(index, chunk)| chunk[index] = 1 + (index % 200) as u8);
            let bytes = LONG * CHUNK_BYTES - BLOCK_BYTES;
            let offset = BLOCK_BYTES as u64;
            disk.write(&Write { file: Arc::clone(&file), offset, bytes, chunks, synced: true }).unwrap();
            disk.sync(&file).unwrap();
            let written = std::fs::read(&path).unwrap();
            assert_eq!(written.len(), BLOCK_BYTES + bytes, "{}", backend.name());
            let marks =
                (0..LONG).all(|index| written[BLOCK_BYTES + index * CHUNK_BYTES + index] == 1 + (index % 200) as u8);
            assert!(marks, "{}", backend.name());
            std::fs::remove_file(&path).unwrap();
        }
    }
}
