//! SIGHUP: what the start has read from files is read again. No request is interrupted, and what cannot be read changes nothing.

use std::io;
use std::sync::Arc;

use crossbeam::channel::Receiver;

use crate::write::Gate;

/// Reloads on each message, in a thread of its own: a node that replays its log or waits for its disk does so too.
pub fn follow(hangups: Receiver<()>, gate: Option<Arc<Gate>>) -> io::Result<()> {
    let body = move || {
        for () in hangups {
            match &gate {
                Some(gate) => reload_tokens(gate),
                None => tracing::info!("SIGHUP: authentication is off, there are no tokens to read"),
            }
        }
    };
    std::thread::Builder::new().name("reload".into()).spawn(body).map(drop)
}

fn reload_tokens(gate: &Gate) {
    match gate.reload() {
        Ok(tokens) => tracing::info!(tokens, "SIGHUP: the tokens are read again"),
        Err(error) => tracing::error!(%error, "SIGHUP: the tokens stay as they were"),
    }
}
