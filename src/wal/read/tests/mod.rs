//! Logs written byte by byte, and what is read of them.
#![allow(clippy::unwrap_used)]

mod damage;
mod random;
mod states;
mod torn;
mod written;

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::super::format::{
    BLOCK_BYTES, GroupHeader, HEADER_BYTES, Kind, RecordHeader, SegmentHeader, group_bytes, segment_name,
};
use super::{Found, inspect};
use crate::wal::WalError;

pub(super) const LIFE: u64 = 0xA1B2_C3D4_E5F6_0718;
pub(super) const OWNER: [u8; 8] = *b"thisnode";
pub(super) const BLOCK: usize = BLOCK_BYTES;

/// Kind, epoch, payload.
pub(super) type Written = (u8, u64, Vec<u8>);

/// A record that no other group has.
pub(super) fn record(sequence: u64, index: u64, bytes: usize) -> Written {
    let kind = if index % 3 == 2 { Kind::Births } else { Kind::Request };
    let seed = sequence * 31 + index * 7 + 1;
    (kind as u8, 1000 + sequence, (0..bytes as u64).map(|at| (seed + at * at) as u8).collect())
}

/// The records of a group that takes `blocks` blocks, its padding less than `bytes_spared`.
pub(super) fn records(sequence: u64, blocks: usize) -> Vec<Written> {
    let room = blocks * BLOCK - HEADER_BYTES - 3 * 16;
    [100, 0, room - 100 - 40].into_iter().zip(0..).map(|(bytes, index)| record(sequence, index, bytes)).collect()
}

/// The bytes of a segment, as the writer of the log would leave them.
#[derive(Clone)]
pub(super) struct Image {
    pub number: u32,
    pub header: SegmentHeader,
    pub bytes: Vec<u8>,
    pub is_recycled: bool,
    at: usize,
    sequence: u64,
    /// Of the groups of the current use: where each lies, without padding, and what it holds.
    pub groups: Vec<(Range<usize>, Vec<Written>)>,
}

impl Image {
    pub fn new(number: u32, first_sequence: u64, blocks: usize) -> Self {
        let bytes = vec![0; blocks * BLOCK];
        let header = SegmentHeader { life: LIFE, first_sequence, owner: OWNER, file_bytes: bytes.len() as u64 };
        let (at, sequence, groups) = (BLOCK, first_sequence, Vec::new());
        let mut image = Self { number, header, bytes, is_recycled: false, at, sequence, groups };
        image.write_header();
        image
    }

    pub fn write_header(&mut self) {
        self.bytes[..HEADER_BYTES].copy_from_slice(&self.header.encode());
    }

    /// The header of a new use; the groups of the old one stay behind it.
    pub fn recycle(&mut self, first_sequence: u64) {
        self.header.first_sequence = first_sequence;
        self.write_header();
        self.is_recycled = true;
        (self.at, self.sequence, self.groups) = (BLOCK, first_sequence, Vec::new());
    }

    pub fn next_sequence(&self) -> u64 {
        self.sequence
    }

    pub fn skip_sequence(&mut self) -> &mut Self {
        self.sequence += 1;
        self
    }

    pub fn free_blocks(&self) -> usize {
        (self.bytes.len() - self.at) / BLOCK
    }

    /// Appends a group of so many blocks.
    pub fn group(&mut self, blocks: usize) -> &mut Self {
        self.group_of(records(self.sequence, blocks))
    }

    pub fn group_of(&mut self, records: Vec<Written>) -> &mut Self {
        let group = encode(self.header.life, self.sequence, &records);
        let (start, end) = (self.at, self.at + group.len());
        self.bytes[start..end].copy_from_slice(&group);
        // The padding is written too.
        self.at = start + group_bytes((group.len() - HEADER_BYTES) as u64) as usize;
        self.bytes[end..self.at].fill(0);
        self.groups.push((start..end, records));
        self.sequence += 1;
        self
    }

    pub fn path(&self, dir: &Path) -> PathBuf {
        dir.join(segment_name(self.header.life, self.number))
    }

    pub fn save(&self, dir: &Path) {
        std::fs::write(self.path(dir), &self.bytes).unwrap();
    }
}

/// A group without its padding.
pub(super) fn encode(life: u64, sequence: u64, records: &[Written]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (kind, epoch, bytes) in records {
        payload.extend(RecordHeader { kind: *kind, bytes: bytes.len() as u32, epoch: *epoch }.encode());
        payload.extend(bytes);
    }
    let header = GroupHeader {
        payload_crc: crc32fast::hash(&payload),
        sequence,
        life,
        payload_bytes: payload.len() as u32,
        records: records.len() as u32,
        epoch_max: records.iter().map(|(_, epoch, _)| *epoch).max().unwrap_or(0),
        births: 0,
    };
    [&header.encode()[..], &payload].concat()
}

pub(super) fn all_records<'a>(images: impl IntoIterator<Item = &'a Image>) -> Vec<Written> {
    images.into_iter().flat_map(|image| &image.groups).flat_map(|(_, records)| records.clone()).collect()
}

pub(super) fn folder(images: &[&Image]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    images.iter().for_each(|image| image.save(dir.path()));
    dir
}

/// Inspects the log and reads it, and checks that both passes saw the same.
pub(super) fn read(dir: &Path, skip_damaged: bool) -> Result<(Found, Vec<Written>), WalError> {
    read_with(dir, None, skip_damaged)
}

/// With a note.
pub(super) fn read_with(
    dir: &Path,
    note: Option<&Path>,
    skip_damaged: bool,
) -> Result<(Found, Vec<Written>), WalError> {
    let found = inspect(dir, note, skip_damaged)?;
    let mut written = Vec::new();
    let mut payload = b"left over".to_vec();
    let mut reader = found.reader();
    while let Some(head) = reader.next(&mut payload)? {
        written.push((head.kind, head.epoch, payload.clone()));
    }
    assert_eq!(found.records, written.len() as u64);
    assert_eq!(found.bytes, written.iter().map(|(_, _, bytes)| bytes.len() as u64).sum::<u64>());
    assert_eq!(found.epoch_max, written.iter().map(|(_, epoch, _)| *epoch).max().unwrap_or(0));
    assert_eq!(found.groups, found.segments.iter().map(|segment| segment.tally.groups).sum::<u64>());
    assert!(skip_damaged || found.lost.is_empty());
    Ok((found, written))
}

/// The log is read without complaint and holds what these images do; returns what else was found.
#[track_caller]
pub(super) fn sound(dir: &Path, images: &[&Image]) -> Found {
    let (found, written) = read(dir, false).unwrap();
    assert!(written == all_records(images.iter().copied()), "{found:?}");
    assert_eq!(found.groups, images.iter().map(|image| image.groups.len() as u64).sum::<u64>());
    found
}

/// The start is refused: file, offset and the words of the sentence.
#[track_caller]
pub(super) fn damaged(dir: &Path) -> (PathBuf, u64, String) {
    match read(dir, false) {
        Err(WalError::Damaged { path, offset, what }) => (path, offset, what),
        Err(other) => panic!("{other}"),
        Ok((found, _)) => panic!("{found:?}"),
    }
}
