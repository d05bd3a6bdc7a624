from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import TypeAdapter

from kvproxy.core import ToolCall
from kvproxy.errors import TimedOut
from kvproxy.events import (
    Event,
    Finished,
    Likelihood,
    ReasoningDelta,
    Started,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from kvproxy.wire.answers.answer_reader import Answer
from kvproxy.wire.chat import chat_types
from kvproxy.wire.chat.chat_response import ChatHead, ChatStream, completion, usage_body

HEAD = ChatHead("chatcmpl-1", 1_700_000_000, 'm"é')
LEGACY = ChatHead("chatcmpl-1", 1_700_000_000, "m", functions=True)
USAGE = Usage(
    prompt_tokens=10, completion_tokens=3, cached_tokens=8, cache_write_tokens=2, reasoning_tokens=1
)
STARTED = Started(8, False, 0.0, 0.0, 0.0)
LOGPROB = TokenLogprob(
    Likelihood(1, "é".encode(), -0.5), (Likelihood(1, "é".encode(), -0.5), Likelihood(2, b"\xc3", -math.inf))
)
LOGPROB_BODY = {
    "token": "é",
    "logprob": -0.5,
    "bytes": [195, 169],
    "top_logprobs": [
        {"token": "é", "logprob": -0.5, "bytes": [195, 169]},
        {"token": "\ufffd", "logprob": -9999.0, "bytes": [195]},
    ],
}


def answer(text: str = "hi", **fields: Any) -> Answer:
    return Answer(**{"text": text, "reasoning": "", "calls": (), "logprobs": (), "reason": "stop", **fields})


def stream(*events: Event, choices: int = 1, include_usage: bool = False, head: ChatHead = HEAD) -> list[Any]:
    """Every chunk of a stream in which choice 0 says ``events``; [DONE] is checked and left out."""
    encoder = ChatStream(head, include_usage=include_usage)
    raw = encoder.begin(STARTED, prompt_tokens=10, choices=choices)
    raw += b"".join(encoder.event(0, event) for event in events) + encoder.end(USAGE)
    *lines, done, rest = raw.decode().split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines]
    for chunk in chunks:
        TypeAdapter(chat_types.ChatChunk).validate_python(chunk, strict=True)
        ChatCompletionChunk.model_validate(chunk)
        assert (chunk["id"], chunk["created"], chunk["model"]) == (head.id, head.created, head.model)
    return chunks


def deltas(chunks: list[Any]) -> list[Any]:
    return [chunk["choices"][0]["delta"] for chunk in chunks]


def test_usage_always_has_its_details() -> None:
    assert usage_body(Usage(10, 3, 0)) == {
        "prompt_tokens": 10,
        "completion_tokens": 3,
        "total_tokens": 13,
        "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


@pytest.mark.parametrize("prediction", [(0, 0), (7, 2)])
def test_usage_has_prediction_counts_only_where_there_was_a_prediction(prediction: tuple[int, int]) -> None:
    body = usage_body(replace(USAGE, prediction=prediction))
    TypeAdapter(chat_types.UsageBody).validate_python(body, strict=True)
    assert body["completion_tokens_details"] == {
        "reasoning_tokens": 1,
        "accepted_prediction_tokens": prediction[0],
        "rejected_prediction_tokens": prediction[1],
    }


def test_a_completion_has_the_fields_that_the_specification_requires() -> None:
    body = completion(HEAD, [answer(reason="length"), answer("ho")], USAGE)
    parsed = ChatCompletion.model_validate(body)
    assert parsed.usage is not None and parsed.usage.prompt_tokens_details is not None
    assert parsed.usage.prompt_tokens_details.cached_tokens == 8
    assert body["choices"][0] == {
        "index": 0,
        "message": {"role": "assistant", "content": "hi", "refusal": None},
        "logprobs": None,
        "finish_reason": "length",
    }
    assert body["choices"][1]["index"] == 1


def test_calls_thoughts_and_logprobs_of_a_completion() -> None:
    calls = (ToolCall("call_1", "f", '{"a":1}'), ToolCall("call_2", "g", "{}"))
    body = completion(
        HEAD,
        [
            answer("", calls=calls, reasoning="hm", reason="tool_calls"),
            answer("é", logprobs=(LOGPROB,)),
            answer(""),
        ],
        USAGE,
    )
    ChatCompletion.model_validate(body)
    TypeAdapter(chat_types.ChatCompletion).validate_python(body, strict=True)
    assert body["choices"][0]["finish_reason"] == "tool_calls"
    assert body["choices"][0]["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "reasoning_content": "hm",
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
            {"id": "call_2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    }
    assert body["choices"][1]["logprobs"] == {"content": [LOGPROB_BODY], "refusal": None}
    assert body["choices"][2]["message"]["content"] == ""


@pytest.mark.parametrize("include_usage", [False, True])
def test_chunks(include_usage: bool) -> None:
    chunks = stream(TextDelta("h\n"), TextDelta("é"), Finished("stop", USAGE), include_usage=include_usage)
    if include_usage:
        last = chunks.pop()
        assert last["choices"] == [] and last["usage"] == usage_body(USAGE)
    assert deltas(chunks) == [{"role": "assistant", "content": ""}, {"content": "h\n"}, {"content": "é"}, {}]
    assert [c["choices"][0]["finish_reason"] for c in chunks] == [None, None, None, "stop"]
    for chunk in chunks:
        assert chunk["choices"][0]["logprobs"] is None
        assert ("usage" in chunk) == include_usage and chunk.get("usage") is None


def test_streamed_calls_and_thoughts() -> None:
    chunks = stream(
        ReasoningDelta("hm"),
        ToolCallDelta(0, "call_1", "f"),
        ToolCallDelta(0, arguments='{"a"'),
        ToolCallDelta(1, "call_2", "g"),
        Finished("tool_calls", USAGE),
    )
    first = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}
    second = {"id": "call_2", "type": "function", "function": {"name": "g", "arguments": ""}}
    assert deltas(chunks)[1:] == [
        {"reasoning_content": "hm"},
        {"tool_calls": [{"index": 0, **first}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]},
        {"tool_calls": [{"index": 1, **second}]},
        {},
    ]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_streamed_logprobs_and_choices() -> None:
    chunks = stream(TextDelta("é", 1, (LOGPROB,)), TextDelta(""), choices=2)
    assert [c["choices"][0]["index"] for c in chunks] == [0, 1, 0]
    assert chunks[2]["choices"][0]["logprobs"] == {"content": [LOGPROB_BODY], "refusal": None}


def test_deprecated_functions_get_their_own_shape() -> None:
    body = completion(LEGACY, [answer("", calls=(ToolCall("c", "f", "{}"),), reason="tool_calls")], USAGE)
    ChatCompletion.model_validate(body)
    assert body["choices"][0]["message"]["function_call"] == {"name": "f", "arguments": "{}"}
    assert "tool_calls" not in body["choices"][0]["message"]
    assert body["choices"][0]["finish_reason"] == "function_call"
    chunks = stream(
        ToolCallDelta(0, "c", "f"),
        ToolCallDelta(0, arguments="{}"),
        ToolCallDelta(1, "d", "g"),
        Finished("tool_calls", USAGE),
        head=LEGACY,
    )
    assert deltas(chunks)[1:] == [
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": "{}"}},
        {},
    ]
    assert chunks[-1]["choices"][0]["finish_reason"] == "function_call"


def test_an_error_ends_a_stream_as_openais_body() -> None:
    error = ChatStream(HEAD, include_usage=False).error(TimedOut("too long"))
    assert json.loads(error.removeprefix(b"data: "))["error"]["code"] == "timeout"


CUSTOM = ChatHead("chatcmpl-1", 1_700_000_000, "m", custom=frozenset({"sql"}))
FREE = ToolCall("call_1", "sql", '{"input": "select \\"a\\"\\n"}')


def test_a_call_of_a_free_form_tool_is_text() -> None:
    calls = (FREE, ToolCall("call_2", "find", "{}"))
    body = completion(CUSTOM, [answer("", calls=calls, reason="tool_calls")], USAGE)
    ChatCompletion.model_validate(body, strict=True)
    message: Any = body["choices"][0]["message"]
    assert message["tool_calls"] == [
        {"id": "call_1", "type": "custom", "custom": {"name": "sql", "input": 'select "a"\n'}},
        {"id": "call_2", "type": "function", "function": {"name": "find", "arguments": "{}"}},
    ]


@pytest.mark.parametrize(
    "arguments", [FREE.arguments, '{"query": "select \\"a\\"\\n"}', '"select \\"a\\"\\n"']
)
def test_a_streamed_call_of_a_free_form_tool_is_the_same_text(arguments: str) -> None:
    encoder = ChatStream(CUSTOM, include_usage=False)
    raw = encoder.event(0, ToolCallDelta(0, "call_1", "sql"))
    for piece in arguments:
        raw += encoder.event(0, ToolCallDelta(0, arguments=piece))
    raw += encoder.event(0, ToolCallDelta(1, "call_2", "find", "{}"))
    raw += encoder.event(0, Finished("tool_calls", USAGE))
    chunks = [json.loads(line.removeprefix("data: ")) for line in raw.decode().split("\n\n") if line]
    for chunk in chunks:
        TypeAdapter(chat_types.ChatChunk).validate_python(chunk, strict=True)
    pieces = [call for delta in deltas(chunks) for call in delta.get("tool_calls", ())]
    assert pieces[0] == {"index": 0, "id": "call_1", "type": "custom", "custom": {"name": "sql", "input": ""}}
    assert "".join(p["custom"]["input"] for p in pieces if p["index"] == 0) == 'select "a"\n'
    assert [p["type"] for p in pieces if p["index"] == 1] == ["function"]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
