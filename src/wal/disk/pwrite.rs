//! The disk by plain system calls.

use std::fs::File;
use std::io;

use rustix::io::{Errno, ReadWriteFlags};

use super::{Disk, Write};

/// How a write becomes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// By a flag of the write.
    Dsync,
    Fdatasync,
    /// Not at all.
    None,
}

pub struct Pwrite(pub Durability);

impl Disk for Pwrite {
    fn write(&mut self, write: &Write) -> io::Result<()> {
        let durability = if write.synced { self.0 } else { Durability::None };
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

    fn sync(&mut self, file: &File) -> io::Result<()> {
        if self.0 == Durability::None { Ok(()) } else { file.sync_all() }
    }
}
