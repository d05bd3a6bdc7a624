"""Opens the upstreams: litellm's, and those that are passed through byte for byte."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from kvproxy.backends.base import LocalBackend
from kvproxy.backends.litellm.litellm_backend import LitellmBackend
from kvproxy.backends.raw.passthrough import RawUpstream, raw_client
from kvproxy.config import Config


@asynccontextmanager
async def open_backends(config: Config, served: Mapping[str, LocalBackend]) -> AsyncIterator[LitellmBackend]:
    """Open the backend of misses: the upstreams and, as models among them, those whose KV is managed here.

    Example: ``async with open_backends(config, {"qwen": engine.local}) as misses: ...``
    """
    async with raw_client() as client:
        misses = LitellmBackend(
            served=served,
            upstreams=[(u.name, u.params) for u in config.upstreams if not u.passthrough],
            fallbacks=config.fallbacks,
            raw={
                u.name: RawUpstream(client, name=u.name, **u.params)
                for u in config.upstreams
                if u.passthrough
            },
        )
        try:
            yield misses
        finally:
            await misses.close()
