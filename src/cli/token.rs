//! `ringest token`: the tokens of a data directory.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::ArgGroup;

use super::tell;
use crate::config;
use crate::tools::token::{self, Quota, TokenToolError, Wanted};

const HUP: &str = "A running node takes the change when it gets SIGHUP.";

#[derive(Debug, clap::Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it alone on standard output. It is kept nowhere else: it cannot be shown again.
    #[command(after_help = HUP)]
    Create(CreateArgs),
    /// List the tokens: their ids, names, buckets and quotas.
    List(Place),
    /// Take a token away.
    #[command(after_help = HUP)]
    Revoke(RevokeArgs),
}

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("scope").required(true).multiple(true))]
pub struct CreateArgs {
    #[command(flatten)]
    place: Place,
    /// What people call it; no two tokens share a name.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Buckets that it may write to and create; * stands for any text. May be given several times.
    #[arg(long, value_name = "PATTERN", group = "scope")]
    write: Vec<String>,
    /// Buckets that it may read. May be given several times.
    #[arg(long, value_name = "PATTERN", group = "scope")]
    read: Vec<String>,
    /// Bytes of bodies per second that it may send, such as 10MB, or inf; without it the node's default-quota holds.
    #[arg(long, value_name = "SIZE|inf", value_parser = quota)]
    quota: Option<Quota>,
}

#[derive(Debug, clap::Args)]
pub struct RevokeArgs {
    #[command(flatten)]
    place: Place,
    /// The token's id, or its name.
    #[arg(value_name = "ID|NAME")]
    token: String,
}

#[derive(Debug, clap::Args)]
pub struct Place {
    /// The node's data directory.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum TokenCommandError {
    #[error(transparent)]
    Token(#[from] TokenToolError),
    #[error(
        "the token {id} was made but could not be printed: {error}; nobody has it, revoke it with `ringest token revoke`"
    )]
    Lost { id: String, error: io::Error },
}

fn quota(text: &str) -> Result<Quota, String> {
    Ok(config::quota(text)?.map_or(Quota::Unlimited, |bytes| Quota::BytesPerSecond(bytes as u64)))
}

pub fn run(command: &TokenCommand) -> Result<(), TokenCommandError> {
    match command {
        TokenCommand::Create(args) => create(args),
        TokenCommand::List(Place { data_dir }) => {
            // A reader that has seen enough closes the pipe: no fault.
            let _ = io::stdout().write_all(token::list(data_dir)?.to_string().as_bytes());
            Ok(())
        }
        TokenCommand::Revoke(RevokeArgs { place: Place { data_dir }, token }) => {
            let token = token::revoke(data_dir, token)?;
            tell(format_args!("revoked {} ({}). {HUP}", token.id(), token.name()));
            Ok(())
        }
    }
}

fn create(args: &CreateArgs) -> Result<(), TokenCommandError> {
    let CreateArgs { place: Place { data_dir }, name, write, read, quota } = args;
    let wanted = Wanted { name, write, read, quota: quota.unwrap_or(Quota::Default) };
    let (token, plain) = token::create(data_dir, &wanted)?;
    let mut out = io::stdout();
    let printed = writeln!(out, "{}", plain.as_str()).and_then(|()| out.flush());
    printed.map_err(|error| TokenCommandError::Lost { id: token.id().to_owned(), error })?;
    tell(format_args!("made {} ({}); it cannot be shown again. {HUP}", token.id(), token.name()));
    Ok(())
}
