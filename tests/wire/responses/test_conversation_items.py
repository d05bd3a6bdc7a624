from __future__ import annotations

from typing import Any

import pytest

from kvproxy.core import DocumentPart, DocumentRef, Message, TextPart, ToolCall
from kvproxy.errors import InvalidRequest, KVProxyError, NotFound, UnsupportedParameter
from kvproxy.wire.bodies.request_reading import RequestReading
from kvproxy.wire.responses.conversation_items import messages, normal_items, references
from kvproxy.wire.responses.response_body import parse_body
from kvproxy.wire.responses.response_ids import ResponseIds, owner
from kvproxy.wire.responses.types import Item

IDS = ResponseIds("0123456789abcdef" * 2)
CALL = {"type": "function_call", "call_id": "call_1", "name": "find", "arguments": '{"c":"LA"}'}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "sunny"}


def normal(input: Any, known: dict[str, Item] | None = None) -> list[Item]:
    body = parse_body({"model": "m", "input": input})
    return normal_items(body.input or (), IDS, known or {}, RequestReading())


def told(input: Any, instructions: str | None = None) -> tuple[Message, ...]:
    return messages(normal(input), instructions, RequestReading())


def fault(input: Any) -> KVProxyError:
    with pytest.raises(KVProxyError) as caught:
        told(input)
    return caught.value


def test_a_string_is_one_user_message() -> None:
    assert told("hello") == (Message("user", (TextPart("hello"),)),)


def test_instructions_come_first() -> None:
    assert told("hello", "Be brief.")[0] == Message("system", (TextPart("Be brief."),))


@pytest.mark.parametrize(
    ("role", "becomes"), [("user", "user"), ("system", "system"), ("developer", "system")]
)
def test_easy_and_full_messages_mean_the_same(role: str, becomes: str) -> None:
    easy = told([{"role": role, "content": "x"}])
    full = told([{"type": "message", "role": role, "content": [{"type": "input_text", "text": "x"}]}])
    assert easy == full
    assert easy[0].role == becomes


def test_marks_and_documents() -> None:
    content = [
        {"type": "kv_document", "document": "handbook@3", "prompt_cache_breakpoint": {"mode": "explicit"}},
        {"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}},
        {"type": "input_text", "text": "b"},
    ]
    assert told([{"role": "user", "content": content}])[0].content == (
        DocumentPart(DocumentRef("handbook", 3), mark=True),
        TextPart("a", mark=True),
        TextPart("b"),
    )


def test_one_answer_is_one_message() -> None:
    thought = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}
    said = {"role": "assistant", "content": [{"type": "output_text", "text": "Let me look."}]}
    second = {**CALL, "call_id": "call_2"}
    found = told([{"role": "user", "content": "weather?"}, thought, said, CALL, second, OUTPUT])
    calls = (ToolCall("call_1", "find", '{"c":"LA"}'), ToolCall("call_2", "find", '{"c":"LA"}'))
    assert found[1:] == (
        Message("assistant", (TextPart("Let me look."),), calls, reasoning="hm"),
        Message("tool", (TextPart("sunny"),), tool_call_id="call_1"),
    )


def test_a_summary_stands_in_for_reasoning_that_was_not_sent() -> None:
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "in short"}]}
    assert told([thought])[0].reasoning == "in short"


def test_two_answers_stay_two_messages() -> None:
    found = told([{"role": "assistant", "content": "one"}, {"role": "assistant", "content": "two"}])
    assert [m.content for m in found] == [(TextPart("one"),), (TextPart("two"),)]


def test_a_new_thought_begins_a_new_answer() -> None:
    thought = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "again"}]}
    found = told([{"role": "assistant", "content": "one"}, thought, CALL])
    assert [(m.reasoning, len(m.tool_calls)) for m in found] == [(None, 0), ("again", 1)]


def test_a_refusal_is_text_of_the_assistant() -> None:
    said = {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    assert told([said])[0].content == (TextPart("No."),)


def test_outputs_may_be_text_or_parts() -> None:
    parts = {**OUTPUT, "output": [{"type": "input_text", "text": "sunny"}]}
    assert told([CALL, parts]) == told([CALL, OUTPUT])
    assert told([CALL, {**OUTPUT, "output": []}])[1].content == (TextPart(""),)


def test_items_keep_their_ids_or_get_one_that_names_the_response() -> None:
    mine, given = normal([{"role": "user", "content": "x"}, {**CALL, "id": "fc_own"}])
    assert owner(mine["id"]) == IDS.response
    assert given["id"] == "fc_own"
    assert owner("fc_own") is None
    assert owner(IDS.for_output("msg", 3)) == IDS.response
    assert len({IDS.for_output("msg", 0), IDS.for_input("msg", 0), IDS.for_output("msg", 1)}) == 3


def test_references_are_replaced_by_their_items() -> None:
    known = normal([{"role": "user", "content": "before"}])[0]
    body = parse_body({"model": "m", "input": [{"id": known["id"]}, {"role": "user", "content": "x"}]})
    assert list(references(body.input or ())) == [known["id"]]
    items = normal_items(body.input or (), IDS, {known["id"]: known}, RequestReading())
    assert [m.content for m in messages(items, None, RequestReading())] == [
        (TextPart("before"),),
        (TextPart("x"),),
    ]


def test_a_reference_to_nothing_is_not_found() -> None:
    error = fault([{"type": "item_reference", "id": "msg_gone"}])
    assert isinstance(error, NotFound)
    assert error.param == "input[0].id"


@pytest.mark.parametrize(
    ("input", "param"),
    [
        ([], "input"),
        (3, "input"),
        ([{"content": "x"}], "input[0].role"),
        ([{"role": "user"}], "input[0].content"),
        ([{"role": "user", "content": [{"type": "input_text"}]}], "input[0].content[0].text"),
        ([{"role": "user", "content": [{"type": "refusal", "refusal": "x"}]}], "input[0].content[0].type"),
        ([{"role": "user", "content": [{"type": "kv_document"}]}], "input[0].content[0].document"),
        ([{"role": "user", "content": [{"type": "kv_document", "document": "a b"}]}],
         "input[0].content[0].document"),
        ([CALL, {**OUTPUT, "output": [{"type": "kv_document", "document": "a"}]}], "input[1].output[0].type"),
    ],
)  # fmt: skip
def test_faults_name_the_field(input: Any, param: str) -> None:
    error = fault(input)
    assert isinstance(error, InvalidRequest)
    assert error.param == param


@pytest.mark.parametrize("type", ["input_image", "input_file", "input_audio"])
def test_a_part_without_text_is_refused_by_name(type: str) -> None:
    error = fault([{"role": "user", "content": [{"type": type, "file_id": "x"}]}])
    assert isinstance(error, UnsupportedParameter)
    assert type in error.message
