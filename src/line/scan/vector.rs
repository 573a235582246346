//! What the generic kernel asks of a vector.

use crate::line::digits::{many_digits, some_digits};

/// `BYTES` bytes side by side.
pub trait Vector: Copy {
    /// At most 64, the padding of a body.
    const BYTES: usize;

    /// One mark per byte.
    type Marks: Marks;

    /// Runs the task with the instructions of this vector, in a function of its own.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn run<T: Task>(task: T) -> T::Output;

    fn splat(byte: u8) -> Self;

    /// # Safety
    /// `BYTES` bytes must be readable at `at`.
    unsafe fn load(at: *const u8) -> Self;

    /// Marks the bytes that are equal.
    fn eq(self, other: Self) -> Self::Marks;

    /// Whether no byte's highest bit is set.
    fn is_ascii(self) -> bool;

    /// Whether the lowest `len <= BYTES` bytes are the same in both.
    fn same(self, other: Self, len: usize) -> bool;

    /// Whether all bytes are the same in `self` and `other`, and in `next` and `other_next`.
    fn both_same(self, other: Self, next: Self, other_next: Self) -> bool;

    /// Whether the first `len <= 32` bytes are the same at `a` and `b`.
    ///
    /// # Safety
    /// 32 bytes must be readable at both.
    unsafe fn equal_within_32(a: *const u8, b: *const u8, len: usize) -> bool;

    /// The value of the first `count` (1 to 8) of 8 bytes, the first in the lowest, if all of them are ASCII digits.
    #[inline(always)]
    fn digits(bytes: u64, count: usize) -> Option<u64> {
        some_digits(bytes, count)
    }

    /// The same for up to 16 bytes.
    #[inline(always)]
    fn digits_16(bytes: [u64; 2], count: usize) -> Option<u64> {
        many_digits(bytes, count)
    }

    /// The digits that 16 bytes begin with, maybe with one point among, before, or behind them, if another byte follows. `None` promises nothing.
    #[inline(always)]
    fn decimal(_bytes: [u64; 2]) -> Option<Decimal> {
        None
    }
}

/// A number with a point, or without.
#[derive(Clone, Copy)]
pub struct Decimal {
    /// The digits, as if there were no point.
    pub mantissa: u64,
    /// At least one.
    pub digits: usize,
    /// How many of them stand behind the point.
    pub decimals: usize,
    /// Bytes of the whole: one more than digits, if there is a point.
    pub bytes: usize,
}

/// Work on vectors. `run` must be inlined (`#[inline(always)]`) with all that it calls: a function of its own that is generic over vectors has no
/// instructions but those that all processors of the family have. That is why a closure will not do.
pub trait Task {
    type Output;

    fn run<V: Vector>(self) -> Self::Output;
}

/// Which bytes of a vector are meant.
pub trait Marks: Copy {
    /// The mark of byte `i` is bit `i << SHIFT` or one of those up to the next byte's.
    const SHIFT: u32;

    fn or(self, other: Self) -> Self;

    /// One bit per mark.
    fn bits(self) -> u64;

    /// Index of the lowest mark.
    #[inline(always)]
    fn first(self) -> Option<usize> {
        let bits = self.bits();
        (bits != 0).then(|| (bits.trailing_zeros() >> Self::SHIFT) as usize)
    }

    /// How many.
    #[inline(always)]
    fn count(self) -> u32 {
        self.bits().count_ones()
    }
}
