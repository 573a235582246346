//! Sealed tables as Parquet files without a lake around them, for tools, benches and other programs: the same sorting, the
//! same encoder, the same names, but nothing is synced and no manifest knows of the files.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::budget::{Budget, Consumer, Reservation};
use crate::catalog::Table;
use crate::table::SealedTable;

use super::encode::{Input, Origin, write_file};
use super::manifest::NodeId;
use super::partition::{DayPart, FileName, folder, split};
use super::{FileOptions, LakeError};

/// Where files go and what they say of their origin.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Files lie below it as below a data directory: `lake/<bucket>/<measurement>/day=YYYY-MM-DD/`.
    pub root: PathBuf,
    /// Part of the files' names, with the epoch: files of one day sort by epoch, and the later one wins.
    pub node: [u8; 8],
    pub epoch: u64,
    pub files: FileOptions,
}

/// A file that [`write_table`] has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFile {
    pub path: PathBuf,
    pub rows: u64,
    pub bytes: u64,
}

/// Writes the rows of one table to one Parquet file per UTC day, sorted, each point once. `parts` are what shards have sealed of
/// it, all in one epoch. Files become whole under their own names and are not synced: nobody should read the folders meanwhile.
/// What is held beside the parts is reserved from `budget`.
///
/// # Errors
/// A folder or file cannot be made or written; a file of the name is there already. Files of earlier days stay.
///
/// # Panics
/// The parts are of different tables.
pub fn write_table(
    parts: Vec<SealedTable>,
    to: &Destination,
    budget: &Arc<Budget>,
) -> Result<Vec<TableFile>, LakeError> {
    // Columns are for ever and in order of birth, so the longest schema has those of all parts.
    let columns = |part: &&SealedTable| part.table.tags.len() + part.table.fields.len();
    let Some(table) = parts.iter().max_by_key(columns).map(|part| Arc::clone(&part.table)) else {
        return Ok(Vec::new());
    };
    assert!(parts.iter().all(|part| part.table.id == table.id), "parts of one table");
    let mut days: BTreeMap<i64, Vec<Arc<DayPart>>> = BTreeMap::new();
    let mut held = Vec::new();
    for SealedTable { rows, memory, .. } in parts {
        held.push(memory);
        for (day, part) in split(rows) {
            days.entry(day).or_default().push(Arc::new(part));
        }
    }
    let mut memory = Reservation::new(budget, Consumer::Encoder);
    days.into_iter().map(|(day, parts)| write_day(&table, day, &parts, to, &mut memory)).collect()
}

fn write_day(
    table: &Table,
    day: i64,
    parts: &[Arc<DayPart>],
    to: &Destination,
    memory: &mut Reservation,
) -> Result<TableFile, LakeError> {
    let node = NodeId::new(to.node);
    let folder = to.root.join(folder(table, day));
    fs::create_dir_all(&folder).map_err(|source| failed("create", &folder, source))?;
    let path = folder.join(FileName::new(to.epoch, 0, node).to_string());
    if path.exists() {
        return Err(failed("write", &path, io::ErrorKind::AlreadyExists.into()));
    }
    let origin = Origin { node, epoch: to.epoch, first_epoch: to.epoch };
    let written = write_file(&Input { table, parts, origin, path: &path, sync: false, files: to.files }, memory);
    memory.set(0);
    match written {
        Ok(written) => Ok(TableFile { path, rows: written.rows, bytes: written.bytes }),
        Err(error) => {
            // Half a file is of no use to anybody; what failed is told, not that it could not be removed either.
            let _ = fs::remove_file(&path);
            Err(failed("write", &path, error.source))
        }
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> LakeError {
    LakeError::Io { action, path: path.to_owned(), source }
}
