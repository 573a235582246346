//! Strings, and other short lists, in chunks.

use std::sync::Arc;

use super::CHUNK;

/// Most bytes of items that a new tail is given room for at once; it grows beyond them.
const TAIL_BYTES_MAX: usize = 1 << 20;

/// The part of its length by which a tail is larger than the one before.
const SPARE_PART: usize = 16;

/// Strings in order: lists of their bytes, valid UTF-8 (the parser saw to that).
pub type Strings = Lists<u8>;

/// Lists in order, with random access. All chunks but the last, the tail, have `CHUNK` lists and do not grow any more: copies share them.
#[derive(Debug, Clone)]
pub struct Lists<T> {
    tail: Chunk<T>,
    chunks: Vec<Arc<Chunk<T>>>,
    /// Items of all lists, and bytes of the chunks on the heap without the tail.
    items: usize,
    packed_bytes: usize,
}

/// List i is `items[ends[i - 1]..ends[i]]` (from 0 for the first).
#[derive(Debug, Clone)]
struct Chunk<T> {
    items: Vec<T>,
    ends: Vec<u32>,
}

impl<T> Default for Chunk<T> {
    fn default() -> Self {
        Self { items: Vec::new(), ends: Vec::new() }
    }
}

impl<T> Default for Lists<T> {
    fn default() -> Self {
        Self { tail: Chunk::default(), chunks: Vec::new(), items: 0, packed_bytes: 0 }
    }
}

impl<T> Chunk<T> {
    #[inline(always)]
    fn get(&self, at: usize) -> &[T] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        &self.items[start..self.ends[at] as usize]
    }

    /// Bytes on the heap.
    fn heap_bytes(&self) -> usize {
        self.items.capacity() * size_of::<T>() + self.ends.capacity() * size_of::<u32>()
    }
}

impl<T: Copy> Lists<T> {
    #[inline]
    pub fn len(&self) -> usize {
        self.chunks.len() * CHUNK + self.tail.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tail.ends.is_empty()
    }

    /// List `index`, which must exist.
    #[inline(always)]
    pub fn get(&self, index: usize) -> &[T] {
        debug_assert!(index < self.len());
        self.chunks.get(index / CHUNK).map_or(&self.tail, |chunk| chunk).get(index % CHUNK)
    }

    pub fn iter(&self) -> impl Iterator<Item = &[T]> {
        let chunks = self.chunks.iter().map(|chunk| &**chunk).chain([&self.tail]);
        chunks.flat_map(|chunk| (0..chunk.ends.len()).map(|at| chunk.get(at)))
    }

    #[inline]
    pub fn push(&mut self, list: &[T]) {
        if self.tail.ends.len() == CHUNK {
            self.close_tail();
        }
        self.tail.items.extend_from_slice(list);
        // A chunk of the longest strings that a point may have is 1 GiB.
        self.tail.ends.push(self.tail.items.len() as u32);
        self.items += list.len();
    }

    /// Begins a new tail, a little larger than the one before: mostly it never grows. Where it did, by doubling, the room that is left over is given back.
    #[cold]
    #[inline(never)]
    fn close_tail(&mut self) {
        let len = self.tail.items.len();
        let items = Vec::with_capacity((len + len / SPARE_PART).min(TAIL_BYTES_MAX / size_of::<T>()));
        let tail = Chunk { items, ends: Vec::with_capacity(CHUNK) };
        let mut full = std::mem::replace(&mut self.tail, tail);
        if full.items.capacity() > len + 2 * len / SPARE_PART {
            full.items.shrink_to_fit();
        }
        self.packed_bytes += full.heap_bytes();
        self.chunks.push(Arc::new(full));
    }

    /// Keeps the first `len` lists.
    pub fn truncate(&mut self, len: usize) {
        if len >= self.len() {
            return;
        }
        // The last list kept must lie in the tail.
        let chunk = len.saturating_sub(1) / CHUNK;
        while chunk < self.chunks.len()
            && let Some(full) = self.chunks.pop()
        {
            self.packed_bytes -= full.heap_bytes();
            let dropped = std::mem::replace(&mut self.tail, Arc::unwrap_or_clone(full));
            self.items -= dropped.items.len();
        }
        let tail = &mut self.tail;
        tail.ends.truncate(len - chunk * CHUNK);
        let end = tail.ends.last().map_or(0, |end| *end as usize);
        self.items -= tail.items.len() - end;
        tail.items.truncate(end);
    }

    /// Items of all lists.
    pub fn items(&self) -> usize {
        self.items
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        // An `Arc` holds two counters beside the chunk.
        let chunks = self.chunks.capacity() * size_of::<usize>() + self.chunks.len() * (size_of::<Chunk<T>>() + 16);
        self.tail.heap_bytes() + chunks + self.packed_bytes
    }

    /// Whether the running sums are the sums.
    #[cfg(test)]
    pub fn check_bytes(&self) {
        assert_eq!(self.packed_bytes, self.chunks.iter().map(|chunk| chunk.heap_bytes()).sum::<usize>());
        let items = self.chunks.iter().map(|chunk| &**chunk).chain([&self.tail]).map(|chunk| chunk.items.len());
        assert_eq!(self.items, items.sum::<usize>());
    }

    /// Chunks that a copy shares.
    #[cfg(test)]
    pub fn shared_chunks(&self, other: &Self) -> usize {
        self.chunks.iter().zip(&other.chunks).filter(|(chunk, other)| Arc::ptr_eq(chunk, other)).count()
    }
}
