//! Points as typed columns: what a shard's requests write to, until it is sealed and moved to the lake.
//!
//! A [`Writer`] takes one request. Rows, series and births are provisional until its commit; a writer that is dropped without one leaves
//! nothing behind. A point that is dropped inside of a request (type conflict, retention, ...) is undone by itself.

#[cfg(feature = "batch")]
pub mod arrays;
mod cache;
mod chunks;
mod column;
mod index;
mod interner;
mod keep;
mod kept;
mod keys;
mod open;
mod pattern;
mod prefetch;
mod reject;
mod seal;
mod series;
mod shared;
mod stage;
mod writer;

pub use chunks::{Booleans, Chunked, Floats, Integers, Lists, Move, Packed, Strings};
pub use kept::{Kept, KeptLine};
pub use open::Tables;
pub use reject::{Expired, LISTED_MAX, Listed, Ordinals, RejectKind, Rejects, SchemaReject};
pub use seal::{FieldColumn, Presence, Rows, Run, SealedTable, SeriesSet, TagPair, Values};
pub use writer::{Committed, Journal, Rules, Unlogged, Writer, names_bytes_max};

/// Position that stands for "none" in index types.
const NONE: u32 = u32::MAX;
