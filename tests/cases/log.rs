//! The log as clients see it: what was answered survives a kill, with the verdict that it got, whatever the next life is like.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::answers::expect_row;
use crate::lake_reader::{Lake, parquet_files};
use crate::node::{Node, PATIENCE, gzip, ringest};

/// Nothing is published unless a test asks for it, so that everything stands in the log.
const LONG: [&str; 2] = ["--flush-interval", "1h"];

fn start(args: &[&str]) -> Node {
    Node::start(&[&LONG, args].concat())
}

/// Kills the node and starts another on its data.
fn restart(node: Node, args: &[&str]) -> Node {
    Node::start_in(node.kill(), &[&LONG, args].concat())
}

fn segments(data_dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(data_dir.join("wal")).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let node = start(&["--shards", "2"]);
    node.must_write(
        "d",
        "m,t=a f=1,i=2i,u=3u,b=t,s=\"four\" 1\nn f=1 1600000000000000000\nm,t=b f=2 1600000000000000000",
    );
    let mut client = node.connect();
    let body = gzip(b"m,t=gzip f=5 7\nm,t=gzip g=5 7");
    client.request_with("POST", "/write?db=d/rp&precision=s", "Content-Encoding: gzip\r\n", &body);
    assert_eq!(client.answer().status, 204);
    // A point without a time gets that of its receipt, cut to the precision; replay must not give it another.
    client.request("POST", "/write?db=now&precision=h", b"m f=1");
    assert_eq!(client.answer().status, 204);
    let now_ns = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64;

    let node = restart(node, &[]);
    let lake = Lake::read(node.data_dir());
    assert_eq!(lake.lines("d", "m"), ["t=a b=true,f=1.0,i=2i,s=\"four\",u=3u 1", "t=b f=2.0 1600000000000000000"]);
    assert_eq!(lake.lines("d", "n"), ["f=1.0 1600000000000000000"]);
    assert_eq!(lake.lines("d/rp", "m"), ["t=gzip f=5.0,g=5.0 7000000000"]);
    let time_ns = lake.rows("now", "m")[0].time_ns;
    assert_eq!(time_ns % 3_600_000_000_000, 0);
    assert!((now_ns - 2 * 3_600_000_000_000..=now_ns).contains(&time_ns), "{time_ns} of {now_ns}");
    // Replayed once and not again.
    let files = parquet_files(node.data_dir());
    let node = restart(node, &[]);
    assert_eq!(parquet_files(node.data_dir()), files);
}

#[test]
fn a_lone_request_waits_for_nobody_and_a_crowd_is_answered_too() {
    let node = start(&[]);
    let mut client = node.connect();
    let began = Instant::now();
    for number in 0..20 {
        client.request("POST", "/write?db=d", format!("m f={number} {number}").as_bytes());
        assert_eq!(client.answer().status, 204);
    }
    assert!(began.elapsed() < PATIENCE / 10, "{:?} for 20 requests in turn", began.elapsed());
    // Many on one connection at once: answered in order, each with its place in the log.
    let mut pipelined = node.connect();
    (0..100).for_each(|number| pipelined.request("POST", "/write?db=d", format!("p f={number}i {number}").as_bytes()));
    (0..100).for_each(|_| assert_eq!(pipelined.answer().status, 204));
    let node = restart(node, &[]);
    let lake = Lake::read(node.data_dir());
    assert_eq!((lake.rows("d", "m").len(), lake.rows("d", "p").len()), (20, 100));
}

/// The points of a request that the answer called dropped stay so, and the others are there: replay does not judge.
#[test]
fn a_422_is_replayed_with_the_verdict_that_it_got() {
    let node = start(&["--default-retention", "1h"]);
    let now_ns = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    // The bucket's retention is its own for ever; the field's type is decided by the first line.
    let body = format!("m f=1 {now_ns}\nm f=2 1\nm f=3i {now_ns}\nm,t=x g=4 {now_ns}\nm h=5 2\nm,t=y f=6 {now_ns}");
    let answer = node.write("d", &body);
    assert_eq!(answer.status, 422, "{answer:?}");
    assert!(answer.text().contains("dropped=3"), "{answer:?}");
    // All dropped: answered, so the type that it met must be there for ever.
    assert_eq!(node.write("d", &format!("m f=7i {now_ns}")).status, 422);
    let expected = [format!("f=1.0 {now_ns}"), format!("t=x g=4.0 {now_ns}"), format!("t=y f=6.0 {now_ns}")];
    let node = restart(node, &["--default-retention", "inf"]);
    let lake = Lake::read(node.data_dir());
    assert_eq!(lake.lines("d", "m"), expected);
    assert!(
        lake.files[0].columns.iter().all(|column| !format!("{column:?}").contains("\"h\"")),
        "a dropped point bore a column"
    );
    // A bucket that takes points of any age, in a life that would not.
    node.must_write("e", "m f=1 1");
    let node = restart(node, &["--default-retention", "1h"]);
    assert_eq!(Lake::read(node.data_dir()).lines("e", "m"), ["f=1.0 1"]);
}

#[test]
fn a_422_that_dropped_every_point_keeps_the_type_that_it_met() {
    let node = start(&["--shards", "2"]);
    // The type is born by a request that nobody has been answered yet when the others meet it: they all wait for the same log.
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let mut client = node.connect();
            let value = if number % 2 == 0 { "1" } else { "1i" };
            client.request("POST", "/write?db=d", format!("m f={value} {number}").as_bytes());
            client
        })
        .collect();
    let statuses: Vec<u16> = clients.into_iter().map(|mut client| client.answer().status).collect();
    let node = restart(node, &[]);
    let lake = Lake::read(node.data_dir());
    let written = lake.rows("d", "m").len();
    assert_eq!(written, statuses.iter().filter(|status| **status == 204).count(), "{statuses:?}");
    let is_float = statuses[0] == 204;
    let other = if is_float { "m f=1i 9" } else { "m f=1 9" };
    assert_eq!(node.write("d", other).status, 422);
}

#[test]
fn the_next_life_may_have_other_shards_limits_and_memory() {
    let node = start(&["--shards", "3", "--max-body-size", "20MB", "--memory-limit", "2GiB"]);
    let lines: String = (0..150_000).map(|number| format!("m,series=s{number} value={number}i {number}\n")).collect();
    node.must_write("d", &lines);
    for connection in 0..6 {
        node.must_write("d", &format!("n,c=c{connection} f={connection}i 1"));
    }
    // Small as it was sent, and larger than the next life's limit once it is decompressed.
    let mut client = node.connect();
    let body: String = (0..2_000).map(|number| format!("z f=1 {number}\n")).collect();
    client.request_with("POST", "/write?db=d", "Content-Encoding: gzip\r\n", &gzip(body.as_bytes()));
    assert_eq!(client.answer().status, 204);
    let node = restart(
        node,
        &["--shards", "1", "--max-body-size", "1KiB", "--memory-limit", "192MiB", "--wal-size-limit", "32MiB"],
    );
    assert_eq!(node.write("d", &lines).status, 413);
    let lake = Lake::read(node.data_dir());
    let rows = |measurement| lake.rows("d", measurement).len();
    assert_eq!((rows("m"), rows("n"), rows("z")), (150_000, 6, 2_000));
    let node = restart(node, &["--shards", "4", "--durability", "memory"]);
    assert_eq!(node.metric("ringest_acknowledgement{durability=\"memory\"}"), 1.0);
    assert_eq!(Lake::read(node.data_dir()).rows("d", "m").len(), 150_000);
}

/// Births of one shard's request, used by another's at once.
#[test]
fn a_column_born_on_one_shard_is_there_for_the_requests_of_another() {
    let node = start(&["--shards", "3"]);
    let mut clients = node.served(9);
    for round in 0..30 {
        // All bring the same new column, and one of their own.
        for (number, client) in clients.iter_mut().enumerate() {
            let line =
                format!("m{},t{round}=x shared{round}={number}i,own{round}_{number}={number}i {number}", round % 3);
            client.request("POST", "/write?db=d", line.as_bytes());
        }
        clients.iter_mut().for_each(|client| assert_eq!(client.answer().status, 204));
    }
    let node = restart(node, &["--shards", "1"]);
    let lake = Lake::read(node.data_dir());
    let rows: usize = (0..3).map(|table| lake.rows("d", &format!("m{table}")).len()).sum();
    assert_eq!(rows, 30 * 9);
    for row in (0..3).flat_map(|table| lake.rows("d", &format!("m{table}"))) {
        assert_eq!(row.fields.len(), 2, "{row}");
    }
}

/// Registers overwritten field by field from changing connections, over flushes and kills: the last acknowledged value wins.
#[test]
fn the_last_acknowledged_write_of_a_point_wins_over_epochs_and_lives() {
    let mut node = start(&["--shards", "3"]);
    let mut last: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    let mut number = 0;
    for life in 0..4 {
        let mut clients = node.served(7);
        for round in 0..60 {
            for register in 0..3 {
                number += 1;
                let field = number % 4;
                let connection = (number * 5 + round) as usize % clients.len();
                let client = &mut clients[connection];
                client.request("POST", "/write?db=d", format!("r,k=k{register} f{field}={number}i 1").as_bytes());
                assert_eq!(client.answer().status, 204);
                last.insert((register, field), number);
            }
            // Some epochs are published, some only begun, when the node is killed.
            if round % 20 == 13 && life != 2 {
                node.flush();
            }
        }
        node = restart(node, &["--shards", ["2", "1", "4", "3"][life as usize]]);
        let merged = Lake::read(node.data_dir()).merged("d", "r");
        let line = |register: u64| {
            let fields: Vec<String> = (0..4).map(|field| format!("f{field}={}i", last[&(register, field)])).collect();
            format!("k=k{register} {} 1", fields.join(","))
        };
        assert_eq!(merged, (0..3).map(line).collect::<Vec<_>>(), "life {life}");
    }
}

/// One shard has written much more than the others: what another one writes later still wins, within an epoch too.
#[test]
fn the_last_acknowledged_write_of_a_point_wins_whichever_shard_is_the_busiest() {
    let node = start(&["--shards", "3"]);
    let mut clients = node.served(12);
    let mut write = |client: usize, line: String| {
        clients[client].request("POST", "/write?db=d", line.as_bytes());
        assert_eq!(clients[client].answer().status, 204);
    };
    (0..50).for_each(|number| write(0, format!("busy f={number}i {number}")));
    for number in 1..12 {
        write(0, format!("r,k=k{number:02} f=0i 1"));
        write(number, format!("r,k=k{number:02} f={number}i 1"));
    }
    let expected: Vec<String> = (1..12).map(|number| format!("k=k{number:02} f={number}i 1")).collect();
    assert_eq!(node.lake().lines("d", "r"), expected);
}

/// A manifest that ends before its last commit, files of that epoch placed or not yet placed: the state of a node that was killed between
/// intent and commit. The log still holds the epoch.
#[test]
fn a_kill_between_intent_and_commit_at_each_file_doubles_and_loses_nothing() {
    for placed in 0..=3 {
        let node = start(&[]);
        node.must_write("d", "before f=1 1");
        node.flush();
        let before = parquet_files(node.data_dir());
        node.must_write("d", "a f=1 1\nb f=2 1\nb,t=x f=3 1600000000000000000");
        node.must_write("d", "a f=9 1\na,t=y g=4i 2");
        node.flush();
        let dir = node.kill();
        let lake = dir.path().join("lake");
        let manifest = dir.path().join("state/manifest");
        let bytes = fs::read(&manifest).unwrap();
        // The last record is the commit: header of 12 bytes, body of 25.
        fs::write(&manifest, &bytes[..bytes.len() - 37]).unwrap();
        let new: Vec<PathBuf> = parquet_files(dir.path()).difference(&before).cloned().collect();
        assert_eq!(new.len(), 3);
        new.iter().skip(placed).for_each(|file| fs::remove_file(lake.join(file)).unwrap());
        let mut node = Node::start_in(dir, &LONG);
        node.wait_for_log("rolled epoch");
        let lake = Lake::read(node.data_dir());
        assert_eq!(lake.lines("d", "a"), ["f=9.0 1", "t=y g=4i 2"], "{placed} files placed");
        assert_eq!(lake.lines("d", "b"), ["f=2.0 1", "t=x f=3.0 1600000000000000000"], "{placed} files placed");
        assert_eq!(lake.lines("d", "before"), ["f=1.0 1"]);
    }
}

/// The clock of the life before was a day ahead, so its epochs are: what comes now must win all the same.
#[test]
fn a_clock_set_back_by_a_day_does_not_turn_the_order_round() {
    let node = start(&[]);
    node.must_write("d", "m f=1i,g=1i 1");
    let dir = node.kill();
    move_log_ahead(dir.path(), 86_400_000);
    let node = Node::start_in(dir, &LONG);
    node.must_write("d", "m f=2i 1");
    node.flush();
    node.must_write("d", "m f=3i 1");
    let node = restart(node, &[]);
    node.must_write("d", "m h=4i 1");
    node.flush();
    let lake = Lake::read(node.data_dir());
    assert_eq!(lake.merged("d", "m"), ["f=3i,g=1i,h=4i 1"]);
    let epochs: Vec<u64> = lake.files.iter().map(|file| file.epoch).collect();
    assert_eq!(epochs.len(), 4);
}

/// Killed when the replay was committed and its log not removed yet. The clock was set back too: the commit must lie above the log's epochs.
#[test]
fn a_log_whose_replay_was_committed_is_not_published_again() {
    for ahead_ms in [0, 86_400_000] {
        let node = start(&[]);
        node.must_write("d", "m f=1i,g=1i 1");
        let dir = node.kill();
        move_log_ahead(dir.path(), ahead_ms);
        let (wal, kept) = (dir.path().join("wal"), tempfile::tempdir().unwrap());
        copy_folder(&wal, kept.path());
        let node = Node::start_in(dir, &LONG);
        let files = parquet_files(node.data_dir());
        assert_eq!(files.len(), 1);
        let dir = node.kill();
        // Killed between the commit and the removal of the log, of which the note goes first.
        fs::remove_file(dir.path().join("state/log")).unwrap();
        segments(dir.path()).iter().for_each(|segment| fs::remove_file(segment).unwrap());
        copy_folder(kept.path(), &wal);
        let node = Node::start_in(dir, &LONG);
        assert_eq!(parquet_files(node.data_dir()), files, "{ahead_ms} ms ahead");
    }
}

/// Writes the log anew with all epochs `ms` later.
fn move_log_ahead(data_dir: &Path, ms: u64) {
    use ringest::budget::Budget;
    use ringest::metrics::Metrics;
    use ringest::wal::{self, Kind, Options, Record, Wal};
    let dir = data_dir.join("wal");
    let found = wal::inspect(&dir, None, false).unwrap();
    let mut records = Vec::new();
    let (mut reader, mut payload) = (found.reader(), Vec::new());
    while let Some(head) = reader.next(&mut payload).unwrap() {
        records.push((head, payload.clone()));
    }
    assert!(records.len() >= 2, "a birth and a request");
    let owner = found.owner.unwrap();
    wal::remove(&dir).unwrap();
    let (note, bytes_max) = (data_dir.join("state/log"), 1 << 30);
    let options = Options { dir, note, owner, bytes_max, segment_bytes: 64 << 20, disk_reserve: 0, sync: true };
    let budget = Budget::new(1 << 30);
    let log = Wal::start(options, &budget, &Metrics::new(&budget), Box::new(|| ())).unwrap();
    for (index, (head, payload)) in records.iter().enumerate() {
        let is_request = head.kind == Kind::Request as u8;
        let record = Record {
            kind: if is_request { Kind::Request } else { Kind::Births },
            epoch: if is_request { head.epoch + ms } else { 0 },
            births: if is_request { 0 } else { index as u64 + 1 },
            parts: &[payload],
        };
        let mut space = log.reserve(payload.len(), 1).unwrap();
        space.append(record);
    }
    log.finish();
}

/// What a start says that refuses, and that it changes nothing.
fn refusal(data_dir: &Path, args: &[&str]) -> String {
    let before: Vec<(PathBuf, Vec<u8>)> =
        segments(data_dir).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    let files = parquet_files(data_dir);
    let mut serve = ringest("serve");
    serve.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(data_dir).args(args).stderr(Stdio::piped());
    let mut child = serve.spawn().unwrap();
    let give_up = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        // A node that does start runs until it is killed.
        if Instant::now() > give_up {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    let sentence = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{sentence}");
    let after = segments(data_dir).into_iter().map(|path| (path.clone(), fs::read(path).unwrap()));
    assert!(before.into_iter().eq(after), "the log was touched");
    assert_eq!(parquet_files(data_dir), files, "the lake was touched");
    sentence
}

#[test]
fn a_missing_state_folder_beside_a_log_refuses_the_start() {
    let node = start(&[]);
    node.must_write("d", "m f=1 1");
    let dir = node.kill();
    let state = dir.path().join("state");
    let aside = dir.path().join("aside");
    fs::rename(&state, &aside).unwrap();
    let sentence = refusal(dir.path(), &[]);
    assert!(sentence.contains("has data in wal/ but no state/") && sentence.contains("put state/ back"), "{sentence}");
    fs::rename(&aside, &state).unwrap();
    let manifest = state.join("manifest");
    fs::rename(&manifest, &aside).unwrap();
    let sentence = refusal(dir.path(), &[]);
    assert!(sentence.contains("state/manifest is missing") && sentence.contains("Restore state/"), "{sentence}");
    fs::rename(&aside, &manifest).unwrap();
    let node = Node::start_in(dir, &LONG);
    assert_eq!(Lake::read(node.data_dir()).lines("d", "m"), ["f=1.0 1"]);
}

#[test]
fn a_log_of_another_node_refuses_the_start() {
    let [dir, other] = [1, 2].map(|value| {
        let node = start(&[]);
        node.must_write("d", &format!("m f={value} 1"));
        node.kill()
    });
    let (wal, aside) = (dir.path().join("wal"), dir.path().join("aside"));
    fs::rename(&wal, &aside).unwrap();
    fs::create_dir(&wal).unwrap();
    copy_folder(&other.path().join("wal"), &wal);
    // As it is, the node's own log is missing; with the other's note beside it, its owner tells.
    let sentence = refusal(dir.path(), &[]);
    assert!(sentence.contains("a part of the log is missing"), "{sentence}");
    let (note, own) = (dir.path().join("state/log"), dir.path().join("state/own"));
    fs::rename(&note, &own).unwrap();
    fs::copy(other.path().join("state/log"), &note).unwrap();
    let sentence = refusal(dir.path(), &[]);
    assert!(sentence.contains("belongs to another node"), "{sentence}");
    fs::remove_dir_all(&wal).unwrap();
    fs::rename(&aside, &wal).unwrap();
    fs::rename(&own, &note).unwrap();
    assert_eq!(Lake::read(Node::start_in(dir, &LONG).data_dir()).lines("d", "m"), ["f=1.0 1"]);
}

/// A directory with a log of ten groups of one request each, and the bytes where they begin. (The birth of the first one may be a group of
/// its own before them.)
fn ten_groups() -> (tempfile::TempDir, PathBuf, Vec<usize>) {
    let node = start(&["--shards", "1"]);
    (0..10).for_each(|number| node.must_write("d", &format!("m,t=t{number} f={number}i {number}")));
    let dir = node.kill();
    let segment = segments(dir.path()).remove(0);
    let bytes = fs::read(&segment).unwrap();
    let blocks = (1..bytes.len() / 4096).map(|block| block * 4096);
    let mut groups: Vec<usize> = blocks.filter(|at| bytes[*at..].starts_with(b"RGRP")).collect();
    assert!((10..=11).contains(&groups.len()), "{} groups of ten requests", groups.len());
    groups.drain(..groups.len() - 10);
    (dir, segment, groups)
}

#[test]
fn a_flipped_byte_in_every_group_but_the_last_refuses_the_start_and_can_be_passed_over() {
    let (dir, segment, groups) = ten_groups();
    let whole = fs::read(&segment).unwrap();
    for at in &groups[..9] {
        let mut damaged = whole.clone();
        damaged[at + 80] ^= 0x10;
        fs::write(&segment, &damaged).unwrap();
        let sentence = refusal(dir.path(), &[]);
        let name = segment.file_name().unwrap().to_str().unwrap();
        assert!(sentence.contains(name) && sentence.contains(&format!("at byte {at} ")), "{sentence}");
        assert!(sentence.contains("--wal-skip-damaged"), "{sentence}");
    }
    let mut damaged = whole;
    damaged[groups[4] + 80] ^= 0x10;
    fs::write(&segment, &damaged).unwrap();
    let mut node = Node::start_in(dir, &["--wal-skip-damaged"]);
    let line = node.wait_for_log("a damaged part of the log is passed over");
    assert!(line.contains(&format!("\"offset\":{}", groups[4])) && line.contains("\"groups\":1"), "{line}");
    let expected: Vec<String> = (0..10).filter(|number| *number != 4).map(|n| format!("t=t{n} f={n}i {n}")).collect();
    assert_eq!(Lake::read(node.data_dir()).lines("d", "m"), expected);
}

/// A group that lies in another's place costs that one, and not everything up to where it belongs.
#[test]
fn a_misplaced_group_costs_only_the_one_in_its_place() {
    let (dir, segment, groups) = ten_groups();
    let mut bytes = fs::read(&segment).unwrap();
    bytes.copy_within(groups[8]..groups[8] + 4096, groups[3]);
    fs::write(&segment, &bytes).unwrap();
    assert!(refusal(dir.path(), &[]).contains(&format!("at byte {} ", groups[3])));
    let mut node = Node::start_in(dir, &["--wal-skip-damaged"]);
    let line = node.wait_for_log("a damaged part of the log is passed over");
    assert!(line.contains("\"groups\":1,") && line.contains("\"what\":\"is not the whole group"), "{line}");
    let expected: Vec<String> = (0..10).filter(|number| *number != 3).map(|n| format!("t=t{n} f={n}i {n}")).collect();
    assert_eq!(Lake::read(node.data_dir()).lines("d", "m"), expected);
    // What was passed over is kept for whoever wants to look at it.
    let kept = node.data_dir().join("wal").join(format!("{}.damaged", segment.file_name().unwrap().to_str().unwrap()));
    assert_eq!(fs::read(kept).unwrap(), bytes);
}

/// The rings of a killed process hold its port for a moment.
#[test]
fn a_killed_node_can_be_started_again_at_once_on_its_port() {
    let mut node = start(&[]);
    let address = node.address().to_string();
    for _ in 0..5 {
        node.must_write("d", "m f=1 1");
        node = restart(node, &["--listen", &address]);
    }
}

#[test]
fn the_last_group_torn_at_every_512_bytes_is_cut_and_said() {
    let (dir, segment, groups) = ten_groups();
    let whole = fs::read(&segment).unwrap();
    let last = *groups.last().unwrap();
    for torn in (0..1024).step_by(512) {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(dir.path(), copy.path());
        let mut bytes = whole.clone();
        bytes[last + torn..last + 4096].fill(0);
        if torn == 0 {
            // Written not at all: that is no torn tail.
            assert_eq!(bytes[last], 0);
        } else {
            // The record lies in the first 512 bytes: let what is torn matter.
            bytes[last + 100] ^= 1;
        }
        fs::write(copy.path().join("wal").join(segment.file_name().unwrap()), &bytes).unwrap();
        let mut node = Node::start_in(copy, &LONG);
        if torn > 0 {
            let line = node.wait_for_log("was not written whole");
            assert!(line.contains(&format!("\"offset\":{last}")), "{line}");
        }
        assert_eq!(Lake::read(node.data_dir()).rows("d", "m").len(), 9, "torn at {torn}");
    }
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn the_port_is_open_while_the_log_is_replayed_and_a_kill_then_loses_nothing() {
    let node = start(&["--max-body-size", "30MB", "--memory-limit", "4GiB"]);
    let body: String = (0..400_000).map(|number| format!("m,series=s{number} f={number}i {number}\n")).collect();
    for part in 0..3 {
        node.must_write(&format!("d{part}"), &body);
    }
    let mut dir = node.kill();
    for attempt in 0..4 {
        let node = Node::open_in(dir, &LONG);
        assert_eq!(node.request("GET", "/ping", b"").status, 204);
        assert_eq!(node.request("GET", "/health", b"").status, 200);
        assert_eq!(node.request("GET", "/metrics", b"").status, 200);
        let ready = node.request("GET", "/ready", b"");
        assert_eq!((ready.status, ready.json()["status"].as_str()), (503, Some("recovering")), "{ready:?}");
        let answer = node.write("d0", "m f=1i 1");
        expect_row("is being replayed", &answer);
        expect_row("is being replayed", &node.request("POST", "/api/flush", b""));
        std::thread::sleep(Duration::from_millis(attempt * 120));
        dir = node.kill();
    }
    let node = Node::open_in(dir, &LONG);
    let give_up = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    while node.request("GET", "/ready", b"").status != 200 {
        let ready = node.request("GET", "/ready", b"").json();
        seen.extend(ready["replayed_bytes"].as_u64());
        assert!(Instant::now() < give_up, "{ready}");
    }
    assert!(seen.is_sorted(), "{seen:?}");
    node.must_write("d0", "m f=1i 1");
    let lake = node.lake();
    let counts: Vec<usize> = (0..3).map(|part| lake.rows(&format!("d{part}"), "m").len()).collect();
    assert_eq!(counts, [400_001, 400_000, 400_000]);
}

#[test]
fn a_signal_ends_a_replay_and_the_next_start_does_it_again() {
    let node = start(&["--max-body-size", "30MB", "--memory-limit", "4GiB"]);
    let body: String = (0..400_000).map(|number| format!("m,series=s{number} f={number}i {number}\n")).collect();
    node.must_write("d", &body);
    let mut node = Node::open_in(node.kill(), &LONG);
    node.signal("TERM");
    node.wait_for_log("stopped before the log was replayed");
    node.wait();
    let node = Node::start_in(node.kill(), &LONG);
    assert_eq!(Lake::read(node.data_dir()).rows("d", "m").len(), 400_000);
}

#[test]
fn an_orderly_end_leaves_no_log() {
    let node = start(&[]);
    node.must_write("d", "m f=1 1");
    assert!(!segments(node.data_dir()).is_empty());
    let dir = node.stop();
    assert_eq!(segments(dir.path()).len(), 0);
}

/// A file-size limit makes the next write of the log fail, as a broken disk would.
#[test]
fn a_failed_write_of_the_log_poisons_the_node_until_it_is_started_again() {
    let node = start(&["--shards", "2"]);
    (0..50).for_each(|number| node.must_write("d", &format!("m f={number}i {number}")));
    limit_files(&node, "1");
    let answer = node.write("d", "m f=50i 50");
    expect_row("the log has failed", &answer);
    assert!(answer.text().contains("not known whether this request was stored"), "{answer:?}");
    // The limit is gone, and the log stays closed: what its file holds is not known.
    limit_files(&node, "unlimited");
    for (method, target, body) in [
        ("POST", "/write?db=d", &b"m f=51i 51"[..]),
        ("POST", "/query?q=CREATE+DATABASE+e", b""),
        ("POST", "/api/flush", b""),
        ("GET", "/ready", b""),
    ] {
        let answer = node.request(method, target, body);
        expect_row("the log has failed", &answer);
        assert!(answer.text().contains("nothing of this request"), "{answer:?}");
    }
    let health = node.request("GET", "/health", b"");
    assert_eq!(health.status, 503);
    assert!(health.json()["message"].as_str().unwrap().contains("wal/"), "{health:?}");
    let files = parquet_files(node.data_dir());
    assert_eq!(node.request("POST", "/api/flush", b"").status, 503);
    assert_eq!(parquet_files(node.data_dir()), files, "a poisoned node publishes nothing");
    let mut node = node;
    node.signal("TERM");
    assert_eq!(node.wait().code(), Some(1));
    let node = Node::start_in(node.kill(), &LONG);
    let rows = Lake::read(node.data_dir()).rows("d", "m").len();
    assert!((50..=51).contains(&rows), "{rows} rows");
    node.must_write("d", "m f=52i 52");
}

#[test]
fn each_request_of_a_pipeline_that_a_failed_log_held_is_told_by_its_own_name() {
    let node = start(&["--shards", "1"]);
    node.must_write("d", "m f=1i 1");
    limit_files(&node, "1");
    let trace = |number| format!("{:032x}", number + 1);
    let requests: String = (0..6)
        .map(|number| {
            let (method, target) = if number == 2 { ("GET", "/ping") } else { ("POST", "/write?db=d") };
            let body = if number == 4 { "m f=1x".into() } else { format!("m f={number}i") };
            let trace = trace(number);
            let close = if number == 5 { "Connection: close\r\n" } else { "" };
            format!(
                "{method} {target} HTTP/1.1\r\nHost: node\r\nX-Request-Id: r{number}\r\n\
                 Traceparent: 00-{trace}-00f067aa0ba902b7-01\r\n{close}Content-Length: 6\r\n\r\n{body}"
            )
        })
        .collect();
    assert!(requests.len() < 2048, "they come in one read");
    let mut client = node.connect();
    client.send(requests);
    let mut has_failed = false;
    for number in 0..6 {
        let answer = client.answer();
        assert_eq!(answer.header("X-Request-Id"), Some(&*format!("r{number}")), "{answer:?}");
        assert_eq!(answer.header("Connection"), (number == 5).then_some("close"), "{answer:?}");
        // What does not depend on the log stands.
        if number == 2 {
            assert_eq!((answer.status, answer.header("Trace-Id")), (204, None), "{answer:?}");
        } else if number == 4 {
            assert_eq!((answer.status, answer.header("Trace-Id")), (400, Some(&*trace(number))), "{answer:?}");
        } else {
            assert_eq!((answer.status, answer.header("Trace-Id")), (503, Some(&*trace(number))), "{answer:?}");
            // The first was on its way to the disk. Once one met the log as failed already, so do those behind it.
            let in_doubt = answer.text().contains("not known whether this request was stored");
            assert!(in_doubt || answer.text().contains("nothing of this request"), "{answer:?}");
            assert!(if in_doubt { !has_failed } else { number > 0 }, "{answer:?}");
            has_failed |= !in_doubt;
        }
    }
    client.expect_end();
    // Each is counted once, by what it was told: the first write and the ping, and those that the log did not hold.
    assert_eq!(node.metric("ringest_requests_total{status=\"204\"}"), 2.0);
    assert_eq!(node.metric("ringest_requests_total{status=\"503\"}"), 4.0);
}

/// The largest file that the running node may write, in bytes.
fn limit_files(node: &Node, bytes: &str) {
    let status = std::process::Command::new("prlimit")
        .args([format!("--pid={}", node.pid()), format!("--fsize={bytes}:unlimited")])
        .status();
    assert!(status.unwrap().success(), "prlimit is part of util-linux");
}

/// The lake cannot publish, so nothing frees the log: near its limit writes are refused, nothing acknowledged is lost, and once the lake
/// works again so do writes.
#[test]
fn a_full_log_refuses_writes_until_the_lake_has_freed_it() {
    let node = Node::start(&["--wal-size-limit", "32MiB", "--max-body-size", "1MB", "--flush-interval", "200ms"]);
    let (tmp, aside) = (node.data_dir().join("tmp"), node.data_dir().join("aside"));
    fs::rename(&tmp, &aside).unwrap();
    fs::write(&tmp, "in the way").unwrap();
    let mut taken = 0;
    let refused = loop {
        let body: String = (0..8_000).map(|n| format!("m,body=b{taken} text=\"{n:0>90}\" {n}\n")).collect();
        let answer = node.write("d", &body);
        if answer.status != 204 {
            break answer;
        }
        taken += 1;
        assert!(taken < 40, "32 MiB of log took {taken} bodies of a MiB");
    };
    expect_row("no room in the log", &refused);
    assert!(refused.text().contains("log is full"), "{refused:?}");
    assert!(taken >= 10, "only {taken} bodies of 1 MB were taken");
    let bytes: u64 = segments(node.data_dir()).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(bytes <= 32 << 20, "{bytes} bytes of log");
    fs::remove_file(&tmp).unwrap();
    fs::rename(&aside, &tmp).unwrap();
    let give_up = Instant::now() + PATIENCE;
    while node.write("d", "m,body=after f=1 1").status != 204 {
        assert!(Instant::now() < give_up, "the log is not freed");
    }
    assert_eq!(node.lake().rows("d", "m").len(), taken * 8_000 + 1);
}

#[test]
fn a_node_without_a_log_says_so_and_keeps_none() {
    let node = start(&["--durability", "memory"]);
    node.must_write("d", "m f=1 1");
    assert_eq!(node.request("GET", "/health", b"").json()["durability"], "memory");
    assert_eq!(segments_if_any(node.data_dir()), 0);
    let node = restart(node, &["--durability", "write"]);
    assert_eq!(node.request("GET", "/health", b"").json()["durability"], "write");
    node.must_write("d", "m f=2 2");
    let node = restart(node, &[]);
    assert_eq!(Lake::read(node.data_dir()).lines("d", "m"), ["f=2.0 2"], "write survives a kill, memory does not");
}

fn segments_if_any(data_dir: &Path) -> usize {
    fs::read_dir(data_dir.join("wal")).map_or(0, Iterator::count)
}

/// A log of at least three segments, the bodies in it, and the segments in the order of the log.
fn several_segments() -> (tempfile::TempDir, usize, Vec<PathBuf>) {
    let node = start(&["--shards", "1", "--wal-size-limit", "64MiB", "--max-body-size", "2MB"]);
    let mut taken = 0;
    while used_segments(node.data_dir()).len() < 3 {
        let body: String = (0..10_000).map(|n| format!("m,body=b{taken} text=\"{n:0>90}\" {n}\n")).collect();
        node.must_write("d", &body);
        taken += 1;
        assert!(taken < 60, "three segments take more than {taken} bodies of a MB");
    }
    let dir = node.kill();
    let used = used_segments(dir.path());
    (dir, taken, used)
}

fn used_segments(data_dir: &Path) -> Vec<PathBuf> {
    let mut used = Vec::new();
    for path in segments(data_dir) {
        let mut header = [0; 64];
        let read = fs::File::open(&path).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut header));
        match read.map_err(|error| error.kind()) {
            Ok(()) => {}
            // A running node is making it, or has just removed it.
            Err(ErrorKind::UnexpectedEof | ErrorKind::NotFound) => continue,
            Err(kind) => panic!("{}: {kind}", path.display()),
        }
        if header.starts_with(b"ringwal") {
            used.push((u64::from_le_bytes(header[24..32].try_into().unwrap()), path));
        }
    }
    used.sort();
    used.into_iter().map(|(_, path)| path).collect()
}

/// The start is refused, and `ringest wal verify` says the same.
fn refused_as_missing(data_dir: &Path) -> String {
    fs::create_dir_all(data_dir.join("wal")).unwrap();
    let sentence = refusal(data_dir, &[]);
    assert!(sentence.contains("a part of the log is missing") && sentence.contains("--wal-skip-damaged"), "{sentence}");
    let output = ringest("wal").args(["verify", "--data-dir"]).arg(data_dir).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("a part of the log is missing"), "{said}");
    sentence
}

#[test]
fn a_log_with_a_missing_segment_refuses_the_start() {
    let (dir, taken, used) = several_segments();
    let aside = dir.path().join("aside");
    for (segment, says) in [(&used[0], "begins with group"), (&used[2], "holds no segment that begins with group")] {
        fs::rename(segment, &aside).unwrap();
        let sentence = refused_as_missing(dir.path());
        assert!(sentence.contains(says), "{sentence}");
        fs::rename(&aside, segment).unwrap();
    }
    // The whole folder.
    fs::rename(dir.path().join("wal"), &aside).unwrap();
    let sentence = refused_as_missing(dir.path());
    assert!(sentence.contains("holds no segment of life"), "{sentence}");
    fs::remove_dir(dir.path().join("wal")).unwrap();
    fs::rename(&aside, dir.path().join("wal")).unwrap();
    let node = Node::start_in(dir, &LONG);
    assert_eq!(Lake::read(node.data_dir()).rows("d", "m").len(), taken * 10_000);
    // The log of this life is the one that counts now, whether it ends in order or not.
    node.must_write("e", "m f=1 1");
    let node = Node::start_in(node.kill(), &LONG);
    node.must_write("e", "m f=2 2");
    let dir = node.stop();
    assert!(!dir.path().join("state/log").exists());
    let node = Node::start_in(dir, &LONG);
    assert_eq!(Lake::read(node.data_dir()).rows("e", "m").len(), 2);
}

#[test]
fn a_missing_segment_can_be_passed_over() {
    let (dir, taken, used) = several_segments();
    fs::remove_file(&used[2]).unwrap();
    let mut node = Node::start_in(dir, &["--wal-skip-damaged"]);
    let line = node.wait_for_log("a damaged part of the log is passed over");
    assert!(line.contains("holds no segment that begins with group"), "{line}");
    let rows = Lake::read(node.data_dir()).rows("d", "m").len();
    assert!(rows > 0 && rows < taken * 10_000, "{rows}");
    // All of it.
    node.must_write("e", "m f=1 1");
    let dir = node.kill();
    fs::remove_dir_all(dir.path().join("wal")).unwrap();
    refused_as_missing(dir.path());
    let mut node = Node::start_in(dir, &["--wal-skip-damaged"]);
    let line = node.wait_for_log("a damaged part of the log is passed over");
    assert!(line.contains("holds no segment of life"), "{line}");
    node.must_write("e", "m f=2 2");
    let node = restart(node, &[]);
    assert_eq!(Lake::read(node.data_dir()).lines("e", "m"), ["f=2.0 2"]);
}
