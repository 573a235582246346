//! A row whose fields a sink expects, read in one go.

use super::digits::short_integer;
use super::number::{Number, boolean, medium_integer, number, short_float};
use super::scan::begins_with_short;
use super::scan::vector::{Task, Vector};
use super::sink::{ExpectedField, Word};
use super::text::Padded;

/// Reads the fields that a sink expects, as far as they come: the whole of most lines, in a function of its own, so that all it works with
/// stays in registers. Returns how many came, and the position behind the last one's value. What is not as expected, or not right, is left.
pub(super) struct ReadExpected<'p, 'b> {
    pub body: &'p Padded<'b>,
    pub at: usize,
    pub expected: (&'p mut [ExpectedField], &'p mut [u64]),
}

impl Task for ReadExpected<'_, '_> {
    type Output = (usize, usize);

    #[inline(always)]
    fn run<V: Vector>(self) -> Self::Output {
        let Self { body, at: first, expected: (fields, values) } = self;
        let (mut at, mut end, mut count) = (first, first, 0);
        for (field, value) in fields.iter_mut().zip(values) {
            if !begins_with_short::<V>(body.rest(at), &field.name, field.len as usize) {
                break;
            }
            at += field.len as usize;
            let Some((word, behind)) = value_of::<V>(body, at, field) else { break };
            *value = word;
            end = behind;
            count += 1;
            if body.at(end) != b',' {
                break;
            }
            at = end + 1;
        }
        (count, end)
    }
}

/// The bits of the field's value at `at`, and the position behind it: a comma, a space or the line end.
#[inline(always)]
fn value_of<V: Vector>(body: &Padded<'_>, at: usize, field: &mut ExpectedField) -> Option<(u64, usize)> {
    let digits = usize::from(field.guess.digits);
    if digits != 0
        && let Some(integer) = integer_of::<V>(body, at, digits)
        && matches!(body.at(at + digits + 1), b',' | b' ')
    {
        return Some((integer, at + digits + 1));
    }
    if let Some((integer, bytes, b',' | b' ')) = short_integer::<V>(body, at)
        && field.word == Word::Integer
    {
        field.guess.learn(bytes - 1);
        return Some((integer as u64, at + bytes));
    }
    let quick = match field.word {
        Word::Float => short_float::<V>(body, at).map(|(float, end)| (float.to_bits(), end)),
        Word::Integer => medium_integer::<V>(body, at).map(|(integer, end)| (integer as u64, end)),
        _ => None,
    };
    // SAFETY: this parser runs on `V`. Out of line, so that it takes no register from the loop.
    let slow = || unsafe { V::run(ReadWord { body, at, word: field.word }) };
    let (word, end) = quick.or_else(slow)?;
    if field.word == Word::Integer {
        let digits = end - at - 1;
        field.guess.learn(if digits <= 16 && body.at(at) != b'-' { digits } else { 0 });
    }
    Some((word, end))
}

/// The integer at `at`, if it has so many digits, 1 to 16.
#[inline(always)]
fn integer_of<V: Vector>(body: &Padded<'_>, at: usize, digits: usize) -> Option<u64> {
    if body.at(at + digits) != b'i' {
        return None;
    }
    if digits <= 8 {
        V::digits(body.eight(at), digits)
    } else {
        V::digits_16([body.eight(at), body.eight(at + 8)], digits)
    }
}

/// [`word`], out of line.
struct ReadWord<'p, 'b> {
    body: &'p Padded<'b>,
    at: usize,
    word: Word,
}

impl Task for ReadWord<'_, '_> {
    type Output = Option<(u64, usize)>;

    #[inline(always)]
    fn run<V: Vector>(self) -> Self::Output {
        word(self.body, self.at, self.word)
    }
}

/// The value at `at`, if it is of this type, and the position behind it: a comma, a space or the line end.
#[inline(always)]
fn word(body: &Padded<'_>, at: usize, word: Word) -> Option<(u64, usize)> {
    if word == Word::Boolean {
        let (value, end) = boolean(body, at).ok()?;
        return Some((u64::from(value), end));
    }
    if !matches!(body.at(at), b'0'..=b'9' | b'-' | b'.') {
        return None;
    }
    match (number(body, at).ok()?, word) {
        ((Number::Float(value), end), Word::Float) => Some((value.to_bits(), end)),
        ((Number::Integer(value), end), Word::Integer) => Some((value as u64, end)),
        ((Number::Unsigned(value), end), Word::Unsigned) => Some((value, end)),
        _ => None,
    }
}
