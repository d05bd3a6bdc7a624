"""The view of ended requests: its handler and its live rows."""

from __future__ import annotations

from aiohttp import web

from kvproxy.dashboard.view_scope import ViewScope
from kvproxy.dashboard.views.requests_view import OUTCOMES, RequestsShown, requests_shown
from kvproxy.server.components import COMPONENTS
from kvproxy.server.dashboard.dashboard_answer import base_url, scope_of, view_answer
from kvproxy.server.dashboard.dashboard_route import DASHBOARD, LiveFragment
from kvproxy.telemetry.feed import KEPT, FedEntry
from kvproxy.wire.service.served_requests import KvRequest

MOST_ROWS = 50
_ROWS = "fragments/requests_rows.html"


async def requests_view(request: web.Request) -> web.StreamResponse:
    """Show the newest requests; ``?outcome=miss`` those with one outcome."""
    asked = request.query.get("outcome", "")
    outcome = asked if asked in OUTCOMES else ""
    shown = _look(request.app, scope_of(request), outcome)
    values = {
        "requests": shown,
        "outcomes": OUTCOMES,
        "base_url": base_url(request),
        "model": next(iter(request.app[COMPONENTS].served_names), "MODEL"),
        "keyed": not request.app[COMPONENTS].keyring.empty,
    }
    return view_answer(request, "requests.html", values)


async def _rows(app: web.Application, scope: ViewScope) -> str:
    return app[DASHBOARD].files.render(_ROWS, {"requests": _look(app, scope, "")})


def _look(app: web.Application, scope: ViewScope, outcome: str) -> RequestsShown:
    feed, caller = app[COMPONENTS].feed, scope.caller
    if scope.everyone:
        return requests_shown(feed.everybodys(caller.scope, KEPT), scope, outcome, MOST_ROWS)
    own = [_own(served, scope) for served in feed.recent(caller.scope, KEPT)]
    return requests_shown(own, scope, outcome, MOST_ROWS)


def _own(served: KvRequest, scope: ViewScope) -> FedEntry[KvRequest]:
    return FedEntry(scope.caller.scope, scope.caller.name, True, served)


def _ended_until_now(app: web.Application, scope: ViewScope) -> int:
    return app[COMPONENTS].feed.put_in_all


REQUESTS_FRAGMENTS = (
    LiveFragment("requests-rows", _rows, ("read", "admin"), every_s=2.0, stamp=_ended_until_now),
)
