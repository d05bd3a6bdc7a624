"""Connections to upstreams that read little at once, so that parsing holds the event loop for a short time."""

from __future__ import annotations

from typing import Any

import aiohttp

READ = 2**15
"""Bytes. asyncio reads 256 KiB, in which 10,000 interim responses have room: 0.35 s of parsing."""


class SmallReads(aiohttp.TCPConnector):
    """A connector of aiohttp's with plain connections that read at most ``READ`` bytes at once."""

    async def _wrap_create_connection(self, *args: Any, **kwargs: Any) -> Any:
        transport, protocol = await super()._wrap_create_connection(*args, **kwargs)
        if isinstance(getattr(transport, "max_size", None), int):
            transport.max_size = READ  # type: ignore[attr-defined]  # of asyncio's own transports
        return transport, protocol
