#![no_main]

#[path = "../../tests/fuzzed/log_writer.rs"]
mod log_writer;

libfuzzer_sys::fuzz_target!(|data: &[u8]| log_writer::log_writer(data));
