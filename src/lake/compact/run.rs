//! One compaction from end to end: some files of a folder are merged aside, and the coordinator puts the result in their place.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Sender, bounded};

use super::super::FileOptions;
use super::super::coordinator::Command;
use super::super::partition::{FileName, N_MAX, folder as folder_of};
use super::super::publish::{LINGER, Replacement, Staged};
use super::Step;
use super::input::{Described, Partition, RESTORE, bytes_to_open};
use super::merge::{Limits, MergeError, Merged, Source, Task, merge};
use super::plan::{self, Sized};
use crate::budget::{Budget, Consumer, Reservation};
use crate::catalog::{Catalog, Table};
use crate::metrics::Metrics;

/// Compaction gets this part of the memory budget (in bytes, one over it); where that is little, as much as tables of many columns need,
/// and a third at most.
const MEMORY_PART: usize = 8;
const MEMORY_MIN: usize = 48 << 20;
const MEMORY_PART_MAX: usize = 3;
/// What is left free on the disk, in bytes.
const DISK_RESERVE: u64 = 64 << 20;
/// How long it waits for memory before a merge.
const MEMORY_WAIT: Duration = Duration::from_secs(10);
const MEMORY_STEP: Duration = Duration::from_millis(50);

/// Why files were not merged.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error("the node is ending")]
    Stopped,
    /// It may work in a moment.
    #[error("{0}")]
    Busy(String),
    /// These files cannot be read together in the memory that there is.
    #[error("{0}")]
    TooLarge(String),
    /// This one cannot be merged, as it is.
    #[error("{reason}; what lies before it and behind it is merged without it")]
    Input { name: FileName, reason: String },
    #[error("{0}")]
    Failed(String),
}

impl From<MergeError> for RunError {
    fn from(error: MergeError) -> Self {
        let reason = error.to_string();
        match error {
            MergeError::Stopped => Self::Stopped,
            MergeError::Memory { .. } => Self::TooLarge(reason),
            MergeError::Input { path, .. } => {
                let name = path.file_name().and_then(|name| name.to_str()).and_then(FileName::parse);
                name.map_or(Self::Failed(reason.clone()), |name| Self::Input { name, reason })
            }
            MergeError::Write(_) => Self::Failed(reason),
        }
    }
}

/// Puts files in the place of others.
pub(in super::super) struct Exchange {
    pub data_dir: PathBuf,
    pub catalog: Arc<Catalog>,
    pub metrics: Arc<Metrics>,
    pub budget: Arc<Budget>,
    pub files: FileOptions,
    pub commands: Sender<Command>,
}

impl Exchange {
    /// Bytes of a file.
    pub(super) fn size(&self, folder: &str, name: &FileName) -> Result<u64, RunError> {
        let path = self.path(folder, name);
        let metadata = std::fs::metadata(&path);
        metadata.map(|metadata| metadata.len()).map_err(|error| RunError::Input {
            name: *name,
            reason: format!("{} cannot be read: {error}{RESTORE}", path.display()),
        })
    }

    fn path(&self, folder: &str, name: &FileName) -> PathBuf {
        self.data_dir.join(folder).join(name.to_string())
    }

    /// Merges `files` of a folder, all that are committed between the first and the last of them; fewer, if memory does not suffice.
    pub(super) fn run(
        &self,
        folder: &str,
        day: i64,
        files: &[Sized],
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<Step, RunError> {
        self.metrics.compaction_running.set(1);
        // A panic is a fault of the reader or the encoder: nothing but files aside has changed.
        let step = catch_unwind(AssertUnwindSafe(|| self.merge(folder, day, files, goes_on)));
        self.metrics.compaction_running.set(0);
        step.unwrap_or_else(|_| {
            let last = files.last().map(|file| self.path(folder, &file.name));
            let last = last.map(|path| path.display().to_string()).unwrap_or_default();
            Err(RunError::Failed(format!(
                "a merge of {} files up to {last} has panicked: this is a fault of ringest, please report it with the panic in the log",
                files.len()
            )))
        })
    }

    fn merge(
        &self,
        folder: &str,
        day: i64,
        files: &[Sized],
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<Step, RunError> {
        let began = Instant::now();
        let bytes: u64 = files.iter().map(|file| file.bytes).sum();
        self.wait_for_memory(goes_on)?;
        self.check_disk(bytes)?;
        let sources: Vec<Source> =
            files.iter().map(|file| Source { path: self.path(folder, &file.name), name: file.name }).collect();
        let table = self.table(folder, day, &sources)?;
        let limits = Limits::new(self.memory_share(), plan::file_bytes(bytes) as usize);
        let partition = Partition { table: &table, day };
        let task = Task { partition, sources: &sources, limits, files: self.files, budget: &self.budget };
        let aside = |file: usize| self.data_dir.join("tmp").join(format!("compaction-{file}.part"));
        let merged = merge(&task, aside, goes_on)?;
        let merged_files = &files[..merged.sources];
        self.replace(folder, merged_files, &merged)?;
        let step = Step {
            files_before: merged_files.len() as u64,
            files_after: merged.files.len() as u64,
            bytes_before: merged_files.iter().map(|file| file.bytes).sum(),
            bytes_after: merged.files.iter().map(|(_, written)| written.bytes).sum(),
            rows_before: merged.rows,
            rows_after: merged.files.iter().map(|(_, written)| written.rows).sum(),
            seconds: began.elapsed().as_secs_f64(),
            rest_from: files.get(merged.sources).map(|file| file.name),
        };
        self.tell(folder, &step);
        Ok(step)
    }

    fn tell(&self, folder: &str, step: &Step) {
        let metrics = &self.metrics;
        metrics.compactions.inc();
        metrics.compaction_files_read.inc_by(step.files_before);
        metrics.compaction_files_written.inc_by(step.files_after);
        metrics.compaction_bytes_read.inc_by(step.bytes_before);
        metrics.compaction_bytes_written.inc_by(step.bytes_after);
        metrics.compaction_rows_joined.inc_by(step.rows_before - step.rows_after);
        metrics.compaction_seconds.inc_by(step.seconds);
        tracing::info!(
            folder,
            files_before = step.files_before,
            files_after = step.files_after,
            bytes_before = step.bytes_before,
            bytes_after = step.bytes_after,
            rows = step.rows_after,
            rows_joined = step.rows_before - step.rows_after,
            seconds = step.seconds,
            "files are merged"
        );
    }

    /// The table of the sources, with the columns that they have: those that were born later belong to later files, so that the newest file of a
    /// table has all columns of the others.
    fn table(&self, folder: &str, day: i64, sources: &[Source]) -> Result<Table, RunError> {
        let mut memory = Reservation::new(&self.budget, Consumer::Compaction);
        let mut describe = |source: &Source| {
            memory.set(bytes_to_open(&source.path)?);
            Described::read(&source.path)
        };
        let described = sources.iter().map(&mut describe).collect::<Result<Vec<Described>, MergeError>>()?;
        let Described { bucket, measurement, .. } = &described[0];
        let table = self.catalog.find(bucket, measurement).filter(|table| folder_of(table, day) == folder);
        let table = table.ok_or_else(|| {
            let Source { path, name } = &sources[0];
            let path = path.display();
            let reason = format!(
                "{path} says that it is of the measurement {measurement:?} in {bucket:?}, which does not belong there"
            );
            RunError::Input { name: *name, reason }
        })?;
        let most = |count: fn(&Described) -> usize| described.iter().map(count).max().unwrap_or(0);
        Ok(table.when_it_had(most(|described| described.tags), most(|described| described.fields)))
    }

    fn memory_share(&self) -> usize {
        let bytes_max = self.budget.bytes_max();
        (bytes_max / MEMORY_PART).max(MEMORY_MIN.min(bytes_max / MEMORY_PART_MAX))
    }

    fn wait_for_memory(&self, goes_on: &mut dyn FnMut() -> bool) -> Result<(), RunError> {
        let began = Instant::now();
        let bytes_max = self.budget.bytes_max();
        loop {
            if !goes_on() {
                return Err(RunError::Stopped);
            }
            if self.budget.total() + self.memory_share() <= bytes_max - bytes_max / 8 {
                return Ok(());
            }
            if began.elapsed() > MEMORY_WAIT {
                return Err(RunError::Busy("the node is short of memory; it is tried again".to_owned()));
            }
            std::thread::sleep(MEMORY_STEP);
        }
    }

    /// The new files stand beside the old ones for a moment.
    fn check_disk(&self, bytes: u64) -> Result<(), RunError> {
        // What cannot be asked is found out by writing.
        let Ok(disk) = rustix::fs::statvfs(&self.data_dir) else { return Ok(()) };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free >= bytes + bytes / 8 + DISK_RESERVE {
            return Ok(());
        }
        let path = self.data_dir.display();
        Err(RunError::Busy(format!(
            "{bytes} bytes of files need as much room beside them, and the disk of {path} has {free} bytes left"
        )))
    }

    /// Has the coordinator put the merged files in the place of `files`.
    fn replace(&self, folder: &str, files: &[Sized], merged: &Merged) -> Result<(), RunError> {
        let replaced = self.targets(folder, files, merged.files.len()).and_then(|targets| {
            let staged = merged.files.iter().zip(targets);
            let staged =
                staged.map(|((aside, written), target)| Staged { aside: aside.clone(), target, written: *written });
            let removes = files.iter().map(|file| format!("{folder}/{}", file.name)).collect();
            let epoch = files.last().map_or(0, |file| file.name.epoch);
            let (done, answer) = bounded(1);
            let _ = self.commands.send(Command::Replace(Replacement { epoch, files: staged.collect(), removes }, done));
            // Without a coordinator the order is dropped, which is an answer too.
            answer.recv().map_err(|_| RunError::Stopped)?.map_err(RunError::Failed)
        });
        if replaced.is_err() {
            // The next start clears what cannot be removed now.
            merged.files.iter().for_each(|(aside, _)| drop(std::fs::remove_file(aside)));
        }
        replaced
    }

    /// Returns when no merged file lies beside what took its place.
    pub(super) fn sweep(&self) {
        std::thread::sleep(LINGER);
        let (done, swept) = bounded::<()>(0);
        // Without a coordinator both fail at once, and it has done it as its last act.
        let _ = self.commands.send(Command::Sweep(done));
        let _ = swept.recv();
    }

    /// Free names behind that of the last file. What lies there without being committed has its name, too.
    fn targets(&self, folder: &str, files: &[Sized], count: usize) -> Result<Vec<String>, RunError> {
        let path = self.data_dir.join(folder);
        let failed = |error: std::io::Error| RunError::Failed(format!("cannot read {}: {error}", path.display()));
        let (Some(first), Some(last)) = (files.first(), files.last()) else { return Ok(Vec::new()) };
        let mut n = last.name.n;
        for entry in std::fs::read_dir(&path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let name = name.to_str().and_then(FileName::parse).filter(|name| name.epoch == last.name.epoch);
            n = n.max(name.map_or(0, |name| name.n));
        }
        if n as usize + count > N_MAX as usize {
            return Err(RunError::Failed(format!("{} has no number left behind {n}", last.name)));
        }
        let name = |n: u32| FileName { n, first_epoch: first.name.first_epoch, ..last.name };
        Ok((n + 1..).take(count).map(|n| format!("{folder}/{}", name(n))).collect())
    }
}
