//! Manifests that have grown, condensed at a start and while the lake runs.

use std::collections::BTreeSet;
use std::fs;
use std::time::Instant;

use crate::lake::checkpoint::{Outcome, condense};
use crate::lake::feed::{Ask, FeedError, feed};
use crate::lake::ledger::{Changes, Ledger, Position, Step};
use crate::lake::manifest::Record;
use crate::lake::publish::{LINGER, Publisher, Replacement};
use crate::lake::records::{Entry, Records};
use crate::lake::recover::inspect;

use crate::lake::{Extent, Lake, Options};

use super::home::*;
use super::*;

/// Records that name files of such an epoch; long names fill the manifest.
fn path(epoch: u64) -> String {
    format!("lake/{}/m/day=2024-01-01/{epoch:013}-0000-0000000000000001.parquet", "b".repeat(200))
}

/// A home whose manifest has tens of thousands of records of files that are gone, and a file that is there.
fn grown() -> (Home, String) {
    let home = Home::new();
    let mut manifest = home.recover().manifest;
    let node = manifest.node();
    let there = format!("lake/b/m/day=2024-01-01/0000000000005-0000-{node}.parquet");
    fs::create_dir_all(home.path("lake/b/m/day=2024-01-01")).unwrap();
    fs::write(home.path(&there), "rows").unwrap();
    let mut add = |epoch, adds: Vec<String>, removes: Vec<String>| {
        manifest.append(&Record::Intent { epoch, adds, removes }).unwrap();
        manifest.append(&Record::Commit { epoch, catalog_bytes: 16 }).unwrap();
    };
    add(5, vec![there.clone()], vec![]);
    let gone = |first: u64| -> Vec<String> { (first..first + 10_000).map(path).collect() };
    for epoch in [10_000, 20_000] {
        add(epoch, gone(epoch), vec![]);
    }
    for epoch in [10_000, 20_000] {
        add(20_000, vec![], gone(epoch));
    }
    // A flush behind it, so that there is a place to cut.
    add(30_000, vec![path(30_000)], vec![]);
    add(30_000, vec![], vec![path(30_000)]);
    (home, there)
}

#[test]
fn a_grown_manifest_is_condensed_and_says_the_same() {
    let (home, there) = grown();
    let before = fs::metadata(home.path("state/manifest")).unwrap().len();
    assert!(before > 8 << 20);
    let first = home.recover();
    let expected = (first.committed, first.epoch_floor, first.inventory);
    assert_eq!((expected.0, expected.1), (30_000, 30_000));
    drop(first.manifest);
    let after = fs::metadata(home.path("state/manifest")).unwrap().len();
    assert!(after < 1_000, "{after}");
    let kinds: Vec<&str> = home.records().iter().map(kind).collect();
    assert_eq!(kinds, ["intent", "commit"]);
    let files = home.manifest().checkpoint.unwrap().files;
    assert_eq!(files.map(Result::unwrap).collect::<Vec<_>>(), [there.clone(), path(30_000)]);
    assert_eq!(inspect(home.folder.path()).unwrap().catalog_bytes_min(), 16);
    let again = home.recover();
    assert_eq!((again.committed, again.epoch_floor, again.inventory), expected);
    assert_eq!(
        Ledger::read(home.folder.path()).unwrap().unwrap().files().collect::<Vec<_>>(),
        std::slice::from_ref(&there)
    );

    let told = |since| {
        let feed = feed(home.folder.path(), Ask { since, cursor: None, files_max: 100 }, None, |_| true)?;
        Ok::<serde_json::Value, FeedError>(serde_json::from_slice(&feed.to_json().unwrap()).unwrap())
    };
    let all = told(0).unwrap();
    assert_eq!((&all["changes"][0]["kind"], &all["last_epoch"]), (&"checkpoint".into(), &30_000.into()));
    let added = all["changes"][0]["added"].as_array().unwrap();
    assert_eq!(added.len(), 2, "the file that goes behind the checkpoint is still told");
    assert_eq!(added[0]["path"], there);
    let newest = told(30_000).unwrap();
    assert_eq!(newest["changes"].as_array().unwrap().len(), 1, "who knew the last epoch misses nothing");
    assert_eq!(newest["changes"][0]["kind"], "expiry");
    for since in [1, 5, 20_000, 29_999] {
        assert!(matches!(told(since), Err(FeedError::Forgotten { checkpoint: 30_000, .. })), "{since}");
    }

    // A lake goes on with it.
    let lake = home.open(1, 1).unwrap();
    assert_eq!((lake.committed(), lake.epoch_floor()), (30_000, 30_000));
    lake.submit(home.part(0, 30_001, &[(1, 1)]));
    lake.finish(soon()).unwrap();
    assert_eq!(home.files().len(), 3);
    assert_eq!(home.records().len(), 4);
    assert_eq!(after_start(&home).len(), 3);
}

#[test]
fn every_crash_image_of_a_checkpoint_is_whole_after_a_start() {
    let (home, there) = grown();
    let manifest = home.path("state/manifest");
    let before = fs::read(&manifest).unwrap();
    drop(home.recover());
    let condensed = fs::read(&manifest).unwrap();
    let expected = BTreeSet::from([there]);
    let start = |what: &str| {
        let recovered = home.recover();
        assert_eq!((recovered.committed, recovered.epoch_floor), (30_000, 30_000), "{what}");
        drop(recovered);
        assert_eq!(home.files(), expected, "{what}");
        assert_eq!(fs::read(&manifest).unwrap(), condensed, "{what}");
    };
    // Aside, in part or whole, and not renamed.
    for length in [0, 1, 23, 24, 30, condensed.len() / 2, condensed.len() - 1, condensed.len()] {
        fs::write(&manifest, &before).unwrap();
        fs::write(home.path("state/manifest.new"), &condensed[..length]).unwrap();
        start(&format!("{length} bytes aside"));
    }
    // Renamed.
    start("in its place");
    // Its last record may be torn like that of any manifest; its checkpoint may not be missed.
    let mut records = Records::open(&manifest).unwrap().unwrap();
    assert!(matches!(records.next(), Ok(Some(Entry::Checkpoint(_)))));
    let end = records.position().offset as usize;
    for length in 24..condensed.len() {
        fs::write(&manifest, &condensed[..length]).unwrap();
        match inspect(home.folder.path()) {
            Ok(_) => assert!(length >= end, "{length}"),
            Err(error) => {
                let error = error.to_string();
                assert!(length < end && error.contains("does not name the file"), "{length}: {error}");
            }
        }
    }
}

/// Publishes one epoch after the other and merges now and then, as a node does that runs for long; `seen` is called after each.
fn run(home: &Home, lake: &Lake, epochs: std::ops::RangeInclusive<u64>, mut seen: impl FnMut(u64)) {
    for epoch in epochs {
        lake.submit(home.part(0, epoch, &[(epoch, epoch as i64)]));
        wait_for(lake, |progress| progress.committed >= epoch);
        if epoch % 15 == 0 {
            lake.compact(Extent::All).blocking_recv().unwrap().unwrap();
        }
        seen(epoch);
    }
}

fn long_running() -> Options {
    Options { condense_bytes: 8 << 10, ..Options::new(1, 1) }
}

/// Follows the feed as a client does whose positions a node remembers.
#[derive(Default)]
struct Follower {
    files: BTreeSet<String>,
    since: u64,
    position: Option<Position>,
}

impl Follower {
    fn ask(&mut self, home: &Home) {
        let ask = Ask { since: self.since, cursor: None, files_max: usize::MAX };
        let feed = feed(home.folder.path(), ask, self.position, |_| true).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&feed.to_json().unwrap()).unwrap();
        let text = |json: &serde_json::Value| json.as_str().unwrap().to_owned();
        for change in json["changes"].as_array().unwrap() {
            self.files.extend(change["added"].as_array().unwrap().iter().map(|file| text(&file["path"])));
            change["removed"].as_array().unwrap().iter().for_each(|path| {
                self.files.remove(&text(path));
            });
        }
        (self.since, self.position) = (json["last_epoch"].as_u64().unwrap(), feed.position);
    }
}

#[test]
fn a_running_lake_condenses_its_manifest_again_and_again() {
    let home = Home::new();
    let lake = home.open_as(long_running(), Box::new(|_, _| {})).unwrap();
    let (mut checkpoints, mut longest) = (BTreeSet::new(), 0);
    let mut follower = Follower::default();
    run(&home, &lake, 1..=150, |_| {
        let read = home.manifest();
        checkpoints.extend(read.checkpoint.map(|checkpoint| checkpoint.epoch));
        longest = longest.max(read.end.offset);
        follower.ask(&home);
    });
    lake.finish(soon()).unwrap();
    follower.ask(&home);
    assert!(checkpoints.len() > 1, "{checkpoints:?}");
    assert!(longest < 32 << 10, "{longest}");
    assert_eq!(follower.files, home.files(), "who follows is never told to begin anew");
    assert_eq!(Ledger::read(home.folder.path()).unwrap().unwrap().files().collect::<BTreeSet<_>>(), home.files());
    assert_eq!(home.budget.total(), 0);
    let files = home.files();
    let lake = home.open(1, 1).unwrap();
    assert_eq!((lake.committed(), lake.epoch_floor()), (150, 150));
    drop(lake);
    assert_eq!(after_start(&home), files);
}

#[test]
fn a_manifest_that_cannot_be_condensed_goes_on_and_is_condensed_later() {
    let home = Home::new();
    let lake = home.open_as(long_running(), Box::new(|_, _| {})).unwrap();
    let aside = home.path("state/manifest.new");
    fs::create_dir(&aside).unwrap();
    run(&home, &lake, 1..=60, |_| ());
    let read = home.manifest();
    assert!(read.checkpoint.is_none() && read.end.offset > 8 << 10);
    assert_eq!(lake.progress().borrow().failed_attempts, 0);
    fs::remove_dir(&aside).unwrap();
    run(&home, &lake, 61..=90, |_| ());
    lake.finish(soon()).unwrap();
    assert!(home.manifest().checkpoint.is_some());
    assert_eq!(after_start(&home), home.files());
}

#[test]
fn a_file_that_is_to_go_is_named_until_it_is_gone() {
    let home = Home::new();
    let lake = home.open(1, 1).unwrap();
    run(&home, &lake, 1..=2, |_| ());
    lake.finish(soon()).unwrap();
    let files: Vec<String> = home.files().into_iter().collect();
    let recovered = home.recover();
    let data_dir = home.folder.path().to_owned();
    let mut publisher = Publisher::new(data_dir, recovered.disk, recovered.manifest).condense_from(1);
    assert!(!publisher.is_to_condense(), "it is no longer than it was");
    let staged = |n: usize| {
        let target = files[0].replace("-0000-", &format!("-{n:04}-"));
        let aside = home.path(&format!("tmp/{n}"));
        fs::write(&aside, "rows").unwrap();
        crate::lake::publish::Staged { aside, target, written: Written { rows: 1, bytes: 4 } }
    };
    let mut before = files[0].clone();
    while !publisher.is_to_condense() {
        let new = staged(home.records().len());
        let target = new.target.clone();
        publisher.replace(&Replacement { epoch: 2, files: vec![new], removes: vec![before] }, &home.catalog).unwrap();
        assert!(!publisher.is_to_condense(), "the old one is still there");
        publisher.sweep(Instant::now() + LINGER);
        before = target;
    }
}

#[test]
fn who_reads_while_a_manifest_is_condensed_is_told_the_same() {
    let home = Home::new();
    let mut manifest = home.recover().manifest;
    for epoch in 1..=100 {
        let removes = if epoch > 1 { vec![path(epoch - 1)] } else { vec![] };
        manifest.append(&Record::Intent { epoch, adds: vec![path(epoch)], removes }).unwrap();
        manifest.append(&Record::Commit { epoch, catalog_bytes: 16 }).unwrap();
    }
    let open = || Changes::open(home.folder.path()).unwrap().unwrap();
    let epochs = |changes: &mut Changes, most: usize| {
        let mut epochs = Vec::new();
        while epochs.len() < most
            && let Some(step) = changes.next().unwrap()
        {
            let Step::Change(change) = step else { panic!("a checkpoint") };
            epochs.push(change.epoch);
        }
        epochs
    };
    let mut reader = open();
    assert_eq!(epochs(&mut reader, 30), (1..=30).collect::<Vec<_>>());
    let ask = Ask { since: 99, cursor: None, files_max: usize::MAX };
    let position = feed(home.folder.path(), Ask { since: 98, files_max: 1, ..ask }, None, |_| true).unwrap().position;
    assert_eq!(position.unwrap().epoch, 99);
    let before = feed(home.folder.path(), ask, position, |_| true).unwrap().to_json().unwrap();
    assert_eq!(condense(&mut manifest, 2_000).unwrap(), Outcome::Condensed);
    assert!(home.manifest().checkpoint.unwrap().epoch < 99);
    // What was open is read on as it was; a position in it is of no use in what took its place.
    assert_eq!(epochs(&mut reader, usize::MAX), (31..=100).collect::<Vec<_>>());
    let told = feed(home.folder.path(), ask, position, |_| true).unwrap();
    assert_eq!(told.to_json().unwrap(), before);
    let new = told.position;
    assert_ne!(new, position);
    assert_eq!(feed(home.folder.path(), ask, new, |_| true).unwrap().to_json().unwrap(), before);
}
