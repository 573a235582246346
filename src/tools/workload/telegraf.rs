//! What Telegraf's inputs for a Linux server write: cpu, disk, diskio, kernel, mem, net, processes, swap, system and containers.
//!
//! Telegraf sorts tags by key, and keeps fields in a map of Go, whose order is another one in each line.

use super::field::{Field, Form, Model, Walk};
use super::random::Random;
use super::time::Cycle;
use super::{Lines, Plan};

/// Lines of one host after the other.
pub struct Telegraf {
    random: Random,
    cycle: Cycle,
    /// Series of every host.
    series: Vec<Series>,
    order: Vec<usize>,
}

/// The lines of one input for one device, of all hosts.
struct Series {
    fields: &'static [Field],
    /// What stands before and behind the host's number.
    key: (String, String),
    /// Host by host, field by field.
    values: Vec<i64>,
}

/// One kind of line that an input writes for every device.
struct Input {
    /// Measurement and tags for each device, sorted by key; `#` stands for the number of the host.
    keys: &'static [&'static str],
    fields: &'static [Field],
}

/// No field depends on a truck's model.
const NO_MODEL: Model = [0; 3];

impl Telegraf {
    pub fn new(plan: Plan) -> Self {
        let Plan { hosts, mut random, time } = plan;
        let mut series = Vec::new();
        for input in &INPUTS {
            for key in input.keys {
                series.push(Series::new(key, input.fields, hosts, &mut random));
            }
        }
        let cycle = Cycle::new(hosts * series.len(), time);
        Self { random, cycle, series, order: Vec::new() }
    }
}

impl Lines for Telegraf {
    fn write_line(&mut self, out: &mut Vec<u8>) {
        let (host, next) = (self.cycle.line / self.series.len(), self.cycle.line % self.series.len());
        let series = &mut self.series[next];
        out.extend_from_slice(series.key.0.as_bytes());
        out.extend_from_slice(format!("web-{:05}", host).as_bytes());
        out.extend_from_slice(series.key.1.as_bytes());
        order_of_a_map(series.fields.len(), &mut self.random, &mut self.order);
        series.write_fields(host, &self.order, &mut self.random, out);
        self.cycle.end_line(out);
    }
}

impl Series {
    fn new(key: &str, fields: &'static [Field], hosts: usize, random: &mut Random) -> Self {
        let (before, behind) = key.split_once('#').unwrap_or((key, ""));
        let mut values = Vec::with_capacity(hosts * fields.len());
        for host in 0..hosts {
            for field in fields {
                let value = field.walk.birth(&values[host * fields.len()..], &NO_MODEL, random);
                values.push(value);
            }
        }
        Self { fields, key: (before.to_owned(), behind.to_owned()), values }
    }

    /// Writes the fields of a host and lets them walk a step.
    fn write_fields(&mut self, host: usize, order: &[usize], random: &mut Random, out: &mut Vec<u8>) {
        let values = &mut self.values[host * self.fields.len()..][..self.fields.len()];
        let mut separator = b' ';
        for &index in order {
            out.push(std::mem::replace(&mut separator, b','));
            out.extend_from_slice(self.fields[index].name.as_bytes());
            out.push(b'=');
            self.fields[index].form.write(values[index], out);
        }
        for (index, field) in self.fields.iter().enumerate() {
            values[index] = field.walk.step(values[index], values, &NO_MODEL, random);
        }
    }
}

/// The order in which Go goes over a map of `len` keys: round its one group of 8 from a place at random, or any order.
fn order_of_a_map(len: usize, random: &mut Random, order: &mut Vec<usize>) {
    const GROUP: usize = 8;
    order.clear();
    order.extend(0..len);
    if len <= GROUP {
        let first = random.below(GROUP as u64) as usize;
        if first < len {
            order.rotate_left(first);
        }
    } else {
        random.shuffle(order);
    }
}

const GIB: i64 = 1 << 30;

const fn integer(name: &'static str, walk: Walk) -> Field {
    Field { name, form: Form::Integer, walk }
}

const fn counter(name: &'static str, from: i64, mean: i64) -> Field {
    integer(name, Walk::Counter { from, mean })
}

const fn fixed(name: &'static str, value: i64) -> Field {
    integer(name, Walk::Fixed { from: value, step: 0, choices: 1 })
}

const fn gauge(name: &'static str, high: i64, step: i64) -> Field {
    integer(name, Walk::Gauge { high, step })
}

/// Up to 16 GiB in whole pages is near enough to any number below.
const fn memory(name: &'static str) -> Field {
    gauge(name, 16 * GIB, GIB / 64)
}

/// Ticks in percent, with all digits of the quotient.
const fn share(name: &'static str, low: i64, high: i64) -> Field {
    Field { name, form: Form::Decimal(15), walk: Walk::Share { low, high } }
}

const fn percent(name: &'static str, whole: usize, part: usize) -> Field {
    Field { name, form: Form::Decimal(15), walk: Walk::Percent { whole, part, places: 15 } }
}

const fn load(name: &'static str) -> Field {
    Field { name, form: Form::Decimal(2), walk: Walk::Gauge { high: 3200, step: 40 } }
}

#[rustfmt::skip]
static INPUTS: [Input; 13] = [
    Input {
        keys: &[
            "cpu,cpu=cpu0,host=#", "cpu,cpu=cpu1,host=#", "cpu,cpu=cpu2,host=#", "cpu,cpu=cpu3,host=#",
            "cpu,cpu=cpu-total,host=#",
        ],
        fields: &[
            share("usage_user", 0, 300), share("usage_system", 0, 90), share("usage_idle", 500, 990), share("usage_nice", 0, 0),
            share("usage_iowait", 0, 9), share("usage_irq", 0, 0), share("usage_softirq", 0, 4), share("usage_steal", 0, 2),
            share("usage_guest", 0, 0), share("usage_guest_nice", 0, 0),
        ],
    },
    Input {
        keys: &[
            "disk,device=sda1,fstype=ext4,host=#,mode=rw,path=/", "disk,device=sdb1,fstype=xfs,host=#,mode=rw,path=/var/lib/data",
            "disk,device=sda2,fstype=vfat,host=#,mode=rw,path=/boot/efi",
        ],
        fields: &[
            fixed("total", 500 * GIB), integer("free", Walk::Within { whole: 0, step: GIB / 16 }),
            integer("used", Walk::Rest { whole: 0, part: 1 }), percent("used_percent", 0, 2),
            fixed("inodes_total", 32_768_000), integer("inodes_free", Walk::Within { whole: 4, step: 5 }),
            integer("inodes_used", Walk::Rest { whole: 4, part: 5 }), percent("inodes_used_percent", 4, 6),
        ],
    },
    Input {
        keys: &["diskio,host=#,name=sda", "diskio,host=#,name=sda1", "diskio,host=#,name=sdb"],
        fields: &[
            counter("reads", 811_000, 40), counter("writes", 5_120_000, 120), counter("read_bytes", 33 * GIB, 1 << 20),
            counter("write_bytes", 412 * GIB, 4 << 20), counter("read_time", 402_000, 30), counter("write_time", 9_100_000, 200),
            counter("io_time", 3_200_000, 150), counter("weighted_io_time", 9_800_000, 300), gauge("iops_in_progress", 4, 1),
            counter("merged_reads", 120_000, 5), counter("merged_writes", 2_400_000, 60), share("io_await", 0, 40),
            share("io_svctm", 0, 9), share("io_util", 0, 300),
        ],
    },
    Input {
        keys: &["kernel,host=#"],
        fields: &[
            fixed("boot_time", 1_765_000_000), counter("context_switches", 8_400_000_000, 40_000),
            gauge("entropy_avail", 256, 0), counter("interrupts", 4_100_000_000, 20_000), counter("processes_forked", 9_120_000, 200),
            counter("disk_pages_in", 17_300_000, 100), counter("disk_pages_out", 216_000_000, 3_000),
        ],
    },
    Input {
        keys: &["mem,host=#"],
        fields: &[
            fixed("total", 16 * GIB), integer("available", Walk::Within { whole: 0, step: GIB / 64 }),
            integer("used", Walk::Rest { whole: 0, part: 1 }), percent("available_percent", 0, 1), percent("used_percent", 0, 2),
            memory("active"), memory("inactive"), memory("buffered"), memory("cached"), memory("free"), memory("commit_limit"),
            memory("committed_as"), gauge("dirty", 64 << 20, 1 << 20), fixed("high_free", 0), fixed("high_total", 0),
            fixed("huge_page_size", 2 << 20), fixed("huge_pages_free", 0), fixed("huge_pages_total", 0), fixed("low_free", 0),
            fixed("low_total", 0), memory("mapped"), gauge("page_tables", 64 << 20, 1 << 16), memory("shared"), memory("slab"),
            memory("sreclaimable"), memory("sunreclaim"), fixed("swap_cached", 0), fixed("swap_free", 4 * GIB), fixed("swap_total", 4 * GIB),
            fixed("vmalloc_chunk", 0), fixed("vmalloc_total", 35_184_372_087_808), gauge("vmalloc_used", 64 << 20, 1 << 12),
            gauge("write_back", 1 << 16, 1 << 12), fixed("write_back_tmp", 0),
        ],
    },
    Input {
        keys: &["net,host=#,interface=eth0", "net,host=#,interface=docker0"],
        fields: &[
            counter("bytes_sent", 91 * GIB, 3 << 20), counter("bytes_recv", 310 * GIB, 9 << 20),
            counter("packets_sent", 120_000_000, 3_000), counter("packets_recv", 340_000_000, 7_000), fixed("err_in", 0),
            fixed("err_out", 0), counter("drop_in", 1_290, 1), fixed("drop_out", 0), fixed("speed", 10_000),
        ],
    },
    Input {
        keys: &["processes,host=#"],
        fields: &[
            fixed("blocked", 0), fixed("zombies", 0), fixed("stopped", 0), gauge("running", 9, 1), gauge("sleeping", 300, 5),
            gauge("total", 420, 5), fixed("unknown", 0), fixed("dead", 0), fixed("paging", 0), gauge("total_threads", 2_100, 20),
            gauge("idle", 120, 3),
        ],
    },
    Input {
        keys: &["swap,host=#"],
        fields: &[
            fixed("total", 4 * GIB), integer("used", Walk::Within { whole: 0, step: 1 << 20 }),
            integer("free", Walk::Rest { whole: 0, part: 1 }), percent("used_percent", 0, 1),
        ],
    },
    Input { keys: &["swap,host=#"], fields: &[counter("in", 20_480, 4_096), counter("out", 9_437_184, 8_192)] },
    Input {
        keys: &["system,host=#"],
        fields: &[load("load1"), load("load5"), load("load15"), fixed("n_cpus", 4), gauge("n_users", 4, 1), gauge("n_unique_users", 2, 1)],
    },
    Input { keys: &["system,host=#"], fields: &[counter("uptime", 4_000_000, 10)] },
    Input {
        keys: &["system,host=#"],
        fields: &[Field { name: "uptime_format", form: Form::Uptime, walk: Walk::Counter { from: 4_000_000, mean: 10 } }],
    },
    Input {
        keys: &[
            "docker_container_status,container_image=registry.example/shop/checkout,container_name=checkout,container_status=running,\
             container_version=v1.42.0,engine_host=web,host=#,server_version=27.3.1",
            "docker_container_status,container_image=redis,container_name=cache,container_status=running,\
             container_version=7.4-alpine,engine_host=web,host=#,server_version=27.3.1",
        ],
        fields: &[
            Field { name: "oomkilled", form: Form::Boolean, walk: Walk::Chance(2) }, gauge("pid", 4_194_304, 0), fixed("exitcode", 0),
            integer("restart_count", Walk::Chance(20)),
            Field { name: "container_id", form: Form::Id, walk: Walk::Fixed { from: 1, step: 1, choices: 1 << 40 } },
            fixed("started_at", 1_791_018_004_123_456_789), counter("uptime_ns", 2_473_195_876_543_211, 10_000_000_000),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_maps_turn_round_and_large_ones_mix() {
        let mut random = Random(1);
        let mut order = Vec::new();
        let mut turned = 0;
        for _ in 0..1_000 {
            order_of_a_map(5, &mut random, &mut order);
            assert!((0..5).all(|at| order[at] == (order[0] + at) % 5), "{order:?}");
            turned += usize::from(order[0] != 0);
        }
        // From 4 of 8 places on the first key is not met first.
        assert!((400..600).contains(&turned), "{turned}");
        order_of_a_map(11, &mut random, &mut order);
        assert_ne!(order, (0..11).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..11).collect::<Vec<_>>());
    }
}
