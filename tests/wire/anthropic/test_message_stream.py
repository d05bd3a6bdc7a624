from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kvproxy.errors import Unavailable
from kvproxy.events import (
    Event,
    Finished,
    FinishReason,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from kvproxy.wire.answers.answer_reader import AnswerBuilder
from kvproxy.wire.anthropic.message_answer import MessageHead, message
from kvproxy.wire.anthropic.message_stream import MessageStream
from tests.wire.anthropic.events import events_in, message_of

HEAD = MessageHead("msg_1", "fake")
USAGE = Usage(100, 20, 60, cache_write_tokens=30, reasoning_tokens=5)


def encoded(
    events: list[Event], reason: FinishReason = "stop", head: MessageHead = HEAD, by: str | None = None
) -> list[dict[str, Any]]:
    stream = MessageStream(head, request_id="req_1")
    started = Started(60, False, 0, 0, 0, cache_write_tokens=30)
    out = stream.begin(started, prompt_tokens=100, choices=1)
    for event in [*events, Finished(reason, USAGE, by)]:
        out += stream.event(0, event)
    return events_in(out + stream.end(USAGE))


INPUTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


def test_the_prompt_is_split_in_one_way_at_the_start_and_at_the_end() -> None:
    events = encoded([TextDelta("a")])
    start = events[0]["message"]["usage"]
    [end] = [e["usage"] for e in events if e["type"] == "message_delta"]
    assert [start[x] for x in INPUTS] == [end[x] for x in INPUTS] == [10, 30, 60]


def test_unknown_counts_of_an_upstream_are_null() -> None:
    stream = MessageStream(HEAD, request_id="req_1")
    started = Started(0, False, 0, 0, 0, parsed=True)
    usage = events_in(stream.begin(started, prompt_tokens=100, choices=1))[0]["message"]["usage"]
    assert [usage[x] for x in INPUTS] == [100, None, None] and usage["cache_creation"] is None


def test_the_order_of_a_full_turn() -> None:
    events = encoded(
        [
            ReasoningDelta("h"),
            ReasoningDelta("m"),
            TextDelta("\n\n"),
            TextDelta("See"),
            TextDelta(" this."),
            ToolCallDelta(0, "call_1", "weather"),
            ToolCallDelta(0, arguments='{"a"'),
            ToolCallDelta(0, arguments=": 1}"),
            TextDelta("\n"),
            ToolCallDelta(1, "call_2", "time", "{}"),
        ],
        "tool_calls",
    )
    shape = [
        (
            e["type"],
            e.get("index"),
            (e.get("delta") or {}).get("type") or (e.get("content_block") or {}).get("type"),
        )
        for e in events
    ]
    start, delta, stop = "content_block_start", "content_block_delta", "content_block_stop"
    assert shape == [
        ("message_start", None, None),
        ("ping", None, None),
        (start, 0, "thinking"),
        (delta, 0, "thinking_delta"),
        (delta, 0, "thinking_delta"),
        (delta, 0, "signature_delta"),
        (stop, 0, None),
        (start, 1, "text"),
        (delta, 1, "text_delta"),
        (delta, 1, "text_delta"),
        (stop, 1, None),
        (start, 2, "tool_use"),
        (delta, 2, "input_json_delta"),
        (delta, 2, "input_json_delta"),
        (delta, 2, "input_json_delta"),
        (stop, 2, None),
        (start, 3, "tool_use"),
        (delta, 3, "input_json_delta"),
        (delta, 3, "input_json_delta"),
        (stop, 3, None),
        ("message_delta", None, None),
        ("message_stop", None, None),
    ]
    assert events[0]["message"]["usage"]["cache_read_input_tokens"] == 60
    assert events[0]["message"]["usage"]["input_tokens"] == 10
    assert events[0]["message"]["stop_reason"] is None and events[0]["message"]["content"] == []
    assert events[-2]["usage"] == {
        "input_tokens": 10,
        "cache_creation_input_tokens": 30,
        "cache_read_input_tokens": 60,
        "output_tokens": 20,
        "output_tokens_details": {"thinking_tokens": 5},
        "server_tool_use": None,
    }
    assert message_of(events)["content"][1]["text"] == "\n\nSee this."


pieces = st.lists(st.sampled_from(["a", " ", "\n", "b c", "é"]), max_size=4)


@given(pieces, pieces, st.lists(st.lists(st.sampled_from(["", " ", ", 1"]), max_size=3), max_size=3))
def test_a_stream_adds_up_to_the_whole_answer(
    thoughts: list[str], words: list[str], calls: list[list[str]]
) -> None:
    events: list[Event] = [ReasoningDelta(t) for t in thoughts]
    events += [TextDelta(w) for w in words]
    for index, numbers in enumerate(calls):
        events.append(ToolCallDelta(index, f"call_{index}", "f"))
        events += [ToolCallDelta(index, arguments=x) for x in ('{"n": [0', *numbers, "]}")]
    gathered = AnswerBuilder()
    for event in events:
        gathered.add(event)
    whole: dict[str, Any] = dict(message(HEAD, gathered.answer("stop"), USAGE))
    streamed = message_of(encoded(events))
    # What was newly kept is known too late for message_start, the only event that has it by lifetime.
    assert whole["usage"].pop("cache_creation") and streamed["usage"].pop("cache_creation")
    assert streamed == whole


def test_an_answer_of_nothing_and_one_of_white_space() -> None:
    assert message_of(encoded([]))["content"] == []
    assert message_of(encoded([TextDelta(" "), TextDelta("\n")]))["content"][0]["text"] == " \n"


def test_a_stop_sequence_is_named() -> None:
    told = message_of(encoded([TextDelta("x")], by="END"))
    assert (told["stop_reason"], told["stop_sequence"]) == ("stop_sequence", "END")


def test_hidden_thoughts_leave_an_empty_block() -> None:
    events = encoded([ReasoningDelta("secret"), TextDelta("x")], head=MessageHead("m", "fake", False))
    assert "secret" not in str(events)
    assert message_of(events)["content"][0] == {"type": "thinking", "thinking": "", "signature": ""}


def test_late_pieces_of_an_earlier_call_go_to_its_own_block() -> None:
    events = encoded(
        [ToolCallDelta(0, "a", "f", "{"), ToolCallDelta(1, "b", "g", "{}"), ToolCallDelta(0, arguments="}")]
    )
    late = [
        e["index"] for e in events if e["type"] == "content_block_delta" and e["delta"]["partial_json"] == "}"
    ]
    assert late == [0]


def test_an_error_in_the_middle() -> None:
    stream = MessageStream(HEAD, request_id="req_1")
    assert events_in(stream.error(Unavailable("gone"))) == [
        {
            "type": "error",
            "error": {
                "type": "overloaded_error",
                "message": "gone",
                "details": {"error_code": "unavailable"},
            },
            "request_id": "req_1",
        }
    ]
    assert events_in(stream.pulse()) == [{"type": "ping"}]
