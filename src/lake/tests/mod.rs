//! What the tests of the lake share: rows as shards seal them, a naive model of a file, and reading a file back.
#![allow(clippy::unwrap_used)]

mod checkpoint;
mod compaction;
mod damage;
mod exchange;
mod expiry;
mod feed;
mod files;
mod home;
mod manifest;
mod pages;
mod publication;
mod replay;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType, UInt64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::budget::{Budget, Consumer, Reservation};
use crate::catalog::{Bucket, Column, FieldType, Table};
use crate::table::{FieldColumn, Presence, Rows, Run, SealedTable, Strings, TagPair, Values};

use super::FileOptions;
use super::encode::{Input, Origin, Written, write_file};
use super::manifest::NodeId;
use super::partition::DayPart;

/// xorshift64*: the same numbers on every machine.
struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) % bound
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Float(f64),
    Integer(i64),
    Unsigned(u64),
    Boolean(bool),
    String(String),
}

#[derive(Clone, Debug)]
struct Row {
    pub tags: BTreeMap<u32, String>,
    pub time: i64,
    pub fields: BTreeMap<u32, Value>,
}

fn table(id: u32, tags: &[&str], fields: &[(&str, FieldType)]) -> Table {
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
fn seal(table: &Table, requests: &[(u64, Vec<Row>)], sparse: bool) -> Rows {
    let mut rows = Rows::default();
    let mut known: BTreeMap<Vec<(u32, String)>, u32> = BTreeMap::new();
    let mut columns: Vec<(Vec<u32>, Vec<Value>)> = vec![Default::default(); table.fields.len()];
    rows.keys.values = vec![Arc::default(); table.tags.len()];
    let mut interned: BTreeMap<(u32, String), u32> = BTreeMap::new();
    for (request, points) in requests {
        rows.runs.push(Run { first_row: rows.time.len() as u32, request: *request });
        for point in points {
            let key: Vec<(u32, String)> = point.tags.clone().into_iter().collect();
            let keys = &mut rows.keys;
            let next = known.len() as u32;
            let series = *known.entry(key.clone()).or_insert_with(|| {
                let mut tags = Vec::new();
                for (tag, value) in key {
                    let values: &mut Strings = Arc::make_mut(&mut keys.values[tag as usize]);
                    let index = *interned.entry((tag, value.clone())).or_insert_with(|| {
                        values.push(value.as_bytes());
                        values.len() as u32 - 1
                    });
                    tags.push(TagPair { tag, value: index });
                }
                Arc::make_mut(&mut keys.tags).push(&tags);
                next
            });
            for (field, value) in &point.fields {
                columns[*field as usize].0.push(rows.time.len() as u32);
                columns[*field as usize].1.push(value.clone());
            }
            rows.time.push(point.time);
            rows.series.push(i64::from(series));
        }
    }
    for ((present, values), field) in columns.into_iter().zip(table.fields.iter()) {
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
        FieldType::Unsigned => {
            let bits = |value| if let Value::Unsigned(value) = value { value as i64 } else { panic!() };
            Values::Unsigned(values.into_iter().map(bits).collect())
        }
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

fn sealed(table: &Arc<Table>, rows: Rows, budget: &Arc<Budget>) -> SealedTable {
    let mut memory = Reservation::new(budget, Consumer::SealedParts);
    memory.set(rows.time.len() * 8);
    SealedTable { table: Arc::clone(table), rows, memory }
}

/// A row's order in a file: tags by column (absent first), then time.
type Key = (Vec<Option<String>>, i64);
/// By key: values by field.
type Model = BTreeMap<Key, BTreeMap<u32, Value>>;

/// What the file must hold: later rows over earlier ones, field by field.
fn model(table: &Table, parts: &[Vec<(u64, Vec<Row>)>]) -> Model {
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
fn read(path: &Path, table: &Table) -> Vec<(Key, BTreeMap<u32, Value>)> {
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

fn write(path: &Path, table: &Table, parts: &[Arc<DayPart>]) -> Written {
    write_with(FileOptions::default(), path, table, parts)
}

fn write_with(files: FileOptions, path: &Path, table: &Table, parts: &[Arc<DayPart>]) -> Written {
    let budget = Budget::new(1 << 40);
    let origin = Origin { node: NodeId::of_test(7), epoch: 42, first_epoch: 42 };
    let mut memory = Reservation::new(&budget, Consumer::Encoder);
    write_file(&Input { table, parts, origin, path, sync: true, files }, &mut memory).unwrap()
}
