//! A day of flushes through a lake, with a clock of the bench's: how many files there are and how large, how much is written and how much
//! processor time it takes, with compaction and without.
//!
//! `cargo bench --bench day -- --epochs 8640 --tables 50 --compaction auto --dir /tmp/day-auto` is a whole day with a flush each ten seconds; the
//! folder must not exist, and stays. `--compaction off` is the comparison, and `scripts/query-times` asks DuckDB about both.

#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ringest::budget::Budget;
use ringest::catalog::Catalog;
use ringest::lake::{self, Clock, Extent, Lake, Options, Part};
use ringest::line::{self, Kernel, Outcome, Padded, Precision};
use ringest::metrics::Metrics;
use ringest::table::{Rules, SealedTable, Tables, Unlogged};

/// 2026-01-01.
const DAY_MS: u64 = 1_767_225_600_000;
const FLUSH_MS: u64 = 10_000;
/// The day is over, and nothing came for a while.
const CLOSED_MS: u64 = 20 * 60_000;
/// Lines of the table that is printed.
const REPORTS: u64 = 12;

#[derive(Debug)]
struct Arguments {
    epochs: u64,
    tables: usize,
    series: usize,
    /// Epochs between two waits for compaction, which has less time here than in a day.
    step: u64,
    compacts: bool,
    dir: Option<PathBuf>,
}

impl Arguments {
    fn read() -> Self {
        // By default as much as shows that it runs.
        let mut arguments = Self { epochs: 24, tables: 3, series: 20, step: 60, compacts: true, dir: None };
        let mut words = std::env::args().skip(1).filter(|word| word != "--bench" && word != "--test");
        while let Some(word) = words.next() {
            let value = words.next().unwrap_or_else(|| panic!("{word} needs a value"));
            let number = || value.parse().unwrap_or_else(|_| panic!("{word} is to be a number, not {value}"));
            match &*word {
                "--epochs" => arguments.epochs = number(),
                "--tables" => arguments.tables = number() as usize,
                "--series" => arguments.series = number() as usize,
                "--step" => arguments.step = number().max(1),
                "--compaction" => arguments.compacts = value == "auto",
                "--dir" => arguments.dir = Some(value.into()),
                _ => panic!("{word} is none of --epochs, --tables, --series, --step, --compaction auto|off, --dir"),
            }
        }
        arguments
    }
}

struct Day {
    arguments: Arguments,
    dir: PathBuf,
    catalog: Arc<Catalog>,
    metrics: Arc<Metrics>,
    tables: Tables,
    lake: Lake,
    now_ms: Arc<AtomicU64>,
}

impl Day {
    fn new(arguments: Arguments, dir: &Path) -> Self {
        std::fs::create_dir_all(dir.join("state")).unwrap();
        let budget = Budget::new(2 << 30);
        let catalog = Arc::new(Catalog::open(&dir.join("state"), 0).unwrap());
        let metrics = Metrics::new(&budget);
        let now_ms = Arc::new(AtomicU64::new(DAY_MS));
        let now = Arc::clone(&now_ms);
        let clock = Clock::new(move || now.load(Ordering::SeqCst));
        let options = Options { compacts: arguments.compacts, clock, ..Options::new(1, 1) };
        let inspected = lake::inspect(dir).unwrap();
        let (kept_catalog, kept_metrics, tables) = (Arc::clone(&catalog), Arc::clone(&metrics), Tables::new(&budget));
        let lake = Lake::start(inspected, options, catalog, metrics, budget, Box::new(|_, _| {})).unwrap();
        Self { arguments, dir: dir.to_owned(), catalog: kept_catalog, metrics: kept_metrics, tables, lake, now_ms }
    }

    /// One row of each series of each table.
    fn sealed(&mut self, epoch: u64) -> Vec<SealedTable> {
        let mut body = String::new();
        let time = (DAY_MS + epoch * FLUSH_MS) * 1_000_000;
        for table in 0..self.arguments.tables {
            for series in 0..self.arguments.series {
                let wave = (epoch * 7 + series as u64 * 13) % 101;
                writeln!(
                    body,
                    "t{table},host=host_{series},region=r{},rack={} a={wave}i,b={}i,c={}i,d={}i,e={},f={} {time}",
                    series % 5,
                    series % 17,
                    wave / 2,
                    epoch,
                    (wave * wave) % 97,
                    wave as f64 / 8.0,
                    (epoch * 31 + series as u64) as f64 * 0.731,
                )
                .unwrap();
            }
        }
        let mut body = body.into_bytes();
        let body = Padded::from_vec(&mut body);
        let options = line::Options { kernel: Kernel::fastest(), precision: Precision::Nanosecond, default_time_ns: 0 };
        let rules = Rules { time_ns_min: None, retention: None };
        let mut writer = self.tables.writer("day", &self.catalog, rules, body.len()).unwrap();
        assert!(matches!(line::parse(body, options, &mut writer), Outcome::Complete { .. }));
        writer.commit(&mut Unlogged(1)).unwrap();
        self.tables.seal(true)
    }

    fn run(mut self) {
        let Arguments { epochs, step, .. } = self.arguments;
        println!("{:?}", self.arguments);
        println!("{:>6} {:>8} {:>12} {:>12} {:>10}", "hour", "files", "bytes", "largest", "seconds");
        let began = Instant::now();
        for epoch in 0..epochs {
            let now = DAY_MS + (epoch + 1) * FLUSH_MS;
            self.now_ms.store(now, Ordering::SeqCst);
            let tables = self.sealed(epoch);
            self.lake.submit(Part { shard: 0, epoch: now, tables });
            while self.lake.progress().borrow().committed < now {
                assert_eq!(self.lake.progress().borrow().failure, None);
                std::thread::sleep(Duration::from_micros(200));
            }
            if (epoch + 1) % step == 0 {
                self.settle();
            }
            if (epoch + 1) % (epochs / REPORTS).max(1) == 0 {
                self.report((epoch + 1) as f64 * FLUSH_MS as f64 / 3.6e6, began);
            }
        }
        self.now_ms.store(DAY_MS + 86_400_000 + CLOSED_MS, Ordering::SeqCst);
        self.settle();
        self.report(24.4, began);
        let metrics = &self.metrics;
        let (flushed, merged) = (metrics.file_bytes_written.get(), metrics.compaction_bytes_written.get());
        println!(
            "{} rows in {} files flushed, {flushed} bytes; {} merges of {} files into {}, {merged} bytes: written {:.2} times",
            metrics.rows_written.get(),
            metrics.files_written.get(),
            metrics.compactions.get(),
            metrics.compaction_files_read.get(),
            metrics.compaction_files_written.get(),
            (flushed + merged) as f64 / flushed as f64,
        );
        println!(
            "processor time: {:.1} s in all, {:.1} s of it compaction",
            cpu_seconds(""),
            cpu_seconds("lake-compact")
        );
        self.lake.finish(Instant::now() + Duration::from_secs(60)).unwrap();
    }

    /// Until compaction has done what is due by now.
    fn settle(&self) {
        if self.arguments.compacts {
            self.lake.compact(Extent::Due).blocking_recv().unwrap().unwrap();
        }
    }

    fn report(&self, hour: f64, began: Instant) {
        let sizes = sizes(&self.dir.join("lake"));
        let (bytes, largest) = (sizes.iter().sum::<u64>(), sizes.iter().max().copied().unwrap_or(0));
        let seconds = began.elapsed().as_secs_f64();
        println!("{hour:>6.2} {:>8} {bytes:>12} {largest:>12} {seconds:>10.1}", sizes.len());
    }
}

fn sizes(folder: &Path) -> Vec<u64> {
    let mut sizes = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => sizes.extend(self::sizes(&entry.path())),
            Ok(metadata) => sizes.push(metadata.len()),
            // Merged since.
            Err(_) => {}
        }
    }
    sizes
}

/// Processor time of the threads whose names begin so.
fn cpu_seconds(name: &str) -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let mut ticks = 0.0;
    for thread in std::fs::read_dir("/proc/self/task").unwrap() {
        let stat = std::fs::read_to_string(thread.unwrap().path().join("stat")).unwrap_or_default();
        let Some((head, rest)) = stat.rsplit_once(')') else { continue };
        if head.split_once('(').is_some_and(|(_, thread)| thread.starts_with(name)) {
            // User and system time are the 14th and 15th words, the name the second.
            ticks += rest.split_whitespace().skip(11).take(2).map(|word| word.parse::<f64>().unwrap()).sum::<f64>();
        }
    }
    ticks / TICKS_PER_SECOND
}

fn main() {
    let mut arguments = Arguments::read();
    match arguments.dir.take() {
        Some(dir) => {
            assert!(!dir.exists(), "{} exists already", dir.display());
            Day::new(arguments, &dir).run();
        }
        None => {
            let dir = tempfile::tempdir().unwrap();
            Day::new(arguments, dir.path()).run();
        }
    }
}
