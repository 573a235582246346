//! The page index of files, and which chunks have dictionaries.

use parquet::arrow::arrow_reader::{ArrowReaderOptions, RowSelection, RowSelector};
use parquet::basic::Encoding;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;

use super::super::partition::split;
use super::*;

const INDEXED: FileOptions = FileOptions { page_index: true };

const FIELDS: [(&str, FieldType); 7] = [
    ("float", FieldType::Float),
    ("integer", FieldType::Integer),
    ("unsigned", FieldType::Unsigned),
    ("flag", FieldType::Boolean),
    ("text", FieldType::String),
    ("rare", FieldType::Integer),
    ("never", FieldType::Float),
];

type Found = Vec<(Key, BTreeMap<u32, Value>)>;

fn builder(path: &Path) -> ParquetRecordBatchReaderBuilder<File> {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    ParquetRecordBatchReaderBuilder::try_new_with_options(File::open(path).unwrap(), options).unwrap()
}

/// What a column of the file holds, row by row.
fn column(table: &Table, found: &Found, column: usize) -> Vec<Option<Value>> {
    let tags = table.tags.len();
    let value = |(key, fields): &(Key, BTreeMap<u32, Value>)| match column {
        0 => Some(Value::Integer(key.1.div_euclid(1000))),
        1 => Some(Value::Integer(key.1.rem_euclid(1000))),
        _ if column < 2 + tags => key.0[column - 2].clone().map(Value::String),
        _ => fields.get(&((column - 2 - tags) as u32)).cloned(),
    };
    found.iter().map(value).collect()
}

/// Least and greatest; no NaN.
fn span(values: &[Option<Value>]) -> Option<(Value, Value)> {
    let comparable = values.iter().flatten().filter(|value| !matches!(value, Value::Float(float) if float.is_nan()));
    let before = |a: &&Value, b: &&Value| match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b).unwrap(),
        (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
        (Value::Unsigned(a), Value::Unsigned(b)) => a.cmp(b),
        (Value::Boolean(a), Value::Boolean(b)) => a.cmp(b),
        (Value::String(a), Value::String(b)) => a.as_bytes().cmp(b.as_bytes()),
        _ => panic!("values of two types"),
    };
    let (min, max) = (comparable.clone().min_by(before)?, comparable.max_by(before)?);
    Some((min.clone(), max.clone()))
}

/// What the index says of a page: its bounds as bytes.
fn bounds(index: &ColumnIndexMetaData, page: usize) -> Option<(Vec<u8>, Vec<u8>)> {
    macro_rules! numbers {
        ($index:ident) => {
            Some(($index.min_value(page)?.to_le_bytes().to_vec(), $index.max_value(page)?.to_le_bytes().to_vec()))
        };
    }
    match index {
        ColumnIndexMetaData::INT64(index) => numbers!(index),
        ColumnIndexMetaData::INT32(index) => numbers!(index),
        ColumnIndexMetaData::DOUBLE(index) => numbers!(index),
        ColumnIndexMetaData::BOOLEAN(index) => {
            Some((vec![u8::from(*index.min_value(page)?)], vec![u8::from(*index.max_value(page)?)]))
        }
        ColumnIndexMetaData::BYTE_ARRAY(index) => {
            Some((index.min_value(page)?.to_vec(), index.max_value(page)?.to_vec()))
        }
        _ => panic!("no column has this type"),
    }
}

/// The bounds of a page's values must be exact, but for strings, which are cut.
fn check_bounds(values: &[Option<Value>], found: Option<(Vec<u8>, Vec<u8>)>, narrow: bool) {
    let Some((min, max)) = span(values) else {
        return assert_eq!(found, None);
    };
    let (found_min, found_max) = found.unwrap();
    let bytes = |value: Value| match value {
        // The sign of zero is told apart by bits alone.
        Value::Float(float) => float.to_le_bytes().to_vec(),
        Value::Integer(integer) if narrow => (integer as i32).to_le_bytes().to_vec(),
        Value::Integer(integer) => integer.to_le_bytes().to_vec(),
        Value::Unsigned(integer) => integer.to_le_bytes().to_vec(),
        Value::Boolean(boolean) => vec![u8::from(boolean)],
        Value::String(text) => text.into_bytes(),
    };
    let is_text = matches!(min, Value::String(_));
    let (min, max) = (bytes(min), bytes(max));
    if is_text {
        assert!(found_min.len() <= 64 && found_max.len() <= 64, "bounds are short");
        assert!(found_min <= min && max <= found_max, "{found_min:?} {found_max:?}");
        assert!(min.len() > 64 || found_min == min);
        assert!(max.len() > 64 || found_max == max);
    } else {
        assert_eq!((found_min, found_max), (min, max));
    }
}

/// Every page of every chunk: its rows follow those of the page before, its bounds hold, its nulls are counted. Returns
/// the number of chunks without bounds.
fn check_index(metadata: &ParquetMetaData, table: &Table, found: &Found) -> usize {
    let mut without = 0;
    for at in 0..metadata.file_metadata().schema_descr().num_columns() {
        let values = column(table, found, at);
        let mut first = 0;
        for (group, rows) in metadata.row_groups().iter().map(|group| group.num_rows() as usize).enumerate() {
            let index = metadata.page_index_for_row_group(group);
            let pages = index.page_locations(at).unwrap();
            let starts: Vec<usize> = pages.iter().map(|page| page.first_row_index as usize).collect();
            let ends = starts.iter().skip(1).copied().chain([rows]);
            assert!(starts[0] == 0 && starts.is_sorted_by(|a, b| a < b));
            let bytes: i64 = pages.iter().map(|page| i64::from(page.compressed_page_size)).sum();
            let chunk = metadata.row_group(group).column(at);
            let dictionary = chunk.dictionary_page_offset().map_or(0, |offset| chunk.data_page_offset() - offset);
            assert_eq!(bytes + dictionary, chunk.compressed_size(), "pages are all of the chunk");
            let Some(column_index) = index.column_index(at) else {
                without += 1;
                first += rows;
                continue;
            };
            assert_eq!(column_index.num_pages() as usize, pages.len());
            for (page, (start, end)) in starts.iter().zip(ends).enumerate() {
                let values = &values[first + start..first + end];
                let nulls = values.iter().filter(|value| value.is_none()).count();
                assert_eq!(column_index.null_count(page), Some(nulls as i64));
                assert_eq!(column_index.is_null_page(page), nulls == values.len());
                check_bounds(values, bounds(column_index, page), at == 1);
            }
            first += rows;
        }
    }
    without
}

/// `rows` rows of 40 series. Some pages of `rare` have no value.
fn rows(rows: u64, nan: bool) -> Vec<(u64, Vec<Row>)> {
    let row = |index: u64| {
        let series = index * 40 / rows;
        let mut fields = BTreeMap::from([
            (0, Value::Float(if nan && index.is_multiple_of(3) { f64::NAN } else { (index as f64).sin() * 1e6 })),
            (1, Value::Integer(index as i64 % 7_000 - 3_000)),
            (3, Value::Boolean(index > rows / 2)),
            (
                4,
                Value::String(format!(
                    "{}{index}",
                    ["ü".repeat(40), "x".repeat(90), "長".repeat(30)][series as usize % 3]
                )),
            ),
        ]);
        if !index.is_multiple_of(5) {
            fields.insert(2, Value::Unsigned(u64::MAX / 2 + (index * 7919) % 1000 - 500));
        }
        if series == 30 {
            fields.insert(5, Value::Integer(index as i64 * 1_000_003));
        }
        Row { tags: BTreeMap::from([(0, format!("host_{series:03}"))]), time: index as i64 * 10_007, fields }
    };
    vec![(1, (0..rows).map(row).collect())]
}

fn written(files: FileOptions, table: &Table, rows: &[(u64, Vec<Row>)]) -> (tempfile::TempDir, Found) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.parquet");
    let part = Arc::new(split(seal(table, rows, false)).remove(0).1);
    write_with(files, &path, table, &[part]);
    let found = read(&path, table);
    (folder, found)
}

#[test]
fn a_page_index_tells_the_bounds_of_every_page() {
    let table = table(0, &["zhost", "b"], &FIELDS);
    for nan in [false, true] {
        let rows = rows(40_000, nan);
        let (folder, found) = written(INDEXED, &table, &rows);
        assert_eq!(found.len(), 40_000);
        let metadata = builder(&folder.path().join("f.parquet")).metadata().clone();
        assert!(metadata.page_index_for_row_group(0).page_locations(0).unwrap().len() > 2);
        assert_eq!(check_index(&metadata, &table, &found), 0);
    }
}

#[test]
fn row_groups_have_page_indexes_of_their_own() {
    let table = table(0, &["zhost"], &[("float", FieldType::Float)]);
    let rows: Vec<(u64, Vec<Row>)> = rows(300_000, false)
        .into_iter()
        .map(|(request, rows)| {
            let few =
                |row: Row| Row { fields: row.fields.into_iter().filter(|(field, _)| *field == 0).collect(), ..row };
            (request, rows.into_iter().map(few).collect())
        })
        .collect();
    let (folder, found) = written(INDEXED, &table, &rows);
    let metadata = builder(&folder.path().join("f.parquet")).metadata().clone();
    assert_eq!(metadata.num_row_groups(), 2);
    assert_eq!(check_index(&metadata, &table, &found), 0);
}

#[test]
fn a_page_of_values_without_an_order_leaves_its_chunk_without_bounds() {
    let table = table(0, &["zhost"], &[("float", FieldType::Float)]);
    let row = |index: i64| Row {
        tags: BTreeMap::new(),
        time: index,
        fields: BTreeMap::from([(0, Value::Float(if index < 17_000 { f64::NAN } else { index as f64 }))]),
    };
    let (folder, found) = written(INDEXED, &table, &[(1, (0..20_000).map(row).collect())]);
    let metadata = builder(&folder.path().join("f.parquet")).metadata().clone();
    assert_eq!(check_index(&metadata, &table, &found), 1);
    assert!(metadata.page_index_for_row_group(0).column_index(3).is_none());
    assert_eq!(metadata.page_index_for_row_group(0).page_locations(3).unwrap().len(), 2);
}

#[test]
fn rows_found_by_pages_are_those_found_by_looking_at_all() {
    let table = table(0, &["zhost", "b"], &FIELDS);
    let (folder, found) = written(INDEXED, &table, &rows(100_000, false));
    let path = folder.path().join("f.parquet");
    // The tag columns come by name: b, zhost.
    const TAG: usize = 3;
    for host in ["host_000", "host_017", "host_039", "host_999"] {
        let builder = builder(&path);
        let index = builder.metadata().page_index_for_row_group(0);
        let Some(ColumnIndexMetaData::BYTE_ARRAY(hosts)) = index.column_index(TAG) else { panic!() };
        let starts = index.page_locations(TAG).unwrap().iter().map(|page| page.first_row_index as usize);
        let ends = starts.clone().skip(1).chain([100_000]);
        let mut selected = 0;
        let selectors = starts.zip(ends).enumerate().map(|(page, (start, end))| {
            let within =
                hosts.min_value(page).unwrap() <= host.as_bytes() && host.as_bytes() <= hosts.max_value(page).unwrap();
            selected += if within { end - start } else { 0 };
            if within { RowSelector::select(end - start) } else { RowSelector::skip(end - start) }
        });
        let selection: RowSelection = selectors.collect::<Vec<_>>().into();
        assert!(selected < 50_000, "pages are passed over");
        let mut times = Vec::new();
        for batch in builder.with_row_selection(selection).build().unwrap() {
            let batch = batch.unwrap();
            let hosts = batch.column(TAG).as_string::<i32>();
            let floats = batch.column(2 + 2).as_primitive::<Float64Type>();
            let micros = batch.column(0).as_primitive::<TimestampMicrosecondType>();
            let here = (0..batch.num_rows()).filter(|row| hosts.value(*row) == host);
            times.extend(here.map(|row| (micros.value(row), floats.value(row).to_bits())));
        }
        let expected = found.iter().filter(|(key, _)| key.0[1].as_deref() == Some(host));
        let expected: Vec<(i64, u64)> = expected
            .map(|(key, fields)| match fields[&0] {
                Value::Float(float) => (key.1.div_euclid(1000), float.to_bits()),
                _ => panic!(),
            })
            .collect();
        assert_eq!(times, expected, "{host}");
    }
}

#[test]
fn without_the_option_there_is_no_page_index() {
    let table = table(0, &["zhost", "b"], &FIELDS);
    let (folder, _found) = written(FileOptions::default(), &table, &rows(1_000, false));
    let metadata = ParquetRecordBatchReaderBuilder::try_new(File::open(folder.path().join("f.parquet")).unwrap());
    let metadata = metadata.unwrap().metadata().clone();
    let chunks = metadata.row_groups().iter().flat_map(|group| group.columns());
    assert!(
        chunks.into_iter().all(|chunk| chunk.column_index_offset().is_none() && chunk.offset_index_offset().is_none())
    );
}

/// Writes one integer per row (`None`: a null) and checks that it is read back; whether the chunk has a dictionary.
fn has_dictionary(values: &[Option<i64>]) -> bool {
    let table = table(0, &["zhost"], &[("v", FieldType::Integer)]);
    let row = |(index, value): (usize, &Option<i64>)| Row {
        tags: BTreeMap::new(),
        time: index as i64,
        fields: value.iter().map(|value| (0, Value::Integer(*value))).collect(),
    };
    let rows = [(1, values.iter().enumerate().map(row).collect())];
    let (folder, found) = written(FileOptions::default(), &table, &rows);
    let read: Vec<Option<i64>> = column(&table, &found, 3)
        .into_iter()
        .map(|value| value.map(|value| if let Value::Integer(value) = value { value } else { panic!() }))
        .collect();
    assert_eq!(read, values);
    let file = File::open(folder.path().join("f.parquet")).unwrap();
    let metadata = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().metadata().clone();
    let chunk = metadata.row_group(0).column(3);
    let keyed = chunk.dictionary_page_offset().is_some();
    let encoding = if keyed { Encoding::RLE_DICTIONARY } else { Encoding::DELTA_BINARY_PACKED };
    assert!(chunk.encodings().any(|other| other == encoding));
    keyed
}

#[test]
fn narrow_integers_have_dictionaries_where_deltas_are_not_smaller() {
    const ROWS: usize = 70_000;
    let of = |value: &mut dyn FnMut(u64) -> Option<i64>| (0..ROWS as u64).map(value).collect::<Vec<_>>();
    let mut random = Random(9);
    let noise = of(&mut |_| Some(random.below(6) as i64 - 3));
    assert!(has_dictionary(&noise), "few values in no order");
    let gaps = of(&mut |row| (!row.is_multiple_of(4)).then(|| i64::MAX - random.below(90) as i64));
    assert!(has_dictionary(&gaps), "nulls, at the end of the range");
    let rare = of(&mut |row| row.is_multiple_of(50).then(|| [500, -500][random.below(2) as usize]));
    assert!(has_dictionary(&rare), "hardly any values");
    let large = of(&mut |_| Some(random.below(15_000) as i64 * 4 + i64::MIN));
    assert!(has_dictionary(&large), "thousands of entries, at the start of the range");
    let steps = of(&mut |row| Some((row / 1_000 * 7 % 60_000) as i64));
    assert!(has_dictionary(&steps), "long runs");

    let mut walk = 50;
    let gauge = of(&mut |_| {
        walk = (walk + random.below(5) as i64 - 2).clamp(0, 100);
        Some(walk)
    });
    assert!(!has_dictionary(&gauge), "small steps");
    let counter = of(&mut |row| Some(row as i64));
    assert!(!has_dictionary(&counter), "a counter");
    let wide = of(&mut |row| Some((row % 3) as i64 * 1_000_000));
    assert!(!has_dictionary(&wide), "few values, but too far from each other for a table");
    let all = of(&mut |_| Some(random.below(1 << 16) as i64));
    assert!(!has_dictionary(&all), "hardly any value comes again");
}

#[test]
fn a_table_becomes_files_without_a_lake() {
    let table = Arc::new(table(0, &["zhost", "b"], &FIELDS));
    let fewer = Arc::new(Table { fields: table.fields.iter().take(2).cloned().collect(), ..(*table).clone() });
    let budget = Budget::new(1 << 30);
    let row = |time: i64, value: i64| Row {
        tags: BTreeMap::from([(0, "a".to_owned())]),
        time,
        fields: BTreeMap::from([(1, Value::Integer(value))]),
    };
    let day = 86_400_000_000_000;
    let first = vec![(1, vec![row(5, 1), row(day, 2)])];
    let second = vec![(2, vec![row(5, 3), row(6, 4)])];
    let parts = || {
        vec![
            sealed(&fewer, seal(&fewer, &first, false), &budget),
            sealed(&table, seal(&table, &second, false), &budget),
        ]
    };
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    let to = crate::lake::Destination { root, node: *b"\0\0\0\0\0\0\0\x07", epoch: 9, files: INDEXED };
    let files = crate::lake::write_table(parts(), &to, &budget).unwrap();
    assert_eq!(budget.total(), 0, "all memory is given back");
    let rows: Vec<u64> = files.iter().map(|file| file.rows).collect();
    assert_eq!(rows, [2, 1], "the point that came twice is there once");
    let name = "0000000000009-0000-0000000000000007.parquet";
    for (file, day) in files.iter().zip(["day=1970-01-01", "day=1970-01-02"]) {
        assert!(file.path.starts_with(folder.path().join("lake")) && file.path.ends_with(format!("{day}/{name}")));
        assert_eq!(file.bytes, std::fs::metadata(&file.path).unwrap().len());
        assert!(builder(&file.path).metadata().page_index_for_row_group(0).column_index(0).is_some());
    }
    let found = read(&files[0].path, &table);
    let values: Vec<&Value> = found.iter().map(|(_, fields)| &fields[&1]).collect();
    assert_eq!(values, [&Value::Integer(3), &Value::Integer(4)], "the later request wins");
    let again = crate::lake::write_table(parts(), &to, &budget).unwrap_err();
    assert!(again.to_string().contains(name), "{again}");
    assert_eq!(read(&files[0].path, &table).len(), 2, "a file that is there stays");
}
