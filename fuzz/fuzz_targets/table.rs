#![no_main]

#[path = "../../tests/cases/fleet_strategy.rs"]
mod fleet_strategy;
#[path = "../../tests/fuzzed/line.rs"]
mod line;
#[path = "../../tests/cases/line_strategy.rs"]
mod line_strategy;
#[path = "../../tests/fuzzed/table.rs"]
mod table;

// The first byte says whether old points are dropped, and whether the lines are those of fleets; the rest, cut at 0xFF, is one seed per request.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((choice, seeds)) = data.split_first() else { return };
    let body = if choice & 2 == 0 { line_strategy::body_from } else { fleet_strategy::body_from };
    let bodies: Vec<Vec<u8>> = seeds.split(|byte| *byte == 0xFF).map(body).collect();
    table::table(&bodies, (choice % 2 == 0).then_some(0));
});
