//! What is read of a manifest that is whole, torn, damaged, or somebody else's.

use std::fs;
use std::path::{Path, PathBuf};

use crate::lake::LakeError;
use crate::lake::inventory::Inventory;
use crate::lake::manifest::{Damage, HEADER_BYTES, Manifest, NewCheckpoint, Record};

use super::home::read_manifest;

const COMMIT: Record = Record::Commit { epoch: 11, catalog_bytes: 16 };

fn records() -> Vec<Record> {
    vec![
        Record::Intent { epoch: 7, adds: vec!["lake/a".into(), "lake/ü".into()], removes: vec!["lake/c".into()] },
        Record::Commit { epoch: 7, catalog_bytes: 1 << 40 },
        Record::Intent { epoch: 9, adds: vec![], removes: vec![] },
        Record::Abort { epoch: 9 },
        Record::Commit { epoch: 10, catalog_bytes: 1 << 41 },
    ]
}

/// A manifest with `records()` and where each of them ends.
fn filled(folder: &Path) -> (PathBuf, Vec<usize>) {
    let path = folder.join("manifest");
    let mut manifest = Manifest::create(&path).unwrap();
    let ends = records().into_iter().map(|record| {
        manifest.append(&record).unwrap();
        manifest.bytes() as usize
    });
    (path, ends.collect())
}

#[test]
fn records_are_read_back_and_more_can_follow() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = filled(folder.path());
    let read = read_manifest(&path).unwrap();
    assert_eq!((&read.records, read.torn_bytes), (&records(), 0));
    let mut manifest = Manifest::open(&path, read.node, read.end).unwrap();
    manifest.append(&COMMIT).unwrap();
    let again = read_manifest(&path).unwrap();
    assert_eq!(again.records.len(), 6);
    assert_eq!(again.node, manifest.node());
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let (path, ends) = filled(folder.path());
    let whole = fs::read(&path).unwrap();
    for length in HEADER_BYTES..=whole.len() {
        // Cut off, and filled with zeros as a power cut may leave it.
        for filled in [length, whole.len().max(length + 9)] {
            let mut torn = whole[..length].to_vec();
            torn.resize(filled, 0);
            fs::write(&path, &torn).unwrap();
            let read = read_manifest(&path).unwrap();
            let intact = ends.iter().filter(|end| **end <= length).count();
            // Zero bytes may be what was there.
            assert!(read.records.len() >= intact);
            assert_eq!(read.records, records()[..read.records.len()]);
            Manifest::open(&path, read.node, read.end).unwrap().append(&COMMIT).unwrap();
            let again = read_manifest(&path).unwrap();
            assert_eq!((again.records.len(), again.torn_bytes), (read.records.len() + 1, 0));
        }
    }
}

#[test]
fn a_damaged_record_before_an_intact_one_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let (path, ends) = filled(folder.path());
    let whole = fs::read(&path).unwrap();
    for at in HEADER_BYTES..ends[2] {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x20;
        fs::write(&path, &damaged).unwrap();
        let start = ends.iter().rev().copied().find(|end| *end <= at).unwrap_or(HEADER_BYTES);
        match read_manifest(&path) {
            Err(LakeError::ManifestDamaged { damage, .. }) => {
                assert_eq!(damage, Damage::Record { offset: start as u64 });
            }
            other => panic!("byte {at}: {other:?}"),
        }
        assert_eq!(fs::read(&path).unwrap(), damaged, "a damaged manifest is not touched");
    }
}

#[test]
fn a_foreign_or_newer_header_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = filled(folder.path());
    let whole = fs::read(&path).unwrap();
    for at in 0..HEADER_BYTES {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&path, &damaged).unwrap();
        match read_manifest(&path).unwrap_err() {
            LakeError::ManifestVersion { .. } => assert!((8..12).contains(&at), "byte {at}"),
            LakeError::ManifestDamaged { damage, .. } => assert_eq!(damage, Damage::Header, "byte {at}"),
            error => panic!("byte {at}: {error}"),
        }
    }
    for length in 0..HEADER_BYTES {
        fs::write(&path, &whole[..length]).unwrap();
        let error = read_manifest(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("cut off within its header, at byte {length} of 24")), "{error}");
    }
}

/// A path that a file of the lake may have.
fn file(n: u64) -> String {
    format!("lake/b/m/day=2024-01-01/{n:013}-0000-0000000000000001.parquet")
}

/// A manifest that begins with a checkpoint of such files, and where that ends.
fn condensed(folder: &Path, files: u64) -> (PathBuf, usize) {
    let path = folder.join("manifest");
    let files: Vec<String> = (0..files).map(file).collect();
    let inventory: Inventory = files.iter().map(String::as_str).collect();
    let checkpoint = NewCheckpoint { epoch: 7, floor: 9, catalog_bytes: 1 << 41, files: &inventory };
    let aside = Manifest::create(&path).unwrap().begin_aside(&checkpoint).unwrap();
    let manifest = aside.finish().unwrap().take_place().unwrap();
    let end = manifest.bytes() as usize;
    assert_eq!(end as u64, HEADER_BYTES as u64 + checkpoint.encoded_bytes());
    (path, end)
}

#[test]
fn a_checkpoint_is_read_back_file_by_file() {
    let folder = tempfile::tempdir().unwrap();
    for count in [0, 1, 5_000] {
        let (path, end) = condensed(folder.path(), count);
        assert_eq!(fs::metadata(&path).unwrap().len() as usize, end);
        let read = read_manifest(&path).unwrap();
        let checkpoint = read.checkpoint.unwrap();
        assert_eq!((checkpoint.epoch, checkpoint.floor, checkpoint.catalog_bytes), (7, 9, 1 << 41));
        assert_eq!(checkpoint.files.map(Result::unwrap).collect::<Vec<_>>(), (0..count).map(file).collect::<Vec<_>>());
        let mut manifest = Manifest::open(&path, read.node, read.end).unwrap();
        manifest.append(&COMMIT).unwrap();
        assert_eq!(read_manifest(&path).unwrap().records, [COMMIT]);
    }
}

#[test]
fn a_damaged_checkpoint_is_refused_or_torn() {
    let folder = tempfile::tempdir().unwrap();
    let (path, end) = condensed(folder.path(), 3);
    let whole = fs::read(&path).unwrap();
    let read = read_manifest(&path).unwrap();
    Manifest::open(&path, read.node, read.end).unwrap().append(&COMMIT).unwrap();
    let followed = fs::read(&path).unwrap();
    for at in HEADER_BYTES..end {
        let mut damaged = followed.clone();
        damaged[at] ^= 0x20;
        fs::write(&path, &damaged).unwrap();
        let error = read_manifest(&path).unwrap_err();
        assert!(error.to_string().contains("is damaged at byte 24, and intact records follow"), "{at}: {error}");
        fs::write(&path, &damaged[..end]).unwrap();
        let read = read_manifest(&path).unwrap();
        assert!(read.checkpoint.is_none() && read.torn_bytes as usize == end - HEADER_BYTES, "{at}");
        fs::write(&path, &whole[..at]).unwrap();
        assert!(read_manifest(&path).unwrap().checkpoint.is_none(), "{at}");
    }
}

/// Records behind damage are searched for piece by piece: their mark may lie across two of them.
#[test]
fn an_intact_record_is_found_however_far_behind_the_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("manifest");
    let mut manifest = Manifest::create(&path).unwrap();
    for epoch in [1, 2] {
        manifest.append(&Record::Abort { epoch }).unwrap();
    }
    let whole = fs::read(&path).unwrap();
    let second = HEADER_BYTES + (whole.len() - HEADER_BYTES) / 2;
    for apart in [(1 << 20) - 5, (1 << 20) - 3, (1 << 20) - 1, 1 << 20, (3 << 20) - 7] {
        let damaged = [&whole[..HEADER_BYTES], &vec![b'x'; apart], &whole[second..]].concat();
        fs::write(&path, &damaged).unwrap();
        let error = read_manifest(&path).unwrap_err();
        assert!(error.to_string().contains("is damaged at byte 24, and intact records follow"), "{apart}: {error}");
    }
}
