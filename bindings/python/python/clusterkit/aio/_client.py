"""The smart client for programs that are async themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from .._client import ClientBase
from .._errors import StoppedError
from .._errors import TimeoutError as CallTimeoutError
from .._values import DEFAULT_TIMEOUT, Time, _seconds
from .._view import View
from ._loops import wait


class AsyncClient(ClientBase):
    """`Client`, with every call that waits as a coroutine. Cancelling one ends the wait."""

    async def close(self) -> None:
        """Ends it. The view stays. Closing again does nothing."""
        if not self._closed:
            self._closed = True
            await wait(self._native.close())

    async def __aenter__(self) -> Self:
        """Waits for the first view, for `DEFAULT_TIMEOUT` at most."""
        try:
            await self.wait_ready()
        except BaseException:
            # Not awaited: the task may be cancelled.
            self._closed = True
            self._native.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def wait_ready(self, timeout: Time = DEFAULT_TIMEOUT) -> int:
        """Waits for the first view; its revision. See `Client.wait_ready`."""
        return await wait(self._native.wait_ready(_seconds(timeout)))

    async def wait_for_change(self, revision: int, timeout: Time = DEFAULT_TIMEOUT) -> int:
        """Waits for a view that is newer than `revision`; its revision. See `Client.wait_for_change`."""
        return await wait(self._native.wait_for_change(revision, _seconds(timeout)))

    async def wait_for_revision(self, revision: int, timeout: Time = DEFAULT_TIMEOUT) -> None:
        """Waits until the view is of `revision` or newer. See `Client.wait_for_revision`."""
        await wait(self._native.wait_for_revision(revision, _seconds(timeout)))

    async def refresh(self, timeout: Time = DEFAULT_TIMEOUT) -> int:
        """Asks a member now; the revision of the view. See `Client.refresh`."""
        return await wait(self._native.refresh(_seconds(timeout)))

    async def read_barrier(self, timeout: Time = DEFAULT_TIMEOUT) -> int:
        """Waits for a view with everything that was acknowledged. See `Client.read_barrier`."""
        return await wait(self._native.read_barrier(_seconds(timeout)))

    async def changes(self) -> AsyncIterator[View]:
        """Every newer view, the present one first; some may be left out, never the last. Ends when the client is closed."""
        view = self.view()
        if view.revision > 0:
            yield view
        while True:
            try:
                await self.wait_for_change(view.revision, 3600.0)
            except CallTimeoutError:
                continue
            except StoppedError:
                return
            view = self.view()
            yield view
