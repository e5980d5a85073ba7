"""Views: the cluster at one revision."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from . import _clusterkit
from ._records import (
    _ROLES,
    Cluster,
    Maintenance,
    Node,
    Partition,
    PartitionStats,
    Role,
    Route,
    _maintenance,
    _moment,
    _route,
    _span,
)
from ._values import Key, _partition_number


class View:
    """The cluster at one revision. It never changes, and answers taken from one view agree with each other.

    Its roles are those of the replicated state: whether a node may act as primary at this moment depends on its lease, and
    only `ClusterKit.is_primary` and its like know that. No call waits.
    """

    __slots__ = ("_native",)

    def __init__(self, native: _clusterkit.ViewHandle) -> None:
        """Views come from `ClusterKit.view` and `Client.view`."""
        self._native = native

    def __repr__(self) -> str:
        return f"<View of revision {self.revision}: {len(self.nodes)} nodes, {self.partition_count} partitions>"

    @property
    def revision(self) -> int:
        """The revision: the number of the last change that is in it."""
        return self._native.revision()

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Every member, sorted by id."""
        return self._native.nodes()

    def node(self, id: str) -> Node | None:
        """The member with this id."""
        return self._native.node(id)

    @property
    def my_node(self) -> Node | None:
        """The node that the view was taken from, if it is a member. None for a client's."""
        return self._native.my_node()

    @property
    def leader(self) -> Node | None:
        """The node whose leadership was recorded last. `ClusterKit.leader` knows whether it leads at this moment."""
        return self._native.leader()

    @property
    def leader_epoch(self) -> int:
        """The epoch of that leadership."""
        return self._native.leadership()[0]

    @property
    def leader_term(self) -> int:
        """Raft's term of that leadership."""
        return self._native.leadership()[1]

    @property
    def leader_elected_at(self) -> datetime:
        """When that leadership began, by the leader's clock."""
        return _moment(self._native.leadership()[2])

    @property
    def replication_factor(self) -> int:
        """How many nodes hold each partition, where there are so many."""
        factor: int = self._native.config()["replication_factor"]
        return factor

    @property
    def lease_ttl(self) -> timedelta:
        """How long a lease lasts."""
        return _span(self._native.config()["lease_ttl_ms"])

    @property
    def maintenance(self) -> Maintenance | None:
        """Why no migrations are planned, if so."""
        return _maintenance(self._native.maintenance())

    @property
    def lost_partitions(self) -> tuple[int, ...]:
        """The partitions of which no node that is up holds the data."""
        return tuple(self._native.lost_partitions())

    @property
    def partition_count(self) -> int:
        """How many partitions there are; 0 before they exist."""
        return self._native.partition_count()

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """Every partition, by number."""
        return tuple(map(Partition._make, self._native.partitions()))

    def partition(self, partition: int | str) -> Partition:
        """The partition with this number or id. Raises NotFoundError."""
        return Partition._make(self._native.partition(_partition_number(partition)))

    def partition_number(self, key: Key) -> int | None:
        """The number of the partition of a key; None before there are partitions."""
        return self._native.partition_number(key)

    def partition_for_key(self, key: Key) -> Partition | None:
        """The partition of a key; None before there are partitions."""
        number = self._native.partition_number(key)
        return None if number is None else Partition._make(self._native.partition(number))

    def primary(self, partition: int | str) -> Node | None:
        """The node that takes the writes of a partition, if there is one. Raises NotFoundError."""
        return self._native.primary(_partition_number(partition))

    def replicas(self, partition: int | str) -> tuple[Node, ...]:
        """The other nodes that hold a partition's data, sorted by id. Raises NotFoundError."""
        return self._native.replicas(_partition_number(partition))

    def pending(self, partition: int | str) -> tuple[Node, ...]:
        """The nodes that are still copying a partition. Raises NotFoundError."""
        return self._native.pending(_partition_number(partition))

    def role(self, partition: int | str) -> Role | None:
        """What the view's own node is to a partition, by the replicated state. Raises NotFoundError."""
        role = self._native.role(_partition_number(partition))
        return None if role is None else _ROLES[role]

    def role_for_key(self, key: Key) -> Role | None:
        """What the view's own node is to a key, by the replicated state."""
        role = self._native.role_for_key(key)
        return None if role is None else _ROLES[role]

    def primary_for_key(self, key: Key) -> Node | None:
        """The node that takes the writes of a key, if there is one."""
        return self._native.primary_for_key(key)

    def nodes_for_key(self, key: Key) -> tuple[Node, ...]:
        """The nodes that hold a key: the primary first, then the replicas."""
        return self._native.nodes_for_key(key)

    def route(self, key: Key) -> Route:
        """All about a key. Raises NotFoundError before there are partitions."""
        return _route(self._native.route(key))

    def partitions_for_keys(self, keys: Iterable[Key] | Any) -> array[int]:
        """The partition numbers of many keys, in order: several times faster than one by one.

        `keys` is a list or another iterable of str and bytes, a numpy array of dtype `S` or `U`, or anything with Arrow's
        capsules (pyarrow, polars, pandas), which are read where they are. The answer is an array of 32-bit numbers, which
        `numpy.asarray` takes as it is. Raises NotFoundError before there are partitions.
        """
        return array("I", self._native.partitions_for_keys(keys))

    def partitions_of(self, node_id: str) -> tuple[int, ...]:
        """The partitions whose data a node holds, ascending; none where it is no member."""
        held = self._native.partitions_of(node_id)
        return () if held is None else tuple(sorted(held[0] + held[1]))

    def primaries_of(self, node_id: str) -> tuple[int, ...]:
        """The partitions that a node is primary of, ascending; none where it is no member."""
        held = self._native.partitions_of(node_id)
        return () if held is None else tuple(held[0])

    @property
    def partition_stats(self) -> PartitionStats:
        """How partitions are spread over the members."""
        return PartitionStats._make(self._native.partition_stats())

    def cluster(self) -> Cluster:
        """The whole of it as a record, without the replicated store. Takes time in proportion to nodes and partitions."""
        return Cluster._make(self._native.cluster())

    def json(self) -> str:
        """The whole of it as JSON, as `GET /cluster` has it, without the replicated store."""
        return self._native.json()
