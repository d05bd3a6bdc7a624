"""Handlers of the view of misses, and of one miss with the token that differed."""

from __future__ import annotations

import asyncio

from aiohttp import web

from kvproxy.core import Caller
from kvproxy.core.miss_causes import MissCause
from kvproxy.dashboard.view_scope import ViewScope
from kvproxy.dashboard.views.misses_view import MissesView, misses_view, remedy_of
from kvproxy.dashboard.views.row_pages import ROWS
from kvproxy.explain.kept_difference import KeptDifference, Remembered
from kvproxy.server.components import CALLER, COMPONENTS
from kvproxy.server.dashboard.dashboard_answer import fragment_answer, scope_of, view_answer
from kvproxy.server.dashboard.dashboard_route import DASHBOARD
from kvproxy.telemetry.usage.usage_overview import MissEntry

MOST = 500
"""Newest misses that are looked through for one."""


async def misses_by_cause(request: web.Request) -> web.StreamResponse:
    """Show misses by cause over time, and the newest: the caller's own; all tenants' for an admin, until it asks for
    its own (``?whose=own``)."""
    scope = scope_of(request)
    cause = request.query.get("cause", "")
    cause = cause if cause in set(MissCause) else ""
    everyone = scope.everyone and request.query.get("whose") != "own"
    shown = await _look(request.app, scope, cause, everyone=everyone)
    # What is chosen by the address stays as it was when it was loaded: followers share one rendering.
    live = not cause and everyone == scope.everyone
    return view_answer(request, "misses.html", {"misses": shown, "admin": scope.everyone, "live": live})


async def misses_fragment(app: web.Application, scope: ViewScope) -> str:
    """Return the causes and the newest misses as they are now."""
    shown = await _look(app, scope, "", everyone=scope.everyone)
    # Some hundred cells: not on the event loop.
    return await asyncio.to_thread(
        lambda: app[DASHBOARD].files.render("fragments/misses_found.html", {"misses": shown})
    )


async def _look(app: web.Application, scope: ViewScope, cause: str, *, everyone: bool) -> MissesView:
    usage, own = app[COMPONENTS].usage, scope.caller.name
    tenant = None if everyone else own
    figures = await usage.overview(tenant)
    newest = usage.misses(tenant, ROWS, cause or None)
    return misses_view(figures.series, newest, tenant=own, cause=cause, everyone=everyone)


async def miss_difference(request: web.Request) -> web.StreamResponse:
    """Show what differed in one of the caller's own misses: a view of its own, or for htmx the part of it."""
    components, caller = request.app[COMPONENTS], request[CALLER]
    answer = request.match_info["answer"]
    entry = next((e for e in components.usage.misses(caller.name, MOST) if e.answer == answer), None)
    found = None if entry is None else await asyncio.to_thread(_difference, request, caller, entry)
    shown = {
        "answer": answer,
        "entry": entry,
        "remedy": None if entry is None else remedy_of(entry.cause),
        "difference": found if isinstance(found, KeptDifference) else None,
        "remembered": isinstance(found, Remembered),
        "keeps": any(reporter.keeps_requests for reporter in components.reporters.values()),
    }
    if "HX-Request" in request.headers:
        return fragment_answer(request, "fragments/miss_difference.html", {"miss": shown})
    return view_answer(request, "miss.html", {"miss": shown}, status=404 if entry is None else 200)


def _difference(request: web.Request, caller: Caller, entry: MissEntry) -> KeptDifference | Remembered | None:
    reporter = request.app[COMPONENTS].reporters.get(entry.model)
    if reporter is None:
        return None
    # A completion with several prompts is remembered by each of them.
    return reporter.kept(caller, entry.answer) or reporter.kept(caller, f"{entry.answer}.0")
