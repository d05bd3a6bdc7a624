"""HTTP clients for the openai package: they ignore the environment's proxies and are safe in several event loops.

A kvproxy is near, so `http_proxy` and the like are not meant for it. No connection is used from two event loops.
"""

from __future__ import annotations

import asyncio
import importlib
import ssl
from functools import cache
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import openai

httpx: Any = importlib.import_module("httpx2" if int(openai.__version__.partition(".")[0]) >= 3 else "httpx")
"""The HTTP package of the installed openai: httpx, and httpx2 from openai's version 3 on."""


class PerLoopTransport:
    """An HTTP transport with one connection pool for each event loop.

    So a model may be used in one `asyncio.run` after another.

    Has the methods of an `AsyncBaseTransport`.
    """

    def __init__(self) -> None:
        self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = WeakKeyDictionary()
        self._lock = Lock()

    async def __aenter__(self) -> PerLoopTransport:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request over the pool of the running event loop."""
        loop = asyncio.get_running_loop()
        with self._lock:
            pool = self._pools.get(loop)
            if pool is None:
                pool = self._pools[loop] = httpx.AsyncHTTPTransport(verify=_certificates(), trust_env=False)
        return await pool.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the running event loop's connections."""
        with self._lock:
            pool = self._pools.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            await pool.aclose()


@cache
def sync_client() -> Any:
    """Return the sync client that all models share, with its connections; openai gives each request its timeout."""
    return openai.DefaultHttpxClient(verify=_certificates(), trust_env=False)


@cache
def async_client() -> Any:
    """Return the async client that all models share, with one connection pool for each event loop."""
    transport: Any = PerLoopTransport()
    return openai.DefaultAsyncHttpxClient(transport=transport, trust_env=False)


@cache
def _certificates() -> ssl.SSLContext:
    """Load the trusted certificates, once, since that takes longer than a request."""
    context: ssl.SSLContext = httpx.create_ssl_context()
    return context
