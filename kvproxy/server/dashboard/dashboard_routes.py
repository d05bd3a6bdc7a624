"""`DASHBOARD_ROUTES` and `LIVE_FRAGMENTS`: every route of the dashboard, in the order of the navigation."""

from __future__ import annotations

from kvproxy.server.dashboard import playground_view_route as playground
from kvproxy.server.dashboard.dashboard_route import Dashboard, DashboardRoute, LiveFragment
from kvproxy.server.dashboard.dashboard_session import SessionSeal
from kvproxy.server.dashboard.document_actions_route import act_on_document, publish_text
from kvproxy.server.dashboard.documents_view_route import document_view, documents_view
from kvproxy.server.dashboard.home_route import home
from kvproxy.server.dashboard.live_route import live_events
from kvproxy.server.dashboard.login_route import HOME, login, login_view, logout
from kvproxy.server.dashboard.market_routes import MARKET_FRAGMENTS, MARKET_ROUTES
from kvproxy.server.dashboard.overview_view_route import OVERVIEW_FRAGMENTS, overview_view
from kvproxy.server.dashboard.requests_view_route import REQUESTS_FRAGMENTS, requests_view
from kvproxy.server.dashboard.static_route import static_file

DASHBOARD_ROUTES: tuple[DashboardRoute, ...] = (
    DashboardRoute("GET", HOME, home),
    DashboardRoute("GET", "/ui/overview", overview_view, ("read", "admin"), label="Overview"),
    DashboardRoute("GET", playground.PATH, playground.playground_view, ("read",), label="Playground"),
    DashboardRoute("POST", playground.PATH, playground.playground_asked, ("read",)),
    DashboardRoute("POST", f"{playground.PATH}/answer", playground.playground_answer, ("read",)),
    DashboardRoute("POST", f"{playground.PATH}/example", playground.publish_example, ("publish",)),
    DashboardRoute("GET", "/ui/documents", documents_view, ("read",), label="Documents"),
    DashboardRoute("POST", "/ui/documents", publish_text, ("publish",)),
    DashboardRoute("GET", "/ui/documents/{document:.+}", document_view, ("read",)),
    DashboardRoute("POST", "/ui/documents/{document:.+}", act_on_document, ("publish",)),
    *MARKET_ROUTES,
    DashboardRoute("GET", "/ui/requests", requests_view, ("read", "admin"), label="Requests"),
    DashboardRoute("GET", "/ui/login", login_view, open=True),
    DashboardRoute("POST", "/ui/login", login, open=True),
    DashboardRoute("POST", "/ui/logout", logout),
    DashboardRoute("GET", "/ui/events", live_events),
    DashboardRoute("GET", "/ui/static/{version}/{name}", static_file, open=True),
)

LIVE_FRAGMENTS: tuple[LiveFragment, ...] = (*OVERVIEW_FRAGMENTS, *REQUESTS_FRAGMENTS, *MARKET_FRAGMENTS)


def open_dashboard(secret: str | None) -> Dashboard:
    """Return the dashboard of one application. ``secret``: the setting ``dashboard.secret``."""
    fragments = {fragment.name: fragment for fragment in LIVE_FRAGMENTS}
    return Dashboard(DASHBOARD_ROUTES, fragments, SessionSeal(secret))
