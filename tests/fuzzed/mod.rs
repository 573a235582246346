//! What the fuzz targets in `fuzz/` run, as ordinary functions: the tests call them with generated input.
#![allow(clippy::unwrap_used)]

pub mod buffer;
pub mod gunzip;
pub mod http;
pub mod influxql;
pub mod line;
pub mod log_writer;
pub mod table;
pub mod wal;
