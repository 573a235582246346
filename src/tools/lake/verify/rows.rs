//! The keys of a file's rows: tags, then time.

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Int32Type, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, SortField};

use super::schema::TIME_COLUMNS;
use crate::lake::{Day, day_of};

/// The first row of its kind, counted from 0, and how many there are.
#[derive(Default)]
struct Found(Option<(u64, u64)>);

impl Found {
    fn add(&mut self, row: u64) {
        let (first, count) = self.0.unwrap_or((row, 0));
        self.0 = Some((first, count + 1));
    }

    fn tell(&self, what: &str, tell: &mut impl FnMut(String)) {
        if let Some((first, count)) = self.0 {
            tell(format!("rows {what}: {count}, the first is row {first}"));
        }
    }
}

pub struct Keys {
    tags: usize,
    day: i64,
    /// Keys as bytes that compare like them.
    converter: RowConverter,
    last: Option<OwnedRow>,
    rows: u64,
    unsorted: Found,
    twice: Found,
    elsewhere: Found,
    no_remainder: Found,
}

impl Keys {
    pub fn new(tags: usize, day: i64) -> Result<Self, ArrowError> {
        let ascending = SortOptions { descending: false, nulls_first: true };
        let field = |kind| SortField::new_with_options(kind, ascending);
        let mut fields = vec![field(DataType::Utf8); tags];
        fields.push(field(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))));
        fields.push(field(DataType::Int32));
        Ok(Self {
            tags,
            day,
            converter: RowConverter::new(fields)?,
            last: None,
            rows: 0,
            unsorted: Found::default(),
            twice: Found::default(),
            elsewhere: Found::default(),
            no_remainder: Found::default(),
        })
    }

    /// The next rows: time, remainder, tags.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let columns = batch.columns();
        self.check_times(columns);
        let tags = columns[TIME_COLUMNS..TIME_COLUMNS + self.tags].iter();
        let keys: Vec<ArrayRef> = tags.chain(&columns[..TIME_COLUMNS]).cloned().collect();
        let rows = self.converter.convert_columns(&keys)?;
        for (index, row) in rows.iter().enumerate() {
            let number = self.rows + index as u64;
            let before = match index.checked_sub(1) {
                Some(before) => Some(rows.row(before)),
                None => self.last.as_ref().map(OwnedRow::row),
            };
            match before.map(|before| before.cmp(&row)) {
                Some(std::cmp::Ordering::Greater) => self.unsorted.add(number),
                Some(std::cmp::Ordering::Equal) => self.twice.add(number),
                Some(std::cmp::Ordering::Less) | None => {}
            }
        }
        self.last = rows.num_rows().checked_sub(1).map(|last| rows.row(last).owned()).or(self.last.take());
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn check_times(&mut self, columns: &[ArrayRef]) {
        let (micros, rest) = (&columns[0], &columns[1]);
        let Some(micros) = micros.as_primitive_opt::<TimestampMicrosecondType>() else { return };
        let Some(rest) = rest.as_primitive_opt::<Int32Type>() else { return };
        for (index, (micros, rest)) in micros.values().iter().zip(rest.values()).enumerate() {
            let number = self.rows + index as u64;
            if !(0..1000).contains(rest) {
                self.no_remainder.add(number);
            }
            // The first microsecond that a time in nanoseconds reaches into begins before the least of them.
            let time = i64::try_from(i128::from(*micros) * 1000 + i128::from(*rest));
            if time.map(day_of) != Ok(self.day) {
                self.elsewhere.add(number);
            }
        }
    }

    pub fn finish(&self, tell: &mut impl FnMut(String)) {
        self.unsorted.tell("that are not in order of tags and time", tell);
        self.twice.tell("with the tags and time of the row before", tell);
        self.elsewhere.tell(&format!("with a time outside of the folder's day {}", Day(self.day)), tell);
        self.no_remainder.tell("whose time_ns_rem is not from 0 to 999", tell);
    }
}
