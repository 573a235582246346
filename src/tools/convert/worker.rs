//! One thread of a conversion: pieces into open tables of its own, which it hands over epoch by epoch.

use super::error::Cause;
use super::refused::{Refused, points_of, take_out};
use super::shared::{LOOK_AGAIN, Shared, Standing, Step};
use super::source::{PIECE_BYTES, Piece};
use super::{OnError, Reading};
use crate::budget::{Consumer, Reservation};
use crate::line::{self, Outcome, PADDING, Padded};
use crate::table::{Rules, Tables, Unlogged, Writer};

/// Points of any age are taken, and a bucket that is born takes them later, too.
const RULES: Rules = Rules { time_ns_min: None, retention: None };

/// A buffer that a long line has made larger than this is not kept.
const KEPT_BYTES_MAX: usize = 4 * PIECE_BYTES;

pub struct Worker<'s, 'a> {
    shared: &'s Shared<'a>,
    thread: usize,
    /// That the rows in `tables` belong to, when it begins.
    epoch: u64,
    reading: Reading,
    tables: Tables,
    buffer: Vec<u8>,
    buffer_memory: Reservation,
    refused_memory: Reservation,
    /// The number of the piece whose turn has come.
    turn: u64,
}

/// The conversion has failed.
struct Failed;

/// What came of parsing a piece.
enum Attempt {
    /// It is in the open tables, but for what is refused.
    Done {
        lines: u64,
        points: u64,
        refused: Vec<Refused>,
    },
    /// Parse it once more: its turn has come, it has lost bad lines, or the catalog has changed.
    Again,
    NoMemory,
}

/// Fails the conversion when its thread panics: others may wait for its piece.
struct Guard<'s, 'a>(&'s Shared<'a>);

impl Drop for Guard<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(Cause::Panicked);
        }
    }
}

impl<'s, 'a> Worker<'s, 'a> {
    /// `epoch`: the one that all threads begin in, whichever is on when this one gets to run; the lake waits for a part of it from each.
    pub fn new(shared: &'s Shared<'a>, thread: usize, epoch: u64, reading: Reading) -> Self {
        let budget = &shared.setup.budget;
        Self {
            shared,
            thread,
            epoch,
            reading,
            tables: Tables::new(budget),
            buffer: Vec::new(),
            buffer_memory: Reservation::new(budget, Consumer::Bodies),
            refused_memory: Reservation::new(budget, Consumer::Rejects),
            turn: 0,
        }
    }

    /// Works until nothing is left or the conversion has failed.
    pub fn run(mut self) {
        let Self { shared, thread, mut epoch, .. } = self;
        let _guard = Guard(shared);
        loop {
            let standing = Standing { epoch, open_bytes: self.tables.grown_bytes() };
            match shared.next(thread, standing, &mut self.buffer) {
                Step::Take(piece) => {
                    // What was read before the piece's end waits in the source, in a buffer like this one.
                    self.buffer_memory.set(2 * self.buffer.capacity());
                    if self.take(&piece, epoch).is_err() {
                        return;
                    }
                    if self.buffer.capacity() > KEPT_BYTES_MAX {
                        self.buffer = Vec::new();
                    }
                }
                Step::Turn(to) => {
                    shared.hand_over(thread, epoch, self.tables.seal(true));
                    epoch = to;
                }
                Step::Wait => std::thread::sleep(LOOK_AGAIN),
                Step::End => return shared.hand_over(thread, epoch, self.tables.seal(false)),
                Step::Failed => return,
            }
        }
    }

    /// Takes the points of a piece into the open tables.
    ///
    /// What a piece brings and what is refused of it depends on the types that all before it has brought. So a piece that brings columns, or of
    /// which something is refused, waits for its turn; then it meets what it would have met if all were read one by one.
    fn take(&mut self, piece: &Piece, epoch: u64) -> Result<(), Failed> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let taken = self.take_lines(&mut buffer, piece, epoch);
        self.buffer = buffer;
        taken
    }

    fn take_lines(&mut self, buffer: &mut [u8], piece: &Piece, epoch: u64) -> Result<(), Failed> {
        let mut bad: Vec<Refused> = Vec::new();
        let mut by_force = false;
        loop {
            match self.attempt(buffer, piece, &mut bad, by_force)? {
                Attempt::Done { lines, points, refused } => {
                    let lines = lines + bad.len() as u64;
                    bad.extend(refused);
                    bad.sort_by_key(|refused| refused.lines);
                    self.refused_memory.set(bad.iter().map(Refused::bytes).sum());
                    self.shared.done(piece, lines, points, bad);
                    self.refused_memory.set(0);
                    return Ok(());
                }
                Attempt::NoMemory => by_force = self.wait_for_memory(epoch)?,
                Attempt::Again => {}
            }
        }
    }

    /// Parses a piece, and takes its points if all of it is line protocol; otherwise takes the bad lines out of it.
    fn attempt(
        &mut self,
        buffer: &mut [u8],
        piece: &Piece,
        bad: &mut Vec<Refused>,
        by_force: bool,
    ) -> Result<Attempt, Failed> {
        let Self { shared, reading, .. } = *self;
        let body = Padded::new(buffer, piece.bytes).expect("a piece has its padding");
        let Some(mut writer) = writer(&mut self.tables, shared, piece, by_force) else { return Ok(Attempt::NoMemory) };
        // A piece has few lines, unless one of them is very long.
        writer.list(usize::MAX);
        let outcome = line::parse(body, reading.lines, &mut writer);
        let refused = points_of(&buffer[..piece.bytes], &writer.rejects().listed);
        let (is_clean, is_born) = match outcome {
            Outcome::Stopped => return Ok(Attempt::NoMemory),
            Outcome::Bad { .. } => (false, true),
            Outcome::Complete { .. } => (bad.is_empty() && refused.is_empty(), writer.births_bytes_max() == 0),
        };
        if self.turn != piece.number && !(is_clean && is_born) {
            self.turn = piece.number;
            if !shared.wait_for_turn(piece.number) {
                return Err(Failed);
            }
            if !is_clean {
                return Ok(Attempt::Again);
            }
        }
        let stops = reading.on_error == OnError::Stop;
        match outcome {
            Outcome::Bad { errors, .. } => {
                drop(writer);
                if stops {
                    take_out(buffer, &errors[0], reading.lines, bad);
                    // A point that was refused stands before the bad line.
                    return Err(self.stop(piece, refused.into_iter().chain(bad.drain(..)).next()));
                }
                self.take_out_all(buffer, piece, errors, bad);
                Ok(Attempt::Again)
            }
            _ if stops && !refused.is_empty() => {
                drop(writer);
                Err(self.stop(piece, refused.into_iter().next()))
            }
            Outcome::Complete { points: lines } => Ok(match writer.commit(&mut Unlogged(piece.number)) {
                Ok(committed) => Attempt::Done { lines, points: committed.points, refused },
                // Another thread has brought one of its columns with another type: it is judged by that.
                Err(_) => Attempt::Again,
            }),
            Outcome::Stopped => Ok(Attempt::NoMemory),
        }
    }

    /// Takes all lines out that are no line protocol; `errors` are the first of them. The parser lists so many at once and stops behind them.
    fn take_out_all(
        &mut self,
        buffer: &mut [u8],
        piece: &Piece,
        mut errors: Vec<line::LineError>,
        bad: &mut Vec<Refused>,
    ) {
        let (mut from, mut lines) = (0, 0);
        while !errors.is_empty() {
            let first = bad.len();
            let rest = &mut buffer[from..piece.bytes];
            let mut behind = 0;
            for error in &errors {
                behind = take_out(rest, error, self.reading.lines, bad);
                // What it had swallowed is to be parsed.
                if behind < error.end {
                    break;
                }
            }
            bad[first..].iter_mut().for_each(|refused| refused.lines += lines);
            lines += memchr::memchr_iter(b'\n', &rest[..behind]).count() as u64;
            from += behind;
            let rest = Padded::new(&buffer[from..piece.bytes + PADDING], piece.bytes - from);
            errors = match line::parse(rest.expect("a piece has its padding"), self.reading.lines, &mut line::Judge) {
                Outcome::Bad { errors, .. } => errors,
                Outcome::Complete { .. } | Outcome::Stopped => Vec::new(),
            };
        }
    }

    /// After a moment in which others may have given memory back; answers whether none will.
    fn wait_for_memory(&self, epoch: u64) -> Result<bool, Failed> {
        let is_hopeless = self.shared.press(epoch);
        if self.shared.has_failed() {
            return Err(Failed);
        }
        if !is_hopeless {
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(is_hopeless)
    }

    /// Ends the conversion for a line that is refused.
    fn stop(&self, piece: &Piece, refused: Option<Refused>) -> Failed {
        if let Some(refused) = refused {
            let line = refused.at(piece);
            self.shared.fail(Cause::Refused { place: line.place, reason: line.reason, text: line.text });
        }
        Failed
    }
}

/// A writer for a piece; `None`: there is no memory for it.
fn writer<'w>(tables: &'w mut Tables, shared: &'w Shared<'_>, piece: &'w Piece, by_force: bool) -> Option<Writer<'w>> {
    let catalog = &shared.setup.catalog;
    match by_force {
        true => tables.writer_by_force(&piece.bucket, catalog, RULES, piece.bytes),
        false => tables.writer(&piece.bucket, catalog, RULES, piece.bytes),
    }
}
