//! Bodies as requests to two shards with one catalog: tables, births and rejects are those of a simple model.

use std::collections::{BTreeMap, BTreeSet};

use ringest::budget::Budget;
use ringest::catalog::Catalog;
use ringest::line::grammar::STRING_BYTES_MAX;
use ringest::line::naive::{self, Value};
use ringest::line::{Kernel, Outcome, Precision};
use ringest::table::{Committed, LISTED_MAX, Presence, Rejects, Rows, Rules, SealedTable, Tables, Unlogged, Values};

use super::line::parse;

/// What a point without a timestamp gets in these tests.
const NOW_NS: i64 = 1_234_567_890_123_456_789;

type Tags = BTreeMap<String, String>;
type Fields = BTreeMap<String, String>;
type Row = (Tags, i64, Fields);

/// What should be in the tables, kept in the simplest way.
#[derive(Default)]
struct Model {
    types: BTreeMap<(String, String), &'static str>,
    tags: BTreeSet<(String, String)>,
    /// By shard and measurement, with the number of the request.
    rows: BTreeMap<(usize, String), Vec<(u64, Row)>>,
}

/// Each body is a request of its own, on alternating shards. Points before `time_ns_min` are too old.
///
/// # Panics
/// Tables, catalog or answers differ from the model's.
pub fn table(bodies: &[Vec<u8>], time_ns_min: Option<i64>) {
    let dir = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(dir.path(), 0).unwrap();
    let budget = Budget::new(1 << 30);
    let mut shards = [Tables::new(&budget), Tables::new(&budget)];
    let mut model = Model::default();
    let kernels = Kernel::available();
    for (number, body) in bodies.iter().enumerate() {
        let (shard, request, kernel) = (number % 2, number as u64 + 1, kernels[number % kernels.len()]);
        let rules = Rules { time_ns_min, retention: None };
        let got = write(&mut shards[shard], &catalog, rules, request, body, kernel);
        let want = model.write(shard, request, body, time_ns_min);
        assert_eq!(got.as_ref().map(summary), want, "request {request}: {:?}", String::from_utf8_lossy(body));
        // Now and then, so that later requests meet the series that were kept.
        if request % SEAL_EVERY == 0 {
            check_sealed(&mut shards[shard], shard, true, &mut model, bodies);
        }
    }
    for (number, shard) in shards.iter_mut().enumerate() {
        check_sealed(shard, number, false, &mut model, bodies);
        assert_eq!(shard.bytes(), 0);
    }
    assert_eq!(model.rows, BTreeMap::new(), "rows that no table holds");
    check_catalog(&model, &catalog);
    drop(shards);
    assert_eq!(budget.total(), 0, "memory that nobody holds");
}

/// Requests between seals; odd, as requests alternate between shards.
const SEAL_EVERY: u64 = 5;

/// Seals a shard: its rows are the model's, which forgets them.
fn check_sealed(tables: &mut Tables, shard: usize, keeps: bool, model: &mut Model, bodies: &[Vec<u8>]) {
    for sealed in tables.seal(keeps) {
        let key = (shard, sealed.table.name.to_string());
        let want = model.rows.remove(&key).unwrap_or_default();
        assert_eq!(rows_of(&sealed), want, "rows of {key:?} from {bodies:?}");
    }
    assert!(tables.is_empty());
    assert_eq!(tables.grown_bytes(), 0);
    let left: Vec<_> = model.rows.keys().filter(|(of, _)| *of == shard).collect();
    assert_eq!(left, Vec::<&(usize, String)>::new(), "rows that no table holds");
}

/// `None` for a body with a bad line.
fn write(
    tables: &mut Tables,
    catalog: &Catalog,
    rules: Rules,
    request: u64,
    body: &[u8],
    kernel: Kernel,
) -> Option<Committed> {
    for _ in 0..3 {
        let mut writer = tables.writer("db", catalog, rules, body.len()).expect("the budget is large");
        match parse(body, Precision::Nanosecond, kernel, &mut writer) {
            Outcome::Bad { .. } => return None,
            Outcome::Stopped => panic!("the budget is large"),
            Outcome::Complete { .. } => {}
        }
        if let Ok(committed) = writer.commit(&mut Unlogged(request)) {
            return Some(committed);
        }
    }
    panic!("a request alone conflicts at most once for each of the two shards");
}

/// Points, dropped, dropped for age, whether a schema reject and a `time` field are named, and which points are listed.
type Summary = (u64, u64, u64, bool, bool, Vec<u64>);

fn summary(committed: &Committed) -> Summary {
    let rejects = &committed.rejects;
    let Rejects { dropped, expired, schema, time_field, listed, .. } = rejects;
    let old = expired.as_ref().map_or(0, |expired| expired.points);
    assert_eq!(listed.len() as u64, rejects.lines().min(LISTED_MAX as u64));
    let ordinals = listed.iter().map(|listed| listed.ordinal).collect();
    (committed.points, *dropped, old, schema.is_some(), time_field.is_some(), ordinals)
}

impl Model {
    fn write(&mut self, shard: usize, request: u64, body: &[u8], time_ns_min: Option<i64>) -> Option<Summary> {
        let parsed = naive::parse(body, Precision::Nanosecond);
        if !parsed.errors.is_empty() {
            return None;
        }
        let mut summary: Summary = Default::default();
        for (ordinal, point) in (0..).zip(parsed.points) {
            let time = point.time.unwrap_or(NOW_NS);
            if time_ns_min.is_some_and(|min| time < min) {
                summary.1 += 1;
                summary.2 += 1;
                summary.5.push(ordinal);
                continue;
            }
            let Some(fields) = self.fields(&point) else {
                summary.1 += 1;
                summary.3 = true;
                summary.5.push(ordinal);
                continue;
            };
            summary.0 += 1;
            if point.fields.iter().any(|(name, _)| name == "time") {
                summary.4 = true;
                summary.5.push(ordinal);
            }
            let table = &point.measurement;
            self.tags.extend(point.tags.iter().map(|(key, _)| (table.clone(), key.clone())));
            let row = (point.tags.into_iter().collect(), time, fields);
            self.rows.entry((shard, table.clone())).or_default().push((request, row));
        }
        summary.5.truncate(LISTED_MAX);
        Some(summary)
    }

    /// The fields that are stored, or `None` if the point is dropped; a stored point's fields are born.
    fn fields(&mut self, point: &naive::Point) -> Option<Fields> {
        let mut types = self.types.clone();
        let mut fields = Fields::new();
        for (name, value) in point.fields.iter().filter(|(name, _)| name != "time") {
            let (kind, text) = describe(value)?;
            let known = types.entry((point.measurement.clone(), name.clone())).or_insert(kind);
            if *known != kind {
                return None;
            }
            fields.insert(name.clone(), text);
        }
        if fields.is_empty() {
            return None;
        }
        self.types = types;
        Some(fields)
    }
}

/// Type and value, exact; `None` for a string that is too long.
fn describe(value: &Value) -> Option<(&'static str, String)> {
    Some(match value {
        Value::Float(value) => ("float", format!("{:016x}", value.to_bits())),
        Value::Integer(value) => ("integer", value.to_string()),
        Value::Unsigned(value) => ("unsigned", value.to_string()),
        Value::Boolean(value) => ("boolean", value.to_string()),
        Value::String(value) if value.len() > STRING_BYTES_MAX => return None,
        Value::String(value) => ("string", format!("{value:?}")),
    })
}

/// The rows of a sealed table in order, with their request.
fn rows_of(sealed: &SealedTable) -> Vec<(u64, Row)> {
    let Rows { time, series, runs, fields, keys } = &sealed.rows;
    assert_eq!(time.len(), series.len());
    let mut rows: Vec<Row> = time
        .iter()
        .zip(series.iter())
        .map(|(time, series)| {
            let tags = keys.tags_of(series as usize);
            assert!(tags.is_sorted_by(|one, next| one.tag < next.tag), "{tags:?}");
            let tags = tags.iter().map(|pair| {
                let value = keys.values[pair.tag as usize].get(pair.value as usize);
                (sealed.table.tags[pair.tag as usize].name.to_string(), String::from_utf8(value.to_vec()).unwrap())
            });
            (tags.collect(), time, Fields::new())
        })
        .collect();
    for (ordinal, column) in fields.iter().enumerate() {
        let name = &sealed.table.fields[ordinal].name;
        let texts = texts_of(&column.values);
        let positions: Vec<usize> = match &column.presence {
            Presence::Dense => (0..texts.len()).collect(),
            Presence::Sparse(rows) => rows.iter().map(|row| *row as usize).collect(),
        };
        assert_eq!(positions.len(), texts.len());
        for (row, text) in positions.into_iter().zip(texts) {
            rows[row].2.insert(name.to_string(), text);
        }
    }
    let request_of = |row: usize| runs.iter().rev().find(|run| run.first_row as usize <= row).unwrap().request;
    rows.into_iter().enumerate().map(|(row, values)| (request_of(row), values)).collect()
}

fn texts_of(values: &Values) -> Vec<String> {
    let text = |value| describe(&value).expect("only short strings are stored").1;
    match values {
        Values::Float(values) => values.iter().map(|value| text(Value::Float(value))).collect(),
        Values::Integer(values) => values.iter().map(|value| text(Value::Integer(value))).collect(),
        Values::Unsigned(values) => values.iter().map(|value| text(Value::Unsigned(value as u64))).collect(),
        Values::Boolean(values) => values.iter().map(|value| text(Value::Boolean(value))).collect(),
        Values::String(values) => (0..values.len())
            .map(|index| text(Value::String(String::from_utf8(values.get(index).to_vec()).unwrap())))
            .collect(),
    }
}

fn check_catalog(model: &Model, catalog: &Catalog) {
    let measurements: BTreeSet<&String> = model.types.keys().map(|(measurement, _)| measurement).collect();
    for measurement in &measurements {
        let table = catalog.find("db", measurement).expect("a stored point has borne its table");
        let types: BTreeMap<(String, String), &str> = table
            .fields
            .iter()
            .map(|field| ((table.name.to_string(), field.name.to_string()), field.kind.name()))
            .collect();
        let want = model.types.iter().filter(|((of, _), _)| of == *measurement);
        assert_eq!(types, want.map(|(key, kind)| (key.clone(), *kind)).collect());
        let tags: BTreeSet<_> = table.tags.iter().map(|tag| (table.name.to_string(), tag.name.to_string())).collect();
        let want = model.tags.iter().filter(|(of, _)| of == *measurement).cloned();
        assert_eq!(tags, want.collect());
    }
}
