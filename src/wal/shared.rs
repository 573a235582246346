//! What the callers' threads, the log thread and the thread that makes spares share.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::WalError;
use super::disk::Chunk;
use super::gather::{Gather, Group, Lacks, Need};
use super::log::{NoRoom, Record};
use super::note::Note;
use super::pace::{Pace, WORTH_BYTES};
use super::segments::{Segment, Segments, Step};
use crate::metrics::Metrics;

/// How often memory is given back that was not needed.
pub const TRIM_EVERY: Duration = Duration::from_secs(1);

/// What is under the lock.
struct State {
    gather: Gather,
    segments: Segments,
    /// The log thread sleeps until so many records have gathered.
    awaited: Option<u32>,
    is_ending: bool,
}

impl State {
    /// Whether there is as much to write as the log thread waits for.
    fn is_worth(&self, awaited: u32) -> bool {
        let (records, bytes) = self.gather.gathered();
        records >= awaited || bytes >= WORTH_BYTES
    }
}

/// What the threads share.
pub struct Shared {
    state: Mutex<State>,
    /// Locked before `state`, if both are.
    note: Mutex<Note>,
    /// Whether it was said that the note cannot be written.
    has_complained: AtomicBool,
    /// The log thread sleeps here.
    gathered: Condvar,
    /// The thread that makes spares sleeps here.
    spare_wanted: Condvar,
    durable: AtomicU64,
    failure: OnceLock<Arc<str>>,
    metrics: Arc<Metrics>,
}

impl Shared {
    /// With a segment to begin in.
    pub fn new(
        mut gather: Gather,
        mut segments: Segments,
        first: Segment,
        note: Note,
        metrics: &Arc<Metrics>,
    ) -> Arc<Self> {
        gather.set_spare(segments.made(first));
        let state = State { gather, segments, awaited: None, is_ending: false };
        Arc::new(Self {
            state: Mutex::new(state),
            note: Mutex::new(note),
            has_complained: AtomicBool::new(false),
            gathered: Condvar::new(),
            spare_wanted: Condvar::new(),
            durable: AtomicU64::new(0),
            failure: OnceLock::new(),
            metrics: Arc::clone(metrics),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in any thread aborts the process.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Promises room.
    pub fn admit(&self, need: Need) -> Result<(), NoRoom> {
        let mut state = self.lock();
        loop {
            match state.gather.admit(need) {
                Ok(()) => {
                    state.segments.granted();
                    return Ok(());
                }
                Err(Lacks::Room(reason)) => {
                    if reason == NoRoom::Disk {
                        state.segments.refused(need.disk);
                        drop(state);
                        self.spare_wanted.notify_one();
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
                    state = self.lock();
                    state.gather.add(chunks);
                }
            }
        }
    }

    /// Queues a record of `bytes` for which `need` was admitted.
    pub fn append(&self, record: &Record<'_>, bytes: usize, need: Need) -> u64 {
        let mut state = self.lock();
        let position = state.gather.append(record, bytes, need);
        let are_there = state.awaited.is_some_and(|awaited| state.is_worth(awaited));
        if are_there {
            state.awaited = None;
        }
        drop(state);
        if are_there {
            self.gathered.notify_one();
        }
        position
    }

    /// Gives back what was admitted and not used.
    pub fn forget(&self, need: Need) {
        self.lock().gather.forget(need);
    }

    pub fn durable(&self) -> u64 {
        // With `set_durable`: who says that he waits and then finds the old position is woken by the call of `moved` behind the new one.
        self.durable.load(Ordering::SeqCst)
    }

    pub fn failure(&self) -> Option<Arc<str>> {
        self.failure.get().cloned()
    }

    pub fn free(&self, committed: u64, births: u64) {
        let mut note = self.lock_note();
        let mut state = self.lock();
        state.segments.commit(committed, births);
        let (count, Some(begin)) = state.segments.freeable() else { return };
        drop(state);
        if count == 0 || !self.is_noted(&note.begin(begin), &note) {
            return;
        }
        let mut state = self.lock();
        state.segments.free(count);
        self.show(&state);
        drop(state);
        self.spare_wanted.notify_one();
    }

    fn lock_note(&self) -> MutexGuard<'_, Note> {
        self.note.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The header of the segment that begins with this group is on disk; with the error comes the note's path.
    pub fn enter(&self, first_sequence: u64) -> Result<(), (PathBuf, io::Error)> {
        let mut note = self.lock_note();
        note.enter(first_sequence).map_err(|error| (note.path().to_owned(), error))
    }

    /// Whether the note could be written, without which no segment is given up; once it is said why not.
    fn is_noted(&self, written: &io::Result<()>, note: &Note) -> bool {
        let Err(error) = written else {
            self.has_complained.store(false, Ordering::Relaxed);
            return true;
        };
        if !self.has_complained.swap(true, Ordering::Relaxed) {
            let path = note.path().display();
            tracing::warn!(%path, %error, "cannot write the note of the log: its segments are kept; trying again");
        }
        false
    }

    pub fn is_tight(&self) -> bool {
        self.lock().segments.is_tight()
    }

    /// Tells the threads to end when everything is written.
    pub fn end(&self) {
        self.lock().is_ending = true;
        self.gathered.notify_one();
        self.spare_wanted.notify_one();
    }

    /// When the threads have ended and `current` is left: what is to be removed, in this order. The note does not claim it any more.
    pub fn removable(&self, current: Option<Segment>) -> Result<Vec<Segment>, WalError> {
        let mut note = self.lock_note();
        let mut state = self.lock();
        let is_entered = current.is_some();
        current.into_iter().for_each(|segment| state.segments.close(segment, None));
        let (count, begin) = state.segments.freeable();
        drop(state);
        match begin.filter(|_| is_entered) {
            None => Note::remove(note.path())?,
            Some(_) if count == 0 => {}
            Some(begin) => note.begin(begin).map_err(|source| WalError::Io {
                action: "write",
                path: note.path().to_owned(),
                source,
            })?,
        }
        let mut state = self.lock();
        state.segments.free(count);
        Ok(state.segments.removable())
    }

    /// For the log thread: the next group and, if it has its place in a new segment, that. `None` at the end.
    pub fn next_group(&self, pace: &mut Pace) -> Option<(Group, Option<Segment>)> {
        let mut state = self.lock();
        while state.gather.gathered().0 == 0 {
            if state.is_ending {
                return None;
            }
            state.awaited = Some(1);
            state = self.wait_idle(state);
        }
        let (records, bytes) = state.gather.gathered();
        if let Some((longest, records)) = pace.wait(records, bytes).filter(|_| !state.is_ending) {
            state.awaited = Some(records);
            let is_short = |state: &mut State| state.awaited.is_some() && !state.is_ending;
            let waited = self.gathered.wait_timeout_while(state, longest, is_short);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            pace.waited(state.is_worth(records));
        }
        state.awaited = None;
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
        self.durable.store(position, Ordering::SeqCst);
    }

    /// The log thread has left a segment.
    pub fn close(&self, segment: Segment, current: u64) {
        let mut state = self.lock();
        state.segments.close(segment, Some(current));
        self.show(&state);
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
