"""Request ids: the client's own, or a new one, in every answer and log line."""

from __future__ import annotations

import logging
import time
import uuid

from aiohttp import web
from aiohttp.typedefs import Handler

from kvproxy.server.components import REQUEST_ID
from kvproxy.server.middleware.error_dialect import speaks_anthropic
from kvproxy.server.middleware.wrong_url import shown_path

logger = logging.getLogger(__name__)

HEADER = "x-request-id"
ANTHROPIC_HEADER = "request-id"
MAX_LENGTH = 128


def request_id_from(sent: str | None) -> str:
    """Return the printable ASCII of ``sent``, or a new id when there is none.

    The id goes into log lines and a header, so line ends and terminal escapes are dropped.
    """
    clean = "".join(c for c in sent or "" if "!" <= c <= "~")[:MAX_LENGTH]
    return clean or f"req_{uuid.uuid4().hex}"


def request_id_of(request: web.Request) -> str:
    """Return the request's id, made at the first call; works outside of the middlewares too."""
    id = request.get(REQUEST_ID)
    if id is None:
        id = request[REQUEST_ID] = request_id_from(request.headers.get(HEADER))
    return id


@web.middleware
async def request_ids(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Middleware: give the request an id, and log its status and duration under it."""
    request_id_of(request)
    began = time.monotonic()
    response = await handler(request)
    took_ms = (time.monotonic() - began) * 1000
    logger.info(
        "%s %s %s -> %d in %.1f ms",
        request[REQUEST_ID],
        request.method,
        shown_path(request),
        response.status,
        took_ms,
    )
    return response


async def add_request_id(request: web.Request, response: web.StreamResponse) -> None:
    """Add the id's headers. An ``on_response_prepare`` signal, so that streams and refusals outside of the middlewares
    have them too."""
    response.headers[HEADER] = request_id_of(request)
    if speaks_anthropic(request):
        response.headers[ANTHROPIC_HEADER] = request_id_of(request)
