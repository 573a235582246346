//! The JSON of `/query`, member by member as InfluxDB 1.x writes it.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

use crate::http::{Response, Status};

/// One result per statement.
#[derive(Debug, Default, Serialize)]
pub struct Answer {
    results: Vec<Numbered>,
}

#[derive(Debug, Serialize)]
struct Numbered {
    statement_id: usize,
    #[serde(flatten)]
    outcome: Outcome,
}

/// What became of a statement.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    series: Vec<Series>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Series {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'static str>,
    columns: &'static [&'static str],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    values: Vec<Vec<Cell>>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Cell {
    Text(String),
    Number(u32),
    Truth(bool),
}

/// A line of `SHOW RETENTION POLICIES`.
pub struct PolicyRow {
    pub name: String,
    pub retention: Option<Duration>,
    pub is_default: bool,
}

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

impl Answer {
    pub fn push(&mut self, outcome: Outcome) {
        self.results.push(Numbered { statement_id: self.results.len(), outcome });
    }

    pub fn response(&self, is_pretty: bool) -> Response {
        let mut body = Vec::new();
        // Strings, numbers and lists always serialise, and a Vec takes everything.
        let _ = match is_pretty {
            true => self.serialize(&mut Serializer::with_formatter(&mut body, PrettyFormatter::with_indent(b"    "))),
            false => self.serialize(&mut Serializer::new(&mut body)),
        };
        body.push(b'\n');
        Response { content_type: Some("application/json"), body, ..Response::empty(Status::Ok) }
    }
}

impl Outcome {
    pub fn done() -> Self {
        Self::default()
    }

    pub fn failed(error: impl Into<String>) -> Self {
        Self { error: Some(error.into()), ..Self::default() }
    }

    pub fn is_failure(&self) -> bool {
        self.error.is_some()
    }

    pub fn databases(names: Vec<String>) -> Self {
        let values = names.into_iter().map(|name| vec![Cell::Text(name)]).collect();
        Self::of(Series { name: Some("databases"), columns: &["name"], values })
    }

    pub fn policies(rows: Vec<PolicyRow>) -> Self {
        let columns = &["name", "duration", "shardGroupDuration", "replicaN", "default"];
        let cells = |PolicyRow { name, retention, is_default }| {
            vec![
                Cell::Text(name),
                Cell::Text(go_duration(retention.unwrap_or_default())),
                Cell::Text(go_duration(shard_group(retention))),
                Cell::Number(1),
                Cell::Truth(is_default),
            ]
        };
        Self::of(Series { name: None, columns, values: rows.into_iter().map(cells).collect() })
    }

    fn of(series: Series) -> Self {
        Self { series: vec![series], error: None }
    }
}

/// The duration of shard groups that InfluxDB would choose; there are none here.
fn shard_group(retention: Option<Duration>) -> Duration {
    match retention {
        Some(retention) if retention < 2 * DAY => HOUR,
        Some(retention) if retention <= 180 * DAY => DAY,
        _ => 7 * DAY,
    }
}

/// A duration as Go writes it: `72h0m0s`, `1m30s`, `1.5s`, `0s`.
fn go_duration(duration: Duration) -> String {
    let (seconds, ns) = (duration.as_secs(), duration.subsec_nanos());
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = String::new();
    // Writing to a String cannot fail.
    if hours > 0 {
        let _ = write!(text, "{hours}h");
    }
    if hours > 0 || minutes > 0 {
        let _ = write!(text, "{minutes}m");
    }
    let fraction = format!("{ns:09}");
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    let _ = write!(text, "{seconds}{point}{fraction}s");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (ms, text) in [
            (0, "0s"),
            (1_000, "1s"),
            (1_500, "1.5s"),
            (90_000, "1m30s"),
            (3_600_000, "1h0m0s"),
            (259_200_000, "72h0m0s"),
        ] {
            assert_eq!(go_duration(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn shard_groups_follow_the_retention() {
        for (retention, hours) in
            [(Some(HOUR), 1), (Some(2 * DAY), 24), (Some(180 * DAY), 24), (Some(181 * DAY), 168), (None, 168)]
        {
            assert_eq!(shard_group(retention), hours * HOUR, "{retention:?}");
        }
    }
}
