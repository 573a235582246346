//! The replay of a log: parts, failures, ends of the node, crash images.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use crate::catalog::Catalog;
use crate::lake::manifest::Record;
use crate::lake::{Lake, LakeError};

use super::home::*;
use super::*;

/// Values of a table's files, in the order of their names.
fn values_of(home: &Home, measurement: &str) -> Vec<i64> {
    let of_table = |file: &String| file.contains(&format!("/{measurement}/"));
    home.values().into_iter().filter(|(file, _)| of_table(file)).map(|(_, value)| value).collect()
}

fn kinds(home: &Home) -> Vec<&'static str> {
    home.records().iter().map(kind).collect()
}

/// Waits until the lake has tried in vain to write a part.
fn wait_for_failure(lake: &Lake) {
    let progress = wait_for(lake, |progress| progress.failed_attempts > 0);
    assert!(progress.failure.unwrap().contains("cannot write"), "the sentence names what failed");
}

fn reason(error: LakeError) -> String {
    let LakeError::Replay { reason } = error else { panic!("{error}") };
    reason
}

#[test]
fn parts_become_one_epoch_whose_later_files_win_by_their_names() {
    let home = Home::new();
    let lake = home.open(1, 1).unwrap();
    lake.submit(home.part(0, 10, &[(1, 1)]));
    lake.finish(soon()).unwrap();
    let (on_commit, told) = listening();
    let lake = home.open_with(2, 1, on_commit).unwrap();
    // The second part has no rows.
    for rows in [&[(1, 9), (2, 20)][..], &[], &[(3, 30)], &[(4, 40), (5, 50)]] {
        lake.replay(20, home.tables(rows)).unwrap();
        assert_eq!((lake.progress().borrow().committed, home.files().len(), kinds(&home).len()), (10, 2, 2));
    }
    home.bear("without a row");
    lake.finish_replay(20).unwrap();
    assert_eq!((lake.progress().borrow().committed, home.budget.total(), home.aside()), (20, 0, 0));
    assert_eq!(*told.lock().unwrap(), [(20, 8)]);
    let records = home.records();
    let [.., Record::Intent { epoch: 20, adds, .. }, Record::Commit { epoch: 20, .. }] = &records[..] else { panic!() };
    assert_eq!((adds.len(), records.len()), (6, 4), "one intent and one commit for all parts");
    // The shard begins behind the replay.
    lake.submit(home.part(0, 21, &[(6, 60)]));
    lake.finish(soon()).unwrap();
    for measurement in ["m%20.x", "other"] {
        assert_eq!(values_of(&home, measurement), [1, 20, 30, 50, 60]);
    }
    let node = home.recover().manifest.node();
    for name in ["0000000000020-0000", "0000000000020-0001", "0000000000020-0002", "0000000000021-0000"] {
        assert!(home.files().contains(&format!("lake/b/other/day=1970-01-01/{name}-{node}.parquet")), "{name}");
    }
    assert_eq!(home.metrics.rows_written.get(), 10);
    assert_eq!(home.open(1, 1).unwrap().committed(), 21);
}

#[test]
fn a_part_that_cannot_be_written_holds_the_next_one_up_until_it_can() {
    let home = Home::new();
    let lake = home.open(2, 1).unwrap();
    fs::remove_dir(home.path("tmp")).unwrap();
    // The first part has none before it to wait for.
    lake.replay(20, home.tables(&[(1, 10)])).unwrap();
    wait_for_failure(&lake);
    assert!(home.metrics.failure().unwrap().contains("cannot write"));
    std::thread::scope(|scope| {
        let next = scope.spawn(|| lake.replay(20, home.tables(&[(2, 20)])));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!next.is_finished());
        assert!(home.budget.held_by(Consumer::SealedParts) > 0);
        fs::create_dir(home.path("tmp")).unwrap();
        next.join().unwrap().unwrap();
    });
    // No more is asked of the lake, and yet it goes on until both parts are encoded and their memory is given back.
    let until = soon();
    while home.budget.total() > 0 {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(2));
    }
    wait_for(&lake, |progress| progress.failure.is_none());
    assert_eq!((home.aside(), home.metrics.failure()), (4, None));
    lake.finish_replay(20).unwrap();
    lake.finish(soon()).unwrap();
    for measurement in ["m%20.x", "other"] {
        assert_eq!(values_of(&home, measurement), [10, 20], "attempts do not change the order");
    }
    assert!(home.files().iter().all(|file| file.contains("-0000-") || file.contains("-0001-")));
}

#[test]
fn a_node_that_ends_gives_an_unfinished_replay_up() {
    for disk_fails in [false, true] {
        let home = Home::new();
        let lake = home.open(2, 1).unwrap();
        if disk_fails {
            fs::remove_dir(home.path("tmp")).unwrap();
        }
        lake.replay(20, home.tables(&[(1, 10)])).unwrap();
        let began = Instant::now();
        lake.finish(soon()).unwrap();
        assert!(began.elapsed() < Duration::from_secs(3), "no attempt is made for what the log still holds");
        assert_eq!((home.files().len(), home.records().len(), home.budget.total()), (0, 0, 0));
        let lake = home.open(1, 1).unwrap();
        assert_eq!((lake.committed(), lake.epoch_floor(), home.aside()), (0, 0, 0));
        lake.replay(20, home.tables(&[(1, 10)])).unwrap();
        lake.finish_replay(20).unwrap();
        assert_eq!(values_of(&home, "other"), [10]);
    }
}

#[test]
fn a_stopped_replay_lets_its_caller_go() {
    let home = Home::new();
    let lake = home.open(2, 1).unwrap();
    fs::remove_dir(home.path("tmp")).unwrap();
    lake.replay(20, home.tables(&[(1, 10)])).unwrap();
    wait_for_failure(&lake);
    std::thread::scope(|scope| {
        let next = scope.spawn(|| lake.replay(20, home.tables(&[(2, 20)])));
        std::thread::sleep(Duration::from_millis(50));
        lake.stop_replay();
        assert!(reason(next.join().unwrap().unwrap_err()).contains("the node is ending"));
    });
    fs::create_dir(home.path("tmp")).unwrap();
    reason(lake.replay(20, home.tables(&[(3, 30)])).unwrap_err());
    reason(lake.finish_replay(20).unwrap_err());
    lake.finish(soon()).unwrap();
    assert_eq!((home.files().len(), home.records().len(), home.budget.total()), (0, 0, 0));
}

#[test]
fn stopping_when_no_replay_goes_on_stops_nothing_else() {
    let home = Home::new();
    let lake = home.open(1, 1).unwrap();
    lake.replay(20, home.tables(&[(1, 10)])).unwrap();
    lake.finish_replay(20).unwrap();
    lake.stop_replay();
    lake.submit(home.part(0, 21, &[(2, 20)]));
    lake.finish(soon()).unwrap();
    assert_eq!(values_of(&home, "other"), [10, 20]);
}

#[test]
fn epochs_wait_for_a_replay_that_has_begun() {
    let home = Home::new();
    let (on_commit, told) = listening();
    let lake = home.open_with(1, 1, on_commit).unwrap();
    lake.replay(20, home.tables(&[(1, 10)])).unwrap();
    lake.submit(home.part(0, 21, &[(2, 20)]));
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!((lake.progress().borrow().committed, kinds(&home).len()), (0, 0));
    lake.finish_replay(20).unwrap();
    wait_for(&lake, |progress| progress.committed == 21);
    assert_eq!(*told.lock().unwrap(), [(20, 7), (21, 7)]);
    lake.finish(soon()).unwrap();

    // Committed alone, the later epoch would hide the earlier rows from the next replay.
    let lake = home.open(1, 1).unwrap();
    lake.replay(30, home.tables(&[(3, 30)])).unwrap();
    lake.submit(home.part(0, 31, &[(4, 40)]));
    let error = lake.finish(soon()).unwrap_err();
    assert!(matches!(error, LakeError::Unpublished { epochs: 1, rows: 2, .. }), "{error}");
    assert_eq!(home.open(1, 1).unwrap().committed(), 21);
}

#[test]
fn a_replay_lies_above_every_epoch_of_manifest_and_lake() {
    let home = Home::new();
    let (on_commit, told) = listening();
    home.recover().manifest.append(&Record::Intent { epoch: 20, adds: vec![], removes: vec![] }).unwrap();
    let lake = home.open_with(1, 1, on_commit).unwrap();
    assert!(reason(lake.replay(20, home.tables(&[(1, 10)])).unwrap_err()).contains("above 20"));
    reason(lake.finish_replay(20).unwrap_err());
    lake.finish(soon()).unwrap();
    assert_eq!((home.files().len(), kinds(&home), home.budget.total()), (0, vec!["intent", "abort"], 0));
    assert_eq!(told.lock().unwrap().len(), 0);
}

#[test]
fn births_without_rows_are_saved_at_the_end_of_a_replay() {
    let home = Home::new();
    let (on_commit, told) = listening();
    let lake = home.open_with(1, 1, on_commit).unwrap();
    lake.replay(20, Vec::new()).unwrap();
    lake.finish_replay(20).unwrap();
    assert_eq!(*told.lock().unwrap(), [(20, 7)]);
    assert_eq!((lake.progress().borrow().committed, home.records().len()), (20, 0));
    lake.finish(soon()).unwrap();
    assert_eq!(Catalog::open(&home.path("state"), 0).unwrap().births(), 7);
}

#[test]
fn a_replay_that_cannot_be_published_leaves_nothing_of_it() {
    let home = Home::new();
    let lake = home.open(1, 1).unwrap();
    lake.replay(20, home.tables(&[(1, 10)])).unwrap();
    lake.replay(20, home.tables(&[(2, 20)])).unwrap();
    // The name of a file of the second part is taken.
    let node = home.manifest().node;
    let stranger = format!("lake/b/other/day=1970-01-01/0000000000020-0001-{node}.parquet");
    fs::create_dir_all(home.path("lake/b/other/day=1970-01-01")).unwrap();
    fs::write(home.path(&stranger), "not ours").unwrap();
    assert!(reason(lake.finish_replay(20).unwrap_err()).contains("cannot place"));
    assert!(home.metrics.failure().unwrap().contains("cannot place"));
    assert_eq!(lake.progress().borrow().committed, 0);
    reason(lake.finish_replay(20).unwrap_err());
    lake.finish(soon()).unwrap();
    assert_eq!((home.files(), home.aside()), (BTreeSet::from([stranger.clone()]), 0));
    assert_eq!((kinds(&home), home.budget.total()), (vec!["intent", "abort"], 0));

    fs::remove_file(home.path(&stranger)).unwrap();
    let lake = home.open(1, 1).unwrap();
    assert_eq!((lake.committed(), lake.epoch_floor()), (0, 20));
    lake.replay(21, home.tables(&[(2, 20)])).unwrap();
    lake.finish_replay(21).unwrap();
    assert_eq!(values_of(&home, "other"), [20]);
}

#[test]
fn a_replay_whose_births_cannot_be_saved_is_not_published() {
    for rows in [&[][..], &[(1, 10)]] {
        let (home, _catalog) = Home::with_full_catalog();
        let (on_commit, told) = listening();
        let lake = home.open_with(1, 1, on_commit).unwrap();
        home.bear("too much");
        lake.replay(20, home.tables(rows)).unwrap();
        assert!(reason(lake.finish_replay(20).unwrap_err()).contains("cannot save the catalog"));
        lake.finish(soon()).unwrap();
        assert_eq!((home.files().len(), told.lock().unwrap().len()), (0, 0));
        assert_eq!(kinds(&home), if rows.is_empty() { vec![] } else { vec!["intent", "abort"] });
    }
}

#[test]
fn quarantine_keeps_the_rows_of_each_part() {
    let home = Home::new();
    let lake = home.open(2, 1).unwrap();
    let tables = |value| vec![broken(home.sealed(0, &[(1, value)])), home.sealed(1, &[(1, value)])];
    lake.replay(20, tables(10)).unwrap();
    lake.replay(20, tables(20)).unwrap();
    lake.finish_replay(20).unwrap();
    assert!(home.metrics.failure().unwrap().contains("2 files with rows that could not be encoded"));
    assert_eq!((values_of(&home, "other"), home.files().len()), (vec![10, 20], 2));
    lake.finish(soon()).unwrap();

    // Nothing but quarantine: the rows are dealt with, and the next start must not find them in the log again.
    let lake = home.open(2, 1).unwrap();
    lake.replay(30, vec![broken(home.sealed(0, &[(1, 30)]))]).unwrap();
    lake.finish_replay(30).unwrap();
    lake.finish(soon()).unwrap();
    assert_eq!(kinds(&home), ["intent", "commit", "intent", "commit"]);
    assert_eq!((home.open(1, 1).unwrap().committed(), home.files().len()), (30, 2));
    let mut kept: Vec<i64> = Vec::new();
    for entry in fs::read_dir(home.path("quarantine")).unwrap() {
        let file = fs::File::open(entry.unwrap().path()).unwrap();
        for batch in arrow::ipc::reader::FileReader::try_new(file, None).unwrap() {
            kept.extend(batch.unwrap().column_by_name("v").unwrap().as_primitive::<Int64Type>().values());
        }
    }
    kept.sort_unstable();
    assert_eq!(kept, [10, 20, 30]);
}

#[test]
fn files_of_many_parts_and_days_do_not_meet_aside() {
    const PARTS: u64 = 12;
    const DAYS: u64 = 80;
    let home = Home::new();
    let lake = home.open(2, 1).unwrap();
    let table = home.catalog.table(0);
    let row = |part: u64, day: u64| Row {
        tags: BTreeMap::from([(0, "a".to_owned())]),
        time: day as i64 * 86_400_000_000_000,
        fields: BTreeMap::from([(0, Value::Integer((part * 1_000 + day) as i64))]),
    };
    for part in 0..PARTS {
        let requests = vec![(part, (0..DAYS).map(|day| row(part, day)).collect())];
        let rows = seal(&table, &requests, false);
        lake.replay(20, vec![sealed(&table, rows, &home.budget)]).unwrap();
    }
    lake.finish_replay(20).unwrap();
    lake.finish(soon()).unwrap();
    assert_eq!(home.aside(), 0);
    // By folder, which is by day, and then by name.
    let values: Vec<i64> = home.values().into_values().collect();
    let expected = (0..DAYS).flat_map(|day| (0..PARTS).map(move |part| (part * 1_000 + day) as i64));
    assert_eq!(values, expected.collect::<Vec<_>>());
}

/// What a crash leaves of a replay whose end had come so far.
struct Reached {
    manifest: usize,
    names: usize,
    catalog: usize,
}

#[test]
fn every_crash_image_of_a_replays_end_is_whole_after_a_start() {
    let home = Home::new();
    let lake = home.open(1, 1).unwrap();
    lake.submit(home.part(0, 10, &[(1, 1)]));
    lake.finish(soon()).unwrap();
    let before = home.image();
    let length = |image: &BTreeMap<String, Vec<u8>>, file: &str| image[file].len();
    home.bear("of the log");
    let lake = home.open(1, 1).unwrap();
    lake.replay(20, home.tables(&[(2, 20)])).unwrap();
    lake.replay(20, home.tables(&[(3, 30)])).unwrap();
    let intent = length(&before, "state/manifest");
    lake.finish_replay(20).unwrap();
    lake.finish(soon()).unwrap();
    let after = home.image();
    let placed: Vec<&String> = after.keys().filter(|file| !before.contains_key(*file)).collect();
    assert_eq!(placed.len(), 4);

    let (whole, old, new) =
        (length(&after, "state/manifest"), length(&before, "state/catalog"), length(&after, "state/catalog"));
    // A record of a commit has 37 bytes.
    let commit = whole - 37;
    let mut images = vec![
        ("files aside", Reached { manifest: intent, names: 0, catalog: old }),
        ("a torn intent", Reached { manifest: intent + 50, names: 0, catalog: old }),
        ("the intent", Reached { manifest: commit, names: 0, catalog: old }),
        ("some names", Reached { manifest: commit, names: 1, catalog: old }),
        ("names of both parts", Reached { manifest: commit, names: 3, catalog: old }),
        ("all names", Reached { manifest: commit, names: 4, catalog: old }),
        ("a torn catalog", Reached { manifest: commit, names: 4, catalog: old + 5 }),
        ("the catalog", Reached { manifest: commit, names: 4, catalog: new }),
        ("the commit", Reached { manifest: whole, names: 4, catalog: new }),
    ];
    images.extend((commit + 1..whole).map(|manifest| ("a torn commit", Reached { manifest, names: 4, catalog: new })));
    for (step, reached) in images {
        let mut image = after.clone();
        image.get_mut("state/manifest").unwrap().truncate(reached.manifest);
        image.get_mut("state/catalog").unwrap().truncate(reached.catalog);
        for (index, file) in placed.iter().enumerate().skip(reached.names) {
            let bytes = image.remove(*file).unwrap();
            image.insert(format!("tmp/{index}.part"), bytes);
        }
        let home = Home::of_image(&image);
        let lake = home.open(1, 1).unwrap();
        let is_committed = reached.manifest == whole;
        let expected = if is_committed { &after } else { &before };
        assert_eq!(lake.committed(), if is_committed { 20 } else { 10 }, "{step}");
        assert_eq!(lake.epoch_floor(), if reached.manifest >= commit { 20 } else { 10 }, "{step}");
        assert!(home.files().iter().eq(expected.keys().filter(|file| file.starts_with("lake/"))), "{step}");
        assert_eq!(home.aside(), 0, "{step}");
        if !is_committed {
            // The log is read again.
            lake.replay(30, home.tables(&[(2, 20)])).unwrap();
            lake.replay(30, home.tables(&[(3, 30)])).unwrap();
            lake.finish_replay(30).unwrap();
        }
        for measurement in ["m%20.x", "other"] {
            assert_eq!(values_of(&home, measurement), [1, 20, 30], "{step}");
        }
        lake.finish(soon()).unwrap();
    }
}

#[test]
fn a_replay_that_was_killed_between_parts_is_forgotten() {
    let home = Home::new();
    home.catalog.save().unwrap();
    let lake = home.open(2, 1).unwrap();
    lake.replay(20, home.tables(&[(1, 10)])).unwrap();
    lake.replay(20, home.tables(&[(2, 20)])).unwrap();
    let home = Home::of_image(&home.image());
    assert!(home.aside() >= 2, "of the first part at least");
    let lake = home.open(1, 1).unwrap();
    assert_eq!((lake.committed(), lake.epoch_floor(), home.files().len(), home.aside()), (0, 0, 0, 0));
    lake.submit(home.part(0, 21, &[(3, 30)]));
    lake.finish(soon()).unwrap();
    assert_eq!(values_of(&home, "other"), [30]);
}
