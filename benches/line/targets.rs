//! How fast the parser has to be.

use super::report::{Measured, Task};

/// Body to committed columns is at least `times` as fast as a yardstick.
pub struct Target {
    /// A data set, or each.
    set: Option<&'static str>,
    kernel: Which,
    than: Yardstick,
    times: f64,
}

#[derive(Clone, Copy)]
enum Which {
    Fastest,
    Named(&'static str),
}

#[derive(Clone, Copy)]
enum Yardstick {
    Crate,
    Newlines,
    /// The columns of this kernel.
    Kernel(&'static str),
}

const fn of_crate(set: &'static str, times: f64) -> Target {
    Target { set: Some(set), kernel: Which::Fastest, than: Yardstick::Crate, times }
}

pub const TARGETS: [Target; 15] = [
    of_crate("cpu", 20.0),
    of_crate("devops", 20.0),
    of_crate("fleet", 20.0),
    of_crate("iot", 15.0),
    of_crate("logs", 10.0),
    of_crate("escapes", 10.0),
    of_crate("wide", 10.0),
    of_crate("sparse", 10.0),
    of_crate("reordered", 10.0),
    of_crate("doubles", 6.0),
    of_crate("series", 4.0),
    of_crate("churn", 4.0),
    Target { set: Some("cpu"), kernel: Which::Fastest, than: Yardstick::Newlines, times: 0.1 },
    Target { set: Some("cpu"), kernel: Which::Named("portable"), than: Yardstick::Crate, times: 6.0 },
    Target { set: None, kernel: Which::Named("avx2"), than: Yardstick::Kernel("avx512"), times: 0.8 },
];

impl Target {
    /// What `measured` says of the target: how it is kept or missed; `None` if it was not measured.
    pub fn judge(&self, measured: &Measured) -> Option<Verdict> {
        if self.set.is_some_and(|set| set != measured.set) {
            return None;
        }
        let kernel = match self.kernel {
            // Kernels are measured from the fastest down.
            Which::Fastest => measured.kernels().next()?,
            Which::Named(name) => name,
        };
        let than = match self.than {
            Yardstick::Crate => Task::Crate,
            Yardstick::Newlines => Task::Newlines,
            Yardstick::Kernel(name) => Task::Columns(name),
        };
        let times = measured.speed(Task::Columns(kernel))? / measured.speed(than)?;
        let kept = times >= self.times;
        let relation = if kept { "at least" } else { "not" };
        let text = format!("{}, {kernel}: {times:.2} times {than}, {relation} {}", measured.set, self.times);
        Some(Verdict { kept, text })
    }
}

pub struct Verdict {
    pub kept: bool,
    pub text: String,
}
