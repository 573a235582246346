//! The thread that compacts: after commits it looks at the partitions that were written to, and at those whose day has closed meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, Range};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use tokio::sync::oneshot;

use super::super::coordinator::Backlog;
use super::super::inventory::Inventory;
use super::super::partition::{FileName, day_in};
use super::plan::{self, Sized, Wish};
use super::run::{Exchange, RunError};
use super::{Clock, Compacted, Extent, Step};
use crate::budget::{Budget, Consumer};
use crate::metrics::Metrics;

const DAY_MS: u64 = 86_400_000;
/// So long after its end a day is taken for over, if nothing came for it for as long.
const QUIET_MS: u64 = 15 * 60_000;
/// So long a few late rows wait for more before a much larger file is rewritten for them.
const LATE_MS: u64 = 6 * 3_600_000;
/// What failed is tried again after so long, or when somebody asks.
const RETRY_MS: u64 = 3_600_000;
/// What found no memory or no room on the disk, after so long.
const BUSY_MS: u64 = 5 * 60_000;
/// Between two looks at the clock, which may be set.
const TICK: Duration = Duration::from_secs(10);
/// A merge of so many bytes takes a second or two.
const QUICK_BYTES: u64 = 16 << 20;
/// Between two looks whether the lake is busy, and how long compaction steps back for it at most before it works again.
const YIELD_STEP: Duration = Duration::from_millis(5);
const YIELD_MAX: Duration = Duration::from_secs(10);
/// For a lake that has fallen behind it steps back so many times as long.
const YIELD_BEHIND: u32 = 10;

/// Folders with new files; filled by the coordinator.
#[derive(Debug, Default)]
pub(in super::super) struct Touched {
    folders: Mutex<BTreeSet<Box<str>>>,
}

impl Touched {
    pub fn add<'a>(&self, files: impl Iterator<Item = &'a str>) {
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        for folder in files.filter_map(|file| file.rsplit_once('/')).map(|(folder, _)| folder) {
            if !folders.contains(folder) {
                folders.insert(folder.into());
            }
        }
    }

    fn take(&self) -> BTreeSet<Box<str>> {
        std::mem::take(&mut *self.folders.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What the thread is asked for.
pub(in super::super) enum Order {
    /// Something was committed.
    Look,
    Compact(Extent, oneshot::Sender<Result<Compacted, String>>),
}

/// What the thread shares with the lake.
pub(in super::super) struct Surroundings {
    pub inventory: Arc<Mutex<Inventory>>,
    pub touched: Arc<Touched>,
    pub metrics: Arc<Metrics>,
    pub budget: Arc<Budget>,
    pub backlog: Arc<Backlog>,
    pub clock: Clock,
    /// Compacts of its own accord, too.
    pub auto: bool,
    /// The lake ends.
    pub stop: Arc<AtomicBool>,
}

pub(in super::super) struct Worker {
    around: Surroundings,
    exchange: Exchange,
    orders: Receiver<Order>,
    /// When to look at a folder again although nothing is committed to it.
    due: BTreeMap<Box<str>, u64>,
    /// Folders that are left alone until then, for what went wrong.
    failed: BTreeMap<Box<str>, u64>,
    /// By folder: files that are left alone until then.
    spoilt: BTreeMap<Box<str>, BTreeMap<FileName, u64>>,
    /// The folder that was looked at last.
    last: Box<str>,
    /// By folder: sizes of its small files, which do not change.
    sizes: BTreeMap<Box<str>, Vec<Sized>>,
    patience: Patience,
}

impl Worker {
    pub fn new(around: Surroundings, exchange: Exchange, orders: Receiver<Order>) -> Self {
        if around.auto {
            let inventory = around.inventory.lock().unwrap_or_else(PoisonError::into_inner);
            let mut touched = around.touched.folders.lock().unwrap_or_else(PoisonError::into_inner);
            touched.extend(inventory.folders().map(|(folder, _)| Box::from(folder)));
        }
        let (due, failed, sizes) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (spoilt, last) = (BTreeMap::new(), Box::default());
        Self { around, exchange, orders, due, failed, spoilt, last, sizes, patience: Patience::default() }
    }

    /// Works until the lake ends.
    pub fn run(mut self) {
        while !self.is_stopped() {
            match self.orders.recv_timeout(TICK) {
                Ok(Order::Look) | Err(RecvTimeoutError::Timeout) => {
                    if self.around.auto {
                        self.pass(Extent::Due);
                    }
                }
                Ok(Order::Compact(extent, done)) => {
                    let (compacted, failures) = self.pass(extent);
                    let answer = if self.is_stopped() {
                        Err("the node is ending; what was merged stays".to_owned())
                    } else if failures.is_empty() {
                        Ok(compacted)
                    } else {
                        Err(failures.join("; "))
                    };
                    // Who has asked may be gone.
                    let _ = done.send(answer);
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.around.stop.load(Ordering::Relaxed)
    }

    /// Looks at every partition that may have something to merge, and merges it. Also why some could not be.
    fn pass(&mut self, extent: Extent) -> (Compacted, Vec<String>) {
        let mut folders = self.folders(extent);
        let (mut compacted, mut failures) = (Compacted::default(), Vec::new());
        while let Some(folder) = self.next_of(&mut folders) {
            if self.is_stopped() {
                break;
            }
            if let Err(error) = self.partition(&folder, extent, &mut compacted) {
                failures.extend(self.failed(&folder, &error));
                if matches!(error, RunError::Busy(_)) {
                    // So it is for the others.
                    let due = self.around.clock.now_ms() + BUSY_MS;
                    self.due.extend(folders.into_iter().map(|folder| (folder, due)));
                    break;
                }
            }
            // Whoever asks for more is not kept waiting; what is left is looked at soon.
            if extent == Extent::Due && !self.orders.is_empty() {
                self.around.touched.folders.lock().unwrap_or_else(PoisonError::into_inner).append(&mut folders);
            }
        }
        if compacted.merges > 0 && !self.is_stopped() {
            self.exchange.sweep();
        }
        (compacted, failures)
    }

    /// Where something may be to do.
    fn folders(&mut self, extent: Extent) -> BTreeSet<Box<str>> {
        let now = self.around.clock.now_ms();
        let mut folders = self.around.touched.take();
        folders.extend(self.due.iter().filter(|(_, due)| **due <= now).map(|(folder, _)| folder.clone()));
        // Without compaction of its own accord nothing is noted.
        if extent == Extent::All || !self.around.auto {
            let inventory = self.around.inventory.lock().unwrap_or_else(PoisonError::into_inner);
            folders
                .extend(inventory.folders().filter(|(_, files)| files.len() > 1).map(|(folder, _)| Box::from(folder)));
        }
        folders
    }

    /// Takes the folder behind the last one that was looked at, round and round, so that each has its turn.
    fn next_of(&mut self, folders: &mut BTreeSet<Box<str>>) -> Option<Box<str>> {
        let behind = (Bound::Excluded(&*self.last), Bound::Unbounded);
        let folder = folders.range::<str, _>(behind).next().or(folders.first())?.clone();
        folders.remove(&folder);
        self.last = folder.clone();
        Some(folder)
    }

    /// Remembers not to try again at once. The sentence, unless there is nothing wrong.
    fn failed(&mut self, folder: &str, error: &RunError) -> Option<String> {
        let now = self.around.clock.now_ms();
        let wait = match error {
            RunError::Stopped => return None,
            // The files that it is about are left alone, and the others of the folder are not.
            RunError::TooLarge(_) | RunError::Input { .. } => None,
            RunError::Busy(_) => Some(BUSY_MS),
            RunError::Failed(_) => Some(RETRY_MS),
        };
        if let Some(wait) = wait {
            self.failed.insert(folder.into(), now + wait);
            self.due.insert(folder.into(), now + wait);
        }
        let sentence = format!("{folder} is not compacted: {error}");
        match error {
            RunError::Busy(_) => tracing::warn!("{sentence}"),
            _ => {
                self.around.metrics.compaction_failures.inc();
                tracing::error!("{sentence}");
            }
        }
        Some(sentence)
    }

    /// Merges what is to be merged in a folder, step by step. Files that cannot be merged, damaged ones and those that do not fit into memory
    /// together, keep no others from it; they are what the error is about then.
    fn partition(&mut self, folder: &str, extent: Extent, compacted: &mut Compacted) -> Result<(), RunError> {
        let now = self.around.clock.now_ms();
        self.due.remove(folder);
        let Some(day) = day_in(folder) else { return Ok(()) };
        if let Some(until) = self.failed.get(folder).filter(|until| extent == Extent::Due && **until > now) {
            self.due.insert(folder.into(), *until);
            return Ok(());
        }
        self.failed.remove(folder);
        let mut left_alone = LeftAlone::default();
        if extent == Extent::Due {
            let known = self.spoilt.get(folder).into_iter().flatten();
            left_alone.known = known.filter(|(_, until)| **until > now).map(|(file, until)| (*file, *until)).collect();
        }
        let merged = self.merge_all((folder, day, now), extent, &mut left_alone, compacted);
        let reason = self.remember(folder, left_alone, now);
        merged.and_then(|()| reason.map_or(Ok(()), Err))
    }

    /// Notes which files of a folder are not to be tried for a while; the reason of the first one that was not known to be spoilt.
    fn remember(&mut self, folder: &str, left_alone: LeftAlone, now: u64) -> Option<RunError> {
        let committed = self.committed(folder);
        let LeftAlone { known, found } = left_alone;
        let mut found: Vec<(FileName, RunError)> =
            found.into_iter().filter(|(file, _)| committed.binary_search(file).is_ok()).collect();
        let spoilt: BTreeMap<FileName, u64> = known
            .into_iter()
            .filter(|(file, _)| committed.binary_search(file).is_ok())
            .chain(found.iter().map(|(file, _)| (*file, now + RETRY_MS)))
            .collect();
        match spoilt.values().min() {
            Some(until) => {
                let due = self.due.entry(folder.into()).or_insert(*until);
                *due = (*due).min(*until);
                self.spoilt.insert(folder.into(), spoilt);
            }
            None => drop(self.spoilt.remove(folder)),
        }
        (!found.is_empty()).then(|| found.swap_remove(0).1)
    }

    fn merge_all(
        &mut self,
        (folder, day, now): (&str, i64, u64),
        extent: Extent,
        left_alone: &mut LeftAlone,
        compacted: &mut Compacted,
    ) -> Result<(), RunError> {
        let (mut merges, mut rest_from) = (0, None);
        loop {
            let files = self.sized(folder, left_alone);
            let planned = left_alone.seen(&files);
            let (wish, due) = match extent {
                Extent::All => (Wish::All, None),
                Extent::Due => wish(&planned, day, now),
            };
            let range = next_range(&planned, wish, rest_from).unwrap_or(0..0);
            let step = match self.step(folder, day, &files[range.clone()], compacted) {
                // What has expired meanwhile is not missed.
                Err(RunError::Input { .. } | RunError::Failed(_))
                    if !are_among(&self.committed(folder), &files[range.clone()]) =>
                {
                    continue;
                }
                Err(error) => {
                    left_alone.add(error, &files[range])?;
                    continue;
                }
                Ok(step) => step,
            };
            // Where they became no fewer, the same would be tried for ever.
            let Some(step) = step.filter(|step| step.files_after < step.files_before) else {
                self.rest(folder, left_alone.others(files), due.filter(|_| self.around.auto));
                compacted.partitions += u64::from(merges > 0);
                return Ok(());
            };
            merges += 1;
            rest_from = step.rest_from;
        }
    }

    /// Merges `files`; `None`: there are none.
    fn step(
        &mut self,
        folder: &str,
        day: i64,
        files: &[Sized],
        compacted: &mut Compacted,
    ) -> Result<Option<Step>, RunError> {
        if files.is_empty() {
            return Ok(None);
        }
        let bytes: u64 = files.iter().map(|file| file.bytes).sum();
        // What was merged before is not to stand beside its result for as long as a large merge takes.
        if compacted.merges > 0 && bytes > QUICK_BYTES {
            self.exchange.sweep();
        }
        let Self { exchange, around, patience, .. } = self;
        let step = exchange.run(folder, day, files, &mut || goes_on(around, patience))?;
        compacted.add(&step);
        Ok(Some(step))
    }

    /// The files of a folder, in order of writing.
    fn committed(&self, folder: &str) -> Vec<FileName> {
        self.around.inventory.lock().unwrap_or_else(PoisonError::into_inner).files(folder)
    }

    /// Nothing is to do in a folder before `due`.
    fn rest(&mut self, folder: &str, files: Vec<Sized>, due: Option<u64>) {
        match due {
            Some(due) => {
                self.due.insert(folder.into(), due);
                self.sizes.insert(folder.into(), files);
            }
            None => drop(self.sizes.remove(folder)),
        }
    }

    /// The committed files of a folder with their sizes.
    fn sized(&mut self, folder: &str, left_alone: &mut LeftAlone) -> Vec<Sized> {
        let names = self.committed(folder);
        let known = self.sizes.remove(folder).unwrap_or_default();
        let size = |name| match known.binary_search_by_key(&name, |file| file.name) {
            Ok(at) => Sized { name, bytes: known[at].bytes },
            Err(_) => {
                let bytes = self.exchange.size(folder, &name).unwrap_or_else(|error| {
                    left_alone.find(name, error);
                    LeftAlone::BYTES
                });
                Sized { name, bytes }
            }
        };
        names.into_iter().map(size).collect()
    }
}

/// Files of a folder that are not merged this time.
#[derive(Default)]
struct LeftAlone {
    /// Because they could not be a while ago: until when.
    known: BTreeMap<FileName, u64>,
    /// Because it was tried, and why it did not work.
    found: BTreeMap<FileName, RunError>,
}

impl LeftAlone {
    /// The size of such a file, as the rules see it: larger than anything that is merged.
    const BYTES: u64 = u64::MAX;

    fn contains(&self, file: &FileName) -> bool {
        self.known.contains_key(file) || self.found.contains_key(file)
    }

    fn find(&mut self, file: FileName, error: RunError) {
        if !self.known.contains_key(&file) {
            self.found.insert(file, error);
        }
    }

    /// Adds the one of `files` for which they were not merged; hands back an error that is about none of them.
    fn add(&mut self, error: RunError, files: &[Sized]) -> Result<(), RunError> {
        let file = match &error {
            RunError::TooLarge(_) => files.iter().max_by_key(|file| file.bytes).map(|file| file.name),
            RunError::Input { name, .. } => Some(*name),
            RunError::Stopped | RunError::Busy(_) | RunError::Failed(_) => None,
        };
        match file.filter(|file| !self.contains(file)) {
            Some(file) => {
                let error = match error {
                    RunError::TooLarge(reason) => RunError::TooLarge(format!("{file} is left as it is: {reason}")),
                    error => error,
                };
                self.find(file, error);
                Ok(())
            }
            None => Err(error),
        }
    }

    /// The files as the rules are to see them.
    fn seen(&self, files: &[Sized]) -> Vec<Sized> {
        let bytes = |file: &Sized| if self.contains(&file.name) { Self::BYTES } else { file.bytes };
        files.iter().map(|file| Sized { bytes: bytes(file), ..*file }).collect()
    }

    fn others(&self, files: Vec<Sized>) -> Vec<Sized> {
        files.into_iter().filter(|file| !self.contains(&file.name)).collect()
    }
}

fn are_among(committed: &[FileName], files: &[Sized]) -> bool {
    files.iter().all(|file| committed.binary_search(&file.name).is_ok())
}

/// What to merge next. What did not fit into memory with the files before it comes first, without them: these are not rewritten each time.
fn next_range(files: &[Sized], wish: Wish, rest_from: Option<FileName>) -> Option<Range<usize>> {
    let rest = rest_from.map_or(0, |from| files.partition_point(|file| file.name < from));
    let next = plan::next(&files[rest..], wish).map(|range| range.start + rest..range.end + rest);
    next.or_else(|| plan::next(files, wish))
}

/// What is wanted of a partition now, and when to look again although nothing comes for it.
fn wish(files: &[Sized], day: i64, now: u64) -> (Wish, Option<u64>) {
    let closes = u64::try_from((day + 1) * DAY_MS as i64).unwrap_or(0) + QUIET_MS;
    if now < closes {
        return (Wish::Tiers, Some(closes));
    }
    let Some(range) = plan::next(files, Wish::Closed) else { return (Wish::Tiers, None) };
    let wait = if plan::is_worth(&files[range]) { QUIET_MS } else { LATE_MS };
    // Epochs are times, unless the clock was ahead once: those to come tell nothing.
    let newest = files.iter().map(|file| file.name.epoch).filter(|epoch| *epoch <= now).max().unwrap_or(0);
    let ready = newest.saturating_add(wait);
    if now < ready { (Wish::Tiers, Some(ready)) } else { (Wish::Closed, None) }
}

/// What publication does while files are merged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Publication {
    /// Memory may be short all the same: stepping back would free none of it.
    Idle,
    /// An epoch is on its way. Where processors are few, a merge beside it leaves none to the shards.
    Busy,
    /// Another one waits already, or memory is short until this one is published.
    Behind,
}

impl Publication {
    fn new(epochs: u64, is_short: impl Fn() -> bool) -> Self {
        match epochs {
            0 => Self::Idle,
            1 if !is_short() => Self::Busy,
            _ => Self::Behind,
        }
    }

    fn now(around: &Surroundings) -> Self {
        let budget = &around.budget;
        // What the merge holds itself it does not wait for.
        let others = || budget.total().saturating_sub(budget.held_by(Consumer::Compaction));
        let is_short = || others() > budget.bytes_max() - budget.bytes_max() / 4;
        Self::new(around.backlog.epochs.load(Ordering::Relaxed), is_short)
    }
}

/// How much longer compaction may step back. It is earned by work, so that merges have half of their time however busy the lake is, and an
/// eleventh where it has fallen behind.
#[derive(Debug)]
struct Patience {
    left: Duration,
    /// When it last went on.
    since: Instant,
}

impl Default for Patience {
    fn default() -> Self {
        Self { left: YIELD_MAX, since: Instant::now() }
    }
}

impl Patience {
    fn earn(&mut self, worked: Duration) {
        self.left = (self.left + worked).min(YIELD_MAX);
    }

    /// Whether to step back for another [`YIELD_STEP`].
    fn spend(&mut self, publication: Publication) -> bool {
        let price = match publication {
            Publication::Idle => return false,
            Publication::Busy => YIELD_STEP,
            Publication::Behind => YIELD_STEP / YIELD_BEHIND,
        };
        let left = self.left.checked_sub(price);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }
}

/// Lets publication go first. Whether to go on at all.
fn goes_on(around: &Surroundings, patience: &mut Patience) -> bool {
    patience.earn(patience.since.elapsed());
    let goes_on = loop {
        if around.stop.load(Ordering::Relaxed) {
            break false;
        }
        if !patience.spend(Publication::now(around)) {
            break true;
        }
        std::thread::sleep(YIELD_STEP);
    };
    patience.since = Instant::now();
    goes_on
}

/// The lake's end of the thread.
pub(in super::super) struct Handle {
    pub orders: Sender<Order>,
    pub stop: Arc<AtomicBool>,
    /// Ends with the thread.
    ended: Receiver<()>,
}

impl Handle {
    pub fn new() -> (Self, Receiver<Order>, Sender<()>) {
        let (orders, inbox) = crossbeam::channel::unbounded();
        let (alive, ended) = bounded(0);
        (Self { orders, stop: Arc::default(), ended }, inbox, alive)
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        // Has the thread look at it.
        let _ = self.orders.send(Order::Look);
    }

    /// Until the thread has ended, or it is that late.
    pub fn wait(&self, give_up: Instant) {
        let _ = self.ended.recv_deadline(give_up);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_waited_for_only_where_an_epoch_will_free_some() {
        let of = |epochs, is_short| Publication::new(epochs, || is_short);
        assert_eq!([of(0, false), of(0, true)], [Publication::Idle; 2]);
        assert_eq!([of(1, false), of(1, true)], [Publication::Busy, Publication::Behind]);
        assert_eq!([of(2, false), of(3, true)], [Publication::Behind; 2]);
    }

    #[test]
    fn a_merge_steps_back_for_publication_and_has_half_of_its_time_all_the_same() {
        let steps =
            |patience: &mut Patience, publication| (0..1_000_000).take_while(|_| patience.spend(publication)).count();
        let most = (YIELD_MAX.as_millis() / YIELD_STEP.as_millis()) as usize;
        let mut patience = Patience::default();
        assert_eq!(steps(&mut patience, Publication::Idle), 0);
        assert_eq!(steps(&mut patience, Publication::Busy), most);
        // Without work it has no more of it; with some, as much.
        assert_eq!(steps(&mut patience, Publication::Busy), 0);
        patience.earn(7 * YIELD_STEP);
        assert_eq!(steps(&mut patience, Publication::Busy), 7);
        // It does not pile up.
        patience.earn(100 * YIELD_MAX);
        assert_eq!(steps(&mut patience, Publication::Behind), most * YIELD_BEHIND as usize);
    }
}
