//! Epochs: the unit of publication. A flush bumps the node's epoch; each shard then seals what it wrote in the one before.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam::utils::CachePadded;

/// The node's epoch and where each shard stands; shared by all threads.
///
/// Sequentially consistent throughout: a write that began after another was acknowledged must read the same or a later epoch,
/// whichever shards they met.
#[derive(Debug)]
pub struct Epochs {
    current: AtomicU64,
    /// The epoch before `current`; also the lock under which `current` changes.
    previous: Mutex<u64>,
    shards: Vec<CachePadded<Standing>>,
}

/// What one shard tells the others; written by that shard alone.
#[derive(Debug)]
struct Standing {
    /// The epoch that the shard writes in.
    epoch: AtomicU64,
    /// Bytes of its open tables.
    open_bytes: AtomicUsize,
    /// It has taken writes in that epoch.
    has_written: AtomicBool,
}

/// What a shard moves to and what it has left by that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    pub current: u64,
    /// The last epoch before `current`; a shard that slept may never have written in it.
    pub previous: u64,
}

impl Epochs {
    /// `floor`: the last epoch that any earlier life of the node may have used.
    pub fn new(floor: u64, now_ms: u64, shards: usize) -> Self {
        let first = now_ms.max(floor + 1);
        let standing = || Standing {
            epoch: AtomicU64::new(first),
            open_bytes: AtomicUsize::new(0),
            has_written: AtomicBool::new(false),
        };
        Self {
            current: AtomicU64::new(first),
            previous: Mutex::new(floor),
            shards: (0..shards).map(|_| CachePadded::new(standing())).collect(),
        }
    }

    pub fn current(&self) -> u64 {
        self.current.load(Ordering::SeqCst)
    }

    /// The turn that a shard takes when it finds `current` changed.
    pub fn turn(&self) -> Turn {
        let previous = self.lock();
        Turn { current: self.current(), previous: *previous }
    }

    /// Begins a new epoch and returns the one that is left behind by that.
    pub fn bump(&self, now_ms: u64) -> u64 {
        let previous = self.lock();
        self.bump_locked(previous, now_ms)
    }

    /// [`Self::bump`], unless somebody did it since `seen` was current.
    pub fn bump_from(&self, seen: u64, now_ms: u64) -> Option<u64> {
        let previous = self.lock();
        (self.current() == seen).then(|| self.bump_locked(previous, now_ms))
    }

    fn bump_locked(&self, mut previous: MutexGuard<'_, u64>, now_ms: u64) -> u64 {
        let left = self.current();
        *previous = left;
        self.current.store(now_ms.max(left + 1), Ordering::SeqCst);
        left
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        // A panic in any thread aborts the process, and both values are whole at any time.
        self.previous.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `shard` took a write and its open tables have `open_bytes` now.
    pub fn wrote(&self, shard: usize, open_bytes: usize) {
        let standing = &self.shards[shard];
        standing.open_bytes.store(open_bytes, Ordering::SeqCst);
        standing.has_written.store(true, Ordering::SeqCst);
    }

    /// `shard` has sealed, handed over what it sealed, and writes in `epoch` from now on.
    pub fn entered(&self, shard: usize, epoch: u64, open_bytes: usize) {
        let standing = &self.shards[shard];
        standing.has_written.store(false, Ordering::SeqCst);
        standing.open_bytes.store(open_bytes, Ordering::SeqCst);
        standing.epoch.store(epoch, Ordering::SeqCst);
    }

    /// Whether anything was written that no bump has left behind.
    pub fn has_written(&self) -> bool {
        self.shards.iter().any(|standing| standing.has_written.load(Ordering::SeqCst))
    }

    /// The current epoch, if all shards write in it and their open tables have `bytes` or more. While one has still to seal, its
    /// tables count for the epoch before, and a bump on their account would only cut the next epoch into crumbs.
    pub fn holding(&self, bytes: usize) -> Option<u64> {
        let current = self.current();
        let mut open_bytes = 0;
        for standing in &self.shards {
            if standing.epoch.load(Ordering::SeqCst) != current {
                return None;
            }
            open_bytes += standing.open_bytes.load(Ordering::SeqCst);
        }
        (open_bytes >= bytes).then_some(current)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_follow_the_clock_and_never_fall_back() {
        let epochs = Epochs::new(500, 100, 1);
        assert_eq!(epochs.current(), 501);
        assert_eq!(epochs.bump(1_000), 501);
        assert_eq!(epochs.bump(900), 1_000);
        assert_eq!(epochs.turn(), Turn { current: 1_001, previous: 1_000 });
    }

    #[test]
    fn one_of_two_that_saw_the_same_epoch_bumps() {
        let epochs = Epochs::new(0, 10, 1);
        assert_eq!(epochs.bump_from(10, 20), Some(10));
        assert_eq!(epochs.bump_from(10, 21), None);
        assert_eq!(epochs.current(), 20);
    }

    #[test]
    fn size_counts_once_all_shards_have_entered() {
        let epochs = Epochs::new(0, 10, 2);
        assert!(!epochs.has_written());
        epochs.wrote(0, 60);
        assert_eq!(epochs.holding(100), None);
        epochs.wrote(1, 40);
        assert_eq!(epochs.holding(100), Some(10));
        assert_eq!(epochs.bump(20), 10);
        epochs.entered(0, 20, 0);
        epochs.wrote(0, 100);
        assert_eq!(epochs.holding(100), None, "shard 1 has still to seal");
        epochs.entered(1, 20, 0);
        assert_eq!(epochs.holding(100), Some(20));
        assert!(epochs.has_written());
    }

    #[test]
    fn a_bump_is_seen_by_every_later_reader() {
        let epochs = Epochs::new(0, 1, 1);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        let left = epochs.bump(0);
                        let turn = epochs.turn();
                        assert!(turn.current > left && turn.previous >= left && turn.previous < turn.current);
                    }
                });
            }
        });
        assert_eq!(epochs.current(), 4_001);
    }
}
