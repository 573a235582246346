//! `ringest load`: the load generator.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::{SignedDuration, Timestamp};

use super::ask::{self, AskError};
use super::generate;
use crate::config;
use crate::tools::load::{self, LoadError, Options, Report, Source};
use crate::tools::workload::Kind;

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("source").required(true).args(["kind", "file"])))]
#[command(group(clap::ArgGroup::new("end").required(true).multiple(true).args(["duration", "lines"])))]
pub struct LoadArgs {
    /// Shape of the data, as `ringest generate` makes it.
    #[arg(value_parser = generate::kinds())]
    kind: Option<Kind>,
    /// Send the line protocol of a file instead.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The server: ringest, or any other with /write.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8086")]
    url: String,
    /// Database, or bucket, that is written to.
    #[arg(long, value_name = "NAME", default_value = "load")]
    db: String,
    /// Path and query of the requests, instead of /write?db=NAME&precision=ns.
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// A further header of each request.
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<String>,
    /// File with a token that may write.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Send CREATE DATABASE first, for servers that want it.
    #[arg(long)]
    create: bool,
    /// Connections.
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    connections: u32,
    /// Lines per request.
    #[arg(long, value_name = "N", default_value = "5000", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    batch: u32,
    /// Compress the requests.
    #[arg(long)]
    gzip: bool,
    /// Requests that a connection sends before it waits for an answer.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pipeline: u32,
    /// Lines per second, whatever the server does (open loop); without it each connection sends as fast as it is answered.
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    /// Stop after this time.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Stop after so many lines.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    lines: Option<u64>,
    /// Machines, trucks or sensors that report.
    #[arg(long, value_name = "N", default_value = "4000", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    hosts: u32,
    /// Start of the random numbers.
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,
    /// Time of the first points (RFC 3339) [default: an hour ago].
    #[arg(long, value_name = "TIME")]
    start: Option<Timestamp>,
    /// Time between two reports of one host.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// Memory for requests, which are made beforehand. When they are used up they are sent again with later timestamps, but for
    /// compressed ones and those of a file.
    #[arg(long, value_name = "SIZE", default_value = "512MiB", value_parser = config::size)]
    prepared: usize,
    /// The server's process on this machine: its CPU seconds and peak memory are reported.
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Have the node publish everything at the end; its CPU seconds then count that too.
    #[arg(long)]
    flush: bool,
    /// Print JSON, with a line for every second of the run.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum LoadCommandError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Server(#[from] AskError),
    #[error("https is not spoken here; give the address of a port without TLS")]
    Secure,
    #[error(
        "the times of this data do not fit into 64 bits of nanoseconds; choose --start and --interval nearer to now"
    )]
    Time,
    #[error("no request was answered with success")]
    Nothing,
    #[error("cannot write the report as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

pub fn run(args: &LoadArgs) -> Result<(), LoadCommandError> {
    let options = options(args)?;
    let bar = bar(&options);
    let report = load::load(&options, |elapsed, lines, requests| {
        bar.set_position(options.lines.map_or(elapsed.as_millis() as u64, |_| lines));
        let rate = lines as f64 / elapsed.as_secs_f64().max(f64::EPSILON);
        bar.set_message(format!("{lines} lines in {requests} requests, {rate:.0} lines/s"));
    });
    bar.finish_and_clear();
    let report: Report = report?;
    let text = if args.json { serde_json::to_string(&report)? + "\n" } else { report.to_string() };
    // A reader that has seen enough closes the pipe: no fault.
    let _ = io::stdout().write_all(text.as_bytes());
    if report.lines == 0 { Err(LoadCommandError::Nothing) } else { Ok(()) }
}

/// On a terminal only; elsewhere nothing is shown but the report.
fn bar(options: &Options) -> ProgressBar {
    let length = options.lines.map(|lines| lines as u64).or(options.duration.map(|time| time.as_millis() as u64));
    let bar = ProgressBar::new(length.unwrap_or(0));
    match ProgressStyle::with_template("{elapsed_precise} {bar:30} {percent}% {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn options(args: &LoadArgs) -> Result<Options, LoadCommandError> {
    let (authority, is_secure) = ask::authority(&args.url)?;
    if is_secure {
        return Err(LoadCommandError::Secure);
    }
    let mut headers = args.headers.clone();
    if let Some(path) = &args.token_file {
        headers.push(format!("Authorization: Token {}", ask::token(Path::new(path))?));
    }
    let query = form_urlencoded::byte_serialize(args.db.as_bytes()).collect::<String>();
    Ok(Options {
        source: source(args)?,
        authority,
        target: args.target.clone().unwrap_or_else(|| format!("/write?db={query}&precision=ns")),
        headers,
        connections: args.connections as usize,
        batch: args.batch as usize,
        gzip: args.gzip,
        pipeline: args.pipeline as usize,
        rate: args.rate,
        duration: args.duration,
        lines: args.lines.map(|lines| lines as usize),
        prepared_bytes_max: args.prepared,
        pid: args.pid,
        flush: args.flush,
        create: args.create.then(|| args.db.clone()),
    })
}

fn source(args: &LoadArgs) -> Result<Source, LoadCommandError> {
    let kind = match (args.kind, &args.file) {
        (None, Some(path)) => return Ok(Source::File(path.clone())),
        (kind, _) => kind.unwrap_or(Kind::Cpu),
    };
    let start = args
        .start
        .unwrap_or_else(|| Timestamp::now().saturating_sub(SignedDuration::from_hours(1)).unwrap_or_default());
    let start_ns = i64::try_from(start.as_nanosecond()).map_err(|_| LoadCommandError::Time)?;
    let interval_ns = i64::try_from(args.interval.as_nanos()).map_err(|_| LoadCommandError::Time)?;
    Ok(Source::Workload { kind, hosts: args.hosts as usize, seed: args.seed, start_ns, interval_ns })
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if rate.is_finite() && rate > 0.0 { Ok(rate) } else { Err("must be more than 0".to_owned()) }
}

fn header(text: &str) -> Result<String, String> {
    let is_plain = !text.contains(|c: char| c.is_control());
    match text.split_once(':') {
        Some((name, _)) if is_plain && !name.is_empty() => Ok(text.to_owned()),
        _ => Err("must look like `Name: value`".to_owned()),
    }
}
