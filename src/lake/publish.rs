//! The steps that make an epoch's files part of the lake, in the order that a crash at any point leaves it whole:
//! files aside and synced; intent; names; folders synced; catalog; commit; files that it replaces removed.
//!
//! Nothing but this module and recovery changes the lake or the manifest, so that another target (object storage, where a
//! commit is one put-if-absent) has one place to go.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use crate::catalog::{Catalog, Saved};

use super::checkpoint::{self, Outcome};
use super::disk::Disk;
use super::encode::Written;
use super::manifest::{Manifest, NodeId, Record};
use super::partition::FileName;
use super::recover::unlink_all;

/// Folders remembered as durable; more than a node writes to between two starts, and a few MiB.
const DURABLE_FOLDERS_MAX: usize = 16 * 1024;

/// How long files stay beside those that took their place: longer than the listing of a folder takes, which otherwise may have passed the place of
/// a new name before it was there, and come to those of the old ones when they are gone.
pub(super) const LINGER: Duration = Duration::from_millis(200);

/// A running node keeps so much of the length at which it condenses its manifest as it is, for those who follow the feed of changes.
const KEPT_SHARE: u64 = 8;
/// Where the manifest could not be condensed, this is tried again when it has grown by so much of that length.
const RETRY_SHARE: u64 = 16;

/// A file written aside, and where it belongs.
#[derive(Clone, Debug)]
pub(super) struct Staged {
    /// Absolute, below `tmp/`.
    pub aside: PathBuf,
    /// Relative to the data directory.
    pub target: String,
    pub written: Written,
}

/// Why an epoch could not be published.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing of the attempt is left; it may be made again.
    Again(String),
    /// What is on disk is unknown until the next start looks.
    Stop(String),
}

impl Failure {
    pub fn reason(&self) -> &str {
        let (Self::Again(reason) | Self::Stop(reason)) = self;
        reason
    }
}

/// Files that take the place of committed ones, which may be none: then those just go.
pub(super) struct Replacement {
    /// Committed already; the last one of the files.
    pub epoch: u64,
    pub files: Vec<Staged>,
    /// Committed files, relative to the data directory.
    pub removes: Vec<String>,
}

/// Publishes epochs, one at a time.
pub(super) struct Publisher {
    data_dir: PathBuf,
    disk: Disk,
    manifest: Manifest,
    /// Files that are not part of the lake any more, and when they are to be removed.
    left_over: Vec<(Instant, String)>,
    /// Folders whose names are durable, with all that lie above them.
    durable: HashSet<PathBuf>,
    /// A manifest of so many bytes is condensed.
    condense_bytes: u64,
    /// And when it has become so long, not before.
    condense_at: u64,
}

impl Publisher {
    pub fn new(data_dir: PathBuf, disk: Disk, manifest: Manifest) -> Self {
        let (left_over, durable) = (Vec::new(), HashSet::new());
        Self { data_dir, disk, manifest, left_over, durable, condense_bytes: u64::MAX, condense_at: u64::MAX }
    }

    /// Lets the manifest be condensed when it has at least so many bytes and twice as many as now.
    pub fn condense_from(mut self, bytes: u64) -> Self {
        self.condense_bytes = bytes;
        self.condense_at = bytes.max(self.manifest.bytes().saturating_mul(2));
        self
    }

    /// Whether the manifest is to be condensed now: a file that a commit removed is named by it until it is gone.
    pub fn is_to_condense(&self) -> bool {
        self.manifest.bytes() >= self.condense_at && self.left_over.is_empty()
    }

    /// Condenses the manifest if that is worth it.
    pub fn condense(&mut self) -> Result<(), Failure> {
        let outcome = checkpoint::condense(&mut self.manifest, self.condense_bytes / KEPT_SHARE);
        let outcome = outcome.map_err(|error| {
            Failure::Stop(format!("{error}; publishing has stopped, repair the disk and restart the node"))
        })?;
        let bytes = self.manifest.bytes();
        self.condense_at = match outcome {
            Outcome::Condensed => self.condense_bytes.max(bytes.saturating_mul(2)),
            Outcome::NotWorthIt | Outcome::Failed => bytes + self.condense_bytes / RETRY_SHARE,
        };
        Ok(())
    }

    pub fn node(&self) -> NodeId {
        self.manifest.node()
    }

    /// Whether the files of an epoch of `count`, or more, are synced here, all at once, and not by those who write them.
    pub fn syncs_files(&self, count: usize) -> bool {
        self.disk.syncs_whole(count)
    }

    /// Makes `files`, written aside (and synced, unless `syncs_files`), the files of `epoch`. Says what of the catalog is durable by then.
    pub fn publish(&mut self, epoch: u64, files: &[Staged], catalog: &Catalog) -> Result<Saved, Failure> {
        self.add(epoch, files, &[], catalog)
    }

    /// Puts files in the place of others. The new ones appear before the old ones go: a reader may see rows twice meanwhile, and misses
    /// none. Where there are new ones, the old ones stay for a while (`sweep`): a listing of the folder that began before the new names were
    /// there may still be under way.
    pub fn replace(&mut self, replacement: &Replacement, catalog: &Catalog) -> Result<Saved, Failure> {
        let Replacement { epoch, files, removes } = replacement;
        let saved = self.add(*epoch, files, removes, catalog)?;
        let now = Instant::now();
        let due = if files.is_empty() { now } else { now + LINGER };
        self.left_over.extend(removes.iter().map(|file| (due, file.clone())));
        self.sweep(now);
        if files.is_empty() {
            self.remove_empty_folders(removes);
        }
        Ok(saved)
    }

    /// Takes committed files that are lost out of the lake.
    pub fn forget(&mut self, files: Vec<String>) -> Result<(), Failure> {
        let names = files.iter().filter_map(|file| FileName::parse(file.rsplit('/').next()?));
        let epoch = names.map(|name| name.epoch).max().unwrap_or(0);
        self.record(&Record::Loss { epoch, files })
    }

    /// Folders that have lost their last file. One that comes back after a power cut is as good as none.
    fn remove_empty_folders(&mut self, removed: &[String]) {
        let folders: BTreeSet<&Path> = removed.iter().filter_map(|file| Path::new(file).parent()).collect();
        for folder in folders {
            let folder = self.data_dir.join(folder);
            // Where something else lies in it, it stays.
            if fs::remove_dir(&folder).is_ok() {
                self.durable.remove(&folder);
            }
        }
    }

    /// Removes the files that others took the place of, those that are to be gone by `due`. What cannot be removed is tried again by the
    /// next call, and by the next start.
    pub fn sweep(&mut self, due: Instant) {
        let (gone, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.left_over).into_iter().partition(|(at, _)| *at <= due);
        self.left_over = kept;
        let files: Vec<&str> = gone.iter().map(|(_, file)| file.as_str()).collect();
        if unlink_all(&self.data_dir, &files, &self.manifest, &self.disk).is_ok() {
            return;
        }
        // One that cannot go must not keep the others. They are no part of the lake by now, so that nothing is undone.
        for (at, file) in gone {
            if let Err(error) = unlink_all(&self.data_dir, &[&file], &self.manifest, &self.disk) {
                tracing::error!(
                    "a file that others took the place of is still there, so that readers see its rows twice: {error}"
                );
                self.left_over.push((at, file));
            }
        }
    }

    /// Removes the last of them, when their time has come: nobody does it later, but for the next start.
    pub fn finish(&mut self) {
        if let Some(last) = self.left_over.iter().map(|(at, _)| *at).max() {
            std::thread::sleep(last.saturating_duration_since(Instant::now()));
            self.sweep(last);
        }
    }

    fn add(&mut self, epoch: u64, files: &[Staged], removes: &[String], catalog: &Catalog) -> Result<Saved, Failure> {
        self.make_folders(files)?;
        self.intend(epoch, files, removes)?;
        let mut placed = 0;
        let saved = self.place(files, &mut placed).and_then(|()| self.sync_folders(files)).and_then(|()| save(catalog));
        let committed = saved.map_err(Failure::Again).and_then(|saved| {
            self.commit(epoch, saved.bytes)?;
            Ok(saved)
        });
        if let Err(Failure::Again(reason)) = &committed {
            self.undo(epoch, files, placed, reason)?;
        }
        committed
    }

    /// Makes the folders of `files`, durably: a folder is lost with its files if its name in the folder above is. Files that
    /// nobody has synced become durable by the same call.
    pub(super) fn make_folders(&mut self, files: &[Staged]) -> Result<(), Failure> {
        if self.durable.len() > DURABLE_FOLDERS_MAX {
            self.durable.clear();
        }
        let (mut made, mut above) = (HashSet::new(), BTreeSet::new());
        for folder in folders(files) {
            let mut path = self.data_dir.clone();
            for name in folder.components() {
                let parent = path.clone();
                path.push(name);
                if self.durable.contains(&path) || made.contains(&path) {
                    continue;
                }
                match fs::create_dir(&path) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(Failure::Again(format!("cannot create {}: {error}", path.display())));
                    }
                    _ => {}
                }
                above.insert(parent);
                made.insert(path.clone());
            }
        }
        let whole = self.syncs_files(files.len());
        let synced = if whole { self.disk.sync_whole() } else { self.disk.sync_folders(&above) };
        synced.map_err(|error| Failure::Again(error.to_string()))?;
        self.durable.extend(made);
        Ok(())
    }

    pub(super) fn intend(&mut self, epoch: u64, files: &[Staged], removes: &[String]) -> Result<(), Failure> {
        let adds = files.iter().map(|file| file.target.clone()).collect();
        self.record(&Record::Intent { epoch, adds, removes: removes.to_vec() })
    }

    /// Gives the files their names, never over an existing one; `placed` counts them.
    pub(super) fn place(&self, files: &[Staged], placed: &mut usize) -> Result<(), String> {
        for file in files {
            let target = self.data_dir.join(&file.target);
            rename_new(&file.aside, &target).map_err(|error| format!("cannot place {}: {error}", target.display()))?;
            *placed += 1;
        }
        Ok(())
    }

    pub(super) fn sync_folders(&self, files: &[Staged]) -> Result<(), String> {
        let folders = folders(files).into_iter().map(|folder| self.data_dir.join(folder)).collect();
        self.disk.sync_folders(&folders).map_err(|error| error.to_string())
    }

    /// `catalog_bytes`: how much of the catalog is durable, and relied upon from here on.
    pub(super) fn commit(&mut self, epoch: u64, catalog_bytes: u64) -> Result<(), Failure> {
        self.record(&Record::Commit { epoch, catalog_bytes })
    }

    /// Takes back what `place` did after an intent, and closes the intent. A file whose name was taken by a stranger
    /// still lies aside; the stranger's file is left alone.
    fn undo(&mut self, epoch: u64, files: &[Staged], placed: usize, reason: &str) -> Result<(), Failure> {
        // A file that is not aside any more has been placed, whatever the call said.
        let named = |(index, file): &(usize, &Staged)| *index < placed || !file.aside.exists();
        for (_, file) in files.iter().enumerate().filter(named) {
            let target = self.data_dir.join(&file.target);
            match fs::remove_file(&target) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Failure::Stop(format!(
                        "{reason}; then {} could not be taken back: {error}; restart the node",
                        target.display()
                    )));
                }
                _ => {}
            }
        }
        self.sync_folders(files)
            .map_err(|error| Failure::Stop(format!("{reason}; then: {error}; restart the node")))?;
        // Left open, the intent would make a later commit of the same epoch its own.
        self.record(&Record::Abort { epoch })
            .map_err(|failure| Failure::Stop(format!("{reason}; then: {}; restart the node", failure.reason())))
    }

    fn record(&mut self, record: &Record) -> Result<(), Failure> {
        let Err(error) = self.manifest.append(record) else { return Ok(()) };
        let path = self.manifest.path().display();
        Err(if self.manifest.is_poisoned() {
            Failure::Stop(format!(
                "cannot sync {path}: {error}; publishing has stopped, repair the disk and restart the node"
            ))
        } else {
            Failure::Again(format!("cannot write {path}: {error}"))
        })
    }
}

pub(super) fn save(catalog: &Catalog) -> Result<Saved, String> {
    catalog.save().map_err(|error| format!("cannot save the catalog: {error}"))
}

/// The distinct folders of `files`, relative to the data directory.
fn folders(files: &[Staged]) -> BTreeSet<&Path> {
    files.iter().filter_map(|file| Path::new(&file.target).parent()).collect()
}

/// Renames `from` to `to`, which must not exist. File systems without RENAME_NOREPLACE (NFS) do it by a hard link.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        result => Ok(result?),
    }
}
