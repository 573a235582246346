#![no_main]

#[path = "../../tests/fuzzed/wal.rs"]
mod wal;

libfuzzer_sys::fuzz_target!(|data: &[u8]| wal::wal(data));
