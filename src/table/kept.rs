//! Refused lines on their way to a file, for buckets that keep them.

use crate::budget::Reservation;

/// The refused lines of one request.
#[derive(Debug)]
pub struct Kept {
    pub bucket: Box<str>,
    /// When the request was complete, nanoseconds UTC.
    pub received_ns: i64,
    /// Unit of the lines' timestamps, as the parameter `precision` has it.
    pub precision: &'static str,
    pub lines: Vec<KeptLine>,
    /// For what is above.
    pub memory: Reservation,
}

/// A line as it was sent, and why it was refused.
#[derive(Debug)]
pub struct KeptLine {
    /// Physical line of the body, from 1.
    pub line: u64,
    /// In a word.
    pub reason: &'static str,
    /// As a sentence.
    pub error: Box<str>,
    pub text: Box<[u8]>,
}
