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
    sizes: Sizes,
    pieces: u64,
}

/// In bytes.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Of a piece, unless a line is longer.
    pub piece: usize,
    /// Of the longest line that is read; not less than a piece.
    pub line_max: usize,
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
    pub fn new(waiting: Waiting, bucket: Option<Arc<str>>, sizes: Sizes) -> Self {
        Self { waiting, stream: None, bucket, sizes, pieces: 0 }
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
            let Some(place) = stream.cut(buffer, self.sizes)? else {
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
    fn cut(&mut self, buffer: &mut Vec<u8>, sizes: Sizes) -> Result<Option<Place>, Cause> {
        std::mem::swap(buffer, &mut self.rest);
        let mut wanted = sizes.piece;
        loop {
            self.fill(buffer, wanted)?;
            if buffer.is_empty() {
                return Ok(None);
            }
            let seen = &buffer[..buffer.len().min(wanted)];
            let is_last = self.has_ended && seen.len() == buffer.len();
            let mut complete = self.complete(seen);
            if is_last && !self.is_open(&seen[complete..]) {
                complete = seen.len();
            }
            if complete == 0 && !is_last && wanted < sizes.line_max {
                wanted = (wanted * 2).min(sizes.line_max);
                continue;
            }
            if complete == 0 {
                // A string that does not end: the parser finds its first line bad, and what follows is looked at for itself.
                let too_long = || Cause::LineTooLong { place: self.place(), bytes_max: sizes.line_max };
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

    /// Whether a line, the last one, has a string that does not end, and with it lines that it swallows.
    fn is_open(&self, line: &[u8]) -> bool {
        line.contains(&b'\n') && self.complete(&[line, b"\n"].concat()) == 0
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Cursor;

    use super::super::input::Input;
    use super::*;

    /// Bucket, physical line and text of every line with a point.
    fn lines(text: &str, sizes: Sizes) -> Vec<(String, u64, String)> {
        let input = Input::Reader { name: "in".to_owned(), read: Box::new(Cursor::new(text.as_bytes().to_vec())) };
        let mut source = Source::new(Waiting::list(vec![input], None).unwrap(), None, sizes);
        let (mut buffer, mut found) = (Vec::new(), Vec::new());
        while let Some(piece) = source.next(&mut buffer).unwrap() {
            assert!(buffer.len() == piece.bytes + PADDING && buffer[piece.bytes..].iter().all(|byte| *byte == 0));
            let piece_lines = &buffer[..piece.bytes];
            for line in point_lines(piece_lines) {
                let number = piece.place.line + feeds(&piece_lines[..line.start]);
                let text = std::str::from_utf8(&piece_lines[line]).unwrap().trim_end();
                found.push((piece.bucket.to_string(), number, text.to_owned()));
            }
        }
        found
    }

    const EXPORT: &str = "# INFLUXDB EXPORT: a - b\n# DDL\nCREATE DATABASE a WITH NAME autogen\n\nCREATE DATABASE \"b\n# DML\r\n\
        # CONTEXT-DATABASE:a\n# CONTEXT-RETENTION-POLICY:autogen\n# writing tsm data\nm f=1 1\n m s=\"two\n# CONTEXT-DATABASE:no\nlines\" 2\n\
        # CONTEXT-RETENTION-POLICY:w\n\n# a comment\nm\\\n,t=1 f=2 3\r\nbad\n# DDL\ncreate database c\nm f=3\n# CONTEXT-DATABASE:c\nm f=4";

    #[test]
    fn an_export_cut_anywhere_has_the_same_lines_in_the_same_places() {
        let expected = lines(EXPORT, Sizes { piece: 1 << 20, line_max: 1 << 20 });
        let places: Vec<(&str, u64)> = expected.iter().map(|(bucket, line, _)| (&**bucket, *line)).collect();
        assert_eq!(places, [("a", 10), ("a", 11), ("a/w", 17), ("a/w", 19), ("a/w", 22), ("c/w", 24)]);
        for piece in 1..=EXPORT.len() + 1 {
            assert_eq!(lines(EXPORT, Sizes { piece, line_max: 1 << 20 }), expected, "pieces of {piece}");
        }
    }

    #[test]
    fn of_a_string_that_does_not_end_the_first_line_is_a_piece() {
        let text = format!("# CONTEXT-DATABASE:a\nm f=1\nm s=\"open\n{}", "m f=2\n".repeat(100));
        let found = lines(&text, Sizes { piece: 64, line_max: 256 });
        assert_eq!(found.len(), 102);
        assert_eq!((found[1].1, &*found[1].2, found[2].1), (3, "m s=\"open", 4));
    }
}
