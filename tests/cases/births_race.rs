//! First writes of many connections at once: one type per field wins, for all shards, and every point is where its answer said.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Barrier;

use crate::lake_reader::Value;
use crate::node::{Answer, Node};

const CONNECTIONS: usize = 12;
const FIELDS: usize = 6;
const ROUNDS: usize = 100;

/// A value of each of the five types; `number` can be read back from all but the boolean.
fn value(kind: usize, number: usize) -> (String, &'static str) {
    match kind % 5 {
        0 => (format!("{number}.5"), "float"),
        1 => (format!("{number}i"), "integer"),
        2 => (format!("{number}u"), "unsigned"),
        3 => (format!("\"{number}\""), "string"),
        _ => ("t".to_owned(), "boolean"),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Float(_) => "float",
        Value::Integer(_) => "integer",
        Value::Unsigned(_) => "unsigned",
        Value::String(_) => "string",
        Value::Boolean(_) => "boolean",
    }
}

/// One point per field; the type depends on connection and field, so that every field is fought over.
fn body(connection: usize) -> String {
    let line = |field| {
        let (value, _) = value(connection + field, connection);
        format!("m,c=c{connection},f=f{field} f{field}={value} {connection}\n")
    };
    (0..FIELDS).map(line).collect()
}

/// Sends one body per connection to one bucket, all at once.
fn write_at_once(node: &Node, bucket: &str, bodies: &[String]) -> Vec<Answer> {
    let barrier = Barrier::new(bodies.len());
    std::thread::scope(|scope| {
        let write = |body: &String| {
            let mut client = node.connect();
            let body = body.clone();
            let barrier = &barrier;
            scope.spawn(move || {
                // Everything but the last byte is there before the race begins.
                let length = body.len();
                let head =
                    format!("POST /write?db={bucket} HTTP/1.1\r\nHost: node\r\nContent-Length: {length}\r\n\r\n");
                client.send(head + &body[..length - 1]);
                barrier.wait();
                client.send(&body[length - 1..]);
                client.answer()
            })
        };
        let threads: Vec<_> = bodies.iter().map(write).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// How many points an answer says were dropped.
fn dropped(answer: &Answer) -> usize {
    if answer.status == 204 {
        return 0;
    }
    assert_eq!(answer.status, 422, "{answer:?}");
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("field type conflict"), "{message}");
    message.rsplit_once(" dropped=").unwrap().1.parse().unwrap()
}

fn one_type_per_field_wins(shards: &str) {
    let node = Node::start(&["--shards", shards]);
    let bodies: Vec<String> = (0..CONNECTIONS).map(body).collect();
    let rounds: Vec<Vec<Answer>> =
        (0..ROUNDS).map(|round| write_at_once(&node, &format!("race{round}"), &bodies)).collect();
    let points_written = node.metric("ringest_points_total");
    // What the race decided is in the log.
    let node = Node::start_in(node.kill(), &["--shards", "1"]);
    let lake = node.lake();
    let mut stored = 0;
    for (round, answers) in rounds.iter().enumerate() {
        let rows = lake.rows(&format!("race{round}"), "m");
        let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
        let mut points = BTreeSet::new();
        for row in &rows {
            assert_eq!(row.fields.len(), 1, "{row}");
            let (name, value) = row.fields.first_key_value().unwrap();
            let kind = kind_of(value);
            assert_eq!(*kinds.entry(name).or_insert(kind), kind, "round {round}: {row}");
            assert!(points.insert(row.to_string()), "round {round}: {row} twice");
        }
        assert_eq!(kinds.len(), FIELDS, "round {round}");
        for (connection, answer) in answers.iter().enumerate() {
            let fits = |field: &usize| value(connection + field, 0).1 == kinds[&*format!("f{field}")];
            let expected: Vec<usize> = (0..FIELDS).filter(fits).collect();
            assert_eq!(FIELDS - dropped(answer), expected.len(), "round {round}, connection {connection}: {answer:?}");
            for field in &expected {
                let written = match value(connection + field, connection).0.as_str() {
                    "t" => "true".to_owned(),
                    written => written.to_owned(),
                };
                let point = format!("c=c{connection},f=f{field} f{field}={written} {connection}");
                assert!(points.contains(&point), "round {round}: {point} is not in the lake");
            }
            stored += expected.len();
        }
        let told: usize = answers.iter().map(|answer| FIELDS - dropped(answer)).sum();
        assert_eq!(rows.len(), told, "round {round}");
    }
    assert_eq!(points_written, stored as f64);
    assert!(rounds.iter().flatten().any(|answer| answer.status == 422));
    assert!(rounds.iter().flatten().any(|answer| answer.status == 204 || dropped(answer) < FIELDS));
}

#[test]
fn one_type_per_field_wins_with_two_shards() {
    one_type_per_field_wins("2");
}

#[test]
fn one_type_per_field_wins_with_three_shards() {
    one_type_per_field_wins("3");
}

#[test]
fn equal_first_writes_all_succeed_and_make_one_bucket() {
    let node = Node::start(&["--shards", "3"]);
    for round in 0..ROUNDS {
        let line = |connection| format!("m,a=1,b=2,n={connection} x=1,y=2i,z=\"3\" 1\nm,b=2,c=3 x=4 {connection}\n");
        let bodies: Vec<String> = (0..CONNECTIONS).map(line).collect();
        let answers = write_at_once(&node, &format!("same{round}"), &bodies);
        assert!(answers.iter().all(|answer| answer.status == 204), "{answers:?}");
    }
    let lake = node.lake();
    assert_eq!(lake.buckets().len(), ROUNDS);
    for round in 0..ROUNDS {
        let bucket = format!("same{round}");
        assert_eq!(lake.rows(&bucket, "m").len(), 2 * CONNECTIONS);
        let files = lake.files_of(&bucket, "m");
        assert_eq!(files.len(), 1, "the shards' rows are merged");
        let columns: BTreeSet<&str> = files[0].columns.iter().map(String::as_str).collect();
        assert_eq!(columns, BTreeSet::from(["time", "time_ns_rem", "a", "b", "c", "n", "x", "y", "z"]));
        assert!(files[0].names.is_empty(), "a column was born twice: {:?}", files[0].names);
    }
    assert_eq!(std::fs::read_dir(node.data_dir().join("lake")).unwrap().count(), ROUNDS);
}

#[test]
fn new_columns_of_many_connections_are_all_kept() {
    let node = Node::start(&["--shards", "3"]);
    for round in 0..ROUNDS {
        let line = |connection| {
            format!("m,c=c{connection},t{connection}=x f{connection}={round},shared={connection}i {round}\n")
        };
        let bodies: Vec<String> = (0..CONNECTIONS).map(line).collect();
        let answers = write_at_once(&node, "columns", &bodies);
        assert!(answers.iter().all(|answer| answer.status == 204), "{answers:?}");
    }
    let mut expected = Vec::new();
    for (round, connection) in (0..ROUNDS).flat_map(|round| (0..CONNECTIONS).map(move |connection| (round, connection)))
    {
        let fields = format!("f{connection}={round}.0,shared={connection}i");
        expected.push(format!("c=c{connection},t{connection}=x {fields} {round}"));
    }
    expected.sort();
    assert_eq!(node.lake().lines("columns", "m"), expected);
}
