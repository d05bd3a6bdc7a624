"""The table of routes, as a whole: each row asks for a session, and each action for a token."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from aiohttp.test_utils import TestClient

from kvproxy.dashboard.template_rendering import dashboard_files
from kvproxy.server.app import build_app
from kvproxy.server.dashboard.dashboard_route import DashboardRoute
from kvproxy.server.dashboard.dashboard_routes import DASHBOARD_ROUTES, LIVE_FRAGMENTS
from tests.server.dashboard.browsing import ACCEPT, browsing
from tests.server.doubles import RealServer, make_proxy
from tests.server.publisher_double import DictPublisher

KEY = "key-0123456789abcdef"
CLOSED = [row for row in DASHBOARD_ROUTES if not row.open]
ACTIONS = [row for row in DASHBOARD_ROUTES if row.method == "POST"]


def url_of(row: DashboardRoute) -> str:
    return re.sub(r"\{[^}]+\}", "x", row.path)


def name_of(row: DashboardRoute) -> str:
    return f"{row.method} {row.path}"


def test_every_row_is_below_ui_and_once() -> None:
    assert len({(row.method, row.path) for row in DASHBOARD_ROUTES}) == len(DASHBOARD_ROUTES)
    assert all(row.path == "/ui" or row.path.startswith("/ui/") for row in DASHBOARD_ROUTES)
    assert {row.path for row in DASHBOARD_ROUTES if row.open} == {
        "/ui/login",
        "/ui/static/{version}/{name}",
    }
    assert len({fragment.name for fragment in LIVE_FRAGMENTS}) == len(LIVE_FRAGMENTS)


@pytest.mark.parametrize("row", CLOSED, ids=name_of)
async def test_without_a_session_nothing_is_shown_and_nothing_done(row: DashboardRoute) -> None:
    async with browsing(make_proxy(api_keys=(("alice", KEY),))) as browser:
        answer = await browser.http.request(row.method, url_of(row), headers=ACCEPT, allow_redirects=False)
        if row.method == "GET":
            assert answer.status == 303 and answer.headers["Location"].startswith("/ui/login?next=")
        else:
            assert answer.status == 401


@pytest.mark.parametrize("row", ACTIONS, ids=name_of)
async def test_no_action_is_done_without_its_token(row: DashboardRoute) -> None:
    async with browsing(make_proxy()) as browser:
        await browser.get("/ui/overview")
        refused = await browser.http.post(url_of(row), data={"csrf": "0" * 64}, headers=ACCEPT)
        assert refused.status == 403 and "The form is not of this session" in await refused.text()


@pytest.mark.parametrize("dashboard", [True, False])
async def test_views_are_prepared_before_the_first_request_where_there_are_any(
    dashboard: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[int] = []

    async def prepare(self: DictPublisher) -> None:
        prepared.append(dashboard_files.cache_info().currsize)

    monkeypatch.setattr(DictPublisher, "prepare_lists", prepare)
    proxy = make_proxy()
    app = build_app(replace(proxy.components, dashboard=dashboard))
    async with TestClient(RealServer(app)):
        assert prepared == ([1] if dashboard else []), "templates are compiled by then"
