"""The tools explain what is cached of a prompt, and why not."""

from __future__ import annotations

import time
from typing import Any

from tests.fake_proxy import FakeProxy
from tests.mcp_server.conftest import call, connected, refused


def entry(outcome: str, reason: str | None, **fields: Any) -> dict[str, Any]:
    plain = {
        "id": "r",
        "at": time.time() - 60,
        "client": "codex/1",
        "endpoint": "/v1/responses",
        "outcome": outcome,
        "reason": reason,
        "document": None,
        "prompt_tokens": 100,
        "cached_tokens": 0,
    }
    return plain | fields


async def test_a_hit_is_explained(proxy: FakeProxy) -> None:
    proxy.publish({"id": "doc", "text": "one two three"})
    async with connected(proxy.url) as client:
        told = await call(client, "explain", question="Why so?", documents=["doc"])
    assert (told["prompt_tokens"], told["cached_tokens"], told["outcome"]) == (5, 3, "hit")
    assert told["recognised"] == "doc@1"
    assert [d["reference"] for d in told["documents"]] == ["doc@1"]
    assert told["did"] == [
        "read the newest 0 requests of this API key",
        "looked up doc",
        "asked for the first difference: Invalid URL.",
        "sent the prompt to fake with max_tokens=1 and read usage and Cache-Status; what was not cached is now",
    ]
    assert proxy.asked[0]["max_tokens"] == 1


async def test_a_documents_text_is_recognised_in_messages(proxy: FakeProxy) -> None:
    proxy.publish({"id": "doc", "text": "one two three"})
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    async with connected(proxy.url) as client:
        messages = [{"role": "system", "content": "one two three Be brief."}]
        told = await call(client, "explain", messages=messages, tools=tools)
    assert told["recognised"] == "doc@1" and told["documents"][0]["reference"] == "doc@1"
    assert proxy.asked[0]["messages"] == messages and proxy.asked[0]["tools"] == tools


async def test_a_miss_is_explained_with_the_newest_ones(proxy: FakeProxy) -> None:
    misses = [entry("miss", "new-preamble", document=f"d@{n}") for n in range(9)]
    proxy.requests = [*misses, entry("hit", None), entry("refused", "model_not_found")]
    async with connected(proxy.url) as client:
        told = await call(client, "explain", question="q")
    assert (told["outcome"], told["reason"], told["recognised"]) == ("miss", "no-document", None)
    assert "publish the text" in told["meaning"]
    assert [miss["document"] for miss in told["recent_misses"]] == [f"d@{n}" for n in (8, 7, 6, 5, 4)]
    newest = told["recent_misses"][0]
    assert 55 < newest["seconds_ago"] < 120
    assert (newest["client"], newest["endpoint"]) == ("codex/1", "/v1/responses")
    assert "never stood behind this system prompt" in newest["meaning"]


async def test_the_first_difference_is_told(proxy: FakeProxy) -> None:
    proxy.requests = [entry("miss", "no-document", cause="uuid")]
    shown = {"where": "messages[0]", "character": 9, "counted_from": "message", "token": None}
    proxy.explanation = {
        "cause": "timestamp",
        "do": "move it",
        "compared": {"kind": "request", "id": "chatcmpl-1", "at": 1.0, "common_tokens": 9},
        "difference": {**shown, "before": "Today is ", "sent": "Nov 30", "other": "Nov 29"},
    }
    async with connected(proxy.url) as client:
        told = await call(client, "explain", question="Today is Nov 30")
    assert told["difference"] == {
        "cause": "timestamp",
        "compared_with": "chatcmpl-1",
        "where": "messages[0]",
        "before": "Today is ",
        "sent": "Nov 30",
        "other": "Nov 29",
        "do": "move it",
    }
    assert proxy.explained == [
        {"model": "fake", "messages": [{"role": "user", "content": "Today is Nov 30"}]}
    ]
    assert (
        told["recent_misses"][0]["cause"],
        "a random id differs" in told["recent_misses"][0]["meaning"],
    ) == (
        "uuid",
        True,
    )


async def test_nothing_is_computed_if_so_wished(proxy: FakeProxy) -> None:
    proxy.publish({"id": "doc", "text": "one two three"})
    async with connected(proxy.url) as client:
        told = await call(client, "explain", question="Why so?", documents=["doc"], send=False)
    assert (told["prompt_tokens"], told["cached_tokens"], told["outcome"]) == (5, None, None)
    assert "/tokenize" in told["did"][-1] and proxy.asked == []


async def test_either_a_question_or_messages(proxy: FakeProxy) -> None:
    messages = [{"role": "user", "content": "q"}]
    async with connected(proxy.url) as client:
        for arguments in (
            {},
            {"question": "q", "messages": messages},
            {"messages": messages, "documents": ["doc"]},
            {"question": "q", "tools": [{"type": "function"}]},
        ):
            assert "give either 'question'" in await refused(client, "explain", **arguments)
        told = await refused(client, "explain", question="q", documents=["nope"])
        assert "No such document: 'nope'." in told
    assert len(proxy.asked) == 1
