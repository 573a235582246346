//! The folder of the log.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::super::WalError;
use super::super::format::{EXTENSION, parse_segment_name};
use super::blocks::Blocks;
use super::candidate::read_header;

/// A file that is called like a segment.
#[derive(Debug)]
pub(super) struct Name {
    pub path: PathBuf,
    pub life: u64,
    pub number: u32,
}

#[derive(Debug, Default)]
pub(super) struct Listing {
    /// By life and number.
    pub segments: Vec<Name>,
    pub ignored: Vec<PathBuf>,
}

/// What lies in `dir`; nothing if it does not exist.
///
/// # Errors
/// The folder cannot be read, or something in it ends like a segment and is none: it may be one under another name.
pub(super) fn list(dir: &Path) -> Result<Listing, WalError> {
    let failed = |source| WalError::Io { action: "read", path: dir.to_owned(), source };
    let mut listing = Listing::default();
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(listing),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default();
        match name.to_str().and_then(parse_segment_name) {
            Some((life, number)) if !path.is_dir() => listing.segments.push(Name { path, life, number }),
            None if !name.as_encoded_bytes().ends_with(EXTENSION.as_bytes()) => listing.ignored.push(path),
            _ => return Err(WalError::Stray { path }),
        }
    }
    listing.segments.sort_by_key(|name| (name.life, name.number));
    listing.ignored.sort();
    Ok(listing)
}

/// Whether `dir` holds a segment, used or not; a missing folder holds none.
///
/// # Errors
/// As for [`super::inspect`], where the folder is concerned.
pub fn has_segments(dir: &Path) -> Result<bool, WalError> {
    Ok(!list(dir)?.segments.is_empty())
}

/// Removes every segment in `dir`, durably: a later start finds an empty log.
///
/// A crash in between leaves the end of the log, never a part without its middle: segments go in the order of the log, each durably
/// before the next.
///
/// # Errors
/// A file cannot be removed, or the folder cannot be synced.
pub fn remove(dir: &Path) -> Result<(), WalError> {
    for path in in_log_order(dir)? {
        fs::remove_file(&path).map_err(|source| WalError::Io { action: "remove", path, source })?;
        let sync = File::open(dir).and_then(|dir| dir.sync_all());
        sync.map_err(|source| WalError::Io { action: "sync", path: dir.to_owned(), source })?;
    }
    Ok(())
}

/// The segments, those without a header first.
pub(super) fn in_log_order(dir: &Path) -> Result<Vec<PathBuf>, WalError> {
    let mut segments = Vec::new();
    for name in list(dir)?.segments {
        let header = read_header(&mut Blocks::open(&name.path)?)?.ok();
        segments.push((name.life, header.map(|header| header.first_sequence), name.path));
    }
    segments.sort();
    Ok(segments.into_iter().map(|(_, _, path)| path).collect())
}
