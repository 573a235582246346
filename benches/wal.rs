//! The log at its own interface, from queueing a record until it is durable, beside a bare loop of synced writes on the same disk.
//!
//! Writers are logical, as a shard's connections are: one thread keeps one record of each writer outstanding and queues the next as soon
//! as it is durable. The bare loop writes groups of the sizes that the log formed in the round before: one thread, a file of zeros,
//! O_DIRECT, RWF_DSYNC, from memory of as many bytes as the writers have outstanding (from one warm buffer large groups are a half faster,
//! because the disk then reads them from the processor's cache). Rounds alternate; medians over the rounds are shown,
//! those of the ratios too: each round of the log is compared with the bare one that follows it. A name ("64x4096") runs one case.
//! `--counts` names the stages whose instructions scripts/count-instructions counts, `--count NAME` performs one of them once: what a shard does to
//! queue records, without the log thread and the disk.
#![allow(clippy::unwrap_used)]

#[path = "line/counted.rs"]
mod counted;

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::IoSlice;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::io::ReadWriteFlags;

use ringest::budget::Budget;
use ringest::metrics::Metrics;
use ringest::wal::{Kind, Options, Record, Wal};

use counted::{Count, counted};

const BLOCK: usize = 4096;
const SEGMENT_BYTES: u64 = 64 << 20;
const SIZES: [usize; 4] = [100, 4 << 10, 64 << 10, 1 << 20];
const WRITERS: [usize; 4] = [1, 16, 64, 512];

/// How long and how often.
#[derive(Clone, Copy)]
struct Plan {
    round: Duration,
    rounds: usize,
}

/// What one round of one loop did.
#[derive(Clone, Copy, Default)]
struct Outcome {
    acks_per_second: f64,
    bytes_per_second: f64,
    p50: Duration,
    p99: Duration,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_test = arguments.iter().any(|argument| argument == "--test");
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let plan = if is_test {
        Plan { round: Duration::from_millis(2), rounds: 1 }
    } else {
        Plan { round: Duration::from_millis(100), rounds: 15 }
    };
    // Beside the target folder: a real disk, where the system's folder for temporary files may be memory.
    let dir = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    if arguments.iter().any(|argument| argument == "--counts") {
        return COUNTS.iter().for_each(|(count, _)| println!("{count}"));
    }
    if arguments.iter().any(|argument| argument == "--count") {
        let name = filter.expect("--count needs a value");
        let wanted = Count::named(name, COUNTS.map(|(count, _)| count)).unwrap_or_else(|wrong| panic!("{wrong}"));
        return count(wanted, &Log::start(dir.path(), false));
    }
    let log = Log::start(dir.path(), true);
    let mut bare = Bare::new(&dir.path().join("bare"));
    println!(
        "writers x bytes  |  acks/s  MB/s  group  p50 us  p99 us | bare acks/s  MB/s  p50 us |  of bare  p50 / bare"
    );
    for size in SIZES {
        for writers in WRITERS {
            let name = format!("{writers}x{size}");
            if filter.is_none_or(|filter| *filter == name) {
                compare(&name, &log, &mut bare, writers, size, plan);
            }
        }
    }
}

fn compare(name: &str, log: &Log, bare: &mut Bare, writers: usize, size: usize, plan: Plan) {
    // Until the segments are full-grown and all memory is warm.
    log.round(writers, size, plan.round);
    let (mut logs, mut bares, mut groups) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let (outcome, sizes) = log.round(writers, size, plan.round);
        logs.push(outcome);
        bares.push(bare.round(&sizes, writers, size, plan.round));
        groups.extend(sizes);
    }
    let group = groups.iter().sum::<usize>() as f64 / groups.len() as f64;
    let us = |outcome: &Outcome| outcome.p50.as_secs_f64() * 1e6;
    let of_bare = |figure: &dyn Fn(&Outcome) -> f64| {
        median(logs.iter().zip(&bares).map(|(log, bare)| figure(log) / figure(bare)).collect())
    };
    println!(
        "{name:>16} | {:7.0} {:5.0} {group:6.1} {:7.0} {:7.0} | {:11.0} {:5.0} {:7.0} | {:6.0} % {:11.2}",
        median(logs.iter().map(|log| log.acks_per_second).collect()),
        median(logs.iter().map(|log| log.bytes_per_second / 1e6).collect()),
        median(logs.iter().map(us).collect()),
        median(logs.iter().map(|log| log.p99.as_secs_f64() * 1e6).collect()),
        median(bares.iter().map(|bare| bare.acks_per_second).collect()),
        median(bares.iter().map(|bare| bare.bytes_per_second / 1e6).collect()),
        median(bares.iter().map(us).collect()),
        100.0 * of_bare(&|outcome| outcome.acks_per_second),
        of_bare(&us),
    );
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn outcome(mut times: Vec<Duration>, records: usize, size: usize, took: Duration) -> Outcome {
    times.sort();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default();
    let acks_per_second = records as f64 / took.as_secs_f64();
    Outcome { acks_per_second, bytes_per_second: acks_per_second * size as f64, p50: at(0.5), p99: at(0.99) }
}

/// The running log, and the thread that drives the writers.
struct Log {
    wal: Arc<Wal>,
    /// The durable position after each group.
    durable: Arc<Mutex<Vec<u64>>>,
}

impl Log {
    fn start(dir: &Path, sync: bool) -> Self {
        let budget = Budget::new(4 << 30);
        let metrics = Metrics::new(&budget);
        let (dir, note) = (dir.join("wal"), dir.join("note"));
        let options = Options {
            dir,
            note,
            owner: [0; 8],
            bytes_max: 1 << 30,
            segment_bytes: SEGMENT_BYTES,
            disk_reserve: 0,
            sync,
        };
        let durable = Arc::new(Mutex::new(Vec::new()));
        let started: Arc<OnceLock<Arc<Wal>>> = Arc::default();
        let (of_wal, positions, driver) = (Arc::clone(&started), Arc::clone(&durable), std::thread::current());
        let moved = Box::new(move || {
            if let Some(wal) = of_wal.get() {
                positions.lock().unwrap().push(wal.durable());
                driver.unpark();
            }
        });
        let wal = Arc::new(Wal::start(options, &budget, &metrics, moved).unwrap());
        drop(started.set(Arc::clone(&wal)));
        // Everything may go soon after its segment is full, as if the lake had committed it.
        let freed = Arc::downgrade(&wal);
        std::thread::spawn(move || {
            while let Some(wal) = freed.upgrade() {
                wal.free(1, 0);
                drop(wal);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self { wal, durable }
    }

    /// What `writers` achieve, and the records of each group.
    fn round(&self, writers: usize, size: usize, time: Duration) -> (Outcome, Vec<usize>) {
        let payload = vec![b'x'; size];
        let first = self.wal.durable();
        self.durable.lock().unwrap().clear();
        let mut idle = writers;
        let mut outstanding: VecDeque<(u64, Instant)> = VecDeque::new();
        let mut times = Vec::new();
        let started = Instant::now();
        loop {
            let is_over = started.elapsed() >= time;
            if is_over && outstanding.is_empty() {
                break;
            }
            while idle > 0 && !is_over {
                let queued = Instant::now();
                let Ok(mut space) = self.wal.reserve(size, 1) else { break };
                let record = Record { kind: Kind::Request, epoch: 1, births: 0, parts: &[&payload] };
                outstanding.push_back((space.append(record), queued));
                idle -= 1;
            }
            let durable = self.wal.durable();
            if outstanding.front().is_none_or(|(position, _)| *position > durable) {
                // Woken by the log, or to ask for room again.
                std::thread::park_timeout(Duration::from_millis(1));
                continue;
            }
            let now = Instant::now();
            while let Some((_, queued)) = outstanding.pop_front_if(|(position, _)| *position <= durable) {
                times.push(now - queued);
                idle += 1;
            }
        }
        let took = started.elapsed();
        let positions = std::mem::take(&mut *self.durable.lock().unwrap());
        let before = std::iter::once(first).chain(positions.iter().copied());
        let groups: Vec<usize> =
            positions.iter().zip(before).map(|(after, before)| (after - before) as usize).collect();
        let records = groups.iter().sum();
        (outcome(times, records, size, took), groups)
    }
}

/// Records whose instructions are counted, and their size: a line alone, and batches.
const COUNTS: [(Count, usize); 3] = [
    (Count { stage: "log", input: "100-bytes" }, 100),
    (Count { stage: "log", input: "4-KiB" }, 4 << 10),
    (Count { stage: "log", input: "64-KiB" }, 64 << 10),
];
/// Bytes of the payloads of all records that are counted: less than the segment that is written to has left when it is half full.
const COUNTED_BYTES: usize = 8 << 20;
const COUNTED_RECORDS_MAX: usize = 10_000;

/// Queues records as shards do. Room and memory for all of them are found before.
fn count(count: Count, log: &Log) {
    let (_, size) = COUNTS.into_iter().find(|(other, _)| *other == count).unwrap();
    let records = (COUNTED_BYTES / size).min(COUNTED_RECORDS_MAX);
    let payload = vec![b'x'; size];
    for _ in 0..2 {
        log.find_room(records, size);
        log.append(records, &payload);
    }
    log.find_room(records, size);
    counted(|| log.append(records, &payload));
    count.report(records, "record", records * size);
}

impl Log {
    /// Waits until so many records have room. Nobody else takes any, and what was granted once is granted again.
    fn find_room(&self, records: usize, size: usize) {
        let give_up = Instant::now() + Duration::from_secs(60);
        while let Err(reason) = self.wal.reserve(records * size, records).map(drop) {
            assert!(Instant::now() < give_up, "the log has no room for {records} records of {size} bytes: {reason:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn append(&self, records: usize, payload: &[u8]) {
        for _ in 0..records {
            let mut space = self.wal.reserve(payload.len(), 1).unwrap();
            space.append(Record { kind: Kind::Request, epoch: 1, births: 0, parts: &[payload] });
        }
    }
}

/// The disk without a log.
struct Bare {
    file: File,
    memory: Vec<u8>,
    /// Where its aligned bytes begin.
    aligned: usize,
    /// Where the next group lies in them.
    at: usize,
    /// And in the file.
    offset: u64,
}

impl Bare {
    /// More than a processor's cache.
    const MEMORY_BYTES: usize = 96 << 20;

    fn new(path: &Path) -> Self {
        let flags = OFlags::DIRECT.bits() as i32;
        let file = OpenOptions::new().write(true).create_new(true).custom_flags(flags).open(path).unwrap();
        let memory = vec![1; Self::MEMORY_BYTES + BLOCK];
        let aligned = memory.as_ptr().align_offset(BLOCK);
        let bare = Self { file, memory, aligned, at: 0, offset: 0 };
        for offset in (0..SEGMENT_BYTES).step_by(1 << 20) {
            bare.file.write_all_at(&bare.memory[aligned..aligned + (1 << 20)], offset).unwrap();
        }
        bare.file.sync_all().unwrap();
        bare
    }

    /// Writes groups of so many records each, again and again.
    fn round(&mut self, groups: &[usize], writers: usize, size: usize, time: Duration) -> Outcome {
        let mut times = Vec::new();
        let mut records = 0;
        let started = Instant::now();
        for group in groups.iter().cycle() {
            if started.elapsed() >= time {
                break;
            }
            let bytes = (64 + group * (16 + size)).next_multiple_of(BLOCK);
            if self.at + bytes > (writers * size).min(Self::MEMORY_BYTES) {
                self.at = 0;
            }
            if self.offset + bytes as u64 > SEGMENT_BYTES {
                self.offset = 0;
            }
            let start = self.aligned + self.at;
            let piece = IoSlice::new(&self.memory[start..start + bytes]);
            let before = Instant::now();
            let written = rustix::io::pwritev2(&self.file, &[piece], self.offset, ReadWriteFlags::DSYNC).unwrap();
            assert_eq!(written, bytes);
            times.push(before.elapsed());
            self.at += bytes;
            self.offset += bytes as u64;
            records += group;
        }
        outcome(times, records, size, started.elapsed())
    }
}
