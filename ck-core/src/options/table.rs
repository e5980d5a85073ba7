//! The one table of options. Everything that needs an option's name, type, default, bounds, environment variable or
//! help reads it here: `set` and `get`, JSON, the environment, validation and docs/options.md.
//!
//! To add an option: add a field to [`Options`](super::Options), its "not set" value to `Options::unset`, and a row here.

use std::time::Duration;

use super::spec::{OptionAccess, OptionDefault, OptionKind, OptionSpec};
use super::value::OptionValue;
use super::{LogLevel, TimingProfile};

/// Every option, in the order of the documentation.
pub fn table() -> &'static [OptionSpec] {
    OPTIONS
}

macro_rules! field {
    ($($path:ident).+) => {
        OptionAccess {
            set: |options, kind, text| {
                options.$($path).+ = OptionValue::parse(kind, text)?;
                Ok(())
            },
            get: |options| options.$($path).+.format(),
            set_entry: |options, kind, key, text| options.$($path).+.set_entry(kind, key, text),
            entry: |options, key| options.$($path).+.entry(key),
        }
    };
}

const fn integer(min: u32, max: u32) -> OptionKind {
    OptionKind::Integer { min, max }
}

const fn millis(min: u64, max: u64) -> OptionKind {
    OptionKind::Duration {
        min: Duration::from_millis(min),
        max: Duration::from_millis(max),
    }
}

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const WEEK_MS: u64 = 7 * 24 * HOUR_MS;

static OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        name: "node_id",
        aliases: &["nodeId"],
        env: &["CLUSTERKIT_NODE_ID", "NODE_ID"],
        kind: OptionKind::Identifier,
        default: OptionDefault::Required,
        help: "This node's name in the cluster. Unique, and the same after every restart.",
        access: field!(node_id),
    },
    OptionSpec {
        name: "http_addr",
        aliases: &[],
        env: &["CLUSTERKIT_HTTP_ADDR", "HTTP_ADDR", "HTTP_PORT"],
        kind: OptionKind::ListenAddress,
        default: OptionDefault::Required,
        help: "Where the node listens, for HTTP and for peers. HTTP_PORT=8080 means \":8080\".",
        access: field!(http_addr),
    },
    OptionSpec {
        name: "node_name",
        aliases: &[],
        env: &["CLUSTERKIT_NODE_NAME", "NODE_NAME"],
        kind: OptionKind::Name,
        default: OptionDefault::Derived(
            "from node_id: node-1, server-1 and 1 become Server-1, any other id stays",
        ),
        help: "The display name of the node.",
        access: field!(node_name),
    },
    OptionSpec {
        name: "raft_addr",
        aliases: &[],
        env: &["CLUSTERKIT_RAFT_ADDR", "RAFT_ADDR"],
        kind: OptionKind::ListenAddress,
        default: OptionDefault::Derived("peers use http_addr"),
        help: "The address of a separate listener for peers.",
        access: field!(raft_addr),
    },
    OptionSpec {
        name: "advertise_addr",
        aliases: &[],
        env: &["CLUSTERKIT_ADVERTISE_ADDR", "ADVERTISE_ADDR"],
        kind: OptionKind::AdvertiseAddress,
        default: OptionDefault::Derived("derived from http_addr and the machine, never a bare port"),
        help: "The address that other nodes and clients dial. Without a port it takes the port that the node listens on.",
        access: field!(advertise_addr),
    },
    OptionSpec {
        name: "join_addrs",
        aliases: &["join_addr", "known_nodes"],
        env: &["CLUSTERKIT_JOIN_ADDRS", "JOIN_ADDR", "JOIN_ADDRS", "KNOWN_NODES"],
        kind: OptionKind::AddressList,
        default: OptionDefault::None,
        help: "Members to join through. One reachable address is enough, and a DNS name may have several records.",
        access: field!(join_addrs),
    },
    OptionSpec {
        name: "join_timeout",
        aliases: &[],
        env: &["CLUSTERKIT_JOIN_TIMEOUT", "JOIN_TIMEOUT"],
        kind: millis(10, WEEK_MS),
        default: OptionDefault::Value("30s"),
        help: "How long a node tries to join, with backoff, before its start fails.",
        access: field!(join_timeout),
    },
    OptionSpec {
        name: "bootstrap",
        aliases: &[],
        env: &["CLUSTERKIT_BOOTSTRAP", "BOOTSTRAP"],
        kind: OptionKind::Bool,
        default: OptionDefault::Derived("true when there is no join address and data_dir is empty"),
        help: "Whether this node may create a new cluster. Never does so when data_dir holds one.",
        access: field!(bootstrap),
    },
    OptionSpec {
        name: "bootstrap_expect",
        aliases: &[],
        env: &["CLUSTERKIT_BOOTSTRAP_EXPECT", "BOOTSTRAP_EXPECT"],
        kind: integer(1, 1_000),
        default: OptionDefault::None,
        help: "How many nodes, all configured alike and with each other in join_addrs, bootstrap a cluster together. The \
               one with the smallest node_id does it, once so many have found each other. Only where there is no cluster \
               yet.",
        access: field!(bootstrap_expect),
    },
    OptionSpec {
        name: "cluster_name",
        aliases: &["clusterId"],
        env: &["CLUSTERKIT_CLUSTER_NAME", "CLUSTER_NAME"],
        kind: OptionKind::Name,
        default: OptionDefault::Value("clusterkit-cluster"),
        help: "The cluster's name. A node of another name is refused.",
        access: field!(cluster_name),
    },
    OptionSpec {
        name: "partition_count",
        aliases: &[],
        env: &["CLUSTERKIT_PARTITION_COUNT", "PARTITION_COUNT"],
        kind: integer(1, 65_536),
        default: OptionDefault::Derived("the cluster's; 64 for a new cluster"),
        help: "How many partitions there are. Fixed when the cluster is created; a joiner that asks for another \
               number is refused.",
        access: field!(partition_count),
    },
    OptionSpec {
        name: "replication_factor",
        aliases: &[],
        env: &["CLUSTERKIT_REPLICATION_FACTOR", "REPLICATION_FACTOR"],
        kind: integer(1, 100),
        default: OptionDefault::Derived("the cluster's; 3 for a new cluster"),
        help: "How many nodes hold each partition, the primary included. With fewer nodes every node holds it.",
        access: field!(replication_factor),
    },
    OptionSpec {
        name: "data_dir",
        aliases: &[],
        env: &["CLUSTERKIT_DATA_DIR", "DATA_DIR"],
        kind: OptionKind::Path,
        default: OptionDefault::Value("./clusterkit-data"),
        help: "Where the log, the snapshot and the node's identity are kept. Empty: in memory, lost on exit.",
        access: field!(data_dir),
    },
    OptionSpec {
        name: "sync_interval",
        aliases: &["election.renewIntervalMs"],
        env: &["CLUSTERKIT_SYNC_INTERVAL", "SYNC_INTERVAL"],
        kind: millis(10, 10 * MINUTE_MS),
        default: OptionDefault::Derived(
            "from timing: 500ms, with fast 100ms; less where a short lease or failure timeout is set",
        ),
        help: "How often the node sends a heartbeat to the leader, which renews its lease. A third of the cluster's lease is \
               used where that is shorter.",
        access: field!(sync_interval),
    },
    OptionSpec {
        name: "lease_ttl",
        aliases: &["election.leaseTtlMs"],
        env: &["CLUSTERKIT_LEASE_TTL", "LEASE_TTL"],
        kind: millis(30, HOUR_MS),
        default: OptionDefault::Derived(
            "3 x sync_interval, or 2 x timing.election_max + sync_interval if that is longer: 1500ms; at most three \
             quarters of a failure timeout that is set",
        ),
        help: "How long a node may act as primary without contact with the leader.",
        access: field!(lease_ttl),
    },
    OptionSpec {
        name: "health_check.enabled",
        aliases: &[],
        env: &["CLUSTERKIT_HEALTH_CHECK_ENABLED", "HEALTH_CHECK_ENABLED"],
        kind: OptionKind::Bool,
        default: OptionDefault::Value("true"),
        help: "Whether silent nodes are declared failed and their partitions given to other nodes.",
        access: field!(health_check.enabled),
    },
    OptionSpec {
        name: "health_check.interval",
        aliases: &[],
        env: &["CLUSTERKIT_HEALTH_CHECK_INTERVAL", "HEALTH_CHECK_INTERVAL"],
        kind: millis(1, HOUR_MS),
        default: OptionDefault::Derived(
            "sync_interval, or longer where the failure timeout has to outlast the lease or the timeout: 500ms",
        ),
        help: "How often the leader checks for silent nodes. A node is failed after interval x failure_threshold.",
        access: field!(health_check.interval),
    },
    OptionSpec {
        name: "health_check.timeout",
        aliases: &[],
        env: &["CLUSTERKIT_HEALTH_CHECK_TIMEOUT", "HEALTH_CHECK_TIMEOUT"],
        kind: millis(1, HOUR_MS),
        default: OptionDefault::Derived("sync_interval, or a third of the lease if that is shorter: 500ms"),
        help: "How long one heartbeat waits for the leader's answer before it is retried.",
        access: field!(health_check.timeout),
    },
    OptionSpec {
        name: "health_check.failure_threshold",
        aliases: &[],
        env: &[
            "CLUSTERKIT_HEALTH_CHECK_FAILURE_THRESHOLD",
            "HEALTH_CHECK_FAILURE_THRESHOLD",
        ],
        kind: integer(1, 1_000),
        default: OptionDefault::Value("4"),
        help: "After how many intervals without a heartbeat a node is failed. The default of 4 is raised where four short \
               intervals leave no room for a lease.",
        access: field!(health_check.failure_threshold),
    },
    OptionSpec {
        name: "rebalance_delay",
        aliases: &[],
        env: &["CLUSTERKIT_REBALANCE_DELAY", "REBALANCE_DELAY"],
        kind: millis(0, WEEK_MS),
        default: OptionDefault::Value("10s"),
        help: "How long a failed node may stay away before its copies are replaced on other nodes.",
        access: field!(rebalance_delay),
    },
    OptionSpec {
        name: "migration_timeout",
        aliases: &[],
        env: &["CLUSTERKIT_MIGRATION_TIMEOUT", "MIGRATION_TIMEOUT"],
        kind: millis(10, WEEK_MS),
        default: OptionDefault::Value("5m"),
        help: "How long copying one partition may take before the migration is abandoned and planned again.",
        access: field!(migration_timeout),
    },
    OptionSpec {
        name: "max_concurrent_migrations",
        aliases: &[],
        env: &[
            "CLUSTERKIT_MAX_CONCURRENT_MIGRATIONS",
            "MAX_CONCURRENT_MIGRATIONS",
        ],
        kind: integer(1, 1_000),
        default: OptionDefault::Value("4"),
        help: "How many partitions one node copies at a time.",
        access: field!(max_concurrent_migrations),
    },
    OptionSpec {
        name: "max_cluster_migrations",
        aliases: &[],
        env: &["CLUSTERKIT_MAX_CLUSTER_MIGRATIONS", "MAX_CLUSTER_MIGRATIONS"],
        kind: integer(0, 1_000_000),
        default: OptionDefault::Value("0"),
        help: "How many partitions all nodes together copy at a time; 0 for any number.",
        access: field!(max_cluster_migrations),
    },
    OptionSpec {
        name: "timing",
        aliases: &["timing.profile"],
        env: &["CLUSTERKIT_TIMING", "TIMING"],
        kind: OptionKind::Choice(TimingProfile::NAMES),
        default: OptionDefault::Value("lan"),
        help: "The profile of Raft's timings: lan (heartbeat 50ms, election 150ms to 300ms), fast (30ms, 75ms to 150ms) or \
               wan (250ms, 1s to 2s).",
        access: field!(timing.profile),
    },
    OptionSpec {
        name: "timing.heartbeat",
        aliases: &[],
        env: &["CLUSTERKIT_TIMING_HEARTBEAT", "TIMING_HEARTBEAT"],
        kind: millis(5, MINUTE_MS),
        default: OptionDefault::Derived("from timing: 50ms; what suits the other two where they are set"),
        help: "How often the leader sends Raft heartbeats to the voters. Must exceed a round trip plus the slowest disk sync.",
        access: field!(timing.heartbeat),
    },
    OptionSpec {
        name: "timing.election_min",
        aliases: &[],
        env: &["CLUSTERKIT_TIMING_ELECTION_MIN", "TIMING_ELECTION_MIN"],
        kind: millis(10, 10 * MINUTE_MS),
        default: OptionDefault::Derived("from timing: 150ms; what suits the other two where they are set"),
        help: "The shortest election timeout: how long a voter waits for the leader before it stands for election.",
        access: field!(timing.election_min),
    },
    OptionSpec {
        name: "timing.election_max",
        aliases: &[],
        env: &["CLUSTERKIT_TIMING_ELECTION_MAX", "TIMING_ELECTION_MAX"],
        kind: millis(10, 10 * MINUTE_MS),
        default: OptionDefault::Derived("from timing: 300ms; what suits the other two where they are set"),
        help: "The longest election timeout; each voter draws its own between the two.",
        access: field!(timing.election_max),
    },
    OptionSpec {
        name: "max_voters",
        aliases: &[],
        env: &["CLUSTERKIT_MAX_VOTERS", "MAX_VOTERS"],
        kind: integer(1, 15),
        default: OptionDefault::Value("5"),
        help: "The maximum number of voters; the other members are learners. The number of voters is kept odd where possible.",
        access: field!(max_voters),
    },
    OptionSpec {
        name: "services",
        aliases: &[],
        env: &["CLUSTERKIT_SERVICES", "SERVICES"],
        kind: OptionKind::Services,
        default: OptionDefault::None,
        help: "Where the application's own services on this node are found. \":9080\" means the node's own host.",
        access: field!(services),
    },
    OptionSpec {
        name: "weight",
        aliases: &[],
        env: &["CLUSTERKIT_WEIGHT", "WEIGHT"],
        kind: integer(0, 10_000),
        default: OptionDefault::Value("100"),
        help: "This node's share of the partitions relative to other nodes; 0 takes none.",
        access: field!(weight),
    },
    OptionSpec {
        name: "zone",
        aliases: &[],
        env: &["CLUSTERKIT_ZONE", "ZONE"],
        kind: OptionKind::Identifier,
        default: OptionDefault::None,
        help: "The failure zone that this node is in. Copies of one partition go to different zones.",
        access: field!(zone),
    },
    OptionSpec {
        name: "labels",
        aliases: &[],
        env: &["CLUSTERKIT_LABELS", "LABELS"],
        kind: OptionKind::Labels,
        default: OptionDefault::None,
        help: "Free labels that other nodes and clients can read.",
        access: field!(labels),
    },
    OptionSpec {
        name: "hook_concurrency",
        aliases: &[],
        env: &["CLUSTERKIT_HOOK_CONCURRENCY", "HOOK_CONCURRENCY"],
        kind: integer(1, 1_000),
        default: OptionDefault::Value("50"),
        help: "How many threads at most run a batch of partition hooks.",
        access: field!(hook_concurrency),
    },
    OptionSpec {
        name: "runtime_threads",
        aliases: &[],
        env: &["CLUSTERKIT_RUNTIME_THREADS"],
        kind: integer(1, 64),
        default: OptionDefault::Derived("half as many as processors, 1 to 4"),
        help: "The number of threads of the runtime that all nodes of the process share. The first node that is created decides; a \
               client that is created before it takes the default.",
        access: field!(runtime_threads),
    },
    OptionSpec {
        name: "cluster_secret",
        aliases: &[],
        env: &["CLUSTERKIT_CLUSTER_SECRET", "CLUSTER_SECRET"],
        kind: OptionKind::ClusterSecret,
        default: OptionDefault::None,
        help: "The secret that all members share, from which the keys of members and the tokens of clients are derived. During \
               a change of it two, separated by a comma: the new one and the one before. clusterkit secret makes one.",
        access: field!(cluster_secret),
    },
    OptionSpec {
        name: "cluster_secret_file",
        aliases: &[],
        env: &["CLUSTERKIT_CLUSTER_SECRET_FILE", "CLUSTER_SECRET_FILE"],
        kind: OptionKind::Path,
        default: OptionDefault::None,
        help: "A file with what cluster_secret would be, in one line or two. It is read again when it changes.",
        access: field!(cluster_secret_file),
    },
    OptionSpec {
        name: "tls.cert",
        aliases: &[],
        env: &["CLUSTERKIT_TLS_CERT", "TLS_CERT"],
        kind: OptionKind::Path,
        default: OptionDefault::None,
        help: "A PEM file with the node's certificate and what leads from it to tls.ca. It is read again when it changes.",
        access: field!(tls.cert),
    },
    OptionSpec {
        name: "tls.key",
        aliases: &[],
        env: &["CLUSTERKIT_TLS_KEY", "TLS_KEY"],
        kind: OptionKind::Path,
        default: OptionDefault::None,
        help: "A PEM file with the private key of tls.cert.",
        access: field!(tls.key),
    },
    OptionSpec {
        name: "tls.ca",
        aliases: &[],
        env: &["CLUSTERKIT_TLS_CA", "TLS_CA"],
        kind: OptionKind::Path,
        default: OptionDefault::None,
        help: "A PEM file with the certificates of the authority that signs those of members and clients.",
        access: field!(tls.ca),
    },
    OptionSpec {
        name: "insecure",
        aliases: &[],
        env: &["CLUSTERKIT_INSECURE", "INSECURE"],
        kind: OptionKind::Bool,
        default: OptionDefault::Value("false"),
        help: "Whether a node without cluster_secret and tls may listen beyond loopback, where it obeys whoever reaches its port.",
        access: field!(insecure),
    },
    OptionSpec {
        name: "security_rollout",
        aliases: &[],
        env: &["CLUSTERKIT_SECURITY_ROLLOUT"],
        kind: OptionKind::Bool,
        default: OptionDefault::Value("false"),
        help: "Whether members and clients without a proof are accepted as well, while the members of a running cluster are given \
               cluster_secret or tls one after the other.",
        access: field!(security_rollout),
    },
    OptionSpec {
        name: "allowed_cidrs",
        aliases: &[],
        env: &["CLUSTERKIT_ALLOWED_CIDRS", "ALLOWED_CIDRS"],
        kind: OptionKind::CidrList,
        default: OptionDefault::None,
        help: "The networks in which the addresses of members may be; without any, everywhere. A node that names another one may not join.",
        access: field!(allowed_cidrs),
    },
    OptionSpec {
        name: "reserved_data_prefix",
        aliases: &[],
        env: &["CLUSTERKIT_RESERVED_DATA_PREFIX", "RESERVED_DATA_PREFIX"],
        kind: OptionKind::Name,
        default: OptionDefault::None,
        help: "Custom data under keys that begin with this only members write: HTTP clients read it at most.",
        access: field!(reserved_data_prefix),
    },
    OptionSpec {
        name: "log_level",
        aliases: &[],
        env: &["CLUSTERKIT_LOG_LEVEL", "LOG_LEVEL"],
        kind: OptionKind::Choice(LogLevel::NAMES),
        default: OptionDefault::Value("info"),
        help: "The least severe messages that reach the log callback.",
        access: field!(log_level),
    },
];
