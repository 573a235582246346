//! All integration tests in one binary: of the library, and of the program as it is run.
#![allow(clippy::unwrap_used)]

#[cfg(feature = "lake")]
mod answers;
mod architecture;
#[cfg(feature = "lake")]
mod auth;
#[cfg(feature = "batch")]
mod batches;
#[cfg(feature = "lake")]
mod births_race;
#[cfg(feature = "lake")]
mod buckets;
#[cfg(feature = "lake")]
mod compaction;
#[cfg(feature = "lake")]
mod convert;
#[cfg(feature = "lake")]
mod damage;
mod exact;
mod fleet_strategy;
#[path = "../fuzzed/mod.rs"]
mod fuzzed;
#[cfg(feature = "lake")]
mod ingest_bodies;
#[cfg(feature = "lake")]
mod ingest_semantics;
#[cfg(feature = "lake")]
mod lake_reader;
#[cfg(feature = "lake")]
mod lake_tools;
#[cfg(feature = "lake")]
mod limits;
mod line_agreement;
mod line_cases;
mod line_floats;
mod line_integers;
#[cfg(feature = "lake")]
mod line_over_http;
mod line_sinks;
mod line_strategy;
#[cfg(feature = "lake")]
mod load;
#[cfg(feature = "lake")]
mod log;
#[cfg(feature = "lake")]
mod manifest;
#[cfg(feature = "lake")]
mod node;
#[cfg(feature = "lake")]
mod page_index;
#[cfg(feature = "lake")]
mod query;
mod replayed;
#[cfg(feature = "lake")]
mod restart;
#[cfg(feature = "lake")]
mod server_connections;
#[cfg(feature = "lake")]
mod server_life;
#[cfg(feature = "lake")]
mod server_requests;
#[cfg(feature = "lake")]
mod server_slow;
mod stored_model;
mod table_memory;
mod table_model;
mod table_twins;
#[cfg(feature = "lake")]
mod tls;
