//! `ringest lake list`: tables and files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::LakeToolError;
use super::files::{Files, Footer, Wanted, look};
use super::text::{aligned, counted, range, time};

/// What was found, for people (`Display`) and machines (JSON).
#[derive(Debug, Serialize)]
pub struct ListReport {
    /// `None`: there is no manifest.
    node: Option<String>,
    last_epoch: u64,
    tables: Vec<TableLine>,
    /// Where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Vec<FileLine>>,
    /// Committed files that are not there.
    missing: Vec<PathBuf>,
}

#[derive(Debug, Serialize)]
struct TableLine {
    bucket: String,
    measurement: String,
    files: usize,
    rows: u64,
    bytes: u64,
    days: usize,
    /// The least and the greatest time of a point, RFC 3339, cut to microseconds.
    from: Option<String>,
    to: Option<String>,
    /// First and last.
    epochs: Option<(u64, u64)>,
}

#[derive(Debug, Serialize)]
struct FileLine {
    path: String,
    bucket: String,
    measurement: String,
    day: String,
    rows: u64,
    bytes: u64,
    row_groups: usize,
    from: Option<String>,
    to: Option<String>,
    epochs: Option<(u64, u64)>,
}

/// What is added up of a table.
#[derive(Default)]
struct Sum {
    files: usize,
    rows: u64,
    bytes: u64,
    days: BTreeSet<String>,
    times: Option<(i64, i64)>,
    epochs: Option<(u64, u64)>,
}

#[derive(Default)]
struct Seen {
    tables: BTreeMap<(String, String), Sum>,
    files: Vec<FileLine>,
}

/// The tables of the lake, and their files if `with_files`.
///
/// # Errors
/// There is no lake, nothing in it is what is asked for, or a footer cannot be read.
pub fn list(data_dir: &Path, wanted: &Wanted, with_files: bool) -> Result<ListReport, LakeToolError> {
    let see = |seen: &mut Seen, footer: Footer| seen.add(&footer, with_files);
    let (Seen { tables, files: lines }, files, missing) = look(data_dir, wanted, Seen::default, see)?;
    Ok(ListReport {
        node: files.ledger.as_ref().map(|ledger| ledger.node.to_string()),
        last_epoch: files.ledger.as_ref().map_or(0, |ledger| ledger.last_epoch),
        tables: tables.into_iter().map(TableLine::new).collect(),
        files: with_files.then_some(lines),
        missing,
    })
}

/// The paths of the files that the manifest names, relative to the data directory, a line each.
///
/// # Errors
/// There is no lake, or nothing in it is what is asked for.
pub fn paths(data_dir: &Path, wanted: &Wanted) -> Result<String, LakeToolError> {
    let Files { paths, .. } = Files::find(data_dir, wanted)?;
    Ok(paths.into_iter().map(|path| path + "\n").collect())
}

impl Seen {
    fn add(&mut self, footer: &Footer, with_files: bool) {
        let (bucket, measurement) = footer.table();
        let (times, epochs) = (footer.times(), footer.epochs());
        let sum = self.tables.entry((bucket.clone(), measurement.clone())).or_default();
        sum.files += 1;
        sum.rows += footer.rows();
        sum.bytes += footer.bytes;
        if !sum.days.contains(footer.day()) {
            sum.days.insert(footer.day().to_owned());
        }
        sum.times = joined(sum.times, times);
        sum.epochs = joined(sum.epochs, epochs);
        if with_files {
            self.files.push(FileLine {
                path: footer.path.clone(),
                bucket,
                measurement,
                day: footer.day().to_owned(),
                rows: footer.rows(),
                bytes: footer.bytes,
                row_groups: footer.metadata.num_row_groups(),
                from: times.map(|times| time(times.0)),
                to: times.map(|times| time(times.1)),
                epochs,
            });
        }
    }
}

fn joined<T: Ord>(one: Option<(T, T)>, other: Option<(T, T)>) -> Option<(T, T)> {
    match (one, other) {
        (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
        (one, other) => one.or(other),
    }
}

impl TableLine {
    fn new(((bucket, measurement), sum): ((String, String), Sum)) -> Self {
        let Sum { files, rows, bytes, days, times, epochs } = sum;
        let (from, to) = (times.map(|times| time(times.0)), times.map(|times| time(times.1)));
        Self { bucket, measurement, files, rows, bytes, days: days.len(), from, to, epochs }
    }
}

impl ListReport {
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}

impl std::fmt::Display for ListReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let epochs = |epochs: Option<(u64, u64)>| epochs.map_or("-".to_owned(), range);
        if let Some(files) = &self.files {
            let cells = |file: &FileLine| {
                let FileLine { path, rows, bytes, row_groups, from, to, .. } = file;
                let numbers = [rows.to_string(), row_groups.to_string(), bytes.to_string()];
                let [rows, row_groups, bytes] = numbers;
                vec![path.clone(), rows, row_groups, bytes, or_none(from), or_none(to), epochs(file.epochs)]
            };
            let heads = ["file", "rows", "row groups", "bytes", "from", "to", "epochs"];
            f.write_str(&aligned(&heads, 1, files.iter().map(cells).collect()))?;
        } else {
            let cells = |table: &TableLine| {
                let TableLine { bucket, measurement, files, rows, bytes, days, from, to, .. } = table;
                let numbers = [*files as u64, *rows, *bytes, *days as u64].map(|number| number.to_string());
                let mut cells = vec![bucket.clone(), measurement.clone()];
                cells.extend(numbers);
                cells.extend([or_none(from), or_none(to), epochs(table.epochs)]);
                cells
            };
            let heads = ["bucket", "measurement", "files", "rows", "bytes", "days", "from", "to", "epochs"];
            f.write_str(&aligned(&heads, 2, self.tables.iter().map(cells).collect()))?;
        }
        let (files, rows, bytes) = self.tables.iter().fold((0, 0, 0), |(files, rows, bytes), table| {
            (files + table.files, rows + table.rows, bytes + table.bytes)
        });
        let (tables, files) = (counted(self.tables.len(), "table"), counted(files, "file"));
        writeln!(f, "{tables}, {files}, {rows} rows, {bytes} bytes, last epoch {}", self.last_epoch)?;
        for path in &self.missing {
            writeln!(f, "missing: {} belongs to the lake and is not there; restore it from a backup", path.display())?;
        }
        Ok(())
    }
}
