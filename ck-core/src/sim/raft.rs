//! A look into a node's Raft: who votes, how long its lease lasts, and what hands leadership over.

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::SimNode;
use crate::env::Instant;
use crate::error::Result;
use crate::model::RaftId;
use crate::raft::RaftMembers;
use crate::state::{Command, Response};

impl SimNode {
    /// Its Raft id, once it has one.
    pub fn raft_id(&self) -> Option<RaftId> {
        Some(self.node.raft_parts().ok()?.raft.raft_id())
    }

    /// The members of Raft as it knows them, once it takes part.
    pub fn raft_members(&self) -> Option<RaftMembers> {
        Some(self.node.raft_parts().ok()?.raft.raft_members())
    }

    /// The state of its Raft, for traces.
    pub fn raft_state(&self) -> String {
        self.node
            .raft_parts()
            .map_or_else(|error| error.to_string(), |member| member.raft.describe())
    }

    /// True if Raft has stopped on it, as after a failure of its disk.
    pub fn has_failed(&self) -> bool {
        self.consensus_stats().state == "Shutdown" && self.node.raft_parts().is_ok()
    }

    /// Until when it may act as leader, while it leads.
    pub fn leader_lease_until(&self) -> Option<Instant> {
        let raft = &self.node.raft_parts().ok()?.raft;
        self.sim_process.enter(|| raft.lease_until())
    }

    /// For how long it may act as leader after a quorum has acknowledged it.
    pub fn leader_lease(&self) -> Option<Duration> {
        Some(self.node.raft_parts().ok()?.raft.lease)
    }

    /// The voters that could take its leadership over, the best one first: those that it has heard of within four such
    /// heartbeats.
    pub fn successors(&self, heartbeat: Duration) -> Vec<RaftId> {
        let parts = self.node.raft_parts();
        parts.map_or_else(
            |_| Vec::new(),
            |parts| self.sim_process.enter(|| parts.raft.successors(heartbeat)),
        )
    }

    /// Hands its leadership to the voter with this Raft id, without a look at whether that one can take it, and takes it
    /// back after `deadline`.
    ///
    /// # Errors
    /// When it was taken back.
    pub fn transfer(&self, to: RaftId, deadline: Duration) -> BoxFuture<'_, Result<()>> {
        self.call(async move { self.node.raft_parts()?.raft.transfer(to, deadline).await })
    }

    /// Enters a command into the log on the node that leads, whatever it is.
    ///
    /// # Errors
    /// When this node does not lead, or when the outcome is not known in time.
    pub fn propose(&self, command: Command, timeout: Duration) -> BoxFuture<'_, Result<Response>> {
        self.call(async move {
            let proposer = &self.node.raft_parts()?.proposer;
            proposer.propose_here(command, timeout).await
        })
    }

    /// The id of the last entry of its log.
    #[cfg(any(test, feature = "fuzz"))]
    pub(crate) fn tip(&self) -> Option<crate::raft::storage::wal::LogId> {
        crate::raft::fuzz::tip(&self.node.raft_parts().ok()?.raft)
    }
}
