//! What is wrong with the bytes of a file, and where.

use std::fs::File;
use std::io;

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;

use super::checksum::Checksum;

/// Without a subject, as all sentences here.
pub const FOOTER_DAMAGED: &str = "is damaged, the bytes of its footer are not those that were written";

/// Compares a file with its checksum: reads all of it. `None`: it is as it was written, or has no checksum.
///
/// # Errors
/// The file cannot be read.
pub fn damage(file: &File) -> io::Result<Option<String>> {
    let Some(checksum) = Checksum::of(file)? else { return Ok(None) };
    if !checksum.holds_footer(file)? {
        return Ok(Some(FOOTER_DAMAGED.to_owned()));
    }
    if checksum.holds_pages(file)? {
        return Ok(None);
    }
    // The footer can be relied on.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let place = ArrowReaderMetadata::load(file, options).ok().and_then(|metadata| unreadable(file, &metadata));
    let place = place.unwrap_or_else(|| "not in the values of a column, but between them".to_owned());
    Ok(Some(format!("is damaged, its bytes are not those that were written: {place}")))
}

/// Compares the footer alone, which is read at once.
///
/// # Errors
/// The file cannot be read.
pub fn footer_is_damaged(file: &File) -> io::Result<bool> {
    Ok(Checksum::of(file)?.map(|checksum| checksum.holds_footer(file)).transpose()? == Some(false))
}

/// The first column chunk whose values cannot be read, and why.
pub fn unreadable(file: &File, metadata: &ArrowReaderMetadata) -> Option<String> {
    let columns = metadata.parquet_schema().columns();
    let chunks =
        (0..metadata.metadata().num_row_groups()).flat_map(|group| (0..columns.len()).map(move |at| (group, at)));
    chunks.into_iter().find_map(|(group, column)| {
        let error = read(file, metadata, group, column).err()?;
        Some(format!("row group {group}, column {:?}: {error}", columns[column].name()))
    })
}

fn read(file: &File, metadata: &ArrowReaderMetadata, group: usize, column: usize) -> Result<(), ParquetError> {
    let mask = ProjectionMask::leaves(metadata.parquet_schema(), [column]);
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file.try_clone()?, metadata.clone());
    for batch in builder.with_row_groups(vec![group]).with_projection(mask).build()? {
        batch?;
    }
    Ok(())
}
