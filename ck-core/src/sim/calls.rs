//! What the application asks of its node and waits for.

use std::time::Duration;

use bytes::Bytes;

use super::SimNode;
use crate::error::Result;
use crate::http::{Api, Members};
use crate::model::{NodeHealthState, NodeId, RebalanceStatus};
use crate::state::Expect;

impl SimNode {
    /// Writes a value. The result is the revision.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn set_data(
        &self,
        key: String,
        value: Bytes,
        expect: Expect,
        timeout: Duration,
    ) -> Result<u64> {
        self.sim_process
            .wrap(self.node.set_data(key, value, expect, timeout))
            .await
    }

    /// Deletes a value. The result is the revision, and whether there was one.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn delete_data(&self, key: String, expect: Expect, timeout: Duration) -> Result<(u64, bool)> {
        self.sim_process
            .wrap(self.node.delete_data(key, expect, timeout))
            .await
    }

    /// Waits until this node has applied everything that was committed when the call began.
    ///
    /// # Errors
    /// When the revision cannot be determined or reached in time.
    pub async fn read_barrier(&self, timeout: Duration) -> Result<u64> {
        self.sim_process.wrap(self.node.read_barrier(timeout)).await
    }

    /// Waits until this node has applied a revision.
    ///
    /// # Errors
    /// When it is not applied in time.
    pub async fn wait_revision(&self, revision: u64, timeout: Duration) -> Result<()> {
        let wait = self.node.wait_for_revision(revision, timeout);
        self.sim_process.wrap(wait).await
    }

    /// Every member, with the time of the last contact with it.
    pub async fn members(&self) -> Members {
        self.sim_process.wrap(Api::members(&*self.node)).await
    }

    /// Removes a member.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn remove_node(&self, node: NodeId, force: bool, timeout: Duration) -> Result<u64> {
        self.sim_process
            .wrap(self.node.remove_node(node, force, timeout))
            .await
    }

    /// Begins its leave: its copies move to other nodes, then it is removed.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn begin_leaving(&self, timeout: Duration) -> Result<u64> {
        self.sim_process.wrap(self.node.begin_leaving(timeout)).await
    }

    /// Makes the leader transfer its leadership.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn step_down(&self, target: Option<NodeId>) -> Result<NodeId> {
        self.sim_process.wrap(self.node.step_down(target)).await
    }

    /// The same, and the former leader is no candidate for `cooldown`.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn demote(&self, target: Option<NodeId>, cooldown: Option<Duration>) -> Result<NodeId> {
        self.sim_process.wrap(self.node.demote(target, cooldown)).await
    }

    /// Moves partitions to the nodes where they belong.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn rebalance(&self, timeout: Duration) -> Result<(u64, usize)> {
        self.sim_process.wrap(self.node.rebalance(timeout)).await
    }

    /// The migrations under way, as the leader knows them, or as this node does where the leader does not answer.
    pub async fn rebalance_status(&self, timeout: Duration) -> RebalanceStatus {
        self.sim_process.wrap(self.node.rebalance_status(timeout)).await
    }

    /// Begins maintenance for this reason; `None` ends it.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn maintenance(&self, reason: Option<String>, timeout: Duration) -> Result<u64> {
        self.sim_process
            .wrap(self.node.maintenance(reason, timeout))
            .await
    }

    /// Accepts the copy of node `from` as the partition's data.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn recover(&self, number: u32, from: NodeId, force: bool, timeout: Duration) -> Result<u64> {
        self.sim_process
            .wrap(self.node.recover(number, from, force, timeout))
            .await
    }

    /// Reports the health of its application.
    pub fn report_health(&self, health: NodeHealthState, reason: &str) {
        self.sim_process.enter(|| self.node.report_health(health, reason));
    }
}
