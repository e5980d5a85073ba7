//! The values of options that are not set, derived from other options.

use std::time::Duration;

use super::{ListenAddr, Options, TimingOptions, TimingProfile};
use crate::error::Result;
use crate::model::whole_millis;

/// The number of partitions of a new cluster by default.
const DEFAULT_PARTITION_COUNT: u32 = 64;
/// The number of intervals of silence after which a node is failed, by default.
const DEFAULT_FAILURE_THRESHOLD: u32 = 4;
/// The number of copies of each partition in a new cluster by default.
const DEFAULT_REPLICATION_FACTOR: u32 = 3;

/// The shortest heartbeat interval that is derived from other options.
const MIN_DERIVED_SYNC_INTERVAL: Duration = Duration::from_millis(10);

/// Election timings with every value decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimingValues {
    /// How often the leader sends Raft heartbeats to the voters.
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
    /// The heartbeat interval of a node by default.
    const fn sync_interval(self) -> Duration {
        Duration::from_millis(match self {
            Self::Fast => 100,
            Self::Lan | Self::Wan => 500,
        })
    }
}

impl TimingOptions {
    /// The profile's values, overridden by those that are set. A value of the profile that does not fit the set ones is
    /// adjusted.
    pub fn values(&self) -> TimingValues {
        let profile = self.profile.values();
        let election_min = self.election_min.unwrap_or_else(|| {
            let shortest = self.heartbeat.map_or(Duration::ZERO, |heartbeat| heartbeat * 2);
            let longest = self.election_max.unwrap_or(Duration::MAX);
            match profile.election_min {
                min if min > shortest && min < longest => min,
                min if min >= longest => (shortest + longest) / 2,
                _ => (shortest * 3 / 2).min(shortest.saturating_add(longest) / 2),
            }
        });
        TimingValues {
            heartbeat: self.heartbeat.unwrap_or_else(|| {
                if profile.heartbeat * 2 < election_min {
                    profile.heartbeat
                } else {
                    election_min / 3
                }
            }),
            election_min,
            election_max: self.election_max.unwrap_or_else(|| {
                if election_min < profile.election_max {
                    profile.election_max
                } else {
                    election_min.saturating_mul(2)
                }
            }),
        }
    }
}

impl Options {
    /// Whether this node may bootstrap a cluster by itself when it finds none.
    pub(crate) fn may_bootstrap_alone(&self) -> bool {
        let alone = self.join_addrs.is_empty() && self.bootstrap_expect.is_none();
        self.bootstrap.unwrap_or(alone) || self.bootstrap_expect == Some(1)
    }

    /// How many nodes this node expects before one of them bootstraps the cluster: 0 when it may bootstrap by itself,
    /// `None` when it may not bootstrap at all.
    pub(crate) fn bootstrap_expectation(&self) -> Option<u32> {
        if self.may_bootstrap_alone() {
            return Some(0);
        }
        self.bootstrap_expect
    }

    /// The node's display name: `node_name`, or `Server-1` for `node-1`, `server-1` and `1`, or the id itself.
    pub fn effective_node_name(&self) -> String {
        if let Some(name) = &self.node_name {
            return name.clone();
        }
        let id = &self.node_id;
        let number = match id.split_once('-') {
            Some((word, number))
                if word.eq_ignore_ascii_case("node") || word.eq_ignore_ascii_case("server") =>
            {
                number
            }
            _ => id,
        };
        if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
            format!("Server-{number}")
        } else {
            id.clone()
        }
    }

    /// Where to listen for HTTP (and for peers, unless [`Options::raft_listen`] says otherwise).
    ///
    /// # Errors
    /// [`crate::ErrorCode::InvalidOption`] when `http_addr` is malformed.
    pub fn http_listen(&self) -> Result<ListenAddr> {
        ListenAddr::parse(&self.http_addr).map_err(|error| error.context("option http_addr"))
    }

    /// Where to listen for peers, if they have a separate listener.
    ///
    /// # Errors
    /// [`crate::ErrorCode::InvalidOption`] when `raft_addr` is malformed.
    pub fn raft_listen(&self) -> Result<Option<ListenAddr>> {
        let parsed = self.raft_addr.as_deref().map(ListenAddr::parse).transpose();
        parsed.map_err(|error| error.context("option raft_addr"))
    }

    /// The partition count of a cluster that this node bootstraps: as set, or 64.
    pub fn bootstrap_partition_count(&self) -> u32 {
        self.partition_count.unwrap_or(DEFAULT_PARTITION_COUNT)
    }

    /// The replication factor of a cluster that this node bootstraps: as set, or 3.
    pub fn bootstrap_replication_factor(&self) -> u32 {
        self.replication_factor.unwrap_or(DEFAULT_REPLICATION_FACTOR)
    }

    /// How often the node sends a heartbeat to the leader: as set, or the interval of the timing profile, or more often
    /// where a short lease or failure timeout is set.
    pub fn effective_sync_interval(&self) -> Duration {
        self.sync_interval.unwrap_or_else(|| {
            let lease = self
                .lease_ttl
                .or_else(|| self.explicit_failure_timeout().map(lease_within));
            let interval = self.timing.profile.sync_interval();
            match lease {
                Some(lease) => {
                    let longest = (lease / 3).min(lease.saturating_sub(self.longest_election()));
                    let longest = Duration::from_millis(whole_millis(longest));
                    interval.min(longest).max(MIN_DERIVED_SYNC_INTERVAL)
                }
                None => interval,
            }
        })
    }

    /// How long a lease lasts: as set; or the longer of three heartbeat intervals and [`Options::lease_ttl_floor`], but
    /// no longer than a failure timeout that is set allows. 1.5 s by default.
    pub fn effective_lease_ttl(&self) -> Duration {
        self.lease_ttl.unwrap_or_else(|| {
            let desired = self.unbounded_lease_ttl();
            match self.explicit_failure_timeout() {
                Some(failure) if failure <= with_margin(desired) => lease_within(failure),
                _ => desired,
            }
        })
    }

    /// The derived lease when no failure timeout is set.
    fn unbounded_lease_ttl(&self) -> Duration {
        self.effective_sync_interval()
            .saturating_mul(3)
            .max(self.lease_ttl_floor())
    }

    /// The shortest lease that outlasts an election plus a renewal, so that a change of leader interrupts no
    /// primary.
    pub fn lease_ttl_floor(&self) -> Duration {
        // A node renews at a third of its lease when `sync_interval` is longer than that.
        let renewal = match self.explicit_failure_timeout() {
            Some(failure) if self.lease_ttl.is_none() => {
                self.effective_sync_interval().min(lease_within(failure) / 3)
            }
            _ => self.effective_sync_interval(),
        };
        self.longest_election().saturating_add(renewal)
    }

    /// The longest election after a crash, two maximal timeouts: voters wait one out first.
    fn longest_election(&self) -> Duration {
        self.timing.values().election_max.saturating_mul(2)
    }

    /// How much longer than a lease the failure timeout must at least be: a tenth of the lease. The clock rates of two
    /// machines differ by far less; the rest is for a process that is scheduled late.
    pub fn lease_margin(&self) -> Duration {
        self.effective_lease_ttl() / 10
    }

    /// How often the leader looks for silent nodes: as set; or `sync_interval`, or longer, so that the failure timeout
    /// is a third longer than the lease and no shorter than `health_check.timeout`. 500 ms by default.
    pub fn effective_health_interval(&self) -> Duration {
        self.health_check.interval.unwrap_or_else(|| {
            let threshold = self.health_check.failure_threshold.max(1);
            let desired = (self.effective_lease_ttl() / 3).saturating_mul(4);
            let desired = desired.max(self.health_check.timeout.unwrap_or(Duration::ZERO)) / threshold;
            // Rounded up to whole milliseconds, because rounding must never shorten it.
            self.effective_sync_interval().max(round_up_to_millis(desired))
        })
    }

    /// How long one heartbeat waits for its answer: as set, or `sync_interval`, but no longer than a third of a lease.
    pub fn effective_health_timeout(&self) -> Duration {
        self.health_check
            .timeout
            .unwrap_or_else(|| self.effective_sync_interval().min(self.effective_lease_ttl() / 3))
    }

    /// The failure timeout, if these options set it, directly or indirectly, instead of leaving it to its default.
    pub(crate) fn requested_failure_timeout(&self) -> Option<Duration> {
        let asked = self.health_check.interval.is_some()
            || self.health_check.failure_threshold != DEFAULT_FAILURE_THRESHOLD;
        asked.then(|| self.failure_timeout())
    }

    /// The failure timeout that `health_check.interval` sets. A lease and a heartbeat interval that are not set adapt
    /// to it.
    fn explicit_failure_timeout(&self) -> Option<Duration> {
        let interval = self.health_check.interval?;
        Some(interval.saturating_mul(self.effective_failure_threshold()))
    }

    /// The number of intervals of silence after which a node is failed: as set, or 4, or more when a short interval is
    /// set and four of them leave no room for a lease.
    pub(crate) fn effective_failure_threshold(&self) -> u32 {
        let threshold = self.health_check.failure_threshold;
        let Some(interval) = self
            .health_check
            .interval
            .filter(|_| threshold == DEFAULT_FAILURE_THRESHOLD)
        else {
            return threshold;
        };
        let failure = interval.saturating_mul(threshold);
        let sync = self.sync_interval.unwrap_or(self.timing.profile.sync_interval());
        let fits = match self.lease_ttl {
            Some(lease) => failure > with_margin(lease),
            None => {
                let lease = lease_within(failure);
                let renewal = self
                    .sync_interval
                    .unwrap_or(MIN_DERIVED_SYNC_INTERVAL)
                    .min(lease / 3);
                lease >= self.longest_election() + renewal
                    && self.sync_interval.is_none_or(|sync| failure >= sync * 2)
            }
        };
        if fits && self.health_check.timeout.is_none_or(|timeout| failure >= timeout) {
            return threshold;
        }
        let lease = self.lease_ttl.unwrap_or(
            sync.saturating_mul(3)
                .max(self.longest_election().saturating_add(sync)),
        );
        let needed = (lease / 3)
            .saturating_mul(4)
            .max(self.health_check.timeout.unwrap_or(Duration::ZERO))
            .saturating_add(Duration::from_millis(1));
        let intervals = needed.as_nanos().div_ceil(interval.as_nanos().max(1));
        u32::try_from(intervals).unwrap_or(u32::MAX).max(threshold)
    }

    /// How long a node may be silent before it is failed: the health-check interval times the failure threshold. 2 s by
    /// default.
    pub fn failure_timeout(&self) -> Duration {
        self.effective_health_interval()
            .saturating_mul(self.effective_failure_threshold())
    }
}

/// The lease that is derived from a failure timeout: three quarters of it, so that the failure timeout is a third
/// longer, as by default.
fn lease_within(failure: Duration) -> Duration {
    Duration::from_millis(whole_millis(failure / 4 * 3))
}

fn with_margin(lease: Duration) -> Duration {
    lease.saturating_add(lease / 10)
}

fn round_up_to_millis(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
}
