//! The footer of a file: the metadata of its chunks and row groups, written by the parquet crate but for the order of
//! floats.

use std::io;
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, KeyValue, PageEncodingStats, ParquetMetaDataBuilder, ParquetMetaDataWriter,
    RowGroupMetaData, SortingColumn,
};
use parquet::schema::types::{ColumnDescPtr, ColumnDescriptor, SchemaDescPtr, SchemaDescriptor, Type, TypePtr};

use super::page_index::{self, Built};
use super::pages::varint;

/// Version of the format that the footer states.
const FORMAT_VERSION: i32 = 1;
/// What the schema takes per column, its name and path estimated.
const LEAF_BYTES: usize = size_of::<Type>() + size_of::<ColumnDescriptor>() + 128;

/// Takes the metadata of all chunks, row group by row group.
pub(super) struct Footer {
    schema: SchemaDescPtr,
    /// The columns that rows are sorted by.
    sorting: Vec<SortingColumn>,
    groups: Vec<RowGroupMetaData>,
    /// Of the open row group.
    columns: Vec<ColumnChunkMetaData>,
    /// By row group: of its columns, in files with a page index. The last is the open one.
    indexes: Vec<Vec<Built>>,
    bytes: usize,
}

impl Footer {
    pub fn new(leaves: Vec<TypePtr>, sorting: Vec<SortingColumn>) -> io::Result<Self> {
        let bytes = leaves.len() * LEAF_BYTES + sorting.len() * size_of::<SortingColumn>();
        let root = Type::group_type_builder("schema").with_fields(leaves).build().map_err(io_error)?;
        let schema = Arc::new(SchemaDescriptor::new(Arc::new(root)));
        Ok(Self { schema, sorting, groups: Vec::new(), columns: Vec::new(), indexes: Vec::new(), bytes })
    }

    /// Bytes on the heap, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The column whose chunk is next.
    pub fn next_column(&self) -> ColumnDescPtr {
        self.schema.column(self.columns.len())
    }

    /// The chunk of the next column, and what the page index says of it; all chunks of a file have that, or none.
    pub fn column(&mut self, chunk: ColumnChunkMetaData, index: Option<Built>) {
        if let Some(index) = index {
            self.bytes += index.bytes;
            if self.columns.is_empty() {
                self.indexes.push(Vec::with_capacity(self.schema.num_columns()));
            }
            if let Some(group) = self.indexes.last_mut() {
                group.push(index);
            }
        }
        if self.columns.is_empty() {
            self.columns.reserve_exact(self.schema.num_columns());
            self.bytes += self.schema.num_columns() * size_of::<ColumnChunkMetaData>();
        }
        let bounds = chunk.statistics().map(|statistics| [statistics.min_bytes_opt(), statistics.max_bytes_opt()]);
        self.bytes += bounds.into_iter().flatten().flatten().map(<[u8]>::len).sum::<usize>();
        self.bytes += chunk.page_encoding_stats().map_or(0, Vec::len) * size_of::<PageEncodingStats>();
        self.columns.push(chunk);
    }

    /// All columns have their chunk.
    pub fn end_row_group(&mut self, rows: usize) -> io::Result<()> {
        let columns = std::mem::take(&mut self.columns);
        let start = columns.first().map_or(0, |chunk| chunk.byte_range().0);
        let group = RowGroupMetaData::builder(self.schema.clone())
            .set_num_rows(rows as i64)
            .set_total_byte_size(columns.iter().map(ColumnChunkMetaData::uncompressed_size).sum())
            .set_sorting_columns(Some(self.sorting.clone()))
            .set_file_offset(start as i64)
            .set_column_metadata(columns);
        // Optional, and too narrow for very many: the crate leaves out what does not fit.
        let ordinal = i32::try_from(self.groups.len()).unwrap_or(i32::MAX);
        self.groups.push(group.set_ordinal(ordinal).build().map_err(io_error)?);
        self.bytes += size_of::<RowGroupMetaData>() + self.sorting.len() * size_of::<SortingColumn>();
        Ok(())
    }

    /// What `finish` takes beyond `bytes`: the crate's copy and the written form, which is smaller.
    pub fn bytes_to_finish(&self) -> usize {
        2 * self.bytes
    }

    /// The end of the file, from `position` on.
    pub fn finish(self, position: u64, created_by: &str, pairs: &[(&str, String)]) -> io::Result<Vec<u8>> {
        let Self { schema, groups, indexes, .. } = self;
        let columns = schema.num_columns();
        let rows = groups.iter().map(RowGroupMetaData::num_rows).sum();
        let pairs = pairs.iter().map(|(key, value)| KeyValue::new(key.to_string(), value.clone())).collect();
        let file = FileMetaData::new(FORMAT_VERSION, rows, Some(created_by.to_owned()), Some(pairs), schema, None);
        let mut footer = Vec::new();
        let metadata = ParquetMetaDataBuilder::new(file).set_row_groups(groups);
        if indexes.is_empty() {
            ParquetMetaDataWriter::new(&mut footer, &metadata.build()).finish().map_err(io_error)?;
        } else {
            let metadata = metadata.set_page_index(Some(page_index::of_file(indexes))).build();
            let out = page_index::tracked_from(position, &mut footer)?;
            ParquetMetaDataWriter::new_with_tracked(out, &metadata).finish().map_err(io_error)?;
        }
        declare_type_order(&mut footer, columns);
        Ok(footer)
    }
}

/// Declares that the bounds of all columns are in the order of their type.
///
/// The crate declares IEEE 754 total order for floats and lets nobody choose. Readers of today do not know it and
/// ignore the bounds of every column that has it. Ours hold in the order of the type, which all readers know.
///
/// The orders are the last member of the file metadata: a list of unions, each of them the header of an empty member
/// whose number is the order, the end of that member, and the end of the union. A footer of another form stays as it is.
fn declare_type_order(footer: &mut [u8], columns: usize) {
    const TYPE_ORDER: [u8; 3] = [0x1C, 0, 0];
    const IEEE_754_TOTAL_ORDER: [u8; 3] = [0x2C, 0, 0];
    // The end of the file metadata, its length, the magic.
    const TAIL: usize = 1 + 4 + 4;
    // Member 7 behind member 6 is a list; of structs, so many.
    let mut list = vec![0x19];
    if columns < 15 {
        list.push((columns as u8) << 4 | 0x0C);
    } else {
        list.push(0xFC);
        varint(columns as u64, &mut list);
    }
    let (front, tail) = footer.split_at_mut(footer.len().saturating_sub(TAIL));
    let (front, orders) = front.split_at_mut(front.len().saturating_sub(columns * TYPE_ORDER.len()));
    let expected = |order: &[u8]| order == TYPE_ORDER || order == IEEE_754_TOTAL_ORDER;
    if front.ends_with(&list) && orders.chunks(TYPE_ORDER.len()).all(expected) && tail.first() == Some(&0) {
        orders.chunks_mut(TYPE_ORDER.len()).for_each(|order| order.copy_from_slice(&TYPE_ORDER));
    }
}

/// What the file system said, without the crate's wrapping.
pub(super) fn io_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(source) => source.downcast().map_or_else(io::Error::other, |source| *source),
        other => io::Error::other(other),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;
    use parquet::basic::{ColumnOrder, SortOrder, Type as Physical};
    use parquet::file::metadata::ParquetMetaDataReader;

    use super::*;

    /// The end of a file without rows; its columns are doubles and integers in turn.
    fn footer(columns: usize) -> Vec<u8> {
        let leaf = |index: usize| {
            let physical = [Physical::DOUBLE, Physical::INT64][index % 2];
            Arc::new(Type::primitive_type_builder(&index.to_string(), physical).build().unwrap())
        };
        let footer = Footer::new((0..columns).map(leaf).collect(), Vec::new()).unwrap();
        footer.finish(4, "test", &[("key", "value".to_owned())]).unwrap()
    }

    #[test]
    fn every_column_has_the_order_of_its_type() {
        for columns in [1, 2, 14, 15, 16, 200] {
            let file = Bytes::from([&b"PAR1"[..], &footer(columns)].concat());
            let metadata = ParquetMetaDataReader::new().parse_and_finish(&file).unwrap();
            assert_eq!(metadata.file_metadata().created_by(), Some("test"));
            let orders = metadata.file_metadata().column_orders().unwrap();
            assert_eq!(*orders, vec![ColumnOrder::TYPE_DEFINED_ORDER(SortOrder::SIGNED); columns]);
        }
    }

    #[test]
    fn a_footer_of_another_form_stays_as_it_is() {
        let mut total_order = footer(3);
        let first = total_order.len() - 9 - 3 * 3;
        total_order[first] = 0x2C;
        for (at, byte) in [(first - 1, 0x4C), (first - 2, 0x29), (first + 3, 0x3C), (first + 4, 1), (first + 9, 1)] {
            let mut other = total_order.clone();
            other[at] = byte;
            let before = other.clone();
            declare_type_order(&mut other, 3);
            assert_eq!(other, before);
        }
        declare_type_order(&mut total_order, 3);
        assert_eq!(total_order, footer(3));
        declare_type_order(&mut [0; 5], 3);
    }

    #[test]
    fn an_error_of_the_file_system_keeps_its_number() {
        let error = io_error(ParquetError::from(io::Error::from_raw_os_error(28)));
        assert_eq!(error.raw_os_error(), Some(28));
    }
}
