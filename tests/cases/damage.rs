//! Files of the lake in which bytes have changed: what `verify` says, and that a node merges nothing of them.

use std::fs::{self, File};
use std::path::Path;

use arrow::array::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::ParquetMetaDataReader;
use ringest::tools::lake::{Wanted, verify};

use super::lake_reader::parquet_files;
use super::lake_tools::{lake, must, stopped};
use super::node::Node;

fn rows(file: &Path) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap().build().unwrap();
    reader.map(Result::unwrap).collect()
}

/// Changes the last byte of a column: one of a value, or of what says which rows have one.
fn spoil(file: &Path, column: &str) {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&File::open(file).unwrap()).unwrap();
    let chunk = metadata.row_group(0).columns().iter().find(|chunk| chunk.column_descr().name() == column).unwrap();
    let (start, length) = chunk.byte_range();
    let mut bytes = fs::read(file).unwrap();
    bytes[(start + length) as usize - 1] ^= 0x20;
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_changed_byte_of_a_file_is_a_fault_or_changes_no_value() {
    let (dir, file) = stopped();
    let whole = fs::read(&file).unwrap();
    let expected = rows(&file);
    let mut sound = Vec::new();
    for (index, at) in (0..whole.len()).step_by(3).enumerate() {
        let mut damaged = whole.clone();
        damaged[at] ^= [0xFF, 1, 0x10, 2, 0x80, 4, 0x40, 8][index % 8];
        fs::write(&file, &damaged).unwrap();
        let report = verify(dir.path(), &Wanted::default()).unwrap();
        if report.is_sound() {
            assert_eq!(rows(&file), expected, "byte {at}");
            sound.push(at);
        }
        assert!(report.faults().iter().all(|fault| dir.path().join(&fault.file) == file), "{report}");
    }
    // Without the magic of its checksum the file is as one that another program wrote.
    assert!(sound.len() <= 3, "{sound:?} of {}", whole.len());
    fs::write(&file, &whole).unwrap();
    assert!(verify(dir.path(), &Wanted::default()).unwrap().is_sound());
}

#[test]
fn verify_names_the_column_and_the_footer_that_are_damaged() {
    let (dir, file) = stopped();
    let whole = fs::read(&file).unwrap();
    let name = file.strip_prefix(dir.path()).unwrap().to_str().unwrap();
    for column in ["time", "time_ns_rem", "host", "usage", "n", "s", "ok"] {
        spoil(&file, column);
        let output = lake(dir.path(), "verify", &[]);
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8(output.stdout).unwrap();
        let place = format!("are not those that were written: row group 0, column {column:?}: ");
        assert!(text.starts_with(&format!("{name}: is damaged")) && text.contains(&place), "{text}");
        fs::write(&file, &whole).unwrap();
    }
    let mut bytes = whole.clone();
    let footer = bytes.len() - 40;
    bytes[footer] ^= 1;
    fs::write(&file, bytes).unwrap();
    let text = String::from_utf8(lake(dir.path(), "verify", &[]).stdout).unwrap();
    assert!(text.starts_with(&format!("{name}: is damaged, the bytes of its footer")), "{text}");
    let text = String::from_utf8(lake(dir.path(), "describe", &[]).stderr).unwrap();
    assert!(text.contains(name) && text.contains("not those that were written"), "{text}");
    fs::write(&file, &whole).unwrap();
    must(&lake(dir.path(), "verify", &[]));
}

#[test]
fn a_node_merges_no_file_that_is_damaged_and_says_which_column_is() {
    let node = Node::start(&[]);
    for flush in 0..3 {
        node.must_write("db", &format!("good,host=a v={flush} {flush}\nbad,host=a v={flush},w=1i {flush}"));
        node.flush();
    }
    let files = parquet_files(node.data_dir());
    let bad = files.iter().filter(|file| file.starts_with("db/bad")).nth(1).unwrap();
    let path = node.data_dir().join("lake").join(bad);
    let whole = fs::read(&path).unwrap();
    spoil(&path, "v");
    let answer = node.request("POST", "/api/compact", b"");
    assert_eq!(answer.status, 500, "{answer:?}");
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    for part in ["lake/db/bad/day=1970-01-01 is not compacted", bad.to_str().unwrap(), "column \"v\"", "restore it"] {
        assert!(message.contains(part), "{part:?} in {message}");
    }
    assert_eq!(parquet_files(node.data_dir()).len(), 4, "the other table has one file");
    fs::write(&path, &whole).unwrap();
    let answer = node.request("POST", "/api/compact", b"");
    assert_eq!((answer.status, parquet_files(node.data_dir()).len()), (200, 2), "with its bytes back it is merged");
    node.stop();
}
