//! Field values that are numbers, booleans, and timestamps, read in place.
//!
//! Digits are read many at a time ([`digits`](super::digits)), floats rounded by a division or a multiplication or two
//! ([`decimal`](super::decimal)). The fast ways take what is common and promise nothing else: all the rest, and every error, is left to one
//! slow reader of the whole grammar. Results are correctly rounded.
//!
//! What costs here is a wrong guess of the processor, so nothing branches on what varies from value to value (how many digits, which sign,
//! which spelling), but on what a column keeps to (suffix, point, more than 7 digits or not). Results are taken apart and put together
//! again where a slow way returns: else the position goes through memory, 4 to 5 cycles on every number's chain.
//!
//! Tried and left (AMD Zen 4, 2.6 GHz): the end of a short float from two words instead of the 32-byte mask (9.1 ns instead of 8.6), the
//! point taken out of a word of up to 8 bytes (7.8 ns, but 11.1 where some values are longer), one branch for a minus and a digit (cpu
//! data 5 % slower).

use super::decimal::double;
use super::digits::{POWERS, digits, few_digits, other_than_digits};
use super::grammar::{ErrorKind, Precision, TIME_NS_MAX};
use super::scan::vector::{Decimal, Vector};
use super::text::Padded;

/// A number as its suffix says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Float(f64),
    Integer(i64),
    Unsigned(u64),
}

/// Digits that always fit in a u64, and in an i64.
const DIGITS_U64: usize = 19;
const DIGITS_I64: usize = 18;

/// Whether a value ends at `at`: comma, space or line end.
#[inline(always)]
pub fn ends_value(body: &Padded<'_>, at: usize) -> bool {
    matches!(body.at(at), b',' | b' ') || line_ends(body, at)
}

/// Apart, for most values end otherwise.
#[cold]
#[inline(never)]
fn line_ends(body: &Padded<'_>, at: usize) -> bool {
    body.ends_line(at)
}

/// The most common float: up to 15 digits, with a point or without, and then a comma or a space. Returns it with the position behind it; `None`
/// promises nothing.
#[inline(always)]
pub fn short_float<V: Vector>(body: &Padded<'_>, at: usize) -> Option<(f64, usize)> {
    let (decimal, first, negative) = decimal::<V>(body, at)?;
    let end = first + decimal.bytes;
    if !matches!(body.at(end), b',' | b' ') {
        return None;
    }
    // Both are exact, so that the quotient is rounded once.
    let float = decimal.mantissa as f64 / EXACT[decimal.decimals];
    Some((with_sign(float, negative), end))
}

/// An integer of up to 15 digits, its `i`, and then a comma or a space. Returns it with the position behind it; `None` promises nothing.
#[inline(always)]
pub fn medium_integer<V: Vector>(body: &Padded<'_>, at: usize) -> Option<(i64, usize)> {
    let (decimal, first, negative) = decimal::<V>(body, at)?;
    let end = first + decimal.bytes;
    let is_integer = decimal.digits == decimal.bytes && body.at(end) == b'i';
    if !is_integer || !matches!(body.at(end + 1), b',' | b' ') {
        return None;
    }
    Some((signed(decimal.mantissa, negative), end + 1))
}

/// The digits at `at`, where they start, and whether a minus stands before them.
#[inline(always)]
fn decimal<V: Vector>(body: &Padded<'_>, at: usize) -> Option<(Decimal, usize, bool)> {
    let negative = body.at(at) == b'-';
    let first = at + usize::from(negative);
    Some((V::decimal([body.eight(first), body.ahead(first, 8)])?, first, negative))
}

/// The powers of ten that [`short_float`] divides by.
const EXACT: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Reads the number that starts at `at` with `-`, `.` or a digit; returns it with the position behind it.
#[inline(always)]
pub fn number(body: &Padded<'_>, at: usize) -> Result<(Number, usize), ErrorKind> {
    let negative = body.at(at) == b'-';
    let first = at + usize::from(negative);
    let (value, end) = match few_digits(body, at, negative) {
        Some(few) => few,
        None => many_digits(body, at, negative),
    };
    let count = end - first;
    match body.at(end) {
        b'i' if (1..=DIGITS_I64).contains(&count) && ends_value(body, end + 1) => {
            return Ok((Number::Integer(signed(value, negative)), end + 1));
        }
        b',' | b' ' if (1..=DIGITS_I64).contains(&count) => {
            return Ok((Number::Float(with_sign(value as i64 as f64, negative)), end));
        }
        b'.' => {
            if let Some((float, end)) = fraction(body, at, negative, value, end) {
                return Ok((Number::Float(float), end));
            }
        }
        b'u' if (1..=DIGITS_U64).contains(&count) && !negative && ends_value(body, end + 1) => {
            return Ok((Number::Unsigned(value), end + 1));
        }
        _ => {}
    }
    match any_number(body, at) {
        Ok((number, end)) => Ok((number, end)),
        Err(kind) => Err(kind),
    }
}

/// The value of the digits of the number at `at` modulo 2^64, and the position behind them, but at most 32 bytes on.
#[inline(always)]
fn many_digits(body: &Padded<'_>, at: usize, negative: bool) -> (u64, usize) {
    let others = other_than_digits(body, at) & !u32::from(negative);
    let first = at + usize::from(negative);
    let end = at + others.trailing_zeros() as usize;
    (digits(body, first, end - first, 0), end)
}

/// Reads on behind the digits of the number at `at`, which are worth `whole`, and the point at `point`: the float and the position behind
/// it. `None` if it has more than 19 digits, or promises nothing.
#[inline(always)]
fn fraction(body: &Padded<'_>, at: usize, negative: bool, whole: u64, point: usize) -> Option<(f64, usize)> {
    let first = at + usize::from(negative);
    let others = other_than_digits(body, at) & !u32::from(negative);
    // Without the point.
    let others = others & others.wrapping_sub(1);
    let end = at + others.trailing_zeros() as usize;
    let count = end - first - 1;
    // 32 bytes without an end hold too many digits, too.
    if count == 0 || count > DIGITS_U64 && count - leading_zeros(body, first) > DIGITS_U64 {
        return None;
    }
    let decimals = end - point - 1;
    let mantissa = digits(body, point + 1, decimals, whole);
    let power = -(decimals as i32);
    match body.at(end) {
        b',' | b' ' => Some((with_sign(double(mantissa, power)?, negative), end)),
        b'e' | b'E' => {
            let (exponent, end) = exponent(body, at, others)?;
            let float = double(mantissa, power + exponent)?;
            ends_value(body, end).then_some((with_sign(float, negative), end))
        }
        _ => None,
    }
}

/// Zeros that lead the digits at `first`, at most 9 and none but as in `0.00`.
#[cold]
#[inline(never)]
fn leading_zeros(body: &Padded<'_>, first: usize) -> usize {
    let zero_and_point = body.at(first) == b'0' && body.at(first + 1) == b'.';
    if zero_and_point { 1 + (first + 2..first + 10).take_while(|at| body.at(*at) == b'0').count() } else { 0 }
}

/// Reads an exponent of 1 to 3 digits whose `e` is the first of `others`; returns it with the position behind it.
#[inline(always)]
fn exponent(body: &Padded<'_>, at: usize, others: u32) -> Option<(i32, usize)> {
    let sign = at + others.trailing_zeros() as usize + 1;
    let others = others & others.wrapping_sub(1);
    let negative = body.at(sign) == b'-';
    let (first, others) =
        if negative || body.at(sign) == b'+' { (sign + 1, others & others.wrapping_sub(1)) } else { (sign, others) };
    let end = at + others.trailing_zeros() as usize;
    let count = end - first;
    if !(1..=3).contains(&count) {
        return None;
    }
    let magnitude = digits(body, first, count, 0) as i32;
    Some((if negative { -magnitude } else { magnitude }, end))
}

#[inline(always)]
fn signed(magnitude: u64, negative: bool) -> i64 {
    let ones = i64::from(negative).wrapping_neg();
    (magnitude as i64 ^ ones).wrapping_sub(ones)
}

#[inline(always)]
fn with_sign(magnitude: f64, negative: bool) -> f64 {
    f64::from_bits(magnitude.to_bits() | u64::from(negative) << 63)
}

/// Reads every number that is one, and says what is wrong with those that are not.
#[cold]
#[inline(never)]
fn any_number(body: &Padded<'_>, at: usize) -> Result<(Number, usize), ErrorKind> {
    let negative = body.at(at) == b'-';
    let first = at + usize::from(negative);
    let end = digits_end(body, first);
    match body.at(end) {
        b'i' if end > first && ends_value(body, end + 1) => {
            let integer = long_integer(body, first, end, negative).ok_or(ErrorKind::IntegerOutOfRange)?;
            Ok((Number::Integer(integer), end + 1))
        }
        b'u' if end > first && !negative && ends_value(body, end + 1) => {
            let unsigned = long_unsigned(body, first, end).ok_or(ErrorKind::UnsignedOutOfRange)?;
            Ok((Number::Unsigned(unsigned), end + 1))
        }
        _ => any_float(body, at, first),
    }
}

/// Any float, correctly rounded; its digits start at `first`.
fn any_float(body: &Padded<'_>, at: usize, first: usize) -> Result<(Number, usize), ErrorKind> {
    let mut end = digits_end(body, first);
    let mut count = end - first;
    if body.at(end) == b'.' {
        let behind = digits_end(body, end + 1);
        count += behind - (end + 1);
        end = behind;
    }
    if count == 0 {
        return Err(ErrorKind::InvalidNumber);
    }
    if matches!(body.at(end), b'e' | b'E') {
        let first = end + 1 + usize::from(matches!(body.at(end + 1), b'+' | b'-'));
        end = digits_end(body, first);
        if end == first {
            return Err(ErrorKind::InvalidNumber);
        }
    }
    if !ends_value(body, end) {
        return Err(ErrorKind::InvalidNumber);
    }
    match fast_float2::parse::<f64, _>(body.slice(at, end)) {
        Ok(float) if float.is_finite() => Ok((Number::Float(float), end)),
        Ok(_) => Err(ErrorKind::FloatOutOfRange),
        Err(_) => Err(ErrorKind::InvalidNumber),
    }
}

/// The position behind the digits from `at` on.
fn digits_end(body: &Padded<'_>, at: usize) -> usize {
    (at..).find(|at| !body.at(*at).is_ascii_digit()).unwrap_or(at)
}

/// Leading zeros are free, the rest must fit.
fn long_unsigned(body: &Padded<'_>, first: usize, end: usize) -> Option<u64> {
    body.slice(first, end)
        .iter()
        .try_fold(0u64, |value, byte| value.checked_mul(10)?.checked_add(u64::from(byte - b'0')))
}

fn long_integer(body: &Padded<'_>, first: usize, end: usize, negative: bool) -> Option<i64> {
    let magnitude = long_unsigned(body, first, end)?;
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// Reads the timestamp that starts at `at` (no space); nanoseconds, and the position behind it (a space or the line end).
#[inline(always)]
pub fn timestamp<V: Vector>(body: &Padded<'_>, at: usize, precision: Precision) -> Result<(i64, usize), ErrorKind> {
    if precision == Precision::Nanosecond {
        if let Some((ns, end)) = exactly::<V>(body, at, 19)
            && ns <= TIME_NS_MAX
        {
            return Ok((ns, end));
        }
    } else if let Some((units, end)) = exactly::<V>(body, at, usual_digits(precision)) {
        return precision.scale(units).map(|ns| (ns, end)).ok_or(ErrorKind::TimeOutOfRange);
    }
    let others = other_than_digits(body, at);
    let negative = body.at(at) == b'-';
    let first = at + usize::from(negative);
    let end = at + (others & !u32::from(negative)).trailing_zeros() as usize;
    let count = end - first;
    if (1..=DIGITS_I64).contains(&count) && (body.at(end) == b' ' || body.ends_line(end)) {
        let units = signed(digits(body, first, count, 0), negative);
        return precision.scale(units).map(|ns| (ns, end)).ok_or(ErrorKind::TimeOutOfRange);
    }
    match any_timestamp(body, at, precision) {
        Ok((ns, end)) => Ok((ns, end)),
        Err(kind) => Err(kind),
    }
}

/// The value of `count` digits at `at`, and the position behind them, if an LF follows and an i64 holds it: that nothing is counted lets
/// the processor go on before it has looked.
#[inline(always)]
fn exactly<V: Vector>(body: &Padded<'_>, at: usize, count: usize) -> Option<(i64, usize)> {
    if body.at(at + count) != b'\n' {
        return None;
    }
    let value = match count.checked_sub(16) {
        Some(0) => V::digits_16([body.eight(at), body.eight(at + 8)], 16)?,
        Some(behind) => {
            let first = V::digits_16([body.eight(at), body.eight(at + 8)], 16)?;
            first * POWERS[behind] + V::digits(body.eight(at + 16), behind)?
        }
        None if count > 8 => V::digits_16([body.eight(at), body.eight(at + 8)], count)?,
        None => V::digits(body.eight(at), count)?,
    };
    Some((i64::try_from(value).ok()?, at + count))
}

/// Digits of a timestamp of the years 2001 to 2286.
#[inline(always)]
fn usual_digits(precision: Precision) -> usize {
    match precision {
        Precision::Nanosecond => 19,
        Precision::Microsecond => 16,
        Precision::Millisecond => 13,
        Precision::Second => 10,
        Precision::Minute => 8,
        Precision::Hour => 6,
    }
}

/// Reads every timestamp that is one, and says what is wrong with those that are not.
#[cold]
#[inline(never)]
fn any_timestamp(body: &Padded<'_>, at: usize, precision: Precision) -> Result<(i64, usize), ErrorKind> {
    let negative = body.at(at) == b'-';
    let first = at + usize::from(negative);
    let end = digits_end(body, first);
    if end == first || !(body.at(end) == b' ' || body.ends_line(end)) {
        return Err(ErrorKind::BadTimestamp);
    }
    let units = long_integer(body, first, end, negative).ok_or(ErrorKind::TimeOutOfRange)?;
    precision.scale(units).map(|ns| (ns, end)).ok_or(ErrorKind::TimeOutOfRange)
}

/// Reads one of the ten spellings of a boolean; returns it with the position behind it.
///
/// Without a branch between the spellings: which one comes is often random.
#[inline(always)]
pub fn boolean(body: &Padded<'_>, at: usize) -> Result<(bool, usize), ErrorKind> {
    /// The bit that tells lower case from upper, in 8 bytes.
    const LOWER: u64 = 0x2020_2020_2020_2020;
    let word = body.eight(at);
    let lower = word | LOWER;
    let value = lower as u8 == b't';
    let is_true = lower as u32 == u32::from_le_bytes(*b"true");
    let is_false = lower << 24 == u64::from_le_bytes(*b"\0\0\0false");
    let length = 1 + 3 * usize::from(is_true) + 4 * usize::from(is_false);
    // All letters behind the first are lower case, or all letters are upper case.
    let cases = word & LOWER >> (64 - 8 * length);
    let behind_first = LOWER >> (64 - 8 * length) & !0xFF;
    let good = (value || lower as u8 == b'f') && (cases & behind_first == behind_first || cases == 0);
    if good && ends_value(body, at + length) { Ok((value, at + length)) } else { Err(ErrorKind::InvalidBoolean) }
}

#[cfg(test)]
mod tests;
