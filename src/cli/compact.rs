//! `ringest compact`: has a running node merge its files, or merges those of a data directory that no node uses.

use std::io::{self, Write};
use std::path::PathBuf;

use super::ask::{self, AskError, NodeArgs};
use crate::config::Basis;
use crate::server::{self, Compacted, ServerError};

#[derive(Debug, clap::Args)]
pub struct CompactArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// The data directory of a node that does not run, instead of asking one that does. Its log stays as it is, for the next start.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["url", "token_file", "ca"])]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("the node answered {answer:?}, which this version of ringest does not understand: {error}")]
    Answer { answer: String, error: serde_json::Error },
}

pub fn run(args: &CompactArgs) -> Result<(), CompactError> {
    let compacted = match &args.data_dir {
        Some(data_dir) => server::compact(data_dir, Basis::of_this_machine().memory_limit)?,
        None => {
            let answer = ask::post(&args.node, "/api/compact")?;
            let read: Result<Compacted, _> = serde_json::from_str(&answer);
            read.map_err(|error| CompactError::Answer { answer, error })?
        }
    };
    // A reader that has seen enough closes the pipe: no fault.
    let _ = writeln!(io::stdout(), "{compacted}");
    Ok(())
}
