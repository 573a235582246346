//! What is encoded, and what is asked of it.

use std::sync::Arc;

use ringest::budget::Budget;
use ringest::catalog::Catalog;
use ringest::line::{self, Kernel, Outcome as Parsed, Padded, Precision};
use ringest::table::{Rules, SealedTable, Tables, Unlogged};
use ringest::tools::workload::{Kind, Workload};

use super::Outcome;

#[derive(Clone, Copy)]
pub struct DataSet {
    pub name: &'static str,
    kind: Kind,
    /// `None`: as many as rows, so that each has one point.
    hosts: Option<usize>,
    pub aims: Aims,
}

/// What is asked on a data set.
#[derive(Clone, Copy)]
pub struct Aims {
    /// Rows per CPU-second in those of the stock writer, in files that are no larger.
    faster: Option<f64>,
    bytes_per_row: Option<f64>,
}

const NONE: Aims = Aims { faster: None, bytes_per_row: None };

const fn set(name: &'static str, kind: Kind, hosts: usize, aims: Aims) -> DataSet {
    DataSet { name, kind, hosts: Some(hosts), aims }
}

pub const DATA_SETS: [DataSet; 5] = [
    set("cpu", Kind::Cpu, 4_000, Aims { faster: Some(3.0), bytes_per_row: Some(5.0) }),
    set("devops", Kind::Devops, 1_000, NONE),
    set("iot", Kind::Iot, 4_000, NONE),
    set("doubles", Kind::Doubles, 1_000, Aims { faster: Some(2.0), bytes_per_row: None }),
    DataSet { name: "series", kind: Kind::Cpu, hosts: None, aims: NONE },
];

/// What a client sends at once.
const BODY_LINES: usize = 5_000;

impl DataSet {
    pub fn named(name: &str) -> Option<Self> {
        DATA_SETS.into_iter().find(|set| set.name == name)
    }

    /// The lines, one after the other, of one UTC day.
    pub fn bodies(&self, rows: usize) -> impl Iterator<Item = Vec<u8>> + use<> {
        // 2026-01-01, ten seconds between points.
        let hosts = self.hosts.unwrap_or(rows);
        let mut workload = Workload::new(self.kind, hosts, 1, 1_767_225_600_000_000_000, 10_000_000_000);
        (0..rows).step_by(BODY_LINES).map(move |first| {
            let mut body = Vec::new();
            workload.write_lines(BODY_LINES.min(rows - first), &mut body);
            body
        })
    }

    /// The tables of one shard that has taken all lines.
    pub fn sealed(&self, rows: usize) -> Vec<SealedTable> {
        self.open(rows).seal(false)
    }

    /// The same before they are sealed.
    pub fn open(&self, rows: usize) -> Tables {
        let (catalog, mut tables) = (Catalog::in_memory(), Tables::new(&Budget::new(8 << 30)));
        let options = line::Options { kernel: Kernel::fastest(), precision: Precision::Nanosecond, default_time_ns: 0 };
        let catalog = Arc::new(catalog);
        for (request, mut body) in (1..).zip(self.bodies(rows)) {
            let body = Padded::from_vec(&mut body);
            let rules = Rules { time_ns_min: None, retention: None };
            let mut writer = tables.writer("bench", &catalog, rules, body.len()).unwrap();
            assert!(matches!(line::parse(body, options, &mut writer), Parsed::Complete { .. }));
            writer.commit(&mut Unlogged(request)).unwrap();
        }
        tables
    }
}

impl Aims {
    /// The aims that were not reached, as sentences.
    pub fn missed(&self, ours: &Outcome, stock: &Outcome) -> Vec<String> {
        let mut missed = Vec::new();
        let speed = ours.rows_per_second() / stock.rows_per_second();
        if let Some(faster) = self.faster {
            if speed < faster {
                missed.push(format!("{speed:.2} times the stock writer's rows per CPU-second, asked: {faster}"));
            }
            if ours.bytes > stock.bytes {
                missed.push(format!("{} bytes, the stock writer {}", ours.bytes, stock.bytes));
            }
        }
        if let Some(most) = self.bytes_per_row.filter(|most| ours.bytes_per_row() > *most) {
            missed.push(format!("{:.2} bytes per row, asked: at most {most}", ours.bytes_per_row()));
        }
        missed
    }
}
