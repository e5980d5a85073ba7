"""The data of a node, in memory, by partition."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import BaseModel


class Fenced(Exception):
    """A write of an earlier primary."""


class Entry(BaseModel):
    """A value, and the write that it is of: a later write has a higher epoch, or the same and a higher number."""

    value: str
    epoch: int
    number: int


class PartitionCopy(BaseModel):
    """What one node copies from another."""

    entries: dict[str, Entry]
    epoch: int
    last: int


@dataclass
class PartitionData:
    """What a node holds of one partition."""

    entries: dict[str, Entry] = field(default_factory=dict)
    # The highest that has written here, or has become primary here: an older one is refused.
    epoch: int = 0
    # The number of the last write.
    last: int = 0

    def merge(self, key: str, written: Entry) -> None:
        """Keeps the later of two writes: they may arrive in any order."""
        present = self.entries.get(key)
        if present is None or (present.epoch, present.number) < (written.epoch, written.number):
            self.entries[key] = written
        self.epoch = max(self.epoch, written.epoch)
        self.last = max(self.last, written.number)


class Store:
    """The partitions of a node. Only its event loop uses it."""

    def __init__(self) -> None:
        self._partitions: dict[int, PartitionData] = {}

    def partition(self, number: int) -> PartitionData:
        """What is held of a partition, which is made where there is none."""
        return self._partitions.setdefault(number, PartitionData())

    def write(self, number: int, epoch: int, key: str, value: str) -> Entry:
        """Writes as the primary of an epoch, unless a later primary has written here."""
        held = self.partition(number)
        if epoch < held.epoch:
            raise Fenced
        held.epoch = epoch
        held.last += 1
        held.entries[key] = written = Entry(value=value, epoch=epoch, number=held.last)
        return written

    def replicate(self, number: int, key: str, written: Entry) -> None:
        """Takes over a write of the primary."""
        held = self.partition(number)
        if written.epoch < held.epoch:
            raise Fenced
        held.merge(key, written)

    def take(self, number: int, copied: PartitionCopy) -> None:
        """Merges a copy of another node with what was written here meanwhile."""
        held = self.partition(number)
        for key, written in copied.entries.items():
            held.merge(key, written)
        held.epoch = max(held.epoch, copied.epoch)
        held.last = max(held.last, copied.last)

    def fence(self, number: int, epoch: int) -> None:
        """Refuses primaries of earlier epochs from now on."""
        held = self.partition(number)
        held.epoch = max(held.epoch, epoch)

    def copy_of(self, number: int) -> PartitionCopy:
        """What another node copies."""
        held = self.partition(number)
        return PartitionCopy(entries=held.entries, epoch=held.epoch, last=held.last)

    def drop(self, number: int) -> None:
        """Forgets a partition."""
        self._partitions.pop(number, None)
