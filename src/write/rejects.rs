//! Which lines of a body were refused, and why: what answer, log and files say of them. All of this happens behind the commit, and
//! only for requests that have such lines.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use crate::line::{LineError, echo, point_lines};
use crate::table::{Expired, Listed, Rejects};

/// The `reason` of a line that is not line protocol.
pub const SYNTAX: &str = "syntax";

/// A line that was refused, or a field of which was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Physical line on which it begins, from 1.
    pub line: u64,
    /// In a word.
    pub reason: &'static str,
    /// As a sentence, cut where it is long.
    pub error: Box<str>,
    /// Where it stands in the body.
    pub text: Range<usize>,
}

impl Refused {
    /// A line that is not line protocol.
    pub fn syntax(error: &LineError) -> Self {
        let text = error.start..error.end;
        Self { line: error.line, reason: SYNTAX, error: error.kind.to_string().into(), text }
    }

    fn point(listed: &Listed, line: u64, text: Range<usize>, time_ns_min: i64) -> Self {
        let error = match &listed.reason {
            Some(reason) => reason.to_string(),
            None => format!(
                "points beyond retention policy: time {} is before the lower bound {}",
                Time(listed.time_ns),
                Time(time_ns_min)
            ),
        };
        Self { line, reason: listed.kind().name(), error: echo(error.as_bytes()).into(), text }
    }
}

/// The ages of the points that retention refused, with the series keys of the oldest and the newest. Its text is InfluxDB v2's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ages {
    pub expired: Expired,
    pub retention: Duration,
    pub time_ns_min: i64,
    pub oldest_key: String,
    pub newest_key: String,
}

impl fmt::Display for Ages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expired, retention, time_ns_min, oldest_key, newest_key } = self;
        let because = format!("dropped because it violates a Retention Policy Lower Bound at {}", Time(*time_ns_min));
        write!(
            f,
            "dropped {} points outside retention policy of duration {} - ",
            expired.points,
            GoDuration(*retention)
        )?;
        write!(f, "oldest point {oldest_key} at {} {because}, ", Time(expired.oldest_ns))?;
        write!(f, "newest point {newest_key} at {} {because}", Time(expired.newest_ns))
    }
}

/// The listed lines of a body, with what is to be said of the points that were too old: older than `time_ns_min`, by `retention`.
pub fn find(
    body: &[u8],
    rejects: &Rejects,
    retention: Option<Duration>,
    time_ns_min: Option<i64>,
) -> (Vec<Refused>, Option<Box<Ages>>) {
    let time_ns_min = time_ns_min.unwrap_or(i64::MIN);
    let mut ages = rejects.expired.clone().map(|expired| Ages {
        expired,
        retention: retention.unwrap_or_default(),
        time_ns_min,
        oldest_key: String::new(),
        newest_key: String::new(),
    });
    let last_expired = ages.as_ref().map(|ages| ages.expired.oldest.max(ages.expired.newest));
    let last = rejects.listed.last().map(|listed| listed.ordinal).max(last_expired);
    let mut listed = rejects.listed.iter().peekable();
    let mut found = Vec::with_capacity(rejects.listed.len());
    let (mut number, mut counted) = (1, 0);
    for (ordinal, line) in (0..).zip(point_lines(body)).take_while(|(ordinal, _)| Some(*ordinal) <= last) {
        if let Some(ages) = &mut ages {
            ages.meet(ordinal, &body[line.clone()]);
        }
        let Some(listed) = listed.next_if(|listed| listed.ordinal == ordinal) else { continue };
        number += memchr::memchr_iter(b'\n', &body[counted..line.start]).count() as u64;
        counted = line.start;
        let text = line.start..line.start + body[line].trim_ascii_end().len();
        found.push(Refused::point(listed, number, text, time_ns_min));
    }
    (found, ages.map(Box::new))
}

impl Ages {
    /// Takes the key of a point's line, if the point is the oldest or the newest.
    fn meet(&mut self, ordinal: u64, line: &[u8]) {
        if ordinal == self.expired.oldest {
            self.oldest_key = series_key(line);
        }
        if ordinal == self.expired.newest {
            self.newest_key = series_key(line);
        }
    }
}

/// Measurement and tags as they were written: up to the first space without a backslash before it.
fn series_key(line: &[u8]) -> String {
    let is_end = |at: &usize| line[*at] == b' ' && (*at == 0 || line[*at - 1] != b'\\');
    let end = memchr::memchr_iter(b' ', line).find(is_end).unwrap_or(line.len());
    echo(&line[..end])
}

/// A duration as InfluxDB writes it: `72h0m0s`.
struct GoDuration(Duration);

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        write!(f, "{}h{}m{}s", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}

/// Nanoseconds since 1970 as RFC 3339.
struct Time(i64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // jiff spans the years -9999 to 9999, i64 nanoseconds 1677 to 2262.
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(time) => time.fmt(f),
            Err(_) => self.0.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_key_ends_at_its_first_free_space() {
        assert_eq!(series_key(b"m,host=a\\ b f=1 1"), "m,host=a\\ b");
        assert_eq!(series_key(b"m  f=\"x y\""), "m");
    }

    #[test]
    fn ages_read_as_those_of_influxdb() {
        let expired = Expired { points: 2, oldest: 0, oldest_ns: 0, newest: 1, newest_ns: 1_000_000_000 };
        let (oldest_key, newest_key) = ("m,h=a".to_owned(), "m,h=b".to_owned());
        let retention = Duration::from_secs(72 * 3600);
        let ages = Ages { expired, retention, time_ns_min: 60_000_000_000, oldest_key, newest_key };
        let bound = "dropped because it violates a Retention Policy Lower Bound at 1970-01-01T00:01:00Z";
        let expected = format!(
            "dropped 2 points outside retention policy of duration 72h0m0s - oldest point m,h=a at 1970-01-01T00:00:00Z {bound}, \
             newest point m,h=b at 1970-01-01T00:00:01Z {bound}"
        );
        assert_eq!(ages.to_string(), expected);
    }
}
