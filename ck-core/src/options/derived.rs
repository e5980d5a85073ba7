//! What options come to when they are left to their defaults.

use std::time::Duration;

use super::{ListenAddr, Options, TimingOptions, TimingProfile};
use crate::error::Result;

/// Partitions of a new cluster when nobody asked for a number.
const DEFAULT_PARTITION_COUNT: u32 = 64;
/// How many intervals of silence make a node failed when nobody asked for a number.
const DEFAULT_FAILURE_THRESHOLD: u32 = 4;
/// Copies of each partition in a new cluster when nobody asked for a number.
const DEFAULT_REPLICATION_FACTOR: u32 = 3;

/// Election timings with every value decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimingValues {
    /// How often the leader calls the voters.
    pub heartbeat: Duration,
    /// The shortest election timeout.
    pub election_min: Duration,
    /// The longest election timeout.
    pub election_max: Duration,
}

impl TimingProfile {
    /// The profile's own values.
    pub const fn values(self) -> TimingValues {
        let (heartbeat, election_min, election_max) = match self {
            Self::Lan => (50, 150, 300),
            Self::Fast => (30, 75, 150),
            Self::Wan => (250, 1_000, 2_000),
        };
        TimingValues {
            heartbeat: Duration::from_millis(heartbeat),
            election_min: Duration::from_millis(election_min),
            election_max: Duration::from_millis(election_max),
        }
    }
}

impl TimingProfile {
    /// How often a node syncs where nobody asked for another pace.
    const fn sync_interval(self) -> Duration {
        Duration::from_millis(match self {
            Self::Fast => 100,
            Self::Lan | Self::Wan => 500,
        })
    }
}

impl TimingOptions {
    /// The profile's values, overridden by those that are set.
    pub fn values(&self) -> TimingValues {
        let profile = self.profile.values();
        TimingValues {
            heartbeat: self.heartbeat.unwrap_or(profile.heartbeat),
            election_min: self.election_min.unwrap_or(profile.election_min),
            election_max: self.election_max.unwrap_or(profile.election_max),
        }
    }
}

impl Options {
    /// The node's name for people: `node_name`, or `Server-1` for `node-1`, or the id itself.
    pub fn effective_node_name(&self) -> String {
        if let Some(name) = &self.node_name {
            return name.clone();
        }
        let number = self.node_id.strip_prefix("node-");
        match number.filter(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())) {
            Some(number) => format!("Server-{number}"),
            None => self.node_id.clone(),
        }
    }

    /// Where to listen for HTTP (and for peers, unless [`Options::raft_listen`] says otherwise).
    ///
    /// # Errors
    /// [`crate::ErrorCode::InvalidOption`] when `http_addr` is malformed.
    pub fn http_listen(&self) -> Result<ListenAddr> {
        ListenAddr::parse(&self.http_addr).map_err(|error| error.context("option http_addr"))
    }

    /// Where to listen for peers, if that is a listener of its own.
    ///
    /// # Errors
    /// [`crate::ErrorCode::InvalidOption`] when `raft_addr` is malformed.
    pub fn raft_listen(&self) -> Result<Option<ListenAddr>> {
        let parsed = self.raft_addr.as_deref().map(ListenAddr::parse).transpose();
        parsed.map_err(|error| error.context("option raft_addr"))
    }

    /// The partition count for a cluster that this node creates: asked for, or 64.
    pub fn bootstrap_partition_count(&self) -> u32 {
        self.partition_count.unwrap_or(DEFAULT_PARTITION_COUNT)
    }

    /// The replication factor for a cluster that this node creates: asked for, or 3.
    pub fn bootstrap_replication_factor(&self) -> u32 {
        self.replication_factor.unwrap_or(DEFAULT_REPLICATION_FACTOR)
    }

    /// How often the node tells the leader that it lives: as set, or what the timing profile asks for.
    pub fn effective_sync_interval(&self) -> Duration {
        self.sync_interval
            .unwrap_or_else(|| self.timing.profile.sync_interval())
    }

    /// How long a lease lasts: as set, or the longer of three renewals and what
    /// [`Options::lease_ttl_floor`] asks for. 1.5 s by default.
    pub fn effective_lease_ttl(&self) -> Duration {
        self.lease_ttl.unwrap_or_else(|| {
            self.effective_sync_interval()
                .saturating_mul(3)
                .max(self.lease_ttl_floor())
        })
    }

    /// The shortest lease that outlasts an election plus a renewal, so that a change of leader interrupts no
    /// primary. An election after a crash takes up to two maximal timeouts: voters wait one out first.
    pub fn lease_ttl_floor(&self) -> Duration {
        self.timing
            .values()
            .election_max
            .saturating_mul(2)
            .saturating_add(self.effective_sync_interval())
    }

    /// How much longer than a lease the failure timeout must be at least: a tenth of the lease. Clocks of two
    /// machines count at rates that differ by far less; the rest is for a process that is scheduled late.
    pub fn lease_margin(&self) -> Duration {
        self.effective_lease_ttl() / 10
    }

    /// How often the leader looks for silent nodes: as set, or `sync_interval`, or what makes the failure
    /// timeout a third longer than the lease. 500 ms by default.
    pub fn effective_health_interval(&self) -> Duration {
        self.health_check.interval.unwrap_or_else(|| {
            let threshold = self.health_check.failure_threshold.max(1);
            let wanted = (self.effective_lease_ttl() / 3).saturating_mul(4) / threshold;
            // Up to whole milliseconds: rounding must never shorten it.
            let millis = u64::try_from(wanted.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
            self.effective_sync_interval().max(Duration::from_millis(millis))
        })
    }

    /// How long one sync waits for its answer: as set, or `sync_interval`.
    pub fn effective_health_timeout(&self) -> Duration {
        self.health_check
            .timeout
            .unwrap_or(self.effective_sync_interval())
    }

    /// The failure timeout, where these options ask for one and do not only leave it to its default.
    pub(crate) fn asked_failure_timeout(&self) -> Option<Duration> {
        let asked = self.health_check.interval.is_some()
            || self.health_check.failure_threshold != DEFAULT_FAILURE_THRESHOLD;
        asked.then(|| self.failure_timeout())
    }

    /// How long a node may be silent before it is failed: health-check interval times failure threshold. 2 s
    /// by default.
    pub fn failure_timeout(&self) -> Duration {
        self.effective_health_interval()
            .saturating_mul(self.health_check.failure_threshold)
    }
}
