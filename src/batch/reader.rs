//! Bodies into open tables, one after the other.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::error::{Error, REJECTED_MAX, Reason, Rejected, Report};
use super::stream::Batches;
use super::taken::Taken;
use super::{Options, PADDING, Padded};
use crate::budget::Budget;
use crate::catalog::Catalog;
use crate::line::{self, LineError, Outcome, echo, point_lines};
use crate::table::{Ordinals, Rejects, Rules, SchemaReject, Tables, Unlogged};

/// All tables are in one bucket, which has no name.
const BUCKET: &str = "";

/// Points of any age are taken.
const RULES: Rules = Rules { time_ns_min: None, retention: None };

/// Turns line protocol into record batches. See the [module](super) for what comes out.
#[derive(Debug)]
pub struct Reader {
    pub(super) options: Options,
    catalog: Catalog,
    budget: Arc<Budget>,
    tables: Tables,
    /// Rows that wait to be taken.
    rows: u64,
    /// A body and its padding; kept to be used again.
    copy: Vec<u8>,
}

/// What the parser made of a body.
enum Parsed {
    Taken { points: u64, rejects: Box<Rejects>, dropped: Ordinals },
    Bad(Bad),
}

/// Lines that are looked at together when bad ones are left out.
const PIECE_BYTES: usize = 64 << 10;

/// Bad lines in order; `more`: there are others behind.
struct Bad {
    errors: Vec<LineError>,
    more: bool,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new(Options::new())
    }
}

impl Reader {
    pub fn new(options: Options) -> Self {
        let budget = Budget::new(options.memory_bytes_max);
        let tables = Tables::new(&budget);
        Self { options, catalog: Catalog::in_memory(), budget, tables, rows: 0, copy: Vec::new() }
    }

    /// Takes a body: whole lines, the last of which needs no LF. Many lines at once are much faster than single ones.
    ///
    /// # Errors
    /// [`Error::BadLines`], [`Error::Full`] and [`Error::TooLarge`]; nothing of the body was taken then.
    pub fn push(&mut self, body: &[u8]) -> Result<Report, Error> {
        let mut copy = std::mem::take(&mut self.copy);
        copy.clear();
        copy.reserve(body.len() + PADDING);
        copy.extend_from_slice(body);
        let report = self.push_padded(Padded::from_vec(&mut copy));
        self.copy = copy;
        report
    }

    /// As [`Self::push`], of a body that lies in memory with [`PADDING`] zero bytes behind it: saves the copy.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn push_padded(&mut self, body: Padded<'_>) -> Result<Report, Error> {
        self.push_at(body, self.default_time_ns())
    }

    /// The rows so far as batches; measurements in order of appearance. Series start anew, types and columns stay.
    pub fn take(&mut self) -> Taken {
        self.rows = 0;
        Taken::new(self.tables.seal(false), self.options.rows_max)
    }

    /// Reads `input` to its end, as batches. `input` needs no buffer of its own.
    pub fn read<R: std::io::Read>(&mut self, input: R) -> Batches<'_, R> {
        Batches::new(self, input)
    }

    /// Rows that wait to be taken.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes that these rows hold, and batches that are being taken, as far as they are not arrays yet.
    pub fn bytes(&self) -> usize {
        self.budget.total()
    }

    /// What a point without a timestamp gets now.
    pub(super) fn default_time_ns(&self) -> i64 {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64);
        self.options.precision.truncate(self.options.default_time_ns.unwrap_or_else(now))
    }

    pub(super) fn push_at(&mut self, body: Padded<'_>, default_time_ns: i64) -> Result<Report, Error> {
        let options = line::Options { kernel: self.options.kernel, precision: self.options.precision, default_time_ns };
        match self.parse(body, options, true)? {
            Parsed::Taken { points, rejects, dropped } => Ok(self.report(body, options, points, rejects, &dropped)),
            Parsed::Bad(bad) if self.options.skips_bad_lines => self.push_around(body.as_bytes(), options, bad),
            Parsed::Bad(Bad { errors, more }) => {
                Err(Error::BadLines { rejected: bad_lines(body.as_bytes(), &errors), more })
            }
        }
    }

    /// Parses `body`. Its rows stay if all lines are good, and if `commits`.
    fn parse(&mut self, body: Padded<'_>, options: line::Options, commits: bool) -> Result<Parsed, Error> {
        loop {
            let Some(mut writer) = self.tables.writer(BUCKET, &self.catalog, RULES, body.len()) else {
                return Err(self.no_room(body.len()));
            };
            match line::parse(body, options, &mut writer) {
                Outcome::Bad { errors, more } => return Ok(Parsed::Bad(Bad { errors, more })),
                Outcome::Stopped => {
                    drop(writer);
                    return Err(self.no_room(body.len()));
                }
                Outcome::Complete { .. } => {}
            }
            let (rejects, dropped) = (Box::new(writer.rejects().clone()), writer.dropped().clone());
            let points = writer.points() - rejects.dropped;
            // Nobody else uses the catalog, so that a birth never has to be tried again.
            if !commits || writer.commit(&mut Unlogged(0)).is_ok() {
                return Ok(Parsed::Taken { points, rejects, dropped });
            }
        }
    }

    fn no_room(&self, body_bytes: usize) -> Error {
        let (held_bytes, bytes_max) = (self.budget.total(), self.budget.bytes_max());
        if self.rows == 0 && held_bytes == self.tables.bytes() {
            return Error::TooLarge { body_bytes, bytes_max };
        }
        Error::Full { body_bytes, held_bytes, bytes_max }
    }

    /// Takes the good lines of a body; `first` are its first bad ones.
    #[cold]
    fn push_around(&mut self, body: &[u8], options: line::Options, first: Bad) -> Result<Report, Error> {
        let mut rejected = bad_lines(body, &first.errors);
        let (copy, bad_lines) = self.without_bad_lines(body, options, first)?;
        let good = Padded::new(&copy, body.len()).expect("the copy has its padding");
        let Parsed::Taken { points, rejects, dropped } = self.parse(good, options, true)? else {
            unreachable!("what was bad is blank")
        };
        let mut report = self.report(good, options, points, rejects, &dropped);
        report.bad_lines = bad_lines;
        report.rejected.append(&mut rejected);
        report.rejected.sort_by_key(|rejected| rejected.byte);
        report.rejected.truncate(REJECTED_MAX);
        Ok(report)
    }

    /// A padded copy of `body` in which bad lines are blank, so that all others keep their place; and how many there are.
    ///
    /// The parser lists so many bad lines at once and stops where it has found one more, so the rest is read again behind each list; in pieces,
    /// because each time it looks at the whole of what it gets.
    fn without_bad_lines(&mut self, body: &[u8], options: line::Options, first: Bad) -> Result<(Vec<u8>, u64), Error> {
        let mut copy = body.to_vec();
        copy.resize(body.len() + PADDING, 0);
        let mut count = first.errors.len() as u64;
        first.errors.iter().for_each(|error| blank(&mut copy[error.start..error.end]));
        let Some(last) = first.errors.last().filter(|_| first.more) else { return Ok((copy, count)) };
        let mut from = last.end;
        while from < body.len() {
            let len = piece_len(&body[from..]);
            let mut piece = body[from..from + len].to_vec();
            piece.resize(len + PADDING, 0);
            let mut at = 0;
            loop {
                let rest = Padded::new(&piece[at..], len - at).expect("the piece has its padding");
                let Parsed::Bad(Bad { errors, more }) = self.parse(rest, options, false)? else { break };
                let start = from + at;
                errors.iter().for_each(|error| blank(&mut copy[start + error.start..start + error.end]));
                count += errors.len() as u64;
                at += errors.last().map_or(len, |last| last.end);
                if !more {
                    break;
                }
            }
            from += len;
        }
        Ok((copy, count))
    }

    /// What is to be said of a body that was taken.
    fn report(
        &mut self,
        body: Padded<'_>,
        options: line::Options,
        points: u64,
        rejects: Box<Rejects>,
        dropped: &Ordinals,
    ) -> Report {
        self.rows += points;
        let mut rejected = Vec::new();
        if let Some(first) = &rejects.schema {
            rejected = self.dropped_points(body.as_bytes(), options, dropped, first);
        }
        Report { points, bad_lines: 0, dropped_points: rejects.dropped, rejected, time_field: rejects.time_field }
    }

    /// The dropped points of a body with their lines, the first ones of many.
    #[cold]
    fn dropped_points(
        &mut self,
        body: &[u8],
        options: line::Options,
        dropped: &Ordinals,
        first: &SchemaReject,
    ) -> Vec<Rejected> {
        let mut ordinals = dropped.runs().iter().cloned().flatten().take(REJECTED_MAX).peekable();
        let (mut line_number, mut counted) = (1, 0);
        let mut rejected = Vec::new();
        for (ordinal, line) in (0..).zip(point_lines(body)) {
            if ordinals.peek().is_none() {
                break;
            }
            if ordinals.next_if_eq(&ordinal).is_none() {
                continue;
            }
            line_number += memchr::memchr_iter(b'\n', &body[counted..line.start]).count() as u64;
            counted = line.start;
            let text = body[line.clone()].trim_ascii_end();
            let reason = self.reason(&body[line.clone()], options).unwrap_or_else(|| first.clone());
            let (byte, text) = (line.start as u64, echo(text));
            rejected.push(Rejected { line: line_number, byte, text, reason: Reason::Schema(reason) });
        }
        rejected
    }

    /// Why a point was dropped. Types and columns stay for ever, so that the line by itself meets the same reason.
    fn reason(&mut self, line: &[u8], options: line::Options) -> Option<SchemaReject> {
        match self.parse(Padded::from_vec(&mut line.to_vec()), options, false) {
            Ok(Parsed::Taken { rejects, .. }) => rejects.schema,
            _ => None,
        }
    }
}

/// Length of some whole lines at the start of `rest`.
fn piece_len(rest: &[u8]) -> usize {
    let mut most = PIECE_BYTES;
    while most < rest.len() {
        let len = line::complete_len(&rest[..most]);
        if len > 0 {
            return len;
        }
        most *= 2;
    }
    rest.len()
}

fn bad_lines(body: &[u8], errors: &[LineError]) -> Vec<Rejected> {
    let bad_line = |error: &LineError| Rejected {
        line: error.line,
        byte: error.start as u64,
        text: echo(&body[error.start..error.end]),
        reason: Reason::Syntax(error.kind),
    };
    errors.iter().map(bad_line).collect()
}

/// Makes a line blank; line ends within it stay, because they count.
fn blank(line: &mut [u8]) {
    line.iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
}
