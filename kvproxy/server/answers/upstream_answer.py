"""Answers of upstream models: passed on with every field, or byte for byte from an upstream configured as raw."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from http import HTTPStatus

from aiohttp import web

from kvproxy.backends.base import Endpoint, Passthrough, UpstreamResponse
from kvproxy.charging.request_bill import Bill
from kvproxy.errors import InvalidRequest, KVProxyError, UpstreamError
from kvproxy.server.answers.charged_answer import charged, preview_headers, settled_headers
from kvproxy.server.answers.client_stream import LAST_WORDS_S, SseStream, deadline
from kvproxy.server.answers.upstream_bill import UpstreamBill, booking_id
from kvproxy.server.components import COMPONENTS, ERROR_CODE, REQUEST_ID, STREAMING
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.requests.read_request import Incoming
from kvproxy.server.shutdown import shutting_down
from kvproxy.wire.answers.cache_status import BYPASS
from kvproxy.wire.answers.event_bytes import DONE
from kvproxy.wire.answers.left_out import left_out_header
from kvproxy.wire.upstream_events import UpstreamEvents

logger = logging.getLogger(__name__)

WHOLE = 2**18
"""Bytes up to which an answer is sent in one piece, head included."""


async def serve_upstream(request: web.Request, endpoint: Endpoint, incoming: Incoming) -> web.StreamResponse:
    """Answer a request for an upstream's model. Raises UpstreamError, InvalidRequest, TimedOut; in a stream that has
    begun they are its last event.

    Example: ``return await serve_upstream(request, "chat/completions", incoming)``
    """
    components = request.app[COMPONENTS]
    raw = components.pipeline.passthrough(incoming.model)
    if raw is not None:
        return await _relay(request, raw, endpoint, incoming)
    body = incoming.body
    if not isinstance(body.get("stream", False), bool | None):
        raise InvalidRequest("Invalid 'stream': must be a boolean.", param="stream")
    left_out = left_out_header(await components.pipeline.upstream_left_out(endpoint, body))
    for value in left_out.values():
        logger.warning("%s: sent to %s without %s", request[REQUEST_ID], incoming.model, value)
    headers = {"Cache-Status": BYPASS, **left_out}
    if endpoint == "embeddings" or not body.get("stream"):
        async with charged(request, booking_id()) as bill:
            metered = UpstreamBill(request, bill, endpoint, incoming)
            await metered.open()
            async with deadline(components.timeout_s):
                whole = await components.pipeline.upstream(endpoint, body)
            priced = metered.whole(whole)
            with _of_finite_numbers():
                headers |= await settled_headers(bill)
                return json_response(priced, headers=headers, finite=True)
    return await _stream(request, endpoint, incoming, headers)


async def _stream(
    request: web.Request, endpoint: Endpoint, incoming: Incoming, headers: dict[str, str]
) -> web.StreamResponse:
    """Pass the events of an upstream's answer on, with their price in the last one that has a usage."""
    components = request.app[COMPONENTS]
    events = UpstreamEvents(endpoint)
    sending = SseStream(
        request, interval_s=components.keepalive_s, early=lambda: headers, on_error=events.error
    )
    async with sending as out, charged(request, booking_id()) as bill, deadline(components.timeout_s):
        metered = UpstreamBill(request, bill, endpoint, incoming)
        await metered.open()
        headers |= preview_headers(bill)
        async with aclosing(components.pipeline.upstream_stream(endpoint, metered.asked())) as chunks:
            async for chunk in chunks:
                await out.start(headers)
                if (shown := metered.see(chunk)) is None:
                    continue
                with _of_finite_numbers():
                    event = events.event(shown)
                await out.send(event)
        await out.start(headers)
        metered.settle()
        await out.finish(events.end())
    return sending.response


async def _relay(
    request: web.Request, upstream: Passthrough, endpoint: Endpoint, incoming: Incoming
) -> web.StreamResponse:
    """Pass a raw upstream's answer on, byte for byte.

    Raises the errors of ``Passthrough.open``, and TimedOut, until the first byte is sent. Nothing is added to a raw
    stream, not even keep-alives. An event stream that breaks off between two events ends with an error event: it
    is not the upstream's stream any more, and clients raise the message. Any other answer that breaks off ends with
    the connection, which clients report as incomplete.
    """
    answer = _RawAnswer(request, endpoint)
    try:
        async with charged(request, booking_id()) as bill:
            metered = UpstreamBill(request, bill, endpoint, incoming)
            await metered.open()
            async with (
                deadline(request.app[COMPONENTS].timeout_s),
                upstream.open(endpoint, incoming.raw, request.headers) as opened,
            ):
                return await answer.copy(opened, bill, metered)
    except ConnectionError:
        if answer.response is None:
            raise
        logger.debug("%s: client left", request[REQUEST_ID])
    except KVProxyError as e:
        if answer.response is None:
            raise
        logger.warning("%s: stream ended with an error: %s", request[REQUEST_ID], e.message)
        await answer.break_off(e)
    except asyncio.CancelledError:
        task, expired = asyncio.current_task(), request.app[COMPONENTS].drain.expired
        if answer.response is None or task is None or not (answer.whole or expired):
            raise
        task.uncancel()
        if not answer.whole:
            await answer.break_off(shutting_down())
    return answer.response


class _RawAnswer:
    """A raw upstream's answer on its way to the client. ``response`` is set once its head is sent, and ``whole`` once
    the client has all of it: many leave at ``[DONE]``, before the upstream has closed the stream."""

    def __init__(self, request: web.Request, endpoint: Endpoint) -> None:
        self._request = request
        self._endpoint = endpoint
        self._tail = b""
        self._events = False
        self.whole = False
        self.response: web.StreamResponse | None = None

    async def copy(self, opened: UpstreamResponse, bill: Bill, metered: UpstreamBill) -> web.StreamResponse:
        headers = {"Cache-Status": BYPASS, **dict(opened.headers)}
        failed = (
            opened.status >= HTTPStatus.BAD_REQUEST
        )  # an error is passed on like an answer, and costs nothing
        names = {name.lower(): name for name in headers}
        length = headers.pop(names["content-length"]) if "content-length" in names else None
        kind = headers.get(names.get("content-type", ""), "")
        self._events = kind.startswith("text/event-stream")
        async with aclosing(opened.chunks()) as chunks:
            if length is not None and int(length) <= WHOLE and not self._events:
                body = b"".join([chunk async for chunk in chunks])
                if not failed:
                    await metered.pass_by(body, events=False)
                    await metered.end_raw()
                    headers |= await settled_headers(bill)
                return web.Response(body=body, status=opened.status, headers=headers)
            headers |= {} if failed else preview_headers(bill)
            response = web.StreamResponse(status=opened.status, headers=headers)
            if (
                length is not None and not self._events
            ):  # an error event may come where the upstream broke off
                response.content_length = int(length)
            self._request[STREAMING] = True
            self.response = response
            await response.prepare(self._request)
            async for chunk in chunks:
                if not failed:
                    await metered.pass_by(chunk, events=self._events)
                await response.write(chunk)
                self._tail = (self._tail + chunk)[-len(DONE) - 2 :]
                self.whole = self._events and self._tail.rstrip().endswith(DONE.rstrip())
            self.whole = True
        if not failed:
            await metered.end_raw()
        await response.write_eof()
        return response

    async def break_off(self, error: KVProxyError) -> None:
        self._request[ERROR_CODE] = str(error.code or error.type)
        between = not self._tail or self._tail.endswith((b"\n\n", b"\r\n\r\n"))
        if self.response is not None and self._events and between:
            try:
                async with asyncio.timeout(LAST_WORDS_S):
                    await self.response.write(UpstreamEvents(self._endpoint).error(error))
                    await self.response.write_eof()
                return
            except (ConnectionError, TimeoutError, asyncio.CancelledError):
                # As in SseStream: a client that does not read gets no final event.
                logger.debug("%s: client did not read", self._request[REQUEST_ID])
        if self._request.transport is not None:
            self._request.transport.abort()


@contextmanager
def _of_finite_numbers() -> Iterator[None]:
    """Raise UpstreamError for NaN and infinities, which litellm's reader accepts and JSON does not have."""
    try:
        yield
    except ValueError as e:
        raise UpstreamError("The upstream's answer has a number that is not finite.", status=502) from e
