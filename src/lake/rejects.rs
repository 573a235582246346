//! Refused lines of the buckets that keep them: Parquet files under `rejects/`, at most so many bytes of them. They are for people to look
//! at, and no part of what was promised to a client: what cannot be kept is counted and let go, and nothing waits for it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::catalog::encode_path_segment;
use crate::metrics::Metrics;
use crate::table::arrays;
use crate::table::{Kept, KeptLine};

use super::{LakeError, THREAD_NAME};

/// Requests that wait for the thread.
const QUEUE_MAX: usize = 256;

/// Lines that hold so many bytes are written before their time.
const FILE_BYTES: usize = 8 << 20;

/// How refused lines are kept.
#[derive(Clone, Debug)]
pub struct RejectOptions {
    pub data_dir: PathBuf,
    /// Most bytes of all files.
    pub bytes_max: u64,
    /// Longest time that a line waits in memory.
    pub interval: Duration,
}

/// Starts the thread that keeps what is sent to it. It ends, with everything written, when the last sender is gone.
///
/// # Errors
/// The system gives no thread.
pub fn keep_rejects(
    options: RejectOptions,
    metrics: Arc<Metrics>,
) -> Result<(Sender<Kept>, JoinHandle<()>), LakeError> {
    let (sender, inbox) = bounded(QUEUE_MAX);
    let files = Files::find(options.data_dir.join("rejects"), options.bytes_max);
    let keeper = Keeper { options, metrics, files, waiting: BTreeMap::new(), bytes: 0, failure: None };
    // A panic of a lake thread does not end the node.
    let thread = std::thread::Builder::new().name(format!("{THREAD_NAME}rejects"));
    let thread = thread.spawn(move || keeper.run(&inbox)).map_err(LakeError::Thread)?;
    Ok((sender, thread))
}

struct Keeper {
    options: RejectOptions,
    metrics: Arc<Metrics>,
    files: Files,
    /// By bucket.
    waiting: BTreeMap<Box<str>, Vec<Kept>>,
    /// That these hold.
    bytes: usize,
    /// What the log has said last.
    failure: Option<String>,
}

impl Keeper {
    fn run(mut self, inbox: &Receiver<Kept>) {
        let mut due: Option<Instant> = None;
        loop {
            let received = match due {
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => inbox.recv_deadline(due),
            };
            let is_end = matches!(received, Err(RecvTimeoutError::Disconnected));
            if let Ok(kept) = received {
                due.get_or_insert_with(|| Instant::now() + self.options.interval);
                self.bytes += kept.memory.bytes();
                self.waiting.entry(kept.bucket.clone()).or_default().push(kept);
                if self.bytes < FILE_BYTES {
                    continue;
                }
            }
            due = None;
            self.write_all();
            if is_end {
                return;
            }
        }
    }

    /// One file for each bucket that has lines.
    fn write_all(&mut self) {
        self.bytes = 0;
        for (bucket, requests) in std::mem::take(&mut self.waiting) {
            let lines = requests.iter().map(|kept| kept.lines.len() as u64).sum();
            let aside = self.options.data_dir.join("tmp").join("rejects.part");
            let kept = catch_unwind(AssertUnwindSafe(|| self.files.keep(&aside, &bucket, &requests)));
            match kept.unwrap_or_else(|_| {
                Err(io::Error::other("the encoder has panicked; please report the panic in the log"))
            }) {
                Ok(()) => {
                    self.metrics.rejects_kept.inc_by(lines);
                    self.failure = None;
                }
                Err(error) => {
                    self.metrics.rejects_lost.inc_by(lines);
                    self.report(&bucket, lines, error.to_string());
                    // It may not be there.
                    let _ = fs::remove_file(&aside);
                }
            }
        }
    }

    /// Says a failure once, until something is kept again or it is another one.
    fn report(&mut self, bucket: &str, lines: u64, failure: String) {
        if self.failure.as_ref() != Some(&failure) {
            tracing::warn!(bucket, lines, "refused lines cannot be kept under rejects/: {failure}");
            self.failure = Some(failure);
        }
    }
}

/// The files under `rejects/`, oldest first.
struct Files {
    folder: PathBuf,
    /// Their bytes, by name and path: names begin with the time.
    known: BTreeMap<(String, PathBuf), u64>,
    bytes: u64,
    bytes_max: u64,
}

impl Files {
    /// What earlier lives have left. What cannot be read is not counted.
    fn find(folder: PathBuf, bytes_max: u64) -> Self {
        let buckets = fs::read_dir(&folder).into_iter().flatten().flatten();
        let files = buckets.filter_map(|bucket| fs::read_dir(bucket.path()).ok()).flatten().flatten();
        let known: BTreeMap<_, _> = files
            .filter(|file| file.path().extension().is_some_and(|extension| extension == "parquet"))
            .filter_map(|file| {
                let name = file.file_name().to_string_lossy().into_owned();
                Some(((name, file.path()), file.metadata().ok()?.len()))
            })
            .collect();
        Self { folder, bytes: known.values().sum(), known, bytes_max }
    }

    /// Writes the lines of a bucket to a file of their own. Older files go where there is no room for it.
    fn keep(&mut self, aside: &Path, bucket: &str, requests: &[Kept]) -> io::Result<()> {
        let bytes = encode(aside, bucket, requests)?;
        if bytes > self.bytes_max {
            return Err(io::Error::other(format!("a file of {bytes} bytes is larger than rejects-size-limit")));
        }
        self.make_room(bytes)?;
        let folder = self.folder.join(encode_path_segment(bucket));
        fs::create_dir_all(&folder)?;
        let first_ns = requests.iter().map(|kept| kept.received_ns).min().unwrap_or(0).max(0);
        let names = (first_ns..).map(|ns| format!("{ns:019}.parquet"));
        // Only this thread makes files there.
        let (name, path) = names
            .map(|name| (folder.join(&name), name))
            .find(|(path, _)| !path.exists())
            .map(|(path, name)| (name, path))
            .ok_or_else(|| io::Error::other("no name is left"))?;
        fs::rename(aside, &path)?;
        self.known.insert((name, path), bytes);
        self.bytes += bytes;
        Ok(())
    }

    fn make_room(&mut self, bytes: u64) -> io::Result<()> {
        while self.bytes + bytes > self.bytes_max {
            let Some(oldest) = self.known.first_entry() else { return Ok(()) };
            match fs::remove_file(&oldest.key().1) {
                // Somebody else may have taken it away.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => self.bytes -= oldest.remove(),
            }
        }
        Ok(())
    }
}

/// Writes a whole file and syncs it; says how many bytes it has.
fn encode(path: &Path, bucket: &str, requests: &[Kept]) -> io::Result<u64> {
    let batch = batch(requests).map_err(io::Error::other)?;
    let bucket = KeyValue::new("ringest.bucket".to_owned(), bucket.to_owned());
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_key_value_metadata(Some(vec![bucket]))
        .build();
    let file = File::create(path)?;
    let mut writer = ArrowWriter::try_new(&file, batch.schema(), Some(properties)).map_err(io::Error::other)?;
    writer.write(&batch).map_err(io::Error::other)?;
    writer.close().map_err(io::Error::other)?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

/// One row per line, in the order in which they came.
fn batch(requests: &[Kept]) -> Result<RecordBatch, arrow::error::ArrowError> {
    let lines = || requests.iter().flat_map(|kept| kept.lines.iter().map(move |line| (kept, line)));
    let strings = |text: fn(&Kept, &KeptLine) -> String| -> ArrayRef {
        Arc::new(lines().map(|(kept, line)| Some(text(kept, line))).collect::<StringArray>())
    };
    let columns: [(&str, DataType, ArrayRef); 6] = [
        ("time", arrays::time_type(), arrays::times(lines().map(|(kept, _)| kept.received_ns).collect())),
        ("line", DataType::Int64, Arc::new(lines().map(|(_, line)| Some(line.line as i64)).collect::<Int64Array>())),
        ("reason", DataType::Utf8, strings(|_, line| line.reason.to_owned())),
        ("error", DataType::Utf8, strings(|_, line| line.error.to_string())),
        ("precision", DataType::Utf8, strings(|kept, _| kept.precision.to_owned())),
        ("text", DataType::Utf8, strings(|_, line| String::from_utf8_lossy(&line.text).into_owned())),
    ];
    let fields: Vec<Field> = columns.iter().map(|(name, kind, _)| Field::new(*name, kind.clone(), false)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, _, column)| column).collect())
}
