//! The thread that keeps a spare segment ready, and removes what is of no more use.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::disk::{Backend, CHUNK_BYTES, Chunk, Disk, Write};
use super::format::segment_name;
use super::segments::{Segment, Step};
use super::shared::Shared;

/// How long to wait before a spare is tried again that the disk or the limit had no room for.
const RETRY: Duration = Duration::from_millis(200);
/// Chunks of one write of zeros: as much as the disk takes at full speed, and not so much that a group behind it waits long.
const ZERO_CHUNKS: usize = 4;
/// Zeros that the disk may have in its cache: the next group's sync waits for them.
const SYNC_BYTES: u64 = 8 << 20;

/// Makes segments.
pub struct Maker {
    backend: Backend,
    disk: Box<dyn Disk>,
    dir: PathBuf,
    disk_reserve: u64,
    life: u64,
    /// Of the next segment.
    number: u32,
}

impl Maker {
    pub fn new(backend: Backend, dir: &Path, disk_reserve: u64, life: u64) -> Self {
        let disk = backend.disk();
        Self { backend, disk, dir: dir.to_owned(), disk_reserve, life, number: 0 }
    }

    /// Bytes that the log may still take from the file system.
    pub fn available(&self) -> u64 {
        // A file system that does not tell is asked by writing.
        let disk = rustix::fs::statvfs(&self.dir).ok().filter(|disk| disk.f_blocks > 0);
        let free = disk.map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        free.saturating_sub(self.disk_reserve)
    }

    /// A segment that reads as zeros, which are on disk unless groups are not synced either; its name is on disk.
    pub fn make(&mut self, bytes: u64) -> io::Result<Segment> {
        let path = self.dir.join(segment_name(self.life, self.number));
        self.number += 1;
        let file = Arc::new(self.backend.create(&path)?);
        let made = self.fill(&file, bytes).and_then(|()| sync_folder(&self.dir));
        if let Err(error) = made {
            // What cannot be removed either holds zeros, and is removed by the next start.
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        Ok(Segment { file, path, bytes, first_sequence: 0, epoch_max: 0, births: 0 })
    }

    /// Real zeros: blocks that were only allocated cost a change of the file's extents with the first write to each. What goes to the page
    /// cache only needs room.
    fn fill(&mut self, file: &Arc<File>, bytes: u64) -> io::Result<()> {
        if self.backend.is_cached() {
            match rustix::fs::fallocate(&**file, FallocateFlags::empty(), 0, bytes) {
                Err(Errno::OPNOTSUPP) => {}
                result => return Ok(result?),
            }
        }
        let chunks = (0..ZERO_CHUNKS).map(|_| Chunk::new()).collect();
        let is_synced = !self.backend.is_cached();
        let mut write = Write { file: Arc::clone(file), offset: 0, bytes: 0, chunks, synced: false };
        while write.offset < bytes {
            write.bytes = (bytes - write.offset).min((ZERO_CHUNKS * CHUNK_BYTES) as u64) as usize;
            let end = write.offset + write.bytes as u64;
            // The last one in any case, and in the way of a group: what refuses that is known before there are any.
            write.synced = is_synced && (end == bytes || end.is_multiple_of(SYNC_BYTES));
            self.disk.write(&write)?;
            write.offset = end;
        }
        if is_synced { self.disk.sync(file) } else { Ok(()) }
    }

    /// Keeps a spare ready until the log ends.
    pub fn run(mut self, shared: &Shared) {
        let mut complained = false;
        loop {
            let available = self.available();
            let Some(step) = shared.next_step(available, RETRY) else { return };
            match step {
                Step::Wait | Step::Adopted(_) | Step::Retired | Step::Blocked => {}
                Step::Remove(segment) => {
                    let removed = remove(&segment.path);
                    complained = report(&removed, complained, "remove", &segment.path);
                    shared.removed(segment, removed.is_ok(), RETRY);
                }
                Step::Make(bytes) => {
                    let made = self.make(bytes);
                    complained = report(&made, complained, "make a segment of the log in", &self.dir);
                    shared.made(bytes, made.ok(), RETRY);
                }
            }
        }
    }
}

/// Says once what is being tried again and again; whether it was said.
fn report<T>(result: &io::Result<T>, was_said: bool, action: &str, path: &Path) -> bool {
    match result {
        Ok(_) => false,
        Err(error) => {
            if !was_said {
                tracing::warn!(%error, "cannot {action} {}; trying again", path.display());
            }
            true
        }
    }
}

/// Removes a segment's file, durably. One that is gone already is removed.
pub fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    path.parent().map_or(Ok(()), sync_folder)
}

/// Makes the names in a folder durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    // The parent of a relative name.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}
