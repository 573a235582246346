//! Series without end: each line is the first of its series, as where every deployment makes new containers.

use super::digits::{write_decimal, write_digits, write_hex};
use super::random::Random;
use super::time::Cycle;
use super::{Lines, Plan};

/// Containers, each seen once.
pub struct NewSeries {
    random: Random,
    /// As many containers start at one time as hosts report otherwise.
    cycle: Cycle,
    /// Lines written.
    count: u64,
}

impl NewSeries {
    pub fn new(plan: Plan) -> Self {
        let Plan { hosts, random, time } = plan;
        Self { random, cycle: Cycle::new(hosts, time), count: 0 }
    }

    /// A key of 5 to 10 tags. The pod's name holds the line's number, and so no two keys are the same.
    fn write_key(&mut self, out: &mut Vec<u8>) {
        let random = &mut self.random;
        let app = random.pick(&APPS);
        let tags = random.between(5, 10);
        out.extend_from_slice(random.pick(&MEASUREMENTS).as_bytes());
        out.extend_from_slice(format!(",app={app},cluster={},container={app}", random.pick(&CLUSTERS)).as_bytes());
        if tags > 5 {
            out.extend_from_slice(format!(",image={app}:v1.{}.{}", random.below(60), random.below(9)).as_bytes());
        }
        if tags > 6 {
            out.extend_from_slice(
                format!(",instance=10.{}.{}.{}:9102", random.below(4), random.below(256), random.below(256)).as_bytes(),
            );
        }
        if tags > 7 {
            out.extend_from_slice(b",job=kubelet");
        }
        out.extend_from_slice(b",namespace=");
        out.extend_from_slice(random.pick(&NAMESPACES).as_bytes());
        if tags > 8 {
            out.extend_from_slice(
                format!(",node=ip-10-0-{}-{}.ec2.internal", random.below(32), random.below(256)).as_bytes(),
            );
        }
        out.extend_from_slice(format!(",pod={app}-").as_bytes());
        write_hex(random.next(), 9, out);
        out.push(b'-');
        write_hex(self.count, 8, out);
        if tags > 9 {
            out.extend_from_slice(b",team=");
            out.extend_from_slice(random.pick(&["payments", "search", "platform"]).as_bytes());
        }
    }
}

impl Lines for NewSeries {
    fn write_line(&mut self, out: &mut Vec<u8>) {
        self.write_key(out);
        out.extend_from_slice(b" limit=");
        write_digits(1 << self.random.between(26, 34), out);
        out.extend_from_slice(b"i,usage=");
        write_digits(self.random.below(1 << 34), out);
        out.extend_from_slice(b"i,share=");
        write_decimal(self.random.below(10_000), 4, out);
        self.cycle.end_line(out);
        self.count += 1;
    }
}

const MEASUREMENTS: [&str; 3] = ["container_memory", "container_cpu", "container_fs"];
const CLUSTERS: [&str; 3] = ["prod-eu-1", "prod-us-2", "staging"];
const NAMESPACES: [&str; 5] = ["shop", "payments", "search", "monitoring", "kube-system"];
const APPS: [&str; 8] =
    ["checkout", "cart", "catalog-api", "search-indexer", "payment-gateway", "mailer", "web-frontend", "node-exporter"];
