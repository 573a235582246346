//! Compaction of a node's files: when asked, by itself, beside a node, and cut off by a kill.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::lake_reader::{Lake, parquet_files};
use super::node::{Node, ringest};
use super::restart::refused;

/// Writes `flushes` files of two tables with overlapping points, columns born on the way, numbered from `first`.
fn write(node: &Node, first: usize, flushes: usize) {
    for flush in first..first + flushes {
        let lines: Vec<String> = (0..40)
            .map(|line| {
                let time = 1_000_000 * (line % 7 + flush % 3) + 1;
                format!("m{},host=h{},r=x f{}={flush}i,g=\"{line}é\",h=-0.0 {time}", line % 2, line % 5, flush % 11)
            })
            .collect();
        node.must_write("db", &lines.join("\n"));
        node.flush();
    }
}

/// Every table's points, the epochs merged.
fn points(data_dir: &Path) -> BTreeMap<&'static str, Vec<String>> {
    let lake = Lake::read(data_dir);
    ["m0", "m1"].into_iter().map(|table| (table, lake.merged("db", table))).collect()
}

fn files(data_dir: &Path) -> usize {
    parquet_files(data_dir).len()
}

#[test]
fn a_node_merges_its_files_when_asked_and_says_what_it_did() {
    let node = Node::start(&[]);
    write(&node, 0, 13);
    let before = points(node.data_dir());
    assert_eq!(files(node.data_dir()), 26, "nothing is merged with --compaction off");
    let answer = node.request("POST", "/api/compact", b"");
    assert_eq!((answer.status, answer.header("Content-Type")), (200, Some("application/json; charset=utf-8")));
    let said = answer.json();
    for (member, value) in [("partitions", 2), ("merges", 2), ("files_before", 26), ("files_after", 2)] {
        assert_eq!(said[member], value, "{member} in {said}");
    }
    assert_eq!(points(node.data_dir()), before);
    let lake = Lake::read(node.data_dir());
    let rows: usize = before.values().map(Vec::len).sum();
    assert_eq!(lake.files.iter().map(|file| file.rows.len()).sum::<usize>(), rows, "each point is there once");
    assert_eq!(said["rows"], rows);
    assert_eq!(
        (node.metric("ringest_compactions_total"), node.metric("ringest_compaction_files_read_total")),
        (2.0, 26.0)
    );

    let compact = |args: &[&str]| {
        let output = ringest("compact").args(args).output().unwrap();
        let text = String::from_utf8(if output.status.success() { output.stdout } else { output.stderr }).unwrap();
        (output.status.code(), text)
    };
    let url = node.url();
    assert_eq!(
        compact(&["--url", &url]),
        (Some(0), "nothing to merge: the files are as few as they can be\n".to_owned())
    );
    write(&node, 13, 3);
    let (code, text) = compact(&["--url", &url]);
    assert!(code == Some(0) && text.starts_with("2 days of tables: 8 files ("), "{text}");
    write(&node, 16, 3);
    let data_dir = node.data_dir().to_str().unwrap().to_owned();
    let (code, text) = compact(&["--data-dir", &data_dir]);
    assert!(code == Some(1) && text.contains("is in use by another ringest"), "{text}");
    let before = points(node.data_dir());
    // What is only in the log stays there, for the next start.
    node.must_write("db", "m0,host=h1,r=x f1=77i 5");
    let dir = node.kill();
    let (code, text) = compact(&["--data-dir", &data_dir]);
    assert!(code == Some(0) && text.starts_with("2 days of tables: 8 files ("), "{text}");
    assert_eq!((files(dir.path()), points(dir.path())), (2, before.clone()));
    let node = Node::start_in(dir, &[]);
    assert_eq!(points(node.data_dir())["m0"].len(), before["m0"].len() + 1);
    node.stop();
    let missing = format!("{data_dir}/nowhere");
    let (code, text) = compact(&["--data-dir", &missing]);
    assert!(code == Some(1) && text.contains("is no data directory with published files"), "{text}");
    assert!(!Path::new(&missing).exists());
}

#[test]
fn files_that_cannot_be_read_are_named_and_part_what_is_merged() {
    let node = Node::start(&[]);
    write(&node, 0, 9);
    let lake = node.data_dir().join("lake");
    let mut own: Vec<_> = parquet_files(node.data_dir()).into_iter().filter(|file| file.starts_with("db/m1")).collect();
    own.sort();
    let (spoilt, lost) = (&own[3], &own[6]);
    fs::write(lake.join(spoilt), b"no Parquet").unwrap();
    fs::rename(lake.join(lost), node.data_dir().join("away")).unwrap();
    let answer = node.request("POST", "/api/compact", b"");
    assert_eq!(answer.status, 500, "{answer:?}");
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    let first = [spoilt, lost].into_iter().find(|file| message.contains(file.to_str().unwrap()));
    assert!(first.is_some() && message.contains("lake/db/m1/day=1970-01-01 is not compacted"), "{message}");
    assert_eq!(node.metric("ringest_compaction_failures_total"), 1.0);
    // One of the other table; of this one those before, between and behind the two, and the spoilt one.
    assert_eq!(files(node.data_dir()), 1 + 3 + 1);
    // What is put back has its old place between the others.
    fs::rename(node.data_dir().join("away"), lake.join(lost)).unwrap();
    assert_eq!(node.request("POST", "/api/compact", b"").status, 500);
    assert_eq!(files(node.data_dir()), 1 + 2 + 1);
    node.stop();
}

#[test]
fn lost_files_are_forgotten_and_then_missed_by_nobody() {
    let node = Node::start(&[]);
    write(&node, 0, 5);
    let mut own: Vec<String> = parquet_files(node.data_dir())
        .iter()
        .filter(|file| file.starts_with("db/m1"))
        .map(|file| format!("lake/{}", file.display()))
        .collect();
    own.sort();
    let forget = |dir: &Path, files: &[&str]| {
        let output = ringest("lake").arg("forget").arg("--data-dir").arg(dir).args(files).output().unwrap();
        let text = if output.status.success() { output.stdout } else { output.stderr };
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let (code, text) = forget(node.data_dir(), &[&own[0]]);
    assert!(code == Some(1) && text.contains("is in use by another ringest"), "{text}");
    let dir = node.stop();
    let away = |lost: &str| dir.path().join(lost.rsplit('/').next().unwrap());
    for lost in &own[1..3] {
        fs::rename(dir.path().join(lost), away(lost)).unwrap();
    }
    let left = points(dir.path());
    for (file, why) in
        [(&*own[0], "is there"), ("lake/db/m1/none", "is no part of it"), (&own[1][5..], "is no part of it")]
    {
        let (code, text) = forget(dir.path(), &[&own[1], file]);
        assert!(code == Some(1) && text.contains(file) && text.contains(why), "{text}");
    }
    let verify = || ringest("lake").arg("verify").arg("--data-dir").arg(dir.path()).output().unwrap();
    let faults = String::from_utf8(verify().stdout).unwrap();
    assert!(own[1..3].iter().all(|lost| faults.contains(lost)) && faults.contains("the lake has 2 faults"), "{faults}");
    assert_eq!(forget(dir.path(), &[&own[1], &own[2], &own[1]]), (Some(0), "2 files are out of the lake\n".to_owned()));
    assert_eq!(verify().status.code(), Some(0));
    // One that comes to light again may be the only copy: it is not removed.
    fs::rename(away(&own[1]), dir.path().join(&own[1])).unwrap();
    let (code, sentence) = refused(dir.path());
    assert!(code == Some(1) && sentence.contains("does not name the file") && sentence.contains(&own[1]), "{sentence}");
    assert!(String::from_utf8(verify().stdout).unwrap().contains("the manifest does not name it"));
    fs::rename(dir.path().join(&own[1]), away(&own[1])).unwrap();
    let changes = ringest("lake").arg("changes").arg("--data-dir").arg(dir.path()).output().unwrap();
    assert!(String::from_utf8(changes.stdout).unwrap().contains("\"kind\": \"loss\""));
    let node = Node::start_in(dir, &[]);
    assert_eq!(node.request("POST", "/api/compact", b"").status, 200);
    assert_eq!((files(node.data_dir()), points(node.data_dir())), (2, left));
    node.stop();
}

#[test]
fn a_node_merges_by_itself_beside_writes_and_flushes() {
    let node = Node::start(&["--compaction", "auto"]);
    write(&node, 0, 60);
    let give_up = Instant::now() + Duration::from_secs(60);
    while files(node.data_dir()) > 40 {
        assert!(Instant::now() < give_up, "{} files", files(node.data_dir()));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(nice(&node, "lake-compact"), Some(10));
    let dir = node.stop();
    let alone = Node::start(&[]);
    write(&alone, 0, 60);
    assert_eq!(points(dir.path()), points(alone.data_dir()));
    alone.stop();
    assert_eq!(fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0);
}

/// How much a thread of the node gives way to others.
fn nice(node: &Node, thread: &str) -> Option<i32> {
    fs::read_dir(format!("/proc/{}/task", node.pid())).unwrap().find_map(|task| {
        let stat = fs::read_to_string(task.unwrap().path().join("stat")).unwrap_or_default();
        let (head, rest) = stat.rsplit_once(')')?;
        // The 19th word; the name is the second.
        head.ends_with(&format!("({thread}")).then(|| rest.split_whitespace().nth(16).unwrap().parse().unwrap())
    })
}

/// A kill at any moment of a compaction, and flushes meanwhile: nothing is lost, and nothing stays twice.
#[test]
fn a_compaction_that_is_killed_leaves_every_point_in_place() {
    let mut dir = tempfile::tempdir().unwrap();
    let mut cut_off = 0;
    for life in 0..6 {
        let node = Node::start_in(dir, &[]);
        write(&node, 10 * life, 8);
        let before = points(node.data_dir());
        let mut client = node.connect();
        client.send("POST /api/compact HTTP/1.1\r\nHost: n\r\nContent-Length: 0\r\n\r\n");
        std::thread::sleep(Duration::from_millis(life as u64 * 7));
        dir = node.kill();
        cut_off += usize::from(files(dir.path()) > 2);
        let node = Node::start_in(dir, &[]);
        assert_eq!(points(node.data_dir()), before, "life {life}");
        assert_eq!(fs::read_dir(node.data_dir().join("tmp")).unwrap().count(), 0);
        dir = node.stop();
        let lake = Lake::read(dir.path());
        let names: BTreeSet<&str> = lake.files.iter().map(|file| file.file_name()).collect();
        assert!(!names.is_empty());
    }
    assert!(cut_off > 0, "no kill came before the end of the compaction");
}

/// Readers that list a folder and open what they found: none ever misses a point, and how long they may see one twice.
#[test]
fn readers_miss_no_point_while_files_are_merged() {
    let node = Node::start(&[]);
    let lines: Vec<String> = (0..500).map(|line| format!("m,host=h{line} v={line}i 1")).collect();
    node.must_write("db", &lines.join("\n"));
    node.flush();
    let folder = node.data_dir().join("lake/db/m/day=1970-01-01");
    let done = AtomicBool::new(false);
    let (looks, twice) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut looks = 0u32;
            while !done.load(Ordering::Relaxed) {
                let Some(rows) = look(&folder) else { continue };
                assert_eq!(rows.into_iter().collect::<BTreeSet<i64>>().len(), 500, "a reader misses points");
                looks += 1;
            }
            looks
        });
        let clock = scope.spawn(|| longest(&done, || shows_inputs_beside_their_merge(&folder)));
        for _ in 0..15 {
            node.must_write("db", &lines.join("\n"));
            node.flush();
            assert_eq!(node.request("POST", "/api/compact", b"").status, 200);
        }
        done.store(true, Ordering::Relaxed);
        (reader.join().unwrap(), clock.join().unwrap())
    });
    println!("{looks} looks; files and what was merged of them were there together for {twice:?} at most");
    assert!(looks > 10, "{looks} looks");
    node.stop();
}

/// How long `is_so` was true at a stretch, at most.
fn longest(done: &AtomicBool, is_so: impl Fn() -> bool) -> Duration {
    let mut longest = Duration::ZERO;
    let mut since: Option<Instant> = None;
    while !done.load(Ordering::Relaxed) {
        match (is_so(), since) {
            (true, None) => since = Some(Instant::now()),
            (true, Some(began)) => longest = longest.max(began.elapsed()),
            (false, _) => since = None,
        }
    }
    longest
}

/// Whether a compacted file, `<last>-<n>-<node>-<first>`, has one of its epochs beside it.
fn shows_inputs_beside_their_merge(folder: &Path) -> bool {
    let epochs = |path: std::path::PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let parts: Vec<&str> = name.split('-').collect();
        let last: u64 = parts[0].parse().unwrap();
        (parts.get(3).map_or(last, |first| first.parse().unwrap()), last)
    };
    let files: Vec<(u64, u64)> = fs::read_dir(folder).unwrap().map(|entry| epochs(entry.unwrap().path())).collect();
    let covers = |a: &(u64, u64), b: &(u64, u64)| a != b && a.0 <= b.0 && b.1 <= a.1;
    files.iter().any(|a| files.iter().any(|b| covers(a, b)))
}

/// The values of all rows of a folder; `None` if a file has gone between its name and its first byte, as readers report it.
fn look(folder: &Path) -> Option<Vec<i64>> {
    let names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let files: Vec<File> = names.iter().map(|name| File::open(name).ok()).collect::<Option<_>>()?;
    let mut values = Vec::new();
    for file in files {
        for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            values.extend(batch.column_by_name("v").unwrap().as_primitive::<Int64Type>().values());
        }
    }
    Some(values)
}
