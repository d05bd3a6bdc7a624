from __future__ import annotations

import pytest

from kvproxy.core import LeftOut, Message, TextPart, ToolCall
from kvproxy.documents.prompts.history import answered
from kvproxy.errors import InvalidRequest
from kvproxy.wire.bodies.request_reading import ReadingPolicy, RequestReading
from kvproxy.wire.history.pairing import ORPHAN, pair_results

USER = Message("user", (TextPart("hi"),))


def called(*ids: str) -> Message:
    return Message("assistant", (), tuple(ToolCall(id, "f", "{}") for id in ids))


def result(id: str | None, text: str = "r") -> Message:
    return Message("tool", (TextPart(text),), tool_call_id=id)


def settled(*messages: Message, reading: RequestReading | None = None) -> tuple[Message, ...]:
    found = pair_results(
        messages, [f"messages[{i}]" for i in range(len(messages))], reading or RequestReading()
    )
    answered(found)  # which refuses what does not fit
    return found


def test_matching_pairs_stay_as_they_are() -> None:
    messages = (USER, called("a", "b"), result("b"), result("a"), called("a"), result("a"), USER)
    reading = RequestReading()
    assert settled(*messages, reading=reading) == messages
    assert reading.left_out == []


def test_a_result_without_its_call_becomes_a_user_message() -> None:
    reading = RequestReading()
    found = settled(result("gone", "sunny"), USER, reading=reading)
    assert found == (Message("user", (TextPart(ORPHAN), TextPart("sunny"))), USER)
    assert reading.left_out == [LeftOut("messages[0]", "call of a tool result")]


def test_it_stands_behind_the_results_that_it_came_with() -> None:
    found = settled(USER, called("a", "b"), result("gone"), result("a"), result("a"), result("b"), USER)
    assert [m.role for m in found] == ["user", "assistant", "tool", "tool", "user", "user", "user"]


def test_a_result_before_its_call_answers_nothing() -> None:
    assert [m.role for m in settled(result("a"), called("a"))] == ["user", "assistant"]


def test_ids_that_occur_twice() -> None:
    found = settled(USER, called("a", "a"), result("a", "one"), result("a", "two"))
    first, second = (call.id for call in found[1].tool_calls)
    assert first == "a" != second
    assert [m.tool_call_id for m in found[2:]] == [first, second]


def test_ids_that_are_counted_anew_in_each_answer() -> None:
    found = settled(called("call_0"), USER, called("call_0"), result("call_0"))
    assert found[-1].role == "tool"
    assert answered(found)[3].number == 2, "the result is that of the later call"


def test_lost_ids() -> None:
    found = settled(USER, called("", ""), result("", "one"), result(None, "two"))
    assert [m.tool_call_id for m in found[2:]] == [call.id for call in found[1].tool_calls]
    assert len({call.id for call in found[1].tool_calls}) == 2
    found = settled(USER, called("a", "b"), result(None), result("b"))
    assert [m.tool_call_id for m in found[2:]] == ["a", "b"]


def test_a_call_needs_no_result() -> None:
    messages = (USER, called("a"), USER, called("b"))
    assert settled(*messages) == messages


def test_a_result_without_its_call_is_refused_by_policy_with_its_path() -> None:
    reading = RequestReading(ReadingPolicy(unreadable_history="refuse"))
    with pytest.raises(InvalidRequest, match="answer a tool call") as caught:
        settled(USER, result("gone"), reading=reading)
    assert caught.value.param == "messages[1]"
