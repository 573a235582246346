//! One Parquet file: a day of a table, row group by row group and column by column, so that memory does not grow with the
//! number of columns.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnDescPtr, Type, TypePtr};

use crate::budget::Reservation;
use crate::catalog::{FieldType, Table};
use crate::table::{FieldColumn, Strings, Values};

use super::chunk::{Body, Packer, Shape};
use super::column::{self, IntegerKind};
use super::gather::{Filled, Gather, Plan};
use super::manifest::NodeId;
use super::partition::DayPart;
use super::series::tag_order;
use super::sort::{GROUP_ROWS, Sorted};

/// Bytes that a row of one column takes while it is encoded: the value, its key or string slice, and its page.
const COLUMN_ROW_BYTES: usize = 40;

/// What a file says about its origin.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    pub node: NodeId,
    pub epoch: u64,
}

/// What a job needs to write a file.
pub(super) struct Input<'a> {
    pub table: &'a Table,
    pub parts: &'a [Arc<DayPart>],
    pub origin: Origin,
    pub path: &'a Path,
    /// Whether the file is synced. If not, the publisher syncs all files of the epoch at once.
    pub sync: bool,
}

/// A file that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub rows: u64,
    pub bytes: u64,
}

/// A file that could not be written; names it.
#[derive(Debug, thiserror::Error)]
pub(super) enum EncodeError {
    #[error("cannot write {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("cannot encode {path}: {source}")]
    Parquet { path: PathBuf, source: ParquetError },
}

/// Sorts the rows, writes the file and syncs it, if asked to. `memory` follows what is held.
pub(super) fn write_file(input: &Input<'_>, memory: &mut Reservation) -> std::result::Result<Written, EncodeError> {
    let io_error = |source| EncodeError::Io { path: input.path.to_owned(), source };
    let rows: usize = input.parts.iter().map(|part| part.rows()).sum();
    // While sorting: the time and the source of each row, and the order of the series.
    memory.set(rows * 24);
    let sorted = Sorted::new(input.parts, input.table);
    memory.set(sorted.bytes() + sorted.rows().min(GROUP_ROWS) * COLUMN_ROW_BYTES);

    let file = File::create(input.path).map_err(io_error)?;
    let file = encode(input, &sorted, file, memory).map_err(|source| match source {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(source) => io_error(*source),
            Err(source) => EncodeError::Parquet { path: input.path.to_owned(), source: ParquetError::External(source) },
        },
        source => EncodeError::Parquet { path: input.path.to_owned(), source },
    })?;
    if input.sync {
        file.sync_all().map_err(io_error)?;
    }
    let bytes = file.metadata().map_err(io_error)?.len();
    Ok(Written { rows: sorted.rows() as u64, bytes })
}

fn encode(input: &Input<'_>, sorted: &Sorted, file: File, memory: &mut Reservation) -> Result<File> {
    let schema = schema(input.table)?;
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties(input)?))?;
    let columns: Vec<ColumnDescPtr> = writer.schema_descr().columns().to_vec();
    let gather = Gather::new(input.parts, sorted);
    let mut encoder = Encoder {
        input,
        sorted,
        plans: (0..input.table.fields.len() as u32).map(|ordinal| gather.plan(ordinal)).collect(),
        gather,
        packer: Packer::new().map_err(|error| ParquetError::External(Box::new(error)))?,
        scratch: Scratch::default(),
        cursors: Vec::new(),
    };
    let held = memory.bytes() + encoder.plans.iter().map(Plan::bytes).sum::<usize>();
    for start in (0..sorted.rows()).step_by(GROUP_ROWS) {
        let rows = start..sorted.rows().min(start + GROUP_ROWS);
        let mut group = writer.next_row_group()?;
        encoder.row_group(rows, &columns, &mut group)?;
        group.close()?;
        memory.set(held + encoder.gather.bytes());
    }
    writer.into_inner()
}

/// Time, remainder, tags by name, fields by ordinal.
fn schema(table: &Table) -> Result<TypePtr> {
    let column = |name: &str, physical, logical, repetition| -> Result<TypePtr> {
        let column = Type::primitive_type_builder(name, physical).with_logical_type(logical);
        Ok(Arc::new(column.with_repetition(repetition).build()?))
    };
    let micros = LogicalType::timestamp(true, TimeUnit::MICROS);
    let mut columns = vec![
        column("time", PhysicalType::INT64, Some(micros), Repetition::REQUIRED)?,
        column("time_ns_rem", PhysicalType::INT32, None, Repetition::REQUIRED)?,
    ];
    for tag in tag_order(table) {
        let name = &table.tags[tag].parquet;
        columns.push(column(name, PhysicalType::BYTE_ARRAY, Some(LogicalType::String), Repetition::OPTIONAL)?);
    }
    for field in &table.fields {
        let (physical, logical) = match field.kind {
            FieldType::Float => (PhysicalType::DOUBLE, None),
            FieldType::Integer => (PhysicalType::INT64, None),
            FieldType::Unsigned => (PhysicalType::INT64, Some(LogicalType::integer(64, false))),
            FieldType::String => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
            FieldType::Boolean => (PhysicalType::BOOLEAN, None),
        };
        columns.push(column(&field.parquet, physical, logical, Repetition::OPTIONAL)?);
    }
    Ok(Arc::new(Type::group_type_builder("schema").with_fields(columns).build()?))
}

fn properties(input: &Input<'_>) -> Result<WriterProperties> {
    let table = input.table;
    let order = tag_order(table);
    let sorting = |column_idx| SortingColumn { column_idx, descending: false, nulls_first: true };
    // Tags stand behind time and time_ns_rem.
    let sorting: Vec<SortingColumn> = (2..2 + order.len() as i32).chain([0, 1]).map(sorting).collect();

    let tags: Vec<&str> = order.iter().map(|tag| &*table.tags[*tag].parquet).collect();
    let tag_names = table.tags.iter().map(|tag| (&tag.parquet, &tag.name));
    let names = tag_names.chain(table.fields.iter().map(|field| (&field.parquet, &field.name)));
    let renamed = names.filter(|(parquet, name)| parquet != name);
    let renamed: serde_json::Map<String, serde_json::Value> =
        renamed.map(|(parquet, name)| (parquet.to_string(), name.to_string().into())).collect();
    let json = |value: serde_json::Value| value.to_string();
    let pairs = [
        ("ringest.bucket", table.bucket.name.to_string()),
        ("ringest.measurement", table.name.to_string()),
        ("ringest.tags", json(tags.into())),
        ("ringest.names", json(renamed.into())),
        ("ringest.node", input.origin.node.to_string()),
        ("ringest.epoch", input.origin.epoch.to_string()),
    ];
    let pairs = pairs.into_iter().map(|(key, value)| KeyValue::new(key.to_owned(), value)).collect();
    Ok(WriterProperties::builder()
        .set_created_by(format!("ringest version {}", env!("CARGO_PKG_VERSION")))
        .set_key_value_metadata(Some(pairs))
        .set_sorting_columns(Some(sorting))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        // Page indexes would outweigh the data of a wide, sparse table.
        .set_offset_index_disabled(true)
        .build())
}

/// Buffers that every column uses again.
#[derive(Default)]
struct Scratch {
    floats: Vec<f64>,
    integers: Vec<i64>,
    booleans: Vec<bool>,
}

struct Encoder<'a> {
    input: &'a Input<'a>,
    sorted: &'a Sorted,
    gather: Gather<'a>,
    /// By ordinal of the field.
    plans: Vec<Plan<'a>>,
    packer: Packer,
    scratch: Scratch,
    /// By series of the row group: the next of its tag codes.
    cursors: Vec<usize>,
}

impl Encoder<'_> {
    fn row_group(
        &mut self,
        rows: Range<usize>,
        columns: &[ColumnDescPtr],
        group: &mut SerializedRowGroupWriter<'_, File>,
    ) -> Result<()> {
        let mut columns = columns.iter();
        let mut append = |packer: &mut Packer, body: Body| -> Result<()> {
            let column = columns.next().ok_or_else(|| ParquetError::General("more columns than the schema".into()))?;
            packer.pack(Arc::clone(column), body)?.append_to(group)
        };
        let shape = Shape { rows: rows.len(), filled: &Filled::All, required: true };
        let times = &self.sorted.time[rows.clone()];
        let integers = &mut self.scratch.integers;
        refill(integers, times.iter().map(|time| time.div_euclid(1000)));
        append(&mut self.packer, column::times(shape, integers, IntegerKind::Signed))?;
        refill(integers, times.iter().map(|time| time.rem_euclid(1000)));
        append(&mut self.packer, column::times(shape, integers, IntegerKind::Narrow))?;

        let series = self.series_of(&rows);
        self.cursors.clear();
        self.cursors.extend(series.iter().map(|(place, _)| self.sorted.series.codes_start(*place)));
        for tag in 0..self.input.table.tags.len() {
            let body = self.tag(tag, rows.len(), &series);
            append(&mut self.packer, body)?;
        }
        for ordinal in 0..self.plans.len() {
            let body = self.field(ordinal, rows.clone());
            append(&mut self.packer, body)?;
        }
        Ok(())
    }

    /// The series of a row group with the number of their rows in it.
    fn series_of(&self, rows: &Range<usize>) -> Vec<(usize, usize)> {
        let ends = &self.sorted.series_ends;
        let mut place = ends.partition_point(|end| *end as usize <= rows.start);
        let mut start = rows.start;
        let mut series = Vec::new();
        while start < rows.end {
            let end = rows.end.min(ends[place] as usize);
            if end > start {
                series.push((place, end - start));
            }
            start = end;
            place += 1;
        }
        series
    }

    /// Tag column `tag` in file order; asked for in ascending order.
    fn tag(&mut self, tag: usize, rows: usize, series: &[(usize, usize)]) -> Body {
        const UNSEEN: u32 = u32::MAX;
        let order = &self.sorted.series;
        let dictionary = &order.dictionaries[tag];
        let mut keys = vec![UNSEEN; dictionary.len() + 1];
        let mut entries: Vec<&[u8]> = Vec::new();
        let mut runs: Vec<(Option<u32>, usize)> = Vec::new();
        for ((place, count), cursor) in series.iter().zip(&mut self.cursors) {
            let rank = order.rank_at(*place, *cursor, tag);
            if let Some(rank) = rank {
                *cursor += 1;
                let key = &mut keys[rank as usize];
                if *key == UNSEEN {
                    *key = entries.len() as u32;
                    entries.push(dictionary.value(self.input.parts, rank));
                }
            }
            match runs.last_mut() {
                Some((last, rows)) if *last == rank => *rows += count,
                _ => runs.push((rank, *count)),
            }
        }
        let shape = |filled| Shape { rows, filled, required: false };
        if entries.len() == runs.len() && runs.len() > rows / 2 {
            return column::tags(shape(&Filled::All), &runs, &entries, |rank| keys[rank as usize]);
        }
        let filled = flags(&runs, rows);
        column::tags(shape(&filled), &runs, &entries, |rank| keys[rank as usize])
    }

    fn field(&mut self, ordinal: usize, rows: Range<usize>) -> Body {
        let (gather, plan) = (&self.gather, &self.plans[ordinal]);
        let columns: Vec<Option<&FieldColumn>> =
            self.input.parts.iter().map(|part| part.field(ordinal as u32)).collect();
        let count = rows.len();
        let shape = |filled| Shape { rows: count, filled, required: false };
        match self.input.table.fields[ordinal].kind {
            FieldType::Float => {
                let slices = typed(&columns, |values| if let Values::Float(values) = values { values } else { &[] });
                let out = &mut self.scratch.floats;
                let filled = gather.column(plan, rows, |part, index| slices[part][index], out);
                column::floats(shape(&filled), out)
            }
            FieldType::Integer => {
                let slices = typed(&columns, |values| if let Values::Integer(values) = values { values } else { &[] });
                let out = &mut self.scratch.integers;
                let filled = gather.column(plan, rows, |part, index| slices[part][index], out);
                column::integers(shape(&filled), out, IntegerKind::Signed)
            }
            FieldType::Unsigned => {
                let slices = typed(&columns, |values| if let Values::Unsigned(values) = values { values } else { &[] });
                let out = &mut self.scratch.integers;
                // Parquet keeps UINT_64 in the bits of an INT64.
                let filled = gather.column(plan, rows, |part, index| slices[part][index] as i64, out);
                column::integers(shape(&filled), out, IntegerKind::Unsigned)
            }
            FieldType::Boolean => {
                let slices = typed(&columns, |values| if let Values::Boolean(values) = values { values } else { &[] });
                let out = &mut self.scratch.booleans;
                let filled = gather.column(plan, rows, |part, index| slices[part][index], out);
                column::booleans(shape(&filled), out)
            }
            FieldType::String => {
                let empty = Strings::default();
                let strings: Vec<&Strings> = columns
                    .iter()
                    .map(|column| match column.map(|column| &column.values) {
                        Some(Values::String(strings)) => strings,
                        _ => &empty,
                    })
                    .collect();
                let mut out: Vec<&[u8]> = Vec::new();
                let filled = gather.column(plan, rows, |part, index| strings[part].get(index), &mut out);
                column::strings(shape(&filled), &out)
            }
        }
    }
}

/// The values of a column by part; a part without the column gets an empty slice.
fn typed<'a, T>(columns: &[Option<&'a FieldColumn>], values: impl Fn(&'a Values) -> &'a [T]) -> Vec<&'a [T]> {
    columns.iter().map(|column| column.map_or(&[][..], |column| values(&column.values))).collect()
}

fn refill<T>(to: &mut Vec<T>, values: impl Iterator<Item = T>) {
    to.clear();
    to.extend(values);
}

/// Which rows have a value, from runs.
fn flags(runs: &[(Option<u32>, usize)], rows: usize) -> Filled {
    if runs.iter().all(|(rank, _)| rank.is_some()) {
        return Filled::All;
    }
    let mut flags = Vec::with_capacity(rows);
    for (rank, count) in runs {
        flags.resize(flags.len() + count, u8::from(rank.is_some()));
    }
    Filled::Flags(flags)
}
