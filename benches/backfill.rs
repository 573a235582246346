//! A year of old data over many tables in one epoch: a file for each day of each table, all of them made durable together.
//!
//! ```text
//! cargo bench --bench backfill
//!   --tables N    tables (50)
//!   --days N      days (365)
//!   --rows N      rows of a table and day (100)
//!   --threads N   lake threads (2)
//!   --rounds N    rounds (3)
//!   --test        little of everything, once
//! ```
//!
//! The time from the hand-over of the sealed tables to the commit, by what is seen on disk meanwhile: encoding ends when the first
//! folder of the lake appears; making folders and syncing all files ends when the manifest has the intent; what follows is renaming, syncing
//! the folders, and the commit. Each round has a data directory of its own beside the target folder: a real disk, where
//! the system's folder for temporary files may be memory.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use ringest::budget::Budget;
use ringest::catalog::Catalog;
use ringest::lake::{self, Lake, Options, Part};
use ringest::line::{self, Kernel, Outcome, Padded, Precision};
use ringest::metrics::Metrics;
use ringest::table::{Rules, SealedTable, Tables, Unlogged};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SERIES: usize = 10;
/// 2025-01-01.
const START_NS: usize = 1_735_689_600_000_000_000;
const DAY_NS: usize = 86_400_000_000_000;

struct Plan {
    tables: usize,
    days: usize,
    rows: usize,
    threads: usize,
    rounds: usize,
}

/// How long each phase took.
struct Phases {
    encode: Duration,
    sync: Duration,
    publish: Duration,
}

fn main() {
    let mut plan = Plan { tables: 50, days: 365, rows: 100, threads: 2, rounds: 3 };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|value| value.parse().ok()).expect("a number");
        match argument.as_str() {
            "--tables" => plan.tables = number(),
            "--days" => plan.days = number(),
            "--rows" => plan.rows = number(),
            "--threads" => plan.threads = number(),
            "--rounds" => plan.rounds = number(),
            "--test" => plan = Plan { tables: 3, days: 5, rows: 20, threads: 2, rounds: 1 },
            "--bench" => {} // from cargo
            other => panic!("there is no option {other}"),
        }
    }
    let (files, rows) = (plan.tables * plan.days, plan.tables * plan.days * plan.rows);
    println!("{files} files of {} rows, {rows} rows, {} lake threads", plan.rows, plan.threads);
    // What was deleted stands in the way of what is created next: ext4 passes over inodes that were freed a moment ago, one by one.
    let dirs: Vec<TempDir> =
        (0..plan.rounds).map(|_| tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap()).collect();
    for dir in &dirs {
        let Phases { encode, sync, publish } = round(&plan, dir.path());
        let all = encode + sync + publish;
        println!(
            "{:8.0} rows/s {:7.0} files/s {:6.2} s: encode {:.2} s, folders and sync of files {:.2} s, rename, sync and commit {:.2} s",
            rows as f64 / all.as_secs_f64(),
            files as f64 / all.as_secs_f64(),
            all.as_secs_f64(),
            encode.as_secs_f64(),
            sync.as_secs_f64(),
            publish.as_secs_f64(),
        );
    }
}

fn round(plan: &Plan, dir: &Path) -> Phases {
    let (budget, state) = (Budget::new(16 << 30), dir.join("state"));
    fs::create_dir(&state).unwrap();
    let catalog = Arc::new(Catalog::open(&state, 0).unwrap());
    let options = Options::new(plan.threads, 1);
    let inspected = lake::inspect(dir).unwrap();
    let (metrics, on_commit) = (Metrics::new(&budget), Box::new(|_, _| {}));
    let lake = Lake::start(inspected, options, Arc::clone(&catalog), metrics, Arc::clone(&budget), on_commit).unwrap();
    let tables = sealed(plan, &catalog, &budget);

    let (manifest, folder) = (state.join("manifest"), dir.join("lake/bench"));
    let len = || fs::metadata(&manifest).unwrap().len();
    let before = len();
    let progress = lake.progress();
    let began = Instant::now();
    let wait = |until: &dyn Fn() -> bool| {
        while !until() {
            assert_eq!(progress.borrow().failure, None);
            std::thread::sleep(Duration::from_millis(1));
        }
        began.elapsed()
    };
    lake.submit(Part { shard: 0, epoch: 1, tables });
    let encoded = wait(&|| folder.exists());
    let synced = wait(&|| len() > before);
    let committed = wait(&|| progress.borrow().committed == 1);
    lake.finish(Instant::now() + Duration::from_secs(60)).unwrap();
    Phases { encode: encoded, sync: synced - encoded, publish: committed - synced }
}

fn sealed(plan: &Plan, catalog: &Catalog, budget: &Arc<Budget>) -> Vec<SealedTable> {
    let mut tables = Tables::new(budget);
    let options = line::Options { kernel: Kernel::fastest(), precision: Precision::Nanosecond, default_time_ns: 0 };
    for (request, day) in (1..).zip(0..plan.days) {
        let mut body = Vec::new();
        for table in 0..plan.tables {
            for row in 0..plan.rows {
                let (host, step) = (row % SERIES, row / SERIES);
                let time = START_NS + day * DAY_NS + step * (DAY_NS / plan.rows.div_ceil(SERIES));
                let (user, idle) = ((day * 7 + row * 13) % 100, row * 37 % 1_000);
                writeln!(
                    body,
                    "m{table},host=host_{host},region=r{} user={user}i,idle={idle}.5,up=true {time}",
                    host % 3
                )
                .unwrap();
            }
        }
        let body = Padded::from_vec(&mut body);
        let mut writer =
            tables.writer("bench", catalog, Rules { time_ns_min: None, retention: None }, body.len()).unwrap();
        assert!(matches!(line::parse(body, options, &mut writer), Outcome::Complete { .. }));
        writer.commit(&mut Unlogged(request)).unwrap();
    }
    tables.seal(false)
}
