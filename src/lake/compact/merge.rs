//! The k-way merge, row group by row group.
//!
//! Each input has a batch of rows loaded. The least of the inputs' last loaded rows bounds what can be taken now: every row that is not
//! behind it is loaded, from every input. Such rows gather, one part per input, until there are enough for a row group; then they are
//! sorted and encoded like the parts of a flush, where the later input wins field by field. A slice never ends within the rows of one
//! (series, time), and the next begins behind it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::budget::{Budget, Consumer, Reservation};

use super::super::FileOptions;
use super::super::chunk::Level;
use super::super::disk::Paced;
use super::super::encode::{EncodeError, FileWriter, Origin, Written, bytes_to_encode};
use super::super::partition::{DayPart, FileName};
use super::super::series::SeriesOrder;
use super::super::sort::{GROUP_ROWS, Sorted};
use super::input::{Input, Opened, Partition, bytes_to_open};
use super::slice::Builder;

/// Rows of a batch, at most.
const BATCH_ROWS: usize = 8 << 10;

/// How much is held and written at once.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Limits {
    /// Bytes of inputs and of rows that wait, about.
    pub bytes: usize,
    /// Rows of a slice, at most.
    pub slice_rows: usize,
    pub batch_rows: usize,
    /// A file that has so many bytes is finished, and the next begun.
    pub file_bytes: usize,
}

impl Limits {
    /// For a share of `bytes` of the memory budget, and files of about `file_bytes`.
    pub fn new(bytes: usize, file_bytes: usize) -> Self {
        Self { bytes, slice_rows: GROUP_ROWS, batch_rows: BATCH_ROWS, file_bytes }
    }
}

/// A committed file: where it lies, and its name.
#[derive(Clone, Debug)]
pub(in super::super) struct Source {
    pub path: PathBuf,
    pub name: FileName,
}

/// What to merge.
pub(in super::super) struct Task<'a> {
    pub partition: Partition<'a>,
    /// In order of writing. Those that do not fit into memory together are left out, from the last epoch on.
    pub sources: &'a [Source],
    pub limits: Limits,
    pub files: FileOptions,
    pub budget: &'a Arc<Budget>,
}

/// What a merge has written.
#[derive(Debug, Default)]
pub(in super::super) struct Merged {
    /// How many of the sources were merged, from the first on.
    pub sources: usize,
    pub files: Vec<(PathBuf, Written)>,
    /// Rows of the sources.
    pub rows: u64,
}

/// Why a merge has written nothing.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum MergeError {
    #[error("{path} {what}")]
    Input { path: PathBuf, what: String },
    #[error(transparent)]
    Write(#[from] EncodeError),
    #[error(
        "{path} and the file after it need more memory at once than the {bytes} bytes that a merge may take: raise memory-limit"
    )]
    Memory { path: PathBuf, bytes: usize },
    /// Whoever was asked, before each file and each batch of rows, said so.
    #[error("it was stopped")]
    Stopped,
}

impl MergeError {
    pub fn input(path: &Path, what: String) -> Self {
        Self::Input { path: path.to_owned(), what }
    }
}

/// Merges files into new ones, `aside(0)`, `aside(1)`, ..., each synced. On failure nothing is left. `goes_on` is asked now and then.
pub(in super::super) fn merge(
    task: &Task<'_>,
    aside: impl Fn(usize) -> PathBuf,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<Merged, MergeError> {
    let mut written = Vec::new();
    let result = merge_into(task, &aside, goes_on, &mut written);
    if result.is_err() {
        for file in 0..=written.len() {
            // The next start clears what cannot be removed now.
            let _ = std::fs::remove_file(aside(file));
        }
    }
    let (sources, rows) = result?;
    Ok(Merged { sources, files: written, rows })
}

fn merge_into(
    task: &Task<'_>,
    aside: &dyn Fn(usize) -> PathBuf,
    goes_on: &mut dyn FnMut() -> bool,
    written: &mut Vec<(PathBuf, Written)>,
) -> Result<(usize, u64), MergeError> {
    let mut slices = Slices::open(task, goes_on)?;
    let sources = slices.inputs.len();
    let names = &task.sources[..sources];
    let epochs = names.iter().map(|source| source.name);
    let origin = Origin {
        node: task.sources[0].name.node,
        epoch: epochs.clone().map(|name| name.epoch).max().unwrap_or(0),
        first_epoch: epochs.map(|name| name.first_epoch).min().unwrap_or(0),
    };
    let mut next = slices.next(goes_on)?;
    while let Some(mut slice) = next {
        let path = aside(written.len());
        let fail = |source| MergeError::Write(EncodeError { path: path.clone(), source });
        let mut memory = Reservation::new(task.budget, Consumer::Compaction);
        let file = Paced::new(File::create(&path).map_err(fail)?, true);
        let writer = FileWriter::new(file, task.partition.table, Level::Compaction, task.files, &mut memory);
        let mut writer = writer.map_err(fail)?;
        let mut rows = 0;
        next = loop {
            rows += slice.sorted.rows() as u64;
            // Whether to stop is answered behind the slice.
            let pause = &mut || {
                goes_on();
            };
            writer.append(&slice.parts, &slice.sorted, bytes_to_encode(&slice.sorted), pause).map_err(fail)?;
            drop(slice);
            match slices.next(goes_on)? {
                Some(following) if writer.bytes() < task.limits.file_bytes && writer.held() < task.limits.bytes / 4 => {
                    slice = following;
                }
                following => break following,
            }
        };
        let bytes = writer.finish(&origin).and_then(sync).map_err(fail)?;
        written.push((path, Written { rows, bytes }));
    }
    Ok((sources, slices.rows))
}

fn sync(file: File) -> io::Result<u64> {
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

/// Rows that lie behind those of the slice before, in file order.
struct Slice {
    parts: Vec<Arc<DayPart>>,
    sorted: Sorted,
    /// Of the parts.
    _memory: Reservation,
}

/// The inputs, cut into slices.
struct Slices<'a> {
    task: &'a Task<'a>,
    inputs: Vec<Input>,
    /// By input.
    builders: Vec<Builder>,
    /// Of inputs and builders.
    memory: Reservation,
    /// Of the input that reads.
    reading_bytes: usize,
    /// Taken so far.
    rows: u64,
}

impl<'a> Slices<'a> {
    /// Opens as many of the sources as fit into memory together; files of one epoch are not parted.
    fn open(task: &'a Task<'a>, goes_on: &mut dyn FnMut() -> bool) -> Result<Self, MergeError> {
        let memory = Reservation::new(task.budget, Consumer::Compaction);
        let mut slices = Self { task, inputs: Vec::new(), builders: Vec::new(), memory, reading_bytes: 0, rows: 0 };
        for (index, source) in task.sources.iter().enumerate() {
            // Each is read wholly once before the merge.
            if !goes_on() {
                return Err(MergeError::Stopped);
            }
            if !slices.admit(source)? {
                let epoch = source.name.epoch;
                let before = task.sources[..index].iter().take_while(|source| source.name.epoch != epoch);
                slices.inputs.truncate(before.count());
                break;
            }
        }
        if slices.inputs.len() < 2.min(task.sources.len()) {
            let path = task.sources[slices.inputs.len()].path.clone();
            return Err(MergeError::Memory { path, bytes: task.limits.bytes });
        }
        slices.builders.extend(slices.inputs.iter().map(|_| Builder::new(task.partition.table)));
        Ok(slices)
    }

    /// Opens a source and loads its first rows, if there is room for it in the half of the memory that inputs have.
    fn admit(&mut self, source: &Source) -> Result<bool, MergeError> {
        let Task { partition, sources, limits, .. } = self.task;
        let held: usize = self.inputs.iter().map(Input::bytes).sum();
        if held + bytes_to_open(&source.path)? > limits.bytes / 2 {
            return Ok(false);
        }
        let opened = Opened::new(&source.path, &source.name, *partition)?;
        // One input reads at a time.
        self.reading_bytes = opened.reading_bytes.max(self.reading_bytes);
        if held + opened.bytes + self.reading_bytes > limits.bytes / 2 {
            return Ok(false);
        }
        // Half of the rows of a slice are loaded at most, in half of the memory that inputs have.
        let rows_max = (limits.slice_rows / 2 / sources.len().max(1)).clamp(1, limits.batch_rows);
        let mut input = opened.read(rows_max, limits.bytes / 4 / sources.len().max(1))?;
        self.memory.set(held + input.bytes() + self.reading_bytes);
        input.fill()?;
        self.inputs.push(input);
        Ok(true)
    }

    /// The next slice; `None` behind the last.
    fn next(&mut self, goes_on: &mut dyn FnMut() -> bool) -> Result<Option<Slice>, MergeError> {
        let Limits { bytes, slice_rows, .. } = self.task.limits;
        loop {
            if !goes_on() {
                return Err(MergeError::Stopped);
            }
            let counts = self.load()?;
            let waiting: usize = self.builders.iter().map(Builder::rows).sum();
            let coming: usize = counts.iter().sum();
            let held: usize = self.builders.iter().map(Builder::bytes).sum();
            self.memory.set(self.inputs.iter().map(Input::bytes).sum::<usize>() + self.reading_bytes + held);
            if waiting > 0 && (coming == 0 || waiting + coming > slice_rows || held > bytes / 4) {
                return Ok(Some(self.cut(held)));
            }
            if coming == 0 {
                return Ok(None);
            }
            for ((input, builder), count) in self.inputs.iter_mut().zip(&mut self.builders).zip(counts) {
                if let Some(batch) = &mut input.batch {
                    builder.take(batch, count);
                }
            }
            self.rows += coming as u64;
        }
    }

    /// Loads rows, and answers how many of each input can be taken now.
    fn load(&mut self) -> Result<Vec<usize>, MergeError> {
        let mut open = Vec::with_capacity(self.inputs.len());
        for input in &mut self.inputs {
            open.push(input.fill()?);
        }
        let bounds = self.inputs.iter().zip(open).filter(|(_, is_open)| *is_open).filter_map(|(input, _)| input.last());
        let Some(bound) = bounds.min_by(|a, b| a.tags.cmp(&b.tags).then(a.time.cmp(&b.time))) else {
            return Ok(vec![0; self.inputs.len()]);
        };
        let count = |input: &Input| input.batch.as_ref().map_or(0, |batch| batch.rows_up_to(bound));
        Ok(self.inputs.iter().map(count).collect())
    }

    /// What has gathered, sorted. `held`: its bytes.
    fn cut(&mut self, held: usize) -> Slice {
        let builders = self.builders.iter_mut().zip(0..).filter(|(builder, _)| builder.rows() > 0);
        let parts: Vec<Arc<DayPart>> = builders.map(|(builder, input)| Arc::new(builder.finish(input))).collect();
        let rows: usize = parts.iter().map(|part| part.rows()).sum();
        let mut memory = Reservation::new(self.task.budget, Consumer::Compaction);
        self.memory.set(self.memory.bytes().saturating_sub(held));
        memory.set(held + rows * 24 + SeriesOrder::bytes_to_sort(&parts));
        let sorted = Sorted::new(&parts, self.task.partition.table);
        memory.set(held);
        Slice { parts, sorted, _memory: memory }
    }
}
