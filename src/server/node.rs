//! What all threads of the node share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use crossbeam::channel::Sender;
use tokio::sync::Notify;

use super::durable::Watches;
use super::epoch::Epochs;
use super::feed::Feeder;
use super::places::Places;
use crate::budget::Consumer;
use crate::lake::Lake;
use crate::net::Tls;
use crate::wal::Wal;
use crate::write::{self, Lack};

/// The node's ages, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Life {
    Serving,
    /// No new connections and requests; those in flight are finished.
    Stopping,
    /// What is still in flight is cut.
    Cutting,
    /// All shards are without connections; they leave their last epoch and end.
    Ending,
}

/// Most connections above max-connections that are answered before they are closed.
pub const REFUSALS_MAX: usize = 256;

/// Made at birth, before the shards; taken apart after they have ended.
pub struct Node {
    pub context: write::Context,
    pub lake: Lake,
    /// Keeps refused lines, where a bucket asks for it.
    pub rejects_thread: Option<JoinHandle<()>>,
    pub epochs: Epochs,
    /// How the log tells the shards that it has moved.
    pub watches: Arc<Watches>,
    /// One per connection that is served.
    pub places: Arc<Places>,
    /// One per connection above those that is being told so.
    pub refusals: Arc<Places>,
    /// `None`: connections are plain.
    pub tls: Option<Arc<Tls>>,
    life: AtomicU8,
    /// Who reads the manifest for requests for changes.
    pub feed: Feeder,
    /// Up to this epoch a seal keeps no series.
    forgets: AtomicU64,
    /// One per shard: look at the epoch and at the node's life.
    wakes: Vec<Notify>,
    /// Takes one message from each shard that has no connections any more and accepts none.
    drained: Sender<usize>,
}

impl Node {
    pub fn new(context: write::Context, lake: Lake, drained: Sender<usize>) -> Self {
        let shards = context.config.shards;
        let places = Places::new(context.config.connections_max);
        let refusals = Places::new(REFUSALS_MAX);
        let epochs = Epochs::new(lake.epoch_floor(), now_ms(), shards);
        let wakes = (0..shards).map(|_| Notify::new()).collect();
        let watches = Arc::new(Watches::new(shards));
        let (life, forgets) = (AtomicU8::new(0), AtomicU64::new(0));
        let (tls, rejects_thread, feed) = (None, None, Feeder::default());
        Self {
            context,
            lake,
            rejects_thread,
            epochs,
            watches,
            places,
            refusals,
            tls,
            feed,
            life,
            forgets,
            wakes,
            drained,
        }
    }

    pub fn life(&self) -> Life {
        match self.life.load(Ordering::SeqCst) {
            0 => Life::Serving,
            1 => Life::Stopping,
            2 => Life::Cutting,
            _ => Life::Ending,
        }
    }

    pub fn set_life(&self, life: Life) {
        self.life.store(life as u8, Ordering::SeqCst);
        self.wake_shards();
    }

    /// Has every shard seal what it holds; returns the epoch that they leave by that.
    pub fn flush(&self) -> u64 {
        let left = self.epochs.bump(now_ms());
        self.wake_shards();
        left
    }

    /// An epoch above the current one and `epoch`; not begun by this.
    pub fn epoch_above(&self, epoch: u64) -> u64 {
        now_ms().max(epoch.max(self.epochs.current()) + 1)
    }

    /// A flush whose new epoch lies above `epoch` too.
    pub fn flush_above(&self, epoch: u64) {
        self.epochs.bump(now_ms().max(epoch + 1));
        self.wake_shards();
    }

    /// A flush when the open tables have reached their size, or when they are what fills the memory.
    pub fn flush_if_full(&self) {
        let config = &self.context.config;
        let budget = &self.context.budget;
        self.flush_for_log();
        if budget.total() > budget.bytes_max() - budget.bytes_max() / 4 {
            self.flush_for_memory();
        } else {
            self.flush_from(config.flush_bytes);
        }
    }

    /// A flush for a request that finds no room. What a log needs that is full, or that waits for its next segment, is not memory: nothing is forgotten for it.
    pub fn flush_for_room(&self, lacks: Lack) {
        match lacks {
            Lack::Memory => self.flush_for_memory(),
            Lack::Log => self.flush_for_log(),
        }
    }

    /// A flush when the log is filling up, unless the lake is still at work on what was sealed before: that frees segments too.
    fn flush_for_log(&self) {
        let is_tight = self.context.keeper.log().is_some_and(Wal::is_tight);
        let left = || self.epochs.turn().previous <= self.lake.progress().borrow().committed;
        if is_tight && self.epochs.has_written() && left() {
            self.flush_from(0);
        }
    }

    /// A flush, unless the open tables are too small to be what fills the memory. What they have kept over the last one is forgotten by it, and a
    /// reason for one.
    fn flush_for_memory(&self) {
        let budget = &self.context.budget;
        if budget.held_by(Consumer::KeptSeries) > 0
            && let Some(current) = self.epochs.holding(0)
        {
            self.forgets.fetch_max(current, Ordering::SeqCst);
            return self.flush_from(0);
        }
        let bytes_max = budget.bytes_max();
        self.flush_from(self.context.config.flush_bytes.min(bytes_max / 16));
    }

    /// Whether the seal that ends `epoch` may keep series.
    pub fn keeps_series(&self, epoch: u64) -> bool {
        epoch > self.forgets.load(Ordering::SeqCst)
    }

    fn flush_from(&self, bytes: usize) {
        let Some(current) = self.epochs.holding(bytes) else { return };
        if self.epochs.bump_from(current, now_ms()).is_some() {
            self.wake_shards();
        }
    }

    /// Why nothing is acknowledged any more; `None` while the log works.
    pub fn log_failure(&self) -> Option<Arc<str>> {
        self.context.keeper.log().and_then(Wal::failure)
    }

    fn wake_shards(&self) {
        self.wakes.iter().for_each(Notify::notify_one);
    }

    /// Until the epoch or the node's life may have changed.
    pub async fn woken(&self, shard: usize) {
        self.wakes[shard].notified().await;
    }

    pub fn report_drained(&self, shard: usize) {
        // Main has given up waiting when nobody listens.
        let _ = self.drained.send(shard);
    }
}

/// Nanoseconds since 1970 on the wall clock; 0 before.
pub fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as i64)
}

fn now_ms() -> u64 {
    now_ns() as u64 / 1_000_000
}
