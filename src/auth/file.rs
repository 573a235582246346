//! `<data-dir>/tokens`: the tokens as JSON. docs/FORMATS.md describes it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::token::Token;

const NAME: &str = "tokens";
/// What a write that was cut off leaves; the next one replaces it.
const NAME_ASIDE: &str = "tokens.new";

const VERSION: u32 = 1;

/// For nobody but the node and who runs it.
const MODE: u32 = 0o600;

/// Why the file of the tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "{} is no file of tokens (line {line}, column {column}); restore it from a backup, or move it away and make new tokens with \
         `ringest token create`",
        path.display()
    )]
    Damaged { path: PathBuf, line: usize, column: usize },
    #[error("{} has two tokens of the id {id}; take one of them out of the file", path.display())]
    Twice { path: PathBuf, id: String },
    #[error("{} has version {found}, and this ringest knows version {VERSION}; use the one that wrote it", path.display())]
    Version { path: PathBuf, found: u32 },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    version: u32,
    tokens: Vec<Token>,
}

/// What every version of the file has.
#[derive(Deserialize)]
struct AnyVersion {
    version: u32,
}

/// Where the tokens of a data directory are.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(NAME)
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Io { action, path, source }
}

/// The tokens of a data directory, in the order in which they were made; `None` if there is no file.
///
/// # Errors
/// The file cannot be read, or is none of ours.
pub fn read(data_dir: &Path) -> Result<Option<Vec<Token>>, FileError> {
    let path = path(data_dir);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", &path)(error)),
    };
    // What serde says may quote a value; the place is enough.
    let damaged = |error: serde_json::Error| FileError::Damaged {
        path: path.clone(),
        line: error.line(),
        column: error.column(),
    };
    let AnyVersion { version } = serde_json::from_slice(&text).map_err(damaged)?;
    if version != VERSION {
        return Err(FileError::Version { path, found: version });
    }
    let Contents { tokens, .. } = serde_json::from_slice(&text).map_err(damaged)?;
    for (index, token) in tokens.iter().enumerate() {
        if tokens[..index].iter().any(|earlier| earlier.id() == token.id()) {
            return Err(FileError::Twice { path, id: token.id().to_owned() });
        }
    }
    Ok(Some(tokens))
}

/// Changes the tokens of a data directory, which is made when it is missing. Others who change them wait meanwhile; who reads sees the old
/// file or the new one. After an error of `change` the file is as it was.
///
/// # Errors
/// Those of `change`, of reading, and of the disk.
pub fn edit<T, E: From<FileError>>(
    data_dir: &Path,
    change: impl FnOnce(&mut Vec<Token>) -> Result<T, E>,
) -> Result<T, E> {
    fs::create_dir_all(data_dir).map_err(failed("make the folder", data_dir))?;
    let folder = File::open(data_dir).map_err(failed("open the folder", data_dir))?;
    // The folder itself is what is locked: a file for that would have an owner, who may be another one than the next who comes.
    folder.lock().map_err(failed("lock the folder", data_dir))?;
    let mut tokens = read(data_dir)?.unwrap_or_default();
    let result = change(&mut tokens)?;
    write(data_dir, &folder, tokens)?;
    Ok(result)
}

fn write(data_dir: &Path, folder: &File, tokens: Vec<Token>) -> Result<(), FileError> {
    let (path, aside) = (path(data_dir), data_dir.join(NAME_ASIDE));
    let mut text = serde_json::to_vec_pretty(&Contents { version: VERSION, tokens })
        .map_err(|error| failed("write", &path)(error.into()))?;
    text.push(b'\n');
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &aside)(error)),
        _ => {}
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(MODE).open(&aside).map_err(failed("create", &aside))?;
    give_to_owner_of(folder, &file).map_err(failed("give to the folder's owner", &aside))?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed("write", &aside))?;
    fs::rename(&aside, &path).map_err(failed("replace", &path))?;
    folder.sync_all().map_err(failed("sync the folder", data_dir))
}

/// A node that does not run as root has to read what root has made for it.
fn give_to_owner_of(folder: &File, file: &File) -> io::Result<()> {
    let (folder, own) = (folder.metadata()?, file.metadata()?);
    match folder.uid() == own.uid() {
        true => Ok(()),
        false => fchown(file, Some(folder.uid()), Some(folder.gid())),
    }
}
