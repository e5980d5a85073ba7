"""A tour of ClusterKit in Python: three nodes hold an application's data, which the application copies itself.

The same program exists in every language, and prints the same lines (examples/tour.txt). In a real deployment each node
lives in a process of its own, and copies over the network.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import clusterkit
from clusterkit import ABSENT, ClusterKit, PartitionChangeEvent, PartitionState, RoleChange

PARTITIONS = 16
PAUSE = 0.005
KEYS = ["user:1", "user:2", "user:3", "user:4", "user:5"]


@dataclass
class PartitionData:
    """What a node holds of one partition."""

    entries: dict[str, str] = field(default_factory=dict)
    # That of the last write: one from an earlier primary has an older one, and is refused.
    epoch: int = 0


class Storage:
    """The application's own storage on one node, by partition."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[int, PartitionData] = {}

    def write_fenced(self, partition: int, epoch: int, key: str, value: str) -> bool:
        """Writes to a partition that it holds, unless a later primary has written there."""
        with self._lock:
            data = self._held.get(partition)
            if data is None or epoch < data.epoch:
                return False
            data.epoch = epoch
            data.entries[key] = value
            return True

    def has(self, partition: int, key: str) -> bool:
        """Whether it holds a key."""
        with self._lock:
            data = self._held.get(partition)
            return data is not None and key in data.entries

    def copy_of(self, partition: int) -> PartitionData:
        """What it holds of a partition; an empty one where that is nothing."""
        with self._lock:
            data = self._held.get(partition, PartitionData())
            return PartitionData(dict(data.entries), data.epoch)

    def put(self, partition: int, data: PartitionData) -> None:
        """Takes a copy."""
        with self._lock:
            self._held[partition] = data

    def keep(self, partition: int) -> None:
        """For a copy that is here, or a new partition, which is empty."""
        with self._lock:
            self._held.setdefault(partition, PartitionData())

    def drop(self, partition: int) -> None:
        """Forgets a partition."""
        with self._lock:
            self._held.pop(partition, None)


def make(number: int, join: str | None, storages: dict[str, Storage]) -> ClusterKit:
    """A node with the hook that copies. Every node hears of every change; each acts on its own."""
    node = ClusterKit(
        f"node-{number}",
        "127.0.0.1:0",
        join_addrs=join,
        data_dir="",
        partition_count=PARTITIONS,
        replication_factor=2,
    )
    mine = storages[node.node_id]

    # When it returns, the cluster counts on the copy.
    @node.on_partition_change
    def copy(event: PartitionChangeEvent) -> None:
        if event.node_id != node.node_id:
            return
        match event.change:
            case RoleChange.GAINED_REPLICA if event.copy_from_nodes:
                mine.put(event.number, storages[event.copy_from_nodes[0].id].copy_of(event.number))
            case RoleChange.LOST_COPY:
                mine.drop(event.number)
            case _:
                mine.keep(event.number)

    return node


def wait_until_settled(node: ClusterKit, members: int) -> None:
    """Waits until a node sees so many members, and every partition where it should be."""
    while True:
        view = node.view()
        if len(view.nodes) == members and view.partition_count == PARTITIONS:
            if all(partition.state is PartitionState.OK for partition in view.partitions):
                return
        time.sleep(PAUSE)


def primary_of(nodes: Sequence[ClusterKit], partition: int) -> tuple[ClusterKit, int]:
    """The node that takes the writes of a partition at this moment, with the epoch to fence them with."""
    while True:
        for node in nodes:
            with contextlib.suppress(clusterkit.Error):
                return node, node.primary_epoch(partition)
        # The role is between two nodes.
        time.sleep(PAUSE)


def main() -> None:
    """The tour."""
    storages = {f"node-{number}": Storage() for number in (1, 2, 3)}
    with contextlib.ExitStack() as stack:
        nodes = [stack.enter_context(make(1, None, storages))]
        for number in (2, 3):
            nodes.append(stack.enter_context(make(number, nodes[0].http_addr, storages)))
        for node in nodes:
            wait_until_settled(node, 3)
        print(f"3 nodes, {PARTITIONS} partitions, 2 copies of each")

        # Where keys belong, and a write to each: on its primary, fenced with the partition's epoch, and on its replica.
        for key in KEYS:
            partition = nodes[0].get_partition(key).number
            _, epoch = primary_of(nodes, partition)
            written = sum(storage.write_fenced(partition, epoch, key, "hello") for storage in storages.values())
            print(f"{key} belongs to partition {partition}, written to {written} copies")

        # An earlier primary that was cut off and writes late has an older epoch.
        partition = nodes[0].get_partition(KEYS[0]).number
        primary, epoch = primary_of(nodes, partition)
        taken = storages[primary.node_id].write_fenced(partition, epoch - 1, KEYS[0], "late")
        print(f"a write with an older epoch is {'taken' if taken else 'refused'}")

        # A small value that every node has: written where there is none, and not a second time.
        revision = nodes[0].set_custom_data("config/limit", "10", expect=ABSENT)
        outcome = "OK"
        try:
            nodes[1].set_custom_data("config/limit", "20", expect=ABSENT)
        except clusterkit.Error as error:
            outcome = error.code
        print(f"writing config/limit a second time: {outcome}")
        revision = nodes[1].set_custom_data("config/limit", "20", expect=revision)
        nodes[2].wait_for_revision(revision)
        value = nodes[2].get_custom_data("config/limit")
        print(f"config/limit: {value.decode() if value else 'none'}")

        # A node leaves for ever: what it holds is copied to the others first.
        nodes[2].leave()
        wait_until_settled(nodes[0], 2)
        found = 0
        for key in KEYS:
            partition = nodes[0].get_partition(key).number
            found += storages["node-1"].has(partition, key) and storages["node-2"].has(partition, key)
        print(f"node-3 has left: {found} of {len(KEYS)} keys are on both of the others")
    print("stopped")


if __name__ == "__main__":
    main()
