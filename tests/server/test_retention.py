"""Requests that leave nothing behind: by header on every endpoint, by tenant, by ``store: false`` where it means so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from kvproxy.core import ANONYMOUS, CacheHints
from kvproxy.errors import InvalidRequest
from kvproxy.server.auth import Keyring, asked_retention
from kvproxy.wire.bodies.request_reading import ReadingPolicy
from tests.server.doubles import Proxy, ask, client_of, make_proxy

NONE = {"x-kvproxy-retention": "none"}
KEYS = (("ann", "ann-key-0123456789"), ("bob", "bob-key-0123456789"))
BODIES: Mapping[str, dict[str, Any]] = {
    "/v1/chat/completions": ask("hello"),
    "/v1/completions": {"model": "fake", "prompt": "hello"},
    "/v1/responses": {"model": "fake", "input": "hello"},
    "/v1/messages": ask("hello", max_tokens=8),
}


def retained(proxy: Proxy) -> list[bool]:
    """Of each generation; what is not retained registers no page and is no sample of an audit."""
    for generation in proxy.backend.generations:
        assert generation.retain or generation.keep_until == 0
    return [generation.retain for generation in proxy.backend.generations]


@pytest.mark.parametrize("path", BODIES)
async def test_the_header_counts_on_every_endpoint(path: str) -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        for headers in (NONE, {"X-KVProxy-Retention": " NONE "}, {}):
            assert (await http.post(path, json=BODIES[path], headers=headers)).status == 200
    assert retained(proxy) == [False, False, True]


@pytest.mark.parametrize("stream", [False, True])
async def test_its_response_is_not_stored_and_says_so(stream: bool) -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        body = {**BODIES["/v1/responses"], "store": True, "stream": stream}
        answer = await http.post("/v1/responses", json=body, headers=NONE)
        assert '"store":true' not in (await answer.text()).replace(" ", "")
    assert proxy.responses.records == {}


async def test_a_tenant_without_retention_has_none_by_any_of_its_keys() -> None:
    proxy = make_proxy()
    proxy.components = replace(proxy.components, keyring=Keyring(KEYS, no_retention={"ann"}))
    async with client_of(proxy) as http:
        for _, key in KEYS:
            answer = await http.post(
                "/v1/chat/completions", json=ask(), headers={"authorization": f"Bearer {key}"}
            )
            assert answer.status == 200
    assert retained(proxy) == [False, True]


@pytest.mark.parametrize(("store_false", "kept"), [("response", True), ("nothing", False)])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
async def test_store_false_means_what_the_operator_says(path: str, store_false: Any, kept: bool) -> None:
    proxy = make_proxy()
    policy = ReadingPolicy(store_false=store_false)
    proxy.components = replace(proxy.components, policy=policy)
    async with client_of(proxy) as http:
        for store in (False, None, True):
            assert (await http.post(path, json={**BODIES[path], "store": store})).status == 200
    assert retained(proxy) == [kept, True, True]
    assert len(proxy.responses.records) == (2 if path == "/v1/responses" else 0)


async def test_another_value_is_refused_before_anything_is_done() -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        for value in ("all", "", "none, none"):
            answer = await http.post(
                "/v1/chat/completions", json=ask(), headers={"x-kvproxy-retention": value}
            )
            assert answer.status == 400
            assert "x-kvproxy-retention" in (await answer.json())["error"]["message"]
    assert proxy.backend.generations == []


def test_either_switch_is_enough_and_none_gives_it_back() -> None:
    never = replace(ANONYMOUS, retain=False)
    assert ANONYMOUS.retains(CacheHints())
    assert not ANONYMOUS.retains(CacheHints(retain=False))
    assert not never.retains(CacheHints())
    assert not asked_retention(never, {}).retain
    with pytest.raises(InvalidRequest):
        asked_retention(never, {"x-kvproxy-retention": "full"})
