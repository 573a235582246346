//! SIGTERM and SIGINT: the first asks the node to stop, the second ends it at once. SIGHUP has files read anew. SIGXFSZ ends nothing.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crossbeam::channel::{Receiver, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

/// Which signal asked the node to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    signal: i32,
}

impl Default for Stop {
    fn default() -> Self {
        Self { signal: SIGTERM }
    }
}

impl Stop {
    pub fn name(self) -> &'static str {
        if self.signal == SIGINT { "SIGINT" } else { "SIGTERM" }
    }
}

/// From now on signals no longer end the process by themselves: the first one arrives in the channel.
pub fn watch() -> io::Result<Receiver<Stop>> {
    // With a handler, a write beyond the limit on the size of files fails like any other, and is reported as such.
    signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let (sender, receiver) = bounded(1);
    std::thread::Builder::new().name("signal".into()).spawn(move || {
        let mut has_asked = false;
        for signal in signals.forever() {
            if has_asked {
                tracing::warn!("second signal: ending at once; the next start publishes what is in the log");
                // 128 + n is what a shell reports for a process ended by signal n. No exit handlers: they could wait for threads.
                signal_hook::low_level::exit(128 + signal);
            }
            has_asked = true;
            // The receiver is gone when the node is ending by itself.
            let _ = sender.send(Stop { signal });
        }
    })?;
    Ok(receiver)
}

/// From now on SIGHUP does not end the process, but calls `action`, on a thread of its own.
pub fn on_hangup(action: impl Fn() + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP])?;
    std::thread::Builder::new().name("reload".into()).spawn(move || signals.forever().for_each(|_| action()))?;
    Ok(())
}
