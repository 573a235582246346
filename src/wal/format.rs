//! The bytes of segments, groups and records.

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A request as received, with its verdict.
    Request = 1,
    /// Births of the catalog.
    Births = 2,
}
