//! Manifests of nodes that have run for long, written as docs/FORMATS.md has it: what a start costs, and what the feed of changes tells.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

use serde_json::Value;

use crate::answers::expect_row;
use crate::lake_tools::{commit, intent};
use crate::limits::peak_bytes;
use crate::node::{Node, ringest};

const MIB: u64 = 1 << 20;

/// What a manifest is to have, record by record.
struct History {
    node: String,
    bytes: Vec<u8>,
    sequence: u64,
}

impl History {
    /// Behind the records of a node that was stopped, of which there are `sequence`.
    fn behind(dir: &Path, sequence: u64) -> Self {
        let bytes = fs::read(dir.join("state/manifest")).unwrap();
        let node = bytes[12..20].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { node, bytes, sequence }
    }

    /// A path of about 250 bytes.
    fn path(&self, epoch: u64, n: u32) -> String {
        format!("lake/{}/m/day=2024-01-01/{epoch:013}-{n:04}-{}.parquet", "b".repeat(182), self.node)
    }

    fn push(&mut self, record: &[u8]) {
        let body = [&self.sequence.to_le_bytes()[..], record].concat();
        self.sequence += 1;
        self.bytes.extend(b"\xF7rec");
        self.bytes.extend((body.len() as u32).to_le_bytes());
        self.bytes.extend(crc32fast::hash(&body).to_le_bytes());
        self.bytes.extend(body);
    }

    /// A manifest of the same node that begins with a checkpoint of these files.
    fn condensed(&self, epoch: u64, files: impl ExactSizeIterator<Item = String>) -> Self {
        let mut bytes = self.bytes[..20].to_vec();
        bytes[8..12].copy_from_slice(&2_u32.to_le_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        let mut body = vec![4];
        [epoch, epoch, 16].iter().for_each(|number| body.extend(number.to_le_bytes()));
        body.extend((files.len() as u32).to_le_bytes());
        for file in files {
            body.extend((file.len() as u16).to_le_bytes());
            body.extend(file.as_bytes());
        }
        let mut condensed = Self { node: self.node.clone(), bytes, sequence: 0 };
        condensed.push(&body);
        condensed
    }

    fn change(&mut self, epoch: u64, adds: &[&str], removes: &[&str]) {
        self.push(&intent(epoch, adds, removes));
        self.push(&commit(epoch));
    }

    fn write(&self, dir: &Path) {
        fs::write(dir.join("state/manifest"), &self.bytes).unwrap();
    }
}

/// The data of a node that has published nothing.
fn fresh() -> (TempDir, u64) {
    let node = Node::start(&["--shards", "1"]);
    let peak = peak_bytes(&node);
    (node.stop(), peak)
}

#[test]
fn a_start_needs_memory_for_the_files_that_there_are_not_for_those_that_there_were() {
    let (dir, peak_of_fresh) = fresh();
    let mut history = History::behind(dir.path(), 0);
    for hour in 0..2_000 {
        let old: Vec<String> = (1..=40).map(|epoch| history.path(hour * 100 + epoch, 0)).collect();
        for (epoch, file) in (1..).zip(&old) {
            history.change(hour * 100 + epoch, &[file], &[]);
        }
        let old: Vec<&str> = old.iter().map(String::as_str).collect();
        let merged = history.path(hour * 100 + 40, 1);
        history.change(hour * 100 + 40, &[&merged], &old);
        history.change(hour * 100 + 40, &[], &[&merged]);
    }
    assert!(history.sequence > 160_000 && history.bytes.len() as u64 > 40 * MIB, "{}", history.bytes.len());
    history.write(dir.path());
    let mut node = Node::start_in(dir, &["--shards", "1"]);
    let peak = peak_bytes(&node);
    assert!(peak < peak_of_fresh + 16 * MIB, "{} MiB, and {} MiB without it", peak / MIB, peak_of_fresh / MIB);
    node.wait_for_log("the manifest is condensed");
    node.must_write("d", "m v=1 1");
    let dir = node.stop();
    assert!(fs::metadata(dir.path().join("state/manifest")).unwrap().len() < 2 * MIB);
}

/// Follows the feed as docs/LAKE.md says, from the beginning: the files that are left, the last epoch, and how many answers it took.
fn follow(mut answer: impl FnMut(&str) -> Value) -> (BTreeSet<String>, u64, usize) {
    let (mut files, mut since, mut cursor, mut answers) = (BTreeSet::new(), 0, String::new(), 0);
    loop {
        let told = answer(&format!("since={since}{cursor}"));
        answers += 1;
        for change in told["changes"].as_array().unwrap() {
            files.extend(change["added"].as_array().unwrap().iter().map(|file| text(&file["path"])));
            for path in change["removed"].as_array().unwrap() {
                assert!(files.remove(&text(path)), "{path} was told before");
            }
        }
        since = told["last_epoch"].as_u64().unwrap();
        cursor = told.get("cursor").map_or_else(String::new, |cursor| format!("&cursor={}", text(cursor)));
        assert!(cursor.is_empty() || told["more"] == true && since == 0, "{cursor}");
        if told["more"] == false {
            return (files, since, answers);
        }
    }
}

fn text(json: &Value) -> String {
    json.as_str().unwrap().to_owned()
}

#[test]
fn a_checkpoint_of_very_many_files_is_told_in_pieces() {
    const FILES: u64 = 215_000;
    let (dir, _) = fresh();
    let history = History::behind(dir.path(), 0);
    let files: Vec<String> = (1..=FILES).map(|epoch| history.path(epoch, 0)).collect();
    let mut condensed = history.condensed(FILES, files.iter().cloned());
    let (new, gone) = (history.path(FILES + 1, 0), &files[7]);
    condensed.change(FILES + 1, &[&new], &[]);
    condensed.change(FILES + 1, &[], &[gone]);
    condensed.write(dir.path());
    // As a whole it would take more.
    let node = Node::start_in(dir, &["--shards", "1", "--memory-limit", "192MiB"]);
    let ask = |query: &str| node.request("GET", &format!("/api/changes?{query}"), b"");
    let mut expected: BTreeSet<String> = files.iter().filter(|file| *file != gone).cloned().collect();
    expected.insert(new);
    let (told, last_epoch, answers) = follow(|query| ask(query).json());
    assert!(told == expected);
    assert_eq!((last_epoch, answers), (FILES + 1, 22));
    let whole = ask("since=0&limit=215000");
    assert_eq!(whole.status, 503, "{whole:?}");
    // The tool tells the same.
    let tool = |query: &str| -> Value {
        let arguments = query.split('&').map(|argument| format!("--{argument}"));
        let mut command = ringest("lake");
        command.args(["changes", "--limit", "90000", "--data-dir"]).arg(node.data_dir()).args(arguments);
        serde_json::from_slice(&command.output().unwrap().stdout).unwrap()
    };
    let (told, last_epoch, answers) = follow(tool);
    assert!(told == expected);
    assert_eq!((last_epoch, answers), (FILES + 1, 3));
    let first = ask("since=0").json();
    assert_eq!((&first["last_epoch"], &first["cursor"]), (&0.into(), &format!("{FILES}-10000").into()));
    assert_eq!(first["changes"].as_array().unwrap().len(), 1);
    assert_eq!(first["changes"][0]["added"].as_array().unwrap().len(), 10_000);

    // A cursor of another checkpoint, of none, or of a file that it has not.
    let asks = [
        format!("cursor={}-10000", FILES - 1),
        format!("cursor={FILES}-{}", FILES + 1),
        format!("since={FILES}&cursor={FILES}-10000"),
    ];
    for query in asks {
        let answer = ask(&query);
        expect_row("cannot tell what has changed", &answer);
        assert!(answer.text().contains("begin anew with since=0 and without a cursor"), "{answer:?}");
    }
    let dir = node.stop();
    history.condensed(FILES + 1, files.iter().take(20_000).cloned().collect::<Vec<_>>().into_iter()).write(dir.path());
    let node = Node::start_in(dir, &["--shards", "1"]);
    let answer = node.request("GET", &format!("/api/changes?cursor={}", text(&first["cursor"])), b"");
    expect_row("cannot tell what has changed", &answer);
    node.stop();
}
