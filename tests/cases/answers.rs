//! The table of answers: the code's, that of docs/HTTP.md, and what a node really sends.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ringest::write::{ANSWERS, Answer as Row};

use crate::node::{Answer, Client, Node, gzip};

/// Headers that some answers have and others must not have.
const OWN_HEADERS: [&str; 3] = ["Allow", "Retry-After", "WWW-Authenticate"];

/// The row whose occasion contains `part`.
fn row(part: &str) -> &'static Row {
    let mut rows = ANSWERS.iter().filter(|row| row.when.contains(part));
    let row = rows.next().unwrap_or_else(|| panic!("no row says {part:?}"));
    assert!(rows.next().is_none(), "several rows say {part:?}");
    row
}

/// A row as docs/HTTP.md has it.
fn documented(row: &Row) -> String {
    let quoted = |text: &str| if text.is_empty() { String::new() } else { format!("`{text}`") };
    let headers: Vec<String> = row.headers.iter().map(|name| quoted(name)).collect();
    let connection = if row.close { "closed" } else { "" };
    let (status, code, op, headers) = (row.status.code(), quoted(row.code), quoted(row.op), headers.join(", "));
    format!("| {status} | {code} | {op} | {headers} | {connection} | {} |", row.when)
}

#[test]
fn every_refusal_is_in_docs_http() {
    let docs = include_str!("../../docs/HTTP.md");
    let head = "| status | `code` | `op` | headers | connection | when |";
    let (_, table) = docs.split_once(head).expect("docs/HTTP.md has the table of answers");
    let found: Vec<&str> = table.trim_start().lines().skip(1).take_while(|line| line.starts_with('|')).collect();
    let wanted: Vec<String> = ANSWERS.iter().map(documented).collect();
    assert!(
        found == wanted,
        "the table of docs/HTTP.md should be\n{head}\n|---|---|---|---|---|---|\n{}",
        wanted.join("\n")
    );
    assert!(ANSWERS.is_sorted_by_key(|row| row.status.code()));
}

/// Checks that an answer is all that the row whose occasion contains `part` says. For tests that provoke a row by other means than a request
/// to a node at rest; [`each_row_can_be_provoked`] finds their calls by `part`.
#[track_caller]
pub fn expect_row(part: &str, answer: &Answer) {
    check(row(part), answer);
}

/// The rows that tests of other files provoke.
fn provoked_elsewhere() -> impl Iterator<Item = &'static Row> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let text: String = files.map(|path| fs::read_to_string(path).unwrap()).collect();
    let parts = text.split("expect_row(\"").skip(1).filter_map(|call| call.split('"').next());
    let rows: Vec<&Row> = parts.map(row).collect();
    rows.into_iter()
}

/// What an answer must have for its row.
#[track_caller]
fn check(row: &Row, answer: &Answer) {
    assert_eq!(answer.status, row.status.code(), "{answer:?}");
    for name in OWN_HEADERS {
        // `OPTIONS` has its Allow with a 204.
        let is_own = row.headers.contains(&name);
        assert_eq!(answer.header(name).is_some_and(|value| !value.is_empty()), is_own, "{name} in {answer:?}");
    }
    if row.code.is_empty() {
        return;
    }
    assert_eq!(answer.header("Connection") == Some("close"), row.close, "{answer:?}");
    assert_eq!(answer.header("Content-Type"), Some("application/json; charset=utf-8"), "{answer:?}");
    assert_eq!(answer.header("X-Platform-Error-Code"), Some(row.code), "{answer:?}");
    for name in ["X-Influxdb-Build", "X-Influxdb-Version", "Request-Id", "X-Request-Id", "X-Influxdb-Error"] {
        assert!(answer.header(name).is_some_and(|value| !value.is_empty()), "{name} in {answer:?}");
    }
    let json = answer.json();
    assert_eq!(json["code"], row.code, "{answer:?}");
    assert_eq!(json["op"].as_str().unwrap_or_default(), row.op, "{answer:?}");
    for member in ["message", "error"] {
        assert!(json[member].as_str().is_some_and(|text| !text.is_empty()), "{member} in {answer:?}");
    }
}

/// Requests, each with a part of the occasion of its row.
fn requests() -> Vec<(&'static str, Vec<u8>)> {
    let request = |method: &str, target: &str, headers: &str, body: &[u8]| {
        let length = body.len();
        let head = format!("{method} {target} HTTP/1.1\r\nHost: node\r\n{headers}Content-Length: {length}\r\n\r\n");
        [head.as_bytes(), body].concat()
    };
    let (write, is_gzip) = ("/write?db=d", "Content-Encoding: gzip\r\n");
    // Names that fill a segment of the log, though the body alone would fit.
    let names: Vec<String> = (0..100).map(|number| format!("{number}{}=1", "x".repeat(60_000))).collect();
    let inflated = gzip("m f=1 1\n".repeat(1 << 20).as_bytes());
    vec![
        (
            "is awaited",
            b"POST /write?db=d HTTP/1.1\r\nHost: n\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n".into(),
        ),
        ("`/health`", request("GET", "/ping?verbose=true", "", b"")),
        ("taken whole", request("POST", write, "", b"m f=1")),
        ("is not HTTP", b"GET /ping HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".into()),
        ("`db` is missing", request("POST", "/write", "", b"m f=1")),
        ("a parameter is not UTF-8 once", request("POST", "/write?db=%ff", "", b"m f=1")),
        ("`precision` is none", request("POST", "/write?db=d&precision=x", "", b"m f=1")),
        ("the body is none", request("POST", write, is_gzip, b"m f=1")),
        ("not line protocol", request("POST", write, "", b"m f=1\nm")),
        ("no such path", request("GET", "/nowhere", "", b"")),
        ("`bucket` is missing", request("POST", "/api/v2/write?org=o", "", b"m f=1")),
        ("not this method", request("PUT", write, "", b"m f=1")),
        ("larger than `max-body-size`", request("POST", write, "", &vec![b'x'; 7_000_001])),
        ("once it is decompressed", request("POST", write, is_gzip, &inflated)),
        ("segment of the log", request("POST", write, "", format!("m {}", names.join(",")).as_bytes())),
        ("line is too long", request("GET", &format!("/{}", "x".repeat(100_000)), "", b"")),
        ("a `Content-Encoding` other", request("POST", write, "Content-Encoding: br\r\n", b"m f=1")),
        ("an `Expect` other", request("POST", write, "Expect: wonders\r\n", b"m f=1")),
        ("points were dropped", request("POST", write, "", b"m f=1i")),
        ("the head, or what follows", request("GET", "/ping", &format!("X: {}\r\n", "x".repeat(100_000)), b"")),
        ("a `Transfer-Encoding` other", b"POST /write HTTP/1.1\r\nHost: n\r\nTransfer-Encoding: gzip\r\n\r\n".into()),
        ("a version of HTTP", b"GET /ping HTTP/3.0\r\nHost: n\r\n\r\n".into()),
    ]
}

/// A flush whose files have no place to be written to.
fn flush_in_vain() -> Answer {
    let node = Node::start(&[]);
    node.must_write("d", "m f=1 1");
    let (tmp, aside) = (node.data_dir().join("tmp"), node.data_dir().join("aside"));
    fs::rename(&tmp, &aside).unwrap();
    fs::write(&tmp, "in the way").unwrap();
    let answer = node.request("POST", "/api/flush", b"");
    fs::remove_file(&tmp).unwrap();
    fs::rename(&aside, &tmp).unwrap();
    node.stop();
    answer
}

/// A compaction that finds a file spoilt.
fn compaction_in_vain() -> Answer {
    let node = Node::start(&[]);
    for time in 1..3 {
        node.must_write("d", &format!("m f=1 {time}"));
        node.flush();
    }
    let spoilt = super::lake_reader::parquet_files(node.data_dir()).pop_first().unwrap();
    fs::write(node.data_dir().join("lake").join(spoilt), "no Parquet").unwrap();
    let answer = node.request("POST", "/api/compact", b"");
    node.stop();
    answer
}

#[test]
fn each_row_can_be_provoked() {
    let node = Node::start(&["--wal-size-limit", "32MiB", "--max-body-size", "7MB"]);
    let mut provoked: BTreeSet<&str> = BTreeSet::new();
    for (part, bytes) in requests() {
        let row = row(part);
        let mut client = Client::new(node.address());
        // The node may have answered and closed before everything is sent.
        let _ = std::io::Write::write_all(&mut client.stream, &bytes);
        let answer = client.answer();
        check(row, &answer);
        assert!(provoked.insert(row.when), "{part} is provoked twice");
    }
    let unpublished = row("could not be published");
    check(unpublished, &flush_in_vain());
    provoked.insert(unpublished.when);
    let uncompacted = row("files could not be merged");
    check(uncompacted, &compaction_in_vain());
    provoked.insert(uncompacted.when);
    provoked.extend(provoked_elsewhere().map(|row| row.when));
    let left: Vec<&str> = ANSWERS.iter().map(|row| row.when).filter(|when| !provoked.contains(when)).collect();
    assert!(left.is_empty(), "nothing provokes {left:#?}");
}

/// Number and reason of the lines that an answer lists.
fn listed(answer: &Answer) -> Vec<(u64, String)> {
    let json = answer.json();
    let line = |line: &serde_json::Value| (line["line"].as_u64().unwrap(), line["error"].as_str().unwrap().to_owned());
    json["lines"].as_array().unwrap_or_else(|| panic!("lines in {answer:?}")).iter().map(line).collect()
}

#[test]
fn the_422_lists_each_dropped_line() {
    let node = Node::start(&["--default-retention", "72h"]);
    let day = 86_400_000_000_000;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64;
    let long = "x".repeat((1 << 20) + 1);
    let body = format!(
        "# a comment\n\nm,host=a\\ b f=1,s=\"two\nlines\" {now}\r\nm f=t {now}\n  m,host=a\\ b f=2 {old}\nm time=5,f=3 {now}\n\
         m f=4 {later}\nm s=\"{long}\" {now}\nm,host=c f=5 {older}\nn time=1",
        old = now - 4 * day,
        older = now - 5 * day,
        later = now + 1,
    );
    let answer = node.write("d", &body);
    assert_eq!(answer.status, 422, "{answer:?}");
    let lines = listed(&answer);
    let numbers: Vec<u64> = lines.iter().map(|(line, _)| *line).collect();
    assert_eq!(numbers, [5, 6, 7, 9, 10, 11], "{lines:#?}");
    for ((_, error), part) in lines.iter().zip([
        "is type boolean, already exists as type float",
        "points beyond retention policy: time ",
        "input field \"time\" on measurement \"m\"",
        "is too long, 1048577 > 1048576",
        " is before the lower bound ",
        "input field \"time\" on measurement \"n\"",
    ]) {
        assert!(error.contains(part), "{part} in {error}");
    }
    let json = answer.json();
    assert!(json["error"].as_str().unwrap().ends_with(" dropped=5"), "{answer:?}");
    assert_eq!(json["lines_truncated"], serde_json::Value::Null, "{answer:?}");
    assert_eq!(node.lake().lines("d", "m").len(), 3);
}

#[test]
fn lists_are_cut_and_say_so() {
    let node = Node::start(&[]);
    node.must_write("d", "m f=1 0");
    for (bad, status) in [("m f=t 1\n", 422), ("m\n", 400)] {
        for (count, kept) in [(1, 1), (100, 100), (101, 100), (5_000, 100)] {
            let answer = node.write("d", &format!("m f=1 1\n{}m f=2 2", bad.repeat(count)));
            assert_eq!(answer.status, status, "{answer:?}");
            let lines: Vec<u64> = listed(&answer).iter().map(|(line, _)| *line).collect();
            assert_eq!(lines, (2..2 + kept).collect::<Vec<u64>>(), "{count} lines");
            assert_eq!(answer.json()["lines_truncated"] == true, count > 100, "{count} lines: {answer:?}");
            assert!(status == 400 || answer.text().contains(&format!("dropped={count}")), "{answer:?}");
        }
    }
}

#[test]
fn points_that_are_too_old_are_told_in_the_words_of_influxdb() {
    let node = Node::start(&["--default-retention", "72h"]);
    let answer = node.write("d", "m,host=b f=1 1000000000\nm,host=a\\ c f=1 0\nm f=1\nk f=1 2000000000");
    assert_eq!(answer.status, 422, "{answer:?}");
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    let before = "failure writing points to database: partial write: dropped 3 points outside retention policy of duration 72h0m0s - ";
    assert!(message.starts_with(before), "{message}");
    let bound = "dropped because it violates a Retention Policy Lower Bound at 2";
    for part in [
        format!("oldest point m,host=a\\ c at 1970-01-01T00:00:00Z {bound}"),
        format!(", newest point k at 1970-01-01T00:00:02Z {bound}"),
    ] {
        assert!(message.contains(&part), "{part} in {message}");
    }
    assert!(message.ends_with(" dropped=3"), "{message}");
    assert_eq!(answer.json()["error"], "partial write: points beyond retention policy dropped=3");
}

#[test]
fn a_bad_line_is_not_told_as_a_partial_write() {
    let node = Node::start(&[]);
    let answer = node.write("d", "m f=1\nm");
    assert_eq!(answer.json()["error"], "unable to parse 'm': missing fields (line 2)");
    assert_eq!((&answer.json()["line"], &answer.json()["err"]), (&2.into(), &"missing fields".into()));
    assert!(node.lake().files.is_empty());
}

#[test]
fn options_tells_the_methods_of_every_path() {
    let node = Node::start(&[]);
    for (path, methods) in [
        ("/write", "POST, OPTIONS"),
        ("/api/v2/write?bucket=b", "POST, OPTIONS"),
        ("/api/flush", "POST, OPTIONS"),
        ("/api/compact", "POST, OPTIONS"),
        ("/ping", "GET, HEAD, OPTIONS"),
        ("/health", "GET, HEAD, OPTIONS"),
        ("/ready", "GET, HEAD, OPTIONS"),
        ("/metrics", "GET, HEAD, OPTIONS"),
        ("*", "GET, HEAD, POST, OPTIONS"),
    ] {
        let answer = node.request("OPTIONS", path, b"");
        assert_eq!((answer.status, answer.header("Allow")), (204, Some(methods)), "{path}: {answer:?}");
        assert_eq!(answer.header("Access-Control-Allow-Origin"), None, "{path}: {answer:?}");
        if path != "*" {
            let answer = node.request("BREW", path, b"");
            assert_eq!((answer.status, answer.header("Allow")), (405, Some(methods)), "{path}: {answer:?}");
        }
    }
    assert_eq!(node.request("OPTIONS", "/nowhere", b"").status, 404);
    assert_eq!(node.request("GET", "*", b"").status, 404);
}

#[test]
fn pages_of_other_origins_may_write_and_may_not_read_the_metrics() {
    let node = Node::start(&[]);
    let ask = |method: &str, path: &str, body: &[u8]| {
        let mut client = node.connect();
        client.request_with(method, path, "Origin: https://page.example\r\n", body);
        client.answer()
    };
    for (method, path, status) in [
        ("OPTIONS", "/write?db=d", 204),
        ("POST", "/write?db=d", 204),
        ("POST", "/write", 400),
        ("POST", "/api/v2/write?bucket=b", 204),
        ("GET", "/ping", 204),
    ] {
        let answer = ask(method, path, b"m f=1");
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("https://page.example"), "{answer:?}");
        assert_eq!(answer.header("Vary"), Some("Origin"), "{answer:?}");
        assert!(answer.header("Access-Control-Expose-Headers").unwrap().contains("X-Influxdb-Error"), "{answer:?}");
        assert_eq!(answer.header("Access-Control-Allow-Headers").is_some(), method == "OPTIONS", "{answer:?}");
        if method == "OPTIONS" {
            assert_eq!(answer.header("Access-Control-Allow-Methods"), Some("POST, OPTIONS"), "{answer:?}");
            assert!(answer.header("Access-Control-Allow-Headers").unwrap().contains("Authorization"), "{answer:?}");
        }
    }
    for (method, path) in [("GET", "/metrics"), ("OPTIONS", "/metrics"), ("GET", "/health"), ("POST", "/nowhere")] {
        let answer = ask(method, path, b"");
        assert!(!answer.head.contains("Access-Control"), "{path}: {answer:?}");
    }
    // Nothing of it stays with the connection.
    let mut client = node.connect();
    client.request_with("GET", "/ping", "Origin: https://page.example\r\n", b"");
    assert!(client.answer().header("Vary").is_some());
    client.request("GET", "/ping", b"");
    assert!(client.answer().header("Vary").is_none());
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[test]
fn an_error_and_its_log_line_name_the_trace() {
    let mut node = Node::start(&["--log", "debug"]);
    let mut client = node.connect();
    let headers = format!("Traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\nX-Request-Id: mine\r\n");
    client.request_with("POST", "/write?db=d", &headers, b"m");
    assert_eq!(client.answer().header("Trace-Id"), Some(TRACE));
    for message in ["lines were refused", "a request was refused"] {
        let line = node.wait_for_log(message);
        assert!(
            line.contains(&format!("\"trace_id\":\"{TRACE}\"")) && line.contains("\"request_id\":\"mine\""),
            "{line}"
        );
    }
    // A success has none, and the next request on the connection neither.
    client.request_with("POST", "/write?db=d", &headers, b"m f=1");
    assert_eq!(client.answer().header("Trace-Id"), None);
    client.request("POST", "/write?db=d", b"m");
    assert_eq!(client.answer().header("Trace-Id"), None);
    client.request_with("GET", "/nowhere", "Zap-Trace-Span: {\"uber-trace-id\":\"1a2b:3:0:1\"}\r\n", b"");
    assert_eq!(client.answer().header("Trace-Id"), Some("1a2b"));
}

#[test]
fn a_malformed_trace_is_ignored() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    for headers in [
        "Traceparent: 00-00000000000000000000000000000000-00f067aa0ba902b7-01\r\n",
        "Traceparent: ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n",
        "Traceparent: \r\nZap-Trace-Span: \r\n",
        "Zap-Trace-Span: {\"uber-trace-id\"\r\n",
        "Zap-Trace-Span: \u{1F980}:::\r\n",
        "Zap-Trace-Span: trace_id=1a\r\nZap-Trace-Span: trace_id=1a\r\n",
        &format!("Traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n").repeat(2),
    ] {
        client.request_with("POST", "/write?db=d", headers, b"m f=1");
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("Trace-Id")), (204, None), "{headers}");
        client.request_with("POST", "/write?db=d", headers, b"m");
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("Trace-Id")), (400, None), "{headers}");
    }
}

#[test]
fn refused_lines_are_counted_by_bucket_and_reason_and_logged_once_a_second() {
    let mut node = Node::start(&["--shards", "1"]);
    node.must_write("d", "m f=1 1");
    for _ in 0..50 {
        assert_eq!(node.write("d", "m f=t 1\nm time=1,f=2 2\nm f=3 3\nm f=t 4").status, 422);
    }
    assert_eq!(node.write("e", "m\nm").status, 400);
    for (labels, lines) in [
        ("bucket=\"d\",reason=\"type_conflict\"", 100.0),
        ("bucket=\"d\",reason=\"time_field\"", 50.0),
        ("bucket=\"e\",reason=\"syntax\"", 2.0),
    ] {
        assert_eq!(node.metric(&format!("ringest_rejects_total{{{labels}}}")), lines, "{labels}");
    }
    let line = node.wait_for_log("\"bucket\":\"e\"");
    assert!(line.contains("line 1: missing fields") && line.contains("\"lines\":2"), "{line}");
    let first = node.wait_for_log("\"reason\":\"type_conflict\"");
    assert!(first.contains("\"suppressed_requests\":0"), "{first}");
    let told = node.seen.iter().filter(|line| line.contains("\"reason\":\"type_conflict\"")).count();
    assert!((1..25).contains(&told), "{told} lines for 50 requests");
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    assert_eq!(node.write("d", "m f=t 1").status, 422);
    node.seen.clear();
    let later = node.wait_for_log("\"reason\":\"type_conflict\"");
    assert!(!later.contains("\"suppressed_requests\":0") && later.contains("\"suppressed_lines\":"), "{later}");
}

/// A node whose bucket `d` keeps what is refused.
fn keeping(args: &[&str]) -> Node {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("ringest.toml");
    fs::write(&config, "[bucket.d]\nrejects = true\n").unwrap();
    let config = config.to_str().unwrap().to_owned();
    Node::start_in(dir, &[&["--config", &config, "--flush-interval", "100ms"], args].concat())
}

/// Files of refused lines of bucket `d`, oldest first.
fn reject_files(data_dir: &Path) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(data_dir.join("rejects/d")).into_iter().flatten();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

/// A kept line: when, where, why, and what.
type KeptLine = (i64, i64, String, String, String, String);

fn kept_lines(data_dir: &Path) -> Vec<KeptLine> {
    use arrow::array::AsArray;
    use arrow::datatypes::{Int64Type, TimestampNanosecondType};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let mut kept = Vec::new();
    for path in reject_files(data_dir) {
        let file = fs::File::open(path).unwrap();
        for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let column = |name: &str| batch.column_by_name(name).unwrap_or_else(|| panic!("{:?}", batch.schema()));
            let text = |name: &str, row: usize| column(name).as_string::<i32>().value(row).to_owned();
            for row in 0..batch.num_rows() {
                kept.push((
                    column("time").as_primitive::<TimestampNanosecondType>().value(row),
                    column("line").as_primitive::<Int64Type>().value(row),
                    text("reason", row),
                    text("error", row),
                    text("precision", row),
                    text("text", row),
                ));
            }
        }
    }
    kept
}

/// Waits until so many refused lines are in files.
fn wait_kept(node: &Node, lines: f64) {
    let give_up = std::time::Instant::now() + crate::node::PATIENCE;
    while node.metric("ringest_rejects_kept_total") < lines {
        assert!(std::time::Instant::now() < give_up, "{}", node.metrics());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn rejects_are_kept_and_capped() {
    let node = keeping(&["--rejects-size-limit", "1MiB", "--max-body-size", "8MB"]);
    let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64;
    let write = |db: &str, lines: &str| node.request("POST", &format!("/write?db={db}&precision=s"), lines.as_bytes());
    assert_eq!(write("d", "m f=1 1\n\nm,h=a f=t 2\r\nm s=\"a\nb\",f=t 3\n").status, 422);
    assert_eq!(write("d", "m f=1 1\nm f=\u{1F980}").status, 400);
    assert_eq!(write("e", "m").status, 400, "this bucket keeps nothing");
    wait_kept(&node, 3.0);
    let kept = kept_lines(node.data_dir());
    let conflict =
        "field type conflict: input field \"f\" on measurement \"m\" is type boolean, already exists as type float";
    let expected = [
        (3, "type_conflict", conflict, "m,h=a f=t 2"),
        (4, "type_conflict", conflict, "m s=\"a\nb\",f=t 3"),
        (2, "syntax", "invalid boolean", "m f=\u{1F980}"),
    ];
    for (kept, expected) in kept.iter().zip(expected) {
        let (time, line, reason, error, precision, text) = kept;
        assert_eq!((*line, &**reason, &**error, &**text), expected);
        assert!(*precision == "s" && (before..before + 60_000_000_000).contains(time), "{kept:?}");
    }
    assert_eq!(kept.len(), 3);
    assert_eq!(fs::read_dir(node.data_dir().join("rejects")).unwrap().count(), 1, "a folder for d only");

    // Beyond the limit the oldest files go.
    let first = reject_files(node.data_dir()).remove(0);
    let mut state = 1u64;
    let mut noise = || {
        let letter = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'a' + (state >> 33) as u8 % 26)
        };
        (0..40_000).map(letter).collect::<String>()
    };
    let mut lines = 3.0;
    while first.exists() {
        let body: String = (0..10).map(|number| format!("m f=t,s=\"{}\" {number}\n", noise())).collect();
        assert_eq!(write("d", &body).status, 422);
        lines += 10.0;
        wait_kept(&node, lines);
        let bytes: u64 = reject_files(node.data_dir()).iter().map(|path| path.metadata().unwrap().len()).sum();
        assert!(bytes <= 1 << 20, "{bytes} bytes");
        assert!(lines < 500.0, "nothing goes");
    }
    assert_eq!(node.metric("ringest_rejects_lost_total"), 0.0);
    // The next life goes on with these files, and an orderly end leaves nothing in memory.
    let dir = node.stop();
    let files = reject_files(dir.path()).len();
    let config = dir.path().join("ringest.toml");
    let node = Node::start_in(dir, &["--config", config.to_str().unwrap(), "--flush-interval", "1h"]);
    assert_eq!(node.write("d", "m f=1 1\nm f=t,s=\"the last\" 2").status, 422);
    let dir = node.stop();
    assert!(reject_files(dir.path()).len() > files);
    assert!(kept_lines(dir.path()).iter().any(|line| line.5.contains("the last")));
}

#[test]
fn a_long_list_of_rejects_is_kept_beyond_what_the_answer_lists() {
    let node = keeping(&[]);
    node.must_write("d", "m f=1 1");
    let answer = node.write("d", &"m f=t 1\n".repeat(12_000));
    assert_eq!((answer.status, listed(&answer).len()), (422, 100));
    wait_kept(&node, 10_000.0);
    let lines: Vec<i64> = kept_lines(node.data_dir()).iter().map(|line| line.1).collect();
    assert_eq!(lines, (1..=10_000).collect::<Vec<i64>>());
}

#[test]
fn rejects_that_cannot_be_kept_are_counted_and_cost_no_write() {
    let mut node = keeping(&[]);
    fs::write(node.data_dir().join("rejects"), "in the way").unwrap();
    node.must_write("d", "m f=1 1");
    for _ in 0..20 {
        assert_eq!(node.write("d", "m f=t 1\nm f=2 2").status, 422);
    }
    node.wait_for_log("cannot be kept under rejects/");
    let give_up = std::time::Instant::now() + crate::node::PATIENCE;
    while node.metric("ringest_rejects_lost_total") < 20.0 {
        assert!(std::time::Instant::now() < give_up, "{}", node.metrics());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(node.request("GET", "/health", b"").status, 200);
    assert_eq!(node.lake().merged("d", "m"), ["f=1.0 1", "f=2.0 2"]);
}
