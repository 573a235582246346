//! Merges against the model: files of one table and day become files that hold what a reader of all of them would make of them.

use crate::lake::compact::{Limits, MergeError, Merged, Partition, Source, Task, merge};
use crate::lake::partition::{FileName, split};

use super::files::{FIELDS, Mix, metadata, random_row};
use super::*;

const TAGS: [&str; 3] = ["zhost", "b", "region"];
const NODE: u64 = 7;

/// A folder with files of one day, and what they hold together.
pub(super) struct Day {
    pub folder: tempfile::TempDir,
    /// With every column.
    table: Table,
    pub sources: Vec<Source>,
    /// By file, in order of writing.
    written: Vec<(u64, Vec<Row>)>,
}

impl Day {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, table: table(0, &TAGS, &FIELDS), sources: Vec::new(), written: Vec::new() }
    }

    /// A file of these rows, whose table knew so many tags and fields then. All rows are of one day.
    pub fn add(&mut self, name: FileName, rows: Vec<Row>, tags: usize, fields: usize) {
        let table = table(0, &TAGS[..tags], &FIELDS[..fields]);
        let known = |row: Row| Row {
            tags: row.tags.into_iter().filter(|(tag, _)| (*tag as usize) < tags).collect(),
            fields: row.fields.into_iter().filter(|(field, _)| (*field as usize) < fields).collect(),
            ..row
        };
        let rows: Vec<Row> = rows.into_iter().map(known).collect();
        let request = self.written.len() as u64;
        let mut days = split(seal(&table, &[(request, rows.clone())], false));
        assert_eq!(days.len(), 1);
        let path = self.folder.path().join(name.to_string());
        write_as(&path, &table, &[Arc::new(days.remove(0).1)], name);
        self.sources.push(Source { path, name });
        self.written.push((request, rows));
    }

    fn task<'a>(&'a self, limits: Limits, budget: &'a Arc<Budget>) -> Task<'a> {
        Task {
            partition: Partition { table: &self.table, day: 0 },
            sources: &self.sources,
            limits,
            files: FileOptions::default(),
            budget,
        }
    }

    pub fn merge(&self, limits: Limits) -> Result<Merged, MergeError> {
        let budget = Budget::new(1 << 30);
        let aside = |file: usize| self.folder.path().join(format!("{file}.part"));
        let merged = merge(&self.task(limits, &budget), aside, &mut || true);
        assert_eq!(budget.total(), 0);
        merged
    }

    /// What the files of a merge hold is what the first of the sources do.
    pub fn check(&self, merged: &Merged, what: &str) {
        let mut found = Vec::new();
        for (path, written) in &merged.files {
            let rows = read(path, &self.table);
            assert_eq!(rows.len() as u64, written.rows, "{what}");
            assert_eq!(std::fs::metadata(path).unwrap().len(), written.bytes, "{what}");
            found.extend(rows);
        }
        assert!(found.is_sorted_by(|a, b| a.0 < b.0), "{what}: rows are sorted and unique, over all files");
        let requests = self.written[..merged.sources].to_vec();
        assert_eq!(merged.rows, requests.iter().map(|(_, rows)| distinct(&self.table, rows)).sum::<u64>(), "{what}");
        let expected = model(&self.table, &[requests]);
        assert_eq!(found.len(), expected.len(), "{what}");
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!((&found.0, bits(&found.1)), (expected.0, bits(expected.1)), "{what}");
        }
    }
}

fn write_as(path: &Path, table: &Table, parts: &[Arc<DayPart>], name: FileName) {
    let origin = Origin { node: name.node, epoch: name.epoch, first_epoch: name.first_epoch };
    let budget = Budget::new(1 << 40);
    let mut memory = Reservation::new(&budget, Consumer::Encoder);
    write_file(&Input { table, parts, origin, path, sync: false, files: FileOptions::default() }, &mut memory).unwrap();
}

pub(super) fn name(epoch: u64, n: u32) -> FileName {
    FileName::new(epoch, n, NodeId::of_test(NODE))
}

/// Points of a file: rows of one (series, time) are one.
fn distinct(table: &Table, rows: &[Row]) -> u64 {
    model(table, &[vec![(0, rows.to_vec())]]).len() as u64
}

/// Zeros of both signs differ.
fn bits(fields: &BTreeMap<u32, Value>) -> BTreeMap<u32, String> {
    let shown = |value: &Value| match value {
        Value::Float(value) => format!("{:x}", value.to_bits()),
        other => format!("{other:?}"),
    };
    fields.iter().map(|(field, value)| (*field, shown(value))).collect()
}

pub(super) fn limits(slice_rows: usize, batch_rows: usize, file_bytes: usize) -> Limits {
    Limits { bytes: 256 << 20, slice_rows, batch_rows, file_bytes }
}

fn random_day(seed: u64, files: u64, mix: &Mix) -> Day {
    let mut random = Random(seed * 7919 + 3);
    let mut day = Day::new();
    for file in 0..files {
        let rows = 1 + random.below(mix.rows);
        let mut rows: Vec<Row> = (0..rows).map(|_| random_row(&mut random, mix)).collect();
        rows.iter_mut().for_each(|row| row.time = row.time.abs());
        // Columns are born from file to file; every third epoch has two files, as that of a replay has.
        let (tags, fields) = (1 + (file as usize).min(2), (2 + file as usize).min(FIELDS.len()));
        day.add(name(100 + file - u64::from(file % 3 == 1), file as u32 % 3), rows, tags, fields);
    }
    day
}

#[test]
fn merged_files_hold_what_the_model_says() {
    for seed in 0..40 {
        let mix = Mix {
            rows: [3, 40, 400][seed as usize % 3],
            series: [1, 5, 60][seed as usize / 3 % 3],
            times: [3, 100, 1_000_000][seed as usize % 3],
            absent: [0, 20, 95][seed as usize / 4 % 3],
            wide: seed % 2 == 0,
        };
        let day = random_day(seed, 1 + seed % 9, &mix);
        for (slice_rows, batch_rows, file_bytes) in
            [(16, 5, 1 << 30), (64, 1, 6_000), (256 << 10, 8 << 10, 1 << 30), (100, 7, 1)]
        {
            let merged = day.merge(limits(slice_rows, batch_rows, file_bytes)).unwrap();
            assert_eq!(merged.sources, day.sources.len());
            day.check(
                &merged,
                &format!("seed {seed}, slices of {slice_rows}, batches of {batch_rows}, files of {file_bytes}"),
            );
        }
    }
}

#[test]
fn merged_files_have_many_row_groups_and_say_what_they_are() {
    let mix = Mix { rows: 30_000, series: 70, times: 5_000_000, absent: 20, wide: false };
    let day = random_day(77, 4, &mix);
    let merged = day.merge(limits(1_500, 200, 60 << 10)).unwrap();
    day.check(&merged, "many rows");
    assert!(merged.files.len() > 1, "{:?}", merged.files);
    for (path, _) in &merged.files {
        let metadata = metadata(path);
        let pairs: BTreeMap<&str, &str> = metadata
            .file_metadata()
            .key_value_metadata()
            .unwrap()
            .iter()
            .map(|pair| (&*pair.key, pair.value.as_deref().unwrap()))
            .collect();
        assert_eq!((pairs["ringest.epoch"], pairs["ringest.first_epoch"]), ("103", "100"));
        assert_eq!(pairs["ringest.tags"], r#"["b","region","zhost"]"#);
    }
    assert!(metadata(&merged.files[0].0).num_row_groups() > 1);
    // What was merged is merged again, over the ends of its row groups, with a file behind it.
    let mut again = Day { sources: Vec::new(), ..random_day(78, 1, &mix) };
    let rows: Vec<(u64, Vec<Row>)> = day.written.clone();
    let later = again.written.remove(0).1;
    for ((path, _), n) in merged.files.iter().zip(1..) {
        let name = FileName { n, first_epoch: 100, ..name(103, 0) };
        again.sources.push(Source { path: path.clone(), name });
    }
    let files = again.sources.len();
    again.add(name(104, 0), later, 1, 2);
    let remerged = again.merge(limits(20_000, 3_000, 1 << 30)).unwrap();
    assert_eq!((remerged.sources, remerged.files.len()), (files + 1, 1));
    let later = (rows.len() as u64, again.written.remove(0).1);
    let expected = model(&again.table, &[rows.into_iter().chain([later]).collect()]);
    let found = read(&remerged.files[0].0, &again.table);
    assert_eq!(found.len(), expected.len());
    assert!(
        found
            .iter()
            .zip(&expected)
            .all(|(found, expected)| (&found.0, bits(&found.1)) == (expected.0, bits(expected.1)))
    );
}

#[test]
fn values_keep_their_bits() {
    let mut day = Day::new();
    let values = [-0.0, 0.0, f64::MIN_POSITIVE / 8.0, f64::MAX, f64::MIN, 0.1];
    let row = |time: i64| {
        let fields = BTreeMap::from([
            (0, Value::Float(values[time as usize % 6])),
            (1, Value::Integer([i64::MIN, i64::MAX, -1][time as usize % 3])),
            (2, Value::Unsigned(u64::MAX - time as u64)),
            (4, Value::String(["", "\u{0}", "a\u{10FFFF}", "é\n"][time as usize % 4].to_owned())),
        ]);
        // Tags that begin alike, and one that is another's beginning.
        let tag = "a".repeat(time as usize % 3 + 1) + if time % 2 == 0 { "\u{0}" } else { "" };
        Row { tags: BTreeMap::from([(0, tag)]), time: time * 86_399_999_999_999 / 30, fields }
    };
    day.add(name(5, 0), (0..30).step_by(2).map(row).collect(), 1, 7);
    day.add(name(6, 0), (0..30).step_by(3).map(|time| row(30 - time)).collect(), 3, 7);
    day.check(&day.merge(limits(8, 3, 1 << 30)).unwrap(), "extreme values");
}

#[test]
fn fields_of_a_point_come_from_the_last_file_that_has_them() {
    let mut day = Day::new();
    let row = |fields: &[(u32, i64)]| Row {
        tags: BTreeMap::from([(0, "a".to_owned())]),
        time: 5,
        fields: fields.iter().map(|(field, value)| (*field, Value::Integer(*value))).collect(),
    };
    day.add(name(9, 0), vec![row(&[(1, 1), (5, 1)])], 1, 7);
    day.add(name(9, 1), vec![row(&[(1, 2)])], 1, 7);
    day.add(name(10, 0), vec![row(&[(5, 3)])], 1, 7);
    let merged = day.merge(limits(8, 3, 1 << 30)).unwrap();
    let rows = read(&merged.files[0].0, &day.table);
    let [(_, fields)] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!(*fields, BTreeMap::from([(1, Value::Integer(2)), (5, Value::Integer(3))]));
    assert_eq!((merged.rows, merged.files[0].1.rows), (3, 1));
}

#[test]
fn files_that_do_not_fit_into_memory_together_are_left_for_later_by_whole_epochs() {
    let mix = Mix { rows: 400, series: 60, times: 1_000_000, absent: 20, wide: true };
    let day = random_day(5, 9, &mix);
    let mut sizes = Vec::new();
    for kib in [1, 100, 200, 400, 800, 1_600, 3_200, 6_400, 25_600] {
        let limits = Limits { bytes: kib << 10, ..limits(1_000, 100, 1 << 30) };
        match day.merge(limits) {
            Ok(merged) => {
                day.check(&merged, &format!("in {kib} KiB"));
                assert!(merged.sources >= 2);
                let parted = day
                    .sources
                    .get(merged.sources)
                    .is_some_and(|next| next.name.epoch == day.sources[merged.sources - 1].name.epoch);
                assert!(!parted, "files of one epoch stay together");
                sizes.push(merged.sources);
            }
            Err(error) => {
                assert!(matches!(error, MergeError::Memory { .. }), "{error}");
                assert!(sizes.is_empty(), "more memory is no worse");
            }
        }
    }
    assert!(sizes.is_sorted() && sizes.first() < sizes.last() && sizes.last() == Some(&9), "{sizes:?}");
}

#[test]
fn a_file_that_is_not_what_its_name_promises_stops_a_merge_and_is_named() {
    let mix = Mix { rows: 40, series: 6, times: 1_000, absent: 20, wide: false };
    let check = |spoil: &dyn Fn(&mut Day), expected: &str| {
        let mut day = random_day(3, 4, &mix);
        spoil(&mut day);
        let error = day.merge(limits(16, 5, 1 << 30)).unwrap_err();
        let MergeError::Input { path, .. } = &error else { panic!("{error}") };
        assert_eq!(*path, day.sources[2].path);
        assert!(error.to_string().contains(expected), "{error}");
        let aside = std::fs::read_dir(day.folder.path())
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().ends_with(".part"));
        assert_eq!(aside.count(), 0, "nothing is left");
    };
    check(&|day| day.sources[2].name.epoch = 5, "its footer says Some(\"102\") for ringest.epoch");
    check(&|day| day.sources[2].name.first_epoch = 5, "for ringest.first_epoch");
    check(&|day| day.sources[2].name.node = NodeId::of_test(8), "for ringest.node");
    check(&|day| std::fs::remove_file(&day.sources[2].path).unwrap(), "cannot be read");
    check(&|day| std::fs::write(&day.sources[2].path, b"PAR1").unwrap(), "cannot be read");
    let shorter = |day: &mut Day| {
        let bytes = std::fs::read(&day.sources[2].path).unwrap();
        std::fs::write(&day.sources[2].path, &bytes[20..]).unwrap();
    };
    check(&shorter, "is damaged");
    let other_type = |day: &mut Day| {
        let fields: Vec<(&str, FieldType)> = FIELDS.iter().map(|(name, _)| (*name, FieldType::Boolean)).collect();
        let table = table(0, &TAGS, &fields);
        let row = Row { tags: BTreeMap::new(), time: 1, fields: BTreeMap::from([(0, Value::Boolean(true))]) };
        let part = Arc::new(split(seal(&table, &[(1, vec![row])], false)).remove(0).1);
        write_as(&day.sources[2].path, &table, &[part], day.sources[2].name);
    };
    check(&other_type, "has the column \"float\" of type Boolean; its table has Float64");
    let other_day = |day: &mut Day| {
        let row = Row { tags: BTreeMap::new(), time: -1, fields: BTreeMap::from([(1, Value::Integer(1))]) };
        let part = Arc::new(split(seal(&day.table, &[(1, vec![row])], false)).remove(0).1);
        write_as(&day.sources[2].path, &day.table, &[part], day.sources[2].name);
    };
    check(&other_day, "has a row of another day");
}

#[test]
fn a_merge_that_is_stopped_leaves_nothing() {
    let mix = Mix { rows: 400, series: 60, times: 1_000_000, absent: 20, wide: true };
    let day = random_day(5, 5, &mix);
    let budget = Budget::new(1 << 30);
    let aside = |file: usize| day.folder.path().join(format!("{file}.part"));
    let mut asked = 0;
    loop {
        let mut left = asked;
        let mut goes_on = || {
            left -= 1;
            left >= 0
        };
        match merge(&day.task(limits(100, 10, 10_000), &budget), aside, &mut goes_on) {
            Err(error) => assert!(matches!(error, MergeError::Stopped), "{error}"),
            Ok(merged) => break day.check(&merged, "not stopped"),
        }
        assert!(!(0..9).any(|file| aside(file).exists()), "after {asked} slices");
        assert_eq!(budget.total(), 0);
        asked += 1;
    }
    assert!(asked > 3, "it was stopped before each slice");
}

#[test]
fn wide_tables_and_long_strings_are_merged_in_bounded_memory() {
    let mut day = Day::new();
    let names: Vec<String> = (0..5_000).map(|field| format!("f{field}")).collect();
    let fields: Vec<(&str, FieldType)> = names.iter().map(|name| (&**name, FieldType::Float)).collect();
    day.table = table(0, &TAGS, &fields);
    for file in 0..6i64 {
        let row = |row: i64| Row {
            tags: BTreeMap::from([(0, format!("{}", row % 3))]),
            time: row * 10 + file,
            fields: (0..5_000)
                .filter(|field| file % 2 == 0 || field % 50 == 7)
                .map(|field| (field, Value::Float(row as f64)))
                .collect(),
        };
        let rows: Vec<Row> = (0..60).map(row).collect();
        let path = day.folder.path().join(name(file as u64, 0).to_string());
        let part = Arc::new(split(seal(&day.table, &[(file as u64, rows.clone())], false)).remove(0).1);
        write_as(&path, &day.table, &[part], name(file as u64, 0));
        day.sources.push(Source { path, name: name(file as u64, 0) });
        day.written.push((file as u64, rows));
    }
    let budget = Budget::new(1 << 30);
    let aside = |file: usize| day.folder.path().join(format!("{file}.part"));
    let most = std::cell::Cell::new(0);
    let limits = Limits { bytes: 256 << 20, ..limits(256 << 10, 8 << 10, 1 << 30) };
    let mut goes_on = || {
        most.set(most.get().max(budget.held_by(Consumer::Compaction)));
        true
    };
    let merged = merge(&day.task(limits, &budget), aside, &mut goes_on).unwrap();
    day.check(&merged, "wide");
    // In several batches of each file, and several slices.
    let merged = merge(&day.task(Limits { slice_rows: 150, batch_rows: 25, ..limits }, &budget), aside, &mut || true);
    day.check(&merged.unwrap(), "wide, in batches");
    assert!(most.get() < 256 << 20, "{}", most.get());

    let mut day = Day::new();
    for file in 0..4i64 {
        let row = |row: i64| Row {
            tags: BTreeMap::from([(0, format!("{}", row % 3))]),
            time: row * 10 + file,
            fields: BTreeMap::from([(4, Value::String("x".repeat(60_000 + row as usize)))]),
        };
        day.add(name(file as u64, 0), (0..200).map(row).collect(), 1, 7);
    }
    let limits = Limits { bytes: 48 << 20, ..limits };
    most.set(0);
    let mut goes_on = || {
        most.set(most.get().max(budget.held_by(Consumer::Compaction)));
        true
    };
    let merged = merge(&day.task(limits, &budget), aside_of(&day), &mut goes_on).unwrap();
    day.check(&merged, "long strings");
    assert!(most.get() < 96 << 20, "{}", most.get());
    assert!(metadata(&merged.files[0].0).num_row_groups() > 2);
}

fn aside_of(day: &Day) -> impl Fn(usize) -> std::path::PathBuf {
    let folder = day.folder.path().to_owned();
    move |file| folder.join(format!("{file}.part"))
}
