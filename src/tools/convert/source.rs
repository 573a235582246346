//! The inputs, one behind the other, cut into pieces of whole lines.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::error::{Cause, Place};
use super::export::{Context, marker};
use super::input::{Opened, Waiting};
use crate::line::{PADDING, complete_len, point_lines};

/// Bytes of a piece, unless a line is longer: few enough to stay in the processor's cache.
pub const PIECE_BYTES: usize = 256 << 10;

/// Some whole lines of one input, for one bucket. The buffer that was given has them, with [`PADDING`] zero bytes behind.
#[derive(Debug)]
pub struct Piece {
    /// Counts the pieces of all inputs, from 1.
    pub number: u64,
    pub place: Place,
    pub bucket: Arc<str>,
    pub bytes: usize,
}

/// Where pieces come from.
pub struct Source {
    waiting: Waiting,
    stream: Option<Stream>,
    /// The bucket of all lines, whatever the inputs say.
    bucket: Option<Arc<str>>,
    /// The longest line that is read.
    line_bytes_max: usize,
    pieces: u64,
}

/// One input.
struct Stream {
    input: Opened,
    /// What was read behind the last piece.
    rest: Vec<u8>,
    has_ended: bool,
    /// Physical lines before `rest`.
    lines: u64,
    context: Context,
}

impl Source {
    pub fn new(waiting: Waiting, bucket: Option<Arc<str>>, line_bytes_max: usize) -> Self {
        Self { waiting, stream: None, bucket, line_bytes_max, pieces: 0 }
    }

    /// Bytes of the inputs that were read so far, as it goes on.
    pub fn bytes_read(&self) -> Arc<AtomicU64> {
        self.waiting.read()
    }

    /// The next piece, into `buffer`; `None` at the end of the last input.
    pub fn next(&mut self, buffer: &mut Vec<u8>) -> Result<Option<Piece>, Cause> {
        loop {
            if self.stream.is_none() {
                self.stream = self.waiting.open()?.map(Stream::new);
            }
            let Some(stream) = &mut self.stream else { return Ok(None) };
            let Some(place) = stream.cut(buffer, self.line_bytes_max)? else {
                self.stream = None;
                continue;
            };
            let bytes = buffer.len() - PADDING;
            let Some(bucket) = self.bucket.as_ref().or(stream.context.bucket.as_ref()) else {
                match first_point(&buffer[..bytes]) {
                    Some(lines) => {
                        let place = Place { line: place.line + lines, ..place };
                        return Err(Cause::NoBucket { place });
                    }
                    None => continue,
                }
            };
            self.pieces += 1;
            return Ok(Some(Piece { number: self.pieces, place, bucket: Arc::clone(bucket), bytes }));
        }
    }
}

/// How many physical lines stand before the first one with a point.
fn first_point(lines: &[u8]) -> Option<u64> {
    let line = point_lines(lines).next()?;
    Some(feeds(&lines[..line.start]))
}

fn feeds(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

impl Stream {
    fn new(input: Opened) -> Self {
        Self { input, rest: Vec::new(), has_ended: false, lines: 0, context: Context::default() }
    }

    fn place(&self) -> Place {
        Place { input: Arc::clone(&self.input.name), line: self.lines + 1 }
    }

    /// Brings the next piece into `buffer`, with its padding, and tells where it begins; `None` at the end.
    fn cut(&mut self, buffer: &mut Vec<u8>, line_bytes_max: usize) -> Result<Option<Place>, Cause> {
        std::mem::swap(buffer, &mut self.rest);
        let mut wanted = PIECE_BYTES;
        loop {
            self.fill(buffer, wanted)?;
            if buffer.is_empty() {
                return Ok(None);
            }
            let seen = &buffer[..buffer.len().min(wanted)];
            let is_last = self.has_ended && seen.len() == buffer.len();
            let mut complete = if is_last { seen.len() } else { self.complete(seen) };
            if complete == 0 && wanted < line_bytes_max {
                wanted = (wanted * 2).min(line_bytes_max);
                continue;
            }
            if complete == 0 {
                // A string that does not end: the parser finds its first line bad, and what follows is looked at for itself.
                let too_long = || Cause::LineTooLong { place: self.place(), bytes_max: line_bytes_max };
                complete = memchr::memchr(b'\n', seen).ok_or_else(too_long)? + 1;
            }
            if self.context.in_statements {
                let passed = self.read_statements(&buffer[..complete]);
                self.pass(buffer, passed);
                continue;
            }
            match marker(&buffer[..complete]) {
                Some(0) => {
                    let line = memchr::memchr(b'\n', buffer).map_or(buffer.len(), |feed| feed + 1);
                    self.context.read(&buffer[..line]);
                    self.pass(buffer, line);
                }
                mark => {
                    let complete = mark.unwrap_or(complete);
                    let place = self.place();
                    self.lines += feeds(&buffer[..complete]);
                    self.rest.clear();
                    self.rest.extend_from_slice(&buffer[complete..]);
                    buffer.truncate(complete);
                    buffer.resize(complete + PADDING, 0);
                    return Ok(Some(place));
                }
            }
        }
    }

    /// Bytes of `seen` up to and including the last end of a line. Statements know no strings.
    fn complete(&self, seen: &[u8]) -> usize {
        match self.context.in_statements {
            true => memchr::memrchr(b'\n', seen).map_or(0, |feed| feed + 1),
            false => complete_len(seen),
        }
    }

    /// How many bytes at the start of `lines` are statements and comments between them.
    fn read_statements(&mut self, lines: &[u8]) -> usize {
        let mut at = 0;
        while self.context.in_statements && at < lines.len() {
            let end = memchr::memchr(b'\n', &lines[at..]).map_or(lines.len(), |feed| at + feed + 1);
            if self.context.passes_over(&lines[at..end]) {
                at = end;
            }
        }
        at
    }

    fn pass(&mut self, buffer: &mut Vec<u8>, bytes: usize) {
        self.lines += feeds(&buffer[..bytes]);
        buffer.drain(..bytes);
    }

    /// Reads until `buffer` has `wanted` bytes or the input ends.
    fn fill(&mut self, buffer: &mut Vec<u8>, wanted: usize) -> Result<(), Cause> {
        let mut filled = buffer.len();
        if self.has_ended || filled >= wanted {
            return Ok(());
        }
        buffer.resize(wanted, 0);
        while filled < wanted {
            match self.input.read.read(&mut buffer[filled..]) {
                Ok(0) => {
                    self.has_ended = true;
                    break;
                }
                Ok(bytes) => filled += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(self.unreadable(&buffer[..filled], source)),
            }
        }
        buffer.truncate(filled);
        Ok(())
    }

    fn unreadable(&self, filled: &[u8], source: io::Error) -> Cause {
        match self.input.is_gzip {
            true => Cause::Gzip { place: Place { line: self.lines + 1 + feeds(filled), ..self.place() }, source },
            false => Cause::Read { input: Arc::clone(&self.input.name), source },
        }
    }
}
