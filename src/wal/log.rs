//! The running log.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use super::disk::Backend;
use super::format::{BLOCK_BYTES, HEADER_BYTES, RECORD_HEADER_BYTES};
use super::gather::{Gather, Need};
use super::note::Note;
use super::segments::{BYTES_MIN, Segment, Segments, Step};
use super::shared::Shared;
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
    /// The note which part of the log must be there, in a folder that exists.
    pub note: PathBuf,
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

    /// On a disk that does what a test wants.
    #[cfg(all(test, feature = "lake"))]
    pub(crate) fn start_faulty(
        faults: &Arc<super::Faults>,
        options: Options,
        budget: &Arc<Budget>,
        metrics: &Arc<Metrics>,
        moved: Box<dyn Fn() + Send>,
    ) -> Result<Self, WalError> {
        Self::start_on(&[Backend::Faulty(Arc::clone(faults))], options, budget, metrics, moved)
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
        let note = Note::create(&options.note, life, &backend).map_err(error("make", &options.note))?;
        let writer = Writer::new(backend.disk(), backend.is_cached(), life, options.owner, moved, metrics);
        let shared = Shared::new(Gather::new(budget), segments, first, note, metrics);
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
        self.shared.admit(need)?;
        Ok(Space { wal: self, left: need })
    }

    /// As [`Options::record_bytes_max`].
    pub fn record_bytes_max(&self) -> u64 {
        self.record_bytes_max
    }

    /// Everything up to this position is durable.
    pub fn durable(&self) -> u64 {
        self.shared.durable()
    }

    /// Why the log is poisoned; `None` while it is not.
    pub fn failure(&self) -> Option<Arc<str>> {
        self.shared.failure()
    }

    /// Gives back, in order, the segments that hold nothing beyond the committed epoch and the births that are durable in the catalog.
    pub fn free(&self, committed: u64, births: u64) {
        self.shared.free(committed, births);
    }

    /// Whether so much of the limit is taken that a flush should free some.
    pub fn is_tight(&self) -> bool {
        self.shared.is_tight()
    }

    /// Writes what is queued, ends the threads, and removes the segments that [`Wal::free`] may (the current one too).
    pub fn finish(mut self) {
        let current = self.end();
        if self.failure().is_some() {
            return;
        }
        let removable = match self.shared.removable(current) {
            Ok(removable) => removable,
            Err(error) => {
                tracing::warn!(%error, "the log is kept; the next start reads it and removes it");
                return;
            }
        };
        for segment in removable {
            if let Err(error) = spares::remove(&segment.path) {
                tracing::warn!(path = %segment.path.display(), %error, "cannot remove a segment of the log; the next start reads it and removes it");
                return;
            }
        }
    }

    /// Ends the threads; the segment that was written to last.
    fn end(&mut self) -> Option<Segment> {
        let (log, spares) = self.threads.take()?;
        self.shared.end();
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
    let dir = options.dir.display();
    let mut refused = Vec::new();
    let mut last = std::io::Error::from(std::io::ErrorKind::StorageFull);
    for backend in candidates {
        let mut maker = Maker::new(backend.clone(), &options.dir, options.disk_reserve, life);
        let available = maker.available();
        let made = match segments.step(available, true) {
            Step::Make(bytes) => maker.make(bytes).inspect_err(|_| segments.not_made(bytes)),
            _ => {
                let reserve = options.disk_reserve;
                Err(std::io::Error::other(format!(
                    "the disk has no room for it: {available} bytes are free beside {reserve} that are kept, and publishing may need as much as the log takes; \
                     make room on the disk"
                )))
            }
        };
        match made {
            Ok(segment) => {
                if refused.is_empty() {
                    tracing::info!(disk = backend.name(), %dir, "the log's disk");
                } else {
                    tracing::warn!(disk = backend.name(), %dir, "the log's disk; better ones are refused: {}", refused.join("; "));
                }
                return Ok((maker, backend.clone(), segment));
            }
            Err(error) => {
                refused.push(format!("{}: {error}", backend.name()));
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
        self.wal.shared.append(&record, bytes, need)
    }
}

impl Drop for Space<'_> {
    fn drop(&mut self) {
        if self.left != Need::default() {
            self.wal.shared.forget(self.left);
        }
    }
}
