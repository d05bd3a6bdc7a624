"""Middleware that counts every request, and the handler of ``/metrics``."""

from __future__ import annotations

import asyncio
import hmac
import time

from aiohttp import web
from aiohttp.typedefs import Handler

from kvproxy.errors import AuthenticationFailed, RouteNotFound
from kvproxy.server.auth import presented, require
from kvproxy.server.components import COMPONENTS
from kvproxy.server.middleware.error_dialect import is_anthropic
from kvproxy.telemetry.metrics import CONTENT_TYPE

LEFT = 499
"""nginx's status for a connection that the client closed before the answer."""


@web.middleware
async def metering(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Middleware: count a request by its route, not by its path, since clients send any path."""
    began = time.perf_counter()
    status = LEFT
    try:
        response = await handler(request)
        status = response.status
        return response
    except (asyncio.CancelledError, ConnectionError):
        raise
    except Exception:
        status = 500
        raise
    finally:
        resource = request.match_info.route.resource
        endpoint = "none" if resource is None else resource.canonical
        metrics = request.app[COMPONENTS].pipeline.metrics
        metrics.request(endpoint, _dialect(endpoint), status, time.perf_counter() - began)


async def show(request: web.Request) -> web.StreamResponse:
    """Answer with the metrics of all tenants together.

    The request needs ``server.metrics_key`` where that is set, else a key with the permission for metrics.
    Raises AuthenticationFailed, PermissionDenied, RouteNotFound.
    """
    components = request.app[COMPONENTS]
    if not components.show_metrics:
        raise RouteNotFound(f"Invalid URL ({request.method} {request.path}): server.metrics is off.")
    if components.metrics_key is None:
        require(components.keyring.caller(request.headers), "metrics")
    elif not any(
        [hmac.compare_digest(_bytes(k), _bytes(components.metrics_key)) for k in presented(request.headers)]
    ):
        raise AuthenticationFailed(
            "Send the proxy's server.metrics_key as a header: Authorization: Bearer KEY."
        )
    await asyncio.to_thread(components.pipeline.metrics.process.sample)  # reads files of /proc
    return web.Response(body=components.pipeline.metrics.text(), headers={"Content-Type": CONTENT_TYPE})


def _bytes(key: str) -> bytes:
    """Encode a key; bytes of a header that are not UTF-8 come back as they were."""
    return key.encode("utf-8", "surrogateescape")


def _dialect(endpoint: str) -> str:
    if is_anthropic(endpoint):
        return "anthropic"
    return "openai" if endpoint.startswith("/v1/") else "kvproxy"
