//! Line protocol to committed columns, beside a newline count (what memory allows) and the crate `influxdb-line-protocol` (which only
//! parses), all in one process on one core.
//!
//! ```text
//! cargo bench --bench line                    every data set, every kernel
//! cargo bench --bench line -- cpu devops      some data sets
//!   --kernel NAME   one kernel: avx512, avx2, sse2, portable
//!   --rounds N      rounds of each contender (5)
//!   --check         exit code 1 if a target is missed (the table in line/targets.rs)
//!   --json          one JSON object per data set
//!   --test          a little of everything, once
//! cargo bench --bench line -- --list          names of the data sets
//! cargo bench --bench line -- --counts        the stages whose instructions scripts/count-instructions counts
//!   --count NAME    one of them once
//! ```
//!
//! A data set is 128 MiB (`series` and `churn`: a million lines, each of a new series) of generated lines in bodies of about 1 MiB (`one-line`: of one line), all of them in
//! memory: each pass reads each body once, so that it comes from memory and not from a cache, for every contender alike. Contenders take
//! turns, round by round. Shown are the best round and, in brackets, the median, in GB/s (10^9 bytes) of processor time of this thread,
//! and million lines per second of the best round. Every pass but `again` begins with an empty shard: what learning series and fields costs is in it.
//! Before a pass of ringest's stands another one that is not timed, so that the allocator holds as much memory as under a steady load:
//! else the contender that comes first would pay the kernel for it.
//!
//! - scan: the kernel counts the delimiters of the bodies, without any prediction;
//! - parse: the parser, its check that a body is UTF-8 included, with a sink that foresees series and fields as the tables do (but looks
//!   names up with a plain hash map) and stores no values;
//! - columns: the parser into the shard's tables, and commit; at 128 MiB the tables are sealed and dropped, as in a node with two shards;
//! - again: columns of a shard that has taken the same bodies before, and still knows the series if it has kept them;
//! - the crate: every line parsed, every part of it looked at; that the text is UTF-8 is known to it beforehand.
//!
//! A line is on the fast path if neither its series nor one of its fields had to be looked up by name.
#![allow(clippy::unwrap_used)]

#[path = "line/clock.rs"]
mod clock;
#[path = "line/contenders.rs"]
mod contenders;
#[path = "line/count.rs"]
mod count;
#[path = "line/counted.rs"]
mod counted;
#[path = "line/data.rs"]
mod data;
#[path = "line/report.rs"]
mod report;
#[path = "line/sinks.rs"]
mod sinks;
#[path = "line/targets.rs"]
mod targets;

use std::process::ExitCode;

use ringest::line::Kernel;

use clock::{cpu_time, pin};
use contenders::Shard;
use counted::Count;
use data::{Bodies, DATA_SETS, DataSet};
use report::{Measured, Task};
use targets::TARGETS;

/// As in the program, for every contender.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Arguments {
    sets: Vec<DataSet>,
    kernels: Vec<Kernel>,
    rounds: usize,
    check: bool,
    json: bool,
    test: bool,
    list: bool,
    counts: bool,
    count: Option<Count>,
}

impl Arguments {
    fn read() -> Result<Self, String> {
        let mut read = Self {
            sets: Vec::new(),
            kernels: Kernel::available(),
            rounds: 5,
            check: false,
            json: false,
            test: false,
            list: false,
            counts: false,
            count: None,
        };
        let set = |name: &str| DataSet::named(name).ok_or(format!("there is no data set {name}"));
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--kernel" => {
                    let name = value()?;
                    let kernel = Kernel::named(&name);
                    read.kernels = vec![kernel.ok_or(format!("this processor has no kernel {name}"))?];
                }
                "--rounds" => read.rounds = value()?.parse().map_err(|_| "--rounds needs a number")?,
                "--count" => read.count = Some(Count::named(&value()?, count::counts())?),
                "--counts" => read.counts = true,
                "--list" => read.list = true,
                "--check" => read.check = true,
                "--json" => read.json = true,
                "--test" => (read.test, read.rounds) = (true, 1),
                "--bench" => {} // from cargo
                name => read.sets.push(set(name)?),
            }
        }
        if read.sets.is_empty() {
            read.sets = DATA_SETS.to_vec();
        }
        Ok(read)
    }
}

fn main() -> ExitCode {
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(wrong) => {
            eprintln!("{wrong}");
            return ExitCode::from(2);
        }
    };
    if arguments.list {
        DATA_SETS.iter().for_each(|set| println!("{}", set.name));
        return ExitCode::SUCCESS;
    }
    if arguments.counts {
        count::counts().for_each(|count| println!("{count}"));
        return ExitCode::SUCCESS;
    }
    if let Some(count) = arguments.count {
        count::count(count, arguments.kernels[0]);
        return ExitCode::SUCCESS;
    }
    // As in a node. Without the lake the allocator keeps its own time.
    #[cfg(feature = "lake")]
    ringest::budget::limit_freed_memory(contenders::BUDGET_BYTES);
    let core = pin();
    if !arguments.json {
        println!("core {core}; GB/s: best round (median), then million lines per second");
    }
    let mut missed = false;
    for set in &arguments.sets {
        let measured = measure(set, &arguments);
        if arguments.json {
            println!("{}", measured.to_json());
        } else {
            println!("{measured}");
        }
        if arguments.check {
            for verdict in TARGETS.iter().filter_map(|target| target.judge(&measured)) {
                eprintln!("{} {}", if verdict.kept { "kept:  " } else { "MISSED:" }, verdict.text);
                missed |= !verdict.kept;
            }
        }
    }
    ExitCode::from(u8::from(missed))
}

fn measure(set: &DataSet, arguments: &Arguments) -> Measured {
    let bodies = set.bodies(arguments.test);
    let mut tasks = vec![Task::Newlines, Task::Crate];
    for kernel in &arguments.kernels {
        let name = kernel.name();
        tasks.extend([Task::Scan(name), Task::Parse(name), Task::Columns(name), Task::Again(name)]);
    }
    let foreseen = Shard::new().foreseen(&bodies, arguments.kernels[0]);
    let mut measured = Measured {
        set: set.name,
        bytes: bodies.bytes,
        lines: bodies.lines,
        bodies: bodies.len(),
        foreseen: foreseen as f64 / bodies.lines as f64,
        times: tasks.into_iter().map(|task| (task, Vec::new())).collect(),
    };
    for _ in 0..arguments.rounds {
        for (task, times) in &mut measured.times {
            let mut shard = Shard::new();
            match task {
                Task::Again(_) => {
                    perform(*task, &bodies, &mut shard);
                }
                Task::Parse(_) | Task::Columns(_) if !arguments.test => {
                    perform(*task, &bodies, &mut Shard::new());
                }
                _ => {}
            }
            let mut lines = 0;
            times.push(cpu_time(|| lines = perform(*task, &bodies, &mut shard)));
            assert_eq!(lines, bodies.lines as u64, "{task} of {}", set.name);
        }
    }
    measured
}

/// One pass over the bodies. Returns how many lines it found.
fn perform(task: Task, bodies: &Bodies, shard: &mut Shard) -> u64 {
    let kernel = |name| Kernel::named(name).unwrap();
    match task {
        Task::Newlines => contenders::newlines(bodies),
        Task::Crate => contenders::crate_parse(bodies),
        Task::Scan(name) => {
            contenders::scan(bodies, kernel(name));
            bodies.lines as u64
        }
        Task::Parse(name) => contenders::parse(bodies, kernel(name)),
        Task::Columns(name) | Task::Again(name) => shard.columns(bodies, kernel(name)),
    }
}
