//! The page index of a file, where it is asked for: of each page its place, its first row and its bounds, so that readers may pass over
//! pages within a row group ("Parquet page index: layout to support page skipping").

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::Type as Physical;
use parquet::file::metadata::page_index::{PageIndex, PageIndexBuilder};
use parquet::file::metadata::{ColumnIndexBuilder, OffsetIndexBuilder};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::file::statistics::Statistics;
use parquet::file::writer::TrackedWrite;

use super::footer::io_error;

/// What a page takes here, its bounds of strings aside: places, flags, counts and the headers of two vectors.
const PAGE_BYTES: usize = 96;
/// What a chunk takes without its pages.
const CHUNK_BYTES: usize = size_of::<ColumnIndexMetaData>() + size_of::<OffsetIndexMetaData>();

/// Takes the pages of one chunk in their order.
pub(super) struct ChunkIndex {
    bounds: ColumnIndexBuilder,
    places: OffsetIndexBuilder,
    bytes: usize,
}

/// What the file says of one chunk's pages. Bounds are missing where one page has values and none that can be told.
pub(super) struct Built {
    bounds: Option<ColumnIndexMetaData>,
    places: OffsetIndexMetaData,
    /// On the heap and in itself, about.
    pub bytes: usize,
}

impl ChunkIndex {
    pub fn new(physical: Physical) -> Self {
        Self { bounds: ColumnIndexBuilder::new(physical), places: OffsetIndexBuilder::new(), bytes: CHUNK_BYTES }
    }

    /// The next page has `rows` rows, `nulls` of them without a value. Its place follows with `placed`.
    pub fn page(&mut self, rows: usize, nulls: usize, bounds: &Statistics) {
        self.places.append_row_count(rows as i64);
        let (min, max) = (bounds.min_bytes_opt(), bounds.max_bytes_opt());
        if rows > nulls && (min.is_none() || max.is_none()) {
            // A column index tells bounds of every page that has values, or there is none.
            self.bounds.to_invalid();
        }
        let [min, max] = [min, max].map(|bound| bound.unwrap_or_default().to_vec());
        self.bytes += PAGE_BYTES + min.len() + max.len();
        self.bounds.append(rows == nulls, min, max, nulls as i64, None);
    }

    /// The next page whose place is not known yet lies at `offset`, with its header `bytes` long.
    pub fn placed(&mut self, offset: u64, bytes: usize) {
        self.places.append_offset_and_size(offset as i64, bytes as i32);
    }

    pub fn build(self) -> io::Result<Built> {
        let bounds = if self.bounds.valid() { Some(self.bounds.build().map_err(io_error)?) } else { None };
        Ok(Built { bounds, places: self.places.build(), bytes: self.bytes })
    }
}

/// The index of the whole file: by row group, its columns.
pub(super) fn of_file(groups: Vec<Vec<Built>>) -> Arc<PageIndex> {
    let columns = groups.first().map_or(0, Vec::len);
    let mut index = PageIndexBuilder::new(groups.len(), columns);
    for (group, chunks) in groups.into_iter().enumerate() {
        for (column, Built { bounds, places, .. }) in chunks.into_iter().enumerate() {
            if let Some(bounds) = bounds {
                index.put_column_index(bounds, group, column);
            }
            index.put_offset_index(places, group, column);
        }
    }
    Arc::new(index.build())
}

/// A writer that has written `position` bytes already, which go nowhere; all others go to `out`. The crate takes the places of the indexes from
/// the bytes that it has seen, and it has not seen the pages.
pub(super) fn tracked_from<W: Write>(position: u64, out: W) -> io::Result<TrackedWrite<Behind<W>>> {
    /// Larger than the buffer before the writer, so that nothing is copied.
    static NOTHING: [u8; 1 << 16] = [0; 1 << 16];
    let mut tracked = TrackedWrite::new(Behind { skip: position, out });
    let mut rest = position;
    while rest > 0 {
        let piece = rest.min(NOTHING.len() as u64);
        tracked.write_all(&NOTHING[..piece as usize])?;
        rest -= piece;
    }
    Ok(tracked)
}

pub(super) struct Behind<W> {
    skip: u64,
    out: W,
}

impl<W: Write> Write for Behind<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let skipped = self.skip.min(bytes.len() as u64);
        self.skip -= skipped;
        self.out.write_all(&bytes[skipped as usize..])?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
