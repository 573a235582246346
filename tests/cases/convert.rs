//! `ringest convert`, mostly through the library: files of line protocol into a data directory.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};

use ringest::tools::convert::{
    Cause, ConvertError, Input, Kept, OnError, Options, Precision, Progress, Report, convert,
};
use ringest::tools::workload::{Kind, Workload};
use tempfile::TempDir;

use crate::lake_reader::Lake;
use crate::node::{LINE, Node, gzip, ringest};

/// The least that a conversion takes.
const SMALL_MEMORY: usize = 192 << 20;

/// Each piece or two are an epoch.
const SMALL_EPOCHS: usize = 64 << 10;

struct Case {
    dir: TempDir,
}

impl Case {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    fn output(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    fn options(&self) -> Options {
        Options::new().output(&self.output()).bucket("b").threads(3)
    }

    fn lake(&self) -> Lake {
        Lake::read(&self.output())
    }

    fn lines(&self, measurement: &str) -> Vec<String> {
        self.lake().merged("b", measurement)
    }
}

fn text(name: &str, text: impl Into<Vec<u8>>) -> Input {
    Input::Reader { name: name.to_owned(), read: Box::new(Cursor::new(text.into())) }
}

fn run(inputs: Vec<Input>, options: &Options) -> Report {
    convert(inputs, options).unwrap()
}

fn fail(inputs: Vec<Input>, options: &Options) -> ConvertError {
    convert(inputs, options).unwrap_err()
}

/// Lines of a fleet.
fn many_lines(lines: usize) -> Vec<u8> {
    let mut text = Vec::new();
    Workload::new(Kind::Cpu, 500, 1, 1_767_225_600_000_000_000, 1_000_000_000).write_lines(lines, &mut text);
    text
}

#[test]
fn files_folders_readers_and_gzip_are_read_in_order() {
    let case = Case::new();
    // Blocks of a tape are filled up with zero bytes.
    let zeros = vec![0; 200_000];
    let members =
        [gzip(b"m,f=z a=1 1\nm,f=z b"), gzip(b""), gzip(b"=2 1\n"), zeros.clone(), gzip(b"m,f=z c=3 1"), zeros];
    let members = members.concat();
    case.file("in/b/2.lp", "m v=4 5");
    case.file("in/a.lp", "m v=1 5\n");
    case.file("in/b/1.lp.gz", gzip(b"m v=2 5\nm v=3 5\n"));
    let single = case.file("z", members);
    let inputs = vec![Input::Path(case.dir.path().join("in")), text("r", gzip(b"m,g=r v=5 6")), Input::named(&single)];
    let report = run(inputs, &case.options());
    assert_eq!((report.lines, report.points, report.refused), (8, 8, 0));
    assert_eq!(case.lines("m"), ["f=z a=1.0,b=2.0,c=3.0 1", "g=r v=5.0 6", "v=4.0 5"]);
    assert_eq!((report.files, report.rows), (1, 3));
    assert_eq!(
        report.file_bytes,
        fs::metadata(case.output().join("lake").join(&case.lake().files[0].path)).unwrap().len()
    );
}

#[test]
fn later_lines_win_across_pieces_and_threads_field_by_field() {
    let case = Case::new();
    // Several pieces, each of which writes the same points, with one field that only some of them bring.
    let mut input = String::new();
    let mut expected = BTreeMap::new();
    for round in 0..60_000u32 {
        let (series, field) = (round % 7, round % 5);
        input += &format!("m,s={series} f{field}={round},last={round}i {}\n", series % 3);
        let row: &mut BTreeMap<String, String> = expected.entry(series).or_default();
        row.insert(format!("f{field}"), format!("{round}.0"));
        row.insert("last".to_owned(), format!("{round}i"));
    }
    run(vec![text("in", input)], &case.options());
    let row = |(series, fields): (&u32, &BTreeMap<String, String>)| {
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("s={series} {} {}", fields.join(","), series % 3)
    };
    assert_eq!(case.lines("m"), expected.iter().map(row).collect::<Vec<_>>());
    assert_eq!(case.lake().files.len(), 1);
}

#[test]
fn later_lines_win_across_epochs() {
    // Each round writes all points, and is larger than a piece.
    let round = |round: u32| -> String {
        let line =
            |point| format!("m,s={} r{}={round},last={round},x=\"{point:032}\" {point}\n", point % 100, round % 2);
        (0..5_000).map(line).collect()
    };
    let file = |name, first: u32| text(name, round(first) + &round(first + 1));
    // No epoch begins before every thread has left the one before: two are certain, however late the second thread gets to run, and more
    // where there is no second.
    for (threads, epochs_min) in [(1, 3), (2, 2)] {
        let case = Case::new();
        let files = vec![file("a", 0), file("b", 2), file("c", 4)];
        let report = run(files, &case.options().threads(threads).flush_bytes(SMALL_EPOCHS));
        assert_eq!((report.lines, report.points), (30_000, 30_000));
        let lake = case.lake();
        assert!(lake.files.len() >= epochs_min, "{} epochs by {threads} threads", lake.files.len());
        let merged = lake.merged("b", "m");
        assert_eq!(merged.len(), 5_000);
        for line in merged {
            assert!(line.contains("last=5.0,r0=4.0,r1=5.0,x="), "{line}");
        }
    }
}

/// The first epochs may be over before the last thread gets to run; the lake waits for a part of each epoch from every thread.
#[test]
fn threads_that_begin_late_keep_nobody_waiting() {
    for _ in 0..10 {
        let case = Case::new();
        let lines: String = (0..40_000).map(|point| format!("m,s={} f={point} {point}\n", point % 500)).collect();
        let report = run(vec![text("a", lines)], &case.options().threads(64).flush_bytes(SMALL_EPOCHS));
        assert_eq!((report.lines, report.points), (40_000, 40_000));
        assert_eq!(case.lake().merged("b", "m").len(), 40_000);
    }
}

#[test]
fn types_are_those_of_the_first_line_whichever_thread_is_faster() {
    // The second piece is quicker than the first, which brings the field at its end.
    let mut slow = String::new();
    for number in 0..3_000 {
        slow += &format!("other,t{}=x f{}=1,s=\"{number}\" {number}\n", number % 900, number % 700);
    }
    slow += "m first=1i 1\n";
    let quick = "m first=2 2\n".repeat(3);
    for _ in 0..3 {
        let case = Case::new();
        let options = case.options().on_error(OnError::Skip);
        let report =
            run(vec![text("a", slow.clone()), text("b", quick.clone()), text("c", "m first=3i 3\n")], &options);
        assert_eq!(case.lines("m"), ["first=1i 1", "first=3i 3"]);
        assert_eq!((report.points, report.refused), (3_002, 3));
        let conflict = &report.conflicts[..];
        assert_eq!(
            (conflict.len(), conflict[0].points, conflict[0].known, conflict[0].given),
            (1, 3, "integer", "float")
        );
        assert_eq!(conflict[0].first.to_string(), "b:1");
    }
}

#[test]
fn the_columns_of_a_table_do_not_depend_on_the_number_of_threads() {
    let mut input = String::new();
    for number in 0..40_000u64 {
        input += &format!("m,t{}=x f{}=1 {number}\n", number * 7919 % 31, number * 104_729 % 211);
    }
    let columns = |threads| {
        let case = Case::new();
        run(vec![text("in", input.clone())], &case.options().threads(threads));
        let lake = case.lake();
        (lake.files[0].columns.clone(), lake.lines("b", "m").len())
    };
    assert_eq!(columns(1), columns(4));
}

const EXPORT: &str = "# INFLUXDB EXPORT: 1677-09-21T00:12:43Z - 2262-04-11T23:47:16Z\n# DDL\nCREATE DATABASE stats WITH NAME autogen\n\
    CREATE DATABASE \"my db\" WITH NAME \"one week\"\n# DML\n# CONTEXT-DATABASE:stats\n# CONTEXT-RETENTION-POLICY:autogen\n\
    # writing tsm data\nm f=1 1\n# CONTEXT-DATABASE:my db\n# CONTEXT-RETENTION-POLICY:one week\n# writing wal data\nm f=2 2\n\
    m s=\"# no\n# CONTEXT-DATABASE:trap\n\" 3\n";

#[test]
fn an_export_of_influxdb_names_its_buckets() {
    let case = Case::new();
    let input = || vec![text("plain", EXPORT), text("twice", gzip(EXPORT.replace("f=", "g=").repeat(2).as_bytes()))];
    let report = run(input(), &Options::new().output(&case.output()));
    assert_eq!((report.lines, report.points, report.refused), (9, 9, 0));
    let lake = case.lake();
    assert_eq!(lake.buckets().into_iter().collect::<Vec<_>>(), ["my db/one week", "stats"]);
    assert_eq!(lake.lines("stats", "m"), ["f=1.0,g=1.0 1"]);
    let strings = "s=\"# no\\n# CONTEXT-DATABASE:trap\\n\" 3";
    assert_eq!(lake.lines("my db/one week", "m"), ["f=2.0,g=2.0 2", strings]);

    let all = Case::new();
    run(input(), &all.options());
    assert_eq!(all.lines("m"), ["f=1.0,g=1.0 1", "f=2.0,g=2.0 2", strings]);
    assert_eq!(all.lake().buckets().len(), 1);
}

#[test]
fn contexts_do_not_leave_their_file_and_lines_without_one_are_told() {
    let case = Case::new();
    let options = Options::new().output(&case.output());
    let error = fail(vec![text("a", EXPORT), text("b", "# a comment\n\n m f=1 1\n")], &options);
    assert!(matches!(&*error.cause, Cause::NoBucket { place } if place.to_string() == "b:3"), "{error}");
    assert_eq!(error.kept, Kept::Nothing);
    assert!(error.to_string().contains("--bucket"), "{error}");
    assert!(case.lake().files.is_empty());
    // Comments alone need no bucket.
    assert_eq!(run(vec![text("c", "# a comment\n\n")], &options).lines, 0);
}

#[test]
fn what_is_no_statement_ends_a_section_of_statements() {
    let case = Case::new();
    run(vec![text("in", "# DDL\nCREATE DATABASE a\nm s=\"two\nlines\" 1\nm f=1 2\n")], &case.options());
    assert_eq!(case.lines("m"), ["f=1.0 2", "s=\"two\\nlines\" 1"]);
}

/// Bad lines (and good ones) with what is said of them.
const BAD: &str =
    "m f=1 1\r\n# a comment\nbad\nm s=\"two\nlines\",f=2 2\n\nm f=3i 3\nm f=4 4x\nm time=1,f=5 5\nm f=6 6\n";
const BAD_SAID: [&str; 4] = [
    "in:3: missing fields: bad",
    "in:7: field type conflict: input field \"f\" on measurement \"m\" is type integer, already exists as type float: m f=3i 3",
    "in:8: bad timestamp: m f=4 4x",
    "in:9: invalid field name: input field \"time\" on measurement \"m\" is invalid: m time=1,f=5 5",
];

fn said(report: &Report) -> Vec<String> {
    report.first_refused.iter().map(ToString::to_string).collect()
}

#[test]
fn skipped_lines_are_counted_and_shown_with_their_places() {
    let case = Case::new();
    let report = run(vec![text("in", BAD)], &case.options().on_error(OnError::Skip));
    assert_eq!((report.lines, report.points, report.refused, report.collected.clone()), (7, 4, 4, None));
    assert_eq!(said(&report), BAD_SAID);
    assert_eq!(case.lines("m"), ["f=1.0 1", "f=2.0,s=\"two\\nlines\" 2", "f=5.0 5", "f=6.0 6"]);
}

#[test]
fn collected_lines_can_be_mended_and_converted() {
    let case = Case::new();
    let inputs = vec![text("in", BAD), text("more", "\nbad\n".repeat(30))];
    let report = run(inputs, &case.options().on_error(OnError::Collect));
    let path = report.collected.clone().unwrap();
    assert!(path.starts_with(case.output()));
    assert_eq!((report.refused, report.first_refused.len()), (34, 10));
    let collected = fs::read_to_string(&path).unwrap();
    assert!(collected.contains("\n# in:7: field type conflict: input field \"f\""), "{collected}");
    assert!(collected.ends_with("# more:60: missing fields\nbad\n"), "{collected}");
    assert!(collected.contains("# in:8: bad timestamp\nm f=4 4x\n"), "{collected}");
    let mended = collected.replace("4x", "4").replace("3i", "3").replace("\nbad", "");
    fs::write(&path, mended.replace("m time=1,f=5 5", "")).unwrap();
    // The bucket is in the file.
    run(vec![Input::named(&path)], &Options::new().output(&case.output()));
    assert_eq!(case.lines("m").len(), 6);

    let none = Case::new();
    assert_eq!(run(vec![text("in", "m f=1 1")], &none.options().on_error(OnError::Collect)).collected, None);
}

#[test]
fn a_comment_of_collected_lines_is_one_line_whatever_it_quotes() {
    let case = Case::new();
    let name = "m a\\\nz\\ f\\=66\\ 6";
    let inputs = vec![text("x\nz f=666 1\n#", format!("{name}=1 1\n{name}=\"x\" 2\n"))];
    let report = run(inputs, &case.options().on_error(OnError::Collect));
    let path = report.collected.unwrap();
    let mended = fs::read_to_string(&path).unwrap().replace("=\"x\"", "=5");
    fs::write(&path, &mended).unwrap();
    let again = run(vec![Input::named(&path)], &Options::new().output(&case.output()));
    assert_eq!((again.points, again.refused), (1, 0), "{mended}");
    assert_eq!((case.lines("m").len(), case.lines("z").len()), (2, 0));
}

#[test]
fn the_first_refused_line_stops_and_nothing_from_there_on_is_kept() {
    for (place, cut) in
        [("in:3", BAD), ("in:5", "m f=1 1\n\n\n\nm f=1i 1\nbad\n"), ("in:2", "m f=1 1\n\tbad\nm f=1i 1")]
    {
        let case = Case::new();
        let error = fail(vec![text("in", cut)], &case.options());
        assert!(matches!(&*error.cause, Cause::Refused { place: at, .. } if at.to_string() == place), "{error}");
        assert_eq!(error.kept, Kept::Nothing);
        assert!(case.lake().files.is_empty());
        // The output is usable, and a type of what was not kept binds nobody.
        run(vec![text("in", "m g=1 1")], &case.options());
        assert_eq!(case.lines("m"), ["g=1.0 1"]);
    }
}

#[test]
fn a_stop_behind_some_epochs_says_how_far_the_output_goes() {
    let case = Case::new();
    let mut input = many_lines(10_000);
    input.extend_from_slice(b"bad\n");
    let error = fail(vec![text("in", input)], &case.options().threads(2).flush_bytes(SMALL_EPOCHS));
    assert!(matches!(&*error.cause, Cause::Refused { place, .. } if place.line == 10_001), "{error}");
    let Kept::Before(place) = &error.kept else { panic!("{error}") };
    assert!(place.line > 1 && place.line < 10_001);
    assert_eq!(case.lake().rows("b", "cpu").len() as u64, place.line - 1);
}

#[test]
fn many_bad_lines_take_no_good_ones_with_them() {
    let case = Case::new();
    let mut input = String::new();
    for number in 0..40_000 {
        input += &if number % 3 == 0 { format!("m f={number} {number}\n") } else { format!("bad {number}\n") };
    }
    // The string does not end; the lines behind it are not in it.
    input += "m s=\"open 1\nm f=-1 -1\nm f=-2 -2\n";
    let report = run(vec![text("in", input)], &case.options().on_error(OnError::Skip));
    assert_eq!((report.lines, report.points, report.refused), (40_003, 13_336, 26_667));
    assert_eq!(case.lines("m").len(), 13_336);
    assert_eq!(report.first_refused[9].place.line, 15);
}

/// A writer was cut off within a string: the quotes of what follows open strings and close them where they should not.
#[test]
fn a_line_that_is_cut_off_within_a_string_takes_no_other_with_it() {
    let line = |number: usize| format!("log s=\"ok {number}\" {number}\n");
    for (count, cut) in
        [(3_000, vec![10]), (3_000, vec![2_999]), (3_000, vec![0, 9, 10, 11, 2_000]), (40_000, vec![7, 39_000])]
    {
        let bad = |number: usize| cut.contains(&number);
        let text_of = |number| if bad(number) { "log s=\"cut off in the mid\n".to_owned() } else { line(number) };
        let input: String = (0..count).map(text_of).collect();
        for memory in [64 << 20, 1 << 30] {
            let case = Case::new();
            let options = case.options().on_error(OnError::Collect).memory_bytes_max(memory);
            let report = run(vec![text("in", input.clone())], &options);
            // Of two that follow each other the first closes the second's string, and is no point with it.
            assert_eq!(case.lines("log").len(), count - cut.len(), "{cut:?}");
            assert_eq!((report.points, report.lines), ((count - cut.len()) as u64, report.points + report.refused));
            assert_eq!(report.first_refused[0].place.line as usize, cut[0] + 1);
            let collected = fs::read_to_string(report.collected.as_ref().unwrap()).unwrap();
            assert!(!collected.contains("ok"), "{collected}");
        }
    }
    // Whatever else is wrong with what it swallows.
    let case = Case::new();
    let input = b"a v=1i 1\na s=\"unclosed 3\na v=2i 4\na v=3i 5\na,t=\xff v=9i 9\na v=4i 6\n";
    let report = run(vec![text("in", &input[..])], &case.options().on_error(OnError::Skip));
    assert_eq!((report.points, report.refused), (4, 2));
    // A string that is closed belongs to its line, which is refused as a whole.
    let case = Case::new();
    let input = "m s=\"one\ntwo\nthree\" bad\nm f=1 1\nm\\\n,t=1 f=1 1";
    let report = run(vec![text("in", input)], &case.options().on_error(OnError::Skip));
    assert_eq!((report.points, report.refused), (2, 1));
    assert_eq!(report.first_refused[0].place.line, 1);
}

#[test]
fn long_lines_are_taken_and_too_long_ones_are_told() {
    let case = Case::new();
    let long = format!("m s=\"{}\",t=\"{}\" 2\n", "x".repeat(900_000), "\n".repeat(700_000));
    let input = format!("m f=1 1\n{long}m f=3 3\nbad\n");
    let report = run(vec![text("in", input)], &case.options().on_error(OnError::Skip));
    assert_eq!((report.points, report.first_refused[0].place.line), (3, 700_004));
    // Longer than any line may be: a string that seems not to end, and a line that does not.
    let options = || case.options().on_error(OnError::Skip).memory_bytes_max(SMALL_MEMORY);
    let open = format!("m s=\"open 1\n{}", "m f=5 5\n".repeat(1_000_000));
    let report = run(vec![text("in", open)], &options());
    assert_eq!((report.points, report.refused, report.first_refused[0].place.line), (1_000_000, 1, 1));
    let error = fail(vec![text("in", format!("m f=6 6\nm s=\"{}", "x".repeat(8 << 20)))], &options());
    assert!(matches!(&*error.cause, Cause::LineTooLong { place, .. } if place.line == 2), "{error}");
    assert!(error.to_string().contains("memory limit"), "{error}");
}

#[test]
fn precision_and_the_time_of_lines_without_one() {
    for (precision, time) in
        [(Precision::Second, 7_000_000_000i64), (Precision::Nanosecond, 7), (Precision::Hour, 25_200_000_000_000)]
    {
        let case = Case::new();
        let options = case.options().precision(precision).default_time_ns(90_000_000_000_001);
        run(vec![text("in", "m,t=a f=1 7\nm,t=b f=2\n")], &options);
        let default = precision.truncate(90_000_000_000_001);
        assert_eq!(case.lines("m"), [format!("t=a f=1.0 {time}"), format!("t=b f=2.0 {default}")]);
    }
}

#[test]
fn a_dry_run_tells_the_schema_and_writes_nothing() {
    let case = Case::new();
    let input = "m,host=a f=1,s=\"x\" -5\nm,dc=1 i=3i 20\nm f=1i 30\nn,host=a u=1u,b=t 7\nbad\n";
    let dry = Options::new().bucket("b").on_error(OnError::Collect).dry_run();
    let report = run(vec![text("in", input)], &dry);
    let [m, n] = &report.tables[..] else { panic!("{:?}", report.tables) };
    assert_eq!((&*m.measurement, m.points, m.first_ns, m.last_ns), ("m", 2, -5, 20));
    assert_eq!((m.tags.join(","), n.tags.join(",")), ("host,dc".to_owned(), "host".to_owned()));
    let fields = |table: &ringest::tools::convert::TableReport| {
        table.fields.iter().map(|(name, kind)| format!("{name} {}", kind.name())).collect::<Vec<_>>().join(", ")
    };
    assert_eq!((fields(m), fields(n)), ("f float, s string, i integer".to_owned(), "u unsigned, b boolean".to_owned()));
    assert_eq!((report.refused, report.conflicts.len(), report.files, report.collected.clone()), (2, 1, 0, None));

    // What the output knows counts, and stays as it is.
    run(vec![text("in", "m i=1.5 1")], &case.options());
    let before = fs::read(case.output().join("state/catalog")).unwrap();
    let report = run(vec![text("in", input)], &case.options().on_error(OnError::Skip).dry_run());
    let conflicts: Vec<_> = report.conflicts.iter().map(|conflict| (&*conflict.field, conflict.known)).collect();
    assert_eq!(conflicts, [("f", "float"), ("i", "float")]);
    assert_eq!(fs::read(case.output().join("state/catalog")).unwrap(), before);
    assert_eq!(case.lake().files.len(), 1);
    let missing = case.dir.path().join("nowhere");
    run(vec![text("in", input)], &Options::new().output(&missing).bucket("b").on_error(OnError::Skip).dry_run());
    assert!(!missing.exists());
}

#[test]
fn names_beyond_their_share_of_the_memory_are_refused_and_told() {
    // A piece of them needs more memory than there is.
    let input: String = (0..100_000).map(|number| format!("measurement{number} f=1 1\n")).collect();
    let options =
        Options::new().bucket("b").on_error(OnError::Skip).dry_run().memory_bytes_max(SMALL_MEMORY).threads(8);
    let report = run(vec![text("in", input)], &options);
    assert_eq!((report.lines, report.points + report.refused), (100_000, 100_000));
    assert!(report.points > 1_000 && report.refused > 1_000, "{}", report.points);
    assert_eq!(report.tables.len() as u64, report.points);
    assert!(report.first_refused[0].reason.contains("memory-limit"), "{}", report.first_refused[0]);
}

#[test]
fn a_node_goes_on_from_a_conversion_and_a_conversion_from_a_node() {
    let node = Node::start(&[]);
    node.must_write("b", "weather,city=Oslo temperature=1,wind=1 1700000000000000000\n");
    let dir = node.stop();
    let options = || Options::new().output(dir.path()).bucket("b");
    run(vec![text("in", LINE)], &options());
    let error = fail(vec![text("in", "weather,city=Oslo temperature=1i 5")], &options());
    assert!(error.to_string().contains("already exists as type float"), "{error}");
    let node = Node::start_in(dir, &[]);
    let merged = |node: &Node| node.lake().merged("b", "weather");
    assert_eq!(merged(&node), ["city=Oslo temperature=21.5,wind=1.0 1700000000000000000"]);
    node.must_write("b", "weather,city=Oslo wind=3 1700000000000000000\n");
    node.flush();
    assert_eq!(merged(&node), ["city=Oslo temperature=21.5,wind=3.0 1700000000000000000"]);
    let epochs: Vec<u64> = node.lake().files_of("b", "weather").iter().map(|file| file.epoch).collect();
    assert!(epochs.is_sorted_by(|a, b| a < b), "{epochs:?}");
    // It runs: nothing else may write there.
    let error = fail(vec![text("in", LINE)], &Options::new().output(node.data_dir()).bucket("b"));
    assert!(error.to_string().contains(&format!("process {}", node.pid())), "{error}");
    assert_eq!(error.kept, Kept::Nothing);
}

#[test]
fn a_log_with_unpublished_requests_is_refused() {
    let node = Node::start(&["--flush-interval", "1h"]);
    node.must_write("b", LINE);
    let dir = node.kill();
    let error = fail(vec![text("in", LINE)], &Options::new().output(dir.path()).bucket("b"));
    assert!(matches!(*error.cause, Cause::Unpublished { .. }), "{error}");
    assert!(error.to_string().contains("ringest serve --data-dir"), "{error}");
    let dir = Node::start_in(dir, &[]).stop();
    run(vec![text("in", "weather,city=Oslo temperature=0 1")], &Options::new().output(dir.path()).bucket("b"));
    assert_eq!(Lake::read(dir.path()).lines("b", "weather").len(), 2);
}

#[test]
fn inputs_and_outputs_that_cannot_be_used_are_told() {
    let case = Case::new();
    let file = case.file("file", "m f=1 1\n");
    let error = fail(vec![Input::named(&file)], &Options::new().output(&file).bucket("b"));
    assert!(matches!(*error.cause, Cause::DataDir(_)), "{error}");
    let error = fail(vec![Input::named(&file)], &Options::new().bucket("b"));
    assert!(matches!(*error.cause, Cause::NoOutput), "{error}");
    let error = fail(vec![Input::named(Path::new("/no/such/file"))], &case.options());
    assert!(error.to_string().contains("/no/such/file"), "{error}");
    run(vec![Input::named(&file)], &case.options());
    let error = fail(vec![Input::named(case.dir.path())], &case.options());
    assert!(matches!(*error.cause, Cause::OutputInInput { .. }), "{error}");
    assert_eq!(case.lines("m"), ["f=1.0 1"]);
}

#[test]
fn an_output_that_takes_no_files_ends_the_conversion() {
    let case = Case::new();
    run(vec![text("in", "m f=1 1")], &case.options());
    case.file("out/lake/taken", "where a folder should be");
    let error = fail(vec![text("in", "m f=1 1")], &case.options().bucket("taken"));
    assert!(matches!(&*error.cause, Cause::Publish(reason) if reason.contains("lake/taken")), "{error}");
    assert_eq!(error.kept, Kept::Nothing);
    fs::remove_file(case.output().join("lake/taken")).unwrap();
    run(vec![text("in", "m f=1 1")], &case.options().bucket("taken"));
    assert_eq!(case.lake().lines("taken", "m"), ["f=1.0 1"]);
}

/// Fails behind some bytes.
struct Breaks(Cursor<Vec<u8>>);

impl Read for Breaks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 if !buffer.is_empty() => Err(io::Error::other("the disk is gone")),
            bytes => Ok(bytes),
        }
    }
}

#[test]
fn inputs_that_break_off_are_told_and_never_taken_for_whole() {
    let case = Case::new();
    let mut cut = gzip(many_lines(20_000).as_slice());
    cut.truncate(cut.len() / 2);
    let error = fail(vec![text("in.gz", cut)], &case.options().on_error(OnError::Skip));
    assert!(matches!(&*error.cause, Cause::Gzip { place, .. } if place.line > 1), "{error}");
    let bad = [gzip(b"m f=1 1\nbad\n"), b"garbage".to_vec()].concat();
    let error = fail(
        vec![text("bad", gzip(&[b"bad\n".repeat(9), many_lines(3_000)].concat())), text("cut", bad)],
        &case.options().on_error(OnError::Collect),
    );
    let collected = fs::read_to_string(error.collected.as_ref().unwrap()).unwrap();
    assert!(collected.matches("\nbad\n").count() == 9, "{collected}");
    assert!(error.to_string().contains("refused until then are in "), "{error}");
    for behind in [&b"garbage"[..], b"\0\0garbage", b"\x1F"] {
        let garbage = [&gzip(b"m f=1 1\n"), behind].concat();
        let error = fail(vec![text("in.gz", garbage)], &case.options());
        assert!(matches!(*error.cause, Cause::Gzip { .. }), "{error}");
    }
    let read = Box::new(Breaks(Cursor::new(b"m f=1 1\n".to_vec())));
    let error = fail(vec![Input::Reader { name: "pipe".to_owned(), read }], &case.options());
    assert!(error.to_string().starts_with("cannot read pipe: the disk is gone"), "{error}");
    assert!(case.lake().files.is_empty());
}

#[test]
fn progress_comes_to_the_end_of_the_input() {
    let case = Case::new();
    let path = case.file("in", many_lines(5_000));
    let bytes = fs::metadata(&path).unwrap().len();
    let seen: Arc<Mutex<Vec<Progress>>> = Arc::default();
    let told = Arc::clone(&seen);
    run(vec![Input::named(&path)], &case.options().on_progress(move |progress| told.lock().unwrap().push(progress)));
    let seen = seen.lock().unwrap();
    assert!(seen.len() > 3);
    assert!(seen.iter().all(|progress| progress.bytes == Some(bytes) && progress.bytes_read <= bytes));
    assert_eq!(seen.iter().map(|progress| progress.lines).max(), Some(5_000));
}

/// The program itself.
fn program(args: &[&str], dir: &Path, input: &[u8]) -> Output {
    let mut command = ringest("convert");
    command.args(args).current_dir(dir).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // One that does not want it has closed the pipe.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

#[test]
fn the_program_converts_and_sums_up() {
    let case = Case::new();
    let dir = case.dir.path();
    case.file("a.lp", "m,t=a f=1 1\n");
    let args = ["a.lp", "-", "--output", "out", "--bucket", "b", "--precision", "s", "--on-error", "collect"];
    let limits = ["--memory-limit", "256MiB", "--flush-size", "1MiB", "--threads", "2"];
    let done = program(&[&args[..], &limits].concat(), dir, b"m,t=b f=2 2\nm,t=b f=3i 3\nbad\n");
    let stdout = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success() && done.stderr.is_empty(), "{stdout}{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(case.lines("m"), ["t=a f=1.0 1000000000", "t=b f=2.0 2000000000"]);
    for part in [
        "conflict: bucket \"b\", measurement \"m\": field \"f\" is float, integer in 1 refused point, first at standard input:2\n",
        "refused: standard input:3: missing fields: bad\n",
        "all refused lines are in out/refused-",
        "4 lines, 2 points, 2 refused, 41 bytes read in ",
        " lines/s\n1 file with 2 rows, ",
    ] {
        assert!(stdout.contains(part), "{part:?} is not in\n{stdout}");
    }
}

#[test]
fn the_program_ends_with_1_where_it_stops_and_with_2_where_it_is_called_wrongly() {
    let case = Case::new();
    let dir = case.dir.path();
    case.file("a.lp", "m f=1 1\n\nbad\n");
    let done = program(&["a.lp", "--output", "out", "--bucket", "b"], dir, b"");
    let stderr = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert_eq!(stderr, "ringest: a.lp:3: missing fields: bad\nNothing was converted: the output is as it was.\n");
    for (args, part) in [
        (&["a.lp"][..], "--output"),
        (&["--output", "out"], "INPUT"),
        (&["a.lp", "--output", "out", "--precision", "d"], "ns"),
        (&["a.lp", "--output", "out", "--on-error", "ask"], "collect"),
        (&["a.lp", "--output", "out", "--memory-limit", "1MiB"], "192MiB"),
        (&["a.lp", "--output", "out", "--flush-size", "0"], "--flush-size"),
        (&["a.lp", "--output", "out", "--bucket", ""], "--bucket"),
    ] {
        let done = program(args, dir, b"");
        let stderr = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(part), "{args:?}: {stderr}");
    }
}

#[test]
fn the_program_shows_the_schema_on_a_dry_run() {
    let case = Case::new();
    let done = program(&["-", "--bucket", "b", "--dry-run"], case.dir.path(), b"m,t=a f=1,\"q=2i 1\n");
    let stdout = String::from_utf8(done.stdout).unwrap();
    let shown = "bucket \"b\", measurement \"m\": 1 point from 1970-01-01T00:00:00.000000001Z to 1970-01-01T00:00:00.000000001Z\n  \
                 tags: \"t\"\n  fields: \"f\" float, \"\\\"q\" integer\n1 line, 1 point, 0 refused, ";
    assert!(stdout.starts_with(shown), "{stdout}");
    assert!(stdout.ends_with("nothing was written (--dry-run)\n"), "{stdout}");
    assert_eq!(fs::read_dir(case.dir.path()).unwrap().count(), 0);
}
