//! Ctrl-C and SIGTERM for commands that have something to clean up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::error::{CliError, Result};

/// The signals that ask a program to end.
pub(crate) const END_SIGNALS: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// Says whether the user wants the command to end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt {
    raised: Arc<AtomicBool>,
}

impl Interrupt {
    /// From now on the end signals end nothing by themselves: they only raise the flag.
    pub(crate) fn install() -> Result<Self> {
        let interrupt = Interrupt::default();
        for signal in END_SIGNALS {
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
