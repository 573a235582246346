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

use arrow::array::{ArrayRef, RecordBatch, UInt64Array, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::ipc::writer::FileWriter;

use crate::catalog::Table;
use crate::table::arrays::{self, Tags};

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
        let mut tags =
            Tags::new(&part.keys, part.keys.values.clone(), job.table.tags.len()).map_err(io::Error::other)?;
        for start in (0..part.rows()).step_by(rows_max) {
            let rows = start..part.rows().min(start + rows_max);
            let batch = batch(&schema, &job.table, part, &mut tags, rows).map_err(io::Error::other)?;
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
    let request = Field::new("ringest_request", DataType::UInt64, false);
    let mut fields = vec![request, Field::new("time", arrays::time_type(), false)];
    fields.extend(table.tags.iter().map(|tag| Field::new(&*tag.parquet, DataType::Utf8, true)));
    fields.extend(table.fields.iter().map(|field| Field::new(&*field.parquet, arrays::field_type(field.kind), true)));
    let facts = [
        ("ringest.bucket", table.bucket.name.to_string()),
        ("ringest.measurement", table.name.to_string()),
        ("ringest.epoch", epoch.to_string()),
    ];
    let facts: HashMap<String, String> = facts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Schema::new(fields).with_metadata(facts)
}

fn batch(
    schema: &Arc<Schema>,
    table: &Table,
    part: &DayPart,
    tags: &mut Tags,
    rows: Range<usize>,
) -> Result<RecordBatch, ArrowError> {
    let (mut time, mut series) = (Vec::new(), Vec::new());
    part.time.extend_into(rows.clone(), &mut time);
    part.series.extend_into(rows.clone(), &mut series);
    let requests: UInt64Array = rows.clone().map(|row| Some(request_of(part, row))).collect();
    let mut columns: Vec<ArrayRef> = vec![Arc::new(requests), arrays::times(time)];
    for tag in 0..table.tags.len() {
        // A file of Arrow IPC has one dictionary per column; parts have their own.
        columns.push(cast(&tags.array(tag, &series)?, &DataType::Utf8)?);
    }
    for ordinal in 0..table.fields.len() as u32 {
        columns.push(match part.field(ordinal) {
            Some(column) => arrays::values(column, rows.clone())?,
            None => new_null_array(schema.field(columns.len()).data_type(), rows.len()),
        });
    }
    RecordBatch::try_new(Arc::clone(schema), columns)
}

fn request_of(part: &DayPart, row: usize) -> u64 {
    let behind = part.runs.partition_point(|run| run.first_row as usize <= row);
    behind.checked_sub(1).map_or(0, |run| part.runs[run].request)
}
