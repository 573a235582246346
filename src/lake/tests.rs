//! Random parts against a naive model, read back value by value.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType, UInt64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::budget::{Budget, Consumer, Reservation};
use crate::catalog::{Bucket, Column, FieldType, Table};
use crate::table::{FieldColumn, Presence, Rows, Run, SealedTable, SeriesSet, Strings, TagPair, Values};

use super::encode::{Input, Origin, Written, write_file};
use super::manifest::NodeId;
use super::partition::{DayPart, split};

/// xorshift64*: the same numbers on every machine.
pub(super) struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) % bound
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Float(f64),
    Integer(i64),
    Unsigned(u64),
    Boolean(bool),
    String(String),
}

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub tags: BTreeMap<u32, String>,
    pub time: i64,
    pub fields: BTreeMap<u32, Value>,
}

pub(super) fn table(id: u32, tags: &[&str], fields: &[(&str, FieldType)]) -> Table {
    Table {
        id,
        bucket: Arc::new(Bucket { id: 1, name: "büro/eins".into(), retention: None }),
        name: "m .x".into(),
        tags: tags.iter().map(|name| Column { name: (*name).into(), parquet: (*name).into(), kind: () }).collect(),
        fields: fields
            .iter()
            .map(|(name, kind)| Column { name: (*name).into(), parquet: (*name).into(), kind: *kind })
            .collect(),
    }
}

/// Rows as a shard seals them: `requests` in ascending order, each with its rows.
pub(super) fn seal(table: &Table, requests: &[(u64, Vec<Row>)], sparse: bool) -> Rows {
    let mut rows = Rows::default();
    let mut known: BTreeMap<Vec<(u32, String)>, u32> = BTreeMap::new();
    let mut columns: Vec<(Vec<u32>, Vec<Value>)> = vec![Default::default(); table.fields.len()];
    rows.keys.values = vec![Strings::default(); table.tags.len()];
    let mut interned: BTreeMap<(u32, String), u32> = BTreeMap::new();
    for (request, points) in requests {
        rows.runs.push(Run { first_row: rows.time.len() as u32, request: *request });
        for point in points {
            let key: Vec<(u32, String)> = point.tags.clone().into_iter().collect();
            let keys = &mut rows.keys;
            let next = known.len() as u32;
            let series = *known.entry(key.clone()).or_insert_with(|| {
                for (tag, value) in key {
                    let values = &mut keys.values[tag as usize];
                    let index = *interned.entry((tag, value.clone())).or_insert_with(|| {
                        values.push(value.as_bytes());
                        values.len() as u32 - 1
                    });
                    keys.pairs.push(TagPair { tag, value: index });
                }
                keys.ends.push(keys.pairs.len() as u32);
                next
            });
            for (field, value) in &point.fields {
                columns[*field as usize].0.push(rows.time.len() as u32);
                columns[*field as usize].1.push(value.clone());
            }
            rows.time.push(point.time);
            rows.series.push(series);
        }
    }
    for ((present, values), field) in columns.into_iter().zip(&table.fields) {
        let prefix = present.iter().enumerate().all(|(index, row)| index == *row as usize);
        let presence = if prefix && !sparse { Presence::Dense } else { Presence::Sparse(present) };
        rows.fields.push(FieldColumn { values: typed(field.kind, values), presence });
    }
    rows
}

fn typed(kind: FieldType, values: Vec<Value>) -> Values {
    macro_rules! collect {
        ($variant:ident) => {
            Values::$variant(
                values
                    .into_iter()
                    .map(|value| if let Value::$variant(value) = value { value } else { panic!() })
                    .collect(),
            )
        };
    }
    match kind {
        FieldType::Float => collect!(Float),
        FieldType::Integer => collect!(Integer),
        FieldType::Unsigned => collect!(Unsigned),
        FieldType::Boolean => collect!(Boolean),
        FieldType::String => {
            let mut strings = Strings::default();
            for value in values {
                let Value::String(value) = value else { panic!() };
                strings.push(value.as_bytes());
            }
            Values::String(strings)
        }
    }
}

pub(super) fn sealed(table: &Arc<Table>, rows: Rows, budget: &Arc<Budget>) -> SealedTable {
    let mut memory = Reservation::new(budget, Consumer::SealedParts);
    memory.set(rows.time.len() * 8);
    SealedTable { table: Arc::clone(table), rows, memory }
}

/// A row's order in a file: tags by column (absent first), then time.
type Key = (Vec<Option<String>>, i64);
/// By key: values by field.
pub(super) type Model = BTreeMap<Key, BTreeMap<u32, Value>>;

/// What the file must hold: later rows over earlier ones, field by field.
pub(super) fn model(table: &Table, parts: &[Vec<(u64, Vec<Row>)>]) -> Model {
    let mut requests: Vec<&(u64, Vec<Row>)> = parts.iter().flatten().collect();
    requests.sort_by_key(|(request, _)| *request);
    let order = super::series::tag_order(table);
    let mut model = Model::new();
    for row in requests.into_iter().flat_map(|(_, rows)| rows) {
        let tags = order.iter().map(|tag| row.tags.get(&(*tag as u32)).cloned()).collect();
        model.entry((tags, row.time)).or_default().extend(row.fields.clone());
    }
    model
}

/// The rows of a file in its order.
pub(super) fn read(path: &Path, table: &Table) -> Vec<(Key, BTreeMap<u32, Value>)> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let mut rows = Vec::new();
    for batch in builder.with_batch_size(1000).build().unwrap() {
        let batch = batch.unwrap();
        let micros = batch.column(0).as_primitive::<TimestampMicrosecondType>();
        let rest = batch.column(1).as_primitive::<Int32Type>();
        let tags = table.tags.len();
        for row in 0..batch.num_rows() {
            let text = |column: usize| {
                let column = batch.column(column).as_string::<i32>();
                column.is_valid(row).then(|| column.value(row).to_owned())
            };
            // The first microsecond of i64 time is below i64::MIN nanoseconds.
            let time = i128::from(micros.value(row)) * 1000 + i128::from(rest.value(row));
            let key = ((2..2 + tags).map(text).collect(), time.try_into().unwrap());
            let mut values = BTreeMap::new();
            for (ordinal, field) in table.fields.iter().enumerate() {
                let column = batch.column(2 + tags + ordinal);
                assert_eq!(batch.schema().field(2 + tags + ordinal).name(), &*field.parquet);
                if column.is_null(row) {
                    continue;
                }
                let value = match field.kind {
                    FieldType::Float => Value::Float(column.as_primitive::<Float64Type>().value(row)),
                    FieldType::Integer => Value::Integer(column.as_primitive::<Int64Type>().value(row)),
                    FieldType::Unsigned => Value::Unsigned(column.as_primitive::<UInt64Type>().value(row)),
                    FieldType::Boolean => Value::Boolean(column.as_boolean().value(row)),
                    FieldType::String => Value::String(column.as_string::<i32>().value(row).to_owned()),
                };
                values.insert(ordinal as u32, value);
            }
            rows.push((key, values));
        }
    }
    rows
}

pub(super) fn write(path: &Path, table: &Table, parts: &[Arc<DayPart>]) -> Written {
    let budget = Budget::new(1 << 40);
    let origin = Origin { node: NodeId::of_test(7), epoch: 42 };
    let mut memory = Reservation::new(&budget, Consumer::Encoder);
    write_file(&Input { table, parts, origin, path }, &mut memory).unwrap()
}

const FIELDS: [(&str, FieldType); 7] = [
    ("float", FieldType::Float),
    ("integer", FieldType::Integer),
    ("unsigned", FieldType::Unsigned),
    ("flag", FieldType::Boolean),
    ("text", FieldType::String),
    ("rare", FieldType::Integer),
    ("never", FieldType::Float),
];

/// How a random table looks.
struct Mix {
    rows: u64,
    series: u64,
    times: u64,
    /// Of 100 fields so many are absent.
    absent: u64,
    /// Small numbers repeat (dictionaries), others do not.
    wide: bool,
}

fn random_row(random: &mut Random, mix: &Mix) -> Row {
    let series = random.below(mix.series);
    let mut tags = BTreeMap::new();
    if series % 3 != 0 {
        tags.insert(0, format!("host_{}", series / 2));
    }
    if series % 5 != 0 {
        tags.insert(1, format!("{}", series % 7));
    }
    if series % 2 != 0 {
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
fn rows_of_many_days_are_split() {
    // About 40 days, some before 1970.
    let mix = Mix { rows: 2_000, series: 40, times: 10_000_000_000_000, absent: 50, wide: true };
    check(200, &mix, 2, false);
    check(201, &mix, 1, true);
}
