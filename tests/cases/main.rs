//! All integration tests in one binary.
#![allow(clippy::unwrap_used)]

#[path = "../fuzzed/mod.rs"]
mod fuzzed;
mod line_agreement;
mod line_cases;
mod line_strategy;
mod table_model;
