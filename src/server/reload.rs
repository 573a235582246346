//! SIGHUP: what the start has read from files is read again. No request is interrupted, and what cannot be read changes nothing.

use std::io;
use std::sync::Arc;

use crossbeam::channel::Receiver;

use super::node::now_ns;
use crate::net::Tls;
use crate::write::Gate;

/// Reloads on each message, in a thread of its own: a node that replays its log or waits for its disk does so too.
pub fn follow(hangups: Receiver<()>, gate: Option<Arc<Gate>>, tls: Option<Arc<Tls>>) -> io::Result<()> {
    let body = move || {
        for () in hangups {
            if gate.is_none() && tls.is_none() {
                tracing::info!("SIGHUP: there is nothing to read again");
            }
            gate.as_deref().into_iter().for_each(reload_tokens);
            tls.as_deref().into_iter().for_each(reload_certificate);
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

fn reload_certificate(tls: &Tls) {
    match tls.reload() {
        Ok(()) => {
            tracing::info!("SIGHUP: certificate and key are read again, for new connections");
            warn_of_identity(tls);
        }
        Err(error) => tracing::error!(%error, "SIGHUP: certificate and key stay as they were"),
    }
}

/// Says what is not as it should be with the certificate and the key that are in force.
pub fn warn_of_identity(tls: &Tls) {
    for concern in tls.concerns(now_ns() / 1_000_000_000) {
        tracing::warn!("{concern}");
    }
}
