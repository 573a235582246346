//! One Parquet file: a day of a table, row group by row group and column by column, so that memory does not grow with the
//! number of columns.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::file::metadata::SortingColumn;
use parquet::schema::types::{Type, TypePtr};

use crate::budget::Reservation;
use crate::catalog::{FieldType, Table};
use crate::table::{Booleans, Floats, Integers, Strings, Values};

use super::FileOptions;
use super::chunk::{ChunkWriter, Level, Shape};
use super::column::{self, IntegerKind};
use super::disk::Paced;
use super::footer::{Footer, io_error};
use super::gather::{Filled, Gather, Plan};
use super::manifest::NodeId;
use super::partition::DayPart;
use super::series::{PlaceRank, SeriesOrder, tag_order};
use super::sort::{GROUP_ROWS, Sorted};

/// Bytes that a row of one column takes while it is encoded, pages aside: the value or string slice, its key, whether it
/// is there.
const COLUMN_ROW_BYTES: usize = 32;

/// The footer's key for the first epoch of a compacted file.
pub(super) const FIRST_EPOCH: &str = "ringest.first_epoch";

const CREATED_BY: &str = concat!("ringest version ", env!("CARGO_PKG_VERSION"));

/// What a file says about its origin.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    pub node: NodeId,
    pub epoch: u64,
    /// The first epoch with rows in the file; `epoch` unless the file is compacted.
    pub first_epoch: u64,
}

/// What a job needs to write a file.
pub(super) struct Input<'a> {
    pub table: &'a Table,
    pub parts: &'a [Arc<DayPart>],
    pub origin: Origin,
    pub path: &'a Path,
    /// Whether the file is synced. If not, the publisher syncs all files of the epoch at once.
    pub sync: bool,
    pub files: FileOptions,
}

/// A file that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub rows: u64,
    pub bytes: u64,
}

/// A file that could not be written; names it.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {source}")]
pub(super) struct EncodeError {
    pub path: PathBuf,
    pub source: io::Error,
}

/// Sorts the rows, writes the file and syncs it, if asked to. `memory` follows what is held.
pub(super) fn write_file(input: &Input<'_>, memory: &mut Reservation) -> Result<Written, EncodeError> {
    write_and_sync(input, memory).map_err(|source| EncodeError { path: input.path.to_owned(), source })
}

fn write_and_sync(input: &Input<'_>, memory: &mut Reservation) -> io::Result<Written> {
    let rows: usize = input.parts.iter().map(|part| part.rows()).sum();
    // While sorting: the time and the source of each row, and the order of the series.
    memory.set(rows * 24 + SeriesOrder::bytes_to_sort(input.parts));
    let sorted = Sorted::new(input.parts, input.table);
    memory.set(bytes_to_encode(&sorted));

    let file = encode(input, &sorted, Paced::new(File::create(input.path)?, input.sync), memory)?;
    if input.sync {
        file.sync_all()?;
    }
    Ok(Written { rows: sorted.rows() as u64, bytes: file.metadata()?.len() })
}

fn encode(input: &Input<'_>, sorted: &Sorted, file: Paced, memory: &mut Reservation) -> io::Result<File> {
    let held = memory.bytes();
    let mut writer = FileWriter::new(file, input.table, Level::Flush, input.files, memory)?;
    writer.append(input.parts, sorted, held, &mut || {})?;
    writer.finish(&input.origin)
}

/// Bytes that encoding takes while it holds a row group of a sorted slice, pages and plans aside.
pub(super) fn bytes_to_encode(sorted: &Sorted) -> usize {
    sorted.bytes() + sorted.rows().min(GROUP_ROWS) * COLUMN_ROW_BYTES
}

/// A file that is being written, slice by slice; each slice lies behind the one before and begins a row group.
pub(super) struct FileWriter<'a> {
    table: &'a Table,
    chunks: ChunkWriter<'a>,
    scratch: Scratch,
}

impl<'a> FileWriter<'a> {
    /// `memory` follows what is held.
    pub fn new(
        file: Paced,
        table: &'a Table,
        level: Level,
        files: FileOptions,
        memory: &'a mut Reservation,
    ) -> io::Result<Self> {
        let footer = Footer::new(leaves(table)?, sorting(table))?;
        let chunks = ChunkWriter::new(file, footer, level, files.page_index, memory)?;
        Ok(Self { table, chunks, scratch: Scratch::default() })
    }

    /// Appends the rows of `parts` in this order, as row groups. `held`: bytes of the slice, which `memory` covers too. `pause` is called before each
    /// column: what is more urgent has its turn there.
    pub fn append(
        &mut self,
        parts: &[Arc<DayPart>],
        sorted: &Sorted,
        held: usize,
        pause: &mut dyn FnMut(),
    ) -> io::Result<()> {
        let gather = Gather::new(parts, sorted);
        let plans: Vec<Plan<'_>> = (0..self.table.fields.len() as u32).map(|ordinal| gather.plan(ordinal)).collect();
        let held = held + plans.iter().map(|plan| size_of::<Plan<'_>>() + plan.bytes()).sum::<usize>();
        let Self { table, chunks, scratch } = self;
        let mut encoder = Encoder { table, parts, sorted, gather, plans, chunks, scratch };
        for rows in encoder.gather.row_groups() {
            encoder.chunks.set_base(held + encoder.gather.bytes());
            encoder.row_group(rows, pause)?;
        }
        Ok(())
    }

    /// Bytes of the file so far, with what its footer will take, about.
    pub fn bytes(&self) -> usize {
        self.chunks.bytes()
    }

    /// Bytes of memory that the file takes until it is finished: its metadata.
    pub fn held(&self) -> usize {
        self.chunks.held()
    }

    /// Writes the footer; nothing is synced.
    pub fn finish(self, origin: &Origin) -> io::Result<File> {
        self.chunks.finish(CREATED_BY, &pairs(self.table, origin))
    }
}

/// Time, remainder, tags by name, fields by ordinal.
fn leaves(table: &Table) -> io::Result<Vec<TypePtr>> {
    let micros = LogicalType::timestamp(true, TimeUnit::MICROS);
    let mut leaves = vec![
        leaf("time", Repetition::REQUIRED, Physical::INT64, Some(micros))?,
        leaf("time_ns_rem", Repetition::REQUIRED, Physical::INT32, None)?,
    ];
    for tag in tag_order(table) {
        let name = &table.tags[tag].parquet;
        leaves.push(leaf(name, Repetition::OPTIONAL, Physical::BYTE_ARRAY, Some(LogicalType::String))?);
    }
    for field in table.fields.iter() {
        let (physical, logical) = match field.kind {
            FieldType::Float => (Physical::DOUBLE, None),
            FieldType::Integer => (Physical::INT64, None),
            FieldType::Unsigned => (Physical::INT64, Some(LogicalType::integer(64, false))),
            FieldType::String => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            FieldType::Boolean => (Physical::BOOLEAN, None),
        };
        leaves.push(leaf(&field.parquet, Repetition::OPTIONAL, physical, logical)?);
    }
    Ok(leaves)
}

fn leaf(name: &str, repetition: Repetition, physical: Physical, logical: Option<LogicalType>) -> io::Result<TypePtr> {
    let leaf = Type::primitive_type_builder(name, physical).with_repetition(repetition).with_logical_type(logical);
    leaf.build().map(Arc::new).map_err(io_error)
}

/// Tags stand behind time and time_ns_rem, and rows are sorted by them first.
fn sorting(table: &Table) -> Vec<SortingColumn> {
    let columns = (2..2 + table.tags.len() as i32).chain([0, 1]);
    columns.map(|column_idx| SortingColumn { column_idx, descending: false, nulls_first: true }).collect()
}

/// What the footer says in key-value pairs.
fn pairs(table: &Table, origin: &Origin) -> Vec<(&'static str, String)> {
    let tags: Vec<&str> = tag_order(table).into_iter().map(|tag| &*table.tags[tag].parquet).collect();
    let renamed: serde_json::Map<String, serde_json::Value> =
        table.renamed().map(|(column, name)| (column.to_owned(), name.into())).collect();
    let json = |value: serde_json::Value| value.to_string();
    let mut pairs = vec![
        ("ringest.bucket", table.bucket.name.to_string()),
        ("ringest.measurement", table.name.to_string()),
        ("ringest.tags", json(tags.into())),
        ("ringest.names", json(renamed.into())),
        ("ringest.node", origin.node.to_string()),
        ("ringest.epoch", origin.epoch.to_string()),
    ];
    if origin.first_epoch != origin.epoch {
        pairs.push((FIRST_EPOCH, origin.first_epoch.to_string()));
    }
    pairs
}

/// Buffers that every column uses again.
#[derive(Default)]
struct Scratch {
    floats: Vec<f64>,
    integers: Vec<i64>,
    booleans: Vec<bool>,
}

struct Encoder<'a, 'm> {
    table: &'a Table,
    parts: &'a [Arc<DayPart>],
    sorted: &'a Sorted,
    gather: Gather<'a>,
    /// By ordinal of the field.
    plans: Vec<Plan<'a>>,
    chunks: &'a mut ChunkWriter<'m>,
    scratch: &'a mut Scratch,
}

impl Encoder<'_, '_> {
    fn row_group(&mut self, rows: Range<usize>, pause: &mut dyn FnMut()) -> io::Result<()> {
        pause();
        let shape = Shape { rows: rows.len(), filled: &Filled::All, required: true };
        let times = &self.sorted.time[rows.clone()];
        let integers = &mut self.scratch.integers;
        refill(integers, times.iter().map(|time| time.div_euclid(1000)));
        column::times(self.chunks, shape, integers, IntegerKind::Signed)?;
        integers
            .iter_mut()
            .zip(times)
            .for_each(|(micros, time)| *micros = time.wrapping_sub(micros.wrapping_mul(1000)));
        column::times(self.chunks, shape, integers, IntegerKind::Narrow)?;

        let places = self.places(&rows);
        for tag in 0..self.table.tags.len() {
            pause();
            self.tag(tag, &rows, places.clone())?;
        }
        for ordinal in 0..self.plans.len() {
            pause();
            self.field(ordinal, rows.clone())?;
        }
        self.chunks.end_row_group(rows.len())
    }

    /// The places of the series that have rows among `rows`.
    fn places(&self, rows: &Range<usize>) -> Range<u32> {
        let ends = &self.sorted.series_ends;
        let first = ends.partition_point(|end| *end as usize <= rows.start);
        let last = ends.partition_point(|end| (*end as usize) < rows.end);
        first as u32..last as u32 + 1
    }

    /// Tag column `tag` in file order. Takes time by the series that have it: a table may have as many tags as rows.
    fn tag(&mut self, tag: usize, rows: &Range<usize>, places: Range<u32>) -> io::Result<()> {
        const UNSEEN: u32 = u32::MAX;
        let (order, ends) = (&self.sorted.series, &self.sorted.series_ends);
        let dictionary = &order.dictionaries[tag];
        let mut keys = vec![UNSEEN; dictionary.len() + 1];
        let mut entries: Vec<&[u8]> = Vec::new();
        let mut runs: Vec<(u32, usize)> = Vec::new();
        let mut filled: Vec<Range<u32>> = Vec::new();
        for PlaceRank { place, rank } in order.with_tag(tag, places) {
            let start = if *place == 0 { 0 } else { ends[*place as usize - 1] as usize };
            let start = (start.max(rows.start) - rows.start) as u32;
            let end = ((ends[*place as usize] as usize).min(rows.end) - rows.start) as u32;
            if start == end {
                continue;
            }
            let key = &mut keys[*rank as usize];
            if *key == UNSEEN {
                *key = entries.len() as u32;
                entries.push(dictionary.value(self.parts, *rank));
            }
            match runs.last_mut() {
                Some((last, rows)) if last == key => *rows += (end - start) as usize,
                _ => runs.push((*key, (end - start) as usize)),
            }
            match filled.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => filled.push(start..end),
            }
        }
        let all = 0..rows.len() as u32;
        let filled = if filled.first() == Some(&all) { Filled::All } else { Filled::Ranges(filled) };
        let shape = Shape { rows: rows.len(), filled: &filled, required: false };
        column::tags(self.chunks, shape, &runs, &entries)
    }

    fn field(&mut self, ordinal: usize, rows: Range<usize>) -> io::Result<()> {
        let (gather, plan) = (&self.gather, &self.plans[ordinal]);
        let chunks = &mut *self.chunks;
        if let Plan::Empty = plan {
            return chunks.nulls(rows.len());
        }
        let columns: Vec<Option<&Values>> =
            self.parts.iter().map(|part| part.field(ordinal as u32).map(|column| &column.values)).collect();
        let count = rows.len();
        let shape = |filled| Shape { rows: count, filled, required: false };
        match self.table.fields[ordinal].kind {
            FieldType::Float => {
                let (none, out) = (Floats::default(), &mut self.scratch.floats);
                let stored = by_part(&columns, |values| match values {
                    Some(Values::Float(values)) => values,
                    _ => &none,
                });
                let filled = gather.column(plan, rows, &stored, out);
                column::floats(chunks, shape(&filled), out)
            }
            FieldType::Integer | FieldType::Unsigned => {
                let (none, out) = (Integers::default(), &mut self.scratch.integers);
                // Parquet keeps UINT_64 in the bits of an INT64, as the column does.
                let stored = by_part(&columns, |values| match values {
                    Some(Values::Integer(values) | Values::Unsigned(values)) => values,
                    _ => &none,
                });
                let filled = gather.column(plan, rows, &stored, out);
                let unsigned = self.table.fields[ordinal].kind == FieldType::Unsigned;
                let kind = if unsigned { IntegerKind::Unsigned } else { IntegerKind::Signed };
                column::integers(chunks, shape(&filled), out, kind)
            }
            FieldType::Boolean => {
                let (none, out) = (Booleans::default(), &mut self.scratch.booleans);
                let stored = by_part(&columns, |values| match values {
                    Some(Values::Boolean(values)) => values,
                    _ => &none,
                });
                let filled = gather.column(plan, rows, &stored, out);
                column::booleans(chunks, shape(&filled), out)
            }
            FieldType::String => {
                let (none, mut out) = (Strings::default(), Vec::new());
                let stored = by_part(&columns, |values| match values {
                    Some(Values::String(values)) => values,
                    _ => &none,
                });
                let filled = gather.column(plan, rows, &stored, &mut out);
                column::strings(chunks, shape(&filled), &out)
            }
        }
    }
}

/// The values of a column by part, as their type.
fn by_part<'a, T>(columns: &[Option<&'a Values>], typed: impl Fn(Option<&'a Values>) -> &'a T) -> Vec<&'a T> {
    columns.iter().map(|values| typed(*values)).collect()
}

fn refill<T>(to: &mut Vec<T>, values: impl Iterator<Item = T>) {
    to.clear();
    to.extend(values);
}
