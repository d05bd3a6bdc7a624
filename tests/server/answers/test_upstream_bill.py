"""Charges of upstreams' answers, through litellm and byte for byte."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from kvproxy.backends.raw.passthrough import RawUpstream, raw_client
from kvproxy.core import format_nano
from kvproxy.errors import UpstreamError
from kvproxy.pipeline import Pipeline
from kvproxy.served_model import ServedModel
from tests.backends.mock_endpoints import MockEndpoints, mock_endpoints
from tests.charging.charged_proxy import Charged, HalfwayBackend, charged_proxy, charges
from tests.charging.prices import price
from tests.server.answers.test_upstream_answer import WithRaw
from tests.server.doubles import Http, client_of, eventually

PATHS = ["chat/completions", "completions", "responses", "messages"]
SAY = [{"role": "user", "content": "hello"}]
FIELDS: dict[str, dict[str, Any]] = {
    "chat/completions": {"messages": SAY},
    "completions": {"prompt": "hello"},
    "responses": {"input": "hello"},
    "messages": {"messages": SAY, "max_tokens": 20},
    "embeddings": {"input": "hello"},
}
COST = price(9, 0, 2)
"""Of the fake upstream, which reports 9 tokens and 2."""


def body(path: str, model: str = "gpt-far", **fields: Any) -> dict[str, Any]:
    return {"model": model, **FIELDS[path], **fields}


def usages(stream: str) -> list[dict[str, Any]]:
    found = []
    for line in stream.splitlines():
        if line.startswith("data: {"):
            value = json.loads(line.removeprefix("data: "))
            for holder in (value, value.get("response") or {}, value.get("message") or {}):
                found += [holder["usage"]] if holder.get("usage") else []
    return found


@pytest.mark.parametrize("path", [*PATHS, "embeddings"])
async def test_a_whole_answer_is_charged_by_the_upstreams_report(path: str) -> None:
    setup = charged_proxy()
    async with client_of(setup.proxy) as http:
        response = await http.post(f"/v1/{path}", json=body(path))
        usage = (await response.json())["usage"]
    cost = price(9, 0, 0) if path == "embeddings" else COST
    assert [c.cost for c in charges(setup.bookings)] == [cost]
    assert setup.only().metered.model == "gpt-far"
    assert usage["cost"]["cost"] == response.headers["x-kvproxy-cost"] == format_nano(cost)


@pytest.mark.parametrize("path", PATHS)
async def test_a_stream_is_charged_before_its_last_event(path: str) -> None:
    setup = charged_proxy()
    asked: dict[str, Any] = {"stream_options": {"include_usage": True}} if "completions" in path else {}
    async with client_of(setup.proxy) as http:
        response = await http.post(f"/v1/{path}", json=body(path, stream=True, **asked))
        text = await response.text()
    assert [c.cost for c in charges(setup.bookings)] == [COST]
    assert usages(text)[-1]["cost"]["cost"] == format_nano(COST)
    assert "x-kvproxy-hold" in response.headers
    assert setup.charging.held == {}


@pytest.mark.parametrize("path", ["chat/completions", "completions"])
async def test_a_client_that_asks_for_no_usage_gets_none_and_is_charged(path: str) -> None:
    setup = charged_proxy()
    async with client_of(setup.proxy) as http:
        text = await (await http.post(f"/v1/{path}", json=body(path, stream=True))).text()
    assert setup.proxy.misses.bodies[-1]["stream_options"] == {"include_usage": True}
    assert '"usage"' not in text and text.endswith("data: [DONE]\n\n")
    assert [c.cost for c in charges(setup.bookings)] == [COST]


async def test_an_upstream_that_fails_costs_nothing() -> None:
    setup = charged_proxy()
    async with client_of(setup.proxy) as http:
        for stream in (False, True):
            setup.proxy.misses.fail_next(UpstreamError("gone", status=502))
            sent = body("chat/completions", stream=stream)
            assert (await http.post("/v1/chat/completions", json=sent)).status == 502
    assert setup.bookings == [] and setup.charging.held == {}


async def test_an_upstream_is_not_asked_without_balance() -> None:
    setup = charged_proxy(balance=1)
    async with client_of(setup.proxy) as http:
        assert (await http.post("/v1/chat/completions", json=body("chat/completions"))).status == 402
    assert setup.proxy.misses.bodies == []


async def test_the_hold_is_bounded_by_the_body_and_its_bounds() -> None:
    setup = charged_proxy()
    sent = json.dumps(body("chat/completions", max_tokens=7, n=2)).encode()
    async with client_of(setup.proxy) as http:
        await http.post("/v1/chat/completions", data=sent)
    (ordered,) = setup.charging.orders[0].prompts
    assert (ordered.tokens, ordered.most_new, ordered.choices) == (len(sent), 7, 2)


@asynccontextmanager
async def raw(upstream: MockEndpoints, **options: Any) -> AsyncIterator[tuple[Http, Charged[HalfwayBackend]]]:
    setup = charged_proxy(**options)
    proxy = setup.proxy
    async with raw_client() as client:
        misses = WithRaw(proxy.backend, upstreams=("gpt-far",))
        at = {"api_base": upstream.url, "api_key": "sk-upstream"}
        misses.raw = {
            "raw": RawUpstream(client, name="raw", model="openai/up-1", **at),
            "claude": RawUpstream(client, name="claude", model="anthropic/up-1", **at),
        }
        pipeline = Pipeline(
            models=[ServedModel.of(proxy.backend, proxy.composer)], misses=misses, charging=setup.charging
        )
        proxy.components = replace(proxy.components, pipeline=pipeline)
        async with client_of(proxy) as http:
            yield http, setup


@pytest.fixture
async def upstream() -> AsyncIterator[MockEndpoints]:
    async with mock_endpoints() as upstream:
        yield upstream


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", PATHS)
async def test_raw_answers_stay_byte_for_byte_and_are_charged(
    upstream: MockEndpoints, path: str, stream: bool
) -> None:
    model = "claude" if path == "messages" else "raw"
    async with raw(upstream) as (http, setup):
        response = await http.post(f"/v1/{path}", json=body(path, model, stream=stream))
        assert await response.read() == upstream.sent
    metered = setup.only().metered
    reported = usages(upstream.sent.decode()) if stream else [json.loads(upstream.sent)["usage"]]
    if reported:
        last = reported[-1]
        assert metered.completion_tokens == last.get("completion_tokens", last.get("output_tokens"))
    else:
        assert metered.prompt_tokens > 0 and metered.completion_tokens > 0
    assert ("x-kvproxy-cost" in response.headers) is not stream


async def test_a_raw_error_costs_nothing(upstream: MockEndpoints) -> None:
    upstream.status = 429
    async with raw(upstream) as (http, setup):
        for stream in (False, True):
            sent = body("chat/completions", "raw", stream=stream)
            assert (await http.post("/v1/chat/completions", json=sent)).status == 429
    assert setup.bookings == [] and setup.charging.held == {}


async def test_a_raw_stream_that_breaks_off_costs_nothing(upstream: MockEndpoints) -> None:
    upstream.end = "drop"
    async with raw(upstream) as (http, setup):
        sent = body("chat/completions", "raw", stream=True)
        text = await (await http.post("/v1/chat/completions", json=sent)).text()
    assert "broke off" in text and setup.charging.held == {}
    assert [b.outcome for b in setup.bookings] in ([], ["complete"])
    if setup.bookings:
        assert "[DONE]" in text, "what has come to its own end is paid for"


async def test_a_client_that_leaves_a_raw_stream_pays_for_what_came(upstream: MockEndpoints) -> None:
    upstream.pause_s = 0.2
    async with raw(upstream) as (http, setup):
        response = await http.post("/v1/chat/completions", json=body("chat/completions", "raw", stream=True))
        await response.content.readuntil(b"\n\n")
        response.close()
        await eventually(lambda: setup.proxy.drain.in_flight == 0)
    booking = setup.only()
    assert booking.outcome == "left" and booking.metered.prompt_tokens > 0
