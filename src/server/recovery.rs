//! What a start does with the log of an earlier life: replays it into the lake, removes it, and begins a new one. The port is open
//! meanwhile; writes are taken afterwards.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crossbeam::channel::{Receiver, bounded, select};

use super::ServerError;
use super::node::Node;
use super::signal::Stop;
use crate::config::{Config, Durability};
use crate::lake::{Inspected, OnCommit};
use crate::wal::{self, Found, Kind, Note, Wal, WalError};
use crate::write::{Keeper, Keeping, Replay, ReplayError};

/// Size of a full-grown segment.
const SEGMENT_BYTES: usize = 64 << 20;

/// Most bytes that the log leaves free on its file system for what empties it.
const DISK_RESERVE_MAX: u64 = 256 << 20;
/// Part of a small file system that it leaves free instead.
const DISK_RESERVE_SHARE: u64 = 16;

/// A part of the replay takes at most this part of the memory: one is filled while the one before is encoded.
const PART_SHARE: usize = 6;

/// Why the log cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    #[error(
        "{} is missing, but {} holds the log of acknowledged requests: which of them are in the lake is not known. Restore state/ from a \
         backup, or move wal/ away to give them up", state.display(), wal.display()
    )]
    StateMissing { state: PathBuf, wal: PathBuf },
    #[error(
        "the log does not fit the rest of the data directory: the record in {} before byte {offset} {what}. Nothing was changed. Restore wal/ and \
         state/ from the same backup, or start with --wal-skip-damaged, which passes over what does not fit and lists it", path.display()
    )]
    Damaged { path: PathBuf, offset: u64, what: String },
}

/// Refuses a data directory whose log is there and whose state is not.
pub fn check_state(data_dir: &Path, inspected: &Inspected) -> Result<(), ServerError> {
    let wal = data_dir.join("wal");
    if inspected.is_new() && wal::has_segments(&wal)? {
        return Err(RecoveryError::StateMissing { state: data_dir.join("state/manifest"), wal }.into());
    }
    Ok(())
}

/// Tells the log, once it runs, what is in the lake.
pub fn frees_log(keeper: &Arc<Keeper>) -> OnCommit {
    let keeper = Arc::clone(keeper);
    Box::new(move |committed, births| {
        if let Some(log) = keeper.log() {
            log.free(committed, births);
        }
    })
}

/// Replays and removes the old log, starts the new one, and opens the node for writes. A signal ends it early: nothing is lost, the next start
/// begins again.
///
/// # Errors
/// The log is damaged, or disk or lake refuse something.
pub fn run(node: &Arc<Node>, data_dir: &Path, signals: &Receiver<Stop>) -> Result<Option<Stop>, ServerError> {
    let Config { durability, wal_skip_damaged, .. } = *node.context.config;
    let dir = data_dir.join("wal");
    let note = data_dir.join("state/log");
    let found = wal::inspect(&dir, Some(&note), wal_skip_damaged)?;
    report(&found);
    if found.owner.is_some_and(|owner| owner != node.lake.node_id()) {
        return Err(WalError::Foreign { path: dir }.into());
    }
    let epoch = node.epoch_above(found.epoch_max);
    if let Some(stop) = replay(node, &found, epoch, signals)? {
        return Ok(Some(stop));
    }
    // First, so that a crash in between leaves no claim to what is removed.
    Note::remove(&note)?;
    keep_damaged(&found)?;
    wal::remove(&dir)?;
    let keeping = match durability {
        Durability::Memory => Keeping::Memory(0.into()),
        Durability::Sync | Durability::Write => Keeping::Log(start_log(node, dir, note)?),
    };
    // What comes from here on lies above the replay: before anything can come.
    node.flush_above(epoch);
    node.context.keeper.open(keeping);
    Ok(None)
}

/// Replays `found` as `epoch`, until a signal comes.
fn replay(node: &Node, found: &Found, epoch: u64, signals: &Receiver<Stop>) -> Result<Option<Stop>, ServerError> {
    let stopped = OnceLock::new();
    let (over, is_over) = bounded::<()>(0);
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            select! {
                recv(signals) -> stop => {
                    // First: whoever has seen the stop finds the lake closed for this replay. And it may be waiting for a disk that takes
                    // nothing.
                    node.lake.stop_replay();
                    let _ = stopped.set(stop.unwrap_or_default());
                }
                recv(is_over) -> _ => {}
            }
        });
        let result = replay_until(node, found, epoch, &stopped);
        drop(over);
        result
    });
    match stopped.into_inner() {
        Some(stop) => Ok(Some(stop)),
        None => result.map(|()| None),
    }
}

/// Replays `found` as `epoch`; once `stopped` is set, commits nothing of it.
pub fn replay_until(node: &Node, found: &Found, epoch: u64, stopped: &OnceLock<Stop>) -> Result<(), ServerError> {
    let began = Instant::now();
    let skips_damaged = node.context.config.wal_skip_damaged;
    let replay = Replay::new(node.context.clone(), !skips_damaged);
    let mut recovery = Recovery { node, replay, epoch, requests: 0, skips_damaged, stopped };
    if found.records > 0 {
        tracing::info!(bytes = found.bytes, records = found.records, "replaying the log");
        recovery.replay(found)?;
    }
    if stopped.get().is_some() {
        // What was replayed may be a part of the log: with that committed, the next start would pass over the rest.
        return Ok(());
    }
    node.lake.finish_replay(epoch)?;
    if found.records > 0 {
        let seconds = began.elapsed().as_secs_f64();
        tracing::info!(requests = recovery.requests, seconds, "the log is replayed: everything in it is published");
    }
    Ok(())
}

fn report(found: &Found) {
    for path in &found.ignored {
        tracing::warn!(path = %path.display(), "a file in the folder of the log is no part of it; it is left alone");
    }
    if let Some(torn) = &found.torn {
        tracing::info!(
            path = %torn.path.display(),
            offset = torn.offset,
            bytes = torn.bytes,
            "the log ends in a group that was not written whole: nothing in it was acknowledged"
        );
    }
    for lost in &found.lost {
        tracing::error!(
            path = %lost.path.display(),
            offset = lost.offset,
            bytes = lost.bytes,
            groups = lost.groups,
            what = lost.what,
            "a damaged part of the log is passed over: what it held and no other part holds is lost"
        );
    }
}

/// Keeps the files that were passed over, under names that make them no segments, for whoever wants to look for more in them.
fn keep_damaged(found: &Found) -> Result<(), WalError> {
    for path in found.lost.iter().map(|lost| &lost.path).filter(|path| path.is_file()) {
        let mut kept = path.clone().into_os_string();
        kept.push(".damaged");
        let renamed = std::fs::rename(path, &kept);
        renamed.map_err(|source| WalError::Io { action: "put aside", path: path.clone(), source })?;
        tracing::warn!(path = %Path::new(&kept).display(), "a damaged file of the log is kept under this name");
    }
    Ok(())
}

fn start_log(node: &Arc<Node>, dir: PathBuf, note: PathBuf) -> Result<Wal, ServerError> {
    let config = &node.context.config;
    // A body and what it brings fit into one segment.
    let body_bytes = config.body_bytes_max + config.body_bytes_max / 4 + (1 << 20);
    let segment_bytes = SEGMENT_BYTES.min(config.wal_bytes_max / 4).max(body_bytes);
    let options = wal::Options {
        disk_reserve: disk_reserve(if dir.exists() { &dir } else { &config.data_dir }),
        dir,
        note,
        owner: node.lake.node_id(),
        bytes_max: config.wal_bytes_max as u64,
        segment_bytes: segment_bytes as u64,
        sync: config.durability == Durability::Sync,
    };
    let (watches, metrics) = (Arc::clone(&node.watches), Arc::clone(&node.context.metrics));
    Ok(Wal::start(options, &node.context.budget, &metrics, Box::new(move || watches.log_moved()))?)
}

/// What the log leaves free on its file system, in bytes.
fn disk_reserve(dir: &Path) -> u64 {
    let total = rustix::fs::statvfs(dir).map_or(u64::MAX, |disk| disk.f_blocks.saturating_mul(disk.f_frsize));
    DISK_RESERVE_MAX.min(total / DISK_RESERVE_SHARE)
}

/// A replay on its way.
struct Recovery<'a> {
    node: &'a Node,
    replay: Replay,
    /// All that is replayed becomes part of the lake as this epoch.
    epoch: u64,
    /// Requests so far: the numbers that decide between two that wrote the same point.
    requests: u64,
    skips_damaged: bool,
    stopped: &'a OnceLock<Stop>,
}

impl Recovery<'_> {
    fn replay(&mut self, found: &Found) -> Result<(), ServerError> {
        let Self { node, .. } = *self;
        node.context.readiness.set_total(found.bytes);
        let part_bytes = node.context.config.flush_bytes.min(node.context.budget.bytes_max() / PART_SHARE);
        let mut reader = found.reader();
        let mut record = Vec::new();
        while let Some(head) = reader.next(&mut record)? {
            if self.stopped.get().is_some() {
                return Ok(());
            }
            let applied = if head.kind == Kind::Births as u8 {
                let applied = node.context.catalog.replay(&record, !self.skips_damaged);
                applied.map_err(|damage| damage.to_string())
            } else if head.epoch > node.lake.committed() {
                self.apply(&mut record)?
            } else {
                // A commit was the last thing that an earlier life could do about it.
                Ok(())
            };
            if let Err(what) = applied {
                let (path, offset) = reader.place();
                if !self.skips_damaged {
                    return Err(RecoveryError::Damaged { path, offset, what }.into());
                }
                tracing::error!(path = %path.display(), offset, what, "a record of the log is passed over: it is lost");
            }
            node.context.readiness.add_done(record.len() as u64);
            if self.replay.bytes() > part_bytes {
                self.hand_over()?;
            }
        }
        self.hand_over()
    }

    /// Applies a request, if need be after others have given memory back. The inner error says how it is damaged.
    fn apply(&mut self, record: &mut Vec<u8>) -> Result<Result<(), String>, ServerError> {
        self.requests += 1;
        // At once; with nothing else in the tables; with nothing else at the lake, over the limit if need be: what was taken once is not
        // refused because the limit is lower now.
        for by_force in [false, false, true] {
            match self.replay.apply(record, self.requests, by_force) {
                Ok(()) => return Ok(Ok(())),
                Err(ReplayError::NoMemory) => self.hand_over()?,
                Err(damage) => return Ok(Err(damage.to_string())),
            }
        }
        Ok(Err("needs more memory than the system gives".into()))
    }

    /// Hands what was replayed so far over to the lake, which has then encoded all that it got before.
    fn hand_over(&mut self) -> Result<(), ServerError> {
        Ok(self.node.lake.replay(self.epoch, self.replay.seal())?)
    }
}
