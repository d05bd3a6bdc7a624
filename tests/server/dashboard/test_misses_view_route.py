from __future__ import annotations

import time
from pathlib import Path

from kvproxy.explain.request_outline import RequestOutline
from kvproxy.telemetry.usage.ended_request import EndedRequest
from tests.server.dashboard.opened_market import OpenedMarket, opened_market
from tests.server.dashboard.test_live_route import events, fragment
from tests.server.markets import ACME, BOSS

HTMX = {"HX-Request": "true"}
SECRET = "xylophone"


def sent(market: OpenedMarket, tenant: str, answer: str, text: str, cause: str = "timestamp") -> None:
    """Let a tenant's request be remembered, and its miss be counted."""
    components = market.proxy.components
    reporter = components.reporters["fake"]
    assert reporter.explainer.previous is not None
    scope = market.made.accounts.tenant(tenant).scope
    tokens = market.proxy.composer.encode(text)
    reporter.explainer.previous.add(scope, answer, tokens, RequestOutline())
    components.usage.note(
        EndedRequest(
            f"req-{answer}",
            tenant,
            time.time(),
            "fake",
            hit=False,
            reason="no-document",
            cause=cause,
            document="handbook@3",
            prompt_tokens=len(tokens),
            ttft_s=0.25,
            answer=answer,
        )
    )


async def test_ones_own_misses_with_the_difference_on_a_click(tmp_path: Path) -> None:
    async with opened_market(tmp_path) as market:
        sent(market, "acme", "chatcmpl-1", "It is Monday. The house rules are these.")
        sent(market, "acme", "chatcmpl-2", "It is Sunday. The house rules are these.")
        page = await market.browser.log_in(ACME[1], "/ui/misses")
        assert "timestamp" in page.words and "handbook@3" in page.words
        assert "move it behind the document" in page.words, "what to do stands beside the cause"
        assert "/ui/misses/chatcmpl-2" in page.text and "Monday" not in page.text
        part = await market.browser.get("/ui/misses/chatcmpl-2", headers=HTMX)
        assert "<html" not in part.text and "It is " in part.words
        assert "Sunday. The house" in part.words and "Monday. The house" in part.words
        assert "6 tokens in common" in part.words
        whole = await market.browser.get("/ui/misses/chatcmpl-2")
        assert whole.status == 200 and "<html" in whole.text and "Sunday. The house" in whole.words
        first = await market.browser.get("/ui/misses/chatcmpl-1", headers=HTMX)
        assert "nothing to compare it with" in first.words


async def test_an_admin_sees_that_others_miss_and_nothing_of_their_texts(tmp_path: Path) -> None:
    async with opened_market(tmp_path) as market:
        sent(market, "acme", "chatcmpl-1", f"The {SECRET} is new.")
        sent(market, "acme", "chatcmpl-2", f"The {SECRET} is old.")
        page = await market.browser.log_in(BOSS[1], "/ui/misses")
        assert "acme" in page.words and "timestamp" in page.words
        assert "not shown" in page.words and "another tenant's" in page.words, "what is left out is said"
        assert SECRET not in page.text and "handbook" not in page.text and "chatcmpl-" not in page.text
        taken = await market.browser.get("/ui/misses/chatcmpl-2")
        assert taken.status == 404 and SECRET not in taken.text and "handbook" not in taken.text
        part = await market.browser.get("/ui/misses/chatcmpl-2", headers=HTMX)
        assert SECRET not in part.text and "handbook" not in part.text
        own = await market.browser.get("/ui/misses?whose=own")
        assert "acme" not in own.words and "No misses" in own.words


async def test_a_tenant_sees_no_miss_of_another_one(tmp_path: Path) -> None:
    async with opened_market(tmp_path) as market:
        sent(market, "boss", "chatcmpl-1", f"The {SECRET} is new.")
        await market.browser.log_in(await market.key("read"))
        for path in ("/ui/misses", "/ui/misses?whose=all", "/ui/misses/chatcmpl-1"):
            page = await market.browser.get(path)
            assert SECRET not in page.text and "boss" not in page.words and "timestamp" not in page.words


async def test_the_newest_are_filtered_by_cause(tmp_path: Path) -> None:
    async with opened_market(tmp_path) as market:
        sent(market, "acme", "chatcmpl-1", "It is Monday.", "uuid")
        sent(market, "acme", "chatcmpl-2", "It is Sunday.", "timestamp")
        await market.browser.log_in(ACME[1])
        page = await market.browser.get("/ui/misses?cause=uuid")
        assert "/ui/misses/chatcmpl-1" in page.text and "/ui/misses/chatcmpl-2" not in page.text
        other = await market.browser.get("/ui/misses?cause=%3Cscript%3E")
        assert "/ui/misses/chatcmpl-2" in other.text and "<script>alert" not in other.text


async def test_a_miss_appears_without_a_reload_and_what_was_chosen_stays(tmp_path: Path) -> None:
    async with opened_market(tmp_path) as market:
        sent(market, "acme", "chatcmpl-1", "It is Monday.", "uuid")
        page = await market.browser.log_in(ACME[1], "/ui/misses")
        assert 'data-live="misses-found"' in page.text
        assert "data-live" not in (await market.browser.get("/ui/misses?cause=uuid")).text
        async with events(market.browser, "/ui/events?live=misses-found") as stream:
            first = await fragment(stream, "misses-found", "chatcmpl-1")
            assert "chatcmpl-2" not in first and "data-at=" in first, "with the chart"
        sent(market, "acme", "chatcmpl-2", "It is Sunday.", "timestamp")
        async with events(market.browser, "/ui/events?live=misses-found") as stream:
            assert "chatcmpl-1" in await fragment(stream, "misses-found", "chatcmpl-2")
        await market.browser.log_in(BOSS[1])
        assert "data-live" not in (await market.browser.get("/ui/misses?whose=own")).text
        async with events(market.browser, "/ui/events?live=misses-found") as stream:
            assert "chatcmpl-" not in await fragment(stream, "misses-found", "acme"), (
                "for an admin no answers' ids"
            )


async def test_what_is_remembered_no_more_is_said(tmp_path: Path) -> None:
    async with opened_market(tmp_path) as market:
        sent(market, "acme", "chatcmpl-1", "It is Monday.")
        sent(market, "acme", "chatcmpl-2", "It is Monday. And it goes on.")
        await market.browser.log_in(ACME[1])
        page = await market.browser.get("/ui/misses/chatcmpl-1")
        assert page.status == 200 and "not remembered any more" in page.words
