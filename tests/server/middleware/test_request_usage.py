"""A request that has ended, as the figures count it: by its bill, over all of its prompts."""

from __future__ import annotations

from typing import Any

from kvproxy.telemetry.usage.ended_request import EndedRequest
from tests.server.doubles import ask, client_of, make_proxy

CHAT = "/v1/chat/completions"


def noted(proxy: Any) -> list[EndedRequest]:
    """Collect what the proxy's figures are fed with."""
    each: list[EndedRequest] = []
    usage = proxy.components.usage
    inner = usage.note

    def note(ended: EndedRequest) -> None:
        each.append(ended)
        inner(ended)

    usage.note = note
    return each


async def test_a_miss_and_a_hit_with_their_document() -> None:
    proxy = make_proxy()
    each = noted(proxy)
    proxy.components.usage.saved_us = lambda model, tokens: 10 * tokens
    async with client_of(proxy) as http:
        publish = {"id": "handbook", "text": "h" * 400}
        assert (await http.post("/kv/v1/documents", json=publish)).status in (200, 201)
        proxy.backend.evict()
        for stream in (False, True):
            await (await http.post(CHAT, json=ask("h" * 400 + " q", stream=stream))).read()
    miss, hit = each
    assert (miss.hit, miss.reason, miss.document) == (False, "not-resident", "handbook@1")
    assert [(str(p.document), p.cached_tokens) for p in miss.passages] == [("handbook@1", 0)]
    assert hit.hit and hit.cached_tokens == hit.prompt_tokens - 1 and hit.saved_us == 10 * hit.cached_tokens
    assert [(str(p.document), p.cached_tokens >= 400) for p in hit.passages] == [("handbook@1", True)]
    assert hit.completion_tokens > 0 and hit.ttft_s is not None and hit.tenant == "anonymous"


async def test_all_prompts_of_a_request_count() -> None:
    proxy = make_proxy()
    each = noted(proxy)
    async with client_of(proxy) as http:
        body = {"model": "fake", "prompt": ["a" * 50, "b" * 60, "c" * 70], "max_tokens": 2}
        answer = await http.post("/v1/completions", json=body)
        assert answer.status == 200
        usage = (await answer.json())["usage"]
    assert (
        each[0].prompt_tokens == usage["prompt_tokens"]
        and each[0].completion_tokens == usage["completion_tokens"]
    )
    assert each[0].prompt_tokens > 150


async def test_another_models_answer_and_a_refusal_have_no_tokens() -> None:
    proxy = make_proxy()
    each = noted(proxy)
    async with client_of(proxy) as http:
        await http.post(CHAT, json=ask(model="gpt-far"))
        await http.post(CHAT, json=ask(temperature=9))
    assert [(one.model, one.hit, one.prompt_tokens) for one in each] == [
        ("gpt-far", None, 0),
        ("fake", None, 0),
    ]
