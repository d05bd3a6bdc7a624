from __future__ import annotations

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from kvproxy.core import Usage
from kvproxy.wire.chat_response import ChatChunks, ChatHead, completion, usage_body

HEAD = ChatHead("chatcmpl-1", 1_700_000_000, "m")
USAGE = Usage(prompt_tokens=10, completion_tokens=3, cached_tokens=8, cache_write_tokens=2)


def test_usage_always_has_its_details() -> None:
    assert usage_body(Usage(10, 3, 0)) == {
        "prompt_tokens": 10,
        "completion_tokens": 3,
        "total_tokens": 13,
        "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def test_a_completion_has_what_the_specification_requires() -> None:
    body = completion(HEAD, "hi", "length", USAGE)
    parsed = ChatCompletion.model_validate(body)
    assert parsed.usage is not None and parsed.usage.prompt_tokens_details is not None
    assert parsed.usage.prompt_tokens_details.cached_tokens == 8
    assert body["choices"][0] == {
        "index": 0,
        "message": {"role": "assistant", "content": "hi", "refusal": None},
        "logprobs": None,
        "finish_reason": "length",
    }


@pytest.mark.parametrize("include_usage", [False, True])
def test_chunks(include_usage: bool) -> None:
    chunks = ChatChunks(HEAD, include_usage)
    stream = [chunks.role(), chunks.text("h"), chunks.finish("stop")]
    assert [c["choices"][0]["delta"] for c in stream] == [
        {"role": "assistant", "content": ""},
        {"content": "h"},
        {},
    ]
    assert [c["choices"][0]["finish_reason"] for c in stream] == [None, None, "stop"]
    for chunk in stream:
        ChatCompletionChunk.model_validate(chunk)
        assert (chunk["id"], chunk["created"], chunk["model"]) == ("chatcmpl-1", 1_700_000_000, "m")
        assert chunk["choices"][0]["logprobs"] is None
        assert ("usage" in chunk) == include_usage and chunk.get("usage") is None
    last = chunks.usage(USAGE)
    ChatCompletionChunk.model_validate(last)
    assert last["choices"] == [] and last["usage"] == usage_body(USAGE)
