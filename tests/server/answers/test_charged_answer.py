"""Charges of requests of all dialects, by how they end."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pytest

from kvproxy.core import format_nano
from kvproxy.errors import Overloaded, PaymentRequired, QuotaExceeded
from tests.charging.charged_proxy import TEXT, Charged, HalfwayBackend, charged_proxy, charges
from tests.charging.prices import PLENTY, charged, price
from tests.server.doubles import Http, ask, client_of, eventually

CHAT = "/v1/chat/completions"


def handbook(question: str = "why?", **fields: Any) -> dict[str, Any]:
    system = [{"type": "kv_document", "document": "handbook@1"}]
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    return {"model": "fake", "messages": messages, **fields}


async def publish(http: Http) -> None:
    assert (await http.post("/kv/v1/documents", json={"id": "handbook", "text": TEXT})).status == 201


def cost_of(setup: Charged[HalfwayBackend]) -> dict[str, Any]:
    """The extension that the answer of the newest booking has."""
    (*_, booking) = setup.bookings
    charge = booking.settled.charge
    assert charge is not None
    return {
        "currency": "USD",
        "cost": format_nano(charge.cost),
        "cold_cost": format_nano(charge.cold_cost),
        "saved": format_nano(charge.cold_cost - charge.cost),
        "tariff": charge.tariff[:12],
        "receipt": None,
    }


def last_usage(stream: str, place: tuple[str, ...] = ()) -> dict[str, Any]:
    """The usage in the last event that has one."""
    found: dict[str, Any] = {}
    for line in stream.splitlines():
        if line.startswith("data: {"):
            value = json.loads(line.removeprefix("data: "))
            for name in place:
                value = value.get(name) or {}
            found = value.get("usage") or found
    return found


async def test_a_miss_is_charged_as_a_miss_and_its_answer_says_so() -> None:
    setup = charged_proxy()
    async with client_of(setup.proxy) as http:
        response = await http.post(CHAT, json=ask())
        usage = (await response.json())["usage"]
    metered = setup.only().metered
    expected = price(usage["prompt_tokens"], 0, usage["completion_tokens"])
    assert (metered.prompt_tokens, metered.cached_tokens) == (usage["prompt_tokens"], 0)
    assert charges(setup.bookings)[0].cost == expected == charges(setup.bookings)[0].cold_cost
    assert usage["cost"] == cost_of(setup) and usage["cost"]["saved"] == "0"
    assert response.headers["x-kvproxy-cost"] == response.headers["x-kvproxy-cold-cost"]
    setup.check_sums()
    assert setup.counted("kvproxy_bills", outcome="complete") == 1
    assert setup.counted("kvproxy_billed_nano", kind="cost") == expected


async def test_a_hit_costs_its_documents_price_and_says_what_it_saved() -> None:
    setup = charged_proxy()
    async with client_of(setup.proxy) as http:
        await publish(http)
        response = await http.post(CHAT, json=handbook())
        usage = (await response.json())["usage"]
    metered = setup.only().metered
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    assert metered.cached_tokens == cached > len(TEXT) - 10
    (read,) = metered.documents
    assert (read.document, read.publisher, read.by_reference) == ("handbook@1", "acme", True)
    assert read.tokens == min(cached, 1 + len(TEXT)) - 1
    (charge,) = charges(setup.bookings)
    assert charge == charged(metered, setup.charging.terms) and charge.documents[0].publisher_share > 0
    assert usage["cost"] == cost_of(setup)
    assert response.headers["x-kvproxy-cost"] == format_nano(charge.cost)
    assert response.headers["x-kvproxy-cold-cost"] == format_nano(charge.cold_cost)
    assert setup.counted("kvproxy_billed_tokens", kind="cached_document") == read.tokens


async def test_a_lost_hit_is_charged_as_the_miss_that_it_became() -> None:
    setup = charged_proxy()
    async with client_of(setup.proxy) as http:
        await publish(http)
        setup.backend.fail_next(RuntimeError("the hit path broke"))
        response = await http.post(CHAT, json=handbook())
        cached = (await response.json())["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert setup.only().metered.cached_tokens == cached


async def test_streams_carry_the_hold_at_their_head_and_the_price_at_their_end() -> None:
    setup = charged_proxy()
    async with client_of(setup.proxy) as http:
        body = ask(stream=True, stream_options={"include_usage": True}, max_tokens=50)
        response = await http.post(CHAT, json=body)
        text = await response.text()
    usage = last_usage(text)
    assert usage["cost"] == cost_of(setup)
    prompt = usage["prompt_tokens"]
    assert response.headers["x-kvproxy-hold"] == format_nano(price(prompt, 0, 50))
    assert response.headers["x-kvproxy-cold-prompt-cost"] == format_nano(price(prompt, 0, 0))
    assert "x-kvproxy-cost" not in response.headers
    setup.check_sums()


async def test_the_receipt_comes_when_it_is_asked_for() -> None:
    setup = charged_proxy()
    async with client_of(setup.proxy) as http:
        await publish(http)
        response = await http.post(CHAT, json=handbook(), headers={"x-kvproxy-receipt": "true"})
        assert (await response.json())["usage"]["cost"]["receipt"] == "receipt of handbook@1"


async def test_every_dialect_carries_the_price_whole_and_streamed() -> None:
    setup = charged_proxy()
    say = [{"role": "user", "content": "hello"}]
    asked: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
        ("chat/completions", {"messages": say, "stream_options": {"include_usage": True}}, ()),
        ("completions", {"prompt": "hello", "stream_options": {"include_usage": True}}, ()),
        ("responses", {"input": "hello"}, ("response",)),
        ("messages", {"messages": say, "max_tokens": 20}, ()),
    ]
    async with client_of(setup.proxy) as http:
        for path, fields, place in asked:
            body = {"model": "fake", **fields}
            whole = {name: value for name, value in body.items() if name != "stream_options"}
            response = await http.post(f"/v1/{path}", json=whole)
            assert (await response.json())["usage"]["cost"] == cost_of(setup), path
            assert "x-kvproxy-cost" in response.headers
            streamed = await (await http.post(f"/v1/{path}", json={**body, "stream": True})).text()
            assert last_usage(streamed, place)["cost"] == cost_of(setup), path
    assert len(setup.bookings) == 8
    setup.check_sums()


async def test_the_stock_client_keeps_the_price() -> None:
    setup = charged_proxy()
    async with client_of(setup.proxy) as http:
        url = str(http.make_url("/v1"))
        async with openai.AsyncOpenAI(base_url=url, api_key="unused", max_retries=0) as client:
            chat = await client.chat.completions.create(**ask())
            assert chat.usage is not None
            assert chat.usage.model_dump()["cost"] == cost_of(setup)
            stream = await client.chat.completions.create(
                **ask(), stream=True, stream_options={"include_usage": True}
            )
            usages = [chunk.usage async for chunk in stream if chunk.usage is not None]
            assert usages[-1].model_dump()["cost"] == cost_of(setup)
            response = await client.responses.create(model="fake", input="hello")
            assert response.usage is not None and response.usage.model_dump()["cost"] == cost_of(setup)


async def test_several_choices_pay_the_prompt_once() -> None:
    setup = charged_proxy()
    async with client_of(setup.proxy) as http:
        response = await http.post(CHAT, json=ask(n=3, max_tokens=5))
        usage = (await response.json())["usage"]
    (order,) = setup.charging.orders
    assert (order.prompts[0].choices, order.prompts[0].most_new) == (3, 5)
    metered = setup.only().metered
    assert metered.prompt_tokens == usage["prompt_tokens"] == order.prompts[0].tokens
    assert metered.completion_tokens == usage["completion_tokens"] == 15


@pytest.mark.parametrize("stream", [False, True])
async def test_several_prompts_are_one_booking(stream: bool) -> None:
    setup = charged_proxy()
    prompts = ["first prompt", "second", "third prompt of three"]
    body = {"model": "fake", "prompt": prompts, "n": 2, "max_tokens": 4}
    async with client_of(setup.proxy) as http:
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
            usage = last_usage(await (await http.post("/v1/completions", json=body)).text())
        else:
            usage = (await (await http.post("/v1/completions", json=body)).json())["usage"]
    (order,) = setup.charging.orders
    assert len(order.prompts) == 3
    metered = setup.only().metered
    assert (metered.prompt_tokens, metered.completion_tokens, metered.cached_tokens) == (
        usage["prompt_tokens"],
        usage["completion_tokens"],
        usage["prompt_tokens_details"]["cached_tokens"],
    )
    assert metered.prompt_tokens == sum(map(len, prompts))
    assert usage["cost"] == cost_of(setup)


async def test_of_several_prompts_a_failing_one_makes_all_free() -> None:
    setup = charged_proxy()
    async with client_of(setup.proxy) as http:
        setup.backend.fail_next(Overloaded("busy"), after_words=1)
        response = await http.post("/v1/completions", json={"model": "fake", "prompt": ["a b", "c d"]})
        assert response.status == 429
    assert setup.bookings == [] and setup.charging.held == {}


@pytest.mark.parametrize("after_words", [-1, 2])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_failed_request_costs_nothing(stream: bool, after_words: int) -> None:
    setup = charged_proxy()
    async with client_of(setup.proxy) as http:
        setup.backend.fail_next(Overloaded("busy"), after_words=after_words)
        response = await http.post(CHAT, json=ask(stream=stream))
        assert "busy" in await response.text()
    assert setup.bookings == [] and setup.charging.held == {}
    assert setup.charging.balance == PLENTY
    assert setup.counted("kvproxy_bills", outcome="failed") == 1


async def test_a_request_that_takes_too_long_costs_nothing() -> None:
    setup = charged_proxy(timeout_s=0.1, token_delay_s=0.3)
    async with client_of(setup.proxy) as http:
        response = await http.post(CHAT, json=ask(stream=True))
        assert '"code":"timeout"' in await response.text()
        assert (await http.post(CHAT, json=ask())).status in (408, 504)
    assert setup.bookings == [] and setup.charging.held == {}


async def test_a_shutdown_costs_nothing() -> None:
    setup = charged_proxy()
    async with client_of(setup.proxy) as http:
        setup.backend.gate = asyncio.Event()
        asking = asyncio.ensure_future(http.post(CHAT, json=ask()))
        await eventually(lambda: bool(setup.backend.running))
        setup.proxy.drain.expire()
        assert (await asking).status == 503
        setup.backend.gate.set()
    assert setup.bookings == [] and setup.charging.held == {}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_while_its_prompt_is_computed_pays_for_the_positions(stream: bool) -> None:
    setup = charged_proxy()
    async with client_of(setup.proxy) as http:
        setup.backend.gate, setup.backend.halfway = asyncio.Event(), True
        asking = asyncio.ensure_future(
            http.post(CHAT, json=ask("a question of more than twelve", stream=stream))
        )
        await eventually(lambda: bool(setup.backend.running))
        asking.cancel()
        await eventually(lambda: setup.proxy.drain.in_flight == 0)
        setup.backend.gate.set()
    booking = setup.only()
    assert booking.outcome == "left"
    used = booking.metered
    assert (used.prompt_tokens, used.cached_tokens, used.completion_tokens) == (12, 5, 0)
    setup.check_sums()
    assert setup.counted("kvproxy_bills", outcome="left") == 1


async def test_a_client_that_leaves_before_anything_is_computed_pays_nothing() -> None:
    setup = charged_proxy()
    async with client_of(setup.proxy) as http:
        setup.backend.gate = asyncio.Event()
        asking = asyncio.ensure_future(http.post(CHAT, json=ask()))
        await eventually(lambda: bool(setup.backend.running))
        asking.cancel()
        await eventually(lambda: setup.proxy.drain.in_flight == 0)
        setup.backend.gate.set()
    assert setup.bookings == [] and setup.charging.held == {}


async def test_a_client_that_leaves_within_the_answer_pays_for_what_was_generated() -> None:
    setup = charged_proxy()
    async with client_of(setup.proxy) as http:
        setup.backend.token_delay_s = 0.02
        setup.backend.say_next("word " * 500)
        response = await http.post(CHAT, json=ask(stream=True, max_tokens=500))
        for _ in range(4):
            await response.content.readuntil(b"\n\n")
        response.close()
        await eventually(lambda: setup.proxy.drain.in_flight == 0)
    booking = setup.only()
    assert booking.outcome == "left"
    assert booking.metered.prompt_tokens == setup.charging.orders[0].prompts[0].tokens
    assert 2 <= booking.metered.completion_tokens < 500
    setup.check_sums()


async def test_a_warmed_prompt_pays_for_no_answer() -> None:
    setup = charged_proxy()
    body = {"model": "fake", "max_tokens": 0, "messages": [{"role": "user", "content": "hello"}]}
    async with client_of(setup.proxy) as http:
        usage = (await (await http.post("/v1/messages", json=body)).json())["usage"]
    assert setup.only().metered.completion_tokens == usage["output_tokens"] == 0


async def test_without_balance_nothing_is_computed_and_the_answer_is_402() -> None:
    setup = charged_proxy(balance=1000)
    async with client_of(setup.proxy) as http:
        for stream in (False, True):
            response = await http.post(CHAT, json=ask(stream=stream))
            error = (await response.json())["error"]
            assert (response.status, error["code"], error["type"]) == (
                402,
                "payment_required",
                "insufficient_balance",
            )
            assert response.headers["x-should-retry"] == "false"
    assert setup.backend.generations == [] and setup.bookings == []
    assert setup.counted("kvproxy_bills", outcome="refused") == 2


async def test_several_prompts_are_refused_before_the_first_is_computed() -> None:
    setup = charged_proxy(balance=price(12, 0, 4))
    body = {"model": "fake", "prompt": ["first prompt", "second"], "max_tokens": 4}
    async with client_of(setup.proxy) as http:
        assert (await http.post("/v1/completions", json={**body, "prompt": "first prompt"})).status == 200
        setup.charging.balance = price(12, 0, 4)
        computed = len(setup.backend.generations)
        for stream in (False, True):
            assert (await http.post("/v1/completions", json={**body, "stream": stream})).status == 402
    assert len(setup.backend.generations) == computed


QUOTE = {"object": "kv_quote", "payment": {"mpp": ["Payment id=1"]}}


async def test_a_402_carries_quote_and_headers_in_both_dialects() -> None:
    setup = charged_proxy()
    headers = {"WWW-Authenticate": 'Payment id="1"', "PAYMENT-REQUIRED": "e30="}
    refused = PaymentRequired("The balance is 0.", quote=QUOTE, headers=headers)
    async with client_of(setup.proxy) as http:
        for path, body in (("chat/completions", ask()), ("messages", ask(max_tokens=5))):
            setup.charging.refuse = refused
            response = await http.post(f"/v1/{path}", json=body)
            told = await response.json()
            assert response.status == 402 and told["quote"] == QUOTE
            assert response.headers["WWW-Authenticate"] == 'Payment id="1"'
            assert response.headers["PAYMENT-REQUIRED"] == "e30="
    assert told["error"]["type"] == "billing_error" and told["type"] == "error"


async def test_a_used_up_budget_is_429_in_both_dialects() -> None:
    setup = charged_proxy()
    async with client_of(setup.proxy) as http:
        setup.charging.refuse = QuotaExceeded("The tokens of today are used up.", retry_after_s=60)
        response = await http.post(CHAT, json=ask())
        error = (await response.json())["error"]
        assert (response.status, error["code"], error["type"]) == (
            429,
            "insufficient_quota",
            "insufficient_quota",
        )
        assert response.headers["Retry-After"] == "60"
        setup.charging.refuse = QuotaExceeded("The tokens of today are used up.")
        response = await http.post("/v1/messages", json=ask(max_tokens=5))
        assert response.status == 429 and (await response.json())["error"]["type"] == "rate_limit_error"
        assert response.headers["x-should-retry"] == "false"


async def test_the_feed_shows_what_requests_cost() -> None:
    setup = charged_proxy()
    async with client_of(setup.proxy) as http:
        await publish(http)
        await http.post(CHAT, json=handbook())
        (entry,) = (await (await http.get("/kv/v1/requests")).json())["data"]
    assert (entry["cost"], entry["saved"]) == (cost_of(setup)["cost"], cost_of(setup)["saved"])
    assert entry["currency"] == "USD"
