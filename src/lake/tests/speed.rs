//! Speed and memory, by hand: `cargo test --release --lib lake::tests::speed -- --ignored --nocapture --test-threads 1`.

use std::time::Instant;

use crate::lake::gather::Gather;
use crate::lake::partition::split;
use crate::lake::sort::Sorted;
use crate::table::SeriesSet;

use super::*;

const ROWS: usize = 1_000_000;

/// TSBS cpu-only: 4 000 hosts in turn, ten tags, ten integers that walk between 0 and 100.
fn tsbs(rows: usize, hosts: usize) -> (Table, Rows) {
    let tags = ["hostname", "region", "datacenter", "rack", "os", "arch", "team", "service", "version", "env"];
    let names: Vec<String> = (0..10).map(|field| format!("usage_{field}")).collect();
    let fields: Vec<(&str, FieldType)> = names.iter().map(|name| (name.as_str(), FieldType::Integer)).collect();
    let table = table(0, &tags, &fields);
    let mut random = Random(1);
    let mut keys = SeriesSet { values: vec![Strings::default(); tags.len()], ..SeriesSet::default() };
    let distinct = [hosts as u64, 9, 30, 100, 3, 2, 4, 20, 2, 3];
    for (tag, values) in keys.values.iter_mut().enumerate() {
        (0..distinct[tag]).for_each(|value| values.push(format!("{}_{value}", tags[tag]).as_bytes()));
    }
    for host in 0..hosts {
        for (tag, distinct) in (0..).zip(distinct) {
            let value = if tag == 0 { host as u32 } else { random.below(distinct) as u32 };
            keys.pairs.push(TagPair { tag, value });
        }
        keys.ends.push(keys.pairs.len() as u32);
    }
    let mut walks = vec![50i64; hosts * 10];
    let mut columns: Vec<Vec<i64>> = (0..10).map(|_| Vec::with_capacity(rows)).collect();
    for row in 0..rows {
        for (field, column) in columns.iter_mut().enumerate() {
            let walk = &mut walks[row % hosts * 10 + field];
            *walk = (*walk + random.below(5) as i64 - 2).clamp(0, 100);
            column.push(*walk);
        }
    }
    let rows = Rows {
        time: (0..rows).map(|row| 1_700_006_400_000_000_000 + (row / hosts) as i64 * 10_000_000_000).collect(),
        series: (0..rows).map(|row| (row % hosts) as u32).collect(),
        runs: (0..rows / 5_000).map(|run| Run { first_row: run as u32 * 5_000, request: run as u64 }).collect(),
        fields: columns
            .into_iter()
            .map(|values| FieldColumn { values: Values::Integer(values), presence: Presence::Dense })
            .collect(),
        keys,
    };
    (table, rows)
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn measure(what: &str, table: &Table, rows: Rows) {
    let folder = tempfile::tempdir_in(std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "/tmp".into())).unwrap();
    let path = folder.path().join("f.parquet");
    let began = Instant::now();
    let parts: Vec<Arc<DayPart>> = split(rows).into_iter().map(|(_, part)| Arc::new(part)).collect();
    let split = began.elapsed();
    assert_eq!(parts.len(), 1);
    for _ in 0..3 {
        let began = Instant::now();
        let sorted = Sorted::new(&parts, table);
        let sorting = began.elapsed();
        let gather = Gather::new(&parts, &sorted);
        let began = Instant::now();
        let mut out: Vec<i64> = Vec::new();
        for (ordinal, column) in &parts[0].fields {
            let Values::Integer(values) = &column.values else { continue };
            let plan = gather.plan(*ordinal);
            for start in (0..sorted.rows()).step_by(256 * 1024) {
                let rows = start..sorted.rows().min(start + 256 * 1024);
                gather.column(&plan, rows, |_, index| values[index], &mut out);
            }
        }
        let gathering = began.elapsed();
        drop(gather);
        drop(sorted);
        let began = Instant::now();
        let written = write(&path, table, &parts);
        println!(
            "{what}: split {split:.0?}, sort {sorting:.0?}, gather integers {gathering:.0?}, whole file {:.0?} for {} rows, {} bytes; peak {} MiB",
            began.elapsed(),
            written.rows,
            written.bytes,
            peak_mib()
        );
    }
}

#[test]
#[ignore = "measures"]
fn tsbs_cpu() {
    let (table, rows) = tsbs(ROWS, 4_000);
    measure("tsbs cpu", &table, rows);
}

#[test]
#[ignore = "measures"]
fn every_series_new() {
    let (table, rows) = tsbs(ROWS, ROWS);
    measure("every series new", &table, rows);
}

#[test]
#[ignore = "measures"]
fn five_thousand_sparse_fields() {
    let names: Vec<String> = (0..5_000).map(|field| format!("f{field}")).collect();
    let fields: Vec<(&str, FieldType)> = names.iter().map(|name| (name.as_str(), FieldType::Float)).collect();
    let (_, rows) = tsbs(ROWS, 4_000);
    let mut table = table(0, &["hostname"], &fields);
    let template = tsbs(1, 1).0;
    table.tags = template.tags;
    let mut columns: Vec<(Vec<u32>, Vec<f64>)> = vec![Default::default(); 5_000];
    for row in 0..ROWS {
        let column = &mut columns[row * 7919 % 5_000];
        column.0.push(row as u32);
        column.1.push(row as f64 / 3.0);
    }
    let fields = columns
        .into_iter()
        .map(|(rows, values)| FieldColumn { values: Values::Float(values), presence: Presence::Sparse(rows) })
        .collect();
    measure("5 000 sparse fields", &table, Rows { fields, ..rows });
}

#[test]
#[ignore = "measures"]
fn random_doubles_with_gaps() {
    let (mut table, mut rows) = tsbs(ROWS, 4_000);
    let mut random = Random(3);
    for (field, column) in table.fields.iter_mut().zip(&mut rows.fields) {
        field.kind = FieldType::Float;
        let present: Vec<u32> = (0..ROWS as u32).filter(|_| random.below(5) > 0).collect();
        let values = present.iter().map(|_| random.below(1 << 50) as f64 / 1e9).collect();
        *column = FieldColumn { values: Values::Float(values), presence: Presence::Sparse(present) };
    }
    measure("ten doubles, one in five absent", &table, rows);
}
