//! Every case of line protocol through a real node: what is answered, and what stands in Parquet, to the bit.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use ringest::catalog::Catalog;
use ringest::line::grammar::{ERRORS_MAX, Precision};
use ringest::line::naive::Value;
use ringest::line::{Kernel, LineError};

use crate::lake_reader::{self, Lake, LakeFile};
use crate::line_cases::{CASES, REASONS, STORED, Said, long_bodies};
use crate::node::{Answer, Client, Node};
use crate::stored_model::{Bucket, Verdict, lines};

/// Most bytes of a bad line that an answer repeats.
const ECHO_BYTES_MAX: usize = 512;

/// One body, posted to a bucket of its own.
struct Posted {
    name: &'static str,
    bucket: String,
    precision: Precision,
    body: Vec<u8>,
    /// Wall clock before and after.
    window: (i64, i64),
}

/// All cases of one body.
fn bodies() -> Vec<Posted> {
    let ns = Precision::Nanosecond;
    let cases = CASES.iter().map(|case| (case.name, case.precision, case.body.to_vec()));
    let reasons = REASONS.iter().map(|(name, body, _)| (*name, ns, body.to_vec()));
    let long = long_bodies().into_iter().map(|(name, body, _)| (name, ns, body));
    let posted = |(number, (name, precision, body))| {
        let bucket = format!("case-{number}");
        Posted { name, bucket, precision, body, window: (0, 0) }
    };
    cases.chain(reasons).chain(long).enumerate().map(posted).collect()
}

fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64
}

impl Posted {
    fn post(&mut self, client: &mut Client) {
        let unit = match self.precision {
            Precision::Nanosecond => "ns",
            Precision::Microsecond => "us",
            Precision::Millisecond => "ms",
            Precision::Second => "s",
            Precision::Minute => "m",
            Precision::Hour => "h",
        };
        let before = now_ns();
        client.request("POST", &format!("/write?db={}&precision={unit}", self.bucket), &self.body);
        let answer = client.answer();
        self.window = (before, now_ns());
        let verdict = Bucket::default().write(&self.body, self.precision, before);
        check_answer(self.name, &self.body, &verdict, &answer);
    }

    /// The only time that points without one may have, if there are such points.
    fn received_ns(&self, found: &[LakeFile]) -> i64 {
        let unit = self.precision;
        let times: BTreeSet<i64> = found.iter().flat_map(|file| &file.rows).map(|row| row.time_ns).collect();
        let window = unit.truncate(self.window.0)..=self.window.1;
        let received: Vec<i64> = times.into_iter().filter(|time| window.contains(time)).collect();
        assert!(received.len() <= 1, "{}: times {received:?} in one request", self.name);
        received.first().copied().unwrap_or(0)
    }

    fn check_stored(&self, found: &[LakeFile]) {
        let mut bucket = Bucket::default();
        bucket.write(&self.body, self.precision, self.received_ns(found));
        let (found, want) = (rows(found), bucket.lines());
        assert!(found == want, "{}: stored {found:.300?}, not {want:.300?}", self.name);
    }
}

fn check_answer(name: &str, body: &[u8], verdict: &Verdict, answer: &Answer) {
    match verdict {
        Verdict::Taken => assert_eq!((answer.status, &*answer.body), (204, &b""[..]), "{name}: {answer:?}"),
        Verdict::Partial(reason) => {
            assert_eq!(answer.status, 422, "{name}: {answer:?}");
            let message = format!("failure writing points to database: partial write: {reason}");
            assert_eq!(answer.json()["message"], message, "{name}");
        }
        Verdict::Malformed(errors) => {
            assert_eq!(answer.status, 400, "{name}: {answer:?}");
            assert_eq!(answer.json()["code"], "invalid", "{name}");
            assert_eq!(answer.json()["line"], errors[0].line, "{name}");
            assert_eq!(answer.json()["message"], listing(body, errors), "{name}");
        }
    }
}

/// The bad lines as an answer names them.
fn listing(body: &[u8], errors: &[LineError]) -> String {
    let entry = |error: &LineError| {
        let line = String::from_utf8_lossy(&body[error.start..error.end]);
        let kept = (0..=ECHO_BYTES_MAX.min(line.len())).rev().find(|end| line.is_char_boundary(*end)).unwrap();
        let cut = if line.len() > ECHO_BYTES_MAX {
            format!("... ({} bytes)", error.end - error.start)
        } else {
            String::new()
        };
        format!("unable to parse '{}{cut}': {} (line {})", &line[..kept], error.kind, error.line)
    };
    let mut entries: Vec<String> = errors.iter().take(ERRORS_MAX).map(entry).collect();
    if errors.len() > ERRORS_MAX {
        entries.push(format!("more than {ERRORS_MAX} lines are bad; the others are not listed"));
    }
    entries.join("\n")
}

/// The files of a lake by bucket.
fn by_bucket(lake: Lake) -> BTreeMap<String, Vec<LakeFile>> {
    let mut buckets: BTreeMap<String, Vec<LakeFile>> = BTreeMap::new();
    for file in lake.files {
        buckets.entry(file.bucket.clone()).or_default().push(file);
    }
    // The later epoch wins.
    buckets.values_mut().for_each(|files| files.sort_by_key(|file| file.epoch));
    buckets
}

/// The rows of a bucket's files, merged, with names as written.
fn rows(files: &[LakeFile]) -> Vec<String> {
    let mut merged = BTreeMap::new();
    for file in files {
        let name = |column: &String| file.names.get(column).unwrap_or(column).clone();
        for row in &file.rows {
            let mut tags: Vec<_> = row.tags.iter().map(|(key, value)| (name(key), value.clone())).collect();
            tags.sort();
            let fields: BTreeMap<String, Value> =
                row.fields.iter().map(|(key, value)| (name(key), plain(value))).collect();
            assert_eq!((tags.len(), fields.len()), (row.tags.len(), row.fields.len()), "two columns of one name");
            let identity = (file.measurement.clone(), tags, row.time_ns);
            merged.entry(identity).or_insert_with(BTreeMap::new).extend(fields);
        }
    }
    lines(&merged)
}

fn plain(value: &lake_reader::Value) -> Value {
    match value {
        lake_reader::Value::Float(value) => Value::Float(*value),
        lake_reader::Value::Integer(value) => Value::Integer(*value),
        lake_reader::Value::Unsigned(value) => Value::Unsigned(*value),
        lake_reader::Value::Boolean(value) => Value::Boolean(*value),
        lake_reader::Value::String(value) => Value::String(value.clone()),
    }
}

/// Nothing is in the lake but the rows of `posted`, and no bucket in the catalog but theirs. Ends the node.
fn check_all(node: Node, posted: &[Posted]) {
    let mut found = by_bucket(node.lake());
    let dir = node.stop();
    let catalog = Catalog::open(&dir.path().join("state"), 0).unwrap();
    for posted in posted {
        let files = found.remove(&posted.bucket).unwrap_or_default();
        assert_eq!(catalog.bucket(&posted.bucket).is_some(), !files.is_empty(), "{}: its bucket", posted.name);
        posted.check_stored(&files);
    }
    assert!(found.is_empty(), "buckets that nobody wrote: {:?}", found.keys());
}

fn post_all(node: &Node) -> Vec<Posted> {
    let mut posted = bodies();
    let mut client = node.connect();
    posted.iter_mut().for_each(|posted| posted.post(&mut client));
    posted
}

/// Options of nodes: the kernel that a node chooses itself, and each one forced.
fn paths() -> impl Iterator<Item = Vec<&'static str>> {
    let forced = Kernel::available().into_iter().map(|kernel| vec!["--simd", kernel.name()]);
    std::iter::once(Vec::new()).chain(forced)
}

#[test]
fn every_case_on_every_path() {
    for options in paths() {
        let node = Node::start(&options);
        let posted = post_all(&node);
        check_all(node, &posted);
    }
}

#[test]
fn every_case_out_of_the_log_of_a_killed_node() {
    let node = Node::start(&["--flush-interval", "1h"]);
    let posted = post_all(&node);
    check_all(Node::start_in(node.kill(), &[]), &posted);
}

/// All cases of several requests, first all first requests, and so on; flushed in between or not.
fn check_stored(flushes: bool, options: &[&str]) {
    let node = Node::start(options);
    let mut client = node.connect();
    let requests = STORED.iter().map(|case| case.requests.len()).max().unwrap();
    for number in 0..requests {
        for (index, case) in STORED.iter().enumerate() {
            let Some(request) = case.requests.get(number) else { continue };
            client.request("POST", &format!("/write?db=stored-{index}"), request.body);
            let answer = client.answer();
            let (status, part) = match request.said {
                Said::Taken => (204, String::new()),
                Said::Partial(reason) => (422, format!("partial write: {reason}")),
                Said::Malformed(line) => (400, format!("(line {line})")),
            };
            assert_eq!(answer.status, status, "{}: {answer:?}", case.name);
            let message = if status == 204 { String::new() } else { answer.json()["message"].to_string() };
            assert!(message.replace("\\\"", "\"").contains(&part), "{}: {answer:?}", case.name);
        }
        if flushes {
            node.flush();
        }
    }
    let found = by_bucket(node.lake());
    for (index, case) in STORED.iter().enumerate() {
        let files = found.get(&format!("stored-{index}")).map_or(&[][..], Vec::as_slice);
        let mut want = case.rows.to_vec();
        want.sort_unstable();
        assert_eq!(rows(files), want, "{}", case.name);
        let renamed: BTreeSet<(&str, &str)> = files
            .iter()
            .flat_map(|file| file.names.iter().map(|(column, name)| (column.as_str(), name.as_str())))
            .collect();
        assert_eq!(renamed, case.renamed.iter().copied().collect(), "{}", case.name);
    }
}

#[test]
fn what_several_requests_store_in_one_epoch() {
    for options in paths() {
        check_stored(false, &options);
    }
}

#[test]
fn what_several_requests_store_in_several_epochs() {
    check_stored(true, &[]);
}

/// Bad lines behind everything that makes counting hard, up to and beyond as many as an answer lists.
#[test]
fn all_bad_lines_are_listed() {
    let node = Node::start(&[]);
    let before: &[&[u8]] = &[
        b"",
        b"\n",
        b"\r\n \t\n",
        b"# c\r\n",
        b"# =\"\n",
        b"m f=1\n",
        b"m f=\"1\n2\n3\" 5\r\n",
        b"m f=\"\\\"\n\",g=\"\n\n\"\n# c\n\n",
        b"m\\\nn f=1\n",
    ];
    let bad: &[&[u8]] = &[b"bad\n", b"\tm f=\"\n\"x\r\n", b"m f=\xff\n", b" ,\r\n", b"m f=1 \"\n\"\n"];
    for count in [1, 2, 7, 99, 100, 101, 250] {
        for (index, before) in before.iter().enumerate() {
            let mut body = before.to_vec();
            for number in 0..count {
                body.extend_from_slice(bad[(number + index) % bad.len()]);
                // Now and then something good in between.
                if number % 3 == index % 3 {
                    body.extend_from_slice(before);
                }
            }
            body.extend_from_slice(b"m f=1");
            let verdict = Bucket::default().write(&body, Precision::Nanosecond, 0);
            let Verdict::Malformed(errors) = &verdict else { panic!("{count} lines are bad") };
            assert_eq!(errors.len(), count);
            let answer = node.request("POST", "/write?db=d", &body);
            check_answer(&format!("{count} bad lines behind {}", before.escape_ascii()), &body, &verdict, &answer);
        }
    }
    assert!(node.lake().files.is_empty());
}
