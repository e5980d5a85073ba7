//! The `clusterkit` command: run a node, look into a running cluster, and see one form.
//!
//! `args` is the command line, `commands` what each command does, `demo` the guided tour. They ask a node through
//! `api` (typed calls) on `client` (HTTP), do their sums in `layout` and `hash`, and print through `output`.

mod api;
mod args;
mod client;
mod commands;
mod demo;
mod error;
mod hash;
mod interrupt;
mod layout;
mod option_flags;
mod output;
mod process_limits;

use std::io::Write;
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};

use crate::args::{Cli, Command};
use crate::error::{CliError, Result};
use crate::output::Out;

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let mut out = Out::stdout(cli.global.json);
    match check_addr(&cli, &matches).and_then(|()| commands::run(&cli, &mut out)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error, cli.global.json);
            error.exit_code()
        }
    }
}

/// `--addr` names a running node. Where a command talks to none, whoever writes it means something else, most
/// likely the address to listen on, and must not be left to find that out later.
fn check_addr(cli: &Cli, matches: &ArgMatches) -> Result<()> {
    let advice = match cli.command {
        Command::Serve(_) => "a node listens on --http-addr",
        Command::Demo(_) => "the demo starts its own nodes",
        Command::Completions { .. } => "completions need no node",
        _ => return Ok(()),
    };
    if matches.value_source("addr") == Some(ValueSource::CommandLine) {
        return Err(CliError::Usage(format!(
            "--addr names a running node to ask; {advice}"
        )));
    }
    Ok(())
}

/// Tells why the command failed. That nobody may be reading standard error any more is no further failure.
fn report(error: &CliError, json: bool) {
    let text = match error {
        CliError::BrokenPipe => return,
        error if json => error.to_json().to_string(),
        // What a node said is in it, and what people told the node.
        error => format!("clusterkit: {}", output::printable_lines(&error.to_string())),
    };
    let _ = writeln!(std::io::stderr(), "{text}");
}
