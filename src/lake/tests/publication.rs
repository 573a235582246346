//! Publication and recovery: crash images, failures, order of epochs.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use crate::catalog::Catalog;
use crate::lake::disk::Disk;
use crate::lake::manifest::{Manifest, Record};
use crate::lake::partition::FileName;
use crate::lake::publish::{Failure, Publisher, Replacement, Staged};
use crate::lake::recover::inspect;
use crate::lake::{LakeError, Part};

use super::home::*;
use super::*;

#[test]
fn an_epoch_waits_for_every_shard_and_for_the_epoch_before_it() {
    let home = Home::new();
    let lake = home.open(2, 2).unwrap();
    lake.submit(home.part(0, 10, &[(2, 20)]));
    lake.submit(home.part(0, 11, &[(4, 40)]));
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!((lake.progress().borrow().committed, home.files().len()), (0, 0));
    lake.submit(home.part(1, 10, &[(3, 30)]));
    wait_for(&lake, |progress| progress.committed == 10);
    assert_eq!(home.values().into_values().collect::<Vec<_>>(), [30, 30], "the later request wins");
    // Shard 1 passes epochs 11 and 12 without rows.
    lake.submit(home.part(1, 12, &[]));
    wait_for(&lake, |progress| progress.committed == 11);
    let length = fs::metadata(home.path("state/manifest")).unwrap().len();
    lake.submit(home.part(0, 15, &[]));
    wait_for(&lake, |progress| progress.committed == 12);
    assert_eq!(fs::metadata(home.path("state/manifest")).unwrap().len(), length, "nothing to say about empty epochs");
    lake.finish(soon()).unwrap();
    assert_eq!((home.files().len(), home.aside()), (4, 0));
    assert_eq!((home.metrics.files_written.get(), home.metrics.rows_written.get()), (4, 4));
    assert_eq!((home.budget.total(), home.metrics.publish_failures.get()), (0, 0));
}

/// With a part of an epoch committed, a start would take the log's other requests of it for published.
#[test]
fn finish_publishes_no_epoch_that_a_shard_has_not_left() {
    let home = Home::new();
    let lake = home.open(3, 2).unwrap();
    lake.submit(home.part(0, 10, &[(1, 1)]));
    lake.submit(home.part(1, 10, &[(2, 2)]));
    lake.submit(home.part(1, 11, &[(3, 3)]));
    let error = lake.finish(soon()).unwrap_err().to_string();
    assert!(error.contains("1 epoch with 2 rows is not in the lake: not every shard"), "{error}");
    assert_eq!(home.values().into_values().collect::<Vec<_>>(), [2, 2]);
    let names = home.files();
    let node = home.recover().manifest.node();
    assert!(names.contains(&format!("lake/b/m%20.x/day=1970-01-01/0000000000010-0000-{node}.parquet")), "{names:?}");
    assert_eq!(home.open(1, 1).unwrap().epoch_floor(), 10);
}

#[test]
fn a_write_that_fails_is_made_again_and_later_epochs_wait() {
    let home = Home::new();
    let lake = home.open(2, 1).unwrap();
    fs::remove_dir(home.path("tmp")).unwrap();
    lake.submit(home.part(0, 10, &[(1, 1)]));
    lake.submit(home.part(0, 11, &[(2, 2)]));
    let progress = wait_for(&lake, |progress| progress.failed_attempts >= 2);
    assert!(progress.failure.unwrap().contains("cannot write"), "the sentence names what failed");
    assert_eq!(progress.committed, 0);
    assert!(home.budget.held_by(Consumer::SealedParts) > 0);
    fs::create_dir(home.path("tmp")).unwrap();
    let progress = wait_for(&lake, |progress| progress.committed == 11);
    assert_eq!(progress.failure, None);
    assert!(home.metrics.publish_failures.get() >= 2);
    lake.finish(soon()).unwrap();
    assert_eq!(home.values().into_values().collect::<Vec<_>>(), [1, 2, 1, 2]);
}

#[test]
fn finish_gives_up_at_its_time_and_says_what_is_left() {
    let home = Home::new();
    let lake = home.open(2, 1).unwrap();
    fs::remove_dir(home.path("tmp")).unwrap();
    lake.submit(home.part(0, 10, &[(1, 1), (2, 2)]));
    lake.submit(home.part(0, 11, &[(3, 3)]));
    let began = Instant::now();
    let error = lake.finish(began + Duration::from_millis(700)).unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(3));
    let LakeError::Unpublished { epochs, rows, reason } = error else { panic!("{error}") };
    assert_eq!((epochs, rows), (2, 6));
    assert!(reason.contains("cannot write"), "{reason}");
}

#[test]
fn a_taken_name_aborts_the_attempt_and_the_next_takes_another() {
    let home = Home::new();
    let lake = home.open(1, 1).unwrap();
    let node = home.manifest().node;
    let day = home.path("lake/b/other/day=1970-01-01");
    fs::create_dir_all(&day).unwrap();
    let stranger = day.join(format!("0000000000010-0000-{node}.parquet"));
    fs::write(&stranger, "not ours").unwrap();
    lake.submit(home.part(0, 10, &[(1, 1)]));
    wait_for(&lake, |progress| progress.committed == 10);
    lake.finish(soon()).unwrap();
    assert_eq!(fs::read(&stranger).unwrap(), b"not ours");
    fs::remove_file(&stranger).unwrap();
    assert_eq!(home.values().len(), 2);
    assert!(home.files().iter().all(|file| file.contains("-0001-")), "the first attempt left nothing");
    let kinds: Vec<&str> = home.records().iter().map(kind).collect();
    assert_eq!(kinds, ["intent", "abort", "intent", "commit"]);
    assert_eq!(home.aside(), 0);
}

/// Files aside and a publisher that may place them.
fn staged(home: &Home, count: usize) -> (Publisher, Vec<Staged>) {
    let recovered = home.recover();
    let node = recovered.manifest.node();
    let file = |index: usize| {
        let aside = home.path(&format!("tmp/{index}.part"));
        fs::write(&aside, "rows").unwrap();
        let target = format!("lake/b/m{index}/day=2024-01-01/0000000000020-0000-{node}.parquet");
        Staged { aside, target, written: Written { rows: 1, bytes: 4 } }
    };
    (Publisher::new(home.folder.path().to_owned(), recovered.disk, recovered.manifest), (0..count).map(file).collect())
}

#[test]
fn every_crash_image_of_a_publication_is_whole_after_a_start() {
    // How far the publication came: files aside; folders; intent; one name; all names; synced; committed. With few files, that
    // are synced one by one, and with many.
    for (reached, count) in (0..7).flat_map(|reached| [(reached, 2), (reached, 100)]) {
        let home = Home::new();
        let (mut publisher, files) = staged(&home, count);
        if reached >= 1 {
            publisher.make_folders(&files).unwrap();
        }
        if reached >= 2 {
            publisher.intend(20, &files, &[]).unwrap();
        }
        match reached {
            0..3 => {}
            3 => publisher.place(&files[..1], &mut 0).unwrap(),
            _ => publisher.place(&files, &mut 0).unwrap(),
        }
        if reached >= 5 {
            publisher.sync_folders(&files).unwrap();
        }
        if reached >= 6 {
            publisher.commit(20, 16).unwrap();
        }
        drop(publisher);
        let expected: BTreeSet<String> =
            files.iter().map(|file| file.target.clone()).filter(|_| reached == 6).collect();
        assert_eq!(after_start(&home), expected, "after step {reached} with {count} files");
        let lake = home.open(1, 1).unwrap();
        assert_eq!(lake.committed(), if reached == 6 { 20 } else { 0 }, "after step {reached} with {count} files");
        let floor = lake.epoch_floor();
        assert_eq!(floor, if reached >= 2 { 20 } else { 0 }, "an epoch that was rolled back is not used again");
    }
}

#[test]
fn an_epoch_that_is_only_mentioned_is_not_committed() {
    let home = Home::new();
    let lake = home.open(1, 1).unwrap();
    assert_eq!((lake.committed(), lake.epoch_floor()), (0, 0));
    lake.submit(home.part(0, 10, &[(1, 1)]));
    lake.submit(home.part(0, 12, &[]));
    lake.finish(soon()).unwrap();
    // An intent that nothing follows, and then a file of another node.
    home.recover().manifest.append(&Record::Intent { epoch: 20, adds: vec![], removes: vec![] }).unwrap();
    let lake = home.open(1, 1).unwrap();
    assert_eq!((lake.committed(), lake.epoch_floor(), lake.progress().borrow().committed), (10, 20, 10));
    assert_eq!(home.metrics.epoch_committed.get(), 10);
    drop(lake);
    fs::write(home.path("lake/b/0000000000030-0000-00000000000000ff.parquet"), "not ours").unwrap();
    let lake = home.open(1, 1).unwrap();
    assert_eq!((lake.committed(), lake.epoch_floor()), (10, 30));
    lake.submit(home.part(0, 31, &[(2, 2)]));
    lake.finish(soon()).unwrap();
    assert_eq!(home.open(1, 1).unwrap().committed(), 31);
}

#[test]
fn torn_commits_roll_back_and_whole_ones_do_not() {
    let home = Home::new();
    let (mut publisher, files) = staged(&home, 2);
    publisher.make_folders(&files).unwrap();
    publisher.intend(20, &files, &[]).unwrap();
    publisher.place(&files, &mut 0).unwrap();
    let manifest = home.path("state/manifest");
    let before = fs::metadata(&manifest).unwrap().len() as usize;
    publisher.commit(20, 16).unwrap();
    drop(publisher);
    let whole = fs::read(&manifest).unwrap();
    for length in before..=whole.len() {
        for file in &files {
            fs::write(home.path(&file.target), "rows").unwrap();
        }
        fs::write(&manifest, &whole[..length]).unwrap();
        assert_eq!(after_start(&home).len(), if length == whole.len() { 2 } else { 0 }, "cut at {length}");
    }
}

#[test]
fn removes_are_redone_after_their_commit_and_never_before() {
    for committed in [false, true] {
        let home = Home::new();
        let mut manifest = home.recover().manifest;
        let [old, new] = placed(&home, manifest.node());
        manifest.append(&Record::Intent { epoch: 1, adds: vec![old.clone()], removes: vec![] }).unwrap();
        manifest.append(&Record::Commit { epoch: 1, catalog_bytes: 16 }).unwrap();
        manifest.append(&Record::Intent { epoch: 1, adds: vec![new.clone()], removes: vec![old.clone()] }).unwrap();
        if committed {
            manifest.append(&Record::Commit { epoch: 1, catalog_bytes: 16 }).unwrap();
        }
        drop(manifest);
        assert_eq!(after_start(&home), BTreeSet::from([if committed { new } else { old }]));
    }
}

/// Paths of two files that are there.
fn placed(home: &Home, node: NodeId) -> [String; 2] {
    fs::create_dir_all(home.path("lake/b/m/day=2024-01-01")).unwrap();
    [0, 1].map(|n| {
        let path = format!("lake/b/m/day=2024-01-01/0000000000001-{n:04}-{node}.parquet");
        fs::write(home.path(&path), "rows").unwrap();
        path
    })
}

/// A folder of the lake may lie elsewhere, with a link in its place.
#[test]
fn what_was_removed_goes_behind_a_link_too() {
    let home = Home::new();
    let mut manifest = home.recover().manifest;
    let [old, new] = placed(&home, manifest.node());
    for (adds, removes) in [(vec![old.clone()], vec![]), (vec![new.clone()], vec![old.clone()])] {
        manifest.append(&Record::Intent { epoch: 1, adds, removes }).unwrap();
        manifest.append(&Record::Commit { epoch: 1, catalog_bytes: 16 }).unwrap();
    }
    fs::rename(home.path("lake/b"), home.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink("../elsewhere", home.path("lake/b")).unwrap();
    assert!(home.path(&old).exists());
    let inventory = home.recover().inventory;
    assert!(!home.path(&old).exists() && home.path(&new).exists());
    assert!(inventory.contains(&new) && inventory.len() == 1);
}

#[test]
fn only_what_a_commit_removed_is_removed() {
    let home = Home::new();
    let mut manifest = home.recover().manifest;
    let [first, second] = placed(&home, manifest.node());
    // Its attempt found the name taken, by a file that is not the node's.
    manifest.append(&Record::Intent { epoch: 1, adds: vec![first.clone()], removes: vec![second.clone()] }).unwrap();
    manifest.append(&Record::Abort { epoch: 1 }).unwrap();
    let error = home.open(1, 1).map(|_| ()).unwrap_err();
    assert!(matches!(&error, LakeError::ManifestCut { file, .. } if *file == home.path(&second)), "{error}");
    assert!(home.path(&first).exists() && home.path(&second).exists());
    fs::remove_file(home.path(&second)).unwrap();
    drop(home.recover());
    assert!(home.path(&first).exists());
}

#[test]
fn a_file_that_cannot_be_taken_back_refuses_the_start_and_says_what_to_do() {
    let home = Home::new();
    let mut manifest = home.recover().manifest;
    let [file, _] = placed(&home, manifest.node());
    let folder = file.replace("-0000-", "-0002-");
    fs::create_dir(home.path(&folder)).unwrap();
    manifest.append(&Record::Intent { epoch: 1, adds: vec![folder.clone()], removes: vec![] }).unwrap();
    fs::remove_dir_all(home.path(&file).parent().unwrap()).unwrap();
    fs::create_dir_all(home.path(&folder)).unwrap();
    let error = home.open(1, 1).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains(&folder) && error.contains("remove the file yourself"), "{error}");
    fs::remove_dir(home.path(&folder)).unwrap();
    home.open(1, 1).unwrap();
}

#[test]
fn a_file_takes_the_place_of_others_for_good() {
    let home = Home::new();
    let lake = home.open(1, 1).unwrap();
    lake.submit(home.part(0, 10, &[(1, 1)]));
    lake.submit(home.part(0, 11, &[(2, 2)]));
    lake.finish(soon()).unwrap();
    let before = home.files();
    let removes: Vec<String> = before.iter().filter(|file| file.contains("/other/")).cloned().collect();
    let [_, last] = &removes[..] else { panic!("{removes:?}") };
    let (folder, name) = last.rsplit_once('/').unwrap();
    let name = FileName { n: 1, first_epoch: 10, ..FileName::parse(name).unwrap() };
    let target = format!("{folder}/{name}");

    let recovered = home.recover();
    let aside = home.path("tmp/compacted.part");
    fs::copy(home.path(last), &aside).unwrap();
    let files = vec![Staged { aside, target: target.clone(), written: Written { rows: 1, bytes: 4 } }];
    let mut publisher = Publisher::new(home.folder.path().to_owned(), recovered.disk, recovered.manifest);
    publisher.replace(&Replacement { epoch: 11, files, removes: removes.clone() }, &home.catalog).unwrap();
    // A reader that lists the folder meanwhile misses none.
    assert_eq!(home.files(), before.iter().cloned().chain([target.clone()]).collect());
    publisher.sweep(Instant::now());
    assert!(home.files().len() > before.len(), "it is too soon");
    publisher.sweep(Instant::now() + Duration::from_secs(1));
    let mut expected: BTreeSet<String> = before.into_iter().filter(|file| !removes.contains(file)).collect();
    expected.insert(target);
    assert_eq!(home.files(), expected);
    assert_eq!(after_start(&home), expected);
    let recovered = home.recover();
    assert_eq!((recovered.committed, recovered.epoch_floor), (11, 11));
    assert_eq!(recovered.inventory, expected.iter().map(|file| &**file).collect());
}

#[test]
fn a_lake_without_its_manifest_is_refused() {
    let home = Home::new();
    let lake = home.open(1, 1).unwrap();
    lake.submit(home.part(0, 10, &[(1, 1)]));
    lake.finish(soon()).unwrap();
    fs::remove_file(home.path("state/manifest")).unwrap();
    let error = home.open(1, 1).map(|_| ()).unwrap_err();
    assert!(matches!(error, LakeError::ManifestMissing { .. }), "{error}");
    fs::remove_dir_all(home.path("state")).unwrap();
    assert!(matches!(home.open(1, 1).map(|_| ()), Err(LakeError::ManifestMissing { .. })));
    assert_eq!(home.files().len(), 2, "nothing was touched");
}

#[test]
fn commits_say_how_much_of_the_catalog_they_rely_on() {
    let home = Home::new();
    let path = home.path("state/catalog");
    assert_eq!(inspect(home.folder.path()).unwrap().catalog_bytes_min(), 0);
    let lake = home.open(1, 1).unwrap();
    lake.submit(home.part(0, 10, &[(1, 1)]));
    wait_for(&lake, |progress| progress.committed == 10);
    let first = fs::metadata(&path).unwrap().len();
    assert_eq!(inspect(home.folder.path()).unwrap().catalog_bytes_min(), first);
    home.bear("later");
    lake.submit(home.part(0, 11, &[(2, 2)]));
    lake.finish(soon()).unwrap();
    let second = fs::metadata(&path).unwrap().len();
    assert!(second > first);
    assert_eq!(inspect(home.folder.path()).unwrap().catalog_bytes_min(), second);
}

#[test]
fn each_advance_tells_what_is_committed_and_how_many_births_are_durable() {
    let home = Home::new();
    let (on_commit, told) = listening();
    let lake = home.open_with(1, 1, on_commit).unwrap();
    // A bucket, and two tables with a tag and a field.
    assert_eq!(home.catalog.births(), 7);
    lake.submit(home.part(0, 10, &[]));
    wait_for(&lake, |progress| progress.committed == 10);
    assert_eq!(Catalog::open(&home.path("state"), 0).unwrap().births(), 7, "saved by an epoch without rows");
    home.bear("of the next epoch");
    lake.submit(home.part(0, 11, &[(1, 1)]));
    wait_for(&lake, |progress| progress.committed == 11);
    home.bear("of an epoch that a shard passes");
    lake.submit(home.part(0, 15, &[]));
    wait_for(&lake, |progress| progress.committed == 15);
    lake.finish(soon()).unwrap();
    assert_eq!(*told.lock().unwrap(), [(10, 7), (11, 8), (15, 9)]);
}

#[test]
fn births_that_cannot_be_saved_are_reported_and_free_nothing() {
    let (home, _catalog) = Home::with_full_catalog();
    let (on_commit, told) = listening();
    let lake = home.open_with(1, 1, on_commit).unwrap();
    lake.submit(home.part(0, 10, &[]));
    wait_for(&lake, |progress| progress.committed == 10);
    home.bear("too much");
    lake.submit(home.part(0, 11, &[]));
    let progress = wait_for(&lake, |progress| progress.failed_attempts > 0);
    assert_eq!(progress.committed, 11);
    assert!(progress.failure.unwrap().contains("cannot save the catalog"));
    assert!(home.metrics.failure().unwrap().contains("cannot save the catalog"));
    lake.submit(home.part(0, 12, &[]));
    wait_for(&lake, |progress| progress.failed_attempts > 1);
    lake.finish(soon()).unwrap();
    assert_eq!(*told.lock().unwrap(), [(10, 7)]);
}

#[test]
fn looking_at_a_lake_changes_nothing() {
    let home = Home::new();
    let (mut publisher, files) = staged(&home, 2);
    publisher.make_folders(&files).unwrap();
    publisher.intend(20, &files, &[]).unwrap();
    publisher.place(&files[..1], &mut 0).unwrap();
    let manifest = home.path("state/manifest");
    fs::File::options().append(true).open(&manifest).unwrap().set_len(1_000).unwrap();
    let before = (home.files(), home.aside(), fs::read(&manifest).unwrap());
    inspect(home.folder.path()).unwrap();
    assert_eq!((home.files(), home.aside(), fs::read(&manifest).unwrap()), before);
    assert_eq!(after_start(&home), BTreeSet::new(), "the start then takes it back");
}

#[test]
fn what_is_left_is_said_in_the_right_number() {
    let sentence = |epochs, rows| LakeError::Unpublished { epochs, rows, reason: "why".into() }.to_string();
    assert_eq!(sentence(1, 20_000), "1 epoch with 20000 rows is not in the lake: why");
    assert_eq!(sentence(2, 1), "2 epochs with 1 row are not in the lake: why");
}

#[test]
fn paths_that_lead_out_of_the_lake_are_refused() {
    for path in ["lake/../state/catalog", "/etc/passwd", "state/catalog", "lake/./x/../../y"] {
        let home = Home::new();
        let mut manifest = home.recover().manifest;
        manifest.append(&Record::Intent { epoch: 1, adds: vec![path.to_owned()], removes: vec![] }).unwrap();
        let error = home.open(1, 1).map(|_| ()).unwrap_err();
        assert!(matches!(error, LakeError::ManifestPath { .. }), "{error}");
    }
}

#[test]
fn a_manifest_that_cannot_be_written_stops_publication() {
    let home = Home::new();
    let (_, files) = staged(&home, 2);
    let full = Manifest::of_test(File::options().write(true).open("/dev/full").unwrap());
    let mut publisher = Publisher::new(home.folder.path().to_owned(), Disk::open(home.folder.path()).unwrap(), full);
    for _ in 0..2 {
        let Err(Failure::Stop(reason)) = publisher.publish(20, &files, &home.catalog) else { panic!() };
        assert!(reason.contains("restart the node"), "{reason}");
    }
    assert_eq!(home.files().len(), 0, "no name appears without its intent");
}

#[test]
fn many_tables_and_days_are_published_by_several_threads() {
    let home = Home::new();
    let lake = home.open(4, 1).unwrap();
    let table = home.catalog.table(0);
    let row = |index: u64| Row {
        tags: BTreeMap::from([(0, format!("h{}", index % 3))]),
        time: (index as i64 - 80) * 43_200_000_000_000,
        fields: BTreeMap::from([(0, Value::Integer(index as i64))]),
    };
    let requests = vec![(1, (0..160).map(row).collect())];
    let tables = vec![sealed(&table, seal(&table, &requests, false), &home.budget)];
    lake.submit(Part { shard: 0, epoch: 3, tables });
    lake.finish(soon()).unwrap();
    let files = home.files();
    assert_eq!(files.len(), 80);
    assert!(files.iter().any(|file| file.contains("/day=1969-11-22/")), "{files:?}");
    let rows: usize = files.iter().map(|file| read(&home.path(file), &table).len()).sum();
    assert_eq!(rows, 160);
}

#[test]
fn an_epoch_that_went_to_quarantine_as_a_whole_is_committed_over_a_restart() {
    let home = Home::new();
    let lake = home.open(1, 1).unwrap();
    lake.submit(home.part(0, 10, &[(1, 1)]));
    lake.submit(Part { shard: 0, epoch: 11, tables: vec![broken(home.sealed(0, &[(2, 2)]))] });
    lake.submit(home.part(0, 12, &[]));
    lake.finish(soon()).unwrap();
    assert_eq!((home.files().len(), home.budget.total()), (2, 0));
    let last: Vec<Record> = home.records().split_off(2);
    assert_eq!(last[0], Record::Intent { epoch: 11, adds: vec![], removes: vec![] });
    assert_eq!((last.len(), kind(&last[1]), last[1].epoch()), (2, "commit", 11), "{last:?}");
    // A log would be asked for what lies behind this epoch only.
    assert_eq!(home.open(1, 1).unwrap().committed(), 11);
}

#[test]
fn what_panics_twice_goes_to_quarantine_and_the_epoch_goes_on() {
    let home = Home::new();
    let lake = home.open(2, 1).unwrap();
    let tables = vec![home.sealed(1, &[(1, 1)]), broken(home.sealed(0, &[(1, 1), (2, 2)]))];
    lake.submit(Part { shard: 0, epoch: 10, tables });
    let progress = wait_for(&lake, |progress| progress.committed >= 10);
    assert_eq!((progress.failed_attempts, home.files().len(), home.aside()), (2, 1, 0));
    assert!(home.metrics.failure().unwrap().contains("1 file with rows that could not be encoded"));
    lake.finish(Instant::now() + Duration::from_secs(10)).unwrap();

    let file = fs::read_dir(home.path("quarantine")).unwrap().next().unwrap().unwrap();
    let reader = arrow::ipc::reader::FileReader::try_new(fs::File::open(file.path()).unwrap(), None).unwrap();
    assert_eq!(reader.schema().metadata()["ringest.measurement"], MEASUREMENTS[0]);
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 2);
    let column = |name| batches[0].column_by_name(name).unwrap();
    assert_eq!(column("ringest_request").as_primitive::<UInt64Type>().values(), &[1, 2]);
    assert_eq!(column("v").as_primitive::<Int64Type>().values(), &[1, 2]);
    assert_eq!(column("host").null_count(), 1, "of the series that does not exist");

    // The next start says it too.
    let lake = home.open(1, 1).unwrap();
    wait_for(&lake, |_| home.metrics.failure().is_some());
}
