//! SSE2 (every x86-64), AVX2 and AVX-512. What is inlined into [`Vector::run`] uses the instructions that it enables.

use std::arch::x86_64::*;

use super::vector::{Decimal, Marks, Task, Vector};

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

    #[inline(always)]
    fn both_same(self, other: Self, next: Self, other_next: Self) -> bool {
        // SAFETY: SSE2 is part of x86-64.
        let both = unsafe { _mm_and_si128(self.eq(other).0, next.eq(other_next).0) };
        Bytes16(both).bits() == 0xFFFF
    }

    #[inline(always)]
    unsafe fn equal_within_32(a: *const u8, b: *const u8, len: usize) -> bool {
        // SAFETY: the caller grants 32 bytes.
        let (low, high) = unsafe { (Self::load(a).eq(Self::load(b)), Self::load(a.add(16)).eq(Self::load(b.add(16)))) };
        !(low.bits() | high.bits() << 16) & ((1 << len) - 1) == 0
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

    #[inline(always)]
    fn both_same(self, other: Self, next: Self, other_next: Self) -> bool {
        // SAFETY: AVX2 as in `splat`.
        unsafe { _mm256_movemask_epi8(_mm256_and_si256(self.eq(other).0, next.eq(other_next).0)) == -1 }
    }

    #[inline(always)]
    unsafe fn equal_within_32(a: *const u8, b: *const u8, len: usize) -> bool {
        // SAFETY: the caller grants 32 bytes; BMI2 comes with the kernel.
        unsafe {
            let equal =
                _mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_loadu_si256(a.cast()), _mm256_loadu_si256(b.cast())));
            _bzhi_u32(!equal as u32, len as u32) == 0
        }
    }

    #[inline(always)]
    fn digits(bytes: u64, count: usize) -> Option<u64> {
        /// By the count: where each of 8 digits comes from, so that the last stands last and zeros lead.
        static LAST: [u64; 9] = {
            let mut last = [0; 9];
            let mut count = 0;
            while count <= 8 {
                let mut sources = [0x80; 8];
                let mut at = 8 - count;
                while at < 8 {
                    sources[at] = (at - (8 - count)) as u8;
                    at += 1;
                }
                last[count] = u64::from_le_bytes(sources);
                count += 1;
            }
            last
        };
        // SAFETY: AVX2, and what came before it, as in `splat`.
        unsafe {
            let ones = _mm_sub_epi8(_mm_cvtsi64_si128(bytes as i64), _mm_set1_epi8(b'0' as i8));
            let ones = _mm_shuffle_epi8(ones, _mm_cvtsi64_si128(LAST[count] as i64));
            let too_much = _mm_subs_epu8(ones, _mm_set1_epi8(9));
            if _mm_testz_si128(too_much, too_much) == 0 {
                return None;
            }
            let pairs = _mm_maddubs_epi16(ones, _mm_set1_epi16(1 << 8 | 10));
            let fours = _mm_madd_epi16(pairs, _mm_set1_epi32(1 << 16 | 100));
            let fours = _mm_packus_epi32(fours, fours);
            let eight = _mm_madd_epi16(fours, _mm_set1_epi32(1 << 16 | 10_000));
            Some(u64::from(_mm_cvtsi128_si32(eight) as u32))
        }
    }

    #[inline(always)]
    fn digits_16(bytes: [u64; 2], count: usize) -> Option<u64> {
        // SAFETY: AVX2, and what came before it, as in `splat`; a row of the table has 16 bytes.
        unsafe {
            let bytes = _mm_set_epi64x(bytes[1] as i64, bytes[0] as i64);
            let ones = _mm_sub_epi8(bytes, _mm_set1_epi8(b'0' as i8));
            let ones = _mm_shuffle_epi8(ones, _mm_loadu_si128(LAST_16[count].as_ptr().cast()));
            let too_much = _mm_subs_epu8(ones, _mm_set1_epi8(9));
            (_mm_testz_si128(too_much, too_much) != 0).then(|| worth_16(ones))
        }
    }

    #[inline(always)]
    fn decimal(bytes: [u64; 2]) -> Option<Decimal> {
        // SAFETY: AVX2, and what came before it, as in `splat`; a row of the table has 16 bytes.
        unsafe {
            let bytes = _mm_set_epi64x(bytes[1] as i64, bytes[0] as i64);
            let ones = _mm_sub_epi8(bytes, _mm_set1_epi8(b'0' as i8));
            let too_much = _mm_subs_epu8(ones, _mm_set1_epi8(9));
            let digits = _mm_movemask_epi8(_mm_cmpeq_epi8(too_much, _mm_setzero_si128())) as u32;
            let others = !digits & 0xFFFF;
            let points = _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'.' as i8))) as u32;
            // The lowest of the others, if it is a point. No branch: numbers come with one and without.
            let point_bit = others & others.wrapping_neg() & points;
            let behind = others ^ point_bit;
            let (point, end) = (others.trailing_zeros() as usize, behind.trailing_zeros() as usize);
            let count = end.wrapping_sub(usize::from(point_bit != 0));
            if behind == 0 || count == 0 {
                return None;
            }
            // The digits behind the point come from one place further on.
            let last = _mm_loadu_si128(LAST_16[count].as_ptr().cast());
            let from_behind = _mm_cmpgt_epi8(last, _mm_set1_epi8(point as i8 - 1));
            let ones = _mm_shuffle_epi8(ones, _mm_sub_epi8(last, from_behind));
            Some(Decimal { mantissa: worth_16(ones), digits: count, decimals: count - point, bytes: end })
        }
    }
}

/// By the count: where each of 16 digits comes from, so that the last stands last and zeros lead.
static LAST_16: [[u8; 16]; 17] = {
    let mut last = [[0x80; 16]; 17];
    let mut count = 0;
    while count <= 16 {
        let mut at = 16 - count;
        while at < 16 {
            last[count][at] = (at - (16 - count)) as u8;
            at += 1;
        }
        count += 1;
    }
    last
};

/// The value of 16 bytes that are the values of digits.
///
/// # Safety
/// The processor has SSE4.1.
#[inline(always)]
unsafe fn worth_16(ones: __m128i) -> u64 {
    // SAFETY: the caller knows.
    unsafe {
        let pairs = _mm_maddubs_epi16(ones, _mm_set1_epi16(1 << 8 | 10));
        let fours = _mm_madd_epi16(pairs, _mm_set1_epi32(1 << 16 | 100));
        let fours = _mm_packus_epi32(fours, fours);
        let eights = _mm_cvtsi128_si64(_mm_madd_epi16(fours, _mm_set1_epi32(1 << 16 | 10_000))) as u64;
        (eights & 0xFFFF_FFFF) * 100_000_000 + (eights >> 32)
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

    #[inline(always)]
    fn both_same(self, other: Self, next: Self, other_next: Self) -> bool {
        // SAFETY: AVX-512 as in `splat`.
        unsafe { _mm512_cmpneq_epi8_mask(self.0, other.0) | _mm512_cmpneq_epi8_mask(next.0, other_next.0) == 0 }
    }

    #[inline(always)]
    unsafe fn equal_within_32(a: *const u8, b: *const u8, len: usize) -> bool {
        // SAFETY: the caller grants 32 bytes; the kernel has the instructions of AVX2's, too.
        unsafe { Avx2::equal_within_32(a, b, len) }
    }

    #[inline(always)]
    fn digits(bytes: u64, count: usize) -> Option<u64> {
        Avx2::digits(bytes, count)
    }

    #[inline(always)]
    fn digits_16(bytes: [u64; 2], count: usize) -> Option<u64> {
        Avx2::digits_16(bytes, count)
    }

    #[inline(always)]
    fn decimal(bytes: [u64; 2]) -> Option<Decimal> {
        Avx2::decimal(bytes)
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
