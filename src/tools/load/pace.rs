//! When requests are due.

use std::time::{Duration, Instant};

/// Requests at a fixed rate, whatever the server does (an open loop): each has a moment at which it is due, and its latency counts from
/// there. A server that stalls is charged with the wait of every request that it kept from being sent.
#[derive(Debug)]
pub struct Schedule {
    begin: Instant,
    /// Between two requests, in seconds.
    step: f64,
    /// Requests that were due and taken.
    taken: u64,
}

impl Schedule {
    pub fn new(begin: Instant, requests_per_second: f64) -> Self {
        Self { begin, step: requests_per_second.recip(), taken: 0 }
    }

    /// When the next request is due.
    pub fn next(&self) -> Instant {
        self.begin + Duration::from_secs_f64(self.step * self.taken as f64)
    }

    /// Takes all requests that are due; says how many.
    pub fn take_all(&mut self, now: Instant) -> u64 {
        let before = self.taken;
        while self.take(now).is_some() {}
        self.taken - before
    }

    /// Takes the next request if it is due: says since when.
    pub fn take(&mut self, now: Instant) -> Option<Instant> {
        let due = self.next();
        (due <= now).then(|| {
            self.taken += 1;
            due
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_at_their_rate_however_late_they_are_taken() {
        let begin = Instant::now();
        let mut schedule = Schedule::new(begin, 100.0);
        assert_eq!(schedule.take(begin), Some(begin));
        assert_eq!(schedule.take(begin), None);
        let late = begin + Duration::from_millis(35);
        let due: Vec<Duration> = std::iter::from_fn(|| schedule.take(late)).map(|due| due - begin).collect();
        assert_eq!(due, [10, 20, 30].map(Duration::from_millis));
        assert_eq!(schedule.next(), begin + Duration::from_millis(40));
    }
}
