"""CORS for allowed origins, and the refusal of requests that pages of other origins send."""

from __future__ import annotations

import ipaddress
import logging
import re

from aiohttp import web
from aiohttp.typedefs import Handler

from kvproxy.errors import OriginRefused
from kvproxy.server.components import COMPONENTS, REQUEST_ID
from kvproxy.server.middleware.dashboard_paths import is_dashboards
from kvproxy.server.middleware.origins import Origins
from kvproxy.wire.answers.cost_bodies import COST_HEADERS

logger = logging.getLogger(__name__)

ORIGINS = web.AppKey("ORIGINS", Origins)

EXPOSED = ", ".join(
    (
        *("Cache-Status", "ETag", "request-id", "Retry-After", "Server-Timing", "WWW-Authenticate"),
        *("Payment-Receipt", "PAYMENT-REQUIRED", "PAYMENT-RESPONSE"),
        *COST_HEADERS,
        *("x-kvproxy-left-out", "x-kvproxy-placement", "x-kvproxy-retained"),
        *("x-request-id", "x-should-retry"),
    )
)
_METHODS = "DELETE, GET, HEAD, OPTIONS, POST"
_MAX_AGE_S = "600"
_HEADER_NAMES = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:\s*,\s*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
_HINT = (
    "Pages of other sites may not use a proxy without API keys. List the site's origin in server.cors_origins, or set "
    "server.api_keys."
)


@web.middleware
async def cross_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Middleware: answer CORS preflights, which never carry a key.

    Preflights of paths that do not exist succeed too: a page can read an error only after its preflight. The dashboard
    is for pages of its own origin: none of another one may read it, an allowed one neither.
    """
    origin = request.headers.get("Origin")
    asks = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
    if asks and origin is not None and not is_dashboards(request) and request.app[ORIGINS].allow(origin):
        return web.Response(status=204, headers=_preflight(request))
    return await handler(request)


def refuse_foreign(request: web.Request) -> None:
    """Refuse a foreign page's request where the proxy has no keys. Raises OriginRefused.

    Without keys every program on this machine may send requests, so a page of any site in its browser could too,
    with bodies that need no preflight.
    """
    origins = request.app[ORIGINS]
    if not request.app[COMPONENTS].keyring.empty or origins.anyone:
        return
    origin = request.headers.get("Origin")
    site = request.headers.get("Sec-Fetch-Site")
    if origin is not None:
        refused = origins.foreign(origin)
    else:
        refused = site in ("cross-site", "same-site") and request.method not in ("GET", "HEAD", "OPTIONS")
    if not refused and _came_by_loopback(request):
        refused = not origins.host_allowed(request.headers.get("Host", ""))
    if refused:
        logger.warning("%s: refused by its Origin or Host: see server.cors_origins", request[REQUEST_ID])
        raise OriginRefused(_HINT)


async def add_cors(request: web.Request, response: web.StreamResponse) -> None:
    """Add the CORS headers. An ``on_response_prepare`` signal, so that errors and event streams have them too."""
    origins = request.app[ORIGINS]
    origin = request.headers.get("Origin")
    if not origins.anyone:
        _vary(response)
    if origin is None or is_dashboards(request) or not origins.allow(origin):
        return
    response.headers["Access-Control-Allow-Origin"] = "*" if origins.anyone else origin
    response.headers["Access-Control-Expose-Headers"] = EXPOSED


def _preflight(request: web.Request) -> dict[str, str]:
    headers = {"Access-Control-Allow-Methods": _METHODS, "Access-Control-Max-Age": _MAX_AGE_S}
    wanted = request.headers.get("Access-Control-Request-Headers", "")
    if _HEADER_NAMES.fullmatch(wanted):
        headers["Access-Control-Allow-Headers"] = wanted
    if request.headers.get("Access-Control-Request-Private-Network") == "true":
        headers["Access-Control-Allow-Private-Network"] = "true"
    return headers


def _vary(response: web.StreamResponse) -> None:
    before = response.headers.get("Vary")
    response.headers["Vary"] = "Origin" if before is None else f"{before}, Origin"


def _came_by_loopback(request: web.Request) -> bool:
    name = request.transport.get_extra_info("sockname") if request.transport is not None else None
    try:
        return isinstance(name, tuple) and ipaddress.ip_address(name[0]).is_loopback
    except ValueError:
        return False
