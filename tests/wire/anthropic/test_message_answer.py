from __future__ import annotations

import pytest

from kvproxy.core import ToolCall
from kvproxy.events import FinishReason, Usage
from kvproxy.wire.answers.answer_reader import Answer
from kvproxy.wire.anthropic.message_answer import MessageHead, message

HEAD = MessageHead("msg_1", "fake")
USAGE = Usage(100, 20, 60, cache_write_tokens=30, reasoning_tokens=5)


def answer(
    text: str = "",
    reasoning: str = "",
    *calls: ToolCall,
    reason: FinishReason = "stop",
    by: str | None = None,
) -> Answer:
    return Answer(text, reasoning, calls, (), reason, by)


def test_a_whole_message() -> None:
    calls = (ToolCall("call_1", "weather", '{"city": "Rome"}'), ToolCall("own", "time", ""))
    told = message(HEAD, answer("Let me see.", "hm", *calls, reason="tool_calls"), USAGE)
    direct = {"type": "direct"}
    assert told == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "fake",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": ""},
            {"type": "text", "text": "Let me see."},
            {
                "type": "tool_use",
                "id": "toolu_1",
                "name": "weather",
                "input": {"city": "Rome"},
                "caller": direct,
            },
            {"type": "tool_use", "id": "own", "name": "time", "input": {}, "caller": direct},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "stop_details": None,
        "container": None,
        "usage": {
            "input_tokens": 10,
            "cache_creation_input_tokens": 30,
            "cache_read_input_tokens": 60,
            "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 20,
            "output_tokens_details": {"thinking_tokens": 5},
            "server_tool_use": None,
            "service_tier": "standard",
            "inference_geo": None,
        },
    }


@pytest.mark.parametrize(
    ("reason", "by", "expected"),
    [
        ("stop", None, ("end_turn", None)),
        ("stop", "END", ("stop_sequence", "END")),
        ("length", None, ("max_tokens", None)),
        ("content_filter", None, ("refusal", None)),
    ],
)
def test_stop_reasons(reason: FinishReason, by: str | None, expected: tuple[str, str | None]) -> None:
    told = message(HEAD, answer("x", reason=reason, by=by), USAGE)
    assert (told["stop_reason"], told["stop_sequence"]) == expected


@pytest.mark.parametrize("arguments", ['{"city": "Ro', "[1]", '{"n": NaN}'])
def test_a_call_that_was_cut_off_stays_as_text(arguments: str) -> None:
    told = message(HEAD, answer("", "", ToolCall("call_1", "weather", arguments), reason="length"), USAGE)
    assert told["content"] == [{"type": "text", "text": f"weather({arguments})"}]


def test_white_space_is_a_block_only_where_it_is_the_answer() -> None:
    call = ToolCall("call_1", "weather", "{}")
    assert [b["type"] for b in message(HEAD, answer("\n\n", "", call), USAGE)["content"]] == ["tool_use"]
    assert [b["type"] for b in message(HEAD, answer("\n"), USAGE)["content"]] == ["text"]
    assert message(HEAD, answer(), USAGE)["content"] == []


def test_thoughts_can_be_hidden() -> None:
    told = message(MessageHead("m", "fake", show_thinking=False), answer("a", "hm"), USAGE)
    assert told["content"][0] == {"type": "thinking", "thinking": "", "signature": ""}
