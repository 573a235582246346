//! A shard's side of every request.

use std::sync::Arc;
use std::time::Duration;

use super::auth::{Client, Door, Gate};
use super::changes::{NoChanges, Since};
use super::entry::Entry;
use super::error::Refusal;
use super::keeper::Keeper;
use super::params::Params;
use super::query::Query;
use super::ready::Readiness;
use super::reject_log::{RejectLine, RejectLog};
use super::rejects::{KEPT_MAX, Refused, RejectQueue};
use super::route::Route;
use super::trace::Caller;
use super::{COMMIT, VERSION_HEADER, cors, params, rejects};
use crate::budget::{Budget, Consumer, Reservation};
use crate::catalog::Catalog;
use crate::config::{Config, Simd};
use crate::decode::{Gunzip, GzipError};
use crate::http::{Error as HttpError, Head, Method, Response, Status};
use crate::line::{self, Kernel, Padded, Precision};
use crate::metrics::Metrics;
use crate::table::{Committed, Rules, SealedTable, Tables, Writer};
use crate::wal::Wal;

/// What all shards share.
#[derive(Clone)]
pub struct Context {
    pub config: Arc<Config>,
    pub catalog: Arc<Catalog>,
    pub metrics: Arc<Metrics>,
    pub budget: Arc<Budget>,
    pub kernel: Kernel,
    pub keeper: Arc<Keeper>,
    pub readiness: Arc<Readiness>,
    /// `None`: authentication is off.
    pub gate: Option<Arc<Gate>>,
    /// Where a bucket keeps its refused lines.
    pub rejects: Option<RejectQueue>,
}

impl Context {
    /// The queue for the refused lines of a bucket, if it keeps them.
    fn rejects_of(&self, bucket: &str) -> Option<&RejectQueue> {
        let keeps = || self.config.buckets.settings(bucket).is_some_and(|settings| settings.rejects);
        self.rejects.as_ref().filter(|_| keeps())
    }
}

/// What is to be done with a request whose head is complete.
#[derive(Debug)]
pub enum Admit {
    /// Answer now; the body is not wanted.
    Reply(Response),
    /// Take the body, then call [`Ingest::run`].
    Read(Plan),
}

/// A request that was admitted.
#[derive(Debug)]
pub struct Plan {
    work: Work,
    client: Client,
}

impl Plan {
    /// Whether the request writes points.
    pub fn is_write(&self) -> bool {
        matches!(self.work, Work::Write { .. })
    }

    /// The body ends here, incomplete or too large, after so many bytes: they count like those of any other.
    pub fn broke_off(&self, bytes: usize) {
        self.client.sent(bytes);
    }
}

#[derive(Debug)]
enum Work {
    Write { params: Params, gzip: bool },
    Query(Query),
    Flush,
    Compact,
    Changes(Since),
}

/// What is to be done with a request that ran.
#[derive(Debug)]
pub enum Outcome {
    /// Answer once the log is durable up to `position`.
    Reply { response: Response, position: u64 },
    /// Answer when everything acknowledged so far is in the lake.
    Flush,
    /// Answer when the lake's files are as few as they can be.
    Compact,
    /// Answer with what has changed in the lake.
    Changes(Since),
    /// There is no room for the request now, and nothing of it was written: run it again a little later.
    Busy(Busy),
}

/// What there is no room in, and the answer for when that lasts.
#[derive(Debug)]
pub struct Busy {
    pub lacks: Lack,
    pub refusal: Response,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    Memory,
    /// Room in the log.
    Log,
}

impl Outcome {
    fn reply(response: Response) -> Self {
        Self::Reply { response, position: 0 }
    }

    fn refused(refusal: Refusal, context: &Context) -> Self {
        let lacks = match refusal {
            Refusal::Overloaded { .. } => Lack::Memory,
            Refusal::LogFull { .. } => Lack::Log,
            refusal => return Self::reply(refusal.response()),
        };
        Self::Busy(Busy { lacks, refusal: refusal.after(retry_after_seconds(context)).response() })
    }
}

/// What a request gets when its body is complete.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// Receive time, nanoseconds UTC.
    pub now_ns: i64,
    /// The epoch that the open tables belong to.
    pub epoch: u64,
}

/// A body to be written.
#[derive(Clone, Copy)]
struct Body<'a> {
    params: &'a Params,
    /// As it was received.
    received: &'a [u8],
    gzip: bool,
    lines: Padded<'a>,
}

/// The kernel that a setting stands for; the configuration has checked that the processor has it.
pub fn kernel(simd: Simd) -> Kernel {
    let named = match simd {
        Simd::Auto => None,
        Simd::Avx512 => Kernel::named("avx512"),
        Simd::Avx2 => Kernel::named("avx2"),
        Simd::Sse2 => Kernel::named("sse2"),
        Simd::Portable => Some(Kernel::PORTABLE),
    };
    named.unwrap_or_else(Kernel::fastest)
}

/// Decompression buffers larger than this are not kept for the next body.
const KEPT_BYTES_MAX: usize = 4 << 20;

/// One shard's tables and scratch memory.
pub struct Ingest {
    context: Context,
    tables: Tables,
    gunzip: Option<Gunzip>,
    gunzip_memory: Reservation,
    /// `None`: authentication is off.
    door: Option<Door>,
    reject_log: RejectLog,
}

impl Ingest {
    pub fn new(context: Context) -> Self {
        let tables = Tables::new(&context.budget);
        let gunzip_memory = Reservation::new(&context.budget, Consumer::Bodies);
        let door = context.gate.clone().map(Door::new);
        Self { context, tables, gunzip: None, gunzip_memory, door, reject_log: RejectLog::default() }
    }

    /// Judges a request by its head alone: path, credentials, method, parameters, encoding, permission, quota, in this order.
    pub fn admit(&mut self, head: &Head) -> Admit {
        if let Some(door) = &mut self.door {
            door.refresh();
        }
        match self.judge(head) {
            Ok(admit) => admit,
            Err(refusal) => Admit::Reply(refusal.response()),
        }
    }

    fn judge(&self, head: &Head) -> Result<Admit, Refusal> {
        if head.method == Method::Options {
            return cors::options(head).map(Admit::Reply).ok_or(Refusal::NotFound);
        }
        let route = Route::of(&head.path).ok_or(Refusal::NotFound)?;
        let client = match &self.door {
            Some(door) if route.needs_token() => door.identify(head)?,
            _ => Client::default(),
        };
        if !route.allows(head.method) {
            return Err(Refusal::Method { allow: route.allow() });
        }
        let params = match route {
            Route::WriteV1 => Params::v1(&head.query, &self.context.config.buckets)?,
            Route::WriteV2 => Params::v2(&head.query)?,
            Route::Query => {
                let query = query_of(head)?;
                client.check_quota()?;
                return Ok(Admit::Read(Plan { work: Work::Query(query), client }));
            }
            Route::Ping => return Ok(Admit::Reply(ping(&head.query))),
            Route::Health => return Ok(Admit::Reply(self.health())),
            Route::Ready => return Ok(Admit::Reply(self.ready())),
            Route::Metrics => return Ok(Admit::Reply(self.metrics())),
            Route::Flush => {
                client.permit_upkeep()?;
                return Ok(Admit::Read(Plan { work: Work::Flush, client }));
            }
            Route::Compact => {
                client.permit_upkeep()?;
                return Ok(Admit::Read(Plan { work: Work::Compact, client }));
            }
            Route::Changes => {
                let since = Since::of(&head.query)?;
                client.permit_changes()?;
                return Ok(Admit::Read(Plan { work: Work::Changes(since), client }));
            }
        };
        let gzip = is_gzip(head)?;
        self.context.check_bucket(&params.bucket, route, &head.query)?;
        client.permit_write(&params.bucket)?;
        client.check_quota()?;
        if !self.context.keeper.is_open() {
            return Err(Refusal::Recovering);
        }
        // Where a write's body ends must be said; none at all would be taken for an empty one.
        if head.content_length.is_none() && !head.chunked {
            return Err(Refusal::LengthRequired);
        }
        Ok(Admit::Read(Plan { work: Work::Write { params, gzip }, client }))
    }

    /// Answers a request whose body is complete.
    pub fn run(&mut self, plan: &Plan, body: Padded<'_>, stamp: Stamp, caller: Caller<'_>) -> Outcome {
        // What is logged on the way belongs to the trace, where there is one.
        let _span = caller.trace.map(|_| caller.span().entered());
        let outcome = self.work(plan, body, stamp, caller);
        // One that is busy runs again.
        if !matches!(outcome, Outcome::Busy(_)) {
            plan.client.sent(body.len());
        }
        outcome
    }

    fn work(&mut self, plan: &Plan, body: Padded<'_>, stamp: Stamp, caller: Caller<'_>) -> Outcome {
        match &plan.work {
            Work::Flush | Work::Compact if !self.context.keeper.is_open() => {
                Outcome::reply(Refusal::Recovering.response())
            }
            Work::Flush => Outcome::Flush,
            Work::Compact => Outcome::Compact,
            Work::Changes(since) => Outcome::Changes(*since),
            Work::Query(query) => match query.run(&self.context, &plan.client, body) {
                Ok((response, position)) => Outcome::Reply { response, position },
                Err(refusal) => Outcome::refused(refusal, &self.context),
            },
            Work::Write { params, gzip } => match self.write(params, *gzip, body, stamp) {
                Ok(Written { position, partial: None }) => {
                    Outcome::Reply { response: Response::empty(Status::NoContent), position }
                }
                Ok(Written { position, partial: Some(refusal) }) => {
                    self.refused(&params.bucket, &refusal, stamp, caller);
                    Outcome::Reply { response: refusal.response(), position }
                }
                Err(refusal) => {
                    self.refused(&params.bucket, &refusal, stamp, caller);
                    Outcome::refused(refusal, &self.context)
                }
            },
        }
    }

    /// Tidies up behind a write that was not taken whole, and sees to it that its lines stay in sight.
    #[cold]
    fn refused(&mut self, bucket: &str, refusal: &Refusal, stamp: Stamp, caller: Caller<'_>) {
        self.tables.forget_if_empty(bucket);
        for (reason, lines) in refusal.reasons() {
            self.context.metrics.rejected(bucket, reason, lines);
            let line = RejectLine { bucket, reason, lines, first: refusal.first(reason).unwrap_or_default() };
            self.reject_log.tell(line, stamp.now_ns, caller);
        }
    }

    /// The answer to requests whose place in the log is not durable and will not be.
    pub fn poisoned(&self) -> Response {
        let reason = self.log_failure().unwrap_or_else(|| "a write has failed".into());
        Refusal::Poisoned { reason, in_flight: true }.response()
    }

    /// The answer to a request that HTTP itself refuses.
    pub fn refuse(&self, error: &HttpError) -> Response {
        Refusal::Http(error.clone()).response()
    }

    /// The answer to a request that did not arrive in time.
    pub fn timed_out(&self) -> Response {
        Refusal::Timeout.response()
    }

    /// The answer to a request that there is no memory to receive.
    pub fn overloaded(&self) -> Response {
        let retry_after_seconds = retry_after_seconds(&self.context);
        Refusal::NoBuffer { retry_after_seconds }.response()
    }

    /// The answer to a connection above the `connections_max` that the node takes.
    pub fn refuse_connection(&self, connections_max: usize) -> Response {
        Refusal::TooManyConnections { connections_max }.response()
    }

    /// The answer to a flush, with the lake's sentence if it failed.
    pub fn flushed(&self, result: Result<(), &str>) -> Response {
        match result {
            Ok(()) => Response::empty(Status::NoContent),
            Err(reason) => match self.log_failure() {
                Some(reason) => Refusal::Poisoned { reason, in_flight: false }.response(),
                None => Refusal::Publish { reason: reason.to_owned() }.response(),
            },
        }
    }

    /// The answer to a compaction: what was done, as JSON, or why not everything was.
    pub fn compacted(&self, result: Result<String, String>) -> Response {
        match result {
            Ok(json) => Response {
                content_type: Some("application/json; charset=utf-8"),
                body: json.into_bytes(),
                ..Response::empty(Status::Ok)
            },
            Err(reason) => Refusal::Compaction { reason }.response(),
        }
    }

    /// The answer to a request for changes: JSON, or why there is none.
    pub fn told(&self, changes: Result<Vec<u8>, NoChanges>) -> Response {
        let refusal = match changes {
            Ok(body) => {
                let content_type = Some("application/json; charset=utf-8");
                return Response { content_type, body, ..Response::empty(Status::Ok) };
            }
            Err(NoChanges::Gone(reason)) => Refusal::Forgotten { reason },
            Err(NoChanges::NoMemory) => Refusal::Overloaded { retry_after_seconds: retry_after_seconds(&self.context) },
            Err(NoChanges::Failed(reason)) => Refusal::Untold { reason },
        };
        refusal.response()
    }

    /// Moves all open tables out; `keeps`: series that are likely to come again may stay.
    pub fn seal(&mut self, keeps: bool) -> Vec<SealedTable> {
        self.tables.seal(keeps)
    }

    /// Bytes that a seal would move out.
    pub fn open_bytes(&self) -> usize {
        self.tables.grown_bytes()
    }

    /// Whether no row waits for a flush.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    fn write(&mut self, params: &Params, gzip: bool, body: Padded<'_>, stamp: Stamp) -> Result<Written, Refusal> {
        let received = body.as_bytes();
        if !gzip {
            return insert(&self.context, &mut self.tables, Body { params, received, gzip, lines: body }, stamp);
        }
        let Self { context, tables, gunzip, gunzip_memory, .. } = self;
        let gunzip = match gunzip {
            Some(gunzip) => gunzip,
            None => gunzip.insert(Gunzip::new().map_err(Refusal::Gzip)?),
        };
        let reserve = |bytes: usize| {
            let held = gunzip_memory.bytes();
            bytes <= held || gunzip_memory.try_grow(bytes - held)
        };
        let written = gunzip
            .decode(received, context.config.body_bytes_max, reserve)
            .map_err(|error| match error {
                GzipError::NoMemory => Refusal::Overloaded { retry_after_seconds: RETRY_AFTER_SECONDS },
                error => Refusal::Gzip(error),
            })
            .and_then(|lines| insert(context, tables, Body { params, received, gzip, lines }, stamp));
        if gunzip.bytes() > KEPT_BYTES_MAX {
            gunzip.release();
        }
        gunzip_memory.set(gunzip.bytes());
        written
    }

    fn log_failure(&self) -> Option<Arc<str>> {
        self.context.keeper.log().and_then(Wal::failure)
    }

    fn ready(&self) -> Response {
        match self.log_failure() {
            Some(reason) => Refusal::Poisoned { reason, in_flight: false }.response(),
            None => self.context.readiness.response(self.context.keeper.is_open()),
        }
    }

    fn health(&self) -> Response {
        // The log's does not pass.
        let failure = self.log_failure().or_else(|| self.context.metrics.failure());
        let well = match self.context.keeper.is_open() {
            true => "ready for queries and writes",
            // A node that recovers is well: who restarted it for that would have it begin again.
            false => "replaying the log; /ready tells how far it is",
        };
        let body = serde_json::json!({
            "name": "influxdb",
            "message": failure.as_deref().unwrap_or(well),
            "status": if failure.is_none() { "pass" } else { "fail" },
            "checks": [],
            "version": VERSION_HEADER,
            "commit": COMMIT,
            "durability": self.context.config.durability.name(),
        });
        let status = if failure.is_none() { Status::Ok } else { Status::ServiceUnavailable };
        Response {
            content_type: Some("application/json; charset=utf-8"),
            body: body.to_string().into(),
            ..Response::empty(status)
        }
    }

    fn metrics(&self) -> Response {
        let body = self.context.metrics.render().into_bytes();
        Response { content_type: Some(METRICS_TYPE), body, ..Response::empty(Status::Ok) }
    }
}

/// A request that is refused while all others hold less than this part of the memory would be refused on an idle node too.
const TIGHT_SHARE: usize = 4;

const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// When a client should come back while nobody knows how fast memory and log become free.
pub const RETRY_AFTER_SECONDS: u64 = 2;

/// Whether the body is compressed by gzip, the only coding that is known.
fn is_gzip(head: &Head) -> Result<bool, Refusal> {
    match head.content_encoding.as_deref() {
        None | Some("") => Ok(false),
        Some(coding) if coding.eq_ignore_ascii_case("identity") => Ok(false),
        Some(coding) if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") => Ok(true),
        Some(other) => Err(Refusal::Encoding { given: other.to_owned() }),
    }
}

fn query_of(head: &Head) -> Result<Query, Refusal> {
    let has_body = head.chunked || head.content_length.is_some_and(|bytes| bytes > 0);
    Query::of(head, has_body && is_gzip(head)?)
}

/// The longest that a client is sent away for: a lake that is slow now may not stay so.
const RETRY_AFTER_SECONDS_MAX: u64 = 60;

/// When a client should come back after a lack of memory or log: when the lake has published what is in memory, which frees both.
fn retry_after_seconds(context: &Context) -> u64 {
    let waiting = [Consumer::OpenTables, Consumer::SealedParts].map(|consumer| context.budget.held_by(consumer));
    let drain_time = context.metrics.drain_time(waiting.iter().sum());
    let seconds = drain_time.map_or(RETRY_AFTER_SECONDS, |time| time.as_secs().saturating_add(1));
    seconds.min(RETRY_AFTER_SECONDS_MAX)
}

fn ping(query: &str) -> Response {
    let verbose = params::first(query.as_bytes(), "verbose");
    match verbose.as_deref() {
        None | Some("" | "0" | "false") => Response::empty(Status::NoContent),
        Some(_) => Response {
            content_type: Some("application/json"),
            body: serde_json::json!({ "version": VERSION_HEADER }).to_string().into(),
            ..Response::empty(Status::Ok)
        },
    }
}

/// A request that took effect.
struct Written {
    /// What must be durable before it is acknowledged.
    position: u64,
    /// What is to be said of points that were not taken.
    partial: Option<Refusal>,
}

/// Parses a body into the open tables, commits it and queues it to the log.
fn insert(context: &Context, tables: &mut Tables, body: Body<'_>, stamp: Stamp) -> Result<Written, Refusal> {
    let Body { params, lines, .. } = body;
    let retention = context.retention(&params.bucket);
    let rules = Rules { time_ns_min: lower_bound(stamp.now_ns, retention), retention };
    let options = line_options(context.kernel, params.precision, stamp.now_ns);
    let overloaded = Refusal::Overloaded { retry_after_seconds: RETRY_AFTER_SECONDS };
    let mut entry = Vec::new();
    loop {
        let Some(mut writer) = tables.writer(&params.bucket, &context.catalog, rules, lines.len()) else {
            return Err(overloaded);
        };
        let queue = context.rejects_of(&params.bucket);
        if queue.is_some() {
            writer.list(KEPT_MAX);
        }
        match line::parse(lines, options, &mut writer) {
            line::Outcome::Complete { points: 0 } => return Ok(Written { position: 0, partial: None }),
            line::Outcome::Complete { points } => {
                describe(body, stamp, &writer, &mut entry);
                let request = [entry.as_slice(), body.received];
                // From here on only another shard's births can come between.
                let mut place = context.keeper.place(request, stamp.epoch, writer.births_bytes_max())?;
                // A field has got another type from another shard meanwhile: judge again by what is known now.
                let Ok(committed) = writer.commit(&mut place) else { continue };
                let partial = account(context, lines, points, committed, &rules);
                if let (Some(queue), Some(Refusal::Partial { lines: refused, rejects, .. })) = (queue, &partial) {
                    context.metrics.rejects_lost.inc_by(rejects.lines().saturating_sub(refused.len() as u64));
                    queue.keep(&params.bucket, stamp.now_ns, params.precision, refused, lines.as_bytes());
                }
                return Ok(Written { position: place.position(), partial });
            }
            line::Outcome::Bad { errors, more } => {
                if let Some(queue) = queue {
                    let refused: Vec<Refused> = errors.iter().map(Refused::syntax).collect();
                    queue.keep(&params.bucket, stamp.now_ns, params.precision, &refused, lines.as_bytes());
                }
                let texts = errors.iter().map(|error| line::echo(&lines.as_bytes()[error.start..error.end])).collect();
                return Err(Refusal::Lines { errors, texts, more });
            }
            line::Outcome::Stopped => {
                // What an idle node holds too is no reason to come again.
                let lasting =
                    [Consumer::Catalog, Consumer::KeptSeries].map(|consumer| context.budget.held_by(consumer));
                let others = context.budget.total().saturating_sub(writer.granted() + lasting.iter().sum::<usize>());
                let never_fits = others < context.budget.bytes_max() / TIGHT_SHARE;
                let bytes_max = context.budget.bytes_max();
                return Err(if never_fits { Refusal::TooManyBirths { bytes_max } } else { overloaded });
            }
        }
    }
}

/// The request's entry for the log.
fn describe(body: Body<'_>, stamp: Stamp, writer: &Writer<'_>, entry: &mut Vec<u8>) {
    entry.clear();
    Entry {
        bucket: &body.params.bucket,
        precision: body.params.precision,
        received_ns: stamp.now_ns,
        gzip: body.gzip,
        // Bodies are at most 1 GiB.
        body_bytes: body.lines.len() as u32,
        dropped: writer.dropped().clone(),
    }
    .encode(entry);
}

/// How the lines of a request are read; the same whenever they are.
pub fn line_options(kernel: Kernel, precision: Precision, received_ns: i64) -> line::Options {
    let default_time_ns = default_time(received_ns, precision);
    line::Options { kernel, precision, default_time_ns }
}

/// Counts what was written, and says what was not.
fn account(context: &Context, body: Padded<'_>, points: u64, committed: Committed, rules: &Rules) -> Option<Refusal> {
    let metrics = &context.metrics;
    metrics.lines.inc_by(points);
    metrics.points.inc_by(committed.points);
    metrics.bytes.inc_by(body.len() as u64);
    if committed.rejects.is_empty() {
        return None;
    }
    let rejects = Box::new(committed.rejects);
    let (lines, ages) = rejects::find(body.as_bytes(), &rejects, rules.retention, rules.time_ns_min);
    Some(Refusal::Partial { rejects, lines, ages })
}

/// Points before this are too old.
fn lower_bound(now_ns: i64, retention: Option<Duration>) -> Option<i64> {
    let retention = i64::try_from(retention?.as_nanos()).unwrap_or(i64::MAX);
    Some(now_ns.saturating_sub(retention))
}

/// What a point without a timestamp gets.
fn default_time(now_ns: i64, precision: Precision) -> i64 {
    precision.truncate(now_ns)
}
