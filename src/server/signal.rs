//! SIGTERM and SIGINT: the first asks the node to stop, the second ends it at once. SIGHUP asks it to read its files again. SIGXFSZ ends
//! nothing.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// SIGHUPs from before there is a node.
#[derive(Default)]
pub struct EarlyHangups(Arc<AtomicBool>);

/// From now on SIGHUP no longer ends the process by itself. To be called before anything that takes time: who renews a file does not know
/// how far a start is.
///
/// # Errors
/// The system refuses the handler.
pub fn heed_hangups() -> io::Result<EarlyHangups> {
    let has_come = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGHUP, Arc::clone(&has_come))?;
    Ok(EarlyHangups(has_come))
}

/// Where signals arrive.
pub struct Watch {
    /// The first that asks the node to stop.
    pub stops: Receiver<Stop>,
    /// One message for all SIGHUP that come before it is taken: who takes it finds what the last of them is about.
    pub hangups: Receiver<()>,
}

/// From now on signals no longer end the process by themselves: they arrive in the channels, and so does what came early.
pub fn watch(early: &EarlyHangups) -> io::Result<Watch> {
    // With a handler, a write beyond the limit on the size of files fails like any other, and is reported as such.
    signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let (sender, stops) = bounded(1);
    let (hangup, hangups) = bounded(1);
    if early.0.load(Ordering::SeqCst) {
        // The first in its channel.
        let _ = hangup.try_send(());
    }
    std::thread::Builder::new().name("signal".into()).spawn(move || {
        let mut has_asked = false;
        for signal in signals.forever() {
            if signal == SIGHUP {
                // Full: the message before is not taken yet.
                let _ = hangup.try_send(());
                continue;
            }
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
    Ok(Watch { stops, hangups })
}
