//! Counters of the node and their Prometheus text (`GET /metrics`).

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::budget::{Budget, Consumer};

/// One label: the status code of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StatusLabel {
    pub status: u16,
}

/// Two labels: where lines were refused, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RejectLabels {
    pub bucket: Arc<str>,
    pub reason: &'static str,
}

/// Clients name buckets: beyond so many, and with longer names, they are counted together.
const REJECT_BUCKETS_MAX: usize = 1000;
const BUCKET_LABEL_BYTES_MAX: usize = 256;
const OTHER_BUCKETS: &str = "other";

/// Epochs that hold less say how long a sync takes, and not how fast the lake is.
const DRAIN_BYTES_MIN: usize = 1 << 20;

/// One label: what a 204 promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DurabilityLabel {
    pub durability: &'static str,
}

/// Everything the node counts. Counters are shared by all threads and written with relaxed atomics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Points committed to open tables.
    pub points: Counter,
    /// Lines of accepted bodies that hold a point; blank ones and comments are not counted.
    pub lines: Counter,
    /// Bytes of accepted bodies after decompression.
    pub bytes: Counter,
    pub requests: Family<StatusLabel, Counter>,
    rejects: Family<RejectLabels, Counter>,
    /// Refused lines in files, and those that should be there and are not.
    pub rejects_kept: Counter,
    pub rejects_lost: Counter,
    /// The buckets that have their own counters of rejects.
    reject_buckets: Mutex<HashSet<Arc<str>>>,
    /// Seconds from the complete request to its answer, writes only.
    pub write_seconds: Histogram,
    pub connections: Gauge,
    /// Connections above the cap.
    pub connections_refused: Counter,
    /// Connections whose client did not agree with the node on TLS.
    pub tls_handshake_failures: Counter,
    pub files_written: Counter,
    pub file_bytes_written: Counter,
    /// Rows in published files.
    pub rows_written: Counter,
    /// Days of a bucket that have expired, and what they held.
    pub expired_days: Counter,
    pub expired_files: Counter,
    pub expired_bytes: Counter,
    /// Failed attempts to publish an epoch.
    pub publish_failures: Counter,
    /// Merges of files that took the place of others; and attempts that failed.
    pub compactions: Counter,
    pub compaction_failures: Counter,
    pub compaction_files_read: Counter,
    pub compaction_files_written: Counter,
    pub compaction_bytes_read: Counter,
    pub compaction_bytes_written: Counter,
    /// Rows that became part of another one of the same point.
    pub compaction_rows_joined: Counter,
    pub compaction_seconds: Counter<f64, AtomicU64>,
    /// 1 while files are merged.
    pub compaction_running: Gauge,
    /// The newest epoch whose files are committed.
    pub epoch_committed: Gauge,
    /// Groups written to the log, each by one synced write.
    pub log_groups: Counter,
    pub log_records: Counter,
    /// With headers and padding.
    pub log_bytes: Counter,
    /// Seconds from a group's submission until it was durable.
    pub log_sync_seconds: Histogram,
    pub log_segments: Gauge,
    pub log_segment_bytes: Gauge,
    /// Bytes of full segments that hold what is not committed yet.
    pub log_unfreed_bytes: Gauge,
    durability: Family<DurabilityLabel, Gauge>,
    /// Bytes of memory that the lake frees per second while it publishes; the bits of a float, 0 while nobody knows.
    drain_rate: AtomicU64,
    /// Why the lake is not well, as a sentence; `None` while it is.
    failure: Mutex<Option<Arc<str>>>,
}

impl Metrics {
    pub fn new(budget: &Arc<Budget>) -> Arc<Self> {
        let mut registry = Registry::with_prefix("ringest");
        // 100 us to about 13 s, doubling.
        let write_seconds = Histogram::new(std::iter::successors(Some(100e-6), |bound| Some(bound * 2.0)).take(18));
        // 25 us to about 6.5 s, doubling.
        let log_sync_seconds = Histogram::new(std::iter::successors(Some(25e-6), |bound| Some(bound * 2.0)).take(19));
        let metrics = Self {
            points: Counter::default(),
            lines: Counter::default(),
            bytes: Counter::default(),
            requests: Family::default(),
            rejects: Family::default(),
            rejects_kept: Counter::default(),
            rejects_lost: Counter::default(),
            reject_buckets: Mutex::default(),
            write_seconds,
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            tls_handshake_failures: Counter::default(),
            files_written: Counter::default(),
            file_bytes_written: Counter::default(),
            rows_written: Counter::default(),
            expired_days: Counter::default(),
            expired_files: Counter::default(),
            expired_bytes: Counter::default(),
            publish_failures: Counter::default(),
            compactions: Counter::default(),
            compaction_failures: Counter::default(),
            compaction_files_read: Counter::default(),
            compaction_files_written: Counter::default(),
            compaction_bytes_read: Counter::default(),
            compaction_bytes_written: Counter::default(),
            compaction_rows_joined: Counter::default(),
            compaction_seconds: Counter::default(),
            compaction_running: Gauge::default(),
            epoch_committed: Gauge::default(),
            log_groups: Counter::default(),
            log_records: Counter::default(),
            log_bytes: Counter::default(),
            log_sync_seconds,
            log_segments: Gauge::default(),
            log_segment_bytes: Gauge::default(),
            log_unfreed_bytes: Gauge::default(),
            durability: Family::default(),
            drain_rate: AtomicU64::new(0),
            failure: Mutex::new(None),
            registry: Registry::default(),
        };
        registry.register("points", "Points written", metrics.points.clone());
        registry.register("lines", "Lines with a point, dropped or not, of accepted bodies", metrics.lines.clone());
        registry.register_with_unit(
            "body",
            "Bytes of accepted bodies, decompressed",
            Unit::Bytes,
            metrics.bytes.clone(),
        );
        registry.register("requests", "Requests answered, by status", metrics.requests.clone());
        registry.register(
            "rejects",
            "Lines refused, wholly or a field of them, by bucket and reason (of a body that is no line protocol, the lines that its answer lists)",
            metrics.rejects.clone(),
        );
        registry.register_with_unit(
            "write_duration",
            "Time from a complete write request to its answer",
            Unit::Seconds,
            metrics.write_seconds.clone(),
        );
        registry.register("connections", "Open connections", metrics.connections.clone());
        registry.register(
            "connections_refused",
            "Connections turned away because max-connections were open",
            metrics.connections_refused.clone(),
        );
        registry.register(
            "tls_handshake_failures",
            "Connections that ended in their TLS handshake",
            metrics.tls_handshake_failures.clone(),
        );
        registry.register(
            "rejects_kept",
            "Refused lines written to files under rejects/",
            metrics.rejects_kept.clone(),
        );
        registry.register(
            "rejects_lost",
            "Refused lines that their bucket keeps and that were not kept: too many at once, no memory, or no place",
            metrics.rejects_lost.clone(),
        );
        registry.register("files_written", "Parquet files published", metrics.files_written.clone());
        registry.register_with_unit(
            "file",
            "Bytes of published Parquet files",
            Unit::Bytes,
            metrics.file_bytes_written.clone(),
        );
        registry.register("rows_written", "Rows in published Parquet files", metrics.rows_written.clone());
        registry.register("expired_days", "Days of a bucket removed by expiry", metrics.expired_days.clone());
        registry.register("expired_files", "Parquet files removed by expiry", metrics.expired_files.clone());
        registry.register_with_unit(
            "expired",
            "Bytes of Parquet files removed by expiry",
            Unit::Bytes,
            metrics.expired_bytes.clone(),
        );
        registry.register("publish_failures", "Failed attempts to publish an epoch", metrics.publish_failures.clone());
        registry.register("epoch_committed", "Newest committed epoch", metrics.epoch_committed.clone());
        metrics.register_compaction(&mut registry);
        metrics.register_log(&mut registry);
        registry.register("acknowledgement", "What a 204 promises, as a label", metrics.durability.clone());
        registry.register_collector(Box::new(Memory { budget: Arc::clone(budget) }));
        Arc::new(Self { registry, ..metrics })
    }

    fn register_compaction(&self, registry: &mut Registry) {
        let mut add = |name: &str, help: &str, counter: &Counter| registry.register(name, help, counter.clone());
        add("compactions", "Merges of files that took the place of others", &self.compactions);
        add("compaction_failures", "Merges that failed; their files stay as they are", &self.compaction_failures);
        add("compaction_files_read", "Files that were merged", &self.compaction_files_read);
        add("compaction_files_written", "Files that took their place", &self.compaction_files_written);
        add("compaction_rows_joined", "Rows that joined another one of the same point", &self.compaction_rows_joined);
        let (read, written) = (self.compaction_bytes_read.clone(), self.compaction_bytes_written.clone());
        registry.register_with_unit("compaction_read", "Bytes of files that were merged", Unit::Bytes, read);
        registry.register_with_unit("compaction_written", "Bytes of files that took their place", Unit::Bytes, written);
        let seconds = self.compaction_seconds.clone();
        registry.register_with_unit("compaction", "Time that merges took, waits included", Unit::Seconds, seconds);
        registry.register("compaction_running", "1 while files are merged", self.compaction_running.clone());
    }

    fn register_log(&self, registry: &mut Registry) {
        let bytes = Unit::Bytes;
        registry.register("log_groups", "Groups of records written to the log, each at once", self.log_groups.clone());
        registry.register("log_records", "Records written to the log", self.log_records.clone());
        registry.register_with_unit("log", "Bytes written to the log", bytes.clone(), self.log_bytes.clone());
        registry.register_with_unit(
            "log_sync",
            "Time until a group of the log was durable",
            Unit::Seconds,
            self.log_sync_seconds.clone(),
        );
        registry.register("log_segments", "Files of the log", self.log_segments.clone());
        registry.register_with_unit(
            "log_segment",
            "Size of the log's files",
            bytes.clone(),
            self.log_segment_bytes.clone(),
        );
        registry.register_with_unit(
            "log_unfreed",
            "Size of the full files of the log that hold what is not committed yet",
            bytes,
            self.log_unfreed_bytes.clone(),
        );
    }

    /// Counts an answer.
    pub fn answered(&self, status: u16) {
        self.requests.get_or_create(&StatusLabel { status }).inc();
    }

    /// Counts lines for `bucket` that were refused for `reason`.
    pub fn rejected(&self, bucket: &str, reason: &'static str, lines: u64) {
        let bucket = self.reject_bucket(bucket);
        self.rejects.get_or_create(&RejectLabels { bucket, reason }).inc_by(lines);
    }

    /// The name under which the rejects of a bucket are counted.
    fn reject_bucket(&self, bucket: &str) -> Arc<str> {
        let mut known = self.reject_buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(bucket) {
            return Arc::clone(known);
        }
        if known.len() >= REJECT_BUCKETS_MAX || bucket.len() > BUCKET_LABEL_BYTES_MAX {
            return OTHER_BUCKETS.into();
        }
        let name: Arc<str> = bucket.into();
        known.insert(Arc::clone(&name));
        name
    }

    /// The lake has published what held `bytes` of memory, in this time.
    pub fn drained(&self, bytes: usize, time: Duration) {
        if bytes < DRAIN_BYTES_MIN {
            return;
        }
        let now = bytes as f64 / time.as_secs_f64().max(1e-3);
        let before = f64::from_bits(self.drain_rate.load(Ordering::Relaxed));
        // One writer: the lake's coordinator. Recent epochs count most.
        let rate = if before > 0.0 { (before + now) / 2.0 } else { now };
        self.drain_rate.store(rate.to_bits(), Ordering::Relaxed);
    }

    /// How long the lake will take to publish what holds `bytes` of memory, as far as one knows.
    pub fn drain_time(&self, bytes: usize) -> Option<Duration> {
        let rate = f64::from_bits(self.drain_rate.load(Ordering::Relaxed));
        (rate > 0.0).then(|| Duration::try_from_secs_f64(bytes as f64 / rate).unwrap_or(Duration::MAX))
    }

    /// Says why the lake is not well, or that it is again; `/health` repeats it.
    pub fn set_failure(&self, failure: Option<Arc<str>>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }

    /// Why the lake is not well.
    pub fn failure(&self) -> Option<Arc<str>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says what a 204 promises.
    pub fn set_durability(&self, durability: &'static str) {
        self.durability.get_or_create(&DurabilityLabel { durability }).set(1);
    }

    /// All metrics in the Prometheus text format, version 0.0.4.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        without_open_metrics(&text)
    }
}

/// OpenMetrics as Prometheus text 0.0.4: there a counter's name has its `_total` in HELP and TYPE too, and UNIT and EOF do not exist.
fn without_open_metrics(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::with_capacity(text.len());
    for (index, line) in lines.iter().enumerate() {
        if line.starts_with("# UNIT ") || *line == "# EOF" {
            continue;
        }
        let name =
            line.strip_prefix("# HELP ").or(line.strip_prefix("# TYPE ")).and_then(|rest| rest.split(' ').next());
        // TYPE follows HELP at once.
        let is_counter =
            lines[index..].iter().take(2).any(|line| line.starts_with("# TYPE ") && line.ends_with(" counter"));
        match name {
            Some(name) if is_counter => out.push_str(&line.replacen(name, &format!("{name}_total"), 1)),
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

/// Reads the budget when it is asked, so that memory needs no second book-keeping.
#[derive(Debug)]
struct Memory {
    budget: Arc<Budget>,
}

impl Collector for Memory {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let limit = ConstGauge::new(self.budget.bytes_max() as i64);
        let limit_encoder = encoder.encode_descriptor(
            "memory_budget",
            "What the memory limit leaves for data",
            Some(&Unit::Bytes),
            limit.metric_type(),
        )?;
        limit.encode(limit_encoder)?;
        let any = ConstGauge::new(0i64);
        let mut family =
            encoder.encode_descriptor("memory", "Memory held, by consumer", Some(&Unit::Bytes), any.metric_type())?;
        for consumer in Consumer::ALL {
            let held = ConstGauge::new(self.budget.held_by(consumer) as i64);
            held.encode(family.encode_family(&[("consumer", consumer.name())])?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_that_clients_make_up_do_not_grow_the_metrics() {
        let metrics = Metrics::new(&Budget::new(1 << 20));
        metrics.rejected("quote\" and\nline", "syntax", 2);
        metrics.rejected(&"long".repeat(100), "syntax", 1);
        (0..2 * REJECT_BUCKETS_MAX).for_each(|number| metrics.rejected(&format!("b{number}"), "syntax", 1));
        metrics.rejected("quote\" and\nline", "retention", 3);
        let text = metrics.render();
        let counters = text.lines().filter(|line| line.starts_with("ringest_rejects_total{")).count();
        assert_eq!(counters, REJECT_BUCKETS_MAX + 2);
        for line in [
            "ringest_rejects_total{bucket=\"quote\\\" and\\nline\",reason=\"syntax\"} 2\n",
            "ringest_rejects_total{bucket=\"quote\\\" and\\nline\",reason=\"retention\"} 3\n",
            "ringest_rejects_total{bucket=\"other\",reason=\"syntax\"} 1002\n",
        ] {
            assert!(text.contains(line), "{line} in {text:.2000}");
        }
    }

    #[test]
    fn the_time_to_drain_follows_what_the_lake_does() {
        let metrics = Metrics::new(&Budget::new(1 << 20));
        assert_eq!(metrics.drain_time(1), None);
        metrics.drained(10_000_000, Duration::from_secs(2));
        assert_eq!(metrics.drain_time(50_000_000), Some(Duration::from_secs(10)));
        metrics.drained(DRAIN_BYTES_MIN - 1, Duration::from_secs(60));
        // Slower now: as far from the old as from the new.
        metrics.drained(3_000_000, Duration::from_secs(1));
        assert_eq!(metrics.drain_time(40_000_000), Some(Duration::from_secs(10)));
    }

    #[test]
    fn the_text_is_prometheus_0_0_4() {
        let metrics = Metrics::new(&Budget::new(1 << 20));
        metrics.points.inc_by(7);
        metrics.answered(204);
        metrics.set_durability("memory");
        metrics.write_seconds.observe(0.001);
        metrics.log_bytes.inc_by(4096);
        metrics.log_unfreed_bytes.set(5);
        let text = metrics.render();
        assert!(text.contains("# TYPE ringest_points_total counter\nringest_points_total 7\n"), "{text}");
        assert!(text.contains("# HELP ringest_points_total "), "{text}");
        assert!(text.contains("ringest_requests_total{status=\"204\"} 1\n"), "{text}");
        assert!(text.contains("# TYPE ringest_write_duration_seconds histogram\n"), "{text}");
        assert!(text.contains("ringest_memory_bytes{consumer=\"encoder\"} 0\n"), "{text}");
        assert!(text.contains("ringest_acknowledgement{durability=\"memory\"} 1\n"), "{text}");
        assert!(text.contains("ringest_log_bytes_total 4096\n"), "{text}");
        assert!(text.contains("# TYPE ringest_log_sync_seconds histogram\n"), "{text}");
        assert!(text.contains("ringest_log_unfreed_bytes 5\n"), "{text}");
        assert!(!text.contains("EOF") && !text.contains("UNIT"), "{text}");
    }
}
