//! `ringest wal`: what the log of a data directory holds, and whether it is sound. Only reads.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::wal::{self, Found, WalError};

/// How often reading begins anew because a running node has freed or reused a segment meanwhile.
const ATTEMPTS: usize = 10;

#[derive(Debug, thiserror::Error)]
pub enum WalToolError {
    #[error("{path} is no folder; --data-dir is the folder that holds state/, wal/ and lake/")]
    NoDataDir { path: PathBuf },
    #[error(transparent)]
    Log(#[from] WalError),
}

/// What was found, for people (`Display`) and machines (JSON).
#[derive(Debug, Serialize)]
pub struct Report {
    segments: Vec<SegmentLine>,
    groups: u64,
    requests: u64,
    births: u64,
    payload_bytes: u64,
    /// The smallest and the largest.
    epochs: Option<(u64, u64)>,
    torn: Option<Torn>,
    lost: Vec<Lost>,
    ignored: Vec<PathBuf>,
}

#[derive(Debug, Serialize)]
struct SegmentLine {
    path: PathBuf,
    file_bytes: u64,
    /// 16 hex digits.
    life: String,
    /// Of its header; null without one.
    first_sequence: Option<u64>,
    /// Of the first and the last whole group.
    sequences: Option<(u64, u64)>,
    groups: u64,
    requests: u64,
    births: u64,
    payload_bytes: u64,
    epochs: Option<(u64, u64)>,
}

#[derive(Debug, Serialize)]
struct Torn {
    path: PathBuf,
    offset: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Lost {
    path: PathBuf,
    offset: u64,
    bytes: u64,
    groups: u64,
    what: String,
}

/// Everything that can be read of the log, damaged parts listed.
///
/// # Errors
/// There is no such data directory, or its log cannot be read at all.
pub fn inspect(data_dir: &Path) -> Result<Report, WalToolError> {
    Ok(Report::new(find(data_dir, true)?))
}

/// The log, if it is sound. A torn tail is: every crash may leave one.
///
/// # Errors
/// There is no such data directory, or a start with its log would be refused.
pub fn verify(data_dir: &Path) -> Result<Report, WalToolError> {
    Ok(Report::new(find(data_dir, false)?))
}

fn find(data_dir: &Path, skip_damaged: bool) -> Result<Found, WalToolError> {
    if !data_dir.is_dir() {
        return Err(WalToolError::NoDataDir { path: data_dir.to_owned() });
    }
    let (folder, note) = (data_dir.join("wal"), data_dir.join("state/log"));
    let mut found = wal::inspect(&folder, Some(&note), skip_damaged);
    for _ in 1..ATTEMPTS {
        if !matches!(found, Err(WalError::Changed { .. })) {
            break;
        }
        found = wal::inspect(&folder, Some(&note), skip_damaged);
    }
    Ok(found?)
}

impl Report {
    fn new(found: Found) -> Self {
        let segments: Vec<SegmentLine> = found.segments.iter().map(SegmentLine::new).collect();
        let epochs = segments.iter().filter_map(|segment| segment.epochs);
        Self {
            groups: found.groups,
            requests: segments.iter().map(|segment| segment.requests).sum(),
            births: segments.iter().map(|segment| segment.births).sum(),
            payload_bytes: found.bytes,
            epochs: epochs.reduce(|all, one| (all.0.min(one.0), all.1.max(one.1))),
            segments,
            torn: found.torn.map(|wal::Torn { path, offset, bytes }| Torn { path, offset, bytes }),
            lost: found.lost.into_iter().map(Lost::new).collect(),
            ignored: found.ignored,
        }
    }

    /// One line.
    pub fn summary(&self) -> String {
        let Self { groups, requests, births, payload_bytes, .. } = self;
        let used = self.segments.iter().filter(|segment| segment.first_sequence.is_some()).count();
        let mut text = format!(
            "{} segments, {used} of them in use, {groups} groups, {requests} requests, {births} records of births, {payload_bytes} bytes",
            self.segments.len()
        );
        if let Some(epochs) = self.epochs {
            let _ = write!(text, ", epochs {}", range(epochs));
        }
        text
    }

    /// What there is to say beside that the log is sound; a line each.
    pub fn remarks(&self) -> String {
        let mut text = String::new();
        if let Some(Torn { path, offset, bytes }) = &self.torn {
            let path = path.display();
            let _ = writeln!(
                text,
                "torn: {path} at byte {offset}: {bytes} bytes of a group that was being written; nothing in it was acknowledged"
            );
        }
        for Lost { path, offset, bytes, groups, what } in &self.lost {
            let path = path.display();
            let _ = writeln!(text, "lost: {path} at byte {offset} {what} (bytes: {bytes}, groups: {groups})");
        }
        for path in &self.ignored {
            let _ = writeln!(text, "ignored: {} is no part of the log", path.display());
        }
        text
    }

    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = ["segment", "file bytes", "groups", "requests", "births", "payload bytes", "epochs"];
        let mut rows = vec![columns.map(str::to_owned)];
        rows.extend(self.segments.iter().map(SegmentLine::cells));
        let widths: Vec<usize> =
            (0..columns.len()).map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0)).collect();
        for row in rows {
            let cells = row.iter().zip(&widths).enumerate();
            // Names to the left, numbers to the right.
            let line = cells.fold(String::new(), |line, (column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{line}  {cell:>width$}"),
            });
            writeln!(f, "{}", line.trim_end())?;
        }
        writeln!(f, "{}", self.summary())?;
        write!(f, "{}", self.remarks())
    }
}

impl SegmentLine {
    fn new(segment: &wal::Segment) -> Self {
        let tally = segment.tally;
        Self {
            path: segment.path.clone(),
            file_bytes: segment.file_bytes,
            life: format!("{:016x}", segment.life),
            first_sequence: segment.first_sequence,
            sequences: segment.sequences(),
            groups: tally.groups,
            requests: tally.requests,
            births: tally.births,
            payload_bytes: tally.bytes,
            epochs: tally.epochs,
        }
    }

    /// As the table's columns; the life is part of the name.
    fn cells(&self) -> [String; 7] {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let groups = match (self.first_sequence, self.sequences) {
            (None, _) => "unused".to_owned(),
            (Some(first), None) => format!("none from {first} on"),
            (Some(_), Some(sequences)) => range(sequences),
        };
        [
            name,
            self.file_bytes.to_string(),
            groups,
            self.requests.to_string(),
            self.births.to_string(),
            self.payload_bytes.to_string(),
            self.epochs.map_or("-".to_owned(), range),
        ]
    }
}

impl Lost {
    fn new(lost: wal::Lost) -> Self {
        let wal::Lost { path, offset, bytes, groups, what } = lost;
        Self { path, offset, bytes, groups, what }
    }
}

fn range((first, last): (u64, u64)) -> String {
    if first == last { first.to_string() } else { format!("{first}..{last}") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_data_directory_without_a_log_is_sound_and_no_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let report = verify(dir.path()).unwrap();
        assert_eq!(
            report.summary(),
            "0 segments, 0 of them in use, 0 groups, 0 requests, 0 records of births, 0 bytes"
        );
        let error = verify(&dir.path().join("missing")).unwrap_err().to_string();
        assert!(error.contains("missing is no folder"), "{error}");
    }

    #[test]
    fn a_table_for_people_and_json_for_machines() {
        let segment = |name: &str, first_sequence, sequences, epochs| SegmentLine {
            path: name.into(),
            file_bytes: 8192,
            life: "0000000000000001".to_owned(),
            first_sequence,
            sequences,
            groups: 2,
            requests: 10,
            births: 1,
            payload_bytes: 1234,
            epochs,
        };
        let report = Report {
            segments: vec![
                segment("a.wal", Some(5), Some((5, 6)), Some((1000, 1000))),
                segment("b.wal", Some(7), None, None),
                segment("c.wal", None, None, None),
            ],
            groups: 2,
            requests: 10,
            births: 1,
            payload_bytes: 1234,
            epochs: Some((1000, 1001)),
            torn: Some(Torn { path: "b.wal".into(), offset: 4096, bytes: 4096 }),
            lost: vec![Lost { path: "a.wal".into(), offset: 0, bytes: 1, groups: 2, what: "is odd".to_owned() }],
            ignored: vec!["notes.txt".into()],
        };
        let expected = "\
segment  file bytes          groups  requests  births  payload bytes  epochs
a.wal          8192            5..6        10       1           1234    1000
b.wal          8192  none from 7 on        10       1           1234       -
c.wal          8192          unused        10       1           1234       -
3 segments, 2 of them in use, 2 groups, 10 requests, 1 records of births, 1234 bytes, epochs 1000..1001
torn: b.wal at byte 4096: 4096 bytes of a group that was being written; nothing in it was acknowledged
lost: a.wal at byte 0 is odd (bytes: 1, groups: 2)
ignored: notes.txt is no part of the log
";
        assert_eq!(report.to_string(), expected);
        let json: serde_json::Value = serde_json::from_str(&report.to_json().unwrap()).unwrap();
        assert_eq!(json["segments"][0]["sequences"], serde_json::json!([5, 6]));
        assert_eq!((&json["torn"]["offset"], &json["lost"][0]["what"]), (&4096.into(), &"is odd".into()));
    }
}
