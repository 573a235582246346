//! SSE2 (every x86-64) and AVX2. The trait's functions inline into callers that enable the feature (`parse::dispatch`).

use std::arch::x86_64::*;

use super::vector::Vector;

#[derive(Clone, Copy)]
pub struct Sse2(__m128i);

impl Vector for Sse2 {
    const BYTES: usize = 16;

    #[inline(always)]
    fn splat(byte: u8) -> Self {
        // SAFETY: SSE2 is part of x86-64.
        Self(unsafe { _mm_set1_epi8(byte as i8) })
    }

    #[inline(always)]
    unsafe fn load(at: *const u8) -> Self {
        // SAFETY: the caller grants 16 bytes; SSE2 is part of x86-64.
        Self(unsafe { _mm_loadu_si128(at.cast()) })
    }

    #[inline(always)]
    fn eq(self, other: Self) -> Self {
        // SAFETY: SSE2 is part of x86-64.
        Self(unsafe { _mm_cmpeq_epi8(self.0, other.0) })
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        // SAFETY: SSE2 is part of x86-64.
        Self(unsafe { _mm_or_si128(self.0, other.0) })
    }

    #[inline(always)]
    fn first(self) -> Option<usize> {
        // SAFETY: SSE2 is part of x86-64.
        let mask = unsafe { _mm_movemask_epi8(self.0) } as u32;
        (mask != 0).then(|| mask.trailing_zeros() as usize)
    }

    #[inline(always)]
    fn same(self, other: Self, len: usize) -> bool {
        // SAFETY: SSE2 is part of x86-64.
        let differs = !(unsafe { _mm_movemask_epi8(_mm_cmpeq_epi8(self.0, other.0)) } as u32);
        differs & ((1 << len) - 1) == 0
    }
}

/// Constructed only behind [`Kernel::available`](super::Kernel::available).
#[derive(Clone, Copy)]
pub struct Avx2(__m256i);

impl Vector for Avx2 {
    const BYTES: usize = 32;

    #[inline(always)]
    fn splat(byte: u8) -> Self {
        // SAFETY: reached only through `parse::dispatch`, which enables AVX2 after it was detected.
        Self(unsafe { _mm256_set1_epi8(byte as i8) })
    }

    #[inline(always)]
    unsafe fn load(at: *const u8) -> Self {
        // SAFETY: the caller grants 32 bytes; AVX2 as in `splat`.
        Self(unsafe { _mm256_loadu_si256(at.cast()) })
    }

    #[inline(always)]
    fn eq(self, other: Self) -> Self {
        // SAFETY: AVX2 as in `splat`.
        Self(unsafe { _mm256_cmpeq_epi8(self.0, other.0) })
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        // SAFETY: AVX2 as in `splat`.
        Self(unsafe { _mm256_or_si256(self.0, other.0) })
    }

    #[inline(always)]
    fn first(self) -> Option<usize> {
        // SAFETY: AVX2 as in `splat`.
        let mask = unsafe { _mm256_movemask_epi8(self.0) } as u32;
        (mask != 0).then(|| mask.trailing_zeros() as usize)
    }

    #[inline(always)]
    fn same(self, other: Self, len: usize) -> bool {
        // SAFETY: AVX2 as in `splat`.
        let differs = !(unsafe { _mm256_movemask_epi8(_mm256_cmpeq_epi8(self.0, other.0)) } as u32);
        u64::from(differs) & ((1u64 << len) - 1) == 0
    }
}
