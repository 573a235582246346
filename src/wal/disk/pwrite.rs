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
}

pub struct Pwrite(pub Durability);

impl Disk for Pwrite {
    fn write(&mut self, write: &Write) -> io::Result<()> {
        let durability = write.synced.then_some(self.0);
        let flags = if durability == Some(Durability::Dsync) { ReadWriteFlags::DSYNC } else { ReadWriteFlags::empty() };
        let mut done = 0;
        while done < write.bytes {
            match rustix::io::pwritev2(&*write.file, &write.pieces(done), write.offset + done as u64, flags) {
                Ok(written) => done = Write::advanced(done, written)?,
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if durability == Some(Durability::Fdatasync) { Ok(rustix::fs::fdatasync(&*write.file)?) } else { Ok(()) }
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        file.sync_all()
    }
}
