//! The fast parser: one pass over a body, straight into a [`Sink`].
//!
//! Most lines repeat what the last ones said: the same series, the same fields in the same order. So the parser does not scan for what
//! it can compare. It asks the sink which series comes next and compares that key's bytes in place; after a miss it looks the whole key
//! up as one blob of bytes; only a key that the sink does not know is split into measurement and tags. Field names go the same way: the sink knows the
//! name that should follow, and `name=` is compared in place. Values are read where they stand; nothing is copied but strings.
//!
//! What keeps the short cuts exact: a cached key was once delimited by the rules (up to the first unescaped space), so the same
//! bytes followed by a space are delimited the same way; a field name is decided by its own bytes up to `=` alike.
//!
//! No byte is looked at only to see whether it is UTF-8: what is equal to something known is known to be, numbers are, and strings are looked
//! through for their quotes anyway. What is new and not ASCII is checked.
//!
//! The first bad line ends the work for the sink (the caller rolls back); from there on lines are only judged (`judge`).

use super::digits::short_integer;
use super::expected::ReadExpected;
use super::grammar::{ErrorKind, KEY_BYTES_MAX, LineError, Precision};
use super::number::{Number, boolean, ends_value, number, short_float, timestamp};
use super::scan::Kernel;
use super::scan::generic::{StringEnd, find_name, string_end};
use super::scan::vector::{Task, Vector};
use super::sink::{End, FieldName, Row, Sink};
use super::split::Splitter;
use super::text::Padded;

/// How a body is to be read.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub kernel: Kernel,
    pub precision: Precision,
    /// Nanoseconds that a point without a timestamp gets (already cut to the precision).
    pub default_time_ns: i64,
}

/// How a body ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every line was good; this many were points.
    Complete { points: u64 },
    /// Bad lines in order of appearance, at most [`ERRORS_MAX`](super::grammar::ERRORS_MAX); `more` if there are others.
    Bad { errors: Vec<LineError>, more: bool },
    /// The sink stopped.
    Stopped,
}

/// Reads all lines of `body` into `sink`.
pub fn parse<S: Sink>(body: Padded<'_>, options: Options, sink: &mut S) -> Outcome {
    struct Run<'a, 'b, S> {
        parser: Parser<'b>,
        sink: &'a mut S,
    }

    impl<S: Sink> Task for Run<'_, '_, S> {
        type Output = Outcome;

        #[inline(always)]
        fn run<V: Vector>(self) -> Outcome {
            self.parser.run::<V, S>(self.sink)
        }
    }

    options.kernel.run(Run { parser: Parser { body, options }, sink })
}

/// What stands at the start of a line.
pub(super) enum Start {
    /// Nothing, or a comment; the next line starts there.
    Skip { next: usize },
    /// A point starts there.
    Point { at: usize },
}

pub(super) struct Parser<'b> {
    pub body: Padded<'b>,
    pub options: Options,
}

impl<'b> Parser<'b> {
    #[inline(always)]
    fn run<V: Vector, S: Sink>(&self, sink: &mut S) -> Outcome {
        let mut splitter = Splitter::default();
        sink.begin();
        let mut points = 0;
        let mut at = 0;
        while at < self.body.len() {
            match self.start(at) {
                Start::Skip { next } => at = next,
                Start::Point { at: start } => {
                    match self.point::<V, S>(start, sink, &mut splitter) {
                        Ok(Some(next)) => at = next,
                        Ok(None) => return Outcome::Stopped,
                        Err(_) => {
                            // It may hold much, and judging may need as much.
                            drop(splitter);
                            return self.judge_from(at);
                        }
                    }
                    points += 1;
                }
            }
        }
        Outcome::Complete { points }
    }

    #[inline(always)]
    pub fn start(&self, at: usize) -> Start {
        // One look tells most points from everything else: `!`, `"` and all letters and digits.
        if self.body.at(at) > b'#' {
            return Start::Point { at };
        }
        self.odd_start(at)
    }

    #[inline(never)]
    fn odd_start(&self, at: usize) -> Start {
        let at = self.skip_white(at);
        if at >= self.body.len() {
            return Start::Skip { next: self.body.len() };
        }
        match self.body.at(at) {
            b'#' => {
                let rest = self.body.slice(at, self.body.len());
                let next = memchr::memchr(b'\n', rest).map_or(self.body.len(), |feed| at + feed + 1);
                Start::Skip { next }
            }
            b'\n' | b'\r' if self.body.ends_line(at) => Start::Skip { next: self.body.after_line_end(at) },
            _ => Start::Point { at },
        }
    }

    /// Reads the point that starts at `start`; returns where the next line starts, or `None` if the sink wants no more.
    #[inline(always)]
    pub fn point<V: Vector, S: Sink>(
        &self,
        start: usize,
        sink: &mut S,
        splitter: &mut Splitter<'b>,
    ) -> Result<Option<usize>, ErrorKind> {
        let (series, key_bytes) = match sink.expected_series::<V>(self.body.rest(start)) {
            Some((series, key_bytes)) => (series, self.within(start, key_bytes)),
            // SAFETY: this parser runs on `V`.
            None => unsafe { V::run(ReadKey { parser: self, start, sink, splitter })? },
        };
        let (end, at) = self.row::<V, S::Row<'_>>(start + key_bytes + 1, key_bytes, &mut sink.row(series))?;
        match end {
            End::Written => {}
            End::Refused => sink.take_back(),
            End::Stop => return Ok(None),
        }
        Ok(Some(self.body.after_line_end(at)))
    }

    /// Reads what follows the space behind a key, from `start` on, into `row`; returns how that ended, and where the line ends.
    #[inline(always)]
    fn row<V: Vector, R: Row>(&self, start: usize, key_bytes: usize, row: &mut R) -> Result<(End, usize), ErrorKind> {
        let first = self.skip_white(start);
        let mut at = first;
        let mut more = true;
        if let Some(expected) = row.expected_fields() {
            let (count, end) = if key_bytes <= KEY_BYTES_EASY {
                // SAFETY: this parser runs on `V`.
                unsafe { V::run(ReadExpected { body: &self.body, at, expected }) }
            } else {
                (0, first)
            };
            more = count == 0 || self.body.at(end) == b',';
            row.expected_came(count, more);
            at = end + usize::from(count > 0 && more);
        }
        while more {
            at = self.field_key::<V, R>(at, first, key_bytes, row)?;
            if let Some((integer, bytes, b',')) = short_integer::<V>(&self.body, at) {
                row.integer(integer);
                at += bytes + 1;
                continue;
            }
            at = self.value::<V, R>(at, row)?;
            more = self.body.at(at) == b',';
            at += usize::from(more);
        }
        let (time, at) = self.time::<V>(at)?;
        Ok((row.point(time), at))
    }

    /// Delimits and selects the series at `start`; returns it and its key's length. A space follows the key.
    #[inline(always)]
    fn key<V: Vector, S: Sink>(
        &self,
        start: usize,
        sink: &mut S,
        splitter: &mut Splitter<'b>,
    ) -> Result<(S::Series, usize), ErrorKind> {
        let found = find_name::<V, 2>(&self.body, start, *b" \n");
        let end = found.end;
        let complete = end < self.body.len() && self.body.at(end) == b' ';
        let end = if complete { end } else { self.without_return(start, end) };
        let raw = self.body.slice(start, end);
        if complete && let Some(series) = sink.known_series(raw) {
            return Ok((series, raw.len()));
        }
        let key = splitter.split::<V>(&self.body, start, end, !found.escaped)?;
        if !complete {
            return Err(ErrorKind::MissingFields);
        }
        if !found.ascii && !is_utf8(raw) {
            return Err(ErrorKind::InvalidUtf8);
        }
        Ok((sink.new_series(raw, &key), raw.len()))
    }

    /// Selects the field whose key starts at `at`; returns where its value starts. The point's fields start at `first`.
    #[inline(always)]
    fn field_key<V: Vector, R: Row>(
        &self,
        at: usize,
        first: usize,
        key_bytes: usize,
        row: &mut R,
    ) -> Result<usize, ErrorKind> {
        let name_bytes = match row.expected_field::<V>(self.body.rest(at)) {
            Some(bytes) => self.within(at, bytes),
            // SAFETY: this parser runs on `V`.
            // In line: where fields come in any order, this is what each of them takes.
            None => self.unexpected_field::<V, R>(at, first, key_bytes, row)?,
        };
        if key_bytes + 4 + name_bytes > KEY_BYTES_MAX {
            return Err(ErrorKind::KeyTooLong(key_bytes + 4 + name_bytes));
        }
        Ok(at + name_bytes + 1)
    }

    #[inline(always)]
    fn unexpected_field<V: Vector, R: Row>(
        &self,
        start: usize,
        first: usize,
        key_bytes: usize,
        row: &mut R,
    ) -> Result<usize, ErrorKind> {
        if start >= self.body.len() || self.body.ends_line(start) {
            return Err(if start == first { ErrorKind::MissingFields } else { ErrorKind::MissingFieldKey });
        }
        if matches!(self.body.at(start), b'=' | b',') {
            return Err(ErrorKind::MissingFieldKey);
        }
        let name = find_name::<V, 4>(&self.body, start, *b"=, \n");
        if name.end >= self.body.len() || self.body.at(name.end) != b'=' {
            return Err(ErrorKind::InvalidFieldFormat);
        }
        let raw = self.body.slice(start, name.end);
        if !name.ascii && !is_utf8(raw) {
            return Err(ErrorKind::InvalidUtf8);
        }
        // A key that is too long must not bear a column.
        if key_bytes + 4 + raw.len() <= KEY_BYTES_MAX {
            let hash = quick_hash(&self.body, start, raw.len());
            row.field::<V>(self.body.rest(start), FieldName { raw, plain: !name.escaped, hash });
        }
        Ok(raw.len())
    }

    /// Reads the value at `at`; returns the position behind it: a comma, a space or the line end.
    #[inline(always)]
    fn value<V: Vector, R: Row>(&self, at: usize, row: &mut R) -> Result<usize, ErrorKind> {
        match self.body.at(at) {
            b'0'..=b'9' | b'-' | b'.' => {
                if let Some((float, end)) = short_float::<V>(&self.body, at) {
                    row.float(float);
                    return Ok(end);
                }
                let (number, end) = number(&self.body, at)?;
                match number {
                    Number::Integer(value) => row.integer(value),
                    Number::Float(value) => row.float(value),
                    Number::Unsigned(value) => row.unsigned(value),
                }
                Ok(end)
            }
            b'"' => self.string::<V, R>(at + 1, row),
            b',' | b' ' => Err(ErrorKind::MissingFieldValue),
            _ if self.body.ends_line(at) => Err(ErrorKind::MissingFieldValue),
            _ => {
                let (value, end) = boolean(&self.body, at)?;
                row.boolean(value);
                Ok(end)
            }
        }
    }

    /// Reads the string whose first byte is at `start`.
    #[inline(always)]
    fn string<V: Vector, R: Row>(&self, start: usize, row: &mut R) -> Result<usize, ErrorKind> {
        let StringEnd { at, escaped, ascii } = string_end::<V>(&self.body, start);
        if at >= self.body.len() {
            return Err(ErrorKind::UnbalancedQuotes);
        }
        if !ends_value(&self.body, at + 1) {
            return Err(ErrorKind::TextAfterString);
        }
        let raw = self.body.slice(start, at);
        if !ascii && simdutf8::basic::from_utf8(raw).is_err() {
            return Err(ErrorKind::InvalidUtf8);
        }
        row.string(raw, escaped);
        Ok(at + 1)
    }

    /// Reads what follows the fields: nothing, or a timestamp; returns the time and where the line ends.
    #[inline(always)]
    fn time<V: Vector>(&self, end: usize) -> Result<(i64, usize), ErrorKind> {
        if self.body.at(end) != b' ' {
            return Ok((self.options.default_time_ns, end));
        }
        let at = self.skip_white(end + 1);
        if self.body.ends_line(at) {
            return Ok((self.options.default_time_ns, at));
        }
        let (time, mut at) = timestamp::<V>(&self.body, at, self.options.precision)?;
        while self.body.at(at) == b' ' {
            at += 1;
        }
        if !self.body.ends_line(at) {
            return Err(ErrorKind::TextAfterPoint);
        }
        Ok((time, at))
    }

    /// `bytes`, which a sink says have come from `at` on, and one more behind them. A sink that is wrong must not lead the parser out of the body.
    #[inline(always)]
    fn within(&self, at: usize, bytes: usize) -> usize {
        assert!(bytes < self.body.len() - at, "a sink says that what it expects has come, but the body ends before");
        bytes
    }

    #[inline(always)]
    fn skip_white(&self, mut at: usize) -> usize {
        while matches!(self.body.at(at), b' ' | b'\t') {
            at += 1;
        }
        at
    }

    /// `end` of a line, or before its CR.
    pub fn without_return(&self, start: usize, end: usize) -> usize {
        let ends_line = end >= self.body.len() || self.body.at(end) == b'\n';
        if ends_line && end > start && self.body.at(end - 1) == b'\r' { end - 1 } else { end }
    }
}

/// A key with which no expected field's name is too long.
const KEY_BYTES_EASY: usize = KEY_BYTES_MAX - 64;

/// See [`FieldName::hash`].
#[inline(always)]
pub(super) fn quick_hash(body: &Padded<'_>, start: usize, len: usize) -> u32 {
    // No branch on the length, which may come at random.
    let kept = u64::MAX >> (64 - 8 * len.clamp(1, 8));
    let first = body.eight(start) & kept;
    let behind_eight = len.saturating_sub(8);
    let next = body.eight(start + behind_eight.min(8)) & kept;
    let last = body.eight(start + behind_eight) & kept;
    let mixed = first ^ next.rotate_left(21) ^ last.rotate_left(42) ^ len as u64;
    // Both halves of the product, so that every bit counts.
    let product = u128::from(mixed) * 0x9E37_79B9_7F4A_7C15;
    (product as u64 ^ (product >> 64) as u64) as u32
}

#[inline(always)]
fn is_utf8(raw: &[u8]) -> bool {
    raw.is_ascii() || simdutf8::basic::from_utf8(raw).is_ok()
}

/// [`Parser::key`], out of line.
struct ReadKey<'p, 'b, S> {
    parser: &'p Parser<'b>,
    start: usize,
    sink: &'p mut S,
    splitter: &'p mut Splitter<'b>,
}

impl<S: Sink> Task for ReadKey<'_, '_, S> {
    type Output = Result<(S::Series, usize), ErrorKind>;

    #[inline(always)]
    fn run<V: Vector>(self) -> Self::Output {
        self.parser.key::<V, S>(self.start, self.sink, self.splitter)
    }
}
