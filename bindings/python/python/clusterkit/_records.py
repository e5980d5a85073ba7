"""The records that calls answer with: frozen, compared and hashed by value, for `match`, `pickle` and `json`."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Self, TypeVar, cast, dataclass_transform

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def _moment(millis: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=millis)


def _moment_or_none(millis: int | None) -> datetime | None:
    return None if millis is None else _moment(millis)


def _span(millis: int) -> timedelta:
    return timedelta(milliseconds=millis)


def _span_or_none(millis: int | None) -> timedelta | None:
    return None if millis is None else _span(millis)


def _encode(value: object) -> Any:
    """A value in its JSON form."""
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, tuple):
        return [_encode(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _encode(item) for key, item in value.items()}
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03}Z"
    if isinstance(value, timedelta):
        return value // _MILLISECOND
    if isinstance(value, bytes):
        import base64

        return base64.b64encode(value).decode()
    return value


_C = TypeVar("_C", bound=type)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def _record(cls: _C) -> _C:
    """A frozen dataclass. What all have in common is written once, in `Record`: made for each class, it would take a third of
    the time of the import.
    """
    made: Any = dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)(cls)
    made._names = tuple(item.name for item in dataclasses.fields(made))
    return cast("_C", made)


@_record
class Record:
    """What all records have."""

    _names: ClassVar[tuple[str, ...]] = ()
    """The fields, in their order."""
    _convert: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}
    """How fields are made of their plain form, where that differs."""
    _renamed: ClassVar[Mapping[str, str]] = {}
    """Names of plain fields that are others here: spans of time are in milliseconds there."""
    _omitted: ClassVar[frozenset[str]] = frozenset()
    """Fields that JSON leaves out where they are empty."""

    @classmethod
    def _make(cls, plain: dict[str, Any]) -> Self:
        """The record of its plain form, which is used up."""
        for name, renamed in cls._renamed.items():
            plain[renamed] = plain.pop(name)
        for name, convert in cls._convert.items():
            if name in plain:
                plain[name] = convert(plain[name])
        return cls(**plain)

    def __repr__(self) -> str:
        values = (f"{name}={getattr(self, name)!r}" for name in self._names)
        return f"{type(self).__name__}({', '.join(values)})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self._names)

    def __hash__(self) -> int:
        # Maps have no hash, and what differs in them only is found by comparing.
        values = (getattr(self, name) for name in self._names)
        return hash((type(self), *(value for value in values if not isinstance(value, Mapping))))

    def to_dict(self) -> dict[str, Any]:
        """The record as the HTTP API gives it: what `json.dumps` takes. Moments are RFC 3339, spans of time milliseconds."""
        renamed = {new: old for old, new in self._renamed.items()}
        values = ((name, getattr(self, name)) for name in self._names)
        return {
            renamed.get(name, name): _encode(value)
            for name, value in values
            if name not in self._omitted or (value is not None and value not in ("", ()))
        }


class Role(enum.StrEnum):
    """What a node is to a partition."""

    PRIMARY = "primary"
    """It takes the writes."""
    REPLICA = "replica"
    """It holds a copy."""


class NodeStatus(enum.StrEnum):
    """What a member does."""

    JOINING = "joining"
    ACTIVE = "active"
    LEAVING = "leaving"
    STOPPED = "stopped"
    FAILED = "failed"


class NodeHealthState(enum.StrEnum):
    """How a node's application says that it is."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    FAILING = "failing"


class PartitionState(enum.StrEnum):
    """How a partition is."""

    OK = "ok"
    MOVING = "moving"
    UNDER_REPLICATED = "under_replicated"
    NO_PRIMARY = "no_primary"
    LOST = "lost"


class MigrationState(enum.StrEnum):
    """How far a migration step is."""

    QUEUED = "queued"
    COPYING = "copying"
    RETRYING = "retrying"
    NO_SOURCE = "no_source"
    HANDING_OVER = "handing_over"


class RebalanceTrigger(enum.StrEnum):
    """What made partitions move."""

    NODE_JOIN = "node_join"
    NODE_LEAVE = "node_leave"
    MANUAL = "manual"


@_record
class Node(Record):
    """One member. `ip` is what others dial, `host:port`; `services` says where its application is found."""

    id: str
    ip: str
    port: int
    name: str
    status: NodeStatus
    services: Mapping[str, str] = field(default_factory=dict[str, str])
    zone: str | None = None
    weight: int = 100
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    incarnation: int = 0
    voter: bool = False
    health: NodeHealthState = NodeHealthState.HEALTHY
    health_reason: str = ""
    last_seen: datetime = _EPOCH
    joined_at: datetime = _EPOCH
    raft_id: int = 0
    peer_addr: str = ""

    _convert = {"status": NodeStatus, "health": NodeHealthState, "last_seen": _moment, "joined_at": _moment}
    _omitted = frozenset({"zone", "health_reason"})


def _make_node(plain: dict[str, Any]) -> Node:
    """A member, for the native half."""
    return Node._make(plain)


def _nodes(plain: list[dict[str, Any]]) -> tuple[Node, ...]:
    return tuple(map(Node._make, plain))


@_record
class Partition(Record):
    """One partition: who holds it, by node id. `primary_node` is empty while there is none; `pending` are still copying."""

    id: str
    number: int
    primary_node: str
    replica_nodes: tuple[str, ...]
    pending: tuple[str, ...]
    epoch: int
    state: PartitionState

    _convert = {"replica_nodes": tuple, "pending": tuple, "state": PartitionState}


@_record
class Route(Record):
    """Where a key belongs, all from one view: `role` is that of the node that was asked, `epoch` the fencing token."""

    partition: int
    epoch: int
    role: Role | None
    primary: Node | None
    replicas: tuple[Node, ...]
    revision: int

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Who holds the key: the primary first, if there is one."""
        return self.replicas if self.primary is None else (self.primary, *self.replicas)


def _route(plain: tuple[int, int, str | None, Node | None, tuple[Node, ...], int]) -> Route:
    partition, epoch, role, primary, replicas, revision = plain
    return Route(
        partition=partition,
        epoch=epoch,
        role=None if role is None else _ROLES[role],
        primary=primary,
        replicas=replicas,
        revision=revision,
    )


_ROLES = {role.value: role for role in Role}


@_record
class ClusterConfig(Record):
    """The settings that all members share."""

    cluster_name: str
    partition_count: int
    replication_factor: int
    lease_ttl: timedelta
    failure_timeout: timedelta
    election_timeout: timedelta

    _convert = {"lease_ttl": _span, "failure_timeout": _span, "election_timeout": _span}
    _renamed = {
        "lease_ttl_ms": "lease_ttl",
        "failure_timeout_ms": "failure_timeout",
        "election_timeout_ms": "election_timeout",
    }


@_record
class Maintenance(Record):
    """Why no migrations are planned, and whether the cluster decided so by itself."""

    reason: str
    automatic: bool


def _maintenance(plain: dict[str, Any] | None) -> Maintenance | None:
    return None if plain is None else Maintenance._make(plain)


@_record
class Cluster(Record):
    """The whole cluster at one revision. `leader` is empty where no leader was heard of for the duration of a lease."""

    id: str
    name: str
    nodes: tuple[Node, ...]
    partitions: tuple[Partition, ...]
    config: ClusterConfig
    custom_data: Mapping[str, bytes] | None = None
    revision: int
    leader: str
    epoch: int
    maintenance: Maintenance | None = None
    lost_partitions: tuple[str, ...] = ()

    _omitted = frozenset({"custom_data", "maintenance", "lost_partitions"})

    @classmethod
    def _make(cls, plain: dict[str, Any]) -> Self:
        import base64

        partitions = map(Partition._make, plain.pop("partition_map")["partitions"].values())
        plain["partitions"] = tuple(sorted(partitions, key=lambda partition: partition.number))
        plain["nodes"] = _nodes(plain["nodes"])
        plain["config"] = ClusterConfig._make(plain["config"])
        plain["maintenance"] = _maintenance(plain.get("maintenance"))
        plain["lost_partitions"] = tuple(plain.get("lost_partitions", ()))
        data = plain.get("custom_data")
        if data is not None:
            plain["custom_data"] = {
                key: value if isinstance(value, bytes) else base64.b64decode(value) for key, value in data.items()
            }
        return cls(**plain)

    def to_dict(self) -> dict[str, Any]:
        """The cluster as `GET /cluster` gives it."""
        plain = Record.to_dict(self)
        partitions = sorted(plain.pop("partitions"), key=lambda partition: str(partition["id"]))
        plain["partition_map"] = {"partitions": {partition["id"]: partition for partition in partitions}}
        return plain


@_record
class PartitionStats(Record):
    """How partitions are spread: by node id, how many it is primary of, and how many other copies it holds."""

    total_partitions: int
    partitions_per_node: Mapping[str, int]
    replicas_per_node: Mapping[str, int]


@_record
class LeaderInfo(Record):
    """Who leads, and since when. `epoch` is the fencing token of that leadership."""

    leader_id: str
    leader_name: str
    leader_ip: str
    term: int
    elected_at: datetime
    epoch: int

    _convert = {"elected_at": _moment}


@_record
class ConsensusStats(Record):
    """Raft on this node."""

    state: str
    term: int
    last_log_index: int
    last_log_term: int
    commit_index: int
    applied_index: int
    num_peers: int
    leader: str
    current_term: int
    current_leader: str
    is_leader: bool


@_record
class Metrics(Record):
    """Counters and gauges of this node. `GET /metrics` has more of them."""

    node_count: int
    partition_count: int
    request_count: int
    error_count: int
    last_sync: datetime
    is_leader: bool
    raft_state: str
    uptime_seconds: int

    _convert = {"last_sync": _moment}


@_record
class HealthStatus(Record):
    """The health of this node."""

    healthy: bool
    node_id: str
    node_name: str
    is_leader: bool
    node_count: int
    partition_count: int
    raft_state: str
    last_sync: datetime
    uptime: str
    election_stretch: int = 1
    delay: timedelta = timedelta()
    message: str = ""

    _convert = {"last_sync": _moment, "delay": _span}
    _renamed = {"delay_ms": "delay"}
    _omitted = frozenset({"message"})


@_record
class NodeHealth(Record):
    """The health of a member, as seen from the node that was asked."""

    node_id: str
    failures: int
    last_seen: datetime
    healthy: bool

    _convert = {"last_seen": _moment}


@_record
class DataEntry(Record):
    """A value of the replicated store, and the revision that wrote it."""

    value: bytes
    revision: int
