//! Line protocol: bytes of a body to points, on two independent ways.
//!
//! [`parse`] is the fast way and feeds a [`Sink`] without allocating; [`naive`] is the reference that it is tested against.
//! What both must agree on stands in [`grammar`].

pub mod grammar;
pub mod naive;
mod number;
mod parse;
mod scan;
mod split;
mod text;

pub use grammar::{ErrorKind, LineError, Precision};
pub use parse::{Options, Outcome, Sink, parse};
pub use scan::vector::Vector;
pub use scan::{Kernel, equal_prefix};
pub use split::{Key, MEASUREMENT_ESCAPES, STRING_ESCAPES, TAG_ESCAPES, Tag, unescape};
pub use text::{PADDING, Padded};
