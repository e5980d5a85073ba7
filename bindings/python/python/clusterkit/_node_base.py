"""A node of a cluster: what it answers at once, for threads and event loops alike."""

from __future__ import annotations

import logging
import warnings
from array import array
from collections.abc import Iterable
from typing import Any, Self, TypeAlias, Unpack

from . import _clusterkit
from ._errors import ForkedError, InvalidArgumentError, NotFoundError, NotStartedError
from ._hooks import Hooks
from ._log import _default, _logs_to
from ._option_set import OptionSet
from ._options import _NODE_OPTIONS, Options
from ._records import (
    _ROLES,
    Cluster,
    ConsensusStats,
    DataEntry,
    HealthStatus,
    LeaderInfo,
    Metrics,
    Node,
    NodeHealth,
    NodeHealthState,
    Partition,
    PartitionStats,
    Role,
    Route,
    _route,
)
from ._values import Key, _partition_number, _set_options
from ._view import View

Logger: TypeAlias = "logging.Logger | logging.LoggerAdapter[Any]"

ABSENT = 0
"""For `expect`: the key has no value. A revision stands for the value that it wrote."""


class NodeBase(Hooks):
    """What `ClusterKit` and `aio.AsyncClusterKit` have in common: everything that does not wait."""

    def __init__(self, node_id: str, http_addr: str, *, logger: Logger | None = _default, **options: Unpack[Options]) -> None:
        """A node with these options. Opens nothing before it is started.

        `http_addr` is ":8080", "host:port" or "127.0.0.1:0" for any free port. `logger` takes the messages for people, those
        that `log_level` lets through: by default `logging.getLogger("clusterkit")`, None for none. Every option is a keyword:
        see `Options`, or docs/options.md, where a dot stands for an underscore.

        Raises InvalidOptionError, which names the option; IoError when the system has no more threads to give.
        """
        options_set = OptionSet(**options)
        _set_options(options_set._native, {"node_id": node_id, "http_addr": http_addr}, _NODE_OPTIONS)
        self._open(_clusterkit.NodeHandle(options_set._native), logger)

    @classmethod
    def from_options(cls, options: OptionSet, *, logger: Logger | None = _default) -> Self:
        """A node with options that were read from a file or the environment. Raises as the constructor."""
        return cls._of(_clusterkit.NodeHandle(options._native), logger)

    @classmethod
    def _of(cls, native: _clusterkit.NodeHandle, logger: Logger | None) -> Self:
        node = cls.__new__(cls)
        node._open(native, logger)
        return node

    def _open(self, native: _clusterkit.NodeHandle, logger: Logger | None) -> None:
        Hooks.__init__(self)
        self._native = native
        self._node_id = native.my_node_id()
        self._closed = False
        # A node of a test cluster, or one that has another handle, ends with that.
        self._owned = True
        self.set_logger(logger)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._node_id}>"

    def __del__(self) -> None:
        """Closes the node, without telling the others: a net, no plan."""
        if getattr(self, "_closed", True) or not self._owned:
            return
        try:
            runs = self._native.was_started() and not self._native.has_stopped()
        except ForkedError:
            return
        if runs:
            warnings.warn(f"{self!r} was neither stopped nor closed", ResourceWarning, source=self, stacklevel=2)

    def set_logger(self, logger: Logger | None) -> None:
        """Sets where messages for people go; None drops them. Messages that wait go to the new one."""
        attributes = {"clusterkit.node.id": self._node_id}
        self._native.set_log(None if logger is None else _logs_to(logger, attributes))

    # ---- what it is ----

    @property
    def node_id(self) -> str:
        """This node's id."""
        return self._node_id

    def get_my_node_id(self) -> str:
        """This node's id, by the name that it has in other languages."""
        return self._node_id

    @property
    def http_addr(self) -> str:
        """The address at which others reach this node, "host:port": a `join_addrs` for others. Raises NotStartedError."""
        address = self._native.http_addr()
        if address is None:
            raise NotStartedError("the node listens nowhere yet: start() comes first")
        return address

    @property
    def waiting_for(self) -> str | None:
        """What this node waits for before it is ready, in words; None when it is: a member that knows a leader and has a lease.

        Raises why it will never be ready: RemovedError, DuplicateNodeError and the like, IoError, StoppedError.
        """
        return self._native.waiting_for()

    # ---- what this node may do at this moment ----

    def is_primary(self, partition: int | str) -> bool:
        """True when this node takes the writes of a partition at this moment: it is primary, and its lease runs."""
        return self._native.is_primary(partition if isinstance(partition, int) else _partition_number(partition))

    def is_primary_for_key(self, key: Key) -> bool:
        """True when this node takes the writes of a key at this moment."""
        return self._native.is_primary_for_key(key)

    def is_replica(self, partition: int | str) -> bool:
        """True when this node holds a partition's data and is not its primary."""
        return self.role(partition) is Role.REPLICA

    def is_replica_for_key(self, key: Key) -> bool:
        """True when this node holds a key's data and is not its primary."""
        return self.should_handle_key(key) is Role.REPLICA

    def role(self, partition: int | str) -> Role | None:
        """What this node is to a partition at this moment, its lease included."""
        role = self._native.role(_partition_number(partition))
        return None if role is None else _ROLES[role]

    def should_handle_key(self, key: Key) -> Role | None:
        """What this node is to a key at this moment, its lease included; None when it has nothing to do with it."""
        role = self._native.role_for_key(key)
        return None if role is None else _ROLES[role]

    def primary_epoch(self, partition: int | str) -> int:
        """The epoch of a partition, if this node takes its writes at this moment: what storage is fenced with.

        Raises LeaseExpiredError when this node would be primary and holds no lease; ConflictError when another is primary, or
        none; NotFoundError.
        """
        return self._native.primary_epoch(_partition_number(partition))

    @property
    def is_leased(self) -> bool:
        """True while this node holds a lease, without which it is primary of nothing."""
        return self._native.is_leased()

    @property
    def is_leader(self) -> bool:
        """True when this node leads at this moment, and no other can."""
        return self._native.is_leader()

    @property
    def leader_epoch(self) -> int:
        """The epoch of this node's leadership, a fencing token. Raises LeaseExpiredError when it does not lead."""
        return self._native.leader_epoch()

    def lookup(self, key: Key) -> Route:
        """All about a key from one view, and what this node is to it at this moment, its lease included.

        Raises NotStartedError; NotFoundError before there are partitions.
        """
        return _route(self._native.lookup(key))

    # ---- looking up ----

    def view(self) -> View:
        """The cluster at this moment, as this node has applied it: for several questions whose answers agree."""
        return View(self._native.view())

    def get_partition_number(self, key: Key) -> int | None:
        """The number of a key's partition; None before there are partitions."""
        return self._native.partition_number(key)

    def get_partition(self, key: Key) -> Partition:
        """The partition of a key. Raises NotFoundError before there are partitions."""
        partition = View(self._native.view()).partition_for_key(key)
        if partition is None:
            raise NotFoundError("there are no partitions yet")
        return partition

    def get_partition_for_key(self, key: Key) -> Partition:
        """`get_partition`, by its other name."""
        return self.get_partition(key)

    def get_primary(self, partition: int | str) -> Node | None:
        """The node that takes the writes of a partition, if there is one. Raises NotFoundError."""
        return self._native.view().primary(_partition_number(partition))

    def get_replicas(self, partition: int | str) -> tuple[Node, ...]:
        """The other nodes that hold a partition's data. Raises NotFoundError."""
        return self._native.view().replicas(_partition_number(partition))

    def get_nodes(self, partition: int | str) -> tuple[Node, ...]:
        """Every node that holds a partition's data: the primary first. Raises NotFoundError."""
        view, number = self._native.view(), _partition_number(partition)
        primary, replicas = view.primary(number), view.replicas(number)
        return replicas if primary is None else (primary, *replicas)

    def get_primary_node(self, key: Key) -> Node | None:
        """The node that takes the writes of a key, if there is one."""
        return self._native.primary_for_key(key)

    def get_replica_nodes(self, key: Key) -> tuple[Node, ...]:
        """The other nodes that hold a key."""
        view = self._native.view()
        number = view.partition_number(key)
        return () if number is None else view.replicas(number)

    def get_nodes_for_key(self, key: Key) -> tuple[Node, ...]:
        """Every node that holds a key: the primary first."""
        return self._native.view().nodes_for_key(key)

    def get_all_nodes_for_key(self, key: Key) -> tuple[Node, ...]:
        """`get_nodes_for_key`, by its other name."""
        return self.get_nodes_for_key(key)

    def am_i_responsible_for(self, key: Key) -> tuple[Role | None, tuple[Node, ...]]:
        """This node's role for a key at this moment, and every node that holds it, from one view."""
        route = self.lookup(key)
        return route.role, route.nodes

    def partitions_for_keys(self, keys: Iterable[Key] | Any) -> array[int]:
        """The partition numbers of many keys: see `View.partitions_for_keys`."""
        return array("I", self._native.view().partitions_for_keys(keys))

    def list_partitions(self) -> tuple[Partition, ...]:
        """Every partition, by number."""
        return self.view().partitions

    def get_partitions_for_node(self, node_id: str) -> tuple[Partition, ...]:
        """The partitions whose data a node holds, as its primary or a replica."""
        view = self.view()
        return tuple(view.partition(number) for number in view.partitions_of(node_id))

    @property
    def partition_stats(self) -> PartitionStats:
        """How partitions are spread over the members."""
        return self.view().partition_stats

    # ---- the cluster ----

    @property
    def leader(self) -> LeaderInfo | None:
        """The leader; None when this node has heard of none for the duration of a lease."""
        leader = self._native.leader()
        return None if leader is None else LeaderInfo._make(leader)

    def cluster(self) -> Cluster:
        """The whole cluster at one revision, the replicated store included. Takes time in proportion to all of it."""
        return Cluster._make(self._native.cluster())

    def cluster_json(self) -> str:
        """`cluster` as JSON, as `GET /cluster?include=custom_data` has it."""
        return self._native.cluster_json()

    @property
    def consensus_stats(self) -> ConsensusStats:
        """Raft on this node."""
        return ConsensusStats._make(self._native.consensus_stats())

    @property
    def metrics(self) -> Metrics:
        """Counters and gauges of this node."""
        return Metrics._make(self._native.metrics())

    def health_check(self) -> HealthStatus:
        """The health of this node."""
        return HealthStatus._make(self._native.health_check())

    def node_health(self, node_id: str) -> NodeHealth:
        """The health of a member: what the leader says is the most accurate. Raises NotFoundError."""
        return NodeHealth._make(self._native.node_health(node_id))

    def report_health(self, health: NodeHealthState | str, reason: str = "") -> None:
        """Tells every node how this node's application is. It changes the cluster's health, not where partitions are."""
        self._native.report_health(str(health), reason)

    # ---- the replicated store ----

    def get_custom_data(self, key: str) -> bytes | None:
        """The value of a key as this node has applied it: another may be ahead. See `read_barrier`. Raises NotStartedError."""
        entry = self._native.get_data(key)
        return None if entry is None else entry[0]

    def get_custom_data_entry(self, key: str) -> DataEntry | None:
        """The value of a key with the revision that wrote it: what `expect` takes. Raises NotStartedError."""
        entry = self._native.get_data(key)
        return None if entry is None else DataEntry(value=entry[0], revision=entry[1])

    def list_custom_data_keys(self, prefix: str = "", *, after: str | None = None, limit: int = 1000) -> list[str]:
        """Up to `limit` keys that begin with `prefix` and come after `after`, in order. Raises NotStartedError."""
        if limit < 0:
            raise InvalidArgumentError(f"limit is a number from 0, not {limit}")
        return self._native.data_keys(prefix, after, limit)
