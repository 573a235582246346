//! Writes that a crash has cut off.

use super::super::Torn;
use super::*;

/// What the disk had, and what of the group being written it got, in sectors of 512 bytes.
fn torn(before: &Image, after: &Image, got: impl Fn(usize) -> bool) -> Image {
    let mut torn = before.clone();
    let sectors = torn.bytes.chunks_mut(512).zip(after.bytes.chunks(512)).enumerate();
    sectors.filter(|(sector, _)| got(*sector)).for_each(|(_, (old, new))| old.copy_from_slice(new));
    torn
}

fn sectors_of(after: &Image) -> Range<usize> {
    let (place, _) = after.groups.last().unwrap();
    place.start / 512..(place.start + (place.len()).next_multiple_of(BLOCK)) / 512
}

/// A group of three blocks that cannot do without its last sector.
fn with_last_group(before: &Image) -> Image {
    let mut after = before.clone();
    after.group_of(vec![record(before.next_sequence(), 0, 3 * BLOCK - HEADER_BYTES - 16)]);
    after
}

#[test]
fn the_last_group_cut_off_anywhere() {
    let mut before = Image::new(0, 7, 16);
    before.group(1).group(2);
    let after = with_last_group(&before);
    let sectors = sectors_of(&after);
    for cut in sectors.clone() {
        let image = torn(&before, &after, |sector| sector < cut);
        let dir = folder(&[&image]);
        let found = sound(dir.path(), &[&before]);
        let bytes = (cut > sectors.start).then_some(3 * BLOCK as u64);
        let offset = (sectors.start * 512) as u64;
        let expected = bytes.map(|bytes| Torn { path: image.path(dir.path()), offset, bytes });
        assert_eq!(found.torn, expected, "cut at sector {cut}");
    }
    let dir = folder(&[&after]);
    assert_eq!(sound(dir.path(), &[&after]).torn, None);
}

/// Sectors of one write reach the disk in any order.
#[test]
fn the_last_group_without_its_beginning() {
    let mut before = Image::new(0, 0, 16);
    before.group(1);
    let after = with_last_group(&before);
    let sectors = sectors_of(&after);
    for cut in sectors.start + 1..sectors.end {
        let image = torn(&before, &after, |sector| sector >= cut);
        let dir = folder(&[&image]);
        let found = sound(dir.path(), &[&before]);
        assert_eq!(found.torn.map(|torn| (torn.offset, torn.bytes)), Some((2 * BLOCK as u64, 3 * BLOCK as u64)));
    }
}

#[test]
fn the_first_group_of_all_cut_off() {
    let before = Image::new(0, 0, 16);
    let after = with_last_group(&before);
    for cut in sectors_of(&after) {
        let dir = folder(&[&torn(&before, &after, |sector| sector < cut)]);
        assert_eq!(sound(dir.path(), &[&before]).torn.is_some(), cut > BLOCK / 512);
    }
}

/// The group before was in another segment, and the one that is torn is alone in the last.
#[test]
fn the_first_group_of_the_last_segment_cut_off() {
    let mut first = Image::new(0, 0, 4);
    first.group(1).group(2);
    let mut before = Image::new(1, 2, 8);
    before.group(5);
    before.recycle(2);
    let after = with_last_group(&before);
    for cut in sectors_of(&after).skip(1) {
        let image = torn(&before, &after, |sector| sector < cut);
        let dir = folder(&[&first, &image]);
        let found = sound(dir.path(), &[&first]);
        let expected = Torn { path: image.path(dir.path()), offset: BLOCK as u64, bytes: 3 * BLOCK as u64 };
        assert_eq!(found.torn, Some(expected), "cut at sector {cut}");
    }
}

/// Behind and below the torn group lie groups of the same sizes from the segment's earlier use.
#[test]
fn a_group_cut_off_over_older_ones() {
    let mut before = Image::new(0, 0, 16);
    before.group(2).group(3).group(3).group(3);
    before.recycle(20);
    before.group(2).group(3);
    let after = with_last_group(&before);
    let sectors = sectors_of(&after);
    for cut in sectors.clone() {
        let dir = folder(&[&torn(&before, &after, |sector| sector < cut)]);
        let found = sound(dir.path(), &[&before]);
        let bytes = (cut > sectors.start).then_some(3 * BLOCK as u64);
        assert_eq!(found.torn.map(|torn| torn.bytes), bytes, "cut at sector {cut}");
        // Without its first sector nothing tells it from the older group there.
        let cut = cut.max(sectors.start + 1);
        let dir = folder(&[&torn(&before, &after, |sector| sector >= cut)]);
        assert_eq!(sound(dir.path(), &[&before]).torn, None);
    }
}

/// Nobody was told of it, but it is whole: it is read.
#[test]
fn a_whole_last_group_without_its_padding() {
    let mut before = Image::new(0, 0, 8);
    before.bytes[BLOCK..].fill(0x5A);
    let mut after = before.clone();
    after.group_of(vec![record(0, 0, 100)]);
    let padding = torn(&before, &after, |sector| sector <= BLOCK / 512);
    assert_ne!(padding.bytes, after.bytes);
    sound(folder(&[&padding]).path(), &[&after]);
}

/// Beside the segment that was begun lies one with the same first group and nothing else.
#[test]
fn a_torn_first_group_and_a_second_header() {
    let mut begun = Image::new(2, 2, 8);
    begun.group(1);
    begun.bytes[BLOCK + 100] ^= 1;
    for number in [1, 3] {
        let header_only = Image::new(number, 2, 8);
        let dir = folder(&[&begun, &header_only]);
        let torn = sound(dir.path(), &[&header_only]).torn.unwrap();
        assert_eq!(torn.path, begun.path(dir.path()));
    }
}
