"""Streams of answers, whole and broken."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kvproxy.client import RequestFailed
from kvproxy.mcp_server.chat_answer import ChatAnswer, read_answer
from kvproxy.mcp_server.event_stream import records

USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 7}}


def piece(reason: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"delta": delta, "finish_reason": reason}]}


async def read(*lines: str | dict[str, Any], header: str = "", cut: int = 5) -> tuple[ChatAnswer, list[int]]:
    """The stream comes in pieces of ``cut`` bytes."""
    text = "".join(
        line if isinstance(line, str) else f"data: {json.dumps(line, ensure_ascii=False)}\n\n"
        for line in lines
    )
    data = text.encode()
    told: list[int] = []

    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(data), cut):
            yield data[at : at + cut]

    async def progress(pieces: int) -> None:
        told.append(pieces)

    return await read_answer(0.0, header, records(chunks()), progress), told


@pytest.mark.parametrize("cut", [1, 7, 10_000])
async def test_an_answer_is_gathered(cut: int) -> None:
    answer, told = await read(
        ": keepalive\n\n",
        piece(role="assistant", content=""),
        piece(reasoning_content="hm"),
        piece(content="wört\u2028"),
        piece(content="lich"),
        piece("length"),
        {"choices": [], "usage": USAGE},
        ': cache-status: kvproxy; hit; key="doc@1"; detail="tokens=7"\n\n',
        "data: [DONE]\n\n",
        header='kvproxy; detail="pending"',
        cut=cut,
    )
    assert (answer.text, answer.finish_reason) == ("wört\u2028lich", "length")
    assert (answer.prompt_tokens, answer.cached_tokens, answer.completion_tokens) == (9, 7, 2)
    assert (answer.cache.outcome, answer.cache.document) == ("hit", "doc@1")
    assert answer.ttft_s is not None and answer.ttft_s > 0
    assert told[0] == 0 and told == sorted(told)


async def test_an_answer_without_a_word_has_no_first_token() -> None:
    answer, _ = await read(piece("stop"), {"choices": [], "usage": USAGE})
    assert (answer.text, answer.ttft_s) == ("", None)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (({"error": {"message": "the engine is gone"}},), "the engine is gone"),
        (("event: error\n", {"error": {"message": "too slow"}}), "too slow"),
        ((piece(content="x"),), "without its usage"),
        (("data: <html>\n\n",), "no JSON object"),
        (("data: [1]\n\n",), "no JSON object"),
    ],
)
async def test_a_broken_stream_is_told(lines: tuple[str | dict[str, Any], ...], said: str) -> None:
    with pytest.raises(RequestFailed, match=said):
        await read(*lines)
