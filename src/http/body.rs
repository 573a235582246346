//! Where a body ends (RFC 9112 sections 6 and 7), and its chunk framing removed in place.

use std::ops::Range;

use super::head::is_token;
use super::state::Limits;
use super::{Error, Head};

/// Bytes of all chunk extensions (with the white space before them) of one body; they are skipped, never used.
pub(super) const CHUNK_EXTENSION_BYTES_MAX: usize = 16 * 1024;
/// Digits of a chunk size below 2^64.
const CHUNK_SIZE_DIGITS_MAX: u8 = 16;
/// What must still come behind a chunk's data: CR LF and the last chunk, `0 CR LF CR LF`.
const CHUNKED_END_BYTES: usize = 7;

/// The body of the current request. Positions are those of the connection's buffer.
#[derive(Debug)]
pub(super) enum Body {
    Length { start: usize, end: usize },
    Chunked(Chunks),
}

pub(super) enum Progress {
    More { filled: usize, missing: usize },
    Complete { body: Range<usize>, consumed: usize },
}

impl Body {
    /// The body that `head` announces; it begins at `start`.
    pub(super) fn after(head: &Head, start: usize, limits: &Limits) -> Result<Self, Error> {
        if head.chunked {
            return Ok(Self::Chunked(Chunks::new(start)));
        }
        let length = head.content_length.unwrap_or(0);
        let bytes_max = limits.body_bytes_max;
        match usize::try_from(length).ok().filter(|bytes| *bytes <= bytes_max) {
            Some(bytes) => Ok(Self::Length { start, end: start.saturating_add(bytes) }),
            None => Err(Error::BodyTooLarge { declared: Some(length), bytes_max }),
        }
    }

    pub(super) fn advance(&mut self, bytes: &mut [u8], limits: &Limits) -> Result<Progress, Error> {
        match self {
            Self::Length { end, .. } if bytes.len() < *end => {
                Ok(Progress::More { filled: bytes.len(), missing: *end - bytes.len() })
            }
            Self::Length { start, end } => Ok(Progress::Complete { body: *start..*end, consumed: *end }),
            Self::Chunked(chunks) => chunks.advance(bytes, limits),
        }
    }
}

/// A chunked body on its way in. Framing is consumed byte by byte as it comes, so nothing of it is ever kept: the buffer
/// holds the head, what payload has come, and free space.
#[derive(Debug)]
pub(super) struct Chunks {
    /// Payload so far is `start..end`. The first chunk's data stays where it is: `start` follows it.
    start: usize,
    end: usize,
    /// The current chunk: its size, of whose digits `digits` have been read; then how much of its data is to come.
    left: u64,
    digits: u8,
    part: Part,
    extension_bytes: usize,
    trailer_bytes: usize,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Size,
    /// White space between a size and its extension.
    SizeSpace,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// The first byte of a trailer line, or of the empty line that ends the body.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    End,
}

impl Chunks {
    fn new(start: usize) -> Self {
        let part = Part::Size;
        Self { start, end: start, left: 0, digits: 0, part, extension_bytes: 0, trailer_bytes: 0 }
    }

    fn advance(&mut self, bytes: &mut [u8], limits: &Limits) -> Result<Progress, Error> {
        let mut read = self.end;
        while let Some(byte) = bytes.get(read).copied() {
            if self.part == Part::Data {
                read += self.take_data(bytes, read);
                continue;
            }
            self.part = self.step(byte, limits)?;
            read += 1;
            if self.part == Part::End {
                return Ok(Progress::Complete { body: self.start..self.end, consumed: read });
            }
        }
        let missing = match self.part {
            Part::Data => usize::try_from(self.left).unwrap_or(usize::MAX).saturating_add(CHUNKED_END_BYTES),
            _ => 1,
        };
        Ok(Progress::More { filled: self.end, missing })
    }

    /// Joins the chunk's data at `read` to the payload; returns how many bytes there were.
    fn take_data(&mut self, bytes: &mut [u8], read: usize) -> usize {
        let come = bytes.len() - read;
        let taken = usize::try_from(self.left).map_or(come, |left| left.min(come));
        if self.start == self.end {
            self.start = read;
            self.end = read;
        } else if self.end != read {
            bytes.copy_within(read..read + taken, self.end);
        }
        self.end += taken;
        self.left -= taken as u64;
        if self.left == 0 {
            self.part = Part::DataCr;
        }
        taken
    }

    /// Takes one byte of framing; returns what the next byte belongs to.
    fn step(&mut self, byte: u8, limits: &Limits) -> Result<Part, Error> {
        match (self.part, byte) {
            (Part::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => self.size_digit(byte),
            (Part::Size | Part::SizeSpace, b';') if self.digits > 0 => self.extension(Part::Extension),
            (Part::Size | Part::SizeSpace, b' ' | b'\t') if self.digits > 0 => self.extension(Part::SizeSpace),
            (Part::Size, b'\r') if self.digits > 0 => Ok(Part::SizeLf),
            (Part::Size | Part::SizeSpace, b'\n') => Err(Error::ChunkLineEnd),
            (Part::Size | Part::SizeSpace, _) => Err(Error::ChunkSize { byte }),

            (Part::Extension, b'\r') => Ok(Part::SizeLf),
            (Part::Extension, b'\n') => Err(Error::ChunkLineEnd),
            (Part::Extension, _) if is_control(byte) => Err(Error::ChunkExtension { byte }),
            (Part::Extension, _) => self.extension(Part::Extension),

            (Part::SizeLf, b'\n') => self.sized(limits),
            (Part::DataCr, b'\r') => Ok(Part::DataLf),
            (Part::DataLf, b'\n') => {
                self.digits = 0;
                Ok(Part::Size)
            }
            (Part::EndLf, b'\n') => Ok(Part::End),
            (Part::SizeLf | Part::EndLf, _) => Err(Error::ChunkLineEnd),
            (Part::DataCr | Part::DataLf, _) => Err(Error::ChunkDataEnd { byte }),

            (Part::TrailerStart, b'\r') => Ok(Part::EndLf),
            (part, _) => self.trailer(part, byte, limits.head_bytes_max),
        }
    }

    fn size_digit(&mut self, byte: u8) -> Result<Part, Error> {
        if self.digits == CHUNK_SIZE_DIGITS_MAX {
            return Err(Error::ChunkSizeOverflow);
        }
        let digit = (byte as char).to_digit(16).map_or(0, u64::from);
        self.left = if self.digits == 0 { digit } else { self.left << 4 | digit };
        self.digits += 1;
        Ok(Part::Size)
    }

    fn extension(&mut self, next: Part) -> Result<Part, Error> {
        self.extension_bytes += 1;
        if self.extension_bytes > CHUNK_EXTENSION_BYTES_MAX {
            return Err(Error::ChunkExtensionsTooLong { bytes_max: CHUNK_EXTENSION_BYTES_MAX });
        }
        Ok(next)
    }

    /// A size line is complete: the data or, after the last chunk, the trailers follow.
    fn sized(&self, limits: &Limits) -> Result<Part, Error> {
        if self.left == 0 {
            return Ok(Part::TrailerStart);
        }
        let bytes_max = limits.body_bytes_max;
        if self.left > (bytes_max - (self.end - self.start)) as u64 {
            return Err(Error::BodyTooLarge { declared: None, bytes_max });
        }
        Ok(Part::Data)
    }

    /// Trailers are judged like headers and discarded.
    fn trailer(&mut self, part: Part, byte: u8, bytes_max: usize) -> Result<Part, Error> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > bytes_max {
            return Err(Error::TrailersTooLong { bytes_max });
        }
        match (part, byte) {
            (Part::TrailerStart | Part::TrailerName, _) if is_token(byte) => Ok(Part::TrailerName),
            (Part::TrailerName, b':') => Ok(Part::TrailerValue),
            (Part::TrailerValue, b'\r') => Ok(Part::TrailerLf),
            (Part::TrailerLf, b'\n') => Ok(Part::TrailerStart),
            (_, b'\n') | (Part::TrailerLf, _) => Err(Error::ChunkLineEnd),
            (Part::TrailerValue, _) if !is_control(byte) => Ok(Part::TrailerValue),
            _ => Err(Error::Trailer { byte }),
        }
    }
}

/// Bytes that no line of framing may hold; a tab may stand in it.
fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}
