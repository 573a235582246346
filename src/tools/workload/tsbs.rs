//! The use cases of the Time Series Benchmark Suite (TSBS).
//!
//! One time step after the other, in it one measurement after the other, in it one host after the other, as TSBS does. The values walk at
//! random like those of TSBS, but they are not its values.

mod measurements;

use measurements::{DEVOPS, IOT};

use super::field::{Field, Model};
use super::random::Random;
use super::time::Cycle;
use super::{Kind, Lines, Plan};

/// The lines of a TSBS use case.
pub struct Tsbs {
    random: Random,
    tables: Vec<Table>,
    hosts: Vec<Host>,
    /// Fields are written in another order in every line.
    reorders: bool,
    lateness: Option<Lateness>,
    cycle: Cycle,
}

impl Tsbs {
    /// `kind`: cpu, devops, iot or reordered.
    pub fn new(kind: Kind, plan: Plan) -> Self {
        let Plan { hosts, mut random, time } = plan;
        let trucks = kind == Kind::Iot;
        let hosts: Vec<Host> = (0..hosts)
            .map(|number| if trucks { Host::truck(number, &mut random) } else { Host::server(number, &mut random) })
            .collect();
        let measurements = match kind {
            Kind::Iot => &IOT[..],
            Kind::Devops => &DEVOPS[..],
            _ => &DEVOPS[..1],
        };
        let tables = measurements.iter().map(|measurement| Table::new(measurement, &hosts, &mut random));
        let tables: Vec<Table> = tables.collect();
        let cycle = Cycle::new(tables.len() * hosts.len(), time);
        let lateness = trucks.then(|| Lateness { held: vec![Vec::new(); hosts.len()] });
        Self { random, tables, hosts, reorders: kind == Kind::Reordered, lateness, cycle }
    }

    fn write_next(&mut self, out: &mut Vec<u8>) {
        let (table, number) = (self.cycle.line / self.hosts.len(), self.cycle.line % self.hosts.len());
        let table = &mut self.tables[table];
        let host = &self.hosts[number];
        let gaps = if self.lateness.is_some() { Gaps::draw(table.measurement, &mut self.random) } else { Gaps::NONE };
        out.extend_from_slice(table.measurement.name.as_bytes());
        for (index, tag) in host.tags.iter().enumerate() {
            if gaps.tag != index {
                out.extend_from_slice(tag);
            }
        }
        if let Some(extra) = table.extra_tags.get(number) {
            out.extend_from_slice(extra);
        }
        out.push(b' ');
        if self.reorders {
            self.random.shuffle(&mut table.order);
        }
        table.write_fields(number, gaps.field, out);
        table.step(number, &host.model, &mut self.random);
        self.cycle.end_line(out);
    }
}

impl Lines for Tsbs {
    fn write_line(&mut self, out: &mut Vec<u8>) {
        loop {
            let start = out.len();
            self.write_next(out);
            if self.lateness.as_mut().is_none_or(|lateness| lateness.delay(&mut self.random, out, start)) {
                return;
            }
        }
    }
}

struct Measurement {
    name: &'static str,
    /// Draws the tags that only this measurement has.
    extra_tags: Option<fn(&mut Random) -> String>,
    fields: &'static [Field],
}

/// One measurement of all hosts.
struct Table {
    measurement: &'static Measurement,
    /// `,name=` of every field.
    leads: Vec<Vec<u8>>,
    /// The fields as they are written.
    order: Vec<usize>,
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
                let value = field.walk.birth(&values[first..], &host.model, random);
                values.push(value);
            }
        }
        Self { measurement, leads, order: (0..fields.len()).collect(), extra_tags, values }
    }

    /// Writes the fields of host `number` as they are, but the one numbered `missing`.
    fn write_fields(&self, number: usize, missing: usize, out: &mut Vec<u8>) {
        let fields = self.measurement.fields;
        let values = &self.values[number * fields.len()..];
        let mut is_first = true;
        for index in self.order.iter().copied().filter(|index| *index != missing) {
            let lead = &self.leads[index];
            out.extend_from_slice(&lead[usize::from(is_first)..]); // the first one has no comma
            is_first = false;
            fields[index].form.write(values[index], out);
        }
    }

    /// Lets the fields of host `number` walk a step.
    fn step(&mut self, number: usize, model: &Model, random: &mut Random) {
        let fields = self.measurement.fields;
        let values = &mut self.values[number * fields.len()..][..fields.len()];
        for (index, field) in fields.iter().enumerate() {
            values[index] = field.walk.step(values[index], values, model, random);
        }
    }
}

/// A server or a truck.
struct Host {
    /// `,key=value` of every tag.
    tags: Vec<Vec<u8>>,
    model: Model,
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
