//! Record batches of the library against the reference parser and a simple model of types.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::time::Instant;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimestampNanosecondType, UInt64Type};
use proptest::collection::vec;
use proptest::prelude::*;
use ringest::batch::{Batch, Error, ErrorKind, Kernel, Options, Padded, Reader, Reason, Rejected, Report};
use ringest::line::grammar::{ERRORS_MAX, Precision, STRING_BYTES_MAX};
use ringest::line::naive::{self, Parsed, Value};

use super::line_cases::CASES;
use super::line_strategy::body_from;

/// What a point without a timestamp gets in these tests.
const NOW_NS: i64 = 1_234_567_890_123_456_789;

/// A point as it is stored: tags, time, fields with type and exact value.
type Row = (BTreeMap<String, String>, i64, BTreeMap<String, (&'static str, String)>);

/// What a reader should hold, kept in the simplest way.
#[derive(Default)]
struct Model {
    types: BTreeMap<(String, String), &'static str>,
    rows: BTreeMap<String, Vec<Row>>,
}

/// What a report should say.
#[derive(Debug, Default, PartialEq)]
struct Told {
    points: u64,
    dropped: u64,
    /// Of the first dropped points.
    dropped_lines: Vec<u64>,
    time_field: bool,
}

impl Model {
    fn write(&mut self, parsed: &Parsed) -> Told {
        let mut told = Told::default();
        for point in &parsed.points {
            let Some(fields) = self.fields(point) else {
                told.dropped += 1;
                told.dropped_lines.push(point.line);
                continue;
            };
            told.points += 1;
            told.time_field |= point.fields.iter().any(|(name, _)| name == "time");
            let row = (point.tags.iter().cloned().collect(), point.time.unwrap_or(NOW_NS), fields);
            self.rows.entry(point.measurement.clone()).or_default().push(row);
        }
        told.dropped_lines.truncate(ERRORS_MAX);
        told
    }

    /// The fields that are stored, or `None` if the point is dropped.
    fn fields(&mut self, point: &naive::Point) -> Option<BTreeMap<String, (&'static str, String)>> {
        let mut types = self.types.clone();
        let mut fields = BTreeMap::new();
        for (name, value) in point.fields.iter().filter(|(name, _)| name != "time") {
            let (kind, text) = exact(value);
            let is_too_long = matches!(value, Value::String(string) if string.len() > STRING_BYTES_MAX);
            if is_too_long || *types.entry((point.measurement.clone(), name.clone())).or_insert(kind) != kind {
                return None;
            }
            fields.insert(name.clone(), (kind, text));
        }
        if fields.is_empty() {
            return None;
        }
        self.types = types;
        Some(fields)
    }
}

fn exact(value: &Value) -> (&'static str, String) {
    match value {
        Value::Float(value) => ("float", format!("{:016x}", value.to_bits())),
        Value::Integer(value) => ("integer", value.to_string()),
        Value::Unsigned(value) => ("unsigned", value.to_string()),
        Value::Boolean(value) => ("boolean", value.to_string()),
        Value::String(value) => ("string", value.clone()),
    }
}

/// The rows of batches by measurement; checks what must hold for every batch.
fn rows_of(batches: impl IntoIterator<Item = Result<Batch, Error>>) -> BTreeMap<String, Vec<Row>> {
    let mut rows: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for batch in batches {
        let Batch { measurement, records } = batch.unwrap();
        assert!(records.num_rows() > 0);
        rows.entry(measurement.clone()).or_default().extend(rows_of_records(&measurement, &records));
    }
    rows
}

fn rows_of_records(measurement: &str, records: &RecordBatch) -> Vec<Row> {
    let schema = records.schema();
    let fact = |key: &str| &schema.metadata()[key];
    assert_eq!(fact("ringest.measurement"), measurement);
    let tags: Vec<String> = serde_json::from_str(fact("ringest.tags")).unwrap();
    let names: BTreeMap<String, String> = serde_json::from_str(fact("ringest.names")).unwrap();
    let lower: BTreeSet<String> = schema.fields().iter().map(|field| field.name().to_lowercase()).collect();
    assert_eq!(lower.len(), schema.fields().len(), "names clash: {lower:?}");

    let time = records.column(0).as_primitive::<TimestampNanosecondType>();
    assert_eq!((&**schema.field(0).name(), time.null_count(), time.timezone()), ("time", 0, Some("UTC")));
    let mut rows: Vec<Row> = time.values().iter().map(|time| (BTreeMap::new(), *time, BTreeMap::new())).collect();
    for (index, (field, column)) in schema.fields().iter().zip(records.columns()).enumerate().skip(1) {
        assert_eq!(index <= tags.len(), tags.contains(field.name()), "tags come first");
        assert!(field.is_nullable());
        let name = names.get(field.name()).unwrap_or(field.name());
        for (row, value) in rows.iter_mut().zip(0..) {
            if column.is_null(value) {
                continue;
            }
            if index <= tags.len() {
                row.0.insert(name.clone(), tag(column, value));
            } else {
                row.2.insert(name.clone(), field_value(column, value));
            }
        }
    }
    rows
}

fn tag(column: &dyn Array, row: usize) -> String {
    let column = column.as_dictionary::<Int32Type>();
    column.values().as_string::<i32>().value(column.keys().value(row) as usize).to_owned()
}

fn field_value(column: &dyn Array, row: usize) -> (&'static str, String) {
    match column.data_type() {
        DataType::Float64 => exact(&Value::Float(column.as_primitive::<Float64Type>().value(row))),
        DataType::Int64 => exact(&Value::Integer(column.as_primitive::<Int64Type>().value(row))),
        DataType::UInt64 => exact(&Value::Unsigned(column.as_primitive::<UInt64Type>().value(row))),
        DataType::Boolean => exact(&Value::Boolean(column.as_boolean().value(row))),
        DataType::Utf8 => exact(&Value::String(column.as_string::<i32>().value(row).to_owned())),
        other => panic!("{other}"),
    }
}

fn options() -> Options {
    Options::new().default_time_ns(NOW_NS)
}

fn told(report: &Report) -> Told {
    let dropped = report.rejected.iter().filter(|rejected| matches!(rejected.reason, Reason::Schema(_)));
    Told {
        points: report.points,
        dropped: report.dropped_points,
        dropped_lines: dropped.map(|rejected| rejected.line).collect(),
        time_field: report.time_field.is_some(),
    }
}

/// Line, byte, kind.
fn syntax(rejected: &[Rejected]) -> Vec<(u64, u64, ErrorKind)> {
    let kind = |rejected: &Rejected| match rejected.reason {
        Reason::Syntax(kind) => Some((rejected.line, rejected.byte, kind)),
        Reason::Schema(_) => None,
    };
    rejected.iter().filter_map(kind).collect()
}

fn expected_syntax(parsed: &Parsed) -> Vec<(u64, u64, ErrorKind)> {
    let mut errors: Vec<_> = parsed.errors.iter().map(|error| (error.line, error.start as u64, error.kind)).collect();
    errors.truncate(ERRORS_MAX);
    errors
}

/// All bodies into one reader, taken after every third; once refusing bodies with bad lines and once skipping the lines.
fn check(bodies: &[&[u8]], kernel: Kernel) {
    for skips in [false, true] {
        let options = if skips { options().skip_bad_lines() } else { options() };
        let mut reader = options.kernel(kernel).rows_max(3).reader();
        let mut model = Model::default();
        let mut found = BTreeMap::new();
        for (number, body) in bodies.iter().enumerate() {
            let text = String::from_utf8_lossy(body);
            let parsed = naive::parse(body, Precision::Nanosecond);
            match reader.push(body) {
                Ok(report) => {
                    assert!(skips || parsed.errors.is_empty(), "{text:?}");
                    let expected = model.write(&parsed);
                    assert_eq!(report.bad_lines, parsed.errors.len() as u64, "{text:?}");
                    assert!(report.rejected.is_sorted_by_key(|rejected| rejected.byte));
                    if report.rejected.len() < ERRORS_MAX {
                        assert_eq!(told(&report), expected, "{text:?}");
                        assert_eq!(syntax(&report.rejected), expected_syntax(&parsed), "{text:?}");
                    }
                }
                Err(Error::BadLines { rejected, more }) => {
                    assert!(!skips);
                    assert_eq!(syntax(&rejected), expected_syntax(&parsed), "{text:?}");
                    // With just as many as are listed, nobody has looked whether there are others.
                    assert!(parsed.errors.len() == ERRORS_MAX || more == (parsed.errors.len() > ERRORS_MAX));
                }
                Err(error) => panic!("{error} at {text:?}"),
            }
            if number % 3 == 2 {
                extend(&mut found, rows_of(reader.take()));
            }
        }
        extend(&mut found, rows_of(reader.take()));
        assert_eq!(found, model.rows, "{}", kernel.name());
        assert_eq!((reader.rows(), reader.bytes()), (0, 0));
    }
}

fn extend(all: &mut BTreeMap<String, Vec<Row>>, more: BTreeMap<String, Vec<Row>>) {
    more.into_iter().for_each(|(measurement, rows)| all.entry(measurement).or_default().extend(rows));
}

#[test]
fn every_case_by_name_on_every_kernel() {
    let bodies: Vec<&[u8]> = CASES.iter().map(|case| case.body).collect();
    for kernel in Kernel::available() {
        bodies.iter().for_each(|body| check(&[body], kernel));
        check(&bodies, kernel);
        check(&[&bodies.join(&b'\n')], kernel);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bodies_that_are_nearly_right(seeds in vec(vec(any::<u8>(), 0..200), 1..8), kernel in any::<prop::sample::Index>()) {
        let bodies: Vec<Vec<u8>> = seeds.iter().map(|seed| body_from(seed)).collect();
        check(&bodies.iter().map(Vec::as_slice).collect::<Vec<_>>(), *kernel.get(&Kernel::available()));
    }

    #[test]
    fn small_worlds(lines in vec(vec((0..4usize, vec((0..4usize, 0..6usize), 1..5), 0..6i64), 0..40), 1..6)) {
        let value = |kind| ["1", "2.5", "1i", "t", "\"s\"", "7u"][kind];
        let line = |(tags, fields, time): &(usize, Vec<(usize, usize)>, i64)| {
            let tags = ["", ",f1=1", ",b=2,a=1", ",a=1,B=2"][*tags];
            let fields: Vec<String> = fields.iter().map(|(f, kind)| format!("f{f}={}", value(*kind / (1 + f)))).collect();
            format!("m{tags} {} {time}\n", fields.join(","))
        };
        let bodies: Vec<String> = lines.iter().map(|body| body.iter().map(line).collect()).collect();
        check(&bodies.iter().map(String::as_bytes).collect::<Vec<_>>(), Kernel::fastest());
    }
}

/// Batches of a reader with the default options.
fn batches(body: &str) -> Vec<Batch> {
    let mut reader = Reader::default();
    reader.push(body.as_bytes()).unwrap();
    reader.take().map(Result::unwrap).collect()
}

#[test]
fn columns_that_clash_get_other_names() {
    let batches = batches("m,host=a,Day=x host=1,HOST=2,day=3,v=4 1\nm v=5,time_ns_rem=6 2\n");
    let schema = batches[0].records.schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["time", "host", "Day_2", "host_field", "HOST_2", "day_3", "v", "time_ns_rem_2"]);
    assert_eq!(schema.metadata()["ringest.tags"], r#"["host","Day_2"]"#);
    assert_eq!(
        schema.metadata()["ringest.names"],
        r#"{"Day_2":"Day","HOST_2":"HOST","day_3":"day","host_field":"host","time_ns_rem_2":"time_ns_rem"}"#
    );
}

#[test]
fn later_batches_have_all_columns_so_far() {
    let mut reader = options().reader();
    let mut columns = Vec::new();
    for body in ["m,a=1 f=1\n", "m,b=1 g=2i\n", "n h=t\n"] {
        reader.push(body.as_bytes()).unwrap();
        let batch = reader.take().next().unwrap().unwrap();
        columns.push((batch.measurement, batch.records.num_columns()));
    }
    assert_eq!(columns, [("m".to_owned(), 3), ("m".to_owned(), 5), ("n".to_owned(), 2)]);
}

#[test]
fn points_without_a_time_get_one_that_fits_the_precision() {
    let time = |options: Options| {
        let mut reader = options.reader();
        reader.push(b"m f=1").unwrap();
        let batch = reader.take().next().unwrap().unwrap();
        batch.records.column(0).as_primitive::<TimestampNanosecondType>().value(0)
    };
    assert_eq!(time(options().precision(Precision::Second)), NOW_NS - NOW_NS % 1_000_000_000);
    let before = time(Options::new());
    assert!((before..before + 60_000_000_000).contains(&time(Options::new())) && before > NOW_NS);
    assert_eq!(time(Options::new().precision(Precision::Hour)) % 3_600_000_000_000, 0);
}

#[test]
fn readers_and_batches_may_go_to_another_thread() {
    fn goes<T: Send>(_: T) {}
    let mut reader = Reader::default();
    goes(reader.take());
    goes(reader.read(&b""[..]));
    goes(reader);
}

#[test]
fn a_padded_body_needs_no_copy() {
    let mut text = b"m f=1 1\nm f=2 2".to_vec();
    let mut reader = options().reader();
    assert_eq!(reader.push_padded(Padded::from_vec(&mut text)).unwrap().points, 2);
    assert_eq!(rows_of(reader.take())["m"].len(), 2);
}

#[test]
fn a_refused_body_leaves_no_column_and_no_type() {
    let mut reader = options().reader();
    let error = reader.push(b"\nm,t=a f=1i 1\n m f= 2\n\nm\n").unwrap_err();
    assert_eq!(error.to_string(), "line 3, byte 15: unable to parse 'm f= 2': missing field value; and 1 more");
    assert_eq!((reader.rows(), reader.take().count()), (0, 0));
    reader.push(b"m f=1.5 1").unwrap();
    let batch = reader.take().next().unwrap().unwrap();
    assert_eq!((batch.records.num_columns(), batch.records.column(1).data_type()), (2, &DataType::Float64));
}

#[test]
fn dropped_points_are_told_with_their_line_and_reason() {
    let mut reader = options().reader();
    reader.push(b"m f=1 1").unwrap();
    let long = "x".repeat(STRING_BYTES_MAX + 1);
    let body =
        format!("# comment\n\nm f=2,s=\"two\nlines\" 2\n  m f=1i 3\nm time=1 4\nm f=3,time=5i 5\nm s=\"{long}\" 6\n");
    let report = reader.push(body.as_bytes()).unwrap();
    assert_eq!((report.points, report.dropped_points, report.time_field.is_some()), (2, 3, true));
    let texts: Vec<String> =
        report.rejected.iter().map(|rejected| rejected.to_string().chars().take(150).collect()).collect();
    assert_eq!(
        texts[0],
        "line 5, byte 35: dropped 'm f=1i 3': field type conflict: input field \"f\" on measurement \"m\" is type integer, already exists as type float"
    );
    assert!(texts[1].contains("line 6, byte 44: dropped 'm time=1 4': invalid field name"), "{}", texts[1]);
    assert!(texts[2].starts_with("line 8, byte 71: dropped 'm s=\"xxx"), "{}", texts[2]);
}

#[test]
fn batches_have_at_most_so_many_rows() {
    let body: String = (0..1000).map(|row| format!("m,t=v{} f={row}i,s=\"{row}\" {row}\n", row % 7)).collect();
    for rows_max in [1, 3, 333, 999, 1000, 1001] {
        let mut reader = options().rows_max(rows_max).reader();
        reader.push(body.as_bytes()).unwrap();
        let batches: Vec<Batch> = reader.take().map(Result::unwrap).collect();
        assert_eq!(batches.len(), 1000usize.div_ceil(rows_max));
        assert!(batches.iter().all(|batch| batch.records.num_rows() <= rows_max));
        let rows = rows_of(batches.into_iter().map(Ok)).remove("m").unwrap();
        assert!(rows.iter().zip(0..).all(|(row, number)| row.1 == number && row.2["s"].1 == number.to_string()));
    }
}

#[test]
fn good_lines_among_more_bad_ones_than_are_listed_are_taken() {
    for ends in ["\n", "\r\n"] {
        let bad = ["bad", "m f=\"two\nlines\" x", " ,t=a f=1", "m\\\n f"];
        let line =
            |n: usize| if n.is_multiple_of(3) { format!("m f={n} {n}{ends}") } else { bad[n % 4].to_owned() + ends };
        for count in [150, 151, 1_000] {
            check(&[(0..count).map(line).collect::<String>().as_bytes()], Kernel::fastest());
        }
    }
}

#[test]
fn bad_lines_are_skipped_in_linear_time() {
    for bad in ["x\n", "m f\n", "m f=\"a\" b\n", "m f=\"a\nb\" b\n"] {
        let time = |bytes: usize| {
            let mut body = bad.repeat(bytes / bad.len()).into_bytes();
            body.extend_from_slice(b"m f=1 1\n");
            let start = Instant::now();
            let mut reader = options().skip_bad_lines().reader();
            let report = reader.push(&body).unwrap();
            assert_eq!((report.points, report.bad_lines), (1, (bytes / bad.len()) as u64));
            assert_eq!(report.rejected.len(), ERRORS_MAX);
            start.elapsed()
        };
        // Eight times the bytes take eight times the time; 64 times, were it quadratic. Noise gets a second try.
        let grows = || time(8 << 20).as_secs_f64() / time(1 << 20).as_secs_f64();
        let growth = grows().min(grows());
        assert!(growth < 24.0, "{bad:?} takes {growth} times as long");
    }
}

#[test]
fn a_million_series_take_memory_like_their_text() {
    let body: String =
        (0..1_000_000).map(|n| format!("cpu,host=host-{n},region=r{} usage={n} 1767225600\n", n % 10)).collect();
    let mut reader = options().reader();
    for piece in body.as_bytes().chunks(body.len().div_ceil(10)).scan(Vec::new(), |rest: &mut Vec<u8>, chunk| {
        rest.extend_from_slice(chunk);
        let whole = ringest::line::complete_len(rest);
        let tail = rest.split_off(whole);
        Some(std::mem::replace(rest, tail))
    }) {
        reader.push(&piece).unwrap();
    }
    assert_eq!(reader.rows(), 1_000_000);
    assert!(reader.bytes() < 6 * body.len(), "{} bytes of {}", reader.bytes(), body.len());
    let mut arrays = 0;
    let mut rows = 0;
    for batch in reader.take() {
        let records = batch.unwrap().records;
        arrays +=
            records.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap()).sum::<usize>();
        rows += records.num_rows();
    }
    assert_eq!((rows, reader.bytes()), (1_000_000, 0));
    // Each of the four batches holds the dictionary, which is theirs together.
    assert!(arrays < 3 * body.len(), "{arrays} bytes of {}", body.len());
}

#[test]
fn where_each_row_has_its_own_column_batches_stay_small() {
    const ROWS: usize = 8_000;
    let body: String = (0..ROWS).map(|n| format!("m f{n}={n}i {n}\n")).collect();
    let mut reader = options().reader();
    reader.push(body.as_bytes()).unwrap();
    let mut rows = 0;
    for batch in reader.take() {
        let records = batch.unwrap().records;
        assert!(records.num_rows() * records.num_columns() <= 1 << 25);
        for row in 0..records.num_rows() {
            assert_eq!(records.column(1 + rows).as_primitive::<Int64Type>().value(row), rows as i64);
            rows += 1;
        }
        assert_eq!(
            records.columns().iter().skip(1).map(|column| column.len() - column.null_count()).sum::<usize>(),
            records.num_rows()
        );
    }
    assert_eq!(rows, ROWS);
}

#[test]
fn a_full_reader_says_so_and_loses_nothing() {
    let body: String = (0..20_000).map(|n| format!("m,t={n} f={n} {n}\n")).collect();
    let mut reader = options().memory_bytes_max(16 << 20).reader();
    let (mut pushed, mut rows) = (0, 0);
    let mut full = 0;
    while pushed < 300 {
        match reader.push(body.as_bytes()) {
            Ok(report) => pushed += (report.points == 20_000) as usize,
            Err(Error::Full { bytes_max, .. }) => {
                assert_eq!(bytes_max, 16 << 20);
                full += 1;
                rows += reader.take().map(|batch| batch.unwrap().records.num_rows()).sum::<usize>();
            }
            Err(error) => panic!("{error}"),
        }
    }
    rows += reader.take().map(|batch| batch.unwrap().records.num_rows()).sum::<usize>();
    assert_eq!(rows, 300 * 20_000);
    assert!(full > 1);
    let error = reader.push(&body.repeat(40).into_bytes()).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    assert!(reader.read(body.repeat(40).as_bytes()).all(|batch| batch.is_ok()), "a stream is cut");
}

/// Gives a few bytes at a time, and is interrupted in between.
struct Drops<'a>(&'a [u8], bool);

impl Read for Drops<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        let bytes = buffer.len().min(self.0.len()).min(7_777);
        buffer[..bytes].copy_from_slice(&self.0[..bytes]);
        self.0 = &self.0[bytes..];
        Ok(bytes)
    }
}

#[test]
fn a_stream_is_the_body_in_pieces() {
    let strings = ["\"plain\"", "\"two\nlines\"", "\"a \\\"quote\\\"\n\"", "\"\""];
    let line = |n: usize| match n % 1_000 {
        999 => format!("m,t=v{} s={}\n", n % 100, n),
        998 => "bad line\n".to_owned(),
        _ => format!("m,t=v{} f={n},s={} {n}\n# \"\n", n % 100, strings[n % 4]),
    };
    let body: String = (0..120_000).map(line).collect();
    assert!(body.len() > 4 << 20);
    let parsed = naive::parse(body.as_bytes(), Precision::Nanosecond);
    let mut model = Model::default();
    let expected = model.write(&parsed);
    for rows_max in [10_000, usize::MAX] {
        let mut reader = options().rows_max(rows_max).skip_bad_lines().reader();
        let mut batches = reader.read(Drops(body.as_bytes(), false));
        let mut rows = BTreeMap::new();
        for batch in &mut batches {
            let batch = batch.unwrap();
            assert!(batch.records.num_rows() <= rows_max);
            extend(&mut rows, rows_of([Ok(batch)]));
        }
        assert!(rows == model.rows, "rows differ");
        let report = batches.report();
        assert_eq!((report.points, report.bad_lines), (expected.points, parsed.errors.len() as u64));
        assert_eq!(report.dropped_points, expected.dropped);
        let lines: Vec<u64> = told(report).dropped_lines;
        assert_eq!(lines, expected.dropped_lines[..lines.len()]);
        assert!(!lines.is_empty());
    }
}

#[test]
fn a_stream_ends_with_its_first_error() {
    let mut body = "m f=1 1\n".repeat(300_000).into_bytes();
    let bad = body.len() as u64;
    body.extend_from_slice(b"m f=\"x\ny\" z\nm f=1 1\n");
    let mut reader = options().reader();
    let mut batches = reader.read(body.as_slice());
    let results: Vec<_> = batches.by_ref().collect();
    let Err(Error::BadLines { rejected, more: false }) = &results[results.len() - 1] else { panic!("{results:?}") };
    assert_eq!((rejected[0].line, rejected[0].byte), (300_001, bad));
    assert!(batches.next().is_none());
    // One full batch; then a piece of 256 KiB that waits, and the one with the bad line, of which nothing was taken.
    let yielded: usize = results.iter().flatten().map(|batch| batch.records.num_rows()).sum();
    assert_eq!((yielded, reader.rows()), (262_144, 32_768));
}

#[test]
fn a_line_without_an_end_is_refused_before_memory_is_full() {
    let start = Instant::now();
    let open = [b"m f=1 1\nm s=\"".to_vec(), b"\n".repeat(64 << 20)].concat();
    let mut reader = options().memory_bytes_max(64 << 20).reader();
    let results: Vec<_> = reader.read(open.as_slice()).collect();
    assert_eq!(results.len(), 1);
    let error = results.into_iter().next().unwrap().unwrap_err();
    assert!(matches!(error, Error::LineTooLong { line: 2, byte: 8, bytes } if bytes == 16 << 20), "{error}");
    // One that does end is read, however long it is in pieces.
    let long = format!("m s=\"{}\" 1\nm s=\"x\" 2\n", "y\n".repeat(6 << 20));
    let mut reader = options().memory_bytes_max(64 << 20).reader();
    let mut batches = reader.read(long.as_bytes());
    assert_eq!(batches.by_ref().map(|batch| batch.unwrap().records.num_rows()).sum::<usize>(), 1);
    assert_eq!(batches.report().rejected[0].line, 1, "longer than a string may be");
    assert!(start.elapsed().as_secs() < 10, "took {:?}", start.elapsed());
}

#[test]
fn an_input_that_fails_is_told_with_its_place() {
    struct Broken(usize);
    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0 += 1;
            if self.0 > 1 {
                return Err(std::io::Error::other("cable pulled"));
            }
            buffer[..8].copy_from_slice(b"m f=1 1\n");
            Ok(8)
        }
    }
    let mut reader = Reader::default();
    let mut batches = reader.read(Broken(0));
    let error = batches.next().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "cannot read the input beyond byte 8: cable pulled");
    assert!(batches.next().is_none());
}
