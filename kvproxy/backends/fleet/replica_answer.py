"""`ReplicaAnswer`: one answer of one replica, from its request to its final count."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any

from kvproxy.backends.fleet.completion_chunks import CompletionChunk, read_chunk
from kvproxy.backends.fleet.completion_reader import CompletionReader
from kvproxy.backends.fleet.fleet_replica import FleetReplica
from kvproxy.backends.fleet.replica_errors import refused_request
from kvproxy.backends.fleet.replica_failure import FailureKind, ReplicaFailed
from kvproxy.backends.fleet.sse_lines import EventTooLong, SseLines
from kvproxy.events import TextDelta

_DONE = b"[DONE]"
_DRAIN_S = 0.2
"""Seconds in which a replica ends its answer behind the last event, so that its connection is used again."""


class ReplicaAnswer:
    """Reads the stream of one request. Closing ``stack`` closes the connection, which frees the request there.

    Example: ``await answer.begin(body, headers, within_s=600.0)``, then ``async for delta in answer.deltas(): ...``
    """

    def __init__(self, replica: FleetReplica, reader: CompletionReader, stack: AsyncExitStack) -> None:
        """``stack`` owns the connection."""
        self.replica = replica
        self.reader = reader
        self.first_token_s = 0.0
        """Seconds from sending to the first token."""
        self._stack = stack
        self._lines = SseLines()
        self._pieces: AsyncGenerator[bytes, None] | None = None
        self._early: list[TextDelta] = []
        self._done = False
        self._broken: Exception | None = None
        """The failure that came in one piece with text before it."""

    async def begin(self, body: bytes, headers: Mapping[str, str], within_s: float) -> None:
        """Send the request and wait for its first token. Raises ReplicaFailed, InvalidRequest.

        Example: ``await answer.begin(body, {"x-session-id": key}, within_s=600.0)``
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(within_s) as within:
                with self.replica.awaited(within):
                    await self._open(body, headers)
        except TimeoutError as e:
            why = f"no first token within {loop.time() - began:.1f} s"
            raise ReplicaFailed(self.replica.name, "down", why, status=504) from e
        self.first_token_s = loop.time() - began

    async def _open(self, body: bytes, headers: Mapping[str, str]) -> None:
        client = self.replica.client
        self._pieces = await self._stack.enter_async_context(client.stream("/v1/completions", body, headers))
        while not self.reader.started and not self._done:
            piece = await anext(self._pieces, None)
            if piece is None:
                break
            self._early += self._read(piece)
        if not self.reader.started:
            raise ReplicaFailed(self.replica.name, "broke-off", "its answer ended before the first token")

    async def deltas(self) -> AsyncGenerator[TextDelta, None]:
        """Yield the text, to the answer's end. Raises ReplicaFailed where it has none."""
        if self._pieces is None:
            raise RuntimeError("an answer is read before it has begun")
        for delta in self._early:
            yield delta
        while not self._done:
            piece = await anext(self._pieces, None)
            if piece is None:
                break
            for delta in self._read(piece):
                yield delta
        if self._broken is not None:
            raise self._broken
        if (rest := self.reader.rest()) is not None:
            yield rest
        if self.reader.reason is None:
            why = (
                f"it gave the answer up ({self.reader.aborted})"
                if self.reader.aborted
                else "its answer broke off"
            )
            raise ReplicaFailed(self.replica.name, "broke-off", why)
        await self._drain()

    def _read(self, piece: bytes) -> list[TextDelta]:
        found = []
        try:
            for payload in self._lines.feed(piece):
                if payload == _DONE:
                    self._done = True
                    break
                chunk = read_chunk(payload)
                if chunk.error is not None:
                    self._fail(self._told(chunk))
                    break
                if (delta := self.reader.read(chunk)) is not None:
                    found.append(delta)
        except (EventTooLong, ValueError) as e:
            why = f"its answer cannot be read: {e}"[:200]
            self._fail(ReplicaFailed(self.replica.name, "broke-off", why))
        return found

    def _fail(self, failure: Exception) -> None:
        """Raise a failure before the first token; keep one behind it until the text before it was read."""
        if not self.reader.started:
            raise failure
        self._broken, self._done = failure, True

    def _told(self, chunk: CompletionChunk) -> Exception:
        """Return the error of an error event: the request's own, or the replica's."""
        error: Any = chunk.error if isinstance(chunk.error, dict) else {}
        message, code = str(error.get("message") or chunk.error)[:1000], error.get("code")
        if code in (400, 422) and not self.reader.started:
            param = error.get("param")
            return refused_request(message, param if isinstance(param, str) else None)
        status = code if isinstance(code, int) and 500 <= code < 600 else 502
        kind: FailureKind = "broke-off" if self.reader.started else "failed-request"
        return ReplicaFailed(
            self.replica.name, kind, f"it ended with an error: {message[:200]}", status=status
        )

    async def _drain(self) -> None:
        with suppress(TimeoutError, ReplicaFailed):
            async with asyncio.timeout(_DRAIN_S):
                while self._pieces is not None and await anext(self._pieces, None) is not None:
                    pass
