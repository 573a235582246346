//! How fast a token may send: a token bucket that may run into debt. A body is taken while the bucket is not empty, whatever its size, and
//! paid when it is there: its size need not be known in advance (chunked bodies), and what was refused need not be paid back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const SECOND_NS: u64 = 1_000_000_000;

/// What a full bucket holds: the bytes of so much time.
const FULL_NS: u64 = SECOND_NS;

/// The longest that a client is sent away for. Clients sleep as they are told and see no larger quota meanwhile, but some give up when the
/// time was too short, so that it should be the true one where that is bearable.
const RETRY_AFTER_SECONDS_MAX: u64 = 3600;

/// One token's bucket, shared by all shards. Its level is kept as a point in time, so that one atomic number is all of it.
#[derive(Debug)]
pub struct Quota {
    bytes_per_second: u64,
    /// Where this quota's clock began, at `FULL_NS`. It is the monotonic one: whoever sets the wall clock must lock nobody out.
    began: Instant,
    /// When all that was sent is paid for. The bucket is empty or in debt until then, and full `FULL_NS` later.
    paid_ns: AtomicU64,
}

impl Quota {
    /// A full bucket.
    pub fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), began: Instant::now(), paid_ns: AtomicU64::new(0) }
    }

    pub fn bytes_per_second(&self) -> u64 {
        self.bytes_per_second
    }

    /// The time on this quota's clock.
    pub fn now_ns(&self) -> u64 {
        FULL_NS.saturating_add(self.began.elapsed().as_nanos() as u64)
    }

    /// # Errors
    /// The bucket is empty; after so many seconds it is not, or it is time to ask again.
    pub fn check(&self, now_ns: u64) -> Result<(), u64> {
        let paid_ns = self.paid_ns.load(Ordering::Relaxed);
        let seconds = paid_ns.saturating_sub(now_ns).div_ceil(SECOND_NS);
        if paid_ns < now_ns { Ok(()) } else { Err(seconds.clamp(1, RETRY_AFTER_SECONDS_MAX)) }
    }

    /// Takes `bytes` that began to come at `since_ns`: the time that they took to come counts for them.
    pub fn take(&self, since_ns: u64, bytes: usize) {
        let cost_ns = (bytes as u64).saturating_mul(SECOND_NS) / self.bytes_per_second;
        let full_ns = since_ns.saturating_sub(FULL_NS);
        let pay = |paid_ns: u64| Some(paid_ns.max(full_ns).saturating_add(cost_ns));
        // The closure always has a value.
        let _ = self.paid_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_NS: u64 = FULL_NS;

    #[test]
    fn a_body_is_taken_whole_and_paid_afterwards() {
        let quota = Quota::new(1000);
        assert_eq!(quota.check(START_NS), Ok(()));
        // Ten seconds' worth, of which the full bucket pays one.
        quota.take(START_NS, 10_000);
        assert_eq!(quota.check(START_NS), Err(9));
        assert_eq!(quota.check(START_NS + 8_500_000_000), Err(1), "rounded up");
        assert_eq!(quota.check(START_NS + 9 * SECOND_NS + 1), Ok(()));
    }

    #[test]
    fn a_full_bucket_does_not_grow() {
        let quota = Quota::new(1000);
        let later_ns = START_NS + 3600 * SECOND_NS;
        quota.take(later_ns, 3000);
        assert_eq!(quota.check(later_ns), Err(2));
    }

    #[test]
    fn who_sends_at_the_rate_is_never_refused() {
        let quota = Quota::new(1000);
        for second in 0..1000 {
            let now_ns = START_NS + second * SECOND_NS;
            assert_eq!(quota.check(now_ns), Ok(()), "{second}");
            quota.take(now_ns, 1000);
        }
        // One body of a minute, sent slowly.
        let began_ns = START_NS + 1001 * SECOND_NS;
        quota.take(began_ns, 60_000);
        assert_eq!(quota.check(began_ns + 60 * SECOND_NS), Ok(()));
    }

    #[test]
    fn the_largest_numbers_do_not_wrap() {
        let quota = Quota::new(0);
        for _ in 0..3 {
            quota.take(START_NS, usize::MAX);
        }
        assert_eq!(quota.check(START_NS), Err(RETRY_AFTER_SECONDS_MAX), "nobody is told to sleep for years");
        assert_eq!(Quota::new(u64::MAX).check(u64::MAX), Ok(()));
    }
}
