"""The handler of the dashboard's scripts and styles, which need no key."""

from __future__ import annotations

from aiohttp import web

from kvproxy.errors import RouteNotFound
from kvproxy.server.dashboard.dashboard_route import DASHBOARD

_YEAR_S = 31_536_000
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
}


async def static_file(request: web.Request) -> web.StreamResponse:
    """Answer with a file from memory. The version in the path is that of its content, so that it is kept for ever.

    Another version is answered too, and not kept: a view may have been loaded before an upgrade. Raises RouteNotFound.
    """
    static = request.app[DASHBOARD].files.static
    file = static.files.get(request.match_info["name"])
    if file is None:
        raise RouteNotFound("The dashboard has no such file.")
    same = request.match_info["version"] == static.version
    headers = {**_HEADERS, "Cache-Control": f"public, max-age={_YEAR_S}, immutable" if same else "no-cache"}
    body = file.body
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        body, headers["Content-Encoding"] = file.compressed, "gzip"
    return web.Response(body=body, headers=headers, content_type=file.content_type, charset="utf-8")
