//! Column chunks: pages cut, compressed and written to the file as they come, so that memory does not grow with the row
//! group.
//!
//! Own pages instead of the stock column writers, which cost twice the time (they hash every row of a dictionary again
//! and take a level per row): a tag column is written from runs of series, a sparse column from the rows it has.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;

use parquet::basic::{CompressionCodec, Encoding, PageType};
use parquet::file::metadata::{ColumnChunkMetaData, PageEncodingStats};
use parquet::file::statistics::Statistics;
use parquet::file::writer::TrackedWrite;

use crate::budget::Reservation;

use super::checksum;
use super::disk::Paced;
use super::footer::{Footer, io_error};
use super::gather::Filled;
use super::page_header::{Content, Page};
use super::page_index::ChunkIndex;
use super::pages;

/// What a file begins with.
const MAGIC: [u8; 4] = *b"PAR1";
/// Most rows of a page; a page of doubles then is 512 KiB.
const PAGE_ROWS: usize = 64 * 1024;
/// Most rows of a page of a file with a page index, which is of use only where pages are few rows.
const INDEXED_PAGE_ROWS: usize = 16 * 1024;
/// Strings are cut into pages of about so many bytes; a longer string has a page of its own.
const STRING_PAGE: usize = 1 << 20;
/// Chunks below this many bytes are not worth a compression.
const COMPRESSED_MIN: usize = 256;
/// Compression must save this part of a chunk, at least.
const GAIN_MIN: usize = 32;
/// Larger chunks are compressed without a look at the gain, so that no more than this has to wait for it.
const HELD_MAX: usize = 4 << 20;
/// Buffers that grew beyond this are not kept.
const SPARE_MAX: usize = 2 << 20;
/// Buffers that are kept.
const SPARES: usize = 8;
/// How much time compression may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// Rows wait in memory until they are written.
    Flush,
    /// Nobody waits.
    Compaction,
}

impl Level {
    /// Of zstd.
    const fn zstd(self) -> i32 {
        match self {
            Self::Flush => 1,
            Self::Compaction => 3,
        }
    }

    /// What a zstd context takes, and the file's buffer.
    const fn context_bytes(self) -> usize {
        match self {
            Self::Flush => 2 << 20,
            Self::Compaction => 4 << 20,
        }
    }
}

/// The rows of a chunk.
#[derive(Clone, Copy)]
pub(super) struct Shape<'a> {
    pub rows: usize,
    pub filled: &'a Filled,
    /// A required column has no levels.
    pub required: bool,
}

/// A dictionary page.
pub(super) struct Dictionary {
    pub bytes: Vec<u8>,
    pub entries: usize,
}

/// Runs of one key each, with its number of values.
pub(super) struct KeyRuns<'a> {
    runs: &'a [(u32, usize)],
    /// By run: the number of values up to its end.
    ends: Vec<usize>,
}

impl<'a> KeyRuns<'a> {
    pub fn new(runs: &'a [(u32, usize)]) -> Self {
        let mut sum = 0;
        let end = |(_, values): &(u32, usize)| {
            sum += values;
            sum
        };
        Self { runs, ends: runs.iter().map(end).collect() }
    }

    pub fn values(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// What of the runs lies in a range of the values.
    pub fn within(&self, range: Range<usize>) -> impl Iterator<Item = (u32, usize)> + Clone {
        let first = self.ends.partition_point(|end| *end <= range.start);
        let runs = self.runs[first..].iter().zip(&self.ends[first..]);
        runs.map_while(move |((key, values), end)| {
            let start = range.start.max(end - values);
            (start < range.end).then(|| (*key, range.end.min(*end) - start))
        })
    }
}

/// The bounds of a range of a chunk's values, with this number of nulls among its rows.
pub(super) trait Bounds: Fn(Range<usize>, u64) -> Statistics {}
impl<F: Fn(Range<usize>, u64) -> Statistics> Bounds for F {}

/// Writes the chunks of one file. Its share of the memory budget follows what it holds.
pub(super) struct ChunkWriter<'a> {
    file: TrackedWrite<Paced>,
    /// Of the bytes written.
    crc: crc32fast::Hasher,
    footer: Footer,
    zstd: zstd::bulk::Compressor<'static>,
    level: Level,
    open: Open,
    /// For one compressed page.
    packed: Vec<u8>,
    /// Empty buffers for pages.
    spare: Vec<Vec<u8>>,
    memory: &'a mut Reservation,
    /// Bytes that others hold and that `memory` covers too.
    base: usize,
    /// Whether the file gets a page index.
    indexed: bool,
}

/// The chunk that is being written.
#[derive(Default)]
struct Open {
    /// Pages as they are before compression: they wait for the decision whether they are compressed.
    held: Vec<Page>,
    held_bytes: usize,
    /// Decided for compression.
    zstd: bool,
    dictionary: Option<u64>,
    data: Option<u64>,
    data_pages: i32,
    index: Option<ChunkIndex>,
    /// Bytes with page headers, as the next.
    uncompressed: usize,
    compressed: usize,
}

impl<'a> ChunkWriter<'a> {
    /// `indexed`: the file gets a page index.
    pub fn new(
        file: Paced,
        footer: Footer,
        level: Level,
        indexed: bool,
        memory: &'a mut Reservation,
    ) -> io::Result<Self> {
        let mut file = TrackedWrite::new(file);
        file.write_all(&MAGIC)?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&MAGIC);
        Ok(Self {
            indexed,
            file,
            crc,
            footer,
            zstd: zstd::bulk::Compressor::new(level.zstd())?,
            level,
            open: Open::default(),
            packed: Vec::new(),
            spare: Vec::new(),
            base: memory.bytes(),
            memory,
        })
    }

    /// Others hold `base` bytes now.
    pub fn set_base(&mut self, base: usize) {
        self.base = base;
        self.account(self.packed.capacity());
    }

    /// Bytes of the file so far, with its footer, about.
    pub fn bytes(&self) -> usize {
        /// Metadata takes so many times the room in memory.
        const PACKED: usize = 4;
        self.file.bytes_written() + self.footer.bytes() / PACKED
    }

    /// Bytes of metadata in memory.
    pub fn held(&self) -> usize {
        self.footer.bytes()
    }

    pub fn end_row_group(&mut self, rows: usize) -> io::Result<()> {
        self.footer.end_row_group(rows)?;
        self.account(self.packed.capacity());
        Ok(())
    }

    /// Writes the footer; nothing is synced.
    pub fn finish(mut self, created_by: &str, pairs: &[(&str, String)]) -> io::Result<File> {
        self.set_base(self.base + self.footer.bytes_to_finish());
        let position = self.file.bytes_written() as u64;
        let mut end = self.footer.finish(position, created_by, pairs)?;
        checksum::insert(self.crc, &mut end);
        self.file.write_all(&end)?;
        self.file.flush()?;
        Ok(self.file.into_inner().map_err(io_error)?.into_inner())
    }

    /// Makes the share what is held; `packed`: compressed bytes.
    fn account(&mut self, packed: usize) {
        let spare: usize = self.spare.iter().map(Vec::capacity).sum();
        let own = self.open.held_bytes + packed + spare + self.level.context_bytes();
        self.memory.set(self.base + own + self.footer.bytes());
    }

    /// A chunk without values.
    pub fn nulls(&mut self, rows: usize) -> io::Result<()> {
        let shape = Shape { rows, filled: &Filled::Rows(Vec::new()), required: false };
        // Without bounds, statistics of all types are the same.
        let bounds = |_, nulls| Statistics::boolean(None, None, None, Some(nulls), false);
        self.pages(shape, Encoding::PLAIN, &bounds, |values| values.len(), |_, _| {})?;
        self.close(shape, 0, Encoding::PLAIN, &bounds)
    }

    /// Pages of values that take the same room each; `write(values, out)` encodes a range of the values.
    pub fn even(
        &mut self,
        shape: Shape<'_>,
        encoding: Encoding,
        bounds: impl Bounds,
        write: impl FnMut(Range<usize>, &mut Vec<u8>),
    ) -> io::Result<()> {
        let values = self.pages(shape, encoding, &bounds, |values| values.len(), write)?;
        self.close(shape, values, encoding, &bounds)
    }

    /// Pages of keys into a dictionary.
    pub fn keyed(
        &mut self,
        shape: Shape<'_>,
        keys: &[u32],
        dictionary: Dictionary,
        bounds: impl Bounds,
    ) -> io::Result<()> {
        let entries = self.dictionary(dictionary)?;
        let write = |values, out: &mut Vec<u8>| pages::keys(&keys[values], entries, out);
        self.even(shape, Encoding::RLE_DICTIONARY, bounds, write)
    }

    /// Runs of keys into a dictionary: one page of them, which is small however many rows it has, unless it is to be found by an index.
    pub fn key_runs(
        &mut self,
        shape: Shape<'_>,
        runs: &KeyRuns<'_>,
        dictionary: Dictionary,
        bounds: impl Bounds,
    ) -> io::Result<()> {
        let entries = self.dictionary(dictionary)?;
        let encoding = Encoding::RLE_DICTIONARY;
        let write = |values: Range<usize>, out: &mut Vec<u8>| pages::key_runs(runs.within(values), entries, out);
        if self.indexed {
            return self.even(shape, encoding, bounds, write);
        }
        let values = runs.values();
        self.page(shape, encoding, 0..shape.rows, |out| write(0..values, out))?;
        self.close(shape, values, encoding, &bounds)
    }

    /// Pages of strings as they are.
    pub fn strings(&mut self, shape: Shape<'_>, values: &[&[u8]], bounds: impl Bounds) -> io::Result<()> {
        let fit = |most: Range<usize>| {
            let mut bytes = 0;
            let fits = |value: &&&[u8]| {
                bytes += value.len() + 4;
                bytes <= STRING_PAGE
            };
            values[most.clone()].iter().take_while(fits).count().max(1).min(most.len())
        };
        let count = self.pages(shape, Encoding::PLAIN, &bounds, fit, |range, out| {
            out.reserve(values[range.clone()].iter().map(|value| value.len() + 4).sum());
            values[range].iter().for_each(|value| pages::plain_string(value, out));
        })?;
        self.close(shape, count, Encoding::PLAIN, &bounds)
    }

    /// Cuts the rows of `shape` into pages. `fit(values)`: how many of the values that a page could hold by its rows go
    /// to it, one at least if there are any. Returns the number of values.
    fn pages(
        &mut self,
        shape: Shape<'_>,
        encoding: Encoding,
        bounds: &impl Bounds,
        fit: impl Fn(Range<usize>) -> usize,
        mut write: impl FnMut(Range<usize>, &mut Vec<u8>),
    ) -> io::Result<usize> {
        let page_rows = if self.indexed { INDEXED_PAGE_ROWS } else { PAGE_ROWS };
        let (mut row, mut value) = (0, 0);
        while row < shape.rows {
            let mut end = shape.rows.min(row + page_rows);
            let most = pages::values_in(shape.filled, row..end);
            let count = fit(value..value + most);
            if count < most {
                end = pages::row_after(shape.filled, row, count);
            }
            let values = value..value + count;
            if self.indexed {
                let nulls = end - row - count;
                let physical = self.footer.next_column().physical_type();
                let index = self.open.index.get_or_insert_with(|| ChunkIndex::new(physical));
                index.page(end - row, nulls, &bounds(values.clone(), nulls as u64));
            }
            self.page(shape, encoding, row..end, |out| write(values, out))?;
            (row, value) = (end, value + count);
        }
        Ok(value)
    }

    fn page(
        &mut self,
        shape: Shape<'_>,
        encoding: Encoding,
        rows: Range<usize>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> io::Result<()> {
        let mut bytes = self.spare.pop().unwrap_or_default();
        let content = Content::Rows { rows: rows.len() as u32, encoding };
        if !shape.required {
            pages::levels(shape.filled, rows, &mut bytes);
        }
        write(&mut bytes);
        self.hold(Page { bytes, content })
    }

    /// How many entries it has.
    fn dictionary(&mut self, dictionary: Dictionary) -> io::Result<usize> {
        let Dictionary { bytes, entries } = dictionary;
        self.hold(Page { bytes, content: Content::Dictionary { entries: entries as u32 } })?;
        Ok(entries)
    }

    fn hold(&mut self, page: Page) -> io::Result<()> {
        self.open.held_bytes += page.bytes.len();
        self.open.held.push(page);
        self.account(self.packed.capacity());
        if self.open.zstd || self.open.held_bytes > HELD_MAX {
            self.open.zstd = true;
            for page in std::mem::take(&mut self.open.held) {
                self.compress(page)?;
            }
            self.open.held_bytes = 0;
        }
        Ok(())
    }

    /// Compresses a page and writes it.
    fn compress(&mut self, page: Page) -> io::Result<()> {
        let mut packed = std::mem::take(&mut self.packed);
        packed.clear();
        packed.reserve(zstd::zstd_safe::compress_bound(page.bytes.len()));
        self.account(packed.capacity());
        self.zstd.compress_to_buffer(&page.bytes[..], &mut packed)?;
        self.write(page, Some(&packed))?;
        if packed.capacity() <= SPARE_MAX {
            self.packed = packed;
        }
        Ok(())
    }

    /// The page as it is, or `packed` in its place.
    fn write(&mut self, page: Page, packed: Option<&[u8]>) -> io::Result<()> {
        let stored = packed.unwrap_or(&page.bytes);
        let mut crc = crc32fast::Hasher::new();
        crc.update(stored);
        let header = page.header(stored, crc.clone().finalize())?;
        let offset = self.file.bytes_written() as u64;
        self.file.write_all(&header)?;
        self.file.write_all(stored)?;
        self.crc.update(&header);
        self.crc.combine(&crc);
        let open = &mut self.open;
        let size = header.len() + stored.len();
        match page.content {
            Content::Dictionary { .. } => open.dictionary = Some(offset),
            Content::Rows { .. } => {
                open.data.get_or_insert(offset);
                open.data_pages += 1;
                if let Some(index) = &mut open.index {
                    index.placed(offset, size);
                }
            }
        }
        open.uncompressed += header.len() + page.bytes.len();
        open.compressed += size;
        let Page { mut bytes, .. } = page;
        if bytes.capacity() <= SPARE_MAX && self.spare.len() < SPARES {
            bytes.clear();
            self.spare.push(bytes);
        }
        Ok(())
    }

    /// The chunk is complete; it has so many values.
    fn close(&mut self, shape: Shape<'_>, values: usize, encoding: Encoding, bounds: &impl Bounds) -> io::Result<()> {
        let (held, raw) = (std::mem::take(&mut self.open.held), self.open.held_bytes);
        let mut packed = Vec::new();
        if !self.open.zstd && raw >= COMPRESSED_MIN {
            let pack = |page: &Page| self.zstd.compress(&page.bytes);
            packed = held.iter().map(pack).collect::<io::Result<Vec<_>>>()?;
            // Where compression gains next to nothing, readers are spared it.
            self.open.zstd = packed.iter().map(Vec::len).sum::<usize>() < raw - raw / GAIN_MIN;
        }
        self.account(packed.iter().map(Vec::len).sum());
        for (index, page) in held.into_iter().enumerate() {
            let packed = packed.get(index).filter(|_| self.open.zstd);
            self.write(page, packed.map(Vec::as_slice))?;
        }
        let open = std::mem::take(&mut self.open);
        let chunk = ColumnChunkMetaData::builder(self.footer.next_column())
            .set_num_values(shape.rows as i64)
            .set_compression_codec(if open.zstd { CompressionCodec::ZSTD } else { CompressionCodec::UNCOMPRESSED })
            .set_total_uncompressed_size(open.uncompressed as i64)
            .set_total_compressed_size(open.compressed as i64)
            .set_data_page_offset(open.data.unwrap_or(self.file.bytes_written() as u64) as i64)
            .set_statistics(bounds(0..values, (shape.rows - values) as u64));
        // Levels are RLE; dictionaries are PLAIN.
        let chunk = match open.dictionary {
            None => chunk.set_encodings(vec![encoding, Encoding::RLE]),
            Some(offset) => chunk
                .set_encodings(vec![encoding, Encoding::RLE, Encoding::PLAIN])
                .set_dictionary_page_offset(Some(offset as i64))
                // Tells readers that every data page takes its values from the dictionary.
                .set_page_encoding_stats(vec![
                    PageEncodingStats { page_type: PageType::DICTIONARY_PAGE, encoding: Encoding::PLAIN, count: 1 },
                    PageEncodingStats { page_type: PageType::DATA_PAGE, encoding, count: open.data_pages },
                ]),
        };
        let index = open.index.map(ChunkIndex::build).transpose()?;
        self.footer.column(chunk.build().map_err(io_error)?, index);
        Ok(())
    }
}
