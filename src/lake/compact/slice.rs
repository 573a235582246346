//! Rows of one input that wait to be written, in the form in which a shard hands rows to the lake.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::{Float64Type, Int64Type, UInt64Type};

use crate::catalog::Table;
use crate::table::{FieldColumn, Integers, Lists, Presence, Run, SeriesSet, Strings, TagPair, Values};

use super::super::partition::DayPart;
use super::super::series::tag_order;
use super::input::Batch;

/// No value of the slice yet.
const UNSEEN: u32 = u32::MAX;

/// Takes the rows of one input, batch by batch.
pub(super) struct Builder {
    /// By ordinal of the tag: its column.
    columns: Vec<usize>,
    time: Integers,
    series: Integers,
    fields: BTreeMap<u32, FieldColumn>,
    tags: Lists<TagPair>,
    /// Of the series in work.
    pairs: Vec<TagPair>,
    /// By ordinal of the tag.
    values: Vec<Interned>,
    /// Bytes of the values of tags, and of the memory of them.
    values_bytes: usize,
}

/// The values of a tag.
#[derive(Default)]
struct Interned {
    strings: Strings,
    /// The dictionary that `numbers` is about.
    dictionary: Option<StringArray>,
    /// By key of the dictionary: the number of its value, or `UNSEEN`.
    numbers: Vec<u32>,
}

impl Builder {
    pub fn new(table: &Table) -> Self {
        let mut columns = vec![0; table.tags.len()];
        for (column, tag) in tag_order(table).into_iter().enumerate() {
            columns[tag] = column;
        }
        let values = columns.iter().map(|_| Interned::default()).collect();
        let (time, series) = (Integers::default(), Integers::default());
        Self {
            columns,
            time,
            series,
            fields: BTreeMap::new(),
            tags: Lists::default(),
            pairs: vec![],
            values,
            values_bytes: 0,
        }
    }

    pub fn rows(&self) -> usize {
        self.time.len()
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        let presence =
            |column: &FieldColumn| if let Presence::Sparse(rows) = &column.presence { 4 * rows.capacity() } else { 0 };
        let fields =
            self.fields.values().map(|column| size_of::<FieldColumn>() + column.values.bytes() + presence(column));
        let keys = self.tags.bytes() + self.values_bytes;
        self.time.bytes() + self.series.bytes() + keys + fields.sum::<usize>()
    }

    /// Takes the next `count` rows of a batch.
    pub fn take(&mut self, batch: &mut Batch, count: usize) {
        let rows = batch.next..batch.next + count;
        if rows.is_empty() {
            return;
        }
        let first = self.time.len() as u32;
        self.series(batch, rows.clone());
        self.time.extend(batch.time[rows.clone()].iter().copied());
        for (ordinal, values) in &batch.fields {
            append(&mut self.fields, *ordinal, values, rows.clone(), first);
        }
        batch.next = rows.end;
    }

    /// Rows with the tags of the row before are of its series. A series that comes in two batches is there twice, which does no harm.
    fn series(&mut self, batch: &Batch, rows: Range<usize>) {
        for (interned, column) in self.values.iter_mut().zip(&self.columns) {
            if let Some(tag) = &batch.tags[*column] {
                interned.follow(&tag.values);
            }
        }
        for row in rows.clone() {
            let is_new = row == rows.start || batch.tags.iter().flatten().any(|tag| tag.keys[row] != tag.keys[row - 1]);
            if is_new {
                self.learn(batch, row);
            }
            self.series.push(self.tags.len() as i64 - 1);
        }
        self.values_bytes = self.values.iter().map(Interned::bytes).sum();
    }

    fn learn(&mut self, batch: &Batch, row: usize) {
        self.pairs.clear();
        for (ordinal, (interned, column)) in (0..).zip(self.values.iter_mut().zip(&self.columns)) {
            let Some(tag) = &batch.tags[*column] else { continue };
            let Ok(key) = usize::try_from(tag.keys[row]) else { continue };
            self.pairs.push(TagPair { tag: ordinal, value: interned.number(key) });
        }
        self.tags.push(&self.pairs);
    }

    /// The rows, which came as request `request`; leaves nothing behind.
    pub fn finish(&mut self, request: u64) -> DayPart {
        let keys = SeriesSet {
            tags: Arc::new(std::mem::take(&mut self.tags)),
            values: self.values.iter_mut().map(|values| Arc::new(std::mem::take(values).strings)).collect(),
        };
        self.values_bytes = 0;
        DayPart {
            time: std::mem::take(&mut self.time),
            series: std::mem::take(&mut self.series),
            runs: vec![Run { first_row: 0, request }],
            fields: std::mem::take(&mut self.fields).into_iter().collect(),
            keys: Arc::new(keys),
        }
    }
}

impl Interned {
    /// What comes next is numbered by this dictionary. Batches of one row group share theirs.
    fn follow(&mut self, dictionary: &StringArray) {
        let is_same = |known: &StringArray| {
            known.len() == dictionary.len() && known.value_data().as_ptr() == dictionary.value_data().as_ptr()
        };
        if !self.dictionary.as_ref().is_some_and(is_same) {
            self.numbers.clear();
            self.numbers.resize(dictionary.len(), UNSEEN);
            self.dictionary = Some(dictionary.clone());
        }
    }

    fn number(&mut self, key: usize) -> u32 {
        let number = &mut self.numbers[key];
        if *number == UNSEEN
            && let Some(dictionary) = &self.dictionary
        {
            *number = self.strings.len() as u32;
            self.strings.push(dictionary.value(key).as_bytes());
        }
        *number
    }

    fn bytes(&self) -> usize {
        self.strings.bytes() + 4 * self.numbers.capacity()
    }
}

/// Appends `rows` of a column to that of the slice, where the first of them becomes row `first`.
fn append(fields: &mut BTreeMap<u32, FieldColumn>, ordinal: u32, from: &ArrayRef, rows: Range<usize>, first: u32) {
    let nulls = from.nulls().map(|nulls| nulls.slice(rows.start, rows.len())).filter(|nulls| nulls.null_count() > 0);
    if nulls.as_ref().is_some_and(|nulls| nulls.null_count() == rows.len()) {
        return;
    }
    let column =
        fields.entry(ordinal).or_insert_with(|| FieldColumn { values: empty(from), presence: Presence::Dense });
    if matches!(column.presence, Presence::Dense) && (nulls.is_some() || column.values.len() != first as usize) {
        column.presence = Presence::Sparse((0..column.values.len() as u32).collect());
    }
    if let Presence::Sparse(present) = &mut column.presence {
        match &nulls {
            None => present.extend(first..first + rows.len() as u32),
            Some(nulls) => present.extend(nulls.valid_indices().map(|row| first + row as u32)),
        }
    }
    macro_rules! push {
        ($to:ident, $value:expr) => {
            match &nulls {
                None => rows.for_each(|row| $to.push($value(row))),
                Some(nulls) => nulls.valid_indices().for_each(|row| $to.push($value(rows.start + row))),
            }
        };
    }
    match &mut column.values {
        Values::Float(to) => {
            let from = from.as_primitive::<Float64Type>().values();
            push!(to, |row: usize| from[row]);
        }
        Values::Integer(to) => {
            let from = from.as_primitive::<Int64Type>().values();
            push!(to, |row: usize| from[row]);
        }
        // By their bits.
        Values::Unsigned(to) => {
            let from = from.as_primitive::<UInt64Type>().values();
            push!(to, |row: usize| from[row] as i64);
        }
        Values::Boolean(to) => {
            let from = from.as_boolean().values();
            push!(to, |row: usize| from.value(row));
        }
        Values::String(to) => {
            let from = from.as_string::<i32>();
            push!(to, |row: usize| from.value(row).as_bytes());
        }
    }
}

/// No values of the type that a column has; the input has checked that it is one of these.
fn empty(column: &ArrayRef) -> Values {
    use arrow::datatypes::DataType;

    use crate::catalog::FieldType;
    Values::from(match column.data_type() {
        DataType::Float64 => FieldType::Float,
        DataType::Int64 => FieldType::Integer,
        DataType::UInt64 => FieldType::Unsigned,
        DataType::Boolean => FieldType::Boolean,
        _ => FieldType::String,
    })
}
