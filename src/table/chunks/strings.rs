//! Strings in chunks.

use super::CHUNK;

/// Most bytes that a new tail is given at once; it grows beyond them.
const TAIL_BYTES_MAX: usize = 1 << 20;

/// Strings in order, with random access. All chunks but the last, the tail, have `CHUNK` strings and do not grow any more.
#[derive(Debug, Default, Clone)]
pub struct Strings {
    tail: StringChunk,
    chunks: Vec<StringChunk>,
    /// Bytes of the strings, and of the chunks on the heap without the tail.
    text_bytes: usize,
    packed_bytes: usize,
}

/// String i is `bytes[ends[i - 1]..ends[i]]` (from 0 for the first).
#[derive(Debug, Default, Clone)]
struct StringChunk {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl StringChunk {
    #[inline(always)]
    fn get(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        &self.bytes[start..self.ends[at] as usize]
    }

    /// Bytes on the heap.
    fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<u32>()
    }
}

impl Strings {
    #[inline]
    pub fn len(&self) -> usize {
        self.chunks.len() * CHUNK + self.tail.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tail.ends.is_empty()
    }

    /// String `index`, which must exist; valid UTF-8 (the parser saw to that).
    #[inline(always)]
    pub fn get(&self, index: usize) -> &[u8] {
        debug_assert!(index < self.len());
        self.chunks.get(index / CHUNK).unwrap_or(&self.tail).get(index % CHUNK)
    }

    pub fn push(&mut self, string: &[u8]) {
        if self.tail.ends.len() == CHUNK {
            self.close_tail();
        }
        self.tail.bytes.extend_from_slice(string);
        // A chunk of the longest strings that a point may have is 1 GiB.
        self.tail.ends.push(self.tail.bytes.len() as u32);
        self.text_bytes += string.len();
    }

    /// Begins a new tail, as large as the one before: mostly it never grows.
    #[cold]
    #[inline(never)]
    fn close_tail(&mut self) {
        let bytes = Vec::with_capacity(self.tail.bytes.len().min(TAIL_BYTES_MAX));
        let tail = StringChunk { bytes, ends: Vec::with_capacity(CHUNK) };
        let full = std::mem::replace(&mut self.tail, tail);
        self.packed_bytes += full.heap_bytes();
        self.chunks.push(full);
    }

    /// Keeps the first `len` strings.
    pub fn truncate(&mut self, len: usize) {
        if len >= self.len() {
            return;
        }
        // The last string kept must lie in the tail.
        let chunk = len.saturating_sub(1) / CHUNK;
        while chunk < self.chunks.len()
            && let Some(full) = self.chunks.pop()
        {
            self.packed_bytes -= full.heap_bytes();
            let dropped = std::mem::replace(&mut self.tail, full);
            self.text_bytes -= dropped.bytes.len();
        }
        let tail = &mut self.tail;
        tail.ends.truncate(len - chunk * CHUNK);
        let end = tail.ends.last().map_or(0, |end| *end as usize);
        self.text_bytes -= tail.bytes.len() - end;
        tail.bytes.truncate(end);
    }

    /// Bytes of all strings.
    pub fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        self.tail.heap_bytes() + self.chunks.capacity() * size_of::<StringChunk>() + self.packed_bytes
    }

    /// Whether the running sums are the sums.
    #[cfg(test)]
    pub fn check_bytes(&self) {
        assert_eq!(self.packed_bytes, self.chunks.iter().map(StringChunk::heap_bytes).sum::<usize>());
        let text = self.chunks.iter().chain([&self.tail]).map(|chunk| chunk.bytes.len());
        assert_eq!(self.text_bytes, text.sum::<usize>());
    }
}
