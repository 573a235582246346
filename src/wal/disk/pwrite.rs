//! The disk by plain system calls.

use std::fs::File;
use std::io;

use rustix::io::{Errno, ReadWriteFlags};

use super::{Chunk, Disk, Write};

/// How a write becomes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// By a flag of the write.
    Dsync,
    Fdatasync,
    /// Not at all.
    None,
}

pub struct Pwrite {
    durability: Durability,
    submitted: Option<Write>,
}

impl Pwrite {
    pub fn new(durability: Durability) -> Self {
        Self { durability, submitted: None }
    }

    fn write(&self, write: &Write) -> io::Result<()> {
        let durability = if write.synced { self.durability } else { Durability::None };
        let flags = match durability {
            Durability::Dsync => ReadWriteFlags::DSYNC,
            Durability::Fdatasync | Durability::None => ReadWriteFlags::empty(),
        };
        let mut done = 0;
        while done < write.bytes {
            match rustix::io::pwritev2(&*write.file, &write.pieces(done), write.offset + done as u64, flags) {
                Ok(written) => done = Write::advanced(done, written)?,
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if durability == Durability::Fdatasync { Ok(rustix::fs::fdatasync(&*write.file)?) } else { Ok(()) }
    }
}

impl Disk for Pwrite {
    fn submit(&mut self, write: Write) {
        self.submitted = Some(write);
    }

    fn complete(&mut self) -> (Vec<Chunk>, io::Result<()>) {
        let Some(write) = self.submitted.take() else { return (Vec::new(), Ok(())) };
        let result = self.write(&write);
        (write.chunks, result)
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        if self.durability == Durability::None { Ok(()) } else { file.sync_all() }
    }
}
