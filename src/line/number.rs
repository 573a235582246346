//! Field values that are numbers, booleans, and timestamps, read in place.
//!
//! Short numbers take a digit loop; a float whose digits fit in 2^53 with at most 22 decimals is exact by one division (Clinger), every
//! other one goes to fast-float2. Results are correctly rounded.

use super::grammar::{ErrorKind, Precision};
use super::text::Padded;

/// A number as its suffix says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Float(f64),
    Integer(i64),
    Unsigned(u64),
}

/// Powers of ten that a double holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Digits that always fit in a u64, and in an i64.
const DIGITS_U64: usize = 19;
const DIGITS_I64: usize = 18;

/// Whether a value ends at `at`: comma, space or line end.
#[inline(always)]
pub fn ends_value(body: &Padded<'_>, at: usize) -> bool {
    matches!(body.at(at), b',' | b' ') || body.ends_line(at)
}

/// Reads the digits from `at` on behind those of `value`: the value of all modulo 2^64, and the position behind them.
#[inline(always)]
fn digits(body: &Padded<'_>, at: usize, mut value: u64) -> (u64, usize) {
    let mut end = at;
    loop {
        let digit = body.at(end).wrapping_sub(b'0');
        if digit > 9 {
            return (value, end);
        }
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        end += 1;
    }
}

/// Reads the number that starts at `at` with `-`, `.` or a digit; returns it with the position behind it.
#[inline(always)]
pub fn number(body: &Padded<'_>, at: usize) -> Result<(Number, usize), ErrorKind> {
    let negative = body.at(at) == b'-';
    let first = at + usize::from(negative);
    let (value, end) = digits(body, first, 0);
    let count = end - first;
    match body.at(end) {
        b'i' if count > 0 && ends_value(body, end + 1) => {
            let integer = if count <= DIGITS_I64 {
                if negative { -(value as i64) } else { value as i64 }
            } else {
                long_integer(body, first, end, negative).ok_or(ErrorKind::IntegerOutOfRange)?
            };
            Ok((Number::Integer(integer), end + 1))
        }
        b'.' | b'e' | b'E' => float(body, at, end),
        b'u' if count > 0 && !negative && ends_value(body, end + 1) => {
            let unsigned = if count <= DIGITS_U64 {
                value
            } else {
                long_unsigned(body, first, end).ok_or(ErrorKind::UnsignedOutOfRange)?
            };
            Ok((Number::Unsigned(unsigned), end + 1))
        }
        _ if count > 0 && ends_value(body, end) => {
            let float = if count <= DIGITS_U64 && value <= 1 << 53 {
                if negative { -(value as f64) } else { value as f64 }
            } else {
                rounded(body, at, end)?
            };
            Ok((Number::Float(float), end))
        }
        _ => Err(ErrorKind::InvalidNumber),
    }
}

/// Reads a float with a point or an exponent; `point` is behind its leading digits.
#[inline(always)]
fn float(body: &Padded<'_>, at: usize, point: usize) -> Result<(Number, usize), ErrorKind> {
    let negative = body.at(at) == b'-';
    let first = at + usize::from(negative);
    let mut end = point;
    let mut count = point - first;
    let mut decimals = 0;
    if body.at(point) == b'.' {
        let (_, behind) = digits(body, point + 1, 0);
        decimals = behind - (point + 1);
        count += decimals;
        end = behind;
    }
    if count == 0 {
        return Err(ErrorKind::InvalidNumber);
    }
    let exponent = matches!(body.at(end), b'e' | b'E');
    if exponent {
        let sign = usize::from(matches!(body.at(end + 1), b'+' | b'-'));
        let (_, behind) = digits(body, end + 1 + sign, 0);
        if behind == end + 1 + sign {
            return Err(ErrorKind::InvalidNumber);
        }
        end = behind;
    }
    if !ends_value(body, end) {
        return Err(ErrorKind::InvalidNumber);
    }
    if !exponent && count <= DIGITS_U64 && decimals < EXACT_POWERS.len() {
        let mut mantissa = digits(body, first, 0).0;
        for at in point + 1..end {
            mantissa = mantissa * 10 + u64::from(body.at(at) - b'0');
        }
        if mantissa <= 1 << 53 {
            let magnitude = mantissa as f64 / EXACT_POWERS[decimals];
            return Ok((Number::Float(if negative { -magnitude } else { magnitude }), end));
        }
    }
    rounded(body, at, end).map(|float| (Number::Float(float), end))
}

/// Any float of correct syntax, correctly rounded.
#[cold]
fn rounded(body: &Padded<'_>, at: usize, end: usize) -> Result<f64, ErrorKind> {
    match fast_float2::parse::<f64, _>(body.slice(at, end)) {
        Ok(float) if float.is_finite() => Ok(float),
        Ok(_) => Err(ErrorKind::FloatOutOfRange),
        Err(_) => Err(ErrorKind::InvalidNumber),
    }
}

/// 19 digits and more: leading zeros are free, the rest must fit.
#[cold]
fn long_unsigned(body: &Padded<'_>, first: usize, end: usize) -> Option<u64> {
    body.slice(first, end)
        .iter()
        .try_fold(0u64, |value, byte| value.checked_mul(10)?.checked_add(u64::from(byte - b'0')))
}

#[cold]
fn long_integer(body: &Padded<'_>, first: usize, end: usize, negative: bool) -> Option<i64> {
    let magnitude = long_unsigned(body, first, end)?;
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// Reads the timestamp that starts at `at` (no space); nanoseconds, and the position behind it (a space or the line end).
#[inline(always)]
pub fn timestamp(body: &Padded<'_>, at: usize, precision: Precision) -> Result<(i64, usize), ErrorKind> {
    let negative = body.at(at) == b'-';
    let first = at + usize::from(negative);
    let (value, end) = eight_digits_and_more(body, first);
    let count = end - first;
    if count == 0 || !(body.at(end) == b' ' || body.ends_line(end)) {
        return Err(ErrorKind::BadTimestamp);
    }
    let units = if count <= DIGITS_I64 {
        if negative { -(value as i64) } else { value as i64 }
    } else {
        // 19 digits is every timestamp of today in nanoseconds.
        match i64::try_from(value) {
            Ok(units) if count == DIGITS_U64 => {
                if negative {
                    -units
                } else {
                    units
                }
            }
            _ => long_integer(body, first, end, negative).ok_or(ErrorKind::TimeOutOfRange)?,
        }
    };
    precision.scale(units).map(|ns| (ns, end)).ok_or(ErrorKind::TimeOutOfRange)
}

/// [`digits`], eight at a time while they last.
#[inline(always)]
fn eight_digits_and_more(body: &Padded<'_>, at: usize) -> (u64, usize) {
    let mut value = 0u64;
    let mut end = at;
    while end < body.len() {
        let Some(eight) = eight_digits(body.eight(end)) else { break };
        value = value.wrapping_mul(100_000_000).wrapping_add(eight);
        end += 8;
    }
    digits(body, end, value)
}

/// The value of 8 ASCII digits, the first in the lowest byte; `None` if one is no digit.
#[inline(always)]
fn eight_digits(bytes: u64) -> Option<u64> {
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    let high_nibbles = bytes & 0xF0F0_F0F0_F0F0_F0F0;
    let carried = bytes.wrapping_add(0x0606_0606_0606_0606) & 0xF0F0_F0F0_F0F0_F0F0;
    if high_nibbles != ZEROS || carried != ZEROS {
        return None;
    }
    let ones = bytes - ZEROS;
    let pairs = (ones * 10 + (ones >> 8)) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_FFFF_0000_FFFF;
    Some((fours * 10_000 + (fours >> 32)) & 0xFFFF_FFFF)
}

/// Reads one of the ten spellings of a boolean; returns it with the position behind it.
#[inline(always)]
pub fn boolean(body: &Padded<'_>, at: usize) -> Result<(bool, usize), ErrorKind> {
    const SPELLINGS: [(&[u8], bool); 10] = [
        (b"true", true),
        (b"false", false),
        (b"t", true),
        (b"f", false),
        (b"T", true),
        (b"F", false),
        (b"True", true),
        (b"False", false),
        (b"TRUE", true),
        (b"FALSE", false),
    ];
    let rest = body.slice(at, body.len().min(at + 5));
    SPELLINGS
        .iter()
        .find(|(spelling, _)| rest.starts_with(spelling) && ends_value(body, at + spelling.len()))
        .map(|(spelling, value)| (*value, at + spelling.len()))
        .ok_or(ErrorKind::InvalidBoolean)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(text: &str) -> Result<Number, ErrorKind> {
        let mut bytes = text.as_bytes().to_vec();
        let body = Padded::from_vec(&mut bytes);
        number(&body, 0).map(|(number, end)| {
            assert_eq!(end, text.len());
            number
        })
    }

    #[test]
    fn eight_digits_are_told_from_their_neighbours_in_ascii() {
        assert_eq!(eight_digits(u64::from_le_bytes(*b"12345678")), Some(12_345_678));
        assert_eq!(eight_digits(u64::from_le_bytes(*b"00000000")), Some(0));
        for at in 0..8 {
            for byte in (0..=255u8).filter(|byte| !byte.is_ascii_digit()) {
                let mut bytes = *b"99999999";
                bytes[at] = byte;
                assert_eq!(eight_digits(u64::from_le_bytes(bytes)), None, "{byte:#x} at {at}");
            }
        }
    }

    #[test]
    fn integers_reach_their_limits() {
        assert_eq!(read("9223372036854775807i"), Ok(Number::Integer(i64::MAX)));
        assert_eq!(read("-9223372036854775808i"), Ok(Number::Integer(i64::MIN)));
        assert_eq!(read("-9223372036854775809i"), Err(ErrorKind::IntegerOutOfRange));
        assert_eq!(read("9223372036854775808i"), Err(ErrorKind::IntegerOutOfRange));
        assert_eq!(read("0000000000000000000000000000012i"), Ok(Number::Integer(12)));
        assert_eq!(read("18446744073709551615u"), Ok(Number::Unsigned(u64::MAX)));
        assert_eq!(read("18446744073709551616u"), Err(ErrorKind::UnsignedOutOfRange));
        assert_eq!(read("-0u"), Err(ErrorKind::InvalidNumber));
    }

    #[test]
    fn hard_floats_are_correctly_rounded() {
        for text in [
            "9007199254740993",
            "9007199254740992",
            "0.1",
            "123456789012345678.5",
            "2.2250738585072011e-308",
            "1.7976931348623157e308",
            "5e-324",
            "2.4703282292062328e-324",
            "0.000000000000000000000000000000000000000000000000000001",
            "6.02214076e23",
            "-.5",
            "1.",
            "00000000000000000000000000.25",
            "179769313486231570000000000000000000000",
        ] {
            assert_eq!(read(text), Ok(Number::Float(text.parse().unwrap())), "{text}");
        }
        assert!(matches!(read("-0"), Ok(Number::Float(zero)) if zero.is_sign_negative()));
        assert_eq!(read("1e400"), Err(ErrorKind::FloatOutOfRange));
        for text in ["-", ".", "-.", "1e", "1e+", ".e1", "1.2.3", "0x1", "1_0", "1.0i", "1ii", "1ee1", "--1", "1\\"] {
            assert_eq!(read(text), Err(ErrorKind::InvalidNumber), "{text}");
        }
    }

    #[test]
    fn timestamps_scale_and_stay_in_range() {
        let read = |text: &str, precision| {
            let mut bytes = text.as_bytes().to_vec();
            timestamp(&Padded::from_vec(&mut bytes), 0, precision).map(|(ns, _)| ns)
        };
        let ns = Precision::Nanosecond;
        assert_eq!(read("1793491200000000000", ns), Ok(1_793_491_200_000_000_000));
        assert_eq!(read("-1793491200000000000", ns), Ok(-1_793_491_200_000_000_000));
        assert_eq!(read("9223372036854775806", ns), Ok(i64::MAX - 1));
        assert_eq!(read("9223372036854775807", ns), Err(ErrorKind::TimeOutOfRange));
        assert_eq!(read("-9223372036854775806", ns), Ok(i64::MIN + 2));
        assert_eq!(read("-9223372036854775808", ns), Err(ErrorKind::TimeOutOfRange));
        assert_eq!(read("99999999999999999999999999", ns), Err(ErrorKind::TimeOutOfRange));
        assert_eq!(read("0000000000000000000000000000001", ns), Ok(1));
        assert_eq!(read("1793491200", Precision::Second), Ok(1_793_491_200_000_000_000));
        assert_eq!(read("1793491200000", Precision::Second), Err(ErrorKind::TimeOutOfRange));
        for text in ["+1", "1.5", "1e3", "1i", "-", "1\t", "\"1\"", "2026-01-01T00:00:00Z"] {
            assert_eq!(read(text, ns), Err(ErrorKind::BadTimestamp), "{text}");
        }
    }
}
