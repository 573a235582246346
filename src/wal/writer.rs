//! The log thread: takes what has gathered, writes it as one group, synced, and says how far the log is durable.
//!
//! One group is in flight, and whatever is appended meanwhile is the next: a lone writer waits for nobody, and a crowd shares one sync.
//! [`Pace`] says when it pays to wait for stragglers.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::disk::{Chunk, Disk, Write};
use super::format::{BLOCK_BYTES, SegmentHeader};
use super::gather::Group;
use super::pace::Pace;
use super::segments::Segment;
use super::shared::{Shared, TRIM_EVERY};
use crate::metrics::Metrics;

/// What a group is written with.
pub struct Writer {
    disk: Box<dyn Disk>,
    /// Whether groups are not synced.
    is_cached: bool,
    life: u64,
    owner: [u8; 8],
    current: Option<Segment>,
    /// Where the next group goes.
    offset: u64,
    /// Of the next group.
    sequence: u64,
    /// Of a segment's header, zeros behind it; `None` while it is being written.
    header: Option<Chunk>,
    pace: Pace,
    /// When memory was given back.
    trimmed: Instant,
    moved: Box<dyn Fn() + Send>,
    metrics: Arc<Metrics>,
}

/// What cannot be written, and why.
type Failed = (String, io::Error);

impl Writer {
    pub fn new(
        disk: Box<dyn Disk>,
        is_cached: bool,
        life: u64,
        owner: [u8; 8],
        moved: Box<dyn Fn() + Send>,
        metrics: &Arc<Metrics>,
    ) -> Self {
        Self {
            disk,
            is_cached,
            life,
            owner,
            current: None,
            offset: 0,
            sequence: 0,
            header: Some(Chunk::new()),
            pace: Pace::default(),
            trimmed: Instant::now(),
            moved,
            metrics: Arc::clone(metrics),
        }
    }

    /// Writes groups until the log ends or is poisoned; what was the current segment then.
    pub fn run(mut self, shared: &Shared) -> Option<Segment> {
        // For short waits: by default the kernel lets a thread sleep 50 us longer than it asked for.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1000));
        while let Some((group, next)) = shared.next_group(&mut self.pace) {
            if let Err((what, error)) = self.write(shared, group, next) {
                let failure = format!("cannot write {what}: {error}; repair the disk and restart the node");
                tracing::error!("{failure}");
                shared.poison(failure.into());
                (self.moved)();
                break;
            }
        }
        self.current
    }

    /// Writes one group, into the segment `next` if it has its place there.
    fn write(&mut self, shared: &Shared, mut group: Group, next: Option<Segment>) -> Result<(), Failed> {
        if let Some(next) = next {
            self.enter(shared, next)?;
        }
        let started = Instant::now();
        let Some(segment) = &mut self.current else { return Ok(()) };
        segment.epoch_max = segment.epoch_max.max(group.epoch_max);
        segment.births = segment.births.max(group.births);
        let (bytes, payload, records, position) =
            (group.disk_bytes(), group.payload_bytes(), group.records, group.position);
        group.finish(self.life, self.sequence);
        let file = Arc::clone(&segment.file);
        let write =
            Write { file, offset: self.offset, bytes: bytes as usize, chunks: group.chunks, synced: !self.is_cached };
        if let Err(error) = self.disk.write(&write) {
            let failed = (place(&segment.path, self.offset), error);
            shared.take_back(payload as u64, write.chunks, true);
            return Err(failed);
        }
        let took = started.elapsed();
        self.offset += bytes;
        self.sequence += 1;
        shared.set_durable(position);
        (self.moved)();
        self.pace.wrote(records, took);
        self.count(records, bytes, took);
        let trim = self.trimmed.elapsed() >= TRIM_EVERY;
        if trim {
            self.trimmed = Instant::now();
        }
        shared.take_back(payload as u64, write.chunks, trim);
        Ok(())
    }

    /// Goes on in `next`, whose header is on disk, and noted, before any group in it is written.
    fn enter(&mut self, shared: &Shared, next: Segment) -> Result<(), Failed> {
        let header =
            SegmentHeader { life: self.life, first_sequence: self.sequence, owner: self.owner, file_bytes: next.bytes };
        let header = header.encode();
        let mut chunk = self.header.take().unwrap_or_else(Chunk::new);
        chunk[..header.len()].copy_from_slice(&header);
        let file = Arc::clone(&next.file);
        // Synced in any case: the note must not reach the disk before the header that it tells of.
        let write = Write { file, offset: 0, bytes: BLOCK_BYTES, chunks: vec![chunk], synced: true };
        let result = self.disk.write(&write);
        self.header = write.chunks.into_iter().next();
        result.map_err(|error| (place(&next.path, 0), error))?;
        let first_sequence = self.sequence;
        shared
            .enter(first_sequence)
            .map_err(|(path, error)| (format!("the note of the log, {}", path.display()), error))?;
        self.offset = BLOCK_BYTES as u64;
        let fresh = Segment { first_sequence, epoch_max: 0, births: 0, ..next };
        if let Some(left) = self.current.replace(fresh) {
            shared.close(left, first_sequence);
        }
        Ok(())
    }

    fn count(&self, records: u32, bytes: u64, took: Duration) {
        self.metrics.log_groups.inc();
        self.metrics.log_records.inc_by(u64::from(records));
        self.metrics.log_bytes.inc_by(bytes);
        self.metrics.log_sync_seconds.observe(took.as_secs_f64());
    }
}

fn place(path: &Path, offset: u64) -> String {
    format!("the log, {} at byte {offset}", path.display())
}
