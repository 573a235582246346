//! `ringest lake`: looks into the lake of a data directory, and takes lost files out of it.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;

use crate::config::Basis;
use crate::server::{self, ServerError};
use crate::tools::lake::{self, Cursor, LakeToolError, Wanted};

const BESIDE_A_NODE: &str = "Nothing is changed. It may be run beside a running node.";
const EPOCHS: &str = "Prints one JSON object, as GET /api/changes of a node does. Ask with its last_epoch the next time, and with its cursor if it has one: no change \
                      is missed then. \
                      Changes that have no epoch of their own (files in the place of others, expiry) may be told again; to apply them twice changes \
                      nothing.";

const FORGET: &str = "Their points are lost for good: restore the files from a backup instead if there is one. A damaged file that cannot be restored \
                      is first moved out of lake/. Without lost files a day is compacted as a whole again, and a start warns of none.";

#[derive(Debug, clap::Subcommand)]
pub enum LakeCommand {
    /// List tables with their files, rows, bytes, days and epochs.
    #[command(after_help = BESIDE_A_NODE)]
    List(ListArgs),
    /// Show the columns of tables: names, types, encodings, bytes, and which files lack which of them.
    #[command(after_help = BESIDE_A_NODE)]
    Describe(DescribeArgs),
    /// Read every file wholly and check it. Exit code 0: all is sound; 1: what is wrong, where, and what to do.
    #[command(after_help = BESIDE_A_NODE)]
    Verify(VerifyArgs),
    /// List the files that came into the lake and that left it, by epoch.
    #[command(after_help = EPOCHS)]
    Changes(ChangesArgs),
    /// Take lost files out of the lake: such as belong to it and are not there any more. The node must not run.
    #[command(after_help = FORGET)]
    Forget(ForgetArgs),
}

#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    place: Place,
    /// Only tables of this bucket.
    #[arg(long, value_name = "NAME")]
    bucket: Option<String>,
    /// Only tables of this measurement.
    #[arg(long, value_name = "NAME")]
    measurement: Option<String>,
    /// One line per file.
    #[arg(long)]
    files: bool,
    /// Only the paths of the files that state/manifest names, as it stands, whether they are there or not: what a copy of the lake is made of.
    #[arg(long, conflicts_with_all = ["files", "json"])]
    paths: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub struct DescribeArgs {
    #[command(flatten)]
    place: Place,
    /// Only tables of this bucket.
    bucket: Option<String>,
    /// Only the table of this measurement.
    measurement: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    place: Place,
    /// Only tables of this bucket.
    #[arg(long, value_name = "NAME")]
    bucket: Option<String>,
    /// Only tables of this measurement.
    #[arg(long, value_name = "NAME")]
    measurement: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub struct ChangesArgs {
    #[command(flatten)]
    place: Place,
    /// The last epoch that is known; 0: everything since the beginning.
    #[arg(long, value_name = "EPOCH", default_value_t = 0)]
    since: u64,
    /// Go on within a checkpoint: the "cursor" of the answer before, if it had one.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<Cursor>,
    /// End before an epoch when so many files are listed, but not before the first epoch; "more" says that there are others, and a "cursor" that
    /// they are of the same checkpoint.
    #[arg(long, value_name = "FILES", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub struct ForgetArgs {
    #[command(flatten)]
    place: Place,
    /// The files, as `lake verify` names them: relative to the data directory.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct Place {
    /// The node's data directory.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum LakeCommandError {
    #[error(transparent)]
    Lake(#[from] LakeToolError),
    #[error("cannot write the report as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("the lake is not sound; the list of its faults is on standard output")]
    Unsound,
}

pub fn run(command: &LakeCommand) -> Result<(), LakeCommandError> {
    let mut is_sound = true;
    let text = match command {
        LakeCommand::List(ListArgs { place, bucket, measurement, paths: true, .. }) => {
            lake::paths(&place.data_dir, &wanted(bucket, measurement))?
        }
        LakeCommand::List(ListArgs { place, bucket, measurement, files, json, .. }) => {
            let report = lake::list(&place.data_dir, &wanted(bucket, measurement), *files)?;
            if *json { report.to_json()? + "\n" } else { report.to_string() }
        }
        LakeCommand::Describe(DescribeArgs { place, bucket, measurement, json }) => {
            let report = lake::describe(&place.data_dir, &wanted(bucket, measurement))?;
            if *json { report.to_json()? + "\n" } else { report.to_string() }
        }
        LakeCommand::Verify(VerifyArgs { place, bucket, measurement, json }) => {
            let report = lake::verify(&place.data_dir, &wanted(bucket, measurement))?;
            is_sound = report.is_sound();
            if *json { report.to_json()? + "\n" } else { report.to_string() }
        }
        LakeCommand::Changes(ChangesArgs { place, since, cursor, limit }) => {
            let files_max = limit.and_then(|limit| usize::try_from(limit).ok());
            lake::changes(&place.data_dir, *since, *cursor, files_max)?.to_json()? + "\n"
        }
        LakeCommand::Forget(ForgetArgs { place, files }) => {
            let files: Vec<String> = files.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect();
            server::forget(&place.data_dir, &files, Basis::of_this_machine().memory_limit)?;
            format!(
                "{} out of the lake\n",
                if files.len() == 1 { "1 file is".into() } else { format!("{} files are", files.len()) }
            )
        }
    };
    // A reader that has seen enough closes the pipe: no fault.
    let _ = io::stdout().write_all(text.as_bytes());
    if is_sound { Ok(()) } else { Err(LakeCommandError::Unsound) }
}

fn wanted(bucket: &Option<String>, measurement: &Option<String>) -> Wanted {
    Wanted { bucket: bucket.clone(), measurement: measurement.clone() }
}
