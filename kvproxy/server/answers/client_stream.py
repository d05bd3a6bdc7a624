"""`SseStream`: a stream of server-sent events to one client, with keep-alives, a deadline and a final error event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from aiohttp import web

from kvproxy.errors import KVProxyError, TimedOut
from kvproxy.server.components import COMPONENTS, ERROR_CODE, REQUEST_ID, STREAMING
from kvproxy.server.middleware.error_responses import unexpected
from kvproxy.server.shutdown import shutting_down
from kvproxy.wire.answers import event_bytes

logger = logging.getLogger(__name__)

_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}

LAST_WORDS_S = 1.0
"""Seconds that the final error event of a cut stream may take: its client may not be reading."""


def keepalive() -> bytes:
    """Return the comment that keeps an idle stream alive."""
    return event_bytes.KEEPALIVE


def error_event(error: KVProxyError) -> bytes:
    """Return an error as an event without a name, with OpenAI's body."""
    return event_bytes.event(error.body())


@asynccontextmanager
async def deadline(seconds: float) -> AsyncIterator[None]:
    """Raise TimedOut when the block takes longer; other timeouts inside it pass through.

    Belongs inside of an :class:`SseStream`, which sends the error as its last event.
    """
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise TimedOut(
            f"The request took longer than {seconds:g} s. Lower max_tokens, or raise server.timeout_s."
        ) from None


class SseStream:
    """A response of server-sent events: an async context manager around all the work that feeds it.

    After each ``interval_s`` without a write the bytes of ``pulse`` are sent, so that the client and the proxies
    between see a live connection. The first pulse starts the response, with the headers of ``early``, if nothing
    was sent before. Before the response has started, exceptions pass through and become plain error responses.
    Afterwards they end the stream with an error event and are not raised. A client that leaves ends it silently; one
    that leaves after ``finish`` has had the whole answer: OpenAI's closes the connection at ``[DONE]``.

    Example: ``async with SseStream(request, interval_s=10.0) as out: await out.start({}); await out.finish(data)``
    """

    def __init__(
        self,
        request: web.Request,
        *,
        interval_s: float,
        pulse: Callable[[], bytes] = keepalive,
        early: Callable[[], Mapping[str, str]] = dict,
        on_error: Callable[[KVProxyError], bytes] = error_event,
    ) -> None:
        self._request = request
        self._interval_s = interval_s
        self._pulse = pulse
        self._early = early
        self._on_error = on_error
        self._clock = asyncio.get_running_loop().time
        self._wrote = self._clock()
        self._preparing = asyncio.Lock()
        self._whole = False
        self.response = web.StreamResponse(headers=_HEADERS)

    async def start(self, headers: Mapping[str, str]) -> bool:
        """Send the headers; return False, and send nothing, when the response has already started."""
        async with self._preparing:
            if self.response.prepared:
                return False
            self.response.headers.update(headers)
            self._request[STREAMING] = True
            await self.response.prepare(self._request)
            return True

    async def announce(self, headers: Mapping[str, str]) -> None:
        """Send the headers, or send them as comments when a pulse has already started the response."""
        if not await self.start(headers):
            comments = [event_bytes.comment(f"{name}: {value}") for name, value in headers.items()]
            await self.send(b"".join(comments))

    async def send(self, data: bytes) -> None:
        """Send whole events. Waits while the client is slow, so that no data piles up in memory."""
        self._wrote = self._clock()
        await self.response.write(data)

    async def finish(self, data: bytes) -> None:
        """Send the last events; ``data`` is empty where they were sent already."""
        if data:
            await self.send(data)
        self._whole = True

    async def __aenter__(self) -> Self:
        self._beat = asyncio.create_task(self._beats(), name="sse-pulse")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._beat.cancel()
        try:
            await asyncio.wait([self._beat])
            if error is None:
                await self._end()
        except asyncio.CancelledError as cancelled:
            if not self._whole:
                raise
            error = cancelled
        if error is None:
            return True
        if not self.response.prepared:
            return False
        return await self._fail(error)

    async def _beats(self) -> None:
        try:
            while True:
                idle_s = self._clock() - self._wrote
                if idle_s < self._interval_s:
                    await asyncio.sleep(self._interval_s - idle_s)
                    continue
                await self.start(self._early())
                await self.send(self._pulse())
        except ConnectionError:
            logger.debug("%s: client left", self._request[REQUEST_ID])

    async def _end(self) -> None:
        try:
            await self.response.write_eof()
        except ConnectionError:
            logger.debug("%s: client left before the end", self._request[REQUEST_ID])

    async def _fail(self, error: BaseException) -> bool:
        """Send the error as the last event; return True when the exception ends here."""
        request_id = self._request[REQUEST_ID]
        if isinstance(error, ConnectionError):
            logger.debug("%s: client left", request_id)
            return True
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is None or not (self._whole or self._request.app[COMPONENTS].drain.expired):
                return False
            task.uncancel()
            if self._whole:
                logger.debug("%s: client left after the last event", request_id)
                return True
            told: KVProxyError = shutting_down()
        elif isinstance(error, KVProxyError):
            logger.warning("%s: stream ended with an error: %s", request_id, error.message)
            told = error
        elif isinstance(error, Exception):
            logger.error("%s: stream failed", request_id, exc_info=error)
            told = unexpected(request_id)
        else:
            return False
        self._request[ERROR_CODE] = str(told.code or told.type)
        await self._last_words(self._on_error(told))
        return True

    async def _last_words(self, words: bytes) -> None:
        try:
            async with asyncio.timeout(LAST_WORDS_S):
                await self.response.write(words)
                await self.response.write_eof()
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            # aiohttp shares one future among all writes that wait for a slow client: the write that was
            # cancelled has cancelled it for this one too. In every case the client is not reading.
            if self._request.transport is not None:
                self._request.transport.abort()
