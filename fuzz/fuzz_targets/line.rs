#![no_main]

#[path = "../../tests/fuzzed/line.rs"]
mod line;
#[path = "../../tests/cases/line_strategy.rs"]
mod line_strategy;

// Half of the inputs are bodies, half are seeds of bodies that are nearly right.
libfuzzer_sys::fuzz_target!(|data: &[u8]| match data.split_first() {
    Some((choice, rest)) if choice % 2 == 0 => line::line(rest),
    Some((_, rest)) => line::line(&line_strategy::body_from(rest)),
    None => {}
});
