//! Line protocol to committed columns, beside a newline count (what memory allows) and the crate `influxdb-line-protocol` (which only parses).
#![allow(clippy::unwrap_used)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use ringest::budget::Budget;
use ringest::catalog::Catalog;
use ringest::decode::is_utf8;
use ringest::line::{self, Kernel, Options, Outcome, Padded, Precision};
use ringest::table::{Rules, Tables, Unlogged};
use ringest::tools::workload::{Kind, Workload};

/// 2026-01-01, ten seconds between points, 100 hosts.
fn body(kind: Kind, lines: usize) -> Vec<u8> {
    let mut body = Vec::new();
    Workload::new(kind, 100, 1, 1_767_225_600_000_000_000, 10_000_000_000).write_lines(lines, &mut body);
    body
}

/// One request of 5 000 lines after another into one shard's tables, sealed every 50 requests.
struct Shard {
    catalog: Catalog,
    tables: Tables,
    requests: u64,
}

impl Shard {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let budget = Budget::new(8 << 30);
        Self { catalog: Catalog::open(dir.path(), 0).unwrap(), tables: Tables::new(&budget), requests: 0 }
    }

    fn write(&mut self, body: Padded<'_>, kernel: Kernel) -> u64 {
        self.requests += 1;
        if self.requests.is_multiple_of(50) {
            drop(self.tables.seal());
        }
        let options =
            Options { kernel, precision: Precision::Nanosecond, default_time_ns: 0, utf8: is_utf8(body.as_bytes()) };
        let rules = Rules { time_ns_min: None, retention: None };
        let mut writer = self.tables.writer("bench", &self.catalog, rules, body.len()).unwrap();
        assert!(matches!(line::parse(body, options, &mut writer), Outcome::Complete { .. }));
        writer.commit(&mut Unlogged(self.requests)).unwrap().points
    }
}

fn line_protocol(criterion: &mut Criterion) {
    for (name, kind) in [("cpu", Kind::Cpu), ("devops", Kind::Devops), ("iot", Kind::Iot)] {
        let text = String::from_utf8(body(kind, 5_000)).unwrap();
        let mut padded = text.clone().into_bytes();
        let padded = Padded::from_vec(&mut padded);
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function("newlines (memchr)", |bench| {
            bench.iter(|| memchr::memchr_iter(b'\n', text.as_bytes()).count());
        });
        for kernel in Kernel::available() {
            let mut shard = Shard::new();
            group.bench_function(BenchmarkId::new("columns", kernel.name()), |bench| {
                bench.iter(|| shard.write(padded, kernel));
            });
        }
        group.bench_function("influxdb-line-protocol (parse only)", |bench| {
            bench.iter(|| influxdb_line_protocol::parse_lines(&text).filter(Result::is_ok).count());
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(std::time::Duration::from_millis(500)).measurement_time(std::time::Duration::from_secs(2)).sample_size(20);
    targets = line_protocol
}
criterion_main!(benches);
