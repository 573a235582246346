//! `ringest convert`: line protocol files into a data directory, without a server.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;

use crate::budget;
use crate::config::{self, Basis};
use crate::tools::convert::{
    Conflict, ConvertError, Input, OnError, Options, Precision, Progress, Report, TableReport, convert,
};

const AFTER_HELP: &str = "Inputs are read in the order in which they are given, folders in the order of their paths. Of two lines that write one field of one \
                          point, the later one wins. Exit code 0: everything was read; 1: it ended early, and what is in the output then is told.";

/// Turn files of line protocol into the files of a data directory, without a server.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct ConvertArgs {
    /// Files of line protocol, plain or gzip; folders, with all that is in them; `-` is standard input. What `influx_inspect export`
    /// writes is understood.
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// The data directory that is made or added to; no node may run on it meanwhile.
    #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
    output: Option<PathBuf>,
    /// The bucket of all points. Without it the inputs must name it, by lines such as `# CONTEXT-DATABASE:name`.
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    bucket: Option<String>,
    /// The unit of timestamps: n, ns, u, us, µs, ms, s, m or h.
    #[arg(long, value_name = "UNIT", default_value = "ns", value_parser = precision)]
    precision: Precision,
    /// What happens at a line that is refused: one that is no line protocol, or whose field has another type.
    #[arg(long, value_name = "POLICY", default_value = "stop", value_parser = policies())]
    on_error: OnError,
    /// Read everything, write nothing, and tell the schema: measurements with their tags, fields and times, and conflicts of types. With
    /// --output, fields that are known there keep their types.
    #[arg(long)]
    dry_run: bool,
    /// Memory that the process may take [default: three quarters of what the cgroup or the machine has].
    #[arg(long, value_name = "SIZE", value_parser = config::memory_limit)]
    memory_limit: Option<usize>,
    /// Size of the open tables at which their points become files, at most an eighth of the memory: more makes fewer and larger files
    /// [default: 64MiB].
    #[arg(long, value_name = "SIZE", value_parser = config::flush_size)]
    flush_size: Option<usize>,
    /// Threads that parse, and as many that encode; fewer where memory is scarce [default: as many as there are cores].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

fn precision(name: &str) -> Result<Precision, String> {
    Precision::named(name).ok_or_else(|| format!("give one of {}", Precision::NAMES))
}

/// The policies by name, each with what `--help` says of it.
fn policies() -> impl TypedValueParser<Value = OnError> {
    let values = [
        ("stop", "the conversion ends there"),
        ("skip", "the line is left out; the first ones are shown"),
        ("collect", "likewise, and all such lines are written to a file in the output, with place and reason"),
    ];
    PossibleValuesParser::new(values.map(|(name, help)| PossibleValue::new(name).help(help))).map(|name| match &*name {
        "skip" => OnError::Skip,
        "collect" => OnError::Collect,
        _ => OnError::Stop,
    })
}

pub fn run(args: &ConvertArgs) -> Result<(), ConvertError> {
    let memory_bytes_max = args.memory_limit.unwrap_or_else(|| Basis::of_this_machine().memory_limit);
    budget::limit_freed_memory(memory_bytes_max);
    let bar = progress_bar();
    let mut options =
        Options::new().precision(args.precision).on_error(args.on_error).memory_bytes_max(memory_bytes_max);
    if let Some(output) = &args.output {
        options = options.output(output);
    }
    if let Some(bucket) = &args.bucket {
        options = options.bucket(bucket);
    }
    if let Some(threads) = args.threads {
        options = options.threads(threads.into());
    }
    if let Some(bytes) = args.flush_size {
        options = options.flush_bytes(bytes);
    }
    if args.dry_run {
        options = options.dry_run();
    }
    if !bar.is_hidden() {
        let bar = bar.clone();
        options = options.on_progress(move |progress| show(&bar, progress));
    }
    let converted = convert(args.inputs.iter().map(|path| Input::named(path)).collect(), &options);
    bar.finish_and_clear();
    let report = converted?;
    // A reader that has seen enough closes the pipe: no fault.
    let _ = io::stdout().write_all(Summary { args, report: &report }.to_string().as_bytes());
    Ok(())
}

/// On a terminal; hidden elsewhere.
fn progress_bar() -> ProgressBar {
    let target = if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    ProgressBar::with_draw_target(None, target).with_style(ProgressStyle::default_spinner())
}

fn show(bar: &ProgressBar, progress: Progress) {
    const KNOWN: &str = "{wide_bar} {percent}% {bytes} of {total_bytes}, {bytes_per_sec}, {msg}, {eta} left";
    const UNKNOWN: &str = "{spinner} {bytes}, {bytes_per_sec}, {msg}, {elapsed}";
    let seconds = bar.elapsed().as_secs_f64().max(0.001);
    bar.set_message(format!("{} lines/s", grouped((progress.lines as f64 / seconds) as u64)));
    if bar.length() != progress.bytes || bar.position() == 0 {
        let template = if progress.bytes.is_some() { KNOWN } else { UNKNOWN };
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        progress.bytes.into_iter().for_each(|bytes| bar.set_length(bytes));
    }
    bar.set_position(progress.bytes_read);
}

/// What is printed at the end.
struct Summary<'a> {
    args: &'a ConvertArgs,
    report: &'a Report,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { lines, points, bytes_read, refused, took, .. } = self.report;
        if self.args.dry_run {
            self.report.tables.iter().try_for_each(|table| f.write_str(&schema(table)))?;
        }
        self.conflicts(f)?;
        self.refused(f)?;
        let seconds = took.as_secs_f64();
        let rate = grouped((*lines as f64 / seconds.max(0.001)) as u64);
        writeln!(
            f,
            "{}, {}, {} refused, {} read in {seconds:.1} s: {rate} lines/s",
            counted(*lines, "line"),
            counted(*points, "point"),
            grouped(*refused),
            counted(*bytes_read, "byte")
        )?;
        match &self.args.output {
            _ if self.args.dry_run => f.write_str("nothing was written (--dry-run)\n"),
            Some(output) => {
                let Report { files, rows, file_bytes, .. } = self.report;
                let (files, rows) = (counted(*files, "file"), counted(*rows, "row"));
                let bytes = counted(*file_bytes, "byte");
                writeln!(f, "{files} with {rows}, {bytes}, in {}", output.join("lake").display())
            }
            None => Ok(()),
        }
    }
}

impl Summary<'_> {
    fn conflicts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Conflict { bucket, measurement, field, known, given, points, first } in &self.report.conflicts {
            let points = counted(*points, "refused point");
            writeln!(
                f,
                "conflict: bucket {bucket:?}, measurement {measurement:?}: field {field:?} is {known}, {given} in {points}, first \
                 at {first}"
            )?;
        }
        Ok(())
    }

    fn refused(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { refused, first_refused, collected, .. } = self.report;
        for line in first_refused {
            writeln!(f, "refused: {line}")?;
        }
        let more = refused - first_refused.len() as u64;
        if more > 0 {
            writeln!(f, "refused: {} more", counted(more, "line"))?;
        }
        match collected {
            Some(path) => {
                writeln!(f, "all refused lines are in {}, each with its place and the reason", path.display())
            }
            None => Ok(()),
        }
    }
}

/// A measurement as `--dry-run` shows it.
fn schema(table: &TableReport) -> String {
    let TableReport { bucket, measurement, tags, fields, points, first_ns, last_ns } = table;
    let mut text = format!(
        "bucket {bucket:?}, measurement {measurement:?}: {} from {} to {}\n",
        counted(*points, "point"),
        time(*first_ns),
        time(*last_ns)
    );
    let tags: Vec<String> = tags.iter().map(|tag| format!("{tag:?}")).collect();
    let fields: Vec<String> = fields.iter().map(|(field, kind)| format!("{field:?} {}", kind.name())).collect();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "  tags: {}", if tags.is_empty() { "none".to_owned() } else { tags.join(", ") });
    let _ = writeln!(text, "  fields: {}", fields.join(", "));
    text
}

fn time(ns: i64) -> String {
    Timestamp::from_nanosecond(i128::from(ns)).map_or_else(|_| ns.to_string(), |time| time.to_string())
}

/// `1 line`, `2 lines`.
fn counted(number: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// With a blank between each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three_digits() {
        assert_eq!([0, 999, 1_000, 12_345_678].map(grouped), ["0", "999", "1 000", "12 345 678"]);
    }
}
