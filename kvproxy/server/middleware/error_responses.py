"""Error responses: the only place that turns exceptions into HTTP answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from kvproxy.errors import (
    ExpectationFailed,
    InvalidRequest,
    KVProxyError,
    MethodNotAllowed,
    PaymentRequired,
    RouteNotFound,
    TimedOut,
    UnreadableBody,
    UnsupportedEncoding,
    UpstreamError,
)
from kvproxy.server.components import COMPONENTS, ERROR_CODE, REQUEST_ID, STREAMING
from kvproxy.server.middleware.error_dialect import speaks_anthropic
from kvproxy.server.middleware.request_id import request_id_of
from kvproxy.server.middleware.wrong_url import shown_path, wrong_url
from kvproxy.server.shutdown import shutting_down
from kvproxy.wire.anthropic.errors import anthropic_status, error_body
from kvproxy.wire.bodies.json_text import encode

logger = logging.getLogger(__name__)

ErrorView = Callable[[KVProxyError, web.Request], web.Response | None]

ERROR_VIEW: web.AppKey[ErrorView] = web.AppKey("ERROR_VIEW")
"""Makes the HTML of an error for the dashboard's requests; returns None for others."""


def json_response(
    value: Any, *, status: int = 200, headers: dict[str, str] | None = None, finite: bool = False
) -> web.Response:
    """Return ``value`` as a JSON response. ``finite``: raise ValueError for NaN and infinities.

    Example: ``json_response(completion, headers={"Cache-Status": "kvproxy; hit"})``
    """
    body = encode(value, finite=finite)
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")


def error_response(error: KVProxyError, request: web.Request) -> web.Response:
    """Return the response to an error, with OpenAI's body or Anthropic's.

    A refusal that a retry cannot change has ``x-should-retry: false``, since clients retry 409 by default.
    """
    request[ERROR_CODE] = str(error.code or error.type)
    headers = _error_headers(error)
    view = request.app[ERROR_VIEW](error, request) if ERROR_VIEW in request.app else None
    if view is not None:
        response = view
        response.headers.update(headers)
    elif speaks_anthropic(request):
        body: Any = error_body(error, request_id_of(request))
        response = json_response(body, status=anthropic_status(error.http_status), headers=headers)
    else:
        response = json_response(error.body(), status=error.http_status, headers=headers)
    if isinstance(error, UnreadableBody):
        response.force_close()
    return response


def _error_headers(error: KVProxyError) -> dict[str, str]:
    headers: dict[str, str] = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    elif isinstance(error, TimedOut) or (
        error.http_status < HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, UpstreamError)
    ):
        headers["x-should-retry"] = "false"
    if error.http_status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, PaymentRequired):
        headers |= error.headers
    if isinstance(error, UnsupportedEncoding):
        headers["Accept-Encoding"] = "gzip, deflate"
    return headers


def unexpected(request_id: str) -> KVProxyError:
    """Return the error for an unforeseen exception: its text may hold anything, so none of it is sent."""
    return KVProxyError(f"The server had an error while processing your request (request id {request_id}).")


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Middleware: turn exceptions into responses, unless a response has started: then the stream sends the error."""
    try:
        return await handler(request)
    except KVProxyError as e:
        error = e
        if e.http_status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.warning("%s: %s", request[REQUEST_ID], e.message)
    except web.HTTPException as e:
        if e.status < HTTPStatus.BAD_REQUEST:
            raise  # redirects and the like
        return refused_by_framework(request, e)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not request.app[COMPONENTS].drain.expired or task is None or request.get(STREAMING):
            raise
        task.uncancel()
        error = shutting_down()
    except ConnectionError:
        raise
    except Exception:
        if request.get(STREAMING):
            raise
        logger.exception("%s: %s %s failed", request[REQUEST_ID], request.method, shown_path(request))
        error = unexpected(request[REQUEST_ID])
    return error_response(error, request)


def refused_by_framework(request: web.Request, e: web.HTTPException) -> web.Response:
    """Turn aiohttp's own refusal into a response of the dialect. OPTIONS is answered on every path that is served."""
    if request.method == "OPTIONS" and request.raw_path == "*":
        return web.Response(
            status=HTTPStatus.NO_CONTENT, headers={"Allow": "DELETE, GET, HEAD, OPTIONS, POST"}
        )
    if request.method == "CONNECT":
        response = error_response(
            MethodNotAllowed("CONNECT is not supported: this is no proxy for other addresses."), request
        )
        response.force_close()
        return response
    if e.status == HTTPStatus.NOT_FOUND:
        return error_response(RouteNotFound(wrong_url(request)), request)
    if isinstance(e, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted({*e.allowed_methods, "OPTIONS"}))
        if request.method == "OPTIONS":
            return web.Response(status=HTTPStatus.NO_CONTENT, headers={"Allow": allowed})
        refused = MethodNotAllowed(f"Not allowed to {e.method} on {shown_path(request)}. Allowed: {allowed}.")
        response = error_response(refused, request)
        response.headers["Allow"] = allowed
        return response
    if e.status == HTTPStatus.EXPECTATION_FAILED:
        return error_response(ExpectationFailed("Send no Expect header, or 'Expect: 100-continue'."), request)
    response = error_response(InvalidRequest(e.reason), request)
    response.set_status(e.status)
    return response
