//! Rejoins the cluster: after a restart, and when the cluster does not know this process any more.

use std::sync::Arc;
use std::time::Duration;

use super::cluster_entry::ClusterEntry;
use super::context::NodeContext;
use crate::env;
use crate::error::{Error, Result};
use crate::membership::{Discovery, Found};
use crate::rpc::{JoinReply, JoinRequest};

/// Timeout of each step of an attempt to rejoin: the search for a member that admits this process, and the wait until
/// the log shows the admission.
const REJOIN_TIMEOUT: Duration = Duration::from_secs(10);
/// The first and the longest pause between two attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Asks the cluster to admit this process as a new process of its node.
#[derive(Clone)]
pub(super) struct Rejoiner {
    context: Arc<NodeContext>,
    entry: Arc<ClusterEntry>,
}

impl Rejoiner {
    pub(super) fn new(context: Arc<NodeContext>, entry: Arc<ClusterEntry>) -> Self {
        Rejoiner { context, entry }
    }

    /// Tries to rejoin until the cluster admits or refuses this node. It never stops otherwise, because a healed
    /// network must heal the cluster.
    pub(super) async fn run(self) {
        let context = &self.context;
        let mut pause = FIRST_PAUSE;
        while context.lifecycle.is_running() && context.applied.incarnation().is_none() {
            match self.try_rejoin().await {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => {
                    context.refuse(error);
                    return;
                }
            }
            env::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        context.adopt_session();
    }

    /// One attempt to rejoin. False when no member admitted this process; an error is a permanent refusal by this
    /// node's own cluster.
    pub(super) async fn try_rejoin(&self) -> Result<bool> {
        let context = &self.context;
        let Ok(parts) = context.raft_parts() else {
            return Ok(false);
        };
        if context.has_left_raft() {
            // A node that cannot write its log must not rejoin, whatever the others answer: it would be given roles and
            // lose them again.
            return Ok(false);
        }
        let leadership = parts.leadership.changed().count();
        let identity = (parts.raft.raft_id(), context.peers.cluster_id());
        let request = self.entry.join_request(Some(identity));
        let admitted = if parts.leadership.is_leader() {
            parts.leader.membership.join(&request).await.ok()
        } else {
            self.search_for_own(&request, leadership).await?
        };
        let Some(reply) = admitted else {
            return Ok(false);
        };
        parts.proposer.set_session(reply.incarnation);
        // The log will show the admission on this node; until then a further request gains nothing.
        let _ = env::timeout(REJOIN_TIMEOUT, context.applied.wait_for(reply.revision)).await;
        Ok(context.applied.incarnation().is_some())
    }

    /// Asks every known address until this node's own cluster has answered. Ends early where this node comes to lead,
    /// or where its log shows that this process was admitted.
    async fn search_for_own(&self, request: &JoinRequest, leadership: u64) -> Result<Option<JoinReply>> {
        let context = &self.context;
        let parts = context.raft_parts()?;
        let own = context.peers.cluster_id();
        let before = context.applied.incarnation();
        let mut discovery = Discovery::new();
        let joiner = self.entry.joiner();
        let decide = |discovery: &Discovery| -> Option<Error> {
            self.entry.waits_for(format!(
                "its cluster to let it back in ({})",
                discovery.describe()
            ));
            discovery.refusal_of(&own)
        };
        let search = joiner.search(request, &mut discovery, decide);
        let otherwise = async {
            tokio::select! {
                biased;
                () = self.admitted_after(before) => {}
                _ = parts.leadership.changed().after(leadership) => {}
            }
        };
        let found = env::timeout(REJOIN_TIMEOUT, async {
            tokio::select! {
                biased;
                () = otherwise => None,
                found = search => Some(found),
            }
        });
        match found.await {
            Ok(Some(Found::Admitted(reply))) => Ok(Some(reply)),
            Ok(Some(Found::Decided(refusal))) => Err(refusal),
            Ok(None) | Err(_) => Ok(None),
        }
    }

    /// Resolves when the log has admitted this process again, with another incarnation than `before`.
    async fn admitted_after(&self, before: Option<u64>) {
        let applied = &self.context.applied;
        loop {
            let seen = applied.changed().count();
            let incarnation = applied.incarnation();
            if incarnation.is_some() && incarnation != before {
                return;
            }
            applied.changed().after(seen).await;
        }
    }
}
