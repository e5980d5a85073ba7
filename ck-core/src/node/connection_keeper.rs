//! Keeps connections between members open before they are needed.
//!
//! When a leader dies, voters call each other that may never have had a reason to before. If such a call needs a
//! resolver, and the resolver is what has failed, no leader is elected until the resolver works again. So voters keep
//! connections to every member, and every member keeps connections to the voters: by a small call now and then, on the
//! lane that carries votes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::context::NodeContext;
use super::phase::Phase;
use crate::env::{self, Instant};
use crate::net::Lane;
use crate::rpc::{MemberCall, MemberRequest};

/// How often a member is called: a connection that is unused for a minute is closed.
const CONTACT_INTERVAL: Duration = Duration::from_secs(15);
/// Pause before a member that did not answer is called again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Timeout of one call.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Changes of the topology within this time are handled together.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// Keeps connections to other members open.
pub(super) struct ConnectionKeeper {
    pub(super) context: Arc<NodeContext>,
}

impl ConnectionKeeper {
    /// Runs until the node stops.
    pub(super) async fn run(self) {
        planted!("call-when-needed", return);
        let mut due: BTreeMap<String, Instant> = BTreeMap::new();
        while matches!(self.context.lifecycle.phase(), Phase::Starting | Phase::Running) {
            let seen = self.context.applied.changed().count();
            let contacts = self.contacts();
            due.retain(|address, _| contacts.contains(address));
            let now = Instant::now();
            let called: Vec<String> = contacts
                .into_iter()
                .filter(|address| due.get(address).is_none_or(|due| now >= *due))
                .collect();
            let calls = called.iter().map(|address| self.greet(address));
            let answered = join_all(calls).await;
            for (address, answered) in called.into_iter().zip(answered) {
                let pause = if answered {
                    CONTACT_INTERVAL
                } else {
                    RETRY_INTERVAL
                };
                due.insert(address, Instant::now() + pause);
            }
            env::sleep(DEBOUNCE).await;
            let next = due
                .values()
                .min()
                .copied()
                .unwrap_or_else(|| Instant::now() + CONTACT_INTERVAL);
            let remaining = next.since(Instant::now());
            // Until the next call is due or the topology changes.
            let _ = env::timeout(remaining, self.context.applied.changed().after(seen)).await;
        }
    }

    /// The addresses of the members that this node may have to call without delay.
    fn contacts(&self) -> Vec<String> {
        let topology = self.context.applied.topology();
        let votes = topology.nodes.get(&self.context.me).is_some_and(|me| me.voter);
        let others = topology.nodes.values().filter(|node| node.id != self.context.me);
        others
            .filter(|node| node.status.is_up() && (votes || node.voter))
            .filter_map(|node| self.context.peers.address_of(node.raft_id))
            .collect()
    }

    async fn greet(&self, address: &str) -> bool {
        let from = Some(self.context.me.clone());
        let request =
            MemberRequest::new(self.context.peers.cluster_id(), from, MemberCall::Ping).forwarded(true);
        self.context
            .peers
            .call(address, Lane::Control, &request, ANSWER_TIMEOUT)
            .await
            .is_ok()
    }
}
