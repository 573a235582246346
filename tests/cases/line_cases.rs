//! Line protocol by example: every statement of docs/LINE-PROTOCOL.md by its number, and what a parser must make of it.
//!
//! The tables are the contract of every parser of this crate, on every path: [`CASES`] says what a body holds, [`long_bodies`] the same
//! of bodies too long to write down, [`REASONS`] how a bad line is named, and [`STORED`] what is in the lake after several requests.

#![allow(clippy::unwrap_used)]

mod bytes;
mod json;
mod keys;
mod lines;
mod long;
mod names;
mod reasons;
mod stored;
mod times;
mod values;

use std::collections::BTreeSet;
use std::fmt::Write;

use ringest::line::grammar::{ErrorKind, Precision};
use ringest::line::naive::{self, Parsed, Point, Value};

pub use long::long_bodies;
pub use reasons::{CITED, REASONS};
pub use stored::{STORED, Said};

/// One body and what it holds.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Begins with the number of the statement.
    pub name: &'static str,
    /// The unit of its timestamps.
    pub precision: Precision,
    pub body: &'static [u8],
    pub want: Want,
}

#[derive(Clone, Copy, Debug)]
pub enum Want {
    /// These points, as [`render`] writes them, and no error.
    Points(&'static [&'static str]),
    /// These errors (line, kind), and no point.
    Errors(&'static [(u64, ErrorKind)]),
    /// Good and bad lines in one body.
    Both(&'static [&'static str], &'static [(u64, ErrorKind)]),
}

const fn ok(name: &'static str, body: &'static [u8], points: &'static [&'static str]) -> Case {
    Case { name, precision: Precision::Nanosecond, body, want: Want::Points(points) }
}

const fn bad(name: &'static str, body: &'static [u8], errors: &'static [(u64, ErrorKind)]) -> Case {
    Case { name, precision: Precision::Nanosecond, body, want: Want::Errors(errors) }
}

const fn both(
    name: &'static str,
    body: &'static [u8],
    points: &'static [&'static str],
    errors: &'static [(u64, ErrorKind)],
) -> Case {
    Case { name, precision: Precision::Nanosecond, body, want: Want::Both(points, errors) }
}

impl Case {
    const fn in_units_of(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }
}

const SECTIONS: [&[Case]; 6] = [lines::CASES, names::CASES, keys::CASES, values::CASES, times::CASES, bytes::CASES];

/// All cases, in the order of the statements.
pub const CASES: &[Case] = &concatenated::<{ count() }>();

const fn count() -> usize {
    let (mut section, mut cases) = (0, 0);
    while section < SECTIONS.len() {
        cases += SECTIONS[section].len();
        section += 1;
    }
    cases
}

const fn concatenated<const N: usize>() -> [Case; N] {
    let mut all = [SECTIONS[0][0]; N];
    let (mut section, mut next) = (0, 0);
    while section < SECTIONS.len() {
        let mut index = 0;
        while index < SECTIONS[section].len() {
            all[next] = SECTIONS[section][index];
            (index, next) = (index + 1, next + 1);
        }
        section += 1;
    }
    all
}

/// Compares what a parser made of `case` with what it should have made of it.
pub fn check(case: &Case, parsed: &Parsed) {
    let (points, errors) = match case.want {
        Want::Points(points) => (points, &[][..]),
        Want::Errors(errors) => (&[][..], errors),
        Want::Both(points, errors) => (points, errors),
    };
    let body = String::from_utf8_lossy(case.body);
    let got_points: Vec<String> = parsed.points.iter().map(render).collect();
    let got_errors: Vec<(u64, ErrorKind)> = parsed.errors.iter().map(|error| (error.line, error.kind)).collect();
    assert_eq!(got_points, points, "points of {:?}: {body:?}", case.name);
    assert_eq!(got_errors, errors, "errors of {:?}: {body:?}", case.name);
}

/// A point as one line: `[line|]measurement[tag=value,...] field=value,... [@time]`.
///
/// The line is left out when it is 1; names that hold more than plain ASCII are written as Rust strings. Floats have a point or an
/// exponent, integers end in `i`, unsigned ones in `u`, strings stand in quotes.
pub fn render(point: &Point) -> String {
    let mut text = String::new();
    if point.line != 1 {
        write!(text, "{}|", point.line).unwrap();
    }
    text += &name(&point.measurement);
    if !point.tags.is_empty() {
        let tags: Vec<String> =
            point.tags.iter().map(|(key, value)| format!("{}={}", name(key), name(value))).collect();
        write!(text, "[{}]", tags.join(",")).unwrap();
    }
    for (index, (key, value)) in point.fields.iter().enumerate() {
        let separator = if index == 0 { ' ' } else { ',' };
        write!(text, "{separator}{}={}", name(key), render_value(value)).unwrap();
    }
    if let Some(time) = point.time {
        write!(text, " @{time}").unwrap();
    }
    text
}

fn name(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./#:%;+'*".contains(&byte);
    if !name.is_empty() && name.bytes().all(is_plain) { name.to_owned() } else { format!("{name:?}") }
}

fn render_value(value: &Value) -> String {
    match value {
        Value::Float(float) => format!("{float:?}"),
        Value::Integer(integer) => format!("{integer}i"),
        Value::Unsigned(unsigned) => format!("{unsigned}u"),
        Value::Boolean(boolean) => format!("{boolean}"),
        Value::String(string) => format!("{string:?}"),
    }
}

#[test]
fn the_reference_parser_makes_of_every_case_what_it_should() {
    for case in CASES {
        check(case, &naive::parse(case.body, case.precision));
    }
    for (name, body, error) in long_bodies() {
        let parsed = naive::parse(&body, Precision::Nanosecond);
        let errors: Vec<ErrorKind> = parsed.errors.iter().map(|error| error.kind).collect();
        assert_eq!(errors, error.into_iter().collect::<Vec<_>>(), "{name}");
        assert_eq!(parsed.points.is_empty(), error.is_some(), "{name}");
    }
    for (body, lines) in CITED {
        let parsed = naive::parse(body, Precision::Nanosecond);
        let cited: Vec<&[u8]> = parsed.errors.iter().map(|error| &body[error.start..error.end]).collect();
        assert_eq!(&cited, lines, "{:?}", String::from_utf8_lossy(body));
    }
    for (name, body, reason) in REASONS {
        let errors = naive::parse(body, Precision::Nanosecond).errors;
        let reasons: Vec<String> = errors.iter().map(|error| error.kind.to_string()).collect();
        assert_eq!(reasons, [*reason], "{name}");
    }
}

/// Where a case stands among others does not matter: lines before it only move its line numbers.
#[test]
fn cases_hold_behind_other_lines() {
    for case in CASES {
        let alone = naive::parse(case.body, case.precision);
        let moved = naive::parse(&[b"# c\n\n \r\n", case.body].concat(), case.precision);
        let lines = |parsed: &Parsed, by: u64| -> Vec<u64> {
            let points = parsed.points.iter().map(|point| point.line + by);
            points.chain(parsed.errors.iter().map(|error| error.line + by)).collect()
        };
        assert_eq!(lines(&moved, 0), lines(&alone, 3), "{}", case.name);
    }
}

fn names() -> Vec<&'static str> {
    let cases = CASES.iter().map(|case| case.name).chain(REASONS.iter().map(|(name, ..)| *name));
    cases.chain(long_bodies().iter().map(|(name, ..)| *name)).chain(STORED.iter().map(|case| case.name)).collect()
}

#[test]
fn no_two_cases_have_one_name() {
    let mut names = names();
    names.sort_unstable();
    names.windows(2).for_each(|pair| assert_ne!(pair[0], pair[1]));
}

/// A statement without a case is a promise nobody keeps; a case without a statement is a habit nobody knows of.
#[test]
fn every_statement_of_the_documentation_has_a_case() {
    let page = include_str!("../../docs/LINE-PROTOCOL.md");
    let statement = |line: &'static str| {
        let number = line.strip_prefix("- **")?.split_once("**")?.0;
        Some(number)
    };
    let statements: BTreeSet<&str> = page.lines().filter_map(statement).collect();
    let named: BTreeSet<&str> = names().iter().map(|name| name.split(' ').next().unwrap()).collect();
    assert!(statements.len() > 60, "{statements:?}");
    assert_eq!(named, statements);
}
