//! The node as a whole: the order in which its parts are born, and in which they end.
//!
//! Birth: signals, data directory, tokens, manifest (read), catalog, lake (with its recovery), io_uring, port, shards, replay of the log,
//! the log itself, start line. While the log is replayed the port is open and writes get 503. What fails stops the start with a sentence.
//!
//! Death: accepting ends, idle connections close, requests in flight are finished (or cut), each shard leaves its last epoch, the
//! lake publishes it, the log is written out and what the lake has of it removed, the data directory is released.

mod conn;
mod connections;
mod durable;
mod epoch;
mod feed;
mod linger;
mod node;
mod offline;
mod places;
mod recovery;
mod reload;
mod request_id;
mod shard;
mod signal;
#[cfg(test)]
mod tests;
mod unsettled;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, unbounded};
use rustix::process::{Resource, Rlimit};

use crate::auth::FileError;
use crate::budget::{self, Budget, Consumer};
use crate::catalog::{Catalog, CatalogError};
use crate::config::{Auth, Compaction, Config};
use crate::data_dir::{DataDir, LockError};
use crate::lake::{self, Lake, LakeError};
use crate::metrics::Metrics;
use crate::net::{BindError, Bound, Ring, RingError, Tls, TlsError};
use crate::table::names_bytes_max;
use crate::wal::WalError;
use crate::write::{self, Gate, Keeper, Readiness, RejectQueue};

use node::{Life, Node};
use places::Places;
use recovery::RecoveryError;
use signal::{Stop, Watch};

pub use crate::lake::Compacted;
pub use offline::{compact, forget};
pub use signal::{EarlyHangups, heed_hangups};

/// How long a port that is taken is asked for again.
const PORT_WAIT: Duration = Duration::from_secs(2);
const PORT_STEP: Duration = Duration::from_millis(10);

/// Connections get this part of the shutdown's time; the rest is the lake's.
const CONNECTIONS_SHARE: u32 = 2;

/// Open files that are no connections: those of the log, the lake and the state, and those of each shard's ring and listener.
const DESCRIPTORS_RESERVED: usize = 256;
const DESCRIPTORS_PER_SHARD: usize = 8;

/// Cut connections end as soon as their task runs; longer than this it takes only if something is wrong.
const CUT_GRACE: Duration = Duration::from_secs(5);

/// Why the node did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error(transparent)]
    DataDir(#[from] LockError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error(transparent)]
    Tokens(#[from] FileError),
    #[error(transparent)]
    Ring(#[from] RingError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the system refused {what} that the node needs: {error}; look at its limits (ulimit -a, cgroup pids.max)")]
    System { what: &'static str, error: io::Error },
    #[error(transparent)]
    Log(#[from] WalError),
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    #[error(
        "{} is no data directory with published files: it has no state/manifest; give the folder that --data-dir of the node names",
        path.display()
    )]
    NoLake { path: PathBuf },
    #[error("not everything was compacted: {reason}")]
    Compaction { reason: String },
    #[error("nothing was taken out of the lake: {reason}")]
    Forgetting { reason: String },
    #[error("{0}")]
    Poisoned(Arc<str>),
    #[error("{count} shards did not end within {} s after their connections were cut; what they held is not published", CUT_GRACE.as_secs())]
    Stuck { count: usize },
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> ServerError {
    move |error| ServerError::System { what, error }
}

/// Runs the node until a signal stops it; `early` are the SIGHUPs since the process began.
///
/// # Errors
/// It could not start, or could not publish everything before it ended.
pub fn run(config: Config, early: &EarlyHangups) -> Result<(), ServerError> {
    abort_on_panic();
    let Watch { stops: signals, hangups } = signal::watch(early).map_err(system("signal handlers"))?;
    let Crowd { taken, turned_away } = cap_connections(&config, raise_descriptor_limit());
    let config = Config { connections_max: taken, ..config };
    let data_dir = DataDir::lock(&config.data_dir)?;
    let (drained_sender, drained) = unbounded();
    let mut node = Node::open(config, &data_dir, drained_sender)?;
    node.refusals = Places::new(turned_away);
    let node = Arc::new(node);
    reload::follow(hangups, node.context.gate.clone(), node.tls.clone()).map_err(system("a thread"))?;
    Ring::probe()?;
    let bound = bind(node.context.config.listen)?;
    tracing::info!(address = %bound.address(), "the port is open");
    let shards = start_shards(&node, &bound)?;
    let stop = match recovery::run(&node, data_dir.path(), &signals)? {
        Some(stop) => stop,
        None => {
            say_started(&node, &data_dir, &bound);
            serve(&node, &signals)
        }
    };
    let began = Instant::now();
    node.set_life(Life::Stopping);
    tracing::info!(signal = stop.name(), "stopping: finishing requests and publishing what is in memory");
    end_shards(&node, &bound, &drained, shards, began)?;
    finish(node, began)
}

/// Listens, if need be after the kernel has taken the rings of a killed process apart, whose last accept holds the port for a moment. Another
/// node on this data directory there is not: this one holds its lock.
fn bind(address: SocketAddr) -> Result<Bound, BindError> {
    let give_up = Instant::now() + PORT_WAIT;
    loop {
        match Bound::bind(address) {
            Err(error) if error.is_in_use() && Instant::now() < give_up => std::thread::sleep(PORT_STEP),
            result => return result,
        }
    }
}

/// The last steps, by the only thread that is left of those that serve.
fn finish(node: Arc<Node>, began: Instant) -> Result<(), ServerError> {
    if let Some(failure) = node.log_failure() {
        // What the lake has of the last epoch may be a part of it. The log has the rest, as far as it could be written.
        return Err(ServerError::Poisoned(failure));
    }
    let timeout = node.context.config.shutdown_timeout;
    let is_recovered = node.context.keeper.is_open();
    if let Some(Node { context, lake, rejects_thread, .. }) = Arc::into_inner(node) {
        // Its thread ends with the last who can send to it.
        drop(context.rejects);
        lake.finish(began + timeout)?;
        if let Some(Err(_)) = rejects_thread.map(JoinHandle::join) {
            tracing::warn!("the thread that keeps refused lines has panicked");
        }
        if let Some(log) = Arc::into_inner(context.keeper).and_then(Keeper::into_log) {
            log.finish();
        }
    }
    match is_recovered {
        true => tracing::info!("stopped: everything is published"),
        false => tracing::warn!(
            "stopped before the log was replayed: what is in it is not published; the next start replays it"
        ),
    }
    Ok(())
}

impl Node {
    fn open(
        config: Config,
        data_dir: &DataDir,
        drained: crossbeam::channel::Sender<usize>,
    ) -> Result<Self, ServerError> {
        let gate = match config.auth {
            Auth::Off => None,
            Auth::Required => Some(Arc::new(Gate::open(data_dir.path(), config.default_quota)?)),
        };
        budget::limit_freed_memory(config.memory_bytes_max);
        let budget = Budget::of_process(config.memory_bytes_max);
        let metrics = Metrics::new(&budget);
        let tls = open_tls(&config, &budget)?;
        tls.as_deref().into_iter().for_each(reload::warn_of_identity);
        // Nothing of the lake is changed before the catalog has proved to hold what its committed files rely on.
        let inspected = lake::inspect(data_dir.path())?;
        recovery::check_state(data_dir.path(), &inspected)?;
        let catalog = Arc::new(Catalog::open(data_dir.state(), inspected.catalog_bytes_min())?);
        catalog.count_in(&budget);
        warn_of_names(&budget);
        let keeper = Arc::new(Keeper::default());
        let files = lake::FileOptions { page_index: config.page_index };
        let compacts = config.compaction == Compaction::Auto;
        let options = lake::Options { compacts, files, ..lake::Options::new(config.lake_threads, config.shards) };
        let mut lake = Lake::start(
            inspected,
            options,
            Arc::clone(&catalog),
            Arc::clone(&metrics),
            Arc::clone(&budget),
            recovery::frees_log(&keeper),
        )?;
        lake.expire(lake::ExpiryOptions { on: config.expiry, buckets: config.buckets.clone() })?;
        metrics.set_durability(config.durability.name());
        let kernel = write::kernel(config.simd);
        let readiness = Arc::new(Readiness::new(node::now_ns()));
        let (rejects, rejects_thread) = keep_rejects(&config, data_dir, &metrics, &budget)?.unzip();
        let config = Arc::new(config);
        let context = write::Context { config, catalog, metrics, budget, kernel, keeper, readiness, gate, rejects };
        let mut node = Self::new(context, lake, drained);
        node.tls = tls;
        node.rejects_thread = rejects_thread;
        Ok(node)
    }
}

/// `None`: the port is plain. (That only one of the two files is named, the configuration has refused.)
fn open_tls(config: &Config, budget: &Arc<Budget>) -> Result<Option<Arc<Tls>>, TlsError> {
    let (Some(certificate), Some(key)) = (&config.tls_cert, &config.tls_key) else { return Ok(None) };
    Ok(Some(Arc::new(Tls::open(certificate, key, budget)?)))
}

/// The thread that keeps refused lines, where a bucket asks for it, and the way to it.
fn keep_rejects(
    config: &Config,
    data_dir: &DataDir,
    metrics: &Arc<Metrics>,
    budget: &Arc<Budget>,
) -> Result<Option<(RejectQueue, JoinHandle<()>)>, ServerError> {
    let keeps = |bucket: &str| config.buckets.settings(bucket).is_some_and(|settings| settings.rejects);
    if !config.buckets.configured().any(keeps) {
        return Ok(None);
    }
    let options = lake::RejectOptions {
        data_dir: data_dir.path().to_owned(),
        bytes_max: config.rejects_bytes_max as u64,
        interval: config.flush_interval,
    };
    let (sender, thread) = lake::keep_rejects(options, Arc::clone(metrics))?;
    Ok(Some((RejectQueue { sender, budget: Arc::clone(budget), metrics: Arc::clone(metrics) }, thread)))
}

/// A panic ends the process: what its thread held cannot be trusted, and a restart repairs it. Not so in the lake's threads: a
/// job that panics has changed nothing, its rows are still there, and the lake says so.
fn abort_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        let is_lake = std::thread::current().name().is_some_and(|name| name.starts_with(lake::THREAD_NAME));
        if !is_lake {
            std::process::abort();
        }
    }));
}

/// One descriptor per connection: takes all that the hard limit gives. Returns the limit in force; `None`: there is none.
fn raise_descriptor_limit() -> Option<u64> {
    let Rlimit { current, maximum } = rustix::process::getrlimit(Resource::Nofile);
    match rustix::process::setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::debug!(%error, "the limit of open files stays as it is");
            current
        }
    }
}

/// So many connections at once, served and told that they are not.
#[derive(Debug, PartialEq, Eq)]
struct Crowd {
    taken: usize,
    turned_away: usize,
}

/// The caps on connections in force: what was asked for, or what the limit of open files leaves.
fn cap_connections(config: &Config, descriptors_max: Option<u64>) -> Crowd {
    let asked = config.connections_max;
    let all = Crowd { taken: asked, turned_away: node::REFUSALS_MAX };
    let Some(descriptors_max) = descriptors_max.and_then(|limit| usize::try_from(limit).ok()) else { return all };
    let Crowd { taken, turned_away } = connections_that_fit(descriptors_max, config.shards);
    if taken < asked {
        tracing::warn!(
            asked,
            taken,
            turned_away,
            open_files_max = descriptors_max,
            "fewer connections than max-connections are taken: the system allows too few open files; raise its limit (ulimit -n, LimitNOFILE=)"
        );
    }
    Crowd { taken: taken.min(asked), turned_away }
}

/// How many connections leave enough files for the log and the lake, which get half of a limit of a few hundred files. Those that are turned
/// away hold files too, until they have understood.
fn connections_that_fit(descriptors_max: usize, shards: usize) -> Crowd {
    let reserved = (DESCRIPTORS_RESERVED + shards * DESCRIPTORS_PER_SHARD).min(descriptors_max / 2);
    let left = descriptors_max - reserved;
    let turned_away = node::REFUSALS_MAX.min(left / 4);
    Crowd { taken: (left - turned_away).max(1), turned_away }
}

fn start_shards(node: &Arc<Node>, bound: &Bound) -> Result<Vec<JoinHandle<()>>, ServerError> {
    let count = node.context.config.shards;
    let (ready_sender, ready) = unbounded();
    let mut threads = Vec::with_capacity(count);
    for index in 0..count {
        let (node, bound, ready) = (Arc::clone(node), bound.share()?, ready_sender.clone());
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(|error| system("random numbers")(io::Error::other(error.to_string())))?;
        let body = move || match Ring::new() {
            Ok(ring) => {
                // Main has given up when nobody listens, and the process ends.
                let _ = ready.send(Ok(()));
                ring.block_on(shard::run(node, index, seed, bound));
            }
            Err(error) => drop(ready.send(Err(error))),
        };
        let thread = std::thread::Builder::new().name(format!("shard-{index}")).spawn(body);
        threads.push(thread.map_err(system("a thread"))?);
    }
    drop(ready_sender);
    ready.iter().take(count).collect::<Result<(), RingError>>()?;
    Ok(threads)
}

fn warn_of_names(budget: &Budget) {
    let (bytes, bytes_max) = (budget.held_by(Consumer::Catalog), names_bytes_max(budget));
    if bytes > bytes_max {
        tracing::warn!(
            bytes,
            bytes_max,
            "the names of measurements and columns fill their share of memory-limit: points that bring new ones are refused; raise it"
        );
    }
}

fn say_started(node: &Node, data_dir: &DataDir, bound: &Bound) {
    let config = &node.context.config;
    tracing::info!(
        listen = %bound.address(),
        data_dir = %data_dir.path().display(),
        simd = node.context.kernel.name(),
        durability = config.durability.name(),
        auth = config.auth.name(),
        tls = node.tls.is_some(),
        shards = config.shards,
        lake_threads = config.lake_threads,
        memory_limit_bytes = config.memory_bytes_max,
        "ringest is ready"
    );
    if node.context.gate.as_ref().is_some_and(|gate| gate.is_empty()) {
        tracing::warn!(
            "there are no tokens, so nobody can write: make one with `ringest token create`, then send this process SIGHUP"
        );
    }
}

/// Flushes on time, until a signal comes.
fn serve(node: &Node, signals: &Receiver<Stop>) -> Stop {
    let mut due = Instant::now() + node.context.config.flush_interval;
    loop {
        match signals.recv_deadline(due) {
            Ok(stop) => return stop,
            // The signal thread never ends.
            Err(RecvTimeoutError::Disconnected) => return Stop::default(),
            Err(RecvTimeoutError::Timeout) => {}
        }
        due = Instant::now() + node.context.config.flush_interval;
        // A quiet node makes no epochs.
        if node.epochs.has_written() {
            node.flush();
        }
    }
}

fn end_shards(
    node: &Node,
    bound: &Bound,
    drained: &Receiver<usize>,
    shards: Vec<JoinHandle<()>>,
    began: Instant,
) -> Result<(), ServerError> {
    if let Err(error) = bound.shut_down() {
        tracing::warn!(%error, "the listening socket could not be shut down");
    }
    let cut_at = began + node.context.config.shutdown_timeout / CONNECTIONS_SHARE;
    let mut waiting = vec![true; shards.len()];
    if !wait_drained(drained, &mut waiting, cut_at) {
        tracing::warn!("cutting the connections that have not finished in time");
        node.set_life(Life::Cutting);
        if !wait_drained(drained, &mut waiting, Instant::now() + CUT_GRACE) {
            return Err(ServerError::Stuck { count: waiting.iter().filter(|waits| **waits).count() });
        }
    }
    // The last epoch: the shards see it when they see that the node ends.
    node.flush();
    node.set_life(Life::Ending);
    for thread in shards {
        // A panic would have ended the process.
        let _ = thread.join();
    }
    Ok(())
}

/// Whether every shard has reported by `deadline`; `waiting` says which ones have still to.
fn wait_drained(drained: &Receiver<usize>, waiting: &mut [bool], deadline: Instant) -> bool {
    while waiting.contains(&true) {
        match drained.recv_deadline(deadline) {
            Ok(shard) => waiting[shard] = false,
            Err(_) => return false,
        }
    }
    true
}
