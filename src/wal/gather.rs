//! What waits to be written: groups that gather, the room that they are sure of, and the memory that they lie in. Nothing here waits
//! or touches a file.
//!
//! Whatever is appended was admitted before, so that appending cannot fail. Admission is exact for the disk: a record takes at worst a
//! group of its own; all that is admitted and not yet placed (`queued`) fits into the rest of the current segment, or else into the
//! spare one. Groups are placed in order: while they fit the current segment, `rest` and `queued` fall together; the first that does
//! not moves on to the spare, and everything behind it follows.

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;

use super::disk::{CHUNK_BYTES, Chunk};
use super::format::{BLOCK_BYTES, GroupHeader, HEADER_BYTES, RECORD_HEADER_BYTES, RecordHeader, group_bytes};
use super::log::{NoRoom, Record};
use crate::budget::{Budget, Consumer, Reservation};

/// A group that has reached so much takes no further record. From about 1 MiB on the disk is as fast as it gets; larger groups make
/// everyone in them wait.
pub const GROUP_BYTES_MAX: usize = 4 << 20;

/// Free chunks that are kept for the next groups: one in flight, one that gathers.
const KEPT_CHUNKS: usize = 2 * GROUP_BYTES_MAX / CHUNK_BYTES;

/// What a reservation holds and a record uses up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// Bytes of payloads, with the headers of records.
    pub payload: u64,
    /// Bytes on disk at worst.
    pub disk: u64,
}

impl Need {
    /// Of `records` records that hold `bytes` in all, when each is a group of its own. (A sum of multiples of the block is one, so it
    /// is at most the bound rounded down.)
    pub fn of(bytes: usize, records: usize) -> Self {
        let payload = bytes as u64 + (records * RECORD_HEADER_BYTES) as u64;
        let bound = payload + records as u64 * (HEADER_BYTES + BLOCK_BYTES - 1) as u64;
        Self { payload, disk: bound / BLOCK_BYTES as u64 * BLOCK_BYTES as u64 }
    }

    /// What is left when `used` is used up.
    pub fn minus(self, used: Self) -> Option<Self> {
        Some(Self { payload: self.payload.checked_sub(used.payload)?, disk: self.disk.checked_sub(used.disk)? })
    }

    fn add(&mut self, other: Self) {
        self.payload += other.payload;
        self.disk += other.disk;
    }

    fn subtract(&mut self, other: Self) {
        self.payload -= other.payload;
        self.disk -= other.disk;
    }
}

/// Records that are written together: one write, all or nothing.
pub struct Group {
    /// The first bytes are for the header.
    pub chunks: Vec<Chunk>,
    /// With the header, without padding.
    bytes: usize,
    pub records: u32,
    pub epoch_max: u64,
    pub births: u64,
    /// Of its last record.
    pub position: u64,
    /// Of its records, each by itself.
    need: Need,
    /// Of the payload. Hashed while it is copied, and so in the cache; the log thread would read it from memory, while the disk waits.
    hasher: crc32fast::Hasher,
}

impl Group {
    fn new() -> Self {
        let (need, hasher) = (Need::default(), crc32fast::Hasher::new());
        Self { chunks: Vec::new(), bytes: HEADER_BYTES, records: 0, epoch_max: 0, births: 0, position: 0, need, hasher }
    }

    pub fn payload_bytes(&self) -> usize {
        self.bytes - HEADER_BYTES
    }

    /// With header and padding.
    pub fn disk_bytes(&self) -> u64 {
        group_bytes(self.payload_bytes() as u64)
    }

    /// Makes it what is to stand on disk: header in front, zeros up to the end of its last block.
    pub fn finish(&mut self, life: u64, sequence: u64) {
        let last = self.bytes % CHUNK_BYTES;
        if let Some(chunk) = self.chunks.last_mut().filter(|_| last > 0) {
            chunk[last..last.next_multiple_of(BLOCK_BYTES)].fill(0);
        }
        let header = GroupHeader {
            payload_crc: self.hasher.clone().finalize(),
            sequence,
            life,
            payload_bytes: self.payload_bytes() as u32,
            records: self.records,
            epoch_max: self.epoch_max,
            births: self.births,
        };
        if let Some(first) = self.chunks.first_mut() {
            first[..HEADER_BYTES].copy_from_slice(&header.encode());
        }
    }
}

/// Chunks, free or in groups.
struct Memory {
    free: Vec<Chunk>,
    /// Fewest free chunks since the last [`Gather::surplus`]: so many were not needed.
    free_low: usize,
    count: usize,
    /// Reserved, and being made without the lock.
    coming: usize,
    share: Reservation,
    budget: Arc<Budget>,
}

impl Memory {
    fn take(&mut self) -> Chunk {
        self.free_low = self.free_low.min(self.free.len().saturating_sub(1));
        self.free.pop().unwrap_or_else(|| {
            debug_assert!(false, "admission has counted every chunk");
            self.count += 1;
            self.account();
            Chunk::new()
        })
    }

    fn account(&mut self) {
        self.share.set((self.count + self.coming) * CHUNK_BYTES);
    }

    /// Whether the budget is nearly used up.
    fn is_scarce(&self) -> bool {
        self.budget.total() > self.budget.bytes_max() - self.budget.bytes_max() / 8
    }
}

/// The queue in front of the log thread.
pub struct Gather {
    /// Of the last record.
    position: u64,
    /// Groups that are full.
    full: VecDeque<Group>,
    building: Group,
    memory: Memory,
    /// Admitted: payload until it is written, disk until it has its place in a segment.
    admitted: Need,
    /// Bytes that the current segment has left.
    rest: u64,
    /// Usable bytes of the spare segment; 0 without one.
    spare: u64,
    /// Why nothing is written any more.
    failure: Option<Arc<str>>,
}

/// What a reservation lacks.
#[derive(Debug, PartialEq, Eq)]
pub enum Lacks {
    /// So many chunks: [`Gather::grow`].
    Chunks(usize),
    Room(NoRoom),
}

impl Gather {
    pub fn new(budget: &Arc<Budget>) -> Self {
        let share = Reservation::new(budget, Consumer::LogQueue);
        let (free, budget) = (Vec::new(), Arc::clone(budget));
        Self {
            position: 0,
            full: VecDeque::new(),
            building: Group::new(),
            memory: Memory { free, free_low: 0, count: 0, coming: 0, share, budget },
            admitted: Need::default(),
            rest: 0,
            spare: 0,
            failure: None,
        }
    }

    /// Admits `need`, or says why not.
    pub fn admit(&mut self, need: Need) -> Result<(), Lacks> {
        if let Some(failure) = &self.failure {
            return Err(Lacks::Room(NoRoom::Poisoned(Arc::clone(failure))));
        }
        if self.admitted.disk + need.disk > self.rest.max(self.spare) {
            return Err(Lacks::Room(NoRoom::Disk));
        }
        let chunks = chunks_for(self.admitted.payload + need.payload);
        if chunks > self.memory.count {
            return Err(Lacks::Chunks(chunks - self.memory.count));
        }
        self.admitted.add(need);
        Ok(())
    }

    /// Reserves memory for `count` more chunks, which the caller makes and brings by [`Gather::add`].
    pub fn grow(&mut self, count: usize) -> bool {
        let is_granted = self.memory.share.try_grow(count * CHUNK_BYTES);
        if is_granted {
            self.memory.coming += count;
        }
        is_granted
    }

    pub fn add(&mut self, chunks: Vec<Chunk>) {
        self.memory.coming -= chunks.len();
        self.memory.count += chunks.len();
        self.memory.free.extend(chunks);
    }

    /// Gives back what was admitted and not used.
    pub fn forget(&mut self, need: Need) {
        self.admitted.subtract(need);
    }

    /// Queues a record that takes `need` of what was admitted; its position.
    pub fn append(&mut self, record: &Record<'_>, bytes: usize, need: Need) -> u64 {
        self.position += 1;
        if self.failure.is_some() {
            self.admitted.subtract(need);
            return self.position;
        }
        let is_full = self.building.bytes + RECORD_HEADER_BYTES + bytes > GROUP_BYTES_MAX;
        if is_full && self.building.records > 0 {
            self.full.push_back(std::mem::replace(&mut self.building, Group::new()));
        }
        let header = RecordHeader { kind: record.kind as u8, bytes: bytes as u32, epoch: record.epoch };
        self.copy(&header.encode());
        record.parts.iter().for_each(|part| self.copy(part));
        let group = &mut self.building;
        group.records += 1;
        group.epoch_max = group.epoch_max.max(record.epoch);
        group.births = group.births.max(record.births);
        group.position = self.position;
        group.need.add(need);
        self.position
    }

    fn copy(&mut self, mut bytes: &[u8]) {
        let Group { chunks, bytes: end, hasher, .. } = &mut self.building;
        while !bytes.is_empty() {
            if *end >= chunks.len() * CHUNK_BYTES {
                chunks.push(self.memory.take());
            }
            let at = *end - (chunks.len() - 1) * CHUNK_BYTES;
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES - at));
            if let Some(chunk) = chunks.last_mut() {
                copy(now, &mut chunk[at..at + now.len()]);
                hasher.update(now);
            }
            *end += now.len();
            bytes = later;
        }
    }

    /// Records of the next group, and its bytes.
    pub fn gathered(&self) -> (u32, usize) {
        let next = self.full.front().unwrap_or(&self.building);
        (next.records, next.bytes)
    }

    /// The next group to be written, if there is any record.
    pub fn take(&mut self) -> Option<Group> {
        let next = self.full.pop_front();
        next.or_else(|| (self.building.records > 0).then(|| std::mem::replace(&mut self.building, Group::new())))
    }

    /// Gives a group its place: `true`, at the end of the current segment; `false`, in the spare one, which is now the current one.
    pub fn place(&mut self, group: &Group) -> bool {
        let fits = group.disk_bytes() <= self.rest;
        if !fits {
            self.rest = std::mem::take(&mut self.spare);
        }
        assert!(group.disk_bytes() <= self.rest, "admission has seen to it");
        self.rest -= group.disk_bytes();
        self.admitted.disk -= group.need.disk;
        fits
    }

    /// Takes back a group that was written, or that will not be.
    pub fn take_back(&mut self, payload: u64, chunks: Vec<Chunk>) {
        self.admitted.payload -= payload;
        self.memory.free.extend(chunks);
    }

    /// Whether there is memory that [`Gather::surplus`] might give back, and should now if others want it.
    pub fn has_surplus(&self) -> (bool, bool) {
        let has = self.memory.count > KEPT_CHUNKS;
        (has, has && self.memory.is_scarce())
    }

    /// Chunks that were not needed since this was asked last; to be dropped without the lock. What is needed again and again is kept:
    /// fresh memory is slow.
    pub fn surplus(&mut self) -> Vec<Chunk> {
        let memory = &mut self.memory;
        let needed = chunks_for(self.admitted.payload).max(KEPT_CHUNKS);
        let spared = if memory.is_scarce() { memory.free.len() } else { memory.free_low };
        let surplus = memory.count.saturating_sub(needed).min(spared);
        memory.count -= surplus;
        memory.free_low = memory.free.len() - surplus;
        if surplus > 0 {
            memory.account();
        }
        memory.free.drain(..surplus).collect()
    }

    /// Usable bytes of a spare segment; 0: there is none.
    pub fn set_spare(&mut self, bytes: u64) {
        self.spare = bytes;
    }

    /// Whether nothing relies on the spare segment.
    pub fn is_spare_idle(&self) -> bool {
        self.admitted.disk <= self.rest
    }

    /// Drops what is queued: nothing is written any more.
    pub fn poison(&mut self, failure: Arc<str>) {
        self.failure = Some(failure);
        while let Some(group) = self.take() {
            self.admitted.disk -= group.need.disk;
            self.take_back(group.need.payload, group.chunks);
        }
    }
}

/// Chunks that `payload` bytes need at worst, in flight, full, and gathering. Each group wastes less than a chunk; beside one in flight
/// and one that gathers there are only full ones, two of which that follow each other hold more than [`GROUP_BYTES_MAX`].
fn chunks_for(payload: u64) -> usize {
    let groups = 3 + payload as usize * 2 / GROUP_BYTES_MAX;
    (payload as usize + groups * HEADER_BYTES) / CHUNK_BYTES + groups
}

/// Copies in pieces that the C library moves through registers: from 2 KiB on (4 or 8 with wider ones) it may take `rep movsb`, which some
/// processors do slowly (docs/PERFORMANCE.md, "The log").
fn copy(mut from: &[u8], mut to: &mut [u8]) {
    // If it were known here, the compiler would make one copy of all pieces.
    let piece = black_box(1 << 10);
    while from.len() > piece {
        let (now, later) = from.split_at(piece);
        let (place, rest) = to.split_at_mut(piece);
        place.copy_from_slice(now);
        (from, to) = (later, rest);
    }
    to.copy_from_slice(from);
}
