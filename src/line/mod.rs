//! Line protocol: bytes of a body to points, on two independent ways.
//!
//! [`parse`] is the fast way and feeds a [`Sink`] without allocating; [`naive`] is the reference that it is tested against.
//! What both must agree on stands in [`grammar`]. [`complete_len`] cuts a stream into bodies.

mod decimal;
mod digits;
mod echo;
mod expected;
pub mod grammar;
mod judge;
mod lines;
pub mod naive;
mod names;
mod number;
mod parse;
mod scan;
mod shapes;
mod sink;
mod split;
mod text;

pub use echo::echo;
pub use grammar::{ErrorKind, LineError, Precision};
pub use judge::Judge;
pub use lines::{complete_len, point_lines};
pub use names::NO_NAME;
pub use parse::{Options, Outcome, parse};
pub use scan::vector::Vector;
pub use scan::{Kernel, begins_with, begins_with_short, count_delimiters};
pub use shapes::NO_SHAPE;
pub use sink::{End, ExpectedField, FieldName, Row, Sink, Word};
pub use split::{FIELD_KEY_ESCAPES, Key, MEASUREMENT_ESCAPES, STRING_ESCAPES, TAG_ESCAPES, Tag, unescape};
pub use text::{PADDING, Padded, Rest};
