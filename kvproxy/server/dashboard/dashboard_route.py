"""`DashboardRoute`: one route of the dashboard, a row of its table; `Dashboard`: the dashboard of one application."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import web
from aiohttp.typedefs import Handler

from kvproxy.core import Permission
from kvproxy.dashboard.template_rendering import DashboardFiles, dashboard_files
from kvproxy.dashboard.view_scope import ViewScope
from kvproxy.server.dashboard.dashboard_session import DashboardSession, SessionSeal
from kvproxy.server.dashboard.live_updates import LiveUpdates
from kvproxy.server.dashboard.login_attempts import LoginAttempts
from kvproxy.server.middleware.dashboard_paths import is_dashboards


@dataclass(frozen=True, slots=True)
class DashboardRoute:
    """A method and path with its handler. Not in the OpenAPI document: these paths are for browsers and may change.

    Example: ``DashboardRoute("GET", "/ui/misses", misses_view, ("read",), label="Misses")``
    """

    method: Literal["GET", "POST"]
    path: str
    """In the form of aiohttp's router: ``/ui/documents/{ref:.+}``."""
    handler: Handler
    needs: tuple[Permission, ...] = ()
    """The caller's API key must have one of them; none: any key will do."""
    label: str = ""
    """The words of its entry in the navigation; empty: it has none. The table's order is the navigation's."""
    open: bool = False
    """True when it needs no session: static files, the login."""


@dataclass(frozen=True, slots=True)
class LiveFragment:
    """A part of views that is sent again when it has changed: the content of each element with its name in
    ``data-live``.

    Example: ``LiveFragment("overview-figures", figures_fragment, ("read",), every_s=1.0)``
    """

    name: str
    render: Callable[[web.Application, ViewScope], Awaitable[str]]
    """Returns the HTML. It is called once for all followers with an equal :attr:`ViewScope.sharing`."""
    needs: tuple[Permission, ...] = ()
    every_s: float = 1.0
    """Seconds between two renderings, at least 1."""
    stamp: Callable[[web.Application, ViewScope], Hashable] | None = None
    """Returns a cheap value; while it is the same, the fragment is not rendered again."""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """The routes, live fragments, seal and login attempts of one application."""

    routes: tuple[DashboardRoute, ...]
    fragments: Mapping[str, LiveFragment]
    seal: SessionSeal
    attempts: LoginAttempts = field(default_factory=LoginAttempts)
    live: LiveUpdates = field(default_factory=LiveUpdates)
    served: dict[web.AbstractRoute, DashboardRoute] = field(default_factory=dict)
    """Rows by the routes of aiohttp's that they became."""

    @property
    def files(self) -> DashboardFiles:
        """The templates and static files, which :meth:`ready` has read before."""
        return dashboard_files()

    async def ready(self) -> None:
        """Read and compile the files in a thread; nothing is left to do after the first time in this process."""
        if not dashboard_files.cache_info().currsize:
            await asyncio.to_thread(dashboard_files)

    def serve(self, router: web.UrlDispatcher) -> None:
        """Add every route to the application's router."""
        for row in self.routes:
            for method in ("GET", "HEAD") if row.method == "GET" else (row.method,):
                self.served[router.add_route(method, row.path, row.handler)] = row


DASHBOARD = web.AppKey("DASHBOARD", Dashboard)
SESSION = web.RequestKey("SESSION", DashboardSession)
NEW_SESSION = web.RequestKey("NEW_SESSION", bool)
"""Set where the answer must bring the session's cookie."""


async def _nothing(request: web.Request) -> web.StreamResponse:
    raise web.HTTPNotFound


_NOT_SERVED = DashboardRoute("GET", "/ui/{nothing}", _nothing)
"""The row of paths below ``/ui`` that nothing is at, so that they are not found by who is logged in."""


def dashboard_row(request: web.Request) -> DashboardRoute | None:
    """Return the row that a request is for; None for one that is not the dashboard's."""
    dashboard = request.app.get(DASHBOARD)
    if dashboard is None or not is_dashboards(request):
        return None
    return dashboard.served.get(request.match_info.route, _NOT_SERVED)
