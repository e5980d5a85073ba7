//! The operations that an operator requests: removing members, moving and recovering partitions, maintenance, leaving.

use std::sync::Arc;
use std::time::Duration;

use super::Node;
use crate::env::Instant;
use crate::error::{Error, ErrorCode, Result};
use crate::leader;
use crate::model::{NodeId, RebalanceStatus};
use crate::rpc::{MemberCall, MemberReply};

impl Node {
    /// Removes a member permanently, called on any node; gives the revision. Where only that member counts as holding
    /// some data, the data is lost, so the removal has to be forced.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`], [`ErrorCode::Refused`], and those of every write.
    pub(crate) async fn remove_node(&self, node: NodeId, force: bool, timeout: Duration) -> Result<u64> {
        let incarnation = self.view().node(&node).map(|known| known.incarnation);
        let call = MemberCall::Remove {
            node,
            force,
            incarnation,
        };
        let (revision, _) = self.revision_from_leader(call, timeout).await?;
        Ok(revision)
    }

    /// Accepts what `from` has of partition `number` as the partition's data from now on; gives the revision.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`], [`ErrorCode::Refused`] where a better copy is up or `from` has none, and those of every
    /// write.
    pub(crate) async fn recover(
        &self,
        number: u32,
        from: NodeId,
        force: bool,
        timeout: Duration,
    ) -> Result<u64> {
        self.revision_from_leader(MemberCall::Recover { number, from, force }, timeout)
            .await
            .map(|(revision, _)| revision)
    }

    /// Has the leader plan a rebalance now; gives the revision and how many partitions move.
    ///
    /// # Errors
    /// Those of every write.
    pub(crate) async fn rebalance(&self, timeout: Duration) -> Result<(u64, usize)> {
        self.revision_from_leader(MemberCall::Rebalance, timeout).await
    }

    /// Creates the partitions if there are none; gives the revision and how many there are.
    ///
    /// # Errors
    /// Those of every write.
    pub(crate) async fn create_partitions(&self, timeout: Duration) -> Result<(u64, usize)> {
        self.revision_from_leader(MemberCall::CreatePartitions, timeout)
            .await
    }

    /// Begins maintenance for `reason`, or ends it with `None`; gives the revision. During maintenance no migrations
    /// are planned.
    ///
    /// # Errors
    /// Those of every write.
    pub(crate) async fn maintenance(&self, reason: Option<String>, timeout: Duration) -> Result<u64> {
        self.revision_from_leader(MemberCall::Maintenance { reason }, timeout)
            .await
            .map(|(revision, _)| revision)
    }

    /// Begins this node's leave: leadership is handed over first, then its copies are moved elsewhere, then the node is
    /// removed. Gives the revision at which that begins.
    ///
    /// # Errors
    /// [`ErrorCode::Refused`] where no other node could take over; those of every write.
    pub(crate) async fn begin_leaving(&self, timeout: Duration) -> Result<u64> {
        let parts = self.context.raft_parts()?;
        if parts.leadership.is_leader()
            && let Err(error) = parts.leader.transfer.step_down(None, None).await
        {
            // Leadership that cannot be handed over now is handed over later, before the node is removed.
            self.context
                .logger
                .warn(format_args!("leaving, and still leading: {error}"));
        }
        let incarnation = self.context.applied.incarnation().ok_or_else(|| {
            Error::new(
                ErrorCode::NotStarted,
                "this process is not a member of the cluster",
            )
        })?;
        let call = MemberCall::Leave {
            node: self.context.me.clone(),
            incarnation,
        };
        self.context.standing.set_wants_to_leave(true);
        let begun = self.revision_from_leader(call, timeout).await;
        if begun
            .as_ref()
            .is_err_and(|error| error.code() == ErrorCode::Refused)
        {
            self.context.standing.set_wants_to_leave(false);
        }
        begun.map(|(revision, _)| revision)
    }

    /// Leaves the cluster: returns when everything that this node had is elsewhere, the node was removed, and it has
    /// stopped.
    ///
    /// # Errors
    /// As [`Node::begin_leaving`]; [`ErrorCode::Timeout`] when not everything could be moved in time: the migrations
    /// continue, and the message says what is left.
    pub(crate) async fn leave(self: &Arc<Self>, timeout: Duration) -> Result<()> {
        let seen = self.context.lifecycle.changed().count();
        // A removed member is sent no more of the log, so its own log may never show the removal. Then the answers to
        // its heartbeats do.
        tokio::select! {
            biased;
            refused = self.context.wait_for_refusal(seen) => {
                if refused.code() != ErrorCode::Removed {
                    return Err(refused);
                }
            }
            drained = self.wait_until_drained(timeout) => drained?,
        }
        self.stop().await
    }

    /// Has this node drained and removed; returns when its log shows the removal.
    async fn wait_until_drained(&self, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        match self.begin_leaving(timeout).await {
            // The node was removed already.
            Err(error) if error.code() == ErrorCode::Removed => return Ok(()),
            begun => begun?,
        };
        let gone = || {
            !self
                .context
                .applied
                .topology()
                .nodes
                .contains_key(&self.context.me)
        };
        if !self.context.wait_for_topology(deadline, gone).await && self.context.lifecycle.is_running() {
            let topology = self.context.applied.topology();
            let left = topology
                .partitions
                .iter()
                .filter(|p| p.copy(&self.context.me).is_some())
                .count();
            return Err(Error::new(
                ErrorCode::Timeout,
                format!(
                    "{left} partitions of this node were not elsewhere within {timeout:?}; it goes on leaving"
                ),
            ));
        }
        Ok(())
    }

    /// The migrations under way and what the others wait for: as the leader knows it, or as this node knows it where
    /// the leader does not answer within `timeout`.
    pub(crate) async fn rebalance_status(&self, timeout: Duration) -> RebalanceStatus {
        match self.leader.ask(MemberCall::RebalanceStatus, timeout).await {
            Ok(MemberReply::Rebalance(status)) => *status,
            _ => {
                let now = leader::RebalanceNow::of(&self.context.applied.state());
                leader::local_status(&self.context.me, &now)
            }
        }
    }

    async fn revision_from_leader(&self, call: MemberCall, timeout: Duration) -> Result<(u64, usize)> {
        let deadline = Instant::now() + timeout;
        self.context.check_member()?;
        if self.context.has_left_raft() {
            // This node would never apply the result.
            return Err(Error::new(
                ErrorCode::Io,
                "Raft has stopped on this node: its log has failed; nothing was ordered, ask another node",
            ));
        }
        let (revision, partitions) = self.leader.ask(call, timeout).await?.into_revision()?;
        // The caller reads its own write on this node. Where that fails, the error must still say that the write was
        // done.
        let remaining = deadline.since(Instant::now());
        let applied = self.wait_for_revision(revision, remaining);
        let seen = tokio::select! {
            biased;
            applied = applied => applied,
            error = self.context.removed_or_refused() => Err(error),
        };
        match seen {
            Ok(()) => Ok((revision, partitions)),
            Err(error) => Err(Error::new(
                ErrorCode::Timeout,
                format!("it was done at revision {revision}, which this node does not show: {error}"),
            )),
        }
    }
}
