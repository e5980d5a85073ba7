"""The exceptions: one tree under `Error`, with a class for each code that every language shares."""

from __future__ import annotations

import builtins
import enum
from typing import ClassVar

__all__ = [
    "AddressInUseError",
    "AlreadyExistsError",
    "AlreadyStartedError",
    "BusyError",
    "ClusterMismatchError",
    "ConflictError",
    "CorruptError",
    "DataDirInUseError",
    "DuplicateNodeError",
    "Error",
    "ErrorCode",
    "ForkedError",
    "InHookError",
    "InternalError",
    "InvalidArgumentError",
    "InvalidOptionError",
    "IoError",
    "JoinFailedError",
    "JoinRefusedError",
    "LeaseExpiredError",
    "NoLeaderError",
    "NotFoundError",
    "NotLeaderError",
    "NotStartedError",
    "RefusedError",
    "RemovedError",
    "StoppedError",
    "TimeoutError",
    "TooLargeError",
    "UnauthenticatedError",
    "UnreachableError",
    "VersionError",
    "WrongClusterError",
]


class ErrorCode(enum.StrEnum):
    """What went wrong, as a stable code: the same in every language and over HTTP."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    """An argument of a call is outside what the call accepts."""
    INVALID_OPTION = "INVALID_OPTION"
    """An option is unknown, malformed or out of bounds, or two options contradict each other."""
    NOT_STARTED = "NOT_STARTED"
    """The call needs a started node."""
    ALREADY_STARTED = "ALREADY_STARTED"
    """The node was started before; a node starts once."""
    STOPPED = "STOPPED"
    """The node has stopped or is stopping. A write was not made."""
    TIMEOUT = "TIMEOUT"
    """The deadline passed before an answer came. A write may or may not have happened: the one code that says so."""
    NO_LEADER = "NO_LEADER"
    """No leader is known at present. A write was not made."""
    NOT_LEADER = "NOT_LEADER"
    """The node that was asked is not the leader and could not reach it."""
    LEASE_EXPIRED = "LEASE_EXPIRED"
    """The node holds no valid lease, so it may not act as primary or leader."""
    NOT_FOUND = "NOT_FOUND"
    """The named node, partition or key does not exist."""
    ALREADY_EXISTS = "ALREADY_EXISTS"
    """The named thing exists already."""
    CONFLICT = "CONFLICT"
    """The state moved on since the caller looked: a compare-and-set or a revision precondition failed."""
    JOIN_REFUSED = "JOIN_REFUSED"
    """A member refused this node's request to join."""
    JOIN_FAILED = "JOIN_FAILED"
    """No member could be joined before the deadline."""
    IO = "IO"
    """The disk failed. Nothing is acknowledged after a failed write."""
    CORRUPT = "CORRUPT"
    """Stored data is damaged; the message names the file and the offset."""
    DATA_DIR_IN_USE = "DATA_DIR_IN_USE"
    """Another process uses the data directory."""
    ADDRESS_IN_USE = "ADDRESS_IN_USE"
    """The listen address is in use or cannot be bound."""
    WRONG_CLUSTER = "WRONG_CLUSTER"
    """The data directory or the peer belongs to another cluster."""
    DUPLICATE_NODE = "DUPLICATE_NODE"
    """A live node with the same id is a member already."""
    CLUSTER_MISMATCH = "CLUSTER_MISMATCH"
    """An option that must agree in the whole cluster differs from the cluster's value."""
    TOO_LARGE = "TOO_LARGE"
    """A key, value, body or frame exceeds its bound."""
    UNAUTHENTICATED = "UNAUTHENTICATED"
    """The caller did not prove that it knows the cluster secret."""
    IN_HOOK = "IN_HOOK"
    """The call would block and was made inside a hook."""
    FORKED = "FORKED"
    """The process was forked after the library was used; the child cannot use it."""
    UNREACHABLE = "UNREACHABLE"
    """The peer cannot be reached."""
    REMOVED = "REMOVED"
    """The node was removed from the cluster by an administrator, or has left it."""
    REFUSED = "REFUSED"
    """The request is refused because of the cluster's present condition; the message says which."""
    BUSY = "BUSY"
    """Too many requests are under way; try again."""
    VERSION = "VERSION"
    """The peer speaks a protocol or state version that this build does not know."""
    INTERNAL = "INTERNAL"
    """A defect in ClusterKit. Please report it."""


class Error(Exception):
    """Why a call of ClusterKit failed. `str()` is for people, and may change; programs look at the class or `code`."""

    code: ClassVar[ErrorCode] = ErrorCode.INTERNAL
    """The stable code."""
    retriable: ClassVar[bool] = False
    """True when the same call may succeed later without the caller changing anything."""
    ambiguous: ClassVar[bool] = False
    """True when the call may have had its effect all the same. Every other error of a write says that it has not."""


class InvalidArgumentError(Error, ValueError):
    """An argument of a call is outside what the call accepts."""

    code = ErrorCode.INVALID_ARGUMENT


class InvalidOptionError(Error, ValueError):
    """An option is unknown, malformed or out of bounds, or two options contradict each other."""

    code = ErrorCode.INVALID_OPTION


class NotStartedError(Error):
    """The call needs a started node."""

    code = ErrorCode.NOT_STARTED


class AlreadyStartedError(Error):
    """The node was started before; a node starts once."""

    code = ErrorCode.ALREADY_STARTED


class StoppedError(Error):
    """The node has stopped or is stopping. A write was not made."""

    code = ErrorCode.STOPPED


class TimeoutError(Error, builtins.TimeoutError):
    """The deadline passed before an answer came. A write may or may not have happened: the one code that says so."""

    code = ErrorCode.TIMEOUT
    retriable = True
    ambiguous = True


class NoLeaderError(Error):
    """No leader is known at present. A write was not made."""

    code = ErrorCode.NO_LEADER
    retriable = True


class NotLeaderError(Error):
    """The node that was asked is not the leader and could not reach it."""

    code = ErrorCode.NOT_LEADER
    retriable = True


class LeaseExpiredError(Error):
    """The node holds no valid lease, so it may not act as primary or leader."""

    code = ErrorCode.LEASE_EXPIRED
    retriable = True


class NotFoundError(Error, LookupError):
    """The named node, partition or key does not exist."""

    code = ErrorCode.NOT_FOUND


class AlreadyExistsError(Error):
    """The named thing exists already."""

    code = ErrorCode.ALREADY_EXISTS


class ConflictError(Error):
    """The state moved on since the caller looked: a compare-and-set or a revision precondition failed."""

    code = ErrorCode.CONFLICT


class JoinRefusedError(Error):
    """A member refused this node's request to join."""

    code = ErrorCode.JOIN_REFUSED


class JoinFailedError(Error):
    """No member could be joined before the deadline."""

    code = ErrorCode.JOIN_FAILED
    retriable = True


class IoError(Error):
    """The disk failed. Nothing is acknowledged after a failed write."""

    code = ErrorCode.IO


class CorruptError(Error):
    """Stored data is damaged; the message names the file and the offset."""

    code = ErrorCode.CORRUPT


class DataDirInUseError(Error):
    """Another process uses the data directory."""

    code = ErrorCode.DATA_DIR_IN_USE


class AddressInUseError(Error):
    """The listen address is in use or cannot be bound."""

    code = ErrorCode.ADDRESS_IN_USE


class WrongClusterError(Error):
    """The data directory or the peer belongs to another cluster."""

    code = ErrorCode.WRONG_CLUSTER


class DuplicateNodeError(Error):
    """A live node with the same id is a member already."""

    code = ErrorCode.DUPLICATE_NODE


class ClusterMismatchError(Error):
    """An option that must agree in the whole cluster differs from the cluster's value."""

    code = ErrorCode.CLUSTER_MISMATCH


class TooLargeError(Error):
    """A key, value, body or frame exceeds its bound."""

    code = ErrorCode.TOO_LARGE


class UnauthenticatedError(Error):
    """The caller did not prove that it knows the cluster secret."""

    code = ErrorCode.UNAUTHENTICATED


class InHookError(Error):
    """The call would block and was made inside a hook."""

    code = ErrorCode.IN_HOOK


class ForkedError(Error):
    """The process was forked after the library was used; the child cannot use it."""

    code = ErrorCode.FORKED


class UnreachableError(Error):
    """The peer cannot be reached."""

    code = ErrorCode.UNREACHABLE
    retriable = True


class RemovedError(Error):
    """The node was removed from the cluster by an administrator, or has left it."""

    code = ErrorCode.REMOVED


class RefusedError(Error):
    """The request is refused because of the cluster's present condition; the message says which."""

    code = ErrorCode.REFUSED


class BusyError(Error):
    """Too many requests are under way; try again."""

    code = ErrorCode.BUSY
    retriable = True


class VersionError(Error):
    """The peer speaks a protocol or state version that this build does not know."""

    code = ErrorCode.VERSION


class InternalError(Error):
    """A defect in ClusterKit. Please report it."""

    code = ErrorCode.INTERNAL


_BY_CODE: dict[str, type[Error]] = {
    cls.code.value: cls
    for cls in (
        InvalidArgumentError,
        InvalidOptionError,
        NotStartedError,
        AlreadyStartedError,
        StoppedError,
        TimeoutError,
        NoLeaderError,
        NotLeaderError,
        LeaseExpiredError,
        NotFoundError,
        AlreadyExistsError,
        ConflictError,
        JoinRefusedError,
        JoinFailedError,
        IoError,
        CorruptError,
        DataDirInUseError,
        AddressInUseError,
        WrongClusterError,
        DuplicateNodeError,
        ClusterMismatchError,
        TooLargeError,
        UnauthenticatedError,
        InHookError,
        ForkedError,
        UnreachableError,
        RemovedError,
        RefusedError,
        BusyError,
        VersionError,
        InternalError,
    )
}


def _make(code: str, message: str) -> Error:
    """The exception of a code, for the native half."""
    return _BY_CODE.get(code, InternalError)(message)
