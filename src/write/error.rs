//! What can go wrong with a request, and what it is answered: status, code and headers from the table of answers, and the JSON.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

use serde::Serialize;

use super::answers::{Answer, Case};
use super::ingest::RETRY_AFTER_SECONDS;
use super::params::NotUtf8;
use super::rejects::{Ages, Refused, SYNTAX};
use crate::decode::GzipError;
use crate::http::{Error as HttpError, Response, Status};
use crate::line::LineError;
use crate::line::grammar::ERRORS_MAX;
use crate::table::{LISTED_MAX, Rejects};

/// Most bytes of `X-Influxdb-Error`.
const HEADER_BYTES_MAX: usize = 1024;

/// Why a request is not answered with success.
#[derive(Debug)]
pub enum Refusal {
    Http(HttpError),
    NotFound,
    Method {
        allow: &'static str,
    },
    /// Nothing says who sends the request.
    NoCredentials,
    /// What says who sends it is unknown, garbled, or not enough; `why` completes the sentence.
    Unauthorized {
        why: &'static str,
    },
    /// There is no such bucket, and it is not made.
    NoBucket {
        name: String,
    },
    /// The same, where the database is there and only its policy is not.
    NoPolicy {
        bucket: String,
        policy: String,
    },
    /// The token has sent more than its quota; after so many seconds it may send again.
    Quota {
        retry_after_seconds: u64,
    },
    /// A write without Content-Length and Transfer-Encoding.
    LengthRequired,
    /// No further connection is taken.
    TooManyConnections {
        connections_max: usize,
    },
    MissingDb,
    MissingBucket,
    /// A parameter of a write.
    NotUtf8(NotUtf8),
    /// No query, or none that can be read.
    Query {
        reason: String,
    },
    Precision {
        given: String,
        accepted: &'static str,
    },
    Encoding {
        given: String,
    },
    Gzip(GzipError),
    /// Bad line protocol; `texts` are the lines as written.
    Lines {
        errors: Vec<LineError>,
        texts: Vec<String>,
        more: bool,
    },
    /// The other points were written.
    Partial {
        rejects: Box<Rejects>,
        /// The refused lines that are listed.
        lines: Vec<Refused>,
        /// Of the points that are too old, if there are any.
        ages: Option<Box<Ages>>,
    },
    /// The request did not arrive in time.
    Timeout,
    /// The tables and columns that the body brings would not fit into the memory of an idle node.
    TooManyBirths {
        bytes_max: usize,
    },
    /// No memory now.
    Overloaded {
        retry_after_seconds: u64,
    },
    /// No memory now to receive the request.
    NoBuffer {
        retry_after_seconds: u64,
    },
    /// The log has no room now: its limit is reached, or the disk is full.
    LogFull {
        retry_after_seconds: u64,
    },
    /// The body, with what it brings, is larger than a segment of the log.
    TooLargeForLog {
        bytes_max: u64,
    },
    /// The log has failed. `in_flight`: the request was in it already, and may or may not have been stored.
    Poisoned {
        reason: Arc<str>,
        in_flight: bool,
    },
    /// The log of an earlier life is being replayed.
    Recovering,
    /// A parameter of the feed of changes.
    Changes {
        name: &'static str,
    },
    /// The feed of changes does not go back that far, or not that far ahead; says what to do.
    Forgotten {
        reason: String,
    },
    /// The feed of changes could not be read.
    Untold {
        reason: String,
    },
    /// A flush could not be published.
    Publish {
        reason: String,
    },
    /// Files could not be merged.
    Compaction {
        reason: String,
    },
}

/// The body of an error answer: InfluxDB v2's members in the order of the interface, the refused lines, and v1's `error`.
#[derive(Serialize)]
struct Body<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    op: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    err: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lines: Vec<Line<'a>>,
    /// The list is cut; absent where it is whole.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    lines_truncated: bool,
    error: &'a str,
}

/// A line that was refused, or a part of it.
#[derive(Serialize)]
struct Line<'a> {
    line: u64,
    error: Cow<'a, str>,
}

impl Refusal {
    /// The row of the table of answers that this is an instance of.
    pub fn case(&self) -> Case {
        match self {
            Self::Http(error) => http_case(error.status()),
            Self::NoCredentials => Case::NoCredentials,
            Self::Unauthorized { .. } => Case::Credentials,
            Self::Quota { .. } => Case::Quota,
            Self::LengthRequired => Case::NoLength,
            Self::NotFound => Case::NoPath,
            Self::NoBucket { .. } | Self::NoPolicy { .. } => Case::NoBucket,
            Self::Method { .. } => Case::Method,
            Self::MissingDb => Case::MissingDb,
            Self::NotUtf8(_) => Case::NotUtf8,
            Self::Query { .. } => Case::Query,
            Self::MissingBucket => Case::NoBucketName,
            Self::Precision { .. } => Case::Precision,
            Self::Lines { .. } => Case::Syntax,
            Self::Encoding { .. } => Case::Encoding,
            Self::Gzip(GzipError::TooLarge { .. }) => Case::InflatedTooLarge,
            Self::Gzip(GzipError::NoMemory) => Case::NoMemory,
            Self::Gzip(_) => Case::Gzip,
            Self::TooManyBirths { .. } => Case::TooManyBirths,
            Self::TooLargeForLog { .. } => Case::TooLargeForLog,
            Self::Partial { .. } => Case::Partial,
            Self::Timeout => Case::Late,
            Self::Overloaded { .. } => Case::NoMemory,
            Self::NoBuffer { .. } => Case::NoBuffer,
            Self::LogFull { .. } => Case::LogFull,
            Self::Poisoned { .. } => Case::LogFailed,
            Self::Recovering => Case::Recovering,
            Self::TooManyConnections { .. } => Case::TooManyConnections,
            Self::Changes { .. } => Case::Changes,
            Self::Forgotten { .. } => Case::Forgotten,
            Self::Untold { .. } => Case::Untold,
            Self::Publish { .. } => Case::Unpublished,
            Self::Compaction { .. } => Case::Uncompacted,
        }
    }

    /// Status and `code`.
    pub fn kind(&self) -> (Status, &'static str) {
        let Answer { status, code, .. } = *self.case().answer();
        (status, code)
    }

    /// v2's `message`.
    fn message(&self) -> String {
        match self {
            Self::Http(error) => error.to_string(),
            Self::NoCredentials => "no authorization token was provided; send `Authorization: Token ...`, or u and p in the URL".into(),
            Self::Unauthorized { why } => format!("unauthorized access: {why}"),
            Self::NoBucket { name } => {
                format!("bucket {name:?} not found; create it first, or start the node with auto-create-buckets = true")
            }
            Self::NoPolicy { bucket, policy } => format!(
                "retention policy {policy:?} not found, for which the bucket {bucket:?} would be; create it by CREATE RETENTION POLICY first, or \
                 start the node with auto-create-buckets = true"
            ),
            Self::Quota { retry_after_seconds } => {
                format!("the token is over its quota; send the request again in {retry_after_seconds} s")
            }
            Self::LengthRequired => "the request has neither Content-Length nor Transfer-Encoding: chunked; send one of them".into(),
            Self::TooManyConnections { connections_max } => {
                format!("{connections_max} connections are open, the most that the node takes (max-connections); connect again later")
            }
            Self::NotFound => "path not found".into(),
            Self::Method { allow } => format!("allow: {allow}"),
            Self::MissingDb => "missing db".into(),
            Self::MissingBucket => "bucket not found".into(),
            Self::NotUtf8(parameter) => parameter.to_string(),
            Self::Precision { given, accepted } => {
                format!("invalid precision {given:?}; valid precision units are {accepted}")
            }
            Self::Encoding { given } => {
                format!("Content-Encoding {given:?} is not supported; send gzip, identity or no such header")
            }
            Self::Gzip(error) => format!("unable to read data: {error}"),
            Self::Lines { errors, texts, more } => lines_message(errors, texts, *more),
            Self::Partial { rejects, ages, .. } => {
                format!("failure writing points to database: {}", partial_message(rejects, ages.as_deref()))
            }
            Self::TooManyBirths { bytes_max } => format!(
                "the body brings more new measurements, columns and series than fit into the {bytes_max} bytes that \
                 memory-limit leaves for data; send it in smaller parts"
            ),
            Self::Query { reason } => reason.clone(),
            Self::Timeout => "the request did not arrive in time (request-timeout for its head and for a pause in its body, min-body-rate for the \
                              whole body); send it again"
                .into(),
            Self::Overloaded { .. } | Self::NoBuffer { .. } => "the node is short of memory; send the request again later".into(),
            Self::LogFull { .. } => "the write-ahead log is full: nothing was written; the node is publishing what frees it, send the request \
                                     again later (or raise wal-size-limit, or make room on the disk)"
                .into(),
            Self::TooLargeForLog { bytes_max } => format!(
                "the body, with the new measurements and columns that it brings, is larger than the {bytes_max} bytes that fit into a \
                 segment of the log; send it in smaller parts, or raise wal-size-limit"
            ),
            Self::Poisoned { reason, in_flight: true } => {
                format!("the log has failed, and it is not known whether this request was stored: {reason}")
            }
            Self::Poisoned { reason, in_flight: false } => {
                format!("the log has failed and the node takes no more writes; nothing of this request was stored: {reason}")
            }
            Self::Recovering => "the node is replaying its log; send the request again later (GET /ready tells how far it is)".into(),
            Self::Changes { name } => format!(
                "the parameter {name:?} is nothing that it may be; give since=EPOCH, the last_epoch of the answer before, or 0, cursor=CURSOR if that answer \
                 had one, and limit=FILES, 1 or more"
            ),
            Self::Forgotten { reason } => reason.clone(),
            Self::Untold { reason } => format!("the changes could not be read: {reason}"),
            Self::Publish { reason } => format!("the flush could not be published: {reason}"),
            Self::Compaction { reason } => format!("not everything was compacted: {reason}"),
        }
    }

    /// v1's `error`, where it differs from `message`.
    fn v1_error(&self) -> Option<String> {
        match self {
            Self::MissingDb => Some("database is required".into()),
            // Telegraf creates the database when it reads this.
            Self::NoBucket { name } => Some(format!("database not found: {name:?}")),
            // And not when it reads this: the database is there.
            Self::NoPolicy { policy, .. } => Some(format!("retention policy not found: {policy}")),
            // Clients of v1 classify by this text.
            Self::Partial { rejects, ages: Some(_), .. } if rejects.schema.is_none() => {
                Some(format!("partial write: points beyond retention policy dropped={}", rejects.dropped))
            }
            Self::Partial { rejects, ages, .. } => Some(partial_message(rejects, ages.as_deref())),
            _ => None,
        }
    }

    /// What lies beneath the message, where something does.
    fn cause(&self) -> Option<String> {
        match self {
            Self::Gzip(error) => Some(error.to_string()),
            Self::Lines { errors, .. } => errors.first().map(|error| error.kind.to_string()),
            Self::Partial { rejects, ages, .. } => Some(first_reason(rejects, ages.as_deref())),
            Self::Poisoned { reason, .. } => Some(reason.to_string()),
            Self::Publish { reason } | Self::Compaction { reason } | Self::Untold { reason } => Some(reason.clone()),
            _ => None,
        }
        // What the interface lists for it stands in the table.
        .filter(|_| !self.case().answer().op.is_empty())
    }

    /// How many lines were refused for which reason.
    pub fn reasons(&self) -> Vec<(&'static str, u64)> {
        match self {
            Self::Lines { errors, .. } => vec![(SYNTAX, errors.len() as u64)],
            Self::Partial { rejects, .. } => rejects.counts().map(|(kind, lines)| (kind.name(), lines)).collect(),
            _ => Vec::new(),
        }
    }

    /// The first line that was refused for a reason: its number and what is wrong with it. `None`: it is not listed.
    pub fn first(&self, reason: &str) -> Option<String> {
        match self {
            Self::Lines { errors, .. } => errors.first().map(|error| format!("line {}: {}", error.line, error.kind)),
            Self::Partial { lines, .. } => {
                let first = lines.iter().find(|line| line.reason == reason)?;
                Some(format!("line {}: {}", first.line, first.error))
            }
            _ => None,
        }
    }

    /// The first bad line.
    fn line(&self) -> Option<u64> {
        match self {
            Self::Lines { errors, .. } => errors.first().map(|error| error.line),
            _ => None,
        }
    }

    /// Refused lines in their order, and whether there are more of them.
    fn lines(&self) -> (Vec<Line<'_>>, bool) {
        match self {
            Self::Lines { errors, more, .. } => {
                let line = |error: &LineError| Line { line: error.line, error: error.kind.to_string().into() };
                (errors.iter().map(line).collect(), *more)
            }
            Self::Partial { rejects, lines, .. } => {
                let listed = lines.iter().take(LISTED_MAX);
                let listed: Vec<_> =
                    listed.map(|refused| Line { line: refused.line, error: (&*refused.error).into() }).collect();
                let is_cut = rejects.lines() > listed.len() as u64;
                (listed, is_cut)
            }
            _ => (Vec::new(), false),
        }
    }

    /// Seconds after which the request may succeed.
    fn retry_after_seconds(&self) -> u64 {
        match self {
            Self::Overloaded { retry_after_seconds }
            | Self::NoBuffer { retry_after_seconds }
            | Self::LogFull { retry_after_seconds }
            | Self::Quota { retry_after_seconds } => *retry_after_seconds,
            // Until somebody has repaired the disk and started the node again.
            Self::Poisoned { .. } => 60,
            _ => RETRY_AFTER_SECONDS,
        }
    }

    /// The value of a header that the table has for this answer.
    fn header(&self, name: &str) -> String {
        match (name, self) {
            ("Allow", Self::Method { allow }) => (*allow).to_owned(),
            ("WWW-Authenticate", _) => "Basic realm=\"InfluxDB\"".to_owned(),
            ("Retry-After", _) => self.retry_after_seconds().to_string(),
            _ => String::new(),
        }
    }

    /// The same, for a client to come back after so many seconds, where it may.
    pub fn after(mut self, seconds: u64) -> Self {
        if let Self::Overloaded { retry_after_seconds } | Self::LogFull { retry_after_seconds } = &mut self {
            *retry_after_seconds = seconds;
        }
        self
    }

    /// The answer on the wire.
    pub fn response(&self) -> Response {
        let Answer { status, code, op, headers: names, close, .. } = *self.case().answer();
        let message = self.message();
        let v1_error = self.v1_error();
        let error = v1_error.as_deref().unwrap_or(&message);
        let (lines, lines_truncated) = self.lines();
        let (err, line) = (self.cause(), self.line());
        let body = Body { code, message: &message, op, err, line, lines, lines_truncated, error };
        // Strings and numbers always serialise.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut headers = vec![("X-Platform-Error-Code", code.to_owned()), ("X-Influxdb-Error", header_text(error))];
        headers.extend(names.iter().map(|name| (*name, self.header(name))));
        Response { status, content_type: Some("application/json; charset=utf-8"), headers, body, close }
    }
}

/// The case of a status that HTTP itself gave rise to.
fn http_case(status: Status) -> Case {
    match status {
        Status::ContentTooLarge => Case::BodyTooLarge,
        Status::UriTooLong => Case::LongTarget,
        Status::ExpectationFailed => Case::Expectation,
        Status::RequestHeaderFieldsTooLarge => Case::LongHead,
        Status::NotImplemented => Case::Foreign,
        Status::HttpVersionNotSupported => Case::Version,
        _ => Case::Framing,
    }
}

/// One sentence per bad line, in their order.
fn lines_message(errors: &[LineError], texts: &[String], more: bool) -> String {
    let mut message = String::new();
    for (error, text) in errors.iter().zip(texts) {
        if !message.is_empty() {
            message.push('\n');
        }
        // Writing to a String cannot fail.
        let _ = write!(message, "unable to parse '{text}': {} (line {})", error.kind, error.line);
    }
    if more {
        let _ = write!(message, "\nmore than {ERRORS_MAX} lines are bad; the others are not listed");
    }
    message
}

/// `partial write: <first reason> dropped=<n>`.
fn partial_message(rejects: &Rejects, ages: Option<&Ages>) -> String {
    format!("partial write: {} dropped={}", first_reason(rejects, ages), rejects.dropped)
}

/// A reason of the schema goes before retention.
fn first_reason(rejects: &Rejects, ages: Option<&Ages>) -> String {
    match (&rejects.schema, ages, &rejects.time_field) {
        (Some(schema), ..) => schema.to_string(),
        (None, Some(ages), _) => ages.to_string(),
        (None, None, Some(time)) => time.to_string(),
        (None, None, None) => String::new(),
    }
}

/// A header's worth of `text`: one line, at most 1024 bytes.
fn header_text(text: &str) -> String {
    let mut end = text.len().min(HEADER_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::answers::ANSWERS;
    use super::*;
    use crate::line::ErrorKind;

    #[test]
    fn a_bad_line_is_named_with_its_number() {
        let error = LineError { line: 3, start: 0, end: 1, kind: ErrorKind::MissingFields };
        let refusal = Refusal::Lines { errors: vec![error], texts: vec!["m \"x\"".into()], more: false };
        let response = refusal.response();
        let json: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(json["code"], "invalid");
        assert_eq!(json["line"], 3);
        assert_eq!(json["message"], "unable to parse 'm \"x\"': missing fields (line 3)");
        // v1's clients take "partial write" for lines that were kept.
        assert_eq!(json["error"], json["message"]);
        assert_eq!(json["lines"], serde_json::json!([{ "line": 3, "error": "missing fields" }]));
        assert_eq!((&json["op"], &json["err"]), (&"write/parse".into(), &"missing fields".into()));
    }

    /// One refusal of each kind.
    fn refusals() -> Vec<Refusal> {
        let http = [
            HttpError::HostMissing,
            HttpError::TargetTooLong { bytes_max: 1 },
            HttpError::BodyTooLarge { declared: None, bytes_max: 1 },
            HttpError::Expectation { value: "x".into() },
            HttpError::HeadTooLarge { bytes_max: 1 },
            HttpError::TransferEncoding { value: "x".into() },
            HttpError::Version { version: "x".into() },
        ];
        let gzip = [GzipError::TooLarge { bytes_max: 7 }, GzipError::NoMemory, GzipError::Empty];
        let line = LineError { line: 3, start: 0, end: 1, kind: ErrorKind::MissingFields };
        let mut refusals = vec![
            Refusal::NotFound,
            Refusal::Method { allow: "POST" },
            Refusal::NoCredentials,
            Refusal::Unauthorized { why: "the token is unknown" },
            Refusal::NoBucket { name: "b".into() },
            Refusal::NoPolicy { bucket: "b/r".into(), policy: "r".into() },
            Refusal::Quota { retry_after_seconds: 7 },
            Refusal::LengthRequired,
            Refusal::TooManyConnections { connections_max: 1 },
            Refusal::MissingDb,
            Refusal::MissingBucket,
            Refusal::NotUtf8(NotUtf8 { name: "db".into() }),
            Refusal::Precision { given: "x".into(), accepted: "s" },
            Refusal::Encoding { given: "br".into() },
            Refusal::Lines { errors: vec![line], texts: vec!["m".into()], more: true },
            Refusal::Partial { rejects: Box::default(), lines: Vec::new(), ages: None },
            Refusal::Query { reason: "it is none".into() },
            Refusal::Timeout,
            Refusal::TooManyBirths { bytes_max: 7 },
            Refusal::Overloaded { retry_after_seconds: 7 },
            Refusal::NoBuffer { retry_after_seconds: 7 },
            Refusal::LogFull { retry_after_seconds: 7 },
            Refusal::TooLargeForLog { bytes_max: 7 },
            Refusal::Poisoned { reason: "it broke".into(), in_flight: true },
            Refusal::Recovering,
            Refusal::Changes { name: "since" },
            Refusal::Forgotten { reason: "begin anew".into() },
            Refusal::Untold { reason: "it broke".into() },
            Refusal::Publish { reason: "it broke".into() },
            Refusal::Compaction { reason: "it broke".into() },
        ];
        refusals.extend(http.map(Refusal::Http));
        refusals.extend(gzip.map(Refusal::Gzip));
        refusals
    }

    #[test]
    fn every_refusal_has_its_row() {
        let mut told = Vec::new();
        for refusal in refusals() {
            let row = refusal.case().answer();
            let response = refusal.response();
            assert_eq!((response.status, response.close), (row.status, row.close), "{refusal:?}");
            let names: Vec<&str> = response.headers.iter().map(|(name, _)| *name).skip(2).collect();
            assert_eq!(names, row.headers, "{refusal:?}");
            assert!(response.headers.iter().all(|(_, value)| !value.is_empty()), "{refusal:?}");
            let json: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
            assert_eq!((&json["code"], json["op"].as_str().unwrap_or("")), (&row.code.into(), row.op), "{refusal:?}");
            let message = json["message"].as_str().unwrap();
            assert!(!message.is_empty(), "{refusal:?}");
            // A maximum that is exceeded is named.
            assert!(response.status != Status::ContentTooLarge || message.contains(['1', '7']), "{message}");
            told.push(row);
        }
        for row in ANSWERS.iter().filter(|row| row.status.is_error()) {
            assert!(told.contains(&row), "no refusal leads to {row:?}");
        }
    }

    #[test]
    fn a_client_is_told_when_there_will_be_room() {
        for refusal in [Refusal::Overloaded { retry_after_seconds: 2 }, Refusal::LogFull { retry_after_seconds: 2 }] {
            let response = refusal.after(17).response();
            assert!(response.headers.contains(&("Retry-After", "17".to_owned())), "{response:?}");
        }
    }

    #[test]
    fn headers_hold_one_short_line() {
        let text = header_text(&format!("a\nb{}", "ü".repeat(2000)));
        assert!(text.len() <= HEADER_BYTES_MAX && !text.contains('\n'));
    }
}
