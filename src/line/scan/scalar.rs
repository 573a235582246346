//! 8 bytes in a general register, for every processor.

use super::vector::{Marks, Task, Vector};

#[derive(Clone, Copy)]
pub struct Swar(u64);

/// The highest bit of each marked byte.
#[derive(Clone, Copy)]
pub struct HighBits(u64);

const LOW: u64 = 0x0101_0101_0101_0101;
const BELOW_HIGH: u64 = 0x7F7F_7F7F_7F7F_7F7F;

impl Vector for Swar {
    const BYTES: usize = 8;
    type Marks = HighBits;

    #[inline(never)]
    unsafe fn run<T: Task>(task: T) -> T::Output {
        task.run::<Self>()
    }

    #[inline(always)]
    fn splat(byte: u8) -> Self {
        Self(LOW * u64::from(byte))
    }

    #[inline(always)]
    unsafe fn load(at: *const u8) -> Self {
        // SAFETY: the caller grants 8 bytes; unaligned on purpose.
        Self(u64::from_le(unsafe { at.cast::<u64>().read_unaligned() }))
    }

    #[inline(always)]
    fn eq(self, other: Self) -> HighBits {
        let difference = self.0 ^ other.0;
        // A byte's high bit is set where the byte is not zero; no carry leaves a byte.
        let differs = ((difference & BELOW_HIGH) + BELOW_HIGH) | difference;
        HighBits(!(differs | BELOW_HIGH))
    }

    #[inline(always)]
    fn is_ascii(self) -> bool {
        self.0 & !BELOW_HIGH == 0
    }

    #[inline(always)]
    fn same(self, other: Self, len: usize) -> bool {
        let difference = self.0 ^ other.0;
        let kept = if len < 8 { (1 << (8 * len)) - 1 } else { u64::MAX };
        difference & kept == 0
    }

    #[inline(always)]
    fn both_same(self, other: Self, next: Self, other_next: Self) -> bool {
        (self.0 ^ other.0) | (next.0 ^ other_next.0) == 0
    }

    #[inline(always)]
    unsafe fn equal_within_32(a: *const u8, b: *const u8, len: usize) -> bool {
        let mut at = 0;
        while at + 8 < len {
            // SAFETY: 8 bytes from `at` on lie within the 32 that the caller grants.
            if unsafe { Self::load(a.add(at)).0 != Self::load(b.add(at)).0 } {
                return false;
            }
            at += 8;
        }
        // SAFETY: `at` is at most 24.
        unsafe { Self::load(a.add(at)).same(Self::load(b.add(at)), len - at) }
    }
}

impl Marks for HighBits {
    const SHIFT: u32 = 3;

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[inline(always)]
    fn bits(self) -> u64 {
        self.0
    }
}
