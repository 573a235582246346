//! Why a conversion ends early, and what it leaves.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::catalog::CatalogError;
use crate::data_dir::LockError;
use crate::lake::LakeError;
use crate::wal::WalError;

/// A line of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's path as it was given, or what a reader was named.
    pub input: Arc<str>,
    /// Physical line, from 1: blank lines, comments and those inside of strings count.
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.input, self.line)
    }
}

/// A conversion that ended early: why, and how much of the input is in the output all the same.
#[derive(Debug)]
pub struct ConvertError {
    pub cause: Box<Cause>,
    pub kept: Kept,
    /// The file that holds the lines that were refused until then, if they were collected and there are any.
    pub collected: Option<PathBuf>,
}

/// What of the input an early end leaves in the output: always all that stands before some line, and nothing behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    Nothing,
    /// Everything before this place.
    Before(Place),
    /// All of it.
    Whole,
    /// It is not certain: the lake has not ended in order.
    Unknown,
    /// There was nothing to be written.
    DryRun,
}

/// Why a conversion ended early.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    #[error("{place}: {reason}: {text}")]
    Refused { place: Place, reason: Box<str>, text: String },
    #[error(
        "{place}: no bucket is known for this line; give --bucket NAME (no line \"# CONTEXT-DATABASE:name\" stands before it in the file)"
    )]
    NoBucket { place: Place },
    #[error(
        "{place}: the line is longer than {bytes_max} bytes, which are kept for one under this memory limit; raise it"
    )]
    LineTooLong { place: Place, bytes_max: usize },
    #[error("cannot read {input}: {source}")]
    Read { input: Arc<str>, source: io::Error },
    #[error("{place}: the gzip file is damaged or cut off behind this line: {source}")]
    Gzip { place: Place, source: io::Error },
    #[error("{} is neither a file nor a folder that can be read: {source}", path.display())]
    Input { path: PathBuf, source: io::Error },
    #[error("the output {} lies in the input {}: its files are no line protocol; choose another output", output.display(), input.display())]
    OutputInInput { output: PathBuf, input: PathBuf },
    #[error("an output is needed, unless nothing is to be written (dry run)")]
    NoOutput,
    #[error(transparent)]
    DataDir(#[from] LockError),
    #[error(transparent)]
    Log(#[from] WalError),
    #[error(
        "{} holds a log with requests that may not be published yet; start the node once (ringest serve --data-dir {}) and stop it, which \
         publishes them, then convert", wal.display(), data_dir.display()
    )]
    Unpublished { wal: PathBuf, data_dir: PathBuf },
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error("{0}")]
    Publish(Arc<str>),
    #[error("cannot write refused lines to {}: {source}", path.display())]
    Collect { path: PathBuf, source: io::Error },
    #[error("a thread of the conversion has panicked: this is a fault of ringest, please report it")]
    Panicked,
}

impl fmt::Display for ConvertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)?;
        if let Some(path) = &self.collected {
            write!(f, "\nThe lines that were refused until then are in {}.", path.display())?;
        }
        match &self.kept {
            Kept::Nothing => f.write_str("\nNothing was converted: the output is as it was."),
            Kept::Before(place) => write!(
                f,
                "\nEverything before {place} is in the output, and nothing from there on; converting it once more does no harm."
            ),
            Kept::Whole => f.write_str("\nEverything else is in the output."),
            Kept::Unknown => f.write_str(
                "\nHow much of the input is in the output is not certain; converting it once more does no harm.",
            ),
            Kept::DryRun => Ok(()),
        }
    }
}

impl std::error::Error for ConvertError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The cause's own text is in this one's.
        std::error::Error::source(&*self.cause)
    }
}
