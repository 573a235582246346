//! The kernel: searches and comparisons over any [`Vector`].

use super::vector::{Marks, Vector};
use crate::line::Padded;

/// Where a name or a key ends, and what it holds.
pub struct NameEnd {
    /// Position of the byte that ends it, or the body's length.
    pub end: usize,
    /// A backslash stands in it.
    pub escaped: bool,
    /// All of it is ASCII; if not, there may be other bytes.
    pub ascii: bool,
}

/// The end of the name or key that starts at `from`: the first byte of `set` that no backslash of it stands right before.
#[inline(always)]
pub fn find_name<V: Vector, const N: usize>(body: &Padded<'_>, from: usize, set: [u8; N]) -> NameEnd {
    let wanted = set.map(V::splat);
    let backslash = V::splat(b'\\');
    let mut name = NameEnd { end: from, escaped: false, ascii: true };
    while name.end < body.len() {
        // SAFETY: `end` is inside of the body, behind which 64 bytes are readable.
        let bytes = unsafe { V::load(body.pointer(name.end)) };
        let mut marks = bytes.eq(backslash);
        for want in &wanted {
            marks = marks.or(bytes.eq(*want));
        }
        name.ascii &= bytes.is_ascii();
        let Some(index) = marks.first() else {
            name.end += V::BYTES;
            continue;
        };
        name.end += index;
        if body.at(name.end) != b'\\' {
            return name;
        }
        // It keeps the byte behind it in the name, be it another backslash, which then does the same.
        name.escaped = true;
        name.end += 1;
        if body.at(name.end) != b'\\' {
            // It may lie behind what was loaded.
            name.ascii &= body.at(name.end).is_ascii();
            name.end += 1;
        }
    }
    NameEnd { end: body.len(), ..name }
}

/// The position of the first `one` or `other` between two positions of a body, or `end`.
#[inline(always)]
pub fn first_of<V: Vector>(body: &Padded<'_>, start: usize, end: usize, [one, other]: [u8; 2]) -> usize {
    let (one, other) = (V::splat(one), V::splat(other));
    let mut at = start;
    while at < end {
        // SAFETY: `at` is inside of the body, behind which 64 bytes are readable.
        let bytes = unsafe { V::load(body.pointer(at)) };
        if let Some(index) = bytes.eq(one).or(bytes.eq(other)).first() {
            return end.min(at + index);
        }
        at += V::BYTES;
    }
    end
}

/// Where a string ends, and what it holds.
pub struct StringEnd {
    /// Position of the closing quote, or the body's length if there is none.
    pub at: usize,
    /// A backslash stands in it.
    pub escaped: bool,
    /// All of it is ASCII; if not, there may be other bytes.
    pub ascii: bool,
}

/// The end of the string whose first byte is at `from`. A backslash takes the next byte with it.
#[inline(always)]
pub fn string_end<V: Vector>(body: &Padded<'_>, from: usize) -> StringEnd {
    let (quote, backslash) = (V::splat(b'"'), V::splat(b'\\'));
    let mut end = StringEnd { at: from, escaped: false, ascii: true };
    while end.at < body.len() {
        // SAFETY: `at` is inside of the body, behind which 64 bytes are readable.
        let bytes = unsafe { V::load(body.pointer(end.at)) };
        let marks = bytes.eq(quote).or(bytes.eq(backslash));
        end.ascii &= bytes.is_ascii();
        let Some(index) = marks.first() else {
            end.at += V::BYTES;
            continue;
        };
        end.at += index;
        if body.at(end.at) == b'"' {
            return end;
        }
        end.escaped = true;
        // The byte that is passed over may lie behind what was loaded.
        end.ascii &= body.at(end.at + 1).is_ascii();
        end.at += 2;
    }
    StringEnd { at: body.len(), ..end }
}

/// Whether `len` bytes are the same at `a` and `b`.
///
/// # Safety
/// `len + V::BYTES` bytes must be readable at both.
#[inline(always)]
pub unsafe fn equal<V: Vector>(a: *const u8, b: *const u8, len: usize) -> bool {
    let pair = 2 * V::BYTES;
    let mut at = 0;
    // The last pair overlaps the one before it, so that keys of about one length take the same way.
    while at < len && len >= pair {
        let first = at.min(len - pair);
        // SAFETY: these bytes lie below `len`.
        let same = unsafe {
            let next = first + V::BYTES;
            V::load(a.add(first)).both_same(V::load(b.add(first)), V::load(a.add(next)), V::load(b.add(next)))
        };
        if !same {
            return false;
        }
        at += pair;
    }
    while at < len {
        let count = (len - at).min(V::BYTES);
        // SAFETY: `at` is at most `len`, and a whole vector is readable behind that.
        if unsafe { !V::load(a.add(at)).same(V::load(b.add(at)), count) } {
            return false;
        }
        at += V::BYTES;
    }
    true
}

/// How many bytes of the body are one of `set`. The search that a parser without predictions would have to do.
#[inline(always)]
pub fn count<V: Vector, const N: usize>(body: &Padded<'_>, set: [u8; N]) -> u64 {
    let wanted = set.map(V::splat);
    let mut at = 0;
    let mut sum = 0;
    while at < body.len() {
        // SAFETY: `at` is inside of the body, behind which 64 bytes are readable.
        let bytes = unsafe { V::load(body.pointer(at)) };
        let mut marks = bytes.eq(wanted[0]);
        for want in &wanted[1..] {
            marks = marks.or(bytes.eq(*want));
        }
        sum += u64::from(marks.count());
        at += V::BYTES;
    }
    // The padding is zero and none of the set.
    sum
}

/// The positions of the bytes of `set` between two positions of a body, one after the other.
pub struct Delimiters<'p, 'b, V, const N: usize> {
    body: &'p Padded<'b>,
    start: usize,
    end: usize,
    wanted: [V; N],
    /// Where the vector begins that `bits` is of.
    block: usize,
    /// The marks of it that are still to come.
    bits: u64,
}

impl<'p, 'b, V: Vector, const N: usize> Delimiters<'p, 'b, V, N> {
    #[inline(always)]
    pub fn new(body: &'p Padded<'b>, start: usize, end: usize, set: [u8; N]) -> Self {
        let mut delimiters = Self { body, start, end, wanted: set.map(V::splat), block: start, bits: 0 };
        delimiters.load();
        delimiters
    }

    #[inline(always)]
    fn load(&mut self) {
        // SAFETY: `block` is at most the body's length, behind which 64 bytes are readable.
        let bytes = unsafe { V::load(self.body.pointer(self.block)) };
        let mut marks = bytes.eq(self.wanted[0]);
        for want in &self.wanted[1..] {
            marks = marks.or(bytes.eq(*want));
        }
        self.bits = marks.bits();
        let left = self.end - self.block;
        if left < V::BYTES {
            self.bits &= (1 << (left << V::Marks::SHIFT)) - 1;
        }
    }

    /// The next one, or `end`; with `ESCAPES`, the next before which no backslash stands (one before `start` does not count).
    #[inline(always)]
    pub fn next<const ESCAPES: bool>(&mut self) -> usize {
        loop {
            while self.bits == 0 {
                if self.block + V::BYTES >= self.end {
                    return self.end;
                }
                self.block += V::BYTES;
                self.load();
            }
            let at = self.block + (self.bits.trailing_zeros() >> V::Marks::SHIFT) as usize;
            self.bits &= self.bits - 1;
            if !ESCAPES || at == self.start || self.body.at(at - 1) != b'\\' {
                return at;
            }
        }
    }
}
