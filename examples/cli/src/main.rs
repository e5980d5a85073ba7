//! The `clusterkit` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    let program = match std::env::current_exe() {
        Ok(program) => program.into_os_string(),
        // What the shell called it. Only the demo starts it again, and says so when that fails.
        Err(_) => std::env::args_os().next().unwrap_or_default(),
    };
    ExitCode::from(clusterkit_cli::run(&[program], std::env::args_os().skip(1)))
}
