//! Rows that bring the same fields in the same order: kept row by row, where a value costs one store, and dealt to the columns many at a time.
//!
//! While rows lie here, the columns of these fields end before them. So whoever wants to write to such a column otherwise, or to read it,
//! deals them first.

use super::open::FieldSlot;
use crate::catalog::FieldType;
use crate::line::{ExpectedField, Word};

/// Rows in order, one after the other, from which on the next are expected to be like the last of them.
const ALIKE_MIN: u32 = 4;
/// A row of more fields is not worth a stage.
const FIELDS_MAX: usize = 512;
/// Room for rows: at first, as a table may never have many, and at most: what the first-level cache holds.
const ROWS_MIN: usize = 4;
const WORDS_MAX: usize = 2048;

/// See the module. It is on while it has fields.
#[derive(Debug, Default)]
pub struct Stage {
    fields: Vec<ExpectedField>,
    /// Their places in the table.
    slots: Vec<u32>,
    /// Room for rows, a word for each field. There is always room for one more.
    words: Vec<u64>,
    /// Words of the rows that are complete, and where they end: there stands the row in progress.
    used: usize,
    /// Rows in order since the last one that was not.
    alike: u32,
}

impl Stage {
    /// The fields that the next row should have, and room for their values; `None` if the stage is not on.
    #[inline(always)]
    pub fn expected(&mut self) -> Option<(&mut [ExpectedField], &mut [u64])> {
        if self.fields.is_empty() {
            return None;
        }
        Some((&mut self.fields, self.words.get_mut(self.used..)?))
    }

    /// Fields of a row; none if the stage is not on.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// The rows that are complete.
    pub fn rows(&self) -> usize {
        self.used.checked_div(self.fields.len()).unwrap_or(0)
    }

    /// Field and value number `step` of the row in progress.
    pub fn value(&self, step: usize) -> (u32, u64) {
        (self.slots[step], self.words[self.used + step])
    }

    /// The row in progress has all its values. Returns whether there is no room for the next.
    #[inline(always)]
    pub fn complete_row(&mut self) -> bool {
        self.used += self.fields.len();
        self.used + self.fields.len() > self.words.len()
    }

    /// Gives the complete rows, the first of which is row `first_row`, to the columns. Fields that the request with this `mark` gives its first
    /// values become `touched`. The row in progress stays, as the only one.
    #[inline(never)]
    pub fn deal(&mut self, first_row: u32, columns: &mut [FieldSlot], mark: u32, touched: &mut Vec<u32>) {
        if self.used == 0 {
            return;
        }
        let stride = self.fields.len();
        let (rows, in_progress) = self.words.split_at_mut(self.used);
        for (step, slot) in self.slots.iter().enumerate() {
            let column = &mut columns[*slot as usize].column;
            if column.rows() <= mark {
                touched.push(*slot);
            }
            column.push_rows(first_row, rows[step..].iter().step_by(stride).copied());
        }
        let count = self.used / stride;
        self.fields.iter_mut().for_each(|field| field.review(count));
        let kept = stride.min(in_progress.len());
        rows[..kept].copy_from_slice(&in_progress[..kept]);
        self.used = 0;
        if self.words.len() < WORDS_MAX {
            self.words.resize(2 * self.words.len(), 0);
        }
    }

    /// Forgets all but the first `rows` rows.
    pub fn truncate(&mut self, rows: usize) {
        self.used = self.used.min(rows * self.fields.len());
    }

    /// Counts a row that came while the stage is off; `true` if the next ones should be expected to be like it.
    #[inline(always)]
    pub fn count(&mut self, in_order: bool) -> bool {
        self.alike = if in_order { self.alike.saturating_add(1) } else { 0 };
        self.alike == ALIKE_MIN
    }

    /// Expects rows with the fields of these slots, all distinct, from now on, if it takes such fields.
    pub fn begin(&mut self, slots: &[u32], fields: &[FieldSlot]) {
        let expected = |slot: &u32| {
            let field = &fields[*slot as usize];
            field.pattern.expected(word_of(field.kind)?)
        };
        if slots.len() <= FIELDS_MAX
            && let Some(expected) = slots.iter().map(expected).collect::<Option<Vec<_>>>()
        {
            self.fields = expected;
            self.slots = slots.to_vec();
            self.words.resize(self.words.len().max(ROWS_MIN * slots.len()), 0);
        }
    }

    /// Expects nothing any more. No complete row may be there.
    pub fn end(&mut self) {
        self.fields.clear();
        self.slots.clear();
        self.alike = 0;
    }

    /// Field `slot` is no more; only rows that are no more had it.
    pub fn forget(&mut self, slot: u32) {
        if self.slots.contains(&slot) {
            self.used = 0;
            self.end();
        }
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        self.fields.capacity() * size_of::<ExpectedField>() + self.slots.capacity() * 4 + self.words.capacity() * 8
    }
}

/// Strings have no place on the stage.
fn word_of(kind: FieldType) -> Option<Word> {
    match kind {
        FieldType::Float => Some(Word::Float),
        FieldType::Integer => Some(Word::Integer),
        FieldType::Unsigned => Some(Word::Unsigned),
        FieldType::Boolean => Some(Word::Boolean),
        FieldType::String => None,
    }
}
