//! The disk by io_uring: a ring of its own, because the shards' runtime cannot give a write the flag that makes it durable.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;

use io_uring::{IoUring, opcode, types};
use rustix::io::{Errno, ReadWriteFlags};

use super::{Chunk, Disk, Write};

/// One write is under way at a time.
const ENTRIES: u32 = 4;

pub struct Uring {
    ring: IoUring,
    submitted: Option<Write>,
    /// What the kernel reads while a write is under way; points into `submitted`.
    pieces: Vec<IoSlice<'static>>,
}

impl Uring {
    pub fn new() -> io::Result<Self> {
        Ok(Self { ring: IoUring::new(ENTRIES)?, submitted: None, pieces: Vec::new() })
    }

    /// Queues what is left of the submitted write when `done` bytes are written.
    fn push(&mut self, done: usize) -> io::Result<()> {
        let Some(write) = &self.submitted else { return Ok(()) };
        // SAFETY: the chunks' memory does not move with the Write, and nobody touches it before the kernel is done with it: `wait` is
        // called after each push, the chunks are given back only then, and leaked where it cannot be known (`complete`). The pieces are
        // replaced only here, when nothing is under way.
        self.pieces = unsafe { std::mem::transmute::<Vec<IoSlice<'_>>, Vec<IoSlice<'static>>>(write.pieces(done)) };
        let flags = if write.synced { ReadWriteFlags::DSYNC.bits() } else { 0 };
        let file = types::Fd(write.file.as_raw_fd());
        // An IoSlice is an iovec.
        let entry = opcode::Writev::new(file, self.pieces.as_ptr().cast(), self.pieces.len() as u32)
            .offset(write.offset + done as u64)
            .rw_flags(flags as types::RwFlags)
            .build();
        // SAFETY: file, pieces and chunks belong to `self` until the write is complete.
        unsafe { self.ring.submission().push(&entry) }.map_err(io::Error::other)
    }

    /// Waits for what was pushed; `None` where it cannot be known whether the kernel is done with it.
    fn wait(&mut self) -> Option<io::Result<usize>> {
        loop {
            if let Some(entry) = self.ring.completion().next() {
                let result = entry.result();
                return Some(usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result)));
            }
            match self.ring.submit_and_wait(1) {
                Ok(_) => {}
                Err(error) if is_passing(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "io_uring does not answer");
                    return None;
                }
            }
        }
    }

    fn write(&mut self, bytes: usize) -> Option<io::Result<()>> {
        let mut done = 0;
        while done < bytes {
            if let Err(error) = self.push(done) {
                return Some(Err(error));
            }
            match self.wait()? {
                Err(error) if is_passing(&error) => {}
                Err(error) => return Some(Err(error)),
                Ok(written) => match Write::advanced(done, written) {
                    Ok(advanced) => done = advanced,
                    Err(error) => return Some(Err(error)),
                },
            }
        }
        Some(Ok(()))
    }
}

/// Interrupted, or short of something: worth another try.
fn is_passing(error: &io::Error) -> bool {
    [Errno::INTR, Errno::AGAIN, Errno::BUSY].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

impl Disk for Uring {
    fn submit(&mut self, write: Write) {
        self.submitted = Some(write);
    }

    fn complete(&mut self) -> (Vec<Chunk>, io::Result<()>) {
        let bytes = self.submitted.as_ref().map_or(0, |write| write.bytes);
        let result = self.write(bytes);
        let chunks = self.submitted.take().map(|write| write.chunks).unwrap_or_default();
        match result {
            Some(result) => (chunks, result),
            None => {
                // The kernel may still read them.
                std::mem::forget((chunks, std::mem::take(&mut self.pieces)));
                (Vec::new(), Err(io::Error::other("io_uring does not answer")))
            }
        }
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        file.sync_all()
    }
}
