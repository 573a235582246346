//! A file of the lake, read in batches of rows in its order; checked to be what its name and the catalog promise.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchReader, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int32Type, Schema, TimeUnit, TimestampMicrosecondType};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelector,
};
use parquet::basic::Type as Physical;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use crate::catalog::{FieldType, Table};

use super::super::checksum::Checksum;
use super::super::damage::{FOOTER_DAMAGED, damage, footer_is_damaged, unreadable};
use super::super::encode::FIRST_EPOCH;
use super::super::partition::{FileName, day_of};
use super::super::series::tag_order;
use super::merge::MergeError;

/// What metadata takes in memory, for a byte of a file's footer.
const METADATA_FACTOR: usize = 8;
/// What the reader of a column takes, pages aside. Measured: 25 KB.
const COLUMN_BYTES: usize = 24 << 10;
/// Columns that are read side by side. A file with more is read in groups of so many, one group after the other for each batch, so that a
/// table of thousands of columns needs no reader for each of them in each file.
const GROUP_COLUMNS: usize = 256;
/// Rows of a data page, at most; and bytes of a page of strings, about, with the longest string that a point may have.
const PAGE_ROWS: u64 = 64 << 10;
const STRING_PAGE_BYTES: u64 = 2 << 20;
/// What to do about a file that is damaged or lost.
pub(super) const RESTORE: &str = "; restore it from a backup";

/// What is merged, and where it lies in time.
#[derive(Clone, Copy)]
pub(in super::super) struct Partition<'a> {
    /// With every column that a file may have.
    pub table: &'a Table,
    pub day: i64,
}

/// Where a row stands in the order of a file: its tags by column, an absent one before every value, then its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub tags: Vec<Option<Box<[u8]>>>,
    pub time: i64,
}

/// An open file.
pub(super) struct Input {
    path: PathBuf,
    day: i64,
    layout: Layout,
    columns: Columns,
    /// Bytes of metadata, and of what reads columns, about.
    bytes: usize,
    /// Rows that the footer promises and that have not come.
    left: u64,
    /// The last row of all batches so far.
    last: Option<Key>,
    pub batch: Option<Batch>,
}

/// Where the columns of the table stand in a batch.
struct Layout {
    /// By tag column in the table's order; `None`: the file has none, or no value in it.
    tags: Vec<Option<usize>>,
    /// Ordinals of the fields, and where they stand; only such as have a value.
    fields: Vec<(u32, usize)>,
}

/// The values of a tag column.
pub(super) struct Tag {
    /// By row: which of `values`; -1 where the tag is absent.
    pub keys: Vec<i32>,
    pub values: StringArray,
}

/// Rows in memory.
pub(super) struct Batch {
    pub time: Vec<i64>,
    /// By tag column in the table's order; `None`: absent from every row.
    pub tags: Vec<Option<Tag>>,
    /// Ordinals ascending; columns without a value are left out.
    pub fields: Vec<(u32, ArrayRef)>,
    /// The first row that was not taken yet.
    pub next: usize,
    pub bytes: usize,
}

/// What is known of a file before its rows are read.
pub(super) struct Opened {
    path: PathBuf,
    file: File,
    metadata: ArrowReaderMetadata,
    layout: Layout,
    /// The columns that are read.
    used: Vec<usize>,
    /// Bytes of metadata, and of what reads columns, about: for as long as the file is open, and while a batch is read.
    pub bytes: usize,
    pub reading_bytes: usize,
    /// Bytes of a row in memory, on average.
    row_bytes: usize,
    day: i64,
}

/// What a file's footer says of its table.
pub(super) struct Described {
    pub bucket: String,
    pub measurement: String,
    pub tags: usize,
    pub fields: usize,
}

impl Described {
    pub fn read(path: &Path) -> Result<Self, MergeError> {
        Self::of(path).map_err(|what| MergeError::input(path, what))
    }

    fn of(path: &Path) -> Result<Self, String> {
        let unreadable = |error: &dyn std::fmt::Display| format!("cannot be read: {error}");
        let file = File::open(path).map_err(|error| unreadable(&error))?;
        if footer_is_damaged(&file).map_err(|error| unreadable(&error))? {
            return Err(format!("{FOOTER_DAMAGED}{RESTORE}"));
        }
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = ArrowReaderMetadata::load(&file, options).map_err(|error| unreadable(&error))?;
        let named = |key| {
            pair(metadata.metadata(), key).map(str::to_owned).ok_or_else(|| format!("has no {key} in its footer"))
        };
        let tags: Vec<String> = serde_json::from_str(&named("ringest.tags")?)
            .map_err(|error| format!("has a ringest.tags in its footer that is no list: {error}"))?;
        let fields = metadata.schema().fields().len().saturating_sub(tags.len() + 2);
        let (bucket, measurement) = (named("ringest.bucket")?, named("ringest.measurement")?);
        Ok(Self { bucket, measurement, tags: tags.len(), fields })
    }
}

fn pair<'a>(metadata: &'a ParquetMetaData, key: &str) -> Option<&'a str> {
    let pairs = metadata.file_metadata().key_value_metadata();
    pairs.into_iter().flatten().find(|pair| pair.key == key).and_then(|pair| pair.value.as_deref())
}

/// Bytes that `Opened::new` will take, about: known from the file's last bytes.
pub(super) fn bytes_to_open(path: &Path) -> Result<usize, MergeError> {
    let length = || -> io::Result<u32> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(-8))?;
        let mut tail = [0; 4];
        file.read_exact(&mut tail)?;
        Ok(u32::from_le_bytes(tail))
    };
    let length = length().map_err(|error| MergeError::input(path, format!("cannot be read: {error}{RESTORE}")))?;
    Ok(length as usize * METADATA_FACTOR)
}

impl Opened {
    pub fn new(path: &Path, name: &FileName, partition: Partition<'_>) -> Result<Self, MergeError> {
        let wrong = |what: String| MergeError::input(path, what);
        let unreadable = |error: &dyn std::fmt::Display| wrong(format!("cannot be read: {error}"));
        let file = File::open(path).map_err(|error| unreadable(&error))?;
        if footer_is_damaged(&file).map_err(|error| unreadable(&error))? {
            return Err(wrong(format!("{FOOTER_DAMAGED}{RESTORE}")));
        }
        let options = || ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let plain = ArrowReaderMetadata::load(&file, options()).map_err(|error| unreadable(&error))?;
        check_origin(plain.metadata(), name, partition.table).map_err(wrong)?;
        let schema = with_dictionaries(plain.schema(), partition.table).map_err(wrong)?;
        let parquet = Arc::clone(plain.metadata());
        // That a column has no values is believed only where a checksum vouches for the footer.
        let is_vouched = Checksum::of(&file).map_err(|error| unreadable(&error))?.is_some();
        let is_read = |column: &usize| *column < 2 || !is_vouched || has_values(&parquet, *column);
        let used: Vec<usize> = (0..schema.fields().len()).filter(is_read).collect();
        let layout = Layout::new(&schema, &used, partition.table);
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(&parquet), options().with_schema(Arc::new(schema)))
            .map_err(|error| unreadable(&error))?;
        let group = |used: &[usize]| pages_bytes(&parquet, used) + used.len() * COLUMN_BYTES;
        let reading = used.chunks(GROUP_COLUMNS).map(group).max().unwrap_or(0);
        let (bytes, reading_bytes) = if used.len() > GROUP_COLUMNS { (0, reading) } else { (reading, 0) };
        let bytes = bytes_to_open(path)? + bytes;
        let row_bytes = row_bytes(&parquet, &used, &layout);
        let (path, day) = (path.to_owned(), partition.day);
        Ok(Self { path, file, metadata, layout, used, bytes, reading_bytes, row_bytes, day })
    }

    /// Begins to read, in batches of so many rows at most, and of about so many bytes. The whole file is compared with its checksum before.
    pub fn read(self, rows_max: usize, bytes_max: usize) -> Result<Input, MergeError> {
        let Self { path, file, metadata, layout, used, bytes, row_bytes, day, .. } = self;
        let unreadable = |error: io::Error| MergeError::input(&path, format!("cannot be read: {error}{RESTORE}"));
        if let Some(what) = damage(&file).map_err(unreadable)? {
            return Err(MergeError::input(&path, what + RESTORE));
        }
        let rows = (bytes_max / row_bytes.max(1)).clamp(1, rows_max);
        let left = metadata.metadata().file_metadata().num_rows() as u64;
        let columns = Columns::new(file, metadata, &used, rows);
        let columns = columns.map_err(unreadable)?;
        Ok(Input { path, day, layout, columns, bytes, left, last: None, batch: None })
    }
}

/// The columns of a file, batch by batch.
enum Columns {
    /// All side by side.
    Stream(ParquetRecordBatchReader),
    Groups {
        file: File,
        metadata: ArrowReaderMetadata,
        groups: Vec<ProjectionMask>,
        /// Rows of a batch, and the first row of the next.
        rows: usize,
        next: usize,
    },
}

impl Columns {
    fn new(file: File, metadata: ArrowReaderMetadata, used: &[usize], rows: usize) -> io::Result<Self> {
        let schema = metadata.metadata().file_metadata().schema_descr_ptr();
        let masks = used.chunks(GROUP_COLUMNS).map(|used| ProjectionMask::leaves(&schema, used.iter().copied()));
        let groups: Vec<ProjectionMask> = masks.collect();
        if let [mask] = &groups[..] {
            let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata);
            let reader = reader.with_projection(mask.clone()).with_batch_size(rows).build();
            return Ok(Self::Stream(reader.map_err(io::Error::other)?));
        }
        Ok(Self::Groups { file, metadata, groups, rows, next: 0 })
    }

    /// The next rows, column by column; `None` behind the last.
    fn next(&mut self) -> io::Result<Option<Vec<ArrayRef>>> {
        let Self::Groups { file, metadata, groups, rows, next } = self else {
            let Self::Stream(reader) = self else { return Ok(None) };
            let records = reader.next().transpose().map_err(io::Error::other)?;
            return Ok(records.map(|records| records.columns().to_vec()));
        };
        let total = metadata.metadata().file_metadata().num_rows() as usize;
        let count = (*rows).min(total.saturating_sub(*next));
        if count == 0 {
            return Ok(None);
        }
        let mut columns = Vec::new();
        for mask in groups {
            let selection = vec![RowSelector::skip(*next), RowSelector::select(count)];
            let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file.try_clone()?, metadata.clone());
            let reader = reader.with_projection(mask.clone()).with_row_selection(selection.into());
            let mut reader = reader.with_batch_size(count).build().map_err(io::Error::other)?;
            let schema = reader.schema();
            let parts = reader.by_ref().collect::<Result<Vec<RecordBatch>, _>>().map_err(io::Error::other)?;
            let records = concat_batches(&schema, &parts).map_err(io::Error::other)?;
            if records.num_rows() != count {
                return Err(io::Error::other(format!("{} of {count} rows have come", records.num_rows())));
            }
            columns.extend_from_slice(records.columns());
        }
        *next += count;
        Ok(Some(columns))
    }
}

/// Whether the footer says what the file's name does, and what its folder does.
fn check_origin(metadata: &ParquetMetaData, name: &FileName, table: &Table) -> Result<(), String> {
    let pair = |key| pair(metadata, key);
    let first_epoch = name.first_epoch.to_string();
    let said = [
        ("ringest.bucket", pair("ringest.bucket"), &*table.bucket.name),
        ("ringest.measurement", pair("ringest.measurement"), &*table.name),
        ("ringest.node", pair("ringest.node"), &name.node.to_string()),
        ("ringest.epoch", pair("ringest.epoch"), &name.epoch.to_string()),
        (FIRST_EPOCH, pair(FIRST_EPOCH).or(pair("ringest.epoch")), &first_epoch),
    ]
    .map(|(key, found, expected)| (key, found.map(str::to_owned), expected.to_owned()));
    for (key, found, expected) in said {
        if found.as_deref() != Some(&*expected) {
            return Err(format!(
                "does not belong where it is: its footer says {found:?} for {key}, and its name or folder {expected:?}"
            ));
        }
    }
    Ok(())
}

/// The schema with tags as dictionaries, in which they are stored mostly. Every column is one of the table, of its type.
fn with_dictionaries(schema: &Schema, table: &Table) -> Result<Schema, String> {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let begins = [("time", &time), ("time_ns_rem", &DataType::Int32)];
    let mut fields: Vec<Field> = schema.fields().iter().map(|field| Field::clone(field)).collect();
    for (index, (name, kind)) in begins.into_iter().enumerate() {
        if fields.get(index).is_none_or(|field| field.name() != name || field.data_type() != kind) {
            return Err(format!("has no column {name:?} of type {kind} at place {index}"));
        }
    }
    let tags = tag_order(table);
    let (mut tag, mut ordinal) = (0, 0);
    for field in fields.iter_mut().skip(2) {
        let name = field.name().as_str();
        // Tags stand in order, fields behind them in order of birth.
        let tag_at = tags[tag..].iter().position(|known| *table.tags[*known].parquet == *name);
        let expected = if let Some(at) = tag_at {
            tag += at + 1;
            DataType::Utf8
        } else {
            let at = table.fields.from(ordinal).position(|known| *known.parquet == *name);
            let at =
                at.ok_or_else(|| format!("has the column {name:?}, which its table has not, or not in this place"))?;
            (tag, ordinal) = (tags.len(), ordinal + at + 1);
            data_type(table.fields[ordinal - 1].kind)
        };
        if *field.data_type() != expected {
            return Err(format!("has the column {name:?} of type {}; its table has {expected}", field.data_type()));
        }
        if tag_at.is_some() {
            *field =
                field.clone().with_data_type(DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)));
        }
    }
    Ok(Schema::new(fields))
}

fn data_type(kind: FieldType) -> DataType {
    match kind {
        FieldType::Float => DataType::Float64,
        FieldType::Integer => DataType::Int64,
        FieldType::Unsigned => DataType::UInt64,
        FieldType::String => DataType::Utf8,
        FieldType::Boolean => DataType::Boolean,
    }
}

fn chunks(metadata: &ParquetMetaData, column: usize) -> impl Iterator<Item = &ColumnChunkMetaData> {
    metadata.row_groups().iter().map(move |group| group.column(column))
}

fn has_values(metadata: &ParquetMetaData, column: usize) -> bool {
    let is_null = |chunk: &ColumnChunkMetaData| {
        let nulls = chunk.statistics().and_then(|statistics| statistics.null_count_opt());
        nulls == Some(chunk.num_values() as u64)
    };
    !chunks(metadata, column).all(is_null)
}

/// Bytes of one page of each column, with its dictionary, at most.
fn pages_bytes(metadata: &ParquetMetaData, used: &[usize]) -> usize {
    let page = |chunk: &ColumnChunkMetaData| {
        let (bytes, rows) = (chunk.uncompressed_size().max(0) as u64, chunk.num_values().max(1) as u64);
        match chunk.dictionary_page_offset() {
            Some(_) => bytes,
            None if chunk.column_type() == Physical::BYTE_ARRAY => bytes.min(STRING_PAGE_BYTES),
            None => bytes * rows.min(PAGE_ROWS) / rows,
        }
    };
    let largest = |column: &usize| chunks(metadata, *column).map(page).max().unwrap_or(0) as usize;
    // As it is in the file, and decompressed.
    2 * used.iter().map(largest).sum::<usize>()
}

/// Bytes of a row in memory, on average: numbers with a place in a bitmap, and text.
fn row_bytes(metadata: &ParquetMetaData, used: &[usize], layout: &Layout) -> usize {
    let fixed = used.len() * 9 + layout.tags.len() * 4;
    let rows = metadata.file_metadata().num_rows().max(1) as u64;
    let is_text = |column: &&usize| {
        metadata.file_metadata().schema_descr().column(**column).physical_type() == Physical::BYTE_ARRAY
    };
    let text = used.iter().filter(is_text).flat_map(|column| chunks(metadata, *column));
    let text: u64 = text.map(|chunk| chunk.uncompressed_size().max(0) as u64).sum();
    fixed + (text / rows) as usize
}

impl Layout {
    /// `used`: the columns of the file that are read.
    fn new(schema: &Schema, used: &[usize], table: &Table) -> Self {
        let named =
            |name: &str| used.iter().skip(2).position(|column| schema.field(*column).name() == name).map(|at| at + 2);
        let tags = tag_order(table).into_iter().map(|tag| named(&table.tags[tag].parquet)).collect();
        let mut fields = Vec::new();
        let mut ordinal = 0;
        for (at, column) in used.iter().enumerate().skip(2) {
            let field = schema.field(*column);
            if matches!(field.data_type(), DataType::Dictionary(..)) {
                continue;
            }
            let Some(skipped) = table.fields.from(ordinal).position(|known| *known.parquet == **field.name()) else {
                continue;
            };
            fields.push(((ordinal + skipped) as u32, at));
            ordinal += skipped + 1;
        }
        Self { tags, fields }
    }
}

impl Input {
    /// Bytes on the heap, about.
    pub fn bytes(&self) -> usize {
        self.bytes + self.batch.as_ref().map_or(0, |batch| batch.bytes)
    }

    /// Loads the next rows, if all that are loaded were taken. Whether there are rows that were not.
    pub fn fill(&mut self) -> Result<bool, MergeError> {
        if self.batch.as_ref().is_some_and(|batch| batch.next < batch.time.len()) {
            return Ok(true);
        }
        self.batch = None;
        let loaded = loop {
            match self.columns.next() {
                Ok(Some(columns)) if columns[0].is_empty() => {}
                Ok(Some(columns)) => break Batch::new(&columns, &self.layout),
                Err(error) => break Err(self.unreadable(&error)),
                Ok(None) if self.left > 0 => break Err(format!("ends with {} rows missing", self.left)),
                Ok(None) => return Ok(false),
            }
        };
        let batch = loaded.and_then(|batch| self.check(&batch).map(|()| batch));
        let batch = batch.map_err(|what| MergeError::input(&self.path, what))?;
        self.left = self.left.saturating_sub(batch.time.len() as u64);
        self.last = Some(batch.key(batch.time.len() - 1));
        self.batch = Some(batch);
        Ok(true)
    }

    /// The sentence, with the column if it is found: what reads many of them at once does not say it.
    fn unreadable(&self, error: &io::Error) -> String {
        let place = || {
            let file = File::open(&self.path).ok()?;
            let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
            unreadable(&file, &ArrowReaderMetadata::load(&file, options).ok()?)
        };
        format!("cannot be read: {}{RESTORE}", place().unwrap_or_else(|| error.to_string()))
    }

    /// The last row that is loaded.
    pub fn last(&self) -> Option<&Key> {
        self.last.as_ref()
    }

    /// Whether the rows are of the file's day, and sorted, each (series, time) there once.
    fn check(&self, batch: &Batch) -> Result<(), String> {
        if batch.time.iter().any(|time| day_of(*time) != self.day) {
            return Err("has a row of another day".to_owned());
        }
        let follows = self.last.as_ref().is_none_or(|last| batch.compare(0, last).is_gt());
        let is_sorted = follows && (1..batch.time.len()).all(|row| batch.compare_rows(row - 1, row).is_lt());
        if is_sorted { Ok(()) } else { Err("is not sorted, or has a point twice".to_owned()) }
    }
}

impl Tag {
    #[inline]
    pub fn value(&self, row: usize) -> Option<&[u8]> {
        usize::try_from(self.keys[row]).ok().map(|key| self.values.value(key).as_bytes())
    }
}

impl Batch {
    fn new(columns: &[ArrayRef], layout: &Layout) -> Result<Self, String> {
        let micros = columns[0].as_primitive::<TimestampMicrosecondType>().values();
        let rest = columns[1].as_primitive::<Int32Type>().values();
        if rest.iter().any(|rest| !(0..1000).contains(rest)) {
            return Err("has a time_ns_rem beyond 0..999".to_owned());
        }
        // The first microsecond of time lies below the first nanosecond.
        let time = |(micros, rest): (&i64, &i32)| micros.wrapping_mul(1000).wrapping_add(i64::from(*rest));
        let tags = layout.tags.iter().map(|at| at.map(|at| Tag::new(&columns[at])).transpose());
        let fields = layout.fields.iter().map(|(ordinal, at)| (*ordinal, Arc::clone(&columns[*at])));
        let fields: Vec<(u32, ArrayRef)> = fields.filter(|(_, values)| values.null_count() < values.len()).collect();
        let tags = tags.collect::<Result<Vec<Option<Tag>>, String>>()?;
        let held = fields.iter().map(|(_, values)| values.get_buffer_memory_size()).sum::<usize>();
        let bytes = held + micros.len() * (8 + 4 * tags.iter().flatten().count());
        Ok(Self { time: micros.iter().zip(rest).map(time).collect(), tags, fields, next: 0, bytes })
    }

    fn key(&self, row: usize) -> Key {
        let tags = self.tags.iter().map(|tag| tag.as_ref().and_then(|tag| tag.value(row)).map(Box::from));
        Key { tags: tags.collect(), time: self.time[row] }
    }

    /// How a row compares to a key.
    fn compare(&self, row: usize, key: &Key) -> Ordering {
        let tags = self.tags.iter().map(|tag| tag.as_ref().and_then(|tag| tag.value(row)));
        tags.cmp(key.tags.iter().map(Option::as_deref)).then(self.time[row].cmp(&key.time))
    }

    fn compare_rows(&self, row: usize, other: usize) -> Ordering {
        for tag in self.tags.iter().flatten() {
            if tag.keys[row] != tag.keys[other] {
                // Two keys may have one value where dictionaries of the file were joined.
                let order = tag.value(row).cmp(&tag.value(other));
                if order.is_ne() {
                    return order;
                }
            }
        }
        self.time[row].cmp(&self.time[other])
    }

    /// How many rows from `next` on are not behind `bound`.
    pub fn rows_up_to(&self, bound: &Key) -> usize {
        let (mut start, mut end) = (self.next, self.time.len());
        while start < end {
            let middle = start + (end - start) / 2;
            match self.compare(middle, bound) {
                Ordering::Greater => end = middle,
                _ => start = middle + 1,
            }
        }
        start - self.next
    }
}

impl Tag {
    fn new(column: &ArrayRef) -> Result<Self, String> {
        let dictionary = column.as_dictionary::<Int32Type>();
        let keys = dictionary.keys();
        let values = dictionary.values().as_string::<i32>().clone();
        let keys: Vec<i32> = match keys.nulls() {
            None => keys.values().to_vec(),
            Some(_) => keys.iter().map(|key| key.unwrap_or(-1)).collect(),
        };
        let in_range =
            |key: &i32| usize::try_from(*key).map_or(*key == -1, |key| key < values.len() && values.is_valid(key));
        if keys.iter().all(in_range) { Ok(Self { keys, values }) } else { Err("has a tag without a value".to_owned()) }
    }
}
