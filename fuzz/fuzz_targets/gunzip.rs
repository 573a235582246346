#![no_main]

#[path = "../../tests/fuzzed/gunzip.rs"]
mod gunzip;

libfuzzer_sys::fuzz_target!(|data: &[u8]| gunzip::gunzip(data));
