"""The mapping from keys to partitions, a published contract, without a node."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from . import _clusterkit
from ._values import Key


def partition_for(key: Key, partition_count: int) -> int:
    """The number of the partition of a key in a cluster of so many: the same in every language, for ever."""
    return _clusterkit.partition_for(key, partition_count)


def partitions_for_many(keys: Iterable[Key] | Any, partition_count: int) -> array[int]:
    """`partition_for` of many keys, in order, several times faster: see `View.partitions_for_keys`."""
    return array("I", _clusterkit.partitions_for_many(keys, partition_count))


def parse_duration(text: str) -> timedelta:
    """A span of time from text, as options have it: "1m30s", or a number of milliseconds. Raises InvalidArgumentError."""
    return timedelta(seconds=_clusterkit.parse_duration(text))
