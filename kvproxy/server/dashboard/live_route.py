"""The handler of ``GET /ui/events``: the fragments of a view that have changed, as server-sent events."""

from __future__ import annotations

import time
from functools import partial

from aiohttp import web

from kvproxy.errors import InvalidRequest
from kvproxy.server.answers.client_stream import SseStream
from kvproxy.server.auth import keeps_rights
from kvproxy.server.components import CALLER, COMPONENTS
from kvproxy.server.dashboard.dashboard_access import headers_of
from kvproxy.server.dashboard.dashboard_answer import scope_of
from kvproxy.server.dashboard.dashboard_headers import HEADERS
from kvproxy.server.dashboard.dashboard_route import DASHBOARD, SESSION, LiveFragment
from kvproxy.server.dashboard.live_updates import Followed
from kvproxy.wire.answers import event_bytes

_LOOK_S = 1.0
"""Seconds within which a stream notices a shutdown, and that its key has been revoked."""


async def live_events(request: web.Request) -> web.StreamResponse:
    """Send events ``fragment`` with the name and HTML of what has changed; ``ended`` where the session has.

    ``?live=overview-figures,overview-charts`` names the fragments; those that the key may not see are left out.
    Raises InvalidRequest, TooManyViews.
    """
    wanted = _wanted(request)
    if request.method == "HEAD":  # events behind it would be taken for the next answer of the connection
        return web.Response(headers=HEADERS, content_type="text/event-stream")
    drain = request.app[COMPONENTS].drain
    sending = SseStream(request, interval_s=request.app[COMPONENTS].keepalive_s)
    with request.app[DASHBOARD].live.following(request[SESSION].nonce, scope_of(request), wanted) as follower:
        async with sending as out:
            await out.start(HEADERS)
            await out.send(event_bytes.KEEPALIVE)
            while not drain.draining and not _ended(request):
                await follower.wait(_LOOK_S)
                # Asked again after the wait: what was rendered meanwhile is not for a key that was revoked meanwhile.
                if (news := follower.take()) and not _ended(request):
                    await out.send(news)
            if not drain.draining:
                await out.send(event_bytes.event({"login": True}, "ended"))
    return sending.response


def _wanted(request: web.Request) -> list[Followed]:
    fragments, scope = request.app[DASHBOARD].fragments, scope_of(request)
    names = dict.fromkeys(request.query.get("live", "").split(","))
    known = [fragments[name] for name in names if name in fragments]
    wanted = [_followed(fragment, request.app) for fragment in known if scope.may(*fragment.needs)]
    if not wanted:
        raise InvalidRequest(f"Name live fragments: ?live={','.join(sorted(fragments))}", param="live")
    return wanted


def _followed(fragment: LiveFragment, app: web.Application) -> Followed:
    stamp = None if fragment.stamp is None else partial(fragment.stamp, app)
    return Followed(fragment.name, partial(fragment.render, app), stamp, fragment.every_s)


def _ended(request: web.Request) -> bool:
    """Return True once the session has expired, or its key is not what it was when the stream began."""
    session, keyring = request[SESSION], request.app[COMPONENTS].keyring
    return time.time() >= session.expires or not keeps_rights(keyring, headers_of(session), request[CALLER])
