//! At the limits of memory and disk: refusals instead of growth, and nothing lost when there is room again.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::answers::expect_row;
use crate::lake_reader::{Lake, Value};
use crate::node::{Answer, Client, Node, PATIENCE};

const MIB: u64 = 1 << 20;

/// The most memory that the node ever had, in bytes.
pub fn peak_bytes(node: &Node) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

fn check_overload(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.json()["code"], "unavailable", "{answer:?}");
    assert!(answer.header("Retry-After").is_some_and(|seconds| seconds.parse::<u32>().is_ok()), "{answer:?}");
}

/// About `bytes` of lines, each with a series and a time of its own and a long string; returns how many.
fn new_series(writer: usize, first: u64, bytes: usize) -> (String, u64) {
    let text = "some text ".repeat(12);
    let mut body = String::with_capacity(bytes + 1_000);
    let mut number = first;
    while body.len() < bytes {
        body += &format!("m,writer=w{writer},id=a{number} value={number}i,text=\"{number} {text}\" {number}\n");
        number += 1;
    }
    (body, number - first)
}

#[test]
fn memory_stays_near_its_limit_and_overload_loses_nothing() {
    const LIMIT: u64 = 256 * MIB;
    const WRITERS: usize = 6;
    const BODIES: usize = 12;
    const HEADS: usize = 120;
    let node = Node::start(&["--memory-limit", "256MiB", "--max-body-size", "4MB", "--shards", "2"]);
    // More bodies on their way than there is memory for: some are refused, the others may come.
    let head = "POST /write?db=d HTTP/1.1\r\nHost: node\r\nContent-Length: 3900000\r\n\r\n";
    let mut waiting: Vec<Client> = (0..HEADS).map(|_| node.connect()).collect();
    waiting.iter_mut().for_each(|client| client.send(head));
    // A request waits for memory for two seconds.
    std::thread::sleep(Duration::from_millis(2_500));
    let mut admitted = Vec::new();
    let mut refused = 0;
    for mut client in waiting {
        client.stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        if client.receive().is_ok() {
            check_overload(&client.answer());
            refused += 1;
        } else {
            client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
            admitted.push(client);
        }
    }
    assert!(refused > 0 && !admitted.is_empty(), "{refused} of {HEADS} refused");
    drop(admitted.split_off(admitted.len() / 2));
    for (number, client) in admitted.iter_mut().enumerate() {
        let point = format!("kept,n={number} f=1 1\n#");
        client.send(point.clone() + &"x".repeat(3_900_000 - point.len()));
        assert_eq!(client.answer().status, 204);
    }
    let kept = admitted.len();
    drop(admitted);

    let told = AtomicU64::new(0);
    let overloads = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (told, overloads) = (&told, &overloads);
            let mut client = node.connect();
            let address = node.address();
            scope.spawn(move || {
                let mut number = 0;
                for _ in 0..BODIES {
                    let (body, points) = new_series(writer, number, 3_500_000);
                    number += points;
                    let give_up = Instant::now() + PATIENCE;
                    loop {
                        client.request("POST", "/write?db=d", body.as_bytes());
                        let answer = client.answer();
                        if answer.status == 204 {
                            break;
                        }
                        check_overload(&answer);
                        assert!(Instant::now() < give_up, "a body is refused for ever");
                        overloads.fetch_add(1, Ordering::Relaxed);
                        if answer.header("Connection") == Some("close") {
                            client = Client::new(address);
                        }
                        std::thread::sleep(Duration::from_millis(100));
                    }
                    told.fetch_add(points, Ordering::Relaxed);
                }
            });
        }
    });
    let peak = peak_bytes(&node);
    println!("peak {} MiB, {overloads:?} overloads, {told:?} points, {refused} heads refused", peak / MIB);
    assert!(peak < LIMIT, "{} MiB of a limit of {}", peak / MIB, LIMIT / MIB);

    assert_eq!(node.write("d", "after f=1 1").status, 204);
    let dir = node.stop();
    let lake = Lake::read(dir.path());
    assert_eq!(lake.rows("d", "kept").len(), kept);
    let rows = lake.rows("d", "m");
    assert_eq!(rows.len() as u64, told.into_inner());
    let ids: BTreeSet<(&str, i64)> = rows.iter().map(|row| (&*row.tags["writer"], row.time_ns)).collect();
    assert_eq!(ids.len(), rows.len());
}

/// One body whose births outgrow the memory is refused for good, and is no burden afterwards.
#[test]
fn a_body_of_countless_new_measurements_is_refused_and_forgotten() {
    let node = Node::start(&["--memory-limit", "192MiB", "--max-body-size", "8MB", "--shards", "1"]);
    let body: String = (0..400_000).map(|number| format!("m{number} f=1 1\n")).collect();
    for _ in 0..3 {
        let answer = node.write("d", &body);
        expect_row("than an idle node has memory for", &answer);
        assert!(answer.json()["message"].as_str().unwrap().contains("memory-limit"), "{answer:?}");
    }
    let peak = peak_bytes(&node);
    println!("peak {} MiB", peak / MIB);
    assert!(peak < 192 * MIB, "{} MiB", peak / MIB);
    node.must_write("d", "m1 f=\"text\" 1");
    let lake = node.lake();
    assert_eq!(lake.lines("d", "m1"), ["f=\"text\" 1"]);
    assert_eq!(lake.files.len(), 1);
}

#[test]
fn a_table_takes_so_many_columns_and_no_more() {
    const COLUMNS_MAX: usize = 65_536;
    let node = Node::start(&["--shards", "1", "--flush-interval", "1h"]);
    // The tag is a column too.
    let fields: Vec<String> = (1..COLUMNS_MAX).map(|number| format!("f{number}=1i")).collect();
    let answer =
        node.write("d", &format!("m,t=a {} 1\nm,t=a g=1 2\nm,t=b,u=c f1=1i 3\nm,t=b f1=2i 4", fields.join(",")));
    assert_eq!(answer.status, 422, "{answer:?}");
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("measurement \"m\" has 65536 columns"), "{message}");
    assert!(message.contains("column \"g\" cannot be added"), "{message}");
    assert!(message.ends_with("dropped=2"), "{message}");
    let answer = node.write("d", "m,t=a,u=b f1=2i 1\nm,t=a f1=3i 1");
    assert_eq!(answer.status, 422, "{answer:?}");
    assert!(answer.json()["message"].as_str().unwrap().contains("column \"u\" cannot be added"), "{answer:?}");
    let lake = node.lake();
    let rows = lake.rows("d", "m");
    let first: Vec<(i64, usize, &Value)> =
        rows.iter().map(|row| (row.time_ns, row.fields.len(), &row.fields["f1"])).collect();
    assert_eq!(first, [(1, COLUMNS_MAX - 1, &Value::Integer(3)), (4, 1, &Value::Integer(2))]);
}

/// A small file system of its own.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// `None` where mounting is not allowed.
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={size}");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).status();
        let is_mounted = status.is_ok_and(|status| status.success());
        if !is_mounted {
            eprintln!("skipped: mounting a tmpfs needs root");
        }
        is_mounted.then_some(Self { folder })
    }

    fn ballast(&self) -> PathBuf {
        self.folder.path().join("ballast")
    }

    /// Takes all space that is left.
    fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        for piece in [64 << 10, 4 << 10, 512, 1] {
            while ballast.write_all(&vec![0; piece]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}

#[test]
fn a_full_disk_is_told_and_everything_is_published_when_there_is_room() {
    let Some(disk) = SmallDisk::mount("8m") else { return };
    let dir = tempfile::tempdir_in(disk.folder.path()).unwrap();
    // Without a log, so that memory is what ends.
    let options = [
        ["--memory-limit", "192MiB"],
        ["--max-body-size", "1MB"],
        ["--flush-size", "4MiB"],
        ["--flush-interval", "200ms"],
        ["--durability", "memory"],
    ];
    let node = Node::start_in(dir, options.as_flattened());
    node.must_write("d", "m f=0i 0");
    node.flush();
    assert_eq!(node.request("GET", "/health", b"").status, 200);

    disk.fill();
    let mut written = 1;
    node.must_write("d", "m f=1i 1");
    let answer = node.request("POST", "/api/flush", b"");
    assert_eq!((answer.status, &answer.json()["code"]), (500, &"internal error".into()), "{answer:?}");
    let sentence = answer.json()["message"].as_str().unwrap().to_owned();
    assert!(sentence.contains("No space left on device"), "{sentence}");
    let health = node.request("GET", "/health", b"");
    assert_eq!((health.status, &health.json()["status"]), (503, &"fail".into()), "{health:?}");
    assert!(health.json()["message"].as_str().unwrap().contains("No space left on device"), "{health:?}");

    // Writes go on until there is no memory for them.
    const LINES: usize = 1_500;
    let text = "some text ".repeat(50);
    let mut client = node.connect();
    let refused = loop {
        let points = written + 1..=written + LINES;
        let lines: String = points.map(|number| format!("m f={number}i,text=\"{text}\" {number}\n")).collect();
        client.request("POST", "/write?db=d", lines.as_bytes());
        let answer = client.answer();
        if answer.status != 204 {
            break answer;
        }
        written += LINES;
        assert!(written < 1_000_000, "memory has no end");
    };
    check_overload(&refused);
    println!("{written} points in memory, peak {} MiB", peak_bytes(&node) / MIB);
    assert!(written > 20_000, "{written} points fill 192 MiB");
    assert!(peak_bytes(&node) < 192 * MIB, "{} MiB", peak_bytes(&node) / MIB);
    assert_eq!(node.request("GET", "/ping", b"").status, 204);

    disk.free();
    let give_up = Instant::now() + PATIENCE;
    while node.request("POST", "/api/flush", b"").status != 204 {
        assert!(Instant::now() < give_up, "nothing is published though there is room");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(node.request("GET", "/health", b"").status, 200);
    written += 1;
    node.must_write("d", &format!("m f={written}i {written}"));
    let dir = node.stop();
    let lake = Lake::read(dir.path());
    let rows = lake.rows("d", "m");
    let times: BTreeSet<i64> = rows.iter().map(|row| row.time_ns).collect();
    assert_eq!((rows.len(), times.len(), times.last()), (written + 1, written + 1, Some(&(written as i64))));
    assert!(rows.iter().all(|row| row.fields["f"] == Value::Integer(row.time_ns)));
    assert_eq!(fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0);
}

/// The log leaves enough of a small disk free for the lake to publish what is in it, even where that hardly compresses.
#[test]
fn a_log_does_not_take_a_small_disk_from_the_lake() {
    let Some(disk) = SmallDisk::mount("64m") else { return };
    let dir = tempfile::tempdir_in(disk.folder.path()).unwrap();
    let node = Node::start_in(dir, &["--max-body-size", "1MB", "--flush-interval", "1h"]);
    let mut state = 1u64;
    let mut noise = || {
        (0..600)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                char::from(b'0' + (state >> 58) as u8)
            })
            .filter(|c| !matches!(c, '\\' | '"'))
            .collect::<String>()
    };
    let mut written = 0;
    let mut client = node.connect();
    loop {
        let lines: String = (written..written + 1_000).map(|n| format!("m text=\"{}\" {n}\n", noise())).collect();
        client.request("POST", "/write?db=d", lines.as_bytes());
        let answer = client.answer();
        if answer.status != 204 {
            assert_eq!(answer.status, 503, "{answer:?}");
            break;
        }
        written += 1_000;
        assert!(written < 1_000_000, "a disk of 64 MiB has no end");
    }
    assert!(written > 10_000, "only {written} points were taken");
    assert_eq!(node.lake().rows("d", "m").len(), written);
}

#[test]
fn what_was_acknowledged_on_a_full_disk_survives_a_kill() {
    let Some(disk) = SmallDisk::mount("64m") else { return };
    let dir = tempfile::tempdir_in(disk.folder.path()).unwrap();
    let options = ["--max-body-size", "1MB", "--flush-interval", "200ms"];
    let node = Node::start_in(dir, &options);
    node.must_write("d", "m f=0i 0");
    disk.fill();
    let mut client = node.connect();
    let text = "some text ".repeat(50);
    let mut written = 1;
    let refused = loop {
        let lines: String = (written..written + 1_500).map(|n| format!("m f={n}i,text=\"{text}\" {n}\n")).collect();
        client.request("POST", "/write?db=d", lines.as_bytes());
        let answer = client.answer();
        if answer.status != 204 {
            break answer;
        }
        written += 1_500;
        assert!(written < 200_000, "a log of 64 MiB has no end");
    };
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.text().contains("log is full") && refused.header("Retry-After").is_some(), "{refused:?}");
    let dir = node.kill();
    disk.free();
    let node = Node::start_in(dir, &options);
    let numbers: BTreeSet<i64> = Lake::read(node.data_dir()).rows("d", "m").iter().map(|row| row.time_ns).collect();
    assert_eq!((numbers.len(), numbers.last()), (written, Some(&(written as i64 - 1))));
    node.must_write("d", &format!("m f={written}i {written}"));
    assert_eq!(node.lake().rows("d", "m").len(), written + 1);
}
