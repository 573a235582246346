//! `ringest lake describe`: the columns of tables, and how the files keep them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::LakeToolError;
use super::files::{Footer, Wanted, look};
use super::text::{aligned, counted};
use super::verify::kind;
use crate::catalog::{Catalog, Table};

/// Files, and columns, that are named in the text for people; JSON has all.
const NAMED_MAX: usize = 5;

/// What was found, for people (`Display`) and machines (JSON).
#[derive(Debug, Serialize)]
pub struct DescribeReport {
    tables: Vec<TableReport>,
    /// Committed files that are not there.
    missing: Vec<PathBuf>,
}

#[derive(Debug, Serialize)]
struct TableReport {
    bucket: String,
    measurement: String,
    /// What the bucket was made with, in seconds; null: points of any age. The node's configuration may say otherwise.
    retention_seconds: Option<u64>,
    files: usize,
    rows: u64,
    row_groups: usize,
    bytes: u64,
    columns: Vec<ColumnReport>,
    /// Files that do not have every column, by the columns that they lack.
    partial: Vec<Partial>,
}

#[derive(Debug, Serialize)]
struct ColumnReport {
    /// In Parquet.
    column: String,
    /// As clients write it.
    name: String,
    /// `time`, `tag` or `field`; `unknown` where the catalog does not know the column.
    kind: &'static str,
    r#type: String,
    files: usize,
    nulls: u64,
    /// On disk, and before compression.
    bytes: u64,
    plain_bytes: u64,
    encodings: BTreeSet<String>,
    compressions: BTreeSet<String>,
}

#[derive(Debug, Serialize)]
struct Partial {
    lacking: Vec<String>,
    files: Vec<String>,
}

/// What is added up of a table.
#[derive(Default)]
struct Sum {
    files: usize,
    rows: u64,
    row_groups: usize,
    bytes: u64,
    columns: BTreeMap<String, Column>,
    /// Files by the columns that they have; each set is kept once.
    schemas: BTreeMap<Vec<String>, Vec<String>>,
    tags: BTreeSet<String>,
    names: BTreeMap<String, String>,
}

#[derive(Default)]
struct Column {
    types: BTreeSet<String>,
    files: usize,
    nulls: u64,
    bytes: u64,
    plain_bytes: u64,
    encodings: BTreeSet<String>,
    compressions: BTreeSet<String>,
}

type Seen = BTreeMap<(String, String), Sum>;

/// The tables that are asked for.
///
/// # Errors
/// There is no lake, nothing in it is what is asked for, or a footer or the catalog cannot be read.
pub fn describe(data_dir: &Path, wanted: &Wanted) -> Result<DescribeReport, LakeToolError> {
    let see = |seen: &mut Seen, footer: Footer| seen.entry(footer.table()).or_default().add(footer);
    let (seen, _, missing) = look(data_dir, wanted, Seen::new, see)?;
    // Behind the files, so that it knows their columns.
    let catalog = Catalog::read(&data_dir.join("state"))?;
    let report = |((bucket, measurement), sum): ((String, String), Sum)| {
        let table = catalog.find(&bucket, &measurement);
        TableReport::new(bucket, measurement, sum, table.as_ref())
    };
    Ok(DescribeReport { tables: seen.into_iter().map(report).collect(), missing })
}

impl Sum {
    fn add(&mut self, footer: Footer) {
        self.files += 1;
        self.rows += footer.rows();
        self.row_groups += footer.metadata.num_row_groups();
        self.bytes += footer.bytes;
        let tags: Option<Vec<String>> = footer.value("ringest.tags").and_then(|json| serde_json::from_str(json).ok());
        self.tags.extend(tags.into_iter().flatten());
        let names = footer.value("ringest.names").and_then(|json| serde_json::from_str(json).ok());
        self.names.extend(names.into_iter().flat_map(|names: BTreeMap<String, String>| names));
        let schema = footer.metadata.file_metadata().schema_descr();
        let columns: Vec<String> = schema.columns().iter().map(|column| column.name().to_owned()).collect();
        for (name, leaf) in columns.iter().zip(schema.columns()) {
            if !self.columns.contains_key(name) {
                self.columns.insert(name.clone(), Column::default());
            }
            let Some(column) = self.columns.get_mut(name) else { continue };
            column.types.insert(kind(leaf));
            column.files += 1;
        }
        for group in footer.metadata.row_groups() {
            for chunk in group.columns() {
                let Some(column) = self.columns.get_mut(chunk.column_descr().name()) else { continue };
                column.nulls += chunk.statistics().and_then(|statistics| statistics.null_count_opt()).unwrap_or(0);
                column.bytes += chunk.compressed_size().max(0) as u64;
                column.plain_bytes += chunk.uncompressed_size().max(0) as u64;
                column.encodings.extend(chunk.encodings().map(|encoding| encoding.to_string()));
                column.compressions.insert(compression(&chunk.compression().to_string()));
            }
        }
        self.schemas.entry(columns).or_default().push(footer.path);
    }
}

/// Without the level, which the file does not keep.
fn compression(shown: &str) -> String {
    shown.split('(').next().unwrap_or(shown).to_owned()
}

impl TableReport {
    fn new(bucket: String, measurement: String, sum: Sum, table: Option<&Arc<Table>>) -> Self {
        let Sum { files, rows, row_groups, bytes, mut columns, schemas, tags, names } = sum;
        let all: Vec<String> = columns.keys().cloned().collect();
        let mut reports = Vec::new();
        // In the catalog's order; columns that no file has yet stand there too.
        for (column, name, kind, type_name) in known(table) {
            let found = columns.remove(&column).unwrap_or_default();
            reports.push(ColumnReport::new(column, name, kind, type_name.to_owned(), found));
        }
        for (column, found) in columns {
            let name = names.get(&column).unwrap_or(&column).clone();
            let kind = match () {
                () if tags.contains(&column) => "tag",
                () if table.is_none() => "field",
                () => "unknown",
            };
            let types = found.types.iter().cloned().collect::<Vec<_>>().join(" and ");
            reports.push(ColumnReport::new(column, name, kind, types, found));
        }
        let partial = schemas.into_iter().filter_map(|(has, files)| {
            let has: BTreeSet<String> = has.into_iter().collect();
            let lacking: Vec<String> = all.iter().filter(|column| !has.contains(*column)).cloned().collect();
            (!lacking.is_empty()).then_some(Partial { lacking, files })
        });
        let retention = table.and_then(|table| table.bucket.retention);
        Self {
            bucket,
            measurement,
            retention_seconds: retention.map(|retention| retention.as_secs()),
            files,
            rows,
            row_groups,
            bytes,
            columns: reports,
            partial: partial.collect(),
        }
    }
}

/// Column, name, kind and type of everything that a table has.
fn known(table: Option<&Arc<Table>>) -> Vec<(String, String, &'static str, &'static str)> {
    let mut columns = Vec::new();
    for (column, type_name) in [("time", "timestamp in microseconds"), ("time_ns_rem", "int32")] {
        columns.push((column.to_owned(), column.to_owned(), "time", type_name));
    }
    let Some(table) = table else { return columns };
    let tags = table.tags.iter().map(|tag| (tag.parquet.to_string(), tag.name.to_string(), "tag", "string"));
    columns.extend(tags);
    let fields = table.fields.iter();
    columns.extend(fields.map(|field| (field.parquet.to_string(), field.name.to_string(), "field", field.kind.name())));
    columns
}

impl ColumnReport {
    fn new(column: String, name: String, kind: &'static str, type_name: String, found: Column) -> Self {
        let Column { files, nulls, bytes, plain_bytes, encodings, compressions, .. } = found;
        Self { column, name, kind, r#type: type_name, files, nulls, bytes, plain_bytes, encodings, compressions }
    }

    fn cells(&self) -> Vec<String> {
        let joined = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(",");
        let name = if self.name == self.column { "" } else { &self.name };
        let mut cells: Vec<String> = [&self.column, name, self.kind, &self.r#type].map(str::to_owned).into();
        cells.extend([joined(&self.encodings), joined(&self.compressions)]);
        cells.extend([self.files as u64, self.nulls, self.bytes, self.plain_bytes].map(|number| number.to_string()));
        cells
    }
}

impl DescribeReport {
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}

impl std::fmt::Display for DescribeReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for table in &self.tables {
            write!(f, "{table}")?;
        }
        for path in &self.missing {
            writeln!(f, "missing: {} belongs to the lake and is not there; restore it from a backup", path.display())?;
        }
        Ok(())
    }
}

impl std::fmt::Display for TableReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bucket, measurement, rows, bytes, .. } = self;
        let (files, groups) = (counted(self.files, "file"), counted(self.row_groups, "row group"));
        let retention = match self.retention_seconds {
            Some(seconds) => humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string(),
            None => "inf".to_owned(),
        };
        writeln!(
            f,
            "bucket {bucket:?}, measurement {measurement:?}: {files}, {groups}, {rows} rows, {bytes} bytes, retention {retention}"
        )?;
        let heads = [
            "column",
            "original name",
            "kind",
            "type",
            "encodings",
            "compression",
            "files",
            "nulls",
            "bytes",
            "uncompressed",
        ];
        f.write_str(&aligned(&heads, 6, self.columns.iter().map(ColumnReport::cells).collect()))?;
        for Partial { lacking, files } in &self.partial {
            let (columns, count) = (counted(lacking.len(), "column"), counted(files.len(), "file"));
            writeln!(f, "{count} without {columns} ({}): {}", some(lacking), some(files))?;
        }
        writeln!(f)
    }
}

fn some(names: &[String]) -> String {
    let listed = names.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > NAMED_MAX { format!("{listed}, ...") } else { listed }
}
