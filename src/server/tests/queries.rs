//! `/query` beside a log that is slow, has failed, or is not there yet.

use super::*;

/// What a connection does with a query, up to its answer.
fn ask(shard: &Shard, query: &str) -> Outcome {
    let query = query.replace(' ', "+");
    let mut head = format!("POST /query?q={query} HTTP/1.1\r\nHost: node\r\n\r\n").into_bytes();
    let mut state = http::State::new(shard.limits);
    assert!(matches!(state.advance(&mut head), Ok(Event::Head)));
    let Admit::Read(plan) = shard.ingest.borrow_mut().admit(state.head()) else { panic!("the head is refused") };
    let stamp = Stamp { now_ns: now_ns(), epoch: shard.follow_epoch() };
    shard.ingest.borrow_mut().run(&plan, Padded::from_vec(&mut Vec::new()), stamp, Caller::default())
}

/// Status, body, and what must be durable before they are sent.
fn told(shard: &Shard, query: &str) -> (u16, String, u64) {
    let outcome = ask(shard, query);
    let Outcome::Reply { response, position } = outcome else { panic!("{outcome:?}") };
    (response.status.code(), String::from_utf8(response.body).unwrap(), position)
}

const DONE: &str = "{\"results\":[{\"statement_id\":0}]}\n";

#[test]
fn who_creates_a_bucket_that_is_not_durable_yet_waits_for_its_birth_too() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::new(|subject| if matches!(subject, Subject::Group(_)) { Fault::Hold } else { Fault::None });
    let (node, shards) = node(dir.path(), &faults);
    let (status, body, first) = told(&shards[0], "CREATE DATABASE d");
    assert_eq!((status, &*body), (200, DONE));
    faults.wait_held();
    let (_, body, second) = told(&shards[1], "CREATE DATABASE d");
    assert_eq!(body, DONE);
    let log = node.context.keeper.log().unwrap();
    assert!(second > first && first > 0 && log.durable() < first, "{first} {second}");
    faults.set_rule(|_| Fault::None);
    faults.release();
    wait_durable(&node, second);
    assert_eq!(told(&shards[0], "SHOW DATABASES").2, 0, "what only reads waits for nothing");

    // The log alone brings the bucket back, and the two records are one birth.
    let copy = cut(dir.path(), usize::MAX);
    let replayed = open(copy.path());
    assert!(recovery::run(&replayed, copy.path(), &never()).unwrap().is_none());
    let buckets = replayed.context.catalog.buckets();
    assert_eq!(buckets.iter().map(|bucket| &*bucket.name).collect::<Vec<_>>(), ["d"]);
}

#[test]
fn while_the_log_is_replayed_databases_are_shown_and_none_is_created() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path());
    let shard = Shard::new(Arc::clone(&node), 0, [0; 8]);
    let (status, body, _) = told(&shard, "CREATE DATABASE d");
    assert_eq!(status, 503, "{body}");
    let (status, body, _) = told(&shard, "SHOW DATABASES");
    assert!(status == 200 && !body.contains("values"), "{body}");
}

#[test]
fn a_bucket_that_the_log_may_bring_is_not_refused_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let flags = vec![
        ("data-dir", dir.path().to_str().unwrap().to_owned()),
        ("shards", "2".to_owned()),
        ("auto-create-buckets", "false".to_owned()),
    ];
    let config = config::load(&ServeArgs { config: None, flags }).unwrap().config;
    let data_dir = DataDir::lock(&config.data_dir).unwrap();
    let node = Arc::new(Node::open(config, &data_dir, unbounded().0).unwrap());
    let refused = |shard: &Shard| {
        let mut head = b"POST /write?db=d HTTP/1.1\r\nHost: node\r\nContent-Length: 1\r\n\r\n".to_vec();
        let mut state = http::State::new(shard.limits);
        assert!(matches!(state.advance(&mut head), Ok(Event::Head)));
        match shard.ingest.borrow_mut().admit(state.head()) {
            Admit::Reply(response) => response.status.code(),
            Admit::Read(_) => 0,
        }
    };
    assert_eq!(refused(&Shard::new(Arc::clone(&node), 0, [0; 8])), 503);
    let faults = Faults::new(|_| Fault::None);
    let (_node, shards) = with_log(node, dir.path(), &faults);
    assert_eq!(refused(&shards[0]), 404);
    assert_eq!(told(&shards[0], "CREATE DATABASE d").1, DONE);
    assert_eq!(refused(&shards[1]), 0);
}

#[test]
fn nothing_is_created_when_the_log_has_failed() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::new(|subject| match subject {
        Subject::Group(_) => Fault::Fail(Errno::IO),
        _ => Fault::None,
    });
    let (node, shards) = node(dir.path(), &faults);
    let (_, _, position) = told(&shards[0], "CREATE DATABASE a");
    go_on(&shards, || node.log_failure().is_some());
    assert!(node.context.keeper.log().unwrap().durable() < position, "its answer never leaves");
    let (status, body, _) = told(&shards[0], "CREATE DATABASE b");
    assert_eq!(status, 503, "{body}");
    assert!(node.context.catalog.bucket("b").is_none());
}

#[test]
fn without_memory_nothing_is_created_and_it_may_be_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::new(|_| Fault::None);
    let (node, shards) = node(dir.path(), &faults);
    let mut all = Reservation::new(&node.context.budget, Consumer::OpenTables);
    all.set(node.context.budget.bytes_max());
    assert!(matches!(ask(&shards[0], "CREATE DATABASE d"), Outcome::Busy(_)));
    assert!(node.context.catalog.bucket("d").is_none());
    drop(all);
    assert_eq!(told(&shards[0], "CREATE DATABASE d").1, DONE);
}
