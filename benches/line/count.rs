//! The stages of this bench whose instructions are counted.

use ringest::line::{Kernel, Outcome, Padded, parse};

use super::contenders::{Shard, options, parse_into};
use super::counted::{Count, counted};
use super::data::{Bodies, DATA_SETS, DataSet};
use super::sinks::Predicting;

/// Of a set whose instructions are counted: enough for every path, little enough for a processor in software.
const COUNTED_BYTES: usize = 6 << 20;

/// More than there are lines in what is counted and what comes before.
const COUNTED_HOSTS_MAX: usize = 50_000;

/// Sets for the parser alone: those in which it has the most to do, not the sink of the bench.
const PARSED: [&str; 6] = ["cpu", "devops", "iot", "logs", "escapes", "doubles"];

/// Body to columns of every set, the parser alone, and the judge.
pub fn counts() -> impl Iterator<Item = Count> {
    let columns = DATA_SETS.iter().map(|set| Count { stage: "columns", input: set.name });
    let parsed = PARSED.iter().map(|input| Count { stage: "parse", input });
    columns.chain(parsed).chain([Count { stage: "judge", input: "cpu" }])
}

/// Performs the stage once, with a sink that knows as many bytes of lines already, as between two seals of a node.
pub fn count(count: Count, kernel: Kernel) {
    let set = DataSet::named(count.input).unwrap().with_hosts_at_most(COUNTED_HOSTS_MAX);
    let mut stream = set.stream();
    let before = set.next_bytes(&mut stream, COUNTED_BYTES);
    let bodies = set.next_bytes(&mut stream, COUNTED_BYTES);
    let points = match count.stage {
        "columns" => {
            let mut shard = Shard::new();
            shard.columns_between_seals(&before, kernel);
            counted(|| shard.columns_between_seals(&bodies, kernel))
        }
        "parse" => {
            let mut sink = Predicting::new();
            parse_into(&mut sink, &before, kernel);
            counted(|| parse_into(&mut sink, &bodies, kernel))
        }
        _ => judge(&bodies, kernel),
    };
    assert_eq!(points, bodies.lines as u64);
    count.report(bodies.lines, "line", bodies.bytes);
}

/// Bodies whose first line is bad, so that all others are judged one by one, for the answer to say which of them are bad, too. Returns the good lines.
fn judge(bodies: &Bodies, kernel: Kernel) -> u64 {
    let mut lines = 0;
    for body in bodies.padded() {
        let mut bytes = [b"bad\n", body.as_bytes()].concat();
        let judged = Padded::from_vec(&mut bytes);
        match counted(|| parse(judged, options(kernel), &mut Predicting::new())) {
            Outcome::Bad { errors, more: false } if errors.len() == 1 => {}
            other => panic!("one line is bad: {other:?}"),
        }
        lines += memchr::memchr_iter(b'\n', body.as_bytes()).count() as u64;
    }
    lines
}
