//! How a shard waits for the log: one watch per shard, and a queue of its own behind it.
//!
//! The log thread wakes a shard that waits once per group, not once per request. The shard then goes on with every request, and hands
//! over every sealed part, whose place in the log is durable.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::task::{Poll, Waker};

use crossbeam::utils::CachePadded;
use tokio::sync::Notify;

use super::node::Node;
use crate::lake::Part;
use crate::wal::Wal;

/// By shard: whether it waits, and how it is woken.
pub struct Watches(Vec<CachePadded<Watch>>);

#[derive(Default)]
struct Watch {
    is_waiting: AtomicBool,
    moved: Notify,
}

impl Watches {
    pub fn new(shards: usize) -> Self {
        Self((0..shards).map(|_| CachePadded::new(Watch::default())).collect())
    }

    /// The log's durable position has moved, or the log has failed.
    pub fn log_moved(&self) {
        // Between what has changed in the log and the looks at who waits; `Waiting::arm` has the other half.
        fence(Ordering::SeqCst);
        for watch in &self.0 {
            if watch.is_waiting.swap(false, Ordering::SeqCst) {
                watch.moved.notify_one();
            }
        }
    }

    /// Until the log may have moved since [`Waiting::arm`].
    pub async fn moved(&self, shard: usize) {
        self.0[shard].moved.notified().await;
    }
}

/// The log has failed: what waits for it will not become durable.
#[derive(Debug)]
pub struct Poisoned;

/// What waits for the log in one shard, in the order of the log.
#[derive(Default)]
pub struct Waiting {
    requests: RefCell<VecDeque<(u64, Waker)>>,
    parts: RefCell<VecDeque<(u64, Part)>>,
    /// Position of the shard's last record.
    last: Cell<u64>,
}

impl Waiting {
    /// A request of this shard has got its place.
    pub fn queued(&self, position: u64) {
        self.last.set(self.last.get().max(position));
    }

    /// Until the log is durable up to `position`.
    ///
    /// # Errors
    /// It will not be.
    pub async fn durable(&self, node: &Node, shard: usize, position: u64) -> Result<(), Poisoned> {
        let Some(log) = node.context.keeper.log() else { return Ok(()) };
        poll_fn(|context| {
            if let Some(settled) = settled(log, position) {
                return Poll::Ready(settled);
            }
            self.requests.borrow_mut().push_back((position, context.waker().clone()));
            self.arm(node, shard);
            // The log may have moved before it could see that somebody waits.
            settled(log, position).map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Has the lake take `part` once the log is durable past everything that the shard has written: the lake publishes nothing that is
    /// not.
    pub fn hand_over(&self, node: &Node, shard: usize, part: Part) {
        self.parts.borrow_mut().push_back((self.last.get(), part));
        self.go_on(node, shard);
    }

    /// Goes on with all that is durable, and with all requests if nothing becomes so any more.
    pub fn go_on(&self, node: &Node, shard: usize) {
        loop {
            self.go_on_once(node);
            if self.is_empty() {
                return;
            }
            self.arm(node, shard);
            if !self.is_due(node) {
                return;
            }
        }
    }

    pub fn has_parts(&self) -> bool {
        !self.parts.borrow().is_empty()
    }

    fn is_empty(&self) -> bool {
        !self.has_parts() && self.requests.borrow().is_empty()
    }

    fn go_on_once(&self, node: &Node) {
        let log = node.context.keeper.log();
        let durable = log.map_or(u64::MAX, Wal::durable);
        let is_poisoned = log.is_some_and(|log| log.failure().is_some());
        while self.parts.borrow().front().is_some_and(|(position, _)| *position <= durable) {
            if let Some((_, part)) = self.parts.borrow_mut().pop_front() {
                node.lake.submit(part);
            }
        }
        let mut requests = self.requests.borrow_mut();
        while requests.front().is_some_and(|(position, _)| *position <= durable || is_poisoned) {
            if let Some((_, waker)) = requests.pop_front() {
                waker.wake();
            }
        }
    }

    /// Whether something in front has become durable.
    fn is_due(&self, node: &Node) -> bool {
        let log = node.context.keeper.log();
        let durable = log.map_or(u64::MAX, Wal::durable);
        let part = self.parts.borrow().front().is_some_and(|(position, _)| *position <= durable);
        let is_poisoned = log.is_some_and(|log| log.failure().is_some());
        part || self.requests.borrow().front().is_some_and(|(position, _)| *position <= durable || is_poisoned)
    }

    fn arm(&self, node: &Node, shard: usize) {
        node.watches.0[shard].is_waiting.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }
}

fn settled(log: &Wal, position: u64) -> Option<Result<(), Poisoned>> {
    if log.durable() >= position {
        return Some(Ok(()));
    }
    log.failure().is_some().then_some(Err(Poisoned))
}
