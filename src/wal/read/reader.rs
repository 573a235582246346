//! The records of a checked log, one after the other.

use std::path::PathBuf;

use super::super::WalError;
use super::super::format::{GroupHeader, HEADER_BYTES, RECORD_HEADER_BYTES, RecordHeader};
use super::blocks::Blocks;
use super::{Found, Segment};

/// Reads the records of a [`Found`] log once more, one after the other; holds one record in memory.
#[derive(Debug)]
pub struct Reader<'a> {
    segments: &'a [Segment],
    /// Index of the segment that is read, and of its run.
    segment: usize,
    run: usize,
    /// The open file; `None` at the beginning of a segment.
    blocks: Option<Blocks>,
    group: Option<Group>,
    /// Offset of the last record's header.
    record: u64,
}

/// A record's kind (as its byte) and epoch; the payload is in the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub kind: u8,
    pub epoch: u64,
}

/// What is to come of a group.
#[derive(Debug)]
struct Group {
    header: GroupHeader,
    /// Where the next one begins.
    end: u64,
    bytes: u64,
    records: u32,
    /// Of the payload that was read.
    crc: crc32fast::Hasher,
}

impl<'a> Reader<'a> {
    pub(super) fn new(found: &'a Found) -> Self {
        Self { segments: &found.segments, segment: 0, run: 0, blocks: None, group: None, record: 0 }
    }

    /// The next record, its payload in `payload` (cleared first); `None` at the end.
    ///
    /// # Errors
    /// A file cannot be read, or is not what it was when it was checked. Nothing can be read after that.
    pub fn next(&mut self, payload: &mut Vec<u8>) -> Result<Option<Head>, WalError> {
        payload.clear();
        let Some(segment) = self.go_to_record()? else { return Ok(None) };
        let (Some(blocks), Some(group)) = (&mut self.blocks, &mut self.group) else { return Ok(None) };
        self.record = blocks.at();
        let changed = || WalError::Changed { path: segment.path.clone(), offset: self.record };
        if group.bytes < RECORD_HEADER_BYTES as u64 {
            return Err(changed());
        }
        let mut header = [0; RECORD_HEADER_BYTES];
        blocks.read(&mut header)?;
        group.crc.update(&header);
        group.bytes -= RECORD_HEADER_BYTES as u64;
        let Some(record) = RecordHeader::decode(&header) else { return Err(changed()) };
        if u64::from(record.bytes) > group.bytes {
            return Err(changed());
        }
        blocks.append(payload, record.bytes as usize)?;
        group.crc.update(payload);
        group.bytes -= u64::from(record.bytes);
        group.records -= 1;
        if group.records == 0 && (group.bytes > 0 || group.crc.clone().finalize() != group.header.payload_crc) {
            return Err(changed());
        }
        Ok(Some(Head { kind: record.kind, epoch: record.epoch }))
    }

    /// Where the last record lies, for messages.
    pub fn place(&self) -> (PathBuf, u64) {
        let segment = self.segments.get(self.segment).or(self.segments.last());
        (segment.map_or(PathBuf::new(), |segment| segment.path.clone()), self.record)
    }

    /// Goes to the next group that has a record left; `None` at the end of the log.
    fn go_to_record(&mut self) -> Result<Option<&'a Segment>, WalError> {
        loop {
            let Some(segment) = self.segments.get(self.segment) else { return Ok(None) };
            if self.group.as_ref().is_some_and(|group| group.records > 0) {
                return Ok(Some(segment));
            }
            let Some(run) = segment.runs.get(self.run) else {
                self.segment += 1;
                (self.run, self.blocks, self.group) = (0, None, None);
                continue;
            };
            let (start, sequence) = match &self.group {
                None => (run.start, run.sequence),
                Some(group) => (group.end, group.header.sequence.saturating_add(1)),
            };
            if start >= run.end {
                (self.run, self.group) = (self.run + 1, None);
                continue;
            }
            let blocks = match &mut self.blocks {
                Some(blocks) => blocks,
                closed => closed.insert(Blocks::open(&segment.path)?),
            };
            self.group = Some(Group::open(blocks, segment, start, run.end, sequence)?);
        }
    }
}

impl Group {
    /// Checks again what was seen of the header; the payload is checked as it is read.
    fn open(blocks: &mut Blocks, segment: &Segment, start: u64, end: u64, sequence: u64) -> Result<Self, WalError> {
        let mut header = [0; HEADER_BYTES];
        blocks.go(start)?;
        blocks.read(&mut header)?;
        let expected = |group: &GroupHeader| {
            group.life == segment.life && group.sequence == sequence && group.disk_bytes() <= end - start
        };
        let header = GroupHeader::decode(&header).filter(expected);
        let header = header.ok_or_else(|| WalError::Changed { path: segment.path.clone(), offset: start })?;
        Ok(Self {
            header,
            end: start + header.disk_bytes(),
            bytes: u64::from(header.payload_bytes),
            records: header.records,
            crc: crc32fast::Hasher::new(),
        })
    }
}
