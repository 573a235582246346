//! Work on the lake of a data directory that no node uses.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ServerError;
use crate::budget::Budget;
use crate::catalog::Catalog;
use crate::data_dir::DataDir;
use crate::lake::{self, Compacted, Extent, Lake};
use crate::metrics::Metrics;

/// How long the lake's threads get to end.
const END: Duration = Duration::from_secs(10);

/// Merges the committed files of `data_dir`, as few as possible for each table and day. The log is not looked at: what it holds beyond them is
/// for the next start of a node.
///
/// # Errors
/// There is no lake, another process uses it, or not everything could be merged.
pub fn compact(data_dir: &Path, memory_bytes_max: usize) -> Result<Compacted, ServerError> {
    let (lake, _lock) = open(data_dir, memory_bytes_max)?;
    let compacted = lake.compact(Extent::All).blocking_recv();
    lake.finish(Instant::now() + END)?;
    compacted
        .unwrap_or_else(|_| Err("the lake has stopped".to_owned()))
        .map_err(|reason| ServerError::Compaction { reason })
}

/// Takes files out of the lake of `data_dir` that are lost: `files`, relative to it, are committed and not there.
///
/// # Errors
/// There is no lake, or another process uses it; one of the files is there, or no part of the lake: nothing has changed then.
pub fn forget(data_dir: &Path, files: &[String], memory_bytes_max: usize) -> Result<(), ServerError> {
    let (lake, _lock) = open(data_dir, memory_bytes_max)?;
    let forgotten = lake.forget(files);
    lake.finish(Instant::now() + END)?;
    forgotten.map_err(|reason| ServerError::Forgetting { reason })
}

fn open(data_dir: &Path, memory_bytes_max: usize) -> Result<(Lake, DataDir), ServerError> {
    // To lock it would make it.
    if !data_dir.join("state/manifest").exists() {
        return Err(ServerError::NoLake { path: data_dir.to_owned() });
    }
    let data_dir = DataDir::lock(data_dir)?;
    let budget = Budget::of_process(memory_bytes_max);
    let metrics = Metrics::new(&budget);
    let inspected = lake::inspect(data_dir.path())?;
    let catalog = Arc::new(Catalog::open(data_dir.state(), inspected.catalog_bytes_min())?);
    let options = lake::Options::new(1, 1);
    let lake = Lake::start(inspected, options, catalog, metrics, budget, Box::new(|_, _| {}))?;
    Ok((lake, data_dir))
}
