//! When the log thread should wait for more records before it writes.

use std::time::Duration;

/// What recent groups were like.
#[derive(Debug, Default)]
pub struct Pace {
    last: Duration,
}

impl Pace {
    /// How long to wait for how many records when `gathered` are there; `None`: write now.
    pub fn wait(&self, gathered: u32) -> Option<(Duration, u32)> {
        let _ = gathered;
        None
    }

    /// A group of so many records was written.
    pub fn wrote(&mut self, records: u32, took: Duration) {
        let _ = records;
        self.last = took;
    }
}
