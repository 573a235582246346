//! The cases as JSON, for programs that are not written in Rust: `tests/cases/line_cases.json`.
//!
//! One case per line. `body` is text, `latin1` bytes that are no UTF-8 (one character per byte), `pieces` text and how often it
//! stands there. A case with `requests` is several bodies to one bucket, with the status of each answer,
//! and `renamed` the columns of the lake that do not have their own name.

use std::fmt::Write;
use std::path::Path;

use ringest::line::grammar::Precision;
use ringest::line::naive;
use serde_json::{Map, Value, json};

use super::long::{PIECES, Pieces};
use super::{CASES, REASONS, STORED, Said};

/// Set to anything, the test writes the file instead of comparing it.
const WRITE: &str = "LINE_CASES_WRITE";

fn body(bytes: &[u8]) -> (&'static str, Value) {
    match std::str::from_utf8(bytes) {
        Ok(text) => ("body", text.into()),
        Err(_) => ("latin1", bytes.iter().map(|byte| char::from(*byte)).collect::<String>().into()),
    }
}

/// A case of one body.
fn case(name: &str, precision: Precision, body: (&'static str, Value), bytes: &[u8]) -> Value {
    let unit = match precision {
        Precision::Nanosecond => "ns",
        Precision::Microsecond => "us",
        Precision::Millisecond => "ms",
        Precision::Second => "s",
        Precision::Minute => "m",
        Precision::Hour => "h",
    };
    let parsed = naive::parse(bytes, precision);
    let errors: Vec<Value> = parsed.errors.iter().map(|error| json!([error.line, error.kind.to_string()])).collect();
    let mut case = Map::from_iter([("name".to_owned(), name.into()), ("precision".to_owned(), unit.into())]);
    case.insert(body.0.to_owned(), body.1);
    case.insert("points".to_owned(), parsed.points.len().into());
    case.insert("errors".to_owned(), errors.into());
    case.into()
}

fn pieces(pieces: Pieces) -> (&'static str, Value) {
    ("pieces", pieces.iter().map(|(text, times)| json!([text, times])).collect())
}

fn all() -> Vec<Value> {
    let ns = Precision::Nanosecond;
    let mut all: Vec<Value> =
        CASES.iter().map(|entry| case(entry.name, entry.precision, body(entry.body), entry.body)).collect();
    all.extend(REASONS.iter().map(|(name, bytes, _)| case(name, ns, body(bytes), bytes)));
    all.extend(PIECES.iter().map(|(name, parts, _)| {
        let bytes: String = parts.iter().map(|(text, times)| text.repeat(*times)).collect();
        case(name, ns, pieces(parts), bytes.as_bytes())
    }));
    all.extend(STORED.iter().map(|stored| {
        let requests = stored.requests.iter().map(|request| {
            let (kind, text) = body(request.body);
            let status = match request.said {
                Said::Taken => 204,
                Said::Partial(_) => 422,
                Said::Malformed(_) => 400,
            };
            json!({ kind: text, "status": status })
        });
        let renamed: Map<String, Value> =
            stored.renamed.iter().map(|(column, name)| ((*column).to_owned(), (*name).into())).collect();
        json!({ "name": stored.name, "requests": requests.collect::<Value>(), "renamed": renamed })
    }));
    all
}

#[test]
fn the_json_file_is_up_to_date() {
    let mut text = String::from("[\n");
    let all = all();
    for (number, case) in all.iter().enumerate() {
        let end = if number + 1 < all.len() { "," } else { "" };
        writeln!(text, "{case}{end}").unwrap();
    }
    text.push_str("]\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/line_cases.json");
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "{} is out of date: run this test with {WRITE}=1", path.display());
}
