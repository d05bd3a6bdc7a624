"""`LmcachePins`: pins and prefetches at LMCache's coordinator. It may be away: nothing here fails a publication."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Sequence
from typing import Any

import aiohttp

from kvproxy.backends.fleet.completion_chunks import encode_json
from kvproxy.runtime.off_loop import off_loop_if_large

logger = logging.getLogger(__name__)

WITHIN_S = 5.0
_JSON = {"Content-Type": "application/json"}


class LmcachePins:
    """The coordinator of one fleet, which keeps pinned prefixes from its own eviction; engines evict as they like.

    Example: ``await LmcachePins(session, "http://lmcache:9300", "qwen3-4b").pin(token_ids, salt)``
    """

    def __init__(self, session: aiohttp.ClientSession, address: str, model: str, world_size: int = 1) -> None:
        """``model``: its name at the replicas; ``world_size``: processes of one engine."""
        self._session = session
        self._address = address.rstrip("/")
        self._model, self._world_size = model, world_size

    async def pin(self, token_ids: Sequence[int], salt: str) -> bool:
        """Pin a prefix; False where the coordinator did not."""
        return await self._asked("POST", "/cache/pins", token_ids, salt)

    async def unpin(self, token_ids: Sequence[int], salt: str) -> bool:
        """Release a pin; False where the coordinator did not."""
        return await self._asked("DELETE", "/cache/pins", token_ids, salt)

    async def prefetch(self, token_ids: Sequence[int], salt: str) -> bool:
        """Ask for a prefix to be brought near its engines, which goes on behind this call; False where it is not."""
        return await self._asked("POST", "/cache/prefetches", token_ids, salt)

    async def _asked(self, method: str, path: str, token_ids: Sequence[int], salt: str) -> bool:
        body: dict[str, Any] = {
            "model_name": self._model,
            "world_size": self._world_size,
            "token_ids": token_ids,
            "cache_salt": salt,
        }
        data = await off_loop_if_large(len(token_ids) * 8, lambda: encode_json(body))
        try:
            async with asyncio.timeout(WITHIN_S):
                url, sent = f"{self._address}{path}", io.BytesIO(data)
                async with self._session.request(method, url, data=sent, headers=_JSON) as response:
                    if response.status < 300:
                        return True
                    why = f"it answered {response.status}"
        except (TimeoutError, aiohttp.ClientError, OSError) as e:
            why = f"{type(e).__name__}: {e}"
        logger.warning("LMCache's coordinator did not take %s %s: %s", method, path, why)
        return False
