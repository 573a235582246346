//! ringest: an ingest node that speaks InfluxDB's v1-compatible `POST /write` and publishes Parquet.
//!
//! The modules stand in the order in which a request meets them; docs/ARCHITECTURE.md is the map.

pub mod budget;
pub mod config;
pub mod metrics;

pub mod net;

pub mod http;

pub mod decode;

pub mod line;

pub mod wal;

pub mod catalog;

pub mod table;

pub mod write;

#[cfg(feature = "lake")]
pub mod lake;

#[cfg(feature = "lake")]
pub mod server;

pub mod tools;

#[cfg(feature = "lake")]
pub mod cli;
