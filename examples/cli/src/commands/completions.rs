//! `completions`: a script for the user's shell.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::args::Cli;
use crate::error::Result;
use crate::output::Out;

/// Prints the script. It is made in memory first: the generator panics when its writer fails.
pub(crate) fn run(shell: Shell, out: &mut Out) -> Result<()> {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "clusterkit", &mut script);
    out.bytes(&script)
}
