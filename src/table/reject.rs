//! What a request's answer says of points that were not written.

use crate::line::grammar::STRING_BYTES_MAX;

/// Points that were well-formed and not written, with what the answer needs to say of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejects {
    /// Points dropped for any reason.
    pub dropped: u64,
    /// Points older than the bucket's retention.
    pub expired: Option<Expired>,
    /// The first point (or field) that does not fit the schema.
    pub schema: Option<SchemaReject>,
    /// A field `time` was left out of a point whose other fields were stored.
    pub time_field: Option<SchemaReject>,
}

/// The points that retention refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    pub points: u64,
    pub oldest_ns: i64,
    pub newest_ns: i64,
    /// Measurement of the oldest point.
    pub measurement: Box<str>,
}

/// Why a point does not fit its table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaReject {
    #[error(
        "field type conflict: input field \"{field}\" on measurement \"{measurement}\" is type {given}, already exists as type {known}"
    )]
    Conflict { measurement: Box<str>, field: Box<str>, given: &'static str, known: &'static str },
    #[error("invalid field name: input field \"time\" on measurement \"{measurement}\" is invalid")]
    TimeField { measurement: Box<str> },
    #[error("input field \"{field}\" on measurement \"{measurement}\" is too long, {bytes} > {STRING_BYTES_MAX}")]
    TooLong { measurement: Box<str>, field: Box<str>, bytes: usize },
}

impl Rejects {
    pub fn is_empty(&self) -> bool {
        self.dropped == 0 && self.time_field.is_none()
    }
}
