"""Hooks: functions that are called with events."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from ._errors import InvalidArgumentError, NotFoundError
from ._events import (
    BecomeLeaderEvent,
    ClusterHealthEvent,
    Event,
    EventType,
    LeaderChangeEvent,
    LoseLeadershipEvent,
    NodeJoinEvent,
    NodeLeaveEvent,
    NodeRejoinEvent,
    PartitionChangeEvent,
    RebalanceCompleteEvent,
    RebalanceStartEvent,
)
from ._status import HookStats
from ._values import DEFAULT_TIMEOUT, Time, _seconds

if TYPE_CHECKING:
    from . import _clusterkit
    from .aio._loops import Bridge

E = TypeVar("E", bound=Event, contravariant=True)
HookFunction: TypeAlias = Callable[[E], Awaitable[object] | object]


class Hook(Generic[E]):
    """A function that was registered. Calling the hook calls the function, so a decorated function stays one."""

    def __init__(self, function: HookFunction[E], events: tuple[str, ...], observes: bool) -> None:
        """Hooks come from the `on_...` methods of a node."""
        self.__wrapped__: HookFunction[E] = function
        self.__name__: str = getattr(function, "__name__", repr(function))
        self.__doc__: str | None = function.__doc__
        self._events = events
        self._observes = observes
        self._id: int | None = None
        self._owner: weakref.ref[Hooks] | None = None

    def __call__(self, event: E) -> Any:
        """Calls the function."""
        return self.__wrapped__(event)

    def __repr__(self) -> str:
        state = "waits for the start" if self._id is None else f"{self._id}"
        return f"<Hook {self.__name__} ({state})>"

    @property
    def id(self) -> int | None:
        """Names the hook in `hook_stats`; None before it is registered with the node, as an async hook is by its start."""
        return self._id

    def remove(self, timeout: Time = DEFAULT_TIMEOUT) -> None:
        """Removes the hook. When this returns, no call of it runs or will.

        Inside a hook of the same node it waits for nothing, and the call under way is the last. A call of an `async` hook
        goes on to its end, and counts.

        Raises NotFoundError when it was removed before; TimeoutError when a call has not returned: it is removed all the same.
        """
        owner = self._owner() if self._owner else None
        if owner is None:
            raise NotFoundError("there is no such hook any more")
        owner._remove_hook(self, _seconds(timeout))


class Hooks:
    """What has hooks. Functions are called on threads of the library, several at once for partition changes.

    A function may block, and may call everything but what waits for hooks (InHookError). What it raises makes the call fail:
    `sys.unraisablehook` reports it, the log names it, and the copy of a gained partition does not count and is tried again.
    An `async` function runs on the event loop that registers it, and the end of its coroutine is the end of the call; one that
    is registered where no loop runs belongs to the loop that awaits `AsyncClusterKit.start`. docs/hooks.md tells of order,
    concurrency and retries.
    """

    _native: _clusterkit.NodeHandle

    def __init__(self) -> None:
        """Nothing is registered yet."""
        # They keep the functions alive: the native half refers to them weakly, so that a node whose hooks refer to it can be
        # collected.
        self._hooks: set[Hook[Any]] = set()
        # Async hooks that wait for a loop.
        self._loopless: list[Hook[Any]] = []

    def on_partition_change(self, function: HookFunction[PartitionChangeEvent]) -> Hook[PartitionChangeEvent]:
        """Has a function called when a node, this one or another, gains or loses a partition or a role in it.

        Where this node gains a replica (`event.node_id`, `event.change`) the function copies the data from
        `event.copy_from_nodes`; its return confirms the copy. One that is registered on a running node is first told what the
        node holds. A decorator, or a method. Raises StoppedError, as all of these do.
        """
        return self._add(function, EventType.PARTITION_CHANGE)

    def on_node_join(self, function: HookFunction[NodeJoinEvent]) -> Hook[NodeJoinEvent]:
        """Has a function called when a node that was never a member joins. A decorator."""
        return self._add(function, EventType.NODE_JOIN)

    def on_node_rejoin(self, function: HookFunction[NodeRejoinEvent]) -> Hook[NodeRejoinEvent]:
        """Has a function called when a member comes back. It returns before the member's copies begin. A decorator."""
        return self._add(function, EventType.NODE_REJOIN)

    def on_node_leave(self, function: HookFunction[NodeLeaveEvent]) -> Hook[NodeLeaveEvent]:
        """Has a function called when a member stops, fails or is removed. A decorator."""
        return self._add(function, EventType.NODE_LEAVE)

    def on_rebalance_start(self, function: HookFunction[RebalanceStartEvent]) -> Hook[RebalanceStartEvent]:
        """Has a function called when partitions begin to move. A decorator."""
        return self._add(function, EventType.REBALANCE_START)

    def on_rebalance_complete(self, function: HookFunction[RebalanceCompleteEvent]) -> Hook[RebalanceCompleteEvent]:
        """Has a function called when every partition is where it should be. A decorator."""
        return self._add(function, EventType.REBALANCE_COMPLETE)

    def on_cluster_health_change(self, function: HookFunction[ClusterHealthEvent]) -> Hook[ClusterHealthEvent]:
        """Has a function called when the health of the cluster changes. A decorator."""
        return self._add(function, EventType.CLUSTER_HEALTH_CHANGE)

    def on_become_leader(self, function: HookFunction[BecomeLeaderEvent]) -> Hook[BecomeLeaderEvent]:
        """Has a function called when this node begins to lead. A decorator."""
        return self._add(function, EventType.BECOME_LEADER)

    def on_lose_leadership(self, function: HookFunction[LoseLeadershipEvent]) -> Hook[LoseLeadershipEvent]:
        """Has a function called when this node leads no longer. A decorator."""
        return self._add(function, EventType.LOSE_LEADERSHIP)

    def on_leader_change(self, function: HookFunction[LeaderChangeEvent]) -> Hook[LeaderChangeEvent]:
        """Has a function called when the leader of the cluster changes. A decorator."""
        return self._add(function, EventType.LEADER_CHANGE)

    def on(self, *events: EventType | str) -> Callable[[HookFunction[Event]], Hook[Event]]:
        """A decorator for a function that is called for events of several types; for all, where none is named.

        It takes part as those of one type do: its return confirms copies.
        """
        return lambda function: self._add(function, *events)

    def on_event(self, function: HookFunction[Event]) -> Hook[Event]:
        """Has a function called with every event from now on, to observe: one after the other, in order.

        Nothing waits for it, however long it takes: what it returns confirms no copy, and what it raises is only reported. A
        decorator.
        """
        return self._add(function, observes=True)

    @property
    def hook_stats(self) -> tuple[HookStats, ...]:
        """What became of the calls of every hook."""
        return tuple(map(HookStats._make, self._native.hook_stats()))

    def _add(self, function: HookFunction[E], *events: str, observes: bool = False) -> Hook[E]:
        if isinstance(function, Hook):
            function = function.__wrapped__
        if not callable(function):
            raise InvalidArgumentError(f"a hook is a function, not {function!r}")
        hook = Hook(function, tuple(str(EventType(event)) for event in events), observes)
        if _is_async(function):
            from .aio._loops import running_bridge

            bridge = running_bridge()
            if bridge is None:
                self._wait_for_loop(hook)
                return hook
            self._register(hook, bridge)
        else:
            self._register(hook, None)
        return hook

    def _wait_for_loop(self, hook: Hook[Any]) -> None:
        raise InvalidArgumentError(
            f"{hook.__name__} is async and no event loop runs: register it inside of one, or use aio.AsyncClusterKit"
        )

    def _register(self, hook: Hook[Any], bridge: Bridge | None) -> None:
        inbox = None if bridge is None else bridge.inbox
        if hook._observes:
            hook._id = self._native.add_observer(weakref.ref(hook), inbox)
        else:
            hook._id = self._native.add_hook(list(hook._events), weakref.ref(hook), inbox)
        hook._owner = weakref.ref(self)
        self._hooks.add(hook)

    def _register_loopless(self, bridge: Bridge) -> None:
        while self._loopless:
            self._register(self._loopless.pop(0), bridge)

    def _forget(self, hook: Hook[Any]) -> int:
        """The id of a hook that is removed."""
        if hook in self._loopless:
            self._loopless.remove(hook)
        if hook._id is None or hook not in self._hooks:
            raise NotFoundError("there is no such hook any more")
        return hook._id

    def _remove_hook(self, hook: Hook[Any], timeout: float) -> None:
        self._native.remove_hook(self._forget(hook), timeout).wait()
        self._hooks.discard(hook)


def _is_async(function: Callable[..., object]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
