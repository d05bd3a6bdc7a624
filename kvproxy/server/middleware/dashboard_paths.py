"""`is_dashboards`: the paths that are the dashboard's, and not the API's."""

from __future__ import annotations

from aiohttp import web


def is_dashboards(request: web.BaseRequest) -> bool:
    """Return True for a path of the dashboard, one that nothing is at included."""
    return request.path == "/ui" or request.path.startswith("/ui/")
