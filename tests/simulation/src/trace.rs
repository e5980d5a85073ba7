//! What happened, line by line, with the simulated time; and one number that says whether two runs were the same.

use std::sync::{Mutex, PoisonError};

use clusterkit::env::Instant;
use clusterkit::env::sim_process::outside;

/// Simulated time begins one day in.
const START_NANOS: u64 = 86_400 * 1_000_000_000;

/// The story of one run.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    lines: Mutex<Vec<String>>,
}

/// A checksum that is the same on every machine (FNV-1a).
pub(crate) fn fnv(bytes: &[u8], from: u64) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(from, step)
}

/// Where [`fnv`] begins.
pub(crate) const FNV: u64 = 0xcbf2_9ce4_8422_2325;

/// Seconds since the run began, on nobody's clock.
pub(crate) fn seconds() -> f64 {
    let nanos = outside(Instant::now).nanos().saturating_sub(START_NANOS);
    nanos as f64 / 1e9
}

impl Trace {
    pub(crate) fn add(&self, line: std::fmt::Arguments<'_>) {
        let line = format!("{:>10.4}  {line}", seconds());
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line);
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
