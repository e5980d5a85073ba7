"""ClusterKit for programs that are async themselves: asyncio, uvloop, and trio, and so anyio on either.

A module of its own, because the two kinds of programs read differently: here everything that waits is awaited, and there is
nothing to mistake for it. What does not wait is the same on both.
"""

from ._client import AsyncClient
from ._node import AsyncClusterKit, AsyncEvents

__all__ = ["AsyncClient", "AsyncClusterKit", "AsyncEvents"]
