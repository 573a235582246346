//! Sealed tables to a Parquet file: the lake's own encoder beside the parquet crate's `ArrowWriter`, on the same rows.
//!
//! ```text
//! cargo bench --bench encode                   every data set
//! cargo bench --bench encode -- cpu doubles    some data sets
//!   --rows N      rows of a data set (1 000 000)
//!   --rounds N    rounds (5)
//!   --dir DIR     where files are written (a new folder in the system's folder for temporary files)
//!   --check       exit code 1 if an aim is missed
//!   --test        a few rows, once
//!   --counts      the stages whose instructions scripts/count-instructions counts
//!   --count NAME  one of them once
//! ```
//!
//! Ours is counted from the sealed tables to the finished file: rows are sorted, gathered from their columns, encoded and written;
//! nothing is synced. The stock writer gets as much as can be done beforehand: the rows of our own file, sorted and without
//! duplicates, as record batches of 64 Ki rows with dictionaries of the tags, in memory. So its time is that of the writer alone, which has
//! the same row groups (256 Ki rows), zstd level 1, chunk statistics, the sorting columns, and
//!
//! - stock: dictionaries for every column, as is its default;
//! - tuned: dictionaries for tags, strings and integers, BYTE_STREAM_SPLIT for doubles, DELTA_BINARY_PACKED for the time;
//! - sorted: as stock, but from batches in order of arrival, which Arrow's kernels sort (`lexsort_to_indices`, `take`) in the time that
//!   is counted. This is the whole of what ours does, but for duplicates. One round.
//!
//! "Indexed" are our files with `--page-index on`.
//!
//! Contenders take turns, round by round; shown is the best round, in processor time of this thread, pinned to one core. A column chunk is on the
//! fast path if its pages are those of a dictionary that was made without hashing each row: a tag's from runs of series, an integer's
//! by a table over its range. Doubles and strings have no such path, times and wide integers need none.
#![allow(clippy::unwrap_used)]

#[path = "line/clock.rs"]
mod clock;
#[path = "line/counted.rs"]
mod counted;
#[path = "encode/data.rs"]
mod data;
#[path = "encode/fast_path.rs"]
mod fast_path;
#[path = "encode/stock.rs"]
mod stock;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use ringest::budget::Budget;
use ringest::lake::{Destination, FileOptions, TableFile, write_table};
use ringest::table::SealedTable;

use clock::{cpu_time, pin};
use counted::{Count, counted};
use data::{DATA_SETS, DataSet};
use fast_path::Chunks;
use stock::{Style, Table};

/// As in the program, for every contender.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Arguments {
    sets: Vec<DataSet>,
    rows: usize,
    rounds: usize,
    dir: Option<PathBuf>,
    check: bool,
    test: bool,
    counts: bool,
    count: Option<Count>,
}

impl Arguments {
    fn read() -> Result<Self, String> {
        let mut read = Self {
            sets: Vec::new(),
            rows: 1_000_000,
            rounds: 5,
            dir: None,
            check: false,
            test: false,
            counts: false,
            count: None,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--rows" => read.rows = value()?.parse().map_err(|_| "--rows needs a number")?,
                "--rounds" => read.rounds = value()?.parse().map_err(|_| "--rounds needs a number")?,
                "--dir" => read.dir = Some(value()?.into()),
                "--check" => read.check = true,
                "--counts" => read.counts = true,
                "--count" => read.count = Some(Count::named(&value()?, counts())?),
                "--test" => (read.test, read.rows, read.rounds) = (true, 20_000, 1),
                "--bench" => {} // from cargo
                name => read.sets.push(DataSet::named(name).ok_or(format!("there is no data set {name}"))?),
            }
        }
        if read.sets.is_empty() {
            read.sets = DATA_SETS.to_vec();
        }
        Ok(read)
    }
}

/// What one contender took in its best round, and made.
#[derive(Clone, Copy)]
struct Outcome {
    cpu: Duration,
    rows: u64,
    bytes: u64,
}

impl Outcome {
    fn rows_per_second(&self) -> f64 {
        self.rows as f64 / self.cpu.as_secs_f64()
    }

    fn bytes_per_row(&self) -> f64 {
        self.bytes as f64 / self.rows as f64
    }

    fn better(self, other: Option<Self>) -> Self {
        other.filter(|other| other.cpu < self.cpu).unwrap_or(self)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rows, cpu) = (self.rows_per_second() / 1e6, self.cpu.as_secs_f64());
        write!(f, "{rows:6.2} M rows/s {cpu:7.3} s {:7.2} bytes/row", self.bytes_per_row())
    }
}

fn main() -> ExitCode {
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(wrong) => {
            eprintln!("{wrong}");
            return ExitCode::from(2);
        }
    };
    let temporary = tempfile::tempdir().unwrap();
    let dir = arguments.dir.clone().unwrap_or(temporary.path().to_owned());
    if arguments.counts {
        counts().for_each(|count| println!("{count}"));
        return ExitCode::SUCCESS;
    }
    if let Some(wanted) = arguments.count {
        count(wanted, dir);
        return ExitCode::SUCCESS;
    }
    pin();
    let mut missed = false;
    for set in &arguments.sets {
        let wrong = run(set, &arguments, &dir);
        if arguments.check && !arguments.test {
            wrong.iter().for_each(|wrong| println!("  MISSED: {wrong}"));
            missed |= !wrong.is_empty();
        }
    }
    ExitCode::from(u8::from(missed))
}

/// Compares on one data set and says which aims are missed.
fn run(set: &DataSet, arguments: &Arguments, dir: &Path) -> Vec<String> {
    println!("{} ({} rows)", set.name, arguments.rows);
    // Untimed: memory is warm, and the stock writer's batches come from these files.
    let (_, files) = ours(set, arguments.rows, false, dir);
    let paths: Vec<PathBuf> = files.iter().map(|file| file.path.clone()).collect();
    let chunks = Chunks::of(&paths);
    let tables: Vec<Table> = paths.iter().map(|path| Table::read(path)).collect();
    let (mut best, mut indexed, mut stock, mut tuned) = (None, None, None, None);
    for _ in 0..arguments.rounds {
        best = Some(ours(set, arguments.rows, false, dir).0.better(best));
        indexed = Some(ours(set, arguments.rows, true, dir).0.better(indexed));
        stock = Some(stock::write(&tables, Style::Stock, dir).better(stock));
        tuned = Some(stock::write(&tables, Style::Tuned, dir).better(tuned));
    }
    let (Some(ours), Some(indexed), Some(stock), Some(tuned)) = (best, indexed, stock, tuned) else {
        return Vec::new();
    };
    drop(tables);
    let sorted = stock::sort_and_write(set.bodies(arguments.rows), dir);
    println!("  ours    {ours}");
    for (name, other) in [("indexed", indexed), ("stock", stock), ("tuned", tuned), ("sorted", sorted)] {
        let (speed, size) =
            (ours.rows_per_second() / other.rows_per_second(), ours.bytes_per_row() / other.bytes_per_row());
        println!("  {name:7} {other}   ours: {speed:5.2} times the rows per CPU-second, {size:4.2} times the size");
    }
    println!("  {chunks}");
    set.aims.missed(&ours, &stock)
}

/// Seals the data set anew, which is not timed, and writes its files.
fn ours(set: &DataSet, rows: usize, page_index: bool, dir: &Path) -> (Outcome, Vec<TableFile>) {
    let root = dir.join(set.name);
    let _ = fs::remove_dir_all(&root);
    let tables: Vec<SealedTable> = set.sealed(rows);
    let to = destination(root, page_index);
    let mut files = Vec::new();
    let cpu = cpu_time(|| files = write(tables, &to));
    let (rows, bytes) = (files.iter().map(|file| file.rows).sum(), files.iter().map(|file| file.bytes).sum());
    (Outcome { cpu, rows, bytes }, files)
}

fn destination(root: PathBuf, page_index: bool) -> Destination {
    Destination { root, node: *b"bench\0\0\0", epoch: 1_767_225_600_000, files: FileOptions { page_index } }
}

fn write(tables: Vec<SealedTable>, to: &Destination) -> Vec<TableFile> {
    let budget = Budget::new(8 << 30);
    tables.into_iter().flat_map(|table| write_table(vec![table], to, &budget).unwrap()).collect()
}

/// Rows whose instructions are counted: several thousand for each table and column, in one row group.
const COUNTED_ROWS: usize = 60_000;

/// Open tables to Parquet, of every set.
fn counts() -> impl Iterator<Item = Count> {
    DATA_SETS.iter().map(|set| Count { stage: "parquet", input: set.name })
}

fn count(count: Count, dir: PathBuf) {
    let set = DataSet::named(count.input).unwrap();
    let (mut tables, to) = (set.open(COUNTED_ROWS), destination(dir, false));
    let files = counted(|| write(tables.seal(false), &to));
    // Those of a series at the same time are one.
    let rows = files.iter().map(|file| file.rows as usize).sum::<usize>();
    assert!((COUNTED_ROWS * 99 / 100..=COUNTED_ROWS).contains(&rows), "{rows} rows");
    count.report(COUNTED_ROWS, "row", files.iter().map(|file| file.bytes as usize).sum());
}
