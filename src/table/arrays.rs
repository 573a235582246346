//! Sealed columns as Arrow arrays.
//!
//! Numbers are unpacked chunk by chunk; those of a sparse column are then spread over its rows. A tag becomes keys into the tag's values,
//! which are its dictionary as they are. What a row refers to and does not exist is null.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, Int32Array, PrimitiveArray, StringArray, TimestampNanosecondArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float64Type, Int32Type, Int64Type, TimeUnit, UInt64Type};
use arrow::error::ArrowError;

use super::chunks::{Chunked, Packed, Strings};
use super::seal::{FieldColumn, Presence, SeriesSet, TagPair, Values};
use crate::catalog::FieldType;

const UTC: &str = "UTC";

/// The type of `time`: nanoseconds, UTC.
pub fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some(UTC.into()))
}

/// The type of a tag: keys into its distinct values.
pub fn tag_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

pub fn field_type(kind: FieldType) -> DataType {
    match kind {
        FieldType::Float => DataType::Float64,
        FieldType::Integer => DataType::Int64,
        FieldType::Unsigned => DataType::UInt64,
        FieldType::Boolean => DataType::Boolean,
        FieldType::String => DataType::Utf8,
    }
}

pub fn times(time: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampNanosecondArray::new(time.into(), None).with_timezone(UTC))
}

/// The column's values in `rows` as an array.
///
/// # Errors
/// Strings of more than 2 GiB, which the type's offsets cannot count.
pub fn values(column: &FieldColumn, rows: Range<usize>) -> Result<ArrayRef, ArrowError> {
    let (presence, range) = part(column, &rows);
    let rows = rows.len();
    Ok(match &column.values {
        Values::Float(values) => primitive::<Float64Type>(unpacked(values, range), &presence, rows),
        Values::Integer(values) => primitive::<Int64Type>(unpacked(values, range), &presence, rows),
        Values::Unsigned(values) => {
            let unsigned = unpacked(values, range).into_iter().map(|bits| bits as u64).collect();
            primitive::<UInt64Type>(unsigned, &presence, rows)
        }
        Values::Boolean(values) => {
            let (values, nulls) = spread(unpacked(values, range), &presence, rows);
            Arc::new(BooleanArray::new(BooleanBuffer::from(values), nulls))
        }
        Values::String(strings) => Arc::new(text(strings, range, &presence, rows)?),
    })
}

/// What of the column belongs to `rows`: the rows that have a value, counted from the first, and the places of the values.
fn part(column: &FieldColumn, rows: &Range<usize>) -> (Presence, Range<usize>) {
    match &column.presence {
        Presence::Dense => {
            // It may end before its rows do.
            let end = rows.end.min(column.values.len());
            (Presence::Dense, rows.start.min(end)..end)
        }
        Presence::Sparse(present) => {
            let place = |row: usize| present.partition_point(|present| (*present as usize) < row);
            let range = place(rows.start)..place(rows.end);
            let first = rows.start as u32;
            (Presence::Sparse(present[range.clone()].iter().map(|row| row - first).collect()), range)
        }
    }
}

fn unpacked<P: Packed>(values: &Chunked<P>, range: Range<usize>) -> Vec<P::Value> {
    let mut unpacked = Vec::new();
    values.extend_into(range, &mut unpacked);
    unpacked
}

fn primitive<T: ArrowPrimitiveType>(values: Vec<T::Native>, presence: &Presence, rows: usize) -> ArrayRef {
    let (values, nulls) = spread(values, presence, rows);
    Arc::new(PrimitiveArray::<T>::new(values.into(), nulls))
}

/// One value per row, and which of them count.
fn spread<T: Copy + Default>(mut values: Vec<T>, presence: &Presence, rows: usize) -> (Vec<T>, Option<NullBuffer>) {
    let nulls = nulls(values.len(), presence, rows);
    match presence {
        Presence::Dense => {
            values.resize(rows, T::default());
            (values, nulls)
        }
        Presence::Sparse(present) => {
            let mut spread = vec![T::default(); rows];
            for (row, value) in present.iter().zip(values) {
                spread[*row as usize] = value;
            }
            (spread, nulls)
        }
    }
}

/// A bit per row; none where every row has a value.
fn nulls(values: usize, presence: &Presence, rows: usize) -> Option<NullBuffer> {
    if values >= rows {
        return None;
    }
    let mut bits = vec![0u8; rows.div_ceil(8)];
    match presence {
        Presence::Dense => {
            bits[..values / 8].fill(0xFF);
            bits[values / 8] = (1 << (values % 8)) - 1;
        }
        Presence::Sparse(present) => {
            present.iter().for_each(|row| bits[*row as usize / 8] |= 1 << (row % 8));
        }
    }
    Some(NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(bits), 0, rows)))
}

fn text(strings: &Strings, range: Range<usize>, presence: &Presence, rows: usize) -> Result<StringArray, ArrowError> {
    let nulls = nulls(range.len(), presence, rows);
    let mut bytes = Vec::new();
    let mut offsets = Vec::with_capacity(rows + 1);
    offsets.push(0);
    let mut end = 0;
    for (place, index) in range.enumerate() {
        if let Presence::Sparse(present) = presence {
            offsets.resize(present[place] as usize + 1, end);
        }
        bytes.extend_from_slice(strings.get(index));
        end = i32::try_from(bytes.len()).map_err(|_| ArrowError::OffsetOverflowError(bytes.len()))?;
        offsets.push(end);
    }
    offsets.resize(rows + 1, end);
    StringArray::try_new(OffsetBuffer::new(offsets.into()), Buffer::from_vec(bytes), nulls)
}

/// The tags of a sealed table, ready to become arrays of any of its rows.
#[derive(Debug)]
pub struct Tags {
    /// Series and value, by tag; those of tag `t` are `pairs[ends[t - 1]..ends[t]]` (from 0 for the first).
    pairs: Vec<(u32, i32)>,
    ends: Vec<usize>,
    dictionaries: Vec<ArrayRef>,
    /// By series, the value of the tag in work; `ABSENT` throughout in between.
    of_series: Vec<i32>,
}

const ABSENT: i32 = -1;

impl Tags {
    /// `values`: those of `keys`, which are not looked at there. `count`: how many tags the table has.
    ///
    /// # Errors
    /// A tag with values of more than 2 GiB.
    pub fn new(keys: &SeriesSet, mut values: Vec<Arc<Strings>>, count: usize) -> Result<Self, ArrowError> {
        values.resize_with(count, Arc::default);
        let dictionary = |strings: Arc<Strings>| {
            let rows = strings.len();
            Ok(Arc::new(text(&strings, 0..rows, &Presence::Dense, rows)?) as ArrayRef)
        };
        let dictionaries: Vec<ArrayRef> = values.into_iter().map(dictionary).collect::<Result<_, ArrowError>>()?;
        let exists = |pair: &&TagPair| {
            dictionaries.get(pair.tag as usize).is_some_and(|values| (pair.value as usize) < values.len())
        };
        // A counting sort by tag.
        let mut ends = vec![0; count + 1];
        keys.tags.iter().flatten().filter(exists).for_each(|pair| ends[pair.tag as usize + 1] += 1);
        for tag in 0..count {
            ends[tag + 1] += ends[tag];
        }
        let mut pairs = vec![(0, 0); ends[count]];
        for series in 0..keys.len() {
            for pair in keys.tags_of(series).iter().filter(exists) {
                let next = &mut ends[pair.tag as usize];
                // No more than 2^31 values: each takes a byte.
                pairs[*next] = (series as u32, pair.value as i32);
                *next += 1;
            }
        }
        ends.pop();
        Ok(Self { pairs, ends, dictionaries, of_series: vec![ABSENT; keys.len()] })
    }

    /// Tag number `tag` of rows with these `series`.
    ///
    /// # Errors
    /// None: what does not exist is null.
    pub fn array(&mut self, tag: usize, series: &[i64]) -> Result<DictionaryArray<Int32Type>, ArrowError> {
        let start = tag.checked_sub(1).map_or(0, |before| self.ends[before]);
        let pairs = &self.pairs[start..self.ends[tag]];
        pairs.iter().for_each(|(series, value)| self.of_series[*series as usize] = *value);
        let value_of = |series: &i64| self.of_series.get(*series as usize).copied().unwrap_or(ABSENT);
        let mut keys: Vec<i32> = series.iter().map(value_of).collect();
        pairs.iter().for_each(|(series, _)| self.of_series[*series as usize] = ABSENT);

        let mut nulls = None;
        if keys.contains(&ABSENT) {
            nulls = Some(NullBuffer::new(BooleanBuffer::collect_bool(keys.len(), |row| keys[row] != ABSENT)));
            keys.iter_mut().for_each(|key| *key = (*key).max(0));
        }
        DictionaryArray::try_new(Int32Array::new(keys.into(), nulls), Arc::clone(&self.dictionaries[tag]))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::table::chunks::Lists;
    use arrow::array::AsArray;

    const ROWS: usize = 21;

    /// Columns of every type: full, ending early, empty, and with gaps.
    fn columns() -> Vec<FieldColumn> {
        let sparse = |rows: &[u32]| (rows.len(), Presence::Sparse(rows.to_vec()));
        let shapes = || {
            let dense = [ROWS, 16, 9, 0].map(|values| (values, Presence::Dense));
            dense.into_iter().chain([sparse(&[1, 7, 8, 20]), sparse(&[]), sparse(&(0..21).collect::<Vec<_>>())])
        };
        let of = |make: fn(usize) -> Values| {
            shapes().map(move |(values, presence)| FieldColumn { values: make(values), presence })
        };
        let floats = of(|count| Values::Float((0..count).map(|n| n as f64 + 0.5).collect()));
        let integers = of(|count| Values::Integer((0..count as i64).map(|n| n - 3).collect()));
        let unsigned = of(|count| Values::Unsigned((0..count as i64).collect()));
        let booleans = of(|count| Values::Boolean((0..count).map(|n| n % 3 == 0).collect()));
        let strings = of(|count| {
            let mut strings = Strings::default();
            (0..count).for_each(|n| strings.push("ü".repeat(n % 4).as_bytes()));
            Values::String(strings)
        });
        floats.chain(integers).chain(unsigned).chain(booleans).chain(strings).collect()
    }

    #[test]
    fn a_part_of_a_column_is_the_slice_of_its_array() {
        for (number, column) in columns().iter().enumerate() {
            let count = match &column.presence {
                Presence::Dense => column.values.len(),
                Presence::Sparse(rows) => rows.len(),
            };
            let array = values(column, 0..ROWS).unwrap();
            array.to_data().validate_full().unwrap();
            assert_eq!((array.len(), array.null_count()), (ROWS, ROWS - count), "column {number}");
            for start in 0..=ROWS {
                for end in start..=ROWS {
                    let part = values(column, start..end).unwrap();
                    assert_eq!(&part, &array.slice(start, end - start), "column {number}, rows {start}..{end}");
                }
            }
        }
    }

    #[test]
    fn values_stand_in_their_rows() {
        let column = |values| FieldColumn { values, presence: Presence::Sparse(vec![1, 3]) };
        let array = values(&column(Values::Integer([7, 8].into_iter().collect())), 0..5).unwrap();
        assert_eq!(array.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [None, Some(7), None, Some(8), None]);
        let mut strings = Strings::default();
        [b"a".as_slice(), b"bc"].iter().for_each(|string| strings.push(string));
        let array = values(&column(Values::String(strings)), 0..5).unwrap();
        assert_eq!(array.as_string::<i32>().iter().collect::<Vec<_>>(), [None, Some("a"), None, Some("bc"), None]);
        let array = values(&column(Values::Boolean([true, false].into_iter().collect())), 0..4).unwrap();
        assert_eq!(array.as_boolean().iter().collect::<Vec<_>>(), [None, Some(true), None, Some(false)]);
    }

    #[test]
    fn what_does_not_exist_is_null() {
        let strings = |values: &[&str]| {
            let mut strings = Strings::default();
            values.iter().for_each(|value| strings.push(value.as_bytes()));
            Arc::new(strings)
        };
        let pair = |tag, value| TagPair { tag, value };
        // The second series has a value and the third a tag that nobody knows.
        let mut series = Lists::default();
        series.push(&[pair(0, 1), pair(1, 0)]);
        series.push(&[pair(0, 9)]);
        series.push(&[pair(0, 0), pair(7, 0)]);
        let keys = SeriesSet { tags: Arc::new(series), values: Vec::new() };
        let mut tags = Tags::new(&keys, vec![strings(&["a", "b"]), strings(&["c"])], 3).unwrap();
        let mut texts = |tag| {
            let array = tags.array(tag, &[0, 1, 2, 3, 0]).unwrap();
            assert!(array.keys().values().iter().all(|key| *key >= 0), "readers gather by keys of nulls too");
            let values = array.values().as_string::<i32>().clone();
            array.keys().iter().map(|key| key.map(|key| values.value(key as usize).to_owned())).collect::<Vec<_>>()
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(texts(0), [some("b"), None, some("a"), None, some("b")]);
        assert_eq!(texts(1), [some("c"), None, None, None, some("c")]);
        assert_eq!(texts(2), vec![None; 5]);
    }
}
