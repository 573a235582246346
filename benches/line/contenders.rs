//! What is measured: each takes all bodies of a data set once.

use std::hint::black_box;

use influxdb_line_protocol::{FieldValue, parse_lines};

use ringest::budget::Budget;
use ringest::catalog::Catalog;
use ringest::line::{self, Kernel, Options, Outcome, Padded, Precision, count_delimiters};
use ringest::table::{Rules, Tables, Unlogged, Writer};

use super::data::Bodies;
use super::sinks::{Counting, Predicting};

/// Size of a shard's open tables at which they are sealed: a node's default, if it has two shards.
const SEAL_BYTES: usize = 128 << 20;

/// More than any data set becomes.
pub const BUDGET_BYTES: usize = 16 << 30;

/// Newlines, counted by memchr: what memory allows.
pub fn newlines(bodies: &Bodies) -> u64 {
    bodies.padded().map(|body| memchr::memchr_iter(b'\n', body.as_bytes()).count() as u64).sum()
}

/// The crate `influxdb-line-protocol`: parses only, and every part of every line is looked at. Returns its points.
pub fn crate_parse(bodies: &Bodies) -> u64 {
    let (mut points, mut sum) = (0, 0_u64);
    for body in bodies.padded() {
        // SAFETY: it was generated as text. The crate is spared the check that its input is UTF-8, which ringest makes in its own time.
        let text = unsafe { std::str::from_utf8_unchecked(body.as_bytes()) };
        for line in parse_lines(text) {
            let line = line.unwrap();
            sum = sum.wrapping_add(line.series.measurement.len() as u64);
            for (key, value) in line.series.tag_set.iter().flatten() {
                sum = sum.wrapping_add((key.len() + value.len()) as u64);
            }
            for (key, value) in &line.field_set {
                sum = sum.wrapping_add(key.len() as u64 + number_of(value));
            }
            sum = sum.wrapping_add(line.timestamp.unwrap_or_default() as u64);
            points += 1;
        }
    }
    black_box(sum);
    points
}

fn number_of(value: &FieldValue<'_>) -> u64 {
    match value {
        FieldValue::I64(value) => *value as u64,
        FieldValue::U64(value) => *value,
        FieldValue::F64(value) => value.to_bits() >> 32,
        FieldValue::String(value) => value.len() as u64,
        FieldValue::Boolean(value) => u64::from(*value),
    }
}

/// Every delimiter of the bodies, found without any prediction.
pub fn scan(bodies: &Bodies, kernel: Kernel) {
    black_box(bodies.padded().map(|body| count_delimiters(body, kernel)).sum::<u64>());
}

/// The parser with a sink that stores no values. Returns the points.
pub fn parse(bodies: &Bodies, kernel: Kernel) -> u64 {
    parse_into(&mut Predicting::new(), bodies, kernel)
}

/// The same with a sink that may know lines already.
pub fn parse_into(sink: &mut Predicting, bodies: &Bodies, kernel: Kernel) -> u64 {
    let points = bodies.padded().map(|body| points_of(line::parse(body, options(kernel), sink))).sum();
    black_box(sink.checksum);
    points
}

pub fn options(kernel: Kernel) -> Options {
    Options { kernel, precision: Precision::Nanosecond, default_time_ns: 0 }
}

fn points_of(outcome: Outcome) -> u64 {
    match outcome {
        Outcome::Complete { points } => points,
        refused => panic!("generated lines are refused: {refused:?}"),
    }
}

/// A shard of a node: a catalog and open tables.
pub struct Shard {
    _dir: tempfile::TempDir,
    catalog: Catalog,
    tables: Tables,
    requests: u64,
}

impl Shard {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(dir.path(), 0).unwrap();
        Self { _dir: dir, catalog, tables: Tables::new(&Budget::new(BUDGET_BYTES)), requests: 0 }
    }

    /// Bodies to committed columns: parsing, with the check that they are UTF-8, commit, and sealing now and then. Returns the points.
    pub fn columns(&mut self, bodies: &Bodies, kernel: Kernel) -> u64 {
        let points = bodies.padded().map(|body| self.write(body, kernel)).sum();
        self.seal();
        points
    }

    /// The same without the last seal, as between two seals of a node.
    pub fn columns_between_seals(&mut self, bodies: &Bodies, kernel: Kernel) -> u64 {
        bodies.padded().map(|body| self.write(body, kernel)).sum()
    }

    /// How many points came as foreseen.
    pub fn foreseen(&mut self, bodies: &Bodies, kernel: Kernel) -> u64 {
        let mut foreseen = 0;
        for body in bodies.padded() {
            let mut sink = Counting::new(self.writer(body));
            points_of(line::parse(body, options(kernel), &mut sink));
            let (writer, of_body) = sink.into_parts();
            foreseen += of_body;
            writer.commit(&mut Unlogged(0)).unwrap();
            self.seal_if_full();
        }
        foreseen
    }

    fn write(&mut self, body: Padded<'_>, kernel: Kernel) -> u64 {
        self.requests += 1;
        let request = self.requests;
        let mut writer = self.writer(body);
        points_of(line::parse(body, options(kernel), &mut writer));
        let points = writer.commit(&mut Unlogged(request)).unwrap().points;
        self.seal_if_full();
        points
    }

    fn writer(&mut self, body: Padded<'_>) -> Writer<'_> {
        let rules = Rules { time_ns_min: None, retention: None };
        self.tables.writer("bench", &self.catalog, rules, body.len()).unwrap()
    }

    fn seal_if_full(&mut self) {
        if self.tables.grown_bytes() >= SEAL_BYTES {
            self.seal();
        }
    }

    /// Sealed tables are dropped at once; in a node the lake does that, on another thread.
    fn seal(&mut self) {
        drop(self.tables.seal(true));
    }
}
