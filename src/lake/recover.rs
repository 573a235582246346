//! What a start does before anything is published: makes the lake hold the committed files and no others.
//!
//! Every step may be cut off and all of it runs again at the next start.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::checkpoint;
use super::disk::{Disk, sync_folder};
use super::inventory::Inventory;
use super::manifest::{Contents, Manifest, Record};
use super::partition::FileName;
use super::{LakeError, counted};

/// What a data directory holds. Nothing in it was changed to find out.
#[derive(Debug)]
pub struct Inspected {
    data_dir: PathBuf,
    /// `None` if there is no manifest yet.
    manifest: Option<Contents>,
    /// The newest epoch in the names of Parquet files; `None` if there is no such file.
    in_lake: Option<u64>,
}

impl Inspected {
    /// How much of the catalog's file the committed files rely on.
    pub fn catalog_bytes_min(&self) -> u64 {
        self.records().iter().map(Record::catalog_bytes).max().unwrap_or(0)
    }

    /// Whether nothing was ever published from here: there is no manifest.
    pub fn is_new(&self) -> bool {
        self.manifest.is_none()
    }

    pub(super) fn into_data_dir(self) -> PathBuf {
        self.data_dir
    }

    fn records(&self) -> &[Record] {
        self.manifest.as_ref().map_or(&[], |manifest| &manifest.records)
    }
}

/// Reads the manifest and the names in the lake: the first step of a start, which may still be refused.
///
/// # Errors
/// The manifest is damaged, or missing beside files; a folder or file cannot be read.
pub fn inspect(data_dir: &Path) -> Result<Inspected, LakeError> {
    let path = data_dir.join("state/manifest");
    let lake = data_dir.join("lake");
    let exists = path.try_exists();
    let exists = exists.map_err(|source| LakeError::Io { action: "look for", path: path.clone(), source })?;
    let manifest = if exists { Some(Contents::read(&path)?) } else { None };
    let records = manifest.as_ref().map_or(&[][..], |manifest| &manifest.records);
    let committed: HashSet<PathBuf> = review(records).committed.into_iter().map(PathBuf::from).collect();
    let mut missing = committed.clone();
    let Found { newest: in_lake, mut own } = walk(data_dir, manifest.as_ref(), &mut missing)?;
    if manifest.is_none() && in_lake.is_some() {
        return Err(LakeError::ManifestMissing { path, lake });
    }
    // An intent is durable before its files get their names.
    for record in records {
        for add in record.adds() {
            own.remove(Path::new(add));
        }
    }
    if let Some(file) = own.into_iter().next() {
        return Err(LakeError::ManifestCut { path, file: data_dir.join(file) });
    }
    // The walk does not follow links out of the lake.
    missing.retain(|file| !data_dir.join(file).exists());
    if !missing.is_empty() {
        tracing::warn!(
            "files are missing: {} of {} that {} names as committed cannot be found below {}; their points are lost unless they are put back",
            missing.len(),
            committed.len(),
            path.display(),
            lake.display()
        );
    }
    Ok(Inspected { data_dir: data_dir.to_owned(), manifest, in_lake })
}

/// What a walk through the lake finds.
struct Found {
    /// The newest epoch in the names of Parquet files; `None` if there is no such file. A Parquet file with another kind of name counts
    /// as epoch 0.
    newest: Option<u64>,
    /// The Parquet files with the manifest's node id in their names, relative to the data directory.
    own: HashSet<PathBuf>,
}

/// Walks through the lake and takes what it finds out of `missing` (paths relative to the data directory).
fn walk(data_dir: &Path, manifest: Option<&Contents>, missing: &mut HashSet<PathBuf>) -> Result<Found, LakeError> {
    let mut own = HashSet::new();
    let mut newest = None;
    let mut folders = vec![PathBuf::from("lake")];
    while let Some(folder) = folders.pop() {
        let path = data_dir.join(&folder);
        let error = |source| LakeError::Io { action: "read", path: path.clone(), source };
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(error)?,
        };
        for entry in entries {
            let entry = entry.map_err(error)?;
            let inside = folder.join(entry.file_name());
            if entry.file_type().map_err(error)?.is_dir() {
                folders.push(inside);
            } else if let Some(name) = entry.file_name().to_str().filter(|name| name.ends_with(".parquet")) {
                let known = FileName::parse(name);
                newest = newest.max(Some(known.map_or(0, |name| name.epoch)));
                missing.remove(&inside);
                if known.is_some_and(|name| manifest.is_some_and(|manifest| manifest.node == name.node)) {
                    own.insert(inside);
                }
            }
        }
    }
    Ok(Found { newest, own })
}

/// The lake after recovery.
pub(super) struct Recovered {
    pub manifest: Manifest,
    pub disk: Disk,
    /// The last epoch with a commit; 0 if there is none.
    pub committed: u64,
    /// The last epoch that the manifest or a file name in the lake mentions, one that was taken back too; 0 if there is none.
    pub epoch_floor: u64,
    pub inventory: Inventory,
}

/// Brings the data directory into order, in the order that crash safety needs (docs/FORMATS.md, "Recovery").
pub(super) fn recover(inspected: &Inspected) -> Result<Recovered, LakeError> {
    let data_dir = &inspected.data_dir;
    let temporary = data_dir.join("tmp");
    for folder in [&data_dir.join("state"), &data_dir.join("lake"), &temporary] {
        make_folder(folder)?;
    }
    sync_folder(data_dir)?;
    let disk = Disk::open(data_dir)?;
    let mut manifest = open_manifest(inspected)?;
    // Names that a killed process placed may not be durable yet, nor their folders: one call for all of them.
    disk.sync_whole()?;

    let Review { committed: files, removed, open, epoch: committed } = review(inspected.records());
    unlink_all(data_dir, &removed, &manifest, &disk)?;
    for (epoch, adds) in open {
        unlink_all(data_dir, &adds, &manifest, &disk)?;
        let count = counted(adds.len() as u64, "file");
        let what = if epoch > committed { "epoch" } else { "a compaction up to epoch" };
        tracing::info!("rolled {what} {epoch} back: it was to add {count}, which had not been committed");
        manifest.append(&Record::Abort { epoch }).map_err(|source| LakeError::Io {
            action: "write",
            path: manifest.path().to_owned(),
            source,
        })?;
    }
    clear(&temporary)?;
    let in_manifest = inspected.records().iter().map(Record::floor).max().unwrap_or(0);
    let epoch_floor = in_manifest.max(inspected.in_lake.unwrap_or(0));
    let inventory = files.into_iter().collect();
    // Last: all that the records before it left to do is done.
    let manifest = checkpoint::condense(manifest, inspected.records())?;
    Ok(Recovered { manifest, disk, committed, epoch_floor, inventory })
}

fn make_folder(folder: &Path) -> Result<(), LakeError> {
    fs::create_dir_all(folder).map_err(|source| LakeError::Io { action: "create", path: folder.to_owned(), source })
}

fn open_manifest(inspected: &Inspected) -> Result<Manifest, LakeError> {
    let Some(read) = &inspected.manifest else {
        return Manifest::create(&inspected.data_dir.join("state/manifest"));
    };
    let manifest = Manifest::open(read)?;
    if read.torn_bytes > 0 {
        let path = manifest.path().display();
        tracing::info!(
            "{path}: cut {} off, of a last record that was not written whole",
            counted(read.torn_bytes, "byte")
        );
    }
    Ok(manifest)
}

/// What the manifest's records come to. Paths are relative to the data directory.
#[derive(Default)]
pub(super) struct Review<'a> {
    /// The last that was committed; 0 if none was.
    pub epoch: u64,
    /// Files that belong to the lake.
    pub committed: HashSet<&'a str>,
    /// Files that a commit took out of it.
    removed: Vec<&'a str>,
    /// Intents that are neither committed nor aborted: the epoch, and the files that it was to add.
    pub open: Vec<(u64, Vec<&'a str>)>,
}

pub(super) fn review(records: &[Record]) -> Review<'_> {
    let mut review = Review::default();
    let mut open: Vec<(u64, &[String], &[String])> = Vec::new();
    for record in records {
        match record {
            Record::Intent { epoch, adds, removes } => open.push((*epoch, adds, removes)),
            Record::Commit { epoch, .. } => {
                review.epoch = review.epoch.max(*epoch);
                for (_, adds, removes) in open.extract_if(.., |intent| intent.0 == *epoch) {
                    review.committed.extend(adds.iter().map(String::as_str));
                    for file in removes {
                        review.committed.remove(file.as_str());
                        review.removed.push(file);
                    }
                }
            }
            Record::Abort { epoch } => open.retain(|intent| intent.0 != *epoch),
            Record::Checkpoint { epoch, files, .. } => {
                review.epoch = *epoch;
                review.committed = files.iter().map(String::as_str).collect();
            }
        }
    }
    for (epoch, adds, _) in open {
        review.open.push((epoch, adds.iter().map(String::as_str).collect()));
    }
    review
}

/// Unlinks files of the lake, those that are there, and syncs their folders.
pub(super) fn unlink_all(data_dir: &Path, files: &[&str], manifest: &Manifest, disk: &Disk) -> Result<(), LakeError> {
    let mut folders = BTreeSet::new();
    for file in files {
        let path = in_lake(data_dir, file).ok_or_else(|| LakeError::ManifestPath {
            manifest: manifest.path().to_owned(),
            file: (*file).to_owned(),
        })?;
        match fs::remove_file(&path) {
            Ok(()) => folders.extend(path.parent().map(Path::to_owned)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(LakeError::Io { action: "remove", path, source }),
        }
    }
    disk.sync_folders(&folders)
}

/// The path of a lake file; `None` if it would lead out of the lake.
fn in_lake(data_dir: &Path, file: &str) -> Option<PathBuf> {
    let path = Path::new(file);
    let plain = path.components().all(|component| matches!(component, Component::Normal(_)));
    (plain && path.starts_with("lake")).then(|| data_dir.join(path))
}

/// Removes what an earlier process wrote aside.
fn clear(temporary: &Path) -> Result<(), LakeError> {
    let error = |source| LakeError::Io { action: "empty", path: temporary.to_owned(), source };
    for entry in fs::read_dir(temporary).map_err(error)? {
        let entry = entry.map_err(error)?;
        if entry.file_type().map_err(error)?.is_file() {
            fs::remove_file(entry.path()).map_err(error)?;
        }
    }
    Ok(())
}
