//! The measurements of TSBS: names and order of its tags and fields, and how their values walk.

use super::Measurement;
use crate::tools::workload::field::{Field, Form, Walk};
use crate::tools::workload::random::Random;

const GIB: i64 = 1 << 30;

const fn integer(name: &'static str, walk: Walk) -> Field {
    Field { name, form: Form::Integer, walk }
}

const fn decimal(name: &'static str, places: u32, walk: Walk) -> Field {
    Field { name, form: Form::Decimal(places), walk }
}

const fn counter(name: &'static str, mean: i64) -> Field {
    integer(name, Walk::Counter { from: 0, mean })
}

/// Up and down between 0 and 100.
const fn gauge(name: &'static str, step: i64) -> Field {
    integer(name, Walk::Gauge { high: 100, step })
}

/// With as many digits as a double needs.
const fn percent(name: &'static str, part: usize) -> Field {
    decimal(name, 14, Walk::Percent { whole: 0, part, places: 14 })
}

/// A server.
#[rustfmt::skip]
pub(super) static DEVOPS: [Measurement; 9] = [
    Measurement { name: "cpu", extra_tags: None, fields: &[
        gauge("usage_user", 2), gauge("usage_system", 2), gauge("usage_idle", 2), gauge("usage_nice", 2), gauge("usage_iowait", 2),
        gauge("usage_irq", 2), gauge("usage_softirq", 2), gauge("usage_steal", 2), gauge("usage_guest", 2), gauge("usage_guest_nice", 2),
    ]},
    Measurement { name: "diskio", extra_tags: Some(serial), fields: &[
        counter("reads", 50), counter("writes", 50), counter("read_bytes", 100), counter("write_bytes", 100),
        counter("read_time", 5), counter("write_time", 5), counter("io_time", 5),
    ]},
    Measurement { name: "disk", extra_tags: Some(path), fields: &[
        integer("total", Walk::Fixed { from: 1024 * GIB, step: 0, choices: 1 }),
        integer("free", Walk::Within { whole: 0, step: GIB / 16 }),
        integer("used", Walk::Rest { whole: 0, part: 1 }),
        integer("used_percent", Walk::Percent { whole: 0, part: 2, places: 0 }),
        integer("inodes_total", Walk::Fixed { from: GIB / 4, step: 0, choices: 1 }),
        integer("inodes_free", Walk::Within { whole: 4, step: 1 }),
        integer("inodes_used", Walk::Rest { whole: 4, part: 5 }),
    ]},
    Measurement { name: "kernel", extra_tags: None, fields: &[
        integer("boot_time", Walk::Fixed { from: 0, step: 1, choices: 240 }), counter("interrupts", 5), counter("context_switches", 5),
        counter("processes_forked", 5), counter("disk_pages_in", 5), counter("disk_pages_out", 5),
    ]},
    Measurement { name: "mem", extra_tags: None, fields: &[
        integer("total", Walk::Fixed { from: 8 * GIB, step: 4 * GIB, choices: 3 }),
        integer("available", Walk::Within { whole: 0, step: GIB / 16 }),
        integer("used", Walk::Rest { whole: 0, part: 1 }),
        integer("free", Walk::Rest { whole: 0, part: 2 }),
        integer("cached", Walk::Within { whole: 0, step: GIB / 16 }),
        integer("buffered", Walk::Within { whole: 0, step: GIB / 16 }),
        percent("used_percent", 2), percent("available_percent", 1), percent("buffered_percent", 5),
    ]},
    Measurement { name: "net", extra_tags: Some(interface), fields: &[
        counter("bytes_sent", 50), counter("bytes_recv", 50), counter("packets_sent", 50), counter("packets_recv", 50),
        counter("err_in", 5), counter("err_out", 5), counter("drop_in", 5), counter("drop_out", 5),
    ]},
    Measurement { name: "nginx", extra_tags: Some(nginx_server), fields: &[
        counter("accepts", 5), gauge("active", 5), counter("handled", 5), gauge("reading", 5), counter("requests", 5),
        gauge("waiting", 5), gauge("writing", 5),
    ]},
    Measurement { name: "postgresl", extra_tags: None, fields: &[
        counter("numbackends", 5), counter("xact_commit", 5), counter("xact_rollback", 5), counter("blks_read", 5),
        counter("blks_hit", 5), counter("tup_returned", 5), counter("tup_fetched", 5), counter("tup_inserted", 5),
        counter("tup_updated", 5), counter("tup_deleted", 5), counter("conflicts", 5), counter("temp_files", 5),
        counter("temp_bytes", 1024), counter("deadlocks", 5), counter("blk_read_time", 5), counter("blk_write_time", 5),
    ]},
    Measurement { name: "redis", extra_tags: Some(redis_server), fields: &[
        counter("uptime_in_seconds", 10), counter("total_connections_received", 5), counter("expired_keys", 50),
        counter("evicted_keys", 50), counter("keyspace_hits", 50), counter("keyspace_misses", 50),
        gauge("instantaneous_ops_per_sec", 2), gauge("instantaneous_input_kbps", 2), gauge("instantaneous_output_kbps", 2),
        counter("connected_clients", 50), integer("used_memory", Walk::Counter { from: 8 * GIB, mean: 50 }),
        integer("used_memory_rss", Walk::Counter { from: 8 * GIB, mean: 50 }),
        integer("used_memory_peak", Walk::Counter { from: 8 * GIB, mean: 50 }),
        integer("used_memory_lua", Walk::Counter { from: 8 * GIB, mean: 50 }),
        counter("rdb_changes_since_last_save", 50), counter("sync_full", 5), counter("sync_partial_ok", 5),
        counter("sync_partial_err", 5), counter("pubsub_channels", 5), counter("pubsub_patterns", 5),
        counter("latest_fork_usec", 5), counter("connected_slaves", 5), counter("master_repl_offset", 5),
        counter("repl_backlog_active", 5), counter("repl_backlog_size", 5), counter("repl_backlog_histlen", 5),
        gauge("mem_fragmentation_ratio", 5), counter("used_cpu_sys", 5), counter("used_cpu_user", 5),
        counter("used_cpu_sys_children", 5), counter("used_cpu_user_children", 5),
    ]},
];

/// A truck.
#[rustfmt::skip]
pub(super) static IOT: [Measurement; 2] = [
    Measurement { name: "readings", extra_tags: None, fields: &[
        decimal("load_capacity", 0, Walk::Model(0)), decimal("fuel_capacity", 0, Walk::Model(1)),
        decimal("nominal_fuel_consumption", 0, Walk::Model(2)),
        decimal("latitude", 5, Walk::Gauge { high: 90_00000, step: 500 }), decimal("longitude", 5, Walk::Gauge { high: 180_00000, step: 500 }),
        decimal("elevation", 0, Walk::Gauge { high: 500, step: 10 }), decimal("velocity", 0, Walk::Gauge { high: 100, step: 10 }),
        decimal("heading", 0, Walk::Gauge { high: 359, step: 5 }), decimal("grade", 0, Walk::Gauge { high: 100, step: 5 }),
        decimal("fuel_consumption", 1, Walk::Gauge { high: 500, step: 20 }),
    ]},
    Measurement { name: "diagnostics", extra_tags: None, fields: &[
        decimal("load_capacity", 0, Walk::Model(0)), decimal("fuel_capacity", 0, Walk::Model(1)),
        decimal("nominal_fuel_consumption", 0, Walk::Model(2)),
        decimal("fuel_state", 1, Walk::Gauge { high: 10, step: 1 }), decimal("current_load", 0, Walk::Within { whole: 0, step: 1000 }),
        integer("status", Walk::Gauge { high: 5, step: 1 }),
    ]},
];

fn serial(random: &mut Random) -> String {
    format!(",serial={}-{}-{}", random.between(100, 999), random.between(100, 999), random.between(100, 999))
}

fn path(random: &mut Random) -> String {
    format!(",path=/dev/sda{},fstype={}", random.below(10), random.pick(&["ext3", "ext4", "btrfs"]))
}

fn interface(random: &mut Random) -> String {
    format!(",interface=eth{}", random.below(4))
}

fn nginx_server(random: &mut Random) -> String {
    format!(",port={},server=nginx_{}", random.between(1024, 20_000), random.below(100_000))
}

fn redis_server(random: &mut Random) -> String {
    format!(",port={},server=redis_{}", random.between(1024, 20_000), random.below(100_000))
}
