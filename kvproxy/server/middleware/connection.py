"""`Connection`: aiohttp's protocol with refusals of unreadable requests as JSON in the client's dialect."""

from __future__ import annotations

import asyncio
import logging
import re
from http import HTTPStatus
from typing import Any

from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from kvproxy.errors import HeadTooLarge, InvalidRequest, KVProxyError
from kvproxy.server.middleware.error_dialect import is_anthropic
from kvproxy.server.middleware.error_responses import json_response, refused_by_framework
from kvproxy.server.middleware.request_id import ANTHROPIC_HEADER, HEADER, request_id_from
from kvproxy.wire.anthropic.errors import anthropic_status, error_body

logger = logging.getLogger(__name__)

HEAD_LIMIT = 8190
"""Bytes of one header line, or of the request line."""

_REQUEST_LINE = re.compile(rb"[A-Z]{3,10} ([!-~]{1,512})")


class Connection(web.RequestHandler):
    """A connection that answers unreadable requests with a JSON error and a request id, without a byte of the request:
    aiohttp's own error page quotes the unreadable line, which may be the one with the key."""

    def __init__(self, manager: web.Server, *, loop: asyncio.AbstractEventLoop, **settings: Any) -> None:
        super().__init__(manager, loop=loop, **settings)
        self._opening = b""
        """The first bytes of the latest data that begins like a request line."""

    def data_received(self, data: bytes) -> None:
        # A body's chunk may look like a request line, too; then a refusal is in the wrong dialect, no more.
        """Parse received bytes, and keep the first of them for the dialect of a refusal."""
        if _REQUEST_LINE.match(data):
            self._opening = data[:1024]
        super().data_received(data)
        self._break_bodies()

    def _break_bodies(self) -> None:
        """Fail the bodies that end in unreadable bytes, so that their handlers do not wait for ever.

        aiohttp queues an unreadable message behind the request with the interrupted body, and forgets that body.
        Only its protocol has both, so its private names are used.
        """
        if not self._messages or not isinstance(
            getattr(self._messages[-1][0], "exc", None), HttpProcessingError
        ):
            return
        bodies = [payload for _, payload in self._messages]
        if self._current_request is not None:
            bodies.append(self._current_request.content)
        for body in bodies:
            if not body.is_eof() and body.exception() is None:
                body.set_exception(web.RequestPayloadError("the body cannot be read on"))

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer an unreadable request, or a failure of the connection's own.

        The log has the exception's name, never its text, which may quote the request. Raises ConnectionError once an
        answer has begun.

        Example: ``connection.handle_error(request, 400, BadStatusLine("no HTTP"))``
        """
        id = request_id_from(None)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.error("%s: connection failed", id, exc_info=exc)
        else:
            logger.info("%s: refused bytes that are not an HTTP request: %s", id, type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("the connection failed after an answer had begun")
        response = self._refusal(_error_of(status, exc, message or "", self._opening), id)
        response.force_close()
        response.headers["Connection"] = "close"
        return response

    def _refusal(self, error: KVProxyError, id: str) -> web.Response:
        line = _REQUEST_LINE.match(self._opening)
        path = line[1].decode("ascii").partition("?")[0] if line else ""
        headers = {HEADER: id, "x-should-retry": "false"}
        if not is_anthropic(path):
            return json_response(error.body(), status=error.http_status, headers=headers)
        headers[ANTHROPIC_HEADER] = id
        return json_response(
            error_body(error, id), status=anthropic_status(error.http_status), headers=headers
        )

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Turn a refusal that aiohttp raised outside of the middlewares into an error of the dialect.

        Example: ``await connection.finish_response(request, response, start_time)``
        """
        if isinstance(resp, web.HTTPException) and isinstance(request, web.Request) and resp.status >= 400:
            resp = refused_by_framework(request, resp)
        return await super().finish_response(request, resp, start_time)


async def close_at_end(request: web.Request, response: web.StreamResponse) -> None:
    """Close the connection after an answer without a length to HTTP/1.0. An ``on_response_prepare`` signal.

    HTTP/1.0 has no chunks, so the end of the connection is the end of the answer. aiohttp says so in the head, and
    then keeps the connection open when the client asked for keep-alive.
    """
    if request.version < HttpVersion11 and response.content_length is None:
        response.force_close()


class ConnectionRunner(web.AppRunner):
    """A runner of an application on :class:`Connection`. Bodies reach the application compressed:
    :mod:`kvproxy.server.requests.content_encoding` decompresses them, with error messages of its own."""

    def __init__(self, app: web.Application, **settings: Any) -> None:
        limits = {"max_line_size": HEAD_LIMIT, "max_field_size": HEAD_LIMIT}
        super().__init__(app, **{"access_log": None, "auto_decompress": False, **limits, **settings})

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        loop = asyncio.get_running_loop()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            loop=loop,
            **self._kwargs,
        )


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)


def _error_of(status: int, exc: BaseException | None, message: str, opening: bytes) -> KVProxyError:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return KVProxyError("The server had an error while processing your request.")
    if isinstance(exc, LineTooLong):
        return HeadTooLarge(f"The URL or a header is longer than {HEAD_LIMIT} bytes. Send less.")
    # These messages are aiohttp's own text, without a byte of the request.
    if message.startswith("Too many headers"):
        return HeadTooLarge("The request has too many headers. Send fewer.")
    if message.startswith(("Missing 'Host'", "Duplicate 'Host'")):
        return InvalidRequest("The request needs exactly one Host header.")
    if message.startswith("Pause on PRI"):
        return InvalidRequest(
            "This port serves HTTP/1.1, not HTTP/2 without TLS. Set the client to HTTP/1.1."
        )
    return InvalidRequest(
        "This is not a valid HTTP/1.1 request: its request line, a header, or the length or the chunks of its "
        "body cannot be read. Where the client uses https, use http, or put a proxy that ends TLS in front."
    )
