//! 8 bytes in a general register, for every processor.

use super::vector::Vector;

#[derive(Clone, Copy)]
pub struct Swar(u64);

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

impl Vector for Swar {
    const BYTES: usize = 8;

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
    fn eq(self, other: Self) -> Self {
        let difference = self.0 ^ other.0;
        // A borrow may mark a 0x01 above a true zero, never below it.
        Self(difference.wrapping_sub(LOW) & !difference & HIGH)
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[inline(always)]
    fn first(self) -> Option<usize> {
        (self.0 != 0).then(|| (self.0.trailing_zeros() / 8) as usize)
    }

    #[inline(always)]
    fn same(self, other: Self, len: usize) -> bool {
        let difference = self.0 ^ other.0;
        let kept = if len < 8 { (1 << (8 * len)) - 1 } else { u64::MAX };
        difference & kept == 0
    }
}
