"""The smart client: a program that is no member follows a cluster."""

from __future__ import annotations

import warnings
import weakref
from array import array
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self, Unpack

from . import _clusterkit
from ._errors import ForkedError
from ._log import _default, _logs_to
from ._node_base import Logger
from ._options import _CLIENT_OPTIONS, ClientOptions
from ._records import Node
from ._status import ClientStatus
from ._values import DEFAULT_TIMEOUT, Key, Time, _seconds, _set_options
from ._view import View


class _Changed:
    """What is called with views: alive as long as its client."""

    def __init__(self, function: Callable[[View], object]) -> None:
        self._function = function

    def __call__(self, native: _clusterkit.ViewHandle) -> None:
        self._function(View(native))


class ClientBase:
    """What `Client` and `aio.AsyncClient` have in common: everything that does not wait."""

    def __init__(
        self, addrs: str | Sequence[str], *, logger: Logger | None = _default, **options: Unpack[ClientOptions]
    ) -> None:
        """A client of the cluster that has a member at one of these addresses, "host:port". It follows it from now on.

        The other members are learned from the first answer. `logger` takes the messages for people: by default
        `logging.getLogger("clusterkit")`. Raises InvalidOptionError; IoError when the system has no more threads to give.
        """
        option_set = _clusterkit.ClientOptionSet()
        _set_options(option_set, {"addrs": addrs, **options}, _CLIENT_OPTIONS)
        self._native = _clusterkit.ClientHandle(option_set)
        self._closed = False
        self._changed: _Changed | None = None
        self._native.set_log(None if logger is None else _logs_to(logger, {}))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __del__(self) -> None:
        """Closes the client: a net, no plan."""
        if getattr(self, "_closed", True):
            return
        try:
            self._native.status()
        except ForkedError:
            return
        warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self, stacklevel=2)

    def view(self) -> View:
        """The newest view, at once, whatever becomes of the network. Empty before the first answer: see `wait_ready`."""
        return View(self._native.view())

    @property
    def status(self) -> ClientStatus:
        """Which member it follows, how old the view may be, and what failed last."""
        return ClientStatus._make(self._native.status())

    def get_primary_node(self, key: Key) -> Node | None:
        """The node that takes the writes of a key, if there is one, by the newest view."""
        return self._native.view().primary_for_key(key)

    def get_nodes_for_key(self, key: Key) -> tuple[Node, ...]:
        """Every node that holds a key, by the newest view: the primary first."""
        return self._native.view().nodes_for_key(key)

    def partitions_for_keys(self, keys: Iterable[Key] | Any) -> array[int]:
        """The partition numbers of many keys: see `View.partitions_for_keys`."""
        return array("I", self._native.view().partitions_for_keys(keys))

    def on_change(self, function: Callable[[View], object] | None) -> Callable[[View], object] | None:
        """Has a function called with each newer view, the present one first, on a thread of its own. None ends that.

        Views that follow each other quickly may be left out, but never the last. What the function raises is reported to
        `sys.unraisablehook`. A decorator. Raises StoppedError.
        """
        changed = None if function is None else _Changed(function)
        self._native.on_change(None if changed is None else weakref.ref(changed))
        self._changed = changed
        return function


class Client(ClientBase):
    """A program's view of a cluster that it is no member of: kept up to date over HTTP, looked up in its own memory.

        with Client(["10.0.0.1:8080", "10.0.0.2:8080"]) as client:
            owner = client.get_primary_node("user:123")

    `aio.AsyncClient` is the same for programs that are async themselves.
    """

    def close(self) -> None:
        """Ends it. The view stays. Closing again does nothing."""
        if not self._closed:
            self._closed = True
            self._native.close().wait()

    def __enter__(self) -> Self:
        """Waits for the first view, for `DEFAULT_TIMEOUT` at most."""
        try:
            self.wait_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def wait_ready(self, timeout: Time = DEFAULT_TIMEOUT) -> int:
        """Waits for the first view; its revision. Raises TimeoutError with what failed last, StoppedError."""
        return self._native.wait_ready(_seconds(timeout)).wait()

    def wait_for_change(self, revision: int, timeout: Time = DEFAULT_TIMEOUT) -> int:
        """Waits for a view that is newer than `revision`; its revision. Raises TimeoutError, StoppedError."""
        return self._native.wait_for_change(revision, _seconds(timeout)).wait()

    def wait_for_revision(self, revision: int, timeout: Time = DEFAULT_TIMEOUT) -> None:
        """Waits until the view is of `revision` or newer, and asks for it. Raises TimeoutError, StoppedError."""
        self._native.wait_for_revision(revision, _seconds(timeout)).wait()

    def refresh(self, timeout: Time = DEFAULT_TIMEOUT) -> int:
        """Asks a member now; the revision of the view. Raises TimeoutError, UnreachableError, StoppedError."""
        return self._native.refresh(_seconds(timeout)).wait()

    def read_barrier(self, timeout: Time = DEFAULT_TIMEOUT) -> int:
        """Waits for a view with everything that any member has acknowledged. Raises as `refresh`, and NoLeaderError."""
        return self._native.read_barrier(_seconds(timeout)).wait()
