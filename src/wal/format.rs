//! The bytes of segments, groups and records (docs/FORMATS.md, "Log"): encoding and decoding only. All numbers are little-endian.

/// Everything in a segment begins at a multiple of this: its header, and each group. Also the unit in which a disk may tear a write.
pub const BLOCK_BYTES: usize = 4096;
/// Of a segment's header and of a group's; a segment's first group begins at [`BLOCK_BYTES`].
pub const HEADER_BYTES: usize = 64;
/// Of a record's header.
pub const RECORD_HEADER_BYTES: usize = 16;

pub const VERSION: u32 = 1;

const SEGMENT_MAGIC: [u8; 8] = *b"ringwal\0";
const GROUP_MAGIC: [u8; 4] = *b"RGRP";
/// Where both headers hold the checksum of what stands before it.
const CHECK: usize = 60;
/// What the name of every segment ends in.
pub const EXTENSION: &str = ".wal";

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A request as received, with its verdict.
    Request = 1,
    /// Births of the catalog.
    Births = 2,
}

impl Kind {
    /// `None`: written by a later version.
    pub fn of(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Request),
            2 => Some(Self::Births),
            _ => None,
        }
    }
}

/// The bytes of a group on disk whose records (with their headers) take `payload` bytes: with its header and padding.
pub const fn group_bytes(payload: u64) -> u64 {
    (HEADER_BYTES as u64 + payload).next_multiple_of(BLOCK_BYTES as u64)
}

/// The name of the segment that was the `number`-th to be made in a life. Recycling keeps the name: the order of the log is that of
/// the headers' first sequences.
pub fn segment_name(life: u64, number: u32) -> String {
    format!("{life:016x}-{number:08}{EXTENSION}")
}

/// The life and number in a segment's name; `None`: no segment is called so.
pub fn parse_segment_name(name: &str) -> Option<(u64, u32)> {
    let (life, number) = name.strip_suffix(EXTENSION)?.split_once('-')?;
    let parsed = (u64::from_str_radix(life, 16).ok()?, number.parse().ok()?);
    (segment_name(parsed.0, parsed.1) == name).then_some(parsed)
}

/// The first bytes of a segment; zeros follow up to [`BLOCK_BYTES`].
///
/// ```text
/// 0  "ringwal\0"     16 life             32 owner        48 zeros
/// 8  version u32     24 first sequence   40 file bytes   60 crc32 of 0..60
/// 12 block u32
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Random, drawn once per process.
    pub life: u64,
    /// Of the segment's first group.
    pub first_sequence: u64,
    /// The node that the log belongs to.
    pub owner: [u8; 8],
    pub file_bytes: u64,
}

/// Why bytes are no header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHeader {
    /// Zeros, a torn write, or damage.
    Invalid,
    /// Whole, but of another version, or with blocks of another size.
    Version { version: u32, block: u32 },
}

impl SegmentHeader {
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
        put_u32(&mut bytes, 8, VERSION);
        put_u32(&mut bytes, 12, BLOCK_BYTES as u32);
        put_u64(&mut bytes, 16, self.life);
        put_u64(&mut bytes, 24, self.first_sequence);
        bytes[32..40].copy_from_slice(&self.owner);
        put_u64(&mut bytes, 40, self.file_bytes);
        seal(&mut bytes);
        bytes
    }

    /// Reads the header at the beginning of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, NoHeader> {
        let bytes = sound(bytes).filter(|bytes| bytes[..8] == SEGMENT_MAGIC).ok_or(NoHeader::Invalid)?;
        let (version, block) = (u32_at(bytes, 8), u32_at(bytes, 12));
        if version != VERSION || block as usize != BLOCK_BYTES {
            return Err(NoHeader::Version { version, block });
        }
        let mut owner = [0; 8];
        owner.copy_from_slice(&bytes[32..40]);
        Ok(Self { life: u64_at(bytes, 16), first_sequence: u64_at(bytes, 24), owner, file_bytes: u64_at(bytes, 40) })
    }
}

/// The first bytes of a group; its payload follows, then zeros up to the next multiple of [`BLOCK_BYTES`].
///
/// ```text
/// 0  "RGRP"                     8  sequence   24 payload bytes u32   32 largest epoch   48 zeros
/// 4  crc32 of the payload       16 life       28 records u32         40 births          60 crc32 of 0..60
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupHeader {
    pub payload_crc: u32,
    /// 0, 1, 2, and so on over one life, without gaps.
    pub sequence: u64,
    pub life: u64,
    pub payload_bytes: u32,
    pub records: u32,
    /// The largest epoch of its records.
    pub epoch_max: u64,
    /// The most that one of its records says of births; 0 if none does.
    pub births: u64,
}

impl GroupHeader {
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&GROUP_MAGIC);
        put_u32(&mut bytes, 4, self.payload_crc);
        put_u64(&mut bytes, 8, self.sequence);
        put_u64(&mut bytes, 16, self.life);
        put_u32(&mut bytes, 24, self.payload_bytes);
        put_u32(&mut bytes, 28, self.records);
        put_u64(&mut bytes, 32, self.epoch_max);
        put_u64(&mut bytes, 40, self.births);
        seal(&mut bytes);
        bytes
    }

    /// Reads the header at the beginning of `bytes`. The payload is not looked at.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = sound(bytes).filter(|bytes| bytes[..4] == GROUP_MAGIC)?;
        Some(Self {
            payload_crc: u32_at(bytes, 4),
            sequence: u64_at(bytes, 8),
            life: u64_at(bytes, 16),
            payload_bytes: u32_at(bytes, 24),
            records: u32_at(bytes, 28),
            epoch_max: u64_at(bytes, 32),
            births: u64_at(bytes, 40),
        })
    }

    /// Whether two of magic, life and sequence are those of this group: what a torn or damaged header may leave.
    pub fn resembles(bytes: &[u8], life: u64, sequence: u64) -> bool {
        let Some(header) = bytes.get(..HEADER_BYTES) else { return false };
        let same = [header[..4] == GROUP_MAGIC, u64_at(header, 16) == life, u64_at(header, 8) == sequence];
        same.into_iter().filter(|same| *same).count() >= 2
    }

    /// Its bytes on disk, with payload and padding.
    pub fn disk_bytes(&self) -> u64 {
        group_bytes(u64::from(self.payload_bytes))
    }
}

/// What stands before each record of a payload: `kind u8 | zeros 3 | bytes u32 | epoch u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// See [`Kind::of`].
    pub kind: u8,
    /// Of the record, which follows without padding.
    pub bytes: u32,
    pub epoch: u64,
}

impl RecordHeader {
    pub fn encode(&self) -> [u8; RECORD_HEADER_BYTES] {
        let mut bytes = [0; RECORD_HEADER_BYTES];
        bytes[0] = self.kind;
        put_u32(&mut bytes, 4, self.bytes);
        put_u64(&mut bytes, 8, self.epoch);
        bytes
    }

    /// Reads the header at the beginning of `bytes`; `None` if they are too few. (A payload's checksum is known to hold by then.)
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..RECORD_HEADER_BYTES)?;
        Some(Self { kind: bytes[0], bytes: u32_at(bytes, 4), epoch: u64_at(bytes, 8) })
    }
}

pub(super) fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

pub(super) fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(value)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}

pub(super) fn seal(header: &mut [u8; HEADER_BYTES]) {
    let check = crc32fast::hash(&header[..CHECK]);
    put_u32(header, CHECK, check);
}

/// The header's bytes, if they are all there and its checksum holds.
pub(super) fn sound(bytes: &[u8]) -> Option<&[u8]> {
    let header = bytes.get(..HEADER_BYTES)?;
    (crc32fast::hash(&header[..CHECK]) == u32_at(header, CHECK)).then_some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: SegmentHeader =
        SegmentHeader { life: 0x0102_0304_0506_0708, first_sequence: 9, owner: *b"nodename", file_bytes: 8 << 20 };
    const GROUP: GroupHeader = GroupHeader {
        payload_crc: 0xA1A2_A3A4,
        sequence: 10,
        life: 0x0102_0304_0506_0708,
        payload_bytes: 4032,
        records: 3,
        epoch_max: 1_700_000_000_000,
        births: 7,
    };

    #[test]
    fn headers_come_back() {
        assert_eq!(SegmentHeader::decode(&SEGMENT.encode()), Ok(SEGMENT));
        assert_eq!(GroupHeader::decode(&GROUP.encode()), Some(GROUP));
        let record = RecordHeader { kind: Kind::Births as u8, bytes: 77, epoch: u64::MAX };
        assert_eq!(RecordHeader::decode(&record.encode()), Some(record));
        assert_eq!(RecordHeader::decode(&record.encode()[1..]), None);
    }

    /// The layout is a promise: files of one version are read by the next.
    #[test]
    fn every_field_has_its_place() {
        let segment = SEGMENT.encode();
        assert_eq!(&segment[..20], b"ringwal\0\x01\0\0\0\0\x10\0\0\x08\x07\x06\x05");
        assert_eq!((segment[24], &segment[32..40], segment[42]), (9, &b"nodename"[..], 0x80));
        let group = GROUP.encode();
        assert_eq!(&group[..9], b"RGRP\xA4\xA3\xA2\xA1\x0A");
        assert_eq!((group[16], group[25], group[28], group[40]), (8, 0x0F, 3, 7));
        assert!(segment[48..60].iter().chain(&group[48..60]).all(|byte| *byte == 0));
        let record = RecordHeader { kind: 1, bytes: 0x0102, epoch: 5 }.encode();
        assert_eq!(record, [1, 0, 0, 0, 2, 1, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_flipped_bit_is_found() {
        for bit in 0..HEADER_BYTES * 8 {
            let mut segment = SEGMENT.encode();
            segment[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&segment), Err(NoHeader::Invalid), "bit {bit}");
            let mut group = GROUP.encode();
            group[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(GroupHeader::decode(&group), None, "bit {bit}");
            assert!(GroupHeader::resembles(&group, GROUP.life, GROUP.sequence), "bit {bit}");
        }
        assert_eq!(SegmentHeader::decode(&[0; BLOCK_BYTES]), Err(NoHeader::Invalid));
        assert_eq!(GroupHeader::decode(&[0; BLOCK_BYTES]), None);
        assert_eq!(GroupHeader::decode(&GROUP.encode()[..63]), None);
    }

    #[test]
    fn another_version_is_told_from_damage() {
        let mut bytes = SEGMENT.encode();
        put_u32(&mut bytes, 8, 2);
        assert_eq!(SegmentHeader::decode(&bytes), Err(NoHeader::Invalid));
        seal(&mut bytes);
        assert_eq!(SegmentHeader::decode(&bytes), Err(NoHeader::Version { version: 2, block: 4096 }));
    }

    #[test]
    fn groups_fill_whole_blocks() {
        assert_eq!([0, 1, 4032, 4033, 8128].map(group_bytes), [4096, 4096, 4096, 8192, 8192]);
        assert_eq!(GROUP.disk_bytes(), 4096);
    }

    #[test]
    fn names_tell_life_and_number() {
        let name = segment_name(0xAB, 12);
        assert_eq!(name, "00000000000000ab-00000012.wal");
        assert_eq!(parse_segment_name(&name), Some((0xAB, 12)));
        assert_eq!(parse_segment_name(&segment_name(u64::MAX, u32::MAX)), Some((u64::MAX, u32::MAX)));
        for other in ["", "x.wal", "00000000000000AB-00000012.wal", "ab-12.wal", "00000000000000ab-00000012", "lock"] {
            assert_eq!(parse_segment_name(other), None, "{other}");
        }
    }
}
