from __future__ import annotations

from typing import Any

import pytest

from kvproxy.core import LeftOut
from kvproxy.errors import KVProxyError, NotFound
from kvproxy.wire.bodies.request_reading import ReadingPolicy, RequestReading
from kvproxy.wire.responses.conversation_items import messages, normal_items
from kvproxy.wire.responses.response_body import parse_body
from kvproxy.wire.responses.response_ids import ResponseIds
from kvproxy.wire.responses.unread_items import GONE

IMAGE = {"type": "input_image", "image_url": "x"}
SEARCH = {"type": "web_search_call", "id": "ws_1", "action": {"type": "search", "query": "kv"}}
SCREEN = {"type": "computer_call_output", "call_id": "s", "output": [{"stdout": "done", "stderr": ""}]}


def read(input: list[Any], reading: RequestReading) -> list[tuple[str, str]]:
    """Roles and texts."""
    items = normal_items(
        parse_body({"model": "m", "input": input}).input or (), ResponseIds("0" * 32), {}, reading
    )
    found = messages(items, None, reading)
    return [(m.role, " ".join(getattr(part, "text", "") for part in m.content)) for m in found]


def test_notes_of_calls_are_the_assistants_and_notes_of_results_the_users() -> None:
    reading = RequestReading()
    assert read([SEARCH, SCREEN, {"type": "mcp_list_tools", "tools": []}], reading) == [
        ("assistant", "[web_search_call, shown as text]\nkv"),
        ("user", "[computer_call_output, shown as text]\ndone"),
    ]
    assert reading.left_out == [
        LeftOut("input[0]", "web_search_call"),
        LeftOut("input[1]", "computer_call_output"),
    ]


def test_an_item_keeps_its_id() -> None:
    items = normal_items(
        parse_body({"model": "m", "input": [SEARCH]}).input or (), ResponseIds("0" * 32), {}, RequestReading()
    )
    assert [item["id"] for item in items] == ["ws_1"]


def test_a_tools_image_in_the_user_message_behind_it_is_history() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "view_image", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": "attached"}
    reading = RequestReading()
    told = read(
        [{"role": "user", "content": "Look."}, call, output, {"role": "user", "content": [IMAGE]}], reading
    )
    assert told[-1] == ("user", "[image omitted: this model reads text only]")
    assert reading.left_out == [LeftOut("input[3].content[0]", "image")]


def test_references_that_expired() -> None:
    reading = RequestReading()
    gone = [{"type": "item_reference", "id": "msg_1"}, {"type": "item_reference", "id": "rs_1"}]
    assert read([*gone, {"role": "user", "content": "x"}], reading) == [("assistant", GONE), ("user", "x")]
    assert reading.left_out == [LeftOut("input[0]", "item_reference")]
    with pytest.raises(NotFound):
        read(gone, RequestReading())


@pytest.mark.parametrize(
    ("input", "param"),
    [
        ([SEARCH], "input[0].type"),
        ([{"role": "assistant", "content": [IMAGE]}], "input[0].content[0].type"),
        ([{"type": "function_call_output", "call_id": "c", "output": [IMAGE]}], "input[0].output[0].type"),
        ([{"type": "function_call_output", "call_id": "c", "output": "x"}], "input"),
        ([{"type": "item_reference", "id": "msg_1"}, {"role": "user", "content": "x"}], "input[0].id"),
    ],
)
def test_where_the_policy_is_to_refuse(input: list[Any], param: str) -> None:
    with pytest.raises(KVProxyError) as caught:
        read(input, RequestReading(ReadingPolicy(unreadable_history="refuse")))
    assert caught.value.param == param
