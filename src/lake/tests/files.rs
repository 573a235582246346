//! Files against the model, and what their metadata says.

use parquet::basic::{Compression, Encoding, LogicalType, TimeUnit};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::super::partition::split;
use super::*;

pub(super) const FIELDS: [(&str, FieldType); 7] = [
    ("float", FieldType::Float),
    ("integer", FieldType::Integer),
    ("unsigned", FieldType::Unsigned),
    ("flag", FieldType::Boolean),
    ("text", FieldType::String),
    ("rare", FieldType::Integer),
    ("never", FieldType::Float),
];

/// How a random table looks.
pub(super) struct Mix {
    pub rows: u64,
    pub series: u64,
    pub times: u64,
    /// Of 100 fields so many are absent.
    pub absent: u64,
    /// Small numbers repeat (dictionaries), others do not.
    pub wide: bool,
}

pub(super) fn random_row(random: &mut Random, mix: &Mix) -> Row {
    let series = random.below(mix.series);
    let mut tags = BTreeMap::new();
    if !series.is_multiple_of(3) {
        tags.insert(0, format!("host_{}", series / 2));
    }
    if !series.is_multiple_of(5) {
        tags.insert(1, format!("{}", series % 7));
    }
    if !series.is_multiple_of(2) {
        tags.insert(2, "r".repeat((series % 90) as usize));
    }
    let time = random.below(mix.times) as i64 * 333 - 40_000;
    let number = if mix.wide { random.below(u64::MAX) } else { random.below(50) };
    let all = [
        Value::Float(if mix.wide { f64::from_bits(number >> 2) } else { number as f64 / 4.0 }),
        Value::Integer(number as i64),
        Value::Unsigned(if mix.wide { number } else { u64::MAX - number }),
        Value::Boolean(number % 2 == 0),
        Value::String(if mix.wide {
            "x".repeat((number % 40) as usize) + &number.to_string()
        } else {
            format!("ü{number}")
        }),
    ];
    let mut fields = BTreeMap::new();
    for (ordinal, value) in (0..).zip(all) {
        if random.below(100) >= mix.absent {
            fields.insert(ordinal, value);
        }
    }
    if random.below(40) == 0 {
        fields.insert(5, Value::Integer(i64::MIN + number as i64));
    }
    Row { tags, time, fields }
}

fn random_parts(random: &mut Random, mix: &Mix, shards: u64) -> Vec<Vec<(u64, Vec<Row>)>> {
    let mut parts = vec![Vec::new(); shards as usize];
    let (mut made, mut request) = (0, 0);
    while made < mix.rows {
        request += 1;
        let rows = (1 + random.below(50)).min(mix.rows - made);
        made += rows;
        let rows = (0..rows).map(|_| random_row(random, mix)).collect();
        parts[random.below(shards) as usize].push((request, rows));
    }
    parts
}

fn check(seed: u64, mix: &Mix, shards: u64, sparse: bool) {
    let mut random = Random(seed * 7919 + 1);
    // Tags are born in another order than their columns have.
    let table = table(0, &["zhost", "b", "region"], &FIELDS);
    let parts = random_parts(&mut random, mix, shards);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.parquet");
    let mut days: BTreeMap<i64, Vec<Arc<DayPart>>> = BTreeMap::new();
    for part in &parts {
        for (day, part) in split(seal(&table, part, sparse)) {
            days.entry(day).or_default().push(Arc::new(part));
        }
    }
    let mut found = Vec::new();
    for parts in days.values() {
        let written = write(&path, &table, parts);
        let rows = read(&path, &table);
        assert_eq!(rows.len() as u64, written.rows);
        assert!(rows.is_sorted_by(|a, b| a.0 < b.0), "rows are sorted and unique");
        found.extend(rows);
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = model(&table, &parts);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!((&found.0, &found.1), expected, "seed {seed}");
    }
}

#[test]
fn files_hold_what_the_model_says() {
    for seed in 0..24 {
        let mix = Mix {
            rows: [1, 7, 300, 3_000][seed as usize % 4],
            series: [1, 5, 200][seed as usize % 3],
            times: [3, 100, 1_000_000][seed as usize / 8],
            absent: [0, 20, 95][seed as usize % 3],
            wide: seed % 2 == 0,
        };
        check(seed, &mix, 1 + seed % 4, seed % 5 == 0);
    }
}

#[test]
fn row_groups_and_pages_join_without_a_seam() {
    for (seed, absent) in [(100, 0), (101, 30), (102, 93)] {
        let mix = Mix { rows: 300_000, series: 50, times: 900_000_000, absent, wide: seed == 101 };
        check(seed, &mix, 2, false);
    }
}

#[test]
fn points_written_twice_join_across_row_groups() {
    for (seed, absent) in [(110, 0), (111, 40), (112, 95)] {
        let mix = Mix { rows: 380_000, series: 50, times: 30_000, absent, wide: seed == 110 };
        check(seed, &mix, 3, seed == 111);
    }
}

#[test]
fn rows_of_many_days_are_split() {
    // About 40 days, some before 1970.
    let mix = Mix { rows: 2_000, series: 40, times: 10_000_000_000_000, absent: 50, wide: true };
    check(200, &mix, 2, false);
    check(201, &mix, 1, true);
}

pub(super) fn metadata(path: &Path) -> ParquetMetaData {
    SerializedFileReader::new(File::open(path).unwrap()).unwrap().metadata().clone()
}

/// One request of `rows` rows, `series` series in turn, a second apart.
fn regular(rows: u64, series: u64, fields: impl Fn(u64) -> BTreeMap<u32, Value>) -> Vec<(u64, Vec<Row>)> {
    let row = |index: u64| Row {
        tags: BTreeMap::from([(0, format!("host_{}", index % series)), (1, format!("{}", index % 2))]),
        time: 1_700_000_000_123_456_789 + (index / series) as i64 * 1_000_000_000,
        fields: fields(index),
    };
    vec![(1, (0..rows).map(row).collect())]
}

#[test]
fn metadata_tells_order_names_and_origin() {
    let mut table = table(0, &["zhost", "b"], &FIELDS);
    let mut fields: Vec<_> = table.fields.iter().cloned().collect();
    fields[0].parquet = "float_field".into();
    table.fields = fields.into_iter().collect();
    let rows = regular(50_000, 100, |index| {
        BTreeMap::from([
            (0, Value::Float((index as f64).sqrt())),
            (1, Value::Integer(index as i64 % 90)),
            (2, Value::Unsigned(u64::MAX - index * index * 7919)),
            (3, Value::Boolean(index % 3 == 0)),
            (4, Value::String(format!("state {}", index % 5))),
        ])
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.parquet");
    let parts: Vec<Arc<DayPart>> =
        split(seal(&table, &rows, false)).into_iter().map(|(_, part)| Arc::new(part)).collect();
    write(&path, &table, &parts);
    let found = read(&path, &table);
    assert!(found.iter().zip(&model(&table, &[rows])).all(|(found, expected)| (&found.0, &found.1) == expected));

    let metadata = metadata(&path);
    let file = metadata.file_metadata();
    assert!(file.created_by().unwrap().starts_with("ringest version "));
    let pairs: BTreeMap<&str, &str> = file
        .key_value_metadata()
        .unwrap()
        .iter()
        .map(|pair| (pair.key.as_str(), pair.value.as_deref().unwrap()))
        .collect();
    let expected = [
        ("ringest.bucket", "büro/eins"),
        ("ringest.epoch", "42"),
        ("ringest.measurement", "m .x"),
        ("ringest.names", r#"{"float_field":"float"}"#),
        ("ringest.node", "0000000000000007"),
        ("ringest.tags", r#"["b","zhost"]"#),
    ];
    assert_eq!(pairs, BTreeMap::from(expected));
    let names: Vec<&str> = file.schema_descr().columns().iter().map(|column| column.name()).collect();
    let expected =
        ["time", "time_ns_rem", "b", "zhost", "float_field", "integer", "unsigned", "flag", "text", "rare", "never"];
    assert_eq!(names, expected);
    let time = file.schema_descr().column(0);
    assert_eq!(time.logical_type_ref(), Some(&LogicalType::timestamp(true, TimeUnit::MICROS)));

    let group = metadata.row_group(0);
    let sorting: Vec<i32> = group.sorting_columns().unwrap().iter().map(|column| column.column_idx).collect();
    assert_eq!(sorting, [2, 3, 0, 1]);
    assert!(group.sorting_columns().unwrap().iter().all(|column| column.nulls_first && !column.descending));
    let encodings = [
        (0, Encoding::DELTA_BINARY_PACKED),
        (1, Encoding::DELTA_BINARY_PACKED),
        (2, Encoding::RLE_DICTIONARY),
        (3, Encoding::RLE_DICTIONARY),
        (4, Encoding::BYTE_STREAM_SPLIT),
        (5, Encoding::RLE_DICTIONARY),
        (6, Encoding::DELTA_BINARY_PACKED),
        (7, Encoding::PLAIN),
        (8, Encoding::RLE_DICTIONARY),
        (9, Encoding::PLAIN),
    ];
    for (column, encoding) in encodings {
        let chunk = group.column(column);
        assert!(chunk.encodings().any(|other| other == encoding), "{} {:?}", names[column], encoding);
        assert!(chunk.statistics().unwrap().null_count_opt().is_some());
    }
    assert!(matches!(group.column(4).compression(), Compression::ZSTD(_)));
    assert_eq!(group.column(10).statistics().unwrap().null_count_opt(), Some(50_000));
    assert!(group.column(10).compressed_size() < 64, "a column without values is small");
}

#[test]
fn bounds_in_statistics_hold_every_value() {
    let table = table(0, &["zhost"], &FIELDS);
    let long = "q".repeat(80);
    let rows = regular(1_000, 1, |index| {
        let text = if index % 2 == 0 { format!("{long}é{index}") } else { "é".repeat(70) };
        BTreeMap::from([
            (0, Value::Float(if index == 7 { -0.0 } else { 0.0 })),
            (1, Value::Integer(if index == 0 { i64::MIN } else { i64::MAX })),
            (2, Value::Unsigned(if index == 0 { u64::MAX } else { 3 })),
            (4, Value::String(text)),
        ])
    });
    let rows: Vec<(u64, Vec<Row>)> = rows
        .into_iter()
        .map(|(request, rows)| (request, rows.into_iter().map(|row| Row { tags: BTreeMap::new(), ..row }).collect()))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.parquet");
    let part = Arc::new(split(seal(&table, &rows, false)).remove(0).1);
    write(&path, &table, &[part]);
    let found = read(&path, &table);
    assert!(found.iter().zip(&model(&table, &[rows])).all(|(found, expected)| (&found.0, &found.1) == expected));

    use parquet::basic::ColumnOrder;
    use parquet::file::statistics::Statistics;
    let metadata = metadata(&path);
    // Readers of today know no other order, and do without the bounds of a column that has one.
    let orders = metadata.file_metadata().column_orders().unwrap();
    assert!(orders.len() == 10 && orders.iter().all(|order| matches!(order, ColumnOrder::TYPE_DEFINED_ORDER(_))));
    let group = metadata.row_group(0);
    let bounds = |column: usize| group.column(column).statistics().unwrap().clone();
    let Statistics::Double(floats) = bounds(3) else { panic!() };
    assert!(floats.min_opt().unwrap().is_sign_negative() && floats.max_opt().unwrap().is_sign_positive());
    let Statistics::Int64(integers) = bounds(4) else { panic!() };
    assert_eq!((integers.min_opt(), integers.max_opt()), (Some(&i64::MIN), Some(&i64::MAX)));
    let Statistics::Int64(unsigned) = bounds(5) else { panic!() };
    assert_eq!((unsigned.min_opt(), unsigned.max_opt()), (Some(&3), Some(&-1)));
    let Statistics::ByteArray(text) = bounds(7) else { panic!() };
    assert!(text.min_opt().unwrap().data() <= long.as_bytes() && !text.min_is_exact());
    // No character of the largest text can be counted up: no upper bound is better than a wrong one.
    assert!(text.max_opt().is_none_or(|max| max.data() >= "é".repeat(70).as_bytes()));
    let Statistics::ByteArray(tag) = bounds(2) else { panic!() };
    assert_eq!((tag.min_opt(), tag.null_count_opt()), (None, Some(1_000)));
}

#[test]
fn long_series_of_new_tag_values_are_stored_plain() {
    let table = table(0, &["zhost", "b"], &[("v", FieldType::Integer)]);
    let rows = regular(3_000, 3_000, |index| BTreeMap::from([(0, Value::Integer(index as i64))]));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.parquet");
    let part = Arc::new(split(seal(&table, &rows, false)).remove(0).1);
    write(&path, &table, &[part]);
    let found = read(&path, &table);
    assert!(found.iter().zip(&model(&table, &[rows])).all(|(found, expected)| (&found.0, &found.1) == expected));
    let metadata = metadata(&path);
    assert_eq!(metadata.row_group(0).column(3).dictionary_page_offset(), None);
}

#[test]
fn strings_larger_than_a_page_are_read_back() {
    let table = table(0, &["zhost", "b"], &[("v", FieldType::String)]);
    let rows = regular(60, 2, |index| {
        let value = char::from(b'a' + (index % 26) as u8).to_string().repeat(50_000 + index as usize);
        BTreeMap::from([(0, Value::String(value))])
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.parquet");
    let part = Arc::new(split(seal(&table, &rows, false)).remove(0).1);
    write(&path, &table, &[part]);
    let found = read(&path, &table);
    assert!(found.iter().zip(&model(&table, &[rows])).all(|(found, expected)| (&found.0, &found.1) == expected));
}

#[test]
fn row_groups_and_pages_are_cut_by_bytes_of_strings() {
    let table = table(0, &["zhost", "b"], &[("v", FieldType::String), ("i", FieldType::Integer)]);
    for (seed, sparse) in [(1, false), (2, true)] {
        let mut random = Random(seed);
        let mut filler =
            |len: u64| -> String { (0..len / 8).map(|_| format!("{:08x}", random.below(1 << 32))).collect() };
        // Long and short ones beside each other, and rows without one.
        let texts: Vec<String> = (0..300).map(|row| filler(if row % 3 == 0 { 900_000 } else { row * 16 })).collect();
        let rows = regular(300, 2, |index| {
            let text = (0, Value::String(texts[index as usize].clone()));
            let number = (1, Value::Integer(index as i64));
            if index % 7 == 0 { BTreeMap::from([number]) } else { BTreeMap::from([text, number]) }
        });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.parquet");
        let part = Arc::new(split(seal(&table, &rows, sparse)).remove(0).1);
        write(&path, &table, &[part]);
        let found = read(&path, &table);
        assert_eq!(found.len(), 300);
        assert!(found.iter().zip(&model(&table, &[rows])).all(|(found, expected)| (&found.0, &found.1) == expected));
        let metadata = metadata(&path);
        assert_eq!(metadata.num_row_groups(), 2);
        let bytes = metadata.row_groups().iter().map(|group| group.column(4).uncompressed_size());
        assert!(bytes.max().unwrap() < 68 << 20);
        let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        let pages = reader.get_row_group(0).unwrap().get_column_page_reader(4).unwrap();
        assert!(pages.map(|page| page.unwrap().buffer().len()).max().unwrap() < (1 << 20) + 100);
    }
}

#[test]
fn wide_sparse_tables_stay_small() {
    let names: Vec<String> = (0..400).map(|field| format!("f{field}")).collect();
    let fields: Vec<(&str, FieldType)> = names.iter().map(|name| (name.as_str(), FieldType::Float)).collect();
    let table = table(0, &["zhost", "b"], &fields);
    let rows = regular(8_000, 10, |index| BTreeMap::from([(index as u32 * 7 % 400, Value::Float(index as f64))]));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.parquet");
    let part = Arc::new(split(seal(&table, &rows, false)).remove(0).1);
    let written = write(&path, &table, &[part]);
    assert!(written.bytes < 8_000 * 20 + 400 * 400, "{} bytes", written.bytes);
    let found = read(&path, &table);
    assert!(found.iter().zip(&model(&table, &[rows])).all(|(found, expected)| (&found.0, &found.1) == expected));
}

#[test]
fn a_part_with_few_rows_of_many_series_is_ranked_by_them_alone() {
    let table = table(0, &["zhost", "b"], &[("v", FieldType::Integer)]);
    let mut rows = regular(4_000, 2_000, |index| BTreeMap::from([(0, Value::Integer(index as i64))]));
    // The last rows fall on another day.
    for row in &mut rows[0].1[3_900..] {
        row.time += 86_400_000_000_000;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut found = Vec::new();
    for (day, part) in split(seal(&table, &rows, false)) {
        let path = folder.path().join(format!("{day}.parquet"));
        write(&path, &table, &[Arc::new(part)]);
        found.extend(read(&path, &table));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(found.len(), 4_000);
    assert!(found.iter().zip(&model(&table, &[rows])).all(|(found, expected)| (&found.0, &found.1) == expected));
}

#[test]
fn a_tag_of_few_series_costs_its_series_and_not_all_rows() {
    // Time by rows times columns would be far over what this allows a busy machine.
    const ROWS: usize = 30_000;
    let names: Vec<String> = (0..ROWS).map(|tag| format!("t{tag}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let table = table(0, &names, &[("f", FieldType::Float)]);
    let row = |tag: usize| Row {
        tags: BTreeMap::from([(tag as u32, "v".to_owned())]),
        time: 1,
        fields: BTreeMap::from([(0, Value::Float(tag as f64))]),
    };
    let rows = vec![(1, (0..ROWS).map(row).collect())];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.parquet");
    let part = Arc::new(split(seal(&table, &rows, false)).remove(0).1);
    let began = std::time::Instant::now();
    let written = write(&path, &table, &[part]);
    let took = began.elapsed();
    assert_eq!(written.rows, ROWS as u64);
    assert!(took < std::time::Duration::from_secs(4), "{took:?}");
    let metadata = metadata(&path);
    assert!((2..ROWS + 2).all(|column| {
        metadata.row_group(0).column(column).statistics().unwrap().null_count_opt() == Some(ROWS as u64 - 1)
    }));
}
