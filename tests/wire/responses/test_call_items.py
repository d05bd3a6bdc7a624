"""Calls in their own shapes: answered, streamed, and read again from the history."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.responses import Response as Published

from kvproxy.core import Message, TextPart, Tool, ToolCall
from kvproxy.errors import InvalidRequest
from kvproxy.events import Event, Finished, Started, ToolCallDelta, Usage
from kvproxy.wire.answers.answer_reader import Answer
from kvproxy.wire.bodies.request_reading import LENIENT, ReadingPolicy, RequestReading
from kvproxy.wire.responses.call_items import CallItems
from kvproxy.wire.responses.conversation_items import messages, normal_items
from kvproxy.wire.responses.response_answer import complete_response
from kvproxy.wire.responses.response_body import parse_body
from kvproxy.wire.responses.response_stream import ResponseStream
from tests.wire.responses.test_parse_response import IDS, chat_of, opened_by
from tests.wire.responses.test_response_stream import parsed

TOOLS: list[dict[str, Any]] = [
    {"type": "namespace", "name": "crm", "description": "", "tools": [
        {"type": "function", "name": "find", "strict": False}, {"type": "custom", "name": "sql"}]},
    {"type": "custom", "name": "patch"},
    {"type": "local_shell"},
    {"type": "shell"},
    {"type": "apply_patch"},
    {"type": "tool_search", "execution": "client", "description": "Searches.", "parameters": {"type": "object"}},
]  # fmt: skip
OFFERED = chat_of(tools=TOOLS).tools

CALLS: list[tuple[str, str, dict[str, Any]]] = [
    ("crm__find", '{"id": 1}', {"type": "function_call", "name": "find", "namespace": "crm", "arguments": '{"id": 1}'}),
    ("patch", '{"input": "*** \\"a\\"\\n+b"}', {"type": "custom_tool_call", "name": "patch", "input": '*** "a"\n+b'}),
    ("crm__sql", '{"input": "select 1"}',
     {"type": "custom_tool_call", "name": "sql", "namespace": "crm", "input": "select 1"}),
    ("local_shell", '{"command": ["ls", "-l"], "working_directory": "/"}',
     {"type": "local_shell_call", "action": {"type": "exec", "command": ["ls", "-l"], "env": {}, "timeout_ms": None,
                                             "user": None, "working_directory": "/"}}),
    ("shell", '{"commands": ["ls"], "timeout_ms": 5}',
     {"type": "shell_call", "action": {"commands": ["ls"], "timeout_ms": 5, "max_output_length": None},
      "environment": {"type": "local"}}),
    ("apply_patch", '{"type": "update_file", "path": "a", "diff": "@@\\n+b"}',
     {"type": "apply_patch_call", "operation": {"type": "update_file", "path": "a", "diff": "@@\n+b"}}),
    ("apply_patch", '{"type": "delete_file", "path": "a"}',
     {"type": "apply_patch_call", "operation": {"type": "delete_file", "path": "a"}}),
    ("tool_search", '{"query": "mail"}',
     {"type": "tool_search_call", "execution": "client", "arguments": {"query": "mail"}}),
]  # fmt: skip


def answered(*calls: ToolCall) -> list[dict[str, Any]]:
    answer = Answer("", "", calls, (), "tool_calls")
    response = complete_response(
        opened_by(tools=TOOLS), IDS, answer, Usage(1, 1, 0), at=1, calls=CallItems(OFFERED)
    )
    Published.model_validate(response, strict=True)
    items: list[dict[str, Any]] = json.loads(json.dumps(response["output"]))
    return items


def streamed(*events: Event) -> list[dict[str, Any]]:
    stream = ResponseStream(opened_by(tools=TOOLS), IDS, lambda: 1.0, CallItems(OFFERED))
    data = stream.begin(Started(0, False, 0.0, 0.0, 0.0), prompt_tokens=1, choices=1)
    for event in (*events, Finished("tool_calls", Usage(1, 1, 0))):
        data += stream.event(0, event)
    return parsed(data + stream.end(Usage(1, 1, 0)))


def pieces_of(index: int, name: str, arguments: str, size: int = 3) -> list[Event]:
    rest = [arguments[i : i + size] for i in range(0, len(arguments), size)]
    return [
        ToolCallDelta(index, f"call_{index}", name),
        *(ToolCallDelta(index, arguments=piece) for piece in rest),
    ]


def history(
    *items: dict[str, Any], tools: tuple[Tool, ...] = (), policy: ReadingPolicy = LENIENT
) -> list[Message]:
    reading = RequestReading(policy)
    body = parse_body({"model": "m", "input": [{"role": "user", "content": "x"}, *items]}, reading)
    return list(messages(normal_items(body.input or (), IDS, {}, reading), None, reading, tools))[1:]


@pytest.mark.parametrize(("name", "arguments", "told"), CALLS, ids=[f"{c[0]} {c[1][:12]}" for c in CALLS])
def test_a_call_is_written_in_its_own_shape(name: str, arguments: str, told: dict[str, Any]) -> None:
    [item] = answered(ToolCall("call_0", name, arguments))
    assert told.items() <= item.items()
    assert (item["call_id"], item["status"]) == ("call_0", "completed")
    assert ("namespace" in item) == ("namespace" in told)


@pytest.mark.parametrize("index", range(len(CALLS)))
def test_a_stream_writes_the_same_item(index: int) -> None:
    name, arguments, _ = CALLS[index]
    events = streamed(*pieces_of(0, name, arguments))
    [whole] = answered(ToolCall("call_0", name, arguments))
    assert events[-1]["response"]["output"] == [whole]
    [added] = [e["item"] for e in events if e["type"] == "response.output_item.added"]
    [done] = [e["item"] for e in events if e["type"] == "response.output_item.done"]
    assert (added["status"], added["type"], added["id"]) == ("in_progress", whole["type"], whole["id"])
    assert done == whole


def test_free_text_is_streamed_as_text() -> None:
    events = streamed(*pieces_of(0, "patch", '{"input": "a\\nb \\"c\\""}'))
    deltas = [e["delta"] for e in events if e["type"] == "response.custom_tool_call_input.delta"]
    [done] = [e for e in events if e["type"] == "response.custom_tool_call_input.done"]
    assert "".join(deltas) == done["input"] == 'a\nb "c"' and len(deltas) > 2


def test_several_calls_come_one_after_another() -> None:
    calls = [(name, arguments) for name, arguments, _ in CALLS]
    events = streamed(*(e for i, (name, text) in enumerate(calls) for e in pieces_of(i, name, text)))
    whole = answered(*(ToolCall(f"call_{i}", name, text) for i, (name, text) in enumerate(calls)))
    assert events[-1]["response"]["output"] == whole
    order = [e["output_index"] for e in events if e["type"].startswith("response.output_item")]
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("shell", '{"commands": []}'), ("shell", '{"commands": ["ls"'), ("local_shell", "[]"),
     ("apply_patch", '{"type": "x"}'), ("apply_patch", '{"type": "update_file", "path": "a"}')],
)  # fmt: skip
def test_a_call_that_cannot_be_run_is_a_functions(name: str, arguments: str) -> None:
    [item] = answered(ToolCall("call_0", name, arguments))
    assert (item["type"], item["name"], item["arguments"]) == ("function_call", name, arguments)
    assert streamed(*pieces_of(0, name, arguments))[-1]["response"]["output"] == [item]


@pytest.mark.parametrize("index", range(len(CALLS)))
def test_the_history_has_the_call_as_the_model_wrote_it(index: int) -> None:
    name, arguments, _ = CALLS[index]
    call = ToolCall("call_0", name, arguments)
    [item] = answered(call)
    for tools in (OFFERED, ()):
        [message] = history(item, tools=tools)
        assert message.tool_calls == (call,)


def test_a_name_with_a_number_is_found_again() -> None:
    tools = [*TOOLS, {"type": "function", "name": "crm__find", "strict": False}]
    offered = chat_of(tools=tools).tools
    [tool] = [tool for tool in offered if tool.bare_name == "find"]
    item = {"type": "function_call", "call_id": "c", "name": "find", "namespace": "crm", "arguments": "{}"}
    [message] = history(item, tools=offered)
    assert message.tool_calls[0].name == tool.name == "crm__find_2"


@pytest.mark.parametrize(
    ("call", "output", "text"),
    [
        (CALLS[1][2], {"type": "custom_tool_call_output", "call_id": "c", "output": "ok"}, "ok"),
        (CALLS[3][2], {"type": "local_shell_call_output", "id": "item_1", "output": '{"a":1}'}, '{"a":1}'),
        (CALLS[3][2], {"type": "local_shell_call_output", "id": "c", "output": "x"}, "x"),
        (
            CALLS[4][2],
            {"type": "shell_call_output", "call_id": "c", "output": [
                {"stdout": "a", "stderr": "b", "outcome": {"type": "exit", "exit_code": 2}},
                {"stdout": "c", "stderr": "", "outcome": {"type": "timeout"}}]},
            "a\nb\n(exit code 2)\nc\n(timed out)",
        ),
        (CALLS[5][2], {"type": "apply_patch_call_output", "call_id": "c", "status": "failed"}, "failed"),
        (CALLS[5][2], {"type": "apply_patch_call_output", "call_id": "c", "status": "failed", "output": "no"}, "no"),
    ],
)  # fmt: skip
def test_results_go_to_their_calls(call: dict[str, Any], output: dict[str, Any], text: str) -> None:
    asked, told = history({**call, "call_id": "c", "id": "item_1"}, output)
    assert told == Message("tool", (TextPart(text),), tool_call_id=asked.tool_calls[0].id)


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"type": "shell_call", "call_id": "c"}, "input[1].action"),
        ({"type": "shell_call", "call_id": "c", "action": {}}, "input[1].action"),
        ({"type": "apply_patch_call", "call_id": "c", "operation": {"type": "x"}}, "input[1].operation"),
        ({"type": "custom_tool_call_output", "call_id": "no", "output": "x"}, "input"),
        ({"type": "shell_call_output", "output": []}, "input[1].call_id"),
    ],
)
def test_faults_of_the_history_are_notes_or_named_where_that_is_the_policy(
    item: dict[str, Any], param: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        history(item, policy=ReadingPolicy(unreadable_history="refuse"))
    assert caught.value.param == param
    assert history(item)


def test_a_call_without_its_text_is_one_of_no_text() -> None:
    [message] = history({"type": "custom_tool_call", "call_id": "c", "name": "n"})
    assert message.tool_calls == (ToolCall("c", "n", '{"input": ""}'),)


@pytest.mark.parametrize(("name", "type"), [("shell", "function_call"), ("patch", "custom_tool_call")])
def test_a_call_that_was_cut_off_is_incomplete(name: str, type: str) -> None:
    cut = Answer("", "", (ToolCall("call_0", name, '{"commands": ["ls'),), (), "length")
    if name == "patch":
        cut = Answer("", "", (ToolCall("call_0", name, '{"input": "+a'),), (), "length")
    [item] = complete_response(
        opened_by(tools=TOOLS), IDS, cut, Usage(1, 1, 0), at=1, calls=CallItems(OFFERED)
    )["output"]
    assert (item["type"], item["status"]) == (type, "incomplete")
    stream = ResponseStream(opened_by(tools=TOOLS), IDS, lambda: 1.0, CallItems(OFFERED))
    data = stream.begin(Started(0, False, 0.0, 0.0, 0.0), prompt_tokens=1, choices=1)
    for event in (*pieces_of(0, name, cut.calls[0].arguments), Finished("length", Usage(1, 1, 0))):
        data += stream.event(0, event)
    assert parsed(data + stream.end(Usage(1, 1, 0)))[-1]["response"]["output"] == [item]
