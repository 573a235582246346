//! The command line: what the binary offers, and the exit codes.

mod ask;
mod compact;
mod convert;
mod generate;
mod lake;
mod load;
mod token;
mod wal;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::ValueParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::config::{self, Config, Loaded, LogFormat, OPTIONS, ServeArgs};
use crate::server::{self, EarlyHangups};

/// Something failed while the program ran.
const FAILED: u8 = 1;
/// The command line or the configuration is wrong; nothing was started.
const REFUSED: u8 = 2;

/// Ingest node for Linux: InfluxDB line protocol over HTTP in, sorted and deduplicated Parquet out.
#[derive(Debug, Parser)]
#[command(name = "ringest", version)]
struct Cli {
    #[command(subcommand)]
    command: Commands,
}

#[derive(Debug, Subcommand)]
enum Commands {
    /// Run the node.
    #[command(after_help = SOURCES)]
    Serve(ServeArgs),
    /// Print the configuration that serve would run with, as TOML, and where each value comes from.
    #[command(after_help = SOURCES)]
    CheckConfig(ServeArgs),
    /// Have a running node publish everything that it has acknowledged, and wait until that is done.
    Flush(ask::NodeArgs),
    /// Merge the files of the lake, as few as possible for each table and day: by a running node, or in a data directory without one.
    Compact(compact::CompactArgs),
    /// Turn files of line protocol into the files of a data directory, without a server.
    Convert(convert::ConvertArgs),
    /// Write line protocol of a made-up fleet to standard output; the same arguments give the same bytes.
    Generate(generate::GenerateArgs),
    /// Look into the lake of a data directory: its tables and files, whether they are sound, and what has changed.
    #[command(subcommand)]
    Lake(lake::LakeCommand),
    /// Drive a server with writes, and measure it.
    Load(load::LoadArgs),
    /// Make, list and revoke the tokens that a node with auth = required asks for.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Look into the log of a data directory.
    #[command(subcommand)]
    Wal(wal::WalCommand),
}

const SOURCES: &str = "Every option is also an environment variable (--data-dir is RINGEST_DATA_DIR) and a key of the TOML file \
                       given by --config or RINGEST_CONFIG (data-dir). A flag beats the environment, the environment the file.";

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    // The first thing that a node does; other commands end at SIGHUP, as programs do.
    let is_node = args.get(1).is_some_and(|command| command == "serve");
    match is_node.then(server::heed_hangups).transpose() {
        Ok(early) => run_with(args, &early.unwrap_or_default()),
        Err(error) => done(Err(format!("the system refused a handler for SIGHUP: {error}"))),
    }
}

fn run_with(args: Vec<OsString>, early: &EarlyHangups) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to tell when even this cannot be printed.
            let _ = error.print();
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked { ExitCode::SUCCESS } else { REFUSED.into() };
        }
    };
    match cli.command {
        Commands::Serve(args) => with_configuration(&args, |loaded| serve(loaded, early)),
        Commands::CheckConfig(args) => with_configuration(&args, |loaded| {
            // A reader that has seen enough closes the pipe: no fault.
            let _ = io::stdout().write_all(loaded.to_toml().as_bytes());
            ExitCode::SUCCESS
        }),
        Commands::Flush(args) => done(ask::post(&args, "/api/flush").map(drop)),
        Commands::Compact(args) => done(compact::run(&args)),
        Commands::Convert(args) => {
            start_warnings();
            done(convert::run(&args))
        }
        Commands::Generate(args) => done(generate::run(&args)),
        Commands::Lake(command) => done(lake::run(&command)),
        Commands::Load(args) => done(load::run(&args)),
        Commands::Token(command) => done(token::run(&command)),
        Commands::Wal(command) => done(wal::run(&command)),
    }
}

fn with_configuration(args: &ServeArgs, run: impl FnOnce(Loaded) -> ExitCode) -> ExitCode {
    match config::load(args) {
        Ok(loaded) => run(loaded),
        Err(error) => {
            tell(format_args!("{error}"));
            REFUSED.into()
        }
    }
}

fn serve(loaded: Loaded, early: &EarlyHangups) -> ExitCode {
    start_logging(&loaded.config);
    done(server::run(loaded.config, early))
}

fn done<E: fmt::Display>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(format_args!("ringest: {error}"));
            FAILED.into()
        }
    }
}

/// A line on standard error, if it can be written.
fn tell(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn start_logging(config: &Config) {
    // A log that nobody reads any more, or a full disk, ends no node: what cannot be written is lost, and there is no place to say so.
    let lines = tracing_subscriber::fmt().log_internal_errors(false).with_env_filter(EnvFilter::new(&config.log));
    let lines = lines.with_writer(io::stderr);
    // Colours are for terminals; NO_COLOR turns them off there too.
    let lines = if io::stderr().is_terminal() { lines } else { lines.with_ansi(false) };
    match config.log_format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}

/// What the lake has to say of a data directory that a tool writes to.
fn start_warnings() {
    let lines = tracing_subscriber::fmt().log_internal_errors(false).with_env_filter(EnvFilter::new("warn"));
    lines.with_writer(io::stderr).with_ansi(false).init();
}

const CONFIG_ID: &str = "config";

/// By hand, because the options are listed in `config` only.
impl Args for ServeArgs {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new(CONFIG_ID)
            .long(CONFIG_ID)
            .value_name("FILE")
            .value_parser(ValueParser::path_buf())
            .help("TOML file with options");
        OPTIONS.iter().fold(command.arg(file), |command, option| {
            let help = format!("{} [default: {}]", option.help.trim(), option.default);
            // What a value must look like is judged by config, the same for every source.
            let arg = Arg::new(option.key).long(option.key).value_name(option.placeholder).help(help);
            command.arg(match option.placeholder {
                // A switch: its name alone says true.
                "true|false" => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
                _ => arg.allow_hyphen_values(true),
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ServeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.config = matches.get_one::<PathBuf>(CONFIG_ID).cloned();
        let given = |key| Some((key, matches.get_one::<String>(key)?.clone()));
        self.flags = OPTIONS.iter().filter_map(|option| given(option.key)).collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_option_is_a_flag_of_serve_and_check_config() {
        for command in ["serve", "check-config"] {
            for option in OPTIONS {
                let cli = Cli::try_parse_from(["ringest", command, &format!("--{}=x", option.key)]).unwrap();
                let (Commands::Serve(args) | Commands::CheckConfig(args)) = cli.command else { panic!("{command}") };
                assert_eq!(args.flags, [(option.key, "x".to_owned())]);
            }
        }
    }
}
