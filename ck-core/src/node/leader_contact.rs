//! What this node knows about the present: who leads, and how old its knowledge is.
//!
//! Invariant: another node is named leader only if it has answered a heartbeat that this node sent less than a lease
//! (`lease_ttl`) ago, however long Raft goes on naming it. An answer counts from when the heartbeat was sent: an answer
//! that was delayed on its way, or in a process that was paused, must not make a leader seem alive. A node that has
//! lost its majority knows only the past.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::context::NodeContext;
use super::leader_client::LeaderClient;
use crate::env::{self, Instant};
use crate::http::{Contact, Members};
use crate::model::{LeaderInfo, Node as NodeRecord, NodeId, Timestamp};
use crate::routing::ClusterView;
use crate::rpc::{MemberCall, MemberReply};

/// Timeout for the leader to report when it heard from the members; after it the previous report is shown.
const LAST_SEEN_TIMEOUT: Duration = Duration::from_millis(500);
/// The shortest time between two such questions to the leader, however many clients ask this node.
const LAST_SEEN_MAX_AGE: Duration = Duration::from_millis(500);

/// What this node knows about the leader and about the silence of others.
pub(super) struct LeaderContact {
    context: Arc<NodeContext>,
    leader: LeaderClient,
    /// The last heartbeat that a leader answered: which leader, and when the heartbeat was sent.
    answered: Mutex<Option<(NodeId, Instant)>>,
    /// When the leader last heard from each member, by its latest report.
    last_seen: Mutex<LastSeen>,
}

/// When a leader last heard from each member, on this node's clock.
#[derive(Debug, Default)]
struct LastSeen {
    asked: Option<Instant>,
    heard: BTreeMap<NodeId, Instant>,
}

impl LeaderContact {
    pub(super) fn new(context: Arc<NodeContext>, leader: LeaderClient) -> Self {
        LeaderContact {
            context,
            leader,
            answered: Mutex::default(),
            last_seen: Mutex::default(),
        }
    }

    /// Records that `leader` has answered a heartbeat that was sent at `sent`.
    pub(super) fn note_answer(&self, leader: NodeId, sent: Instant) {
        *self.answered.lock() = Some((leader, sent));
    }

    fn last_answer(&self) -> Option<(NodeId, Instant)> {
        self.answered.lock().clone()
    }

    /// The present leader: this node where it leads, otherwise a leader that has answered this node within a lease.
    pub(super) fn leader(&self) -> Option<LeaderInfo> {
        let view = self.context.view();
        // The log names the leader a moment after its election; until then it has no leader epoch.
        self.hears_leader_in(&view).then(|| view.leader_info()).flatten()
    }

    /// True when this node leads, or its leader has answered it within a lease.
    pub(super) fn hears_leader(&self) -> bool {
        self.hears_leader_in(&self.context.view())
    }

    /// True when the leader that `view` names is the one that Raft knows, and is alive as far as this node can tell.
    pub(super) fn hears_leader_in(&self, view: &ClusterView) -> bool {
        let Ok(parts) = self.context.raft_parts() else {
            return false;
        };
        if self.context.has_left_raft() {
            return false;
        }
        let raft_leader = parts.raft.leader();
        let Some(leader) = view.leader().filter(|node| Some(node.raft_id) == raft_leader) else {
            return false;
        };
        planted!("leader-by-raft", return true);
        // A node's answers to its own heartbeats do not show that it still leads.
        if leader.id == self.context.me {
            return parts.leadership.is_leader();
        }
        let lease = view.topology().config.lease_ttl();
        let synced = self.last_answer().filter(|(from, _)| *from == leader.id);
        synced.is_some_and(|(_, sent)| sent.elapsed() < lease)
    }

    /// How long this node has not heard from a leader, whichever that was: zero where it leads, `None` where it has
    /// heard from none since its process began.
    pub(super) fn last_contact(&self) -> Option<Duration> {
        if self.context.is_leader() {
            return Some(Duration::ZERO);
        }
        self.last_answer().map(|(_, sent)| sent.elapsed())
    }

    /// Whether a leader is known, and how old this node's knowledge of the cluster is.
    pub(super) fn contact(&self) -> Contact {
        Contact {
            leader_known: self.hears_leader(),
            last_contact: self.last_contact(),
        }
    }

    /// How long a member has been silent, as far as this node knows: by its own records where it leads, otherwise by
    /// the leader's latest report and by the heartbeats that the member itself answered as leader. `None` where this
    /// node knows of no contact.
    pub(super) fn silence_of(&self, node: &NodeId) -> Option<Duration> {
        if *node == self.context.me {
            return Some(Duration::ZERO);
        }
        if self.context.is_leader()
            && let Ok(parts) = self.context.raft_parts()
        {
            return parts.leader.silence_of(node);
        }
        let told = self.last_seen.lock().heard.get(node).copied();
        let answered = self.last_answer().filter(|(leader, _)| leader == node);
        told.max(answered.map(|(_, at)| at)).map(Instant::elapsed)
    }

    /// Asks the leader when it heard from the members, where a leader is known and was not asked a moment ago.
    async fn ask_last_seen(&self) {
        if self.context.is_leader() || !self.hears_leader() {
            return;
        }
        let now = Instant::now();
        {
            let mut told = self.last_seen.lock();
            if told
                .asked
                .is_some_and(|asked| now.since(asked) < LAST_SEEN_MAX_AGE)
            {
                return;
            }
            told.asked = Some(now);
        }
        // A leader of an older version does not know the call, and any leader may fail to answer: then the previous
        // report stays.
        if let Ok(MemberReply::LastSeen(silences)) =
            self.leader.ask(MemberCall::LastSeen, LAST_SEEN_TIMEOUT).await
        {
            let heard = silences
                .into_iter()
                .map(|(node, millis)| (node, now - Duration::from_millis(millis)));
            self.last_seen.lock().heard = heard.collect();
        }
    }

    /// Every member with the time of the last contact, and how many members were heard from within the failure timeout.
    pub(super) async fn members(&self) -> Members {
        self.ask_last_seen().await;
        let view = self.context.view().into_owned();
        let patience = view.topology().config.failure_timeout();
        let led = self.hears_leader_in(&view);
        let mut members = Members {
            revision: view.revision(),
            ..Members::default()
        };
        for node in view.nodes() {
            let silence = self.silence_of(&node.id);
            let heard = match silence {
                Some(silence) => silence < patience,
                // The leader lists it as serving, but has not reported when it last heard from it.
                None => led && node.status.is_serving(),
            };
            members.heard += usize::from(heard);
            let mut shown = (**node).clone();
            shown.last_seen = last_seen(node, silence);
            members.nodes.push(shown);
        }
        members
    }

    /// When this node last heard from a leader, or led, by the wall clock.
    pub(super) fn last_sync(&self) -> Timestamp {
        match self.last_contact() {
            Some(age) => env::wall_now().before(age),
            None => Timestamp::default(),
        }
    }
}

/// When a member with this silence was last heard from, by the wall clock; no earlier than its record says.
pub(super) fn last_seen(node: &NodeRecord, silence: Option<Duration>) -> Timestamp {
    match silence {
        Some(silence) => env::wall_now().before(silence).max(node.last_seen),
        None => node.last_seen,
    }
}
