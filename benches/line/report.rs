//! What was measured, as text and as JSON.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

/// What a contender did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    Newlines,
    Crate,
    /// With the kernel of this name.
    Scan(&'static str),
    Parse(&'static str),
    Columns(&'static str),
    /// Columns of a shard that has taken the same bodies before.
    Again(&'static str),
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newlines => f.write_str("newlines (memchr)"),
            Self::Crate => f.write_str("influxdb-line-protocol"),
            Self::Scan(kernel) => write!(f, "scan, {kernel}"),
            Self::Parse(kernel) => write!(f, "parse, {kernel}"),
            Self::Columns(kernel) => write!(f, "columns, {kernel}"),
            Self::Again(kernel) => write!(f, "columns again, {kernel}"),
        }
    }
}

/// One data set.
pub struct Measured {
    pub set: &'static str,
    pub bytes: usize,
    pub lines: usize,
    pub bodies: usize,
    /// Share of the points that came as foreseen.
    pub foreseen: f64,
    /// The processor time of every round.
    pub times: Vec<(Task, Vec<Duration>)>,
}

impl Measured {
    /// Names of the kernels, in the order of measuring.
    pub fn kernels(&self) -> impl Iterator<Item = &'static str> {
        self.times.iter().filter_map(|(task, _)| if let Task::Columns(kernel) = task { Some(*kernel) } else { None })
    }

    /// GB/s of the best round.
    pub fn speed(&self, task: Task) -> Option<f64> {
        Some(self.gb_per_second(*self.sorted(task)?.first()?))
    }

    /// GB/s of the median round.
    fn median_speed(&self, task: Task) -> Option<f64> {
        let times = self.sorted(task)?;
        Some(self.gb_per_second(*times.get(times.len() / 2)?))
    }

    fn sorted(&self, task: Task) -> Option<Vec<Duration>> {
        let (_, times) = self.times.iter().find(|(measured, _)| *measured == task)?;
        let mut times = times.clone();
        times.sort_unstable();
        Some(times)
    }

    fn gb_per_second(&self, time: Duration) -> f64 {
        self.bytes as f64 / time.as_secs_f64() / 1e9
    }

    /// Million lines per second at `speed` GB/s.
    fn lines_at(&self, speed: f64) -> f64 {
        speed * 1e3 * self.lines as f64 / self.bytes as f64
    }

    pub fn to_json(&self) -> Value {
        let tasks = self.times.iter().map(|(task, times)| {
            let seconds: Vec<f64> = times.iter().map(Duration::as_secs_f64).collect();
            json!({
                "task": task.to_string(),
                "gb_per_second": self.speed(*task),
                "median_gb_per_second": self.median_speed(*task),
                "million_lines_per_second": self.speed(*task).map(|speed| self.lines_at(speed)),
                "seconds": seconds,
            })
        });
        json!({
            "data": self.set,
            "bytes": self.bytes,
            "lines": self.lines,
            "bodies": self.bodies,
            "foreseen": self.foreseen,
            "tasks": tasks.collect::<Vec<_>>(),
        })
    }
}

/// A column of speeds: best and median.
struct Speed<'a>(&'a Measured, Task);

impl fmt::Display for Speed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.speed(self.1), self.0.median_speed(self.1)) {
            (Some(best), Some(median)) => {
                write!(f, "{best:>7.3} ({median:>6.3}) {:>7.3}", self.0.lines_at(best))
            }
            _ => write!(f, "{:>24}", "-"),
        }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { set, bytes, lines, bodies, foreseen, .. } = self;
        let foreseen = foreseen * 100.0;
        writeln!(
            f,
            "{set}: {bytes} bytes, {lines} lines, {bodies} bodies; {foreseen:.2} % of the lines on the fast path"
        )?;
        writeln!(f, "  {:<24}{}", Task::Newlines.to_string(), Speed(self, Task::Newlines))?;
        writeln!(f, "  {:<24}{}", Task::Crate.to_string(), Speed(self, Task::Crate))?;
        for kernel in self.kernels() {
            let (scan, parse, columns) = (Task::Scan(kernel), Task::Parse(kernel), Task::Columns(kernel));
            let again = Task::Again(kernel);
            let times = |than| self.speed(columns).zip(self.speed(than)).map_or(0.0, |(ours, theirs)| ours / theirs);
            writeln!(
                f,
                "  {kernel:<9} scan {} | parse {} | columns {} | {:>5.1} x crate, {:.3} x newlines | again {}",
                Speed(self, scan),
                Speed(self, parse),
                Speed(self, columns),
                times(Task::Crate),
                times(Task::Newlines),
                Speed(self, again),
            )?;
        }
        Ok(())
    }
}
