//! The fast parser: one pass over a body, straight into a [`Sink`].
//!
//! Most lines repeat what the last ones said: the same series, the same fields in the same order. So the parser does not scan for what
//! it can compare. It asks the sink which series comes next and compares that key's bytes in place; after a miss it looks the whole key
//! up as one blob of bytes; only a key never seen is split into measurement and tags. Field names go the same way: the sink knows the
//! name that should follow, and `name=` is compared in place. Values are read where they stand; nothing is copied but strings.
//!
//! What keeps the short cuts exact: a cached key was once delimited by the rules (up to the first unescaped space), so the same
//! bytes followed by a space are delimited the same way; a field name is decided by its own bytes up to `=` alike.
//!
//! The first bad line ends the work for the sink (the caller rolls back); from there on lines are only judged, slowly, so that the
//! answer can list the others.

use super::grammar::{ERRORS_MAX, ErrorKind, KEY_BYTES_MAX, LineError, Precision};
use super::number::{Number, boolean, number, timestamp};
use super::scan::generic::find;
use super::scan::vector::Vector;
use super::scan::{Kernel, Swar};
use super::split::{FIELD_KEY_ESCAPES, Key, unescape};
use super::text::Padded;

/// Takes the points of a body. The order of calls per point: one of the `series` calls, for each field one of the `field` calls and one
/// value, then `point`.
pub trait Sink {
    /// If the series that the sink expects next stands at `at` and a space follows it: selects it and returns its key's length.
    fn expected_series<V: Vector>(&mut self, body: &Padded<'_>, at: usize) -> Option<usize>;

    /// Selects the series with this key as written, if the sink has met it.
    fn known_series(&mut self, key: &[u8]) -> bool;

    /// Selects a series whose key was written as `raw`, and remembers it.
    fn new_series(&mut self, raw: &[u8], key: &Key<'_>);

    /// If `name=` of the field expected next stands at `at`: selects that field and returns the name's length (without the `=`).
    fn expected_field<V: Vector>(&mut self, body: &Padded<'_>, at: usize) -> Option<usize>;

    /// Selects a field by name: as written and unescaped.
    fn field(&mut self, raw: &[u8], name: &[u8]);

    fn float(&mut self, value: f64);
    fn integer(&mut self, value: i64);
    fn unsigned(&mut self, value: u64);
    fn boolean(&mut self, value: bool);
    /// A string as written between its quotes; `escaped` if it holds a backslash.
    fn string(&mut self, raw: &[u8], escaped: bool);

    /// Ends the point. `false` stops the parser: the sink is out of memory.
    #[must_use]
    fn point(&mut self, time_ns: i64) -> bool;
}

/// How a body is to be read.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub kernel: Kernel,
    pub precision: Precision,
    /// Nanoseconds that a point without a timestamp gets (already cut to the precision).
    pub default_time_ns: i64,
    /// The body was found to be UTF-8. If not, each line is checked by itself.
    pub utf8: bool,
}

/// How a body ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every line was good; this many were points.
    Complete { points: u64 },
    /// Bad lines in order of appearance, at most [`ERRORS_MAX`]; `more` if the body was not read to its end because of that.
    Bad { errors: Vec<LineError>, more: bool },
    /// The sink stopped.
    Stopped,
}

/// Reads all lines of `body` into `sink`.
pub fn parse<S: Sink>(body: Padded<'_>, options: Options, sink: &mut S) -> Outcome {
    match options.kernel {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a kernel is made by `Kernel::available`, which found AVX2, BMI1 and BMI2.
        Kernel::Avx2 => unsafe { dispatch::avx2(body, options, sink) },
        #[cfg(target_arch = "x86_64")]
        Kernel::Sse2 => Parser { body, options }.run::<super::scan::Sse2, S>(sink),
        Kernel::Portable => Parser { body, options }.run::<Swar, S>(sink),
    }
}

#[cfg(target_arch = "x86_64")]
mod dispatch {
    use super::*;

    #[target_feature(enable = "avx2,bmi1,bmi2")]
    pub(super) fn avx2<S: Sink>(body: Padded<'_>, options: Options, sink: &mut S) -> Outcome {
        Parser { body, options }.run::<crate::line::scan::Avx2, S>(sink)
    }
}

/// What stands at the start of a line.
enum Start {
    /// Nothing, or a comment; the next line starts there.
    Skip { next: usize },
    /// A point starts there.
    Point { at: usize },
}

struct Parser<'a> {
    body: Padded<'a>,
    options: Options,
}

impl<'a> Parser<'a> {
    #[inline(always)]
    fn run<V: Vector, S: Sink>(&self, sink: &mut S) -> Outcome {
        let mut points = 0;
        let mut at = 0;
        while at < self.body.len() {
            match self.start(at) {
                Start::Skip { next } => at = next,
                Start::Point { at: start } => {
                    if !self.options.utf8 && !self.line_is_utf8(start) {
                        return self.judge_from(at);
                    }
                    match self.point::<V, S>(start, sink) {
                        Ok(Some(next)) => at = next,
                        Ok(None) => return Outcome::Stopped,
                        Err(_) => return self.judge_from(at),
                    }
                    points += 1;
                }
            }
        }
        Outcome::Complete { points }
    }

    #[inline(always)]
    fn start(&self, at: usize) -> Start {
        let at = self.skip_white(at);
        if at >= self.body.len() {
            return Start::Skip { next: self.body.len() };
        }
        match self.body.at(at) {
            b'#' => self.comment(at),
            b'\n' | b'\r' if self.body.ends_line(at) => Start::Skip { next: self.body.after_line_end(at) },
            _ => Start::Point { at },
        }
    }

    #[cold]
    fn comment(&self, at: usize) -> Start {
        let rest = self.body.slice(at, self.body.len());
        let next = memchr::memchr(b'\n', rest).map_or(self.body.len(), |feed| at + feed + 1);
        Start::Skip { next }
    }

    /// Reads the point that starts at `start`; returns where the next line starts, or `None` if the sink wants no more.
    #[inline(always)]
    fn point<V: Vector, S: Sink>(&self, start: usize, sink: &mut S) -> Result<Option<usize>, ErrorKind> {
        let key_bytes = match sink.expected_series::<V>(&self.body, start) {
            Some(bytes) => bytes,
            None => self.key::<V, S>(start, sink)?,
        };
        let mut at = self.skip_white(start + key_bytes + 1);
        if at >= self.body.len() || self.body.ends_line(at) {
            return Err(ErrorKind::MissingFields);
        }
        loop {
            at = self.field_key::<V, S>(at, key_bytes, sink)?;
            at = self.value::<V, S>(at, sink)?;
            if self.body.at(at) != b',' {
                break;
            }
            at += 1;
        }
        let mut time = self.options.default_time_ns;
        if self.body.at(at) == b' ' {
            at = self.skip_white(at);
            if !self.body.ends_line(at) {
                (time, at) = timestamp(&self.body, at, self.options.precision)?;
                while self.body.at(at) == b' ' {
                    at += 1;
                }
                if !self.body.ends_line(at) {
                    return Err(ErrorKind::TextAfterPoint);
                }
            }
        }
        Ok(sink.point(time).then(|| self.body.after_line_end(at)))
    }

    /// Delimits and selects the series at `start`; returns its key's length. A space follows the key.
    #[inline(never)]
    fn key<V: Vector, S: Sink>(&self, start: usize, sink: &mut S) -> Result<usize, ErrorKind> {
        let end = self.unescaped::<V, 2>(start, start, *b" \n");
        let raw = self.body.slice(start, self.without_return(start, end));
        let complete = end < self.body.len() && self.body.at(end) == b' ';
        if !(complete && sink.known_series(raw)) {
            let key = Key::split(raw)?;
            if !complete {
                return Err(ErrorKind::MissingFields);
            }
            sink.new_series(raw, &key);
        }
        Ok(raw.len())
    }

    /// Selects the field whose key starts at `at`; returns where its value starts.
    #[inline(always)]
    fn field_key<V: Vector, S: Sink>(&self, at: usize, key_bytes: usize, sink: &mut S) -> Result<usize, ErrorKind> {
        let name_bytes = match sink.expected_field::<V>(&self.body, at) {
            Some(bytes) => bytes,
            None => self.new_field_key::<V, S>(at, sink, key_bytes)?,
        };
        if key_bytes + 4 + name_bytes > KEY_BYTES_MAX {
            return Err(ErrorKind::KeyTooLong(key_bytes + 4 + name_bytes));
        }
        Ok(at + name_bytes + 1)
    }

    #[inline(never)]
    fn new_field_key<V: Vector, S: Sink>(
        &self,
        start: usize,
        sink: &mut S,
        key_bytes: usize,
    ) -> Result<usize, ErrorKind> {
        if start >= self.body.len() || self.body.ends_line(start) || matches!(self.body.at(start), b'=' | b',') {
            return Err(ErrorKind::MissingFieldKey);
        }
        let end = self.unescaped::<V, 4>(start, start, *b"=, \n");
        if end >= self.body.len() || self.body.at(end) != b'=' {
            return Err(ErrorKind::InvalidFieldFormat);
        }
        let raw = self.body.slice(start, end);
        // A key that is too long must not bear a column.
        if key_bytes + 4 + raw.len() <= KEY_BYTES_MAX {
            sink.field(raw, &unescape(raw, FIELD_KEY_ESCAPES));
        }
        Ok(raw.len())
    }

    /// Reads the value at `at`; returns the position behind it: a comma, a space or the line end.
    #[inline(always)]
    fn value<V: Vector, S: Sink>(&self, at: usize, sink: &mut S) -> Result<usize, ErrorKind> {
        match self.body.at(at) {
            b'0'..=b'9' | b'-' | b'.' => {
                let (number, end) = number(&self.body, at)?;
                match number {
                    Number::Integer(value) => sink.integer(value),
                    Number::Float(value) => sink.float(value),
                    Number::Unsigned(value) => sink.unsigned(value),
                }
                Ok(end)
            }
            b'"' => self.string::<V, S>(at + 1, sink),
            b',' | b' ' => Err(ErrorKind::MissingFieldValue),
            _ if self.body.ends_line(at) => Err(ErrorKind::MissingFieldValue),
            _ => {
                let (value, end) = boolean(&self.body, at)?;
                sink.boolean(value);
                Ok(end)
            }
        }
    }

    /// Reads the string whose first byte is at `start`.
    #[inline(always)]
    fn string<V: Vector, S: Sink>(&self, start: usize, sink: &mut S) -> Result<usize, ErrorKind> {
        let mut at = start;
        let mut escaped = false;
        loop {
            at = find::<V, 2>(&self.body, at, *b"\"\\");
            if at >= self.body.len() {
                return Err(ErrorKind::UnbalancedQuotes);
            }
            if self.body.at(at) == b'"' {
                break;
            }
            escaped = true;
            // The backslash takes the next byte with it; behind the last byte there is none.
            at = (at + 2).min(self.body.len());
        }
        if !super::number::ends_value(&self.body, at + 1) {
            return Err(ErrorKind::TextAfterString);
        }
        sink.string(self.body.slice(start, at), escaped);
        Ok(at + 1)
    }

    #[inline(always)]
    fn skip_white(&self, mut at: usize) -> usize {
        while matches!(self.body.at(at), b' ' | b'\t') {
            at += 1;
        }
        at
    }

    /// Position of the first byte of `set` from `at` on that no backslash of this token (from `start` on) stands right before.
    #[inline(always)]
    fn unescaped<V: Vector, const N: usize>(&self, start: usize, mut at: usize, set: [u8; N]) -> usize {
        loop {
            at = find::<V, N>(&self.body, at, set);
            if at >= self.body.len() || at == start || self.body.at(at - 1) != b'\\' {
                return at;
            }
            at += 1;
        }
    }

    /// `end` of a line, or before its CR.
    fn without_return(&self, start: usize, end: usize) -> usize {
        let ends_line = end >= self.body.len() || self.body.at(end) == b'\n';
        if ends_line && end > start && self.body.at(end - 1) == b'\r' { end - 1 } else { end }
    }
}

/// Judging without a sink, after the first bad line.
impl Parser<'_> {
    fn line_is_utf8(&self, start: usize) -> bool {
        let (end, _) = self.extent(start);
        std::str::from_utf8(self.body.slice(start, end)).is_ok()
    }

    /// Lists the bad lines from the line at `at` on; all before it are good.
    #[cold]
    #[inline(never)]
    fn judge_from(&self, mut at: usize) -> Outcome {
        let mut errors = Vec::new();
        let mut line = 1;
        let mut counted = 0;
        while at < self.body.len() {
            let start = match self.start(at) {
                Start::Skip { next } => {
                    at = next;
                    continue;
                }
                Start::Point { at } => at,
            };
            if errors.len() == ERRORS_MAX {
                return Outcome::Bad { errors, more: true };
            }
            let verdict = if self.options.utf8 || self.line_is_utf8(start) {
                self.point::<Swar, Judge>(start, &mut Judge)
            } else {
                Err(ErrorKind::InvalidUtf8)
            };
            at = match verdict {
                Ok(next) => next.unwrap_or(self.body.len()),
                Err(kind) => {
                    line += memchr::memchr_iter(b'\n', self.body.slice(counted, start)).count() as u64;
                    counted = start;
                    let (end, next) = self.extent(start);
                    errors.push(LineError { line, start, end, kind });
                    next
                }
            };
        }
        Outcome::Bad { errors, more: false }
    }

    /// The end of the line that starts at `start` (no white space, no comment), without its CR; and the start of the next line.
    fn extent(&self, start: usize) -> (usize, usize) {
        let body = self.body.as_bytes();
        let mut in_fields = false;
        let (mut equals, mut commas) = (0u64, 0u64);
        let mut at = start;
        while at < body.len() {
            let escaped = at > start && body[at - 1] == b'\\';
            match body[at] {
                b'\n' if !escaped => break,
                b' ' if !escaped => in_fields = true,
                b'=' if in_fields && !escaped => equals += 1,
                b',' if in_fields && !escaped => commas += 1,
                b'"' if in_fields && !escaped && equals > commas => match string_end(body, at + 1) {
                    Some(end) => at = end,
                    // A CR at its end is inside of the string.
                    None => return (body.len(), body.len()),
                },
                _ => {}
            }
            at += 1;
        }
        (self.without_return(start, at), (at + 1).min(body.len()))
    }
}

/// Position of the quote that closes the string starting at `at`.
fn string_end(body: &[u8], mut at: usize) -> Option<usize> {
    while at < body.len() {
        match body[at] {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

/// Accepts everything: what is left to find out is whether a line is good.
struct Judge;

impl Sink for Judge {
    fn expected_series<V: Vector>(&mut self, _: &Padded<'_>, _: usize) -> Option<usize> {
        None
    }
    fn known_series(&mut self, _: &[u8]) -> bool {
        false
    }
    fn new_series(&mut self, _: &[u8], _: &Key<'_>) {}
    fn expected_field<V: Vector>(&mut self, _: &Padded<'_>, _: usize) -> Option<usize> {
        None
    }
    fn field(&mut self, _: &[u8], _: &[u8]) {}
    fn float(&mut self, _: f64) {}
    fn integer(&mut self, _: i64) {}
    fn unsigned(&mut self, _: u64) {}
    fn boolean(&mut self, _: bool) {}
    fn string(&mut self, _: &[u8], _: bool) {}
    fn point(&mut self, _: i64) -> bool {
        true
    }
}
