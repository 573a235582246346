//! The segments of this life: which exist, what they hold, and what is to be made or removed next. Nothing here touches a file.
//!
//! Segments are freed in the order of the log and used again in that order, so that at any time the files hold one range of groups
//! without gaps: a gap is damage to whoever reads them after a crash. Removing keeps that order too.

use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use super::format::BLOCK_BYTES;

/// The first segment; each further one is twice as large, up to the size of a full-grown one. So an idle node takes little of the disk.
const FIRST_BYTES: u64 = 8 << 20;
/// Smaller ones are not worth their header's sync.
pub const BYTES_MIN: u64 = 256 << 10;

/// A file of the log.
pub struct Segment {
    pub file: Arc<File>,
    pub path: PathBuf,
    pub bytes: u64,
    /// Of its first group, once it is entered.
    pub first_sequence: u64,
    /// The largest of its records.
    pub epoch_max: u64,
    /// The most that a record in it says.
    pub births: u64,
}

impl Segment {
    /// Bytes for groups.
    pub fn usable(&self) -> u64 {
        self.bytes - BLOCK_BYTES as u64
    }
}

/// What the thread that makes spares is to do next.
pub enum Step {
    /// There is a spare as it should be.
    Wait,
    /// A segment that was freed is the spare; it has so many usable bytes.
    Adopted(u64),
    /// There was a spare, but it is too small: there is none now.
    Retired,
    /// Remove its file; then [`Segments::removed`].
    Remove(Segment),
    /// Make a file of so many bytes, which are counted from now on; then [`Segments::made`] or [`Segments::not_made`].
    Make(u64),
    /// The limit or the disk leaves no room.
    Blocked,
}

/// The book of segments.
pub struct Segments {
    bytes_max: u64,
    segment_bytes: u64,
    /// Of all files, those included that are being made or removed.
    total: u64,
    files: usize,
    /// Of the next file to be made.
    next_bytes: u64,
    /// The largest room that was asked for.
    wanted: u64,
    spare: Option<Segment>,
    /// In the order of the log, the oldest first; so are the free ones.
    closed: VecDeque<Segment>,
    closed_bytes: u64,
    free: VecDeque<Segment>,
    /// The first group of the segment behind the closed ones; `None` at the end.
    current: Option<u64>,
    /// What was told by [`Segments::commit`].
    committed: u64,
    births: u64,
    /// No spare could be made since there was one.
    is_blocked: bool,
    /// The last reservation failed because nothing more can be made.
    was_denied: bool,
}

impl Segments {
    /// `segment_bytes`: at most half of `bytes_max`, so that a spare of full size fits beside the current one.
    pub fn new(bytes_max: u64, segment_bytes: u64) -> Self {
        Self {
            bytes_max,
            segment_bytes,
            total: 0,
            files: 0,
            next_bytes: FIRST_BYTES.min(segment_bytes),
            wanted: 0,
            spare: None,
            closed: VecDeque::new(),
            closed_bytes: 0,
            free: VecDeque::new(),
            current: Some(0),
            committed: 0,
            births: 0,
            is_blocked: false,
            was_denied: false,
        }
    }

    /// What comes next, when the disk has `available` bytes to give. `is_idle`: nothing relies on the spare.
    pub fn step(&mut self, available: u64, is_idle: bool) -> Step {
        // What the log holds may need as much of the disk again to be published, which is what frees it: that is left free, and more for
        // what a further segment will hold.
        let room = available.saturating_sub(self.unfreed());
        let available = room / 2;
        let target = self.target(room);
        if let Some(spare) = self.spare.take() {
            if spare.bytes >= target || !is_idle {
                self.spare = Some(spare);
                return Step::Wait;
            }
            self.free.push_front(spare);
            return Step::Retired;
        }
        let grown = self.next_bytes.max(target);
        if let Some(front) = self.free.pop_front() {
            let can_grow = self.total - front.bytes + grown <= self.bytes_max && grown <= (room + front.bytes) / 2;
            if front.bytes >= target && (front.bytes >= grown || !can_grow) && front.bytes <= room {
                return Step::Adopted(self.set_spare(front));
            }
            return Step::Remove(front);
        }
        let block = BLOCK_BYTES as u64;
        let bytes = grown.min(self.bytes_max - self.total).min(available) / block * block;
        if bytes < target {
            self.is_blocked = true;
            return Step::Blocked;
        }
        self.total += bytes;
        self.files += 1;
        Step::Make(bytes)
    }

    /// Bytes of the segments that are neither free nor spare.
    fn unfreed(&self) -> u64 {
        self.total - self.spare.iter().chain(&self.free).map(|segment| segment.bytes).sum::<u64>()
    }

    /// Bytes that a spare must have: what was asked for, if that can be had.
    fn target(&self, room: u64) -> u64 {
        let removable = self.spare.iter().chain(&self.free).map(|segment| segment.bytes).sum::<u64>();
        let reach = (self.bytes_max - self.total + removable).min((room + removable) / 2);
        let wanted = self.wanted + BLOCK_BYTES as u64;
        if wanted <= reach.min(self.segment_bytes) { wanted.max(BYTES_MIN.min(self.segment_bytes)) } else { BYTES_MIN }
    }

    fn set_spare(&mut self, segment: Segment) -> u64 {
        let usable = segment.usable();
        self.spare = Some(segment);
        self.is_blocked = false;
        usable
    }

    /// A file that was to be made is there; its usable bytes.
    pub fn made(&mut self, segment: Segment) -> u64 {
        self.next_bytes = (segment.bytes * 2).clamp(self.next_bytes, self.segment_bytes);
        self.set_spare(segment)
    }

    /// A file of so many bytes could not be made.
    pub fn not_made(&mut self, bytes: u64) {
        self.total -= bytes;
        self.files -= 1;
        self.is_blocked = true;
    }

    /// A file that was to be removed is gone.
    pub fn removed(&mut self, segment: &Segment) {
        self.total -= segment.bytes;
        self.files -= 1;
    }

    /// A file that was to be removed is still there; no younger one may go before it.
    pub fn not_removed(&mut self, segment: Segment) {
        self.free.push_front(segment);
        self.is_blocked = true;
    }

    /// The log thread goes on in the spare.
    pub fn take_spare(&mut self) -> Option<Segment> {
        self.spare.take()
    }

    /// The log thread has left a segment, for one that begins with the group `current`.
    pub fn close(&mut self, segment: Segment, current: Option<u64>) {
        self.closed_bytes += segment.bytes;
        self.closed.push_back(segment);
        self.current = current;
    }

    /// Everything up to this epoch and so many births are durable elsewhere.
    pub fn commit(&mut self, committed: u64, births: u64) {
        self.committed = self.committed.max(committed);
        self.births = self.births.max(births);
    }

    /// How many of the closed segments may go, and the first group of what stays; `None`: nothing stays.
    pub fn freeable(&self) -> (usize, Option<u64>) {
        let count = self.closed.iter().take_while(|segment| self.may_go(segment)).count();
        (count, self.closed.get(count).map_or(self.current, |stays| Some(stays.first_sequence)))
    }

    /// So many of the closed segments go: what is read after a crash need not begin with them.
    pub fn free(&mut self, count: usize) {
        for segment in self.closed.drain(..count) {
            self.closed_bytes -= segment.bytes;
            self.free.push_back(segment);
        }
    }

    fn may_go(&self, segment: &Segment) -> bool {
        segment.epoch_max <= self.committed && segment.births <= self.births
    }

    /// Room of `need` bytes was refused.
    pub fn refused(&mut self, need: u64) {
        self.wanted = self.wanted.max(need);
        // Otherwise the next segment is being made, and a flush would not help.
        self.was_denied = self.is_blocked || self.spare.as_ref().is_some_and(|spare| spare.usable() < need);
    }

    pub fn granted(&mut self) {
        self.was_denied = false;
    }

    pub fn is_tight(&self) -> bool {
        self.was_denied || self.closed_bytes >= self.bytes_max / 2
    }

    /// At the end: what is to be removed, in this order.
    pub fn removable(&mut self) -> Vec<Segment> {
        self.spare.take().into_iter().chain(self.free.drain(..)).collect()
    }

    /// All files, and their bytes.
    pub fn total(&self) -> (usize, u64) {
        (self.files, self.total)
    }

    /// Bytes of the segments that hold what is not durable elsewhere, the current one aside.
    pub fn closed_bytes(&self) -> u64 {
        self.closed_bytes
    }
}
