//! Lines that are not taken: found in their piece, shown, counted, and written to a file if that is wanted.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{Cause, Place};
use super::report::{CONFLICTS_MAX, Conflict, RefusedLine, SHOWN_MAX};
use super::source::Piece;
use crate::line::{self, ErrorKind, Judge, LineError, Outcome, PADDING, Padded, echo, point_lines};
use crate::table::{Listed, SchemaReject};

/// A line of a piece.
#[derive(Debug)]
pub struct Refused {
    /// Physical lines of the piece before it.
    pub lines: u64,
    pub reason: Box<str>,
    pub text: Box<[u8]>,
    pub conflict: Option<ConflictKey>,
}

/// Measurement, field, its type and the one that came.
type ConflictKey = (Box<str>, Box<str>, &'static str, &'static str);

impl Refused {
    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        let names = self.conflict.as_ref().map_or(0, |(measurement, field, ..)| measurement.len() + field.len());
        size_of::<Self>() + self.reason.len() + self.text.len() + names
    }

    pub fn at(self, piece: &Piece) -> RefusedLine {
        let place = Place { line: piece.place.line + self.lines, ..piece.place.clone() };
        RefusedLine { place, reason: self.reason, text: echo(&self.text) }
    }
}

/// Takes a line that is no line protocol out of `piece`: leaves blanks where it was, so that all others keep their places. Answers where it ends.
pub fn take_out(piece: &mut [u8], error: &LineError, reading: line::Options, refused: &mut Vec<Refused>) -> usize {
    let end = end_of_bad(piece, error, reading);
    let line = &mut piece[error.start..end];
    let reason = error.kind.to_string().into();
    refused.push(Refused { lines: error.line - 1, reason, text: (&*line).into(), conflict: None });
    // Line ends within it stay, because they count.
    line.iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
    end
}

/// Where the part of a bad line ends that is refused. A string that is not closed swallows what follows, up to the next quote or to the end: of
/// such a line the first physical one is bad, and the next is looked at for itself.
fn end_of_bad(piece: &[u8], error: &LineError, reading: line::Options) -> usize {
    let Some(feed) = memchr::memchr(b'\n', &piece[error.start..error.end]) else { return error.end };
    let feed = error.start + feed;
    if feed + 1 < error.end && (error.kind == ErrorKind::UnbalancedQuotes || is_point(&piece[feed + 1..], reading)) {
        return feed;
    }
    error.end
}

/// Whether the first physical line of `lines` is a point by itself.
fn is_point(lines: &[u8], reading: line::Options) -> bool {
    let end = memchr::memchr(b'\n', lines).unwrap_or(lines.len());
    let mut line = lines[..end].to_vec();
    line.resize(end + PADDING, 0);
    let line = Padded::new(&line, end).map(|line| line::parse(line, reading, &mut Judge));
    matches!(line, Some(Outcome::Complete { points: 1 }))
}

/// The lines of the points of `piece` that do not fit their tables; `listed` is in their order.
pub fn points_of(piece: &[u8], listed: &[Listed]) -> Vec<Refused> {
    let mut listed = listed.iter().peekable();
    let (mut lines, mut counted) = (0, 0);
    let mut found = Vec::with_capacity(listed.len());
    for (ordinal, line) in (0..).zip(point_lines(piece)) {
        if listed.peek().is_none() {
            break;
        }
        let Some(listed) = listed.next_if(|listed| listed.ordinal == ordinal) else { continue };
        lines += memchr::memchr_iter(b'\n', &piece[counted..line.start]).count() as u64;
        counted = line.start;
        // Retention, the only reason that is none of the schema's, is not applied.
        let Some(reason) = &listed.reason else { continue };
        let text = piece[line].trim_ascii_end().into();
        found.push(Refused { lines, reason: reason.to_string().into(), text, conflict: conflict_of(reason) });
    }
    found
}

fn conflict_of(reason: &SchemaReject) -> Option<ConflictKey> {
    match reason {
        SchemaReject::Conflict { measurement, field, given, known } => {
            Some((measurement.clone(), field.clone(), known, given))
        }
        _ => None,
    }
}

/// All refused lines of a conversion, in the order of the inputs.
pub struct Ledger {
    pub count: u64,
    pub first: Vec<RefusedLine>,
    conflicts: BTreeMap<(Arc<str>, ConflictKey), (u64, Place)>,
    collection: Option<Collection>,
}

impl Ledger {
    /// `folder`: where lines are collected, if they are; `name` of the file.
    pub fn new(collect: Option<(&Path, String)>) -> Self {
        let collection = collect.map(|(folder, name)| Collection { path: folder.join(name), file: None, bucket: None });
        Self { count: 0, first: Vec::new(), conflicts: BTreeMap::new(), collection }
    }

    /// Takes the refused lines of a piece; the pieces come in order.
    pub fn take(&mut self, piece: &Piece, refused: Vec<Refused>) -> Result<(), Cause> {
        self.count += refused.len() as u64;
        for line in refused {
            if let Some(collection) = &mut self.collection {
                let written = collection.write(piece, &line);
                written.map_err(|source| Cause::Collect { path: collection.path.clone(), source })?;
            }
            let conflict = line.conflict.clone();
            if self.first.len() >= SHOWN_MAX && conflict.is_none() {
                continue;
            }
            let line = line.at(piece);
            if let Some(conflict) = conflict {
                self.count_conflict((Arc::clone(&piece.bucket), conflict), &line.place);
            }
            if self.first.len() < SHOWN_MAX {
                self.first.push(line);
            }
        }
        Ok(())
    }

    fn count_conflict(&mut self, key: (Arc<str>, ConflictKey), place: &Place) {
        if self.conflicts.len() < CONFLICTS_MAX || self.conflicts.contains_key(&key) {
            self.conflicts.entry(key).or_insert_with(|| (0, place.clone())).0 += 1;
        }
    }

    pub fn conflicts(&self) -> Vec<Conflict> {
        let conflict = |(key, counted): (&(Arc<str>, ConflictKey), &(u64, Place))| {
            let ((bucket, (measurement, field, known, given)), (points, first)) = (key.clone(), counted.clone());
            Conflict { bucket: (*bucket).into(), measurement, field, known, given, points, first }
        };
        self.conflicts.iter().map(conflict).collect()
    }

    /// Writes out what was collected; answers where, if there is anything.
    pub fn finish(&mut self) -> Result<Option<PathBuf>, Cause> {
        let Some(Collection { path, file: Some(file), .. }) = &mut self.collection else { return Ok(None) };
        let written = file.flush().and_then(|()| file.get_ref().sync_all());
        match written {
            Ok(()) => Ok(Some(path.clone())),
            Err(source) => Err(Cause::Collect { path: path.clone(), source }),
        }
    }
}

/// A file of refused lines. It is line protocol itself: where a line stood and why it was refused are comments, so that the file can be
/// mended and converted.
struct Collection {
    path: PathBuf,
    /// Made with the first line.
    file: Option<BufWriter<File>>,
    /// Of the last line.
    bucket: Option<Arc<str>>,
}

/// As a comment can hold it: names of files, and reasons that quote a line, may have line ends.
fn one_line(text: &str) -> String {
    text.replace('\n', "\\n").replace('\r', "\\r")
}

impl Collection {
    fn write(&mut self, piece: &Piece, line: &Refused) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file = OpenOptions::new().write(true).create_new(true).open(&self.path)?;
                self.file.insert(BufWriter::new(file))
            }
        };
        if self.bucket.as_ref() != Some(&piece.bucket) {
            let bucket = one_line(&piece.bucket);
            write!(file, "# CONTEXT-DATABASE:{bucket}\n# CONTEXT-RETENTION-POLICY:autogen\n")?;
            self.bucket = Some(Arc::clone(&piece.bucket));
        }
        let place = format!("{}:{}: {}", piece.place.input, piece.place.line + line.lines, line.reason);
        writeln!(file, "# {}", one_line(&place))?;
        file.write_all(&line.text)?;
        file.write_all(b"\n")
    }
}
