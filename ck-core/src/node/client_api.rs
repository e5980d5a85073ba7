//! The lookups, queries and writes that the application asks of its node.

use std::time::Duration;

use bytes::Bytes;

use super::leader_contact::last_seen;
use super::phase::Phase;
use super::{LeasedView, Node};
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::http::{KeyRole, KeyRoute, KeyRoutes};
use crate::model::{
    Cluster, ConsensusStats, DataEntry, HealthStatus, LeaderInfo, Metrics, NodeHealth, NodeHealthState,
    NodeStatus, whole_millis,
};
use crate::routing::{ClusterView, ViewGuard};
use crate::state::{Command, Expect, Reply, Response, check_key, check_value};

impl Node {
    /// The view that lookups read. Takes no lock.
    pub(crate) fn view(&self) -> ViewGuard {
        self.context.applied.view().load()
    }

    /// The view that lookups read, and this node's lease beside it. Takes no lock.
    pub(crate) fn leased_view(&self) -> LeasedView {
        let until = self.context.lease.until();
        let until = self.context.acts().then_some(until);
        let view = self.view();
        let names = self.context.lease.names();
        // Read after the view, so that a copy that began under an earlier view is seen.
        let copying = self.hooks.hooks.copying();
        LeasedView::new(until, view, names, (!copying.is_idle()).then(|| copying.clone()))
    }

    /// True when this node takes the writes of partition `number` at this moment.
    pub(crate) fn is_primary(&self, number: u32) -> bool {
        let leased = self.leased_view();
        let partition = leased.view().partition_by_number(number);
        partition.is_some_and(|partition| leased.is_primary(&partition))
    }

    /// The epoch of partition `number`, where this node takes its writes at this moment: the fencing token for storage.
    ///
    /// # Errors
    /// [`ErrorCode::LeaseExpired`] when the node is primary but holds no lease for that role, or a hook still copies
    /// the partition; [`ErrorCode::Conflict`] when another node is primary, or none; [`ErrorCode::NotFound`] when there
    /// is no such partition.
    pub(crate) fn primary_epoch(&self, number: u32) -> Result<u64> {
        let leased = self.leased_view();
        let Some(partition) = leased.view().partition_by_number(number) else {
            return Err(Error::new(
                ErrorCode::NotFound,
                format!("there is no partition {number}"),
            ));
        };
        if leased.is_primary(&partition) {
            return Ok(partition.epoch());
        }
        if partition.is_primary() && leased.is_copying(&partition) {
            return Err(Error::new(
                ErrorCode::LeaseExpired,
                format!(
                    "a hook of this node still copies {partition}, so the node does not act as its primary yet"
                ),
            ));
        }
        if partition.is_primary() {
            return Err(Error::new(
                ErrorCode::LeaseExpired,
                format!("this node holds no lease for it, so it may not act as primary of {partition}"),
            ));
        }
        Err(Error::new(
            ErrorCode::Conflict,
            match partition.primary() {
                Some(primary) => format!("the primary of {partition} is node {:?}", primary.id),
                None => format!("{partition} has no primary at present"),
            },
        ))
    }

    /// What this node may do for each of `keys` at this moment, and which nodes to ask otherwise; `None` while there
    /// are no partitions. All routes are from one view, and are checked against the lease after it.
    pub(crate) fn route(&self, keys: &[&[u8]]) -> Option<KeyRoutes> {
        let leased = self.leased_view();
        let view = leased.view();
        let mut routes = Vec::with_capacity(keys.len());
        for key in keys {
            let partition = view.partition(key)?;
            routes.push(KeyRoute {
                partition: partition.id(),
                number: partition.number(),
                epoch: partition.epoch(),
                role: leased.role(&partition).into(),
                primary: partition.primary().cloned(),
                replicas: partition.replicas().cloned().collect(),
            });
        }
        // The clock is read once for all routes: a route names this node as primary only where time is left on the
        // lease.
        let left = leased.lease_left();
        if left.is_zero() {
            for route in routes.iter_mut().filter(|route| route.role == KeyRole::Primary) {
                route.role = KeyRole::None;
            }
        }
        Some(KeyRoutes {
            node_id: self.context.me.clone(),
            lease_ms: whole_millis(left),
            revision: view.revision(),
            routes,
        })
    }

    /// True while this node may act and holds a lease.
    pub(crate) fn is_leased(&self) -> bool {
        self.context.acts() && self.context.lease.holds()
    }

    /// True when this node leads the cluster at this moment.
    pub(crate) fn is_leader(&self) -> bool {
        self.context.is_leader()
    }

    /// The leader epoch with which this node leads.
    ///
    /// # Errors
    /// [`ErrorCode::LeaseExpired`] when it does not lead; those of [`Node::member`].
    pub(crate) fn leader_epoch(&self) -> Result<u64> {
        let epoch = self
            .context
            .raft_parts()?
            .leadership
            .epoch()
            .filter(|_| self.context.acts());
        epoch.ok_or_else(|| Error::new(ErrorCode::LeaseExpired, "this node holds no leader lease"))
    }

    /// The present leader: this node where it leads, otherwise a leader that has answered this node within a lease.
    pub(crate) fn leader(&self) -> Option<LeaderInfo> {
        self.contact.leader()
    }

    /// Waits until a leader is known.
    ///
    /// # Errors
    /// [`ErrorCode::NoLeader`] when there is none in time; [`ErrorCode::Stopped`] when the node has stopped.
    pub(crate) async fn wait_for_leader(&self, timeout: Duration) -> Result<LeaderInfo> {
        let deadline = Instant::now() + timeout;
        loop {
            if self.context.lifecycle.has_stopped() {
                return Err(Error::new(ErrorCode::Stopped, "the node has stopped"));
            }
            if let Some(leader) = self.contact.leader() {
                return Ok(leader);
            }
            let remaining = deadline.since(Instant::now());
            if remaining.is_zero() {
                return Err(Error::new(
                    ErrorCode::NoLeader,
                    format!("there was no leader within {timeout:?}"),
                ));
            }
            // A new leader changes the topology, but Raft may know it earlier: so each wait is short.
            let seen = self.context.applied.changed().count();
            let step = remaining.min(Duration::from_millis(10));
            let _ = env::timeout(step, self.context.applied.changed().after(seen)).await;
        }
    }

    /// The whole cluster at one revision, with the replicated store where it is asked for. It names no leader where the
    /// leader has not answered this node within a lease.
    pub(crate) fn cluster(&self, with_data: bool) -> Cluster {
        let (view, data) = {
            // The view is published under this lock, so both are of one revision. Values are shared by reference count.
            let state = self.context.applied.state();
            let copied = |(key, entry): (&String, &DataEntry)| (key.clone(), entry.value.clone());
            let data = with_data.then(|| state.data().iter().map(copied).collect());
            (self.view(), data)
        };
        let mut cluster = view.cluster(data);
        if !self.contact.hears_leader_in(&view) {
            cluster.leader = "".into();
        }
        cluster
    }

    /// Raft's statistics on this node.
    pub(crate) fn consensus_stats(&self) -> ConsensusStats {
        match self.context.raft_parts() {
            Ok(parts) => {
                let mut stats = parts.raft.stats(|raft_id| self.context.node_of(raft_id));
                stats.is_leader = self.is_leader();
                if !self.contact.hears_leader() {
                    stats.leader = "".into();
                    stats.current_leader = "".into();
                }
                stats
            }
            Err(_) => ConsensusStats {
                state: "Shutdown".to_owned(),
                term: 0,
                last_log_index: 0,
                last_log_term: 0,
                commit_index: 0,
                applied_index: self.context.applied.revision(),
                num_peers: 0,
                leader: "".into(),
                current_term: 0,
                current_leader: "".into(),
                is_leader: false,
            },
        }
    }

    /// Counters and gauges.
    pub(crate) fn metrics(&self) -> Metrics {
        let view = self.view();
        let raft = self.consensus_stats();
        Metrics {
            node_count: view.nodes().len(),
            partition_count: view.topology().partitions.len(),
            request_count: self.server.counters().requests(),
            error_count: self.server.counters().errors(),
            last_sync: self.contact.last_sync(),
            is_leader: raft.is_leader,
            raft_state: raft.state,
            uptime_seconds: self.context.lifecycle.uptime().as_secs(),
        }
    }

    /// The health of this node.
    pub(crate) fn health(&self) -> HealthStatus {
        let view = self.view();
        let raft = self.consensus_stats();
        let message = self.unhealthy_reason_in(&view).unwrap_or_default();
        HealthStatus {
            healthy: message.is_empty(),
            node_id: self.context.me.clone(),
            node_name: self.context.options.effective_node_name(),
            is_leader: raft.is_leader,
            node_count: view.nodes().len(),
            partition_count: view.topology().partitions.len(),
            raft_state: raft.state,
            last_sync: self.contact.last_sync(),
            uptime: uptime(self.context.lifecycle.uptime()),
            election_stretch: view.topology().election_stretch(),
            delay_ms: whole_millis(self.context.delay()),
            message,
        }
    }

    /// Why this node is not healthy; `None` where it is.
    #[cfg(feature = "sim")]
    pub(crate) fn unhealthy_reason(&self) -> Option<String> {
        self.unhealthy_reason_in(&self.view())
    }

    /// The same, for an answer that shows `view`.
    pub(crate) fn unhealthy_reason_in(&self, view: &ClusterView) -> Option<String> {
        if let Some(error) = self.context.standing.refusal() {
            return Some(error.to_string());
        }
        match self.context.lifecycle.phase() {
            Phase::Created => return Some("not started".to_owned()),
            Phase::Stopping | Phase::Stopped => return Some("stopping".to_owned()),
            Phase::Starting | Phase::Running => {}
        }
        if let Some(why) = self.context.end_of_raft() {
            return Some(why);
        }
        if let Some(complaint) = self.context.disk_unhealthy_reason() {
            return Some(complaint);
        }
        if !view
            .my_node()
            .is_some_and(|node| node.status == NodeStatus::Active)
            || self.context.applied.incarnation().is_none()
        {
            return Some("not a member of the cluster yet".to_owned());
        }
        if !self.contact.hears_leader_in(view) {
            return Some("no leader is known".to_owned());
        }
        if !self.is_leased() {
            return Some("this node holds no lease: it has not reached the leader lately".to_owned());
        }
        None
    }

    /// The health of a member, as far as this node knows; the leader knows best.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`] where there is no such member.
    pub(crate) fn node_health(&self, id: &str) -> Result<NodeHealth> {
        let view = self.view();
        let Some(node) = view.node(id) else {
            return Err(Error::new(
                ErrorCode::NotFound,
                format!("there is no node {id:?}"),
            ));
        };
        let interval = self
            .context
            .options
            .effective_health_interval()
            .max(Duration::from_millis(1));
        let silence = self.contact.silence_of(&node.id);
        let failures = silence.map_or(0, |s| {
            u32::try_from(s.as_millis() / interval.as_millis()).unwrap_or(u32::MAX)
        });
        Ok(NodeHealth {
            node_id: node.id.clone(),
            failures,
            last_seen: last_seen(node, silence),
            healthy: node.status == NodeStatus::Active && node.health == NodeHealthState::Healthy,
        })
    }

    /// A value of the replicated store, as this node has applied it.
    pub(crate) fn data(&self, key: &str) -> Option<DataEntry> {
        self.context.applied.state().data().get(key).cloned()
    }

    /// Up to `limit` keys that begin with `prefix` and come after `after`, in order.
    pub(crate) fn data_keys(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        self.context
            .applied
            .state()
            .data()
            .keys(prefix, after, limit)
            .cloned()
            .collect()
    }

    /// Writes a value; gives the revision of the write.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`], [`ErrorCode::TooLarge`], [`ErrorCode::Conflict`], [`ErrorCode::NoLeader`],
    /// [`ErrorCode::Timeout`].
    pub(crate) async fn set_data(
        &self,
        key: String,
        value: Bytes,
        expect: Expect,
        timeout: Duration,
    ) -> Result<u64> {
        check_key(&key)?;
        check_value(&value)?;
        let response = self
            .propose(Command::SetData { key, value, expect }, timeout)
            .await?;
        response.result.map(|_| response.revision)
    }

    /// Deletes a value; gives the revision and whether the key existed.
    ///
    /// # Errors
    /// As [`Node::set_data`].
    pub(crate) async fn delete_data(
        &self,
        key: String,
        expect: Expect,
        timeout: Duration,
    ) -> Result<(u64, bool)> {
        check_key(&key)?;
        let response = self.propose(Command::DeleteData { key, expect }, timeout).await?;
        match response.result? {
            Reply::Deleted(existed) => Ok((response.revision, existed)),
            other => Err(Error::internal(format!("a deletion was answered with {other:?}"))),
        }
    }

    async fn propose(&self, command: Command, timeout: Duration) -> Result<Response> {
        let parts = self.context.raft_parts()?;
        self.context.check_member()?;
        // Proposals are deduplicated by incarnation: until the log has given this process one, it has no session to
        // propose in.
        let deadline = Instant::now() + timeout;
        while self.context.applied.incarnation().is_none() {
            let seen = self.context.applied.changed().count();
            let remaining = deadline.since(Instant::now());
            if remaining.is_zero() {
                return Err(Error::new(
                    ErrorCode::NoLeader,
                    format!("this node was not a member within {timeout:?}; nothing was written"),
                ));
            }
            tokio::select! {
                biased;
                error = self.context.removed_or_refused() => return Err(error),
                _ = env::timeout(remaining, self.context.applied.changed().after(seen)) => {}
            }
        }
        self.context.adopt_session();
        let remaining = deadline.since(Instant::now());
        let response = parts.proposer.propose(command, remaining).await?;
        // The result of the proposal may be the first sign that this node is no longer a member.
        Ok(Response {
            result: response.result.map_err(|error| self.context.leaving_or(error)),
            ..response
        })
    }

    /// Waits until this node has applied `revision`.
    ///
    /// # Errors
    /// [`ErrorCode::Timeout`].
    pub(crate) async fn wait_for_revision(&self, revision: u64, timeout: Duration) -> Result<()> {
        self.context
            .raft_parts()?
            .proposer
            .wait_for(revision, timeout)
            .await
    }

    /// Waits until this node has applied everything that was committed when the call began; gives its revision.
    ///
    /// # Errors
    /// [`ErrorCode::NoLeader`] or [`ErrorCode::Timeout`] when that cannot be established or reached in time;
    /// [`ErrorCode::Removed`] when it never will be.
    pub(crate) async fn read_barrier(&self, timeout: Duration) -> Result<u64> {
        let parts = self.context.raft_parts()?;
        tokio::select! {
            biased;
            error = self.context.removed_or_refused() => Err(error),
            revision = parts.proposer.read_barrier(timeout) => revision,
        }
    }
}

/// Formats a duration as Go does, to the millisecond: `1h2m3.5s`.
fn uptime(duration: Duration) -> String {
    let (seconds, millis) = (duration.as_secs(), duration.subsec_millis());
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let mut text = String::new();
    if hours > 0 {
        text.push_str(&format!("{hours}h"));
    }
    if seconds >= 60 {
        text.push_str(&format!("{minutes}m"));
    }
    text.push_str(&(seconds % 60).to_string());
    if millis > 0 {
        text.push_str(format!(".{millis:03}").trim_end_matches('0'));
    }
    text.push('s');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptime_is_written_as_go_writes_durations() {
        for (millis, text) in [
            (0, "0s"),
            (5, "0.005s"),
            (7_000, "7s"),
            (59_990, "59.99s"),
            (60_000, "1m0s"),
            (3_600_000, "1h0m0s"),
            (3_723_500, "1h2m3.5s"),
            (360_000_000, "100h0m0s"),
        ] {
            assert_eq!(uptime(Duration::from_millis(millis)), text);
        }
    }
}
