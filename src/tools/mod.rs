//! What the binary offers beside the node itself.

pub mod wal;
pub mod workload;
