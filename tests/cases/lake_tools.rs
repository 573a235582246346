//! `ringest lake`, `GET /api/changes`, and a backup that is made of them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimestampMicrosecondType};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::file::metadata::{KeyValue, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter, SortingColumn};
use parquet::file::properties::WriterProperties;
use parquet::file::statistics::Statistics;
use tempfile::TempDir;

use crate::answers::expect_row;
use crate::lake_reader::{Lake, parquet_files};
use crate::node::{Client, Node, ringest};

pub fn lake(data_dir: &Path, command: &str, args: &[&str]) -> Output {
    ringest("lake").arg(command).arg("--data-dir").arg(data_dir).args(args).output().unwrap()
}

#[track_caller]
pub fn must(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

const ROWS: &str = "cpu,host=a,zone=x usage=1.5,n=1i,s=\"one\" 1700000000000000001
cpu,host=a usage=2.5,n=2i 1700000000000000002
cpu,host=b Time=3,n=-3i,ok=t,u=7u 1700000000000000003
cpu usage=-0.5,s=\"\" 1700000000000000004";

/// A node with three epochs: two tables, a column that comes later, two days.
fn filled() -> Node {
    let node = Node::start(&[]);
    node.must_write("b%C3%BCro", ROWS);
    node.flush();
    node.must_write("b%C3%BCro", "cpu,host=a later=1 1700000000000000005\ncpu,host=a usage=9 1700090000000000000");
    node.flush();
    node.must_write("b%C3%BCro", "mem,host=a used=5i 1700000000000000000");
    node.flush();
    node
}

#[test]
fn tables_and_files_are_listed_beside_a_running_node() {
    let node = filled();
    let text = must(&lake(node.data_dir(), "list", &[]));
    let row = text.lines().find(|line| line.contains("cpu")).unwrap();
    assert_eq!(row.split_whitespace().take(4).collect::<Vec<_>>(), ["büro", "cpu", "3", "6"], "{text}");
    assert!(text.contains("2 tables, 4 files, 7 rows"), "{text}");

    let report = json(&must(&lake(node.data_dir(), "list", &["--json", "--files", "--measurement", "cpu"])));
    let table = &report["tables"][0];
    assert_eq!((&table["files"], &table["rows"], &table["days"]), (&3.into(), &6.into(), &2.into()));
    assert_eq!((&table["from"], &table["to"]), (&"2023-11-14T22:13:20Z".into(), &"2023-11-15T23:13:20Z".into()));
    let files: BTreeSet<PathBuf> = report["files"].as_array().unwrap().iter().map(path_of).collect();
    let on_disk = parquet_files(node.data_dir()).into_iter().map(|path| Path::new("lake").join(path));
    assert_eq!(files, on_disk.filter(|path| path.starts_with("lake/b%C3%BCro/cpu")).collect());
    let bytes: u64 = files.iter().map(|path| fs::metadata(node.data_dir().join(path)).unwrap().len()).sum();
    assert_eq!(table["bytes"], bytes);

    let paths = must(&lake(node.data_dir(), "list", &["--paths", "--bucket", "büro"]));
    assert_eq!(paths.lines().count(), 4);
    let none = lake(node.data_dir(), "list", &["--bucket", "other"]);
    assert!(String::from_utf8_lossy(&none.stderr).contains("no bucket \"other\" in the lake"), "{none:?}");
    let none = lake(Path::new("/proc"), "list", &[]);
    assert!(String::from_utf8_lossy(&none.stderr).contains("holds no lake"), "{none:?}");
    node.stop();
}

fn path_of(file: &serde_json::Value) -> PathBuf {
    PathBuf::from(file["path"].as_str().unwrap())
}

#[test]
fn columns_are_described_with_their_names_and_where_they_are_missing() {
    let node = filled();
    let text = must(&lake(node.data_dir(), "describe", &["büro", "cpu"]));
    for part in ["Time_2", "2 files without 2 columns", "retention inf", "DELTA_BINARY_PACKED"] {
        assert!(text.contains(part) == (part != "2 files without 2 columns"), "{part} in\n{text}");
    }
    assert!(text.contains("1 file without 1 column (later): lake/"), "{text}");
    let report = json(&must(&lake(node.data_dir(), "describe", &["büro", "--json"])));
    let columns = report["tables"][0]["columns"].as_array().unwrap();
    let column = |name: &str| columns.iter().find(|column| column["column"] == name).unwrap();
    assert_eq!((&column("Time_2")["name"], &column("Time_2")["type"]), (&"Time".into(), &"float".into()));
    assert_eq!((&column("host")["kind"], &column("u")["type"]), (&"tag".into(), &"unsigned".into()));
    assert_eq!((&column("later")["files"], &column("n")["files"]), (&2.into(), &3.into()));
    assert_eq!(report["tables"].as_array().unwrap().len(), 2);
    let sum: u64 = columns.iter().map(|column| column["bytes"].as_u64().unwrap()).sum();
    assert!(sum > 0 && sum < report["tables"][0]["bytes"].as_u64().unwrap());
    node.stop();
}

#[test]
fn changes_are_told_by_node_and_tool_alike() {
    let node = filled();
    let ask = |query: &str| node.request("GET", &format!("/api/changes{query}"), b"");
    let all = ask("").json();
    assert_eq!(all, json(&must(&lake(node.data_dir(), "changes", &[]))));
    let changes = all["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 3);
    assert_eq!(changes[1]["added"].as_array().unwrap().len(), 2);
    assert!(changes.iter().all(|change| change["kind"] == "flush" && change["removed"] == serde_json::json!([])));
    let file = &changes[0]["added"][0];
    assert_eq!(file["bytes"], fs::metadata(node.data_dir().join(path_of(file))).unwrap().len());

    let first = ask("?since=0&limit=1").json();
    assert_eq!((&first["changes"].as_array().unwrap()[..], &first["more"]), (&changes[..1], &true.into()));
    let rest = ask(&format!("?since={}", first["last_epoch"])).json();
    assert_eq!((&rest["changes"].as_array().unwrap()[..], &rest["more"]), (&changes[1..], &false.into()));
    let none = ask(&format!("?since={}", all["last_epoch"])).json();
    assert_eq!((&none["changes"], &none["last_epoch"]), (&serde_json::json!([]), &all["last_epoch"]));

    for query in ["?since=x", "?limit=0", "?since=-1", "?cursor=7", "?cursor=7-", "?cursor=-7"] {
        expect_row("of `/api/changes` is nothing that it may be", &ask(query));
    }
    let ahead = ask("?since=99999999999999");
    expect_row("cannot tell what has changed", &ahead);
    assert!(ahead.text().contains("since=0"), "{ahead:?}");
    let manifest = node.data_dir().join("state/manifest");
    fs::rename(&manifest, manifest.with_extension("aside")).unwrap();
    fs::write(&manifest, "no manifest").unwrap();
    expect_row("could not read the manifest", &ask(""));
    fs::rename(manifest.with_extension("aside"), &manifest).unwrap();
    assert_eq!(ask("").json(), all);
    node.stop();
}

#[test]
fn changes_are_told_to_who_may_read_everything() {
    let dir = tempfile::tempdir().unwrap();
    let token = |args: &[&str]| {
        let made = ringest("token").arg("create").arg("--data-dir").arg(dir.path()).args(args).output().unwrap();
        must(&made).trim().to_owned()
    };
    let all = token(&["--name", "all", "--read", "*"]);
    let one = token(&["--name", "one", "--read", "d", "--read", "d*"]);
    let writer = token(&["--name", "writer", "--write", "*"]);
    let node = Node::start_in(dir, &["--auth", "required"]);
    for (token, status) in [(all, 200), (one, 401), (writer, 401)] {
        let mut client = Client::new(node.address());
        client.request_with("GET", "/api/changes", &format!("Authorization: Token {token}\r\n"), b"");
        assert_eq!(client.answer().status, status);
    }
    assert_eq!(node.request("GET", "/api/changes", b"").status, 403);
}

/// A file of the lake, to be written again with something wrong in it.
struct Rewrite {
    path: PathBuf,
    batch: RecordBatch,
    pairs: Vec<KeyValue>,
    sorting: Option<Vec<SortingColumn>>,
}

impl Rewrite {
    fn read(path: &Path) -> Self {
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder =
            ParquetRecordBatchReaderBuilder::try_new_with_options(File::open(path).unwrap(), options).unwrap();
        let metadata = Arc::clone(builder.metadata());
        let schema = Arc::clone(builder.schema());
        let batches: Vec<RecordBatch> = builder.build().unwrap().map(Result::unwrap).collect();
        Self {
            path: path.to_owned(),
            batch: concat_batches(&Arc::new(Schema::new(schema.fields().clone())), &batches).unwrap(),
            pairs: metadata.file_metadata().key_value_metadata().unwrap().clone(),
            sorting: metadata.row_group(0).sorting_columns().cloned(),
        }
    }

    fn write(&self) {
        let properties = WriterProperties::builder()
            .set_key_value_metadata(Some(self.pairs.clone()))
            .set_sorting_columns(self.sorting.clone())
            .build();
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let file = File::create(&self.path).unwrap();
        let mut writer = ArrowWriter::try_new_with_options(file, self.batch.schema(), options).unwrap();
        writer.write(&self.batch).unwrap();
        writer.close().unwrap();
    }

    fn set(&mut self, key: &str, value: &str) {
        self.pairs.iter_mut().find(|pair| pair.key == key).unwrap().value = Some(value.to_owned());
    }

    fn rows(&mut self, rows: &[u32]) {
        self.batch = take_record_batch(&self.batch, &UInt32Array::from(rows.to_vec())).unwrap();
    }

    /// Another column in the place of `name`, under the name `new`.
    fn column(&mut self, name: &str, new: &str, column: ArrayRef) {
        let at = self.batch.schema().index_of(name).unwrap();
        let mut fields: Vec<Field> = self.batch.schema().fields().iter().map(|field| (**field).clone()).collect();
        fields[at] = Field::new(new, column.data_type().clone(), fields[at].is_nullable());
        let mut columns = self.batch.columns().to_vec();
        columns[at] = column;
        self.batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    }

    fn times(&mut self, change: impl Fn(usize, i64) -> i64) {
        let times = self.batch["time"].as_primitive::<TimestampMicrosecondType>().values().iter();
        let times: Vec<i64> = times.enumerate().map(|(row, time)| change(row, *time)).collect();
        let times = arrow::array::TimestampMicrosecondArray::from(times).with_timezone("UTC");
        self.column("time", "time", Arc::new(times));
    }
}

/// The file anew with another footer over the same data.
fn change_footer(path: &Path, change: impl Fn(ParquetMetaData) -> ParquetMetaData) {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&File::open(path).unwrap()).unwrap();
    let bytes = fs::read(path).unwrap();
    let end = metadata.row_groups().iter().flat_map(|group| group.columns()).map(|chunk| chunk.byte_range());
    let end = end.map(|(start, length)| (start + length) as usize).max().unwrap();
    let mut file = File::create(path).unwrap();
    file.write_all(&bytes[..end]).unwrap();
    ParquetMetaDataWriter::new(&mut file, &change(metadata)).finish().unwrap();
}

/// The statistics of one column changed.
fn change_statistics(path: &Path, column: &str, statistics: impl Fn() -> Option<Statistics>) {
    change_footer(path, |metadata| {
        let mut builder = metadata.into_builder();
        let groups = builder.take_row_groups().into_iter().map(|group| {
            let chunks = group.columns().iter().map(|chunk| match chunk.column_descr().name() == column {
                true => {
                    let builder = chunk.clone().into_builder().clear_statistics();
                    match statistics() {
                        Some(statistics) => builder.set_statistics(statistics).build().unwrap(),
                        None => builder.build().unwrap(),
                    }
                }
                false => chunk.clone(),
            });
            let chunks = chunks.collect();
            group.into_builder().set_column_metadata(chunks).build().unwrap()
        });
        let groups = groups.collect();
        builder.set_row_groups(groups).build()
    });
}

/// The data directory of a stopped node, and the file of its first epoch: rows without host; with a and then x; with b.
pub fn stopped() -> (TempDir, PathBuf) {
    let dir = filled().stop();
    let mut files =
        parquet_files(dir.path()).into_iter().filter(|path| path.starts_with("b%C3%BCro/cpu/day=2023-11-14"));
    let first = dir.path().join("lake").join(files.next().unwrap());
    (dir, first)
}

/// What `verify` says of a lake in which something is wrong with one file. It says nothing of others.
#[track_caller]
fn faults(dir: &Path, file: &Path) -> String {
    let output = lake(dir, "verify", &["--json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report = json(&String::from_utf8(output.stdout).unwrap());
    let faults = report["faults"].as_array().unwrap();
    assert!(!faults.is_empty());
    for fault in faults {
        assert_eq!(dir.join(fault["file"].as_str().unwrap()), file, "{report}");
        assert!(fault["advice"].as_str().is_some_and(|advice| !advice.is_empty()), "{fault}");
    }
    faults.iter().map(|fault| fault["what"].as_str().unwrap().to_owned() + "\n").collect()
}

#[test]
fn a_sound_lake_is_found_sound_whoever_wrote_its_files_anew() {
    let (dir, file) = stopped();
    let text = must(&lake(dir.path(), "verify", &[]));
    assert!(text.starts_with("the lake is sound: 4 files, 7 rows, "), "{text}");
    // The base of all that is planted below is sound.
    Rewrite::read(&file).write();
    must(&lake(dir.path(), "verify", &[]));
    change_footer(&file, |metadata| metadata);
    must(&lake(dir.path(), "verify", &[]));
}

#[test]
fn every_fault_of_a_file_is_found() {
    type Plant = fn(&mut Rewrite);
    let plants: &[(&str, Plant)] = &[
        ("its footer says ringest.bucket = \"other\"", |file| file.set("ringest.bucket", "other")),
        ("its footer says ringest.measurement = \"mem\"", |file| file.set("ringest.measurement", "mem")),
        ("its footer says ringest.epoch = \"7\"", |file| file.set("ringest.epoch", "7")),
        ("its footer says ringest.node = \"0000000000000007\"", |file| file.set("ringest.node", "0000000000000007")),
        ("its footer has no ringest.node", |file| file.pairs.retain(|pair| pair.key != "ringest.node")),
        ("no list of tags", |file| file.set("ringest.tags", "host")),
        ("are not the string columns", |file| file.set("ringest.tags", "[\"zone\",\"host\"]")),
        ("ringest.names in its footer", |file| file.set("ringest.names", "{}")),
        ("sorting_columns", |file| file.sorting = None),
        ("sorting_columns", |file| file.sorting.as_mut().unwrap()[1].descending = true),
        ("not in order of tags and time: 1, the first is row 1", |file| file.rows(&[1, 0, 2, 3])),
        ("with the tags and time of the row before: 2, the first is row 1", |file| file.rows(&[0, 0, 0, 1, 2, 3])),
        ("holds no row", |file| file.rows(&[])),
        ("outside of the folder's day 2023-11-14: 1, the first is row 3", |file| {
            file.times(|row, time| if row == 3 { time + 86_400_000_000 } else { time });
        }),
        ("whose time_ns_rem is not from 0 to 999: 4", |file| {
            file.column("time_ns_rem", "time_ns_rem", Arc::new(arrow::array::Int32Array::from(vec![1000; 4])));
        }),
        ("its first columns are not time", |file| {
            let nanos = file.batch["time"].as_primitive::<TimestampMicrosecondType>().values().iter();
            let nanos = Int64Array::from_iter_values(nanos.copied());
            file.column("time", "time", Arc::new(nanos));
        }),
        ("its column \"n\" is float, and the catalog says integer", |file| {
            let floats = file.batch["n"].as_primitive::<Int64Type>().iter();
            let floats = Float64Array::from_iter(floats.map(|value| value.map(|value| value as f64)));
            file.column("n", "n", Arc::new(floats));
        }),
        ("the catalog does not know its column \"m\"", |file| {
            let column = Arc::clone(&file.batch["n"]);
            file.column("n", "m", column);
        }),
        ("has the name of another one in lower case", |file| {
            let column = Arc::clone(&file.batch["n"]);
            file.column("n", "Usage", column);
        }),
    ];
    let (dir, file) = stopped();
    let whole = fs::read(&file).unwrap();
    for (expected, plant) in plants {
        let mut rewrite = Rewrite::read(&file);
        plant(&mut rewrite);
        rewrite.write();
        // A type that differs is told of each file that does not agree with the first.
        let found = match expected.contains("catalog says") {
            true => String::from_utf8(lake(dir.path(), "verify", &[]).stdout).unwrap(),
            false => faults(dir.path(), &file),
        };
        assert!(found.contains(expected), "{expected:?} in {found}");
        fs::write(&file, &whole).unwrap();
    }
    let integers =
        |least, greatest, nulls| Some(Statistics::int64(Some(least), Some(greatest), None, Some(nulls), false));
    for (expected, column, statistics) in [
        ("its least value is not the one", "n", integers(-4, 2, 1)),
        ("its greatest value is not the one", "n", integers(-3, 1, 1)),
        ("1 of its values are null, and the footer counts 2", "n", integers(-3, 2, 2)),
        ("does not say its least value", "n", Some(Statistics::int64(None, None, None, Some(1), false))),
        ("it has no statistics", "n", None),
        (
            "its greatest value is not the one",
            "host",
            Some(Statistics::byte_array(Some("a".into()), Some("a".into()), None, Some(1), false)),
        ),
    ] {
        change_statistics(&file, column, || statistics.clone());
        let found = faults(dir.path(), &file);
        assert!(found.contains(expected) && found.contains(column), "{expected:?} in {found}");
        fs::write(&file, &whole).unwrap();
    }
    for length in [0, 3, 100, whole.len() - 1] {
        fs::write(&file, &whole[..length]).unwrap();
        assert!(faults(dir.path(), &file).contains("cannot be read"));
    }
    fs::write(&file, &whole).unwrap();
    must(&lake(dir.path(), "verify", &[]));
}

#[test]
fn what_the_manifest_and_the_folders_disagree_on_is_found() {
    let (dir, file) = stopped();
    let aside = dir.path().join("aside.parquet");
    fs::rename(&file, &aside).unwrap();
    assert!(faults(dir.path(), &file).contains("belongs to the lake and is not there"));
    let listed = must(&lake(dir.path(), "list", &[]));
    assert!(listed.contains("missing: lake/"), "{listed}");
    fs::copy(&aside, &file).unwrap();

    let folder = file.parent().unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    let own = folder.join(name.replacen("-0000-", "-0003-", 1));
    let foreign = folder.join("1700000000000-0000-00000000000000ff.parquet");
    for (stranger, expected) in [(own, "the manifest does not name it"), (foreign, "is no part of this lake")] {
        fs::copy(&aside, &stranger).unwrap();
        assert!(faults(dir.path(), &stranger).contains(expected));
        fs::remove_file(&stranger).unwrap();
    }

    // Publications in every state, written as docs/FORMATS.md has it.
    let manifest = dir.path().join("state/manifest");
    let whole = fs::read(&manifest).unwrap();
    let path = file.strip_prefix(dir.path()).unwrap().to_str().unwrap();
    let epoch: u64 = name.split('-').next().unwrap().parse().unwrap();
    for (records, expected) in [
        (vec![intent(epoch, &[], &[path]), commit(epoch)], "is no part of the lake any more"),
        (vec![intent(epoch + 1, &[path], &[]), abort(epoch + 1)], "its publication was taken back"),
    ] {
        append(&manifest, &records);
        assert!(faults(dir.path(), &file).contains(expected));
        fs::write(&manifest, &whole).unwrap();
    }
    // A file that holds the epochs of others, which are still there.
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let (last, node) =
        (names[1].split('-').next().unwrap(), name.split('-').nth(2).unwrap().trim_end_matches(".parquet"));
    let both = folder.join(format!("{last}-0004-{node}-{epoch}.parquet"));
    let mut rewrite = Rewrite::read(&aside);
    rewrite.path = both.clone();
    rewrite.set("ringest.epoch", last);
    rewrite.pairs.push(KeyValue::new("ringest.first_epoch".to_owned(), epoch.to_string()));
    rewrite.write();
    let path_of_both = both.strip_prefix(dir.path()).unwrap().to_str().unwrap();
    let last = last.parse().unwrap();
    append(&manifest, &[intent(last, &[path_of_both], &[]), commit(last)]);
    let found = faults(dir.path(), &both);
    assert!(found.contains(&format!("its epochs {epoch}..{last} reach into those of {}", names[1])), "{found}");
    // In the place of the others it is as it should be.
    let others = names.iter().map(|name| format!("{}/{name}", path.rsplit_once('/').unwrap().0)).collect::<Vec<_>>();
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    append(&manifest, &[intent(last, &[], &others), commit(last)]);
    others.iter().for_each(|other| fs::rename(dir.path().join(other), dir.path().join("gone")).unwrap());
    must(&lake(dir.path(), "verify", &[]));
    fs::remove_file(&both).unwrap();
    fs::write(&manifest, &whole).unwrap();
    fs::rename(dir.path().join("gone"), dir.path().join(others[1])).unwrap();
    fs::copy(&aside, &file).unwrap();

    let coming = path.replacen("-0000-", "-0005-", 1);
    fs::copy(&aside, dir.path().join(&coming)).unwrap();
    append(&manifest, &[intent(epoch, &[&coming], &[])]);
    let text = must(&lake(dir.path(), "verify", &[]));
    assert!(text.contains(&format!("{coming}: is being published")), "{text}");

    // A manifest that is being written to is read up to there; one that is damaged is not believed.
    let cut = fs::metadata(&manifest).unwrap().len() - 3;
    File::options().write(true).open(&manifest).unwrap().set_len(cut).unwrap();
    assert!(faults(dir.path(), &dir.path().join(&coming)).contains("the manifest does not name it"));
    let mut damaged = whole.clone();
    damaged[40] ^= 1;
    fs::write(&manifest, &damaged).unwrap();
    let refused = lake(dir.path(), "verify", &[]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is damaged at byte 24"), "{refused:?}");
}

/// The body of a record, without its sequence number.
pub fn intent(epoch: u64, adds: &[&str], removes: &[&str]) -> Vec<u8> {
    let mut body = [&[1][..], &epoch.to_le_bytes()].concat();
    for paths in [adds, removes] {
        body.extend((paths.len() as u32).to_le_bytes());
        for path in paths {
            body.extend((path.len() as u16).to_le_bytes());
            body.extend(path.as_bytes());
        }
    }
    body
}

pub fn commit(epoch: u64) -> Vec<u8> {
    [&[2][..], &epoch.to_le_bytes(), &16_u64.to_le_bytes()].concat()
}

fn abort(epoch: u64) -> Vec<u8> {
    [&[3][..], &epoch.to_le_bytes()].concat()
}

fn append(manifest: &Path, records: &[Vec<u8>]) {
    let mut bytes = fs::read(manifest).unwrap();
    let records_before = bytes.windows(4).filter(|mark| mark == b"\xF7rec").count() as u64;
    for (sequence, record) in (records_before..).zip(records) {
        let body = [&sequence.to_le_bytes()[..], record].concat();
        bytes.extend(b"\xF7rec");
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend(crc32fast::hash(&body).to_le_bytes());
        bytes.extend(body);
    }
    fs::write(manifest, bytes).unwrap();
}

#[test]
fn a_lake_without_state_is_verified_by_itself() {
    let (dir, file) = stopped();
    let alone = tempfile::tempdir().unwrap();
    fs::rename(dir.path().join("lake"), alone.path().join("lake")).unwrap();
    let text = must(&lake(alone.path(), "verify", &[]));
    assert!(text.contains("there is no state/manifest") && text.contains("4 files, 7 rows"), "{text}");
    // Its files still have to agree with each other.
    let file = alone.path().join(file.strip_prefix(dir.path()).unwrap());
    let mut rewrite = Rewrite::read(&file);
    let floats = rewrite.batch["n"].as_primitive::<Int64Type>().iter();
    let floats = Float64Array::from_iter(floats.map(|value| value.map(|value| value as f64)));
    rewrite.column("n", "n", Arc::new(floats));
    assert_eq!(rewrite.batch["n"].data_type(), &DataType::Float64);
    rewrite.write();
    let output = lake(alone.path(), "verify", &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("its column \"n\" is") && text.contains("float"), "{text}");
}

/// The steps of docs/LAKE.md, "Backup", as its commands do them.
fn back_up(node: &Node, copy: &Path) {
    node.flush();
    let data = node.data_dir();
    fs::create_dir_all(copy.join("state")).unwrap();
    for file in ["manifest", "catalog"] {
        fs::copy(data.join("state").join(file), copy.join("state").join(file)).unwrap();
    }
    let paths = must(&lake(copy, "list", &["--paths"]));
    for path in paths.lines() {
        let target = copy.join(path);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        // A hard link: files of the lake never change.
        fs::hard_link(data.join(path), target).unwrap();
    }
}

#[test]
fn a_copy_of_a_writing_node_has_every_point_that_was_acknowledged_before() {
    let node = Node::start(&["--flush-interval", "100ms"]);
    let (acknowledged, ended) = (AtomicU64::new(0), AtomicBool::new(false));
    let address = node.address();
    let copies = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = Client::new(address);
            while !ended.load(Ordering::SeqCst) {
                let number = acknowledged.load(Ordering::SeqCst);
                // New columns too, so that the catalog grows meanwhile.
                let line = format!("m,host=h{} v={number}i,f{}=1 {number}", number % 7, number / 50);
                client.request("POST", "/write?db=d", line.as_bytes());
                assert_eq!(client.answer().status, 204);
                acknowledged.store(number + 1, Ordering::SeqCst);
            }
        });
        let copies: Vec<(TempDir, u64)> = (0..4)
            .map(|_| {
                std::thread::sleep(std::time::Duration::from_millis(350));
                let copy = tempfile::tempdir().unwrap();
                let before = acknowledged.load(Ordering::SeqCst);
                back_up(&node, copy.path());
                (copy, before)
            })
            .collect();
        ended.store(true, Ordering::SeqCst);
        copies
    });
    assert!(copies.iter().all(|(_, before)| *before > 0) && copies[3].1 > copies[0].1);
    for (copy, before) in copies {
        must(&lake(copy.path(), "verify", &[]));
        let restored = Node::start_in(copy, &[]);
        let numbers = |lake: &Lake| -> BTreeSet<i64> { lake.rows("d", "m").iter().map(|row| row.time_ns).collect() };
        let found = numbers(&restored.lake());
        assert!((0..before as i64).all(|number| found.contains(&number)), "{before} before, {} found", found.len());
        // It is a node like any other.
        restored.must_write("d", "m,host=h0 v=5i 1700000000000000000");
        assert!(numbers(&restored.lake()).contains(&1_700_000_000_000_000_000));
        let dir = restored.stop();
        must(&lake(dir.path(), "verify", &[]));
    }
    // The node that was copied has lost nothing by it.
    let lines = node.lake().lines("d", "m").len() as u64;
    assert_eq!(lines, acknowledged.load(Ordering::SeqCst));
    let dir = node.stop();
    must(&lake(dir.path(), "verify", &[]));
}

/// The commands of docs/LAKE.md as they stand there.
#[test]
fn the_documented_commands_make_a_backup() {
    let docs = include_str!("../../docs/LAKE.md");
    let (_, script) = docs.split_once("<!-- backup -->\n```sh\n").expect("docs/LAKE.md has the script");
    let (script, _) = script.split_once("```").unwrap();
    let node = filled();
    let work = tempfile::tempdir().unwrap();
    // Reached through a link, as data directories may be.
    std::os::unix::fs::symlink(node.data_dir(), work.path().join("data")).unwrap();
    let binaries = Path::new(env!("CARGO_BIN_EXE_ringest")).parent().unwrap();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    let script = script.replace("ringest flush", &format!("ringest flush --url {}", node.url()));
    let output =
        Command::new("sh").args(["-euc", &script]).current_dir(work.path()).env("PATH", path).output().unwrap();
    let text = must(&output);
    assert!(text.contains("the lake is sound: 4 files, 7 rows"), "{output:?}");
    node.stop();
}

#[test]
fn a_log_that_has_survived_beside_a_copy_brings_what_it_still_holds() {
    let node = Node::start(&["--flush-interval", "1h"]);
    node.must_write("d", "m f=1 1");
    let copy = tempfile::tempdir().unwrap();
    back_up(&node, copy.path());
    // Unpublished, with a column and a table that the copy does not know.
    node.must_write("d", "m f=2,later=t 2\nother f=1 1");
    let old = node.kill();
    fs::rename(old.path().join("wal"), copy.path().join("wal")).unwrap();
    for file in ["log", "catalog"] {
        fs::copy(old.path().join("state").join(file), copy.path().join("state").join(file)).unwrap();
    }
    let restored = Node::start_in(copy, &[]);
    let lake = restored.lake();
    assert_eq!(lake.lines("d", "m"), ["f=1.0 1", "f=2.0,later=true 2"]);
    assert_eq!(lake.lines("d", "other"), ["f=1.0 1"]);
    restored.stop();
}

/// That days go is for the tests of the lake, whose clock is theirs: a node waits for an hour.
#[test]
fn a_node_says_that_days_expire_and_ends_without_waiting_for_them() {
    let mut node = Node::start(&["--expiry", "on"]);
    node.wait_for_log("days that are older than their bucket's retention are removed");
    node.must_write("d", "m f=1 1");
    let began = std::time::Instant::now();
    let dir = node.stop();
    assert!(began.elapsed() < std::time::Duration::from_secs(10));
    assert_eq!(Lake::read(dir.path()).lines("d", "m"), ["f=1.0 1"]);
    let config = dir.path().join("ringest.toml");
    fs::write(&config, "[bucket.d]\nexpiry = \"on\"\n").unwrap();
    let config = config.to_str().unwrap().to_owned();
    let mut node = Node::start_in(dir, &["--config", &config]);
    node.wait_for_log("days that are older than their bucket's retention are removed");
    assert!(node.metrics().contains("ringest_expired_days_total 0"));
    node.stop();
}
