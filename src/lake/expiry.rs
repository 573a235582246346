//! Expiry: whole days of buckets with a retention are removed, where an operator has switched that on.
//!
//! What is removed is gone, so nothing rests on one clock alone. A day goes when it ended longer ago than the retention by the wall clock, and by
//! the data too: it lies further behind the newest day of its bucket than that. And the wall clock is believed only after it has kept pace with the
//! monotonic clock for an hour: a machine that starts with a wrong time, is suspended, or has its clock set removes nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::catalog::{Catalog, encode_path_segment};
use crate::config::Buckets;
use crate::metrics::Metrics;

use super::coordinator::Command;
use super::counted;
use super::inventory::Inventory;
use super::partition::{DAY_NS, Day, day_in};
use super::publish::Replacement;

/// Between two looks.
const TICK: Duration = Duration::from_secs(60);
/// For so long the clocks must have agreed.
const AGREED_FOR: Duration = Duration::from_secs(3600);
/// More than a clock that is being corrected slowly gains in that time.
const DISAGREEMENT: Duration = Duration::from_secs(5);
/// Files that one record of the manifest removes.
const FILES_AT_ONCE: usize = 10_000;

/// Where days are removed.
#[derive(Clone, Debug)]
pub struct ExpiryOptions {
    /// Where a bucket's section of the configuration does not say.
    pub on: bool,
    pub buckets: Buckets,
}

impl ExpiryOptions {
    /// Whether anything may be removed at all.
    pub fn is_on(&self) -> bool {
        self.on || self.buckets.configured().any(|bucket| self.is_on_for(bucket))
    }

    fn is_on_for(&self, bucket: &str) -> bool {
        self.buckets.settings(bucket).and_then(|settings| settings.expiry).unwrap_or(self.on)
    }
}

/// How the wall clock fares beside the monotonic one.
#[derive(Debug)]
pub(super) struct Clocks {
    /// Both clocks, when they began to agree.
    since: (i128, Duration),
    agreed: bool,
}

impl Clocks {
    pub fn new(wall_ns: i128, monotonic: Duration) -> Self {
        Self { since: (wall_ns, monotonic), agreed: false }
    }

    /// Whether the wall clock can be believed now.
    pub fn agree(&mut self, wall_ns: i128, monotonic: Duration) -> bool {
        let by_wall = wall_ns - self.since.0;
        let by_monotonic = monotonic.saturating_sub(self.since.1);
        let apart = by_wall - by_monotonic.as_nanos() as i128;
        if apart.unsigned_abs() > DISAGREEMENT.as_nanos() {
            tracing::warn!(
                seconds = apart as f64 / 1e9,
                "the wall clock has been set, or the machine was suspended: no day expires before the clocks have agreed for an hour again"
            );
            *self = Self::new(wall_ns, monotonic);
        } else if by_monotonic >= AGREED_FOR {
            // From here on anew: what a slow correction gains over days is no disagreement.
            *self = Self { since: (wall_ns, monotonic), agreed: true };
        }
        self.agreed
    }
}

/// A day of a bucket whose time is over.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expired {
    /// As folders have it.
    pub bucket: String,
    pub day: i64,
    /// Of all its tables, relative to the data directory.
    pub files: Vec<String>,
    /// The last one with rows in the files.
    pub epoch: u64,
}

/// The days that may go. `retentions`: by the folder's name, of the buckets that expire, in nanoseconds.
pub(super) fn expired(inventory: &Inventory, retentions: &BTreeMap<String, i128>, now_ns: i128) -> Vec<Expired> {
    let days = || {
        inventory.folders().filter_map(|(folder, files)| {
            let bucket = folder.strip_prefix("lake/")?.split('/').next()?;
            Some((bucket, day_in(folder)?, folder, files, *retentions.get(bucket)?))
        })
    };
    let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
    for (bucket, day, ..) in days() {
        newest.entry(bucket).and_modify(|newest| *newest = day.max(*newest)).or_insert(day);
    }
    let mut expired: BTreeMap<(&str, i64), Expired> = BTreeMap::new();
    for (bucket, day, folder, files, retention) in days() {
        let end = i128::from(day + 1) * i128::from(DAY_NS);
        let newest = i128::from(newest.get(bucket).copied().unwrap_or(day)) * i128::from(DAY_NS);
        if end > now_ns - retention || end > newest - retention {
            continue;
        }
        let empty = || Expired { bucket: bucket.to_owned(), day, files: Vec::new(), epoch: 0 };
        let expired = expired.entry((bucket, day)).or_insert_with(empty);
        expired.files.extend(files.iter().map(|name| format!("{folder}/{name}")));
        expired.epoch = files.iter().map(|name| name.epoch).fold(expired.epoch, u64::max);
    }
    expired.into_values().collect()
}

/// What the thread works with.
pub(super) struct Expiry {
    pub options: ExpiryOptions,
    pub data_dir: std::path::PathBuf,
    pub catalog: Arc<Catalog>,
    pub metrics: Arc<Metrics>,
    pub inventory: Arc<Mutex<Inventory>>,
    pub commands: Sender<Command>,
}

impl Expiry {
    /// Works until `stop` is closed.
    pub fn run(self, stop: &Receiver<()>) {
        let began = Instant::now();
        let mut clocks = Clocks::new(wall_ns(), Duration::ZERO);
        while stop.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            let now_ns = wall_ns();
            if clocks.agree(now_ns, began.elapsed()) {
                self.remove_expired(now_ns, stop);
            }
        }
    }

    /// Removes what is over at `now_ns`, day by day, until `stop` is closed.
    pub fn remove_expired(&self, now_ns: i128, stop: &Receiver<()>) {
        let retentions = self.retentions();
        let due = expired(&self.inventory.lock().unwrap_or_else(PoisonError::into_inner), &retentions, now_ns);
        for Expired { bucket, day, files, epoch } in due {
            let day = Day(day);
            let (mut removed, mut bytes) = (0, 0);
            for files in files.chunks(FILES_AT_ONCE) {
                let sizes = files.iter().filter_map(|file| Some(self.data_dir.join(file).metadata().ok()?.len()));
                let piece_bytes: u64 = sizes.sum();
                let replacement = Replacement { epoch, files: Vec::new(), removes: files.to_vec() };
                match self.replace(replacement, stop) {
                    Ok(()) => (removed, bytes) = (removed + files.len(), bytes + piece_bytes),
                    Err(Some(reason)) => {
                        tracing::warn!(bucket, %day, reason, "a day that has expired is not removed now; it is tried again");
                        break;
                    }
                    Err(None) => return,
                }
            }
            if removed > 0 {
                self.metrics.expired_days.inc();
                self.metrics.expired_files.inc_by(removed as u64);
                self.metrics.expired_bytes.inc_by(bytes);
                let files = counted(removed as u64, "file");
                tracing::info!(bucket, %day, bytes, "a day has expired and is removed, with {files}");
            }
        }
    }

    /// The inner `None`: the lake ends.
    fn replace(&self, replacement: Replacement, stop: &Receiver<()>) -> Result<(), Option<String>> {
        let (done, answer) = bounded(1);
        if self.commands.send(Command::Replace(replacement, done)).is_err() {
            return Err(None);
        }
        crossbeam::channel::select! {
            recv(answer) -> answer => answer.map_err(|_| None)?.map_err(Some),
            // The lake removes it, or the next start tries again.
            recv(stop) -> _ => Err(None),
        }
    }

    /// Nanoseconds, by the folder's name, of the buckets that expire.
    fn retentions(&self) -> BTreeMap<String, i128> {
        let buckets = self.catalog.buckets();
        let of = |bucket: &Arc<crate::catalog::Bucket>| {
            let retention = self.options.buckets.retention(&bucket.name).unwrap_or(bucket.retention)?;
            let nanoseconds = i128::try_from(retention.as_nanos()).ok()?;
            self.options.is_on_for(&bucket.name).then(|| (encode_path_segment(&bucket.name), nanoseconds))
        };
        buckets.iter().filter_map(of).collect()
    }
}

/// Nanoseconds since 1970 on the wall clock.
fn wall_ns() -> i128 {
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const SECOND_NS: i128 = 1_000_000_000;

    /// The verdicts of looks at the clocks: seconds of the wall clock and of the monotonic one.
    fn verdicts(looks: &[(i128, u64)]) -> Vec<bool> {
        let mut clocks = Clocks::new(0, Duration::ZERO);
        looks.iter().map(|(wall, mono)| clocks.agree(wall * SECOND_NS, Duration::from_secs(*mono))).collect()
    }

    #[test]
    fn the_wall_clock_is_believed_after_an_hour_of_agreement() {
        assert_eq!(verdicts(&[(60, 60), (3599, 3599), (3600, 3600), (3660, 3660)]), [false, false, true, true]);
        // Set forward, set back, suspended: an hour from there on.
        for step in [6, -6, 40_000, -40_000] {
            let looks = [(3600, 3600), (3660 + step, 3660), (7200 + step, 7200), (7260 + step, 7260)];
            assert_eq!(verdicts(&looks), [true, false, false, true], "{step}");
        }
        // A clock that is corrected by a second each hour.
        let slow: Vec<(i128, u64)> = (1..200).map(|hour| (hour * 3601, hour as u64 * HOUR.as_secs())).collect();
        assert!(verdicts(&slow).into_iter().all(|believed| believed));
        // One that gains a second each minute is wrong before the hour is over.
        let fast: Vec<(i128, u64)> = (1..200).map(|minute| (minute * 61, minute as u64 * 60)).collect();
        assert!(verdicts(&fast).into_iter().all(|believed| !believed));
    }

    fn file(bucket: &str, day: i64, epoch: u64) -> String {
        format!("lake/{bucket}/m/day={}/{epoch:013}-0000-00000000000000ab.parquet", Day(day))
    }

    /// The days of bucket `b` that go, with this retention in hours, at the hour `now` of day 100.
    fn gone(days: &[i64], retention: i128, now: i128) -> Vec<i64> {
        let files: Vec<String> = days.iter().map(|day| file("b", *day, 7)).collect();
        let inventory = files.iter().map(String::as_str).chain([&*file("keeps", 1, 1)]).collect();
        let hours = |hours: i128| hours * HOUR.as_nanos() as i128;
        let retentions = BTreeMap::from([("b".to_owned(), hours(retention))]);
        let expired = expired(&inventory, &retentions, i128::from(100 * DAY_NS) + hours(now));
        assert!(expired.iter().all(|expired| expired.bucket == "b" && expired.files.len() == 1 && expired.epoch == 7));
        expired.into_iter().map(|expired| expired.day).collect()
    }

    #[test]
    fn a_day_goes_when_clock_and_data_have_left_it_behind() {
        let days: Vec<i64> = (90..=100).collect();
        assert_eq!(gone(&days, 72, 0), [90, 91, 92, 93, 94, 95, 96]);
        // The day 97 ends at the start of 98; the wall clock is past that by 72 hours at the end of 100, the data at that of 101.
        assert_eq!(gone(&days, 72, 24), [90, 91, 92, 93, 94, 95, 96]);
        assert_eq!(gone(&[97, 101], 72, 23), [] as [i64; 0]);
        assert_eq!(gone(&[97, 101], 72, 24), [97]);
        // A clock far ahead removes no more than the data allows.
        assert_eq!(gone(&days, 72, 24 * 365 * 100), [90, 91, 92, 93, 94, 95, 96]);
        // Data far ahead removes no more than the clock allows; nor does a clock that is behind.
        assert_eq!(gone(&[90, 97, 98, 40_000], 72, 0), [90]);
        assert_eq!(gone(&days, 72, -24 * 50), [] as [i64; 0]);
        // The newest day stays however short the retention is, and however old it is.
        assert_eq!(gone(&[10], 1, 0), [] as [i64; 0]);
        assert_eq!(gone(&[9, 10], 1, 0), [] as [i64; 0], "day 10 may have a point at its start");
        assert_eq!(gone(&[8, 10], 1, 0), [8]);
        assert_eq!(gone(&[-3, 0, 1], 1, 0), [-3], "before 1970 too");
    }

    #[test]
    fn a_section_of_a_bucket_beats_the_option() {
        let buckets = Buckets::default();
        assert!(!ExpiryOptions { on: false, buckets: buckets.clone() }.is_on());
        assert!(ExpiryOptions { on: true, buckets }.is_on_for("any"));
    }
}
