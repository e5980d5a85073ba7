//! No node is evicted without cause: one that is declared failed was crashed, stopped, paused or cut off lately, or has
//! not been let in again since.

use std::collections::{BTreeMap, BTreeSet};

use clusterkit::model::{EventKind, LeaveReason};
use clusterkit::sim::Applied;

use crate::plan::Plan;
use crate::trace;

/// How long ago the cause may have ended, in seconds: the failure timeout, and time for a leader to come and look.
const LATELY: f64 = 8.0;

#[derive(Default)]
pub(crate) struct Eviction {
    /// When each node was disturbed last; the empty name is everybody.
    disturbed: BTreeMap<String, f64>,
    /// Disturbances that go on.
    going_on: BTreeMap<String, u32>,
    /// Nodes of which no process is in the cluster: none runs, or the cluster knows an earlier one.
    outside: BTreeSet<String>,
    always: bool,
    newest: u64,
}

impl Eviction {
    pub(crate) fn new(plan: &Plan) -> Self {
        Eviction {
            // With losses on every link at any time each silence has a cause.
            always: plan.menu.weather,
            ..Eviction::default()
        }
    }

    fn disturbed(&mut self, id: &str) {
        self.disturbed.insert(id.to_owned(), trace::seconds());
    }

    pub(crate) fn is_killed(&mut self, id: &str) {
        self.outside.insert(id.to_owned());
    }

    pub(crate) fn boots(&mut self, id: &str) {
        self.outside.insert(id.to_owned());
    }

    pub(crate) fn has_started(&mut self, id: &str) {
        self.outside.remove(id);
        self.disturbed(id);
    }

    pub(crate) fn begins(&mut self, id: &str) {
        *self.going_on.entry(id.to_owned()).or_default() += 1;
    }

    pub(crate) fn ends(&mut self, id: &str) {
        if let Some(count) = self.going_on.get_mut(id) {
            *count = count.saturating_sub(1);
        }
        self.disturbed(id);
    }

    pub(crate) fn check(&mut self, applied: &Applied<'_>) -> Result<(), String> {
        if applied.snapshot || self.always {
            return Ok(());
        }
        // Where it was decided it is applied first; whoever lags applies it when the cause may be long over.
        let decided = trace::seconds();
        let news = applied.state.revision() > self.newest;
        self.newest = self.newest.max(applied.state.revision());
        for event in applied.events.iter().filter(|_| news) {
            let EventKind::NodeLeave(leave) = &event.kind else {
                continue;
            };
            if leave.reason != LeaveReason::HealthCheckFailure {
                continue;
            }
            let id = &*leave.node.id;
            let lately = |name: &str| {
                self.outside.contains(name)
                    || self.going_on.get(name).is_some_and(|count| *count > 0)
                    || self.disturbed.get(name).is_some_and(|at| decided - at < LATELY)
            };
            if !lately(id) && !lately("") {
                return Err(format!(
                    "{id} was declared failed at {decided:.3} s and nothing had been done to it"
                ));
            }
        }
        Ok(())
    }
}
