//! A file's metadata: what its footer says against its name, its folder and the catalog.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::file::metadata::ParquetMetaData;
use parquet::schema::types::ColumnDescriptor;

use super::Known;
use crate::catalog::{FieldType, Table, encode_path_segment};
use crate::lake::FileName;
use crate::tools::lake::files::{Place, value_of};

/// Columns before the tags.
pub const TIME_COLUMNS: usize = 2;

/// Finds what is wrong; returns the number of tag columns, if the order of the rows can be known.
pub fn check(path: &str, metadata: &ParquetMetaData, known: &Known, tell: &mut impl FnMut(String)) -> Option<usize> {
    let Some(place) = Place::of(path) else {
        tell("does not lie in lake/<bucket>/<measurement>/day=YYYY-MM-DD/".into());
        return None;
    };
    names(place, metadata, known, tell);
    let columns: Vec<&ColumnDescriptor> =
        metadata.file_metadata().schema_descr().columns().iter().map(|column| &**column).collect();
    let tags = tags(metadata, &columns, tell)?;
    times(&columns, tell)?;
    sorting(metadata, tags, tell);
    columns_of_one_name(&columns, tell);
    let table = format!("{}/{}", place.bucket, place.measurement);
    known.neighbours.compare(&table, path, columns.iter().map(|column| (column.name(), kind(column))));
    let own = FileName::parse(place.name).is_some_and(|name| Some(name.node) == known.node);
    if own {
        let value = |key| value_of(metadata, key).unwrap_or_default();
        match known.catalog.find(value("ringest.bucket"), value("ringest.measurement")) {
            Some(table) => against_catalog(&table, metadata, &columns, tags, tell),
            None => tell("the catalog does not know its table".into()),
        }
    }
    Some(tags)
}

/// Footer keys against name and folder.
fn names(place: Place<'_>, metadata: &ParquetMetaData, known: &Known, tell: &mut impl FnMut(String)) {
    let mut expect = |key: &str, shown: &dyn Fn(&str) -> String, expected: String| match value_of(metadata, key) {
        None => tell(format!("its footer has no {key}")),
        Some(value) if shown(value) != expected => {
            tell(format!("its footer says {key} = {value:?}, and its path {expected:?}"));
        }
        Some(_) => {}
    };
    expect("ringest.bucket", &encode_path_segment, place.bucket.to_owned());
    expect("ringest.measurement", &encode_path_segment, place.measurement.to_owned());
    match FileName::parse(place.name) {
        Some(name) => {
            expect("ringest.node", &str::to_owned, name.node.to_string());
            expect("ringest.epoch", &str::to_owned, name.epoch.to_string());
            if name.first_epoch != name.epoch || value_of(metadata, "ringest.first_epoch").is_some() {
                expect("ringest.first_epoch", &str::to_owned, name.first_epoch.to_string());
            }
        }
        None if known.node.is_some() => tell("has a name that ringest does not give".into()),
        None => {}
    }
}

/// The tag columns stand behind the times, ordered by name.
fn tags(metadata: &ParquetMetaData, columns: &[&ColumnDescriptor], tell: &mut impl FnMut(String)) -> Option<usize> {
    let tags = value_of(metadata, "ringest.tags").and_then(|json| serde_json::from_str::<Vec<String>>(json).ok());
    let Some(tags) = tags else {
        tell("its footer has no list of tags in ringest.tags".into());
        return None;
    };
    let found = columns.iter().skip(TIME_COLUMNS).take(tags.len());
    let is_tag = |column: &&ColumnDescriptor| kind(column) == "string";
    let as_listed = found.clone().map(|column| column.name()).eq(tags.iter().map(String::as_str));
    if !as_listed || !found.clone().all(is_tag) || !tags.is_sorted() {
        tell(format!("its tags {tags:?} are not the string columns behind time_ns_rem, ordered by name"));
        return None;
    }
    Some(tags.len())
}

fn times(columns: &[&ColumnDescriptor], tell: &mut impl FnMut(String)) -> Option<()> {
    let sound = |index: usize, name: &str, expected: &str| {
        let required = Repetition::REQUIRED;
        columns.get(index).is_some_and(|column| {
            column.name() == name
                && kind(column) == expected
                && column.self_type().get_basic_info().repetition() == required
        })
    };
    if !sound(0, "time", "timestamp in microseconds") || !sound(1, "time_ns_rem", "int32") {
        tell("its first columns are not time (timestamp in microseconds) and time_ns_rem (int32)".into());
        return None;
    }
    Some(())
}

fn sorting(metadata: &ParquetMetaData, tags: usize, tell: &mut impl FnMut(String)) {
    let order: Vec<i32> = (TIME_COLUMNS as i32..(TIME_COLUMNS + tags) as i32).chain([0, 1]).collect();
    for (index, group) in metadata.row_groups().iter().enumerate() {
        let said = group.sorting_columns().map_or(&[][..], Vec::as_slice);
        let sound = said.iter().all(|column| !column.descending && column.nulls_first);
        if !sound || !said.iter().map(|column| column.column_idx).eq(order.iter().copied()) {
            tell(format!("row group {index}: sorting_columns are not tags, time, time_ns_rem, ascending, nulls first"));
        }
    }
}

fn columns_of_one_name(columns: &[&ColumnDescriptor], tell: &mut impl FnMut(String)) {
    let mut seen = BTreeSet::new();
    for column in columns {
        if !seen.insert(column.name().to_lowercase()) {
            tell(format!("its column {:?} has the name of another one in lower case", column.name()));
        }
    }
}

/// Columns, their types and their order against the catalog, which never changes what it has.
fn against_catalog(
    table: &Arc<Table>,
    metadata: &ParquetMetaData,
    columns: &[&ColumnDescriptor],
    tags: usize,
    tell: &mut impl FnMut(String),
) {
    let known_tags: BTreeMap<&str, &str> = table.tags.iter().map(|tag| (&*tag.parquet, &*tag.name)).collect();
    let known_fields: BTreeMap<&str, (usize, &str, FieldType)> =
        table.fields.iter().enumerate().map(|(at, field)| (&*field.parquet, (at, &*field.name, field.kind))).collect();
    let mut renamed: BTreeMap<&str, &str> = BTreeMap::new();
    let mut next = 0;
    for (index, column) in columns.iter().enumerate().skip(TIME_COLUMNS) {
        let name = column.name();
        let original = if index < TIME_COLUMNS + tags {
            known_tags.get(name).copied()
        } else if let Some((at, original, expected)) = known_fields.get(name) {
            if kind(column) != type_name(*expected) {
                tell(format!("its column {name:?} is {}, and the catalog says {}", kind(column), type_name(*expected)));
            }
            if *at < next {
                tell(format!("its column {name:?} stands behind fields that were born later"));
            }
            next = at + 1;
            Some(*original)
        } else {
            None
        };
        match original {
            Some(original) if original != name => drop(renamed.insert(name, original)),
            Some(_) => {}
            None => tell(format!("the catalog does not know its column {name:?}")),
        }
    }
    let said = value_of(metadata, "ringest.names").and_then(|json| serde_json::from_str(json).ok());
    let expected: BTreeMap<String, String> =
        renamed.into_iter().map(|(column, name)| (column.to_owned(), name.to_owned())).collect();
    if said.as_ref() != Some(&expected) {
        tell(format!("ringest.names in its footer are not the renamed columns {expected:?}"));
    }
}

const fn type_name(kind: FieldType) -> &'static str {
    kind.name()
}

/// The type of a column, in the words of the catalog where it has one.
pub fn kind(column: &ColumnDescriptor) -> String {
    match (column.physical_type(), column.logical_type_ref()) {
        (Physical::DOUBLE, None) => FieldType::Float.name().to_owned(),
        (Physical::INT64, None) => FieldType::Integer.name().to_owned(),
        (Physical::INT64, Some(LogicalType::Integer(kind))) if !kind.is_signed && kind.bit_width == 64 => {
            FieldType::Unsigned.name().to_owned()
        }
        (Physical::BYTE_ARRAY, Some(LogicalType::String)) => FieldType::String.name().to_owned(),
        (Physical::BOOLEAN, None) => FieldType::Boolean.name().to_owned(),
        (Physical::INT32, None) => "int32".to_owned(),
        (Physical::INT64, Some(LogicalType::Timestamp(time)))
            if time.is_adjusted_to_u_t_c && time.unit == TimeUnit::MICROS =>
        {
            "timestamp in microseconds".to_owned()
        }
        (physical, None) => physical.to_string().to_lowercase(),
        (physical, Some(logical)) => format!("{physical} {logical:?}").to_lowercase(),
    }
}
