//! What the binary offers beside the node itself.

#[cfg(feature = "lake")]
pub mod convert;
pub mod token;
pub mod wal;
pub mod workload;
