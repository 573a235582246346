//! Open tables, births and rejects against a simple model.

use proptest::collection::vec;
use proptest::prelude::*;

use super::line_cases::{CASES, STORED};
use super::line_strategy::body_from;
use crate::fuzzed;

fn requests(bodies: &[&str], time_ns_min: Option<i64>) {
    let bodies: Vec<Vec<u8>> = bodies.iter().map(|body| body.as_bytes().to_vec()).collect();
    fuzzed::table::table(&bodies, time_ns_min);
}

#[test]
fn every_case_by_name_as_a_request() {
    let bodies: Vec<Vec<u8>> = CASES.iter().map(|case| case.body.to_vec()).collect();
    fuzzed::table::table(&bodies, None);
    fuzzed::table::table(&bodies, Some(1));
}

/// An empty body in front moves every request to another kernel and shard.
#[test]
fn every_case_of_several_requests() {
    for case in STORED {
        for empty in 0..4 {
            let bodies = std::iter::repeat_n(Vec::new(), empty);
            let bodies = bodies.chain(case.requests.iter().map(|request| request.body.to_vec()));
            fuzzed::table::table(&bodies.collect::<Vec<_>>(), None);
        }
    }
}

#[test]
fn the_other_shard_knows_the_type_first() {
    requests(&["m f=1 1", "m f=1i 1\nm g=1i 2", "m g=1 3\nm h=1 3", "m f=\"x\",h=t 4\nm h=2 5"], None);
}

#[test]
fn a_dropped_point_bears_nothing() {
    requests(&["m f=1 1", "m new=1,f=1i 2\nm,t=a,u=b f=t 3\nm f=2 4", "m new=t 5", "n time=1 6", "n f=1 7"], None);
    requests(&["m,t=old a=1 1\nm,t=new b=2 10", "m a=t 11"], Some(5));
}

#[test]
fn a_bad_line_takes_everything_back() {
    requests(&["m,t=a f=1 1\nm,t=b g=2,h=3 2\nm f", "m,t=b g=t 1", "x,a=b c=1\nm,t=c f=7 3\n,", "m,t=a f=3 3"], None);
}

/// `points` of all types from number `first` on, some fields in some points only, each third with one of ever new series.
fn many(points: usize, first: usize) -> String {
    (first..first + points)
        .map(|n| {
            let tag = if n % 3 == 0 { format!(",t=s{n}") } else { String::new() };
            let rare = if n % 7 == 0 { format!(",r={n}i") } else { String::new() };
            let i = (n as i64 - 2_000) << (n % 5 * 12);
            format!(
                "m{tag} i={i}i,u={}u,b={},f={}.5,w={n},s=\"{n}\"{rare} {n}\n",
                u64::MAX - n as u64,
                n % 2 == 0,
                n * n
            )
        })
        .collect()
}

/// Columns keep their values in chunks of 1024: what is taken back may begin in the midst of one, or where one ends.
#[test]
fn a_bad_line_takes_thousands_of_points_back() {
    let bad = |points: usize, first: usize| many(points, first) + "m f";
    for committed in [1, 1_023, 1_024, 1_025, 1_500, 2_048] {
        let bodies =
            [many(committed, 0), bad(3_000, 10_000), many(10, 20_000), bad(5_000, 30_000), many(3_000, 40_000)];
        requests(&bodies.each_ref().map(|body| &**body), None);
    }
}

/// Dropped points between others, over the borders of chunks.
#[test]
fn dropped_points_leave_nothing_in_thousands() {
    let mixed: String = (0..5_000)
        .map(|n| format!("m a={n}i,b={n},a={}i,s=\"x{n}\"{} {n}\n", n + 1, if n % 4 == 0 { ",s=1" } else { "" }))
        .collect();
    requests(&[&many(1_020, 0), &mixed, &many(2_000, 5_000)], Some(10));
}

#[test]
fn a_field_twice_in_a_point_keeps_the_last_value() {
    requests(
        &["m a=1,b=2,c=3,b=4,d=5 1", "m a=1,b=2,a=2i 2", "m b=\"x\",c=1,b=\"yz\" 3\nn b=\"x\",b=\"yz\",b=\"\" 3"],
        None,
    );
}

#[test]
fn fields_come_and_go() {
    requests(
        &["m a=1,b=1,c=1 1\nm a=2,c=2 2\nm c=3 3\nm d=4 4\nm c=5,b=5,a=5 5\nm a=6,b=6,c=6,d=6 6\nm b=7 7"; 3],
        None,
    );
}

#[test]
fn tags_in_any_order_and_spelling_are_one_series() {
    requests(&["m,a=1,b=2 f=1 1\nm,b=2,a=1 f=2 1\nm,a=1 f=3 1\nm f=4 1\nm,b=2 f=5 1", "m,b=2,c=3,a=1 f=1 1"], None);
}

/// More series than the cache of keys takes that come once, and then all of them again, in another order.
#[test]
fn series_that_the_cache_does_not_have_are_the_same_series() {
    let count = 70_000;
    let line = |n: u32| format!("m,a=v{n},b=w{} f={n}i {n}\n", n % 7);
    let first: String = (0..count).map(line).collect();
    let again: String = (0..count).map(|n| line(n * 7_919 % count)).collect();
    requests(&[&first, "", &again, "", &again], None);
}

/// What is written otherwise is another name, or none, wherever the first one is expected.
#[test]
fn a_name_with_escapes_is_not_expected_without_them() {
    for (escaped, plain) in [(r"a\=b", "a=b"), (r"a\,b", "a,b"), (r"a\ b", "a b"), (r"a\\", r"a\"), (r"a\b", "ab")] {
        for (first, next) in [(escaped, plain), (plain, escaped), (escaped, escaped)] {
            let line = |name: &str, n| format!("m {name}=1 {n}\n");
            requests(&[&format!("{}{}", line(first, 1), line(next, 2)), &line(next, 3), &line(first, 4)], None);
            requests(&[&line(first, 1), "", &line(next, 2), "", &line(first, 3)], None);
            let alike: String = (0..20).map(|n| line(first, n)).collect();
            requests(&[&format!("{alike}{}", line(next, 30)), "", &line(next, 31), "", &alike], None);
        }
    }
}

/// Keys that leave a field's name little room, among rows that are alike.
#[test]
fn a_row_with_a_long_key_among_rows_that_are_alike() {
    let line = |tag: &str, n: usize| format!("m,t={tag} f={n}i,g={n}i {n}\n");
    for bytes in [65_463, 65_464, 65_467, 65_468, 65_520, 65_526, 65_527, 65_528, 65_529] {
        for long_ones in [1, 2, 6] {
            let is_long = |n| (11..11 + long_ones).contains(&n);
            let key = "x".repeat(bytes);
            let body: String = (0..24).map(|n| if is_long(n) { line(&key, n) } else { line("a", n) }).collect();
            requests(&[&body, "", &line("a", 50), "", &body], None);
        }
    }
}

/// A row of floats, integers of one width mostly, unsigned integers and booleans in one order, but for what `oddity` says.
fn alike(n: u64, oddity: u8) -> String {
    let wide = 10_u64.pow((n % 17) as u32 + 1) + n;
    let (f, i, u, b) = (n as f64 / 8.0, n % 90 + 10, n * 3, n.is_multiple_of(2));
    match oddity {
        0 => format!("m,t=a f={f},i={i}i,u={u}u {n}"),
        1 => format!("m,t=a f={f},i={i}i,b={b} {n}"),
        2 => format!("m,t=a i={i}i,f={f},u={u}u,b={b} {n}"),
        3 => format!("m,t=b f={f},i={i}i,u={u}u,b={b},x={n} {n}"),
        4 => format!("m,t=a f={f},i={i},u={u}u,b={b} {n}"),
        5 => format!("m,t=a f={f},i=-{i}i,u={u}u,b={b} {n}"),
        6 => format!("m,t=a f={f},i={wide}i,u={wide}u,b=T"),
        7 => format!("m,t=a f={f},i={i}i,u={u}u,b={b} -{n}"),
        8 => format!("m,t=a f={f},f=1,u={u}u,b={b} {n}"),
        9 => format!("m,t=a f={f},time=1,i={i}i,u={u}u,b={b} {n}"),
        10 => format!("m,t=a f=\\{f},i={i}i,u={u}u,b={b} {n}"),
        11 => format!("m,t=a s=\"{n}\" {n}"),
        12 => format!("n f={f},i={i}i {n}"),
        13 => format!("m,t=a f={f},i={i}i,u={u}u,b={b}, {n}"),
        14 => format!("m,t=a f={f},i={wide}i,u={u}u,b={b} {n}"),
        _ => format!("m,t=a f={f},i={i}i,u={u}u,b={b} {n}"),
    }
}

#[test]
fn rows_that_are_alike_and_one_that_is_not() {
    for oddity in 0..=15 {
        for at in [0, 1, 4, 5, 6, 40, 41, 299] {
            let lines =
                |from: u64| (from..from + 300).map(|n| alike(n, if n % 300 == at { oddity } else { 15 }) + "\n");
            let bodies: Vec<Vec<u8>> = (0..4).map(|body| lines(body * 300).collect::<String>().into_bytes()).collect();
            fuzzed::table::table(&bodies, Some(3));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Between odd rows up to so many that are alike, in bodies of any size; a body with a bad row is taken back whole.
    #[test]
    fn rows_that_are_alike_and_some_that_are_not(
        stretches in vec((0..40u64, 0..=14u8), 1..40),
        cuts in vec(1..60usize, 1..12),
        time_ns_min in prop::option::of(0..400i64),
    ) {
        let odd_ends = stretches.iter().flat_map(|(alike, odd)| std::iter::repeat_n(15, *alike as usize).chain([*odd]));
        let mut lines = odd_ends.zip(1..).map(|(oddity, n)| alike(n, oddity) + "\n").peekable();
        let mut bodies = Vec::new();
        for cut in cuts.iter().cycle() {
            if lines.peek().is_none() {
                break;
            }
            bodies.push(lines.by_ref().take(*cut).collect::<String>().into_bytes());
        }
        fuzzed::table::table(&bodies, time_ns_min);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_that_are_nearly_right(
        seeds in vec(vec(any::<u8>(), 0..120), 1..8),
        time_ns_min in prop::option::of(prop_oneof![Just(0), Just(1_000_000_000_000), any::<i64>()]),
    ) {
        let bodies: Vec<Vec<u8>> = seeds.iter().map(|seed| body_from(seed)).collect();
        fuzzed::table::table(&bodies, time_ns_min);
    }

    #[test]
    fn small_worlds(lines in vec(vec((0..3usize, 0..4usize, vec((0..4usize, 0..6usize), 1..5), 0..6i64), 0..12), 1..6)) {
        let value = |kind| ["1", "2.5", "1i", "t", "\"s\"", "7u"][kind];
        let bodies: Vec<Vec<u8>> = lines
            .iter()
            .map(|body| {
                let line = |(m, t, fields, time): &(usize, usize, Vec<(usize, usize)>, i64)| {
                    let tags = ["", ",a=1", ",b=2,a=1", ",a=1,b=2"][*t];
                    let fields: Vec<String> = fields.iter().map(|(f, kind)| format!("f{f}={}", value(*kind / (1 + f)))).collect();
                    format!("m{m}{tags} {} {time}\n", fields.join(","))
                };
                body.iter().map(line).collect::<String>().into_bytes()
            })
            .collect();
        fuzzed::table::table(&bodies, Some(2));
    }
}
