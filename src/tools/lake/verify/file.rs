//! One file, read wholly: row group by row group, a few columns at a time, so that memory grows neither with rows nor with columns.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;

use super::bounds::Bounds;
use super::rows::Keys;
use super::schema::{self, TIME_COLUMNS};
use super::{Checked, DAMAGED, Fault, Known};
use crate::lake::{damage, day_in, unreadable};

/// Columns that are read together, and most values of a batch.
const COLUMNS_AT_ONCE: usize = 16;
const BATCH_VALUES: usize = 1 << 17;
const BATCH_ROWS_MAX: usize = 8192;

/// Faults of a file that are listed.
const FAULTS_MAX: usize = 20;

pub fn check(data_dir: &Path, path: &str, known: &Known) -> Checked {
    let mut faults = Vec::new();
    let mut more = 0;
    let mut tell = |what: String| match faults.len() < FAULTS_MAX {
        true => faults.push(Fault { file: path.to_owned(), what, advice: DAMAGED }),
        false => more += 1,
    };
    let mut read = || -> Result<Option<(u64, u64)>, ParquetError> {
        let file = match File::open(data_dir.join(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let bytes = file.metadata()?.len();
        if let Some(what) = damage(&file)? {
            tell(what);
            return Ok(Some((0, bytes)));
        }
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = ArrowReaderMetadata::load(&file, options)?;
        let opened = Opened { file, metadata };
        let tags = schema::check(path, opened.metadata.metadata(), known, &mut tell);
        if let Err(error) = opened.check_values(tags.zip(day_in(path)), &mut tell) {
            // What reads some columns at once does not say in which it was.
            let place = unreadable(&opened.file, &opened.metadata).unwrap_or_else(|| error.to_string());
            tell(format!("cannot be read: {place}"));
            return Ok(Some((0, 0)));
        }
        Ok(Some((opened.metadata.metadata().file_metadata().num_rows().max(0) as u64, bytes)))
    };
    let (rows, bytes) = match read() {
        Ok(Some(read)) => read,
        Ok(None) => return Checked::Absent,
        Err(error) => {
            tell(format!("cannot be read: {error}"));
            (0, 0)
        }
    };
    if more > 0 {
        let what = format!("has {more} more faults like these");
        faults.push(Fault { file: path.to_owned(), what, advice: DAMAGED });
    }
    Checked::Read { rows, bytes, faults }
}

struct Opened {
    file: File,
    metadata: ArrowReaderMetadata,
}

impl Opened {
    /// The values of these columns in a row group.
    fn batches(&self, group: usize, columns: Range<usize>) -> Result<ParquetRecordBatchReader, ParquetError> {
        let rows = (BATCH_VALUES / columns.len().max(1)).clamp(1, BATCH_ROWS_MAX);
        let mask = ProjectionMask::leaves(self.metadata.parquet_schema(), columns);
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.try_clone()?, self.metadata.clone());
        builder.with_row_groups(vec![group]).with_projection(mask).with_batch_size(rows).build()
    }

    fn check_values(&self, keys: Option<(usize, i64)>, tell: &mut impl FnMut(String)) -> Result<(), ParquetError> {
        if let Some((tags, day)) = keys {
            self.check_keys(tags, day, tell)?;
        }
        self.check_bounds(tell)
    }

    /// Order of the rows, their day, and that none is there twice.
    fn check_keys(&self, tags: usize, day: i64, tell: &mut impl FnMut(String)) -> Result<(), ParquetError> {
        let mut keys = Keys::new(tags, day)?;
        for group in 0..self.metadata.metadata().num_row_groups() {
            for batch in self.batches(group, 0..TIME_COLUMNS + tags)? {
                keys.add(&batch?)?;
            }
        }
        keys.finish(tell);
        Ok(())
    }

    /// What the metadata says of each column chunk, against its values.
    fn check_bounds(&self, tell: &mut impl FnMut(String)) -> Result<(), ParquetError> {
        let metadata = self.metadata.metadata();
        let columns = metadata.file_metadata().schema_descr().num_columns();
        let mut rows = 0;
        for (index, group) in metadata.row_groups().iter().enumerate() {
            rows += group.num_rows();
            for first in (0..columns).step_by(COLUMNS_AT_ONCE) {
                let slice = first..(first + COLUMNS_AT_ONCE).min(columns);
                let mut found: Vec<Bounds> = slice.clone().map(|_| Bounds::default()).collect();
                for batch in self.batches(index, slice.clone())? {
                    for (bounds, column) in found.iter_mut().zip(batch?.columns()) {
                        bounds.add(column);
                    }
                }
                for (bounds, chunk) in found.iter().zip(&group.columns()[slice]) {
                    let name = chunk.column_descr().name();
                    if let Some(what) = bounds.disagrees(chunk.statistics(), group.num_rows()) {
                        tell(format!("row group {index}, column {name:?}: {what}"));
                    }
                }
            }
        }
        if rows != metadata.file_metadata().num_rows() {
            tell(format!("its footer counts {} rows, its row groups {rows}", metadata.file_metadata().num_rows()));
        }
        if rows == 0 {
            tell("holds no row".into());
        }
        Ok(())
    }
}
