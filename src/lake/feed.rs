//! The feed of changes: which files came into the lake and which left it, for those who copy them elsewhere or register them in a table format.
//!
//! Who asks with the last epoch that he was told misses nothing: he is told every change that the manifest has behind the commit of that
//! epoch. A change without an epoch of its own (files in the place of others, expiry) is therefore told again until a newer epoch comes;
//! to apply it twice changes nothing. The files of a checkpoint may be very many: an answer that ends among them says where, and the next one
//! goes on there.

use std::path::Path;

use serde::Serialize;

use super::LakeError;
use super::ledger::{Change, ChangeKind, Changes, Position, Step};
use super::records::Paths;

/// About what an entry takes beside the paths themselves.
const FILE_BYTES: usize = 96;

/// An answer, as it is serialised.
#[derive(Debug, Default, Serialize)]
pub struct Feed {
    /// Of the data directory. Another one than before: another lake. Empty: nothing was ever published here.
    node: String,
    changes: Vec<Told>,
    /// What to ask with the next time.
    last_epoch: u64,
    /// There are later epochs, or more of the checkpoint: ask again at once.
    more: bool,
    /// Only where the files of a checkpoint go on: to be given back with the same epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<Cursor>,
    /// Behind the commit of `last_epoch`: spares whoever asks with it the way there.
    #[serde(skip)]
    pub position: Option<Position>,
}

#[derive(Debug, Serialize)]
struct Told {
    epoch: u64,
    kind: &'static str,
    added: Vec<Added>,
    removed: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Added {
    path: String,
    /// `None`: the file has left the lake meanwhile, as a later change says.
    bytes: Option<u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error(
        "the newest epoch of the lake is {last_epoch}, and {since} is a later one: it is another lake, or was restored from an older copy; \
         begin anew with since=0, which lists every file"
    )]
    Ahead { since: u64, last_epoch: u64 },
    #[error(
        "what changed behind epoch {since} is not known any more, only from epoch {checkpoint} on; begin anew with since=0, which lists every file"
    )]
    Forgotten { since: u64, checkpoint: u64 },
    #[error(
        "the cursor {cursor} is of a list of files that is not known any more: the manifest was condensed anew, or another one was put in its \
         place; begin anew with since=0 and without a cursor"
    )]
    Stale { cursor: Cursor },
    #[error("there is no memory now for the answer, {bytes} bytes so far; ask again later, or with a lower limit")]
    Memory { bytes: usize },
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The last epoch that is known; 0 for none.
    pub since: u64,
    /// Of the answer before, if it had one.
    pub cursor: Option<Cursor>,
    /// The answer ends before an epoch when so many files are told, but not before the first epoch; of a checkpoint it tells no more than so many.
    pub files_max: usize,
}

/// How much of a checkpoint is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The epoch of the checkpoint: each has another one.
    pub checkpoint: u64,
    /// Its first files, so many of them.
    pub files: u64,
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.checkpoint, self.files)
    }
}

impl Serialize for Cursor {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl std::str::FromStr for Cursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let cursor = text.split_once('-').and_then(|(checkpoint, files)| {
            Some(Self { checkpoint: checkpoint.parse().ok()?, files: files.parse().ok()? })
        });
        cursor.ok_or("it is no cursor; give that of the answer before, as it stands there")
    }
}

/// The changes behind the commit of epoch `since`, all of them with 0. `from` is a position at epoch `since`, if one is known. `has_room` is asked
/// before more is held, with all the bytes that it then is.
///
/// # Errors
/// The manifest cannot be read or does not know the epoch; there is no room.
pub fn feed(
    data_dir: &Path,
    ask: Ask,
    from: Option<Position>,
    has_room: impl FnMut(usize) -> bool,
) -> Result<Feed, FeedError> {
    let Ask { since, cursor, .. } = ask;
    let mut changes = match (Changes::open(data_dir)?, cursor) {
        (Some(changes), _) => changes,
        (None, Some(cursor)) => return Err(FeedError::Stale { cursor }),
        (None, None) if since > 0 => return Err(FeedError::Ahead { since, last_epoch: 0 }),
        (None, None) => return Ok(Feed::default()),
    };
    let position = from.filter(|from| from.epoch == since && cursor.is_none() && changes.skip_to(*from));
    let mut answer = Answer { ask, changes: Vec::new(), files: 0, bytes: 0, last_epoch: since, position, has_room };
    let (mut more, mut next) = (false, None);
    while let Some(step) = changes.next()? {
        let begins_epoch = step.begins_epoch();
        match step {
            Step::Checkpoint { epoch, files } => next = answer.checkpoint(epoch, files)?,
            // The checkpoint would have come first.
            Step::Change(_) if answer.ask.cursor.is_some() => break,
            Step::Change(change) if answer.is_full(&change) => more = true,
            Step::Change(change) => answer.change(change)?,
        }
        if more || next.is_some() {
            break;
        }
        if begins_epoch {
            answer.position = changes.position();
        }
    }
    if let Some(cursor) = answer.ask.cursor {
        return Err(FeedError::Stale { cursor });
    }
    if since > changes.last_epoch {
        return Err(FeedError::Ahead { since, last_epoch: changes.last_epoch });
    }
    let Answer { changes: told, last_epoch, position, .. } = answer;
    let told = told.into_iter().map(|change| Told::new(data_dir, change)).collect();
    let more = more || next.is_some();
    Ok(Feed { node: changes.node().to_string(), changes: told, last_epoch, more, cursor: next, position })
}

/// An answer as it grows.
struct Answer<Room> {
    ask: Ask,
    changes: Vec<Change>,
    files: usize,
    bytes: usize,
    last_epoch: u64,
    position: Option<Position>,
    has_room: Room,
}

impl<Room: FnMut(usize) -> bool> Answer<Room> {
    /// Takes the files of a checkpoint that are next; where the answer ends, if it ends before the last of them.
    fn checkpoint(&mut self, epoch: u64, mut files: Paths) -> Result<Option<Cursor>, FeedError> {
        let Ask { since, cursor, files_max } = self.ask;
        if (1..epoch).contains(&since) {
            return Err(FeedError::Forgotten { since, checkpoint: epoch });
        }
        if epoch <= since {
            return Ok(None);
        }
        let count = u64::from(files.left());
        let mut told = match cursor {
            None => 0,
            Some(cursor) if cursor.checkpoint == epoch && cursor.files <= count => cursor.files,
            Some(cursor) => return Err(FeedError::Stale { cursor }),
        };
        self.ask.cursor = None;
        for _ in 0..told {
            files.next().transpose()?;
        }
        let mut added = Vec::new();
        for path in files.take(files_max) {
            let path = path?;
            self.reserve(&path)?;
            added.push(path);
        }
        told += added.len() as u64;
        self.files = added.len();
        self.changes.push(Change { epoch, kind: ChangeKind::Checkpoint, added, removed: Vec::new() });
        if told < count {
            return Ok(Some(Cursor { checkpoint: epoch, files: told }));
        }
        self.last_epoch = epoch;
        Ok(None)
    }

    /// Whether the answer ends before this change.
    fn is_full(&self, change: &Change) -> bool {
        let begins_epoch = change.kind == ChangeKind::Flush && change.epoch > self.ask.since;
        begins_epoch && self.files >= self.ask.files_max && self.last_epoch > self.ask.since
    }

    fn change(&mut self, change: Change) -> Result<(), FeedError> {
        if change.kind == ChangeKind::Flush && change.epoch <= self.ask.since {
            // All that stands before it was told before, and it was too.
            self.changes.clear();
            (self.files, self.bytes) = (0, 0);
            return Ok(());
        }
        self.last_epoch = self.last_epoch.max(change.epoch);
        self.files += change.added.len() + change.removed.len();
        change.added.iter().chain(&change.removed).try_for_each(|path| self.reserve(path))?;
        self.changes.push(change);
        Ok(())
    }

    fn reserve(&mut self, path: &str) -> Result<(), FeedError> {
        self.bytes += path.len() + FILE_BYTES;
        if (self.has_room)(self.bytes) { Ok(()) } else { Err(FeedError::Memory { bytes: self.bytes }) }
    }
}

impl Feed {
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }
}

impl Told {
    fn new(data_dir: &Path, Change { epoch, kind, added, removed }: Change) -> Self {
        let added = added.into_iter().map(|path| {
            let bytes = std::fs::metadata(data_dir.join(&path)).ok().map(|file| file.len());
            Added { path, bytes }
        });
        Self { epoch, kind: kind.name(), added: added.collect(), removed }
    }
}
