//! What the binary offers beside the node itself.

pub mod token;
pub mod wal;
pub mod workload;
