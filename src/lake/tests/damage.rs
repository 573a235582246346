//! Files in which bytes have changed: a merge fails, or gives the rows that were written. It never gives others.

use std::ops::Range;

use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaDataWriter};
use parquet::file::statistics::Statistics;

use crate::lake::checksum::Checksum;

use super::compaction::{Day, limits, name};
use super::files::{Mix, metadata, random_row};
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
        let undetected = undetected(&day, &bytes, (0..bytes.len()).step_by(11));
        // The magic of the checksum itself may go: then the file is as one of another program.
        assert!(undetected.len() <= 3, "{undetected:?}");
        day.check(&day.merge(limits(100, 64, 1 << 30)).unwrap(), "nothing is changed");
    }
}

/// Where the chunk of each column lies.
type Places = Vec<(String, Range<usize>)>;

/// The day, its second file without the checksum of all of it, and where its chunks lie.
fn without_checksum_of_the_file(wide: bool) -> (Day, Vec<u8>, Places) {
    let day = day(wide);
    let path = &day.sources[1].path;
    let bytes = without_checksum(&std::fs::read(path).unwrap());
    std::fs::write(path, &bytes).unwrap();
    assert!(Checksum::of(&File::open(path).unwrap()).unwrap().is_none());
    let metadata = metadata(path);
    let [group] = metadata.row_groups() else { panic!("one row group") };
    let chunk = |chunk: &ColumnChunkMetaData| {
        let (start, bytes) = chunk.byte_range();
        (chunk.column_descr().name().to_owned(), start as usize..(start + bytes) as usize)
    };
    let chunks = group.columns().iter().map(chunk).collect();
    (day, bytes, chunks)
}

#[test]
fn a_changed_byte_of_a_page_gives_no_other_rows_without_the_checksum_of_the_file() {
    for wide in [false, true] {
        let (day, bytes, chunks) = without_checksum_of_the_file(wide);
        undetected(&day, &bytes, (4..chunks.last().unwrap().1.end).step_by(if wide { 11 } else { 5 }));
    }
}

#[test]
fn the_column_whose_bytes_have_changed_is_named() {
    for (is_checked, begins) in [(true, "is damaged"), (false, "cannot be read")] {
        let (day, bytes, chunks) = without_checksum_of_the_file(false);
        let whole = if is_checked { self::day(false) } else { day };
        let path = &whole.sources[1].path;
        let bytes = if is_checked { std::fs::read(path).unwrap() } else { bytes };
        for (column, chunk) in &chunks {
            let mut damaged = bytes.clone();
            // The last byte of a chunk is one of a value, or of a level.
            damaged[chunk.end - 1] ^= 1;
            std::fs::write(path, &damaged).unwrap();
            let error = whole.merge(limits(100, 64, 1 << 30)).unwrap_err().to_string();
            let expected = format!("row group 0, column {column:?}: ");
            assert!(error.contains(begins) && error.contains(&expected), "{error}");
            assert!(error.contains("checksum") && error.contains("restore it from a backup"), "{error}");
        }
    }
}

#[test]
fn a_footer_that_denies_a_columns_values_does_not_take_them_away() {
    let (day, bytes, chunks) = without_checksum_of_the_file(true);
    let path = &day.sources[1].path;
    for (at, (column, _)) in chunks.iter().enumerate().skip(2) {
        let metadata = metadata(path);
        let mut builder = metadata.into_builder();
        let [group] = &builder.take_row_groups()[..] else { panic!("one row group") };
        let mut columns = group.columns().to_vec();
        let nulls = columns[at].num_values() as u64;
        let denied = columns[at].clone().into_builder().clear_statistics();
        let denied = denied.set_statistics(Statistics::boolean(None, None, None, Some(nulls), false));
        columns[at] = denied.build().unwrap();
        let group = group.clone().into_builder().set_column_metadata(columns).build().unwrap();
        let metadata = builder.set_row_groups(vec![group]).build();
        let mut file = bytes[..chunks.last().unwrap().1.end].to_vec();
        ParquetMetaDataWriter::new(&mut file, &metadata).finish().unwrap();
        std::fs::write(path, &file).unwrap();
        day.check(&day.merge(limits(100, 64, 1 << 30)).unwrap(), column);
        std::fs::write(path, &bytes).unwrap();
    }
}
