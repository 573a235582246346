//! Manifests that have grown, condensed at a start.

use std::collections::BTreeSet;
use std::fs;

use crate::lake::feed::{Ask, FeedError, feed};
use crate::lake::ledger::Ledger;
use crate::lake::manifest::Record;
use crate::lake::records::{Entry, Records};
use crate::lake::recover::inspect;

use super::home::*;

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
