//! How a connection ends whose client may be sending still. Closing at once would make its system discard the last answer: what it
//! sends is read and thrown away until it has understood, or has had time to.

use std::net::Shutdown;
use std::time::Duration;

use super::conn;
use super::connections::{Connection, Wait};
use super::node::now_ns;
use super::shard::Shard;
use crate::http::Exchange;
use crate::net::Greeting;
use crate::write::VERSION_HEADER;

/// Bytes of one read of what is thrown away.
const READ_BYTES: usize = 64 << 10;

/// The receiving side of a late connection is shut down already, which ended the read that it waited in: what is left is to look now and
/// then at what arrives, for so many sweeps.
const LATE_SWEEPS: u64 = 4;
const LATE_STEP: Duration = Duration::from_millis(50);

/// Says that no more comes, and reads what the client still sends: for as long as a request may take, whatever its size (who sends a
/// body that is too large reads the answer when all of it is sent), and not through a long silence.
pub async fn linger(shard: &Shard, connection: &Connection) {
    let connections = &shard.connections;
    let stream = &connection.stream;
    stream.shut_down(Shutdown::Write);
    let late_until = connection.is_late().then(|| connections.tick() + LATE_SWEEPS);
    let give_up = late_until.unwrap_or_else(|| connections.end_of_patience());
    let mut buf = shard.pool.take(READ_BYTES).unwrap_or_else(|| shard.pool.take_idle());
    while connections.tick() < give_up {
        connections.set_wait(connection, Wait::End);
        buf.set_filled(0);
        let (result, returned) = stream.read(std::mem::take(&mut buf), READ_BYTES).await;
        buf = returned;
        match result {
            Ok(0) if late_until.is_some() => tokio::time::sleep(LATE_STEP).await,
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// Tells a client that no further connection is taken. It costs no [`Conn`](super::conn) and none of the places of those that are served.
pub async fn turn_away(shard: &Shard, connection: &Connection) {
    // Who is slow in a handshake keeps the place of another who could be told.
    if !matches!(conn::greet(shard, connection, Wait::End).await, Some(Greeting::Welcome | Greeting::PlainOnTls)) {
        return;
    }
    let mut request_id = String::new();
    shard.request_ids.borrow_mut().write_next(now_ns(), &mut request_id);
    let response = shard.ingest.borrow().refuse_connection(shard.node.places.places_max());
    let exchange = Exchange {
        minor_version: 1,
        keep_alive: false,
        head_only: false,
        version_header: VERSION_HEADER,
        request_id: &request_id,
        trace_id: "",
        origin: "",
    };
    let mut answer = Vec::new();
    response.write_to(&mut answer, exchange);
    shard.node.context.metrics.answered(response.status.code());
    shard.connections.set_wait(connection, Wait::Answer);
    if connection.stream.write_all(answer).await.0.is_ok() {
        conn::say_goodbye(shard, connection).await;
        linger(shard, connection).await;
    }
}
