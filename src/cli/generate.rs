//! `ringest generate`: the workload generator, written to standard output.

use std::io::{self, Write};
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use jiff::Timestamp;

use crate::tools::workload::{Kind, Workload};

/// Lines made between two writes.
const LINES_PER_WRITE: usize = 5_000;

#[derive(Debug, clap::Args)]
pub struct GenerateArgs {
    /// Shape of the data.
    #[arg(value_parser = kinds())]
    kind: Kind,
    /// Machines, trucks or sensors that report.
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    hosts: u32,
    /// Lines to write.
    #[arg(long, value_name = "N", default_value = "10000")]
    lines: usize,
    /// Start of the random numbers.
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,
    /// Time of the first points (RFC 3339).
    #[arg(long, value_name = "TIME", default_value = "2026-01-01T00:00:00Z")]
    start: Timestamp,
    /// Time between two reports of one host.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    interval: Duration,
}

/// The kinds by name, each with what `--help` says of it.
pub fn kinds() -> impl TypedValueParser<Value = Kind> {
    let values = Kind::ALL.map(|kind| PossibleValue::new(kind.name()).help(kind.about()));
    PossibleValuesParser::new(values).try_map(|name| Kind::named(&name).ok_or("no such kind"))
}

#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    #[error(
        "the times of this data do not fit into 64 bits of nanoseconds; choose --start and --interval nearer to now"
    )]
    Time,
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

/// Ends quietly when nobody reads on.
pub fn run(args: &GenerateArgs) -> Result<(), GenerateError> {
    match write_all(args, &mut io::stdout().lock()) {
        Err(GenerateError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

fn write_all(args: &GenerateArgs, out: &mut impl Write) -> Result<(), GenerateError> {
    let start_ns = i64::try_from(args.start.as_nanosecond()).map_err(|_| GenerateError::Time)?;
    let interval_ns = i64::try_from(args.interval.as_nanos()).map_err(|_| GenerateError::Time)?;
    let mut workload = Workload::new(args.kind, args.hosts as usize, args.seed, start_ns, interval_ns);
    let mut text = Vec::new();
    let mut missing = args.lines;
    while missing > 0 {
        let lines = missing.min(LINES_PER_WRITE);
        text.clear();
        workload.write_lines(lines, &mut text);
        out.write_all(&text)?;
        missing -= lines;
    }
    out.flush()?;
    Ok(())
}
