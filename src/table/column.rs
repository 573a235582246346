//! One field's column while rows are being written.

use super::seal::{FieldColumn, Presence, Values};
use crate::catalog::FieldType;

/// Values in order of rows, all of one type. It is dense while every row so far has a value, and keeps row positions from the first gap on.
#[derive(Debug)]
pub struct Column {
    values: Values,
    presence: Presence,
    /// One more than the row of the last value.
    rows: u32,
}

/// A value of a field.
pub trait Value: Copy {
    const KIND: FieldType;

    /// Appends it to values of its type; `false` if they are of another.
    fn push(self, values: &mut Values) -> bool;
}

macro_rules! value {
    ($type:ty, $variant:ident, $value:ident => $pushed:expr) => {
        impl Value for $type {
            const KIND: FieldType = FieldType::$variant;

            #[inline(always)]
            fn push(self, values: &mut Values) -> bool {
                let Values::$variant(values) = values else { return false };
                let $value = self;
                values.push($pushed);
                true
            }
        }
    };
}

value!(f64, Float, value => value);
value!(i64, Integer, value => value);
// By its bits.
value!(u64, Unsigned, value => value as i64);
value!(bool, Boolean, value => value);
value!(&[u8], String, value => value);

impl Column {
    pub fn new(kind: FieldType) -> Self {
        Self { values: Values::from(kind), presence: Presence::Dense, rows: 0 }
    }

    /// One more than the last row that has a value.
    #[inline(always)]
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Whether `row` (the row being written) has a value already.
    #[inline(always)]
    pub fn has(&self, row: u32) -> bool {
        self.rows == row + 1
    }

    /// Gives `row` a value, if that is all there is to it: the column is of the value's type and has a value for every row before, but not for
    /// this one.
    #[inline(always)]
    #[must_use]
    pub fn push_next<T: Value>(&mut self, row: u32, value: T) -> bool {
        let is_next = self.rows == row && matches!(self.presence, Presence::Dense);
        if is_next && value.push(&mut self.values) {
            self.rows = row + 1;
            return true;
        }
        false
    }

    /// The same for a column that has had gaps.
    #[inline(always)]
    #[must_use]
    pub fn push_sparse<T: Value>(&mut self, row: u32, value: T) -> bool {
        if let Presence::Sparse(rows) = &mut self.presence
            && self.rows <= row
            && value.push(&mut self.values)
        {
            rows.push(row);
            self.rows = row + 1;
            return true;
        }
        false
    }

    /// Gives `row` a value, which it has not, of the column's type.
    #[inline]
    pub fn push<T: Value>(&mut self, row: u32, value: T) {
        value.push(self.extend_to(row));
    }

    /// The values to push to, with `row` recorded as the one that gets a value; it has none yet.
    #[inline(always)]
    fn extend_to(&mut self, row: u32) -> &mut Values {
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

    /// Gives the rows from `first` on, which have none, values by their bits: those of numbers, 1 for true.
    #[inline]
    pub fn push_rows(&mut self, first: u32, words: impl ExactSizeIterator<Item = u64>) {
        let rows = first..first + words.len() as u32;
        match &mut self.presence {
            Presence::Dense if self.rows == first => {}
            Presence::Dense => self.presence = Presence::Sparse((0..self.rows).chain(rows.clone()).collect()),
            Presence::Sparse(present) => present.extend(rows.clone()),
        }
        self.rows = rows.end;
        match &mut self.values {
            Values::Float(values) => values.extend(words.map(f64::from_bits)),
            Values::Integer(values) | Values::Unsigned(values) => values.extend(words.map(|word| word as i64)),
            Values::Boolean(values) => values.extend(words.map(|word| word != 0)),
            // Strings have no bits.
            Values::String(_) => {}
        }
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
        self.values.truncate(kept);
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        let values = self.values.bytes();
        match &self.presence {
            Presence::Dense => values,
            Presence::Sparse(rows) => values + rows.capacity() * 4,
        }
    }

    pub fn seal(self) -> FieldColumn {
        FieldColumn { values: self.values, presence: self.presence }
    }
}
