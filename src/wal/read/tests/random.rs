//! Logs of random shape with one place damaged, or cut off: what the reader says follows from where the place is.

use proptest::prelude::*;

use super::*;

/// A log as a life leaves it: groups of 1 to 4 blocks in segments of 6 to 20, freed and written anew now and then.
fn log_from(steps: &[(u8, u8)]) -> Vec<Image> {
    let mut images = vec![Image::new(0, 0, 8)];
    for (action, size) in steps {
        let blocks = 1 + usize::from(size % 4);
        let current = images.last_mut().unwrap();
        let sequence = current.next_sequence();
        if current.free_blocks() >= blocks && action % 8 > 0 {
            current.group(blocks);
        } else if action % 3 == 0 && images.len() > 2 {
            let mut freed = images.remove(0);
            freed.recycle(sequence);
            images.push(freed);
        } else {
            let number = images.iter().map(|image| image.number).max();
            images.push(Image::new(number.unwrap() + 1, sequence, 6 + usize::from(size % 15)));
        }
    }
    images
}

/// What a byte of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Header,
    /// The how-manieth group of all.
    Group(usize),
    /// Padding, unused space, and groups of an earlier use.
    Unused,
}

fn part(images: &[Image], segment: usize, at: usize) -> Part {
    if at < HEADER_BYTES {
        return Part::Header;
    }
    let before: usize = images[..segment].iter().map(|image| image.groups.len()).sum();
    let here = images[segment].groups.iter().position(|(range, _)| range.contains(&at));
    here.map_or(Part::Unused, |group| Part::Group(before + group))
}

/// Whether it was made after all others.
fn is_newest(images: &[Image], segment: usize) -> bool {
    images.iter().all(|image| image.number <= images[segment].number)
}

fn steps() -> impl Strategy<Value = Vec<(u8, u8)>> {
    proptest::collection::vec(any::<(u8, u8)>(), 0..40)
}

/// Where of the segment: anywhere, or in a header, where there is most to go wrong.
fn place() -> impl Strategy<Value = (prop::sample::Index, prop::sample::Index, bool)> {
    any::<(prop::sample::Index, prop::sample::Index, bool)>()
}

fn resolve(images: &[Image], place: (prop::sample::Index, prop::sample::Index, bool)) -> (usize, usize) {
    let segment = place.0.index(images.len());
    let at = place.1.index(images[segment].bytes.len());
    let block = at / BLOCK * BLOCK;
    (segment, if place.2 { block + at % HEADER_BYTES } else { at })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whole(steps in steps()) {
        let images = log_from(&steps);
        let found = sound(folder(&images.iter().collect::<Vec<_>>()).path(), &images.iter().collect::<Vec<_>>());
        // The end of an older group may be taken for one that was torn.
        prop_assert!(found.torn.is_none() || images.last().unwrap().is_recycled);
    }

    #[test]
    fn flipped(steps in steps(), place in place(), flip in 1..=u8::MAX) {
        let images = log_from(&steps);
        let (segment, at) = resolve(&images, place);
        let dir = folder(&images.iter().collect::<Vec<_>>());
        let mut image = images[segment].clone();
        image.bytes[at] ^= flip;
        image.save(dir.path());
        let groups: Vec<&Vec<Written>> = images.iter().flat_map(|image| &image.groups).map(|(_, records)| records).collect();
        let all = all_records(&images);
        let without = |group: usize| {
            let kept = groups.iter().enumerate().filter(|(index, _)| *index != group);
            kept.flat_map(|(_, records)| (*records).clone()).collect::<Vec<_>>()
        };
        let strict = read(dir.path(), false);
        let (found, lenient) = read(dir.path(), true).unwrap();
        match part(&images, segment, at) {
            Part::Unused => {
                prop_assert!(strict.unwrap().1 == all);
                prop_assert!(found.lost.is_empty());
            }
            Part::Group(last) if last + 1 == groups.len() => {
                let (found, written) = strict.unwrap();
                prop_assert!(written == without(last));
                prop_assert!(lenient == written);
                prop_assert!(found.torn.is_some());
            }
            Part::Group(group) => {
                let expected = image.path(dir.path());
                let refused = matches!(strict, Err(WalError::Damaged { path, .. }) if path == expected);
                prop_assert!(refused);
                prop_assert!(lenient == without(group));
                prop_assert_eq!(found.lost.iter().map(|lost| lost.groups).sum::<u64>(), 1);
            }
            Part::Header => match strict {
                // Groups of an earlier use are as good a reason to ask.
                Err(WalError::Damaged { offset: 0, .. }) => {
                    let holds_groups = image.bytes[BLOCK..].iter().any(|byte| *byte != 0);
                    prop_assert!(holds_groups || !is_newest(&images, segment));
                    prop_assert!(lenient.ends_with(&all) || !image.groups.is_empty() && lenient == all);
                }
                Err(other) => prop_assert!(false, "{}", other),
                Ok((_, written)) => prop_assert!(image.groups.is_empty() && written == all),
            },
        }
    }

    /// A crash while the last group was written, on a disk that writes its sectors in any order.
    #[test]
    fn torn(steps in steps(), sectors in any::<u64>()) {
        let mut before = log_from(&steps);
        let last = before.len() - 1;
        let blocks = before[last].free_blocks().min(3);
        prop_assume!(blocks > 0);
        let mut after = before[last].clone();
        after.group(blocks);
        let (range, _) = after.groups.last().unwrap().clone();
        let mut whole = true;
        for (sector, at) in (range.start..range.start + blocks * BLOCK).step_by(512).enumerate() {
            if sectors >> sector & 1 == 1 {
                before[last].bytes[at..at + 512].copy_from_slice(&after.bytes[at..at + 512]);
            }
            let here = at..range.end.min(at + 512);
            whole &= here.is_empty() || before[last].bytes[here.clone()] == after.bytes[here];
        }
        if whole {
            before[last].groups = after.groups;
        }
        let dir = folder(&before.iter().collect::<Vec<_>>());
        let found = sound(dir.path(), &before.iter().collect::<Vec<_>>());
        prop_assert!(!whole || found.torn.is_none() || before[last].is_recycled);
    }

    #[test]
    fn cut(steps in steps(), place in place()) {
        let images = log_from(&steps);
        let (segment, at) = resolve(&images, place);
        let dir = folder(&images.iter().collect::<Vec<_>>());
        let mut image = images[segment].clone();
        image.bytes.truncate(at);
        image.groups.retain(|(range, _)| range.start < at && range.end.next_multiple_of(BLOCK) <= at);
        image.save(dir.path());
        let mut left = images.clone();
        left[segment] = image;
        let (_, lenient) = read(dir.path(), true).unwrap();
        prop_assert!(lenient == all_records(&left));
        match read(dir.path(), false) {
            Err(WalError::Damaged { .. }) => prop_assert!(at < images[segment].bytes.len()),
            // Not even a header is left: it cannot be told from a segment that was never used.
            Ok((_, written)) => {
                prop_assert!(at < HEADER_BYTES && written == all_records(&left));
                prop_assert!(is_newest(&images, segment));
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
