//! What the system allows a process that serves.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::process::{Resource, getrlimit, setrlimit};
use signal_hook::consts::SIGXFSZ;

use crate::error::{CliError, Result};

/// More open files than a node ever uses. A limit beyond it may be refused by the system.
const ENOUGH_FILES: u64 = 1 << 20;

/// Raises the soft limit on open files to the hard one, as far as that is of use: the usual soft limit of 1,024 is for
/// programs that call `select`. And a limit on the length of files (`ulimit -f`) becomes an error of the write that
/// meets it, also of one to a log file on standard error, instead of the end of the process.
pub(crate) fn raise() -> Result<()> {
    let mut files = getrlimit(Resource::Nofile);
    let wanted = files.maximum.unwrap_or(ENOUGH_FILES).min(ENOUGH_FILES);
    if files.current.is_some_and(|current| current < wanted) {
        files.current = Some(wanted);
        // Where it is refused the node serves fewer connections, and says so.
        let _ = setrlimit(Resource::Nofile, files);
    }
    signal_hook::flag::register(SIGXFSZ, Arc::<AtomicBool>::default())
        .map(drop)
        .map_err(|error| CliError::io("cannot handle signals", &error))
}
