//! Memory as a sum with one named line per consumer. Nothing large is allocated before its bound is reserved here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Who holds memory; the names are the labels of `ringest_memory_bytes` in `/metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consumer {
    /// Receive buffers and decompressed bodies.
    Bodies,
    /// Rows, series and dictionaries of the tables that shards write to, with their series caches.
    OpenTables,
    /// Tables handed to the lake and not committed yet.
    SealedParts,
    /// What the lake holds while it sorts and encodes.
    Encoder,
    /// Records that wait to be written to the log.
    LogQueue,
    /// Names of all buckets, tables and columns.
    Catalog,
    /// Series, and the cache of their keys, that open tables have kept over their last seal.
    KeptSeries,
    /// Keys and ciphertext of connections with TLS.
    Tls,
    /// Refused lines that wait to be written to a file, for buckets that keep them.
    Rejects,
    /// What the merge of the lake's files holds: parts of its inputs, and the rows that wait to be written.
    Compaction,
}

impl Consumer {
    pub const ALL: [Consumer; 10] = [
        Self::Bodies,
        Self::OpenTables,
        Self::SealedParts,
        Self::Encoder,
        Self::LogQueue,
        Self::Catalog,
        Self::KeptSeries,
        Self::Tls,
        Self::Rejects,
        Self::Compaction,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Bodies => "bodies",
            Self::OpenTables => "open_tables",
            Self::SealedParts => "sealed_parts",
            Self::Encoder => "encoder",
            Self::LogQueue => "log_queue",
            Self::Catalog => "catalog",
            Self::KeptSeries => "kept_series",
            Self::Tls => "tls",
            Self::Rejects => "rejects",
            Self::Compaction => "compaction",
        }
    }
}

/// The node's memory budget in bytes; shared by all threads.
#[derive(Debug)]
pub struct Budget {
    bytes_max: usize,
    total: AtomicUsize,
    by_consumer: [AtomicUsize; Consumer::ALL.len()],
}

/// What a process takes beside what its consumers reserve: code, stacks, rings, and what the allocator keeps of freed memory. Measured:
/// 40 to 75 MiB under load with 1 GiB and less reserved.
const OVERHEAD_BYTES: usize = 64 << 20;

impl Budget {
    /// The budget of a process that may take `bytes_max` in all (192 MiB or more).
    pub fn of_process(bytes_max: usize) -> Arc<Self> {
        Self::new((bytes_max - bytes_max / 8).saturating_sub(OVERHEAD_BYTES))
    }

    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, total: AtomicUsize::new(0), by_consumer: Default::default() })
    }

    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Bytes held by all consumers.
    pub fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    pub fn held_by(&self, consumer: Consumer) -> usize {
        self.by_consumer[consumer as usize].load(Ordering::Relaxed)
    }

    fn take(&self, consumer: Consumer, bytes: usize) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
        self.by_consumer[consumer as usize].fetch_add(bytes, Ordering::Relaxed);
    }

    fn try_take(&self, consumer: Consumer, bytes: usize) -> bool {
        let fits = |total: usize| total.checked_add(bytes).filter(|sum| *sum <= self.bytes_max);
        if self.total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
            return false;
        }
        self.by_consumer[consumer as usize].fetch_add(bytes, Ordering::Relaxed);
        true
    }

    fn give(&self, consumer: Consumer, bytes: usize) {
        self.total.fetch_sub(bytes, Ordering::Relaxed);
        self.by_consumer[consumer as usize].fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Tells the allocator how long to keep freed memory, for a process that may take `bytes_max`.
///
/// Measured (6 bodies of 25 MB of new strings into 256 MiB, 2026-11): peak resident memory 231 MiB by default (1 s), 121 MiB when freed
/// memory goes back at once, which cost 16 % CPU under a heavy load; kept for 100 ms it cost nothing measurable beside that. Kept for longer it
/// is still there for the next flush of a node under load: 4 % less CPU, for a fifth more memory (docs/PERFORMANCE.md, "How much is flushed at once"), and
/// nobody waits for pages that the kernel clears anew ("Pauses").
#[cfg(feature = "lake")]
pub fn limit_freed_memory(bytes_max: usize) {
    /// `mi_option_purge_delay` of mimalloc.h, in milliseconds; the crate has no name for it.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    const SMALL: usize = 512 << 20;
    const LARGE: usize = 2 << 30;
    let delay_ms = match bytes_max {
        ..=SMALL => 0,
        _ if bytes_max < LARGE => 100,
        _ => 60_000,
    };
    // SAFETY: sets a number in the allocator's table of options, which it reads at each purge; an unknown option is ignored.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, delay_ms) }
}

/// A share of the budget; given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<Budget>,
    consumer: Consumer,
    bytes: usize,
}

impl Reservation {
    /// An empty share, to be grown.
    pub fn new(budget: &Arc<Budget>, consumer: Consumer) -> Self {
        Self { budget: Arc::clone(budget), consumer, bytes: 0 }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Grows by `bytes` if the budget has them.
    #[must_use]
    pub fn try_grow(&mut self, bytes: usize) -> bool {
        let granted = self.budget.try_take(self.consumer, bytes);
        if granted {
            self.bytes += bytes;
        }
        granted
    }

    /// Sets the share to `bytes`, over the limit too: for memory that is already there.
    pub fn set(&mut self, bytes: usize) {
        if bytes > self.bytes {
            self.budget.take(self.consumer, bytes - self.bytes);
        } else {
            self.budget.give(self.consumer, self.bytes - bytes);
        }
        self.bytes = bytes;
    }

    /// Hands the whole share to another consumer and leaves this one empty.
    pub fn hand_over(&mut self, consumer: Consumer) -> Reservation {
        let bytes = std::mem::take(&mut self.bytes);
        self.budget.by_consumer[self.consumer as usize].fetch_sub(bytes, Ordering::Relaxed);
        self.budget.by_consumer[consumer as usize].fetch_add(bytes, Ordering::Relaxed);
        Reservation { budget: Arc::clone(&self.budget), consumer, bytes }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.give(self.consumer, self.bytes);
    }
}
