//! Copies that this node has to make: the nodes it can copy from, and for copies that fail, how often its hooks have
//! failed and why.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

use crate::hooks::{Holders, HoldersNow, HookFailure};
use crate::membership::CopyReport;
use crate::model::{CopyState, EventKind, NodeId, RoleChange, Topology};
use crate::raft::AppliedState;
use crate::state::{MAX_REASON_CHARS, sources};

/// The most failed copies that one heartbeat reports.
const REPORTED: usize = 64;

/// Tells a hook that is about to copy which nodes have the data now. The reference is weak, because the applied state
/// emits events to the hooks, and the hooks read the applied state.
pub(super) fn holders(applied: Arc<OnceLock<Weak<AppliedState>>>, me: NodeId) -> HoldersNow {
    Arc::new(move |change, revision| {
        let Some(topology) = applied
            .get()
            .and_then(Weak::upgrade)
            .map(|applied| applied.topology())
        else {
            return Holders::AsTold;
        };
        let Some(partition) = topology.partitions.get(change.number as usize) else {
            return Holders::AsTold;
        };
        let now = sources(&topology, partition, &me, revision);
        if now.is_empty() && !partition.is_synced(&me) {
            return Holders::Nobody;
        }
        Holders::Nodes(now)
    })
}

/// The last failure of each copy, by partition.
#[derive(Debug, Default)]
pub(super) struct CopyFailures(Mutex<BTreeMap<u32, Failure>>);

#[derive(Debug)]
struct Failure {
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
        let noted = Failure {
            revision: failure.event.revision,
            attempts: failure.attempt,
            error: failure.message.chars().take(MAX_REASON_CHARS).collect(),
        };
        let mut failures = self.0.lock();
        failures.insert(change.number, noted);
    }

    /// The failures to report to the leader. Failures of copies that are no longer awaited are forgotten.
    pub(super) fn report(&self, topology: &Topology, me: &NodeId) -> Vec<CopyReport> {
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
