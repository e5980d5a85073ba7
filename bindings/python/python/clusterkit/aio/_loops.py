"""How event loops wait for the library: asyncio, uvloop, trio, and so anyio."""

from __future__ import annotations

import asyncio
import itertools
import sys
import weakref
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from .. import _clusterkit
from .._events import Event

if TYPE_CHECKING:
    from .._hooks import Hook

T = TypeVar("T")


class Bridge(Protocol):
    """What waits on one event loop."""

    inbox: _clusterkit.Inbox

    async def wait(self, call: _clusterkit.Call[T]) -> T:
        """Waits for a call. Cancelled, it leaves the call to itself."""
        ...


_tokens = itertools.count(1)
_bridges: weakref.WeakKeyDictionary[object, Bridge] = weakref.WeakKeyDictionary()


def _close_with(loop: object, inbox: _clusterkit.Inbox) -> None:
    """Lets hooks that are called when the loop is gone fail, instead of waiting for it."""
    weakref.finalize(loop, inbox.close).atexit = False


async def _run_hook(hook: Hook[Any], event: Event, completion: _clusterkit.Completion) -> None:
    """Runs a hook to its end, which ends the call."""
    try:
        await hook(event)
    except BaseException as raised:
        words = str(raised)
        completion.end(f"{type(raised).__name__}: {words}" if words else type(raised).__name__)
        if not isinstance(raised, Exception):
            # Cancelled, or the process ends: the loop has to know.
            raise
        sys.unraisablehook(_Unraisable(raised, hook))
    else:
        completion.end(None)


class _Unraisable:
    """What sys.unraisablehook is told, as of a hook that is called by the library."""

    def __init__(self, raised: BaseException, hook: object) -> None:
        self.exc_type: type[BaseException] = type(raised)
        self.exc_value: BaseException | None = raised
        self.exc_traceback: TracebackType | None = raised.__traceback__
        self.err_msg: str | None = None
        self.object: object = hook


class _AsyncioBridge:
    """Waits on an asyncio loop: it watches the inbox's descriptor."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.inbox = _clusterkit.Inbox()
        self._waiting: dict[int, asyncio.Future[None]] = {}
        # The loop refers to tasks weakly.
        self._tasks: set[asyncio.Task[None]] = set()
        loop.add_reader(self.inbox.fileno(), self._drain)
        _close_with(loop, self.inbox)

    async def wait(self, call: _clusterkit.Call[T]) -> T:
        token = next(_tokens)
        done = asyncio.get_running_loop().create_future()
        self._waiting[token] = done
        try:
            call.listen(self.inbox, token)
            await done
        except BaseException:
            call.abandon()
            raise
        finally:
            self._waiting.pop(token, None)
        return call.result()

    def _drain(self) -> None:
        for item in self.inbox.drain():
            if isinstance(item, int):
                done = self._waiting.pop(item, None)
                if done is not None and not done.done():
                    done.set_result(None)
                continue
            reference, event, completion = item
            _begin_hook(reference, event, completion, self._spawn)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _TrioBridge:
    """Waits in a run of trio's: a system task watches the inbox's descriptor."""

    def __init__(self, token: object) -> None:
        import trio

        self.inbox = _clusterkit.Inbox()
        self._waiting: dict[int, trio.Event] = {}
        trio.lowlevel.spawn_system_task(self._serve)
        _close_with(token, self.inbox)

    async def wait(self, call: _clusterkit.Call[T]) -> T:
        import trio

        token = next(_tokens)
        done = trio.Event()
        self._waiting[token] = done
        try:
            call.listen(self.inbox, token)
            await done.wait()
        except BaseException:
            call.abandon()
            raise
        finally:
            self._waiting.pop(token, None)
        return call.result()

    async def _serve(self) -> None:
        import trio

        try:
            while True:
                await trio.lowlevel.wait_readable(self.inbox.fileno())
                for item in self.inbox.drain():
                    if isinstance(item, int):
                        done = self._waiting.pop(item, None)
                        if done is not None:
                            done.set()
                        continue
                    reference, event, completion = item
                    _begin_hook(reference, event, completion, self._spawn)
        finally:
            # The run ends.
            self.inbox.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        import trio

        async def run() -> None:
            await work

        trio.lowlevel.spawn_system_task(run)


def _begin_hook(
    reference: weakref.ref[Hook[Any]],
    event: Event,
    completion: _clusterkit.Completion,
    spawn: Callable[[Coroutine[Any, Any, None]], None],
) -> None:
    hook = reference()
    if hook is None:
        completion.end("the hook's function is gone, and with it its node")
    else:
        spawn(_run_hook(hook, event, completion))


def _in_trio() -> bool:
    trio = sys.modules.get("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_task())


def running_bridge() -> Bridge | None:
    """The bridge of the loop that runs here; None where none does."""
    bridge: Bridge | None
    if _in_trio():
        import trio

        token = trio.lowlevel.current_trio_token()
        bridge = _bridges.get(token)
        if bridge is None:
            bridge = _bridges[token] = _TrioBridge(token)
        return bridge
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    bridge = _bridges.get(loop)
    if bridge is None:
        bridge = _bridges[loop] = _AsyncioBridge(loop)
    return bridge


def bridge_here() -> Bridge:
    """The bridge of the loop that runs here."""
    bridge = running_bridge()
    if bridge is None:
        raise RuntimeError("no event loop runs here: asyncio, uvloop or trio")
    return bridge


async def wait(call: _clusterkit.Call[T]) -> T:
    """Waits for a call on the loop that runs here."""
    return await bridge_here().wait(call)
