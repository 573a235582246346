//! A stream cut at line ends, piece by piece.

use std::io::{self, Read};

use super::error::{Error, Report};
use super::reader::Reader;
use super::taken::Taken;
use super::{Batch, PADDING, Padded};
use crate::line::complete_len;

/// Bytes that are read before they are parsed, unless a line is longer: few enough to stay in the processor's cache.
const PIECE_BYTES: usize = 256 << 10;

/// The batches of a stream: what [`Reader::read`] gives.
///
/// They come when [`Options::rows_max`](super::Options::rows_max) rows wait, when the memory is full, and at the end. An error ends the
/// iteration. What was yielded before stands; rows that were read and not yielded (at an error, or when the iterator is dropped) still
/// wait in the reader.
#[derive(Debug)]
pub struct Batches<'a, R> {
    reader: &'a mut Reader,
    input: R,
    /// What was read and not parsed, from the start of a line on; [`PADDING`] bytes of room are at its end.
    buffer: Vec<u8>,
    filled: usize,
    state: State,
    /// Where the buffer begins in the stream.
    line: u64,
    byte: u64,
    default_time_ns: i64,
    /// Points of the last piece: about as many are in the next one.
    last_points: u64,
    taken: Option<Taken>,
    report: Report,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    /// The input has ended.
    Ended,
    /// Everything was parsed and taken, or an error was told.
    Done,
}

impl<'a, R: Read> Batches<'a, R> {
    pub(super) fn new(reader: &'a mut Reader, input: R) -> Self {
        let default_time_ns = reader.default_time_ns();
        Self {
            reader,
            input,
            buffer: vec![0; PIECE_BYTES + PADDING],
            filled: 0,
            state: State::Reading,
            line: 0,
            byte: 0,
            default_time_ns,
            last_points: 0,
            taken: None,
            report: Report::default(),
        }
    }

    /// What became of the stream so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// One step: takes a piece in, or takes rows out.
    fn advance(&mut self) -> Result<(), Error> {
        self.fill()?;
        let read = &self.buffer[..self.filled];
        let piece = if self.state == State::Ended { read.len() } else { complete_len(read) };
        if self.state == State::Ended && piece == 0 {
            self.state = State::Done;
            self.taken = Some(self.reader.take());
            return Ok(());
        }
        if piece == 0 {
            return self.grow();
        }
        let waiting = self.reader.rows();
        if waiting > 0 && waiting + self.last_points > self.reader.options.rows_max as u64 {
            self.taken = Some(self.reader.take());
            return Ok(());
        }
        match self.push(piece) {
            Err(Error::Full { .. }) if waiting > 0 => {
                self.taken = Some(self.reader.take());
                Ok(())
            }
            result => result,
        }
    }

    /// Reads until the buffer is full or the input ends.
    fn fill(&mut self) -> Result<(), Error> {
        let room = self.buffer.len() - PADDING;
        while self.state == State::Reading && self.filled < room {
            match self.input.read(&mut self.buffer[self.filled..room]) {
                Ok(0) => self.state = State::Ended,
                Ok(bytes) => self.filled += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(Error::Read { byte: self.byte + self.filled as u64, source }),
            }
        }
        Ok(())
    }

    /// Makes room for a line that is longer than the buffer.
    fn grow(&mut self) -> Result<(), Error> {
        // A body is granted twice its size.
        let bytes_max = self.reader.options.memory_bytes_max / 4;
        let bytes = self.buffer.len() - PADDING;
        if bytes >= bytes_max {
            return Err(Error::LineTooLong { line: self.line + 1, byte: self.byte, bytes });
        }
        self.buffer.resize((bytes * 2).min(bytes_max) + PADDING, 0);
        Ok(())
    }

    /// Parses the first `piece` bytes of the buffer.
    fn push(&mut self, piece: usize) -> Result<(), Error> {
        // The padding takes the place of what follows, for as long.
        let mut behind = [0; PADDING];
        behind.swap_with_slice(&mut self.buffer[piece..piece + PADDING]);
        let body = Padded::new(&self.buffer, piece).expect("the padding was just written");
        let result = self.reader.push_at(body, self.default_time_ns);
        let part = result.map_err(|error| error.behind(self.line, self.byte));
        self.buffer[piece..piece + PADDING].copy_from_slice(&behind);
        let part = part?;
        self.last_points = part.points;
        self.report.append(part, self.line, self.byte);
        self.line += memchr::memchr_iter(b'\n', &self.buffer[..piece]).count() as u64;
        self.byte += piece as u64;
        self.buffer.copy_within(piece..self.filled, 0);
        self.filled -= piece;
        Ok(())
    }
}

impl<R: Read> Iterator for Batches<'_, R> {
    type Item = Result<Batch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(batch) = self.taken.as_mut().and_then(Iterator::next) {
                return Some(batch);
            }
            self.taken = None;
            if self.state == State::Done {
                return None;
            }
            if let Err(error) = self.advance() {
                self.state = State::Done;
                return Some(Err(error));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::compute::cast;
    use arrow::datatypes::DataType;
    use arrow::util::display::{ArrayFormatter, FormatOptions};

    use super::*;
    use crate::batch::Options;

    /// Cells by measurement and row, in the order of columns.
    type Rows = BTreeMap<String, Vec<String>>;

    fn rows_of(batches: impl Iterator<Item = Result<Batch, Error>>) -> Rows {
        let mut rows = Rows::new();
        for batch in batches {
            let Batch { measurement, records } = batch.unwrap();
            let format = FormatOptions::default().with_null("-");
            // The crate formats no named time zones by itself.
            let time = cast(records.column(0), &DataType::Int64).unwrap();
            let columns = std::iter::once(&time).chain(&records.columns()[1..]);
            let columns: Vec<ArrayFormatter<'_>> =
                columns.map(|column| ArrayFormatter::try_new(column, &format).unwrap()).collect();
            let row = |row| columns.iter().map(|column| column.value(row).to_string() + "|").collect();
            rows.entry(measurement).or_default().extend((0..records.num_rows()).map(row));
        }
        rows
    }

    fn options() -> Options {
        Options::new().default_time_ns(5).skip_bad_lines()
    }

    /// All columns are born by the first lines, so that every batch has them.
    const BODY: &str = "m,t=a f=1,s=\"\" 1\nn,t=a s=\"\",u=1u 1\r\n# no \"string\nm,t=b f=2,s=\"two\n\\\"lines\\\\\"\n\n\r\n \
        bad\nn s=\"\",u=2u 2\nm,t=c f=t 3\nm\\\n,t=d f=1 3\nn u=-\n\tm f=4,s=\"x\" 4\nn u=5u,s=\"\n\n\" 5\nm f=1,s=\"end\nm f=2";

    #[test]
    fn a_stream_cut_anywhere_is_its_body() {
        for body in [BODY.to_owned(), BODY.replace(",s=\"end\n", "\n"), format!("{BODY}\" 6\r"), BODY.repeat(2)] {
            let mut reader = options().reader();
            let expected = reader.push(body.as_bytes()).unwrap();
            let rows = rows_of(reader.take());
            for piece in 1..=body.len() + 1 {
                for rows_max in [1, 2, 100] {
                    let mut reader = options().rows_max(rows_max).reader();
                    let mut batches = reader.read(body.as_bytes());
                    batches.buffer = vec![0; piece + PADDING];
                    assert_eq!(rows_of(&mut batches), rows, "pieces of {piece}");
                    assert_eq!(batches.report(), &expected, "pieces of {piece}");
                }
            }
        }
    }

    #[test]
    fn a_stream_cut_anywhere_is_refused_for_the_same_line() {
        let mut reader = Options::new().reader();
        let first = |error: Error| {
            let Error::BadLines { rejected, .. } = error else { panic!("{error}") };
            rejected.into_iter().next().unwrap()
        };
        let expected = first(reader.push(BODY.as_bytes()).unwrap_err());
        assert_eq!((expected.line, reader.rows()), (8, 0));
        for piece in 1..=BODY.len() + 1 {
            let mut reader = Options::new().reader();
            let mut batches = reader.read(BODY.as_bytes());
            batches.buffer = vec![0; piece + PADDING];
            assert_eq!(first(batches.find_map(Result::err).unwrap()), expected, "pieces of {piece}");
        }
    }
}
