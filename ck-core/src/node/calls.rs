//! What the application asks of its node.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::{LeasedView, Node, Phase};
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::model::{
    Cluster, ConsensusStats, DataEntry, HealthStatus, LeaderInfo, Metrics, NodeHealth, NodeHealthState,
    NodeStatus, Timestamp,
};
use crate::routing::{ClusterView, ViewGuard};
use crate::state::{Command, Expect, Reply, Response, check_key, check_value};

impl Node {
    /// The view that lookups read. Takes no lock.
    pub(crate) fn view(&self) -> ViewGuard {
        self.replica.view().load()
    }

    /// The view that lookups read, and this node's lease beside it. Takes no lock.
    pub(crate) fn leased_view(&self) -> LeasedView {
        let until = self.lease.until();
        let until = self.acts().then_some(until);
        LeasedView::new(until, self.view())
    }

    /// True when this node takes the writes of partition `number` at this moment.
    pub(crate) fn is_primary(&self, number: u32) -> bool {
        let leased = self.leased_view();
        let partition = leased.view().partition_by_number(number);
        partition.is_some_and(|partition| leased.is_primary(&partition))
    }

    /// The epoch of partition `number`, when this node takes its writes at this moment: what storage is fenced with.
    ///
    /// # Errors
    /// [`ErrorCode::LeaseExpired`] when the node would be primary but holds no lease; [`ErrorCode::Conflict`] when
    /// another node is, or nobody; [`ErrorCode::NotFound`] when there is no such partition.
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
        if partition.is_primary() {
            return Err(Error::new(
                ErrorCode::LeaseExpired,
                format!("this node holds no lease, so it may not act as primary of {partition}"),
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

    /// True while this node holds a lease.
    pub(crate) fn is_leased(&self) -> bool {
        self.acts() && self.lease.holds()
    }

    /// True when this node leads the cluster at this moment.
    pub(crate) fn is_leader(&self) -> bool {
        self.acts() && self.member().is_ok_and(|member| member.leadership.is_leader())
    }

    /// The leader epoch with which this node leads.
    ///
    /// # Errors
    /// [`ErrorCode::LeaseExpired`] when it does not lead.
    pub(crate) fn leader_epoch(&self) -> Result<u64> {
        let epoch = self.member()?.leadership.epoch().filter(|_| self.acts());
        epoch.ok_or_else(|| Error::new(ErrorCode::LeaseExpired, "this node holds no leader lease"))
    }

    /// Who leads, as far as this node knows.
    pub(crate) fn leader(&self) -> Option<LeaderInfo> {
        let member = self.member().ok()?;
        let raft_leader = member.consensus.leader()?;
        let view = self.view();
        // The log names the leader a moment after its election; until then nobody leads with an epoch.
        view.leader()
            .filter(|node| node.raft_id == raft_leader)
            .and_then(|_| view.leader_info())
    }

    /// Waits until a leader is known.
    ///
    /// # Errors
    /// [`ErrorCode::NoLeader`] when there is none in time.
    pub(crate) async fn wait_for_leader(&self, timeout: Duration) -> Result<LeaderInfo> {
        let deadline = Instant::now() + timeout;
        loop {
            if self.phase() == Phase::Stopped {
                return Err(Error::new(ErrorCode::Stopped, "the node has stopped"));
            }
            if let Some(leader) = self.leader() {
                return Ok(leader);
            }
            let remaining = deadline.since(Instant::now());
            if remaining.is_zero() {
                return Err(Error::new(
                    ErrorCode::NoLeader,
                    format!("there was no leader within {timeout:?}"),
                ));
            }
            // A change of leader is a change of the topology, but Raft may know of it first.
            let seen = self.replica.changed().count();
            let step = remaining.min(Duration::from_millis(10));
            let _ = env::timeout(step, self.replica.changed().after(seen)).await;
        }
    }

    /// The whole cluster at one revision.
    pub(crate) fn cluster(&self) -> Cluster {
        let (view, data) = {
            // The view is published under this lock, so the two are of one revision.
            let state = self.replica.state();
            let data: BTreeMap<String, String> = state
                .data()
                .iter()
                .filter_map(|(key, entry)| {
                    let text = std::str::from_utf8(&entry.value).ok()?;
                    Some((key.clone(), text.to_owned()))
                })
                .collect();
            (self.view(), data)
        };
        view.cluster(data)
    }

    /// Raft's own numbers on this node.
    pub(crate) fn consensus_stats(&self) -> ConsensusStats {
        match self.member() {
            Ok(member) => {
                let mut stats = member.consensus.stats(|raft_id| self.node_of(raft_id));
                stats.is_leader = self.is_leader();
                stats
            }
            Err(_) => ConsensusStats {
                state: "Shutdown".to_owned(),
                term: 0,
                last_log_index: 0,
                last_log_term: 0,
                commit_index: 0,
                applied_index: self.replica.revision(),
                num_peers: 0,
                leader: "".into(),
                current_term: 0,
                current_leader: "".into(),
                is_leader: false,
            },
        }
    }

    /// When this node last heard of the leader; now, where it leads.
    fn last_sync(&self) -> Timestamp {
        if self.is_leader() {
            return env::wall_now();
        }
        Timestamp::from_millis(self.last_sync.load(std::sync::atomic::Ordering::Relaxed))
    }

    /// Counters and gauges.
    pub(crate) fn metrics(&self) -> Metrics {
        let view = self.view();
        let raft = self.consensus_stats();
        Metrics {
            node_count: view.nodes().len(),
            partition_count: view.topology().partitions.len(),
            request_count: self.counters.requests(),
            error_count: self.counters.errors(),
            last_sync: self.last_sync(),
            is_leader: raft.is_leader,
            raft_state: raft.state,
            uptime_seconds: self.created.elapsed().as_secs(),
        }
    }

    /// How this node is.
    pub(crate) fn health(&self) -> HealthStatus {
        let view = self.view();
        let raft = self.consensus_stats();
        let message = self.complaint_in(&view).unwrap_or_default();
        HealthStatus {
            healthy: message.is_empty(),
            node_id: self.me.clone(),
            node_name: self.options.effective_node_name(),
            is_leader: raft.is_leader,
            node_count: view.nodes().len(),
            partition_count: view.topology().partitions.len(),
            raft_state: raft.state,
            last_sync: self.last_sync(),
            uptime: uptime(self.created.elapsed()),
            message,
        }
    }

    /// What keeps this node from being healthy, if something does.
    #[cfg(feature = "sim")]
    pub(crate) fn complaint(&self) -> Option<String> {
        self.complaint_in(&self.view())
    }

    /// The same, where the answer that it is part of shows `view`.
    pub(crate) fn complaint_in(&self, view: &ClusterView) -> Option<String> {
        if let Some(error) = self.refusal() {
            return Some(error.to_string());
        }
        match self.phase() {
            Phase::Created => return Some("not started".to_owned()),
            Phase::Stopping | Phase::Stopped => return Some("stopping".to_owned()),
            Phase::Starting | Phase::Running => {}
        }
        if self.has_left_raft() {
            return Some("Raft has stopped on this node: its log has failed; restart it".to_owned());
        }
        if !view
            .my_node()
            .is_some_and(|node| node.status == NodeStatus::Active)
            || self.replica.incarnation().is_none()
        {
            return Some("not a member of the cluster yet".to_owned());
        }
        if self.leader().is_none() {
            return Some("no leader is known".to_owned());
        }
        if !self.is_leased() {
            return Some("this node holds no lease: it has not reached the leader lately".to_owned());
        }
        None
    }

    /// How a member is, as this node knows; the leader knows best.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`].
    pub(crate) fn node_health(&self, id: &str) -> Result<NodeHealth> {
        let view = self.view();
        let Some(node) = view.node(id) else {
            return Err(Error::new(
                ErrorCode::NotFound,
                format!("there is no node {id:?}"),
            ));
        };
        let interval = self
            .options
            .effective_health_interval()
            .max(Duration::from_millis(1));
        let silence = self.leases.heard_at(id).map(Instant::elapsed);
        let failures = silence.map_or(0, |s| {
            u32::try_from(s.as_millis() / interval.as_millis()).unwrap_or(u32::MAX)
        });
        let last_seen = match silence {
            Some(silence) => env::wall_now().before(silence),
            None => node.last_seen,
        };
        Ok(NodeHealth {
            node_id: node.id.clone(),
            failures,
            last_seen,
            healthy: node.status == NodeStatus::Active && node.health == NodeHealthState::Healthy,
        })
    }

    /// A value of the replicated store, as applied here.
    pub(crate) fn data(&self, key: &str) -> Option<DataEntry> {
        self.replica.state().data().get(key).cloned()
    }

    /// Up to `limit` keys that begin with `prefix` and come after `after`, in order.
    pub(crate) fn data_keys(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        self.replica
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
        let member = self.member()?;
        if !self.is_going() {
            return Err(Error::new(ErrorCode::Stopped, "the node is stopping"));
        }
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        // Before the log has told this process its incarnation it has no session to be remembered in.
        let deadline = Instant::now() + timeout;
        while self.replica.incarnation().is_none() {
            let seen = self.replica.changed().count();
            let remaining = deadline.since(Instant::now());
            if remaining.is_zero() {
                return Err(Error::new(
                    ErrorCode::NoLeader,
                    format!("this node was not a member within {timeout:?}; nothing was written"),
                ));
            }
            let _ = env::timeout(remaining, self.replica.changed().after(seen)).await;
        }
        self.adopt_session();
        member
            .proposer
            .propose(command, deadline.since(Instant::now()))
            .await
    }
}

/// `1h 2m 3s`.
fn uptime(duration: Duration) -> String {
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
}
