//! What an operator asks: removing members, moving partitions.

use std::time::Duration;

use super::Node;
use crate::env::Instant;
use crate::error::{Error, ErrorCode, Result};
use crate::membership::{MemberCall, MemberReply};
use crate::model::NodeId;

impl Node {
    /// Removes a member for good. A leader that is to go hands leadership over first.
    pub(super) async fn remove_as_leader(&self, node: &NodeId) -> Result<(u64, usize)> {
        let member = self.member()?;
        if *node == self.me {
            return Err(Error::new(
                ErrorCode::Refused,
                format!("node {node:?} leads the cluster; have it step down first, then remove it"),
            ));
        }
        let removed = member.admission.remove(node).await?;
        self.log.info(format_args!("node {node} was removed"));
        Ok(removed)
    }

    /// Removes a member for good, from whichever node this is; gives the revision.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`], [`ErrorCode::Refused`], and those of every write.
    pub(crate) async fn remove_node(&self, node: NodeId, timeout: Duration) -> Result<u64> {
        self.revision_from_leader(MemberCall::Remove { node }, timeout)
            .await
            .map(|(revision, _)| revision)
    }

    /// Moves partitions to where they belong; gives the revision and how many move.
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

    async fn revision_from_leader(&self, call: MemberCall, timeout: Duration) -> Result<(u64, usize)> {
        let deadline = Instant::now() + timeout;
        let reply = self.ask_leader(call, timeout).await?;
        let MemberReply::Revision { revision, partitions } = reply else {
            return Err(Error::internal("the leader answered out of turn"));
        };
        // The caller reads its own write on this node.
        let remaining = deadline.since(Instant::now());
        self.member()?.proposer.wait_for(revision, remaining).await?;
        Ok((revision, partitions))
    }
}
