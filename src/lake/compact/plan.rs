//! Which files of a partition are merged next: rules over sizes, without a look at the disk.
//!
//! Files of one epoch (parts of a replay, or what one merge has written) are a *unit*, which is merged as a whole. What is merged lies next to
//! each other in order of writing, so that the result has one place in that order.

use std::ops::Range;

use super::super::partition::FileName;

/// A committed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sized {
    pub name: FileName,
    pub bytes: u64,
}

/// Which merges are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Few rewrites: the day may bring much more.
    Tiers,
    /// Few files: the day is over.
    Closed,
    /// As few files as possible, however much is rewritten.
    All,
}

/// A merged file has about so many bytes at most.
pub(super) const FILE_BYTES: u64 = 256 << 20;
/// Files of so many bytes are left alone.
const FULL_BYTES: u64 = 64 << 20;
/// Two of so many bytes do not become one.
const HALF_BYTES: u64 = FILE_BYTES / 2;

/// So many units of a tier are merged. A unit of the next tier is about three times as large, one that was merged about ten times, so that a row
/// is rewritten once per power of ten.
const TIER_UNITS: usize = 10;
/// Bytes of the least tier, and how much larger the next one is.
const TIER_BYTES: u64 = 4 << 10;
const TIER_FACTOR: u64 = 3;

/// Most files, and bytes, of one merge: what a start may find undone after a crash, and what the disk must have room for.
const MERGE_FILES: usize = 128;
const MERGE_BYTES: u64 = 4 * FILE_BYTES;

/// Small files are worth the rewrite of a file next to them that is so many times as large as they are together, and no more.
const WORTH: u64 = 10;

/// Files of one epoch.
struct Unit {
    files: Range<usize>,
    bytes: u64,
}

impl Unit {
    fn tier(&self) -> u32 {
        (self.bytes / TIER_BYTES).max(1).ilog(TIER_FACTOR)
    }
}

/// The files to merge next, of those of a partition in order of writing; `None` if they are well as they are.
pub(super) fn next(files: &[Sized], wish: Wish) -> Option<Range<usize>> {
    let full = if wish == Wish::All { HALF_BYTES } else { FULL_BYTES };
    let units = units(files);
    let is_small = |unit: &Unit| unit.bytes < full * unit.files.len() as u64;
    let mut runs = units.split(|unit| !is_small(unit));
    match wish {
        Wish::Tiers => runs.find_map(tier),
        Wish::Closed | Wish::All => runs.filter_map(most).max_by_key(|range| range.len()),
    }
}

/// Whether what is small gains much by the merge of these files: if not, it can wait for more of its kind.
pub(super) fn is_worth(files: &[Sized]) -> bool {
    let all: u64 = files.iter().map(|file| file.bytes).sum();
    let largest = files.iter().map(|file| file.bytes).max().unwrap_or(0);
    (all - largest).saturating_mul(WORTH) >= largest
}

/// How large the files of a merge are to become that takes `bytes`: not many files and a small rest.
pub(super) fn file_bytes(bytes: u64) -> u64 {
    let files = bytes.div_ceil(FILE_BYTES).max(1);
    // What is merged takes less room mostly, and now and then a little more.
    if files == 1 { FILE_BYTES + FILE_BYTES / 4 } else { bytes / files + bytes / files / 16 }
}

fn units(files: &[Sized]) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    for (index, file) in files.iter().enumerate() {
        match units.last_mut() {
            Some(unit) if files[unit.files.start].name.epoch == file.name.epoch => {
                unit.files.end = index + 1;
                unit.bytes = unit.bytes.saturating_add(file.bytes);
            }
            _ => units.push(Unit { files: index..index + 1, bytes: file.bytes }),
        }
    }
    units
}

/// The lowest tier that has enough units next to each other, with lower ones between them.
fn tier(run: &[Unit]) -> Option<Range<usize>> {
    let tiers: Vec<u32> = run.iter().map(Unit::tier).collect();
    let most = tiers.iter().copied().max()?;
    (0..=most).find_map(|tier| {
        let mut segments = Vec::new();
        let mut start = 0;
        for end in (0..=run.len()).filter(|end| tiers.get(*end).is_none_or(|other| *other > tier)) {
            segments.push(start..end);
            start = end + 1;
        }
        segments.into_iter().find_map(|segment| {
            let of_tier: Vec<usize> = segment.filter(|unit| tiers[*unit] == tier).collect();
            let (first, last) = (of_tier.first()?, of_tier.last()?);
            (of_tier.len() >= TIER_UNITS).then(|| fitting(&run[*first..=*last])).flatten().map(|(range, _)| range)
        })
    })
}

/// The first of `units`, as many as one merge takes, and their bytes.
fn fitting(units: &[Unit]) -> Option<(Range<usize>, u64)> {
    let (mut count, mut files, mut bytes) = (0, 0, 0);
    for unit in units {
        files += unit.files.len();
        // Two units, or the files of one, are merged in any case.
        if count >= 2 && (files > MERGE_FILES || bytes + unit.bytes > MERGE_BYTES) {
            break;
        }
        bytes += unit.bytes;
        count += 1;
    }
    let range = units.first()?.files.start..units[count - 1].files.end;
    (range.len() > 1).then_some((range, bytes))
}

/// The most files that one merge takes, and of these those with the least bytes: so that what was merged already is not rewritten with each
/// next lot.
fn most(run: &[Unit]) -> Option<Range<usize>> {
    let end = run.last()?.files.end;
    let mut best: Option<(Range<usize>, u64)> = None;
    for (window, cost) in (0..run.len()).filter_map(|start| fitting(&run[start..])) {
        let is_last = window.end == end;
        if best.as_ref().is_none_or(|(range, least)| (window.len(), *least) > (range.len(), cost)) {
            best = Some((window, cost));
        }
        // What begins later is a part of this one.
        if is_last {
            break;
        }
    }
    best.map(|(range, _)| range)
}

#[cfg(test)]
mod tests {
    use super::super::super::manifest::NodeId;
    use super::*;

    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;

    fn files(sizes: &[u64]) -> Vec<Sized> {
        let name = |epoch| FileName::new(epoch, 0, NodeId::of_test(1));
        sizes.iter().zip(1..).map(|(bytes, epoch)| Sized { name: name(epoch), bytes: *bytes }).collect()
    }

    #[test]
    fn ten_of_a_tier_are_merged_with_smaller_ones_between_them() {
        let small = [100 * KIB; 9];
        assert_eq!(next(&files(&small), Wish::Tiers), None);
        assert_eq!(next(&files(&[100 * KIB; 10]), Wish::Tiers), Some(0..10));
        assert_eq!(next(&files(&[&[100 * MIB][..], &small, &[90 * KIB]].concat()), Wish::Tiers), Some(1..11));
        // A file of a higher tier parts them.
        assert_eq!(next(&files(&[&small[..5], &[MIB], &small[..5]].concat()), Wish::Tiers), None);
        let between = [MIB, 5 * KIB, MIB, MIB, MIB, MIB, 9 * KIB, MIB, MIB, MIB, MIB, MIB, 9 * KIB];
        assert_eq!(next(&files(&between), Wish::Tiers), Some(0..12));
        assert_eq!(next(&files(&[64 * MIB; 20]), Wish::Tiers), None);
    }

    /// Flushes of one size, merged as the rules say: how often a byte is rewritten, and how many files there are.
    #[test]
    fn a_days_rows_are_rewritten_a_few_times_and_its_files_stay_few() {
        for flush in [2 * KIB, 30 * KIB, 100 * KIB, 3 * MIB] {
            let mut all: Vec<Sized> = Vec::new();
            let (mut rewritten, mut most) = (0, 0);
            for epoch in 1..=8_640 {
                all.push(Sized { name: FileName::new(epoch, 0, NodeId::of_test(1)), bytes: flush });
                while let Some(range) = next(&all, Wish::Tiers) {
                    let bytes: u64 = all[range.clone()].iter().map(|file| file.bytes).sum();
                    let name = FileName { n: 1, ..all[range.end - 1].name };
                    rewritten += bytes;
                    all.splice(range, [Sized { name, bytes }]);
                }
                most = most.max(all.len());
            }
            let amplification = rewritten as f64 / (8_640 * flush) as f64;
            assert!(amplification < 4.0 && most < 420, "{flush}: {amplification} times, {most} files");
            let closed = next(&all, Wish::Closed);
            assert!(closed.is_none_or(|range| range.len() < 60), "{flush}");
        }
    }

    #[test]
    fn a_closed_day_becomes_as_few_files_as_sizes_allow() {
        let merged = |sizes: &[u64], wish| next(&files(sizes), wish);
        assert_eq!(merged(&[KIB], Wish::Closed), None);
        assert_eq!(merged(&[30 * MIB, KIB], Wish::Closed), Some(0..2));
        assert_eq!(merged(&[100 * MIB, KIB], Wish::Closed), None);
        assert_eq!(merged(&[100 * MIB, KIB, MIB], Wish::Closed), Some(1..3));
        assert_eq!(merged(&[KIB, MIB, 100 * MIB, KIB, KIB, KIB], Wish::Closed), Some(3..6));
        assert_eq!(merged(&[100 * MIB, 100 * MIB], Wish::All), Some(0..2));
        assert_eq!(merged(&[130 * MIB, 130 * MIB], Wish::All), None);
        assert_eq!(merged(&[100 * MIB; 30], Wish::All), Some(0..10), "no more than a GiB at once");
        assert!(!is_worth(&files(&[60 * MIB, KIB])) && is_worth(&files(&[60 * MIB, 6 * MIB])));
    }

    #[test]
    fn many_files_are_merged_in_lots_and_no_lot_is_rewritten_with_each_next_one() {
        let mut all = files(&vec![10 * KIB; 8_640]);
        let (mut rewritten, mut merges) = (0, 0);
        while let Some(range) = next(&all, Wish::Closed) {
            assert!(range.len() <= MERGE_FILES);
            let bytes: u64 = all[range.clone()].iter().map(|file| file.bytes).sum();
            let name = FileName { n: 1, ..all[range.end - 1].name };
            rewritten += bytes;
            merges += 1;
            all.splice(range, [Sized { name, bytes }]);
        }
        // One may be full before the last are merged.
        assert!(all.len() <= 2, "{} files", all.len());
        assert!(merges < 75 && rewritten <= 2 * 8_640 * 10 * KIB + MIB, "{merges} merges of {rewritten} bytes");
    }

    #[test]
    fn a_file_that_is_left_alone_parts_what_is_merged() {
        let sizes = [KIB, KIB, u64::MAX, KIB, KIB, KIB, u64::MAX];
        for wish in [Wish::Closed, Wish::All] {
            assert_eq!(next(&files(&sizes), wish), Some(3..6));
            assert_eq!(next(&files(&sizes[..4]), wish), Some(0..2));
        }
        let mut parts = files(&[KIB, u64::MAX, KIB, KIB]);
        parts.iter_mut().zip(0..).take(3).for_each(|(part, n)| part.name = FileName::new(1, n, part.name.node));
        assert_eq!(next(&parts, Wish::All), None, "files of one epoch are not parted");
    }

    #[test]
    fn files_of_one_epoch_are_merged_together() {
        let mut parts = files(&[KIB; 14]);
        parts.iter_mut().zip(0..).skip(4).for_each(|(part, n)| part.name = FileName::new(5, n, part.name.node));
        assert_eq!(next(&parts, Wish::Tiers), None, "five units");
        assert_eq!(next(&parts, Wish::Closed), Some(0..14));
        assert_eq!(next(&parts[4..], Wish::Closed), Some(0..10), "one unit of many files");
        let mut full = files(&[70 * MIB, 70 * MIB, KIB]);
        full[1].name = FileName { n: 1, ..full[0].name };
        assert_eq!(next(&full, Wish::Closed), None);
    }

    #[test]
    fn what_is_too_much_for_one_file_is_parted_evenly() {
        assert_eq!(file_bytes(MIB), 320 * MIB);
        assert_eq!(file_bytes(256 * MIB), 320 * MIB);
        let two = file_bytes(300 * MIB);
        assert!((150 * MIB..170 * MIB).contains(&two), "{two}");
    }
}
