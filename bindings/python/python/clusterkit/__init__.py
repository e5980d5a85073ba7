"""ClusterKit: an embeddable cluster coordination layer. Membership, leader election, partition map, rebalancing, hooks.

    from clusterkit import ClusterKit

    with ClusterKit("node-1", "127.0.0.1:8080") as ck:
        if ck.is_primary_for_key("user:123"):
            ...

`clusterkit.aio` is for async programs, `clusterkit.testing` for tests; `python -m clusterkit` is the command.
"""

import atexit as _atexit

from . import _clusterkit
from ._client import Client
from ._errors import *  # noqa: F403
from ._errors import __all__ as _errors_all
from ._events import (
    BecomeLeaderEvent,
    ChangeReason,
    ClusterHealthEvent,
    Event,
    EventType,
    LeaderChangeEvent,
    LeaveReason,
    LoseLeadershipEvent,
    NodeJoinEvent,
    NodeLeaveEvent,
    NodeRejoinEvent,
    PartitionChangeEvent,
    RebalanceCompleteEvent,
    RebalanceStartEvent,
    RoleChange,
)
from ._hooks import Hook
from ._log import TRACE
from ._node import ClusterKit
from ._node_base import ABSENT
from ._option_set import OptionSet, client_options_table, options_table
from ._options import ClientOptions, Options
from ._queue import Events
from ._records import (
    Cluster,
    ClusterConfig,
    ConsensusStats,
    DataEntry,
    HealthStatus,
    LeaderInfo,
    Maintenance,
    Metrics,
    MigrationState,
    Node,
    NodeHealth,
    NodeHealthState,
    NodeStatus,
    Partition,
    PartitionState,
    PartitionStats,
    RebalanceTrigger,
    Record,
    Role,
    Route,
)
from ._routing import parse_duration, partition_for, partitions_for_many
from ._status import AddrStatus, AvoidedCopy, AwayNode, ClientStatus, HookStats, Migration, OptionSpec, RebalanceStatus
from ._view import View

__version__: str = _clusterkit.VERSION

# What is not in the table of the errors.
__all__ = [
    "ABSENT",
    "TRACE",
    "AddrStatus",
    "AvoidedCopy",
    "AwayNode",
    "BecomeLeaderEvent",
    "ChangeReason",
    "Client",
    "ClientOptions",
    "ClientStatus",
    "Cluster",
    "ClusterConfig",
    "ClusterHealthEvent",
    "ClusterKit",
    "ConsensusStats",
    "DataEntry",
    "Event",
    "EventType",
    "Events",
    "HealthStatus",
    "Hook",
    "HookStats",
    "LeaderChangeEvent",
    "LeaderInfo",
    "LeaveReason",
    "LoseLeadershipEvent",
    "Maintenance",
    "Metrics",
    "Migration",
    "MigrationState",
    "Node",
    "NodeHealth",
    "NodeHealthState",
    "NodeJoinEvent",
    "NodeLeaveEvent",
    "NodeRejoinEvent",
    "NodeStatus",
    "OptionSet",
    "OptionSpec",
    "Options",
    "Partition",
    "PartitionChangeEvent",
    "PartitionState",
    "PartitionStats",
    "RebalanceCompleteEvent",
    "RebalanceStartEvent",
    "RebalanceStatus",
    "RebalanceTrigger",
    "Record",
    "Role",
    "RoleChange",
    "Route",
    "View",
    "client_options_table",
    "options_table",
    "parse_duration",
    "partition_for",
    "partitions_for_many",
]
__all__ += _errors_all

# Without it, threads of the library could be inside the interpreter while that ends.
_atexit.register(_clusterkit.close_all)
