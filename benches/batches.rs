//! Line protocol to record batches, beside the same bodies to columns that nobody takes: the difference is what Arrow costs.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

use ringest::batch::{Options, Padded, Reader};
use ringest::line::complete_len;
use ringest::tools::workload::{Kind, Workload};

/// Lines of a body, and bodies between two takes.
const LINES: usize = 5_000;
const BODIES: usize = 50;

/// 2026-01-01, ten seconds between points, 1 000 hosts.
fn bodies(kind: Kind) -> Vec<Vec<u8>> {
    let mut workload = Workload::new(kind, 1_000, 1, 1_767_225_600_000_000_000, 10_000_000_000);
    let body = |_| {
        let mut body = Vec::new();
        workload.write_lines(LINES, &mut body);
        body
    };
    (0..BODIES).map(body).collect()
}

fn filled(bodies: &[Padded<'_>]) -> Reader {
    let mut reader = Options::new().reader();
    bodies.iter().for_each(|body| drop(reader.push_padded(*body).unwrap()));
    reader
}

fn record_batches(criterion: &mut Criterion) {
    for (name, kind) in [("cpu", Kind::Cpu), ("devops", Kind::Devops), ("iot", Kind::Iot)] {
        let mut bodies = bodies(kind);
        let text = bodies.concat();
        let padded: Vec<Padded<'_>> = bodies.iter_mut().map(Padded::from_vec).collect();
        let mut group = criterion.benchmark_group(format!("batches/{name}"));
        group.throughput(Throughput::Elements((LINES * BODIES) as u64));
        group.bench_function("bodies to columns", |bench| bench.iter(|| filled(&padded)));
        group.bench_function("columns to record batches", |bench| {
            bench.iter_batched(
                || filled(&padded),
                |mut reader| reader.take().map(|batch| batch.unwrap().records.num_rows()).sum::<usize>(),
                BatchSize::PerIteration,
            );
        });
        group.bench_function("bodies to record batches", |bench| {
            bench.iter(|| filled(&padded).take().map(|batch| batch.unwrap().records.num_rows()).sum::<usize>());
        });
        group.bench_function("stream to record batches", |bench| {
            bench.iter(|| {
                let mut reader = Options::new().reader();
                reader.read(&text[..]).map(|batch| batch.unwrap().records.num_rows()).sum::<usize>()
            });
        });
        group.bench_function("line ends of the stream", |bench| {
            bench.iter(|| text.chunks(1 << 20).map(|chunk| complete_len(black_box(chunk))).sum::<usize>());
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(std::time::Duration::from_millis(500)).measurement_time(std::time::Duration::from_secs(3)).sample_size(10);
    targets = record_batches
}
criterion_main!(benches);
