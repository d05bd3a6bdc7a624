"""The bytes of upstreams' answers under litellm: counted, unpacked within a limit, and never read without a pause.

Every provider of litellm's reads through one class of transport; a subclass of it is put in its place. An answer over
a limit fails as a broken connection does, so that each provider's own clean-up runs.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any

import httpx

from kvproxy.backends.litellm.answer_limits import AnswerLimits, AnswerMeter, AnswerOverLimit
from kvproxy.runtime.request_context import OutgoingCall, begin_call

PIECE = 2**14
"""Bytes that are handed on at once: their reader runs to its end before any other task of the loop."""

_LINES_AT_ONCE = 64
_PAUSE_S = 0.005
_GZIP = ("gzip", "x-gzip")
_LINES = ("application/x-ndjson", "application/jsonl", "application/json-lines", "application/stream+json")
_FRAMES = ("application/vnd.amazon.eventstream",)


class BoundedReading:
    """One call's reading of its answers; ``current`` while the call is made. ``streamed``: event by event."""

    current: ContextVar[BoundedReading | None] = ContextVar("reading", default=None)

    def __init__(self, *, streamed: bool) -> None:
        self._streamed = streamed
        self._opened: list[httpx.Response] = []

    def meter(self, response: httpx.Response, request: httpx.Request, limits: AnswerLimits) -> AnswerMeter:
        """Return a fresh meter for the answer to a request.

        Example: ``reading.meter(response, request, limits)``
        """
        self._opened.append(response)
        if not self._streamed:
            return AnswerMeter(limits)
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        # The type is the upstream's word; openai's client reads events whatever it says.
        if kind in (*_LINES, *_FRAMES) and "x-stainless-lang" not in request.headers:
            return AnswerMeter(limits, unit="line" if kind in _LINES else "frame")
        return AnswerMeter(limits, unit="event")

    async def aclose(self) -> None:
        """Close every answer that is not at its end, so that its upstream stops. litellm's streams do not all close
        the connection that they read from."""
        opened, self._opened = self._opened, []
        for response in opened:
            await response.aclose()


class BoundedStream(httpx.AsyncByteStream):
    """An answer's body, unpacked. Raises AnswerOverLimit, and httpx.DecodingError where it is not packed as it says."""

    def __init__(
        self, inner: httpx.AsyncByteStream, meter: AnswerMeter, unpacker: Unpacker, call: OutgoingCall
    ) -> None:
        self._inner = inner
        self._call = call
        self._meter = meter
        self._unpacker = unpacker

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async with aclosing(self._plain()) as pieces:
                async for piece in pieces:
                    yield piece
        except Exception as e:  # litellm may swallow it: the record of the call has it all the same
            self._call.end(e)
            raise

    async def _plain(self) -> AsyncGenerator[bytes, None]:
        paused = time.monotonic()
        # aiohttp's reader gives what it has without suspending, and what is read here may be read without, too: then
        # no deadline fires and nobody else is served, for as long as the upstream is faster than its reader.
        async with aclosing(self._inner.__aiter__()) as packed:  # type: ignore[type-var]  # it is a generator
            async for piece in packed:
                for plain in (part for whole in self._unpacker.pieces(piece) for part in _parts(whole)):
                    self._meter.add(plain)
                    yield plain
                    if time.monotonic() - paused > _PAUSE_S:
                        await asyncio.sleep(0)
                        paused = time.monotonic()

    async def aclose(self) -> None:
        """Close the connection, which ends the record of the call."""
        self._call.end()
        await self._inner.aclose()


class Unpacker:
    """Undoes one ``Content-Encoding``, in pieces of at most ``PIECE`` bytes."""

    def __init__(self, encoding: str) -> None:
        """Refuse an encoding that was not asked for and cannot be unpacked within a limit. Raises AnswerOverLimit."""
        name = encoding.strip().lower()
        if name not in ("", "identity", *_GZIP):
            raise AnswerOverLimit("The upstream's answer is packed in a way that was not asked for.")
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16) if name in _GZIP else None

    def pieces(self, packed: bytes) -> Iterator[bytes]:
        """Yield unpacked pieces of ``packed``, each of at most PIECE bytes."""
        if self._inflate is None:
            yield from (packed[at : at + PIECE] for at in range(0, len(packed), PIECE))
            return
        try:
            while packed and not self._inflate.eof:
                if plain := self._inflate.decompress(packed, PIECE):
                    yield plain
                packed = self._inflate.unconsumed_tail
        except zlib.error as e:
            raise httpx.DecodingError("not packed as it says") from e


def _parts(piece: bytes) -> Iterator[bytes]:
    """``piece`` in parts of few lines: some of litellm's readers make an object of every line, blank ones too."""
    if len(piece) < 2 or piece.count(b"\n") + piece.count(b"\r") <= _LINES_AT_ONCE:
        yield piece
        return
    middle = len(piece) // 2
    yield from _parts(piece[:middle])
    yield from _parts(piece[middle:])


def bounded(base: Any, limits: AnswerLimits | None = None) -> Any:
    """Return a subclass of litellm's transport ``base`` with answers that hold to ``limits``."""
    within = limits or AnswerLimits()

    class BoundedTransport(base):  # type: ignore[misc]  # litellm is imported late
        kvproxy_limits = within

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            """Send a request, and bound the answer."""
            request.headers["Accept-Encoding"] = "gzip"
            call = begin_call(request.method, str(request.url))
            request.headers.update(call.headers)
            try:
                response: httpx.Response = await super().handle_async_request(request)
            except BaseException as e:
                call.end(e)
                raise
            try:
                call.answered(response.status_code)
                return _within(response, request, within, call)
            except BaseException as e:
                call.end(e)
                await response.aclose()
                raise

    return BoundedTransport


def _within(
    response: httpx.Response, request: httpx.Request, limits: AnswerLimits, call: OutgoingCall
) -> httpx.Response:
    unpacker = Unpacker(response.headers.get("Content-Encoding", ""))
    reading = BoundedReading.current.get() or BoundedReading(streamed=False)
    meter = reading.meter(response, request, limits if response.is_success else limits.of_errors())
    headers = [
        (name, value)
        for name, value in response.headers.multi_items()
        if name.lower() not in ("content-encoding", "content-length")
    ]
    assert isinstance(response.stream, httpx.AsyncByteStream)
    return httpx.Response(
        response.status_code,
        headers=headers,
        stream=BoundedStream(response.stream, meter, unpacker, call),
        request=request,
        extensions=response.extensions,
    )
