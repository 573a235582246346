//! What a run measured.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies are kept in microseconds with three significant digits, up to an hour.
const LATENCY_MAX_US: u64 = 3_600_000_000;

/// Latencies of requests.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    pub fn new() -> Result<Self, hdrhistogram::CreationError> {
        Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).map(Self)
    }

    pub fn add(&mut self, latency: Duration) {
        self.0.saturating_record(latency.as_micros().try_into().unwrap_or(LATENCY_MAX_US));
    }

    pub fn clear(&mut self) {
        self.0.reset();
    }

    pub fn quantiles(&self) -> Quantiles {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1000.0;
        Quantiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: self.0.max() as f64 / 1000.0 }
    }
}

/// In milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quantiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// One second of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Second {
    /// From the begin of the run.
    pub second: u64,
    pub requests: u64,
    pub lines: u64,
    pub latency_ms: Quantiles,
    /// By how much a thread that only sleeps for a millisecond at a time came too late: what the machine itself makes everybody wait.
    pub idle_thread_late_max_ms: f64,
}

/// What was seen of the process that was driven.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Server {
    pub cpu_seconds: f64,
    pub lines_per_cpu_second: f64,
    pub peak_resident_bytes: u64,
}

/// What a run measured. Lines and bytes are those of requests that were answered with success.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub seconds: f64,
    pub requests: u64,
    pub lines: u64,
    /// Of line protocol.
    pub text_bytes: u64,
    /// Of bodies, as they were sent.
    pub sent_bytes: u64,
    pub lines_per_second: f64,
    pub megabytes_per_second: f64,
    /// From the first byte of a request until its answer; at a fixed rate from the moment at which it was due.
    pub latency_ms: Quantiles,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// The first answer that was no success.
    pub first_refusal: Option<String>,
    /// Requests that got no answer in HTTP: the connection ended, or nothing came for long.
    pub lost: u64,
    /// Of an open loop.
    pub asked_lines_per_second: Option<f64>,
    /// Requests that were due and never sent, because all connections waited for answers. No latency counts them.
    pub unsent: u64,
    /// Whether points were sent again that had been sent before.
    pub repeated: bool,
    /// How long the flush at the end took, if one was asked for.
    pub flush_seconds: Option<f64>,
    pub server: Option<Server>,
    /// Of this process, during the run.
    pub own_cpu_seconds: f64,
    pub timeline: Vec<Second>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seconds, requests, lines, lines_per_second, megabytes_per_second, .. } = self;
        writeln!(
            f,
            "{lines} lines in {requests} requests, {seconds:.2} s: {lines_per_second:.0} lines/s, {megabytes_per_second:.1} MB/s"
        )?;
        if let Some(rate) = self.asked_lines_per_second {
            writeln!(f, "asked: {rate:.0} lines/s; {} requests that were due could not be sent in time", self.unsent)?;
        }
        let Quantiles { p50, p90, p99, p999, max } = self.latency_ms;
        writeln!(f, "latency in ms: p50 {p50:.3}, p90 {p90:.3}, p99 {p99:.3}, p99.9 {p999:.3}, max {max:.3}")?;
        let statuses: Vec<String> = self.statuses.iter().map(|(status, count)| format!("{count} x {status}")).collect();
        writeln!(f, "answers: {}", if statuses.is_empty() { "none".to_owned() } else { statuses.join(", ") })?;
        if let Some(text) = &self.first_refusal {
            writeln!(f, "first refusal: {text}")?;
        }
        if self.lost > 0 {
            writeln!(f, "lost: {} request(s), which got no answer in HTTP", self.lost)?;
        }
        if self.repeated {
            writeln!(f, "the prepared requests were sent more than once: the same points again")?;
        }
        if let Some(seconds) = self.flush_seconds {
            writeln!(f, "flush at the end: {seconds:.2} s")?;
        }
        if let Some(Server { cpu_seconds, lines_per_cpu_second, peak_resident_bytes }) = self.server {
            let mib = peak_resident_bytes >> 20;
            writeln!(
                f,
                "server: {cpu_seconds:.2} CPU-seconds, {lines_per_cpu_second:.0} lines per CPU-second, {mib} MiB at most"
            )?;
        }
        writeln!(f, "this program: {:.2} CPU-seconds", self.own_cpu_seconds)
    }
}
