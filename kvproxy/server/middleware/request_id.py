"""Every request has an id, the client's own where it sent one, and every answer repeats it."""

from __future__ import annotations

import logging
import time
import uuid

from aiohttp import web
from aiohttp.typedefs import Handler

from kvproxy.server.components import REQUEST_ID
from kvproxy.server.middleware.error_dialect import speaks_anthropic

logger = logging.getLogger(__name__)

HEADER = "x-request-id"
ANTHROPIC_HEADER = "request-id"
MAX_LENGTH = 128

MOST_SHOWN = 256
"""Characters of a path that stand in a log line."""


def request_id_from(sent: str | None) -> str:
    """What is left of ``sent`` after all but printable ASCII is dropped, or a new id when that is nothing.

    It goes into log lines and a header, so line ends and terminal escapes must not survive.
    """
    clean = "".join(c for c in sent or "" if "!" <= c <= "~")[:MAX_LENGTH]
    return clean or f"req_{uuid.uuid4().hex}"


def request_id_of(request: web.Request) -> str:
    """The same each time it is asked for, outside of the middlewares too."""
    id = request.get(REQUEST_ID)
    if id is None:
        id = request[REQUEST_ID] = request_id_from(request.headers.get(HEADER))
    return id


@web.middleware
async def request_ids(request: web.Request, handler: Handler) -> web.StreamResponse:
    request_id_of(request)
    began = time.monotonic()
    response = await handler(request)
    took_ms = (time.monotonic() - began) * 1000
    logger.info(
        "%s %s %s -> %d in %.1f ms",
        request[REQUEST_ID],
        request.method,
        request.rel_url.raw_path[:MOST_SHOWN],  # no query: it may hold a key
        response.status,
        took_ms,
    )
    return response


async def add_request_id(request: web.Request, response: web.StreamResponse) -> None:
    """An ``on_response_prepare`` signal, so that streams and refusals outside of middlewares have it too."""
    response.headers[HEADER] = request_id_of(request)
    if speaks_anthropic(request):
        response.headers[ANTHROPIC_HEADER] = request_id_of(request)
