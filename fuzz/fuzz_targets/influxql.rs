#![no_main]

#[path = "../../tests/fuzzed/influxql.rs"]
mod influxql;

libfuzzer_sys::fuzz_target!(|data: &[u8]| influxql::influxql(data));
