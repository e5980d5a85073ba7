"""A node for programs that are async themselves."""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Any, Self

from .._errors import InHookError
from .._events import Event, EventType
from .._hooks import Hook
from .._node import ClusterKit
from .._node_base import NodeBase
from .._queue import _Queue
from .._records import LeaderInfo
from .._status import Migration, RebalanceStatus
from .._values import DEFAULT_TIMEOUT, Time, _partition_number, _seconds
from ._loops import bridge_here, wait


class AsyncEvents(_Queue):
    """The events of a node from the moment at which this was made, in order: `async for event in ck.events(): ...`.

    Reading observes: it confirms no copy, and nothing waits for the reader. The loop ends when the node has stopped.
    """

    __slots__ = ()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._taken:
            if not self._open:
                raise StopAsyncIteration
            await wait(self._native.wait())
            self._take()
        return self._taken.popleft()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncClusterKit(NodeBase):
    """A node of a cluster, embedded in this process: `ClusterKit` with every call that waits as a coroutine.

        async with AsyncClusterKit("node-1", "127.0.0.1:8080") as ck:
            ...

    On asyncio, uvloop and trio. No thread waits, and lookups are not awaited, because they never wait. Cancelling a call ends
    the wait: what it has begun goes on, and whether a write happened is as unknown as after a TimeoutError. `async` hooks
    run on the loop that registers them, or, where none runs, on the one that awaits `start`.
    """

    @classmethod
    def of(cls, node: ClusterKit) -> AsyncClusterKit:
        """The same node as another handle: it ends with that one."""
        handle = cls._of(node._native, None)
        handle._owned = False
        handle._shared = node  # keeps it alive
        return handle

    _shared: ClusterKit | None = None

    def set_logger(self, logger: Any) -> None:
        """Sets where messages for people go; None drops them. Messages that wait go to the new one."""
        # Another handle of the node has set it.
        if self._owned:
            super().set_logger(logger)

    def _wait_for_loop(self, hook: Hook[Any]) -> None:
        self._loopless.append(hook)

    async def start(self) -> None:
        """Founds a cluster, joins one, or comes back to its own. See `ClusterKit.start`."""
        self._register_loopless(bridge_here())
        await wait(self._native.start())

    async def stop(self, timeout: Time | None = None) -> None:
        """Stops in an orderly way. See `ClusterKit.stop`.

        An `async` hook that is under way is not waited for: it goes on to its end, which counts no more, and may await this.
        Raises InHookError inside a hook that is a plain function.
        """
        await wait(self._native.stop(None if timeout is None else _seconds(timeout)))
        self._closed = True

    async def leave(self, timeout: Time = DEFAULT_TIMEOUT) -> None:
        """Leaves the cluster for ever. See `ClusterKit.leave`."""
        await wait(self._native.leave(_seconds(timeout)))

    async def close(self) -> None:
        """Ends the node without telling the others. See `ClusterKit.close`."""
        self._closed = True
        if self._owned:
            # A hook that does not return: there is nothing more to do about it.
            with contextlib.suppress(TimeoutError):
                await wait(self._native.close())
            self._hooks.clear()
            self._loopless.clear()

    async def __aenter__(self) -> Self:
        """Starts the node."""
        try:
            await self.start()
        except BaseException:
            # Not awaited: the task may be cancelled.
            self._closed = True
            self._native.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stops the node, and closes it."""
        try:
            await self.stop()
        except InHookError:
            raise
        except BaseException:
            self._closed = True
            self._native.close()
            raise
        await self.close()

    def events(self, *types: EventType | str) -> AsyncEvents:
        """The events of these types from now on, all where none is named, for an async loop. Raises StoppedError."""
        return AsyncEvents(self._native.events([str(EventType(type)) for type in types]))

    async def remove_hook(self, hook: Hook[Any], timeout: Time = DEFAULT_TIMEOUT) -> None:
        """`Hook.remove`, awaited."""
        await wait(self._native.remove_hook(self._forget(hook), _seconds(timeout)))
        self._hooks.discard(hook)

    # ---- leadership ----

    async def wait_for_leader(self, timeout: Time = DEFAULT_TIMEOUT) -> LeaderInfo:
        """Waits until a leader is known. Raises NoLeaderError."""
        return LeaderInfo._make(await wait(self._native.wait_for_leader(_seconds(timeout))))

    async def step_down(self) -> str:
        """Has the leader hand leadership over. See `ClusterKit.step_down`."""
        return await wait(self._native.step_down())

    async def promote(self, node_id: str) -> str:
        """Has the leader hand leadership to this voter. See `ClusterKit.promote`."""
        return await wait(self._native.promote(node_id))

    async def demote(self, cooldown: Time) -> str:
        """`step_down` with a cooldown. See `ClusterKit.demote`."""
        return await wait(self._native.demote(_seconds(cooldown)))

    # ---- managing ----

    async def begin_maintenance(self, reason: str, timeout: Time = DEFAULT_TIMEOUT) -> int:
        """Plans no migrations from now on. See `ClusterKit.begin_maintenance`."""
        return await wait(self._native.maintenance(reason, _seconds(timeout)))

    async def end_maintenance(self, timeout: Time = DEFAULT_TIMEOUT) -> int:
        """Ends maintenance. See `ClusterKit.end_maintenance`."""
        return await wait(self._native.maintenance(None, _seconds(timeout)))

    async def remove_node(self, node_id: str, *, force: bool = False, timeout: Time = DEFAULT_TIMEOUT) -> int:
        """Removes a member for good. See `ClusterKit.remove_node`."""
        return await wait(self._native.remove_node(node_id, force, _seconds(timeout)))

    async def recover_partition(
        self, partition: int | str, from_node: str, *, force: bool = False, timeout: Time = DEFAULT_TIMEOUT
    ) -> int:
        """Accepts the copy of a node as a lost partition's data. See `ClusterKit.recover_partition`."""
        number = _partition_number(partition)
        return await wait(self._native.recover_partition(number, from_node, force, _seconds(timeout)))

    async def create_partitions(self, timeout: Time = DEFAULT_TIMEOUT) -> int:
        """Creates the partitions if there are none; how many there are. See `ClusterKit.create_partitions`."""
        return (await wait(self._native.create_partitions(_seconds(timeout))))[1]

    async def rebalance_partitions(self, timeout: Time = DEFAULT_TIMEOUT) -> int:
        """Plans and starts a rebalance; how many partitions move. See `ClusterKit.rebalance_partitions`."""
        return (await wait(self._native.rebalance_partitions(_seconds(timeout))))[1]

    async def rebalance_status(self, timeout: Time = DEFAULT_TIMEOUT) -> RebalanceStatus:
        """How partitions move. See `ClusterKit.rebalance_status`."""
        return RebalanceStatus._make(await wait(self._native.rebalance_status(_seconds(timeout))))

    async def migrations(self, timeout: Time = DEFAULT_TIMEOUT) -> tuple[Migration, ...]:
        """The migration steps of `rebalance_status`."""
        return (await self.rebalance_status(timeout)).migrations

    # ---- the replicated store ----

    async def set_custom_data(
        self, key: str, value: bytes | str, *, expect: int | None = None, timeout: Time = DEFAULT_TIMEOUT
    ) -> int:
        """Writes a small value that every node gets. See `ClusterKit.set_custom_data`."""
        data = value.encode() if isinstance(value, str) else value
        return await wait(self._native.set_data(key, data, expect, _seconds(timeout)))

    async def delete_custom_data(self, key: str, *, expect: int | None = None, timeout: Time = DEFAULT_TIMEOUT) -> bool:
        """Deletes a value; whether there was one. See `ClusterKit.delete_custom_data`."""
        return (await wait(self._native.delete_data(key, expect, _seconds(timeout))))[1]

    async def wait_for_revision(self, revision: int, timeout: Time = DEFAULT_TIMEOUT) -> None:
        """Waits until this node has applied a revision. See `ClusterKit.wait_for_revision`."""
        await wait(self._native.wait_for_revision(revision, _seconds(timeout)))

    async def read_barrier(self, timeout: Time = DEFAULT_TIMEOUT) -> int:
        """Waits until this node has applied everything that was acknowledged. See `ClusterKit.read_barrier`."""
        return await wait(self._native.read_barrier(_seconds(timeout)))
