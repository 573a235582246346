//! Receive buffers: size classes, taken from the memory budget, used again last in, first out (the warm one first).

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use tokio_uring::buf::{IoBuf, IoBufMut};

use crate::budget::{Budget, Consumer, Reservation};

/// Bytes behind the capacity of every buffer, so that a reader of a body may overrun its end by that much.
pub const PADDING: usize = 64;

/// The smallest class; what an idle connection holds. With its padding it fills 2 KiB.
pub const IDLE_BYTES: usize = (2 << 10) - PADDING;

/// The next class, in which most requests arrive whole.
pub const SMALL_BYTES: usize = 16 << 10;

/// Classes grow by 4 up to here (a request of a few KiB must not step through many), by 2 from here (a big one must not reserve four
/// times its size).
const COARSE_CLASS_MAX: usize = 1 << 20;

/// Most bytes of free buffers that a class keeps, and their share of the whole budget.
const KEPT_BYTES_MAX: usize = 32 << 20;
const KEPT_BUDGET_SHARE: usize = 32;

/// A shard's receive buffers. Cloning makes another handle of the same pool.
#[derive(Clone)]
pub struct Pool {
    shared: Rc<Shared>,
}

struct Shared {
    budget: Arc<Budget>,
    /// What the budget has given for all buffers of this pool, in use or free.
    memory: RefCell<Reservation>,
    /// Ascending.
    classes: Vec<Class>,
}

struct Class {
    capacity: usize,
    free_max: usize,
    free: RefCell<Vec<Vec<u8>>>,
    /// Fewest free buffers since the last [`Pool::trim`]: so many were not needed.
    free_low: Cell<usize>,
}

impl Pool {
    /// A pool whose largest class holds `bytes_max`.
    pub fn new(budget: &Arc<Budget>, bytes_max: usize) -> Self {
        let mut capacities = vec![IDLE_BYTES, SMALL_BYTES];
        let mut last = SMALL_BYTES;
        while last < bytes_max {
            last = if last < COARSE_CLASS_MAX { last * 4 } else { last * 2 };
            capacities.push(last);
        }
        // The top class need not be twice its need.
        if let Some(top) = capacities.last_mut() {
            *top = bytes_max.max(SMALL_BYTES);
        }
        let kept_bytes = KEPT_BYTES_MAX.min(budget.bytes_max() / KEPT_BUDGET_SHARE);
        let class = |capacity| Class {
            capacity,
            free_max: (kept_bytes / capacity).max(1),
            free: RefCell::default(),
            free_low: Cell::new(0),
        };
        let shared = Shared {
            budget: Arc::clone(budget),
            memory: RefCell::new(Reservation::new(budget, Consumer::Bodies)),
            classes: capacities.into_iter().map(class).collect(),
        };
        Self { shared: Rc::new(shared) }
    }

    /// A buffer for at least `bytes`; `None` when the budget has no memory for it now (or no class is so large).
    pub fn take(&self, bytes: usize) -> Option<Buf> {
        let shared = &self.shared;
        let (index, class) = shared.classes.iter().enumerate().find(|(_, class)| class.capacity >= bytes)?;
        if let Some(memory) = class.pop() {
            return Some(self.buf(index, memory));
        }
        let bytes = class.capacity + PADDING;
        if !shared.memory.borrow_mut().try_grow(bytes) {
            self.release_free();
            if !shared.memory.borrow_mut().try_grow(bytes) {
                return None;
            }
        }
        Some(self.buf(index, vec![0; bytes]))
    }

    /// A buffer of the smallest class, beyond the budget if need be: without one a connection could not even be told that memory
    /// is short, and health checks would fail under load. The cap on connections bounds what this adds.
    pub fn take_idle(&self) -> Buf {
        self.take(IDLE_BYTES).unwrap_or_else(|| {
            let bytes = IDLE_BYTES + PADDING;
            let mut reservation = self.shared.memory.borrow_mut();
            let held = reservation.bytes();
            reservation.set(held + bytes);
            drop(reservation);
            self.buf(0, vec![0; bytes])
        })
    }

    /// Whether the budget is nearly used up, so that free buffers should be given back.
    pub fn is_tight(&self) -> bool {
        let budget = &self.shared.budget;
        budget.total() > budget.bytes_max() - budget.bytes_max() / 8
    }

    /// Releases the free buffers that nobody needed since the last call; all of them when memory is tight.
    pub fn trim(&self) {
        if self.is_tight() {
            return self.release_free();
        }
        for class in &self.shared.classes {
            let kept = class.free.borrow().len() - class.free_low.get();
            self.release(class, kept);
            class.free_low.set(kept);
        }
    }

    fn release_free(&self) {
        self.shared.classes.iter().for_each(|class| self.release(class, 0));
    }

    /// Frees all but the `kept` warmest free buffers of `class`.
    fn release(&self, class: &Class, kept: usize) {
        let mut free = class.free.borrow_mut();
        let surplus = free.len().saturating_sub(kept);
        free.drain(..surplus);
        class.free_low.set(class.free_low.get().min(kept));
        self.shared.give_back(surplus * (class.capacity + PADDING));
    }

    fn buf(&self, class: usize, memory: Vec<u8>) -> Buf {
        Buf { memory, filled: 0, home: Some((Rc::clone(&self.shared), class)) }
    }
}

impl Class {
    fn pop(&self) -> Option<Vec<u8>> {
        let mut free = self.free.borrow_mut();
        let memory = free.pop();
        self.free_low.set(self.free_low.get().min(free.len()));
        memory
    }
}

impl Shared {
    fn give_back(&self, bytes: usize) {
        let mut memory = self.memory.borrow_mut();
        let held = memory.bytes();
        memory.set(held - bytes);
    }
}

/// Memory for received bytes: a filled part, room behind it and [`PADDING`] bytes behind that. Goes back to its pool when dropped;
/// a pending operation owns its buffer, so the memory outlives it. The default one has no room.
#[derive(Default)]
pub struct Buf {
    /// Capacity + [`PADDING`] bytes, all initialised from the start.
    memory: Vec<u8>,
    filled: usize,
    home: Option<(Rc<Shared>, usize)>,
}

impl Buf {
    /// Bytes that it can hold.
    pub fn capacity(&self) -> usize {
        self.memory.len().saturating_sub(PADDING)
    }

    /// Bytes received and kept.
    pub fn filled(&self) -> usize {
        self.filled
    }

    /// Declares the first `filled` bytes to be received (after a read, or after bytes were removed from the end).
    pub fn set_filled(&mut self, filled: usize) {
        assert!(filled <= self.capacity());
        self.filled = filled;
    }

    /// The received bytes from `start` on.
    pub fn received(&mut self, start: usize) -> &mut [u8] {
        &mut self.memory[start..self.filled]
    }

    /// Drops the first `start` received bytes: the rest moves to the front.
    pub fn drop_front(&mut self, start: usize) {
        self.memory.copy_within(start..self.filled, 0);
        self.filled -= start;
    }

    /// Takes over what `other` received from `start` on.
    pub fn copy_from(&mut self, other: &Buf, start: usize) {
        let bytes = &other.memory[start..other.filled];
        self.memory[..bytes.len()].copy_from_slice(bytes);
        self.filled = bytes.len();
    }

    /// Calls `reader` with the bytes of `range` followed by [`PADDING`] zero bytes. What stands there (the next request of a
    /// pipelining client) is put back afterwards.
    pub fn padded<T>(&mut self, range: Range<usize>, reader: impl FnOnce(&[u8]) -> T) -> T {
        assert!(range.end <= self.filled);
        let padding = range.end..range.end + PADDING;
        let mut saved = [0; PADDING];
        saved.copy_from_slice(&self.memory[padding.clone()]);
        self.memory[padding.clone()].fill(0);
        let result = reader(&self.memory[range.start..padding.end]);
        self.memory[padding].copy_from_slice(&saved);
        result
    }
}

impl Drop for Buf {
    fn drop(&mut self) {
        let Some((shared, class)) = self.home.take() else { return };
        let class = &shared.classes[class];
        let mut free = class.free.borrow_mut();
        if free.len() < class.free_max {
            free.push(std::mem::take(&mut self.memory));
        } else {
            shared.give_back(self.memory.len());
        }
    }
}

// SAFETY: the memory is a Vec that is neither resized nor replaced while the buffer lives, so its address stays when the Buf moves;
// all of its bytes are initialised (they were allocated zeroed), so pointer and length describe readable memory.
unsafe impl IoBuf for Buf {
    fn stable_ptr(&self) -> *const u8 {
        self.memory.as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.memory.len()
    }

    fn bytes_total(&self) -> usize {
        self.memory.len()
    }
}

// SAFETY: as above, and `&mut self` makes the pointer the only way to the memory while an operation owns the buffer.
unsafe impl IoBufMut for Buf {
    fn stable_mut_ptr(&mut self) -> *mut u8 {
        self.memory.as_mut_ptr()
    }

    // All bytes are initialised already; how many were received is told by `set_filled`.
    unsafe fn set_init(&mut self, _pos: usize) {}
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn pool(limit: usize) -> (Arc<Budget>, Pool) {
        let budget = Budget::new(limit);
        let pool = Pool::new(&budget, 25_000_000);
        (budget, pool)
    }

    #[test]
    fn classes_hold_what_is_asked_for() {
        let (_, pool) = pool(1 << 30);
        for bytes in [0, 1, IDLE_BYTES, SMALL_BYTES, SMALL_BYTES + 1, 100_000, MIB, MIB + 1, 5 * MIB, 25_000_000] {
            let buf = pool.take(bytes).unwrap();
            assert!(buf.capacity() >= bytes);
            assert!(buf.capacity() <= bytes.max(SMALL_BYTES / 4) * 4);
        }
        assert!(pool.take(25_000_001).is_none());
    }

    #[test]
    fn the_warmest_buffer_comes_first_and_is_accounted_once() {
        let (budget, pool) = pool(1 << 30);
        let first = pool.take(SMALL_BYTES).unwrap();
        let second = pool.take(SMALL_BYTES).unwrap();
        let (address, held) = (second.memory.as_ptr(), budget.held_by(Consumer::Bodies));
        assert_eq!(held, 2 * (SMALL_BYTES + PADDING));
        drop(first);
        drop(second);
        assert_eq!(pool.take(SMALL_BYTES).unwrap().memory.as_ptr(), address);
        assert_eq!(budget.held_by(Consumer::Bodies), held);
    }

    #[test]
    fn the_budget_refuses_and_free_buffers_make_room() {
        let (budget, pool) = pool(3 * MIB);
        let large = pool.take(2 * MIB).unwrap();
        assert!(pool.take(MIB).is_none());
        drop(large);
        assert!(budget.held_by(Consumer::Bodies) > MIB, "kept for reuse");
        assert!(pool.take(MIB).is_some(), "released for another class");
        assert!(budget.total() <= budget.bytes_max());
    }

    #[test]
    fn idle_buffers_are_always_there() {
        let (budget, pool) = pool(1);
        let buf = pool.take_idle();
        assert_eq!(buf.capacity(), IDLE_BYTES);
        drop((buf, pool));
        assert_eq!(budget.total(), 0);
    }

    #[test]
    fn what_is_not_needed_is_released() {
        let (budget, pool) = pool(1 << 30);
        drop([pool.take(MIB).unwrap(), pool.take(MIB).unwrap()]);
        pool.trim();
        drop(pool.take(MIB).unwrap());
        pool.trim();
        assert_eq!(budget.total(), MIB + PADDING, "one of two was used between the trims");
        pool.trim();
        assert_eq!(budget.total(), 0);
    }

    #[test]
    fn a_buffer_outlives_its_pool() {
        let (budget, pool) = pool(1 << 30);
        let mut buf = pool.take(1).unwrap();
        drop(pool);
        buf.set_filled(1);
        assert_eq!(buf.received(0).len(), 1);
        drop(buf);
        assert_eq!(budget.total(), 0);
    }

    #[test]
    fn padding_is_zero_and_what_followed_comes_back() {
        let (_, pool) = pool(1 << 30);
        let mut buf = pool.take(1).unwrap();
        let capacity = buf.capacity();
        buf.set_filled(capacity);
        buf.received(0).fill(b'x');
        for end in [0, 1, 100, capacity - 1, capacity] {
            let start = end.saturating_sub(7);
            buf.padded(start..end, |bytes| {
                assert_eq!(bytes.len(), end - start + PADDING);
                assert!(bytes[..end - start].iter().all(|byte| *byte == b'x'));
                assert!(bytes[end - start..].iter().all(|byte| *byte == 0));
            });
            assert!(buf.received(0).iter().all(|byte| *byte == b'x'));
        }
    }

    #[test]
    fn the_front_is_dropped_and_the_rest_copied() {
        let (_, pool) = pool(1 << 30);
        let mut small = pool.take(1).unwrap();
        small.set_filled(6);
        small.received(0).copy_from_slice(b"onetwo");
        small.drop_front(3);
        assert_eq!(small.received(0), b"two");
        let mut large = pool.take(100_000).unwrap();
        large.copy_from(&small, 1);
        assert_eq!(large.received(0), b"wo");
    }
}
