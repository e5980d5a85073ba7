//! Copies that fail: how often the hooks of this node have failed for each, and why.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::hooks::HookFailure;
use crate::model::{CopyState, EventKind, NodeId, RoleChange, Topology};
use crate::rpc::CopyReport;
use crate::state::MAX_REASON_CHARS;

/// The most failed copies that one heartbeat reports.
const REPORTED: usize = 64;

/// The last failure of each copy, by partition.
#[derive(Debug, Default)]
pub(crate) struct CopyFailures(Mutex<BTreeMap<u32, CopyFailure>>);

#[derive(Debug)]
struct CopyFailure {
    /// The revision of the event that asked this node to copy.
    revision: u64,
    attempts: u32,
    error: String,
}

impl CopyFailures {
    /// Records a failed hook, if the event asked this node to copy a partition.
    pub(super) fn note(&self, failure: &HookFailure, me: &NodeId) {
        let EventKind::PartitionChange(change) = &failure.event.kind else {
            return;
        };
        if change.node_id != *me || change.change != RoleChange::GainedReplica {
            return;
        }
        let noted = CopyFailure {
            revision: failure.event.revision,
            attempts: failure.attempt,
            error: failure.message.chars().take(MAX_REASON_CHARS).collect(),
        };
        let mut failures = self.0.lock();
        failures.insert(change.number, noted);
    }

    /// The failures to report to the leader. Failures of copies that are no longer awaited are forgotten.
    pub(crate) fn report(&self, topology: &Topology, me: &NodeId) -> Vec<CopyReport> {
        let mut failures = self.0.lock();
        let mut reports = Vec::new();
        failures.retain(|number, failure| {
            let copy = topology.partitions.get(*number as usize).and_then(|p| p.copy(me));
            let awaited = copy.filter(|copy| {
                // A copy that was emitted again after the failure has not failed yet.
                copy.state == CopyState::Pending && copy.since <= failure.revision
            });
            if let Some(copy) = awaited
                && reports.len() < REPORTED
            {
                reports.push(CopyReport {
                    number: *number,
                    since: copy.since,
                    attempts: failure.attempts,
                    error: failure.error.clone(),
                });
            }
            awaited.is_some()
        });
        reports
    }
}
