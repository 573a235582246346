//! The log of what belongs to the lake: `state/manifest`, append-only, a checksum per record (docs/FORMATS.md).

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::LakeError;
use super::inventory::Inventory;

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
pub(super) const MARK: [u8; 4] = *b"\xF7rec";
/// Mark, length and checksum.
pub(super) const PREFIX_BYTES: usize = 12;
/// Of a checkpoint's body: all that stands before its paths.
pub(super) const CHECKPOINT_HEAD_BYTES: usize = 37;

const INTENT: u8 = 1;
const COMMIT: u8 = 2;
const ABORT: u8 = 3;
const CHECKPOINT: u8 = 4;
const LOSS: u8 = 5;

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
    /// These files are lost, and are no part of the lake any more. One that comes to light again is none of its own.
    Loss { epoch: u64, files: Vec<String> },
}

impl Record {
    pub fn epoch(&self) -> u64 {
        match self {
            Self::Intent { epoch, .. }
            | Self::Commit { epoch, .. }
            | Self::Abort { epoch }
            | Self::Loss { epoch, .. } => *epoch,
        }
    }
}

/// A place behind records that are whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// Of the record that follows.
    pub sequence: u64,
    pub offset: u64,
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

    /// Opens the manifest that was read up to `end` for appending: cuts a torn last record off and syncs what is left, because records that
    /// a killed process left in the page cache must not be acted upon before they are durable.
    pub fn open(path: &Path, node: NodeId, end: End) -> Result<Self, LakeError> {
        let open = || -> io::Result<File> {
            let file = OpenOptions::new().write(true).open(path)?;
            file.set_len(end.offset)?;
            file.sync_all()?;
            Ok(file)
        };
        let file = open().map_err(|source| LakeError::Io { action: "open", path: path.to_owned(), source })?;
        Ok(Self { file, path: path.to_owned(), node, sequence: end.sequence, end: end.offset, poisoned: false })
    }

    /// Begins a manifest of the same node aside, with a checkpoint as its first record. Nothing has changed before it takes its place.
    pub fn begin_aside(&self, checkpoint: &NewCheckpoint<'_>) -> io::Result<Aside> {
        let mut file = BufWriter::new(File::create(aside(&self.path))?);
        file.write_all(&header(self.node, VERSION_WITH_CHECKPOINT))?;
        checkpoint.write(&mut file)?;
        let end = HEADER_BYTES as u64 + checkpoint.encoded_bytes();
        Ok(Aside { file, path: self.path.clone(), node: self.node, sequence: 1, end })
    }

    /// Puts what was written aside in the place of the manifest.
    pub fn take_place(self) -> io::Result<Self> {
        put_in_place(&self.path)?;
        Ok(self)
    }

    /// Its length.
    pub fn bytes(&self) -> u64 {
        self.end
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

/// A manifest that is being written aside.
pub(super) struct Aside {
    file: BufWriter<File>,
    path: PathBuf,
    node: NodeId,
    sequence: u64,
    end: u64,
}

impl Aside {
    pub fn append(&mut self, record: &Record) -> io::Result<()> {
        let bytes = encode(record, self.sequence);
        self.file.write_all(&bytes)?;
        self.sequence += 1;
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// The whole of it, which is durable but has no name yet.
    pub fn finish(self) -> io::Result<Manifest> {
        let Self { file, path, node, sequence, end } = self;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(Manifest { file, path, node, sequence, end, poisoned: false })
    }
}

/// A checkpoint to be written. It may name very many files, so that it is written without being held as a whole.
pub(super) struct NewCheckpoint<'a> {
    pub epoch: u64,
    pub floor: u64,
    pub catalog_bytes: u64,
    pub files: &'a Inventory,
}

impl NewCheckpoint<'_> {
    /// Bytes that it takes in the manifest.
    pub fn encoded_bytes(&self) -> u64 {
        PREFIX_BYTES as u64 + self.body_bytes()
    }

    fn body_bytes(&self) -> u64 {
        CHECKPOINT_HEAD_BYTES as u64 + self.files.paths().map(|path| 2 + path.len() as u64).sum::<u64>()
    }

    /// Its paths are gone through a second time, for the checksum stands before them.
    fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let too_long = |_| io::Error::other("it names more files than a checkpoint can");
        let bytes = u32::try_from(self.body_bytes()).map_err(too_long)?;
        let mut checksum = Checksum::default();
        self.write_body(&mut checksum)?;
        to.write_all(&prefix(bytes, checksum.0.finalize()))?;
        self.write_body(to)
    }

    fn write_body(&self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(&body_head(0, CHECKPOINT, self.epoch))?;
        to.write_all(&self.floor.to_le_bytes())?;
        to.write_all(&self.catalog_bytes.to_le_bytes())?;
        to.write_all(&(self.files.len() as u32).to_le_bytes())?;
        for path in self.files.paths() {
            to.write_all(&(path.len() as u16).to_le_bytes())?;
            to.write_all(path.as_bytes())?;
        }
        Ok(())
    }
}

/// Of all that is written to it.
#[derive(Default)]
struct Checksum(crc32fast::Hasher);

impl Write for Checksum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
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
    let kind = match record {
        Record::Intent { .. } => INTENT,
        Record::Commit { .. } => COMMIT,
        Record::Abort { .. } => ABORT,
        Record::Loss { .. } => LOSS,
    };
    let mut body = body_head(sequence, kind, record.epoch());
    match record {
        Record::Intent { adds, removes, .. } => {
            put_paths(&mut body, adds);
            put_paths(&mut body, removes);
        }
        Record::Commit { catalog_bytes, .. } => body.extend_from_slice(&catalog_bytes.to_le_bytes()),
        Record::Abort { .. } => {}
        Record::Loss { files, .. } => put_paths(&mut body, files),
    }
    let mut bytes = prefix(body.len() as u32, crc32fast::hash(&body));
    bytes.extend_from_slice(&body);
    bytes
}

fn prefix(body_bytes: u32, checksum: u32) -> Vec<u8> {
    [&MARK[..], &body_bytes.to_le_bytes(), &checksum.to_le_bytes()].concat()
}

/// What every body begins with.
fn body_head(sequence: u64, kind: u8, epoch: u64) -> Vec<u8> {
    [&sequence.to_le_bytes()[..], &[kind], &epoch.to_le_bytes()].concat()
}

fn put_paths(body: &mut Vec<u8>, paths: &[String]) {
    body.extend_from_slice(&(paths.len() as u32).to_le_bytes());
    for path in paths {
        // A path has three names of at most 255 bytes and a file name.
        body.extend_from_slice(&(path.len() as u16).to_le_bytes());
        body.extend_from_slice(path.as_bytes());
    }
}

/// What stands before a record's body.
pub(super) struct Prefix {
    pub body_bytes: u32,
    /// Of the body.
    pub checksum: u32,
}

impl Prefix {
    /// `None`: no record begins here.
    pub fn read(bytes: &[u8; PREFIX_BYTES]) -> Option<Self> {
        let mut at = 0;
        let mark: [u8; 4] = take(bytes, &mut at)?;
        let (body_bytes, checksum) = (take(bytes, &mut at)?, take(bytes, &mut at)?);
        let (body_bytes, checksum) = (u32::from_le_bytes(body_bytes), u32::from_le_bytes(checksum));
        (mark == MARK).then_some(Self { body_bytes, checksum })
    }
}

/// What stands before the paths of a checkpoint.
pub(super) struct CheckpointHead {
    pub sequence: u64,
    pub epoch: u64,
    pub floor: u64,
    pub catalog_bytes: u64,
    pub files: u32,
}

impl CheckpointHead {
    /// `None`: the body is not that of a checkpoint.
    pub fn read(body: &[u8]) -> Option<Self> {
        let mut at = 0;
        let (sequence, [kind], epoch) = (number(body, &mut at)?, take(body, &mut at)?, number(body, &mut at)?);
        let (floor, catalog_bytes) = (number(body, &mut at)?, number(body, &mut at)?);
        let files = u32::from_le_bytes(take(body, &mut at)?);
        (kind == CHECKPOINT).then_some(Self { sequence, epoch, floor, catalog_bytes, files })
    }
}

/// The record with this body, which is intact, and its sequence number; `None` where there is no such record.
pub(super) fn read_body(body: &[u8]) -> Option<(u64, Record)> {
    let mut at = 0;
    let (sequence, [kind], epoch) = (number(body, &mut at)?, take(body, &mut at)?, number(body, &mut at)?);
    let record = match kind {
        INTENT => Record::Intent { epoch, adds: paths(body, &mut at)?, removes: paths(body, &mut at)? },
        COMMIT => Record::Commit { epoch, catalog_bytes: number(body, &mut at)? },
        ABORT => Record::Abort { epoch },
        LOSS => Record::Loss { epoch, files: paths(body, &mut at)? },
        _ => return None,
    };
    (at == body.len()).then_some((sequence, record))
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

fn number(body: &[u8], at: &mut usize) -> Option<u64> {
    take(body, at).map(u64::from_le_bytes)
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

    #[test]
    fn a_failed_write_that_cannot_be_taken_back_poisons() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest");
        let mut manifest = Manifest::create(&path).unwrap();
        let record = Record::Abort { epoch: 11 };
        let writable = std::mem::replace(&mut manifest.file, File::open(&path).unwrap());
        manifest.append(&record).unwrap_err();
        manifest.file = writable;
        let error = manifest.append(&record).unwrap_err();
        assert!(error.to_string().contains("earlier"), "{error}");
    }
}
