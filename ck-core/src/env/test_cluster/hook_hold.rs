//! Hooks hold the clock of a test cluster: they run on threads of their own and take real time, in which an order could
//! move the clock by hours. So an order waits for every call of a hook, but for no call longer than [`HOOK_PATIENCE`]:
//! a test may want to know what becomes of a hook that blocks.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::process::ProcessInner;
use crate::env;

/// How long one call of a hook holds the clock, at most. Real time.
const HOOK_PATIENCE: Duration = Duration::from_secs(1);
/// What stands for the calls that are about to begin, beside the ids of calls that run.
const READY_CALLS: u64 = u64::MAX;

/// What the hooks of a node do at this moment.
#[derive(Debug, Default)]
pub(crate) struct HookActivity {
    /// True while a call may begin that has not, and while no call runs any more and the hooks are still being dropped.
    pub(crate) ready: bool,
    /// The ids of the calls that run.
    pub(crate) running: Vec<u64>,
    /// When a call that has failed is due again. A thread of the hooks watches for that, not the clock.
    pub(crate) next_retry: Option<env::Instant>,
}

/// Whether hooks let the clock be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// Not now: a call runs, or is about to begin.
    Held,
    /// Not beyond this moment, in nanoseconds.
    Until(u64),
}

/// The hooks of every process of a test cluster.
#[derive(Debug, Default)]
pub(super) struct HookHold {
    processes: Mutex<Vec<Weak<ProcessInner>>>,
    /// When each call was seen first, by its process and its id.
    seen: Mutex<HashMap<(usize, u64), Instant>>,
}

impl HookHold {
    pub(super) fn add(&self, process: Weak<ProcessInner>) {
        let mut processes = self.processes.lock();
        processes.retain(|known| known.strong_count() > 0);
        processes.push(process);
    }

    /// Whether the clock, which says `now`, may be moved. Called by the driver only.
    pub(super) fn hold(&self, now: u64) -> Hold {
        let processes: Vec<_> = self.processes.lock().iter().filter_map(Weak::upgrade).collect();
        let mut calls = Vec::new();
        let mut until = u64::MAX;
        for process in processes {
            let Some(activity) = process.hook_activity() else {
                continue;
            };
            let next_retry = activity.next_retry.map_or(u64::MAX, env::Instant::nanos);
            let ready = (activity.ready || next_retry <= now).then_some(READY_CALLS);
            if next_retry > now {
                until = until.min(next_retry);
            }
            let running = activity.running.into_iter().chain(ready);
            calls.extend(running.map(|call| (Arc::as_ptr(&process).addr(), call)));
        }
        let real = Instant::now();
        let mut seen = self.seen.lock();
        let since = |call| (call, seen.get(&call).copied().unwrap_or(real));
        let calls: HashMap<_, _> = calls.into_iter().map(since).collect();
        *seen = calls;
        let is_patient = |since: &Instant| real.duration_since(*since) < HOOK_PATIENCE;
        match seen.values().any(is_patient) {
            true => Hold::Held,
            false => Hold::Until(until),
        }
    }
}
