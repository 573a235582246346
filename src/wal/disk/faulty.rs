//! A disk for tests, on real files: fails, tears or holds chosen writes, and cuts the power.

use std::fs::File;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use rustix::io::Errno;

use super::pwrite::{Durability, Pwrite};
use super::{CHUNK_BYTES, Chunk, Disk, Write};
use crate::wal::format::{BLOCK_BYTES, GroupHeader, SegmentHeader};

/// What is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Of the segment whose first group will have this sequence.
    Header(u64),
    Group(u64),
    /// Of a segment that is being made, from this offset on.
    Zeros(u64),
    /// The sync of a segment that was made.
    Sync,
    /// The note of the log, with its first group and the newest segment's.
    Note(u64, Option<u64>),
}

/// What happens to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Nothing is written.
    Fail(Errno),
    /// The kernel has all of it, and only these blocks reach the disk: the sync fails.
    Torn(Vec<usize>),
    /// Waits until [`Faults::release`], then goes on.
    Hold,
    /// These blocks reach the disk; what was not synced is lost, and nothing reaches it any more.
    PowerCut(Vec<usize>),
}

/// Longer than any test holds a write.
const HELD_MAX: Duration = Duration::from_secs(10);

type Rule = Box<dyn FnMut(Subject) -> Fault + Send>;

/// What goes wrong; shared by the threads' disks and the test.
pub struct Faults {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    rule: Rule,
    seen: Vec<Subject>,
    is_held: bool,
    power_is_off: bool,
    /// Where files begin that were not synced yet.
    unsynced: Vec<(Arc<File>, u64)>,
}

impl Faults {
    /// `rule` is asked at every write.
    pub fn new(rule: impl FnMut(Subject) -> Fault + Send + 'static) -> Arc<Self> {
        let (rule, unsynced) = (Box::new(rule) as Rule, Vec::new());
        let state = State { rule, seen: Vec::new(), is_held: false, power_is_off: false, unsynced };
        Arc::new(Self { state: Mutex::new(state), changed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics with the lock")
    }

    pub fn set_rule(&self, rule: impl FnMut(Subject) -> Fault + Send + 'static) {
        self.lock().rule = Box::new(rule);
    }

    /// All headers and groups that were submitted.
    pub fn seen(&self) -> Vec<Subject> {
        self.lock().seen.iter().copied().filter(|seen| matches!(seen, Subject::Header(_) | Subject::Group(_))).collect()
    }

    /// Waits until a write is held.
    pub fn wait_held(&self) {
        let mut state = self.lock();
        while !state.is_held {
            state = self.changed.wait(state).expect("no test panics with the lock");
        }
    }

    pub fn release(&self) {
        self.lock().is_held = false;
        self.changed.notify_all();
    }

    /// The note is about to be written.
    pub fn note(&self, begin: u64, entered: Option<u64>) -> io::Result<()> {
        match self.ask(Subject::Note(begin, entered)) {
            Fault::None | Fault::Hold => Ok(()),
            Fault::Fail(errno) => Err(errno.into()),
            Fault::Torn(_) | Fault::PowerCut(_) => Err(Errno::IO.into()),
        }
    }

    pub fn power_is_off(&self) -> bool {
        self.lock().power_is_off
    }

    /// Everything that was done, in order, zeros aside.
    pub fn order(&self) -> Vec<Subject> {
        let is_told = |seen: &Subject| !matches!(seen, Subject::Zeros(_) | Subject::Sync);
        self.lock().seen.iter().copied().filter(is_told).collect()
    }

    fn ask(&self, subject: Subject) -> Fault {
        let mut state = self.lock();
        if state.power_is_off {
            return Fault::Fail(Errno::IO);
        }
        state.seen.push(subject);
        let fault = (state.rule)(subject);
        if fault == Fault::Hold {
            state.is_held = true;
            self.changed.notify_all();
            // A test that fails ends the log, which waits for this.
            let is_held = |state: &mut State| state.is_held;
            drop(self.changed.wait_timeout_while(state, HELD_MAX, is_held));
            return Fault::None;
        }
        if matches!(fault, Fault::PowerCut(_)) {
            state.power_is_off = true;
            state.unsynced.iter().for_each(|(file, from)| file.set_len(*from).expect("files can be cut"));
        }
        fault
    }
}

/// One thread's faulty disk.
pub struct Faulty {
    faults: Arc<Faults>,
    disk: Pwrite,
}

impl Faulty {
    pub fn new(faults: &Arc<Faults>) -> Self {
        Self { faults: Arc::clone(faults), disk: Pwrite(Durability::Fdatasync) }
    }

    /// Writes only some blocks.
    fn write_blocks(&mut self, write: &Write, blocks: &[usize]) {
        for block in blocks.iter().filter(|block| **block * BLOCK_BYTES < write.bytes) {
            let at = block * BLOCK_BYTES;
            let mut chunk = Chunk::new();
            chunk[..BLOCK_BYTES].copy_from_slice(&write.chunks[at / CHUNK_BYTES][at % CHUNK_BYTES..][..BLOCK_BYTES]);
            let (file, offset) = (Arc::clone(&write.file), write.offset + at as u64);
            let block = Write { file, offset, bytes: BLOCK_BYTES, chunks: vec![chunk], synced: true };
            self.disk.write(&block).expect("written");
        }
    }
}

fn subject(write: &Write) -> Subject {
    match (SegmentHeader::decode(&write.chunks[0]), GroupHeader::decode(&write.chunks[0])) {
        (Ok(header), _) => Subject::Header(header.first_sequence),
        (_, Some(group)) => Subject::Group(group.sequence),
        _ => Subject::Zeros(write.offset),
    }
}

impl Disk for Faulty {
    fn write(&mut self, write: &Write) -> io::Result<()> {
        let subject = subject(write);
        if let Subject::Zeros(0) = subject {
            self.faults.lock().unsynced.push((Arc::clone(&write.file), 0));
        }
        match self.faults.ask(subject) {
            Fault::None | Fault::Hold => self.disk.write(write),
            Fault::Fail(errno) => Err(errno.into()),
            Fault::Torn(blocks) | Fault::PowerCut(blocks) => {
                self.write_blocks(write, &blocks);
                Err(Errno::IO.into())
            }
        }
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        if let Fault::Fail(errno) = self.faults.ask(Subject::Sync) {
            return Err(errno.into());
        }
        // Only the thread that makes spares syncs, one after the other.
        self.faults.lock().unsynced.clear();
        file.sync_all()
    }
}
