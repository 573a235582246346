//! Sealed tables become record batches, one at a time.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;

use super::{Batch, Error};
use crate::budget::Reservation;
use crate::catalog::Table;
use crate::table::arrays::{self, Tags};
use crate::table::{Rows, SealedTable};

/// Most cells of a batch. Text takes at least two bytes per value, a batch up to eight per cell, whether it has a value or not: a table of many
/// columns of which each row has few would otherwise take memory out of all proportion.
const CELLS_MAX: usize = 1 << 25;

/// The batches that [`Reader::take`](super::Reader::take) gives. Each is made when it is asked for; what is not asked for is lost.
#[derive(Debug)]
pub struct Taken {
    sealed: std::vec::IntoIter<SealedTable>,
    open: Option<Cutter>,
    rows_max: usize,
}

impl Taken {
    pub(super) fn new(sealed: Vec<SealedTable>, rows_max: usize) -> Self {
        Self { sealed: sealed.into_iter(), open: None, rows_max }
    }

    fn next_batch(&mut self) -> Result<Option<Batch>, ArrowError> {
        loop {
            if let Some(cutter) = &mut self.open {
                if let Some(records) = cutter.next_records()? {
                    return Ok(Some(Batch { measurement: cutter.table.name.to_string(), records }));
                }
                self.open = None;
            }
            let Some(sealed) = self.sealed.next() else { return Ok(None) };
            self.open = Some(Cutter::new(sealed, self.rows_max)?);
        }
    }
}

impl Iterator for Taken {
    type Item = Result<Batch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = self.next_batch();
        result
            .map_err(|source| {
                let measurement = self.open.take().map_or(String::new(), |cutter| cutter.table.name.to_string());
                Error::Batch { measurement, source }
            })
            .transpose()
    }
}

/// Cuts the rows of one table into batches.
#[derive(Debug)]
struct Cutter {
    table: Arc<Table>,
    schema: SchemaRef,
    rows: Rows,
    tags: Tags,
    /// Where the next batch starts, and how many rows it has.
    at: usize,
    step: usize,
    _memory: Reservation,
}

impl Cutter {
    fn new(sealed: SealedTable, rows_max: usize) -> Result<Self, ArrowError> {
        let SealedTable { table, mut rows, memory } = sealed;
        let schema = Arc::new(schema(&table));
        let values = std::mem::take(&mut rows.keys.values);
        let tags = Tags::new(&rows.keys, values, table.tags.len())?;
        let most = rows_max.min(CELLS_MAX / schema.fields().len()).max(1);
        // Batches of one size, and not a small one at the end.
        let step = rows.time.len().div_ceil(rows.time.len().div_ceil(most).max(1));
        Ok(Self { table, schema, rows, tags, at: 0, step, _memory: memory })
    }

    fn next_records(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        let rows = self.at..self.rows.series.len().min(self.at + self.step);
        self.at = rows.end;
        if rows.is_empty() {
            return Ok(None);
        }
        let (mut time, mut series) = (Vec::new(), Vec::new());
        self.rows.time.extend_into(rows.clone(), &mut time);
        self.rows.series.extend_into(rows.clone(), &mut series);
        let mut columns = vec![arrays::times(time)];
        for tag in 0..self.table.tags.len() {
            columns.push(Arc::new(self.tags.array(tag, &series)?));
        }
        for column in &self.rows.fields {
            columns.push(arrays::values(column, rows.clone())?);
        }
        self.fill(&mut columns, &rows);
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map(Some)
    }

    /// Fields that were born after the table was sealed have no column there.
    fn fill(&self, columns: &mut Vec<ArrayRef>, rows: &Range<usize>) {
        for field in &self.schema.fields()[columns.len()..] {
            columns.push(new_null_array(field.data_type(), rows.len()));
        }
    }
}

/// Time, tags, fields; see the [module](super).
fn schema(table: &Table) -> Schema {
    let mut columns = vec![Field::new("time", arrays::time_type(), false)];
    columns.extend(table.tags.iter().map(|tag| Field::new(&*tag.parquet, arrays::tag_type(), true)));
    columns.extend(table.fields.iter().map(|field| Field::new(&*field.parquet, arrays::field_type(field.kind), true)));
    let tags: Vec<&str> = table.tags.iter().map(|tag| &*tag.parquet).collect();
    let renamed: serde_json::Map<String, serde_json::Value> =
        table.renamed().map(|(column, name)| (column.to_owned(), name.into())).collect();
    let facts = [
        ("ringest.measurement", table.name.to_string()),
        ("ringest.tags", serde_json::Value::from(tags).to_string()),
        ("ringest.names", serde_json::Value::from(renamed).to_string()),
    ];
    let facts: HashMap<String, String> = facts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Schema::new(columns).with_metadata(facts)
}
