"""The handler of ``GET /kv/v1/requests``: the caller's requests as they end, listed or as events.

A stream ends when its key is no longer what it was: revoked, expired, or of a closed tenant.
"""

from __future__ import annotations

from aiohttp import web

from kvproxy.errors import InvalidRequest
from kvproxy.server.answers.client_stream import SseStream
from kvproxy.server.auth import keeps_rights
from kvproxy.server.components import CALLER, COMPONENTS
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.requests.shown_replicas import names_replicas
from kvproxy.telemetry.feed import Follower
from kvproxy.wire.answers import event_bytes
from kvproxy.wire.bodies.whole_number import whole_number
from kvproxy.wire.service.served_requests import KvRequest, KvRequestList, KvRequestsMissed

MOST_RECENT = 500
RECENT = 20

_LOOK_S = 1.0
"""Seconds within which the stream notices that the proxy is shutting down, and that its key is revoked."""


async def requests(request: web.Request) -> web.StreamResponse:
    """List the newest requests, or with ``Accept: text/event-stream`` send them and all later ones as events."""
    feed, scope = request.app[COMPONENTS].feed, request[CALLER].scope
    names = names_replicas(request)
    recent = [_shown(served, names=names) for served in feed.recent(scope, _most(request))]
    if request.method == "HEAD" or "text/event-stream" not in request.headers.get("Accept", ""):
        listed: KvRequestList = {"object": "list", "data": recent}
        return json_response(listed)
    drain = request.app[COMPONENTS].drain
    sending = SseStream(request, interval_s=request.app[COMPONENTS].keepalive_s)
    with feed.following(scope) as follower:
        async with sending as out:
            await out.start({})
            await out.send(b"".join(map(_event, recent)) or event_bytes.KEEPALIVE)
            while not drain.draining:
                await follower.wait(_LOOK_S)
                if not _allowed(request):
                    break
                if data := _news(follower, names=names):
                    await out.send(data)
    return sending.response


def _allowed(request: web.Request) -> bool:
    return keeps_rights(request.app[COMPONENTS].keyring, request.headers, request[CALLER])


def _shown(served: KvRequest, *, names: bool) -> KvRequest:
    """Return a request as its watcher sees it; ``names``: with the replica that answered."""
    if names or "replica" not in served:
        return served
    shown = served.copy()
    del shown["replica"]
    return shown


def _news(follower: Follower[KvRequest], *, names: bool) -> bytes:
    taken, missed = follower.take()
    dropped = event_bytes.event(KvRequestsMissed(missed=missed), "missed") if missed else b""
    return dropped + b"".join(_event(_shown(served, names=names)) for served in taken)


def _event(served: KvRequest) -> bytes:
    return event_bytes.event(served, "request")


def _most(request: web.Request) -> int:
    last = whole_number(request.query.get("last", str(RECENT)), MOST_RECENT)
    if last is None:
        raise InvalidRequest(f"Invalid 'last': must be an integer of 0 to {MOST_RECENT}.", param="last")
    return last
