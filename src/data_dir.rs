//! One process per data directory, the node or a tool that writes there: `state/lock`, held by flock(2) and naming its holder's process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Why the data directory cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("the data directory {} is in use by {}; stop it or choose another directory (--data-dir of a node, --output of a conversion)", .dir.display(), Holder(*.pid))]
    Held { dir: PathBuf, pid: Option<u32> },
    #[error(
        "{} has data in {part}/ but no state/, without which it cannot be told what is published; put state/ back, or move {part}/ away \
         to start afresh",
        .dir.display()
    )]
    StateMissing { dir: PathBuf, part: &'static str },
    #[error("cannot use the data directory: {}: {error}; make it writable for this user or choose another directory (--data-dir of a node, --output of a conversion)", .path.display())]
    Io { path: PathBuf, error: io::Error },
}

struct Holder(Option<u32>);

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "another ringest (process {pid})"),
            None => f.write_str("another process"),
        }
    }
}

/// The right to a data directory; ends when dropped, or with the process, however that ends.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    state: PathBuf,
    /// Keeps the lock.
    _lock: File,
}

impl DataDir {
    /// Creates `dir` and `dir/state` where they are missing and locks them for this process.
    pub fn lock(dir: &Path) -> Result<Self, LockError> {
        let fault = |path: &Path| {
            let path = path.to_owned();
            move |error| LockError::Io { path, error }
        };
        let state = dir.join("state");
        refuse_lost_state(dir, &state)?;
        std::fs::create_dir_all(&state).map_err(fault(&state))?;
        let path = dir.canonicalize().map_err(fault(dir))?;
        let lock_path = state.join("lock");
        let mut options = OpenOptions::new();
        // Not truncated: what stands there names the holder.
        let mut lock =
            options.read(true).write(true).create(true).truncate(false).open(&lock_path).map_err(fault(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held { dir: path, pid: read_pid(&mut lock) }),
            Err(TryLockError::Error(error)) => return Err(LockError::Io { path: lock_path, error }),
        }
        write_pid(&mut lock).map_err(fault(&lock_path))?;
        let state = path.join("state");
        Ok(Self { path, state, _lock: lock })
    }

    /// Absolute, without symbolic links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn state(&self) -> &Path {
        &self.state
    }
}

fn refuse_lost_state(dir: &Path, state: &Path) -> Result<(), LockError> {
    if state.exists() {
        return Ok(());
    }
    for part in ["lake", "wal"] {
        let holds_data = std::fs::read_dir(dir.join(part)).is_ok_and(|mut entries| entries.next().is_some());
        if holds_data {
            return Err(LockError::StateMissing { dir: dir.to_owned(), part });
        }
    }
    Ok(())
}

fn read_pid(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_pid(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_with_the_pid_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::lock(dir.path()).unwrap();
        assert!(first.path().is_absolute());
        let refusal = DataDir::lock(dir.path()).unwrap_err().to_string();
        assert!(refusal.contains(&format!("process {}", std::process::id())), "{refusal}");
        drop(first);
        DataDir::lock(dir.path()).unwrap();
    }

    #[test]
    fn a_leftover_lock_file_of_a_killed_node_is_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("state")).unwrap();
        std::fs::write(dir.path().join("state/lock"), "4194304000\n").unwrap();
        DataDir::lock(dir.path()).unwrap();
        let text = std::fs::read_to_string(dir.path().join("state/lock")).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
    }

    #[test]
    fn published_data_without_state_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("lake/bucket")).unwrap();
        let refusal = DataDir::lock(dir.path()).unwrap_err();
        assert!(matches!(refusal, LockError::StateMissing { part: "lake", .. }), "{refusal}");
        assert!(!dir.path().join("state").exists(), "a second try must be refused too");
    }

    #[test]
    fn a_path_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refusal = DataDir::lock(&file.path().join("data")).unwrap_err().to_string();
        assert!(
            refusal.contains("choose another directory (--data-dir of a node, --output of a conversion)"),
            "{refusal}"
        );
    }
}
