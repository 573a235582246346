//! `GET /ready`: whether writes are taken, and how far the replay of the log is until they are.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::ingest::RETRY_AFTER_SECONDS;
use crate::http::{Response, Status};

/// Since when the node runs, and how far its recovery is.
#[derive(Debug)]
pub struct Readiness {
    started: jiff::Timestamp,
    clock: Instant,
    /// Bytes of the log's records that were replayed, and that are to be.
    done: AtomicU64,
    total: AtomicU64,
}

impl Readiness {
    /// A node that starts now.
    pub fn new(now_ns: i64) -> Self {
        let started = jiff::Timestamp::from_nanosecond(i128::from(now_ns)).unwrap_or_default();
        Self { started, clock: Instant::now(), done: AtomicU64::new(0), total: AtomicU64::new(0) }
    }

    pub fn set_total(&self, bytes: u64) {
        self.total.store(bytes, Ordering::Relaxed);
    }

    pub fn add_done(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Time since the start.
    pub fn up(&self) -> Duration {
        self.clock.elapsed()
    }

    /// The members of InfluxDB's answer, and while the log is replayed how far that is.
    pub fn response(&self, is_ready: bool) -> Response {
        let up = humantime::format_duration(Duration::from_secs(self.up().as_secs())).to_string().replace(' ', "");
        let started = self.started.to_string();
        let body = if is_ready {
            serde_json::json!({ "status": "ready", "started": started, "up": up })
        } else {
            let (done, total) = (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
            serde_json::json!({
                "status": "recovering", "started": started, "up": up, "replayed_bytes": done, "total_bytes": total,
            })
        };
        let headers = if is_ready { Vec::new() } else { vec![("Retry-After", RETRY_AFTER_SECONDS.to_string())] };
        Response {
            content_type: Some("application/json; charset=utf-8"),
            body: body.to_string().into(),
            headers,
            ..Response::empty(if is_ready { Status::Ok } else { Status::ServiceUnavailable })
        }
    }
}
