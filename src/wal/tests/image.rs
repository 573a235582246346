//! What a start would find: a reader that takes nothing for granted and stops loudly.

use std::path::Path;

use crate::wal::format::{BLOCK_BYTES, GroupHeader, HEADER_BYTES, RecordHeader, SegmentHeader, parse_segment_name};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub kind: u8,
    pub epoch: u64,
    pub payload: Vec<u8>,
}

/// All that the files in a folder hold.
#[derive(Debug, Default)]
pub struct Image {
    pub records: Vec<Found>,
    /// Records of each group.
    pub groups: Vec<u32>,
    /// Segments with a header, in the order of the log: number, first sequence, bytes.
    pub segments: Vec<(u32, u64, u64)>,
    /// Files without a header.
    pub empty: usize,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Reads the segments of one life. Panics where a gap or something damaged stands before something whole.
pub fn read(dir: &Path) -> Image {
    let mut image = Image::default();
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let (life, number) = parse_segment_name(&name).unwrap_or_else(|| panic!("{name} is no segment"));
        // One that was freed may be removed at any time.
        let Ok(bytes) = std::fs::read(&path) else { continue };
        image.bytes += bytes.len() as u64;
        match SegmentHeader::decode(&bytes) {
            Ok(header) => {
                assert_eq!((header.life, header.file_bytes), (life, bytes.len() as u64), "{name}");
                assert_eq!(&header.owner, b"thisnode");
                segments.push((header.first_sequence, number, bytes));
            }
            Err(_) => {
                assert!(bytes.iter().all(|byte| *byte == 0), "{name} has no header, but is not empty");
                image.empty += 1;
            }
        }
    }
    segments.sort();
    let mut expected = segments.first().map_or(0, |first| first.0);
    let last = segments.len().saturating_sub(1);
    for (index, (first, number, bytes)) in segments.iter().enumerate() {
        assert_eq!(*first, expected, "segment {number} does not follow the one before");
        let life = SegmentHeader::decode(bytes).unwrap().life;
        let end = read_groups(bytes, life, &mut expected, &mut image);
        let behind = whole_behind(bytes, end, life, expected);
        assert_eq!(behind, None, "segment {number} is damaged at {end}");
        assert!(index == last || *first < expected, "segment {number} was left without a group");
        image.segments.push((*number, *first, bytes.len() as u64));
    }
    image
}

/// The end of the groups that follow each other.
fn read_groups(bytes: &[u8], life: u64, expected: &mut u64, image: &mut Image) -> usize {
    let mut at = BLOCK_BYTES;
    while let Some(header) = bytes.get(at..).and_then(GroupHeader::decode) {
        let start = at + HEADER_BYTES;
        let Some(payload) = bytes.get(start..start + header.payload_bytes as usize) else { break };
        let is_next = header.life == life && header.sequence == *expected;
        if !is_next || crc32fast::hash(payload) != header.payload_crc {
            break;
        }
        let padding = &bytes[start + payload.len()..at + header.disk_bytes() as usize];
        assert!(padding.iter().all(|byte| *byte == 0), "padding at {at}");
        read_records(payload, &header, image);
        *expected += 1;
        at += header.disk_bytes() as usize;
    }
    at
}

fn read_records(mut payload: &[u8], group: &GroupHeader, image: &mut Image) {
    let before = image.records.len();
    while !payload.is_empty() {
        let header = RecordHeader::decode(payload).unwrap();
        let (record, rest) = payload[16..].split_at(header.bytes as usize);
        assert!(header.epoch <= group.epoch_max);
        image.records.push(Found { kind: header.kind, epoch: header.epoch, payload: record.to_vec() });
        payload = rest;
    }
    assert_eq!(image.records.len() - before, group.records as usize);
    image.groups.push(group.records);
}

/// A group of this life that is newer than `sequence`, behind `end`.
fn whole_behind(bytes: &[u8], end: usize, life: u64, sequence: u64) -> Option<u64> {
    let mut headers = bytes[end..].chunks(BLOCK_BYTES).filter_map(GroupHeader::decode);
    headers.find(|header| header.life == life && header.sequence > sequence).map(|header| header.sequence)
}
