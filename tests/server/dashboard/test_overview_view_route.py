"""The overview and the requests over HTTP, by scope, and the first view of a visitor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kvproxy.core import Permission
from kvproxy.dashboard.shown_values import NOTHING
from kvproxy.dashboard.views.overview_view import LEAST_POINTS
from kvproxy.server.auth import Keyring
from kvproxy.telemetry.metrics import Figures
from tests.server.dashboard.browsing import Browser, browsing
from tests.server.doubles import Proxy, ask, make_proxy
from tests.server.markets import bearer

ALICE = ("alice", "key-0123456789abcdef")
BOB = ("bob", "key-bbbbbbbbbbbbbbbb")
ROOT = ("root", "key-rrrrrrrrrrrrrrrr")
SCOPES: dict[str, frozenset[Permission]] = {
    "alice": frozenset({"read"}),
    "bob": frozenset({"read"}),
    "root": frozenset({"admin"}),
}


def proxy_of_three() -> Proxy:
    proxy = make_proxy(api_keys=(ALICE, BOB, ROOT), permissions=SCOPES)
    engine = Figures(3, 7, {"free": 1, "used": 1, "evictable": 2}, 0, {"passed": 4, "failed": 1})
    proxy.components = replace(proxy.components, figures=lambda: engine)
    return proxy


async def send(browser: Browser, name: str, key: str, *, retain: bool = True) -> None:
    headers = bearer(key) | {"User-Agent": f"client-of-{name}/1"}
    if not retain:
        headers["x-kvproxy-retention"] = "none"
    answer = await browser.http.post("/v1/chat/completions", json=ask("a secret"), headers=headers)
    assert answer.status == 200


async def test_a_tenant_sees_its_own_requests_and_an_admin_those_of_all() -> None:
    async with browsing(proxy_of_three()) as browser:
        await send(browser, "alice", ALICE[1])
        await send(browser, "bob", BOB[1])
        await send(browser, "bob-again", BOB[1], retain=False)
        await browser.log_in(ALICE[1])
        own = await browser.get("/ui/requests")
        assert "client-of-alice/1" in own.words and "bob" not in own.text and "secret" not in own.text
        await browser.log_in(BOB[1])
        assert "client-of-bob-again/1" in (await browser.get("/ui/requests")).words
        await browser.log_in(ROOT[1])
        all_of_them = await browser.get("/ui/requests")
        assert "client-of-alice/1" in all_of_them.words and "client-of-bob/1" in all_of_them.words
        assert "those of other tenants without document and cost" in all_of_them.words
        assert "A dash stands where nothing is known" in all_of_them.words
        assert "client-of-bob-again/1" not in all_of_them.words, "it asked to leave nothing behind"
        assert "secret" not in all_of_them.text


async def test_the_figures_are_a_tenants_own_and_for_an_admin_all() -> None:
    async with browsing(proxy_of_three()) as browser:
        for _ in range(2):
            await send(browser, "alice", ALICE[1])
        await send(browser, "bob", BOB[1])
        await browser.log_in(BOB[1])
        own = await browser.get("/ui/overview")
        assert "Figures of bob" in own.words and "0 / 1 0 / 1 in all" in own.words
        assert "Running" not in own.words, "the engine is for those who may see the metrics"
        await browser.log_in(ROOT[1])
        every = await browser.get("/ui/overview")
        assert "Figures of all tenants" in every.words and "0 / 3 0 / 3 in all" in every.words
        assert "Running / waiting 3 / 7" in every.words and "Pages used 3 of 4" in every.words
        assert "Audits done / wrong 5 / 1" in every.words


@pytest.mark.parametrize(
    ("settings", "shown"),
    [({}, True), ({"metrics_key": "a-key-for-the-metrics"}, False), ({"show_metrics": False}, False)],
    ids=str,
)
async def test_the_engine_is_shown_to_whoever_may_read_metrics(settings: dict[str, Any], shown: bool) -> None:
    """Its figures are of all tenants together: with a key of their own they are no tenant's."""
    proxy = proxy_of_three()
    proxy.components = replace(proxy.components, **settings)
    keyring = Keyring([ALICE, ROOT], permissions={**SCOPES, "alice": frozenset({"read", "metrics"})})
    proxy.components = replace(proxy.components, keyring=keyring)
    async with browsing(proxy) as browser:
        await browser.log_in(ALICE[1])
        page = await browser.get("/ui/overview")
        assert ("Running / waiting" in page.words) is shown
        body = await (await browser.http.get("/kv/v1/overview", headers=bearer(ALICE[1]))).json()
        assert (body["engine"] is not None) is shown, "the operation of the API agrees"
        await browser.log_in(ROOT[1])
        assert "Running / waiting" in (await browser.get("/ui/overview")).words


async def test_charts_are_tables_where_no_script_runs() -> None:
    async with browsing(make_proxy()) as browser:
        assert "No request yet" in (await browser.get("/ui/overview")).words
        answer = await browser.http.post("/v1/chat/completions", json=ask())
        assert answer.status == 200
        page = await browser.get("/ui/overview")
        assert "No request yet" not in page.words
        for title in ("Hit share by tokens", "Time to the first token", "Misses by cause"):
            assert f"{title}: figures" in page.words
        assert page.text.count("data-at=") == 3 * LEAST_POINTS


async def test_an_overview_without_figures_says_why_and_what_to_do() -> None:
    async with browsing(make_proxy()) as browser:
        page = await browser.get("/ui/overview")
        for words in (
            "requests are free: no tariff is set",
            "no prompt yet",
            "none in two hours",
            "playground",
        ):
            assert words in page.words
        assert f"{NOTHING} in all" not in page.words and f"p99 {NOTHING}" not in page.words
        assert "$KVPROXY_API_KEY" not in page.text, "no key is needed here"
    async with browsing(proxy_of_three()) as browser:
        await browser.log_in(ALICE[1])
        page = await browser.get("/ui/overview")
        assert "a key with the scope metrics sees them" in page.words and "$KVPROXY_API_KEY" in page.text
        assert "until-first" in page.text and "data-none" in page.text
        await send(browser, "alice", ALICE[1])
        page = await browser.get("/ui/overview")
        assert "until-first" not in page.text and "data-none" not in page.text


async def test_one_outcome_can_be_asked_for_without_a_script() -> None:
    async with browsing(make_proxy()) as browser:
        await browser.http.post("/v1/chat/completions", json=ask())
        await browser.http.post("/v1/chat/completions", json={"model": "nobody-has-it", "messages": []})
        refused = await browser.get("/ui/requests?outcome=refused")
        assert refused.text.count("<tr>") == 2 and "data-live" not in refused.text
        assert "No request with this outcome" in (await browser.get("/ui/requests?outcome=hit")).words
        assert (await browser.get("/ui/requests?outcome=<b>")).text.count("<tr>") == 3


async def test_a_user_agent_does_nothing_in_the_view() -> None:
    async with browsing(make_proxy()) as browser:
        agent = {"User-Agent": "<script>alert(1)</script>"}
        await browser.http.post("/v1/chat/completions", json=ask(), headers=agent)
        page = await browser.get("/ui/requests")
        assert "&lt;script&gt;alert(1)" in page.text and "<script>alert" not in page.text


async def test_the_first_view_is_one_that_the_key_may_see() -> None:
    async with browsing(
        make_proxy(api_keys=(ALICE,), permissions={"alice": frozenset({"metrics"})})
    ) as browser:
        page = await browser.log_in(ALICE[1])
        assert page.status == 403 and "a scope for no view" in page.words
    async with browsing(make_proxy()) as browser:
        assert (await browser.get("/")).path in ("/ui/overview", "/ui/playground")
