"""Requests for upstream models: passed on with every field they came with, answered as the upstream answered."""

from __future__ import annotations

from contextlib import aclosing

from aiohttp import web

from kvproxy.backends.base import Endpoint
from kvproxy.errors import InvalidRequest
from kvproxy.server.errors import json_response
from kvproxy.server.incoming import Incoming
from kvproxy.server.parts import PARTS
from kvproxy.server.sse import SseStream
from kvproxy.wire import sse
from kvproxy.wire.cache_status import BYPASS


async def serve_upstream(request: web.Request, endpoint: Endpoint, incoming: Incoming) -> web.StreamResponse:
    """Raises UpstreamError, InvalidRequest."""
    parts = request.app[PARTS]
    body = incoming.body
    headers = {"Cache-Status": BYPASS}
    if not isinstance(body.get("stream", False), bool | None):
        raise InvalidRequest("Invalid 'stream': must be a boolean.", param="stream")
    if not body.get("stream"):
        return json_response(await parts.pipeline.upstream(endpoint, body), headers=headers)
    async with SseStream(request, interval_s=parts.keepalive_s, early=lambda: headers) as stream:
        async with aclosing(parts.pipeline.upstream_stream(endpoint, body)) as chunks:
            async for chunk in chunks:
                await stream.start(headers)
                await stream.send(sse.event(chunk))
        await stream.start(headers)
        await stream.send(sse.DONE)
    return stream.response
