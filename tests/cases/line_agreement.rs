//! The fast parser against the reference parser, on every kernel.

use proptest::collection::vec;
use proptest::prelude::*;
use ringest::line::grammar::ERRORS_MAX;

use super::line_cases::{CASES, REASONS, long_bodies};
use super::line_strategy::body_from;
use crate::fuzzed;

#[test]
fn every_case_by_name() {
    for case in CASES {
        fuzzed::line::line(case.body);
        fuzzed::line::agree(case.body, case.precision);
    }
    REASONS.iter().for_each(|(_, body, _)| fuzzed::line::line(body));
}

#[test]
fn long_bodies_agree() {
    long_bodies().iter().for_each(|(_, body, _)| fuzzed::line::line(body));
}

/// As many bad lines as an answer lists, one less and one more, with good ones behind or not.
#[test]
fn bad_lines_up_to_the_most_that_are_listed() {
    for count in [ERRORS_MAX - 1, ERRORS_MAX, ERRORS_MAX + 1, 2 * ERRORS_MAX + 1] {
        for behind in ["", "m f=1", "# c\n\n\r\n", "\n\nm f=1\nm f=2\n"] {
            fuzzed::line::line(&["bad\n".repeat(count), behind.into()].concat().into_bytes());
            fuzzed::line::line(&["m f=1\nbad\n".repeat(count), behind.into()].concat().into_bytes());
        }
    }
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
