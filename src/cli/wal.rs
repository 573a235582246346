//! `ringest wal`: looks into the log of a data directory.

use std::io::{self, Write};
use std::path::PathBuf;

use crate::tools::wal::{self, WalToolError};

const BESIDE_A_NODE: &str = "Nothing is changed. It may be run beside a running node, whose last group may then show as torn: it is being written.";

#[derive(Debug, clap::Subcommand)]
pub enum WalCommand {
    /// Show what the log holds: segments, groups, records, and what is torn or damaged.
    #[command(after_help = BESIDE_A_NODE)]
    Inspect(InspectArgs),
    /// Check every byte of the log. Exit code 0: a start would take it (a torn tail is reported); 1: it is damaged, and where.
    #[command(after_help = BESIDE_A_NODE)]
    Verify(VerifyArgs),
}

#[derive(Debug, clap::Args)]
pub struct InspectArgs {
    #[command(flatten)]
    place: Place,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
struct Place {
    /// The node's data directory.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum WalCommandError {
    #[error(transparent)]
    Log(#[from] WalToolError),
    #[error("cannot write the report as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

pub fn run(command: &WalCommand) -> Result<(), WalCommandError> {
    let text = match command {
        WalCommand::Inspect(InspectArgs { place, json: true }) => wal::inspect(&place.data_dir)?.to_json()? + "\n",
        WalCommand::Inspect(InspectArgs { place, json: false }) => wal::inspect(&place.data_dir)?.to_string(),
        WalCommand::Verify(VerifyArgs { place }) => {
            let report = wal::verify(&place.data_dir)?;
            format!("the log is sound: {}\n{}", report.summary(), report.remarks())
        }
    };
    // A reader that has seen enough closes the pipe: no fault.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(())
}
