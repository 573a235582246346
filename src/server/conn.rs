//! One connection: bytes in, answers out, in order. Every wait of a connection is in this file; what happens between a complete
//! body and its answer is one synchronous call.

use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::connections::{Connection, Pace, Wait};
use super::node::{Life, now_ns};
use super::shard::Shard;
use super::unsettled::{Held, Unsettled};
use crate::http::{self, Event, Exchange, Head, Method, Phase, Response, Status};
use crate::net::{Buf, Greeting, IDLE_BYTES, PADDING, SMALL_BYTES};
use crate::write::{self, Admit, Busy, Caller, Outcome, Padded, Plan, Since, Stamp, TraceId, VERSION_HEADER};

const _: () = assert!(PADDING == write::PADDING, "pooled buffers carry the padding that the parsers read");

/// Most bytes of one read: large bodies come fastest in pieces that stay in the cache.
const READ_BYTES_MAX: usize = 512 << 10;

/// Answers that wait to be sent together are sent when they have so many bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Most memory for answers that stays with a connection while it waits for a request.
const KEPT_ANSWER_BYTES_MAX: usize = 1 << 10;

/// Most bytes of a body that is read only to keep the connection when the answer is known without it.
const UNWANTED_BYTES_MAX: u64 = 64 << 10;

/// How long a request waits for memory, with its socket unread, before it is answered with 503.
const MEMORY_WAIT: Duration = Duration::from_secs(2);
const MEMORY_WAIT_STEP: Duration = Duration::from_millis(10);

/// Serves a connection until no more is to be answered. Returns whether its client may still be sending, so that it has to [linger](linger::linger).
pub async fn serve(shard: &Shard, connection: &Connection) -> bool {
    let mut conn = Conn {
        shard,
        connection,
        state: http::State::new(shard.limits),
        buf: Buf::default(),
        start: 0,
        pace: Pace::default(),
        received: 0,
        out: Vec::new(),
        unsettled: Unsettled::default(),
        asked: Asked::default(),
        work: None,
    };
    // A late handshake ends like a late head, but without an answer, for which there are no keys.
    let end = match greet(shard, connection, Wait::Head).await {
        Some(Greeting::Welcome) => conn.run().await,
        Some(Greeting::PlainOnTls) => conn.refuse_plain().await,
        Some(Greeting::Silence) | None => return false,
    };
    conn.charge_what_broke_off();
    say_goodbye(shard, connection).await;
    matches!(end, Some(End::Linger))
}

/// How a connection begins, as long as `wait` allows; `None`: it is gone, or as good as gone.
pub async fn greet(shard: &Shard, connection: &Connection, wait: Wait) -> Option<Greeting> {
    if !connection.stream.is_secured() {
        return Some(Greeting::Welcome);
    }
    shard.connections.set_wait(connection, wait);
    let result = Box::pin(connection.stream.handshake()).await;
    let why: &dyn fmt::Display = match &result {
        _ if connection.is_late() => &"it took too long",
        Ok(Greeting::PlainOnTls) => &"the client speaks plain HTTP",
        // Nor is it a failure that somebody looks whether the port is open, as load balancers do.
        Ok(Greeting::Welcome | Greeting::Silence) => return result.ok(),
        Err(error) => error,
    };
    shard.node.context.metrics.tls_handshake_failures.inc();
    tracing::debug!(error = %why, "a connection ended in its TLS handshake");
    result.ok()
}

/// Tells the client that its connection ends, where TLS has words for that.
pub async fn say_goodbye(shard: &Shard, connection: &Connection) {
    if connection.stream.is_secured() {
        shard.connections.set_wait(connection, Wait::End);
        Box::pin(connection.stream.say_goodbye()).await;
    }
}

/// How a connection ends when it is not the client who ends it.
enum End {
    Close,
    /// The client may be sending still.
    Linger,
}

/// What the synchronous part needs before it can go on.
enum Need {
    /// At least so many more bytes of the request.
    Bytes(usize),
    /// Nothing but that the answers be sent before they grow further.
    Room,
    /// The lake, for an answer to a flush.
    Flush,
    /// The lake, for an answer to a compaction.
    Compact,
    /// What the manifest says.
    Changes(Since),
    /// Memory or log, for the request whose body is complete.
    Space {
        body: Range<usize>,
        consumed: usize,
        busy: Busy,
    },
    End(End),
}

/// How far a request came whose body is complete.
enum Done {
    /// To its end, or to a need of its own.
    Need(Option<Need>),
    /// Nowhere: there is no room for it now.
    Busy(Busy),
}

/// What happens when the body is complete.
enum Work {
    Run(Plan),
    Answer(Response),
}

/// What the answer needs to know of the request.
#[derive(Default)]
struct Asked {
    minor_version: u8,
    keep_alive: bool,
    head_only: bool,
    /// Empty: the client sent none.
    request_id: String,
    trace: Option<TraceId>,
    /// Of a page that may read the answer; empty otherwise.
    origin: String,
}

struct Conn<'a> {
    shard: &'a Shard,
    connection: &'a Connection,
    state: http::State,
    buf: Buf,
    /// Where the current request begins in `buf`.
    start: usize,
    /// How the current body comes in.
    pace: Pace,
    /// Bytes received since the connection was at rest; what comes next is expected to be like it.
    received: usize,
    /// Answers not sent yet.
    out: Vec<u8>,
    unsettled: Unsettled,
    asked: Asked,
    work: Option<Work>,
}

impl Conn<'_> {
    /// Tells a client that speaks no TLS that this port does.
    async fn refuse_plain(&mut self) -> Option<End> {
        let end = self.refuse(&http::Error::PlainOnTls);
        self.send().await?;
        Some(end)
    }

    /// `None`: the connection is gone.
    async fn run(&mut self) -> Option<End> {
        loop {
            let need = self.advance();
            self.send().await?;
            let end = match need {
                Need::Bytes(missing) => self.receive(missing).await?,
                Need::Room => None,
                Need::Flush => self.flush().await,
                Need::Compact => self.compact().await,
                Need::Changes(since) => self.changes(since).await,
                Need::Space { body, consumed, busy } => self.complete_later(body, consumed, busy).await,
                Need::End(end) => Some(end),
            };
            if let Some(end) = end {
                self.send().await?;
                return Some(end);
            }
        }
    }

    /// Takes all requests that are complete. Synchronous.
    fn advance(&mut self) -> Need {
        loop {
            if self.out.len() > ANSWER_BYTES_MAX {
                return Need::Room;
            }
            let event = match self.state.advance(self.buf.received(self.start)) {
                Ok(event) => event,
                Err(error) => return Need::End(self.refuse(&error)),
            };
            let need = match event {
                Event::More { filled, missing } => {
                    self.buf.set_filled(self.start + filled);
                    Some(Need::Bytes(missing))
                }
                Event::Head => self.admit().map(Need::End),
                Event::Body { body, consumed } => {
                    let body = self.start + body.start..self.start + body.end;
                    match self.complete(body.clone()) {
                        Done::Busy(busy) => Some(Need::Space { body, consumed, busy }),
                        Done::Need(need) => {
                            self.start += consumed;
                            need
                        }
                    }
                }
            };
            if let Some(need) = need {
                return need;
            }
        }
    }

    /// The head is complete: is the body wanted?
    fn admit(&mut self) -> Option<End> {
        let head = self.state.head();
        self.asked.read(head);
        self.pace = Pace { bytes: (self.buf.filled() - self.start) as u64, sweeps: 0 };
        match self.shard.ingest.borrow_mut().admit(head) {
            Admit::Read(plan) => {
                self.work = Some(Work::Run(plan));
                if head.expect_continue {
                    Response::empty(Status::Continue).write_to(&mut self.out, self.asked.exchange(true));
                }
                None
            }
            Admit::Reply(response) if is_body_small(head) => {
                self.work = Some(Work::Answer(response));
                None
            }
            Admit::Reply(response) => Some(self.answer_last(response)),
        }
    }

    /// The body is complete: from here to the answer nothing waits.
    fn complete(&mut self, body: Range<usize>) -> Done {
        let plan = match self.work.take() {
            Some(Work::Run(plan)) => plan,
            Some(Work::Answer(response)) => return Done::Need(self.answer(response, now_ns()).map(Need::End)),
            None => return Done::Need(None),
        };
        let shard = self.shard;
        let is_write = plan.is_write();
        let began = Instant::now();
        let epoch = shard.follow_epoch();
        let now_ns = now_ns();
        let bytes = body.len();
        self.name_request(now_ns);
        let caller = self.asked.caller();
        let outcome = self.buf.padded(body, |padded| {
            let body = Padded::new(padded, bytes).expect("a pooled buffer has its padding");
            shard.ingest.borrow_mut().run(&plan, body, Stamp { now_ns, epoch }, caller)
        });
        match outcome {
            Outcome::Flush => Done::Need(Some(Need::Flush)),
            Outcome::Compact => Done::Need(Some(Need::Compact)),
            Outcome::Changes(since) => Done::Need(Some(Need::Changes(since))),
            Outcome::Busy(busy) => {
                self.work = Some(Work::Run(plan));
                Done::Busy(busy)
            }
            Outcome::Reply { response, position } => {
                // A query may bring a bucket into the world.
                if is_write || position > 0 {
                    shard.wrote(position, !is_write || has_stored(&response));
                    return Done::Need(self.hold(response, now_ns, began, position).map(Need::End));
                }
                Done::Need(self.answer(response, now_ns).map(Need::End))
            }
        }
    }

    /// Queues the answer of a write, which may not leave before the log is durable up to `position`.
    fn hold(&mut self, response: Response, now_ns: i64, began: Instant, position: u64) -> Option<End> {
        let (start, status) = (self.out.len(), response.status.code());
        let end = self.queue(response, now_ns);
        let answer = start..self.out.len();
        self.unsettled.hold(Held { began, status, answer, position, trace: self.asked.trace });
        end
    }

    /// Tries a request again until there is room for it, or time is up. Its socket is not read meanwhile.
    async fn complete_later(&mut self, body: Range<usize>, consumed: usize, busy: Busy) -> Option<End> {
        self.wait(Wait::Node);
        let began = Instant::now();
        let mut done = Done::Busy(busy);
        while let Done::Busy(busy) = &done
            && began.elapsed() < MEMORY_WAIT
        {
            self.shard.node.flush_for_room(busy.lacks);
            tokio::time::sleep(MEMORY_WAIT_STEP).await;
            done = self.complete(body.clone());
        }
        self.start += consumed;
        match done {
            Done::Busy(Busy { refusal, .. }) => {
                self.work = None;
                self.answer(refusal, now_ns())
            }
            Done::Need(Some(Need::End(end))) => Some(end),
            // A write needs nothing else.
            Done::Need(_) => None,
        }
    }

    async fn flush(&mut self) -> Option<End> {
        self.wait(Wait::Node);
        let result = self.shard.flush().await;
        let result = match &result {
            Ok(()) => Ok(()),
            Err(failure) => Err(&**failure),
        };
        let response = self.shard.ingest.borrow().flushed(result);
        self.answer(response, now_ns())
    }

    async fn compact(&mut self) -> Option<End> {
        self.wait(Wait::Node);
        let result = self.shard.compact().await;
        let response = self.shard.ingest.borrow().compacted(result.map(|compacted| compacted.to_json()));
        self.answer(response, now_ns())
    }

    async fn changes(&mut self, since: Since) -> Option<End> {
        self.wait(Wait::Node);
        let told = self.shard.changes(since).await;
        let response = self.shard.ingest.borrow().told(told);
        self.answer(response, now_ns())
    }

    /// The request is no HTTP that can be taken.
    fn refuse(&mut self, error: &http::Error) -> End {
        let is_too_large = matches!(error, http::Error::BodyTooLarge { declared: Some(_), .. });
        let head = self.state.head();
        if self.work.is_none() {
            self.asked.read(head);
        }
        let mut ingest = self.shard.ingest.borrow_mut();
        // Route, credentials and parameters are judged before the size.
        let response = match is_too_large.then(|| ingest.admit(head)) {
            Some(Admit::Reply(response)) => response,
            Some(Admit::Read(_)) | None => ingest.refuse(error),
        };
        drop(ingest);
        self.answer_last(response)
    }

    /// The request cannot be received to its end.
    fn give_up(&mut self, response: Response) -> End {
        if self.state.phase() != Phase::Body {
            // Its head is not complete. What is known is not that of the request before it.
            self.asked.read(self.state.head());
        }
        self.answer_last(response)
    }

    fn answer_last(&mut self, response: Response) -> End {
        self.answer(Response { close: true, ..response }, now_ns());
        End::Linger
    }

    /// Queues an answer; says whether it is the connection's last.
    fn answer(&mut self, response: Response, now_ns: i64) -> Option<End> {
        self.shard.node.context.metrics.answered(response.status.code());
        self.queue(response, now_ns)
    }

    /// The same for an answer that is not counted before it may leave.
    fn queue(&mut self, response: Response, now_ns: i64) -> Option<End> {
        let shard = self.shard;
        self.name_request(now_ns);
        let client_goes_on = self.asked.keep_alive;
        let goes_on = client_goes_on && !response.close && shard.node.life() == Life::Serving;
        if response.status.is_error() {
            self.asked.caller().log_refusal(response.status);
        }
        response.write_to(&mut self.out, self.asked.exchange(goes_on));
        // Also one who knows that nothing comes behind this answer may have sent more.
        (!goes_on).then_some(End::Linger)
    }

    /// Gives the request a name if its client has given it none.
    fn name_request(&mut self, now_ns: i64) {
        if self.asked.request_id.is_empty() {
            self.shard.request_ids.borrow_mut().write_next(now_ns, &mut self.asked.request_id);
        }
    }

    /// Sends the answers that wait, once they may leave. `None`: the connection is gone.
    async fn send(&mut self) -> Option<()> {
        self.settle().await;
        if self.out.is_empty() {
            return Some(());
        }
        self.wait(Wait::Answer);
        let (result, mut out) = self.connection.stream.write_all(std::mem::take(&mut self.out)).await;
        out.clear();
        self.out = out;
        result.ok()
    }

    /// Waits until the log holds what the answers say.
    async fn settle(&mut self) {
        if self.unsettled.is_empty() {
            return;
        }
        let position = self.unsettled.position();
        if position > 0 {
            self.wait(Wait::Node);
        }
        let is_durable = self.shard.durable(position).await.is_ok();
        self.unsettled.settle(self.shard, is_durable, &mut self.out);
    }

    /// Reads what comes next; says so if the connection ends instead. `None`: it is gone.
    async fn receive(&mut self, missing: usize) -> Option<Option<End>> {
        let is_warm = match self.state.phase() {
            Phase::Idle if self.shard.node.life() != Life::Serving => return Some(Some(End::Close)),
            Phase::Idle if self.buf.filled() == self.start => self.rest(),
            _ if self.make_room(missing).await => false,
            _ => {
                let response = self.shard.ingest.borrow().overloaded();
                return Some(Some(self.give_up(response)));
            }
        };
        self.wait_for_bytes();
        let began = self.shard.connections.tick();
        let (result, buf) = self.connection.stream.read(std::mem::take(&mut self.buf), READ_BYTES_MAX).await;
        self.buf = buf;
        if is_warm {
            self.shard.warm_left.update(|left| left + 1);
        }
        match result {
            Ok(0) if self.connection.is_late() => {
                let response = self.shard.ingest.borrow().timed_out();
                Some(Some(self.give_up(response)))
            }
            Ok(0) | Err(_) => None,
            Ok(bytes) => {
                self.received += bytes;
                self.pace.bytes += bytes as u64;
                self.pace.sweeps += self.shard.connections.tick() - began;
                Some(None)
            }
        }
    }

    /// Gives back what requests needed: idle connections are many, and each holds little. One that has received more at once waits with
    /// a buffer that takes as much in one read, as long as only so many do; says whether this is one of them.
    fn rest(&mut self) -> bool {
        let shard = self.shard;
        let is_warm = self.received > IDLE_BYTES && shard.warm_left.get() > 0;
        let wanted = if is_warm { SMALL_BYTES } else { IDLE_BYTES };
        if is_warm {
            shard.warm_left.update(|left| left - 1);
        }
        if self.buf.capacity() == wanted {
            self.buf.set_filled(0);
        } else {
            self.buf = Buf::default();
            self.buf = shard.pool.take(wanted).unwrap_or_else(|| shard.pool.take_idle());
        }
        (self.start, self.received) = (0, 0);
        // A long answer (metrics, a query) must not stay with the connection, nor a long origin.
        self.out.shrink_to(KEPT_ANSWER_BYTES_MAX);
        self.unsettled.shrink();
        self.asked.origin = String::new();
        is_warm
    }

    /// Sees to it that `missing` more bytes fit behind the current request's. `false`: there is no memory for them.
    async fn make_room(&mut self, missing: usize) -> bool {
        let kept = self.buf.filled() - self.start;
        let needed = kept + missing;
        // A read that filled the buffer of an idle connection is followed by more: by a body, or by pipelined requests.
        let is_burst = self.buf.capacity() < SMALL_BYTES && self.buf.filled() == self.buf.capacity();
        if needed > self.buf.capacity() {
            let Some(larger) = self.take_memory(needed).await else { return false };
            self.move_to(larger);
        } else if is_burst && let Some(larger) = self.shard.pool.take(SMALL_BYTES) {
            self.move_to(larger);
        } else if kept == 0 || self.start + needed > self.buf.capacity() {
            self.buf.drop_front(self.start);
            self.start = 0;
        }
        true
    }

    fn move_to(&mut self, mut larger: Buf) {
        larger.copy_from(&self.buf, self.start);
        self.buf = larger;
        self.start = 0;
    }

    async fn take_memory(&mut self, bytes: usize) -> Option<Buf> {
        if let Some(buf) = self.shard.pool.take(bytes) {
            return Some(buf);
        }
        self.wait(Wait::Node);
        let began = Instant::now();
        while began.elapsed() < MEMORY_WAIT {
            self.shard.node.flush_if_full();
            tokio::time::sleep(MEMORY_WAIT_STEP).await;
            if let Some(buf) = self.shard.pool.take(bytes) {
                return Some(buf);
            }
        }
        None
    }

    /// Sets the deadline of a read: for a head from its first byte, for a body by what it has brought so far.
    fn wait_for_bytes(&mut self) {
        let wait = match self.state.phase() {
            Phase::Idle => Wait::Request,
            Phase::Head => Wait::Head,
            Phase::Body => return self.shard.connections.set_wait_for_body(self.connection, self.pace),
        };
        if self.connection.waits() != wait {
            self.wait(wait);
        }
    }

    /// A body that is refused or left in its midst has been received so far.
    fn charge_what_broke_off(&self) {
        if let Some(Work::Run(plan)) = &self.work {
            plan.broke_off(self.buf.filled().saturating_sub(self.start));
        }
    }

    fn wait(&self, wait: Wait) {
        self.shard.connections.set_wait(self.connection, wait);
    }
}

impl Asked {
    fn read(&mut self, head: &Head) {
        self.minor_version = head.minor_version;
        self.keep_alive = head.keep_alive;
        self.head_only = head.method == Method::Head;
        self.request_id.clear();
        self.request_id.push_str(head.request_id.as_deref().unwrap_or_default());
        self.trace = TraceId::of(head);
        self.origin.clear();
        if let Some(origin) = head.origin.as_deref().filter(|_| write::is_open_to_pages(&head.path)) {
            self.origin.push_str(origin);
        }
    }

    fn caller(&self) -> Caller<'_> {
        Caller { request_id: &self.request_id, trace: self.trace.as_ref() }
    }

    fn exchange(&self, keep_alive: bool) -> Exchange<'_> {
        Exchange {
            minor_version: self.minor_version,
            keep_alive,
            head_only: self.head_only,
            version_header: VERSION_HEADER,
            request_id: &self.request_id,
            trace_id: self.trace.as_ref().map_or("", TraceId::as_str),
            origin: &self.origin,
        }
    }
}

/// Whether a write's answer says that points may have been stored.
fn has_stored(response: &Response) -> bool {
    matches!(response.status, Status::NoContent | Status::UnprocessableContent)
}

/// Whether the body, if there is one, costs less to read than a new connection. One that waits for `100 Continue` is not sent at all.
fn is_body_small(head: &Head) -> bool {
    let bytes = head.content_length.unwrap_or(0);
    bytes == 0 && !head.chunked || bytes <= UNWANTED_BYTES_MAX && !head.chunked && !head.expect_continue
}
