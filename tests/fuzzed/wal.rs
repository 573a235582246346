//! Any bytes as a log, and a log with one place changed.
//!
//! The writer here knows the format from docs/FORMATS.md and not from the library.

use std::fs;
use std::path::Path;

use ringest::wal::{Found, WalError, inspect};

const BLOCK: usize = 4096;
const HEADER: usize = 64;

/// Kind, epoch, payload.
type Record = (u8, u64, Vec<u8>);

/// The first byte says what the rest is taken for.
///
/// # Panics
/// A record is read that was not written, or the two passes differ.
pub fn wal(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    match choice % 3 {
        0 => raw(data),
        1 => with_checksums(&mut Seeds(data)),
        _ => with_one_place_changed(&mut Seeds(data)),
    }
}

/// Numbers from the input; zeros when it has ended.
struct Seeds<'a>(&'a [u8]);

impl<'a> Seeds<'a> {
    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn wide(&mut self) -> usize {
        usize::from(self.byte()) << 8 | usize::from(self.byte())
    }

    fn take(&mut self, bytes: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(bytes.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// Two files of these bytes.
fn raw(data: &[u8]) {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = data.split_at(data.len() / 2);
    for (number, bytes) in [first, second].into_iter().enumerate() {
        let mut bytes = bytes.to_vec();
        bytes.resize(3 * BLOCK, 0);
        save(dir.path(), 1, number, &bytes);
    }
    let _ = read_both(dir.path());
}

/// Headers and groups with any values, in any order, whose checksums are right.
fn with_checksums(seeds: &mut Seeds<'_>) {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..4 {
        let life = 1 + u64::from(seeds.byte().is_multiple_of(8));
        let (first, is_headless, wrong_bytes) = (seeds.byte() % 8, seeds.byte().is_multiple_of(8), seeds.byte());
        let mut bytes = vec![0; BLOCK];
        let mut sequence = u64::from(first);
        for _ in 0..seeds.byte() % 8 {
            let place = seeds.byte();
            if place.is_multiple_of(8) {
                bytes.extend(padded(seeds.take(usize::from(place))));
                continue;
            }
            let life = life + u64::from(place % 16 == 1);
            sequence = (sequence + u64::from(place % 16 == 2)).saturating_sub(2 * u64::from(place % 16 == 3));
            bytes.extend(padded(&any_group(life, sequence, seeds)));
            sequence += 1;
        }
        let file_bytes = bytes.len() as u64 + u64::from(wrong_bytes.is_multiple_of(8)) * u64::from(wrong_bytes) * 64;
        if !is_headless {
            bytes[..HEADER].copy_from_slice(&segment_header(life, first.into(), file_bytes));
        }
        save(dir.path(), life, number, &bytes);
    }
    let _ = read_both(dir.path());
}

fn any_group(life: u64, sequence: u64, seeds: &mut Seeds<'_>) -> Vec<u8> {
    let shape = seeds.byte();
    let (mut payload, mut count) = (Vec::new(), 0);
    for _ in 0..shape % 4 {
        let bytes = seeds.byte();
        append(&mut payload, &(1 + bytes % 2, u64::from(shape), seeds.take(bytes.into()).to_vec()));
        count += 1;
    }
    match shape / 4 % 8 {
        0 => payload.extend(seeds.take(20)),
        1 => count += 1,
        // The length of a record.
        2 if payload.len() > 8 => payload[4..8].copy_from_slice(&u32::from(shape).pow(4).to_le_bytes()),
        _ => {}
    }
    let mut group = group(life, sequence, count, &payload);
    if shape / 32 == 1 {
        group[24..28].copy_from_slice(&(seeds.wide() as u32 * 0x1001).to_le_bytes());
        seal(&mut group);
    }
    group
}

/// A sound log of three segments, the first of them used before.
fn log(seeds: &mut Seeds<'_>) -> (Vec<Vec<u8>>, Vec<Vec<Record>>) {
    let (mut files, mut groups) = (Vec::new(), Vec::new());
    for number in 0..3 {
        let first = 10 + groups.len() as u64;
        let mut bytes = vec![0; BLOCK];
        for _ in 0..1 + seeds.byte() % 4 {
            let mut records: Vec<Record> = Vec::new();
            for _ in 0..seeds.byte() % 4 {
                let payload = vec![seeds.byte(); seeds.wide() % 6000];
                records.push((1 + seeds.byte() % 2, 100 + groups.len() as u64, payload));
            }
            bytes.extend(group_of(10 + groups.len() as u64, &records));
            groups.push(records);
        }
        if number == 0 {
            bytes.extend(group_of(5, &[(1, 1, b"stale".to_vec())]));
        } else {
            bytes.resize(bytes.len() + BLOCK, 0);
        }
        let header = segment_header(1, first, bytes.len() as u64);
        bytes[..HEADER].copy_from_slice(&header);
        files.push(bytes);
    }
    (files, groups)
}

fn with_one_place_changed(seeds: &mut Seeds<'_>) {
    let (file, place, shape) = (usize::from(seeds.byte()), seeds.wide(), seeds.byte());
    let change = seeds.take(1 + usize::from(shape % 8)).to_vec();
    let (mut files, groups) = log(seeds);
    let dir = tempfile::tempdir().unwrap();
    let bytes = &mut files[file % 3];
    let at = place * 5 % bytes.len();
    match shape / 8 % 4 {
        0 => bytes.truncate(at),
        // Most of what can go wrong is in the headers.
        1 => overwrite(bytes, at / BLOCK * BLOCK + at % HEADER, &change),
        2 => bytes[at..].fill(0),
        _ => overwrite(bytes, at, &change),
    }
    files.iter().enumerate().for_each(|(number, bytes)| save(dir.path(), 1, number, bytes));
    let written = groups.concat();
    let (strict, lenient) = read_both(dir.path());
    match strict {
        Ok((_, records)) => assert!(written.starts_with(&records)),
        Err(WalError::Damaged { .. } | WalError::Version { .. } | WalError::Owners { .. }) => {}
        Err(other) => panic!("{other}"),
    }
    if let Ok((_, records)) = lenient {
        let mut rest = written.iter();
        let stale = (1, 1, b"stale".to_vec());
        assert!(records.iter().all(|record| *record == stale || rest.any(|written| written == record)));
    }
}

fn overwrite(bytes: &mut [u8], at: usize, change: &[u8]) {
    bytes[at..].iter_mut().zip(change).for_each(|(byte, change)| *byte = *change);
}

type Outcome = Result<(Found, Vec<Record>), WalError>;

/// Without and with damage skipped. What the first takes, the second takes for the same.
fn read_both(dir: &Path) -> (Outcome, Outcome) {
    let (strict, lenient) = (read(dir, false), read(dir, true));
    if let Ok((_, records)) = &strict {
        let (found, same) = lenient.as_ref().expect("nothing had to be skipped");
        assert!(found.lost.is_empty() && same == records);
    }
    (strict, lenient)
}

fn read(dir: &Path, skip_damaged: bool) -> Outcome {
    let found = inspect(dir, None, skip_damaged)?;
    let mut records = Vec::new();
    let mut payload = Vec::new();
    let mut reader = found.reader();
    while let Some(head) = reader.next(&mut payload).expect("nobody has changed it") {
        records.push((head.kind, head.epoch, payload.clone()));
    }
    assert_eq!(found.records, records.len() as u64);
    assert_eq!(found.bytes, records.iter().map(|(_, _, bytes)| bytes.len() as u64).sum::<u64>());
    Ok((found, records))
}

fn save(dir: &Path, life: u64, number: usize, bytes: &[u8]) {
    fs::write(dir.join(format!("{life:016x}-{number:08}.wal")), bytes).unwrap();
}

fn segment_header(life: u64, first_sequence: u64, file_bytes: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(b"ringwal\0");
    header[8..12].copy_from_slice(&1_u32.to_le_bytes());
    header[12..16].copy_from_slice(&(BLOCK as u32).to_le_bytes());
    header[16..24].copy_from_slice(&life.to_le_bytes());
    header[24..32].copy_from_slice(&first_sequence.to_le_bytes());
    header[32..40].copy_from_slice(b"the node");
    header[40..48].copy_from_slice(&file_bytes.to_le_bytes());
    seal(&mut header);
    header
}

/// A padded group.
fn group_of(sequence: u64, records: &[Record]) -> Vec<u8> {
    let mut payload = Vec::new();
    records.iter().for_each(|record| append(&mut payload, record));
    padded(&group(1, sequence, records.len() as u32, &payload))
}

fn group(life: u64, sequence: u64, records: u32, payload: &[u8]) -> Vec<u8> {
    let mut group = vec![0; HEADER];
    group[..4].copy_from_slice(b"RGRP");
    group[4..8].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
    group[8..16].copy_from_slice(&sequence.to_le_bytes());
    group[16..24].copy_from_slice(&life.to_le_bytes());
    group[24..28].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    group[28..32].copy_from_slice(&records.to_le_bytes());
    seal(&mut group);
    group.extend(payload);
    group
}

fn append(payload: &mut Vec<u8>, (kind, epoch, bytes): &Record) {
    payload.extend([*kind, 0, 0, 0]);
    payload.extend((bytes.len() as u32).to_le_bytes());
    payload.extend(epoch.to_le_bytes());
    payload.extend(bytes);
}

fn seal(header: &mut [u8]) {
    let check = crc32fast::hash(&header[..60]);
    header[60..64].copy_from_slice(&check.to_le_bytes());
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}
