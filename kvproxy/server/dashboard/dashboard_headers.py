"""Headers of everything that the dashboard answers, and the signal that adds them where a handler did not."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from kvproxy.server.middleware.dashboard_paths import is_dashboards

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""No inline script or style, nothing from elsewhere, no eval: a text that is shown can do nothing, escaped or not."""

HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


async def guard_views(request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers to whatever is answered below ``/ui``: refusals of the framework, redirects and streams of other
    modules too. An ``on_response_prepare`` signal. Static files have their own."""
    if is_dashboards(request) and not request.path.startswith("/ui/static/"):
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
