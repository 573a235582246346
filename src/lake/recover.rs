//! What a start does before anything is published: makes the lake hold the committed files and no others.
//!
//! Every step may be cut off and all of it runs again at the next start.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use super::LakeError;
use super::manifest::{Manifest, Opened, Record};
use super::partition::epoch_of;
use super::publish::sync_folder;

/// The lake after recovery.
pub(super) struct Recovered {
    pub manifest: Manifest,
    /// The last epoch that the manifest or a file name in the lake mentions; 0 if there is none.
    pub epoch_floor: u64,
    /// The manifest holds a commit.
    pub has_commits: bool,
}

/// Brings `data_dir` into order, in the order that crash safety needs (docs/FORMATS.md, "Recovery").
pub(super) fn recover(data_dir: &Path) -> Result<Recovered, LakeError> {
    let state = data_dir.join("state");
    let lake = data_dir.join("lake");
    let temporary = data_dir.join("tmp");
    for folder in [data_dir, &state, &lake, &temporary] {
        make_folder(folder)?;
    }
    sync_folder(data_dir).map_err(|source| LakeError::Io { action: "sync", path: data_dir.to_owned(), source })?;

    let in_lake = newest_epoch(&lake)?;
    let Opened { manifest, records, torn_bytes } = open_manifest(&state.join("manifest"), &lake, in_lake)?;
    if torn_bytes > 0 {
        tracing::info!(
            "{}: cut {torn_bytes} bytes of a last record that was not written whole",
            manifest.path().display()
        );
    }
    // Names that a killed process placed may not be durable yet, nor their folders: one call for all of them.
    File::open(&lake).and_then(|folder| Ok(rustix::fs::syncfs(&folder)?)).map_err(|source| LakeError::Io {
        action: "sync the file system of",
        path: lake.clone(),
        source,
    })?;

    let mut manifest = manifest;
    let (removes, open) = review(&records);
    unlink_all(data_dir, &removes, manifest.path())?;
    for (epoch, adds) in open {
        unlink_all(data_dir, &adds, manifest.path())?;
        tracing::info!("rolled epoch {epoch} back: its {} files were not committed", adds.len());
        manifest.append(&Record::Abort { epoch }).map_err(|source| LakeError::Io {
            action: "write",
            path: manifest.path().to_owned(),
            source,
        })?;
    }
    clear(&temporary)?;
    let in_manifest = records.iter().map(Record::epoch).max().unwrap_or(0);
    let has_commits = records.iter().any(|record| matches!(record, Record::Commit { .. }));
    Ok(Recovered { manifest, epoch_floor: in_manifest.max(in_lake.unwrap_or(0)), has_commits })
}

fn make_folder(folder: &Path) -> Result<(), LakeError> {
    fs::create_dir_all(folder).map_err(|source| LakeError::Io { action: "create", path: folder.to_owned(), source })
}

fn open_manifest(path: &Path, lake: &Path, in_lake: Option<u64>) -> Result<Opened, LakeError> {
    let exists = path.try_exists();
    if exists.map_err(|source| LakeError::Io { action: "look for", path: path.to_owned(), source })? {
        return Manifest::open(path);
    }
    if in_lake.is_some() {
        return Err(LakeError::ManifestMissing { path: path.to_owned(), lake: lake.to_owned() });
    }
    Ok(Opened { manifest: Manifest::create(path)?, records: Vec::new(), torn_bytes: 0 })
}

/// The newest epoch in the names of Parquet files below `lake`; `None` if there is no such file. A Parquet file with
/// another kind of name counts as epoch 0.
fn newest_epoch(lake: &Path) -> Result<Option<u64>, LakeError> {
    let mut newest = None;
    let mut folders = vec![lake.to_owned()];
    while let Some(folder) = folders.pop() {
        let error = |source| LakeError::Io { action: "read", path: folder.clone(), source };
        for entry in fs::read_dir(&folder).map_err(error)? {
            let entry = entry.map_err(error)?;
            if entry.file_type().map_err(error)?.is_dir() {
                folders.push(entry.path());
            } else if let Some(name) = entry.file_name().to_str().filter(|name| name.ends_with(".parquet")) {
                newest = newest.max(Some(epoch_of(name).unwrap_or(0)));
            }
        }
    }
    Ok(newest)
}

/// An epoch and the files that it was about to add.
type OpenIntent = (u64, Vec<String>);

/// The removes of all committed intents, and the intents that are neither committed nor aborted.
fn review(records: &[Record]) -> (Vec<String>, Vec<OpenIntent>) {
    let mut removed = Vec::new();
    let mut open: Vec<(u64, &[String], &[String])> = Vec::new();
    for record in records {
        match record {
            Record::Intent { epoch, adds, removes } => open.push((*epoch, adds, removes)),
            Record::Commit { epoch } => {
                let committed = open.iter().filter(|intent| intent.0 == *epoch);
                removed.extend(committed.flat_map(|intent| intent.2.iter().cloned()));
                open.retain(|intent| intent.0 != *epoch);
            }
            Record::Abort { epoch } => open.retain(|intent| intent.0 != *epoch),
        }
    }
    (removed, open.into_iter().map(|(epoch, adds, _)| (epoch, adds.to_vec())).collect())
}

/// Unlinks files of the lake, those that are there, and syncs their folders.
fn unlink_all(data_dir: &Path, files: &[String], manifest: &Path) -> Result<(), LakeError> {
    let mut folders = BTreeSet::new();
    for file in files {
        let path = in_lake(data_dir, file)
            .ok_or_else(|| LakeError::ManifestPath { manifest: manifest.to_owned(), file: file.clone() })?;
        match fs::remove_file(&path) {
            Ok(()) => folders.extend(path.parent().map(Path::to_owned)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(LakeError::Io { action: "remove", path, source }),
        }
    }
    for folder in folders {
        sync_folder(&folder).map_err(|source| LakeError::Io { action: "sync", path: folder.clone(), source })?;
    }
    Ok(())
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
