//! Which lines of a body were refused, and why: what answer, log and files say of them. All of this happens behind the commit, and
//! only for requests that have such lines.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::Sender;

use crate::budget::{Budget, Consumer, Reservation};
use crate::line::{LineError, Precision, echo, point_lines};
use crate::metrics::Metrics;
use crate::table::{Expired, Kept, KeptLine, Listed, Rejects};

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

/// Most lines of a request that are kept in a file.
pub const KEPT_MAX: usize = 10_000;

/// Most bytes of a line that are kept.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// Of the memory budget, what may wait to be written.
const QUEUE_SHARE: usize = 16;

/// Takes refused lines to the thread that writes them to files; shared by all shards. Never waits.
#[derive(Clone)]
pub struct RejectQueue {
    pub sender: Sender<Kept>,
    pub budget: Arc<Budget>,
    pub metrics: Arc<Metrics>,
}

impl RejectQueue {
    /// Queues lines of a body; where there is no room for them, they are counted and let go.
    pub fn keep(&self, bucket: &str, received_ns: i64, precision: Precision, refused: &[Refused], body: &[u8]) {
        let text =
            |refused: &Refused| &body[refused.text.start..refused.text.end.min(refused.text.start + TEXT_BYTES_MAX)];
        let bytes = |refused: &Refused| size_of::<KeptLine>() + refused.error.len() + text(refused).len();
        let bytes = size_of::<Kept>() + bucket.len() + refused.iter().map(bytes).sum::<usize>();
        let mut memory = Reservation::new(&self.budget, Consumer::Rejects);
        let fits = self.budget.held_by(Consumer::Rejects) + bytes <= self.budget.bytes_max() / QUEUE_SHARE;
        let is_queued = fits && memory.try_grow(bytes) && {
            let line = |refused: &Refused| KeptLine {
                line: refused.line,
                reason: refused.reason,
                error: refused.error.clone(),
                text: text(refused).into(),
            };
            let (bucket, lines) = (bucket.into(), refused.iter().map(line).collect());
            self.sender.try_send(Kept { bucket, received_ns, precision: unit(precision), lines, memory }).is_ok()
        };
        if !is_queued {
            self.metrics.rejects_lost.inc_by(refused.len() as u64);
        }
    }
}

/// A precision as both write endpoints spell it.
const fn unit(precision: Precision) -> &'static str {
    match precision {
        Precision::Nanosecond => "ns",
        Precision::Microsecond => "us",
        Precision::Millisecond => "ms",
        Precision::Second => "s",
        Precision::Minute => "m",
        Precision::Hour => "h",
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
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_full_reject_queue_costs_no_write() {
        let budget = Budget::new(16 << 20);
        let metrics = Metrics::new(&budget);
        let (sender, inbox) = crossbeam::channel::bounded(1);
        let queue = RejectQueue { sender, budget: Arc::clone(&budget), metrics: Arc::clone(&metrics) };
        let body = [b'x'; 1 << 20];
        let refused =
            |end: usize| [Refused { line: 1, reason: SYNTAX, error: "bad".into(), text: end - end.min(9)..end }];
        queue.keep("b", 1, Precision::Second, &refused(9), &body);
        // Nobody takes the first one.
        queue.keep("b", 2, Precision::Second, &refused(9), &body);
        assert_eq!(metrics.rejects_lost.get(), 1);
        let kept = inbox.recv().unwrap();
        assert_eq!((kept.received_ns, kept.precision, &*kept.lines[0].text), (1, "s", &b"xxxxxxxxx"[..]));
        assert_eq!(budget.held_by(Consumer::Rejects), kept.memory.bytes());
        drop(kept);
        assert_eq!(budget.held_by(Consumer::Rejects), 0);
        // More than the share of the budget, though the budget has it.
        let lines: Vec<Refused> = (0..20).map(|_| Refused { text: 0..body.len(), ..refused(9)[0].clone() }).collect();
        queue.keep("b", 3, Precision::Second, &lines, &body);
        assert_eq!((metrics.rejects_lost.get(), inbox.len()), (21, 0));
        queue.keep("b", 4, Precision::Second, &lines[..1], &body);
        assert_eq!(inbox.recv().unwrap().lines[0].text.len(), TEXT_BYTES_MAX);
    }

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
