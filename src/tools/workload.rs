//! Line protocol without end, of many shapes: what the load generator sends and the benches parse.
//!
//! Everything is drawn from one SplitMix64 and computed in integers, so that a seed gives the same bytes on every machine.

mod digits;
mod doubles;
mod escapes;
mod field;
mod logs;
mod random;
mod rows;
mod series;
mod telegraf;
mod time;
mod tsbs;

use random::Random;
use time::Time;

/// The shape of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Cpu,
    Devops,
    Iot,
    Telegraf,
    Logs,
    Escapes,
    Doubles,
    Series,
    Wide,
    Sparse,
    Reordered,
}

impl Kind {
    pub const ALL: [Self; 11] = [
        Self::Cpu,
        Self::Devops,
        Self::Iot,
        Self::Telegraf,
        Self::Logs,
        Self::Escapes,
        Self::Doubles,
        Self::Series,
        Self::Wide,
        Self::Sparse,
        Self::Reordered,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Devops => "devops",
            Self::Iot => "iot",
            Self::Telegraf => "telegraf",
            Self::Logs => "logs",
            Self::Escapes => "escapes",
            Self::Doubles => "doubles",
            Self::Series => "series",
            Self::Wide => "wide",
            Self::Sparse => "sparse",
            Self::Reordered => "reordered",
        }
    }

    /// What its lines are like.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Cpu => "TSBS, cpu alone: 10 tags, 10 small integers, 346 bytes per line",
            Self::Devops => "TSBS, nine measurements of a server: 10 to 12 tags, 6 to 31 fields, mostly integers",
            Self::Iot => "TSBS, trucks: short floats; some fields and tags are missing, and some lines come late",
            Self::Telegraf => "what Telegraf's inputs for a Linux server write, fields in the order of Go's maps",
            Self::Logs => "one string of 200 to 600 bytes per line",
            Self::Escapes => "escapes in measurement, tags, field keys and strings",
            Self::Doubles => "10 doubles of 17 significant digits",
            Self::Series => "a new series in every line, with 5 to 10 tags",
            Self::Wide => "200 fields, integers and short floats",
            Self::Sparse => "5 of 200 fields, other ones in every line",
            Self::Reordered => "cpu with its fields in another order in every line",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A stream of lines; every point of it differs from every other one in its series or its time (but for trucks without a name).
pub struct Workload(Box<dyn Lines>);

/// What one shape writes.
trait Lines {
    /// Appends the next line with its LF.
    fn write_line(&mut self, out: &mut Vec<u8>);
}

struct Plan {
    hosts: usize,
    random: Random,
    time: Time,
}

impl Workload {
    /// `hosts` servers, trucks, machines or sensors (at least one) that report at `start_ns` and then every `interval_ns` nanoseconds.
    pub fn new(kind: Kind, hosts: usize, seed: u64, start_ns: i64, interval_ns: i64) -> Self {
        let plan = Plan { hosts: hosts.max(1), random: Random(seed), time: Time::new(start_ns, interval_ns) };
        Self(match kind {
            Kind::Cpu | Kind::Devops | Kind::Iot | Kind::Reordered => Box::new(tsbs::Tsbs::new(kind, plan)),
            Kind::Telegraf => Box::new(telegraf::Telegraf::new(plan)),
            Kind::Logs => Box::new(logs::Logs::new(plan)),
            Kind::Escapes => Box::new(escapes::Escapes::new(plan)),
            Kind::Doubles => Box::new(doubles::Doubles::new(plan)),
            Kind::Series => Box::new(series::NewSeries::new(plan)),
            Kind::Wide => Box::new(rows::Rows::new(plan, false)),
            Kind::Sparse => Box::new(rows::Rows::new(plan, true)),
        })
    }

    /// Appends the next `lines` lines, each with its LF.
    pub fn write_lines(&mut self, lines: usize, out: &mut Vec<u8>) {
        (0..lines).for_each(|_| self.0.write_line(out));
    }
}

#[cfg(test)]
mod tests;
