"""Opens the upstreams: litellm's, and those that are passed through byte for byte."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kvproxy.backends.embedded.local_backend import EmbeddedBackend
from kvproxy.backends.litellm.litellm_backend import LitellmBackend
from kvproxy.backends.raw.passthrough import RawUpstream, raw_client
from kvproxy.config import Config


@asynccontextmanager
async def open_backends(config: Config, local: EmbeddedBackend) -> AsyncIterator[LitellmBackend]:
    """Open the backend of misses: the upstreams and, as one model among them, the local engine."""
    async with raw_client() as client:
        misses = LitellmBackend(
            local=local,
            local_name=config.model.served_name,
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
