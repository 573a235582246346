//! `ringest load`: drives any server with `/write` and measures it.
//!
//! One thread with many connections, bodies made beforehand: the generator must cost far less than the server that it drives
//! (docs/BENCHMARKS.md has the figures). Closed loop: each connection keeps a number of requests on their way. Open loop: requests are due at a fixed
//! rate, and latency counts from there ([`pace`]).

mod answer;
mod bodies;
mod connection;
mod pace;
mod probe;
mod process;
mod report;
mod run;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::workload::{Kind, Workload};
use bodies::{Bodies, Cut};
use probe::Probe;
use run::Run;

pub use report::{Latencies, Quantiles, Report, Second, Server};

/// What is sent.
#[derive(Clone, Debug)]
pub enum Source {
    /// `hosts` that report at `start_ns` and then every `interval_ns` (nanoseconds).
    Workload { kind: Kind, hosts: usize, seed: u64, start_ns: i64, interval_ns: i64 },
    /// Line protocol in a file, as it is.
    File(PathBuf),
}

/// A run.
#[derive(Clone, Debug)]
pub struct Options {
    pub source: Source,
    /// `host:port`.
    pub authority: String,
    /// Path and query of the requests.
    pub target: String,
    /// Each `Name: value`.
    pub headers: Vec<String>,
    pub connections: usize,
    /// Lines per request.
    pub batch: usize,
    pub gzip: bool,
    /// Requests that a connection sends before it waits for an answer.
    pub pipeline: usize,
    /// Lines per second of an open loop; `None`: a closed loop.
    pub rate: Option<f64>,
    /// What ends the run, whichever comes first.
    pub duration: Option<Duration>,
    pub lines: Option<usize>,
    /// Most bytes of requests that are prepared.
    pub prepared_bytes_max: usize,
    /// The server's process on this machine.
    pub pid: Option<u32>,
    /// Have a ringest node publish what it has at the end, within the measurement.
    pub flush: bool,
    /// Send `CREATE DATABASE` first, with this name.
    pub create: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read {}: {error}", path.display())]
    Input { path: PathBuf, error: io::Error },
    #[error("there is no line protocol in {}", path.display())]
    Empty { path: PathBuf },
    #[error("cannot prepare the requests: {0}")]
    Prepare(io::Error),
    #[error("{authority} is no address: {error}")]
    Address { authority: String, error: io::Error },
    #[error("cannot reach a server at {address}: {error}; check that it runs and that --url is its address")]
    Unreachable { address: SocketAddr, error: io::Error },
    #[error("lost {address} {times} times in a row: {error}")]
    Lost { address: SocketAddr, times: u32, error: io::Error },
    #[error("the server answered {status} to {what}: {text}")]
    Refused { what: String, status: u16, text: String },
    #[error("cannot tell what process {pid} uses: {error}; --pid names the server's process on this machine")]
    Process { pid: u32, error: io::Error },
    #[error("the system refused {what}: {error}")]
    System { what: &'static str, error: io::Error },
}

/// Prepares the requests and sends them. `progress` is told the seconds since the begin, and the lines and requests answered so far, now and then.
///
/// # Errors
/// The input cannot be read, or the server cannot be reached or is lost again and again. Answers that are no success are no error: the report
/// counts them.
pub fn load(options: &Options, progress: impl FnMut(Duration, u64, u64)) -> Result<Report, LoadError> {
    let mut bodies = prepare(options)?;
    let mut run = Run::connect(options)?;
    run.create()?;
    let used = |pid| process::cpu_time(pid).map_err(|error| LoadError::Process { pid, error });
    let before = (options.pid.map(used).transpose()?, own_cpu_time()?);
    let probe = Probe::start().map_err(|error| LoadError::System { what: "a thread", error })?;
    let mut report = run.drive(&mut bodies, &probe, progress)?;
    drop(probe);
    report.own_cpu_seconds = (own_cpu_time()? - before.1).as_secs_f64();
    report.flush_seconds = run.flush()?;
    if let (Some(pid), Some(begin)) = (options.pid, before.0) {
        let cpu_seconds = (used(pid)? - begin).as_secs_f64();
        let peak = process::peak_resident_bytes(pid).map_err(|error| LoadError::Process { pid, error })?;
        let lines_per_cpu_second = report.lines as f64 / cpu_seconds.max(f64::EPSILON);
        report.server = Some(Server { cpu_seconds, lines_per_cpu_second, peak_resident_bytes: peak });
    }
    Ok(report)
}

fn own_cpu_time() -> Result<Duration, LoadError> {
    let pid = std::process::id();
    process::cpu_time(pid).map_err(|error| LoadError::Process { pid, error })
}

fn prepare(options: &Options) -> Result<Bodies, LoadError> {
    let Options { batch, lines, prepared_bytes_max, gzip, .. } = *options;
    let cut = Cut { batch: batch.max(1), lines, bytes_max: prepared_bytes_max, gzip };
    match &options.source {
        Source::Workload { kind, hosts, seed, start_ns, interval_ns } => {
            let mut workload = Workload::new(*kind, *hosts, *seed, *start_ns, *interval_ns);
            // One that is on its way cannot be changed, so that there must be more of them.
            let least = options.connections * options.pipeline + 1;
            Bodies::generate(&mut workload, cut, *interval_ns, least).map_err(LoadError::Prepare)
        }
        Source::File(path) => {
            let text = std::fs::read(path).map_err(|error| LoadError::Input { path: path.clone(), error })?;
            let bodies = Bodies::of_text(&text, cut).map_err(LoadError::Prepare)?;
            if bodies.is_empty() { Err(LoadError::Empty { path: path.clone() }) } else { Ok(bodies) }
        }
    }
}
