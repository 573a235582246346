//! Making files and names durable: one by one, or a whole file system at once where they are many.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::LakeError;

/// From so many on, one `syncfs` takes the place of a sync for each. Measured (ext4 on a virtual disk, 2026-11): a new file's own
/// sync takes 0.2 ms on an idle disk and 1 to 4 ms on a busy one, and its folder's as much; `syncfs` takes 1 ms for 64 new files and
/// 3 ms for 256. But it also waits for all that other processes have written, which is worth it only where many syncs are spared.
const MANY: usize = 64;

/// Magic numbers (linux/magic.h) of the file systems whose `syncfs` is known to bring everything to the disk and to report what
/// did not get there: ext2 to ext4, XFS, btrfs, F2FS, tmpfs. FUSE does not wait, overlayfs does not report.
const SYNCED_WHOLE: [u32; 5] = [0xEF53, 0x5846_5342, 0x9123_683E, 0xF2F5_2010, 0x0102_1994];

/// The file system of the data directory.
pub(super) struct Disk {
    data_dir: PathBuf,
    /// Open for as long as files are written: `syncfs` reports (since Linux 5.8) what failed since its descriptor was opened or
    /// last synced, written back in the background too.
    root: File,
    synced_whole: bool,
}

impl Disk {
    pub fn open(data_dir: &Path) -> Result<Self, LakeError> {
        let open = || -> io::Result<Self> {
            let root = File::open(data_dir)?;
            // The type's width differs between architectures; the numbers have 32 bits.
            let kind = rustix::fs::fstatfs(&root)?.f_type as u32;
            Ok(Self { data_dir: data_dir.to_owned(), root, synced_whole: SYNCED_WHOLE.contains(&kind) })
        };
        open().map_err(|source| LakeError::Io { action: "open", path: data_dir.to_owned(), source })
    }

    /// Whether `count` files or folders are to be synced by `sync_whole`, not each by itself.
    pub fn syncs_whole(&self, count: usize) -> bool {
        self.synced_whole && count >= MANY
    }

    /// Makes everything durable that was written so far, by other processes too.
    pub fn sync_whole(&self) -> Result<(), LakeError> {
        rustix::fs::syncfs(&self.root).map_err(|error| LakeError::Io {
            action: "sync the file system of",
            path: self.data_dir.clone(),
            source: error.into(),
        })
    }

    /// Makes the names in `folders` durable.
    pub fn sync_folders(&self, folders: &BTreeSet<PathBuf>) -> Result<(), LakeError> {
        if self.syncs_whole(folders.len()) {
            return self.sync_whole();
        }
        folders.iter().try_for_each(|folder| sync_folder(folder))
    }
}

/// A file that goes to the disk while it is written. Synced as one at its end, a large one would fill the disk's queue and its cache, and what the
/// log writes meanwhile would wait behind all of it.
pub(super) struct Paced {
    file: File,
    /// Not paced: the file is not synced at its end either.
    is_synced: bool,
    waiting: usize,
}

/// Bytes that are brought to the disk at once: a millisecond of it.
const PIECE: usize = 1 << 20;

impl Paced {
    pub fn new(file: File, is_synced: bool) -> Self {
        Self { file, is_synced, waiting: 0 }
    }

    /// The file; its last piece is not synced yet.
    pub fn into_inner(self) -> File {
        self.file
    }
}

impl Write for Paced {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_synced && self.waiting >= PIECE {
            self.file.sync_data()?;
            self.waiting = 0;
        }
        let written = self.file.write(&bytes[..bytes.len().min(PIECE)])?;
        self.waiting += written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), LakeError> {
    let sync = || File::open(folder)?.sync_all();
    sync().map_err(|source| LakeError::Io { action: "sync", path: folder.to_owned(), source })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_paced_file_is_whole_and_takes_no_more_than_a_piece_before_it_is_synced() {
        let bytes: Vec<u8> = (0..3 * PIECE + 1000).map(|at| (at * 31 / 8) as u8).collect();
        for is_synced in [true, false] {
            let path = tempfile::NamedTempFile::new().unwrap();
            let mut paced = Paced::new(File::create(path.path()).unwrap(), is_synced);
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let written = paced.write(rest).unwrap();
                assert!((1..=PIECE).contains(&written));
                assert_eq!(paced.waiting, if is_synced { written } else { bytes.len() - rest.len() + written });
                rest = &rest[written..];
            }
            drop(paced.into_inner());
            assert_eq!(std::fs::read(path.path()).unwrap(), bytes);
        }
    }
}
