//! `state/catalog`: the births in order, append-only and checksummed. The bytes are in docs/FORMATS.md.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::FieldType;

const MAGIC: [u8; 8] = *b"RINGCATA";
const VERSION: u32 = 1;
/// Magic, version, checksum of both.
const HEADER_BYTES: usize = 16;
/// Payload length, payload checksum, checksum of both.
const GROUP_HEADER_BYTES: usize = 12;

/// One birth, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    Bucket { name: Box<str>, retention_ns: Option<u64> },
    Table { bucket: u32, name: Box<str> },
    Tag { table: u32, name: Box<str>, parquet: Box<str> },
    Field { table: u32, kind: FieldType, name: Box<str>, parquet: Box<str> },
}

/// Why the catalog's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("cannot {action} the catalog {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("the catalog {} is damaged at byte {offset}: restore it from a backup of the state folder", path.display())]
    Damaged { path: PathBuf, offset: u64 },
    #[error(
        "the catalog {} is missing, but committed files of the lake rely on it: the types and names of their columns are not known; \
         nothing was changed. Restore it from a backup that is as new as the lake, or move state/ and lake/ away together and \
         start with an empty lake",
        path.display()
    )]
    Missing { path: PathBuf },
    #[error(
        "the catalog {} is damaged or cut off at byte {offset}, but committed files of the lake rely on its first {needed} bytes; \
         nothing was changed. Restore it from a backup that is as new as the lake, or move state/ and lake/ away together and \
         start with an empty lake",
        path.display()
    )]
    Incomplete { path: PathBuf, offset: u64, needed: u64 },
    #[error("{} is not a catalog that this version can read (found version {found}, known is {VERSION})", path.display())]
    Version { path: PathBuf, found: u32 },
}

/// The file, open for appending.
#[derive(Debug)]
pub struct Log {
    file: File,
    path: PathBuf,
    /// Bytes that are whole and synced; the next group goes there.
    len: u64,
    /// A sync failed: what the file holds is unknown, and no later sync can tell.
    poisoned: bool,
}

impl Log {
    /// Opens or creates the file in `dir` and returns its records. Its first `bytes_min` bytes were durable once, so they must be
    /// there; if they are not, the file is left as it is. A last group behind them that is not whole was never synced, so that
    /// nothing relies on it, and is cut off.
    pub fn open(dir: &Path, bytes_min: u64) -> Result<(Self, Vec<Record>), CatalogError> {
        let path = dir.join("catalog");
        let fail = |action| {
            let path = path.clone();
            move |source| CatalogError::Io { action, path, source }
        };
        let create = bytes_min == 0;
        let mut file = match OpenOptions::new().read(true).write(true).create(create).truncate(false).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !create => {
                return Err(CatalogError::Missing { path });
            }
            file => file.map_err(fail("open"))?,
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(fail("read"))?;
        if bytes.len() < HEADER_BYTES && bytes_min > 0 {
            return Err(CatalogError::Incomplete { path, offset: 0, needed: bytes_min });
        }
        if bytes.len() < HEADER_BYTES {
            // Created just before a crash, or now: nothing was ever acknowledged on its strength.
            write_header(&mut file, dir).map_err(fail("create"))?;
            return Ok((Self { file, path, len: HEADER_BYTES as u64, poisoned: false }, Vec::new()));
        }
        check_header(&bytes, &path)?;
        let (records, len) = read_groups(&bytes, &path)?;
        if (len as u64) < bytes_min {
            return Err(CatalogError::Incomplete { path, offset: len as u64, needed: bytes_min });
        }
        if len < bytes.len() {
            tracing::warn!(
                path = %path.display(),
                bytes = bytes.len() - len,
                "cut an unfinished write off the end of the catalog"
            );
        }
        file.set_len(len as u64).and_then(|()| file.sync_all()).map_err(fail("sync"))?;
        Ok((Self { file, path, len: len as u64, poisoned: false }, records))
    }

    /// Bytes that are durable.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Makes `records` durable.
    pub fn append(&mut self, records: &[Record]) -> io::Result<()> {
        if self.poisoned {
            return Err(io::Error::other(format!(
                "an earlier sync of {} failed; restart the node",
                self.path.display()
            )));
        }
        let mut payload = Vec::new();
        records.iter().for_each(|record| record.encode(&mut payload));
        let length = u32::try_from(payload.len()).map_err(|_| io::Error::other("more than 4 GiB of births at once"))?;
        let mut group = Vec::with_capacity(GROUP_HEADER_BYTES + payload.len());
        group.extend_from_slice(&length.to_le_bytes());
        group.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
        let check = crc32fast::hash(&group);
        group.extend_from_slice(&check.to_le_bytes());
        group.extend_from_slice(&payload);
        self.file.seek(SeekFrom::Start(self.len))?;
        if let Err(error) = self.file.write_all(&group) {
            // Whatever was written is behind `len` and will be overwritten or cut.
            self.file.set_len(self.len)?;
            return Err(error);
        }
        if let Err(error) = self.file.sync_data() {
            self.poisoned = true;
            return Err(error);
        }
        self.len += group.len() as u64;
        Ok(())
    }
}

/// The records of the file in `dir`; none if there is no file. What is not whole at its end is passed over.
pub fn read(dir: &Path) -> Result<Vec<Record>, CatalogError> {
    let path = dir.join("catalog");
    let bytes = match std::fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        bytes => bytes.map_err(|source| CatalogError::Io { action: "read", path: path.clone(), source })?,
    };
    if bytes.len() < HEADER_BYTES {
        return Ok(Vec::new());
    }
    check_header(&bytes, &path)?;
    Ok(read_groups(&bytes, &path)?.0)
}

fn write_header(file: &mut File, dir: &Path) -> io::Result<()> {
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&header)?;
    file.sync_all()?;
    File::open(dir)?.sync_all()
}

fn check_header(bytes: &[u8], path: &Path) -> Result<(), CatalogError> {
    let sound = bytes[..8] == MAGIC && crc32fast::hash(&bytes[..12]) == u32_at(bytes, 12);
    if !sound {
        return Err(CatalogError::Damaged { path: path.to_owned(), offset: 0 });
    }
    match u32_at(bytes, 8) {
        VERSION => Ok(()),
        found => Err(CatalogError::Version { path: path.to_owned(), found }),
    }
}

/// Reads all groups; returns their records and the length of the sound part.
fn read_groups(bytes: &[u8], path: &Path) -> Result<(Vec<Record>, usize), CatalogError> {
    let damaged = |offset: usize| CatalogError::Damaged { path: path.to_owned(), offset: offset as u64 };
    let mut records = Vec::new();
    let mut at = HEADER_BYTES;
    while at < bytes.len() {
        let Some(payload) = group_at(bytes, at) else {
            // The last group may be torn; one that a sound group follows is damage.
            return match (at + 1..bytes.len()).any(|later| group_at(bytes, later).is_some()) {
                true => Err(damaged(at)),
                false => Ok((records, at)),
            };
        };
        let mut rest = payload;
        while !rest.is_empty() {
            records.push(Record::decode(&mut rest).ok_or_else(|| damaged(at))?);
        }
        at += GROUP_HEADER_BYTES + payload.len();
    }
    Ok((records, at))
}

/// The payload of the sound group at `at`.
fn group_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let header = bytes.get(at..at + GROUP_HEADER_BYTES)?;
    if crc32fast::hash(&header[..8]) != u32_at(header, 8) {
        return None;
    }
    let start = at + GROUP_HEADER_BYTES;
    let payload = bytes.get(start..start.checked_add(u32_at(header, 0) as usize)?)?;
    (crc32fast::hash(payload) == u32_at(header, 4)).then_some(payload)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

impl Record {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Bucket { name, retention_ns } => {
                out.push(1);
                put_text(out, name);
                out.extend_from_slice(&retention_ns.unwrap_or(0).to_le_bytes());
            }
            Self::Table { bucket, name } => {
                out.push(2);
                out.extend_from_slice(&bucket.to_le_bytes());
                put_text(out, name);
            }
            Self::Tag { table, name, parquet } => {
                out.push(3);
                out.extend_from_slice(&table.to_le_bytes());
                put_text(out, name);
                put_text(out, parquet);
            }
            Self::Field { table, kind, name, parquet } => {
                out.push(4);
                out.extend_from_slice(&table.to_le_bytes());
                out.push(*kind as u8);
                put_text(out, name);
                put_text(out, parquet);
            }
        }
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        Some(match take(bytes, 1)?[0] {
            1 => {
                let name = take_text(bytes)?;
                let nanoseconds = u64::from_le_bytes(take(bytes, 8)?.try_into().ok()?);
                Self::Bucket { name, retention_ns: (nanoseconds != 0).then_some(nanoseconds) }
            }
            2 => Self::Table { bucket: take_u32(bytes)?, name: take_text(bytes)? },
            3 => Self::Tag { table: take_u32(bytes)?, name: take_text(bytes)?, parquet: take_text(bytes)? },
            4 => Self::Field {
                table: take_u32(bytes)?,
                kind: FieldType::of_byte(take(bytes, 1)?[0])?,
                name: take_text(bytes)?,
                parquet: take_text(bytes)?,
            },
            _ => return None,
        })
    }
}

pub fn put_text(out: &mut Vec<u8>, text: &str) {
    // Names come out of bodies, which are at most 1 GiB.
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

pub fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

pub fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    take(bytes, 4).map(|taken| u32_at(taken, 0))
}

pub fn take_text(bytes: &mut &[u8]) -> Option<Box<str>> {
    let length = take_u32(bytes)? as usize;
    std::str::from_utf8(take(bytes, length)?).ok().map(Box::from)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn records(from: u32) -> Vec<Record> {
        vec![
            Record::Bucket { name: format!("db{from}").into(), retention_ns: (from == 0).then_some(72) },
            Record::Table { bucket: from, name: "größe".into() },
            Record::Tag { table: from, name: "host".into(), parquet: "host".into() },
            Record::Field { table: from, kind: FieldType::Boolean, name: "host".into(), parquet: "host_field".into() },
        ]
    }

    #[test]
    fn records_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, found) = Log::open(dir.path(), 0).unwrap();
        assert!(found.is_empty());
        log.append(&records(0)).unwrap();
        log.append(&records(1)).unwrap();
        let (_, found) = Log::open(dir.path(), 0).unwrap();
        assert_eq!(found, [records(0), records(1)].concat());
    }

    #[test]
    fn a_tail_torn_at_any_byte_is_cut_and_appending_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog");
        let (mut log, _) = Log::open(dir.path(), 0).unwrap();
        log.append(&records(0)).unwrap();
        let whole = log.len as usize;
        log.append(&records(1)).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for torn in whole..bytes.len() {
            std::fs::write(&path, &bytes[..torn]).unwrap();
            let (mut log, found) = Log::open(dir.path(), 0).unwrap();
            assert_eq!(found, records(0), "torn at {torn}");
            log.append(&records(2)).unwrap();
            assert_eq!(Log::open(dir.path(), 0).unwrap().1, [records(0), records(2)].concat());
        }
    }

    /// What a start says to `bytes`, of which `needed` are relied upon; it must leave them alone.
    fn refusal(dir: &Path, bytes: &[u8], needed: u64) -> CatalogError {
        std::fs::write(dir.join("catalog"), bytes).unwrap();
        let error = Log::open(dir, needed).map(|_| ()).unwrap_err();
        assert_eq!(std::fs::read(dir.join("catalog")).unwrap(), bytes, "{error}");
        error
    }

    #[test]
    fn every_damage_to_what_is_relied_upon_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = Log::open(dir.path(), 0).unwrap();
        let mut ends = vec![0, log.len()];
        for group in 0..3 {
            log.append(&records(group)).unwrap();
            ends.push(log.len());
        }
        let whole = std::fs::read(dir.path().join("catalog")).unwrap();
        let start_of = |byte: usize| ends.iter().copied().rfind(|end| *end <= byte as u64).unwrap();
        // The last group is relied upon, or is a tail behind what is.
        for needed in [ends[4], ends[3]] {
            let relied = needed as usize;
            for cut in 0..relied {
                match refusal(dir.path(), &whole[..cut], needed) {
                    CatalogError::Incomplete { offset, .. } => assert_eq!(offset, start_of(cut), "cut at {cut}"),
                    error => panic!("cut at {cut}: {error}"),
                }
            }
            for flipped in 0..relied {
                let mut bytes = whole.clone();
                bytes[flipped] ^= 0x40;
                match refusal(dir.path(), &bytes, needed) {
                    CatalogError::Incomplete { offset, .. } | CatalogError::Damaged { offset, .. } => {
                        assert_eq!(offset, start_of(flipped), "flipped at {flipped}");
                    }
                    error => panic!("flipped at {flipped}: {error}"),
                }
            }
            for torn in relied..=whole.len() {
                std::fs::write(dir.path().join("catalog"), &whole[..torn]).unwrap();
                let (log, _) = Log::open(dir.path(), needed).unwrap();
                assert_eq!(log.len(), if torn == whole.len() { ends[4] } else { needed }, "torn at {torn}");
            }
        }
        std::fs::remove_file(dir.path().join("catalog")).unwrap();
        let error = Log::open(dir.path(), ends[4]).map(|_| ()).unwrap_err();
        assert!(matches!(error, CatalogError::Missing { .. }), "{error}");
        assert!(!dir.path().join("catalog").exists());
    }

    #[test]
    fn damage_before_a_sound_group_stops_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog");
        let (mut log, _) = Log::open(dir.path(), 0).unwrap();
        log.append(&records(0)).unwrap();
        let whole = log.len as usize;
        log.append(&records(1)).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for flipped in 0..whole {
            let mut bytes = bytes.clone();
            bytes[flipped] ^= 0x40;
            std::fs::write(&path, &bytes).unwrap();
            assert!(Log::open(dir.path(), 0).is_err(), "flipped at {flipped}");
        }
    }
}
