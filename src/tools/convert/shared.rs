//! What the threads of a conversion share: who takes the next piece, when an epoch ends, whose turn it is, and whether there is memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use super::error::{Cause, Kept, Place};
use super::refused::{Ledger, Refused};
use super::report::Progress;
use super::source::{Piece, Source};
use crate::budget::{Budget, Consumer};
use crate::catalog::Catalog;
use crate::lake::{self, Lake, Part};
use crate::table::SealedTable;

/// Attempts to publish that fail before a conversion does: about six seconds.
const ATTEMPTS_MAX: u64 = 5;

/// Between two looks at whether something is over that another thread does.
pub const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Where sealed tables go.
pub enum Target {
    Lake { lake: Box<Lake>, progress: watch::Receiver<lake::Progress> },
    Nowhere,
}

/// What the points of a table came to.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    pub points: u64,
    pub first_ns: i64,
    pub last_ns: i64,
}

/// What a conversion works with.
pub struct Setup<'a> {
    pub catalog: Arc<Catalog>,
    pub budget: Arc<Budget>,
    pub target: Target,
    pub threads: usize,
    /// Bytes of the open tables, of all threads together, with which an epoch ends.
    pub epoch_bytes: usize,
    /// Bytes of the inputs, where that is known.
    pub bytes: Option<u64>,
    pub on_progress: Option<&'a (dyn Fn(Progress) + Send + Sync)>,
}

pub struct Shared<'a> {
    pub setup: Setup<'a>,
    bytes_read: Arc<AtomicU64>,
    state: Mutex<State>,
    turns: Mutex<Turns>,
    turn_came: Condvar,
    ledger: Mutex<Ledger>,
    /// By the table's number.
    summaries: Mutex<BTreeMap<u32, Summary>>,
    failure: Mutex<Option<Cause>>,
    has_failed: AtomicBool,
    lines: AtomicU64,
    points: AtomicU64,
}

struct State {
    source: Source,
    /// That pieces are taken for.
    epoch: u64,
    /// By thread.
    standing: Vec<Standing>,
    /// Epochs that began, in order, and the first line of each.
    begun: Vec<(u64, Place)>,
    /// The inputs have ended: threads end, and no epoch begins any more.
    is_exhausted: bool,
}

/// Where a thread stands between two pieces.
#[derive(Clone, Copy)]
pub struct Standing {
    /// The epoch that its open tables belong to.
    pub epoch: u64,
    /// Bytes of these tables.
    pub open_bytes: usize,
}

/// Whose pieces are done.
#[derive(Default)]
struct Turns {
    /// Every piece up to this one.
    done: u64,
    done_behind: BTreeSet<u64>,
}

/// What a thread does next.
pub enum Step {
    Take(Piece),
    /// Hand the open tables over, and come again in this epoch.
    Turn(u64),
    /// Come again in a moment: there is no memory.
    Wait,
    /// There is nothing left.
    End,
    Failed,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panics fails the conversion.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn epoch_after(epoch: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    now.max(epoch + 1)
}

impl<'a> Shared<'a> {
    /// `floor`: the last epoch that the output may have used.
    pub fn new(setup: Setup<'a>, source: Source, ledger: Ledger, floor: u64) -> Self {
        let epoch = epoch_after(floor);
        let bytes_read = source.bytes_read();
        let standing = vec![Standing { epoch, open_bytes: 0 }; setup.threads];
        let state = State { source, epoch, standing, begun: Vec::new(), is_exhausted: false };
        Self {
            setup,
            bytes_read,
            state: Mutex::new(state),
            turns: Mutex::default(),
            turn_came: Condvar::new(),
            ledger: Mutex::new(ledger),
            summaries: Mutex::default(),
            failure: Mutex::default(),
            has_failed: AtomicBool::new(false),
            lines: AtomicU64::new(0),
            points: AtomicU64::new(0),
        }
    }

    /// The epoch that the threads begin in.
    pub fn epoch(&self) -> u64 {
        lock(&self.state).epoch
    }

    /// What `thread`, which stands there, is to do next. Pieces are taken in the order of the inputs, and those of an epoch
    /// before all of the next.
    pub fn next(&self, thread: usize, standing: Standing, buffer: &mut Vec<u8>) -> Step {
        let Standing { epoch, .. } = standing;
        let mut state = lock(&self.state);
        state.standing[thread] = standing;
        if !self.has_failed() && state.epoch == epoch && self.is_full(&state) {
            state.begin_epoch();
        }
        // What a thread has of an epoch that is over is whole, also where the conversion has failed in a later one.
        if state.epoch != epoch {
            return Step::Turn(state.epoch);
        }
        if self.has_failed() {
            return Step::Failed;
        }
        if let Some(reason) = self.lake_failure() {
            drop(state);
            self.fail(Cause::Publish(reason));
            return Step::Failed;
        }
        if self.must_wait() {
            return Step::Wait;
        }
        match state.source.next(buffer) {
            Ok(Some(piece)) => {
                if state.begun.last().is_none_or(|(begun, _)| *begun != epoch) {
                    state.begun.push((epoch, piece.place.clone()));
                }
                Step::Take(piece)
            }
            Ok(None) => {
                state.is_exhausted = true;
                Step::End
            }
            Err(cause) => {
                drop(state);
                self.fail(cause);
                Step::Failed
            }
        }
    }

    /// Ends `epoch` for lack of memory, unless that was done. Answers whether nothing will become free by waiting: all epochs before it are
    /// in the lake.
    pub fn press(&self, epoch: u64) -> bool {
        if let Some(reason) = self.lake_failure() {
            self.fail(Cause::Publish(reason));
        }
        let mut state = lock(&self.state);
        if state.epoch == epoch {
            state.begin_epoch();
        }
        let before = state.begun.iter().map(|(begun, _)| *begun).take_while(|begun| *begun < epoch).last();
        match &self.setup.target {
            Target::Lake { progress, .. } => before.is_none_or(|before| progress.borrow().committed >= before),
            Target::Nowhere => true,
        }
    }

    /// Whether the epoch is to end.
    fn is_full(&self, state: &State) -> bool {
        let open: usize = state.standing.iter().map(|standing| standing.open_bytes).sum();
        // What fills the memory is not at the lake.
        let is_pressed = || !self.lake_is_busy() && self.setup.budget.total() > self.setup.budget.bytes_max() / 4 * 3;
        open >= self.setup.epoch_bytes || open > 0 && is_pressed()
    }

    fn lake_is_busy(&self) -> bool {
        self.setup.budget.held_by(Consumer::SealedParts) > 0
    }

    /// Whether the lake has so much to do that no more is to be read.
    fn must_wait(&self) -> bool {
        self.lake_is_busy() && self.setup.budget.total() > self.setup.budget.bytes_max() / 4 * 3
    }

    /// Hands what `thread` wrote in `epoch` over.
    pub fn hand_over(&self, thread: usize, epoch: u64, tables: Vec<SealedTable>) {
        let mut summaries = lock(&self.summaries);
        for SealedTable { table, rows, .. } in &tables {
            let empty = Summary { points: 0, first_ns: i64::MAX, last_ns: i64::MIN };
            let summary = summaries.entry(table.id).or_insert(empty);
            summary.points += rows.time.len() as u64;
            rows.time.each(0..rows.time.len(), |time| {
                summary.first_ns = summary.first_ns.min(time);
                summary.last_ns = summary.last_ns.max(time);
            });
        }
        drop(summaries);
        if let Target::Lake { lake, .. } = &self.setup.target {
            lake.submit(Part { shard: thread, epoch, tables });
        }
    }

    /// Waits until every piece before `number` is done. `false`: the conversion has failed.
    pub fn wait_for_turn(&self, number: u64) -> bool {
        let mut turns = lock(&self.turns);
        while turns.done + 1 < number && !self.has_failed() {
            turns = self.turn_came.wait(turns).unwrap_or_else(PoisonError::into_inner);
        }
        !self.has_failed()
    }

    /// A piece is done, with so many points taken; its turn had come if anything was refused.
    pub fn done(&self, piece: &Piece, lines: u64, points: u64, refused: Vec<Refused>) {
        self.points.fetch_add(points, Ordering::Relaxed);
        let lines = self.lines.fetch_add(lines, Ordering::Relaxed) + lines;
        if !refused.is_empty()
            && let Err(cause) = lock(&self.ledger).take(piece, refused)
        {
            self.fail(cause);
        }
        let mut turns = lock(&self.turns);
        turns.done_behind.insert(piece.number);
        while turns.done_behind.first() == Some(&(turns.done + 1)) {
            turns.done_behind.pop_first();
            turns.done += 1;
        }
        drop(turns);
        self.turn_came.notify_all();
        if let Some(tell) = self.setup.on_progress {
            tell(Progress { bytes_read: self.bytes_read.load(Ordering::Relaxed), bytes: self.setup.bytes, lines });
        }
    }

    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::SeqCst)
    }

    /// Ends the conversion; the first cause counts.
    pub fn fail(&self, cause: Cause) {
        lock(&self.failure).get_or_insert(cause);
        // Under the lock of those that wait, so that none misses it.
        let turns = lock(&self.turns);
        self.has_failed.store(true, Ordering::SeqCst);
        drop(turns);
        self.turn_came.notify_all();
    }

    /// Why publishing does not work, once it was tried often enough.
    fn lake_failure(&self) -> Option<Arc<str>> {
        let Target::Lake { progress, .. } = &self.setup.target else { return None };
        let progress = progress.borrow();
        progress.failure.clone().filter(|_| progress.failed_attempts >= ATTEMPTS_MAX)
    }

    /// Waits until the lake has every epoch that all threads have left.
    fn wait_for_lake(&self, left: u64) -> Result<(), Cause> {
        let Target::Lake { progress, .. } = &self.setup.target else { return Ok(()) };
        while progress.borrow().committed < left {
            if let Some(reason) = self.lake_failure() {
                return Err(Cause::Publish(reason));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// Waits for the lake, after the threads have ended; says why the conversion has failed, if it has, and what there is of it.
    pub fn settle(&self) -> Result<(), (Cause, Kept)> {
        let state = lock(&self.state);
        let failure = lock(&self.failure).take();
        let stand = match failure {
            Some(_) => state.standing.iter().map(|standing| standing.epoch).min().unwrap_or(0),
            None => u64::MAX,
        };
        let left = state.begun.iter().map(|(begun, _)| *begun).take_while(|begun| *begun < stand).last();
        let waited = self.wait_for_lake(left.unwrap_or(0));
        let Some(cause) = failure.or_else(|| waited.err()) else { return Ok(()) };
        let Target::Lake { progress, .. } = &self.setup.target else { return Err((cause, Kept::DryRun)) };
        let committed = progress.borrow().committed;
        let kept = match state.begun.first() {
            Some((first, _)) if *first <= committed => {
                state.begun.iter().find(|(begun, _)| *begun > committed).map(|(_, place)| Kept::Before(place.clone()))
            }
            _ => Some(Kept::Nothing),
        };
        Err((cause, kept.unwrap_or(Kept::Unknown)))
    }

    /// What was counted: lines, points, bytes that were read.
    pub fn counted(&self) -> (u64, u64, u64) {
        let bytes = self.bytes_read.load(Ordering::Relaxed);
        (self.lines.load(Ordering::Relaxed), self.points.load(Ordering::Relaxed), bytes)
    }

    pub fn into_parts(self) -> (Target, Ledger, BTreeMap<u32, Summary>) {
        let ledger = self.ledger.into_inner().unwrap_or_else(PoisonError::into_inner);
        let summaries = self.summaries.into_inner().unwrap_or_else(PoisonError::into_inner);
        (self.setup.target, ledger, summaries)
    }
}

impl State {
    /// Begins a new epoch if all threads write in the current one: while one of them has still to hand over, its tables count for the one
    /// before, and the next would become a crumb.
    fn begin_epoch(&mut self) {
        if !self.is_exhausted && self.standing.iter().all(|standing| standing.epoch == self.epoch) {
            self.epoch = epoch_after(self.epoch);
        }
    }
}
