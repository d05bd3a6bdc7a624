from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from kvproxy.bench.instant_upstream import WORD, WORDS, make_app


async def ask(**fields: Any) -> tuple[str, str]:
    """Content type and body."""
    async with TestClient(TestServer(make_app())) as client:
        answer = await client.post("/v1/chat/completions", json={"model": "m", "messages": [], **fields})
        return answer.content_type, await answer.text()


@pytest.mark.parametrize(("fields", "words"), [({}, WORDS), ({"max_tokens": 2}, 2)])
async def test_a_whole_answer_has_as_many_words_as_asked(fields: dict[str, Any], words: int) -> None:
    kind, text = await ask(**fields)
    body = json.loads(text)
    assert kind == "application/json"
    assert body["choices"][0]["message"]["content"] == WORD * words
    assert body["usage"]["completion_tokens"] == words


async def test_a_stream_says_the_same_word_by_word() -> None:
    kind, text = await ask(stream=True, max_tokens=2, stream_options={"include_usage": True})
    *events, done, rest = text.split("\n\n")
    assert (kind, done, rest) == ("text/event-stream", "data: [DONE]", "")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert deltas == [{"role": "assistant", "content": ""}, {"content": WORD}, {"content": WORD}, {}]
    assert [c["choices"][0]["finish_reason"] for c in chunks[:-1]] == [None, None, None, "stop"]
    assert chunks[-1]["usage"]["completion_tokens"] == 2


async def test_no_usage_where_none_was_asked_for() -> None:
    assert "usage" not in (await ask(stream=True))[1]
