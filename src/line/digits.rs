//! Runs of ASCII digits, read without a step or a branch per digit.
//!
//! Where a run ends decides where the parser goes on, so the chain to there is kept short: load, mark, count zeros. What the digits are
//! worth is off that chain.

use super::scan::vector::Vector;
use super::text::Padded;

/// 10 to the power of the index.
pub(super) const POWERS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// A byte repeated eight times.
const fn eight(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The value of 8 bytes that are the values of digits, the first in the lowest byte.
#[inline(always)]
fn worth(ones: u64) -> u64 {
    let pairs = (ones.wrapping_mul(10 << 8 | 1) >> 8) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs.wrapping_mul(100 << 16 | 1) >> 16) & 0x0000_FFFF_0000_FFFF;
    fours.wrapping_mul(10_000 << 32 | 1) >> 32
}

/// The value of the first `count < 8` of 8 digits: they go to the top, and zeros lead them.
#[inline(always)]
fn worth_of_first(ones: u64, count: usize) -> u64 {
    worth(ones << 8 << (56 - 8 * count))
}

/// The number whose digits go on those of `value` with the `count` digits from `at` on, modulo 2^64.
#[inline(always)]
pub(super) fn digits(body: &Padded<'_>, mut at: usize, mut count: usize, mut value: u64) -> u64 {
    while count >= 8 {
        value = value.wrapping_mul(POWERS[8]).wrapping_add(worth(body.eight(at) ^ eight(b'0')));
        at += 8;
        count -= 8;
    }
    value.wrapping_mul(POWERS[count]).wrapping_add(worth_of_first(body.eight(at) ^ eight(b'0'), count))
}

/// The value of the digits from `at` on and the position behind them, if that is 1 to 7 bytes on. A minus at `at` (`negative`) counts as
/// a byte and a leading zero.
///
/// `None` promises nothing.
#[inline(always)]
pub(super) fn few_digits(body: &Padded<'_>, at: usize, negative: bool) -> Option<(u64, usize)> {
    let bytes = body.eight(at);
    // Digits have bit 4 set; what may follow them in a good line has not, but for `u`. That is one step on the chain instead of four.
    // The caller knows the first byte.
    let stops = !bytes & eight(1 << 4) & !0xFF;
    let ones = bytes ^ eight(b'0') ^ if negative { u64::from(b'-' ^ b'0') } else { 0 };
    // High bits of the first byte that is no digit, and noise above it: a carry spoils only bytes above.
    let others = (ones.wrapping_add(eight(0x80 - 10)) | ones) & eight(0x80);
    let before_stop = (stops & stops.wrapping_neg()).wrapping_sub(1);
    if stops == 0 || others & before_stop != 0 {
        return None;
    }
    let count = stops.trailing_zeros() as usize / 8;
    Some((worth_of_first(ones, count), at + count))
}

/// The most common value: an integer of one to six digits and its `i`. Returns what it is worth, its bytes, and the byte behind them.
#[inline(always)]
pub(super) fn short_integer<V: Vector>(body: &Padded<'_>, at: usize) -> Option<(i64, usize, u8)> {
    let bytes = body.eight(at);
    // As in `few_digits`.
    let count = (!bytes & eight(1 << 4)).trailing_zeros() as usize / 8;
    let is_short = count.wrapping_sub(1) < 6;
    let behind = bytes.wrapping_shr(8 * count as u32);
    if !is_short || behind as u8 != b'i' {
        return None;
    }
    Some((V::digits(bytes, count)? as i64, count + 1, (behind >> 8) as u8))
}

/// [`Vector::digits`] without a vector.
#[inline(always)]
pub(super) fn some_digits(bytes: u64, count: usize) -> Option<u64> {
    let ones = bytes ^ eight(b'0');
    let others = (ones.wrapping_add(eight(0x80 - 10)) | ones) & eight(0x80);
    let kept = u64::MAX >> (64 - 8 * count);
    (others & kept == 0).then(|| worth(ones << (64 - 8 * count)))
}

/// [`Vector::digits_16`] without a vector.
#[inline(always)]
pub(super) fn many_digits(bytes: [u64; 2], count: usize) -> Option<u64> {
    match count.checked_sub(8) {
        None | Some(0) => some_digits(bytes[0], count),
        Some(behind) => {
            let power = POWERS[behind];
            Some(some_digits(bytes[0], 8)? * power + some_digits(bytes[1], behind)?)
        }
    }
}

/// Bit i is set if the byte at `at + i` is no digit.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn other_than_digits(body: &Padded<'_>, at: usize) -> u32 {
    use std::arch::x86_64::*;
    // SAFETY: SSE2 is part of x86-64, and from `at` on 64 bytes may be read. (With AVX2 the compiler makes one of the two.)
    let half = |skip: usize| unsafe {
        let bytes = _mm_loadu_si128(body.pointer(at).add(skip).cast());
        let lowered = _mm_sub_epi8(bytes, _mm_set1_epi8((b'0' ^ 0x80) as i8));
        _mm_movemask_epi8(_mm_cmpgt_epi8(lowered, _mm_set1_epi8(i8::MIN + 9))) as u32
    };
    half(0) | half(16) << 16
}

/// Bit i is set if the byte at `at + i` is no digit.
#[cfg(any(test, not(target_arch = "x86_64")))]
#[inline(always)]
fn other_than_digits_by_eight(body: &Padded<'_>, at: usize) -> u32 {
    (0..4).fold(0, |others, eighth| {
        let ones = body.ahead(at, 8 * eighth) ^ eight(b'0');
        // Without carries: the high bits that the byte has, or that 6 more than its low bits have.
        let marks = (((ones & eight(0x7F)) + eight(0x80 - 10)) | ones) & eight(0x80);
        // The multiplication gathers the lowest bits of the bytes in the highest byte.
        let gathered = (marks >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        others | (gathered as u32) << (8 * eighth)
    })
}

/// Bit i is set if the byte at `at + i` is no digit.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(super) fn other_than_digits(body: &Padded<'_>, at: usize) -> u32 {
    other_than_digits_by_eight(body, at)
}

#[cfg(test)]
mod tests {
    use proptest::array::uniform16;
    use proptest::prelude::*;

    use super::*;
    use crate::line::Kernel;
    use crate::line::scan::vector::Task;

    #[test]
    fn digits_are_told_from_every_other_byte_wherever_they_stand() {
        for at in 0..32 {
            for byte in 0..=255u8 {
                let mut bytes = vec![b'7'; 40];
                bytes[at] = byte;
                bytes[at + 1] = 0x80 | byte;
                let body = Padded::from_vec(&mut bytes);
                let others = (0..32).filter(|at| !body.at(*at).is_ascii_digit()).fold(0, |others, at| others | 1 << at);
                assert_eq!(other_than_digits(&body, 0), others, "{byte:#x} at {at}");
                assert_eq!(other_than_digits_by_eight(&body, 0), others, "{byte:#x} at {at}");
                match few_digits(&body, 0, false) {
                    Some((value, end)) => {
                        assert_eq!(end, others.trailing_zeros() as usize, "{byte:#x} at {at}");
                        assert_eq!(value, 7_777_777 % 10u64.pow(end as u32), "{byte:#x} at {at}");
                    }
                    None => assert!(at == 0 || at > 7 || byte & 0x10 != 0, "{byte:#x} at {at}"),
                }
            }
        }
    }

    /// What a vector makes of 16 bytes: the values of all counts of digits, and the decimal number.
    struct Read([u64; 2]);

    impl Task for Read {
        type Output = (Vec<Option<u64>>, Vec<Option<u64>>, Option<(u64, usize, usize, usize)>);

        #[inline(always)]
        fn run<V: Vector>(self) -> Self::Output {
            let eight = (1..=8).map(|count| V::digits(self.0[0], count)).collect();
            let sixteen = (1..=16).map(|count| V::digits_16(self.0, count)).collect();
            let decimal = V::decimal(self.0);
            (eight, sixteen, decimal.map(|it| (it.mantissa, it.digits, it.decimals, it.bytes)))
        }
    }

    /// The same, digit by digit; without the decimal number if there is none.
    fn read_slowly(bytes: &[u8; 16]) -> <Read as Task>::Output {
        let value = |count| std::str::from_utf8(bytes.get(..count)?).ok()?.parse().ok();
        let value = |count| value(count).filter(|_| bytes[..count].iter().all(u8::is_ascii_digit));
        let end = bytes.iter().position(|byte| !byte.is_ascii_digit());
        let point = end.filter(|end| bytes[*end] == b'.');
        let behind =
            |point| bytes.iter().skip(point + 1).position(|byte| !byte.is_ascii_digit()).map(|at| point + 1 + at);
        let bytes_of = point.map_or(end, behind);
        let decimal = bytes_of.and_then(|end| {
            let digits: String =
                bytes[..end].iter().filter(|byte| **byte != b'.').map(|byte| char::from(*byte)).collect();
            Some((digits.parse().ok()?, digits.len(), point.map_or(0, |point| end - point - 1), end))
        });
        ((1..=8).map(value).collect(), (1..=16).map(value).collect(), decimal)
    }

    proptest! {
        #[test]
        fn every_kernel_reads_digits_and_decimals(bytes in uniform16(prop_oneof![
            12 => b'0'..=b'9',
            2 => Just(b'.'),
            1 => prop::sample::select(&b", ie\0\x80/:"[..]),
            1 => any::<u8>(),
        ])) {
            let (words, _) = bytes.as_chunks();
            let words = [words[0], words[1]].map(u64::from_le_bytes);
            let (eight, sixteen, decimal) = read_slowly(&bytes);
            for kernel in Kernel::available() {
                let got = kernel.run(Read(words));
                prop_assert_eq!((&got.0, &got.1), (&eight, &sixteen), "{}", kernel.name());
                prop_assert!(got.2.is_none() || got.2 == decimal, "{}: {:?} for {decimal:?}", kernel.name(), got.2);
                prop_assert!(got.2 == decimal || kernel.name() != "avx2", "{decimal:?} is left by {}", kernel.name());
            }
        }
    }

    #[test]
    fn runs_of_every_length_are_worth_what_they_say() {
        let text = "987654321098765432109876";
        for count in 0..=19 {
            let mut bytes = text.as_bytes().to_vec();
            let body = Padded::from_vec(&mut bytes);
            assert_eq!(digits(&body, 0, count, 0), text[..count].parse().unwrap_or(0), "{count} digits");
            assert_eq!(
                digits(&body, 0, count.min(17), 42),
                format!("42{}", &text[..count.min(17)]).parse().unwrap_or(0)
            );
        }
    }
}
