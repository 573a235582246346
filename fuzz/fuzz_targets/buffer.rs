#![no_main]

#[path = "../../tests/fuzzed/buffer.rs"]
mod buffer;

libfuzzer_sys::fuzz_target!(|data: &[u8]| buffer::buffer(data));
