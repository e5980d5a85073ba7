"""The options as keywords. Generated from the core's tables by generate.py: a test compares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Literal, TypedDict

from ._values import Time


class Options(TypedDict, total=False):
    """The options of a node, as keywords of `ClusterKit`; `node_id` and `http_addr` are its first two arguments."""

    node_name: str | None
    """The display name of the node. Bounds: 1 to 255 bytes, no control characters, no blanks at either end. Default:
    from node_id: node-1, server-1 and 1 become Server-1, any other id stays.
    """
    raft_addr: str | None
    """The address of a separate listener for peers. Bounds: :port, host:port or [ipv6]:port; port 0 asks the system.
    Default: peers use http_addr.
    """
    advertise_addr: str | None
    """The address that other nodes and clients dial. Without a port it takes the port that the node listens on.
    Bounds: host or host:port, no wildcard. Default: derived from http_addr and the machine, never a bare port.
    """
    join_addrs: str | Sequence[str] | None
    """Members to join through. One reachable address is enough, and a DNS name may have several records. Bounds: up to
    256 of host:port, separated by commas.
    """
    join_timeout: Time | str | None
    """How long a node tries to join, with backoff, before its start fails. Bounds: 10ms to 168h. Default: 30s."""
    bootstrap: bool | None
    """Whether this node may create a new cluster. Never does so when data_dir holds one. Bounds: true or false.
    Default: true when there is no join address and data_dir is empty.
    """
    bootstrap_expect: int | None
    """How many nodes, all configured alike and with each other in join_addrs, bootstrap a cluster together. The one
    with the smallest node_id does it, once so many have found each other. Only where there is no cluster yet.
    Bounds: 1 to 1000.
    """
    cluster_name: str | None
    """The cluster's name. A node of another name is refused. Bounds: 1 to 255 bytes, no control characters, no blanks
    at either end. Default: clusterkit-cluster.
    """
    partition_count: int | None
    """How many partitions there are. Fixed when the cluster is created; a joiner that asks for another number is
    refused. Bounds: 1 to 65536. Default: the cluster's; 64 for a new cluster.
    """
    replication_factor: int | None
    """How many nodes hold each partition, the primary included. With fewer nodes every node holds it. Bounds: 1 to
    100. Default: the cluster's; 3 for a new cluster.
    """
    data_dir: str | PathLike[str] | None
    """Where the log, the snapshot and the node's identity are kept. Empty: in memory, lost on exit. Bounds: a path,
    without quotes, a ~ or blanks around it. Default: ./clusterkit-data.
    """
    sync_interval: Time | str | None
    """How often the node sends a heartbeat to the leader, which renews its lease. A third of the cluster's lease is
    used where that is shorter. Bounds: 10ms to 10m. Default: from timing: 500ms, with fast 100ms; less where a
    short lease or failure timeout is set.
    """
    lease_ttl: Time | str | None
    """How long a node may act as primary without contact with the leader. Bounds: 30ms to 1h. Default: 3 x
    sync_interval, or 2 x timing.election_max + sync_interval if that is longer: 1500ms; at most three quarters of a
    failure timeout that is set.
    """
    health_check_enabled: bool | None
    """Whether silent nodes are declared failed and their partitions given to other nodes. Bounds: true or false.
    Default: true.
    """
    health_check_interval: Time | str | None
    """How often the leader checks for silent nodes. A node is failed after interval x failure_threshold. Bounds: 1ms
    to 1h. Default: sync_interval, or longer where the failure timeout has to outlast the lease or the timeout:
    500ms.
    """
    health_check_timeout: Time | str | None
    """How long one heartbeat waits for the leader's answer before it is retried. Bounds: 1ms to 1h. Default:
    sync_interval, or a third of the lease if that is shorter: 500ms.
    """
    health_check_failure_threshold: int | None
    """After how many intervals without a heartbeat a node is failed. The default of 4 is raised where four short
    intervals leave no room for a lease. Bounds: 1 to 1000. Default: 4.
    """
    rebalance_delay: Time | str | None
    """How long a failed node may stay away before its copies are replaced on other nodes. Bounds: 0s to 168h. Default:
    10s.
    """
    migration_timeout: Time | str | None
    """How long copying one partition may take before the migration is abandoned and planned again. Bounds: 10ms to
    168h. Default: 5m.
    """
    max_concurrent_migrations: int | None
    """How many partitions one node copies at a time. Bounds: 1 to 1000. Default: 4."""
    max_cluster_migrations: int | None
    """How many partitions all nodes together copy at a time; 0 for any number. Bounds: 0 to 1000000. Default: 0."""
    timing: Literal["lan", "fast", "wan"] | None
    """The profile of Raft's timings: lan (heartbeat 50ms, election 150ms to 300ms), fast (30ms, 75ms to 150ms) or wan
    (250ms, 1s to 2s). Bounds: lan, fast, wan. Default: lan.
    """
    timing_heartbeat: Time | str | None
    """How often the leader sends Raft heartbeats to the voters. Must exceed a round trip plus the slowest disk sync.
    Bounds: 5ms to 1m. Default: from timing: 50ms; what suits the other two where they are set.
    """
    timing_election_min: Time | str | None
    """The shortest election timeout: how long a voter waits for the leader before it stands for election. Bounds: 10ms
    to 10m. Default: from timing: 150ms; what suits the other two where they are set.
    """
    timing_election_max: Time | str | None
    """The longest election timeout; each voter draws its own between the two. Bounds: 10ms to 10m. Default: from
    timing: 300ms; what suits the other two where they are set.
    """
    max_voters: int | None
    """The maximum number of voters; the other members are learners. The number of voters is kept odd where possible.
    Bounds: 1 to 15. Default: 5.
    """
    services: str | Mapping[str, str] | None
    """Where the application's own services on this node are found. ':9080' means the node's own host. Bounds: up to 64
    of name=:port or name=host:port, separated by commas.
    """
    weight: int | None
    """This node's share of the partitions relative to other nodes; 0 takes none. Bounds: 0 to 10000. Default: 100."""
    zone: str | None
    """The failure zone that this node is in. Copies of one partition go to different zones. Bounds: 1 to 255 of A-Z
    a-z 0-9 . _ : -, and neither . nor ..
    """
    labels: str | Mapping[str, str] | None
    """Free labels that other nodes and clients can read. Bounds: up to 64 of name=value, separated by commas."""
    hook_concurrency: int | None
    """How many threads at most run a batch of partition hooks. Bounds: 1 to 1000. Default: 50."""
    runtime_threads: int | None
    """The number of threads of the runtime that all nodes of the process share. The first node that is created
    decides; a client that is created before it takes the default. Bounds: 1 to 64. Default: half as many as
    processors, 1 to 4.
    """
    cluster_secret: str | None
    """The secret that all members share, from which the keys of members and the tokens of clients are derived. During
    a change of it two, separated by a comma: the new one and the one before. clusterkit secret makes one. Bounds:
    43 to 1024 printable characters, or two such texts separated by a comma.
    """
    cluster_secret_file: str | None
    """A file with what cluster_secret would be, in one line or two. It is read again when it changes. Bounds: a path,
    without quotes, a ~ or blanks around it.
    """
    tls_cert: str | None
    """A PEM file with the node's certificate and what leads from it to tls.ca. It is read again when it changes.
    Bounds: a path, without quotes, a ~ or blanks around it.
    """
    tls_key: str | None
    """A PEM file with the private key of tls.cert. Bounds: a path, without quotes, a ~ or blanks around it."""
    tls_ca: str | None
    """A PEM file with the certificates of the authority that signs those of members and clients. Bounds: a path,
    without quotes, a ~ or blanks around it.
    """
    insecure: bool | None
    """Whether a node without cluster_secret and tls may listen beyond loopback, where it obeys whoever reaches its
    port. Bounds: true or false. Default: false.
    """
    security_rollout: bool | None
    """Whether members and clients without a proof are accepted as well, while the members of a running cluster are
    given cluster_secret or tls one after the other. Bounds: true or false. Default: false.
    """
    allowed_cidrs: str | Sequence[str] | None
    """The networks in which the addresses of members may be; without any, everywhere. A node that names another one
    may not join. Bounds: up to 256 of address/length, separated by commas.
    """
    reserved_data_prefix: str | None
    """Custom data under keys that begin with this only members write: HTTP clients read it at most. Bounds: 1 to 255
    bytes, no control characters, no blanks at either end.
    """
    log_level: Literal["off", "error", "warn", "info", "debug", "trace"] | None
    """The least severe messages that reach the log callback. Bounds: off, error, warn, info, debug, trace. Default:
    info.
    """


class ClientOptions(TypedDict, total=False):
    """The options of a client, as keywords of `Client`; `addrs` is its first argument."""

    cluster_name: str | None
    """The name that the cluster must have. Without it the cluster of the first answer is followed. Bounds: 1 to 255
    bytes, no control characters, no blanks at either end.
    """
    token: str | None
    """What clusterkit token has made for this client. It is needed where the cluster has a secret, and is never shown.
    Bounds: 1 to 4096 printable characters.
    """
    member_addrs: bool | None
    """Whether the addresses that members advertise are used too. Set it to false where they cannot be dialled from
    here. Bounds: true or false. Default: true.
    """
    poll_timeout: Time | str | None
    """How long a member may hold a poll while nothing changes. A member that is cut off from the others is noticed
    after so long. Bounds: 100ms to 1m. Default: 5s.
    """
    update_interval: Time | str | None
    """The shortest time between two answers that are asked for while the cluster keeps changing. The first change
    after a pause is never delayed. Bounds: 0s to 1m. Default: 100ms.
    """
    connect_timeout: Time | str | None
    """How long a name may take to be looked up, and then a connection to be made. Bounds: 10ms to 1m. Default: 2s."""
    request_timeout: Time | str | None
    """How long an answer may take, beyond what the member was asked to wait; a long answer has a second more for each
    64 KiB. Bounds: 10ms to 1m. Default: 5s.
    """
    retry_min: Time | str | None
    """The first pause after an address has failed. It doubles with each further failure, and up to half of it is left
    out at random. Bounds: 1ms to 1m. Default: 100ms.
    """
    retry_max: Time | str | None
    """The longest such pause. Bounds: 1ms to 1h. Default: 5s."""
    max_response_bytes: int | None
    """The longest answer that is read, in bytes. 65,536 partitions with short node ids take about 10 MB. Bounds: 65536
    to 1073741824. Default: 67108864.
    """
    tls_ca: str | None
    """A PEM file with the authority of the members' certificates. With it the client speaks TLS. A member is known by
    its certificate for cluster_name, or for the cluster that tls_cert names; without both, by its host. The files
    are read again when they change. Bounds: a path, without quotes, a ~ or blanks around it.
    """
    tls_cert: str | None
    """A PEM file with the client's own certificate, where the cluster asks for one. Bounds: a path, without quotes, a
    ~ or blanks around it.
    """
    tls_key: str | None
    """A PEM file with the private key of tls_cert. Bounds: a path, without quotes, a ~ or blanks around it."""
    insecure: bool | None
    """Whether TLS is spoken with whoever answers, without any verification. For tests: whoever is in between reads and
    changes everything. Bounds: true or false. Default: false.
    """
    log_level: Literal["off", "error", "warn", "info", "debug", "trace"] | None
    """The least severe messages that reach the log callback. Bounds: off, error, warn, info, debug, trace. Default:
    info.
    """


_NODE_OPTIONS: dict[str, tuple[str, bool]] = {
    "node_id": ("node_id", False),
    "http_addr": ("http_addr", False),
    "node_name": ("node_name", False),
    "raft_addr": ("raft_addr", False),
    "advertise_addr": ("advertise_addr", False),
    "join_addrs": ("join_addrs", False),
    "join_timeout": ("join_timeout", True),
    "bootstrap": ("bootstrap", False),
    "bootstrap_expect": ("bootstrap_expect", False),
    "cluster_name": ("cluster_name", False),
    "partition_count": ("partition_count", False),
    "replication_factor": ("replication_factor", False),
    "data_dir": ("data_dir", False),
    "sync_interval": ("sync_interval", True),
    "lease_ttl": ("lease_ttl", True),
    "health_check_enabled": ("health_check.enabled", False),
    "health_check_interval": ("health_check.interval", True),
    "health_check_timeout": ("health_check.timeout", True),
    "health_check_failure_threshold": ("health_check.failure_threshold", False),
    "rebalance_delay": ("rebalance_delay", True),
    "migration_timeout": ("migration_timeout", True),
    "max_concurrent_migrations": ("max_concurrent_migrations", False),
    "max_cluster_migrations": ("max_cluster_migrations", False),
    "timing": ("timing", False),
    "timing_heartbeat": ("timing.heartbeat", True),
    "timing_election_min": ("timing.election_min", True),
    "timing_election_max": ("timing.election_max", True),
    "max_voters": ("max_voters", False),
    "services": ("services", False),
    "weight": ("weight", False),
    "zone": ("zone", False),
    "labels": ("labels", False),
    "hook_concurrency": ("hook_concurrency", False),
    "runtime_threads": ("runtime_threads", False),
    "cluster_secret": ("cluster_secret", False),
    "cluster_secret_file": ("cluster_secret_file", False),
    "tls_cert": ("tls.cert", False),
    "tls_key": ("tls.key", False),
    "tls_ca": ("tls.ca", False),
    "insecure": ("insecure", False),
    "security_rollout": ("security_rollout", False),
    "allowed_cidrs": ("allowed_cidrs", False),
    "reserved_data_prefix": ("reserved_data_prefix", False),
    "log_level": ("log_level", False),
}

_CLIENT_OPTIONS: dict[str, tuple[str, bool]] = {
    "addrs": ("addrs", False),
    "cluster_name": ("cluster_name", False),
    "token": ("token", False),
    "member_addrs": ("member_addrs", False),
    "poll_timeout": ("poll_timeout", True),
    "update_interval": ("update_interval", True),
    "connect_timeout": ("connect_timeout", True),
    "request_timeout": ("request_timeout", True),
    "retry_min": ("retry_min", True),
    "retry_max": ("retry_max", True),
    "max_response_bytes": ("max_response_bytes", False),
    "tls_ca": ("tls_ca", False),
    "tls_cert": ("tls_cert", False),
    "tls_key": ("tls_key", False),
    "insecure": ("insecure", False),
    "log_level": ("log_level", False),
}
