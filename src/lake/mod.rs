//! The lake: sealed tables become sorted, deduplicated Parquet files, published epoch by epoch.
//!
//! Shards hand over their parts ([`Lake::submit`]); an epoch whose parts are complete is split by table and day, each
//! (table, day) is sorted and encoded by one of the lake's threads into a file aside, and the files of the whole epoch
//! become visible and durable together (`publish`). Epochs are committed in order. What cannot be written stays in memory
//! and is tried again. What is committed is merged into larger files later (`compact`).

mod checkpoint;
mod checksum;
mod chunk;
mod column;
mod compact;
mod coordinator;
mod damage;
mod disk;
mod encode;
mod expiry;
mod feed;
mod files;
mod footer;
mod gather;
mod inventory;
mod job;
mod ledger;
mod manifest;
mod page_header;
mod page_index;
mod pages;
mod partition;
mod publish;
mod quarantine;
mod records;
mod recover;
mod rejects;
mod review;
mod series;
mod sort;
#[cfg(test)]
mod tests;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use tokio::sync::{oneshot, watch};

use crate::budget::Budget;
use crate::catalog::Catalog;
use crate::metrics::Metrics;
use crate::table::SealedTable;

pub use compact::{Clock, Compacted, Extent};
use compact::{Exchange, Handle, Order, Surroundings, Touched, Worker};
use coordinator::{Backlog, Command, Coordinator, Shared, Step};
pub use damage::{damage, footer_is_damaged, unreadable};
use expiry::Expiry;
pub use expiry::ExpiryOptions;
pub use feed::{Ask, Cursor, Feed, FeedError, feed};
pub use files::{Destination, TableFile, write_table};
use inventory::Inventory;
use job::Job;
pub use ledger::{Change, ChangeKind, Ledger, Position, Standing, standing};
pub use manifest::{Damage, NodeId};
pub use partition::{Day, FileName, day_in, day_of};
use publish::Publisher;
use recover::Recovered;
pub use recover::{Inspected, inspect};
pub use rejects::{RejectOptions, keep_rejects};

/// What the names of the lake's threads begin with.
pub const THREAD_NAME: &str = "lake-";
/// Who waits for an acknowledgement gets the processor before who publishes; a third of the weight, so that publishing keeps up when nothing is idle.
const NICE_PUBLISHING: i32 = 5;
/// Merging and removing files can wait for everybody.
const NICE_MERGING: i32 = 10;

/// A start reads such a manifest within a second.
const CONDENSE_BYTES: u64 = 64 << 20;

/// How a lake is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Lake threads, at least one.
    pub threads: usize,
    pub shards: usize,
    /// Whether files are merged without being asked.
    pub compacts: bool,
    pub clock: Clock,
    pub files: FileOptions,
    /// The manifest is condensed when it has become so long, and twice as long as it was before.
    pub condense_bytes: u64,
}

impl Options {
    /// Without compaction, with files as they are by default.
    pub fn new(threads: usize, shards: usize) -> Self {
        Self {
            threads,
            shards,
            compacts: false,
            clock: Clock::default(),
            files: FileOptions::default(),
            condense_bytes: CONDENSE_BYTES,
        }
    }
}

/// How files are encoded.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileOptions {
    /// Whether they tell readers of each page its place and its bounds.
    pub page_index: bool,
}

/// Called when more is committed: the epoch up to which everything is in the lake, and so many births are durable in the catalog
/// (counted since it began).
pub type OnCommit = Box<dyn Fn(u64, u64) + Send>;

/// A shard has left every epoch up to `epoch`; `tables` are its rows of exactly this epoch.
#[derive(Debug)]
pub struct Part {
    pub shard: usize,
    pub epoch: u64,
    pub tables: Vec<SealedTable>,
}

/// How far publication has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Every epoch up to this one is in the lake.
    pub committed: u64,
    /// Why the last attempt failed, as a sentence; it is being made again unless the sentence says that it has stopped.
    pub failure: Option<Arc<str>>,
    pub failed_attempts: u64,
}

/// Why a lake cannot be opened, or not be finished in time.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    #[error("cannot {action} {path}: {source}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "{path} {damage}: what the lake holds is not certain. \
         Restore the file from a backup, or move state/ and lake/ away together and start with an empty lake"
    )]
    ManifestDamaged { path: PathBuf, damage: Damage },
    #[error(
        "{path} has format version {version}, which this version of ringest does not know: start the version that wrote it"
    )]
    ManifestVersion { path: PathBuf, version: u32 },
    #[error(
        "{path} is missing, but {lake} holds Parquet files: it is not certain which of them are whole. \
         Restore state/ from a backup, or move the files out of lake/ and start with an empty lake"
    )]
    ManifestMissing { path: PathBuf, lake: PathBuf },
    #[error(
        "{path} does not name the file {file}, which this node wrote: the manifest was cut or replaced, and what the lake holds is not \
         certain. Restore state/ from a backup, or move the file out of lake/ if it does not belong there"
    )]
    ManifestCut { path: PathBuf, file: PathBuf },
    #[error("{manifest} names the file {file:?}, which is not in the lake: restore the manifest from a backup")]
    ManifestPath { manifest: PathBuf, file: String },
    #[error(
        "cannot remove {path}, which is no part of the lake: {source}. Let the user that ringest runs as write to its folder, or remove the \
         file yourself; a start goes on when it is gone"
    )]
    LeftOver { path: PathBuf, source: io::Error },
    #[error("cannot start a lake thread: {0}")]
    Thread(io::Error),
    #[error("the replay of the log has ended early: {reason}. The log is still there, and the next start replays it")]
    Replay { reason: String },
    #[error(
        "{} with {} {} not in the lake: {reason}",
        counted(*epochs, "epoch"), counted(*rows, "row"), if *epochs == 1 { "is" } else { "are" }
    )]
    Unpublished { epochs: u64, rows: u64, reason: String },
}

/// `1 row`, `2 rows`.
fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The running lake.
pub struct Lake {
    node_id: [u8; 8],
    committed: u64,
    epoch_floor: u64,
    commands: Sender<Command>,
    progress: watch::Receiver<Progress>,
    backlog: Arc<Backlog>,
    inventory: Arc<Mutex<Inventory>>,
    /// What those who remove old days work with.
    catalog: Arc<Catalog>,
    metrics: Arc<Metrics>,
    data_dir: PathBuf,
    /// Open as long as days may be removed.
    expires: Option<Sender<()>>,
    /// The coordinator's last word.
    ended: Receiver<Result<(), String>>,
    threads: Vec<JoinHandle<()>>,
    compaction: Handle,
}

impl Lake {
    /// Brings the data directory into order (a publication that was cut off is taken back) and starts the threads. The
    /// catalog was found to hold what the committed files rely on. A lake thread calls `on_commit`.
    ///
    /// # Errors
    /// A folder or file cannot be read or written; no thread starts.
    pub fn start(
        inspected: Inspected,
        options: Options,
        catalog: Arc<Catalog>,
        metrics: Arc<Metrics>,
        budget: Arc<Budget>,
        on_commit: OnCommit,
    ) -> Result<Self, LakeError> {
        let data_dir = inspected.data_dir().to_owned();
        let Recovered { manifest, disk, committed, epoch_floor, inventory } = recover::recover(inspected)?;
        metrics.epoch_committed.set(committed as i64);
        let (progress, watcher) = watch::channel(Progress { committed, ..Progress::default() });
        let backlog = Arc::new(Backlog::default());
        let (commands, inbox) = unbounded();
        let jobs = unbounded::<Job>();
        let mut threads = Vec::new();
        for index in 1..options.threads.max(1) {
            let (queue, budget) = (jobs.1.clone(), Arc::clone(&budget));
            threads.push(spawn(&index.to_string(), NICE_PUBLISHING, move || {
                queue.iter().for_each(|job| job.run(&budget))
            })?);
        }
        let inventory = Arc::new(Mutex::new(inventory));
        let (compaction, orders, alive) = Handle::new();
        let touched = Arc::new(Touched::default());
        let around = Surroundings {
            inventory: Arc::clone(&inventory),
            touched: Arc::clone(&touched),
            metrics: Arc::clone(&metrics),
            budget: Arc::clone(&budget),
            backlog: Arc::clone(&backlog),
            clock: options.clock,
            auto: options.compacts,
            stop: Arc::clone(&compaction.stop),
        };
        let exchange = Exchange {
            data_dir: data_dir.clone(),
            catalog: Arc::clone(&catalog),
            metrics: Arc::clone(&metrics),
            budget: Arc::clone(&budget),
            files: options.files,
            commands: commands.clone(),
        };
        let worker = Worker::new(around, exchange, orders);
        let touched = options.compacts.then(|| (touched, compaction.orders.clone()));
        let shared = Shared {
            catalog: Arc::clone(&catalog),
            metrics: Arc::clone(&metrics),
            budget,
            backlog: Arc::clone(&backlog),
            inventory: Arc::clone(&inventory),
            touched,
            progress,
            on_commit,
            files: options.files,
        };
        let publisher = Publisher::new(data_dir.clone(), disk, manifest).condense_from(options.condense_bytes);
        let node_id = publisher.node().bytes();
        let left = vec![epoch_floor; options.shards];
        let coordinator = Coordinator::new(data_dir.clone(), publisher, shared, inbox, jobs, left);
        let (last_word, ended) = bounded(1);
        threads.push(spawn("0", NICE_PUBLISHING, move || {
            // Nobody listens when the lake was dropped without `finish`.
            let _ = last_word.send(coordinator.run());
        })?);
        // It is not waited for without limit: what it has begun is taken back by the next start.
        spawn("compact", NICE_MERGING, move || {
            worker.run();
            drop(alive);
        })?;
        Ok(Self {
            node_id,
            committed,
            epoch_floor,
            commands,
            progress: watcher,
            backlog,
            inventory,
            catalog,
            metrics,
            data_dir,
            expires: None,
            ended,
            threads,
            compaction,
        })
    }

    /// Removes days whose time is over, from now on, if `options` say so of any bucket.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn expire(&mut self, options: ExpiryOptions) -> Result<(), LakeError> {
        if !options.is_on() {
            return Ok(());
        }
        tracing::info!(
            "days that are older than their bucket's retention are removed, from when the clocks have agreed for an hour on"
        );
        let expiry = Expiry {
            options,
            data_dir: self.data_dir.clone(),
            catalog: Arc::clone(&self.catalog),
            metrics: Arc::clone(&self.metrics),
            inventory: Arc::clone(&self.inventory),
            commands: self.commands.clone(),
        };
        let (open, stop) = bounded(0);
        self.threads.push(spawn("expiry", NICE_MERGING, move || expiry.run(&stop))?);
        self.expires = Some(open);
        Ok(())
    }

    /// Random, drawn once per data directory.
    pub fn node_id(&self) -> [u8; 8] {
        self.node_id
    }

    /// The last epoch that was committed when the lake was started; 0 if none was. Rows of this and every earlier epoch are in the
    /// lake, those of later ones are not.
    pub fn committed(&self) -> u64 {
        self.committed
    }

    /// The last epoch in manifest or lake, one that was taken back too: new epochs must lie above it.
    pub fn epoch_floor(&self) -> u64 {
        self.epoch_floor
    }

    /// Takes the next part of a replay: rows of a log that the lake does not hold yet, in the order of the log. All parts become
    /// one epoch, which must lie above every epoch before it, those of the log too. Returns when the part before is encoded, so
    /// that two of them are in memory. No part may have been submitted yet.
    ///
    /// # Errors
    /// The replay cannot go on. Nothing of it is in the lake then, nor will be.
    pub fn replay(&self, epoch: u64, tables: Vec<SealedTable>) -> Result<(), LakeError> {
        self.replay_step(epoch, Some(tables))
    }

    /// Publishes all parts of a replay together, and saves the catalog, without any part too.
    ///
    /// # Errors
    /// The replay failed earlier, or cannot be published. Whether anything of it is in the lake is for the next start to find out.
    pub fn finish_replay(&self, epoch: u64) -> Result<(), LakeError> {
        self.replay_step(epoch, None)
    }

    /// Ends a replay that is going on, so that nothing of it will be in the lake: its calls return with an error, soon even where
    /// the disk refuses to take a part. Without a replay it only keeps one from beginning.
    pub fn stop_replay(&self) {
        let _ = self.commands.send(Command::StopReplay);
    }

    fn replay_step(&self, epoch: u64, tables: Option<Vec<SealedTable>>) -> Result<(), LakeError> {
        let (done, answer) = bounded(1);
        // Without a coordinator the step is dropped, which is an answer too.
        let _ = self.commands.send(Command::Replay(Step { epoch, tables, done }));
        let answer = answer.recv().unwrap_or_else(|_| Err("the lake has ended".to_owned()));
        answer.map_err(|reason| LakeError::Replay { reason })
    }

    /// Takes a part. Never blocks: its memory is bounded by the budget.
    pub fn submit(&self, part: Part) {
        // The coordinator listens until the lake is finished or dropped.
        let _ = self.commands.send(Command::Part(part));
    }

    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Merges files, whether or not this is done without being asked. The answer comes when that is done: a sentence, if some could not be
    /// merged.
    pub fn compact(&self, extent: Extent) -> oneshot::Receiver<Result<Compacted, String>> {
        let (done, answer) = oneshot::channel();
        // Dropped with the thread, which is an answer too.
        let _ = self.compaction.orders.send(Order::Compact(extent, done));
        answer
    }

    /// Takes committed files (relative to the data directory) out of the lake that are lost; all of them or none.
    ///
    /// # Errors
    /// A sentence: one of them is there, or is no part of the lake, or the manifest cannot be written.
    pub fn forget(&self, files: &[String]) -> Result<(), String> {
        let inventory = self.inventory.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.iter().find(|file| !inventory.contains(file)) {
            return Err(format!("{file} is no part of it; files are named as `ringest lake verify` does it"));
        }
        drop(inventory);
        if let Some(file) = files.iter().find(|file| self.data_dir.join(file).exists()) {
            return Err(format!("{file} is there; move it out of lake/ first if its points are to be gone"));
        }
        let (done, answer) = bounded(1);
        let _ = self.commands.send(Command::Forget(files.to_vec(), done));
        answer.recv().unwrap_or_else(|_| Err("the lake has stopped".to_owned()))
    }

    /// Publishes all that was submitted and ends the threads. A merge that is going on is given up, with nothing changed. A replay that is not finished is given up; it is no error.
    ///
    /// # Errors
    /// At `give_up` something is still not committed; the threads are left behind then, for the process to end.
    pub fn finish(self, give_up: Instant) -> Result<(), LakeError> {
        /// What the coordinator may take to notice that its time is up.
        const GRACE: Duration = Duration::from_millis(100);
        // First, so that nothing further is merged or removed.
        self.compaction.stop();
        drop(self.expires);
        let _ = self.commands.send(Command::Finish(give_up));
        let reason = match self.ended.recv_deadline(give_up + GRACE) {
            Ok(Ok(())) => {
                for thread in self.threads {
                    // The coordinator has said its last word, and helpers end with it.
                    let _ = thread.join();
                }
                self.compaction.wait(give_up);
                return Ok(());
            }
            Ok(Err(reason)) => reason,
            Err(RecvTimeoutError::Timeout) => "the time given for it is over".to_owned(),
            Err(RecvTimeoutError::Disconnected) => "a lake thread has ended".to_owned(),
        };
        let epochs = self.backlog.epochs.load(Ordering::Relaxed);
        let rows = self.backlog.rows.load(Ordering::Relaxed);
        Err(LakeError::Unpublished { epochs, rows, reason })
    }
}

/// A panic outside of a job leaves the lake without a thread that it needs: the process ends.
fn spawn(name: &str, nice: i32, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, LakeError> {
    let work = move || {
        // Of this thread alone. Refused, it is only less polite.
        let _ = rustix::process::setpriority_process(None, nice);
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            std::process::abort();
        }
    };
    std::thread::Builder::new().name(format!("{THREAD_NAME}{name}")).spawn(work).map_err(LakeError::Thread)
}
