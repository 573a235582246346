//! Days that expire, in a running lake.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::bounded;

use crate::catalog::{Births, Catalog, FieldBirth, FieldType, TableBirth};
use crate::config::Buckets;
use crate::lake::expiry::{Expiry, ExpiryOptions};
use crate::lake::{Lake, Part};

use super::home::*;

const DAY_NS: i64 = 86_400_000_000_000;

/// A home with one more table, in a bucket with a retention of a day.
fn home() -> (Home, u32) {
    let home = Home::new();
    let fields = vec![FieldBirth { name: "v", kind: FieldType::Integer }];
    let tables = vec![TableBirth { measurement: "m", tags: vec!["host"], fields }];
    let births = Births { bucket: "short", retention: Some(Duration::from_secs(86_400)), tables };
    home.catalog.bear(&births, |_, _| ()).unwrap();
    let table = Catalog::tables(&home.catalog).last().unwrap().id;
    (home, table)
}

fn publish(home: &Home, lake: &Lake, table: u32, epoch: u64, day: i64) {
    let sealed = home.sealed_at(table, &[(epoch, 1)], day * DAY_NS + 5);
    lake.submit(Part { shard: 0, epoch, tables: vec![sealed] });
    wait_for(lake, |progress| progress.committed == epoch);
}

fn days(home: &Home) -> BTreeSet<String> {
    let files = home.files().into_iter();
    files.filter(|file| file.contains("/short/")).map(|file| file.split('/').nth(3).unwrap().to_owned()).collect()
}

#[test]
fn an_expired_day_goes_with_its_folder_and_can_come_again() {
    let (home, table) = home();
    let lake = home.open(1, 1).unwrap();
    let expiry = Expiry {
        options: ExpiryOptions { on: true, buckets: Buckets::default() },
        data_dir: home.folder.path().to_owned(),
        catalog: Arc::clone(&home.catalog),
        metrics: Arc::clone(&home.metrics),
        inventory: Arc::clone(&lake.inventory),
        commands: lake.commands.clone(),
    };
    let (_open, stop) = bounded(0);
    for (epoch, day) in [(10, 1), (11, 1), (12, 2), (13, 3), (14, 9)] {
        publish(&home, &lake, table, epoch, day);
    }
    // A bucket without retention, of a day that is as old.
    lake.submit(home.part(0, 15, &[(15, 1)]));
    wait_for(&lake, |progress| progress.committed == 15);
    let all = home.files();

    expiry.remove_expired(i128::from(3 * DAY_NS) - 1, &stop);
    assert_eq!(home.files(), all, "day 1 ended less than a day ago");
    expiry.remove_expired(i128::from(3 * DAY_NS), &stop);
    assert_eq!(days(&home), BTreeSet::from(["day=1970-01-03", "day=1970-01-04", "day=1970-01-10"].map(str::to_owned)));
    assert!(!home.path("lake/short/m/day=1970-01-02").exists(), "the empty folder is gone");
    assert_eq!((home.metrics.expired_days.get(), home.metrics.expired_files.get()), (1, 2));
    assert!(home.metrics.expired_bytes.get() > 0);
    // The folder is made anew, and durably.
    publish(&home, &lake, table, 16, 1);
    assert_eq!(days(&home).len(), 4);
    expiry.remove_expired(i128::from(100 * DAY_NS), &stop);
    assert_eq!(days(&home), BTreeSet::from(["day=1970-01-10".to_owned()]), "the newest day stays");
    drop(expiry);
    lake.finish(soon()).unwrap();
    let left = home.files();
    assert_eq!(after_start(&home), left);
    assert!(left.iter().any(|file| file.contains("/b/")));
}

#[test]
fn the_thread_ends_with_its_lake() {
    let (home, _) = home();
    for finishes in [false, true] {
        let mut lake = home.open(1, 1).unwrap();
        lake.expire(ExpiryOptions { on: true, buckets: Buckets::default() }).unwrap();
        match finishes {
            true => lake.finish(soon()).unwrap(),
            // The next round opens the same folder; nothing waits for the thread here.
            false => drop(lake),
        }
    }
}
