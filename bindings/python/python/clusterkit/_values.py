"""Values on their way to the native half: times, options, partitions."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from datetime import timedelta
from os import PathLike, fspath
from typing import Any, TypeAlias

from ._errors import InvalidArgumentError

Time: TypeAlias = float | timedelta
"""A span of time: seconds, or a timedelta."""

Key: TypeAlias = str | bytes | bytearray | memoryview
"""A key: bytes, or text, which stands for its UTF-8 bytes."""

DEFAULT_TIMEOUT = 30.0
"""How long a call waits that is given no other time, in seconds."""


def _seconds(time: Time) -> float:
    return time.total_seconds() if isinstance(time, timedelta) else float(time)


def _partition_number(partition: int | str) -> int:
    """The number of a partition that is named by it or by its id, "partition-5"."""
    if isinstance(partition, str):
        number = partition.removeprefix("partition-")
        # The id of a partition is one text only: "partition-05" is none.
        if number == partition or not (number.isascii() and number.isdigit()) or (number[0] == "0" and number != "0"):
            raise InvalidArgumentError(f"a partition is a number or an id such as 'partition-5', not {partition!r}")
        partition = int(number)
    if not 0 <= partition < 1 << 32:
        raise InvalidArgumentError(f"there is no partition {partition}")
    return partition


def _option_text(value: object, is_duration: bool) -> str:
    """The value of an option in the words that all languages share."""
    match value:
        case bool():
            return "true" if value else "false"
        case enum.Enum():
            return str(value.value)
        case str():
            return value
        case timedelta():
            return _duration_text(value.total_seconds())
        case int() | float():
            return _duration_text(value) if is_duration else str(value)
        case PathLike():
            return str(fspath(value))
        case Mapping():
            return ",".join(f"{name}={entry}" for name, entry in value.items())
        case Iterable():
            return ",".join(map(str, value))
    raise InvalidArgumentError(f"an option cannot be {value!r}")


def _duration_text(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


def _set_options(options: Any, given: Mapping[str, object], table: Mapping[str, tuple[str, bool]]) -> None:
    """Sets the options that were given as keywords. `None` stands for not given."""
    for keyword, value in given.items():
        if value is not None:
            name, is_duration = table.get(keyword, (keyword, False))
            options.set(name, _option_text(value, is_duration))
