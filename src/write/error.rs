//! The one table from what can go wrong to status, code and JSON.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::decode::GzipError;
use crate::http::{Error as HttpError, Response, Status};
use crate::line::LineError;
use crate::line::grammar::ERRORS_MAX;
use crate::table::Rejects;

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
        retention: Option<Duration>,
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
    /// The log has no room now: its limit is reached, or the disk is full.
    LogFull {
        retry_after_seconds: u64,
    },
    /// The body, with what it brings, is larger than a segment of the log.
    TooLargeForLog,
    /// The log has failed. `in_flight`: the request was in it already, and may or may not have been stored.
    Poisoned {
        reason: Arc<str>,
        in_flight: bool,
    },
    /// The log of an earlier life is being replayed.
    Recovering,
    /// A flush could not be published.
    Publish {
        reason: String,
    },
}

/// The body of an error answer: InfluxDB v2's members, `line` of the reference, and v1's `error`.
#[derive(Serialize)]
struct Body<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    error: &'a str,
}

impl Refusal {
    /// Status and `code`.
    pub fn kind(&self) -> (Status, &'static str) {
        match self {
            Self::Http(error) => {
                let status = error.status();
                (status, http_code(status))
            }
            Self::NoCredentials => (Status::Forbidden, "forbidden"),
            Self::Unauthorized { .. } => (Status::Unauthorized, "unauthorized"),
            Self::Quota { .. } => (Status::TooManyRequests, "too many requests"),
            Self::LengthRequired => (Status::LengthRequired, "invalid"),
            Self::NotFound | Self::NoBucket { .. } => (Status::NotFound, "not found"),
            Self::Method { .. } => (Status::MethodNotAllowed, "method not allowed"),
            Self::MissingDb | Self::Query { .. } | Self::Precision { .. } | Self::Lines { .. } => {
                (Status::BadRequest, "invalid")
            }
            Self::MissingBucket => (Status::NotFound, "not found"),
            Self::Encoding { .. } => (Status::UnsupportedMediaType, "unsupported media type"),
            Self::Gzip(GzipError::TooLarge { .. }) | Self::TooManyBirths { .. } | Self::TooLargeForLog => {
                (Status::ContentTooLarge, "invalid")
            }
            Self::Gzip(GzipError::NoMemory) => (Status::ServiceUnavailable, "unavailable"),
            Self::Gzip(_) => (Status::BadRequest, "invalid"),
            Self::Partial { .. } => (Status::UnprocessableContent, "unprocessable entity"),
            Self::Timeout => (Status::RequestTimeout, "invalid"),
            Self::Overloaded { .. }
            | Self::LogFull { .. }
            | Self::Poisoned { .. }
            | Self::Recovering
            | Self::TooManyConnections { .. } => (Status::ServiceUnavailable, "unavailable"),
            Self::Publish { .. } => (Status::InternalServerError, "internal error"),
        }
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
            Self::Precision { given, accepted } => {
                format!("invalid precision {given:?}; valid precision units are {accepted}")
            }
            Self::Encoding { given } => {
                format!("Content-Encoding {given:?} is not supported; send gzip, identity or no such header")
            }
            Self::Gzip(error) => format!("unable to read data: {error}"),
            Self::Lines { errors, texts, more } => lines_message(errors, texts, *more),
            Self::Partial { rejects, retention } => {
                format!("failure writing points to database: {}", partial_message(rejects, *retention))
            }
            Self::TooManyBirths { bytes_max } => format!(
                "the body brings more new measurements, columns and series than fit into the {bytes_max} bytes that \
                 memory-limit leaves for data; send it in smaller parts"
            ),
            Self::Query { reason } => reason.clone(),
            Self::Timeout => "the request did not arrive in time (request-timeout for its head and for a pause in its body, min-body-rate for the \
                              whole body); send it again"
                .into(),
            Self::Overloaded { .. } => "the node is short of memory; send the request again later".into(),
            Self::LogFull { .. } => "the write-ahead log is full: nothing was written; the node is publishing what frees it, send the request \
                                     again later (or raise wal-size-limit, or make room on the disk)"
                .into(),
            Self::TooLargeForLog => "the body brings more new measurements and columns than fit into a segment of the log; send it in smaller \
                                     parts, or raise wal-size-limit"
                .into(),
            Self::Poisoned { reason, in_flight: true } => {
                format!("the log has failed, and it is not known whether this request was stored: {reason}")
            }
            Self::Poisoned { reason, in_flight: false } => {
                format!("the log has failed and the node takes no more writes; nothing of this request was stored: {reason}")
            }
            Self::Recovering => "the node is replaying its log; send the request again later (GET /ready tells how far it is)".into(),
            Self::Publish { reason } => format!("the flush could not be published: {reason}"),
        }
    }

    /// v1's `error`, where it differs from `message`.
    fn v1_error(&self) -> Option<String> {
        match self {
            Self::MissingDb => Some("database is required".into()),
            // Telegraf creates the database when it reads this.
            Self::NoBucket { name } => Some(format!("database not found: {name:?}")),
            Self::Lines { errors, texts, more } => {
                Some(format!("partial write: {} dropped=0", lines_message(errors, texts, *more)))
            }
            Self::Partial { rejects, .. } if rejects.schema.is_none() && rejects.expired.is_some() => {
                Some(format!("partial write: points beyond retention policy dropped={}", rejects.dropped))
            }
            Self::Partial { rejects, retention } => Some(partial_message(rejects, *retention)),
            _ => None,
        }
    }

    /// The answer on the wire.
    pub fn response(&self) -> Response {
        let (status, code) = self.kind();
        let message = self.message();
        let v1_error = self.v1_error();
        let error = v1_error.as_deref().unwrap_or(&message);
        let line = match self {
            Self::Lines { errors, .. } => errors.first().map(|error| error.line),
            _ => None,
        };
        // Strings and numbers always serialise.
        let body = serde_json::to_vec(&Body { code, message: &message, line, error }).unwrap_or_default();
        let mut headers = vec![("X-Platform-Error-Code", code.to_owned()), ("X-Influxdb-Error", header_text(error))];
        match self {
            Self::Method { allow } => headers.push(("Allow", (*allow).to_owned())),
            Self::Overloaded { retry_after_seconds } | Self::LogFull { retry_after_seconds } => {
                headers.push(("Retry-After", retry_after_seconds.to_string()))
            }
            Self::Quota { retry_after_seconds } => headers.push(("Retry-After", retry_after_seconds.to_string())),
            Self::Unauthorized { .. } => headers.push(("WWW-Authenticate", "Basic realm=\"InfluxDB\"".to_owned())),
            Self::Recovering | Self::TooManyConnections { .. } => headers.push(("Retry-After", "2".to_owned())),
            Self::Gzip(GzipError::NoMemory) => headers.push(("Retry-After", "1".to_owned())),
            // Until somebody has repaired the disk and started the node again.
            Self::Poisoned { .. } => headers.push(("Retry-After", "60".to_owned())),
            _ => {}
        }
        let close =
            matches!(self, Self::Http(_) | Self::Timeout | Self::LengthRequired | Self::TooManyConnections { .. });
        Response { status, content_type: Some("application/json; charset=utf-8"), headers, body, close }
    }
}

/// InfluxDB's code for a status that HTTP itself gave rise to.
fn http_code(status: Status) -> &'static str {
    match status {
        Status::NotImplemented | Status::HttpVersionNotSupported => "not implemented",
        Status::ServiceUnavailable => "unavailable",
        Status::InternalServerError => "internal error",
        _ => "invalid",
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

/// `partial write: <first reason> dropped=<n>`; a reason of the schema wins over retention.
fn partial_message(rejects: &Rejects, retention: Option<Duration>) -> String {
    let mut reason = String::new();
    if let Some(schema) = &rejects.schema {
        reason = schema.to_string();
    } else if let Some(expired) = &rejects.expired {
        let _ = write!(
            reason,
            "dropped {} points outside retention policy of duration {} - oldest point {} at {}, newest point at {} dropped \
             because they violate the retention policy's lower bound",
            expired.points,
            go_duration(retention.unwrap_or_default()),
            expired.measurement,
            rfc3339(expired.oldest_ns),
            rfc3339(expired.newest_ns),
        );
    } else if let Some(time) = &rejects.time_field {
        reason = time.to_string();
    }
    format!("partial write: {reason} dropped={}", rejects.dropped)
}

/// A duration as InfluxDB writes it: `72h0m0s`.
fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    format!("{}h{}m{}s", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn rfc3339(ns: i64) -> String {
    // jiff spans the years -9999 to 9999, i64 nanoseconds 1677 to 2262.
    jiff::Timestamp::from_nanosecond(i128::from(ns)).map_or_else(|_| ns.to_string(), |time| time.to_string())
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
        assert!(json["error"].as_str().unwrap().contains("partial write: unable to parse"));
    }

    #[test]
    fn headers_hold_one_short_line() {
        let text = header_text(&format!("a\nb{}", "ü".repeat(2000)));
        assert!(text.len() <= HEADER_BYTES_MAX && !text.contains('\n'));
    }
}
