//! What the machine itself makes every thread wait.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the thread sleeps at a time.
const NAP: Duration = Duration::from_millis(1);

#[derive(Debug, Default)]
struct Seen {
    late_max_us: AtomicU64,
    ends: AtomicBool,
}

/// A thread that only sleeps, and notes by how much it came too late at most. It ends when this is dropped.
#[derive(Debug)]
pub struct Probe {
    seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
}

impl Probe {
    pub fn start() -> io::Result<Self> {
        let seen = Arc::new(Seen::default());
        let told = Arc::clone(&seen);
        let nap = move || {
            while !told.ends.load(Ordering::Relaxed) {
                let begin = Instant::now();
                std::thread::sleep(NAP);
                let late = begin.elapsed().saturating_sub(NAP).as_micros();
                told.late_max_us.fetch_max(late.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        };
        let thread = std::thread::Builder::new().name("load-probe".into()).spawn(nap)?;
        Ok(Self { seen, thread: Some(thread) })
    }

    /// The most since it was asked last.
    pub fn take(&self) -> Duration {
        Duration::from_micros(self.seen.late_max_us.swap(0, Ordering::Relaxed))
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.seen.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has nothing to tell.
            let _ = thread.join();
        }
    }
}
