"""`problem_view`: an error of the dashboard as HTML, with the status and message that the API would answer."""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import web

from kvproxy.dashboard.template_rendering import dashboard_files
from kvproxy.errors import AuthenticationFailed, KVProxyError
from kvproxy.server.components import REQUEST_ID
from kvproxy.server.dashboard.dashboard_access import LOGIN
from kvproxy.server.dashboard.dashboard_answer import fragment_answer, view_answer
from kvproxy.server.middleware.dashboard_paths import is_dashboards

_TITLES = {
    400: "That cannot be read",
    401: "Log in first",
    403: "Not allowed",
    404: "Not found",
    405: "Not possible here",
    409: "Changed meanwhile",
    413: "Too large",
    429: "Too much at once",
    503: "Not now",
    504: "Took too long",
}


def problem_view(error: KVProxyError, request: web.Request) -> web.Response | None:
    """Return the error as a view, or for htmx as a fragment; None for a request that is not the dashboard's.

    Example: ``problem_view(RouteNotFound("…"), request)``
    """
    if not is_dashboards(request) or not dashboard_files.cache_info().currsize:
        return None
    if "text/event-stream" in request.headers.get("Accept", ""):
        return None
    status = error.http_status
    shown = {
        "status": status,
        "title": _TITLES.get(status, "Something went wrong"),
        "message": error.message,
        "request_id": request[REQUEST_ID],
        "login": LOGIN if isinstance(error, AuthenticationFailed) else "",
        "back": _form_of(request) if request.method == "POST" else "",
    }
    if "HX-Request" in request.headers:
        response = fragment_answer(request, "fragments/problem.html", {"problem": shown})
        response.set_status(status)
        return response
    return view_answer(request, "problem.html", {"problem": shown}, status=status)


def _form_of(request: web.Request) -> str:
    """Return the path of the dashboard's view that sent a form; empty where that is not told."""
    sent = urlsplit(request.headers.get("Referer", ""))
    own = sent.netloc == request.headers.get("Host") and (sent.path == "/ui" or sent.path.startswith("/ui/"))
    return sent._replace(scheme="", netloc="", fragment="").geturl() if own else ""
