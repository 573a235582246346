//! What the manifest says of changes and of files, also beside a node that is writing to it: for tools, for the feed of changes, and for a start.

use std::collections::HashMap;
use std::hash::Hash;
use std::path::Path;

use super::LakeError;
use super::inventory::Inventory;
use super::manifest::{End, NodeId, Record};
use super::records::{Entry, Paths, Records};
use super::review::Review;

/// Of a data directory.
pub(super) const MANIFEST: &str = "state/manifest";

/// Why files came into the lake, or left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// An epoch of rows that clients wrote.
    Flush,
    /// Files in the place of others that held the same rows.
    Replacement,
    /// Files whose time was over.
    Expiry,
    /// Lost files that were forgotten.
    Loss,
    /// The files that there were when the manifest was condensed, or some of them.
    Checkpoint,
}

impl ChangeKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flush => "flush",
            Self::Replacement => "replacement",
            Self::Expiry => "expiry",
            Self::Loss => "loss",
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

/// The place behind a commit, where reading can go on, for as long as the manifest is not condensed anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The newest epoch with a commit up to here.
    pub epoch: u64,
    /// Of the checkpoint that the manifest begins with: each has another one.
    checkpoint: Option<u64>,
    end: End,
}

/// What stands in the order of changes.
pub(super) enum Step {
    Change(Change),
    /// Only as the first one: the files of the lake when the manifest was condensed. `epoch` is the last that was committed by then.
    Checkpoint {
        epoch: u64,
        files: Paths,
    },
}

impl Step {
    /// Whether it is the first of its epoch, so that those behind it are not known to who knows the epoch.
    pub fn begins_epoch(&self) -> bool {
        match self {
            Self::Change(change) => change.kind == ChangeKind::Flush,
            Self::Checkpoint { .. } => true,
        }
    }
}

/// The changes of a lake in their order, from its beginning.
pub(super) struct Changes {
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
        let records = Records::open(&data_dir.join(MANIFEST))?;
        Ok(records.map(|records| Self { records, open: Vec::new(), last_epoch: 0 }))
    }

    /// Goes on behind `position`, which an earlier reader was at; stays where it is if that read another manifest, one that was not condensed yet.
    /// Whether it has gone there.
    pub fn skip_to(&mut self, position: Position) -> bool {
        let is_there = position.checkpoint == self.records.checkpoint();
        if is_there {
            self.records.skip_to(position.end);
            self.last_epoch = position.epoch;
        }
        is_there
    }

    /// Behind the last change; `None` where something is under way, so that nobody can begin there.
    pub fn position(&self) -> Option<Position> {
        let end = self.records.position();
        let checkpoint = self.records.checkpoint();
        self.open.is_empty().then_some(Position { epoch: self.last_epoch, checkpoint, end })
    }

    pub fn node(&self) -> NodeId {
        self.records.node()
    }

    /// # Errors
    /// The manifest cannot be read further, or is damaged.
    pub fn next(&mut self) -> Result<Option<Step>, LakeError> {
        while let Some(entry) = self.records.next()? {
            match entry {
                Entry::Record(Record::Intent { epoch, adds, removes }) => self.open.push((epoch, adds, removes)),
                Entry::Record(Record::Abort { epoch }) => self.open.retain(|intent| intent.0 != epoch),
                Entry::Record(Record::Commit { epoch, .. }) => return Ok(Some(Step::Change(self.commit(epoch)))),
                Entry::Record(Record::Loss { epoch, files }) => {
                    let kind = ChangeKind::Loss;
                    return Ok(Some(Step::Change(Change { epoch, kind, added: Vec::new(), removed: files })));
                }
                Entry::Checkpoint(checkpoint) => {
                    self.last_epoch = checkpoint.epoch;
                    return Ok(Some(Step::Checkpoint { epoch: checkpoint.epoch, files: checkpoint.files }));
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
        let Some(mut records) = Records::open(&data_dir.join(MANIFEST))? else { return Ok(None) };
        let Review { epoch, files, .. } = Review::of(&mut records, None)?;
        Ok(Some(Self { node: records.node(), last_epoch: epoch, files }))
    }

    /// The files of the lake, relative to the data directory, ordered by folder and then in order of writing.
    pub fn files(&self) -> impl Iterator<Item = String> {
        self.files.paths()
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
    let Some(records) = Records::open(&data_dir.join(MANIFEST))? else { return Ok(HashMap::new()) };
    standings(records, |path| names.get(path).copied())
}

/// What the manifest says of the files that `wanted` gives a name.
pub(super) fn standings<Name: Clone + Eq + Hash>(
    mut records: Records,
    wanted: impl Fn(&str) -> Option<Name>,
) -> Result<HashMap<Name, Standing>, LakeError> {
    let mut standings = HashMap::new();
    let mut open: Vec<(u64, Name, Standing)> = Vec::new();
    while let Some(entry) = records.next()? {
        match entry {
            Entry::Record(Record::Intent { epoch, adds, removes }) => {
                for name in adds.iter().filter_map(|path| wanted(path)) {
                    open.push((epoch, name.clone(), Standing::Committed));
                    standings.insert(name, Standing::Intended);
                }
                let removes = removes.iter().filter_map(|path| wanted(path));
                open.extend(removes.map(|name| (epoch, name, Standing::Removed)));
            }
            Entry::Record(Record::Commit { epoch, .. }) => {
                standings.extend(open.extract_if(.., |file| file.0 == epoch).map(|(_, name, once)| (name, once)));
            }
            // Whoever finds one again is to say where it belongs: it is as one that was never named.
            Entry::Record(Record::Loss { files, .. }) => {
                for name in files.iter().filter_map(|path| wanted(path)) {
                    standings.remove(&name);
                }
            }
            Entry::Record(Record::Abort { epoch }) => {
                let undone = open.extract_if(.., |file| file.0 == epoch && file.2 == Standing::Committed);
                standings.extend(undone.map(|(_, name, _)| (name, Standing::Aborted)));
                open.retain(|file| file.0 != epoch);
            }
            Entry::Checkpoint(checkpoint) => {
                for path in checkpoint.files {
                    standings.extend(wanted(&path?).map(|name| (name, Standing::Committed)));
                }
            }
        }
    }
    Ok(standings)
}
