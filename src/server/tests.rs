//! Shards, log and lake together, on a disk that is held or fails at a chosen moment. No connection, and no ring: a test does what the
//! tasks of a shard do, in the order that it wants.
#![allow(clippy::unwrap_used)]

mod queries;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossbeam::channel::{bounded, never, unbounded};
use rustix::io::Errno;

use super::node::{Node, now_ns};
use super::recovery;
use super::shard::Shard;
use super::signal::Stop;
use super::{Crowd, connections_that_fit};
use crate::budget::{Consumer, Reservation};
use crate::catalog::COLUMNS_MAX;
use crate::config::{self, ServeArgs};
use crate::data_dir::DataDir;
use crate::http::{self, Event};
use crate::wal::{Fault, Faults, Options, Subject, Wal};
use crate::write::{Admit, Caller, Keeping, Lack, Outcome, Padded, Stamp};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

fn open(dir: &Path) -> Arc<Node> {
    open_with(dir, "inf")
}

fn open_with(dir: &Path, retention: &str) -> Arc<Node> {
    let flags = vec![
        ("data-dir", dir.to_str().unwrap().to_owned()),
        ("shards", "2".to_owned()),
        ("default-retention", retention.to_owned()),
    ];
    let config = config::load(&ServeArgs { config: None, flags }).unwrap().config;
    let data_dir = DataDir::lock(&config.data_dir).unwrap();
    Arc::new(Node::open(config, &data_dir, unbounded().0).unwrap())
}

/// A node whose log is written on `faults`, and its two shards.
fn node(dir: &Path, faults: &Arc<Faults>) -> (Arc<Node>, [Shard; 2]) {
    with_log(open(dir), dir, faults)
}

fn with_log(node: Arc<Node>, dir: &Path, faults: &Arc<Faults>) -> (Arc<Node>, [Shard; 2]) {
    let options = Options {
        dir: dir.join("wal"),
        note: dir.join("state/log"),
        owner: node.lake.node_id(),
        bytes_max: 64 << 20,
        segment_bytes: 16 << 20,
        disk_reserve: 0,
        sync: true,
    };
    let (watches, context) = (Arc::clone(&node.watches), &node.context);
    let moved = Box::new(move || watches.log_moved());
    let log = Wal::start_faulty(faults, options, &context.budget, &context.metrics, moved).unwrap();
    context.keeper.open(Keeping::Log(log));
    let shards = [0, 1].map(|index| Shard::new(Arc::clone(&node), index, [0; 8]));
    (node, shards)
}

/// What a connection does with a complete request; status and position in the log.
fn write(shard: &Shard, lines: &str) -> (u16, u64) {
    write_at(shard, lines, now_ns())
}

fn write_at(shard: &Shard, lines: &str, now_ns: i64) -> (u16, u64) {
    let head = b"POST /write?db=d HTTP/1.1\r\nHost: node\r\nContent-Length: 1\r\n\r\n";
    let mut head = head.to_vec();
    let mut state = http::State::new(shard.limits);
    assert!(matches!(state.advance(&mut head), Ok(Event::Head)));
    let Admit::Read(plan) = shard.ingest.borrow_mut().admit(state.head()) else { panic!("the head is refused") };
    let epoch = shard.follow_epoch();
    let mut body = lines.as_bytes().to_vec();
    let outcome =
        shard.ingest.borrow_mut().run(&plan, Padded::from_vec(&mut body), Stamp { now_ns, epoch }, Caller::default());
    let Outcome::Reply { response, position } = outcome else { panic!("{outcome:?}") };
    shard.wrote(position, true);
    (response.status.code(), position)
}

/// What the shards' tasks do when they are woken, until `done`.
fn leave_epoch(shard: &Shard) {
    shard.follow_epoch();
}

#[track_caller]
fn go_on(shards: &[Shard], done: impl Fn() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !done() {
        shards.iter().for_each(Shard::go_on);
        std::thread::sleep(Duration::from_millis(1));
        assert!(Instant::now() < give_up, "it does not happen");
    }
}

fn wait_durable(node: &Node, position: u64) {
    let log = node.context.keeper.log().unwrap();
    let give_up = Instant::now() + PATIENCE;
    while log.durable() < position {
        std::thread::sleep(Duration::from_micros(200));
        assert!(Instant::now() < give_up, "{position} does not become durable");
    }
}

fn lake_files(dir: &Path) -> usize {
    let mut folders = vec![dir.join("lake")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files += 1 }
        }
    }
    files
}

#[test]
fn an_epoch_whose_request_is_not_durable_is_not_published() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::new(|subject| if matches!(subject, Subject::Group(_)) { Fault::Hold } else { Fault::None });
    let (node, shards) = node(dir.path(), &faults);
    // A request over two tables and two days; its group is with the disk, which does not answer.
    assert_eq!(write(&shards[0], "a f=1 1\nb f=2 1600000000000000000").0, 204);
    faults.wait_held();
    let left = node.flush();
    shards.iter().for_each(leave_epoch);
    let progress = node.lake.progress();
    for _ in 0..50 {
        shards.iter().for_each(Shard::go_on);
        std::thread::sleep(Duration::from_millis(2));
        assert!(progress.borrow().committed < left, "published before its request is durable");
        assert_eq!(lake_files(dir.path()), 0);
    }
    faults.set_rule(|_| Fault::None);
    faults.release();
    go_on(&shards, || progress.borrow().committed >= left);
    assert_eq!(lake_files(dir.path()), 2);
}

#[test]
fn what_never_becomes_durable_is_not_published_and_not_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::new(|_| Fault::None);
    let (node, shards) = node(dir.path(), &faults);
    let (_, first) = write(&shards[0], "a f=1 1");
    wait_durable(&node, first);
    faults.set_rule(|subject| match subject {
        Subject::Group(_) => Fault::Fail(Errno::IO),
        _ => Fault::None,
    });
    let (status, second) = write(&shards[1], "a f=2 2");
    assert_eq!(status, 204, "that is what would be answered");
    go_on(&shards, || node.log_failure().is_some());
    assert_eq!(node.context.keeper.log().unwrap().durable(), first);
    assert!(second > first);
    // The epoch has a part that may be published and one that may not: so it is not.
    let left = node.flush();
    shards.iter().for_each(leave_epoch);
    for _ in 0..30 {
        shards.iter().for_each(Shard::go_on);
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(node.lake.progress().borrow().committed < left);
    assert_eq!(lake_files(dir.path()), 0);
    drop(shards);
    let finished = Arc::into_inner(node).unwrap().lake.finish(Instant::now() + PATIENCE);
    assert!(finished.is_err(), "a part of an epoch is no epoch");
    assert_eq!(lake_files(dir.path()), 0);
}

/// The data directory after a power cut that kept the first `groups` groups of the log.
fn cut(dir: &Path, groups: usize) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for folder in ["state", "wal"] {
        fs::create_dir(copy.path().join(folder)).unwrap();
        for entry in fs::read_dir(dir.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, copy.path().join(folder).join(path.file_name().unwrap())).unwrap();
        }
    }
    let mut paths: Vec<_> = fs::read_dir(copy.path().join("wal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut bytes = fs::read(&paths[0]).unwrap();
    let begins = (1..bytes.len() / 4096).map(|block| block * 4096).filter(|at| bytes[*at..].starts_with(b"RGRP"));
    if let Some(at) = begins.clone().nth(groups) {
        bytes[at..].fill(0);
    }
    fs::write(&paths[0], bytes).unwrap();
    copy
}

/// A frame never stands before the births that it relies on, whichever shard bore them: every beginning of the log can be replayed.
#[test]
fn every_beginning_of_the_log_replays_though_shards_use_each_others_columns() {
    let dir = tempfile::tempdir().unwrap();
    // Each group is held until the next records are queued: so groups end at all sorts of places.
    let faults = Faults::new(|_| Fault::None);
    let (node, shards) = node(dir.path(), &faults);
    let mut frames = 0;
    for round in 0..6 {
        for shard in [round % 2, (round + 1) % 2] {
            // The first shard bears the column, the second finds it in the catalog and relies on it.
            let (status, position) = write(&shards[shard], &format!("m,t{round}=x f{round}={frames}i {frames}"));
            assert_eq!(status, 204);
            frames += 1;
            wait_durable(&node, position);
        }
    }
    let whole = crate::wal::inspect(&dir.path().join("wal"), None, false).unwrap();
    assert_eq!(whole.records, 6 + frames, "one record of births a round");
    let mut seen = BTreeSet::new();
    for groups in 0..=whole.groups as usize {
        let copy = cut(dir.path(), groups);
        let found = crate::wal::inspect(&copy.path().join("wal"), None, false).unwrap();
        let requests: u64 = found.segments.iter().map(|segment| segment.tally.requests).sum();
        let replayed = open(copy.path());
        assert!(recovery::run(&replayed, copy.path(), &never()).unwrap().is_none(), "{groups} groups");
        assert_eq!(replayed.context.metrics.rows_written.get(), requests, "{groups} groups");
        seen.insert(requests);
    }
    assert_eq!(seen.len() as u64, frames + 1, "the log was cut between any two requests");
}

/// What is too old by now was not so when it was taken: replay judges nothing.
#[test]
fn a_point_that_has_become_too_old_since_it_was_taken_is_replayed() {
    const HOUR_NS: i64 = 3_600_000_000_000;
    let dir = tempfile::tempdir().unwrap();
    let (node, shards) = with_log(open_with(dir.path(), "1h"), dir.path(), &Faults::new(|_| Fault::None));
    let (status, position) = write_at(&shards[0], &format!("m f=1 {}", 1_000 * HOUR_NS), 1_000 * HOUR_NS + HOUR_NS / 2);
    assert_eq!(status, 204);
    wait_durable(&node, position);
    let copy = cut(dir.path(), usize::MAX);
    let replayed = open_with(copy.path(), "1h");
    assert!(recovery::run(&replayed, copy.path(), &never()).unwrap().is_none());
    assert_eq!(replayed.context.metrics.rows_written.get(), 1);
}

/// What was taken once is not refused because the limit is lower now.
#[test]
fn a_replay_goes_over_the_limit_of_memory_when_nobody_can_give_any_back() {
    let dir = tempfile::tempdir().unwrap();
    let (node, shards) = node(dir.path(), &Faults::new(|_| Fault::None));
    let (_, position) = write(&shards[0], "m f=1 1");
    wait_durable(&node, position);
    let copy = cut(dir.path(), usize::MAX);
    let replayed = open(copy.path());
    let budget = &replayed.context.budget;
    let mut all = Reservation::new(budget, Consumer::Bodies);
    all.set(budget.bytes_max());
    assert!(recovery::run(&replayed, copy.path(), &never()).unwrap().is_none());
    assert_eq!(replayed.context.metrics.rows_written.get(), 1);
}

/// What tables have kept over a seal is memory like any other: it goes when a request finds no room.
#[test]
fn kept_series_are_forgotten_when_a_request_needs_the_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (node, shards) = node(dir.path(), &Faults::new(|_| Fault::None));
    let kept = || node.context.budget.held_by(Consumer::KeptSeries);
    let lines: String = (0..1_000).map(|host| format!("m,host=h{host} f=1 1\n")).collect();
    let flush = || {
        node.flush();
        shards.iter().for_each(leave_epoch);
    };
    write(&shards[0], &lines);
    flush();
    assert!(kept() > 0);
    let before = kept();
    write(&shards[1], &lines);
    flush();
    assert!(kept() > before, "each shard knows its own");
    // A log that waits for its next segment needs no memory.
    let current = node.epochs.current();
    node.flush_for_room(Lack::Log);
    assert_eq!(node.epochs.current(), current);
    node.flush_for_room(Lack::Memory);
    assert!(node.epochs.current() > current);
    shards.iter().for_each(leave_epoch);
    assert_eq!(kept(), 0);
    // Nothing is left that a flush would give back.
    let current = node.epochs.current();
    node.flush_for_room(Lack::Memory);
    assert_eq!(node.epochs.current(), current);
    // A flush in its time keeps them again.
    write(&shards[0], &lines);
    flush();
    assert!(kept() > 0);
}

/// It tells of a type, whose birth may not be durable yet. So it waits for the log, as the answer to that birth does, and stands in it.
#[test]
fn a_422_that_dropped_every_point_waits_for_the_log_too() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::new(|subject| if matches!(subject, Subject::Group(_)) { Fault::Hold } else { Fault::None });
    let (node, shards) = node(dir.path(), &faults);
    let (_, birth) = write(&shards[0], "m f=1 1");
    faults.wait_held();
    let (status, position) = write(&shards[1], "m f=1i 1");
    assert_eq!(status, 422);
    assert!(position > birth && node.context.keeper.log().unwrap().durable() < birth, "{position}");
    faults.set_rule(|_| Fault::None);
    faults.release();
    wait_durable(&node, position);
    let found = crate::wal::inspect(&dir.path().join("wal"), None, false).unwrap();
    assert_eq!(found.segments.iter().map(|segment| segment.tally.requests).sum::<u64>(), 2);
}

#[test]
fn who_finds_no_memory_is_told_when_the_lake_will_have_made_some() {
    let dir = tempfile::tempdir().unwrap();
    let (node, shards) = node(dir.path(), &Faults::new(|_| Fault::None));
    let retry_after = || {
        let headers = shards[0].ingest.borrow().overloaded().headers;
        headers.into_iter().find(|(name, _)| *name == "Retry-After").map(|(_, seconds)| seconds)
    };
    let mut sealed = Reservation::new(&node.context.budget, Consumer::SealedParts);
    sealed.set(45_000_000);
    assert_eq!(retry_after().as_deref(), Some("2"), "nothing was published yet");
    node.context.metrics.drained(20_000_000, Duration::from_secs(2));
    assert_eq!(retry_after().as_deref(), Some("5"));
    sealed.set(4_000_000_000);
    assert_eq!(retry_after().as_deref(), Some("60"));
    sealed.set(0);
    assert_eq!(retry_after().as_deref(), Some("1"));
}

/// Two shards whose tables do not know each other's columns bear together no more than a table may have: the later point is dropped, and no
/// replay judges anew.
#[test]
fn two_shards_bear_no_more_columns_than_a_table_may_have() {
    let dir = tempfile::tempdir().unwrap();
    let (node, shards) = node(dir.path(), &Faults::new(|_| Fault::None));
    let each = COLUMNS_MAX / 2 + 100;
    for (index, shard) in shards.iter().enumerate() {
        // Opened before the other's columns are born.
        assert_eq!(write(shard, &format!("m first{index}=1 {index}")).0, 204);
    }
    for (index, shard) in shards.iter().enumerate() {
        let fields: Vec<String> = (0..each).map(|field| format!("f{index}_{field}=1")).collect();
        let (status, position) = write(shard, &format!("m {} {}", fields.join(","), index + 10));
        assert_eq!(status, [204, 422][index]);
        wait_durable(&node, position);
    }
    let copy = cut(dir.path(), usize::MAX);
    let replayed = open(copy.path());
    assert!(recovery::run(&replayed, copy.path(), &never()).unwrap().is_none());
    assert_eq!(replayed.context.metrics.rows_written.get(), 3);
    assert!(replayed.epochs.current() > replayed.lake.progress().borrow().committed, "writes lie above the replay");
}

/// A stop that comes while a part of the log is replayed must not make that part the whole.
#[test]
fn a_replay_that_was_stopped_commits_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (node, shards) = node(dir.path(), &Faults::new(|_| Fault::None));
    let (_, position) = write(&shards[0], "m f=1 1");
    wait_durable(&node, position);
    let copy = cut(dir.path(), usize::MAX);
    let stopping = open(copy.path());
    let (sender, signals) = bounded(1);
    sender.send(Stop::default()).unwrap();
    let before = stopping.lake.progress().borrow().committed;
    // Whether the stop is seen before or after the record is a race; the log is whole in the lake, or nothing of it is.
    if recovery::run(&stopping, copy.path(), &signals).unwrap().is_some() {
        let committed = stopping.lake.progress().borrow().committed;
        assert!(committed == before || stopping.context.metrics.rows_written.get() == 1, "{committed}");
        assert!(!stopping.context.keeper.is_open());
    }
    drop(stopping);
    let again = open(copy.path());
    let found = crate::wal::inspect(&copy.path().join("wal"), None, false).unwrap();
    let stopped = OnceLock::from(Stop::default());
    let committed = again.lake.committed();
    let epoch = again.epoch_above(found.epoch_max);
    recovery::replay_until(&again, &found, epoch, &stopped).unwrap();
    assert_eq!(again.lake.progress().borrow().committed, committed, "a replay that was stopped is finished");
}

#[test]
fn connections_leave_files_for_the_log_and_the_lake() {
    let fit = |descriptors_max| {
        let Crowd { taken, turned_away } = connections_that_fit(descriptors_max, 2);
        (taken, turned_away)
    };
    assert_eq!(fit(20_000), (20_000 - 256 - 256 - 16, 256));
    assert_eq!(fit(600), (246, 82));
    assert_eq!(fit(128), (48, 16));
    assert_eq!(fit(1), (1, 0));
}
