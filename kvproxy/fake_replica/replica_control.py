"""`ReplicaControl`: the actions on a fake replica that tests ask for over HTTP."""

from __future__ import annotations

from typing import Protocol

from aiohttp import web


class ReplicaControl(Protocol):
    """A replica that can be evicted, restarted and closed to new connections."""

    async def evict(self, blocks: int | bool = True) -> int:
        """Drop so many free blocks, True for all; publish it, and return how many there were."""

    def restart_soon(self) -> None:
        """Restart after the answer to this request."""

    def refuse_for(self, seconds: float) -> None:
        """Refuse connections after the answer to this request, for ``seconds``."""


CONTROL = web.AppKey("CONTROL", ReplicaControl)
"""The application key of the replica's actions."""
