//! What the manifest says beside a node: changes, files, and a tail that is being written.

use std::collections::BTreeSet;
use std::fs;

use crate::lake::LakeError;
use crate::lake::feed::{Ask, Cursor, Feed, FeedError, feed};
use crate::lake::inventory::Inventory;
use crate::lake::ledger::{Change, ChangeKind, Changes, Ledger, Standing, Step, standing};
use crate::lake::manifest::{Manifest, NewCheckpoint, Record};

use super::home::*;

fn path(epoch: u64, n: u32) -> String {
    format!("lake/b/m/day=2024-01-01/{epoch:013}-{n:04}-0000000000000001.parquet")
}

/// A manifest of flushes 10, 20 and 30; between 20 and 30 a replacement, behind 30 another one and an expiry. Epoch 25 was taken back, epoch 40 is
/// open.
fn filled(home: &Home) -> Manifest {
    let mut manifest = home.recover().manifest;
    let mut intent = |epoch, adds: &[String], removes: &[String]| {
        manifest.append(&Record::Intent { epoch, adds: adds.to_vec(), removes: removes.to_vec() }).unwrap();
        let closing = match epoch {
            25 => Record::Abort { epoch },
            40 => return,
            _ => Record::Commit { epoch, catalog_bytes: 16 },
        };
        manifest.append(&closing).unwrap();
    };
    intent(10, &[path(10, 0)], &[]);
    intent(20, &[path(20, 0), path(20, 1)], &[]);
    intent(20, &[path(20, 7)], &[path(10, 0), path(20, 0)]);
    intent(25, &[path(25, 0)], &[]);
    intent(30, &[path(30, 0)], &[]);
    intent(30, &[path(30, 7)], &[path(20, 7), path(20, 1)]);
    intent(30, &[], &[path(30, 0)]);
    intent(40, &[path(40, 0)], &[]);
    manifest
}

fn ask(since: u64, files_max: usize) -> Ask {
    Ask { since, cursor: None, files_max }
}

/// Epoch and kind of each change, the epoch to ask with next, and whether there is more.
fn told(home: &Home, since: u64, limit: usize) -> (Vec<(u64, String)>, u64, bool) {
    let feed = feed(home.folder.path(), ask(since, limit), None, |_| true).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&feed.to_json().unwrap()).unwrap();
    let changes = json["changes"].as_array().unwrap().iter();
    let changes =
        changes.map(|change| (change["epoch"].as_u64().unwrap(), change["kind"].as_str().unwrap().to_owned()));
    (changes.collect(), json["last_epoch"].as_u64().unwrap(), json["more"].as_bool().unwrap())
}

#[test]
fn who_asks_with_the_last_epoch_misses_no_change() {
    let home = Home::new();
    let _manifest = filled(&home);
    let all = [(10, "flush"), (20, "flush"), (20, "replacement"), (30, "flush"), (30, "replacement"), (30, "expiry")];
    let all = all.map(|(epoch, kind)| (epoch, kind.to_owned()));
    for (since, first) in [(0, 0), (1, 0), (10, 1), (15, 1), (20, 2), (25, 2), (29, 2), (30, 4)] {
        assert_eq!(told(&home, since, usize::MAX), (all[first..].to_vec(), 30, false), "since {since}");
    }
    for since in [31, 40] {
        let error = feed(home.folder.path(), ask(since, 1), None, |_| true).unwrap_err();
        assert!(matches!(error, FeedError::Ahead { last_epoch: 30, .. }), "{error}");
    }
    // Epoch by epoch: each answer is whole, and none stands still.
    assert_eq!(told(&home, 0, 1), (all[..1].to_vec(), 10, true));
    assert_eq!(told(&home, 10, 1), (all[1..3].to_vec(), 20, true));
    assert_eq!(told(&home, 20, 1), (all[2..].to_vec(), 30, false));
    assert_eq!(told(&home, 30, 1), (all[4..].to_vec(), 30, false));
    assert_eq!(told(&home, 0, 3), (all[..3].to_vec(), 20, true), "the replacements behind an epoch come with it");
}

#[test]
fn a_copy_kept_by_the_feed_has_the_files_of_the_lake() {
    let home = Home::new();
    let _manifest = filled(&home);
    let committed: BTreeSet<String> = Ledger::read(home.folder.path()).unwrap().unwrap().files().collect();
    assert_eq!(committed, BTreeSet::from([path(30, 7)]));
    for limit in [1, 2, 100] {
        let (mut copy, mut since) = (BTreeSet::new(), 0);
        // Once more than needed: what is told again changes nothing.
        for _ in 0..5 {
            let feed = feed(home.folder.path(), ask(since, limit), None, |_| true).unwrap();
            let json: serde_json::Value = serde_json::from_slice(&feed.to_json().unwrap()).unwrap();
            for change in json["changes"].as_array().unwrap() {
                for path in change["removed"].as_array().unwrap() {
                    copy.remove(path.as_str().unwrap());
                }
                for file in change["added"].as_array().unwrap() {
                    copy.insert(file["path"].as_str().unwrap().to_owned());
                }
            }
            since = json["last_epoch"].as_u64().unwrap();
        }
        assert_eq!((copy, since), (committed.clone(), 30), "limit {limit}");
    }
}

/// As a node remembers them, so that a client that asks often does not cost it the whole manifest each time.
#[test]
fn who_goes_on_from_a_position_is_told_the_same() {
    let home = Home::new();
    let mut manifest = filled(&home);
    let text = |since, limit, from| {
        let feed = feed(home.folder.path(), ask(since, limit), from, |_| true).unwrap();
        (feed.to_json().unwrap(), feed.position)
    };
    for limit in [1, 2, 100] {
        let (mut since, mut from) = (0, None);
        for _ in 0..4 {
            let (there, position) = text(since, limit, from);
            assert_eq!(there, text(since, limit, None).0, "since {since}, limit {limit}");
            (since, from) = (position.unwrap().epoch, position);
        }
        assert_eq!(since, 30);
    }
    // A position of another epoch is of no use, and is not used.
    let (_, position) = text(0, 1, None);
    assert_eq!(position.unwrap().epoch, 10);
    assert_eq!(text(20, 100, position).0, text(20, 100, None).0);
    // What comes later is seen from there.
    let (_, position) = text(30, 100, None);
    manifest.append(&Record::Commit { epoch: 40, catalog_bytes: 16 }).unwrap();
    let (later, now) = text(30, 100, position);
    assert_eq!((&later, now.unwrap().epoch), (&text(30, 100, None).0, 40));
}

#[test]
fn an_answer_that_memory_has_no_room_for_is_refused() {
    let home = Home::new();
    let _manifest = filled(&home);
    let error = feed(home.folder.path(), ask(0, 100), None, |bytes| bytes < 200).unwrap_err();
    assert!(matches!(error, FeedError::Memory { .. }), "{error}");
    assert!(feed(home.folder.path(), ask(0, 1), None, |bytes| bytes < 200).is_ok());
}

#[test]
fn each_file_has_the_standing_that_the_manifest_gives_it() {
    let home = Home::new();
    let _manifest = filled(&home);
    let files = [path(30, 7), path(10, 0), path(25, 0), path(40, 0), path(50, 0)];
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let found = standing(home.folder.path(), &files).unwrap();
    let found: Vec<Option<Standing>> = files.iter().map(|file| found.get(file).copied()).collect();
    let expected = [Standing::Committed, Standing::Removed, Standing::Aborted, Standing::Intended].map(Some);
    assert_eq!(found, [&expected[..], &[None]].concat());
}

/// A node may be writing the last record; what stands before it is read, and damage is told apart from it.
#[test]
fn a_torn_tail_is_the_end_and_damage_is_an_error() {
    let home = Home::new();
    drop(filled(&home));
    let manifest = home.path("state/manifest");
    let whole = fs::read(&manifest).unwrap();
    let count = |home: &Home| -> Result<Vec<Change>, LakeError> {
        let mut changes = Changes::open(home.folder.path())?.unwrap();
        let mut all = Vec::new();
        while let Some(Step::Change(change)) = changes.next()? {
            all.push(change);
        }
        Ok(all)
    };
    let all = count(&home).unwrap();
    assert_eq!(all.iter().filter(|change| change.kind == ChangeKind::Flush).count(), 3);
    for length in (24..whole.len()).step_by(23) {
        fs::write(&manifest, &whole[..length]).unwrap();
        let found = count(&home).unwrap();
        assert_eq!(found, all[..found.len()], "cut at {length}");
    }
    let mut damaged = whole.clone();
    damaged[60] ^= 1;
    fs::write(&manifest, &damaged).unwrap();
    assert!(matches!(count(&home), Err(LakeError::ManifestDamaged { .. })));
    fs::write(&manifest, b"something else, as long as a header").unwrap();
    assert!(matches!(count(&home), Err(LakeError::ManifestDamaged { .. })));
    fs::remove_file(&manifest).unwrap();
    assert!(Ledger::read(home.folder.path()).unwrap().is_none());
    assert!(
        feed(home.folder.path(), ask(0, 1), None, |_| true).is_ok(),
        "nothing was published, so nothing has changed"
    );
}

/// A manifest of a checkpoint of five files at epoch 5, flush 6, and a replacement behind it.
fn condensed(home: &Home) {
    let files: Vec<String> = (1..=5).map(|epoch| path(epoch, 0)).collect();
    let inventory: Inventory = files.iter().map(String::as_str).collect();
    let checkpoint = NewCheckpoint { epoch: 5, floor: 5, catalog_bytes: 16, files: &inventory };
    let aside = home.recover().manifest.begin_aside(&checkpoint).unwrap();
    let mut manifest = aside.finish().unwrap().take_place().unwrap();
    for (adds, removes) in [(vec![path(6, 0)], vec![]), (vec![path(6, 1)], vec![path(6, 0)])] {
        manifest.append(&Record::Intent { epoch: 6, adds, removes }).unwrap();
        manifest.append(&Record::Commit { epoch: 6, catalog_bytes: 16 }).unwrap();
    }
}

fn json(feed: &Feed) -> serde_json::Value {
    serde_json::from_slice(&feed.to_json().unwrap()).unwrap()
}

#[test]
fn a_checkpoint_is_told_in_pieces_of_any_size() {
    let home = Home::new();
    condensed(&home);
    for files_max in 1..=7 {
        let (mut paths, mut cursor, mut cursors) = (Vec::new(), None, Vec::new());
        let last = loop {
            let feed = feed(home.folder.path(), Ask { since: 0, cursor, files_max }, None, |_| true).unwrap();
            let json = json(&feed);
            assert_eq!(json["changes"][0]["kind"], "checkpoint");
            let added = json["changes"][0]["added"].as_array().unwrap();
            assert!(added.len() <= files_max);
            paths.extend(added.iter().map(|file| file["path"].as_str().unwrap().to_owned()));
            let Some(next) = json.get("cursor") else { break json };
            assert_eq!((&json["more"], &json["last_epoch"], feed.position), (&true.into(), &0.into(), None));
            cursors.push(next.clone());
            cursor = Some(next.as_str().unwrap().parse::<Cursor>().unwrap());
        };
        assert_eq!(paths, (1..=5).map(|epoch| path(epoch, 0)).collect::<Vec<_>>());
        assert_eq!(cursors.len(), (5 - 1) / files_max, "none where nothing is left to tell");
        // The last piece goes on as any answer does.
        let told = json(&feed(home.folder.path(), ask(5, usize::MAX), None, |_| true).unwrap());
        match last["more"] == true {
            true => assert_eq!((&last["last_epoch"], last["changes"].as_array().unwrap().len()), (&5.into(), 1)),
            false => assert_eq!(last["changes"].as_array().unwrap()[1..], told["changes"].as_array().unwrap()[..]),
        }
    }
}

#[test]
fn a_cursor_is_of_one_checkpoint_only() {
    let home = Home::new();
    let stale = |home: &Home, since, checkpoint, files| {
        let ask = Ask { since, cursor: Some(Cursor { checkpoint, files }), files_max: 2 };
        matches!(feed(home.folder.path(), ask, None, |_| true), Err(FeedError::Stale { .. }))
    };
    assert!(stale(&home, 0, 5, 2), "no manifest");
    condensed(&home);
    assert!(!stale(&home, 0, 5, 2) && !stale(&home, 0, 5, 5));
    for (since, checkpoint, files) in [(0, 4, 2), (0, 6, 2), (0, 5, 6), (5, 5, 2), (6, 5, 2)] {
        assert!(stale(&home, since, checkpoint, files), "since {since}, {checkpoint}-{files}");
    }
    let home = Home::new();
    let _manifest = filled(&home);
    assert!(stale(&home, 0, 5, 2), "no checkpoint");
    for text in ["", "5", "5-", "-5", "5-x", "5-1-1", "5--1"] {
        assert!(text.parse::<Cursor>().is_err(), "{text}");
    }
}

#[test]
fn a_piece_asks_for_the_room_that_it_takes() {
    let home = Home::new();
    condensed(&home);
    let asked = |files_max| {
        let mut most = 0;
        let ask = Ask { since: 0, cursor: None, files_max };
        feed(home.folder.path(), ask, None, |bytes| {
            most = bytes;
            true
        })
        .unwrap();
        most
    };
    assert!(asked(1) > path(1, 0).len());
    assert_eq!(asked(3), 3 * asked(1));
}
