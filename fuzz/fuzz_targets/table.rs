#![no_main]

#[path = "../../tests/fuzzed/line.rs"]
mod line;
#[path = "../../tests/cases/line_strategy.rs"]
mod line_strategy;
#[path = "../../tests/fuzzed/table.rs"]
mod table;

// The first byte says whether old points are dropped; the rest, cut at 0xFF, is one seed per request.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((choice, seeds)) = data.split_first() else { return };
    let bodies: Vec<Vec<u8>> = seeds.split(|byte| *byte == 0xFF).map(line_strategy::body_from).collect();
    table::table(&bodies, (choice % 2 == 0).then_some(0));
});
