//! The copies that the application makes for this node: what is being copied, what has been copied and must be
//! confirmed to the cluster, and what fails.
//!
//! [`CopyTracker`] is told by the hooks how each copy ends. [`CopyConfirmer`] is a task, which the node spawns: it
//! proposes to the log what the tracker has gathered. [`Copying`] is what lookups ask: a node does not act as primary
//! of a partition that a hook of it still copies.
//!
//! Locks: `Confirmations` has three, [`CopyFailures`] and [`Copying`] one each. No two of them are held together, and
//! nothing is called under them. `CopyTracker::copied` may be called while the applied state is locked, and must not
//! read it; `CopyTracker::holders` reads it, and is called outside of that lock only.
//!
//! Invariants: a copy is confirmed only while it is awaited, and by no event that is older than the last one that asked
//! for it. A copy is recorded in [`Copying`] before the topology is read.
//!
//! Start with [`CopyTracker`], then `CopyConfirmer::run`.

mod confirmations;
mod confirmer;
mod copying;
mod failures;

use std::sync::Arc;

use super::config::{CopyOutcome, Holders, HookHost};
use super::types::HookFailure;
use crate::logger::Logger;
use crate::model::{NodeId, PartitionChangeEvent};
use crate::raft::AppliedState;
use crate::state::sources;

pub(crate) use confirmations::Confirmations;
pub(crate) use confirmer::CopyConfirmer;
pub(super) use copying::CopyGuard;
pub(crate) use copying::Copying;
pub(crate) use failures::CopyFailures;

/// Records how the copies of this node end, and says where the data is now.
pub(crate) struct CopyTracker {
    me: NodeId,
    applied: Arc<AppliedState>,
    logger: Arc<Logger>,
    pub(crate) confirmations: Arc<Confirmations>,
    pub(crate) failures: Arc<CopyFailures>,
}

impl CopyTracker {
    pub(crate) fn new(me: NodeId, applied: Arc<AppliedState>, logger: Arc<Logger>) -> Self {
        CopyTracker {
            me,
            applied,
            logger,
            confirmations: Arc::default(),
            failures: Arc::default(),
        }
    }
}

impl HookHost for CopyTracker {
    fn copied(&self, change: &PartitionChangeEvent, revision: u64, outcome: CopyOutcome) {
        match outcome {
            CopyOutcome::Confirmed => self.confirmations.add(change.number, revision, true),
            CopyOutcome::Unheard => self.confirmations.add(change.number, revision, false),
            CopyOutcome::Abandoned => self.confirmations.add_abandoned(change.number, revision),
        }
    }

    fn failed(&self, failure: HookFailure) {
        self.failures.note(&failure, &self.me);
        self.logger.warn(format_args!("{failure}"));
    }

    fn holders(&self, change: &PartitionChangeEvent, revision: u64) -> Holders {
        // Read under the lock under which topologies are applied: see `Copying`.
        let topology = self.applied.topology();
        let Some(partition) = topology.partitions.get(change.number as usize) else {
            return Holders::AsTold;
        };
        let now = sources(&topology, partition, &self.me, revision);
        if now.is_empty() && !partition.is_synced(&self.me) {
            return Holders::Nobody;
        }
        Holders::Nodes(now)
    }
}
