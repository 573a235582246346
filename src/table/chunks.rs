//! A column's values in chunks: the last ones as they came, the others packed.
//!
//! Values are pushed to a tail that is used again and again, so it stays in the cache. A full tail is packed when the next value comes, and
//! no sooner: the last value, which may be taken back, is always in the tail. Integers and whole numbers take as few bytes as their chunk
//! needs, booleans a bit. What is packed is written once and never moved.

mod lists;
mod packed;
#[cfg(test)]
mod tests;

use std::ops::{Range, RangeInclusive};

pub use lists::{Lists, Strings};
pub use packed::{PackedBooleans, PackedFloats, PackedIntegers};

/// Values of a chunk. The tails of all columns of a few tables stay in the second-level cache.
pub(super) const CHUNK: usize = 1024;

/// Values of a new tail; it doubles until it holds a chunk. A table may have thousands of columns with few values each.
const TAIL_MIN: usize = 4;

/// Signed integers; unsigned ones by their bits.
pub type Integers = Chunked<PackedIntegers>;
pub type Floats = Chunked<PackedFloats>;
pub type Booleans = Chunked<PackedBooleans>;

/// Value `from` of a column goes to place `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    pub from: u32,
    pub to: u32,
}

/// Moves of a block of `Chunked::scatter`: their values take a cache line or two if they are neighbours and a byte each.
const MOVES: usize = 64;

/// The values of the block that is so many blocks further are asked for.
const MOVES_AHEAD: usize = 4;

/// `CHUNK` values in as few bytes as they need.
pub trait Packed: std::fmt::Debug {
    type Value: Copy + Default + std::fmt::Debug;

    fn pack(values: &[Self::Value; CHUNK]) -> Self;

    fn get(&self, at: usize) -> Self::Value;

    /// Calls `each` with the values of `range`.
    fn each(&self, range: Range<usize>, each: impl FnMut(Self::Value));

    /// Calls `each` with places and values until a move is none of this chunk's, and answers how many were; `start` is the index of the
    /// chunk's first value.
    fn each_move(&self, start: u32, moves: &[Move], each: impl FnMut(u32, Self::Value)) -> usize;

    /// Asks for the memory of value `at`.
    fn prefetch(&self, at: usize);

    /// Appends the values of `range`.
    fn extend_into(&self, range: Range<usize>, out: &mut Vec<Self::Value>);

    /// Bytes on the heap.
    fn bytes(&self) -> usize;
}

/// Values in order. The last one is always in the tail.
#[derive(Debug)]
pub struct Chunked<P: Packed> {
    /// The first `used` are values.
    tail: Box<[P::Value]>,
    used: usize,
    chunks: Vec<P>,
    /// Bytes of the chunks on the heap.
    packed_bytes: usize,
}

impl<P: Packed> Default for Chunked<P> {
    fn default() -> Self {
        Self { tail: Box::default(), used: 0, chunks: Vec::new(), packed_bytes: 0 }
    }
}

impl<P: Packed> Chunked<P> {
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.chunks.len() * CHUNK + self.used
    }

    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    #[inline(always)]
    pub fn push(&mut self, value: P::Value) {
        match self.tail.get_mut(self.used) {
            Some(place) => {
                *place = value;
                self.used += 1;
            }
            None => self.push_to_full(value),
        }
    }

    /// Pushes all of `values`.
    #[inline]
    pub fn extend(&mut self, mut values: impl ExactSizeIterator<Item = P::Value>) {
        while values.len() > 0 {
            let room = &mut self.tail[self.used..];
            let count = room.len().min(values.len());
            if count == 0 {
                values.next().into_iter().for_each(|value| self.push_to_full(value));
                continue;
            }
            room.iter_mut().zip(values.by_ref().take(count)).for_each(|(place, value)| *place = value);
            self.used += count;
        }
    }

    /// Pushes the values of `range` of another column.
    pub fn extend_from(&mut self, from: &Self, range: Range<usize>) {
        from.each(range, |value| self.push(value));
    }

    /// Packs the tail, or makes it larger if it does not hold a chunk yet.
    #[cold]
    #[inline(never)]
    fn push_to_full(&mut self, value: P::Value) {
        if let Ok(values) = self.tail[..].try_into() {
            let packed = P::pack(values);
            self.packed_bytes += packed.bytes();
            self.chunks.push(packed);
            self.used = 0;
        } else {
            self.grow((2 * self.used).clamp(TAIL_MIN, CHUNK));
        }
        self.tail[self.used] = value;
        self.used += 1;
    }

    fn grow(&mut self, len: usize) {
        let mut tail = std::mem::take(&mut self.tail).into_vec();
        tail.reserve_exact(len - tail.len());
        tail.resize(len, P::Value::default());
        self.tail = tail.into_boxed_slice();
    }

    /// Value `index`, which must exist.
    #[inline]
    pub fn get(&self, index: usize) -> P::Value {
        match self.chunks.get(index / CHUNK) {
            Some(chunk) => chunk.get(index % CHUNK),
            None => self.values_of_tail()[index - self.chunks.len() * CHUNK],
        }
    }

    #[inline]
    fn values_of_tail(&self) -> &[P::Value] {
        &self.tail[..self.used]
    }

    /// Keeps the first `len` values.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        match len.checked_sub(self.chunks.len() * CHUNK) {
            Some(used) if used > 0 || len == 0 => self.used = self.used.min(used),
            _ => self.unpack_last(len),
        }
    }

    /// Truncates to `len`, less than what is packed: the chunk where the last value kept lies becomes the tail again.
    #[cold]
    #[inline(never)]
    fn unpack_last(&mut self, len: usize) {
        let chunk = len.saturating_sub(1) / CHUNK;
        let mut tail = std::mem::take(&mut self.tail).into_vec();
        tail.clear();
        self.chunks[chunk].extend_into(0..CHUNK, &mut tail);
        self.tail = tail.into_boxed_slice();
        self.packed_bytes -= self.chunks.drain(chunk..).map(|chunk| chunk.bytes()).sum::<usize>();
        self.used = len - chunk * CHUNK;
    }

    /// Cuts `range` where chunks end: chunk by chunk, which values of it.
    fn pieces(range: Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> {
        let chunks = range.start / CHUNK..range.end.div_ceil(CHUNK);
        chunks.map(move |chunk| {
            let first = chunk * CHUNK;
            (chunk, range.start.saturating_sub(first)..(range.end - first).min(CHUNK))
        })
    }

    /// Calls `each` with the values of `range`, in order.
    #[inline]
    pub fn each(&self, range: Range<usize>, mut each: impl FnMut(P::Value)) {
        for (chunk, range) in Self::pieces(range) {
            match self.chunks.get(chunk) {
                Some(chunk) => chunk.each(range, &mut each),
                None => self.values_of_tail()[range].iter().for_each(|value| each(*value)),
            }
        }
    }

    /// Writes values to places of `out`. `moves` ascend by the value.
    ///
    /// What moves was written long ago and comes from memory. Chunks lie anywhere in it, and a row group takes only a piece of each, so
    /// that the processor guesses badly what comes next; the moves tell.
    pub fn scatter(&self, moves: &[Move], out: &mut [P::Value]) {
        for (block, here) in moves.chunks(MOVES).enumerate() {
            if let Some([first, .., last]) =
                moves.get((block + MOVES_AHEAD) * MOVES..).map(|ahead| &ahead[..ahead.len().min(MOVES)])
            {
                self.prefetch(first.from as usize);
                self.prefetch(last.from as usize);
            }
            self.scatter_block(here, out);
        }
    }

    #[inline]
    fn scatter_block(&self, mut moves: &[Move], out: &mut [P::Value]) {
        while let Some(first) = moves.first() {
            let start = first.from / CHUNK as u32 * CHUNK as u32;
            let moved = match self.chunks.get(first.from as usize / CHUNK) {
                Some(chunk) => chunk.each_move(start, moves, |to, value| out[to as usize] = value),
                None => move_each(self.values_of_tail(), start, moves, |to, value| out[to as usize] = value),
            };
            moves = &moves[moved..];
        }
    }

    #[inline]
    fn prefetch(&self, index: usize) {
        if let Some(chunk) = self.chunks.get(index / CHUNK) {
            chunk.prefetch(index % CHUNK);
        }
    }

    /// Appends the values of `range` to `out`.
    pub fn extend_into(&self, range: Range<usize>, out: &mut Vec<P::Value>) {
        out.reserve(range.len());
        for (chunk, range) in Self::pieces(range) {
            match self.chunks.get(chunk) {
                Some(chunk) => chunk.extend_into(range, out),
                None => out.extend_from_slice(&self.values_of_tail()[range]),
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = P::Value> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.tail) + self.chunks.capacity() * size_of::<P>() + self.packed_bytes
    }
}

impl Integers {
    /// Whether all values lie in `range`. Most chunks tell without a look at their values, which would have to come from memory.
    pub fn lie_in(&self, range: RangeInclusive<i64>) -> bool {
        let is_inside = |chunk: &PackedIntegers| {
            let bounds = chunk.bounds();
            let mut inside = range.contains(bounds.start()) && range.contains(bounds.end());
            if !inside {
                inside = true;
                chunk.each(0..CHUNK, |value| inside &= range.contains(&value));
            }
            inside
        };
        self.chunks.iter().all(is_inside) && self.values_of_tail().iter().all(|value| range.contains(value))
    }
}

/// `Packed::each_move` of values as they are.
#[inline(always)]
fn move_each<T: Copy>(values: &[T], start: u32, moves: &[Move], mut each: impl FnMut(u32, T)) -> usize {
    for (at, Move { from, to }) in moves.iter().enumerate() {
        let Some(value) = values.get((from - start) as usize) else {
            return at;
        };
        each(*to, *value);
    }
    moves.len()
}

impl<P: Packed> FromIterator<P::Value> for Chunked<P> {
    fn from_iter<I: IntoIterator<Item = P::Value>>(values: I) -> Self {
        let mut chunked = Self::default();
        values.into_iter().for_each(|value| chunked.push(value));
        chunked
    }
}
