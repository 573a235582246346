//! Files in which bytes have changed: a merge fails, or gives the rows that were written. It never gives others.

use crate::lake::checksum::Checksum;

use super::compaction::{Day, limits, name};
use super::files::{Mix, random_row};
use super::*;

/// Files of one day with values of all types and encodings; the second one is to be damaged.
fn day(wide: bool) -> Day {
    let mix = Mix { rows: 150, series: 12, times: 1_000_000, absent: 20, wide };
    let mut random = Random(41);
    let mut day = Day::new();
    for epoch in 1..4 {
        let mut rows: Vec<Row> = (0..mix.rows).map(|_| random_row(&mut random, &mix)).collect();
        rows.iter_mut().for_each(|row| row.time = row.time.abs());
        // A column that one row has: in the metadata it looks much like one without values.
        rows.iter_mut().for_each(|row| drop(row.fields.remove(&5)));
        rows[7].fields.insert(5, Value::Integer(5));
        day.add(name(epoch, 0), rows, 3, 7);
    }
    day
}

/// The file without the checksum of all of it, as other programs write files; those of its pages stay.
fn without_checksum(bytes: &[u8]) -> Vec<u8> {
    let (rest, tail) = bytes.split_last_chunk::<8>().unwrap();
    let footer = rest.len() - u32::from_le_bytes(*tail.first_chunk().unwrap()) as usize;
    [&rest[..footer - 16], &rest[footer..], tail].concat()
}

/// Changes one byte after the other, each time merges, and says where the merge went well.
fn undetected(day: &Day, bytes: &[u8], positions: impl Iterator<Item = usize>) -> Vec<usize> {
    let path = &day.sources[1].path;
    let mut sound = Vec::new();
    for (index, at) in positions.enumerate() {
        let mut damaged = bytes.to_owned();
        damaged[at] ^= [0xFF, 1, 0x10, 2, 0x80, 4, 0x40, 8][index % 8];
        std::fs::write(path, &damaged).unwrap();
        match day.merge(limits(100, 64, 1 << 30)) {
            Ok(merged) => {
                day.check(&merged, &format!("byte {at} was changed, and nobody noticed"));
                sound.push(at);
            }
            Err(error) => {
                assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
                assert!(!(0..2).any(|file| day.folder.path().join(format!("{file}.part")).exists()), "{error}");
            }
        }
    }
    std::fs::write(path, bytes).unwrap();
    sound
}

#[test]
fn a_changed_byte_anywhere_stops_a_merge() {
    for wide in [false, true] {
        let day = day(wide);
        let bytes = std::fs::read(&day.sources[1].path).unwrap();
        let undetected = undetected(&day, &bytes, (0..bytes.len()).step_by(7));
        // The magic of the checksum itself may go: then the file is as one of another program.
        assert!(undetected.len() <= 3, "{undetected:?}");
        day.check(&day.merge(limits(100, 64, 1 << 30)).unwrap(), "nothing is changed");
    }
}

#[test]
fn a_changed_byte_of_a_page_stops_a_merge_without_the_checksum_of_the_file() {
    for wide in [false, true] {
        let day = day(wide);
        let bytes = without_checksum(&std::fs::read(&day.sources[1].path).unwrap());
        std::fs::write(&day.sources[1].path, &bytes).unwrap();
        assert!(Checksum::of(&File::open(&day.sources[1].path).unwrap()).unwrap().is_none());
        let footer = super::files::metadata(&day.sources[1].path);
        let chunks = footer.row_groups().iter().flat_map(|group| group.columns());
        let pages_end = chunks.map(|chunk| chunk.byte_range()).map(|(start, bytes)| start + bytes).max().unwrap();
        let undetected = undetected(&day, &bytes, (4..pages_end as usize).step_by(1));
        eprintln!("{wide} {pages_end} {undetected:?}");
    }
}
