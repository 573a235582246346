//! Line protocol files into a data directory, without a server: the node's parser, tables and lake on all cores.
//!
//! The output is a data directory as a node makes it. A node that is started on it afterwards goes on from there, and so does another
//! conversion. While a conversion runs, no node can.
//!
//! ```
//! use ringest::tools::convert::{Input, OnError, Options, Precision, convert};
//!
//! # let dir = tempfile::tempdir()?;
//! # let output = dir.path().join("data");
//! let lines: &[u8] = b"cpu,host=a usage=12.5,cores=8i 1767225600\ncpu,host=b usage=7 1767225600\nno line protocol\n";
//! let input = Input::Reader { name: "lines".to_owned(), read: Box::new(lines) };
//! let options = Options::new().output(&output).bucket("mydb").precision(Precision::Second).on_error(OnError::Skip);
//! let report = convert(vec![input], &options)?;
//! assert_eq!((report.lines, report.points, report.refused, report.files), (3, 2, 1, 1));
//! assert_eq!(report.first_refused[0].place.to_string(), "lines:3");
//! assert!(output.join("lake/mydb/cpu/day=2026-01-01").is_dir());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Order
//! Of two lines that write one field of one point, the later one wins: the one further behind in its input, or in an input further behind.
//! The first value of a field decides its type in the same order, unless the output knows the field already.
//!
//! # How it works
//! Each thread takes the next piece of whole lines ([`source`]) and parses it into open tables of its own ([`worker`]). When the tables of
//! all threads together have reached their size, the pieces that follow belong to a new epoch, and each thread hands over what it has of the
//! old one, as the shards of a node do at a flush. A piece's number stands for a request's: it decides which of two values is the later one,
//! whichever threads met them. A piece that brings new columns, or of which something is refused, waits until all before it are done, so that
//! the result does not depend on which thread is faster.

mod error;
mod export;
mod input;
mod refused;
mod report;
mod shared;
mod source;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use crate::line::Precision;
pub use error::{Cause, ConvertError, Kept, Place};
pub use input::Input;
pub use report::{CONFLICTS_MAX, Conflict, Progress, RefusedLine, Report, SHOWN_MAX, TableReport};

use crate::budget::Budget;
use crate::catalog::Catalog;
use crate::config::Basis;
use crate::data_dir::DataDir;
use crate::lake::{self, Lake};
use crate::line::{self, Kernel};
use crate::metrics::Metrics;
use crate::wal;

use input::Waiting;
use refused::Ledger;
use shared::{Setup, Shared, Target};
use source::{PIECE_BYTES, Sizes, Source};
use worker::Worker;

/// What happens at a line that is not line protocol, or whose point does not fit its table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// The conversion ends there.
    #[default]
    Stop,
    /// The line is left out and counted.
    Skip,
    /// Likewise, and it is written to a file in the output, with its place and the reason.
    Collect,
}

/// How inputs are converted.
pub struct Options {
    output: Option<PathBuf>,
    bucket: Option<Arc<str>>,
    precision: Precision,
    default_time_ns: Option<i64>,
    on_error: OnError,
    is_dry_run: bool,
    memory_bytes_max: usize,
    flush_bytes: usize,
    threads: usize,
    on_progress: Option<Box<dyn Fn(Progress) + Send + Sync>>,
}

impl Options {
    /// Nanoseconds; the first line that is refused ends the conversion; as much memory as a node would take, and all cores.
    pub fn new() -> Self {
        let Basis { cores, memory_limit, .. } = Basis::of_this_machine();
        Self {
            output: None,
            bucket: None,
            precision: Precision::Nanosecond,
            default_time_ns: None,
            on_error: OnError::Stop,
            is_dry_run: false,
            memory_bytes_max: memory_limit,
            flush_bytes: FLUSH_BYTES,
            threads: cores,
            on_progress: None,
        }
    }

    /// The data directory that is made, or added to.
    pub fn output(mut self, data_dir: &Path) -> Self {
        self.output = Some(data_dir.to_owned());
        self
    }

    /// The bucket of all points, also of those for which the input names another one. Without this option an input names the bucket by
    /// lines like `# CONTEXT-DATABASE:name`, as exports of InfluxDB 1.x do.
    pub fn bucket(mut self, name: &str) -> Self {
        self.bucket = Some(name.into());
        self
    }

    /// The unit of timestamps.
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// What a point without a timestamp gets, in nanoseconds; it is cut down to a whole unit of the precision. Without this option it is
    /// the time at which the conversion begins.
    pub fn default_time_ns(mut self, time_ns: i64) -> Self {
        self.default_time_ns = Some(time_ns);
        self
    }

    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    /// Reads everything and writes nothing; the report has the schema and the conflicts. An output, if one is given, says which fields are
    /// known already.
    pub fn dry_run(mut self) -> Self {
        self.is_dry_run = true;
        self
    }

    /// Most bytes of memory that the process may take for this, at least 192 MiB.
    pub fn memory_bytes_max(mut self, bytes: usize) -> Self {
        self.memory_bytes_max = bytes.max(MEMORY_BYTES_MIN);
        self
    }

    /// Size of the open tables, of all threads together, at which their points become files: 64 MiB, or what is given here; an eighth
    /// of the memory at most.
    pub fn flush_bytes(mut self, bytes: usize) -> Self {
        self.flush_bytes = bytes;
        self
    }

    /// Threads that parse, at least one, and as many that encode; fewer where there is little memory for them.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Is called now and then by any thread, with how far the conversion is.
    pub fn on_progress(mut self, tell: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.on_progress = Some(Box::new(tell));
        self
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

const MEMORY_BYTES_MIN: usize = 192 << 20;

/// Part of the budget that open tables may take: the lake needs several times as much to sort and encode them.
const FLUSH_SHARE: usize = 8;
/// About two million rows of ten integers. Sorting more than that at once costs more for each of them, and the lake is to get work while the
/// rest is read.
const FLUSH_BYTES: usize = 64 << 20;

/// The longest line may take this part of the budget, of which twice its size is needed; and this much at most.
const LINE_SHARE: usize = 32;
const LINE_BYTES_MAX: usize = 64 << 20;

/// There are only so many threads that each has this part of the budget: for a piece and what it may become.
const THREAD_BYTES: usize = 16 << 20;

/// What the lake may take to end, when all that is to be published is.
const END_TIME: Duration = Duration::from_secs(10);

/// How a thread reads.
#[derive(Clone, Copy)]
struct Reading {
    lines: line::Options,
    on_error: OnError,
}

/// Converts `inputs`, in this order.
///
/// # Errors
/// Inputs or output cannot be used, or a line is refused ([`OnError::Stop`]). [`ConvertError::kept`] says what is in the output then.
pub fn convert(inputs: Vec<Input>, options: &Options) -> Result<Report, ConvertError> {
    let began = Instant::now();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut report = run(inputs, options, now)?;
    report.took = began.elapsed();
    Ok(report)
}

/// Where a conversion writes to.
struct Output {
    /// Keeps the lock until everything is written.
    _data_dir: Option<DataDir>,
    catalog: Arc<Catalog>,
    metrics: Arc<Metrics>,
    target: Target,
    /// The last epoch that was used.
    floor: u64,
}

fn run(inputs: Vec<Input>, options: &Options, now: Duration) -> Result<Report, ConvertError> {
    let unwritten = if options.is_dry_run { Kept::DryRun } else { Kept::Nothing };
    let refuse = |cause| ConvertError { cause: Box::new(cause), kept: unwritten.clone(), collected: None };
    let waiting = Waiting::list(inputs, options.output.as_deref()).map_err(refuse)?;
    let bytes = waiting.bytes;
    let budget = Budget::of_process(options.memory_bytes_max);
    let threads = options.threads.min(budget.bytes_max() / THREAD_BYTES).max(1);
    let Output { _data_dir: lock, catalog, metrics, target, floor } =
        open(options, threads, &budget).map_err(refuse)?;
    let reading = Reading { lines: line_options(options, now), on_error: options.on_error };
    let sizes = Sizes { piece: PIECE_BYTES, line_max: LINE_BYTES_MAX.min(budget.bytes_max() / LINE_SHARE) };
    let source = Source::new(waiting, options.bucket.clone(), sizes);
    let ledger = Ledger::new(collection(options, now));
    let on_progress = options.on_progress.as_deref();
    let epoch_bytes = options.flush_bytes.min(budget.bytes_max() / FLUSH_SHARE);
    let setup = Setup { catalog: Arc::clone(&catalog), budget, target, threads, epoch_bytes, bytes, on_progress };
    let shared = Shared::new(setup, source, ledger, floor);
    let epoch = shared.epoch();
    std::thread::scope(|scope| {
        let workers = (0..threads).map(|thread| Worker::new(&shared, thread, epoch, reading));
        let threads: Vec<_> = workers.map(|worker| scope.spawn(move || worker.run())).collect();
        // One that panics has failed the conversion.
        threads.into_iter().for_each(|thread| drop(thread.join()));
    });
    let settled = shared.settle();
    let (lines, points, bytes_read) = shared.counted();
    let (target, mut ledger, summaries) = shared.into_parts();
    let ended = end(target, &metrics, if settled.is_ok() { END_TIME } else { Duration::ZERO });
    let collected = ledger.finish();
    drop(lock);
    let (collected, uncollected) = collected.map_or_else(|cause| (None, Some(cause)), |path| (path, None));
    let early = |(cause, kept)| ConvertError { cause: Box::new(cause), kept, collected: collected.clone() };
    settled.map_err(early)?;
    ended.map_err(|cause| early((cause, Kept::Unknown)))?;
    if let Some(cause) = uncollected {
        return Err(early((cause, Kept::Whole)));
    }
    let tables = summaries.iter().map(|(table, summary)| describe(&catalog, *table, summary)).collect();
    Ok(Report {
        lines,
        points,
        bytes_read,
        refused: ledger.count,
        conflicts: ledger.conflicts(),
        collected,
        first_refused: ledger.first,
        tables: in_order(tables),
        files: metrics.files_written.get(),
        rows: metrics.rows_written.get(),
        file_bytes: metrics.file_bytes_written.get(),
        took: Duration::ZERO,
    })
}

/// Makes the output ready to be written to, or finds out what it knows.
fn open(options: &Options, threads: usize, budget: &Arc<Budget>) -> Result<Output, Cause> {
    let metrics = Metrics::new(budget);
    if options.is_dry_run {
        let catalog = match &options.output {
            Some(output) => Catalog::read(&output.join("state"))?,
            None => Catalog::in_memory(),
        };
        catalog.count_in(budget);
        return Ok(Output { _data_dir: None, catalog: Arc::new(catalog), metrics, target: Target::Nowhere, floor: 0 });
    }
    let data_dir = DataDir::lock(options.output.as_deref().ok_or(Cause::NoOutput)?)?;
    let wal = data_dir.path().join("wal");
    if wal::has_segments(&wal)? {
        return Err(Cause::Unpublished { wal, data_dir: data_dir.path().to_owned() });
    }
    let inspected = lake::inspect(data_dir.path())?;
    let catalog = Arc::new(Catalog::open(data_dir.state(), inspected.catalog_bytes_min())?);
    catalog.count_in(budget);
    let lake_options = lake::Options::new(threads, threads);
    let on_commit = Box::new(|_, _| ());
    let (metrics_of_lake, budget) = (Arc::clone(&metrics), Arc::clone(budget));
    let lake = Lake::start(inspected, lake_options, Arc::clone(&catalog), metrics_of_lake, budget, on_commit)?;
    let (floor, progress) = (lake.epoch_floor(), lake.progress());
    Ok(Output {
        _data_dir: Some(data_dir),
        catalog,
        metrics,
        target: Target::Lake { lake: Box::new(lake), progress },
        floor,
    })
}

fn line_options(options: &Options, now: Duration) -> line::Options {
    let default_time_ns = options.default_time_ns.unwrap_or(now.as_nanos() as i64);
    let default_time_ns = options.precision.truncate(default_time_ns);
    line::Options { kernel: Kernel::fastest(), precision: options.precision, default_time_ns }
}

/// Folder and name of the file for refused lines, if they are collected.
fn collection(options: &Options, now: Duration) -> Option<(&Path, String)> {
    let output = options.output.as_deref().filter(|_| options.on_error == OnError::Collect && !options.is_dry_run)?;
    Some((output, format!("refused-{}.lp", now.as_millis())))
}

/// Ends the lake. What is not published then belongs to an epoch that not all threads have left, and was meant to be dropped.
fn end(target: Target, metrics: &Metrics, time: Duration) -> Result<(), Cause> {
    let Target::Lake { lake, .. } = target else { return Ok(()) };
    lake.finish(Instant::now() + time)?;
    // Rows in quarantine.
    metrics.failure().map_or(Ok(()), |reason| Err(Cause::Publish(reason)))
}

fn describe(catalog: &Catalog, table: u32, summary: &shared::Summary) -> TableReport {
    let table = catalog.table(table);
    TableReport {
        bucket: table.bucket.name.clone(),
        measurement: table.name.clone(),
        tags: table.tags.iter().map(|tag| tag.name.clone()).collect(),
        fields: table.fields.iter().map(|field| (field.name.clone(), field.kind)).collect(),
        points: summary.points,
        first_ns: summary.first_ns,
        last_ns: summary.last_ns,
    }
}

fn in_order(mut tables: Vec<TableReport>) -> Vec<TableReport> {
    tables.sort_by(|a, b| (&a.bucket, &a.measurement).cmp(&(&b.bucket, &b.measurement)));
    tables
}
