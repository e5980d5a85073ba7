//! The `clusterkit` command: run a node, look into a running cluster, and see one form.
//!
//! A library, so that the packages for other languages bring the command without a second program: [`run`] is what
//! `main` calls here, and what `python -m clusterkit` calls there.
//!
//! `args` is the command line, `commands` what each command does, `demo` the guided tour. They ask a node through
//! `api` (typed calls) on `client` (HTTP), do their sums in `layout` and `hash`, and print through `output`.

mod api;
mod args;
mod client;
mod commands;
mod credentials;
mod demo;
mod error;
mod hash;
mod interrupt;
mod layout;
mod option_flags;
mod output;
mod process_limits;

use std::ffi::OsString;
use std::io::Write;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};

use crate::args::{Cli, Command};
use crate::credentials::Credentials;
use crate::error::{CliError, Result};
use crate::output::Out;

/// Runs the command with `arguments`, without the name of a program, and returns the code that the process is to end
/// with. `program` is the command line that starts this program: `clusterkit demo` starts its nodes by it.
///
/// It is the whole of a process: it writes to standard output and error, a command that has something to clean up
/// handles SIGINT, SIGTERM and SIGHUP from then on, and a second signal, or a stop that takes too long, ends the
/// process at once. A host that has a handler of its own for these sets them to their default first.
pub fn run(program: &[OsString], arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let line = std::iter::once(OsString::from("clusterkit")).chain(arguments);
    let parsed = Cli::command()
        .try_get_matches_from(line)
        .and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (mut cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            // That nobody may be reading any more is no further failure.
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    let mut out = Out::stdout(cli.global.json);
    let run = check_addr(&cli, &matches).and_then(|()| {
        cli.global.credentials = Credentials::of(&cli.global)?;
        commands::run(&cli, program, &mut out)
    });
    match run {
        Ok(()) => 0,
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
        Command::Certs(_) => "certificates are made without one",
        Command::Completions { .. } => "completions need no node",
        Command::Secret | Command::Token(_) => "no node is asked",
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
