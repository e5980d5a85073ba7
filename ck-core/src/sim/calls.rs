//! What the application asks of its node and waits for.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

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
    pub fn set_data(
        &self,
        key: String,
        value: Bytes,
        expect: Expect,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<u64>> {
        self.call(self.node.set_data(key, value, expect, timeout))
    }

    /// Deletes a value. The result is the revision, and whether there was one.
    ///
    /// # Errors
    /// Those of every write.
    pub fn delete_data(
        &self,
        key: String,
        expect: Expect,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<(u64, bool)>> {
        self.call(self.node.delete_data(key, expect, timeout))
    }

    /// Waits until this node has applied everything that was committed when the call began.
    ///
    /// # Errors
    /// When the revision cannot be determined or reached in time.
    pub fn read_barrier(&self, timeout: Duration) -> BoxFuture<'_, Result<u64>> {
        self.call(self.node.read_barrier(timeout))
    }

    /// Waits until this node has applied a revision.
    ///
    /// # Errors
    /// When it is not applied in time.
    pub fn wait_revision(&self, revision: u64, timeout: Duration) -> BoxFuture<'_, Result<()>> {
        self.call(self.node.wait_for_revision(revision, timeout))
    }

    /// Every member, with the time of the last contact with it.
    pub fn members(&self) -> BoxFuture<'_, Members> {
        self.call(Api::members(&*self.node))
    }

    /// Removes a member.
    ///
    /// # Errors
    /// Those of the call.
    pub fn remove_node(&self, node: NodeId, force: bool, timeout: Duration) -> BoxFuture<'_, Result<u64>> {
        self.call(self.node.remove_node(node, force, timeout))
    }

    /// Begins its leave: its copies move to other nodes, then it is removed.
    ///
    /// # Errors
    /// Those of the call.
    pub fn begin_leaving(&self, timeout: Duration) -> BoxFuture<'_, Result<u64>> {
        self.call(self.node.begin_leaving(timeout))
    }

    /// Makes the leader transfer its leadership.
    ///
    /// # Errors
    /// Those of the call.
    pub fn step_down(&self, target: Option<NodeId>) -> BoxFuture<'_, Result<NodeId>> {
        self.call(self.node.step_down(target))
    }

    /// The same, and the former leader is no candidate for `cooldown`.
    ///
    /// # Errors
    /// Those of the call.
    pub fn demote(
        &self,
        target: Option<NodeId>,
        cooldown: Option<Duration>,
    ) -> BoxFuture<'_, Result<NodeId>> {
        self.call(self.node.demote(target, cooldown))
    }

    /// Moves partitions to the nodes where they belong.
    ///
    /// # Errors
    /// Those of the call.
    pub fn rebalance(&self, timeout: Duration) -> BoxFuture<'_, Result<(u64, usize)>> {
        self.call(self.node.rebalance(timeout))
    }

    /// The migrations under way, as the leader knows them, or as this node does where the leader does not answer.
    pub fn rebalance_status(&self, timeout: Duration) -> BoxFuture<'_, RebalanceStatus> {
        self.call(self.node.rebalance_status(timeout))
    }

    /// Begins maintenance for this reason; `None` ends it.
    ///
    /// # Errors
    /// Those of the call.
    pub fn maintenance(&self, reason: Option<String>, timeout: Duration) -> BoxFuture<'_, Result<u64>> {
        self.call(self.node.maintenance(reason, timeout))
    }

    /// Accepts the copy of node `from` as the partition's data.
    ///
    /// # Errors
    /// Those of the call.
    pub fn recover(
        &self,
        number: u32,
        from: NodeId,
        force: bool,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<u64>> {
        self.call(self.node.recover(number, from, force, timeout))
    }

    /// Reports the health of its application.
    pub fn report_health(&self, health: NodeHealthState, reason: &str) {
        self.sim_process.enter(|| self.node.report_health(health, reason));
    }
}
