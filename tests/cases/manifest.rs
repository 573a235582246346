//! Manifests of nodes that have run for long, written as docs/FORMATS.md has it: what a start costs, and what the feed of changes tells.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::lake_tools::{commit, intent};
use crate::limits::peak_bytes;
use crate::node::Node;

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

    /// A path of 250 bytes.
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
