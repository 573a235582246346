//! Refused lines in the log: for each bucket and reason at most one line per second, which says how many requests were passed over in
//! silence before it.

use std::collections::HashMap;

use super::trace::Caller;
use crate::line::echo;

/// Between two log lines of one bucket and reason.
const INTERVAL_NS: i64 = 1_000_000_000;

/// Clients name buckets: only so many have log lines of their own within a second.
const BUCKETS_MAX: usize = 32;
const OTHER_BUCKETS: &str = "other buckets";

/// A shard's side of the log of refused lines.
#[derive(Debug, Default)]
pub struct RejectLog {
    told: HashMap<(Box<str>, &'static str), Told>,
}

/// What the log says of a request whose lines were refused.
#[derive(Clone, Debug)]
pub struct RejectLine<'a> {
    pub bucket: &'a str,
    pub reason: &'static str,
    pub lines: u64,
    /// The first of them, with its number.
    pub first: String,
}

#[derive(Clone, Copy, Debug, Default)]
struct Told {
    at_ns: Option<i64>,
    /// Requests and lines since.
    requests: u64,
    lines: u64,
}

impl RejectLog {
    /// Writes a log line, or counts the request for the next one.
    pub fn tell(&mut self, line: RejectLine<'_>, now_ns: i64, caller: Caller<'_>) {
        let Some(Told { requests, lines, .. }) = self.due(&line, now_ns) else { return };
        let RejectLine { bucket, reason, lines: refused, first } = line;
        tracing::warn!(
            bucket = echo(bucket.as_bytes()),
            reason,
            lines = refused,
            first,
            request_id = caller.request_id,
            trace_id = caller.trace_id(),
            suppressed_requests = requests,
            suppressed_lines = lines,
            "lines were refused"
        );
    }

    /// What was suppressed, if it is time for a line; counts this one otherwise.
    fn due(&mut self, line: &RejectLine<'_>, now_ns: i64) -> Option<Told> {
        let key = self.key(line, now_ns);
        let told = self.told.entry(key).or_default();
        // A clock that was set back must not silence the log.
        let is_due = told.at_ns.is_none_or(|at_ns| !(at_ns..at_ns.saturating_add(INTERVAL_NS)).contains(&now_ns));
        if is_due {
            return Some(std::mem::replace(told, Told { at_ns: Some(now_ns), ..Told::default() }));
        }
        told.requests += 1;
        told.lines += line.lines;
        None
    }

    /// Under what a line is counted; makes room for it where that is old.
    fn key(&mut self, line: &RejectLine<'_>, now_ns: i64) -> (Box<str>, &'static str) {
        let key = (line.bucket.into(), line.reason);
        if self.told.contains_key(&key) {
            return key;
        }
        if self.told.len() >= BUCKETS_MAX {
            self.told.retain(|_, told| told.at_ns.is_some_and(|at_ns| now_ns.saturating_sub(at_ns) < INTERVAL_NS));
        }
        if self.told.len() < BUCKETS_MAX { key } else { (OTHER_BUCKETS.into(), line.reason) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SECOND: i64 = INTERVAL_NS;

    fn line<'a>(bucket: &'a str, reason: &'static str) -> RejectLine<'a> {
        RejectLine { bucket, reason, lines: 3, first: String::new() }
    }

    #[test]
    fn a_second_has_one_line_and_the_next_one_says_what_was_left_out() {
        let mut log = RejectLog::default();
        assert!(log.due(&line("a", "syntax"), SECOND).is_some());
        assert!(log.due(&line("a", "retention"), SECOND).is_some(), "another reason");
        assert!(log.due(&line("b", "syntax"), SECOND).is_some(), "another bucket");
        assert!(log.due(&line("a", "syntax"), SECOND + 1).is_none());
        assert!(log.due(&line("a", "syntax"), 2 * SECOND - 1).is_none());
        let told = log.due(&line("a", "syntax"), 2 * SECOND).unwrap();
        assert_eq!((told.requests, told.lines), (2, 6));
        assert!(log.due(&line("a", "syntax"), 0).is_some(), "the clock was set back");
    }

    #[test]
    fn made_up_buckets_share_a_line() {
        let mut log = RejectLog::default();
        let lines =
            (0..10 * BUCKETS_MAX).filter(|number| log.due(&line(&number.to_string(), "syntax"), SECOND).is_some());
        assert_eq!(lines.count(), BUCKETS_MAX + 1);
        assert!(log.due(&line("new", "syntax"), 2 * SECOND).is_some());
        assert!(log.told.len() <= BUCKETS_MAX + 1);
    }
}
