"""Clusters of real nodes inside a test, without sockets and files, whose clock the test moves.

    def test_a_primary_dies():
        with TestCluster(nodes=3, partition_count=8) as cluster:
            primary = cluster.primary_of("user:123")
            cluster.kill(primary)
            cluster.wait_for_primaries(60)
            assert cluster.primary_of("user:123") != primary

The pytest fixture `clusterkit_cluster` starts such clusters and closes them. docs/testing.md has recipes.
"""

from __future__ import annotations

import enum
import weakref
from collections.abc import Callable, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeAlias, Unpack

from . import _clusterkit
from ._errors import NotFoundError
from ._log import _default
from ._node import ClusterKit
from ._option_set import OptionSet
from ._options import _NODE_OPTIONS, Options
from ._values import Key, Time, _seconds, _set_options

__all__ = ["Configure", "DiskFault", "Prepare", "TestCluster"]

Configure: TypeAlias = Callable[[int, OptionSet], object]
"""Called with a node's index and its options, before the node is made."""
Prepare: TypeAlias = Callable[[int, ClusterKit], object]
"""Called with a node's index and the node, before it is started."""

WAIT_TIMEOUT = 600.0
"""How long calls wait on the cluster's clock that are given no other time, in seconds: a test does not wait for it."""


class DiskFault(enum.StrEnum):
    """How a disk fails."""

    FULL = "full"
    """Nothing more can be written."""
    READ_ONLY = "read_only"
    """Nothing more can be written."""
    SYNC_FAILS = "sync_fails"
    """Writes that should have become durable have not."""
    HANGS = "hangs"
    """Writes do not return until the disk is mended."""


class TestCluster:
    """Real nodes in one process. Nodes are named by their index, from 0; node 0 has the id "node-0".

    They have one clock, by which all times here are: it passes with real time, or faster where a call moves it. So what takes
    minutes elsewhere takes milliseconds here. Each node is an ordinary `ClusterKit`, so a program's own code runs on it
    unchanged (`AsyncClusterKit.of(cluster.node(0))` is one for async code); nodes listen on no socket. Calls that wait raise
    InHookError inside a hook.
    """

    # Not for pytest to collect.
    __test__ = False

    def __init__(
        self,
        nodes: int = 3,
        *,
        seed: int = 0,
        manual_clock: bool = False,
        configure: Configure | None = None,
        prepare: Prepare | None = None,
        **options: Unpack[Options],
    ) -> None:
        """Starts a cluster. Returns when all nodes are members, every partition has its copies, and nothing moves.

        `seed` decides what slow links lose and what a killed node's disk keeps. With `manual_clock` no time passes but by
        `advance` and the calls that wait. `configure` changes the options of each node, which are otherwise those of the
        keywords. `prepare` is called with each process of a node before its start: the place for hooks. What either raises,
        the call that makes the node raises.

        Raises InvalidOptionError, InvalidArgumentError for a number of nodes that is not from 1 to 1000, and as `start` does.
        """
        self._slots: dict[int, ClusterKit] = {}
        self._prepare_node = prepare
        # Weakly: the native half holds them, and is held by this.
        this = weakref.ref(self)
        given: dict[str, Any] = {"partition_count": None, "timing": "wan", **options}

        def configured(index: int, native: _clusterkit.OptionSet) -> None:
            _set_options(native, given, _NODE_OPTIONS)
            if configure is not None:
                option_set = OptionSet.__new__(OptionSet)
                option_set._native = native
                configure(index, option_set)

        def prepared(index: int, native: _clusterkit.NodeHandle) -> None:
            cluster = this()
            if cluster is not None:
                cluster._prepare(index, native)

        self._native = _clusterkit.start_test_cluster(nodes, seed, manual_clock, configured, prepared).wait()

    def _prepare(self, index: int, native: _clusterkit.NodeHandle) -> None:
        node = ClusterKit._of(native, _default)
        node._owned = False
        if self._prepare_node is not None:
            self._prepare_node(index, node)
        self._slots[index] = node

    def __repr__(self) -> str:
        return f"<TestCluster of {len(self._slots)} nodes>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends everything. Handles of nodes raise StoppedError afterwards. Raises TimeoutError when a hook does not return."""
        self._native.close().wait()

    # ---- nodes ----

    @property
    def node_count(self) -> int:
        """How many nodes there are, those included that do not run."""
        return self._native.node_count()

    def node(self, index: int) -> ClusterKit:
        """The present process of a node, or its last. Raises NotFoundError."""
        node = self._slots.get(index)
        if node is None:
            raise NotFoundError(f"there is no node {index}; there are {len(self._slots)}")
        return node

    @property
    def nodes(self) -> tuple[ClusterKit, ...]:
        """The present processes of all nodes, by index."""
        return tuple(self._slots[index] for index in sorted(self._slots))

    def index_of(self, node_id: str) -> int | None:
        """The index of the node with this id."""
        return self._native.index_of(node_id)

    def is_running(self, index: int) -> bool:
        """True while a node runs: it was started, and neither stopped nor killed. A paused one runs."""
        return self._native.is_running(index)

    def is_paused(self, index: int) -> bool:
        """True while a node is paused."""
        return self._native.is_paused(index)

    def add_node(self) -> int:
        """Adds a node and starts it; its index. `wait_settled` waits for its partitions. Raises as `ClusterKit.start`."""
        return self._native.add_node().wait()

    def create_node(self) -> int:
        """Adds a node and does not start it: the test does, with `ClusterKit.start`. Its index."""
        return self._native.create_node().wait()

    # ---- processes ----

    def stop(self, index: int) -> None:
        """Stops a node in an orderly way; it keeps its disk. Raises NotFoundError; RefusedError for one that does not run."""
        self._native.stop(index).wait()

    def kill(self, index: int) -> None:
        """Ends a node's process as a loss of power does. Raises NotFoundError; RefusedError for one that does not run."""
        self._native.kill(index).wait()

    def restart(self, index: int) -> ClusterKit:
        """Starts a new process of a node that was killed or stopped, on its disk. Raises RefusedError for one that runs."""
        self._native.restart(index).wait()
        return self.node(index)

    def recreate(self, index: int) -> ClusterKit:
        """Makes a new process of a node and does not start it: the test does. Raises as `restart`."""
        self._native.recreate(index).wait()
        return self.node(index)

    def wipe(self, index: int) -> None:
        """Gives a node an empty disk. One that runs is killed first. Raises NotFoundError."""
        self._native.wipe(index).wait()

    # ---- faults ----

    def pause(self, index: int) -> None:
        """Pauses a node: it answers nobody, and no hook of it is called. Raises NotFoundError, RefusedError."""
        self._native.pause(index)

    def resume(self, index: int) -> None:
        """Resumes a paused node. Raises NotFoundError."""
        self._native.resume(index)

    def cut(self, one: int, other: int) -> None:
        """Loses all messages between two nodes. Raises NotFoundError."""
        self._native.cut(one, other)

    def cut_one_way(self, from_node: int, to_node: int) -> None:
        """Loses all messages from one node to another. Raises NotFoundError."""
        self._native.cut_one_way(from_node, to_node)

    def restore(self, one: int, other: int) -> None:
        """Ends the cuts between two nodes. Raises NotFoundError."""
        self._native.restore(one, other)

    def isolate(self, index: int) -> None:
        """Cuts a node off from all others until `heal`. Raises NotFoundError."""
        self._native.isolate(index)

    def split(self, one_side: Sequence[int]) -> None:
        """Cuts these nodes off from all others until `heal`. Raises NotFoundError."""
        self._native.split(one_side)

    def heal(self) -> None:
        """Mends the network. Paused nodes stay paused, disks as they are."""
        self._native.heal()

    def set_link(self, from_node: int, to_node: int, *, delay: Time = 0.0, loss: float = 0.0) -> None:
        """Sets how long messages from one node to another take, and how likely each is lost and sent again, from 0 to 1."""
        self._native.set_link(from_node, to_node, _seconds(delay), loss)

    def fail_disk(self, index: int, fault: DiskFault | str) -> None:
        """Lets a node's disk fail from now on, until `mend_disk` or its next process. Raises NotFoundError."""
        self._native.fail_disk(index, str(fault))

    def mend_disk(self, index: int) -> None:
        """Mends a node's disk. A node whose log has failed has to be restarted all the same. Raises NotFoundError."""
        self._native.mend_disk(index)

    # ---- the clock, and waiting ----

    def advance(self, time: Time) -> None:
        """Moves the clock on, and returns when everything has happened that follows from it."""
        self._native.advance(_seconds(time)).wait()

    @property
    def now(self) -> timedelta:
        """What has passed on the clock since the cluster was made."""
        return timedelta(seconds=self._native.now())

    @property
    def leader(self) -> int | None:
        """The node that leads, and that a majority can follow."""
        return self._native.leader()

    def primary_of(self, key: Key) -> int | None:
        """The node that takes the writes of a key at this moment, by its own word."""
        return self._native.primary_of(key)

    def wait_for_leader(self, timeout: Time = WAIT_TIMEOUT) -> int:
        """Waits until a node leads; its index. Raises TimeoutError with what is missing, as all of these do."""
        return self._native.wait_for_leader(_seconds(timeout)).wait()

    def wait_for_primaries(self, timeout: Time = WAIT_TIMEOUT) -> None:
        """Waits until every partition has a primary that says so itself: the end of a failover."""
        self._native.wait_for_primaries(_seconds(timeout)).wait()

    def wait_settled(self, timeout: Time = WAIT_TIMEOUT) -> None:
        """Waits until the cluster is at rest: every partition has all its copies, and nothing moves or is about to."""
        self._native.wait_settled(_seconds(timeout)).wait()

    def wait_until(self, what: str, condition: Callable[[], object], timeout: Time = WAIT_TIMEOUT) -> None:
        """Waits until a condition is true; `what` names it in the error. The condition is looked at after each timer.

        It is called on another thread. What it raises ends the wait.
        """
        self._native.wait_until(what, _seconds(timeout), condition).wait()
