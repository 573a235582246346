//! Every state that a crash can leave between two writes, and what else may lie in the folder.

use std::fs;

use super::super::folder::{in_log_order, remove};
use super::*;

fn names(found: &Found) -> Vec<String> {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap()[17..25].to_owned();
    found.segments.iter().map(|segment| name(&segment.path)).collect()
}

#[test]
fn no_log() {
    let dir = tempfile::tempdir().unwrap();
    for dir in [dir.path(), &dir.path().join("wal")] {
        let found = sound(dir, &[]);
        assert_eq!((found.owner, found.records, found.segments.len()), (None, 0, 0));
        remove(dir).unwrap();
    }
}

#[test]
fn a_log_of_several_segments() {
    let mut images = [Image::new(0, 0, 4), Image::new(1, 2, 8), Image::new(2, 4, 8)];
    images.iter_mut().for_each(|image| {
        image.group(1).group(2);
    });
    let dir = folder(&images.each_ref());
    let found = sound(dir.path(), &images.each_ref());
    assert_eq!((found.owner, found.torn.clone()), (Some(OWNER), None));
    let tally = found.segments[1].tally;
    assert_eq!((tally.groups, tally.requests, tally.births, tally.epochs), (2, 4, 2, Some((1002, 1003))));
    assert_eq!((found.segments[1].first_sequence, found.segments[1].file_bytes), (Some(2), 8 * BLOCK as u64));
    let mut reader = found.reader();
    let mut payload = Vec::new();
    for _ in 0..7 {
        reader.next(&mut payload).unwrap();
    }
    assert_eq!(reader.place(), (images[1].path(dir.path()), (BLOCK + HEADER_BYTES) as u64));
}

/// Larger than the buffer, so that headers of records lie across its end.
#[test]
fn large_groups() {
    let mut image = Image::new(0, 0, 1200);
    image.group_of((0..90).map(|index| record(0, index, 30_011)).collect());
    image.group_of((0..40_000).map(|index| record(1, index, 3)).collect());
    image.group_of(vec![record(2, 0, 1_300_000)]);
    sound(folder(&[&image]).path(), &[&image]);
}

#[test]
fn spares_without_header() {
    let mut used = Image::new(1, 0, 8);
    used.group(2);
    let dir = folder(&[&used]);
    for (number, bytes) in [(2, 10), (3, BLOCK), (4, 3 * BLOCK + 10), (5, 8 * BLOCK), (6, 0)] {
        fs::write(dir.path().join(segment_name(LIFE, number)), vec![0; bytes]).unwrap();
    }
    let found = sound(dir.path(), &[&used]);
    assert_eq!(names(&found), ["00000001", "00000002", "00000003", "00000004", "00000005", "00000006"]);
    assert_eq!(found.segments[1].first_sequence, None);
    assert_eq!(found.torn, None);
}

/// The write of the first header was cut off. Sectors are written whole, so this should not be; nothing is lost by it.
#[test]
fn a_torn_header_without_groups() {
    let mut used = Image::new(0, 0, 8);
    used.group(2);
    let mut torn = Image::new(1, 1, 8);
    torn.bytes[40..].fill(0);
    let dir = folder(&[&used, &torn]);
    assert_eq!(sound(dir.path(), &[&used]).torn, None);
    let dir = folder(&[&torn]);
    assert_eq!(sound(dir.path(), &[]).owner, None);
}

#[test]
fn a_last_segment_with_a_header_only() {
    let mut used = Image::new(0, 0, 8);
    used.group(2);
    let empty = Image::new(1, 1, 8);
    assert_eq!(sound(folder(&[&used, &empty]).path(), &[&used]).torn, None);
    assert_eq!(sound(folder(&[&empty]).path(), &[]).owner, Some(OWNER));
    // A group that did not fit made the writer take the next one.
    let mut next = Image::new(2, 1, 16);
    next.group(10);
    sound(folder(&[&used, &empty, &next]).path(), &[&used, &next]);
}

/// The header may be on its way while the last group of the segment before is.
#[test]
fn a_torn_group_before_a_header_only() {
    let mut used = Image::new(0, 0, 8);
    used.group(2).group(2);
    used.bytes[3 * BLOCK + 1000] ^= 1;
    used.groups.pop();
    let mut header_only = Image::new(1, 0, 8);
    header_only.group(1).group(1);
    header_only.recycle(2);
    let dir = folder(&[&used, &header_only]);
    assert_eq!(sound(dir.path(), &[&used]).torn.unwrap().offset, 3 * BLOCK as u64);
}

/// Older groups lie where newer ones would, at the same offsets and of the same sizes, down to the same bytes.
#[test]
fn older_groups_are_never_read() {
    for same_bytes in [false, true] {
        for kept in 0..5 {
            let mut image = Image::new(0, 0, 16);
            (0..5).for_each(|_| {
                image.group(3);
            });
            let old = image.groups.clone();
            image.recycle(5);
            for (_, records) in old.into_iter().take(kept) {
                if same_bytes {
                    image.group_of(records)
                } else {
                    image.group(3)
                };
            }
            assert_eq!(sound(folder(&[&image]).path(), &[&image]).torn, None, "{kept}");
        }
    }
}

/// The place lies in the middle of an older group, and whole older ones follow.
#[test]
fn an_end_within_an_older_group() {
    let mut image = Image::new(0, 0, 16);
    image.group(3).group(3).group(3);
    image.recycle(3);
    image.group(2);
    assert_eq!(sound(folder(&[&image]).path(), &[&image]).torn, None);
}

/// As a client may have it in a payload, where a recycled segment shows it at the right place.
#[test]
fn a_group_of_another_life_is_not_read() {
    let mut image = Image::new(0, 0, 8);
    image.group(1);
    let group = encode(LIFE ^ 1, 1, &records(1, 1));
    image.bytes[2 * BLOCK..2 * BLOCK + group.len()].copy_from_slice(&group);
    sound(folder(&[&image]).path(), &[&image]);
}

/// Numbers in names are those of the files; the order is that of the headers.
#[test]
fn a_log_of_recycled_segments() {
    let mut first = Image::new(0, 0, 8);
    first.group(1).group(2).group(3);
    let mut second = Image::new(1, 3, 8);
    second.group(2).group(2);
    let mut third = Image::new(2, 5, 8);
    third.group(2).group(2).group(2);
    first.recycle(8);
    first.group(1);
    let found = sound(folder(&[&first, &second, &third]).path(), &[&second, &third, &first]);
    assert_eq!(names(&found), ["00000001", "00000002", "00000000"]);
    // The next one is freed, and has its old header still; then its new one.
    first.group(1);
    sound(folder(&[&first, &second, &third]).path(), &[&second, &third, &first]);
    second.recycle(10);
    sound(folder(&[&first, &second, &third]).path(), &[&third, &first, &second]);
    // What is freed may be unlinked instead, from the beginning of the log on.
    sound(folder(&[&first, &second]).path(), &[&first, &second]);
}

#[test]
fn a_segment_that_was_removed_or_is_of_another_owner() {
    let mut first = Image::new(0, 0, 8);
    first.group(1);
    let mut second = Image::new(1, 1, 8);
    second.header.owner = *b"othernod";
    second.write_header();
    let dir = folder(&[&first, &second]);
    for skip in [false, true] {
        let error = read(dir.path(), skip).unwrap_err();
        assert!(
            matches!(&error, WalError::Owners { path, other }
            if *path == second.path(dir.path()) && *other == first.path(dir.path())),
            "{error}"
        );
    }
}

/// A life other than [`LIFE`], with the epochs of the sequences.
fn of_life(life: u64, first_sequence: u64) -> Image {
    let mut image = Image::new(0, first_sequence, 8);
    image.header.life = life;
    image.write_header();
    image
}

#[test]
fn two_lives() {
    let mut newer = Image::new(0, 50, 8);
    newer.group(1).group(1);
    for life in [LIFE - 1, LIFE + 1] {
        let mut older = of_life(life, 7);
        let dir = folder(&[&newer, &older]);
        // One that never wrote a group is nothing.
        sound(dir.path(), &[&newer]);
        older.group(1).group(1);
        older.save(dir.path());
        let error = read(dir.path(), false).unwrap_err();
        assert!(matches!(&error, WalError::Lives { .. }), "{error}");
        let (found, written) = read(dir.path(), true).unwrap();
        assert!(written == all_records([&older, &newer]));
        assert_eq!(found.lost, []);
    }
}

#[test]
fn a_segment_under_the_name_of_another_life() {
    let mut image = of_life(LIFE + 1, 0);
    image.group(1);
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(segment_name(LIFE, 0)), &image.bytes).unwrap();
    assert_eq!(damaged(dir.path()).1, 0);
    assert!(read(dir.path(), true).unwrap().1 == all_records([&image]));
}

#[test]
fn other_files_in_the_folder() {
    let mut image = Image::new(0, 0, 8);
    image.group(1);
    let dir = folder(&[&image]);
    fs::write(dir.path().join("notes.txt"), "x").unwrap();
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    let found = sound(dir.path(), &[&image]);
    assert_eq!(found.ignored, [dir.path().join("lost+found"), dir.path().join("notes.txt")]);
    for stray in ["copy.wal", "a1b2c3d4e5f60718-0.wal", ".wal"] {
        fs::write(dir.path().join(stray), "").unwrap();
        for result in [read(dir.path(), true).map(drop), remove(dir.path())] {
            assert!(matches!(result, Err(WalError::Stray { path }) if path.ends_with(stray)));
        }
        fs::remove_file(dir.path().join(stray)).unwrap();
    }
    fs::create_dir(dir.path().join(segment_name(LIFE, 1))).unwrap();
    assert!(matches!(read(dir.path(), true), Err(WalError::Stray { .. })));
}

#[test]
fn what_changes_between_the_two_passes_is_noticed() {
    let mut image = Image::new(0, 0, 16);
    image.group(2).group(2);
    let dir = folder(&[&image]);
    let path = image.path(dir.path());
    let second_pass = |found: &Found| {
        let mut reader = found.reader();
        let mut payload = Vec::new();
        while reader.next(&mut payload)?.is_some() {}
        Ok(())
    };
    let found = inspect(dir.path(), None, false).unwrap();
    assert!(second_pass(&found).is_ok());
    let changed = |bytes: Option<&[u8]>| {
        match bytes {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        matches!(second_pass(&found), Err(WalError::Changed { path: of, .. }) if of == path)
    };
    for (range, _) in &image.groups {
        for at in (range.start..range.start + 100).chain((range.start..range.end).step_by(13)) {
            for flip in [1, 0x80] {
                let mut bytes = image.bytes.clone();
                bytes[at] ^= flip;
                assert!(changed(Some(&bytes)), "byte {at}");
            }
        }
    }
    assert!(changed(Some(&image.bytes[..4 * BLOCK])));
    assert!(changed(Some(&[])));
    let mut recycled = image.clone();
    recycled.recycle(2);
    recycled.group(2).group(2);
    assert!(changed(Some(&recycled.bytes)));
    assert!(changed(None));
}

#[test]
fn removal_leaves_what_is_no_segment() {
    let mut images = [Image::new(3, 0, 4), Image::new(2, 1, 4), Image::new(1, 2, 4)];
    images.iter_mut().for_each(|image| {
        image.group(1);
    });
    let dir = folder(&images.each_ref());
    fs::write(dir.path().join(segment_name(LIFE, 9)), [0; 100]).unwrap();
    fs::write(dir.path().join("notes.txt"), "x").unwrap();
    // A crash in between leaves the end of the log.
    let order = in_log_order(dir.path()).unwrap();
    assert_eq!(order[1..], images.each_ref().map(|image| image.path(dir.path())));
    for (removed, path) in order.iter().enumerate().take(3) {
        fs::remove_file(path).unwrap();
        sound(dir.path(), &images.each_ref()[removed..]);
    }
    remove(dir.path()).unwrap();
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["notes.txt"]);
    sound(dir.path(), &[]);
}
