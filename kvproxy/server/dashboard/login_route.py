"""Handlers of the login by API key, and of its end."""

from __future__ import annotations

import re
import time

from aiohttp import web

from kvproxy.errors import AuthenticationFailed, KVProxyError
from kvproxy.server.components import COMPONENTS
from kvproxy.server.dashboard.dashboard_access import LOGIN, begin_session, caller_of, read_form, session_of
from kvproxy.server.dashboard.dashboard_answer import done_answer, view_answer
from kvproxy.server.dashboard.dashboard_route import DASHBOARD, SESSION
from kvproxy.server.dashboard.dashboard_session import MOST_KEY, DashboardSession

HOME = "/ui"
_LOCAL = re.compile(r"/ui(?:/(?!/|login|logout|events|static)[\w.~@%/+-]*)?(?:\?[\w.~@%/+=&-]*)?", re.ASCII)


async def login_view(request: web.Request) -> web.StreamResponse:
    """Show the form. A proxy without keys has nothing to ask for, and shows its first view."""
    if request.app[COMPONENTS].keyring.empty:
        return done_answer(request, "", HOME)
    session = session_of(request)
    if session is None:
        begin_session(request, "")
    else:
        request[SESSION] = session
    shown = {"next": local_path(request.query.get("next", "")), "fault": "", "logged_in": _named(request)}
    return view_answer(request, "login.html", shown)


async def login(request: web.Request) -> web.StreamResponse:
    """Log in with the form's key: a new session, and the view that was asked for. 401 shows the form again.

    Raises TooManyLogins after too many failures from one address.
    """
    attempts, address = request.app[DASHBOARD].attempts, request.remote or ""
    attempts.check(address, time.monotonic())
    fields = await read_form(request)
    asked = local_path(fields.get("next", ""))
    key = fields.get("key", "").strip()
    session = DashboardSession.begin(key, time.time())
    try:
        if len(key) > MOST_KEY:
            raise AuthenticationFailed("This is no key of this proxy.")
        caller_of(request.app[COMPONENTS].keyring, session)
    except KVProxyError as e:
        attempts.failed(address, time.monotonic())
        shown = {"next": asked, "fault": _fault(e, key), "logged_in": ""}
        return view_answer(request, "login.html", shown, status=e.http_status)
    begin_session(request, key)
    return done_answer(request, "", asked)


async def logout(request: web.Request) -> web.StreamResponse:
    """Put a session without a key in the place of the browser's."""
    begin_session(request, "")
    return done_answer(request, "Logged out.", LOGIN)


def local_path(path: str) -> str:
    """Return the path of a view of this dashboard, with its query; the first view for anything else.

    Example: ``local_path("//elsewhere.example") == "/ui"``
    """
    return path if _LOCAL.fullmatch(path) and "//" not in path else HOME


def _fault(error: KVProxyError, key: str) -> str:
    if isinstance(error, AuthenticationFailed):
        return "This is no key of this proxy." if key else "Enter an API key."
    return error.message


def _named(request: web.Request) -> str:
    """Return the name of the caller who is logged in already."""
    session = request.get(SESSION)
    if session is None or not session.key:
        return ""
    try:
        return caller_of(request.app[COMPONENTS].keyring, session).name
    except KVProxyError:
        return ""
