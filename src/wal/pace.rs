//! Whether the log thread should wait for stragglers before it writes.
//!
//! Writers that were told together come back together, but some come late; with N of them, groups of nearly N and of the few stragglers
//! would alternate, and each of the few pays a whole sync. So where fewer have gathered than usual, a wait for as long as a sync takes
//! pays, if they come; where they do not (slow clients, or a machine whose threads wake late), waiting in vain soon becomes rare. One or
//! two writers are never waited for. Much to write ends a wait.
//!
//! Measured (2 cores, virtual disk, requests of one line on 64 connections, the generator on the same machine): waiting for three quarters of
//! the usual for a quarter of a sync, and only when there was less than half of them, made groups of 16 and 62 000 to 66 000 requests per CPU-second;
//! so, 25 and 72 000 to 76 000. Where clients pause between their requests the wait can cost latency: in a model 64 of them, each 0.3 ms after its
//! answer, lose 4 % of their requests and have a p99 a fifth longer.

use std::time::Duration;

/// A group of so many bytes is worth a sync of its own: from there on its time grows with its bytes.
pub const WORTH_BYTES: usize = 256 << 10;
/// So is one of so many records: what a write costs beside its bytes is little for each of them.
const WORTH_RECORDS: u32 = 64;
/// Never longer than that, however slow the disk is now.
const WAIT_MAX: Duration = Duration::from_micros(400);
/// A pair of writers is as well served in turn.
const CROWD_MIN: u32 = 3;
/// Most waits that are left out after one in vain, as a power of two.
const LEFT_OUT_LOG2_MAX: u32 = 8;

/// What recent groups were like.
#[derive(Debug, Default)]
pub struct Pace {
    /// Records of a group: rises at once, falls by degrees.
    usual: u32,
    /// Time of a write.
    sync: Duration,
    /// Waits in vain, one after the other.
    in_vain: u32,
    left_out: u32,
}

impl Pace {
    /// How long to wait until how many records are there, when there are `records` of `bytes`; `None`: write them now.
    pub fn wait(&mut self, records: u32, bytes: usize) -> Option<(Duration, u32)> {
        let enough = self.usual.min(WORTH_RECORDS);
        if records >= enough || self.usual < CROWD_MIN || bytes >= WORTH_BYTES {
            return None;
        }
        if self.left_out > 0 {
            self.left_out -= 1;
            return None;
        }
        Some((self.sync.min(WAIT_MAX), enough))
    }

    /// Whether as many came as were waited for.
    pub fn waited(&mut self, came: bool) {
        self.in_vain = if came { 0 } else { (self.in_vain + 1).min(LEFT_OUT_LOG2_MAX) };
        self.left_out = (1 << self.in_vain) - 1;
    }

    /// A group was written.
    pub fn wrote(&mut self, records: u32, took: Duration) {
        self.usual = records.max(self.usual - self.usual.div_ceil(4) + records / 4);
        self.sync = (self.sync * 3 + took) / 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNC: Duration = Duration::from_micros(100);

    fn after(groups: &[u32]) -> Pace {
        let mut pace = Pace::default();
        groups.iter().for_each(|records| pace.wrote(*records, SYNC));
        pace
    }

    #[test]
    fn a_lone_writer_never_waits() {
        assert_eq!(Pace::default().wait(1, 100), None);
        assert_eq!(after(&[1; 50]).wait(1, 100), None);
        // Nor two, nor one whose crowd has gone.
        assert_eq!(after(&[2; 50]).wait(1, 100), None);
        let mut gone = vec![64; 10];
        gone.extend([1; 12]);
        assert_eq!(after(&gone).wait(1, 100), None);
    }

    #[test]
    fn stragglers_wait_for_the_crowd() {
        let mut pace = after(&[64; 50]);
        let (longest, records) = pace.wait(5, 20_000).expect("waits");
        assert_eq!(records, 64);
        assert!(longest <= SYNC && longest > SYNC * 4 / 5, "{longest:?}");
        assert_eq!(pace.wait(64, 20_000), None, "all are there");
        assert_eq!(after(&[500; 50]).wait(64, 20_000), None, "many enough");
        assert_eq!(pace.wait(5, WORTH_BYTES), None, "much to write");
        assert!(after(&[64, 64, 3]).wait(3, 100).is_some(), "one small group is no end of the crowd");
    }

    #[test]
    fn waiting_in_vain_becomes_rare() {
        let mut pace = after(&[64; 50]);
        let mut waits = 0;
        for _ in 0..10_000 {
            if pace.wait(5, 100).is_some() {
                waits += 1;
                pace.waited(false);
            }
        }
        assert!((20..60).contains(&waits), "{waits}");
        while pace.wait(5, 100).is_none() {}
        pace.waited(true);
        assert!(pace.wait(5, 100).is_some(), "they come again");
    }

    #[test]
    fn a_slow_disk_is_not_waited_for_long() {
        let mut pace = Pace::default();
        (0..50).for_each(|_| pace.wrote(64, Duration::from_secs(1)));
        assert_eq!(pace.wait(1, 100), Some((WAIT_MAX, 64)));
    }
}
