//! SSE2 (every x86-64), AVX2 and AVX-512. What is inlined into [`Vector::run`] uses the instructions that it enables.

use std::arch::x86_64::*;

use super::vector::{Marks, Task, Vector};

#[derive(Clone, Copy)]
pub struct Sse2(__m128i);

impl Vector for Sse2 {
    const BYTES: usize = 16;
    type Marks = Bytes16;

    #[inline(never)]
    unsafe fn run<T: Task>(task: T) -> T::Output {
        task.run::<Self>()
    }

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
    fn eq(self, other: Self) -> Bytes16 {
        // SAFETY: SSE2 is part of x86-64.
        Bytes16(unsafe { _mm_cmpeq_epi8(self.0, other.0) })
    }

    #[inline(always)]
    fn is_ascii(self) -> bool {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_movemask_epi8(self.0) == 0 }
    }

    #[inline(always)]
    fn same(self, other: Self, len: usize) -> bool {
        !self.eq(other).bits() & ((1 << len) - 1) == 0
    }
}

/// All bits of each marked byte.
#[derive(Clone, Copy)]
pub struct Bytes16(__m128i);

impl Marks for Bytes16 {
    const SHIFT: u32 = 0;

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        // SAFETY: SSE2 is part of x86-64.
        Self(unsafe { _mm_or_si128(self.0, other.0) })
    }

    #[inline(always)]
    fn bits(self) -> u64 {
        // SAFETY: SSE2 is part of x86-64.
        u64::from(unsafe { _mm_movemask_epi8(self.0) } as u32)
    }
}

/// Constructed only behind [`Kernel::available`](super::Kernel::available).
#[derive(Clone, Copy)]
pub struct Avx2(__m256i);

impl Vector for Avx2 {
    const BYTES: usize = 32;
    type Marks = Bytes32;

    #[inline(always)]
    unsafe fn run<T: Task>(task: T) -> T::Output {
        #[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
        #[inline(never)]
        fn with_avx2<T: Task>(task: T) -> T::Output {
            task.run::<Avx2>()
        }
        // SAFETY: the caller knows that the processor has them.
        unsafe { with_avx2(task) }
    }

    #[inline(always)]
    fn splat(byte: u8) -> Self {
        // SAFETY: reached only through a kernel that was found available.
        Self(unsafe { _mm256_set1_epi8(byte as i8) })
    }

    #[inline(always)]
    unsafe fn load(at: *const u8) -> Self {
        // SAFETY: the caller grants 32 bytes; AVX2 as in `splat`.
        Self(unsafe { _mm256_loadu_si256(at.cast()) })
    }

    #[inline(always)]
    fn eq(self, other: Self) -> Bytes32 {
        // SAFETY: AVX2 as in `splat`.
        Bytes32(unsafe { _mm256_cmpeq_epi8(self.0, other.0) })
    }

    #[inline(always)]
    fn is_ascii(self) -> bool {
        // SAFETY: AVX2 as in `splat`.
        unsafe { _mm256_movemask_epi8(self.0) == 0 }
    }

    #[inline(always)]
    fn same(self, other: Self, len: usize) -> bool {
        // SAFETY: BMI2 comes with the kernel, as in `splat`.
        unsafe { _bzhi_u64(!self.eq(other).bits(), len as u32) == 0 }
    }
}

/// All bits of each marked byte.
#[derive(Clone, Copy)]
pub struct Bytes32(__m256i);

impl Marks for Bytes32 {
    const SHIFT: u32 = 0;

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        // SAFETY: AVX2 as in `Avx2::splat`.
        Self(unsafe { _mm256_or_si256(self.0, other.0) })
    }

    #[inline(always)]
    fn bits(self) -> u64 {
        // SAFETY: AVX2 as in `Avx2::splat`.
        u64::from(unsafe { _mm256_movemask_epi8(self.0) } as u32)
    }
}

/// AVX-512 with the instructions on bytes (BW). Constructed only behind [`Kernel::available`](super::Kernel::available).
#[derive(Clone, Copy)]
pub struct Avx512(__m512i);

impl Vector for Avx512 {
    const BYTES: usize = 64;
    type Marks = u64;

    #[inline(always)]
    unsafe fn run<T: Task>(task: T) -> T::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,bmi1,bmi2,popcnt")]
        #[inline(never)]
        fn with_avx512<T: Task>(task: T) -> T::Output {
            task.run::<Avx512>()
        }
        // SAFETY: the caller knows that the processor has them.
        unsafe { with_avx512(task) }
    }

    #[inline(always)]
    fn splat(byte: u8) -> Self {
        // SAFETY: reached only through a kernel that was found available.
        Self(unsafe { _mm512_set1_epi8(byte as i8) })
    }

    #[inline(always)]
    unsafe fn load(at: *const u8) -> Self {
        // SAFETY: the caller grants 64 bytes; AVX-512 as in `splat`.
        Self(unsafe { _mm512_loadu_si512(at.cast()) })
    }

    #[inline(always)]
    fn eq(self, other: Self) -> u64 {
        // SAFETY: AVX-512 as in `splat`.
        unsafe { _mm512_cmpeq_epi8_mask(self.0, other.0) }
    }

    #[inline(always)]
    fn is_ascii(self) -> bool {
        // SAFETY: AVX-512 as in `splat`.
        unsafe { _mm512_movepi8_mask(self.0) == 0 }
    }

    #[inline(always)]
    fn same(self, other: Self, len: usize) -> bool {
        // SAFETY: AVX-512 as in `splat`; BMI2 comes with the kernel.
        unsafe { _bzhi_u64(_mm512_cmpneq_epi8_mask(self.0, other.0), len as u32) == 0 }
    }
}

impl Marks for u64 {
    const SHIFT: u32 = 0;

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        self | other
    }

    #[inline(always)]
    fn bits(self) -> u64 {
        self
    }
}
