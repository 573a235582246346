//! ringest: an ingest node that speaks InfluxDB's v1-compatible `POST /write` and publishes Parquet.
//!
//! The crate is a program and a library. The program is the node; README.md tells how to run it. The library turns line protocol into
//! Arrow record batches, with the node's parser and its typed columns, but without its server, log and files:
//!
//! ```
//! # #[cfg(feature = "batch")] {
//! let mut reader = ringest::batch::Reader::default();
//! reader.push(b"cpu,host=a usage=12.5,cores=8i 1767225600000000000\n")?;
//! for batch in reader.take() {
//!     let batch = batch?;
//!     println!("{}: {} rows", batch.measurement, batch.records.num_rows());
//! }
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Of interest to others are
//! - [`batch`](batch/index.html): bytes to record batches, bodies or streams, with every rejected line told by its number and reason;
//! - `tools::convert`: files of line protocol into a data directory, as `ringest convert` does it;
//! - [`line`](mod@line): the grammar of line protocol, and a parser that feeds a [`line::Sink`] of one's own without allocating.
//!
//! All other modules are public for the program and its tests; they are the node's inside and change with it.
//! They stand in the order in which a request meets them; docs/ARCHITECTURE.md is the map.
//!
//! | feature | brings |
//! |---|---|
//! | `lake` (default) | the node: Arrow, Parquet, Zstandard, the allocator |
//! | `batch` (in `lake`) | the module of that name: Arrow's arrays only |

pub mod budget;
pub mod config;
pub mod data_dir;
pub mod metrics;

pub mod net;

pub mod http;

pub mod auth;

pub mod decode;

pub mod line;

pub mod wal;

pub mod catalog;

pub mod table;

#[cfg(feature = "batch")]
pub mod batch;

pub mod write;

#[cfg(feature = "lake")]
pub mod lake;

#[cfg(feature = "lake")]
pub mod server;

pub mod tools;

#[cfg(feature = "lake")]
pub mod cli;

/// The examples in README.md compile.
#[cfg(all(doctest, feature = "batch"))]
#[doc = include_str!("../README.md")]
struct Readme;
