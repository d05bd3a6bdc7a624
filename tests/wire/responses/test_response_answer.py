from __future__ import annotations

import pytest
from openai.types.responses import Response as Published

from kvproxy.core import ToolCall
from kvproxy.errors import InvalidRequest, KVProxyError, Overloaded, TimedOut
from kvproxy.events import FinishReason, Likelihood, TokenLogprob, Usage
from kvproxy.wire.answers.answer_reader import Answer
from kvproxy.wire.responses.response_answer import complete_response, fail_response, logprobs_body
from kvproxy.wire.responses.types import Response
from tests.wire.responses.test_parse_response import IDS, opened_by

USAGE = Usage(10, 5, cached_tokens=4, cache_write_tokens=6, reasoning_tokens=2)


def answered(
    text: str = "", reasoning: str = "", calls: tuple[ToolCall, ...] = (), reason: FinishReason = "stop"
) -> Response:
    response = complete_response(
        opened_by(), IDS, Answer(text, reasoning, calls, (), reason), USAGE, at=1_700_000_001
    )
    Published.model_validate(response, strict=True)
    return response


def test_reasoning_then_text_then_calls() -> None:
    calls = (ToolCall("call_1", "find", '{"a": 1}'), ToolCall("call_2", "find", "{}"))
    response = answered("Let me look.", "hm", calls, "tool_calls")
    assert [item["type"] for item in response["output"]] == [
        "reasoning", "message", "function_call", "function_call",
    ]  # fmt: skip
    assert len({item["id"] for item in response["output"]}) == 4
    assert {item["status"] for item in response["output"]} == {"completed"}
    call = response["output"][2]
    assert call["type"] == "function_call"
    assert (call["call_id"], call["name"], call["arguments"]) == ("call_1", "find", '{"a": 1}')
    assert response["status"] == "completed" and response["completed_at"] == 1_700_000_001


def test_an_answer_of_nothing_is_an_empty_message() -> None:
    assert Published.model_validate(answered()).output_text == ""
    assert [item["type"] for item in answered()["output"]] == ["message"]


def test_calls_alone_have_no_message() -> None:
    assert [i["type"] for i in answered(calls=(ToolCall("call_1", "f", "{}"),))["output"]] == [
        "function_call"
    ]


@pytest.mark.parametrize(
    ("reason", "why"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_a_cut_answer_is_incomplete(reason: FinishReason, why: str) -> None:
    response = answered("Let me", "hm", reason=reason)
    assert response["status"] == "incomplete" and response["completed_at"] is None
    assert response["incomplete_details"] == {"reason": why}
    assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]


def test_usage() -> None:
    assert answered("x").get("usage") == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 6},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 15,
    }


def test_the_opened_response_stays_as_it_is() -> None:
    opened = opened_by()
    complete_response(opened, IDS, Answer("x", "", (), (), "stop"), USAGE, at=1)
    assert opened == opened_by()


def test_logprobs() -> None:
    half = TokenLogprob(Likelihood(7, b"\xe2\x82", -0.5), (Likelihood(8, b"a", -1.5),))
    assert logprobs_body([half]) == [
        {
            "token": "\ufffd",
            "logprob": -0.5,
            "bytes": [0xE2, 0x82],
            "top_logprobs": [{"token": "a", "logprob": -1.5, "bytes": [97]}],
        }
    ]
    [impossible] = logprobs_body([TokenLogprob(Likelihood(7, b"x", float("-inf")))])
    assert impossible["logprob"] == -9999.0  # JSON has no infinity


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Overloaded("busy"), "rate_limit_exceeded"),
        (InvalidRequest("no"), "invalid_prompt"),
        (TimedOut("late"), "server_error"),
    ],
)
def test_a_failed_response_says_why(error: KVProxyError, code: str) -> None:
    response = fail_response(opened_by(), [], error)
    Published.model_validate(response, strict=True)
    assert (response["status"], response["error"]) == ("failed", {"code": code, "message": error.message})
