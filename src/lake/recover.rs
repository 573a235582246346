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
use super::ledger::{MANIFEST, Standing, standings};
use super::manifest::{End, Manifest, NodeId, Record};
use super::partition::FileName;
use super::records::Records;
use super::review::Review;
use super::{LakeError, counted};

/// What a data directory holds. Nothing in it was changed to find out.
#[derive(Debug)]
pub struct Inspected {
    data_dir: PathBuf,
    /// `None` if there is no manifest yet.
    manifest: Option<Contents>,
    /// The newest epoch in the names of Parquet files; `None` if there is no such file.
    in_lake: Option<u64>,
    /// Files that a commit took out of the lake and that are still there, relative to the data directory.
    left_over: Vec<String>,
}

/// What a manifest says.
#[derive(Debug)]
struct Contents {
    node: NodeId,
    review: Review,
    /// Behind the last record that is whole.
    end: End,
    /// Bytes of a torn record behind it.
    torn_bytes: u64,
}

impl Inspected {
    /// How much of the catalog's file the committed files rely on.
    pub fn catalog_bytes_min(&self) -> u64 {
        self.manifest.as_ref().map_or(0, |manifest| manifest.review.catalog_bytes)
    }

    /// Whether nothing was ever published from here: there is no manifest.
    pub fn is_new(&self) -> bool {
        self.manifest.is_none()
    }

    pub(super) fn data_dir(&self) -> &Path {
        &self.data_dir
    }
}

/// Reads the manifest and the names in the lake: the first step of a start, which may still be refused.
///
/// # Errors
/// The manifest is damaged, or missing beside files; a folder or file cannot be read.
pub fn inspect(data_dir: &Path) -> Result<Inspected, LakeError> {
    let path = data_dir.join(MANIFEST);
    let lake = data_dir.join("lake");
    let manifest = Records::open_own(&path)?.map(read).transpose()?;
    let Some(Contents { node, review: Review { files, .. }, .. }) = &manifest else {
        let in_lake = walk(data_dir, None, &Inventory::default())?.newest;
        return match in_lake {
            Some(_) => Err(LakeError::ManifestMissing { path, lake }),
            None => Ok(Inspected { data_dir: data_dir.to_owned(), manifest, in_lake, left_over: Vec::new() }),
        };
    };
    let found = walk(data_dir, Some(*node), files)?;
    let left_over = left_over(data_dir, &path, &found)?;
    // The walk does not follow links out of the lake.
    let is_missing = |file: &String| !data_dir.join(file).exists();
    let missing = if found.committed < files.len() { files.paths().filter(is_missing).count() } else { 0 };
    if missing > 0 {
        tracing::warn!(
            "files are missing: {missing} of {} that {} names as committed cannot be found below {}; their points are lost unless they are put back",
            files.len(),
            path.display(),
            lake.display()
        );
    }
    Ok(Inspected { data_dir: data_dir.to_owned(), manifest, in_lake: found.newest, left_over })
}

fn read(mut records: Records) -> Result<Contents, LakeError> {
    let review = Review::of(&mut records, None)?;
    Ok(Contents { node: records.node(), review, end: records.position(), torn_bytes: records.left_bytes() })
}

/// What a walk through the lake finds. Paths are relative to the data directory.
#[derive(Default)]
struct Found {
    /// The newest epoch in the names of Parquet files; `None` if there is no such file. A Parquet file with another kind of name counts
    /// as epoch 0.
    newest: Option<u64>,
    /// How many committed files.
    committed: usize,
    /// The Parquet files with the manifest's node id in their names that are not committed.
    strays: HashSet<PathBuf>,
    /// What leads elsewhere, perhaps to a folder of the lake.
    links: Vec<PathBuf>,
}

fn walk(data_dir: &Path, node: Option<NodeId>, committed: &Inventory) -> Result<Found, LakeError> {
    let mut found = Found::default();
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
            let kind = entry.file_type().map_err(error)?;
            if kind.is_dir() {
                folders.push(inside);
            } else if let Some(name) = entry.file_name().to_str().filter(|name| name.ends_with(".parquet")) {
                let known = FileName::parse(name);
                found.newest = found.newest.max(Some(known.map_or(0, |name| name.epoch)));
                if inside.to_str().is_some_and(|inside| committed.contains(inside)) {
                    found.committed += 1;
                } else if known.is_some_and(|name| Some(name.node) == node) {
                    found.strays.insert(inside);
                }
            } else if kind.is_symlink() {
                found.links.push(inside);
            }
        }
    }
    Ok(found)
}

/// The files that a commit took out of the lake and that are still there. The manifest is read once more only if there may be one.
fn left_over(data_dir: &Path, manifest: &Path, Found { strays, links, .. }: &Found) -> Result<Vec<String>, LakeError> {
    if strays.is_empty() && links.is_empty() {
        return Ok(Vec::new());
    }
    let Some(records) = Records::open_own(manifest)? else { return Ok(Vec::new()) };
    let is_behind_link = |path: &Path| links.iter().any(|link| path.starts_with(link)) && data_dir.join(path).exists();
    let standings = standings(records, |name| {
        let path = Path::new(name);
        (strays.contains(path) || is_behind_link(path)).then(|| name.to_owned())
    })?;
    // An intent is durable before its files get their names.
    let is_named = |stray: &&PathBuf| stray.to_str().is_some_and(|stray| standings.contains_key(stray));
    if let Some(stray) = strays.iter().filter(|stray| !is_named(stray)).min() {
        return Err(LakeError::ManifestCut { path: manifest.to_owned(), file: data_dir.join(stray) });
    }
    let removed = standings.into_iter().filter(|(_, standing)| *standing == Standing::Removed);
    Ok(removed.map(|(path, _)| path).collect())
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
pub(super) fn recover(inspected: Inspected) -> Result<Recovered, LakeError> {
    let Inspected { data_dir, manifest: read, in_lake, left_over } = inspected;
    let temporary = data_dir.join("tmp");
    for folder in [&data_dir.join("state"), &data_dir.join("lake"), &temporary] {
        make_folder(folder)?;
    }
    sync_folder(&data_dir)?;
    let disk = Disk::open(&data_dir)?;
    let mut manifest = open_manifest(&data_dir, read.as_ref())?;
    // Names that a killed process placed may not be durable yet, nor their folders: one call for all of them.
    disk.sync_whole()?;

    let Review { epoch: committed, floor, files: inventory, open, .. } =
        read.map(|read| read.review).unwrap_or_default();
    unlink_all(&data_dir, &left_over, &manifest, &disk)?;
    for intent in open {
        unlink_all(&data_dir, &intent.adds, &manifest, &disk)?;
        let (epoch, count) = (intent.epoch, counted(intent.adds.len() as u64, "file"));
        let what = if epoch > committed { "epoch" } else { "a compaction up to epoch" };
        tracing::info!("rolled {what} {epoch} back: it was to add {count}, which had not been committed");
        manifest.append(&Record::Abort { epoch }).map_err(|source| LakeError::Io {
            action: "write",
            path: manifest.path().to_owned(),
            source,
        })?;
    }
    clear(&temporary)?;
    let epoch_floor = floor.max(in_lake.unwrap_or(0));
    // Last: all that the records before it left to do is done.
    checkpoint::condense_at_start(&mut manifest)?;
    Ok(Recovered { manifest, disk, committed, epoch_floor, inventory })
}

fn make_folder(folder: &Path) -> Result<(), LakeError> {
    fs::create_dir_all(folder).map_err(|source| LakeError::Io { action: "create", path: folder.to_owned(), source })
}

fn open_manifest(data_dir: &Path, read: Option<&Contents>) -> Result<Manifest, LakeError> {
    let path = data_dir.join(MANIFEST);
    let Some(read) = read else { return Manifest::create(&path) };
    let manifest = Manifest::open(&path, read.node, read.end)?;
    if read.torn_bytes > 0 {
        tracing::info!(
            "{}: cut {} off, of a last record that was not written whole",
            path.display(),
            counted(read.torn_bytes, "byte")
        );
    }
    Ok(manifest)
}

/// Unlinks files of the lake, those that are there, and syncs their folders.
pub(super) fn unlink_all(
    data_dir: &Path,
    files: &[impl AsRef<str>],
    manifest: &Manifest,
    disk: &Disk,
) -> Result<(), LakeError> {
    let mut folders = BTreeSet::new();
    for file in files.iter().map(AsRef::as_ref) {
        let path = in_lake(data_dir, file)
            .ok_or_else(|| LakeError::ManifestPath { manifest: manifest.path().to_owned(), file: file.to_owned() })?;
        match fs::remove_file(&path) {
            Ok(()) => folders.extend(path.parent().map(Path::to_owned)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(LakeError::LeftOver { path, source }),
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
