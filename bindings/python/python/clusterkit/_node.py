"""A node for programs whose threads may block."""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Self

from ._events import EventType
from ._node_base import NodeBase
from ._queue import Events
from ._records import LeaderInfo
from ._status import Migration, RebalanceStatus
from ._values import DEFAULT_TIMEOUT, Key, Time, _partition_number, _seconds

__all__ = ["ClusterKit", "Key"]


class ClusterKit(NodeBase):
    """A node of a cluster, embedded in this process. `aio.AsyncClusterKit` is the same for programs that are async themselves.

        with ClusterKit("node-1", "127.0.0.1:8080") as ck:
            ...

    Any thread may make any call. A call that waits gives up the interpreter meanwhile, and a signal whose handler raises, as
    Ctrl-C does, ends the wait at once: what the call has begun goes on unseen, as after a TimeoutError. Lookups never wait.
    A node that nobody refers to any more is closed, with a ResourceWarning.
    """

    def start(self) -> None:
        """Founds a cluster, joins one, or comes back to its own, as its options and its data directory say.

        Returns when the node is a member, or after the option `join_timeout`: a node that was a member before then goes on
        trying (`waiting_for`). A node starts once; after a failure close it and make another.

        Raises AlreadyStartedError, StoppedError, JoinFailedError with what every address answered, JoinRefusedError,
        AddressInUseError, DataDirInUseError, WrongClusterError, ClusterMismatchError, DuplicateNodeError, RemovedError,
        CorruptError, IoError; InHookError inside a hook of this node.
        """
        self._native.start().wait()

    def stop(self, timeout: Time | None = None) -> None:
        """Stops in an orderly way: the other nodes take over what it has, then everything is closed, in a few seconds at most.

        After it no hook of this node runs or will. Stopping again is legal. Raises InHookError inside a hook of this node;
        TimeoutError when a hook has not returned after 5 s, or after `timeout`: everything else is closed, or goes on to.
        """
        self._native.stop(None if timeout is None else _seconds(timeout)).wait()
        self._closed = True

    def leave(self, timeout: Time = DEFAULT_TIMEOUT) -> None:
        """Leaves the cluster for ever: leadership and copies move to other nodes, then it is removed and stops.

        Raises RefusedError when no node could take over; TimeoutError with what is left to move: the node goes on leaving, and
        the call may be made again; NotStartedError, StoppedError; InHookError inside a hook of this node.
        """
        self._native.leave(_seconds(timeout)).wait()

    def close(self) -> None:
        """Ends the node and gives back what it has, without telling the other nodes where `stop` has not.

        After it no hook of this node runs or will, but for one that does not return within 5 s. Inside a hook of the node it
        does not wait. Closing again does nothing.
        """
        self._closed = True
        if self._owned:
            # A hook that does not return: there is nothing more to do about it.
            with contextlib.suppress(TimeoutError):
                self._native.close().wait()
            self._hooks.clear()

    def __enter__(self) -> Self:
        """Starts the node."""
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None) -> None:
        """Stops the node, and closes it."""
        try:
            self.stop()
        finally:
            self.close()

    def events(self, *types: EventType | str) -> Events:
        """The events of these types from now on, all where none is named, for a loop. Raises StoppedError."""
        return Events(self._native.events([str(EventType(type)) for type in types]))

    # ---- leadership ----

    def wait_for_leader(self, timeout: Time = DEFAULT_TIMEOUT) -> LeaderInfo:
        """Waits until a leader is known. Raises NoLeaderError."""
        return LeaderInfo._make(self._native.wait_for_leader(_seconds(timeout)).wait())

    def step_down(self) -> str:
        """Has the leader hand leadership to another voter; the leader afterwards. Raises RefusedError with the reason."""
        return self._native.step_down().wait()

    def promote(self, node_id: str) -> str:
        """Has the leader hand leadership to this voter; the leader afterwards. Raises RefusedError, NotFoundError."""
        return self._native.promote(node_id).wait()

    def demote(self, cooldown: Time) -> str:
        """`step_down`, after which the former leader does not stand for election by itself for `cooldown`."""
        return self._native.demote(_seconds(cooldown)).wait()

    # ---- managing ----

    def begin_maintenance(self, reason: str, timeout: Time = DEFAULT_TIMEOUT) -> int:
        """Plans no migrations from now on; primaries still fail over. The revision. Raises NoLeaderError, TimeoutError."""
        return self._native.maintenance(reason, _seconds(timeout)).wait()

    def end_maintenance(self, timeout: Time = DEFAULT_TIMEOUT) -> int:
        """Ends maintenance. The revision. Raises NoLeaderError, TimeoutError."""
        return self._native.maintenance(None, _seconds(timeout)).wait()

    def remove_node(self, node_id: str, *, force: bool = False, timeout: Time = DEFAULT_TIMEOUT) -> int:
        """Removes a member for good. The revision. `force`: even the last that holds a partition's data, which is lost then.

        Raises NotFoundError, RefusedError, NoLeaderError, TimeoutError.
        """
        return self._native.remove_node(node_id, force, _seconds(timeout)).wait()

    def recover_partition(
        self, partition: int | str, from_node: str, *, force: bool = False, timeout: Time = DEFAULT_TIMEOUT
    ) -> int:
        """Accepts the copy of a node as a lost partition's data. The revision. Raises NotFoundError, RefusedError, ..."""
        number = _partition_number(partition)
        return self._native.recover_partition(number, from_node, force, _seconds(timeout)).wait()

    def create_partitions(self, timeout: Time = DEFAULT_TIMEOUT) -> int:
        """Creates the partitions if there are none, which a leader does by itself; how many there are."""
        return self._native.create_partitions(_seconds(timeout)).wait()[1]

    def rebalance_partitions(self, timeout: Time = DEFAULT_TIMEOUT) -> int:
        """Plans and starts a rebalance, which a leader does by itself; how many partitions move. They go on afterwards."""
        return self._native.rebalance_partitions(_seconds(timeout)).wait()[1]

    def rebalance_status(self, timeout: Time = DEFAULT_TIMEOUT) -> RebalanceStatus:
        """How partitions move, as the leader knows it, or else this node. Raises StoppedError."""
        return RebalanceStatus._make(self._native.rebalance_status(_seconds(timeout)).wait())

    def migrations(self, timeout: Time = DEFAULT_TIMEOUT) -> tuple[Migration, ...]:
        """The migration steps of `rebalance_status`."""
        return self.rebalance_status(timeout).migrations

    # ---- the replicated store ----

    def set_custom_data(
        self, key: str, value: bytes | str, *, expect: int | None = None, timeout: Time = DEFAULT_TIMEOUT
    ) -> int:
        """Writes a small value that every node gets; text as UTF-8. The revision of the write.

        With `expect` only where the key has no value (ABSENT), or the one that this revision wrote.

        Raises TooLargeError above 1 MiB; ConflictError when `expect` does not hold; NoLeaderError: it was not written;
        TimeoutError: it may or may not have been.
        """
        data = value.encode() if isinstance(value, str) else value
        return self._native.set_data(key, data, expect, _seconds(timeout)).wait()

    def delete_custom_data(self, key: str, *, expect: int | None = None, timeout: Time = DEFAULT_TIMEOUT) -> bool:
        """Deletes a value; whether there was one. Raises as `set_custom_data`."""
        return self._native.delete_data(key, expect, _seconds(timeout)).wait()[1]

    def wait_for_revision(self, revision: int, timeout: Time = DEFAULT_TIMEOUT) -> None:
        """Waits until this node has applied a revision: to read what was written elsewhere. Raises TimeoutError."""
        self._native.wait_for_revision(revision, _seconds(timeout)).wait()

    def read_barrier(self, timeout: Time = DEFAULT_TIMEOUT) -> int:
        """Waits until this node has applied everything that any node has acknowledged. The revision.

        Raises NoLeaderError, TimeoutError.
        """
        return self._native.read_barrier(_seconds(timeout)).wait()
