//! The thread that gathers parts, decides when an epoch is complete, and publishes epochs in order.

mod replay;

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use tokio::sync::watch;

use crate::budget::{Budget, Consumer, Reservation};
use crate::catalog::{Catalog, Saved, Table};
use crate::metrics::Metrics;
use crate::table::SealedTable;

use super::compact::{Order, Touched};
use super::encode::Origin;
use super::inventory::Inventory;
use super::job::{Job, JobError, TableDay};
use super::partition::{DayPart, FileName, folder, split};
use super::publish::{Failure, Publisher, Replacement, Staged, save};
use super::{FileOptions, OnCommit, Part, Progress, counted, quarantine};

use replay::Replay;
pub(super) use replay::Step;

const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Faults of the encoder after which a job's rows go to quarantine.
const FAULTS_MAX: u32 = 2;

pub(super) enum Command {
    Part(Part),
    Replay(Step),
    /// The replay is not to be finished.
    StopReplay,
    /// Files that take the place of committed ones, and who waits for the answer. Tried once: on failure they are still aside.
    Replace(Replacement, Sender<Result<(), String>>),
    /// Lost files that are to be taken out of the lake, and who waits for the answer.
    Forget(Vec<String>, Sender<Result<(), String>>),
    /// Files that others took the place of are to go, if they stayed long enough; the sender is dropped when they have gone.
    Sweep(Sender<()>),
    /// No more parts will come: publish what is there, and stop trying at this moment.
    Finish(Instant),
}

/// What is not committed yet; read by `Lake::finish` when it gives up.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    pub epochs: AtomicU64,
    pub rows: AtomicU64,
}

/// What the lake's threads share.
pub(super) struct Shared {
    pub catalog: Arc<Catalog>,
    pub metrics: Arc<Metrics>,
    pub budget: Arc<Budget>,
    pub backlog: Arc<Backlog>,
    /// Changed by the coordinator alone, after each commit.
    pub inventory: Arc<Mutex<Inventory>>,
    /// Where compaction learns which folders have new files; `None`: it does not want to know.
    pub touched: Option<(Arc<Touched>, Sender<Order>)>,
    pub progress: watch::Sender<Progress>,
    pub on_commit: OnCommit,
    pub files: FileOptions,
}

/// An epoch on its way into the lake: rows by table and day, ready to be tried any number of times.
struct Epoch {
    number: u64,
    /// Part of the names of its files: the attempt, or the part of a replay.
    n: u32,
    jobs: Vec<TableDay>,
    rows: u64,
    /// Of the rows; given back when they are committed.
    memory: Vec<Reservation>,
}

pub(super) struct Coordinator {
    data_dir: PathBuf,
    publisher: Publisher,
    shared: Shared,
    commands: Receiver<Command>,
    /// Jobs for the helpers, and for this thread too.
    jobs: (Sender<Job>, Receiver<Job>),
    /// By shard: it has left every epoch up to this one.
    left: Vec<u64>,
    pending: BTreeMap<u64, Vec<SealedTable>>,
    replay: Replay,
    replacements: VecDeque<(Replacement, Sender<Result<(), String>>)>,
    /// No rows of this epoch or an earlier one will come into the lake.
    passed: u64,
    /// When to give up, once no more parts come.
    give_up: Option<Instant>,
    /// Files in quarantine.
    quarantined: usize,
}

impl Coordinator {
    /// `left`: the epoch behind which each shard begins.
    pub fn new(
        data_dir: PathBuf,
        publisher: Publisher,
        shared: Shared,
        commands: Receiver<Command>,
        jobs: (Sender<Job>, Receiver<Job>),
        left: Vec<u64>,
    ) -> Self {
        let passed = left.iter().copied().max().unwrap_or(0);
        let quarantined = quarantine::count(&data_dir);
        Self {
            data_dir,
            publisher,
            shared,
            commands,
            jobs,
            left,
            pending: BTreeMap::new(),
            replay: Replay::default(),
            replacements: VecDeque::new(),
            passed,
            give_up: None,
            quarantined,
        }
    }

    /// Works until `Finish` or until the lake is dropped. An error says why rows are left.
    pub fn run(mut self) -> Result<(), String> {
        self.shared.metrics.set_failure(self.standing_failure());
        while self.give_up.is_none() {
            match self.commands.recv() {
                Ok(command) => self.take(command),
                // Dropped without `finish`: nobody waits for what is left.
                Err(_) => return Ok(()),
            }
            while let Ok(command) = self.commands.try_recv() {
                self.take(command);
            }
            while let Some(step) = self.replay.next_step() {
                self.take_step(step);
            }
            // Epochs behind a replay wait for it: with one of them committed, the next start would pass over what the log holds.
            while !self.replay.is_unfinished()
                && let Some(epoch) = self.next_epoch()
            {
                self.publish(epoch)?;
            }
            // What could not be removed is tried again now and then.
            self.publisher.sweep(Instant::now());
            while let Some((replacement, done)) = self.replacements.pop_front() {
                let replaced = self.replace(&replacement);
                let answer = replaced.as_ref().map_err(|failure| failure.reason().to_owned());
                // Nobody listens to it any more when the node ends.
                let _ = done.send(answer.copied());
                if let Err(Failure::Stop(reason)) = replaced {
                    return self.hold(reason);
                }
            }
            if let Err(failure) = self.condense() {
                return self.hold(failure.reason().to_owned());
            }
        }
        self.publisher.finish();
        if self.shared.backlog.rows.load(Ordering::Relaxed) > 0 {
            let reason = if self.replay.is_unfinished() {
                "the replay of the log before them was not finished"
            } else {
                "not every shard has handed over what it has of them"
            };
            return Err(reason.to_owned());
        }
        Ok(())
    }

    fn take(&mut self, command: Command) {
        let part = match command {
            Command::Part(part) => part,
            Command::Replay(step) => return self.replay.queue(step),
            Command::StopReplay => return self.replay.stop(),
            Command::Replace(replacement, done) => return self.replacements.push_back((replacement, done)),
            Command::Forget(files, done) => {
                let forgotten = self.publisher.forget(files.clone()).map_err(|failure| failure.reason().to_owned());
                if forgotten.is_ok() {
                    self.take_stock(&[], &files);
                }
                return drop(done.send(forgotten));
            }
            Command::Sweep(done) => {
                self.publisher.sweep(Instant::now());
                return drop(done);
            }
            Command::Finish(give_up) => {
                self.give_up = Some(give_up);
                return self.replay.stop();
            }
        };
        if let Some(left) = self.left.get_mut(part.shard) {
            *left = part.epoch.max(*left);
        }
        let rows: usize = part.tables.iter().map(|table| table.rows.time.len()).sum();
        self.shared.backlog.rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.pending.entry(part.epoch).or_insert_with(|| {
            self.shared.backlog.epochs.fetch_add(1, Ordering::Relaxed);
            Vec::new()
        });
        self.pending.entry(part.epoch).or_default().extend(part.tables);
    }

    /// The lowest epoch that every shard has left, at the end of the node too: with a part of an epoch committed, the next start would
    /// pass over the others in the log.
    fn next_epoch(&mut self) -> Option<Epoch> {
        let left = self.left.iter().copied().min().unwrap_or(0);
        let next = self.pending.first_entry().filter(|entry| *entry.key() <= left);
        let Some(next) = next else {
            if left > self.passed {
                self.advance(left, save(&self.shared.catalog));
            }
            return None;
        };
        let (number, tables) = next.remove_entry();
        Some(self.prepare(number, 0, tables))
    }

    /// Splits an epoch's rows by table and day, with the newest schema of each table.
    fn prepare(&self, number: u64, n: u32, tables: Vec<SealedTable>) -> Epoch {
        let mut by_day: BTreeMap<(u32, i64), Vec<Arc<DayPart>>> = BTreeMap::new();
        let mut memory = Vec::new();
        let mut rows = 0;
        for SealedTable { table, rows: table_rows, memory: share } in tables {
            memory.push(share);
            rows += table_rows.time.len() as u64;
            for (day, part) in split(table_rows) {
                by_day.entry((table.id, day)).or_default().push(Arc::new(part));
            }
        }
        let mut newest: BTreeMap<u32, Arc<Table>> = BTreeMap::new();
        let job = |((id, day), parts)| {
            let table = newest.entry(id).or_insert_with(|| self.shared.catalog.table(id));
            TableDay { table: Arc::clone(table), day, parts, faults: 0 }
        };
        let mut jobs: Vec<TableDay> = by_day.into_iter().map(job).collect();
        // The longest first, so that no thread waits for one that was begun last.
        jobs.sort_by_key(|job| Reverse(job.parts.iter().map(|part| part.rows()).sum::<usize>()));
        Epoch { number, n, jobs, rows, memory }
    }

    /// Tries until the epoch is committed. An error ends the coordinator.
    fn publish(&mut self, mut epoch: Epoch) -> Result<(), String> {
        let began = Instant::now();
        // Rows that are all in quarantine are committed too: whoever kept a copy of them must not bring them again.
        let saved = match epoch.rows {
            0 => save(&self.shared.catalog),
            _ => match self.insist(|this| this.attempt(&mut epoch)) {
                Ok(saved) => Ok(saved),
                Err(Failure::Again(reason)) => return Err(reason),
                Err(Failure::Stop(reason)) => return self.hold(reason),
            },
        };
        let backlog = &self.shared.backlog;
        backlog.rows.fetch_sub(epoch.rows, Ordering::Relaxed);
        backlog.epochs.fetch_sub(1, Ordering::Relaxed);
        let number = epoch.number.max(self.passed);
        if epoch.rows > 0 {
            self.shared.metrics.drained(epoch.memory.iter().map(Reservation::bytes).sum(), began.elapsed());
        }
        drop(epoch);
        self.advance(number, saved);
        Ok(())
    }

    /// Makes attempts until one succeeds, or until there is no time for another (`Again`) or no hope (`Stop`).
    fn insist<T>(&mut self, mut attempt: impl FnMut(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        let mut wait = RETRY_FIRST;
        loop {
            let failure = match attempt(self) {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            self.report(failure.reason());
            if matches!(failure, Failure::Stop(_)) || !self.wait(wait) {
                return Err(failure);
            }
            wait = (wait * 2).min(RETRY_MAX);
        }
    }

    /// One attempt: all files aside, then published. On failure nothing is left aside.
    fn attempt(&mut self, epoch: &mut Epoch) -> Result<Saved, Failure> {
        let files = self.write_aside(epoch)?;
        match self.publisher.publish(epoch.number, &files, &self.shared.catalog) {
            Ok(saved) => {
                self.count(&files);
                self.take_stock(&files, &[]);
                Ok(saved)
            }
            Err(failure) => {
                epoch.n += 1;
                discard(files.iter().map(|file| &*file.aside));
                Err(failure)
            }
        }
    }

    /// All files of an epoch aside, or none.
    fn write_aside(&mut self, epoch: &mut Epoch) -> Result<Vec<Staged>, Failure> {
        self.quarantine(epoch)?;
        let files = self.encode(epoch);
        if files.is_err() {
            let aside: Vec<PathBuf> = (0..epoch.jobs.len()).map(|job| self.aside(epoch, job)).collect();
            discard(aside.iter().map(|path| &**path));
        }
        files
    }

    fn aside(&self, epoch: &Epoch, job: usize) -> PathBuf {
        self.data_dir.join("tmp").join(format!("{:013}-{:04}-{job}.part", epoch.number, epoch.n))
    }

    /// Writes the files of all jobs aside, with the help of the other lake threads.
    fn encode(&self, epoch: &mut Epoch) -> Result<Vec<Staged>, Failure> {
        let node = self.publisher.node();
        let sync = !self.publisher.syncs_files(epoch.jobs.len());
        let (done, results) = unbounded();
        for (index, input) in epoch.jobs.iter().enumerate() {
            let folder = folder(&input.table, input.day);
            let job = Job {
                input: input.clone(),
                origin: Origin { node, epoch: epoch.number, first_epoch: epoch.number },
                aside: self.aside(epoch, index),
                target: format!("{folder}/{}", FileName::new(epoch.number, epoch.n, node)),
                sync,
                files: self.shared.files,
                done: done.clone(),
                index,
            };
            // This thread holds a receiver: the channel is open.
            let _ = self.jobs.0.send(job);
        }
        drop(done);
        while let Ok(job) = self.jobs.1.try_recv() {
            job.run(&self.shared.budget);
        }
        // Every job is waited for, after a failure too: none may write to its file when the next attempt begins.
        let results: Vec<(usize, Result<Staged, JobError>)> = results.iter().collect();
        if results.len() < epoch.jobs.len() {
            return Err(Failure::Stop("a lake thread has ended; restart the node".into()));
        }
        let mut files = Vec::with_capacity(results.len());
        let mut failure = None;
        for (index, result) in results {
            match result {
                Ok(file) => files.push(file),
                Err(JobError::Disk(reason)) => failure = Some(reason),
                Err(JobError::Fault(reason)) => {
                    epoch.jobs[index].faults += 1;
                    failure = Some(reason);
                }
            }
        }
        failure.map_or(Ok(files), |reason| Err(Failure::Again(reason)))
    }

    /// Takes jobs that cannot be encoded out of the epoch, which goes on without them.
    fn quarantine(&mut self, epoch: &mut Epoch) -> Result<(), Failure> {
        let (hopeless, jobs) = std::mem::take(&mut epoch.jobs).into_iter().partition(|job| job.faults >= FAULTS_MAX);
        epoch.jobs = jobs;
        let mut hopeless: Vec<TableDay> = hopeless;
        while let Some(job) = hopeless.pop() {
            let saved =
                catch_unwind(AssertUnwindSafe(|| quarantine::save(&self.data_dir, epoch.number, epoch.n, &job)));
            let reason = match saved {
                Ok(Ok(path)) => {
                    tracing::error!(
                        bucket = &*job.table.bucket.name,
                        measurement = &*job.table.name,
                        path = %path.display(),
                        "rows that cannot be encoded are kept in quarantine and are not in the lake; please report the panic in the log"
                    );
                    self.quarantined += 1;
                    continue;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "they cannot be written there either".to_owned(),
            };
            hopeless.push(job);
            epoch.jobs.append(&mut hopeless);
            let folder = quarantine::folder(&self.data_dir);
            return Err(Failure::Again(format!("cannot keep rows in {}: {reason}", folder.display())));
        }
        Ok(())
    }

    /// What health says while nothing else is wrong.
    fn standing_failure(&self) -> Option<Arc<str>> {
        let folder = quarantine::folder(&self.data_dir);
        (self.quarantined > 0).then(|| {
            let files = counted(self.quarantined as u64, "file");
            format!("{files} with rows that could not be encoded in {}: they are not in the lake", folder.display())
                .into()
        })
    }

    /// Puts files in the place of committed ones, unless one of those has gone meanwhile.
    fn replace(&mut self, replacement: &Replacement) -> Result<(), Failure> {
        let Replacement { files, removes, .. } = replacement;
        let gone = {
            let inventory = self.inventory();
            removes.iter().find(|path| !inventory.contains(path)).cloned()
        };
        if let Some(path) = gone {
            return Err(Failure::Again(format!("{path} is not part of the lake any more")));
        }
        self.publisher.replace(replacement, &self.shared.catalog)?;
        self.take_stock(files, removes);
        Ok(())
    }

    /// Between two jobs, so that no intent is open.
    fn condense(&mut self) -> Result<(), Failure> {
        /// What one of the files takes that belonged to the lake when the kept records began.
        const FILE_BYTES: usize = 96;
        if self.give_up.is_some() || !self.publisher.is_to_condense() {
            return Ok(());
        }
        let mut memory = Reservation::new(&self.shared.budget, Consumer::Compaction);
        // Without room it is tried again after the next job.
        if !memory.try_grow(self.inventory().len() * FILE_BYTES) {
            return Ok(());
        }
        self.publisher.condense()
    }

    fn inventory(&self) -> MutexGuard<'_, Inventory> {
        self.shared.inventory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows a commit.
    fn take_stock(&self, files: &[Staged], removes: &[String]) {
        let mut inventory = self.inventory();
        removes.iter().for_each(|path| inventory.remove(path));
        files.iter().for_each(|file| inventory.add(&file.target));
        drop(inventory);
        // What takes the place of other files was decided there.
        if let Some((touched, orders)) = self.shared.touched.as_ref().filter(|_| removes.is_empty()) {
            touched.add(files.iter().map(|file| &*file.target));
            let _ = orders.send(Order::Look);
        }
    }

    fn count(&self, files: &[Staged]) {
        let metrics = &self.shared.metrics;
        metrics.files_written.inc_by(files.len() as u64);
        metrics.file_bytes_written.inc_by(files.iter().map(|file| file.written.bytes).sum());
        metrics.rows_written.inc_by(files.iter().map(|file| file.written.rows).sum());
    }

    /// The lake misses nothing of the epochs up to this one. `saved`: the births of them all, which an epoch without rows has too.
    fn advance(&mut self, committed: u64, saved: Result<Saved, String>) {
        self.passed = committed;
        self.shared.metrics.epoch_committed.set(committed as i64);
        match saved {
            Ok(saved) => {
                (self.shared.on_commit)(committed, saved.births);
                self.report_success(|progress| progress.committed = committed);
            }
            Err(reason) => {
                self.shared.progress.send_modify(|progress| progress.committed = committed);
                self.report(&reason);
            }
        }
    }

    fn report_success(&self, change: impl FnOnce(&mut Progress)) {
        self.shared.metrics.set_failure(self.standing_failure());
        self.shared.progress.send_modify(|progress| {
            change(progress);
            if progress.failure.take().is_some() {
                tracing::info!("publishing works again; epoch {} is committed", progress.committed);
            }
        });
    }

    /// Health fails before anybody is told of the attempt: who hears that a flush has failed finds it there.
    fn report(&self, reason: &str) {
        self.shared.metrics.publish_failures.inc();
        self.shared.metrics.set_failure(Some(reason.into()));
        self.shared.progress.send_modify(|progress| {
            progress.failed_attempts += 1;
            if progress.failure.as_deref() != Some(reason) {
                tracing::error!("{reason}");
                progress.failure = Some(reason.into());
            }
        });
    }

    /// Waits before the next attempt and takes parts meanwhile. Whether there is time for another attempt.
    fn wait(&mut self, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        loop {
            if self.replay.is_cut_off() || self.give_up.is_some_and(|give_up| give_up <= until) {
                return false;
            }
            match self.commands.recv_deadline(until) {
                Ok(command) => self.take(command),
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) if self.give_up.is_some() => {
                    std::thread::sleep(until.saturating_duration_since(Instant::now()));
                    return true;
                }
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    /// Publishes nothing more and keeps the rows that come, until the node ends.
    fn hold(&mut self, reason: String) -> Result<(), String> {
        while self.give_up.is_none() {
            match self.commands.recv() {
                Ok(command) => self.take(command),
                Err(_) => break,
            }
            // Whoever waits for these rows learns that they do not come.
            self.report(&reason);
        }
        Err(reason)
    }
}

/// Removes files aside. What cannot be removed now is overwritten or cleared at the next start.
fn discard<'a>(aside: impl Iterator<Item = &'a Path>) {
    for path in aside {
        let _ = std::fs::remove_file(path);
    }
}
