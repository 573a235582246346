//! The log of what belongs to the lake: `state/manifest`, append-only, a checksum per record (docs/FORMATS.md).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use memchr::memmem;

use super::LakeError;

/// Random, drawn once per data directory; part of every file name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId([u8; 8]);

impl NodeId {
    pub fn new(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    pub fn bytes(self) -> [u8; 8] {
        self.0
    }

    /// The id that is shown so: 16 hexadecimal digits.
    pub fn parse(shown: &str) -> Option<Self> {
        let id = u64::from_str_radix(shown, 16).ok().map(|id| Self(id.to_be_bytes()))?;
        (id.to_string() == shown).then_some(id)
    }

    #[cfg(test)]
    pub fn of_test(id: u64) -> Self {
        Self(id.to_be_bytes())
    }
}

impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

const MAGIC: &[u8; 8] = b"ringmani";
/// Of a manifest without a checkpoint, and of one with.
const VERSION: u32 = 1;
const VERSION_WITH_CHECKPOINT: u32 = 2;
pub(super) const HEADER_BYTES: usize = 24;
/// Begins each record. No UTF-8 text holds its first byte, so paths in records never look like it.
const MARK: [u8; 4] = *b"\xF7rec";
/// Mark, length and checksum.
pub(super) const PREFIX_BYTES: usize = 12;

/// One fact about an epoch. Paths are relative to the data directory. What takes the place of committed files, or only removes
/// them, has an epoch that is committed already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// The files `adds` are about to appear; once they are committed, `removes` go.
    Intent { epoch: u64, adds: Vec<String>, removes: Vec<String> },
    /// The adds of every open intent of the epoch are part of the lake, its removes are not any more. The adds rely on the first
    /// `catalog_bytes` of the catalog, which were durable by then.
    Commit { epoch: u64, catalog_bytes: u64 },
    /// The adds of every open intent of the epoch have been unlinked.
    Abort { epoch: u64 },
    /// The first record: what those came to that stood in its place. `epoch` is the last that was committed, `floor` the newest that any of
    /// them named, and `files` are those of the lake.
    Checkpoint { epoch: u64, floor: u64, catalog_bytes: u64, files: Vec<String> },
}

impl Record {
    pub fn epoch(&self) -> u64 {
        match self {
            Self::Intent { epoch, .. }
            | Self::Commit { epoch, .. }
            | Self::Abort { epoch }
            | Self::Checkpoint { epoch, .. } => *epoch,
        }
    }

    /// New epochs lie above it.
    pub fn floor(&self) -> u64 {
        if let Self::Checkpoint { floor, .. } = self { *floor } else { self.epoch() }
    }

    /// Whether the files `adds` of it appeared, or were about to.
    pub fn adds(&self) -> &[String] {
        match self {
            Self::Intent { adds, .. } => adds,
            Self::Checkpoint { files, .. } => files,
            Self::Commit { .. } | Self::Abort { .. } => &[],
        }
    }

    /// How much of the catalog committed files rely on by it.
    pub fn catalog_bytes(&self) -> u64 {
        match self {
            Self::Commit { catalog_bytes, .. } | Self::Checkpoint { catalog_bytes, .. } => *catalog_bytes,
            Self::Intent { .. } | Self::Abort { .. } => 0,
        }
    }

    /// Bytes that it takes in the manifest.
    pub fn encoded_bytes(&self) -> u64 {
        encode(self, 0).len() as u64
    }
}

/// The open manifest.
#[derive(Debug)]
pub(super) struct Manifest {
    file: File,
    path: PathBuf,
    node: NodeId,
    /// Of the next record.
    sequence: u64,
    /// Where the next record goes.
    end: u64,
    /// A sync has failed: nobody knows what is on disk, and nothing may be built on it.
    poisoned: bool,
}

/// What a manifest says. Nothing was changed to read it.
#[derive(Debug)]
pub(super) struct Contents {
    path: PathBuf,
    pub node: NodeId,
    pub records: Vec<Record>,
    /// Up to the end of the last record that is whole.
    whole_bytes: u64,
    /// Bytes of a torn record behind it.
    pub torn_bytes: u64,
}

impl Contents {
    pub fn read(path: &Path) -> Result<Self, LakeError> {
        let error = |source| LakeError::Io { action: "read", path: path.to_owned(), source };
        let bytes = std::fs::read(path).map_err(error)?;
        let node = read_header(&bytes, path)?;
        let mut records = Vec::new();
        let mut end = HEADER_BYTES;
        while let Some((record, next)) = read_record(&bytes, end, records.len() as u64) {
            records.push(record);
            end = next;
        }
        if whole_record_after(&bytes, end, records.len() as u64) {
            return Err(damaged(path, Damage::Record { offset: end as u64 }));
        }
        let torn_bytes = (bytes.len() - end) as u64;
        Ok(Self { path: path.to_owned(), node, records, whole_bytes: end as u64, torn_bytes })
    }
}

/// What is wrong with a manifest that no crash leaves so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The file ends after `bytes`, within its header.
    HeaderCut {
        bytes: u64,
    },
    Header,
    /// Of the record at `offset`, which intact ones follow.
    Record {
        offset: u64,
    },
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::HeaderCut { bytes } => write!(f, "is cut off within its header, at byte {bytes} of {HEADER_BYTES}"),
            Self::Header => write!(f, "is damaged in its header, the first {HEADER_BYTES} bytes"),
            Self::Record { offset } => write!(f, "is damaged at byte {offset}, and intact records follow"),
        }
    }
}

pub(super) fn damaged(path: &Path, damage: Damage) -> LakeError {
    LakeError::ManifestDamaged { path: path.to_owned(), damage }
}

impl Manifest {
    /// Makes a manifest with a new node id; it appears whole or not at all.
    pub fn create(path: &Path) -> Result<Self, LakeError> {
        let error = |source| LakeError::Io { action: "create", path: path.to_owned(), source };
        let mut id = [0; 8];
        getrandom::fill(&mut id).map_err(|random| error(io::Error::other(random)))?;
        let node = NodeId(id);
        let write = || -> io::Result<File> {
            let mut file = File::create(aside(path))?;
            file.write_all(&header(node, VERSION))?;
            file.sync_all()?;
            put_in_place(path)?;
            Ok(file)
        };
        let file = write().map_err(error)?;
        Ok(Self { file, path: path.to_owned(), node, sequence: 0, end: HEADER_BYTES as u64, poisoned: false })
    }

    /// Opens the manifest that was read for appending: cuts a torn last record off and syncs what is left, because records that
    /// a killed process left in the page cache must not be acted upon before they are durable.
    pub fn open(read: &Contents) -> Result<Self, LakeError> {
        let open = || -> io::Result<File> {
            let file = OpenOptions::new().write(true).open(&read.path)?;
            file.set_len(read.whole_bytes)?;
            file.sync_all()?;
            Ok(file)
        };
        let path = read.path.clone();
        let file = open().map_err(|source| LakeError::Io { action: "open", path: path.clone(), source })?;
        let sequence = read.records.len() as u64;
        Ok(Self { file, path, node: read.node, sequence, end: read.whole_bytes, poisoned: false })
    }

    /// Writes a manifest of the same node with other records, the first of them a checkpoint, aside. Nothing has changed before it takes its place.
    pub fn write_aside(&self, records: &[Record]) -> io::Result<Self> {
        let mut bytes = header(self.node, VERSION_WITH_CHECKPOINT);
        for (sequence, record) in (0..).zip(records) {
            bytes.extend(encode(record, sequence));
        }
        let mut file = File::create(aside(&self.path))?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        let (sequence, end) = (records.len() as u64, bytes.len() as u64);
        Ok(Self { file, path: self.path.clone(), node: self.node, sequence, end, poisoned: false })
    }

    /// Puts what was written aside in the place of the manifest.
    pub fn take_place(self) -> io::Result<Self> {
        put_in_place(&self.path)?;
        Ok(self)
    }

    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Whether a sync has failed, so that nothing more can be recorded.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a record and syncs it.
    ///
    /// # Errors
    /// A write that failed (a full disk) was taken back and may be made again. After a failed sync the manifest takes no
    /// record any more: the kernel may have dropped the bytes and report the next sync as good. What holds is found out by
    /// the next start.
    pub fn append(&mut self, record: &Record) -> io::Result<()> {
        if self.poisoned {
            return Err(io::Error::other("an earlier sync of it has failed"));
        }
        let bytes = encode(record, self.sequence);
        self.poisoned = true;
        if let Err(error) = self.file.write_all_at(&bytes, self.end) {
            self.file.set_len(self.end)?;
            self.poisoned = false;
            return Err(error);
        }
        self.file.sync_data()?;
        self.poisoned = false;
        self.end += bytes.len() as u64;
        self.sequence += 1;
        Ok(())
    }
}

#[cfg(test)]
impl Manifest {
    pub fn of_test(file: File) -> Self {
        let node = NodeId::of_test(1);
        Self { file, path: "manifest".into(), node, sequence: 0, end: HEADER_BYTES as u64, poisoned: false }
    }
}

/// Where a manifest is written before it has its name.
fn aside(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// Gives what was written aside, and synced, its name, durably.
fn put_in_place(path: &Path) -> io::Result<()> {
    std::fs::rename(aside(path), path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn header(node: NodeId, version: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(&node.0);
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

pub(super) fn read_header(bytes: &[u8], path: &Path) -> Result<NodeId, LakeError> {
    let cut = || damaged(path, Damage::HeaderCut { bytes: bytes.len() as u64 });
    let mut at = 0;
    let magic: [u8; 8] = take(bytes, &mut at).ok_or_else(cut)?;
    let version = take(bytes, &mut at).map(u32::from_le_bytes).ok_or_else(cut)?;
    if magic != *MAGIC {
        return Err(damaged(path, Damage::Header));
    }
    if ![VERSION, VERSION_WITH_CHECKPOINT].contains(&version) {
        return Err(LakeError::ManifestVersion { path: path.to_owned(), version });
    }
    let node = take(bytes, &mut at).ok_or_else(cut)?;
    let checksum = take(bytes, &mut at).map(u32::from_le_bytes).ok_or_else(cut)?;
    if checksum != crc32fast::hash(&bytes[..HEADER_BYTES - 4]) {
        return Err(damaged(path, Damage::Header));
    }
    Ok(NodeId(node))
}

fn encode(record: &Record, sequence: u64) -> Vec<u8> {
    let kind: u8 = match record {
        Record::Intent { .. } => 1,
        Record::Commit { .. } => 2,
        Record::Abort { .. } => 3,
        Record::Checkpoint { .. } => 4,
    };
    let mut body = Vec::new();
    body.extend_from_slice(&sequence.to_le_bytes());
    body.push(kind);
    body.extend_from_slice(&record.epoch().to_le_bytes());
    match record {
        Record::Intent { adds, removes, .. } => {
            put_paths(&mut body, adds);
            put_paths(&mut body, removes);
        }
        Record::Commit { catalog_bytes, .. } => body.extend_from_slice(&catalog_bytes.to_le_bytes()),
        Record::Abort { .. } => {}
        Record::Checkpoint { floor, catalog_bytes, files, .. } => {
            body.extend_from_slice(&floor.to_le_bytes());
            body.extend_from_slice(&catalog_bytes.to_le_bytes());
            put_paths(&mut body, files);
        }
    }
    let mut bytes = Vec::with_capacity(PREFIX_BYTES + body.len());
    bytes.extend_from_slice(&MARK);
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

fn put_paths(body: &mut Vec<u8>, paths: &[String]) {
    body.extend_from_slice(&(paths.len() as u32).to_le_bytes());
    for path in paths {
        // A path has three names of at most 255 bytes and a file name.
        body.extend_from_slice(&(path.len() as u16).to_le_bytes());
        body.extend_from_slice(path.as_bytes());
    }
}

/// The record at `at` with its sequence number and the place behind it; `None` unless it is whole and intact.
fn read_any(bytes: &[u8], mut at: usize) -> Option<(u64, Record, usize)> {
    if take::<4>(bytes, &mut at)? != MARK {
        return None;
    }
    let len = u32::from_le_bytes(take(bytes, &mut at)?) as usize;
    let checksum = u32::from_le_bytes(take(bytes, &mut at)?);
    let end = at.checked_add(len)?;
    let body = bytes.get(at..end)?;
    if crc32fast::hash(body) != checksum {
        return None;
    }
    let mut at = 0;
    let sequence = u64::from_le_bytes(take(body, &mut at)?);
    let [kind] = take(body, &mut at)?;
    let epoch = u64::from_le_bytes(take(body, &mut at)?);
    let record = match kind {
        1 => Record::Intent { epoch, adds: paths(body, &mut at)?, removes: paths(body, &mut at)? },
        2 => Record::Commit { epoch, catalog_bytes: u64::from_le_bytes(take(body, &mut at)?) },
        3 => Record::Abort { epoch },
        4 => {
            let (floor, catalog_bytes) = (take(body, &mut at)?, take(body, &mut at)?);
            let (floor, catalog_bytes) = (u64::from_le_bytes(floor), u64::from_le_bytes(catalog_bytes));
            Record::Checkpoint { epoch, floor, catalog_bytes, files: paths(body, &mut at)? }
        }
        _ => return None,
    };
    (at == body.len()).then_some((sequence, record, end))
}

pub(super) fn read_record(bytes: &[u8], at: usize, sequence: u64) -> Option<(Record, usize)> {
    let (found, record, end) = read_any(bytes, at)?;
    (found == sequence).then_some((record, end))
}

/// Whether a whole record with sequence number `sequence` or later lies anywhere behind `at`. Each record is synced before
/// the next is written, so that a crash cannot tear any but the last.
pub(super) fn whole_record_after(bytes: &[u8], at: usize, sequence: u64) -> bool {
    memmem::find_iter(&bytes[at..], &MARK)
        .any(|found| read_any(bytes, at + found).is_some_and(|(found, ..)| found >= sequence))
}

fn paths(body: &[u8], at: &mut usize) -> Option<Vec<String>> {
    let count = u32::from_le_bytes(take(body, at)?);
    (0..count).map(|_| path(body, at)).collect()
}

fn path(body: &[u8], at: &mut usize) -> Option<String> {
    let len = u16::from_le_bytes(take(body, at)?) as usize;
    let end = at.checked_add(len)?;
    let path = body.get(*at..end)?.to_vec();
    *at = end;
    String::from_utf8(path).ok()
}

fn take<const N: usize>(bytes: &[u8], at: &mut usize) -> Option<[u8; N]> {
    let end = at.checked_add(N)?;
    let taken = bytes.get(*at..end)?.try_into().ok()?;
    *at = end;
    Some(taken)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const COMMIT: Record = Record::Commit { epoch: 11, catalog_bytes: 16 };

    fn records() -> Vec<Record> {
        vec![
            Record::Intent { epoch: 7, adds: vec!["lake/a".into(), "lake/ü".into()], removes: vec!["lake/c".into()] },
            Record::Commit { epoch: 7, catalog_bytes: 1 << 40 },
            Record::Intent { epoch: 9, adds: vec![], removes: vec![] },
            Record::Abort { epoch: 9 },
            Record::Checkpoint { epoch: 7, floor: 9, catalog_bytes: 1 << 41, files: vec!["lake/ü".into()] },
        ]
    }

    /// A manifest with `records()` and where each of them ends.
    fn filled(folder: &Path) -> (PathBuf, Vec<usize>) {
        let path = folder.join("manifest");
        let mut manifest = Manifest::create(&path).unwrap();
        let ends = records().into_iter().map(|record| {
            manifest.append(&record).unwrap();
            manifest.end as usize
        });
        (path, ends.collect())
    }

    #[test]
    fn records_are_read_back_and_more_can_follow() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _) = filled(folder.path());
        let read = Contents::read(&path).unwrap();
        assert_eq!((&read.records, read.torn_bytes), (&records(), 0));
        let mut manifest = Manifest::open(&read).unwrap();
        manifest.append(&COMMIT).unwrap();
        let again = Contents::read(&path).unwrap();
        assert_eq!(again.records.len(), 6);
        assert_eq!(again.node, manifest.node());
    }

    #[test]
    fn a_tail_torn_at_any_byte_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let (path, ends) = filled(folder.path());
        let whole = std::fs::read(&path).unwrap();
        for length in HEADER_BYTES..=whole.len() {
            // Cut off, and filled with zeros as a power cut may leave it.
            for filled in [length, whole.len().max(length + 9)] {
                let mut torn = whole[..length].to_vec();
                torn.resize(filled, 0);
                std::fs::write(&path, &torn).unwrap();
                let read = Contents::read(&path).unwrap();
                let intact = ends.iter().filter(|end| **end <= length).count();
                // Zero bytes may be what was there.
                assert!(read.records.len() >= intact);
                assert_eq!(read.records, records()[..read.records.len()]);
                Manifest::open(&read).unwrap().append(&COMMIT).unwrap();
                let again = Contents::read(&path).unwrap();
                assert_eq!((again.records.len(), again.torn_bytes), (read.records.len() + 1, 0));
            }
        }
    }

    #[test]
    fn a_damaged_record_before_an_intact_one_is_refused_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let (path, ends) = filled(folder.path());
        let whole = std::fs::read(&path).unwrap();
        for at in HEADER_BYTES..ends[2] {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x20;
            std::fs::write(&path, &damaged).unwrap();
            let start = ends.iter().rev().copied().find(|end| *end <= at).unwrap_or(HEADER_BYTES);
            match Contents::read(&path) {
                Err(LakeError::ManifestDamaged { damage, .. }) => {
                    assert_eq!(damage, Damage::Record { offset: start as u64 });
                }
                other => panic!("byte {at}: {other:?}"),
            }
            assert_eq!(std::fs::read(&path).unwrap(), damaged, "a damaged manifest is not touched");
        }
    }

    #[test]
    fn a_foreign_or_newer_header_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _) = filled(folder.path());
        let whole = std::fs::read(&path).unwrap();
        for at in 0..HEADER_BYTES {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            match Contents::read(&path).unwrap_err() {
                LakeError::ManifestVersion { .. } => assert!((8..12).contains(&at), "byte {at}"),
                LakeError::ManifestDamaged { damage, .. } => assert_eq!(damage, Damage::Header, "byte {at}"),
                error => panic!("byte {at}: {error}"),
            }
        }
        for length in 0..HEADER_BYTES {
            std::fs::write(&path, &whole[..length]).unwrap();
            let error = Contents::read(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("cut off within its header, at byte {length} of 24")), "{error}");
        }
    }

    #[test]
    fn a_failed_write_that_cannot_be_taken_back_poisons() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _) = filled(folder.path());
        let mut manifest = Manifest::open(&Contents::read(&path).unwrap()).unwrap();
        let writable = std::mem::replace(&mut manifest.file, File::open(&path).unwrap());
        manifest.append(&COMMIT).unwrap_err();
        manifest.file = writable;
        let error = manifest.append(&COMMIT).unwrap_err();
        assert!(error.to_string().contains("earlier"), "{error}");
    }
}
