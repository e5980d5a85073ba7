//! The `clusterkit` command, in the process of Node.js: `npx clusterkit`.

use std::ffi::OsString;

use napi_derive::napi;

/// The signals that the command handles itself.
const SIGNALS: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Runs the command; returns the code that the process is to end with. Blocks until the command has ended: for a process that is
/// nothing else. `program` is the command line that starts this one again.
#[napi(catch_unwind)]
pub fn run_command(program: Vec<String>, arguments: Vec<String>) -> u32 {
    for signal in SIGNALS {
        // SAFETY: the present disposition is read into a zeroed struct, and a handler is replaced by the default: that of Node.js
        // would be called after the command's own, and ends the process at once. What is ignored stays so.
        unsafe {
            let mut present: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(signal, std::ptr::null(), &raw mut present) == 0
                && present.sa_sigaction != libc::SIG_IGN
            {
                libc::signal(signal, libc::SIG_DFL);
            }
        }
    }
    let program: Vec<OsString> = program.into_iter().map(OsString::from).collect();
    u32::from(clusterkit_cli::run(
        &program,
        arguments.into_iter().map(OsString::from),
    ))
}
