//! One module for each command, or for a few that only read.

mod bench;
mod certs;
mod completions;
mod data;
mod health;
mod keys;
mod leave;
mod locate;
mod manage;
mod moves;
mod partitions;
mod print_options;
mod secrets;
mod security;
mod serve;
mod show;

pub(crate) use keys::read_keys;
pub(crate) use serve::ReadyRecord;

use std::ffi::OsString;

use crate::api::Api;
use crate::args::{Cli, Command};
use crate::demo;
use crate::error::Result;
use crate::output::Out;

/// Does what the command line says. `program` starts this program.
pub(crate) fn run(cli: &Cli, program: &[OsString], out: &mut Out) -> Result<()> {
    let global = &cli.global;
    let api = || Api::of(global);
    match &cli.command {
        Command::Serve(args) => serve::run(args, out),
        Command::Demo(args) => demo::run(args, program, out),
        Command::Status => show::status(&mut api()?, global, out),
        Command::Health(args) => health::run(args, global, out),
        Command::Nodes => show::nodes(&mut api()?, out),
        Command::Leader => show::leader(&mut api()?, out),
        Command::Partitions(args) => partitions::run(args, &mut api()?, out),
        Command::Locate(args) => locate::run(args, &mut api()?, out),
        Command::Rebalance(args) => moves::rebalance(args, &mut api()?, out),
        Command::Leave(args) => leave::run(args, global, out),
        Command::Maintenance(command) => manage::maintenance(command, &mut api()?, out),
        Command::StepDown(args) => manage::step_down(args, global, out),
        Command::Promote(args) => manage::promote(args, global, out),
        Command::Demote(args) => manage::demote(args, global, out),
        Command::Remove(args) => manage::remove(args, &mut api()?, out),
        Command::Recover(args) => manage::recover(args, &mut api()?, out),
        Command::Data(command) => data::run(command, &mut api()?, out),
        Command::Bench(args) => bench::run(args, global, out),
        Command::Secret => secrets::secret(out),
        Command::Token(args) => secrets::token(args, out),
        Command::Certs(command) => certs::run(command, out),
        Command::Completions { shell } => completions::run(*shell, out),
    }
}
