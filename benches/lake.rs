//! Sealed tables to published Parquet: sort, encode, sync, commit, as the node does it, with one lake thread.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use ringest::budget::Budget;
use ringest::catalog::Catalog;
use ringest::lake::{self, Lake, Options, Part};
use ringest::line::{self, Kernel, Outcome, Padded, Precision};
use ringest::metrics::Metrics;
use ringest::table::{Rules, SealedTable, Tables, Unlogged};
use ringest::tools::workload::{Kind, Workload};

/// Points of one epoch.
const POINTS: usize = 200_000;

/// A lake in a folder of its own, and one shard's tables.
struct Node {
    _dir: tempfile::TempDir,
    catalog: Arc<Catalog>,
    tables: Tables,
    lake: Lake,
    epoch: u64,
}

impl Node {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        std::fs::create_dir(&state).unwrap();
        let budget = Budget::new(8 << 30);
        let catalog = Arc::new(Catalog::open(&state, 0).unwrap());
        let inspected = lake::inspect(dir.path()).unwrap();
        let options = Options::new(1, 1);
        let metrics = Metrics::new(&budget);
        let on_commit = Box::new(|_, _| {});
        let lake =
            Lake::start(inspected, options, Arc::clone(&catalog), metrics, Arc::clone(&budget), on_commit).unwrap();
        Self { _dir: dir, catalog, tables: Tables::new(&budget), lake, epoch: 0 }
    }

    fn sealed(&mut self, body: Padded<'_>) -> Vec<SealedTable> {
        let options = line::Options { kernel: Kernel::fastest(), precision: Precision::Nanosecond, default_time_ns: 0 };
        let rules = Rules { time_ns_min: None, retention: None };
        let mut writer = self.tables.writer("bench", &self.catalog, rules, body.len()).unwrap();
        assert!(matches!(line::parse(body, options, &mut writer), Outcome::Complete { .. }));
        writer.commit(&mut Unlogged(1)).unwrap();
        self.tables.seal(true)
    }

    /// Time from the hand-over to the commit.
    fn publish(&mut self, tables: Vec<SealedTable>) -> Duration {
        self.epoch += 1;
        let progress = self.lake.progress();
        let began = Instant::now();
        self.lake.submit(Part { shard: 0, epoch: self.epoch, tables });
        while progress.borrow().committed < self.epoch {
            assert_eq!(progress.borrow().failure, None);
            std::thread::sleep(Duration::from_micros(100));
        }
        began.elapsed()
    }
}

/// One point for each of `POINTS` series.
fn new_series() -> Vec<u8> {
    (0..POINTS)
        .flat_map(|host| {
            format!("cpu,host=host_{host},rack={} usage=1i 1767225600000000000\n", host % 100).into_bytes()
        })
        .collect()
}

/// Each line another one of 5 000 fields.
fn sparse_fields() -> Vec<u8> {
    (0..POINTS)
        .flat_map(|line| {
            format!("m,t={} f{}={line}i {}\n", line % 10, line % 5_000, 1_767_225_600_000_000_000 + line).into_bytes()
        })
        .collect()
}

fn workload(kind: Kind) -> Vec<u8> {
    let mut body = Vec::new();
    Workload::new(kind, 1_000, 1, 1_767_225_600_000_000_000, 10_000_000_000).write_lines(POINTS, &mut body);
    body
}

fn publish(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("publish");
    group.throughput(Throughput::Elements(POINTS as u64));
    for (name, mut body) in [
        ("cpu", workload(Kind::Cpu)),
        ("devops", workload(Kind::Devops)),
        ("iot", workload(Kind::Iot)),
        ("new series", new_series()),
        ("5 000 sparse fields", sparse_fields()),
    ] {
        let body = Padded::from_vec(&mut body);
        let mut node = Node::new();
        group.bench_function(name, |bench| {
            bench.iter_custom(|iterations| {
                (0..iterations)
                    .map(|_| {
                        let tables = node.sealed(body);
                        node.publish(tables)
                    })
                    .sum()
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3)).sample_size(10);
    targets = publish
}
criterion_main!(benches);
