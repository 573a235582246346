//! A shard's side of every request.

use std::sync::Arc;
use std::time::Duration;

use super::error::{Refusal, echo};
use super::params::Params;
use super::route::Route;
use super::{VERSION_HEADER, params};
use crate::budget::{Budget, Consumer, Reservation};
use crate::catalog::Catalog;
use crate::config::{Config, Simd};
use crate::decode::{Gunzip, GzipError, is_utf8};
use crate::http::{Error as HttpError, Head, Response, Status};
use crate::line::{self, Kernel, Padded, Precision};
use crate::metrics::Metrics;
use crate::table::{Committed, Rejects, Rules, SealedTable, Tables};

/// What all shards share.
#[derive(Clone)]
pub struct Context {
    pub config: Arc<Config>,
    pub catalog: Arc<Catalog>,
    pub metrics: Arc<Metrics>,
    pub budget: Arc<Budget>,
    pub kernel: Kernel,
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
pub struct Plan(Work);

impl Plan {
    /// Whether the request writes points.
    pub fn is_write(&self) -> bool {
        matches!(self.0, Work::Write { .. })
    }
}

#[derive(Debug)]
enum Work {
    Write { params: Params, gzip: bool },
    Flush,
}

/// What is to be done with a request that ran.
#[derive(Debug)]
pub enum Outcome {
    Reply(Response),
    /// Answer when everything acknowledged so far is in the lake.
    Flush,
    /// There is no memory for the request now, and nothing of it was written: run it again a little later, or answer
    /// [`Ingest::overloaded`].
    Busy,
}

/// What a request gets when its body is complete.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// Receive time, nanoseconds UTC.
    pub now_ns: i64,
    /// From the node's one counter: the later request wins where two write one point.
    pub request: u64,
}

/// The kernel that a setting stands for; the configuration has checked that the processor has it.
pub fn kernel(simd: Simd) -> Kernel {
    let wanted = match simd {
        Simd::Auto => return Kernel::fastest(),
        Simd::Avx2 => "avx2",
        Simd::Sse2 => "sse2",
        Simd::Portable => "portable",
    };
    let available = Kernel::available();
    available.into_iter().find(|kernel| kernel.name() == wanted).unwrap_or(Kernel::Portable)
}

/// Decompression buffers larger than this are not kept for the next body.
const KEPT_BYTES_MAX: usize = 4 << 20;

/// One shard's tables and scratch memory.
pub struct Ingest {
    context: Context,
    tables: Tables,
    gunzip: Option<Gunzip>,
    gunzip_memory: Reservation,
}

impl Ingest {
    pub fn new(context: Context) -> Self {
        let tables = Tables::new(&context.budget);
        let gunzip_memory = Reservation::new(&context.budget, Consumer::Bodies);
        Self { context, tables, gunzip: None, gunzip_memory }
    }

    /// Judges a request by its head alone: path, method, parameters, encoding, in this order.
    pub fn admit(&mut self, head: &Head) -> Admit {
        match self.judge(head) {
            Ok(admit) => admit,
            Err(refusal) => Admit::Reply(refusal.response()),
        }
    }

    fn judge(&self, head: &Head) -> Result<Admit, Refusal> {
        let route = Route::of(&head.path).ok_or(Refusal::NotFound)?;
        if !route.allows(head.method) {
            return Err(Refusal::Method { allow: route.allow() });
        }
        let params = match route {
            Route::WriteV1 => Params::v1(&head.query)?,
            Route::WriteV2 => Params::v2(&head.query)?,
            Route::Ping => return Ok(Admit::Reply(ping(&head.query))),
            Route::Health => return Ok(Admit::Reply(self.health())),
            Route::Metrics => return Ok(Admit::Reply(self.metrics())),
            Route::Flush => return Ok(Admit::Read(Plan(Work::Flush))),
        };
        let gzip = match head.content_encoding.as_deref() {
            None | Some("") => false,
            Some(coding) if coding.eq_ignore_ascii_case("identity") => false,
            Some(coding) if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") => true,
            Some(other) => return Err(Refusal::Encoding { given: other.to_owned() }),
        };
        Ok(Admit::Read(Plan(Work::Write { params, gzip })))
    }

    /// Answers a request whose body is complete.
    pub fn run(&mut self, plan: &Plan, body: Padded<'_>, stamp: Stamp) -> Outcome {
        match &plan.0 {
            Work::Flush => Outcome::Flush,
            Work::Write { params, gzip } => {
                let Err(refusal) = self.write(params, *gzip, body, stamp) else {
                    return Outcome::Reply(Response::empty(Status::NoContent));
                };
                self.tables.forget_if_empty(&params.bucket);
                match refusal {
                    Refusal::Overloaded { .. } => Outcome::Busy,
                    refusal => Outcome::Reply(refusal.response()),
                }
            }
        }
    }

    /// The answer to a request that HTTP itself refuses.
    pub fn refuse(&self, error: &HttpError) -> Response {
        Refusal::Http(error.clone()).response()
    }

    /// The answer to a request that did not arrive in time.
    pub fn timed_out(&self) -> Response {
        Refusal::Timeout.response()
    }

    /// The answer to a request that there is no memory for.
    pub fn overloaded(&self) -> Response {
        Refusal::Overloaded { retry_after_seconds: RETRY_AFTER_SECONDS }.response()
    }

    /// The answer to a flush, with the lake's sentence if it failed.
    pub fn flushed(&self, result: Result<(), &str>) -> Response {
        match result {
            Ok(()) => Response::empty(Status::NoContent),
            Err(reason) => Refusal::Publish { reason: reason.to_owned() }.response(),
        }
    }

    /// Moves all open tables out.
    pub fn seal(&mut self) -> Vec<SealedTable> {
        self.tables.seal()
    }

    /// Bytes of the open tables.
    pub fn open_bytes(&self) -> usize {
        self.tables.bytes()
    }

    /// Whether no row waits for a flush.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    fn write(&mut self, params: &Params, gzip: bool, body: Padded<'_>, stamp: Stamp) -> Result<(), Refusal> {
        if !gzip {
            return insert(&self.context, &mut self.tables, params, body, stamp);
        }
        let Self { context, tables, gunzip, gunzip_memory } = self;
        let gunzip = match gunzip {
            Some(gunzip) => gunzip,
            None => gunzip.insert(Gunzip::new().map_err(Refusal::Gzip)?),
        };
        let reserve = |bytes: usize| {
            let held = gunzip_memory.bytes();
            bytes <= held || gunzip_memory.try_grow(bytes - held)
        };
        let written = gunzip
            .decode(body.as_bytes(), context.config.body_bytes_max, reserve)
            .map_err(|error| match error {
                GzipError::NoMemory => Refusal::Overloaded { retry_after_seconds: RETRY_AFTER_SECONDS },
                error => Refusal::Gzip(error),
            })
            .and_then(|body| insert(context, tables, params, body, stamp));
        if gunzip.bytes() > KEPT_BYTES_MAX {
            gunzip.release();
        }
        gunzip_memory.set(gunzip.bytes());
        written
    }

    fn health(&self) -> Response {
        let failure = self.context.metrics.failure();
        let body = serde_json::json!({
            "name": "influxdb",
            "message": failure.as_deref().unwrap_or("ready for queries and writes"),
            "status": if failure.is_none() { "pass" } else { "fail" },
            "checks": [],
            "version": VERSION_HEADER,
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

/// When a client should come back after a lack of memory: the lake frees it within a few flushes.
const RETRY_AFTER_SECONDS: u64 = 2;

fn ping(query: &str) -> Response {
    let verbose = params::first(query, "verbose");
    match verbose.as_deref() {
        None | Some("" | "0" | "false") => Response::empty(Status::NoContent),
        Some(_) => Response {
            content_type: Some("application/json"),
            body: serde_json::json!({ "version": VERSION_HEADER }).to_string().into(),
            ..Response::empty(Status::Ok)
        },
    }
}

/// Parses `body` into the open tables and commits it.
fn insert(
    context: &Context,
    tables: &mut Tables,
    params: &Params,
    body: Padded<'_>,
    stamp: Stamp,
) -> Result<(), Refusal> {
    let bucket = context.catalog.bucket(&params.bucket);
    let retention = bucket.map_or(context.config.default_retention, |bucket| bucket.retention);
    let rules = Rules { time_ns_min: lower_bound(stamp.now_ns, retention), retention };
    let options = line::Options {
        kernel: context.kernel,
        precision: params.precision,
        default_time_ns: default_time(stamp.now_ns, params.precision),
        utf8: is_utf8(body.as_bytes()),
    };
    let overloaded = Refusal::Overloaded { retry_after_seconds: RETRY_AFTER_SECONDS };
    loop {
        let Some(mut writer) = tables.writer(&params.bucket, &context.catalog, rules, body.len()) else {
            return Err(overloaded);
        };
        match line::parse(body, options, &mut writer) {
            line::Outcome::Complete { points } => {
                // A field has got another type from another shard meanwhile: judge again by what is known now.
                let Ok(committed) = writer.commit(stamp.request) else { continue };
                return account(context, body, points, committed, retention);
            }
            line::Outcome::Bad { errors, more } => {
                let texts = errors.iter().map(|error| echo(&body.as_bytes()[error.start..error.end])).collect();
                return Err(Refusal::Lines { errors, texts, more });
            }
            line::Outcome::Stopped => {
                let others = context.budget.total() - writer.granted();
                let never_fits = others < context.budget.bytes_max() / TIGHT_SHARE;
                let bytes_max = context.budget.bytes_max();
                return Err(if never_fits { Refusal::TooManyBirths { bytes_max } } else { overloaded });
            }
        }
    }
}

/// Counts what was written, and says what was not.
fn account(
    context: &Context,
    body: Padded<'_>,
    lines: u64,
    committed: Committed,
    retention: Option<Duration>,
) -> Result<(), Refusal> {
    let metrics = &context.metrics;
    metrics.lines.inc_by(lines);
    metrics.points.inc_by(committed.points);
    metrics.bytes.inc_by(body.len() as u64);
    if committed.rejects.is_empty() {
        return Ok(());
    }
    count_rejects(metrics, &committed.rejects);
    Err(Refusal::Partial { rejects: Box::new(committed.rejects), retention })
}

fn count_rejects(metrics: &Metrics, rejects: &Rejects) {
    let expired = rejects.expired.as_ref().map_or(0, |expired| expired.points);
    metrics.dropped("retention", expired);
    metrics.dropped("schema", rejects.dropped - expired);
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
