//! Rows that could not be encoded, twice: kept as Arrow IPC files in `quarantine/`, so that the epochs behind them go on.
//!
//! This is the way of last resort, so it shares nothing with the encoder that failed: rows as they came, unsorted, with the number of
//! their request, by plain Arrow arrays. Where a row refers to a series or value that does not exist, the tag is null.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::error::ArrowError;
use arrow::ipc::writer::FileWriter;

use crate::catalog::{FieldType, Table};
use crate::table::{FieldColumn, Presence, SeriesSet, Strings, Values};

use super::disk::sync_folder;
use super::job::TableDay;
use super::partition::DayPart;

/// Cells of one batch: bounds what is held beside the rows themselves.
const BATCH_CELLS: usize = 1 << 20;

/// The folder of rescued rows.
pub(super) fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("quarantine")
}

/// How many files lie in quarantine; none where the folder does not exist or cannot be read.
pub(super) fn count(data_dir: &Path) -> usize {
    fs::read_dir(folder(data_dir)).map_or(0, |entries| entries.flatten().count())
}

/// Writes the rows of a job to a file of their own, durably. `n` is that of the Parquet file that they have not become.
pub(super) fn save(data_dir: &Path, epoch: u64, n: u32, job: &TableDay) -> io::Result<PathBuf> {
    let folder = folder(data_dir);
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{epoch:013}-{n:04}-{}-{}.arrow", job.table.id, job.day));
    let schema = Arc::new(schema(&job.table, epoch));
    let mut writer = FileWriter::try_new(File::create(&path)?, &schema).map_err(io::Error::other)?;
    let rows_max = (BATCH_CELLS / schema.fields().len()).max(1);
    for part in &job.parts {
        for start in (0..part.rows()).step_by(rows_max) {
            let rows = start..part.rows().min(start + rows_max);
            let batch = batch(&schema, &job.table, part, rows).map_err(io::Error::other)?;
            writer.write(&batch).map_err(io::Error::other)?;
        }
    }
    writer.finish().map_err(io::Error::other)?;
    writer.get_ref().sync_all()?;
    for folder in [&*folder, data_dir] {
        sync_folder(folder).map_err(io::Error::other)?;
    }
    Ok(path)
}

/// Request, time in nanoseconds, tags and fields by ordinal, under their names in Parquet.
fn schema(table: &Table, epoch: u64) -> Schema {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let mut fields = vec![Field::new("ringest_request", DataType::UInt64, false), Field::new("time", time, false)];
    fields.extend(table.tags.iter().map(|tag| Field::new(&*tag.parquet, DataType::Utf8, true)));
    fields.extend(table.fields.iter().map(|field| {
        let kind = match field.kind {
            FieldType::Float => DataType::Float64,
            FieldType::Integer => DataType::Int64,
            FieldType::Unsigned => DataType::UInt64,
            FieldType::Boolean => DataType::Boolean,
            FieldType::String => DataType::Utf8,
        };
        Field::new(&*field.parquet, kind, true)
    }));
    let facts = [
        ("ringest.bucket", table.bucket.name.to_string()),
        ("ringest.measurement", table.name.to_string()),
        ("ringest.epoch", epoch.to_string()),
    ];
    let facts: HashMap<String, String> = facts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Schema::new(fields).with_metadata(facts)
}

fn batch(schema: &Arc<Schema>, table: &Table, part: &DayPart, rows: Range<usize>) -> Result<RecordBatch, ArrowError> {
    let times = part.time[rows.clone()].iter().copied();
    let requests: UInt64Array = rows.clone().map(|row| Some(request_of(part, row))).collect();
    let mut columns: Vec<ArrayRef> =
        vec![Arc::new(requests), Arc::new(TimestampNanosecondArray::from_iter_values(times).with_timezone("UTC"))];
    for tag in 0..table.tags.len() as u32 {
        let values: StringArray =
            part.series[rows.clone()].iter().map(|series| tag_of(&part.keys, *series as usize, tag)).collect();
        columns.push(Arc::new(values));
    }
    for (ordinal, field) in (0..).zip(&table.fields) {
        columns.push(match part.field(ordinal) {
            Some(column) => values(column, rows.clone()),
            None => arrow::array::new_null_array(schema.field(columns.len()).data_type(), rows.len()),
        });
        debug_assert_eq!(
            columns.last().map(|column| column.data_type()),
            Some(schema.field(columns.len() - 1).data_type()),
            "{field:?}"
        );
    }
    RecordBatch::try_new(Arc::clone(schema), columns)
}

fn request_of(part: &DayPart, row: usize) -> u64 {
    let behind = part.runs.partition_point(|run| run.first_row as usize <= row);
    behind.checked_sub(1).map_or(0, |run| part.runs[run].request)
}

fn tag_of(keys: &SeriesSet, series: usize, tag: u32) -> Option<&str> {
    if series >= keys.len() {
        return None;
    }
    let tags = keys.tags_of(series);
    let pair = tags.get(tags.binary_search_by_key(&tag, |pair| pair.tag).ok()?)?;
    text(keys.values.get(tag as usize)?, pair.value as usize)
}

fn text(strings: &Strings, index: usize) -> Option<&str> {
    (index < strings.len()).then(|| strings.get(index)).and_then(|bytes| std::str::from_utf8(bytes).ok())
}

/// The values of `rows` as an array.
fn values(column: &FieldColumn, rows: Range<usize>) -> ArrayRef {
    let places: Vec<Option<usize>> = match &column.presence {
        Presence::Dense => rows.map(Some).collect(),
        Presence::Sparse(present) => rows.map(|row| present.binary_search(&(row as u32)).ok()).collect(),
    };
    let places = places.into_iter();
    match &column.values {
        Values::Float(values) => Arc::new(places.map(|at| values.get(at?).copied()).collect::<Float64Array>()),
        Values::Integer(values) => Arc::new(places.map(|at| values.get(at?).copied()).collect::<Int64Array>()),
        Values::Unsigned(values) => Arc::new(places.map(|at| values.get(at?).copied()).collect::<UInt64Array>()),
        Values::Boolean(values) => Arc::new(places.map(|at| values.get(at?).copied()).collect::<BooleanArray>()),
        Values::String(values) => Arc::new(places.map(|at| text(values, at?)).collect::<StringArray>()),
    }
}
