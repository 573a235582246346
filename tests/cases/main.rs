//! All integration tests in one binary: of the library, and of the program as it is run.
#![allow(clippy::unwrap_used)]

#[path = "../fuzzed/mod.rs"]
mod fuzzed;
mod line_agreement;
mod line_cases;
mod line_strategy;
#[cfg(feature = "lake")]
mod node;
mod replayed;
#[cfg(feature = "lake")]
mod server_life;
#[cfg(feature = "lake")]
mod server_requests;
mod table_model;
