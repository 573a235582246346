//! Compaction in a lake: when files are merged, with a clock of the test's, and how they take the place of others.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::lake::partition::FileName;
use crate::lake::publish::{Publisher, Staged};
use crate::lake::{Clock, Compacted, Extent, Lake, Options, Part};

use super::home::*;
use super::*;

const HOUR: u64 = 3_600_000;

/// A home whose lake takes the time of day from the test.
struct Timed {
    home: Home,
    now: Arc<AtomicU64>,
    lake: Lake,
    epoch: u64,
}

impl Timed {
    /// Compacts only where asked, so that the test knows when.
    fn new() -> Self {
        let home = Home::new();
        let now = Arc::new(AtomicU64::new(0));
        let lake = open(&home, &now, false);
        Self { home, now, lake, epoch: 0 }
    }

    /// Publishes `epochs` epochs of both tables, each a minute later than the one before.
    fn publish(&mut self, epochs: u64) {
        for _ in 0..epochs {
            let now = self.now.fetch_add(60_000, Ordering::SeqCst) + 60_000;
            self.epoch = now;
            // All are about one point, and of 1970-01-01.
            let part = self.home.part(0, self.epoch, &[(1, now as i64)]);
            self.lake.submit(part);
        }
        let epoch = self.epoch;
        wait_for(&self.lake, |progress| progress.committed == epoch);
    }

    fn compact(&self, extent: Extent) -> Compacted {
        self.lake.compact(extent).blocking_recv().unwrap().unwrap()
    }

    /// How many files each table has.
    fn files(&self) -> [usize; 2] {
        let files = self.home.files();
        ["/m%20.x/", "/other/"].map(|table| files.iter().filter(|file| file.contains(table)).count())
    }

    /// Every file holds the point, and the last one has its last value.
    fn check(&self) {
        let values = self.home.values();
        for table in ["/m%20.x/", "/other/"] {
            let last = values.iter().rfind(|(file, _)| file.contains(table)).unwrap();
            assert_eq!(*last.1, self.epoch as i64);
        }
        assert_eq!(self.home.aside(), 0);
    }
}

fn open(home: &Home, now: &Arc<AtomicU64>, compacts: bool) -> Lake {
    let now = Arc::clone(now);
    let clock = Clock::new(move || now.load(Ordering::SeqCst));
    home.open_as(Options { compacts, clock, ..Options::new(1, 1) }, Box::new(|_, _| {})).unwrap()
}

#[test]
fn files_gather_in_tiers_and_join_when_their_day_is_over() {
    let mut timed = Timed::new();
    timed.publish(9);
    assert_eq!(timed.compact(Extent::Due), Compacted::default());
    timed.publish(1);
    let compacted = timed.compact(Extent::Due);
    assert_eq!((compacted.partitions, compacted.files_before, compacted.files_after), (2, 20, 2));
    assert_eq!((compacted.rows, compacted.rows_joined), (2, 18), "all are of one point");
    assert_eq!(timed.files(), [1, 1]);
    timed.check();
    timed.publish(3);
    assert_eq!((timed.compact(Extent::Due), timed.files()), (Compacted::default(), [4, 4]));
    // The day is over, but not for long enough.
    timed.now.store(24 * HOUR + 60_000, Ordering::SeqCst);
    assert_eq!(timed.compact(Extent::Due), Compacted::default());
    timed.now.store(24 * HOUR + 16 * 60_000, Ordering::SeqCst);
    timed.compact(Extent::Due);
    assert_eq!(timed.files(), [1, 1]);
    timed.check();
    // Late rows wait for more of them.
    timed.publish(2);
    assert_eq!((timed.compact(Extent::Due), timed.files()), (Compacted::default(), [3, 3]));
    timed.now.fetch_add(16 * 60_000, Ordering::SeqCst);
    timed.compact(Extent::Due);
    assert_eq!(timed.files(), [1, 1]);
    timed.check();
    let metrics = &timed.home.metrics;
    assert_eq!((metrics.compactions.get(), metrics.compaction_files_written.get()), (6, 6));
    assert_eq!((metrics.compaction_failures.get(), metrics.compaction_running.get()), (0, 0));
    timed.lake.finish(soon()).unwrap();
    assert_eq!(timed.home.budget.total(), 0);
}

#[test]
fn compaction_goes_on_by_itself_after_commits_and_after_a_start() {
    let mut timed = Timed::new();
    timed.publish(12);
    assert_eq!(timed.files(), [12, 12]);
    let Timed { home, now, lake, epoch } = timed;
    lake.finish(soon()).unwrap();
    let lake = open(&home, &now, true);
    let mut timed = Timed { home, now, lake, epoch };
    timed.publish(1);
    let began = Instant::now();
    while timed.files() != [2, 2] && timed.files() != [1, 1] {
        assert!(began.elapsed().as_secs() < 20, "{:?}", timed.files());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    timed.check();
    timed.lake.finish(soon()).unwrap();
}

#[test]
fn all_is_merged_where_it_is_asked_for_and_nothing_twice() {
    let mut timed = Timed::new();
    timed.publish(1);
    assert_eq!(timed.compact(Extent::All), Compacted::default());
    timed.publish(1);
    let compacted = timed.compact(Extent::All);
    assert_eq!((compacted.partitions, compacted.files_before, compacted.files_after, compacted.merges), (2, 4, 2, 2));
    assert_eq!(timed.compact(Extent::All), Compacted::default());
    timed.check();
    let name = timed.home.files().into_iter().next_back().unwrap();
    assert!(name.contains("/0000000120000-0001-") && name.ends_with("-0000000060000.parquet"), "{name}");
    // The rest of the lake's life knows them.
    timed.publish(1);
    timed.compact(Extent::All);
    timed.lake.finish(soon()).unwrap();
    let files = timed.home.files();
    assert_eq!(after_start(&timed.home), files);
    assert_eq!(timed.home.recover().inventory, files.iter().map(|file| &**file).collect());
}

#[test]
fn what_is_not_committed_is_left_alone_and_its_name_too() {
    let mut timed = Timed::new();
    timed.publish(2);
    let node = timed.home.manifest().node;
    let strangers = [
        format!("0000000120000-0005-{node}.parquet"),
        "0000000090000-0000-00000000000000ff.parquet".to_owned(),
        "x.parquet".to_owned(),
    ];
    for stranger in &strangers {
        fs::write(timed.home.path("lake/b/other/day=1970-01-01").join(stranger), "not ours").unwrap();
    }
    timed.compact(Extent::All);
    let files = timed.home.files();
    assert!(
        files.contains(&format!("lake/b/other/day=1970-01-01/0000000120000-0006-{node}-0000000060000.parquet")),
        "{files:?}"
    );
    assert_eq!(timed.files(), [1, 4]);
    timed.lake.finish(soon()).unwrap();
}

#[test]
fn a_file_that_cannot_be_merged_is_reported_once_an_hour_and_all_others_are_merged() {
    let mut timed = Timed::new();
    timed.publish(5);
    let spoilt = timed.home.files().into_iter().find(|file| file.contains("/m%20.x/")).unwrap();
    let whole = fs::read(timed.home.path(&spoilt)).unwrap();
    fs::write(timed.home.path(&spoilt), b"PAR1").unwrap();
    let failure = timed.lake.compact(Extent::All).blocking_recv().unwrap().unwrap_err();
    assert!(
        failure.contains("lake/b/m%20.x/day=1970-01-01 is not compacted") && failure.contains(&spoilt),
        "{failure}"
    );
    assert_eq!(timed.files(), [2, 1]);
    timed.publish(10);
    // Both have more than ten files by now.
    let compacted = timed.compact(Extent::Due);
    assert_eq!((compacted.merges, timed.files()), (2, [2, 1]));
    assert_eq!(timed.home.metrics.compaction_failures.get(), 1, "it is not tried again");
    timed.now.fetch_add(HOUR + 1, Ordering::SeqCst);
    assert!(timed.lake.compact(Extent::Due).blocking_recv().unwrap().is_ok(), "alone it is nothing to be merged");
    timed.publish(10);
    let failure = timed.lake.compact(Extent::Due).blocking_recv().unwrap().unwrap_err();
    assert!(failure.contains(&spoilt), "{failure}");
    assert_eq!((timed.files(), timed.home.metrics.compaction_failures.get()), ([2, 1], 2));
    fs::write(timed.home.path(&spoilt), whole).unwrap();
    timed.now.store(25 * HOUR, Ordering::SeqCst);
    timed.compact(Extent::All);
    assert_eq!((timed.files(), timed.home.metrics.compaction_failures.get()), ([1, 1], 2));
    timed.check();
    timed.lake.finish(soon()).unwrap();
}

#[test]
fn a_replacement_that_is_refused_leaves_everything_as_it_was() {
    let mut timed = Timed::new();
    timed.publish(3);
    let files = timed.home.files();
    // The intent cannot be written: the manifest is no file that takes a byte.
    let (tmp, away) = (timed.home.path("tmp"), timed.home.path("away"));
    fs::rename(&tmp, &away).unwrap();
    let failure = timed.lake.compact(Extent::All).blocking_recv().unwrap().unwrap_err();
    assert!(failure.contains("cannot write"), "{failure}");
    assert_eq!(timed.home.files(), files);
    fs::rename(&away, &tmp).unwrap();
    timed.compact(Extent::All);
    timed.check();
    timed.lake.finish(soon()).unwrap();
}

#[test]
fn a_lake_that_ends_waits_for_no_merge() {
    let mut timed = Timed::new();
    timed.publish(30);
    let answer = timed.lake.compact(Extent::All);
    let began = Instant::now();
    let Timed { home, lake, .. } = timed;
    lake.finish(soon()).unwrap();
    assert!(began.elapsed().as_secs() < 5);
    // Either way it is told, and the lake is whole.
    let _ = answer.blocking_recv();
    let before: BTreeSet<String> = home.files();
    assert_eq!(after_start(&home), before);
}

/// What a crash at each step of a replacement leaves, with one file or several in the place of several: the old ones or the new ones.
#[test]
fn every_crash_image_of_a_replacement_is_whole_after_a_start() {
    for (reached, outputs) in (0..8).flat_map(|reached| [(reached, 1), (reached, 3)]) {
        let mut timed = Timed::new();
        timed.publish(4);
        timed.lake.finish(soon()).unwrap();
        let home = timed.home;
        let before = home.files();
        let removes: Vec<String> = before.iter().filter(|file| file.contains("/other/")).cloned().collect();
        let (folder, last) = removes.last().unwrap().rsplit_once('/').unwrap();
        let last = FileName::parse(last).unwrap();
        let recovered = home.recover();
        let staged: Vec<Staged> = (1..=outputs)
            .map(|n| {
                let aside = home.path(&format!("tmp/compaction-{n}.part"));
                fs::copy(home.path(&removes[0]), &aside).unwrap();
                let name = FileName { n, first_epoch: 60_000, ..last };
                Staged { aside, target: format!("{folder}/{name}"), written: Written { rows: 1, bytes: 4 } }
            })
            .collect();
        let targets: BTreeSet<String> = staged.iter().map(|file| file.target.clone()).collect();
        let mut publisher = Publisher::new(home.folder.path().to_owned(), recovered.disk, recovered.manifest);
        // Files aside; intent; one name; all names; folders synced; committed; one input gone; all of them.
        if reached >= 1 {
            publisher.intend(last.epoch, &staged, &removes).unwrap();
        }
        match reached {
            0 | 1 => {}
            2 => publisher.place(&staged[..1], &mut 0).unwrap(),
            _ => publisher.place(&staged, &mut 0).unwrap(),
        }
        if reached >= 4 {
            publisher.sync_folders(&staged).unwrap();
        }
        if reached >= 5 {
            publisher.commit(last.epoch, 16).unwrap();
        }
        let gone = [0, 1, removes.len()][(reached as usize).saturating_sub(5)];
        for file in &removes[..gone] {
            fs::remove_file(home.path(file)).unwrap();
        }
        drop(publisher);
        let mut expected = before.clone();
        if reached >= 5 {
            expected.retain(|file| !removes.contains(file));
            expected.extend(targets);
        }
        let what = format!("after step {reached} with {outputs} files");
        assert_eq!(after_start(&home), expected, "{what}");
        let recovered = home.recover();
        assert_eq!(recovered.committed, last.epoch, "{what}: what was committed before stays so");
        assert_eq!(recovered.inventory, expected.iter().map(|file| &**file).collect(), "{what}");
        // And rows come after it.
        let lake = home.open(1, 1).unwrap();
        lake.submit(Part { shard: 0, epoch: last.epoch + 1, tables: home.tables(&[(1, 9)]) });
        lake.finish(soon()).unwrap();
    }
}

#[test]
fn a_merged_file_has_the_columns_of_its_inputs_and_none_that_were_born_since() {
    let mut timed = Timed::new();
    timed.publish(2);
    timed.home.bear("second");
    timed.publish(2);
    timed.home.bear("third");
    timed.compact(Extent::All);
    let columns = |table: &str| {
        let files = timed.home.files();
        let [file] = &files.iter().filter(|file| file.contains(table)).collect::<Vec<_>>()[..] else {
            panic!("{files:?}")
        };
        let metadata = ParquetRecordBatchReaderBuilder::try_new(File::open(timed.home.path(file)).unwrap()).unwrap();
        metadata.schema().fields().iter().skip(2).map(|field| field.name().clone()).collect::<Vec<_>>()
    };
    assert_eq!(columns("/other/"), ["host", "v", "second"]);
    assert_eq!(columns("/m%20.x/"), ["host", "v"]);
}
