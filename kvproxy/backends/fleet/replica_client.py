"""`ReplicaClient`: HTTP to one replica. Every failure is a :class:`ReplicaFailed`, or the client's own error."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from kvproxy.backends.fleet.replica_errors import replica_error
from kvproxy.backends.fleet.replica_failure import ReplicaFailed
from kvproxy.runtime.request_context import outgoing_call

logger = logging.getLogger(__name__)

KEEPALIVE_S = 4.0
"""Less than the 5 s after which uvicorn, and vLLM with it, closes an idle connection."""
MOST_JSON = 32 << 20
"""Bytes of an answer that is read whole."""
_LARGE = 1 << 20
"""Bytes of a body from which aiohttp wants a file, so that writing it does not hold the event loop."""
_MOST_ERROR = 1 << 16


class ReplicaClient:
    """One replica's address, with the fleet's pool of connections."""

    def __init__(
        self, session: aiohttp.ClientSession, name: str, address: str, api_key: str | None = None
    ) -> None:
        """``name`` is for errors; ``address`` is without ``/v1``."""
        self._session = session
        self.name = name
        self.address = address
        self._headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}

    async def get(self, path: str, *, within_s: float = 10.0) -> Any:
        """Return the JSON of a GET; None for an empty body. Raises ReplicaFailed, InvalidRequest.

        Example: ``(await client.get("/v1/models"))["data"]``
        """
        return _json(await self.text("GET", path, within_s=within_s), self.name)

    async def post(self, path: str, body: Mapping[str, Any], *, within_s: float = 30.0) -> Any:
        """Return the JSON of a POST. Raises ReplicaFailed, InvalidRequest.

        Example: ``await client.post("/tokenize", {"prompt": "Hello"})``
        """
        return _json(await self.text("POST", path, json.dumps(body).encode(), within_s=within_s), self.name)

    async def text(self, method: str, path: str, body: bytes | None = None, *, within_s: float) -> bytes:
        """Return a whole body. Raises ReplicaFailed, InvalidRequest.

        Example: ``await client.text("GET", "/metrics", within_s=10)``
        """
        try:
            async with asyncio.timeout(within_s), self._asked(method, path, body, {}) as response:
                return await _bounded(response, MOST_JSON)
        except TimeoutError as e:
            raise ReplicaFailed(self.name, "down", f"{path} took more than {within_s:g} s", status=504) from e
        except (aiohttp.ClientError, OSError) as e:
            raise ReplicaFailed(self.name, "down", _reason(e)) from e

    @asynccontextmanager
    async def stream(
        self, path: str, body: bytes, headers: Mapping[str, str]
    ) -> AsyncIterator[AsyncGenerator[bytes, None]]:
        """Post a body; yield the pieces of the answer. Leaving the block closes the connection, which frees the
        request at the replica. Raises ReplicaFailed, InvalidRequest.

        Example: ``async with client.stream("/v1/completions", body, {"x-session-id": "handbook@3"}) as pieces: ...``
        """
        with outgoing_call("POST", f"{self.address}{path}") as call:
            async with self._asked("POST", path, body, {**headers, **call.headers}) as response:
                call.answered(response.status)
                yield self._pieces(response)

    async def _pieces(self, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
        try:
            async for piece in response.content.iter_any():
                yield piece
        except TimeoutError as e:
            raise ReplicaFailed(self.name, "broke-off", "it stopped sending", status=504) from e
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as e:
            raise ReplicaFailed(self.name, "broke-off", _reason(e)) from e

    @asynccontextmanager
    async def _asked(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        own = self._headers if body is None else {**self._headers, "Content-Type": "application/json"}
        data = io.BytesIO(body) if body is not None and len(body) > _LARGE else body
        try:
            response = await self._session.request(
                method, f"{self.address}{path}", data=data, headers={**own, **headers}, allow_redirects=False
            )
        except TimeoutError as e:
            raise ReplicaFailed(self.name, "down", "it did not answer in time", status=504) from e
        except (aiohttp.ClientError, OSError) as e:
            raise ReplicaFailed(self.name, "down", _reason(e), unreachable=_refused(e)) from e
        try:
            if response.status != 200:
                found = await self._refusal(response)
                raise replica_error(self.name, response.status, found, response.headers)
            yield response
        finally:
            # Closes the connection unless the answer was read to its end: it has been given back then.
            response.close()

    async def _refusal(self, response: aiohttp.ClientResponse) -> bytes:
        """Return the body of an error, as far as it comes: its status says enough."""
        found = bytearray()
        try:
            async for piece in response.content.iter_any():
                found += piece
                if len(found) >= _MOST_ERROR:
                    break
        except (TimeoutError, aiohttp.ClientError, OSError):
            logger.debug("%s: the body of a %d broke off", self.name, response.status)
        return bytes(found[:_MOST_ERROR])


@asynccontextmanager
async def replica_session(*, connect_s: float, silence_s: float) -> AsyncIterator[aiohttp.ClientSession]:
    """One pool of connections for all replicas of a fleet. ``silence_s``: the longest pause within an answer.

    Example: ``async with replica_session(connect_s=2, silence_s=600) as session: ...``
    """
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S)
    timeout = aiohttp.ClientTimeout(
        total=None, connect=connect_s, sock_connect=connect_s, sock_read=silence_s
    )
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        yield session


async def _bounded(response: aiohttp.ClientResponse, most: int) -> bytes:
    found = bytearray()
    async for piece in response.content.iter_any():
        found += piece
        if len(found) > most:
            return bytes(found[:most])
    return bytes(found)


def _json(body: bytes, name: str) -> Any:
    if not body.strip():
        return None
    try:
        return json.loads(body)
    except ValueError as e:
        raise ReplicaFailed(name, "down", "its answer is no JSON") from e


def _refused(error: BaseException) -> bool:
    return isinstance(error, aiohttp.ClientConnectorError | ConnectionRefusedError)


def _reason(error: BaseException) -> str:
    """Return why there is no answer, for the log: in the operating system's words, not in the client library's."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else None
    if isinstance(cause, socket.gaierror):
        return f"the name of its host cannot be resolved: {cause.strerror}"
    if cause is not None and cause.errno is not None:
        return f"it cannot be connected to: {os.strerror(cause.errno)}"
    return f"{type(error).__name__}: {error}"[:200]
