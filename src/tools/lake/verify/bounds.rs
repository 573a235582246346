//! Least and greatest value of a column chunk, as found and as the metadata says.

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType, UInt64Type,
};
use parquet::file::statistics::Statistics;

/// A value, of whatever type the column has.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
enum Value {
    Integer(i128),
    Float(f64),
    Boolean(bool),
    Bytes(Vec<u8>),
}

#[derive(Debug, Default)]
pub struct Bounds {
    rows: usize,
    nulls: usize,
    /// Without NaN, of which bounds say nothing.
    span: Option<(Value, Value)>,
    /// The metadata keeps such integers in the bits of signed ones.
    is_unsigned: bool,
    /// Its values are none that bounds are compared for.
    is_foreign: bool,
}

impl Bounds {
    pub fn add(&mut self, column: &ArrayRef) {
        self.rows += column.len();
        self.nulls += column.null_count();
        match column.data_type() {
            DataType::Int64 => self.integers::<Int64Type>(column),
            DataType::Int32 => self.integers::<Int32Type>(column),
            DataType::UInt64 => {
                self.is_unsigned = true;
                self.integers::<UInt64Type>(column);
            }
            DataType::Timestamp(..) => self.integers::<TimestampMicrosecondType>(column),
            DataType::Float64 => {
                let floats = column.as_primitive::<Float64Type>().iter().flatten();
                self.join(least_and_greatest(floats.filter(|float| !float.is_nan())), |float| Value::Float(*float));
            }
            DataType::Boolean => {
                let span = least_and_greatest(column.as_boolean().iter().flatten());
                self.join(span, |boolean| Value::Boolean(*boolean));
            }
            DataType::Utf8 => {
                let span = least_and_greatest(column.as_string::<i32>().iter().flatten());
                self.join(span, |text| Value::Bytes(text.as_bytes().to_vec()));
            }
            _ => self.is_foreign = true,
        }
    }

    fn integers<T: ArrowPrimitiveType>(&mut self, column: &ArrayRef)
    where
        T::Native: PartialOrd + Into<i128>,
    {
        // The data type says that it is one.
        let Some(integers) = column.as_any().downcast_ref::<PrimitiveArray<T>>() else { return };
        self.join(least_and_greatest(integers.iter().flatten()), |integer| Value::Integer((*integer).into()));
    }

    fn join<T>(&mut self, span: Option<(T, T)>, value: impl Fn(&T) -> Value) {
        let Some((least, greatest)) = span.map(|span| (value(&span.0), value(&span.1))) else { return };
        let (before_least, before_greatest) = self.span.take().unwrap_or((least.clone(), greatest.clone()));
        let least = if least < before_least { least } else { before_least };
        let greatest = if greatest > before_greatest { greatest } else { before_greatest };
        self.span = Some((least, greatest));
    }

    /// What the metadata of the chunk says wrongly.
    pub fn disagrees(&self, said: Option<&Statistics>, rows: i64) -> Option<String> {
        if self.is_foreign {
            return None;
        }
        if self.rows as i64 != rows {
            return Some(format!("it has {} rows, and the footer counts {rows}", self.rows));
        }
        let Some(said) = said else { return Some("it has no statistics".into()) };
        if said.null_count_opt() != Some(self.nulls as u64) {
            let counted = said.null_count_opt().map_or("none".to_owned(), |nulls| nulls.to_string());
            return Some(format!("{} of its values are null, and the footer counts {counted}", self.nulls));
        }
        let (least, greatest) = bounds_of(said, self.is_unsigned);
        let Some((found_least, found_greatest)) = &self.span else {
            let is_said = least.is_some() || greatest.is_some();
            return is_said.then(|| "it has no value, and the footer says least and greatest".into());
        };
        let is_text = matches!(found_least, Value::Bytes(_));
        for (what, said, found, is_exact, holds) in [
            (
                "least",
                least,
                found_least,
                said.min_is_exact(),
                (|said, found| said <= found) as fn(&Value, &Value) -> bool,
            ),
            ("greatest", greatest, found_greatest, said.max_is_exact(), |said, found| said >= found),
        ] {
            match said {
                // Where nothing short bounds long strings, nothing is said.
                None if is_text => {}
                None => return Some(format!("the footer does not say its {what} value")),
                Some(said) if is_exact && said != *found || !holds(&said, found) => {
                    return Some(format!("its {what} value is not the one that the footer says"));
                }
                Some(_) => {}
            }
        }
        None
    }
}

fn least_and_greatest<T: PartialOrd + Clone>(mut values: impl Iterator<Item = T>) -> Option<(T, T)> {
    let first = values.next()?;
    Some(values.fold((first.clone(), first), |(least, greatest), value| {
        if value < least {
            (value, greatest)
        } else if value > greatest {
            (least, value)
        } else {
            (least, greatest)
        }
    }))
}

fn bounds_of(said: &Statistics, unsigned: bool) -> (Option<Value>, Option<Value>) {
    fn both<T>(least: Option<&T>, greatest: Option<&T>, value: impl Fn(&T) -> Value) -> (Option<Value>, Option<Value>) {
        (least.map(&value), greatest.map(&value))
    }
    match said {
        Statistics::Boolean(said) => both(said.min_opt(), said.max_opt(), |boolean| Value::Boolean(*boolean)),
        Statistics::Int32(said) => both(said.min_opt(), said.max_opt(), |integer| Value::Integer((*integer).into())),
        Statistics::Int64(said) if unsigned => {
            both(said.min_opt(), said.max_opt(), |integer| Value::Integer((*integer as u64).into()))
        }
        Statistics::Int64(said) => both(said.min_opt(), said.max_opt(), |integer| Value::Integer((*integer).into())),
        Statistics::Double(said) => both(said.min_opt(), said.max_opt(), |float| Value::Float(*float)),
        Statistics::ByteArray(said) => {
            both(said.min_opt(), said.max_opt(), |bytes| Value::Bytes(bytes.data().to_vec()))
        }
        Statistics::Int96(_) | Statistics::Float(_) | Statistics::FixedLenByteArray(_) => (None, None),
    }
}
