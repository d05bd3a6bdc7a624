"""The client's calls about figures, as they are sent, and against a proxy over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from kvproxy.client import Client, RequestFailed
from kvproxy.core import ALL_PERMISSIONS, DEFAULT_PERMISSIONS
from kvproxy.errors import PermissionDenied
from kvproxy.telemetry.usage.usage_series import STEPS
from tests.server.doubles import Http, Proxy, ask, client_of, make_proxy

CHAT = "/v1/chat/completions"
KEYS = (("ann", "key-of-ann-0123456789"), ("boss", "key-of-boss-0123456789"))
PERMISSIONS = {"ann": DEFAULT_PERMISSIONS, "boss": ALL_PERMISSIONS}


async def using(work: Callable[[Client, Client], None], *texts: str, proxy: Proxy | None = None) -> None:
    """Let the clients of ann and of the admin work on a proxy that ann asked ``texts``."""
    proxy = proxy or make_proxy(api_keys=KEYS, permissions=PERMISSIONS)
    async with client_of(proxy) as http:
        for text in texts:
            await asked(http, text)

        def called() -> None:
            url = str(http.make_url("/"))
            with Client(url, KEYS[0][1]) as ann, Client(url, KEYS[1][1]) as boss:
                work(ann, boss)

        await asyncio.to_thread(called)


async def asked(http: Http, text: str) -> None:
    response = await http.post(CHAT, json=ask(text), headers={"Authorization": f"Bearer {KEYS[0][1]}"})
    assert response.status == 200
    await response.read()


async def test_the_overview_is_that_of_the_keys_own_tenant() -> None:
    def work(ann: Client, boss: Client) -> None:
        mine = ann.overview()
        assert (mine["tenant"], mine["today"]["hits"], mine["today"]["misses"]) == ("ann", 1, 1)
        assert mine["today"]["cached_tokens"] > 0 and len(mine["series"]) == 60
        assert boss.overview()["today"]["requests"] == 0
        everybody = boss.overview(tenant="all", points=3)
        assert everybody["tenant"] is None and everybody["today"] == mine["today"]
        assert len(everybody["series"]) == 3
        assert ann.overview(tenant="ann", points=0)["series"] == []

    await using(work, "x" * 300, "x" * 300)


async def test_misses_are_told_newest_first_and_by_cause() -> None:
    def work(ann: Client, boss: Client) -> None:
        newest, oldest = ann.misses()
        assert newest["prompt_tokens"] - oldest["prompt_tokens"] == 10
        assert ann.misses(most=1) == [newest]
        assert ann.misses(cause="unknown", tenant="ann") == [newest, oldest]
        assert ann.misses(cause="timestamp") == [] == ann.misses(most=0) == boss.misses()
        assert [one["id"] for one in boss.misses(tenant="all")] == [newest["id"], oldest["id"]]

    await using(work, "a" * 50, "b" * 60)


async def test_ended_requests_are_told_oldest_first() -> None:
    def work(ann: Client, boss: Client) -> None:
        first, second, third = ann.ended()
        assert [one["outcome"] for one in (first, second, third)] == ["miss", "miss", "hit"]
        assert first["prompt_tokens"] < second["prompt_tokens"] == third["prompt_tokens"]
        assert ann.ended(last=2) == [second, third]
        assert boss.ended() == [], "another tenant's"

    await using(work, "a" * 290, "b" * 300, "b" * 300)


async def test_what_is_refused_is_told_with_its_parameter() -> None:
    def work(ann: Client, boss: Client) -> None:
        wrong: list[tuple[Callable[[], Any], str]] = [
            (lambda: ann.overview(points=STEPS + 1), "points"),
            (lambda: ann.misses(most=-1), "most"),
            (lambda: ann.misses(cause="bad-luck"), "cause"),
            (lambda: ann.ended(last=-1), "last"),
        ]
        for call, param in wrong:
            with pytest.raises(RequestFailed) as caught:
                call()
            assert (caught.value.http_status, caught.value.param) == (400, param)
        for call in (lambda: ann.overview(tenant="all"), lambda: ann.misses(tenant="boss")):
            with pytest.raises(RequestFailed) as caught:
                call()
            assert caught.value.kind is PermissionDenied

    await using(work)


async def test_readiness_needs_no_key_and_has_its_reason() -> None:
    proxy = make_proxy(api_keys=KEYS, permissions=PERMISSIONS)
    reasons: list[str | None] = [None]
    proxy.components = replace(proxy.components, ready=lambda: reasons[0])

    def work(ann: Client, boss: Client) -> None:
        with Client(ann.root) as stranger:
            assert stranger.ready() == {"status": "ready"}
            reasons[0] = "the model is loading"
            with pytest.raises(RequestFailed, match="the model is loading") as caught:
                stranger.ready()
        assert caught.value.http_status == 503

    await using(work, proxy=proxy)


def test_no_parameter_is_sent_that_was_not_given() -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(f"{request.method} {request.url.raw_path.decode()}")
        return httpx.Response(200, json={"data": []})

    with Client("http://proxy", transport=httpx.MockTransport(answer)) as client:
        client.overview()
        client.misses()
        client.misses(tenant="a&b=c", cause="uuid", most=5)
        client.ended()
        client.ready()
    assert seen == [
        "GET /kv/v1/overview?points=60",
        "GET /kv/v1/misses?most=20",
        "GET /kv/v1/misses?most=5&cause=uuid&tenant=a%26b%3Dc",
        "GET /kv/v1/requests?last=20",
        "GET /health/ready",
    ]
