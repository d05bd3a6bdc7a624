"""Answers of the dashboard: a view, a fragment of one, and what follows an action."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from kvproxy.dashboard.view_scope import ViewScope
from kvproxy.server.components import CALLER, COMPONENTS
from kvproxy.server.dashboard.dashboard_headers import HEADERS
from kvproxy.server.dashboard.dashboard_route import DASHBOARD, NEW_SESSION, SESSION
from kvproxy.server.dashboard.dashboard_session import COOKIE, LIFETIME_S
from kvproxy.server.middleware.wrong_url import root_of

_NOTICE = "kvproxy_notice"
_NOTICE_BOUND = b"kvproxy dashboard notice 1"
_ALARM_BOUND = b"kvproxy dashboard alarm 1"
_MOST_NOTICE = 500
_NOTICE_S = 60


@dataclass(frozen=True, slots=True)
class NavigationEntry:
    """One entry of the navigation."""

    path: str
    label: str
    current: bool


@dataclass(frozen=True, slots=True)
class ViewLayout:
    """The frame that `layout.html` puts around every view."""

    navigation: tuple[NavigationEntry, ...]
    token: str
    """The CSRF token of every form; empty where there is no session."""
    tenant: str
    """The caller's name; empty where nobody is logged in, and where no key is needed."""
    notice: str
    """The result of the action before."""
    alarm: bool = False
    """True where that is bad news."""


def scope_of(request: web.Request) -> ViewScope:
    """Return what the view may show its caller."""
    return ViewScope(request[CALLER])


def view_answer(
    request: web.Request, template: str, shown: dict[str, Any] | None = None, *, status: int = 200
) -> web.Response:
    """Return a whole view, with its layout.

    Example: ``return view_answer(request, "misses.html", {"misses": shown})``
    """
    dashboard = request.app[DASHBOARD]
    sealed = request.cookies.get(_NOTICE)
    notice = None if sealed is None else dashboard.seal.open_text(sealed, _bound_to(request, _NOTICE_BOUND))
    alarm = None if sealed is None else dashboard.seal.open_text(sealed, _bound_to(request, _ALARM_BOUND))
    layout = layout_of(request, notice or alarm or "", alarm=alarm is not None)
    values = {"layout": layout, **(shown or {})}
    response = _html(dashboard.files.render(template, values), status)
    if sealed is not None:
        response.del_cookie(_NOTICE, path="/ui")
    carry_session(request, response)
    return response


def fragment_answer(request: web.Request, template: str, shown: dict[str, Any]) -> web.Response:
    """Return a part of a view, for htmx to put into its place.

    Example: ``return fragment_answer(request, "fragments/miss_context.html", {"miss": shown})``
    """
    return _html(request.app[DASHBOARD].files.render(template, shown), 200)


def done_answer(request: web.Request, notice: str, path: str, *, alarm: bool = False) -> web.Response:
    """Return the answer to an action that has been done: a redirect to a view, which says ``notice`` once, as bad
    news where ``alarm`` is true.

    With htmx the browser loads that view as well, so that an action needs one handler for both.
    Example: ``return done_answer(request, f"Pinned {ref}.", f"/ui/documents/{ref}")``
    """
    assert path.startswith("/ui/") or path == "/ui"
    if "HX-Request" in request.headers:
        response = web.Response(status=204, headers={**HEADERS, "HX-Redirect": path})
    else:
        response = web.Response(status=303, headers={**HEADERS, "Location": path})
    if notice:
        bound = _bound_to(request, _ALARM_BOUND if alarm else _NOTICE_BOUND)
        sealed = request.app[DASHBOARD].seal.seal_text(notice[:_MOST_NOTICE], bound)
        _set_cookie(request, response, _NOTICE, sealed, _NOTICE_S, "/ui")
    carry_session(request, response)
    return response


def _bound_to(request: web.Request, purpose: bytes) -> bytes:
    """Return what a notice is sealed for: the session in which it was said, so that whoever logs in next in the same
    browser does not read the sentence on an action of somebody else's."""
    session = request.get(SESSION)
    return b"%s %s" % (purpose, b"" if session is None else session.nonce.encode())


def layout_of(request: web.Request, notice: str = "", *, alarm: bool = False) -> ViewLayout:
    """Return the layout of a request, one that failed before it had a caller included.

    Example: ``layout_of(request, "Pinned handbook@3.")``
    """
    caller, session = request.get(CALLER), request.get(SESSION)
    dashboard = request.app[DASHBOARD]
    entries: Sequence[NavigationEntry] = ()
    if caller is not None:
        scope = ViewScope(caller)
        entries = [
            NavigationEntry(row.path, row.label, _is_current(request.path, row.path))
            for row in dashboard.routes
            if row.label and scope.may(*row.needs)
        ]
    named = caller is not None and not request.app[COMPONENTS].keyring.empty
    return ViewLayout(
        tuple(entries),
        "" if session is None else dashboard.seal.token(session),
        caller.name if caller is not None and named else "",
        notice,
        alarm,
    )


def carry_session(request: web.Request, response: web.Response) -> None:
    """Put a session that this request began into the answer's cookie."""
    if request.get(NEW_SESSION):
        sealed = request.app[DASHBOARD].seal.seal(request[SESSION])
        _set_cookie(request, response, COOKIE, sealed, LIFETIME_S, "/")


def base_url(request: web.Request) -> str:
    """Return the base_url of OpenAI's clients, as this browser has reached the proxy."""
    return f"{root_of(request)}/v1"


def is_https(request: web.Request) -> bool:
    """Return True where the browser's own connection is encrypted, be it to a reverse proxy."""
    return request.headers.get("X-Forwarded-Proto", request.scheme) == "https"


def _set_cookie(
    request: web.Request, response: web.Response, name: str, value: str, age_s: int, path: str
) -> None:
    response.set_cookie(
        name, value, max_age=age_s, path=path, secure=is_https(request), httponly=True, samesite="Strict"
    )


def _is_current(path: str, entry: str) -> bool:
    return path == entry or path.startswith(f"{entry}/")


def _html(text: str, status: int) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8", headers=HEADERS)
