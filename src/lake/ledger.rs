//! What the manifest says, read record by record, also beside a node that is writing to it: for tools, and for the feed of changes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::LakeError;
use super::inventory::Inventory;
use super::manifest::{
    Damage, HEADER_BYTES, NodeId, PREFIX_BYTES, Record, damaged, read_header, read_record, whole_record_after,
};

/// How often, and after which pause, a record is looked at again that is not whole: a node may be writing it.
const LOOKS: usize = 3;
const PAUSE: Duration = Duration::from_millis(10);

/// The records of a manifest in their order. One at a time is in memory.
struct Records {
    file: BufReader<File>,
    path: PathBuf,
    node: NodeId,
    /// Of the next record.
    sequence: u64,
    /// Where the next record begins.
    offset: u64,
    /// Where reading ends: what comes later was not there, or not durable, when reading began.
    end: u64,
}

impl Records {
    /// `None` if there is no manifest.
    fn open(data_dir: &Path) -> Result<Option<Self>, LakeError> {
        let path = data_dir.join("state/manifest");
        let error = |action| {
            let path = path.clone();
            move |source| LakeError::Io { action, path, source }
        };
        let file = match File::open(&path) {
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(error("open"))?,
        };
        let end = file.metadata().map_err(error("read"))?.len();
        // Whoever acts on a record must not see it vanish in a power cut: a node may be about to sync it.
        file.sync_data().map_err(error("sync"))?;
        let mut file = BufReader::new(file);
        let mut header = Vec::with_capacity(HEADER_BYTES);
        file.by_ref().take(HEADER_BYTES as u64).read_to_end(&mut header).map_err(error("read"))?;
        let node = read_header(&header, &path)?;
        Ok(Some(Self { file, path, node, sequence: 0, offset: HEADER_BYTES as u64, end }))
    }

    /// Goes on with the record at `offset`, which has this sequence number.
    fn skip_to(&mut self, offset: u64, sequence: u64) -> Result<(), LakeError> {
        self.file.seek(SeekFrom::Start(offset)).map_err(|source| self.unread(source))?;
        (self.offset, self.sequence) = (offset, sequence);
        Ok(())
    }

    /// The next record; `None` at the end, also where a torn record stands there.
    fn next(&mut self) -> Result<Option<Record>, LakeError> {
        for look in 0..LOOKS {
            if self.offset >= self.end {
                return Ok(None);
            }
            if look > 0 {
                std::thread::sleep(PAUSE);
                self.file.seek(SeekFrom::Start(self.offset)).map_err(|source| self.unread(source))?;
            }
            let bytes = self.candidate().map_err(|source| self.unread(source))?;
            if let Some((record, bytes)) = read_record(&bytes, 0, self.sequence) {
                self.sequence += 1;
                self.offset += bytes as u64;
                return Ok(Some(record));
            }
        }
        let mut rest = Vec::new();
        self.file.seek(SeekFrom::Start(self.offset)).map_err(|source| self.unread(source))?;
        self.file.read_to_end(&mut rest).map_err(|source| self.unread(source))?;
        match whole_record_after(&rest, 0, self.sequence) {
            true => Err(damaged(&self.path, Damage::Record { offset: self.offset })),
            false => Ok(None),
        }
    }

    /// The bytes of what may be a record, no more than there are.
    fn candidate(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let left = self.end - self.offset;
        self.file.by_ref().take(left.min(PREFIX_BYTES as u64)).read_to_end(&mut bytes)?;
        if let Some(length) = bytes.get(4..8).and_then(|length| length.try_into().ok()) {
            let left = left.saturating_sub(PREFIX_BYTES as u64);
            let body = u64::from(u32::from_le_bytes(length)).min(left);
            self.file.by_ref().take(body).read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }

    fn unread(&self, source: io::Error) -> LakeError {
        LakeError::Io { action: "read", path: self.path.clone(), source }
    }
}

/// Why files came into the lake, or left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// An epoch of rows that clients wrote.
    Flush,
    /// Files in the place of others that held the same rows.
    Replacement,
    /// Files whose time was over.
    Expiry,
    /// The files that there were when the manifest was condensed.
    Checkpoint,
}

impl ChangeKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flush => "flush",
            Self::Replacement => "replacement",
            Self::Expiry => "expiry",
            Self::Checkpoint => "checkpoint",
        }
    }
}

/// What one commit did to the lake. Paths are relative to the data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Of a flush its own; else the last one that was committed with the files, or before them.
    pub epoch: u64,
    pub kind: ChangeKind,
    pub added: Vec<String>,
    pub removed: Vec<String>,
}

/// The place behind a commit, where reading can go on, for as long as the manifest is not condensed: for the life of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The newest epoch with a commit up to here.
    pub epoch: u64,
    offset: u64,
    sequence: u64,
}

/// The changes of a lake in their order, from its beginning.
pub struct Changes {
    records: Records,
    /// Intents that are neither committed nor aborted so far.
    open: Vec<(u64, Vec<String>, Vec<String>)>,
    /// The newest epoch with a commit so far; 0 if there is none.
    pub last_epoch: u64,
}

impl Changes {
    /// `None`: nothing was ever published here.
    ///
    /// # Errors
    /// The manifest cannot be read, or is of another version.
    pub fn open(data_dir: &Path) -> Result<Option<Self>, LakeError> {
        let records = Records::open(data_dir)?;
        Ok(records.map(|records| Self { records, open: Vec::new(), last_epoch: 0 }))
    }

    /// Goes on behind `position`, which an earlier reader of the same manifest was at.
    ///
    /// # Errors
    /// The manifest cannot be read.
    pub fn skip_to(&mut self, position: Position) -> Result<(), LakeError> {
        self.records.skip_to(position.offset, position.sequence)?;
        self.last_epoch = position.epoch;
        Ok(())
    }

    /// Behind the last change; `None` where something is under way, so that nobody can begin there.
    pub fn position(&self) -> Option<Position> {
        let Records { offset, sequence, .. } = self.records;
        self.open.is_empty().then_some(Position { epoch: self.last_epoch, offset, sequence })
    }

    pub fn node(&self) -> NodeId {
        self.records.node
    }

    /// # Errors
    /// The manifest cannot be read further, or is damaged.
    pub fn next_change(&mut self) -> Result<Option<Change>, LakeError> {
        while let Some(record) = self.records.next()? {
            match record {
                Record::Intent { epoch, adds, removes } => self.open.push((epoch, adds, removes)),
                Record::Abort { epoch } => self.open.retain(|intent| intent.0 != epoch),
                Record::Commit { epoch, .. } => return Ok(Some(self.commit(epoch))),
                Record::Checkpoint { epoch, files, .. } => {
                    self.last_epoch = epoch;
                    let kind = ChangeKind::Checkpoint;
                    return Ok(Some(Change { epoch, kind, added: files, removed: Vec::new() }));
                }
            }
        }
        Ok(None)
    }

    fn commit(&mut self, epoch: u64) -> Change {
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        for (_, adds, removes) in self.open.extract_if(.., |intent| intent.0 == epoch) {
            added.extend(adds);
            removed.extend(removes);
        }
        let kind = match (epoch > self.last_epoch, added.is_empty()) {
            (true, _) => ChangeKind::Flush,
            (false, false) => ChangeKind::Replacement,
            (false, true) => ChangeKind::Expiry,
        };
        self.last_epoch = self.last_epoch.max(epoch);
        Change { epoch, kind, added, removed }
    }
}

/// What belongs to the lake, as the manifest says.
pub struct Ledger {
    pub node: NodeId,
    pub last_epoch: u64,
    files: Inventory,
}

impl Ledger {
    /// `None`: nothing was ever published here.
    ///
    /// # Errors
    /// The manifest cannot be read, or is damaged, or of another version.
    pub fn read(data_dir: &Path) -> Result<Option<Self>, LakeError> {
        let Some(mut changes) = Changes::open(data_dir)? else { return Ok(None) };
        let mut files = Inventory::default();
        while let Some(change) = changes.next_change()? {
            change.removed.iter().for_each(|path| files.remove(path));
            change.added.iter().for_each(|path| files.add(path));
        }
        Ok(Some(Self { node: changes.node(), last_epoch: changes.last_epoch, files }))
    }

    /// The files of the lake, relative to the data directory, ordered by folder and then in order of writing.
    pub fn files(&self) -> impl Iterator<Item = String> {
        let folders = self.files.folders();
        folders.flat_map(|(folder, files)| files.iter().map(move |name| format!("{folder}/{name}")))
    }

    pub fn contains(&self, path: &str) -> bool {
        self.files.contains(path)
    }
}

/// What the manifest says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It belongs to the lake.
    Committed,
    /// It is being published, or its publication was cut off.
    Intended,
    /// It belonged to the lake until others took its place or it expired.
    Removed,
    /// Its publication was taken back.
    Aborted,
}

/// What the manifest says of these files (relative to the data directory), now; those that it does not name are left out.
///
/// # Errors
/// The manifest cannot be read, or is damaged, or of another version.
pub fn standing<'a>(data_dir: &Path, files: &[&'a str]) -> Result<HashMap<&'a str, Standing>, LakeError> {
    let names: HashMap<&str, &'a str> = files.iter().map(|file| (*file, *file)).collect();
    let mut standings = HashMap::new();
    let Some(mut records) = Records::open(data_dir)? else { return Ok(standings) };
    let mut open: Vec<(u64, &'a str, Standing)> = Vec::new();
    while let Some(record) = records.next()? {
        match record {
            Record::Intent { epoch, adds, removes } => {
                for (paths, once) in [(adds, Standing::Committed), (removes, Standing::Removed)] {
                    for name in paths.iter().filter_map(|path| names.get(path.as_str())) {
                        open.push((epoch, name, once));
                        if once == Standing::Committed {
                            standings.insert(*name, Standing::Intended);
                        }
                    }
                }
            }
            Record::Commit { epoch, .. } => {
                standings.extend(open.extract_if(.., |file| file.0 == epoch).map(|(_, name, once)| (name, once)));
            }
            Record::Abort { epoch } => {
                let undone = open.extract_if(.., |file| file.0 == epoch && file.2 == Standing::Committed);
                standings.extend(undone.map(|(_, name, _)| (name, Standing::Aborted)));
                open.retain(|file| file.0 != epoch);
            }
            Record::Checkpoint { files, .. } => {
                let known = files.iter().filter_map(|path| names.get(path.as_str()));
                standings.extend(known.map(|name| (*name, Standing::Committed)));
            }
        }
    }
    Ok(standings)
}
