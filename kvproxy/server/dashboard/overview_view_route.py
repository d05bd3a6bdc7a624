"""The overview: its handler and its live fragments."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from kvproxy.dashboard.view_scope import ViewScope
from kvproxy.dashboard.views.overview_view import OverviewShown, overview_charts, overview_shown
from kvproxy.server.components import COMPONENTS
from kvproxy.server.dashboard.dashboard_answer import base_url, scope_of, view_answer
from kvproxy.server.dashboard.dashboard_route import DASHBOARD, LiveFragment
from kvproxy.server.dashboard.document_figures import has_prices
from kvproxy.server.requests.shown_figures import shown_figures
from kvproxy.telemetry.usage.usage_overview import UsageOverview

_FIGURES = "fragments/overview_figures.html"
_CHARTS = "fragments/overview_charts.html"


async def overview_view(request: web.Request) -> web.StreamResponse:
    """Show the figures of today and in all, and the charts of the last hours."""
    shown, usage = await _look(request.app, scope_of(request))
    values = {
        "overview": shown,
        "charts": overview_charts(usage.series),
        "base_url": base_url(request),
        "model": next(iter(request.app[COMPONENTS].served_names), "MODEL"),
        "keyed": not request.app[COMPONENTS].keyring.empty,
    }
    return view_answer(request, "overview.html", values)


async def _figures(app: web.Application, scope: ViewScope) -> str:
    shown, _ = await _look(app, scope, series=False)
    return app[DASHBOARD].files.render(_FIGURES, {"overview": shown})


async def _charts(app: web.Application, scope: ViewScope) -> str:
    usage = await app[COMPONENTS].usage.overview(scope.tenant)
    # Some thousand cells: not on the event loop.
    return await asyncio.to_thread(
        lambda: app[DASHBOARD].files.render(_CHARTS, {"charts": overview_charts(usage.series)})
    )


async def _look(
    app: web.Application, scope: ViewScope, *, series: bool = True
) -> tuple[OverviewShown, UsageOverview]:
    components = app[COMPONENTS]
    usage = await components.usage.overview(scope.tenant, series=series)
    engine = shown_figures(components, scope.caller)
    return overview_shown(usage, engine, scope, priced=has_prices(components.market)), usage


def requests_until_now(app: web.Application, scope: ViewScope) -> tuple[int, int]:
    """Return a value that changes when charts of requests do: with each of them, and with the minute.

    Example: ``LiveFragment("overview-charts", charts, stamp=requests_until_now)``
    """
    return app[COMPONENTS].feed.put_in_all, int(time.time() // 60)


OVERVIEW_FRAGMENTS = (
    LiveFragment("overview-figures", _figures, ("read", "admin"), every_s=2.0),
    LiveFragment("overview-charts", _charts, ("read", "admin"), every_s=30.0, stamp=requests_until_now),
)
