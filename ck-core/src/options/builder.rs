//! Options in one expression.

use std::time::Duration;

use super::{LogLevel, Options, Secret, TimingProfile};
use crate::error::Result;

/// Makes [`Options`] in one expression, and checks them.
///
/// Every method sets one option; what is not set keeps the default of [`table()`](super::table()).
///
/// ```
/// use std::time::Duration;
///
/// use clusterkit::Options;
///
/// # fn main() -> clusterkit::Result<()> {
/// let options = Options::builder("node-1", ":8080")
///     .join_addrs(["10.0.0.1:8080", "10.0.0.2:8080"])
///     .data_dir("/var/lib/my-service")
///     .partition_count(256)
///     .rebalance_delay(Duration::from_secs(60))
///     .service("orders", ":9090")
///     .build()?;
/// assert_eq!(options.partition_count, Some(256));
/// assert!(Options::builder("node-1", ":8080").partition_count(0).build().is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "options come from `build`"]
pub struct OptionsBuilder {
    options: Options,
}

/// One method for each option whose type is the method's.
macro_rules! setters {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty => $value:ident $(.$field:ident)+ = $set:expr;)+) => {
        impl OptionsBuilder {
            $($(#[doc = $doc])+
            pub fn $name(mut self, $value: $type) -> Self {
                self.options$(.$field)+ = $set;
                self
            })+
        }
    };
}

setters! {
    /// A display name.
    node_name: impl Into<String> => name .node_name = Some(name.into());
    /// The address of a separate listener for peers.
    raft_addr: impl Into<String> => addr .raft_addr = Some(addr.into());
    /// The address that other nodes dial: `host` or `host:port`.
    advertise_addr: impl Into<String> => addr .advertise_addr = Some(addr.into());
    /// Members to join through, each `host:port`.
    join_addrs: impl IntoIterator<Item = impl Into<String>> => addrs
        .join_addrs = addrs.into_iter().map(Into::into).collect();
    /// How long to try to join.
    join_timeout: Duration => timeout .join_timeout = timeout;
    /// Whether this node may bootstrap a cluster.
    bootstrap: bool => may .bootstrap = Some(may);
    /// How many nodes bootstrap a cluster together, all alike.
    bootstrap_expect: u32 => nodes .bootstrap_expect = Some(nodes);
    /// The cluster's name.
    cluster_name: impl Into<String> => name .cluster_name = name.into();
    /// The number of partitions asked for, 1 to 65536.
    partition_count: u32 => count .partition_count = Some(count);
    /// The number of copies of each partition asked for.
    replication_factor: u32 => copies .replication_factor = Some(copies);
    /// The data directory; empty means in memory.
    data_dir: impl Into<String> => dir .data_dir = dir.into();
    /// How often the node sends a heartbeat, which renews its lease.
    sync_interval: Duration => interval .sync_interval = Some(interval);
    /// How long a lease lasts.
    lease_ttl: Duration => ttl .lease_ttl = Some(ttl);
    /// Whether silent nodes are marked as failed at all.
    health_check: bool => enabled .health_check .enabled = enabled;
    /// How often the leader looks for silent nodes.
    health_check_interval: Duration => interval .health_check .interval = Some(interval);
    /// How long one heartbeat waits for its answer.
    health_check_timeout: Duration => timeout .health_check .timeout = Some(timeout);
    /// The number of intervals of silence after which a node is failed.
    health_check_failure_threshold: u32 => intervals .health_check .failure_threshold = intervals;
    /// How long a failed node may stay away before its copies are made elsewhere.
    rebalance_delay: Duration => delay .rebalance_delay = delay;
    /// How long copying one partition may take.
    migration_timeout: Duration => timeout .migration_timeout = timeout;
    /// The maximum number of partitions that one node copies at a time.
    max_concurrent_migrations: u32 => partitions .max_concurrent_migrations = partitions;
    /// The maximum number of partitions that all nodes copy at a time; 0 for any number.
    max_cluster_migrations: u32 => partitions .max_cluster_migrations = partitions;
    /// The timing of elections.
    timing: TimingProfile => profile .timing .profile = profile;
    /// How often the leader sends Raft heartbeats to the voters.
    timing_heartbeat: Duration => interval .timing .heartbeat = Some(interval);
    /// The shortest election timeout.
    timing_election_min: Duration => timeout .timing .election_min = Some(timeout);
    /// The longest election timeout.
    timing_election_max: Duration => timeout .timing .election_max = Some(timeout);
    /// The maximum number of voters.
    max_voters: u32 => voters .max_voters = voters;
    /// This node's relative share of the partitions; 0 takes none.
    weight: u32 => share .weight = share;
    /// The failure zone.
    zone: impl Into<String> => zone .zone = Some(zone.into());
    /// The maximum number of threads that run a batch of partition hooks.
    hook_concurrency: u32 => threads .hook_concurrency = threads;
    /// The number of threads of the runtime that all nodes of the process share; the first node decides.
    runtime_threads: u32 => threads .runtime_threads = Some(threads);
    /// The secret that all members share, or two during a change of it.
    cluster_secret: impl Into<Secret> => secret .cluster_secret = Some(secret.into());
    /// A file with the secret.
    cluster_secret_file: impl Into<String> => path .cluster_secret_file = Some(path.into());
    /// A PEM file with the node's certificate.
    tls_cert: impl Into<String> => path .tls .cert = Some(path.into());
    /// A PEM file with the certificate's private key.
    tls_key: impl Into<String> => path .tls .key = Some(path.into());
    /// A PEM file with the certificates of the authority.
    tls_ca: impl Into<String> => path .tls .ca = Some(path.into());
    /// Whether a node without a secret and certificates may listen beyond loopback.
    insecure: bool => insecure .insecure = insecure;
    /// Whether members and clients without a proof are accepted while the others are given one.
    security_rollout: bool => rollout .security_rollout = rollout;
    /// The networks in which the addresses of members may be.
    allowed_cidrs: impl IntoIterator<Item = impl Into<String>> => networks
        .allowed_cidrs = networks.into_iter().map(Into::into).collect();
    /// The beginning of the keys of custom data that only members write.
    reserved_data_prefix: impl Into<String> => prefix .reserved_data_prefix = Some(prefix.into());
    /// The least severe messages that reach the log callback.
    log_level: LogLevel => level .log_level = level;
}

impl OptionsBuilder {
    /// One endpoint of the application's own: `:port` or `host:port`.
    pub fn service(mut self, name: impl Into<String>, addr: impl Into<String>) -> Self {
        self.options.services.insert(name.into(), addr.into());
        self
    }

    /// One free-form label.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.labels.insert(name.into(), value.into());
        self
    }

    /// The options.
    ///
    /// # Errors
    /// As [`Options::validate`], with the option, its value and what would be right.
    pub fn build(self) -> Result<Options> {
        self.options.validate()?;
        Ok(self.options)
    }
}

impl Options {
    /// Options in one expression, for a node with this id that listens on `http_addr`.
    pub fn builder(node_id: impl Into<String>, http_addr: impl Into<String>) -> OptionsBuilder {
        OptionsBuilder {
            options: Options::new(node_id, http_addr),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::table;

    /// A setter is named as its option, a dot of the option's name being an underscore.
    #[test]
    fn every_option_has_a_setter() {
        let source = include_str!("builder.rs");
        for spec in table() {
            let name = match spec.name {
                // Given to `builder`, or one entry at a time.
                "node_id" | "http_addr" => continue,
                "services" => "service",
                "labels" => "label",
                "health_check.enabled" => "health_check",
                name => name,
            };
            let setter = name.replace('.', "_");
            let is_there = source.contains(&format!("\n    {setter}: "))
                || source.contains(&format!("pub fn {setter}("));
            assert!(is_there, "{} has no setter {setter}", spec.name);
        }
    }

    #[test]
    fn what_is_built_is_what_the_fields_say() {
        let built = Options::builder("a", ":1")
            .join_addrs(["b:1"])
            .health_check_interval(Duration::from_millis(700))
            .timing(TimingProfile::Wan)
            .service("orders", ":2")
            .label("rack", "7")
            .build()
            .unwrap();
        let mut expected = Options::new("a", ":1");
        expected.join_addrs = vec!["b:1".to_owned()];
        expected.health_check.interval = Some(Duration::from_millis(700));
        expected.timing.profile = TimingProfile::Wan;
        expected.services.insert("orders".to_owned(), ":2".to_owned());
        expected.labels.insert("rack".to_owned(), "7".to_owned());
        assert_eq!(built, expected);
    }
}
