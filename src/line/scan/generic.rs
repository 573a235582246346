//! The kernel: searches and comparisons over any [`Vector`].

use super::vector::Vector;
use crate::line::Padded;

/// Position of the first byte from `from` on that is one of `set`, or the body's length.
#[inline(always)]
pub fn find<V: Vector, const N: usize>(body: &Padded<'_>, from: usize, set: [u8; N]) -> usize {
    let wanted = set.map(V::splat);
    let mut at = from;
    while at < body.len() {
        // SAFETY: `at` is inside of the body, behind which 64 bytes are readable.
        let bytes = unsafe { V::load(body.pointer(at)) };
        let mut marks = bytes.eq(wanted[0]);
        for want in &wanted[1..] {
            marks = marks.or(bytes.eq(*want));
        }
        if let Some(index) = marks.first() {
            // The padding is zero; a search for NUL would find it.
            return (at + index).min(body.len());
        }
        at += V::BYTES;
    }
    body.len()
}

/// Whether `len` bytes are the same at `a` and `b`.
///
/// # Safety
/// `len + V::BYTES` bytes must be readable at both.
#[inline(always)]
pub unsafe fn equal<V: Vector>(a: *const u8, b: *const u8, len: usize) -> bool {
    let mut at = 0;
    while at + V::BYTES <= len {
        // SAFETY: these bytes lie below `len`.
        let same = unsafe { V::load(a.add(at)).same(V::load(b.add(at)), V::BYTES) };
        if !same {
            return false;
        }
        at += V::BYTES;
    }
    // SAFETY: `at` is at most `len`, and a whole vector is readable behind that.
    unsafe { V::load(a.add(at)).same(V::load(b.add(at)), len - at) }
}
