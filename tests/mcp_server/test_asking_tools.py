"""Questions with documents."""

from __future__ import annotations

from itertools import permutations

import pytest
from mcp.shared.exceptions import MCPError

from tests.fake_proxy import FakeProxy, running
from tests.mcp_server.conftest import call, connected, refused


async def test_documents_are_named_at_the_head_of_the_system_message(proxy: FakeProxy) -> None:
    proxy.publish({"id": "handbook", "text": "one two three"})
    async with connected(proxy.url) as client:
        answer = await call(
            client, "ask", question="How many?", documents=["handbook@1"], instructions="Be brief."
        )
    assert answer.pop("ttft_s") > 0
    assert answer == {
        "answer": "no",
        "finish_reason": "stop",
        "model": "fake",
        "documents": ["handbook@1"],
        "prompt_tokens": 6,
        "cached_tokens": 3,
        "completion_tokens": 1,
        "outcome": "hit",
        "reason": None,
    }
    [asked] = proxy.asked
    assert asked["max_tokens"] == 1024
    assert asked["messages"] == [
        {
            "role": "system",
            "content": [
                {
                    "type": "kv_document",
                    "document": "handbook@1",
                    "prompt_cache_breakpoint": {"mode": "explicit"},
                },
                {"type": "text", "text": "Be brief."},
            ],
        },
        {"role": "user", "content": "How many?"},
    ]


async def test_any_order_of_documents_is_one_prompt(proxy: FakeProxy) -> None:
    for id in "abc":
        proxy.publish({"id": id, "text": f"{id} "})
    async with connected(proxy.url) as client:
        for documents in permutations(["a", "b@1", "c"]):
            await call(
                client, "ask", question="q", documents=[*documents, documents[0]], model="m", max_tokens=7
            )
    assert all(asked == proxy.asked[0] for asked in proxy.asked)
    assert (proxy.asked[0]["model"], proxy.asked[0]["max_tokens"]) == ("m", 7)


async def test_a_miss_says_why(proxy: FakeProxy) -> None:
    async with connected(proxy.url) as client:
        answer = await call(client, "ask", question="q", documents=[])
    assert (answer["outcome"], answer["reason"], answer["cached_tokens"]) == ("miss", "no-document", 0)
    assert proxy.asked[0]["messages"] == [{"role": "user", "content": "q"}]


async def test_the_client_hears_that_it_waits(proxy: FakeProxy) -> None:
    told: list[tuple[float, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, message))

    async with connected(proxy.url) as client:
        await client.call_tool("ask", {"question": "q", "documents": []}, progress_callback=hear)
    assert told[:1] == [(1, "waiting for the first token")]
    assert [done for done, _ in told] == sorted({done for done, _ in told})


async def test_a_document_that_is_not_there_is_told_in_the_proxys_words(proxy: FakeProxy) -> None:
    async with connected(proxy.url) as client:
        told = await refused(client, "ask", question="q", documents=["nope"])
        assert told == "Error executing tool ask: No such document: 'nope'."
        assert "question" in await refused(client, "ask", question="", documents=[])
        assert "max_tokens" in await refused(client, "ask", question="q", documents=[], max_tokens=0)


async def test_a_proxy_that_answers_nothing_can_be_left() -> None:
    with running(slow=True) as proxy:
        async with connected(proxy.url) as client:
            with pytest.raises(MCPError, match="imed out"):
                await client.call_tool("ask", {"question": "q", "documents": []}, read_timeout_seconds=0.3)
            assert await call(client, "list_documents") == {"documents": []}
