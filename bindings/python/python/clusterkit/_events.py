"""The events: a class each, for `match`."""

from __future__ import annotations

import enum
from datetime import datetime, timedelta
from typing import Any, ClassVar

from ._records import Node, RebalanceTrigger, Record, Role, _moment, _nodes, _record, _span


class EventType(enum.StrEnum):
    """Every type of event, by its name."""

    PARTITION_CHANGE = "partition_change"
    NODE_JOIN = "node_join"
    NODE_REJOIN = "node_rejoin"
    NODE_LEAVE = "node_leave"
    REBALANCE_START = "rebalance_start"
    REBALANCE_COMPLETE = "rebalance_complete"
    CLUSTER_HEALTH_CHANGE = "cluster_health_change"
    BECOME_LEADER = "become_leader"
    LOSE_LEADERSHIP = "lose_leadership"
    LEADER_CHANGE = "leader_change"


class ChangeReason(enum.StrEnum):
    """Why a partition's holders changed."""

    NODE_JOIN = "node_join"
    NODE_LEAVE = "node_leave"
    REBALANCE = "rebalance"
    MANUAL = "manual"


class RoleChange(enum.StrEnum):
    """What a node gained or lost."""

    GAINED_REPLICA = "gained_replica"
    """It has to hold a copy: copy the data; the hook's return says that it is there."""
    GAINED_PRIMARY = "gained_primary"
    """It takes the writes from now on."""
    LOST_PRIMARY = "lost_primary"
    """It no longer takes writes; it still holds its copy."""
    LOST_COPY = "lost_copy"
    """It no longer holds the partition, and may delete the data."""


class LeaveReason(enum.StrEnum):
    """Why a node left."""

    HEALTH_CHECK_FAILURE = "health_check_failure"
    GRACEFUL_SHUTDOWN = "graceful_shutdown"
    REMOVED_BY_ADMIN = "removed_by_admin"


@_record
class Event(Record):
    """What happened: at which revision, and when, by the clock of the node that proposed it."""

    type: ClassVar[EventType]
    revision: int
    timestamp: datetime

    def to_dict(self) -> dict[str, Any]:
        """The event as `clusterkit serve --events` prints it."""
        return {"type": self.type.value} | Record.to_dict(self)


@_record
class PartitionChangeEvent(Event):
    """`node_id` gained or lost partition `number`, or a role in it. Every node hears of every change.

    `copy_from_nodes` are the live holders to copy from, empty where there is nothing to copy. `copy_to_node` is the record of
    `node_id`. `old_primary` and `new_primary` are ids, empty for none.
    """

    type = EventType.PARTITION_CHANGE
    partition_id: str
    number: int
    node_id: str
    change: RoleChange
    copy_from_nodes: tuple[Node, ...]
    copy_to_node: Node | None
    change_reason: ChangeReason
    old_primary: str
    new_primary: str
    epoch: int

    _convert = {
        "timestamp": _moment,
        "change": RoleChange,
        "copy_from_nodes": _nodes,
        "copy_to_node": lambda plain: None if plain is None else Node._make(plain),
        "change_reason": ChangeReason,
    }

    @property
    def is_gain(self) -> bool:
        """True when `node_id` gained a copy or the primary role."""
        return self.change in (RoleChange.GAINED_REPLICA, RoleChange.GAINED_PRIMARY)

    @property
    def role(self) -> Role | None:
        """The role after a gain; `None` after a loss."""
        match self.change:
            case RoleChange.GAINED_PRIMARY:
                return Role.PRIMARY
            case RoleChange.GAINED_REPLICA:
                return Role.REPLICA
            case _:
                return None


@_record
class NodeJoinEvent(Event):
    """A node that was never a member has joined. `is_bootstrap`: it founded the cluster."""

    type = EventType.NODE_JOIN
    node: Node
    cluster_size: int
    is_bootstrap: bool

    _convert = {"timestamp": _moment, "node": Node._make}


@_record
class NodeRejoinEvent(Event):
    """A member is back, after an absence or a restart."""

    type = EventType.NODE_REJOIN
    node: Node
    offline_duration: timedelta
    last_seen_at: datetime
    partitions_before_leave: tuple[str, ...]

    _convert = {
        "timestamp": _moment,
        "node": Node._make,
        "offline_duration": _span,
        "last_seen_at": _moment,
        "partitions_before_leave": tuple,
    }
    _renamed = {"offline_duration_ms": "offline_duration"}


@_record
class NodeLeaveEvent(Event):
    """A member stopped, failed, or was removed; and which partitions it was primary of, or held another copy of."""

    type = EventType.NODE_LEAVE
    node: Node
    reason: LeaveReason
    partitions_owned: tuple[str, ...]
    partitions_replica: tuple[str, ...]

    _convert = {
        "timestamp": _moment,
        "node": Node._make,
        "reason": LeaveReason,
        "partitions_owned": tuple,
        "partitions_replica": tuple,
    }


@_record
class _RebalanceEvent(Event):
    trigger: RebalanceTrigger
    trigger_node_id: str
    partitions_to_move: int
    nodes_affected: tuple[str, ...]
    duration: timedelta

    _convert = {
        "timestamp": _moment,
        "trigger": RebalanceTrigger,
        "nodes_affected": tuple,
        "duration": _span,
    }
    _renamed = {"duration_ms": "duration"}


@_record
class RebalanceStartEvent(_RebalanceEvent):
    """Partitions begin to move."""

    type = EventType.REBALANCE_START


@_record
class RebalanceCompleteEvent(_RebalanceEvent):
    """Every partition is where it should be; it took `duration`."""

    type = EventType.REBALANCE_COMPLETE


@_record
class ClusterHealthEvent(Event):
    """The cluster's health changed. `status`: healthy, degraded (some are not) or critical (most are not, or data is lost)."""

    type = EventType.CLUSTER_HEALTH_CHANGE
    healthy_nodes: int
    unhealthy_nodes: int
    total_nodes: int
    status: str
    unhealthy_node_ids: tuple[str, ...]
    lost_partitions: tuple[str, ...] = ()

    _convert = {"timestamp": _moment, "unhealthy_node_ids": tuple, "lost_partitions": tuple}
    _omitted = frozenset({"lost_partitions"})


@_record
class BecomeLeaderEvent(Event):
    """This node leads now. Only this node hears of it."""

    type = EventType.BECOME_LEADER
    epoch: int

    _convert = {"timestamp": _moment}


@_record
class LoseLeadershipEvent(Event):
    """This node leads no longer. Only this node hears of it."""

    type = EventType.LOSE_LEADERSHIP
    epoch: int

    _convert = {"timestamp": _moment}


@_record
class LeaderChangeEvent(Event):
    """The leader of the cluster changed. `epoch` is a fencing token: it only grows."""

    type = EventType.LEADER_CHANGE
    node_id: str
    epoch: int

    _convert = {"timestamp": _moment}


_BY_TYPE: dict[str, type[Event]] = {
    cls.type.value: cls
    for cls in (
        PartitionChangeEvent,
        NodeJoinEvent,
        NodeRejoinEvent,
        NodeLeaveEvent,
        RebalanceStartEvent,
        RebalanceCompleteEvent,
        ClusterHealthEvent,
        BecomeLeaderEvent,
        LoseLeadershipEvent,
        LeaderChangeEvent,
    )
}


def _make_event(plain: dict[str, Any]) -> Event:
    """An event, for the native half."""
    return _BY_TYPE[plain.pop("type")]._make(plain)
