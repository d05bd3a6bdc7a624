"""Requests for upstream models: passed on with every field they came with, answered as the upstream answered."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import aclosing, contextmanager

from aiohttp import web

from kvproxy.backends.base import Endpoint
from kvproxy.errors import InvalidRequest, UpstreamError
from kvproxy.server.answers.client_stream import SseStream
from kvproxy.server.answers.raw_stream import relay
from kvproxy.server.components import PARTS, REQUEST_ID
from kvproxy.server.middleware.deadline import deadline
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.requests.request_head import Incoming
from kvproxy.wire.answers.cache_status import BYPASS
from kvproxy.wire.answers.left_out import left_out_header
from kvproxy.wire.upstream_events import UpstreamEvents

logger = logging.getLogger(__name__)


async def serve_upstream(request: web.Request, endpoint: Endpoint, incoming: Incoming) -> web.StreamResponse:
    """Raises UpstreamError, InvalidRequest, TimedOut; in a stream that has begun they are its last event."""
    parts = request.app[PARTS]
    raw = parts.pipeline.passthrough(incoming.model)
    if raw is not None:
        return await relay(request, raw, endpoint, incoming)
    body = incoming.body
    if not isinstance(body.get("stream", False), bool | None):
        raise InvalidRequest("Invalid 'stream': must be a boolean.", param="stream")
    left_out = left_out_header(await parts.pipeline.upstream_left_out(endpoint, body))
    for value in left_out.values():
        logger.warning("%s: sent to %s without %s", request[REQUEST_ID], incoming.model, value)
    headers = {"Cache-Status": BYPASS, **left_out}
    if endpoint == "embeddings" or not body.get("stream"):
        async with deadline(parts.timeout_s):
            whole = await parts.pipeline.upstream(endpoint, body)
        with _of_finite_numbers():
            return json_response(whole, headers=headers, finite=True)
    events = UpstreamEvents(endpoint)
    sending = SseStream(request, interval_s=parts.keepalive_s, early=lambda: headers, on_error=events.error)
    async with sending as out, deadline(parts.timeout_s):
        async with aclosing(parts.pipeline.upstream_stream(endpoint, body)) as chunks:
            async for chunk in chunks:
                await out.start(headers)
                with _of_finite_numbers():
                    event = events.event(chunk)
                await out.send(event)
        await out.start(headers)
        if last := events.end():
            await out.send(last)
    return sending.response


@contextmanager
def _of_finite_numbers() -> Iterator[None]:
    """litellm reads answers with a reader that takes NaN for a number; JSON has none. Raises UpstreamError."""
    try:
        yield
    except ValueError as e:
        raise UpstreamError("The upstream's answer has a number that is not finite.", status=502) from e
