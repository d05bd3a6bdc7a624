from __future__ import annotations

import json
from typing import Any

from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from kvproxy.errors import KVProxyError, Overloaded
from kvproxy.events import (
    Event,
    Finished,
    FinishReason,
    Likelihood,
    ReasoningDelta,
    Started,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from kvproxy.wire.answers.answer_reader import AnswerBuilder
from kvproxy.wire.responses.response_answer import complete_response
from kvproxy.wire.responses.response_stream import ResponseStream
from tests.wire.responses.test_parse_response import IDS, opened_by

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
STARTED = Started(0, False, 0.0, 0.0, 0.0)
USAGE = Usage(10, 5, 4)
CALL = (
    ToolCallDelta(0, "call_1", "find"),
    ToolCallDelta(0, arguments='{"a"'),
    ToolCallDelta(0, arguments=":1}"),
)


def stream() -> ResponseStream:
    return ResponseStream(opened_by(), IDS, lambda: 1_700_000_001.5)


def parsed(data: bytes) -> list[dict[str, Any]]:
    """Each event, which is one of OpenAI's, and says its type twice."""
    found = []
    for block in data.decode().split("\n\n")[:-1]:
        name, body = block.split("\n")
        event = json.loads(body.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        EVENT.validate_python(event)
        found.append(event)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


def run(*events: Event, reason: FinishReason = "stop") -> list[dict[str, Any]]:
    """Encode a whole stream; its last event holds the same object as an answer that was not streamed."""
    encoder, builder = stream(), AnswerBuilder()
    data = encoder.begin(STARTED, prompt_tokens=10, choices=1)
    for event in events:
        data += encoder.event(0, event)
        builder.add(event)
    data += encoder.event(0, Finished(reason, USAGE)) + encoder.end(USAGE)
    found = parsed(data)
    assert found[-1]["response"] == encoder.response
    assert encoder.response == complete_response(
        opened_by(), IDS, builder.answer(reason), USAGE, at=1_700_000_001
    )
    return found


def types(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def test_text() -> None:
    events = run(TextDelta("Hel"), TextDelta("lo"))
    assert types(events) == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta",
        "output_text.delta", "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    assert events[2]["item"]["content"] == [] and events[2]["item"]["status"] == "in_progress"
    assert [e["delta"] for e in events if "delta" in e] == ["Hel", "lo"]
    assert events[6]["text"] == events[7]["part"]["text"] == "Hello"
    assert events[8]["item"] == events[9]["response"]["output"][0]
    assert all("usage" not in event["response"] for event in events[:2])


def test_reasoning_text_and_calls_one_after_the_other() -> None:
    second = (ToolCallDelta(1, "call_2", "find"), ToolCallDelta(1, arguments="{}"))
    events = run(
        ReasoningDelta("h"), ReasoningDelta("m"), TextDelta("So"), *CALL, *second, reason="tool_calls"
    )
    assert types(events) == [
        "created", "in_progress",
        "output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.delta",
        "reasoning_text.done", "content_part.done", "output_item.done",
        "output_item.added", "content_part.added", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done",
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.delta",
        "function_call_arguments.done", "output_item.done",
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done",
        "completed",
    ]  # fmt: skip
    assert [e["output_index"] for e in events if e["type"] == "response.output_item.done"] == [0, 1, 2, 3]
    done = events[18]
    assert (done["name"], done["arguments"], done["output_index"]) == ("find", '{"a":1}', 2)
    for index, item in enumerate(events[-1]["response"]["output"]):
        assert {e["item_id"] for e in events if "item_id" in e and e["output_index"] == index} == {item["id"]}


def test_an_answer_of_nothing() -> None:
    assert types(run())[2:4] == ["output_item.added", "content_part.added"]


def test_a_cut_answer_ends_as_incomplete() -> None:
    events = run(TextDelta("Hel"), reason="length")
    assert types(events)[-2:] == ["output_item.done", "incomplete"]
    assert events[-2]["item"]["status"] == "incomplete"


def test_calls_that_an_upstream_interleaves_lose_nothing() -> None:
    encoder = stream()
    encoder.begin(STARTED, prompt_tokens=1, choices=1)
    for event in (
        *CALL[:2],
        ToolCallDelta(1, "call_2", "find", "{}"),
        CALL[2],
        Finished("tool_calls", USAGE),
    ):
        encoder.event(0, event)
    encoder.end(USAGE)
    assert encoder.response is not None
    calls = [item for item in encoder.response["output"] if item["type"] == "function_call"]
    assert [call["arguments"] for call in calls] == ['{"a":1}', "{}"]


def test_logprobs_go_with_their_text() -> None:
    logprob = TokenLogprob(Likelihood(1, b"Hi", -0.1))
    events = run(TextDelta("Hi", logprobs=(logprob,)))
    told = [{"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}]
    assert [event["logprobs"] for event in events if "logprobs" in event] == [told, told]
    assert events[-1]["response"]["output"][0]["content"][0]["logprobs"] == told


def test_a_failure_in_the_middle() -> None:
    encoder = stream()
    data = encoder.begin(STARTED, prompt_tokens=1, choices=1)
    data += encoder.event(0, TextDelta("Hel")) + encoder.error(KVProxyError("It broke."))
    events = parsed(data)
    failed = events[-1]["response"]
    assert types(events)[-1] == "failed"
    assert failed["error"] == {"code": "server_error", "message": "It broke."}
    assert failed["output"][0]["content"][0]["text"] == "Hel"
    assert failed["output"][0]["status"] == "incomplete"
    assert encoder.response is None


def test_a_failure_before_there_is_a_response() -> None:
    event = parsed(stream().error(Overloaded("Busy.")))[0]
    assert (event["type"], event["code"], event["message"]) == ("error", "engine_busy", "Busy.")


def test_a_pulse_is_a_comment() -> None:
    assert stream().pulse().startswith(b":")
