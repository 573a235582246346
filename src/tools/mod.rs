//! What the binary offers beside the node itself.

#[cfg(feature = "lake")]
pub mod convert;
#[cfg(feature = "lake")]
pub mod lake;
#[cfg(feature = "lake")]
pub mod load;
pub mod token;
pub mod wal;
pub mod workload;
