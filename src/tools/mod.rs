//! What the binary offers beside the node itself.

#[cfg(feature = "lake")]
pub mod lake;
pub mod token;
pub mod wal;
pub mod workload;
