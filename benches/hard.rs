//! Nothing is quadratic: bodies made to be hard, at n, 2n and 4n; the time per byte must not grow, nor the memory.
//!
//! ```text
//! cargo bench --bench hard                 every case with the fastest kernel and the portable one
//! cargo bench --bench hard -- quote        the cases with this word in their name
//!   --kernel NAME   one kernel
//!   --test          a sixteenth of the size
//! ```
//!
//! At full size (4n) a body has 25 MB, or a million of what it is about. A case is parsed into new tables and committed (or taken back, as
//! its bad lines or refused points demand), and has to end as it must. Shown are nanoseconds of processor time per byte of body at each size,
//! the growth from n to 4n (the best of several tries; 1 is linear, 4 quadratic), and at 4n the most memory held, and reserved from the
//! budget, per byte of body. The exit code is 1 if something grows by more than 1.6 times or holds more than stated.
#![allow(clippy::unwrap_used)]

#[path = "hard/cases.rs"]
mod cases;
#[path = "line/clock.rs"]
mod clock;
#[path = "hard/memory.rs"]
mod memory;

use std::process::ExitCode;
use std::time::Duration;

use ringest::budget::Budget;
use ringest::catalog::Catalog;
use ringest::line::{self, ErrorKind, Kernel, Options, Outcome, PADDING, Padded, Precision};
use ringest::table::{Rules, Tables, Unlogged};

use cases::{CASES, Case, Input, Size};
use clock::{cpu_time, pin};

#[global_allocator]
static ALLOCATOR: memory::Counted = memory::Counted;

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    Written { points: u64, dropped: u64 },
    Bad { errors: usize, more: bool, first: ErrorKind },
}

/// Most that the time per byte may grow from n to 4n. Caches and the processor's tables of pages, which hold n but not 4n, are in it.
const GROWTH_MAX: f64 = 1.6;
/// With `--test`, where times are short and vary more.
const TEST_GROWTH_MAX: f64 = 2.5;
/// Most memory held per byte of body, beside [`SLACK_BYTES`].
const HELD_PER_BYTE_MAX: f64 = 256.0;
/// Held however short a body is.
const SLACK_BYTES: usize = 4 << 20;
/// As large as needed: here memory is measured, not refused.
const BUDGET_BYTES: usize = 64 << 30;

/// Tries at each size, one after the other, so that the later ones find the allocator with the memory of the earlier; fewer if
/// they are long.
const TRIES: usize = 3;
const TRY_LONG: Duration = Duration::from_secs(15);
/// How often all sizes may be tried until the growth is small enough.
const ROUNDS_MAX: usize = 3;

/// A shard, and what is reserved for it.
struct Shard {
    _dir: tempfile::TempDir,
    catalog: Catalog,
    tables: Tables,
    budget: std::sync::Arc<Budget>,
    kernel: Kernel,
    requests: u64,
    /// The most that was reserved.
    reserved: usize,
}

impl Shard {
    fn new(kernel: Kernel) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(dir.path(), 0).unwrap();
        let budget = Budget::new(BUDGET_BYTES);
        catalog.count_in(&budget);
        let tables = Tables::new(&budget);
        Self { _dir: dir, catalog, tables, budget, kernel, requests: 0, reserved: 0 }
    }

    fn write(&mut self, body: Padded<'_>) -> Ends {
        self.requests += 1;
        let options = Options { kernel: self.kernel, precision: Precision::Nanosecond, default_time_ns: 0 };
        let rules = Rules { time_ns_min: None, retention: None };
        let mut writer = self.tables.writer("bench", &self.catalog, rules, body.len()).unwrap();
        let outcome = line::parse(body, options, &mut writer);
        self.reserved = self.reserved.max(self.budget.total());
        match outcome {
            Outcome::Complete { .. } => {
                let committed = writer.commit(&mut Unlogged(self.requests)).unwrap();
                Ends::Written { points: committed.points, dropped: committed.rejects.dropped }
            }
            Outcome::Bad { errors, more } => Ends::Bad { errors: errors.len(), more, first: errors[0].kind },
            Outcome::Stopped => panic!("the budget is too small for the bench"),
        }
    }
}

/// A case at one size, and the best of its tries so far.
struct Trial {
    input: Input,
    /// Bytes that are measured.
    bytes: usize,
    best: Duration,
    /// Bytes held and reserved at most.
    held: usize,
    reserved: usize,
}

impl Trial {
    fn new(mut input: Input) -> Self {
        let bytes = input.bodies.iter().map(Vec::len).sum();
        let pad = |body: &mut Vec<u8>| body.resize(body.len() + PADDING, 0);
        input.before.iter_mut().chain(&mut input.bodies).for_each(pad);
        Self { input, bytes, best: Duration::MAX, held: 0, reserved: 0 }
    }

    fn attempt(&mut self, name: &str, kernel: Kernel) {
        for _ in 0..TRIES {
            let time = self.attempt_once(name, kernel);
            self.best = self.best.min(time);
            if time > TRY_LONG {
                return;
            }
        }
    }

    fn attempt_once(&mut self, name: &str, kernel: Kernel) -> Duration {
        let mut shard = Shard::new(kernel);
        for body in &self.input.before {
            shard.write(Padded::new(body, body.len() - PADDING).unwrap());
        }
        if self.input.is_sealed {
            shard.tables.seal(false);
        }
        shard.reserved = 0;
        let reserved_before = shard.budget.total();
        let mut time = Duration::ZERO;
        let ends = self.input.ends;
        self.held = memory::peak_of(|| {
            time = cpu_time(|| {
                for body in &self.input.bodies {
                    let got = shard.write(Padded::new(body, body.len() - PADDING).unwrap());
                    assert_eq!(got, ends, "{name}");
                }
            });
        });
        self.reserved = shard.reserved - reserved_before;
        time
    }

    fn ns_per_byte(&self) -> f64 {
        self.best.as_secs_f64() * 1e9 / self.bytes as f64
    }
}

/// What a case showed; it says so itself.
fn measure(case: &Case, kernel: Kernel, is_test: bool) -> bool {
    let part = if is_test { 16 } else { 1 };
    let size = |times: usize| Size {
        bytes: times * 6_250_000 / part,
        count: times * 250_000 / part,
        columns: times * 15_000 / part,
    };
    let mut trials = [1, 2, 4].map(|times| Trial::new((case.make)(size(times))));
    let growth_max = if is_test { TEST_GROWTH_MAX } else { GROWTH_MAX };
    let growth = |trials: &[Trial; 3]| trials[2].ns_per_byte() / trials[0].ns_per_byte();
    // Noise is tried away, but not what is quadratic without doubt.
    let is_noisy = |growth: f64| growth > growth_max && growth < 2.0 * growth_max;
    for round in 0..ROUNDS_MAX {
        if round == 0 || is_noisy(growth(&trials)) {
            trials.iter_mut().for_each(|trial| trial.attempt(case.name, kernel));
        }
    }
    let [_, _, full] = &trials;
    let per_byte = |bytes: usize| bytes as f64 / full.bytes as f64;
    let [first, second, third] = trials.each_ref().map(Trial::ns_per_byte);
    let growth = growth(&trials);
    let too_slow = growth > growth_max;
    let too_large = full.held as f64 > HELD_PER_BYTE_MAX * full.bytes as f64 + SLACK_BYTES as f64;
    println!(
        "{:<48} {:<9} {:>9} {first:>9.2} {second:>9.2} {third:>9.2} {growth:>6.2} {:>9.2} {:>9.2}{}{}",
        case.name,
        kernel.name(),
        full.bytes,
        per_byte(full.held),
        per_byte(full.reserved),
        if too_slow { "  GROWS" } else { "" },
        if too_large { "  TOO LARGE" } else { "" },
    );
    !too_slow && !too_large
}

fn main() -> ExitCode {
    let mut kernels = vec![Kernel::fastest(), Kernel::PORTABLE];
    let (mut words, mut is_test) = (Vec::new(), false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--test" => is_test = true,
            "--bench" => {} // from cargo
            "--kernel" => match arguments.next().as_deref().and_then(Kernel::named) {
                Some(kernel) => kernels = vec![kernel],
                None => {
                    eprintln!(
                        "--kernel needs one of {:?}",
                        Kernel::available().iter().map(|kernel| kernel.name()).collect::<Vec<_>>()
                    );
                    return ExitCode::from(2);
                }
            },
            _ => words.push(argument),
        }
    }
    kernels.dedup();
    memory::keep_freed();
    pin();
    println!(
        "{:<48} {:<9} {:>9} {:>9} {:>9} {:>9} {:>6} {:>9} {:>9}",
        "", "kernel", "bytes", "ns/B n", "2n", "4n", "growth", "held/B", "reserved"
    );
    let mut fine = true;
    for case in
        CASES.iter().filter(|case| words.is_empty() || words.iter().any(|word| case.name.contains(word.as_str())))
    {
        for kernel in &kernels {
            fine &= measure(case, *kernel, is_test);
        }
    }
    ExitCode::from(u8::from(!fine))
}
