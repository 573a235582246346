//! The one table of answers: status, code, operation, headers and occasion of everything that a client may be told. docs/HTTP.md
//! repeats it, and a test compares the two.

use crate::http::Status;

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: Status,
    /// `code` of the JSON and of `X-Platform-Error-Code`; empty for an answer that is no error.
    pub code: &'static str,
    /// `op` of the JSON: the step that failed. Empty where the interface lists none (413).
    pub op: &'static str,
    /// Headers that this answer has beside those of every answer and of every error.
    pub headers: &'static [&'static str],
    /// The connection is closed behind it.
    pub close: bool,
    /// The occasion, as docs/HTTP.md puts it.
    pub when: &'static str,
}

/// Makes [`Case`] and [`ANSWERS`] from one list, so that each case has exactly one row.
macro_rules! answers {
    ($($case:ident: $status:ident, $code:literal, $op:literal, [$($header:literal),*], $connection:ident, $when:literal;)+) => {
        /// What the node answers, as a row of [`ANSWERS`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Case {
            $($case,)+
        }

        /// Every answer, ordered by status.
        pub const ANSWERS: &[Answer] = &[
            $(Answer {
                status: Status::$status,
                code: $code,
                op: $op,
                headers: &[$($header),*],
                close: matches!(Connection::$connection, Connection::Close),
                when: $when,
            },)+
        ];
    };
}

/// What becomes of the connection; only for the table to be readable.
enum Connection {
    Keep,
    Close,
}

answers! {
    GoOn: Continue, "", "", [], Keep, "a body is awaited behind `Expect: 100-continue`";
    Told: Ok, "", "", [], Keep, "`/health`, `/ready`, `/metrics`, `/ping?verbose=true`, `/api/changes`; `/query`, also where a statement failed; the lake is compacted";
    Done: NoContent, "", "", [], Keep, "the write was taken whole; the flush is published; `/ping`; `OPTIONS`";
    Framing: BadRequest, "invalid", "http/read", [], Close, "the request is not HTTP as RFC 9112 has it";
    MissingDb: BadRequest, "invalid", "write/parameters", [], Keep, "`db` is missing or empty";
    NotUtf8: BadRequest, "invalid", "write/parameters", [], Keep, "a parameter is not UTF-8 once it is percent-decoded; the message names it";
    Precision: BadRequest, "invalid", "write/parameters", [], Keep, "`precision` is none that the path knows";
    Query: BadRequest, "invalid", "query", [], Keep, "`q` is missing, or is no InfluxQL; a parameter of `/query` is not UTF-8, or its form is none";
    Changes: BadRequest, "invalid", "changes", [], Keep, "`since`, `cursor` or `limit` of `/api/changes` is nothing that it may be";
    Gzip: BadRequest, "invalid", "write/decompress", [], Keep, "`Content-Encoding` says gzip, and the body is none, or is cut";
    Syntax: BadRequest, "invalid", "write/parse", [], Keep, "lines are not line protocol; `line` and `lines` say which";
    Credentials: Unauthorized, "unauthorized", "authorize", ["WWW-Authenticate"], Keep, "the credentials are unknown, garbled, or not enough for the bucket";
    NoCredentials: Forbidden, "forbidden", "authorize", [], Keep, "there are no credentials";
    NoPath: NotFound, "not found", "route", [], Keep, "there is no such path";
    NoBucketName: NotFound, "not found", "write/parameters", [], Keep, "`bucket` is missing or empty";
    NoBucket: NotFound, "not found", "write/bucket", [], Keep, "there is no such bucket, and `auto-create-buckets` is off";
    Method: MethodNotAllowed, "method not allowed", "route", ["Allow"], Keep, "the path has not this method; `Allow` lists those that it has";
    Late: RequestTimeout, "invalid", "http/read", [], Close, "head or body did not arrive in time";
    Forgotten: Gone, "gone", "changes", [], Keep, "`/api/changes` cannot tell what has changed since `since`; begin anew with `since=0`";
    NoLength: LengthRequired, "invalid", "http/read", [], Close, "a write has neither `Content-Length` nor `Transfer-Encoding: chunked`";
    BodyTooLarge: ContentTooLarge, "invalid", "", [], Close, "the body is larger than `max-body-size`, that of `/query` larger than 64 KiB; the message names the maximum";
    InflatedTooLarge: ContentTooLarge, "invalid", "", [], Keep, "the body is larger than that once it is decompressed";
    TooManyBirths: ContentTooLarge, "invalid", "", [], Keep, "the body brings more new measurements, columns and series than an idle node has memory for";
    TooLargeForLog: ContentTooLarge, "invalid", "", [], Keep, "the body, with what is new in it, is larger than a segment of the log";
    LongTarget: UriTooLong, "invalid", "http/read", [], Close, "the request line is too long";
    Encoding: UnsupportedMediaType, "unsupported media type", "write/parameters", [], Keep, "a `Content-Encoding` other than gzip and identity";
    Expectation: ExpectationFailed, "invalid", "http/read", [], Close, "an `Expect` other than `100-continue`";
    Partial: UnprocessableContent, "unprocessable entity", "write/points", [], Keep, "points were dropped, the others are written: another type, older than the retention, a string over 1 MiB, a field `time`, more than 65 536 columns, or more names than `memory-limit` has room for";
    Quota: TooManyRequests, "too many requests", "authorize", ["Retry-After"], Keep, "the token is over its quota";
    LongHead: RequestHeaderFieldsTooLarge, "invalid", "http/read", [], Close, "the head, or what follows the last chunk, is too long";
    Unpublished: InternalServerError, "internal error", "flush", [], Keep, "a flush could not be published; the rows are kept, and it is tried again while that makes sense";
    Uncompacted: InternalServerError, "internal error", "compact", [], Keep, "files could not be merged, or the node is ending; they stay as they are, and what was merged stays so";
    Untold: InternalServerError, "internal error", "changes", [], Keep, "`/api/changes` could not read the manifest";
    Foreign: NotImplemented, "not implemented", "http/read", [], Close, "a `Transfer-Encoding` other than chunked";
    TooManyConnections: ServiceUnavailable, "unavailable", "accept", ["Retry-After"], Close, "`max-connections` are open";
    NoMemory: ServiceUnavailable, "unavailable", "write/memory", ["Retry-After"], Keep, "there was no memory for two seconds for what the request brings";
    NoBuffer: ServiceUnavailable, "unavailable", "write/memory", ["Retry-After"], Close, "there was no memory for two seconds to receive the request";
    LogFull: ServiceUnavailable, "unavailable", "write/log", ["Retry-After"], Keep, "there was no room in the log for two seconds";
    LogFailed: ServiceUnavailable, "unavailable", "write/log", ["Retry-After"], Keep, "the log has failed; nothing more is taken until a restart";
    Recovering: ServiceUnavailable, "unavailable", "write/log", ["Retry-After"], Keep, "the log of an earlier life is being replayed";
    Version: HttpVersionNotSupported, "not implemented", "http/read", [], Close, "a version of HTTP other than 1.0 and 1.1";
}

impl Case {
    /// The row of this case.
    pub fn answer(self) -> &'static Answer {
        // Cases and rows come from one list.
        &ANSWERS[self as usize]
    }
}
