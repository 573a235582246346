//! The node's settings.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What `ringest serve` runs with, every value checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    pub shards: usize,
    pub lake_threads: usize,
    pub flush_interval: Duration,
    /// Bytes of open tables, all shards together, at which a flush starts before its time.
    pub flush_bytes: usize,
    /// Most bytes of a body, after decompression.
    pub body_bytes_max: usize,
    /// Retention of buckets that a write creates; `None` takes points of any age.
    pub default_retention: Option<Duration>,
    pub memory_bytes_max: usize,
    pub shutdown_timeout: Duration,
    pub durability: Durability,
    pub simd: Simd,
    pub log_format: LogFormat,
}

/// What a 204 promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The points are in memory; a crash loses what no flush has published yet.
    Memory,
}

/// Which kernel scans line protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Simd {
    /// The fastest that the processor has.
    Auto,
    Avx2,
    Sse2,
    Portable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl Durability {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
        }
    }
}
