//! Ctrl-C and SIGTERM for commands that have something to clean up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::error::{CliError, Result};

/// The signals that ask this program to end. Not the end of a terminal where whoever started it said that this is to be
/// ignored, as `nohup` does.
pub(crate) fn end_signals() -> Vec<i32> {
    let mut signals = vec![SIGINT, SIGTERM];
    if !is_ignored(SIGHUP) {
        signals.push(SIGHUP);
    }
    signals
}

/// Whether a signal was ignored when this program began, as Linux tells it.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}

/// Says whether the user wants the command to end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt {
    raised: Arc<AtomicBool>,
}

impl Interrupt {
    /// From now on the end signals end nothing by themselves: they only raise the flag.
    pub(crate) fn install() -> Result<Self> {
        let interrupt = Interrupt::default();
        for signal in end_signals() {
            signal_hook::flag::register(signal, Arc::clone(&interrupt.raised))
                .map_err(|error| CliError::io("cannot handle signals", &error))?;
        }
        Ok(interrupt)
    }

    /// True once a signal came.
    pub(crate) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }

    /// An error once a signal came: loops that wait call this in every round.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_raised() {
            Err(CliError::Interrupted)
        } else {
            Ok(())
        }
    }
}
