//! What is parsed: bodies of whole lines, one after the other.

use ringest::line::{PADDING, Padded};
use ringest::tools::workload::{Kind, Workload};

/// A data set of the bench: a workload, how many hosts report, how its lines are cut into bodies, and how long it is.
#[derive(Clone, Copy)]
pub struct DataSet {
    pub name: &'static str,
    kind: Kind,
    hosts: usize,
    body: Body,
    extent: Extent,
}

#[derive(Clone, Copy)]
enum Body {
    /// Lines until there are [`BODY_BYTES`].
    Batch,
    OneLine,
}

#[derive(Clone, Copy)]
enum Extent {
    Bytes(usize),
    Lines(usize),
}

/// About what a client sends as a batch of 5 000 lines.
const BODY_BYTES: usize = 1 << 20;
/// Several times the last cache of today's processors, as all bodies stand in memory and each is read once per pass.
const SET_BYTES: usize = 128 << 20;
/// Distinct series, one point each.
const SERIES: usize = 1_000_000;
/// With `--test`.
const TEST_BYTES: usize = 256 << 10;
const TEST_LINES: usize = 2_000;

const fn set(name: &'static str, kind: Kind, hosts: usize) -> DataSet {
    DataSet { name, kind, hosts, body: Body::Batch, extent: Extent::Bytes(SET_BYTES) }
}

pub const DATA_SETS: [DataSet; 14] = [
    set("cpu", Kind::Cpu, 4_000),
    set("devops", Kind::Devops, 1_000),
    set("fleet", Kind::Devops, 4_000),
    set("iot", Kind::Iot, 4_000),
    set("telegraf", Kind::Telegraf, 1_000),
    set("logs", Kind::Logs, 1_000),
    set("escapes", Kind::Escapes, 1_000),
    set("doubles", Kind::Doubles, 1_000),
    DataSet { extent: Extent::Lines(SERIES), ..set("series", Kind::Cpu, SERIES) },
    DataSet { extent: Extent::Lines(SERIES), ..set("churn", Kind::Series, 10_000) },
    set("wide", Kind::Wide, 100),
    set("sparse", Kind::Sparse, 1_000),
    set("reordered", Kind::Reordered, 4_000),
    DataSet { body: Body::OneLine, ..set("one-line", Kind::Cpu, 4_000) },
];

/// Bodies in one piece of memory, each with its padding.
pub struct Bodies {
    memory: Vec<u8>,
    /// Start and length of each body.
    places: Vec<(usize, usize)>,
    pub lines: usize,
    /// Bytes of all bodies, without padding.
    pub bytes: usize,
}

impl DataSet {
    pub fn named(name: &str) -> Option<Self> {
        DATA_SETS.into_iter().find(|set| set.name == name)
    }

    /// The same with so many hosts at most: making a million takes long where a processor is imitated.
    pub fn with_hosts_at_most(self, hosts: usize) -> Self {
        Self { hosts: self.hosts.min(hosts), ..self }
    }

    pub fn stream(&self) -> Workload {
        // 2026-01-01, ten seconds between points.
        Workload::new(self.kind, self.hosts, 1, 1_767_225_600_000_000_000, 10_000_000_000)
    }

    /// The whole set, or a little of it.
    pub fn bodies(&self, is_test: bool) -> Bodies {
        let extent = match self.extent {
            Extent::Bytes(bytes) => Extent::Bytes(if is_test { TEST_BYTES } else { bytes }),
            Extent::Lines(lines) => Extent::Lines(if is_test { TEST_LINES } else { lines }),
        };
        self.take(&mut self.stream(), extent)
    }

    /// The next bodies of `stream`, until they have so many bytes.
    pub fn next_bytes(&self, stream: &mut Workload, bytes: usize) -> Bodies {
        self.take(stream, Extent::Bytes(bytes))
    }

    fn take(&self, stream: &mut Workload, extent: Extent) -> Bodies {
        let mut bodies = Bodies { memory: Vec::new(), places: Vec::new(), lines: 0, bytes: 0 };
        let is_whole = |bodies: &Bodies, start: usize| match extent {
            Extent::Bytes(bytes) => bodies.bytes + (bodies.memory.len() - start) >= bytes,
            Extent::Lines(lines) => bodies.lines >= lines,
        };
        loop {
            let start = bodies.memory.len();
            let (mut full, mut whole) = (false, false);
            while !full && !whole {
                stream.write_lines(1, &mut bodies.memory);
                bodies.lines += 1;
                full = matches!(self.body, Body::OneLine) || bodies.memory.len() - start >= BODY_BYTES;
                whole = is_whole(&bodies, start);
            }
            bodies.close(start);
            if whole {
                return bodies;
            }
        }
    }
}

impl Bodies {
    /// What was written from `start` on is a body.
    fn close(&mut self, start: usize) {
        let len = self.memory.len() - start;
        self.places.push((start, len));
        self.bytes += len;
        self.memory.resize(start + len + PADDING, 0);
    }

    pub fn padded(&self) -> impl Iterator<Item = Padded<'_>> {
        self.places.iter().map(|(start, len)| Padded::new(&self.memory[*start..], *len).unwrap())
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }
}
