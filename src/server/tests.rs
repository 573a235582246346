//! Shards, log and lake together, on a disk that is held or fails at a chosen moment. No connection, and no ring: a test does what the
//! tasks of a shard do, in the order that it wants.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{never, unbounded};
use rustix::io::Errno;

use super::lock::DataDir;
use super::node::{Node, now_ns};
use super::recovery;
use super::shard::Shard;
use crate::config::{self, ServeArgs};
use crate::http::{self, Event};
use crate::wal::{Fault, Faults, Options, Subject, Wal};
use crate::write::{Admit, Keeping, Outcome, Padded, Stamp};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

fn open(dir: &Path) -> Arc<Node> {
    let flags = vec![
        ("data-dir", dir.to_str().unwrap().to_owned()),
        ("shards", "2".to_owned()),
        ("default-retention", "inf".to_owned()),
    ];
    let config = config::load(&ServeArgs { config: None, flags }).unwrap().config;
    let data_dir = DataDir::lock(&config.data_dir).unwrap();
    Arc::new(Node::open(config, &data_dir, unbounded().0).unwrap())
}

/// A node whose log is written on `faults`, and its two shards.
fn node(dir: &Path, faults: &Arc<Faults>) -> (Arc<Node>, [Shard; 2]) {
    let node = open(dir);
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
    let head = b"POST /write?db=d HTTP/1.1\r\nHost: node\r\nContent-Length: 1\r\n\r\n";
    let mut head = head.to_vec();
    let mut state = http::State::new(shard.limits);
    assert!(matches!(state.advance(&mut head), Ok(Event::Head)));
    let Admit::Read(plan) = shard.ingest.borrow_mut().admit(state.head()) else { panic!("the head is refused") };
    let epoch = shard.follow_epoch();
    let mut body = lines.as_bytes().to_vec();
    let outcome = shard.ingest.borrow_mut().run(&plan, Padded::from_vec(&mut body), Stamp { now_ns: now_ns(), epoch });
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
