//! The running log.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::disk::{Backend, Chunk};
use super::format::{BLOCK_BYTES, HEADER_BYTES, RECORD_HEADER_BYTES};
use super::gather::{Gather, Group, Lacks, Need};
use super::pace::Pace;
use super::segments::{BYTES_MIN, Segment, Segments, Step};
use super::spares::{self, Maker};
use super::writer::Writer;
use super::{Kind, WalError};
use crate::budget::Budget;
use crate::metrics::Metrics;

/// How the log is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder of the segments; made if missing.
    pub dir: PathBuf,
    /// Written into every segment: the node that the log belongs to.
    pub owner: [u8; 8],
    /// Most bytes of all segments together.
    pub bytes_max: u64,
    /// Size of a full-grown segment; no record is larger than [`Options::record_bytes_max`].
    pub segment_bytes: u64,
    /// Bytes of the file system that the log leaves free, for what frees its segments.
    pub disk_reserve: u64,
    /// Whether a group counts as durable only when the disk has it (otherwise when the kernel has it).
    pub sync: bool,
}

impl Options {
    /// Whole blocks, and at most half of all: a full-grown spare has its place beside a full-grown current segment.
    fn segment_bytes(&self) -> u64 {
        let block = BLOCK_BYTES as u64;
        (self.segment_bytes.min(self.bytes_max / 2) / block * block).max(BYTES_MIN)
    }

    /// The largest payload of a record that is reserved for alone. Of several that are reserved for together, each beyond the first
    /// takes its payload and up to 8 KiB of this.
    pub fn record_bytes_max(&self) -> u64 {
        let headers = BLOCK_BYTES + HEADER_BYTES + RECORD_HEADER_BYTES;
        // A group's header counts its payload in 32 bits.
        (self.segment_bytes() - headers as u64).min(u32::MAX as u64 - BLOCK_BYTES as u64)
    }
}

/// What is appended.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub kind: Kind,
    /// Its segment is kept until this epoch is committed.
    pub epoch: u64,
    /// For births: all births so far, these included; the segment is kept until as many are durable in the catalog. 0 for requests.
    pub births: u64,
    /// The payload, in pieces.
    pub parts: &'a [&'a [u8]],
}

/// Why nothing can be appended now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// The memory budget has none for the queue.
    Memory,
    /// The segments have none, or the disk.
    Disk,
    /// The record is larger than a segment may be.
    TooLarge,
    /// A write or sync has failed; the sentence says which.
    Poisoned(Arc<str>),
}

/// How often memory is given back that was not needed.
pub(super) const TRIM_EVERY: Duration = Duration::from_secs(1);

/// What is under the lock.
struct State {
    gather: Gather,
    segments: Segments,
    /// The log thread sleeps until so many records have gathered.
    log_waits_for: Option<u32>,
    is_ending: bool,
}

/// What the threads share.
pub(super) struct Shared {
    state: Mutex<State>,
    /// The log thread sleeps here.
    gathered: Condvar,
    /// The thread that makes spares sleeps here.
    spare_wanted: Condvar,
    durable: AtomicU64,
    failure: OnceLock<Arc<str>>,
    metrics: Arc<Metrics>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in any thread aborts the process.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the log thread: the next group and, if it has its place in a new segment, that. `None` at the end.
    pub fn next_group(&self, pace: &mut Pace) -> Option<(Group, Option<Segment>)> {
        let mut state = self.lock();
        while state.gather.gathered() == Some(0) {
            if state.is_ending {
                return None;
            }
            state.log_waits_for = Some(1);
            state = self.wait_idle(state);
        }
        let wait = state.gather.gathered().and_then(|records| pace.wait(records)).filter(|_| !state.is_ending);
        if let Some((longest, records)) = wait {
            state.log_waits_for = Some(records);
            state = self.gathered.wait_timeout(state, longest).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.log_waits_for = None;
        let group = state.gather.take()?;
        if state.gather.place(&group) {
            return Some((group, None));
        }
        let next = state.segments.take_spare().expect("room in a spare segment was promised");
        drop(state);
        self.spare_wanted.notify_one();
        Some((group, Some(next)))
    }

    /// Until a record is there; meanwhile memory that a burst has left is given back.
    fn wait_idle<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        if !state.gather.has_surplus().0 {
            return self.gathered.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let waited = self.gathered.wait_timeout(state, TRIM_EVERY).unwrap_or_else(PoisonError::into_inner);
        let (mut state, timeout) = waited;
        if timeout.timed_out() {
            let surplus = state.gather.surplus();
            drop(state);
            drop(surplus);
            state = self.lock();
        }
        state
    }

    /// Takes back what a group took of the memory; from time to time (`trim`) it gives up what is not needed.
    pub fn take_back(&self, payload: u64, chunks: Vec<Chunk>, trim: bool) {
        let mut state = self.lock();
        state.gather.take_back(payload, chunks);
        let (has_surplus, is_wanted) = state.gather.has_surplus();
        let surplus = if is_wanted || trim && has_surplus { state.gather.surplus() } else { Vec::new() };
        drop(state);
        drop(surplus);
    }

    pub fn set_durable(&self, position: u64) {
        self.durable.store(position, Ordering::Release);
    }

    /// The log thread has left a segment.
    pub fn close(&self, segment: Segment) {
        let mut state = self.lock();
        state.segments.close(segment);
        self.show(&state);
        drop(state);
        self.spare_wanted.notify_one();
    }

    pub fn poison(&self, failure: Arc<str>) {
        let mut state = self.lock();
        state.gather.poison(Arc::clone(&failure));
        drop(state);
        let _ = self.failure.set(failure);
    }

    /// For the thread that makes spares: what is to be done when the disk has `available` bytes to give. Sleeps while there is nothing;
    /// `retry`: so long at most where there is no room. `None` at the end.
    pub fn next_step(&self, available: u64, retry: Duration) -> Option<Step> {
        let mut state = self.lock();
        if state.is_ending {
            return None;
        }
        let is_idle = state.gather.is_spare_idle();
        let step = state.segments.step(available, is_idle);
        match &step {
            Step::Wait => drop(self.spare_wanted.wait(state)),
            Step::Blocked => self.pause(state, retry),
            Step::Adopted(bytes) => state.gather.set_spare(*bytes),
            Step::Retired => state.gather.set_spare(0),
            Step::Remove(_) | Step::Make(_) => {}
        }
        Some(step)
    }

    fn pause(&self, state: MutexGuard<'_, State>, time: Duration) {
        if !state.is_ending {
            drop(self.spare_wanted.wait_timeout(state, time));
        }
    }

    /// A segment of so many bytes was made, or (after a pause) is to be tried again.
    pub fn made(&self, bytes: u64, segment: Option<Segment>, retry: Duration) {
        let mut state = self.lock();
        match segment {
            Some(segment) => {
                let usable = state.segments.made(segment);
                state.gather.set_spare(usable);
                self.show(&state);
            }
            None => {
                state.segments.not_made(bytes);
                self.pause(state, retry);
            }
        }
    }

    /// A segment was removed, or (after a pause) is to be removed again.
    pub fn removed(&self, segment: Segment, is_removed: bool, retry: Duration) {
        let mut state = self.lock();
        if is_removed {
            state.segments.removed(&segment);
            self.show(&state);
        } else {
            state.segments.not_removed(segment);
            self.pause(state, retry);
        }
    }

    /// Brings the book of segments to the metrics.
    fn show(&self, state: &State) {
        let (files, bytes) = state.segments.total();
        self.metrics.log_segments.set(files as i64);
        self.metrics.log_segment_bytes.set(bytes as i64);
        self.metrics.log_unfreed_bytes.set(state.segments.closed_bytes() as i64);
    }
}

/// The running log; shared by all threads.
pub struct Wal {
    shared: Arc<Shared>,
    reservation_disk_max: u64,
    record_bytes_max: u64,
    /// `None` once they have ended.
    threads: Option<(JoinHandle<Option<Segment>>, JoinHandle<()>)>,
}

impl Wal {
    /// Makes the first segment and starts the threads. `moved` is called (by the log thread) whenever [`Wal::durable`] has moved or the log was poisoned.
    ///
    /// # Errors
    /// The folder or the first segment cannot be made, or the disk is full.
    pub fn start(
        options: Options,
        budget: &Arc<Budget>,
        metrics: &Arc<Metrics>,
        moved: Box<dyn Fn() + Send>,
    ) -> Result<Self, WalError> {
        let candidates = Backend::candidates(options.sync);
        Self::start_on(candidates, options, budget, metrics, moved)
    }

    /// On the first of `candidates` that the kernel and the file system allow.
    pub(super) fn start_on(
        candidates: &[Backend],
        options: Options,
        budget: &Arc<Budget>,
        metrics: &Arc<Metrics>,
        moved: Box<dyn Fn() + Send>,
    ) -> Result<Self, WalError> {
        let error = |action, path: &Path| {
            let path = path.to_owned();
            move |source| WalError::Io { action, path, source }
        };
        let dir = &options.dir;
        std::fs::create_dir_all(dir).map_err(error("make", dir))?;
        if let Some(parent) = dir.parent() {
            spares::sync_folder(parent).map_err(error("sync", parent))?;
        }
        let life = random()?;
        let mut segments = Segments::new(options.bytes_max, options.segment_bytes());
        let (maker, backend, first) =
            first(candidates, &options, life, &mut segments).map_err(error("make the log's first segment in", dir))?;
        let mut gather = Gather::new(budget);
        gather.set_spare(segments.made(first));
        let disk = backend.disk().map_err(error("write to", dir))?;
        let writer = Writer::new(disk, life, options.owner, moved, metrics);
        let shared = Arc::new(Shared {
            state: Mutex::new(State { gather, segments, log_waits_for: None, is_ending: false }),
            gathered: Condvar::new(),
            spare_wanted: Condvar::new(),
            durable: AtomicU64::new(0),
            failure: OnceLock::new(),
            metrics: Arc::clone(metrics),
        });
        let (of_log, of_spares) = (Arc::clone(&shared), Arc::clone(&shared));
        let spawn = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let threads = (
            spawn("log").spawn(move || writer.run(&of_log)).map_err(error("start the thread of", dir))?,
            spawn("log-spares").spawn(move || maker.run(&of_spares)).map_err(error("start the thread of", dir))?,
        );
        let (reservation_disk_max, record_bytes_max) =
            (options.segment_bytes() - BLOCK_BYTES as u64, options.record_bytes_max());
        Ok(Self { shared, reservation_disk_max, record_bytes_max, threads: Some(threads) })
    }

    /// Room for `records` records with payloads of `bytes` in all.
    ///
    /// # Errors
    /// There is none now.
    pub fn reserve(&self, bytes: usize, records: usize) -> Result<Space<'_>, NoRoom> {
        let need = Need::of(bytes, records);
        if need.disk > self.reservation_disk_max || bytes as u64 > self.record_bytes_max {
            return Err(NoRoom::TooLarge);
        }
        let mut state = self.shared.lock();
        loop {
            match state.gather.admit(need) {
                Ok(()) => {
                    state.segments.granted();
                    return Ok(Space { wal: self, left: need });
                }
                Err(Lacks::Room(reason)) => {
                    if reason == NoRoom::Disk {
                        state.segments.refused(need.disk);
                        drop(state);
                        self.shared.spare_wanted.notify_one();
                    }
                    return Err(reason);
                }
                Err(Lacks::Chunks(count)) => {
                    if !state.gather.grow(count) {
                        return Err(NoRoom::Memory);
                    }
                    // Fresh memory is slow: others go on meanwhile.
                    drop(state);
                    let chunks = (0..count).map(|_| Chunk::new()).collect();
                    state = self.shared.lock();
                    state.gather.add(chunks);
                }
            }
        }
    }

    /// Everything up to this position is durable.
    pub fn durable(&self) -> u64 {
        self.shared.durable.load(Ordering::Acquire)
    }

    /// Why the log is poisoned; `None` while it is not.
    pub fn failure(&self) -> Option<Arc<str>> {
        self.shared.failure.get().cloned()
    }

    /// Gives back, in order, the segments that hold nothing beyond the committed epoch and the births that are durable in the catalog.
    pub fn free(&self, committed: u64, births: u64) {
        let mut state = self.shared.lock();
        let is_freed = state.segments.free(committed, births);
        self.shared.show(&state);
        drop(state);
        if is_freed {
            self.shared.spare_wanted.notify_one();
        }
    }

    /// Whether so much of the limit is taken that a flush should free some.
    pub fn is_tight(&self) -> bool {
        self.shared.lock().segments.is_tight()
    }

    /// Writes what is queued, ends the threads, and removes the segments that [`Wal::free`] may (the current one too).
    pub fn finish(mut self) {
        let current = self.end();
        if self.failure().is_some() {
            return;
        }
        for segment in self.shared.lock().segments.removable(current) {
            if let Err(error) = spares::remove(&segment.path) {
                tracing::warn!(path = %segment.path.display(), %error, "cannot remove a segment of the log; the next start reads it and removes it");
                return;
            }
        }
    }

    /// Ends the threads; the segment that was written to last.
    fn end(&mut self) -> Option<Segment> {
        let (log, spares) = self.threads.take()?;
        self.shared.lock().is_ending = true;
        self.shared.gathered.notify_one();
        self.shared.spare_wanted.notify_one();
        // A panic would have ended the process.
        let _ = spares.join();
        log.join().ok().flatten()
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        self.end();
    }
}

/// The first segment, made on the first of `candidates` that allows it.
fn first(
    candidates: &[Backend],
    options: &Options,
    life: u64,
    segments: &mut Segments,
) -> std::io::Result<(Maker, Backend, Segment)> {
    let mut why = String::new();
    let mut last = std::io::Error::from(std::io::ErrorKind::StorageFull);
    for backend in candidates {
        let maker = Maker::new(backend.clone(), &options.dir, options.disk_reserve, life);
        let made = maker.and_then(|mut maker| {
            let Step::Make(bytes) = segments.step(maker.available(), true) else {
                return Err(std::io::ErrorKind::StorageFull.into());
            };
            let segment = maker.make(bytes).inspect_err(|_| segments.not_made(bytes))?;
            Ok((maker, backend.clone(), segment))
        });
        match made {
            Ok(made) if why.is_empty() => {
                tracing::info!(disk = backend.name(), dir = %options.dir.display(), "the log is written");
                return Ok(made);
            }
            Ok(made) => {
                tracing::warn!(disk = backend.name(), dir = %options.dir.display(), "the log is written in a slower way: {why}");
                return Ok(made);
            }
            Err(error) => {
                why = format!("{}{}: {error}", if why.is_empty() { "" } else { "; " }, backend.name());
                last = error;
            }
        }
    }
    Err(last)
}

fn random() -> Result<u64, WalError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| WalError::Io {
        action: "draw a random number for",
        path: PathBuf::from("the log"),
        source: std::io::Error::other(error.to_string()),
    })?;
    Ok(u64::from_le_bytes(bytes))
}

/// Room for records; what is not used is given back when it is dropped.
pub struct Space<'a> {
    wal: &'a Wal,
    left: Need,
}

impl Space<'_> {
    /// Queues a record and returns its position: larger than that of every record appended before. Never waits for the disk.
    ///
    /// # Panics
    /// More is appended than was reserved.
    pub fn append(&mut self, record: Record<'_>) -> u64 {
        let bytes = record.parts.iter().map(|part| part.len()).sum();
        let need = Need::of(bytes, 1);
        self.left = self.left.minus(need).expect("no more is appended than was reserved");
        let shared = &self.wal.shared;
        let mut state = shared.lock();
        let position = state.gather.append(&record, bytes, need);
        let is_awaited =
            state.log_waits_for.is_some_and(|records| state.gather.gathered().is_none_or(|there| there >= records));
        if is_awaited {
            state.log_waits_for = None;
        }
        drop(state);
        if is_awaited {
            shared.gathered.notify_one();
        }
        position
    }
}

impl Drop for Space<'_> {
    fn drop(&mut self) {
        if self.left != Need::default() {
            self.wal.shared.lock().gather.forget(self.left);
        }
    }
}
