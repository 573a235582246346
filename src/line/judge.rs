//! Judging without a sink, after the first bad line of a body: slowly, so that the answer can list the others.

use super::grammar::{ERRORS_MAX, ErrorKind, LineError};
use super::parse::{Outcome, Parser, Start};
use super::scan::Swar;
use super::scan::vector::Vector;
use super::sink::{End, FieldName, Row, Sink};
use super::split::{Key, Splitter};
use super::text::Rest;

impl Parser<'_> {
    fn line_is_utf8(&self, start: usize) -> bool {
        let (end, _) = self.extent(start);
        std::str::from_utf8(self.body.slice(start, end)).is_ok()
    }

    /// Lists the bad lines from the line at `at` on; all before it are good.
    #[cold]
    #[inline(never)]
    pub(super) fn judge_from(&self, mut at: usize) -> Outcome {
        let mut errors = Vec::new();
        let mut line = 1;
        let mut counted = 0;
        let mut splitter = Splitter::default();
        let utf8 = simdutf8::basic::from_utf8(self.body.slice(at, self.body.len())).is_ok();
        while at < self.body.len() {
            let start = match self.start(at) {
                Start::Skip { next } => {
                    at = next;
                    continue;
                }
                Start::Point { at } => at,
            };
            let verdict = if utf8 || self.line_is_utf8(start) {
                self.point::<Swar, Judge>(start, &mut Judge, &mut splitter)
            } else {
                Err(ErrorKind::InvalidUtf8)
            };
            at = match verdict {
                Ok(next) => next.unwrap_or(self.body.len()),
                Err(_) if errors.len() == ERRORS_MAX => return Outcome::Bad { errors, more: true },
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
#[derive(Debug)]
pub struct Judge;

impl Sink for Judge {
    type Series = ();
    type Row<'r> = Judge;

    fn expected_series<V: Vector>(&mut self, _: Rest<'_>) -> Option<((), usize)> {
        None
    }
    fn known_series(&mut self, _: &[u8]) -> Option<()> {
        None
    }
    fn new_series(&mut self, _: &[u8], _: &Key<'_, '_>) {}
    fn row(&mut self, (): ()) -> Judge {
        Judge
    }
    fn take_back(&mut self) {}
}

impl Row for Judge {
    fn expected_field<V: Vector>(&mut self, _: Rest<'_>) -> Option<usize> {
        None
    }
    fn field<V: Vector>(&mut self, _: Rest<'_>, _: FieldName<'_>) {}
    fn float(&mut self, _: f64) {}
    fn integer(&mut self, _: i64) {}
    fn unsigned(&mut self, _: u64) {}
    fn boolean(&mut self, _: bool) {}
    fn string(&mut self, _: &[u8], _: bool) {}
    fn point(&mut self, _: i64) -> End {
        End::Written
    }
}
