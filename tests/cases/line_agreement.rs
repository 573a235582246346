//! The fast parser against the reference parser, on every kernel.

use proptest::collection::vec;
use proptest::prelude::*;

use super::line_cases::{CASES, long_bodies};
use super::line_strategy::body_from;
use crate::fuzzed;

#[test]
fn every_case_by_name() {
    CASES.iter().for_each(|case| fuzzed::line::line(case.body));
}

#[test]
fn long_bodies_agree() {
    long_bodies().iter().for_each(|(_, body, _)| fuzzed::line::line(body));
}

/// Wide loads must not care where a line starts, ends, or what follows it.
#[test]
fn every_case_shifted_and_padded() {
    for case in CASES {
        for shift in 0..=64 {
            let shifted = [&b" ".repeat(shift)[..], case.body].concat();
            fuzzed::line::line(&shifted);
            let lines = [&b"\n".repeat(shift)[..], case.body, &b"\n".repeat(shift)].concat();
            fuzzed::line::line(&lines);
        }
    }
}

/// Each case twice in one body, with others between: what is predicted for the second comes from the first.
#[test]
fn cases_one_after_the_other() {
    for pair in CASES.windows(2) {
        let body = [pair[0].body, b"\n", pair[1].body, b"\n", pair[0].body, b"\n", pair[1].body].concat();
        fuzzed::line::line(&body);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bodies_that_are_nearly_right(seed in vec(any::<u8>(), 0..400)) {
        fuzzed::line::line(&body_from(&seed));
    }

    #[test]
    fn bodies_of_any_bytes(body in vec(prop_oneof![
        8 => prop::sample::select(&b"m,t=v f\"\\\n\r\t #-.0123456789eiuTrue"[..]),
        1 => any::<u8>(),
    ], 0..120)) {
        fuzzed::line::line(&body);
    }
}
