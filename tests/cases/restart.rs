//! What one life of a node leaves to the next: types, names, files; and what a kill at any moment may not leave.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::lake_reader::{Lake, parquet_files};
use crate::node::Node;

#[test]
fn types_and_renamed_columns_outlive_a_restart() {
    let node = Node::start(&[]);
    node.must_write("d", "m,host=a host=1,v=2i,Day=3 1");
    let (columns, names) = {
        let lake = node.lake();
        (lake.files[0].columns.clone(), lake.files[0].names.clone())
    };
    assert_eq!(names.len(), 2, "{names:?}");
    // Once after an orderly end, once after a kill.
    let node = Node::start_in(node.stop(), &[]);
    let answer = node.write("d", "m v=2.5 2\nm v=4i 2");
    assert_eq!(answer.status, 422, "{answer:?}");
    assert!(answer.text().contains("is type float, already exists as type integer"), "{answer:?}");
    node.flush();
    let node = Node::start_in(node.kill(), &["--shards", "2"]);
    assert_eq!(node.write("d", "m v=t 3\nm,host=b host=5 3").status, 422);
    // New clashes go on from the old ones.
    node.must_write("d", "m,HOST=c host=6 4");
    let lake = node.lake();
    assert_eq!(
        lake.lines("d", "m"),
        ["HOST_2=c host_field=6.0 4", "host=a Day_2=3.0,host_field=1.0,v=2i 1", "host=b host_field=5.0 3", "v=4i 2"]
    );
    for file in lake.files_of("d", "m") {
        assert!(columns.iter().all(|column| file.columns.contains(column)), "{:?}", file.columns);
        assert!(names.iter().all(|pair| file.names.get(pair.0) == Some(pair.1)), "{:?}", file.names);
    }
}

#[test]
fn what_sigterm_ends_is_published_and_the_next_life_adds_to_it() {
    let mut dir = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for life in 0..4 {
        let node = Node::start_in(dir, &["--shards", "2", "--flush-interval", "1h"]);
        let mut clients: Vec<_> = (0..4).map(|_| node.connect()).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            let line = format!("m,c=c{number} life={life}i 1\nm,c=c{number} of{life}={number}i {}", life + 2);
            client.request("POST", "/write?db=d", line.as_bytes());
            assert_eq!(client.answer().status, 204);
            expected.push(format!("c=c{number} of{life}={number}i {}", life + 2));
        }
        dir = node.stop();
        let epochs: BTreeSet<u64> = Lake::read(dir.path()).files.iter().map(|file| file.epoch).collect();
        assert_eq!(epochs.len(), life + 1, "one epoch of each life");
    }
    expected.extend((0..4).map(|number| format!("c=c{number} life=3i 1")));
    expected.sort();
    let lake = Lake::read(dir.path());
    assert_eq!(lake.merged("d", "m"), expected);
    let nodes: BTreeSet<&str> = lake.files.iter().map(|file| file.file_name().rsplit_once('-').unwrap().1).collect();
    assert_eq!(nodes.len(), 1, "the node's id stays: {nodes:?}");
}

#[test]
fn retention_of_a_bucket_outlives_a_restart_with_another_default() {
    let node = Node::start(&["--default-retention", "72h"]);
    assert_eq!(node.write("d", "m f=1\n").status, 204);
    let node = Node::start_in(node.stop(), &["--default-retention", "inf"]);
    assert_eq!(node.write("d", "m f=1 1").status, 422);
    assert_eq!(node.write("new", "m f=1 1").status, 204);
}

/// xorshift64*: the same delays in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) % bound
    }
}

const KILLS: u64 = 12;
const WRITERS: usize = 4;
/// The points of a body lie in two tables and on two days: an epoch has four files, and a body is in the lake whole or not at all.
const POINTS: u64 = 40;
const DAY_NS: u64 = 86_400_000_000_000;

/// Point `number` of body `body`; its time is its own for ever.
fn point(writer: usize, body: u64, number: u64) -> String {
    let time = body * POINTS + number + (number % 4 / 2) * 100 * DAY_NS;
    format!("t{},writer=w{writer} body={body}i,number={number}i {time}\n", number % 2)
}

/// One request on a connection that may die at any time; the status of its answer.
fn try_request(stream: &mut TcpStream, target: &str, body: &str) -> Option<u16> {
    let head = format!("POST {target} HTTP/1.1\r\nHost: node\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes()).ok()?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while !answer.ends_with(b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(bytes) if bytes > 0 => answer.extend_from_slice(&piece[..bytes]),
            _ => return None,
        }
    }
    std::str::from_utf8(&answer).ok()?.split(' ').nth(1)?.parse().ok()
}

/// What writers know, over all lives of the node. A body's number is given once.
#[derive(Default)]
struct Told {
    /// By writer: bodies begun.
    begun: [AtomicU64; WRITERS],
    /// Bodies that were answered 204.
    acknowledged: Mutex<BTreeSet<(usize, u64)>>,
    flushes: AtomicU64,
}

/// Writes and flushes until the node is gone.
fn live(address: SocketAddr, told: &Told, over: &AtomicBool, kill: impl FnOnce()) {
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                let Ok(mut stream) = TcpStream::connect(address) else { return };
                while !over.load(Ordering::SeqCst) {
                    let body = told.begun[writer].fetch_add(1, Ordering::SeqCst);
                    let lines: String = (0..POINTS).map(|number| point(writer, body, number)).collect();
                    match try_request(&mut stream, "/write?db=d", &lines) {
                        Some(204) => told.acknowledged.lock().unwrap().insert((writer, body)),
                        Some(status) => panic!("a write was answered {status}"),
                        None => return,
                    };
                    // Many flushes with little in each: what is read back at every start stays small.
                    std::thread::sleep(Duration::from_millis(2));
                }
            });
        }
        scope.spawn(move || {
            let Ok(mut stream) = TcpStream::connect(address) else { return };
            while let Some(status) = try_request(&mut stream, "/api/flush", "") {
                assert_eq!(status, 204, "a flush");
                told.flushes.fetch_add(1, Ordering::SeqCst);
            }
        });
        kill();
        over.store(true, Ordering::SeqCst);
    });
}

/// By writer and body: the points in the lake. Panics where a point is there twice.
fn bodies(data_dir: &Path) -> BTreeMap<(usize, u64), BTreeSet<u64>> {
    let lake = Lake::read(data_dir);
    let mut bodies: BTreeMap<(usize, u64), BTreeSet<u64>> = BTreeMap::new();
    for row in ["t0", "t1"].iter().flat_map(|table| lake.rows("d", table)) {
        let integer = |name: &str| row.fields[name].to_string().trim_end_matches('i').parse::<u64>().unwrap();
        let (writer, body, number) = (row.tags["writer"][1..].parse().unwrap(), integer("body"), integer("number"));
        let text = format!("writer={} body={body}i,number={number}i {}", row.tags["writer"], row.time_ns);
        assert!(point(writer, body, number).contains(&text.replacen("writer=", ",writer=", 1)), "{row}");
        assert!(bodies.entry((writer, body)).or_default().insert(number), "{row} is in the lake twice");
    }
    bodies
}

#[test]
fn a_kill_at_any_moment_loses_and_halves_nothing_that_was_acknowledged() {
    let mut random = Random(0x7269_6E67_6573_7400);
    let told = Told::default();
    let mut dir: TempDir = tempfile::tempdir().unwrap();
    let mut rolled_back = 0;
    for round in 0..KILLS {
        let node = Node::start_in(dir, &["--shards", "2", "--flush-interval", "100ms"]);
        let at_start = parquet_files(node.data_dir());
        let over = AtomicBool::new(false);
        let address = node.address();
        let delay = Duration::from_millis(random.below(400));
        let mut killed = None;
        live(address, &told, &over, || {
            std::thread::sleep(delay);
            killed = Some(node.kill());
        });
        dir = killed.unwrap();
        let at_kill = parquet_files(dir.path());
        assert!(at_start.is_subset(&at_kill), "round {round}: a file of an earlier life is gone");

        // The next start takes back what was not committed, and publishes what the log holds.
        let node = Node::start_in(dir, &["--shards", "1"]);
        assert_eq!(fs::read_dir(node.data_dir().join("tmp")).unwrap().count(), 0, "round {round}: tmp/ is not empty");
        let kept = parquet_files(node.data_dir());
        rolled_back += at_kill.difference(&kept).count();
        let bodies = bodies(node.data_dir());
        for ((writer, body), points) in &bodies {
            assert_eq!(points.len() as u64, POINTS, "round {round}: half of body {body} of writer {writer}");
        }
        let acknowledged = told.acknowledged.lock().unwrap();
        let missing: Vec<_> = acknowledged.iter().filter(|body| !bodies.contains_key(body)).collect();
        assert!(missing.is_empty(), "round {round}: acknowledged and lost: {missing:?}");
        drop(acknowledged);
        assert_eq!(node.write("other", &format!("m f={round}i {round}")).status, 204);
        dir = node.stop();
        let after = parquet_files(dir.path());
        assert!(kept.is_subset(&after), "round {round}: a file went that had been left at the start");
    }
    let (flushes, acknowledged) = (told.flushes.load(Ordering::SeqCst), told.acknowledged.lock().unwrap().len());
    println!("{flushes} flushes, {acknowledged} bodies acknowledged, {rolled_back} files rolled back");
    assert!(flushes > KILLS && acknowledged > 100, "{flushes} flushes, {acknowledged} bodies");
    assert_eq!(Lake::read(dir.path()).lines("other", "m").len() as u64, KILLS);
}

/// A directory with two committed epochs of four files each, and how long the manifest was before the last of them.
fn two_epochs() -> (TempDir, BTreeSet<std::path::PathBuf>, u64) {
    let node = Node::start(&["--flush-interval", "1h"]);
    let write = |body| node.must_write("d", &(0..POINTS).map(|number| point(0, body, number)).collect::<String>());
    write(0);
    node.flush();
    let first = parquet_files(node.data_dir());
    let manifest = fs::metadata(node.data_dir().join("state/manifest")).unwrap().len();
    write(1);
    (node.stop(), first, manifest)
}

#[test]
fn an_epoch_whose_commit_was_torn_is_taken_back_whole() {
    for torn in [1, 5, 12] {
        let (dir, first, _) = two_epochs();
        assert_eq!(parquet_files(dir.path()).len(), 8);
        let manifest = fs::OpenOptions::new().write(true).open(dir.path().join("state/manifest")).unwrap();
        manifest.set_len(manifest.metadata().unwrap().len() - torn).unwrap();
        fs::write(dir.path().join("tmp/0000000000001-0.part"), "left by the crash").unwrap();
        let mut node = Node::start_in(dir, &[]);
        node.wait_for_log("rolled epoch");
        assert_eq!(parquet_files(node.data_dir()), first, "torn by {torn}");
        assert_eq!(fs::read_dir(node.data_dir().join("tmp")).unwrap().count(), 0);
        // Written again, it is there once.
        node.must_write("d", &(0..POINTS).map(|number| point(0, 1, number)).collect::<String>());
        node.flush();
        let dir = Node::start_in(node.kill(), &[]).stop();
        assert_eq!(bodies(dir.path()).len(), 2);
    }
}

#[test]
fn a_damaged_manifest_or_a_missing_one_stops_the_start() {
    let (dir, _, before_last) = two_epochs();
    let files = parquet_files(dir.path());
    let manifest = dir.path().join("state/manifest");
    let whole = fs::read(&manifest).unwrap();
    let refusal = || {
        let (code, sentence) = refused(dir.path());
        assert_eq!(code, Some(1), "{sentence}");
        assert_eq!(parquet_files(dir.path()), files, "files were touched");
        sentence
    };
    let mut damaged = whole.clone();
    damaged[before_last as usize - 1] ^= 1;
    fs::write(&manifest, &damaged).unwrap();
    let sentence = refusal();
    assert!(sentence.contains("state/manifest is damaged at byte"), "{sentence}");
    fs::remove_file(&manifest).unwrap();
    let sentence = refusal();
    assert!(sentence.contains("state/manifest is missing"), "{sentence}");
    fs::write(&manifest, whole).unwrap();
    assert_eq!(parquet_files(Node::start_in(dir, &[]).data_dir()), files);
}

/// Exit code and last words of a node that does not start.
pub fn refused(data_dir: &Path) -> (Option<i32>, String) {
    let mut serve = crate::node::ringest("serve");
    let output = serve.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(data_dir).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// No crash makes such a file: a name appears only after its intent is durable. So the manifest is not the one that belongs to it.
#[test]
fn a_file_of_this_node_that_no_intent_names_refuses_the_start() {
    let (dir, first, _) = two_epochs();
    let manifest = dir.path().join("state/manifest");
    let whole = fs::read(&manifest).unwrap();
    let files = parquet_files(dir.path());
    // The header alone, which is a manifest of an empty lake.
    fs::write(&manifest, &whole[..24]).unwrap();
    let (code, sentence) = refused(dir.path());
    assert_eq!(code, Some(1), "{sentence}");
    assert!(sentence.contains("state/manifest does not name the file"), "{sentence}");
    assert_eq!(parquet_files(dir.path()), files);
    fs::write(&manifest, &whole).unwrap();
    // A copy under another epoch.
    let lake = dir.path().join("lake");
    let original = first.first().unwrap();
    let name = original.file_name().unwrap().to_str().unwrap();
    let copy = lake.join(original.with_file_name(format!("9000000000000{}", &name[13..])));
    fs::copy(lake.join(original), &copy).unwrap();
    assert!(refused(dir.path()).1.contains("9000000000000-"));
    fs::remove_file(copy).unwrap();
    assert_eq!(parquet_files(Node::start_in(dir, &[]).data_dir()), files);
}

/// An operator's file of another node; the node neither removes nor overwrites it, and its epochs go on above the one in its name.
#[test]
fn a_file_of_another_node_is_left_alone() {
    let (dir, first, _) = two_epochs();
    let original = first.first().unwrap();
    let later = 9_000_000_000_000_u64;
    let name = original.file_name().unwrap().to_str().unwrap();
    let stranger = original.with_file_name(format!("{later}{}-0123456789abcdef.parquet", &name[13..18]));
    let lake = dir.path().join("lake");
    fs::copy(lake.join(original), lake.join(&stranger)).unwrap();
    let bytes = fs::read(lake.join(&stranger)).unwrap();
    let node = Node::start_in(dir, &[]);
    node.must_write("d", &(0..POINTS).map(|number| point(0, 2, number)).collect::<String>());
    node.flush();
    let dir = node.kill();
    let dir = Node::start_in(dir, &[]).stop();
    let lake = dir.path().join("lake");
    assert_eq!(fs::read(lake.join(&stranger)).unwrap(), bytes);
    let files = parquet_files(dir.path());
    assert_eq!(files.len(), 13);
    let epoch = |path: &Path| path.file_name().unwrap().to_str().unwrap()[..13].parse::<u64>().unwrap();
    assert_eq!(files.iter().filter(|path| epoch(path) > later).count(), 4);
}
