//! One field's column while rows are being written.

use super::seal::{FieldColumn, Presence, Strings, Values};
use crate::catalog::FieldType;

/// Values in order of rows. It is dense while every row so far has a value, and keeps row positions from the first gap on.
#[derive(Debug)]
pub struct Column {
    values: Values,
    presence: Presence,
    /// One more than the row of the last value.
    rows: u32,
}

impl Column {
    pub fn new(kind: FieldType) -> Self {
        let values = match kind {
            FieldType::Float => Values::Float(Vec::new()),
            FieldType::Integer => Values::Integer(Vec::new()),
            FieldType::Unsigned => Values::Unsigned(Vec::new()),
            FieldType::Boolean => Values::Boolean(Vec::new()),
            FieldType::String => Values::String(Strings::default()),
        };
        Self { values, presence: Presence::Dense, rows: 0 }
    }

    /// Whether `row` (the row being written) has a value already.
    #[inline(always)]
    pub fn has(&self, row: u32) -> bool {
        self.rows == row + 1
    }

    /// The values to push to, with `row` recorded as the one that gets a value.
    #[inline(always)]
    pub fn extend_to(&mut self, row: u32) -> &mut Values {
        match &mut self.presence {
            Presence::Dense if self.rows == row => {}
            Presence::Dense => self.become_sparse(row),
            Presence::Sparse(rows) => rows.push(row),
        }
        self.rows = row + 1;
        &mut self.values
    }

    #[cold]
    fn become_sparse(&mut self, row: u32) {
        self.presence = Presence::Sparse((0..self.rows).chain([row]).collect());
    }

    pub fn values_mut(&mut self) -> &mut Values {
        &mut self.values
    }

    /// Takes back the values of all rows from `row` on.
    pub fn truncate(&mut self, row: u32) {
        if self.rows <= row {
            return;
        }
        let kept = match &mut self.presence {
            Presence::Dense => {
                self.rows = row;
                row as usize
            }
            Presence::Sparse(rows) => {
                let kept = rows.partition_point(|present| *present < row);
                rows.truncate(kept);
                self.rows = rows.last().map_or(0, |last| last + 1);
                kept
            }
        };
        match &mut self.values {
            Values::Float(values) => values.truncate(kept),
            Values::Integer(values) => values.truncate(kept),
            Values::Unsigned(values) => values.truncate(kept),
            Values::Boolean(values) => values.truncate(kept),
            Values::String(values) => values.truncate(kept),
        }
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        let values = match &self.values {
            Values::Float(values) => values.capacity() * 8,
            Values::Integer(values) => values.capacity() * 8,
            Values::Unsigned(values) => values.capacity() * 8,
            Values::Boolean(values) => values.capacity(),
            Values::String(values) => values.bytes.capacity() + values.ends.capacity() * 4,
        };
        match &self.presence {
            Presence::Dense => values,
            Presence::Sparse(rows) => values + rows.capacity() * 4,
        }
    }

    pub fn seal(self) -> FieldColumn {
        FieldColumn { values: self.values, presence: self.presence }
    }
}
