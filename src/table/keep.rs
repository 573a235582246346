//! Sealing, and which series outlive it: most report again, and learning a series costs several times what a row of it does.

use std::collections::HashSet;

use super::open::{OpenBucket, OpenTable, Tables};
use super::seal::SealedTable;

/// Series of a bucket are not kept for so many seals, after one that found that they do not come again.
const SEALS_PAUSED: u32 = 8;
/// A series that comes every so many seals, of the usual size, is kept.
const SEALS_BETWEEN: usize = 8;
/// A shard keeps series of at most this part of the budget (in bytes, one over it).
const KEPT_PART: usize = 8;
/// Rows of a table that are looked at, in runs of so many, for whether their series were known.
const SAMPLES: usize = 32;
const SAMPLE_ROWS: usize = 64;
/// What is kept may take so many times the bytes that its series need.
const SLACK: usize = 4;
const SLACK_BYTES: usize = 1 << 20;

/// How well keeping series over seals has worked for a bucket.
#[derive(Debug, Default)]
pub struct Keeping {
    /// Seals that keep none.
    pause: u32,
    /// Seals without a row since the last one.
    empty: usize,
    /// Rows of the last [`SEALS_BETWEEN`] seals, about: older ones fade.
    recent_rows: usize,
    pub sample: Sample,
}

/// Some of the series that came into the world, each of which shows whether it has come before, though it was forgotten: a million series take several
/// seals to come once, and are new in each of them.
///
/// Takes about a byte for each 20 of the series, and no more than 200 KiB.
#[derive(Debug, Default)]
pub struct Sample {
    /// Hashes of keys, those that came last, and those before them.
    recent: HashSet<u32>,
    old: HashSet<u32>,
    /// Since the last seal: how many were looked at, and how many of them had come before.
    births: usize,
    returns: usize,
}

/// A series is one of the sample whose hash has these bits all zero.
const SAMPLE_MASK: u32 = 0xFF;
/// The sample remembers between so many and twice as many.
const SAMPLE_LEN: usize = 8192;
/// Series come again where one birth of so many is of a series that has come before.
const RETURNS_PART: usize = 8;

impl Sample {
    /// Whether a series whose key has this hash is one of it.
    #[inline(always)]
    pub fn wants(hash: u32) -> bool {
        hash & SAMPLE_MASK == 0
    }

    /// Such a series has come into the world.
    pub fn born(&mut self, hash: u32) {
        self.births += 1;
        self.returns += usize::from(self.old.contains(&hash) || self.recent.contains(&hash));
        self.recent.insert(hash);
        if self.recent.len() == SAMPLE_LEN {
            self.old = std::mem::take(&mut self.recent);
        }
    }

    /// Whether series have come again since the last seal, in a new one's place.
    fn take_returns(&mut self) -> bool {
        let (births, returns) = (std::mem::take(&mut self.births), std::mem::take(&mut self.returns));
        returns > 0 && RETURNS_PART * returns >= births
    }
}

impl Tables {
    /// Moves all rows out. Where series are likely to come again, a bucket keeps them if `keeps`, with its cache of keys.
    pub fn seal(&mut self, keeps: bool) -> Vec<SealedTable> {
        let bytes_max = self.budget.bytes_max();
        let mut sealed = Vec::new();
        let mut kept = 0;
        self.buckets.retain(|_, bucket| {
            let is_wanted = bucket.series_return() && keeps;
            let has_room =
                self.budget.total() <= bytes_max / 2 && kept + bucket.series_bytes() <= bytes_max / KEPT_PART;
            let keeps = is_wanted && has_room && !bucket.is_wasteful();
            let has_rows = bucket.rows() > 0;
            sealed.extend(bucket.tables.iter_mut().filter_map(|table| table.seal(&self.budget)));
            match keeps {
                true => kept += bucket.keep(),
                // How it went is remembered as long as points come.
                false => *bucket = OpenBucket { keeping: std::mem::take(&mut bucket.keeping), ..OpenBucket::default() },
            }
            keeps || has_rows
        });
        self.memory.set(0);
        self.kept.set(kept);
        sealed
    }
}

impl OpenBucket {
    fn rows(&self) -> usize {
        self.tables.iter().map(|table| table.time.len()).sum()
    }

    fn series(&self) -> usize {
        self.tables.iter().map(|table| table.series.tags.len()).sum()
    }

    /// Whether the series are likely to come again: most rows since the last seal are of such as were known then, or were new as others that had come before.
    ///
    /// Series that report each minute while a seal comes each ten seconds are worth keeping; those that do not come any more stay with them, as long
    /// as there are rows enough.
    fn series_return(&mut self) -> bool {
        let (rows, series) = (self.rows(), self.series());
        let keeping = &mut self.keeping;
        if rows == 0 {
            keeping.empty += 1;
            return series > 0 && keeping.empty < SEALS_BETWEEN;
        }
        keeping.empty = 0;
        keeping.recent_rows = keeping.recent_rows - keeping.recent_rows / SEALS_BETWEEN + rows;
        let return_after_all = keeping.sample.take_returns();
        keeping.pause = if return_after_all { 0 } else { keeping.pause };
        if keeping.pause > 0 {
            keeping.pause -= 1;
            return false;
        }
        let has_kept = self.tables.iter().any(|table| table.series_kept > 0);
        let return_seldom = has_kept && !return_after_all && {
            let seen = self.tables.iter().map(OpenTable::sample_known);
            let (known, looked_at) = seen.fold((0, 0), |sum, seen| (sum.0 + seen.0, sum.1 + seen.1));
            2 * known < looked_at
        };
        if self.keeping.recent_rows < series || return_seldom {
            self.keeping.pause = SEALS_PAUSED;
        }
        self.keeping.pause == 0
    }

    /// Bytes of the series and of the cache of their keys.
    fn series_bytes(&self) -> usize {
        self.tables.iter().map(OpenTable::series_bytes).sum::<usize>() + self.cache.bytes()
    }

    /// Whether requests that were taken back have left much more room than the series need.
    fn is_wasteful(&self) -> bool {
        let needed = self.tables.iter().map(OpenTable::series_bytes_needed).sum::<usize>() + self.cache.bytes_needed();
        self.series_bytes() > SLACK * needed + SLACK_BYTES
    }

    /// After a seal that keeps the series: what they take.
    fn keep(&mut self) -> usize {
        self.tables.iter_mut().for_each(OpenTable::keep);
        self.cache_bytes = self.cache.bytes();
        self.tables.iter().map(|table| table.bytes).sum::<usize>() + self.cache_bytes
    }
}

impl OpenTable {
    /// Of some rows, how many are of series that outlived the last seal; and how many were looked at.
    fn sample_known(&self) -> (usize, usize) {
        let rows = self.row_series.len();
        let step = (rows / SAMPLES).max(SAMPLE_ROWS);
        let (mut known, mut looked_at) = (0, 0);
        for start in (0..rows).step_by(step) {
            self.row_series.each(start..rows.min(start + SAMPLE_ROWS), |series| {
                known += usize::from(series < i64::from(self.series_kept));
                looked_at += 1;
            });
        }
        // A table counts by its rows.
        ((known * rows).checked_div(looked_at).unwrap_or(0), rows)
    }

    fn series_bytes(&self) -> usize {
        self.series.bytes() + self.tags.iter().map(|tag| tag.values.bytes()).sum::<usize>()
    }

    fn series_bytes_needed(&self) -> usize {
        self.series.bytes_needed() + self.tags.iter().map(|tag| tag.values.bytes_needed()).sum::<usize>()
    }

    /// After a seal that keeps the series. Counts everything anew: requests that were taken back may have left room that nobody counted.
    fn keep(&mut self) {
        self.series_kept = self.series.tags.len() as u32;
        (0..self.tags.len() as u32).for_each(|tag| self.recount_tag(tag));
        self.touched.extend(0..self.fields.len() as u32);
        self.bytes = self.count_bytes();
    }
}
