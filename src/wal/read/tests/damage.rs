//! What no crash leaves.

use super::super::Lost;
use super::*;

/// Two segments of three groups each; the second is the last.
fn two() -> [Image; 2] {
    let mut first = Image::new(0, 3, 8);
    first.group(1).group(2).group(1);
    let mut second = Image::new(1, 6, 8);
    second.group(1).group(2).group(1);
    [first, second]
}

/// Places in a group: all of its header, and every so often one in its payload, the last byte included.
fn places(group: &Range<usize>) -> impl Iterator<Item = usize> {
    let payload = group.start + HEADER_BYTES..group.end;
    (group.start..payload.start).chain(payload.clone().step_by(97)).chain([payload.end - 1])
}

fn saved(dir: &Path, images: &[Image]) {
    images.iter().for_each(|image| image.save(dir));
}

#[test]
fn a_flipped_byte_anywhere_but_in_the_last_group() {
    let dir = tempfile::tempdir().unwrap();
    let images = two();
    for (segment, group) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)] {
        saved(dir.path(), &images);
        let (range, records) = &images[segment].groups[group];
        for at in places(range) {
            let mut image = images[segment].clone();
            image.bytes[at] ^= 0x10;
            image.save(dir.path());
            let (path, offset, what) = damaged(dir.path());
            assert_eq!((path, offset), (image.path(dir.path()), range.start as u64), "{what}");

            let (found, written) = read(dir.path(), true).unwrap();
            let expected: Vec<Written> =
                all_records(&images).into_iter().filter(|written| !records.contains(written)).collect();
            assert!(written == expected, "byte {at} of segment {segment}");
            let [Lost { path, offset, groups: 1, .. }] = &*found.lost else { panic!("{:?}", found.lost) };
            assert_eq!((path, *offset), (&image.path(dir.path()), range.start as u64));
        }
    }
}

#[test]
fn a_flipped_byte_in_the_last_group_is_a_torn_tail() {
    let dir = tempfile::tempdir().unwrap();
    let [first, second] = two();
    first.save(dir.path());
    let (range, _) = second.groups[2].clone();
    let mut rest = second.clone();
    rest.groups.pop();
    for at in places(&range) {
        let mut image = second.clone();
        image.bytes[at] ^= 0x10;
        image.save(dir.path());
        let torn = sound(dir.path(), &[&first, &rest]).torn.unwrap();
        assert_eq!((torn.path, torn.offset), (image.path(dir.path()), range.start as u64), "byte {at}");
        assert_eq!(torn.bytes, BLOCK as u64);
    }
}

#[test]
fn a_flipped_byte_in_the_last_group_before_older_ones() {
    let mut image = Image::new(0, 0, 16);
    image.group(1).group(1).group(2).group(1);
    image.recycle(4);
    image.group(1).group(1);
    let (range, _) = image.groups.pop().unwrap();
    for at in places(&range) {
        let mut image = image.clone();
        image.bytes[at] ^= 0x10;
        let torn = sound(folder(&[&image]).path(), &[&image]).torn.unwrap();
        assert_eq!((torn.offset, torn.bytes), (range.start as u64, BLOCK as u64), "byte {at}");
    }
}

#[test]
fn padding_and_what_is_unused_may_hold_anything() {
    let dir = tempfile::tempdir().unwrap();
    let images = two();
    let [first, second] = &images;
    for (segment, group) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)] {
        saved(dir.path(), &images);
        let mut image = images[segment].clone();
        let end = image.groups[group].0.end;
        image.bytes[end..end.next_multiple_of(BLOCK)].fill(0xFF);
        image.save(dir.path());
        assert_eq!(sound(dir.path(), &[first, second]).torn, None);
    }
    saved(dir.path(), &images);
    let mut image = first.clone();
    image.bytes[HEADER_BYTES..BLOCK].fill(0xFF);
    image.bytes[7 * BLOCK..].fill(0xFF);
    image.save(dir.path());
    assert_eq!(sound(dir.path(), &[first, second]).torn, None);
}

#[test]
fn several_damaged_places() {
    let mut image = Image::new(0, 0, 32);
    image.group(1).group(1).group(2).group(1).group(1).group(2).group(1).group(1);
    let sound = image.clone();
    for group in [0, 2, 3, 5] {
        let start = image.groups[group].0.start;
        image.bytes[start..start + 10].fill(0xEE);
    }
    // The last one is torn.
    let end = image.groups[7].0.end;
    image.bytes[end - 1] ^= 1;
    let dir = folder(&[&image]);
    let (found, written) = read(dir.path(), true).unwrap();
    let kept = [1, 4, 6].map(|group: usize| sound.groups[group].1.clone()).concat();
    assert!(written == kept);
    let lost: Vec<(u64, u64, u64)> = found.lost.iter().map(|lost| (lost.offset, lost.bytes, lost.groups)).collect();
    let block = BLOCK as u64;
    assert_eq!(lost, [(block, block, 1), (3 * block, 3 * block, 2), (7 * block, 2 * block, 1)]);
    assert_eq!(found.torn.unwrap().offset, 10 * block);
}

/// The group between two that lie side by side: it never had a place, but its number is missing.
#[test]
fn a_number_that_is_passed_over() {
    let mut image = Image::new(0, 0, 8);
    image.group(1).skip_sequence().group(1);
    let dir = folder(&[&image]);
    assert_eq!(damaged(dir.path()).1, 2 * BLOCK as u64);
    let (found, written) = read(dir.path(), true).unwrap();
    assert!(written == all_records([&image]));
    assert_eq!((found.lost[0].groups, found.lost[0].bytes), (1, 0));
}

#[test]
fn a_missing_segment_in_the_middle() {
    let [first, second] = two();
    let mut third = Image::new(2, 9, 4);
    third.group(1);
    let dir = folder(&[&first, &third]);
    let (path, offset, what) = damaged(dir.path());
    assert_eq!((path, offset), (first.path(dir.path()), 5 * BLOCK as u64));
    assert!(what.contains("group 6") && what.contains("group 9") && what.contains("00000002.wal"), "{what}");
    let (found, written) = read(dir.path(), true).unwrap();
    assert!(written == all_records([&first, &third]));
    assert_eq!((found.lost[0].groups, found.lost[0].bytes), (3, 0));

    // The end of the one before is missing too.
    let mut cut = first.clone();
    cut.bytes[4 * BLOCK..].fill(0);
    cut.save(dir.path());
    second.save(dir.path());
    assert_eq!(damaged(dir.path()).1, 4 * BLOCK as u64);
    assert_eq!(read(dir.path(), true).unwrap().0.lost[0].groups, 1);
}

/// A group of the segment behind proves it, be it torn itself.
#[test]
fn a_torn_group_before_a_segment_that_was_begun() {
    let [mut first, second] = two();
    first.bytes[4 * BLOCK + 100] ^= 1;
    let mut begun = Image::new(1, 6, 8);
    begun.group(1);
    begun.bytes[BLOCK + 100] ^= 1;
    for behind in [second, begun] {
        let dir = folder(&[&first, &behind]);
        assert_eq!(damaged(dir.path()).1, 4 * BLOCK as u64);
        assert_eq!(read(dir.path(), true).unwrap().0.lost[0].groups, 1);
    }
}

/// Without this the beginning of the log would be taken for freed.
#[test]
fn an_emptied_segment() {
    let [first, second] = two();
    for bytes in [0, BLOCK, 8 * BLOCK] {
        let dir = folder(&[&first, &second]);
        std::fs::write(first.path(dir.path()), vec![0; bytes]).unwrap();
        let (path, offset, what) = damaged(dir.path());
        assert_eq!((path, offset), (first.path(dir.path()), 0));
        assert!(what.contains("00000001.wal"), "{what}");
        let (found, written) = read(dir.path(), true).unwrap();
        assert!(written == all_records([&second]));
        assert_eq!(found.lost[0].bytes, bytes as u64);
    }
}

#[test]
fn a_damaged_segment_header() {
    let dir = tempfile::tempdir().unwrap();
    let images = two();
    for segment in [0, 1] {
        saved(dir.path(), &images);
        for at in 0..HEADER_BYTES {
            let mut image = images[segment].clone();
            image.bytes[at] ^= 0x10;
            image.save(dir.path());
            let (path, offset, what) = damaged(dir.path());
            assert_eq!((path, offset), (image.path(dir.path()), 0), "{what}");
            // Its groups know where they belong.
            let (found, written) = read(dir.path(), true).unwrap();
            assert!(written == all_records(&images));
            assert_eq!((found.lost.len(), found.lost[0].groups), (1, 0));
        }
    }
}

#[test]
fn a_file_of_another_length() {
    let dir = tempfile::tempdir().unwrap();
    let images = two();
    for (bytes, groups_left) in [(3 * BLOCK, 1), (5 * BLOCK, 3), (7 * BLOCK + 100, 3), (9 * BLOCK, 3)] {
        saved(dir.path(), &images);
        let mut image = images[1].clone();
        image.bytes.resize(bytes, 0);
        image.save(dir.path());
        let (path, offset, what) = damaged(dir.path());
        assert_eq!((path, offset), (image.path(dir.path()), bytes.min(8 * BLOCK) as u64));
        assert!(what.contains(&format!("{bytes} bytes")), "{what}");
        let (_, written) = read(dir.path(), true).unwrap();
        image.groups.truncate(groups_left);
        assert!(written == all_records([&images[0], &image]));
    }
}

#[test]
fn a_copy_of_a_segment_is_not_read_twice() {
    let [first, second] = two();
    let mut copy = first.clone();
    copy.number = 9;
    let dir = folder(&[&first, &copy, &second]);
    let (path, _, what) = damaged(dir.path());
    assert_eq!(path, copy.path(dir.path()));
    assert!(what.contains("copy"), "{what}");
    let (found, written) = read(dir.path(), true).unwrap();
    assert!(written == all_records([&first, &second]));
    assert_eq!(found.lost.len(), 1);

    // One that reaches farther than the original: only what is new is read.
    let mut longer = first.clone();
    longer.number = 9;
    longer.group(1);
    let dir = folder(&[&first, &longer]);
    damaged(dir.path());
    assert!(read(dir.path(), true).unwrap().1 == all_records([&longer]));
}

/// Its checksum is right, so it was written like this.
#[test]
fn a_group_whose_records_do_not_fill_it() {
    type Change = fn(&mut GroupHeader, &mut Vec<u8>);
    let changes: [Change; 4] = [
        |header, _| header.records += 1,
        |header, payload| {
            payload.pop();
            header.payload_bytes -= 1;
        },
        |header, payload| {
            payload.extend([0; 15]);
            header.payload_bytes += 15;
        },
        |_, payload| payload[4..8].fill(0xFF),
    ];
    for change in changes {
        for last in [false, true] {
            let mut image = Image::new(0, 0, 8);
            image.group(1).group(1);
            let place = image.groups[1].0.clone();
            let mut header = GroupHeader::decode(&image.bytes[place.start..]).unwrap();
            let mut payload = image.bytes[place.start + HEADER_BYTES..place.end].to_vec();
            change(&mut header, &mut payload);
            header.payload_crc = crc32fast::hash(&payload);
            let group = [&header.encode()[..], &payload].concat();
            image.bytes[place.start..place.start + group.len()].copy_from_slice(&group);
            if !last {
                image.group(1);
            }
            let dir = folder(&[&image]);
            assert_eq!(damaged(dir.path()).1, 2 * BLOCK as u64);
            image.groups.remove(1);
            let (found, written) = read(dir.path(), true).unwrap();
            assert!(written == all_records([&image]));
            assert_eq!((found.lost[0].groups, found.lost[0].bytes), (1, BLOCK as u64));
        }
    }
}

#[test]
fn a_later_version() {
    let mut image = Image::new(0, 0, 8);
    image.group(1).group_of(vec![record(1, 0, 10), (3, 1000, b"columns".to_vec())]).group(1);
    let dir = folder(&[&image]);
    for skip in [false, true] {
        let error = read(dir.path(), skip).unwrap_err().to_string();
        assert!(error.contains("later version") && error.contains("kind 3"), "{error}");
    }

    let mut image = Image::new(0, 0, 8);
    image.bytes[8] = 2;
    let check = crc32fast::hash(&image.bytes[..60]);
    image.bytes[60..64].copy_from_slice(&check.to_le_bytes());
    let error = read(folder(&[&image]).path(), true).unwrap_err().to_string();
    assert!(error.contains("later version") && error.contains("version 2"), "{error}");
}

/// The payload is the client's: it may look like a group, but knows no life.
#[test]
fn a_payload_that_imitates_groups() {
    let mut image = Image::new(0, 0, 16);
    let block_behind = BLOCK - HEADER_BYTES - 16;
    let mut payload = vec![b'x'; block_behind];
    payload.extend(encode(LIFE ^ 1, 5, &records(5, 1)));
    payload.resize(block_behind + 2 * BLOCK, 0);
    image.group_of(vec![(1, 1000, payload)]);
    assert_eq!(GroupHeader::decode(&image.bytes[2 * BLOCK..]).unwrap().sequence, 5);
    let mut torn = image.clone();
    torn.bytes[BLOCK + 100] ^= 1;
    torn.groups.clear();
    assert!(sound(folder(&[&torn]).path(), &[&torn]).torn.is_some());
    sound(folder(&[&image]).path(), &[&image]);
}
