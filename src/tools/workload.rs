//! Line protocol without end, in the shape of the Time Series Benchmark Suite (TSBS): what the load generator sends and the benches parse.
//!
//! One time step after the other, in it one measurement after the other, in it one host after the other, as TSBS does. Everything is drawn
//! from one SplitMix64 and computed in integers, so that a seed gives the same bytes on every machine. The values walk at random like
//! those of TSBS, but they are not its values.

mod measurements;

use measurements::{DEVOPS, IOT};

/// Which of the TSBS use cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `cpu` alone: 10 tags, 10 integers, about 346 bytes per line.
    Cpu,
    /// The nine measurements of a server: 10 to 12 tags, 6 to 31 fields, integers and (in `mem`) floats of full length.
    Devops,
    /// `readings` and `diagnostics` of trucks: short floats; some fields and tags are missing, and some lines come late.
    Iot,
}

/// A stream of lines; every point of it differs from every other one in its series or its time (but for trucks without a name).
pub struct Workload {
    random: Random,
    tables: Vec<Table>,
    hosts: Vec<Host>,
    lateness: Option<Lateness>,
    interval_ns: i64,
    time_ns: i64,
    /// `time_ns` as the end of a line.
    line_end: Vec<u8>,
    /// The table and the host of the next line.
    table: usize,
    host: usize,
}

impl Workload {
    /// `hosts` servers or trucks (at least one) that report at `start_ns` and then every `interval_ns` nanoseconds.
    pub fn new(kind: Kind, hosts: usize, seed: u64, start_ns: i64, interval_ns: i64) -> Self {
        let mut random = Random(seed);
        let hosts: Vec<Host> =
            (0..hosts.max(1))
                .map(|number| {
                    if kind == Kind::Iot { Host::truck(number, &mut random) } else { Host::server(number, &mut random) }
                })
                .collect();
        let measurements = match kind {
            Kind::Cpu => &DEVOPS[..1],
            Kind::Devops => &DEVOPS[..],
            Kind::Iot => &IOT[..],
        };
        let tables = measurements.iter().map(|measurement| Table::new(measurement, &hosts, &mut random)).collect();
        let lateness = (kind == Kind::Iot).then(|| Lateness { held: vec![Vec::new(); hosts.len()] });
        let line_end = line_end(start_ns);
        Self { random, tables, hosts, lateness, interval_ns, time_ns: start_ns, line_end, table: 0, host: 0 }
    }

    /// Appends the next `lines` lines, each with its LF.
    pub fn write_lines(&mut self, lines: usize, out: &mut Vec<u8>) {
        let mut left = lines;
        while left > 0 {
            let start = out.len();
            self.write_line(out);
            self.turn_to_next();
            let is_there = self.lateness.as_mut().is_none_or(|lateness| lateness.delay(&mut self.random, out, start));
            left -= usize::from(is_there);
        }
    }

    fn write_line(&mut self, out: &mut Vec<u8>) {
        let table = &mut self.tables[self.table];
        let host = &self.hosts[self.host];
        let gaps = if self.lateness.is_some() { Gaps::draw(table.measurement, &mut self.random) } else { Gaps::NONE };
        out.extend_from_slice(table.measurement.name.as_bytes());
        for (index, tag) in host.tags.iter().enumerate() {
            if gaps.tag != index {
                out.extend_from_slice(tag);
            }
        }
        if let Some(extra) = table.extra_tags.get(self.host) {
            out.extend_from_slice(extra);
        }
        out.push(b' ');
        table.write_fields(self.host, host, gaps.field, &mut self.random, out);
        out.extend_from_slice(&self.line_end);
    }

    fn turn_to_next(&mut self) {
        self.host += 1;
        if self.host < self.hosts.len() {
            return;
        }
        self.host = 0;
        self.table += 1;
        if self.table < self.tables.len() {
            return;
        }
        self.table = 0;
        self.time_ns = self.time_ns.saturating_add(self.interval_ns);
        self.line_end = line_end(self.time_ns);
    }
}

fn line_end(time_ns: i64) -> Vec<u8> {
    format!(" {time_ns}\n").into_bytes()
}

/// One measurement of all hosts.
struct Table {
    measurement: &'static Measurement,
    /// `,name=` of every field.
    leads: Vec<Vec<u8>>,
    /// The tags that only this measurement has, per host; empty if there are none.
    extra_tags: Vec<Vec<u8>>,
    /// Host by host, field by field.
    values: Vec<i64>,
}

impl Table {
    fn new(measurement: &'static Measurement, hosts: &[Host], random: &mut Random) -> Self {
        let fields = measurement.fields;
        let leads = fields.iter().map(|field| format!(",{}=", field.name).into_bytes()).collect();
        let extra_tags = match measurement.extra_tags {
            Some(extra_tags) => hosts.iter().map(|_| extra_tags(random).into_bytes()).collect(),
            None => Vec::new(),
        };
        let mut values = Vec::with_capacity(hosts.len() * fields.len());
        for host in hosts {
            let first = values.len();
            for field in fields {
                let value = field.walk.birth(&values[first..], host, random);
                values.push(value);
            }
        }
        Self { measurement, leads, extra_tags, values }
    }

    /// Writes the fields as they are, but the one numbered `missing`, and lets them walk a step.
    fn write_fields(&mut self, number: usize, host: &Host, missing: usize, random: &mut Random, out: &mut Vec<u8>) {
        let fields = self.measurement.fields;
        let values = &mut self.values[number * fields.len()..][..fields.len()];
        let mut is_first = true;
        for (index, field) in fields.iter().enumerate() {
            if index != missing {
                let lead = &self.leads[index];
                out.extend_from_slice(&lead[usize::from(is_first)..]); // the first one has no comma
                is_first = false;
                field.form.write(values[index], out);
            }
            values[index] = field.walk.step(values[index], values, host, random);
        }
    }
}

/// A server or a truck.
struct Host {
    /// `,key=value` of every tag.
    tags: Vec<Vec<u8>>,
    /// What its model says: load capacity, fuel capacity, nominal fuel consumption of a truck.
    model: [i64; 3],
}

impl Host {
    fn server(number: usize, random: &mut Random) -> Self {
        let (region, zones) = random.pick(&REGIONS);
        let zone = random.pick(zones.as_bytes()) as char;
        let tags = [
            format!(",hostname=host_{number}"),
            format!(",region={region}"),
            format!(",datacenter={region}{zone}"),
            format!(",rack={}", random.below(100)),
            format!(",os={}", random.pick(&["Ubuntu15.10", "Ubuntu16.10", "Ubuntu16.04LTS"])),
            format!(",arch={}", random.pick(&["x64", "x86"])),
            format!(",team={}", random.pick(&["SF", "NYC", "LON", "CHI"])),
            format!(",service={}", random.below(20)),
            format!(",service_version={}", random.below(2)),
            format!(",service_environment={}", random.pick(&["production", "staging", "test"])),
        ];
        // Always whole, so that one piece will do.
        Self { tags: vec![tags.concat().into_bytes()], model: [0; 3] }
    }

    fn truck(number: usize, random: &mut Random) -> Self {
        let (name, model) =
            random.pick(&[("F-150", [2000, 200, 15]), ("G-2000", [5000, 300, 19]), ("H-2", [1500, 150, 12])]);
        let tags = [
            format!(",name=truck_{number}"),
            format!(",fleet={}", random.pick(&["South", "West", "East", "North"])),
            format!(",driver={}", random.pick(&["Albert", "Trish", "Derek", "Seth", "Andy", "Rodney"])),
            format!(",model={name}"),
            format!(",device_version={}", random.pick(&["v1.0", "v1.5", "v2.0", "v2.3"])),
        ];
        Self { tags: tags.map(String::into_bytes).into(), model }
    }
}

/// The tag and the field that a line lacks; `usize::MAX` if none.
struct Gaps {
    tag: usize,
    field: usize,
}

impl Gaps {
    const NONE: Self = Self { tag: usize::MAX, field: usize::MAX };

    /// One line in 180 lacks a tag, one in 10 a field.
    fn draw(measurement: &Measurement, random: &mut Random) -> Self {
        let mut gaps = Self::NONE;
        if random.below(180) == 0 {
            gaps.tag = random.below(5) as usize;
        }
        if random.below(10) == 0 {
            gaps.field = random.below(measurement.fields.len() as u64) as usize;
        }
        gaps
    }
}

/// Holds lines back until another one takes their place: for some thirty time steps on average.
struct Lateness {
    /// As many places as hosts, empty at first.
    held: Vec<Vec<u8>>,
}

impl Lateness {
    /// One line in 64 changes places with one that was held back. False if `out[start..]` holds no line now.
    fn delay(&mut self, random: &mut Random, out: &mut Vec<u8>, start: usize) -> bool {
        if random.below(64) > 0 {
            return true;
        }
        let place = random.below(self.held.len() as u64) as usize;
        let line = out.split_off(start);
        let late = std::mem::replace(&mut self.held[place], line);
        out.extend_from_slice(&late);
        !late.is_empty()
    }
}

struct Measurement {
    name: &'static str,
    /// Draws the tags that only this measurement has.
    extra_tags: Option<fn(&mut Random) -> String>,
    fields: &'static [Field],
}

struct Field {
    name: &'static str,
    form: Form,
    walk: Walk,
}

/// How a value is written.
#[derive(Clone, Copy)]
enum Form {
    /// With the suffix `i`.
    Integer,
    /// A float: the value divided by 10 to this power, without trailing zeros.
    Decimal(u32),
}

impl Form {
    fn write(self, value: i64, out: &mut Vec<u8>) {
        match self {
            Self::Integer => {
                write_digits(value.unsigned_abs(), out); // no value is negative
                out.push(b'i');
            }
            Self::Decimal(places) => write_decimal(value.unsigned_abs(), places, out),
        }
    }
}

/// How a value begins and goes on. `whole` and `part` are the numbers of other fields, which stand before.
#[derive(Clone, Copy)]
enum Walk {
    /// Stays: `from` plus up to `choices - 1` times `step`.
    Fixed { from: i64, step: i64, choices: u64 },
    /// Stays what the model of the truck says.
    Model(usize),
    /// Up and down by at most `step` between 0 and `high`.
    Gauge { high: i64, step: i64 },
    /// Up and down by at most `step` between 0 and another field.
    Within { whole: usize, step: i64 },
    /// Begins at `from` and grows by about `mean`.
    Counter { from: i64, mean: i64 },
    /// What is left of `whole` without `part`.
    Rest { whole: usize, part: usize },
    /// `part` in percent of `whole`, in units of 10 to the power of -`places`.
    Percent { whole: usize, part: usize, places: u32 },
}

impl Walk {
    /// The first value; `before`: those of the fields that stand before.
    fn birth(self, before: &[i64], host: &Host, random: &mut Random) -> i64 {
        match self {
            Self::Fixed { from, step, choices } => from + step * random.below(choices) as i64,
            Self::Gauge { high, .. } => random.below(high as u64 + 1) as i64,
            Self::Within { whole, .. } => random.below(before[whole] as u64 + 1) as i64,
            Self::Counter { from, .. } => from,
            _ => self.step(0, before, host, random),
        }
    }

    fn step(self, value: i64, values: &[i64], host: &Host, random: &mut Random) -> i64 {
        match self {
            Self::Fixed { .. } => value,
            Self::Model(number) => host.model[number],
            Self::Gauge { high, step } => (value + random.between(-step, step)).clamp(0, high),
            Self::Within { whole, step } => (value + random.between(-step, step)).clamp(0, values[whole]),
            Self::Counter { mean, .. } => value + random.between(mean / 2, mean + mean / 2),
            Self::Rest { whole, part } => values[whole] - values[part],
            Self::Percent { whole, part, places } => {
                let scale = 100 * 10_i128.pow(places);
                (i128::from(values[part]) * scale / i128::from(values[whole])) as i64
            }
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 up to `bound - 1`.
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// `low` up to and with `high`.
    fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low) as u64 + 1) as i64
    }

    fn pick<T: Copy>(&mut self, options: &[T]) -> T {
        options[self.below(options.len() as u64) as usize]
    }
}

fn write_digits(value: u64, out: &mut Vec<u8>) {
    if value < 10 {
        out.push(b'0' + value as u8);
        return;
    }
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut left = value;
    while left > 0 {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
    }
    out.extend_from_slice(&digits[at..]);
}

fn write_decimal(value: u64, places: u32, out: &mut Vec<u8>) {
    let one = 10_u64.pow(places);
    write_digits(value / one, out);
    let mut fraction = value % one;
    if fraction == 0 {
        return;
    }
    // A leading 1 keeps the zeros behind the point; the point then takes its place.
    fraction += one;
    while fraction.is_multiple_of(10) {
        fraction /= 10;
    }
    let point = out.len();
    write_digits(fraction, out);
    out[point] = b'.';
}

const REGIONS: [(&str, &str); 9] = [
    ("us-east-1", "abce"),
    ("us-west-1", "ab"),
    ("us-west-2", "abc"),
    ("eu-west-1", "abc"),
    ("eu-central-1", "ab"),
    ("ap-southeast-1", "ab"),
    ("ap-southeast-2", "ab"),
    ("ap-northeast-1", "ac"),
    ("sa-east-1", "abc"),
];

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::line::grammar::Precision;
    use crate::line::naive::{self, Point, Value};

    const START_NS: i64 = 1_793_491_200_000_000_000;
    const INTERVAL_NS: i64 = 10_000_000_000;

    fn lines(kind: Kind, hosts: usize, count: usize) -> Vec<u8> {
        let mut body = Vec::new();
        Workload::new(kind, hosts, 42, START_NS, INTERVAL_NS).write_lines(count, &mut body);
        body
    }

    fn points(body: &[u8], count: usize) -> Vec<Point> {
        let parsed = naive::parse(body, Precision::Nanosecond);
        assert_eq!(parsed.errors, []);
        assert_eq!(parsed.points.len(), count);
        parsed.points
    }

    fn fnv1a(bytes: &[u8]) -> u64 {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
    }

    #[test]
    fn a_seed_gives_the_same_bytes_everywhere() {
        let hashes = [Kind::Cpu, Kind::Devops, Kind::Iot].map(|kind| fnv1a(&lines(kind, 100, 10_000)));
        assert_eq!(hashes, [0x5107_64c1_22d9_22bf, 0xe4a1_6fb7_269a_95a3, 0x7a88_d157_5eab_1369], "{hashes:#018x?}");
    }

    #[test]
    fn lines_do_not_depend_on_how_many_are_asked_for_at_once() {
        for kind in [Kind::Cpu, Kind::Devops, Kind::Iot] {
            let mut workload = Workload::new(kind, 7, 42, START_NS, INTERVAL_NS);
            let mut body = Vec::new();
            (0..100).for_each(|count| workload.write_lines(count, &mut body));
            assert_eq!(body, lines(kind, 7, 99 * 100 / 2));
        }
    }

    #[test]
    fn cpu_has_the_shape_of_tsbs() {
        let body = lines(Kind::Cpu, 100, 10_000);
        let mean = body.len() / 10_000;
        assert!((340..352).contains(&mean), "{mean} bytes per line");
        for (index, point) in points(&body, 10_000).iter().enumerate() {
            assert_eq!((point.measurement.as_str(), point.tags.len(), point.fields.len()), ("cpu", 10, 10));
            assert_eq!(point.tags[2], ("hostname".to_owned(), format!("host_{}", index % 100)));
            assert!(point.fields.iter().all(|(_, value)| matches!(value, Value::Integer(0..=100))));
            assert_eq!(point.time, Some(START_NS + (index / 100) as i64 * INTERVAL_NS));
        }
    }

    #[test]
    fn devops_has_the_shape_of_tsbs() {
        let body = lines(Kind::Devops, 40, 9 * 40 * 50);
        let mut shapes = BTreeMap::new();
        for point in points(&body, 9 * 40 * 50) {
            let floats = point.fields.iter().filter(|(_, value)| matches!(value, Value::Float(_))).count();
            *shapes.entry((point.measurement, point.tags.len(), point.fields.len(), floats)).or_insert(0) += 1;
        }
        let shapes: Vec<_> = shapes
            .iter()
            .map(|((name, tags, fields, floats), count)| (name.as_str(), *tags, *fields, *floats, *count))
            .collect();
        assert_eq!(
            shapes,
            [
                ("cpu", 10, 10, 0, 2000),
                ("disk", 12, 7, 0, 2000),
                ("diskio", 11, 7, 0, 2000),
                ("kernel", 10, 6, 0, 2000),
                ("mem", 10, 9, 3, 2000),
                ("net", 11, 8, 0, 2000),
                ("nginx", 12, 7, 0, 2000),
                ("postgresl", 10, 16, 0, 2000),
                ("redis", 12, 31, 0, 2000),
            ]
        );
    }

    #[test]
    fn iot_has_gaps_and_late_lines_and_no_point_twice() {
        let body = lines(Kind::Iot, 100, 50_000);
        let points = points(&body, 50_000);
        let mut newest = BTreeMap::new();
        let (mut late, mut without_field, mut without_tag) = (0, 0, 0);
        let mut seen = BTreeSet::new();
        for point in &points {
            let whole = if point.measurement == "readings" { 10 } else { 6 };
            without_field += usize::from(point.fields.len() < whole);
            without_tag += usize::from(point.tags.len() < 5);
            let newest = newest.entry(&point.measurement).or_insert(point.time);
            late += usize::from(point.time < *newest);
            *newest = point.time.max(*newest);
            let has_name = point.tags.iter().any(|(key, _)| key == "name");
            assert!(!has_name || seen.insert((&point.measurement, &point.tags, point.time)), "{point:?}");
        }
        assert!((4_000..6_000).contains(&without_field), "{without_field}");
        assert!((150..450).contains(&without_tag), "{without_tag}");
        assert!((300..1_500).contains(&late), "{late}");
    }

    #[test]
    fn decimals_have_no_needless_zeros() {
        for (value, places, text) in
            [(0, 0, "0"), (7, 0, "7"), (5, 1, "0.5"), (10, 1, "1"), (1_00200, 5, "1.002"), (100_050, 3, "100.05")]
        {
            let mut out = Vec::new();
            write_decimal(value, places, &mut out);
            assert_eq!(String::from_utf8(out).as_deref(), Ok(text));
        }
    }

    #[test]
    fn no_hosts_are_one_host() {
        assert_eq!(lines(Kind::Iot, 0, 10), lines(Kind::Iot, 1, 10));
    }
}
