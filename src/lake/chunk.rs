//! Column chunks: pages compressed and put together with their metadata.
//!
//! Own pages instead of the stock column writers, which cost twice the time (they hash every row of a dictionary again
//! and take a level per row): a tag column is written from runs of series, a sparse column from the rows it has.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, PageType, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ColumnChunkMetaDataBuilder, PageEncodingStats};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, SerializedRowGroupWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use super::gather::Filled;
use super::pages;

/// Most rows of a page; a page of doubles then is 512 KiB.
const PAGE_ROWS: usize = 64 * 1024;
/// Strings are cut into pages of about so many bytes, and of at most `STRING_PAGE_MAX`.
const STRING_PAGE: usize = 1 << 20;
const STRING_PAGE_MAX: usize = 1 << 30;
/// Chunks below this many bytes are not worth a compression.
const COMPRESSED_MIN: usize = 256;
/// zstd level of a flush: stronger levels belong to compaction.
const ZSTD_LEVEL: i32 = 1;

/// The rows of a chunk.
#[derive(Clone, Copy)]
pub(super) struct Shape<'a> {
    pub rows: usize,
    pub filled: &'a Filled,
    /// A required column has no levels.
    pub required: bool,
}

/// A column chunk, ready to be appended to its row group.
pub(super) struct Chunk {
    bytes: Bytes,
    close: ColumnCloseResult,
}

impl Chunk {
    pub fn append_to<W: io::Write + Send>(self, group: &mut SerializedRowGroupWriter<'_, W>) -> Result<()> {
        group.append_column(&self.bytes, self.close)
    }
}

/// The values of a chunk, encoded and not compressed.
pub(super) struct Body {
    pub encoding: Encoding,
    pub dictionary: Option<DictionaryBody>,
    pub pages: Vec<DataBody>,
    pub statistics: Statistics,
}

pub(super) struct DictionaryBody {
    pub bytes: Vec<u8>,
    pub entries: usize,
}

pub(super) struct DataBody {
    pub bytes: Vec<u8>,
    pub rows: usize,
}

impl Body {
    /// Cuts the rows of `shape` into pages of `page_rows`; `write(values, out)` encodes a range of the values.
    pub fn new(
        shape: Shape<'_>,
        page_rows: usize,
        encoding: Encoding,
        statistics: Statistics,
        mut write: impl FnMut(Range<usize>, &mut Vec<u8>),
    ) -> Self {
        let mut pages = Vec::new();
        let mut value = 0;
        for start in (0..shape.rows).step_by(page_rows) {
            let rows = start..shape.rows.min(start + page_rows);
            let mut bytes = Vec::new();
            if !shape.required {
                pages::levels(shape.filled, rows.clone(), &mut bytes);
            }
            let end = value + pages::values_in(shape.filled, rows.clone());
            write(value..end, &mut bytes);
            value = end;
            pages.push(DataBody { bytes, rows: rows.len() });
        }
        Self { encoding, dictionary: None, pages, statistics }
    }

    /// Pages of values that take the same room each.
    pub fn even(
        shape: Shape<'_>,
        encoding: Encoding,
        statistics: Statistics,
        write: impl FnMut(Range<usize>, &mut Vec<u8>),
    ) -> Self {
        Self::new(shape, PAGE_ROWS, encoding, statistics, write)
    }

    /// Pages of keys into a dictionary.
    pub fn keyed(shape: Shape<'_>, keys: &[u32], dictionary: DictionaryBody, statistics: Statistics) -> Self {
        let entries = dictionary.entries;
        let body = Self::even(shape, Encoding::RLE_DICTIONARY, statistics, |values, out| {
            pages::keys(&keys[values], entries, out);
        });
        Self { dictionary: Some(dictionary), ..body }
    }

    /// Pages of strings as they are.
    pub fn strings(shape: Shape<'_>, values: &[&[u8]], statistics: Statistics) -> Self {
        let bytes: usize = values.iter().map(|value| value.len() + 4).sum();
        let longest = values.iter().map(|value| value.len() + 4).max().unwrap_or(4);
        let usual = shape.rows * STRING_PAGE / bytes.max(1);
        let page_rows = usual.min(STRING_PAGE_MAX / longest).clamp(1, PAGE_ROWS);
        Self::new(shape, page_rows, Encoding::PLAIN, statistics, |range, out| {
            values[range].iter().for_each(|value| pages::plain_string(value, out));
        })
    }

    fn bytes(&self) -> usize {
        let pages: usize = self.pages.iter().map(|page| page.bytes.len()).sum();
        pages + self.dictionary.as_ref().map_or(0, |dictionary| dictionary.bytes.len())
    }
}

/// Compresses chunks; one per lake job, because a zstd context is dear to make.
pub(super) struct Packer {
    zstd: zstd::bulk::Compressor<'static>,
}

impl Packer {
    pub fn new() -> io::Result<Self> {
        Ok(Self { zstd: zstd::bulk::Compressor::new(ZSTD_LEVEL)? })
    }

    pub fn pack(&mut self, column: ColumnDescPtr, body: Body) -> Result<Chunk> {
        let raw = body.bytes();
        let compressed = if raw < COMPRESSED_MIN { None } else { self.compress(&body)? };
        // Where compression gains nothing, readers are spared it.
        let compressed = compressed.filter(|pages| pages.iter().map(Vec::len).sum::<usize>() < raw - raw / 16);
        let compression = match compressed {
            Some(_) => Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?),
            None => Compression::UNCOMPRESSED,
        };
        assemble(column, body, compressed, compression)
    }

    /// Dictionary page first, as in the file.
    fn compress(&mut self, body: &Body) -> Result<Option<Vec<Vec<u8>>>> {
        let dictionary = body.dictionary.iter().map(|dictionary| &dictionary.bytes);
        let pages = dictionary.chain(body.pages.iter().map(|page| &page.bytes));
        let compressed: io::Result<Vec<_>> = pages.map(|page| self.zstd.compress(page)).collect();
        Ok(Some(compressed.map_err(|error| ParquetError::External(Box::new(error)))?))
    }
}

fn assemble(
    column: ColumnDescPtr,
    body: Body,
    compressed: Option<Vec<Vec<u8>>>,
    compression: Compression,
) -> Result<Chunk> {
    let rows: usize = body.pages.iter().map(|page| page.rows).sum();
    let mut compressed = compressed.map(Vec::into_iter);
    let mut stored = |raw: Vec<u8>| match compressed.as_mut().and_then(Iterator::next) {
        Some(compressed) => compressed,
        None => raw,
    };
    let mut sink = TrackedWrite::new(Vec::new());
    let mut uncompressed = 0;
    let mut write = |page: Page, raw: usize| -> Result<u64> {
        let spec = SerializedPageWriter::new(&mut sink).write_page(CompressedPage::new(page, raw))?;
        uncompressed += spec.uncompressed_size;
        Ok(spec.bytes_written)
    };

    let mut dictionary_bytes = None;
    let mut encodings = vec![body.encoding, Encoding::RLE];
    let mut encoding_stats = Vec::new();
    if let Some(DictionaryBody { bytes, entries }) = body.dictionary {
        let raw = bytes.len();
        let page = Page::DictionaryPage {
            buf: stored(bytes).into(),
            num_values: entries as u32,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        dictionary_bytes = Some(write(page, raw)?);
        encodings.push(Encoding::PLAIN);
        encoding_stats.push(PageEncodingStats {
            page_type: PageType::DICTIONARY_PAGE,
            encoding: Encoding::PLAIN,
            count: 1,
        });
    }
    encoding_stats.push(PageEncodingStats {
        page_type: PageType::DATA_PAGE,
        encoding: body.encoding,
        count: body.pages.len() as i32,
    });
    for DataBody { bytes, rows } in body.pages {
        let raw = bytes.len();
        let page = Page::DataPage {
            buf: stored(bytes).into(),
            num_values: rows as u32,
            encoding: body.encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        write(page, raw)?;
    }

    let sizes = Sizes { rows, uncompressed, dictionary: dictionary_bytes };
    let metadata = ColumnChunkMetaData::builder(column)
        .set_compression(compression)
        .set_encodings(encodings)
        .set_page_encoding_stats(encoding_stats)
        .set_statistics(body.statistics);
    close(sink.into_inner()?, sizes, metadata)
}

/// Of a chunk, with page headers.
struct Sizes {
    rows: usize,
    uncompressed: usize,
    dictionary: Option<u64>,
}

fn close(bytes: Vec<u8>, sizes: Sizes, metadata: ColumnChunkMetaDataBuilder) -> Result<Chunk> {
    let metadata = metadata
        .set_total_compressed_size(bytes.len() as i64)
        .set_total_uncompressed_size(sizes.uncompressed as i64)
        .set_num_values(sizes.rows as i64)
        // Relative to the chunk; appending it to the row group moves them.
        .set_dictionary_page_offset(sizes.dictionary.map(|_| 0))
        .set_data_page_offset(sizes.dictionary.unwrap_or(0) as i64)
        .build()?;
    let close = ColumnCloseResult {
        bytes_written: bytes.len() as u64,
        rows_written: sizes.rows as u64,
        metadata,
        bloom_filter: None,
        column_index: None,
        offset_index: None,
    };
    Ok(Chunk { bytes: bytes.into(), close })
}
