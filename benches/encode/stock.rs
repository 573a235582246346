//! The parquet crate's writer, given sorted record batches; and with a sort before it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;

use ringest::batch;

use super::Outcome;
use super::clock::cpu_time;

/// As in our files.
const GROUP_ROWS: usize = 256 * 1024;
const BATCH_ROWS: usize = 64 * 1024;

/// How columns are encoded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Stock,
    Tuned,
}

/// The rows of one file, ready for the writer.
pub struct Table {
    batches: Vec<RecordBatch>,
    sorting: Vec<SortingColumn>,
}

impl Table {
    /// The rows of one of our files in their order; tags become dictionaries.
    pub fn read(path: &Path) -> Self {
        let file = File::open(path).unwrap();
        let plain = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).unwrap();
        let sorting = plain.metadata().row_group(0).sorting_columns().unwrap().clone();
        let is_tag = |index: usize| index > 1 && sorting.iter().any(|column| column.column_idx as usize == index);
        let field = |(index, field): (usize, &Arc<Field>)| match is_tag(index) {
            true => Arc::new(Field::new(field.name(), tag_type(), true)),
            false => Arc::clone(field),
        };
        let schema = Arc::new(Schema::new(plain.schema().fields().iter().enumerate().map(field).collect::<Vec<_>>()));
        let typed = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new().with_schema(schema)).unwrap();
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, typed);
        let batches = builder.with_batch_size(BATCH_ROWS).build().unwrap().map(Result::unwrap).collect();
        Self { batches, sorting }
    }

    fn schema(&self) -> Arc<Schema> {
        self.batches[0].schema()
    }

    fn properties(&self, style: Style) -> WriterProperties {
        let mut properties = WriterProperties::builder()
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap()))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_sorting_columns(Some(self.sorting.clone()));
        for field in self.schema().fields().iter().filter(|_| style == Style::Tuned) {
            let encoding = match field.data_type() {
                DataType::Float64 => Encoding::BYTE_STREAM_SPLIT,
                DataType::Timestamp(..) | DataType::Int32 => Encoding::DELTA_BINARY_PACKED,
                _ => continue,
            };
            let column = || ColumnPath::from(field.name().as_str());
            properties =
                properties.set_column_dictionary_enabled(column(), false).set_column_encoding(column(), encoding);
        }
        properties.build()
    }

    fn write(&self, style: Style, path: &Path) {
        let file = File::create(path).unwrap();
        let mut writer = ArrowWriter::try_new(file, self.schema(), Some(self.properties(style))).unwrap();
        self.batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.close().unwrap();
    }

    fn rows(&self) -> u64 {
        self.batches.iter().map(|batch| batch.num_rows() as u64).sum()
    }
}

fn tag_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// One file for each table.
pub fn write(tables: &[Table], style: Style, dir: &Path) -> Outcome {
    let path = dir.join("stock.parquet");
    let (mut outcome, mut bytes) = (None, 0);
    for table in tables {
        let cpu = cpu_time(|| table.write(style, &path));
        bytes += fs::metadata(&path).unwrap().len();
        outcome = Some(outcome.unwrap_or_default() + cpu);
    }
    fs::remove_file(&path).unwrap();
    Outcome { cpu: outcome.unwrap_or_default(), rows: tables.iter().map(Table::rows).sum(), bytes }
}

/// From batches in order of arrival, one for each table: sorted by tags and time, then written.
pub fn sort_and_write(bodies: impl Iterator<Item = Vec<u8>>, dir: &Path) -> Outcome {
    let mut reader = batch::Options::new().memory_bytes_max(2 << 30).reader();
    bodies.for_each(|body| drop(reader.push(&body).unwrap()));
    let mut arrived: BTreeMap<String, Vec<RecordBatch>> = BTreeMap::new();
    for batch in reader.take() {
        let batch = batch.unwrap();
        arrived.entry(batch.measurement).or_default().push(batch.records);
    }
    let arrived: Vec<RecordBatch> =
        arrived.into_values().map(|batches| concat_batches(&batches[0].schema(), &batches).unwrap()).collect();
    let path = dir.join("sorted.parquet");
    let mut outcome = Outcome { cpu: Default::default(), rows: 0, bytes: 0 };
    for batch in &arrived {
        outcome.cpu += cpu_time(|| sorted(batch).write(Style::Stock, &path));
        outcome.rows += batch.num_rows() as u64;
        outcome.bytes += fs::metadata(&path).unwrap().len();
    }
    fs::remove_file(&path).unwrap();
    outcome
}

fn sorted(batch: &RecordBatch) -> Table {
    let schema = batch.schema();
    let is_tag = |index: &usize| schema.field(*index).data_type() == &tag_type();
    let mut order: Vec<usize> = (0..schema.fields().len()).filter(is_tag).collect();
    order.sort_by_key(|index| schema.field(*index).name());
    order.push(schema.index_of("time").unwrap());
    let by = |index: &usize| SortColumn { values: Arc::clone(batch.column(*index)), options: None };
    let indices = lexsort_to_indices(&order.iter().map(by).collect::<Vec<_>>(), None).unwrap();
    assert_eq!(indices.len(), batch.num_rows());
    let sorting = |index: &usize| SortingColumn { column_idx: *index as i32, descending: false, nulls_first: true };
    let rows = take_record_batch(batch, &indices).unwrap();
    Table { batches: vec![rows], sorting: order.iter().map(sorting).collect() }
}
