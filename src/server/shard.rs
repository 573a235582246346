//! One ingest thread: its ring, its connections, its buffers and its open tables. Nothing here is shared with another shard.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::conn;
use super::connections::{Connection, Connections, Patience, SWEEP_INTERVAL};
use super::durable::{Poisoned, Waiting};
use super::feed;
use super::linger;
use super::node::{Life, Node};
use super::places::Place;
use super::request_id::RequestIds;
use crate::http;
use crate::lake::{Compacted, Extent, Part};
use crate::net::{self, Bound, Listener, Pool, SMALL_BYTES, Stream};
use crate::write::{Ingest, NoChanges, Since};

/// Bytes of a request's head; long queries come in the URL.
const HEAD_BYTES_MAX: usize = 32 << 10;

/// Headers of one request.
const HEADERS_MAX: usize = 100;

/// What a receive buffer may have to hold beside head and body: chunk framing that is not removed yet, and trailers.
const FRAMING_BYTES_MAX: usize = 64 << 10;

/// Pause after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Between two looks whether the last parts have left; they do so when the log's last group is durable.
const HAND_OVER_STEP: Duration = Duration::from_millis(2);

/// Sweeps between two looks at buffers that nobody needs.
const SWEEPS_PER_TRIM: u32 = 40;

/// Most memory of the node, and its share of the budget, for connections that wait for a request with a larger buffer than an idle one's.
const WARM_BYTES_MAX: usize = 16 << 20;
const WARM_BUDGET_SHARE: usize = 32;

/// Most handshakes of a shard between two sweeps for connections that are only told that there is no place for them: keys take time that belongs
/// to those that are served.
const REFUSED_HANDSHAKES_PER_SWEEP: usize = 16;

/// Sweeps between two warnings that connections are turned away.
const SWEEPS_PER_WARNING: u64 = 40;

pub struct Shard {
    pub index: usize,
    pub node: Arc<Node>,
    pub pool: Pool,
    pub limits: http::Limits,
    pub ingest: RefCell<Ingest>,
    pub request_ids: RefCell<RequestIds>,
    pub connections: Connections,
    /// So many more connections may wait with a larger buffer.
    pub warm_left: Cell<usize>,
    /// The tick from which on it may be said again that connections are turned away.
    warns_from: Cell<u64>,
    /// Handshakes since a tick for connections that are turned away.
    refused_handshakes: Cell<(u64, usize)>,
    waiting: Waiting,
    /// The epoch that the open tables belong to.
    epoch: Cell<u64>,
    accepts: Cell<bool>,
}

/// Runs a shard until the node ends.
pub async fn run(node: Arc<Node>, index: usize, seed: [u8; 8], bound: Bound) {
    let shard = Rc::new(Shard::new(node, index, seed));
    net::spawn(accept(Rc::clone(&shard), Listener::from(bound)));
    net::spawn(sweep(Rc::clone(&shard)));
    net::spawn(follow_log(Rc::clone(&shard)));
    shard.watch().await;
}

impl Shard {
    pub fn new(node: Arc<Node>, index: usize, seed: [u8; 8]) -> Self {
        let context = &node.context;
        let body_bytes_max = context.config.body_bytes_max;
        let warm_bytes = WARM_BYTES_MAX.min(context.budget.bytes_max() / WARM_BUDGET_SHARE) / context.config.shards;
        Self {
            index,
            pool: Pool::new(&context.budget, HEAD_BYTES_MAX + body_bytes_max + FRAMING_BYTES_MAX),
            limits: http::Limits { head_bytes_max: HEAD_BYTES_MAX, headers_max: HEADERS_MAX, body_bytes_max },
            ingest: RefCell::new(Ingest::new(context.clone())),
            request_ids: RefCell::new(RequestIds::new(seed)),
            connections: Connections::new(Patience::new(&context.config)),
            warm_left: Cell::new(warm_bytes / SMALL_BYTES),
            warns_from: Cell::new(0),
            refused_handshakes: Cell::new((0, 0)),
            waiting: Waiting::default(),
            epoch: Cell::new(node.epochs.current()),
            accepts: Cell::new(true),
            node,
        }
    }

    /// Follows the node's epoch and life until it ends.
    async fn watch(&self) {
        loop {
            let life = self.node.life();
            self.follow_epoch();
            match life {
                Life::Serving => {}
                Life::Stopping => self.connections.end_idle(),
                Life::Cutting => self.connections.cut(),
                Life::Ending => return self.hand_over_all().await,
            }
            self.report_if_drained();
            self.node.woken(self.index).await;
        }
    }

    /// Seals and hands over what was written in an epoch that the node has left, and returns the one to write in. To be called before
    /// each write.
    pub fn follow_epoch(&self) -> u64 {
        let own = self.epoch.get();
        if self.node.epochs.current() == own {
            return own;
        }
        let turn = self.node.epochs.turn();
        let mut ingest = self.ingest.borrow_mut();
        // Without tables too: the lake waits for every shard.
        self.hand_over(Part { shard: self.index, epoch: own, tables: ingest.seal(self.node.keeps_series(own)) });
        if turn.previous > own {
            // Epochs that came and went unseen: nothing was written in them here.
            self.hand_over(Part { shard: self.index, epoch: turn.previous, tables: Vec::new() });
        }
        self.epoch.set(turn.current);
        self.node.epochs.entered(self.index, turn.current, ingest.open_bytes());
        turn.current
    }

    fn hand_over(&self, part: Part) {
        self.waiting.hand_over(&self.node, self.index, part);
    }

    /// Waits until the lake has all parts, which only a log that fails can prevent.
    async fn hand_over_all(&self) {
        while self.waiting.has_parts() && self.node.log_failure().is_none() {
            tokio::time::sleep(HAND_OVER_STEP).await;
        }
    }

    /// Goes on with everything whose place in the log has become durable.
    pub fn go_on(&self) {
        self.waiting.go_on(&self.node, self.index);
    }

    /// Until the log is durable up to `position`.
    pub async fn durable(&self, position: u64) -> Result<(), Poisoned> {
        self.waiting.durable(&self.node, self.index, position).await
    }

    /// A write has run and has its place in the log; `has_stored`: the open tables may have changed.
    pub fn wrote(&self, position: u64, has_stored: bool) {
        self.waiting.queued(position);
        if has_stored {
            let open_bytes = self.ingest.borrow().open_bytes();
            self.node.epochs.wrote(self.index, open_bytes);
        }
        self.node.flush_if_full();
    }

    /// Waits until everything that was acknowledged before the call is in the lake.
    ///
    /// # Errors
    /// The lake's sentence when an attempt to publish fails meanwhile (it tries again on its own), the log's, or that the node ends.
    pub async fn flush(&self) -> Result<(), Arc<str>> {
        let mut progress = self.node.lake.progress();
        let failed_before = progress.borrow().failed_attempts;
        let left = self.node.flush();
        self.follow_epoch();
        loop {
            {
                let now = progress.borrow_and_update();
                if now.committed >= left {
                    return Ok(());
                }
                if now.failed_attempts > failed_before {
                    return Err(now.failure.clone().unwrap_or_else(|| "an attempt to publish failed".into()));
                }
            }
            if let Some(failure) = self.node.log_failure() {
                return Err(failure);
            }
            if self.node.life() >= Life::Cutting {
                return Err("the node is ending; it publishes what it can before it does".into());
            }
            // The timeout is for the look at the node's life.
            if let Ok(Err(_)) = timeout(SWEEP_INTERVAL, progress.changed()).await {
                return Err("the lake has stopped".into());
            }
        }
    }

    /// Waits until the lake's files are as few as they can be.
    ///
    /// # Errors
    /// Why some are not, or that the node ends, which waits for no merge.
    pub async fn compact(&self) -> Result<Compacted, String> {
        let mut answer = self.node.lake.compact(Extent::All);
        loop {
            match timeout(SWEEP_INTERVAL, &mut answer).await {
                Ok(Ok(result)) => return result,
                Ok(Err(_)) => return Err("the lake has stopped".into()),
                Err(_) if self.node.life() >= Life::Stopping => {
                    return Err("the node is ending; what was merged stays so".into());
                }
                Err(_) => {}
            }
        }
    }

    /// What has changed in the lake, as JSON.
    pub async fn changes(&self, since: Since) -> Result<Vec<u8>, NoChanges> {
        feed::read(&self.node, since).await
    }

    fn report_if_drained(&self) {
        if self.node.life() >= Life::Stopping && !self.accepts.get() && self.connections.is_empty() {
            self.node.report_drained(self.index);
        }
    }

    /// Serves a connection that was accepted, if the node has a place for it.
    fn take(self: &Rc<Self>, stream: Stream) {
        if let Some(place) = self.node.places.take() {
            if let Some(stream) = self.secured(stream) {
                net::spawn(Rc::clone(self).serve(stream, place));
            }
            return;
        }
        self.node.context.metrics.connections_refused.inc();
        let tick = self.connections.tick();
        if tick >= self.warns_from.get() {
            self.warns_from.set(tick + SWEEPS_PER_WARNING);
            let connections_max = self.node.places.places_max();
            tracing::warn!(connections_max, "connections are turned away: as many are open as the node takes");
        }
        // Those that are told so hold descriptors too. Beyond them the connection is closed without a word.
        if self.may_tell(tick)
            && let Some(place) = self.node.refusals.take()
            && let Some(stream) = self.secured(stream)
        {
            net::spawn(Rc::clone(self).turn_away(stream, place));
        }
    }

    /// Whether a connection that is turned away may be told so, for which TLS needs a handshake.
    fn may_tell(&self, tick: u64) -> bool {
        if self.node.tls.is_none() {
            return true;
        }
        let (since, handshakes) = self.refused_handshakes.get();
        let handshakes = if since == tick { handshakes + 1 } else { 1 };
        self.refused_handshakes.set((tick, handshakes));
        handshakes <= REFUSED_HANDSHAKES_PER_SWEEP
    }

    /// With TLS, if the port has it. `None`: that cannot be had, and the connection is closed.
    fn secured(&self, stream: Stream) -> Option<Stream> {
        let Some(tls) = &self.node.tls else { return Some(stream) };
        let secured = stream.secured(tls);
        secured.inspect_err(|error| tracing::error!(%error, "no TLS for a connection; it is closed")).ok()
    }

    async fn serve(self: Rc<Self>, stream: Stream, place: Place) {
        let connections_open = &self.node.context.metrics.connections;
        connections_open.inc();
        let (number, connection) = self.connections.enter(stream);
        let place = if conn::serve(&self, &connection).await { self.linger(&connection, place).await } else { place };
        drop(connection);
        connections_open.dec();
        self.leave(number, place);
    }

    /// Who is only waited for takes no place of those that are served, as long as there is another.
    async fn linger(&self, connection: &Connection, place: Place) -> Place {
        let place = self.node.refusals.take().unwrap_or(place);
        linger::linger(self, connection).await;
        place
    }

    async fn turn_away(self: Rc<Self>, stream: Stream, place: Place) {
        let (number, connection) = self.connections.enter(stream);
        linger::turn_away(&self, &connection).await;
        drop(connection);
        self.leave(number, place);
    }

    fn leave(&self, number: u64, place: Place) {
        self.connections.leave(number);
        drop(place);
        self.report_if_drained();
    }
}

async fn follow_log(shard: Rc<Shard>) {
    loop {
        shard.node.watches.moved(shard.index).await;
        shard.go_on();
    }
}

async fn sweep(shard: Rc<Shard>) {
    let mut interval = tokio::time::interval(SWEEP_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut until_trim = SWEEPS_PER_TRIM;
    loop {
        interval.tick().await;
        shard.connections.sweep();
        until_trim -= 1;
        if until_trim == 0 || shard.pool.is_tight() {
            until_trim = SWEEPS_PER_TRIM;
            shard.pool.trim();
        }
    }
}

/// Accepts connections until the listening socket is shut down.
async fn accept(shard: Rc<Shard>, listener: Listener) {
    let mut is_failing = false;
    while shard.node.life() == Life::Serving {
        match listener.accept().await {
            Ok(stream) => {
                if is_failing {
                    tracing::info!(shard = shard.index, "connections are accepted again");
                    is_failing = false;
                }
                if let Err(error) = stream.send_at_once() {
                    tracing::debug!(%error, "a connection was gone before it was served");
                    continue;
                }
                shard.take(stream);
            }
            Err(error) if net::accept_lost_connection(&error) => {}
            Err(_) if shard.node.life() != Life::Serving => break,
            Err(error) => {
                if !is_failing {
                    tracing::warn!(shard = shard.index, %error, "cannot accept connections; trying again until it works");
                    is_failing = true;
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    shard.accepts.set(false);
    shard.report_if_drained();
}
