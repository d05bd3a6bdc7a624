"""`enter_view`: the caller of a dashboard's request, by its session instead of its headers; and the CSRF check."""

from __future__ import annotations

import asyncio
import time
from html import escape
from urllib.parse import quote, urlsplit

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from kvproxy.core import Caller
from kvproxy.errors import (
    AuthenticationFailed,
    BodyTooLarge,
    InvalidRequest,
    OriginRefused,
    PermissionDenied,
    TimedOut,
)
from kvproxy.server.auth import Keyring
from kvproxy.server.components import COMPONENTS
from kvproxy.server.dashboard.dashboard_headers import HEADERS
from kvproxy.server.dashboard.dashboard_route import DASHBOARD, NEW_SESSION, SESSION, DashboardRoute
from kvproxy.server.dashboard.dashboard_session import COOKIE, DashboardSession

LOGIN = "/ui/login"
TOKEN_FIELD = "csrf"
TOKEN_HEADER = "X-CSRF-Token"
_UNREADABLE = (web.RequestPayloadError, HttpProcessingError)
"""Of a body that breaks off, and of a part's head that is too long."""
MOST_OPEN_FORM = 16 * 1024
"""Bytes of a form that is read before anybody has shown a key: the login's."""


async def enter_view(request: web.Request, route: DashboardRoute) -> Caller | None:
    """Return the caller of a view or an action; None where the route is open.

    A POST must come from this origin with the session's CSRF token. Without a session a browser is sent to the login;
    its POSTs, scripts and streams get a 401. Raises AuthenticationFailed, PermissionDenied, OriginRefused,
    HTTPSeeOther.

    Example: ``caller = await enter_view(request, route)``
    """
    if request.method == "POST":
        refuse_other_origin(request)
        if route.open and not 0 <= (request.content_length or -1) <= MOST_OPEN_FORM:
            raise BodyTooLarge(f"This form has at most {MOST_OPEN_FORM} bytes, and says how many.")
    caller = None if route.open else _caller(request)
    if request.method == "POST":
        await check_token(request)
    if caller is not None and route.needs and not caller.permissions.intersection(route.needs):
        named = " or ".join(f"'{need}'" for need in route.needs)
        raise PermissionDenied(f"This needs an API key with the scope {named}: log in with another key.")
    return caller


def session_of(request: web.Request) -> DashboardSession | None:
    """Return the session of the request's cookie; None without one, and for one that is worth nothing any more."""
    cookie = request.cookies.get(COOKIE)
    return None if cookie is None else request.app[DASHBOARD].seal.open(cookie, time.time())


def begin_session(request: web.Request, key: str) -> DashboardSession:
    """Begin a session that the answer brings to the browser."""
    session = DashboardSession.begin(key, time.time())
    request[SESSION], request[NEW_SESSION] = session, True
    return session


def caller_of(keyring: Keyring, session: DashboardSession) -> Caller:
    """Return the caller of a session's key as it is now. Raises AuthenticationFailed once it is revoked.

    Example: ``caller = caller_of(components.keyring, session)``
    """
    return keyring.caller(headers_of(session))


def headers_of(session: DashboardSession) -> dict[str, str]:
    """Return the headers that a program with the session's key would send."""
    return {"Authorization": f"Bearer {session.key}"} if session.key else {}


def refuse_other_origin(request: web.Request) -> None:
    """Refuse a POST that another site's page sends. Raises OriginRefused.

    The cookie is SameSite=Strict, and this is checked all the same: programs on other ports of this host are the same
    site, and a proxy without keys has nothing in its cookie that would be missed.
    """
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None:
        foreign = site not in ("same-origin", "none")
    else:
        foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("Host", "")
    if foreign:
        raise OriginRefused(
            "Another site's page sent this form. Open the dashboard itself, and send it there."
        )


async def check_token(request: web.Request) -> None:
    """Check the CSRF token of a POST: the form's hidden field, or the header that scripts send.

    Raises PermissionDenied, and what :func:`read_form` raises.
    """
    session = request.get(SESSION) or session_of(request)
    sent = request.headers.get(TOKEN_HEADER) or (await read_form(request)).get(TOKEN_FIELD, "")
    if session is None or not request.app[DASHBOARD].seal.is_token(session, sent):
        raise PermissionDenied(
            "The form is not of this session: it has been open for long, or you have logged in again since. Nothing "
            "was done. Go back, reload the page, and send it again."
        )
    request[SESSION] = session


async def read_form(request: web.Request) -> dict[str, str]:
    """Return the text fields of a form; files are in ``await request.post()``, which is read once.

    Raises BodyTooLarge, InvalidRequest, TimedOut.
    """
    try:
        async with asyncio.timeout(request.app[COMPONENTS].timeout_s):
            fields = await request.post()
    except web.HTTPRequestEntityTooLarge as e:
        most = request.app[COMPONENTS].max_body
        raise BodyTooLarge(
            f"The form is larger than {most} bytes (server.max_body), or has over a thousand fields. Send less."
        ) from e
    except TimeoutError as e:
        raise TimedOut("The form did not arrive in time (server.timeout_s).") from e
    except (*_UNREADABLE, EOFError, ValueError, LookupError) as e:
        raise InvalidRequest("The form cannot be read.") from e
    return {name: value for name, value in fields.items() if isinstance(value, str)}


def _caller(request: web.Request) -> Caller:
    keyring = request.app[COMPONENTS].keyring
    session = session_of(request)
    if session is None and _led_here(request):
        raise web.HTTPOk(
            text=_AGAIN.format(escape(request.path_qs)), content_type="text/html", headers=HEADERS
        )
    if keyring.empty:
        if session is None:
            begin_session(request, "")
        else:
            request[SESSION] = session
        return keyring.caller({})
    try:
        if session is None or not session.key:
            raise AuthenticationFailed(f"Log in first, at {LOGIN}.")
        caller = caller_of(keyring, session)
    except AuthenticationFailed:
        if wants_view(request):
            raise web.HTTPSeeOther(f"{LOGIN}?next={quote(request.path_qs, safe='')}") from None
        raise
    request[SESSION] = session
    return caller


_AGAIN = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>kvproxy</title>'
    '<meta http-equiv="refresh" content="0;url={0}"><p><a href="{0}">Continue</a></p></html>'
)
"""Loads the same view again, from this origin: a browser keeps a SameSite=Strict cookie back where another site's link
was followed, and would be asked to log in although it is."""


def _led_here(request: web.Request) -> bool:
    return (
        request.method in ("GET", "HEAD")
        and request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
        and request.headers.get("Sec-Fetch-Mode") == "navigate"
    )


def wants_view(request: web.Request) -> bool:
    """Return True for a browser that loads a view; False for its forms, scripts and streams, and for programs."""
    return (
        request.method in ("GET", "HEAD")
        and "HX-Request" not in request.headers
        and "text/html" in request.headers.get("Accept", "text/html")
    )
