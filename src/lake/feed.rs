//! The feed of changes: which files came into the lake and which left it, for those who copy them elsewhere or register them in a table format.
//!
//! Who asks with the last epoch that he was told misses nothing: he is told every change that the manifest has behind the commit of that
//! epoch. A change without an epoch of its own (files in the place of others, expiry) is therefore told again until a newer epoch comes;
//! to apply it twice changes nothing.

use std::path::Path;

use serde::Serialize;

use super::LakeError;
use super::ledger::{Change, ChangeKind, Changes, Position, Step};
use super::manifest::NodeId;

/// About what an entry takes beside the paths themselves.
const FILE_BYTES: usize = 96;

/// An answer, as it is serialised.
#[derive(Debug, Serialize)]
pub struct Feed {
    /// Of the data directory. Another one than before: another lake.
    node: String,
    changes: Vec<Told>,
    /// What to ask with the next time.
    last_epoch: u64,
    /// There are later epochs: ask again at once.
    more: bool,
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
    #[error("there is no memory now for the answer, {bytes} bytes so far; ask again later, or with a lower limit")]
    Memory { bytes: usize },
}

/// The changes behind the commit of epoch `since`, all of them with 0. Ends before an epoch when `files_max` files are told, but not before the
/// first epoch. `from` is a position at epoch `since`, if one is known. `has_room` is asked before more is held, with all the bytes that it then is.
///
/// # Errors
/// The manifest cannot be read or does not know the epoch; there is no room.
pub fn feed(
    data_dir: &Path,
    since: u64,
    files_max: usize,
    from: Option<Position>,
    mut has_room: impl FnMut(usize) -> bool,
) -> Result<Feed, FeedError> {
    let Some(mut changes) = Changes::open(data_dir)? else {
        return match since {
            0 => Ok(Feed { node: String::new(), changes: Vec::new(), last_epoch: 0, more: false, position: None }),
            _ => Err(FeedError::Ahead { since, last_epoch: 0 }),
        };
    };
    let mut position = from.filter(|from| from.epoch == since);
    if let Some(position) = position {
        changes.skip_to(position);
    }
    let mut told: Vec<Change> = Vec::new();
    let (mut files, mut bytes) = (0, 0);
    let mut last_epoch = since;
    while let Some(step) = changes.next()? {
        let change = match step {
            Step::Change(change) => change,
            Step::Checkpoint { epoch, .. } if (1..epoch).contains(&since) => {
                return Err(FeedError::Forgotten { since, checkpoint: epoch });
            }
            Step::Checkpoint { epoch, files } => {
                let added = files.collect::<Result<_, LakeError>>()?;
                Change { epoch, kind: ChangeKind::Checkpoint, added, removed: Vec::new() }
            }
        };
        if matches!(change.kind, ChangeKind::Flush | ChangeKind::Checkpoint) {
            if change.epoch <= since {
                // All that stands before it was told before.
                told.clear();
                (files, bytes) = (0, 0);
                position = changes.position();
                continue;
            }
            if files >= files_max && last_epoch > since {
                return Ok(Feed { position, ..Feed::new(data_dir, changes.node(), told, last_epoch, true) });
            }
            last_epoch = change.epoch;
            position = changes.position();
        }
        files += change.added.len() + change.removed.len();
        bytes += change.added.iter().chain(&change.removed).map(|path| path.len() + FILE_BYTES).sum::<usize>();
        if !has_room(bytes) {
            return Err(FeedError::Memory { bytes });
        }
        told.push(change);
    }
    if since > changes.last_epoch {
        return Err(FeedError::Ahead { since, last_epoch: changes.last_epoch });
    }
    Ok(Feed { position, ..Feed::new(data_dir, changes.node(), told, changes.last_epoch, false) })
}

impl Feed {
    fn new(data_dir: &Path, node: NodeId, changes: Vec<Change>, last_epoch: u64, more: bool) -> Self {
        let changes = changes.into_iter().map(|change| Told::new(data_dir, change)).collect();
        Self { node: node.to_string(), changes, last_epoch, more, position: None }
    }

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
