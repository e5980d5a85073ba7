"""Records of how things go: migrations, hooks, clients, options."""

from __future__ import annotations

from datetime import datetime, timedelta

from ._records import (
    Maintenance,
    MigrationState,
    RebalanceTrigger,
    Record,
    _maintenance,
    _moment,
    _moment_or_none,
    _record,
    _span_or_none,
)


@_record
class Migration(Record):
    """One step of a rebalance: a node that is to hold a partition."""

    partition_id: str
    number: int
    from_nodes: tuple[str, ...]
    to: str
    state: MigrationState
    since: datetime | None = None
    attempts: int
    reason: str

    _convert = {"from_nodes": tuple, "state": MigrationState, "since": _moment_or_none}
    _renamed = {"from": "from_nodes"}
    _omitted = frozenset({"since"})


@_record
class AwayNode(Record):
    """A member that is down, and when its copies are replaced."""

    node: str
    since: datetime
    replaced_after: datetime | None = None

    _convert = {"since": _moment, "replaced_after": _moment_or_none}
    _omitted = frozenset({"replaced_after"})


@_record
class AvoidedCopy(Record):
    """A copy that has failed so often that it is not planned again for a while."""

    partition_id: str
    number: int
    node: str
    times: int
    until: datetime

    _convert = {"until": _moment}


@_record
class RebalanceStatus(Record):
    """How partitions move, as the leader knows it, or else this node: `from_leader` says which."""

    answered_by: str
    from_leader: bool
    revision: int
    running: bool
    trigger: RebalanceTrigger | None = None
    trigger_node_id: str
    started_at: datetime | None = None
    partitions_to_move: int
    moved: int
    maintenance: Maintenance | None = None
    migrations: tuple[Migration, ...]
    migrations_total: int
    away: tuple[AwayNode, ...]
    avoided: tuple[AvoidedCopy, ...]

    _convert = {
        "trigger": lambda trigger: None if trigger is None else RebalanceTrigger(trigger),
        "started_at": _moment_or_none,
        "maintenance": _maintenance,
        "migrations": lambda plain: tuple(map(Migration._make, plain)),
        "away": lambda plain: tuple(map(AwayNode._make, plain)),
        "avoided": lambda plain: tuple(map(AvoidedCopy._make, plain)),
    }
    _omitted = frozenset({"trigger", "started_at", "maintenance"})


@_record
class HookStats(Record):
    """What became of the calls of one hook since it was added."""

    id: int
    events: tuple[str, ...]
    calls: int
    failures: int
    panics: int
    retries: int
    coalesced: int
    queued: int
    running: int

    _convert = {"events": tuple}


@_record
class AddrStatus(Record):
    """An address that a client knows. `last_error` is (code, message)."""

    addr: str
    is_given: bool
    failures: int
    last_error: tuple[str, str] | None

    _convert = {"last_error": lambda error: None if error is None else (error["code"], error["message"])}


@_record
class ClientStatus(Record):
    """How a client is: which member it follows, how old its view may be, and what failed last, as (code, message)."""

    connected: str | None
    cluster_id: str
    cluster_name: str
    revision: int
    is_stale: bool
    last_contact: timedelta | None
    last_error: tuple[str, str] | None
    is_closed: bool
    addrs: tuple[AddrStatus, ...]

    _convert = {
        "last_contact": _span_or_none,
        "last_error": lambda error: None if error is None else (error["code"], error["message"]),
        "addrs": lambda plain: tuple(map(AddrStatus._make, plain)),
    }
    _renamed = {"last_contact_ms": "last_contact"}


@_record
class OptionSpec(Record):
    """One option: its bounds in words, its default as text or in words, and the variables that set it."""

    name: str
    type: str
    bounds: str
    is_required: bool
    default: str | None
    help: str
    env: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    _convert = {"env": tuple, "aliases": tuple}
